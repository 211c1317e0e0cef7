// SPDX-License-Identifier: Apache-2.0
//
// From a region's anchor and post-operations to a problem of cuDNN.
// It reads the region's program, not operator names, and says why it leaves what it leaves.
#include "plugins/cuda_dnn/dnn_match.h"

#include <string.h>

#include "core/base/status.h"
#include "core/target/anchor_match.h"

typedef struct reader_s {
  const trivet_region_t* region;
  const tvi_anchor_t* anchor;
  dnn_match_t* match;
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
  dnn_problem_t* p = &r->match->problem;
  r->match->region_operands[p->operand_count] = operand;
  return p->operand_count++;
}

static bool constant_dim(trivet_dim_t dim, int64_t* out) {
  return dim && tvi_dim_is_constant(dim, out);
}

static bool read_types(reader_t* r, uint32_t x, uint32_t weight, uint32_t accumulate) {
  dnn_problem_t* p = &r->match->problem;
  p->dtype = x;
  p->allows_tf32 = r->region->allows_tf32 && x == TRIVET_DTYPE_F32;
  p->result_dtype = value_of(r, r->anchor->result)->type.dtype;
  bool known = x == TRIVET_DTYPE_F16 || x == TRIVET_DTYPE_BF16 || x == TRIVET_DTYPE_F32;
  if (!known || weight != x || p->result_dtype != x) {
    return decline(r, "types other than f16, bf16 and f32, or different ones");
  }
  return accumulate == x || accumulate == TRIVET_DTYPE_F32 || decline(r, "a sum in another type");
}

static bool read_convolution(reader_t* r) {
  dnn_problem_t* p = &r->match->problem;
  const tvi_kir_convolution_t* c = &r->anchor->u.convolution;
  if (c->transposed) return decline(r, "a transposed convolution");
  if (!read_types(r, c->x.dtype, c->weight.dtype, c->accumulate_dtype)) return false;
  if (!constant_dim(c->groups, &r->match->groups)) return decline(r, "groups are not constant");
  p->rank = c->spatial_rank + 2;
  p->x_dims[0] = c->x_batch_dim;
  p->x_dims[1] = c->x_channel_dim;
  p->w_dims[0] = c->weight_output_dim;
  p->w_dims[1] = c->weight_input_dim;
  p->y_dims[0] = c->out_batch_dim;
  p->y_dims[1] = c->out_channel_dim;
  for (uint32_t s = 0; s < c->spatial_rank; ++s) {
    p->strides[s] = c->strides[s];
    p->dilations[s] = c->dilations[s];
    if (!constant_dim(c->pads[s], &p->pads[s])) return decline(r, "pads depend on shapes");
    if (p->pads[s] < 0) return decline(r, "negative pads");
    p->x_dims[2 + s] = c->x_spatial_dims[s];
    p->w_dims[2 + s] = c->weight_spatial_dims[s];
    p->y_dims[2 + s] = c->out_spatial_dims[s];
  }
  return true;
}

// A product whose columns are dimension 1 of the result is a convolution with a window of one:
// out[n, oc, o...] = sum over ic of x[n, ic, o...] * w[oc, ic].
static bool read_pointwise(reader_t* r) {
  dnn_problem_t* p = &r->match->problem;
  const tvi_kir_matmul_t* c = &r->anchor->u.matmul;
  const tvi_kir_roles_t* roles = &c->roles;
  uint32_t rank = value_of(r, r->anchor->result)->type.rank;
  if (roles->batch_count != 0 || roles->n_count != 1 || roles->k_count != 1 || roles->n[0] != 1 ||
      rank < 4 || rank > DNN_MAX_RANK || roles->m_count + 1 != rank) {
    return decline(r, "a matrix product that is no convolution");
  }
  if (!read_types(r, c->a.dtype, c->b.dtype, c->accumulate_dtype)) return false;
  p->rank = rank;
  r->match->groups = 1;
  p->x_dims[1] = c->a.dim_of_index[roles->k[0]];
  p->w_dims[0] = c->b.dim_of_index[roles->n[0]];
  p->w_dims[1] = c->b.dim_of_index[roles->k[0]];
  for (uint32_t d = 0; d < rank; ++d) {
    p->y_dims[d] = (uint8_t)d;
    if (d != 1) p->x_dims[d] = c->a.dim_of_index[d];
  }
  for (uint32_t s = 0; s + 2 < rank; ++s) p->strides[s] = p->dilations[s] = 1;
  return true;
}

static bool read_posts(reader_t* r) {
  dnn_problem_t* p = &r->match->problem;
  for (uint32_t i = 0; i < r->anchor->post_count; ++i) {
    const tvi_post_t* from = &r->anchor->posts[i];
    dnn_post_t* to = &p->posts[p->post_count++];
    to->op = from->op;
    to->alpha = from->alpha;
    to->beta = from->beta;
    memset(to->dims, DNN_NONE, sizeof(to->dims));
    if (from->op < TVI_POST_ADD) continue;
    for (uint32_t d = 0; d < p->rank; ++d) {
      if (p->y_dims[d] != DNN_NONE) to->dims[d] = from->dims[p->y_dims[d]];
    }
    to->operand = add_operand(r, from->operand);
  }
  return true;
}

trivet_status_t dnn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                 dnn_match_t* out_match, const char** out_reason) {
  tvi_anchor_t anchor;
  dnn_match_t match;
  memset(&match, 0, sizeof(match));
  dnn_problem_t* p = &match.problem;
  p->magic = DNN_MAGIC;
  p->version = DNN_VERSION;
  memset(p->x_dims, DNN_NONE, sizeof(p->x_dims));
  memset(p->w_dims, DNN_NONE, sizeof(p->w_dims));
  memset(p->y_dims, DNN_NONE, sizeof(p->y_dims));
  TRIVET_RETURN_IF_ERROR(tvi_anchor_match(region, arena, &anchor, out_reason));
  if (*out_reason) return TRIVET_OK;
  reader_t r = {region, &anchor, &match, NULL};
  add_operand(&r, anchor.x);
  add_operand(&r, anchor.weight);
  bool ok = anchor.kind == TVI_ANCHOR_CONVOLUTION ? read_convolution(&r)
            : anchor.kind == TVI_ANCHOR_MATMUL    ? read_pointwise(&r)
                                                  : decline(&r, "no convolution");
  // Graphs of one spatial dimension are not offered.
  ok = ok && (p->rank >= 4 || decline(&r, "one spatial dimension"));
  if (!ok || !read_posts(&r)) {
    *out_reason = r.reason;
    return TRIVET_OK;
  }
  add_operand(&r, anchor.result);
  *out_match = match;
  return TRIVET_OK;
}
