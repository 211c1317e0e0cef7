// SPDX-License-Identifier: Apache-2.0
//
// The third grade of the tutorial: an operator whose text hangs on its attributes and ranks.
// Windows move over the last dimensions of x, any number of them; each becomes one number: its
// mean, its maximum, or the root of its mean square.
//
//   y = acme.WindowPool(x) { window = [2, 3], strides = [2, 1], mode = "rms" }
//
// infer states the shape of the result, with symbols where x has some, and refuses what cannot be;
// lower prints the kernel IR of one node. From that come every type, the CPU, CUDA, and fusion: no
// loop is written here.
#include <string.h>

#include "trivet/plugin.h"

#define MOST 4  // dimensions that windows move over

// The attributes of one node, checked.
typedef struct pool_s {
  const trivet_type_t* x;
  uint32_t count;  // dimensions that windows move over, the last ones
  uint32_t first;  // the first of them
  int64_t window[MOST];
  int64_t strides[MOST];
  const char* reduction;  // of kernel IR
  uint32_t squares;       // the elements are squared first
  uint32_t divides;       // by the number of elements of a window
} pool_t;

static uint32_t is_mode(trivet_string_view_t given, const char* mode) {
  return given.size == strlen(mode) && memcmp(given.data, mode, given.size) == 0;
}

static trivet_status_t read_mode(trivet_node_view_t* view, pool_t* pool) {
  trivet_string_view_t mode = trivet_view_attr_string(view, "mode");
  uint32_t is_max = is_mode(mode, "max"), is_rms = is_mode(mode, "rms");
  if (!is_max && !is_rms && !is_mode(mode, "mean")) {
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                             "mode is '%.*s', known are mean, max and rms", (int)mode.size,
                             mode.data);
  }
  pool->reduction = is_max ? "max" : "sum";
  pool->squares = is_rms;
  pool->divides = !is_max;
  return 0;
}

// Everything that infer and lower need, or an error that says which attribute is wrong and why.
static trivet_status_t read_pool(trivet_node_view_t* view, pool_t* pool) {
  uint64_t count = 0, stride_count = 0;
  const int64_t* window = trivet_view_attr_i64s(view, "window", &count);
  const int64_t* strides = trivet_view_attr_i64s(view, "strides", &stride_count);
  pool->x = trivet_view_input_type(view, 0);
  if (count < 1 || count > MOST || count > pool->x->rank) {
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                             "window has %d extents, x has rank %u and at most %d are known",
                             (int)count, pool->x->rank, MOST);
  }
  if (stride_count != 0 && stride_count != count) {
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                             "strides has %d numbers, window has %d", (int)stride_count,
                             (int)count);
  }
  pool->count = (uint32_t)count;
  pool->first = pool->x->rank - pool->count;
  for (uint32_t i = 0; i < pool->count; ++i) {
    pool->window[i] = window[i];
    pool->strides[i] = stride_count ? strides[i] : 1;
    if (window[i] < 1 || window[i] > 1 << 20 || pool->strides[i] < 1 ||
        pool->strides[i] > 1 << 20) {
      return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                               "window %d with stride %d: both must lie between 1 and 2^20",
                               (int)window[i], (int)pool->strides[i]);
    }
  }
  return read_mode(view, pool);
}

// y[d] = (x[d] - window) / stride + 1 in each dimension that windows move over.
static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  pool_t pool;
  trivet_status_t status = read_pool(view, &pool);
  if (status) return status;
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t d = 0; d < pool.x->rank; ++d) {
    dims[d] = pool.x->dims[d];
    if (d < pool.first) continue;
    int64_t window = pool.window[d - pool.first], stride = pool.strides[d - pool.first];
    int64_t min, max;
    view->api->dim_range(view, dims[d], &min, &max);
    if (max < window) {
      return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                               "dimension %u of x is at most %lld, its window is %lld", d,
                               (long long)max, (long long)window);
    }
    trivet_dim_t room =
        trivet_view_dim_binary(view, TRIVET_DIM_SUB, dims[d], trivet_view_dim(view, window));
    trivet_dim_t steps =
        trivet_view_dim_binary(view, TRIVET_DIM_FLOORDIV, room, trivet_view_dim(view, stride));
    dims[d] = trivet_view_dim_binary(view, TRIVET_DIM_ADD, steps, trivet_view_dim(view, 1));
  }
  return trivet_view_set_output(view, 0, pool.x->dtype, pool.x->rank, dims);
}

// For x of rank 3, window [2], stride 2, mode mean:
//   y[i0, i1, i2] = T(sum(k2: 2){ f32(x[i0, i1, i2*2 + k2]) } / f32(2))
static trivet_status_t lower(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  pool_t pool;
  trivet_status_t status = read_pool(view, &pool);
  int64_t size = 1;
  for (uint32_t d = 0; d < pool.x->rank && !status; ++d) {
    status = TRIVET_VIEW_EMIT(view, "%si%u", d ? ", " : "y[", d);
  }
  if (!status) {
    status = TRIVET_VIEW_EMIT(view, "] = T(%s%s(", pool.squares ? "sqrt(" : "", pool.reduction);
  }
  for (uint32_t i = 0; i < pool.count && !status; ++i) {
    size *= pool.window[i];
    status = TRIVET_VIEW_EMIT(view, "%sk%u: %lld", i ? ", " : "", pool.first + i,
                              (long long)pool.window[i]);
  }
  if (!status) status = TRIVET_VIEW_EMIT(view, "){ %sf32(x[", pool.squares ? "sq(" : "");
  for (uint32_t d = 0; d < pool.x->rank && !status; ++d) {
    status = TRIVET_VIEW_EMIT(view, "%si%u", d ? ", " : "", d);
    if (d < pool.first || status) continue;
    status = TRIVET_VIEW_EMIT(view, "*%lld + k%u", (long long)pool.strides[d - pool.first], d);
  }
  if (!status) status = TRIVET_VIEW_EMIT(view, "])%s }", pool.squares ? ")" : "");
  if (!status && pool.divides) status = TRIVET_VIEW_EMIT(view, " / f32(%lld)", (long long)size);
  return status ? status : TRIVET_VIEW_EMIT(view, "%s)\n", pool.squares ? ")" : "");
}

TRIVET_OPERATOR_WITH(window_pool, "acme.WindowPool", 1, 0, "windows to single numbers",
                     "op acme.WindowPool/1 (x: T[*]) -> (y: T[*]) where T: float\n"
                     "attr window: i64[] = [2]\n"
                     "attr strides?: i64[]\n"
                     "attr mode: string = \"mean\"\n",
                     infer, lower, 0);

TRIVET_PLUGIN("window_pool", "1.0", "an operator with hooks", &window_pool)
