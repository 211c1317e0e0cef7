// SPDX-License-Identifier: Apache-2.0
//
// See code_cache.h. A build has some hundred entries: they are searched one by one.
// It lives as long as one build and decides nothing: equal requests get the same bytes.
#include "core/target/code_cache.h"

#include "core/base/status.h"

void tvi_code_cache_init(tvi_code_cache_t* cache, trivet_allocator_t allocator) {
  cache->allocator = allocator;
  tvi_vector_init(&cache->items, allocator);
}

void tvi_code_cache_deinit(tvi_code_cache_t* cache) {
  for (size_t i = 0; i < cache->items.count; ++i)
    tvi_free(cache->allocator, cache->items.data[i].data, cache->items.data[i].size);
  tvi_vector_deinit(&cache->items);
}

const tvi_cached_code_t* tvi_code_cache_find(const tvi_code_cache_t* cache, tvi_hash128_t key) {
  for (size_t i = 0; i < cache->items.count; ++i)
    if (tvi_hash128_equal(cache->items.data[i].key, key)) return &cache->items.data[i];
  return NULL;
}

trivet_status_t tvi_code_cache_add(tvi_code_cache_t* cache, tvi_hash128_t key, const void* data,
                                   size_t size) {
  tvi_cached_code_t item = {key, NULL, size};
  TRIVET_RETURN_IF_ERROR(tvi_alloc(cache->allocator, size, &item.data));
  if (size) memcpy(item.data, data, size);
  trivet_status_t status = tvi_vector_push(&cache->items, item);
  if (status) tvi_free(cache->allocator, item.data, size);
  return status;
}
