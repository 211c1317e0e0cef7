# SPDX-License-Identifier: Apache-2.0
"""Writes the digits network as ONNX: input image [batch,1,8,8], outputs logits and probabilities [batch,10].

Stands between digits_weights.npz and the model cache. The same weights always give the same file.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from digits_network import CLASSES, EPSILON


def export(weights_path, path):
    """Writes the model to path and returns it."""
    weights = dict(np.load(weights_path))
    nodes, value = [], "image"

    def add(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    for block in ("conv1", "conv2"):
        value = add("Conv", [value, f"{block}.weight"], f"{block}.y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        names = [f"{block}.{n}" for n in ("gamma", "beta", "mean", "variance")]
        value = add("BatchNormalization", [value, *names], f"{block}.normal", epsilon=EPSILON)
        value = add("Relu", [value], f"{block}.relu")
    value = add("MaxPool", [value], "pool", kernel_shape=[2, 2], strides=[2, 2])
    value = add("Flatten", [value], "flat")
    value = add("Gemm", [value, "dense1.weight", "dense1.bias"], "dense1", transB=1)
    value = add("Relu", [value], "dense1.relu")
    value = add("Gemm", [value, "dense2.weight", "dense2.bias"], "logits", transB=1)
    add("Softmax", [value], "probabilities", axis=1)

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", CLASSES])
               for n in ("logits", "probabilities")]
    initializers = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "digits", [image], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="trivet-tests")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
