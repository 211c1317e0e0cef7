// SPDX-License-Identifier: Apache-2.0
//
// The bounds-checked reader: every read asks `need` first, which words the one message about input
// that ends too early.

#include "core/base/byte_reader.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"

uint16_t tvi_load_u16(const void* bytes) {
  const uint8_t* b = bytes;
  return (uint16_t)(b[0] | (uint16_t)(b[1] << 8));
}

uint32_t tvi_load_u32(const void* bytes) {
  const uint8_t* b = bytes;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint64_t tvi_load_u64(const void* bytes) {
  return (uint64_t)tvi_load_u32(bytes) | (uint64_t)tvi_load_u32((const uint8_t*)bytes + 4) << 32;
}

tvi_byte_reader_t tvi_byte_reader_make(const void* data, size_t size, const char* name) {
  tvi_byte_reader_t reader = {data, size, 0, name != NULL ? name : "input"};
  return reader;
}

static trivet_status_t need(const tvi_byte_reader_t* reader, uint64_t size) {
  size_t left = tvi_byte_reader_remaining(reader);
  if (size <= left) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%s: %llu bytes wanted at offset %zu, but only %zu are left",
                       reader->name, (unsigned long long)size, reader->offset, left);
}

trivet_status_t tvi_byte_reader_u8(tvi_byte_reader_t* reader, uint8_t* out) {
  TRIVET_RETURN_IF_ERROR(need(reader, 1));
  *out = reader->data[reader->offset];
  reader->offset += 1;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_u16(tvi_byte_reader_t* reader, uint16_t* out) {
  TRIVET_RETURN_IF_ERROR(need(reader, 2));
  *out = tvi_load_u16(reader->data + reader->offset);
  reader->offset += 2;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_u32(tvi_byte_reader_t* reader, uint32_t* out) {
  TRIVET_RETURN_IF_ERROR(need(reader, 4));
  *out = tvi_load_u32(reader->data + reader->offset);
  reader->offset += 4;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_u64(tvi_byte_reader_t* reader, uint64_t* out) {
  TRIVET_RETURN_IF_ERROR(need(reader, 8));
  *out = tvi_load_u64(reader->data + reader->offset);
  reader->offset += 8;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_i32(tvi_byte_reader_t* reader, int32_t* out) {
  uint32_t bits;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &bits));
  *out = (int32_t)bits;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_i64(tvi_byte_reader_t* reader, int64_t* out) {
  uint64_t bits;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &bits));
  *out = (int64_t)bits;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_f32(tvi_byte_reader_t* reader, float* out) {
  uint32_t bits;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &bits));
  memcpy(out, &bits, sizeof(bits));
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_f64(tvi_byte_reader_t* reader, double* out) {
  uint64_t bits;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &bits));
  memcpy(out, &bits, sizeof(bits));
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_varint(tvi_byte_reader_t* reader, uint64_t* out) {
  uint64_t value = 0;
  size_t left = tvi_byte_reader_remaining(reader);
  for (size_t i = 0; i < 10; ++i) {
    if (i >= left) return need(reader, i + 1);
    uint8_t byte = reader->data[reader->offset + i];
    if (i == 9 && byte > 1) break;
    value |= (uint64_t)(byte & 0x7F) << (7 * i);
    if (byte < 0x80) {
      reader->offset += i + 1;
      *out = value;
      return TRIVET_OK;
    }
  }
  return TRIVET_STATUS(DATA_LOSS, "%s: the variable-length number at offset %zu exceeds 64 bits",
                       reader->name, reader->offset);
}

trivet_status_t tvi_byte_reader_bytes(tvi_byte_reader_t* reader, uint64_t size,
                                      const uint8_t** out_bytes) {
  TRIVET_RETURN_IF_ERROR(need(reader, size));
  *out_bytes = reader->data != NULL ? reader->data + reader->offset : NULL;
  reader->offset += (size_t)size;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_string(tvi_byte_reader_t* reader, trivet_string_view_t* out_text) {
  tvi_byte_reader_t ahead = *reader;
  uint32_t size;
  const uint8_t* bytes;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&ahead, &size));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&ahead, size, &bytes));
  out_text->data = (const char*)bytes;
  out_text->size = size;
  *reader = ahead;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_skip(tvi_byte_reader_t* reader, uint64_t size) {
  TRIVET_RETURN_IF_ERROR(need(reader, size));
  reader->offset += (size_t)size;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_seek(tvi_byte_reader_t* reader, uint64_t offset) {
  if (offset > reader->size) {
    return TRIVET_STATUS(DATA_LOSS, "%s: offset %llu lies behind the end, which is at %zu",
                         reader->name, (unsigned long long)offset, reader->size);
  }
  reader->offset = (size_t)offset;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_align(tvi_byte_reader_t* reader, size_t alignment) {
  size_t aligned;
  if (!tvi_checked_align_up_size(reader->offset, alignment, &aligned)) {
    return TRIVET_STATUS(DATA_LOSS, "%s: offset %zu cannot be aligned to %zu", reader->name,
                         reader->offset, alignment);
  }
  TRIVET_RETURN_IF_ERROR(need(reader, aligned - reader->offset));
  for (size_t i = reader->offset; i < aligned; ++i) {
    if (reader->data[i] != 0) {
      return TRIVET_STATUS(DATA_LOSS, "%s: padding at offset %zu is not zero", reader->name, i);
    }
  }
  reader->offset = aligned;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_count(tvi_byte_reader_t* reader, size_t record_size,
                                      uint32_t* out_count) {
  tvi_byte_reader_t ahead = *reader;
  uint32_t count;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&ahead, &count));
  if (record_size != 0 && count > tvi_byte_reader_remaining(&ahead) / record_size) {
    return TRIVET_STATUS(DATA_LOSS,
                         "%s: %u records of at least %zu bytes are announced at offset %zu, but "
                         "only %zu bytes follow",
                         reader->name, count, record_size, reader->offset,
                         tvi_byte_reader_remaining(&ahead));
  }
  *out_count = count;
  *reader = ahead;
  return TRIVET_OK;
}

trivet_status_t tvi_byte_reader_expect_end(const tvi_byte_reader_t* reader) {
  if (tvi_byte_reader_at_end(reader)) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%s: %zu bytes too many from offset %zu on", reader->name,
                       tvi_byte_reader_remaining(reader), reader->offset);
}
