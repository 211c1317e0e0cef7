// SPDX-License-Identifier: Apache-2.0
//
// Code that kernels generated during one build, by a hash of what it was generated from: equal
// regions are compiled once, and a file keeps it for the next build. Belongs to the build; a plan
// that is built with it has the same bytes as one that is built without, as far as compilers make
// the same bytes twice: libraries that do not (cuDNN writes addresses into its plans) are why a
// lock file has such a file beside it.
#ifndef TRIVET_CORE_TARGET_CODE_CACHE_H_
#define TRIVET_CORE_TARGET_CODE_CACHE_H_

#include "core/base/hash.h"
#include "core/base/vector.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_cached_code_s {
  tvi_hash128_t key;
  uint8_t* data;
  size_t size;
  bool is_used;  // by a step of the plan
  bool is_kept;  // read from a file
} tvi_cached_code_t;

// Makes the code of a request; on any thread, beside others. |self| is what the request gave.
typedef trivet_status_t (*tvi_code_make_t)(const void* self, trivet_allocator_t allocator,
                                           uint8_t** out_data, size_t* out_size);

typedef struct tvi_code_request_s {
  tvi_hash128_t key;
  tvi_code_make_t make;
  const void* self;
  uint8_t* data;  // what was made; NULL: nothing
  size_t size;
} tvi_code_request_t;

// One thread at a time. While it collects, kernels that find no code in it leave a request and
// write no blob: what they emit then is thrown away. All requests are made side by side
// afterwards, so that a build with many candidates uses all cores.
typedef struct tvi_code_cache_s {
  trivet_allocator_t allocator;
  TVI_VECTOR(tvi_cached_code_t) items;
  bool is_collecting;
  bool is_trying;  // what is found meanwhile is measured, not used
  TVI_VECTOR(tvi_code_request_t) requests;
} tvi_code_cache_t;

void tvi_code_cache_init(tvi_code_cache_t* cache, trivet_allocator_t allocator);
void tvi_code_cache_deinit(tvi_code_cache_t* cache);
// NULL: not there. Valid until deinit.
const tvi_cached_code_t* tvi_code_cache_find(tvi_code_cache_t* cache, tvi_hash128_t key);
// Copies the bytes.
trivet_status_t tvi_code_cache_add(tvi_code_cache_t* cache, tvi_hash128_t key, const void* data,
                                   size_t size);

// While collecting: one more to make, unless it is asked for already. |self| has to live until
// tvi_code_cache_make_all.
trivet_status_t tvi_code_cache_request(tvi_code_cache_t* cache, tvi_hash128_t key,
                                       tvi_code_make_t make, const void* self);
// Makes what was asked for, on the threads of |executor| (NULL: on this one), and ends collecting.
// What fails is not there afterwards: whoever needs it tries again and gets the reason.
trivet_status_t tvi_code_cache_make_all(tvi_code_cache_t* cache, trivet_executor_t* executor);

// Code that later builds find again: keys name everything that it was made from, compilers
// included. A file that is missing, cut off or of another version gives nothing; that is no error.
trivet_status_t tvi_code_cache_load(tvi_code_cache_t* cache, const char* path);
// What was used or read, with what is there meanwhile: builds that share the file lose nothing of
// each other's.
trivet_status_t tvi_code_cache_save(tvi_code_cache_t* cache, const char* path);
// What the plan uses and nothing else, whatever was there.
trivet_status_t tvi_code_cache_save_used(const tvi_code_cache_t* cache, const char* path);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_CODE_CACHE_H_
