// SPDX-License-Identifier: Apache-2.0
//
// The plugin: matrix products by cuBLASLt. It is no loss to the plans of others where the library
// is missing: they name the plugin only where it won.
#include "plugins/cuda_blas/blas_build.h"
#include "plugins/cuda_blas/blas_library.h"
#include "plugins/cuda_blas/blas_run.h"

static const trivet_kernel_t matmul = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda_blas.matmul",
    .target = "cuda",
    .summary = "matrix products with bias, residual, relu and gelu (tanh)",
    .version = BLAS_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = blas_propose,
    .emit = blas_emit,
    .load = blas_load,
    .unload = blas_unload,
    .prepare = blas_prepare,
    .release = blas_release,
    .run = blas_run,
    .load_first_us = 200000,  // as seen on a machine with one H100
    .load_each_us = 300,
    .warm_up = blas_library_warm_up};

TRIVET_PLUGIN_HALVES("cuda_blas", "0.1", "matrix products by cuBLASLt",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &matmul)
