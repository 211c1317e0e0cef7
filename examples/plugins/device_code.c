// SPDX-License-Identifier: Apache-2.0
//
// An operator with CUDA kernels of its own: sums of rows, f32 and f16, in three forms that are
// priced, or timed against each other and against what Trivet generates (--tactics timed). The last
// form sums pieces of long rows into a workspace first. Everywhere else the text is what runs.
#include <stdio.h>
#include <string.h>

#include "trivet/plugin.h"

TRIVET_OPERATOR(row_sum, "acme.RowSum", 1, "sums of rows",
                "op acme.RowSum/1 (x: T[D..., K]) -> (y: T[D...]) where T: float\n"
                "y[i...] = T(sum(k: K){ f32(x[i..., k]) })\n");

static const char kSource[] =
    "typedef unsigned short half_t;\n"
    "__device__ float get(float x) { return x; }\n"
    "__device__ float get(half_t x) { float y; asm(\"cvt.f32.f16 %0, %1;\" : \"=f\"(y) : "
    "\"h\"(x));\n"
    "  return y; }\n"
    "__device__ void put(float* y, float x) { *y = x; }\n"
    "__device__ void put(half_t* y, float x) { asm(\"cvt.rn.f16.f32 %0, %1;\" : \"=h\"(*y) : "
    "\"f\"(x)); }\n"
    "template <int kThreads, class T>\n"
    "__device__ float sum(const T* x, long long first, long long last, int t) {\n"
    "  __shared__ float parts[32];\n"
    "  float s = 0;\n"
    "  for (long long k = first + t; k < last; k += kThreads) s += get(x[k]);\n"
    "  for (int d = 16; d > 0; d /= 2) s += __shfl_xor_sync(~0u, s, d);\n"
    "  if (kThreads == 32) return s;\n"
    "  if (t % 32 == 0) parts[t / 32] = s;\n"
    "  __syncthreads();\n"
    "  s = 0;\n"
    "  for (int i = 0; i < kThreads / 32; ++i) s += parts[i];\n"
    "  return s;\n"
    "}\n"
    "#define ROWS(name, T) \\\n"
    "extern \"C\" __global__ void warp_##name(const T* x, T* y, long long rows, long long n) { \\\n"
    "  long long r = blockIdx.x * 8ll + threadIdx.x / 32; \\\n"
    "  if (r >= rows) return; \\\n"
    "  float s = sum<32>(x + r * n, 0, n, threadIdx.x % 32); \\\n"
    "  if (threadIdx.x % 32 == 0) put(y + r, s); \\\n"
    "} \\\n"
    "extern \"C\" __global__ void block_##name(const T* x, T* y, long long rows, long long n) { "
    "\\\n"
    "  float s = sum<256>(x + blockIdx.x * n, 0, n, threadIdx.x); \\\n"
    "  if (threadIdx.x == 0) put(y + blockIdx.x, s); \\\n"
    "} \\\n"
    "extern \"C\" __global__ void piece_##name(const T* x, T* y, char* w, long long rows, \\\n"
    "                                       long long n) { \\\n"
    "  long long r = blockIdx.x / 8, p = blockIdx.x % 8, size = (n + 7) / 8; \\\n"
    "  long long end = (p + 1) * size < n ? (p + 1) * size : n; \\\n"
    "  float s = sum<256>(x + r * n, p * size, end, threadIdx.x); \\\n"
    "  if (threadIdx.x == 0) ((float*)w)[blockIdx.x] = s; \\\n"
    "} \\\n"
    "extern \"C\" __global__ void pieces_##name(const T* x, T* y, char* w, long long rows, \\\n"
    "                                        long long n) { \\\n"
    "  long long r = blockIdx.x * 256ll + threadIdx.x; \\\n"
    "  if (r >= rows) return; \\\n"
    "  float s = 0; \\\n"
    "  for (int p = 0; p < 8; ++p) s += ((const float*)w)[r * 8 + p]; \\\n"
    "  put(y + r, s); \\\n"
    "}\n"
    "ROWS(f32, float)\n"
    "ROWS(f16, half_t)\n";

enum { WARPS, BLOCKS, PIECES, FORMS };

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  static const char* const names[FORMS] = {"a warp a row", "a block a row", "pieces of rows"};
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x, y;
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "acme.RowSum") != 0) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not a sum of rows alone");
    return NULL;
  }
  trivet_status_t status = api->operand(region, 0, &x);
  if (!status) status = api->operand(region, 1, &y);
  if (status) return status;
  if ((x.dtype != TRIVET_DTYPE_F32 && x.dtype != TRIVET_DTYPE_F16) ||
      !(x.flags & y.flags & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "neither f32 nor f16, or not dense");
    return NULL;
  }
  double row = (double)x.dims[x.rank - 1], rows = 1;
  for (uint32_t d = 0; d + 1 < x.rank; ++d) rows *= (double)x.dims[d];
  for (uint64_t form = 0; form < FORMS && !status; ++form) {
    // What a thread does one after the other, and how often the device is filled.
    const double lanes = form == WARPS ? 32 : form == BLOCKS ? 256 : 2048;
    const double waves = rows * lanes / 270336;
    const double price = 2000 + 1000 * (form == PIECES) + row / lanes * (waves < 1 ? 1 : waves);
    status = trivet_proposal_api(proposal)->add(proposal, kernel, form, price, names[form]);
  }
  return status;
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  static const char* const entries[FORMS] = {"warp", "block", "piece"};
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_type_t* x = api->operand_type(region, 0);
  const char* type = x->dtype == TRIVET_DTYPE_F32 ? "f32" : "f16";
  trivet_dim_t rows = api->dim_constant(region, 1), n = x->dims[x->rank - 1];
  for (uint32_t d = 0; d + 1 < x->rank; ++d)
    rows = api->dim_binary(region, TRIVET_DIM_MUL, rows, x->dims[d]);
  char first[16], second[16];
  snprintf(first, sizeof(first), "%s_%s", entries[tactic], type);
  snprintf(second, sizeof(second), "pieces_%s", type);
  trivet_dim_t eight = api->dim_constant(region, 8), many = api->dim_constant(region, 256);
  trivet_dim_t pieces = api->dim_binary(region, TRIVET_DIM_MUL, rows, eight);
  const trivet_device_launch_t launches[2] = {
      {first,
       tactic == BLOCKS  ? rows
       : tactic == WARPS ? api->dim_binary(region, TRIVET_DIM_CEILDIV, rows, eight)
                         : pieces,
       256, 0},
      {second, api->dim_binary(region, TRIVET_DIM_CEILDIV, rows, many), 256, 0}};
  const uint32_t operands[2] = {0, 1};
  const trivet_dim_t parameters[2] = {rows, n};
  trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .source = kSource,
      .launches = launches,
      .launch_count = tactic == PIECES ? 2 : 1,
      .operands = operands,
      .operand_count = 2,
      .parameters = parameters,
      .parameter_count = 2};
  if (tactic == PIECES)
    code.workspace =
        api->dim_binary(region, TRIVET_DIM_MUL, pieces, api->dim_constant(region, sizeof(float)));
  return trivet_emission_api(emission)->device_code(emission, &code);
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "device_code.row_sum",
    .target = "cuda",
    .summary = "sums of rows in CUDA C",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .propose = propose,
    .emit = emit};

TRIVET_PLUGIN("device_code", "1.0", "one operator with CUDA kernels", &row_sum, &kernel)
