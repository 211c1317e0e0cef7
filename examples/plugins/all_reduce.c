// SPDX-License-Identifier: Apache-2.0
//
// A library of somebody else's inside a kernel, opened when the plan is loaded: the sum over all
// devices by NCCL, on the stream of the step. Building needs neither the library nor a device; a
// machine without it refuses the plan with a message that says what is missing. Who communicates is
// the program's choice: it hands its communicator over by all_reduce_join before it loads plans; a
// program that does not is alone.
#include <dlfcn.h>
#include <string.h>

#include "trivet/plugin.h"

// A test puts others here.
#ifndef NCCL_LIBRARY
#define NCCL_LIBRARY "libnccl.so.2"
#define NCCL_TARGET "cuda"
#endif
#define NCCL_FLOAT 7  // of ncclDataType_t
#define NCCL_SUM 0    // of ncclRedOp_t

typedef int (*init_all_t)(void** out_communicators, int device_count, const int* devices);
typedef int (*destroy_t)(void* communicator);
typedef int (*all_reduce_t)(const void* from, void* to, size_t count, int type, int op,
                            void* communicator, void* stream);

typedef struct loaded_s {
  void* library;
  void* communicator;
  destroy_t destroy;  // NULL: the communicator is the program's
  all_reduce_t all_reduce;
} loaded_t;

typedef struct prepared_s {
  const loaded_t* loaded;
  size_t count;
} prepared_t;

// Alone, a device's sum over all devices is what it has.
TRIVET_OPERATOR(all_reduce, "acme.AllReduce", 1, "sum over all devices",
                "op acme.AllReduce/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");

static void* joined;  // the process's communicator; NULL: alone

// Exported for the program, which finds it by dlsym.
__attribute__((visibility("default"))) void all_reduce_join(void* communicator);
void all_reduce_join(void* communicator) { joined = communicator; }

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x, y;
  if (api->node_count(region) != 1 ||
      strcmp(api->node_operator(region, 0), "acme.AllReduce") != 0 || api->operand(region, 0, &x) ||
      api->operand(region, 1, &y) || !(x.flags & y.flags & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not acme.AllReduce alone, on dense values");
    return NULL;
  }
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1, "nccl");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)region, (void)tactic;
  const trivet_emission_api_t* api = trivet_emission_api(emission);
  trivet_status_t status = api->operand(emission, 0);
  if (!status) status = api->operand(emission, 1);
  // The library says so of ncclAllReduce: both addresses may be the same.
  if (!status) status = api->in_place(emission, 0);
  return status;
}

// A function of the library, or NULL.
static void* symbol(const loaded_t* l, const char* name) { return dlsym(l->library, name); }

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  loaded_t* l = loaded;
  if (l->destroy && l->communicator) l->destroy(l->communicator);
  if (l->library) dlclose(l->library);
  allocator->deallocate(allocator->self, l, sizeof(*l), 8);
}

static trivet_status_t open_library(loaded_t* l, const trivet_kernel_load_t* request) {
  l->library = dlopen(NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!l->library)
    return request->error(TRIVET_STATUS_UNAVAILABLE,
                          "acme.AllReduce needs the library " NCCL_LIBRARY ": %s", dlerror());
  void *all_reduce = symbol(l, "ncclAllReduce"), *init = symbol(l, "ncclCommInitAll"),
       *destroy = symbol(l, "ncclCommDestroy");
  if (!all_reduce || !init || !destroy)
    return request->error(TRIVET_STATUS_INCOMPATIBLE,
                          "the library " NCCL_LIBRARY " lacks functions of NCCL 2");
  memcpy(&l->all_reduce, &all_reduce, sizeof(all_reduce));
  l->communicator = joined;
  if (joined) return NULL;
  init_all_t init_all;
  const int first = 0;
  memcpy(&init_all, &init, sizeof(init));
  const int result = init_all(&l->communicator, 1, &first);
  if (result)
    return request->error(TRIVET_STATUS_UNAVAILABLE, "ncclCommInitAll answers %d", result);
  memcpy(&l->destroy, &destroy, sizeof(destroy));
  return NULL;
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  // A host before 1.4 has no way to say what is wrong.
  if (!TRIVET_HAS_FIELD(request, trivet_kernel_load_t, error))
    return TRIVET_STATUS_BARE(TRIVET_STATUS_INCOMPATIBLE);
  loaded_t* l = request->allocator->allocate(request->allocator->self, sizeof(*l), 8);
  if (!l) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memset(l, 0, sizeof(*l));
  trivet_status_t status = open_library(l, request);
  if (status) {
    unload(kernel, l, request->allocator);
  } else {
    *out_loaded = l;
  }
  return status;
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  if (request->operand_count != 2) return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  prepared_t* p = request->allocator->allocate(request->allocator->self, sizeof(*p), 8);
  if (!p) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  *p = (prepared_t){loaded, 1};
  for (uint32_t d = 0; d < request->operands[0].rank; ++d)
    p->count *= (size_t)request->operands[0].dims[d];
  *out_workspace_size = 0;
  *out_prepared = p;
  return NULL;
}

static void release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, prepared, sizeof(prepared_t), 8);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = prepared;
  const int result =
      p->loaded->all_reduce(launch->addresses[0], launch->addresses[1], p->count, NCCL_FLOAT,
                            NCCL_SUM, p->loaded->communicator, launch->stream);
  return result ? TRIVET_STATUS_BARE(TRIVET_STATUS_INTERNAL) : NULL;
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "all_reduce.nccl",
    .target = NCCL_TARGET,
    .summary = "sums over all devices by NCCL",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

TRIVET_PLUGIN_HALVES("all_reduce", "1.0", "one operator by a library of somebody else's",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &all_reduce, &kernel)
