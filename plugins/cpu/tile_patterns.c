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

// ---------------------------------------------------------------------------------------------
// Rewriting
// ---------------------------------------------------------------------------------------------

// A pass reads the old body and builds a new one, so that a pattern may grow or shrink it.
typedef struct rewriter_t {
  const tvi_tile_body_t* old;
  tvi_tile_body_t* body;
  uint32_t* map;     // old instruction to new
  uint32_t* uses;    // readers of an old instruction, roots included
  uint32_t* loops;   // of an old instruction: mask of the loops that it depends on
  bool is_rounding;  // some instruction rounds to integers: quotients must stay exact
} rewriter_t;

#define OLD(ref) (&r->old->instrs.data[ref])

static bool is_op(const rewriter_t* r, uint32_t ref, uint32_t opcode, uint32_t type) {
  return OLD(ref)->opcode == opcode && OLD(ref)->type == type;
}
static bool is_f32(const rewriter_t* r, uint32_t ref, uint32_t opcode) {
  return is_op(r, ref, opcode, TVI_TILE_F32);
}
static bool is_single(const rewriter_t* r, uint32_t ref) { return r->uses[ref] == 1; }

static bool constant_of(const rewriter_t* r, uint32_t ref, float* out_value) {
  if (!is_f32(r, ref, TVI_TILE_OP_CONST)) return false;
  const uint32_t bits = (uint32_t)OLD(ref)->imm;
  memcpy(out_value, &bits, sizeof(bits));
  return true;
}
static bool is_near(double value, double wanted) {
  const double error = value - wanted;
  return error < 1e-6 * wanted && -error < 1e-6 * wanted;
}
static bool is_constant(const rewriter_t* r, uint32_t ref, double wanted) {
  float value;
  return constant_of(r, ref, &value) && is_near(value, wanted);
}

static trivet_status_t put(rewriter_t* r, uint32_t opcode, uint32_t type, uint32_t a, uint32_t b,
                           uint32_t c, uint32_t* out) {
  uint32_t args[TVI_TILE_MAX_ARGS] = {a, b, c};
  return tvi_tile_body_op(r->body, opcode, type, 0, args, out);
}
static trivet_status_t put_float(rewriter_t* r, double value, uint32_t* out) {
  return tvi_tile_body_constant(r->body, TVI_TILE_F32, tvi_tile_float_bits(TVI_TILE_F32, value),
                                out);
}

// ---- Products as lists of factors ----

#define MAX_FACTORS 8u
typedef struct product_t {
  double constant;
  uint32_t count;
  uint32_t factors[MAX_FACTORS];
} product_t;

static bool collect(const rewriter_t* r, uint32_t ref, bool is_root, product_t* product) {
  float value;
  if (constant_of(r, ref, &value)) {
    product->constant *= (double)value;
    return true;
  }
  const tvi_tile_instr_t* instr = OLD(ref);
  if (is_f32(r, ref, TVI_TILE_OP_MUL) && (is_root || is_single(r, ref)))
    return collect(r, instr->args[0], false, product) && collect(r, instr->args[1], false, product);
  if (is_f32(r, ref, TVI_TILE_OP_DIV) && (is_root || is_single(r, ref)) &&
      constant_of(r, instr->args[1], &value) && value != 0.0f) {
    product->constant /= (double)value;
    return collect(r, instr->args[0], false, product);
  }
  if (product->count == MAX_FACTORS) return false;
  product->factors[product->count++] = ref;
  return true;
}
static bool product_of(const rewriter_t* r, uint32_t ref, product_t* product) {
  product->constant = 1.0;
  product->count = 0;
  return collect(r, ref, true, product);
}
static bool only(const product_t* product, uint32_t factor, uint32_t times) {
  if (product->count != times) return false;
  for (uint32_t i = 0; i < times; ++i)
    if (product->factors[i] != factor) return false;
  return true;
}

// 1 + other, in either order.
static bool one_plus(const rewriter_t* r, uint32_t ref, uint32_t* out_other) {
  if (!is_f32(r, ref, TVI_TILE_OP_ADD)) return false;
  const tvi_tile_instr_t* instr = OLD(ref);
  for (uint32_t k = 0; k < 2; ++k)
    if (is_constant(r, instr->args[k], 1.0)) {
      *out_other = instr->args[1 - k];
      return true;
    }
  return false;
}

// sqrt(2/pi) (x + 0.044715 x^3), written either way.
static bool is_gelu_argument(const rewriter_t* r, uint32_t ref, uint32_t x) {
  product_t product, cube;
  if (!product_of(r, ref, &product) || !is_near(product.constant, 0.79788456080286536))
    return false;
  for (uint32_t k = 0; k < product.count; ++k) {
    const uint32_t factor = product.factors[k];
    uint32_t other;
    if (product.count == 2 && product.factors[1 - k] == x && one_plus(r, factor, &other) &&
        product_of(r, other, &cube) && is_near(cube.constant, 0.044715) && only(&cube, x, 2))
      return true;
    if (product.count != 1 || !is_f32(r, factor, TVI_TILE_OP_ADD)) continue;
    for (uint32_t side = 0; side < 2; ++side)
      if (OLD(factor)->args[side] == x && product_of(r, OLD(factor)->args[1 - side], &cube) &&
          is_near(cube.constant, 0.044715) && only(&cube, x, 3))
        return true;
  }
  return false;
}

static trivet_status_t match_gelu(rewriter_t* r, uint32_t ref, uint32_t* out, bool* done) {
  product_t product, argument;
  if (!product_of(r, ref, &product) || product.count != 2 || !is_near(product.constant, 0.5))
    return TRIVET_OK;
  for (uint32_t k = 0; k < 2; ++k) {
    uint32_t inner;
    const uint32_t x = product.factors[1 - k];
    if (!one_plus(r, product.factors[k], &inner)) continue;
    uint32_t opcode = 0;
    if (is_f32(r, inner, TVI_TILE_OP_ERF) && product_of(r, OLD(inner)->args[0], &argument) &&
        only(&argument, x, 1) && is_near(argument.constant, 0.70710678118654752))
      opcode = TVI_TILE_OP_GELU_ERF;
    if (is_f32(r, inner, TVI_TILE_OP_TANH) && is_gelu_argument(r, OLD(inner)->args[0], x))
      opcode = TVI_TILE_OP_GELU_TANH;
    if (!opcode) continue;
    *done = true;
    return put(r, opcode, TVI_TILE_F32, r->map[x], 0, 0, out);
  }
  return TRIVET_OK;
}

// ---- Algebra: the first pass ----

static trivet_status_t simplify_instr(rewriter_t* r, uint32_t ref, uint32_t* out, bool* done) {
  const tvi_tile_instr_t* instr = OLD(ref);
  float value;
  uint32_t other, x;
  switch (instr->opcode) {
    case TVI_TILE_OP_POW: {
      if (instr->type != TVI_TILE_F32 || !constant_of(r, instr->args[1], &value)) break;
      x = r->map[instr->args[0]];
      *done = true;
      if (value == 1.0f) {
        *out = x;
        return TRIVET_OK;
      }
      if (value == 2.0f) return put(r, TVI_TILE_OP_MUL, TVI_TILE_F32, x, x, 0, out);
      if (value == 3.0f) {
        TRIVET_RETURN_IF_ERROR(put(r, TVI_TILE_OP_MUL, TVI_TILE_F32, x, x, 0, out));
        return put(r, TVI_TILE_OP_MUL, TVI_TILE_F32, *out, x, 0, out);
      }
      if (value == -1.0f) return put(r, TVI_TILE_OP_RECIP, TVI_TILE_F32, x, 0, 0, out);
      *done = false;
      break;
    }
    case TVI_TILE_OP_DIV:
      if (instr->type != TVI_TILE_F32) break;
      // 1 / x, 1 / sqrt(x), 1 / (1 + exp(-x))
      if (is_constant(r, instr->args[0], 1.0)) {
        *done = true;
        if (is_f32(r, instr->args[1], TVI_TILE_OP_SQRT))
          return put(r, TVI_TILE_OP_RSQRT, TVI_TILE_F32, r->map[OLD(instr->args[1])->args[0]], 0, 0,
                     out);
        if (one_plus(r, instr->args[1], &other) && is_f32(r, other, TVI_TILE_OP_EXP) &&
            is_f32(r, OLD(other)->args[0], TVI_TILE_OP_NEG))
          return put(r, TVI_TILE_OP_SIGMOID, TVI_TILE_F32,
                     r->map[OLD(OLD(other)->args[0])->args[0]], 0, 0, out);
        return put(r, TVI_TILE_OP_RECIP, TVI_TILE_F32, r->map[instr->args[1]], 0, 0, out);
      }
      if (r->is_rounding) break;
      if (constant_of(r, instr->args[1], &value)) {
        const float inverse = 1.0f / value;
        if (!(inverse != 0.0f) || inverse - inverse != 0.0f) break;
        *done = true;
        TRIVET_RETURN_IF_ERROR(put_float(r, inverse, &x));
        return put(r, TVI_TILE_OP_MUL, TVI_TILE_F32, r->map[instr->args[0]], x, 0, out);
      }
      // A divisor that several points share is inverted once.
      if ((r->loops[instr->args[0]] & ~r->loops[instr->args[1]]) != 0 &&
          (r->loops[instr->args[1]] & ~r->loops[instr->args[0]]) == 0) {
        *done = true;
        TRIVET_RETURN_IF_ERROR(
            put(r, TVI_TILE_OP_RECIP, TVI_TILE_F32, r->map[instr->args[1]], 0, 0, &x));
        return put(r, TVI_TILE_OP_MUL, TVI_TILE_F32, r->map[instr->args[0]], x, 0, out);
      }
      break;
    case TVI_TILE_OP_RECIP:
      if (is_f32(r, instr->args[0], TVI_TILE_OP_SQRT)) {
        *done = true;
        return put(r, TVI_TILE_OP_RSQRT, TVI_TILE_F32, r->map[OLD(instr->args[0])->args[0]], 0, 0,
                   out);
      }
      break;
    case TVI_TILE_OP_MUL:
      if (instr->type != TVI_TILE_F32) break;
      TRIVET_RETURN_IF_ERROR(match_gelu(r, ref, out, done));
      for (uint32_t k = 0; !*done && k < 2; ++k)
        if (is_f32(r, instr->args[k], TVI_TILE_OP_SIGMOID) &&
            OLD(instr->args[k])->args[0] == instr->args[1 - k]) {
          *done = true;
          return put(r, TVI_TILE_OP_SILU, TVI_TILE_F32, r->map[instr->args[1 - k]], 0, 0, out);
        }
      break;
    case TVI_TILE_OP_MAX:
      for (uint32_t k = 0; instr->type == TVI_TILE_F32 && k < 2; ++k)
        if (constant_of(r, instr->args[k], &value) && value == 0.0f) {
          *done = true;
          return put(r, TVI_TILE_OP_RELU, TVI_TILE_F32, r->map[instr->args[1 - k]], 0, 0, out);
        }
      break;
    default:
      break;
  }
  return TRIVET_OK;
}

// ---- Super-instructions: the second pass ----

static trivet_status_t fuse_instr(rewriter_t* r, uint32_t ref, uint32_t* out, bool* done) {
  const tvi_tile_instr_t* instr = OLD(ref);
  if (instr->type != TVI_TILE_F32) return TRIVET_OK;
  switch (instr->opcode) {
    case TVI_TILE_OP_EXP:
      if (is_f32(r, instr->args[0], TVI_TILE_OP_SUB) && is_single(r, instr->args[0])) {
        *done = true;
        return put(r, TVI_TILE_OP_EXP_SUB, TVI_TILE_F32, r->map[OLD(instr->args[0])->args[0]],
                   r->map[OLD(instr->args[0])->args[1]], 0, out);
      }
      break;
    case TVI_TILE_OP_MUL: {
      const uint32_t a = instr->args[0], b = instr->args[1];
      if (a == b && is_f32(r, a, TVI_TILE_OP_SUB) && r->uses[a] == 2) {
        *done = true;
        return put(r, TVI_TILE_OP_SUB_SQUARE, TVI_TILE_F32, r->map[OLD(a)->args[0]],
                   r->map[OLD(a)->args[1]], 0, out);
      }
      for (uint32_t k = 0; k < 2; ++k) {
        const uint32_t f = instr->args[k], other = instr->args[1 - k];
        if (is_f32(r, f, TVI_TILE_OP_SILU) && is_single(r, f)) {
          *done = true;
          return put(r, TVI_TILE_OP_SILU_MUL, TVI_TILE_F32, r->map[OLD(f)->args[0]], r->map[other],
                     0, out);
        }
        if (is_f32(r, f, TVI_TILE_OP_SUB) && is_single(r, f) && f != other) {
          *done = true;
          return put(r, TVI_TILE_OP_SUB_MUL, TVI_TILE_F32, r->map[OLD(f)->args[0]],
                     r->map[OLD(f)->args[1]], r->map[other], out);
        }
      }
      break;
    }
    case TVI_TILE_OP_ADD:
      if (r->is_rounding) break;
      for (uint32_t k = 0; k < 2; ++k) {
        const uint32_t m = instr->args[k], addend = instr->args[1 - k];
        if (!is_f32(r, m, TVI_TILE_OP_MUL) || !is_single(r, m) || m == addend) continue;
        *done = true;
        // ((x - a) * b) * c + d in one, the product in either order.
        for (uint32_t side = 0; side < 2; ++side) {
          const uint32_t n = OLD(m)->args[side], scale = OLD(m)->args[1 - side];
          if (!is_f32(r, n, TVI_TILE_OP_MUL) || !is_single(r, n) || n == scale) continue;
          for (uint32_t s = 0; s < 2; ++s) {
            const uint32_t d = OLD(n)->args[s], inverse = OLD(n)->args[1 - s];
            if (!is_f32(r, d, TVI_TILE_OP_SUB) || !is_single(r, d) || d == inverse) continue;
            uint32_t args[5] = {r->map[OLD(d)->args[0]], r->map[OLD(d)->args[1]], r->map[inverse],
                                r->map[scale], r->map[addend]};
            return tvi_tile_body_op(r->body, TVI_TILE_OP_NORM_AFFINE, TVI_TILE_F32, 0, args, out);
          }
        }
        // A product that is another super-instruction stays.
        for (uint32_t side = 0; side < 2; ++side)
          if (is_f32(r, OLD(m)->args[side], TVI_TILE_OP_SILU) && is_single(r, OLD(m)->args[side]))
            *done = false;
        if (!*done) return TRIVET_OK;
        return put(r, TVI_TILE_OP_MULADD, TVI_TILE_F32, r->map[OLD(m)->args[0]],
                   r->map[OLD(m)->args[1]], r->map[addend], out);
      }
      break;
    default:
      break;
  }
  return TRIVET_OK;
}

typedef trivet_status_t (*pass_t)(rewriter_t* r, uint32_t ref, uint32_t* out, bool* done);

static uint32_t form_mask(const tvi_tile_symbolic_t* form) {
  uint32_t mask = 0;
  for (uint32_t l = 0; l < TVI_TILE_MAX_LOOPS; ++l)
    if (form->coefficients[l]) mask |= 1u << l;
  return mask;
}

static void analyse(rewriter_t* r, const uint32_t* roots, size_t root_count) {
  const tvi_tile_body_t* old = r->old;
  for (size_t i = 0; i < root_count; ++i) ++r->uses[roots[i]];
  for (size_t i = 0; i < old->instrs.count; ++i) {
    const tvi_tile_instr_t* instr = &old->instrs.data[i];
    const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    for (uint32_t a = 0; a < operands; ++a) {
      ++r->uses[instr->args[a]];
      r->loops[i] |= r->loops[instr->args[a]];
    }
    if (instr->opcode == TVI_TILE_OP_AFFINE)
      r->loops[i] = form_mask(&old->affines.data[instr->imm]);
    if (instr->opcode == TVI_TILE_OP_LOAD) {
      const tvi_tile_body_access_t* access = &old->accesses.data[instr->imm];
      if (access->pad != TVI_TILE_NONE) {
        ++r->uses[access->pad];
        r->loops[i] |= r->loops[access->pad];
      }
      for (uint32_t d = 0; d < access->rank; ++d) {
        const uint32_t index = access->indices[d].ref;
        if (access->indices[d].is_register) ++r->uses[index];
        r->loops[i] |=
            access->indices[d].is_register ? r->loops[index] : form_mask(&old->affines.data[index]);
      }
    }
    switch (instr->opcode) {
      case TVI_TILE_OP_ROUND_EVEN:
      case TVI_TILE_OP_FLOOR:
      case TVI_TILE_OP_CEIL:
      case TVI_TILE_OP_TRUNC:
        r->is_rounding = true;
        break;
      case TVI_TILE_OP_CONVERT:
        if (instr->type != TVI_TILE_F32 && instr->type != TVI_TILE_F64 &&
            tvi_tile_result_type(&old->instrs.data[instr->args[0]]) == TVI_TILE_F32)
          r->is_rounding = true;
        break;
      default:
        break;
    }
  }
}

static trivet_status_t rebuild(rewriter_t* r, pass_t pass) {
  for (size_t i = 0; i < r->old->instrs.count; ++i) {
    tvi_tile_instr_t instr = r->old->instrs.data[i];
    if (instr.opcode == TVI_TILE_OP_AFFINE) {
      TRIVET_RETURN_IF_ERROR(
          tvi_tile_body_affine(r->body, &r->old->affines.data[instr.imm], &r->map[i]));
      continue;
    }
    if (instr.opcode == TVI_TILE_OP_LOAD) {
      tvi_tile_body_access_t access = r->old->accesses.data[instr.imm];
      if (access.pad != TVI_TILE_NONE) access.pad = r->map[access.pad];
      for (uint32_t d = 0; d < access.rank; ++d) {
        tvi_tile_body_index_t* index = &access.indices[d];
        if (index->is_register) {
          index->ref = r->map[index->ref];
        } else {
          TRIVET_RETURN_IF_ERROR(
              tvi_tile_body_form(r->body, &r->old->affines.data[index->ref], &index->ref));
        }
      }
      TRIVET_RETURN_IF_ERROR(tvi_tile_body_load(r->body, &access, instr.type, &r->map[i]));
      continue;
    }
    bool done = false;
    TRIVET_RETURN_IF_ERROR(pass(r, (uint32_t)i, &r->map[i], &done));
    if (done) continue;
    const uint32_t operands = tvi_tile_opcode_info(instr.opcode, NULL);
    for (uint32_t a = 0; a < operands; ++a) instr.args[a] = (uint16_t)r->map[instr.args[a]];
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_add(r->body, &instr, &r->map[i]));
  }
  return TRIVET_OK;
}

// Compacts, then runs one pass; *map (may be NULL at first) is composed with what moved.
static trivet_status_t run_pass(tvi_tile_body_t* body, uint32_t* roots, size_t root_count,
                                tvi_arena_t* arena, pass_t pass, uint32_t** map,
                                size_t original_count) {
  uint32_t* moved;
  TRIVET_RETURN_IF_ERROR(compact(body, roots, root_count, arena, &moved));
  for (size_t i = 0; i < root_count; ++i) roots[i] = moved[roots[i]];
  for (size_t i = 0; i < original_count; ++i)
    if ((*map)[i] != TVI_TILE_NONE) (*map)[i] = moved[(*map)[i]];
  if (!pass) return TRIVET_OK;
  tvi_tile_body_t next;
  tvi_tile_body_init(&next, body->dims, body->instrs.allocator);
  next.loop_count = body->loop_count;
  memcpy(next.extents, body->extents, sizeof(next.extents));
  rewriter_t r = {.old = body, .body = &next};
  const size_t count = body->instrs.count + 1;
  trivet_status_t status = tvi_arena_alloc_array_zeroed(arena, count, sizeof(*r.map), &r.map);
  if (!status) status = tvi_arena_alloc_array_zeroed(arena, count, sizeof(*r.uses), &r.uses);
  if (!status) status = tvi_arena_alloc_array_zeroed(arena, count, sizeof(*r.loops), &r.loops);
  if (!status) {
    analyse(&r, roots, root_count);
    status = rebuild(&r, pass);
  }
  if (status) {
    tvi_tile_body_deinit(&next);
    return status;
  }
  for (size_t i = 0; i < root_count; ++i) roots[i] = r.map[roots[i]];
  for (size_t i = 0; i < original_count; ++i)
    if ((*map)[i] != TVI_TILE_NONE) (*map)[i] = r.map[(*map)[i]];
  tvi_tile_body_deinit(body);
  *body = next;
  return TRIVET_OK;
}

trivet_status_t tvi_tile_body_improve(tvi_tile_body_t* body, const uint32_t* roots,
                                      size_t root_count, tvi_arena_t* arena, uint32_t** out_map) {
  const size_t count = body->instrs.count;
  uint32_t *map, *taken;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count + 1, sizeof(*map), &map));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, root_count + 1, sizeof(*taken), &taken));
  for (size_t i = 0; i < count; ++i) map[i] = (uint32_t)i;
  if (root_count) memcpy(taken, roots, root_count * sizeof(*taken));
  TRIVET_RETURN_IF_ERROR(run_pass(body, taken, root_count, arena, simplify_instr, &map, count));
  TRIVET_RETURN_IF_ERROR(run_pass(body, taken, root_count, arena, fuse_instr, &map, count));
  TRIVET_RETURN_IF_ERROR(run_pass(body, taken, root_count, arena, NULL, &map, count));
  *out_map = map;
  return TRIVET_OK;
}
