// SPDX-License-Identifier: Apache-2.0
//
// From extents and strides of any order to column-major matrices with a batch stride.
// What cannot be said with one leading dimension a matrix is declined, never copied.
#include <string.h>

#include "core/base/status.h"
#include "plugins/cuda_blas/blas_problem.h"

typedef struct index_s {
  int64_t extent;
  int64_t a, b, c, residual;  // strides
} index_t;

typedef struct list_s {
  uint32_t count;
  index_t items[BLAS_MAX_INDICES];
} list_t;

static int64_t stride_of(const trivet_operand_t* operand, uint8_t dim) {
  return dim == BLAS_NONE || operand->dims[dim] == 1 ? 0 : operand->strides[dim];
}

// Larger strides of the result first (of a where only a and b walk the index).
static bool stands_before(const index_t* x, const index_t* y) {
  return x->c != y->c ? x->c > y->c : x->a > y->a;
}

static bool follows(int64_t outer, int64_t inner, int64_t extent) {
  return outer == inner * extent;
}

// Neighbours that are one index for every operand become one.
static void merge(list_t* list) {
  for (uint32_t i = 1; i < list->count; ++i) {
    for (uint32_t j = i; j > 0 && stands_before(&list->items[j], &list->items[j - 1]); --j) {
      index_t other = list->items[j];
      list->items[j] = list->items[j - 1];
      list->items[j - 1] = other;
    }
  }
  uint32_t kept = 0;
  for (uint32_t i = 1; i < list->count; ++i) {
    index_t *outer = &list->items[kept], *inner = &list->items[i];
    if (follows(outer->a, inner->a, inner->extent) && follows(outer->b, inner->b, inner->extent) &&
        follows(outer->c, inner->c, inner->extent) &&
        follows(outer->residual, inner->residual, inner->extent)) {
      int64_t extent = outer->extent * inner->extent;
      *outer = *inner;
      outer->extent = extent;
    } else {
      list->items[++kept] = *inner;
    }
  }
  if (list->count) list->count = kept + 1;
}

// |packed|: how far apart neighbours of the last of these indices lie where b is packed; 0: b is
// not, or has none of them.
static bool read_indices(const blas_problem_t* p, const trivet_operand_t* operands, uint32_t first,
                         uint32_t count, int64_t packed, list_t* out) {
  const trivet_operand_t* result = &operands[p->operand_count - 1];
  int64_t packed_strides[BLAS_MAX_INDICES] = {0};
  for (uint32_t i = count; packed && i-- > 0;) {
    packed_strides[i] = packed;
    uint8_t a_dim = p->a_dims[first + i], c_dim = p->c_dims[first + i];
    int64_t extent = c_dim != BLAS_NONE   ? result->dims[c_dim]
                     : a_dim != BLAS_NONE ? operands[0].dims[a_dim]
                                          : 1;
    if (__builtin_mul_overflow(packed, extent, &packed) || packed < 0) return false;
  }
  out->count = 0;
  for (uint32_t i = first; i < first + count; ++i) {
    index_t item = {1, 0, 0, 0, 0};
    if (p->a_dims[i] != BLAS_NONE) item.extent = operands[0].dims[p->a_dims[i]];
    if (p->b_dims[i] != BLAS_NONE && p->packed_leading == 0) {
      int64_t extent = operands[1].dims[p->b_dims[i]];
      if (p->a_dims[i] != BLAS_NONE && extent != item.extent) return false;
      item.extent = extent;
    }
    if (p->c_dims[i] != BLAS_NONE) {
      int64_t extent = result->dims[p->c_dims[i]];
      bool alone = p->a_dims[i] == BLAS_NONE && p->packed_leading != 0;
      if (!alone && extent != item.extent) return false;
      item.extent = extent;
    }
    if (item.extent == 1) continue;
    item.a = stride_of(&operands[0], p->a_dims[i]);
    item.b = p->packed_leading ? packed_strides[i - first] : stride_of(&operands[1], p->b_dims[i]);
    item.c = stride_of(result, p->c_dims[i]);
    if (p->residual_operand != BLAS_NONE) {
      const trivet_operand_t* residual = &operands[p->residual_operand];
      if (p->residual_dims[i] != BLAS_NONE && residual->dims[p->residual_dims[i]] != item.extent) {
        return false;
      }
      item.residual = stride_of(residual, p->residual_dims[i]);
    } else {
      item.residual = item.c;
    }
    out->items[out->count++] = item;
  }
  merge(out);
  return true;
}

// The innermost of an operand's own indices stays a row or column; the others are batches.
static index_t take_inner(list_t* list, list_t* batch) {
  index_t none = {1, 0, 0, 0, 0};
  if (!list->count) return none;
  for (uint32_t i = 0; i + 1 < list->count; ++i) batch->items[batch->count++] = list->items[i];
  return list->items[list->count - 1];
}

// A matrix of |rows| x |columns| whose elements lie |row| and |column| apart, as a column-major
// one.
static bool matrix(int64_t rows, int64_t columns, int64_t row, int64_t column, bool may_transpose,
                   blas_matrix_t* out) {
  memset(out, 0, sizeof(*out));
  out->rows = (uint64_t)rows;
  out->columns = (uint64_t)columns;
  bool straight = row == 1 || rows == 1;
  if (straight && !(row != 1 && column == 1 && may_transpose)) {
    out->leading = columns == 1 ? rows : column;
    return out->leading >= rows;
  }
  if (!may_transpose || (column != 1 && columns != 1)) return false;
  out->transposed = true;
  out->rows = (uint64_t)columns;
  out->columns = (uint64_t)rows;
  out->leading = rows == 1 ? columns : row;
  return out->leading >= columns;
}

bool blas_geometry(const blas_problem_t* p, const trivet_operand_t* operands, blas_geometry_t* out,
                   const char** out_reason) {
  memset(out, 0, sizeof(*out));
  uint32_t m_at = p->batch_count, n_at = m_at + p->m_count, k_at = n_at + p->n_count;
  list_t batch, rows, columns, sums;
  int64_t leading = p->packed_leading;
  bool ok = read_indices(p, operands, 0, p->batch_count, 0, &batch);
  ok = ok && read_indices(p, operands, m_at, p->m_count, 0, &rows);
  ok = ok && read_indices(p, operands, n_at, p->n_count, leading, &columns);
  ok = ok && read_indices(p, operands, k_at, p->k_count, leading ? 1 : 0, &sums);
  if (!ok) {
    *out_reason = "extents of operands differ";
    return false;
  }
  if (batch.count + rows.count + columns.count > BLAS_MAX_INDICES || sums.count > 1) {
    *out_reason = "summed dimensions do not lie together";
    return false;
  }
  index_t m = take_inner(&rows, &batch), n = take_inner(&columns, &batch);
  index_t k = sums.count ? sums.items[0] : (index_t){1, 0, 0, 0, 0};
  if (m.extent < 1 || n.extent < 1 || k.extent < 1) {
    *out_reason = "an operand is empty";
    return false;
  }
  bool has_residual = p->residual_operand != BLAS_NONE;
  out->swapped = !(n.extent == 1 || n.c == 1);
  if (out->swapped && m.extent != 1 && m.c != 1) {
    *out_reason = "neither rows nor columns of the result lie together";
    return false;
  }
  // The library's rows: our columns, unless swapped.
  if (out->swapped) {
    ok = matrix(m.extent, k.extent, m.a, k.a, true, &out->first) &&
         matrix(k.extent, n.extent, k.b, n.b, true, &out->second) &&
         matrix(m.extent, n.extent, m.c, n.c, false, &out->result) &&
         (!has_residual ||
          matrix(m.extent, n.extent, m.residual, n.residual, false, &out->residual));
  } else {
    ok = matrix(n.extent, k.extent, n.b, k.b, true, &out->first) &&
         matrix(k.extent, m.extent, k.a, m.a, true, &out->second) &&
         matrix(n.extent, m.extent, n.c, m.c, false, &out->result) &&
         (!has_residual ||
          matrix(n.extent, m.extent, n.residual, m.residual, false, &out->residual));
  }
  if (!ok) {
    *out_reason = "an operand has no dimension whose elements lie together";
    return false;
  }
  if ((p->bias_kind == BLAS_BIAS_COLUMN && out->swapped && n.extent != 1) ||
      (p->bias_kind == BLAS_BIAS_ROW && !out->swapped && m.extent != 1)) {
    *out_reason = "the bias does not follow the dimension whose elements lie together";
    return false;
  }
  out->m = (uint64_t)m.extent;
  out->n = (uint64_t)n.extent;
  out->k = (uint64_t)k.extent;
  out->batch = 1;
  out->calls = 1;
  // The longest index is the library's batch.
  uint32_t longest = 0;
  for (uint32_t i = 1; i < batch.count; ++i) {
    if (batch.items[i].extent > batch.items[longest].extent) longest = i;
  }
  if (batch.count > BLAS_MAX_LOOPS + 1) {
    *out_reason = "too many batch dimensions that do not lie together";
    return false;
  }
  for (uint32_t i = 0; i < batch.count; ++i) {
    const index_t* item = &batch.items[i];
    if (item->extent < 1) {
      *out_reason = "an operand is empty";
      return false;
    }
    if (i == longest) {
      out->batch = (uint64_t)item->extent;
      out->first.batch_stride = out->swapped ? item->a : item->b;
      out->second.batch_stride = out->swapped ? item->b : item->a;
      out->result.batch_stride = item->c;
      out->residual.batch_stride = item->residual;
      continue;
    }
    uint32_t l = out->loop_count++;
    out->loop_extents[l] = (uint64_t)item->extent;
    out->loop_a[l] = item->a;
    out->loop_b[l] = item->b;
    out->loop_c[l] = item->c;
    out->loop_residual[l] = item->residual;
    out->calls *= (uint64_t)item->extent;
  }
  return true;
}

// --- Blobs of plans ---------------------------------------------------------------------

static bool is_dtype(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16 || dtype == TRIVET_DTYPE_F32;
}

static bool dims_hold(const uint8_t* dims, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (dims[i] != BLAS_NONE && dims[i] >= TRIVET_MAX_RANK) return false;
  }
  return true;
}

trivet_status_t blas_problem_verify(const blas_problem_t* p, uint64_t size) {
  if (size != sizeof(*p) || p->magic != BLAS_MAGIC || p->version != BLAS_VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: a blob of %llu bytes that is no problem",
                         (unsigned long long)size);
  }
  uint64_t indices = (uint64_t)p->batch_count + p->m_count + p->n_count + p->k_count;
  bool small = p->batch_count <= BLAS_MAX_INDICES && p->m_count <= BLAS_MAX_INDICES &&
               p->n_count <= BLAS_MAX_INDICES && p->k_count <= BLAS_MAX_INDICES;
  bool bias = p->bias_operand != BLAS_NONE, residual = p->residual_operand != BLAS_NONE;
  uint32_t operands = 3 + (bias ? 1 : 0) + (residual ? 1 : 0);
  bool ok = small && indices <= BLAS_MAX_INDICES && is_dtype(p->dtype) &&
            is_dtype(p->result_dtype) && p->operand_count == operands &&
            p->activation <= BLAS_GELU_TANH && p->algorithm < BLAS_MAX_ALGORITHMS &&
            p->bias_kind <= BLAS_BIAS_COLUMN && p->allows_tf32 <= 1 &&
            bias == (p->bias_kind != BLAS_BIAS_NONE) && p->alpha == p->alpha &&
            (!p->packed_leading || p->batch_count == 0);
  ok = ok && (!bias || (p->bias_operand >= 2 && p->bias_operand < operands - 1)) &&
       (!residual || (p->residual_operand >= 2 && p->residual_operand < operands - 1)) &&
       (!bias || !residual || p->bias_operand != p->residual_operand);
  ok = ok && dims_hold(p->a_dims, BLAS_MAX_INDICES) && dims_hold(p->b_dims, BLAS_MAX_INDICES) &&
       dims_hold(p->c_dims, BLAS_MAX_INDICES) && dims_hold(p->residual_dims, BLAS_MAX_INDICES);
  return ok ? TRIVET_OK : TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: numbers of the problem");
}
