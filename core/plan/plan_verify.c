// SPDX-License-Identifier: Apache-2.0
//
// The rules of a plan's shared sections: what a runtime relies on without asking again. Programs
// are checked in plan_verify_program.c. Stands behind the reader and before the writer; it must
// accept whatever numbers it is given and never follow one that it has not checked.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"

static trivet_status_t check_unique(tvi_map_t* names, trivet_string_view_t name, uint32_t index) {
  uint64_t first = 0;
  bool inserted = false;
  if (name.size == 0) return TRIVET_STATUS(DATA_LOSS, "name is empty");
  TRIVET_RETURN_IF_ERROR(tvi_map_insert(names, name, index, &first, &inserted));
  if (inserted) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "name '" TVI_SV_FORMAT "' is that of %llu too", TVI_SV_ARGS(name),
                       (unsigned long long)first);
}

static trivet_status_t check_symbol(const tvi_plan_symbol_t* symbol) {
  if (symbol->origin != TVI_SYMBOL_INPUT && symbol->origin != TVI_SYMBOL_DATA) {
    return TRIVET_STATUS(DATA_LOSS, "origin %u", symbol->origin);
  }
  if (symbol->min < 0 || symbol->min > symbol->max) {
    return TRIVET_STATUS(DATA_LOSS, "range %lld..%lld", (long long)symbol->min,
                         (long long)symbol->max);
  }
  if (symbol->divisor < 1) {
    return TRIVET_STATUS(DATA_LOSS, "divisor %lld", (long long)symbol->divisor);
  }
  return TRIVET_OK;
}

static trivet_status_t check_constant(const tvi_plan_constant_t* constant, uint64_t* end) {
  uint64_t offset = 0;
  if (tvi_dtype_bits(constant->dtype) == 0) {
    return TRIVET_STATUS(DATA_LOSS, "dtype %u has no storage", constant->dtype);
  }
  if (constant->rank > TRIVET_MAX_RANK) return TRIVET_STATUS(DATA_LOSS, "rank %u", constant->rank);
  for (uint32_t d = 0; d < constant->rank; ++d) {
    if (constant->dims[d] < 0) {
      return TRIVET_STATUS(DATA_LOSS, "dims[%u] is %lld", d, (long long)constant->dims[d]);
    }
  }
  if (!tvi_checked_align_up_u64(*end, TVI_PLAN_WEIGHT_ALIGNMENT, &offset) ||
      constant->offset != offset) {
    return TRIVET_STATUS(DATA_LOSS, "offset %llu, where the one before ends at %llu",
                         (unsigned long long)constant->offset, (unsigned long long)*end);
  }
  if (!tvi_checked_add_u64(offset, constant->size, end) || *end > INT64_MAX) {
    return TRIVET_STATUS(DATA_LOSS, "size %llu", (unsigned long long)constant->size);
  }
  return TRIVET_OK;
}

static trivet_status_t check_binding(const tvi_plan_t* plan, const tvi_plan_binding_t* binding) {
  if (binding->mode != TVI_PLAN_BINDING_INPUT && binding->mode != TVI_PLAN_BINDING_OUTPUT) {
    return TRIVET_STATUS(DATA_LOSS, "mode %u", binding->mode);
  }
  if (!tvi_is_power_of_two(binding->alignment) || binding->alignment > TVI_PLAN_MAX_ALIGNMENT) {
    return TRIVET_STATUS(DATA_LOSS, "alignment %u", binding->alignment);
  }
  if (binding->alias == TVI_PLAN_NONE) return TRIVET_OK;
  if (binding->mode != TVI_PLAN_BINDING_OUTPUT || binding->alias >= plan->binding_count ||
      plan->bindings[binding->alias].mode != TVI_PLAN_BINDING_INPUT) {
    return TRIVET_STATUS(DATA_LOSS, "alias %u is not an input of an output", binding->alias);
  }
  return TRIVET_OK;
}

// One extent of an input in a profile against the tensor's expression for it.
static trivet_status_t check_extent(const tvi_plan_t* plan, tvi_plan_expr_t expr,
                                    const int64_t* range) {
  const tvi_plan_expr_code_t* code = &plan->exprs[expr];
  size_t cursor = 0;
  uint8_t op = 0;
  int64_t value = 0;
  bool is_one =
      tvi_dim_code_next(code->code, code->size, &cursor, &op, &value) && cursor == code->size;
  int64_t least = 0, most = INT64_MAX;
  if (is_one && op == TVI_DIM_CODE_CONSTANT) least = most = value;
  if (is_one && op == TVI_DIM_CODE_SYMBOL) {
    least = plan->symbols[value].min;
    most = plan->symbols[value].max;
  }
  if (range[0] >= least && range[2] <= most) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%lld..%lld, where the input has %lld..%lld", (long long)range[0],
                       (long long)range[2], (long long)least, (long long)most);
}

// Inputs come with the tensors of the first program, which has been verified.
static trivet_status_t check_profile(const tvi_plan_t* plan, const tvi_plan_profile_t* profile) {
  uint32_t inputs = 0;
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    inputs += plan->bindings[i].mode == TVI_PLAN_BINDING_INPUT;
  }
  if (profile->binding_count != inputs) {
    return TRIVET_STATUS(DATA_LOSS, "%u inputs of %u", profile->binding_count, inputs);
  }
  const int64_t* dims = profile->dims;
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    if (plan->bindings[i].mode != TVI_PLAN_BINDING_INPUT) continue;
    const tvi_plan_tensor_t* tensor = &plan->programs[0].tensors[plan->bindings[i].tensor];
    for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d) {
      int64_t range[3] = {dims[d], dims[TRIVET_MAX_RANK + d], dims[2 * TRIVET_MAX_RANK + d]};
      bool is_used = d < tensor->rank;
      if (range[0] < 0 || range[0] > range[1] || range[1] > range[2] ||
          (!is_used && range[2] != 0)) {
        return TRIVET_STATUS(DATA_LOSS, "binding %u, axis %u: min %lld, opt %lld, max %lld", i, d,
                             (long long)range[0], (long long)range[1], (long long)range[2]);
      }
      if (is_used) {
        TRIVET_RETURN_IF_ERROR_ANNOTATED(check_extent(plan, tensor->dims[d], range),
                                         "binding %u, axis %u", i, d);
      }
    }
    dims += (size_t)3 * TRIVET_MAX_RANK;
  }
  return TRIVET_OK;
}

static trivet_status_t verify_shared(const tvi_plan_t* plan, tvi_map_t* names) {
  uint64_t end = 0;
  for (uint32_t i = 0; i < plan->symbol_count; ++i) {
    trivet_status_t status = check_unique(names, plan->symbols[i].name, i);
    if (status == NULL) status = check_symbol(&plan->symbols[i]);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "plan section symbols: symbol %u", i);
  }
  for (uint32_t i = 0; i < plan->expr_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_dim_code_verify(plan->exprs[i].code, (size_t)plan->exprs[i].size, plan->symbol_count),
        "plan section expressions: expression %u", i);
  }
  for (uint32_t i = 0; i < plan->constant_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_constant(&plan->constants[i], &end),
                                     "plan section constants: constant %u", i);
  }
  if (end != plan->weights_size) {
    return TRIVET_STATUS(DATA_LOSS, "plan section weights: %llu bytes, constants end at %llu",
                         (unsigned long long)plan->weights_size, (unsigned long long)end);
  }
  for (uint32_t mode = TVI_PLAN_BINDING_INPUT; mode <= TVI_PLAN_BINDING_OUTPUT; ++mode) {
    tvi_map_clear(names);
    for (uint32_t i = 0; i < plan->binding_count; ++i) {
      trivet_status_t status = check_binding(plan, &plan->bindings[i]);
      if (status == NULL && plan->bindings[i].mode == mode) {
        status = check_unique(names, plan->bindings[i].name, i);
      }
      TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "plan section bindings: binding %u", i);
    }
  }
  tvi_map_clear(names);
  for (uint32_t i = 0; i < plan->plugin_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_unique(names, plan->plugins[i].name, i),
                                     "plan section plugins: plugin %u", i);
  }
  return TRIVET_OK;
}

static trivet_status_t verify_programs(const tvi_plan_t* plan, trivet_allocator_t allocator) {
  if (plan->program_count == 0 || plan->program_count > TVI_PLAN_MAX_PROGRAMS) {
    return TRIVET_STATUS(DATA_LOSS, "plan section programs: %u programs", plan->program_count);
  }
  for (uint32_t i = 0; i < plan->program_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_plan_verify_program(plan, &plan->programs[i], allocator),
                                     "plan section programs: program %u", i);
  }
  for (uint32_t b = 0; b < plan->binding_count; ++b) {
    const tvi_plan_tensor_t* first = &plan->programs[0].tensors[plan->bindings[b].tensor];
    for (uint32_t i = 1; i < plan->program_count; ++i) {
      const tvi_plan_tensor_t* other = &plan->programs[i].tensors[plan->bindings[b].tensor];
      if (first->dtype != other->dtype || first->rank != other->rank) {
        return TRIVET_STATUS(DATA_LOSS,
                             "plan section programs: program %u: binding %u has another type than "
                             "in program 0",
                             i, b);
      }
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_plan_verify(const tvi_plan_t* plan, trivet_allocator_t allocator) {
  tvi_map_t names;
  tvi_map_init(&names, allocator);
  trivet_status_t status = verify_shared(plan, &names);
  tvi_map_deinit(&names);
  TRIVET_RETURN_IF_ERROR(status);
  TRIVET_RETURN_IF_ERROR(verify_programs(plan, allocator));
  for (uint32_t i = 0; i < plan->profile_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_profile(plan, &plan->profiles[i]),
                                     "plan section profiles: profile %u", i);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_plan_check_view(uint32_t dtype, uint32_t rank, const int64_t* dims,
                                    const int64_t* strides, int64_t offset, int64_t buffer_size) {
  int64_t bits = tvi_dtype_bits(dtype);
  int64_t first = 0, last = 0;  // elements, from the offset
  bool is_empty = false;
  for (uint32_t d = 0; d < rank; ++d) {
    if (dims[d] < 0) return TRIVET_STATUS(OUT_OF_RANGE, "dims[%u] is %lld", d, (long long)dims[d]);
    is_empty = is_empty || dims[d] == 0;
  }
  if (bits == 0) return TRIVET_STATUS(OUT_OF_RANGE, "dtype %u has no storage", dtype);
  if (is_empty) return TRIVET_OK;
  bool fits = offset >= 0;
  for (uint32_t d = 0; d < rank && fits; ++d) {
    int64_t reach = 0;
    fits = tvi_checked_mul_i64(dims[d] - 1, strides[d], &reach) &&
           (reach < 0 ? tvi_checked_add_i64(first, reach, &first)
                      : tvi_checked_add_i64(last, reach, &last));
  }
  int64_t begin = 0, end = 0, base = 0, size = 0;
  fits = fits && tvi_checked_mul_i64(offset, 8, &base) &&
         tvi_checked_mul_i64(first, bits, &begin) && tvi_checked_add_i64(begin, base, &begin) &&
         tvi_checked_add_i64(last, 1, &last) && tvi_checked_mul_i64(last, bits, &end) &&
         tvi_checked_add_i64(end, base, &end) && tvi_checked_mul_i64(buffer_size, 8, &size) &&
         begin >= 0 && end <= size;
  if (fits) return TRIVET_OK;
  return TRIVET_STATUS(OUT_OF_RANGE, "elements lie outside their buffer of %lld bytes",
                       (long long)buffer_size);
}
