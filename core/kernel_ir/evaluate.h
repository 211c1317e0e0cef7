// SPDX-License-Identifier: Apache-2.0
//
// The plain evaluator: runs a program on the host with the exact meaning of docs/kernel_ir.md. It
// is the reference that targets are compared with and what folds constants; and, over dimensions
// instead of numbers, what carries symbolic shapes through shape computations. Not meant to be
// fast.
#ifndef TRIVET_CORE_KERNEL_IR_EVALUATE_H_
#define TRIVET_CORE_KERNEL_IR_EVALUATE_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// Evaluates |program| with symbol i bound to symbols[i]. |tensors| has one entry per value: inputs
// are read, outputs written; entries of temporaries are ignored. Element type and shape of each
// input and output must be what the program says for these symbols and |size| what they ask for;
// dense row-major. f32 sums are accumulated in f64 and rounded once. OUT_OF_RANGE: an index out of
// bounds, with stage and load. Memory for temporaries comes from |allocator|.
trivet_status_t tvi_kir_evaluate(const tvi_kir_program_t* program, const int64_t* symbols,
                                 uint32_t symbol_count, const trivet_tensor_t* tensors,
                                 trivet_allocator_t allocator);

// Elements of a value as dimensions.
typedef struct tvi_kir_dim_tensor_s {
  const trivet_tensor_t* constant;  // inputs only: contents known as numbers, of any type
  uint64_t count;                   // elements; 0 with NULL |elements|: nothing is known
  const trivet_dim_t* elements;     // row-major; NULL entry: unknown. Integer and bool types (0, 1)
} tvi_kir_dim_tensor_t;

#define TVI_KIR_MAX_DIM_ELEMENTS 1024

// Evaluates |program| over dimensions: |values| has one entry per value; inputs are read, outputs
// are filled in |arena| (left as nothing known where they have more than TVI_KIR_MAX_DIM_ELEMENTS
// elements, a symbolic shape, or another than an integer or bool type). What depends on an unknown
// element is unknown; nothing of that is an error.
trivet_status_t tvi_kir_evaluate_dims(const tvi_kir_program_t* program,
                                      tvi_kir_dim_tensor_t* values, tvi_arena_t* arena);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_EVALUATE_H_
