#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`trivet build --tactics timed` and `locked`: plans that depend on the timing cache alone, and files that must be refused.

Runs on the CPU and on the target without hardware, whose device is measured like any other.
"""
import os
import shutil

import command_support as support
from command_support import node, numbers, tensor

NULL_PLUGIN = os.path.abspath(os.environ.get("TRIVET_NULL_PLUGIN", "plugins/null/null.so"))


def residual_network(blocks=3, channels=16):
    """A small relative of ResNet: a stem, residual blocks with batch norms, pooling, a classifier."""
    nodes, tensors = [], []

    def constant(name, shape, scale, offset=0.0):
        count = 1
        for extent in shape:
            count *= extent
        tensors.append(tensor(name, shape, [offset + v for v in numbers(count, scale)]))
        return name

    def convolution(name, x, inputs, outputs, window):
        w = constant(name + "_w", [outputs, inputs, window, window], 1.5 / (inputs * window * window) ** 0.5)
        nodes.append(node("Conv", [x, w], [name], name, pads=[window // 2] * 4))
        norm = [constant(f"{name}_{k}", [outputs], 0.2, o) for k, o in (("g", 1.0), ("b", 0.0), ("m", 0.0), ("v", 1.0))]
        nodes.append(node("BatchNormalization", [name, *norm], [name + "_n"], name + "_norm"))
        return name + "_n"

    def relu(name, x):
        nodes.append(node("Relu", [x], [name], name))
        return name

    x = relu("stem_r", convolution("stem", "x", 3, channels, 3))
    nodes.append(node("MaxPool", [x], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]))
    x = "pooled"
    for b in range(blocks):
        y = relu(f"r{b}", convolution(f"a{b}", x, channels, channels, 3))
        y = convolution(f"b{b}", y, channels, channels, 1 if b % 2 else 3)
        nodes.append(node("Add", [y, x], [f"sum{b}"], f"sum{b}"))
        x = relu(f"out{b}", f"sum{b}")
    nodes.append(node("GlobalAveragePool", [x], ["mean"], "mean"))
    nodes.append(node("Flatten", ["mean"], ["flat"], "flat", axis=1))
    nodes.append(node("Gemm", ["flat", constant("fc_w", [channels, 10], 0.4), constant("fc_b", [10], 0.1)], ["y"], "fc"))
    return support.onnx_model(nodes, [("x", ["batch", 3, 24, 24])], [("y", ["batch", 10])], tensors)


class Tactics:
    """What holds on every target."""
    OPTIONS = ()
    DEVICE = b""
    OTHER = ()  # options that make other regions

    def setUp(self):
        super().setUp()
        self.write("net.onnx", residual_network())

    def build(self, plan, *options, model="net.onnx", **more):
        self.good("build", model, "-o", plan, *self.OPTIONS, *options, **more)
        return (more.get("cwd", self.folder) / plan).read_bytes()

    def read(self, name):
        return (self.folder / name).read_bytes()

    def timed(self, plan="timed.plan", *options, **more):
        return self.build(plan, "--tactics", "timed", "--timing-cache", self.folder / "times", *options, **more)

    def test_one_cache_one_plan(self):
        first = self.timed()
        times = self.read("times")
        self.assertTrue(times.startswith(b"trivet timing cache 1\ndevice " + self.DEVICE), times[:80])
        self.assertGreater(times.count(b"\n"), 8)
        other = self.folder / "other folder"
        other.mkdir()
        shutil.copy(self.folder / "net.onnx", other / "renamed model.onnx")
        for plan, options, more in (("again.plan", (), {}),
                                    ("one.plan", ("--threads", "1"), {}),
                                    ("two.plan", ("--threads", "2"), {}),
                                    ("elsewhere.plan", ("--threads", "2"), {"cwd": other, "model": "renamed model.onnx"})):
            self.assertEqual(self.timed(plan, *options, **more), first, plan)
            self.assertEqual(self.read("times"), times, f"{plan}: everything was known")

    def test_locked_gives_the_timed_plan(self):
        timed = self.timed("timed.plan", "--write-lock", "lock")
        lock = self.read("lock")
        self.assertLess(lock.count(b"\n"), self.read("times").count(b"\n"))
        self.assertEqual(self.build("locked.plan", "--tactics", "locked", self.folder / "lock"), timed)
        self.assertEqual(self.build("spaced.plan", "--tactics", f"locked {self.folder / 'lock'}"), timed)
        self.assertEqual(self.build("again.plan", "--tactics", "locked", "lock", "--write-lock", "lock2"), timed)
        self.assertEqual(self.read("lock2"), lock)
        for name in ("lock", "lock2"):  # code of a device's kernels lies beside
            self.assertEqual((self.folder / (name + ".code")).exists(), self.DEVICE.startswith(b"null"))
        # With all times in the file and the losers in front the winners are the same.
        self.assertEqual(self.build("whole.plan", "--tactics", "locked", "times"), timed)

    def test_a_lock_file_is_obeyed(self):
        timed = self.timed("timed.plan", "--write-lock", "lock")
        lines = self.read("lock").decode().splitlines()
        times = self.read("times").decode().splitlines()
        losers = [t for t in times[2:] if t not in lines]
        self.assertTrue(losers, "somewhere there was a choice")
        kept = [line for line in lines if line[:32] != losers[0][:32]]
        self.write("turned", "\n".join(kept + [losers[0]]) + "\n")
        self.assertNotEqual(self.build("turned.plan", "--tactics", "locked", "turned"), timed)

    def test_the_results_are_those_of_the_heuristic(self):
        self.timed()
        self.build("plain.plan")
        support.npz(self.folder / "x.npz", x=support.npy(numbers(2 * 3 * 576), (2, 3, 24, 24)))
        found = []
        for plan in ("timed", "plain"):
            self.good("run", f"{plan}.plan", "-i", "x.npz", "-o", f"{plan}.npz", *self.RUN)
            found.append(support.load_npz(self.folder / f"{plan}.npz")["y"][1])
        for a, b in zip(*found):
            self.assertAlmostEqual(a, b, delta=1e-4)

    def test_caches_grow(self):
        first = self.timed()
        times = self.read("times").splitlines()
        self.write("larger.onnx", residual_network(blocks=2, channels=24))
        self.timed("larger.plan", "--write-lock", "larger.lock", model="larger.onnx")
        both = self.read("times").splitlines()
        self.assertGreater(len(both), len(times))
        self.assertTrue(set(times) <= set(both))
        self.assertEqual(both[2:], sorted(both[2:]))
        self.assertEqual(self.timed("first.plan"), first)
        # The lock file of the one network holds nothing of the other.
        self.timed("first.plan", "--write-lock", "first.lock")
        kept = set(self.read("first.lock").splitlines()[2:])
        self.assertTrue(kept <= set(times))
        self.assertFalse(kept & set(self.read("larger.lock").splitlines()[2:]) - set(times))

    def refuse(self, name, content, *message):
        self.write(name, content)
        for mode in (("--tactics", "locked", name), ("--tactics", "timed", "--timing-cache", name)):
            self.wrong(["build", "net.onnx", "-o", "refused.plan", *self.OPTIONS, *mode], name, *message)
        self.assertEqual(self.read(name), content if isinstance(content, bytes) else content.encode())
        self.assertFalse((self.folder / "refused.plan").exists())

    def test_foreign_files(self):
        self.timed()
        times = self.read("times")
        device = times.splitlines()[1]
        self.refuse("empty", b"", "not a timing cache")
        self.refuse("model", residual_network(), "not a timing cache")
        self.refuse("later", times.replace(b"cache 1", b"cache 2", 1), "is a timing cache of version 2, this reads 1")
        self.refuse("elsewhere", times.replace(device, b"device gpu of somebody", 1),
                    'holds times of device "gpu of somebody", this is "' + device[7:].decode() + '"')
        self.refuse("cut", times[:-3], "the file is cut off")
        self.refuse("garbled", times + b"hello\n", f":{times.count(10) + 1}: not an entry of a timing cache")

    def locked(self, name, lines, *message):
        self.write(name, "\n".join(lines) + "\n")
        return self.wrong(["build", "net.onnx", "-o", "refused.plan", *self.OPTIONS, "--tactics", "locked", name], *message)

    def test_lock_files_of_something_else(self):
        self.timed("timed.plan", "--write-lock", "lock")
        lines = self.read("lock").decode().splitlines()
        at = 2 + len(lines[2:]) // 2
        fields = lines[at].split('"')
        self.locked("tactic", lines[:at] + [f'{fields[0]}"nix"{fields[2]}'] + lines[at + 1:],
                    'names tactic "nix" of kernel ' + fields[0].split()[1], "which no kernel of target", "node ")
        kernel = lines[at].replace(lines[at].split()[1], "nix.kernel/7")
        self.locked("kernel", lines[:at] + [kernel] + lines[at + 1:], "of kernel nix.kernel/7", "node ")
        self.locked("region", lines + ["f" * 32 + ' cpu.tile/1 "tile" 10'], f"region:{len(lines) + 1}: ",
                    "this network has no such region; 1 of the lock file's lines")
        # Cut off between two lines: the regions behind are missing.
        for kept in {2, at, len(lines) - 1}:
            self.locked("shorter", lines[:kept], "the lock file has no tactic for this region", "node ")
        self.wrong(["build", "net.onnx", "-o", "a.plan", *self.OPTIONS, "--tactics", "locked", "nowhere"],
                   "nowhere", "No such file")
        self.write("other.onnx", residual_network(blocks=1, channels=8))
        self.wrong(["build", "other.onnx", "-o", "a.plan", *self.OPTIONS, "--tactics", "locked", "lock"],
                   "the lock file has no tactic for this region", "node ")

    def test_files_that_nothing_would_use(self):
        build = ["build", "net.onnx", "-o", "a.plan", *self.OPTIONS]
        self.wrong(build + ["--timing-cache", "times"], 'timing cache "times" goes with timed tactics')
        self.wrong(build + ["--write-lock", "lock"], 'lock file "lock" goes with timed tactics')
        self.assertFalse((self.folder / "times").exists())
        self.wrong(build + ["--tactics", "timed", "--timing-cache", "no/where"], "no/where")
        self.wrong(build + ["--tactics", "timed", "--write-lock", "no/where"], "no/where")
        self.wrong(build + ["--skip-nodes", "stem,nix"], "no node 'nix'")
        self.build("skipped.plan", "--skip-nodes", "stem,stem_norm")


class OnTheCpu(Tactics, support.CommandTest):
    DEVICE = b"cpu "
    RUN = ()


class WithoutHardware(Tactics, support.CommandTest):
    OPTIONS = ("--target", "null", "--plugin", NULL_PLUGIN)
    DEVICE = b"null v1\n"
    RUN = ("--plugin", NULL_PLUGIN)


if __name__ == "__main__":
    support.main()
