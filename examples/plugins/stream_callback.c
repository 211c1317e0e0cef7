// SPDX-License-Identifier: Apache-2.0
//
// A kernel as a C callback that enqueues on the stream: rows of two matrices below each other, by
// two copies of the driver. run is captured and replayed like everything else. Everywhere else, and
// where the two are computed by one kernel with their neighbours, the text is what runs.
#include <dlfcn.h>
#include <string.h>

#include "trivet/plugin.h"

TRIVET_OPERATOR(append, "acme.Append", 1, "a above b",
                "op acme.Append/1 (a: T[N, K], b: T[M, K]) -> (y: T[N + M, K]) where T: any\n"
                "y[i, k] = i < N ? a[i, k] : b[i - N, k]\n");

typedef int (*copy_t)(uint64_t to, uint64_t from, size_t size, void* stream);
typedef struct prepared_s {
  copy_t copy;
  size_t sizes[2];
} prepared_t;

static size_t bytes_of(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 ? 4 : dtype == TRIVET_DTYPE_F16 ? 2 : 0;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t o[3];
  double size = 0;
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "acme.Append") != 0 ||
      api->input_count(region) != 2) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not two matrices, appended alone");
    return NULL;
  }
  for (uint32_t i = 0; i < 3; ++i) {
    trivet_status_t status = api->operand(region, i, &o[i]);
    if (status) return status;
    if (!(o[i].flags & TRIVET_OPERAND_DENSE) || bytes_of(o[i].dtype) == 0) {
      TRIVET_PROPOSAL_DECLINE(proposal, kernel, "operand %u is not dense, or neither f32 nor f16",
                              i);
      return NULL;
    }
    size += (double)(o[i].dims[0] * o[i].dims[1]) * (double)bytes_of(o[i].dtype);
  }
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1500 + size / 2500, "two copies");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_status_t status = NULL;
  for (uint32_t i = 0; i < 2 && !status; ++i)
    status = trivet_emission_api(emission)->operand(emission, api->node_input(region, 0, i));
  return status ? status
                : trivet_emission_api(emission)->operand(emission, api->node_output(region, 0, 0));
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel, (void)request;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  *out_loaded = library ? dlsym(library, "cuMemcpyDtoDAsync_v2") : NULL;
  return *out_loaded ? NULL : TRIVET_STATUS_BARE(TRIVET_STATUS_UNAVAILABLE);
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel, (void)loaded, (void)allocator;  // the driver stays
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const trivet_operand_t* o = request->operands;
  if (request->operand_count != 3 || o[0].rank != 2 || o[1].rank != 2)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  prepared_t* prepared =
      request->allocator->allocate(request->allocator->self, sizeof(*prepared), 8);
  if (!prepared) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(&prepared->copy, &loaded, sizeof(loaded));
  for (int i = 0; i < 2; ++i)
    prepared->sizes[i] = (size_t)(o[i].dims[0] * o[i].dims[1]) * bytes_of(o[i].dtype);
  *out_workspace_size = 0;
  *out_prepared = prepared;
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
  uint64_t y = (uint64_t)(uintptr_t)launch->addresses[2];
  for (int i = 0; i < 2; y += p->sizes[i++]) {
    const uint64_t from = (uint64_t)(uintptr_t)launch->addresses[i];
    if (p->sizes[i] && p->copy(y, from, p->sizes[i], launch->stream) != 0)
      return TRIVET_STATUS_BARE(TRIVET_STATUS_INTERNAL);
  }
  return NULL;
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "stream_callback.append",
    .target = "cuda",
    .summary = "copies rows below each other",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

TRIVET_PLUGIN_HALVES("stream_callback", "1.0", "one operator by copies",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &append, &kernel)
