#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`trivet build` with types of its own: --precision, --layer-precision, --obey-precision, --strongly-typed, --io-format."""
import pathlib
import re

import command_support as support


class Precision(support.CommandTest):
    def setUp(self):
        super().setUp()
        nodes = [
            support.node("Conv", ["image", "w1"], ["c"], "/stem/conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            support.node("Relu", ["c"], ["r"], "/stem/relu"),
            support.node("Conv", ["r", "w2"], ["d"], "/body/conv", kernel_shape=[1, 1]),
            support.node("GlobalAveragePool", ["d"], ["p"], "/head/pool"),
            support.node("Softmax", ["p"], ["y"], "/head/softmax", axis=1),
        ]
        tensors = [support.tensor("w1", [16, 3, 3, 3], support.numbers(16 * 27, 0.01)),
                   support.tensor("w2", [8, 16, 1, 1], support.numbers(128, 0.3))]
        self.write("net.onnx", support.onnx_model(nodes, [("image", ["n", 3, 6, 5])], [("y", ["n", 8, 1, 1])], tensors))
        self.shape = (2, 3, 6, 5)
        self.pixels = [i * 37 % 256 for i in range(180)]
        support.npz(self.folder / "plain.npz", image=support.npy(self.pixels, self.shape))
        # The same as bytes, channels last.
        last = [self.pixels[((n * 3 + c) * 6 + h) * 5 + w] for n in range(2) for h in range(6) for w in range(5) for c in range(3)]
        support.npz(self.folder / "bytes.npz", image=support.npy(last, (2, 6, 5, 3), "|u1"))

    def types(self, *options):
        """Types by node, in the graph behind the last pass that changed something."""
        dump = self.folder / "dump"
        dump.mkdir(exist_ok=True)
        for old in dump.iterdir():
            old.unlink()
        self.good("build", "net.onnx", "-o", "p.plan", "--dump", dump, "--disable", "fold-scale", *options)
        text = sorted(pathlib.Path(dump).glob("*lower-to-*.txt"))[-1].read_text()
        return {op: dtype for op, dtype in re.findall(r"= std\.(\w+)\(.*: (\w+)\[", text) if op != "Cast"}

    def ran(self, plan, inputs):
        self.good("run", plan, "-i", inputs, "-o", "out.npz")
        return support.load_npz(self.folder / "out.npz")["y"]

    def test_rules_by_name_and_by_operator(self):
        self.assertEqual(set(self.types("--precision", "f16").values()), {"f16"})
        found = self.types("--precision", "f16", "--layer-precision", "/head/*:f32")
        self.assertEqual((found["Conv"], found["Softmax"]), ("f16", "f32"))
        found = self.types("--precision", "bf16", "--layer-precision", "op:*Softmax:f32")
        self.assertEqual((found["Conv"], found["Softmax"]), ("bf16", "f32"))
        # The last rule that fits holds, and rules alone lower what they name.
        found = self.types("--layer-precision", "*:bf16", "--layer-precision", "/head/softmax:f16")
        self.assertEqual((found["Conv"], found["Softmax"]), ("bf16", "f16"))
        found = self.types("--layer-precision", "op:*Conv:f16")
        self.assertEqual((found["Conv"], found["Softmax"]), ("f16", "f32"))

    def test_products_may_round(self):
        # The CPU has no units that round: the same plan.
        self.good("build", "net.onnx", "-o", "plain.plan")
        plain = (self.folder / "plain.plan").read_bytes()
        for options in (["--precision", "tf32"], ["--layer-precision", "/stem/*:tf32"],
                        ["--strongly-typed", "--precision", "tf32"]):
            self.good("build", "net.onnx", "-o", "t.plan", *options)
            self.assertEqual((self.folder / "t.plan").read_bytes(), plain)
        found = self.types("--precision", "f16", "--layer-precision", "/head/softmax:tf32")
        self.assertEqual((found["Conv"], found["Softmax"]), ("f16", "f32"))
        self.wrong(["build", "net.onnx", "-o", "t.plan", "--precision", "tf33"], "tf33")

    def test_results_stay_close(self):
        self.good("build", "net.onnx", "-o", "a.plan")
        exact = self.ran("a.plan", "plain.npz")
        self.types("--layer-precision", "/stem/*:f16", "--layer-precision", "/body/*:bf16", "--obey-precision")
        close = self.ran("p.plan", "plain.npz")
        self.assertEqual(exact[0], close[0])
        for a, b in zip(exact[1], close[1], strict=True):
            self.assertAlmostEqual(a, b, delta=0.02)
        self.assertNotEqual(exact[1], close[1])

    def test_what_cannot_be_done(self):
        build = ["build", "net.onnx", "-o", "x.plan"]
        self.wrong([*build, "--layer-precision", "/tail/*:f16"], '"/tail/*" fits no node')
        self.wrong([*build, "--layer-precision", "/stem/conv"], "--layer-precision PATTERN:TYPE")
        self.wrong([*build, "--layer-precision", "/stem/conv:i32"], "f32, f16 or bf16, not i32")
        self.wrong([*build, "--strongly-typed", "--precision", "f16"], "strongly typed")
        self.wrong([*build, "--strongly-typed", "--layer-precision", "*:f16"], "strongly typed")
        self.good(*build, "--strongly-typed")
        # An operator whose numbers are exact: a warning, or an error where rules are to be obeyed.
        self.write("sum.onnx", support.onnx_model(
            [support.node("CumSum", ["x", "axis"], ["y"], "running")], [("x", [4])], [("y", [4])],
            [support.field(5, support.field(2, 7) + support.field(8, "axis") + support.field(9, bytes(8)))]))
        kept = ["build", "sum.onnx", "-o", "x.plan", "--layer-precision", "running:f16"]
        self.assertIn("running", self.good(*kept).err)
        self.wrong([*kept, "--obey-precision"], "running", "f16", "does not take")
        # The network's own types are not changed by rules.
        self.write("half.onnx", support.onnx_model(
            [support.node("Cast", ["x"], ["h"], "narrow", to=10), support.node("Exp", ["h"], ["e"], "exp"),
             support.node("Cast", ["e"], ["y"], "widen", to=1)], [("x", [4])], [("y", [4])], []))
        own = ["build", "half.onnx", "-o", "x.plan", "--layer-precision", "exp:f32"]
        self.assertIn("the network itself computes it on f16", self.good(*own).err)
        self.wrong([*own, "--obey-precision"], "the network itself computes it on f16")

    def test_inputs_and_outputs_as_the_caller_has_them(self):
        self.good("build", "net.onnx", "-o", "a.plan")
        self.good("build", "net.onnx", "-o", "b.plan", "--io-format", "image:u8:channels-last", "--io-format", "y:f64",
                  "--min", "image:1x6x5x3", "--opt", "image:2x6x5x3", "--max", "image:4x6x5x3")
        shown = self.good("inspect", "b.plan").out
        self.assertRegex(shown, r'input "image" u8\[\w+, 6, 5, 3\]')
        self.assertRegex(shown, r'output "y" f64')
        plain, bytes_ = self.ran("a.plan", "plain.npz"), self.ran("b.plan", "bytes.npz")
        for a, b in zip(plain[1], bytes_[1], strict=True):
            self.assertAlmostEqual(a, b, places=5)
        self.good("build", "net.onnx", "-o", "c.plan", "--io-format", "y:channels-last")
        self.assertEqual(self.ran("c.plan", "plain.npz")[0], (2, 1, 1, 8))
        build = ["build", "net.onnx", "-o", "x.plan", "--io-format"]
        self.wrong([*build, "picture:f16"], '"picture"')
        self.wrong([*build, "image:rgb"], "'rgb' is no element type")
        # An input that is an output as well.
        self.write("same.txt", 'graph "same" {\n  input %x: f32[2]\n  output "x": %x\n}\n')
        self.good("build", "same.txt", "-o", "s.plan", "--io-format", "x:f16")

    def test_inputs_that_no_file_gives_are_random_in_every_type(self):
        for dtype in ("f16", "bf16", "f32", "f64", "f8e4m3fn", "i8", "u8", "i16", "u16", "i32", "i64"):
            with self.subTest(dtype):
                to = "i64" if dtype[0] in "iu" else "f64"
                self.write("cast.txt", 'graph "cast" {\n  input %%x: %s[64]\n  %%y = std.Cast(%%x) {to = %s}\n'
                                       '  output "y": %%y\n}\n' % (dtype, to))
                self.good("build", "cast.txt", "-o", "c.plan")
                self.good("run", "c.plan", "-o", "out.npz")
                found = support.load_npz(self.folder / "out.npz")["y"][1]
                if to == "i64":
                    self.assertEqual(set(found), {0, 1})
                    continue
                self.assertGreater(len(set(found)), 16)
                self.assertTrue(all(-1 <= v <= 1 for v in found))
                self.assertTrue(min(found) < -0.5 and max(found) > 0.5)


if __name__ == "__main__":
    support.main()
