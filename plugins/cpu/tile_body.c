// SPDX-License-Identifier: Apache-2.0
//
// Building of bodies: equal instructions are one, index arithmetic stays symbolic as long as it is
// affine.

#include "plugins/cpu/tile_body.h"

#include "core/base/status.h"

void tvi_tile_body_init(tvi_tile_body_t* body, tvi_dim_context_t* dims,
                        trivet_allocator_t allocator) {
  memset(body, 0, sizeof(*body));
  body->dims = dims;
  tvi_vector_init(&body->instrs, allocator);
  tvi_vector_init(&body->affines, allocator);
  tvi_vector_init(&body->accesses, allocator);
}

void tvi_tile_body_deinit(tvi_tile_body_t* body) {
  tvi_vector_deinit(&body->instrs);
  tvi_vector_deinit(&body->affines);
  tvi_vector_deinit(&body->accesses);
}

static bool instr_equal(const tvi_tile_instr_t* a, const tvi_tile_instr_t* b) {
  return a->opcode == b->opcode && a->type == b->type && a->aux == b->aux && a->imm == b->imm &&
         memcmp(a->args, b->args, sizeof(a->args)) == 0;
}

trivet_status_t tvi_tile_body_add(tvi_tile_body_t* body, const tvi_tile_instr_t* instr,
                                  uint32_t* out_ref) {
  for (size_t i = body->instrs.count; i-- > 0;)
    if (instr_equal(&body->instrs.data[i], instr)) {
      *out_ref = (uint32_t)i;
      return TRIVET_OK;
    }
  if (body->instrs.count >= TVI_TILE_MAX_INSTRUCTIONS)
    return TRIVET_STATUS(UNIMPLEMENTED, "a fused body has more than %u instructions",
                         TVI_TILE_MAX_INSTRUCTIONS);
  *out_ref = (uint32_t)body->instrs.count;
  return tvi_vector_push(&body->instrs, *instr);
}

trivet_status_t tvi_tile_body_op(tvi_tile_body_t* body, uint32_t opcode, uint32_t type,
                                 uint32_t aux, const uint32_t* args, uint32_t* out_ref) {
  tvi_tile_instr_t instr = {.opcode = (uint16_t)opcode, .type = (uint8_t)type, .aux = (uint8_t)aux};
  uint32_t count = tvi_tile_opcode_info(opcode, NULL);
  for (uint32_t i = 0; i < TVI_TILE_MAX_ARGS; ++i)
    instr.args[i] = i < count ? (uint16_t)args[i] : (uint16_t)TVI_TILE_NO_ARG;
  return tvi_tile_body_add(body, &instr, out_ref);
}

trivet_status_t tvi_tile_body_constant(tvi_tile_body_t* body, uint32_t type, uint64_t bits,
                                       uint32_t* out_ref) {
  tvi_tile_instr_t instr = {.opcode = TVI_TILE_OP_CONST, .type = (uint8_t)type, .imm = bits};
  memset(instr.args, 0xff, sizeof(instr.args));
  return tvi_tile_body_add(body, &instr, out_ref);
}

trivet_status_t tvi_tile_body_form(tvi_tile_body_t* body, const tvi_tile_symbolic_t* form,
                                   uint32_t* out_form) {
  for (size_t i = 0; i < body->affines.count; ++i)
    if (memcmp(&body->affines.data[i], form, sizeof(*form)) == 0) {
      *out_form = (uint32_t)i;
      return TRIVET_OK;
    }
  *out_form = (uint32_t)body->affines.count;
  return tvi_vector_push(&body->affines, *form);
}

trivet_status_t tvi_tile_body_affine(tvi_tile_body_t* body, const tvi_tile_symbolic_t* form,
                                     uint32_t* out_ref) {
  uint32_t number;
  TRIVET_RETURN_IF_ERROR(tvi_tile_body_form(body, form, &number));
  tvi_tile_instr_t instr = {.opcode = TVI_TILE_OP_AFFINE, .type = TVI_TILE_I64, .imm = number};
  memset(instr.args, 0xff, sizeof(instr.args));
  return tvi_tile_body_add(body, &instr, out_ref);
}

static bool same_access(const tvi_tile_body_access_t* a, const tvi_tile_body_access_t* b) {
  if (a->value != b->value || a->bounds != b->bounds || a->pad != b->pad || a->rank != b->rank) {
    return false;
  }
  for (uint32_t d = 0; d < a->rank; ++d) {
    const tvi_tile_body_index_t *x = &a->indices[d], *y = &b->indices[d];
    if (x->is_register != y->is_register || x->ref != y->ref || x->wrap != y->wrap) return false;
  }
  return true;
}

trivet_status_t tvi_tile_body_load(tvi_tile_body_t* body, const tvi_tile_body_access_t* access,
                                   uint32_t type, uint32_t* out_ref) {
  size_t number = 0;
  while (number < body->accesses.count && !same_access(&body->accesses.data[number], access)) {
    ++number;
  }
  if (number == body->accesses.count)
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&body->accesses, *access));
  tvi_tile_instr_t instr = {.opcode = TVI_TILE_OP_LOAD, .type = (uint8_t)type, .imm = number};
  memset(instr.args, 0xff, sizeof(instr.args));
  return tvi_tile_body_add(body, &instr, out_ref);
}

uint32_t tvi_tile_symbolic_loop(const tvi_tile_symbolic_t* form) {
  uint32_t loop = TVI_TILE_NONE;
  if (!tvi_dim_equals_constant(form->constant, 0)) return TVI_TILE_NONE;
  for (uint32_t l = 0; l < TVI_TILE_MAX_LOOPS; ++l) {
    if (!form->coefficients[l]) continue;
    if (loop != TVI_TILE_NONE || !tvi_dim_equals_constant(form->coefficients[l], 1))
      return TVI_TILE_NONE;
    loop = l;
  }
  return loop;
}

uint64_t tvi_tile_float_bits(uint32_t type, double value) {
  uint64_t bits = 0;
  if (type == TVI_TILE_F32) {
    float f = (float)value;
    memcpy(&bits, &f, sizeof(f));
  } else {
    memcpy(&bits, &value, sizeof(value));
  }
  return bits;
}
