#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what an author writes for the same three operators here and elsewhere.

    examples/plugins/count_lines.py [--check]     prints a table; --check fails where ours are longer than promised

A line counts when it holds more than a comment, after clang-format. Build files and READMEs do not count, includes do.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).absolute().parent
OPERATORS = {"AddScalar": "add_scalar", "LayerNorm": "layer_norm", "SwiGLU": "swiglu"}
SYSTEMS = {
    "Trivet": "{}.c",
    "TensorRT IPluginV3": "elsewhere/tensorrt/{}.cu",
    "ONNX Runtime custom op": "elsewhere/onnxruntime/{}_ort.cc",
    "PyTorch operator": "elsewhere/pytorch/{}_torch.cc",
}
# All lines of the file, comments included.
PROMISED = {"add_scalar": 12, "layer_norm": 25, "swiglu": 25, "online_softmax": 25, "swish_pass": 25}


def code_lines(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    return sum(1 for line in text.split("\n") if line.strip() and not line.strip().startswith("//"))


def main():
    print("| | " + " | ".join(OPERATORS) + " |\n|---|" + "---|" * len(OPERATORS))
    for system, pattern in SYSTEMS.items():
        print(f"| {system} | " + " | ".join(str(code_lines(HERE / pattern.format(name))) for name in OPERATORS.values()) + " |")
    if "--check" not in sys.argv:
        return 0
    long = [name for name, most in PROMISED.items() if len((HERE / f"{name}.c").read_text().splitlines()) > most]
    for name in long:
        print(f"{name}.c is longer than {PROMISED[name]} lines")
    return 1 if long else 0


sys.exit(main())
