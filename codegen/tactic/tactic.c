// SPDX-License-Identifier: Apache-2.0
//
// Tactics: asking kernels, and choosing by price, by time or by lock. Called by the cover and the
// schedule for one region at a time; it must not look at operator names.
#include "codegen/tactic/tactic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codegen/tactic/measure.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/graph/graph_report.h"

trivet_status_t tvi_tactic_context_create(const tvi_registry_t* registry,
                                          const tvi_tactic_options_t* options,
                                          trivet_allocator_t allocator,
                                          tvi_tactic_context_t** out_context) {
  tvi_tactic_context_t* context = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*context), &context));
  context->options = *options;
  context->registry = registry;
  context->allocator = allocator;
  tvi_vector_init(&context->kernels, allocator);
  tvi_vector_init(&context->notes, allocator);
  tvi_code_cache_init(&context->code_cache, allocator);
  tvi_load_price_init(&context->load_price, allocator);
  tvi_load_price_bound(&context->load_price, options->max_load_ms, options->weight_bytes);
  trivet_status_t status = tvi_alloc_zeroed(allocator, sizeof(*context->arena), &context->arena);
  if (!status) tvi_arena_init(context->arena, allocator, 1 << 16);
  bool general = false;
  trivet_string_view_t target = {options->target, strlen(options->target)};
  for (uint32_t i = 0; !status; ++i) {
    const trivet_kernel_t* kernel =
        (const trivet_kernel_t*)tvi_registry_definition(registry, TRIVET_STRUCT_KERNEL, i);
    if (!kernel) break;
    if (!(kernel->halves & TRIVET_HALF_BUILD) || !kernel->propose || !kernel->emit) continue;
    if (!tvi_target_matches(target, kernel->target)) continue;
    general = general || tvi_tactic_is_general(kernel);
    status = tvi_vector_push(&context->kernels, kernel);
  }
  if (!status && !general) {
    status = TRIVET_STATUS(
        UNAVAILABLE,
        "no plugin brings target %s: none of the loaded ones has a kernel for all programs of it",
        options->target);
  }
  if (status) {
    tvi_tactic_context_destroy(context);
    return status;
  }
  *out_context = context;
  return TRIVET_OK;
}

void tvi_tactic_context_destroy(tvi_tactic_context_t* context) {
  if (!context) return;
  trivet_allocator_t allocator = context->allocator;
  tvi_vector_deinit(&context->kernels);
  tvi_vector_deinit(&context->notes);
  tvi_code_cache_deinit(&context->code_cache);
  tvi_load_price_deinit(&context->load_price);
  if (context->arena) {
    tvi_arena_deinit(context->arena);
    tvi_free(allocator, context->arena, sizeof(*context->arena));
  }
  tvi_free(allocator, context, sizeof(*context));
}

bool tvi_tactic_is_general(const trivet_kernel_t* kernel) {
  return (kernel->flags & TRIVET_KERNEL_GENERAL) != 0;
}

bool tvi_tactic_has_flag(const tvi_tactic_context_t* context, uint32_t flag) {
  for (size_t i = 0; i < context->kernels.count; ++i) {
    if (context->kernels.data[i]->flags & flag) return true;
  }
  return false;
}

bool tvi_tactic_fuser_enabled(const tvi_tactic_context_t* context, const char* fuser) {
  for (uint32_t i = 0; i < context->options.disabled_count; ++i) {
    if (strcmp(context->options.disabled[i], fuser) == 0) return false;
  }
  return true;
}

trivet_status_t tvi_tactic_progress(const tvi_tactic_context_t* context, const char* phase,
                                    uint32_t done, uint32_t total) {
  const trivet_progress_t* progress = &context->options.progress;
  if (!progress->update || !progress->update(progress->self, phase, done, total)) return TRIVET_OK;
  return TRIVET_STATUS(CANCELLED, "the build was cancelled in phase \"%s\"", phase);
}

// Notes are for people: when there is no memory for one, it is lost and the build goes on.
void tvi_tactic_note(tvi_tactic_context_t* context, const char* by, const trivet_graph_t* graph,
                     tvi_node_id_t node, bool declined, const char* format, ...) {
  if (!context->options.explain) return;
  tvi_string_builder_t origin, text;
  tvi_string_builder_init(&origin, context->allocator);
  tvi_string_builder_init(&text, context->allocator);
  if (node) tvi_graph_describe_node(graph, node, 4, &origin);
  va_list arguments;
  va_start(arguments, format);
  tvi_string_builder_append_v(&text, format, arguments);
  va_end(arguments);
  tvi_explain_note_t note;
  memset(&note, 0, sizeof(note));
  note.by = by;
  note.declined = declined;
  trivet_status_t status = tvi_string_builder_status(&origin);
  status = trivet_status_join(status, tvi_string_builder_status(&text));
  if (!status)
    status = tvi_arena_strdup(context->arena, tvi_string_builder_view(&origin), &note.origin);
  if (!status)
    status = tvi_arena_strdup(context->arena, tvi_string_builder_view(&text), &note.text);
  if (!status) status = tvi_vector_push(&context->notes, note);
  trivet_status_free(status);
  tvi_string_builder_deinit(&origin);
  tvi_string_builder_deinit(&text);
}

void tvi_tactic_region_init(tvi_tactic_context_t* context, const trivet_graph_t* graph,
                            const tvi_kir_program_t* program, const tvi_node_id_t* nodes,
                            uint32_t node_count, const char* made_by, trivet_region_t* out_region) {
  const tvi_tactic_options_t* options = &context->options;
  memset(out_region, 0, sizeof(*out_region));
  out_region->api = tvi_region_api();
  out_region->graph = graph;
  out_region->nodes = nodes;
  out_region->node_count = node_count;
  out_region->thread_count = options->thread_count;
  out_region->target = options->target;
  out_region->program = program;
  out_region->made_by = made_by;
  out_region->dump_folder = options->dump_folder;
  out_region->code_cache = &context->code_cache;
  out_region->symbols = options->symbols;
  out_region->symbol_count = options->symbol_count;
  out_region->allows_tf32 = tvi_precision_allows_tf32(options->precision, graph, nodes, node_count);
}

// --- Asking kernels ---------------------------------------------------------------------

typedef struct asking_s {
  tvi_tactic_list_t* list;
  tvi_string_builder_t* reasons;
} asking_t;

static trivet_status_t add_tactic(void* self, const tvi_tactic_t* tactic) {
  return tvi_vector_push(((asking_t*)self)->list, *tactic);
}

static void note_decline(void* self, const trivet_kernel_t* kernel, const char* format, ...) {
  tvi_string_builder_t* reasons = ((asking_t*)self)->reasons;
  if (!reasons) return;
  if (reasons->size) tvi_string_builder_append_cstr(reasons, "; ");
  tvi_string_builder_appendf(reasons, "%s: ", kernel->name);
  va_list arguments;
  va_start(arguments, format);
  tvi_string_builder_append_v(reasons, format, arguments);
  va_end(arguments);
}

// Drops what would make loading take longer than it may.
static trivet_status_t drop_slow_to_load(const tvi_tactic_context_t* context,
                                         const trivet_region_t* region, tvi_tactic_list_t* list,
                                         asking_t* asking) {
  uint64_t signature[2];
  if (context->load_price.budget_us == 0 || list->count == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_region_signature(region, signature));
  size_t kept = 0;
  const trivet_kernel_t* dropped = NULL;
  for (size_t i = 0; i < list->count; ++i) {
    const trivet_kernel_t* kernel = list->data[i].kernel;
    if (tvi_load_price_fits(&context->load_price, kernel, signature)) {
      list->data[kept++] = list->data[i];
    } else if (dropped != kernel) {
      dropped = kernel;
      note_decline(asking, kernel, "loading the plan would take longer than it may");
    }
  }
  list->count = kept;
  return TRIVET_OK;
}

trivet_status_t tvi_tactic_enumerate(tvi_tactic_context_t* context, const trivet_region_t* region,
                                     tvi_tactic_list_t* out_tactics,
                                     tvi_string_builder_t* reasons) {
  out_tactics->count = 0;
  asking_t asking = {out_tactics, reasons};
  struct trivet_proposal_s proposal = {tvi_proposal_api(), &asking, add_tactic, note_decline};
  for (size_t i = 0; i < context->kernels.count; ++i) {
    const trivet_kernel_t* kernel = context->kernels.data[i];
    if (!tvi_tactic_fuser_enabled(context, kernel->name))
      continue;  // kernels are switched off by name too
    if (!region->program && !(kernel->flags & TRIVET_KERNEL_HOST_FUNCTIONS)) continue;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(kernel->propose(kernel, region, &proposal), "kernel %s",
                                     kernel->name);
  }
  return drop_slow_to_load(context, region, out_tactics, &asking);
}

// "cpu_onednn.convolution/1": a new version of a kernel is another kernel for caches.
static void kernel_key(const trivet_kernel_t* kernel, char* buffer, size_t size) {
  snprintf(buffer, size, "%s/%u", kernel->name, kernel->version);
}

static size_t cheapest(const tvi_tactic_list_t* list) {
  size_t best = 0;
  for (size_t i = 1; i < list->count; ++i) {
    if (list->data[i].price < list->data[best].price) best = i;
  }
  return best;
}

// The tactic with these names; |list->count|: none.
static size_t find_tactic(const tvi_tactic_list_t* list, const char* kernel, const char* name) {
  for (size_t i = 0; i < list->count; ++i) {
    char key[128];
    kernel_key(list->data[i].kernel, key, sizeof(key));
    if (strcmp(key, kernel) == 0 && strcmp(list->data[i].name, name) == 0) return i;
  }
  return list->count;
}

// What the cache names for the signature. False: it knows none, or one that no kernel proposes.
static bool by_cache(const tvi_tactic_context_t* context, const tvi_tactic_list_t* list,
                     const uint64_t signature[2], size_t* out_index) {
  const char *kernel = NULL, *name = NULL;
  if (!tvi_timing_cache_best(context->options.cache, signature, &kernel, &name)) return false;
  size_t index = find_tactic(list, kernel, name);
  if (index < list->count) *out_index = index;
  return index < list->count;
}

// A lock file decides wherever there is more than one tactic; what it says is never passed over.
static trivet_status_t by_lock(const tvi_tactic_context_t* context, const trivet_region_t* region,
                               const tvi_tactic_list_t* list, const uint64_t signature[2],
                               size_t* out_index) {
  const char *kernel = NULL, *name = NULL;
  if (!tvi_timing_cache_best(context->options.cache, signature, &kernel, &name)) {
    if (list->count == 1) return TRIVET_OK;
    return TRIVET_STATUS(NOT_FOUND,
                         "the lock file has no tactic for this region of %u nodes; build with "
                         "timed tactics and write a lock file",
                         region->node_count);
  }
  tvi_timing_cache_use(context->options.cache, signature);
  *out_index = find_tactic(list, kernel, name);
  if (*out_index < list->count) return TRIVET_OK;
  return TRIVET_STATUS(NOT_FOUND,
                       "the lock file names tactic \"%s\" of kernel %s for this region, which no "
                       "kernel of target %s proposes here",
                       name, kernel, context->options.target);
}

// Far more expensive by price than the cheapest: not worth a look.
#define TOO_EXPENSIVE(price, cheapest_price) ((price) > 20 * (cheapest_price) + 1e5)

static trivet_status_t time_one(tvi_tactic_bench_t* bench, tvi_tactic_context_t* context,
                                const trivet_region_t* region, const tvi_tactic_t* tactic,
                                const uint64_t signature[2], double* inout_best) {
  char key[128];
  double time = 0;
  kernel_key(tactic->kernel, key, sizeof(key));
  trivet_status_t status = tvi_tactic_bench_measure(bench, tactic, *inout_best, &time);
  if (status && context->options.measure &&
      trivet_status_code(status) != TRIVET_STATUS_OUT_OF_MEMORY) {
    // What a library cannot run on this device is no candidate.
    tvi_tactic_note(context, tactic->kernel->name, region->graph,
                    region->node_count ? region->nodes[0] : 0, true, "%s: %s", tactic->name,
                    trivet_status_message(status));
    trivet_status_free(status);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(status);
  if (*inout_best == 0 || time < *inout_best) *inout_best = time;
  return tvi_timing_cache_add(context->options.cache, signature, key, tactic->name, time);
}

// Measures what the cache does not know yet. One tactic needs no clock.
static trivet_status_t time_all(tvi_tactic_context_t* context, const trivet_region_t* region,
                                const tvi_tactic_list_t* list, const uint64_t signature[2]) {
  TVI_VECTOR(const tvi_tactic_t*) unknown;
  tvi_vector_init(&unknown, context->allocator);
  trivet_status_t status = TRIVET_OK;
  double best = 0;
  for (size_t i = 0; i < list->count && !status; ++i) {
    char key[128];
    double time = 0;
    kernel_key(list->data[i].kernel, key, sizeof(key));
    if (tvi_timing_cache_find(context->options.cache, signature, key, list->data[i].name, &time)) {
      if (best == 0 || time < best) best = time;
      continue;
    }
    if (TOO_EXPENSIVE(list->data[i].price, list->data[cheapest(list)].price)) continue;
    status = tvi_vector_push(&unknown, &list->data[i]);
  }
  tvi_tactic_bench_t* bench = NULL;
  int turn = -1;
  if (!status && unknown.count) {
    status = tvi_tactic_compile_ahead(context, region, unknown.data, unknown.count);
    if (!status && context->options.cache_path)
      turn = tvi_directory_lock(context->options.cache_path);
    if (!status) status = tvi_tactic_bench_create(context, region, &bench);
  }
  for (size_t i = 0; i < unknown.count && !status; ++i) {
    status = time_one(bench, context, region, unknown.data[i], signature, &best);
  }
  tvi_tactic_bench_destroy(bench);
  tvi_directory_unlock(turn);
  tvi_vector_deinit(&unknown);
  return status;
}

// What was measured is the price from here on.
static void price_by_time(const tvi_tactic_context_t* context, const uint64_t signature[2],
                          tvi_tactic_t* tactic) {
  char key[128];
  double time = 0;
  kernel_key(tactic->kernel, key, sizeof(key));
  if (tvi_timing_cache_find(context->options.cache, signature, key, tactic->name, &time)) {
    tactic->price = time;
  }
}

static trivet_status_t choose(tvi_tactic_context_t* context, const trivet_region_t* region,
                              const tvi_tactic_list_t* list, size_t* out_index) {
  *out_index = cheapest(list);
  if (context->options.mode == TRIVET_TACTICS_HEURISTIC) return TRIVET_OK;
  uint64_t signature[2];
  TRIVET_RETURN_IF_ERROR(tvi_region_signature(region, signature));
  if (context->options.mode == TRIVET_TACTICS_LOCKED) {
    TRIVET_RETURN_IF_ERROR(by_lock(context, region, list, signature, out_index));
    price_by_time(context, signature, &list->data[*out_index]);
    return TRIVET_OK;
  }
  if (list->count == 1) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(time_all(context, region, list, signature));
  if (by_cache(context, list, signature, out_index)) {
    tvi_timing_cache_use(context->options.cache, signature);
    price_by_time(context, signature, &list->data[*out_index]);
  }
  return TRIVET_OK;
}

static bool is_chosen(const tvi_tactic_list_t* list, const tvi_tactic_choice_t* choice, size_t i) {
  for (uint32_t k = 0; k < choice->count; ++k) {
    const tvi_tactic_t* taken = &choice->tactics[k];
    if (taken->kernel == list->data[i].kernel && strcmp(taken->name, list->data[i].name) == 0) {
      return true;
    }
  }
  return false;
}

static uint32_t chosen_of_kernel(const tvi_tactic_choice_t* choice, const trivet_kernel_t* kernel) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < choice->count; ++k) count += choice->tactics[k].kernel == kernel;
  return count;
}

// The next alternative: of the kernel that has fewest so far, and there the cheapest.
static bool find_next(const tvi_tactic_list_t* list, const tvi_tactic_choice_t* choice,
                      size_t* out_index) {
  bool found = false;
  double cheapest_price = list->data[cheapest(list)].price;
  for (size_t i = 0; i < list->count; ++i) {
    const tvi_tactic_t* tactic = &list->data[i];
    if (is_chosen(list, choice, i) || TOO_EXPENSIVE(tactic->price, cheapest_price)) continue;
    uint32_t of_this = chosen_of_kernel(choice, tactic->kernel);
    if (found) {
      uint32_t of_best = chosen_of_kernel(choice, list->data[*out_index].kernel);
      if (of_this > of_best) continue;
      if (of_this == of_best && tactic->price >= list->data[*out_index].price) continue;
    }
    found = true;
    *out_index = i;
  }
  return found;
}

// The order is that of prices, but for the target's own kernel at the end.
static void choose_others(const tvi_tactic_context_t* context, const tvi_tactic_list_t* list,
                          tvi_tactic_choice_t* choice) {
  uint32_t most = context->options.alternatives;
  if (context->options.mode != TRIVET_TACTICS_HEURISTIC || most < 2) return;
  if (most > TVI_MAX_ALTERNATIVES) most = TVI_MAX_ALTERNATIVES;
  size_t next = 0;
  while (choice->count < most && find_next(list, choice, &next)) {
    uint32_t at = choice->count++;
    // The first stays what it is without alternatives.
    while (at > 1 && choice->tactics[at - 1].price > list->data[next].price) {
      choice->tactics[at] = choice->tactics[at - 1];
      --at;
    }
    choice->tactics[at] = list->data[next];
  }
  if (tvi_tactic_is_general(choice->tactics[0].kernel)) return;
  size_t general = list->count;
  for (size_t i = 0; i < list->count; ++i) {
    if (!tvi_tactic_is_general(list->data[i].kernel)) continue;
    if (general == list->count || list->data[i].price < list->data[general].price) general = i;
  }
  if (general == list->count) return;
  uint32_t kept = 0;
  for (uint32_t k = 0; k < choice->count; ++k) {
    bool is_it = choice->tactics[k].kernel == list->data[general].kernel &&
                 strcmp(choice->tactics[k].name, list->data[general].name) == 0;
    if (!is_it) choice->tactics[kept++] = choice->tactics[k];
  }
  if (kept == TVI_MAX_ALTERNATIVES) --kept;
  choice->tactics[kept++] = list->data[general];
  choice->count = kept;
}

trivet_status_t tvi_tactic_choose(tvi_tactic_context_t* context, const trivet_region_t* region,
                                  tvi_tactic_choice_t* out_choice) {
  tvi_tactic_list_t list;
  tvi_string_builder_t reasons;
  tvi_vector_init(&list, context->allocator);
  tvi_string_builder_init(&reasons, context->allocator);
  trivet_status_t status = tvi_tactic_enumerate(context, region, &list, &reasons);
  if (!status && !list.count) {
    trivet_string_view_t why = tvi_string_builder_view(&reasons);
    status = TRIVET_STATUS(NOT_FOUND, "no kernel of target %s runs this region: %.*s",
                           context->options.target, (int)why.size, why.data ? why.data : "");
  }
  size_t index = 0;
  if (!status) status = choose(context, region, &list, &index);
  if (!status && context->load_price.budget_us > 0) {
    uint64_t signature[2];
    status = tvi_region_signature(region, signature);
    if (!status)
      status = tvi_load_price_pay(&context->load_price, list.data[index].kernel, signature);
  }
  if (!status) {
    out_choice->tactics[0] = list.data[index];
    out_choice->count = 1;
    choose_others(context, &list, out_choice);
    const tvi_tactic_t* chosen[TVI_MAX_ALTERNATIVES];
    for (uint32_t k = 0; k < out_choice->count; ++k) chosen[k] = &out_choice->tactics[k];
    status = tvi_tactic_compile_ahead(context, region, chosen, out_choice->count);
  }
  tvi_vector_deinit(&list);
  tvi_string_builder_deinit(&reasons);
  return status;
}
