// SPDX-License-Identifier: Apache-2.0
//
// The records of a plan file, each described once for both directions: a plan's arrays become the
// bytes of a section and back. It checks only what decoding itself needs (counts, ranks, numbers of
// texts and blobs); what the numbers mean is plan_verify.c's business.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/plan/plan_format.h"

typedef tvi_plan_codec_t codec_t;

static trivet_status_t code_u32(codec_t* c, uint32_t* value) {
  if (c->decoding) return tvi_byte_reader_u32(&c->reader, value);
  tvi_byte_writer_u32(c->writer, *value);
  return TRIVET_OK;
}

static trivet_status_t code_u64(codec_t* c, uint64_t* value) {
  if (c->decoding) return tvi_byte_reader_u64(&c->reader, value);
  tvi_byte_writer_u64(c->writer, *value);
  return TRIVET_OK;
}

static trivet_status_t code_i64(codec_t* c, int64_t* value) {
  if (c->decoding) return tvi_byte_reader_i64(&c->reader, value);
  tvi_byte_writer_i64(c->writer, *value);
  return TRIVET_OK;
}

// A number into a table of runs of bytes; the writer numbers contents in the order of first use.
static trivet_status_t code_run(codec_t* c, tvi_map_t* numbers, const trivet_string_view_t* table,
                                uint32_t table_count, const char* what, trivet_string_view_t* run) {
  uint32_t number = 0;
  if (!c->decoding) {
    // A key must have an address even when it is empty.
    trivet_string_view_t key = run->size != 0 ? *run : TRIVET_SV("");
    uint64_t known = 0;
    if (tvi_map_count(numbers) >= TVI_PLAN_NONE) {
      return TRIVET_STATUS(OUT_OF_RANGE, "plan: too many %ss", what);
    }
    TRIVET_RETURN_IF_ERROR(
        tvi_map_insert(numbers, key, (uint64_t)tvi_map_count(numbers), &known, NULL));
    tvi_byte_writer_u32(c->writer, (uint32_t)known);
    return TRIVET_OK;
  }
  size_t offset = c->reader.offset;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&c->reader, &number));
  if (number >= table_count) {
    return TRIVET_STATUS(DATA_LOSS, "%s: %s %u of %u at offset %zu", c->reader.name, what, number,
                         table_count, offset);
  }
  *run = table[number];
  return TRIVET_OK;
}

static trivet_status_t code_text(codec_t* c, trivet_string_view_t* text) {
  return code_run(c, c->string_numbers, c->strings, c->string_count, "string", text);
}

static trivet_status_t code_blob(codec_t* c, const uint8_t** blob, uint64_t* size) {
  trivet_string_view_t run = {(const char*)*blob, (size_t)*size};
  TRIVET_RETURN_IF_ERROR(code_run(c, c->blob_numbers, c->blobs, c->blob_count, "blob", &run));
  if (c->decoding) {
    *blob = (const uint8_t*)run.data;
    *size = run.size;
  }
  return TRIVET_OK;
}

typedef trivet_status_t (*code_element_t)(codec_t* c, void* element);

// A count and that many elements. |array_address| points to the pointer to the elements; |least| is
// the least number of bytes of one, which bounds what a hostile count can allocate.
static trivet_status_t code_array(codec_t* c, uint32_t* count, const void* array_address,
                                  size_t element_size, size_t least, code_element_t code) {
  char* elements = NULL;
  uint32_t number = *count;
  if (c->decoding) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(&c->reader, least, &number));
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(c->arena, number, element_size, &elements));
    memcpy((void*)(uintptr_t)array_address, &elements, sizeof(elements));
    *count = number;
  } else {
    memcpy(&elements, array_address, sizeof(elements));
    tvi_byte_writer_u32(c->writer, number);
  }
  for (uint32_t i = 0; i < number; ++i) {
    TRIVET_RETURN_IF_ERROR(code(c, elements + (size_t)i * element_size));
  }
  return TRIVET_OK;
}
#define CODE_ARRAY(c, count, array, least, code) \
  code_array((c), &(count), &(array), sizeof(*(array)), (least), (code))

static trivet_status_t code_rank(codec_t* c, uint32_t* rank) {
  size_t offset = c->reader.offset;
  TRIVET_RETURN_IF_ERROR(code_u32(c, rank));
  if (*rank <= TRIVET_MAX_RANK) return TRIVET_OK;
  if (!c->decoding) return TRIVET_STATUS(INVALID_ARGUMENT, "plan: rank %u", *rank);
  return TRIVET_STATUS(DATA_LOSS, "%s: rank %u at offset %zu", c->reader.name, *rank, offset);
}

static trivet_status_t code_index(codec_t* c, void* element) { return code_u32(c, element); }
static trivet_status_t code_text_element(codec_t* c, void* element) {
  return code_text(c, element);
}

static trivet_status_t code_symbol(codec_t* c, void* element) {
  tvi_plan_symbol_t* symbol = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &symbol->name));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &symbol->origin));
  TRIVET_RETURN_IF_ERROR(code_i64(c, &symbol->min));
  TRIVET_RETURN_IF_ERROR(code_i64(c, &symbol->max));
  return code_i64(c, &symbol->divisor);
}

static trivet_status_t code_expr(codec_t* c, void* element) {
  tvi_plan_expr_code_t* expr = element;
  uint32_t size = 0;
  if (!c->decoding) {
    if (!tvi_checked_u64_to_u32(expr->size, &size)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "plan: an expression of %llu bytes",
                           (unsigned long long)expr->size);
    }
    tvi_byte_writer_u32(c->writer, size);
    tvi_byte_writer_bytes(c->writer, expr->code, size);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&c->reader, &size));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&c->reader, size, &expr->code));
  expr->size = size;
  return TRIVET_OK;
}

static trivet_status_t code_constant(codec_t* c, void* element) {
  tvi_plan_constant_t* constant = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &constant->name));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &constant->dtype));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &constant->offset));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &constant->size));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &constant->hash[0]));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &constant->hash[1]));
  TRIVET_RETURN_IF_ERROR(code_rank(c, &constant->rank));
  for (uint32_t d = 0; d < constant->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(code_i64(c, &constant->dims[d]));
  }
  return TRIVET_OK;
}

static trivet_status_t code_binding(codec_t* c, void* element) {
  tvi_plan_binding_t* binding = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &binding->name));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &binding->mode));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &binding->tensor));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &binding->alignment));
  return code_u32(c, &binding->alias);
}

static trivet_status_t code_profile_input(codec_t* c, void* element) {
  int64_t* dims = element;
  for (uint32_t i = 0; i < 3 * TRIVET_MAX_RANK; ++i) {
    TRIVET_RETURN_IF_ERROR(code_i64(c, &dims[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t code_profile(codec_t* c, void* element) {
  tvi_plan_profile_t* profile = element;
  const size_t size = 3 * TRIVET_MAX_RANK * sizeof(int64_t);
  return code_array(c, &profile->binding_count, &profile->dims, size, size, code_profile_input);
}

static trivet_status_t code_plugin(codec_t* c, void* element) {
  tvi_plan_plugin_t* plugin = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &plugin->name));
  return code_text(c, &plugin->version);
}

static trivet_status_t code_guard(codec_t* c, void* element) {
  tvi_plan_guard_t* guard = element;
  TRIVET_RETURN_IF_ERROR(code_u32(c, &guard->kind));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &guard->a));
  return code_u32(c, &guard->b);
}

static trivet_status_t code_alternative(codec_t* c, void* element) {
  tvi_plan_alternative_t* a = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &a->kernel));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &a->kernel_version));
  TRIVET_RETURN_IF_ERROR(code_text(c, &a->tactic));
  TRIVET_RETURN_IF_ERROR(code_blob(c, &a->blob, &a->blob_size));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &a->output_count));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, a->guard_count, a->guards, 12, code_guard));
  TRIVET_RETURN_IF_ERROR(
      CODE_ARRAY(c, a->requirement_count, a->requirements, 4, code_text_element));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, a->operand_count, a->operands, 4, code_index));
  return CODE_ARRAY(c, a->parameter_count, a->parameters, 4, code_index);
}

static trivet_status_t code_bound_symbol(codec_t* c, void* element) {
  tvi_plan_bound_symbol_t* bound = element;
  TRIVET_RETURN_IF_ERROR(code_u32(c, &bound->symbol));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &bound->output));
  return code_u32(c, &bound->axis);
}

static trivet_status_t code_step(codec_t* c, void* element) {
  tvi_plan_step_t* s = element;
  TRIVET_RETURN_IF_ERROR(code_u32(c, &s->kind));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &s->queue));
  TRIVET_RETURN_IF_ERROR(code_text(c, &s->name));
  TRIVET_RETURN_IF_ERROR(code_text(c, &s->made_by));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, s->wait_count, s->waits, 4, code_index));
  TRIVET_RETURN_IF_ERROR(
      CODE_ARRAY(c, s->bound_symbol_count, s->bound_symbols, 12, code_bound_symbol));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, s->block_count, s->blocks, 4, code_index));
  return CODE_ARRAY(c, s->alternative_count, s->alternatives, 36, code_alternative);
}

static trivet_status_t code_block(codec_t* c, void* element) {
  tvi_plan_block_t* block = element;
  return CODE_ARRAY(c, block->step_count, block->steps, 32, code_step);
}

static trivet_status_t code_buffer(codec_t* c, void* element) {
  tvi_plan_buffer_t* buffer = element;
  TRIVET_RETURN_IF_ERROR(code_u32(c, &buffer->kind));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &buffer->index));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &buffer->size));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &buffer->alignment));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &buffer->first_step));
  return code_u32(c, &buffer->last_step);
}

static trivet_status_t code_tensor(codec_t* c, void* element) {
  tvi_plan_tensor_t* tensor = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &tensor->name));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->dtype));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->buffer));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->flags));
  TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->offset));
  TRIVET_RETURN_IF_ERROR(code_rank(c, &tensor->rank));
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->dims[d]));
    TRIVET_RETURN_IF_ERROR(code_u32(c, &tensor->strides[d]));
  }
  return TRIVET_OK;
}

static trivet_status_t code_program(codec_t* c, void* element) {
  tvi_plan_program_t* program = element;
  TRIVET_RETURN_IF_ERROR(code_text(c, &program->target));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &program->arena_size));
  TRIVET_RETURN_IF_ERROR(code_u64(c, &program->arena_lower_bound));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, program->buffer_count, program->buffers, 24, code_buffer));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, program->tensor_count, program->tensors, 24, code_tensor));
  TRIVET_RETURN_IF_ERROR(CODE_ARRAY(c, program->check_count, program->checks, 12, code_guard));
  return CODE_ARRAY(c, program->block_count, program->blocks, 4, code_block);
}

bool tvi_plan_program_has_device_memory(const tvi_plan_program_t* program) {
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    if (program->buffers[b].memory == TRIVET_MEMORY_DEVICE) return true;
  }
  return false;
}

static trivet_status_t code_known_count(codec_t* c, uint32_t known, const char* what) {
  uint32_t count = known;
  size_t offset = c->reader.offset;
  TRIVET_RETURN_IF_ERROR(code_u32(c, &count));
  if (count == known) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%s: %u %s at offset %zu, but there are %u", c->reader.name,
                       count, what, offset, known);
}

// The buffers were made by the section of programs; what is read here is added to them.
static trivet_status_t code_memories(codec_t* c, tvi_plan_t* plan) {
  TRIVET_RETURN_IF_ERROR(code_known_count(c, plan->program_count, "programs"));
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    const tvi_plan_program_t* program = &plan->programs[p];
    TRIVET_RETURN_IF_ERROR(code_known_count(c, program->buffer_count, "buffers"));
    for (uint32_t b = 0; b < program->buffer_count; ++b) {
      uint32_t memory = program->buffers[b].memory;
      TRIVET_RETURN_IF_ERROR(code_u32(c, &memory));
      if (c->decoding) ((tvi_plan_buffer_t*)(uintptr_t)program->buffers)[b].memory = memory;
    }
  }
  return TRIVET_OK;
}

// Like the memories: a blob for every plugin that is known by now, empty where none is carried.
static trivet_status_t code_carried(codec_t* c, tvi_plan_t* plan) {
  TRIVET_RETURN_IF_ERROR(code_known_count(c, plan->plugin_count, "plugins"));
  for (uint32_t i = 0; i < plan->plugin_count; ++i) {
    tvi_plan_plugin_t plugin = plan->plugins[i];
    TRIVET_RETURN_IF_ERROR(code_blob(c, &plugin.library, &plugin.library_size));
    if (!c->decoding) continue;
    if (plugin.library_size == 0) plugin.library = NULL;
    ((tvi_plan_plugin_t*)(uintptr_t)plan->plugins)[i] = plugin;
  }
  return TRIVET_OK;
}

// Like the memories, for the steps of main blocks.
static trivet_status_t code_costs(codec_t* c, tvi_plan_t* plan) {
  TRIVET_RETURN_IF_ERROR(code_known_count(c, plan->program_count, "programs"));
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    const tvi_plan_program_t* program = &plan->programs[p];
    const uint32_t count = program->block_count ? program->blocks[0].step_count : 0;
    TRIVET_RETURN_IF_ERROR(code_known_count(c, count, "steps"));
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t flops = program->blocks[0].steps[i].flops;
      TRIVET_RETURN_IF_ERROR(code_u32(c, &flops));
      if (c->decoding) ((tvi_plan_step_t*)(uintptr_t)program->blocks[0].steps)[i].flops = flops;
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_plan_code_section(tvi_plan_codec_t* c, uint32_t type, tvi_plan_t* plan) {
  switch (type) {
    case TVI_PLAN_SECTION_INFO:
      TRIVET_RETURN_IF_ERROR(code_text(c, &plan->name));
      return code_text(c, &plan->build_info);
    case TVI_PLAN_SECTION_SYMBOLS:
      return CODE_ARRAY(c, plan->symbol_count, plan->symbols, 32, code_symbol);
    case TVI_PLAN_SECTION_EXPRESSIONS:
      return CODE_ARRAY(c, plan->expr_count, plan->exprs, 4, code_expr);
    case TVI_PLAN_SECTION_CONSTANTS:
      return CODE_ARRAY(c, plan->constant_count, plan->constants, 44, code_constant);
    case TVI_PLAN_SECTION_BINDINGS:
      return CODE_ARRAY(c, plan->binding_count, plan->bindings, 20, code_binding);
    case TVI_PLAN_SECTION_PROFILES:
      return CODE_ARRAY(c, plan->profile_count, plan->profiles, 4, code_profile);
    case TVI_PLAN_SECTION_PLUGINS:
      return CODE_ARRAY(c, plan->plugin_count, plan->plugins, 8, code_plugin);
    case TVI_PLAN_SECTION_PROGRAMS:
      return CODE_ARRAY(c, plan->program_count, plan->programs, 36, code_program);
    case TVI_PLAN_SECTION_MEMORIES:
      return code_memories(c, plan);
    case TVI_PLAN_SECTION_CARRIED:
      return code_carried(c, plan);
    case TVI_PLAN_SECTION_COSTS:
      return code_costs(c, plan);
    default:
      return TRIVET_STATUS(INTERNAL, "plan: section type %u has no records", type);
  }
}

const char* tvi_plan_section_name(uint32_t type) {
  static const char* const kNames[] = {
      "unknown", "strings",  "info",  "symbols", "expressions", "constants", "bindings", "profiles",
      "plugins", "programs", "blobs", "weights", "memories",    "carried",   "costs"};
  return kNames[type <= TVI_PLAN_SECTION_COUNT ? type : 0];
}

const char* tvi_plan_step_kind_name(uint32_t kind) {
  static const char* const kNames[] = {"LAUNCH", "HOST", "COPY", "BIND", "IF", "LOOP"};
  return kind < sizeof(kNames) / sizeof(kNames[0]) ? kNames[kind] : NULL;
}
