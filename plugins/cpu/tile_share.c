// SPDX-License-Identifier: Apache-2.0
//
// Sharing between phases. A softmax reduces exp(x - m) and then divides it: what a reduction
// computes at great cost and a later phase computes again at the same points becomes a phase of its
// own, whose values are kept. See tile_assemble.h.

#include "core/base/status.h"
#include "plugins/cpu/tile_assemble.h"

typedef tvi_tile_assembler_t assembler_t;
typedef tvi_tile_phase_builder_t phase_builder_t;

#define SHARED_COST 8u
#define SHARED_ELEMENTS 65536  // of one outer point; every thread keeps a few of them

static uint32_t instr_cost(const tvi_tile_instr_t* instr) {
  switch (instr->opcode) {
    case TVI_TILE_OP_CONST:
    case TVI_TILE_OP_AFFINE:
      return 0;
    case TVI_TILE_OP_POW:
    case TVI_TILE_OP_ATAN2:
      return 20;
    default:
      return instr->opcode >= TVI_TILE_OP_EXP && instr->opcode <= TVI_TILE_OP_ERF ? 8 : 1;
  }
}

static bool same_access(const tvi_tile_body_t* x, const tvi_tile_body_access_t* a,
                        const tvi_tile_body_t* y, const tvi_tile_body_access_t* b,
                        const uint32_t* map) {
  if (a->value != b->value || a->bounds != b->bounds || a->rank != b->rank) return false;
  if (a->bounds == TVI_TILE_BOUNDS_PAD && map[a->pad] != b->pad) return false;
  for (uint32_t d = 0; d < a->rank; ++d) {
    const tvi_tile_body_index_t *i = &a->indices[d], *j = &b->indices[d];
    if (i->is_register != j->is_register || i->wrap != j->wrap) return false;
    if (i->is_register ? map[i->ref] != j->ref
                       : memcmp(&x->affines.data[i->ref], &y->affines.data[j->ref],
                                sizeof(tvi_tile_symbolic_t)) != 0)
      return false;
  }
  return true;
}

// The instruction of |y| that computes what |root| computes in |x|, loop for loop; TVI_TILE_NONE.
static trivet_status_t find_same(assembler_t* a, const tvi_tile_body_t* x, uint32_t root,
                                 const tvi_tile_body_t* y, uint32_t* out_ref) {
  uint32_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(a->arena, root + 1, sizeof(*map), &map));
  for (uint32_t i = 0; i <= root; ++i) {
    const tvi_tile_instr_t* instr = &x->instrs.data[i];
    const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    map[i] = TVI_TILE_NONE;
    for (uint32_t j = 0; j < y->instrs.count && map[i] == TVI_TILE_NONE; ++j) {
      const tvi_tile_instr_t* other = &y->instrs.data[j];
      bool same =
          other->opcode == instr->opcode && other->type == instr->type && other->aux == instr->aux;
      for (uint32_t k = 0; same && k < operands; ++k) same = map[instr->args[k]] == other->args[k];
      if (!same) continue;
      if (instr->opcode == TVI_TILE_OP_AFFINE) {
        same = memcmp(&x->affines.data[instr->imm], &y->affines.data[other->imm],
                      sizeof(tvi_tile_symbolic_t)) == 0;
      } else if (instr->opcode == TVI_TILE_OP_LOAD) {
        same = same_access(x, &x->accesses.data[instr->imm], y, &y->accesses.data[other->imm], map);
      } else {
        same = instr->imm == other->imm;
      }
      if (same) map[i] = j;
    }
  }
  *out_ref = map[root];
  return TRIVET_OK;
}

static uint32_t cone_cost(const tvi_tile_body_t* body, uint32_t root, uint8_t* is_in) {
  uint32_t cost = 0;
  is_in[root] = 1;
  for (uint32_t i = root + 1; i-- > 0;) {
    if (!is_in[i]) continue;
    const tvi_tile_instr_t* instr = &body->instrs.data[i];
    cost += instr_cost(instr);
    for (uint32_t k = 0; k < tvi_tile_opcode_info(instr->opcode, NULL); ++k)
      is_in[instr->args[k]] = 1;
  }
  return cost;
}

// A kept slot with the loops of a phase as dimensions; a number after those of all values.
static trivet_status_t add_kept_value(assembler_t* a, const phase_builder_t* p, uint32_t section,
                                      uint32_t type, uint32_t* out_value) {
  tvi_tile_slot_t slot = {.kind = TVI_TILE_SLOT_KEPT,
                          .dtype = type == TVI_TILE_F32 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64,
                          .rank = p->body.loop_count,
                          .section = section};
  const uint32_t outer_count = a->schedule.sections.data[section].outer_count;
  for (uint32_t d = 0; d < slot.rank; ++d) {
    TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_parameter(a, p->body.extents[d], &slot.dims[d]));
    slot.outer[d] = d < outer_count ? d : TVI_TILE_NONE;
  }
  *out_value = a->program->value_count + a->extra_values++;
  a->slot_of_value[*out_value] = (uint32_t)a->slots.count;
  return tvi_vector_push(&a->slots, slot);
}

static trivet_status_t replace_by_load(phase_builder_t* p, uint32_t ref, uint32_t value) {
  tvi_tile_body_access_t access;
  TRIVET_RETURN_IF_ERROR(tvi_tile_phase_access(p, value, &access));
  tvi_tile_instr_t* instr = &p->body.instrs.data[ref];
  instr->opcode = TVI_TILE_OP_LOAD;
  instr->aux = 0;
  memset(instr->args, 0xff, sizeof(instr->args));
  instr->imm = p->body.accesses.count;
  return tvi_vector_push(&p->body.accesses, access);
}

// Are all values of one outer point few enough to be kept? Extents that are not known are taken to
// be, as long as there is an outer loop.
static bool is_small_enough(const assembler_t* a, const phase_builder_t* p, uint32_t section) {
  const uint32_t outer_count = a->schedule.sections.data[section].outer_count;
  int64_t inner = 1;
  for (uint32_t d = outer_count; d < p->body.loop_count; ++d) {
    int64_t extent;
    if (!tvi_dim_is_constant(p->body.extents[d], &extent)) {
      if (outer_count == 0) return false;
    } else {
      if (extent > SHARED_ELEMENTS) return false;
      if (extent > 0) inner *= extent;
      if (inner > SHARED_ELEMENTS) return false;
    }
  }
  return true;
}

// Looks for what phase |at| may share with later ones; *out_new is the phase to run before it.
trivet_status_t tvi_tile_phase_share(assembler_t* a, phase_builder_t* phases, uint32_t count,
                                     uint32_t at, uint32_t section, phase_builder_t* out_new,
                                     bool* out_shared) {
  phase_builder_t* p = &phases[at];
  *out_shared = false;
  if (p->stage_count != 1 || p->reduced_count == 0 || p->body.loop_count > TRIVET_MAX_RANK ||
      a->extra_values >= TVI_TILE_MAX_EXTRA_VALUES || !is_small_enough(a, p, section))
    return TRIVET_OK;
  const tvi_kir_stage_t* s = &a->program->stages[p->stages[0]];
  if (tvi_tile_state_count(s->monoid) != 1) return TRIVET_OK;
  const uint32_t root = p->results[p->stages[0]][0];
  const uint32_t type = tvi_tile_result_type(&p->body.instrs.data[root]);
  if (type != TVI_TILE_F32 && type != TVI_TILE_F64) return TRIVET_OK;
  uint8_t* is_in;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(a->arena, root + 1, 1, &is_in));
  if (cone_cost(&p->body, root, is_in) < SHARED_COST) return TRIVET_OK;
  uint32_t value = TVI_TILE_NONE;
  for (uint32_t q = at + 1; q < count; ++q) {
    if (phases[q].body.loop_count != p->body.loop_count ||
        memcmp(phases[q].body.extents, p->body.extents,
               p->body.loop_count * sizeof(p->body.extents[0])) != 0)
      continue;
    uint32_t same;
    TRIVET_RETURN_IF_ERROR(find_same(a, &p->body, root, &phases[q].body, &same));
    if (same == TVI_TILE_NONE) continue;
    if (value == TVI_TILE_NONE) TRIVET_RETURN_IF_ERROR(add_kept_value(a, p, section, type, &value));
    TRIVET_RETURN_IF_ERROR(replace_by_load(&phases[q], same, value));
  }
  if (value == TVI_TILE_NONE) return TRIVET_OK;
  // The old body computes and stores; the reduction gets a new one that reads.
  *out_new = *p;
  out_new->reduced_count = 0;
  out_new->stage_count = 0;
  out_new->kept_root = root;
  out_new->kept_value = value;
  *out_shared = true;
  tvi_tile_body_init(&p->body, a->program->dims, a->allocator);
  p->body.loop_count = out_new->body.loop_count;
  memcpy(p->body.extents, out_new->body.extents, sizeof(p->body.extents));
  tvi_tile_body_access_t access;
  TRIVET_RETURN_IF_ERROR(tvi_tile_phase_access(p, value, &access));
  return tvi_tile_body_load(&p->body, &access, type, &p->results[p->stages[0]][0]);
}
