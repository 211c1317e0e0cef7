#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `trivet build` tells about a plan: near misses by pass, origin and reason; observed values by their model's name."""
import json

import command_support as support
from command_support import field, node, numbers, struct, tensor


def near_misses():
    """A network that three passes nearly change: each planted reason is named beside its node."""
    pads = field(5, field(1, 8) + field(2, 7) + field(8, "pads") + field(9, struct.pack("<8q", 0, 0, 1, 1, 0, 0, 1, 1)))
    return support.onnx_model([
        node("Conv", ["x", "w"], ["c"], "stem", pads=[1, 1, 1, 1]),
        # c is read by join as well: the scale cannot go into the weights of stem.
        node("BatchNormalization", ["c", "g", "b", "mean", "var"], ["n"], "stem_norm"),
        # s is an output as well: the sigmoid has to be computed anyway.
        node("Sigmoid", ["n"], ["s"], "gate"),
        node("Mul", ["n", "s"], ["h"], "swish"),
        node("Add", ["c", "h"], ["j"], "join"),
        # Filled with ones: a convolution pads with zeros.
        node("Pad", ["j", "pads", "one"], ["p"], "border"),
        node("Conv", ["p", "w2"], ["y"], "head"),
        node("Identity", ["s"], ["z"], "tap"),
    ], [("x", ["batch", 3, 8, 8])], [("y", ["batch", 4, 8, 8]), ("z", ["batch", 4, 8, 8])], [
        tensor("w", [4, 3, 3, 3], numbers(108, 0.3)), tensor("g", [4], [1.0, 2.0, 0.5, 1.5]),
        tensor("b", [4], [0.1, 0.2, 0.3, -0.4]), tensor("mean", [4], [0.1, 0.0, -0.1, 0.2]),
        tensor("var", [4], [1.0, 0.5, 2.0, 1.2]), tensor("w2", [4, 4, 3, 3], numbers(144, 0.2)),
        tensor("one", [], [1.0]), pads])


def chain():
    """Convolution, bias, activation, residual, activation: what fuses into one or two steps."""
    return support.onnx_model([
        node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Mul", ["r", "half"], ["m"], "scale"),
        node("Add", ["m", "x"], ["a"], "residual"),
        node("Sigmoid", ["a"], ["s"], "sigmoid"),
        node("Mul", ["a", "s"], ["y"], "swish"),
    ], [("x", ["batch", 4, 6, 6])], [("y", ["batch", 4, 6, 6])], [
        tensor("w", [4, 4, 3, 3], numbers(144, 0.3)), tensor("b", [4], [0.1, -0.2, 0.3, -0.4]),
        tensor("half", [], [0.5])])


class NearMisses(support.CommandTest):
    PLANTED = [
        ("recognize-swish", "swish", "the sigmoid is needed elsewhere"),
        ("fold-batch-norm", "stem_norm",
         "not folded into the node before it: the result of the node before it is needed elsewhere"),
        ("fold-pad", "head", "the padding before it stays: the padding is not 0"),
    ]

    def test_text(self):
        self.write("near.onnx", near_misses())
        report = self.good("build", "near.onnx", "-o", "near.plan", "--explain").out
        misses = report.split("near misses:\n")[1]
        for by, origin, why in self.PLANTED:
            self.assertIn(f"  {by} at {origin}: {why}\n", misses)

    def test_json(self):
        self.write("near.onnx", near_misses())
        self.good("build", "near.onnx", "-o", "near.plan", "--json", "near.json")
        report = json.loads((self.folder / "near.json").read_text())
        told = [(n["by"], n["origin"], n["text"]) for n in report["notes"] if n["declined"]]
        for planted in self.PLANTED:
            self.assertIn(planted, told)
        made = {step["made_by"] for step in report["steps"]}
        self.assertTrue(made)
        for step in report["steps"]:
            self.assertTrue(step["kernel"] and step["name"] and step["made_by"], step)

    def test_without_the_reason_there_is_no_miss(self):
        # The same network without the second reader of s: the pass takes it and says so.
        model = near_misses().replace(b"\x0a\x01s\x12\x01z", b"\x0a\x01n\x12\x01z")
        self.assertNotEqual(model, near_misses())
        self.write("near.onnx", model)
        report = self.good("build", "near.onnx", "-o", "near.plan", "--explain")
        self.assertNotIn("the sigmoid is needed elsewhere", report.out)

    def test_a_disabled_pass_is_not_a_miss(self):
        self.write("near.onnx", near_misses())
        report = self.good("build", "near.onnx", "-o", "near.plan", "--explain", "--disable", "recognize-swish").out
        self.assertNotIn("recognize-swish at swish", report)


class Observed(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.write("chain.onnx", chain())
        support.npz(self.folder / "x.npz", x=support.npy(numbers(2 * 4 * 36), (2, 4, 6, 6)))

    def build_and_run(self, name, *options):
        self.good("build", "chain.onnx", "-o", f"{name}.plan", *options)
        self.good("run", f"{name}.plan", "-i", "x.npz", "-o", f"{name}.npz")
        return support.load_npz(self.folder / f"{name}.npz")

    def steps(self, name):
        plan = json.loads(self.good("inspect", f"{name}.plan", "--json").out)
        return sum(len(program["layers"]) for program in plan["programs"])

    def test_any_value_of_a_fused_plan(self):
        plain = self.build_and_run("plain")
        # Not optimised and not fused: what every value is.
        apart = self.build_and_run("apart", "--passes", "", "--disable", "fuse-epilogue", "--disable",
                                   "fuse-elementwise", *(w for v in "crmas" for w in ("--observe", v)))
        self.assertLess(self.steps("plain"), 6)
        # s is inside of what recognize-swish replaces by one function: it is computed beside.
        for value in "crmas":
            observed = self.build_and_run("observed_" + value, "--observe", value)
            self.assertEqual(sorted(observed), [value, "y"])
            self.assertEqual(observed["y"][2], plain["y"][2], f"observing {value} changed the result")
            shape, numbers_now, _ = observed[value]
            self.assertEqual(shape, (2, 4, 6, 6))
            for got, wanted in zip(numbers_now, apart[value][1]):
                self.assertLessEqual(abs(got - wanted), 1e-5 * (1 + abs(wanted)), value)

    def test_all_at_once(self):
        plain = self.build_and_run("plain")
        observed = self.build_and_run("all", *(w for v in "crmas" for w in ("--observe", v)))
        self.assertEqual(sorted(observed), sorted("crmasy"))
        self.assertEqual(observed["y"][2], plain["y"][2])


if __name__ == "__main__":
    support.main()
