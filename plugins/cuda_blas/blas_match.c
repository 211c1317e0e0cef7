// SPDX-License-Identifier: Apache-2.0
//
// From a region's anchor and post-operations to a problem of cuBLASLt.
// It reads the region's program, not operator names, and says why it leaves what it leaves.
#include "plugins/cuda_blas/blas_match.h"

#include <string.h>

#include "core/base/status.h"
#include "core/target/anchor_match.h"

typedef struct reader_s {
  const trivet_region_t* region;
  const tvi_anchor_t* anchor;
  blas_match_t* match;
  const char* reason;
} reader_t;

static bool decline(reader_t* r, const char* reason) {
  if (!r->reason) r->reason = reason;
  return false;
}

static const tvi_value_t* value_of(const reader_t* r, uint32_t operand) {
  return tvi_graph_value(r->region->graph, r->region->operands[operand].value);
}

static uint32_t add_operand(reader_t* r, uint32_t operand) {
  blas_problem_t* p = &r->match->problem;
  r->match->region_operands[p->operand_count] = operand;
  return p->operand_count++;
}

static bool read_product(reader_t* r) {
  blas_problem_t* p = &r->match->problem;
  const tvi_kir_matmul_t* c = &r->anchor->u.matmul;
  const tvi_kir_roles_t* roles = &c->roles;
  p->dtype = c->a.dtype;
  p->result_dtype = value_of(r, r->anchor->result)->type.dtype;
  p->allows_tf32 = r->region->allows_tf32 && p->dtype == TRIVET_DTYPE_F32;
  bool narrow = p->dtype == TRIVET_DTYPE_F16 || p->dtype == TRIVET_DTYPE_BF16;
  if (c->b.dtype != p->dtype || (!narrow && p->dtype != TRIVET_DTYPE_F32)) {
    return decline(r, "types other than f16, bf16 and f32, or two different ones");
  }
  if (p->result_dtype != p->dtype && p->result_dtype != TRIVET_DTYPE_F32) {
    return decline(r, "the result has another type");
  }
  if (c->accumulate_dtype != p->dtype && c->accumulate_dtype != TRIVET_DTYPE_F32) {
    return decline(r, "a sum in another type");
  }
  const uint8_t* lists[4] = {roles->batch, roles->m, roles->n, roles->k};
  uint32_t counts[4] = {roles->batch_count, roles->m_count, roles->n_count, roles->k_count};
  p->batch_count = counts[0];
  p->m_count = counts[1];
  p->n_count = counts[2];
  p->k_count = counts[3];
  uint32_t at = 0;
  for (uint32_t role = 0; role < 4; ++role) {
    for (uint32_t i = 0; i < counts[role]; ++i, ++at) {
      uint8_t index = lists[role][i];
      p->a_dims[at] = c->a.dim_of_index[index];
      p->b_dims[at] = c->b.dim_of_index[index];
      p->c_dims[at] = role == 3 ? BLAS_NONE : index;
    }
  }
  add_operand(r, r->anchor->x);
  add_operand(r, r->anchor->weight);
  return true;
}

// An addition of one number for each row or column, or of a whole matrix.
static bool read_addition(reader_t* r, const tvi_post_t* post) {
  blas_problem_t* p = &r->match->problem;
  const tvi_kir_roles_t* roles = &r->anchor->u.matmul.roles;
  const tvi_value_t* value = value_of(r, post->operand);
  if (value->type.dtype != p->result_dtype) {
    return decline(r, "an operand of the epilogue has another type than the result");
  }
  uint32_t rank = value_of(r, r->anchor->result)->type.rank, followed = 0, last = 0, wide = 0;
  for (uint32_t d = 0; d < rank; ++d) {
    const tvi_value_t* result = value_of(r, r->anchor->result);
    bool one = tvi_dim_equals_constant(result->type.dims[d], 1);
    if (post->dims[d] != TVI_ANCHOR_NO_DIM) {
      ++followed;
      last = d;
    }
    wide += !one && post->dims[d] == TVI_ANCHOR_NO_DIM;
  }
  bool is_row = followed == 1 && roles->m_count == 1 && roles->m[0] == last;
  bool is_column = followed == 1 && roles->n_count == 1 && roles->n[0] == last;
  if ((is_row || is_column) && p->bias_operand == BLAS_NONE && wide) {
    p->bias_kind = is_row ? BLAS_BIAS_ROW : BLAS_BIAS_COLUMN;
    p->bias_operand = add_operand(r, post->operand);
    return true;
  }
  if (wide || p->residual_operand != BLAS_NONE) {
    return decline(r, "an addition that is neither a bias nor a matrix like the result");
  }
  uint32_t count = p->batch_count + p->m_count + p->n_count;
  for (uint32_t i = 0; i < count; ++i) p->residual_dims[i] = post->dims[p->c_dims[i]];
  p->residual_operand = add_operand(r, post->operand);
  return true;
}

static bool read_posts(reader_t* r) {
  blas_problem_t* p = &r->match->problem;
  p->alpha = 1;
  for (uint32_t i = 0; i < r->anchor->post_count; ++i) {
    const tvi_post_t* post = &r->anchor->posts[i];
    if (p->activation) return decline(r, "something follows the activation");
    bool is_activation = false;
    switch (post->op) {
      case TVI_POST_LINEAR:
        if (i != 0 || post->beta != 0) return decline(r, "a linear function that is no scale");
        p->alpha = (float)post->alpha;
        break;
      case TVI_POST_ADD:
        if (!read_addition(r, post)) return false;
        break;
      case TVI_POST_RELU:
        is_activation = post->alpha == 0;
        p->activation = BLAS_RELU;
        if (!is_activation) return decline(r, "a relu with a slope");
        break;
      case TVI_POST_GELU_TANH:
        p->activation = BLAS_GELU_TANH;
        break;
      default:
        return decline(r, "an epilogue that cuBLASLt has not");
    }
  }
  return true;
}

trivet_status_t blas_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                  blas_match_t* out_match, const char** out_reason) {
  tvi_anchor_t anchor;
  blas_match_t match;
  memset(&match, 0, sizeof(match));
  blas_problem_t* p = &match.problem;
  p->magic = BLAS_MAGIC;
  p->version = BLAS_VERSION;
  p->bias_operand = p->residual_operand = BLAS_NONE;
  memset(p->a_dims, BLAS_NONE, sizeof(p->a_dims));
  memset(p->b_dims, BLAS_NONE, sizeof(p->b_dims));
  memset(p->c_dims, BLAS_NONE, sizeof(p->c_dims));
  memset(p->residual_dims, BLAS_NONE, sizeof(p->residual_dims));
  TRIVET_RETURN_IF_ERROR(tvi_anchor_match(region, arena, &anchor, out_reason));
  if (*out_reason) return TRIVET_OK;
  if (anchor.kind != TVI_ANCHOR_MATMUL) {
    *out_reason = "no matrix product";
    return TRIVET_OK;
  }
  reader_t r = {region, &anchor, &match, NULL};
  if (!read_product(&r) || !read_posts(&r)) {
    *out_reason = r.reason;
    return TRIVET_OK;
  }
  add_operand(&r, anchor.result);
  *out_match = match;
  return TRIVET_OK;
}
