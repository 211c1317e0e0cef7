// SPDX-License-Identifier: Apache-2.0
//
// TfIdfVectorizer on integers, as a host function: counts of n-grams of a sequence, weighted.
// Never fused; it runs on the host on any target, with memory that its caller brings.
#include "plugins/ops_standard/ops_host.h"

static trivet_status_t infer_tf_idf(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint64_t count;
  const int64_t* indexes = trivet_view_attr_i64s(v, "ngram_indexes", &count);
  int64_t size = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (indexes[i] < 0 || indexes[i] > (int64_t)1 << 40)
      return OPS_INVALID(v, "attribute ngram_indexes holds %lld", (long long)indexes[i]);
    if (indexes[i] >= size) size = indexes[i] + 1;
  }
  if (x->rank < 1 || x->rank > 2)
    return OPS_INVALID(v, "the operand has rank %u where 1 or 2 is needed", x->rank);
  trivet_dim_t dims[2] = {x->dims[0], x->dims[0]};
  dims[x->rank - 1] = ops_const(v, size);
  return trivet_view_set_output(v, 0, TRIVET_DTYPE_F32, x->rank, dims);
}

// 1 if the n-gram at |begin| of |row| with distance |step| between its parts is |gram|.
static uint32_t matches(const trivet_tensor_t* x, int64_t row, int64_t begin, int64_t step,
                        const int64_t* gram, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (tvi_ops_get_i64(x, row + begin + i * step) != gram[i]) return 0;
  }
  return 1;
}

static trivet_status_t evaluate_tf_idf(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  const trivet_attribute_t *counts = e->api->attribute(e, "ngram_counts"),
                           *indexes = e->api->attribute(e, "ngram_indexes");
  const trivet_attribute_t *pool = e->api->attribute(e, "pool_int64s"),
                           *weights = e->api->attribute(e, "weights");
  int64_t shortest = ops_eval_attr(e, "min_gram_length", 1),
          longest = ops_eval_attr(e, "max_gram_length", 1);
  int64_t skips = ops_eval_attr(e, "max_skip_count", 0), size = 0;
  uint32_t idf = ops_eval_attr_is(e, "mode", "IDF"), tf_idf = ops_eval_attr_is(e, "mode", "TFIDF");
  if (!pool) return OPS_EVAL_INVALID(e, "attribute pool_int64s is missing");
  if (!idf && !tf_idf && !ops_eval_attr_is(e, "mode", "TF"))
    return OPS_EVAL_INVALID(e, "attribute mode must be TF, IDF or TFIDF");
  if (weights && weights->count != indexes->count)
    return OPS_EVAL_INVALID(e, "weights and ngram_indexes differ in length");
  for (uint64_t i = 0; i < indexes->count; ++i) {
    int64_t index = ((const int64_t*)indexes->data)[i];
    if (index >= size) size = index + 1;
  }
  int64_t rows = x->rank == 2 ? x->dims[0] : 1, length = x->dims[x->rank - 1],
          dims[2] = {x->dims[0], size};
  dims[x->rank - 1] = size;
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, TRIVET_DTYPE_F32, x->rank, dims, &y));
  if (!y) return 0;
  float* out = y->data;
  if (y->size) memset(out, 0, y->size);
  uint64_t gram = 0;
  for (uint64_t k = 0; k < counts->count; ++k) {
    int64_t begin = ((const int64_t*)counts->data)[k], n = (int64_t)k + 1;
    int64_t end =
        k + 1 < counts->count ? ((const int64_t*)counts->data)[k + 1] : (int64_t)pool->count;
    if (begin < 0 || end > (int64_t)pool->count)
      return OPS_EVAL_INVALID(e, "attribute ngram_counts points outside of the pool");
    for (int64_t p = begin; p + n <= end; p += n, ++gram) {
      if (gram >= indexes->count)
        return OPS_EVAL_INVALID(e, "the pool holds more n-grams than attribute ngram_indexes");
      if (n < shortest || n > longest) continue;
      int64_t at = ((const int64_t*)indexes->data)[gram];
      for (int64_t r = 0; r < rows; ++r) {
        // A single element has no distances to vary.
        for (int64_t step = 1; step <= (n == 1 ? 1 : skips + 1); ++step) {
          for (int64_t s = 0; s + (n - 1) * step < length; ++s)
            out[r * size + at] +=
                (float)matches(x, r * length, s, step, (const int64_t*)pool->data + p, n);
        }
        float weight = weights ? (float)((const double*)weights->data)[gram] : 1.0f;
        if (idf) out[r * size + at] = out[r * size + at] > 0 ? weight : 0;
        if (tf_idf) out[r * size + at] *= weight;
      }
    }
  }
  return 0;
}
OPS_DEFINE(TfIdfVectorizer, 0, "weighted counts of n-grams of integers",
           "(x: T[*]) -> (y: f32[*]) where T: {i32, i64}\nattr max_gram_length: i64\nattr "
           "max_skip_count: i64\nattr min_gram_length: i64\n"
           "attr mode: string\nattr ngram_counts: i64[]\nattr ngram_indexes: i64[]\nattr "
           "pool_int64s?: i64[]\nattr pool_strings?: string[]\n"
           "attr weights?: f32[]",
           infer_tf_idf, 0, evaluate_tf_idf);
