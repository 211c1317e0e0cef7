# SPDX-License-Identifier: Apache-2.0
"""The node tests of the installed package onnx, and what may be expected of us in each.

Stands between the package and onnx_node_tests.py. Makes the cases in memory, writes them as folders that the runner
reads, and says which cases are left out and which operators may not be answered with "unsupported". Must not know how
cases are run.
"""
import re
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# Our name of every ONNX element type, and the bits of one element.
DTYPES = {
    TensorProto.FLOAT: ("f32", 32), TensorProto.FLOAT16: ("f16", 16), TensorProto.BFLOAT16: ("bf16", 16),
    TensorProto.DOUBLE: ("f64", 64), TensorProto.INT8: ("i8", 8), TensorProto.UINT8: ("u8", 8),
    TensorProto.INT16: ("i16", 16), TensorProto.UINT16: ("u16", 16), TensorProto.INT32: ("i32", 32),
    TensorProto.UINT32: ("u32", 32), TensorProto.INT64: ("i64", 64), TensorProto.UINT64: ("u64", 64),
    TensorProto.BOOL: ("bool", 8), TensorProto.FLOAT8E4M3FN: ("f8e4m3fn", 8),
    TensorProto.FLOAT8E4M3FNUZ: ("f8e4m3fnuz", 8), TensorProto.FLOAT8E5M2: ("f8e5m2", 8),
    TensorProto.FLOAT8E5M2FNUZ: ("f8e5m2fnuz", 8), TensorProto.FLOAT8E8M0: ("f8e8m0", 8),
    TensorProto.FLOAT4E2M1: ("f4e2m1", 4), TensorProto.INT4: ("i4", 4), TensorProto.UINT4: ("u4", 4),
    TensorProto.INT2: ("i2", 2), TensorProto.UINT2: ("u2", 2), TensorProto.COMPLEX64: ("c64", 64),
    TensorProto.COMPLEX128: ("c128", 128), TensorProto.STRING: ("string", 0),
}
# The element types that every operator below must take. A case with another type may be unsupported.
FULL_TYPES = {"f32", "f16", "bf16", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"}

# Operators of the kinds that Trivet promises: "unsupported" is a failure for them.
PROMISED = set("""
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike
Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf
IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink
Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
ArgMax ArgMin CumProd CumSum Hardmax LogSoftmax ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax
CenterCropPad Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten Identity OneHot Pad Range Reshape
ReverseSequence Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze
BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
MeanVarianceNormalization RMSNormalization
AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool
Conv ConvInteger ConvTranspose DeformConv
Einsum Gemm MatMul MatMulInteger
Resize Upsample
Gather GatherElements GatherND Scatter ScatterElements ScatterND TensorScatter
GRU LSTM RNN
""".split())

# Inputs that fix a shape or the way data moves, by operator: position of the input in the node.
SHAPE_INPUTS = {
    "Reshape": {1}, "Expand": {1}, "Slice": {1, 2, 3, 4}, "Tile": {1}, "Pad": {1, 3}, "Resize": {1, 2, 3},
    "Upsample": {1}, "TopK": {1}, "Squeeze": {1}, "Unsqueeze": {1}, "Split": {1}, "OneHot": {1}, "CumSum": {1},
    "CumProd": {1}, "ConstantOfShape": {0}, "Range": {0, 1, 2}, "CenterCropPad": {1}, "Trilu": {1}, "DFT": {1, 2},
    "Col2Im": {1, 2}, "AffineGrid": {1}, "ReduceL1": {1}, "ReduceL2": {1}, "ReduceLogSum": {1},
    "ReduceLogSumExp": {1}, "ReduceMax": {1}, "ReduceMean": {1}, "ReduceMin": {1}, "ReduceProd": {1},
    "ReduceSum": {1}, "ReduceSumSquare": {1}, "BlackmanWindow": {0}, "HammingWindow": {0}, "HannWindow": {0},
    "MaxUnpool": {2}, "NonMaxSuppression": {2}, "Dropout": {2}, "MelWeightMatrix": {0, 1, 2, 3, 4}, "STFT": {1, 3},
    "SplitToSequence": {1},
}

# Cases whose published values nobody can be expected to meet, by a pattern of their name: what is judged instead, and
# why. Everything else (types, shapes, the operator being run at all) is judged as in any case.
JUDGED_OTHERWISE = [
    # The expected values were drawn by numpy's generator, which ONNX does not prescribe.
    (r"^test_bernoulli", "draws"),
    # Elements that are exactly zero are published as the rounding noise of one numpy version.
    (r"^test_i?dft|^test_stft", "noise"),
]


def nodes_of(graph):
    """Every node of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from nodes_of(subgraph)


def full_name(node):
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def as_tensor(value, value_info):
    """A TensorProto of an input or expected output; None where it is no dense tensor."""
    if value_info.type.WhichOneof("value") != "tensor_type" or isinstance(value, (list, type(None))):
        return None
    if isinstance(value, TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value))


def raw_bytes(tensor):
    """Little-endian elements of a tensor, packed as ours: elements below 8 bits from the lowest bits on."""
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    if tensor.data_type == TensorProto.STRING:
        return b""
    array, bits = numpy_helper.to_array(tensor), DTYPES[tensor.data_type][1]
    if bits >= 8:
        return np.ascontiguousarray(array).tobytes()
    codes = array.reshape(-1).view(np.uint8) & (2**bits - 1)
    codes = np.pad(codes, (0, -len(codes) % (8 // bits))).reshape(-1, 8 // bits)
    return np.bitwise_or.reduce(codes << (np.arange(8 // bits) * bits).astype(np.uint8), axis=1).tobytes()


class Case:
    """One node test: model, inputs and expected outputs as (value info, TensorProto or None)."""

    def __init__(self, test):
        self.name, self.model, self.rtol, self.atol = test.name, test.model, test.rtol, test.atol
        inputs, outputs = test.data_sets[0]
        self.inputs = [(i, as_tensor(v, i)) for i, v in zip(self.model.graph.input, inputs)]
        self.outputs = [(o, as_tensor(v, o)) for o, v in zip(self.model.graph.output, outputs)]
        self.operators = sorted({full_name(n) for n in nodes_of(self.model.graph)})
        self.expanded = "_expanded" in self.name
        self.manner = next((manner for pattern, manner in JUDGED_OTHERWISE if re.search(pattern, self.name)), "values")

    @property
    def subject(self):
        """The operator that a test of one node is about, else None."""
        nodes = self.model.graph.node
        return full_name(nodes[0]) if len(nodes) == 1 and not self.expanded else None

    def left_out(self):
        """True for training: its operators, and the training forms of batch normalization and dropout."""
        if any(o.startswith("ai.onnx.preview.training.") for o in self.operators):
            return True
        return self.name.endswith("_training_mode") or self.name.startswith("test_training_dropout")

    def types(self):
        """Our names of the element types that cross the model's boundary; other kinds of value by their kind."""
        found = set()
        for info, _ in self.inputs + self.outputs:
            kind = info.type.WhichOneof("value")
            found.add(DTYPES.get(info.type.tensor_type.elem_type, ("undefined", 0))[0] if kind == "tensor_type"
                      else kind.removesuffix("_type"))
        return found

    def promised(self):
        """True where "unsupported" is no answer: all operators and types are among those that we promise."""
        return set(self.operators) <= PROMISED and self.types() <= FULL_TYPES

    def named_in(self, message):
        """The operator of the case that a message names last, behind the names of files and nodes; None where none."""
        places = {name: [m.start() for m in re.finditer(rf"\b{name.rsplit('.', 1)[-1]}\b", message)]
                  for name in self.operators}
        return max((name for name in places if places[name]), key=lambda name: places[name][-1], default=None)

    def shape_inputs(self):
        """Names of inputs that fix a shape and have a value here, also where nodes compute with them first."""
        given = {info.name for info, tensor in self.inputs if tensor is not None}
        wanted, before = set(), None
        nodes = list(nodes_of(self.model.graph))
        for node in nodes:
            wanted |= {node.input[k] for k in SHAPE_INPUTS.get(node.op_type, ()) if k < len(node.input)}
        while wanted != before:
            before = set(wanted)
            for node in reversed(nodes):
                if not wanted.intersection(node.output) or node.op_type in ("Shape", "Size"):
                    continue
                wanted.update(node.input)
                for attribute in node.attribute:
                    wanted.update(output.name for output in attribute.g.output)
        return wanted & given

    def with_constants(self):
        """The model with its shape inputs turned into constants."""
        names, model = self.shape_inputs(), onnx.ModelProto()
        model.CopyFrom(self.model)
        kept = [i for i in model.graph.input if i.name not in names]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        for info, tensor in self.inputs:
            if info.name in names:
                constant = model.graph.initializer.add()
                constant.CopyFrom(tensor)
                constant.name = info.name
        return model

    def write(self, folder, constants):
        """Writes model.onnx, case.txt and one file per input into an empty folder.

        case.txt has one line per value, fields separated by tabs: "input", name, type, dimensions separated by
        blanks, file; or "output", name.
        """
        folder.mkdir(parents=True)
        fixed = self.shape_inputs() if constants else ()
        model = self.with_constants() if constants else self.model
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        lines = []
        for index, (info, tensor) in enumerate(self.inputs):
            if info.name in fixed or tensor is None:
                continue
            (folder / f"input_{index}").write_bytes(raw_bytes(tensor))
            dims = " ".join(map(str, tensor.dims))
            lines.append(f"input\t{info.name}\t{DTYPES[tensor.data_type][0]}\t{dims}\tinput_{index}")
        lines += [f"output\t{info.name}" for info, _ in self.outputs]
        (folder / "case.txt").write_text("".join(line + "\n" for line in lines))

    def judge(self, results):
        """None where results, one (type, dims, bytes) per output, are right; else what is wrong."""
        for (info, tensor), (dtype, dims, data) in zip(self.outputs, results):
            expected_type = DTYPES[tensor.data_type][0]
            if (dtype, dims) != (expected_type, list(tensor.dims)):
                return f"{info.name}: {dtype}{dims} instead of {expected_type}{list(tensor.dims)}"
            fault = self.judge_values(tensor, data)
            if fault:
                return f"{info.name}: {fault}"
        return None

    def possible_draws(self, got):
        """Where a draw of Bernoulli is possible: 0 or 1, and certain where the probability is."""
        chance = numpy_helper.to_array(self.inputs[0][1])
        return ((got == 0) & (chance < 1)) | ((got == 1) & (chance > 0))

    def judge_values(self, tensor, data):
        got = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=data)
        got, expected = numpy_helper.to_array(got), numpy_helper.to_array(tensor)
        if DTYPES[tensor.data_type][0] not in FULL_TYPES or expected.dtype.name == "bfloat16":
            got, expected = got.astype(np.float32), expected.astype(np.float32)
        # The published results of 16-bit types were rounded after every operator, ours are where they are stored: either
        # may be a unit in the last place away from the exact one.
        rtol = max(self.rtol, {TensorProto.BFLOAT16: 2.0**-6, TensorProto.FLOAT16: 2.0**-9}.get(tensor.data_type, 0))
        atol = self.atol
        if self.manner == "noise":
            # What sums of this size lose in f32 where terms cancel.
            atol = max(atol, float(2.0**-23 * np.abs(expected).max()))
        if self.manner == "draws":
            right = self.possible_draws(got)
        elif expected.dtype == bool:
            right = got == expected
        else:
            with np.errstate(all="ignore"):
                right = np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
        if right.all():
            return None
        first = tuple(int(i) for i in np.argwhere(~right)[0])
        return (f"{int((~right).sum())} of {right.size} elements differ, first at {list(first)}: "
                f"{got[first]} instead of {expected[first]}")


def collect(pattern=None):
    """All cases whose name matches a regular expression, and how many training cases were left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases
        cases = [Case(test) for test in collect_testcases(None)]
    kept = [c for c in cases if not c.left_out()]
    return [c for c in kept if not pattern or re.search(pattern, c.name)], len(cases) - len(kept)
