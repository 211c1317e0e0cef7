// SPDX-License-Identifier: Apache-2.0
//
// The device of target "cuda": memory, streams, events and graphs by the driver's functions. The
// engine calls it between load and run; it knows no kernel.
#include "plugins/cuda/device/cuda_device.h"

#include <limits.h>
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "plugins/cuda/device/cuda_state.h"

// cuMemAlloc promises it.
#define MEMORY_ALIGNMENT 256u

static trivet_status_t check(const tvi_cuda_device_t* device, CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return TRIVET_OK;
  const char *name = NULL, *text = NULL;
  device->driver->cuGetErrorName(result, &name);
  device->driver->cuGetErrorString(result, &text);
  // Of a call with its arguments the name says enough.
  int length = (int)strcspn(call, "(");
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    return TRIVET_STATUS(OUT_OF_MEMORY, "%.*s: %s (out of memory on the device)", length, call,
                         name ? name : "CUDA_ERROR_OUT_OF_MEMORY");
  }
  return TRIVET_STATUS(INTERNAL, "%.*s: %s (%s)", length, call, name ? name : "unknown error",
                       text ? text : "no text");
}

static cuda_state_t* state_of(void* state) { return (cuda_state_t*)state; }

static trivet_status_t make_current(cuda_state_t* s) {
  return check(&s->device, s->driver.cuCtxSetCurrent(s->device.context), "cuCtxSetCurrent");
}

// --- Open, close, describe --------------------------------------------------------------

static trivet_status_t read_device(cuda_state_t* s, uint32_t ordinal) {
  tvi_cuda_device_t* d = &s->device;
  CUresult result = s->driver.cuInit(0);
  int count = 0;
  if (result == CUDA_SUCCESS) result = s->driver.cuDeviceGetCount(&count);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NO_DEVICE) {
    trivet_status_t status = check(d, result, "cuInit");
    trivet_status_t unavailable = TRIVET_STATUS(
        UNAVAILABLE, "driver '%s' of CUDA %d.%d does not start: %s", tvi_library_path(s->library),
        d->driver_version / 1000, d->driver_version % 1000 / 10, trivet_status_message(status));
    trivet_status_free(status);
    return unavailable;
  }
  if (ordinal >= (uint32_t)count) {
    return TRIVET_STATUS(UNAVAILABLE,
                         "device %u of CUDA was asked for; driver '%s' of CUDA %d.%d reports %d",
                         ordinal, tvi_library_path(s->library), d->driver_version / 1000,
                         d->driver_version % 1000 / 10, count);
  }
  TVI_CUDA_RETURN_IF_ERROR(d, cuDeviceGet(&d->ordinal, (int)ordinal));
  struct {
    CUdevice_attribute attribute;
    int* to;
  } wanted[] = {
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &d->major},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &d->minor},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &d->multiprocessor_count},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &d->shared_memory_per_block},
  };
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); ++i) {
    TVI_CUDA_RETURN_IF_ERROR(d,
                             cuDeviceGetAttribute(wanted[i].to, wanted[i].attribute, d->ordinal));
  }
  TVI_CUDA_RETURN_IF_ERROR(d, cuDevicePrimaryCtxRetain(&d->context, d->ordinal));
  s->is_retained = true;
  return make_current(s);
}

static void device_close(const trivet_device_t* definition, void* state) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  if (s->is_retained) {
    // What is destroyed below belongs to the context; a device that fails cannot be told so.
    trivet_status_free(make_current(s));
  }
  cuda_shared_deinit(s);
  if (s->is_retained) {
    (void)s->driver.cuCtxSetCurrent(NULL);
    (void)s->driver.cuDevicePrimaryCtxRelease(s->device.ordinal);
  }
  cuda_driver_close(s);
  tvi_free(s->allocator, s, sizeof(*s));
}

static trivet_status_t device_open(const trivet_device_t* definition, uint32_t ordinal,
                                   const trivet_allocator_t* allocator, void** out_state) {
  cuda_state_t* s;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*allocator, sizeof(*s), &s));
  s->allocator = *allocator;
  s->device.allocator = &s->allocator;
  s->device.check = check;
  cuda_record_init(s);
  trivet_status_t status = cuda_shared_init(s);
  if (status) {
    tvi_free(*allocator, s, sizeof(*s));
    return status;
  }
  // |self| names another driver library, for tests.
  status = cuda_driver_open((const char*)definition->self, s);
  if (!status) status = read_device(s, ordinal);
  if (status) {
    device_close(definition, s);
    return status;
  }
  *out_state = s;
  return TRIVET_OK;
}

static trivet_status_t device_describe(const trivet_device_t* definition, void* state,
                                       trivet_device_info_t* out_info) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  const tvi_cuda_device_t* d = &s->device;
  trivet_device_info_t info;
  memset(&info, 0, sizeof(info));
  info.header = out_info->header;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(d, cuDeviceGetName(info.name, (int)sizeof(info.name), d->ordinal));
  int clock = 0, memory_clock = 0;
  TVI_CUDA_RETURN_IF_ERROR(
      d, cuDeviceGetAttribute(&clock, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, d->ordinal));
  TVI_CUDA_RETURN_IF_ERROR(
      d, cuDeviceGetAttribute(&memory_clock, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, d->ordinal));
  size_t free_size = 0, size = 0;
  TVI_CUDA_RETURN_IF_ERROR(d, cuMemGetInfo(&free_size, &size));
  snprintf(info.target, sizeof(info.target), "cuda:sm_%d%d", d->major, d->minor);
  snprintf(info.signature, sizeof(info.signature),
           "%.60s sm_%d%d %dx%d kHz, memory %d kHz, CUDA %d", info.name, d->major, d->minor,
           d->multiprocessor_count, clock, memory_clock, d->driver_version);
  // Of tensor cores, each cycle of a multiprocessor, without sparsity.
  int each = d->major == 9                     ? 4096
             : d->major == 10                  ? 8192
             : d->major == 8 && d->minor == 0  ? 2048
             : d->major == 8 || d->major == 12 ? 1024
                                               : 0;
  info.peak_flops = (uint64_t)each * (uint64_t)d->multiprocessor_count * (uint64_t)clock * 1000;
  info.memory_size = size;
  info.memory_free = free_size;
  info.alignment = MEMORY_ALIGNMENT;
  *out_info = info;
  return TRIVET_OK;
}

static trivet_status_t device_enter(const trivet_device_t* definition, void* state) {
  (void)definition;
  return make_current(state_of(state));
}

// "arch:sm_90": a cubin for 9.0 runs on every 9.x from there. "arch:sm_90a": on 9.0 alone.
// "arch:sm_100f": on its family, which is the same rule as the first.
static uint32_t device_meets(const trivet_device_t* definition, void* state,
                             trivet_string_view_t requirement) {
  (void)definition;
  const tvi_cuda_device_t* d = &state_of(state)->device;
  static const char prefix[] = "arch:sm_";
  size_t at = sizeof(prefix) - 1;
  if (requirement.size <= at || memcmp(requirement.data, prefix, at) != 0) return 0;
  int number = 0;
  for (; at < requirement.size && requirement.data[at] >= '0' && requirement.data[at] <= '9';
       ++at) {
    if (number > 9999) return 0;
    number = number * 10 + (requirement.data[at] - '0');
  }
  bool exact = false;
  if (at + 1 == requirement.size) {
    exact = requirement.data[at] == 'a';
    if (!exact && requirement.data[at] != 'f') return 0;
  } else if (at != requirement.size) {
    return 0;
  }
  if (exact) return number == d->major * 10 + d->minor;
  return number / 10 == d->major && number % 10 <= d->minor;
}

// --- Memory -----------------------------------------------------------------------------

static trivet_status_t device_allocate(const trivet_device_t* definition, void* state,
                                       uint32_t where, uint64_t size, void** out_address) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  if (size == 0) size = 1;
  if (where == TRIVET_MEMORY_HOST) {
    void* address = NULL;
    CUresult result = s->driver.cuMemHostAlloc(&address, size, CU_MEMHOSTALLOC_PORTABLE);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check(&s->device, result, "cuMemHostAlloc"), "%llu bytes",
                                     (unsigned long long)size);
    *out_address = address;
    return TRIVET_OK;
  }
  CUdeviceptr address = 0;
  CUresult result = s->driver.cuMemAlloc(&address, size);
  TRIVET_RETURN_IF_ERROR_ANNOTATED(check(&s->device, result, "cuMemAlloc"), "%llu bytes",
                                   (unsigned long long)size);
  *out_address = (void*)(uintptr_t)address;
  return TRIVET_OK;
}

static void device_release(const trivet_device_t* definition, void* state, uint32_t where,
                           void* address, uint64_t size) {
  (void)definition, (void)size;
  cuda_state_t* s = state_of(state);
  if (!address) return;
  trivet_status_free(make_current(s));
  if (where == TRIVET_MEMORY_HOST) {
    (void)s->driver.cuMemFreeHost(address);
  } else {
    (void)s->driver.cuMemFree((CUdeviceptr)(uintptr_t)address);
  }
}

static trivet_status_t device_locate(const trivet_device_t* definition, void* state,
                                     const void* address, uint32_t* out_where) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  unsigned int type = 0;
  int ordinal = s->device.ordinal;
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void* values[] = {&type, &ordinal};
  TVI_CUDA_RETURN_IF_ERROR(
      &s->device, cuPointerGetAttributes(2, wanted, values, (CUdeviceptr)(uintptr_t)address));
  // Memory that the driver has not given has no type.
  if (type == 0 || type == CU_MEMORYTYPE_HOST) {
    *out_where = TRIVET_MEMORY_HOST;
    return TRIVET_OK;
  }
  if (ordinal != s->device.ordinal) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "address %p lies on device %d of CUDA, not on %d",
                         address, ordinal, s->device.ordinal);
  }
  *out_where = TRIVET_MEMORY_DEVICE;
  return TRIVET_OK;
}

static trivet_status_t device_copy(const trivet_device_t* definition, void* state, void* stream,
                                   void* target, const void* source, uint64_t size) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  if (size == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(
      &s->device, cuMemcpyAsync((CUdeviceptr)(uintptr_t)target, (CUdeviceptr)(uintptr_t)source,
                                size, (CUstream)stream));
  return TRIVET_OK;
}

// --- Streams, events --------------------------------------------------------------------

static trivet_status_t device_stream_create(const trivet_device_t* definition, void* state,
                                            void** out_stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  CUstream stream = NULL;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  *out_stream = stream;
  return TRIVET_OK;
}

static void device_stream_destroy(const trivet_device_t* definition, void* state, void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  if (!stream) return;
  trivet_status_free(make_current(s));
  (void)s->driver.cuStreamDestroy((CUstream)stream);
}

static trivet_status_t device_stream_synchronize(const trivet_device_t* definition, void* state,
                                                 void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuStreamSynchronize((CUstream)stream));
  return TRIVET_OK;
}

static trivet_status_t device_stream_check(const trivet_device_t* definition, void* state,
                                           void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  CUcontext context = NULL;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuStreamGetCtx((CUstream)stream, &context));
  if (context == s->device.context) return TRIVET_OK;
  return TRIVET_STATUS(INVALID_ARGUMENT,
                       "it belongs to another context of CUDA than the primary one of device %d",
                       s->device.ordinal);
}

// Ranges go to the tool that the environment of NVTX names, if any: a profiler sets it.
static void device_range_begin(const trivet_device_t* definition, void* state, const char* name) {
  (void)definition, (void)state;
  (void)nvtxRangePushA(name);
}

static void device_range_end(const trivet_device_t* definition, void* state) {
  (void)definition, (void)state;
  (void)nvtxRangePop();
}

static trivet_status_t device_event_create(const trivet_device_t* definition, void* state,
                                           void** out_event) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  CUevent event = NULL;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuEventCreate(&event, CU_EVENT_DEFAULT));
  *out_event = event;
  return TRIVET_OK;
}

static void device_event_destroy(const trivet_device_t* definition, void* state, void* event) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  if (!event) return;
  trivet_status_free(make_current(s));
  (void)s->driver.cuEventDestroy((CUevent)event);
}

static trivet_status_t device_event_record(const trivet_device_t* definition, void* state,
                                           void* event, void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuEventRecord((CUevent)event, (CUstream)stream));
  return TRIVET_OK;
}

static trivet_status_t device_stream_wait(const trivet_device_t* definition, void* state,
                                          void* stream, void* event) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuStreamWaitEvent((CUstream)stream, (CUevent)event, 0));
  return TRIVET_OK;
}

static trivet_status_t device_elapsed(const trivet_device_t* definition, void* state, void* begin,
                                      void* end, uint64_t* out_nanoseconds) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  float milliseconds = 0;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuEventSynchronize((CUevent)end));
  TVI_CUDA_RETURN_IF_ERROR(&s->device,
                           cuEventElapsedTime(&milliseconds, (CUevent)begin, (CUevent)end));
  *out_nanoseconds = milliseconds > 0 ? (uint64_t)((double)milliseconds * 1e6 + 0.5) : 0;
  return TRIVET_OK;
}

// --- Graphs -----------------------------------------------------------------------------

static trivet_status_t device_capture_begin(const trivet_device_t* definition, void* state,
                                            void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  // Relaxed: other threads of the process, and libraries that load lazily, go on as they like.
  TVI_CUDA_RETURN_IF_ERROR(&s->device,
                           cuStreamBeginCapture((CUstream)stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  return TRIVET_OK;
}

static trivet_status_t device_capture_end(const trivet_device_t* definition, void* state,
                                          void* stream, void** out_graph) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  CUgraph graph = NULL;
  CUgraphExec exec = NULL;
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuStreamEndCapture((CUstream)stream, &graph));
  cuda_fill_by_kernels(s, graph);
  CUresult result = s->driver.cuGraphInstantiateWithFlags(&exec, graph, 0);
  (void)s->driver.cuGraphDestroy(graph);
  TRIVET_RETURN_IF_ERROR(check(&s->device, result, "cuGraphInstantiateWithFlags"));
  result = s->driver.cuGraphUpload(exec, (CUstream)stream);
  if (result != CUDA_SUCCESS) (void)s->driver.cuGraphExecDestroy(exec);
  TRIVET_RETURN_IF_ERROR(check(&s->device, result, "cuGraphUpload"));
  *out_graph = exec;
  return TRIVET_OK;
}

static trivet_status_t device_graph_launch(const trivet_device_t* definition, void* state,
                                           void* graph, void* stream) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  TRIVET_RETURN_IF_ERROR(make_current(s));
  TVI_CUDA_RETURN_IF_ERROR(&s->device, cuGraphLaunch((CUgraphExec)graph, (CUstream)stream));
  return TRIVET_OK;
}

static void device_graph_destroy(const trivet_device_t* definition, void* state, void* graph) {
  (void)definition;
  cuda_state_t* s = state_of(state);
  if (!graph) return;
  trivet_status_free(make_current(s));
  (void)s->driver.cuGraphExecDestroy((CUgraphExec)graph);
}

const trivet_device_t tvi_cuda_device_definition = {
    .header = TRIVET_HEADER(trivet_device_t, TRIVET_STRUCT_DEVICE),
    .target = "cuda",
    .summary = "NVIDIA GPUs by the driver's functions",
    .version = 1,
    .open = device_open,
    .close = device_close,
    .describe = device_describe,
    .enter = device_enter,
    .meets = device_meets,
    .allocate = device_allocate,
    .release = device_release,
    .locate = device_locate,
    .stream_create = device_stream_create,
    .stream_destroy = device_stream_destroy,
    .stream_synchronize = device_stream_synchronize,
    .copy = device_copy,
    .event_create = device_event_create,
    .event_destroy = device_event_destroy,
    .event_record = device_event_record,
    .stream_wait = device_stream_wait,
    .elapsed = device_elapsed,
    .capture_begin = device_capture_begin,
    .capture_end = device_capture_end,
    .graph_launch = device_graph_launch,
    .graph_destroy = device_graph_destroy,
    .stream_check = device_stream_check,
    .range_begin = device_range_begin,
    .range_end = device_range_end,
};
