// SPDX-License-Identifier: Apache-2.0
//
// Proposals and steps of every kind, a driver for the library to ask where none is installed, and
// plans that equal layers share. Build halves only; it never opens a handle.
#include "plugins/cuda_dnn/dnn_offline.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_kind.h"

// --- The library ------------------------------------------------------------------------

// The properties of the architecture that |target| ("cuda:sm_90") names; NULL: they are not known.
static const char* target_properties(const char* target) {
  static const char prefix[] = "cuda:";
  bool is_named = target && strncmp(target, prefix, sizeof(prefix) - 1) == 0;
  return dnn_device_properties(is_named ? target + sizeof(prefix) - 1 : "sm_90");
}

// cuDNN asks a driver even where a device is described. Where none is installed, the one beside
// this plugin says that there is no device.
static void ensure_driver(void) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  Dl_info info;
  if (!driver && dladdr((const void*)&ensure_driver, &info) && info.dli_fname) {
    char path[1024];
    const char* slash = strrchr(info.dli_fname, '/');
    int folder = slash ? (int)(slash - info.dli_fname) : 0;
    int size = snprintf(path, sizeof(path), "%.*s/no_driver/libcuda.so.1", folder, info.dli_fname);
    if (slash && size > 0 && (size_t)size < sizeof(path)) {
      driver = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    }
  }
  if (driver) dlclose(driver);
}

static trivet_status_t open_library(trivet_allocator_t allocator, dnn_library_t* out_library) {
  ensure_driver();
  return dnn_library_open(allocator, out_library);
}

// --- Proposal ---------------------------------------------------------------------------

bool dnn_offline_evaluate(const trivet_region_t* region, const trivet_dim_t* dims, uint32_t count,
                          int64_t* out_numbers) {
  trivet_status_t status = TRIVET_OK;
  for (uint32_t i = 0; !status && i < count; ++i) {
    status = tvi_dim_evaluate(dims[i], region->symbols, region->symbol_count, &out_numbers[i]);
  }
  bool is_known = !status;
  trivet_status_free(status);
  return is_known;
}

static trivet_status_t ask(const dnn_kind_t* kind, const trivet_region_t* region,
                           tvi_arena_t* arena, uint64_t tactic, dnn_asked_t* out) {
  memset(out, 0, sizeof(*out));
  if (!target_properties(region->target)) {
    out->reason = "the properties of this architecture are not known";
    return TRIVET_OK;
  }
  return kind->ask(region, arena, tactic < DNN_MAX_CANDIDATES ? (uint32_t)tactic : 0, out);
}

// Asks the library the kernel's question; *out_count: tactics to propose.
static trivet_status_t ask_library(const trivet_region_t* region, const dnn_asked_t* asked,
                                   uint32_t* out_count) {
  dnn_library_t library;
  dnn_device_choice_t device = {target_properties(region->target), NULL};
  TRIVET_RETURN_IF_ERROR(open_library(region->graph->allocator, &library));
  trivet_status_t status = TRIVET_OK;
  uint32_t count = asked->most;
  if (asked->question != DNN_ASK_NOTHING) {
    status = dnn_graph_candidates(&library, &asked->graph, &device, &count);
  }
  dnn_library_close(&library);
  bool is_all = asked->question == DNN_ASK_WHETHER && count > 0;
  *out_count = is_all || count > asked->most ? asked->most : count;
  return status;
}

static trivet_status_t add_tactics(const trivet_kernel_t* kernel, const dnn_asked_t* asked,
                                   uint32_t count, trivet_proposal_t* proposal) {
  const dnn_kind_t* kind = (const dnn_kind_t*)kernel->self;
  for (uint32_t i = 0; i < count; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    // The heuristic orders its proposals: a later one must win by time.
    tactic.price = asked->price * (1 + 0.02 * i);
    snprintf(tactic.name, sizeof(tactic.name), "%s %u", kind->tactic, i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

trivet_status_t dnn_offline_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal) {
  dnn_asked_t asked;
  uint32_t count = 0;
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = ask((const dnn_kind_t*)kernel->self, region, &arena, 0, &asked);
  trivet_status_t refusal = TRIVET_OK;
  if (!status && !asked.reason) {
    refusal = ask_library(region, &asked, &count);
    if (refusal) asked.reason = trivet_status_message(refusal);
    if (!refusal && !count) asked.reason = "cuDNN offers no way to compute it";
  }
  if (!status && asked.reason) {
    proposal->decline(proposal->self, kernel, "%s", asked.reason);
  } else if (!status) {
    status = add_tactics(kernel, &asked, count, proposal);
  }
  trivet_status_free(refusal);
  tvi_arena_deinit(&arena);
  return status;
}

// --- Emission ---------------------------------------------------------------------------

// A plan to build later, beside others.
typedef struct wanted_s {
  dnn_graph_t graph;
  dnn_device_choice_t device;
} wanted_t;

static trivet_status_t make_wanted(const void* self, trivet_allocator_t allocator,
                                   uint8_t** out_data, size_t* out_size) {
  const wanted_t* wanted = (const wanted_t*)self;
  char* text = NULL;
  uint64_t size = 0;
  dnn_library_t library;
  TRIVET_RETURN_IF_ERROR(open_library(allocator, &library));
  trivet_status_t status =
      dnn_graph_plan(&library, &wanted->graph, &wanted->device, allocator, &text, &size);
  dnn_library_close(&library);
  *out_data = (uint8_t*)text;
  *out_size = (size_t)size;
  return status;
}

// Of all that a plan depends on; plans of one version of the library are none of another.
static tvi_hash128_t key_of(const dnn_graph_t* graph, const char* properties,
                            const dnn_library_t* library) {
  uint32_t magic = 0;
  memcpy(&magic, graph->problem, sizeof(magic));
  tvi_hash128_t problem = tvi_hash128(graph->problem, (size_t)graph->problem_size, magic);
  const uint64_t parts[] = {problem.low, problem.high, graph->key[0], graph->key[1]};
  tvi_hash128_t key = tvi_hash128(parts, sizeof(parts), strlen(properties));
  const uint64_t with_version[] = {key.low, key.high, library->cudnnGetVersion()};
  return tvi_hash128(with_version, sizeof(with_version), 0);
}

static trivet_status_t add_blob(const dnn_graph_t* graph, const void* text, uint64_t size,
                                trivet_emission_t* emission) {
  const uint64_t total = graph->problem_size + size;
  const dnn_stored_plan_t stored = {size, {graph->key[0], graph->key[1]}};
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(emission->arena, (size_t)total, 1, &data));
  uint8_t* end = data + graph->problem_size;
  memcpy(data, graph->problem, (size_t)graph->problem_size);
  memcpy(end - sizeof(stored), &stored, sizeof(stored));
  if (size) memcpy(end, text, (size_t)size);
  return emission->set_blob(emission->self, data, total);
}

static trivet_status_t set_blob(const trivet_region_t* region, const dnn_graph_t* graph,
                                const dnn_library_t* library, trivet_emission_t* emission) {
  trivet_allocator_t allocator = region->graph->allocator;
  tvi_code_cache_t* cache = region->code_cache;
  wanted_t wanted = {*graph, {target_properties(region->target), NULL}};
  tvi_hash128_t key = key_of(graph, wanted.device.json, library);
  const tvi_cached_code_t* known = cache ? tvi_code_cache_find(cache, key) : NULL;
  if (cache && cache->is_collecting) {
    void* copy = NULL;
    if (known) return TRIVET_OK;
    TRIVET_RETURN_IF_ERROR(tvi_arena_copy(emission->arena, &wanted, sizeof(wanted), &copy));
    return tvi_code_cache_request(cache, key, make_wanted, copy);
  }
  if (known) return add_blob(graph, known->data, known->size, emission);
  char* text = NULL;
  uint64_t size = 0;
  trivet_status_free(dnn_graph_plan(library, graph, &wanted.device, allocator, &text, &size));
  trivet_status_t status = TRIVET_OK;
  if (text && cache) status = tvi_code_cache_add(cache, key, text, (size_t)size);
  if (!status) status = add_blob(graph, text, size, emission);
  if (text) tvi_free(allocator, text, (size_t)size);
  return status;
}

trivet_status_t dnn_offline_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  dnn_asked_t a;
  TRIVET_RETURN_IF_ERROR(ask((const dnn_kind_t*)kernel->self, region, emission->arena, tactic, &a));
  if (a.reason) return TRIVET_STATUS(INTERNAL, "cuDNN took this region before: %s", a.reason);
  bool is_collecting = region->code_cache && region->code_cache->is_collecting;
  for (uint32_t i = 0; i < a.operand_count; ++i) {
    if (i == 1 && a.pack) {
      if (!is_collecting) TRIVET_RETURN_IF_ERROR(a.pack(a.self, region, emission));
    } else {
      TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, a.operands[i]));
    }
  }
  for (uint32_t i = 0; i < a.parameter_count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_parameter(emission->self, a.parameters[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_dnn"));
  dnn_library_t library;
  TRIVET_RETURN_IF_ERROR(open_library(region->graph->allocator, &library));
  trivet_status_t status = set_blob(region, &a.graph, &library, emission);
  dnn_library_close(&library);
  return status;
}
