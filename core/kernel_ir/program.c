// SPDX-License-Identifier: Apache-2.0
//
// Programs as containers: values and stages added, copied, joined, dropped. What stages mean is
// left to fuse.c, which substitutes and simplifies.
#include "core/kernel_ir/program.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/fuse.h"

typedef tvi_kir_program_t program_t;
typedef tvi_kir_stage_t stage_t;

// Arrays of a program have room for the next power of two of their count.
static trivet_status_t grow(tvi_arena_t* arena, uint32_t count, size_t size, void** array) {
  if (count != 0 && (count < 4 || (count & (count - 1)) != 0)) return TRIVET_OK;
  void* more;
  uint32_t capacity = count == 0 ? 4 : count * 2;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, capacity, size, &more));
  if (count > 0) memcpy(more, *array, count * size);
  *array = more;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_program_create(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                       program_t** out_program) {
  program_t* program;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*program), &program));
  program->arena = arena;
  program->dims = dims;
  *out_program = program;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_program_add_value(program_t* program, const char* name,
                                          tvi_kir_value_kind_t kind, const trivet_type_t* type,
                                          uint32_t tag, uint32_t* out_value) {
  if (type->rank > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s' has rank %u", name, type->rank);
  }
  trivet_string_view_t copy;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(program->arena, tvi_sv(name != NULL ? name : ""), &copy));
  void* values = program->values;
  TRIVET_RETURN_IF_ERROR(
      grow(program->arena, program->value_count, sizeof(*program->values), &values));
  program->values = (tvi_kir_value_t*)values;
  tvi_kir_value_t* value = &program->values[program->value_count];
  memset(value, 0, sizeof(*value));
  value->name = copy.data;
  value->kind = kind;
  value->dtype = type->dtype;
  value->rank = type->rank;
  value->stage = TVI_KIR_NONE;
  value->tag = tag;
  memcpy(value->dims, type->dims, type->rank * sizeof(*type->dims));
  *out_value = program->value_count++;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_program_add_stage(program_t* program, const stage_t* stage) {
  void* stages = program->stages;
  TRIVET_RETURN_IF_ERROR(
      grow(program->arena, program->stage_count, sizeof(*program->stages), &stages));
  program->stages = (stage_t*)stages;
  program->stages[program->stage_count] = *stage;
  for (uint32_t i = 0; i < stage->result_count; ++i) {
    if (stage->values[i] != TVI_KIR_NONE) {
      program->values[stage->values[i]].stage = program->stage_count;
    }
  }
  ++program->stage_count;
  return TRIVET_OK;
}

// ---- Comparing ----

static bool same_load(const tvi_kir_load_t* a, const tvi_kir_load_t* b) {
  if (a->value != b->value || a->bounds != b->bounds || a->pad != b->pad ||
      a->index_count != b->index_count) {
    return false;
  }
  for (uint32_t i = 0; i < a->index_count; ++i) {
    if (a->indices[i] != b->indices[i]) return false;
    if ((a->wrap != NULL ? a->wrap[i] : 0) != (b->wrap != NULL ? b->wrap[i] : 0)) return false;
  }
  return true;
}

static bool same_body(const tvi_kir_instr_t* a, const tvi_kir_instr_t* b, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (a[i].opcode != b[i].opcode || a[i].dtype != b[i].dtype) return false;
    uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)a[i].opcode);
    if (memcmp(a[i].args, b[i].args, operands * sizeof(*a[i].args)) != 0) return false;
    if (a[i].opcode == TVI_KIR_DEVICE && a[i].imm.device != b[i].imm.device) return false;
    if (a[i].opcode == TVI_KIR_LOAD) {
      if (!same_load(a[i].imm.load, b[i].imm.load)) return false;
    } else if (operands == 0 && a[i].imm.i64 != b[i].imm.i64) {  // whichever member it is: the bits
      return false;
    }
  }
  return true;
}

static bool same_monoid(const tvi_kir_monoid_t* a, const tvi_kir_monoid_t* b) {
  if (a == b) return true;
  if (a == NULL || b == NULL || a->kind != b->kind || a->state_count != b->state_count)
    return false;
  if (memcmp(a->dtypes, b->dtypes, a->state_count * sizeof(*a->dtypes)) != 0) return false;
  if (a->kind != TVI_KIR_DECLARED) return true;
  return a->join_count == b->join_count &&
         memcmp(a->identity, b->identity, a->state_count * sizeof(*a->identity)) == 0 &&
         memcmp(a->join_results, b->join_results, a->state_count * sizeof(*a->join_results)) == 0 &&
         same_body(a->join, b->join, a->join_count);
}

bool tvi_kir_same_computation(const stage_t* a, const stage_t* b) {
  if (a->kind != b->kind || a->parallel_count != b->parallel_count ||
      a->reduced_count != b->reduced_count || a->scan_flags != b->scan_flags ||
      a->instr_count != b->instr_count || !same_monoid(a->monoid, b->monoid)) {
    return false;
  }
  uint32_t extents = a->parallel_count + a->reduced_count;
  return memcmp(a->extents, b->extents, extents * sizeof(*a->extents)) == 0 &&
         memcmp(a->results, b->results, tvi_kir_element_count(a) * sizeof(*a->results)) == 0 &&
         same_body(a->instrs, b->instrs, a->instr_count);
}

// ---- Copying ----

static trivet_status_t copy_body(tvi_arena_t* arena, const tvi_kir_instr_t* from, uint32_t count,
                                 const uint32_t* value_map, tvi_kir_instr_t** out_body) {
  tvi_kir_instr_t* body;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count, sizeof(*body), &body));
  if (count > 0) memcpy(body, from, count * sizeof(*body));
  for (uint32_t i = 0; i < count; ++i) {
    if (body[i].opcode != TVI_KIR_LOAD) continue;
    const tvi_kir_load_t* old = from[i].imm.load;
    tvi_kir_load_t* load;
    size_t index_bytes = old->index_count * sizeof(*old->indices);
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc(arena, sizeof(*load) + index_bytes + old->index_count, &load));
    *load = *old;
    load->value = value_map[old->value];
    load->indices = (tvi_kir_ref_t*)(void*)(load + 1);
    if (index_bytes > 0) memcpy(load->indices, old->indices, index_bytes);
    if (old->wrap != NULL) {
      load->wrap = (uint8_t*)(load->indices + old->index_count);
      memcpy(load->wrap, old->wrap, old->index_count);
    }
    body[i].imm.load = load;
  }
  *out_body = body;
  return TRIVET_OK;
}

static trivet_status_t copy_monoid(tvi_arena_t* arena, const tvi_kir_monoid_t* from,
                                   const tvi_kir_monoid_t** out_monoid) {
  tvi_kir_monoid_t* monoid;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(arena, sizeof(*monoid), &monoid));
  *monoid = *from;
  if (from->kind == TVI_KIR_DECLARED) {
    // Names of the others are constants of ours.
    trivet_string_view_t name;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, tvi_sv(from->name), &name));
    monoid->name = name.data;
    for (uint32_t i = 0; i < from->state_count; ++i) {
      TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, tvi_sv(from->state_names[i]), &name));
      monoid->state_names[i] = name.data;
    }
    TRIVET_RETURN_IF_ERROR(copy_body(arena, from->join, from->join_count, NULL, &monoid->join));
  }
  *out_monoid = monoid;
  return TRIVET_OK;
}

static bool reads_value(const stage_t* stage, uint32_t value) {
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    if (stage->instrs[i].opcode == TVI_KIR_LOAD && stage->instrs[i].imm.load->value == value) {
      return true;
    }
  }
  return false;
}

// Brings the stages into an order in which every value is defined before it is read, moving as
// little as possible.
static trivet_status_t sort_stages(program_t* program) {
  for (uint32_t at = 0; at < program->stage_count; ++at) {
    // The first stage from here on that waits for no later one.
    uint32_t found = program->stage_count;
    for (uint32_t s = at; s < program->stage_count && found == program->stage_count; ++s) {
      bool ready = true;
      for (uint32_t i = 0; i < program->stages[s].instr_count && ready; ++i) {
        const tvi_kir_instr_t* instr = &program->stages[s].instrs[i];
        if (instr->opcode != TVI_KIR_LOAD) continue;
        uint32_t source = program->values[instr->imm.load->value].stage;
        ready = source == TVI_KIR_NONE || source < at;
      }
      if (ready) found = s;
    }
    if (found == program->stage_count) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "stages of the program wait for each other");
    }
    if (found == at) continue;
    stage_t moved = program->stages[found];
    memmove(program->stages + at + 1, program->stages + at, (found - at) * sizeof(moved));
    program->stages[at] = moved;
    for (uint32_t s = at; s <= found; ++s) {
      for (uint32_t i = 0; i < program->stages[s].result_count; ++i) {
        uint32_t value = program->stages[s].values[i];
        if (value != TVI_KIR_NONE) program->values[value].stage = s;
      }
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_kir_program_append(program_t* dst, const program_t* src, uint32_t origin,
                                       uint32_t* value_map) {
  if (dst->dims != src->dims) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "programs over different dimension contexts");
  }
  for (uint32_t v = 0; v < src->value_count; ++v) {
    if (value_map[v] == TVI_KIR_NONE) continue;
    const tvi_kir_value_t* from = &src->values[v];
    if (value_map[v] >= dst->value_count) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s' is mapped to a value that does not exist",
                           from->name);
    }
    const tvi_kir_value_t* to = &dst->values[value_map[v]];
    bool same = from->dtype == to->dtype && from->rank == to->rank;
    for (uint32_t d = 0; same && d < from->rank; ++d) {
      // Different expressions may be equal by assumption, different numbers are not.
      same = from->dims[d] == to->dims[d] || !tvi_dim_is_constant(from->dims[d], NULL) ||
             !tvi_dim_is_constant(to->dims[d], NULL);
    }
    if (!same) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s' is mapped to '%s', which has another type",
                           from->name, to->name);
    }
    if (from->stage != TVI_KIR_NONE && to->stage != TVI_KIR_NONE) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s' is defined already", to->name);
    }
  }
  bool in_order = true;
  for (uint32_t v = 0; v < src->value_count; ++v) {
    const tvi_kir_value_t* from = &src->values[v];
    if (value_map[v] == TVI_KIR_NONE) {
      trivet_type_t type = {from->dtype, from->rank, {0}};
      memcpy(type.dims, from->dims, from->rank * sizeof(*from->dims));
      TRIVET_RETURN_IF_ERROR(
          tvi_kir_program_add_value(dst, from->name, from->kind, &type, from->tag, &value_map[v]));
    } else if (from->stage != TVI_KIR_NONE) {
      tvi_kir_value_t* to = &dst->values[value_map[v]];
      if (to->kind == TVI_KIR_INPUT) to->kind = TVI_KIR_TEMP;
      for (uint32_t s = 0; s < dst->stage_count; ++s) {
        in_order = in_order && !reads_value(&dst->stages[s], value_map[v]);
      }
    }
  }
  for (uint32_t s = 0; s < src->stage_count; ++s) {
    stage_t stage = src->stages[s];
    TRIVET_RETURN_IF_ERROR(
        copy_body(dst->arena, src->stages[s].instrs, stage.instr_count, value_map, &stage.instrs));
    if (stage.monoid != NULL) {
      TRIVET_RETURN_IF_ERROR(copy_monoid(dst->arena, stage.monoid, &stage.monoid));
    }
    for (uint32_t i = 0; i < stage.result_count; ++i) {
      if (stage.values[i] != TVI_KIR_NONE) stage.values[i] = value_map[stage.values[i]];
    }
    if (origin != TVI_KIR_NONE) stage.origin = origin;
    TRIVET_RETURN_IF_ERROR(tvi_kir_program_add_stage(dst, &stage));
  }
  return in_order ? TRIVET_OK : sort_stages(dst);
}

trivet_status_t tvi_kir_program_clone(const program_t* program, tvi_arena_t* arena,
                                      program_t** out_program) {
  program_t* copy;
  uint32_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(program->dims, arena, &copy));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, program->value_count, sizeof(*map), &map));
  for (uint32_t i = 0; i < program->value_count; ++i) map[i] = TVI_KIR_NONE;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_append(copy, program, TVI_KIR_NONE, map));
  *out_program = copy;
  return TRIVET_OK;
}

// ---- Values ----

trivet_status_t tvi_kir_value_set_kind(program_t* program, uint32_t value,
                                       tvi_kir_value_kind_t kind) {
  if (value >= program->value_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "value %u of %u", value, program->value_count);
  }
  tvi_kir_value_t* entry = &program->values[value];
  if ((kind == TVI_KIR_INPUT) != (entry->stage == TVI_KIR_NONE)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s' is %sdefined by a stage", entry->name,
                         entry->stage == TVI_KIR_NONE ? "not " : "");
  }
  entry->kind = kind;
  return TRIVET_OK;
}

uint32_t tvi_kir_value_read_count(const program_t* program, uint32_t value) {
  uint32_t count = 0;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const stage_t* stage = &program->stages[s];
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      count += stage->instrs[i].opcode == TVI_KIR_LOAD && stage->instrs[i].imm.load->value == value;
    }
  }
  return count;
}

trivet_status_t tvi_kir_program_drop_dead(program_t* program, bool inputs, uint32_t* value_map) {
  uint32_t values = program->value_count, stages = program->stage_count;
  uint8_t* needed;  // values, then stages
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(program->arena, (size_t)values + stages + 1, 1, &needed));
  uint8_t* stage_needed = needed + values;
  for (uint32_t v = 0; v < values; ++v) needed[v] = program->values[v].kind == TVI_KIR_OUTPUT;
  for (uint32_t s = stages; s-- > 0;) {
    stage_t* stage = &program->stages[s];
    for (uint32_t i = 0; i < stage->result_count; ++i) {
      if (stage->values[i] != TVI_KIR_NONE && needed[stage->values[i]]) stage_needed[s] = 1;
    }
    if (!stage_needed[s]) continue;
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      if (stage->instrs[i].opcode == TVI_KIR_LOAD) needed[stage->instrs[i].imm.load->value] = 1;
    }
  }
  uint32_t* map = value_map;
  if (map == NULL) {
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(program->arena, values, sizeof(*map), &map));
  }
  uint32_t kept = 0;
  for (uint32_t v = 0; v < values; ++v) {
    if (program->values[v].kind == TVI_KIR_INPUT && !inputs) needed[v] = 1;
    map[v] = needed[v] ? kept++ : TVI_KIR_NONE;
  }
  for (uint32_t v = 0; v < values; ++v) {
    if (needed[v]) program->values[map[v]] = program->values[v];
  }
  program->value_count = kept;
  kept = 0;
  for (uint32_t s = 0; s < stages; ++s) {
    if (!stage_needed[s]) continue;
    stage_t* stage = &program->stages[kept];
    if (kept != s) *stage = program->stages[s];
    for (uint32_t i = 0; i < stage->result_count; ++i) {
      if (stage->values[i] == TVI_KIR_NONE) continue;
      stage->values[i] = map[stage->values[i]];
      if (stage->values[i] != TVI_KIR_NONE) program->values[stage->values[i]].stage = kept;
    }
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
      tvi_kir_load_t* load = stage->instrs[i].imm.load;
      load->value = map[load->value];
    }
    ++kept;
  }
  program->stage_count = kept;
  return TRIVET_OK;
}
