// SPDX-License-Identifier: Apache-2.0
//
// Bodies of control flow that cannot be written out: each becomes a plan of its own for the host. A
// copy of the body is made whose captures are inputs and which is told the symbols that it computes
// with, and goes the way of every graph from the cover on; passes have been over it before. Must
// not touch the graph around it.
#include "codegen/build/bodies.h"

#include <stdio.h>
#include <string.h>

#include "codegen/cover/cover.h"
#include "codegen/schedule/schedule.h"
#include "core/base/byte_writer.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_clone.h"

typedef struct body_s {
  trivet_graph_t* root;
  const trivet_graph_t* from;
  trivet_graph_t* copy;
  tvi_arena_t* arena;
  tvi_value_id_t* map;
  tvi_value_id_t* captures;
  uint32_t capture_count;
  uint8_t* uses;  // by symbol
  trivet_dim_t* symbols;
  uint32_t symbol_count;
} body_t;

static trivet_status_t add_input(body_t* b, const trivet_type_t* type, tvi_value_id_t* out_value) {
  char name[24];
  snprintf(name, sizeof(name), "in%u", b->copy->input_count);
  return tvi_graph_add_input(b->copy, tvi_sv(name), type, out_value);
}

// A constant of the graph around the body is one of the copy, anything else an input.
static trivet_status_t add_capture(body_t* b, tvi_value_id_t id) {
  const tvi_value_t* inner = b->from->values[id];
  const tvi_value_t* outer = b->from->parent->values[inner->outer];
  trivet_tensor_t tensor;
  if (outer->constant && outer->constant->kind == TVI_CONSTANT_DIMS) {
    return tvi_graph_add_dims_constant(b->copy, &outer->type, outer->ints, &b->map[id]);
  }
  if (outer->constant && tvi_value_tensor(outer, &tensor)) {
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_constant(b->copy, outer->constant->name, &tensor, false, &b->map[id]));
    b->copy->values[b->map[id]]->constant = outer->constant;
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(add_input(b, &outer->type, &b->map[id]));
  tvi_value_t* made = b->copy->values[b->map[id]];
  made->ints = outer->ints;
  made->partial_ints = outer->partial_ints;
  made->int_count = outer->int_count;
  b->captures[b->capture_count++] = inner->outer;
  return TRIVET_OK;
}

static trivet_status_t copy_body(body_t* b) {
  const uint32_t count = b->from->value_count;
  TRIVET_RETURN_IF_ERROR(tvi_graph_create_subgraph(b->root, b->from->name, &b->copy));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(b->arena, count + 1u, sizeof(*b->map), &b->map));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(b->arena, count + 1u, sizeof(*b->captures), &b->captures));
  for (uint32_t i = 0; i < b->from->input_count; ++i) {
    const tvi_value_id_t value = b->from->inputs[i].value;
    TRIVET_RETURN_IF_ERROR(add_input(b, &b->from->values[value]->type, &b->map[value]));
  }
  for (tvi_value_id_t id = 1; id < count; ++id) {
    const tvi_value_t* value = b->from->values[id];
    if (value->is_capture && !value->dead) TRIVET_RETURN_IF_ERROR(add_capture(b, id));
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_clone_body(b->copy, 0, b->from, false, b->arena, b->map));
  for (uint32_t i = 0; i < b->from->output_count; ++i) {
    char name[24];
    snprintf(name, sizeof(name), "out%u", i);
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_output(b->copy, tvi_sv(name), b->map[b->from->outputs[i].value]));
  }
  uint32_t removed = 0;
  return tvi_graph_remove_dead(b->copy, &removed);
}

// --- Symbols --------------------------------------------------------------------------------

static void use_dim(body_t* b, trivet_dim_t dim) {
  if (!dim) return;
  if (tvi_dim_kind(dim) == TVI_DIM_SYMBOL) {
    b->uses[tvi_dim_symbol_index(dim)] |= 1;
    return;
  }
  for (uint32_t i = 0; i < tvi_dim_operand_count(dim); ++i) use_dim(b, tvi_dim_operand(dim, i));
}

// Bit 0: used; bit 1: made by a step of the body.
static void find_symbols(body_t* b, const trivet_graph_t* graph) {
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    const tvi_value_t* value = graph->values[id];
    if (value->dead) continue;
    for (uint32_t d = 0; d < value->type.rank; ++d) use_dim(b, value->type.dims[d]);
    for (uint64_t i = 0; value->ints && i < value->int_count; ++i) use_dim(b, value->ints[i]);
    for (uint64_t i = 0; value->partial_ints && i < value->int_count; ++i)
      use_dim(b, value->partial_ints[i]);
  }
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    const tvi_node_t* node = graph->nodes[id];
    for (uint32_t i = 0; i < node->data_symbol_count; ++i)
      b->uses[tvi_dim_symbol_index(node->data_symbols[i])] |= 2;
    for (uint32_t i = 0; i < node->subgraph_count; ++i) find_symbols(b, node->subgraphs[i]);
  }
}

static bool is_known(const body_t* b, trivet_dim_t dim, uint8_t which) {
  if (tvi_dim_kind(dim) == TVI_DIM_SYMBOL) return (b->uses[tvi_dim_symbol_index(dim)] & which) != 0;
  for (uint32_t i = 0; i < tvi_dim_operand_count(dim); ++i) {
    if (!is_known(b, tvi_dim_operand(dim, i), which)) return false;
  }
  return true;
}

// An input of no bytes for each symbol that the body does not make itself, and what was assumed of
// those that it knows.
static trivet_status_t tell_symbols(body_t* b) {
  const tvi_dim_context_t* dims = b->copy->dims;
  const uint32_t count = tvi_dim_symbol_count(dims);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(b->arena, count + 1u, 1, &b->uses));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(b->arena, count + 1u, sizeof(*b->symbols), &b->symbols));
  find_symbols(b, b->copy);
  for (uint32_t i = 0; i < count; ++i) {
    if (b->uses[i] != 1) continue;
    trivet_type_t type = {.dtype = TRIVET_DTYPE_U8, .rank = 1};
    type.dims[0] = b->symbols[b->symbol_count++] = tvi_dim_symbol_at(dims, i);
    tvi_value_id_t value;
    TRIVET_RETURN_IF_ERROR(add_input(b, &type, &value));
  }
  tvi_assumption_t* kept;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(b->arena, b->root->assumption_count + 1u, sizeof(*kept), &kept));
  b->copy->assumptions = kept;
  for (uint32_t i = 0; i < b->root->assumption_count; ++i) {
    const tvi_assumption_t* each = &b->root->assumptions[i];
    if (is_known(b, each->a, 1) && is_known(b, each->b, 1))
      kept[b->copy->assumption_count++] = *each;
  }
  return TRIVET_OK;
}

// --- Shapes ---------------------------------------------------------------------------------

// Symbols as around the body; those that copying it made: the most that they can be.
static trivet_status_t choose_shapes(const body_t* b, const tvi_tactic_options_t* around,
                                     tvi_tactic_options_t* options) {
  const tvi_dim_context_t* dims = b->copy->dims;
  const uint32_t count = tvi_dim_symbol_count(dims);
  int64_t *opt, *max;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(b->arena, count + 1u, sizeof(*opt), &opt));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(b->arena, count + 1u, sizeof(*max), &max));
  for (uint32_t i = 0; i < count; ++i) {
    int64_t low;
    tvi_dim_range(dims, tvi_dim_symbol_at(dims, i), &low, &max[i]);
    opt[i] = max[i];
    if (i >= around->symbol_count) continue;
    opt[i] = around->symbols[i];
    max[i] = around->symbols_max[i];
  }
  options->symbols = opt;
  options->symbols_max = max;
  options->symbol_count = count;
  return TRIVET_OK;
}

static trivet_status_t make_profile(const body_t* b, const tvi_tactic_options_t* options,
                                    tvi_plan_profile_t* out_profile) {
  int64_t* dims;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      b->arena, 3 * (size_t)TRIVET_MAX_RANK * (b->copy->input_count + 1u), sizeof(*dims), &dims));
  for (uint32_t i = 0; i < b->copy->input_count; ++i) {
    const trivet_type_t* type = &tvi_graph_value(b->copy, b->copy->inputs[i].value)->type;
    int64_t* shape = dims + 3 * (size_t)TRIVET_MAX_RANK * i;
    for (uint32_t d = 0; d < type->rank; ++d) {
      int64_t range[3] = {0}, opt = 0;
      tvi_dim_range(b->copy->dims, type->dims[d], &range[0], &range[2]);
      TRIVET_RETURN_IF_ERROR(
          tvi_dim_evaluate(type->dims[d], options->symbols, options->symbol_count, &opt));
      range[1] = opt < range[0] ? range[0] : opt > range[2] ? range[2] : opt;
      for (uint32_t w = 0; w < 3; ++w) shape[w * TRIVET_MAX_RANK + d] = range[w];
    }
  }
  *out_profile = (tvi_plan_profile_t){b->copy->input_count, 0, dims};
  return TRIVET_OK;
}

// --- The plan -------------------------------------------------------------------------------

static trivet_status_t write_bytes(void* self, const void* bytes, size_t size) {
  tvi_byte_writer_bytes((tvi_byte_writer_t*)self, bytes, size);
  return TRIVET_OK;
}

// Symbols that the body is told are known before its first step, whatever they are around it.
static void settle_symbols(const body_t* b, tvi_plan_t* plan) {
  tvi_plan_symbol_t* symbols = (tvi_plan_symbol_t*)plan->symbols;
  for (uint32_t i = 0; i < b->symbol_count; ++i)
    symbols[tvi_dim_symbol_index(b->symbols[i])].origin = TVI_SYMBOL_INPUT;
  const tvi_plan_block_t* block = &plan->programs[0].blocks[0];
  for (uint32_t s = 0; s < block->step_count; ++s) {
    tvi_plan_step_t* step = (tvi_plan_step_t*)&block->steps[s];
    tvi_plan_bound_symbol_t* bound = (tvi_plan_bound_symbol_t*)step->bound_symbols;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < step->bound_symbol_count; ++i) {
      if (symbols[bound[i].symbol].origin == TVI_SYMBOL_DATA) bound[kept++] = bound[i];
    }
    step->bound_symbol_count = kept;
  }
}

static trivet_status_t write_plan(const body_t* b, tvi_schedule_t* schedule,
                                  const tvi_tactic_options_t* options, tvi_body_plan_t* out_plan) {
  tvi_plan_profile_t* profile;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(b->arena, sizeof(*profile), &profile));
  TRIVET_RETURN_IF_ERROR(make_profile(b, options, profile));
  const tvi_schedule_plan_options_t asked = {.target = options->target,
                                             .name = b->from->name,
                                             .build_info = tvi_sv("{}"),
                                             .profiles = profile,
                                             .profile_count = 1,
                                             .symbol_count = options->symbol_count,
                                             .symbols_max = options->symbols_max};
  tvi_plan_t plan;
  tvi_plan_weight_source_t weights;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_plan(schedule, &asked, b->arena, &plan, &weights));
  settle_symbols(b, &plan);
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, b->root->allocator);
  const trivet_sink_t sink = {&writer, write_bytes};
  trivet_status_t status = tvi_plan_write(&plan, &weights, b->root->allocator, sink);
  if (!status) status = tvi_byte_writer_status(&writer);
  void* bytes = NULL;
  if (!status) {
    status = tvi_arena_copy(b->arena, tvi_byte_writer_data(&writer), tvi_byte_writer_size(&writer),
                            &bytes);
  }
  out_plan->bytes = (const uint8_t*)bytes;
  out_plan->size = tvi_byte_writer_size(&writer);
  tvi_byte_writer_deinit(&writer);
  TRIVET_RETURN_IF_ERROR(status);
  trivet_string_view_t* plugins;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(b->arena, plan.plugin_count + 1u, sizeof(*plugins), &plugins));
  for (uint32_t i = 0; i < plan.plugin_count; ++i) plugins[i] = plan.plugins[i].name;
  out_plan->plugins = plugins;
  out_plan->plugin_count = plan.plugin_count;
  return TRIVET_OK;
}

static trivet_status_t compile(const body_t* b, const tvi_tactic_context_t* around,
                               tvi_body_plan_t* out_plan) {
  tvi_tactic_options_t options = around->options;
  options.target = "cpu";
  options.device = NULL;
  options.mode = TRIVET_TACTICS_HEURISTIC;
  options.explain = false;
  options.cache = NULL;
  options.cache_path = NULL;
  options.measure = NULL;
  options.dump_folder = NULL;
  options.max_load_ms = 0;
  options.alternatives = 1;
  options.queues = 1;
  TRIVET_RETURN_IF_ERROR(choose_shapes(b, &around->options, &options));
  tvi_tactic_context_t* tactics = NULL;
  tvi_cover_t* cover = NULL;
  tvi_schedule_t* schedule = NULL;
  trivet_status_t status =
      tvi_tactic_context_create(around->registry, &options, around->allocator, &tactics);
  if (!status) status = tvi_cover_create(b->copy, tactics, &cover);
  if (!status) status = tvi_schedule_create(cover, tactics, &schedule);
  if (!status) status = write_plan(b, schedule, &options, out_plan);
  tvi_schedule_destroy(schedule);
  tvi_cover_destroy(cover);
  tvi_tactic_context_destroy(tactics);
  return status;
}

trivet_status_t tvi_bodies_compile(void* self, const tvi_tactic_context_t* around,
                                   const trivet_graph_t* body, tvi_arena_t* arena,
                                   tvi_body_plan_t* out_plan) {
  body_t b = {.root = ((trivet_graph_t*)self)->root, .from = body, .arena = arena};
  const uint32_t assumptions = b.root->assumption_count;
  tvi_body_plan_t plan;
  memset(&plan, 0, sizeof(plan));
  trivet_status_t status = copy_body(&b);
  if (!status) status = tell_symbols(&b);
  if (!status) status = compile(&b, around, &plan);
  // What copying assumed is assumed of the body itself already.
  b.root->assumption_count = assumptions;
  if (b.copy) {  // its list lies in the arena
    b.copy->assumptions = NULL;
    b.copy->assumption_count = 0;
  }
  TRIVET_RETURN_IF_ERROR(status);
  plan.captures = b.captures;
  plan.capture_count = b.capture_count;
  plan.symbols = b.symbols;
  plan.symbol_count = b.symbol_count;
  *out_plan = plan;
  return TRIVET_OK;
}
