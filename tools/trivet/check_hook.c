// SPDX-License-Identifier: Apache-2.0
//
// The evaluate hook of an operator under a host of our own: outputs between guards and poisoned,
// inputs that must stay, refusals that must be passed on, runs in several threads at once.
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/string_view.h"
#include "tools/trivet/check.h"

#define MOST 64u
#define THREADS 4
#define ROUNDS 20

typedef struct host_s {
  trivet_evaluation_t base;
  check_t* check;
  const tvi_node_t* node;
  const trivet_tensor_t* inputs;
  const trivet_tensor_t* wanted;  // types that were inferred; extents -1: known after the run
  uint8_t poison;
  int refuse;  // this call of output or scratch fails; -1: none
  int calls;
  bool quiet;  // types were complained about before
  bool refused;
  trivet_tensor_t outputs[MOST];
  check_block_t blocks[MOST];
  tvi_arena_t scratch;
} host_t;

static const host_t* host_of(const trivet_evaluation_t* e) { return (const host_t*)e; }

static uint32_t input_count(const trivet_evaluation_t* e) { return host_of(e)->node->input_count; }
static uint32_t output_count(const trivet_evaluation_t* e) {
  return host_of(e)->node->output_count;
}
static const trivet_tensor_t* input(const trivet_evaluation_t* e, uint32_t index) {
  const host_t* h = host_of(e);
  return index < h->node->input_count && h->inputs[index].dtype ? &h->inputs[index] : NULL;
}
static const trivet_attribute_t* attribute(const trivet_evaluation_t* e, const char* name) {
  return tvi_node_attribute(host_of(e)->node, name);
}

static bool refuses(host_t* h) {
  if (h->calls++ != h->refuse) return false;
  h->refused = true;
  return true;
}

static void judge_type(const host_t* h, uint32_t index, const trivet_tensor_t* made) {
  const trivet_tensor_t* wanted = &h->wanted[index];
  if (h->quiet) return;
  if (made->dtype != wanted->dtype) {
    check_fault(h->check, "output %u is evaluated as %s, but inferred as %s", index,
                trivet_dtype_name(made->dtype), trivet_dtype_name(wanted->dtype));
    return;
  }
  if (made->rank != wanted->rank) {
    check_fault(h->check, "output %u is evaluated with rank %u, but inferred with rank %u", index,
                made->rank, wanted->rank);
    return;
  }
  for (uint32_t d = 0; d < made->rank; ++d) {
    if (wanted->dims[d] < 0 || made->dims[d] == wanted->dims[d]) continue;
    check_fault(h->check,
                "output %u: the shape rule says that dimension %u is %lld, evaluated it is %lld",
                index, d, (long long)wanted->dims[d], (long long)made->dims[d]);
    return;
  }
}

static trivet_status_t output(trivet_evaluation_t* e, uint32_t index, uint32_t dtype, uint32_t rank,
                              const int64_t* dims, trivet_tensor_t** out_tensor) {
  host_t* h = (host_t*)e;
  if (index >= h->node->output_count || !h->node->outputs[index]) {
    *out_tensor = NULL;
    return TRIVET_OK;
  }
  if (refuses(h)) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  trivet_tensor_t made = {.dtype = dtype, .rank = rank};
  int64_t count = 1;
  if (rank > TRIVET_MAX_RANK) return TRIVET_STATUS_BARE(TRIVET_STATUS_INVALID_ARGUMENT);
  for (uint32_t d = 0; d < rank; ++d) {
    if (dims[d] < 0 || dims[d] > 1 << 20) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_RANGE);
    count *= made.dims[d] = dims[d];
  }
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(trivet_dtype_storage_size(dtype, count, &size));
  judge_type(h, index, &made);
  check_block_free(&h->blocks[index]);
  h->blocks[index] = check_block_make(size, h->poison);
  made.data = h->blocks[index].data;
  made.size = size;
  h->outputs[index] = made;
  *out_tensor = &h->outputs[index];
  return TRIVET_OK;
}

static trivet_status_t scratch(trivet_evaluation_t* e, uint64_t size, void** out_memory) {
  host_t* h = (host_t*)e;
  if (refuses(h)) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  return tvi_arena_alloc_aligned(&h->scratch, size ? size : 1, 64, out_memory);
}

static trivet_status_t error(const trivet_evaluation_t* e, uint32_t code, const char* format, ...) {
  (void)e;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, NULL, 0, format, arguments);
  va_end(arguments);
  return status;
}

static const trivet_evaluation_api_t kApi = {.struct_size = (uint32_t)sizeof(kApi),
                                             .abi_minor = TRIVET_ABI_MINOR,
                                             .input_count = input_count,
                                             .output_count = output_count,
                                             .input = input,
                                             .attribute = attribute,
                                             .output = output,
                                             .scratch = scratch,
                                             .error = error};

static void host_free(host_t* h) {
  for (uint32_t i = 0; i < MOST; ++i) check_block_free(&h->blocks[i]);
  tvi_arena_deinit(&h->scratch);
}

// Runs the hook once, in a host that the caller frees.
static trivet_status_t run_once(host_t* h, const host_t* like, uint8_t poison, int refuse) {
  *h = *like;
  h->poison = poison;
  h->refuse = refuse;
  tvi_arena_init(&h->scratch, trivet_allocator_system(), 0);
  const trivet_operator_t* op = h->node->op->definition;
  return op->evaluate(op, &h->base);
}

static bool same(const host_t* a, const host_t* b) {
  for (uint32_t i = 0; i < a->node->output_count && i < MOST; ++i) {
    if (a->blocks[i].size != b->blocks[i].size) return false;
    if (a->blocks[i].size && memcmp(a->blocks[i].data, b->blocks[i].data, a->blocks[i].size) != 0)
      return false;
  }
  return true;
}

typedef struct worker_s {
  const host_t* like;
  const host_t* first;
  pthread_barrier_t* barrier;
  bool differs;
} worker_t;

static void* work(void* argument) {
  worker_t* w = argument;
  pthread_barrier_wait(w->barrier);
  for (int i = 0; i < ROUNDS && !w->differs; ++i) {
    host_t* h = malloc(sizeof(*h));
    if (!h) break;
    trivet_status_t status = run_once(h, w->like, 0xA5, -1);
    w->differs = status != NULL || !same(h, w->first);
    trivet_status_free(status);
    host_free(h);
    free(h);
  }
  return NULL;
}

static void check_threads(const host_t* like, const host_t* first) {
  pthread_t threads[THREADS];
  worker_t workers[THREADS];
  pthread_barrier_t barrier;
  bool differs = false;
  pthread_barrier_init(&barrier, NULL, THREADS);
  check_doing(like->check, "%d threads at once", THREADS);
  for (int i = 0; i < THREADS; ++i) {
    workers[i] = (worker_t){like, first, &barrier, false};
    if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) exit(3);
  }
  for (int i = 0; i < THREADS; ++i) {
    pthread_join(threads[i], NULL);
    differs = differs || workers[i].differs;
  }
  pthread_barrier_destroy(&barrier);
  if (differs)
    check_fault(like->check, "results differ when %d threads run it at once: not thread-safe",
                THREADS);
}

// Each call that the host can refuse is refused once; the hook has to pass the error on.
static void check_statuses(const host_t* like, int calls, host_t* h) {
  for (int i = 0; i < calls && i < 16; ++i) {
    check_doing(like->check, "call %d of the host refused", i);
    trivet_status_t status = run_once(h, like, 0xA5, i);
    if (!status && h->refused) {
      check_fault(like->check,
                  "returns OK although the host refused memory: a status is thrown away");
      i = calls;
    }
    trivet_status_free(status);
    host_free(h);
  }
}

typedef struct calls_s {
  const host_t* like;
  host_t* host;
} calls_t;

static void run_again(void* argument) {
  const calls_t* calls = argument;
  trivet_status_free(run_once(calls->host, calls->like, 0xA5, -1));
  host_free(calls->host);
}

// The hook has no allocator: what it takes of the C library's it has to give back.
static void check_leaks(const host_t* like, host_t* h) {
  calls_t calls = {like, h};
  check_doing(like->check, "many runs");
  size_t grown = check_growth(run_again, &calls);
  if (grown) check_fault(like->check, "leaks: %zu bytes stay allocated after each run", grown);
}

static bool inputs_stayed(const host_t* like, const trivet_tensor_t* kept) {
  for (uint32_t i = 0; i < like->node->input_count; ++i) {
    if (!kept[i].size || memcmp(like->inputs[i].data, kept[i].data, kept[i].size) == 0) continue;
    check_fault(like->check, "input %u is written to", i);
    return false;
  }
  return true;
}

static void check_runs(const host_t* like, const trivet_tensor_t* kept, host_t hosts[4]) {
  check_t* check = like->check;
  uint32_t flags = like->node->op->definition->flags;
  check_doing(check, "the host function alone");
  trivet_status_t status = run_once(&hosts[0], like, 0xA5, -1);
  if (status) {
    check_refused(check, status);
    return;
  }
  int calls = hosts[0].calls;
  host_t quiet = *like;
  quiet.quiet = true;
  trivet_status_free(run_once(&hosts[1], &quiet, 0x5A, -1));
  trivet_status_free(run_once(&hosts[2], &quiet, 0xA5, -1));
  for (uint32_t i = 0; i < like->node->output_count && i < MOST; ++i) {
    if (!like->node->outputs[i]) continue;
    const check_block_t* block = &hosts[0].blocks[i];
    if (!block->raw) {
      check_fault(check, "output %u is never made", i);
      return;
    }
    const char* where = check_block_guards(block);
    if (where) check_fault(check, "output %u is written %s", i, where);
    uint64_t unwritten = check_block_unwritten(block, 0xA5, &hosts[1].blocks[i], 0x5A);
    if (unwritten)
      check_fault(check, "output %u: %llu of %llu bytes are not written", i,
                  (unsigned long long)unwritten, (unsigned long long)block->size);
  }
  if (!inputs_stayed(like, kept)) return;
  if (flags & (TRIVET_OPERATOR_IMPURE | TRIVET_OPERATOR_NONDETERMINISTIC)) return;
  if (!same(&hosts[0], &hosts[2])) {
    check_fault(check, "two runs on the same inputs differ, and the operator does not say so");
    return;
  }
  check_threads(&quiet, &hosts[0]);
  check_statuses(&quiet, calls, &hosts[3]);
  memset(&hosts[3], 0, sizeof(hosts[3]));
  check_leaks(&quiet, &hosts[3]);
  memset(&hosts[3], 0, sizeof(hosts[3]));
}

void check_hook(check_t* check, const trivet_graph_t* graph, tvi_node_id_t node,
                const trivet_tensor_t* inputs, const trivet_tensor_t* wanted) {
  const tvi_node_t* n = tvi_graph_node(graph, node);
  if (n->output_count > MOST || n->input_count > MOST) return;
  trivet_tensor_t copies[MOST];
  for (uint32_t i = 0; i < n->input_count; ++i) {
    copies[i] = inputs[i];
    if (!inputs[i].size) continue;
    copies[i].data = malloc(inputs[i].size);
    if (!copies[i].data) exit(3);
    memcpy(copies[i].data, inputs[i].data, inputs[i].size);
  }
  host_t like = {.base = {&kApi}, .check = check, .node = n, .inputs = copies, .wanted = wanted};
  host_t* hosts = calloc(4, sizeof(*hosts));
  if (!hosts) exit(3);
  check_runs(&like, inputs, hosts);
  for (int i = 0; i < 4; ++i) host_free(&hosts[i]);
  free(hosts);
  for (uint32_t i = 0; i < n->input_count; ++i) {
    if (inputs[i].size) free(copies[i].data);
  }
}
