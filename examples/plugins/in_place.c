// SPDX-License-Identifier: Apache-2.0
//
// Kernels of the author's own that work in place: running sums, each written over what it was made
// of. Nothing in the formula says that this is allowed, so the kernels say it; the operand then
// shares its memory with the result wherever nobody else needs it.
#include <string.h>

#include "trivet/plugin.h"

TRIVET_OPERATOR(running, "acme.RunningSum", 1, "sums of what came before, and of what is there",
                "op acme.RunningSum/1 (x: f32[N, K]) -> (y: f32[N, K])\n"
                "y[n, k] = scan(k: K){ x[n, k] } with sum\n");

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x, y;
  if (api->node_count(region) != 1 ||
      strcmp(api->node_operator(region, 0), "acme.RunningSum") != 0 ||
      api->operand(region, 0, &x) || api->operand(region, 1, &y) ||
      !(x.flags & y.flags & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not running sums alone, on dense rows");
    return NULL;
  }
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1, "in place");
}

static trivet_status_t emit_host(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)region, (void)tactic;
  const trivet_emission_api_t* api = trivet_emission_api(emission);
  trivet_status_t status = api->operand(emission, 0);
  if (!status) status = api->operand(emission, 1);
  if (!status) status = api->in_place(emission, 0);
  return status;
}

static trivet_status_t emit_cuda(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_type_t* x = api->operand_type(region, 0);
  const trivet_device_launch_t launch = {
      "running",
      api->dim_binary(region, TRIVET_DIM_CEILDIV, x->dims[0], api->dim_constant(region, 64)), 64,
      0};
  const uint32_t operands[2] = {0, 1};
  const trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .source =
          "extern \"C\" __global__ void running(const float* x, float* y, long long rows,\n"
          "                                     long long n) {\n"
          "  long long r = blockIdx.x * 64ll + threadIdx.x;\n"
          "  float sum = 0;\n"
          "  if (r < rows)\n"
          "    for (long long k = r * n; k < (r + 1) * n; ++k) y[k] = sum += x[k];\n"
          "}\n",
      .launches = &launch,
      .launch_count = 1,
      .operands = operands,
      .operand_count = 2,
      .parameters = x->dims,
      .parameter_count = 2};
  trivet_status_t status = trivet_emission_api(emission)->device_code(emission, &code);
  return status ? status : trivet_emission_api(emission)->in_place(emission, 0);
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel, (void)request;
  *out_loaded = NULL;
  return NULL;
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel, (void)loaded, (void)allocator;
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel, (void)loaded;
  if (request->operand_count != 2 || request->operands[0].rank != 2)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  int64_t* dims = request->allocator->allocate(request->allocator->self, 2 * sizeof(*dims), 8);
  if (!dims) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(dims, request->operands[0].dims, 2 * sizeof(*dims));
  *out_workspace_size = 0;
  *out_prepared = dims;
  return NULL;
}

static void release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, prepared, 2 * sizeof(int64_t), 8);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const int64_t* dims = prepared;
  const float* x = launch->addresses[0];
  float* y = launch->addresses[1];
  for (int64_t n = 0; n < dims[0]; ++n) {
    float sum = 0;
    for (int64_t k = 0; k < dims[1]; ++k) *y++ = sum += *x++;
  }
  return NULL;
}

static const trivet_kernel_t on_host = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "in_place.host",
    .target = "cpu",
    .summary = "running sums in place",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit_host,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

static const trivet_kernel_t on_cuda = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "in_place.cuda",
    .target = "cuda",
    .summary = "running sums in place, in CUDA C",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .propose = propose,
    .emit = emit_cuda};

TRIVET_PLUGIN_HALVES("in_place", "1.0", "an operator and kernels that overwrite what they read",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &running, &on_host, &on_cuda)
