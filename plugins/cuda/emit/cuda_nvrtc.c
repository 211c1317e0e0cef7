// SPDX-License-Identifier: Apache-2.0
//
// Calls of NVRTC through addresses found by name. See cuda_nvrtc.h.
// For the build half. Where the library is missing, that is a status and no failure to load.
#include "plugins/cuda/emit/cuda_nvrtc.h"

#include <nvrtc.h>
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/library.h"
#include "core/base/status.h"

// clang-format off
#define FUNCTIONS(X)                                                                \
  X(nvrtcCreateProgram) X(nvrtcDestroyProgram) X(nvrtcCompileProgram)               \
  X(nvrtcGetProgramLogSize) X(nvrtcGetProgramLog) X(nvrtcGetCUBINSize)              \
  X(nvrtcGetCUBIN) X(nvrtcGetErrorString) X(nvrtcVersion)
// clang-format on

typedef struct nvrtc_s {
#define MEMBER(name) __typeof__(name)* name;
  FUNCTIONS(MEMBER)
#undef MEMBER
} nvrtc_t;

static trivet_status_t find_functions(const tvi_library_t* library, nvrtc_t* nvrtc) {
  void* address = NULL;
#define FIND(name)                                                      \
  TRIVET_RETURN_IF_ERROR(tvi_library_symbol(library, #name, &address)); \
  memcpy((void*)&nvrtc->name, (const void*)&address, sizeof(nvrtc->name));
  FUNCTIONS(FIND)
#undef FIND
  return TRIVET_OK;
}

static trivet_status_t check(const nvrtc_t* nvrtc, nvrtcResult result, const char* call) {
  if (result == NVRTC_SUCCESS) return TRIVET_OK;
  return TRIVET_STATUS(INTERNAL, "%s: %s", call, nvrtc->nvrtcGetErrorString(result));
}

#define CHECK(call) TRIVET_RETURN_IF_ERROR(check(nvrtc, nvrtc->call, #call))

static trivet_status_t read_log(const nvrtc_t* nvrtc, nvrtcProgram program,
                                trivet_allocator_t allocator, tvi_string_builder_t* log) {
  size_t size = 0;
  char* text = NULL;
  CHECK(nvrtcGetProgramLogSize(program, &size));
  if (size == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, size, &text));
  trivet_status_t status = check(nvrtc, nvrtc->nvrtcGetProgramLog(program, text), "the log");
  if (!status) tvi_string_builder_append_cstr(log, text);
  tvi_free(allocator, text, size);
  return status;
}

static trivet_status_t compile(const nvrtc_t* nvrtc, nvrtcProgram program, const char* architecture,
                               trivet_allocator_t allocator, uint8_t** out_cubin, size_t* out_size,
                               tvi_string_builder_t* log) {
  char option[64];
  snprintf(option, sizeof(option), "--gpu-architecture=%s", architecture);
  // A product is not joined with a sum unless the program says so.
  const char* options[] = {option,      "--std=c++17",       "--fmad=false", "--disable-warnings",
                           "--minimal", "--ptxas-options=-v"};
  const nvrtcResult result = nvrtc->nvrtcCompileProgram(
      program, (int)(sizeof(options) / sizeof(options[0])) - (log ? 0 : 1), options);
  if (result != NVRTC_SUCCESS) {
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, allocator);
    trivet_status_t status = read_log(nvrtc, program, allocator, &text);
    if (!status)
      status = TRIVET_STATUS(INTERNAL, "nvrtcCompileProgram for %s: %s: %.1000s", architecture,
                             nvrtc->nvrtcGetErrorString(result), text.data ? text.data : "");
    tvi_string_builder_deinit(&text);
    return status;
  }
  if (log) TRIVET_RETURN_IF_ERROR(read_log(nvrtc, program, allocator, log));
  size_t size = 0;
  uint8_t* cubin = NULL;
  CHECK(nvrtcGetCUBINSize(program, &size));
  if (size == 0)
    return TRIVET_STATUS(INTERNAL, "NVRTC gives no machine code for '%s'", architecture);
  TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, size, &cubin));
  trivet_status_t status =
      check(nvrtc, nvrtc->nvrtcGetCUBIN(program, (char*)cubin), "nvrtcGetCUBIN");
  if (status) {
    tvi_free(allocator, cubin, size);
    return status;
  }
  *out_cubin = cubin;
  *out_size = size;
  return TRIVET_OK;
}

static trivet_status_t open_nvrtc(trivet_allocator_t allocator, tvi_library_t** out_library,
                                  nvrtc_t* table) {
  static const char* const names[] = {"libnvrtc.so.13", "/usr/local/cuda/lib64/libnvrtc.so.13",
                                      "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so.12"};
  memset(table, 0, sizeof(*table));
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_library_open_any(names, sizeof(names) / sizeof(names[0]), allocator, out_library),
      "the CUDA target compiles its kernels with NVRTC");
  tvi_library_stay(*out_library);
  trivet_status_t status = find_functions(*out_library, table);
  if (status) tvi_library_close(*out_library);
  return status;
}

trivet_status_t tvi_cuda_nvrtc_version(trivet_allocator_t allocator, int* out_version) {
  tvi_library_t* library = NULL;
  nvrtc_t table;
  int major = 0, minor = 0;
  TRIVET_RETURN_IF_ERROR(open_nvrtc(allocator, &library, &table));
  trivet_status_t status = check(&table, table.nvrtcVersion(&major, &minor), "nvrtcVersion");
  tvi_library_close(library);
  TRIVET_RETURN_IF_ERROR(status);
  *out_version = 1000 * major + minor;
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_nvrtc_compile(const char* source, const char* architecture,
                                       trivet_allocator_t allocator, uint8_t** out_cubin,
                                       size_t* out_size, tvi_string_builder_t* log) {
  tvi_library_t* library = NULL;
  nvrtc_t table;
  const nvrtc_t* nvrtc = &table;
  TRIVET_RETURN_IF_ERROR(open_nvrtc(allocator, &library, &table));
  nvrtcProgram program = NULL;
  trivet_status_t status =
      check(nvrtc, table.nvrtcCreateProgram(&program, source, "kernel.cu", 0, NULL, NULL),
            "nvrtcCreateProgram");
  if (!status) status = compile(nvrtc, program, architecture, allocator, out_cubin, out_size, log);
  if (program) table.nvrtcDestroyProgram(&program);
  tvi_library_close(library);
  return status;
}
