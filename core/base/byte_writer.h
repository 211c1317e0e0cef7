// SPDX-License-Identifier: Apache-2.0
//
// Writes little-endian numbers into growing memory: the counterpart of byte_reader.h. Like the
// string builder, on which it stands, it remembers its first failure; the take reports it. Large
// data goes to a sink instead. One thread at a time.

#ifndef TRIVET_CORE_BASE_BYTE_WRITER_H_
#define TRIVET_CORE_BASE_BYTE_WRITER_H_

#include <stddef.h>
#include <stdint.h>

#include "core/base/string_builder.h"
#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_byte_writer_t {
  tvi_string_builder_t bytes;
} tvi_byte_writer_t;

static inline void tvi_byte_writer_init(tvi_byte_writer_t* writer, trivet_allocator_t allocator) {
  tvi_string_builder_init(&writer->bytes, allocator);
}
static inline void tvi_byte_writer_deinit(tvi_byte_writer_t* writer) {
  tvi_string_builder_deinit(&writer->bytes);
}
static inline void tvi_byte_writer_clear(tvi_byte_writer_t* writer) {
  tvi_string_builder_clear(&writer->bytes);
}
// Bytes written so far: the offset of the next one.
static inline size_t tvi_byte_writer_size(const tvi_byte_writer_t* writer) {
  return writer->bytes.size;
}
// What was written; valid until the next write.
static inline const uint8_t* tvi_byte_writer_data(const tvi_byte_writer_t* writer) {
  return (const uint8_t*)writer->bytes.data;
}

void tvi_byte_writer_u8(tvi_byte_writer_t* writer, uint8_t value);
void tvi_byte_writer_u16(tvi_byte_writer_t* writer, uint16_t value);
void tvi_byte_writer_u32(tvi_byte_writer_t* writer, uint32_t value);
void tvi_byte_writer_u64(tvi_byte_writer_t* writer, uint64_t value);
void tvi_byte_writer_i32(tvi_byte_writer_t* writer, int32_t value);
void tvi_byte_writer_i64(tvi_byte_writer_t* writer, int64_t value);
void tvi_byte_writer_f32(tvi_byte_writer_t* writer, float value);
void tvi_byte_writer_f64(tvi_byte_writer_t* writer, double value);
void tvi_byte_writer_varint(tvi_byte_writer_t* writer, uint64_t value);
void tvi_byte_writer_bytes(tvi_byte_writer_t* writer, const void* bytes, size_t size);
// A u32 length and the bytes. Longer than 4 GiB: remembered as OUT_OF_RANGE.
void tvi_byte_writer_string(tvi_byte_writer_t* writer, trivet_string_view_t text);
// Zero bytes up to a multiple of `alignment`, a power of two.
void tvi_byte_writer_align(tvi_byte_writer_t* writer, size_t alignment);
// Overwrites a number written before; an offset out of bounds is remembered as INTERNAL.
void tvi_byte_writer_patch_u32(tvi_byte_writer_t* writer, size_t offset, uint32_t value);
void tvi_byte_writer_patch_u64(tvi_byte_writer_t* writer, size_t offset, uint64_t value);

// The remembered failure, handed over.
static inline TRIVET_MUST_USE trivet_status_t tvi_byte_writer_status(tvi_byte_writer_t* writer) {
  return tvi_string_builder_status(&writer->bytes);
}

// Hands over the bytes, or the failure. The caller frees with tvi_free(allocator, *out_bytes,
// *out_size + 1) (one byte more than the size, always). The writer is empty afterwards.
trivet_status_t tvi_byte_writer_take(tvi_byte_writer_t* writer, uint8_t** out_bytes,
                                     size_t* out_size) TRIVET_MUST_USE;

// Little-endian stores to any alignment.
void tvi_store_u16(void* bytes, uint16_t value);
void tvi_store_u32(void* bytes, uint32_t value);
void tvi_store_u64(void* bytes, uint64_t value);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_BYTE_WRITER_H_
