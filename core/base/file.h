// SPDX-License-Identifier: Apache-2.0
//
// Files: mapped read-only for models and plans, read whole for small texts, written atomically
// through a sink. Paths are NUL-terminated bytes. Errors name the path and the system's reason;
// a missing file is NOT_FOUND.

#ifndef TRIVET_CORE_BASE_FILE_H_
#define TRIVET_CORE_BASE_FILE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/refcount.h"
#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// A read-only view of a file, or of memory, shared by reference count. Immutable; thread-safe.
typedef struct tvi_file_mapping_t {
  tvi_object_t object;
  const uint8_t* data;  // first byte asked for; NULL when size is 0
  size_t size;
  trivet_allocator_t allocator;
  void* map_base;  // page-aligned start of what the system mapped, or NULL
  size_t map_size;
  char* path;  // owned, NUL-terminated; "" for memory
  size_t path_size;
} tvi_file_mapping_t;

// "To the end of the file."
#define TVI_FILE_TO_END UINT64_MAX

// Maps `size` bytes from `offset` (any, not only page-aligned). OUT_OF_RANGE when the file is
// shorter. The caller owns one reference.
trivet_status_t tvi_file_map(const char* path, uint64_t offset, uint64_t size,
                             trivet_allocator_t allocator,
                             tvi_file_mapping_t** out_mapping) TRIVET_MUST_USE;
// The same interface over borrowed memory, which must outlive the last reference.
trivet_status_t tvi_file_mapping_from_memory(const void* data, size_t size,
                                             trivet_allocator_t allocator,
                                             tvi_file_mapping_t** out_mapping) TRIVET_MUST_USE;
void tvi_file_mapping_retain(tvi_file_mapping_t* mapping);
// Accepts NULL.
void tvi_file_mapping_release(tvi_file_mapping_t* mapping);

// Reads a whole file. The bytes are followed by a NUL: tvi_free(allocator, *out_data, *out_size +
// 1).
trivet_status_t tvi_file_read(const char* path, trivet_allocator_t allocator, char** out_data,
                              size_t* out_size) TRIVET_MUST_USE;

// Writes a file that appears complete or not at all: bytes go to a temporary file beside it, commit
// renames it. What exists and is no regular file (a device, a pipe) is written to as it is. One
// thread at a time.
typedef struct tvi_file_writer_t tvi_file_writer_t;
trivet_status_t tvi_file_writer_open(const char* path, trivet_allocator_t allocator,
                                     tvi_file_writer_t** out_writer) TRIVET_MUST_USE;
// The sink of an open writer; dies with it.
trivet_sink_t tvi_file_writer_sink(tvi_file_writer_t* writer);
// Gives the file its name. Frees the writer in any case; on error the old file, if any, is as
// before.
trivet_status_t tvi_file_writer_commit(tvi_file_writer_t* writer) TRIVET_MUST_USE;
// Throws the bytes away and frees the writer. Accepts NULL.
void tvi_file_writer_discard(tvi_file_writer_t* writer);
// All at once.
trivet_status_t tvi_file_write(const char* path, const void* bytes, size_t size,
                               trivet_allocator_t allocator) TRIVET_MUST_USE;

bool tvi_file_exists(const char* path);
bool tvi_file_is_directory(const char* path);
// Size in bytes of a regular file.
trivet_status_t tvi_file_size(const char* path, uint64_t* out_size) TRIVET_MUST_USE;

// Names in a directory (without "." and ".."), sorted by bytes, in the arena.
trivet_status_t tvi_directory_list(const char* path, tvi_arena_t* arena,
                                   trivet_string_view_t** out_names,
                                   size_t* out_count) TRIVET_MUST_USE;

// Waits until no other holder has the lock of the directory that |path| lies in, and takes it: an
// advisory lock between processes and between threads that leaves no file behind and ends with its
// holder. Returns what to give back, or -1 where the file system knows no locks: then there is
// none, and everybody goes on.
int tvi_directory_lock(const char* path);
void tvi_directory_unlock(int lock);

// directory + "/" + name, or `name` alone when it is absolute or the directory is empty. In the
// arena, NUL-terminated.
trivet_status_t tvi_path_join(trivet_string_view_t directory, trivet_string_view_t name,
                              tvi_arena_t* arena, trivet_string_view_t* out_path) TRIVET_MUST_USE;
// What stands before the last "/" ("." when there is none, "/" for the root), and after it.
trivet_string_view_t tvi_path_directory(trivet_string_view_t path);
trivet_string_view_t tvi_path_basename(trivet_string_view_t path);
// From the last "." of the base name on, as ".onnx"; empty when there is none or it comes first.
trivet_string_view_t tvi_path_extension(trivet_string_view_t path);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_FILE_H_
