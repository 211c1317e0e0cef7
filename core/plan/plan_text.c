// SPDX-License-Identifier: Apache-2.0
//
// A plan as text for people: what it takes and gives, what it keeps, and each step with its kernels
// and operands. For reading only; tools use the JSON of plan_json.c.
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"
#include "core/plan/plan_moves.h"

typedef tvi_string_builder_t builder_t;

static void quote(builder_t* b, trivet_string_view_t text) {
  tvi_string_builder_append_json(b, text);
}

static void print_list(const tvi_plan_t* plan, const tvi_plan_expr_t* exprs, uint32_t count,
                       builder_t* b) {
  tvi_string_builder_append_char(b, '[');
  for (uint32_t i = 0; i < count; ++i) {
    if (i != 0) tvi_string_builder_append_cstr(b, ", ");
    tvi_plan_print_expr(plan, exprs[i], b);
  }
  tvi_string_builder_append_char(b, ']');
}

static void print_dims(const int64_t* dims, uint32_t rank, builder_t* b) {
  tvi_string_builder_append_char(b, '[');
  for (uint32_t d = 0; d < rank; ++d) {
    tvi_string_builder_appendf(b, "%s%lld", d != 0 ? ", " : "", (long long)dims[d]);
  }
  tvi_string_builder_append_char(b, ']');
}

// Row-major without gaps, as far as constants tell; then the strides need not be said.
static bool is_plainly_dense(const tvi_plan_t* plan, const tvi_plan_tensor_t* tensor) {
  int64_t wanted = 1;
  for (uint32_t d = tensor->rank; d-- > 0;) {
    const tvi_plan_expr_code_t* stride = &plan->exprs[tensor->strides[d]];
    const tvi_plan_expr_code_t* extent = &plan->exprs[tensor->dims[d]];
    int64_t value = 0;
    if (!tvi_dim_code_is_constant(stride->code, (size_t)stride->size, &value) || value != wanted) {
      return false;
    }
    if (d == 0) break;
    if (!tvi_dim_code_is_constant(extent->code, (size_t)extent->size, &value) ||
        __builtin_mul_overflow(wanted, value, &wanted)) {
      return false;
    }
  }
  return true;
}

static void print_tensor(const tvi_plan_t* plan, const tvi_plan_program_t* program, uint32_t index,
                         builder_t* b) {
  const tvi_plan_tensor_t* tensor = &program->tensors[index];
  const tvi_plan_buffer_t* buffer = &program->buffers[tensor->buffer];
  const tvi_plan_expr_code_t* offset = &plan->exprs[tensor->offset];
  int64_t value = 0;
  tvi_string_builder_appendf(b, "%%%u ", index);
  if (tensor->name.size != 0) {
    quote(b, tensor->name);
    tvi_string_builder_append_char(b, ' ');
  }
  tvi_string_builder_append_cstr(b, tvi_dtype_name(tensor->dtype));
  print_list(plan, tensor->dims, tensor->rank, b);
  if (!is_plainly_dense(plan, tensor)) {
    tvi_string_builder_append_cstr(b, " strides ");
    print_list(plan, tensor->strides, tensor->rank, b);
  }
  if (buffer->kind == TVI_PLAN_BUFFER_BINDING) {
    tvi_string_builder_append_cstr(b, " of binding ");
    quote(b, plan->bindings[buffer->index].name);
  } else if (buffer->kind == TVI_PLAN_BUFFER_CONSTANT) {
    tvi_string_builder_appendf(b, " of constant %u", buffer->index);
  } else {
    tvi_string_builder_appendf(b, " of buffer %u", tensor->buffer);
  }
  if (!tvi_dim_code_is_constant(offset->code, (size_t)offset->size, &value) || value != 0) {
    tvi_string_builder_append_cstr(b, " at byte ");
    tvi_plan_print_expr(plan, tensor->offset, b);
  }
  if ((tensor->flags & TVI_PLAN_TENSOR_OBSERVED) != 0) {
    tvi_string_builder_append_cstr(b, ", observed");
  }
  tvi_string_builder_append_char(b, '\n');
}

static void print_shared(const tvi_plan_t* plan, builder_t* b) {
  tvi_string_builder_append_cstr(b, "plan ");
  quote(b, plan->name);
  tvi_string_builder_appendf(b, ", format %u\n", TVI_PLAN_MAJOR);
  if (plan->build_info.size != 0) {
    tvi_string_builder_append_cstr(b, "build ");
    tvi_string_builder_append(b, plan->build_info);
    tvi_string_builder_append_char(b, '\n');
  }
  for (uint32_t i = 0; i < plan->plugin_count; ++i) {
    tvi_string_builder_append_cstr(b, "plugin ");
    quote(b, plan->plugins[i].name);
    tvi_string_builder_append_char(b, ' ');
    quote(b, plan->plugins[i].version);
    if (plan->plugins[i].library_size != 0) {
      char digest[TVI_SHA256_TEXT_SIZE];
      tvi_sha256_text(plan->plugins[i].library, plan->plugins[i].library_size, digest);
      tvi_string_builder_appendf(b, ", carried: %llu bytes, sha256 %s",
                                 (unsigned long long)plan->plugins[i].library_size, digest);
    }
    tvi_string_builder_append_char(b, '\n');
  }
  for (uint32_t i = 0; i < plan->symbol_count; ++i) {
    const tvi_plan_symbol_t* symbol = &plan->symbols[i];
    tvi_string_builder_appendf(b, "symbol " TVI_SV_FORMAT ": %lld..%lld", TVI_SV_ARGS(symbol->name),
                               (long long)symbol->min, (long long)symbol->max);
    if (symbol->divisor != 1) {
      tvi_string_builder_appendf(b, ", divisible by %lld", (long long)symbol->divisor);
    }
    tvi_string_builder_append_cstr(b, symbol->origin == TVI_SYMBOL_DATA ? ", from data\n" : "\n");
  }
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    const tvi_plan_binding_t* binding = &plan->bindings[i];
    const tvi_plan_tensor_t* tensor = &plan->programs[0].tensors[binding->tensor];
    tvi_string_builder_append_cstr(b,
                                   binding->mode == TVI_PLAN_BINDING_INPUT ? "input " : "output ");
    quote(b, binding->name);
    tvi_string_builder_appendf(b, " %s", tvi_dtype_name(tensor->dtype));
    print_list(plan, tensor->dims, tensor->rank, b);
    if (binding->alignment > 1)
      tvi_string_builder_appendf(b, ", aligned to %u", binding->alignment);
    if (binding->alias != TVI_PLAN_NONE) {
      tvi_string_builder_append_cstr(b, ", may overlap ");
      quote(b, plan->bindings[binding->alias].name);
    }
    tvi_string_builder_append_char(b, '\n');
  }
  for (uint32_t i = 0; i < plan->profile_count; ++i) {
    const int64_t* dims = plan->profiles[i].dims;
    for (uint32_t k = 0; k < plan->binding_count; ++k) {
      const tvi_plan_binding_t* binding = &plan->bindings[k];
      if (binding->mode != TVI_PLAN_BINDING_INPUT) continue;
      uint32_t rank = plan->programs[0].tensors[binding->tensor].rank;
      tvi_string_builder_appendf(b, "profile %u ", i);
      quote(b, binding->name);
      tvi_string_builder_append_cstr(b, ": min ");
      print_dims(dims, rank, b);
      tvi_string_builder_append_cstr(b, " opt ");
      print_dims(dims + TRIVET_MAX_RANK, rank, b);
      tvi_string_builder_append_cstr(b, " max ");
      print_dims(dims + (size_t)2 * TRIVET_MAX_RANK, rank, b);
      tvi_string_builder_append_char(b, '\n');
      dims += (size_t)3 * TRIVET_MAX_RANK;
    }
  }
  for (uint32_t i = 0; i < plan->constant_count; ++i) {
    const tvi_plan_constant_t* constant = &plan->constants[i];
    char hash[TVI_HASH128_TEXT_SIZE];
    tvi_hash128_format((tvi_hash128_t){constant->hash[0], constant->hash[1]}, hash);
    tvi_string_builder_appendf(b, "constant %u ", i);
    if (constant->name.size != 0) {
      quote(b, constant->name);
      tvi_string_builder_append_char(b, ' ');
    }
    tvi_string_builder_append_cstr(b, tvi_dtype_name(constant->dtype));
    print_dims(constant->dims, constant->rank, b);
    tvi_string_builder_appendf(b, ", %llu bytes at %llu, hash %s\n",
                               (unsigned long long)constant->size,
                               (unsigned long long)constant->offset, hash);
  }
}

static void print_alternative(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                              const tvi_plan_alternative_t* a, builder_t* b) {
  tvi_string_builder_appendf(b, "    " TVI_SV_FORMAT "/%u", TVI_SV_ARGS(a->kernel),
                             a->kernel_version);
  if (a->tactic.size != 0) {
    tvi_string_builder_append_cstr(b, ", ");
    tvi_string_builder_append(b, a->tactic);
  }
  if (a->blob_size != 0) {
    tvi_string_builder_appendf(b, ", blob of %llu bytes", (unsigned long long)a->blob_size);
  }
  tvi_string_builder_append_char(b, '\n');
  for (uint32_t i = 0; i < a->guard_count; ++i) {
    tvi_string_builder_append_cstr(b, "      when ");
    tvi_plan_print_guard(plan, &a->guards[i], b);
    tvi_string_builder_append_char(b, '\n');
  }
  for (uint32_t i = 0; i < a->requirement_count; ++i) {
    tvi_string_builder_appendf(b, "      needs " TVI_SV_FORMAT "\n",
                               TVI_SV_ARGS(a->requirements[i]));
  }
  if (a->parameter_count != 0) {
    tvi_string_builder_append_cstr(b, "      parameters ");
    print_list(plan, a->parameters, a->parameter_count, b);
    tvi_string_builder_append_char(b, '\n');
  }
  for (uint32_t i = 0; i < a->operand_count; ++i) {
    bool is_output = i >= a->operand_count - a->output_count;
    tvi_string_builder_append_cstr(b, is_output ? "      out " : "      in  ");
    if (a->operands[i] == TVI_PLAN_NONE) {
      tvi_string_builder_append_cstr(b, "absent\n");
    } else {
      print_tensor(plan, program, a->operands[i], b);
    }
  }
}

static void print_step(const tvi_plan_t* plan, const tvi_plan_program_t* program, uint32_t index,
                       builder_t* b) {
  const tvi_plan_step_t* step = &program->blocks[0].steps[index];
  const char* kind = tvi_plan_step_kind_name(step->kind);
  tvi_string_builder_appendf(b, "  step %u %s ", index, kind != NULL ? kind : "?");
  quote(b, step->name);
  if (step->made_by.size != 0) {
    tvi_string_builder_appendf(b, " by " TVI_SV_FORMAT, TVI_SV_ARGS(step->made_by));
  }
  if (step->queue != 0) tvi_string_builder_appendf(b, ", queue %u", step->queue);
  for (uint32_t i = 0; i < step->wait_count; ++i) {
    tvi_string_builder_appendf(b, "%s%u", i == 0 ? ", after " : ", ", step->waits[i]);
  }
  for (uint32_t i = 0; i < step->bound_symbol_count; ++i) {
    const tvi_plan_bound_symbol_t* bound = &step->bound_symbols[i];
    tvi_string_builder_appendf(b, ", binds " TVI_SV_FORMAT " to axis %u of output %u",
                               TVI_SV_ARGS(plan->symbols[bound->symbol].name), bound->axis,
                               bound->output);
  }
  tvi_string_builder_append_char(b, '\n');
  for (uint32_t i = 0; i < step->alternative_count; ++i) {
    print_alternative(plan, program, &step->alternatives[i], b);
  }
}

trivet_status_t tvi_plan_print(const tvi_plan_t* plan, tvi_string_builder_t* b) {
  print_shared(plan, b);
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    const tvi_plan_program_t* program = &plan->programs[p];
    tvi_string_builder_appendf(b, "program %u for ", p);
    quote(b, program->target);
    tvi_string_builder_appendf(b, ", arena %llu bytes, at least %llu\n",
                               (unsigned long long)program->arena_size,
                               (unsigned long long)program->arena_lower_bound);
    tvi_plan_moves_t moves;
    TRIVET_RETURN_IF_ERROR(tvi_plan_count_moves(plan, program, b->allocator, &moves));
    tvi_string_builder_appendf(
        b, "  moves %u copies into another layout (%llu bytes), %u casts (%llu bytes)\n",
        moves.reformat_count, (unsigned long long)moves.reformat_bytes, moves.cast_count,
        (unsigned long long)moves.cast_bytes);
    for (uint32_t i = 0; i < program->check_count; ++i) {
      tvi_string_builder_append_cstr(b, "  check ");
      tvi_plan_print_guard(plan, &program->checks[i], b);
      tvi_string_builder_append_char(b, '\n');
    }
    for (uint32_t i = 0; i < program->buffer_count; ++i) {
      const tvi_plan_buffer_t* buffer = &program->buffers[i];
      if (buffer->kind != TVI_PLAN_BUFFER_ARENA) continue;
      tvi_string_builder_appendf(b, "  buffer %u: ", i);
      tvi_plan_print_expr(plan, buffer->size, b);
      tvi_string_builder_appendf(b, " bytes, steps %u..%u%s\n", buffer->first_step,
                                 buffer->last_step,
                                 buffer->memory == TRIVET_MEMORY_DEVICE ? ", device" : "");
    }
    for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) print_step(plan, program, s, b);
  }
  return tvi_string_builder_status(b);
}
