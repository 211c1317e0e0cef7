// SPDX-License-Identifier: Apache-2.0
//
// Codes of dimensions: written when a plan is built, checked when it is loaded, run when shapes are
// bound. One walker serves checking, running and decoding, so they cannot disagree about the form.
#include "core/dimension/dim_code.h"

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

static trivet_status_t encode(trivet_dim_t dim, const uint32_t* symbol_map, uint32_t count,
                              tvi_byte_writer_t* writer) {
  switch (tvi_dim_kind(dim)) {
    case TVI_DIM_CONSTANT: {
      int64_t value = 0;
      tvi_dim_is_constant(dim, &value);
      tvi_byte_writer_u8(writer, TVI_DIM_CODE_CONSTANT);
      tvi_byte_writer_varint(writer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
      return TRIVET_OK;
    }
    case TVI_DIM_SYMBOL: {
      uint32_t index = tvi_dim_symbol_index(dim);
      if (symbol_map != NULL) index = index < count ? symbol_map[index] : TVI_DIM_CODE_NO_SYMBOL;
      if (index == TVI_DIM_CODE_NO_SYMBOL) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "dimension '" TVI_SV_FORMAT "' is not in the plan",
                             TVI_SV_ARGS(tvi_dim_symbol_name(dim)));
      }
      tvi_byte_writer_u8(writer, TVI_DIM_CODE_SYMBOL);
      tvi_byte_writer_varint(writer, index);
      return TRIVET_OK;
    }
    default:
      break;
  }
  uint8_t op = TVI_DIM_CODE_ADD;
  switch (tvi_dim_kind(dim)) {
    case TVI_DIM_PRODUCT:
      op = TVI_DIM_CODE_MUL;
      break;
    case TVI_DIM_FLOORDIV:
      op = TVI_DIM_CODE_FLOORDIV;
      break;
    case TVI_DIM_CEILDIV:
      op = TVI_DIM_CODE_CEILDIV;
      break;
    case TVI_DIM_MOD:
      op = TVI_DIM_CODE_MOD;
      break;
    case TVI_DIM_MIN:
      op = TVI_DIM_CODE_MIN;
      break;
    case TVI_DIM_MAX:
      op = TVI_DIM_CODE_MAX;
      break;
    default:
      break;
  }
  bool is_sum = tvi_dim_kind(dim) == TVI_DIM_SUM;
  for (uint32_t i = 0; i < tvi_dim_operand_count(dim); ++i) {
    TRIVET_RETURN_IF_ERROR(encode(tvi_dim_operand(dim, i), symbol_map, count, writer));
    int64_t coefficient = tvi_dim_coefficient(dim, i);
    if (is_sum && coefficient != 1) {
      tvi_byte_writer_u8(writer, TVI_DIM_CODE_CONSTANT);
      tvi_byte_writer_varint(writer, ((uint64_t)coefficient << 1) ^ (uint64_t)(coefficient >> 63));
      tvi_byte_writer_u8(writer, TVI_DIM_CODE_MUL);
    }
    if (i > 0) tvi_byte_writer_u8(writer, op);
  }
  if (is_sum && tvi_dim_sum_constant(dim) != 0) {
    int64_t value = tvi_dim_sum_constant(dim);
    tvi_byte_writer_u8(writer, TVI_DIM_CODE_CONSTANT);
    tvi_byte_writer_varint(writer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
    tvi_byte_writer_u8(writer, TVI_DIM_CODE_ADD);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_dim_code_encode(trivet_dim_t dim, const uint32_t* symbol_map,
                                    uint32_t symbol_map_count, tvi_byte_writer_t* writer) {
  if (dim == NULL) return TRIVET_STATUS(OUT_OF_RANGE, "a dimension overflowed");
  size_t begin = tvi_byte_writer_size(writer);
  TRIVET_RETURN_IF_ERROR(encode(dim, symbol_map, symbol_map_count, writer));
  TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(writer));
  // What is written must be readable: the limits of the reader are checked here.
  return tvi_dim_code_verify(tvi_byte_writer_data(writer) + begin,
                             tvi_byte_writer_size(writer) - begin, UINT32_MAX);
}

// One operation and its operand; false when the code ends within it or it is unknown.
static bool next(const uint8_t* code, size_t size, size_t* at, uint8_t* out_op,
                 uint64_t* out_operand) {
  uint8_t op = code[(*at)++];
  *out_op = op;
  if (op < TVI_DIM_CODE_CONSTANT || op > TVI_DIM_CODE_MAX) return false;
  if (op > TVI_DIM_CODE_SYMBOL) return true;
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (*at >= size || shift > 63) return false;
    uint8_t byte = code[(*at)++];
    // The tenth byte has room for one bit.
    if (shift == 63 && byte > 1) return false;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  *out_operand = value;
  return true;
}

static int64_t unzigzag(uint64_t value) { return (int64_t)((value >> 1) ^ (0 - (value & 1))); }

static trivet_status_t malformed(size_t offset) {
  return TRIVET_STATUS(DATA_LOSS, "dimension code: malformed at byte %zu", offset);
}

trivet_status_t tvi_dim_code_verify(const uint8_t* code, size_t size, uint32_t symbol_count) {
  if (size == 0 || size > TVI_DIM_CODE_MAX_SIZE) {
    return TRIVET_STATUS(DATA_LOSS, "dimension code of %zu bytes", size);
  }
  uint32_t depth = 0;
  for (size_t at = 0; at < size;) {
    size_t begin = at;
    uint8_t op;
    uint64_t operand = 0;
    if (!next(code, size, &at, &op, &operand)) return malformed(begin);
    if (op == TVI_DIM_CODE_SYMBOL && operand >= symbol_count) {
      return TRIVET_STATUS(DATA_LOSS, "dimension code: symbol %llu of %u at byte %zu",
                           (unsigned long long)operand, symbol_count, begin);
    }
    if (op <= TVI_DIM_CODE_SYMBOL) {
      if (++depth > TVI_DIM_CODE_MAX_STACK) return malformed(begin);
    } else {
      if (depth < 2) return malformed(begin);
      --depth;
    }
  }
  return depth == 1 ? TRIVET_OK : malformed(size);
}

static bool apply(uint8_t op, int64_t a, int64_t b, int64_t* out) {
  switch (op) {
    case TVI_DIM_CODE_ADD:
      return tvi_checked_add_i64(a, b, out);
    case TVI_DIM_CODE_MUL:
      return tvi_checked_mul_i64(a, b, out);
    case TVI_DIM_CODE_FLOORDIV:
      return tvi_checked_floor_div_i64(a, b, out);
    case TVI_DIM_CODE_CEILDIV:
      return tvi_checked_sub_i64(0, a, &a) && tvi_checked_floor_div_i64(a, b, &a) &&
             tvi_checked_sub_i64(0, a, out);
    case TVI_DIM_CODE_MOD:
      return tvi_checked_floor_mod_i64(a, b, out);
    case TVI_DIM_CODE_MIN:
      *out = a < b ? a : b;
      return true;
    default:
      *out = a > b ? a : b;
      return true;
  }
}

trivet_status_t tvi_dim_code_evaluate(const uint8_t* code, size_t size, const int64_t* values,
                                      uint32_t value_count, int64_t* out_value) {
  int64_t stack[TVI_DIM_CODE_MAX_STACK];
  uint32_t depth = 0;
  for (size_t at = 0; at < size;) {
    size_t begin = at;
    uint8_t op;
    uint64_t operand = 0;
    if (!next(code, size, &at, &op, &operand)) return malformed(begin);
    if (op <= TVI_DIM_CODE_SYMBOL) {
      if (depth == TVI_DIM_CODE_MAX_STACK) return malformed(begin);
      if (op == TVI_DIM_CODE_SYMBOL && operand >= value_count) {
        return TRIVET_STATUS(OUT_OF_RANGE, "dimension code: symbol %llu has no value",
                             (unsigned long long)operand);
      }
      stack[depth++] = op == TVI_DIM_CODE_SYMBOL ? values[operand] : unzigzag(operand);
      continue;
    }
    if (depth < 2) return malformed(begin);
    --depth;
    if (!apply(op, stack[depth - 1], stack[depth], &stack[depth - 1])) {
      return TRIVET_STATUS(OUT_OF_RANGE,
                           "a dimension overflows or divides by zero for these shapes");
    }
  }
  if (depth != 1) return malformed(size);
  *out_value = stack[0];
  return TRIVET_OK;
}

bool tvi_dim_code_is_constant(const uint8_t* code, size_t size, int64_t* out_value) {
  size_t at = 0;
  uint8_t op;
  uint64_t operand = 0;
  if (size == 0 || code[0] != TVI_DIM_CODE_CONSTANT) return false;
  if (!next(code, size, &at, &op, &operand) || at != size) return false;
  *out_value = unzigzag(operand);
  return true;
}

bool tvi_dim_code_next(const uint8_t* code, size_t size, size_t* cursor, uint8_t* out_op,
                       int64_t* out_operand) {
  uint8_t op = 0;
  uint64_t operand = 0;
  size_t at = *cursor;
  if (at >= size || !next(code, size, &at, &op, &operand)) return false;
  *cursor = at;
  *out_op = op;
  *out_operand = op == TVI_DIM_CODE_SYMBOL ? (int64_t)operand : unzigzag(operand);
  return true;
}

bool tvi_dim_code_is_symbol(const uint8_t* code, size_t size, uint32_t* out_symbol) {
  size_t at = 0;
  uint8_t op;
  uint64_t operand = 0;
  if (size == 0 || code[0] != TVI_DIM_CODE_SYMBOL) return false;
  if (!next(code, size, &at, &op, &operand) || at != size || operand > UINT32_MAX) return false;
  *out_symbol = (uint32_t)operand;
  return true;
}

bool tvi_dim_code_uses(const uint8_t* code, size_t size, const bool* symbols, uint32_t symbol_count,
                       uint32_t* out_symbol) {
  for (size_t at = 0; at < size;) {
    uint8_t op;
    uint64_t operand = 0;
    if (!next(code, size, &at, &op, &operand)) return false;
    if (op != TVI_DIM_CODE_SYMBOL || operand >= symbol_count || !symbols[operand]) continue;
    *out_symbol = (uint32_t)operand;
    return true;
  }
  return false;
}

trivet_status_t tvi_dim_code_decode(tvi_dim_context_t* context, const uint8_t* code, size_t size,
                                    const trivet_dim_t* symbols, uint32_t symbol_count,
                                    trivet_dim_t* out_dim) {
  TRIVET_RETURN_IF_ERROR(tvi_dim_code_verify(code, size, symbol_count));
  static const uint32_t kOperations[] = {TRIVET_DIM_ADD,     TRIVET_DIM_MUL, TRIVET_DIM_FLOORDIV,
                                         TRIVET_DIM_CEILDIV, TRIVET_DIM_MOD, TRIVET_DIM_MIN,
                                         TRIVET_DIM_MAX};
  trivet_dim_t stack[TVI_DIM_CODE_MAX_STACK];
  uint32_t depth = 0;
  for (size_t at = 0; at < size;) {
    size_t begin = at;
    uint8_t op;
    uint64_t operand = 0;
    if (!next(code, size, &at, &op, &operand)) return malformed(begin);
    if (op == TVI_DIM_CODE_SYMBOL) {
      stack[depth++] = symbols[operand];
    } else if (op == TVI_DIM_CODE_CONSTANT) {
      stack[depth++] = tvi_dim_constant(context, unzigzag(operand));
    } else {
      --depth;
      stack[depth - 1] = tvi_dim_binary(context, kOperations[op - TVI_DIM_CODE_ADD],
                                        stack[depth - 1], stack[depth]);
    }
    if (stack[depth - 1] == NULL) return TRIVET_STATUS(OUT_OF_RANGE, "a dimension overflowed");
  }
  *out_dim = stack[0];
  return TRIVET_OK;
}
