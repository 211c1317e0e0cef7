// SPDX-License-Identifier: Apache-2.0
//
// Implements bulk.h. Sources may have any alignment, so elements are copied, never dereferenced in
// place; results are dense and aligned.
#include "passes/support/bulk.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "passes/support/match.h"

// A walk over the elements of a result, with the strides of up to two sources, in elements.
typedef struct walk_s {
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
  int64_t strides[2][TRIVET_MAX_RANK];
  int64_t offsets[2];
} walk_t;

static void dense_strides(const trivet_tensor_t* tensor, int64_t* strides) {
  int64_t stride = 1;
  for (uint32_t i = tensor->rank; i-- > 0;) {
    strides[i] = stride;
    stride *= tensor->dims[i];
  }
}

static walk_t start_walk(const trivet_tensor_t* result) {
  walk_t w = {.rank = result->rank};
  memcpy(w.dims, result->dims, sizeof(w.dims));
  // At least one dimension: the innermost is what the loops run over.
  if (w.rank == 0) w.dims[w.rank++] = 1;
  return w;
}

static bool is_empty(const walk_t* w) {
  for (uint32_t i = 0; i < w->rank; ++i) {
    if (w->dims[i] == 0) return true;
  }
  return false;
}

// To the next row; false at the end. |position| counts all dimensions but the innermost.
static bool next_row(walk_t* w, int64_t* position) {
  for (uint32_t i = w->rank - 1; i-- > 0;) {
    w->offsets[0] += w->strides[0][i];
    w->offsets[1] += w->strides[1][i];
    if (++position[i] < w->dims[i]) return true;
    w->offsets[0] -= w->strides[0][i] * w->dims[i];
    w->offsets[1] -= w->strides[1][i] * w->dims[i];
    position[i] = 0;
  }
  return false;
}

static void copy_row(uint8_t* to, const uint8_t* from, int64_t count, int64_t stride,
                     uint32_t size) {
  if (stride == 1) {
    memcpy(to, from, (size_t)count * size);
    return;
  }
  // A fixed size lets the compiler turn each copy into one load and one store.
  switch (size) {
    case 4:
      for (int64_t i = 0; i < count; ++i) memcpy(to + i * 4, from + i * stride * 4, 4);
      return;
    case 2:
      for (int64_t i = 0; i < count; ++i) memcpy(to + i * 2, from + i * stride * 2, 2);
      return;
    default:
      for (int64_t i = 0; i < count; ++i) memcpy(to + i * size, from + i * stride * size, size);
  }
}

static trivet_status_t transpose(const tvi_node_t* node, const trivet_tensor_t* x,
                                 trivet_tensor_t* y) {
  uint32_t size = tvi_dtype_bytes(y->dtype);
  uint64_t count;
  const int64_t* perm = tvi_node_attr_i64s(node, "perm", &count);
  int64_t strides[TRIVET_MAX_RANK], position[TRIVET_MAX_RANK] = {0};
  walk_t w = start_walk(y);
  dense_strides(x, strides);
  for (uint32_t i = 0; i < x->rank; ++i) {
    int64_t from = perm != NULL ? perm[i] : x->rank - 1 - (int64_t)i;
    w.strides[0][i] = strides[from < 0 ? from + x->rank : from];
  }
  if (is_empty(&w)) return TRIVET_OK;
  uint8_t* to = y->data;
  int64_t row = w.dims[w.rank - 1];
  do {
    copy_row(to, (const uint8_t*)x->data + w.offsets[0] * size, row, w.strides[0][w.rank - 1],
             size);
    to += row * size;
  } while (next_row(&w, position));
  return TRIVET_OK;
}

static trivet_status_t concat(const tvi_node_t* node, const trivet_tensor_t* inputs,
                              trivet_tensor_t* y) {
  uint32_t axis;
  if (!tvi_match_axis(tvi_node_attr_i64(node, "axis", 0), y->rank, &axis)) {
    return TRIVET_STATUS_BARE(TRIVET_STATUS_UNIMPLEMENTED);
  }
  uint64_t outer = 1, inner = tvi_dtype_bytes(y->dtype);
  for (uint32_t i = 0; i < axis; ++i) outer *= (uint64_t)y->dims[i];
  for (uint32_t i = axis + 1; i < y->rank; ++i) inner *= (uint64_t)y->dims[i];
  uint64_t pitch = inner * (uint64_t)y->dims[axis], offset = 0;
  for (uint32_t n = 0; n < node->input_count; ++n) {
    uint64_t block = inner * (uint64_t)inputs[n].dims[axis];
    if (block == 0) continue;
    for (uint64_t i = 0; i < outer; ++i) {
      memcpy((uint8_t*)y->data + i * pitch + offset, (const uint8_t*)inputs[n].data + i * block,
             block);
    }
    offset += block;
  }
  return TRIVET_OK;
}

typedef enum binary_e { ADD, SUBTRACT, MULTIPLY, DIVIDE } binary_t;

static inline float apply(binary_t op, float a, float b) {
  switch (op) {
    case ADD:
      return a + b;
    case SUBTRACT:
      return a - b;
    case MULTIPLY:
      return a * b;
    default:
      return a / b;
  }
}

static trivet_status_t binary(binary_t op, const trivet_tensor_t* inputs, trivet_tensor_t* y) {
  walk_t w = start_walk(y);
  int64_t strides[TRIVET_MAX_RANK], position[TRIVET_MAX_RANK] = {0};
  for (uint32_t n = 0; n < 2; ++n) {
    const trivet_tensor_t* x = &inputs[n];
    dense_strides(x, strides);
    // Aligned from the right; an extent of 1 stretches.
    for (uint32_t i = 0; i < x->rank; ++i) {
      uint32_t at = y->rank - x->rank + i;
      w.strides[n][at] = x->dims[i] == 1 ? 0 : strides[i];
    }
  }
  if (is_empty(&w)) return TRIVET_OK;
  float* to = y->data;
  int64_t row = w.dims[w.rank - 1], step_a = w.strides[0][w.rank - 1],
          step_b = w.strides[1][w.rank - 1];
  do {
    const uint8_t* a = (const uint8_t*)inputs[0].data + w.offsets[0] * 4;
    const uint8_t* b = (const uint8_t*)inputs[1].data + w.offsets[1] * 4;
    for (int64_t i = 0; i < row; ++i) {
      float x, z;
      memcpy(&x, a + i * step_a * 4, 4);
      memcpy(&z, b + i * step_b * 4, 4);
      to[i] = apply(op, x, z);
    }
    to += row;
  } while (next_row(&w, position));
  return TRIVET_OK;
}

static trivet_status_t evaluate(void* self, const trivet_graph_t* graph, tvi_node_id_t id,
                                const trivet_tensor_t* inputs, trivet_tensor_t* outputs) {
  static const char* const binaries[] = {"std.Add", "std.Sub", "std.Mul", "std.Div"};
  const tvi_node_t* node = graph->nodes[id];
  (void)self;
  // Bytes are moved as they are: packed types and strings have none of their own.
  if (node->output_count != 1 || node->input_count == 0 || outputs[0].rank >= TRIVET_MAX_RANK ||
      tvi_dtype_bytes(outputs[0].dtype) == 0 || outputs[0].dtype == TRIVET_DTYPE_STRING) {
    return TRIVET_STATUS_BARE(TRIVET_STATUS_UNIMPLEMENTED);
  }
  if (tvi_match_reshape(node) || tvi_node_is(node, "std.Identity")) {
    if (outputs[0].size != 0) memcpy(outputs[0].data, inputs[0].data, outputs[0].size);
    return TRIVET_OK;
  }
  if (tvi_node_is(node, "std.Transpose")) return transpose(node, &inputs[0], &outputs[0]);
  if (tvi_node_is(node, "std.Concat")) return concat(node, inputs, &outputs[0]);
  // From f32 to a narrower float, where the two rules of an operator's cast agree.
  if (tvi_node_is(node, "std.Cast") && inputs[0].dtype == TRIVET_DTYPE_F32 &&
      (outputs[0].dtype == TRIVET_DTYPE_F16 || outputs[0].dtype == TRIVET_DTYPE_BF16)) {
    return tvi_dtype_convert(outputs[0].dtype, outputs[0].data, TRIVET_DTYPE_F32, inputs[0].data,
                             (int64_t)(inputs[0].size / sizeof(float)), false);
  }
  for (uint32_t i = 0; i < 4 && outputs[0].dtype == TRIVET_DTYPE_F32; ++i) {
    if (tvi_node_is(node, binaries[i])) return binary((binary_t)i, inputs, &outputs[0]);
  }
  return TRIVET_STATUS_BARE(TRIVET_STATUS_UNIMPLEMENTED);
}

tvi_graph_evaluator_t tvi_bulk_evaluator(void) { return (tvi_graph_evaluator_t){NULL, evaluate}; }
