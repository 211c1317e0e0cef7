// SPDX-License-Identifier: Apache-2.0
//
// Plugins whose code for CUDA is wrong in one point each; on the host nothing is. What does not
// compile is found without a device.
#include "trivet/plugin.h"

#define SOUND 0
#define FUNCTION_CODE 1  // a device function that does not compile
#define KERNEL_CODE 2    // a kernel that does not
#define KERNEL_FORM 3    // the second form of one
// Seen on a device only.
#define FUNCTION_MEANS 4  // a device function that computes something else
#define FORM_MEANS 5      // the second form of a kernel does
#define CODE_PAST_END 6
#define CODE_IN_PLACE 7  // writes before it reads, and says that it may share memory

#if FAULT == FUNCTION_CODE
#define CODE "  const F e = __expf(x);\n  return e + missing;"
#elif FAULT == FUNCTION_MEANS
#define CODE "  return x + 2;"
#else
#define CODE "  return x + 1;"
#endif
TRIVET_SCALAR_FUNCTION(plus, "faulty.plus", "x + 1", "fn plus(x: F) -> F = x + F(1)", CODE);

TRIVET_OPERATOR(twice, "faulty.Twice", 1, "twice",
                "op faulty.Twice/1 (x: f32[N]) -> (y: f32[N])\ny[n] = x[n] + x[n]\n");

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  const char* wanted = "faulty.Twice";
  const char* name = api->node_operator(region, 0);
  while (*wanted && *wanted == *name) ++wanted, ++name;
  if (api->node_count(region) != 1 || *wanted) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "no twice");
    return NULL;
  }
  trivet_status_t status = trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1, "first");
  if (status || (FAULT != KERNEL_FORM && FAULT != FORM_MEANS)) return status;
  return trivet_proposal_api(proposal)->add(proposal, kernel, 1, 2, "second");
}

#define BEGIN                                                                          \
  "extern \"C\" __global__ void twice(volatile const float* x, volatile float* y) {\n" \
  "  const int i = blockIdx.x;\n"

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_device_launch_t launch = {"twice", api->operand_type(region, 0)->dims[0], 1, 0};
  const uint32_t operands[2] = {0, 1};
  const int broken = FAULT == KERNEL_CODE || (FAULT == KERNEL_FORM && tactic == 1);
  const trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .source = broken                               ? BEGIN "  y[i] = nowhere[i];\n}\n"
                : FAULT == FORM_MEANS && tactic == 1 ? BEGIN "  y[i] = x[i] * 2.02f;\n}\n"
                : FAULT == CODE_IN_PLACE             ? BEGIN "  y[i] = 0;\n  y[i] = 2 * x[i];\n}\n"
                : FAULT == CODE_PAST_END ? BEGIN "  y[i] = 2 * x[i];\n  y[gridDim.x] = 1;\n}\n"
                                         : BEGIN "  y[i] = 2 * x[i];\n}\n",
      .launches = &launch,
      .launch_count = 1,
      .operands = operands,
      .operand_count = 2};
  const trivet_emission_api_t* own = trivet_emission_api(emission);
  trivet_status_t status = own->device_code(emission, &code);
  return !status && FAULT == CODE_IN_PLACE ? own->in_place(emission, 0) : status;
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "faulty.twice",
    .target = "cuda",
    .summary = "twice",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .propose = propose,
    .emit = emit};

TRIVET_PLUGIN(PLUGIN_NAME, "1.0", "code for a device", &plus, &twice, &kernel)
