// SPDX-License-Identifier: Apache-2.0
//
// Bytes to plan. Trusts nothing: first the frame (header, section table, padding, hashes), then the
// records, then the verifier. What is allocated is bounded by the bytes that are there, so a
// hostile count costs nothing. Must not copy weights, blobs or texts.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/plan/plan_format.h"

typedef struct section_s {
  const uint8_t* data;
  uint64_t offset, size;
  bool present;
} section_t;

typedef struct frame_s {
  const uint8_t* bytes;
  uint64_t size;
  uint32_t flags;
  uint32_t section_count;
  uint64_t hash_table, hash_count;
  section_t sections[TVI_PLAN_SECTION_COUNT + 1];  // by type
} frame_t;

static bool hash_matches(tvi_hash128_t hash, const uint8_t* bytes) {
  return hash.low == tvi_load_u64(bytes) && hash.high == tvi_load_u64(bytes + 8);
}

// False, and the offset of the first byte that is not zero.
static bool is_zero(const uint8_t* bytes, uint64_t begin, uint64_t end, uint64_t* out_offset) {
  for (uint64_t i = begin; i < end; ++i) {
    if (bytes[i] != 0) {
      *out_offset = i;
      return false;
    }
  }
  return true;
}

static trivet_status_t check_padding(const frame_t* frame, uint64_t begin, uint64_t end) {
  uint64_t at = 0;
  if (is_zero(frame->bytes, begin, end, &at)) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "plan: padding at offset %llu is not zero",
                       (unsigned long long)at);
}

static trivet_status_t read_header(frame_t* frame) {
  const uint8_t* bytes = frame->bytes;
  const uint64_t least = TVI_PLAN_HEADER_SIZE + TVI_PLAN_HASH_SIZE;
  size_t known = frame->size < 8 ? (size_t)frame->size : 8;
  if (known == 0 || memcmp(bytes, TVI_PLAN_MAGIC, known) != 0) {
    bool is_text = known >= 6 && memcmp(bytes, TVI_PLAN_MAGIC, 6) == 0;
    return TRIVET_STATUS(DATA_LOSS, is_text ? "plan: damaged by a transfer in text mode"
                                            : "plan: does not begin as a plan does");
  }
  if (frame->size < least) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: %llu bytes, at least %llu wanted",
                         (unsigned long long)frame->size, (unsigned long long)least);
  }
  uint32_t major = tvi_load_u32(bytes + TVI_PLAN_OFFSET_MAJOR);
  if (major != TVI_PLAN_MAJOR) {
    return TRIVET_STATUS(INCOMPATIBLE, "plan: format version %u.%u, this library reads %u.x", major,
                         tvi_load_u32(bytes + TVI_PLAN_OFFSET_MINOR), TVI_PLAN_MAJOR);
  }
  uint64_t total = tvi_load_u64(bytes + TVI_PLAN_OFFSET_TOTAL_SIZE);
  if (total != frame->size) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: size %llu, but there are %llu bytes",
                         (unsigned long long)total, (unsigned long long)frame->size);
  }
  uint32_t chunk = tvi_load_u32(bytes + TVI_PLAN_OFFSET_CHUNK_SIZE);
  if (chunk != TVI_PLAN_CHUNK_SIZE) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: chunk size %u, not %llu", chunk,
                         (unsigned long long)TVI_PLAN_CHUNK_SIZE);
  }
  frame->section_count = tvi_load_u32(bytes + TVI_PLAN_OFFSET_SECTION_COUNT);
  frame->hash_table = tvi_load_u64(bytes + TVI_PLAN_OFFSET_HASH_TABLE);
  frame->hash_count = tvi_load_u64(bytes + TVI_PLAN_OFFSET_HASH_COUNT);
  uint64_t table_end = TVI_PLAN_HEADER_SIZE + (uint64_t)frame->section_count * TVI_PLAN_ENTRY_SIZE;
  if (table_end > total) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: %u sections do not fit", frame->section_count);
  }
  // The root hash ends the file, the hash table stands before it, the sections before that.
  if (frame->hash_table > total || frame->hash_table < table_end ||
      frame->hash_table % TVI_PLAN_SECTION_ALIGNMENT != 0 ||
      (total - frame->hash_table) % TVI_PLAN_HASH_SIZE != 0 ||
      (total - frame->hash_table) / TVI_PLAN_HASH_SIZE == 0 ||
      (total - frame->hash_table) / TVI_PLAN_HASH_SIZE - 1 != frame->hash_count) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: hash table at %llu of %llu entries",
                         (unsigned long long)frame->hash_table,
                         (unsigned long long)frame->hash_count);
  }
  tvi_hash128_state_t root;
  tvi_hash128_init(&root, 0);
  tvi_hash128_update(&root, bytes, (size_t)table_end);
  tvi_hash128_update(&root, bytes + frame->hash_table,
                     (size_t)(frame->hash_count * TVI_PLAN_HASH_SIZE));
  if (!hash_matches(tvi_hash128_digest(&root), bytes + total - TVI_PLAN_HASH_SIZE)) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header, section table or hash table is damaged");
  }
  return check_padding(frame, TVI_PLAN_OFFSET_RESERVED, TVI_PLAN_HEADER_SIZE);
}

static trivet_status_t check_chunks(const frame_t* frame, const char* name, uint64_t offset,
                                    uint64_t size, uint64_t first_hash) {
  const uint8_t* hash = frame->bytes + frame->hash_table + first_hash * TVI_PLAN_HASH_SIZE;
  for (uint64_t done = 0; done < size; done += TVI_PLAN_CHUNK_SIZE, hash += TVI_PLAN_HASH_SIZE) {
    uint64_t part = size - done < TVI_PLAN_CHUNK_SIZE ? size - done : TVI_PLAN_CHUNK_SIZE;
    if (hash_matches(tvi_hash128(frame->bytes + offset + done, (size_t)part, 0), hash)) continue;
    return TRIVET_STATUS(DATA_LOSS, "plan: section %s is damaged within %llu bytes at offset %llu",
                         name, (unsigned long long)part, (unsigned long long)(offset + done));
  }
  return TRIVET_OK;
}

static trivet_status_t read_sections(frame_t* frame) {
  uint64_t end = TVI_PLAN_HEADER_SIZE + (uint64_t)frame->section_count * TVI_PLAN_ENTRY_SIZE;
  uint64_t hashes = 0;
  for (uint32_t i = 0; i < frame->section_count; ++i) {
    const uint8_t* entry = frame->bytes + TVI_PLAN_HEADER_SIZE + (size_t)i * TVI_PLAN_ENTRY_SIZE;
    uint32_t type = tvi_load_u32(entry), flags = tvi_load_u32(entry + 4);
    uint64_t offset = tvi_load_u64(entry + 8), size = tvi_load_u64(entry + 16);
    const char* name = tvi_plan_section_name(type);
    bool is_known = type >= 1 && type <= TVI_PLAN_SECTION_COUNT;
    uint64_t alignment =
        type == TVI_PLAN_SECTION_WEIGHTS ? TVI_PLAN_WEIGHTS_PAGE : TVI_PLAN_SECTION_ALIGNMENT;
    if ((flags & ~TVI_PLAN_SECTION_MUST_UNDERSTAND) != 0) {
      return TRIVET_STATUS(DATA_LOSS, "plan: section table, entry %u (%s): flags %#x", i, name,
                           flags);
    }
    if (!is_known && (flags & TVI_PLAN_SECTION_MUST_UNDERSTAND) != 0) {
      return TRIVET_STATUS(INCOMPATIBLE,
                           "plan: section type %u must be understood, and this library does not",
                           type);
    }
    // Sections follow each other; what lies between two is padding, less than a page of it.
    if (offset < end || offset % alignment != 0 || offset - end >= TVI_PLAN_WEIGHTS_PAGE ||
        !tvi_checked_range(offset, size, frame->hash_table)) {
      return TRIVET_STATUS(DATA_LOSS, "plan: section table, entry %u (%s): offset %llu, size %llu",
                           i, name, (unsigned long long)offset, (unsigned long long)size);
    }
    uint64_t chunks = size / TVI_PLAN_CHUNK_SIZE + (size % TVI_PLAN_CHUNK_SIZE != 0);
    if (tvi_load_u64(entry + 24) != hashes || chunks > frame->hash_count - hashes) {
      return TRIVET_STATUS(DATA_LOSS, "plan: section table, entry %u (%s): first hash %llu", i,
                           name, (unsigned long long)tvi_load_u64(entry + 24));
    }
    TRIVET_RETURN_IF_ERROR(check_padding(frame, end, offset));
    if (type != TVI_PLAN_SECTION_WEIGHTS || (frame->flags & TVI_PLAN_READ_VERIFY_WEIGHTS) != 0) {
      TRIVET_RETURN_IF_ERROR(check_chunks(frame, name, offset, size, hashes));
    }
    hashes += chunks;
    end = offset + size;
    if (!is_known) continue;
    section_t* section = &frame->sections[type];
    if (section->present) return TRIVET_STATUS(DATA_LOSS, "plan: two sections %s", name);
    section->present = true;
    section->data = frame->bytes + offset;
    section->offset = offset;
    section->size = size;
  }
  if (hashes != frame->hash_count) {
    return TRIVET_STATUS(DATA_LOSS, "plan: %llu hashes for %llu chunks",
                         (unsigned long long)frame->hash_count, (unsigned long long)hashes);
  }
  if (frame->hash_table - end >= TVI_PLAN_SECTION_ALIGNMENT) {
    return TRIVET_STATUS(DATA_LOSS, "plan: header: hash table at %llu, but sections end at %llu",
                         (unsigned long long)frame->hash_table, (unsigned long long)end);
  }
  TRIVET_RETURN_IF_ERROR(check_padding(frame, end, frame->hash_table));
  for (uint32_t type = 1; type <= TVI_PLAN_SECTION_COUNT; ++type) {
    if (!frame->sections[type].present && type <= TVI_PLAN_SECTION_WEIGHTS) {
      return TRIVET_STATUS(DATA_LOSS, "plan: no section %s", tvi_plan_section_name(type));
    }
  }
  return TRIVET_OK;
}

// --- Records -------------------------------------------------------------------------------------

static tvi_byte_reader_t section_reader(const frame_t* frame, uint32_t type) {
  static const char* const kNames[] = {"plan",
                                       "plan section strings",
                                       "plan section info",
                                       "plan section symbols",
                                       "plan section expressions",
                                       "plan section constants",
                                       "plan section bindings",
                                       "plan section profiles",
                                       "plan section plugins",
                                       "plan section programs",
                                       "plan section blobs",
                                       "plan section weights",
                                       "plan section memories",
                                       "plan section carried",
                                       "plan section costs"};
  const section_t* section = &frame->sections[type];
  return tvi_byte_reader_make(section->data, (size_t)section->size, kNames[type]);
}

static trivet_status_t read_strings(const frame_t* frame, tvi_plan_codec_t* codec) {
  tvi_byte_reader_t reader = section_reader(frame, TVI_PLAN_SECTION_STRINGS);
  tvi_byte_reader_t ends;
  trivet_string_view_t* strings = NULL;
  uint32_t count = 0, begin = 0;
  // Each text has at least its end and its NUL.
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(&reader, 5, &count));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(codec->arena, count, sizeof(*strings), &strings));
  ends = reader;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_skip(&reader, (uint64_t)count * 4));
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t end = 0;
    const uint8_t* text = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&ends, &end));
    if (end <= begin) {
      return TRIVET_STATUS(DATA_LOSS, "plan section strings: string %u ends at %u, begins at %u", i,
                           end, begin);
    }
    uint32_t size = end - begin - 1;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_byte_reader_bytes(&reader, (uint64_t)size + 1, &text),
                                     "string %u", i);
    if (memchr(text, 0, (size_t)size + 1) != text + size) {
      return TRIVET_STATUS(DATA_LOSS, "plan section strings: string %u does not end with a zero",
                           i);
    }
    strings[i] = tvi_sv_make((const char*)text, size);
    begin = end;
  }
  codec->strings = strings;
  codec->string_count = count;
  return tvi_byte_reader_expect_end(&reader);
}

static trivet_status_t read_blobs(const frame_t* frame, tvi_plan_codec_t* codec) {
  tvi_byte_reader_t reader = section_reader(frame, TVI_PLAN_SECTION_BLOBS);
  tvi_byte_reader_t sizes;
  trivet_string_view_t* blobs = NULL;
  uint32_t count = 0;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(&reader, 8, &count));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(codec->arena, count, sizeof(*blobs), &blobs));
  sizes = reader;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_skip(&reader, (uint64_t)count * 8));
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t size = 0;
    const uint8_t* data = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(&sizes, &size));
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_byte_reader_align(&reader, TVI_PLAN_BLOB_ALIGNMENT),
                                     "blob %u", i);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_byte_reader_bytes(&reader, size, &data), "blob %u", i);
    blobs[i] = tvi_sv_make((const char*)data, (size_t)size);
  }
  codec->blobs = blobs;
  codec->blob_count = count;
  return tvi_byte_reader_expect_end(&reader);
}

// Gaps between constants are padding like any other. Placement was verified.
static trivet_status_t check_weight_gaps(const frame_t* frame, const tvi_plan_t* plan) {
  uint64_t begin = frame->sections[TVI_PLAN_SECTION_WEIGHTS].offset, end = begin;
  for (uint32_t i = 0; i < plan->constant_count; ++i) {
    TRIVET_RETURN_IF_ERROR(check_padding(frame, end, begin + plan->constants[i].offset));
    end = begin + plan->constants[i].offset + plan->constants[i].size;
  }
  return TRIVET_OK;
}

static trivet_status_t read_records(const frame_t* frame, tvi_plan_t* plan) {
  tvi_plan_codec_t codec;
  memset(&codec, 0, sizeof(codec));
  codec.decoding = true;
  codec.arena = plan->arena;
  TRIVET_RETURN_IF_ERROR(read_strings(frame, &codec));
  TRIVET_RETURN_IF_ERROR(read_blobs(frame, &codec));
  for (uint32_t type = TVI_PLAN_SECTION_INFO; type <= TVI_PLAN_SECTION_COUNT; ++type) {
    if (type == TVI_PLAN_SECTION_BLOBS || type == TVI_PLAN_SECTION_WEIGHTS) continue;
    if (!frame->sections[type].present) continue;
    codec.reader = section_reader(frame, type);
    TRIVET_RETURN_IF_ERROR(tvi_plan_code_section(&codec, type, plan));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_expect_end(&codec.reader));
  }
  plan->weights = frame->sections[TVI_PLAN_SECTION_WEIGHTS].data;
  plan->weights_size = frame->sections[TVI_PLAN_SECTION_WEIGHTS].size;
  return TRIVET_OK;
}

// The plan and the arena that holds its arrays, in one block.
typedef struct owned_plan_s {
  tvi_plan_t plan;
  tvi_arena_t arena;
} owned_plan_t;

trivet_status_t tvi_plan_read(const uint8_t* bytes, uint64_t size, uint32_t flags,
                              trivet_allocator_t allocator, tvi_plan_t** out_plan) {
  if (((uintptr_t)bytes & (TVI_PLAN_SECTION_ALIGNMENT - 1)) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plan: the bytes are not aligned to %u",
                         TVI_PLAN_SECTION_ALIGNMENT);
  }
  if ((flags & ~TVI_PLAN_READ_VERIFY_WEIGHTS) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plan: unknown flags %#x", flags);
  }
  frame_t frame;
  memset(&frame, 0, sizeof(frame));
  frame.bytes = bytes;
  frame.size = size;
  frame.flags = flags;
  TRIVET_RETURN_IF_ERROR(read_header(&frame));
  TRIVET_RETURN_IF_ERROR(read_sections(&frame));

  owned_plan_t* owned = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*owned), &owned));
  tvi_arena_init(&owned->arena, allocator, 0);
  owned->plan.arena = &owned->arena;
  trivet_status_t status = read_records(&frame, &owned->plan);
  if (status == NULL) status = tvi_plan_verify(&owned->plan, allocator);
  if (status == NULL && (flags & TVI_PLAN_READ_VERIFY_WEIGHTS) != 0) {
    status = check_weight_gaps(&frame, &owned->plan);
  }
  if (status != NULL) {
    tvi_plan_destroy(&owned->plan);
    return status;
  }
  *out_plan = &owned->plan;
  return TRIVET_OK;
}

void tvi_plan_destroy(tvi_plan_t* plan) {
  if (plan == NULL) return;
  owned_plan_t* owned = (owned_plan_t*)plan;
  trivet_allocator_t allocator = owned->arena.allocator;
  tvi_arena_deinit(&owned->arena);
  tvi_free(allocator, owned, sizeof(*owned));
}
