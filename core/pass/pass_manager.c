// SPDX-License-Identifier: Apache-2.0
//
// Runs pipelines of passes and rewrites, and holds every instrument once: time, counting,
// verifying, dumping, switching off, bisecting, notes for the report. It knows no pass by name.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/base/vector.h"
#include "core/graph/graph_report.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass_internal.h"

#define MAX_REPEATS 32
#define MAX_GROUP_DEPTH 8
#define MAX_PIPELINE 1024

// A parsed pipeline: items in order; a group says where it ends.
typedef struct item_s {
  const trivet_pass_t* pass;  // one of both, or none: a group
  const trivet_rewrite_t* rewrite;
  uint32_t record;
  uint32_t end;  // group: the item after its last
  bool repeats;
  bool disabled;
} item_t;

typedef TVI_VECTOR(item_t) item_list_t;

struct tvi_pass_manager_s {
  trivet_allocator_t allocator;
  const tvi_registry_t* registry;
  tvi_arena_t arena;
  tvi_pass_options_t options;
  TVI_VECTOR(trivet_string_view_t) disabled;
  TVI_VECTOR(trivet_string_view_t) skipped;
  const char* dump_folder;
  trivet_logger_t logger;
  TVI_VECTOR(tvi_pass_record_t) records;
  TVI_VECTOR(tvi_pass_note_t) notes;
  tvi_map_t known_notes;
  int64_t changes;
  uint32_t dumps;
  trivet_status_t failure;  // of a note; reported when the pass has ended
};

static trivet_status_t manager_init(tvi_pass_manager_t* manager,
                                    const tvi_pass_options_t* options) {
  manager->options = *options;
  if (options->logger != NULL) manager->logger = *options->logger;
  for (uint32_t i = 0; i < options->disabled_count; ++i) {
    trivet_string_view_t name;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&manager->arena, tvi_sv(options->disabled[i]), &name));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&manager->disabled, name));
  }
  if (options->skip_nodes != NULL) {
    trivet_string_view_t rest;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&manager->arena, tvi_sv(options->skip_nodes), &rest));
    while (rest.data != NULL && rest.size != 0) {
      trivet_string_view_t name = tvi_sv_trim(tvi_sv_split(&rest, ','));
      if (name.size != 0) TRIVET_RETURN_IF_ERROR(tvi_vector_push(&manager->skipped, name));
    }
  }
  if (options->dump_folder != NULL) {
    trivet_string_view_t folder;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_strdup(&manager->arena, tvi_sv(options->dump_folder), &folder));
    manager->dump_folder = folder.data;
  }
  return TRIVET_OK;
}

trivet_status_t tvi_pass_manager_create(const tvi_registry_t* registry,
                                        const tvi_pass_options_t* options,
                                        trivet_allocator_t allocator,
                                        tvi_pass_manager_t** out_manager) {
  static const tvi_pass_options_t defaults = {.stop_after = -1};
  allocator = tvi_allocator_or_system(allocator);
  tvi_pass_manager_t* manager;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*manager), &manager));
  manager->allocator = allocator;
  manager->registry = registry;
  manager->logger = tvi_logger_null();
  tvi_arena_init(&manager->arena, allocator, 0);
  tvi_vector_init(&manager->disabled, allocator);
  tvi_vector_init(&manager->skipped, allocator);
  tvi_vector_init(&manager->records, allocator);
  tvi_vector_init(&manager->notes, allocator);
  tvi_map_init(&manager->known_notes, allocator);
  trivet_status_t status = manager_init(manager, options != NULL ? options : &defaults);
  if (status != NULL) {
    tvi_pass_manager_destroy(manager);
    return status;
  }
  *out_manager = manager;
  return TRIVET_OK;
}

void tvi_pass_manager_destroy(tvi_pass_manager_t* manager) {
  if (manager == NULL) return;
  trivet_allocator_t allocator = manager->allocator;
  tvi_vector_deinit(&manager->disabled);
  tvi_vector_deinit(&manager->skipped);
  tvi_vector_deinit(&manager->records);
  tvi_vector_deinit(&manager->notes);
  tvi_map_deinit(&manager->known_notes);
  tvi_arena_deinit(&manager->arena);
  trivet_status_free(manager->failure);
  tvi_free(allocator, manager, sizeof(*manager));
}

uint32_t tvi_pass_manager_record_count(const tvi_pass_manager_t* manager) {
  return (uint32_t)manager->records.count;
}

const tvi_pass_record_t* tvi_pass_manager_record(const tvi_pass_manager_t* manager,
                                                 uint32_t index) {
  return index < manager->records.count ? &manager->records.data[index] : NULL;
}

uint32_t tvi_pass_manager_note_count(const tvi_pass_manager_t* manager) {
  return (uint32_t)manager->notes.count;
}

const tvi_pass_note_t* tvi_pass_manager_note(const tvi_pass_manager_t* manager, uint32_t index) {
  return index < manager->notes.count ? &manager->notes.data[index] : NULL;
}

// ---------------------------------------------------------------------------------------------
// What passes ask and say
// ---------------------------------------------------------------------------------------------

bool tvi_pass_may_change(trivet_pass_context_t* context, const trivet_graph_t* graph,
                         tvi_node_id_t node) {
  const tvi_pass_manager_t* manager = context->manager;
  if (manager->options.stop_after >= 0 && manager->changes >= manager->options.stop_after) {
    return false;
  }
  if (node == 0 || manager->skipped.count == 0) return true;
  const tvi_node_t* n = tvi_graph_node(graph, node);
  for (uint32_t i = 0; i < n->origin_count; ++i) {
    const trivet_origin_t* origin = tvi_graph_origin(graph, n->origins[i]);
    for (size_t k = 0; k < manager->skipped.count && origin != NULL; ++k) {
      if (tvi_sv_equal(origin->node, manager->skipped.data[k])) return false;
    }
  }
  return true;
}

uint32_t tvi_pass_precision(trivet_pass_context_t* context, const trivet_graph_t* graph,
                            tvi_node_id_t node, bool* out_is_rule) {
  const tvi_precision_policy_t* policy = context->manager->options.precision;
  *out_is_rule = false;
  return policy != NULL ? tvi_precision_of_node(policy, graph, node, out_is_rule) : 0;
}

trivet_status_t tvi_pass_precision_missed(trivet_pass_context_t* context,
                                          const trivet_graph_t* graph, tvi_node_id_t node,
                                          uint32_t dtype) {
  const tvi_pass_manager_t* manager = context->manager;
  const char* type = tvi_dtype_name(dtype);
  char label[256];
  tvi_graph_node_label(graph, node, label, sizeof(label));
  if (manager->options.precision->obey) {
    return TRIVET_STATUS(
        UNIMPLEMENTED, "%s: a rule wants it on %s, which the operator does not take", label, type);
  }
  tvi_log(manager->logger, TRIVET_SEVERITY_WARNING,
          "%s: a rule wants it on %s, which the operator does not take", label, type);
  tvi_pass_decline(context, graph, node, "stays as it is: the operator does not take %s", type);
  return TRIVET_OK;
}

static trivet_status_t add_note(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                tvi_node_id_t node, uint32_t declined, const char* format,
                                va_list arguments) {
  tvi_pass_manager_t* manager = context->manager;
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, manager->allocator);
  tvi_string_builder_append_cstr(&text, context->name);
  tvi_string_builder_append_char(&text, declined != 0 ? '-' : '+');
  size_t origin_at = text.size;
  if (node != 0) tvi_graph_describe_node(graph, node, 4, &text);
  size_t text_at = text.size;
  tvi_string_builder_append_v(&text, format, arguments);
  trivet_string_view_t all = {NULL, 0};
  trivet_status_t status = tvi_string_builder_status(&text);
  if (status == NULL) {
    status = tvi_arena_strdup(&manager->arena, tvi_string_builder_view(&text), &all);
  }
  tvi_string_builder_deinit(&text);
  TRIVET_RETURN_IF_ERROR(status);
  // In a repeated group a pass says the same thing again and again.
  uint64_t before;
  bool inserted;
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&manager->notes, 1));
  TRIVET_RETURN_IF_ERROR(tvi_map_insert(&manager->known_notes, all, 1, &before, &inserted));
  if (!inserted && declined != 0) return TRIVET_OK;
  tvi_pass_note_t note = {context->name, tvi_sv_slice(all, origin_at, text_at - origin_at),
                          tvi_sv_slice(all, text_at, SIZE_MAX), declined, 0};
  manager->notes.data[manager->notes.count++] = note;
  return TRIVET_OK;
}

static void keep_failure(tvi_pass_manager_t* manager, trivet_status_t status) {
  if (manager->failure == NULL) {
    manager->failure = status;
  } else {
    trivet_status_free(status);
  }
}

void tvi_pass_change(trivet_pass_context_t* context, const trivet_graph_t* graph,
                     tvi_node_id_t node, const char* format, ...) {
  ++context->changes;
  ++context->manager->changes;
  va_list arguments;
  va_start(arguments, format);
  keep_failure(context->manager, add_note(context, graph, node, 0, format, arguments));
  va_end(arguments);
}

void tvi_pass_decline(trivet_pass_context_t* context, const trivet_graph_t* graph,
                      tvi_node_id_t node, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  keep_failure(context->manager, add_note(context, graph, node, 1, format, arguments));
  va_end(arguments);
}

bool tvi_pass_has_target(const trivet_pass_context_t* context) {
  return context->manager->options.accepts != NULL;
}

trivet_status_t tvi_pass_accepts(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                 tvi_node_id_t node, bool* out_accepted) {
  const tvi_pass_options_t* options = &context->manager->options;
  *out_accepted = false;
  if (options->accepts == NULL) return TRIVET_OK;
  tvi_string_builder_t reasons;
  tvi_string_builder_init(&reasons, context->manager->allocator);
  bool accepted = false;
  trivet_status_t status =
      options->accepts(options->accepts_self, graph, node, &accepted, &reasons);
  if (status == NULL && !accepted) {
    trivet_string_view_t why = tvi_string_builder_view(&reasons);
    tvi_pass_decline(context, graph, node, "no kernel of the target runs it whole%s%.*s",
                     why.size != 0 ? ": " : "", (int)why.size, why.size != 0 ? why.data : "");
  }
  tvi_string_builder_deinit(&reasons);
  if (status == NULL) *out_accepted = accepted;
  return status;
}

tvi_arena_t* tvi_pass_scratch(trivet_pass_context_t* context) { return context->scratch; }

// ---------------------------------------------------------------------------------------------
// Pipelines
// ---------------------------------------------------------------------------------------------

static const char* item_name(const item_t* item) {
  return item->pass != NULL ? item->pass->name : item->rewrite->name;
}

static trivet_status_t find_record(tvi_pass_manager_t* manager, const char* name,
                                   uint32_t* out_record) {
  for (size_t i = 0; i < manager->records.count; ++i) {
    if (strcmp(manager->records.data[i].name, name) == 0) {
      *out_record = (uint32_t)i;
      return TRIVET_OK;
    }
  }
  tvi_pass_record_t record = {.name = name};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&manager->records, record));
  *out_record = (uint32_t)manager->records.count - 1;
  return TRIVET_OK;
}

static trivet_status_t parse_name(tvi_pass_manager_t* manager, trivet_string_view_t name,
                                  item_list_t* items) {
  trivet_string_view_t own;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&manager->arena, name, &own));
  item_t item = {0};
  item.pass = tvi_registry_pass(manager->registry, own.data);
  if (item.pass == NULL) item.rewrite = tvi_registry_rewrite(manager->registry, own.data);
  if (item.pass == NULL && item.rewrite == NULL) {
    return TRIVET_STATUS(NOT_FOUND, "there is no pass '%.*s'", TVI_SV_ARGS(name));
  }
  for (size_t i = 0; i < manager->disabled.count; ++i) {
    item.disabled = item.disabled || tvi_sv_equal(manager->disabled.data[i], name);
  }
  TRIVET_RETURN_IF_ERROR(find_record(manager, item_name(&item), &item.record));
  if (items->count >= MAX_PIPELINE) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a pipeline has at most %d passes", MAX_PIPELINE);
  }
  return tvi_vector_push(items, item);
}

static void skip_blanks(trivet_string_view_t text, size_t* at) {
  while (*at < text.size && strchr(" \t\r\n", text.data[*at]) != NULL && text.data[*at] != '\0') {
    ++*at;
  }
}

static trivet_status_t parse_pipeline(tvi_pass_manager_t* manager, trivet_string_view_t text,
                                      size_t* at, uint32_t depth, item_list_t* items) {
  if (depth > MAX_GROUP_DEPTH) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "groups are nested deeper than %d", MAX_GROUP_DEPTH);
  }
  for (;;) {
    skip_blanks(text, at);
    if (*at < text.size && text.data[*at] == '(') {
      ++*at;
      size_t group = items->count;
      item_t item = {0};
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(items, item));
      TRIVET_RETURN_IF_ERROR(parse_pipeline(manager, text, at, depth + 1, items));
      if (*at >= text.size || text.data[*at] != ')') {
        return TRIVET_STATUS(INVALID_ARGUMENT, "a group has no ')'");
      }
      ++*at;
      skip_blanks(text, at);
      items->data[group].end = (uint32_t)items->count;
      if (*at < text.size && text.data[*at] == '*') {
        ++*at;
        items->data[group].repeats = true;
      }
    } else {
      size_t begin = *at;
      while (*at < text.size && strchr(",()* \t\r\n", text.data[*at]) == NULL) ++*at;
      trivet_string_view_t name = tvi_sv_slice(text, begin, *at - begin);
      if (name.size == 0) {
        // Nothing at all is a pipeline too.
        if (depth == 0 && begin == text.size && items->count == 0) return TRIVET_OK;
        return TRIVET_STATUS(INVALID_ARGUMENT, "a pass is missing at position %zu", begin);
      }
      TRIVET_RETURN_IF_ERROR(parse_name(manager, name, items));
    }
    skip_blanks(text, at);
    if (*at >= text.size || text.data[*at] == ')') return TRIVET_OK;
    if (text.data[*at] != ',') {
      return TRIVET_STATUS(INVALID_ARGUMENT, "expected ',' at position %zu", *at);
    }
    ++*at;
  }
}

static size_t first_place(const item_list_t* items, const char* name) {
  for (size_t i = 0; i < items->count; ++i) {
    const item_t* item = &items->data[i];
    if ((item->pass != NULL || item->rewrite != NULL) && strcmp(item_name(item), name) == 0) {
      return i;
    }
  }
  return SIZE_MAX;
}

static trivet_status_t check_order(const item_list_t* items) {
  for (size_t i = 0; i < items->count; ++i) {
    const item_t* item = &items->data[i];
    if (item->pass == NULL && item->rewrite == NULL) continue;
    const char* name = item_name(item);
    if (first_place(items, name) != i) continue;
    const char* const* after = item->pass != NULL ? item->pass->after : item->rewrite->after;
    const char* const* before = item->pass != NULL ? item->pass->before : item->rewrite->before;
    for (; after != NULL && *after != NULL; ++after) {
      size_t other = first_place(items, *after);
      if (other != SIZE_MAX && other > i) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "pass '%s' must come after '%s'", name, *after);
      }
    }
    for (; before != NULL && *before != NULL; ++before) {
      if (first_place(items, *before) < i) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "pass '%s' must come before '%s'", name, *before);
      }
    }
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Running
// ---------------------------------------------------------------------------------------------

static trivet_status_t dump(tvi_pass_manager_t* manager, const char* name,
                            const trivet_graph_t* graph) {
  char path[4096];
  int size =
      snprintf(path, sizeof(path), "%s/%03u-%s.txt", manager->dump_folder, manager->dumps++, name);
  if (size < 0 || (size_t)size >= sizeof(path)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the dump folder's name is too long");
  }
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, manager->allocator);
  trivet_status_t status = tvi_graph_print(graph, TVI_GRAPH_TEXT_ORIGINS, &text);
  if (status == NULL) {
    trivet_string_view_t view = tvi_string_builder_view(&text);
    status = tvi_file_write(path, view.data, view.size, manager->allocator);
  }
  tvi_string_builder_deinit(&text);
  return status;
}

// One graph, then the subgraphs that its nodes hold afterwards.
static trivet_status_t run_on_graph(const item_t* item, trivet_pass_context_t* context,
                                    trivet_graph_t* graph, uint32_t* changed) {
  uint32_t here = 0;
  if (item->pass != NULL) {
    TRIVET_RETURN_IF_ERROR(item->pass->run(item->pass, context, graph, &here));
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_rewrite_run(item->rewrite, context, graph, &here));
  }
  *changed |= here != 0 ? 1u : 0u;
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    const tvi_node_t* node = tvi_graph_node(graph, id);
    for (uint32_t i = 0; i < node->subgraph_count; ++i) {
      TRIVET_RETURN_IF_ERROR(run_on_graph(item, context, node->subgraphs[i], changed));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t run_pass(tvi_pass_manager_t* manager, const item_t* item,
                                trivet_graph_t* graph, bool* changed) {
  if (item->disabled) return TRIVET_OK;
  const char* name = item_name(item);
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, manager->allocator, 0);
  trivet_pass_context_t context = {
      .api = &tvi_pass_api, .manager = manager, .name = name, .scratch = &scratch};
  trivet_graph_t* root = graph->root;
  const char* outer = root->current_pass;
  root->current_pass = name;
  int64_t begin = tvi_clock_now_ns();
  uint32_t here = 0;
  trivet_status_t status = run_on_graph(item, &context, graph, &here);
  tvi_pass_record_t* record = &manager->records.data[item->record];
  record->nanoseconds += (uint64_t)(tvi_clock_now_ns() - begin);
  ++record->runs;
  record->changes += context.changes;
  root->current_pass = outer;
  tvi_arena_deinit(&scratch);
  if (status == NULL) {
    status = manager->failure;
    manager->failure = NULL;
  }
  TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "pass '%s'", name);
  bool changed_here = here != 0 || context.changes != 0;
  if (changed_here) {
    *changed = true;
    tvi_log(manager->logger, TRIVET_SEVERITY_VERBOSE, "pass %s: %u changes", name, context.changes);
  }
  if (context.edited || (changed_here && manager->options.verify != 0)) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_graph_verify(root), "after pass '%s'", name);
  }
  if (!changed_here) return TRIVET_OK;
  if (manager->dump_folder != NULL) TRIVET_RETURN_IF_ERROR(dump(manager, name, root));
  return TRIVET_OK;
}

static trivet_status_t run_items(tvi_pass_manager_t* manager, const item_list_t* items,
                                 uint32_t begin, uint32_t end, trivet_graph_t* graph,
                                 bool* changed) {
  for (uint32_t i = begin; i < end; ++i) {
    const item_t* item = &items->data[i];
    if (item->pass != NULL || item->rewrite != NULL) {
      TRIVET_RETURN_IF_ERROR(run_pass(manager, item, graph, changed));
      continue;
    }
    for (int round = 0; round < (item->repeats ? MAX_REPEATS : 1); ++round) {
      bool here = false;
      TRIVET_RETURN_IF_ERROR(run_items(manager, items, i + 1, item->end, graph, &here));
      *changed = *changed || here;
      if (!here) break;
    }
    i = item->end - 1;
  }
  return TRIVET_OK;
}

// A name that no node of the model had is a slip of who typed it.
static trivet_status_t check_skipped(const tvi_pass_manager_t* manager,
                                     const trivet_graph_t* graph) {
  for (size_t i = 0; i < manager->skipped.count; ++i) {
    trivet_string_view_t name = manager->skipped.data[i];
    bool found = false;
    for (uint32_t o = 1; o <= graph->origin_count && !found; ++o) {
      found = tvi_sv_equal(tvi_graph_origin(graph, o)->node, name);
    }
    if (!found) {
      return TRIVET_STATUS(NOT_FOUND, "the model has no node '%.*s' that passes could skip",
                           (int)name.size, name.data);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_pass_manager_run(tvi_pass_manager_t* manager, const char* pipeline,
                                     trivet_graph_t* graph) {
  item_list_t items;
  tvi_vector_init(&items, manager->allocator);
  trivet_string_view_t text = tvi_sv(pipeline);
  size_t at = 0;
  trivet_status_t status = parse_pipeline(manager, text, &at, 0, &items);
  if (status == NULL && at < text.size) {
    status = TRIVET_STATUS(INVALID_ARGUMENT, "a ')' without '(' at position %zu", at);
  }
  if (status == NULL) status = check_order(&items);
  status = trivet_status_annotate(status, "pipeline");
  if (status == NULL) status = check_skipped(manager, graph);
  if (status == NULL && manager->options.precision != NULL) {
    status = tvi_precision_check(manager->options.precision, graph, manager->logger);
  }
  bool changed = false;
  if (status == NULL) {
    status = run_items(manager, &items, 0, (uint32_t)items.count, graph, &changed);
  }
  tvi_vector_deinit(&items);
  return status;
}
