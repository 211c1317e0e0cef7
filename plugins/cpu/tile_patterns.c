// SPDX-License-Identifier: Apache-2.0
//
// Super-instructions are found on the instructions themselves, so any operator text that spells one
// out gets it. See tile_patterns.h.

#include "plugins/cpu/tile_patterns.h"

#include "core/base/status.h"

static void mark(uint8_t* needed, uint32_t ref) { needed[ref] = 1; }

static void mark_operands(const tvi_tile_body_t* body, const tvi_tile_instr_t* instr,
                          uint8_t* needed) {
  const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
  for (uint32_t a = 0; a < operands; ++a) mark(needed, instr->args[a]);
  if (instr->opcode != TVI_TILE_OP_LOAD) return;
  const tvi_tile_body_access_t* access = &body->accesses.data[instr->imm];
  if (access->pad != TVI_TILE_NONE) mark(needed, access->pad);
  for (uint32_t d = 0; d < access->rank; ++d)
    if (access->indices[d].is_register) mark(needed, access->indices[d].ref);
}

// Drops what no root needs and numbers everything anew.
static trivet_status_t compact(tvi_tile_body_t* body, const uint32_t* roots, size_t root_count,
                               tvi_arena_t* arena, uint32_t** out_map) {
  const size_t count = body->instrs.count;
  uint8_t* needed;
  uint32_t *map, *access_map, *form_map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, count + 1, 1, &needed));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count + 1, sizeof(*map), &map));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, body->accesses.count + 1, sizeof(*access_map), &access_map));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, body->affines.count + 1, sizeof(*form_map), &form_map));
  memset(map, 0xff, (count + 1) * sizeof(*map));
  memset(access_map, 0xff, (body->accesses.count + 1) * sizeof(*access_map));
  memset(form_map, 0xff, (body->affines.count + 1) * sizeof(*form_map));
  for (size_t i = 0; i < root_count; ++i) mark(needed, roots[i]);
  for (size_t i = count; i-- > 0;)
    if (needed[i]) mark_operands(body, &body->instrs.data[i], needed);
  uint32_t kept = 0, accesses = 0, forms = 0;
  // In place: new numbers never exceed old ones. Forms and accesses are moved in order of their own
  // numbers, so they are marked first.
  for (size_t i = 0; i < count; ++i) {
    const tvi_tile_instr_t* instr = &body->instrs.data[i];
    if (!needed[i]) continue;
    if (instr->opcode == TVI_TILE_OP_AFFINE) form_map[instr->imm] = 0;
    if (instr->opcode != TVI_TILE_OP_LOAD) continue;
    access_map[instr->imm] = 0;
    const tvi_tile_body_access_t* access = &body->accesses.data[instr->imm];
    for (uint32_t d = 0; d < access->rank; ++d)
      if (!access->indices[d].is_register) form_map[access->indices[d].ref] = 0;
  }
  for (size_t i = 0; i < body->affines.count; ++i) {
    if (form_map[i] == TVI_TILE_NONE) continue;
    body->affines.data[forms] = body->affines.data[i];
    form_map[i] = forms++;
  }
  body->affines.count = forms;
  for (size_t i = 0; i < body->accesses.count; ++i) {
    if (access_map[i] == TVI_TILE_NONE) continue;
    body->accesses.data[accesses] = body->accesses.data[i];
    access_map[i] = accesses++;
  }
  body->accesses.count = accesses;
  for (size_t i = 0; i < count; ++i) {
    if (!needed[i]) continue;
    tvi_tile_instr_t instr = body->instrs.data[i];
    const uint32_t operands = tvi_tile_opcode_info(instr.opcode, NULL);
    for (uint32_t a = 0; a < operands; ++a) instr.args[a] = (uint16_t)map[instr.args[a]];
    if (instr.opcode == TVI_TILE_OP_AFFINE) instr.imm = form_map[instr.imm];
    if (instr.opcode == TVI_TILE_OP_LOAD) instr.imm = access_map[instr.imm];
    map[i] = kept;
    body->instrs.data[kept++] = instr;
  }
  body->instrs.count = kept;
  for (size_t i = 0; i < body->accesses.count; ++i) {
    tvi_tile_body_access_t* access = &body->accesses.data[i];
    if (access->pad != TVI_TILE_NONE) access->pad = map[access->pad];
    for (uint32_t d = 0; d < access->rank; ++d)
      access->indices[d].ref = access->indices[d].is_register ? map[access->indices[d].ref]
                                                              : form_map[access->indices[d].ref];
  }
  *out_map = map;
  return TRIVET_OK;
}

trivet_status_t tvi_tile_body_improve(tvi_tile_body_t* body, const uint32_t* roots,
                                      size_t root_count, tvi_arena_t* arena, uint32_t** out_map) {
  return compact(body, roots, root_count, arena, out_map);
}
