// SPDX-License-Identifier: Apache-2.0
//
// A kernel as machine code that its author compiled: CUBIN names a header with the bytes, as
// `xxd -i` writes them, in an array called cubin, of ARCHITECTURE ("sm_90a"). Its entry is that of
// device_code.c for f16 rows. For other architectures the text is what runs.
#include <string.h>

#include "trivet/plugin.h"

#include CUBIN

TRIVET_OPERATOR(row_sum, "binary.RowSum", 1, "sums of rows",
                "op binary.RowSum/1 (x: f16[N, K]) -> (y: f16[N])\n"
                "y[i] = f16(sum(k: K){ f32(x[i, k]) })\n");

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x;
  const size_t size = strlen(ARCHITECTURE) - strlen("a");
  const char* colon = strchr(api->target(region), ':');
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "binary.RowSum") != 0 ||
      !colon || strncmp(colon + 1, ARCHITECTURE, size) != 0) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not a sum of rows alone for " ARCHITECTURE);
    return NULL;
  }
  trivet_status_t status = api->operand(region, 0, &x);
  if (status || !(x.flags & TRIVET_OPERAND_DENSE)) return status;
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1000, "machine code");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_type_t* x = api->operand_type(region, 0);
  const trivet_device_launch_t launch = {"block_f16", x->dims[0], 256, 0};
  const uint32_t operands[2] = {0, 1};
  const trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .binary = cubin,
      .binary_size = sizeof(cubin),
      .architecture = ARCHITECTURE,
      .launches = &launch,
      .launch_count = 1,
      .operands = operands,
      .operand_count = 2,
      .parameters = x->dims,
      .parameter_count = 2};
  return trivet_emission_api(emission)->device_code(emission, &code);
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "device_binary.row_sum",
    .target = "cuda",
    .summary = "sums of rows as machine code",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .propose = propose,
    .emit = emit};

TRIVET_PLUGIN("device_binary", "1.0", "one operator with a CUDA kernel", &row_sum, &kernel)
