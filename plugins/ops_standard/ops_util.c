// SPDX-License-Identifier: Apache-2.0
//
// Shared parts of the operator definitions: axes, broadcasting and integer operands for infer
// hooks, the text writer for lower hooks.
#include "plugins/ops_standard/ops_util.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char* tvi_ops_dtype_name(uint32_t dtype) {
#define OPS_DTYPE_TEXT(name, text, bits, cls) text,
  static const char* const kNames[] = {TRIVET_DTYPE_TABLE(OPS_DTYPE_TEXT)};
#undef OPS_DTYPE_TEXT
  return dtype < TRIVET_DTYPE_COUNT ? kNames[dtype] : kNames[0];
}

uint32_t tvi_ops_dtype_bits(uint32_t dtype) {
#define OPS_DTYPE_BITS(name, text, bits, cls) bits,
  static const uint32_t kBits[] = {TRIVET_DTYPE_TABLE(OPS_DTYPE_BITS)};
#undef OPS_DTYPE_BITS
  return dtype < TRIVET_DTYPE_COUNT ? kBits[dtype] : 0;
}

trivet_status_t tvi_ops_single(const ops_view_t* v, uint32_t index, const char* what) {
  const trivet_type_t* x = ops_in(v, index);
  int64_t extent;
  if (!x || !x->rank) return 0;
  if (x->rank == 1 && (!trivet_view_dim_value(v, x->dims[0], &extent) || extent == 1)) return 0;
  return OPS_INVALID(v, "%s must hold one element and have rank 0 or 1", what);
}

trivet_status_t tvi_ops_axis(const ops_view_t* v, const char* what, int64_t axis, uint32_t rank,
                             uint32_t* out_axis) {
  if (axis < -(int64_t)rank || axis >= (int64_t)rank)
    return OPS_INVALID(v, "%s is %lld, which is no axis of a tensor of rank %u", what,
                       (long long)axis, rank);
  *out_axis = (uint32_t)(axis < 0 ? axis + rank : axis);
  return 0;
}

trivet_status_t tvi_ops_broadcast_dim(ops_view_t* v, trivet_dim_t a, trivet_dim_t b,
                                      trivet_dim_t* out_dim) {
  int64_t x = 0, y = 0;
  uint32_t x_known = trivet_view_dim_value(v, a, &x), y_known = trivet_view_dim_value(v, b, &y);
  if (a == b || (y_known && y == 1)) {
    *out_dim = a;
  } else if (x_known && x == 1) {
    *out_dim = b;
  } else if (x_known && y_known) {
    return OPS_INVALID(v, "extents %lld and %lld cannot be broadcast to each other", (long long)x,
                       (long long)y);
  } else if (x_known || y_known) {
    *out_dim = x_known ? a : b;
  } else {
    int64_t low_a, low_b, high;
    v->api->dim_range(v, a, &low_a, &high);
    v->api->dim_range(v, b, &low_b, &high);
    // An extent that is above 1 in every case is the result; the other one then is equal or 1.
    *out_dim = low_a > 1 ? a : low_b > 1 ? b : ops_max(v, a, b);
  }
  return 0;
}

trivet_status_t tvi_ops_broadcast(ops_view_t* v, const trivet_type_t* type, trivet_dim_t* dims,
                                  uint32_t* rank) {
  if (type->rank > *rank) {
    uint32_t shift = type->rank - *rank;
    for (uint32_t i = *rank; i-- > 0;) dims[i + shift] = dims[i];
    for (uint32_t i = 0; i < shift; ++i) dims[i] = type->dims[i];
    *rank = type->rank;
  }
  uint32_t shift = *rank - type->rank;
  for (uint32_t i = 0; i < type->rank; ++i) {
    OPS_TRY(tvi_ops_broadcast_dim(v, dims[i + shift], type->dims[i], &dims[i + shift]));
  }
  return 0;
}

trivet_status_t tvi_ops_symbolic_ints(const ops_view_t* v, uint32_t index, const char* what,
                                      const trivet_dim_t** out_values, uint64_t* out_count) {
  *out_values = trivet_view_input_ints(v, index, out_count);
  if (!*out_values) {
    const trivet_type_t* type = ops_in(v, index);
    int64_t extent;
    if (type && type->rank == 1 && trivet_view_dim_value(v, type->dims[0], &extent) &&
        extent == 0) {
      *out_count = 0;
      return 0;
    }
    return OPS_UNSUPPORTED(v, "the contents of %s (input %u) must be known when the plan is built",
                           what, index);
  }
  return 0;
}

trivet_status_t tvi_ops_known_ints(const ops_view_t* v, uint32_t index, const char* what,
                                   int64_t* values, uint32_t capacity, uint32_t* out_count,
                                   uint32_t* out_present) {
  *out_count = 0;
  *out_present = 0;
  if (!ops_in(v, index)) return 0;
  const trivet_dim_t* dims;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, index, what, &dims, &count));
  if (count > capacity)
    return OPS_INVALID(v, "%s has %llu elements; at most %u are possible", what,
                       (unsigned long long)count, capacity);
  for (uint64_t i = 0; i < count; ++i) {
    if (!trivet_view_dim_value(v, dims[i], &values[i]))
      return OPS_UNSUPPORTED(
          v, "element %llu of %s must be a number that is known when the plan is built",
          (unsigned long long)i, what);
  }
  *out_count = (uint32_t)count;
  *out_present = 1;
  return 0;
}

trivet_status_t tvi_ops_axis_mask(const ops_view_t* v, const int64_t* axes, uint32_t count,
                                  uint32_t rank, uint32_t* out_mask) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    OPS_TRY(tvi_ops_axis(v, "an element of axes", axes[i], rank, &axis));
    if (mask >> axis & 1) return OPS_INVALID(v, "axes names axis %u twice", axis);
    mask |= 1u << axis;
  }
  *out_mask = mask;
  return 0;
}

trivet_status_t tvi_ops_list(const ops_view_t* v, const char* name, uint32_t count,
                             int64_t fallback, int64_t* out_values) {
  uint64_t given;
  const int64_t* list = trivet_view_attr_i64s(v, name, &given);
  if (list && given != count)
    return OPS_INVALID(v, "attribute %s has %llu elements where %u are needed", name,
                       (unsigned long long)given, count);
  for (uint32_t i = 0; i < count; ++i) {
    out_values[i] = list ? list[i] : fallback;
    // Keeps sums of a few such numbers away from the ends of 64 bits.
    if (out_values[i] > (int64_t)1 << 40 || out_values[i] < -((int64_t)1 << 40))
      return OPS_INVALID(v, "attribute %s holds %lld", name, (long long)out_values[i]);
  }
  return 0;
}

trivet_dim_t tvi_ops_product(ops_view_t* v, const trivet_dim_t* dims, uint32_t from, uint32_t to) {
  trivet_dim_t product = ops_const(v, 1);
  for (uint32_t i = from; i < to; ++i) product = ops_mul(v, product, dims[i]);
  return product;
}

trivet_status_t tvi_ops_infer_same(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, x->dims);
}

void tvi_ops_put(ops_text_t* t, const char* format, ...) {
  if (t->status) return;
  char buffer[4096];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof buffer) {
    t->status = TRIVET_VIEW_ERROR(t->view, TRIVET_STATUS_INTERNAL,
                                  "a piece of lowered text is longer than 4095 bytes");
    return;
  }
  t->status = TRIVET_VIEW_EMIT(t->view, "%s", buffer);
}

const char* tvi_ops_dim_text(ops_text_t* t, trivet_dim_t dim) {
  const char* text = dim ? t->view->api->dim_text(t->view, dim) : 0;
  if (!text && !t->status)
    t->status = TRIVET_VIEW_ERROR(t->view, TRIVET_STATUS_OUT_OF_RANGE, "an extent exceeds 64 bits");
  return text ? text : "0";
}

void tvi_ops_put_float(ops_text_t* t, double value) {
  char buffer[64];
  if (isnan(value)) {
    tvi_ops_put(t, "nan");
    return;
  }
  if (isinf(value)) {
    tvi_ops_put(t, value < 0 ? "(-inf)" : "inf");
    return;
  }
  snprintf(buffer, sizeof buffer, (double)(float)value == value ? "%.9g" : "%.17g", fabs(value));
  const char* point = strpbrk(buffer, ".e") ? "" : ".0";
  tvi_ops_put(t, signbit(value) ? "(-%s%s)" : "%s%s", buffer, point);
}

void tvi_ops_put_indices(ops_text_t* t, const char* prefix, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i < to; ++i) tvi_ops_put(t, i == from ? "%s%u" : ", %s%u", prefix, i);
}

void tvi_ops_put_lhs(ops_text_t* t, const char* name, const char* prefix, uint32_t rank) {
  tvi_ops_put(t, "%s", name);
  if (!rank) return;
  tvi_ops_put(t, "[");
  tvi_ops_put_indices(t, prefix, 0, rank);
  tvi_ops_put(t, "]");
}

void tvi_ops_put_load(ops_text_t* t, const char* name, const char* prefix, uint32_t rank) {
  tvi_ops_put(t, "%s[", name);
  tvi_ops_put_indices(t, prefix, 0, rank);
  tvi_ops_put(t, "]");
}

void tvi_ops_put_broadcast_load(ops_text_t* t, const char* name, const char* prefix,
                                const trivet_type_t* type, const trivet_type_t* out) {
  if (type->rank > out->rank) {
    if (!t->status)
      t->status = OPS_INVALID(t->view, "%s has rank %u and cannot be broadcast to rank %u", name,
                              type->rank, out->rank);
    return;
  }
  uint32_t shift = out->rank - type->rank;
  tvi_ops_put(t, "%s[", name);
  for (uint32_t i = 0; i < type->rank; ++i) {
    int64_t extent;
    uint32_t known = trivet_view_dim_value(t->view, type->dims[i], &extent);
    const char* comma = i ? ", " : "";
    if (type->dims[i] == out->dims[i + shift]) {
      tvi_ops_put(t, "%s%s%u", comma, prefix, i + shift);
    } else if (known && extent == 1) {
      tvi_ops_put(t, "%s0", comma);
    } else if (known) {
      tvi_ops_put(t, "%s%s%u", comma, prefix, i + shift);
    } else {
      // The extent is either the result's or 1; the remainder covers both.
      tvi_ops_put(t, "%s%s%u %% %s", comma, prefix, i + shift, tvi_ops_dim_text(t, type->dims[i]));
    }
  }
  tvi_ops_put(t, "]");
}

void tvi_ops_put_ranges(ops_text_t* t, const char* prefix, const trivet_dim_t* dims, uint32_t rank,
                        uint32_t mask) {
  uint32_t first = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    if (!(mask >> i & 1)) continue;
    tvi_ops_put(t, first ? "%s%u: %s" : ", %s%u: %s", prefix, i, tvi_ops_dim_text(t, dims[i]));
    first = 0;
  }
}

void tvi_ops_put_mixed_load(ops_text_t* t, const char* name, uint32_t rank, uint32_t mask) {
  tvi_ops_put(t, "%s[", name);
  for (uint32_t i = 0; i < rank; ++i)
    tvi_ops_put(t, i ? ", %s%u" : "%s%u", mask >> i & 1 ? "r" : "i", i);
  tvi_ops_put(t, "]");
}
