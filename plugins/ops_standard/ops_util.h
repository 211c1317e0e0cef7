// SPDX-License-Identifier: Apache-2.0
//
// What the operator definitions of this plugin share: the macros that declare one, arithmetic on
// dimensions, and a writer for lowered kernel-IR text. Used inside infer and lower hooks only; it
// must not know any operator.
#ifndef TRIVET_PLUGINS_OPS_STANDARD_OPS_UTIL_H_
#define TRIVET_PLUGINS_OPS_STANDARD_OPS_UTIL_H_

#include <string.h>

#include "trivet/plugin.h"

// Passes an error on. The plugin links nothing of the host, so it brings its own.
#define OPS_TRY(expression)                     \
  do {                                          \
    trivet_status_t ops_status_ = (expression); \
    if (ops_status_) return ops_status_;        \
  } while (0)

#define OPS_INVALID(view, ...) \
  TRIVET_VIEW_ERROR((view), TRIVET_STATUS_INVALID_ARGUMENT, __VA_ARGS__)
#define OPS_UNSUPPORTED(view, ...) \
  TRIVET_VIEW_ERROR((view), TRIVET_STATUS_UNIMPLEMENTED, __VA_ARGS__)

// OPS_DEFINE(Name, flags, "summary", "rest of the text after the name", infer, lower, evaluate):
// the operator std.Name version 1.
#define OPS_DEFINE(op_name, op_flags, op_summary, op_text, op_infer, op_lower, op_evaluate) \
  extern const trivet_operator_t tvi_ops_##op_name;                                         \
  const trivet_operator_t tvi_ops_##op_name = {                                             \
      TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR),                             \
      "std." #op_name,                                                                      \
      "op std." #op_name "/1 " op_text,                                                     \
      (op_summary),                                                                         \
      1,                                                                                    \
      (op_flags),                                                                           \
      0,                                                                                    \
      (op_infer),                                                                           \
      (op_lower),                                                                           \
      (op_evaluate)}
// An operator that its text says wholly.
#define OPS_TEXT(op_name, op_summary, op_text) OPS_DEFINE(op_name, 0, op_summary, op_text, 0, 0, 0)

typedef const trivet_operator_t ops_op_t;
typedef trivet_node_view_t ops_view_t;

// Short names for the calls that every hook makes.
static inline trivet_dim_t ops_const(ops_view_t* v, int64_t value) {
  return trivet_view_dim(v, value);
}
static inline trivet_dim_t ops_binary(ops_view_t* v, uint32_t op, trivet_dim_t a, trivet_dim_t b) {
  return a && b ? trivet_view_dim_binary(v, op, a, b) : 0;
}
static inline trivet_dim_t ops_add(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_ADD, a, b);
}
static inline trivet_dim_t ops_sub(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_SUB, a, b);
}
static inline trivet_dim_t ops_mul(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_MUL, a, b);
}
static inline trivet_dim_t ops_min(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_MIN, a, b);
}
static inline trivet_dim_t ops_max(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_MAX, a, b);
}
static inline trivet_dim_t ops_mod(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_MOD, a, b);
}
static inline trivet_dim_t ops_floordiv(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_FLOORDIV, a, b);
}
static inline trivet_dim_t ops_ceildiv(ops_view_t* v, trivet_dim_t a, trivet_dim_t b) {
  return ops_binary(v, TRIVET_DIM_CEILDIV, a, b);
}
static inline trivet_dim_t ops_add_i(ops_view_t* v, trivet_dim_t a, int64_t b) {
  return ops_add(v, a, ops_const(v, b));
}
static inline trivet_dim_t ops_mul_i(ops_view_t* v, trivet_dim_t a, int64_t b) {
  return ops_mul(v, a, ops_const(v, b));
}
// 1 if |dim| is the constant |value|.
static inline uint32_t ops_is(const ops_view_t* v, trivet_dim_t dim, int64_t value) {
  int64_t known;
  return dim && trivet_view_dim_value(v, dim, &known) && known == value;
}
static inline const trivet_type_t* ops_in(const ops_view_t* v, uint32_t i) {
  return i < trivet_view_input_count(v) ? trivet_view_input_type(v, i) : 0;
}
static inline const trivet_type_t* ops_out(const ops_view_t* v, uint32_t i) {
  return i < trivet_view_output_count(v) ? trivet_view_output_type(v, i) : 0;
}
static inline uint32_t ops_attr_is(const ops_view_t* v, const char* name, const char* value) {
  trivet_string_view_t s = trivet_view_attr_string(v, name);
  return s.size == strlen(value) && memcmp(s.data, value, s.size) == 0;
}
static inline int64_t ops_attr(const ops_view_t* v, const char* name) {
  return trivet_view_attr_i64(v, name, 0);
}
static inline double ops_attr_f(const ops_view_t* v, const char* name) {
  return trivet_view_attr_f64(v, name, 0);
}

static inline uint32_t ops_is_float(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F64 || dtype == TRIVET_DTYPE_F16 ||
         dtype == TRIVET_DTYPE_BF16;
}
static inline uint32_t ops_is_small_float(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F8E4M3FN || dtype == TRIVET_DTYPE_F8E4M3FNUZ ||
         dtype == TRIVET_DTYPE_F8E5M2 || dtype == TRIVET_DTYPE_F8E5M2FNUZ ||
         dtype == TRIVET_DTYPE_F8E8M0 || dtype == TRIVET_DTYPE_F4E2M1;
}
static inline uint32_t ops_is_unsigned(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_U8 || dtype == TRIVET_DTYPE_U16 || dtype == TRIVET_DTYPE_U32 ||
         dtype == TRIVET_DTYPE_U64 || dtype == TRIVET_DTYPE_U4 || dtype == TRIVET_DTYPE_U2;
}
// The type in which an operator on |dtype| computes: f64 stays, every other float becomes f32,
// integers stay.
static inline uint32_t ops_acc(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16 || ops_is_small_float(dtype)
             ? TRIVET_DTYPE_F32
             : dtype;
}
// Kernel-IR name of an element type; "invalid" for a number that is none.
const char* tvi_ops_dtype_name(uint32_t dtype);
// Bits of an element; 0 for what has no size.
uint32_t tvi_ops_dtype_bits(uint32_t dtype);

// |axis| counted from the front; an error that names |what| unless it lies in [-rank, rank).
trivet_status_t tvi_ops_axis(const ops_view_t* v, const char* what, int64_t axis, uint32_t rank,
                             uint32_t* out_axis);
// Broadcast of two extents. An error if both are known, differ and none is 1.
trivet_status_t tvi_ops_broadcast_dim(ops_view_t* v, trivet_dim_t a, trivet_dim_t b,
                                      trivet_dim_t* out_dim);
// Broadcast of |type|'s shape into |dims| (of |*rank| entries), aligned at the end; grows it.
trivet_status_t tvi_ops_broadcast(ops_view_t* v, const trivet_type_t* type, trivet_dim_t* dims,
                                  uint32_t* rank);
// Contents of integer input |index| as numbers, which must be known at build time: at most
// |capacity|; an error names |what|. An absent input gives count 0 and |*out_present| 0.
trivet_status_t tvi_ops_known_ints(const ops_view_t* v, uint32_t index, const char* what,
                                   int64_t* values, uint32_t capacity, uint32_t* out_count,
                                   uint32_t* out_present);
// Contents of integer input |index| as dimensions; an error names |what| where they are unknown at
// build time.
trivet_status_t tvi_ops_symbolic_ints(const ops_view_t* v, uint32_t index, const char* what,
                                      const trivet_dim_t** out_values, uint64_t* out_count);
// A bit per axis from a list of axes with negative ones counted from the end; an error on one that
// is out of range or repeated.
trivet_status_t tvi_ops_axis_mask(const ops_view_t* v, const int64_t* axes, uint32_t count,
                                  uint32_t rank, uint32_t* out_mask);
// A list attribute of exactly |count| elements, or |fallback| repeated where it is absent.
trivet_status_t tvi_ops_list(const ops_view_t* v, const char* name, uint32_t count,
                             int64_t fallback, int64_t* out_values);
// Product of the extents [from, to).
trivet_dim_t tvi_ops_product(ops_view_t* v, const trivet_dim_t* dims, uint32_t from, uint32_t to);
// An error that names |what| unless input |index| (if it is there) certainly holds one element and
// has rank 0 or 1.
trivet_status_t tvi_ops_single(const ops_view_t* v, uint32_t index, const char* what);
// infer: output |index| has the type of input 0.
trivet_status_t tvi_ops_infer_same(ops_op_t* op, ops_view_t* v);

// Writer of lowered text. The first error sticks and is handed out by tvi_ops_text_end.
typedef struct ops_text_s {
  ops_view_t* view;
  trivet_status_t status;
} ops_text_t;

// Appends printf-formatted text; one call writes at most 4095 bytes.
void tvi_ops_put(ops_text_t* t, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
static inline trivet_status_t tvi_ops_text_end(ops_text_t* t) { return t->status; }
// Text of an extent; an error sticks if |dim| is NULL (an overflow).
const char* tvi_ops_dim_text(ops_text_t* t, trivet_dim_t dim);

// In a function with an `ops_text_t t` in scope.
#define PUT(...) tvi_ops_put(&t, __VA_ARGS__)
#define DIM(dim) tvi_ops_dim_text(&t, (dim))

// A float constant with a point, exponent or name, exact for f32; in parentheses if negative.
void tvi_ops_put_float(ops_text_t* t, double value);
// "p0, p1, ..." for [from, to); nothing if empty.
void tvi_ops_put_indices(ops_text_t* t, const char* prefix, uint32_t from, uint32_t to);
// "[i0, i1, ...]", or nothing for rank 0: the left side of a definition.
void tvi_ops_put_lhs(ops_text_t* t, const char* name, const char* prefix, uint32_t rank);
// "name[i0, ...]" or "name[]": a load at the indices prefix0.. of an operand of that rank.
void tvi_ops_put_load(ops_text_t* t, const char* name, const char* prefix, uint32_t rank);
// A load of an operand of |type| broadcast to |out| whose indices are prefix0, prefix1, ...
void tvi_ops_put_broadcast_load(ops_text_t* t, const char* name, const char* prefix,
                                const trivet_type_t* type, const trivet_type_t* out);
// "prefix0: extent, ..." for the indices in |mask| out of |rank|, extents from |dims|.
void tvi_ops_put_ranges(ops_text_t* t, const char* prefix, const trivet_dim_t* dims, uint32_t rank,
                        uint32_t mask);
// A load at i<d> for dimensions outside |mask| and r<d> for those in it.
void tvi_ops_put_mixed_load(ops_text_t* t, const char* name, uint32_t rank, uint32_t mask);

#endif  // TRIVET_PLUGINS_OPS_STANDARD_OPS_UTIL_H_
