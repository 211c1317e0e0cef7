// SPDX-License-Identifier: Apache-2.0
//
// Operators of the domain com.microsoft that optimisers of other runtimes write and that today's
// ai.onnx says as well.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t binary(tvi_onnx_node_t* node, const char* op, trivet_value_t a,
                              trivet_value_t b, trivet_value_t* out_value) {
  const trivet_value_t operands[2] = {a, b};
  return tvi_onnx_emit(node, op, operands, 2, NULL, 0, out_value);
}

static trivet_status_t convert_gelu(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  node->op = "std.Gelu";
  return NULL;
}

// BiasGelu(x, bias) = Gelu(x + bias), by erf; FastGelu(x, bias?) the same by tanh.
static trivet_status_t convert_bias_gelu(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 2));
  if (node->input_count == 2) {
    TVI_ONNX_RETURN_IF_ERROR(
        binary(node, "std.Add", node->inputs[0], node->inputs[1], &node->inputs[0]));
    node->input_count = 1;
  }
  node->op = "std.Gelu";
  return strcmp(node->type, "FastGelu") == 0 ? tvi_onnx_set_string(node, "approximate", "tanh")
                                             : NULL;
}

// QuickGelu(x) = x * Sigmoid(alpha * x)
static trivet_status_t convert_quick_gelu(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  node->op = "std.Swish";
  return tvi_onnx_set_f64(node, "alpha", tvi_onnx_attribute_f64(node, "alpha", (double)1.702f));
}

// LayerNormalization and SimplifiedLayerNormalization of this domain agree with ai.onnx in operands
// and attributes.
static trivet_status_t convert_layer_norm(tvi_onnx_node_t* node) {
  uint32_t simplified = strcmp(node->type, "SimplifiedLayerNormalization") == 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, simplified ? 2 : 3));
  if (simplified && node->output_count > 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED, "the second result is not read");
  }
  if (tvi_onnx_attribute_i64(node, "stash_type", 1) != 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "stash_type other than 1 is not read");
  }
  tvi_onnx_drop_attribute(node, "stash_type");
  node->op = simplified ? "std.RMSNormalization" : "std.LayerNormalization";
  return NULL;
}

// SkipLayerNormalization(x, skip, gamma, beta?, bias?) -> (y, mean, inverse deviation, sum): the
// normalisation of x + skip + bias. The simplified form has no beta.
static trivet_status_t convert_skip_layer_norm(tvi_onnx_node_t* node) {
  uint32_t simplified = strcmp(node->type, "SkipSimplifiedLayerNormalization") == 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 3, simplified ? 4 : 5));
  for (uint32_t i = 1; i < 3 && i < node->output_count; ++i) {
    if (node->proto->output[i][0] != 0) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                                 "result %u (a statistic) is not read", i);
    }
  }
  trivet_value_t gamma = node->inputs[2], beta = simplified ? 0 : tvi_onnx_input(node, 3);
  trivet_value_t bias = tvi_onnx_input(node, simplified ? 3 : 4), sum = 0;
  TVI_ONNX_RETURN_IF_ERROR(binary(node, "std.Add", node->inputs[0], node->inputs[1], &sum));
  if (bias != 0) TVI_ONNX_RETURN_IF_ERROR(binary(node, "std.Add", sum, bias, &sum));
  double epsilon =
      tvi_onnx_attribute_f64(node, "epsilon", simplified ? (double)1e-5f : (double)1e-12f);
  int64_t axis = -1;
  const trivet_attribute_t attributes[2] = {TVI_ONNX_ATTR_F32("epsilon", &epsilon),
                                            TVI_ONNX_ATTR_I64("axis", &axis)};
  const trivet_value_t operands[3] = {sum, gamma, beta};
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_emit(node, simplified ? "std.RMSNormalization" : "std.LayerNormalization", operands,
                    beta != 0 ? 3 : 2, attributes, 2, &node->outputs[0]));
  if (node->output_count > 3) node->outputs[3] = sum;
  node->emitted = 1;
  return NULL;
}

static trivet_status_t swap_last_axes(tvi_onnx_node_t* node, trivet_value_t* value) {
  trivet_type_t type;
  int64_t perm[TRIVET_MAX_RANK];
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, *value, &type));
  if (type.rank < 2) return NULL;
  for (uint32_t i = 0; i < type.rank; ++i) perm[i] = i;
  perm[type.rank - 2] = type.rank - 1;
  perm[type.rank - 1] = type.rank - 2;
  const trivet_attribute_t attribute = TVI_ONNX_ATTR_I64S("perm", perm, type.rank);
  return tvi_onnx_emit(node, "std.Transpose", value, 1, &attribute, 1, value);
}

// FusedMatMul: alpha * op(A) op(B).
static trivet_status_t convert_fused_matmul(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 2));
  if (tvi_onnx_attribute_i64(node, "transBatchA", 0) != 0 ||
      tvi_onnx_attribute_i64(node, "transBatchB", 0) != 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "transBatchA and transBatchB are not read");
  }
  trivet_value_t a = node->inputs[0], b = node->inputs[1];
  double alpha = tvi_onnx_attribute_f64(node, "alpha", 1);
  if (tvi_onnx_attribute_i64(node, "transA", 0) != 0)
    TVI_ONNX_RETURN_IF_ERROR(swap_last_axes(node, &a));
  if (tvi_onnx_attribute_i64(node, "transB", 0) != 0)
    TVI_ONNX_RETURN_IF_ERROR(swap_last_axes(node, &b));
  TVI_ONNX_RETURN_IF_ERROR(binary(node, "std.MatMul", a, b, &node->outputs[0]));
  node->emitted = 1;
  if (alpha == 1) return NULL;
  trivet_type_t type;
  trivet_value_t scale = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, a, &type));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_scalar(node, type.dtype, alpha, &scale));
  return binary(node, "std.Mul", node->outputs[0], scale, &node->outputs[0]);
}

// The activation that FusedConv and FusedGemm name, applied to |value|.
static trivet_status_t activate(tvi_onnx_node_t* node, const char* activation,
                                const double* parameters, uint64_t parameter_count,
                                trivet_value_t* value) {
  static const struct {
    const char* name;
    const char* op;
    const char* parameters[2];
  } kActivations[] = {
      {"Relu", "std.Relu", {NULL, NULL}},
      {"Tanh", "std.Tanh", {NULL, NULL}},
      {"Sigmoid", "std.Sigmoid", {NULL, NULL}},
      {"LeakyRelu", "std.LeakyRelu", {"alpha", NULL}},
      {"HardSigmoid", "std.HardSigmoid", {"alpha", "beta"}},
  };
  if (activation[0] == 0) return NULL;
  if (strcmp(activation, "Clip") == 0) {
    trivet_type_t type;
    trivet_value_t operands[3] = {*value, 0, 0};
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
    if (parameter_count != 2)
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "Clip needs two parameters");
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_constant_scalar(node, type.dtype, parameters[0], &operands[1]));
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_constant_scalar(node, type.dtype, parameters[1], &operands[2]));
    return tvi_onnx_emit(node, "std.Clip", operands, 3, NULL, 0, value);
  }
  for (size_t i = 0; i < sizeof kActivations / sizeof kActivations[0]; ++i) {
    if (strcmp(activation, kActivations[i].name) != 0) continue;
    trivet_attribute_t attributes[2];
    uint32_t count = 0;
    for (; count < 2 && count < parameter_count && kActivations[i].parameters[count] != NULL;
         ++count) {
      attributes[count] = (trivet_attribute_t)TVI_ONNX_ATTR_F32(kActivations[i].parameters[count],
                                                                &parameters[count]);
    }
    return tvi_onnx_emit(node, kActivations[i].op, value, 1, attributes, count, value);
  }
  return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED, "activation '%.60s' is not read",
                             activation);
}

// FusedConv(x, w, b?, z?) = activation(Conv(x, w, b) + z)
static trivet_status_t convert_fused_conv(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 4));
  uint64_t count = 0;
  const char* activation = tvi_onnx_attribute_string(node, "activation", "");
  const double* parameters = tvi_onnx_attribute_f64s(node, "activation_params", &count);
  trivet_value_t addend = tvi_onnx_input(node, 3);
  tvi_onnx_drop_attribute(node, "activation");
  tvi_onnx_drop_attribute(node, "activation_params");
  if (addend != 0) TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 3, 0));
  node->op = "std.Conv";
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit_node(node));
  if (addend != 0)
    TVI_ONNX_RETURN_IF_ERROR(binary(node, "std.Add", node->outputs[0], addend, &node->outputs[0]));
  return activate(node, activation, parameters, count, &node->outputs[0]);
}

// FusedGemm = activation(Gemm)
static trivet_status_t convert_fused_gemm(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 3));
  const char* activation = tvi_onnx_attribute_string(node, "activation", "");
  double parameters[2] = {tvi_onnx_attribute_f64(node, "activation_alpha", 0),
                          tvi_onnx_attribute_f64(node, "activation_beta", 0)};
  uint64_t count = tvi_onnx_attribute(node, "activation_alpha") == NULL  ? 0
                   : tvi_onnx_attribute(node, "activation_beta") == NULL ? 1
                                                                         : 2;
  tvi_onnx_drop_attribute(node, "activation");
  tvi_onnx_drop_attribute(node, "activation_alpha");
  tvi_onnx_drop_attribute(node, "activation_beta");
  tvi_onnx_drop_attribute(node, "activation_gamma");
  node->op = "std.Gemm";
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit_node(node));
  return activate(node, activation, parameters, count, &node->outputs[0]);
}

const tvi_onnx_conversion_t tvi_onnx_conversions_microsoft[] = {
    {"com.microsoft", "BiasGelu", TVI_ONNX_ALWAYS, "std.Gelu", convert_bias_gelu},
    {"com.microsoft", "FastGelu", TVI_ONNX_ALWAYS, "std.Gelu", convert_bias_gelu},
    {"com.microsoft", "FusedConv", TVI_ONNX_ALWAYS, "std.Conv", convert_fused_conv},
    {"com.microsoft", "FusedGemm", TVI_ONNX_ALWAYS, "std.Gemm", convert_fused_gemm},
    {"com.microsoft", "FusedMatMul", TVI_ONNX_ALWAYS, "std.MatMul", convert_fused_matmul},
    {"com.microsoft", "Gelu", TVI_ONNX_ALWAYS, "std.Gelu", convert_gelu},
    {"com.microsoft", "LayerNormalization", TVI_ONNX_ALWAYS, "std.LayerNormalization",
     convert_layer_norm},
    {"com.microsoft", "QuickGelu", TVI_ONNX_ALWAYS, "std.Swish", convert_quick_gelu},
    {"com.microsoft", "SimplifiedLayerNormalization", TVI_ONNX_ALWAYS, "std.RMSNormalization",
     convert_layer_norm},
    {"com.microsoft", "SkipLayerNormalization", TVI_ONNX_ALWAYS, "std.LayerNormalization",
     convert_skip_layer_norm},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", TVI_ONNX_ALWAYS, "std.RMSNormalization",
     convert_skip_layer_norm},
    {NULL, NULL, 0, NULL, NULL},
};
