// SPDX-License-Identifier: Apache-2.0
//
// Reads contents of constants (graph_constant_text.h). Sizes are checked before memory is taken:
// the text is from outside.
#include "core/graph/graph_constant_text.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"

// Larger constants belong into a model file.
#define MAX_BYTES ((uint64_t)1 << 30)

static bool is_complex(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_C64 || dtype == TRIVET_DTYPE_C128;
}

static trivet_status_t read_f64(tvi_text_cursor_t* cursor, double* out_value) {
  trivet_string_view_t word = tvi_text_word(cursor, "+-.");
  if (word.size == 0 || !tvi_sv_parse_f64(word, out_value)) {
    cursor->at -= word.size;
    return tvi_text_error(cursor, "expected a number");
  }
  return TRIVET_OK;
}

static trivet_status_t read_element(tvi_text_cursor_t* cursor, tvi_arena_t* arena, uint32_t dtype,
                                    void* data, int64_t index) {
  if (dtype == TRIVET_DTYPE_STRING) {
    return tvi_text_string(cursor, arena, (trivet_string_view_t*)data + index);
  }
  if (dtype == TRIVET_DTYPE_BOOL) {
    bool is_true = tvi_text_accept_word(cursor, "true");
    if (!is_true && !tvi_text_accept_word(cursor, "false")) {
      return tvi_text_error(cursor, "expected true or false");
    }
    ((uint8_t*)data)[index] = is_true;
    return TRIVET_OK;
  }
  if (is_complex(dtype)) {
    uint32_t part = dtype == TRIVET_DTYPE_C64 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64;
    double value;
    TRIVET_RETURN_IF_ERROR(read_f64(cursor, &value));
    tvi_dtype_write_f64(part, data, index * 2, value);
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, ","));
    TRIVET_RETURN_IF_ERROR(read_f64(cursor, &value));
    tvi_dtype_write_f64(part, data, index * 2 + 1, value);
    return TRIVET_OK;
  }
  if (dtype == TRIVET_DTYPE_U64) {
    trivet_string_view_t word = tvi_text_word(cursor, "+-");
    uint64_t value;
    if (word.size == 0 || !tvi_sv_parse_u64(word, &value)) {
      cursor->at -= word.size;
      return tvi_text_error(cursor, "expected an integer");
    }
    memcpy((uint8_t*)data + (size_t)index * 8, &value, sizeof(value));
    return TRIVET_OK;
  }
  if (tvi_dtype_is_integer(dtype)) {
    int64_t value;
    tvi_text_cursor_t start = tvi_text_here(cursor);
    TRIVET_RETURN_IF_ERROR(tvi_text_i64(cursor, &value));
    tvi_dtype_write_i64(dtype, data, index, value);
    if (tvi_dtype_read_i64(dtype, data, index) != value) {
      return tvi_text_error(&start, "the number does not fit %s", tvi_dtype_name(dtype));
    }
    return TRIVET_OK;
  }
  double value;
  TRIVET_RETURN_IF_ERROR(read_f64(cursor, &value));
  tvi_dtype_write_f64(dtype, data, index, value);
  return TRIVET_OK;
}

static trivet_status_t read_hash(tvi_text_cursor_t* cursor, uint64_t out_hash[2]) {
  trivet_string_view_t word = tvi_text_word(cursor, "");
  uint8_t bytes[16];
  bool good = word.size == 32;
  for (size_t i = 0; i < 32 && good; ++i) {
    char c = word.data[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    good = digit >= 0;
    if (!good) break;
    bytes[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
  }
  if (!good) {
    cursor->at -= word.size;
    return tvi_text_error(cursor, "expected 32 hexadecimal digits");
  }
  out_hash[0] = out_hash[1] = 0;
  for (int i = 0; i < 8; ++i) {
    out_hash[0] = out_hash[0] << 8 | bytes[i];
    out_hash[1] = out_hash[1] << 8 | bytes[8 + i];
  }
  return TRIVET_OK;
}

// Numbers that depend on the hash alone (splitmix64): floats in [-1, 1), integers in 0 .. 15.
static void make_up(trivet_tensor_t* tensor, int64_t count, const uint64_t hash[2]) {
  uint64_t state = hash[0] ^ (hash[1] * 0x9E3779B97F4A7C15u);
  bool is_float = tvi_dtype_is_float(tensor->dtype);
  for (int64_t i = 0; i < count; ++i) {
    uint64_t x = (state += 0x9E3779B97F4A7C15u);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    if (is_float) {
      tvi_dtype_write_f64(tensor->dtype, tensor->data, i, (double)(x >> 40) * 0x1p-23 - 1.0);
    } else {
      tvi_dtype_write_i64(tensor->dtype, tensor->data, i, (int64_t)(x & 15));
    }
  }
}

trivet_status_t tvi_text_contents(tvi_text_cursor_t* cursor, tvi_arena_t* arena,
                                  trivet_tensor_t* tensor, bool* out_hashed, uint64_t out_hash[2]) {
  int64_t count;
  size_t size;
  if (!tvi_checked_element_count(tensor->dims, tensor->rank, &count) ||
      (uint64_t)count > MAX_BYTES) {
    return tvi_text_error(cursor, "the shape is negative or too large");
  }
  if (tensor->dtype == TRIVET_DTYPE_STRING) {
    size = (size_t)count * sizeof(trivet_string_view_t);
  } else {
    TRIVET_RETURN_IF_ERROR(
        tvi_text_annotate(cursor, tvi_dtype_storage_size(tensor->dtype, count, &size)));
  }
  if (size > MAX_BYTES) return tvi_text_error(cursor, "the constant is too large for text");
  *out_hashed = tvi_text_accept(cursor, "@");
  bool splat = !*out_hashed && tvi_text_accept_word(cursor, "splat");
  // A list cannot have more elements than the text has bytes left.
  if (!*out_hashed && !splat && (uint64_t)count > cursor->text.size - cursor->at) {
    return tvi_text_error(cursor, "expected %lld elements", (long long)count);
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_allocate_memory(arena, 1, size + 16, 64, 1, &tensor->data));
  tensor->size = size;
  if (*out_hashed) {
    if (!tvi_dtype_is_real(tensor->dtype)) {
      return tvi_text_error(cursor, "a hash cannot stand for a %s constant",
                            tvi_dtype_name(tensor->dtype));
    }
    TRIVET_RETURN_IF_ERROR(read_hash(cursor, out_hash));
    make_up(tensor, count, out_hash);
    return TRIVET_OK;
  }
  if (splat) {
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, "("));
    size_t bytes = tensor->dtype == TRIVET_DTYPE_STRING ? 0 : tvi_dtype_bytes(tensor->dtype);
    if (bytes == 0 || is_complex(tensor->dtype)) {
      return tvi_text_error(cursor, "splat cannot make a %s constant",
                            tvi_dtype_name(tensor->dtype));
    }
    // Memory for one element is there even when the shape is empty.
    TRIVET_RETURN_IF_ERROR(read_element(cursor, arena, tensor->dtype, tensor->data, 0));
    for (int64_t i = 1; i < count; ++i) {
      memcpy((uint8_t*)tensor->data + (size_t)i * bytes, tensor->data, bytes);
    }
    return tvi_text_expect(cursor, ")");
  }
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, "["));
  for (int64_t i = 0; i < count; ++i) {
    if (i != 0) TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, ","));
    TRIVET_RETURN_IF_ERROR(read_element(cursor, arena, tensor->dtype, tensor->data, i));
  }
  return tvi_text_expect(cursor, "]");
}
