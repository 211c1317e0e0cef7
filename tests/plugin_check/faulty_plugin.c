// SPDX-License-Identifier: Apache-2.0
//
// Plugins that load and are wrong, each in one point: what `trivet plugin check` has to find. FAULT
// chooses; the name of the file is PLUGIN_NAME. Not one of these may be found by loading alone.
#include <fenv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trivet/plugin.h"

#define NOTHING 0
#define SHAPE_RULE 1
#define DTYPE 2
#define RANK 3
#define UNWRITTEN 4
#define PAST_END 5
#define BEFORE_BEGINNING 6
#define WRITES_INPUT 7
#define NONDETERMINISTIC 8
#define THREADS 9
#define STATUS 10
#define LEAK 11
#define CRASH 12
#define HANG 13
#define CLAIMED_TYPE 14
#define NO_OUTPUT 15
#define SHAPE_DYNAMIC 16
#define HOOK_MEANS 17
#define SIGNAL 18
#define ROUNDING 19
#define FILES 20
#define ENVIRONMENT 21
#define INFER_LEAK 22
#define KERNEL_RESULT 30
#define KERNEL_LEAK 31
#define KERNEL_STALE 32
#define KERNEL_UNWRITTEN 33
#define KERNEL_POINTER 34
#define KERNEL_IN_PLACE 35
#define KERNEL_WRITES_INPUT 36
#define KERNEL_WORKSPACE 37
#define KERNEL_MALLOC 38
#define KERNEL_MEMORY 39
#define KERNEL_TACTIC 40
#define KERNEL_THREADS 41
#define KERNEL_TARGET 42
#define KERNEL_STRIDES 43
#define REWRITE_MEANING 50
#define FRONTEND_CRASH 51
#define FRONTEND_TAKES_ALL 52
#define FRONTEND_LEAK 53

#if FAULT < KERNEL_RESULT
// y = x twice over, as a host function.
static void* volatile lost;
static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* v) {
  (void)op;
  if (FAULT == INFER_LEAK) lost = malloc(100);
  const trivet_type_t* type = trivet_view_input_type(v, 0);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  memcpy(dims, type->dims, sizeof(dims));
  if (FAULT == SHAPE_RULE && type->rank)
    dims[0] = trivet_view_dim_binary(v, TRIVET_DIM_ADD, dims[0], trivet_view_dim(v, 1));
  // Right for the numbers that it was tried with, and for those only.
  if (FAULT == SHAPE_DYNAMIC && type->rank) dims[0] = trivet_view_dim(v, 2);
  if (FAULT == CLAIMED_TYPE && type->dtype == TRIVET_DTYPE_F64)
    return TRIVET_VIEW_ERROR(v, TRIVET_STATUS_UNIMPLEMENTED, "f64 is for later");
  return trivet_view_set_output(v, 0, type->dtype, type->rank, dims);
}

static int calls;
static float shared[1 << 12];

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* e) {
  (void)op;
  const trivet_tensor_t* x = e->api->input(e, 0);
  trivet_tensor_t* y = NULL;
  void* memory = NULL;
  uint64_t n = x->size;
  if (FAULT == NO_OUTPUT) return NULL;
  if (FAULT == CRASH && x->rank == 3) raise(SIGSEGV);
  if (FAULT == HANG)
    for (;;) nanosleep(&(struct timespec){1, 0}, NULL);
  trivet_status_t status = e->api->scratch(e, n + 8, &memory);
  if (status && FAULT != STATUS) return status;
  uint32_t dtype = FAULT == DTYPE ? TRIVET_DTYPE_I32 : x->dtype;
  uint32_t rank = FAULT == RANK ? x->rank + 1 : x->rank;
  int64_t dims[TRIVET_MAX_RANK];
  memcpy(dims, x->dims, sizeof(dims));
  if (FAULT == RANK) dims[x->rank] = 1;
  status = e->api->output(e, 0, dtype, rank, dims, &y);
  if (status) return status;
  if (FAULT == LEAK) lost = malloc(100);
  if (FAULT == SIGNAL) signal(SIGFPE, SIG_IGN);
  if (FAULT == ROUNDING) fesetround(FE_UPWARD);
  if (FAULT == FILES && !calls++ && !fopen("/dev/null", "r")) return NULL;
  if (FAULT == ENVIRONMENT) setenv("OMP_NUM_THREADS", "1", 1);
  if (FAULT == UNWRITTEN) n -= n / 4;
  memcpy(y->data, x->data, n < y->size ? n : y->size);
  if (FAULT == PAST_END) ((char*)y->data)[y->size] = 1;
  if (FAULT == BEFORE_BEGINNING) ((char*)y->data)[-1] = 1;
  if (FAULT == WRITES_INPUT) ((char*)x->data)[0] ^= 1;
  if (FAULT == NONDETERMINISTIC) ((char*)y->data)[0] = (char)++calls;
  if (FAULT == THREADS) {
    uint64_t count = n / 4 < 1 << 12 ? n / 4 : 1 << 12;
    for (int k = 0; k < 4; ++k) {
      memset(shared, 0, count * 4);
      nanosleep(&(struct timespec){0, 20000}, NULL);
      memcpy(shared, x->data, count * 4);
      nanosleep(&(struct timespec){0, 20000}, NULL);
      memcpy(y->data, shared, count * 4);
    }
  }
  return NULL;
}

#if FAULT == HOOK_MEANS
#define TEXT                                                            \
  "op faulty.Copy/1 (x: T[D...]) -> (y: T[D...]) where T: {f32, f64}\n" \
  "y[i...] = x[i...] + x[i...]\n"
#else
#define TEXT "op faulty.Copy/1 (x: T[*]) -> (y: T[*]) where T: {f32, f64}\n"
#endif
TRIVET_OPERATOR_WITH(twice, "faulty.Copy", 1, 0, "a copy", TEXT, infer, 0, evaluate);
TRIVET_PLUGIN_HALVES(PLUGIN_NAME, "1.0", "a host function", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &twice)

#elif FAULT < REWRITE_MEANING
// A kernel for std.Softmax over the last axis of a matrix: no library has it, so it is not fused.
#include <math.h>

typedef struct prepared_s {
  int64_t rows, columns;
  uint64_t tactic;
} prepared_t;
static void* volatile lost;
static float shared[1 << 8];

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  const trivet_region_api_t* api = trivet_region_api(region);
  trivet_operand_t x, y;
  if (api->node_count(region) != 1 || strcmp(api->node_operator(region, 0), "std.Softmax") != 0) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "no softmax");
    return NULL;
  }
  trivet_status_t status = api->operand(region, 0, &x);
  if (!status) status = api->operand(region, 1, &y);
  if (status) return status;
  const uint32_t dense = FAULT == KERNEL_STRIDES ? TRIVET_OPERAND_DENSE : x.flags & y.flags;
  if (x.rank != 2 || x.dtype != TRIVET_DTYPE_F32 || !(dense & TRIVET_OPERAND_DENSE)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "no dense matrix");
    return NULL;
  }
  status = trivet_proposal_api(proposal)->add(proposal, kernel, 0, 1, "mine");
  if (status || FAULT != KERNEL_TACTIC) return status;
  return trivet_proposal_api(proposal)->add(proposal, kernel, 1, 2, "slow and wrong");
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_emission_api_t* api = trivet_emission_api(emission);
  const void* host = FAULT == KERNEL_POINTER ? malloc(64) : NULL;
  trivet_status_t status = api->operand(emission, 0);
  if (!status) status = api->operand(emission, 1);
  (void)region;
  if (!status && FAULT == KERNEL_IN_PLACE) status = api->in_place(emission, 0);
  if (FAULT == KERNEL_TACTIC) return status ? status : api->blob(emission, &tactic, sizeof(tactic));
  return status ? status : api->blob(emission, &host, sizeof(host));
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  static const uint64_t slow = 1;
  // What is loaded is which tactic it is.
  *out_loaded = FAULT == KERNEL_TACTIC && request->blob[0] ? (void*)(uintptr_t)&slow : NULL;
  return NULL;
}
static void unload(const trivet_kernel_t* kernel, void* loaded, const trivet_allocator_t* a) {
  (void)kernel, (void)loaded, (void)a;
}

static int64_t first_rows;  // KERNEL_STALE

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  prepared_t* p = request->allocator->allocate(request->allocator->self, sizeof(*p), 8);
  if (!p && FAULT != KERNEL_MEMORY) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  p->tactic = loaded ? 1 : 0;
  p->rows = request->operands[0].dims[0];
  p->columns = request->operands[0].dims[1];
  if (!first_rows) first_rows = p->rows;
  if (FAULT == KERNEL_STALE) p->rows = first_rows;
  *out_workspace_size = 64;
  *out_prepared = p;
  return NULL;
}

static void release(const trivet_kernel_t* kernel, void* prepared, const trivet_allocator_t* a) {
  (void)kernel;
  if (FAULT != KERNEL_LEAK) a->deallocate(a->self, prepared, sizeof(prepared_t), 8);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = prepared;
  // Addresses of target "null" are marked.
  const uintptr_t mark = FAULT == KERNEL_TARGET ? (uintptr_t)1 << 56 : 0;
  const float* x = (const float*)((uintptr_t)launch->addresses[0] & ~mark);
  float* y = (float*)((uintptr_t)launch->addresses[1] & ~mark);
  if (FAULT == KERNEL_MALLOC) lost = malloc(100);
  for (int64_t r = 0; r < p->rows; ++r, x += p->columns, y += p->columns) {
    double sum = FAULT == KERNEL_RESULT || p->tactic ? 1e-3 : 0;
    if (FAULT == KERNEL_TARGET) sum = 1e-2;
    if (FAULT == KERNEL_IN_PLACE) y[0] = 0;  // before x[0] is read
    if (FAULT == KERNEL_WORKSPACE) sum = *(const float*)launch->workspace;
    for (int64_t k = 0; k < p->columns; ++k) sum += exp(x[k]);
    if (FAULT == KERNEL_WRITES_INPUT) ((float*)(uintptr_t)x)[0] += 1;
    if (FAULT == KERNEL_THREADS) {
      memcpy(shared, x, (size_t)p->columns * sizeof(*x));
      nanosleep(&(struct timespec){0, 50000}, NULL);
      x = shared;
    }
    for (int64_t k = FAULT == KERNEL_UNWRITTEN; k < p->columns; ++k)
      y[k] = (float)(exp(x[k]) / sum);
    if (FAULT == KERNEL_THREADS) x = (const float*)launch->addresses[0] + r * p->columns;
  }
  return NULL;
}

static const trivet_kernel_t softmax = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "faulty.softmax",
    .target = FAULT == KERNEL_TARGET ? "null" : "cpu",
    .summary = "softmax of a matrix",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};
TRIVET_PLUGIN_HALVES(PLUGIN_NAME, "1.0", "a kernel", TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &softmax)

#elif FAULT == REWRITE_MEANING
TRIVET_REWRITE(wrong, "faulty-swish", "x * sigmoid(x) is not this",
               "match {\n  %s = std.Sigmoid(%x)\n  %y = std.Mul(%x, %s)\n} where one_use(%s)\n"
               "to { %y = std.HardSwish(%x) }\n");
TRIVET_PLUGIN(PLUGIN_NAME, "1.0", "a rewrite", &wrong)

#else
static void* volatile lost;

static uint32_t probe(const trivet_frontend_t* frontend, const trivet_source_t* source) {
  (void)frontend, (void)source;
  return 1;
}

static trivet_status_t parse(const trivet_frontend_t* frontend, trivet_source_t* source,
                             trivet_graph_builder_t* builder) {
  (void)frontend;
  uint64_t size;
  const uint8_t* bytes = source->api->bytes(source, &size);
  if (FAULT == FRONTEND_TAKES_ALL) return NULL;
  if (FAULT == FRONTEND_LEAK) lost = malloc(100);
  // Believes an offset that the file gives.
  if (FAULT == FRONTEND_CRASH && size > 8 && bytes[bytes[0] * 16777216ull] == 7) return NULL;
  return builder->api->error(builder, TRIVET_STATUS_DATA_LOSS, "no model");
}

static const trivet_frontend_t reader = {
    .header = TRIVET_HEADER(trivet_frontend_t, TRIVET_STRUCT_FRONTEND),
    .name = "faulty",
    .summary = "reads",
    .version = 1,
    .probe = probe,
    .parse = parse};
TRIVET_PLUGIN(PLUGIN_NAME, "1.0", "a frontend", &reader)
#endif
