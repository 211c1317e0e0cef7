#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a runnable model of a skeleton: an ONNX graph whose large weights were taken out.

Stands between skeletons/NAME.onnx + NAME.json and NAME.onnx + NAME.bin in the model cache. The values are random but
the same everywhere: each tensor has a generator of its own, seeded by its name, and keeps the mean, spread and range
that it had in the trained original. Must not depend on anything but numpy.

    fill_weights.py SKELETON.onnx OUT_DIR [SEED]
"""
import json
import pathlib
import shutil
import sys
import zlib

import numpy as np


def tensor_values(tensor, seed):
    """Float32 values of one entry of the list of tensors: a clipped normal distribution."""
    generator = np.random.Generator(np.random.SFC64([seed, zlib.crc32(tensor["name"].encode())]))
    values = generator.standard_normal(tensor["length"] // 4, dtype=np.float32)
    values = values * np.float32(tensor["std"]) + np.float32(tensor["mean"])
    return np.clip(values, np.float32(tensor["min"]), np.float32(tensor["max"]))


def fill(skeleton, out_dir, seed=0):
    """Writes NAME.onnx and NAME.bin into out_dir and returns the path of the former."""
    skeleton, out_dir = pathlib.Path(skeleton), pathlib.Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    description = json.loads(skeleton.with_suffix(".json").read_text())
    weights = out_dir / (skeleton.stem + ".bin")
    unfinished = weights.with_suffix(".bin.unfinished")
    with open(unfinished, "wb") as f:
        f.truncate(description["bytes"])
        for tensor in description["tensors"]:
            f.seek(tensor["offset"])
            tensor_values(tensor, seed).tofile(f)
    unfinished.rename(weights)
    return shutil.copyfile(skeleton, out_dir / skeleton.name)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    print(fill(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 0))
