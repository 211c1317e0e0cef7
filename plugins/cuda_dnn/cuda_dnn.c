// SPDX-License-Identifier: Apache-2.0
//
// The plugin: convolutions, attention and normalisations by cuDNN's graphs. It is no loss to the
// plans of others where the library is missing: they name the plugin only where it won.
#include "plugins/cuda_dnn/dnn_attention.h"
#include "plugins/cuda_dnn/dnn_attention_build.h"
#include "plugins/cuda_dnn/dnn_attention_run.h"
#include "plugins/cuda_dnn/dnn_build.h"
#include "plugins/cuda_dnn/dnn_library.h"
#include "plugins/cuda_dnn/dnn_norm.h"
#include "plugins/cuda_dnn/dnn_norm_build.h"
#include "plugins/cuda_dnn/dnn_norm_run.h"
#include "plugins/cuda_dnn/dnn_run.h"

// Prices of loading: as seen on a machine with one H100.
static const trivet_kernel_t graph = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda_dnn.graph",
    .target = "cuda",
    .summary = "convolutions with epilogues",
    .version = DNN_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = dnn_propose,
    .emit = dnn_emit,
    .load = dnn_load,
    .unload = dnn_unload,
    .prepare = dnn_prepare,
    .release = dnn_release,
    .run = dnn_run,
    .load_first_us = 40000,
    .load_each_us = 33000,
    .warm_up = dnn_library_warm_up};

static const trivet_kernel_t attention = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda_dnn.attention",
    .target = "cuda",
    .summary = "attention with a mask and a bound of positions",
    .version = DNN_ATTENTION_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = dnn_attention_propose,
    .emit = dnn_attention_emit,
    .load = dnn_attention_load,
    .unload = dnn_attention_unload,
    .prepare = dnn_attention_prepare,
    .release = dnn_attention_release,
    .run = dnn_attention_run,
    .load_first_us = 40000,
    .load_each_us = 33000,
    .warm_up = dnn_library_warm_up};

static const trivet_kernel_t norm = {.header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
                                     .name = "cuda_dnn.norm",
                                     .target = "cuda",
                                     .summary = "layer, RMS and instance normalisations",
                                     .version = DNN_NORM_VERSION,
                                     .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                                     .propose = dnn_norm_propose,
                                     .emit = dnn_norm_emit,
                                     .load = dnn_norm_load,
                                     .unload = dnn_norm_unload,
                                     .prepare = dnn_norm_prepare,
                                     .release = dnn_norm_release,
                                     .run = dnn_norm_run,
                                     .load_first_us = 40000,
                                     .load_each_us = 33000,
                                     .warm_up = dnn_library_warm_up};

TRIVET_PLUGIN_HALVES("cuda_dnn", "0.3", "convolutions, attention and normalisations by cuDNN 9",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &graph, &attention, &norm)
