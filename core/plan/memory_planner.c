// SPDX-License-Identifier: Apache-2.0
//
// Offline placement of buffers with known lifetimes (dynamic storage allocation, which is NP-hard):
// greedy placement in several orders, the best kept; where that misses the lower bound, a bounded
// search over orders by moving the buffers that stand highest forward. Same items, same offsets: no
// clock, no addresses, a fixed sequence of pseudo-random numbers.
#include "core/plan/memory_planner.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/status.h"

// Steps of placement that the search may take, so that prepare stays in the milliseconds.
#define SEARCH_BUDGET ((uint64_t)8 << 20)
#define SEARCH_ROUNDS 4096u
// Above this many items one order has to do.
#define MANY_ITEMS 8192u

typedef struct planner_s {
  const tvi_memory_item_t* items;
  uint32_t count;        // items that take space
  uint32_t* order;       // their indices, in the order in which they are placed
  uint32_t* best_order;  // that of the best placement
  uint32_t* placed;      // indices by offset, while placing
  uint64_t* offsets;     // by index of item
  uint64_t* best_offsets;
  uint64_t best_total;
  uint64_t bound;     // no placement is smaller
  uint32_t* crowded;  // by index of item: 1 when it is live in the fullest step
} planner_t;

static bool live_together(const tvi_memory_item_t* a, const tvi_memory_item_t* b) {
  return a->first <= b->last && b->first <= a->last;
}

static uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// The fullest step is always one in which some item begins.
uint64_t tvi_memory_lower_bound(const tvi_memory_item_t* items, uint32_t count) {
  uint64_t bound = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t sum = 0;
    for (uint32_t j = 0; j < count; ++j) {
      if (items[j].first > items[i].first || items[j].last < items[i].first) continue;
      if (!tvi_checked_add_u64(sum, items[j].size, &sum)) return UINT64_MAX;
    }
    if (sum > bound) bound = sum;
  }
  return bound;
}

// The lower bound with alignment taken into account, and the items that are live where it arises.
// With one alignment for all, every item but the topmost takes a multiple of it.
static void find_bound(planner_t* p) {
  const tvi_memory_item_t* items = p->items;
  bool same = true;
  uint32_t fullest = 0;
  uint64_t alignment = p->count != 0 ? items[p->order[0]].alignment : 1;
  for (uint32_t i = 0; i < p->count; ++i) same = same && items[p->order[i]].alignment == alignment;
  for (uint32_t i = 0; i < p->count; ++i) {
    uint32_t step = items[p->order[i]].first;
    uint64_t sum = 0, most_padding = 0;
    for (uint32_t j = 0; j < p->count; ++j) {
      const tvi_memory_item_t* item = &items[p->order[j]];
      if (item->first > step || item->last < step) continue;
      uint64_t padding = same ? align_up(item->size, alignment) - item->size : 0;
      sum += item->size + padding;
      if (padding > most_padding) most_padding = padding;
    }
    if (sum - most_padding > p->bound) {
      p->bound = sum - most_padding;
      fullest = step;
    }
  }
  for (uint32_t i = 0; i < p->count; ++i) {
    const tvi_memory_item_t* item = &items[p->order[i]];
    p->crowded[p->order[i]] = item->first <= fullest && fullest <= item->last;
  }
}

// Places the items in the current order: each into the smallest gap that holds it (|best_fit|), or
// into the lowest, among those that are live together with it. Stops early when it cannot become
// better than |limit|.
static uint64_t place(planner_t* p, bool best_fit, uint64_t limit) {
  uint64_t total = 0;
  uint32_t placed = 0;
  for (uint32_t i = 0; i < p->count; ++i) {
    uint32_t index = p->order[i];
    const tvi_memory_item_t* item = &p->items[index];
    uint64_t end = 0;  // of what lies below
    uint64_t offset = UINT64_MAX, gap = UINT64_MAX;
    for (uint32_t k = 0; k < placed; ++k) {
      uint32_t other = p->placed[k];
      if (!live_together(item, &p->items[other])) continue;
      uint64_t at = align_up(end, item->alignment);
      if (at <= p->offsets[other] && item->size <= p->offsets[other] - at) {
        uint64_t room = p->offsets[other] - end;
        if (room < gap) {
          gap = room;
          offset = at;
        }
        if (!best_fit) break;
      }
      uint64_t other_end = p->offsets[other] + p->items[other].size;
      if (other_end > end) end = other_end;
    }
    if (offset == UINT64_MAX) offset = align_up(end, item->alignment);
    p->offsets[index] = offset;
    if (offset + item->size > total) total = offset + item->size;
    if (total > limit) return total;
    uint32_t low = 0, high = placed;
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      if (p->offsets[p->placed[middle]] <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    memmove(p->placed + low + 1, p->placed + low, (placed - low) * sizeof(*p->placed));
    p->placed[low] = index;
    ++placed;
  }
  return total;
}

static void try_order(planner_t* p, bool best_fit) {
  if (p->best_total == p->bound) return;
  uint64_t total = place(p, best_fit, p->best_total - 1);
  if (total >= p->best_total) return;
  p->best_total = total;
  for (uint32_t i = 0; i < p->count; ++i) p->best_offsets[p->order[i]] = p->offsets[p->order[i]];
  memcpy(p->best_order, p->order, p->count * sizeof(*p->order));
}

// --- Orders --------------------------------------------------------------------------------------

typedef enum order_key_e {
  ORDER_SIZE,
  ORDER_AREA,
  ORDER_CROWDED,
  ORDER_LENGTH,
  ORDER_START,
  ORDER_END,
  ORDER_KEY_COUNT,
} order_key_t;

static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int compare(const planner_t* p, order_key_t key, uint32_t a, uint32_t b) {
  const tvi_memory_item_t *x = &p->items[a], *y = &p->items[b];
  uint64_t x_length = (uint64_t)x->last - x->first + 1, y_length = (uint64_t)y->last - y->first + 1;
  int result = 0;
  switch (key) {
    case ORDER_AREA: {
      // Sizes that overflow the product count as equal and fall through to the size.
      uint64_t x_area = UINT64_MAX, y_area = UINT64_MAX;
      (void)tvi_checked_mul_u64(x->size, x_length, &x_area);
      (void)tvi_checked_mul_u64(y->size, y_length, &y_area);
      result = compare_u64(y_area, x_area);
      break;
    }
    case ORDER_CROWDED:
      result = compare_u64(p->crowded[b], p->crowded[a]);
      break;
    case ORDER_LENGTH:
      result = compare_u64(y_length, x_length);
      break;
    case ORDER_START:
      result = compare_u64(x->first, y->first);
      break;
    case ORDER_END:
      result = compare_u64(y->last, x->last);
      break;
    default:
      break;
  }
  if (result == 0) result = compare_u64(y->size, x->size);
  if (result == 0) result = compare_u64(y_length, x_length);
  if (result == 0) result = compare_u64(x->first, y->first);
  return result != 0 ? result : compare_u64(a, b);
}

// Merge sort: qsort has no argument for the planner, and is allowed to be slow. |p->placed| is
// free for it.
static void sort(planner_t* p, order_key_t key) {
  uint32_t* from = p->order;
  uint32_t* to = p->placed;
  for (uint64_t width = 1; width < p->count; width *= 2) {
    for (uint64_t begin = 0; begin < p->count; begin += 2 * width) {
      uint64_t middle = begin + width < p->count ? begin + width : p->count;
      uint64_t end = begin + 2 * width < p->count ? begin + 2 * width : p->count;
      uint64_t left = begin, right = middle;
      for (uint64_t out = begin; out < end; ++out) {
        bool take_left =
            left < middle && (right >= end || compare(p, key, from[left], from[right]) <= 0);
        to[out] = take_left ? from[left++] : from[right++];
      }
    }
    uint32_t* swap = from;
    from = to;
    to = swap;
  }
  if (from != p->order) memcpy(p->order, from, p->count * sizeof(*from));
}

// --- Search --------------------------------------------------------------------------------------

static uint32_t next_random(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;  // Knuth, MMIX
  return (uint32_t)(*state >> 33);
}

// Moves an item that reaches the top of the arena forward in the order: it stands high because
// others took the room below. Sideways moves are kept, so that the search can leave a plateau.
static void search(planner_t* p) {
  uint64_t state = p->count;
  uint64_t current = p->best_total;
  uint64_t rounds = SEARCH_BUDGET / ((uint64_t)p->count * p->count + 1);
  if (rounds > SEARCH_ROUNDS) rounds = SEARCH_ROUNDS;
  memcpy(p->order, p->best_order, p->count * sizeof(*p->order));
  for (uint64_t round = 0; round < rounds && p->best_total > p->bound; ++round) {
    bool best_fit = next_random(&state) % 2 == 0;
    // Every item that ends above the bound is a candidate; one of them is taken at random.
    uint32_t chosen = 0, candidates = 0;
    uint64_t threshold = current > p->best_total ? p->best_total : current;
    (void)place(p, best_fit, UINT64_MAX);
    for (uint32_t i = 0; i < p->count; ++i) {
      uint32_t index = p->order[i];
      if (p->offsets[index] + p->items[index].size < threshold) continue;
      ++candidates;
      if (next_random(&state) % candidates == 0) chosen = i;
    }
    if (candidates == 0 || chosen == 0) chosen = 1 + next_random(&state) % (p->count - 1);
    uint32_t target = next_random(&state) % chosen;
    uint32_t index = p->order[chosen];
    memmove(p->order + target + 1, p->order + target, (chosen - target) * sizeof(*p->order));
    p->order[target] = index;
    uint64_t total = place(p, best_fit, UINT64_MAX);
    if (total < p->best_total) {
      p->best_total = total;
      for (uint32_t i = 0; i < p->count; ++i) {
        p->best_offsets[p->order[i]] = p->offsets[p->order[i]];
      }
    }
    if (total <= current) {
      current = total;
      continue;
    }
    memmove(p->order + target, p->order + target + 1, (chosen - target) * sizeof(*p->order));
    p->order[chosen] = index;
  }
}

static void plan(planner_t* p) {
  find_bound(p);
  p->best_total = UINT64_MAX;
  for (int key = 0; key < ORDER_KEY_COUNT && p->best_total > p->bound; ++key) {
    sort(p, (order_key_t)key);
    try_order(p, true);
    try_order(p, false);
    if (p->count > MANY_ITEMS) break;
  }
  if (p->best_total > p->bound && p->count > 1) search(p);
}

static trivet_status_t check_items(const tvi_memory_item_t* items, uint32_t count,
                                   uint32_t* out_sized) {
  uint64_t sum = 0;
  uint32_t sized = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!tvi_is_power_of_two(items[i].alignment)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "memory plan: item %u: alignment %llu", i,
                           (unsigned long long)items[i].alignment);
    }
    if (items[i].first > items[i].last) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "memory plan: item %u: live from %u to %u", i,
                           items[i].first, items[i].last);
    }
    // No placement can overflow when even the sum of all sizes with their padding does not.
    if (!tvi_checked_add_u64(sum, items[i].size, &sum) ||
        !tvi_checked_add_u64(sum, items[i].alignment, &sum) ||
        !tvi_checked_add_u64(sum, items[i].alignment, &sum)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "memory plan: sizes overflow at item %u", i);
    }
    sized += items[i].size != 0;
  }
  *out_sized = sized;
  return TRIVET_OK;
}

trivet_status_t tvi_memory_plan(const tvi_memory_item_t* items, uint32_t count,
                                trivet_allocator_t allocator, uint64_t* out_offsets,
                                uint64_t* out_total) {
  planner_t p;
  memset(&p, 0, sizeof(p));
  p.items = items;
  TRIVET_RETURN_IF_ERROR(check_items(items, count, &p.count));
  uint32_t* indices = NULL;
  uint64_t* offsets = NULL;
  // One block for what is counted in u32, one for what is counted in u64.
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array_zeroed(allocator, count, 4 * sizeof(*indices), &indices));
  trivet_status_t status = tvi_alloc_array_zeroed(allocator, count, 2 * sizeof(*offsets), &offsets);
  if (status != NULL) {
    tvi_free_array(allocator, indices, count, 4 * sizeof(*indices));
    return status;
  }
  p.order = indices;
  p.best_order = indices + count;
  p.placed = indices + (size_t)2 * count;
  p.crowded = indices + (size_t)3 * count;
  p.offsets = offsets;
  p.best_offsets = offsets + count;
  uint32_t at = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (items[i].size != 0) p.order[at++] = i;
  }
  if (p.count != 0) plan(&p);
  for (uint32_t i = 0; i < count; ++i) out_offsets[i] = p.best_offsets[i];
  *out_total = p.count != 0 ? p.best_total : 0;
  tvi_free_array(allocator, offsets, count, 2 * sizeof(*offsets));
  tvi_free_array(allocator, indices, count, 4 * sizeof(*indices));
  return TRIVET_OK;
}
