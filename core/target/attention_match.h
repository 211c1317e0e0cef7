// SPDX-License-Identifier: Apache-2.0
//
// Reads a region as attention kernels know it: softmax(cap(q k' * scale) + mask) v over heads,
// with keys hidden by position, length or mask. It stands between the kernel IR of a region and a
// target's own problem; which types, sizes and strides a kernel takes is that one's business.
#ifndef TRIVET_CORE_TARGET_ATTENTION_MATCH_H_
#define TRIVET_CORE_TARGET_ATTENTION_MATCH_H_

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

// What an index of attention counts.
typedef enum tvi_attention_role_e {
  TVI_ATTENTION_B = 0,  // batch
  TVI_ATTENTION_H,      // head of queries and result
  TVI_ATTENTION_G,      // head of keys and values: h / share
  TVI_ATTENTION_I,      // query
  TVI_ATTENTION_J,      // key
  TVI_ATTENTION_D,      // component of queries and keys
  TVI_ATTENTION_E,      // component of values and result
  TVI_ATTENTION_ROLES,
} tvi_attention_role_t;

// An operand of the region. Its element at roles r lies at index[n] = constant[n] + sum over r of
// coefficient[n][r] * r in dimension n; NULL is 0. A role that no dimension walks is broadcast.
// Keys and values have G where queries and the result have H.
typedef struct tvi_attention_operand_s {
  uint32_t operand;  // of the region; TVI_KIR_NONE: there is none
  uint32_t dtype;
  uint32_t rank;
  trivet_dim_t constant[TRIVET_MAX_RANK];
  trivet_dim_t coefficient[TRIVET_MAX_RANK][TVI_ATTENTION_ROLES];
} tvi_attention_operand_t;

typedef struct tvi_attention_s {
  tvi_attention_operand_t q, k, v, result;
  // In front of k and v where |past| is not NULL: keys j < past are past_k at j, the others are k
  // at j - past.
  trivet_dim_t past;
  tvi_attention_operand_t past_k, past_v;
  // What keys and values are with the past in front, where the region writes that, too.
  tvi_attention_operand_t present_k, present_v;

  trivet_dim_t extents[TVI_ATTENTION_ROLES];
  trivet_dim_t share;         // query heads of a key head; the constant 1: no sharing
  uint32_t accumulate_dtype;  // of scores and sums

  double scale;
  double softcap;  // s -> softcap * tanh(s / softcap) after scaling; 0: none

  // bool: a key is seen where it is true; otherwise it is added to the scaled and capped score.
  tvi_attention_operand_t mask;
  trivet_dim_t mask_length;  // keys that it has an element for, the others are hidden; NULL: all
  // i64[b]: number of keys that are valid, the others are hidden. |has_length| without one never
  // occurs; |lengths| without |has_length| only moves the bounds.
  tvi_attention_operand_t lengths;
  bool has_length;
  // Query i sees keys j with i + lower <= j <= i + upper; NULL: no such bound.
  // |bounds_add_length|: lengths[b] is added to both.
  trivet_dim_t lower, upper;
  bool bounds_add_length;
  // A row that sees no key gives zeros, not NaN.
  bool zero_rows;
} tvi_attention_t;

// Fills |out|, or leaves *out_reason (static text) saying why the region is no attention.
// Dimensions are those of the region's program. Scratch memory from |arena|.
trivet_status_t tvi_attention_match(const trivet_region_t* region, tvi_arena_t* arena,
                                    tvi_attention_t* out, const char** out_reason);

// Strides in elements by role, of an operand that was matched, and the offset of its element 0, as
// the region's operand lies in memory. False where a product overflows.
bool tvi_attention_strides(const trivet_region_t* region, const tvi_attention_operand_t* operand,
                           trivet_dim_t out_strides[TVI_ATTENTION_ROLES], trivet_dim_t* out_offset);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_ATTENTION_MATCH_H_
