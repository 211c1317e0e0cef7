#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the texts of this folder (*.cuh) as strings of C. Run it in this folder after a change there."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = [("prelude.cuh", "emit_prelude.c", "tvi_cuda_prelude", "plugins/cuda/emit/emit_code.h"),
         ("matmul.cuh", "matmul_text.c", "tvi_cuda_matmul_text", "plugins/cuda/emit/matmul_code.h"),
         ("convolution.cuh", "convolution_text.c", "tvi_cuda_convolution_text",
          "plugins/cuda/emit/convolution_code.h"),
         ("wgmma.cuh", "wgmma_text.c", "tvi_cuda_wgmma_text", "plugins/cuda/emit/matmul_code.h"),
         ("attention.cuh", "attention_text.c", "tvi_cuda_attention_text",
          "plugins/cuda/emit/attention_code.h"),
         ("flash.cuh", "flash_text.c", "tvi_cuda_flash_text", "plugins/cuda/emit/attention_code.h")]
HEAD = """// SPDX-License-Identifier: Apache-2.0
//
// %s as a string: written by make_prelude.py, not by hand. The printer puts it before
// the kernels of a program; comments are left out.
#include "%s"

// clang-format off
const char %s[] =
"""


def main():
    for source, target, symbol, header in TEXTS:
        write(source, target, symbol, header)


def write(source, target, symbol, header):
    out = [HEAD % (source, header, symbol)]
    for line in open(os.path.join(HERE, source), encoding="utf-8"):
        line = line.rstrip("\n")
        if not line.strip() or line.strip().startswith("//"):
            continue
        pieces = [line[i:i + 80] for i in range(0, len(line), 80)]
        for i, piece in enumerate(pieces):
            end = "\\n" if i + 1 == len(pieces) else ""
            out.append('    "%s%s"\n' % (piece.replace("\\", "\\\\").replace('"', '\\"'), end))
    out[-1] = out[-1].rstrip("\n") + ";\n"
    out.append("// clang-format on\n")
    with open(os.path.join(HERE, target), "w", encoding="utf-8") as f:
        f.write("".join(out))


if __name__ == "__main__":
    main()
