// SPDX-License-Identifier: Apache-2.0
//
// Typed layer calls: reductions, order, shapes and movement. Each names operators of ops_standard
// through trivet_network_add_node; nothing is computed here.
#include <string.h>

#include "codegen/build/layers_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

// --- Reductions, order --------------------------------------------------------------------------

trivet_status_t trivet_network_add_reduce(trivet_network_t* network, trivet_value_t x,
                                          uint32_t kind, const int64_t* axes, uint64_t axis_count,
                                          uint32_t keep, const char* name,
                                          trivet_value_t* out_value) {
  static const char* const ops[] = {"std.ReduceSum",      "std.ReduceProd",      "std.ReduceMax",
                                    "std.ReduceMin",      "std.ReduceMean",      "std.ReduceL1",
                                    "std.ReduceL2",       "std.ReduceSumSquare", "std.ReduceLogSum",
                                    "std.ReduceLogSumExp"};
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_reduce", &op));
  trivet_value_t list = 0;
  if (axis_count) {
    TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, axes, axis_count, &list));
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, list);
  tvi_layer_i64(&layer, "keepdims", keep != 0);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_argmax(trivet_network_t* network, trivet_value_t x,
                                          uint32_t smallest, int64_t axis, uint32_t keep,
                                          const char* name, trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, smallest ? "std.ArgMin" : "std.ArgMax", name);
  tvi_layer_input(&layer, x);
  tvi_layer_i64(&layer, "axis", axis);
  tvi_layer_i64(&layer, "keepdims", keep != 0);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_topk(trivet_network_t* network, trivet_value_t x, int64_t k,
                                        uint32_t smallest, int64_t axis, const char* name,
                                        trivet_value_t* out_values, trivet_value_t* out_indices) {
  if (!out_values || !out_indices) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_topk needs places for values and indices");
  }
  trivet_value_t count = 0, outputs[2];
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, &k, 1, &count));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.TopK", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, count);
  tvi_layer_i64(&layer, "axis", axis);
  tvi_layer_i64(&layer, "largest", smallest == 0);
  TRIVET_RETURN_IF_ERROR(tvi_layer_add(&layer, 2, outputs));
  *out_values = outputs[0];
  *out_indices = outputs[1];
  return TRIVET_OK;
}

trivet_status_t trivet_network_add_cumulative_sum(trivet_network_t* network, trivet_value_t x,
                                                  int64_t axis, uint32_t flags, const char* name,
                                                  trivet_value_t* out_value) {
  trivet_value_t axis_value = 0;
  TRIVET_RETURN_IF_ERROR(
      trivet_network_add_scalar(network, TRIVET_DTYPE_I64, (double)axis, &axis_value));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.CumSum", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, axis_value);
  tvi_layer_i64(&layer, "exclusive", (flags & TRIVET_CUMULATIVE_EXCLUSIVE) != 0);
  tvi_layer_i64(&layer, "reverse", (flags & TRIVET_CUMULATIVE_REVERSE) != 0);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_softmax(trivet_network_t* network, trivet_value_t x,
                                           int64_t axis, uint32_t logarithm, const char* name,
                                           trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, logarithm ? "std.LogSoftmax" : "std.Softmax", name);
  tvi_layer_input(&layer, x);
  tvi_layer_i64(&layer, "axis", axis);
  return tvi_layer_add(&layer, 1, out_value);
}

// --- Shapes -------------------------------------------------------------------------------------

trivet_status_t trivet_network_add_shape(trivet_network_t* network, trivet_value_t x,
                                         const char* name, trivet_value_t* out_value) {
  return tvi_layer_plain(network, "std.Shape", &x, 1, name, out_value);
}

// An operator whose second operand is a list of integers.
static trivet_status_t with_integers(trivet_network_t* network, const char* op, trivet_value_t x,
                                     const int64_t* values, uint64_t count, const char* name,
                                     trivet_value_t* out_value) {
  trivet_value_t operands[2] = {x, 0};
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, values, count, &operands[1]));
  return tvi_layer_plain(network, op, operands, 2, name, out_value);
}

trivet_status_t trivet_network_add_reshape(trivet_network_t* network, trivet_value_t x,
                                           const int64_t* dims, uint32_t rank, const char* name,
                                           trivet_value_t* out_value) {
  return with_integers(network, "std.Reshape", x, dims, rank, name, out_value);
}

trivet_status_t trivet_network_add_transpose(trivet_network_t* network, trivet_value_t x,
                                             const int64_t* permutation, const char* name,
                                             trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_transpose"));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Transpose", name);
  tvi_layer_input(&layer, x);
  if (permutation) {
    tvi_layer_i64s(&layer, "perm", permutation, tvi_layer_type(network, x)->rank);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_shuffle(trivet_network_t* network, trivet_value_t x,
                                           const int64_t* first, const int64_t* dims, uint32_t rank,
                                           const int64_t* second, const char* name,
                                           trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_shuffle"));
  if (first) TRIVET_RETURN_IF_ERROR(trivet_network_add_transpose(network, x, first, name, &x));
  if (dims) TRIVET_RETURN_IF_ERROR(trivet_network_add_reshape(network, x, dims, rank, name, &x));
  if (second) TRIVET_RETURN_IF_ERROR(trivet_network_add_transpose(network, x, second, name, &x));
  *out_value = x;
  return TRIVET_OK;
}

trivet_status_t trivet_network_add_squeeze(trivet_network_t* network, trivet_value_t x,
                                           const int64_t* axes, uint64_t axis_count,
                                           const char* name, trivet_value_t* out_value) {
  return with_integers(network, "std.Squeeze", x, axes, axis_count, name, out_value);
}

trivet_status_t trivet_network_add_unsqueeze(trivet_network_t* network, trivet_value_t x,
                                             const int64_t* axes, uint64_t axis_count,
                                             const char* name, trivet_value_t* out_value) {
  return with_integers(network, "std.Unsqueeze", x, axes, axis_count, name, out_value);
}

trivet_status_t trivet_network_add_expand(trivet_network_t* network, trivet_value_t x,
                                          trivet_value_t shape, const char* name,
                                          trivet_value_t* out_value) {
  trivet_value_t operands[2] = {x, shape};
  return tvi_layer_plain(network, "std.Expand", operands, 2, name, out_value);
}

// --- Movement -----------------------------------------------------------------------------------

trivet_status_t trivet_network_add_concatenation(trivet_network_t* network,
                                                 const trivet_value_t* inputs, uint32_t input_count,
                                                 int64_t axis, const char* name,
                                                 trivet_value_t* out_value) {
  trivet_attribute_t attribute = {"axis", TRIVET_ATTR_I64, 0, 1, &axis};
  return trivet_network_add_node(network, "std.Concat", inputs, input_count, &attribute, 1, name, 1,
                                 out_value);
}

trivet_status_t trivet_network_add_split(trivet_network_t* network, trivet_value_t x, int64_t axis,
                                         const int64_t* sizes, uint32_t count, const char* name,
                                         trivet_value_t* out_values) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Split", name);
  tvi_layer_input(&layer, x);
  tvi_layer_i64(&layer, "axis", axis);
  if (sizes) {
    trivet_value_t list = 0;
    TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, sizes, count, &list));
    tvi_layer_input(&layer, list);
  } else {
    tvi_layer_i64(&layer, "num_outputs", count);
  }
  return tvi_layer_add(&layer, count, out_values);
}

trivet_status_t trivet_network_add_slice(trivet_network_t* network, trivet_value_t x,
                                         const int64_t* starts, const int64_t* ends,
                                         const int64_t* axes, const int64_t* steps, uint64_t count,
                                         const char* name, trivet_value_t* out_value) {
  const int64_t* const lists[4] = {starts, ends, axes, steps};
  if (!starts || !ends) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_slice needs starts and ends");
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Slice", name);
  tvi_layer_input(&layer, x);
  for (int i = 0; i < 4; ++i) {
    trivet_value_t list = 0;
    if (lists[i])
      TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, lists[i], count, &list));
    tvi_layer_input(&layer, list);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_padding(trivet_network_t* network, trivet_value_t x,
                                           const int64_t* begin, const int64_t* end, uint32_t kind,
                                           double value, const char* name,
                                           trivet_value_t* out_value) {
  static const char* const modes[] = {"constant", "reflect", "edge", "wrap"};
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_padding"));
  const char* mode = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(modes, kind, "add_padding", &mode));
  if (!begin || !end) return TRIVET_STATUS(INVALID_ARGUMENT, "add_padding needs begin and end");
  uint32_t rank = tvi_layer_type(network, x)->rank;
  trivet_dtype_t dtype = tvi_layer_type(network, x)->dtype;
  int64_t pads[2 * TRIVET_MAX_RANK];
  memcpy(pads, begin, rank * sizeof(int64_t));
  memcpy(pads + rank, end, rank * sizeof(int64_t));
  trivet_value_t list = 0, fill = 0;
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, pads, (uint64_t)rank * 2, &list));
  if (kind == TRIVET_PADDING_CONSTANT) {
    TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, value, &fill));
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Pad", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, list);
  tvi_layer_input(&layer, fill);
  tvi_layer_string(&layer, "mode", mode);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_gather(trivet_network_t* network, trivet_value_t x,
                                          trivet_value_t indices, uint32_t kind, int64_t axis,
                                          const char* name, trivet_value_t* out_value) {
  static const char* const ops[] = {"std.Gather", "std.GatherElements", "std.GatherND"};
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_gather", &op));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, indices);
  tvi_layer_i64(&layer, kind == TRIVET_GATHER_ND ? "batch_dims" : "axis", axis);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_scatter(trivet_network_t* network, trivet_value_t x,
                                           trivet_value_t indices, trivet_value_t updates,
                                           uint32_t kind, int64_t axis, uint32_t reduction,
                                           const char* name, trivet_value_t* out_value) {
  static const char* const reductions[] = {"none", "add", "mul", "max", "min"};
  const char* how = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(reductions, reduction, "add_scatter", &how));
  if (kind != TRIVET_GATHER_ELEMENTS && kind != TRIVET_GATHER_ND) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "add_scatter: kind %u is neither GATHER_ELEMENTS nor GATHER_ND", kind);
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network,
                 kind == TRIVET_GATHER_ND ? "std.ScatterND" : "std.ScatterElements", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, indices);
  tvi_layer_input(&layer, updates);
  if (kind == TRIVET_GATHER_ELEMENTS) tvi_layer_i64(&layer, "axis", axis);
  tvi_layer_string(&layer, "reduction", how);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_cache_update(trivet_network_t* network, trivet_value_t x,
                                                trivet_value_t update, trivet_value_t write_indices,
                                                int64_t axis, const char* name,
                                                trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.TensorScatter", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, update);
  tvi_layer_input(&layer, write_indices);
  tvi_layer_i64(&layer, "axis", axis);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_reverse_sequence(trivet_network_t* network, trivet_value_t x,
                                                    trivet_value_t lengths, int64_t batch_axis,
                                                    int64_t time_axis, const char* name,
                                                    trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.ReverseSequence", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, lengths);
  tvi_layer_i64(&layer, "batch_axis", batch_axis);
  tvi_layer_i64(&layer, "time_axis", time_axis);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_one_hot(trivet_network_t* network, trivet_value_t indices,
                                           int64_t depth, trivet_value_t values, int64_t axis,
                                           const char* name, trivet_value_t* out_value) {
  trivet_value_t extent = 0;
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, &depth, 1, &extent));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.OneHot", name);
  tvi_layer_input(&layer, indices);
  tvi_layer_input(&layer, extent);
  tvi_layer_input(&layer, values);
  tvi_layer_i64(&layer, "axis", axis);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_non_zero(trivet_network_t* network, trivet_value_t x,
                                            const char* name, trivet_value_t* out_value) {
  return tvi_layer_plain(network, "std.NonZero", &x, 1, name, out_value);
}

// --- Fill ---------------------------------------------------------------------------------------

static trivet_status_t fill_constant(trivet_network_t* network, trivet_dtype_t dtype,
                                     const int64_t* dims, uint32_t rank, double value,
                                     const char* name, trivet_value_t* out_value) {
  trivet_value_t operands[2] = {0, 0};
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, value, &operands[0]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, dims, rank, &operands[1]));
  return tvi_layer_plain(network, "std.Expand", operands, 2, name, out_value);
}

// Positions first, as integers, so that rounding does not add up.
static trivet_status_t fill_linear(trivet_network_t* network, trivet_dtype_t dtype, int64_t count,
                                   double alpha, double beta, const char* name,
                                   trivet_value_t* out_value) {
  trivet_value_t range[3], pair[2];
  const double limits[3] = {0, (double)count, 1};
  for (int i = 0; i < 3; ++i) {
    TRIVET_RETURN_IF_ERROR(
        trivet_network_add_scalar(network, TRIVET_DTYPE_I64, limits[i], &range[i]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Range", range, 3, name, &pair[0]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_cast(network, pair[0], dtype, name, &pair[0]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, beta, &pair[1]));
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Mul", pair, 2, name, &pair[0]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, alpha, &pair[1]));
  return tvi_layer_plain(network, "std.Add", pair, 2, name, out_value);
}

trivet_status_t trivet_network_add_fill(trivet_network_t* network, uint32_t kind,
                                        trivet_dtype_t dtype, const int64_t* dims, uint32_t rank,
                                        double alpha, double beta, const char* name,
                                        trivet_value_t* out_value) {
  if (rank > TRIVET_MAX_RANK || (rank && !dims)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_fill needs at most %u extents", TRIVET_MAX_RANK);
  }
  if (kind == TRIVET_FILL_CONSTANT) {
    return fill_constant(network, dtype, dims, rank, alpha, name, out_value);
  }
  if (kind == TRIVET_FILL_LINEAR) {
    if (rank != 1) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "add_fill: FILL_LINEAR has rank 1, not %u", rank);
    }
    return fill_linear(network, dtype, dims[0], alpha, beta, name, out_value);
  }
  bool normal = kind == TRIVET_FILL_RANDOM_NORMAL;
  if (!normal && kind != TRIVET_FILL_RANDOM_UNIFORM) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_fill: there is no kind %u", kind);
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, normal ? "std.RandomNormal" : "std.RandomUniform", name);
  tvi_layer_dtype(&layer, "dtype", dtype);
  tvi_layer_i64s(&layer, "shape", dims, rank);
  tvi_layer_f32(&layer, normal ? "mean" : "low", alpha);
  tvi_layer_f32(&layer, normal ? "scale" : "high", beta);
  return tvi_layer_add(&layer, 1, out_value);
}
