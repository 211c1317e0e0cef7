// SPDX-License-Identifier: Apache-2.0
//
// The scalar instructions in plain C, over arrays. See scalar.h. The evaluator and constant folding
// compute with it. It is what every other executor is measured by.
#include "core/kernel_ir/scalar.h"

#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/scalar_math.h"

typedef tvi_kir_scalar_t scalar_t;

bool tvi_kir_dtype_is_allowed(uint32_t dtype) { return tvi_dtype_is_real(dtype); }

bool tvi_kir_dtype_is_arithmetic(uint32_t dtype) {
  return tvi_dtype_is_float(dtype) || (tvi_dtype_is_integer(dtype) && tvi_dtype_bits(dtype) >= 8);
}

scalar_t tvi_kir_scalar_read(uint32_t dtype, const void* data, int64_t index) {
  scalar_t value;
  switch (dtype) {
    case TRIVET_DTYPE_F32: {
      float f;
      memcpy(&f, (const char*)data + index * 4, 4);
      value.f = (double)f;
      return value;
    }
    case TRIVET_DTYPE_I64:
    case TRIVET_DTYPE_U64:
      memcpy(&value.i, (const char*)data + index * 8, 8);
      return value;
    default:
      break;
  }
  if (tvi_dtype_is_float(dtype)) {
    value.f = tvi_dtype_read_f64(dtype, data, index);
  } else {
    value.i = tvi_dtype_read_i64(dtype, data, index);
  }
  return value;
}

void tvi_kir_scalar_write(uint32_t dtype, void* data, int64_t index, scalar_t value) {
  switch (dtype) {
    case TRIVET_DTYPE_F32: {
      float f = (float)value.f;
      memcpy((char*)data + index * 4, &f, 4);
      return;
    }
    case TRIVET_DTYPE_I64:
    case TRIVET_DTYPE_U64:
      memcpy((char*)data + index * 8, &value.i, 8);
      return;
    default:
      break;
  }
  if (tvi_dtype_is_float(dtype)) {
    uint32_t bits = tvi_dtype_bits(dtype);
    // A store rounds as a cast does: 8-bit floats do not saturate unless the program says so.
    if (bits == 8) {
      ((uint8_t*)data)[index] = (uint8_t)tvi_float_encode(dtype, value.f, false);
    } else if (bits == 16) {
      uint16_t code = (uint16_t)tvi_float_encode(dtype, value.f, false);
      memcpy((char*)data + index * 2, &code, 2);
    } else {
      tvi_dtype_write_f64(dtype, data, index, value.f);
    }
  } else {
    tvi_dtype_write_i64(dtype, data, index, value.i);
  }
}

// ---- Integers ----

// |value| modulo 2^bits, as the type reads it.
static int64_t wrap(uint32_t dtype, uint64_t value) {
  switch (dtype) {
    case TRIVET_DTYPE_I8:
      return (int8_t)value;
    case TRIVET_DTYPE_U8:
      return (uint8_t)value;
    case TRIVET_DTYPE_I16:
      return (int16_t)value;
    case TRIVET_DTYPE_U16:
      return (uint16_t)value;
    case TRIVET_DTYPE_I32:
      return (int32_t)value;
    case TRIVET_DTYPE_U32:
      return (uint32_t)value;
    case TRIVET_DTYPE_I4:
      return (int64_t)((value & 15) ^ 8) - 8;
    case TRIVET_DTYPE_U4:
      return (int64_t)(value & 15);
    case TRIVET_DTYPE_I2:
      return (int64_t)((value & 3) ^ 2) - 2;
    case TRIVET_DTYPE_U2:
      return (int64_t)(value & 3);
    case TRIVET_DTYPE_BOOL:
      return value != 0;
    default:
      return (int64_t)value;
  }
}

typedef enum { ROUND_TRUNC, ROUND_FLOOR, ROUND_CEIL } rounding_t;

// Quotient rounded as asked; division by zero gives 0.
static int64_t divide(int64_t a, int64_t b, bool is_unsigned, rounding_t rounding) {
  if (b == 0) return 0;
  if (is_unsigned) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b, q = x / y;
    return (int64_t)(rounding == ROUND_CEIL && x % y != 0 ? q + 1 : q);
  }
  if (b == -1) return (int64_t)(0 - (uint64_t)a);
  int64_t q = a / b, r = a % b;
  if (r != 0 && rounding == ROUND_FLOOR && (r < 0) != (b < 0)) --q;
  if (r != 0 && rounding == ROUND_CEIL && (r < 0) == (b < 0)) ++q;
  return q;
}

static int64_t remainder_of(int64_t a, int64_t b, bool is_unsigned, bool floor) {
  if (b == 0) return 0;
  if (is_unsigned) return (int64_t)((uint64_t)a % (uint64_t)b);
  if (b == -1) return 0;
  int64_t r = a % b;
  return floor && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t integer_power(int64_t base, int64_t exponent, bool is_unsigned) {
  if (!is_unsigned && exponent < 0) {
    if (base == 1) return 1;
    if (base == -1) return exponent % 2 != 0 ? -1 : 1;
    return 0;
  }
  uint64_t result = 1, square = (uint64_t)base;
  for (uint64_t e = (uint64_t)exponent; e != 0; e >>= 1) {
    if (e & 1) result *= square;
    square *= square;
  }
  return (int64_t)result;
}

static int64_t shift(tvi_kir_opcode_t opcode, uint32_t dtype, int64_t a, int64_t b,
                     bool is_unsigned) {
  uint64_t width = tvi_dtype_bits(dtype), by = (uint64_t)b;
  if (by >= width) return 0;
  if (opcode == TVI_KIR_SHL) return (int64_t)((uint64_t)a << by);
  // Shifting a negative number fills with its sign.
  return is_unsigned || a >= 0 ? (int64_t)((uint64_t)a >> by) : ~(int64_t)(~(uint64_t)a >> by);
}

static int64_t integer_apply(tvi_kir_opcode_t opcode, uint32_t dtype, bool is_unsigned, int64_t a,
                             int64_t b, int64_t c) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  bool less = is_unsigned ? x < y : a < b;
  switch (opcode) {
    case TVI_KIR_ADD:
      return (int64_t)(x + y);
    case TVI_KIR_SUB:
      return (int64_t)(x - y);
    case TVI_KIR_MUL:
      return (int64_t)(x * y);
    case TVI_KIR_FMA:
      return (int64_t)(x * y + (uint64_t)c);
    case TVI_KIR_DIV:
      return divide(a, b, is_unsigned, ROUND_TRUNC);
    case TVI_KIR_FLOORDIV:
      return divide(a, b, is_unsigned, ROUND_FLOOR);
    case TVI_KIR_CEILDIV:
      return divide(a, b, is_unsigned, ROUND_CEIL);
    case TVI_KIR_REM:
      return remainder_of(a, b, is_unsigned, false);
    case TVI_KIR_MOD:
      return remainder_of(a, b, is_unsigned, true);
    case TVI_KIR_MIN:
      return less ? a : b;
    case TVI_KIR_MAX:
      return less ? b : a;
    case TVI_KIR_POW:
      return integer_power(a, b, is_unsigned);
    case TVI_KIR_AND:
      return (int64_t)(x & y);
    case TVI_KIR_OR:
      return (int64_t)(x | y);
    case TVI_KIR_XOR:
      return (int64_t)(x ^ y);
    case TVI_KIR_NOT:
      return dtype == TRIVET_DTYPE_BOOL ? a == 0 : (int64_t)~x;
    case TVI_KIR_SHL:
    case TVI_KIR_SHR:
      return shift(opcode, dtype, a, b, is_unsigned);
    case TVI_KIR_POPCOUNT: {
      uint32_t bits = tvi_dtype_bits(dtype);
      return __builtin_popcountll(bits >= 64 ? x : x & ((UINT64_C(1) << bits) - 1));
    }
    case TVI_KIR_EQ:
      return a == b;
    case TVI_KIR_NE:
      return a != b;
    case TVI_KIR_LT:
      return less;
    case TVI_KIR_LE:
      return is_unsigned ? x <= y : a <= b;
    case TVI_KIR_GT:
      return is_unsigned ? x > y : a > b;
    case TVI_KIR_GE:
      return !less;
    case TVI_KIR_NEG:
      return (int64_t)(0 - x);
    case TVI_KIR_ABS:
      return is_unsigned || a >= 0 ? a : (int64_t)(0 - x);
    case TVI_KIR_SIGN:
      return is_unsigned ? a != 0 : (a > 0) - (a < 0);
    default:
      return 0;  // isnan, isinf
  }
}

// ---- Casts ----

// Largest and smallest of an integer type as int64_t (u64's largest as its bits).
static int64_t saturate_to_integer(uint32_t dtype, double value) {
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  if (value != value) return 0;
  // 2^64 and 2^63 are exact in a double, the largest integers are not.
  if (dtype == TRIVET_DTYPE_U64) {
    if (value <= 0) return 0;
    return value >= 18446744073709551616.0 ? (int64_t)UINT64_MAX : (int64_t)(uint64_t)value;
  }
  if (dtype == TRIVET_DTYPE_I64) {
    if (value >= 9223372036854775808.0) return INT64_MAX;
    return value < -9223372036854775808.0 ? INT64_MIN : (int64_t)value;
  }
  if (value <= (double)info->int_min) return info->int_min;
  if (value >= (double)info->int_max) return (int64_t)info->int_max;
  return (int64_t)value;
}

static int64_t clamp_integer(uint32_t dtype, int64_t value, bool from_unsigned) {
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  if (from_unsigned) {
    return (uint64_t)value > info->int_max ? (int64_t)info->int_max : value;
  }
  if (value < info->int_min) return info->int_min;
  return value > 0 && (uint64_t)value > info->int_max ? (int64_t)info->int_max : value;
}

static double round_to(uint32_t dtype, double value, bool saturate) {
  switch (dtype) {
    case TRIVET_DTYPE_F64:
      return value;
    case TRIVET_DTYPE_F32:
      return (double)(float)value;
    default:
      return tvi_float_decode(dtype, tvi_float_encode(dtype, value, saturate));
  }
}

static scalar_t cast(uint32_t dtype, uint32_t from, scalar_t a, bool saturate) {
  scalar_t out;
  bool from_float = tvi_dtype_is_float(from), to_float = tvi_dtype_is_float(dtype);
  if (dtype == TRIVET_DTYPE_BOOL) {
    out.i = from_float ? a.f != 0 : a.i != 0;
  } else if (to_float && from_float) {
    out.f = round_to(dtype, a.f, saturate);
  } else if (to_float) {
    bool is_u64 = from == TRIVET_DTYPE_U64;
    if (dtype == TRIVET_DTYPE_F32) {
      // Rounded once: through a double it would be rounded twice.
      out.f = is_u64 ? (double)(float)(uint64_t)a.i : (double)(float)a.i;
    } else {
      out.f = round_to(dtype, is_u64 ? (double)(uint64_t)a.i : (double)a.i, saturate);
    }
  } else if (from_float) {
    out.i = saturate_to_integer(dtype, saturate ? tvi_math_round_even(a.f) : a.f);
  } else {
    out.i =
        saturate ? clamp_integer(dtype, a.i, from == TRIVET_DTYPE_U64) : wrap(dtype, (uint64_t)a.i);
  }
  return out;
}

static scalar_t bitcast(uint32_t dtype, uint32_t from, scalar_t a) {
  uint64_t bytes = 0;
  tvi_kir_scalar_write(from, &bytes, 0, a);
  return tvi_kir_scalar_read(dtype, &bytes, 0);
}

// ---- Floats ----

static double minimum(double a, double b) {
  if (a != a) return a;
  if (b != b) return b;
  // -0 is below +0.
  if (a == b) return signbit(a) ? a : b;
  return a < b ? a : b;
}

static double maximum(double a, double b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return signbit(a) ? b : a;
  return a > b ? a : b;
}

static double floor_mod(double a, double b) {
  double r = tvi_math_fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r == 0 ? copysign(0.0, b) : r;
}

static bool compare(tvi_kir_opcode_t opcode, double a, double b) {
  switch (opcode) {
    case TVI_KIR_EQ:
      return a == b;
    case TVI_KIR_NE:
      return a != b;
    case TVI_KIR_LT:
      return a < b;
    case TVI_KIR_LE:
      return a <= b;
    case TVI_KIR_GT:
      return a > b;
    case TVI_KIR_GE:
      return a >= b;
    case TVI_KIR_ISNAN:
      return a != a;
    default:
      return isinf(a) != 0;
  }
}

static double sign_of(double a) { return a != a ? a : (double)((a > 0) - (a < 0)); }

static double unary_f64(tvi_kir_opcode_t opcode, double a) {
  switch (opcode) {
#define CASE(NAME, function) \
  case TVI_KIR_##NAME:       \
    return tvi_math_##function(a);
#define CASES(X)  \
  X(SQRT, sqrt)   \
  X(RSQRT, rsqrt) \
  X(EXP, exp)     \
  X(EXP2, exp2)   \
  X(EXPM1, expm1) \
  X(LOG, log)     \
  X(LOG2, log2)   \
  X(LOG10, log10) \
  X(LOG1P, log1p) \
  X(SIN, sin)     \
  X(COS, cos)     \
  X(TAN, tan)     \
  X(ASIN, asin)   \
  X(ACOS, acos)   \
  X(ATAN, atan)   \
  X(SINH, sinh)   \
  X(COSH, cosh)   \
  X(TANH, tanh)   \
  X(ASINH, asinh) \
  X(ACOSH, acosh) \
  X(ATANH, atanh) \
  X(SIGMOID, sigmoid) X(ERF, erf) X(FLOOR, floor) X(CEIL, ceil) X(ROUND, round_even) X(TRUNC, trunc)
    CASES(CASE)
#undef CASE
    case TVI_KIR_NEG:
      return -a;
    case TVI_KIR_ABS:
      return fabs(a);
    case TVI_KIR_SIGN:
      return sign_of(a);
    case TVI_KIR_RECIP:
      return 1.0 / a;
    default:
      return a;
  }
}

static float unary_f32(tvi_kir_opcode_t opcode, float a) {
  switch (opcode) {
#define CASE(NAME, function) \
  case TVI_KIR_##NAME:       \
    return tvi_math_##function##_f32(a);
    CASES(CASE)
#undef CASE
    case TVI_KIR_RECIP:
      return 1.0f / a;
    default:
      return (float)unary_f64(opcode, (double)a);
  }
}

static double binary_f64(tvi_kir_opcode_t opcode, double a, double b, double c) {
  switch (opcode) {
    case TVI_KIR_ADD:
      return a + b;
    case TVI_KIR_SUB:
      return a - b;
    case TVI_KIR_MUL:
      return a * b;
    case TVI_KIR_DIV:
      return a / b;
    case TVI_KIR_FMA:
      return fma(a, b, c);
    case TVI_KIR_REM:
      return tvi_math_fmod(a, b);
    case TVI_KIR_MOD:
      return floor_mod(a, b);
    case TVI_KIR_FLOORDIV:
      return tvi_math_floor(a / b);
    case TVI_KIR_CEILDIV:
      return tvi_math_ceil(a / b);
    case TVI_KIR_MIN:
      return minimum(a, b);
    case TVI_KIR_MAX:
      return maximum(a, b);
    case TVI_KIR_POW:
      return tvi_math_pow(a, b);
    case TVI_KIR_ATAN2:
      return tvi_math_atan2(a, b);
    default:
      return 0;
  }
}

static float binary_f32(tvi_kir_opcode_t opcode, float a, float b, float c) {
  switch (opcode) {
    case TVI_KIR_ADD:
      return a + b;
    case TVI_KIR_SUB:
      return a - b;
    case TVI_KIR_MUL:
      return a * b;
    case TVI_KIR_DIV:
      return a / b;
    case TVI_KIR_FMA:
      return fmaf(a, b, c);
    case TVI_KIR_REM:
      return tvi_math_fmod_f32(a, b);
    case TVI_KIR_FLOORDIV:
      return tvi_math_floor_f32(a / b);
    case TVI_KIR_CEILDIV:
      return tvi_math_ceil_f32(a / b);
    case TVI_KIR_POW:
      return tvi_math_pow_f32(a, b);
    case TVI_KIR_ATAN2:
      return tvi_math_atan2_f32(a, b);
    default:
      return (float)binary_f64(opcode, (double)a, (double)b, (double)c);
  }
}

void tvi_kir_scalar_apply(tvi_kir_opcode_t opcode, uint32_t dtype, uint32_t operand_dtype,
                          uint32_t count, const scalar_t* a, const scalar_t* b, const scalar_t* c,
                          scalar_t* out) {
#define EACH(expression) \
  for (uint32_t j = 0; j < count; ++j) expression
  switch (opcode) {
    case TVI_KIR_SELECT:
      EACH(out[j] = a[j].i != 0 ? b[j] : c[j]);
      return;
    case TVI_KIR_WITH:
    case TVI_KIR_DEVICE:
      EACH(out[j] = a[j]);
      return;
    case TVI_KIR_CAST:
      EACH(out[j] = cast(dtype, operand_dtype, a[j], false));
      return;
    case TVI_KIR_SATCAST:
      EACH(out[j] = cast(dtype, operand_dtype, a[j], true));
      return;
    case TVI_KIR_BITCAST:
      EACH(out[j] = bitcast(dtype, operand_dtype, a[j]));
      return;
    default:
      break;
  }
  uint32_t operands = tvi_kir_opcode_operands(opcode);
  if (!tvi_dtype_is_float(operand_dtype)) {
    bool is_unsigned = !tvi_dtype_is_signed_integer(operand_dtype);
    EACH(out[j].i = wrap(
             dtype, (uint64_t)integer_apply(opcode, operand_dtype, is_unsigned, a[j].i,
                                            operands > 1 ? b[j].i : 0, operands > 2 ? c[j].i : 0)));
    return;
  }
  if (dtype == TRIVET_DTYPE_BOOL) {
    EACH(out[j].i = compare(opcode, a[j].f, operands > 1 ? b[j].f : 0));
    return;
  }
  if (operand_dtype == TRIVET_DTYPE_F64) {
    if (operands == 1) {
      EACH(out[j].f = unary_f64(opcode, a[j].f));
    } else {
      EACH(out[j].f = binary_f64(opcode, a[j].f, b[j].f, operands > 2 ? c[j].f : 0));
    }
    return;
  }
  switch (opcode) {
    // A product, sum or difference of f32 in f64 rounded to f32 has the same bits.
    case TVI_KIR_ADD:
      EACH(out[j].f = (double)(float)(a[j].f + b[j].f));
      return;
    case TVI_KIR_SUB:
      EACH(out[j].f = (double)(float)(a[j].f - b[j].f));
      return;
    case TVI_KIR_MUL:
      EACH(out[j].f = (double)(float)(a[j].f * b[j].f));
      return;
    default:
      break;
  }
  if (operands == 1) {
    EACH(out[j].f = (double)unary_f32(opcode, (float)a[j].f));
  } else {
    EACH(out[j].f = (double)binary_f32(opcode, (float)a[j].f, (float)b[j].f,
                                       operands > 2 ? (float)c[j].f : 0));
  }
#undef EACH
}

scalar_t tvi_kir_scalar_limit(uint32_t dtype, int which) {
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  scalar_t value;
  if (tvi_dtype_is_float(dtype)) {
    bool is_unsigned = (info->float_flags & TVI_FLOAT_UNSIGNED) != 0;
    value.f = which == 0   ? info->float_max
              : which == 1 ? (is_unsigned ? 0 : -info->float_max)
                           : ldexp(1.0, -(int)info->mantissa_bits);
  } else {
    value.i = which == 0 ? (int64_t)info->int_max : which == 1 ? info->int_min : 1;
  }
  return value;
}

// ---- Types ----

uint32_t tvi_kir_result_dtype(tvi_kir_opcode_t opcode, const uint32_t* operands) {
  if ((opcode >= TVI_KIR_EQ && opcode <= TVI_KIR_GE) || opcode == TVI_KIR_ISNAN ||
      opcode == TVI_KIR_ISINF) {
    return TRIVET_DTYPE_BOOL;
  }
  return opcode == TVI_KIR_SELECT ? operands[1] : operands[0];
}

const char* tvi_kir_type_error(tvi_kir_opcode_t opcode, uint32_t dtype, const uint32_t* operands) {
  uint32_t count = tvi_kir_opcode_operands(opcode);
  if (!tvi_kir_dtype_is_allowed(dtype)) return "has a type that programs cannot hold";
  for (uint32_t i = 0; i < count; ++i) {
    if (!tvi_kir_dtype_is_allowed(operands[i])) return "has an operand of an unknown type";
  }
  bool is_float = count > 0 && tvi_dtype_is_float(operands[0]);
  switch (opcode) {
    case TVI_KIR_CONST:
    case TVI_KIR_LOAD:
    case TVI_KIR_CAST:
    case TVI_KIR_SATCAST:
      return NULL;
    case TVI_KIR_INDEX:
    case TVI_KIR_EXTENT:
      return dtype == TRIVET_DTYPE_I64 ? NULL : "is not i64";
    case TVI_KIR_BITCAST:
      return tvi_dtype_bits(dtype) == tvi_dtype_bits(operands[0]) && tvi_dtype_bits(dtype) >= 8
                 ? NULL
                 : "needs two types of one size";
    case TVI_KIR_SELECT:
      if (operands[0] != TRIVET_DTYPE_BOOL) return "needs a bool condition";
      return operands[1] == operands[2] && dtype == operands[1] ? NULL
                                                                : "has branches of different types";
    case TVI_KIR_WITH:
      return dtype == operands[0] ? NULL : "has a wrong result type";
    case TVI_KIR_DEVICE:
      return dtype == operands[0] && is_float ? NULL : "gives no float";
    default:
      break;
  }
  for (uint32_t i = 1; i < count; ++i) {
    if (operands[i] != operands[0]) return "has operands of different types; write a cast";
  }
  if (dtype != tvi_kir_result_dtype(opcode, operands)) return "has a wrong result type";
  if (opcode >= TVI_KIR_EQ && opcode <= TVI_KIR_GE) return NULL;
  if (opcode >= TVI_KIR_AND && opcode <= TVI_KIR_NOT) {
    return operands[0] == TRIVET_DTYPE_BOOL ||
                   (tvi_kir_dtype_is_arithmetic(operands[0]) && !is_float)
               ? NULL
               : "needs bool or integer operands";
  }
  if (opcode >= TVI_KIR_SHL && opcode <= TVI_KIR_POPCOUNT) {
    return tvi_kir_dtype_is_arithmetic(operands[0]) && !is_float ? NULL : "needs integer operands";
  }
  if (opcode == TVI_KIR_ATAN2 || opcode >= TVI_KIR_SQRT) {
    return is_float ? NULL : "needs float operands";
  }
  return tvi_kir_dtype_is_arithmetic(operands[0]) ? NULL : "needs numbers as operands";
}
