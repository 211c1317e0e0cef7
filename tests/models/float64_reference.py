# SPDX-License-Identifier: Apache-2.0
"""Evaluates an ONNX model in float64 with numpy: the yardstick that both our outputs and the peer's are held to.

A small interpreter: one function per operator, every floating-point tensor is float64, weights are the model's own
values. Convolutions and matrix products go through BLAS, so a ResNet-50 takes about a second. Knows the operators of
models.json and refuses others by name. Must not share code or definitions with what it judges.
"""
import hashlib
import os
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf

OPERATORS = {}
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def operator(*names):
    def register(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function
    return register


def widen(array):
    """Floating-point arrays as float64, all others as they are."""
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" and array.dtype != np.float64 else array


class Node:
    """A node with decoded attributes; opset is the version of its domain that the model imports."""

    def __init__(self, proto, opset):
        self.proto, self.opset, self.kind = proto, opset, proto.op_type
        self.attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def get(self, name, default=None):
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def axes(self, inputs, position):
        """Axes given as an attribute (older opsets) or as an input."""
        if len(inputs) > position and inputs[position] is not None:
            return tuple(int(a) for a in inputs[position])
        axes = self.get("axes")
        return None if axes is None else tuple(axes)


def unary(name, function):
    OPERATORS[name] = lambda node, x: function(x)


def binary(name, function):
    OPERATORS[name] = lambda node, a, b: function(a, b)


for _name, _function in {
        "Identity": lambda x: x, "Relu": lambda x: np.maximum(x, 0), "Tanh": np.tanh, "Erf": erf, "Exp": np.exp,
        "Sqrt": np.sqrt, "Neg": np.negative, "Abs": np.abs, "Log": np.log, "Sin": np.sin, "Cos": np.cos,
        "Floor": np.floor, "Reciprocal": lambda x: 1 / x, "Not": np.logical_not, "IsNaN": np.isnan,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Size": lambda x: np.array(x.size, np.int64)}.items():
    unary(_name, _function)

for _name, _function in {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "And": np.logical_and, "Or": np.logical_or,
        "Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater,
        "GreaterOrEqual": np.greater_equal, "MatMul": np.matmul,
        "Pow": lambda a, b: np.power(a, b).astype(a.dtype)}.items():
    binary(_name, _function)


@operator("Div")
def divide(node, a, b):
    if a.dtype.kind == "f":
        return a / b
    return np.trunc(np.true_divide(a, b)).astype(a.dtype)


@operator("Max", "Min", "Sum")
def variadic(node, *inputs):
    function = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}[node.kind]
    out = inputs[0]
    for x in inputs[1:]:
        out = function(out, x)
    return out


@operator("Where")
def where(node, condition, a, b):
    return np.where(condition, a, b)


@operator("Clip")
def clip(node, x, low=None, high=None):
    low = node.get("min") if low is None else low
    high = node.get("max") if high is None else high
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@operator("HardSigmoid")
def hard_sigmoid(node, x):
    return np.clip(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1)


@operator("Gelu")
def gelu(node, x):
    if node.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


@operator("Softmax")
def softmax(node, x):
    axis = node.get("axis", -1 if node.opset >= 13 else 1)
    axes = axis if node.opset >= 13 else tuple(range(axis % x.ndim, x.ndim))
    odds = np.exp(x - x.max(axis=axes, keepdims=True))
    return odds / odds.sum(axis=axes, keepdims=True)


def limits(x):
    """The least and greatest value of an array's type."""
    if x.dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if x.dtype == bool else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)


@operator("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd")
def reduce(node, *inputs):
    x, axes = inputs[0], node.axes(inputs, 1)
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return x
        axes = None
    low, high = limits(x)
    function = {"ReduceMean": np.mean, "ReduceSum": np.sum, "ReduceProd": np.prod,
                "ReduceMax": lambda v, **k: np.max(v, initial=low, **k),
                "ReduceMin": lambda v, **k: np.min(v, initial=high, **k), "ReduceL2": lambda v, **k: np.sqrt(np.sum(v * v, **k))}[node.kind]
    return np.asarray(function(x, axis=axes, keepdims=bool(node.get("keepdims", 1)))).astype(x.dtype)


@operator("BatchNormalization")
def batch_normalization(node, x, scale, bias, mean, variance):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    factor = scale / np.sqrt(variance + node.get("epsilon", 1e-5))
    return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)


@operator("LayerNormalization")
def layer_normalization(node, x, scale, bias=None):
    axes = tuple(range(node.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    y = centred / np.sqrt(variance + node.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


@operator("CumSum")
def cumulative_sum(node, x, axis):
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise NotImplementedError("CumSum, exclusive or reverse")
    return np.cumsum(x, axis=int(axis), dtype=x.dtype)


@operator("Gemm")
def gemm(node, a, b, c=None):
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    y = node.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + node.get("beta", 1.0) * c


def spatial(node, x_shape, kernel):
    """Strides, dilations, begin and end padding of a convolution or pooling node."""
    rank = len(kernel)
    strides, dilations = node.get("strides", [1] * rank), node.get("dilations", [1] * rank)
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
                 for n, s, k, d in zip(x_shape[2:], strides, kernel, dilations)]
        small = [t // 2 for t in total]
        large = [t - s for t, s in zip(total, small)]
        begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
    else:
        pads = node.get("pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
        begin, end = pads[:rank], pads[rank:]
    return strides, dilations, begin, end


def taps(x, kernel, strides, dilations, sizes):
    """Yields (index, strided view of x) for every position of the kernel; x is padded already."""
    for index in np.ndindex(*kernel):
        cut = tuple(slice(i * d, i * d + (n - 1) * s + 1, s)
                    for i, d, s, n in zip(index, dilations, strides, sizes))
        yield index, x[(slice(None), slice(None)) + cut]


def padded(x, begin, end, value):
    if not any(begin) and not any(end):
        return x
    return np.pad(x, [(0, 0), (0, 0)] + list(zip(begin, end)), constant_values=value)


@operator("Conv")
def convolution(node, x, weight, bias=None):
    kernel, group = weight.shape[2:], node.get("group", 1)
    strides, dilations, begin, end = spatial(node, x.shape, kernel)
    x = padded(x, begin, end, 0)
    sizes = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(x.shape[2:], kernel, dilations, strides)]
    batch, outputs, inputs = x.shape[0], weight.shape[0], weight.shape[1]
    y = np.zeros((batch, outputs, *sizes))
    if inputs == 1 and outputs == group:
        for index, view in taps(x, kernel, strides, dilations, sizes):
            y += view * weight[(slice(None), 0) + index].reshape((-1,) + (1,) * len(sizes))
    else:
        y = y.reshape(batch, group, outputs // group, -1)
        for index, view in taps(x, kernel, strides, dilations, sizes):
            matrix = weight[(Ellipsis,) + index].reshape(group, outputs // group, inputs)
            y += matrix @ view.reshape(batch, group, inputs, -1)
        y = y.reshape(batch, outputs, *sizes)
    return y if bias is None else y + bias.reshape((-1,) + (1,) * len(sizes))


@operator("ConvTranspose")
def transposed_convolution(node, x, weight, bias=None):
    kernel = weight.shape[2:]
    strides, dilations, begin, end = spatial(node, x.shape, kernel)
    if node.get("group", 1) != 1 or {"output_shape", "auto_pad"} & set(node.attributes):
        raise NotImplementedError("ConvTranspose with groups, output_shape or auto_pad")
    extra = node.get("output_padding", [0] * len(kernel))
    full = [(n - 1) * s + (k - 1) * d + 1 + o
            for n, s, k, d, o in zip(x.shape[2:], strides, kernel, dilations, extra)]
    y = np.zeros((x.shape[0], weight.shape[1], *full))
    for index, view in taps(y, kernel, strides, dilations, x.shape[2:]):
        view += np.einsum("nc...,cm->nm...", x, weight[(Ellipsis,) + index], optimize=True)
    y = y[(slice(None), slice(None)) + tuple(slice(b, n - e) for b, e, n in zip(begin, end, full))]
    return y if bias is None else y + bias.reshape((-1,) + (1,) * len(kernel))


@operator("MaxPool", "AveragePool")
def pool(node, x):
    kernel = node.get("kernel_shape")
    if node.get("ceil_mode", 0):
        raise NotImplementedError("pooling with ceil_mode")
    strides, dilations, begin, end = spatial(node, x.shape, kernel)
    largest = node.kind == "MaxPool"
    source = padded(x, begin, end, limits(x)[0] if largest else 0)
    sizes = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(source.shape[2:], kernel, dilations, strides)]
    views = [view for _, view in taps(source, kernel, strides, dilations, sizes)]
    if largest:
        return np.maximum.reduce(views)
    if node.get("count_include_pad", 0):
        return sum(views) / len(views)
    inside = padded(np.ones_like(x[:1, :1]), begin, end, 0)
    return sum(views) / sum(view for _, view in taps(inside, kernel, strides, dilations, sizes))


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node, x):
    axes = tuple(range(2, x.ndim))
    return (x.mean if node.kind == "GlobalAveragePool" else x.max)(axis=axes, keepdims=True)


@operator("Resize")
def resize(node, x, roi=None, scales=None, sizes=None):
    modes = (node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel"),
             node.get("nearest_mode", "round_prefer_floor"))
    if modes != ("nearest", "asymmetric", "floor"):
        raise NotImplementedError(f"Resize {modes}")
    if scales is None or not len(scales):
        scales = [s / n for s, n in zip(sizes, x.shape)]
    for axis, scale in enumerate(scales):
        if scale != 1:
            target = int(np.floor(x.shape[axis] * scale))
            source = np.floor(np.arange(target) / scale).astype(int)
            x = np.take(x, np.minimum(source, x.shape[axis] - 1), axis=axis)
    return x


@operator("Cast")
def cast(node, x):
    to = node.get("to")
    if to in FLOATS:
        return x.astype(np.float64)
    return (np.trunc(x) if x.dtype.kind == "f" and to != TensorProto.BOOL else x).astype(
        helper.tensor_dtype_to_np_dtype(to))


@operator("Constant")
def constant(node):
    if "value" in node.attributes:
        return numpy_helper.to_array(node.attributes["value"])
    name, value = next(iter(node.attributes.items()))
    return np.array(value, {"value_int": np.int64, "value_ints": np.int64}.get(name, np.float64))


@operator("ConstantOfShape")
def constant_of_shape(node, shape):
    value = numpy_helper.to_array(node.attributes["value"]) if "value" in node.attributes else np.zeros(1)
    return np.full([int(n) for n in shape], value[0])


@operator("Shape")
def shape(node, x):
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@operator("Reshape")
def reshape(node, x, target):
    dims = [int(n) for n in target]
    if not node.get("allowzero", 0):
        dims = [x.shape[i] if n == 0 else n for i, n in enumerate(dims)]
    return x.reshape(dims)


@operator("Flatten")
def flatten(node, x):
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@operator("Transpose")
def transpose(node, x):
    return x.transpose(node.get("perm"))


@operator("Concat")
def concat(node, *inputs):
    return np.concatenate(inputs, axis=node.get("axis"))


@operator("Split")
def split(node, x, parts=None):
    axis = node.get("axis", 0)
    parts = node.get("split") if parts is None else parts
    if parts is None:
        count = node.get("num_outputs", len(node.proto.output))
        part = -(-x.shape[axis] // count)
        return tuple(np.split(x, [part * i for i in range(1, count)], axis=axis))
    return tuple(np.split(x, np.cumsum(parts)[:-1], axis=axis))


@operator("Slice")
def take_slice(node, x, starts=None, ends=None, axes=None, steps=None):
    starts = node.get("starts") if starts is None else starts
    ends = node.get("ends") if ends is None else ends
    axes = node.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        n, start, end, step = x.shape[axis], int(start), int(end), int(step)
        start, end = (start + n if start < 0 else start), (end + n if end < 0 else end)
        if step > 0:
            cut[axis] = slice(min(max(start, 0), n), min(max(end, 0), n), step)
        else:
            start, end = min(max(start, 0), n - 1), min(max(end, -1), n - 1)
            cut[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(cut)]


@operator("Squeeze")
def squeeze(node, *inputs):
    return np.squeeze(inputs[0], axis=node.axes(inputs, 1))


@operator("Unsqueeze")
def unsqueeze(node, *inputs):
    return np.expand_dims(inputs[0], node.axes(inputs, 1))


@operator("Expand")
def expand(node, x, target):
    dims = [int(n) for n in target]
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, dims))


@operator("Gather")
def gather(node, x, indices):
    return np.take(x, indices, axis=node.get("axis", 0))


@operator("GatherElements")
def gather_elements(node, x, indices):
    axis = node.get("axis", 0)
    return np.take_along_axis(x, np.where(indices < 0, indices + x.shape[axis], indices), axis=axis)


@operator("GatherND")
def gather_nd(node, x, indices):
    if node.get("batch_dims", 0):
        raise NotImplementedError("GatherND with batch_dims")
    return x[tuple(np.moveaxis(indices, -1, 0))]


@operator("Range")
def arange(node, start, limit, delta):
    return np.arange(start, limit, delta, dtype=start.dtype)


def evaluate(model_path, inputs):
    """Outputs by name, floating-point ones in float64, of the model at model_path for inputs by name."""
    model = onnx.load(str(model_path))
    opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    nodes = list(model.graph.node)
    unknown = {n.op_type for n in nodes} - set(OPERATORS)
    if unknown:
        raise NotImplementedError(f"{model_path}: float64 reference has no {', '.join(sorted(unknown))}")
    values = {t.name: widen(numpy_helper.to_array(t, str(pathlib.Path(model_path).parent)))
              for t in model.graph.initializer}
    values.update({name: widen(array) for name, array in inputs.items()})
    outputs = [o.name for o in model.graph.output]
    last_use = {name: index for index, n in enumerate(nodes) for name in n.input}
    for index, proto in enumerate(nodes):
        arguments = [values[name] if name else None for name in proto.input]
        result = OPERATORS[proto.op_type](Node(proto, opsets[proto.domain or "ai.onnx"]), *arguments)
        results = result if isinstance(result, tuple) else (result,)
        values.update({name: widen(r) for name, r in zip(proto.output, results) if name})
        for name in set(proto.input):
            if name and last_use[name] == index and name not in outputs:
                del values[name]
    return {name: values[name] for name in outputs}


def cached(model_path, model_stamp, label, inputs, cache):
    """evaluate(), kept on disk in cache under a key of the model, the inputs and this file."""
    h = hashlib.sha256(model_stamp.encode() + pathlib.Path(__file__).read_bytes())
    for name in sorted(inputs):
        array = inputs[name]
        h.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    path = pathlib.Path(cache) / f"{label}-{h.hexdigest()[:16]}.npz"
    if path.exists():
        return dict(np.load(path))
    outputs = evaluate(model_path, inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{label}-*.npz"):
        old.unlink()
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(unfinished, **outputs)
    unfinished.rename(path)
    return outputs
