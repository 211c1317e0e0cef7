#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attention alone: our kernels beside float64 and beside PyTorch's on a GPU, in one process.

    bench_attention.py make FOLDER               writes the models (needs the package onnx, and no GPU)
    bench_attention.py check FOLDER [OPTIONS]    mean relative error of each case, as the heuristic builds it
    bench_attention.py forms FOLDER [OPTIONS]    the same of every form of the generated kernel
    bench_attention.py bench FOLDER [OPTIONS]    microseconds, and torch's scaled_dot_product_attention with cuDNN and with flash

OPTIONS go to `trivet build` (--disable cuda_dnn.attention: the generated kernel, not the library's). A measured model is
the same attention several times in a row; both sides replay a CUDA graph of it; medians. $TRIVET is the command,
$TRIVET_TARGET the target (cuda).
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

LIMITS = {"f16": 1e-3, "f32": 1e-6, "bf16": 8e-3}


def case(name, dtype, b, h, g, i, j, d, **more):
    c = dict(name=name, dtype=dtype, b=b, h=h, g=g, i=i, j=j, d=d, e=d, past=0, lengths=False, packed=False, repeat=1,
             mask=None, mask_type=None, is_causal=0, softcap=0.0)
    c.update(more)
    return c


def checks():
    for t in LIMITS:
        yield case("plain_" + t, t, 1, 12, 12, 128, 128, 64)
        yield case("odd_" + t, t, 2, 3, 3, 197, 197, 64)
        yield case("causal_" + t, t, 2, 4, 2, 333, 333, 64, is_causal=1)
    yield case("mask_added", "f16", 2, 4, 4, 100, 150, 64, mask=[2, 1, 1, 150], mask_type="f16")
    yield case("mask_bool", "f16", 2, 4, 4, 100, 150, 64, mask=[100, 150], mask_type="bool")
    yield case("mask_full", "f32", 2, 4, 4, 60, 70, 32, mask=[2, 4, 60, 70], mask_type="f32", softcap=5.0)
    yield case("softcap", "f16", 1, 4, 4, 100, 100, 64, softcap=3.0, is_causal=1)
    yield case("packed_shared", "f16", 2, 8, 2, 77, 77, 64, packed=True, is_causal=1)
    yield case("d128", "f16", 1, 8, 2, 300, 300, 128, is_causal=1)
    yield case("d256", "f16", 1, 2, 2, 130, 200, 256)
    yield case("d40_e24", "f16", 1, 2, 2, 50, 60, 40, e=24)
    yield case("d72", "f16", 1, 2, 2, 50, 60, 72)
    yield case("f32_d128", "f32", 1, 4, 2, 130, 200, 128)
    yield case("past", "f16", 2, 8, 2, 5, 133, 64, past=128, is_causal=1)
    yield case("step_with_past", "f16", 2, 32, 8, 1, 1025, 128, past=1024, is_causal=1)
    yield case("step", "f16", 1, 32, 8, 1, 2048, 128)
    yield case("lengths", "f16", 3, 8, 2, 7, 300, 64, lengths=True, is_causal=1)
    yield case("long", "f16", 2, 8, 8, 2048, 2048, 64)
    yield case("short_rows", "f16", 2, 4, 4, 250, 600, 128)
    yield case("causal_d128", "bf16", 1, 4, 2, 700, 700, 128, is_causal=1)
    yield case("lengths_rows", "f16", 3, 8, 2, 200, 500, 64, lengths=True)


def measured():
    yield case("bert_base_b1", "f16", 1, 12, 12, 128, 128, 64, repeat=8)
    yield case("bert_base_b32", "f16", 32, 12, 12, 128, 128, 64, repeat=8)
    yield case("bert_large_s384_b8", "f16", 8, 16, 16, 384, 384, 64, repeat=8)
    yield case("vit_b_16_b1", "f16", 1, 12, 12, 197, 197, 64, repeat=8)
    yield case("vit_b_16_b32", "f16", 32, 12, 12, 197, 197, 64, repeat=8)
    yield case("gpt2_s1024", "f16", 1, 12, 12, 1024, 1024, 64, repeat=8, is_causal=1)
    yield case("llama_step", "f16", 1, 32, 8, 1, 2048, 128, repeat=8)
    yield case("llama_s512", "f16", 1, 32, 8, 512, 512, 128, repeat=8, is_causal=1)
    yield case("s4096", "f16", 2, 16, 16, 4096, 4096, 128, repeat=2)


def shapes(c):
    fresh = c["j"] - c["past"]
    if c["packed"]:
        s = dict(q=[c["b"], c["i"], c["h"] * c["d"]], k=[c["b"], fresh, c["g"] * c["d"]], v=[c["b"], fresh, c["g"] * c["e"]])
    else:
        s = dict(q=[c["b"], c["h"], c["i"], c["d"]], k=[c["b"], c["g"], fresh, c["d"]], v=[c["b"], c["g"], fresh, c["e"]])
    if c["past"]:
        s.update(past_k=[c["b"], c["g"], c["past"], c["d"]], past_v=[c["b"], c["g"], c["past"], c["e"]])
    return s


def make(c, folder):
    """bf16 is cast inside, as numpy has no such type."""
    import onnx
    from onnx import TensorProto as T
    from onnx import helper
    types = {"f16": T.FLOAT16, "f32": T.FLOAT, "bf16": T.BFLOAT16, "bool": T.BOOL}
    outer = T.FLOAT if c["dtype"] == "bf16" else types[c["dtype"]]
    info = helper.make_tensor_value_info
    inputs = [info(n, outer, s) for n, s in shapes(c).items()]
    suffix = "_cast" if c["dtype"] == "bf16" else ""
    nodes = [helper.make_node("Cast", [n], [n + suffix], to=T.BFLOAT16) for n in shapes(c)] if suffix else []
    names = [n + suffix for n in "qkv"] + ["mask" if c["mask"] else ""]
    if c["mask"]:
        inputs.append(info("mask", types[c["mask_type"]], c["mask"]))
    names += ["past_k" + suffix, "past_v" + suffix] if c["past"] else ["", ""]
    if c["lengths"]:
        inputs.append(info("lengths", T.INT64, [c["b"]]))
        names.append("lengths")
    while not names[-1]:
        names.pop()
    attributes = dict(is_causal=c["is_causal"], softcap=c["softcap"])
    if c["packed"]:
        attributes.update(q_num_heads=c["h"], kv_num_heads=c["g"])
    for n in range(c["repeat"]):
        y = "y" + suffix if n + 1 == c["repeat"] else f"y{n}"
        nodes.append(helper.make_node("Attention", names, [y], **attributes))
        names[0] = y
    if suffix:
        nodes.append(helper.make_node("Cast", [names[0]], ["y"], to=T.FLOAT))
    graph = helper.make_graph(nodes, "g", inputs, [info("y", outer, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24 if c["lengths"] else 23)])
    model.ir_version = 10
    onnx.save(model, folder / (c["name"] + ".onnx"))


def fill(c, random):
    outer = np.float16 if c["dtype"] == "f16" else np.float32
    x = {n: random.standard_normal(s).astype(outer) for n, s in shapes(c).items()}
    if c["mask"]:
        x["mask"] = (random.random(c["mask"]) > 0.4 if c["mask_type"] == "bool" else
                     random.standard_normal(c["mask"]).astype({"f16": np.float16, "f32": np.float32}[c["mask_type"]]))
    if c["lengths"]:
        x["lengths"] = np.linspace(0, c["j"], c["b"]).astype(np.int64)
    return x


def to_bf16(x):
    u = x.astype(np.float32).view(np.uint32)
    return ((u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)


def reference(c, x):
    b, h, g, i, j, d, e = (c[n] for n in "bhgijde")
    x = {n: (to_bf16(a) if c["dtype"] == "bf16" else a).astype(np.float64) if a.dtype.kind == "f" else a
         for n, a in x.items()}
    q, k, v = x["q"], x["k"], x["v"]
    if c["packed"]:
        q, k, v = (a.reshape(b, -1, n, w).transpose(0, 2, 1, 3) for a, n, w in ((q, h, d), (k, g, d), (v, g, e)))
    if c["past"]:
        k, v = np.concatenate([x["past_k"], k], 2), np.concatenate([x["past_v"], v], 2)
    k, v = np.repeat(k, h // g, 1), np.repeat(v, h // g, 1)
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(d)
    if c["softcap"]:
        s = c["softcap"] * np.tanh(s / c["softcap"])
    at_i, at_j, seen = np.arange(i)[:, None], np.arange(j)[None], np.ones((b, 1, i, j), bool)
    offset = np.full(b, c["past"])
    if c["lengths"]:
        offset = x["lengths"] - i
        seen &= (at_j < x["lengths"][:, None, None])[:, None]
    if c["is_causal"]:
        seen &= (at_j <= at_i + offset[:, None, None])[:, None]
    if c["mask"] and x["mask"].dtype == bool:
        seen = seen & x["mask"]
    elif c["mask"]:
        s = s + x["mask"]
    s = np.where(seen, s, -np.inf)
    peak = s.max(-1, keepdims=True)
    p = np.exp(s - np.where(np.isinf(peak), 0, peak))
    total = p.sum(-1, keepdims=True)
    y = np.where(total > 0, p / np.where(total > 0, total, 1), 0) @ v
    return y.transpose(0, 2, 1, 3).reshape(b, i, h * e) if c["packed"] else y


def command(*line):
    done = subprocess.run([os.environ["TRIVET"], *map(str, line)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return done.stdout + done.stderr


def build(c, folder, plan, options):
    text = command("build", folder / (c["name"] + ".onnx"), "-o", plan, "--target", os.environ.get("TRIVET_TARGET", "cuda"),
                   "--explain", *options)
    return "; ".join(sorted({line.split("<-")[0].strip().split(None, 2)[-1] for line in text.splitlines()
                             if "attention" in line and "<-" in line})) or "no kernel of attention"


def forms(plan, scratch):
    """Each form that the plan has alternatives of, in a plan where it is chosen: by times that were measured but for its own."""
    measured, wanted, chosen = scratch / "times", scratch / "wanted", scratch / "chosen.plan"
    command("tune", plan, "-o", chosen, "--timing-cache", measured)
    text = measured.read_text()
    for name in sorted(set(re.findall(r'cuda\.attention/\d+ "([^"]*)"', text))):
        wanted.write_text(re.sub(rf'(cuda\.attention/\d+ "{re.escape(name)}") \d+', r"\1 1", text))
        command("tune", plan, "-o", chosen, "--timing-cache", wanted)
        yield name, chosen


def check(c, folder, options, every=False):
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        plan, given, got = scratch / "a.plan", scratch / "in.npz", scratch / "out.npz"
        tactic = build(c, folder, plan, ["--alternatives", "32" if every else "1", *options])
        x = fill(c, np.random.default_rng(3))
        np.savez(given, **x)
        r, errors = reference(c, x), {}
        for name, chosen in [(tactic, plan), *(forms(plan, scratch) if every else [])]:
            got.unlink(missing_ok=True)
            command("run", chosen, "-i", given, "-o", got)
            with np.load(got) as arrays:
                y = arrays[arrays.files[0]].astype(np.float64)
            errors[name] = np.abs(y - r).sum() / np.abs(r).sum()
        bad = {n: e for n, e in errors.items() if not e < LIMITS[c["dtype"]]}
        worst = max(errors, key=lambda n: np.nan_to_num(errors[n], nan=np.inf))
        print(f"{c['name']:18} {'BAD' if bad else 'ok '} {len(errors):2} plans, at most {errors[worst]:.2e} ({worst}); "
              f"as built {errors[tactic]:.2e} {tactic}{' BAD: ' + str(bad) if bad else ''}", flush=True)
        return not bad


def torch_time(c, backend):
    import torch
    from torch.nn.attention import sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention
    make_one = lambda heads, length: torch.randn(c["b"], heads, length, c["d"], device="cuda", dtype=torch.half)
    q, k, v = make_one(c["h"], c["i"]), make_one(c["g"], c["j"]), make_one(c["g"], c["j"])

    def run():
        y = q
        for _ in range(c["repeat"]):
            y = scaled_dot_product_attention(y, k, v, is_causal=bool(c["is_causal"]), enable_gqa=c["h"] != c["g"])

    with sdpa_kernel(backend):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(3):
                run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
    times = []
    for _ in range(210):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return float(np.median(times[10:])) / c["repeat"] * 1e3


def bench(c, folder, scratch, options):
    from torch.nn.attention import SDPBackend
    plan, report = scratch / "a.plan", scratch / "a.json"
    tactic = build(c, folder, plan, ["--tactics", "timed", "--timing-cache", scratch / "times", *options])
    command("bench", plan, "-n", 200, "--warmup", 20, "--json", report)
    ours = json.loads(report.read_text())["latency_ms"]["median"] / c["repeat"] * 1e3
    cudnn, flash = torch_time(c, SDPBackend.CUDNN_ATTENTION), torch_time(c, SDPBackend.FLASH_ATTENTION)
    print(f"{c['name']:18} ours {ours:8.2f} us, cuDNN {cudnn:8.2f}, flash {flash:8.2f}; cuDNN / ours {cudnn / ours:.2f}  {tactic}",
          flush=True)
    return True


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", "check", "forms", "bench"):
        sys.exit(__doc__)
    what, folder, options = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    if what == "make":
        folder.mkdir(parents=True, exist_ok=True)
        for c in [*checks(), *measured()]:
            make(c, folder)
        return
    failed = 0

    def attempt(f, c, *more):
        try:
            return f(c, folder, *more)
        except RuntimeError as error:
            print(c["name"], "FAILED", error, flush=True)
            return False

    if what != "bench":
        with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            failed = sum(not good for good in pool.map(lambda c: attempt(check, c, options, what == "forms"), checks()))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            failed = sum(not attempt(bench, c, pathlib.Path(scratch), options) for c in measured())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
