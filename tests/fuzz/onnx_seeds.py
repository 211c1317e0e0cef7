# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of onnx_fuzz: small models that together reach every part of the frontend.

    python tests/fuzz/onnx_seeds.py tests/fuzz/onnx_seeds

Needs the PyPI package onnx. The files are in the tree; run it after adding a case here.
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as n


def value(name, dims, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, dims)


def model(nodes, inputs, outputs, initializers=(), opset=17, functions=(), domains=(), sparse=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers), sparse_initializer=list(sparse))
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(d, 1) for d in domains]
    return h.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)


X, Y = value("x", ["batch", 3, 8, 8]), value("y", None)
W = n.from_array(np.ones((4, 3, 3, 3), np.float16), "w")


def convolution():
    typed = h.make_tensor("b", T.FLOAT16, [4], [0.5, 1, 2, 3])
    nodes = [
        h.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], auto_pad="NOTSET"),
        h.make_node("Clip", ["c"], ["d"], min=0.0, max=6.0),
        h.make_node("Dropout", ["d"], ["e", "mask"], ratio=0.25),
        h.make_node("Softmax", ["e"], ["y"]),
    ]
    return model(nodes, [value("x", ["batch", 3, 8, 8], T.FLOAT16)], [Y], [W, typed], opset=7)


def movement():
    nodes = [
        h.make_node("Slice", ["x"], ["a"], starts=[0], ends=[2], axes=[1]),
        h.make_node("Pad", ["a"], ["b"], pads=[0, 0, 1, 1, 0, 0, 1, 1], value=1.5),
        h.make_node("Split", ["b"], ["c", "d"], axis=1),
        h.make_node("Squeeze", ["c"], ["e"], axes=[1]),
        h.make_node("TopK", ["e"], ["f", "i"], k=2),
        h.make_node("ReduceMean", ["f"], ["g"], axes=[1]),
        h.make_node("Upsample", ["d"], ["y"], scales=[1.0, 1.0, 2.0, 2.0], mode="bilinear"),
    ]
    return model(nodes, [X], [Y, value("g", None)], opset=8)


def constants():
    nodes = [
        h.make_node("Constant", [], ["a"], value_floats=[1.0, 2.0]),
        h.make_node("Constant", [], ["b"], value_int=3),
        h.make_node("Constant", [], ["c"], value=h.make_tensor("", T.INT4, [3], [1, -2, 3])),
        h.make_node("ConstantOfShape", ["s"], ["y"], value=h.make_tensor("", T.INT64, [1], [7])),
    ]
    typed = [h.make_tensor("s", T.INT64, [2], [2, 3]), h.make_tensor("u", T.UINT32, [2], [1, 2])]
    typed += [h.make_tensor("d", T.DOUBLE, [1], [0.1]), h.make_tensor("t", T.BOOL, [2], [True, False])]
    far = onnx.TensorProto(name="far", data_type=T.FLOAT, dims=[4], data_location=T.EXTERNAL)
    for key, text in (("location", "w.bin"), ("offset", "16"), ("length", "16")):
        far.external_data.add(key=key, value=text)
    few = h.make_sparse_tensor(
        h.make_tensor("few", T.FLOAT, [2], [7, 8]), h.make_tensor("", T.INT64, [2, 2], [0, 2, 1, 0]), [2, 3]
    )
    return model(nodes, [value("unused", [0, -1, None, "a b"])], [Y], typed + [far], sparse=[few], opset=21)


def control():
    then = h.make_graph([h.make_node("Neg", ["x"], ["t"])], "then", [], [value("t", None)])
    other = h.make_graph([], "else", [], [value("x", None)])
    body = h.make_graph(
        [h.make_node("If", ["k"], ["b"], then_branch=then, else_branch=other), h.make_node("Add", ["a", "b"], ["o"])],
        "body",
        [value("i", [], T.INT64), value("k", [], T.BOOL), value("a", ["batch", 3])],
        [value("k", None, T.BOOL), value("o", None), value("b", None)],
    )
    scan = h.make_graph(
        [h.make_node("Add", ["s", "e"], ["u"])], "scan", [value("s", [3]), value("e", [3])], [value("u", None)]
    )
    nodes = [
        h.make_node("Loop", ["m", "", "x"], ["l", "all"], body=body),
        h.make_node("Scan", ["z", "x"], ["y"], body=scan, num_scan_inputs=1, scan_input_axes=[0]),
    ]
    inputs = [value("x", ["batch", 3]), value("m", [], T.INT64), value("z", [3])]
    return model(nodes, inputs, [Y, value("all", None), value("l", None)])


def functions():
    reference = onnx.AttributeProto(name="alpha", ref_attr_name="beta", type=onnx.AttributeProto.FLOAT)
    elu = h.make_node("Elu", ["p"], ["t"])
    elu.attribute.append(reference)
    inner = h.make_function(
        "local", "Inner", ["p", "q"], ["r"], [elu, h.make_node("Clip", ["t", "q"], ["r"])], [h.make_opsetid("", 17)], ["beta"]
    )
    call = h.make_node("Inner", ["a"], ["b"], domain="local", beta=0.5, name="in")
    outer = h.make_function("local", "Outer", ["a"], ["b"], [call], [h.make_opsetid("", 11), h.make_opsetid("local", 1)])
    nodes = [
        h.make_node("Outer", ["x"], ["o"], domain="local"),
        h.make_node("Op", ["o", "", "x"], ["y"], domain="acme", i=1, s="t", fs=[1.0], ss=["a"], t=n.from_array(np.ones(2))),
    ]
    return model(nodes, [X], [Y], functions=[inner, outer], domains=["local", "acme"])


def contrib():
    nodes = [
        h.make_node("SkipLayerNormalization", ["x", "x", "g", "g"], ["a", "", "", "s"], domain="com.microsoft"),
        h.make_node("FusedMatMul", ["a", "s"], ["b"], domain="com.microsoft", transB=1, alpha=0.5),
        h.make_node("FusedConv", ["b", "w"], ["c"], domain="com.microsoft", activation="Clip", activation_params=[0.0, 6.0]),
        h.make_node("BiasGelu", ["c", "g"], ["d"], domain="com.microsoft"),
        h.make_node("GroupNormalization", ["d", "g", "g"], ["y"], num_groups=1),
    ]
    weights = [n.from_array(np.ones(8, np.float32), "g"), n.from_array(np.ones((3, 3, 1, 1), np.float32), "w")]
    return model(nodes, [X], [Y], weights, opset=18, domains=["com.microsoft"])


def attention():
    nodes = [
        h.make_node("Attention", ["x", "w", "b", "m"], ["a"], domain="com.microsoft", num_heads=2, unidirectional=1),
        h.make_node("MultiHeadAttention", ["a", "a", "a", "b"], ["c"], domain="com.microsoft", num_heads=2, scale=0.5),
        h.make_node("RotaryEmbedding", ["c", "m", "k", "k"], ["y"], domain="com.microsoft", interleaved=1),
    ]
    weights = [n.from_array(np.ones(s, np.float32), name) for name, s in (("w", (8, 24)), ("b", (24,)), ("k", (4, 2)))]
    inputs = [value("x", ["batch", 5, 8]), value("m", ["batch", 5], T.INT64)]
    return model(nodes, inputs, [Y], weights, domains=["com.microsoft"])


def columns():
    nodes = [
        h.make_node("Scaler", ["x"], ["a"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]),
        h.make_node("Imputer", ["a"], ["b"], domain="ai.onnx.ml", imputed_value_floats=[1.0], replaced_value_float=float("nan")),
        h.make_node("Binarizer", ["b"], ["c"], domain="ai.onnx.ml", threshold=0.5),
        h.make_node("ArrayFeatureExtractor", ["c", "i"], ["y"], domain="ai.onnx.ml"),
    ]
    return model(nodes, [value("x", ["rows", 4], T.INT64)], [Y], [n.from_array(np.array([0, 2]), "i")], domains=["ai.onnx.ml"])


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for make in (convolution, movement, constants, control, functions, contrib, attention, columns):
        with open(os.path.join(folder, make.__name__ + ".onnx"), "wb") as file:
            file.write(make().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
