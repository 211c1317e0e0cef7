// SPDX-License-Identifier: Apache-2.0
//
// The life of a kernel, told on standard error: what is called when, and who owns what. Two tactics
// are timed against each other, factors are made once and lie in the plan, a table is shared by all
// steps and contexts, each context prepares for its shapes and gets workspace.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "trivet/plugin.h"

#define TELL(...) (void)(fprintf(stderr, "every_hook: " __VA_ARGS__), fputc('\n', stderr))
#define SLOW 0u
#define FAST 1u

// The operator is its formula; kernels may do the same in other ways.
TRIVET_OPERATOR(stripes, "acme.Stripes", 1, "even and odd places by factors of their own",
                "op acme.Stripes/1 (x: f32[N]) -> (y: f32[N])\n"
                "attr even: f32 = 2.0\nattr odd: f32 = 3.0\n"
                "y[n] = x[n] * (mod(n, 2) == 0 ? even : odd)\n");

// What all steps share: made by the first that is loaded, gone with the last.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users;

typedef struct prepared_s {
  uint32_t tactic;
  int64_t count;
} prepared_t;

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x;
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "acme.Stripes") != 0 ||
      api->operand(region, 0, &x) || !(x.flags & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not acme.Stripes alone, on a dense row");
    return NULL;
  }
  TELL("propose: two ways");
  // By these prices the slow one is taken, unless somebody measures.
  trivet_status_t status =
      trivet_proposal_api(proposal)->add(proposal, kernel, SLOW, 1, "stripes slow");
  if (status) return status;
  return trivet_proposal_api(proposal)->add(proposal, kernel, FAST, 2, "stripes fast");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_emission_api_t* api = trivet_emission_api(emission);
  float factors[2];
  static const char* const names[2] = {"even", "odd"};
  for (int i = 0; i < 2; ++i) {
    const trivet_attribute_t* factor =
        trivet_region_api(region)->node_attribute(region, 0, names[i]);
    factors[i] = (float)((const double*)factor->data)[0];
  }
  const trivet_tensor_t tensor = {TRIVET_DTYPE_F32, 1, {2}, factors, sizeof(factors)};
  const uint32_t blob = (uint32_t)tactic;
  trivet_status_t status = api->operand(emission, 0);
  if (!status) status = api->constant(emission, TRIVET_SV(""), &tensor);
  if (!status) status = api->operand(emission, 1);
  if (!status) status = api->blob(emission, &blob, sizeof(blob));
  TELL("emit: factors %g and %g", (double)factors[0], (double)factors[1]);
  return status;
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  uint32_t* tactic;
  if (request->blob_size != sizeof(*tactic)) return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  tactic = request->allocator->allocate(request->allocator->self, sizeof(*tactic), 8);
  if (!tactic) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(tactic, request->blob, sizeof(*tactic));
  pthread_mutex_lock(&lock);
  if (users++ == 0) TELL("the shared table is made");
  pthread_mutex_unlock(&lock);
  TELL("load: %s", *tactic == FAST ? "fast" : "slow");
  *out_loaded = tactic;
  return NULL;
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, loaded, sizeof(uint32_t), 8);
  TELL("unload");
  pthread_mutex_lock(&lock);
  if (--users == 0) TELL("the shared table is freed");
  pthread_mutex_unlock(&lock);
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const trivet_operand_t* o = request->operands;
  if (request->operand_count != 3 || o[1].rank != 1 || o[1].dims[0] != 2)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  prepared_t* prepared =
      request->allocator->allocate(request->allocator->self, sizeof(*prepared), 8);
  if (!prepared) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  *prepared = (prepared_t){*(const uint32_t*)loaded, o[0].dims[0]};
  *out_workspace_size = (uint64_t)prepared->count * sizeof(float);
  *out_prepared = prepared;
  TELL("prepare: %d elements", (int)prepared->count);
  return NULL;
}

static void release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  TELL("release");
  allocator->deallocate(allocator->self, prepared, sizeof(prepared_t), 8);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = prepared;
  const struct timespec nap = {0, 2000000};
  if (p->tactic == SLOW) nanosleep(&nap, NULL);
  const float *x = launch->addresses[0], *factors = launch->addresses[1];
  float *y = launch->addresses[2], *between = launch->workspace;
  for (int64_t i = 0; i < p->count; ++i) between[i] = factors[i % 2];
  for (int64_t i = 0; i < p->count; ++i) y[i] = x[i] * between[i];
  return NULL;
}

static const trivet_kernel_t kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "every_hook.stripes",
    .target = "cpu",
    .summary = "tells what is called",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

TRIVET_PLUGIN_HALVES("every_hook", "1.0", "an operator and a kernel that tells of its life",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &stripes, &kernel)
