// SPDX-License-Identifier: Apache-2.0
//
// A frontend for weights only: each array of an .npz file becomes a constant of its name. What is
// computed with them is said by calls (use_weights.c). Arrays are stored, not compressed, as
// numpy.savez and `trivet run --outputs` write them, and are read where they lie in the file.
#include <stdlib.h>
#include <string.h>

#include "trivet/plugin.h"

static uint32_t number(const uint8_t* p, uint32_t bytes) {
  uint32_t value = 0;
  for (uint32_t i = bytes; i-- > 0;) value = value << 8 | p[i];
  return value;
}

static uint32_t probe(const trivet_frontend_t* frontend, const trivet_source_t* source) {
  (void)frontend;
  uint64_t size;
  const uint8_t* bytes = source->api->bytes(source, &size);
  return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0 ? 60 : 0;
}

// "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
static uint32_t read_header(const char* text, trivet_tensor_t* out_tensor) {
  static const struct {
    const char* text;
    uint32_t dtype, size;
  } kTypes[] = {{"'<f4'", TRIVET_DTYPE_F32, 4},
                {"'<f2'", TRIVET_DTYPE_F16, 2},
                {"'<f8'", TRIVET_DTYPE_F64, 8},
                {"'<i8'", TRIVET_DTYPE_I64, 8}};
  const char* shape = strstr(text, "'shape': (");
  if (!shape || !strstr(text, "'fortran_order': False")) return 0;
  for (size_t i = 0; i < sizeof(kTypes) / sizeof(kTypes[0]); ++i) {
    if (!strstr(text, kTypes[i].text)) continue;
    out_tensor->dtype = kTypes[i].dtype;
    out_tensor->size = kTypes[i].size;
  }
  shape += sizeof("'shape': (") - 1;
  while (*shape && *shape != ')') {
    char* end;
    long long extent = strtoll(shape, &end, 10);
    if (end == shape || extent < 0 || extent > INT32_MAX || out_tensor->rank == TRIVET_MAX_RANK)
      return 0;
    out_tensor->dims[out_tensor->rank++] = extent;
    if (__builtin_mul_overflow(out_tensor->size, (uint64_t)extent, &out_tensor->size)) return 0;
    shape = end + strspn(end, ", ");
  }
  return out_tensor->dtype != 0;
}

static trivet_status_t read_array(trivet_graph_builder_t* builder, trivet_string_view_t name,
                                  const uint8_t* array, uint64_t size) {
  char header[1024];
  trivet_tensor_t tensor = {0};
  trivet_value_t value;
  uint64_t length = size < 10 ? 0 : number(array + 8, 2);
  if (size < 10 || memcmp(array, "\x93NUMPY\1", 7) != 0 || length >= sizeof(header) ||
      length > size - 10) {
    return builder->api->error(builder, TRIVET_STATUS_DATA_LOSS,
                               "array '%.*s': no npy of version 1", (int)name.size, name.data);
  }
  memcpy(header, array + 10, length);
  header[length] = 0;
  if (!read_header(header, &tensor) || tensor.size > size - 10 - length) {
    return builder->api->error(builder, TRIVET_STATUS_DATA_LOSS, "array '%.*s': cannot read %s",
                               (int)name.size, name.data, header);
  }
  tensor.data = (void*)(array + 10 + length);
  trivet_status_t status =
      builder->api->add_constant(builder, name, &tensor, TRIVET_CONSTANT_VIEW, &value);
  return status ? status : builder->api->name_value(builder, value, name);
}

// One local header after the other; the directory behind them says nothing more.
static trivet_status_t parse(const trivet_frontend_t* frontend, trivet_source_t* source,
                             trivet_graph_builder_t* builder) {
  (void)frontend;
  uint64_t size, at = 0;
  const uint8_t* bytes = source->api->bytes(source, &size);
  while (size - at >= 30 && memcmp(bytes + at, "PK\3\4", 4) == 0) {
    const uint8_t* head = bytes + at;
    uint64_t stored = number(head + 18, 4), name = number(head + 26, 2);
    uint64_t extra = number(head + 28, 2);
    if (number(head + 8, 2) != 0 || (number(head + 6, 2) & 8) != 0)
      return builder->api->error(builder, TRIVET_STATUS_UNIMPLEMENTED,
                                 "byte %llu: compressed, or streamed", (unsigned long long)at);
    if (name + extra > size - at - 30) break;
    // zip64, as numpy writes it for every array: the sizes stand in the extra field.
    const uint8_t* more = head + 30 + name;
    if (stored == UINT32_MAX && extra >= 20 && number(more, 2) == 1) stored = number(more + 12, 4);
    at += 30 + name + extra;
    if (stored > size - at || name < 4) break;
    trivet_string_view_t view = {(const char*)head + 30, name - 4};  // without ".npy"
    trivet_status_t status = read_array(builder, view, bytes + at, stored);
    if (status) return status;
    at += stored;
  }
  if (at != 0 && size - at >= 4 && memcmp(bytes + at, "PK\1\2", 4) == 0) return 0;
  return builder->api->error(builder, TRIVET_STATUS_DATA_LOSS, "byte %llu: the archive is damaged",
                             (unsigned long long)at);
}

static const trivet_frontend_t npz = {
    .header = TRIVET_HEADER(trivet_frontend_t, TRIVET_STRUCT_FRONTEND),
    .name = "npz",
    .summary = "weights alone, by name",
    .version = 1,
    .probe = probe,
    .parse = parse};
TRIVET_PLUGIN("npz_weights", "1.0", "a frontend for weights", &npz)
