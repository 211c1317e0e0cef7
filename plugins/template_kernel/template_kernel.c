// SPDX-License-Identifier: Apache-2.0
//
// A plugin with one kernel for the CPU: products of any number of rows with a small matrix, and the
// Relu behind one, where a library's preparations cost more than the work. Build half: propose and
// emit, when a plan is made. Run half: load, prepare and run, wherever the plan runs.
#include <math.h>
#include <string.h>

#include "trivet/plugin.h"

#define MOST 16

// What the plan holds of a step, and what a context has prepared.
typedef struct shape_s {
  uint32_t k, n, relu;
} shape_t;
typedef struct prepared_s {
  int64_t m, k, n;
  float least;  // of the result
} prepared_t;

// Operands of the product in the region: a [M, K], b [K, N], y [M, N].
static void find_operands(const trivet_region_t* region, uint32_t* operands) {
  const trivet_region_api_t* api = trivet_region_api(region);
  operands[0] = api->node_input(region, 0, 0);
  operands[1] = api->node_input(region, 0, 1);
  operands[2] = api->node_output(region, api->node_count(region) - 1, 0);
}

// MatMul, or MatMul and a Relu that reads what nobody else does.
static int fits(const trivet_region_t* region) {
  const trivet_region_api_t* api = trivet_region_api(region);
  if (strcmp(api->node_operator(region, 0), "std.MatMul") != 0) return 0;
  if (api->node_count(region) == 1) return 1;
  return api->node_count(region) == 2 && strcmp(api->node_operator(region, 1), "std.Relu") == 0 &&
         api->node_input(region, 1, 0) == TRIVET_REGION_NONE && api->output_count(region) == 1;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  uint32_t operands[3];
  trivet_operand_t o[3];
  if (!fits(region)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not a matrix product, alone or with a Relu");
    return NULL;
  }
  find_operands(region, operands);
  for (int i = 0; i < 3; ++i) {
    trivet_status_t status = api->operand(region, operands[i], &o[i]);
    if (status) return status;
    if (o[i].dtype != TRIVET_DTYPE_F32 || o[i].rank != 2 || !(o[i].flags & TRIVET_OPERAND_DENSE)) {
      TRIVET_PROPOSAL_DECLINE(proposal, kernel, "operand %d is no dense f32 matrix", i);
      return NULL;
    }
  }
  int64_t k, n;
  const trivet_type_t* matrix = api->operand_type(region, operands[1]);
  if (!api->dim_value(region, matrix->dims[0], &k) || k > MOST ||
      !api->dim_value(region, matrix->dims[1], &n) || n > MOST) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "the second matrix is not known to be small");
    return NULL;
  }
  double work = (double)o[0].dims[0] * (double)(k * n);
  return trivet_proposal_api(proposal)->add(proposal, kernel, 0, 50 + 0.25 * work, "small");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_emission_api_t* api = trivet_emission_api(emission);
  uint32_t operands[3];
  find_operands(region, operands);
  for (int i = 0; i < 3; ++i) {
    trivet_status_t status = api->operand(emission, operands[i]);
    if (status) return status;
  }
  trivet_operand_t matrix;
  trivet_status_t status = trivet_region_api(region)->operand(region, operands[1], &matrix);
  if (status) return status;
  shape_t shape = {(uint32_t)matrix.dims[0], (uint32_t)matrix.dims[1],
                   trivet_region_api(region)->node_count(region) - 1};
  return api->blob(emission, &shape, sizeof(shape));
}

// A plan comes from outside: every byte of the blob is checked.
static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  shape_t shape;
  if (request->blob_size != sizeof(shape)) return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  memcpy(&shape, request->blob, sizeof(shape));
  if (shape.k > MOST || shape.n > MOST || shape.relu > 1)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  shape_t* loaded = request->allocator->allocate(request->allocator->self, sizeof(shape), 8);
  if (!loaded) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  *loaded = shape;
  *out_loaded = loaded;
  return NULL;
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, loaded, sizeof(shape_t), 8);
}

static int is_matrix(const trivet_operand_t* operand, int64_t rows, int64_t columns) {
  return operand->dtype == TRIVET_DTYPE_F32 && operand->rank == 2 && operand->dims[0] == rows &&
         operand->dims[1] == columns && operand->strides[1] == 1 && operand->strides[0] == columns;
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const shape_t* shape = loaded;
  const trivet_operand_t* o = request->operands;
  if (request->operand_count != 3 || !is_matrix(&o[0], o[0].dims[0], shape->k) ||
      !is_matrix(&o[1], shape->k, shape->n) || !is_matrix(&o[2], o[0].dims[0], shape->n)) {
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  }
  prepared_t* prepared =
      request->allocator->allocate(request->allocator->self, sizeof(*prepared), 8);
  if (!prepared) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  prepared->m = o[0].dims[0];
  prepared->k = shape->k;
  prepared->n = shape->n;
  prepared->least = shape->relu ? 0 : -INFINITY;
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
  const float *a = launch->addresses[0], *b = launch->addresses[1];
  float* y = launch->addresses[2];
  for (int64_t i = 0; i < p->m; ++i, a += p->k, y += p->n) {
    float sums[MOST] = {0};
    for (int64_t k = 0; k < p->k; ++k)
      for (int64_t j = 0; j < p->n; ++j) sums[j] += a[k] * b[k * p->n + j];
    for (int64_t j = 0; j < p->n; ++j) y[j] = sums[j] < p->least ? p->least : sums[j];
  }
  return NULL;
}

static const trivet_kernel_t small_product = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "template_kernel.small_product",
    .target = "cpu",
    .summary = "products with a small matrix",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

TRIVET_PLUGIN_HALVES("template_kernel", "1.0", "a kernel for products with a small matrix",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &small_product)
