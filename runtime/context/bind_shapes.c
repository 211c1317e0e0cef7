// SPDX-License-Identifier: Apache-2.0
//
// Shapes to numbers: symbols are read off the shapes of inputs, what the plan assumed of them is
// checked, and every expression is evaluated once. Symbols that steps bind come in later, one by
// one. No memory is planned here.
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"
#include "runtime/context/context.h"

static trivet_status_t check_symbol(const tvi_plan_symbol_t* symbol, int64_t value) {
  if (value < symbol->min || value > symbol->max) {
    return TRIVET_STATUS(OUT_OF_RANGE, "'%.*s' is %lld, the plan allows %lld to %lld",
                         TVI_SV_ARGS(symbol->name), (long long)value, (long long)symbol->min,
                         (long long)symbol->max);
  }
  if (symbol->divisor > 1 && value % symbol->divisor != 0) {
    return TRIVET_STATUS(OUT_OF_RANGE, "'%.*s' is %lld, the plan allows multiples of %lld",
                         TVI_SV_ARGS(symbol->name), (long long)value, (long long)symbol->divisor);
  }
  return TRIVET_OK;
}

static trivet_status_t evaluate(const trivet_context_t* context, tvi_plan_expr_t expr,
                                int64_t* out_value) {
  const tvi_plan_t* plan = context->engine->plan;
  return tvi_dim_code_evaluate(plan->exprs[expr].code, plan->exprs[expr].size, context->symbols,
                               plan->symbol_count, out_value);
}

trivet_status_t tvi_context_value(const trivet_context_t* context, tvi_plan_expr_t expr,
                                  int64_t* out_value) {
  const tvi_plan_t* plan = context->engine->plan;
  if (!context->engine->expr_is_late[expr]) {
    *out_value = context->values[expr];
    return TRIVET_OK;
  }
  uint32_t symbol;
  if (tvi_dim_code_uses(plan->exprs[expr].code, plan->exprs[expr].size, context->symbol_is_unknown,
                        plan->symbol_count, &symbol)) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "'%.*s' is used before a step has computed it",
                         TVI_SV_ARGS(plan->symbols[symbol].name));
  }
  return evaluate(context, expr, out_value);
}

// Input and dimension that a symbol was read off.
static void find_source(const trivet_context_t* context, uint32_t symbol, const char** out_name,
                        uint32_t* out_dimension) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count; ++i) {
    const tvi_plan_tensor_t* tensor = &engine->program->tensors[engine->tensors[i].tensor];
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      uint32_t found;
      tvi_plan_expr_code_t code = engine->plan->exprs[tensor->dims[d]];
      if (!tvi_dim_code_is_symbol(code.code, code.size, &found) || found != symbol) continue;
      *out_name = engine->tensors[i].name;
      *out_dimension = d;
      return;
    }
  }
}

static trivet_status_t bind_symbol(trivet_context_t* context, const char* name, uint32_t dimension,
                                   uint32_t symbol, int64_t value) {
  const tvi_plan_symbol_t* info = &context->engine->plan->symbols[symbol];
  if (context->symbol_is_unknown[symbol]) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_symbol(info, value), "input '%s': dimension %u", name,
                                     dimension);
    context->symbols[symbol] = value;
    context->symbol_is_unknown[symbol] = false;
    return TRIVET_OK;
  }
  if (context->symbols[symbol] == value) return TRIVET_OK;
  const char* source = "";
  uint32_t source_dimension = 0;
  find_source(context, symbol, &source, &source_dimension);
  return TRIVET_STATUS(INVALID_ARGUMENT,
                       "input '%s': dimension %u is %lld, but it is '%.*s', which dimension %u of "
                       "input '%s' makes %lld",
                       name, dimension, (long long)value, TVI_SV_ARGS(info->name), source_dimension,
                       source, (long long)context->symbols[symbol]);
}

static trivet_status_t bind_inputs(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count; ++i) {
    const char* name = engine->tensors[i].name;
    const tvi_plan_tensor_t* tensor = &engine->program->tensors[engine->tensors[i].tensor];
    if (!context->inputs[i].is_set) {
      return TRIVET_STATUS(FAILED_PRECONDITION, "input '%s': its shape was not set", name);
    }
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      uint32_t symbol;
      tvi_plan_expr_code_t code = engine->plan->exprs[tensor->dims[d]];
      if (!tvi_dim_code_is_symbol(code.code, code.size, &symbol)) continue;
      TRIVET_RETURN_IF_ERROR(bind_symbol(context, name, d, symbol, context->inputs[i].dims[d]));
    }
  }
  return TRIVET_OK;
}

// Extents that are neither constants nor symbols follow from the symbols, and must agree.
static trivet_status_t check_inputs(const trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count; ++i) {
    const tvi_plan_tensor_t* tensor = &engine->program->tensors[engine->tensors[i].tensor];
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      int64_t wanted = context->values[tensor->dims[d]];
      int64_t found = context->inputs[i].dims[d];
      if (wanted == found) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "input '%s': dimension %u is %lld, the shapes of the other inputs make "
                           "it %lld",
                           engine->tensors[i].name, d, (long long)found, (long long)wanted);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t guard_holds(const trivet_context_t* context, const tvi_plan_guard_t* guard,
                                   int64_t* out_a, int64_t* out_b, bool* out_holds) {
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, guard->a, out_a));
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, guard->b, out_b));
  switch (guard->kind) {
    case TVI_PLAN_GUARD_GE:
      *out_holds = *out_a >= *out_b;
      return TRIVET_OK;
    case TVI_PLAN_GUARD_EQ:
      *out_holds = *out_a == *out_b;
      return TRIVET_OK;
    case TVI_PLAN_GUARD_DIVISIBLE:
      *out_holds = *out_b != 0 && (*out_b == -1 || *out_a % *out_b == 0);
      return TRIVET_OK;
    default:
      return TRIVET_STATUS(DATA_LOSS, "a guard is of unknown kind %u", guard->kind);
  }
}

trivet_status_t tvi_context_guards_hold(const trivet_context_t* context,
                                        const tvi_plan_guard_t* guards, uint32_t count,
                                        bool* out_holds) {
  *out_holds = true;
  for (uint32_t i = 0; i < count && *out_holds; ++i) {
    int64_t a, b;
    TRIVET_RETURN_IF_ERROR(guard_holds(context, &guards[i], &a, &b, out_holds));
  }
  return TRIVET_OK;
}

// Says the condition as well: the symbols in it are the names of the model's extents.
static trivet_status_t failed_check(const trivet_context_t* context, uint32_t index, int64_t a,
                                    int64_t b) {
  static const char* const kRelations[] = {"be at least", "equal", "be a multiple of"};
  const tvi_plan_guard_t* check = &context->engine->program->checks[index];
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, context->allocator);
  tvi_plan_print_guard(context->engine->plan, check, &text);
  trivet_status_t status = TRIVET_STATUS(
      INVALID_ARGUMENT, "check %u of the plan fails for these shapes: %lld must %s %lld (%s)",
      index, (long long)a, kRelations[check->kind], (long long)b,
      text.data != NULL ? text.data : "?");
  tvi_string_builder_deinit(&text);
  return status;
}

trivet_status_t tvi_context_check_guards(const trivet_context_t* context, bool late) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_t* plan = engine->plan;
  for (uint32_t i = 0; i < engine->program->check_count; ++i) {
    const tvi_plan_guard_t* check = &engine->program->checks[i];
    if ((engine->expr_is_late[check->a] || engine->expr_is_late[check->b]) != late) continue;
    uint32_t symbol;
    bool is_open = false;
    for (int side = 0; side < 2 && late; ++side) {
      tvi_plan_expr_code_t code = plan->exprs[side == 0 ? check->a : check->b];
      is_open = is_open || tvi_dim_code_uses(code.code, code.size, context->symbol_is_unknown,
                                             plan->symbol_count, &symbol);
    }
    if (is_open) continue;
    int64_t a, b;
    bool holds;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(guard_holds(context, check, &a, &b, &holds), "check %u", i);
    if (holds) continue;
    return failed_check(context, i, a, b);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_bind_shapes(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_t* plan = engine->plan;
  for (uint32_t i = 0; i < plan->symbol_count; ++i) context->symbol_is_unknown[i] = true;
  TRIVET_RETURN_IF_ERROR(bind_inputs(context));
  for (uint32_t i = 0; i < plan->expr_count; ++i) {
    if (engine->expr_is_late[i]) continue;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(evaluate(context, i, &context->values[i]), "expression %u", i);
  }
  TRIVET_RETURN_IF_ERROR(check_inputs(context));
  return tvi_context_check_guards(context, false);
}

trivet_status_t tvi_context_bind_late(trivet_context_t* context, uint32_t symbol, int64_t value) {
  const tvi_plan_symbol_t* info = &context->engine->plan->symbols[symbol];
  if (!context->symbol_is_unknown[symbol]) {
    if (context->symbols[symbol] == value) return TRIVET_OK;
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%.*s' is %lld, but an earlier extent made it %lld",
                         TVI_SV_ARGS(info->name), (long long)value,
                         (long long)context->symbols[symbol]);
  }
  TRIVET_RETURN_IF_ERROR(check_symbol(info, value));
  if (context->epoch == 0 || context->symbols[symbol] != value) ++context->epoch;
  context->symbols[symbol] = value;
  context->symbol_is_unknown[symbol] = false;
  return TRIVET_OK;
}
