#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes emit_prelude.c, which is prelude.cuh as a string of C. Run it in this folder after a change there."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = """// SPDX-License-Identifier: Apache-2.0
//
// prelude.cuh as a string: written by make_prelude.py, not by hand. The printer puts it before the
// kernels of a program; comments are left out.
#include "plugins/cuda/emit/emit_code.h"

// clang-format off
const char tvi_cuda_prelude[] =
"""


def main():
    out = [HEAD]
    for line in open(os.path.join(HERE, "prelude.cuh"), encoding="utf-8"):
        line = line.rstrip("\n")
        if not line.strip() or line.strip().startswith("//"):
            continue
        pieces = [line[i:i + 80] for i in range(0, len(line), 80)]
        for i, piece in enumerate(pieces):
            end = "\\n" if i + 1 == len(pieces) else ""
            out.append('    "%s%s"\n' % (piece.replace("\\", "\\\\").replace('"', '\\"'), end))
    out[-1] = out[-1].rstrip("\n") + ";\n"
    out.append("// clang-format on\n")
    with open(os.path.join(HERE, "emit_prelude.c"), "w", encoding="utf-8") as f:
        f.write("".join(out))


if __name__ == "__main__":
    main()
