#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kernels that move memory, on a GPU: the generator's beside a plain copy and beside PyTorch, in one process.

    bench_memory.py make FOLDER [--cases TEXT]               builds the plans (no GPU needed)
    bench_memory.py bench FOLDER [--cases TEXT] [--no-torch] [--no-compile] [--json FILE]

Large cases take and give 64 MB and more; their figure is the share of the copy bandwidth (bytes that must be read and written, over
the time, over what copies of as many bytes reach in the same run); the bar is 0.85. Small ones are a model's at batch 1; their figure is
microseconds beside those of the least kernel. All sides run in one stream, as CUDA graphs, over several sets of inputs and
outputs in turn; medians. Results are checked against PyTorch in float64 before they are timed. $TRIVET is the command,
$TRIVET_TARGET the target (cuda).
"""
import argparse
import collections
import ctypes
import json
import math
import os
import pathlib
import subprocess
import sys

BAR = 0.85
BYTES = {"f16": 2, "f32": 4, "i64": 8}
Case = collections.namedtuple("Case", "name small inputs lines output torch")


def cases():
    """inputs: {name: (type, dims, below or None)}; lines: of a graph text; torch: the same of a dictionary of tensors."""
    def one(name, inputs, lines, output, run, small=False):
        full = {k: v if len(v) == 3 else (*v, None) for k, v in inputs.items()}
        return Case(name, small, full, lines if isinstance(lines, list) else [lines], output, run)

    def functional():
        import torch.nn.functional
        return torch.nn.functional

    for t in ("f16", "f32"):
        m = 1 if t == "f32" else 2  # as many bytes for both types
        vector = lambda k: (t, [k])
        for k, rows in ((768, 43008), (128, 262144), (1024, 32768), (197, 172032), (4096, 8192), (50257, 672)):
            rows = rows // 2 * m
            x = {"x": (t, [rows, k])}
            yield one(f"softmax {rows}x{k} {t}", x, f"%y = std.Softmax(%x) : {t}[{rows}, {k}]", "y",
                      lambda a: functional().softmax(a["x"], -1))
        for k, rows in ((768, 43008), (128, 262144), (4096, 8192), (1000, 32768)):
            rows = rows // 2 * m
            x = {"x": (t, [rows, k]), "g": vector(k), "b": vector(k)}
            yield one(f"layernorm {rows}x{k} {t}", x,
                      f"%y = std.LayerNormalization(%x, %g, %b) : {t}[{rows}, {k}]", "y",
                      lambda a: functional().layer_norm(a["x"], a["g"].shape, a["g"], a["b"]))
        k, rows = 4096, 4096 * m
        yield one(f"rmsnorm {rows}x{k} {t}", {"x": (t, [rows, k]), "g": vector(k)},
                  f"%y = std.RMSNormalization(%x, %g) : {t}[{rows}, {k}]", "y",
                  lambda a: functional().rms_norm(a["x"], a["g"].shape, a["g"], 1e-5))
        k, rows = 768, 21504 * m
        yield one(f"add+layernorm {rows}x{k} {t}",
                  {"x": (t, [rows, k]), "r": (t, [rows, k]), "g": vector(k), "b": vector(k)},
                  [f"%s = std.Add(%x, %r) : {t}[{rows}, {k}]",
                   f"%y = std.LayerNormalization(%s, %g, %b) : {t}[{rows}, {k}]"], "y",
                  lambda a: functional().layer_norm(a["x"] + a["r"], a["g"].shape, a["g"], a["b"]))
        k, rows = 3072, 5632 * m
        yield one(f"bias+gelu {rows}x{k} {t}", {"x": (t, [rows, k]), "b": vector(k)},
                  [f"%s = std.Add(%x, %b) : {t}[{rows}, {k}]", f"%y = std.Gelu(%s) : {t}[{rows}, {k}]"], "y",
                  lambda a: functional().gelu(a["x"] + a["b"]))
        yield one(f"add {rows}x{k} {t}", {"x": (t, [rows, k]), "r": (t, [rows, k])},
                  f"%y = std.Add(%x, %r) : {t}[{rows}, {k}]", "y", lambda a: a["x"] + a["r"])
        yield one(f"add column {rows}x{k} {t}", {"x": (t, [rows, k]), "c": (t, [rows, 1])},
                  f"%y = std.Add(%x, %c) : {t}[{rows}, {k}]", "y", lambda a: a["x"] + a["c"])
        n = 4096 * m
        yield one(f"transpose {n}x4096 {t}", {"x": (t, [n, 4096])},
                  f"%y = std.Transpose(%x) {{ perm = [1, 0] }} : {t}[4096, {n}]", "y", lambda a: a["x"].t().contiguous())
        for c, h in ((64, 112), (256, 56), (2048, 7)):
            n = (32 << 20) // (c * h * h * 2) * m
            yield one(f"nchw>nhwc {n}x{c}x{h}x{h} {t}", {"x": (t, [n, c, h, h])},
                      f"%y = std.Transpose(%x) {{ perm = [0, 2, 3, 1] }} : {t}[{n}, {h}, {h}, {c}]", "y",
                      lambda a: a["x"].permute(0, 2, 3, 1).contiguous())
            yield one(f"nhwc>nchw {n}x{c}x{h}x{h} {t}", {"x": (t, [n, h, h, c])},
                      f"%y = std.Transpose(%x) {{ perm = [0, 3, 1, 2] }} : {t}[{n}, {c}, {h}, {h}]", "y",
                      lambda a: a["x"].permute(0, 3, 1, 2).contiguous())
        n = 160 * m
        yield one(f"heads {n}x128x12x64 {t}", {"x": (t, [n, 128, 12, 64])},
                  f"%y = std.Transpose(%x) {{ perm = [0, 2, 1, 3] }} : {t}[{n}, 12, 128, 64]", "y",
                  lambda a: a["x"].permute(0, 2, 1, 3).contiguous())
        yield one(f"keys {n}x128x12x64 {t}", {"x": (t, [n, 128, 12, 64])},
                  f"%y = std.Transpose(%x) {{ perm = [0, 2, 3, 1] }} : {t}[{n}, 12, 64, 128]", "y",
                  lambda a: a["x"].permute(0, 2, 3, 1).contiguous())
        n = 4096 * m
        for axes, dims in (((1,), [n, 1]), ((0,), [1, 4096]), ((0, 1), [1, 1])):
            yield one(f"mean {n}x4096 over {axes} {t}", {"x": (t, [n, 4096])},
                      [f"const %a: i64[{len(axes)}] = {list(axes)}",
                       f"%y = std.ReduceMean(%x, %a) : {t}[{dims[0]}, {dims[1]}]"], "y",
                      lambda a, axes=axes: a["x"].mean(axes, keepdim=True))
        n, c, h = (32 << 20) // (256 * 56 * 56 * 2) * m, 256, 56
        yield one(f"pool nchw {n}x{c}x{h}x{h} {t}", {"x": (t, [n, c, h, h])},
                  f"%y = std.GlobalAveragePool(%x) : {t}[{n}, {c}, 1, 1]", "y", lambda a: a["x"].mean((2, 3), keepdim=True))
        n = 21504 * m
        yield one(f"gather {n}x768 {t}", {"w": (t, [50257, 768]), "i": ("i64", [n], 50257)},
                  f"%y = std.Gather(%w, %i) : {t}[{n}, 768]", "y", lambda a: a["w"][a["i"]])
        for axis in (0, 1):
            dims = [n, 768] if axis == 0 else [n // 2, 1536]
            yield one(f"concat {dims[0]}x{dims[1]} axis {axis} {t}", {"x": (t, [n // 2, 768]), "z": (t, [n // 2, 768])},
                      f"%y = std.Concat(%x, %z) {{ axis = {axis} }} : {t}[{dims[0]}, {dims[1]}]", "y",
                      lambda a, axis=axis: functional_cat(a, axis))
    t = "f16"
    small = lambda *rest: one(*rest, small=True)
    yield small("least", {"x": (t, [256])}, f"%y = std.Relu(%x) : {t}[256]", "y", lambda a: a["x"].relu())
    for rows in (128, 197):
        x, r, v = (t, [rows, 768]), (t, [rows, 768]), (t, [768])
        yield small(f"layernorm {rows}x768", {"x": x, "g": v, "b": v},
                    f"%y = std.LayerNormalization(%x, %g, %b) : {t}[{rows}, 768]", "y",
                    lambda a: functional().layer_norm(a["x"], a["g"].shape, a["g"], a["b"]))
        yield small(f"add+layernorm {rows}x768", {"x": x, "r": r, "g": v, "b": v},
                    [f"%s = std.Add(%x, %r) : {t}[{rows}, 768]",
                     f"%y = std.LayerNormalization(%s, %g, %b) : {t}[{rows}, 768]"], "y",
                    lambda a: functional().layer_norm(a["x"] + a["r"], a["g"].shape, a["g"], a["b"]))
    x = (t, [128, 768])
    yield small("add 128x768", {"x": x, "r": x}, f"%y = std.Add(%x, %r) : {t}[128, 768]", "y", lambda a: a["x"] + a["r"])
    yield small("softmax 1536x128", {"x": (t, [1536, 128])}, f"%y = std.Softmax(%x) : {t}[1536, 128]", "y",
                lambda a: functional().softmax(a["x"], -1))
    yield small("bias+gelu 128x3072", {"x": (t, [128, 3072]), "b": (t, [3072])},
                [f"%s = std.Add(%x, %b) : {t}[128, 3072]", f"%y = std.Gelu(%s) : {t}[128, 3072]"], "y",
                lambda a: functional().gelu(a["x"] + a["b"]))
    yield small("embedding+norm 128x768",
                {"w": (t, [30522, 768]), "i": ("i64", [128], 30522), "p": x, "g": (t, [768]), "b": (t, [768])},
                [f"%e = std.Gather(%w, %i) : {t}[128, 768]", f"%s = std.Add(%e, %p) : {t}[128, 768]",
                 f"%y = std.LayerNormalization(%s, %g, %b) : {t}[128, 768]"], "y",
                lambda a: functional().layer_norm(a["w"][a["i"]] + a["p"], a["g"].shape, a["g"], a["b"]))
    yield small("mean 1280x7x7", {"x": (t, [1, 1280, 7, 7])}, f"%y = std.GlobalAveragePool(%x) : {t}[1, 1280, 1, 1]", "y",
                lambda a: a["x"].mean((2, 3), keepdim=True))
    yield small("softmax 1x50257", {"x": (t, [1, 50257])}, f"%y = std.Softmax(%x) : {t}[1, 50257]", "y",
                lambda a: functional().softmax(a["x"], -1))


def functional_cat(a, axis):
    import torch
    return torch.cat([a["x"], a["z"]], axis)


def file_name(case):
    return "".join(c if c.isalnum() else "_" for c in case.name)


def graph_text(case):
    lines = ['graph "case" {']
    lines += [f"  input %{name}: {dtype}{dims}" for name, (dtype, dims, _) in case.inputs.items()]
    return "\n".join(lines + ["  " + line for line in case.lines] + [f'  output "y": %{case.output}', "}"]) + "\n"


def make(chosen, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for case in chosen:
        source = folder / (file_name(case) + ".txt")
        source.write_text(graph_text(case))
        done = subprocess.run([os.environ.get("TRIVET", "trivet"), "build", str(source), "-o", str(source.with_suffix(".plan")),
                               "--target", os.environ.get("TRIVET_TARGET", "cuda")], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{case.name}: {done.stderr[-400:]}")


class Trivet:
    """The few functions of trivet/runtime.h that running a plan on addresses takes."""

    def __init__(self):
        command = pathlib.Path(os.environ["TRIVET"]).resolve()
        self.library = ctypes.CDLL(str(command.parent.parent / "lib" / "libtrivet_runtime.so"))
        for name in "runtime_create runtime_load_plugin_path engine_load context_create context_set_address context_prepare".split():
            getattr(self.library, "trivet_" + name).restype = ctypes.c_void_p
        for name in "context_set_stream context_enqueue context_synchronize".split():
            getattr(self.library, "trivet_" + name).restype = ctypes.c_void_p
        self.library.trivet_status_message.restype = ctypes.c_char_p
        self.library.trivet_status_message.argtypes = [ctypes.c_void_p]
        self.runtime = ctypes.c_void_p()
        self.call("runtime_create", None, ctypes.byref(self.runtime))
        self.call("runtime_load_plugin_path", self.runtime, os.environ["TRIVET_PLUGIN_PATH"].encode())

    def call(self, name, *arguments):
        status = getattr(self.library, "trivet_" + name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: {self.library.trivet_status_message(status).decode()}")

    def load(self, path):
        engine = ctypes.c_void_p()
        self.call("engine_load", self.runtime, str(path).encode(), None, ctypes.byref(engine))
        return engine

    def context(self, engine, stream, tensors):
        """A context that runs in |stream| on the addresses of |tensors|."""
        context = ctypes.c_void_p()
        self.call("context_create", engine, None, ctypes.byref(context))
        self.call("context_set_stream", context, ctypes.c_void_p(stream.cuda_stream))
        for name, tensor in tensors.items():
            self.call("context_set_address", context, name.encode(), ctypes.c_void_p(tensor.data_ptr()))
        return context


def tensors_of(case, sets):
    import torch
    kinds = {"f16": torch.float16, "f32": torch.float32}
    for _ in range(sets):
        # Not around zero, where a mean over everything is so small that its error is that of FP16's least numbers.
        yield {name: torch.randint(0, below, dims, device="cuda") if below else
               (torch.randn(dims, device="cuda", dtype=torch.float32) + 0.25).to(kinds[dtype])
               for name, (dtype, dims, below) in case.inputs.items()}


def timed(runs, rounds, stream):
    """Median microseconds of a call; |runs| take turns."""
    import torch
    for run in runs:
        run()
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)]
    torch.cuda.synchronize()
    torch.cuda._sleep(rounds * 150000)  # so that all is queued before it begins, and the host's time is in no figure
    for k, (begin, end) in enumerate(marks):
        begin.record(stream)
        runs[k % len(runs)]()
        end.record(stream)
    torch.cuda.synchronize()
    times = sorted(begin.elapsed_time(end) * 1e3 for begin, end in marks)
    return times[len(times) // 2]


def graphed(run, stream):
    """A call that replays |run|."""
    import torch
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    return graph.replay


def moved(case, output):
    total = output.numel() * output.element_size()
    for name, (dtype, dims, below) in case.inputs.items():
        count = 1
        for d in dims:
            count *= d
        # Of a table no more is read than what is asked for.
        total += min(count * BYTES[dtype], output.numel() * BYTES[dtype] if name == "w" else count * BYTES[dtype])
    return total


def measure(case, folder, trivet, stream, args):
    import torch
    sets = list(tensors_of(case, 4 if case.small else 3))
    expected = case.torch(sets[0])
    size = moved(case, expected)
    row = {"case": case.name, "bytes": size}
    outputs = [torch.full_like(expected, float("nan")).contiguous() for _ in sets]
    engine = trivet.load(folder / (file_name(case) + ".plan"))
    try:
        contexts = [trivet.context(engine, stream, {**sets[k], "y": outputs[k]}) for k in range(len(sets))]
        runs = [lambda context=context: trivet.call("context_enqueue", context) for context in contexts]
        for run in runs * 2:
            run()
        torch.cuda.synchronize()
        wanted = case.torch({k: v.double() if v.is_floating_point() else v for k, v in sets[0].items()})
        got = outputs[0].double()
        row["error"] = float((got - wanted).abs().sum() / wanted.abs().sum())
        terms = max(math.prod(dims) for _, dims, _ in case.inputs.values()) // expected.numel()
        row["limit"] = 1e-3 if expected.element_size() == 2 else max(1e-6, 2 ** -25 * math.sqrt(terms))
        row["ours_us"] = timed(runs, args.rounds, stream)
    finally:
        for context in contexts:
            trivet.library.trivet_context_destroy(context)
        trivet.library.trivet_engine_destroy(engine)
    del wanted, got
    # A copy that reads and writes as many bytes in all.
    if not case.small:
        half = size // 2 >> 20 << 20  # whole megabytes: copies of odd sizes are slower
        sides = [[torch.empty(half, dtype=torch.uint8, device="cuda") for _ in range(2)] for _ in range(2)]
        row["copy_us"] = size / (2 * half) * timed([graphed(lambda s=s: s[1].copy_(s[0]), stream) for s in sides], args.rounds, stream)
        del sides
    if not args.no_torch:
        row["eager_us"] = timed([graphed(lambda a=a: case.torch(a), stream) for a in sets], args.rounds, stream)
        if not args.no_compile:
            torch._dynamo.reset()
            compiled = torch.compile(case.torch, dynamic=False)
            row["compile_us"] = timed([graphed(lambda a=a: compiled(a), stream) for a in sets], args.rounds, stream)
    return row


def bench(chosen, folder, args):
    import torch
    stream, trivet = torch.cuda.Stream(), Trivet()
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = []
    print(f"{'case':36}{'MB':>7}{'ours us':>9}{'copy us':>9}{'share':>7}{'eager':>9}{'compile':>9}{'best/ours':>10}  error")
    least = None
    with torch.cuda.stream(stream), torch.no_grad():
        for case in chosen:
            try:
                row = measure(case, folder, trivet, stream, args)
            except Exception as error:  # any failure of one side leaves the others
                print(f"{case.name:36} FAILED {str(error)[:150]}", flush=True)
                rows.append({"case": case.name, "failed": str(error)})
                continue
            finally:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
            rows.append(row)
            others = [row[k] for k in ("eager_us", "compile_us") if k in row]
            share = row["copy_us"] / row["ours_us"] if "copy_us" in row else None
            row["share"] = share
            text = lambda v, w, d: f"{v:{w}.{d}f}" if v is not None else " " * (w - 1) + "-"
            print(f"{case.name:36}{row['bytes'] / 1e6:7.1f}{row['ours_us']:9.2f}{text(row.get('copy_us'), 9, 2)}{text(share, 7, 2)}"
                  f"{text(row.get('eager_us'), 9, 2)}{text(row.get('compile_us'), 9, 2)}"
                  f"{text(min(others) / row['ours_us'] if others else None, 10, 2)}  {row['error']:.1e}"
                  f"{'' if row['error'] <= row['limit'] else ' WRONG'}{'  below the bar' if share is not None and share < BAR else ''}",
                  flush=True)
    large = [r["share"] for r in rows if r.get("share")]
    if large:
        print(f"{sum(s >= BAR for s in large)} of {len(large)} at {BAR:.0%} of the copy bandwidth or more, least {min(large):.2f}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))
    return all(r.get("error", math.inf) <= r.get("limit", 0) for r in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["make", "bench"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", default="", help="only those whose name has one of these words, comma between them")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    words = args.cases.split(",") if args.cases else []
    chosen = [c for c in cases() if not words or any(w in c.name for w in words)]
    if args.what == "make":
        make(chosen, args.folder)
        return 0
    return 0 if bench(chosen, args.folder, args) else 1


if __name__ == "__main__":
    sys.exit(main())
