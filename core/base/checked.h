// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic that tells when it overflows. Every size, offset and count that input can influence
// goes through here. All functions return true on success and leave the output untouched otherwise;
// all are pure and thread-safe.

#ifndef TRIVET_CORE_BASE_CHECKED_H_
#define TRIVET_CORE_BASE_CHECKED_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TVI_CHECKED_DEFINE_(suffix, type)                                         \
  static inline bool tvi_checked_add_##suffix(type a, type b, type* out_result) { \
    type result;                                                                  \
    if (__builtin_add_overflow(a, b, &result)) return false;                      \
    *out_result = result;                                                         \
    return true;                                                                  \
  }                                                                               \
  static inline bool tvi_checked_sub_##suffix(type a, type b, type* out_result) { \
    type result;                                                                  \
    if (__builtin_sub_overflow(a, b, &result)) return false;                      \
    *out_result = result;                                                         \
    return true;                                                                  \
  }                                                                               \
  static inline bool tvi_checked_mul_##suffix(type a, type b, type* out_result) { \
    type result;                                                                  \
    if (__builtin_mul_overflow(a, b, &result)) return false;                      \
    *out_result = result;                                                         \
    return true;                                                                  \
  }

// tvi_checked_{add,sub,mul}_{i64,u64,size}(a, b, &result)
TVI_CHECKED_DEFINE_(i64, int64_t)
TVI_CHECKED_DEFINE_(u64, uint64_t)
TVI_CHECKED_DEFINE_(size, size_t)
#undef TVI_CHECKED_DEFINE_

static inline bool tvi_is_power_of_two(uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

// Rounds up to a multiple of `alignment`, a power of two (false when it is none).
static inline bool tvi_checked_align_up_u64(uint64_t value, uint64_t alignment,
                                            uint64_t* out_result) {
  uint64_t sum;
  if (!tvi_is_power_of_two(alignment)) return false;
  if (__builtin_add_overflow(value, alignment - 1, &sum)) return false;
  *out_result = sum & ~(alignment - 1);
  return true;
}
static inline bool tvi_checked_align_up_size(size_t value, size_t alignment, size_t* out_result) {
  size_t sum;
  if (!tvi_is_power_of_two(alignment)) return false;
  if (__builtin_add_overflow(value, alignment - 1, &sum)) return false;
  *out_result = sum & ~(alignment - 1);
  return true;
}

// Narrowing that keeps the value.
static inline bool tvi_checked_i64_to_size(int64_t value, size_t* out_result) {
  if (value < 0 || (uint64_t)value > SIZE_MAX) return false;
  *out_result = (size_t)value;
  return true;
}
static inline bool tvi_checked_u64_to_i64(uint64_t value, int64_t* out_result) {
  if (value > (uint64_t)INT64_MAX) return false;
  *out_result = (int64_t)value;
  return true;
}
static inline bool tvi_checked_u64_to_u32(uint64_t value, uint32_t* out_result) {
  if (value > UINT32_MAX) return false;
  *out_result = (uint32_t)value;
  return true;
}

// The number of elements of a shape: the product of `rank` extents; 1 for rank 0. False when an
// extent is negative or the product overflows; a zero extent gives 0 whatever the others are.
static inline bool tvi_checked_element_count(const int64_t* extents, size_t rank,
                                             int64_t* out_count) {
  int64_t count = 1;
  bool has_zero = false;
  for (size_t i = 0; i < rank; ++i) {
    if (extents[i] < 0) return false;
    has_zero = has_zero || extents[i] == 0;
  }
  for (size_t i = 0; i < rank && !has_zero; ++i) {
    if (__builtin_mul_overflow(count, extents[i], &count)) return false;
  }
  *out_count = has_zero ? 0 : count;
  return true;
}

// True when [offset, offset + size) lies in [0, total).
static inline bool tvi_checked_range(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

// Integer division rounding towards minus infinity, and the remainder with the divisor's sign.
// The divisor must not be 0. INT64_MIN / -1 gives false.
static inline bool tvi_checked_floor_div_i64(int64_t a, int64_t b, int64_t* out_result) {
  if (b == 0 || (a == INT64_MIN && b == -1)) return false;
  int64_t quotient = a / b;
  if (a % b != 0 && ((a < 0) != (b < 0))) --quotient;
  *out_result = quotient;
  return true;
}
static inline bool tvi_checked_floor_mod_i64(int64_t a, int64_t b, int64_t* out_result) {
  if (b == 0) return false;
  int64_t remainder = b == -1 ? 0 : a % b;
  if (remainder != 0 && ((remainder < 0) != (b < 0))) remainder += b;
  *out_result = remainder;
  return true;
}

#endif  // TRIVET_CORE_BASE_CHECKED_H_
