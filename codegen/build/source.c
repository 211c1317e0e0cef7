// SPDX-License-Identifier: Apache-2.0
//
// Opens what a model refers to, and nothing outside of the model's own folder. Stands between
// frontends and the file system: a model is input from outside and its paths are too.
#include "codegen/build/source.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/status.h"

static const tvi_source_t* get(const trivet_source_t* source) {
  return (const tvi_source_t*)source;
}

static trivet_string_view_t source_path(const trivet_source_t* source) { return get(source)->path; }

static const uint8_t* source_bytes(const trivet_source_t* source, uint64_t* out_size) {
  *out_size = get(source)->size;
  return get(source)->bytes;
}

static bool climbs(trivet_string_view_t path) {
  if (path.size == 0 || path.data[0] == '/' || memchr(path.data, 0, path.size)) return true;
  for (size_t i = 0; i < path.size;) {
    size_t end = i;
    while (end < path.size && path.data[end] != '/') ++end;
    if (end - i == 2 && path.data[i] == '.' && path.data[i + 1] == '.') return true;
    i = end + 1;
  }
  return false;
}

// Links resolved, the file must still lie in the folder.
static trivet_status_t check_inside(const char* folder, const char* file) {
  char root[PATH_MAX], real[PATH_MAX];
  if (!realpath(*folder ? folder : ".", root))
    return TRIVET_STATUS(NOT_FOUND, "folder %s cannot be resolved", folder);
  if (!realpath(file, real)) return TRIVET_STATUS(NOT_FOUND, "file %s does not exist", file);
  size_t length = strlen(root);
  bool inside = strncmp(root, real, length) == 0 && (real[length] == '/' || length == 1);
  return inside
             ? TRIVET_OK
             : TRIVET_STATUS(INVALID_ARGUMENT, "file %s lies outside of the model's folder", file);
}

static trivet_status_t source_open(trivet_source_t* base, trivet_string_view_t relative,
                                   const uint8_t** out_bytes, uint64_t* out_size) {
  tvi_source_t* source = (tvi_source_t*)base;
  trivet_network_t* network = source->network;
  if (!source->path.size) {
    return TRIVET_STATUS(
        NOT_FOUND,
        "file \"%.*s\" is wanted, but the model was read from memory without a file name",
        (int)relative.size, relative.data);
  }
  if (climbs(relative)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "path \"%.*s\" is absolute or leaves the model's folder",
                         (int)relative.size, relative.data);
  }
  trivet_string_view_t folder = tvi_path_directory(source->path), full, kept_folder;
  TRIVET_RETURN_IF_ERROR(tvi_path_join(folder, relative, &source->arena, &full));
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&source->arena, folder, &kept_folder));
  TRIVET_RETURN_IF_ERROR(check_inside(kept_folder.data, full.data));
  for (size_t i = 0; i < network->mappings.count; ++i) {
    if (strcmp(network->mappings.data[i]->path, full.data) == 0) {
      *out_bytes = network->mappings.data[i]->data;
      *out_size = network->mappings.data[i]->size;
      return TRIVET_OK;
    }
  }
  tvi_file_mapping_t* mapping = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_map(full.data, 0, TVI_FILE_TO_END, network->allocator, &mapping));
  trivet_status_t status = tvi_vector_push(&network->mappings, mapping);
  if (status) {
    tvi_file_mapping_release(mapping);
    return status;
  }
  *out_bytes = mapping->data;
  *out_size = mapping->size;
  return TRIVET_OK;
}

static const char* source_option(const trivet_source_t* base, const char* name) {
  const trivet_parse_options_t* options = get(base)->options;
  for (uint64_t i = 0; options && i < options->option_count; ++i) {
    if (strcmp(options->option_names[i], name) == 0) return options->option_values[i];
  }
  return NULL;
}

static const trivet_allocator_t* source_allocator(const trivet_source_t* base) {
  return &get(base)->network->allocator;
}

static const trivet_source_api_t kApi = {sizeof(trivet_source_api_t),
                                         TRIVET_ABI_MINOR,
                                         source_path,
                                         source_bytes,
                                         source_open,
                                         source_option,
                                         source_allocator};

void tvi_source_init(tvi_source_t* source, trivet_network_t* network, const char* path,
                     const uint8_t* bytes, uint64_t size, const trivet_parse_options_t* options) {
  memset(source, 0, sizeof(*source));
  source->base.api = &kApi;
  source->network = network;
  source->path.data = path;
  source->path.size = path ? strlen(path) : 0;
  source->bytes = bytes;
  source->size = size;
  source->options = options;
  tvi_arena_init(&source->arena, network->allocator, 1 << 12);
}

void tvi_source_deinit(tvi_source_t* source) { tvi_arena_deinit(&source->arena); }
