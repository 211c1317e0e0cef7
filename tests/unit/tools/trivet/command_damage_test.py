#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged and foreign plans through the command: cut anywhere, any byte flipped, another version, target or plugin."""
import concurrent.futures
import os
import re
import struct

import command_support as support

# Under a sanitizer every start takes long; a stride that has no common factor with the layout visits all parts anyway.
STRIDE = int(os.environ.get("TRIVET_DAMAGE_STRIDE", "1"))


NULL_PLUGIN = os.path.abspath(os.environ.get("TRIVET_NULL_PLUGIN", "plugins/null/null.so"))


class Damage(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.write("empty/readme", "")
        self.good("build", "net.txt", "-o", "net.plan")
        self.plan = (self.folder / "net.plan").read_bytes()

    def refuse_all(self, variants):
        """Each (name, bytes): an error with a message, never a signal. Returns the messages."""
        def refuse(variant):
            name, content = variant
            path = self.folder / f"damaged-{name}.plan"
            path.write_bytes(content)
            # No plugin is needed to find damage; without them a start takes milliseconds.
            result = self.run_it("run", path.name, "--plugin-path", self.folder / "empty")
            path.unlink()
            return name, result

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(refuse, variants))
        self.assertGreater(len(results), 20)
        for name, result in results:
            self.assertEqual(result.code, 1, f"{name}: {result}")
            self.assertTrue(result.err.startswith("trivet run: "), f"{name}: {result}")
            self.assertIn(f"damaged-{name}.plan: plan: ", result.err)
        return [result.err for _, result in results]

    def test_the_plan_itself_runs(self):
        self.good("run", "net.plan", "--plugin-path", self.folder / "empty")

    def test_cut_everywhere(self):
        sizes = sorted(set(range(0, len(self.plan), 5 * STRIDE)) | set(range(0, 64, STRIDE)) | {len(self.plan) - 1})
        self.refuse_all((f"cut-{n}", self.plan[:n]) for n in sizes)

    def test_longer(self):
        result = self.run_it("inspect", self.write("longer.plan", self.plan + b"\0"))
        self.assertEqual(result.code, 1)
        self.assertIn("longer.plan", result.err)

    def test_every_byte_flipped(self):
        def flipped(at):
            damaged = bytearray(self.plan)
            damaged[at] ^= 0xFF if at % 2 else 1 << at % 8
            return f"flip-{at}", bytes(damaged)

        self.refuse_all(flipped(at) for at in range(0, len(self.plan), STRIDE))

    def test_inspect_and_bench_refuse_too(self):
        damaged = bytearray(self.plan)
        damaged[len(damaged) // 2] ^= 0x10
        self.write("flip.plan", bytes(damaged))
        for command in ("inspect", "bench", "run"):
            self.wrong([command, "flip.plan"], "flip.plan: plan: ")

    def test_other_major_version(self):
        for major in (0, 2, 77):
            other = self.plan[:8] + struct.pack("<I", major) + self.plan[12:]
            self.write("other.plan", other)
            for command in ("run", "inspect", "bench"):
                self.refused([command, "other.plan"],
                             f"INCOMPATIBLE: other.plan: plan: format version {major}.0, this library reads 1.x")

    def refused(self, words, message):
        """The whole of what is said, and nothing on standard output."""
        result = self.run_it(*words)
        self.assertEqual((result.code, result.err, result.out), (1, f"trivet {words[0]}: {message}\n", ""))

    def test_other_target(self):
        null = ["--plugin", NULL_PLUGIN]
        self.good("build", "net.txt", "-o", "null.plan", "--target", "null", *null)
        self.good("run", "null.plan", *null)
        self.good("build", "net.txt", "-o", "later.plan", "--target", "null:v9", *null)
        for command in ("run", "bench"):
            self.refused([command, "null.plan"], "UNAVAILABLE: null.plan: the plan needs plugin 'null' (it was built with "
                         "version 0.1), which is not loaded")
            self.refused([command, "later.plan", *null], "INCOMPATIBLE: later.plan: the plan is for target 'null:v9', "
                         "device 0 is 'null device 0', target 'null:v1'")
            self.refused([command, "null.plan", "--device", "7", *null], "UNAVAILABLE: null.plan: the plan is for target "
                         "'null:v1': device 7 of target 'null': there are 2 null devices, wanted is number 7")
        self.good("inspect", "null.plan")  # who has no such target can still look at it

    def test_missing_plugin(self):
        # A product of this size is worth the library, whose kernel the runtime then has to find.
        self.write("big.txt", "\n".join([
            'graph "big" {', "  input %x: f32[64, 512]", "  const %w: f32[512, 512] = splat(0.01)",
            "  %y = std.MatMul(%x, %w)", '  output "y": %y', "}", ""]))
        report = self.good("build", "big.txt", "-o", "big.plan", "--explain").out
        self.assertIn("cpu_onednn", report)
        self.good("run", "big.plan")
        version = re.search(r'plugin "cpu_onednn" "([^"]+)"', self.good("inspect", "big.plan").out).group(1)
        for command in ("run", "bench"):
            self.refused([command, "big.plan", "--plugin-path", str(self.folder / "empty")], "UNAVAILABLE: big.plan: the plan "
                         f"needs plugin 'cpu_onednn' (it was built with version {version}), which is not loaded")
        self.assertIn("cpu_onednn", self.good("inspect", "big.plan", "--plugin-path", self.folder / "empty").out)

    def test_empty_and_foreign_files(self):
        for name, content in {"empty.plan": b"", "zero.plan": b"\0" * 4096, "magic.plan": b"TRIVET\r\n",
                              "text.plan": b"TRIVET\n" + self.plan[7:]}.items():
            self.write(name, content)
            self.wrong(["run", name], f"{name}: plan: ")


if __name__ == "__main__":
    support.main()
