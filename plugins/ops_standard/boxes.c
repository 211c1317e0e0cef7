// SPDX-License-Identifier: Apache-2.0
//
// Regions and boxes, as host functions: NonMaxSuppression, RoiAlign, MaxRoiPool; their loops depend
// on data. Det stands here as the other small host algorithm.
#include <math.h>

#include "plugins/ops_standard/ops_host.h"

static trivet_status_t infer_nms(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *boxes = ops_in(v, 0), *scores = ops_in(v, 1);
  if (boxes->rank != 3 || scores->rank != 3)
    return OPS_INVALID(v, "boxes and scores have ranks %u and %u where 3 is needed", boxes->rank,
                       scores->rank);
  trivet_dim_t upper = tvi_ops_product(v, scores->dims, 0, 3);
  trivet_dim_t dims[2] = {v->api->dim_data_dependent(v, "selected", upper), ops_const(v, 3)};
  return trivet_view_set_output(v, 0, TRIVET_DTYPE_I64, 2, dims);
}
// Corners in order: y0, x0, y1, x1.
static void box_corners(const float* b, uint32_t center, float* out) {
  if (center) {
    out[0] = b[1] - b[3] / 2, out[1] = b[0] - b[2] / 2, out[2] = b[1] + b[3] / 2,
    out[3] = b[0] + b[2] / 2;
  } else {
    out[0] = fminf(b[0], b[2]), out[1] = fminf(b[1], b[3]), out[2] = fmaxf(b[0], b[2]),
    out[3] = fmaxf(b[1], b[3]);
  }
}
static float overlap(const float* a, const float* b) {
  float h = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), w = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
  if (h <= 0 || w <= 0) return 0;
  float both = h * w, all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
  return all > 0 ? both / all : 0;
}
static trivet_status_t evaluate_nms(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *boxes = ops_eval_in(e, 0), *scores = ops_eval_in(e, 1),
                        *most = ops_eval_in(e, 2);
  const trivet_tensor_t *iou = ops_eval_in(e, 3), *least = ops_eval_in(e, 4);
  uint32_t center = ops_eval_attr(e, "center_point_box", 0) != 0;
  int64_t batches = scores->dims[0], classes = scores->dims[1], count = scores->dims[2];
  if (boxes->dims[0] != batches || boxes->dims[1] != count || boxes->dims[2] != 4)
    return OPS_EVAL_INVALID(e, "boxes and scores do not belong together");
  int64_t limit = most && tvi_ops_count(most) ? tvi_ops_get_i64(most, 0) : 0;
  float iou_limit = iou && tvi_ops_count(iou) ? (float)tvi_ops_get_f64(iou, 0) : 0.0f;
  float score_limit = least && tvi_ops_count(least) ? (float)tvi_ops_get_f64(least, 0) : -INFINITY;
  if (limit > count) limit = count;
  if (limit < 0) limit = 0;
  void *picked_memory, *used_memory, *corner_memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(batches * classes * limit + 1) * 3 * sizeof(int64_t),
                          &picked_memory));
  OPS_TRY(e->api->scratch(e, (uint64_t)(count + 1), &used_memory));
  OPS_TRY(e->api->scratch(e, (uint64_t)(count + 1) * 4 * sizeof(float), &corner_memory));
  int64_t *picked = picked_memory, total = 0;
  uint8_t* used = used_memory;
  float* corners = corner_memory;
  for (int64_t b = 0; b < batches; ++b) {
    for (int64_t i = 0; i < count; ++i)
      box_corners((const float*)boxes->data + (b * count + i) * 4, center, corners + i * 4);
    for (int64_t c = 0; c < classes; ++c) {
      const float* score = (const float*)scores->data + (b * classes + c) * count;
      int64_t begin = total;
      for (int64_t i = 0; i < count; ++i) used[i] = !(score[i] > score_limit);
      while (total - begin < limit) {
        int64_t best = -1;
        for (int64_t i = 0; i < count; ++i) {
          if (!used[i] && (best < 0 || score[i] > score[best])) best = i;
        }
        if (best < 0) break;
        used[best] = 1;
        picked[total * 3] = b, picked[total * 3 + 1] = c, picked[total * 3 + 2] = best;
        ++total;
        for (int64_t i = 0; i < count; ++i)
          used[i] |= overlap(corners + best * 4, corners + i * 4) > iou_limit;
      }
    }
  }
  int64_t dims[2] = {total, 3};
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, TRIVET_DTYPE_I64, 2, dims, &y));
  if (y && total) memcpy(y->data, picked, (uint64_t)total * 3 * sizeof(int64_t));
  return 0;
}
OPS_DEFINE(NonMaxSuppression, 0, "best boxes of each class that overlap none chosen before",
           "(boxes: f32[*], scores: f32[*], max_output_boxes_per_class?: i64[*], iou_threshold?: "
           "f32[*], score_threshold?: f32[*]) -> "
           "(y: i64[*])\nattr center_point_box: i64 = 0",
           infer_nms, 0, evaluate_nms);

static trivet_status_t infer_roi_align(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *rois = ops_in(v, 1);
  if (x->rank != 4 || rois->rank != 2)
    return OPS_INVALID(v, "operand and regions have ranks %u and %u where 4 and 2 are needed",
                       x->rank, rois->rank);
  trivet_dim_t dims[4] = {rois->dims[0], x->dims[1], ops_const(v, ops_attr(v, "output_height")),
                          ops_const(v, ops_attr(v, "output_width"))};
  return trivet_view_set_output(v, 0, x->dtype, 4, dims);
}
// Bilinear sample of a plane; joined by sum, or by the largest weighted corner where |largest|.
static double sample_plane(const trivet_tensor_t* x, int64_t base, int64_t height, int64_t width,
                           double y, double xx, uint32_t largest) {
  if (y < -1.0 || y > (double)height || xx < -1.0 || xx > (double)width) return 0;
  y = fmax(y, 0);
  xx = fmax(xx, 0);
  int64_t y0 = (int64_t)y, x0 = (int64_t)xx, y1 = y0 + 1, x1 = x0 + 1;
  if (y0 >= height - 1) y1 = y0 = height - 1, y = (double)y0;
  if (x0 >= width - 1) x1 = x0 = width - 1, xx = (double)x0;
  double ly = y - (double)y0, lx = xx - (double)x0;
  double a = (1 - ly) * (1 - lx) * tvi_ops_get_f64(x, base + y0 * width + x0),
         b = (1 - ly) * lx * tvi_ops_get_f64(x, base + y0 * width + x1);
  double c = ly * (1 - lx) * tvi_ops_get_f64(x, base + y1 * width + x0),
         d = ly * lx * tvi_ops_get_f64(x, base + y1 * width + x1);
  return largest ? fmax(fmax(a, b), fmax(c, d)) : a + b + c + d;
}
static trivet_status_t evaluate_roi_align(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *rois = ops_eval_in(e, 1),
                        *batch = ops_eval_in(e, 2);
  int64_t oh = ops_eval_attr(e, "output_height", 1), ow = ops_eval_attr(e, "output_width", 1),
          ratio = ops_eval_attr(e, "sampling_ratio", 0);
  double scale = ops_eval_attr_f(e, "spatial_scale", 1);
  uint32_t half = !ops_eval_attr_is(e, "coordinate_transformation_mode", "output_half_pixel"),
           largest = ops_eval_attr_is(e, "mode", "max");
  int64_t channels = x->dims[1], height = x->dims[2], width = x->dims[3],
          dims[4] = {rois->dims[0], channels, oh, ow};
  if (rois->dims[1] != 4 || tvi_ops_count(batch) != rois->dims[0])
    return OPS_EVAL_INVALID(e, "regions need four numbers and an image each");
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, x->dtype, 4, dims, &y));
  if (!y) return 0;
  for (int64_t n = 0; n < dims[0]; ++n) {
    int64_t image = tvi_ops_get_i64(batch, n);
    if (image < 0 || image >= x->dims[0])
      return OPS_EVAL_INVALID(e, "region %lld names image %lld", (long long)n, (long long)image);
    double at[4];
    for (int i = 0; i < 4; ++i)
      at[i] = tvi_ops_get_f64(rois, n * 4 + i) * scale - (half ? 0.5 : 0.0);
    double rw = at[2] - at[0], rh = at[3] - at[1];
    // Without the shift, a region is at least one pixel.
    if (!half) rw = fmax(rw, 1), rh = fmax(rh, 1);
    double bh = rh / (double)oh, bw = rw / (double)ow;
    int64_t gh = ratio > 0 ? ratio : (int64_t)ceil(bh), gw = ratio > 0 ? ratio : (int64_t)ceil(bw);
    if (gh < 0) gh = 0;
    if (gw < 0) gw = 0;
    if (gh > 65536 || gw > 65536)
      return OPS_EVAL_INVALID(e, "region %lld is too large", (long long)n);
    for (int64_t c = 0; c < channels; ++c) {
      int64_t base = (image * channels + c) * height * width;
      for (int64_t h = 0; h < oh; ++h) {
        for (int64_t w = 0; w < ow; ++w) {
          double value = 0;
          for (int64_t i = 0; i < gh; ++i) {
            double py = at[1] + (double)h * bh + ((double)i + 0.5) * bh / (double)gh;
            for (int64_t j = 0; j < gw; ++j) {
              double px = at[0] + (double)w * bw + ((double)j + 0.5) * bw / (double)gw;
              double s = sample_plane(x, base, height, width, py, px, largest);
              value = !largest ? value + s : i || j ? fmax(value, s) : s;
            }
          }
          if (!largest) value /= (double)(gh * gw > 0 ? gh * gw : 1);
          tvi_ops_put_f64(y, ((n * channels + c) * oh + h) * ow + w, value);
        }
      }
    }
  }
  return 0;
}
OPS_DEFINE(
    RoiAlign, 0, "regions of planes pooled at bilinear samples",
    "(x: T[*], rois: T[*], batch_indices: i64[N]) -> (y: T[*]) where T: float\n"
    "attr coordinate_transformation_mode: string = \"half_pixel\"\nattr mode: string = "
    "\"avg\"\nattr output_height: i64 = 1\n"
    "attr output_width: i64 = 1\nattr sampling_ratio: i64 = 0\nattr spatial_scale: f32 = 1.0",
    infer_roi_align, 0, evaluate_roi_align);

static trivet_status_t infer_max_roi_pool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *rois = ops_in(v, 1);
  int64_t shape[2];
  if (x->rank != 4 || rois->rank != 2)
    return OPS_INVALID(v, "operand and regions have ranks %u and %u where 4 and 2 are needed",
                       x->rank, rois->rank);
  OPS_TRY(tvi_ops_list(v, "pooled_shape", 2, 1, shape));
  trivet_dim_t dims[4] = {rois->dims[0], x->dims[1], ops_const(v, shape[0]),
                          ops_const(v, shape[1])};
  return trivet_view_set_output(v, 0, x->dtype, 4, dims);
}
static int64_t clamp_position(double value, int64_t extent) {
  return value < 0 ? 0 : value > (double)extent ? extent : (int64_t)value;
}
static trivet_status_t evaluate_max_roi_pool(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *rois = ops_eval_in(e, 1);
  const int64_t shape[2] = {ops_eval_list(e, "pooled_shape", 0, 1),
                            ops_eval_list(e, "pooled_shape", 1, 1)};
  double scale = ops_eval_attr_f(e, "spatial_scale", 1);
  int64_t height = x->dims[2], width = x->dims[3],
          dims[4] = {rois->dims[0], x->dims[1], shape[0], shape[1]};
  if (rois->dims[1] != 5) return OPS_EVAL_INVALID(e, "regions need five numbers each");
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, x->dtype, 4, dims, &y));
  if (!y) return 0;
  for (int64_t n = 0; n < dims[0]; ++n) {
    int64_t image = tvi_ops_get_i64(rois, n * 5);
    if (image < 0 || image >= x->dims[0])
      return OPS_EVAL_INVALID(e, "region %lld names image %lld", (long long)n, (long long)image);
    double at[4];
    for (int i = 0; i < 4; ++i) at[i] = floor(tvi_ops_get_f64(rois, n * 5 + 1 + i) * scale + 0.5);
    double rh = fmax(at[3] - at[1] + 1, 1), rw = fmax(at[2] - at[0] + 1, 1);
    for (int64_t c = 0; c < dims[1]; ++c) {
      for (int64_t h = 0; h < shape[0]; ++h) {
        for (int64_t w = 0; w < shape[1]; ++w) {
          int64_t h0 = clamp_position(floor((double)h * rh / (double)shape[0]) + at[1], height);
          int64_t h1 =
              clamp_position(ceil((double)(h + 1) * rh / (double)shape[0]) + at[1], height);
          int64_t w0 = clamp_position(floor((double)w * rw / (double)shape[1]) + at[0], width);
          int64_t w1 = clamp_position(ceil((double)(w + 1) * rw / (double)shape[1]) + at[0], width);
          double best = h1 <= h0 || w1 <= w0 ? 0 : -INFINITY;
          for (int64_t i = h0; i < h1; ++i) {
            for (int64_t j = w0; j < w1; ++j)
              best =
                  fmax(best, tvi_ops_get_f64(x, ((image * dims[1] + c) * height + i) * width + j));
          }
          tvi_ops_put_f64(y, ((n * dims[1] + c) * shape[0] + h) * shape[1] + w, best);
        }
      }
    }
  }
  return 0;
}
OPS_DEFINE(MaxRoiPool, 0, "largest element of each cell of regions",
           "(x: T[*], rois: T[*]) -> (y: T[*]) where T: float\nattr pooled_shape: i64[]\nattr "
           "spatial_scale: f32 = 1.0",
           infer_max_roi_pool, 0, evaluate_max_roi_pool);

static trivet_status_t infer_det(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  if (x->rank < 2)
    return OPS_INVALID(v, "the operand has rank %u where at least 2 is needed", x->rank);
  return trivet_view_set_output(v, 0, x->dtype, x->rank - 2, x->dims);
}
// Elimination with the largest pivot of each column.
static trivet_status_t evaluate_det(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  int64_t n = x->dims[x->rank - 1], matrices = tvi_ops_span(x, 0, x->rank - 2);
  if (x->dims[x->rank - 2] != n) return OPS_EVAL_INVALID(e, "the matrices are not square");
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, x->dtype, x->rank - 2, x->dims, &y));
  void* memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(n * n + 1) * sizeof(double), &memory));
  double* a = memory;
  for (int64_t m = 0; y && m < matrices; ++m) {
    double det = 1;
    for (int64_t i = 0; i < n * n; ++i) a[i] = tvi_ops_get_f64(x, m * n * n + i);
    for (int64_t k = 0; k < n; ++k) {
      int64_t pivot = k;
      for (int64_t i = k + 1; i < n; ++i) {
        if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
      }
      for (int64_t j = 0; pivot != k && j < n; ++j) {
        double swap = a[k * n + j];
        a[k * n + j] = a[pivot * n + j];
        a[pivot * n + j] = swap;
      }
      if (pivot != k) det = -det;
      det *= a[k * n + k];
      if (a[k * n + k] == 0) break;
      for (int64_t i = k + 1; i < n; ++i) {
        double factor = a[i * n + k] / a[k * n + k];
        for (int64_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      }
    }
    tvi_ops_put_f64(y, m, det);
  }
  return 0;
}
OPS_DEFINE(Det, 0, "determinant of the innermost matrices", "(x: T[*]) -> (y: T[*]) where T: float",
           infer_det, 0, evaluate_det);
