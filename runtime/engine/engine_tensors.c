// SPDX-License-Identifier: Apache-2.0
//
// What an engine tells about itself: its tensors, its profiles, the plan as text. Read-only; what
// belongs to one set of shapes is asked of a context.
#include <stddef.h>
#include <string.h>

#include "core/base/status.h"
#include "core/dimension/dim_code.h"
#include "runtime/engine/engine.h"

uint32_t trivet_engine_tensor_count(const trivet_engine_t* engine) {
  return engine != NULL ? engine->tensor_count : 0;
}

uint32_t trivet_engine_tensor_index(const trivet_engine_t* engine, const char* name) {
  if (engine == NULL || name == NULL) return UINT32_MAX;
  for (uint32_t i = 0; i < engine->tensor_count; ++i) {
    if (strcmp(engine->tensors[i].name, name) == 0) return i;
  }
  return UINT32_MAX;
}

// The input of the plan's binding |binding|, as a tensor of the engine.
static uint32_t input_of(const trivet_engine_t* engine, uint32_t binding) {
  for (uint32_t i = 0; i < engine->input_count; ++i) {
    if (engine->tensors[i].binding == binding) return i;
  }
  return UINT32_MAX;
}

trivet_status_t trivet_engine_tensor_info(const trivet_engine_t* engine, uint32_t index,
                                          trivet_tensor_info_t* out_info) {
  if (engine == NULL || out_info == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine or out_info is NULL");
  }
  if (index >= engine->tensor_count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "tensor %u of %u", index, engine->tensor_count);
  }
  const tvi_engine_tensor_t* from = &engine->tensors[index];
  const tvi_plan_tensor_t* tensor = &engine->program->tensors[from->tensor];
  trivet_tensor_info_t info = {.name = from->name,
                               .mode = from->mode,
                               .dtype = tensor->dtype,
                               .rank = tensor->rank,
                               .alignment = from->alignment,
                               .alias = UINT32_MAX};
  if (index >= engine->input_count && index < engine->input_count + engine->output_count) {
    info.alias = input_of(engine, engine->plan->bindings[from->binding].alias);
  }
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    tvi_plan_expr_code_t code = engine->plan->exprs[tensor->dims[d]];
    if (!tvi_dim_code_is_constant(code.code, code.size, &info.dims[d])) info.dims[d] = -1;
  }
  return tvi_fill_struct(out_info, &info, TRIVET_STRUCT_TENSOR_INFO,
                         (uint32_t)offsetof(trivet_tensor_info_t, alias), (uint32_t)sizeof(info));
}

uint32_t trivet_engine_profile_count(const trivet_engine_t* engine) {
  return engine != NULL ? engine->plan->profile_count : 0;
}

trivet_status_t trivet_engine_profile_shape(const trivet_engine_t* engine, uint32_t profile,
                                            const char* name, uint32_t which, uint32_t* out_rank,
                                            int64_t* out_dims) {
  if (engine == NULL || name == NULL || out_rank == NULL || out_dims == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine, name, out_rank or out_dims is NULL");
  }
  if (profile >= engine->plan->profile_count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "profile %u of %u", profile, engine->plan->profile_count);
  }
  if (which > 2) return TRIVET_STATUS(OUT_OF_RANGE, "which is %u, wanted 0, 1 or 2", which);
  uint32_t index = trivet_engine_tensor_index(engine, name);
  if (index >= engine->input_count) {
    return TRIVET_STATUS(NOT_FOUND, "the plan has no input '%s'", name);
  }
  uint32_t rank = engine->program->tensors[engine->tensors[index].tensor].rank;
  const int64_t* dims = engine->plan->profiles[profile].dims;
  memcpy(out_dims, dims + ((size_t)index * 3 + which) * TRIVET_MAX_RANK, rank * sizeof(*dims));
  *out_rank = rank;
  return TRIVET_OK;
}

trivet_status_t trivet_engine_inspect(const trivet_engine_t* engine, uint32_t format,
                                      char** out_text) {
  if (engine == NULL || out_text == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine or out_text is NULL");
  }
  if (format != TRIVET_INSPECT_TEXT && format != TRIVET_INSPECT_JSON) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "format is %u, wanted TRIVET_INSPECT_TEXT or _JSON",
                         format);
  }
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, engine->allocator);
  trivet_status_t status = format == TRIVET_INSPECT_TEXT
                               ? tvi_plan_print(engine->plan, &builder)
                               : tvi_plan_print_json(engine->plan, &builder);
  size_t size;
  if (status == NULL) status = tvi_string_builder_take(&builder, out_text, &size);
  tvi_string_builder_deinit(&builder);
  return status;
}
