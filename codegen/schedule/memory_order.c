// SPDX-License-Identifier: Apache-2.0
//
// Memory order over the whole graph: every region that touches images reads and writes them either
// plain (NCHW) or channels last; in different orders where a kernel asks for that. Prices of
// kernels in these orders and prices of the reformats between regions are minimised together, by
// sweeps that change one region at a time, from two starts.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/status.h"

// Modes: which of what a region reads and writes lies channels last.
enum { PLAIN = 0, READS_LAST = 1, WRITES_LAST = 2, LAST = 3, MODES = 4 };

typedef struct edge_s {
  uint32_t other;  // region; TVI_COVER_NONE: the caller's memory or a reshape, which are plain
  double cost;     // nanoseconds if the two run in different orders
  bool reads;      // |other| computes what this region reads
} edge_t;

typedef struct choice_s {
  uint8_t mode;
  bool free;   // may run either way
  bool mixed;  // a kernel may read in one order and write in the other
  double price[MODES];
  TVI_VECTOR(edge_t) edges;
} choice_t;

static bool image(const tvi_schedule_t* s, tvi_value_id_t value) {
  const tvi_value_t* v = tvi_graph_value(s->graph, value);
  return !v->constant && v->type.rank >= 4 && v->type.rank <= 5;
}

static double bytes_of(const tvi_schedule_t* s, tvi_value_id_t value) {
  int64_t bytes = 0;
  trivet_dim_t size = tvi_schedule_value_size(s, value);
  trivet_status_t status = size ? tvi_dim_evaluate(size, s->tactics->options.symbols,
                                                   s->tactics->options.symbol_count, &bytes)
                                : TRIVET_OK;
  trivet_status_free(status);
  return (double)bytes;
}

// Price of the region with its images in the orders of |mode|; the cheapest tactic. Never a
// measured time: a plan may not depend on what a timing cache happened to know when the orders were
// settled. |order|: of |result|, which it computes; NULL: as |mode| says. |out_asks|: whether a
// kernel offers itself that asks for layouts; NULL: of no interest.
static trivet_status_t price(tvi_schedule_t* s, uint32_t id, uint8_t mode, tvi_value_id_t result,
                             const tvi_layout_t* order, double* out_price, bool* out_asks) {
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  uint32_t inputs = (uint32_t)region->inputs.count,
           count = inputs + (uint32_t)region->outputs.count;
  tvi_region_operand_t* operands = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count + 1, sizeof(*operands), &operands));
  for (uint32_t i = 0; i < count; ++i) {
    operands[i].value = i < inputs ? region->inputs.data[i] : region->outputs.data[i - inputs];
    operands[i].is_output = i >= inputs;
    uint32_t rank = tvi_graph_value(s->graph, operands[i].value)->type.rank;
    bool last = (mode & (i < inputs ? READS_LAST : WRITES_LAST)) && image(s, operands[i].value);
    tvi_region_operand_set_dense(s->graph, &operands[i],
                                 last ? tvi_layout_channels_last(rank) : tvi_layout_plain());
    if (order && operands[i].value == result && i >= inputs) {
      tvi_region_operand_set_dense(s->graph, &operands[i], *order);
    }
  }
  trivet_region_t asked;
  tvi_tactic_region_init(s->tactics, s->graph, region->program, region->nodes.data,
                         (uint32_t)region->nodes.count, region->made_by, &asked);
  asked.operands = operands;
  asked.input_count = inputs;
  asked.output_count = count - inputs;
  tvi_tactic_list_t list;
  tvi_vector_init(&list, s->allocator);
  trivet_status_t status = tvi_tactic_enumerate(s->tactics, &asked, &list, NULL);
  double best = -1;
  for (size_t i = 0; i < list.count; ++i) {
    if (best < 0 || list.data[i].price < best) best = list.data[i].price;
    if (out_asks && (list.data[i].kernel->flags & TRIVET_KERNEL_LAYOUTS)) *out_asks = true;
  }
  tvi_vector_deinit(&list);
  *out_price = best < 0 ? 1e15 : best;
  return status;
}

// Two orders at once are for kernels that ask for them: all others want one or do not care.
static trivet_status_t price_modes(tvi_schedule_t* s, uint32_t id, choice_t* choice) {
  const bool may_ask = tvi_tactic_has_flag(s->tactics, TRIVET_KERNEL_LAYOUTS);
  for (uint32_t mode = PLAIN; mode < MODES; ++mode) {
    const bool is_mixed = mode == READS_LAST || mode == WRITES_LAST;
    bool asks = false;
    choice->price[mode] = 1e15;
    if (is_mixed && !may_ask) continue;
    TRIVET_RETURN_IF_ERROR(price(s, id, (uint8_t)mode, 0, NULL, &choice->price[mode], &asks));
    if (is_mixed && !asks) choice->price[mode] = 1e15;
    if (is_mixed && asks) choice->mixed = true;
  }
  return TRIVET_OK;
}

// Nanoseconds per byte of a copy into another order: some 5 GB/s a thread on the host, and what a
// transpose through shared memory does on a device.
static double copy_rate(const tvi_schedule_t* s) {
  const tvi_tactic_options_t* options = &s->tactics->options;
  return options->device ? 0.001 : 0.4 / options->thread_count;
}

// Adds the edge from the region that reads |value| to the one that computes it.
static trivet_status_t connect(tvi_schedule_t* s, choice_t* choices, uint32_t reader,
                               tvi_value_id_t value) {
  tvi_value_id_t base = tvi_cover_base(s->cover, value);
  if (!image(s, base) && !image(s, value)) return TRIVET_OK;
  const tvi_value_t* v = tvi_graph_value(s->graph, base);
  uint32_t writer = v->producer ? s->cover->facts[v->producer].region : TVI_COVER_NONE;
  // A copy reads and writes everything; the general kernel can read the other order in passing.
  bool general = !s->cover->regions.data[reader].anchored;
  double cost = bytes_of(s, base) * copy_rate(s) * (general ? 0.25 : 1) + (general ? 0 : 2000);
  bool reshaped = false;
  for (tvi_value_id_t at = value; at != base;) {
    const tvi_value_t* view = tvi_graph_value(s->graph, at);
    if (s->cover->facts[view->producer].reshape) reshaped = true;
    at = tvi_graph_node(s->graph, view->producer)->inputs[0];
  }
  if (reshaped) {  // what is behind the reshape sees plain memory; the writer pays for anything
                   // else
    if (writer == TVI_COVER_NONE) return TRIVET_OK;
    edge_t edge = {TVI_COVER_NONE, bytes_of(s, base) * copy_rate(s) + 2000, false};
    return tvi_vector_push(&choices[writer].edges, edge);
  }
  edge_t edge = {writer, cost, true};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&choices[reader].edges, edge));
  if (writer == TVI_COVER_NONE) return TRIVET_OK;
  edge.other = reader;
  edge.reads = false;
  return tvi_vector_push(&choices[writer].edges, edge);
}

static double energy_of(const choice_t* choices, const choice_t* choice, uint8_t mode) {
  double sum = choice->price[mode];
  for (size_t e = 0; e < choice->edges.count; ++e) {
    const edge_t* edge = &choice->edges.data[e];
    const uint8_t other = edge->other == TVI_COVER_NONE ? PLAIN : choices[edge->other].mode;
    const bool ours = (mode & (edge->reads ? READS_LAST : WRITES_LAST)) != 0;
    const bool theirs = (other & (edge->reads ? WRITES_LAST : READS_LAST)) != 0;
    if (ours != theirs) sum += edge->cost;
  }
  return sum;
}

static uint8_t best_mode(const choice_t* choices, const choice_t* choice) {
  static const uint8_t modes[MODES] = {PLAIN, LAST, READS_LAST, WRITES_LAST};
  uint8_t best = PLAIN;
  double least = energy_of(choices, choice, PLAIN);
  for (int i = 1; i < (choice->mixed ? MODES : 2); ++i) {
    double energy = energy_of(choices, choice, modes[i]);
    if (energy < least) least = energy, best = modes[i];
  }
  return best;
}

static double settle(tvi_schedule_t* s, choice_t* choices, uint8_t start) {
  size_t count = s->cover->regions.count;
  for (size_t r = 0; r < count; ++r) choices[r].mode = choices[r].free ? start : PLAIN;
  for (int sweep = 0; sweep < 32; ++sweep) {
    bool changed = false;
    for (size_t i = 0; i < count; ++i) {
      choice_t* choice = &choices[sweep % 2 ? count - 1 - i : i];
      if (!choice->free) continue;
      uint8_t better = best_mode(choices, choice);
      if (better != choice->mode) choice->mode = better, changed = true;
    }
    if (!changed) break;
  }
  double total = 0;
  for (size_t r = 0; r < count; ++r) {
    if (s->cover->regions.data[r].dead) continue;
    // Edges between regions are seen from both ends.
    double both =
        energy_of(choices, &choices[r], choices[r].mode) - choices[r].price[choices[r].mode];
    total += choices[r].price[choices[r].mode] + both / 2;
  }
  return total;
}

static trivet_status_t decide(tvi_schedule_t* s, choice_t* choices, uint8_t* best) {
  bool any = false;
  for (size_t r = 0; r < s->cover->regions.count; ++r) {
    const tvi_cover_region_t* region = &s->cover->regions.data[r];
    memset(choices[r].price, 0, sizeof(choices[r].price));
    if (region->dead || !region->program) continue;
    for (size_t i = 0; i < region->inputs.count; ++i) {
      if (image(s, region->inputs.data[i])) choices[r].free = true;
      TRIVET_RETURN_IF_ERROR(connect(s, choices, (uint32_t)r, region->inputs.data[i]));
    }
    for (size_t i = 0; i < region->outputs.count; ++i) {
      tvi_value_id_t value = region->outputs.data[i];
      if (!image(s, value)) continue;
      choices[r].free = true;
      if (tvi_graph_value(s->graph, value)->output_uses) {
        edge_t edge = {TVI_COVER_NONE, bytes_of(s, value) * copy_rate(s) + 2000, false};
        TRIVET_RETURN_IF_ERROR(tvi_vector_push(&choices[r].edges, edge));
      }
    }
    // Only kernels that are picky have prices worth asking for; the general one takes either order.
    if (!choices[r].free || !region->anchored) continue;
    any = true;
    TRIVET_RETURN_IF_ERROR(price_modes(s, (uint32_t)r, &choices[r]));
  }
  memset(best, PLAIN, s->cover->regions.count);
  if (!any || !tvi_tactic_fuser_enabled(s->tactics, "choose-layout")) return TRIVET_OK;
  double plain = settle(s, choices, PLAIN);
  for (size_t r = 0; r < s->cover->regions.count; ++r) best[r] = choices[r].mode;
  double last = settle(s, choices, LAST);
  for (size_t r = 0; last < plain && r < s->cover->regions.count; ++r) best[r] = choices[r].mode;
  return TRIVET_OK;
}

// The order in which what stands behind a transpose wants |value|, which nothing else reads: a
// reshape, which is a view then, or a library's kernel, which merges axes that lie together. False:
// it is not read so.
static bool order_of_reader(const tvi_schedule_t* s, tvi_value_id_t id, tvi_layout_t* out_order) {
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  if (value->output_uses || value->use_count != 1 || value->type.rank < 2) return false;
  const tvi_node_t* transpose = tvi_graph_node(s->graph, value->uses[0].node);
  const tvi_node_fact_t* fact = &s->cover->facts[value->uses[0].node];
  if (fact->node_class != TVI_NODE_VIEW || fact->reshape || transpose->output_count != 1 ||
      strcmp(transpose->op->definition->name, "std.Transpose") != 0) {
    return false;
  }
  const trivet_attribute_t* order = tvi_node_attribute(transpose, "perm");
  const tvi_value_t* turned = tvi_graph_value(s->graph, transpose->outputs[0]);
  if (!order || order->count != value->type.rank || turned->output_uses) return false;
  bool wanted = turned->use_count > 0;
  for (uint32_t u = 0; u < turned->use_count; ++u) {
    const tvi_node_fact_t* reader = &s->cover->facts[turned->uses[u].node];
    bool anchored =
        reader->region != TVI_COVER_NONE && s->cover->regions.data[reader->region].anchored;
    wanted = wanted && (reader->reshape || anchored);
  }
  *out_order = tvi_layout_plain();
  for (uint32_t d = 0; d < value->type.rank; ++d) {
    out_order->order[d] = (uint8_t)((const int64_t*)order->data)[d];
  }
  return wanted;
}

// Kernels that write into any order write into that of the reader, where this costs less than the
// copy that it saves. The general kernel does as long as rows stay rows.
static trivet_status_t follow_reader(tvi_schedule_t* s, uint32_t id, tvi_value_id_t value) {
  const tvi_layout_t plain = tvi_layout_plain();
  tvi_layout_t order;
  uint32_t rank = tvi_graph_value(s->graph, value)->type.rank;
  if (!tvi_layout_equal(&s->layouts[value], &plain, rank) || !order_of_reader(s, value, &order)) {
    return TRIVET_OK;
  }
  double here = 0, there = 0;
  if (!s->cover->regions.data[id].anchored && order.order[rank - 1] != rank - 1) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(price(s, id, PLAIN, 0, NULL, &here, NULL));
  TRIVET_RETURN_IF_ERROR(price(s, id, PLAIN, value, &order, &there, NULL));
  if (there < here + bytes_of(s, value) * copy_rate(s) + 2000) s->layouts[value] = order;
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_choose_layouts(tvi_schedule_t* s) {
  size_t count = s->cover->regions.count;
  choice_t* choices = NULL;
  uint8_t* best = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count + 1, sizeof(*choices), &choices));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(s->arena, count + 1, 1, &best));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count + 1, sizeof(*s->reads_last), &s->reads_last));
  for (size_t r = 0; r < count; ++r) tvi_vector_init(&choices[r].edges, s->allocator);
  trivet_status_t status = decide(s, choices, best);
  for (size_t r = 0; r < count; ++r) tvi_vector_deinit(&choices[r].edges);
  TRIVET_RETURN_IF_ERROR(status);
  for (size_t r = 0; r < count; ++r) {
    const tvi_cover_region_t* region = &s->cover->regions.data[r];
    s->reads_last[r] = (best[r] & READS_LAST) != 0;
    if (region->dead || !(best[r] & WRITES_LAST)) continue;
    for (size_t i = 0; i < region->outputs.count; ++i) {
      tvi_value_id_t value = region->outputs.data[i];
      if (image(s, value))
        s->layouts[value] = tvi_layout_channels_last(tvi_graph_value(s->graph, value)->type.rank);
    }
  }
  // On a device a copy is a launch of its own.
  bool follow = s->tactics->options.device && tvi_tactic_fuser_enabled(s->tactics, "choose-layout");
  for (uint32_t r = 0; follow && r < count; ++r) {
    const tvi_cover_region_t* region = &s->cover->regions.data[r];
    for (size_t i = 0; !region->dead && region->program && i < region->outputs.count; ++i) {
      TRIVET_RETURN_IF_ERROR(follow_reader(s, r, region->outputs.data[i]));
    }
  }
  return TRIVET_OK;
}
