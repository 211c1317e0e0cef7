// SPDX-License-Identifier: Apache-2.0
//
// Element access for host reference functions (evaluate hooks) and for constants that a lower hook
// prints: any element type in and out through double or int64. Slow and plain on purpose; it must
// not know any operator.
#ifndef TRIVET_PLUGINS_OPS_STANDARD_OPS_HOST_H_
#define TRIVET_PLUGINS_OPS_STANDARD_OPS_HOST_H_

#include "plugins/ops_standard/ops_util.h"

typedef trivet_evaluation_t ops_eval_t;

// Element |index| of a dense tensor. Reading an integer type as a double rounds, reading a float
// type as an integer truncates and saturates; u64 above the range of int64_t wraps. Strings read as
// 0.
double tvi_ops_get_f64(const trivet_tensor_t* tensor, int64_t index);
int64_t tvi_ops_get_i64(const trivet_tensor_t* tensor, int64_t index);
// Stores with rounding to nearest even; integers truncate, saturate, and NaN gives 0.
void tvi_ops_put_f64(trivet_tensor_t* tensor, int64_t index, double value);
void tvi_ops_put_i64(trivet_tensor_t* tensor, int64_t index, int64_t value);
// Bytes of one element; 0 for types that are not whole bytes.
uint32_t tvi_ops_element_size(uint32_t dtype);
int64_t tvi_ops_count(const trivet_tensor_t* tensor);
// Elements of the dimensions [from, to).
int64_t tvi_ops_span(const trivet_tensor_t* tensor, uint32_t from, uint32_t to);
// -1, 0, 1 as element |a| is less than, equal to or greater than |b|; NaN is above every number and
// equal to itself.
int tvi_ops_compare(const trivet_tensor_t* tensor, int64_t a, int64_t b);

#define OPS_EVAL_INVALID(e, ...) ((e)->api->error((e), TRIVET_STATUS_INVALID_ARGUMENT, __VA_ARGS__))

static inline const trivet_tensor_t* ops_eval_in(const ops_eval_t* e, uint32_t i) {
  return i < e->api->input_count(e) ? e->api->input(e, i) : 0;
}
static inline int64_t ops_eval_attr(const ops_eval_t* e, const char* name, int64_t fallback) {
  const trivet_attribute_t* a = e->api->attribute(e, name);
  return a && a->kind == TRIVET_ATTR_I64 && a->count ? ((const int64_t*)a->data)[0] : fallback;
}
// Element |i| of a list attribute; |fallback| where it is absent or shorter.
static inline int64_t ops_eval_list(const ops_eval_t* e, const char* name, uint32_t i,
                                    int64_t fallback) {
  const trivet_attribute_t* a = e->api->attribute(e, name);
  return a && a->kind == TRIVET_ATTR_I64 && i < a->count ? ((const int64_t*)a->data)[i] : fallback;
}
static inline double ops_eval_attr_f(const ops_eval_t* e, const char* name, double fallback) {
  const trivet_attribute_t* a = e->api->attribute(e, name);
  return a && a->kind == TRIVET_ATTR_F32 && a->count ? ((const double*)a->data)[0] : fallback;
}
static inline uint32_t ops_eval_attr_is(const ops_eval_t* e, const char* name, const char* value) {
  const trivet_attribute_t* a = e->api->attribute(e, name);
  if (!a || a->kind != TRIVET_ATTR_STRING || !a->count) return 0;
  const trivet_string_view_t* s = (const trivet_string_view_t*)a->data;
  return s->size == strlen(value) && memcmp(s->data, value, s->size) == 0;
}
// |axis| of attribute or operand counted from the front.
trivet_status_t tvi_ops_eval_axis(const ops_eval_t* e, int64_t axis, uint32_t rank,
                                  uint32_t* out_axis);

#endif  // TRIVET_PLUGINS_OPS_STANDARD_OPS_HOST_H_
