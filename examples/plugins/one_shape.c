// SPDX-License-Identifier: Apache-2.0
//
// A CUDA kernel for one shape: running sums of rows of exactly 4096 numbers, a block a row, where
// the general way walks a row with one thread. Rows of another length, and the CPU, run what the
// text says. Every number is in a register before the first result is written: it works in place.
#include <string.h>

#include "trivet/plugin.h"

TRIVET_OPERATOR(row_scan, "acme.RowScan", 1, "running sums of rows",
                "op acme.RowScan/1 (x: f32[N, K]) -> (y: f32[N, K])\n"
                "y[n, k] = scan(k: K){ x[n, k] } with sum\n");

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_type_t* type;
  trivet_operand_t x, y;
  int64_t columns = 0;
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "acme.RowScan") != 0) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not running sums alone");
    return NULL;
  }
  type = api->operand_type(region, 0);
  if (!api->dim_value(region, type->dims[1], &columns) || columns != 4096) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "rows are not of 4096 numbers");
    return NULL;
  }
  trivet_status_t status = api->operand(region, 0, &x);
  if (!status) status = api->operand(region, 1, &y);
  if (status) return status;
  if (!(x.flags & y.flags & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "rows do not lie one behind the other");
    return NULL;
  }
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 3000, "rows of 4096");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_type_t* x = trivet_region_api(region)->operand_type(region, 0);
  const trivet_device_launch_t launch = {"rows_of_4096", x->dims[0], 1024, 0};
  const uint32_t operands[2] = {0, 1};
  const trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .source =
          "extern \"C\" __global__ void rows_of_4096(const float4* x, float4* y) {\n"
          "  __shared__ float sums[32];\n"
          "  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;\n"
          "  float4 v = x[blockIdx.x * 1024ll + threadIdx.x];\n"
          "  v.y += v.x, v.z += v.y, v.w += v.z;\n"
          "  float s = v.w;\n"
          "  for (int d = 1; d < 32; d *= 2) {\n"
          "    float left = __shfl_up_sync(~0u, s, d);\n"
          "    if (lane >= d) s += left;\n"
          "  }\n"
          "  if (lane == 31) sums[warp] = s;\n"
          "  __syncthreads();\n"
          "  float w = sums[lane];\n"
          "  for (int d = 1; d < 32; d *= 2) {\n"
          "    float left = __shfl_up_sync(~0u, w, d);\n"
          "    if (lane >= d) w += left;\n"
          "  }\n"
          "  float before = __shfl_sync(~0u, w, (warp + 31) % 32) * (warp > 0) + (s - v.w);\n"
          "  v.x += before, v.y += before, v.z += before, v.w += before;\n"
          "  y[blockIdx.x * 1024ll + threadIdx.x] = v;\n"
          "}\n",
      .launches = &launch,
      .launch_count = 1,
      .operands = operands,
      .operand_count = 2};
  trivet_status_t status = trivet_emission_api(emission)->device_code(emission, &code);
  return status ? status : trivet_emission_api(emission)->in_place(emission, 0);
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "one_shape.row_scan",
    .target = "cuda",
    .summary = "running sums of rows of 4096",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .propose = propose,
    .emit = emit};

TRIVET_PLUGIN("one_shape", "1.0", "an operator, and a CUDA kernel for one shape of it", &row_scan,
              &kernel)
