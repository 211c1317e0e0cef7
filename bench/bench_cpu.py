#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Trivet beside onnxruntime on the CPU: same models, same inputs, same number of threads.

Both run as processes of their own, never at once, alternating in blocks (a waiting thread pool of one would take the
cores of the other); what counts is the median of the blocks' medians. Each has its best setting: shapes fixed, tactics
timed, all optimizations of the peer, its inputs and outputs bound once. Must not know how either is run inside.

    bench_cpu.py [MODEL]... [--threads N] [--blocks N] [--seconds S] [--tactics MODE] [--save]

Columns: latency in ms; R = onnxruntime's time / ours; build s with an empty and a filled timing cache; plan MB; load
ms; arena MB (theirs: what its arena holds after five runs, weights not counted) and ours over the lower bound; resident
MB (theirs: above an interpreter with the package imported). --engine onnxruntime puts onnxruntime in our place: a check
of this script, R must be about 1.
"""
import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "models"))
import model_inputs  # noqa: E402
import models  # noqa: E402
import trivet_cli  # noqa: E402

MB = 1e6


class Onnxruntime:
    """The peer, one process a block."""

    def __init__(self, model, inputs, args):
        self.line = [sys.executable, str(HERE / "onnxruntime_worker.py"), str(model), str(inputs),
                     "--threads", str(args.threads)]
        self.seconds = args.seconds

    def call(self, *options):
        # Environment variables that choose another BLAS kernel concern numpy alone; the worker only times runs.
        done = subprocess.run([*self.line, *options], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"onnxruntime_worker: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def facts(self):
        return self.call("--arena")

    def block(self):
        return self.call("--seconds", str(self.seconds))


class Trivet:
    """Ours: a plan built once, one process a block."""

    def __init__(self, entry, model, arrays, folder, args):
        self.arrays, self.args, self.plan = arrays, args, folder / "bench.plan"
        symbols = model_inputs.find_case(entry, entry["bench"])["symbols"]
        fixed = {name: [value] * 3 for name, value in symbols.items()}
        self.build_seconds = []
        for _ in range(2):
            begin = time.monotonic()
            trivet_cli.build(model, self.plan, entry["inputs"], fixed, args.threads, args.tactics,
                             folder / "timing.cache" if args.tactics == "timed" else None)
            self.build_seconds.append(time.monotonic() - begin)
        self.iterations = 0

    def facts(self):
        return {"build_s": self.build_seconds[0], "rebuild_s": self.build_seconds[1],
                "plan_bytes": self.plan.stat().st_size}

    def block(self):
        if not self.iterations:
            once = self.measure(5, 2)["latency_ms"]["median"] / 1e3
            self.iterations = int(min(5000, max(5, self.args.seconds / max(once, 1e-6))))
        return self.measure(self.iterations, max(2, self.iterations // 5))

    def measure(self, iterations, warmup):
        return trivet_cli.bench(self.plan, self.arrays, self.args.threads, iterations, warmup)


def median_of(blocks, *keys):
    """Median over blocks of a nested number; None where a block lacks it."""
    values = []
    for block in blocks:
        for key in keys:
            block = block.get(key) if isinstance(block, dict) else None
        if block is None:
            return None
        values.append(block)
    return statistics.median(values)


def bench_model(entry, folder, args):
    """One row of the table as a dictionary."""
    model = models.bring(entry)
    arrays = model_inputs.make_inputs(entry, model_inputs.find_case(entry, entry["bench"]))
    inputs = folder / "inputs.npz"
    np.savez(inputs, **arrays)
    theirs = Onnxruntime(model, inputs, args)
    ours = Trivet(entry, model, arrays, folder, args) if args.engine == "trivet" else Onnxruntime(model, inputs, args)
    facts = {"ours": ours.facts(), "theirs": theirs.facts()}
    blocks = {"ours": [], "theirs": []}
    for index in range(args.blocks):
        order = [("ours", ours), ("theirs", theirs)]
        for side, engine in order if index % 2 == 0 else reversed(order):
            blocks[side].append(engine.block())
    row = {"model": entry["name"], "case": entry["bench"]}
    for side in ("ours", "theirs"):
        row[side] = dict(facts[side])
        row[side]["latency_ms"] = median_of(blocks[side], "latency_ms", "median")
        row[side]["blocks_ms"] = [b["latency_ms"]["median"] for b in blocks[side]]
        for key in ("load_ms", "resident_bytes", "arena_bytes", "arena_lower_bound_bytes", "allocations_in_run",
                    "library_allocations_in_run"):
            value = median_of(blocks[side], key)
            if value is not None:
                row[side][key] = value
    row["ratio"] = row["theirs"]["latency_ms"] / row["ours"]["latency_ms"]
    bound = row["ours"].get("arena_lower_bound_bytes")
    row["arena_over_bound"] = row["ours"]["arena_bytes"] / bound if bound else None
    return row


def cell(value, scale=1.0, digits=1, width=8):
    return f"{'-' if value is None else f'{value / scale:.{digits}f}':>{width}s}"


HEAD = (f"{'model':17s}{'ours ms':>9s}{'ort ms':>9s}{'R':>7s}{'build':>8s}{'again':>8s}{'plan MB':>9s}"
        f"{'load ms':>9s}{'ort':>8s}{'arena MB':>10s}{'ort':>8s}{'/bound':>8s}{'res. MB':>9s}{'ort':>8s}{'alloc':>7s}")


def print_row(row):
    ours, theirs = row["ours"], row["theirs"]
    allocations = ours.get("allocations_in_run")
    print(f"{row['model']:17s}" + cell(ours["latency_ms"], digits=3, width=9)
          + cell(theirs["latency_ms"], digits=3, width=9) + cell(row["ratio"], digits=2, width=7)
          + cell(ours.get("build_s")) + cell(ours.get("rebuild_s")) + cell(ours.get("plan_bytes"), MB, width=9)
          + cell(ours.get("load_ms"), width=9) + cell(theirs.get("load_ms"))
          + cell(ours.get("arena_bytes"), MB, 2, 10) + cell(theirs.get("arena_bytes"), MB, 2)
          + cell(row["arena_over_bound"], digits=3) + cell(ours.get("resident_bytes"), MB, width=9)
          + cell(theirs.get("resident_bytes"), MB)
          + cell(allocations, digits=0, width=7), flush=True)


def machine():
    """Processor, threads and versions that a result belongs to."""
    import onnxruntime
    name = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                platform.processor())
    return {"processor": name, "cores": os.cpu_count(), "onnxruntime": onnxruntime.__version__}


def main():
    parser = argparse.ArgumentParser(prog="bench cpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="these models only")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--blocks", type=int, default=5, help="processes of each side per model (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time of a block (default 1)")
    parser.add_argument("--tactics", default="timed", choices=("timed", "heuristic"))
    parser.add_argument("--engine", choices=("trivet", "onnxruntime"), default="trivet",
                        help="onnxruntime: self-check, onnxruntime in our place")
    parser.add_argument("--save", nargs="?", const=str(HERE / "results" / "cpu.json"), metavar="FILE",
                        help="write all figures as JSON (bench/results/cpu.json)")
    args = parser.parse_args()
    if args.engine != "trivet":
        print("self-check: onnxruntime stands in for Trivet")
    facts = machine()
    print(f"{facts['processor']}, {args.threads} threads, onnxruntime {facts['onnxruntime']}")
    print(HEAD)
    rows, failed = [], []
    for entry in models.load_list("bench", args.models):
        with tempfile.TemporaryDirectory(prefix="trivet-bench-") as folder:
            try:
                row = bench_model(entry, pathlib.Path(folder), args)
            except trivet_cli.TrivetError as error:
                failed.append(f"{entry['name']}: {error}")
                print(f"{entry['name']:17s} FAILED", flush=True)
                continue
        rows.append(row)
        print_row(row)
    for line in failed:
        print("FAILED", line)
    bounds = [r["arena_over_bound"] for r in rows if r["arena_over_bound"]]
    if bounds:
        print(f"arena over lower bound: average {statistics.mean(bounds):.3f}, worst {max(bounds):.3f}")
    if args.save:
        text = json.dumps({"machine": facts, "threads": args.threads, "rows": rows, "failed": failed}, indent=1)
        pathlib.Path(args.save).write_text(text + "\n")
    if not rows:
        print("cpu vs onnxruntime: geomean 0 min 0 (nothing ran)")
        sys.exit(1)
    worst = min(rows, key=lambda r: r["ratio"])
    geomean = math.exp(statistics.mean(math.log(r["ratio"]) for r in rows))
    print(f"cpu vs onnxruntime: geomean {geomean:.2f} min {worst['ratio']:.2f} ({worst['model']})")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
