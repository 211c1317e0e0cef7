// SPDX-License-Identifier: Apache-2.0
//
// Constant nodes: every form of value becomes a constant of the graph under the name of the node's
// output.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t convert_constant(tvi_onnx_node_t* node) {
  tvi_onnx_t* onnx = node->onnx;
  if (node->attribute_count != 1 || node->output_count != 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "one value and one output are needed, not %u and %u",
                               node->attribute_count, node->output_count);
  }
  const tvi_onnx_attribute_t* attribute = &node->attributes[0];
  const trivet_attribute_t* value = &attribute->value;
  const Onnx__AttributeProto* proto = attribute->proto;
  uint32_t is_list = value->flags == TRIVET_ATTR_LIST;
  trivet_tensor_t tensor = {0};
  uint32_t flags = TRIVET_CONSTANT_COPY;
  const char *what = NULL, *name = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &what, "constant '%s'", node->proto->output[0]));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_full_name(onnx, node->scope, node->proto->output[0], &name));
  if (strcmp(value->name, "value") == 0 && value->kind == TRIVET_ATTR_TENSOR && !is_list) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_tensor(onnx, proto->t, what, &tensor, &flags));
  } else if (strcmp(value->name, "sparse_value") == 0 && value->kind == 0) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_sparse_tensor(onnx, proto->sparse_tensor, what, &tensor));
  } else if ((strcmp(value->name, "value_int") == 0 || strcmp(value->name, "value_ints") == 0) &&
             value->kind == TRIVET_ATTR_I64) {
    tensor.dtype = TRIVET_DTYPE_I64;
    tensor.data = (void*)(uintptr_t)value->data;
    tensor.size = value->count * 8;
  } else if ((strcmp(value->name, "value_float") == 0 ||
              strcmp(value->name, "value_floats") == 0) &&
             value->kind == TRIVET_ATTR_F32) {
    tensor.dtype = TRIVET_DTYPE_F32;
    tensor.data = is_list ? (void*)proto->floats : (void*)(uintptr_t)&proto->f;
    tensor.size = value->count * 4;
  } else {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "a constant given as '%s' is not read", value->name);
  }
  if (is_list) {
    tensor.rank = 1;
    tensor.dims[0] = (int64_t)value->count;
  }
  node->emitted = 1;
  return tvi_onnx_add_constant(onnx, name, &tensor, flags, &node->outputs[0]);
}

const tvi_onnx_conversion_t tvi_onnx_conversions_constant[] = {
    {"", "Constant", TVI_ONNX_ALWAYS, "", convert_constant},
    {NULL, NULL, 0, NULL, NULL},
};
