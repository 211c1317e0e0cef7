// SPDX-License-Identifier: Apache-2.0
//
// The program's own malloc, which every shared object of the process binds to: it looks at who
// calls and hands on to the C library's. Anonymous mappings count like allocations. It must not
// allocate while it looks.
#include "tests/abi/runtime_only/malloc_watch.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int malloc_watch_works(void) { return 0; }
void malloc_watch_begin(const char* word, const char* other) { (void)word, (void)other; }
malloc_watch_t malloc_watch_end(void) {
  malloc_watch_t nothing;
  memset(&nothing, 0, sizeof(nothing));
  return nothing;
}

#else

// What glibc calls its own functions where somebody stands before them.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* pointer, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static struct {
  const char *word, *other;
  atomic_int on;
  atomic_long direct, through, bytes;
  char example[96];
} watch;
static _Thread_local int looking;  // what looking itself allocates does not count

static int is_watched(const void* address, Dl_info* info) {
  if (!dladdr(address, info) || info->dli_fname == NULL) return 0;
  return strstr(info->dli_fname, watch.word) != NULL ||
         (watch.other != NULL && strstr(info->dli_fname, watch.other) != NULL);
}

// What the program itself asks for is its allocator at work.
static int is_own(const Dl_info* info) {
  Dl_info own;
  return dladdr((const void*)&watch, &own) && own.dli_fbase == info->dli_fbase;
}

static void look(const void* caller, size_t size) {
  if (!atomic_load(&watch.on) || looking) return;
  looking = 1;
  Dl_info info;
  memset(&info, 0, sizeof(info));
  if (is_watched(caller, &info)) {
    if (atomic_fetch_add(&watch.direct, 1) == 0) {
      const char* base = strrchr(info.dli_fname, '/');
      snprintf(watch.example, sizeof(watch.example), "%s+0x%lx", base ? base + 1 : info.dli_fname,
               (unsigned long)((uintptr_t)caller - (uintptr_t)info.dli_fbase));
    }
    atomic_fetch_add(&watch.bytes, (long)size);
  } else if (!is_own(&info)) {
    void* frames[24];
    int count = backtrace(frames, 24);
    for (int i = 0; i < count; ++i) {
      if (!is_watched(frames[i], &info)) continue;
      atomic_fetch_add(&watch.through, 1);
      atomic_fetch_add(&watch.bytes, (long)size);
      break;
    }
  }
  looking = 0;
}

#pragma GCC visibility push(default)

void* malloc(size_t size) {
  look(__builtin_return_address(0), size);
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  look(__builtin_return_address(0), count * size);
  return __libc_calloc(count, size);
}

void* realloc(void* pointer, size_t size) {
  look(__builtin_return_address(0), size);
  return __libc_realloc(pointer, size);
}

void* memalign(size_t alignment, size_t size) {
  look(__builtin_return_address(0), size);
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  look(__builtin_return_address(0), size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** out, size_t alignment, size_t size) {
  look(__builtin_return_address(0), size);
  void* memory = __libc_memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *out = memory;
  return 0;
}

void* mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (flags & MAP_ANONYMOUS) look(__builtin_return_address(0), size);
  return (void*)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

#pragma GCC visibility pop

// Were the program's functions not the ones that everybody finds, all would look well.
int malloc_watch_works(void) {
  if (dlsym(RTLD_DEFAULT, "malloc") == (void*)malloc) return 1;
  fprintf(stderr, "malloc_watch: the program's malloc is not the one in use\n");
  exit(1);
}

void malloc_watch_begin(const char* word, const char* other) {
  void* frames[4];
  backtrace(frames, 4);  // its first call allocates
  watch.word = word;
  watch.other = other;
  watch.direct = watch.through = watch.bytes = 0;
  watch.example[0] = '\0';
  atomic_store(&watch.on, 1);
}

malloc_watch_t malloc_watch_end(void) {
  atomic_store(&watch.on, 0);
  malloc_watch_t found;
  memset(&found, 0, sizeof(found));
  found.direct = watch.direct;
  found.through = watch.through;
  found.bytes = watch.bytes;
  memcpy(found.example, watch.example, sizeof(found.example));
  return found;
}

#endif
