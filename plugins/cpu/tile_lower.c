// SPDX-License-Identifier: Apache-2.0
//
// One kernel-IR stage to a tile body: element types become register types, casts become conversions
// and roundings, index expressions become affine forms where they are affine. Rules of numbers:
// docs/kernel_ir.md, section 3.

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cpu/tile_body.h"

#define MAX_DEPTH 64u  // of stages inlined into each other

// Stage |stage| with its indices replaced by instructions of the body.
typedef struct frame_t {
  uint32_t stage;
  uint32_t depth;
  uint32_t indices[TVI_KIR_MAX_INDICES];
  // By instruction of the stage, TVI_TILE_NONE: not lowered yet. What was lowered inside a branch
  // of a select is only safe inside one.
  uint32_t* refs;
  uint32_t* guarded;
  struct frame_t* next;
} frame_t;

typedef struct lowerer_t {
  const tvi_tile_lowering_t* lowering;
  const tvi_kir_program_t* program;
  tvi_tile_body_t* body;
  frame_t* frames;
  uint32_t guards;  // enclosing branches of selects
  // Join bodies: instructions instead of a stage.
  const tvi_kir_instr_t* join;
} lowerer_t;

static trivet_status_t lower(lowerer_t* l, frame_t* frame, tvi_kir_ref_t ref, uint32_t* out_ref);

static trivet_status_t op1(lowerer_t* l, uint32_t opcode, uint32_t type, uint32_t aux, uint32_t a,
                           uint32_t* out) {
  return tvi_tile_body_op(l->body, opcode, type, aux, &a, out);
}
static trivet_status_t op2(lowerer_t* l, uint32_t opcode, uint32_t type, uint32_t a, uint32_t b,
                           uint32_t* out) {
  uint32_t args[2] = {a, b};
  return tvi_tile_body_op(l->body, opcode, type, 0, args, out);
}
static trivet_status_t constant_i(lowerer_t* l, uint32_t type, int64_t value, uint32_t* out) {
  if (type == TVI_TILE_I64 && l->join)
    return tvi_tile_body_constant(l->body, type, (uint64_t)value, out);
  if (type == TVI_TILE_I64) {
    tvi_tile_symbolic_t form;
    memset(&form, 0, sizeof(form));
    form.constant = tvi_dim_constant(l->body->dims, value);
    if (!form.constant) return TRIVET_STATUS(OUT_OF_MEMORY, "no memory for a dimension");
    return tvi_tile_body_affine(l->body, &form, out);
  }
  if (type == TVI_TILE_F32 || type == TVI_TILE_F64)
    return tvi_tile_body_constant(l->body, type, tvi_tile_float_bits(type, (double)value), out);
  return tvi_tile_body_constant(
      l->body, type, type == TVI_TILE_U64 ? (uint64_t)value : (uint64_t)(uint32_t)value, out);
}

// ---------------------------------------------------------------------------------------------
// Index arithmetic
// ---------------------------------------------------------------------------------------------

static const tvi_tile_symbolic_t* form_of(const lowerer_t* l, uint32_t ref) {
  const tvi_tile_instr_t* instr = &l->body->instrs.data[ref];
  return instr->opcode == TVI_TILE_OP_AFFINE ? &l->body->affines.data[instr->imm] : NULL;
}

static bool is_loop_free(const tvi_tile_symbolic_t* form) {
  for (uint32_t i = 0; i < TVI_TILE_MAX_LOOPS; ++i)
    if (form->coefficients[i]) return false;
  return true;
}

static trivet_dim_t normal(trivet_dim_t dim) {
  return dim && tvi_dim_equals_constant(dim, 0) ? NULL : dim;
}

// a + sign * b; false on overflow.
static bool form_add(lowerer_t* l, const tvi_tile_symbolic_t* a, const tvi_tile_symbolic_t* b,
                     uint32_t op, tvi_tile_symbolic_t* out) {
  tvi_dim_context_t* dims = l->body->dims;
  const trivet_dim_t zero = tvi_dim_constant(dims, 0);
  out->constant = tvi_dim_binary(dims, op, a->constant, b->constant);
  if (!out->constant) return false;
  for (uint32_t i = 0; i < TVI_TILE_MAX_LOOPS; ++i) {
    out->coefficients[i] = NULL;
    if (!a->coefficients[i] && !b->coefficients[i]) continue;
    trivet_dim_t sum = tvi_dim_binary(dims, op, a->coefficients[i] ? a->coefficients[i] : zero,
                                      b->coefficients[i] ? b->coefficients[i] : zero);
    if (!sum) return false;
    out->coefficients[i] = normal(sum);
  }
  return true;
}

static bool form_scale(lowerer_t* l, const tvi_tile_symbolic_t* a, trivet_dim_t factor,
                       tvi_tile_symbolic_t* out) {
  tvi_dim_context_t* dims = l->body->dims;
  out->constant = tvi_dim_binary(dims, TRIVET_DIM_MUL, a->constant, factor);
  if (!out->constant) return false;
  for (uint32_t i = 0; i < TVI_TILE_MAX_LOOPS; ++i) {
    out->coefficients[i] = NULL;
    if (!a->coefficients[i]) continue;
    trivet_dim_t product = tvi_dim_binary(dims, TRIVET_DIM_MUL, a->coefficients[i], factor);
    if (!product) return false;
    out->coefficients[i] = normal(product);
  }
  return true;
}

// dim / divisor where that is exact for all values of the symbols; NULL otherwise.
static trivet_dim_t exact_quotient(lowerer_t* l, trivet_dim_t dim, trivet_dim_t divisor) {
  tvi_dim_context_t* dims = l->body->dims;
  trivet_dim_t rest = tvi_dim_binary(dims, TRIVET_DIM_MOD, dim, divisor);
  if (!rest || !tvi_dim_equals_constant(rest, 0)) return NULL;
  trivet_dim_t quotient = tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, dim, divisor);
  return quotient && tvi_dim_kind(quotient) != TVI_DIM_FLOORDIV ? quotient : NULL;
}

// Splits a form into divisor * quotient + rest with 0 <= rest < divisor, when that is certain.
static bool form_divide(lowerer_t* l, const tvi_tile_symbolic_t* a, trivet_dim_t divisor,
                        tvi_tile_symbolic_t* quotient, tvi_tile_symbolic_t* rest) {
  tvi_dim_context_t* dims = l->body->dims;
  const trivet_dim_t zero = tvi_dim_constant(dims, 0);
  int64_t low, high;
  tvi_dim_range(dims, divisor, &low, &high);
  if (low < 1) {
    // An extent of 0 leaves nothing to compute: it is enough that it is not negative.
    if (low < 0) return false;
  }
  memset(quotient, 0, sizeof(*quotient));
  memset(rest, 0, sizeof(*rest));
  trivet_dim_t part = exact_quotient(l, a->constant, divisor);
  quotient->constant = part ? part : zero;
  rest->constant = part ? zero : a->constant;
  // Greatest value of the rest, as an expression: sum of coefficient * (extent - 1).
  trivet_dim_t most = rest->constant;
  for (uint32_t i = 0; i < TVI_TILE_MAX_LOOPS; ++i) {
    if (!a->coefficients[i]) continue;
    part = exact_quotient(l, a->coefficients[i], divisor);
    if (part) {
      quotient->coefficients[i] = normal(part);
      continue;
    }
    rest->coefficients[i] = a->coefficients[i];
    tvi_dim_range(dims, a->coefficients[i], &low, &high);
    if (low < 0) return false;
    trivet_dim_t last =
        tvi_dim_binary(dims, TRIVET_DIM_SUB, l->body->extents[i], tvi_dim_constant(dims, 1));
    trivet_dim_t reach = tvi_dim_binary(dims, TRIVET_DIM_MUL, a->coefficients[i], last);
    most = most && reach ? tvi_dim_binary(dims, TRIVET_DIM_ADD, most, reach) : NULL;
  }
  if (!most) return false;
  tvi_dim_range(dims, rest->constant, &low, &high);
  if (low < 0) return false;
  trivet_dim_t slack = tvi_dim_binary(dims, TRIVET_DIM_SUB, divisor, most);
  if (!slack) return false;
  tvi_dim_range(dims, slack, &low, &high);
  return low >= 1;
}

// Arithmetic on I64 values that are affine; *out_done false: not affine any more.
static trivet_status_t index_arithmetic(lowerer_t* l, uint32_t opcode, uint32_t a, uint32_t b,
                                        uint32_t* out_ref, bool* out_done) {
  *out_done = false;
  const tvi_tile_symbolic_t* fa = form_of(l, a);
  const tvi_tile_symbolic_t* fb = b == TVI_TILE_NONE ? NULL : form_of(l, b);
  if (!fa || (b != TVI_TILE_NONE && !fb)) return TRIVET_OK;
  tvi_tile_symbolic_t out, rest;
  memset(&out, 0, sizeof(out));
  const tvi_tile_symbolic_t x = *fa;
  const tvi_tile_symbolic_t y = fb ? *fb : x;
  tvi_dim_context_t* dims = l->body->dims;
  int64_t low = 0, high = 0;
  bool done = false;
  switch (opcode) {
    case TVI_KIR_ADD:
      done = form_add(l, &x, &y, TRIVET_DIM_ADD, &out);
      break;
    case TVI_KIR_SUB:
      done = form_add(l, &x, &y, TRIVET_DIM_SUB, &out);
      break;
    case TVI_KIR_NEG:
      done = form_scale(l, &x, tvi_dim_constant(dims, -1), &out);
      break;
    case TVI_KIR_MUL:
      if (is_loop_free(&y)) {
        done = form_scale(l, &x, y.constant, &out);
      } else if (is_loop_free(&x)) {
        done = form_scale(l, &y, x.constant, &out);
      }
      break;
    case TVI_KIR_DIV:
    case TVI_KIR_REM:
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_MOD:
    case TVI_KIR_CEILDIV: {
      if (!is_loop_free(&y)) break;
      tvi_dim_range(dims, y.constant, &low, &high);
      // A divisor that may be 0 has its own meaning (the quotient is 0), which forms do not have;
      // extents of operands that are read are at least 1.
      if (low < 1 && !is_loop_free(&x)) {
        if (low < 0) break;
      } else if (low < 1) {
        break;
      }
      const bool is_rest = opcode == TVI_KIR_REM || opcode == TVI_KIR_MOD;
      if (opcode != TVI_KIR_CEILDIV && form_divide(l, &x, y.constant, &out, &rest)) {
        if (is_rest) out = rest;
        done = true;
      } else if (is_loop_free(&x)) {
        int64_t x_low, x_high;
        tvi_dim_range(dims, x.constant, &x_low, &x_high);
        if ((opcode == TVI_KIR_DIV || opcode == TVI_KIR_REM) && x_low < 0) break;
        memset(&out, 0, sizeof(out));
        out.constant = tvi_dim_binary(dims,
                                      is_rest                     ? TRIVET_DIM_MOD
                                      : opcode == TVI_KIR_CEILDIV ? TRIVET_DIM_CEILDIV
                                                                  : TRIVET_DIM_FLOORDIV,
                                      x.constant, y.constant);
        done = out.constant != NULL;
      }
      break;
    }
    case TVI_KIR_MIN:
    case TVI_KIR_MAX:
      if (!is_loop_free(&x) || !is_loop_free(&y)) break;
      out.constant = tvi_dim_binary(dims, opcode == TVI_KIR_MIN ? TRIVET_DIM_MIN : TRIVET_DIM_MAX,
                                    x.constant, y.constant);
      done = out.constant != NULL;
      break;
    default:
      break;
  }
  if (!done) return TRIVET_OK;
  *out_done = true;
  return tvi_tile_body_affine(l->body, &out, out_ref);
}

// ---------------------------------------------------------------------------------------------
// Types
// ---------------------------------------------------------------------------------------------

static bool is_narrow_integer(uint32_t dtype) {
  return tvi_tile_type_of_dtype(dtype) == TVI_TILE_I32 && dtype != TRIVET_DTYPE_I32 &&
         dtype != TRIVET_DTYPE_BOOL;
}
static bool is_small_float(uint32_t dtype) {
  return tvi_tile_type_of_dtype(dtype) == TVI_TILE_F32 && dtype != TRIVET_DTYPE_F32;
}
static bool is_float_type(uint32_t type) { return type == TVI_TILE_F32 || type == TVI_TILE_F64; }

static uint32_t type_of_ref(const lowerer_t* l, uint32_t ref) {
  return tvi_tile_result_type(&l->body->instrs.data[ref]);
}

static trivet_status_t convert(lowerer_t* l, uint32_t type, uint32_t a, uint32_t* out) {
  const uint32_t from = type_of_ref(l, a);
  if (from == type) {
    *out = a;
    return TRIVET_OK;
  }
  const tvi_tile_symbolic_t* form = form_of(l, a);
  int64_t value;
  if (form && is_loop_free(form) && tvi_dim_is_constant(form->constant, &value) &&
      (type == TVI_TILE_F32 || type == TVI_TILE_F64)) {
    // Through f32 at once: a second rounding would differ.
    if (type == TVI_TILE_F32)
      return tvi_tile_body_constant(l->body, type, tvi_tile_float_bits(type, (double)(float)value),
                                    out);
    return tvi_tile_body_constant(l->body, type, tvi_tile_float_bits(type, (double)value), out);
  }
  return op1(l, TVI_TILE_OP_CONVERT, type, 0, a, out);
}

// Clamps a register value to the range of an integer element type.
static trivet_status_t clamp(lowerer_t* l, uint32_t dtype, bool low_end, bool high_end, uint32_t a,
                             uint32_t* out) {
  const uint32_t type = type_of_ref(l, a);
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  uint32_t bound;
  *out = a;
  if (low_end) {
    TRIVET_RETURN_IF_ERROR(constant_i(l, type, info->int_min, &bound));
    TRIVET_RETURN_IF_ERROR(op2(l, TVI_TILE_OP_MAX, type, *out, bound, out));
  }
  if (high_end) {
    TRIVET_RETURN_IF_ERROR(constant_i(l, type, (int64_t)info->int_max, &bound));
    TRIVET_RETURN_IF_ERROR(op2(l, TVI_TILE_OP_MIN, type, *out, bound, out));
  }
  return TRIVET_OK;
}

static trivet_status_t to_bool(lowerer_t* l, uint32_t a, uint32_t* out) {
  const uint32_t type = type_of_ref(l, a);
  uint32_t zero;
  TRIVET_RETURN_IF_ERROR(constant_i(l, type, 0, &zero));
  return op2(l, TVI_TILE_OP_NE, type, a, zero, out);
}

static trivet_status_t lower_cast(lowerer_t* l, uint32_t dtype, uint32_t from_dtype, bool saturate,
                                  uint32_t a, uint32_t* out) {
  const uint32_t type = tvi_tile_type_of_dtype(dtype);
  const uint32_t from = type_of_ref(l, a);
  if (dtype == from_dtype) {
    *out = a;
    if (is_small_float(dtype))
      return op1(l, TVI_TILE_OP_ROUND_TO, TVI_TILE_F32, dtype | (saturate ? TVI_TILE_SATURATES : 0),
                 a, out);
    return TRIVET_OK;
  }
  if (dtype == TRIVET_DTYPE_BOOL) return to_bool(l, a, out);
  if (is_float_type(type)) {
    if (!is_small_float(dtype)) return convert(l, type, a, out);
    // One rounding: wide integers go through f64, which holds what matters of them.
    if (from != TVI_TILE_F32 && from != TVI_TILE_F64) {
      const bool fits_f32 = from_dtype == TRIVET_DTYPE_BOOL || is_narrow_integer(from_dtype);
      TRIVET_RETURN_IF_ERROR(convert(l, fits_f32 ? TVI_TILE_F32 : TVI_TILE_F64, a, &a));
    }
    return op1(l, TVI_TILE_OP_ROUND_TO, TVI_TILE_F32, dtype | (saturate ? TVI_TILE_SATURATES : 0),
               a, out);
  }
  if (is_float_type(from)) {
    if (saturate) TRIVET_RETURN_IF_ERROR(op1(l, TVI_TILE_OP_ROUND_EVEN, from, 0, a, &a));
    TRIVET_RETURN_IF_ERROR(convert(l, type, a, out));
    return is_narrow_integer(dtype) ? clamp(l, dtype, true, true, *out, out) : TRIVET_OK;
  }
  if (!saturate) {
    TRIVET_RETURN_IF_ERROR(convert(l, type, a, out));
    return is_narrow_integer(dtype) ? op1(l, TVI_TILE_OP_NARROW, TVI_TILE_I32, dtype, *out, out)
                                    : TRIVET_OK;
  }
  // Integer to integer, clamped in the wider of the two types.
  const tvi_dtype_info_t* to_info = tvi_dtype_info(dtype);
  const tvi_dtype_info_t* from_info = tvi_dtype_info(from_dtype);
  const bool low_end = from_info->int_min < to_info->int_min;
  const bool high_end = from_info->int_max > to_info->int_max;
  TRIVET_RETURN_IF_ERROR(clamp(l, dtype, low_end, high_end, a, &a));
  return convert(l, type, a, out);
}

static trivet_status_t lower_bitcast(lowerer_t* l, uint32_t dtype, uint32_t from_dtype, uint32_t a,
                                     uint32_t* out) {
  const uint32_t type = tvi_tile_type_of_dtype(dtype);
  const uint32_t from = type_of_ref(l, a);
  *out = a;
  if (dtype == from_dtype) return TRIVET_OK;
  if (is_small_float(from_dtype)) {
    TRIVET_RETURN_IF_ERROR(op1(l, TVI_TILE_OP_ENCODE, TVI_TILE_I32, from_dtype, a, out));
    if (is_small_float(dtype)) return op1(l, TVI_TILE_OP_DECODE, TVI_TILE_F32, dtype, *out, out);
    return is_narrow_integer(dtype) ? op1(l, TVI_TILE_OP_NARROW, TVI_TILE_I32, dtype, *out, out)
                                    : TRIVET_OK;
  }
  if (is_small_float(dtype)) return op1(l, TVI_TILE_OP_DECODE, TVI_TILE_F32, dtype, a, out);
  if (is_narrow_integer(dtype)) return op1(l, TVI_TILE_OP_NARROW, TVI_TILE_I32, dtype, a, out);
  if (from == type) return TRIVET_OK;
  return op1(l, TVI_TILE_OP_BITCAST, type, 0, a, out);
}

// ---------------------------------------------------------------------------------------------
// Instructions
// ---------------------------------------------------------------------------------------------

static const uint8_t kOpcodes[TVI_KIR_OPCODE_COUNT] = {
#define MAP(name) [TVI_KIR_##name] = TVI_TILE_OP_##name
    MAP(ADD),
    MAP(SUB),
    MAP(MUL),
    MAP(DIV),
    MAP(REM),
    MAP(FLOORDIV),
    MAP(CEILDIV),
    MAP(MOD),
    MAP(MIN),
    MAP(MAX),
    MAP(POW),
    MAP(ATAN2),
    MAP(FMA),
    MAP(AND),
    MAP(OR),
    MAP(XOR),
    MAP(NOT),
    MAP(SHL),
    MAP(SHR),
    MAP(POPCOUNT),
    MAP(EQ),
    MAP(NE),
    MAP(LT),
    MAP(LE),
    MAP(NEG),
    MAP(ABS),
    MAP(SIGN),
    MAP(SQRT),
    MAP(RSQRT),
    MAP(RECIP),
    MAP(EXP),
    MAP(EXP2),
    MAP(EXPM1),
    MAP(LOG),
    MAP(LOG2),
    MAP(LOG10),
    MAP(LOG1P),
    MAP(SIN),
    MAP(COS),
    MAP(TAN),
    MAP(ASIN),
    MAP(ACOS),
    MAP(ATAN),
    MAP(SINH),
    MAP(COSH),
    MAP(TANH),
    MAP(ASINH),
    MAP(ACOSH),
    MAP(ATANH),
    MAP(ERF),
    MAP(SIGMOID),
    MAP(FLOOR),
    MAP(CEIL),
    MAP(TRUNC),
    MAP(ISNAN),
    MAP(ISINF),
    [TVI_KIR_ROUND] = TVI_TILE_OP_ROUND_EVEN,
    [TVI_KIR_GT] = TVI_TILE_OP_LT,  // operands exchanged
    [TVI_KIR_GE] = TVI_TILE_OP_LE,
#undef MAP
};

// Opcodes whose result may leave the range of a narrow integer type.
static bool may_leave_range(uint32_t opcode) {
  switch (opcode) {
    case TVI_KIR_ADD:
    case TVI_KIR_SUB:
    case TVI_KIR_MUL:
    case TVI_KIR_DIV:
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_CEILDIV:
    case TVI_KIR_POW:
    case TVI_KIR_FMA:
    case TVI_KIR_NOT:
    case TVI_KIR_SHL:
    case TVI_KIR_NEG:
    case TVI_KIR_ABS:
      return true;
    default:
      return false;
  }
}

static trivet_status_t make_refs(tvi_arena_t* arena, uint32_t count, frame_t* frame) {
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, 2 * (size_t)count, sizeof(*frame->refs), &frame->refs));
  if (count != 0) memset(frame->refs, 0xff, 2 * (size_t)count * sizeof(*frame->refs));
  frame->guarded = frame->refs + count;
  return TRIVET_OK;
}

static trivet_status_t frame_for(lowerer_t* l, uint32_t stage, const uint32_t* indices,
                                 uint32_t depth, frame_t** out_frame) {
  const tvi_kir_stage_t* s = &l->program->stages[stage];
  const uint32_t count = s->parallel_count + s->reduced_count;
  for (frame_t* f = l->frames; f; f = f->next)
    if (f->stage == stage && memcmp(f->indices, indices, count * sizeof(*indices)) == 0) {
      *out_frame = f;
      return TRIVET_OK;
    }
  frame_t* frame;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(l->lowering->arena, sizeof(*frame), &frame));
  frame->stage = stage;
  frame->depth = depth;
  memcpy(frame->indices, indices, count * sizeof(*indices));
  TRIVET_RETURN_IF_ERROR(make_refs(l->lowering->arena, s->instr_count, frame));
  frame->next = l->frames;
  l->frames = frame;
  *out_frame = frame;
  return TRIVET_OK;
}

static trivet_status_t lower_load(lowerer_t* l, frame_t* frame, const tvi_kir_load_t* load,
                                  uint32_t* out_ref) {
  const tvi_kir_value_t* value = &l->program->values[load->value];
  uint32_t refs[TRIVET_MAX_RANK] = {0};
  for (uint32_t d = 0; d < load->index_count; ++d)
    TRIVET_RETURN_IF_ERROR(lower(l, frame, load->indices[d], &refs[d]));
  if (value->stage != TVI_KIR_NONE && l->lowering->is_inlined[value->stage]) {
    if (frame->depth >= MAX_DEPTH)
      return TRIVET_STATUS(UNIMPLEMENTED, "stages inlined more than %u deep", MAX_DEPTH);
    frame_t* inner;
    TRIVET_RETURN_IF_ERROR(frame_for(l, value->stage, refs, frame->depth + 1, &inner));
    return lower(l, inner, l->program->stages[value->stage].results[0], out_ref);
  }
  tvi_tile_body_access_t access;
  memset(&access, 0, sizeof(access));
  const uint32_t type = tvi_tile_type_of_dtype(value->dtype);
  if (!type)
    return TRIVET_STATUS(UNIMPLEMENTED, "value '%s' has element type %s", value->name,
                         tvi_dtype_name(value->dtype));
  access.value = load->value;
  access.rank = load->index_count;
  access.pad = TVI_TILE_NONE;
  access.bounds = TVI_TILE_BOUNDS_PROVEN;
  if (load->bounds == TVI_KIR_BOUNDS_PAD) {
    access.bounds = TVI_TILE_BOUNDS_PAD;
    TRIVET_RETURN_IF_ERROR(lower(l, frame, load->pad, &access.pad));
  } else if (l->guards > 0) {
    // The branch may not be taken where the index is out of bounds.
    access.bounds = TVI_TILE_BOUNDS_PAD;
    TRIVET_RETURN_IF_ERROR(constant_i(l, type, 0, &access.pad));
  }
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const uint32_t wrap = load->wrap ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    const tvi_tile_symbolic_t* form = form_of(l, refs[d]);
    tvi_tile_body_index_t* index = &access.indices[d];
    index->is_register = !form || wrap != TVI_KIR_WRAP_NONE;
    index->wrap = wrap == TVI_KIR_WRAP_NEGATIVE ? TVI_TILE_WRAP_NEGATIVE
                  : wrap == TVI_KIR_WRAP_CLIP   ? TVI_TILE_WRAP_CLIP
                                                : TVI_TILE_WRAP_NONE;
    index->ref = index->is_register ? refs[d] : (uint32_t)l->body->instrs.data[refs[d]].imm;
  }
  return tvi_tile_body_load(l->body, &access, type, out_ref);
}

static trivet_status_t lower_select(lowerer_t* l, frame_t* frame, const tvi_kir_instr_t* instr,
                                    uint32_t* out_ref) {
  uint32_t args[3];
  TRIVET_RETURN_IF_ERROR(lower(l, frame, instr->args[0], &args[0]));
  ++l->guards;
  trivet_status_t status = lower(l, frame, instr->args[1], &args[1]);
  if (!status) status = lower(l, frame, instr->args[2], &args[2]);
  --l->guards;
  TRIVET_RETURN_IF_ERROR(status);
  if (args[1] == args[2]) {
    *out_ref = args[1];
    return TRIVET_OK;
  }
  return tvi_tile_body_op(l->body, TVI_TILE_OP_SELECT, tvi_tile_type_of_dtype(instr->dtype), 0,
                          args, out_ref);
}

static const tvi_kir_instr_t* instrs_of(const lowerer_t* l, const frame_t* frame) {
  return l->join ? l->join : l->program->stages[frame->stage].instrs;
}

static trivet_status_t lower_arithmetic(lowerer_t* l, frame_t* frame, const tvi_kir_instr_t* instr,
                                        uint32_t* out_ref) {
  const uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  uint32_t args[3] = {TVI_TILE_NONE, TVI_TILE_NONE, TVI_TILE_NONE};
  for (uint32_t i = 0; i < operands; ++i)
    TRIVET_RETURN_IF_ERROR(lower(l, frame, instr->args[i], &args[i]));
  const uint32_t from_dtype = instrs_of(l, frame)[instr->args[0]].dtype;
  const uint32_t type = type_of_ref(l, args[0]);
  if (type == TVI_TILE_I64 && from_dtype == TRIVET_DTYPE_I64 &&
      (operands == 2 || instr->opcode == TVI_KIR_NEG)) {
    bool done;
    TRIVET_RETURN_IF_ERROR(index_arithmetic(l, instr->opcode, args[0], args[1], out_ref, &done));
    if (done) return TRIVET_OK;
  }
  uint32_t opcode = kOpcodes[instr->opcode];
  uint32_t aux = 0;
  switch (instr->opcode) {
    case TVI_KIR_CAST:
      return lower_cast(l, instr->dtype, from_dtype, false, args[0], out_ref);
    case TVI_KIR_SATCAST:
      return lower_cast(l, instr->dtype, from_dtype, true, args[0], out_ref);
    case TVI_KIR_BITCAST:
      return lower_bitcast(l, instr->dtype, from_dtype, args[0], out_ref);
    case TVI_KIR_GT:
    case TVI_KIR_GE: {
      uint32_t swap = args[0];
      args[0] = args[1];
      args[1] = swap;
      break;
    }
    case TVI_KIR_NOT:
      if (from_dtype == TRIVET_DTYPE_BOOL) {
        TRIVET_RETURN_IF_ERROR(constant_i(l, type, 1, &args[1]));
        return op2(l, TVI_TILE_OP_XOR, type, args[0], args[1], out_ref);
      }
      break;
    case TVI_KIR_FMA:
      if (!is_float_type(type)) opcode = TVI_TILE_OP_MULADD;
      break;
    case TVI_KIR_ISNAN:
    case TVI_KIR_ISINF:
      if (!is_float_type(type)) return constant_i(l, TVI_TILE_I32, 0, out_ref);
      break;
    case TVI_KIR_FLOOR:
    case TVI_KIR_CEIL:
    case TVI_KIR_ROUND:
    case TVI_KIR_TRUNC:
      if (!is_float_type(type)) {
        *out_ref = args[0];
        return TRIVET_OK;
      }
      break;
    case TVI_KIR_POPCOUNT:
      if (is_narrow_integer(from_dtype)) {
        uint32_t mask;
        const uint32_t bits = tvi_dtype_bits(from_dtype);
        TRIVET_RETURN_IF_ERROR(constant_i(l, type, (int64_t)((1u << bits) - 1), &mask));
        TRIVET_RETURN_IF_ERROR(op2(l, TVI_TILE_OP_AND, type, args[0], mask, &args[0]));
      }
      break;
    case TVI_KIR_SHR:
    case TVI_KIR_SHL:
      if (is_narrow_integer(from_dtype)) {
        // A shift by the width or more gives 0; registers are wider.
        uint32_t width, unsigned_by, is_inside, shifted, zero;
        TRIVET_RETURN_IF_ERROR(constant_i(l, TVI_TILE_U32, tvi_dtype_bits(from_dtype), &width));
        TRIVET_RETURN_IF_ERROR(op1(l, TVI_TILE_OP_CONVERT, TVI_TILE_U32, 0, args[1], &unsigned_by));
        TRIVET_RETURN_IF_ERROR(
            op2(l, TVI_TILE_OP_LT, TVI_TILE_U32, unsigned_by, width, &is_inside));
        TRIVET_RETURN_IF_ERROR(op2(l, opcode, type, args[0], args[1], &shifted));
        TRIVET_RETURN_IF_ERROR(
            op1(l, TVI_TILE_OP_NARROW, TVI_TILE_I32, from_dtype, shifted, &shifted));
        TRIVET_RETURN_IF_ERROR(constant_i(l, type, 0, &zero));
        uint32_t select[3] = {is_inside, shifted, zero};
        return tvi_tile_body_op(l->body, TVI_TILE_OP_SELECT, type, 0, select, out_ref);
      }
      break;
    default:
      break;
  }
  if (opcode == 0)
    return TRIVET_STATUS(INTERNAL, "kernel IR opcode %u has no tile instruction", instr->opcode);
  TRIVET_RETURN_IF_ERROR(tvi_tile_body_op(l->body, opcode, type, aux, args, out_ref));
  if (is_narrow_integer(instr->dtype) && may_leave_range(instr->opcode))
    return op1(l, TVI_TILE_OP_NARROW, TVI_TILE_I32, instr->dtype, *out_ref, out_ref);
  return TRIVET_OK;
}

static trivet_status_t lower_constant(lowerer_t* l, const tvi_kir_instr_t* instr, uint32_t* out) {
  const uint32_t type = tvi_tile_type_of_dtype(instr->dtype);
  if (!type)
    return TRIVET_STATUS(UNIMPLEMENTED, "constant of element type %s",
                         tvi_dtype_name(instr->dtype));
  if (is_float_type(type))
    return tvi_tile_body_constant(l->body, type, tvi_tile_float_bits(type, instr->imm.f64), out);
  return constant_i(l, type, instr->imm.i64, out);
}

static trivet_status_t lower(lowerer_t* l, frame_t* frame, tvi_kir_ref_t ref, uint32_t* out_ref) {
  if (frame->refs[ref] != TVI_TILE_NONE) {
    *out_ref = frame->refs[ref];
    return TRIVET_OK;
  }
  if (l->guards > 0 && frame->guarded[ref] != TVI_TILE_NONE) {
    *out_ref = frame->guarded[ref];
    return TRIVET_OK;
  }
  const tvi_kir_instr_t* instr = &instrs_of(l, frame)[ref];
  trivet_status_t status = TRIVET_OK;
  switch (instr->opcode) {
    case TVI_KIR_CONST:
      status = lower_constant(l, instr, out_ref);
      break;
    case TVI_KIR_INDEX:
      *out_ref = frame->indices[instr->imm.i64];
      break;
    case TVI_KIR_EXTENT: {
      tvi_tile_symbolic_t form;
      memset(&form, 0, sizeof(form));
      form.constant = instr->imm.dim;
      status = tvi_tile_body_affine(l->body, &form, out_ref);
      break;
    }
    case TVI_KIR_LOAD:
      status = lower_load(l, frame, instr->imm.load, out_ref);
      break;
    case TVI_KIR_SELECT:
      status = lower_select(l, frame, instr, out_ref);
      break;
    case TVI_KIR_WITH:
    case TVI_KIR_DEVICE:  // code for another target
      status = lower(l, frame, instr->args[0], out_ref);
      break;
    default:
      status = lower_arithmetic(l, frame, instr, out_ref);
  }
  if (!status) (l->guards > 0 ? frame->guarded : frame->refs)[ref] = *out_ref;
  return status;
}

trivet_status_t tvi_tile_lower_stage(const tvi_tile_lowering_t* lowering, uint32_t stage,
                                     tvi_tile_body_t* body, uint32_t results[TVI_KIR_MAX_STATE]) {
  const tvi_kir_stage_t* s = &lowering->program->stages[stage];
  lowerer_t l = {.lowering = lowering, .program = lowering->program, .body = body};
  const uint32_t count = s->parallel_count + s->reduced_count;
  body->loop_count = count;
  uint32_t indices[TVI_KIR_MAX_INDICES] = {0};
  for (uint32_t i = 0; i < count; ++i) {
    body->extents[i] = s->extents[i];
    tvi_tile_symbolic_t form;
    memset(&form, 0, sizeof(form));
    form.constant = tvi_dim_constant(body->dims, 0);
    form.coefficients[i] = tvi_dim_constant(body->dims, 1);
    if (!form.constant || !form.coefficients[i])
      return TRIVET_STATUS(OUT_OF_MEMORY, "no memory for a dimension");
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_affine(body, &form, &indices[i]));
  }
  frame_t* frame;
  TRIVET_RETURN_IF_ERROR(frame_for(&l, stage, indices, 0, &frame));
  const uint32_t elements = s->kind == TVI_KIR_MAP ? s->result_count : s->monoid->element_count;
  for (uint32_t r = 0; r < elements; ++r)
    TRIVET_RETURN_IF_ERROR(lower(&l, frame, s->results[r], &results[r]));
  return TRIVET_OK;
}

trivet_status_t tvi_tile_lower_join(const tvi_tile_lowering_t* lowering,
                                    const tvi_kir_monoid_t* monoid, tvi_tile_body_t* body,
                                    uint32_t results[TVI_KIR_MAX_STATE]) {
  lowerer_t l = {
      .lowering = lowering, .program = lowering->program, .body = body, .join = monoid->join};
  frame_t frame = {0};
  TRIVET_RETURN_IF_ERROR(make_refs(lowering->arena, monoid->join_count, &frame));
  for (uint32_t i = 0; i < 2 * monoid->state_count; ++i) {
    tvi_tile_instr_t instr = {
        .opcode = TVI_TILE_OP_ARG,
        .type = (uint8_t)tvi_tile_type_of_dtype(monoid->dtypes[i % monoid->state_count]),
        .imm = i};
    memset(instr.args, 0xff, sizeof(instr.args));
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_add(body, &instr, &frame.refs[i]));
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i)
    TRIVET_RETURN_IF_ERROR(lower(&l, &frame, monoid->join_results[i], &results[i]));
  return TRIVET_OK;
}
