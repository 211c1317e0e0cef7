// SPDX-License-Identifier: Apache-2.0
//
// See code_cache.h. A build has some hundred entries: they are searched one by one.
// It lives as long as one build and decides nothing: equal requests get the same bytes.
#include "core/target/code_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "core/base/status.h"

void tvi_code_cache_init(tvi_code_cache_t* cache, trivet_allocator_t allocator) {
  cache->allocator = allocator;
  tvi_vector_init(&cache->items, allocator);
  cache->is_collecting = false;
  tvi_vector_init(&cache->requests, allocator);
}

void tvi_code_cache_deinit(tvi_code_cache_t* cache) {
  for (size_t i = 0; i < cache->items.count; ++i)
    tvi_free(cache->allocator, cache->items.data[i].data, cache->items.data[i].size);
  tvi_vector_deinit(&cache->items);
  tvi_vector_deinit(&cache->requests);
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

trivet_status_t tvi_code_cache_request(tvi_code_cache_t* cache, tvi_hash128_t key,
                                       tvi_code_make_t make, const void* self) {
  for (size_t i = 0; i < cache->requests.count; ++i) {
    if (tvi_hash128_equal(cache->requests.data[i].key, key)) return TRIVET_OK;
  }
  tvi_code_request_t request = {key, make, self, NULL, 0};
  return tvi_vector_push(&cache->requests, request);
}

typedef struct making_s {
  tvi_code_cache_t* cache;
  atomic_size_t next;
} making_t;

// Some take a hundred times as long as others: each thread takes the next when it is done.
static void make_some(void* argument, uint32_t index, uint32_t count) {
  (void)index, (void)count;
  making_t* making = (making_t*)argument;
  tvi_code_cache_t* cache = making->cache;
  for (;;) {
    size_t i = atomic_fetch_add(&making->next, 1);
    if (i >= cache->requests.count) return;
    tvi_code_request_t* request = &cache->requests.data[i];
    trivet_status_free(
        request->make(request->self, cache->allocator, &request->data, &request->size));
  }
}

trivet_status_t tvi_code_cache_make_all(tvi_code_cache_t* cache, trivet_executor_t* executor) {
  making_t making;
  making.cache = cache;
  atomic_init(&making.next, 0);
  cache->is_collecting = false;
  if (executor && cache->requests.count > 1) {
    uint32_t count = executor->api->thread_count(executor);
    if (count > cache->requests.count) count = (uint32_t)cache->requests.count;
    executor->api->parallel(executor, count, make_some, &making);
  } else {
    make_some(&making, 0, 1);
  }
  trivet_status_t status = TRIVET_OK;
  for (size_t i = 0; i < cache->requests.count; ++i) {
    tvi_code_request_t* request = &cache->requests.data[i];
    if (!request->data) continue;
    if (!status) status = tvi_code_cache_add(cache, request->key, request->data, request->size);
    tvi_free(cache->allocator, request->data, request->size);
  }
  cache->requests.count = 0;
  return status;
}
