// SPDX-License-Identifier: Apache-2.0
//
// The timing cache in memory is a sorted array of entries, its file the same as text.
// What a file says is input from outside: every line is checked before it counts.
#include "core/target/timing_cache.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/vector.h"

#define NAME "trivet timing cache "
#define HEADER NAME "1"
#define CHALLENGER 0.97  // a later entry must beat an earlier one by 3 %

typedef struct entry_s {
  uint64_t signature[2];
  const char* kernel;
  const char* tactic;
  double nanoseconds;  // whole
  unsigned line;       // of the file that it was read from; 0: measured now
  bool used;
} entry_t;

struct tvi_timing_cache_s {
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  const char* device;
  TVI_VECTOR(entry_t) entries;  // sorted
};

static int compare(const entry_t* a, const entry_t* b) {
  for (int i = 0; i < 2; ++i) {
    if (a->signature[i] != b->signature[i]) return a->signature[i] < b->signature[i] ? -1 : 1;
  }
  int order = strcmp(a->kernel, b->kernel);
  return order ? order : strcmp(a->tactic, b->tactic);
}

// First entry that is not less than |key|.
static size_t lower_bound(const tvi_timing_cache_t* cache, const entry_t* key) {
  size_t low = 0, high = cache->entries.count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (compare(&cache->entries.data[middle], key) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static trivet_status_t copy_text(tvi_timing_cache_t* cache, const char* text, size_t size,
                                 const char** out_text) {
  trivet_string_view_t view = {text, size}, kept;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&cache->arena, view, &kept));
  *out_text = kept.data;
  return TRIVET_OK;
}

trivet_status_t tvi_timing_cache_create(const char* device, trivet_allocator_t allocator,
                                        tvi_timing_cache_t** out_cache) {
  tvi_timing_cache_t* cache = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*cache), &cache));
  cache->allocator = allocator;
  tvi_arena_init(&cache->arena, allocator, 1 << 14);
  tvi_vector_init(&cache->entries, allocator);
  trivet_status_t status = copy_text(cache, device, strlen(device), &cache->device);
  if (status) {
    tvi_timing_cache_destroy(cache);
    return status;
  }
  *out_cache = cache;
  return TRIVET_OK;
}

void tvi_timing_cache_destroy(tvi_timing_cache_t* cache) {
  if (!cache) return;
  trivet_allocator_t allocator = cache->allocator;
  tvi_vector_deinit(&cache->entries);
  tvi_arena_deinit(&cache->arena);
  tvi_free(allocator, cache, sizeof(*cache));
}

// A measured time (line 0) replaces one that is there; a read one only one that was read.
static trivet_status_t insert(tvi_timing_cache_t* cache, const uint64_t signature[2],
                              const char* kernel, size_t kernel_size, const char* tactic,
                              size_t tactic_size, double nanoseconds, unsigned line) {
  entry_t entry;
  memset(&entry, 0, sizeof(entry));
  entry.signature[0] = signature[0];
  entry.signature[1] = signature[1];
  entry.nanoseconds = (double)(int64_t)(nanoseconds + 0.5);
  entry.line = line;
  TRIVET_RETURN_IF_ERROR(copy_text(cache, kernel, kernel_size, &entry.kernel));
  TRIVET_RETURN_IF_ERROR(copy_text(cache, tactic, tactic_size, &entry.tactic));
  size_t at = lower_bound(cache, &entry);
  if (at < cache->entries.count && compare(&cache->entries.data[at], &entry) == 0) {
    entry_t* there = &cache->entries.data[at];
    if (line != 0 && there->line == 0) return TRIVET_OK;
    there->nanoseconds = entry.nanoseconds;
    there->line = line;
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&cache->entries, 1));
  memmove(cache->entries.data + at + 1, cache->entries.data + at,
          (cache->entries.count - at) * sizeof(entry));
  cache->entries.data[at] = entry;
  ++cache->entries.count;
  return TRIVET_OK;
}

trivet_status_t tvi_timing_cache_add(tvi_timing_cache_t* cache, const uint64_t signature[2],
                                     const char* kernel, const char* tactic, double nanoseconds) {
  return insert(cache, signature, kernel, strlen(kernel), tactic, strlen(tactic), nanoseconds, 0);
}

void tvi_timing_cache_use(tvi_timing_cache_t* cache, const uint64_t signature[2]) {
  entry_t key = {{signature[0], signature[1]}, "", "", 0, 0, false};
  for (size_t i = lower_bound(cache, &key); i < cache->entries.count; ++i) {
    entry_t* entry = &cache->entries.data[i];
    if (entry->signature[0] != signature[0] || entry->signature[1] != signature[1]) break;
    entry->used = true;
  }
}

size_t tvi_timing_cache_unused(const tvi_timing_cache_t* cache, unsigned* out_line) {
  size_t count = 0;
  *out_line = 0;
  for (size_t i = 0; i < cache->entries.count; ++i) {
    const entry_t* entry = &cache->entries.data[i];
    if (entry->used) continue;
    if (count++ == 0 || entry->line < *out_line) *out_line = entry->line;
  }
  return count;
}

bool tvi_timing_cache_find(const tvi_timing_cache_t* cache, const uint64_t signature[2],
                           const char* kernel, const char* tactic, double* out_nanoseconds) {
  entry_t key = {{signature[0], signature[1]}, kernel, tactic, 0, 0, false};
  size_t at = lower_bound(cache, &key);
  if (at == cache->entries.count || compare(&cache->entries.data[at], &key) != 0) return false;
  *out_nanoseconds = cache->entries.data[at].nanoseconds;
  return true;
}

bool tvi_timing_cache_best(const tvi_timing_cache_t* cache, const uint64_t signature[2],
                           const char** out_kernel, const char** out_tactic) {
  entry_t key = {{signature[0], signature[1]}, "", "", 0, 0, false};
  const entry_t* best = NULL;
  for (size_t i = lower_bound(cache, &key); i < cache->entries.count; ++i) {
    const entry_t* entry = &cache->entries.data[i];
    if (entry->signature[0] != signature[0] || entry->signature[1] != signature[1]) break;
    if (!best || entry->nanoseconds < best->nanoseconds * CHALLENGER) best = entry;
  }
  if (!best) return false;
  *out_kernel = best->kernel;
  *out_tactic = best->tactic;
  return true;
}

// One line of the file: signature, kernel, "tactic", nanoseconds.
static trivet_status_t parse_line(tvi_timing_cache_t* cache, const char* line, size_t size,
                                  const char* path, unsigned number) {
  char text[512];
  if (size >= sizeof(text))
    return TRIVET_STATUS(DATA_LOSS, "%s:%u: line of %zu bytes", path, number, size);
  memcpy(text, line, size);
  text[size] = 0;
  uint64_t signature[2];
  char kernel[160];
  int at = 0;
  if (sscanf(text, "%16" SCNx64 "%16" SCNx64 " %159s \"%n", &signature[0], &signature[1], kernel,
             &at) != 3 ||
      at == 0) {
    return TRIVET_STATUS(DATA_LOSS, "%s:%u: not an entry of a timing cache", path, number);
  }
  char* tactic = text + at;
  char* end = strchr(tactic, '"');
  char* rest = NULL;
  double time = end ? strtod(end + 1, &rest) : -1;
  if (!end || rest == end + 1 || !(time >= 0) || time > 1e18) {
    return TRIVET_STATUS(DATA_LOSS, "%s:%u: not an entry of a timing cache", path, number);
  }
  return insert(cache, signature, kernel, strlen(kernel), tactic, (size_t)(end - tactic), time,
                number);
}

static trivet_status_t parse(tvi_timing_cache_t* cache, const char* data, size_t size,
                             const char* path) {
  unsigned number = 0;
  for (const char *line = data, *end = data + size; line < end;) {
    const char* stop = (const char*)memchr(line, '\n', (size_t)(end - line));
    ++number;
    // The end of a number may be missing as well, which nothing else would tell.
    bool cut = !stop;
    if (cut) stop = end;
    size_t length = (size_t)(stop - line);
    if (number == 1) {
      if (length != strlen(HEADER) || memcmp(line, HEADER, length) != 0) {
        size_t known = strlen(NAME), digits = 0;
        while (known + digits < length && isdigit((unsigned char)line[known + digits])) ++digits;
        if (!cut && digits != 0 && known + digits == length && memcmp(line, NAME, known) == 0) {
          return TRIVET_STATUS(INCOMPATIBLE, "%s is a timing cache of version %.*s, this reads 1",
                               path, (int)(length - known), line + known);
        }
        return TRIVET_STATUS(DATA_LOSS, "%s: not a timing cache (the first line is not \"%s\")",
                             path, HEADER);
      }
    } else if (cut) {
      return TRIVET_STATUS(DATA_LOSS, "%s:%u: the file is cut off", path, number);
    } else if (number == 2) {
      if (length < 7 || memcmp(line, "device ", 7) != 0)
        return TRIVET_STATUS(DATA_LOSS, "%s:2: no device line", path);
      // Without a device of one's own, what a file locks is taken as it is.
      if (!*cache->device) {
        TRIVET_RETURN_IF_ERROR(copy_text(cache, line + 7, length - 7, &cache->device));
      }
      if (length - 7 != strlen(cache->device) || memcmp(line + 7, cache->device, length - 7) != 0) {
        return TRIVET_STATUS(INCOMPATIBLE, "%s holds times of device \"%.*s\", this is \"%s\"",
                             path, (int)(length - 7), line + 7, cache->device);
      }
    } else if (length) {
      TRIVET_RETURN_IF_ERROR(parse_line(cache, line, length, path, number));
    }
    line = stop + 1;
  }
  return number >= 2 ? TRIVET_OK
                     : TRIVET_STATUS(DATA_LOSS, "%s: not a timing cache: %u lines", path, number);
}

trivet_status_t tvi_timing_cache_load(tvi_timing_cache_t* cache, const char* path) {
  char* data = NULL;
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_read(path, cache->allocator, &data, &size));
  trivet_status_t status = parse(cache, data, size, path);
  tvi_free(cache->allocator, data, size + 1);
  return status;
}

static trivet_status_t save(const tvi_timing_cache_t* cache, const char* path, bool winners) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, cache->allocator);
  tvi_string_builder_appendf(&text, HEADER "\ndevice %s\n", cache->device);
  for (size_t i = 0; i < cache->entries.count; ++i) {
    const entry_t* entry = &cache->entries.data[i];
    const char *kernel = NULL, *tactic = NULL;
    if (winners &&
        (!entry->used || (tvi_timing_cache_best(cache, entry->signature, &kernel, &tactic) &&
                          (kernel != entry->kernel || tactic != entry->tactic)))) {
      continue;
    }
    tvi_string_builder_appendf(&text, "%016" PRIx64 "%016" PRIx64 " %s \"%s\" %.0f\n",
                               entry->signature[0], entry->signature[1], entry->kernel,
                               entry->tactic, entry->nanoseconds);
  }
  trivet_status_t status = tvi_string_builder_status(&text);
  trivet_string_view_t view = tvi_string_builder_view(&text);
  if (!status) status = tvi_file_write(path, view.data, view.size, cache->allocator);
  tvi_string_builder_deinit(&text);
  return status;
}

trivet_status_t tvi_timing_cache_save(tvi_timing_cache_t* cache, const char* path) {
  int lock = tvi_directory_lock(path);
  trivet_status_t status = TRIVET_OK;
  if (tvi_file_exists(path)) status = tvi_timing_cache_load(cache, path);
  if (!status) status = save(cache, path, false);
  tvi_directory_unlock(lock);
  return status;
}

trivet_status_t tvi_timing_cache_save_winners(const tvi_timing_cache_t* cache, const char* path) {
  return save(cache, path, true);
}
