// SPDX-License-Identifier: Apache-2.0
//
// Element types: the one place that knows bits, packing, formats and conversions. Everything that
// sizes, reads or casts tensor data asks here. Pure functions, thread-safe, no allocation.

#ifndef TRIVET_CORE_BASE_DTYPE_H_
#define TRIVET_CORE_BASE_DTYPE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// Special values of a float format.
#define TVI_FLOAT_HAS_INFINITY 1u       // all-ones exponent with mantissa 0
#define TVI_FLOAT_IEEE_NAN 2u           // all-ones exponent with mantissa not 0
#define TVI_FLOAT_NAN_ALL_ONES 4u       // only the magnitude of all ones
#define TVI_FLOAT_NAN_NEGATIVE_ZERO 8u  // the code of -0
#define TVI_FLOAT_UNSIGNED 16u          // no sign bit, no zero: exponent only

// One row of the table.
typedef struct tvi_dtype_info_t {
  const char* name;        // "f32"
  uint32_t bits;           // of one element; 0: has no storage
  uint32_t dtype_class;    // TRIVET_DTYPE_CLASS_
  uint32_t exponent_bits;  // floats only, as the following
  uint32_t mantissa_bits;
  int32_t exponent_bias;
  uint32_t float_flags;
  int64_t int_min;  // integers and bool; u64's maximum is UINT64_MAX
  uint64_t int_max;
  double float_max;  // largest finite value
} tvi_dtype_info_t;

// The row of a type; the row of TRIVET_DTYPE_INVALID for any number that is none. Never NULL.
const tvi_dtype_info_t* tvi_dtype_info(trivet_dtype_t dtype);

static inline bool tvi_dtype_is_valid(trivet_dtype_t dtype) {
  return dtype > TRIVET_DTYPE_INVALID && dtype < TRIVET_DTYPE_COUNT;
}
bool tvi_dtype_is_float(trivet_dtype_t dtype);
// Signed or unsigned integer; not bool.
bool tvi_dtype_is_integer(trivet_dtype_t dtype);
bool tvi_dtype_is_signed_integer(trivet_dtype_t dtype);
bool tvi_dtype_is_complex(trivet_dtype_t dtype);
// Float, integer or bool: what tvi_dtype_read_f64 and tvi_dtype_convert take.
bool tvi_dtype_is_real(trivet_dtype_t dtype);

// Bits of one element; 0 for types without storage.
uint32_t tvi_dtype_bits(trivet_dtype_t dtype);
// Bytes of one element; 0 for packed types and types without storage.
uint32_t tvi_dtype_bytes(trivet_dtype_t dtype);
// Same as trivet_dtype_storage_size (trivet/common.h): bytes of `count` packed elements, checked.
trivet_status_t tvi_dtype_storage_size(trivet_dtype_t dtype, int64_t count,
                                       size_t* out_bytes) TRIVET_MUST_USE;

const char* tvi_dtype_name(trivet_dtype_t dtype);
// TRIVET_DTYPE_INVALID when the text names no type.
trivet_dtype_t tvi_dtype_from_name(trivet_string_view_t name);

// One element of a real type. `base` may have any alignment. Types that are not real read as 0 and
// ignore writes.
// - read_f64: exact but for i64 and u64 beyond 2^53 (nearest even).
// - write_f64: as tvi_dtype_convert from f64 with saturation.
// - read_i64: exact for integers and bool (u64 above INT64_MAX: its two's complement bits); floats
//   are truncated and saturated, NaN is 0.
// - write_i64: exact where it fits, otherwise saturated; floats rounded to nearest even; bool:
//   value != 0.
double tvi_dtype_read_f64(trivet_dtype_t dtype, const void* base, int64_t index);
void tvi_dtype_write_f64(trivet_dtype_t dtype, void* base, int64_t index, double value);
int64_t tvi_dtype_read_i64(trivet_dtype_t dtype, const void* base, int64_t index);
void tvi_dtype_write_i64(trivet_dtype_t dtype, void* base, int64_t index, int64_t value);

// Converts `count` elements, dst and src not overlapping (or equal types: a copy).
// - to float: nearest, ties to even, one rounding. Too large: infinity where the format has one,
//   else NaN where it has one, else the largest finite; with `saturate` the largest finite value
//   for 8-bit and smaller formats, infinities included (f16, bf16, f32 and f64 always go to
//   infinity).
// - float to integer: towards zero. NaN is 0. Out of range: clamped with `saturate`; without, the
//   truncated value modulo 2^bits where it fits 64 bits, else 0.
// - integer to integer: modulo 2^bits, or clamped with `saturate`.
// - to bool: value != 0 (NaN is true). From bool: 0 or 1.
// - to f8e8m0: nearest power of two, ties to the even exponent code; values not above 0 become the
//   smallest one, NaN stays.
// - complex to complex and real to complex (imaginary part 0) convert parts; complex to real,
//   string, and unknown types are INVALID_ARGUMENT, nothing written.
trivet_status_t tvi_dtype_convert(trivet_dtype_t dst_dtype, void* dst, trivet_dtype_t src_dtype,
                                  const void* src, int64_t count, bool saturate) TRIVET_MUST_USE;

// Scalar conversions, bit-exact: nearest even; NaN stays a quiet NaN with its sign and upper
// payload.
uint16_t tvi_f32_to_f16(float value);
float tvi_f16_to_f32(uint16_t bits);
uint16_t tvi_f32_to_bf16(float value);
static inline float tvi_bf16_to_f32(uint16_t bits) {
  union {
    uint32_t u;
    float f;
  } pun;
  pun.u = (uint32_t)bits << 16;
  return pun.f;
}
uint16_t tvi_f64_to_f16(double value);
uint16_t tvi_f64_to_bf16(double value);

// Any float type of at most 16 bits, from and to its code.
double tvi_float_decode(trivet_dtype_t dtype, uint32_t code);
uint32_t tvi_float_encode(trivet_dtype_t dtype, double value, bool saturate);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_DTYPE_H_
