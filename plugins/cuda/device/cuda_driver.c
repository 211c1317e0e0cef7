// SPDX-License-Identifier: Apache-2.0
//
// The driver as a table of functions, found by name: nothing is linked, so that one binary serves
// machines with and without a GPU.
#include <dlfcn.h>
#include <string.h>

#include "core/base/status.h"
#include "plugins/cuda/device/cuda_state.h"

#define DRIVER_LIBRARY "libcuda.so.1"
#define OLDEST_DRIVER 12000  // of CUDA 12.0: lazy loading of modules, graphs with flags

// cuda.h gives functions versioned names by macros: they have to be expanded before they become
// text.
#define NAME_TEXT(name) #name

static trivet_status_t find(const tvi_library_t* library, int version, const char* name,
                            void* out_function) {
  void* address = tvi_library_try_symbol(library, name);
  if (!address) {
    return TRIVET_STATUS(UNAVAILABLE,
                         "driver '%s' of CUDA %d.%d has no function %s; one of CUDA %d.%d has it",
                         tvi_library_path(library), version / 1000, version % 1000 / 10, name,
                         CUDA_VERSION / 1000, CUDA_VERSION % 1000 / 10);
  }
  memcpy(out_function, &address, sizeof(address));
  return TRIVET_OK;
}

static trivet_status_t find_all(cuda_state_t* state) {
  int version = 0;
  CUresult (*get_version)(int*) = NULL;
  TRIVET_RETURN_IF_ERROR(find(state->library, 0, "cuDriverGetVersion", &get_version));
  if (get_version(&version) != CUDA_SUCCESS || version < OLDEST_DRIVER) {
    return TRIVET_STATUS(UNAVAILABLE, "driver '%s' is of CUDA %d.%d; %d.%d or newer is needed",
                         tvi_library_path(state->library), version / 1000, version % 1000 / 10,
                         OLDEST_DRIVER / 1000, OLDEST_DRIVER % 1000 / 10);
  }
#define FIND(name) \
  TRIVET_RETURN_IF_ERROR(find(state->library, version, NAME_TEXT(name), &state->driver.name));
  TVI_CUDA_DRIVER_FUNCTIONS(FIND)
#undef FIND
#define TRY(name)                                                            \
  {                                                                          \
    void* address = tvi_library_try_symbol(state->library, NAME_TEXT(name)); \
    memcpy(&state->driver.name, &address, sizeof(address));                  \
  }
  TVI_CUDA_DRIVER_LATER_FUNCTIONS(TRY)
#undef TRY
  state->device.driver = &state->driver;
  state->device.driver_version = version;
  return TRIVET_OK;
}

trivet_status_t cuda_driver_open(const char* path, cuda_state_t* state) {
  const char* name = path ? path : DRIVER_LIBRARY;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_library_open_any(&name, 1, state->allocator, &state->library),
      "no driver of CUDA is installed");
  trivet_status_t status = find_all(state);
  if (status) {
    cuda_driver_close(state);
    return status;
  }
  // The driver keeps threads and data of threads: it stays where it is.
  void* pinned = dlopen(tvi_library_path(state->library), RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  if (pinned) dlclose(pinned);
  return TRIVET_OK;
}

void cuda_driver_close(cuda_state_t* state) {
  tvi_library_close(state->library);
  state->library = NULL;
}
