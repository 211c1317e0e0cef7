// SPDX-License-Identifier: Apache-2.0
//
// The wire format of an ONNX file, before anything is unpacked. protobuf-c recurses without limit
// and copies every bytes field, so this walk checks lengths, wire types and nesting first and
// writes a copy of the model without its weights: each raw_data is replaced by its place in the
// file. Guided by the descriptors that protoc-c generates; it knows no ONNX message by number.
#include <stdio.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

typedef struct walker_s {
  const uint8_t* base;
  uint8_t* out;  // NULL: only count
  uint64_t written;
  tvi_onnx_wire_error_t* error;
} walker_t;

// Fields that say nothing about what a model computes.
static const char* const kDropped[] = {"doc_string",
                                       "metadata_props",
                                       "value_info",
                                       "quantization_annotation",
                                       "training_info",
                                       "denotation",
                                       "device_configurations",
                                       "configuration"};

static int is_dropped(const ProtobufCFieldDescriptor* field) {
  for (size_t i = 0; i < sizeof kDropped / sizeof kDropped[0]; ++i) {
    if (strcmp(field->name, kDropped[i]) == 0) return 1;
  }
  return 0;
}

// Bytes that the varint at |p| takes, 0 if it is cut or too long.
static uint32_t read_varint(const uint8_t* p, const uint8_t* end, uint64_t* out_value) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < 10 && p + i < end; ++i) {
    value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
    if ((p[i] & 0x80) == 0) {
      *out_value = value;
      return i + 1;
    }
  }
  return 0;
}

// The wire types that a field may have besides 2 (packed) where it is repeated.
static uint32_t wire_type(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
      return 5;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
      return 2;
    default:
      return 0;
  }
}

static uint32_t fail(walker_t* w, const uint8_t* at, const char* message, const char* field,
                     const char* what) {
  snprintf(w->error->text, sizeof w->error->text, "at byte %llu, %.60s%s%.60s: %s",
           (unsigned long long)(at - w->base), message, field != NULL ? "." : "",
           field != NULL ? field : "", what);
  return TRIVET_STATUS_DATA_LOSS;
}

static void put(walker_t* w, const void* bytes, uint64_t size) {
  if (w->out != NULL && size > 0) memcpy(w->out + w->written, bytes, (size_t)size);
  w->written += size;
}

// A length in five bytes, so that it can be written before it is known.
static void put_length(uint8_t* at, uint64_t length) {
  for (int i = 0; i < 5; ++i) at[i] = (uint8_t)((length >> (7 * i)) & 0x7f) | (i < 4 ? 0x80 : 0);
}

static uint32_t walk(walker_t* w, const ProtobufCMessageDescriptor* message, const uint8_t* p,
                     const uint8_t* end, uint32_t depth) {
  static const uint8_t kBlank[5] = {0};
  const char* name = message->short_name;
  while (p < end) {
    const uint8_t* start = p;
    uint64_t key, length = 0;
    uint32_t n = read_varint(p, end, &key);
    if (n == 0 || key > UINT32_MAX || (key >> 3) == 0)
      return fail(w, start, name, NULL, "a field key is not valid");
    p += n;
    uint32_t type = (uint32_t)key & 7;
    const ProtobufCFieldDescriptor* field =
        protobuf_c_message_descriptor_get_field(message, (unsigned)(key >> 3));
    const char* field_name = field != NULL ? field->name : NULL;
    uint64_t left = (uint64_t)(end - p);
    if (type == 0) {
      n = read_varint(p, end, &length);
      if (n == 0) return fail(w, start, name, field_name, "a number is cut off");
      length = n;
    } else if (type == 1) {
      length = 8;
    } else if (type == 5) {
      length = 4;
    } else if (type == 2) {
      n = read_varint(p, end, &length);
      if (n == 0) return fail(w, start, name, field_name, "a length is cut off");
      p += n;
      left = (uint64_t)(end - p);
    } else {
      return fail(w, start, name, field_name, "a wire type is not valid");
    }
    if (length > left) {
      char text[96];
      snprintf(text, sizeof text, "%llu bytes are announced, %llu are left",
               (unsigned long long)length, (unsigned long long)left);
      return fail(w, start, name, field_name, text);
    }
    const uint8_t* payload = p;
    p += length;
    if (field == NULL || is_dropped(field)) continue;
    uint32_t expected = wire_type(field->type);
    uint32_t packed = type == 2 && expected != 2 && field->label == PROTOBUF_C_LABEL_REPEATED;
    if (type != expected && !packed)
      return fail(w, start, name, field_name, "a field has the wrong wire type");
    if (field->type == PROTOBUF_C_TYPE_STRING && memchr(payload, 0, (size_t)length) != NULL) {
      return fail(w, start, name, field_name, "a string holds a zero byte");
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
      if (depth >= TVI_ONNX_MAX_MESSAGE_DEPTH) {
        char text[64];
        snprintf(text, sizeof text, "messages are nested deeper than %d levels",
                 TVI_ONNX_MAX_MESSAGE_DEPTH);
        fail(w, start, name, field_name, text);
        return TRIVET_STATUS_OUT_OF_RANGE;
      }
      uint8_t header[10];
      uint32_t size = 0;
      for (uint64_t k = key; size == 0 || k != 0; k >>= 7)
        header[size++] = (uint8_t)(k & 0x7f) | (k > 0x7f ? 0x80 : 0);
      put(w, header, size);
      uint64_t at = w->written;
      put(w, kBlank, 5);
      uint32_t code = walk(w, field->descriptor, payload, p, depth + 1);
      if (code != TRIVET_STATUS_OK) return code;
      if (w->out != NULL) put_length(w->out + at, w->written - at - 5);
    } else if (message == &onnx__tensor_proto__descriptor && strcmp(field_name, "raw_data") == 0) {
      tvi_onnx_raw_t raw = {(uint64_t)(payload - w->base), length};
      uint8_t header[2] = {(uint8_t)key, sizeof raw};
      put(w, header, 2);
      put(w, &raw, sizeof raw);
    } else {
      put(w, start, (uint64_t)(p - start));
    }
  }
  return TRIVET_STATUS_OK;
}

uint32_t tvi_onnx_wire_strip(const uint8_t* bytes, uint64_t size, uint8_t* out, uint64_t* out_size,
                             tvi_onnx_wire_error_t* error) {
  walker_t w = {bytes, out, 0, error};
  uint32_t code = walk(&w, &onnx__model_proto__descriptor, bytes, bytes + size, 1);
  if (code == TRIVET_STATUS_OK) *out_size = w.written;
  return code;
}

uint32_t tvi_onnx_wire_probe(const uint8_t* bytes, uint64_t size) {
  const uint8_t* p = bytes;
  const uint8_t* end = bytes + size;
  uint32_t has_version = 0, has_opset = 0, has_graph = 0, cut = 0;
  // A model has a handful of fields and some functions; the first ones decide.
  for (uint32_t fields = 0; p < end && fields < 64; ++fields) {
    uint64_t key, value;
    uint32_t n = read_varint(p, end, &key);
    if (n == 0 || key > UINT32_MAX) return 0;
    p += n;
    const ProtobufCFieldDescriptor* field = protobuf_c_message_descriptor_get_field(
        &onnx__model_proto__descriptor, (unsigned)(key >> 3));
    if (field == NULL || (key & 7) != wire_type(field->type)) return 0;
    n = read_varint(p, end, &value);
    if (n == 0) {
      cut = 1;
      break;
    }
    p += n;
    if ((key & 7) == 2) {
      if (value > (uint64_t)(end - p)) {
        cut = 1;
        break;
      }
      p += value;
    }
    if (strcmp(field->name, "ir_version") == 0) {
      if (value == 0 || value > 1000) return 0;
      has_version = 1;
    }
    has_opset |= strcmp(field->name, "opset_import") == 0;
    has_graph |= strcmp(field->name, "graph") == 0;
  }
  // A cut file is claimed when it began like a model, so that its reader hears what is wrong with
  // it.
  if (cut) return has_version ? 60 : 0;
  if (has_graph && (has_version || has_opset)) return 95;
  if (has_graph || (has_version && has_opset)) return 50;
  return has_version ? 10 : 0;
}
