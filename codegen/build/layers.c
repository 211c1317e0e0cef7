// SPDX-License-Identifier: Apache-2.0
//
// Typed layer calls: how a layer is put together, constants, elementwise layers, control flow. Each
// call names operators of ops_standard through trivet_network_add_node; nothing is computed here.
#include <string.h>

#include "codegen/build/layers_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

// --- A layer ------------------------------------------------------------------------------------

void tvi_layer_init(tvi_layer_t* layer, trivet_network_t* network, const char* op,
                    const char* name) {
  memset(layer, 0, sizeof(*layer));
  layer->network = network;
  layer->op = op;
  layer->name = name;
}

void tvi_layer_input(tvi_layer_t* layer, trivet_value_t value) {
  layer->inputs[layer->input_count++] = value;
}

static trivet_attribute_t* put(tvi_layer_t* layer, const char* name, uint32_t kind) {
  trivet_attribute_t* attribute = &layer->attributes[layer->attribute_count];
  attribute->name = name;
  attribute->kind = kind;
  attribute->count = 1;
  attribute->data = &layer->values[layer->attribute_count++];
  return attribute;
}

void tvi_layer_i64(tvi_layer_t* layer, const char* attribute, int64_t value) {
  layer->values[layer->attribute_count].integer = value;
  put(layer, attribute, TRIVET_ATTR_I64);
}

void tvi_layer_i64s(tvi_layer_t* layer, const char* attribute, const int64_t* values,
                    uint64_t count) {
  trivet_attribute_t* list = put(layer, attribute, TRIVET_ATTR_I64);
  list->flags = TRIVET_ATTR_LIST;
  list->count = count;
  list->data = values;
}

void tvi_layer_f32(tvi_layer_t* layer, const char* attribute, double value) {
  layer->values[layer->attribute_count].number = value;
  put(layer, attribute, TRIVET_ATTR_F32);
}

void tvi_layer_dtype(tvi_layer_t* layer, const char* attribute, trivet_dtype_t value) {
  layer->values[layer->attribute_count].dtype = value;
  put(layer, attribute, TRIVET_ATTR_DTYPE);
}

void tvi_layer_string(tvi_layer_t* layer, const char* attribute, const char* value) {
  trivet_string_view_t text = {value, strlen(value)};
  layer->values[layer->attribute_count].text = text;
  put(layer, attribute, TRIVET_ATTR_STRING);
}

trivet_status_t tvi_layer_add(tvi_layer_t* layer, uint32_t output_count,
                              trivet_value_t* out_outputs) {
  while (layer->input_count && !layer->inputs[layer->input_count - 1]) --layer->input_count;
  return trivet_network_add_node(layer->network, layer->op, layer->inputs, layer->input_count,
                                 layer->attributes, layer->attribute_count, layer->name,
                                 output_count, out_outputs);
}

trivet_status_t tvi_layer_plain(trivet_network_t* network, const char* op,
                                const trivet_value_t* inputs, uint32_t count, const char* name,
                                trivet_value_t* out_value) {
  return trivet_network_add_node(network, op, inputs, count, NULL, 0, name, 1, out_value);
}

const trivet_type_t* tvi_layer_type(const trivet_network_t* network, trivet_value_t value) {
  return network->graph_builder->api->value_type(network->graph_builder, value);
}

trivet_status_t tvi_layer_check(const trivet_network_t* network, trivet_value_t x, const void* out,
                                const char* call) {
  if (!network || !out) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s needs a network and a place for its result", call);
  }
  if (!tvi_layer_type(network, x)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: there is no value %u", call, x);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_layer_kind(const char* const* names, size_t count, uint32_t kind,
                               const char* call, const char** out_name) {
  if (kind >= count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: there is no kind %u, the last one is %zu", call,
                         kind, count - 1);
  }
  *out_name = names[kind];
  return TRIVET_OK;
}

trivet_status_t tvi_layer_axis(int64_t axis, uint32_t rank, const char* call, uint32_t* out_axis) {
  int64_t from_front = axis < 0 ? axis + rank : axis;
  if (from_front < 0 || from_front >= rank) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%s: axis %lld of a value of rank %u", call, (long long)axis,
                         rank);
  }
  *out_axis = (uint32_t)from_front;
  return TRIVET_OK;
}

// --- Constants ----------------------------------------------------------------------------------

trivet_status_t trivet_network_add_scalar(trivet_network_t* network, trivet_dtype_t dtype,
                                          double value, trivet_value_t* out_value) {
  if (!tvi_dtype_is_real(dtype)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_scalar: type %s holds no number",
                         trivet_dtype_name(dtype));
  }
  uint64_t bytes = 0;
  tvi_dtype_write_f64(dtype, &bytes, 0, value);
  trivet_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = dtype;
  tensor.data = &bytes;
  tensor.size = (tvi_dtype_bits(dtype) + 7) / 8;
  return trivet_network_add_constant(network, NULL, &tensor, TRIVET_CONSTANT_COPY, out_value);
}

trivet_status_t trivet_network_add_integers(trivet_network_t* network, const int64_t* values,
                                            uint64_t count, trivet_value_t* out_value) {
  if ((count && !values) || count > INT32_MAX) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_integers needs at most %d values", INT32_MAX);
  }
  trivet_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = TRIVET_DTYPE_I64;
  tensor.rank = 1;
  tensor.dims[0] = (int64_t)count;
  tensor.data = (void*)values;  // only read
  tensor.size = count * sizeof(int64_t);
  return trivet_network_add_constant(network, NULL, &tensor, TRIVET_CONSTANT_COPY, out_value);
}

// --- Elementwise --------------------------------------------------------------------------------

typedef struct activation_row_s {
  const char* op;  // NULL: made of several
  const char* alpha;
  const char* beta;
  const char* approximate;
} activation_row_t;

static const activation_row_t kActivations[] = {
    {"std.Relu", NULL, NULL, NULL},
    {"std.Sigmoid", NULL, NULL, NULL},
    {"std.Tanh", NULL, NULL, NULL},
    {"std.LeakyRelu", "alpha", NULL, NULL},
    {"std.Elu", "alpha", NULL, NULL},
    {"std.Selu", "alpha", "gamma", NULL},
    {"std.Softsign", NULL, NULL, NULL},
    {"std.Softplus", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},  // CLIP: limits are operands
    {"std.HardSigmoid", "alpha", "beta", NULL},
    {NULL, NULL, NULL, NULL},  // SCALED_TANH
    {"std.ThresholdedRelu", "alpha", NULL, NULL},
    {"std.Gelu", NULL, NULL, "none"},
    {"std.Gelu", NULL, NULL, "tanh"},
    {"std.Swish", "alpha", NULL, NULL},
    {"std.HardSwish", NULL, NULL, NULL},
    {"std.Mish", NULL, NULL, NULL},
    {"std.Celu", "alpha", NULL, NULL},
};

static trivet_status_t add_clip(trivet_network_t* network, trivet_value_t x, double low,
                                double high, const char* name, trivet_value_t* out_value) {
  trivet_dtype_t dtype = tvi_layer_type(network, x)->dtype;
  trivet_value_t operands[3] = {x, 0, 0};
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, low, &operands[1]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, high, &operands[2]));
  return tvi_layer_plain(network, "std.Clip", operands, 3, name, out_value);
}

static trivet_status_t add_scaled_tanh(trivet_network_t* network, trivet_value_t x, double alpha,
                                       double beta, const char* name, trivet_value_t* out_value) {
  trivet_dtype_t dtype = tvi_layer_type(network, x)->dtype;
  trivet_value_t inner[2] = {x, 0}, outer[2];
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, beta, &inner[1]));
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Mul", inner, 2, name, &outer[0]));
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Tanh", outer, 1, name, &outer[0]));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, dtype, alpha, &outer[1]));
  return tvi_layer_plain(network, "std.Mul", outer, 2, name, out_value);
}

trivet_status_t trivet_network_add_activation(trivet_network_t* network, trivet_value_t x,
                                              uint32_t kind, double alpha, double beta,
                                              const char* name, trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_activation"));
  size_t count = sizeof(kActivations) / sizeof(kActivations[0]);
  if (kind >= count) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "add_activation: there is no kind %u, the last one is %zu", kind,
                         count - 1);
  }
  if (kind == TRIVET_ACTIVATION_CLIP) return add_clip(network, x, alpha, beta, name, out_value);
  if (kind == TRIVET_ACTIVATION_SCALED_TANH) {
    return add_scaled_tanh(network, x, alpha, beta, name, out_value);
  }
  const activation_row_t* row = &kActivations[kind];
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, row->op, name);
  tvi_layer_input(&layer, x);
  if (row->alpha) tvi_layer_f32(&layer, row->alpha, alpha);
  if (row->beta) tvi_layer_f32(&layer, row->beta, beta);
  if (row->approximate) tvi_layer_string(&layer, "approximate", row->approximate);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_prelu(trivet_network_t* network, trivet_value_t x,
                                         trivet_value_t slope, const char* name,
                                         trivet_value_t* out_value) {
  trivet_value_t operands[2] = {x, slope};
  return tvi_layer_plain(network, "std.PRelu", operands, 2, name, out_value);
}

trivet_status_t trivet_network_add_unary(trivet_network_t* network, trivet_value_t x, uint32_t kind,
                                         const char* name, trivet_value_t* out_value) {
  static const char* const ops[] = {
      "std.Exp",   "std.Log",       "std.Sqrt",  "std.Reciprocal", "std.Abs",   "std.Neg",
      "std.Sin",   "std.Cos",       "std.Tan",   "std.Sinh",       "std.Cosh",  "std.Asin",
      "std.Acos",  "std.Atan",      "std.Asinh", "std.Acosh",      "std.Atanh", "std.Ceil",
      "std.Floor", "std.Erf",       "std.Not",   "std.Sign",       "std.Round", "std.IsInf",
      "std.IsNaN", "std.BitwiseNot"};
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_unary", &op));
  return tvi_layer_plain(network, op, &x, 1, name, out_value);
}

// Floats: floor(a / b). Integers: (a - mod(a, b)) / b, where mod has the sign of b.
static trivet_status_t add_floor_div(trivet_network_t* network, trivet_value_t a, trivet_value_t b,
                                     const char* name, trivet_value_t* out_value) {
  trivet_value_t operands[2] = {a, b}, step = 0;
  if (tvi_dtype_is_float(tvi_layer_type(network, a)->dtype)) {
    TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Div", operands, 2, name, &step));
    return tvi_layer_plain(network, "std.Floor", &step, 1, name, out_value);
  }
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Mod", operands, 2, name, &step));
  trivet_value_t difference[2] = {a, step};
  TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, "std.Sub", difference, 2, name, &operands[0]));
  return tvi_layer_plain(network, "std.Div", operands, 2, name, out_value);
}

trivet_status_t trivet_network_add_elementwise(trivet_network_t* network, trivet_value_t a,
                                               trivet_value_t b, uint32_t kind, const char* name,
                                               trivet_value_t* out_value) {
  static const char* const ops[] = {"std.Add",
                                    "std.Sub",
                                    "std.Mul",
                                    "std.Div",
                                    "std.Max",
                                    "std.Min",
                                    "std.Pow",
                                    "",  // FLOOR_DIV
                                    "std.Mod",
                                    "std.And",
                                    "std.Or",
                                    "std.Xor",
                                    "std.Equal",
                                    "std.Less",
                                    "std.Greater",
                                    "std.LessOrEqual",
                                    "std.GreaterOrEqual",
                                    "std.BitwiseAnd",
                                    "std.BitwiseOr",
                                    "std.BitwiseXor"};
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, a, out_value, "add_elementwise"));
  const char* op = NULL;
  TRIVET_RETURN_IF_ERROR(TVI_LAYER_KIND(ops, kind, "add_elementwise", &op));
  if (kind == TRIVET_ELEMENTWISE_FLOOR_DIV) return add_floor_div(network, a, b, name, out_value);
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, op, name);
  tvi_layer_input(&layer, a);
  tvi_layer_input(&layer, b);
  if (kind == TRIVET_ELEMENTWISE_MOD && tvi_dtype_is_float(tvi_layer_type(network, a)->dtype)) {
    tvi_layer_i64(&layer, "fmod", 1);
  }
  return tvi_layer_add(&layer, 1, out_value);
}

// A vector along |axis| of |rank|, reshaped so that broadcasting puts it there.
static trivet_status_t along_axis(trivet_network_t* network, trivet_value_t vector, uint32_t axis,
                                  uint32_t rank, trivet_value_t* out_value) {
  int64_t dims[TRIVET_MAX_RANK] = {-1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  return trivet_network_add_reshape(network, vector, dims, rank - axis, NULL, out_value);
}

trivet_status_t trivet_network_add_scale(trivet_network_t* network, trivet_value_t x,
                                         trivet_value_t scale, trivet_value_t shift,
                                         trivet_value_t power, int64_t axis, const char* name,
                                         trivet_value_t* out_value) {
  static const char* const ops[3] = {"std.Mul", "std.Add", "std.Pow"};
  TRIVET_RETURN_IF_ERROR(tvi_layer_check(network, x, out_value, "add_scale"));
  const trivet_value_t operands[3] = {scale, shift, power};
  uint32_t rank = tvi_layer_type(network, x)->rank, front = 0;
  if (axis != TRIVET_SCALE_BROADCAST) {
    TRIVET_RETURN_IF_ERROR(tvi_layer_axis(axis, rank, "add_scale", &front));
  }
  if (!scale && !shift && !power) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_scale: no scale, shift or power is given");
  }
  for (int i = 0; i < 3; ++i) {
    if (!operands[i]) continue;
    trivet_value_t pair[2] = {x, operands[i]};
    if (axis != TRIVET_SCALE_BROADCAST) {
      TRIVET_RETURN_IF_ERROR(along_axis(network, operands[i], front, rank, &pair[1]));
    }
    TRIVET_RETURN_IF_ERROR(tvi_layer_plain(network, ops[i], pair, 2, name, &x));
  }
  *out_value = x;
  return TRIVET_OK;
}

trivet_status_t trivet_network_add_select(trivet_network_t* network, trivet_value_t condition,
                                          trivet_value_t a, trivet_value_t b, const char* name,
                                          trivet_value_t* out_value) {
  trivet_value_t operands[3] = {condition, a, b};
  return tvi_layer_plain(network, "std.Where", operands, 3, name, out_value);
}

trivet_status_t trivet_network_add_cast(trivet_network_t* network, trivet_value_t x,
                                        trivet_dtype_t dtype, const char* name,
                                        trivet_value_t* out_value) {
  tvi_layer_t layer;
  tvi_layer_init(&layer, network, "std.Cast", name);
  tvi_layer_input(&layer, x);
  tvi_layer_dtype(&layer, "to", dtype);
  return tvi_layer_add(&layer, 1, out_value);
}

trivet_status_t trivet_network_add_identity(trivet_network_t* network, trivet_value_t x,
                                            const char* name, trivet_value_t* out_value) {
  return tvi_layer_plain(network, "std.Identity", &x, 1, name, out_value);
}

// --- Control flow -------------------------------------------------------------------------------

trivet_status_t trivet_network_begin_body(trivet_network_t* network, const char* name,
                                          uint32_t* out_body) {
  if (!network || !out_body) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "begin_body needs a network and a place for the body");
  }
  trivet_string_view_t view = {name, name ? strlen(name) : 0};
  return network->graph_builder->api->begin_subgraph(network->graph_builder, view, out_body);
}

trivet_status_t trivet_network_end_body(trivet_network_t* network) {
  if (!network) return TRIVET_STATUS(INVALID_ARGUMENT, "end_body needs a network");
  return network->graph_builder->api->end_subgraph(network->graph_builder);
}

static trivet_attribute_t body_attribute(const char* name, const uint32_t* body) {
  trivet_attribute_t attribute = {name, TRIVET_ATTR_GRAPH, 0, 1, body};
  return attribute;
}

trivet_status_t trivet_network_add_if(trivet_network_t* network, trivet_value_t condition,
                                      uint32_t then_body, uint32_t else_body, uint32_t output_count,
                                      const char* name, trivet_value_t* out_outputs) {
  trivet_attribute_t bodies[2] = {body_attribute("then_branch", &then_body),
                                  body_attribute("else_branch", &else_body)};
  return trivet_network_add_node(network, "core.If", &condition, 1, bodies, 2, name, output_count,
                                 out_outputs);
}

trivet_status_t trivet_network_add_loop(trivet_network_t* network, trivet_value_t trip_count,
                                        trivet_value_t condition, const trivet_value_t* states,
                                        uint32_t state_count, uint32_t body, uint32_t output_count,
                                        const char* name, trivet_value_t* out_outputs) {
  if (!network || (state_count && !states)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "add_loop needs a network and its states");
  }
  trivet_value_t inputs[2 + 64] = {trip_count, condition};
  if (state_count > 64) {
    return TRIVET_STATUS(OUT_OF_RANGE, "add_loop: %u states are more than 64", state_count);
  }
  for (uint32_t i = 0; i < state_count; ++i) inputs[2 + i] = states[i];
  trivet_attribute_t attribute = body_attribute("body", &body);
  return trivet_network_add_node(network, "core.Loop", inputs, 2 + state_count, &attribute, 1, name,
                                 output_count, out_outputs);
}
