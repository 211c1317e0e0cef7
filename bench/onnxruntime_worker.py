#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One process of onnxruntime for bench_cpu.py: loads a model, runs it, prints one JSON line.

The peer at its best setting: all graph optimizations, fixed shapes, inputs and outputs bound once. Must not time
anything but whole runs, nor be run beside another busy process.

    onnxruntime_worker.py MODEL INPUTS.npz --threads N --seconds S [--iterations N] [--arena]

--arena measures the arena instead of time: the bytes it was extended by after loading, weights not counted.
"""
import argparse
import json
import os
import re
import sys
import tempfile
import time

import numpy as np


def resident_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_session(model, arrays, threads, arena):
    """A session whose symbolic input dimensions are those of the arrays."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if arena:
        onnxruntime.set_default_logger_severity(1)
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    import onnx
    for info in onnx.load(model, load_external_data=False).graph.input:
        if info.name in arrays:
            for dim, size in zip(info.type.tensor_type.shape.dim, arrays[info.name].shape):
                # Some exporters write "?" for every dimension that they do not know.
                if any(c.isalpha() for c in dim.dim_param):
                    options.add_free_dimension_override_by_name(dim.dim_param, size)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def captured_stderr(function):
    """What native code writes to standard error while function runs."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            function()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        return file.read().decode(errors="replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("inputs")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--iterations", type=int, default=0)
    parser.add_argument("--arena", action="store_true")
    args = parser.parse_args()
    with np.load(args.inputs) as file:
        arrays = {name: file[name] for name in file.files}
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    before = resident_bytes()
    begin = time.perf_counter()
    if args.arena:
        sessions = []
        captured_stderr(lambda: sessions.append(make_session(args.model, arrays, args.threads, True)))
        log = captured_stderr(lambda: [sessions[0].run(None, arrays) for _ in range(5)])
        extensions = re.findall(r"Extended allocation by (\d+) bytes", log)
        print(json.dumps({"arena_bytes": sum(map(int, extensions))}))
        sys.stdout.flush()
        return
    session = make_session(args.model, arrays, args.threads, False)
    load = time.perf_counter() - begin
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for index, value in enumerate(session.run(None, arrays)):
        info = session.get_outputs()[index]
        held = onnxruntime.OrtValue.ortvalue_from_numpy(value)
        binding.bind_ortvalue_output(info.name, held)
    run = session.run_with_iobinding
    run(binding)
    begin = time.perf_counter()
    run(binding)
    once = time.perf_counter() - begin
    iterations = args.iterations or int(min(5000, max(5, args.seconds / max(once, 1e-6))))
    for _ in range(max(2, iterations // 5)):
        run(binding)
    times = []
    for _ in range(iterations):
        begin = time.perf_counter_ns()
        run(binding)
        times.append(time.perf_counter_ns() - begin)
    print(json.dumps({"latency_ms": {"median": float(np.median(times)) / 1e6, "min": min(times) / 1e6,
                                     "p90": float(np.percentile(times, 90)) / 1e6},
                      "iterations": iterations, "load_ms": load * 1e3, "resident_bytes": resident_bytes() - before}))


if __name__ == "__main__":
    main()
