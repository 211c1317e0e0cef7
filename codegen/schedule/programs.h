// SPDX-License-Identifier: Apache-2.0
//
// Small programs that the schedule makes itself: copies and shape values. They become regions like
// any other, so that kernels are found for them as for the model's own nodes.
#ifndef TRIVET_CODEGEN_SCHEDULE_PROGRAMS_H_
#define TRIVET_CODEGEN_SCHEDULE_PROGRAMS_H_

#include "core/kernel_ir/kernel_ir.h"

// out[i...] = in[i...] for a value of |type|; the values get the tags.
trivet_status_t tvi_kir_make_copy(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                  const trivet_type_t* type, uint32_t in_tag, uint32_t out_tag,
                                  tvi_kir_program_t** out_program);
// A rank 0 or 1 integer value with the given elements, which may be symbolic.
trivet_status_t tvi_kir_make_dims(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                  const trivet_type_t* type, const trivet_dim_t* elements,
                                  uint64_t count, uint32_t out_tag,
                                  tvi_kir_program_t** out_program);

#endif  // TRIVET_CODEGEN_SCHEDULE_PROGRAMS_H_
