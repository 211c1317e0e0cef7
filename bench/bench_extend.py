#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator from outside costs: networks with a plugin's operator beside the same with a built-in one.

    bench_extend.py [--target cpu|cuda] [--threads N] [--rounds N] [--plugins FOLDER] [--check]

Each pair must have as many launches on both sides, and the plugin's side must take at most 3 % longer. Plans of a pair run
in turns, one process each; a figure is the least of all rounds, since what disturbs only adds: of latencies on the CPU, of
medians of the time on a device. The plugins are compiled here, from examples/plugins, with nothing but the public headers,
unless --plugins says where they are. --check fails where a pair misses its bar.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLUGINS = ["swish_pass", "plain_softmax", "online_softmax", "welford_norm", "device_function",
           "matrix_product"]
BAR = 1.03

CHAIN = """graph "chain" {{
  input %x: {type}[{rows}, 1024]
  const %c: {type}[1] = [0.5]
  %a = std.Abs(%x)
  %b = std.Add(%a, %c)
  %d = std.Neg(%b)
  %e = {middle}
  %f = std.Mul(%e, %c)
  %g = std.Relu(%f)
  %y = std.Exp(%g)
  output "y": %y
}}
"""
PRODUCT = """graph "product" {{
  input %x: {type}[{rows}, 512]
  input %w: {type}[512, 512]
  %p = {middle}
  %y = std.Relu(%p)
  output "y": %y
}}
"""
# name, network, built-in in the middle, the plugin's in the middle
CASES = [
    ("elementwise chain", CHAIN, "std.Swish(%d)", "acme.Silu(%d)"),
    ("reductions in a chain", CHAIN, "std.Softmax(%d) {{ axis = -1 }}", "acme.Softmax(%d)"),
    ("declared monoid", CHAIN, "std.Softmax(%d) {{ axis = -1 }}", "acme.OnlineSoftmax(%d)"),
    ("mean and deviations", CHAIN, "std.MeanVarianceNormalization(%d) {{ axes = [1] }}", "acme.WelfordNorm(%d)"),
    ("function with CUDA C", CHAIN, "std.Mish(%d)", "acme.Mish(%d)"),
    ("sum of products", PRODUCT, "std.MatMul(%x, %w)", "acme.Product(%x, %w)"),
]


def call(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench_extend: {' '.join(map(str, words))}\n{done.stderr[-800:]}")
    return done.stdout


def time_of(report):
    return report["device_ms"]["median"] if "device_ms" in report else report["latency_ms"]["min"]


def launches(trivet, plan):
    program = json.loads(call(trivet, "inspect", "--json", plan))["programs"][0]
    return [layer["alternatives"][0]["kernel"] for layer in program["layers"] if layer["kind"] == "LAUNCH"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--plugins", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    trivet = os.environ.get("TRIVET", "trivet")
    on_cpu = args.target == "cpu"
    dtype, rows = ("f32", 512) if on_cpu else ("f16", 16384)
    measuring = ["-n", 100, "--threads", args.threads] + ([] if on_cpu else ["--warmup", 20, "--rotate", 4])
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        options = []
        for plugin in PLUGINS:
            library = (args.plugins or folder) / f"{plugin}.so"
            if not args.plugins:
                call(os.environ.get("CC", "cc"), "-shared", "-fPIC", "-I", ROOT / "include",
                     ROOT / "examples" / "plugins" / f"{plugin}.c", "-o", library)
            options += ["--plugin", library]
        print(f"{'case':24}{'built-in':>12}{'plugin':>12}{'ratio':>8}  launches")
        for case, network, *middles in CASES:
            plans, kernels = [], []
            for side, middle in zip(("own", "other"), middles):
                text, plan = folder / f"{side}.txt", folder / f"{side}.plan"
                text.write_text(network.format(type=dtype, rows=rows, middle=middle.replace("{{", "{").replace("}}", "}")))
                call(trivet, "build", text, "-o", plan, "--target", args.target, *options)
                plans.append(plan)
                kernels.append(launches(trivet, plan))
            best = [float("inf")] * 2
            for turn in range(args.rounds):
                for side in (0, 1) if turn % 2 else (1, 0):
                    report = folder / "report.json"
                    call(trivet, "bench", plans[side], *measuring, "--json", report)
                    best[side] = min(best[side], time_of(json.loads(report.read_text())))
            ratio = best[1] / best[0]
            print(f"{case:24}{best[0]:9.4f} ms{best[1]:9.4f} ms{ratio:8.3f}  {' + '.join(kernels[1])}", flush=True)
            if kernels[0] != kernels[1]:
                missed.append(f"{case}: {' + '.join(kernels[0])} with the built-in")
            if network is CHAIN and len(kernels[1]) != 1:
                missed.append(f"{case}: {len(kernels[1])} launches")
            if ratio > BAR:
                missed.append(f"{case}: {ratio:.3f} of the built-in's time, at most {BAR} is wanted")
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
