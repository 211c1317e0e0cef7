// SPDX-License-Identifier: Apache-2.0
//
// Where the time of a context went, step by step, in the names of the original nodes. run.c takes
// the times; here they are switched on and read.
#include <stddef.h>

#include "core/base/status.h"
#include "runtime/context/context.h"

trivet_status_t trivet_context_enable_profile(trivet_context_t* context, uint32_t enabled) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  if (enabled != 0) TRIVET_RETURN_IF_ERROR(tvi_context_make_events(context));
  context->is_profiled = enabled != 0;
  for (uint32_t i = 0; i < context->engine->block->step_count && enabled != 0; ++i) {
    context->steps[i].nanoseconds = 0;
    context->steps[i].count = 0;
  }
  return TRIVET_OK;
}

uint32_t trivet_context_layer_count(const trivet_context_t* context) {
  return context != NULL ? context->engine->block->step_count : 0;
}

trivet_status_t trivet_context_layer(const trivet_context_t* context, uint32_t index,
                                     trivet_layer_record_t* out_record) {
  if (context == NULL || out_record == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "context or out_record is NULL");
  }
  if (index >= context->engine->block->step_count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "layer %u of %u", index, context->engine->block->step_count);
  }
  const tvi_context_step_t* step = &context->steps[index];
  const tvi_plan_step_t* from = &context->engine->block->steps[index];
  const tvi_engine_alternative_t* chosen = step->alternative;
  trivet_layer_record_t record = {
      .name = from->name.data,
      .kernel = "",
      .tactic = "",
      .nanoseconds = step->nanoseconds,
      .count = step->count,
      .bytes = step->bytes,
  };
  int64_t flops = 0;
  if (from->flops != 0) {
    // Extents that depend on data may have no value yet.
    trivet_status_free(tvi_context_value(context, from->flops - 1, &flops));
    record.flops = flops > 0 ? (uint64_t)flops : 0;
  }
  if (chosen != NULL) {
    record.kernel = chosen->plan->kernel.data;
    record.tactic = chosen->plan->tactic.data;
  }
  return tvi_fill_struct(out_record, &record, TRIVET_STRUCT_LAYER_RECORD,
                         (uint32_t)offsetof(trivet_layer_record_t, flops),
                         (uint32_t)sizeof(record));
}
