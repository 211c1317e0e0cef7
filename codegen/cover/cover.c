// SPDX-License-Identifier: Apache-2.0
//
// Cover: the regions themselves: making, merging, sorting and printing them. The fusers are in
// cover_epilogue.c and cover_group.c.
#include "codegen/cover/cover.h"

#include <stdio.h>
#include <string.h>

#include "core/base/map.h"
#include "core/base/status.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/monoid.h"

static trivet_status_t new_region(tvi_cover_t* cover, tvi_node_id_t node) {
  tvi_cover_region_t region;
  memset(&region, 0, sizeof(region));
  trivet_allocator_t allocator = cover->graph->allocator;
  tvi_vector_init(&region.nodes, allocator);
  tvi_vector_init(&region.inputs, allocator);
  tvi_vector_init(&region.outputs, allocator);
  tvi_node_fact_t* fact = &cover->facts[node];
  region.domain = fact->domain;
  region.rows = fact->rows;
  region.made_by = "single";
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&cover->regions, region));
  fact->region = (uint32_t)cover->regions.count - 1;
  return tvi_vector_push(&cover->regions.data[fact->region].nodes, node);
}

// Calls |visit| for every region that reads a value which |node| computes, also through views.
typedef trivet_status_t (*visit_reader_t)(tvi_cover_t* cover, uint32_t region, void* argument);
static trivet_status_t for_each_reader(tvi_cover_t* cover, tvi_node_id_t node, visit_reader_t visit,
                                       void* argument) {
  const tvi_node_t* n = tvi_graph_node(cover->graph, node);
  for (uint32_t o = 0; o < n->output_count; ++o) {
    if (!n->outputs[o]) continue;
    const tvi_value_t* value = tvi_graph_value(cover->graph, n->outputs[o]);
    for (uint32_t u = 0; u < value->use_count; ++u) {
      tvi_node_id_t reader = value->uses[u].node;
      if (cover->facts[reader].node_class == TVI_NODE_VIEW) {
        TRIVET_RETURN_IF_ERROR(for_each_reader(cover, reader, visit, argument));
      } else if (cover->facts[reader].region != TVI_COVER_NONE) {
        TRIVET_RETURN_IF_ERROR(visit(cover, cover->facts[reader].region, argument));
      }
    }
  }
  return TRIVET_OK;
}

typedef struct search_s {
  TVI_VECTOR(uint32_t) stack;
  uint8_t* seen;
  uint32_t a, b;
  bool outside;  // below the first level: a path has left the pair
  bool found;
} search_t;

static trivet_status_t visit_for_search(tvi_cover_t* cover, uint32_t region, void* argument) {
  (void)cover;
  search_t* search = (search_t*)argument;
  if (region == search->a || region == search->b) {
    if (search->outside) search->found = true;
    return TRIVET_OK;
  }
  if (search->seen[region]) return TRIVET_OK;
  search->seen[region] = 1;
  return tvi_vector_push(&search->stack, region);
}

trivet_status_t tvi_cover_mergeable(tvi_cover_t* cover, uint32_t a, uint32_t b,
                                    bool* out_mergeable) {
  search_t search;
  memset(&search, 0, sizeof(search));
  tvi_vector_init(&search.stack, cover->graph->allocator);
  search.a = a;
  search.b = b;
  trivet_status_t status =
      tvi_alloc_array_zeroed(cover->graph->allocator, cover->regions.count, 1, &search.seen);
  uint32_t pair[2] = {a, b};
  for (uint32_t p = 0; p < 2 && !status; ++p) {
    tvi_cover_region_t* region = &cover->regions.data[pair[p]];
    for (size_t i = 0; i < region->nodes.count && !status; ++i) {
      if (cover->facts[region->nodes.data[i]].region != pair[p]) continue;  // an absorbed view
      status = for_each_reader(cover, region->nodes.data[i], visit_for_search, &search);
    }
  }
  search.outside = true;
  while (!status && !search.found && search.stack.count) {
    uint32_t id = search.stack.data[--search.stack.count];
    tvi_cover_region_t* region = &cover->regions.data[id];
    for (size_t i = 0; i < region->nodes.count && !status; ++i) {
      status = for_each_reader(cover, region->nodes.data[i], visit_for_search, &search);
    }
  }
  if (!status) *out_mergeable = !search.found;
  tvi_free_array(cover->graph->allocator, search.seen, cover->regions.count, 1);
  tvi_vector_deinit(&search.stack);
  return status;
}

trivet_status_t tvi_cover_merge(tvi_cover_t* cover, uint32_t into, uint32_t from) {
  tvi_cover_region_t* target = &cover->regions.data[into];
  tvi_cover_region_t* source = &cover->regions.data[from];
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&target->nodes, source->nodes.count));
  for (size_t i = 0; i < source->nodes.count; ++i) {
    tvi_node_id_t node = source->nodes.data[i];
    cover->facts[node].region = into;
    size_t at = target->nodes.count;
    while (at > 0 &&
           cover->facts[target->nodes.data[at - 1]].position > cover->facts[node].position)
      --at;
    memmove(target->nodes.data + at + 1, target->nodes.data + at,
            (target->nodes.count - at) * sizeof(node));
    target->nodes.data[at] = node;
    ++target->nodes.count;
  }
  source->dead = true;
  source->nodes.count = 0;
  return TRIVET_OK;
}

// Depth-first over what each region reads; the graph's own order decides between independent ones,
// so the result is deterministic.
typedef struct sort_s {
  uint8_t* state;  // 0 new, 1 open, 2 done
  uint32_t* order;
  uint32_t count;
} sort_t;

static trivet_status_t sort_region(tvi_cover_t* cover, sort_t* sort, uint32_t id, uint32_t depth);

static trivet_status_t sort_value(tvi_cover_t* cover, sort_t* sort, uint32_t self,
                                  tvi_value_id_t value, uint32_t depth) {
  tvi_node_id_t producer = tvi_graph_value(cover->graph, tvi_cover_base(cover, value))->producer;
  if (!producer) return TRIVET_OK;
  uint32_t region = cover->facts[producer].region;
  return region == TVI_COVER_NONE || region == self ? TRIVET_OK
                                                    : sort_region(cover, sort, region, depth);
}

static trivet_status_t sort_region(tvi_cover_t* cover, sort_t* sort, uint32_t id, uint32_t depth) {
  if (sort->state[id] == 2) return TRIVET_OK;
  if (sort->state[id] == 1) return TRIVET_STATUS(INTERNAL, "regions form a cycle");
  if (depth > 100000)
    return TRIVET_STATUS(OUT_OF_RANGE, "regions are nested more than 100000 deep");
  sort->state[id] = 1;
  const tvi_cover_region_t* region = &cover->regions.data[id];
  for (size_t i = 0; i < region->nodes.count; ++i) {
    const tvi_node_t* node = tvi_graph_node(cover->graph, region->nodes.data[i]);
    for (uint32_t k = 0; k < node->input_count; ++k) {
      if (node->inputs[k])
        TRIVET_RETURN_IF_ERROR(sort_value(cover, sort, id, node->inputs[k], depth + 1));
    }
    for (uint32_t s = 0; s < node->subgraph_count; ++s) {
      const trivet_graph_t* body = node->subgraphs[s];
      for (uint32_t v = 1; v < body->value_count; ++v) {
        if (tvi_graph_value(body, v)->is_capture)
          TRIVET_RETURN_IF_ERROR(
              sort_value(cover, sort, id, tvi_graph_value(body, v)->outer, depth + 1));
      }
    }
  }
  sort->state[id] = 2;
  sort->order[sort->count++] = id;
  return TRIVET_OK;
}

trivet_status_t tvi_cover_sort(tvi_cover_t* cover) {
  sort_t sort;
  memset(&sort, 0, sizeof(sort));
  size_t count = cover->regions.count ? cover->regions.count : 1;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(cover->arena, count, 1, &sort.state));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(cover->arena, count, sizeof(uint32_t), &sort.order));
  TVI_GRAPH_FOR_EACH_NODE(cover->graph, id) {
    uint32_t region = cover->facts[id].region;
    if (region != TVI_COVER_NONE) TRIVET_RETURN_IF_ERROR(sort_region(cover, &sort, region, 0));
  }
  for (uint32_t r = 0; r < cover->regions.count; ++r) {  // copies for observers are no node's
    if (!cover->regions.data[r].dead) TRIVET_RETURN_IF_ERROR(sort_region(cover, &sort, r, 0));
  }
  cover->order = sort.order;
  cover->order_count = sort.count;
  return TRIVET_OK;
}

static bool listed(const tvi_value_id_t* values, size_t count, tvi_value_id_t value) {
  for (size_t i = 0; i < count; ++i) {
    if (values[i] == value) return true;
  }
  return false;
}

// Is |value|, computed in region |id|, read by anything outside of it (also through views that look
// at it from outside)? That it is observed does not count, or a look would change the plan.
static bool used_outside(const tvi_cover_t* cover, const tvi_cover_region_t* region,
                         tvi_value_id_t id) {
  const tvi_value_t* value = tvi_graph_value(cover->graph, id);
  if (value->output_uses || (value->observed && value->use_count == 0)) return true;
  for (uint32_t u = 0; u < value->use_count; ++u) {
    tvi_node_id_t reader = value->uses[u].node;
    if (cover->facts[reader].node_class == TVI_NODE_VIEW) {
      const tvi_node_t* view = tvi_graph_node(cover->graph, reader);
      for (uint32_t o = 0; o < view->output_count; ++o) {
        if (view->outputs[o] && used_outside(cover, region, view->outputs[o])) return true;
      }
    } else if (!listed(region->nodes.data, region->nodes.count, reader)) {
      return true;
    }
  }
  // Captures are uses too; a body may read any value.
  TVI_GRAPH_FOR_EACH_NODE(cover->graph, node) {
    const tvi_node_t* n = tvi_graph_node(cover->graph, node);
    for (uint32_t s = 0; s < n->subgraph_count; ++s) {
      for (uint32_t v = 1; v < n->subgraphs[s]->value_count; ++v) {
        if (tvi_graph_value(n->subgraphs[s], v)->is_capture &&
            tvi_graph_value(n->subgraphs[s], v)->outer == id)
          return true;
      }
    }
  }
  return false;
}

// Views between values of the region and nodes of the region that read through them have to be in
// the region.
static trivet_status_t absorb_views(tvi_cover_t* cover, tvi_cover_region_t* region) {
  for (size_t i = 0; i < region->nodes.count; ++i) {
    const tvi_node_t* node = tvi_graph_node(cover->graph, region->nodes.data[i]);
    for (uint32_t k = 0; k < node->input_count; ++k) {
      if (!node->inputs[k]) continue;
      tvi_node_id_t producer = tvi_graph_value(cover->graph, node->inputs[k])->producer;
      if (!producer || cover->facts[producer].node_class != TVI_NODE_VIEW) continue;
      tvi_node_id_t base =
          tvi_graph_value(cover->graph, tvi_cover_base(cover, node->inputs[k]))->producer;
      if (!base || !listed(region->nodes.data, region->nodes.count, base)) continue;
      if (listed(region->nodes.data, region->nodes.count, producer)) continue;
      TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&region->nodes, 1));
      size_t at = region->nodes.count++;
      while (at > 0 &&
             cover->facts[region->nodes.data[at - 1]].position > cover->facts[producer].position) {
        region->nodes.data[at] = region->nodes.data[at - 1];
        --at;
      }
      region->nodes.data[at] = producer;
      i = (size_t)-1;  // the view may read through another view
      break;
    }
  }
  return TRIVET_OK;
}

// Appends the program of |id|, chaining its operands to values that the region has already.
static trivet_status_t append_node(tvi_cover_t* cover, tvi_cover_region_t* region,
                                   tvi_kir_program_t* program, tvi_idmap_t* values,
                                   tvi_node_id_t id) {
  const trivet_graph_t* graph = cover->graph;
  const tvi_node_t* node = tvi_graph_node(graph, id);
  const tvi_kir_program_t* source = cover->facts[id].program;
  uint32_t* map = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(cover->arena, source->value_count + 1, sizeof(uint32_t), &map));
  for (uint32_t v = 0; v < source->value_count; ++v) {
    const tvi_kir_value_t* value = &source->values[v];
    map[v] = TVI_KIR_NONE;
    if (value->kind == TVI_KIR_TEMP) continue;
    bool is_output = value->kind == TVI_KIR_OUTPUT;
    uint32_t operand = is_output ? value->tag - 0x1000u : value->tag;
    tvi_value_id_t graph_value = is_output ? node->outputs[operand] : node->inputs[operand];
    if (!graph_value) continue;
    uint64_t known = 0;
    if (tvi_idmap_get(values, graph_value, &known)) {
      map[v] = (uint32_t)known;
      continue;
    }
    char name[32];
    snprintf(name, sizeof(name), "v%u", graph_value);
    TRIVET_RETURN_IF_ERROR(tvi_kir_program_add_value(
        program, name, is_output ? TVI_KIR_OUTPUT : TVI_KIR_INPUT,
        &tvi_graph_value(graph, graph_value)->type, graph_value, &map[v]));
    TRIVET_RETURN_IF_ERROR(tvi_idmap_set(values, graph_value, map[v]));
  }
  (void)region;
  return tvi_kir_program_append(program, source, id, map);
}

trivet_status_t tvi_cover_region_program(tvi_cover_t* cover, tvi_cover_region_t* region) {
  const trivet_graph_t* graph = cover->graph;
  region->inputs.count = region->outputs.count = 0;
  region->program = NULL;
  TRIVET_RETURN_IF_ERROR(absorb_views(cover, region));
  bool host = false;
  for (size_t i = 0; i < region->nodes.count; ++i) {
    if (!cover->facts[region->nodes.data[i]].program) host = true;
  }
  if (host) {
    const tvi_node_t* node = tvi_graph_node(graph, region->nodes.data[0]);
    for (uint32_t k = 0; k < node->input_count; ++k)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&region->inputs, node->inputs[k]));
    for (uint32_t k = 0; k < node->output_count; ++k)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&region->outputs, node->outputs[k]));
    return TRIVET_OK;
  }
  tvi_kir_program_t* program = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(graph->dims, cover->arena, &program));
  tvi_idmap_t values;
  tvi_idmap_init(&values, graph->allocator);
  trivet_status_t status = TRIVET_OK;
  for (size_t i = 0; i < region->nodes.count && !status; ++i) {
    status = append_node(cover, region, program, &values, region->nodes.data[i]);
  }
  tvi_idmap_deinit(&values);
  TRIVET_RETURN_IF_ERROR(status);
  for (uint32_t v = 0; v < program->value_count; ++v) {
    tvi_kir_value_t* value = &program->values[v];
    if (value->kind != TVI_KIR_OUTPUT) continue;
    if (region->only ? value->tag != region->only : !used_outside(cover, region, value->tag))
      TRIVET_RETURN_IF_ERROR(tvi_kir_value_set_kind(program, v, TVI_KIR_TEMP));
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, true, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_kir_simplify(program));
  TRIVET_RETURN_IF_ERROR(tvi_kir_split_monoids(program));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, true, NULL));
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    if (value->kind == TVI_KIR_INPUT)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&region->inputs, value->tag));
    if (value->kind == TVI_KIR_OUTPUT)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&region->outputs, value->tag));
  }
  region->program = program;
  return TRIVET_OK;
}

// An observed value that its region keeps to itself is computed by a second region of the same
// nodes: the first one stays as it would be, and so do the results, bit for bit.
static trivet_status_t add_observed(tvi_cover_t* cover) {
  for (tvi_value_id_t id = 1; id < cover->graph->value_count; ++id) {
    const tvi_value_t* value = tvi_graph_value(cover->graph, id);
    if (value->dead || !value->observed) continue;
    tvi_value_id_t base = tvi_cover_base(cover, id);
    tvi_node_id_t producer = tvi_graph_value(cover->graph, base)->producer;
    uint32_t home = producer ? cover->facts[producer].region : TVI_COVER_NONE;
    bool stored = home == TVI_COVER_NONE;
    for (size_t r = 0; r < cover->regions.count && !stored; ++r) {
      const tvi_cover_region_t* region = &cover->regions.data[r];
      stored = !region->dead && listed(region->outputs.data, region->outputs.count, base);
    }
    if (stored) continue;
    tvi_cover_region_t copy = cover->regions.data[home];
    copy.only = base;
    copy.made_by = "observe";
    copy.anchored = false;
    tvi_vector_init(&copy.nodes, cover->graph->allocator);
    tvi_vector_init(&copy.inputs, cover->graph->allocator);
    tvi_vector_init(&copy.outputs, cover->graph->allocator);
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&cover->regions, copy));
    tvi_cover_region_t* added = &cover->regions.data[cover->regions.count - 1];
    const tvi_cover_region_t* from = &cover->regions.data[home];
    TRIVET_RETURN_IF_ERROR(tvi_vector_append(&added->nodes, from->nodes.data, from->nodes.count));
    TRIVET_RETURN_IF_ERROR(tvi_cover_region_program(cover, added));
  }
  return TRIVET_OK;
}

static trivet_status_t create(tvi_cover_t* cover, tvi_tactic_context_t* tactics) {
  const trivet_graph_t* graph = cover->graph;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(cover->arena, graph->node_count + 1,
                                                      sizeof(tvi_node_fact_t), &cover->facts));
  TRIVET_RETURN_IF_ERROR(tvi_cover_facts(cover));
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    if (cover->facts[id].node_class != TVI_NODE_VIEW) TRIVET_RETURN_IF_ERROR(new_region(cover, id));
  }
  if (tvi_tactic_fuser_enabled(tactics, "fuse-epilogue"))
    TRIVET_RETURN_IF_ERROR(tvi_cover_fuse_epilogues(cover, tactics));
  TRIVET_RETURN_IF_ERROR(tvi_cover_fuse_groups(cover, tactics));
  for (size_t r = 0; r < cover->regions.count; ++r) {
    tvi_cover_region_t* region = &cover->regions.data[r];
    if (!region->dead) TRIVET_RETURN_IF_ERROR(tvi_cover_region_program(cover, region));
  }
  TRIVET_RETURN_IF_ERROR(add_observed(cover));
  return tvi_cover_sort(cover);
}

trivet_status_t tvi_cover_create(const trivet_graph_t* graph, tvi_tactic_context_t* tactics,
                                 tvi_cover_t** out_cover) {
  tvi_cover_t* cover = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(graph->allocator, sizeof(*cover), &cover));
  cover->graph = graph;
  tvi_vector_init(&cover->regions, graph->allocator);
  trivet_status_t status = tvi_alloc_zeroed(graph->allocator, sizeof(*cover->arena), &cover->arena);
  if (!status) {
    tvi_arena_init(cover->arena, graph->allocator, 1 << 18);
    status = create(cover, tactics);
  }
  if (status) {
    tvi_cover_destroy(cover);
    return status;
  }
  *out_cover = cover;
  return TRIVET_OK;
}

void tvi_cover_destroy(tvi_cover_t* cover) {
  if (!cover) return;
  trivet_allocator_t allocator = cover->graph->allocator;
  for (size_t r = 0; r < cover->regions.count; ++r) {
    tvi_vector_deinit(&cover->regions.data[r].nodes);
    tvi_vector_deinit(&cover->regions.data[r].inputs);
    tvi_vector_deinit(&cover->regions.data[r].outputs);
  }
  tvi_vector_deinit(&cover->regions);
  if (cover->arena) {
    tvi_arena_deinit(cover->arena);
    tvi_free(allocator, cover->arena, sizeof(*cover->arena));
  }
  tvi_free(allocator, cover, sizeof(*cover));
}

trivet_status_t tvi_cover_print(const tvi_cover_t* cover, tvi_string_builder_t* builder) {
  for (uint32_t i = 0; i < cover->order_count; ++i) {
    const tvi_cover_region_t* region = &cover->regions.data[cover->order[i]];
    tvi_string_builder_appendf(builder, "region %u %s:", i, region->made_by);
    for (size_t n = 0; n < region->nodes.count; ++n) {
      const tvi_node_t* node = tvi_graph_node(cover->graph, region->nodes.data[n]);
      tvi_string_builder_appendf(builder, " %s", node->op->definition->name);
    }
    tvi_string_builder_append_char(builder, '\n');
  }
  return tvi_string_builder_status(builder);
}
