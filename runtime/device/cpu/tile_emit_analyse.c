// SPDX-License-Identifier: Apache-2.0
//
// Before a body becomes calls: what each instruction depends on, in what order they run, which
// results may go straight to memory. See tile_emitter.h.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_emitter.h"

typedef tvi_tile_emitter_t emitter_t;
typedef tvi_tile_node_t node_t;

static uint32_t form_loops(const emitter_t* e, const tvi_tile_form_t* form) {
  uint32_t mask = 0;
  for (uint32_t l = 0; l < e->phase->loop_count; ++l)
    if (form->coefficients[l] != 0 && e->layout->extents[l] != 1) mask |= 1u << l;
  return mask;
}

static uint32_t outer_loops(const emitter_t* e) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < e->section->outer_count; ++i) mask |= 1u << e->section->outer[i];
  return mask;
}

static uint32_t access_loops(const emitter_t* e, uint32_t access_index) {
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + access_index];
  uint32_t mask = form_loops(e, &layout->form);
  if (layout->is_kept) mask |= outer_loops(e);
  for (uint32_t i = 0; i < layout->check_count; ++i) mask |= form_loops(e, &layout->checks[i].form);
  for (uint32_t i = 0; i < layout->index_count; ++i)
    mask |= e->nodes[access->indices[layout->indices[i]].ref].loops;
  if (access->bounds == TVI_TILE_BOUNDS_PAD && tvi_tile_access_is_checked(layout))
    mask |= e->nodes[access->pad].loops;
  return mask;
}

typedef void (*use_visitor_t)(emitter_t* e, uint32_t user, uint32_t used);

static void visit_uses(emitter_t* e, uint32_t i, use_visitor_t visit) {
  const tvi_tile_instr_t* instr = &e->instrs[i];
  uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
  for (uint32_t a = 0; a < operands; ++a) visit(e, i, instr->args[a]);
  if (instr->opcode != TVI_TILE_OP_LOAD) return;
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + instr->imm];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[instr->imm];
  for (uint32_t x = 0; x < layout->index_count; ++x)
    visit(e, i, access->indices[layout->indices[x]].ref);
  if (access->bounds == TVI_TILE_BOUNDS_PAD && tvi_tile_access_is_checked(layout))
    visit(e, i, access->pad);
}

static void note_use(emitter_t* e, uint32_t user, uint32_t used) {
  node_t* node = &e->nodes[used];
  ++node->use_count;
  if (e->nodes[user].depth != node->depth) {
    node->last_use = UINT32_MAX;
  } else if (node->last_use != UINT32_MAX && node->last_use < e->nodes[user].position) {
    node->last_use = e->nodes[user].position;
  }
}

static void note_needed(emitter_t* e, uint32_t user, uint32_t used) {
  (void)user;
  e->nodes[used].use_count = 1;
}

// Which instructions are needed, what they depend on, in what order they run.
trivet_status_t tvi_tile_emit_analyse(emitter_t* e, uint32_t* order, uint32_t* out_count) {
  const uint32_t count = e->phase->instr_count;
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  for (uint32_t s = 0; s < e->phase->sink_count; ++s)
    for (uint32_t v = 0; v < sinks[s].count; ++v) e->nodes[sinks[s].values[v]].use_count = 1;
  for (uint32_t i = count; i-- > 0;)
    if (e->nodes[i].use_count) visit_uses(e, i, note_needed);
  for (uint32_t i = 0; i < count; ++i) {
    node_t* node = &e->nodes[i];
    node->alias_sink = TVI_TILE_NONE;
    if (!node->use_count) continue;
    const tvi_tile_instr_t* instr = &e->instrs[i];
    if (instr->opcode == TVI_TILE_OP_AFFINE) {
      node->loops = form_loops(e, &e->layout->affines[instr->imm]);
    } else if (instr->opcode == TVI_TILE_OP_LOAD) {
      node->loops = access_loops(e, (uint32_t)instr->imm);
    }
    uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    for (uint32_t a = 0; a < operands; ++a) node->loops |= e->nodes[instr->args[a]].loops;
    for (uint32_t l = 0; l < e->phase->loop_count; ++l)
      if (node->loops >> l & 1u && e->level_of_loop[l] > node->depth)
        node->depth = e->level_of_loop[l];
    if (e->section->row_loop != TVI_TILE_NONE && node->loops >> e->section->row_loop & 1u)
      node->shape |= TVI_TILE_ROW;
    if (e->layout->col_loop != TVI_TILE_NONE && node->loops >> e->layout->col_loop & 1u)
      node->shape |= TVI_TILE_COL;
  }
  uint32_t filled = 0;
  for (uint32_t depth = 0; depth <= e->level_count; ++depth)
    for (uint32_t i = 0; i < count; ++i)
      if (e->nodes[i].use_count && e->nodes[i].depth == depth) {
        e->nodes[i].position = filled;
        order[filled++] = i;
      }
  for (uint32_t i = 0; i < count; ++i) {
    if (!e->nodes[i].use_count) continue;
    e->nodes[i].use_count = 0;
  }
  for (uint32_t i = 0; i < filled; ++i) visit_uses(e, order[i], note_use);
  for (uint32_t s = 0; s < e->phase->sink_count; ++s)
    for (uint32_t v = 0; v < sinks[s].count; ++v) {
      e->nodes[sinks[s].values[v]].last_use = UINT32_MAX;
      ++e->nodes[sinks[s].values[v]].use_count;
    }
  *out_count = filled;
  return TRIVET_OK;
}

// A store whose memory may receive the result of its instruction directly.
void tvi_tile_emit_alias_stores(emitter_t* e) {
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  for (uint32_t s = 0; s < e->phase->sink_count; ++s) {
    const tvi_tile_sink_t* sink = &sinks[s];
    if (sink->kind != TVI_TILE_SINK_STORE) continue;
    node_t* node = &e->nodes[sink->values[0]];
    const uint32_t opcode = e->instrs[sink->values[0]].opcode;
    const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
    const uint32_t dtype = tvi_tile_emitter_memory_dtype(
        e, e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot);
    if (opcode == TVI_TILE_OP_CONST || !tvi_tile_same_as_register(dtype) ||
        node->alias_sink != TVI_TILE_NONE)
      continue;
    if (opcode == TVI_TILE_OP_LOAD &&
        tvi_tile_emitter_load_is_alias(e, (uint32_t)e->instrs[sink->values[0]].imm, node->shape))
      continue;
    if (node->shape != e->tile_shape || node->depth != e->level_count) continue;
    const int64_t bytes = tvi_dtype_bytes(dtype);
    if (node->shape & TVI_TILE_COL   ? access->col_stride != bytes
        : node->shape & TVI_TILE_ROW ? access->row_stride != bytes
                                     : 0)
      continue;
    node->alias_sink = s;
  }
}
