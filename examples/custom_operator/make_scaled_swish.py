#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes scaled_swish.onnx: y = ScaledSwish(x + 1) * 2, where ScaledSwish belongs to the domain `acme`, with beta = 1.5.

    make_scaled_swish.py OUT.onnx       needs the package onnx
"""
import sys

import onnx
from onnx import TensorProto, helper, numpy_helper
import numpy as np

nodes = [
    helper.make_node("Add", ["x", "one"], ["a"], name="shift"),
    helper.make_node("ScaledSwish", ["a"], ["b"], name="swish", domain="acme", beta=1.5),
    helper.make_node("Mul", ["b", "two"], ["y"], name="double"),
]
graph = helper.make_graph(
    nodes, "scaled_swish",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
    [numpy_helper.from_array(np.float32(1), "one"), numpy_helper.from_array(np.float32(2), "two")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)])
model.ir_version = 8
onnx.save(model, sys.argv[1])
