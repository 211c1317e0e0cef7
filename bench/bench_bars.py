#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is asked of the CUDA target beside speed, in one table: load to the first result, the host's time per run, two contexts at
once, memory as it was said, errors after which one goes on, many runs of random shapes, plans from a lock file equal to the byte, and
plans tuned on the device beside plans timed there. Runs on a machine with the device, from the GPU bundle (`run.sh bars`).

    bench_bars.py [--runs N] [--timing-cache FILE] [--tune MODEL[,MODEL]] [--jobs N]

Every row says what was seen, what was wanted and whether it was met. Must not know how anything is done: it runs the command and
two programs of the bundle, and reads what they print.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
TRIVET = os.environ["TRIVET"]
TARGET = os.environ.get("TRIVET_TARGET", "cuda")
DIGITS = ("--min", "image:1x1x8x8", "--opt", "image:8x1x8x8", "--max", "image:64x1x8x8")
ROWS = []


def row(what, seen, wanted, met):
    """met: True, False, or None where nothing is asked."""
    ROWS.append(met)
    print(f"{ {True: 'met', False: 'NOT', None: 'seen'}[met]:5s}{what:58s} {seen:>22s}  {wanted}", flush=True)


def run(*line, seconds=300):
    return subprocess.run([str(p) for p in line], capture_output=True, text=True, timeout=seconds)


def model(name):
    listed = run(sys.executable, HERE / "tests/models/models.py", "--only", name, "--list").stdout
    return next(line.split()[1] for line in listed.splitlines() if line.split()[0] == name)


def build(source, plan, *options):
    done = run(TRIVET, "build", source, "-o", plan, *options)
    if done.returncode:
        raise RuntimeError(f"{plan}: {done.stderr.strip()[-300:]}")
    return plan


def figures(plan, *options):
    done = run(TRIVET, "bench", plan, "-n", 200, "--warmup", 20, "--json", "bars.json", "-v", *options)
    if done.returncode:
        raise RuntimeError(f"{plan}: {done.stderr.strip()[-300:]}")
    seen = json.loads(pathlib.Path("bars.json").read_text())
    start = re.search(r"loaded: .*device ([0-9.]+)", done.stderr)
    seen["driver_ms"] = float(start[1]) if start else 0.0
    return seen


def load_and_memory(name, plan, asked):
    seen = figures(plan)
    total = seen["load_ms"] + seen["prepare_ms"] + seen["first_run_ms"]
    row(f"{name}: load to first result, new process", f"{total:.1f} ms", "150 ms" if asked else "", total <= 150 if asked else None)
    ours = total - seen["driver_ms"]
    row(f"{name}: the same without the driver's start", f"{ours:.1f} ms", "150 ms" if asked else "", ours <= 150 if asked else None)
    said = seen["arena_bytes"] + seen["weights_bytes"] + seen["workspace_bytes"] + seen["staging_bytes"]
    off = abs(seen["device_bytes"] - said) / seen["device_bytes"]
    row(f"{name}: memory taken beside weights, arena, workspace, staging", f"{seen['device_bytes'] * 1e-6:.2f} MB, off {off:.2%}", "1 %", off <= 0.01)
    row(f"{name}: driver, libraries and others beside it", f"{seen['others_bytes'] * 1e-6:.0f} MB", "", None)


def host_time(name, plan):
    text = run(HERE / "bin/cuda_host_time", plan)
    text = text.stdout + text.stderr
    if not (found := re.search(r"host ([0-9.]+) us a run by graph .*, ([0-9.]+) with new addresses", text)):
        return row(f"{name}: host time", text.strip()[-60:], "", False)
    same, new = float(found[1]), float(found[2])
    row(f"{name}: host time of a run, graph seen before", f"{same:.2f} us", "5 us", same <= 5)
    row(f"{name}: host time of a run, new addresses", f"{new:.2f} us", "20 us", new <= 20)
    more = re.search(r"of (\d+) kernels without a graph, the driver alone ([0-9.]+): (-?[0-9.]+) us more", text)
    row(f"{name}: without a graph, above the driver, each of {more[1]}", f"{float(more[3]):.3f} us", "0.5 us", float(more[3]) <= 0.5)
    if "stream" in text:
        row(f"{name}: a stream of another context, then a run", "refused, runs" if text.count("ok: ") >= 2 else "WRONG", "an error, usable after",
            "ok: a stream" in text and "ok: the context runs then" in text)


def robust(plan, runs):
    done = run(HERE / "bin/device_robust", plan, runs)
    for line in (done.stdout + done.stderr).splitlines():
        word, _, text = line.partition(": ")
        if word in ("ok", "WRONG"):
            row("robust: " + text[:110], "", "", word == "ok")
    if done.returncode:
        row("robust", done.stderr.strip()[-80:], "", False)


def other_architectures(digits):
    for other in ("sm_80", "sm_100"):
        build(digits, "bars_other.plan", "--target", f"cuda:{other}", *DIGITS)
        done = run(TRIVET, "run", "bars_other.plan")
        named = done.returncode != 0 and other in done.stderr
        row(f"a plan for {other}", done.stderr.strip()[:60] if named else "WRONG", "an error that names it", named)


def locked(name, source, plan, options):
    """Beside |plan|, which wrote |plan|.lock; its timing cache is not asked again."""
    lock = pathlib.Path(f"{plan}.lock")
    size = pathlib.Path(f"{lock}.code").stat().st_size
    again = [build(source, f"bars_locked{i}.plan", "--target", TARGET, "--precision", "f16", "--tactics", "locked", lock, *options) for i in range(2)]
    equal = [pathlib.Path(p).read_bytes() == pathlib.Path(plan).read_bytes() for p in again]
    row(f"{name}: two locked builds beside the timed one", f"{sum(equal)} of 2 equal", "byte for byte", all(equal))
    row(f"{name}: code beside the lock file", f"{size * 1e-6:.1f} MB", "", None)


def tuned_beside_timed(name, options, cache):
    """Two plans: with alternatives as if no device were there, and timed here with |cache|."""
    source = model(name)
    many = build(source, f"bars_{name}.many.plan", "--target", "cuda:sm_90", "--precision", "f16", "--alternatives", "32", *options)
    start = time.monotonic()
    timed = build(source, f"bars_{name}.timed.plan", "--target", TARGET, "--precision", "f16", "--tactics", "timed", *(("--timing-cache", cache) if cache else ()),
                  "--write-lock", f"bars_{name}.timed.plan.lock", *options)
    return name, many, timed, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(prog="bench_bars", description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--timing-cache", help="measured times, copied for each build")
    parser.add_argument("--tune", default="", help="models of tests/models/models.json, tuned beside timed ('resnet50,bert_base')")
    parser.add_argument("--jobs", type=int, default=4)
    args = parser.parse_args()
    digits, resnet = model("digits"), model("resnet50")
    small = build(digits, "bars_digits.plan", "--target", TARGET, *DIGITS)

    def cached(name):
        return shutil.copy(args.timing_cache, f"bars_{name}.cache") if args.timing_cache else None

    tune = [name for name in args.tune.split(",") if name]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        half = ("--target", TARGET, "--precision", "f16", "--min", "x:1x3x224x224", "--opt", "x:1x3x224x224", "--max", "x:1x3x224x224")
        free = pool.submit(build, resnet, "bars_resnet.plan", *half)
        soon = pool.submit(build, resnet, "bars_soon.plan", *half, "--max-load-ms", 150)
        words = "input_ids:1x128,attention_mask:1x128"
        shapes = {"resnet50": half[4:], "mobilenet_v2": half[4:], "bert_base": ("--min", words, "--opt", words, "--max", words)}
        plans = [("ResNet-50, --max-load-ms 150", soon.result(), True), ("ResNet-50", free.result(), False)]
    for name, plan, asked in plans:
        load_and_memory(name, plan, asked)
    host_time("digits", small)
    for name, plan, _ in plans:
        host_time(name, plan)
    other_architectures(digits)
    robust(small, args.runs)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:  # what was timed above wants a quiet machine
        pairs = list(pool.map(lambda name: tuned_beside_timed(name, shapes.get(name, ()), cached(name)), tune))
    for name, many, timed, seconds in pairs:
        tuned = many.replace("many", "tuned")
        locked(name, model(name), timed, shapes.get(name, ()))
        done = run(TRIVET, "tune", many, "-o", tuned)
        if done.returncode:
            row(f"{name}: tune", done.stderr.strip()[-80:], "", False)
            continue
        times = {plan: [] for plan in (tuned, timed)}
        for _ in range(3):  # in turns
            for plan, seen in times.items():
                seen.append(figures(plan, "--rotate", 4)["device_ms"]["median"])
        ours, theirs = (statistics.median(times[plan]) for plan in (tuned, timed))
        row(f"{name}: built without a device, tuned, beside timed ({seconds:.0f} s)", f"{ours:.4f}/{theirs:.4f} {ours / theirs:.3f}", "1.03", ours / theirs <= 1.03)
    asked = [met for met in ROWS if met is not None]
    print(f"bars: {sum(asked)} of {len(asked)} met")
    sys.exit(0 if all(asked) else 1)


if __name__ == "__main__":
    main()
