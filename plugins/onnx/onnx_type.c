// SPDX-License-Identifier: Apache-2.0
//
// Types of an ONNX file: element types, declared shapes, and symbols for the dimensions that a file
// names or leaves open.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

typedef struct type_row_s {
  const char* name;
  uint32_t dtype;
} type_row_t;

// By the number of TensorProto.DataType.
static const type_row_t kTypes[] = {
    {"UNDEFINED", TRIVET_DTYPE_INVALID},
    {"FLOAT", TRIVET_DTYPE_F32},
    {"UINT8", TRIVET_DTYPE_U8},
    {"INT8", TRIVET_DTYPE_I8},
    {"UINT16", TRIVET_DTYPE_U16},
    {"INT16", TRIVET_DTYPE_I16},
    {"INT32", TRIVET_DTYPE_I32},
    {"INT64", TRIVET_DTYPE_I64},
    {"STRING", TRIVET_DTYPE_STRING},
    {"BOOL", TRIVET_DTYPE_BOOL},
    {"FLOAT16", TRIVET_DTYPE_F16},
    {"DOUBLE", TRIVET_DTYPE_F64},
    {"UINT32", TRIVET_DTYPE_U32},
    {"UINT64", TRIVET_DTYPE_U64},
    {"COMPLEX64", TRIVET_DTYPE_C64},
    {"COMPLEX128", TRIVET_DTYPE_C128},
    {"BFLOAT16", TRIVET_DTYPE_BF16},
    {"FLOAT8E4M3FN", TRIVET_DTYPE_F8E4M3FN},
    {"FLOAT8E4M3FNUZ", TRIVET_DTYPE_F8E4M3FNUZ},
    {"FLOAT8E5M2", TRIVET_DTYPE_F8E5M2},
    {"FLOAT8E5M2FNUZ", TRIVET_DTYPE_F8E5M2FNUZ},
    {"UINT4", TRIVET_DTYPE_U4},
    {"INT4", TRIVET_DTYPE_I4},
    {"FLOAT4E2M1", TRIVET_DTYPE_F4E2M1},
    {"FLOAT8E8M0", TRIVET_DTYPE_F8E8M0},
    {"UINT2", TRIVET_DTYPE_U2},
    {"INT2", TRIVET_DTYPE_I2},
    {"FLOAT6E2M3", TRIVET_DTYPE_INVALID},
    {"FLOAT6E3M2", TRIVET_DTYPE_INVALID},
};
#define TYPE_COUNT (int64_t)(sizeof kTypes / sizeof kTypes[0])

uint32_t tvi_onnx_dtype(int64_t onnx_type) {
  return onnx_type >= 0 && onnx_type < TYPE_COUNT ? kTypes[onnx_type].dtype : TRIVET_DTYPE_INVALID;
}

const char* tvi_onnx_dtype_name(int64_t onnx_type) {
  return onnx_type >= 0 && onnx_type < TYPE_COUNT ? kTypes[onnx_type].name : "unknown";
}

uint32_t tvi_onnx_dtype_bits(uint32_t dtype) {
#define BITS(name, text, bits, class) bits,
  static const uint8_t kBits[] = {TRIVET_DTYPE_TABLE(BITS)};
#undef BITS
  return dtype < TRIVET_DTYPE_COUNT ? kBits[dtype] : 0;
}

// A new symbol called like |label|, which may hold anything. Symbols are identifiers, and no two of
// a model share a name.
static trivet_status_t fresh_symbol(tvi_onnx_t* onnx, const char* label, trivet_dim_t* out_dim) {
  char clean[160];
  size_t n = 0;
  if (label[0] == 0 || (label[0] >= '0' && label[0] <= '9')) clean[n++] = '_';
  for (const char* c = label; *c != 0 && n < sizeof clean - 1; ++c) {
    int word = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
               *c == '_';
    clean[n++] = word ? *c : '_';
  }
  clean[n] = 0;
  const char* name = NULL;
  uint32_t added = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &name, "%s", clean));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &onnx->symbol_names, name, 0, &added));
  while (added == 0) {
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_format(onnx, &name, "%s_%u", clean, ++onnx->renamed_symbols + 1));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &onnx->symbol_names, name, 0, &added));
  }
  *out_dim = onnx->builder->api->dim_symbol(onnx->builder, tvi_onnx_view(name));
  if (*out_dim == NULL)
    return tvi_onnx_error(onnx, TRIVET_STATUS_OUT_OF_MEMORY, "the symbol '%s' cannot be made",
                          name);
  return NULL;
}

// The symbol of a dim_param: one per name of the file.
static trivet_status_t named_symbol(tvi_onnx_t* onnx, const char* name, trivet_dim_t* out_dim) {
  const uint64_t* known = tvi_onnx_map_find(&onnx->symbols, name);
  if (known != NULL) {
    *out_dim = (trivet_dim_t)(uintptr_t)*known;
    return NULL;
  }
  uint32_t added = 0;
  TVI_ONNX_RETURN_IF_ERROR(fresh_symbol(onnx, name, out_dim));
  return tvi_onnx_map_add(&onnx->arena, &onnx->symbols, name, (uint64_t)(uintptr_t)*out_dim,
                          &added);
}

// Some exporters write "?" or "-1" for a dimension that they do not know: two of them are not the
// same dimension.
static int names_a_symbol(const char* name) {
  for (; *name != 0; ++name) {
    if ((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_') return 1;
  }
  return 0;
}

static const char* kind_name(const Onnx__TypeProto* type) {
  switch (type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
      return "a sequence";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
      return "a map";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
      return "an optional";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
      return "a sparse tensor";
    default:
      return "of an opaque type";
  }
}

// An operator that reads |name|, for messages.
static const char* reader(const Onnx__GraphProto* graph, const char* name) {
  for (size_t i = 0; i < graph->n_node; ++i) {
    for (size_t k = 0; k < graph->node[i]->n_input; ++k) {
      if (strcmp(graph->node[i]->input[k], name) == 0)
        return tvi_onnx_text(graph->node[i]->op_type);
    }
  }
  return "no node";
}

trivet_status_t tvi_onnx_value_info_type(tvi_onnx_t* onnx, const Onnx__GraphProto* graph,
                                         size_t index, const char* place, trivet_type_t* out_type,
                                         uint32_t* out_has_shape) {
  const Onnx__ValueInfoProto* info = graph->input[index];
  const char* name = tvi_onnx_text(info->name);
  memset(out_type, 0, sizeof *out_type);
  *out_has_shape = 0;
  if (info->type == NULL || info->type->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET) return NULL;
  if (info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
    return tvi_onnx_error(onnx, TRIVET_STATUS_UNIMPLEMENTED,
                          "input '%.120s' of %s, read by %.60s, is %s; only tensors are read", name,
                          place, reader(graph, name), kind_name(info->type));
  }
  const Onnx__TypeProto__Tensor* tensor = info->type->tensor_type;
  out_type->dtype = tvi_onnx_dtype(tensor->elem_type);
  if (out_type->dtype == TRIVET_DTYPE_STRING ||
      (out_type->dtype == TRIVET_DTYPE_INVALID && tensor->elem_type != 0)) {
    return tvi_onnx_error(
        onnx, TRIVET_STATUS_UNIMPLEMENTED,
        "input '%.120s' of %s, read by %.60s, has element type %s (%d), which is not read", name,
        place, reader(graph, name), tvi_onnx_dtype_name(tensor->elem_type), (int)tensor->elem_type);
  }
  if (tensor->shape == NULL) return NULL;
  const Onnx__TensorShapeProto* shape = tensor->shape;
  if (shape->n_dim > TRIVET_MAX_RANK) {
    return tvi_onnx_error(onnx, TRIVET_STATUS_OUT_OF_RANGE,
                          "input '%.120s' of %s has %zu dimensions; at most %d are possible", name,
                          place, shape->n_dim, TRIVET_MAX_RANK);
  }
  out_type->rank = (uint32_t)shape->n_dim;
  for (size_t i = 0; i < shape->n_dim; ++i) {
    const Onnx__TensorShapeProto__Dimension* dim = shape->dim[i];
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        dim->dim_value >= 0) {
      out_type->dims[i] = onnx->builder->api->dim_constant(onnx->builder, dim->dim_value);
      if (out_type->dims[i] == NULL) {
        return tvi_onnx_error(onnx, TRIVET_STATUS_OUT_OF_RANGE,
                              "input '%.120s' of %s: dimension %zu of %lld is not possible", name,
                              place, i, (long long)dim->dim_value);
      }
    } else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
               dim->dim_param != NULL && names_a_symbol(dim->dim_param)) {
      TVI_ONNX_RETURN_IF_ERROR(named_symbol(onnx, dim->dim_param, &out_type->dims[i]));
    } else {
      // Negative sizes are how some exporters write "unknown".
      const char* label = NULL;
      TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &label, "%.120s_dim%zu", name, i));
      TVI_ONNX_RETURN_IF_ERROR(fresh_symbol(onnx, label, &out_type->dims[i]));
    }
  }
  *out_has_shape = 1;
  return NULL;
}
