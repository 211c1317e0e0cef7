#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our outputs with onnxruntime's and both with a float64 evaluation, for every model of the suite.

The judge of numerical correctness: for every output, summed absolute difference over summed absolute reference.
Fails where ours differs from onnxruntime by more than LIMIT in any case, or errs against float64 more than RATIO
times as much as onnxruntime does (all cases of a model taken together; errors below the rounding of one float32 value
count as that rounding). Must not hold a tolerance of its own for any model.

    compare.py [MODEL]... [--engine onnxruntime] [--json FILE]

--engine onnxruntime is a check of this script itself: onnxruntime without graph optimizations stands in for us.
"""
import argparse
import json
import pathlib
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import float64_reference  # noqa: E402
import model_inputs  # noqa: E402
import models  # noqa: E402
import trivet_cli  # noqa: E402

LIMIT = 5e-6
RATIO = 1.5
ROUNDING = 2.0**-24


class Onnxruntime:
    """Runs cases with onnxruntime, optimized or not."""

    def __init__(self, path, optimized=True):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]

    def run(self, arrays):
        return dict(zip(self.names, self.session.run(None, arrays)))


class Trivet:
    """Builds one plan for the profile of a model and runs every case with it."""

    def __init__(self, path, entry, folder, threads):
        self.plan, self.threads = folder / (entry["name"] + ".plan"), threads
        trivet_cli.build(path, self.plan, entry["inputs"], entry["profile"], threads)

    def run(self, arrays):
        return trivet_cli.run(self.plan, arrays, self.threads)


def difference(got, reference):
    """Sum and maximum of |got - reference|, sum and maximum of |reference|; infinite where a shape or NaN differs."""
    got, reference = np.asarray(got), np.asarray(reference)
    if got.shape != reference.shape:
        raise trivet_cli.TrivetError(f"shape {list(got.shape)} instead of {list(reference.shape)}")
    gap = np.abs(got.astype(np.float64) - reference.astype(np.float64))
    gap = np.where(np.isnan(gap), np.inf, gap)
    size = np.abs(reference.astype(np.float64))
    return np.array([gap.sum(), gap.max(initial=0), size.sum(), size.max(initial=0)])


def relative(sums):
    """Mean and maximum relative error of the row that difference() returns."""
    mean = sums[0] / sums[2] if sums[2] else (0.0 if sums[0] == 0 else np.inf)
    return mean, sums[1] / sums[3] if sums[3] else (0.0 if sums[1] == 0 else np.inf)


class Row:
    """What is known of one output of one model, over all its cases."""

    def __init__(self, name):
        self.name, self.error, self.largest, self.case = name, 0.0, 0.0, ""
        self.ours, self.theirs = np.zeros(4), np.zeros(4)

    def add(self, case, ours, theirs, exact):
        mean, largest = relative(difference(ours, theirs))
        if mean >= self.error:
            self.error, self.case = mean, case
        self.largest = max(self.largest, largest)
        self.ours += difference(ours, exact)
        self.theirs += difference(theirs, exact)

    @property
    def exact_ours(self):
        return relative(self.ours)[0]

    @property
    def exact_theirs(self):
        return relative(self.theirs)[0]

    @property
    def ratio(self):
        return max(self.exact_ours, ROUNDING) / max(self.exact_theirs, ROUNDING)

    def faults(self):
        out = []
        if not self.error <= LIMIT:
            out.append(f"differs from onnxruntime by {self.error:.2e} in case {self.case}, allowed {LIMIT:.0e}")
        if not self.ratio <= RATIO:
            out.append(f"errs {self.ratio:.2f} times as much as onnxruntime against float64, allowed {RATIO}")
        return out


def compare_model(entry, folder, threads, engine):
    """Rows of one model, one per output."""
    path = models.bring(entry)
    stamp = (path.parent / "stamp").read_text()
    theirs = Onnxruntime(path)
    ours = Trivet(path, entry, folder, threads) if engine == "trivet" else Onnxruntime(path, optimized=False)
    rows = {name: Row(f"{entry['name']}/{name}") for name in theirs.names}
    for case in entry["cases"]:
        arrays = model_inputs.make_inputs(entry, case)
        exact = float64_reference.cached(path, stamp, f"{entry['name']}-{case['name']}", arrays,
                                         models.cache_dir() / "float64")
        reference, got = theirs.run(arrays), ours.run(arrays)
        for name, row in rows.items():
            if name not in got:
                raise trivet_cli.TrivetError(f"no output named {name}, only {', '.join(got)}")
            row.add(case["name"], got[name], reference[name], exact[name])
    return list(rows.values())


def main():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="these models only")
    parser.add_argument("--engine", choices=("trivet", "onnxruntime"), default="trivet",
                        help="onnxruntime: self-check, unoptimized onnxruntime in our place")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="also write the table as JSON")
    args = parser.parse_args()
    if args.engine != "trivet":
        print("self-check: onnxruntime without graph optimizations stands in for Trivet")
    print(f"{'model/output':38s} {'vs onnxruntime':>14s} {'maximum':>9s} {'ours vs f64':>12s} "
          f"{'theirs vs f64':>13s} {'ratio':>6s} {'s':>5s}")
    rows, failed = [], []
    with tempfile.TemporaryDirectory(prefix="trivet-compare-") as folder:
        for entry in models.load_list("compare", args.models):
            begin = time.monotonic()
            try:
                found = compare_model(entry, pathlib.Path(folder), args.threads, args.engine)
            except trivet_cli.TrivetError as error:
                failed.append(f"{entry['name']}: {error}")
                print(f"{entry['name']:38s} FAILED", flush=True)
                continue
            seconds = time.monotonic() - begin
            for row in found:
                faults = row.faults()
                failed += [f"{row.name}: {fault}" for fault in faults]
                print(f"{row.name:38s} {row.error:14.2e} {row.largest:9.1e} {row.exact_ours:12.2e} "
                      f"{row.exact_theirs:13.2e} {row.ratio:6.2f} {seconds:5.1f}{'  FAILED' if faults else ''}",
                      flush=True)
            rows += found
            for plan in pathlib.Path(folder).glob("*.plan"):
                plan.unlink()
    if args.json:
        table = [{"name": r.name, "error": r.error, "maximum": r.largest, "ours_float64": r.exact_ours,
                  "onnxruntime_float64": r.exact_theirs, "ratio": r.ratio} for r in rows]
        pathlib.Path(args.json).write_text(json.dumps({"rows": table, "failed": failed}, indent=1) + "\n")
    for line in failed:
        print("FAILED", line)
    print(f"{len({r.name.split('/')[0] for r in rows})} models compared, {len(failed)} failures")
    worst = max(rows, key=lambda r: r.error, default=None)
    print(f"compare: worst {worst.error:.2e} ({worst.name})" if worst else "compare: worst inf (nothing ran)")
    sys.exit(1 if failed or not rows else 0)


if __name__ == "__main__":
    main()
