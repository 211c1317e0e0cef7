// SPDX-License-Identifier: Apache-2.0
//
// A target of its own, whole: plans for "template_target" are built, loaded and run. Its memory is
// the host's under addresses that nobody can follow by mistake, its streams run at once, and its
// general kernel lets the host's do the work. To copy from: it includes plugin.h alone. Replace one
// function after the other by what your device does; everything keeps running meanwhile.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "trivet/plugin.h"

#define TARGET "template_target"
#define ARCHITECTURE "v1"
#define TAG ((uintptr_t)1 << 56)  // of addresses of the device: no processor follows it
#define ALIGNMENT 256u
#define MEMORY_SIZE ((uint64_t)1 << 30)

// An open device. The runtime opens it once for all engines.
typedef struct state_s {
  trivet_allocator_t allocator;
  uint64_t used;  // bytes of the device, counted from any thread
  void* stream;   // streams have no state: all of them are this address
} state_t;

static uint32_t is_device(const void* address) { return ((uintptr_t)address & TAG) != 0; }
static void* host_address(const void* address) { return (void*)((uintptr_t)address & ~TAG); }

// A plugin links nothing of Trivet: statuses without a message are made by the header alone.
static trivet_status_t failure(uint32_t code) { return TRIVET_STATUS_BARE(code); }

// --- Device --------------------------------------------------------------------------------------

static trivet_status_t open_device(const trivet_device_t* device, uint32_t ordinal,
                                   const trivet_allocator_t* allocator, void** out_state) {
  (void)device;
  if (ordinal != 0) return failure(TRIVET_STATUS_UNAVAILABLE);  // there is one
  state_t* state = (state_t*)allocator->allocate(allocator->self, sizeof(*state), sizeof(void*));
  if (!state) return failure(TRIVET_STATUS_OUT_OF_MEMORY);
  *state = (state_t){*allocator, 0, 0};
  *out_state = state;
  return 0;
}

static void close_device(const trivet_device_t* device, void* pointer) {
  (void)device;
  trivet_allocator_t allocator = ((state_t*)pointer)->allocator;
  allocator.deallocate(allocator.self, pointer, sizeof(state_t), sizeof(void*));
}

// `target` is what plans for it are built with, `signature` all that measured times depend on.
static trivet_status_t describe(const trivet_device_t* device, void* pointer,
                                trivet_device_info_t* out_info) {
  (void)device;
  state_t* state = (state_t*)pointer;
  snprintf(out_info->name, sizeof(out_info->name), "template device");
  snprintf(out_info->target, sizeof(out_info->target), "%s:%s", TARGET, ARCHITECTURE);
  snprintf(out_info->signature, sizeof(out_info->signature), "%s %s", TARGET, ARCHITECTURE);
  out_info->memory_size = MEMORY_SIZE;
  out_info->memory_free = MEMORY_SIZE - __atomic_load_n(&state->used, __ATOMIC_RELAXED);
  out_info->alignment = ALIGNMENT;
  return 0;
}

static trivet_status_t enter(const trivet_device_t* device, void* state) {
  (void)device, (void)state;
  return 0;
}

static uint32_t meets(const trivet_device_t* device, void* state,
                      trivet_string_view_t requirement) {
  (void)device, (void)state;
  static const char kKnown[] = "arch:" ARCHITECTURE;
  return requirement.size == sizeof(kKnown) - 1 &&
         memcmp(requirement.data, kKnown, requirement.size) == 0;
}

static trivet_status_t allocate(const trivet_device_t* device, void* pointer, uint32_t where,
                                uint64_t size, void** out_address) {
  (void)device;
  state_t* state = (state_t*)pointer;
  uint64_t used = __atomic_add_fetch(&state->used, size, __ATOMIC_RELAXED);
  void* memory = used <= MEMORY_SIZE
                     ? state->allocator.allocate(state->allocator.self, (size_t)size, ALIGNMENT)
                     : 0;
  if (!memory) {
    __atomic_sub_fetch(&state->used, size, __ATOMIC_RELAXED);
    return failure(TRIVET_STATUS_OUT_OF_MEMORY);
  }
  memset(memory, 0xa5, (size_t)size);  // who reads what nobody wrote sees it
  *out_address = where == TRIVET_MEMORY_DEVICE ? (void*)((uintptr_t)memory | TAG) : memory;
  return 0;
}

static void release(const trivet_device_t* device, void* pointer, uint32_t where, void* address,
                    uint64_t size) {
  (void)device, (void)where;
  state_t* state = (state_t*)pointer;
  state->allocator.deallocate(state->allocator.self, host_address(address), (size_t)size,
                              ALIGNMENT);
  __atomic_sub_fetch(&state->used, size, __ATOMIC_RELAXED);
}

static trivet_status_t locate(const trivet_device_t* device, void* state, const void* address,
                              uint32_t* out_where) {
  (void)device, (void)state;
  *out_where = is_device(address) ? TRIVET_MEMORY_DEVICE : TRIVET_MEMORY_HOST;
  return 0;
}

// Everything runs when it is queued, so a stream is a name and there is nothing to wait for.
static trivet_status_t stream_create(const trivet_device_t* device, void* pointer,
                                     void** out_stream) {
  (void)device;
  *out_stream = &((state_t*)pointer)->stream;
  return 0;
}
static void stream_destroy(const trivet_device_t* device, void* state, void* stream) {
  (void)device, (void)state, (void)stream;
}
static trivet_status_t stream_synchronize(const trivet_device_t* device, void* state,
                                          void* stream) {
  (void)device, (void)state, (void)stream;
  return 0;
}
static trivet_status_t stream_wait(const trivet_device_t* device, void* state, void* stream,
                                   void* event) {
  (void)device, (void)state, (void)stream, (void)event;
  return 0;
}

static trivet_status_t copy(const trivet_device_t* device, void* state, void* stream, void* target,
                            const void* source, uint64_t size) {
  (void)device, (void)state, (void)stream;
  memmove(host_address(target), host_address(source), (size_t)size);
  return 0;
}

// An event is the time at which it was recorded.
static trivet_status_t event_create(const trivet_device_t* device, void* pointer,
                                    void** out_event) {
  (void)device;
  const trivet_allocator_t* allocator = &((state_t*)pointer)->allocator;
  int64_t* event = (int64_t*)allocator->allocate(allocator->self, sizeof(*event), sizeof(*event));
  if (!event) return failure(TRIVET_STATUS_OUT_OF_MEMORY);
  *event = 0;
  *out_event = event;
  return 0;
}
static void event_destroy(const trivet_device_t* device, void* pointer, void* event) {
  (void)device;
  const trivet_allocator_t* allocator = &((state_t*)pointer)->allocator;
  allocator->deallocate(allocator->self, event, sizeof(int64_t), sizeof(int64_t));
}
static trivet_status_t event_record(const trivet_device_t* device, void* state, void* event,
                                    void* stream) {
  (void)device, (void)state, (void)stream;
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  *(int64_t*)event = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  return 0;
}
static trivet_status_t elapsed(const trivet_device_t* device, void* state, void* begin, void* end,
                               uint64_t* out_nanoseconds) {
  (void)device, (void)state;
  *out_nanoseconds = (uint64_t)(*(int64_t*)end - *(int64_t*)begin);
  return 0;
}

// The device has no graphs; runs are launched step by step.
static trivet_status_t capture_begin(const trivet_device_t* device, void* state, void* stream) {
  (void)device, (void)state, (void)stream;
  return failure(TRIVET_STATUS_UNIMPLEMENTED);
}
static trivet_status_t capture_end(const trivet_device_t* device, void* state, void* stream,
                                   void** out_graph) {
  (void)device, (void)state, (void)stream, (void)out_graph;
  return failure(TRIVET_STATUS_UNIMPLEMENTED);
}
static trivet_status_t graph_launch(const trivet_device_t* device, void* state, void* graph,
                                    void* stream) {
  (void)device, (void)state, (void)graph, (void)stream;
  return failure(TRIVET_STATUS_UNIMPLEMENTED);
}
static void graph_destroy(const trivet_device_t* device, void* state, void* graph) {
  (void)device, (void)state, (void)graph;
}

static const trivet_device_t the_device = {
    .header = TRIVET_HEADER(trivet_device_t, TRIVET_STRUCT_DEVICE),
    .target = TARGET,
    .summary = "a device to copy from: its memory is the host's, under other addresses",
    .version = 1,
    .open = open_device,
    .close = close_device,
    .describe = describe,
    .enter = enter,
    .meets = meets,
    .allocate = allocate,
    .release = release,
    .locate = locate,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .copy = copy,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait = stream_wait,
    .elapsed = elapsed,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
};

// --- Kernel: every program, by the host's general kernel -----------------------------------------

// What propose and emit of a real target do: read the region, price it, write a program for the
// device into the blob. Here the host's kernel does both in this one's name.
static const trivet_kernel_t* host_of(const trivet_region_t* region) {
  const trivet_region_api_t* api = trivet_region_api(region);
  return api->struct_size > offsetof(trivet_region_api_t, host_kernel) ? api->host_kernel(region)
                                                                       : 0;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_kernel_t* host = host_of(region);
  if (host) return host->propose(kernel, region, proposal);
  TRIVET_PROPOSAL_DECLINE(proposal, kernel, "the plugin of target cpu is not loaded");
  return 0;
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  const trivet_kernel_t* host = host_of(region);
  return host ? host->emit(kernel, region, tactic, emission)
              : failure(TRIVET_STATUS_FAILED_PRECONDITION);
}

typedef struct loaded_s {
  const trivet_kernel_t* host;
  void* inner;
} loaded_t;

typedef struct prepared_s {
  const trivet_kernel_t* host;
  void* inner;
  uint64_t size;  // of this
  uint64_t count;
  void* addresses[];
} prepared_t;

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  const trivet_kernel_t* host =
      TRIVET_HAS_FIELD(request, trivet_kernel_load_t, host_kernel) ? request->host_kernel : 0;
  if (!host || !request->device) return failure(TRIVET_STATUS_FAILED_PRECONDITION);
  const trivet_allocator_t* a = request->allocator;
  loaded_t* loaded = (loaded_t*)a->allocate(a->self, sizeof(*loaded), sizeof(void*));
  if (!loaded) return failure(TRIVET_STATUS_OUT_OF_MEMORY);
  loaded->host = host;
  trivet_status_t status = host->load(host, request, &loaded->inner);  // verifies the blob
  if (status) {
    a->deallocate(a->self, loaded, sizeof(*loaded), sizeof(void*));
    return status;
  }
  *out_loaded = loaded;
  return 0;
}

static void unload(const trivet_kernel_t* kernel, void* pointer, const trivet_allocator_t* a) {
  (void)kernel;
  loaded_t* loaded = (loaded_t*)pointer;
  loaded->host->unload(loaded->host, loaded->inner, a);
  a->deallocate(a->self, loaded, sizeof(*loaded), sizeof(void*));
}

// Constants lie in the device's memory, so the host's kernel gets where that is for it.
static trivet_status_t prepare(const trivet_kernel_t* kernel, void* pointer,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const loaded_t* loaded = (const loaded_t*)pointer;
  const trivet_allocator_t* a = request->allocator;
  const uint64_t count = request->operand_count;
  const size_t operand_bytes = (size_t)(count + 1) * sizeof(trivet_operand_t);
  const size_t size = sizeof(prepared_t) + (size_t)count * sizeof(void*);
  trivet_operand_t* operands =
      (trivet_operand_t*)a->allocate(a->self, operand_bytes, sizeof(void*));
  prepared_t* prepared = (prepared_t*)a->allocate(a->self, size, sizeof(void*));
  trivet_status_t status = 0;
  if (!operands || !prepared) status = failure(TRIVET_STATUS_OUT_OF_MEMORY);
  if (!status) {
    *prepared = (prepared_t){loaded->host, 0, size, count};
    for (uint64_t i = 0; i < count; ++i) {
      operands[i] = request->operands[i];
      operands[i].constant = host_address(operands[i].constant);
    }
    trivet_kernel_prepare_t own = *request;
    own.operands = operands;
    own.executor = 0;
    status = loaded->host->prepare(loaded->host, loaded->inner, &own, out_workspace_size,
                                   &prepared->inner);
  }
  if (operands) a->deallocate(a->self, operands, operand_bytes, sizeof(void*));
  if (status && prepared) a->deallocate(a->self, prepared, size, sizeof(void*));
  if (!status) *out_prepared = prepared;
  return status;
}

static void release_prepared(const trivet_kernel_t* kernel, void* pointer,
                             const trivet_allocator_t* a) {
  (void)kernel;
  prepared_t* prepared = (prepared_t*)pointer;
  if (!prepared) return;
  prepared->host->release(prepared->host, prepared->inner, a);
  a->deallocate(a->self, prepared, (size_t)prepared->size, sizeof(void*));
}

// A real target queues a launch on launch->stream and returns.
static trivet_status_t run(const trivet_kernel_t* kernel, void* pointer,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  prepared_t* prepared = (prepared_t*)pointer;
  for (uint64_t i = 0; i < prepared->count; ++i) {
    // An operand that nobody brought to the device would be a mistake of the host.
    if (launch->addresses[i] && !is_device(launch->addresses[i])) {
      return failure(TRIVET_STATUS_INVALID_ARGUMENT);
    }
    prepared->addresses[i] = host_address(launch->addresses[i]);
  }
  const trivet_kernel_launch_t own = {.addresses = prepared->addresses,
                                      .workspace = host_address(launch->workspace)};
  return prepared->host->run(prepared->host, prepared->inner, &own);
}

static const trivet_kernel_t the_kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = TARGET ".general",
    .target = TARGET,
    .summary = "runs every program, as the host does",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_GENERAL,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release_prepared,
    .run = run,
};

TRIVET_PLUGIN_HALVES("template_target", "1.0", "a target", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &the_device, &the_kernel)
