// SPDX-License-Identifier: Apache-2.0
//
// From a region's anchor and post-operations to a oneDNN problem: which operands and dimensions
// take which role, which functions oneDNN has, and what its implementations get wrong.
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "core/base/status.h"
#include "core/target/anchor_match.h"
#include "plugins/cpu_onednn/onednn_problem.h"

typedef struct matcher_s {
  const trivet_region_t* region;
  const tvi_anchor_t* anchor;
  onednn_match_t* match;
  uint8_t result_dims[TRIVET_MAX_RANK];  // dimension of the region's result for each of the
                                         // primitive's
  const char* reason;
} matcher_t;

static bool decline(matcher_t* m, const char* reason) {
  if (!m->reason) m->reason = reason;
  return false;
}

static const trivet_type_t* type_of(const matcher_t* m, uint32_t operand) {
  return &tvi_graph_value(m->region->graph, m->region->operands[operand].value)->type;
}

// --- Post-operations --------------------------------------------------------------------

// oneDNN's algorithm of a function of one value; 0: none. Its tanh form of gelu is ten times less
// exact than the others: tiles compute it.
static uint32_t eltwise_of(uint32_t op) {
  switch (op) {
    case TVI_POST_LINEAR:
      return dnnl_eltwise_linear;
    case TVI_POST_RELU:
      return dnnl_eltwise_relu;
    case TVI_POST_CLIP:
      return dnnl_eltwise_clip;
    case TVI_POST_SIGMOID:
      return dnnl_eltwise_logistic;
    case TVI_POST_TANH:
      return dnnl_eltwise_tanh;
    case TVI_POST_SWISH:
      return dnnl_eltwise_swish;
    case TVI_POST_GELU_ERF:
      return dnnl_eltwise_gelu_erf;
    case TVI_POST_HARD_SWISH:
      return dnnl_eltwise_hardswish;
    case TVI_POST_ELU:
      return dnnl_eltwise_elu;
    case TVI_POST_ABS:
      return dnnl_eltwise_abs;
    default:
      return 0;
  }
}

// Of an operation with another operand; 0: none.
static uint32_t binary_of(uint32_t op) {
  switch (op) {
    case TVI_POST_ADD:
      return dnnl_binary_add;
    case TVI_POST_SUB:
      return dnnl_binary_sub;
    case TVI_POST_MUL:
      return dnnl_binary_mul;
    case TVI_POST_DIV:
      return dnnl_binary_div;
    case TVI_POST_MIN:
      return dnnl_binary_min;
    case TVI_POST_MAX:
      return dnnl_binary_max;
    default:
      return 0;
  }
}

// Dimensions of the operand in the primitive's order instead of the result's.
static bool read_operand(matcher_t* m, const tvi_post_t* post, onednn_postop_t* out) {
  onednn_problem_t* p = &m->match->problem;
  const trivet_type_t* type = type_of(m, post->operand);
  if (type->dtype != TRIVET_DTYPE_F32) return decline(m, "an operand of the epilogue is not f32");
  uint32_t walked = 0, found = 0;
  for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d) walked += post->dims[d] != TVI_ANCHOR_NO_DIM;
  memset(out->dims, ONEDNN_NONE, sizeof(out->dims));
  for (uint32_t k = 0; k < p->rank; ++k) {
    uint8_t d = m->result_dims[k];
    if (d == ONEDNN_NONE || post->dims[d] == TVI_ANCHOR_NO_DIM) continue;
    out->dims[k] = post->dims[d];
    ++found;
  }
  if (found != walked) return decline(m, "an operand is read at other positions");
  out->operand = p->operand_count;
  m->match->region_operands[p->operand_count++] = post->operand;
  return true;
}

static bool read_post(matcher_t* m, const tvi_post_t* post) {
  onednn_problem_t* p = &m->match->problem;
  onednn_postop_t* out = &p->postops[p->postop_count++];
  out->alg = binary_of(post->op);
  if (out->alg) {
    out->kind = ONEDNN_POST_BINARY;
    return read_operand(m, post, out);
  }
  out->kind = ONEDNN_POST_ELTWISE;
  out->alg = eltwise_of(post->op);
  out->alpha = (float)post->alpha;
  out->beta = (float)post->beta;
  return out->alg || decline(m, "the epilogue holds a function that oneDNN has not");
}

// A per-channel (or per-column) addition right behind the sum is the bias of the primitive.
static void find_bias(onednn_problem_t* problem, uint32_t channel) {
  if (!problem->postop_count || problem->kind == ONEDNN_POOL) return;
  onednn_postop_t* first = &problem->postops[0];
  if (first->kind != ONEDNN_POST_BINARY || first->alg != dnnl_binary_add) return;
  for (uint32_t p = 0; p < problem->rank; ++p) {
    if ((first->dims[p] != ONEDNN_NONE) != (p == channel)) return;
  }
  first->kind = ONEDNN_POST_BIAS;
}

// oneDNN 2.6 keeps one set of constants per kind of eltwise function in its generated kernels: of
// two linear functions in one epilogue both get the constants of the same one.
static bool repeats_function(const onednn_problem_t* problem) {
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    const onednn_postop_t* a = &problem->postops[i];
    for (uint32_t k = 0; k < i; ++k) {
      const onednn_postop_t* b = &problem->postops[k];
      if (a->kind != ONEDNN_POST_ELTWISE || b->kind != a->kind || b->alg != a->alg) continue;
      if (a->alpha != b->alpha || a->beta != b->beta) return true;
    }
  }
  return false;
}

// An operand that differs from pixel to pixel, but not from channel to channel: the convolutions
// that go through matrix products read it at wrong places.
static bool varies_by_pixel_only(const onednn_problem_t* problem) {
  if (problem->kind != ONEDNN_CONVOLUTION && problem->kind != ONEDNN_DECONVOLUTION) return false;
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    const onednn_postop_t* postop = &problem->postops[i];
    if (postop->kind != ONEDNN_POST_BINARY) continue;
    uint32_t spatial = 0;
    for (uint32_t p = 2; p < problem->rank; ++p) spatial += postop->dims[p] != ONEDNN_NONE;
    bool full = postop->dims[1] != ONEDNN_NONE && spatial + 2 == problem->rank;
    if (spatial != 0 && !full) return true;
  }
  return false;
}

static bool read_posts(matcher_t* m) {
  const onednn_problem_t* problem = &m->match->problem;
  for (uint32_t i = 0; i < m->anchor->post_count; ++i) {
    if (!read_post(m, &m->anchor->posts[i])) return false;
  }
  if (varies_by_pixel_only(problem)) {
    return decline(m, "an operand of the epilogue has pixels, but no channels");
  }
  return !repeats_function(problem) ||
         decline(m, "two functions of one kind, which oneDNN gives the constants of one of them");
}

// --- The contraction itself -------------------------------------------------------------

static bool constant_dim(trivet_dim_t dim, int64_t* out) {
  return dim && tvi_dim_is_constant(dim, out);
}

static bool read_convolution(matcher_t* m, const tvi_kir_convolution_t* c) {
  onednn_problem_t* p = &m->match->problem;
  p->kind = c->transposed ? ONEDNN_DECONVOLUTION : ONEDNN_CONVOLUTION;
  p->rank = c->spatial_rank + 2;
  if (c->x.dtype != TRIVET_DTYPE_F32 || c->weight.dtype != TRIVET_DTYPE_F32 ||
      c->accumulate_dtype != TRIVET_DTYPE_F32) {
    return decline(m, "types other than f32");
  }
  if (!constant_dim(c->groups, &p->groups)) return decline(m, "groups are not constant");
  if (c->out_batch_dim == ONEDNN_NONE || c->out_channel_dim == ONEDNN_NONE) {
    return decline(m, "no batch or channel dimension");
  }
  p->x_dims[0] = c->x_batch_dim;
  p->x_dims[1] = c->x_channel_dim;
  p->w_dims[0] = c->weight_output_dim;
  p->w_dims[1] = c->weight_input_dim;
  p->y_dims[0] = c->out_batch_dim;
  p->y_dims[1] = c->out_channel_dim;
  for (uint32_t s = 0; s < c->spatial_rank; ++s) {
    p->strides[s] = c->strides[s];
    p->dilations[s] = c->dilations[s];
    if (!constant_dim(c->pads[s], &p->pads[s]) || !constant_dim(c->window[s], &p->window[s])) {
      return decline(m, "pads or window depend on shapes");
    }
    if (p->pads[s] < 0) return decline(m, "negative pads");
    if (c->out_spatial_dims[s] == ONEDNN_NONE) return decline(m, "a spatial dimension is missing");
    p->x_dims[2 + s] = c->x_spatial_dims[s];
    p->w_dims[2 + s] = c->weight_spatial_dims[s];
    p->y_dims[2 + s] = c->out_spatial_dims[s];
  }
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  return true;
}

// The dimension below |rank| that |used| leaves out; ONEDNN_NONE where that is not exactly one.
static uint8_t only_left(uint32_t used, uint32_t rank) {
  uint8_t left = ONEDNN_NONE;
  for (uint32_t d = 0; d < rank; ++d) {
    if (used >> d & 1) continue;
    if (left != ONEDNN_NONE) return ONEDNN_NONE;
    left = (uint8_t)d;
  }
  return left;
}

// A product whose channels are no last dimension of the result is a convolution with a window of
// one: out[n, oc, o...] = sum over ic of x[n, ic, o...] * w[oc, ic]. A batch that is the number 1
// is no dimension of the product, whose rows then are the channels.
typedef struct pointwise_s {
  const tvi_kir_contraction_operand_t *x, *weight;
  bool is_swapped;  // the image is the second factor
  uint8_t channel;
  uint8_t x_batch, y_batch;  // of a batch of 1; ONEDNN_NONE: it has an index
} pointwise_t;

static bool find_pointwise(const matcher_t* m, const tvi_kir_matmul_t* c,
                           const trivet_type_t* result, pointwise_t* out) {
  const tvi_kir_roles_t* r = &c->roles;
  if (r->batch_count != 0 || r->k_count != 1 || result->rank < 3 || result->rank > 5) return false;
  if (r->n_count == 1 && r->m_count + 1 == result->rank) {
    *out = (pointwise_t){&c->a, &c->b, false, r->n[0], ONEDNN_NONE, ONEDNN_NONE};
    return r->n[0] != 0 && r->n[0] + 1u != result->rank;
  }
  const trivet_type_t* x = type_of(m, m->anchor->weight);
  if (r->m_count != 1 || r->n_count + 2 != result->rank || x->rank != result->rank) return false;
  uint32_t of_y = 1u << r->m[0], of_x = 1u << c->b.dim_of_index[r->k[0]];
  for (uint32_t i = 0; i < r->n_count; ++i) {
    of_y |= 1u << r->n[i];
    of_x |= 1u << c->b.dim_of_index[r->n[i]];
  }
  *out = (pointwise_t){
      &c->b, &c->a, true, r->m[0], only_left(of_x, x->rank), only_left(of_y, result->rank)};
  return out->x_batch != ONEDNN_NONE && out->y_batch == 0 && r->m[0] == 1;
}

static bool read_pointwise(matcher_t* m, const tvi_kir_matmul_t* c, const trivet_type_t* result,
                           const pointwise_t* w) {
  onednn_problem_t* p = &m->match->problem;
  p->kind = ONEDNN_CONVOLUTION;
  p->rank = result->rank;
  p->groups = 1;
  if (w->is_swapped) {
    m->match->region_operands[0] = m->anchor->weight;
    m->match->region_operands[1] = m->anchor->x;
  }
  p->x_dims[1] = w->x->dim_of_index[c->roles.k[0]];
  p->w_dims[0] = w->weight->dim_of_index[w->channel];
  p->w_dims[1] = w->weight->dim_of_index[c->roles.k[0]];
  p->y_dims[1] = w->channel;
  uint32_t at = 0;
  for (uint8_t d = 0; d < result->rank; ++d) {
    if (d == w->channel) continue;
    uint32_t to = at == 0 ? 0 : at + 1;  // batch, then spatial dimensions behind the channel
    p->x_dims[to] = d == w->y_batch ? w->x_batch : w->x->dim_of_index[d];
    p->y_dims[to] = d;
    ++at;
  }
  for (uint32_t s = 0; s + 2 < p->rank; ++s) {
    p->strides[s] = p->dilations[s] = p->window[s] = 1;
    p->w_dims[2 + s] = ONEDNN_NONE;
  }
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  return true;
}

static bool read_matmul(matcher_t* m, const tvi_kir_matmul_t* c) {
  onednn_problem_t* p = &m->match->problem;
  const tvi_kir_roles_t* r = &c->roles;
  p->kind = ONEDNN_MATMUL;
  if (c->a.dtype != TRIVET_DTYPE_F32 || c->b.dtype != TRIVET_DTYPE_F32 ||
      c->accumulate_dtype != TRIVET_DTYPE_F32) {
    return decline(m, "types other than f32");
  }
  if (r->k_count == 0) return decline(m, "no summed dimension");
  const trivet_type_t* result = type_of(m, m->anchor->result);
  pointwise_t pointwise;
  if (find_pointwise(m, c, result, &pointwise)) return read_pointwise(m, c, result, &pointwise);
  p->batch_count = r->batch_count;
  p->m_count = r->m_count;
  p->n_count = r->n_count;
  p->k_count = r->k_count;
  // The primitive sees batch dimensions one by one and m, n, k as one dimension each.
  p->rank = r->batch_count + 2;
  if (p->rank > TRIVET_MAX_RANK) return decline(m, "too many dimensions");
  uint32_t at = 0;
  const uint8_t* lists[4] = {r->batch, r->m, r->n, r->k};
  uint32_t counts[4] = {r->batch_count, r->m_count, r->n_count, r->k_count};
  memset(m->result_dims, ONEDNN_NONE, sizeof(m->result_dims));
  for (uint32_t role = 0; role < 4; ++role) {
    for (uint32_t i = 0; i < counts[role]; ++i, ++at) {
      uint8_t index = lists[role][i];
      p->a_role[at] = c->a.dim_of_index[index];
      p->b_role[at] = c->b.dim_of_index[index];
      p->c_role[at] = role == 3 ? ONEDNN_NONE : index;
      if (role == 0) m->result_dims[i] = index;
      // Operands of the epilogue may follow a role of one dimension, or the last of several; then
      // the others must be broadcast or collapse, which the run half checks.
      if (role == 1 && r->m_count == 1) m->result_dims[r->batch_count] = index;
      if (role == 2 && r->n_count == 1) m->result_dims[r->batch_count + 1] = index;
    }
  }
  return true;
}

static bool read_pool(matcher_t* m, const tvi_kir_pool_t* c) {
  onednn_problem_t* p = &m->match->problem;
  const trivet_type_t* x = type_of(m, m->anchor->x);
  p->kind = ONEDNN_POOL;
  p->rank = c->spatial_rank + 2;
  p->groups = 1;
  if (x->dtype != TRIVET_DTYPE_F32) return decline(m, "types other than f32");
  if (x->rank != p->rank) return decline(m, "not batch, channel and spatial dimensions");
  p->pool_alg = c->kind == TVI_KIR_POOL_MAX ? dnnl_pooling_max : dnnl_pooling_avg_include_padding;
  uint32_t next = 0;
  for (uint32_t d = 0; d < x->rank; ++d) {
    bool spatial = false;
    for (uint32_t s = 0; s < c->spatial_rank; ++s) spatial = spatial || c->spatial_dims[s] == d;
    if (!spatial && next < 2) p->x_dims[next++] = (uint8_t)d;
  }
  for (uint32_t s = 0; s < c->spatial_rank; ++s) {
    p->x_dims[2 + s] = c->spatial_dims[s];
    p->strides[s] = c->strides[s];
    p->dilations[s] = c->dilations[s];
    if (!constant_dim(c->pads[s], &p->pads[s]) || !constant_dim(c->window[s], &p->window[s])) {
      return decline(m, "pads or window depend on shapes");
    }
    if (p->pads[s] < 0 || p->pads[s] >= p->window[s]) return decline(m, "pads beyond the window");
  }
  memcpy(p->y_dims, p->x_dims, sizeof(p->y_dims));
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  return true;
}

// oneDNN averages, the program sums: the division has to follow, by the size of the window.
static bool absorb_division(matcher_t* m) {
  onednn_problem_t* p = &m->match->problem;
  if (p->kind != ONEDNN_POOL || p->pool_alg == dnnl_pooling_max) return true;
  double size = 1;
  for (uint32_t s = 0; s + 2 < p->rank; ++s) size *= (double)p->window[s];
  if (!p->postop_count || p->postops[0].kind != ONEDNN_POST_ELTWISE ||
      p->postops[0].alg != dnnl_eltwise_linear || p->postops[0].beta != 0) {
    return decline(m, "a sum over windows that is not divided by their size");
  }
  double error = (double)p->postops[0].alpha * size - 1;
  if (!(error < 1e-6 && error > -1e-6)) return decline(m, "an average that leaves out the pads");
  if (size > 32) return decline(m, "an average of many, which oneDNN sums in one chain");
  --p->postop_count;
  memmove(p->postops, p->postops + 1, p->postop_count * sizeof(p->postops[0]));
  return true;
}

static bool read_anchor(matcher_t* m) {
  const tvi_anchor_t* a = m->anchor;
  m->match->problem.operand_count = 2;
  m->match->region_operands[0] = a->x;
  m->match->region_operands[1] = a->weight;
  if (a->kind == TVI_ANCHOR_MATMUL) return read_matmul(m, &a->u.matmul);
  if (a->kind == TVI_ANCHOR_CONVOLUTION) return read_convolution(m, &a->u.convolution);
  return read_pool(m, &a->u.pool);
}

// The anchor counts roundings to a narrow float in between as nothing; here they are something.
static bool is_f32_throughout(const tvi_kir_program_t* program) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    for (uint32_t i = 0; i < program->stages[s].instr_count; ++i) {
      uint32_t dtype = program->stages[s].instrs[i].dtype;
      if (dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16) return false;
    }
  }
  return true;
}

trivet_status_t onednn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                    onednn_match_t* out_match, const char** out_reason) {
  tvi_anchor_t anchor;
  *out_reason = NULL;
  if (region->program && !is_f32_throughout(region->program)) {
    *out_reason = "types other than f32";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_anchor_match(region, arena, &anchor, out_reason));
  if (*out_reason) return TRIVET_OK;
  matcher_t m = {.region = region, .anchor = &anchor, .match = out_match};
  memset(out_match, 0, sizeof(*out_match));
  onednn_problem_t* p = &out_match->problem;
  memset(p->x_dims, ONEDNN_NONE, sizeof(p->x_dims));
  memset(p->w_dims, ONEDNN_NONE, sizeof(p->w_dims));
  memset(p->y_dims, ONEDNN_NONE, sizeof(p->y_dims));
  memset(p->a_role, ONEDNN_NONE, sizeof(p->a_role));
  memset(p->b_role, ONEDNN_NONE, sizeof(p->b_role));
  memset(p->c_role, ONEDNN_NONE, sizeof(p->c_role));
  p->magic = ONEDNN_MAGIC;
  p->version = ONEDNN_VERSION;
  if (!read_anchor(&m) || !read_posts(&m) || !absorb_division(&m)) {
    *out_reason = m.reason;
    return TRIVET_OK;
  }
  find_bias(p, p->kind == ONEDNN_MATMUL ? p->rank - 1 : 1);
  out_match->region_operands[p->operand_count++] = anchor.result;
  return TRIVET_OK;
}
