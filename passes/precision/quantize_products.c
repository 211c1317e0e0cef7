// SPDX-License-Identifier: Apache-2.0
//
// quantize-products: a product of matrices of two dequantised factors, or a convolution, becomes
// one of their codes, whose exact sums are multiplied by both scales. Before fold-constants, which
// would compute the weights. Scales are one number for all of a factor, or one for each column of
// the result. The zero point of the second factor is 0; that of the first one, where the second is
// constant, is taken off the sums. Codes of u8 that the graph quantises become codes of i8. Where a
// target is known, only where a kernel of it multiplies the codes.
//
//   %a = std.DequantizeLinear(%codes, %s)        %p = std.MatMulInteger(%codes, %weights) : i32
//   %b = std.DequantizeLinear(%weights, %t)  ->  %q = std.Cast(%p) : f32
//   %y = std.MatMul(%a, %b)                      %y = std.Mul(%q, std.Mul(%s, %t))
#include "core/dimension/dimension.h"
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// So many products of two codes of 8 bits fit into 32 bits, one less its zero point.
#define MAX_DEPTH 65535
#define U8_MIDDLE 128

typedef struct codes_s {
  tvi_value_id_t codes, scale;
  bool is_turned;    // the factor is the transpose of the codes
  bool is_unsigned;  // the codes are u8
  double zero;
} codes_t;

typedef struct product_s {
  codes_t a, b;
  tvi_value_id_t bias;  // of a Gemm or a convolution; 0: none
  double alpha;
  bool is_convolution;  // of which b are the weights
} product_t;

// Exchanges the last two of all dimensions and no others.
static bool turns_matrices(const trivet_graph_t* graph, const tvi_node_t* node) {
  uint64_t count;
  const uint32_t rank = graph->values[node->inputs[0]]->type.rank;
  const int64_t* perm = tvi_node_attr_i64s(node, "perm", &count);
  return rank == 2 && (perm == NULL || (count == 2 && perm[0] == 1 && perm[1] == 0));
}

// |columns|: the axis of the factor that gives columns (channels) of the result, which its scale
// may follow; -1: it has none. NULL: |out| is filled; "": it is no dequantised value; else why it
// is not taken.
static const char* read_codes(const trivet_graph_t* graph, tvi_value_id_t value, int columns,
                              codes_t* out) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  out->is_turned = false;
  if (node != NULL && columns >= 0 && tvi_node_is(node, "std.Transpose") &&
      turns_matrices(graph, node)) {
    out->is_turned = true;
    columns = 1 - columns;
    node = tvi_match_node(graph, node->inputs[0], NULL);
  }
  if (node == NULL || !tvi_node_is(node, "std.DequantizeLinear")) return "";
  const tvi_value_id_t zero = tvi_match_operand(node, 2);
  out->codes = node->inputs[0];
  out->scale = node->inputs[1];
  const trivet_type_t* type = &graph->values[out->codes]->type;
  const trivet_type_t* scale = &graph->values[out->scale]->type;
  out->is_unsigned = type->dtype == TRIVET_DTYPE_U8;
  if (type->dtype != TRIVET_DTYPE_I8 && (columns >= 0 || !out->is_unsigned))
    return "codes that are not i8";
  if (graph->values[tvi_match_output(node)]->type.dtype != TRIVET_DTYPE_F32 ||
      scale->dtype != TRIVET_DTYPE_F32)
    return "a scale or a dequantised value that is not f32";
  out->zero = 0;
  if (zero != 0 && !tvi_match_splat(graph, zero, &out->zero)) return "zero points that differ";
  if (columns >= 0 && out->zero != 0) return "a zero point of the second factor that is not 0";
  if (type->rank < 2) return "a factor that is no matrix";
  if (tvi_match_single(graph, out->scale)) return NULL;
  uint32_t axis;
  if (columns < 0 || scale->rank != 1 || tvi_node_attr_i64(node, "block_size", 0) != 0 ||
      !tvi_match_axis(tvi_node_attr_i64(node, "axis", 1), type->rank, &axis))
    return "a scale that is neither one number nor one for each column of the result";
  return (int)axis == columns ? NULL : "scales along the sum";
}

// Codes that the graph makes with one scale and zero point.
static bool is_quantized(const trivet_graph_t* graph, const codes_t* codes) {
  const tvi_node_t* node = tvi_match_node(graph, codes->codes, "std.QuantizeLinear");
  double zero = 0;
  return node != NULL && tvi_match_single(graph, node->inputs[1]) &&
         (tvi_match_operand(node, 2) == 0 || tvi_match_splat(graph, node->inputs[2], &zero)) &&
         zero == codes->zero && tvi_node_attr_dtype(node, "precision", 0) == 0;
}

// How many products a sum has at most.
static int64_t depth_of(const trivet_graph_t* graph, const product_t* p) {
  const trivet_type_t* type = &graph->values[p->is_convolution ? p->b.codes : p->a.codes]->type;
  int64_t low, high, depth = 1;
  const uint32_t first = p->is_convolution ? 1 : type->rank - 1;
  for (uint32_t d = first; d < type->rank && depth <= MAX_DEPTH; ++d) {
    tvi_dim_range(graph->dims, type->dims[d], &low, &high);
    depth = high > MAX_DEPTH ? MAX_DEPTH + 1 : depth * high;
  }
  return depth;
}

static const char* read_product(const trivet_graph_t* graph, const tvi_node_t* node,
                                product_t* out) {
  const bool is_gemm = tvi_node_is(node, "std.Gemm");
  const bool has_rows = is_gemm && tvi_node_attr_i64(node, "transB", 0) != 0;
  out->alpha = 1;
  out->bias = 0;
  out->is_convolution = tvi_node_is(node, "std.Conv");
  const char* reason = read_codes(graph, node->inputs[0], -1, &out->a);
  if (reason != NULL && *reason == 0) return "";
  const tvi_value_id_t b = node->inputs[1];
  const uint32_t rank = graph->values[b]->type.rank;
  const int columns = out->is_convolution || has_rows ? 0 : (int)rank - 1;
  const char* other =
      rank < 2 ? "a factor that is no matrix" : read_codes(graph, b, columns, &out->b);
  if (other != NULL && *other == 0) return "";
  if (reason != NULL || other != NULL) return reason != NULL ? reason : other;
  if (rank > 2 && !out->is_convolution && !tvi_match_single(graph, out->b.scale))
    return "a scale for each column of several matrices";
  out->b.is_turned ^= has_rows;
  if (out->a.is_unsigned && !is_quantized(graph, &out->a)) return "codes of u8 from elsewhere";
  const bool has_zero = out->a.zero != (out->a.is_unsigned ? U8_MIDDLE : 0);
  if (has_zero && !tvi_match_constant(graph, out->b.codes))
    return "a zero point beside a factor that is not constant";
  if (has_zero && out->is_convolution) return "a zero point of a picture, which pads count as";
  if (depth_of(graph, out) > MAX_DEPTH) return "sums that may not fit into 32 bits";
  if (out->is_convolution) {
    out->bias = tvi_match_operand(node, 2);
    return NULL;
  }
  if (!is_gemm) return NULL;
  if (tvi_node_attr_i64(node, "transA", 0) != 0) return "a first factor that is transposed";
  out->alpha = tvi_node_attr_f64(node, "alpha", 1);
  out->bias = tvi_match_operand(node, 2);
  if (out->bias != 0 && tvi_node_attr_f64(node, "beta", 1) != 1) return "a factor of the bias";
  return NULL;
}

// Replaces |value|, the output of a node over constants, by what it computes: a kernel is asked
// about what it will get.
static trivet_status_t settle(tvi_edit_t* edit, tvi_value_id_t* value) {
  const tvi_node_id_t at = edit->graph->values[*value]->producer;
  const tvi_node_t* node = at != 0 ? edit->graph->nodes[at] : NULL;
  if (node == NULL || node->output_count != 1) return TRIVET_OK;
  for (uint32_t i = 0; i < node->input_count; ++i)
    if (node->inputs[i] != 0 && !tvi_match_constant(edit->graph, node->inputs[i])) return TRIVET_OK;
  return tvi_graph_evaluate_node(edit->graph, at, value);
}

// Weights that lie the other way round.
static trivet_status_t turn(tvi_edit_t* edit, tvi_value_id_t codes, tvi_value_id_t* out_codes) {
  static const int64_t exchanged[] = {1, 0};
  const trivet_attribute_t perm = tvi_edit_i64s("perm", exchanged, 2);
  tvi_node_id_t node;
  TRIVET_RETURN_IF_ERROR(tvi_edit_node(edit, "std.Transpose", &codes, 1, &perm, 1, 1, &node));
  *out_codes = tvi_match_output(edit->graph->nodes[node]);
  TRIVET_RETURN_IF_ERROR(settle(edit, out_codes));
  const bool is_settled = *out_codes != tvi_match_output(edit->graph->nodes[node]);
  return is_settled ? tvi_edit_sweep(edit, node, 0) : TRIVET_OK;
}

// The same codes, 128 less, as i8.
static trivet_status_t make_signed(tvi_edit_t* edit, codes_t* codes) {
  const tvi_node_t* node = tvi_match_node(edit->graph, codes->codes, "std.QuantizeLinear");
  tvi_value_id_t operands[3] = {node->inputs[0], node->inputs[1], 0};
  codes->zero -= U8_MIDDLE;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, TRIVET_DTYPE_I8, codes->zero, &operands[2]));
  return tvi_edit_op(edit, "std.QuantizeLinear", operands, 3, NULL, 0, &codes->codes);
}

// The sums less what the zero point of the first factor adds to each: a number for each column.
static trivet_status_t take_zero(tvi_edit_t* edit, double zero, tvi_value_id_t weights,
                                 tvi_value_id_t* sums) {
  static const uint32_t to = TRIVET_DTYPE_I32;
  static const int64_t along_rows = -2, keeps = 1;
  const trivet_attribute_t type = {"to", TRIVET_ATTR_DTYPE, 0, 1, &to};
  const trivet_attribute_t keepdims = tvi_edit_i64("keepdims", &keeps);
  tvi_value_id_t operands[2], share, number;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Cast", &weights, 1, &type, 1, &operands[0]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &along_rows, 1, &operands[1]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.ReduceSum", operands, 2, &keepdims, 1, &share));
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, TRIVET_DTYPE_I32, zero, &number));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", share, number, &share));
  return tvi_edit_op2(edit, "std.Sub", *sums, share, sums);
}

// The product of the codes as f32; 0 where the target has no kernel for it.
static trivet_status_t multiply(tvi_edit_t* edit, const tvi_node_t* node, product_t* p,
                                tvi_value_id_t* out_value) {
  static const uint32_t to = TRIVET_DTYPE_F32;
  const trivet_attribute_t type = {"to", TRIVET_ATTR_DTYPE, 0, 1, &to};
  *out_value = 0;
  if (p->a.is_unsigned) TRIVET_RETURN_IF_ERROR(make_signed(edit, &p->a));
  TRIVET_RETURN_IF_ERROR(settle(edit, &p->b.codes));  // weights that the graph quantises
  tvi_value_id_t factors[2] = {p->a.codes, p->b.codes};
  tvi_node_id_t product, cast;
  if (p->b.is_turned) TRIVET_RETURN_IF_ERROR(turn(edit, factors[1], &factors[1]));
  TRIVET_RETURN_IF_ERROR(
      p->is_convolution
          ? tvi_edit_node(edit, "std.ConvInteger", factors, 2, node->attributes,
                          node->attribute_count, 1, &product)
          : tvi_edit_node(edit, "std.MatMulInteger", factors, 2, NULL, 0, 1, &product));
  tvi_value_id_t sums = tvi_match_output(edit->graph->nodes[product]);
  if (p->a.zero != 0) TRIVET_RETURN_IF_ERROR(take_zero(edit, p->a.zero, factors[1], &sums));
  TRIVET_RETURN_IF_ERROR(tvi_edit_node(edit, "std.Cast", &sums, 1, &type, 1, 1, &cast));
  // Asked when somebody reads the sums: nobody computes what is of no use.
  bool accepted = !tvi_pass_has_target(edit->context);
  if (!accepted)
    TRIVET_RETURN_IF_ERROR(tvi_pass_accepts(edit->context, edit->graph, product, &accepted));
  if (!accepted) return tvi_edit_sweep(edit, cast, 0);
  *out_value = tvi_match_output(edit->graph->nodes[cast]);
  return TRIVET_OK;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.MatMul") && !tvi_node_is(node, "std.Gemm") &&
      !tvi_node_is(node, "std.Conv"))
    return TRIVET_OK;
  product_t p;
  const char* reason = read_product(graph, node, &p);
  if (reason != NULL) {
    if (*reason != 0) tvi_edit_decline(edit, "not multiplied as integers: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t y = tvi_match_output(node), sums, scale;
  TRIVET_RETURN_IF_ERROR(multiply(edit, node, &p, &sums));
  if (sums == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", p.a.scale, p.b.scale, &scale));
  if (p.alpha != 1) {
    tvi_value_id_t alpha;
    TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, TRIVET_DTYPE_F32, p.alpha, &alpha));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", scale, alpha, &scale));
  }
  const uint32_t rank = graph->values[y]->type.rank;
  if (p.is_convolution && !tvi_match_single(graph, p.b.scale))
    TRIVET_RETURN_IF_ERROR(tvi_channel_align(edit, scale, rank, 1, &scale));
  if (p.is_convolution && p.bias != 0)
    TRIVET_RETURN_IF_ERROR(tvi_channel_align(edit, p.bias, rank, 1, &p.bias));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", sums, scale, &sums));
  if (p.bias != 0) TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", sums, p.bias, &sums));
  if (!tvi_edit_fits(edit, y, sums)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, sums, "multiplied as integers");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(quantize_products, "quantize-products",
                "multiplies codes instead of dequantised factors", run);
