// SPDX-License-Identifier: Apache-2.0
//
// Reads a region as libraries know normalisations: a softmax, a layer, RMS or instance
// normalisation, or a batch normalisation by stored statistics. It stands between the kernel IR of
// a region and a target's own problem; what a library can run is that one's business.
#ifndef TRIVET_CORE_TARGET_NORM_MATCH_H_
#define TRIVET_CORE_TARGET_NORM_MATCH_H_

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tvi_norm_kind_e {
  TVI_NORM_SOFTMAX = 1,      // exp(x - max) / sum of exp(x - max)
  TVI_NORM_LOG_SOFTMAX = 2,  // its logarithm
  TVI_NORM_LAYER = 3,        // (x - mean) / sqrt(variance + epsilon) * scale + shift
  TVI_NORM_BATCH = 4,        // the same with a mean and a variance per element of dimension |axis|
  TVI_NORM_RMS = 5,          // x / sqrt(mean of x^2 + epsilon) * scale + shift
  TVI_NORM_INSTANCE = 6,     // LAYER with a scale and a shift per element of dimension |axis|
} tvi_norm_kind_t;

typedef struct tvi_norm_s {
  tvi_norm_kind_t kind;
  // Operands of the region; TVI_KIR_NONE: none. scale and shift have the extents that are reduced
  // (LAYER, RMS), or one extent, that of |axis| (BATCH, INSTANCE), as have mean and variance
  // (BATCH).
  uint32_t x, scale, shift, mean, variance, result;
  uint32_t reduced;  // mask of the dimensions of x that statistics are taken over; 0: BATCH
  uint32_t axis;     // BATCH, INSTANCE: which is not reduced
  bool is_f32;       // all operands; else some have 16 bits, and sums may be rounded to them
  double epsilon;
} tvi_norm_t;

// Fills |out|, or leaves *out_reason (static text) saying why the region is no such thing.
// Functions are told by their values at sample points, so it does not matter how they are written.
// Operands are of f16, bf16 and f32.
// Scratch memory from |arena|.
trivet_status_t tvi_norm_match(const trivet_region_t* region, tvi_arena_t* arena, tvi_norm_t* out,
                               const char** out_reason);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_NORM_MATCH_H_
