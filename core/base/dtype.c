// SPDX-License-Identifier: Apache-2.0
//
// The table of element types, number formats, and access to elements one by one and in arrays. No
// other file computes a storage size or decodes a number format.

#include "core/base/dtype.h"

#include <math.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

#define IEEE (TVI_FLOAT_HAS_INFINITY | TVI_FLOAT_IEEE_NAN)
#define FLOAT_ROW(text, bits, exponent, mantissa, bias, flags, max) \
  { text, bits, TRIVET_DTYPE_CLASS_FLOAT, exponent, mantissa, bias, flags, 0, 0, max }
#define INT_ROW(text, bits)                                                     \
  {                                                                             \
    text, bits, TRIVET_DTYPE_CLASS_INT, 0, 0, 0, 0, INT64_MIN >> (64 - (bits)), \
        UINT64_MAX >> (65 - (bits)), 0                                          \
  }
#define UINT_ROW(text, bits) \
  { text, bits, TRIVET_DTYPE_CLASS_UINT, 0, 0, 0, 0, 0, UINT64_MAX >> (64 - (bits)), 0 }
#define OTHER_ROW(text, bits, dtype_class, int_max) \
  { text, bits, dtype_class, 0, 0, 0, 0, 0, int_max, 0 }

static const tvi_dtype_info_t rows[TRIVET_DTYPE_COUNT] = {
    [TRIVET_DTYPE_INVALID] = OTHER_ROW("invalid", 0, TRIVET_DTYPE_CLASS_NONE, 0),
    [TRIVET_DTYPE_F32] = FLOAT_ROW("f32", 32, 8, 23, 127, IEEE, 0x1.fffffep127),
    [TRIVET_DTYPE_F16] = FLOAT_ROW("f16", 16, 5, 10, 15, IEEE, 65504.0),
    [TRIVET_DTYPE_BF16] = FLOAT_ROW("bf16", 16, 8, 7, 127, IEEE, 0x1.fep127),
    [TRIVET_DTYPE_F64] = FLOAT_ROW("f64", 64, 11, 52, 1023, IEEE, 0x1.fffffffffffffp1023),
    [TRIVET_DTYPE_I8] = INT_ROW("i8", 8),
    [TRIVET_DTYPE_U8] = UINT_ROW("u8", 8),
    [TRIVET_DTYPE_I16] = INT_ROW("i16", 16),
    [TRIVET_DTYPE_U16] = UINT_ROW("u16", 16),
    [TRIVET_DTYPE_I32] = INT_ROW("i32", 32),
    [TRIVET_DTYPE_U32] = UINT_ROW("u32", 32),
    [TRIVET_DTYPE_I64] = INT_ROW("i64", 64),
    [TRIVET_DTYPE_U64] = UINT_ROW("u64", 64),
    [TRIVET_DTYPE_BOOL] = OTHER_ROW("bool", 8, TRIVET_DTYPE_CLASS_BOOL, 1),
    [TRIVET_DTYPE_F8E4M3FN] = FLOAT_ROW("f8e4m3fn", 8, 4, 3, 7, TVI_FLOAT_NAN_ALL_ONES, 448.0),
    [TRIVET_DTYPE_F8E4M3FNUZ] =
        FLOAT_ROW("f8e4m3fnuz", 8, 4, 3, 8, TVI_FLOAT_NAN_NEGATIVE_ZERO, 240.0),
    [TRIVET_DTYPE_F8E5M2] = FLOAT_ROW("f8e5m2", 8, 5, 2, 15, IEEE, 57344.0),
    [TRIVET_DTYPE_F8E5M2FNUZ] =
        FLOAT_ROW("f8e5m2fnuz", 8, 5, 2, 16, TVI_FLOAT_NAN_NEGATIVE_ZERO, 57344.0),
    [TRIVET_DTYPE_F8E8M0] =
        FLOAT_ROW("f8e8m0", 8, 8, 0, 127, TVI_FLOAT_UNSIGNED | TVI_FLOAT_NAN_ALL_ONES, 0x1p127),
    [TRIVET_DTYPE_F4E2M1] = FLOAT_ROW("f4e2m1", 4, 2, 1, 1, 0, 6.0),
    [TRIVET_DTYPE_I4] = INT_ROW("i4", 4),
    [TRIVET_DTYPE_U4] = UINT_ROW("u4", 4),
    [TRIVET_DTYPE_I2] = INT_ROW("i2", 2),
    [TRIVET_DTYPE_U2] = UINT_ROW("u2", 2),
    [TRIVET_DTYPE_C64] = OTHER_ROW("c64", 64, TRIVET_DTYPE_CLASS_COMPLEX, 0),
    [TRIVET_DTYPE_C128] = OTHER_ROW("c128", 128, TRIVET_DTYPE_CLASS_COMPLEX, 0),
    [TRIVET_DTYPE_STRING] = OTHER_ROW("string", 0, TRIVET_DTYPE_CLASS_STRING, 0),
};

const tvi_dtype_info_t* tvi_dtype_info(trivet_dtype_t dtype) {
  return &rows[dtype < TRIVET_DTYPE_COUNT ? dtype : TRIVET_DTYPE_INVALID];
}

bool tvi_dtype_is_float(trivet_dtype_t dtype) {
  return tvi_dtype_info(dtype)->dtype_class == TRIVET_DTYPE_CLASS_FLOAT;
}

bool tvi_dtype_is_signed_integer(trivet_dtype_t dtype) {
  return tvi_dtype_info(dtype)->dtype_class == TRIVET_DTYPE_CLASS_INT;
}

bool tvi_dtype_is_integer(trivet_dtype_t dtype) {
  return tvi_dtype_is_signed_integer(dtype) ||
         tvi_dtype_info(dtype)->dtype_class == TRIVET_DTYPE_CLASS_UINT;
}

bool tvi_dtype_is_complex(trivet_dtype_t dtype) {
  return tvi_dtype_info(dtype)->dtype_class == TRIVET_DTYPE_CLASS_COMPLEX;
}

bool tvi_dtype_is_real(trivet_dtype_t dtype) {
  return tvi_dtype_is_float(dtype) || tvi_dtype_is_integer(dtype) || dtype == TRIVET_DTYPE_BOOL;
}

uint32_t tvi_dtype_bits(trivet_dtype_t dtype) { return tvi_dtype_info(dtype)->bits; }
uint32_t tvi_dtype_bytes(trivet_dtype_t dtype) { return tvi_dtype_info(dtype)->bits / 8; }
const char* tvi_dtype_name(trivet_dtype_t dtype) { return tvi_dtype_info(dtype)->name; }
const char* trivet_dtype_name(trivet_dtype_t dtype) { return tvi_dtype_name(dtype); }

trivet_status_t tvi_dtype_storage_size(trivet_dtype_t dtype, int64_t count, size_t* out_bytes) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  if (row->bits == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "element type %s (%u) has no storage size", row->name,
                         dtype);
  }
  if (count < 0)
    return TRIVET_STATUS(INVALID_ARGUMENT, "negative element count %lld", (long long)count);
  uint64_t bytes;
  if (row->bits >= 8) {
    if (!tvi_checked_mul_u64((uint64_t)count, row->bits / 8, &bytes) || bytes > SIZE_MAX) {
      return TRIVET_STATUS(OUT_OF_RANGE, "%lld elements of %s are too large", (long long)count,
                           row->name);
    }
  } else {
    uint64_t per_byte = 8 / row->bits;
    bytes = (uint64_t)count / per_byte + ((uint64_t)count % per_byte != 0 ? 1 : 0);
  }
  *out_bytes = (size_t)bytes;
  return TRIVET_OK;
}

trivet_status_t trivet_dtype_storage_size(trivet_dtype_t dtype, int64_t count, size_t* out_bytes) {
  return tvi_dtype_storage_size(dtype, count, out_bytes);
}

trivet_dtype_t tvi_dtype_from_name(trivet_string_view_t name) {
  for (trivet_dtype_t dtype = 1; dtype < TRIVET_DTYPE_COUNT; ++dtype) {
    if (tvi_sv_equal_cstr(name, rows[dtype].name)) return dtype;
  }
  return TRIVET_DTYPE_INVALID;
}

// ---- Number formats ----

static uint64_t f64_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static double f64_from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static uint32_t f32_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static float f32_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Two to an exponent that gives a normal double.
static double power_of_two(int exponent) {
  return f64_from_bits((uint64_t)(exponent + 1023) << 52);
}

// All cases are computed and one is selected, so that loops over these functions can be vectorised.
static inline uint16_t half_from_single(float value) {
  uint32_t bits = f32_bits(value);
  uint32_t sign = bits >> 16 & 0x8000;
  uint32_t magnitude = bits & 0x7FFFFFFF;
  // Adding just under half of the last kept place, and one more when that place is odd, rounds to
  // nearest even; a carry into the exponent is what it should be.
  uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  uint32_t code = (rounded - 0x38000000) >> 13;
  // Below 2^-14 the last place of the sum with 1/2 is the subnormal's.
  uint32_t small = f32_bits(f32_from_bits(magnitude) + 0.5f) - 0x3F000000;
  uint32_t nan = 0x7E00 | (magnitude >> 13 & 0x3FF);
  code = magnitude < 0x38800000 ? small : code;
  code = magnitude >= 0x47800000 ? 0x7C00 : code;  // 65536 and above
  code = magnitude > 0x7F800000 ? nan : code;
  return (uint16_t)(sign | code);
}

static inline float single_from_half(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
  uint32_t magnitude = bits & 0x7FFF;
  uint32_t normal = (magnitude << 13) + 0x38000000;
  uint32_t small = f32_bits((float)(int32_t)magnitude * 0x1p-24f);
  uint32_t result = magnitude < 0x400 ? small : normal;
  // Infinity and NaN take the largest exponent; NaN becomes quiet.
  result = magnitude >= 0x7C00 ? normal + 0x38000000 : result;
  result = magnitude > 0x7C00 ? result | 0x400000 : result;
  return f32_from_bits(sign | result);
}

static inline uint16_t bfloat_from_single(float value) {
  uint32_t bits = f32_bits(value);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  uint32_t nan = bits >> 16 | 0x40;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

uint16_t tvi_f32_to_f16(float value) { return half_from_single(value); }
float tvi_f16_to_f32(uint16_t bits) { return single_from_half(bits); }
uint16_t tvi_f32_to_bf16(float value) { return bfloat_from_single(value); }

// The f32 nearest to a double, but with its last bit set when inexact ("round to odd"): a second
// rounding to at most 22 bits then gives what one rounding would have.
static float f64_to_f32_odd(double value) {
  float rounded = (float)value;
  double back = (double)rounded;
  if (back == value || value != value) return rounded;
  uint32_t bits = f32_bits(rounded);
  if (fabs(back) > fabs(value)) --bits;  // towards zero, from infinity to the largest finite
  return f32_from_bits(bits | 1);
}

uint16_t tvi_f64_to_f16(double value) { return tvi_f32_to_f16(f64_to_f32_odd(value)); }
uint16_t tvi_f64_to_bf16(double value) { return tvi_f32_to_bf16(f64_to_f32_odd(value)); }

double tvi_float_decode(trivet_dtype_t dtype, uint32_t code) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  if (dtype == TRIVET_DTYPE_F16) return (double)tvi_f16_to_f32((uint16_t)code);
  if (dtype == TRIVET_DTYPE_BF16) return (double)tvi_bf16_to_f32((uint16_t)code);
  if (row->dtype_class != TRIVET_DTYPE_CLASS_FLOAT || row->bits > 8) return 0.0;
  uint32_t mantissa_bits = row->mantissa_bits;
  uint32_t exponent_ones = (1u << row->exponent_bits) - 1;
  if ((row->float_flags & TVI_FLOAT_UNSIGNED) != 0) {
    // Code 0 is 2^-127 here, not zero.
    return code >= exponent_ones ? (double)NAN : power_of_two((int)code - row->exponent_bias);
  }
  uint32_t sign_bit = 1u << (row->bits - 1);
  uint32_t magnitude = code & (sign_bit - 1);
  uint32_t exponent = magnitude >> mantissa_bits;
  uint32_t mantissa = magnitude & ((1u << mantissa_bits) - 1);
  double sign = (code & sign_bit) != 0 ? -1.0 : 1.0;
  if ((row->float_flags & TVI_FLOAT_NAN_NEGATIVE_ZERO) != 0 && magnitude == 0 && sign < 0) {
    return (double)NAN;
  }
  if ((row->float_flags & TVI_FLOAT_NAN_ALL_ONES) != 0 && magnitude == sign_bit - 1) {
    return copysign((double)NAN, sign);
  }
  if ((row->float_flags & TVI_FLOAT_IEEE_NAN) != 0 && exponent == exponent_ones) {
    return copysign(mantissa != 0 ? (double)NAN : (double)INFINITY, sign);
  }
  uint32_t significand = exponent != 0 ? mantissa | 1u << mantissa_bits : mantissa;
  int scale = (exponent != 0 ? (int)exponent : 1) - row->exponent_bias - (int)mantissa_bits;
  return sign * (double)significand * power_of_two(scale);
}

static uint32_t encode_exponent_only(const tvi_dtype_info_t* row, double value) {
  if (value != value) return 0xFF;
  if (!(value >= power_of_two(-row->exponent_bias))) return 0;
  if (value >= row->float_max) return (uint32_t)(2 * row->exponent_bias);
  uint64_t bits = f64_bits(value);
  uint32_t code = (uint32_t)((int)(bits >> 52) - 1023 + row->exponent_bias);
  uint64_t fraction = bits & 0xFFFFFFFFFFFFF;
  uint64_t half = 0x8000000000000;
  return code + (fraction > half || (fraction == half && (code & 1) != 0) ? 1 : 0);
}

uint32_t tvi_float_encode(trivet_dtype_t dtype, double value, bool saturate) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  if (dtype == TRIVET_DTYPE_F16) return tvi_f64_to_f16(value);
  if (dtype == TRIVET_DTYPE_BF16) return tvi_f64_to_bf16(value);
  if (row->dtype_class != TRIVET_DTYPE_CLASS_FLOAT || row->bits > 8) return 0;
  if ((row->float_flags & TVI_FLOAT_UNSIGNED) != 0) return encode_exponent_only(row, value);

  uint32_t flags = row->float_flags;
  uint32_t mantissa_bits = row->mantissa_bits;
  uint32_t sign_bit = 1u << (row->bits - 1);
  uint32_t sign = signbit(value) ? sign_bit : 0;
  uint32_t infinity = ((1u << row->exponent_bits) - 1) << mantissa_bits;
  bool has_nan =
      (flags & (TVI_FLOAT_IEEE_NAN | TVI_FLOAT_NAN_ALL_ONES | TVI_FLOAT_NAN_NEGATIVE_ZERO)) != 0;
  uint32_t nan_code = sign | (sign_bit - 1);
  if ((flags & TVI_FLOAT_IEEE_NAN) != 0) nan_code = sign | infinity | 1u << (mantissa_bits - 1);
  if ((flags & TVI_FLOAT_NAN_NEGATIVE_ZERO) != 0) nan_code = sign_bit;
  // A format without NaN can only say "very large".
  if (value != value && has_nan) return nan_code;

  uint32_t max_code = sign_bit - 1;
  if ((flags & TVI_FLOAT_NAN_ALL_ONES) != 0) max_code = sign_bit - 2;
  if ((flags & TVI_FLOAT_IEEE_NAN) != 0) max_code = infinity - 1;

  double magnitude = fabs(value);
  uint32_t code;
  if (!(magnitude <= 2 * row->float_max)) {
    code = max_code + 1;
  } else {
    // Counted in units of the last place of its binade (of the smallest one for subnormals), the
    // value is rounded as an integer: ties to even follow, and a carry moves to the next binade.
    int exponent = (int)(f64_bits(magnitude) >> 52) - 1023;
    int smallest = 1 - row->exponent_bias;
    if (exponent < smallest) exponent = smallest;
    double units = magnitude * power_of_two((int)mantissa_bits - exponent);
    uint32_t count = (uint32_t)nearbyint(units);
    code = count + ((uint32_t)(exponent - smallest) << mantissa_bits);
  }
  if (code > max_code) {
    if (saturate || (!has_nan && (flags & TVI_FLOAT_HAS_INFINITY) == 0)) return sign | max_code;
    return (flags & TVI_FLOAT_HAS_INFINITY) != 0 ? sign | infinity : nan_code;
  }
  // The code of -0 means NaN in some formats.
  if (code == 0 && (flags & TVI_FLOAT_NAN_NEGATIVE_ZERO) != 0) return 0;
  return sign | code;
}

// ---- Single elements ----

static uint32_t read_packed(const void* base, int64_t index, uint32_t bits) {
  uint64_t at = (uint64_t)index * bits;
  uint32_t byte = ((const uint8_t*)base)[at / 8];
  return byte >> (at % 8) & ((1u << bits) - 1);
}

static void write_packed(void* base, int64_t index, uint32_t bits, uint32_t code) {
  uint64_t at = (uint64_t)index * bits;
  uint8_t* byte = (uint8_t*)base + at / 8;
  uint32_t mask = ((1u << bits) - 1) << (at % 8);
  *byte = (uint8_t)((*byte & ~mask) | (code << (at % 8) & mask));
}

// The bits of an element of at most 64, zero-extended.
static uint64_t read_code(uint32_t bits, const void* base, int64_t index) {
  const uint8_t* bytes = base;
  if (bits < 8) return read_packed(base, index, bits);
  if (bits == 8) return bytes[index];
  if (bits == 16) {
    uint16_t code;
    memcpy(&code, bytes + index * 2, sizeof(code));
    return code;
  }
  if (bits == 32) {
    uint32_t code;
    memcpy(&code, bytes + index * 4, sizeof(code));
    return code;
  }
  uint64_t code;
  memcpy(&code, bytes + index * 8, sizeof(code));
  return code;
}

static void write_code(uint32_t bits, void* base, int64_t index, uint64_t code) {
  uint8_t* bytes = base;
  if (bits < 8) {
    write_packed(base, index, bits, (uint32_t)code);
  } else if (bits == 8) {
    bytes[index] = (uint8_t)code;
  } else if (bits == 16) {
    uint16_t narrow = (uint16_t)code;
    memcpy(bytes + index * 2, &narrow, sizeof(narrow));
  } else if (bits == 32) {
    uint32_t narrow = (uint32_t)code;
    memcpy(bytes + index * 4, &narrow, sizeof(narrow));
  } else {
    memcpy(bytes + index * 8, &code, sizeof(code));
  }
}

static int64_t sign_extend(uint64_t code, uint32_t bits) {
  uint64_t sign = (uint64_t)1 << (bits - 1);
  return (int64_t)((code ^ sign) - sign);
}

static double decode_float(trivet_dtype_t dtype, uint64_t code) {
  if (dtype == TRIVET_DTYPE_F32) return (double)f32_from_bits((uint32_t)code);
  if (dtype == TRIVET_DTYPE_F64) return f64_from_bits(code);
  return tvi_float_decode(dtype, (uint32_t)code);
}

static uint64_t encode_float(trivet_dtype_t dtype, double value, bool saturate) {
  if (dtype == TRIVET_DTYPE_F32) return f32_bits((float)value);
  if (dtype == TRIVET_DTYPE_F64) return f64_bits(value);
  return tvi_float_encode(dtype, value, saturate);
}

double tvi_dtype_read_f64(trivet_dtype_t dtype, const void* base, int64_t index) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  switch (row->dtype_class) {
    case TRIVET_DTYPE_CLASS_FLOAT:
      return decode_float(dtype, read_code(row->bits, base, index));
    case TRIVET_DTYPE_CLASS_INT:
      return (double)sign_extend(read_code(row->bits, base, index), row->bits);
    case TRIVET_DTYPE_CLASS_UINT:
      return (double)read_code(row->bits, base, index);
    case TRIVET_DTYPE_CLASS_BOOL:
      return read_code(row->bits, base, index) != 0 ? 1.0 : 0.0;
    default:
      return 0.0;
  }
}

// Float to integer with saturation: towards zero, NaN is 0.
static int64_t f64_to_i64(double value) {
  if (value != value) return 0;
  if (value >= 0x1p63) return INT64_MAX;
  if (value < -0x1p63) return INT64_MIN;
  return (int64_t)value;
}

static uint64_t f64_to_u64(double value) {
  if (!(value > 0)) return 0;
  return value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
}

static int64_t clamp_i64(int64_t value, const tvi_dtype_info_t* row) {
  if (value < row->int_min) return row->int_min;
  if (value > 0 && (uint64_t)value > row->int_max) return (int64_t)row->int_max;
  return value;
}

// The code of a double in an integer type.
static uint64_t f64_to_int_code(const tvi_dtype_info_t* row, double value, bool saturate) {
  bool is_signed = row->dtype_class == TRIVET_DTYPE_CLASS_INT;
  if (saturate) {
    if (is_signed) return (uint64_t)clamp_i64(f64_to_i64(value), row);
    uint64_t magnitude = f64_to_u64(value);
    return magnitude < row->int_max ? magnitude : row->int_max;
  }
  if (value > -0x1p63 && value < 0x1p63) return (uint64_t)(int64_t)value;
  if (value == -0x1p63) return (uint64_t)INT64_MIN;
  return value > 0 && value < 0x1p64 ? (uint64_t)value : 0;
}

void tvi_dtype_write_f64(trivet_dtype_t dtype, void* base, int64_t index, double value) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  switch (row->dtype_class) {
    case TRIVET_DTYPE_CLASS_FLOAT:
      write_code(row->bits, base, index, encode_float(dtype, value, true));
      break;
    case TRIVET_DTYPE_CLASS_INT:
    case TRIVET_DTYPE_CLASS_UINT:
      write_code(row->bits, base, index, f64_to_int_code(row, value, true));
      break;
    case TRIVET_DTYPE_CLASS_BOOL:
      write_code(row->bits, base, index, value != 0 ? 1 : 0);
      break;
    default:
      break;
  }
}

int64_t tvi_dtype_read_i64(trivet_dtype_t dtype, const void* base, int64_t index) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  switch (row->dtype_class) {
    case TRIVET_DTYPE_CLASS_FLOAT:
      return f64_to_i64(decode_float(dtype, read_code(row->bits, base, index)));
    case TRIVET_DTYPE_CLASS_INT:
      return sign_extend(read_code(row->bits, base, index), row->bits);
    case TRIVET_DTYPE_CLASS_UINT:
      return (int64_t)read_code(row->bits, base, index);
    case TRIVET_DTYPE_CLASS_BOOL:
      return read_code(row->bits, base, index) != 0;
    default:
      return 0;
  }
}

// An integer as a double for a second rounding to at most 51 bits: beyond 2^53 the double is cut
// and its last bit set when something was lost, so that the second rounding is the only one.
static double int_to_f64_odd(uint64_t magnitude, bool negative) {
  int excess = magnitude >> 53 != 0 ? 11 - __builtin_clzll(magnitude) : 0;
  uint64_t kept = magnitude >> excess << excess;
  if (kept != magnitude) kept |= (uint64_t)1 << excess;
  return negative ? -(double)kept : (double)kept;
}

static uint64_t int_to_float_code(trivet_dtype_t dtype, uint64_t magnitude, bool negative,
                                  bool saturate) {
  if (dtype == TRIVET_DTYPE_F64) {
    return f64_bits(negative ? -(double)magnitude : (double)magnitude);
  }
  return encode_float(dtype, int_to_f64_odd(magnitude, negative), saturate);
}

void tvi_dtype_write_i64(trivet_dtype_t dtype, void* base, int64_t index, int64_t value) {
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  switch (row->dtype_class) {
    case TRIVET_DTYPE_CLASS_FLOAT:
      write_code(row->bits, base, index, int_to_float_code(dtype, magnitude, value < 0, true));
      break;
    case TRIVET_DTYPE_CLASS_INT:
    case TRIVET_DTYPE_CLASS_UINT:
      write_code(row->bits, base, index, (uint64_t)clamp_i64(value, row));
      break;
    case TRIVET_DTYPE_CLASS_BOOL:
      write_code(row->bits, base, index, value != 0 ? 1 : 0);
      break;
    default:
      break;
  }
}

// ---- Arrays ----

static void convert_from_float(const tvi_dtype_info_t* dst_row, trivet_dtype_t dst_dtype, void* dst,
                               trivet_dtype_t src_dtype, const void* src, int64_t count,
                               bool saturate) {
  uint32_t src_bits = tvi_dtype_bits(src_dtype);
  double values[256];
  bool tabulated = src_bits <= 8 && count > 256;
  for (uint32_t code = 0; tabulated && code < 1u << src_bits; ++code) {
    values[code] = tvi_float_decode(src_dtype, code);
  }
  for (int64_t i = 0; i < count; ++i) {
    uint64_t src_code = read_code(src_bits, src, i);
    double value = tabulated ? values[src_code] : decode_float(src_dtype, src_code);
    uint64_t code;
    if (dst_row->dtype_class == TRIVET_DTYPE_CLASS_FLOAT) {
      code = encode_float(dst_dtype, value, saturate);
    } else if (dst_row->dtype_class == TRIVET_DTYPE_CLASS_BOOL) {
      code = value != 0 ? 1 : 0;
    } else {
      code = f64_to_int_code(dst_row, value, saturate);
    }
    write_code(dst_row->bits, dst, i, code);
  }
}

static void convert_from_int(const tvi_dtype_info_t* dst_row, trivet_dtype_t dst_dtype, void* dst,
                             trivet_dtype_t src_dtype, const void* src, int64_t count,
                             bool saturate) {
  const tvi_dtype_info_t* src_row = tvi_dtype_info(src_dtype);
  bool src_signed = src_row->dtype_class == TRIVET_DTYPE_CLASS_INT;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t bits = read_code(src_row->bits, src, i);
    if (src_signed) bits = (uint64_t)sign_extend(bits, src_row->bits);
    if (src_row->dtype_class == TRIVET_DTYPE_CLASS_BOOL) bits = bits != 0;
    bool negative = src_signed && (int64_t)bits < 0;
    uint64_t code = bits;
    if (dst_row->dtype_class == TRIVET_DTYPE_CLASS_FLOAT) {
      code = int_to_float_code(dst_dtype, negative ? 0 - bits : bits, negative, saturate);
    } else if (dst_row->dtype_class == TRIVET_DTYPE_CLASS_BOOL) {
      code = bits != 0;
    } else if (saturate && negative) {
      code = (uint64_t)clamp_i64((int64_t)bits, dst_row);
    } else if (saturate && bits > dst_row->int_max) {
      code = dst_row->int_max;
    }
    write_code(dst_row->bits, dst, i, code);
  }
}

// Conversions that models are full of, in loops that the compiler can vectorise.
#define CONVERT_LOOP(dst_type, src_type, expression)                 \
  do {                                                               \
    dst_type* restrict to = dst;                                     \
    const src_type* restrict from = src;                             \
    for (int64_t i = 0; i < count; ++i) to[i] = expression(from[i]); \
    return true;                                                     \
  } while (0)

// False: none of them.
static bool convert_fast(trivet_dtype_t dst_dtype, void* dst, trivet_dtype_t src_dtype,
                         const void* src, int64_t count) {
  // The loops need aligned elements; weights in a mapped file may lie anywhere.
  uintptr_t dst_mask = tvi_dtype_bytes(dst_dtype) - 1u;
  uintptr_t src_mask = tvi_dtype_bytes(src_dtype) - 1u;
  if (((uintptr_t)dst & dst_mask) != 0 || ((uintptr_t)src & src_mask) != 0) return false;
  switch (dst_dtype * 256 + src_dtype) {
    case TRIVET_DTYPE_F16 * 256 + TRIVET_DTYPE_F32:
      CONVERT_LOOP(uint16_t, float, half_from_single);
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_F16:
      CONVERT_LOOP(float, uint16_t, single_from_half);
    case TRIVET_DTYPE_BF16 * 256 + TRIVET_DTYPE_F32:
      CONVERT_LOOP(uint16_t, float, bfloat_from_single);
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_BF16:
      CONVERT_LOOP(float, uint16_t, tvi_bf16_to_f32);
    case TRIVET_DTYPE_F64 * 256 + TRIVET_DTYPE_F32:
      CONVERT_LOOP(double, float, (double));
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_F64:
      CONVERT_LOOP(float, double, (float));
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_I64:
      CONVERT_LOOP(float, int64_t, (float));
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_I32:
      CONVERT_LOOP(float, int32_t, (float));
    case TRIVET_DTYPE_I64 * 256 + TRIVET_DTYPE_I32:
      CONVERT_LOOP(int64_t, int32_t, (int64_t));
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_U8:
      CONVERT_LOOP(float, uint8_t, (float));
    case TRIVET_DTYPE_F32 * 256 + TRIVET_DTYPE_I8:
      CONVERT_LOOP(float, int8_t, (float));
    default:
      return false;
  }
}

static void convert_real(trivet_dtype_t dst_dtype, void* dst, trivet_dtype_t src_dtype,
                         const void* src, int64_t count, bool saturate) {
  const tvi_dtype_info_t* dst_row = tvi_dtype_info(dst_dtype);
  if (convert_fast(dst_dtype, dst, src_dtype, src, count)) return;
  if (tvi_dtype_is_float(src_dtype)) {
    convert_from_float(dst_row, dst_dtype, dst, src_dtype, src, count, saturate);
  } else {
    convert_from_int(dst_row, dst_dtype, dst, src_dtype, src, count, saturate);
  }
}

static void convert_to_complex(trivet_dtype_t dst_dtype, void* dst, trivet_dtype_t src_dtype,
                               const void* src, int64_t count) {
  trivet_dtype_t part = dst_dtype == TRIVET_DTYPE_C64 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64;
  if (tvi_dtype_is_complex(src_dtype)) {
    convert_real(part, dst, src_dtype == TRIVET_DTYPE_C64 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64,
                 src, count * 2, false);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    tvi_dtype_write_f64(part, dst, 2 * i, tvi_dtype_read_f64(src_dtype, src, i));
    tvi_dtype_write_f64(part, dst, 2 * i + 1, 0.0);
  }
}

trivet_status_t tvi_dtype_convert(trivet_dtype_t dst_dtype, void* dst, trivet_dtype_t src_dtype,
                                  const void* src, int64_t count, bool saturate) {
  size_t dst_size;
  size_t src_size;
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dst_dtype, count, &dst_size));
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(src_dtype, count, &src_size));
  bool to_complex = tvi_dtype_is_complex(dst_dtype);
  if (tvi_dtype_is_complex(src_dtype) && !to_complex) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "cannot convert %s to %s", tvi_dtype_name(src_dtype),
                         tvi_dtype_name(dst_dtype));
  }
  if (count == 0) return TRIVET_OK;
  if (dst_dtype == src_dtype && dst_dtype != TRIVET_DTYPE_BOOL) {
    memmove(dst, src, dst_size);
  } else if (to_complex) {
    convert_to_complex(dst_dtype, dst, src_dtype, src, count);
  } else {
    convert_real(dst_dtype, dst, src_dtype, src, count, saturate);
  }
  // Bits that pad the last byte of a packed array are zero, so that equal arrays have equal bytes.
  uint32_t used_bits = (uint32_t)((uint64_t)count * tvi_dtype_bits(dst_dtype) % 8);
  if (used_bits != 0) ((uint8_t*)dst)[dst_size - 1] &= (uint8_t)((1u << used_bits) - 1);
  return TRIVET_OK;
}
