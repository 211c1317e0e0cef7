#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong uses of the command: each ends with a status other than 0 and a message that names what is wrong."""
import os
import unittest

import command_support as support
from command_support import npy


class WrongUse(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.good("build", "net.txt", "-o", "net.plan")

    def test_no_command(self):
        self.wrong([], "commands:")
        self.wrong(["frob"], "no command 'frob'")
        self.wrong(["--frob"], "no command '--frob'")

    def test_unknown_options(self):
        for command in ("build", "run", "bench", "inspect", "opt", "plugins", "doctor"):
            self.wrong([command, "net.plan", "--bogus"], f"trivet {command}: unknown option '--bogus'", "--help")
            self.wrong([command, "net.plan", "--bogus=3"], "unknown option '--bogus=3'")
            self.wrong([command, "--help=3"], "--help takes no value")
            self.wrong([command, "net.plan", "--plugin"], "--plugin needs a value")

    def test_wrong_number_of_words(self):
        self.wrong(["build"], "needs a model and -o PLAN")
        self.wrong(["build", "net.txt"], "needs a model and -o PLAN")
        self.wrong(["build", "net.txt", "other.txt", "-o", "a.plan"], "other.txt")
        for command in ("run", "bench", "inspect", "opt"):
            self.wrong([command], f"trivet {command}: needs one")
            self.wrong([command, "net.plan", "net.plan"], f"trivet {command}: needs one")
        self.wrong(["run"] + ["x"] * 70, "too many arguments")

    def test_missing_files(self):
        self.wrong(["build", "nowhere.onnx", "-o", "a.plan"], "nowhere.onnx")
        self.wrong(["run", "nowhere.plan"], "nowhere.plan", "No such file")
        self.wrong(["bench", "nowhere.plan"], "nowhere.plan", "No such file")
        self.wrong(["inspect", "nowhere"], "nowhere")
        self.wrong(["opt", "nowhere"], "nowhere")
        self.wrong(["run", "net.plan", "-i", "nowhere.npz"], "nowhere.npz", "No such file")
        self.wrong(["run", "net.plan", "-i", "x=nowhere.npy"], "nowhere.npy", "No such file")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--plugin", "./nowhere.so"], "./nowhere.so")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--plugin-path", "nowhere"], "nowhere")
        self.wrong(["plugins", "./nowhere.so"], "./nowhere.so: refused: ")
        self.wrong(["plugins", "--plugin-path", "nowhere"], "nowhere")
        self.wrong(["doctor", "--plugin-path", "nowhere"], "nowhere", "MISSING")

    def test_folders_and_places_that_cannot_be_written(self):
        for command in (["build", ".", "-o", "a.plan"], ["run", "."], ["inspect", "."], ["bench", "."]):
            self.wrong(command, "'.' is not a regular file")
        self.wrong(["build", "net.txt", "-o", "no/where/a.plan"], "no/where/a.plan")
        self.wrong(["build", "net.txt", "-o", "."], "'.'")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--json", "no/where.json"], "no/where.json")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--dump", "no/where"], "no/where")
        self.wrong(["run", "net.plan", "-o", "no/where.npz"], "no/where.npz")
        self.wrong(["inspect", "net.plan", "--html", "no/where.html"], "no/where.html")
        self.wrong(["inspect", "net.plan", "-o", "no/where.txt"], "no/where.txt")
        self.wrong(["opt", "net.txt", "-o", "no/where.txt"], "no/where.txt")

    def test_empty_files_devices_and_links_to_nowhere(self):
        self.write("empty", "")
        self.write("noise", bytes(range(1, 256)) * 20)
        (self.folder / "dangling").symlink_to("nowhere")
        for command in (["build", "-o", "a.plan"], ["inspect"], ["opt"]):
            self.wrong([*command, "empty"], "'empty' is empty")
            self.wrong([*command, "noise"], "noise: no frontend knows these 5100 bytes")
            self.wrong([*command, "dangling"], "cannot open 'dangling': No such file")
            self.wrong([*command, ""], "cannot open '': No such file")
            self.wrong([*command, "/dev/zero"], "'/dev/zero' is not a regular file")
        for command in ("run", "bench"):
            self.wrong([command, "empty"], "empty: plan: ")
            self.wrong([command, "noise"], "noise: plan: does not begin as a plan does")
            self.wrong([command, "dangling"], "cannot open 'dangling': No such file")
            self.wrong([command, "/dev/zero"], "'/dev/zero' is not a regular file")
            self.wrong([command, "net.plan", "-i", "x=/dev/zero"], "'/dev/zero' is not a regular file")
            self.wrong([command, "net.plan", "-i", "empty"], "'empty': npz: 0 bytes")
            self.wrong([command, "net.plan", "-i", ""], "cannot open '': No such file")
            (self.folder / "folder").mkdir(exist_ok=True)
            self.wrong([command, "net.plan", "-i", "folder"], "folder 'folder' holds no .npy, .npz or .bin")
        for name in ("./empty", "./noise", "./dangling", "./folder"):
            self.wrong(["plugins", name], f"{name}: refused: ")
            self.wrong(["plugin", "check", name], "FAULT: refused: ", "1 faults")
        self.wrong(["plugins", "noise"], "noise: refused: wanted a path with a '/'")
        self.wrong(["doctor", "noise"], "takes no file; what is 'noise'?")

    def test_a_full_disk(self):
        full = "No space left on device"
        self.wrong(["build", "net.txt", "-o", "/dev/full"], "'/dev/full'", full)
        self.wrong(["build", "net.txt", "-o", "a.plan", "--json", "/dev/full"], "'/dev/full'", full)
        self.wrong(["build", "net.txt", "-o", "a.plan", "--tactics", "timed", "--write-lock", "/dev/full"], full)
        self.wrong(["run", "net.plan", "-o", "/dev/full"], "'/dev/full'", full)
        self.wrong(["bench", "net.plan", "-n", "2", "--json", "/dev/full"], "'/dev/full'", full)
        self.wrong(["inspect", "net.plan", "-o", "/dev/full"], "'/dev/full'", full)
        self.wrong(["inspect", "net.plan", "--html", "/dev/full"], "'/dev/full'", full)
        self.wrong(["opt", "net.txt", "-o", "/dev/full"], "'/dev/full'", full)
        self.good("build", "net.txt", "-o", "/dev/null")

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_without_permission(self):
        (self.folder / "net.plan").chmod(0)
        (self.folder / "net.txt").chmod(0)
        for command in (["run", "net.plan"], ["bench", "net.plan"], ["inspect", "net.txt"], ["opt", "net.txt"],
                        ["build", "net.txt", "-o", "a.plan"]):
            self.wrong(command, f"cannot open '{command[1]}': Permission denied")

    def test_names_with_odd_characters(self):
        for name in ("two words", "a'b\"c", "100%s%n", "<b>&amp;", "-", "ünïcödé", "x" * 200):
            path = f"./{name}.txt"
            self.write(path, support.NETWORK.replace('"net"', '"n"'))
            self.good("build", path, "-o", f"./{name}.plan")
            self.good("run", f"./{name}.plan", "-o", f"./{name}.npz")
            self.good("inspect", f"./{name}.plan", "--html", f"./{name}.html")
            self.wrong(["run", f"./{name}.nix"], f"./{name}.nix")
        self.wrong(["run", "x" * 5000], "File name too long")
        page = (self.folder / "<b>&amp;.html").read_text()
        self.assertNotIn("<b>&amp;", page)

    def test_extents_that_nothing_holds(self):
        def network(shape, values=""):
            return (f'graph "a" {{\n  input %x: f32[{shape}]\n{values}  %y = std.Relu(%x)\n  output "y": %y\n}}\n')

        build = ["build", "-", "-o", "a.plan"]
        self.wrong(build, "input 'x': its size in bytes overflows 64 bits", stdin=network("9223372036854775807, 2"))
        self.wrong(build, "input 'x': its size in bytes overflows 64 bits", stdin=network("4611686018427387904"))
        self.wrong(build, "line 2, column 9", stdin=network("-4"))
        self.wrong(build, "line 3, column", stdin=network("4", "  const %c: f32[1000000000000] = splat(1.0)\n"))
        self.good(*build, stdin=network("4000000, 4000000"))
        self.wrong(["run", "a.plan"], "OUT_OF_MEMORY: input 'x': cannot allocate")
        self.good(*build, stdin=network("0, 4"))
        self.good("run", "a.plan", "-o", "a.npz")

    def test_a_failed_build_leaves_the_old_plan(self):
        before = (self.folder / "net.plan").read_bytes()
        self.wrong(["build", "net.txt", "-o", "net.plan", "--target", "nix"], "nix")
        self.assertEqual((self.folder / "net.plan").read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["net.plan", "net.txt"])

    def test_shapes(self):
        for text, parts in {
                "x:2x5": ("'x'", "dimension 1 is 5, wanted 4"),
                "x:99x4": ("'x'", "dimension 0 is 99", "1 to 64"),
                "x:2": ("'x'", "rank is 1, wanted 2"),
                "x:2x": ("'x:2x'", "NAME:AxBxC"),
                "x:2xx4": ("'x:2xx4'", "NAME:AxBxC"),
                "x:axb": ("'x:axb'", "NAME:AxBxC"),
                "x:-2x4": ("'x:-2x4'", "NAME:AxBxC"),
                "x:99999999999999999999x4": ("NAME:AxBxC",),
                "x": ("'x'", "NAME:AxBxC"),
                "z:2x4": ("no input 'z'",),
                "x:" + "x".join("1" * 40): ("NAME:AxBxC",),
        }.items():
            self.wrong(["run", "net.plan", "--shapes", text], *parts)
            self.wrong(["bench", "net.plan", "--shapes", text], *parts)
        build = ["build", "net.txt", "-o", "a.plan"]
        self.wrong(build + ["--min", "x:0x4"], "'n'", "1 .. 64")
        self.wrong(build + ["--opt", "y:1x4"], '"y"')
        self.wrong(build + ["--min", "x:4x4", "--max", "x:2x4"], '"x"', "4", "2")
        self.wrong(build + ["--min", "x:1x4x1", "--max", "x:2x4"], "'x'", "different ranks")
        self.wrong(build + ["--max", "x:2x5"], "x", "5")

    def test_numbers(self):
        for words in (["run", "net.plan", "--threads"], ["bench", "net.plan", "--threads"],
                      ["bench", "net.plan", "--iterations"], ["build", "net.txt", "-o", "a.plan", "--threads"],
                      ["build", "net.txt", "-o", "a.plan", "--stop-after"], ["opt", "net.txt", "--stop-after"]):
            for text in ("abc", "1.5", "-7", "99999999999999999999", ""):
                self.wrong(words + [text], f"{words[-1]}: '{text}' is no whole number from")

    def test_arrays(self):
        good = npy(support.numbers(8), (2, 4))
        cases = {
            "wrong_type.npy": (npy([1] * 8, (2, 4), "<i8"), ("'x'", "f32", "i64")),
            "wrong_rank.npy": (npy([1.0] * 4, (4,)), ("'x'", "rank 2", "1")),
            "wrong_extent.npy": (npy([1.0] * 6, (2, 3)), ("'x'", "dimension 1 is 3, wanted 4")),
            "cut.npy": (good[:-5], ("cut.npy",)),
            "head.npy": (good[:20], ("head.npy",)),
            "empty.npy": (b"", ("empty.npy",)),
            "text.npy": (b"hello, this is no array at all", ("text.npy",)),
            "order.npy": (good.replace(b"'shape'", b"'shope'"), ("order.npy",)),
            "object.npy": (good.replace(b"<f4", b"|O8"), ("object.npy",)),
            "text.npz": (b"PK\x03\x04 but no archive", ("text.npz",)),
            "short.bin": (b"\0" * 31, ("'x'",)),
        }
        for name, (content, parts) in cases.items():
            self.write(name, content)
            self.wrong(["run", "net.plan", "-i", f"x={name}", "--shapes", "x:2x4"], *parts)
        support.npz(self.folder / "other.npz", z=good)
        self.wrong(["run", "net.plan", "-i", "other.npz"], "no input 'z'")
        support.npz(self.folder / "whole.npz", x=good)
        whole = (self.folder / "whole.npz").read_bytes()
        self.good("run", "net.plan", "-i", "whole.npz")
        for size in range(0, len(whole), 7):
            self.write("cut.npz", whole[:size])
            self.wrong(["run", "net.plan", "-i", "cut.npz"], "cut.npz")

    def test_wrong_plan(self):
        for command in ("run", "bench"):
            self.wrong([command, "net.txt"], "net.txt", "does not begin as a plan does")
        self.wrong(["build", "net.plan", "-o", "a.plan"], "net.plan", "no frontend knows")
        self.wrong(["opt", "net.plan"], "net.plan", "no frontend knows")

    def test_wrong_models(self):
        build = ["build", "-", "-o", "a.plan"]
        self.wrong(build, "no frontend knows these 0 bytes")
        self.wrong(build + ["--frontend", "nix"], 'no frontend "nix"')
        self.wrong(["build", "net.txt", "-o", "a.plan", "--frontend", "onnx"], "net.txt", "ONNX")
        for text, part in {
                'graph "a" {\n  input %x: f32[2]\n  %y = std.Nix(%x)\n  output "y": %y\n}\n': "std.Nix",
                'graph "a" {\n  input %x: f32[2]\n  %y = std.Relu(%z)\n  output "y": %y\n}\n': "%z",
                'graph "a" {\n  input %x: f32[2]\n  %y = std.Relu(%x, %x)\n  output "y": %y\n}\n': "std.Relu",
                'graph "a" {\n  input %x: q32[2]\n  output "y": %x\n}\n': "line 2, column 13",
                'graph "a" {\n  input %x: f32[2]\n': "line",
        }.items():
            self.wrong(build, part, stdin=text)
            self.wrong(["opt", "-"], part, stdin=text)
            self.wrong(["inspect", "-"], part, stdin=text)

    def test_names_that_nothing_has(self):
        build = ["build", "net.txt", "-o", "a.plan"]
        self.wrong(build + ["--target", "nix"], "nix")
        self.wrong(build + ["--disable", "nix"], '"nix"')
        self.wrong(build + ["--passes", "nix"], "no pass 'nix'")
        self.wrong(build + ["--passes", "(fold-constants"], "no ')'")
        self.wrong(build + ["--pass-after", "nix"], "--pass-after is ANCHOR:PASS, or ANCHOR beside --plugin, not 'nix'")
        self.wrong(build + ["--pass-before", "nix:remove-dead"], '"nix"')
        self.wrong(build + ["--observe", "nix"], '"nix"')
        self.wrong(build + ["--tactics", "best"], "heuristic, timed or locked, not 'best'")
        self.wrong(build + ["--tactics", "locked"], "needs the lock file")
        self.wrong(["opt", "net.txt", "-p", "nix"], "no pass 'nix'")
        self.wrong(["inspect", "net.txt", "--times"], "--times goes with --html")
        self.wrong(["inspect", "net.txt", "--times", "--html", "a.html"], "--times is for plans")

    def test_without_plugins(self):
        self.write("empty/readme", "no plugin here")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--plugin-path", self.folder / "empty"], "std.MatMul")
        self.wrong(["doctor", "--plugin-path", self.folder / "empty"], "MISSING", "ops_standard", "passes")
        self.write("broken/broken.so", "this is no shared object")
        self.wrong(["build", "net.txt", "-o", "a.plan", "--plugin-path", self.folder / "broken"], "broken/broken.so")
        self.wrong(["plugins", "broken/broken.so"], "broken/broken.so: refused: ")


if __name__ == "__main__":
    support.main()
