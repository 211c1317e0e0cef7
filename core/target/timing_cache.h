// SPDX-License-Identifier: Apache-2.0
//
// Timing cache: measured nanoseconds per (region signature, tactic) for one device. A text file,
// one line per entry, sorted, so that equal caches are equal files. A lock file is the same form
// with the winners of one build only.
//
//   trivet timing cache 1
//   device cpu <model> threads=2
//   <32 hex digits of the signature> cpu_onednn.convolution/1 "direct nhwc" 123456
#ifndef TRIVET_CORE_TARGET_TIMING_CACHE_H_
#define TRIVET_CORE_TARGET_TIMING_CACHE_H_

#include <stdbool.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_timing_cache_s tvi_timing_cache_t;

// |device| empty: that of the file that is loaded first.
trivet_status_t tvi_timing_cache_create(const char* device, trivet_allocator_t allocator,
                                        tvi_timing_cache_t** out_cache);
void tvi_timing_cache_destroy(tvi_timing_cache_t* cache);
// Adds the entries of a file; of two with one key the later one stays, but a time that was measured
// stays before one that is read. A missing file is NOT_FOUND.
// INCOMPATIBLE: times of another device or a later version; DATA_LOSS: not a timing cache or cut
// off, with the line.
trivet_status_t tvi_timing_cache_load(tvi_timing_cache_t* cache, const char* path);
// Into a file that others may have written meanwhile: what it has and the cache has not is kept,
// and is in the cache then too. Errors of load and of writing.
trivet_status_t tvi_timing_cache_save(tvi_timing_cache_t* cache, const char* path);
// A lock file: the fastest entry of each signature that was used.
trivet_status_t tvi_timing_cache_save_winners(const tvi_timing_cache_t* cache, const char* path);
bool tvi_timing_cache_find(const tvi_timing_cache_t* cache, const uint64_t signature[2],
                           const char* kernel, const char* tactic, double* out_nanoseconds);
// Whole nanoseconds are kept, as in the file, so that a cache decides alike before and after.
trivet_status_t tvi_timing_cache_add(tvi_timing_cache_t* cache, const uint64_t signature[2],
                                     const char* kernel, const char* tactic, double nanoseconds);
// Fastest entry of a signature; a challenger must be 3 % faster than the entry before it in
// (kernel, tactic) order. False: none.
bool tvi_timing_cache_best(const tvi_timing_cache_t* cache, const uint64_t signature[2],
                           const char** out_kernel, const char** out_tactic);

// Marks the entries of a signature as decided by.
void tvi_timing_cache_use(tvi_timing_cache_t* cache, const uint64_t signature[2]);
// Entries that were not used; |out_line|: where the first of them in file order was read, 0:
// nowhere.
size_t tvi_timing_cache_unused(const tvi_timing_cache_t* cache, unsigned* out_line);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_TARGET_TIMING_CACHE_H_
