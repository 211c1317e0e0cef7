// SPDX-License-Identifier: Apache-2.0
//
// The .npz archive: a zip file (PKWARE's APPNOTE, sections 4.3 to 4.5) whose members are .npy
// files. Only the central directory is believed; every offset and size in it is checked.

#include <string.h>
#include <zlib.h>

#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/checked.h"
#include "core/base/npy.h"
#include "core/base/npy_internal.h"
#include "core/base/sink.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

#define LOCAL_SIGNATURE 0x04034B50u
#define CENTRAL_SIGNATURE 0x02014B50u
#define END_SIGNATURE 0x06054B50u
#define END64_SIGNATURE 0x06064B50u
#define END64_LOCATOR_SIGNATURE 0x07064B50u
#define END_SIZE 22u
#define METHOD_STORED 0
#define METHOD_DEFLATED 8

typedef struct member_t {
  trivet_string_view_t name;
  uint16_t flags;
  uint16_t method;
  uint32_t crc;
  uint64_t packed_size;
  uint64_t size;
  uint64_t offset;  // of the local header
} member_t;

// Finds the end record, which a comment of up to 64 KiB may follow.
static trivet_status_t find_directory(const uint8_t* bytes, size_t size, uint64_t* out_offset,
                                      uint64_t* out_count) {
  if (size < END_SIZE) return TRIVET_STATUS(DATA_LOSS, "npz: %zu bytes are no zip archive", size);
  size_t at = size - END_SIZE;
  size_t lowest = at > 0xFFFF ? at - 0xFFFF : 0;
  while (tvi_load_u32(bytes + at) != END_SIGNATURE) {
    if (at == lowest) return TRIVET_STATUS(DATA_LOSS, "npz: no zip directory found");
    --at;
  }
  uint64_t count = tvi_load_u16(bytes + at + 10);
  uint64_t offset = tvi_load_u32(bytes + at + 16);
  if ((count == 0xFFFF || offset == 0xFFFFFFFF) && at >= 20 &&
      tvi_load_u32(bytes + at - 20) == END64_LOCATOR_SIGNATURE) {
    uint64_t end64 = tvi_load_u64(bytes + at - 12);
    if (!tvi_checked_range(end64, 56, size) || tvi_load_u32(bytes + end64) != END64_SIGNATURE) {
      return TRIVET_STATUS(DATA_LOSS, "npz: bad zip64 directory");
    }
    count = tvi_load_u64(bytes + end64 + 32);
    offset = tvi_load_u64(bytes + end64 + 48);
  }
  // A directory entry takes at least 46 bytes.
  if (offset > at || count > (at - offset) / 46) {
    return TRIVET_STATUS(DATA_LOSS, "npz: %llu directory entries do not fit from offset %llu on",
                         (unsigned long long)count, (unsigned long long)offset);
  }
  *out_offset = offset;
  *out_count = count;
  return TRIVET_OK;
}

// Sizes and offsets of 4 GiB and more stand in an extra field, in this order.
static trivet_status_t apply_zip64(tvi_byte_reader_t extra, member_t* member) {
  while (tvi_byte_reader_remaining(&extra) >= 4) {
    uint16_t id;
    uint16_t field_size;
    const uint8_t* field;
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(&extra, &id));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(&extra, &field_size));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&extra, field_size, &field));
    if (id != 1) continue;
    tvi_byte_reader_t values = tvi_byte_reader_make(field, field_size, "npz zip64 field");
    uint64_t* wide[] = {&member->size, &member->packed_size, &member->offset};
    for (size_t i = 0; i < 3; ++i) {
      if (*wide[i] == 0xFFFFFFFF) TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(&values, wide[i]));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t read_entry(tvi_byte_reader_t* reader, member_t* member) {
  const uint8_t* fixed;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(reader, 46, &fixed));
  if (tvi_load_u32(fixed) != CENTRAL_SIGNATURE) {
    return TRIVET_STATUS(DATA_LOSS, "npz: no directory entry at offset %zu", reader->offset - 46);
  }
  member->flags = tvi_load_u16(fixed + 8);
  member->method = tvi_load_u16(fixed + 10);
  member->crc = tvi_load_u32(fixed + 16);
  member->packed_size = tvi_load_u32(fixed + 20);
  member->size = tvi_load_u32(fixed + 24);
  member->offset = tvi_load_u32(fixed + 42);
  const uint8_t* name;
  const uint8_t* extra;
  size_t name_size = tvi_load_u16(fixed + 28);
  size_t extra_size = tvi_load_u16(fixed + 30);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(reader, name_size, &name));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(reader, extra_size, &extra));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_skip(reader, tvi_load_u16(fixed + 32)));
  member->name = tvi_sv_make((const char*)name, name_size);
  return apply_zip64(tvi_byte_reader_make(extra, extra_size, "npz extra field"), member);
}

static voidpf arena_for_zlib(voidpf opaque, uInt count, uInt size) {
  void* memory = NULL;
  trivet_status_t status = tvi_arena_alloc_array((tvi_arena_t*)opaque, count, size, &memory);
  trivet_status_free(status);
  return memory;
}

static void free_for_zlib(voidpf opaque, voidpf address) {
  (void)opaque;
  (void)address;
}

static trivet_status_t inflate_member(const member_t* member, const uint8_t* packed,
                                      tvi_arena_t* arena, const uint8_t** out_data) {
  // Deflate cannot shrink more than 1032 times; beyond, the size is a lie.
  if (member->size / 1032 > member->packed_size + 64) {
    return TRIVET_STATUS(DATA_LOSS, "npz: %llu bytes cannot come from %llu",
                         (unsigned long long)member->size, (unsigned long long)member->packed_size);
  }
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, (size_t)member->size, 64, &data));
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, arena->allocator, 0);
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  stream.zalloc = arena_for_zlib;
  stream.zfree = free_for_zlib;
  stream.opaque = &scratch;
  int result = inflateInit2(&stream, -MAX_WBITS);
  uint64_t taken = 0;
  uint64_t made = 0;
  uint8_t nothing;
  while (result == Z_OK) {
    uint64_t in_left = member->packed_size - taken;
    uint64_t out_left = member->size - made;
    uInt in_part = in_left < (1u << 30) ? (uInt)in_left : 1u << 30;
    uInt out_part = out_left < (1u << 30) ? (uInt)out_left : 1u << 30;
    stream.next_in = (Bytef*)(uintptr_t)(packed + taken);
    stream.avail_in = in_part;
    stream.next_out = data != NULL ? data + made : &nothing;
    stream.avail_out = out_part;
    result = inflate(&stream, Z_NO_FLUSH);
    taken += in_part - stream.avail_in;
    made += out_part - stream.avail_out;
    if (result == Z_OK && in_part == stream.avail_in && out_part == stream.avail_out) {
      result = Z_BUF_ERROR;
    }
  }
  inflateEnd(&stream);
  tvi_arena_deinit(&scratch);
  if (result == Z_MEM_ERROR) return TRIVET_STATUS(OUT_OF_MEMORY, "npz: cannot inflate");
  if (result != Z_STREAM_END || made != member->size) {
    return TRIVET_STATUS(DATA_LOSS, "npz: damaged deflate data");
  }
  *out_data = data;
  return TRIVET_OK;
}

static trivet_status_t check_crc(const member_t* member, const uint8_t* data) {
  uLong crc = crc32(0, NULL, 0);
  for (uint64_t done = 0; done < member->size;) {
    uint64_t left = member->size - done;
    uInt part = left < (1u << 30) ? (uInt)left : 1u << 30;
    crc = crc32(crc, data + done, part);
    done += part;
  }
  if (crc == member->crc) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "npz: checksum %08x expected, %08x found", member->crc,
                       (uint32_t)crc);
}

static trivet_status_t read_member(const uint8_t* bytes, size_t size, const member_t* member,
                                   tvi_arena_t* arena, tvi_npy_array_t* out_array) {
  if ((member->flags & 1) != 0) return TRIVET_STATUS(UNIMPLEMENTED, "npz: encrypted member");
  tvi_byte_reader_t reader = tvi_byte_reader_make(bytes, size, "npz member");
  const uint8_t* local;
  const uint8_t* data;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_seek(&reader, member->offset));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, 30, &local));
  if (tvi_load_u32(local) != LOCAL_SIGNATURE) {
    return TRIVET_STATUS(DATA_LOSS, "npz: no member at offset %llu",
                         (unsigned long long)member->offset);
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_skip(&reader, tvi_load_u16(local + 26)));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_skip(&reader, tvi_load_u16(local + 28)));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, member->packed_size, &data));
  if (member->method == METHOD_DEFLATED) {
    TRIVET_RETURN_IF_ERROR(inflate_member(member, data, arena, &data));
  } else if (member->method != METHOD_STORED) {
    return TRIVET_STATUS(UNIMPLEMENTED, "npz: compression method %u", member->method);
  } else if (member->size != member->packed_size) {
    return TRIVET_STATUS(DATA_LOSS, "npz: a stored member has two sizes");
  }
  TRIVET_RETURN_IF_ERROR(check_crc(member, data));
  TRIVET_RETURN_IF_ERROR(tvi_npy_parse(data, (size_t)member->size, arena, out_array));
  out_array->name = member->name;
  if (tvi_sv_ends_with(member->name, TRIVET_SV(".npy"))) out_array->name.size -= 4;
  return TRIVET_OK;
}

trivet_status_t tvi_npz_parse(const void* bytes, size_t size, tvi_arena_t* arena,
                              tvi_npy_array_t** out_arrays, size_t* out_count) {
  uint64_t offset;
  uint64_t count;
  TRIVET_RETURN_IF_ERROR(find_directory(bytes, size, &offset, &count));
  tvi_npy_array_t* arrays = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, (size_t)count, sizeof(*arrays), &arrays));
  tvi_byte_reader_t directory = tvi_byte_reader_make(bytes, size, "npz directory");
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_seek(&directory, offset));
  for (uint64_t i = 0; i < count; ++i) {
    member_t member;
    memset(&member, 0, sizeof(member));
    TRIVET_RETURN_IF_ERROR(read_entry(&directory, &member));
    TRIVET_RETURN_IF_ERROR_ANNOTATED(read_member(bytes, size, &member, arena, &arrays[i]),
                                     "member '" TVI_SV_FORMAT "'", TVI_SV_ARGS(member.name));
  }
  *out_arrays = arrays;
  *out_count = (size_t)count;
  return TRIVET_OK;
}

typedef struct archive_t {
  trivet_sink_t sink;
  trivet_allocator_t allocator;
  tvi_byte_writer_t directory;
  uint64_t offset;  // bytes written
} archive_t;

static trivet_status_t emit(archive_t* archive, const void* bytes, size_t size) {
  archive->offset += size;
  if (archive->offset > UINT32_MAX) {
    return TRIVET_STATUS(UNIMPLEMENTED, "npz: archives of 4 GiB and more cannot be written");
  }
  return tvi_sink_write(archive->sink, bytes, size);
}

// What local header and directory entry share: from the version that is needed to the name's size.
static void put_fields(tvi_byte_writer_t* writer, uint32_t crc, uint32_t size, uint16_t name_size) {
  tvi_byte_writer_u16(writer, 20);
  tvi_byte_writer_u16(writer, 0x0800);  // names are UTF-8
  tvi_byte_writer_u16(writer, METHOD_STORED);
  tvi_byte_writer_u16(writer, 0);
  tvi_byte_writer_u16(writer, 0x0021);  // 1980-01-01
  tvi_byte_writer_u32(writer, crc);
  tvi_byte_writer_u32(writer, size);
  tvi_byte_writer_u32(writer, size);
  tvi_byte_writer_u16(writer, name_size);
  tvi_byte_writer_u16(writer, 0);
}

static trivet_status_t write_member(archive_t* archive, const tvi_npy_array_t* array,
                                    tvi_byte_writer_t* header, tvi_byte_writer_t* local) {
  TRIVET_RETURN_IF_ERROR(tvi_npy_write_header(array, header));
  uint64_t size = (uint64_t)tvi_byte_writer_size(header) + array->size;
  if (size > UINT32_MAX || array->name.size > UINT16_MAX - 4) {
    return TRIVET_STATUS(UNIMPLEMENTED, "npz: a member or its name is too large");
  }
  uLong crc = crc32(0, tvi_byte_writer_data(header), (uInt)tvi_byte_writer_size(header));
  if (array->size != 0) crc = crc32(crc, array->data, (uInt)array->size);
  uint16_t name_size = (uint16_t)(array->name.size + 4);
  tvi_byte_writer_u32(local, LOCAL_SIGNATURE);
  put_fields(local, (uint32_t)crc, (uint32_t)size, name_size);
  tvi_byte_writer_bytes(local, array->name.data, array->name.size);
  tvi_byte_writer_bytes(local, ".npy", 4);
  TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(local));

  tvi_byte_writer_t* directory = &archive->directory;
  tvi_byte_writer_u32(directory, CENTRAL_SIGNATURE);
  tvi_byte_writer_u16(directory, 20);
  put_fields(directory, (uint32_t)crc, (uint32_t)size, name_size);
  tvi_byte_writer_u16(directory, 0);  // comment
  tvi_byte_writer_u16(directory, 0);  // disk
  tvi_byte_writer_u16(directory, 0);  // internal attributes
  tvi_byte_writer_u32(directory, 0);  // external attributes
  tvi_byte_writer_u32(directory, (uint32_t)archive->offset);
  tvi_byte_writer_bytes(directory, array->name.data, array->name.size);
  tvi_byte_writer_bytes(directory, ".npy", 4);

  TRIVET_RETURN_IF_ERROR(emit(archive, tvi_byte_writer_data(local), tvi_byte_writer_size(local)));
  TRIVET_RETURN_IF_ERROR(emit(archive, tvi_byte_writer_data(header), tvi_byte_writer_size(header)));
  return emit(archive, array->data, array->size);
}

static trivet_status_t write_archive(archive_t* archive, const tvi_npy_array_t* arrays,
                                     size_t count) {
  if (count > UINT16_MAX - 1) {
    return TRIVET_STATUS(UNIMPLEMENTED, "npz: %zu members are too many", count);
  }
  for (size_t i = 0; i < count; ++i) {
    tvi_byte_writer_t header;
    tvi_byte_writer_t local;
    tvi_byte_writer_init(&header, archive->allocator);
    tvi_byte_writer_init(&local, archive->allocator);
    trivet_status_t status = write_member(archive, &arrays[i], &header, &local);
    tvi_byte_writer_deinit(&header);
    tvi_byte_writer_deinit(&local);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "member '" TVI_SV_FORMAT "'",
                                     TVI_SV_ARGS(arrays[i].name));
  }
  tvi_byte_writer_t* directory = &archive->directory;
  uint32_t directory_offset = (uint32_t)archive->offset;
  uint32_t directory_size = (uint32_t)tvi_byte_writer_size(directory);
  tvi_byte_writer_u32(directory, END_SIGNATURE);
  tvi_byte_writer_u32(directory, 0);  // disks
  tvi_byte_writer_u16(directory, (uint16_t)count);
  tvi_byte_writer_u16(directory, (uint16_t)count);
  tvi_byte_writer_u32(directory, directory_size);
  tvi_byte_writer_u32(directory, directory_offset);
  tvi_byte_writer_u16(directory, 0);  // comment
  TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(directory));
  return emit(archive, tvi_byte_writer_data(directory), tvi_byte_writer_size(directory));
}

trivet_status_t tvi_npz_write(const tvi_npy_array_t* arrays, size_t count, trivet_sink_t sink,
                              trivet_allocator_t allocator) {
  archive_t archive;
  memset(&archive, 0, sizeof(archive));
  archive.sink = sink;
  archive.allocator = allocator;
  tvi_byte_writer_init(&archive.directory, allocator);
  trivet_status_t status = write_archive(&archive, arrays, count);
  tvi_byte_writer_deinit(&archive.directory);
  return status;
}
