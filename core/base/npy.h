// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npy and .npz files, for tools and tests (not part of the runtime library: inflating
// needs zlib). Writes version 1.0 headers and stored archives; reads versions 1 to 3, stored and
// deflated members. Hostile input gives a status.

#ifndef TRIVET_CORE_BASE_NPY_H_
#define TRIVET_CORE_BASE_NPY_H_

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_NPY_MAX_RANK 32

// An array in C order. `data` and `name` are borrowed from the arena or buffer they were read from.
typedef struct tvi_npy_array_t {
  trivet_string_view_t name;  // member name without ".npy"; empty for a lone .npy
  trivet_dtype_t dtype;
  uint32_t rank;
  int64_t shape[TVI_NPY_MAX_RANK];
  const void* data;
  size_t size;  // bytes
} tvi_npy_array_t;

// Reads .npy bytes. `array->data` points into `bytes` (any alignment) except for big-endian and
// Fortran-order arrays, which are rewritten into the arena. UNIMPLEMENTED for types we have not
// (text and objects among them). bf16 and 8-bit floats, which NumPy has not, are read from raw
// types
// ('|V2', '|V1') as u16 and u8.
trivet_status_t tvi_npy_parse(const void* bytes, size_t size, tvi_arena_t* arena,
                              tvi_npy_array_t* out_array) TRIVET_MUST_USE;

// Reads an .npz archive held in memory: all members, in archive order; the list and inflated data
// lie in the arena, stored data is borrowed from `bytes`. Checks every CRC.
trivet_status_t tvi_npz_parse(const void* bytes, size_t size, tvi_arena_t* arena,
                              tvi_npy_array_t** out_arrays, size_t* out_count) TRIVET_MUST_USE;

// Reads either kind of file, told apart by its first bytes. All data lies in the arena.
trivet_status_t tvi_npy_read_file(const char* path, tvi_arena_t* arena,
                                  tvi_npy_array_t** out_arrays, size_t* out_count) TRIVET_MUST_USE;

// Writes one array. bf16 is written as '<u2', 8-bit floats as '|u1'; types below 8 bits and strings
// are UNIMPLEMENTED. `array->size` must be the storage size of its shape.
trivet_status_t tvi_npy_write(const tvi_npy_array_t* array, trivet_sink_t sink,
                              trivet_allocator_t allocator) TRIVET_MUST_USE;
// Writes a stored (uncompressed) archive with fixed dates: same arrays, same bytes. Below 4 GiB.
trivet_status_t tvi_npz_write(const tvi_npy_array_t* arrays, size_t count, trivet_sink_t sink,
                              trivet_allocator_t allocator) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_NPY_H_
