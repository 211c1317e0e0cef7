// SPDX-License-Identifier: Apache-2.0
//
// See code_cache.h. A build has some hundred entries: they are searched one by one.
// It lives as long as one build and decides nothing: equal requests get equal code.
#include "core/target/code_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/file.h"
#include "core/base/status.h"

void tvi_code_cache_init(tvi_code_cache_t* cache, trivet_allocator_t allocator) {
  cache->allocator = allocator;
  tvi_vector_init(&cache->items, allocator);
  cache->is_collecting = cache->is_trying = false;
  tvi_vector_init(&cache->requests, allocator);
}

void tvi_code_cache_deinit(tvi_code_cache_t* cache) {
  for (size_t i = 0; i < cache->items.count; ++i)
    tvi_free(cache->allocator, cache->items.data[i].data, cache->items.data[i].size);
  tvi_vector_deinit(&cache->items);
  tvi_vector_deinit(&cache->requests);
}

static tvi_cached_code_t* find(const tvi_code_cache_t* cache, tvi_hash128_t key) {
  for (size_t i = 0; i < cache->items.count; ++i) {
    if (tvi_hash128_equal(cache->items.data[i].key, key)) return &cache->items.data[i];
  }
  return NULL;
}

const tvi_cached_code_t* tvi_code_cache_find(tvi_code_cache_t* cache, tvi_hash128_t key) {
  tvi_cached_code_t* item = find(cache, key);
  if (item && !cache->is_collecting && !cache->is_trying) item->is_used = true;
  return item;
}

static trivet_status_t add(tvi_code_cache_t* cache, tvi_hash128_t key, const void* data,
                           size_t size, bool is_used, bool is_kept) {
  tvi_cached_code_t item = {key, NULL, size, is_used, is_kept};
  TRIVET_RETURN_IF_ERROR(tvi_alloc(cache->allocator, size, &item.data));
  if (size) memcpy(item.data, data, size);
  trivet_status_t status = tvi_vector_push(&cache->items, item);
  if (status) tvi_free(cache->allocator, item.data, size);
  return status;
}

trivet_status_t tvi_code_cache_add(tvi_code_cache_t* cache, tvi_hash128_t key, const void* data,
                                   size_t size) {
  // By whoever needs it now; what was requested is not there yet.
  return add(cache, key, data, size, !cache->is_trying, false);
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
    if (!status) status = add(cache, request->key, request->data, request->size, false, false);
    tvi_free(cache->allocator, request->data, request->size);
  }
  cache->requests.count = 0;
  return status;
}

// --- Files -------------------------------------------------------------------------------

// "TVCC", version, then per item: key, size, hash of the bytes, the bytes.
#define FILE_MAGIC 0x43435654u
#define FILE_VERSION 1u

trivet_status_t tvi_code_cache_load(tvi_code_cache_t* cache, const char* path) {
  if (!tvi_file_exists(path)) return TRIVET_OK;
  char* data = NULL;
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_read(path, cache->allocator, &data, &size));
  tvi_byte_reader_t reader = tvi_byte_reader_make(data, size, path);
  uint32_t magic = 0, version = 0;
  trivet_status_t end = tvi_byte_reader_u32(&reader, &magic);
  if (!end) end = tvi_byte_reader_u32(&reader, &version);
  trivet_status_t status = TRIVET_OK;
  while (!end && !status && magic == FILE_MAGIC && version == FILE_VERSION) {
    tvi_hash128_t key, hash;
    uint64_t bytes = 0;
    const uint8_t* from = NULL;
    end = tvi_byte_reader_u64(&reader, &key.low);
    if (!end) end = tvi_byte_reader_u64(&reader, &key.high);
    if (!end) end = tvi_byte_reader_u64(&reader, &bytes);
    if (!end) end = tvi_byte_reader_u64(&reader, &hash.low);
    if (!end) end = tvi_byte_reader_u64(&reader, &hash.high);
    if (!end) end = tvi_byte_reader_bytes(&reader, bytes, &from);
    if (end || !tvi_hash128_equal(tvi_hash128(from, bytes, 0), hash)) break;
    tvi_cached_code_t* known = find(cache, key);
    if (known) {
      known->is_kept = true;
    } else {
      status = add(cache, key, from, bytes, false, true);
    }
  }
  trivet_status_free(end);
  tvi_free(cache->allocator, data, size + 1);
  return status;
}

static trivet_status_t write_items(const tvi_code_cache_t* cache, bool keeps, const char* path) {
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, cache->allocator);
  tvi_byte_writer_u32(&writer, FILE_MAGIC);
  tvi_byte_writer_u32(&writer, FILE_VERSION);
  for (size_t i = 0; i < cache->items.count; ++i) {
    const tvi_cached_code_t* item = &cache->items.data[i];
    if (!item->is_used && !(keeps && item->is_kept)) continue;
    const tvi_hash128_t hash = tvi_hash128(item->data, item->size, 0);
    tvi_byte_writer_u64(&writer, item->key.low);
    tvi_byte_writer_u64(&writer, item->key.high);
    tvi_byte_writer_u64(&writer, item->size);
    tvi_byte_writer_u64(&writer, hash.low);
    tvi_byte_writer_u64(&writer, hash.high);
    tvi_byte_writer_bytes(&writer, item->data, item->size);
  }
  trivet_status_t status = tvi_byte_writer_status(&writer);
  if (!status)
    status = tvi_file_write(path, tvi_byte_writer_data(&writer), tvi_byte_writer_size(&writer),
                            cache->allocator);
  tvi_byte_writer_deinit(&writer);
  return status;
}

trivet_status_t tvi_code_cache_save(tvi_code_cache_t* cache, const char* path) {
  int lock = tvi_directory_lock(path);
  trivet_status_t status = tvi_code_cache_load(cache, path);
  if (!status) status = write_items(cache, true, path);
  tvi_directory_unlock(lock);
  return status;
}

trivet_status_t tvi_code_cache_save_used(const tvi_code_cache_t* cache, const char* path) {
  return write_items(cache, false, path);
}
