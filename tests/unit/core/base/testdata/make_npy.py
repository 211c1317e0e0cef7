#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files that npy_test reads, with NumPy. Run in this folder."""
import io

import numpy as np

np.save("f32.npy", np.arange(12, dtype="<f4").reshape(3, 4) / 2)
np.save("big_endian.npy", np.arange(6, dtype=">i4").reshape(2, 3))
np.save("fortran.npy", np.asfortranarray(np.arange(24, dtype="<i8").reshape(2, 3, 4)))
np.save("scalar.npy", np.float64(2.5))
np.save("empty.npy", np.zeros((0, 5), dtype="<f2"))
with open("version2.npy", "wb") as file:
    np.lib.format.write_array(file, np.array([True, False, True]), version=(2, 0))
arrays = {
    "weight": np.arange(1000, dtype="<f4"),
    "bias": np.array([1, 2, 3], dtype="<i8"),
    "z": np.array([1 + 2j], dtype="<c16"),
}
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
