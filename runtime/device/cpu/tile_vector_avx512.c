// SPDX-License-Identifier: Apache-2.0
//
// Vector loops of tile instructions for AVX-512. Empty entries mean that the plain loop serves.

#include "runtime/device/cpu/tile_kernels.h"

const tvi_tile_kernel_table_t tvi_tile_kernels_avx512 = {.copy4 = NULL};
