// SPDX-License-Identifier: Apache-2.0
//
// Attributes to bytes and back. Sorted by name, so that the order in which a node got its
// attributes does not reach the plan; every text ends with a NUL, so that names can be used in
// place. Decoding trusts nothing; what it allocates is bounded by the blob.
//
// Form: "TVHA", u32 version 1, u32 count, u32 0; then per attribute: name, u32 kind, u32 flags, u64
// count and the values: i64, f64 and u32 as they are; texts as u32 size, bytes, NUL; tensors as u32
// dtype, u32 rank, i64 dims[rank], then packed little-endian elements or texts. No padding.
#include "core/plan/host_blob.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

#define HOST_BLOB_MAGIC "TVHA"
#define HOST_BLOB_VERSION 1u
#define MIN_ATTRIBUTE 21u  // an empty name, kind, flags, count

static void write_text(tvi_byte_writer_t* writer, trivet_string_view_t text) {
  tvi_byte_writer_string(writer, text);
  tvi_byte_writer_u8(writer, 0);
}

// --- Encoding ------------------------------------------------------------------------------------

static trivet_status_t write_tensor(tvi_byte_writer_t* writer, const trivet_tensor_t* tensor) {
  int64_t count = 0;
  size_t size = 0;
  if (tensor->rank > TRIVET_MAX_RANK ||
      !tvi_checked_element_count(tensor->dims, tensor->rank, &count)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the shape of the tensor is not one");
  }
  tvi_byte_writer_u32(writer, tensor->dtype);
  tvi_byte_writer_u32(writer, tensor->rank);
  for (uint32_t d = 0; d < tensor->rank; ++d) tvi_byte_writer_i64(writer, tensor->dims[d]);
  if (tensor->dtype == TRIVET_DTYPE_STRING) {
    const trivet_string_view_t* texts = tensor->data;
    for (int64_t i = 0; i < count; ++i) write_text(writer, texts[i]);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(tensor->dtype, count, &size));
  if (tensor->size < size) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the tensor has %llu bytes of %zu",
                         (unsigned long long)tensor->size, size);
  }
  tvi_byte_writer_bytes(writer, tensor->data, size);
  return TRIVET_OK;
}

static trivet_status_t write_attribute(tvi_byte_writer_t* writer,
                                       const trivet_attribute_t* attribute) {
  write_text(writer, tvi_sv(attribute->name));
  tvi_byte_writer_u32(writer, attribute->kind);
  tvi_byte_writer_u32(writer, attribute->flags);
  tvi_byte_writer_u64(writer, attribute->count);
  if ((attribute->flags & ~TRIVET_ATTR_LIST) != 0 ||
      (attribute->flags == 0 && attribute->count != 1)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "flags %#x with %llu values", attribute->flags,
                         (unsigned long long)attribute->count);
  }
  for (uint64_t i = 0; i < attribute->count; ++i) {
    switch (attribute->kind) {
      case TRIVET_ATTR_I64:
        tvi_byte_writer_i64(writer, ((const int64_t*)attribute->data)[i]);
        break;
      case TRIVET_ATTR_F32:
        tvi_byte_writer_f64(writer, ((const double*)attribute->data)[i]);
        break;
      case TRIVET_ATTR_STRING:
        write_text(writer, ((const trivet_string_view_t*)attribute->data)[i]);
        break;
      case TRIVET_ATTR_DTYPE:
        tvi_byte_writer_u32(writer, ((const uint32_t*)attribute->data)[i]);
        break;
      case TRIVET_ATTR_TENSOR:
        TRIVET_RETURN_IF_ERROR(write_tensor(writer, (const trivet_tensor_t*)attribute->data + i));
        break;
      default:
        return TRIVET_STATUS(UNIMPLEMENTED, "attributes of kind %u cannot be kept in a plan",
                             attribute->kind);
    }
  }
  if (attribute->kind < TRIVET_ATTR_I64 || attribute->kind > TRIVET_ATTR_TENSOR) {
    return TRIVET_STATUS(UNIMPLEMENTED, "attributes of kind %u cannot be kept in a plan",
                         attribute->kind);
  }
  return TRIVET_OK;
}

// Pointers to the attributes in the order of their names; nodes have few.
static trivet_status_t sort_by_name(const trivet_attribute_t* attributes, uint32_t count,
                                    const trivet_attribute_t** sorted) {
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t at = i;
    for (; at > 0; --at) {
      int order = strcmp(sorted[at - 1]->name, attributes[i].name);
      if (order == 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "two attributes '%s'", attributes[i].name);
      }
      if (order < 0) break;
      sorted[at] = sorted[at - 1];
    }
    sorted[at] = &attributes[i];
  }
  return TRIVET_OK;
}

static trivet_status_t encode(const trivet_attribute_t* attributes, uint32_t count,
                              tvi_arena_t* arena, tvi_byte_writer_t* writer) {
  const trivet_attribute_t** sorted = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count, sizeof(*sorted), &sorted));
  TRIVET_RETURN_IF_ERROR(sort_by_name(attributes, count, sorted));
  tvi_byte_writer_bytes(writer, HOST_BLOB_MAGIC, 4);
  tvi_byte_writer_u32(writer, HOST_BLOB_VERSION);
  tvi_byte_writer_u32(writer, count);
  tvi_byte_writer_u32(writer, 0);
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(write_attribute(writer, sorted[i]), "attribute '%s'",
                                     sorted[i]->name);
  }
  return tvi_byte_writer_status(writer);
}

trivet_status_t tvi_host_blob_encode(const trivet_attribute_t* attributes, uint32_t count,
                                     tvi_arena_t* arena, const uint8_t** out_blob,
                                     uint64_t* out_size) {
  tvi_byte_writer_t writer;
  void* copy = NULL;
  tvi_byte_writer_init(&writer, arena->allocator);
  trivet_status_t status = encode(attributes, count, arena, &writer);
  size_t size = tvi_byte_writer_size(&writer);
  if (status == NULL) status = tvi_arena_copy(arena, tvi_byte_writer_data(&writer), size, &copy);
  tvi_byte_writer_deinit(&writer);
  TRIVET_RETURN_IF_ERROR(status);
  *out_blob = copy;
  *out_size = size;
  return TRIVET_OK;
}

// --- Decoding ------------------------------------------------------------------------------------

static trivet_status_t read_text(tvi_byte_reader_t* reader, trivet_string_view_t* out_text) {
  uint8_t end = 0;
  size_t offset = reader->offset;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_string(reader, out_text));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(reader, &end));
  if (end == 0) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "host blob: text at offset %zu does not end with a zero", offset);
}

// An array of |count| elements that take at least |least| bytes each in the blob.
static trivet_status_t make_array(tvi_byte_reader_t* reader, tvi_arena_t* arena, uint64_t count,
                                  size_t least, size_t element_size, void** out_array) {
  if (count > tvi_byte_reader_remaining(reader) / least) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: %llu values at offset %zu do not fit",
                         (unsigned long long)count, reader->offset);
  }
  return tvi_arena_alloc_array_zeroed(arena, (size_t)count, element_size, out_array);
}

static trivet_status_t read_texts(tvi_byte_reader_t* reader, tvi_arena_t* arena, uint64_t count,
                                  void** out_texts) {
  TRIVET_RETURN_IF_ERROR(
      make_array(reader, arena, count, 5, sizeof(trivet_string_view_t), out_texts));
  trivet_string_view_t* texts = *out_texts;
  for (uint64_t i = 0; i < count; ++i) TRIVET_RETURN_IF_ERROR(read_text(reader, &texts[i]));
  return TRIVET_OK;
}

static trivet_status_t read_tensor(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                   trivet_tensor_t* tensor) {
  int64_t count = 0;
  size_t size = 0, offset = reader->offset;
  const uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &tensor->dtype));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &tensor->rank));
  bool is_text = tensor->dtype == TRIVET_DTYPE_STRING;
  if (tensor->rank > TRIVET_MAX_RANK || (!is_text && tvi_dtype_bits(tensor->dtype) == 0)) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: tensor at offset %zu: dtype %u, rank %u", offset,
                         tensor->dtype, tensor->rank);
  }
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_i64(reader, &tensor->dims[d]));
  }
  if (!tvi_checked_element_count(tensor->dims, tensor->rank, &count)) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: tensor at offset %zu: bad shape", offset);
  }
  if (is_text) {
    tensor->size = (uint64_t)count * sizeof(trivet_string_view_t);
    return read_texts(reader, arena, (uint64_t)count, &tensor->data);
  }
  trivet_status_t status = tvi_dtype_storage_size(tensor->dtype, count, &size);
  if (status != NULL) {
    trivet_status_free(status);
    return TRIVET_STATUS(DATA_LOSS, "host blob: tensor at offset %zu is too large", offset);
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(reader, size, &data));
  tensor->size = size;
  return tvi_arena_copy(arena, data, size, &tensor->data);
}

static trivet_status_t read_attribute(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                      trivet_attribute_t* attribute) {
  trivet_string_view_t name;
  void* data = NULL;
  size_t offset = reader->offset;
  TRIVET_RETURN_IF_ERROR(read_text(reader, &name));
  if (name.size == 0 || strlen(name.data) != name.size) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: attribute at offset %zu has no proper name",
                         offset);
  }
  attribute->name = name.data;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &attribute->kind));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &attribute->flags));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &attribute->count));
  uint64_t count = attribute->count;
  if ((attribute->flags & ~TRIVET_ATTR_LIST) != 0 || (attribute->flags == 0 && count != 1)) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: attribute '%s': flags %#x with %llu values",
                         attribute->name, attribute->flags, (unsigned long long)count);
  }
  switch (attribute->kind) {
    case TRIVET_ATTR_I64:
      TRIVET_RETURN_IF_ERROR(make_array(reader, arena, count, 8, sizeof(int64_t), &data));
      for (uint64_t i = 0; i < count; ++i) {
        TRIVET_RETURN_IF_ERROR(tvi_byte_reader_i64(reader, (int64_t*)data + i));
      }
      break;
    case TRIVET_ATTR_F32:
      TRIVET_RETURN_IF_ERROR(make_array(reader, arena, count, 8, sizeof(double), &data));
      for (uint64_t i = 0; i < count; ++i) {
        TRIVET_RETURN_IF_ERROR(tvi_byte_reader_f64(reader, (double*)data + i));
      }
      break;
    case TRIVET_ATTR_STRING:
      TRIVET_RETURN_IF_ERROR(read_texts(reader, arena, count, &data));
      break;
    case TRIVET_ATTR_DTYPE:
      TRIVET_RETURN_IF_ERROR(make_array(reader, arena, count, 4, sizeof(uint32_t), &data));
      for (uint64_t i = 0; i < count; ++i) {
        TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, (uint32_t*)data + i));
      }
      break;
    case TRIVET_ATTR_TENSOR:
      TRIVET_RETURN_IF_ERROR(make_array(reader, arena, count, 8, sizeof(trivet_tensor_t), &data));
      for (uint64_t i = 0; i < count; ++i) {
        TRIVET_RETURN_IF_ERROR(read_tensor(reader, arena, (trivet_tensor_t*)data + i));
      }
      break;
    default:
      return TRIVET_STATUS(DATA_LOSS, "host blob: attribute '%s': kind %u", attribute->name,
                           attribute->kind);
  }
  attribute->data = data;
  return TRIVET_OK;
}

trivet_status_t tvi_host_blob_decode(const uint8_t* blob, uint64_t size, tvi_arena_t* arena,
                                     trivet_attribute_t** out_attributes, uint32_t* out_count) {
  tvi_byte_reader_t reader = tvi_byte_reader_make(blob, (size_t)size, "host blob");
  const uint8_t* magic = NULL;
  uint32_t version = 0, count = 0, zero = 0;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, 4, &magic));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &version));
  if (memcmp(magic, HOST_BLOB_MAGIC, 4) != 0 || version != HOST_BLOB_VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "host blob: does not begin as one of version %u",
                         HOST_BLOB_VERSION);
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &zero));
  void* array = NULL;
  if (zero != 0) return TRIVET_STATUS(DATA_LOSS, "host blob: bytes at offset 12 are not zero");
  TRIVET_RETURN_IF_ERROR(
      make_array(&reader, arena, count, MIN_ATTRIBUTE, sizeof(trivet_attribute_t), &array));
  trivet_attribute_t* attributes = array;
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(read_attribute(&reader, arena, &attributes[i]));
    if (i > 0 && strcmp(attributes[i - 1].name, attributes[i].name) >= 0) {
      return TRIVET_STATUS(DATA_LOSS, "host blob: attribute '%s' is out of order",
                           attributes[i].name);
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_expect_end(&reader));
  *out_attributes = attributes;
  *out_count = count;
  return TRIVET_OK;
}
