# SPDX-License-Identifier: Apache-2.0
"""The only place where the Python scripts know the command `trivet` and its options.

Stands between tests, benchmarks and the demo on one side and the command on the other: every call is one process.
Must not know any model. ./dev sets $TRIVET to the command that it built; without it the one in bazel-bin is taken.
"""
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


class TrivetError(RuntimeError):
    """The command failed; the message is its command line and what it wrote to standard error."""


def command():
    """Path of the command: $TRIVET, else the one that Bazel built."""
    path = pathlib.Path(os.environ.get("TRIVET") or ROOT / "bazel-bin" / "tools" / "trivet" / "trivet")
    if not path.exists():
        raise TrivetError(f"there is no {path}; run this through ./dev")
    return path


def call(*arguments, timeout=900):
    """Runs the command and returns what it printed."""
    line = [str(command()), *map(str, arguments)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TrivetError(f"{' '.join(line)}\n  still running after {timeout} s") from None
    if done.returncode:
        end = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        raise TrivetError(f"{' '.join(line)}\n  {end}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def shapes_option(inputs, symbols):
    """Value of --min, --opt or --max: name:1x3x8,name2:4 for entries of models.json with values for the symbols."""
    parts = []
    for spec in inputs:
        dims = [symbols[d] if isinstance(d, str) else d for d in spec["dims"]]
        if dims:
            parts.append(spec["name"] + ":" + "x".join(map(str, dims)))
    return ",".join(parts)


def profile_options(inputs, profile):
    """The three options of a profile {symbol: [min, opt, max]}."""
    out = []
    for index, option in enumerate(("--min", "--opt", "--max")):
        out += [option, shapes_option(inputs, {name: bounds[index] for name, bounds in profile.items()})]
    return out


def build(model, plan, inputs, profile, threads=None, tactics="heuristic", timing_cache=None, report=None):
    """Builds a plan of a model for the shapes of a profile."""
    options = profile_options(inputs, profile) + ["--tactics", *str(tactics).split()]
    if threads:
        options += ["--threads", threads]
    if timing_cache:
        options += ["--timing-cache", timing_cache]
    if report:
        options += ["--json", report]
    # What to build for, for scripts that know nothing of it: $TRIVET_TARGET, $TRIVET_BUILD_OPTIONS.
    if os.environ.get("TRIVET_TARGET"):
        options += ["--target", os.environ["TRIVET_TARGET"]]
    options += os.environ.get("TRIVET_BUILD_OPTIONS", "").split()
    call("build", model, "-o", plan, *options)


def run(plan, arrays, threads=None):
    """Outputs by name of one run with the arrays by name."""
    with tempfile.TemporaryDirectory(prefix="trivet-run-") as folder:
        given, got = pathlib.Path(folder, "inputs.npz"), pathlib.Path(folder, "outputs.npz")
        np.savez(given, **arrays)
        call("run", plan, "--inputs", given, "--outputs", got, *(["--threads", threads] if threads else []))
        with np.load(got) as outputs:
            return {name: outputs[name] for name in outputs.files}


def bench(plan, arrays, threads, iterations, warmup, profile=False):
    """The report of `trivet bench` as a dictionary; profile adds the time of every layer."""
    with tempfile.TemporaryDirectory(prefix="trivet-bench-") as folder:
        given, report = pathlib.Path(folder, "inputs.npz"), pathlib.Path(folder, "report.json")
        np.savez(given, **arrays)
        call("bench", plan, "--inputs", given, "--threads", threads, "--iterations", iterations, "--warmup", warmup,
             "--json", report, *(["--profile"] if profile else []))
        return json.loads(report.read_text())
