// SPDX-License-Identifier: Apache-2.0
//
// Counts steps by the part of the compiler that made them: what the schedule adds to bring values
// into another memory order is told apart by that name, and so are casts.
#include "core/plan/plan_moves.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"

// Symbols at the shapes that the first profile prefers.
static void bind_symbols(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                         int64_t* values) {
  uint32_t input = 0;
  for (uint32_t s = 0; s < plan->symbol_count; ++s) values[s] = plan->symbols[s].max;
  if (plan->profile_count == 0) return;
  for (uint32_t b = 0; b < plan->binding_count; ++b) {
    if (plan->bindings[b].mode != TVI_PLAN_BINDING_INPUT) continue;
    if (input == plan->profiles[0].binding_count) return;
    const tvi_plan_tensor_t* tensor = &program->tensors[plan->bindings[b].tensor];
    const int64_t* preferred = plan->profiles[0].dims + ((size_t)input * 3 + 1) * TRIVET_MAX_RANK;
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      const tvi_plan_expr_code_t* code = &plan->exprs[tensor->dims[d]];
      uint32_t symbol = 0;
      if (tvi_dim_code_is_symbol(code->code, code->size, &symbol)) values[symbol] = preferred[d];
    }
    ++input;
  }
}

static uint64_t tensor_bytes(const tvi_plan_t* plan, const tvi_plan_tensor_t* tensor,
                             const int64_t* values) {
  int64_t count = 1;
  size_t size = 0;
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    const tvi_plan_expr_code_t* code = &plan->exprs[tensor->dims[d]];
    int64_t extent = 0;
    trivet_status_t status =
        tvi_dim_code_evaluate(code->code, code->size, values, plan->symbol_count, &extent);
    bool known = !status && tvi_checked_mul_i64(count, extent, &count);
    trivet_status_free(status);
    if (!known) return 0;
  }
  trivet_status_t status = trivet_dtype_storage_size(tensor->dtype, count, &size);
  if (status) size = 0;
  trivet_status_free(status);
  return size;
}

static bool is_any_of(trivet_string_view_t name, const char* const* names) {
  for (; *names; ++names) {
    if (tvi_sv_equal(name, tvi_sv(*names))) return true;
  }
  return false;
}

trivet_status_t tvi_plan_count_moves(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                     trivet_allocator_t allocator, tvi_plan_moves_t* out_moves) {
  static const char* const reformats[] = {"reformat", "view", "concat", "output", NULL};
  static const char* const casts[] = {"cast", NULL};
  tvi_plan_moves_t moves;
  int64_t* values = NULL;
  memset(&moves, 0, sizeof(moves));
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array(allocator, (size_t)plan->symbol_count + 1, sizeof(*values), &values));
  bind_symbols(plan, program, values);
  for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) {
    const tvi_plan_step_t* step = &program->blocks[0].steps[s];
    const bool is_cast = is_any_of(step->made_by, casts);
    if (step->kind != TVI_PLAN_STEP_LAUNCH || (!is_cast && !is_any_of(step->made_by, reformats))) {
      continue;
    }
    const tvi_plan_alternative_t* first = &step->alternatives[0];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < first->operand_count; ++i) {
      if (first->operands[i] == TVI_PLAN_NONE) continue;
      bytes += tensor_bytes(plan, &program->tensors[first->operands[i]], values);
    }
    ++*(is_cast ? &moves.cast_count : &moves.reformat_count);
    *(is_cast ? &moves.cast_bytes : &moves.reformat_bytes) += bytes;
  }
  tvi_free_array(allocator, values, (size_t)plan->symbol_count + 1, sizeof(*values));
  *out_moves = moves;
  return TRIVET_OK;
}
