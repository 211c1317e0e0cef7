#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests those who judge: planted errors must be found, and the float64 reference must agree with published ONNX data.

Stands before ./dev compare and ./dev onnx-tests, whose verdicts are worth no more than this. Needs no build.
"""
import pathlib
import sys
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]
import compare  # noqa: E402
import float64_reference  # noqa: E402
import model_inputs  # noqa: E402
import models  # noqa: E402
import node_cases  # noqa: E402
import onnx_node_tests  # noqa: E402
import trivet_cli  # noqa: E402

# Node tests of operators of the float64 reference that use a form which no model has; it refuses them by name.
REFUSED = ("Resize", "CumSum", "ConvTranspose", "GatherND", "MaxPool", "AveragePool")


class CompareTest(unittest.TestCase):
    def row(self, ours, theirs, exact):
        row = compare.Row("model/output")
        row.add("case", np.asarray(ours, np.float32), np.asarray(theirs, np.float32), np.asarray(exact, np.float64))
        return row

    def test_equal_outputs_pass(self):
        self.assertEqual(self.row([1, 2], [1, 2], [1, 2]).faults(), [])

    def test_an_error_above_the_limit_is_found(self):
        self.assertEqual(len(self.row([1, 2.0001], [1, 2], [1, 2]).faults()), 2)

    def test_twice_the_error_of_the_peer_is_found(self):
        row = self.row([1 + 2e-6], [1 + 1e-6], [1])
        self.assertEqual(len(row.faults()), 1)
        self.assertIn("against float64", row.faults()[0])

    def test_nan_and_infinity_are_found(self):
        for bad in (np.nan, np.inf):
            self.assertTrue(self.row([1, bad], [1, 2], [1, 2]).faults())

    def test_one_wrong_case_is_not_hidden_by_a_right_one(self):
        row = self.row([1], [1], [1])
        row.add("second", np.float32([1.1]), np.float32([1]), np.float64([1]))
        self.assertEqual(row.case, "second")
        self.assertTrue(row.faults())

    def test_another_shape_is_an_error(self):
        with self.assertRaises(trivet_cli.TrivetError):
            compare.difference(np.zeros((2, 1)), np.zeros(2))

    def test_zero_reference(self):
        self.assertEqual(self.row([0], [0], [0]).faults(), [])
        self.assertTrue(self.row([1e-30], [0], [0]).faults())


class NodeJudgeTest(unittest.TestCase):
    def case(self, operator="Relu", dtype=TensorProto.FLOAT, values=(0.0, 1.0)):
        array = np.asarray(values, helper.tensor_dtype_to_np_dtype(dtype))
        infos = [helper.make_tensor_value_info(n, dtype, array.shape) for n in "xy"]
        graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", infos[:1], infos[1:])

        class Test:
            name, model, rtol, atol = "test_case", helper.make_model(graph), 1e-3, 1e-7
            data_sets = [([array], [array])]
        return node_cases.Case(Test)

    def letter(self, case, verdict, message="", outputs=()):
        return onnx_node_tests.decide(case, verdict, message, list(outputs))[0]

    def test_right_and_wrong_outputs(self):
        case, right = self.case(), np.float32([0, 1]).tobytes()
        self.assertEqual(self.letter(case, "ok", outputs=[("f32", [2], right)]), "P")
        for wrong in (("f64", [2], right), ("f32", [1, 2], right), ("f32", [2], np.float32([0, 2]).tobytes()),
                      ("f32", [2], np.float32([0, np.nan]).tobytes())):
            self.assertEqual(self.letter(case, "ok", outputs=[wrong]), "F")
        self.assertEqual(self.letter(case, "ok"), "F")

    def test_unsupported(self):
        self.assertEqual(self.letter(self.case(), "unsupported", "Relu"), "F", "promised")
        self.assertEqual(self.letter(self.case("Det"), "unsupported", "operator Det"), "U")
        self.assertEqual(self.letter(self.case("Det"), "unsupported", "no idea"), "F", "names no operator")
        self.assertEqual(self.letter(self.case(dtype=TensorProto.FLOAT8E5M2), "unsupported", "Relu of f8e5m2"), "U")

    def test_crash_and_error_fail(self):
        for verdict in ("crash", "timeout", "error"):
            self.assertEqual(self.letter(self.case("Det"), verdict, "Det"), "F")

    def test_packing_of_small_types(self):
        tensor = helper.make_tensor("t", TensorProto.INT4, [3], [1, -1, 7])
        self.assertEqual(node_cases.raw_bytes(tensor), bytes([0xF1, 0x07]))
        from_array = numpy_helper.from_array(numpy_helper.to_array(tensor))
        self.assertEqual(node_cases.raw_bytes(from_array), bytes([0xF1, 0x07]))

    def test_shape_inputs_become_constants(self):
        case = next(c for c in node_cases.collect("^test_reshape_reordered_all_dims$")[0])
        self.assertEqual(case.shape_inputs(), {"shape"})
        model = case.with_constants()
        self.assertEqual([i.name for i in model.graph.input], ["data"])
        onnx.checker.check_model(model)


class ReferenceTest(unittest.TestCase):
    """The float64 reference against the node tests of the package onnx."""

    def test_published_cases(self):
        cases, _ = node_cases.collect()
        passed = refused = 0
        for case in cases:
            floats = {t.data_type for _, t in case.inputs + case.outputs if t is not None}
            node = case.model.graph.node[0]
            if (case.subject not in float64_reference.OPERATORS or not case.types() <= node_cases.FULL_TYPES
                    or TensorProto.FLOAT16 in floats or TensorProto.BFLOAT16 in floats
                    or len(node.output) != len(case.outputs)):
                continue
            opsets = {o.domain: o.version for o in case.model.opset_import}
            values = {i.name: float64_reference.widen(numpy_helper.to_array(t)) for i, t in case.inputs}
            arguments = [values.get(name) for name in node.input]
            function = float64_reference.OPERATORS[case.subject]
            try:
                result = function(float64_reference.Node(node, opsets.get("", 0)), *arguments)
            except (NotImplementedError, TypeError) as error:
                self.assertIn(case.subject, REFUSED, f"{case.name}: {error}")
                refused += 1
                continue
            results = result if isinstance(result, tuple) else (result,)
            for got, (info, expected) in zip(results, case.outputs):
                with self.subTest(case.name):
                    np.testing.assert_allclose(np.asarray(got).astype(np.float64),
                                               numpy_helper.to_array(expected).astype(np.float64), rtol=2e-5, atol=1e-6)
            passed += 1
        print(f"float64 reference: {passed} node tests agree, {refused} in forms that no model has", file=sys.stderr)
        self.assertGreater(passed, 250)


class ListTest(unittest.TestCase):
    def test_every_case_makes_its_inputs(self):
        for entry in models.load_list("compare"):
            self.assertIn(entry["bench"], [c["name"] for c in entry["cases"]])
            for case in entry["cases"]:
                for name, value in case["symbols"].items():
                    low, _, high = entry["profile"][name]
                    self.assertTrue(low <= value <= high, f"{entry['name']}/{case['name']}: {name}")
                if case["maker"] in ("random", "digits", "ocr_lines", "file_bytes"):
                    self.assertTrue(model_inputs.make_inputs(entry, case))

    def test_shapes_option(self):
        inputs = [{"name": "x", "dims": ["n", 3]}, {"name": "s", "dims": []}, {"name": "y", "dims": ["n"]}]
        self.assertEqual(trivet_cli.profile_options(inputs, {"n": [1, 2, 4]}),
                         ["--min", "x:1x3,y:1", "--opt", "x:2x3,y:2", "--max", "x:4x3,y:4"])


if __name__ == "__main__":
    unittest.main()
