#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A few networks that together use every family of kernels, with every way to run each step, beside the CPU target.

    kernel_families.py build --folder DIR      the plans, which check then finds there
    kernel_families.py check [--folder DIR]    every alternative's plan against the CPU

Families: maps, transposes and copies, rows, columns, scans, sorting, products (all tiles, split sums, few rows, turns), convolutions
and pools, attention. Plans are built with many alternatives, in f32, f16 and bf16. sanitize.py runs the same networks under
compute-sanitizer. Must not know how a kernel is made: the networks are ordinary ones.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import numpy as np

KINDS = {"float32": 1, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
BARS = {"f32": 5e-6, "f16": 2e-3, "bf16": 1.6e-2}


class Network:
    """An ONNX model under construction: values are names, weights are drawn from the name's place."""

    def __init__(self):
        self.nodes, self.inputs, self.outputs, self.tensors, self.count = [], [], [], [], 0

    def input(self, *dims, kind="float32"):
        from onnx import helper
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, KINDS[kind], dims))
        return name

    def constant(self, array):
        from onnx import numpy_helper
        name = f"w{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, *dims):
        random = np.random.default_rng(len(self.tensors))
        fan = max(1, int(np.prod(dims[1:])) if len(dims) > 2 else dims[0])
        return self.constant((random.standard_normal(dims) / np.sqrt(fan)).astype(np.float32))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def do(self, op, *inputs, outputs=1, **attributes):
        from onnx import helper
        names = [f"v{self.count + i}" for i in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def out(self, name, kind="float32"):
        from onnx import helper
        self.outputs.append(helper.make_tensor_value_info(name, KINDS[kind], None))

    def save(self, path):
        import onnx
        from onnx import helper
        graph = helper.make_graph(self.nodes, "families", self.inputs, self.outputs, self.tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def maps(n):
    x, y = n.input(37, 129), n.input(129)
    for op in ("Erf", "Tanh", "Sigmoid", "Exp", "Neg", "Abs", "Floor"):
        n.out(n.do(op, x))
    n.out(n.do("Where", n.do("Greater", x, y), n.do("Mul", x, y), n.do("Sub", x, y)))
    big = n.input(64, 2048)
    n.out(n.do("Mul", n.do("Sigmoid", big), big))
    n.out(n.do("Cast", n.do("Mul", big, n.constant(np.float32(50))), to=7), "int64")


def movement(n):
    x = n.input(2, 5, 37, 66)
    for perm in ((0, 1, 3, 2), (3, 1, 0, 2), (0, 2, 3, 1)):
        n.out(n.do("Transpose", x, perm=perm))
    n.out(n.do("Slice", x, n.ints(36, 60), n.ints(-1000, 3), n.ints(2, 3), n.ints(-2, -3)))
    n.out(n.do("Pad", x, n.ints(0, 0, 1, 2, 0, 0, 3, 1), mode="reflect"))
    n.out(n.do("Concat", n.do("Relu", x), x, axis=1))
    table, ids = n.input(50, 48), n.input(3, 7, kind="int64")
    n.out(n.do("Gather", table, ids))
    n.out(n.do("Tile", table, n.ints(2, 3)))
    n.out(n.do("ScatterND", table, n.constant(np.array([[3], [1]], np.int64)), n.input(2, 48)))
    n.out(n.do("Resize", x, "", n.constant(np.array([1, 1, 2, 2], np.float32)), mode="linear"))


def rows(n):
    for width in (7, 768, 5000):
        x = n.input(33, width)
        n.out(n.do("Softmax", x, axis=-1))
        n.out(n.do("LayerNormalization", x, n.weight(width), n.weight(width), axis=-1))
        n.out(n.do("ReduceMean", n.do("Mul", x, x), n.ints(1)))
        n.out(n.do("ArgMax", x, axis=1), "int64")
    whole = n.input(300, 700)
    n.out(n.do("ReduceSum", whole))
    n.out(n.do("ReduceMax", whole))


def columns(n):
    for shape in ((3000, 33), (129, 260)):
        x = n.input(*shape)
        n.out(n.do("ReduceSum", x, n.ints(0)))
        n.out(n.do("Softmax", x, axis=0))
    x = n.input(2, 16, 15, 13)
    n.out(n.do("ReduceMean", x, n.ints(0, 2, 3)))
    n.out(n.do("InstanceNormalization", x, n.weight(16), n.weight(16)))
    n.out(n.do("GlobalAveragePool", x))


def scans(n):
    x = n.input(19, 300)
    n.out(n.do("CumSum", x, n.constant(np.int64(1))))
    n.out(n.do("CumSum", x, n.constant(np.int64(0)), reverse=1))
    values, places = n.do("TopK", x, n.ints(9), outputs=2, axis=1)
    n.out(values)
    n.out(places, "int64")
    values, places = n.do("TopK", n.input(3, 5000), n.ints(100), outputs=2, axis=1, largest=0)
    n.out(values)


def products(n):
    x = n.input(256, 512)
    gelu = n.do("Mul", n.do("Mul", h := n.do("Add", n.do("MatMul", x, n.weight(512, 384)), n.weight(384)),
                            n.do("Add", n.do("Erf", n.do("Mul", h, n.constant(np.float32(0.70710678)))), n.constant(np.float32(1)))),
                n.constant(np.float32(0.5)))
    n.out(n.do("Add", n.do("MatMul", gelu, n.weight(384, 512)), x))
    n.out(n.do("Relu", n.do("Gemm", n.input(1024, 256), n.weight(256, 2048), n.weight(2048))))  # large tiles
    n.out(n.do("MatMul", n.input(1, 1024), n.weight(1024, 256)))  # one row
    n.out(n.do("MatMul", n.input(16, 4096), n.weight(4096, 64)))  # a long sum, few results
    n.out(n.do("MatMul", n.input(6, 96, 80), n.input(6, 80, 72)))  # batches
    n.out(n.do("Gemm", n.input(50, 77), n.weight(33, 77), n.weight(33), transB=1))  # no multiple of anything
    n.out(n.do("Einsum", n.input(4, 24, 40), n.input(4, 56, 40), equation="bik,bjk->bij"))


def large(n):  # the largest tiles, blocks that take turns or finish tiles late, clusters that share a sum
    n.out(n.do("Relu", n.do("Gemm", n.input(2304, 128), n.weight(128, 2304), n.weight(2304))))
    n.out(n.do("MatMul", n.input(3072, 256), n.weight(256, 1536)))
    n.out(n.do("Relu", n.do("MatMul", n.input(3072, 512), n.weight(512, 3072))))
    n.out(n.do("Relu", n.do("MatMul", n.input(4096, 128), n.weight(128, 4096))))
    n.out(n.do("Relu", n.do("MatMul", n.input(384, 2048), n.weight(2048, 384))))
    n.out(n.do("Relu", n.do("MatMul", n.input(2304, 3072), n.weight(3072, 1152))))  # shares of the sum


def quantized(n):  # sums in whole numbers, scaled where they end
    def rounded(value, scale):
        scale, zero = n.constant(np.float32(scale)), n.constant(np.int8(0))
        return n.do("DequantizeLinear", n.do("QuantizeLinear", value, scale, zero), scale, zero)

    for m, k, width in ((50, 96, 48), (512, 256, 1024), (16, 2048, 64)):
        product = n.do("MatMul", rounded(n.input(m, k), 0.03), rounded(n.weight(k, width), 0.002))
        n.out(n.do("Relu", n.do("Add", product, n.weight(width))))
    n.out(n.do("MatMulInteger", n.input(64, 128, kind="int8"), n.constant(np.arange(128 * 96, dtype=np.int64).astype(np.int8).reshape(128, 96))), "int32")
    x = rounded(n.input(2, 32, 14, 14), 0.03)
    y = n.do("Relu", n.do("Conv", x, rounded(n.weight(64, 32, 3, 3), 0.002), n.weight(64), pads=[1] * 4))
    n.out(n.do("Conv", rounded(y, 0.02), rounded(n.weight(48, 64, 1, 1), 0.003), strides=[2, 2]))


def convolutions(n):
    x = n.do("Relu", n.do("Conv", n.input(2, 3, 33, 33), n.weight(16, 3, 7, 7), n.weight(16), strides=[2, 2], pads=[3] * 4))
    y = n.do("Relu", n.do("Conv", x, n.weight(32, 16, 3, 3), n.weight(32), pads=[1] * 4))
    z = n.do("Conv", y, n.weight(32, 32, 3, 3), n.weight(32), pads=[1] * 4)
    z = n.do("Relu", n.do("Add", z, y))
    d = n.do("Conv", z, n.weight(32, 1, 3, 3), n.weight(32), group=32, strides=[2, 2], pads=[1] * 4)
    n.out(n.do("Conv", n.do("Clip", d, n.constant(np.float32(0)), n.constant(np.float32(6))), n.weight(64, 32, 1, 1), n.weight(64)))
    n.out(n.do("Conv", z, n.weight(32, 8, 3, 3), group=4, pads=[1] * 4))
    n.out(n.do("ConvTranspose", d, n.weight(32, 8, 4, 4), strides=[2, 2], pads=[1] * 4))
    n.out(n.do("MaxPool", z, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))
    n.out(n.do("AveragePool", z, kernel_shape=[2, 2], strides=[2, 2]))
    n.out(n.do("Conv", n.input(2, 16, 40), n.weight(24, 16, 5), pads=[2, 2]))
    large = n.do("Relu", n.do("Conv", n.input(8, 64, 28, 28), n.weight(256, 64, 1, 1), n.weight(256)))
    n.out(n.do("Relu", n.do("Conv", large, n.weight(128, 256, 3, 3), n.weight(128), pads=[1] * 4)))  # large tiles
    gated = n.do("Mul", d, n.do("Sigmoid", n.do("GlobalAveragePool", d)))  # computed where they are read
    n.out(n.do("Conv", gated, n.weight(48, 32, 1, 1), n.weight(48)))
    before = n.do("Relu", n.do("Add", n.do("Mul", z, n.weight(1, 32, 1, 1)), n.weight(1, 32, 1, 1)))
    n.out(n.do("Conv", before, n.weight(32, 32, 3, 3), strides=[2, 2], pads=[1] * 4))


def attention(n):
    for length, width, causal in ((64, 64, False), (100, 64, True), (40, 32, False)):
        q, k, v = (n.input(2, 3, length, width) for _ in range(3))
        s = n.do("Mul", n.do("MatMul", q, n.do("Transpose", k, perm=[0, 1, 3, 2])), n.constant(np.float32(width**-0.5)))
        if causal:
            s = n.do("Add", s, n.constant(np.triu(np.full((length, length), -1e4, np.float32), 1)))
        n.out(n.do("MatMul", n.do("Softmax", s, axis=-1), v))


FAMILIES = {f.__name__: f for f in (maps, movement, rows, columns, scans, products, large, quantized, convolutions, attention)}


def run(line, seconds=300):
    """Runs |line| to its end or, with all that it has started, to the end of |seconds| (TimeoutExpired)."""
    with subprocess.Popen([str(p) for p in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def write_model(folder, family):
    if not (folder / f"{family}.onnx").exists():
        network = Network()
        FAMILIES[family](network)
        network.save(folder / f"{family}.onnx")


def build(folder, family, precision, target, name, *options):
    plan = folder / f"{family}_{precision}_{name}.plan"
    if plan.exists():
        return plan
    done = run([os.environ["TRIVET"], "build", folder / f"{family}.onnx", "-o", plan, "--precision", precision, "--target", target, *options])
    if done.returncode:
        raise RuntimeError(f"{family} {precision} {target}: {done.stderr.strip()[:400]}")
    return plan


def prepare(folder, target, precisions, families):
    """Models and plans with many alternatives, those that are not there already: [(family, precision, plan)]."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in families:
        write_model(folder, family)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(f, p, pool.submit(build, folder, f, p, target, "gpu", "--alternatives", "32")) for p in precisions for f in families]
        return [(f, p, job.result()) for f, p, job in jobs]


def difference(ours, reference, precision):
    """The largest mean relative error over the outputs. Positions hang on the last bit, so in f32 only."""
    worst = 0.0
    for name in reference.files:
        if precision != "f32" and reference[name].dtype.kind != "f":
            continue
        a, b = ours[name].astype(np.float64), reference[name].astype(np.float64)
        if a.shape != b.shape:
            return float("inf")
        worst = max(worst, np.abs(a - b).sum() / max(np.abs(b).sum(), 1e-30)) if np.isfinite(a).all() else float("inf")
    return worst


def check_one(folder, family, precision, plan):
    """The plan with its first alternatives and the tuned one against the CPU, whose f32 is the reference."""
    cpu = build(folder, family, "f32", "cpu", "cpu_" + precision)
    tuned, lines = plan.with_suffix(".tuned.plan"), []
    for line in ([os.environ["TRIVET"], "tune", plan, "-o", tuned],
                 *([os.environ["TRIVET"], "run", p, "-o", p.with_suffix(".npz")] for p in (cpu, plan, tuned))):
        done = run(line)
        if done.returncode:
            return f"FAILED {family} {precision}: {done.stderr.strip()[:300]}"
        lines += [done.stdout]
    out = re.findall(r'.*"[^"]*": (?![0-9.]+ us).*', lines[0])
    wanted = np.load(cpu.with_suffix(".npz"))
    errors = [difference(np.load(p.with_suffix(".npz")), wanted, precision) for p in (plan, tuned)]
    ways = len(re.findall(r'"[^"]*": [0-9.]+ us', lines[0]))
    good = max(errors) <= BARS[precision] and not [text for text in out if "lacks" not in text]
    return f"{'ok    ' if good else 'FAILED'} {family:13s}{precision:5s} first {errors[0]:.1e} tuned {errors[1]:.1e}, {ways} ways {out[:2] or ''}"


def own_plugins(folder):
    """A folder without the plugins of CUDA's libraries, whose kernels are theirs to keep clean and whose code takes a tool minutes."""
    own = folder / "plugins"
    own.mkdir(parents=True, exist_ok=True)
    for place in os.environ["TRIVET_PLUGIN_PATH"].split(":"):
        for plugin in pathlib.Path(place).resolve().glob("*.so"):
            if plugin.stem not in ("cuda_blas", "cuda_dnn") and not (own / plugin.name).exists():
                (own / plugin.name).symlink_to(plugin)
    return str(own)


def main():
    parser = argparse.ArgumentParser(prog="kernel_families", description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("build", "check"))
    parser.add_argument("--target", default=os.environ.get("TRIVET_TARGET", "cuda"))
    parser.add_argument("--folder", help="keep models, plans and logs there")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--precisions", default="f32,f16,bf16")
    parser.add_argument("--own", action="store_true", help="build without the libraries, as sanitize.py does")
    parser.add_argument("--jobs", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trivet-families-") as scratch:
        folder = pathlib.Path(args.folder or scratch).resolve()
        if args.own:
            os.environ["TRIVET_PLUGIN_PATH"] = own_plugins(folder)
        plans = prepare(folder, args.target, args.precisions.split(","), args.families.split(","))
        print(f"{len(plans)} plans", flush=True)
        good = True
        if args.what == "check":
            with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
                for text in pool.map(lambda p: check_one(folder, *p), plans):
                    good = good and text.startswith("ok")
                    print(text, flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
