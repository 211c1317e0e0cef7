// SPDX-License-Identifier: Apache-2.0
//
// Code that kernels generated during one build, by a hash of what it was generated from: equal
// regions are compiled once. Belongs to the build; a plan that is built with it has the same bytes
// as one that is built without.
#ifndef TRIVET_CORE_TARGET_CODE_CACHE_H_
#define TRIVET_CORE_TARGET_CODE_CACHE_H_

#include "core/base/hash.h"
#include "core/base/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_cached_code_s {
  tvi_hash128_t key;
  uint8_t* data;
  size_t size;
} tvi_cached_code_t;

// One thread at a time.
typedef struct tvi_code_cache_s {
  trivet_allocator_t allocator;
  TVI_VECTOR(tvi_cached_code_t) items;
} tvi_code_cache_t;

void tvi_code_cache_init(tvi_code_cache_t* cache, trivet_allocator_t allocator);
void tvi_code_cache_deinit(tvi_code_cache_t* cache);
// NULL: not there. Valid until deinit.
const tvi_cached_code_t* tvi_code_cache_find(const tvi_code_cache_t* cache, tvi_hash128_t key);
// Copies the bytes.
trivet_status_t tvi_code_cache_add(tvi_code_cache_t* cache, tvi_hash128_t key, const void* data,
                                   size_t size);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_CODE_CACHE_H_
