#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every standard operator in every element type that it takes, on a target, against numpy in float64 or exact integers.

    operator_sweep.py [--filter REGEX] [--jobs N] [--verbose]

Cases are graph texts of one operator; node_runner builds and runs them ($TRIVET_TARGET, as for onnx_node_tests.py), with
outputs that hold a pattern beforehand. A result is right when its mean relative error ||out - ref||_1 / ||ref||_1 is at most
max(1e-6, 2^-25 sqrt(K)) in f32 (K: length of the sum), 1e-3 in f16, 8e-3 in bf16; integers and booleans must be equal.
"""
import argparse
import itertools
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMPY = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16,
         "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64, "bool": np.bool_}
FLOATS = ["f32", "f16", "bf16"]
SIGNED = ["i8", "i32", "i64"]
UNSIGNED = ["u8", "u32"]
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
ALL = NUMBERS + ["bool"]


def to_bf16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(x, dtype):
    """An array as elements of |dtype| hold it; bf16 in float32."""
    return from_bf16(to_bf16(x)) if dtype == "bf16" else np.asarray(x).astype(NUMPY[dtype])


class Case:
    """inputs: {name: (type, array)}; constants likewise, known when the plan is built; reference: of float64 or the integers."""

    def __init__(self, name, operator, inputs, reference, result, attributes="", constants=None, terms=1, bar=None):
        self.name, self.operator, self.result, self.attributes = name, operator, result, attributes
        self.inputs = {k: (t, rounded(a, t)) for k, (t, a) in inputs.items()}
        self.constants, self.terms, self.bar = constants or {}, terms, bar
        self.reference = reference

    def text(self):
        lines = ['graph "case" {']
        lines += [f"  input %{k}: {t}{list(a.shape)}" for k, (t, a) in self.inputs.items()]
        lines += [f"  const %{k}: {t}{list(np.shape(a))} = {np.ravel(a).tolist()}" for k, (t, a) in self.constants.items()]
        operands = ", ".join("%" + k for k in [*self.inputs, *self.constants])
        attributes = f" {{ {self.attributes} }}" if self.attributes else ""
        return "\n".join(lines + [f"  %y = std.{self.operator}({operands}){attributes}", '  output "y": %y', "}"]) + "\n"

    def write(self, folder):
        folder.mkdir(parents=True)
        (folder / "graph.txt").write_text(self.text())
        lines = []
        for k, (t, a) in self.inputs.items():
            (folder / k).write_bytes((to_bf16(a) if t == "bf16" else a).tobytes())
            lines.append(f"input\t{k}\t{t}\t{' '.join(map(str, a.shape))}\t{k}")
        (folder / "case.txt").write_text("\n".join([*lines, "output\ty"]) + "\n")

    def judge(self, dtype, dims, data):
        """What is wrong, or None."""
        wide = [a.astype(np.float64) if t in ("f32", "f16", "bf16") else a for t, a in self.inputs.values()]
        with np.errstate(all="ignore"):
            want = np.asarray(self.reference(*wide))
        if dtype != self.result or list(dims) != list(want.shape):
            return f"{dtype}{dims} instead of {self.result}{list(want.shape)}"
        got = from_bf16(np.frombuffer(data, np.uint16)) if dtype == "bf16" else np.frombuffer(data, NUMPY[dtype])
        got = got.reshape(want.shape)
        if dtype not in ("f64", *FLOATS):
            with np.errstate(all="ignore"):
                want = want.astype(NUMPY[dtype])
            wrong = np.argwhere(got != want)
            return f"{len(wrong)} of {want.size} differ, first {got[tuple(wrong[0])]} instead of {want[tuple(wrong[0])]}" if len(wrong) \
                else None
        got, want = got.astype(np.float64), want.astype(np.float64)
        if not np.isfinite(got).all():
            return "not all results are finite"
        error = np.abs(got - want).sum() / max(np.abs(want).sum(), 1e-30)
        bar = self.bar or {"f64": 1e-14, "f32": max(1e-6, 2**-25 * math.sqrt(self.terms)), "f16": 1e-3, "bf16": 8e-3}[dtype]
        return None if error <= bar else f"mean relative error {error:.2e}, allowed {bar:.2e}"


def draw(shape, dtype, low=-3.0, high=3.0, seed=0):
    random = np.random.default_rng([seed, *shape])
    if dtype == "bool":
        return random.random(shape) > 0.5
    if dtype in FLOATS:
        return random.uniform(low, high, shape)
    low, high = (0 if dtype.startswith("u") else -50), 100
    return random.integers(low, high, shape)


def erf(x):
    return np.vectorize(math.erf)(x)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (reference, lowest and highest operand)
UNARY = {"Acos": (np.arccos, -0.9, 0.9), "Acosh": (np.arccosh, 1.1, 4), "Asin": (np.arcsin, -0.9, 0.9),
         "Asinh": (np.arcsinh, -3, 3), "Atan": (np.arctan, -3, 3), "Atanh": (np.arctanh, -0.9, 0.9), "Ceil": (np.ceil, -3, 3),
         "Cos": (np.cos, -3, 3), "Cosh": (np.cosh, -3, 3), "Erf": (erf, -3, 3), "Exp": (np.exp, -3, 3),
         "Floor": (np.floor, -3, 3), "Log": (np.log, 0.5, 9), "Reciprocal": (lambda x: 1 / x, 0.5, 3), "Round": (np.rint, -3, 3),
         "Sigmoid": (sigmoid, -6, 6), "Sin": (np.sin, -3, 3), "Sinh": (np.sinh, -3, 3),
         "Softplus": (lambda x: np.log1p(np.exp(x)), -3, 3), "Softsign": (lambda x: x / (1 + np.abs(x)), -3, 3),
         "Sqrt": (np.sqrt, 0.1, 9), "Tan": (np.tan, -1, 1), "Tanh": (np.tanh, -3, 3), "HardSwish":
         (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), -5, 5), "Mish": (lambda x: x * np.tanh(np.log1p(np.exp(x))), -3, 3),
         "Gelu": (lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))), -3, 3), "Elu": (lambda x: np.where(x > 0, x, np.expm1(x)), -3, 3),
         "Selu": (lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), -3, 3),
         "LeakyRelu": (lambda x: np.where(x > 0, x, 0.01 * x), -3, 3), "HardSigmoid": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), -5, 5)}


def elementwise():
    shape = (5, 37)  # no multiple of any vector
    for op, (function, low, high) in UNARY.items():
        for t in FLOATS:
            for dims in (shape, (8, 64)):
                yield Case(f"{op}_{t}_{dims[1]}", op, {"x": (t, draw(dims, t, low, high))}, function, t)
    for op, function, types in (("Abs", np.abs, FLOATS + SIGNED), ("Neg", np.negative, FLOATS + SIGNED),
                                ("Sign", np.sign, NUMBERS), ("Relu", lambda x: np.maximum(x, 0), FLOATS + SIGNED),
                                ("Not", np.logical_not, ["bool"]), ("BitwiseNot", np.invert, INTEGERS)):
        for t in types:
            yield Case(f"{op}_{t}", op, {"x": (t, draw(shape, t))}, function, t)
    binary = [("Add", np.add, NUMBERS, None), ("Sub", np.subtract, NUMBERS, None), ("Mul", np.multiply, NUMBERS, None),
              ("Max", np.maximum, NUMBERS, None), ("Min", np.minimum, NUMBERS, None),
              ("BitwiseAnd", np.bitwise_and, INTEGERS, None), ("BitwiseOr", np.bitwise_or, INTEGERS, None),
              ("BitwiseXor", np.bitwise_xor, INTEGERS, None), ("And", np.logical_and, ["bool"], "bool"),
              ("Or", np.logical_or, ["bool"], "bool"), ("Xor", np.logical_xor, ["bool"], "bool"), ("Equal", np.equal, ALL, "bool"),
              ("Greater", np.greater, NUMBERS, "bool"), ("GreaterOrEqual", np.greater_equal, NUMBERS, "bool"),
              ("Less", np.less, NUMBERS, "bool"), ("LessOrEqual", np.less_equal, NUMBERS, "bool")]
    for op, function, types, result in binary:
        for t in types:
            for a, b in (((5, 37), (5, 37)), ((4, 1, 32), (3, 32)), ((6, 40), (6, 1))):
                yield Case(f"{op}_{t}_{len(a)}_{b[-1]}", op, {"a": (t, draw(a, t)), "b": (t, draw(b, t, seed=1))}, function,
                           result or t)
    for t in FLOATS:
        yield Case(f"Div_{t}", "Div", {"a": (t, draw(shape, t)), "b": (t, draw(shape, t, 0.5, 3, 1))}, np.divide, t)
        yield Case(f"Pow_{t}", "Pow", {"a": (t, draw(shape, t, 0.5, 3)), "b": (t, draw(shape, t, -2, 2, 1))}, np.power, t)
        yield Case(f"PRelu_{t}", "PRelu", {"x": (t, draw((4, 6, 5), t)), "slope": (t, draw((6, 1), t, seed=1))},
                   lambda x, s: np.where(x > 0, x, x * s), t)
        yield Case(f"IsNaN_{t}", "IsNaN", {"x": (t, draw(shape, t))}, np.isnan, "bool")
    for t in INTEGERS:
        divisor = np.where(draw(shape, t, seed=1) == 0, 7, draw(shape, t, seed=1))
        yield Case(f"Div_{t}", "Div", {"a": (t, draw(shape, t)), "b": (t, divisor)},
                   lambda a, b: (np.trunc(a.astype(np.float64) / b)).astype(np.int64), t)
        yield Case(f"Mod_{t}", "Mod", {"a": (t, draw(shape, t)), "b": (t, divisor)}, np.mod, t)
    for t in UNSIGNED:
        yield Case(f"BitShift_{t}", "BitShift", {"a": (t, draw(shape, t)), "b": (t, draw(shape, t, seed=1) % 6)}, np.left_shift, t,
                   'direction = "LEFT"')
    for t in ALL:
        yield Case(f"Where_{t}", "Where", {"c": ("bool", draw(shape, "bool")), "a": (t, draw(shape, t)), "b": (t, draw((37,), t, seed=1))},
                   np.where, t)
        for to in ALL:
            source = draw(shape, t, 0 if to.startswith("u") else -3, 3)
            if t in INTEGERS and to in INTEGERS + FLOATS:
                source = draw(shape, "u8")
            convert = (lambda x: x != 0) if to == "bool" else (lambda x: np.trunc(x).astype(np.int64)) if to in INTEGERS else (lambda x: x)
            yield Case(f"Cast_{t}_{to}", "Cast", {"x": (t, source)}, convert, to, f"to = {to}")


def reductions():
    shapes = [((7, 45), (1,)), ((45, 24), (0,)), ((3, 5, 64), (1, 2)), ((2, 3, 4, 5), (0, 2)), ((1, 70001), (1,)), ((30011, 2), (0,))]
    functions = {"ReduceSum": (np.sum, NUMBERS), "ReduceMean": (np.mean, FLOATS), "ReduceMax": (np.max, NUMBERS),
                 "ReduceMin": (np.min, NUMBERS), "ReduceL1": (lambda x, axis: np.abs(x).sum(axis), FLOATS),
                 "ReduceL2": (lambda x, axis: np.sqrt((x * x).sum(axis)), FLOATS),
                 "ReduceSumSquare": (lambda x, axis: (x * x).sum(axis), FLOATS),
                 "ReduceLogSumExp": (lambda x, axis: np.log(np.exp(x).sum(axis)), FLOATS)}
    for (op, (function, types)), (shape, axes) in itertools.product(functions.items(), shapes):
        for t in types:
            terms = math.prod(shape[a] for a in axes)
            if op == "ReduceSumSquare" and t == "f16" and terms > 10000:
                continue  # past the largest f16
            yield Case(f"{op}_{t}_{shape[0]}x{shape[-1]}", op, {"x": (t, draw(shape, t, 0.1, 0.9))},
                       lambda x, f=function, axes=axes: f(x.astype(np.int64) if x.dtype.kind in "iu" else x, axis=axes), t, "keepdims = 0",
                       {"axes": ("i64", list(axes))}, terms)
    for op, function in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        for (shape, axes), t in itertools.product(shapes[:2] + shapes[4:], NUMBERS):
            yield Case(f"{op}_{t}_{shape[0]}", op, {"x": (t, draw(shape, t))}, lambda x, f=function, a=axes[0]: f(x, axis=a), "i64",
                       f"axis = {axes[0]}, keepdims = 0")
    for t in FLOATS + ["i32", "i64"]:
        for shape, axis in (((4, 33), 1), ((33, 4), 0)):
            yield Case(f"CumSum_{t}_{axis}", "CumSum", {"x": (t, draw(shape, t, 0.1, 1))}, lambda x, a=axis: np.cumsum(x, a), t,
                       constants={"axis": ("i64", axis)})


def normalizations():
    for t, (rows, k) in itertools.product(FLOATS, ((9, 64), (9, 37), (3, 768), (2, 4100))):
        x, g, b = (t, draw((rows, k), t)), (t, draw((k,), t, 0.5, 2, 1)), (t, draw((k,), t, seed=2))

        def layer_norm(x, g, b):
            return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * g + b

        yield Case(f"LayerNormalization_{t}_{k}", "LayerNormalization", {"x": x, "g": g, "b": b}, layer_norm, t, terms=k)
        yield Case(f"RMSNormalization_{t}_{k}", "RMSNormalization", {"x": x, "g": g},
                   lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * g, t, terms=k)
        yield Case(f"Softmax_{t}_{k}", "Softmax", {"x": x}, softmax, t, terms=k)
        yield Case(f"LogSoftmax_{t}_{k}", "LogSoftmax", {"x": x}, lambda x: np.log(softmax(x)), t, terms=k)
        yield Case(f"Softmax_{t}_{k}_0", "Softmax", {"x": (t, draw((k, 6), t))}, lambda x: softmax(x, 0), t, "axis = 0", terms=k)
    for t in FLOATS:
        x, c = (t, draw((2, 6, 9, 11), t)), lambda seed, low=-1: (t, draw((6,), t, low, 2, seed))
        column = lambda v: v[:, None, None]
        yield Case(f"InstanceNormalization_{t}", "InstanceNormalization", {"x": x, "g": c(1), "b": c(2)},
                   lambda x, g, b: (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5) * column(g) +
                   column(b), t, terms=99)
        yield Case(f"BatchNormalization_{t}", "BatchNormalization",
                   {"x": x, "g": c(1), "b": c(2), "m": c(3), "v": c(4, 0.5)},
                   lambda x, g, b, m, v: (x - column(m)) / np.sqrt(column(v) + 1e-5) * column(g) + column(b), t)
        yield Case(f"GlobalAveragePool_{t}", "GlobalAveragePool", {"x": x}, lambda x: x.mean((2, 3), keepdims=True), t, terms=99,
                   bar=1e-5 if t == "f32" else None)
        yield Case(f"GlobalMaxPool_{t}", "GlobalMaxPool", {"x": x}, lambda x: x.max((2, 3), keepdims=True), t)


def movement():
    for t in ALL:
        x = (t, draw((6, 10, 34), t))
        for perm in itertools.permutations(range(3)):
            yield Case(f"Transpose_{t}_{''.join(map(str, perm))}", "Transpose", {"x": x}, lambda x, p=perm: x.transpose(p), t,
                       f"perm = {list(perm)}")
        for shape in ((3, 130, 98), (2, 200, 49)):
            yield Case(f"Transpose_{t}_{shape[1]}", "Transpose", {"x": (t, draw(shape, t))}, lambda x: x.transpose(0, 2, 1), t,
                       "perm = [0, 2, 1]")
        for axis, (m, n) in itertools.product((0, 1), ((16, 24), (5, 7))):
            shapes = ((m, 8), (n, 8)) if axis == 0 else ((4, m), (4, n))
            yield Case(f"Concat_{t}_{axis}_{m}", "Concat", {"a": (t, draw(shapes[0], t)), "b": (t, draw(shapes[1], t, seed=1))},
                       lambda a, b, axis=axis: np.concatenate([a, b], axis), t, f"axis = {axis}")
        for width in (64, 37):
            ids = np.random.default_rng(5).integers(-50, 50, (3, 11))
            yield Case(f"Gather_{t}_{width}", "Gather", {"x": (t, draw((50, width), t)), "i": ("i64", ids)}, lambda x, i: x[i], t)
            yield Case(f"GatherElements_{t}_{width}", "GatherElements",
                       {"x": (t, draw((50, width), t)), "i": ("i64", np.random.default_rng(5).integers(-50, 50, (20, width)))},
                       lambda x, i: np.take_along_axis(x, np.where(i < 0, i + 50, i), 0), t, "axis = 0")
        yield Case(f"Slice_{t}", "Slice", {"x": x}, lambda x: x[:, 1:9:2, 30:3:-3], t,
                   constants={"s": ("i64", [1, 30]), "e": ("i64", [9, 3]), "a": ("i64", [1, 2]), "n": ("i64", [2, -3])})
        yield Case(f"Expand_{t}", "Expand", {"x": (t, draw((4, 1, 9), t))}, lambda x: np.broadcast_to(x, (2, 4, 5, 9)), t,
                   constants={"s": ("i64", [2, 4, 5, 9])})
        yield Case(f"Tile_{t}", "Tile", {"x": (t, draw((3, 9), t))}, lambda x: np.tile(x, (2, 3)), t, constants={"r": ("i64", [2, 3])})
        yield Case(f"Reshape_{t}", "Reshape", {"x": x}, lambda x: x.reshape(60, 34), t, constants={"s": ("i64", [60, 34])})
        for mode in ("constant", "edge", "reflect"):
            yield Case(f"Pad_{t}_{mode}", "Pad", {"x": (t, draw((5, 9), t))}, lambda x, m=mode: np.pad(x, ((1, 3), (2, 1)), m), t,
                       f'mode = "{mode}"', {"p": ("i64", [1, 2, 3, 1])})
        yield Case(f"Trilu_{t}", "Trilu", {"x": (t, draw((7, 9), t))}, np.triu, t)


def products():
    for t, (m, n, k) in itertools.product(FLOATS, ((64, 64, 64), (5, 7, 9), (1, 96, 200), (33, 40, 1024))):
        yield Case(f"MatMul_{t}_{m}x{n}x{k}", "MatMul", {"a": (t, draw((m, k), t, -1, 1)), "b": (t, draw((k, n), t, -1, 1, 1))}, np.matmul, t,
                   terms=k)
        yield Case(f"MatMul_{t}_{m}x{n}x{k}_batch", "MatMul",
                   {"a": (t, draw((2, 3, m, k), t, -1, 1)), "b": (t, draw((3, k, n), t, -1, 1, 1))}, np.matmul, t, terms=k)
    for t in ("i32", "i64", "u32"):
        yield Case(f"MatMul_{t}", "MatMul", {"a": (t, draw((6, 20), t)), "b": (t, draw((20, 9), t, seed=1))}, np.matmul, t)

    def conv(x, w, stride=1, pad=1, group=1):
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        k, per = w.shape[2], x.shape[1] // group
        out = (x.shape[2] - k) // stride + 1
        y = np.zeros((x.shape[0], w.shape[0], out, out))
        for f in range(w.shape[0]):
            first = f // (w.shape[0] // group) * per
            for i, j in itertools.product(range(k), range(k)):
                part = x[:, first:first + per, i:i + stride * out:stride, j:j + stride * out:stride]
                y[:, f] += np.einsum("ncij,c->nij", part, w[f, :, i, j])
        return y

    for t, (c, f, group, stride) in itertools.product(FLOATS, ((8, 16, 1, 1), (3, 5, 1, 2), (8, 8, 8, 1), (6, 4, 2, 2))):
        yield Case(f"Conv_{t}_{c}_{f}_{group}_{stride}", "Conv",
                   {"x": (t, draw((2, c, 9, 9), t, -1, 1)), "w": (t, draw((f, c // group, 3, 3), t, -1, 1, 1))},
                   lambda x, w, s=stride, g=group: conv(x, w, s, 1, g), t, f"pads = [1, 1, 1, 1], strides = [{stride}, {stride}], group = {group}",
                   terms=9 * c // group)
    windows = np.lib.stride_tricks.sliding_window_view
    for t in FLOATS:
        x = (t, draw((2, 5, 10, 12), t))
        for op, function in (("MaxPool", np.max), ("AveragePool", np.mean)):
            yield Case(f"{op}_{t}", op, {"x": x}, lambda x, f=function: f(windows(x, (2, 3), (2, 3))[:, :, ::2, ::3], axis=(4, 5)), t,
                       "kernel_shape = [2, 3], strides = [2, 3]", terms=6)


def cases():
    yield from elementwise()
    yield from reductions()
    yield from normalizations()
    yield from movement()
    yield from products()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filter", metavar="REGEX", help="only cases whose name matches")
    parser.add_argument("--jobs", type=int, default=min(16, os.cpu_count() or 1))
    parser.add_argument("--verbose", action="store_true", help="also the cases that passed")
    args = parser.parse_args()
    chosen = [c for c in cases() if not args.filter or re.search(args.filter, c.name)]
    names = [c.name for c in chosen]
    assert len(set(names)) == len(names), sorted(n for n in set(names) if names.count(n) > 1)
    runner = pathlib.Path(os.environ.get("TRIVET_NODE_RUNNER") or ROOT / "bazel-bin" / "tests" / "conformance" / "node_runner")
    if not runner.exists():
        sys.exit(f"operator sweep: there is no {runner}; run this through ./dev onnx-tests")
    passed, failed = 0, 0
    with tempfile.TemporaryDirectory() as name:
        folders = [pathlib.Path(name) / case.name for case in chosen]
        for case, folder in zip(chosen, folders):
            case.write(folder)
        done = subprocess.run([str(runner), "--jobs", str(args.jobs)], input="".join(f"{f}\n" for f in folders), text=True)
        if done.returncode:
            sys.exit(f"operator sweep: {runner} ended with {done.returncode}")
        for case, folder in zip(chosen, folders):
            first, *lines = (folder / "result.txt").read_text(errors="replace").splitlines()
            verdict, _, fault = first.partition("\t")
            if verdict == "ok":
                dtype, dims, file = lines[0].split("\t")
                fault = case.judge(dtype, [int(n) for n in dims.split()], (folder / file).read_bytes())
            else:
                fault = f"{verdict}: {fault.replace(str(folder), '')}"
            passed, failed = passed + (not fault), failed + bool(fault)
            if fault or args.verbose:
                print(f"{'FAILED' if fault else 'ok':7}{case.name:36}{fault or ''}", flush=True)
    operators = len({c.operator for c in chosen})
    print(f"operator sweep: {passed} passed, {failed} failed; {operators} operators")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
