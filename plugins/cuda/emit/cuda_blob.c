// SPDX-License-Identifier: Apache-2.0
//
// Writing and reading of the blob. See cuda_blob.h.
// What is read comes from a plan: every offset and count is checked before it is used.
#include "plugins/cuda/emit/cuda_blob.h"

#include <string.h>

#include "core/base/byte_reader.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

#define MAGIC 0x55435654u  // "TVCU"
#define ALIGNMENT 16

void tvi_cuda_blob_write(const tvi_cuda_blob_t* blob, tvi_byte_writer_t* w) {
  const uint32_t head[] = {MAGIC,
                           TVI_CUDA_BLOB_VERSION,
                           blob->parameter_count,
                           blob->operand_count,
                           blob->launch_count,
                           blob->argument_count,
                           blob->workspace};
  for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); ++i) tvi_byte_writer_u32(w, head[i]);
  for (uint32_t i = 0; i < blob->operand_count; ++i) {
    const tvi_cuda_blob_operand_t* operand = &blob->operands[i];
    tvi_byte_writer_u32(w, operand->dtype);
    tvi_byte_writer_u32(w, operand->rank);
    for (uint32_t d = 0; d < operand->rank; ++d) {
      tvi_byte_writer_u32(w, operand->dims[d]);
      tvi_byte_writer_u32(w, operand->strides[d]);
    }
  }
  for (uint32_t i = 0; i < blob->launch_count; ++i) {
    const tvi_cuda_launch_t* launch = &blob->launches[i];
    tvi_byte_writer_u32(w, launch->variant_count);
    tvi_byte_writer_u32(w, launch->argument_first);
    tvi_byte_writer_u32(w, launch->argument_count);
    for (uint32_t v = 0; v < launch->variant_count; ++v) {
      const tvi_cuda_variant_t* variant = &launch->variants[v];
      trivet_string_view_t name = {variant->name, strlen(variant->name)};
      tvi_byte_writer_string(w, name);
      tvi_byte_writer_u32(w, variant->block);
      tvi_byte_writer_u32(w, variant->shared_bytes);
      tvi_byte_writer_u32(w, variant->grid);
      tvi_byte_writer_u32(w, variant->alignment);
    }
  }
  for (uint32_t i = 0; i < blob->argument_count; ++i) {
    tvi_byte_writer_u32(w, blob->arguments[i].kind);
    tvi_byte_writer_u32(w, blob->arguments[i].index);
  }
  tvi_byte_writer_u32(w, blob->map_count);
  for (uint32_t i = 0; i < blob->map_count; ++i) {
    const tvi_cuda_map_t* map = &blob->maps[i];
    tvi_byte_writer_u32(w, map->operand);
    tvi_byte_writer_u32(w, map->rank);
    for (uint32_t d = 0; d < map->rank; ++d) {
      tvi_byte_writer_u32(w, map->extents[d]);
      tvi_byte_writer_u32(w, map->strides[d]);
      tvi_byte_writer_u32(w, map->box[d]);
    }
  }
  tvi_byte_writer_u64(w, blob->cubin_size);
  tvi_byte_writer_align(w, ALIGNMENT);
  tvi_byte_writer_bytes(w, blob->cubin, blob->cubin_size);
}

static trivet_status_t bad(const char* what, uint32_t number) {
  return TRIVET_STATUS(DATA_LOSS, "step of cuda.kernel: %s %u", what, number);
}

static trivet_status_t read_parameter(tvi_byte_reader_t* r, const tvi_cuda_blob_t* blob, bool any,
                                      uint32_t* out) {
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, out));
  if (*out >= blob->parameter_count && !(any && *out == TVI_CUDA_BLOB_ANY))
    return bad("there is no parameter", *out);
  return TRIVET_OK;
}

static trivet_status_t read_operand(tvi_byte_reader_t* r, const tvi_cuda_blob_t* blob,
                                    tvi_cuda_blob_operand_t* operand) {
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &operand->dtype));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &operand->rank));
  if (!tvi_dtype_is_real(operand->dtype)) return bad("bad element type", operand->dtype);
  if (operand->rank > TRIVET_MAX_RANK) return bad("bad rank", operand->rank);
  for (uint32_t d = 0; d < operand->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(read_parameter(r, blob, true, &operand->dims[d]));
    TRIVET_RETURN_IF_ERROR(read_parameter(r, blob, true, &operand->strides[d]));
  }
  return TRIVET_OK;
}

static trivet_status_t read_variant(tvi_byte_reader_t* r, const tvi_cuda_blob_t* blob,
                                    tvi_cuda_variant_t* variant) {
  trivet_string_view_t name;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_string(r, &name));
  if (name.size == 0 || name.size >= sizeof(variant->name))
    return bad("bad length of a kernel's name,", (uint32_t)name.size);
  for (size_t i = 0; i < name.size; ++i) {
    const char c = name.data[i];
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
      return bad("bad character in a kernel's name,", (uint8_t)c);
  }
  memcpy(variant->name, name.data, name.size);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &variant->block));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &variant->shared_bytes));
  TRIVET_RETURN_IF_ERROR(read_parameter(r, blob, false, &variant->grid));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &variant->alignment));
  if (variant->block == 0 || variant->block > 1024) return bad("bad block of", variant->block);
  if (variant->shared_bytes > 1u << 20) return bad("bad shared memory,", variant->shared_bytes);
  if (variant->alignment == 0 || variant->alignment > 16)
    return bad("bad alignment", variant->alignment);
  return TRIVET_OK;
}

static trivet_status_t read_launch(tvi_byte_reader_t* r, const tvi_cuda_blob_t* blob,
                                   tvi_cuda_launch_t* launch) {
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &launch->variant_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &launch->argument_first));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &launch->argument_count));
  if (launch->variant_count == 0 || launch->variant_count > 2)
    return bad("bad number of variants,", launch->variant_count);
  if (launch->argument_first > blob->argument_count ||
      launch->argument_count > blob->argument_count - launch->argument_first)
    return bad("arguments end after", launch->argument_count);
  for (uint32_t v = 0; v < launch->variant_count; ++v)
    TRIVET_RETURN_IF_ERROR(read_variant(r, blob, &launch->variants[v]));
  if (launch->variants[launch->variant_count - 1].alignment != 1)
    return bad("the last variant asks for an alignment of",
               launch->variants[launch->variant_count - 1].alignment);
  return TRIVET_OK;
}

static trivet_status_t check_argument(const tvi_cuda_blob_t* blob,
                                      const tvi_cuda_argument_t* argument) {
  if (argument->kind > TVI_CUDA_ARGUMENT_MAP) return bad("bad kind of argument", argument->kind);
  const uint32_t count = argument->kind == TVI_CUDA_ARGUMENT_OPERAND ? blob->operand_count
                         : argument->kind == TVI_CUDA_ARGUMENT_MAP   ? blob->map_count
                                                                     : blob->parameter_count;
  if (argument->index >= count) return bad("an argument refers to", argument->index);
  return TRIVET_OK;
}

static trivet_status_t read_map(tvi_byte_reader_t* r, const tvi_cuda_blob_t* blob,
                                tvi_cuda_map_t* map) {
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &map->operand));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &map->rank));
  if (map->operand >= blob->operand_count) return bad("a tensor map of operand", map->operand);
  if (map->rank == 0 || map->rank > TVI_CUDA_MAP_RANK)
    return bad("a tensor map of rank", map->rank);
  for (uint32_t d = 0; d < map->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(read_parameter(r, blob, false, &map->extents[d]));
    TRIVET_RETURN_IF_ERROR(read_parameter(r, blob, false, &map->strides[d]));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &map->box[d]));
    if (map->box[d] == 0 || map->box[d] > 256)
      return bad("a tensor map with a box of", map->box[d]);
  }
  return TRIVET_OK;
}

// Maps stand behind the arguments that name them, so their number is checked afterwards.
static trivet_status_t read_maps(tvi_byte_reader_t* r, uint32_t version, tvi_arena_t* arena,
                                 tvi_cuda_blob_t* blob) {
  if (version >= 2) TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &blob->map_count));
  if (blob->map_count > tvi_byte_reader_remaining(r) / 8)
    return bad("too many tensor maps,", blob->map_count);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)blob->map_count + 1,
                                                      sizeof(*blob->maps), &blob->maps));
  for (uint32_t i = 0; i < blob->map_count; ++i)
    TRIVET_RETURN_IF_ERROR(read_map(r, blob, &blob->maps[i]));
  for (uint32_t i = 0; i < blob->argument_count; ++i)
    TRIVET_RETURN_IF_ERROR(check_argument(blob, &blob->arguments[i]));
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_blob_read(const uint8_t* bytes, uint64_t size, tvi_arena_t* arena,
                                   tvi_cuda_blob_t* out_blob) {
  tvi_byte_reader_t r = tvi_byte_reader_make(bytes, size, "step of cuda.kernel");
  tvi_cuda_blob_t blob;
  memset(&blob, 0, sizeof(blob));
  uint32_t magic, version;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &magic));
  if (magic != MAGIC) return bad("bad magic", magic);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &version));
  if (version == 0 || version > TVI_CUDA_BLOB_VERSION) return bad("unknown version", version);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.parameter_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.operand_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.launch_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.argument_count));
  // Each of them takes bytes: counts beyond what is left are refused before memory is taken.
  const uint64_t left = tvi_byte_reader_remaining(&r);
  if (blob.operand_count > left / 8) return bad("too many operands,", blob.operand_count);
  if (blob.launch_count > left / 12 || blob.launch_count > TVI_CUDA_BLOB_MAX_LAUNCHES)
    return bad("too many launches,", blob.launch_count);
  if (blob.argument_count > left / 8) return bad("too many arguments,", blob.argument_count);
  TRIVET_RETURN_IF_ERROR(read_parameter(&r, &blob, false, &blob.workspace));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)blob.operand_count + 1,
                                                      sizeof(*blob.operands), &blob.operands));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)blob.launch_count + 1,
                                                      sizeof(*blob.launches), &blob.launches));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)blob.argument_count + 1,
                                                      sizeof(*blob.arguments), &blob.arguments));
  for (uint32_t i = 0; i < blob.operand_count; ++i)
    TRIVET_RETURN_IF_ERROR(read_operand(&r, &blob, &blob.operands[i]));
  for (uint32_t i = 0; i < blob.launch_count; ++i)
    TRIVET_RETURN_IF_ERROR(read_launch(&r, &blob, &blob.launches[i]));
  for (uint32_t i = 0; i < blob.argument_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.arguments[i].kind));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&r, &blob.arguments[i].index));
  }
  TRIVET_RETURN_IF_ERROR(read_maps(&r, version, arena, &blob));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(&r, &blob.cubin_size));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_align(&r, ALIGNMENT));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&r, blob.cubin_size, &blob.cubin));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_expect_end(&r));
  *out_blob = blob;
  return TRIVET_OK;
}
