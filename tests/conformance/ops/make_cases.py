#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the node tests of the installed onnx package into one file of cases for ops_conformance_test.

    make_cases.py OUT.bin

A case is one node with its attributes, operands and expected results, which numpy computed: an oracle that knows nothing of our
definitions. Models of several nodes, of other domains, of older forms of an operator, and with strings or sequences are left out and
counted. The form of the file is what read_cases in ops_conformance_test.cc reads.
"""
import struct
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

T = onnx.TensorProto
DTYPES = {
    T.FLOAT: 1, T.FLOAT16: 2, T.BFLOAT16: 3, T.DOUBLE: 4, T.INT8: 5, T.UINT8: 6, T.INT16: 7, T.UINT16: 8, T.INT32: 9,
    T.UINT32: 10, T.INT64: 11, T.UINT64: 12, T.BOOL: 13, T.FLOAT8E4M3FN: 14, T.FLOAT8E4M3FNUZ: 15, T.FLOAT8E5M2: 16,
    T.FLOAT8E5M2FNUZ: 17, T.FLOAT8E8M0: 18, T.FLOAT4E2M1: 19, T.INT4: 20, T.UINT4: 21, T.INT2: 22, T.UINT2: 23,
}
PACKED_BITS = {T.FLOAT4E2M1: 4, T.INT4: 4, T.UINT4: 4, T.INT2: 2, T.UINT2: 2}
DTYPE_ATTRIBUTES = {
    ("Cast", "to"), ("BitCast", "to"), ("EyeLike", "dtype"), ("QuantizeLinear", "output_dtype"), ("QuantizeLinear", "precision"),
    ("DequantizeLinear", "output_dtype"), ("Attention", "softmax_precision"),
}
DTYPE_NAMES = {"stash_type", "output_datatype"}


# Older forms that differ from the newest one in admitted types only.
SAME_FORM = {"Attention", "Cast", "ReduceMax", "ReduceMin", "Split", "Identity"}


class Skip(Exception):
    pass


def pack_string(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(b)) + b


def tensor_bytes(value):
    """dtype number, dims, dense row-major bytes (packed types low bits first)."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        raise Skip("strings")
    t = numpy_helper.from_array(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value
    if not isinstance(t, T):
        raise Skip("not a tensor")
    if t.data_type not in DTYPES:
        raise Skip("element type " + T.DataType.Name(t.data_type))
    data = t.raw_data
    if not data and t.data_type in PACKED_BITS:
        data = bytes(v & 255 for v in t.int32_data)
    elif not data:
        data = np.ascontiguousarray(numpy_helper.to_array(t)).tobytes()
    dims = list(t.dims)
    return struct.pack("<II", DTYPES[t.data_type], len(dims)) + struct.pack("<%dq" % len(dims), *dims) + struct.pack("<Q", len(data)) + data


def attribute_bytes(op, a):
    A = onnx.AttributeProto
    is_dtype = (op, a.name) in DTYPE_ATTRIBUTES or a.name in DTYPE_NAMES or (a.name == "dtype" and op.startswith(("Random", "Bernoulli", "Multinomial", "EyeLike")))
    if a.type == A.INT and is_dtype:
        if a.i == 0:
            return b""
        if a.i not in DTYPES:
            raise Skip("element type " + T.DataType.Name(a.i))
        return pack_string(a.name) + struct.pack("<IIQI", 4, 0, 1, DTYPES[a.i])
    if a.type == A.INT:
        return pack_string(a.name) + struct.pack("<IIQq", 1, 0, 1, a.i)
    if a.type == A.INTS:
        return pack_string(a.name) + struct.pack("<IIQ%dq" % len(a.ints), 1, 1, len(a.ints), *a.ints)
    if a.type == A.FLOAT:
        return pack_string(a.name) + struct.pack("<IIQd", 2, 0, 1, a.f)
    if a.type == A.FLOATS:
        return pack_string(a.name) + struct.pack("<IIQ%dd" % len(a.floats), 2, 1, len(a.floats), *a.floats)
    if a.type == A.STRING:
        return pack_string(a.name) + struct.pack("<IIQ", 3, 0, 1) + pack_string(a.s)
    if a.type == A.STRINGS:
        return pack_string(a.name) + struct.pack("<IIQ", 3, 1, len(a.strings)) + b"".join(pack_string(s) for s in a.strings)
    if a.type == A.TENSOR:
        return pack_string(a.name) + struct.pack("<IIQ", 5, 0, 1) + tensor_bytes(a.t)
    raise Skip("attribute kind")


def case_bytes(case):
    graph = case.model.graph
    if len(graph.node) != 1:
        raise Skip("more than one node")
    node = graph.node[0]
    if node.domain not in ("", "ai.onnx"):
        raise Skip("domain " + node.domain)
    opset = [o.version for o in case.model.opset_import if o.domain in ("", "ai.onnx")][0]
    newest = onnx.defs.get_schema(node.op_type).since_version
    if node.op_type not in SAME_FORM and onnx.defs.get_schema(node.op_type, opset).since_version != newest:
        raise Skip("older form")
    for v in list(graph.input) + list(graph.output):
        if not v.type.HasField("tensor_type"):
            raise Skip("sequence or optional")
    inputs = dict(zip((v.name for v in graph.input), case.data_sets[0][0]))
    outputs = dict(zip((v.name for v in graph.output), case.data_sets[0][1]))
    attributes = [attribute_bytes(node.op_type, a) for a in node.attribute]
    attributes = [a for a in attributes if a]
    out = pack_string(case.name) + pack_string(node.op_type) + struct.pack("<dd", case.rtol, case.atol)
    out += struct.pack("<I", len(attributes)) + b"".join(attributes)
    out += struct.pack("<I", len(node.input))
    for i in node.input:
        out += b"\1" + tensor_bytes(inputs[i]) if i else b"\0"
    out += struct.pack("<I", len(node.output))
    for o in node.output:
        out += b"\1" + tensor_bytes(outputs[o]) if o else b"\0"
    return out


def main():
    warnings.simplefilter("ignore")
    cases, skipped = [], {}
    for case in collect_testcases(None):
        try:
            cases.append(case_bytes(case))
        except Skip as e:
            skipped[str(e)] = skipped.get(str(e), 0) + 1
    with open(sys.argv[1], "wb") as f:
        f.write(b"TVOPS001" + struct.pack("<I", len(cases)) + b"".join(cases))
    print("%d cases; left out:" % len(cases), ", ".join("%s %d" % kv for kv in sorted(skipped.items())))


if __name__ == "__main__":
    main()
