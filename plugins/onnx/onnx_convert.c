// SPDX-License-Identifier: Apache-2.0
//
// Turns one node into the form of the newest operator set and gives it to the builder. `std.X`
// means what operator X means there, so most nodes pass as they are; the tables of the
// onnx_convert_*.c files name the steps for the others. Steps edit the node in place and are
// applied in ascending order of version; what is left at the end is emitted.
#include <math.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static const tvi_onnx_conversion_t* const kFamilies[] = {
    tvi_onnx_conversions_shape,     tvi_onnx_conversions_reduce,    tvi_onnx_conversions_normalize,
    tvi_onnx_conversions_pointwise, tvi_onnx_conversions_resize,    tvi_onnx_conversions_control,
    tvi_onnx_conversions_constant,  tvi_onnx_conversions_microsoft, tvi_onnx_conversions_attention,
    tvi_onnx_conversions_ml,
};

// The next step that applies after |after| (NULL: the first one); NULL: none.
static const tvi_onnx_conversion_t* next_step(const char* domain, const char* type, int64_t opset,
                                              const tvi_onnx_conversion_t* after) {
  uint32_t passed = after == NULL;
  for (size_t f = 0; f < sizeof kFamilies / sizeof kFamilies[0]; ++f) {
    for (const tvi_onnx_conversion_t* row = kFamilies[f]; row->type != NULL; ++row) {
      if (passed && opset < row->below && strcmp(row->type, type) == 0 &&
          strcmp(row->domain, domain) == 0)
        return row;
      passed |= row == after;
    }
  }
  return NULL;
}

trivet_status_t tvi_onnx_target(tvi_onnx_t* onnx, const char* domain, const char* type,
                                int64_t opset, const char** out_op) {
  if (domain[0] != 0) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, out_op, "%s.%s", domain, type));
    if (onnx->builder->api->has_operator(onnx->builder, *out_op, 0)) return NULL;
  }
  const tvi_onnx_conversion_t* step = next_step(domain, type, opset, NULL);
  if (step != NULL && step->target != NULL) {
    *out_op = step->target;
    return NULL;
  }
  return domain[0] != 0 ? NULL : tvi_onnx_format(onnx, out_op, "std.%s", type);
}

trivet_status_t tvi_onnx_convert_node(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_target(node->onnx, node->domain, node->type, node->opset, &node->op));
  node->op_version = strncmp(node->op, "std.", 4) == 0 ? 1 : 0;
  // A registered operator of a domain of its own is taken as it is.
  uint32_t registered = node->domain[0] != 0 && node->op_version == 0;
  const tvi_onnx_conversion_t* step =
      registered ? NULL : next_step(node->domain, node->type, node->opset, NULL);
  if (!registered && node->output_count == 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "the node gives no results");
  }
  for (; step != NULL && !node->emitted;
       step = next_step(node->domain, node->type, node->opset, step)) {
    TVI_ONNX_RETURN_IF_ERROR(step->convert(node));
  }
  return node->emitted ? NULL : tvi_onnx_emit_node(node);
}

// ---- what steps are made of ----

trivet_value_t tvi_onnx_input(const tvi_onnx_node_t* node, uint32_t index) {
  return index < node->input_count ? node->inputs[index] : 0;
}

trivet_status_t tvi_onnx_set_input(tvi_onnx_node_t* node, uint32_t index, trivet_value_t value) {
  if (index >= node->input_capacity)
    return tvi_onnx_node_error(node, TRIVET_STATUS_INTERNAL, "operand %u has no room", index);
  node->inputs[index] = value;
  if (value != 0 && index >= node->input_count) node->input_count = index + 1;
  while (node->input_count > 0 && node->inputs[node->input_count - 1] == 0) --node->input_count;
  return NULL;
}

trivet_status_t tvi_onnx_require_inputs(const tvi_onnx_node_t* node, uint32_t least,
                                        uint32_t most) {
  if (node->input_count < least || node->input_count > most) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "%u inputs are given, %u to %u are possible", node->input_count,
                               least, most);
  }
  for (uint32_t i = 0; i < least; ++i) {
    if (node->inputs[i] == 0)
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "input %u is absent", i);
  }
  return NULL;
}

trivet_status_t tvi_onnx_value_type(const tvi_onnx_node_t* node, trivet_value_t value,
                                    trivet_type_t* out_type) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  const trivet_type_t* type = value != 0 ? builder->api->value_type(builder, value) : NULL;
  if (type == NULL || type->dtype == TRIVET_DTYPE_INVALID || type->rank > TRIVET_MAX_RANK) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_INTERNAL, "the type of an operand is not known");
  }
  *out_type = *type;
  return NULL;
}

trivet_status_t tvi_onnx_input_type(const tvi_onnx_node_t* node, uint32_t index,
                                    trivet_type_t* out_type) {
  if (tvi_onnx_input(node, index) == 0)
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "input %u is absent", index);
  return tvi_onnx_value_type(node, node->inputs[index], out_type);
}

static trivet_status_t add_constant(tvi_onnx_node_t* node, uint32_t dtype, uint32_t rank,
                                    uint64_t count, const void* data, uint64_t size,
                                    trivet_value_t* out_value) {
  trivet_tensor_t tensor = {0};
  tensor.dtype = dtype;
  tensor.rank = rank;
  tensor.dims[0] = rank != 0 ? (int64_t)count : 0;
  tensor.data = (void*)(uintptr_t)data;
  tensor.size = size;
  return tvi_onnx_add_constant(node->onnx, "", &tensor, TRIVET_CONSTANT_COPY, out_value);
}

trivet_status_t tvi_onnx_constant_i64s(tvi_onnx_node_t* node, const int64_t* values, uint64_t count,
                                       trivet_value_t* out_value) {
  return add_constant(node, TRIVET_DTYPE_I64, 1, count, values, count * sizeof *values, out_value);
}

trivet_status_t tvi_onnx_constant_f32s(tvi_onnx_node_t* node, const double* values, uint64_t count,
                                       trivet_value_t* out_value) {
  float* data = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&node->onnx->arena, count, sizeof *data, &data));
  for (uint64_t i = 0; i < count; ++i) data[i] = (float)values[i];
  return add_constant(node, TRIVET_DTYPE_F32, 1, count, data, count * sizeof *data, out_value);
}

trivet_status_t tvi_onnx_constant_i64(tvi_onnx_node_t* node, int64_t value,
                                      trivet_value_t* out_value) {
  return add_constant(node, TRIVET_DTYPE_I64, 0, 1, &value, sizeof value, out_value);
}

// Rounds to a binary format of 16 bits with |exponent_bits|, to nearest, ties to even. Attributes
// are f32, so going through double first rounds once only.
static uint16_t round_to_16(double value, int exponent_bits) {
  int mantissa_bits = 15 - exponent_bits;
  int bias = (1 << (exponent_bits - 1)) - 1;
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  uint16_t infinity = (uint16_t)(((1 << exponent_bits) - 1) << mantissa_bits);
  if (isnan(value)) return (uint16_t)(sign | infinity | (1 << (mantissa_bits - 1)));
  value = fabs(value);
  if (value == 0) return sign;
  if (isinf(value)) return (uint16_t)(sign | infinity);
  int exponent;
  frexp(value, &exponent);
  exponent -= 1;
  if (exponent < 1 - bias) exponent = 1 - bias;
  // The mantissa with its hidden bit as an integer; carrying into the exponent field is what
  // rounding up must do.
  double scaled = ldexp(value, mantissa_bits - exponent);
  double whole = floor(scaled);
  double rest = scaled - whole;
  uint64_t mantissa = (uint64_t)whole;
  if (rest > 0.5 || (rest == 0.5 && (mantissa & 1))) ++mantissa;
  uint64_t bits = ((uint64_t)(exponent + bias - 1) << mantissa_bits) + mantissa;
  return (uint16_t)(sign | (bits > infinity ? infinity : bits));
}

trivet_status_t tvi_onnx_constant_scalar(tvi_onnx_node_t* node, uint32_t dtype, double value,
                                         trivet_value_t* out_value) {
  uint8_t data[8] = {0};
  uint32_t bits = tvi_onnx_dtype_bits(dtype);
  float f32 = (float)value;
  switch (dtype) {
    case TRIVET_DTYPE_F32:
      memcpy(data, &f32, 4);
      break;
    case TRIVET_DTYPE_F64:
      memcpy(data, &value, 8);
      break;
    case TRIVET_DTYPE_F16:
    case TRIVET_DTYPE_BF16: {
      uint16_t half = round_to_16(value, dtype == TRIVET_DTYPE_F16 ? 5 : 8);
      memcpy(data, &half, 2);
      break;
    }
    default: {
      if (bits < 8 || bits > 64 || dtype == TRIVET_DTYPE_C64 ||
          (bits == 8 && dtype >= TRIVET_DTYPE_F8E4M3FN)) {
        return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                                   "a constant of element type %u cannot be made here", dtype);
      }
      uint32_t is_unsigned = dtype == TRIVET_DTYPE_U8 || dtype == TRIVET_DTYPE_U16 ||
                             dtype == TRIVET_DTYPE_U32 || dtype == TRIVET_DTYPE_U64 ||
                             dtype == TRIVET_DTYPE_BOOL;
      // Saturating, as casts of the kernel language are.
      double least = is_unsigned ? 0 : -ldexp(1, (int)bits - 1),
             limit = ldexp(1, (int)bits - (is_unsigned ? 0 : 1));
      uint64_t integer;
      if (isnan(value)) {
        integer = 0;
      } else if (value <= least) {
        integer = is_unsigned ? 0 : (uint64_t)1 << (bits - 1);
      } else if (value >= limit) {
        integer = (is_unsigned ? UINT64_MAX : (uint64_t)INT64_MAX) >> (64 - bits);
      } else {
        integer = value < 0 ? (uint64_t)(int64_t)value : (uint64_t)value;
      }
      if (dtype == TRIVET_DTYPE_BOOL) integer = value != 0;
      memcpy(data, &integer, bits / 8);
      break;
    }
  }
  return add_constant(node, dtype, 0, 1, data, bits / 8, out_value);
}

trivet_status_t tvi_onnx_emit(tvi_onnx_node_t* node, const char* op, const trivet_value_t* inputs,
                              uint32_t input_count, const trivet_attribute_t* attributes,
                              uint32_t attribute_count, trivet_value_t* out_value) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  return builder->api->add_node(builder, op, 1, inputs, input_count, attributes, attribute_count,
                                &node->origin, 1, out_value);
}

// Operands whose rank the standard fixes, and where files hold one element in another shape all the
// same: a vector of one for a scalar, a scalar for a vector of one. Other runtimes take both.
typedef struct rank_row_s {
  const char* op;
  uint32_t operand;
  uint32_t rank;
} rank_row_t;
static const rank_row_t kRanks[] = {
    {"std.Clip", 1, 0},
    {"std.Clip", 2, 0},
    {"std.CumProd", 1, 0},
    {"std.CumSum", 1, 0},
    {"std.Dropout", 1, 0},
    {"std.Dropout", 2, 0},
    {"std.Expand", 1, 1},
    {"std.Pad", 1, 1},
    {"std.Pad", 2, 0},
    {"std.Pad", 3, 1},
    {"std.Range", 0, 0},
    {"std.Range", 1, 0},
    {"std.Range", 2, 0},
    {"std.ReduceL1", 1, 1},
    {"std.ReduceL2", 1, 1},
    {"std.ReduceLogSum", 1, 1},
    {"std.ReduceLogSumExp", 1, 1},
    {"std.ReduceMax", 1, 1},
    {"std.ReduceMean", 1, 1},
    {"std.ReduceMin", 1, 1},
    {"std.ReduceProd", 1, 1},
    {"std.ReduceSum", 1, 1},
    {"std.ReduceSumSquare", 1, 1},
    {"std.Reshape", 1, 1},
    {"std.Slice", 1, 1},
    {"std.Slice", 2, 1},
    {"std.Slice", 3, 1},
    {"std.Slice", 4, 1},
    {"std.Split", 1, 1},
    {"std.Squeeze", 1, 1},
    {"std.Tile", 1, 1},
    {"std.TopK", 1, 1},
    {"std.Trilu", 1, 0},
    {"std.Unsqueeze", 1, 1},
};

static trivet_status_t fix_rank(tvi_onnx_node_t* node, trivet_value_t* value, uint32_t rank) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  trivet_type_t type;
  int64_t extent = 1;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, *value, &type));
  if (type.rank == rank || type.rank > 1) return NULL;
  if (type.rank == 1 && (!builder->api->dim_value(builder, type.dims[0], &extent) || extent != 1))
    return NULL;
  const trivet_tensor_t* known = builder->api->value_constant(builder, *value);
  if (known != NULL)
    return add_constant(node, known->dtype, rank, 1, known->data, known->size, value);
  const int64_t one = 1;
  trivet_value_t operands[2] = {*value, 0};
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &one, rank, &operands[1]));
  return tvi_onnx_emit(node, "std.Reshape", operands, 2, NULL, 0, value);
}

trivet_status_t tvi_onnx_emit_node(tvi_onnx_node_t* node) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  trivet_attribute_t attributes[TVI_ONNX_MAX_ATTRIBUTES];
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    tvi_onnx_attribute_t* a = &node->attributes[i];
    if (a->value.kind == TRIVET_ATTR_GRAPH && a->value.data == NULL) {
      uint32_t* graphs = NULL;
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_arena_allocate(&node->onnx->arena, a->value.count, sizeof *graphs, &graphs));
      for (uint64_t k = 0; k < a->value.count; ++k) {
        const Onnx__GraphProto* graph =
            a->value.flags == TRIVET_ATTR_LIST ? a->proto->graphs[k] : a->proto->g;
        TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_read_subgraph(node, a, graph, NULL, 0, &graphs[k]));
      }
      a->value.data = graphs;
    }
    if (a->value.kind == 0) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                                 "attribute '%s' holds a sparse tensor, which is not read",
                                 a->value.name);
    }
    attributes[i] = a->value;
  }
  for (size_t i = 0; i < sizeof kRanks / sizeof kRanks[0]; ++i) {
    uint32_t operand = kRanks[i].operand;
    if (tvi_onnx_input(node, operand) == 0 || strcmp(node->op, kRanks[i].op) != 0) continue;
    TVI_ONNX_RETURN_IF_ERROR(fix_rank(node, &node->inputs[operand], kRanks[i].rank));
  }
  node->emitted = 1;
  return builder->api->add_node(builder, node->op, node->op_version, node->inputs,
                                node->input_count, attributes, node->attribute_count, &node->origin,
                                node->output_count, node->outputs);
}

trivet_status_t tvi_onnx_attribute_to_input(tvi_onnx_node_t* node, const char* name,
                                            uint32_t index) {
  uint64_t count = 0;
  const int64_t* values = tvi_onnx_attribute_i64s(node, name, &count);
  if (tvi_onnx_attribute(node, name) == NULL) return NULL;
  if (tvi_onnx_input(node, index) != 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "'%s' is given as attribute and as input %u", name, index);
  }
  if (tvi_onnx_attribute(node, name)->value.kind != TRIVET_ATTR_I64 ||
      tvi_onnx_attribute(node, name)->value.flags != TRIVET_ATTR_LIST) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "attribute '%s' is not a list of integers", name);
  }
  trivet_value_t value = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, values, count, &value));
  tvi_onnx_drop_attribute(node, name);
  return tvi_onnx_set_input(node, index, value);
}
