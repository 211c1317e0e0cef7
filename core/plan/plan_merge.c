// SPDX-License-Identifier: Apache-2.0
//
// Merging plans: symbols by name, expressions and constants by content, bindings by name get one
// number each; programs are copied with the new numbers. The bindings' tensors become the first of
// every program, which is how they have the same numbers in all.
#include "core/plan/plan_merge.h"

#include <string.h>

#include "core/base/byte_writer.h"
#include "core/base/map.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/base/vector.h"
#include "core/dimension/dim_code.h"

typedef struct merge_s {
  tvi_arena_t* arena;
  const tvi_plan_t* const* sources;
  uint32_t count;
  tvi_map_t exprs_by_code, constants_by_content, symbols_by_name;
  TVI_VECTOR(tvi_plan_symbol_t) symbols;
  TVI_VECTOR(tvi_plan_expr_code_t) exprs;
  TVI_VECTOR(tvi_plan_constant_t) constants;
  TVI_VECTOR(uint32_t) origins;  // of constants: source and number there
  TVI_VECTOR(tvi_plan_plugin_t) plugins;
  // Of the source at hand: by its numbers, the new ones.
  uint32_t *symbol_of, *expr_of, *constant_of, *binding_of;
} merge_t;

static trivet_status_t numbers(merge_t* m, uint32_t count, uint32_t** out_numbers) {
  return tvi_arena_alloc_array_zeroed(m->arena, (size_t)count + 1, sizeof(uint32_t), out_numbers);
}

#define COPY(m, from, count, out) \
  tvi_arena_copy((m)->arena, from, (size_t)(count) * sizeof(*(from)), (void**)(out))

// --- What the programs share ---------------------------------------------------------------------

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Sizes that data decides have names, too, and may mean something else in each program: nobody sees
// those of another one. A range that holds for all is a range for each.
static trivet_status_t merge_symbols(merge_t* m, const tvi_plan_t* from) {
  TRIVET_RETURN_IF_ERROR(numbers(m, from->symbol_count, &m->symbol_of));
  for (uint32_t i = 0; i < from->symbol_count; ++i) {
    const tvi_plan_symbol_t* symbol = &from->symbols[i];
    uint64_t at = m->symbols.count;
    bool is_new = false;
    TRIVET_RETURN_IF_ERROR(tvi_map_insert(&m->symbols_by_name, symbol->name, at, &at, &is_new));
    m->symbol_of[i] = (uint32_t)at;
    if (is_new) {
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&m->symbols, *symbol));
      continue;
    }
    tvi_plan_symbol_t* known = &m->symbols.data[at];
    if (known->origin != symbol->origin) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "symbol '" TVI_SV_FORMAT
                           "' is the size of an input in one, of a "
                           "computed value in another",
                           TVI_SV_ARGS(symbol->name));
    }
    if (symbol->min < known->min) known->min = symbol->min;
    if (symbol->max > known->max) known->max = symbol->max;
    known->divisor = common_divisor(known->divisor, symbol->divisor);
  }
  return TRIVET_OK;
}

static trivet_status_t add_expr(merge_t* m, const tvi_plan_expr_code_t* from,
                                tvi_byte_writer_t* writer, uint32_t* out_number) {
  size_t cursor = 0;
  while (cursor < from->size) {
    size_t begin = cursor;
    uint8_t op = 0;
    int64_t operand = 0;
    if (!tvi_dim_code_next(from->code, (size_t)from->size, &cursor, &op, &operand)) break;
    if (op == TVI_DIM_CODE_SYMBOL) {
      tvi_byte_writer_u8(writer, op);
      tvi_byte_writer_varint(writer, m->symbol_of[operand]);
    } else {
      tvi_byte_writer_bytes(writer, from->code + begin, cursor - begin);
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(writer));
  trivet_string_view_t code = tvi_string_builder_view(&writer->bytes);
  uint64_t at = m->exprs.count;
  bool is_new = false;
  TRIVET_RETURN_IF_ERROR(tvi_map_insert(&m->exprs_by_code, code, at, &at, &is_new));
  *out_number = (uint32_t)at;
  if (!is_new) return TRIVET_OK;
  tvi_plan_expr_code_t made = {NULL, code.size};
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(m->arena, code.data, code.size, (void**)&made.code));
  return tvi_vector_push(&m->exprs, made);
}

static trivet_status_t merge_exprs(merge_t* m, const tvi_plan_t* from) {
  TRIVET_RETURN_IF_ERROR(numbers(m, from->expr_count, &m->expr_of));
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, m->symbols.allocator);
  trivet_status_t status = TRIVET_OK;
  for (uint32_t i = 0; i < from->expr_count && status == NULL; ++i) {
    tvi_byte_writer_clear(&writer);
    status = add_expr(m, &from->exprs[i], &writer, &m->expr_of[i]);
  }
  tvi_byte_writer_deinit(&writer);
  return status;
}

static trivet_status_t merge_constants(merge_t* m, uint32_t source) {
  const tvi_plan_t* from = m->sources[source];
  TRIVET_RETURN_IF_ERROR(numbers(m, from->constant_count, &m->constant_of));
  for (uint32_t i = 0; i < from->constant_count; ++i) {
    const tvi_plan_constant_t* constant = &from->constants[i];
    struct {
      uint64_t hash[2], size, type;
      int64_t dims[TRIVET_MAX_RANK];
    } content;
    memset(&content, 0, sizeof(content));
    memcpy(content.hash, constant->hash, sizeof(content.hash));
    memcpy(content.dims, constant->dims, constant->rank * sizeof(constant->dims[0]));
    content.size = constant->size;
    content.type = (uint64_t)constant->dtype << 32 | constant->rank;
    trivet_string_view_t key = {(const char*)&content, sizeof(content)};
    uint64_t at = m->constants.count;
    bool is_new = false;
    TRIVET_RETURN_IF_ERROR(tvi_map_insert(&m->constants_by_content, key, at, &at, &is_new));
    m->constant_of[i] = (uint32_t)at;
    if (is_new) {
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&m->constants, *constant));
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&m->origins, source));
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&m->origins, i));
      continue;
    }
    const tvi_plan_t* other = m->sources[m->origins.data[2 * at]];
    const tvi_plan_constant_t* equal = &other->constants[m->origins.data[2 * at + 1]];
    if (constant->size != 0 && memcmp(other->weights + equal->offset,
                                      from->weights + constant->offset, constant->size) != 0) {
      return TRIVET_STATUS(DATA_LOSS, "constant %u has the hash of another content", i);
    }
    if (m->constants.data[at].name.size == 0) m->constants.data[at].name = constant->name;
  }
  return TRIVET_OK;
}

static trivet_status_t merge_plugins(merge_t* m, const tvi_plan_t* from) {
  for (uint32_t i = 0; i < from->plugin_count; ++i) {
    const tvi_plan_plugin_t* plugin = &from->plugins[i];
    size_t at = 0;
    while (at < m->plugins.count && !tvi_sv_equal(m->plugins.data[at].name, plugin->name)) ++at;
    if (at == m->plugins.count) {
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&m->plugins, *plugin));
      continue;
    }
    tvi_plan_plugin_t* known = &m->plugins.data[at];
    if (!tvi_sv_equal(known->version, plugin->version)) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "plugin '" TVI_SV_FORMAT "' is of version " TVI_SV_FORMAT
                           " in one, of " TVI_SV_FORMAT " in another",
                           TVI_SV_ARGS(plugin->name), TVI_SV_ARGS(known->version),
                           TVI_SV_ARGS(plugin->version));
    }
    if (known->library == NULL) *known = *plugin;
  }
  return TRIVET_OK;
}

static const char* mode_name(uint32_t mode) {
  return mode == TVI_PLAN_BINDING_INPUT ? "input" : "output";
}

// Inputs and outputs are those of the first source, by name.
static trivet_status_t match_bindings(merge_t* m, const tvi_plan_t* from, tvi_plan_t* plan,
                                      tvi_plan_binding_t* bindings) {
  TRIVET_RETURN_IF_ERROR(numbers(m, from->binding_count, &m->binding_of));
  for (uint32_t i = 0; i < from->binding_count; ++i) {
    const tvi_plan_binding_t* binding = &from->bindings[i];
    uint32_t at = 0;
    while (at < plan->binding_count && (bindings[at].mode != binding->mode ||
                                        !tvi_sv_equal(bindings[at].name, binding->name))) {
      ++at;
    }
    if (at == plan->binding_count || from->binding_count != plan->binding_count) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "%u inputs and outputs, %s '" TVI_SV_FORMAT
                           "' among them, where the "
                           "first plan has %u%s",
                           from->binding_count, mode_name(binding->mode),
                           TVI_SV_ARGS(binding->name), plan->binding_count,
                           at == plan->binding_count ? " and not that one" : "");
    }
    // Profiles list the inputs in their order.
    if (at != i) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "inputs and outputs stand in another order");
    }
    m->binding_of[i] = at;
    if (binding->alignment > bindings[at].alignment) bindings[at].alignment = binding->alignment;
    if (binding->alias != bindings[at].alias) bindings[at].alias = TVI_PLAN_NONE;
  }
  return TRIVET_OK;
}

static trivet_status_t match_profiles(const tvi_plan_t* from, const tvi_plan_t* plan) {
  bool equal = from->profile_count == plan->profile_count;
  for (uint32_t p = 0; p < plan->profile_count && equal; ++p) {
    const tvi_plan_profile_t *a = &from->profiles[p], *b = &plan->profiles[p];
    size_t size = (size_t)b->binding_count * 3 * TRIVET_MAX_RANK * sizeof(int64_t);
    equal = a->binding_count == b->binding_count && memcmp(a->dims, b->dims, size) == 0;
  }
  if (equal) return TRIVET_OK;
  return TRIVET_STATUS(INVALID_ARGUMENT, "its profiles are not those of the first plan");
}

// --- Programs ------------------------------------------------------------------------------------

static trivet_status_t copy_guards(merge_t* m, const tvi_plan_guard_t* from, uint32_t count,
                                   const tvi_plan_guard_t** out_guards) {
  tvi_plan_guard_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(COPY(m, from, count, &made));
  for (uint32_t i = 0; i < count; ++i) {
    made[i].a = m->expr_of[made[i].a];
    made[i].b = m->expr_of[made[i].b];
  }
  *out_guards = made;
  return TRIVET_OK;
}

static trivet_status_t copy_alternative(merge_t* m, const uint32_t* tensor_of,
                                        tvi_plan_alternative_t* alternative) {
  uint32_t* operands = NULL;
  tvi_plan_expr_t* parameters = NULL;
  TRIVET_RETURN_IF_ERROR(COPY(m, alternative->operands, alternative->operand_count, &operands));
  TRIVET_RETURN_IF_ERROR(
      COPY(m, alternative->parameters, alternative->parameter_count, &parameters));
  for (uint32_t i = 0; i < alternative->operand_count; ++i) {
    if (operands[i] != TVI_PLAN_NONE) operands[i] = tensor_of[operands[i]];
  }
  for (uint32_t i = 0; i < alternative->parameter_count; ++i) {
    parameters[i] = m->expr_of[parameters[i]];
  }
  alternative->operands = operands;
  alternative->parameters = parameters;
  return copy_guards(m, alternative->guards, alternative->guard_count, &alternative->guards);
}

static trivet_status_t copy_step(merge_t* m, const uint32_t* tensor_of, tvi_plan_step_t* step) {
  tvi_plan_alternative_t* alternatives = NULL;
  tvi_plan_bound_symbol_t* bound = NULL;
  TRIVET_RETURN_IF_ERROR(COPY(m, step->alternatives, step->alternative_count, &alternatives));
  TRIVET_RETURN_IF_ERROR(COPY(m, step->bound_symbols, step->bound_symbol_count, &bound));
  for (uint32_t a = 0; a < step->alternative_count; ++a) {
    TRIVET_RETURN_IF_ERROR(copy_alternative(m, tensor_of, &alternatives[a]));
  }
  for (uint32_t i = 0; i < step->bound_symbol_count; ++i) {
    bound[i].symbol = m->symbol_of[bound[i].symbol];
  }
  step->alternatives = alternatives;
  step->bound_symbols = bound;
  if (step->flops != 0) step->flops = m->expr_of[step->flops - 1] + 1;
  return TRIVET_OK;
}

static trivet_status_t copy_blocks(merge_t* m, const uint32_t* tensor_of,
                                   tvi_plan_program_t* program) {
  tvi_plan_block_t* blocks = NULL;
  TRIVET_RETURN_IF_ERROR(COPY(m, program->blocks, program->block_count, &blocks));
  for (uint32_t b = 0; b < program->block_count; ++b) {
    tvi_plan_step_t* steps = NULL;
    TRIVET_RETURN_IF_ERROR(COPY(m, blocks[b].steps, blocks[b].step_count, &steps));
    for (uint32_t s = 0; s < blocks[b].step_count; ++s) {
      TRIVET_RETURN_IF_ERROR(copy_step(m, tensor_of, &steps[s]));
    }
    blocks[b].steps = steps;
  }
  program->blocks = blocks;
  return TRIVET_OK;
}

static trivet_status_t copy_buffers(merge_t* m, tvi_plan_program_t* program) {
  tvi_plan_buffer_t* buffers = NULL;
  TRIVET_RETURN_IF_ERROR(COPY(m, program->buffers, program->buffer_count, &buffers));
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    tvi_plan_buffer_t* buffer = &buffers[b];
    buffer->size = m->expr_of[buffer->size];
    if (buffer->kind == TVI_PLAN_BUFFER_BINDING) buffer->index = m->binding_of[buffer->index];
    if (buffer->kind == TVI_PLAN_BUFFER_CONSTANT) buffer->index = m->constant_of[buffer->index];
  }
  program->buffers = buffers;
  return TRIVET_OK;
}

// |out_tensor_of|: by number in the source; the bindings' tensors are the first.
static trivet_status_t copy_tensors(merge_t* m, const tvi_plan_t* from, tvi_plan_program_t* program,
                                    uint32_t** out_tensor_of) {
  uint32_t* tensor_of = NULL;
  tvi_plan_tensor_t* tensors = NULL;
  TRIVET_RETURN_IF_ERROR(numbers(m, program->tensor_count, &tensor_of));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(m->arena, (size_t)program->tensor_count + 1,
                                                      sizeof(*tensors), &tensors));
  memset(tensor_of, 0xff, program->tensor_count * sizeof(*tensor_of));
  for (uint32_t i = 0; i < from->binding_count; ++i) {
    tensor_of[from->bindings[i].tensor] = m->binding_of[i];
  }
  uint32_t next = from->binding_count;
  for (uint32_t t = 0; t < program->tensor_count; ++t) {
    if (tensor_of[t] == TVI_PLAN_NONE) tensor_of[t] = next++;
    tvi_plan_tensor_t* made = &tensors[tensor_of[t]];
    *made = program->tensors[t];
    made->offset = m->expr_of[made->offset];
    for (uint32_t d = 0; d < made->rank; ++d) {
      made->dims[d] = m->expr_of[made->dims[d]];
      made->strides[d] = m->expr_of[made->strides[d]];
    }
  }
  program->tensors = tensors;
  *out_tensor_of = tensor_of;
  return TRIVET_OK;
}

static trivet_status_t copy_program(merge_t* m, const tvi_plan_t* from,
                                    tvi_plan_program_t* program) {
  uint32_t* tensor_of = NULL;
  TRIVET_RETURN_IF_ERROR(copy_buffers(m, program));
  TRIVET_RETURN_IF_ERROR(copy_tensors(m, from, program, &tensor_of));
  TRIVET_RETURN_IF_ERROR(copy_guards(m, program->checks, program->check_count, &program->checks));
  return copy_blocks(m, tensor_of, program);
}

static trivet_status_t check_target(const tvi_plan_t* plan, trivet_string_view_t target) {
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    if (!tvi_sv_equal(plan->programs[p].target, target)) continue;
    return TRIVET_STATUS(INVALID_ARGUMENT, "a program for target '" TVI_SV_FORMAT "' is there",
                         TVI_SV_ARGS(target));
  }
  if (plan->program_count < TVI_PLAN_MAX_PROGRAMS) return TRIVET_OK;
  return TRIVET_STATUS(OUT_OF_RANGE, "a plan holds at most %u programs", TVI_PLAN_MAX_PROGRAMS);
}

static trivet_status_t merge_source(merge_t* m, uint32_t source, tvi_plan_t* plan,
                                    tvi_plan_binding_t* bindings, tvi_plan_program_t* programs) {
  const tvi_plan_t* from = m->sources[source];
  TRIVET_RETURN_IF_ERROR(match_bindings(m, from, plan, bindings));
  TRIVET_RETURN_IF_ERROR(match_profiles(from, plan));
  TRIVET_RETURN_IF_ERROR(merge_symbols(m, from));
  TRIVET_RETURN_IF_ERROR(merge_exprs(m, from));
  TRIVET_RETURN_IF_ERROR(merge_constants(m, source));
  TRIVET_RETURN_IF_ERROR(merge_plugins(m, from));
  for (uint32_t p = 0; p < from->program_count; ++p) {
    TRIVET_RETURN_IF_ERROR(check_target(plan, from->programs[p].target));
    programs[plan->program_count] = from->programs[p];
    TRIVET_RETURN_IF_ERROR(copy_program(m, from, &programs[plan->program_count++]));
  }
  return TRIVET_OK;
}

// --- The whole -----------------------------------------------------------------------------------

static trivet_status_t write_weight(void* self, uint32_t index, trivet_sink_t sink) {
  const tvi_plan_merge_t* merge = (const tvi_plan_merge_t*)self;
  const tvi_plan_t* from = merge->sources[merge->constants[(size_t)2 * index]];
  const tvi_plan_constant_t* constant = &from->constants[merge->constants[(size_t)2 * index + 1]];
  return constant->size ? sink.write(sink.self, from->weights + constant->offset, constant->size)
                        : TRIVET_OK;
}

static trivet_status_t merge_all(merge_t* m, tvi_plan_t* plan) {
  const tvi_plan_t* first = m->sources[0];
  tvi_plan_binding_t* bindings = NULL;
  tvi_plan_program_t* programs = NULL;
  uint64_t program_count = 0;
  for (uint32_t s = 0; s < m->count; ++s) program_count += m->sources[s]->program_count;
  TRIVET_RETURN_IF_ERROR(COPY(m, first->bindings, first->binding_count, &bindings));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(m->arena, (size_t)program_count + 1,
                                                      sizeof(*programs), &programs));
  plan->program_count = 0;
  for (uint32_t s = 0; s < m->count; ++s) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(merge_source(m, s, plan, bindings, programs), "plan %u", s);
    plan->programs = programs;
  }
  for (uint32_t i = 0; i < plan->binding_count; ++i) bindings[i].tensor = i;
  plan->bindings = bindings;
  plan->symbol_count = (uint32_t)m->symbols.count;
  plan->expr_count = (uint32_t)m->exprs.count;
  plan->constant_count = (uint32_t)m->constants.count;
  plan->plugin_count = (uint32_t)m->plugins.count;
  TRIVET_RETURN_IF_ERROR(COPY(m, m->symbols.data, m->symbols.count, &plan->symbols));
  TRIVET_RETURN_IF_ERROR(COPY(m, m->exprs.data, m->exprs.count, &plan->exprs));
  TRIVET_RETURN_IF_ERROR(COPY(m, m->constants.data, m->constants.count, &plan->constants));
  return COPY(m, m->plugins.data, m->plugins.count, &plan->plugins);
}

trivet_status_t tvi_plan_merge(const tvi_plan_t* const* sources, uint32_t count, tvi_arena_t* arena,
                               tvi_plan_merge_t* out_merge) {
  if (count == 0) return TRIVET_STATUS(INVALID_ARGUMENT, "there is no plan to merge");
  merge_t m;
  memset(&m, 0, sizeof(m));
  m.arena = arena;
  m.sources = sources;
  m.count = count;
  tvi_map_init(&m.exprs_by_code, arena->allocator);
  tvi_map_init(&m.constants_by_content, arena->allocator);
  tvi_map_init(&m.symbols_by_name, arena->allocator);
  tvi_vector_init(&m.symbols, arena->allocator);
  tvi_vector_init(&m.exprs, arena->allocator);
  tvi_vector_init(&m.constants, arena->allocator);
  tvi_vector_init(&m.origins, arena->allocator);
  tvi_vector_init(&m.plugins, arena->allocator);
  tvi_plan_t plan = *sources[0];
  plan.arena = arena;
  uint32_t* origins = NULL;
  trivet_status_t status = merge_all(&m, &plan);
  if (status == NULL) status = COPY(&m, m.origins.data, m.origins.count, &origins);
  tvi_map_deinit(&m.exprs_by_code);
  tvi_map_deinit(&m.constants_by_content);
  tvi_map_deinit(&m.symbols_by_name);
  tvi_vector_deinit(&m.symbols);
  tvi_vector_deinit(&m.exprs);
  tvi_vector_deinit(&m.constants);
  tvi_vector_deinit(&m.origins);
  tvi_vector_deinit(&m.plugins);
  TRIVET_RETURN_IF_ERROR(status);
  out_merge->plan = plan;
  out_merge->sources = sources;
  out_merge->constants = origins;
  out_merge->weights.self = out_merge;
  out_merge->weights.write = write_weight;
  return TRIVET_OK;
}
