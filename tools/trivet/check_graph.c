// SPDX-License-Identifier: Apache-2.0
//
// A graph as text through compiler and runtime, beside the plain evaluation of the same graph: what
// a kernel or pass does to results shows here, and what it does to memory.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/graph/graph_text.h"
#include "tools/trivet/check.h"

#define MOST 32u
#define SETS 2

// One set of shapes: inputs, what the graph gives for them, and numbers for all symbols.
typedef struct shapes_s {
  int64_t symbols[64];
  trivet_tensor_t inputs[MOST], outputs[MOST];
} shapes_t;

typedef struct bytes_s {
  char* data;
  size_t size;
} bytes_t;

typedef struct trial_s {
  check_t* check;
  const char* text;
  const char* kernel;
  const char* pass;
  trivet_graph_t* graph;
  shapes_t sets[SETS];
  bytes_t plan;
  bool used;
  bool random;  // a node draws numbers: results are not compared
  check_memory_t memory;
  trivet_engine_t* engine;
} trial_t;

static void* must(void* memory) {
  if (!memory) exit(3);
  return memory;
}

static trivet_status_t keep(void* self, const void* bytes, size_t size) {
  bytes_t* b = self;
  b->data = must(realloc(b->data, b->size + size + 1));
  memcpy(b->data + b->size, bytes, size);
  b->size += size;
  b->data[b->size] = 0;
  return TRIVET_OK;
}

// --- Reference -----------------------------------------------------------------------------------

static trivet_status_t make_shapes(const trial_t* t, int set, shapes_t* s) {
  const trivet_graph_t* graph = t->graph;
  uint32_t symbols = tvi_dim_symbol_count(graph->dims);
  if (symbols > 64 || graph->input_count > MOST || graph->output_count > MOST)
    return TRIVET_STATUS(UNIMPLEMENTED, "the graph is larger than a trial");
  for (uint32_t i = 0; i < symbols; ++i) {
    int64_t least, most, value = set == 0 ? 2 + i % 3 : 7 - i % 3;
    tvi_dim_range(graph->dims, tvi_dim_symbol_at(graph->dims, i), &least, &most);
    s->symbols[i] = value < least ? least : value > most ? most : value;
  }
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    const trivet_type_t* type = &tvi_graph_value(graph, graph->inputs[i].value)->type;
    trivet_tensor_t* tensor = &s->inputs[i];
    int64_t count = 1;
    tensor->dtype = type->dtype;
    tensor->rank = type->rank;
    for (uint32_t d = 0; d < type->rank; ++d) {
      TRIVET_RETURN_IF_ERROR(
          tvi_dim_evaluate(type->dims[d], s->symbols, symbols, &tensor->dims[d]));
      count *= tensor->dims[d];
    }
    size_t size = 0;
    TRIVET_RETURN_IF_ERROR(trivet_dtype_storage_size(type->dtype, count, &size));
    tensor->size = size;
    tensor->data = must(calloc(1, size + 64));
    check_fill(tensor, 1000u * (uint32_t)set + i + 1);
  }
  return tvi_graph_evaluate_graph(graph, s->inputs, graph->input_count, trivet_allocator_system(),
                                  s->outputs);
}

static void free_shapes(const trial_t* t, shapes_t* s) {
  for (uint32_t i = 0; t->graph && i < t->graph->input_count && i < MOST; ++i)
    free(s->inputs[i].data);
  for (uint32_t i = 0; i < MOST; ++i) {
    tvi_free(trivet_allocator_system(), s->outputs[i].data, s->outputs[i].size);
  }
}

// --- Build half ----------------------------------------------------------------------------------

static trivet_status_t set_profile(const trial_t* t, trivet_config_t* config) {
  uint32_t profile = 0;
  if (!tvi_dim_symbol_count(t->graph->dims)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(trivet_config_add_profile(config, &profile));
  for (uint32_t i = 0; i < t->graph->input_count; ++i) {
    const trivet_tensor_t *a = &t->sets[0].inputs[i], *b = &t->sets[1].inputs[i];
    int64_t least[TRIVET_MAX_RANK], most[TRIVET_MAX_RANK];
    for (uint32_t d = 0; d < a->rank; ++d) {
      least[d] = a->dims[d] < b->dims[d] ? a->dims[d] : b->dims[d];
      most[d] = a->dims[d] < b->dims[d] ? b->dims[d] : a->dims[d];
    }
    char name[256];
    snprintf(name, sizeof(name), "%.*s", (int)t->graph->inputs[i].name.size,
             t->graph->inputs[i].name.data);
    TRIVET_RETURN_IF_ERROR(
        trivet_config_set_profile_shape(config, profile, name, a->rank, least, a->dims, most));
  }
  return TRIVET_OK;
}

static trivet_status_t run_pass(trial_t* t, trivet_network_t* network) {
  bytes_t before = {0}, after = {0};
  trivet_status_t status = trivet_network_print(network, 0, (trivet_sink_t){&before, keep});
  if (!status) status = trivet_network_run_passes(network, t->pass, NULL);
  if (!status) status = trivet_network_print(network, 0, (trivet_sink_t){&after, keep});
  if (!status) t->used = strcmp(before.data, after.data) != 0;
  free(before.data);
  free(after.data);
  return status;
}

static trivet_status_t compile(trial_t* t, trivet_builder_t* builder, bytes_t* plan) {
  trivet_network_t* network = NULL;
  trivet_config_t* config = NULL;
  trivet_report_t* report = NULL;
  trivet_status_t status = trivet_network_create(builder, "trial", &network);
  if (!status) status = trivet_network_parse_text(network, t->text, strlen(t->text));
  if (!status && t->pass) status = run_pass(t, network);
  if (!status) status = trivet_config_create(builder, &config);
  if (!status)
    status = trivet_config_set_flags(config, TRIVET_BUILD_EXPLAIN | TRIVET_BUILD_VERIFY_PASSES);
  if (!status) status = set_profile(t, config);
  if (!status) status = trivet_build(network, config, (trivet_sink_t){plan, keep}, &report);
  if (!status && t->kernel)
    t->used = strstr(trivet_report_text(report, TRIVET_REPORT_EXPLAIN), t->kernel) != NULL;
  trivet_report_destroy(report);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  return status;
}

static trivet_status_t build_twice(trial_t* t) {
  check_memory_t memory = {0};
  trivet_builder_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_BUILDER_OPTIONS, NULL},
      .allocator = check_allocator(&memory)};
  trivet_builder_t* builder = NULL;
  bytes_t again = {0};
  check_doing(t->check, "building");
  trivet_status_t status = trivet_builder_create(&options, &builder);
  if (!status) status = load_builder_plugins(builder, t->check->arguments);
  if (!status) status = trivet_builder_load_plugin(builder, t->check->path);
  if (!status) status = compile(t, builder, &t->plan);
  if (!status) status = compile(t, builder, &again);
  if (!status && (again.size != t->plan.size || memcmp(again.data, t->plan.data, again.size) != 0))
    check_fault(t->check, "two builds of the same graph give different plans");
  trivet_builder_destroy(builder);
  free(again.data);
  if (!status && memory.live)
    check_fault(t->check, "building leaks %lld bytes of the caller's allocator",
                (long long)memory.live);
  return status;
}

// --- Run half ------------------------------------------------------------------------------------

typedef struct results_s {
  check_block_t blocks[MOST];
  uint32_t rank[MOST];
  int64_t dims[MOST][TRIVET_MAX_RANK];
} results_t;

static const char* name_of(const tvi_named_value_t* named, char* buffer, size_t size) {
  snprintf(buffer, size, "%.*s", (int)named->name.size, named->name.data);
  return buffer;
}

static void free_results(results_t* r) {
  for (uint32_t i = 0; i < MOST; ++i) check_block_free(&r->blocks[i]);
}

static trivet_status_t run_set(const trial_t* t, trivet_context_t* context, int set, uint8_t poison,
                               results_t* r) {
  const shapes_t* s = &t->sets[set];
  char name[256];
  memset(r, 0, sizeof(*r));
  for (uint32_t i = 0; i < t->graph->input_count; ++i) {
    name_of(&t->graph->inputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(
        trivet_context_set_shape(context, name, s->inputs[i].rank, s->inputs[i].dims));
    TRIVET_RETURN_IF_ERROR(trivet_context_set_address(context, name, s->inputs[i].data));
  }
  TRIVET_RETURN_IF_ERROR(trivet_context_prepare(context));
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    uint64_t size = 0;
    name_of(&t->graph->outputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(trivet_context_tensor_size(context, name, &size));
    r->blocks[i] = check_block_make(size, poison);
    TRIVET_RETURN_IF_ERROR(trivet_context_set_address(context, name, r->blocks[i].data));
  }
  TRIVET_RETURN_IF_ERROR(trivet_context_run(context));
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    name_of(&t->graph->outputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(trivet_context_shape(context, name, &r->rank[i], r->dims[i]));
  }
  return TRIVET_OK;
}

static bool same(const trial_t* t, const results_t* a, const results_t* b) {
  if (t->random) return true;
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    if (a->blocks[i].size != b->blocks[i].size) return false;
    if (a->blocks[i].size && memcmp(a->blocks[i].data, b->blocks[i].data, a->blocks[i].size) != 0)
      return false;
  }
  return true;
}

static bool draws_numbers(const trivet_graph_t* graph) {
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    uint32_t flags = tvi_graph_node(graph, id)->op->definition->flags;
    if (flags & (TRIVET_OPERATOR_IMPURE | TRIVET_OPERATOR_NONDETERMINISTIC)) return true;
  }
  return false;
}

static void judge(const trial_t* t, int set, const results_t* a, const results_t* b) {
  for (uint32_t i = 0; i < t->graph->output_count; ++i) {
    const trivet_tensor_t* wanted = &t->sets[set].outputs[i];
    trivet_tensor_t got = *wanted;
    char text[256], name[256];
    name_of(&t->graph->outputs[i], name, sizeof(name));
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
    check_compare(&got, wanted, text, sizeof(text));
    if (unwritten) {
      check_fault(t->check, "output %s: %llu of %llu bytes are not written", name,
                  (unsigned long long)unwritten, (unsigned long long)a->blocks[i].size);
    } else if (*text) {
      check_fault(t->check, "output %s is not what the plain evaluation gives: %s", name, text);
    }
  }
}

static trivet_status_t make_context(const trial_t* t, uint32_t threads, trivet_context_t** out) {
  trivet_context_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL}, .thread_count = threads};
  return trivet_context_create(t->engine, &options, out);
}

// Shapes one after the other in one context, and the first ones again.
static trivet_status_t run_sets(const trial_t* t) {
  static const int order[3] = {0, 1, 0};
  trivet_context_t* context = NULL;
  trivet_status_t status = make_context(t, 1, &context);
  for (int k = 0; k < 3 && !status; ++k) {
    results_t a, b, c;
    memset(&b, 0, sizeof(b));
    memset(&c, 0, sizeof(c));
    check_doing(t->check, "running with shapes %s", k == 0 ? "A" : k == 1 ? "B" : "A after B");
    status = run_set(t, context, order[k], 0xA5, &a);
    if (!status) status = run_set(t, context, order[k], 0x5A, &b);
    if (!status) status = run_set(t, context, order[k], 0xA5, &c);
    if (!status) judge(t, order[k], &a, &b);
    if (!status && !same(t, &a, &c)) check_fault(t->check, "two runs on the same inputs differ");
    free_results(&a);
    free_results(&b);
    free_results(&c);
  }
  trivet_context_destroy(context);
  return status;
}

typedef struct worker_s {
  const trial_t* t;
  const results_t* first;
  pthread_barrier_t* barrier;
  bool differs;
} worker_t;

static void* work(void* argument) {
  worker_t* w = argument;
  trivet_context_t* context = NULL;
  trivet_status_t status = make_context(w->t, 1, &context);
  pthread_barrier_wait(w->barrier);
  for (int i = 0; i < 20 && !status && !w->differs; ++i) {
    results_t r;
    status = run_set(w->t, context, 0, 0xA5, &r);
    w->differs = !status && !same(w->t, &r, w->first);
    free_results(&r);
  }
  w->differs = w->differs || status;
  trivet_status_free(status);
  trivet_context_destroy(context);
  return NULL;
}

static trivet_status_t run_threads(const trial_t* t) {
  trivet_context_t* context = NULL;
  results_t one, two;
  memset(&two, 0, sizeof(two));
  check_doing(t->check, "running with two threads");
  trivet_status_t status = make_context(t, 1, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &one);
  trivet_context_destroy(context);
  if (status) return status;
  context = NULL;
  status = make_context(t, 2, &context);
  if (!status) status = run_set(t, context, 0, 0xA5, &two);
  if (!status && !same(t, &one, &two))
    check_fault(t->check, "results depend on the number of threads");
  trivet_context_destroy(context);
  free_results(&two);
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
  free_results(&one);
  return status;
}

static trivet_status_t run_plan(trial_t* t) {
  trivet_runtime_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, NULL},
      .allocator = check_allocator(&t->memory)};
  trivet_runtime_t* runtime = NULL;
  check_doing(t->check, "loading the plan");
  trivet_status_t status = trivet_runtime_create(&options, &runtime);
  if (!status) status = load_runtime_plugins(runtime, t->check->arguments);
  if (!status) status = trivet_runtime_load_plugin(runtime, t->check->path);
  if (!status)
    status = trivet_engine_load_memory(runtime, t->plan.data, t->plan.size, NULL, &t->engine);
  if (!status) status = run_sets(t);
  if (!status) status = run_threads(t);
  check_doing(t->check, "giving memory back");
  trivet_engine_destroy(t->engine);
  trivet_runtime_destroy(runtime);
  if (!status && t->memory.live)
    check_fault(t->check, "running leaks %lld bytes of the caller's allocator",
                (long long)t->memory.live);
  return status;
}

void check_graph(check_t* check, const char* text, const char* kernel, const char* pass,
                 bool* out_used) {
  trial_t* t = must(calloc(1, sizeof(*t)));
  t->check = check;
  t->text = text;
  t->kernel = kernel;
  t->pass = pass;
  ++check->tally->cases;
  trivet_string_view_t view = {text, strlen(text)};
  check_doing(check, "reading the graph");
  trivet_status_t status =
      tvi_graph_parse(check->registry, view, trivet_allocator_system(), &t->graph);
  for (int i = 0; i < SETS && !status; ++i) {
    check_doing(check, "evaluating");
    status = make_shapes(t, i, &t->sets[i]);
  }
  if (status) {
    check_refused(check, status);
  } else {
    // From here on the graph is right and an error is a fault.
    t->random = draws_numbers(t->graph);
    status = build_twice(t);
    if (!status) status = run_plan(t);
    if (status) check_fault(check, "%s", trivet_status_message(status));
    trivet_status_free(status);
  }
  if (out_used) *out_used = t->used;
  free(t->plan.data);
  for (int i = 0; i < SETS; ++i) free_shapes(t, &t->sets[i]);
  tvi_graph_destroy(t->graph);
  free(t);
}
