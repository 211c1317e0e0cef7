// SPDX-License-Identifier: Apache-2.0
//
// dlopen and dlsym with statuses. The loader's message is copied at once: it is lost with the next
// call.

#include "core/base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

struct tvi_library_t {
  trivet_allocator_t allocator;
  void* handle;
  char* path;
  size_t path_size;
};

// |path| is what the loader opens, |name| what messages and tvi_library_path say.
static trivet_status_t open_as(const char* path, const char* name, trivet_allocator_t allocator,
                               tvi_library_t** out_library) {
  tvi_library_t* library = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*library), &library));
  library->allocator = allocator;
  library->path_size = strlen(name);
  trivet_status_t status = tvi_copy_string(allocator, tvi_sv(name), &library->path);
  if (status == NULL) {
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
      const char* reason = dlerror();
      status = TRIVET_STATUS(UNAVAILABLE, "cannot load shared object '%s': %s", name,
                             reason != NULL ? reason : "no reason given");
    }
  }
  if (status != NULL) {
    tvi_library_close(library);
    return status;
  }
  *out_library = library;
  return TRIVET_OK;
}

trivet_status_t tvi_library_open(const char* path, trivet_allocator_t allocator,
                                 tvi_library_t** out_library) {
  if (path == NULL || path[0] == '\0') {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a shared object needs a path");
  }
  if (strchr(path, '/') != NULL && access(path, F_OK) != 0) {
    return TRIVET_STATUS(NOT_FOUND, "shared object '%s' does not exist", path);
  }
  return open_as(path, path, allocator, out_library);
}

static trivet_status_t write_all(int file, const char* name, const void* bytes, size_t size) {
  const char* next = bytes;
  while (size != 0) {
    ssize_t written = write(file, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      return TRIVET_STATUS(UNAVAILABLE, "cannot keep shared object '%s' in memory: %s", name,
                           strerror(errno));
    }
    next += written;
    size -= (size_t)written;
  }
  return TRIVET_OK;
}

// The loader knows objects by the paths that they were opened by, and numbers of descriptors come
// again: the number of the inode, which does not, is spelled into the path as "./" and "../fd/".
static trivet_status_t unique_path(int file, const char* name, char* path, size_t size) {
  struct stat about;
  if (fstat(file, &about) != 0) {
    return TRIVET_STATUS(UNAVAILABLE, "cannot keep shared object '%s' in memory: %s", name,
                         strerror(errno));
  }
  size_t length = (size_t)snprintf(path, size, "/proc/self/fd/");
  for (uint64_t left = about.st_ino; left != 0; left >>= 1) {
    length += (size_t)snprintf(path + length, size - length, (left & 1) != 0 ? "../fd/" : "./");
  }
  snprintf(path + length, size - length, "%d", file);
  return TRIVET_OK;
}

trivet_status_t tvi_library_open_memory(const char* name, const void* bytes, size_t size,
                                        trivet_allocator_t allocator, tvi_library_t** out_library) {
  char temporary[] = "/tmp/trivet-XXXXXX";
  char path[512];  // 64 times 6 and the rest
  bool has_name = false;
  int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) {
    // An old kernel, or one that forbids it: a file that only this user can open, gone at once.
    file = mkstemp(temporary);
    has_name = file >= 0;
  }
  if (file < 0) {
    return TRIVET_STATUS(UNAVAILABLE, "cannot keep shared object '%s' in memory: %s", name,
                         strerror(errno));
  }
  trivet_status_t status = unique_path(file, name, path, sizeof(path));
  if (status == NULL) status = write_all(file, name, bytes, size);
  if (status == NULL) status = open_as(has_name ? temporary : path, name, allocator, out_library);
  if (has_name) unlink(temporary);
  close(file);
  return status;
}

trivet_status_t tvi_library_open_any(const char* const* names, size_t name_count,
                                     trivet_allocator_t allocator, tvi_library_t** out_library) {
  trivet_status_t failures = NULL;
  for (size_t i = 0; i < name_count; ++i) {
    trivet_status_t status = tvi_library_open(names[i], allocator, out_library);
    if (status == NULL) {
      trivet_status_free(failures);
      return TRIVET_OK;
    }
    failures = trivet_status_join(failures, status);
  }
  trivet_status_code_t code = trivet_status_code(failures);
  if (code == TRIVET_STATUS_OUT_OF_MEMORY || code == TRIVET_STATUS_UNAVAILABLE) return failures;
  if (failures == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "no shared object is named");
  trivet_status_t status = TRIVET_STATUS(UNAVAILABLE, "%s", trivet_status_message(failures));
  trivet_status_free(failures);
  return status;
}

void tvi_library_close(tvi_library_t* library) {
  if (library == NULL) return;
#if !defined(__SANITIZE_ADDRESS__)
  if (library->handle != NULL) dlclose(library->handle);
#endif
  if (library->path != NULL) {
    tvi_free(library->allocator, library->path, library->path_size + 1);
  }
  tvi_free(library->allocator, library, sizeof(*library));
}

void tvi_library_stay(const tvi_library_t* library) {
  // What the loader refuses here is closed as usual.
  void* again = dlopen(library->path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
  if (again != NULL) dlclose(again);
}

void* tvi_library_try_symbol(const tvi_library_t* library, const char* name) {
  return dlsym(library->handle, name);
}

trivet_status_t tvi_library_symbol(const tvi_library_t* library, const char* name,
                                   void** out_address) {
  void* address = dlsym(library->handle, name);
  if (address == NULL) {
    return TRIVET_STATUS(NOT_FOUND, "shared object '%s' has no symbol '%s'", library->path, name);
  }
  *out_address = address;
  return TRIVET_OK;
}

const char* tvi_library_path(const tvi_library_t* library) { return library->path; }
