// SPDX-License-Identifier: Apache-2.0
//
// Element access of any type through double and int64. A small float is described by its exponent
// and mantissa width, bias and what its highest exponent means; one pair of routines converts them
// all.
#include "plugins/ops_standard/ops_host.h"

#include <math.h>

typedef struct small_float_s {
  int exponent_bits, mantissa_bits, bias;
  int infinity;        // the highest exponent is kept for infinity and NaN
  int single_nan;      // NaN is the pattern of all ones ("fn")
  int nan_minus_zero;  // NaN is the pattern of minus zero ("fnuz")
} small_float_t;

static int small_float(uint32_t dtype, small_float_t* out) {
  switch (dtype) {
    case TRIVET_DTYPE_F16:
      *out = (small_float_t){5, 10, 15, 1, 0, 0};
      return 1;
    case TRIVET_DTYPE_BF16:
      *out = (small_float_t){8, 7, 127, 1, 0, 0};
      return 1;
    case TRIVET_DTYPE_F8E4M3FN:
      *out = (small_float_t){4, 3, 7, 0, 1, 0};
      return 1;
    case TRIVET_DTYPE_F8E4M3FNUZ:
      *out = (small_float_t){4, 3, 8, 0, 0, 1};
      return 1;
    case TRIVET_DTYPE_F8E5M2:
      *out = (small_float_t){5, 2, 15, 1, 0, 0};
      return 1;
    case TRIVET_DTYPE_F8E5M2FNUZ:
      *out = (small_float_t){5, 2, 16, 0, 0, 1};
      return 1;
    case TRIVET_DTYPE_F4E2M1:
      *out = (small_float_t){2, 1, 1, 0, 0, 0};
      return 1;
    default:
      return 0;
  }
}

static double decode(const small_float_t* f, uint32_t bits) {
  int width = 1 + f->exponent_bits + f->mantissa_bits;
  uint32_t sign = bits >> (width - 1) & 1, mantissa = bits & ((1u << f->mantissa_bits) - 1);
  int exponent = (int)(bits >> f->mantissa_bits & ((1u << f->exponent_bits) - 1));
  if (f->nan_minus_zero && bits == 1u << (width - 1)) return NAN;
  if (f->infinity && exponent == (1 << f->exponent_bits) - 1)
    return mantissa ? NAN : sign ? -INFINITY : INFINITY;
  if (f->single_nan && (bits & ((1u << (width - 1)) - 1)) == (1u << (width - 1)) - 1) return NAN;
  double value = exponent
                     ? ldexp(1.0 + ldexp((double)mantissa, -f->mantissa_bits), exponent - f->bias)
                     : ldexp((double)mantissa, 1 - f->bias - f->mantissa_bits);
  return sign ? -value : value;
}

static uint32_t encode(const small_float_t* f, double value) {
  int width = 1 + f->exponent_bits + f->mantissa_bits;
  uint32_t sign = signbit(value) ? 1u << (width - 1) : 0, all = (1u << (width - 1)) - 1;
  uint32_t infinity = f->infinity         ? ((1u << f->exponent_bits) - 1) << f->mantissa_bits
                      : f->nan_minus_zero ? 1u << (width - 1)
                                          : all;
  if (isnan(value))
    return f->infinity         ? infinity | 1u << (f->mantissa_bits - 1) | sign
           : f->nan_minus_zero ? infinity
                               : all | sign;
  double magnitude = fabs(value);
  if (magnitude == 0.0) return f->nan_minus_zero ? 0 : sign;
  int exponent;
  frexp(magnitude, &exponent);
  exponent -= 1;
  if (exponent < 1 - f->bias) exponent = 1 - f->bias;
  // In units of the last place of this binade; a carry into the next one is right as it stands.
  double units =
      isinf(magnitude) ? INFINITY : nearbyint(ldexp(magnitude, f->mantissa_bits - exponent));
  double biased = (double)(exponent + f->bias - 1) * (double)(1u << f->mantissa_bits) + units;
  double last = f->infinity ? infinity - 1 : f->single_nan ? all - 1 : all;
  if (!(biased <= last))
    return f->nan_minus_zero              ? infinity
           : f->infinity || f->single_nan ? infinity | sign
                                          : all | sign;
  uint32_t bits = (uint32_t)biased;
  return f->nan_minus_zero && !bits ? 0 : bits | sign;
}

uint32_t tvi_ops_element_size(uint32_t dtype) {
  uint32_t bits = tvi_ops_dtype_bits(dtype);
  return bits % 8 ? 0 : bits / 8;
}

// Bits of an element of a type of at most 16 bits.
static uint32_t get_bits(const trivet_tensor_t* t, int64_t i, uint32_t width) {
  const uint8_t* p = t->data;
  if (width == 16) return (uint32_t)((const uint16_t*)t->data)[i];
  if (width == 8) return p[i];
  uint32_t per_byte = 8 / width;
  return p[i / per_byte] >> ((uint64_t)i % per_byte * width) & ((1u << width) - 1);
}
static void put_bits(trivet_tensor_t* t, int64_t i, uint32_t width, uint32_t bits) {
  uint8_t* p = t->data;
  if (width == 16) {
    ((uint16_t*)t->data)[i] = (uint16_t)bits;
  } else if (width == 8) {
    p[i] = (uint8_t)bits;
  } else {
    uint32_t per_byte = 8 / width, shift = (uint32_t)((uint64_t)i % per_byte) * width,
             mask = ((1u << width) - 1) << shift;
    p[i / per_byte] = (uint8_t)((p[i / per_byte] & ~mask) | (bits << shift & mask));
  }
}

static int is_integer(uint32_t dtype) {
  return (dtype >= TRIVET_DTYPE_I8 && dtype <= TRIVET_DTYPE_BOOL) ||
         (dtype >= TRIVET_DTYPE_I4 && dtype <= TRIVET_DTYPE_U2);
}

double tvi_ops_get_f64(const trivet_tensor_t* t, int64_t i) {
  small_float_t f;
  if (t->dtype == TRIVET_DTYPE_F32) return ((const float*)t->data)[i];
  if (t->dtype == TRIVET_DTYPE_F64) return ((const double*)t->data)[i];
  if (t->dtype == TRIVET_DTYPE_U64) return (double)((const uint64_t*)t->data)[i];
  if (t->dtype == TRIVET_DTYPE_F8E8M0) {
    uint32_t bits = get_bits(t, i, 8);
    return bits == 255 ? NAN : ldexp(1.0, (int)bits - 127);
  }
  if (small_float(t->dtype, &f))
    return decode(&f, get_bits(t, i, (uint32_t)(1 + f.exponent_bits + f.mantissa_bits)));
  return is_integer(t->dtype) ? (double)tvi_ops_get_i64(t, i) : 0;
}

static int64_t saturate(double value, double low, double high) {
  if (isnan(value)) return 0;
  if (value <= low) return (int64_t)low;
  // 2^63 itself does not fit; every other bound of an integer type is exact.
  if (value >= high) return high >= 9223372036854775808.0 ? INT64_MAX : (int64_t)high;
  return (int64_t)value;
}

int64_t tvi_ops_get_i64(const trivet_tensor_t* t, int64_t i) {
  switch (t->dtype) {
    case TRIVET_DTYPE_I8:
      return ((const int8_t*)t->data)[i];
    case TRIVET_DTYPE_U8:
      return ((const uint8_t*)t->data)[i];
    case TRIVET_DTYPE_I16:
      return ((const int16_t*)t->data)[i];
    case TRIVET_DTYPE_U16:
      return ((const uint16_t*)t->data)[i];
    case TRIVET_DTYPE_I32:
      return ((const int32_t*)t->data)[i];
    case TRIVET_DTYPE_U32:
      return ((const uint32_t*)t->data)[i];
    case TRIVET_DTYPE_I64:
      return ((const int64_t*)t->data)[i];
    case TRIVET_DTYPE_U64:
      return (int64_t)((const uint64_t*)t->data)[i];
    case TRIVET_DTYPE_BOOL:
      return ((const uint8_t*)t->data)[i] != 0;
    case TRIVET_DTYPE_U4:
      return get_bits(t, i, 4);
    case TRIVET_DTYPE_U2:
      return get_bits(t, i, 2);
    case TRIVET_DTYPE_I4:
      return (int64_t)(get_bits(t, i, 4) ^ 8u) - 8;
    case TRIVET_DTYPE_I2:
      return (int64_t)(get_bits(t, i, 2) ^ 2u) - 2;
    default:
      return saturate(tvi_ops_get_f64(t, i), -9223372036854775808.0, 9223372036854775808.0);
  }
}

void tvi_ops_put_f64(trivet_tensor_t* t, int64_t i, double value) {
  small_float_t f;
  switch (t->dtype) {
    case TRIVET_DTYPE_F32:
      ((float*)t->data)[i] = (float)value;
      return;
    case TRIVET_DTYPE_F64:
      ((double*)t->data)[i] = value;
      return;
    case TRIVET_DTYPE_I8:
      tvi_ops_put_i64(t, i, saturate(value, -128, 127));
      return;
    case TRIVET_DTYPE_U8:
      tvi_ops_put_i64(t, i, saturate(value, 0, 255));
      return;
    case TRIVET_DTYPE_I16:
      tvi_ops_put_i64(t, i, saturate(value, -32768, 32767));
      return;
    case TRIVET_DTYPE_U16:
      tvi_ops_put_i64(t, i, saturate(value, 0, 65535));
      return;
    case TRIVET_DTYPE_I32:
      tvi_ops_put_i64(t, i, saturate(value, -2147483648.0, 2147483647.0));
      return;
    case TRIVET_DTYPE_U32:
      tvi_ops_put_i64(t, i, saturate(value, 0, 4294967295.0));
      return;
    case TRIVET_DTYPE_U64:
      ((uint64_t*)t->data)[i] = isnan(value) || value <= 0        ? 0
                                : value >= 18446744073709551616.0 ? UINT64_MAX
                                                                  : (uint64_t)value;
      return;
    case TRIVET_DTYPE_BOOL:
      ((uint8_t*)t->data)[i] = value != 0;
      return;
    default:
      break;
  }
  if (small_float(t->dtype, &f)) {
    put_bits(t, i, (uint32_t)(1 + f.exponent_bits + f.mantissa_bits), encode(&f, value));
  } else if (t->dtype == TRIVET_DTYPE_F8E8M0) {
    double exponent = value > 0 ? nearbyint(log2(value)) + 127 : isnan(value) ? 255 : 0;
    put_bits(t, i, 8,
             isnan(exponent) || exponent > 255 ? 255
             : exponent < 0                    ? 0
                                               : (uint32_t)exponent);
  } else if (is_integer(t->dtype)) {
    tvi_ops_put_i64(t, i, saturate(value, -9223372036854775808.0, 9223372036854775808.0));
  }
}

void tvi_ops_put_i64(trivet_tensor_t* t, int64_t i, int64_t value) {
  switch (t->dtype) {
    case TRIVET_DTYPE_I8:
    case TRIVET_DTYPE_U8:
      ((uint8_t*)t->data)[i] = (uint8_t)value;
      return;
    case TRIVET_DTYPE_I16:
    case TRIVET_DTYPE_U16:
      ((uint16_t*)t->data)[i] = (uint16_t)value;
      return;
    case TRIVET_DTYPE_I32:
    case TRIVET_DTYPE_U32:
      ((uint32_t*)t->data)[i] = (uint32_t)value;
      return;
    case TRIVET_DTYPE_I64:
    case TRIVET_DTYPE_U64:
      ((int64_t*)t->data)[i] = value;
      return;
    case TRIVET_DTYPE_BOOL:
      ((uint8_t*)t->data)[i] = value != 0;
      return;
    case TRIVET_DTYPE_I4:
    case TRIVET_DTYPE_U4:
      put_bits(t, i, 4, (uint32_t)value & 15);
      return;
    case TRIVET_DTYPE_I2:
    case TRIVET_DTYPE_U2:
      put_bits(t, i, 2, (uint32_t)value & 3);
      return;
    default:
      if (!is_integer(t->dtype)) tvi_ops_put_f64(t, i, (double)value);
      return;
  }
}

int64_t tvi_ops_span(const trivet_tensor_t* t, uint32_t from, uint32_t to) {
  int64_t count = 1;
  for (uint32_t i = from; i < to; ++i) count *= t->dims[i];
  return count;
}
int64_t tvi_ops_count(const trivet_tensor_t* t) { return tvi_ops_span(t, 0, t->rank); }

int tvi_ops_compare(const trivet_tensor_t* t, int64_t a, int64_t b) {
  if (t->dtype == TRIVET_DTYPE_U64) {
    uint64_t x = ((const uint64_t*)t->data)[a], y = ((const uint64_t*)t->data)[b];
    return (x > y) - (x < y);
  }
  if (ops_is_float(t->dtype) || ops_is_small_float(t->dtype)) {
    double x = tvi_ops_get_f64(t, a), y = tvi_ops_get_f64(t, b);
    if (isnan(x) || isnan(y)) return (isnan(x) != 0) - (isnan(y) != 0);
    return (x > y) - (x < y);
  }
  int64_t x = tvi_ops_get_i64(t, a), y = tvi_ops_get_i64(t, b);
  return (x > y) - (x < y);
}

trivet_status_t tvi_ops_eval_axis(const ops_eval_t* e, int64_t axis, uint32_t rank,
                                  uint32_t* out_axis) {
  if (axis < -(int64_t)rank || axis >= (int64_t)rank)
    return OPS_EVAL_INVALID(e, "axis %lld is no axis of a tensor of rank %u", (long long)axis,
                            rank);
  *out_axis = (uint32_t)(axis < 0 ? axis + rank : axis);
  return 0;
}
