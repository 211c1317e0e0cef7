// SPDX-License-Identifier: Apache-2.0
//
// Typed layer calls: convolutions, pooling, products, pictures, normalisation, quantisation,
// sequences. Each names operators of ops_standard through trivet_network_add_node; nothing is
// computed here.
#include <stdio.h>
#include <string.h>

#include "codegen/build/layers_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

// --- Windows ------------------------------------------------------------------------------------

// Lists as the operators want them. Must outlive the layer.
typedef struct window_lists_s {
  int64_t size[TRIVET_SPATIAL_MAX];
  int64_t strides[TRIVET_SPATIAL_MAX];
  int64_t dilations[TRIVET_SPATIAL_MAX];
  int64_t pads[2 * TRIVET_SPATIAL_MAX];
  int64_t output_padding[TRIVET_SPATIAL_MAX];
} window_lists_t;

static trivet_status_t spatial_rank(const trivet_network_t* network, trivet_value_t x,
                                    const char* call, uint32_t* out_rank) {
  uint32_t rank = tvi_layer_type(network, x)->rank;
  if (rank < 3 || rank > TRIVET_SPATIAL_MAX + 2) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: rank %u of x is not 3 .. %u", call, rank,
                         TRIVET_SPATIAL_MAX + 2);
  }
  *out_rank = rank - 2;
  return TRIVET_OK;
}

static trivet_status_t put_window(tvi_layer_t* layer, const trivet_window_t* window, uint32_t rank,
                                  bool with_size, window_lists_t* lists, const char* call) {
  static const char* const modes[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  if (!window) return TRIVET_OK;
  const char* mode = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(modes, window->auto_pad, call, &mode));
  for (uint32_t i = 0; i < rank; ++i) {
    lists->size[i] = window->size[i];
    lists->strides[i] = window->strides[i] ? window->strides[i] : 1;
    lists->dilations[i] = window->dilations[i] ? window->dilations[i] : 1;
    lists->pads[i] = window->pads_begin[i];
    lists->pads[rank + i] = window->pads_end[i];
    lists->output_padding[i] = window->output_padding[i];
  }
  if (with_size) tvi_layer_i64s(layer, "kernel_shape", lists->size, rank);
  tvi_layer_i64s(layer, "strides", lists->strides, rank);
  tvi_layer_i64s(layer, "dilations", lists->dilations, rank);
  if (window->auto_pad == TRIVET_AUTO_PAD_NONE) {
    tvi_layer_i64s(layer, "pads", lists->pads, (uint64_t)rank * 2);
  } else {
    tvi_layer_string(layer, "auto_pad", mode);
  }
  return TRIVET_OK;
}

static trivet_status_t add_convolution(trivet_network_t* network, bool transposed, trivet_value_t x,
                                       trivet_value_t weights, trivet_value_t bias, int64_t groups,
                                       const trivet_window_t* window, const char* name,
                                       trivet_value_t* out_value) {
  const char* call = transposed ? "add_deconvolution" : "add_convolution";
  uint32_t rank = 0;
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, call));
  TRIVET_RETURN_IF_ERROR(spatial_rank(network, x, call, &rank));
  window_lists_t lists;
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, transposed ? "std.ConvTranspose" : "std.Conv", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, weights);
  tvi_layer_input(&layer, bias);
  tvi_layer_i64(&layer, "group", groups);
  TRIVET_RETURN_IF_ERROR(put_window(&layer, window, rank, false, &lists, call));
  if (transposed && window) {
    tvi_layer_i64s(&layer, "output_padding", lists.output_padding, rank);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_convolution(trivet_network_t* network, trivet_value_t x,
                                               trivet_value_t weights, trivet_value_t bias,
                                               int64_t groups, const trivet_window_t* window,
                                               const char* name, trivet_value_t* out_value) {
  return add_convolution(network, false, x, weights, bias, groups, window, name, out_value);
}

trivet_status_t trivet_network_add_deconvolution(trivet_network_t* network, trivet_value_t x,
                                                 trivet_value_t weights, trivet_value_t bias,
                                                 int64_t groups, const trivet_window_t* window,
                                                 const char* name, trivet_value_t* out_value) {
  return add_convolution(network, true, x, weights, bias, groups, window, name, out_value);
}

trivet_status_t trivet_network_add_pooling(trivet_network_t* network, trivet_value_t x,
                                           uint32_t kind, const trivet_window_t* window,
                                           const char* name, trivet_value_t* out_value) {
  static const char* const ops[] = {"std.MaxPool", "std.AveragePool"};
  const char* op = NULL;
  uint32_t rank = 0;
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_pooling"));
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_pooling", &op));
  TRIVET_RETURN_IF_ERROR(spatial_rank(network, x, "add_pooling", &rank));
  if (!window) return TRIVET_STATUS(INVALID_ARGUMENT, "add_pooling needs a window");
  window_lists_t lists;
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, x);
  TRIVET_RETURN_IF_ERROR(put_window(&layer, window, rank, true, &lists, "add_pooling"));
  tvi_layer_i64(&layer, "ceil_mode", (window->flags & TRIVET_WINDOW_CEIL) != 0);
  if (kind == TRIVET_POOLING_AVERAGE) {
    tvi_layer_i64(&layer, "count_include_pad", (window->flags & TRIVET_WINDOW_COUNT_PADDING) != 0);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_global_pooling(trivet_network_t* network, trivet_value_t x,
                                                  uint32_t kind, const char* name,
                                                  trivet_value_t* out_value) {
  static const char* const ops[] = {"std.GlobalMaxPool", "std.GlobalAveragePool"};
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_global_pooling", &op));
  return tvi_layer_plain(network, op, &x, 1, name, out_value);
}

// --- Products -----------------------------------------------------------------------------------

// Swaps the last two axes; a vector stays.
static trivet_status_t swap_last(trivet_network_t* network, trivet_value_t* value,
                                 const char* name) {
  uint32_t rank = tvi_layer_type(network, *value)->rank;
  if (rank < 2) return TRIVET_OK;
  int64_t permutation[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < rank; ++i) permutation[i] = i;
  permutation[rank - 1] = rank - 2;
  permutation[rank - 2] = rank - 1;
  return trivet_network_add_transpose(network, *value, permutation, name, value);
}

trivet_status_t trivet_network_add_matmul(trivet_network_t* network, trivet_value_t a,
                                          uint32_t transpose_a, trivet_value_t b,
                                          uint32_t transpose_b, const char* name,
                                          trivet_value_t* out_value) {
  trivet_value_t operands[2] = {a, b};
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, a, out_value, "add_matmul"));
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, b, out_value, "add_matmul"));
  if (transpose_a) TRIVET_RETURN_IF_ERROR(swap_last(network, &operands[0], name));
  if (transpose_b) TRIVET_RETURN_IF_ERROR(swap_last(network, &operands[1], name));
  return tvi_layer_plain(network, "std.MatMul", operands, 2, name, out_value);
}

trivet_status_t trivet_network_add_fully_connected(trivet_network_t* network, trivet_value_t x,
                                                   trivet_value_t weights, trivet_value_t bias,
                                                   const char* name, trivet_value_t* out_value) {
  trivet_value_t product = 0;
  TRIVET_RETURN_IF_ERROR(
      trivet_network_add_matmul(network, x, 0, weights, 1, name, bias ? &product : out_value));
  if (!bias) return TRIVET_OK;
  trivet_value_t operands[2] = {product, bias};
  return tvi_layer_plain(network, "std.Add", operands, 2, name, out_value);
}

trivet_status_t trivet_network_add_einsum(trivet_network_t* network, const trivet_value_t* inputs,
                                          uint32_t input_count, const char* equation,
                                          const char* name, trivet_value_t* out_value) {
  if (!equation) return TRIVET_STATUS(INVALID_ARGUMENT, "add_einsum needs an equation");
  trivet_string_view_t text = {equation, strlen(equation)};
  trivet_attribute_t attribute = {"equation", TRIVET_ATTR_STRING, 0, 1, &text};
  return trivet_network_add_node(network, "std.Einsum", inputs, input_count, &attribute, 1, name, 1,
                                 out_value);
}

// --- Pictures -----------------------------------------------------------------------------------

static trivet_status_t resize_target(trivet_network_t* network, tvi_layer_t* layer, uint32_t rank,
                                     const trivet_resize_t* options) {
  trivet_value_t target = 0;
  tvi_layer_input(layer, 0);  // roi
  if (options->sizes) {
    TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, options->sizes, rank, &target));
    tvi_layer_input(layer, 0);
    tvi_layer_input(layer, target);
    return TRIVET_OK;
  }
  trivet_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = TRIVET_DTYPE_F32;
  tensor.rank = 1;
  tensor.dims[0] = rank;
  tensor.data = (void*)options->scales;  // only read
  tensor.size = rank * sizeof(float);
  TRIVET_RETURN_IF_ERROR(
      trivet_network_add_constant(network, NULL, &tensor, TRIVET_CONSTANT_COPY, &target));
  tvi_layer_input(layer, target);
  return TRIVET_OK;
}

static const char* const kInterpolations[] = {"nearest", "linear", "cubic"};

trivet_status_t trivet_network_add_resize(trivet_network_t* network, trivet_value_t x,
                                          const trivet_resize_t* options, const char* name,
                                          trivet_value_t* out_value) {
  static const char* const coordinates[] = {"half_pixel", "asymmetric", "align_corners",
                                            "pytorch_half_pixel"};
  static const char* const nearests[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                         "ceil"};
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_resize"));
  if (!options || !options->sizes == !options->scales) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_resize needs either sizes or scales");
  }
  const char *mode = NULL, *coordinate = NULL, *nearest = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(kInterpolations, options->kind, "add_resize", &mode));
  TRIVET_RETURN_IF_ERROR(
      TVI_LAYER_KIND(coordinates, options->coordinates, "add_resize", &coordinate));
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(nearests, options->nearest, "add_resize", &nearest));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Resize", name);
  tvi_layer_input(&layer, x);
  TRIVET_RETURN_IF_ERROR(resize_target(network, &layer, tvi_layer_type(network, x)->rank, options));
  tvi_layer_string(&layer, "mode", mode);
  tvi_layer_string(&layer, "coordinate_transformation_mode", coordinate);
  tvi_layer_string(&layer, "nearest_mode", nearest);
  tvi_layer_i64(&layer, "exclude_outside", options->exclude_outside != 0);
  if (options->cubic_coefficient != 0) {
    tvi_layer_f32(&layer, "cubic_coeff_a", options->cubic_coefficient);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_grid_sample(trivet_network_t* network, trivet_value_t x,
                                               trivet_value_t grid, uint32_t kind, uint32_t outside,
                                               uint32_t align_corners, const char* name,
                                               trivet_value_t* out_value) {
  static const char* const paddings[] = {"zeros", "border", "reflection"};
  const char *mode = NULL, *padding = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(kInterpolations, kind, "add_grid_sample", &mode));
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(paddings, outside, "add_grid_sample", &padding));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.GridSample", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, grid);
  tvi_layer_string(&layer, "mode", mode);
  tvi_layer_string(&layer, "padding_mode", padding);
  tvi_layer_i64(&layer, "align_corners", align_corners != 0);
  return tvi_layer_add(&layer, 1, out_value);
}

static trivet_status_t vector_of_one(trivet_network_t* network, double value,
                                     trivet_value_t* out_value) {
  int64_t one = 1;
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, TRIVET_DTYPE_F32, value, out_value));
  return trivet_network_add_reshape(network, *out_value, &one, 1, NULL, out_value);
}

trivet_status_t trivet_network_add_nms(trivet_network_t* network, trivet_value_t boxes,
                                       trivet_value_t scores, int64_t max_per_class,
                                       double iou_threshold, double score_threshold,
                                       uint32_t center, const char* name,
                                       trivet_value_t* out_value) {
  trivet_value_t limits[3];
  TRIVET_RETURN_IF_ERROR(trivet_network_add_integers(network, &max_per_class, 1, &limits[0]));
  TRIVET_RETURN_IF_ERROR(vector_of_one(network, iou_threshold, &limits[1]));
  TRIVET_RETURN_IF_ERROR(vector_of_one(network, score_threshold, &limits[2]));
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.NonMaxSuppression", name);
  tvi_layer_input(&layer, boxes);
  tvi_layer_input(&layer, scores);
  for (int i = 0; i < 3; ++i) tvi_layer_input(&layer, limits[i]);
  tvi_layer_i64(&layer, "center_point_box", center != 0);
  return tvi_layer_add(&layer, 1, out_value);
}

// --- Normalisation ------------------------------------------------------------------------------

trivet_status_t trivet_network_add_batch_normalization(trivet_network_t* network, trivet_value_t x,
                                                       trivet_value_t scale, trivet_value_t bias,
                                                       trivet_value_t mean, trivet_value_t variance,
                                                       double epsilon, const char* name,
                                                       trivet_value_t* out_value) {
  const trivet_value_t operands[5] = {x, scale, bias, mean, variance};
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.BatchNormalization", name);
  for (int i = 0; i < 5; ++i) tvi_layer_input(&layer, operands[i]);
  tvi_layer_f32(&layer, "epsilon", epsilon);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_normalization(trivet_network_t* network, trivet_value_t x,
                                                 uint32_t kind, trivet_value_t scale,
                                                 trivet_value_t bias, int64_t axis, double epsilon,
                                                 const char* name, trivet_value_t* out_value) {
  static const char* const ops[] = {"std.LayerNormalization", "std.RMSNormalization",
                                    "std.InstanceNormalization", "std.GroupNormalization"};
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_normalization", &op));
  if (kind == TRIVET_NORMALIZATION_RMS && bias) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_normalization: RMS takes no bias");
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, scale);
  tvi_layer_input(&layer, bias);
  tvi_layer_f32(&layer, "epsilon", epsilon);
  if (kind == TRIVET_NORMALIZATION_GROUP) tvi_layer_i64(&layer, "num_groups", axis);
  if (kind == TRIVET_NORMALIZATION_LAYER || kind == TRIVET_NORMALIZATION_RMS) {
    tvi_layer_i64(&layer, "axis", axis);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_lrn(trivet_network_t* network, trivet_value_t x, int64_t size,
                                       double alpha, double beta, double k, const char* name,
                                       trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.LRN", name);
  tvi_layer_input(&layer, x);
  tvi_layer_i64(&layer, "size", size);
  tvi_layer_f32(&layer, "alpha", alpha);
  tvi_layer_f32(&layer, "beta", beta);
  tvi_layer_f32(&layer, "bias", k);
  return tvi_layer_add(&layer, 1, out_value);
}

// --- Quantisation -------------------------------------------------------------------------------

static void put_quantization(tvi_layer_t* layer, trivet_value_t x, trivet_value_t scale,
                             trivet_value_t zero_point, int64_t axis, int64_t block) {
  tvi_layer_input(layer, x);
  tvi_layer_input(layer, scale);
  tvi_layer_input(layer, zero_point);
  tvi_layer_i64(layer, "axis", axis);
  if (block) tvi_layer_i64(layer, "block_size", block);
}

trivet_status_t trivet_network_add_quantize(trivet_network_t* network, trivet_value_t x,
                                            trivet_value_t scale, trivet_value_t zero_point,
                                            trivet_dtype_t dtype, int64_t axis, int64_t block,
                                            const char* name, trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.QuantizeLinear", name);
  put_quantization(&layer, x, scale, zero_point, axis, block);
  if (!zero_point) tvi_layer_dtype(&layer, "output_dtype", dtype);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_dequantize(trivet_network_t* network, trivet_value_t x,
                                              trivet_value_t scale, trivet_value_t zero_point,
                                              int64_t axis, int64_t block, const char* name,
                                              trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.DequantizeLinear", name);
  put_quantization(&layer, x, scale, zero_point, axis, block);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_dynamic_quantize(trivet_network_t* network, trivet_value_t x,
                                                    const char* name, trivet_value_t* out_outputs) {
  return trivet_network_add_node(network, "std.DynamicQuantizeLinear", &x, 1, NULL, 0, name, 3,
                                 out_outputs);
}

// --- Sequences ----------------------------------------------------------------------------------

trivet_status_t trivet_network_add_attention(trivet_network_t* network, trivet_value_t q,
                                             trivet_value_t k, trivet_value_t x,
                                             trivet_value_t mask, const trivet_attention_t* options,
                                             const char* name, trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Attention", name);
  tvi_layer_input(&layer, q);
  tvi_layer_input(&layer, k);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, mask);
  if (options) {
    tvi_layer_i64(&layer, "is_causal", options->is_causal != 0);
    if (options->scale != 0) tvi_layer_f32(&layer, "scale", options->scale);
    if (options->softcap != 0) tvi_layer_f32(&layer, "softcap", options->softcap);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_rotary_embedding(trivet_network_t* network, trivet_value_t x,
                                                    trivet_value_t cosines, trivet_value_t sines,
                                                    trivet_value_t positions, uint32_t interleaved,
                                                    int64_t dimension, const char* name,
                                                    trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.RotaryEmbedding", name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, cosines);
  tvi_layer_input(&layer, sines);
  tvi_layer_input(&layer, positions);
  tvi_layer_i64(&layer, "interleaved", interleaved != 0);
  tvi_layer_i64(&layer, "rotary_embedding_dim", dimension);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_recurrent(trivet_network_t* network, uint32_t kind,
                                             trivet_value_t x, trivet_value_t w, trivet_value_t r,
                                             trivet_value_t bias, trivet_value_t state,
                                             trivet_value_t cell, const trivet_recurrent_t* options,
                                             const char* name, trivet_value_t* out_outputs) {
  static const char* const ops[] = {"std.RNN", "std.LSTM", "std.GRU"};
  static const char* const directions[] = {"forward", "reverse", "bidirectional"};
  const char *op = NULL, *direction = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_recurrent", &op));
  TRIVET_RETURN_IF_ERROR(
      TVI_LAYER_KIND(directions, options ? options->direction : 0, "add_recurrent", &direction));
  if (cell && kind != TRIVET_RECURRENT_LSTM) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_recurrent: %s has no cell", op);
  }
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, x);
  tvi_layer_input(&layer, w);
  tvi_layer_input(&layer, r);
  tvi_layer_input(&layer, bias);
  tvi_layer_input(&layer, 0);  // lengths
  tvi_layer_input(&layer, state);
  if (kind == TRIVET_RECURRENT_LSTM) tvi_layer_input(&layer, cell);
  tvi_layer_string(&layer, "direction", direction);
  if (kind == TRIVET_RECURRENT_GRU && options) {
    tvi_layer_i64(&layer, "linear_before_reset", options->linear_before_reset != 0);
  }
  return tvi_layer_add(&layer, kind == TRIVET_RECURRENT_LSTM ? 3 : 2, out_outputs);
}
