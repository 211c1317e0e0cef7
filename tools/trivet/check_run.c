// SPDX-License-Identifier: Apache-2.0
//
// Runs of a plan under `trivet plugin check`: results beside the plain evaluation, poisoned and
// guarded outputs, what memory held before, threads, refused memory, leaks.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/plan/plan_select.h"
#include "tools/trivet/check_trial.h"

#define REFUSALS 200

void check_results_free(check_results_t* r) {
  for (uint32_t i = 0; i < CHECK_MOST; ++i) check_block_free(&r->blocks[i]);
}

// Memory of the engine's device for one output: a block with its guards.
static trivet_status_t put_on_device(const check_trial_t* t, const check_block_t* block,
                                     uint8_t** out_address) {
  void* address = NULL;
  uint64_t size = block->size + 2 * CHECK_GUARD;
  TRIVET_RETURN_IF_ERROR(trivet_engine_allocate(t->engine, size, &address));
  *out_address = address;
  return trivet_engine_copy(t->engine, address, block->raw, size);
}

static trivet_status_t bind_set(const check_trial_t* t, trivet_context_t* context, int set,
                                uint8_t poison, check_results_t* r, uint8_t** addresses) {
  const check_shapes_t* s = &t->sets[set];
  char name[256];
  for (uint32_t i = 0; i < t->graph->input_count; ++i) {
    check_name(&t->graph->inputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(
        trivet_context_set_shape(context, name, s->inputs[i].rank, s->inputs[i].dims));
    TRIVET_RETURN_IF_ERROR(trivet_context_set_address(context, name, s->inputs[i].data));
  }
  TRIVET_RETURN_IF_ERROR(trivet_context_prepare(context));
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    uint64_t size = 0;
    check_name(&t->graph->outputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(trivet_context_tensor_size(context, name, &size));
    r->blocks[i] = check_block_make(size, poison);
    void* address = r->blocks[i].data;
    if (trivet_engine_has_device(t->engine)) {
      TRIVET_RETURN_IF_ERROR(put_on_device(t, &r->blocks[i], &addresses[i]));
      address = addresses[i] + CHECK_GUARD;
    }
    TRIVET_RETURN_IF_ERROR(trivet_context_set_address(context, name, address));
  }
  return TRIVET_OK;
}

static trivet_status_t run_set(const check_trial_t* t, trivet_context_t* context, int set,
                               uint8_t poison, check_results_t* r) {
  uint8_t* addresses[CHECK_MOST] = {NULL};
  char name[256];
  memset(r, 0, sizeof(*r));
  trivet_status_t status = bind_set(t, context, set, poison, r, addresses);
  if (!status) status = trivet_context_run(context);
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    check_name(&t->graph->outputs[i], name, sizeof(name));
    uint64_t size = r->blocks[i].size + 2 * CHECK_GUARD;
    if (!status && addresses[i])
      status = trivet_engine_copy(t->engine, r->blocks[i].raw, addresses[i], size);
    if (addresses[i]) trivet_engine_release(t->engine, addresses[i], size);
    if (!status) status = trivet_context_shape(context, name, &r->rank[i], r->dims[i]);
  }
  return status;
}

bool check_results_same(const check_trial_t* t, const check_results_t* a,
                        const check_results_t* b) {
  if (t->random) return true;
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    if (a->blocks[i].size != b->blocks[i].size) return false;
    if (a->blocks[i].size && memcmp(a->blocks[i].data, b->blocks[i].data, a->blocks[i].size) != 0)
      return false;
  }
  return true;
}

static void judge(const check_trial_t* t, int set, const check_results_t* a,
                  const check_results_t* b) {
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    const trivet_tensor_t* wanted = &t->sets[set].outputs[i];
    trivet_tensor_t got = *wanted;
    char text[256], name[256];
    check_name(&t->graph->outputs[i], name, sizeof(name));
    if (a->rank[i] != wanted->rank ||
        memcmp(a->dims[i], wanted->dims, wanted->rank * sizeof(int64_t)) != 0) {
      check_fault(t->check, "output %s has another shape than the plain evaluation gives", name);
      continue;
    }
    const char* where = check_block_guards(&a->blocks[i]);
    if (where) check_fault(t->check, "output %s is written %s", name, where);
    uint64_t unwritten = a->blocks[i].size == wanted->size
                             ? check_block_unwritten(&a->blocks[i], 0xA5, &b->blocks[i], 0x5A)
                             : 0;
    got.data = a->blocks[i].data;
    if (t->random) continue;
    check_compare(&got, wanted, t->check->tolerance, text, sizeof(text));
    if (unwritten) {
      check_fault(t->check, "output %s: %llu of %llu bytes are not written", name,
                  (unsigned long long)unwritten, (unsigned long long)a->blocks[i].size);
    } else if (*text) {
      check_fault(t->check, "output %s is not what the plain evaluation gives: %s", name, text);
    }
  }
}

static void say_doing(const check_trial_t* t, const char* what) {
  bool here = strcmp(t->target, "cpu") == 0;
  check_doing(t->check, "%s%s%s%s%s", what, here ? "" : " on ", here ? "" : t->target,
              *t->tactic ? ", tactic " : "", t->tactic);
}

static trivet_status_t create_context(const check_trial_t* t, uint32_t threads, uint32_t flags,
                                      trivet_context_t** out) {
  trivet_context_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL},
      .thread_count = threads,
      .flags = flags};
  return trivet_context_create(t->engine, &options, out);
}

static trivet_status_t make_context(const check_trial_t* t, uint32_t threads,
                                    trivet_context_t** out) {
  return create_context(t, threads, 0, out);
}

static bool inputs_stayed(const check_trial_t* t) {
  for (int set = 0; set < CHECK_SETS; ++set) {
    for (uint32_t i = 0; i < t->graph->input_count; ++i) {
      trivet_tensor_t again = t->sets[set].inputs[i];
      if (!again.size) continue;
      again.data = check_must(calloc(1, again.size + 64));
      check_fill(&again, 1000u * (uint32_t)set + i + 1);
      bool same = memcmp(again.data, t->sets[set].inputs[i].data, again.size + 64) == 0;
      free(again.data);
      if (same) continue;
      char name[256];
      check_name(&t->graph->inputs[i], name, sizeof(name));
      check_fault(t->check, "input %s is written to", name);
      return false;
    }
  }
  return true;
}

// Shapes one after the other in one context, and the first ones again.
static trivet_status_t run_sets(const check_trial_t* t) {
  static const int order[3] = {0, 1, 0};
  trivet_context_t* context = NULL;
  trivet_status_t status = make_context(t, 1, &context);
  for (int k = 0; k < 3 && !status; ++k) {
    check_results_t a, b, c;
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));
    say_doing(t, k == 0   ? "running with shapes A"
                 : k == 1 ? "running with shapes B"
                          : "running with shapes A after B");
    status = run_set(t, context, order[k], 0xA5, &a);
    if (!status && !inputs_stayed(t)) {
      check_results_free(&a);
      break;
    }
    if (!status) status = run_set(t, context, order[k], 0x5A, &b);
    if (!status) status = run_set(t, context, order[k], 0xA5, &c);
    if (!status) judge(t, order[k], &a, &b);
    if (!status && !check_results_same(t, &a, &c))
      check_fault(t->check, "two runs on the same inputs differ");
    check_results_free(&a);
    check_results_free(&b);
    check_results_free(&c);
  }
  trivet_context_destroy(context);
  return status;
}

typedef struct worker_s {
  const check_trial_t* t;
  const check_results_t* first;
  pthread_barrier_t* barrier;
  bool differs;
} worker_t;

static void* work(void* argument) {
  worker_t* w = argument;
  trivet_context_t* context = NULL;
  trivet_status_t status = make_context(w->t, 1, &context);
  pthread_barrier_wait(w->barrier);
  for (int i = 0; i < 20 && !status && !w->differs; ++i) {
    check_results_t r;
    status = run_set(w->t, context, 0, 0xA5, &r);
    w->differs = !status && !check_results_same(w->t, &r, w->first);
    check_results_free(&r);
  }
  w->differs = w->differs || status;
  trivet_status_free(status);
  trivet_context_destroy(context);
  return NULL;
}

static trivet_status_t run_threads(const check_trial_t* t) {
  trivet_context_t* context = NULL;
  check_results_t one, two;
  memset(&two, 0, sizeof(two));
  check_doing(t->check, "running with two threads");
  trivet_status_t status = make_context(t, 1, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &one);
  trivet_context_destroy(context);
  if (status) return status;
  context = NULL;
  status = make_context(t, 2, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &two);
  if (!status && !check_results_same(t, &one, &two))
    check_fault(t->check, "results depend on the number of threads");
  trivet_context_destroy(context);
  check_results_free(&two);
  pthread_t threads[2];
  pthread_barrier_t barrier;
  worker_t workers[2];
  pthread_barrier_init(&barrier, NULL, 2);
  check_doing(t->check, "running two contexts at once");
  for (int i = 0; i < 2; ++i) {
    workers[i] = (worker_t){t, &one, &barrier, false};
    if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) exit(3);
  }
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&barrier);
  if (workers[0].differs || workers[1].differs)
    check_fault(t->check, "results differ when two contexts run at once: not thread-safe");
  check_results_free(&one);
  return status;
}

// Two contexts whose memory held other things before, that of a device, too.
static trivet_status_t run_fills(check_trial_t* t, int set) {
  check_results_t results[2];
  trivet_status_t status = TRIVET_OK;
  memset(results, 0, sizeof(results));
  say_doing(t, "running in memory that held something");
  for (int k = 0; k < 2 && !status; ++k) {
    trivet_context_t* context = NULL;
    t->memory->fill = k ? 0xFF : 0;
    status =
        create_context(t, 1, k ? TRIVET_CONTEXT_FILL_ONES : TRIVET_CONTEXT_FILL_ZEROS, &context);
    if (!status) status = run_set(t, context, set, 0xA5, &results[k]);
    trivet_context_destroy(context);
  }
  t->memory->fill = 0;
  if (!status && !check_results_same(t, &results[0], &results[1]))
    check_fault(t->check,
                "results depend on what memory held before: something is read that "
                "nothing has written");
  check_results_free(&results[0]);
  check_results_free(&results[1]);
  return status;
}

// Each allocation of a context is refused once; the kernel has to pass the error on.
static trivet_status_t run_refusals(check_trial_t* t, const check_results_t* first) {
  for (int k = 1; k <= REFUSALS; ++k) {
    trivet_context_t* context = NULL;
    check_results_t r = {0};
    check_doing(t->check, "allocation %d of a context refused", k);
    t->memory->refuse_in = k;
    trivet_status_t status = make_context(t, 1, &context);
    if (!status) status = run_set(t, context, 0, 0xA5, &r);
    bool refused = t->memory->refuse_in == 0;
    t->memory->refuse_in = 0;
    if (refused && !status && !check_results_same(t, &r, first)) {
      check_fault(t->check, "returns OK although the host refused memory: a status is thrown away");
      refused = false;
    }
    trivet_context_destroy(context);
    check_results_free(&r);
    trivet_status_free(status);
    if (!refused) return TRIVET_OK;
  }
  return TRIVET_OK;
}

static void run_again(void* argument) {
  const check_trial_t* t = argument;
  trivet_context_t* context = NULL;
  check_results_t r = {0};
  trivet_status_t status = make_context(t, 1, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &r);
  trivet_context_destroy(context);
  check_results_free(&r);
  trivet_status_free(status);
}

// What a kernel takes of the C library's memory, beside the caller's allocator.
static void run_leaks(check_trial_t* t) {
  int64_t live = t->memory->live;
  check_doing(t->check, "many contexts");
  size_t grown = check_growth(run_again, t);
  // What is the caller's allocator's is told at the end.
  if (grown && t->memory->live == live)
    check_fault(t->check, "leaks: %zu bytes of malloc stay allocated after each context and run",
                grown);
}

static trivet_status_t run_kernel(check_trial_t* t) {
  trivet_context_t* context = NULL;
  check_results_t first = {0};
  trivet_status_t status = make_context(t, 1, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &first);
  trivet_context_destroy(context);
  if (!status) status = run_refusals(t, &first);
  if (!status) run_leaks(t);
  check_results_free(&first);
  return status;
}

static trivet_status_t open_runtime(const check_trial_t* t, check_memory_t* memory,
                                    trivet_runtime_t** out_runtime) {
  trivet_runtime_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, NULL},
      .allocator = check_allocator(memory)};
  TRIVET_RETURN_IF_ERROR(trivet_runtime_create(&options, out_runtime));
  TRIVET_RETURN_IF_ERROR(load_runtime_plugins(*out_runtime, t->check->arguments));
  TRIVET_RETURN_IF_ERROR(trivet_runtime_load_plugin(*out_runtime, t->check->path));
  return trivet_runtime_add_plugin(*out_runtime, check_operators);
}

// An engine on the host has a runtime of its own. A device is opened once in a process, since that
// takes long; memory is that of its runtime then.
static trivet_status_t load(check_trial_t* t, const check_bytes_t* plan) {
  check_t* check = t->check;
  const bool is_here = strcmp(t->target, "cpu") == 0;
  t->memory = is_here ? &t->own_memory : &check->device_memory;
  trivet_runtime_t** runtime = is_here ? &t->runtime : &check->device_runtime;
  if (!*runtime) TRIVET_RETURN_IF_ERROR(open_runtime(t, t->memory, runtime));
  return trivet_engine_load_memory(*runtime, plan->data, plan->size, NULL, &t->engine);
}

static void unload(check_trial_t* t) {
  trivet_engine_destroy(t->engine);
  t->engine = NULL;
  trivet_runtime_destroy(t->runtime);
  t->runtime = NULL;
}

trivet_status_t check_run(check_trial_t* t, const check_bytes_t* plan, bool all) {
  uint32_t faults = t->check->tally->faults;
  say_doing(t, "loading the plan");
  trivet_status_t status = load(t, plan);
  if (!status) status = run_sets(t);
  bool good = !status && faults == t->check->tally->faults;
  for (int set = 0; good && set < CHECK_SETS && !status; ++set) status = run_fills(t, set);
  if (good && all && !status) status = run_threads(t);
  if (good && all && !status && t->kernel && t->used) status = run_kernel(t);
  say_doing(t, "giving memory back");
  unload(t);
  // What an open device keeps, it keeps for later.
  if (!status && t->memory == &t->own_memory && t->memory->live)
    check_fault(t->check, "running leaks %lld bytes of the caller's allocator",
                (long long)t->memory->live);
  if (t->memory == &t->own_memory) t->memory->live = 0;
  return status;
}

trivet_status_t check_run_once(check_trial_t* t, const check_bytes_t* plan, int set,
                               check_results_t* out_results) {
  trivet_context_t* context = NULL;
  memset(out_results, 0, sizeof(*out_results));
  trivet_status_t status = load(t, plan);
  if (!status) status = make_context(t, 1, &context);
  if (!status) status = run_set(t, context, set, 0xA5, out_results);
  trivet_context_destroy(context);
  unload(t);
  return status;
}

// --- Alternatives --------------------------------------------------------------------------------

// The plan with alternative |k| of each step that has so many, else its last.
static trivet_status_t run_alternative(check_trial_t* t, const tvi_plan_t* plan, uint32_t k,
                                       bool all) {
  const tvi_plan_block_t* block = &plan->programs[0].blocks[0];
  tvi_arena_t arena;
  tvi_plan_selection_t selection;
  check_bytes_t bytes = {0};
  uint32_t* chosen = check_must(calloc(block->step_count + 1u, sizeof(*chosen)));
  t->tactic[0] = 0;
  for (uint32_t s = 0; s < block->step_count; ++s) {
    uint32_t count = block->steps[s].alternative_count;
    chosen[s] = count == 0 ? 0 : k < count ? k : count - 1;
    if (k >= count) continue;
    const tvi_plan_alternative_t* a = &block->steps[s].alternatives[k];
    if (check_is_kernel(t, a))
      snprintf(t->tactic, sizeof(t->tactic), "'%.*s'", (int)a->tactic.size, a->tactic.data);
  }
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_status_t status = tvi_plan_select(plan, 0, chosen, &arena, &selection);
  if (!status)
    status = tvi_plan_write(&selection.plan, &selection.weights, trivet_allocator_system(),
                            check_bytes_sink(&bytes));
  // What is not the kernel's is not looked at again.
  if (!status && *t->tactic) status = check_run(t, &bytes, all);
  tvi_arena_deinit(&arena);
  free(bytes.data);
  free(chosen);
  return status;
}

trivet_status_t check_run_alternatives(check_trial_t* t, const check_bytes_t* bytes, bool first) {
  void* copy = NULL;
  tvi_plan_t* plan = NULL;
  TRIVET_RETURN_IF_ERROR(check_read_plan(bytes, &copy, &plan));
  uint32_t most = 0, faults = t->check->tally->faults;
  const tvi_plan_block_t* block = &plan->programs[0].blocks[0];
  for (uint32_t s = 0; s < block->step_count; ++s) {
    if (block->steps[s].alternative_count > most) most = block->steps[s].alternative_count;
  }
  trivet_status_t status = TRIVET_OK;
  for (uint32_t k = first ? 0 : 1; k < most && !status && t->check->tally->faults == faults; ++k)
    status = run_alternative(t, plan, k, first && strcmp(t->target, "cpu") == 0);
  t->tactic[0] = 0;
  tvi_plan_destroy(plan);
  free(copy);
  return status;
}
