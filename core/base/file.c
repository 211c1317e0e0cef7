// SPDX-License-Identifier: Apache-2.0
//
// Mapping, reading and atomically writing files, and a little work on paths. The only part of the
// library that talks to the file system.

#include "core/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/base/vector.h"

// The status of a failed system call on a path.
static trivet_status_t system_error(int error, const char* verb, const char* path) {
  char text[128];
  const char* reason = strerror_r(error, text, sizeof(text));
  trivet_status_code_t code = TRIVET_STATUS_UNAVAILABLE;
  if (error == ENOENT || error == ENOTDIR) code = TRIVET_STATUS_NOT_FOUND;
  if (error == ENOMEM) code = TRIVET_STATUS_OUT_OF_MEMORY;
  return trivet_status_make(code, TVI_FILE_NAME, __LINE__, "cannot %s '%s': %s", verb, path,
                            reason);
}

// Opens a regular file and tells its size.
static trivet_status_t open_regular(const char* path, int* out_descriptor, uint64_t* out_size) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error(errno, "open", path);
  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    trivet_status_t status = system_error(errno, "examine", path);
    close(descriptor);
    return status;
  }
  if (!S_ISREG(info.st_mode)) {
    close(descriptor);
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' is not a regular file", path);
  }
  *out_descriptor = descriptor;
  *out_size = (uint64_t)info.st_size;
  return TRIVET_OK;
}

static void destroy_mapping(void* object) {
  tvi_file_mapping_t* mapping = object;
  if (mapping->map_base != NULL) munmap(mapping->map_base, mapping->map_size);
  if (mapping->path != NULL) tvi_free(mapping->allocator, mapping->path, mapping->path_size + 1);
  tvi_free(mapping->allocator, mapping, sizeof(*mapping));
}

static const tvi_object_vtable_t mapping_vtable = {"file mapping", destroy_mapping};

static trivet_status_t make_mapping(const char* path, trivet_allocator_t allocator,
                                    tvi_file_mapping_t** out_mapping) {
  tvi_file_mapping_t* mapping = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*mapping), &mapping));
  tvi_object_init(&mapping->object, &mapping_vtable);
  mapping->allocator = allocator;
  mapping->path_size = strlen(path);
  trivet_status_t status = tvi_copy_string(allocator, tvi_sv(path), &mapping->path);
  if (status != NULL) {
    tvi_file_mapping_release(mapping);
    return status;
  }
  *out_mapping = mapping;
  return TRIVET_OK;
}

static trivet_status_t map_range(tvi_file_mapping_t* mapping, int descriptor, uint64_t file_size,
                                 uint64_t offset, uint64_t size) {
  if (size == TVI_FILE_TO_END) size = offset <= file_size ? file_size - offset : 0;
  if (!tvi_checked_range(offset, size, file_size)) {
    return TRIVET_STATUS(OUT_OF_RANGE,
                         "'%s' has %llu bytes, which do not hold %llu bytes from offset %llu",
                         mapping->path, (unsigned long long)file_size, (unsigned long long)size,
                         (unsigned long long)offset);
  }
  if (size == 0) return TRIVET_OK;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  uint64_t lead = offset % page;
  size_t map_size = (size_t)(size + lead);
  void* base = mmap(NULL, map_size, PROT_READ, MAP_PRIVATE, descriptor, (off_t)(offset - lead));
  if (base == MAP_FAILED) return system_error(errno, "map", mapping->path);
  mapping->map_base = base;
  mapping->map_size = map_size;
  mapping->data = (const uint8_t*)base + lead;
  mapping->size = (size_t)size;
  return TRIVET_OK;
}

trivet_status_t tvi_file_map(const char* path, uint64_t offset, uint64_t size,
                             trivet_allocator_t allocator, tvi_file_mapping_t** out_mapping) {
  int descriptor = -1;
  uint64_t file_size = 0;
  TRIVET_RETURN_IF_ERROR(open_regular(path, &descriptor, &file_size));
  tvi_file_mapping_t* mapping = NULL;
  trivet_status_t status = make_mapping(path, allocator, &mapping);
  if (status == NULL) status = map_range(mapping, descriptor, file_size, offset, size);
  close(descriptor);
  if (status != NULL) {
    tvi_file_mapping_release(mapping);
    return status;
  }
  *out_mapping = mapping;
  return TRIVET_OK;
}

trivet_status_t tvi_file_mapping_from_memory(const void* data, size_t size,
                                             trivet_allocator_t allocator,
                                             tvi_file_mapping_t** out_mapping) {
  tvi_file_mapping_t* mapping = NULL;
  TRIVET_RETURN_IF_ERROR(make_mapping("", allocator, &mapping));
  mapping->data = data;
  mapping->size = size;
  *out_mapping = mapping;
  return TRIVET_OK;
}

void tvi_file_mapping_retain(tvi_file_mapping_t* mapping) {
  if (mapping != NULL) tvi_object_retain(&mapping->object);
}

void tvi_file_mapping_release(tvi_file_mapping_t* mapping) {
  if (mapping != NULL) tvi_object_release(&mapping->object);
}

// Reads exactly `size` bytes; the file may have become shorter meanwhile.
static trivet_status_t read_fully(int descriptor, const char* path, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = read(descriptor, data + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "read", path);
    if (got == 0) {
      return TRIVET_STATUS(DATA_LOSS, "'%s' ended after %zu of %zu bytes", path, done, size);
    }
    done += (size_t)got;
  }
  return TRIVET_OK;
}

trivet_status_t tvi_file_read(const char* path, trivet_allocator_t allocator, char** out_data,
                              size_t* out_size) {
  int descriptor = -1;
  uint64_t file_size = 0;
  TRIVET_RETURN_IF_ERROR(open_regular(path, &descriptor, &file_size));
  char* data = NULL;
  trivet_status_t status = file_size < SIZE_MAX
                               ? tvi_alloc(allocator, (size_t)file_size + 1, &data)
                               : TRIVET_STATUS(OUT_OF_RANGE, "'%s' is too large", path);
  if (status == NULL) status = read_fully(descriptor, path, data, (size_t)file_size);
  close(descriptor);
  if (status != NULL) {
    tvi_free(allocator, data, (size_t)file_size + 1);
    return status;
  }
  data[file_size] = '\0';
  *out_data = data;
  *out_size = (size_t)file_size;
  return TRIVET_OK;
}

struct tvi_file_writer_t {
  trivet_allocator_t allocator;
  int descriptor;
  char* path;
  char* temporary_path;  // the path and a suffix; empty: written in place
  size_t path_size;
};

// Room behind the path for ".tmp.", a process id, a dot, a number and the NUL.
#define TVI_TEMPORARY_SUFFIX_SIZE 40

static void free_writer(tvi_file_writer_t* writer) {
  if (writer->path != NULL) tvi_free(writer->allocator, writer->path, writer->path_size + 1);
  tvi_free(writer->allocator, writer->temporary_path,
           writer->path_size + TVI_TEMPORARY_SUFFIX_SIZE);
  tvi_free(writer->allocator, writer, sizeof(*writer));
}

static trivet_status_t open_temporary(tvi_file_writer_t* writer, const char* path) {
  TRIVET_RETURN_IF_ERROR(tvi_copy_string(writer->allocator, tvi_sv(path), &writer->path));
  TRIVET_RETURN_IF_ERROR(tvi_alloc(writer->allocator, writer->path_size + TVI_TEMPORARY_SUFFIX_SIZE,
                                   &writer->temporary_path));
  // A device or a pipe is written to. Renaming onto it would put a file in its place, and where the
  // process may do that (/dev/null, as root) the machine would lose it.
  struct stat existing;
  if (stat(path, &existing) == 0 && !S_ISREG(existing.st_mode) && !S_ISDIR(existing.st_mode)) {
    writer->temporary_path[0] = '\0';
    writer->descriptor = open(path, O_WRONLY | O_CLOEXEC);
    return writer->descriptor >= 0 ? TRIVET_OK : system_error(errno, "write", path);
  }
  // A file created directly, unlike one of mkstemp, gets the permissions that the process asks for.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    snprintf(writer->temporary_path, writer->path_size + TVI_TEMPORARY_SUFFIX_SIZE, "%s.tmp.%ld.%d",
             path, (long)getpid(), attempt);
    writer->descriptor =
        open(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->descriptor >= 0) return TRIVET_OK;
    if (errno != EEXIST) break;
  }
  return system_error(errno, "create", path);
}

trivet_status_t tvi_file_writer_open(const char* path, trivet_allocator_t allocator,
                                     tvi_file_writer_t** out_writer) {
  tvi_file_writer_t* writer = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*writer), &writer));
  writer->allocator = allocator;
  writer->descriptor = -1;
  writer->path_size = strlen(path);
  trivet_status_t status = open_temporary(writer, path);
  if (status != NULL) {
    free_writer(writer);
    return status;
  }
  *out_writer = writer;
  return TRIVET_OK;
}

static trivet_status_t write_to_file(void* self, const void* bytes, size_t size) {
  tvi_file_writer_t* writer = self;
  const char* next = bytes;
  while (size != 0) {
    ssize_t written = write(writer->descriptor, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error(errno, "write", writer->path);
    next += written;
    size -= (size_t)written;
  }
  return TRIVET_OK;
}

trivet_sink_t tvi_file_writer_sink(tvi_file_writer_t* writer) {
  trivet_sink_t sink = {writer, write_to_file};
  return sink;
}

void tvi_file_writer_discard(tvi_file_writer_t* writer) {
  if (writer == NULL) return;
  close(writer->descriptor);
  if (writer->temporary_path[0] != '\0') unlink(writer->temporary_path);
  free_writer(writer);
}

static trivet_status_t rename_temporary(const tvi_file_writer_t* writer) {
  struct stat replaced;
  bool replaces = stat(writer->path, &replaced) == 0;
  if ((!replaces || fchmod(writer->descriptor, replaced.st_mode & 0777) == 0) &&
      rename(writer->temporary_path, writer->path) == 0) {
    return TRIVET_OK;
  }
  trivet_status_t status = system_error(errno, "write", writer->path);
  unlink(writer->temporary_path);
  return status;
}

trivet_status_t tvi_file_writer_commit(tvi_file_writer_t* writer) {
  trivet_status_t status = NULL;
  if (writer->temporary_path[0] != '\0') status = rename_temporary(writer);
  // A full network disk may report its error only now.
  if (close(writer->descriptor) != 0 && status == NULL) {
    status = system_error(errno, "write", writer->path);
  }
  free_writer(writer);
  return status;
}

trivet_status_t tvi_file_write(const char* path, const void* bytes, size_t size,
                               trivet_allocator_t allocator) {
  tvi_file_writer_t* writer = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(path, allocator, &writer));
  trivet_status_t status = write_to_file(writer, bytes, size);
  if (status != NULL) {
    tvi_file_writer_discard(writer);
    return status;
  }
  return tvi_file_writer_commit(writer);
}

bool tvi_file_exists(const char* path) { return access(path, F_OK) == 0; }

bool tvi_file_is_directory(const char* path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

trivet_status_t tvi_file_size(const char* path, uint64_t* out_size) {
  int descriptor = -1;
  TRIVET_RETURN_IF_ERROR(open_regular(path, &descriptor, out_size));
  close(descriptor);
  return TRIVET_OK;
}

int tvi_directory_lock(const char* path) {
  trivet_string_view_t directory = tvi_path_directory(tvi_sv(path));
  char text[4096];
  if (directory.size >= sizeof(text)) return -1;
  memcpy(text, directory.data, directory.size);
  text[directory.size] = '\0';
  int lock = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return -1;
  while (flock(lock, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    close(lock);
    return -1;
  }
  return lock;
}

void tvi_directory_unlock(int lock) {
  if (lock >= 0) close(lock);
}

static int compare_names(const void* a, const void* b) {
  return tvi_sv_compare(*(const trivet_string_view_t*)a, *(const trivet_string_view_t*)b);
}

typedef TVI_VECTOR(trivet_string_view_t) name_vector_t;

static trivet_status_t collect_names(DIR* directory, const char* path, tvi_arena_t* arena,
                                     name_vector_t* names) {
  for (;;) {
    errno = 0;
    const struct dirent* entry = readdir(directory);
    if (entry == NULL) return errno != 0 ? system_error(errno, "list", path) : TRIVET_OK;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    trivet_string_view_t name;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, tvi_sv(entry->d_name), &name));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(names, name));
  }
}

trivet_status_t tvi_directory_list(const char* path, tvi_arena_t* arena,
                                   trivet_string_view_t** out_names, size_t* out_count) {
  DIR* directory = opendir(path);
  if (directory == NULL) return system_error(errno, "list", path);
  name_vector_t names;
  tvi_vector_init(&names, arena->allocator);
  trivet_status_t status = collect_names(directory, path, arena, &names);
  closedir(directory);
  void* copy = NULL;
  if (status == NULL) {
    if (names.count != 0) qsort(names.data, names.count, sizeof(*names.data), compare_names);
    status = tvi_arena_copy(arena, names.data, names.count * sizeof(*names.data), &copy);
  }
  if (status == NULL) {
    *out_names = copy;
    *out_count = names.count;
  }
  tvi_vector_deinit(&names);
  return status;
}

trivet_status_t tvi_path_join(trivet_string_view_t directory, trivet_string_view_t name,
                              tvi_arena_t* arena, trivet_string_view_t* out_path) {
  if (directory.size == 0 || (name.size != 0 && name.data[0] == '/')) {
    return tvi_arena_strdup(arena, name, out_path);
  }
  size_t slash = directory.data[directory.size - 1] != '/' ? 1 : 0;
  char* path = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_aligned(arena, directory.size + slash + name.size + 1, 1, &path));
  memcpy(path, directory.data, directory.size);
  if (slash != 0) path[directory.size] = '/';
  if (name.size != 0) memcpy(path + directory.size + slash, name.data, name.size);
  *out_path = tvi_sv_make(path, directory.size + slash + name.size);
  path[out_path->size] = '\0';
  return TRIVET_OK;
}

trivet_string_view_t tvi_path_directory(trivet_string_view_t path) {
  size_t slash = tvi_sv_find_last(path, '/');
  if (slash == SIZE_MAX) return TRIVET_SV(".");
  return tvi_sv_make(path.data, slash != 0 ? slash : 1);
}

trivet_string_view_t tvi_path_basename(trivet_string_view_t path) {
  size_t slash = tvi_sv_find_last(path, '/');
  return slash == SIZE_MAX ? path : tvi_sv_slice(path, slash + 1, SIZE_MAX);
}

trivet_string_view_t tvi_path_extension(trivet_string_view_t path) {
  trivet_string_view_t name = tvi_path_basename(path);
  size_t dot = tvi_sv_find_last(name, '.');
  if (dot == SIZE_MAX || dot == 0) return tvi_sv_make(NULL, 0);
  return tvi_sv_slice(name, dot, SIZE_MAX);
}
