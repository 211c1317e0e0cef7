// SPDX-License-Identifier: Apache-2.0
//
// A plan ready to run: engine, context, inputs from files or made up, memory for outputs. Shared by
// `trivet run` and `trivet bench`.
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "tools/trivet/command.h"

#define MAX_ARRAYS 256

typedef struct inputs_s {
  tvi_npy_array_t arrays[MAX_ARRAYS];
  size_t count;
} inputs_t;

static trivet_status_t add_file(session_t* s, inputs_t* inputs, const char* path,
                                const char* name) {
  tvi_npy_array_t* arrays = NULL;
  size_t count = 0;
  TRIVET_RETURN_IF_ERROR(tvi_npy_read_file(path, &s->arena, &arrays, &count));
  for (size_t i = 0; i < count; ++i) {
    if (inputs->count == MAX_ARRAYS) return TRIVET_STATUS(OUT_OF_RANGE, "too many input arrays");
    tvi_npy_array_t* kept = &inputs->arrays[inputs->count++];
    *kept = arrays[i];
    if (!kept->name.size && name) {
      trivet_string_view_t view = {name, strlen(name)};
      TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&s->arena, view, &kept->name));
    }
  }
  return TRIVET_OK;
}

// Raw bytes need the shape that --shapes gives; the type is the plan's.
static trivet_status_t add_raw(session_t* s, inputs_t* inputs, const char* path, const char* name) {
  char* data = NULL;
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_read(path, s->arena.allocator, &data, &size));
  void* copy = NULL;
  trivet_status_t status = tvi_arena_copy(&s->arena, data, size, &copy);
  tvi_free(s->arena.allocator, data, size + 1);
  TRIVET_RETURN_IF_ERROR(status);
  if (inputs->count == MAX_ARRAYS) return TRIVET_STATUS(OUT_OF_RANGE, "too many input arrays");
  tvi_npy_array_t* kept = &inputs->arrays[inputs->count++];
  memset(kept, 0, sizeof(*kept));
  trivet_string_view_t view = {name, strlen(name)};
  kept->data = copy;
  kept->size = size;
  kept->dtype = TRIVET_DTYPE_INVALID;
  return tvi_arena_strdup(&s->arena, view, &kept->name);
}

static bool ends_with(const char* text, const char* end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

static trivet_status_t add_path(session_t* s, inputs_t* inputs, const char* path) {
  // NAME=FILE says which input a lone array is.
  char name[256] = "";
  const char* equals = strchr(path, '=');
  if (equals && (size_t)(equals - path) < sizeof(name) && !tvi_file_exists(path)) {
    memcpy(name, path, (size_t)(equals - path));
    name[equals - path] = 0;
    path = equals + 1;
  }
  if (!name[0]) {
    const char* base = strrchr(path, '/');
    snprintf(name, sizeof(name), "%s", base ? base + 1 : path);
    char* dot = strrchr(name, '.');
    if (dot) *dot = 0;
  }
  return ends_with(path, ".bin") ? add_raw(s, inputs, path, name) : add_file(s, inputs, path, name);
}

static trivet_status_t add_folder(session_t* s, inputs_t* inputs, const char* folder) {
  DIR* directory = opendir(folder);
  if (!directory) return TRIVET_STATUS(NOT_FOUND, "folder %s cannot be read", folder);
  trivet_status_t status = TRIVET_OK;
  size_t before = inputs->count;
  for (struct dirent* entry; !status && (entry = readdir(directory));) {
    if (!ends_with(entry->d_name, ".npy") && !ends_with(entry->d_name, ".npz") &&
        !ends_with(entry->d_name, ".bin")) {
      continue;
    }
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
    status = add_path(s, inputs, path);
  }
  closedir(directory);
  if (!status && inputs->count == before) {
    return TRIVET_STATUS(NOT_FOUND, "folder '%s' holds no .npy, .npz or .bin", folder);
  }
  return status;
}

// Small, reproducible numbers: floats in [-1, 1), integers 0 and 1, which are valid wherever a
// model looks something up.
static void fill_random(uint32_t dtype, void* memory, uint64_t count, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (uint64_t i = 0; i < count; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    double unit = (double)(state >> 11) / 9007199254740992.0;
    if (tvi_dtype_is_float(dtype)) {
      tvi_dtype_write_f64(dtype, memory, (int64_t)i, 2 * unit - 1);
    } else if (tvi_dtype_is_integer(dtype)) {
      tvi_dtype_write_f64(dtype, memory, (int64_t)i, (double)(state >> 63));
    }  // else zero
  }
}

static trivet_status_t element_count(uint32_t rank, const int64_t* dims, int64_t* out_count) {
  *out_count = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    if (dims[d] < 0 || __builtin_mul_overflow(*out_count, dims[d], out_count)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "a shape overflows 64 bits");
    }
  }
  return TRIVET_OK;
}

static const named_shape_t* find_shape(const named_shape_t* shapes, size_t count,
                                       const char* name) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
  }
  return NULL;
}

// Gives the context the address, or that of a copy on the device.
static trivet_status_t set_address(session_t* s, uint32_t index, const char* name, void* memory,
                                   uint64_t size) {
  s->addresses[index] = memory;
  if (!s->device_io || !trivet_engine_has_device(s->engine)) {
    return trivet_context_set_address(s->context, name, memory);
  }
  s->device_sizes[index] = size;
  TRIVET_RETURN_IF_ERROR(trivet_engine_allocate(s->engine, size, &s->device_addresses[index]));
  TRIVET_RETURN_IF_ERROR(trivet_engine_copy(s->engine, s->device_addresses[index], memory, size));
  return trivet_context_set_address(s->context, name, s->device_addresses[index]);
}

static trivet_status_t bind_input(session_t* s, uint32_t index, const trivet_tensor_info_t* info,
                                  const inputs_t* inputs, const named_shape_t* shape) {
  const tvi_npy_array_t* array = NULL;
  for (size_t i = 0; i < inputs->count; ++i) {
    const tvi_npy_array_t* a = &inputs->arrays[i];
    if (strlen(info->name) == a->name.size && memcmp(info->name, a->name.data, a->name.size) == 0) {
      array = a;
    }
  }
  int64_t dims[TRIVET_DIMS_MAX];
  uint32_t rank = info->rank;
  if (array && array->dtype != TRIVET_DTYPE_INVALID) {
    if (array->dtype != info->dtype) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' is %s, the file holds %s", info->name,
                           trivet_dtype_name(info->dtype), trivet_dtype_name(array->dtype));
    }
    if (array->rank != rank) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' has rank %u, the file's array %u",
                           info->name, rank, array->rank);
    }
    for (uint32_t d = 0; d < rank; ++d) dims[d] = array->shape[d];
  } else if (shape) {
    rank = shape->rank;
    memcpy(dims, shape->dims, sizeof(dims));
  } else {
    TRIVET_RETURN_IF_ERROR(trivet_engine_profile_shape(s->engine, 0, info->name, 1, &rank, dims));
  }
  TRIVET_RETURN_IF_ERROR(trivet_context_set_shape(s->context, info->name, rank, dims));
  int64_t count = 0;
  size_t bytes = 0;
  TRIVET_RETURN_IF_ERROR(element_count(rank, dims, &count));
  TRIVET_RETURN_IF_ERROR(trivet_dtype_storage_size(info->dtype, count, &bytes));
  void* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&s->arena, bytes + 64, 64, &memory));
  memset(memory, 0, bytes + 64);
  if (array) {
    if (array->size != bytes) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' takes %zu bytes, the file holds %zu",
                           info->name, bytes, array->size);
    }
    memcpy(memory, array->data, bytes);
  } else {
    fill_random(info->dtype, memory, (uint64_t)count, index + 1);
  }
  return set_address(s, index, info->name, memory, bytes);
}

// Memory for an output: of the shape after prepare, or of the bound where it depends on data.
static trivet_status_t bind_output(session_t* s, uint32_t index, const trivet_tensor_info_t* info) {
  int64_t dims[TRIVET_DIMS_MAX];
  uint32_t rank = 0;
  TRIVET_RETURN_IF_ERROR(trivet_context_shape(s->context, info->name, &rank, dims));
  uint64_t size = 0;
  TRIVET_RETURN_IF_ERROR(trivet_context_tensor_size(s->context, info->name, &size));
  void* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&s->arena, size + 64, 64, &memory));
  memset(memory, 0xee, size);                // what is not written shows
  if (info->mode != TRIVET_TENSOR_OUTPUT) {  // observed values are copied out
    s->addresses[index] = memory;
    return trivet_context_set_address(s->context, info->name, memory);
  }
  return set_address(s, index, info->name, memory, size);
}

static trivet_status_t check_input_name(const session_t* s, trivet_string_view_t name) {
  for (uint32_t t = 0; t < s->tensor_count; ++t) {
    trivet_tensor_info_t info;
    memset(&info, 0, sizeof(info));
    info.header.struct_size = sizeof(info);
    info.header.struct_type = TRIVET_STRUCT_TENSOR_INFO;
    TRIVET_RETURN_IF_ERROR(trivet_engine_tensor_info(s->engine, t, &info));
    if (info.mode == TRIVET_TENSOR_INPUT && strlen(info.name) == name.size &&
        memcmp(info.name, name.data, name.size) == 0) {
      return TRIVET_OK;
    }
  }
  return TRIVET_STATUS(NOT_FOUND, "the plan has no input '%.*s'", (int)name.size, name.data);
}

static trivet_status_t read_inputs(session_t* s, const arguments_t* arguments, inputs_t* inputs) {
  const option_t* given = find_option(arguments, "--inputs");
  for (int i = 0; i < given->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_file_is_directory(given->values[i])
                               ? add_folder(s, inputs, given->values[i])
                               : add_path(s, inputs, given->values[i]));
  }
  // An array that no input takes is a mistake worth telling.
  for (size_t a = 0; a < inputs->count; ++a) {
    TRIVET_RETURN_IF_ERROR(check_input_name(s, inputs->arrays[a].name));
  }
  return TRIVET_OK;
}

static trivet_status_t bind_all(session_t* s, const arguments_t* arguments) {
  inputs_t* inputs = NULL;
  named_shape_t* shapes = NULL;
  size_t shape_count = 0;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(&s->arena, sizeof(*inputs), &inputs));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&s->arena, 64, sizeof(*shapes), &shapes));
  TRIVET_RETURN_IF_ERROR(read_inputs(s, arguments, inputs));
  TRIVET_RETURN_IF_ERROR(
      parse_shapes(option_value(arguments, "--shapes", NULL), shapes, 64, &shape_count));
  for (size_t i = 0; i < shape_count; ++i) {
    trivet_string_view_t name = {shapes[i].name, strlen(shapes[i].name)};
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_input_name(s, name), "--shapes");
  }
  for (int pass = 0; pass < 2; ++pass) {
    for (uint32_t t = 0; t < s->tensor_count; ++t) {
      trivet_tensor_info_t info;
      memset(&info, 0, sizeof(info));
      info.header.struct_size = sizeof(info);
      info.header.struct_type = TRIVET_STRUCT_TENSOR_INFO;
      TRIVET_RETURN_IF_ERROR(trivet_engine_tensor_info(s->engine, t, &info));
      if (pass == 0 && info.mode == TRIVET_TENSOR_INPUT) {
        const named_shape_t* shape = find_shape(shapes, shape_count, info.name);
        trivet_status_t status = bind_input(s, t, &info, inputs, shape);
        if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY)
          status = trivet_status_annotate(status, "input '%s'", info.name);
        TRIVET_RETURN_IF_ERROR(status);
      } else if (pass == 1 && info.mode != TRIVET_TENSOR_INPUT) {
        TRIVET_RETURN_IF_ERROR_ANNOTATED(bind_output(s, t, &info), "output '%s'", info.name);
      }
    }
    if (pass == 0) {
      int64_t start = tvi_clock_now_ns();
      TRIVET_RETURN_IF_ERROR(trivet_context_prepare(s->context));
      s->prepare_ms += (double)(tvi_clock_now_ns() - start) * 1e-6;
    }
  }
  return TRIVET_OK;
}

void init_session(session_t* s) {
  memset(s, 0, sizeof(*s));
  tvi_arena_init(&s->arena, trivet_allocator_system(), 1 << 20);
}

trivet_status_t open_session(session_t* s, const char* plan, const arguments_t* arguments,
                             const trivet_runtime_options_t* options) {
  TRIVET_RETURN_IF_ERROR(trivet_runtime_create(options, &s->runtime));
  TRIVET_RETURN_IF_ERROR(load_runtime_plugins(s->runtime, arguments));
  trivet_engine_options_t engine;
  memset(&engine, 0, sizeof(engine));
  engine.header.struct_size = sizeof(engine);
  engine.header.struct_type = TRIVET_STRUCT_ENGINE_OPTIONS;
  if (!option_given(arguments, "--no-verify")) engine.flags = TRIVET_ENGINE_VERIFY_WEIGHTS;
  int64_t number = 0;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--device", 0, 0, 4096, &number));
  engine.device = s->device = (uint32_t)number;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--memory-limit", 0, 0, INT64_MAX, &number));
  engine.memory_limit = (uint64_t)number;
  const option_t* allowed = find_option(arguments, "--allow-carried-plugins");
  for (int i = 0; allowed && i < allowed->seen && i < 64; ++i) {
    if (!allowed->values[i]) engine.flags |= TRIVET_ENGINE_ALLOW_CARRIED;
  }
  engine.carried_hashes = allowed ? allowed->values : NULL;
  engine.carried_hash_count = !allowed ? 0 : allowed->seen < 64 ? (uint64_t)allowed->seen : 64;
  int64_t start = tvi_clock_now_ns();
  TRIVET_RETURN_IF_ERROR(trivet_engine_load(s->runtime, plan, &engine, &s->engine));
  s->load_ms = (double)(tvi_clock_now_ns() - start) * 1e-6;
  trivet_context_options_t context;
  memset(&context, 0, sizeof(context));
  context.header.struct_size = sizeof(context);
  context.header.struct_type = TRIVET_STRUCT_CONTEXT_OPTIONS;
  int64_t threads = 0;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--threads", 1, 1, 4096, &threads));
  context.thread_count = (uint32_t)threads;
  context.memory_limit = engine.memory_limit;
  context.graph_count = s->graph_count;
  if (option_given(arguments, "--no-graph")) context.flags = TRIVET_CONTEXT_NO_GRAPH;
  start = tvi_clock_now_ns();
  TRIVET_RETURN_IF_ERROR(trivet_context_create(s->engine, &context, &s->context));
  s->prepare_ms = (double)(tvi_clock_now_ns() - start) * 1e-6;
  s->tensor_count = trivet_engine_tensor_count(s->engine);
  if (s->tensor_count > 256) return TRIVET_STATUS(OUT_OF_RANGE, "more than 256 tensors");
  return bind_all(s, arguments);
}

void close_session(session_t* s) {
  trivet_context_destroy(s->context);
  for (uint32_t t = 0; t < s->tensor_count; ++t) {
    trivet_engine_release(s->engine, s->device_addresses[t], s->device_sizes[t]);
  }
  trivet_engine_destroy(s->engine);
  trivet_runtime_destroy(s->runtime);
  tvi_arena_deinit(&s->arena);
}

trivet_status_t session_tensor(const session_t* s, uint32_t index, tvi_npy_array_t* out_array) {
  trivet_tensor_info_t info;
  memset(&info, 0, sizeof(info));
  info.header.struct_size = sizeof(info);
  info.header.struct_type = TRIVET_STRUCT_TENSOR_INFO;
  TRIVET_RETURN_IF_ERROR(trivet_engine_tensor_info(s->engine, index, &info));
  int64_t dims[TRIVET_DIMS_MAX];
  memset(out_array, 0, sizeof(*out_array));
  TRIVET_RETURN_IF_ERROR(trivet_context_shape(s->context, info.name, &out_array->rank, dims));
  for (uint32_t d = 0; d < out_array->rank; ++d) out_array->shape[d] = dims[d];
  int64_t count = 0;
  TRIVET_RETURN_IF_ERROR(element_count(out_array->rank, dims, &count));
  out_array->name.data = info.name;
  out_array->name.size = strlen(info.name);
  out_array->dtype = info.dtype;
  out_array->data = s->addresses[index];
  return trivet_dtype_storage_size(info.dtype, count, &out_array->size);
}
