// SPDX-License-Identifier: Apache-2.0
//
// The passes of this plugin, one per file. passes_plugin.c lists them for the registry; nothing
// else refers to a pass by its variable.
#ifndef TRIVET_PASSES_PASSES_H_
#define TRIVET_PASSES_PASSES_H_

#include "trivet/plugin.h"

// X(variable without prefix)
#define TVI_PASSES(X)            \
  X(remove_dead)                 \
  X(fold_constants)              \
  X(merge_common_subexpressions) \
  X(remove_identity)             \
  X(inline_control_flow)         \
  X(expand_operators)            \
  X(resolve_shape_values)        \
  X(simplify_transposes)         \
  X(simplify_reshapes)           \
  X(simplify_slices)             \
  X(simplify_concats)            \
  X(fold_batch_norm)             \
  X(fold_pad)                    \
  X(fold_bias)                   \
  X(fold_scale)                  \
  X(simplify_deconvolutions)     \
  X(simplify_patches)            \
  X(merge_siblings)              \
  X(lower_to_f16)                \
  X(lower_to_bf16)               \
  X(quantize_products)           \
  X(recognize_gelu)              \
  X(recognize_gelu_tanh)         \
  X(recognize_swish)             \
  X(recognize_hard_swish)        \
  X(recognize_softmax)           \
  X(recognize_layer_norm)        \
  X(recognize_rms_norm)          \
  X(recognize_attention)         \
  X(split_attention)

// Those that are given as text.
#define TVI_REWRITES(X) X(recognize_mish)

#define TVI_PASS_DECLARE_(variable) extern const trivet_pass_t tvi_pass_##variable;
TVI_PASSES(TVI_PASS_DECLARE_)
#undef TVI_PASS_DECLARE_
#define TVI_REWRITE_DECLARE_(variable) extern const trivet_rewrite_t tvi_pass_##variable;
TVI_REWRITES(TVI_REWRITE_DECLARE_)
#undef TVI_REWRITE_DECLARE_

// Defines a pass. |run| is a trivet_pass_t.run function; |after| a NULL-terminated list of passes
// that stand before it in every pipeline that has them, or NULL.
#define TVI_PASS_DEFINE(variable, pass_name, pass_summary, pass_run) \
  TVI_PASS_DEFINE_AFTER(variable, pass_name, pass_summary, pass_run, 0)
#define TVI_PASS_DEFINE_AFTER(variable, pass_name, pass_summary, pass_run, pass_after)         \
  const trivet_pass_t tvi_pass_##variable = {TRIVET_HEADER(trivet_pass_t, TRIVET_STRUCT_PASS), \
                                             (pass_name),                                      \
                                             (pass_summary),                                   \
                                             (pass_after),                                     \
                                             0,                                                \
                                             0,                                                \
                                             (pass_run)}
#define TVI_REWRITE_DEFINE(variable, rewrite_name, rewrite_summary, rewrite_text) \
  const trivet_rewrite_t tvi_pass_##variable = {                                  \
      TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),                     \
      (rewrite_name),                                                             \
      (rewrite_summary),                                                          \
      (rewrite_text),                                                             \
      0,                                                                          \
      0}

#endif  // TRIVET_PASSES_PASSES_H_
