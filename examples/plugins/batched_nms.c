// SPDX-License-Identifier: Apache-2.0
//
// Non-maximum suppression: how many boxes remain only the data knows, at most |most| of each
// picture. Boxes are corners (y0, x0, y1, x1); each row of the result is picture and box, best
// first.
#include "trivet/plugin.h"

static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  const trivet_type_t *boxes = trivet_view_input_type(view, 0),
                      *scores = trivet_view_input_type(view, 1);
  int64_t most = trivet_view_attr_i64(view, "most", 10);
  if (boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[1])
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT, "each box needs one score");
  if (most < 1) return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT, "most is below 1");
  trivet_dim_t each =
      trivet_view_dim_binary(view, TRIVET_DIM_MIN, scores->dims[1], trivet_view_dim(view, most));
  trivet_dim_t upper = trivet_view_dim_binary(view, TRIVET_DIM_MUL, scores->dims[0], each);
  const trivet_dim_t dims[2] = {view->api->dim_data_dependent(view, "chosen", upper),
                                trivet_view_dim(view, 2)};
  return trivet_view_set_output(view, 0, TRIVET_DTYPE_I64, 2, dims);
}

static float smaller(float a, float b) { return a < b ? a : b; }
static float larger(float a, float b) { return a > b ? a : b; }

// Common area over the area of both together.
static float overlap(const float* a, const float* b) {
  const float high = smaller(a[2], b[2]) - larger(a[0], b[0]);
  const float wide = smaller(a[3], b[3]) - larger(a[1], b[1]);
  if (!(high > 0 && wide > 0)) return 0;
  const float both = high * wide;
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

// The best box of one picture that is good enough and overlaps none of those chosen; -1: none.
static int64_t best(const float* boxes, const float* scores, int64_t count, const int64_t* chosen,
                    int64_t chosen_count, float least, float limit) {
  int64_t found = -1;
  for (int64_t i = 0; i < count; ++i) {
    int is_free = scores[i] > least && (found < 0 || scores[i] > scores[found]);
    for (int64_t c = 0; is_free && c < chosen_count; ++c) {
      const int64_t other = chosen[2 * c + 1];
      is_free = i != other && overlap(boxes + 4 * i, boxes + 4 * other) <= limit;
    }
    if (is_free) found = i;
  }
  return found;
}

static double number(const trivet_evaluation_t* evaluation, const char* name) {
  return ((const double*)evaluation->api->attribute(evaluation, name)->data)[0];
}

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* evaluation) {
  (void)op;
  const trivet_tensor_t* boxes = evaluation->api->input(evaluation, 0);
  const trivet_tensor_t* scores = evaluation->api->input(evaluation, 1);
  const int64_t pictures = scores->dims[0], count = scores->dims[1];
  if (boxes->dims[0] != pictures || boxes->dims[1] != count || boxes->dims[2] != 4)
    return evaluation->api->error(evaluation, TRIVET_STATUS_INVALID_ARGUMENT,
                                  "each box needs one score");
  int64_t most = ((const int64_t*)evaluation->api->attribute(evaluation, "most")->data)[0];
  if (most > count) most = count;
  void* memory = 0;
  // One row more, so that it is never of no size.
  trivet_status_t status = evaluation->api->scratch(
      evaluation, (uint64_t)(pictures * most + 1) * 2 * sizeof(int64_t), &memory);
  if (status) return status;
  int64_t *rows = (int64_t*)memory, total = 0;
  for (int64_t p = 0; p < pictures; ++p) {
    int64_t* mine = rows + 2 * total;
    for (int64_t n = 0; n < most; ++n) {
      const int64_t found = best(
          (const float*)boxes->data + p * count * 4, (const float*)scores->data + p * count, count,
          mine, n, (float)number(evaluation, "least"), (float)number(evaluation, "limit"));
      if (found < 0) break;
      mine[2 * n] = p, mine[2 * n + 1] = found;
      ++total;
    }
  }
  const int64_t dims[2] = {total, 2};
  trivet_tensor_t* y = 0;
  status = evaluation->api->output(evaluation, 0, TRIVET_DTYPE_I64, 2, dims, &y);
  if (status || !y) return status;
  for (int64_t i = 0; i < 2 * total; ++i) ((int64_t*)y->data)[i] = rows[i];
  return 0;
}

TRIVET_OPERATOR_WITH(nms, "acme.BatchedNMS", 1, 0, "boxes that overlap no better one",
                     "op acme.BatchedNMS/1 (boxes: f32[B, N, 4], scores: f32[B, N]) -> "
                     "(chosen: i64[*])\n"
                     "attr most: i64 = 10\nattr least: f32 = 0.0\nattr limit: f32 = 0.5\n",
                     infer, 0, evaluate);

TRIVET_PLUGIN_HALVES("batched_nms", "1.0", "one operator", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &nms)
