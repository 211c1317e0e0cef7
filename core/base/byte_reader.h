// SPDX-License-Identifier: Apache-2.0
//
// Reads little-endian numbers and runs of bytes from borrowed memory, never past its end. The
// reader of plans and of protobuf wire data. Every failure is DATA_LOSS, names the input, the
// offset and how much was missing, and moves nothing. One thread at a time; copy the struct to look
// ahead.

#ifndef TRIVET_CORE_BASE_BYTE_READER_H_
#define TRIVET_CORE_BASE_BYTE_READER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_byte_reader_t {
  const uint8_t* data;
  size_t size;
  size_t offset;     // of the next byte
  const char* name;  // what is read, for messages: "plan header"
} tvi_byte_reader_t;

// A reader over `size` bytes; data and name are borrowed.
tvi_byte_reader_t tvi_byte_reader_make(const void* data, size_t size, const char* name);

static inline size_t tvi_byte_reader_remaining(const tvi_byte_reader_t* reader) {
  return reader->size - reader->offset;
}
static inline bool tvi_byte_reader_at_end(const tvi_byte_reader_t* reader) {
  return reader->offset >= reader->size;
}

trivet_status_t tvi_byte_reader_u8(tvi_byte_reader_t* reader, uint8_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_u16(tvi_byte_reader_t* reader, uint16_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_u32(tvi_byte_reader_t* reader, uint32_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_u64(tvi_byte_reader_t* reader, uint64_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_i32(tvi_byte_reader_t* reader, int32_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_i64(tvi_byte_reader_t* reader, int64_t* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_f32(tvi_byte_reader_t* reader, float* out) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_f64(tvi_byte_reader_t* reader, double* out) TRIVET_MUST_USE;

// A protobuf base-128 number of at most ten bytes.
trivet_status_t tvi_byte_reader_varint(tvi_byte_reader_t* reader, uint64_t* out) TRIVET_MUST_USE;

// A view of the next `size` bytes, into the reader's data.
trivet_status_t tvi_byte_reader_bytes(tvi_byte_reader_t* reader, uint64_t size,
                                      const uint8_t** out_bytes) TRIVET_MUST_USE;
// A u32 length and that many bytes of text, as tvi_byte_writer_string writes it.
trivet_status_t tvi_byte_reader_string(tvi_byte_reader_t* reader,
                                       trivet_string_view_t* out_text) TRIVET_MUST_USE;
trivet_status_t tvi_byte_reader_skip(tvi_byte_reader_t* reader, uint64_t size) TRIVET_MUST_USE;
// Goes to an absolute offset; the end itself is allowed.
trivet_status_t tvi_byte_reader_seek(tvi_byte_reader_t* reader, uint64_t offset) TRIVET_MUST_USE;
// Skips to a multiple of `alignment` (a power of two); the bytes skipped must be zero.
trivet_status_t tvi_byte_reader_align(tvi_byte_reader_t* reader, size_t alignment) TRIVET_MUST_USE;
// A number of records of at least `record_size` bytes each (a u32): refused when the rest cannot
// hold that many, so that a hostile count never sizes an allocation.
trivet_status_t tvi_byte_reader_count(tvi_byte_reader_t* reader, size_t record_size,
                                      uint32_t* out_count) TRIVET_MUST_USE;
// Fails when bytes are left.
trivet_status_t tvi_byte_reader_expect_end(const tvi_byte_reader_t* reader) TRIVET_MUST_USE;

// Little-endian loads from any alignment; the caller has checked the bounds.
uint16_t tvi_load_u16(const void* bytes);
uint32_t tvi_load_u32(const void* bytes);
uint64_t tvi_load_u64(const void* bytes);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_BYTE_READER_H_
