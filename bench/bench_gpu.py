#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Trivet beside PyTorch on a GPU in FP16: the same architectures, both replayed as CUDA graphs.

    bench_gpu.py [CASE]... [--tactics MODE] [--compile] [--save FILE]

A case is MODEL:bBATCH. Trivet: a plan built here, run by `trivet bench` with inputs and outputs on the device. PyTorch:
the module of torchvision or transformers with the same configuration in half precision, eager and (with --compile)
compiled with freezing, captured into a CUDA graph. Medians of at least 200 runs; R = best torch time / ours. Weights are
random on both sides; times do not depend on them. Results are judged by compare.py, not here.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "models"))
import models  # noqa: E402

CASES = ["resnet50:b1", "resnet50:b32", "resnet50:b128", "mobilenet_v2:b1", "mobilenet_v2:b32", "efficientnet_b0:b1",
         "vit_b_16:b1", "vit_b_16:b32", "bert_base:b1", "bert_base:b32", "gpt2:b1"]
SEQUENCE = {"bert_base": 128, "gpt2": 1024}


def shapes_of(entry, batch):
    """Shapes of all inputs: the case's batch and sequence in place of symbols."""
    sizes = {"batch": batch, "seq": SEQUENCE.get(entry["name"], 128), "sequence": SEQUENCE.get(entry["name"], 128)}
    parts = []
    for info in entry["inputs"]:
        dims = [sizes.get(d, d) if isinstance(d, str) else d for d in info["dims"]]
        parts.append(f"{info['name']}:" + "x".join(map(str, dims)))
    return ",".join(parts)


def trivet(entry, batch, args, folder):
    """Figures of our side: milliseconds, seconds to build, steps."""
    plan, report = folder / "m.plan", folder / "m.json"
    shapes = shapes_of(entry, batch)
    line = [os.environ["TRIVET"], "build", str(models.bring(entry)), "-o", str(plan), "--precision", "f16", "--target",
            args.target, "--min", shapes, "--opt", shapes, "--max", shapes]
    if args.tactics == "timed":
        line += ["--tactics", "timed", "--timing-cache", str(folder.parent / "trivet-gpu-timing.cache")]
    begin = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    seconds = time.monotonic() - begin
    done = subprocess.run([os.environ["TRIVET"], "bench", str(plan), "-n", "300", "--warmup", "30", "--shapes", shapes,
                           "--profile", "--json", str(report)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    if args.profiles:
        name = f"{entry['name']}_b{batch}.txt"
        (pathlib.Path(args.profiles) / name).write_text(done.stdout)
    figures = json.loads(report.read_text())
    return {"ms": figures.get("device_ms", figures["latency_ms"])["median"], "host_us": figures.get("host_us"), "build_s": seconds, "layers": len(figures.get("layers", []))}


def module_and_inputs(name, batch):
    import torch
    if name in ("bert_base", "gpt2"):
        import transformers
        ids = torch.randint(0, 1000, (batch, SEQUENCE[name]), device="cuda")
        if name == "bert_base":
            module = transformers.BertModel(transformers.BertConfig(attn_implementation="sdpa"))
            return module.eval().half().cuda(), (ids, torch.ones_like(ids))
        config = transformers.GPT2Config(attn_implementation="sdpa", use_cache=False)
        return transformers.GPT2LMHeadModel(config).eval().half().cuda(), (ids,)
    import torchvision
    module = getattr(torchvision.models, name)().eval().half().cuda()
    if "vit" not in name:
        module = module.to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.half)
    return module, (x.to(memory_format=torch.channels_last),)


def captured_ms(function, runs=300):
    """Median time of a replayed CUDA graph of function()."""
    import torch
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(5):
            function()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            function()
        times = []
        for index in range(runs + 30):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record(stream)
            graph.replay()
            end.record(stream)
            end.synchronize()
            if index >= 30:
                times.append(begin.elapsed_time(end))
    return statistics.median(times)


def torch_times(name, batch, compiled):
    import torch
    module, inputs = module_and_inputs(name, batch)
    result = {"eager": captured_ms(lambda: module(*inputs))}
    if compiled:
        import torch._inductor.config as inductor
        inductor.freezing = True
        begin = time.monotonic()
        fast = torch.compile(module)
        with torch.no_grad():
            fast(*inputs)
        result["compile"] = captured_ms(lambda: fast(*inputs))
        result["compile_s"] = time.monotonic() - begin
    return result


def main():
    parser = argparse.ArgumentParser(prog="bench gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {' '.join(CASES)}")
    parser.add_argument("--target", default=os.environ.get("TRIVET_TARGET", "cuda"))
    parser.add_argument("--tactics", default="heuristic", choices=("heuristic", "timed"))
    parser.add_argument("--compile", action="store_true", help="also torch.compile (half a minute a model)")
    parser.add_argument("--no-torch", action="store_true", help="our side only")
    parser.add_argument("--profiles", metavar="DIR", help="write our time per layer there")
    parser.add_argument("--save", metavar="FILE", help="write all figures as JSON")
    args = parser.parse_args()
    rows = []
    print(f"{'case':20s}{'ours ms':>9s}{'eager':>9s}{'compile':>9s}{'R':>7s}{'build s':>9s}{'layers':>8s}", flush=True)
    for case in args.cases or CASES:
        name, batch = case.split(":b")
        row = {"case": case}
        with tempfile.TemporaryDirectory(prefix="trivet-bench-") as folder:
            entry = models.load_list("compare", [name])[0]
            try:
                row.update(trivet(entry, int(batch), args, pathlib.Path(folder)))
            except RuntimeError as error:
                row["error"] = str(error)
        if not args.no_torch:
            row["torch"] = torch_times(name, int(batch), args.compile)
            best = min(row["torch"][k] for k in ("eager", "compile") if k in row["torch"])
            if "ms" in row:
                row["ratio"] = best / row["ms"]
        rows.append(row)
        cells = [row.get("ms"), row.get("torch", {}).get("eager"), row.get("torch", {}).get("compile"), row.get("ratio")]
        print(f"{case:20s}" + "".join(f"{'-' if c is None else f'{c:.3f}':>9s}" for c in cells[:3])
              + f"{'-' if cells[3] is None else f'{cells[3]:.2f}':>7s}{row.get('build_s', 0):9.1f}{row.get('layers', 0):8d}"
              + ("  FAILED " + row["error"].replace("\n", " ")[:300] if "error" in row else ""), flush=True)
    if args.save:
        pathlib.Path(args.save).write_text(json.dumps({"tactics": args.tactics, "rows": rows}, indent=1) + "\n")
    ratios = [(row["ratio"], row["case"]) for row in rows if "ratio" in row]
    if ratios:
        geomean = math.exp(sum(math.log(r) for r, _ in ratios) / len(ratios))
        print(f"gpu vs torch: geomean {geomean:.2f} min {min(ratios)[0]:.2f} ({min(ratios)[1]})")


if __name__ == "__main__":
    main()
