#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Products of matrices in FP16 on a GPU: the generator's kernels beside cuBLASLt, with and without an epilogue.

    bench_matmul.py [MxNxK | MxNxK:epilogue]... [--target TARGET] [--rounds N]

For each case three ways, in one process after the other: the kernels that Trivet prints (tactics timed), cuBLASLt as
Trivet calls it, with one more kernel for what cuBLASLt has not, and PyTorch, whose product is cuBLAS. The epilogue is bias,
gelu (erf) and a residual: torch computes it as addmm and one compiled kernel. All are replayed as CUDA graphs; medians of
device times. ratio = the best other way / the printed kernel.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

# Rows, columns and depths of BERT, ViT and GPT-2 beside two large squares.
CASES = ["4096x4096x4096", "8192x8192x8192", "4096x4096x4096:epilogue"]
CASES += [f"{m}x{nk}" for m in (128, 197, 1024, 4096, 6304) for nk in ("768x768", "2304x768", "3072x768", "768x3072")]
CASES += [f"3072x{nk}" for nk in ("1024x1024", "4096x1024", "1024x4096")]
CASES += [f"{m}x3072x768:epilogue" for m in (128, 197, 1024, 4096, 6304)] + ["3072x4096x1024:epilogue"]


def graph_text(m, n, k, epilogue):
    lines = ['graph "product" {', f"  input %x: f16[{m}, {k}]", f"  input %w: f16[{k}, {n}]"]
    last = "%0"
    if epilogue:
        lines += [f"  input %b: f16[{n}]", f"  input %r: f16[{m}, {n}]"]
    lines += [f"  %0 = std.MatMul(%x, %w) : f16[{m}, {n}]"]
    if epilogue:
        last = "%3"
        lines += [f"  %1 = std.Add(%0, %b) : f16[{m}, {n}]", f"  %2 = std.Gelu(%1) : f16[{m}, {n}]",
                  f"  %3 = std.Add(%2, %r) : f16[{m}, {n}]"]
    return "\n".join(lines + [f'  output "y": {last}', "}"]) + "\n"


def trivet(folder, text, target, without):
    """Milliseconds and the kernels of a plan from which one kernel is kept out."""
    source, plan, report = folder / "product.txt", folder / "product.plan", folder / "product.json"
    source.write_text(text)
    command = os.environ.get("TRIVET", "trivet")
    done = subprocess.run([command, "build", str(source), "-o", str(plan), "--target", target, "--tactics", "timed",
                           "--timing-cache", str(folder / "times"), "--disable", without, "--explain"],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-400:])
    steps = [line.split('"')[1] for line in (done.stdout + done.stderr).splitlines() if line[:4].strip().isdigit() and '"' in line]
    done = subprocess.run([command, "bench", str(plan), "-n", "200", "--warmup", "20", "--json", str(report)],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-400:])
    figures = json.loads(report.read_text())
    return figures.get("device_ms", figures["latency_ms"])["median"], " + ".join(steps)


def torch_ms(m, n, k, epilogue, rounds):
    import torch
    x, w = torch.randn(m, k, device="cuda").half(), torch.randn(k, n, device="cuda").half()
    b, r = torch.randn(n, device="cuda").half(), torch.randn(m, n, device="cuda").half()
    gelu = torch.compile(lambda y, r: torch.nn.functional.gelu(y) + r)
    run = (lambda: gelu(torch.addmm(b, x, w), r)) if epilogue else (lambda: torch.matmul(x, w))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--target", default=os.environ.get("TRIVET_TARGET", "cuda"))
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    print(f"{'case':28}{'printed us':>11}{'TFLOP/s':>9}{'cublaslt us':>12}{'torch us':>10}{'ratio':>7}  kernels")
    ratios = {}
    for case in args.cases or CASES:
        size, _, rest = case.partition(":")
        m, n, k = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            text = graph_text(m, n, k, bool(rest))
            try:
                ours, kernels = trivet(pathlib.Path(name), text, args.target, "cuda_blas.matmul")
                library, others = trivet(pathlib.Path(name), text, args.target, "cuda.matmul")
            except RuntimeError as error:
                print(f"{case:28} {error}")
                continue
        try:
            torch = torch_ms(m, n, k, bool(rest), args.rounds)
        except ImportError:
            torch = float("nan")
        best = min(v for v in (library, torch) if v == v)
        print(f"{case:28}{ours * 1e3:11.2f}{2e-9 * m * n * k / ours:9.0f}{library * 1e3:12.2f}{torch * 1e3:10.2f}"
              f"{best / ours:7.2f}  {kernels} | {others}", flush=True)
        ratios[case] = best / ours
    if ratios:
        worst = min(ratios, key=ratios.get)
        print(f"products beside the best other way: geomean {statistics.geometric_mean(ratios.values()):.2f} "
              f"min {ratios[worst]:.2f} ({worst})")


if __name__ == "__main__":
    main()
