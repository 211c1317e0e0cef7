// SPDX-License-Identifier: Apache-2.0
//
// The plugin: one kernel per kind of primitive, so that each can be switched off by name.
// It registers them, and must not know how any of them works.
#include "plugins/cpu_onednn/onednn_build.h"
#include "plugins/cpu_onednn/onednn_call.h"
#include "plugins/cpu_onednn/onednn_norm.h"
#include "plugins/cpu_onednn/onednn_problem.h"
#include "plugins/cpu_onednn/onednn_rnn.h"
#include "plugins/cpu_onednn/onednn_run.h"

// Which problems a kernel proposes itself for, by kind.
static const uint32_t kConvolutions[5] = {0, 1, 0, 0, 0};
static const uint32_t kDeconvolutions[5] = {0, 0, 1, 0, 0};
static const uint32_t kProducts[5] = {0, 0, 0, 1, 0};
static const uint32_t kPools[5] = {0, 0, 0, 0, 1};

#define KERNEL(variable, kernel_name, kernel_summary, kinds)          \
  static const trivet_kernel_t variable = {                           \
      .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL), \
      .name = (kernel_name),                                          \
      .target = "cpu",                                                \
      .summary = (kernel_summary),                                    \
      .version = ONEDNN_VERSION,                                      \
      .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,                  \
      .self = (void*)(kinds),                                         \
      .propose = onednn_propose,                                      \
      .emit = onednn_emit,                                            \
      .load = onednn_load,                                            \
      .unload = onednn_unload,                                        \
      .prepare = onednn_prepare,                                      \
      .release = onednn_release,                                      \
      .run = onednn_run}

KERNEL(convolution, "cpu_onednn.convolution", "convolutions with post-operations", kConvolutions);
KERNEL(deconvolution, "cpu_onednn.deconvolution", "transposed convolutions", kDeconvolutions);
KERNEL(matmul, "cpu_onednn.matmul", "matrix products with post-operations", kProducts);
KERNEL(pool, "cpu_onednn.pool", "maxima and averages over windows", kPools);

// The kind of normalisation that a kernel is for.
static const uint32_t kSoftmax = TVI_NORM_SOFTMAX;
static const uint32_t kLayer = TVI_NORM_LAYER;
static const uint32_t kBatch = TVI_NORM_BATCH;

#define NORMALISATION(variable, kernel_name, kernel_summary, kind)    \
  static const trivet_kernel_t variable = {                           \
      .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL), \
      .name = (kernel_name),                                          \
      .target = "cpu",                                                \
      .summary = (kernel_summary),                                    \
      .version = ONEDNN_NORM_VERSION,                                 \
      .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,                  \
      .self = (void*)(kind),                                          \
      .propose = onednn_norm_propose,                                 \
      .emit = onednn_norm_emit,                                       \
      .load = onednn_norm_load,                                       \
      .unload = onednn_unload,                                        \
      .prepare = onednn_norm_prepare,                                 \
      .release = onednn_norm_release,                                 \
      .run = onednn_norm_run}

NORMALISATION(softmax, "cpu_onednn.softmax", "softmax", &kSoftmax);
NORMALISATION(layer_norm, "cpu_onednn.layer_norm", "layer normalisations", &kLayer);
NORMALISATION(batch_norm, "cpu_onednn.batch_norm", "batch normalisations by stored statistics",
              &kBatch);

static const trivet_kernel_t rnn = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cpu_onednn.rnn",
    .target = "cpu",
    .summary = "recurrent layers",
    .version = ONEDNN_RNN_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_HOST_FUNCTIONS,
    .propose = onednn_rnn_propose,
    .emit = onednn_rnn_emit,
    .load = onednn_rnn_load,
    .unload = onednn_unload,
    .prepare = onednn_rnn_prepare,
    .release = onednn_rnn_release,
    .run = onednn_rnn_run,
};

TRIVET_PLUGIN_HALVES(
    "cpu_onednn", "0.1",
    "convolutions, matrix products, pools, normalisations and recurrent layers by oneDNN",
    TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &convolution, &deconvolution, &matmul, &pool, &softmax,
    &layer_norm, &batch_norm, &rnn)
