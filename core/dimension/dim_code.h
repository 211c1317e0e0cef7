// SPDX-License-Identifier: Apache-2.0
//
// Dimension codes: expressions over numbered symbols as bytes, for plans. The builder encodes what
// it knows as trivet_dim_t, the runtime verifies the bytes once and evaluates them whenever shapes
// are bound, without allocation. Position-independent postfix code; nothing here knows a context
// except encode and decode.
#ifndef TRIVET_CORE_DIMENSION_DIM_CODE_H_
#define TRIVET_CORE_DIMENSION_DIM_CODE_H_

#include <stdint.h>

#include "core/base/byte_writer.h"
#include "core/base/string_builder.h"
#include "core/dimension/dimension.h"

#ifdef __cplusplus
extern "C" {
#endif

// Deepest stack and longest code that a verified code may have.
#define TVI_DIM_CODE_MAX_STACK 64
#define TVI_DIM_CODE_MAX_SIZE 65536

// One byte each; PUSH_CONSTANT is followed by a zigzag base-128 number, PUSH_SYMBOL by a base-128
// number. The others take two values (the deeper one first) and leave one. Part of the plan format:
// numbers never change.
typedef enum tvi_dim_code_op_e {
  TVI_DIM_CODE_CONSTANT = 1,
  TVI_DIM_CODE_SYMBOL = 2,
  TVI_DIM_CODE_ADD = 3,
  TVI_DIM_CODE_MUL = 4,
  TVI_DIM_CODE_FLOORDIV = 5,
  TVI_DIM_CODE_CEILDIV = 6,
  TVI_DIM_CODE_MOD = 7,
  TVI_DIM_CODE_MIN = 8,
  TVI_DIM_CODE_MAX = 9,
} tvi_dim_code_op_t;

// Appends the code of |dim|. |symbol_map| gives the number of each symbol of the context in the
// plan (indexed by tvi_dim_symbol_index, TVI_DIM_CODE_NO_SYMBOL: not in the plan, an error when
// used); NULL keeps the context's numbers. The caller stores the length beside the bytes.
#define TVI_DIM_CODE_NO_SYMBOL UINT32_MAX
trivet_status_t tvi_dim_code_encode(trivet_dim_t dim, const uint32_t* symbol_map,
                                    uint32_t symbol_map_count, tvi_byte_writer_t* writer);

// Checks every byte: known operations, whole operands, symbols below |symbol_count|, stack depth,
// exactly one value left. DATA_LOSS with the offset otherwise.
trivet_status_t tvi_dim_code_verify(const uint8_t* code, size_t size, uint32_t symbol_count);

// Value with symbol i bound to values[i]. The code need not be verified: everything is checked.
// OUT_OF_RANGE on overflow, division by zero, or a symbol without a value. Allocates nothing on
// success.
trivet_status_t tvi_dim_code_evaluate(const uint8_t* code, size_t size, const int64_t* values,
                                      uint32_t value_count, int64_t* out_value);

// True and the value when the code is a single constant.
bool tvi_dim_code_is_constant(const uint8_t* code, size_t size, int64_t* out_value);

// Walks a code: the operation at |*cursor| (0 at first), with its value (CONSTANT) or the number of
// its symbol (SYMBOL), and moves on. False at the end, and where the code is malformed.
bool tvi_dim_code_next(const uint8_t* code, size_t size, size_t* cursor, uint8_t* out_op,
                       int64_t* out_operand);

// True and its number when the code is a single symbol.
bool tvi_dim_code_is_symbol(const uint8_t* code, size_t size, uint32_t* out_symbol);

// True and the first such symbol when the code names a symbol i below |symbol_count| with
// symbols[i].
bool tvi_dim_code_uses(const uint8_t* code, size_t size, const bool* symbols, uint32_t symbol_count,
                       uint32_t* out_symbol);

// The expression again, with symbols[i] for symbol i. For tools.
trivet_status_t tvi_dim_code_decode(tvi_dim_context_t* context, const uint8_t* code, size_t size,
                                    const trivet_dim_t* symbols, uint32_t symbol_count,
                                    trivet_dim_t* out_dim);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_DIMENSION_DIM_CODE_H_
