// SPDX-License-Identifier: Apache-2.0
//
// Layered layout: the layer of a node is its longest way from a source; edges over several layers
// get a bend in each, so that they pass between boxes; order within layers by repeated medians of
// neighbours; positions by pulling towards neighbours without overlap.
#include "tools/trivet/picture.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/status.h"

#define NODE_HEIGHT 40.0
#define LAYER_GAP 34.0
#define COLUMN_GAP 26.0
#define BEND_WIDTH 10.0
#define MARGIN 30.0
#define MAX_BENDS 200000u
#define SWEEPS 8

// A box or a bend of an edge.
typedef struct slot_s {
  uint32_t layer;
  uint32_t node;  // UINT32_MAX: a bend
  double width;
  double x;       // centre
  double weight;  // key of the order
} slot_t;

typedef struct link_s {
  uint32_t upper, lower;
} link_t;

typedef struct layout_s {
  picture_t* picture;
  tvi_arena_t arena;
  slot_t* slots;
  uint32_t slot_count;
  link_t* links;
  uint32_t link_count;
  uint32_t layer_count;
  uint32_t** layers;  // slots in order
  uint32_t* sizes;
  uint32_t *up_first, *up, *down_first, *down;  // neighbours of slots
} layout_t;

void picture_init(picture_t* picture) {
  memset(picture, 0, sizeof(*picture));
  tvi_arena_init(&picture->arena, trivet_allocator_system(), 1 << 16);
  tvi_vector_init(&picture->nodes, trivet_allocator_system());
  tvi_vector_init(&picture->edges, trivet_allocator_system());
  tvi_vector_init(&picture->bends, trivet_allocator_system());
}

void picture_deinit(picture_t* picture) {
  tvi_vector_deinit(&picture->nodes);
  tvi_vector_deinit(&picture->edges);
  tvi_vector_deinit(&picture->bends);
  tvi_arena_deinit(&picture->arena);
}

trivet_status_t picture_keep(picture_t* picture, tvi_string_builder_t* builder,
                             trivet_string_view_t* out_text) {
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(builder));
  return tvi_arena_strdup(&picture->arena, tvi_string_builder_view(builder), out_text);
}

static int compare_edges(const void* a, const void* b) {
  const picture_edge_t *x = (const picture_edge_t*)a, *y = (const picture_edge_t*)b;
  if (x->from != y->from) return x->from < y->from ? -1 : 1;
  return x->to < y->to ? -1 : x->to > y->to;
}

static void tidy_edges(picture_t* picture) {
  size_t kept = 0;
  picture_edge_t* edges = picture->edges.data;
  if (picture->edges.count) {
    qsort(edges, picture->edges.count, sizeof(edges[0]), compare_edges);
  }
  for (size_t i = 0; i < picture->edges.count; ++i) {
    if (edges[i].from >= edges[i].to || edges[i].to >= picture->nodes.count) continue;
    if (kept && compare_edges(&edges[kept - 1], &edges[i]) == 0) continue;
    edges[kept++] = edges[i];
  }
  picture->edges.count = kept;
}

// --- Layers -------------------------------------------------------------------------------------

static trivet_status_t assign_layers(layout_t* l) {
  picture_t* p = l->picture;
  uint32_t count = (uint32_t)p->nodes.count;
  uint64_t bends = 0;
  uint32_t* layer = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, count + 1, sizeof(*layer), &layer));
  // Edges are sorted by their beginning and go upwards in number.
  for (size_t e = 0; e < p->edges.count; ++e) {
    const picture_edge_t* edge = &p->edges.data[e];
    if (layer[edge->to] < layer[edge->from] + 1) layer[edge->to] = layer[edge->from] + 1;
  }
  // Inputs come down to just above their first reader.
  for (uint32_t n = 0; n < count; ++n) {
    if (p->nodes.data[n].shape != PICTURE_INPUT) continue;
    uint32_t lowest = UINT32_MAX;
    for (size_t e = 0; e < p->edges.count; ++e) {
      if (p->edges.data[e].from == n && layer[p->edges.data[e].to] < lowest) {
        lowest = layer[p->edges.data[e].to];
      }
    }
    if (lowest != UINT32_MAX && lowest > 0) layer[n] = lowest - 1;
  }
  for (size_t e = 0; e < p->edges.count; ++e) {
    bends += layer[p->edges.data[e].to] - layer[p->edges.data[e].from] - 1;
  }
  bool with_bends = bends <= MAX_BENDS;
  if (!with_bends) bends = 0;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, count + bends + 1, sizeof(*l->slots), &l->slots));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&l->arena, p->edges.count + bends + 1,
                                                      sizeof(*l->links), &l->links));
  for (uint32_t n = 0; n < count; ++n) {
    l->slots[n].layer = layer[n];
    l->slots[n].node = n;
    l->slots[n].width = p->nodes.data[n].width;
    if (layer[n] + 1 > l->layer_count) l->layer_count = layer[n] + 1;
  }
  l->slot_count = count;
  for (size_t e = 0; e < p->edges.count; ++e) {
    picture_edge_t* edge = &p->edges.data[e];
    uint32_t above = edge->from;
    edge->first_bend = l->slot_count;
    for (uint32_t at = layer[edge->from] + 1; with_bends && at < layer[edge->to]; ++at) {
      slot_t* bend = &l->slots[l->slot_count];
      bend->layer = at;
      bend->node = UINT32_MAX;
      bend->width = BEND_WIDTH;
      l->links[l->link_count++] = (link_t){above, l->slot_count};
      above = l->slot_count++;
    }
    edge->bend_count = l->slot_count - edge->first_bend;
    l->links[l->link_count++] = (link_t){above, edge->to};
  }
  return TRIVET_OK;
}

// Neighbour lists as ranges: up[up_first[s] .. up_first[s + 1]).
static trivet_status_t collect(layout_t* l, bool upwards, uint32_t** out_first,
                               uint32_t** out_list) {
  uint32_t *first = NULL, *list = NULL, *fill = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, l->slot_count + 2, sizeof(*first), &first));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, l->slot_count + 2, sizeof(*fill), &fill));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, l->link_count + 1, sizeof(*list), &list));
  for (uint32_t i = 0; i < l->link_count; ++i) {
    ++first[(upwards ? l->links[i].lower : l->links[i].upper) + 1];
  }
  for (uint32_t s = 0; s < l->slot_count; ++s) first[s + 1] += first[s];
  for (uint32_t i = 0; i < l->link_count; ++i) {
    uint32_t of = upwards ? l->links[i].lower : l->links[i].upper;
    list[first[of] + fill[of]++] = upwards ? l->links[i].upper : l->links[i].lower;
  }
  *out_first = first;
  *out_list = list;
  return TRIVET_OK;
}

static trivet_status_t fill_layers(layout_t* l) {
  TRIVET_RETURN_IF_ERROR(collect(l, true, &l->up_first, &l->up));
  TRIVET_RETURN_IF_ERROR(collect(l, false, &l->down_first, &l->down));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, l->layer_count + 1, sizeof(*l->layers), &l->layers));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&l->arena, l->layer_count + 1, sizeof(*l->sizes), &l->sizes));
  for (uint32_t s = 0; s < l->slot_count; ++s) ++l->sizes[l->slots[s].layer];
  for (uint32_t i = 0; i < l->layer_count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array(&l->arena, l->sizes[i] + 1, sizeof(**l->layers), &l->layers[i]));
    l->sizes[i] = 0;
  }
  for (uint32_t s = 0; s < l->slot_count; ++s) {
    l->layers[l->slots[s].layer][l->sizes[l->slots[s].layer]++] = s;
  }
  return TRIVET_OK;
}

// --- Order and positions ------------------------------------------------------------------------

static double mean_of(const layout_t* l, const uint32_t* first, const uint32_t* list, uint32_t slot,
                      double fallback) {
  double sum = 0;
  uint32_t count = first[slot + 1] - first[slot];
  for (uint32_t i = first[slot]; i < first[slot + 1]; ++i) sum += l->slots[list[i]].x;
  return count ? sum / count : fallback;
}

// Insertion sort: stable, and layers are nearly in order after the first sweep.
static void sort_layer(layout_t* l, uint32_t layer) {
  uint32_t* slots = l->layers[layer];
  for (uint32_t i = 1; i < l->sizes[layer]; ++i) {
    uint32_t slot = slots[i], at = i;
    while (at && l->slots[slots[at - 1]].weight > l->slots[slot].weight) {
      slots[at] = slots[at - 1];
      --at;
    }
    slots[at] = slot;
  }
}

// Puts the slots of a layer as near to |weight| as their order and widths allow: pushed right where
// they overlap, then pulled back as a block so that the mean stays.
static void place_layer(layout_t* l, uint32_t layer) {
  const uint32_t* slots = l->layers[layer];
  uint32_t size = l->sizes[layer];
  double drift = 0;
  for (uint32_t i = 0; i < size; ++i) {
    slot_t* slot = &l->slots[slots[i]];
    slot->x = slot->weight;
    if (i) {
      const slot_t* left = &l->slots[slots[i - 1]];
      double least = left->x + (left->width + slot->width) / 2 + COLUMN_GAP;
      if (slot->x < least) slot->x = least;
    }
    drift += slot->x - slot->weight;
  }
  for (uint32_t i = 0; i < size; ++i) l->slots[slots[i]].x -= drift / size;
}

static void sweep(layout_t* l, bool downwards, bool reorder) {
  for (uint32_t k = 0; k < l->layer_count; ++k) {
    uint32_t layer = downwards ? k : l->layer_count - 1 - k;
    for (uint32_t i = 0; i < l->sizes[layer]; ++i) {
      uint32_t s = l->layers[layer][i];
      l->slots[s].weight = downwards ? mean_of(l, l->up_first, l->up, s, l->slots[s].x)
                                     : mean_of(l, l->down_first, l->down, s, l->slots[s].x);
    }
    if (reorder) sort_layer(l, layer);
    place_layer(l, layer);
  }
}

static trivet_status_t write_back(layout_t* l) {
  picture_t* p = l->picture;
  double left = 1e300, right = -1e300;
  for (uint32_t s = 0; s < l->slot_count; ++s) {
    const slot_t* slot = &l->slots[s];
    if (slot->x - slot->width / 2 < left) left = slot->x - slot->width / 2;
    if (slot->x + slot->width / 2 > right) right = slot->x + slot->width / 2;
  }
  if (!l->slot_count) left = right = 0;
  p->width = right - left + 2 * MARGIN;
  p->height = l->layer_count * (NODE_HEIGHT + LAYER_GAP) + 2 * MARGIN;
  for (uint32_t n = 0; n < p->nodes.count; ++n) {
    picture_node_t* node = &p->nodes.data[n];
    node->x = l->slots[n].x - node->width / 2 - left + MARGIN;
    node->y = l->slots[n].layer * (NODE_HEIGHT + LAYER_GAP) + MARGIN;
  }
  for (size_t e = 0; e < p->edges.count; ++e) {
    picture_edge_t* edge = &p->edges.data[e];
    uint32_t first = (uint32_t)p->bends.count;
    for (uint32_t b = 0; b < edge->bend_count; ++b) {
      const slot_t* slot = &l->slots[edge->first_bend + b];
      picture_point_t point = {slot->x - left + MARGIN,
                               slot->layer * (NODE_HEIGHT + LAYER_GAP) + MARGIN};
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&p->bends, point));
    }
    edge->first_bend = first;
  }
  return TRIVET_OK;
}

trivet_status_t picture_layout(picture_t* picture) {
  layout_t l;
  memset(&l, 0, sizeof(l));
  l.picture = picture;
  tvi_arena_init(&l.arena, trivet_allocator_system(), 1 << 18);
  tidy_edges(picture);
  for (size_t n = 0; n < picture->nodes.count; ++n) {
    picture_node_t* node = &picture->nodes.data[n];
    size_t longest =
        node->title.size > node->subtitle.size ? node->title.size : node->subtitle.size;
    node->width = 24 + 7.0 * (double)(longest < 8 ? 8 : longest);
    node->height = NODE_HEIGHT;
  }
  trivet_status_t status = assign_layers(&l);
  if (!status) status = fill_layers(&l);
  if (!status) {
    for (int i = 0; i < SWEEPS; ++i) {
      sweep(&l, true, i < SWEEPS - 2);
      sweep(&l, false, i < SWEEPS - 2);
    }
    sweep(&l, true, false);
    status = write_back(&l);
  }
  tvi_arena_deinit(&l.arena);
  return status;
}
