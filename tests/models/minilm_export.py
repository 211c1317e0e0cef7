# SPDX-License-Identifier: Apache-2.0
"""Writes the sentence-embedding model MiniLM-L6 (a BERT encoder of six layers) as ONNX.

Stands between the safetensors file of a PyPI package and the model cache. Written in small operators on purpose
(layer norm, GELU and attention spelled out, opset 14), so that their recognition is tested on trained weights. Must
not import a training framework. Inputs input_ids, attention_mask, token_type_ids: int64 [batch, seq]; output
sentence_embedding: float32 [batch, hidden], mean over unmasked tokens, of length one.
"""
import json
import math
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def read_safetensors(path):
    """Float32 tensors of a safetensors file: 8-byte header length, JSON header, raw little-endian bytes."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:8 + length]))
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + length + o for o in entry["data_offsets"])
            tensors[name] = np.frombuffer(bytes(data[begin:end]), dtype="<f4").reshape(entry["shape"])
    return tensors


class Writer:
    """Collects nodes and initializers; every method returns the name of a value."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.initializers, self.scope = tensors, [], {}, ""

    def constant(self, name, array):
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name, transposed=False):
        array = self.tensors[name]
        return self.constant(name + (".T" if transposed else ""), array.T if transposed else array)

    def scalar(self, value):
        return self.constant(f"scalar_{value:g}", np.float32(value))

    def ints(self, *values):
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def op(self, kind, *inputs, **attributes):
        name = f"{self.scope}/{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x, prefix):
        product = self.op("MatMul", x, self.weight(prefix + ".weight", transposed=True))
        return self.op("Add", product, self.weight(prefix + ".bias"))

    def layer_norm(self, x, prefix, epsilon):
        mean = self.op("ReduceMean", x, axes=[-1])
        centred = self.op("Sub", x, mean)
        variance = self.op("ReduceMean", self.op("Pow", centred, self.scalar(2)), axes=[-1])
        deviation = self.op("Sqrt", self.op("Add", variance, self.scalar(epsilon)))
        normalised = self.op("Div", centred, deviation)
        scaled = self.op("Mul", normalised, self.weight(prefix + ".weight"))
        return self.op("Add", scaled, self.weight(prefix + ".bias"))

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.scalar(math.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar(1))), self.scalar(0.5))

    def heads(self, x, count, size):
        split = self.op("Reshape", x, self.ints(0, 0, count, size))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def attention(self, x, prefix, mask, config):
        count = config["num_attention_heads"]
        size = config["hidden_size"] // count
        query, key, value = (self.heads(self.linear(x, f"{prefix}.self.{n}"), count, size)
                             for n in ("query", "key", "value"))
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.op("Add", self.op("Div", scores, self.scalar(math.sqrt(size))), mask)
        context = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        context = self.op("Transpose", context, perm=[0, 2, 1, 3])
        return self.op("Reshape", context, self.ints(0, 0, count * size))

    def layer(self, x, index, mask, config):
        prefix, epsilon = f"encoder.layer.{index}", config["layer_norm_eps"]
        self.scope = prefix
        attended = self.linear(self.attention(x, prefix + ".attention", mask, config),
                               prefix + ".attention.output.dense")
        x = self.layer_norm(self.op("Add", attended, x), prefix + ".attention.output.LayerNorm", epsilon)
        inner = self.gelu(self.linear(x, prefix + ".intermediate.dense"))
        outer = self.linear(inner, prefix + ".output.dense")
        return self.layer_norm(self.op("Add", outer, x), prefix + ".output.LayerNorm", epsilon)

    def embeddings(self, config):
        self.scope = "embeddings"
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        types = self.op("Gather", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        length = self.op("Gather", self.op("Shape", "input_ids"), self.ints(1))
        places = self.op("Slice", self.weight("embeddings.position_embeddings.weight"), self.ints(0), length,
                         self.ints(0))
        x = self.op("Add", self.op("Add", words, types), places)
        return self.layer_norm(x, "embeddings.LayerNorm", config["layer_norm_eps"])

    def pool(self, x):
        self.scope = "pooling"
        mask = self.op("Cast", self.op("Unsqueeze", "attention_mask", self.ints(-1)), to=TensorProto.FLOAT)
        total = self.op("ReduceSum", self.op("Mul", x, mask), self.ints(1), keepdims=0)
        count = self.op("Clip", self.op("ReduceSum", mask, self.ints(1), keepdims=0), self.scalar(1e-9))
        mean = self.op("Div", total, count)
        length = self.op("ReduceL2", mean, axes=[1])
        return self.op("Div", mean, self.op("Max", length, self.scalar(1e-12)))


def export(folder, path):
    """Writes the model of folder (config.json, model.safetensors) to path and returns it."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    w = Writer(read_safetensors(folder / "model.safetensors"))
    w.scope = "mask"
    mask = w.op("Cast", w.op("Unsqueeze", "attention_mask", w.ints(1, 2)), to=TensorProto.FLOAT)
    mask = w.op("Mul", w.op("Sub", w.scalar(1), mask), w.scalar(-10000))
    x = w.embeddings(config)
    for index in range(config["num_hidden_layers"]):
        x = w.layer(x, index, mask, config)
    w.nodes.append(helper.make_node("Identity", [w.pool(x)], ["sentence_embedding"]))
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "seq"])
              for n in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT,
                                             ["batch", config["hidden_size"]])]
    graph = helper.make_graph(w.nodes, "minilm", inputs, outputs, list(w.initializers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], producer_name="trivet-tests")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
