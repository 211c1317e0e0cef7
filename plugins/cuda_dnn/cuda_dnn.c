// SPDX-License-Identifier: Apache-2.0
//
// The plugin: convolutions, attention and normalisations by cuDNN's graphs. It is no loss to the
// plans of others where the library is missing: they name the plugin only where it won.
#include "plugins/cuda_dnn/dnn_attention.h"
#include "plugins/cuda_dnn/dnn_kind.h"
#include "plugins/cuda_dnn/dnn_norm.h"

static const dnn_kind_t kConvolution = {.tactic = "cudnn",
                                        .problem_size = sizeof(dnn_problem_t),
                                        .ask = dnn_convolution_ask,
                                        .verify = dnn_problem_verify,
                                        .prepare = dnn_convolution_prepare};
static const dnn_kind_t kAttention = {.tactic = "cudnn attention",
                                      .problem_size = sizeof(dnn_attention_t),
                                      .ask = dnn_attention_ask,
                                      .verify = dnn_attention_verify,
                                      .prepare = dnn_attention_prepare};
static const dnn_kind_t kNorm = {.tactic = "cudnn norm",
                                 .problem_size = sizeof(dnn_norm_t),
                                 .ask = dnn_norm_ask,
                                 .verify = dnn_norm_verify,
                                 .prepare = dnn_norm_prepare};

// Prices of loading: as seen on a machine with one H100.
#define KERNEL(variable, kernel_name, kernel_summary, kernel_version, kind) \
  static const trivet_kernel_t variable = {                                 \
      .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),       \
      .name = (kernel_name),                                                \
      .target = "cuda",                                                     \
      .summary = (kernel_summary),                                          \
      .version = (kernel_version),                                          \
      .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,                        \
      .self = (void*)(kind),                                                \
      .propose = dnn_offline_propose,                                       \
      .emit = dnn_offline_emit,                                             \
      .load = dnn_step_load,                                                \
      .unload = dnn_step_unload,                                            \
      .prepare = dnn_step_prepare,                                          \
      .release = dnn_step_release,                                          \
      .run = dnn_step_run,                                                  \
      .load_first_us = 40000,                                               \
      .load_each_us = 33000,                                                \
      .warm_up = dnn_library_warm_up}

KERNEL(graph, "cuda_dnn.graph", "convolutions with epilogues", DNN_VERSION, &kConvolution);
KERNEL(attention, "cuda_dnn.attention", "attention with a mask and a bound of positions",
       DNN_ATTENTION_VERSION, &kAttention);
KERNEL(norm, "cuda_dnn.norm", "layer, RMS and instance normalisations", DNN_NORM_VERSION, &kNorm);

TRIVET_PLUGIN_HALVES("cuda_dnn", "0.3", "convolutions, attention and normalisations by cuDNN 9",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &graph, &attention, &norm)
