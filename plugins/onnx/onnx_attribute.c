// SPDX-License-Identifier: Apache-2.0
//
// Attributes of nodes: references to function attributes are resolved, values become typed
// attributes of the builder. Graphs stay undecoded until a conversion knows the types of their
// inputs.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

#define KIND(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name

// Integer attributes of ai.onnx operators that hold the number of an element type; std operators
// declare them as dtype.
static const char* const kDtypes[] = {
    "to",         "dtype",     "output_dtype",     "output_datatype",
    "stash_type", "precision", "softmax_precision"};

static uint32_t names_dtype(const tvi_onnx_node_t* node, const char* name) {
  if (node->domain[0] != 0) return 0;
  for (size_t i = 0; i < sizeof kDtypes / sizeof kDtypes[0]; ++i) {
    if (strcmp(name, kDtypes[i]) == 0) return 1;
  }
  return 0;
}

// Files of the first format versions do not say the kind.
static uint32_t kind_of(const Onnx__AttributeProto* proto) {
  if (proto->has_type && proto->type != KIND(UNDEFINED)) return proto->type;
  if (proto->has_f) return KIND(FLOAT);
  if (proto->has_i) return KIND(INT);
  if (proto->has_s) return KIND(STRING);
  if (proto->t != NULL) return KIND(TENSOR);
  if (proto->g != NULL) return KIND(GRAPH);
  if (proto->n_floats != 0) return KIND(FLOATS);
  if (proto->n_ints != 0) return KIND(INTS);
  if (proto->n_strings != 0) return KIND(STRINGS);
  if (proto->n_tensors != 0) return KIND(TENSORS);
  if (proto->n_graphs != 0) return KIND(GRAPHS);
  if (proto->sparse_tensor != NULL) return KIND(SPARSE_TENSOR);
  return KIND(UNDEFINED);
}

static trivet_status_t decode(tvi_onnx_node_t* node, tvi_onnx_attribute_t* out) {
  tvi_onnx_t* onnx = node->onnx;
  const Onnx__AttributeProto* proto = out->proto;
  trivet_attribute_t* value = &out->value;
  uint32_t kind = kind_of(proto);
  value->count = 1;
  switch (kind) {
    case KIND(FLOAT):
    case KIND(FLOATS): {
      double* data = NULL;
      value->kind = TRIVET_ATTR_F32;
      if (kind == KIND(FLOATS)) value->count = proto->n_floats, value->flags = TRIVET_ATTR_LIST;
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_arena_allocate(&onnx->arena, value->count, sizeof *data, &data));
      if (kind == KIND(FLOAT)) data[0] = proto->f;
      for (size_t i = 0; kind == KIND(FLOATS) && i < proto->n_floats; ++i)
        data[i] = proto->floats[i];
      value->data = data;
      return NULL;
    }
    case KIND(INT):
      if (names_dtype(node, value->name)) {
        uint32_t* dtype = NULL;
        TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, 1, sizeof *dtype, &dtype));
        *dtype = tvi_onnx_dtype(proto->i);
        value->kind = TRIVET_ATTR_DTYPE;
        value->data = dtype;
        if (*dtype == TRIVET_DTYPE_INVALID && proto->i != 0) {
          return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                                     "attribute '%s': element type %s (%lld) is not read",
                                     value->name, tvi_onnx_dtype_name(proto->i),
                                     (long long)proto->i);
        }
        return NULL;
      }
      value->kind = TRIVET_ATTR_I64;
      value->data = &proto->i;
      return NULL;
    case KIND(INTS):
      value->kind = TRIVET_ATTR_I64;
      value->flags = TRIVET_ATTR_LIST;
      value->count = proto->n_ints;
      value->data = proto->ints;
      return NULL;
    case KIND(STRING):
    case KIND(STRINGS): {
      trivet_string_view_t* data = NULL;
      const ProtobufCBinaryData* strings = kind == KIND(STRING) ? &proto->s : proto->strings;
      value->kind = TRIVET_ATTR_STRING;
      if (kind == KIND(STRINGS)) value->count = proto->n_strings, value->flags = TRIVET_ATTR_LIST;
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_arena_allocate(&onnx->arena, value->count, sizeof *data, &data));
      for (size_t i = 0; i < value->count; ++i) {
        // With a NUL behind it, for our own comparisons.
        char* text = NULL;
        TVI_ONNX_RETURN_IF_ERROR(
            tvi_onnx_arena_allocate(&onnx->arena, (uint64_t)strings[i].len + 1, 1, &text));
        if (strings[i].len > 0) memcpy(text, strings[i].data, strings[i].len);
        data[i].data = text;
        data[i].size = strings[i].len;
      }
      value->data = data;
      return NULL;
    }
    case KIND(TENSOR):
    case KIND(TENSORS): {
      trivet_tensor_t* data = NULL;
      value->kind = TRIVET_ATTR_TENSOR;
      if (kind == KIND(TENSORS)) value->count = proto->n_tensors, value->flags = TRIVET_ATTR_LIST;
      if (kind == KIND(TENSOR) && proto->t == NULL) break;
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_arena_allocate(&onnx->arena, value->count, sizeof *data, &data));
      const char* what = NULL;
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_format(onnx, &what, "tensor attribute '%s' of node '%s' (%s)", value->name,
                          tvi_onnx_text(node->proto->name), node->type));
      for (size_t i = 0; i < value->count; ++i) {
        uint32_t flags;
        TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_tensor(
            onnx, kind == KIND(TENSOR) ? proto->t : proto->tensors[i], what, &data[i], &flags));
      }
      value->data = data;
      return NULL;
    }
    case KIND(GRAPH):
    case KIND(GRAPHS):
      value->kind = TRIVET_ATTR_GRAPH;
      if (kind == KIND(GRAPH) && proto->g == NULL) break;
      if (kind == KIND(GRAPHS)) value->count = proto->n_graphs, value->flags = TRIVET_ATTR_LIST;
      value->data = NULL;
      return NULL;
    case KIND(SPARSE_TENSOR):
      // Only Constant has one; its conversion reads it from the message.
      if (proto->sparse_tensor == NULL) break;
      value->kind = 0;
      return NULL;
    case KIND(SPARSE_TENSORS):
    case KIND(TYPE_PROTO):
    case KIND(TYPE_PROTOS):
      return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                                 "attribute '%s' holds %s, which is not read", value->name,
                                 kind == KIND(SPARSE_TENSORS) ? "sparse tensors" : "types");
    default:
      break;
  }
  return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute '%s' has no value",
                             value->name);
}

static const Onnx__AttributeProto* find(Onnx__AttributeProto* const* list, size_t count,
                                        const char* name) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(tvi_onnx_text(list[i]->name), name) == 0) return list[i];
  }
  return NULL;
}

// Follows references to the attributes of the functions being inlined. |*proto| becomes NULL where
// the caller gave none and the function has no default; the attribute is absent then.
static void resolve(const Onnx__AttributeProto** proto, const tvi_onnx_scope_t** scope) {
  while (*proto != NULL && (*proto)->ref_attr_name != NULL && (*proto)->ref_attr_name[0] != 0) {
    const char* name = (*proto)->ref_attr_name;
    const tvi_onnx_frame_t* frame = (*scope)->frame;
    if (frame->function == NULL) {
      *proto = NULL;
      return;
    }
    const Onnx__FunctionProto* function = frame->function->proto;
    const Onnx__AttributeProto* given =
        find(frame->call->proto->attribute, frame->call->proto->n_attribute, name);
    if (given != NULL) {
      *proto = given;
      *scope = frame->call->scope;
    } else {
      // A default refers to nothing.
      *proto = find(function->attribute_proto, function->n_attribute_proto, name);
      if (*proto != NULL && (*proto)->ref_attr_name != NULL && (*proto)->ref_attr_name[0] != 0)
        *proto = NULL;
    }
  }
}

trivet_status_t tvi_onnx_read_attributes(tvi_onnx_node_t* node) {
  const Onnx__NodeProto* proto = node->proto;
  for (size_t i = 0; i < proto->n_attribute; ++i) {
    const Onnx__AttributeProto* attribute = proto->attribute[i];
    const tvi_onnx_scope_t* scope = node->scope;
    const char* name = tvi_onnx_text(attribute->name);
    if (name[0] == 0)
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute %zu has no name", i);
    if (attribute->ref_attr_name != NULL && attribute->ref_attr_name[0] != 0 &&
        scope->frame->function == NULL) {
      return tvi_onnx_node_error(
          node, TRIVET_STATUS_DATA_LOSS,
          "attribute '%s' refers to attribute '%.80s' of a function, but stands outside of one",
          name, attribute->ref_attr_name);
    }
    resolve(&attribute, &scope);
    if (attribute == NULL) continue;
    if (tvi_onnx_attribute(node, name) != NULL) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute '%s' is given twice",
                                 name);
    }
    if (node->attribute_count == TVI_ONNX_MAX_ATTRIBUTES) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_OUT_OF_RANGE, "more than %u attributes",
                                 TVI_ONNX_MAX_ATTRIBUTES);
    }
    tvi_onnx_attribute_t* out = &node->attributes[node->attribute_count];
    memset(out, 0, sizeof *out);
    out->value.name = name;
    out->proto = attribute;
    out->scope = scope;
    TVI_ONNX_RETURN_IF_ERROR(decode(node, out));
    // An element type of 0 means "not given".
    if (out->value.kind == TRIVET_ATTR_DTYPE &&
        *(const uint32_t*)out->value.data == TRIVET_DTYPE_INVALID)
      continue;
    ++node->attribute_count;
  }
  return NULL;
}

tvi_onnx_attribute_t* tvi_onnx_attribute(tvi_onnx_node_t* node, const char* name) {
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    if (strcmp(node->attributes[i].value.name, name) == 0) return &node->attributes[i];
  }
  return NULL;
}

static const void* scalar(tvi_onnx_node_t* node, const char* name, uint32_t kind) {
  const tvi_onnx_attribute_t* a = tvi_onnx_attribute(node, name);
  return a != NULL && a->value.kind == kind && a->value.flags == 0 ? a->value.data : NULL;
}

int64_t tvi_onnx_attribute_i64(tvi_onnx_node_t* node, const char* name, int64_t fallback) {
  const int64_t* value = scalar(node, name, TRIVET_ATTR_I64);
  return value != NULL ? *value : fallback;
}

double tvi_onnx_attribute_f64(tvi_onnx_node_t* node, const char* name, double fallback) {
  const double* value = scalar(node, name, TRIVET_ATTR_F32);
  return value != NULL ? *value : fallback;
}

const char* tvi_onnx_attribute_string(tvi_onnx_node_t* node, const char* name,
                                      const char* fallback) {
  const trivet_string_view_t* value = scalar(node, name, TRIVET_ATTR_STRING);
  return value != NULL ? value->data : fallback;
}

static const void* list(tvi_onnx_node_t* node, const char* name, uint32_t kind,
                        uint64_t* out_count) {
  const tvi_onnx_attribute_t* a = tvi_onnx_attribute(node, name);
  uint32_t found = a != NULL && a->value.kind == kind && a->value.flags == TRIVET_ATTR_LIST;
  *out_count = found ? a->value.count : 0;
  return found ? a->value.data : NULL;
}

const int64_t* tvi_onnx_attribute_i64s(tvi_onnx_node_t* node, const char* name,
                                       uint64_t* out_count) {
  return list(node, name, TRIVET_ATTR_I64, out_count);
}

const double* tvi_onnx_attribute_f64s(tvi_onnx_node_t* node, const char* name,
                                      uint64_t* out_count) {
  return list(node, name, TRIVET_ATTR_F32, out_count);
}

void tvi_onnx_drop_attribute(tvi_onnx_node_t* node, const char* name) {
  tvi_onnx_attribute_t* a = tvi_onnx_attribute(node, name);
  if (a == NULL) return;
  uint32_t index = (uint32_t)(a - node->attributes);
  memmove(a, a + 1, sizeof *a * (node->attribute_count - index - 1));
  --node->attribute_count;
}

static trivet_status_t set(tvi_onnx_node_t* node, const char* name, uint32_t kind, uint32_t flags,
                           uint64_t count, uint64_t size, const void* data) {
  void* copy = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&node->onnx->arena, count, size, &copy));
  if (count > 0) memcpy(copy, data, (size_t)(count * size));
  tvi_onnx_attribute_t* a = tvi_onnx_attribute(node, name);
  if (a == NULL) {
    if (node->attribute_count == TVI_ONNX_MAX_ATTRIBUTES) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_OUT_OF_RANGE, "more than %u attributes",
                                 TVI_ONNX_MAX_ATTRIBUTES);
    }
    a = &node->attributes[node->attribute_count++];
  }
  memset(a, 0, sizeof *a);
  a->value = (trivet_attribute_t){name, kind, flags, count, copy};
  return NULL;
}

trivet_status_t tvi_onnx_set_i64(tvi_onnx_node_t* node, const char* name, int64_t value) {
  return set(node, name, TRIVET_ATTR_I64, 0, 1, sizeof value, &value);
}

trivet_status_t tvi_onnx_set_i64s(tvi_onnx_node_t* node, const char* name, const int64_t* values,
                                  uint64_t count) {
  return set(node, name, TRIVET_ATTR_I64, TRIVET_ATTR_LIST, count, sizeof *values, values);
}

trivet_status_t tvi_onnx_set_f64(tvi_onnx_node_t* node, const char* name, double value) {
  return set(node, name, TRIVET_ATTR_F32, 0, 1, sizeof value, &value);
}

trivet_status_t tvi_onnx_set_string(tvi_onnx_node_t* node, const char* name, const char* value) {
  trivet_string_view_t view = tvi_onnx_view(value);
  return set(node, name, TRIVET_ATTR_STRING, 0, 1, sizeof view, &view);
}
