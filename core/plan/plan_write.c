// SPDX-License-Identifier: Apache-2.0
//
// Plan to bytes. All sections but the weights are encoded in memory, so that offsets are known
// before the first byte goes out; the weights stream from their source to the sink. Chunk hashes
// are taken from what passes by and follow the sections. Nothing but the plan's content may reach
// the bytes: no address, no order of a hash map, no time.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/vector.h"
#include "core/plan/plan_format.h"

// Bytes on their way to the sink, hashed by chunk while a section passes.
typedef struct stream_s {
  trivet_sink_t sink;
  uint64_t position;
  uint64_t chunk_left;  // 0: no chunk is open
  tvi_hash128_state_t chunk;
  TVI_VECTOR(uint8_t) hashes;
  bool hashing;
} stream_t;

static void store_hash(tvi_hash128_t hash, uint8_t* out_bytes) {
  tvi_store_u64(out_bytes, hash.low);
  tvi_store_u64(out_bytes + 8, hash.high);
}

static trivet_status_t end_chunk(stream_t* stream) {
  uint8_t bytes[TVI_PLAN_HASH_SIZE];
  store_hash(tvi_hash128_digest(&stream->chunk), bytes);
  stream->chunk_left = 0;
  return tvi_vector_append(&stream->hashes, bytes, sizeof(bytes));
}

static trivet_status_t stream_write(stream_t* stream, const void* bytes, size_t size) {
  TRIVET_RETURN_IF_ERROR(tvi_sink_write(stream->sink, bytes, size));
  stream->position += size;
  const uint8_t* next = bytes;
  while (stream->hashing && size != 0) {
    if (stream->chunk_left == 0) {
      tvi_hash128_init(&stream->chunk, 0);
      stream->chunk_left = TVI_PLAN_CHUNK_SIZE;
    }
    size_t part = size < stream->chunk_left ? size : (size_t)stream->chunk_left;
    tvi_hash128_update(&stream->chunk, next, part);
    stream->chunk_left -= part;
    next += part;
    size -= part;
    if (stream->chunk_left == 0) TRIVET_RETURN_IF_ERROR(end_chunk(stream));
  }
  return TRIVET_OK;
}

// Zero bytes up to |offset|.
static trivet_status_t stream_pad(stream_t* stream, uint64_t offset) {
  static const uint8_t kZeros[512];
  while (stream->position < offset) {
    uint64_t left = offset - stream->position;
    TRIVET_RETURN_IF_ERROR(
        stream_write(stream, kZeros, left < sizeof(kZeros) ? (size_t)left : sizeof(kZeros)));
  }
  return TRIVET_OK;
}

static void begin_section(stream_t* stream) { stream->hashing = true; }
static trivet_status_t end_section(stream_t* stream) {
  stream->hashing = false;
  return stream->chunk_left != 0 ? end_chunk(stream) : TRIVET_OK;
}

// --- Weights -------------------------------------------------------------------------------------

trivet_status_t tvi_plan_place_weights(tvi_plan_constant_t* constants, uint32_t count,
                                       uint64_t* out_weights_size) {
  uint64_t end = 0;
  for (int pass = 0; pass < 2; ++pass) {  // nothing is changed unless all fit
    end = 0;
    for (uint32_t i = 0; i < count; ++i) {
      uint64_t offset = 0;
      if (!tvi_checked_align_up_u64(end, TVI_PLAN_WEIGHT_ALIGNMENT, &offset) ||
          !tvi_checked_add_u64(offset, constants[i].size, &end) || end > INT64_MAX / 2) {
        return TRIVET_STATUS(OUT_OF_RANGE, "plan: the weights are too large at constant %u", i);
      }
      if (pass == 1) constants[i].offset = offset;
    }
  }
  *out_weights_size = end;
  return TRIVET_OK;
}

typedef struct constant_sink_s {
  stream_t* stream;
  uint64_t left;
  uint32_t index;
} constant_sink_t;

static trivet_status_t write_constant_bytes(void* self, const void* bytes, size_t size) {
  constant_sink_t* sink = self;
  if (size > sink->left) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plan: constant %u is given %llu bytes too many",
                         sink->index, (unsigned long long)(size - sink->left));
  }
  sink->left -= size;
  return stream_write(sink->stream, bytes, size);
}

static trivet_status_t write_weights(stream_t* stream, const tvi_plan_t* plan,
                                     const tvi_plan_weight_source_t* weights) {
  uint64_t begin = stream->position;
  for (uint32_t i = 0; i < plan->constant_count; ++i) {
    const tvi_plan_constant_t* constant = &plan->constants[i];
    TRIVET_RETURN_IF_ERROR(stream_pad(stream, begin + constant->offset));
    if (constant->size == 0) continue;
    constant_sink_t self = {stream, constant->size, i};
    trivet_sink_t sink = {&self, write_constant_bytes};
    TRIVET_RETURN_IF_ERROR_ANNOTATED(weights->write(weights->self, i, sink), "constant %u", i);
    if (self.left != 0) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "plan: constant %u is given %llu bytes too few", i,
                           (unsigned long long)self.left);
    }
  }
  return TRIVET_OK;
}

// --- Metadata ------------------------------------------------------------------------------------

typedef struct writer_s {
  tvi_byte_writer_t sections[TVI_PLAN_SECTION_COUNT];  // type - 1; the weights' one stays empty
  bool present[TVI_PLAN_SECTION_COUNT];                // likewise: it is in the file
  uint32_t section_count;                              // of those
  uint32_t minor;
  tvi_byte_writer_t head;  // header and section table
  tvi_map_t strings, blobs;
  stream_t stream;
} writer_t;

static trivet_status_t encode_strings(tvi_byte_writer_t* writer, const tvi_map_t* strings) {
  tvi_byte_writer_u32(writer, (uint32_t)tvi_map_count(strings));
  uint64_t end = 0;
  size_t cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_map_next(strings, &cursor)) != NULL;) {
    trivet_string_view_t text = tvi_map_entry_key(e);
    if (text.size != 0 && memchr(text.data, 0, text.size) != NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "plan: a text contains a zero byte: '%s'", text.data);
    }
    end += text.size + 1;
    if (end > UINT32_MAX) return TRIVET_STATUS(OUT_OF_RANGE, "plan: texts beyond 4 GiB");
    tvi_byte_writer_u32(writer, (uint32_t)end);
  }
  cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_map_next(strings, &cursor)) != NULL;) {
    trivet_string_view_t text = tvi_map_entry_key(e);
    tvi_byte_writer_bytes(writer, text.data, text.size);
    tvi_byte_writer_u8(writer, 0);
  }
  return TRIVET_OK;
}

static void encode_blobs(tvi_byte_writer_t* writer, const tvi_map_t* blobs) {
  tvi_byte_writer_u32(writer, (uint32_t)tvi_map_count(blobs));
  size_t cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_map_next(blobs, &cursor)) != NULL;) {
    tvi_byte_writer_u64(writer, tvi_map_entry_key(e).size);
  }
  cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_map_next(blobs, &cursor)) != NULL;) {
    tvi_byte_writer_align(writer, TVI_PLAN_BLOB_ALIGNMENT);
    tvi_byte_writer_bytes(writer, tvi_map_entry_key(e).data, tvi_map_entry_key(e).size);
  }
}

static bool has_carried(const tvi_plan_t* plan) {
  for (uint32_t i = 0; i < plan->plugin_count; ++i) {
    if (plan->plugins[i].library_size != 0) return true;
  }
  return false;
}

static bool has_memories(const tvi_plan_t* plan) {
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    if (tvi_plan_program_has_device_memory(&plan->programs[p])) return true;
  }
  return false;
}

static bool has_costs(const tvi_plan_t* plan) {
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    const tvi_plan_program_t* program = &plan->programs[p];
    for (uint32_t i = 0; program->block_count && i < program->blocks[0].step_count; ++i) {
      if (program->blocks[0].steps[i].flops != 0) return true;
    }
  }
  return false;
}

// A plan is written as the oldest version that has what it needs.
static void choose_sections(writer_t* writer, const tvi_plan_t* plan) {
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_WEIGHTS; ++i) writer->present[i] = true;
  writer->present[TVI_PLAN_SECTION_MEMORIES - 1] = has_memories(plan);
  writer->present[TVI_PLAN_SECTION_CARRIED - 1] = has_carried(plan);
  if (has_memories(plan)) writer->minor = 1;
  if (has_carried(plan)) writer->minor = 2;
  writer->present[TVI_PLAN_SECTION_COSTS - 1] = has_costs(plan);
  if (has_costs(plan)) writer->minor = 3;
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) writer->section_count += writer->present[i];
}

static trivet_status_t encode_sections(writer_t* writer, const tvi_plan_t* plan) {
  tvi_plan_t view = *plan;  // encoding changes nothing behind it
  tvi_plan_codec_t codec;
  memset(&codec, 0, sizeof(codec));
  codec.string_numbers = &writer->strings;
  codec.blob_numbers = &writer->blobs;
  for (uint32_t type = TVI_PLAN_SECTION_INFO; type <= TVI_PLAN_SECTION_COUNT; ++type) {
    if (type == TVI_PLAN_SECTION_BLOBS || type == TVI_PLAN_SECTION_WEIGHTS) continue;
    if (!writer->present[type - 1]) continue;
    codec.writer = &writer->sections[type - 1];
    TRIVET_RETURN_IF_ERROR(tvi_plan_code_section(&codec, type, &view));
  }
  TRIVET_RETURN_IF_ERROR(
      encode_strings(&writer->sections[TVI_PLAN_SECTION_STRINGS - 1], &writer->strings));
  encode_blobs(&writer->sections[TVI_PLAN_SECTION_BLOBS - 1], &writer->blobs);
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(&writer->sections[i]));
  }
  return TRIVET_OK;
}

static uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Fills header and section table. Sizes are far from overflow: place_weights bounds the largest.
static trivet_status_t encode_head(writer_t* writer, uint64_t weights_size, uint64_t* out_offsets,
                                   uint64_t* out_hash_table) {
  tvi_byte_writer_t* head = &writer->head;
  uint64_t hashes = 0;
  uint64_t end = TVI_PLAN_HEADER_SIZE + (uint64_t)writer->section_count * TVI_PLAN_ENTRY_SIZE;
  tvi_byte_writer_bytes(head, TVI_PLAN_MAGIC, 8);
  tvi_byte_writer_u32(head, TVI_PLAN_MAJOR);
  tvi_byte_writer_u32(head, writer->minor);
  tvi_byte_writer_u64(head, 0);  // total size, below
  tvi_byte_writer_u32(head, writer->section_count);
  tvi_byte_writer_u32(head, (uint32_t)TVI_PLAN_CHUNK_SIZE);
  tvi_byte_writer_u64(head, 0);  // hash table, below
  tvi_byte_writer_u64(head, 0);
  tvi_byte_writer_align(head, TVI_PLAN_HEADER_SIZE);
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) {
    if (!writer->present[i]) continue;
    bool is_weights = i + 1 == TVI_PLAN_SECTION_WEIGHTS;
    uint64_t size = is_weights ? weights_size : tvi_byte_writer_size(&writer->sections[i]);
    out_offsets[i] = align_up(end, is_weights ? TVI_PLAN_WEIGHTS_PAGE : TVI_PLAN_SECTION_ALIGNMENT);
    end = out_offsets[i] + size;
    tvi_byte_writer_u32(head, i + 1);
    // Who does not know what is carried can load the plugin from elsewhere; costs are for people.
    bool may_skip = i + 1 == TVI_PLAN_SECTION_CARRIED || i + 1 == TVI_PLAN_SECTION_COSTS;
    tvi_byte_writer_u32(head, may_skip ? 0 : TVI_PLAN_SECTION_MUST_UNDERSTAND);
    tvi_byte_writer_u64(head, out_offsets[i]);
    tvi_byte_writer_u64(head, size);
    tvi_byte_writer_u64(head, hashes);
    hashes += size / TVI_PLAN_CHUNK_SIZE + (size % TVI_PLAN_CHUNK_SIZE != 0);
  }
  *out_hash_table = align_up(end, TVI_PLAN_SECTION_ALIGNMENT);
  uint64_t total = *out_hash_table + (hashes + 1) * TVI_PLAN_HASH_SIZE;
  tvi_byte_writer_patch_u64(head, TVI_PLAN_OFFSET_TOTAL_SIZE, total);
  tvi_byte_writer_patch_u64(head, TVI_PLAN_OFFSET_HASH_TABLE, *out_hash_table);
  tvi_byte_writer_patch_u64(head, TVI_PLAN_OFFSET_HASH_COUNT, hashes);
  return tvi_byte_writer_status(head);
}

static trivet_status_t write_all(writer_t* writer, const tvi_plan_t* plan,
                                 const tvi_plan_weight_source_t* weights) {
  stream_t* stream = &writer->stream;
  uint64_t offsets[TVI_PLAN_SECTION_COUNT];
  uint64_t hash_table = 0;
  TRIVET_RETURN_IF_ERROR(encode_sections(writer, plan));
  TRIVET_RETURN_IF_ERROR(encode_head(writer, plan->weights_size, offsets, &hash_table));
  TRIVET_RETURN_IF_ERROR(stream_write(stream, tvi_byte_writer_data(&writer->head),
                                      tvi_byte_writer_size(&writer->head)));
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) {
    if (!writer->present[i]) continue;
    TRIVET_RETURN_IF_ERROR(stream_pad(stream, offsets[i]));
    begin_section(stream);
    if (i + 1 == TVI_PLAN_SECTION_WEIGHTS) {
      TRIVET_RETURN_IF_ERROR(write_weights(stream, plan, weights));
    } else {
      TRIVET_RETURN_IF_ERROR(stream_write(stream, tvi_byte_writer_data(&writer->sections[i]),
                                          tvi_byte_writer_size(&writer->sections[i])));
    }
    TRIVET_RETURN_IF_ERROR(end_section(stream));
  }
  TRIVET_RETURN_IF_ERROR(stream_pad(stream, hash_table));
  TRIVET_RETURN_IF_ERROR(stream_write(stream, stream->hashes.data, stream->hashes.count));
  tvi_hash128_state_t root;
  tvi_hash128_init(&root, 0);
  tvi_hash128_update(&root, tvi_byte_writer_data(&writer->head),
                     tvi_byte_writer_size(&writer->head));
  tvi_hash128_update(&root, stream->hashes.data, stream->hashes.count);
  uint8_t bytes[TVI_PLAN_HASH_SIZE];
  store_hash(tvi_hash128_digest(&root), bytes);
  return stream_write(stream, bytes, sizeof(bytes));
}

trivet_status_t tvi_plan_write(const tvi_plan_t* plan, const tvi_plan_weight_source_t* weights,
                               trivet_allocator_t allocator, trivet_sink_t sink) {
  tvi_plan_t placed = *plan;
  tvi_plan_constant_t* constants = NULL;
  if (plan->constant_count != 0 && (weights == NULL || weights->write == NULL)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plan: no source of the weights");
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array(allocator, plan->constant_count, sizeof(*constants), &constants));
  if (plan->constant_count != 0) {
    memcpy(constants, plan->constants, plan->constant_count * sizeof(*constants));
  }
  placed.constants = constants;
  placed.weights = NULL;

  writer_t writer;
  memset(&writer, 0, sizeof(writer));
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) {
    tvi_byte_writer_init(&writer.sections[i], allocator);
  }
  tvi_byte_writer_init(&writer.head, allocator);
  tvi_map_init(&writer.strings, allocator);
  tvi_map_init(&writer.blobs, allocator);
  tvi_vector_init(&writer.stream.hashes, allocator);
  writer.stream.sink = sink;

  trivet_status_t status =
      tvi_plan_place_weights(constants, plan->constant_count, &placed.weights_size);
  if (status == NULL) status = tvi_plan_verify(&placed, allocator);
  if (status == NULL) {
    choose_sections(&writer, plan);
    status = write_all(&writer, &placed, weights);
  }

  tvi_vector_deinit(&writer.stream.hashes);
  tvi_map_deinit(&writer.blobs);
  tvi_map_deinit(&writer.strings);
  tvi_byte_writer_deinit(&writer.head);
  for (uint32_t i = 0; i < TVI_PLAN_SECTION_COUNT; ++i) {
    tvi_byte_writer_deinit(&writer.sections[i]);
  }
  tvi_free_array(allocator, constants, plan->constant_count, sizeof(*constants));
  return status;
}
