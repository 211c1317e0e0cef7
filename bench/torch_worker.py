#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side of one case of bench_gpu.py, in a process of its own.

Makes the module of torchvision or transformers, gives it the weights of the ONNX model and runs it on the inputs of the
case: once in float64, which is the reference of both sides, and in the precision asked for, captured as CUDA graphs over
several sets of inputs. Compiles, says "ready", waits for a line, then measures, so that nothing else runs meanwhile.
Must not know anything of Trivet but the file of its outputs.

    torch_worker.py MODEL ONNX INPUTS.npz OUT.json --precision f16 --modes eager,compile [--ours OURS.npz] [--wait]
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy as np

RUNS, WARMUP = 300, 30


def make_module(name):
    """The module whose export is the skeleton of that name; float32, on the CPU's memory."""
    import torch
    if name in ("bert_base", "bert_large"):
        import transformers
        sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                 "intermediate_size": 4096} if name == "bert_large" else {}
        config = transformers.BertConfig(attn_implementation="sdpa", **sizes)
        inner = transformers.BertModel(config, add_pooling_layer=False)
    elif name == "gpt2":
        import transformers
        inner = transformers.GPT2LMHeadModel(transformers.GPT2Config(attn_implementation="sdpa", use_cache=False))
    else:
        import torchvision
        inner = getattr(torchvision.models, name)()

    class First(torch.nn.Module):
        """The first output of the module."""

        def __init__(self):
            super().__init__()
            self.m = inner

        def forward(self, *inputs):
            out = self.m(*inputs)
            return out if isinstance(out, torch.Tensor) else out[0]

    return First().eval()


def onnx_weights(path):
    """Arrays by name, and the names of what products and convolutions read, in order: (name, is transposed)."""
    import onnx
    from onnx import numpy_helper
    model = onnx.load(str(path))
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    order, seen = [], set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2:
            continue
        name = node.input[1]
        if name in seen or name not in arrays or arrays[name].ndim < 2:
            continue
        seen.add(name)
        straight = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
        order.append((name, not straight))
    return arrays, order


def give_weights(module, path):
    """The model's weights in the module. The exporter keeps names where it can, folds normalisations into
    convolutions, leaves zero biases out and transposes the rest; what has no name is matched by its place."""
    import torch
    arrays, order = onnx_weights(path)
    arrays = {name.removeprefix("m."): value for name, value in arrays.items()}
    order = [(name.removeprefix("m."), transposed) for name, transposed in order]
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.zero_()
            part.running_var.fill_(1 - part.eps)
    done, pending = set(), []
    with torch.no_grad():
        for full, value in module.state_dict().items():
            name = full.removeprefix("m.")
            if "running_" in name or not value.is_floating_point():
                continue
            if name in arrays and tuple(arrays[name].shape) == tuple(value.shape):
                value.copy_(torch.from_numpy(np.array(arrays[name])))
                done.add(value.data_ptr())
                order = [entry for entry in order if entry[0] != name]
            elif value.ndim < 2:
                value.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                pending.append((name, value))
        pending = [(name, value) for name, value in pending if value.data_ptr() not in done]
        if len(pending) != len(order):
            raise RuntimeError(f"{len(pending)} weights of the module ({pending[0][0] if pending else '-'}...) and "
                               f"{len(order)} of the model ({order[0][0] if order else '-'}...) have no names in common")
        for (name, value), (source, transposed) in zip(pending, order):
            array = arrays[source].T if transposed else arrays[source]
            if tuple(array.shape) != tuple(value.shape):
                raise RuntimeError(f"{name} has shape {tuple(value.shape)}, {source} {tuple(array.shape)}")
            value.copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return module


def input_sets(arrays, dtype, channels_last):
    """Sets of tensors on the device. |arrays| holds NAME for the first set and NAME.K for the others."""
    import torch
    sets = []
    names = [n for n in arrays if "." not in n]
    while True:
        suffix = f".{len(sets)}" if sets else ""
        if names[0] + suffix not in arrays:
            return sets
        tensors = []
        for name in names:
            t = torch.from_numpy(arrays[name + suffix]).cuda()
            if t.is_floating_point():
                t = t.to(dtype)
                if channels_last and t.ndim == 4:
                    t = t.to(memory_format=torch.channels_last)
            tensors.append(t)
        sets.append(tuple(tensors))


def capture(function, sets):
    """One CUDA graph per set of inputs, all over one pool of memory."""
    import torch
    graphs, stream = [], torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.no_grad():
        for inputs in sets:
            for _ in range(3):
                function(*inputs)
        torch.cuda.synchronize()
        for inputs in sets:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=graphs[0].pool() if graphs else None, stream=stream):
                function(*inputs)
            graphs.append(graph)
    torch.cuda.synchronize()
    return graphs, stream


def replay_ms(graphs, stream):
    """Median milliseconds of one replay on the device, the graphs taking turns."""
    import torch
    times = []
    with torch.cuda.stream(stream):
        for index in range(RUNS + WARMUP):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record(stream)
            graphs[index % len(graphs)].replay()
            end.record(stream)
            end.synchronize()
            if index >= WARMUP:
                times.append(begin.elapsed_time(end))
    return statistics.median(times)


def relative_error(out, reference):
    """Mean relative error: the sum of differences over the sum of the reference."""
    return float((out.double() - reference).abs().sum() / reference.abs().sum())


def compiled(module, mode):
    import torch
    import torch._inductor.config as inductor
    inductor.freezing = True
    torch._dynamo.reset()
    if mode == "compile":
        return torch.compile(module, dynamic=False)
    return torch.compile(module, dynamic=False, mode="max-autotune-no-cudagraphs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("onnx")
    parser.add_argument("inputs")
    parser.add_argument("out")
    parser.add_argument("--precision", default="f16", choices=("f32", "f16", "bf16"))
    parser.add_argument("--modes", default="eager,compile")
    parser.add_argument("--ours", help="our outputs for the first set of inputs (.npz), to be judged")
    parser.add_argument("--wait", action="store_true", help="measure only after a line on standard input")
    args = parser.parse_args()
    import torch
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[args.precision]
    arrays = dict(np.load(args.inputs))
    module = give_weights(make_module(args.model), args.onnx).cuda()
    result, kept = {}, {}
    with torch.no_grad():
        first = input_sets({k: v for k, v in arrays.items() if "." not in k}, torch.float64, False)[0]
        reference = module.double()(*first)
        # The weights are float32: going through float64 has changed none.
        module = module.to(dtype)
        channels_last = args.model not in ("vit_b_16",)
        if channels_last:
            module = module.to(memory_format=torch.channels_last)
        sets = input_sets(arrays, dtype, channels_last)
        result["torch_error"] = relative_error(module(*sets[0]), reference)
        reference = reference.cpu()
        del first
        for mode in [m for m in args.modes.split(",") if m]:
            begin = time.monotonic()
            function = module if mode == "eager" else compiled(module, mode)
            try:
                kept[mode] = capture(function, sets)
            except Exception as error:  # one mode that fails is not the end of the others
                result[f"{mode}_failed"] = str(error)[:300]
                continue
            result[f"{mode}_s"] = time.monotonic() - begin
    print("ready", flush=True)
    if args.wait:
        sys.stdin.readline()
    if args.ours and pathlib.Path(args.ours).exists():
        ours = dict(np.load(args.ours))
        value = torch.from_numpy(next(iter(ours.values())))
        result["our_error"] = relative_error(value.reshape(reference.shape), reference)
    for mode, (graphs, stream) in kept.items():
        result[mode] = replay_ms(graphs, stream)
    pathlib.Path(args.out).write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
