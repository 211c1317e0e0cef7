// SPDX-License-Identifier: Apache-2.0
//
// Little-endian writing on top of the string builder, which brings growth and the remembered
// failure.

#include "core/base/byte_writer.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

void tvi_store_u16(void* bytes, uint16_t value) {
  uint8_t* b = bytes;
  b[0] = (uint8_t)value;
  b[1] = (uint8_t)(value >> 8);
}

void tvi_store_u32(void* bytes, uint32_t value) {
  tvi_store_u16(bytes, (uint16_t)value);
  tvi_store_u16((uint8_t*)bytes + 2, (uint16_t)(value >> 16));
}

void tvi_store_u64(void* bytes, uint64_t value) {
  tvi_store_u32(bytes, (uint32_t)value);
  tvi_store_u32((uint8_t*)bytes + 4, (uint32_t)(value >> 32));
}

void tvi_byte_writer_bytes(tvi_byte_writer_t* writer, const void* bytes, size_t size) {
  tvi_string_builder_append(&writer->bytes, tvi_sv_make(bytes, size));
}

void tvi_byte_writer_u8(tvi_byte_writer_t* writer, uint8_t value) {
  tvi_byte_writer_bytes(writer, &value, 1);
}

void tvi_byte_writer_u16(tvi_byte_writer_t* writer, uint16_t value) {
  uint8_t bytes[2];
  tvi_store_u16(bytes, value);
  tvi_byte_writer_bytes(writer, bytes, sizeof(bytes));
}

void tvi_byte_writer_u32(tvi_byte_writer_t* writer, uint32_t value) {
  uint8_t bytes[4];
  tvi_store_u32(bytes, value);
  tvi_byte_writer_bytes(writer, bytes, sizeof(bytes));
}

void tvi_byte_writer_u64(tvi_byte_writer_t* writer, uint64_t value) {
  uint8_t bytes[8];
  tvi_store_u64(bytes, value);
  tvi_byte_writer_bytes(writer, bytes, sizeof(bytes));
}

void tvi_byte_writer_i32(tvi_byte_writer_t* writer, int32_t value) {
  tvi_byte_writer_u32(writer, (uint32_t)value);
}

void tvi_byte_writer_i64(tvi_byte_writer_t* writer, int64_t value) {
  tvi_byte_writer_u64(writer, (uint64_t)value);
}

void tvi_byte_writer_f32(tvi_byte_writer_t* writer, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  tvi_byte_writer_u32(writer, bits);
}

void tvi_byte_writer_f64(tvi_byte_writer_t* writer, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  tvi_byte_writer_u64(writer, bits);
}

void tvi_byte_writer_varint(tvi_byte_writer_t* writer, uint64_t value) {
  uint8_t bytes[10];
  size_t size = 0;
  while (value >= 0x80) {
    bytes[size++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  bytes[size++] = (uint8_t)value;
  tvi_byte_writer_bytes(writer, bytes, size);
}

static void fail(tvi_byte_writer_t* writer, trivet_status_t status) {
  if (writer->bytes.status == NULL) {
    writer->bytes.status = status;
  } else {
    trivet_status_free(status);
  }
}

void tvi_byte_writer_string(tvi_byte_writer_t* writer, trivet_string_view_t text) {
  uint32_t size;
  if (!tvi_checked_u64_to_u32(text.size, &size)) {
    fail(writer, TRIVET_STATUS(OUT_OF_RANGE, "text of %zu bytes is too large", text.size));
    return;
  }
  tvi_byte_writer_u32(writer, size);
  tvi_byte_writer_bytes(writer, text.data, text.size);
}

void tvi_byte_writer_align(tvi_byte_writer_t* writer, size_t alignment) {
  size_t aligned;
  if (!tvi_checked_align_up_size(writer->bytes.size, alignment, &aligned)) {
    fail(writer, TRIVET_STATUS(INTERNAL, "offset %zu cannot be aligned to %zu", writer->bytes.size,
                               alignment));
    return;
  }
  tvi_string_builder_append_repeated(&writer->bytes, 0, aligned - writer->bytes.size);
}

static bool can_patch(tvi_byte_writer_t* writer, size_t offset, size_t size) {
  if (writer->bytes.status != NULL) return false;
  if (tvi_checked_range(offset, size, writer->bytes.size)) return true;
  fail(writer, TRIVET_STATUS(INTERNAL, "patch of %zu bytes at offset %zu of %zu", size, offset,
                             writer->bytes.size));
  return false;
}

void tvi_byte_writer_patch_u32(tvi_byte_writer_t* writer, size_t offset, uint32_t value) {
  if (can_patch(writer, offset, 4)) tvi_store_u32(writer->bytes.data + offset, value);
}

void tvi_byte_writer_patch_u64(tvi_byte_writer_t* writer, size_t offset, uint64_t value) {
  if (can_patch(writer, offset, 8)) tvi_store_u64(writer->bytes.data + offset, value);
}

trivet_status_t tvi_byte_writer_take(tvi_byte_writer_t* writer, uint8_t** out_bytes,
                                     size_t* out_size) {
  char* text = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_take(&writer->bytes, &text, out_size));
  *out_bytes = (uint8_t*)text;
  return TRIVET_OK;
}
