#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Trivet beside PyTorch on a GPU: the same models, weights and inputs, both replayed as CUDA graphs.

    bench_gpu.py [CASE]... [--tactics MODE] [--modes eager,compile,max-autotune] [--no-torch | --torch FILE] [--save FILE]
    bench_gpu.py --errors [CASE]... [--precision f32]    errors only, nothing is measured

A case is MODEL:bBATCH. Trivet: a plan built here, run by `trivet bench`. PyTorch: torch_worker.py. Both take turns over
several sets of inputs, time on the device, and are medians of 300 runs. Both have their inputs and give their outputs in
the same form: with --precision f16 in FP16, images with the channels last where PyTorch's module is so. R = best torch time
/ ours. The error columns are mean relative errors against the module in float64; ours may be 1.2 times torch's.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "models"))
import models  # noqa: E402

CASES = ["resnet50:b1", "resnet50:b32", "resnet50:b128", "mobilenet_v2:b1", "mobilenet_v2:b32", "efficientnet_b0:b1",
         "vit_b_16:b1", "vit_b_16:b32", "bert_base:b1", "bert_base:b32", "bert_large:b8", "gpt2:b1"]
SEQUENCE = {"bert_base": 128, "bert_large": 384, "gpt2": 1024}
CHANNELS_FIRST = ("vit_b_16",)  # where PyTorch's convolutions are few
SETS = 4  # of inputs, taking turns
ERROR_BAR = 1.2  # of torch's error, in half precision
F32_BAR = 5e-6


def say(text):
    print(text, flush=True)


class Case:
    """One case: its files and what is known of it."""

    def __init__(self, name, folder, precision):
        self.name = name
        self.is_half = precision == "f16"
        self.model, batch = name.split(":b")
        self.batch = int(batch)
        self.entry = models.load_list(only=[self.model])[0]
        self.folder = folder / name.replace(":", "_")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.row = {"case": name}

    def path(self, name):
        return self.folder / name

    def dims(self, info):
        length = SEQUENCE.get(self.model, 128)
        sizes = {"batch": self.batch, "seq": length, "sequence": length}
        return [sizes.get(d, d) if isinstance(d, str) else d for d in info["dims"]]

    def channels_last(self, info):
        return self.is_half and len(info["dims"]) == 4 and self.model not in CHANNELS_FIRST

    def formats(self):
        """Options of build: inputs and outputs as PyTorch's module in FP16 has them."""
        if not self.is_half:
            return []
        import onnx
        forms = [i["name"] + ":f16" + (":channels-last" if self.channels_last(i) else "") for i in self.entry["inputs"]
                 if i["dtype"] == "float32"]
        outputs = onnx.load(models.bring(self.entry), load_external_data=False).graph.output
        forms += [o.name + ":f16" for o in outputs if o.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
        return [part for form in forms for part in ("--io-format", form)]

    def shapes(self):
        shapes = []
        for info in self.entry["inputs"]:
            dims = self.dims(info)
            if self.channels_last(info):
                dims = [dims[0], *dims[2:], dims[1]]
            shapes.append(f"{info['name']}:" + "x".join(map(str, dims)))
        return ",".join(shapes)

    def write_inputs(self):
        """Sets of inputs: NAME for the first, NAME.K for the others; the first also as files for `trivet run`."""
        random, arrays = np.random.default_rng(7), {}
        for k in range(SETS):
            for info in self.entry["inputs"]:
                dims = self.dims(info)
                if info["dtype"] == "float32":
                    value = random.standard_normal(dims, dtype=np.float32)
                elif info.get("mask"):
                    value = np.ones(dims, np.int64)
                else:
                    value = random.integers(0, info["below"], dims, dtype=np.int64)
                arrays[info["name"] + (f".{k}" if k else "")] = value
                if not k:
                    if self.is_half and info["dtype"] == "float32":
                        value = value.astype(np.float16)
                    if self.channels_last(info):
                        value = np.ascontiguousarray(np.moveaxis(value, 1, -1))
                    np.save(self.path(info["name"] + ".npy"), value)
        np.savez(self.path("inputs.npz"), **arrays)


def command(line, seconds=300):
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split())[-400:])
    return done.stdout


def build(case, args):
    plan, shapes = case.path("m.plan"), case.shapes()
    line = [os.environ["TRIVET"], "build", models.bring(case.entry), "-o", plan, "--precision", args.precision, "--target",
            args.target, "--min", shapes, "--opt", shapes, "--max", shapes, *case.formats()]
    if args.tactics == "timed":
        line += ["--tactics", "timed", "--timing-cache", args.timing_cache]
    begin = time.monotonic()
    command(line)
    case.row["build_s"] = time.monotonic() - begin


def run_ours(case, args):
    """Our outputs for the first set of inputs."""
    inputs = [part for info in case.entry["inputs"] for part in ("-i", case.path(info["name"] + ".npy"))]
    command([os.environ["TRIVET"], "run", case.path("m.plan"), "-o", case.path("ours.npz"), *inputs])


def measure_ours(case, args):
    report = case.path("m.json")
    inputs = [part for info in case.entry["inputs"] for part in ("-i", case.path(info["name"] + ".npy"))]
    text = command([os.environ["TRIVET"], "bench", case.path("m.plan"), "-n", "300", "--warmup", "30", "--rotate", SETS,
                    "--profile", "--json", report, *inputs])
    if args.profiles:
        (pathlib.Path(args.profiles) / (case.name.replace(":", "_") + ".txt")).write_text(text)
    figures = json.loads(report.read_text())
    case.row.update(ms=figures.get("device_ms", figures["latency_ms"])["median"], host_us=figures.get("host_us"),
                    load_ms=figures["load_ms"], layers=len(figures.get("layers", [])))


def attempt(case, step, *rest):
    """Whether a step of a case went well; its error goes into the row."""
    if "error" in case.row:
        return False
    try:
        step(case, *rest)
        return True
    except (RuntimeError, subprocess.TimeoutExpired, OSError, KeyError) as error:
        case.row["error"] = f"{step.__name__}: {error}"
        return False


def start_torch(cases, args):
    """PyTorch's side of some cases: processes that compile side by side and then wait to be told to measure."""
    workers = []
    for case in cases:
        line = [sys.executable, HERE / "torch_worker.py", case.model, models.bring(case.entry), case.path("inputs.npz"),
                case.path("torch.json"), "--precision", args.precision, "--modes", args.modes, "--wait", "--ours",
                case.path("ours.npz")]
        log = open(case.path("torch.log"), "w")
        workers.append((case, log, subprocess.Popen([str(p) for p in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                    stderr=log, text=True)))
    return workers


def finish_torch(workers, args):
    """Waits until all have compiled, then lets one after the other measure; gives each case when its figures are there."""
    end = time.monotonic() + args.compile_seconds
    for _, _, worker in workers:  # a process that ends or hangs is no longer waited for
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            try:
                pool.submit(worker.stdout.readline).result(max(1.0, end - time.monotonic()))
            except concurrent.futures.TimeoutError:
                worker.kill()
    for case, log, worker in workers:
        try:
            worker.communicate("go\n", timeout=60)
        except (subprocess.TimeoutExpired, OSError):
            worker.kill()
        log.close()
        if case.path("torch.json").exists():
            case.row["torch"] = json.loads(case.path("torch.json").read_text())
        else:
            case.row["torch_failed"] = " ".join(case.path("torch.log").read_text().split())[-400:]
        yield case


def finish(case):
    torch = case.row.get("torch", {})
    times = [torch[m] for m in ("eager", "compile", "max-autotune") if m in torch]
    if times and "ms" in case.row:
        case.row["ratio"] = min(times) / case.row["ms"]


def cell(value, digits, width):
    return f"{'-' if value is None else format(value, digits):>{width}s}"


def show(case):
    row, torch = case.row, case.row.get("torch", {})
    line = f"{row['case']:20s}{cell(row.get('ms'), '.3f', 9)}"
    line += "".join(cell(torch.get(m), ".3f", 9) for m in ("eager", "compile", "max-autotune"))
    line += cell(row.get("ratio"), ".2f", 7) + cell(torch.get("our_error"), ".1e", 10) + cell(torch.get("torch_error"), ".1e", 10)
    line += cell(row.get("build_s"), ".1f", 8) + cell(row.get("load_ms"), ".0f", 8) + cell(row.get("host_us"), ".1f", 8)
    line += f"{row.get('layers', 0):8d}"
    if "our_error" in torch and not torch["our_error"] <= ERROR_BAR * torch["torch_error"]:
        line += "  ERROR OVER THE BAR"
    for key in ("error", "torch_failed", "compile_failed", "max-autotune_failed"):
        text = row.get(key, torch.get(key))
        if text:
            line += f"  {key}: {' '.join(text.split())[:300]}"
    say(line)


def our_plan(case, args):
    if attempt(case, build, args):
        attempt(case, run_ours, args)
    return case


def judge(cases, args):
    """Errors beside PyTorch's, of which each process ends when it has told; whether all are within their bars."""
    args.modes = ""
    good = True
    say(f"{'case':20s}{'type':>6s}{'error':>10s}{'torch':>10s}{'ratio':>8s}")
    for at in range(0, len(cases), args.compile_jobs):
        for case in finish_torch(start_torch(cases[at:at + args.compile_jobs], args), args):
            torch = case.row.get("torch", {})
            ours, theirs = torch.get("our_error", math.nan), torch.get("torch_error", math.nan)
            right = ours <= (F32_BAR if args.precision == "f32" else ERROR_BAR * theirs)
            good = good and right
            fault = case.row.get("error") or case.row.get("torch_failed") or ""
            say(f"{case.name:20s}{args.precision:>6s}{ours:10.1e}{theirs:10.1e}{ours / theirs if theirs else math.nan:8.2f}"
                f"{'' if right else '  ERROR OVER THE BAR ' + fault[:200]}")
    return good


def save(cases, args):
    """What is known so far: a run that is stopped loses only the rest."""
    if args.save:
        figures = {"tactics": args.tactics, "precision": args.precision, "rows": [case.row for case in cases]}
        pathlib.Path(args.save).write_text(json.dumps(figures, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="bench gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {' '.join(CASES)}")
    parser.add_argument("--target", default=os.environ.get("TRIVET_TARGET", "cuda"))
    parser.add_argument("--precision", default="f16", choices=("f32", "f16", "bf16"))
    parser.add_argument("--tactics", default="heuristic", choices=("heuristic", "timed"))
    parser.add_argument("--timing-cache", metavar="FILE", default="trivet-gpu-timing.cache",
                        help="times of tactics, read and added to (%(default)s)")
    parser.add_argument("--modes", default="eager,compile", help="of torch: eager, compile, max-autotune (%(default)s)")
    parser.add_argument("--compile-jobs", type=int, default=4, help="how many torch processes compile at once (%(default)s)")
    parser.add_argument("--build-jobs", type=int, default=4,
                        help="how many of our plans are built at once (%(default)s); builds that share a timing cache measure in turn")
    parser.add_argument("--compile-beside", action="store_true",
                        help="all torch processes compile while our plans are built: for times of tactics that are known")
    parser.add_argument("--compile-seconds", type=float, default=200, help="what they are given (%(default)s)")
    parser.add_argument("--errors", action="store_true", help="errors of both sides against float64 and no times")
    parser.add_argument("--no-torch", action="store_true", help="our side only")
    parser.add_argument("--torch", metavar="FILE", help="torch's figures from a file of --save")
    parser.add_argument("--profiles", metavar="DIR", help="write our time per layer there")
    parser.add_argument("--keep", metavar="DIR", help="keep plans, inputs and logs there")
    parser.add_argument("--save", metavar="FILE", help="write all figures as JSON")
    args = parser.parse_args()
    for folder in filter(None, (args.profiles, args.keep)):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    known = {}
    if args.torch:
        known = {row["case"]: row.get("torch", {}) for row in json.loads(pathlib.Path(args.torch).read_text())["rows"]}
    with tempfile.TemporaryDirectory(prefix="trivet-bench-") as scratch:
        root = pathlib.Path(args.keep or scratch).resolve()
        cases = [Case(name, root, args.precision) for name in args.cases or CASES]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            brought = {c.model: c.entry for c in cases}.values()
            list(pool.map(models.bring, brought))
            list(pool.map(Case.write_inputs, cases))
        say(f"models and inputs there after {time.monotonic() - begin:.0f} s")
        asks_torch = not args.no_torch and not args.torch
        beside = start_torch(cases, args) if asks_torch and args.compile_beside else None
        with concurrent.futures.ThreadPoolExecutor(args.build_jobs) as pool:
            for case in pool.map(lambda c: our_plan(c, args), cases):
                say(f"{case.name}: {case.row.get('error') or format(case.row['build_s'], '.1f') + ' s to build'}")
                save(cases, args)
        say(f"our plans there after {time.monotonic() - begin:.0f} s")
        if args.errors:
            good = judge(cases, args)
            save(cases, args)
            say(f"all done after {time.monotonic() - begin:.0f} s")
            sys.exit(0 if good else 1)
        for case in cases if beside is None else []:
            attempt(case, measure_ours, args)
            say(f"{case.name}: {cell(case.row.get('ms'), '.3f', 1)} ms")
            save(cases, args)
        for at in range(0, len(cases) if asks_torch else 0, args.compile_jobs if beside is None else len(cases)):
            for case in finish_torch(beside or start_torch(cases[at:at + args.compile_jobs], args), args):
                say(f"{case.name}: torch {case.row.get('torch') or 'failed'}")
                save(cases, args)
            say(f"torch measured after {time.monotonic() - begin:.0f} s")
        say(f"{'case':20s}{'ours ms':>9s}{'eager':>9s}{'compile':>9s}{'max-aut.':>9s}{'R':>7s}{'error':>10s}{'torch':>10s}"
            f"{'build s':>8s}{'load ms':>8s}{'host us':>8s}{'layers':>8s}")
        for case in cases:
            if case.name in known:
                case.row["torch"] = {k: v for k, v in known[case.name].items() if k != "our_error"}
            elif "torch" in case.row:
                attempt(case, measure_ours, args)  # after torch's: the device's clock may have changed since
            finish(case)
            show(case)
            save(cases, args)
    rows = [case.row for case in cases]
    save(cases, args)
    say(f"all done after {time.monotonic() - begin:.0f} s")
    ratios = [(row["ratio"], row["case"]) for row in rows if "ratio" in row]
    if ratios:
        geomean = math.exp(sum(math.log(r) for r, _ in ratios) / len(ratios))
        say(f"gpu vs torch: geomean {geomean:.2f} min {min(ratios)[0]:.2f} ({min(ratios)[1]})")
    sys.exit(1 if any("error" in row for row in rows) else 0)


if __name__ == "__main__":
    main()
