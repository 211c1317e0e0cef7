// SPDX-License-Identifier: Apache-2.0
//
// A plan as JSON for tools; docs/plan_format.md has the schema, which only ever gains keys.
// Symbolic numbers are texts, known ones are numbers in texts too, so that a key has one type.
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"
#include "core/plan/plan_moves.h"

// What comes between the elements of lists and objects is kept here, not by the callers.
typedef struct json_s {
  tvi_string_builder_t* builder;
  const tvi_plan_t* plan;
  uint32_t depth;
  uint32_t record;  // depth of the record that stands on one line; 0: none
  bool is_first;
} json_t;

static void separate(json_t* j) {
  if (!j->is_first) tvi_string_builder_append_char(j->builder, ',');
  if (j->record == 0) {
    tvi_string_builder_append_char(j->builder, '\n');
    tvi_string_builder_append_repeated(j->builder, ' ', j->depth);
  } else if (!j->is_first) {
    tvi_string_builder_append_char(j->builder, ' ');
  }
  j->is_first = false;
}

static void open_bracket(json_t* j, char bracket) {
  tvi_string_builder_append_char(j->builder, bracket);
  ++j->depth;
  j->is_first = true;
}
static void close_bracket(json_t* j, char bracket) {
  if (j->record == j->depth) j->record = 0;
  --j->depth;
  tvi_string_builder_append_char(j->builder, bracket);
  j->is_first = false;
}

static void key(json_t* j, const char* name) {
  separate(j);
  tvi_string_builder_appendf(j->builder, "\"%s\": ", name);
}
static void key_text(json_t* j, const char* name, trivet_string_view_t text) {
  key(j, name);
  tvi_string_builder_append_json(j->builder, text);
}
static void key_u64(json_t* j, const char* name, uint64_t value) {
  key(j, name);
  tvi_string_builder_appendf(j->builder, "%llu", (unsigned long long)value);
}
static void key_i64(json_t* j, const char* name, int64_t value) {
  key(j, name);
  tvi_string_builder_append_i64(j->builder, value);
}
static void key_index(json_t* j, const char* name, uint32_t value) {
  key(j, name);
  if (value == TVI_PLAN_NONE) {
    tvi_string_builder_append_cstr(j->builder, "null");
  } else {
    tvi_string_builder_appendf(j->builder, "%u", value);
  }
}
static void key_bool(json_t* j, const char* name, bool value) {
  key(j, name);
  tvi_string_builder_append_cstr(j->builder, value ? "true" : "false");
}
static void key_open(json_t* j, const char* name, char bracket) {
  key(j, name);
  open_bracket(j, bracket);
}
static void open_element(json_t* j, char bracket) {
  separate(j);
  open_bracket(j, bracket);
}
static void open_record(json_t* j) {
  open_element(j, '{');
  if (j->record == 0) j->record = j->depth;
}

// Texts of expressions contain the names of symbols, which may be anything.
static void expr(json_t* j, tvi_plan_expr_t index) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, j->builder->allocator);
  tvi_plan_print_expr(j->plan, index, &text);
  tvi_string_builder_append_json(j->builder, tvi_string_builder_view(&text));
  if (j->builder->status == NULL) j->builder->status = tvi_string_builder_status(&text);
  tvi_string_builder_deinit(&text);
}
static void key_expr(json_t* j, const char* name, tvi_plan_expr_t index) {
  key(j, name);
  expr(j, index);
}
static void key_exprs(json_t* j, const char* name, const tvi_plan_expr_t* exprs, uint32_t count) {
  key(j, name);
  tvi_string_builder_append_char(j->builder, '[');
  for (uint32_t i = 0; i < count; ++i) {
    if (i != 0) tvi_string_builder_append_cstr(j->builder, ", ");
    expr(j, exprs[i]);
  }
  tvi_string_builder_append_char(j->builder, ']');
}
static void key_dims(json_t* j, const char* name, const int64_t* dims, uint32_t rank) {
  key(j, name);
  tvi_string_builder_append_char(j->builder, '[');
  for (uint32_t d = 0; d < rank; ++d) {
    tvi_string_builder_appendf(j->builder, "%s%lld", d != 0 ? ", " : "", (long long)dims[d]);
  }
  tvi_string_builder_append_char(j->builder, ']');
}
static void key_guards(json_t* j, const char* name, const tvi_plan_guard_t* guards,
                       uint32_t count) {
  tvi_string_builder_t text;
  key(j, name);
  tvi_string_builder_init(&text, j->builder->allocator);
  tvi_string_builder_append_char(j->builder, '[');
  for (uint32_t i = 0; i < count; ++i) {
    tvi_string_builder_clear(&text);
    tvi_plan_print_guard(j->plan, &guards[i], &text);
    if (i != 0) tvi_string_builder_append_cstr(j->builder, ", ");
    tvi_string_builder_append_json(j->builder, tvi_string_builder_view(&text));
  }
  tvi_string_builder_append_char(j->builder, ']');
  if (j->builder->status == NULL) j->builder->status = tvi_string_builder_status(&text);
  tvi_string_builder_deinit(&text);
}

// --- Shared sections -----------------------------------------------------------------------------

static void print_symbols(json_t* j) {
  key_open(j, "symbols", '[');
  for (uint32_t i = 0; i < j->plan->symbol_count; ++i) {
    const tvi_plan_symbol_t* symbol = &j->plan->symbols[i];
    open_record(j);
    key_text(j, "name", symbol->name);
    key_text(j, "origin", tvi_sv(symbol->origin == TVI_SYMBOL_DATA ? "data" : "input"));
    key_i64(j, "min", symbol->min);
    key_i64(j, "max", symbol->max);
    key_i64(j, "divisor", symbol->divisor);
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

static void print_bindings(json_t* j) {
  key_open(j, "bindings", '[');
  for (uint32_t i = 0; i < j->plan->binding_count; ++i) {
    const tvi_plan_binding_t* binding = &j->plan->bindings[i];
    const tvi_plan_tensor_t* tensor = &j->plan->programs[0].tensors[binding->tensor];
    open_record(j);
    key_text(j, "name", binding->name);
    key_text(j, "mode", tvi_sv(binding->mode == TVI_PLAN_BINDING_INPUT ? "input" : "output"));
    key_text(j, "dtype", tvi_sv(tvi_dtype_name(tensor->dtype)));
    key_exprs(j, "shape", tensor->dims, tensor->rank);
    key_u64(j, "alignment", binding->alignment);
    key_index(j, "alias", binding->alias);
    key_index(j, "tensor", binding->tensor);
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

static void print_profiles(json_t* j) {
  key_open(j, "profiles", '[');
  for (uint32_t i = 0; i < j->plan->profile_count; ++i) {
    const int64_t* dims = j->plan->profiles[i].dims;
    open_element(j, '[');
    for (uint32_t b = 0; b < j->plan->binding_count; ++b) {
      const tvi_plan_binding_t* binding = &j->plan->bindings[b];
      if (binding->mode != TVI_PLAN_BINDING_INPUT) continue;
      uint32_t rank = j->plan->programs[0].tensors[binding->tensor].rank;
      open_record(j);
      key_text(j, "input", binding->name);
      key_dims(j, "min", dims, rank);
      key_dims(j, "opt", dims + TRIVET_MAX_RANK, rank);
      key_dims(j, "max", dims + (size_t)2 * TRIVET_MAX_RANK, rank);
      close_bracket(j, '}');
      dims += (size_t)3 * TRIVET_MAX_RANK;
    }
    close_bracket(j, ']');
  }
  close_bracket(j, ']');
}

static void print_constants(json_t* j) {
  key_open(j, "constants", '[');
  for (uint32_t i = 0; i < j->plan->constant_count; ++i) {
    const tvi_plan_constant_t* constant = &j->plan->constants[i];
    char hash[TVI_HASH128_TEXT_SIZE];
    tvi_hash128_format((tvi_hash128_t){constant->hash[0], constant->hash[1]}, hash);
    open_record(j);
    key_text(j, "name", constant->name);
    key_text(j, "dtype", tvi_sv(tvi_dtype_name(constant->dtype)));
    key_dims(j, "shape", constant->dims, constant->rank);
    key_u64(j, "offset", constant->offset);
    key_u64(j, "size", constant->size);
    key_text(j, "hash", tvi_sv(hash));
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

static void print_plugins(json_t* j) {
  key_open(j, "plugins", '[');
  for (uint32_t i = 0; i < j->plan->plugin_count; ++i) {
    open_record(j);
    key_text(j, "name", j->plan->plugins[i].name);
    key_text(j, "version", j->plan->plugins[i].version);
    if (j->plan->plugins[i].library_size != 0) {
      char digest[TVI_SHA256_TEXT_SIZE];
      tvi_sha256_text(j->plan->plugins[i].library, j->plan->plugins[i].library_size, digest);
      key_text(j, "carried_sha256", tvi_sv(digest));
    }
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

// --- Programs ------------------------------------------------------------------------------------

static void print_buffers(json_t* j, const tvi_plan_program_t* program) {
  static const char* const kKinds[] = {"arena", "binding", "constant"};
  key_open(j, "buffers", '[');
  for (uint32_t i = 0; i < program->buffer_count; ++i) {
    const tvi_plan_buffer_t* buffer = &program->buffers[i];
    bool is_arena = buffer->kind == TVI_PLAN_BUFFER_ARENA;
    open_record(j);
    key_text(j, "kind", tvi_sv(kKinds[buffer->kind]));
    key_index(j, "index", is_arena ? TVI_PLAN_NONE : buffer->index);
    key_expr(j, "size", buffer->size);
    key_u64(j, "alignment", buffer->alignment);
    key_index(j, "first_step", is_arena ? buffer->first_step : TVI_PLAN_NONE);
    key_index(j, "last_step", is_arena ? buffer->last_step : TVI_PLAN_NONE);
    key_text(j, "memory", tvi_sv(buffer->memory == TRIVET_MEMORY_DEVICE ? "device" : "host"));
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

static void print_tensors(json_t* j, const tvi_plan_program_t* program) {
  key_open(j, "tensors", '[');
  for (uint32_t i = 0; i < program->tensor_count; ++i) {
    const tvi_plan_tensor_t* tensor = &program->tensors[i];
    open_record(j);
    key_text(j, "name", tensor->name);
    key_text(j, "dtype", tvi_sv(tvi_dtype_name(tensor->dtype)));
    key_exprs(j, "shape", tensor->dims, tensor->rank);
    key_exprs(j, "strides", tensor->strides, tensor->rank);
    key_index(j, "buffer", tensor->buffer);
    key_expr(j, "offset", tensor->offset);
    key_bool(j, "observed", (tensor->flags & TVI_PLAN_TENSOR_OBSERVED) != 0);
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

static void print_alternative(json_t* j, const tvi_plan_program_t* program,
                              const tvi_plan_alternative_t* a) {
  open_record(j);
  key_text(j, "kernel", a->kernel);
  key_u64(j, "kernel_version", a->kernel_version);
  key_text(j, "tactic", a->tactic);
  key_guards(j, "guards", a->guards, a->guard_count);
  key_open(j, "requirements", '[');
  for (uint32_t i = 0; i < a->requirement_count; ++i) {
    separate(j);
    tvi_string_builder_append_json(j->builder, a->requirements[i]);
  }
  close_bracket(j, ']');
  key_open(j, "operands", '[');
  for (uint32_t i = 0; i < a->operand_count; ++i) {
    bool is_output = i >= a->operand_count - a->output_count;
    open_record(j);
    key_text(j, "role", tvi_sv(is_output ? "output" : "input"));
    key_index(j, "tensor", a->operands[i]);
    if (a->operands[i] != TVI_PLAN_NONE) {
      const tvi_plan_tensor_t* tensor = &program->tensors[a->operands[i]];
      key_text(j, "name", tensor->name);
      key_text(j, "dtype", tvi_sv(tvi_dtype_name(tensor->dtype)));
      key_exprs(j, "shape", tensor->dims, tensor->rank);
    }
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
  key_exprs(j, "parameters", a->parameters, a->parameter_count);
  key_u64(j, "blob_size", a->blob_size);
  close_bracket(j, '}');
}

static void print_layers(json_t* j, const tvi_plan_program_t* program) {
  key_open(j, "layers", '[');
  for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) {
    const tvi_plan_step_t* step = &program->blocks[0].steps[s];
    const char* kind = tvi_plan_step_kind_name(step->kind);
    open_element(j, '{');
    key_text(j, "name", step->name);
    key_text(j, "kind", tvi_sv(kind != NULL ? kind : "?"));
    key_text(j, "made_by", step->made_by);
    key_u64(j, "queue", step->queue);
    key_open(j, "waits", '[');
    for (uint32_t i = 0; i < step->wait_count; ++i) {
      separate(j);
      tvi_string_builder_appendf(j->builder, "%u", step->waits[i]);
    }
    close_bracket(j, ']');
    key_open(j, "binds", '[');
    for (uint32_t i = 0; i < step->bound_symbol_count; ++i) {
      const tvi_plan_bound_symbol_t* bound = &step->bound_symbols[i];
      open_record(j);
      key_text(j, "symbol", j->plan->symbols[bound->symbol].name);
      key_u64(j, "output", bound->output);
      key_u64(j, "axis", bound->axis);
      close_bracket(j, '}');
    }
    close_bracket(j, ']');
    key_open(j, "alternatives", '[');
    for (uint32_t i = 0; i < step->alternative_count; ++i) {
      print_alternative(j, program, &step->alternatives[i]);
    }
    close_bracket(j, ']');
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
}

trivet_status_t tvi_plan_print_json(const tvi_plan_t* plan, tvi_string_builder_t* builder) {
  json_t json = {builder, plan, 0, 0, true};
  json_t* j = &json;
  open_bracket(j, '{');
  key_u64(j, "format_major", TVI_PLAN_MAJOR);
  key_text(j, "name", plan->name);
  key_text(j, "build_info", plan->build_info);
  print_symbols(j);
  print_bindings(j);
  print_profiles(j);
  print_plugins(j);
  key_u64(j, "weights_size", plan->weights_size);
  print_constants(j);
  key_open(j, "programs", '[');
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    const tvi_plan_program_t* program = &plan->programs[p];
    open_element(j, '{');
    key_text(j, "target", program->target);
    key_u64(j, "arena_size", program->arena_size);
    key_u64(j, "arena_lower_bound", program->arena_lower_bound);
    tvi_plan_moves_t moves;
    TRIVET_RETURN_IF_ERROR(tvi_plan_count_moves(plan, program, builder->allocator, &moves));
    key_u64(j, "reformats", moves.reformat_count);
    key_u64(j, "reformat_bytes", moves.reformat_bytes);
    key_u64(j, "casts", moves.cast_count);
    key_u64(j, "cast_bytes", moves.cast_bytes);
    key_guards(j, "checks", program->checks, program->check_count);
    print_buffers(j, program);
    print_tensors(j, program);
    print_layers(j, program);
    close_bracket(j, '}');
  }
  close_bracket(j, ']');
  close_bracket(j, '}');
  tvi_string_builder_append_char(builder, '\n');
  return tvi_string_builder_status(builder);
}
