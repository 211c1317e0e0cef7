// SPDX-License-Identifier: Apache-2.0
//
// Descriptors: views of operands as oneDNN names dimensions, post-operations, packed weights. Every
// number that comes from a plan has been verified, and is bounded by the operands' extents here.
#include "plugins/cpu_onednn/onednn_primitive.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"

trivet_status_t onednn_check(dnnl_status_t status, const char* call) {
  switch (status) {
    case dnnl_success:
      return TRIVET_OK;
    case dnnl_out_of_memory:
      return TRIVET_STATUS(OUT_OF_MEMORY, "oneDNN: %s: out of memory", call);
    case dnnl_invalid_arguments:
      return TRIVET_STATUS(INVALID_ARGUMENT, "oneDNN: %s: invalid arguments", call);
    case dnnl_unimplemented:
      return TRIVET_STATUS(UNIMPLEMENTED, "oneDNN: %s: unimplemented", call);
    default:
      return TRIVET_STATUS(INTERNAL, "oneDNN: %s: status %d", call, (int)status);
  }
}

// Whether the channels of an image lie next to each other; of one channel, what |otherwise| says.
static bool is_channels_last(const trivet_operand_t* operand, const uint8_t* map, bool otherwise) {
  if (map[1] == ONEDNN_NONE || map[1] >= operand->rank) return otherwise;
  return operand->dims[map[1]] == 1 ? otherwise : operand->strides[map[1]] == 1;
}

// A descriptor from dimensions of an operand; ONEDNN_NONE stands for an extent of 1.
static trivet_status_t describe(const trivet_operand_t* operand, const uint8_t* map, uint32_t rank,
                                bool channels_last, dnnl_memory_desc_t* out) {
  dnnl_dims_t dims, strides;
  for (uint32_t p = 0; p < rank; ++p) {
    bool absent = map[p] == ONEDNN_NONE;
    if (!absent && map[p] >= operand->rank) {
      return TRIVET_STATUS(DATA_LOSS, "dimension %u of an operand of rank %u", map[p],
                           operand->rank);
    }
    dims[p] = absent ? 1 : operand->dims[map[p]];
    strides[p] = absent ? 0 : operand->strides[map[p]];
    if (dims[p] == 0) return TRIVET_STATUS(UNIMPLEMENTED, "an empty operand");
    if (dims[p] > 1 && strides[p] <= 0) {
      return TRIVET_STATUS(UNIMPLEMENTED, "a broadcast or reversed operand");
    }
  }
  // The stride of an extent of 1 is never used, but oneDNN recognises a format by all of them: each
  // gets the one that it has where everything is dense.
  int64_t run = 1;
  for (uint32_t k = 0; k < rank; ++k) {
    uint32_t p = rank - 1 - k;
    if (channels_last && p != 0) p = k == 0 ? 1 : rank - k;
    if (dims[p] == 1) strides[p] = run;
    if (!tvi_checked_mul_i64(strides[p], dims[p], &run)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "an operand's size overflows 64 bits");
    }
  }
  return onednn_check(dnnl_memory_desc_init_by_strides(out, (int)rank, dims, dnnl_f32, strides),
                      "memory descriptor");
}

bool onednn_collapse(const trivet_operand_t* operand, const uint8_t* dims, uint32_t count,
                     int64_t* out_extent, int64_t* out_stride) {
  *out_extent = 1;
  *out_stride = 1;
  bool any = false;
  for (uint32_t i = count; i-- > 0;) {
    if (dims[i] == ONEDNN_NONE || dims[i] >= operand->rank) return false;
    int64_t extent = operand->dims[dims[i]], stride = operand->strides[dims[i]];
    if (extent == 1) continue;
    if (!any) {
      *out_stride = stride;
      any = true;
    } else if (stride != *out_stride * *out_extent) {
      return false;
    }
    if (!tvi_checked_mul_i64(*out_extent, extent, out_extent)) return false;
  }
  return true;
}

// Matrix operands: batch dimensions as they are, then two collapsed ones.
static trivet_status_t describe_matrix(const onednn_problem_t* p, const trivet_operand_t* operand,
                                       const uint8_t* roles, uint32_t first, uint32_t first_count,
                                       uint32_t second, uint32_t second_count,
                                       dnnl_memory_desc_t* out) {
  dnnl_dims_t dims, strides;
  for (uint32_t b = 0; b < p->batch_count; ++b) {
    uint8_t d = roles[b];
    if (d != ONEDNN_NONE && d >= operand->rank) {
      return TRIVET_STATUS(DATA_LOSS, "dimension %u of an operand of rank %u", d, operand->rank);
    }
    dims[b] = d == ONEDNN_NONE ? 1 : operand->dims[d];
    strides[b] = d == ONEDNN_NONE ? 1 : operand->strides[d];
  }
  int64_t *d = dims + p->batch_count, *s = strides + p->batch_count;
  if (!onednn_collapse(operand, roles + first, first_count, &d[0], &s[0]) ||
      !onednn_collapse(operand, roles + second, second_count, &d[1], &s[1])) {
    return TRIVET_STATUS(UNIMPLEMENTED, "dimensions of a matrix that have no common stride");
  }
  for (uint32_t i = 0; i < p->rank; ++i) {
    if (dims[i] == 0) return TRIVET_STATUS(UNIMPLEMENTED, "an empty operand");
  }
  // Strides of extents of 1 are free: choose those of a dense matrix.
  if (d[1] == 1) s[1] = d[0] > 1 && s[0] == 1 ? d[0] : 1;
  if (d[0] == 1) s[0] = d[1] * s[1];
  for (uint32_t b = p->batch_count; b-- > 0;) {
    if (dims[b] == 1) {
      strides[b] = b + 1 == p->batch_count ? (d[0] * s[0] > d[1] * s[1] ? d[0] * s[0] : d[1] * s[1])
                                           : dims[b + 1] * strides[b + 1];
    }
    if (dims[b] > 1 && strides[b] <= 0) {
      return TRIVET_STATUS(UNIMPLEMENTED, "a broadcast or reversed operand");
    }
  }
  if ((d[0] > 1 && s[0] <= 0) || (d[1] > 1 && s[1] <= 0)) {
    return TRIVET_STATUS(UNIMPLEMENTED, "a broadcast or reversed operand");
  }
  if (s[0] != 1 && s[1] != 1) {
    return TRIVET_STATUS(UNIMPLEMENTED, "a matrix without contiguous rows or columns");
  }
  return onednn_check(dnnl_memory_desc_init_by_strides(out, (int)p->rank, dims, dnnl_f32, strides),
                      "memory descriptor");
}

// Weights of a grouped convolution have the groups as a dimension of their own.
static trivet_status_t describe_filter(const onednn_problem_t* p, const trivet_operand_t* operand,
                                       dnnl_memory_desc_t* out) {
  if (p->groups == 1) return describe(operand, p->w_dims, p->rank, false, out);
  dnnl_dims_t dims, strides;
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (p->w_dims[d] >= operand->rank) {
      return TRIVET_STATUS(DATA_LOSS, "dimension %u of weights of rank %u", p->w_dims[d],
                           operand->rank);
    }
    dims[d + 1] = operand->dims[p->w_dims[d]];
    strides[d + 1] = operand->strides[p->w_dims[d]];
  }
  // The groups are the outer part of the output channels; of a deconvolution, of the input's.
  uint32_t split = p->kind == ONEDNN_CONVOLUTION ? 1 : 2;
  if (dims[split] % p->groups != 0) {
    return TRIVET_STATUS(UNIMPLEMENTED, "channels that the groups do not divide");
  }
  dims[0] = p->groups;
  dims[split] /= p->groups;
  strides[0] = strides[split] * dims[split];
  return onednn_check(
      dnnl_memory_desc_init_by_strides(out, (int)p->rank + 1, dims, dnnl_f32, strides),
      "weights descriptor");
}

// The format of a convolution's or pool's images, which their strides say unless they have one
// channel only.
static bool images_are_channels_last(const onednn_problem_t* p, const trivet_operand_t* operands) {
  const trivet_operand_t* y = &operands[p->operand_count - 1];
  return is_channels_last(y, p->y_dims, is_channels_last(&operands[0], p->x_dims, false));
}

static trivet_status_t describe_postops(const onednn_problem_t* p, const trivet_operand_t* operands,
                                        onednn_descriptors_t* out) {
  bool images_last = p->kind != ONEDNN_MATMUL && images_are_channels_last(p, operands);
  for (uint32_t i = 0; i < p->postop_count; ++i) {
    const onednn_postop_t* postop = &p->postops[i];
    if (postop->kind == ONEDNN_POST_ELTWISE) continue;
    const trivet_operand_t* operand = &operands[postop->operand];
    dnnl_memory_desc_t* md = postop->kind == ONEDNN_POST_BIAS ? &out->bias : &out->postops[i];
    if (p->kind == ONEDNN_MATMUL && postop->kind == ONEDNN_POST_BINARY) {
      // A whole matrix beside the result has its dimensions, in the same roles.
      bool whole = operand->rank == operands[p->operand_count - 1].rank;
      for (uint32_t d = 0; whole && d < operand->rank; ++d) {
        whole = operand->dims[d] == operands[p->operand_count - 1].dims[d];
      }
      if (whole) {
        uint32_t m = p->batch_count, n = m + p->m_count;
        TRIVET_RETURN_IF_ERROR(
            describe_matrix(p, operand, p->c_role, m, p->m_count, n, p->n_count, md));
        continue;
      }
      if (p->m_count != 1 && postop->dims[p->batch_count] != ONEDNN_NONE) {
        return TRIVET_STATUS(UNIMPLEMENTED, "an operand that follows some rows only");
      }
    }
    if (postop->kind == ONEDNN_POST_BIAS && p->kind != ONEDNN_MATMUL) {
      dnnl_dims_t dims = {operand->dims[postop->dims[1]]}, strides = {1};
      if (operand->dims[postop->dims[1]] > 1 && operand->strides[postop->dims[1]] != 1) {
        return TRIVET_STATUS(UNIMPLEMENTED, "a bias with a stride");
      }
      ONEDNN_RETURN_IF_ERROR(dnnl_memory_desc_init_by_strides(md, 1, dims, dnnl_f32, strides),
                             "bias descriptor");
    } else {
      TRIVET_RETURN_IF_ERROR(describe(operand, postop->dims, p->rank, images_last, md));
    }
    if (postop->kind == ONEDNN_POST_BIAS) out->has_bias = true;
  }
  return TRIVET_OK;
}

trivet_status_t onednn_describe(const onednn_problem_t* p, const trivet_operand_t* operands,
                                bool packed, onednn_descriptors_t* out) {
  memset(out, 0, sizeof(*out));
  const trivet_operand_t* y = &operands[p->operand_count - 1];
  if (p->kind == ONEDNN_MATMUL) {
    uint32_t m = p->batch_count, n = m + p->m_count, k = n + p->n_count;
    TRIVET_RETURN_IF_ERROR(
        describe_matrix(p, &operands[0], p->a_role, m, p->m_count, k, p->k_count, &out->x));
    if (!packed) {
      TRIVET_RETURN_IF_ERROR(
          describe_matrix(p, &operands[1], p->b_role, k, p->k_count, n, p->n_count, &out->weights));
    }
    TRIVET_RETURN_IF_ERROR(describe_matrix(p, y, p->c_role, m, p->m_count, n, p->n_count, &out->y));
    out->has_weights = true;
  } else {
    bool last = images_are_channels_last(p, operands);
    TRIVET_RETURN_IF_ERROR(describe(&operands[0], p->x_dims, p->rank, last, &out->x));
    TRIVET_RETURN_IF_ERROR(describe(y, p->y_dims, p->rank, last, &out->y));
    out->has_weights = p->kind != ONEDNN_POOL;
    if (out->has_weights && !packed) {
      TRIVET_RETURN_IF_ERROR(describe_filter(p, &operands[1], &out->weights));
    }
  }
  if (packed) {
    // Only the extents: how they lie is oneDNN's choice or the packing's.
    dnnl_dims_t dims;
    for (uint32_t d = 0; d < p->packing.rank; ++d) dims[d] = p->packing.dims[d];
    ONEDNN_RETURN_IF_ERROR(dnnl_memory_desc_init_by_tag(&out->weights, (int)p->packing.rank, dims,
                                                        dnnl_f32, dnnl_format_tag_any),
                           "weights descriptor");
  }
  return describe_postops(p, operands, out);
}

// --- Chunks -------------------------------------------------------------------------------------

#define LONGEST_CHAIN 256
#define CHUNK_CHAIN 640
#define LEAST_WORK 5e4  // operations that are worth several executions
#define CHUNK_LEAST 16  // channels: what a vector holds

uint32_t onednn_choose_chunk(const onednn_problem_t* p, const onednn_descriptors_t* whole) {
  const dnnl_memory_desc_t *x = &whole->x, *y = &whole->y;
  int64_t window = 1, terms = x->dims[p->kind == ONEDNN_MATMUL ? x->ndims - 1 : 1];
  if (p->kind == ONEDNN_CONVOLUTION) {
    if (p->groups != 1) return 0;
    for (uint32_t s = 0; s + 2 < p->rank; ++s) window *= p->window[s];
  } else if (p->kind != ONEDNN_MATMUL || p->batch_count != 0) {
    return 0;
  }
  // Short work is not worth several executions.
  double work = 2.0 * (double)terms * (double)window;
  for (int d = 0; d < y->ndims; ++d) work *= (double)y->dims[d];
  if (terms * window <= LONGEST_CHAIN || work < LEAST_WORK) return 0;
  for (int64_t chunk = terms / 2; chunk >= CHUNK_LEAST; --chunk) {
    if (terms % chunk != 0 || chunk % CHUNK_LEAST != 0) continue;
    if (chunk * window <= CHUNK_CHAIN || chunk == CHUNK_LEAST) return (uint32_t)chunk;
  }
  return 0;
}

bool onednn_gathers_chunks(const onednn_problem_t* p, const onednn_descriptors_t* whole) {
  if (p->kind == ONEDNN_CONVOLUTION) return true;
  return whole->x.dims[0] > 1 && whole->x.format_desc.blocking.strides[1] == 1;
}

bool onednn_describe_chunk(const onednn_problem_t* p, const onednn_descriptors_t* whole,
                           onednn_descriptors_t* out) {
  *out = *whole;
  int rank = whole->x.ndims;
  bool images = p->kind == ONEDNN_CONVOLUTION;
  int along = images ? 1 : rank - 1;
  if (p->chunk == 0 || whole->x.dims[along] % p->chunk != 0) return false;
  dnnl_dims_t dims, strides;
  memcpy(dims, whole->x.dims, sizeof(dims));
  memcpy(strides, whole->x.format_desc.blocking.strides, sizeof(strides));
  dims[along] = p->chunk;
  if (images && strides[1] != 1) return false;
  if (onednn_gathers_chunks(p, whole)) {
    int64_t run = p->chunk;
    for (int d = rank; d-- > 0;) {
      if (d == along) continue;
      strides[d] = run;
      run *= dims[d];
    }
  } else if (dims[0] == 1) {
    strides[0] = p->chunk * strides[1];
  }
  if (dnnl_memory_desc_init_by_strides(&out->x, rank, dims, dnnl_f32, strides) != dnnl_success) {
    return false;
  }
  int terms = images ? 1 : whole->weights.ndims - 2;
  if (whole->weights.dims[terms] == (int64_t)p->chunk) return true;  // packed
  memcpy(dims, whole->weights.dims, sizeof(dims));
  memcpy(strides, whole->weights.format_desc.blocking.strides, sizeof(strides));
  dims[terms] = p->chunk;
  return dnnl_memory_desc_init_by_strides(&out->weights, whole->weights.ndims, dims, dnnl_f32,
                                          strides) == dnnl_success;
}

static trivet_status_t make_attributes(const onednn_problem_t* p, const onednn_descriptors_t* d,
                                       onednn_part_t part, dnnl_primitive_attr_t* out) {
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t postops = NULL;
  ONEDNN_RETURN_IF_ERROR(dnnl_primitive_attr_create(&attributes), "attributes");
  dnnl_status_t status =
      dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success) status = dnnl_post_ops_create(&postops);
  if (status == dnnl_success && (part == ONEDNN_MIDDLE || part == ONEDNN_LAST)) {
    status = dnnl_post_ops_append_sum(postops, 1.0f);
  }
  bool ends = part == ONEDNN_WHOLE || part == ONEDNN_LAST;
  for (uint32_t i = 0; ends && i < p->postop_count && status == dnnl_success; ++i) {
    const onednn_postop_t* postop = &p->postops[i];
    if (postop->kind == ONEDNN_POST_ELTWISE) {
      status = dnnl_post_ops_append_eltwise(postops, 1.0f, (dnnl_alg_kind_t)postop->alg,
                                            postop->alpha, postop->beta);
    } else if (postop->kind == ONEDNN_POST_BINARY) {
      status = dnnl_post_ops_append_binary(postops, (dnnl_alg_kind_t)postop->alg, &d->postops[i]);
    }
  }
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, postops);
  if (postops) dnnl_post_ops_destroy(postops);
  if (status != dnnl_success) {
    dnnl_primitive_attr_destroy(attributes);
    return onednn_check(status, "post-operations");
  }
  *out = attributes;
  return TRIVET_OK;
}

// The operation's descriptor, in the union of all that a problem can be.
typedef union operation_u {
  dnnl_convolution_desc_t convolution;
  dnnl_deconvolution_desc_t deconvolution;
  dnnl_matmul_desc_t matmul;
  dnnl_pooling_v2_desc_t pool;
} operation_t;

static dnnl_status_t make_operation(const onednn_problem_t* p, const onednn_descriptors_t* d,
                                    onednn_part_t part, const dnnl_memory_desc_t* weights,
                                    operation_t* out) {
  bool ends = part == ONEDNN_WHOLE || part == ONEDNN_LAST;
  const dnnl_memory_desc_t* bias = ends && d->has_bias ? &d->bias : NULL;
  if (p->kind == ONEDNN_MATMUL)
    return dnnl_matmul_desc_init(&out->matmul, &d->x, weights, bias, &d->y);
  dnnl_dims_t strides, dilations, left, right, window;
  for (uint32_t s = 0; s + 2 < p->rank; ++s) {
    int64_t in = d->x.dims[2 + s], result = d->y.dims[2 + s];
    int64_t reach = (p->window[s] - 1) * p->dilations[s] + 1;
    strides[s] = p->strides[s];
    dilations[s] = p->dilations[s] - 1;
    left[s] = p->pads[s];
    window[s] = p->window[s];
    // What the result's extent asks for; where the last elements are not read, nothing.
    right[s] = p->kind == ONEDNN_DECONVOLUTION
                   ? (in - 1) * p->strides[s] + reach - left[s] - result
                   : (result - 1) * p->strides[s] + reach - left[s] - in;
    if (right[s] < 0) right[s] = 0;
  }
  if (p->kind == ONEDNN_CONVOLUTION) {
    return dnnl_dilated_convolution_forward_desc_init(&out->convolution, dnnl_forward_inference,
                                                      dnnl_convolution_direct, &d->x, weights, bias,
                                                      &d->y, strides, dilations, left, right);
  }
  if (p->kind == ONEDNN_DECONVOLUTION) {
    return dnnl_dilated_deconvolution_forward_desc_init(
        &out->deconvolution, dnnl_forward_inference, dnnl_deconvolution_direct, &d->x, weights,
        bias, &d->y, strides, dilations, left, right);
  }
  return dnnl_pooling_v2_forward_desc_init(&out->pool, dnnl_forward_inference,
                                           (dnnl_alg_kind_t)p->pool_alg, &d->x, &d->y, strides,
                                           window, dilations, left, right);
}

// Worth taking? Reference loops are not, nor are additions of whole images behind a convolution by
// matrix product, which are done element by element.
static bool acceptable(const onednn_problem_t* p, const onednn_descriptors_t* d, const char* name) {
  if (strstr(name, "ref")) return false;
  for (uint32_t i = 0; p->kind != ONEDNN_MATMUL && i < p->postop_count; ++i) {
    bool whole = p->postops[i].kind == ONEDNN_POST_BINARY;
    for (int k = 0; whole && k < d->y.ndims; ++k) whole = d->postops[i].dims[k] == d->y.dims[k];
    if (!whole) continue;
    if (strstr(name, "gemm") || !dnnl_memory_desc_equal(&d->postops[i], &d->y)) return false;
  }
  return true;
}

trivet_status_t onednn_create_descriptor(const onednn_problem_t* p, const onednn_descriptors_t* d,
                                         onednn_part_t part, const dnnl_memory_desc_t* weights,
                                         bool any_implementation, dnnl_engine_t engine,
                                         dnnl_primitive_desc_t* out_descriptor) {
  dnnl_memory_desc_t any = d->weights;
  if (d->has_weights && !weights) {
    ONEDNN_RETURN_IF_ERROR(dnnl_memory_desc_init_by_tag(&any, d->weights.ndims, d->weights.dims,
                                                        dnnl_f32, dnnl_format_tag_any),
                           "weights descriptor");
    weights = &any;
  }
  operation_t operation;
  ONEDNN_RETURN_IF_ERROR(make_operation(p, d, part, weights, &operation), "operation descriptor");
  dnnl_primitive_attr_t attributes = NULL;
  TRIVET_RETURN_IF_ERROR(make_attributes(p, d, part, &attributes));
  dnnl_primitive_desc_iterator_t iterator = NULL;
  dnnl_status_t status =
      dnnl_primitive_desc_iterator_create(&iterator, &operation, attributes, engine, NULL);
  dnnl_primitive_desc_t chosen = NULL;
  while (status == dnnl_success) {
    dnnl_primitive_desc_t candidate = dnnl_primitive_desc_iterator_fetch(iterator);
    const char* name = NULL;
    if (!candidate) break;
    dnnl_primitive_desc_query(candidate, dnnl_query_impl_info_str, 0, &name);
    bool named = name && p->impl[0] && strcmp(name, p->impl) == 0;
    if (name && (any_implementation || acceptable(p, d, name)) && (named || !chosen)) {
      if (chosen) dnnl_primitive_desc_destroy(chosen);
      chosen = candidate;
      if (named || !p->impl[0]) break;
    } else {
      dnnl_primitive_desc_destroy(candidate);
    }
    if (dnnl_primitive_desc_iterator_next(iterator) != dnnl_success) break;
  }
  if (iterator) dnnl_primitive_desc_iterator_destroy(iterator);
  dnnl_primitive_attr_destroy(attributes);
  if (!chosen) {
    return TRIVET_STATUS(UNIMPLEMENTED, "oneDNN has only its reference for these operands");
  }
  *out_descriptor = chosen;
  return TRIVET_OK;
}

bool onednn_packing_from(const dnnl_memory_desc_t* md, onednn_packing_t* out) {
  memset(out, 0, sizeof(*out));
  if (md->format_kind != dnnl_blocked || md->extra.flags != dnnl_memory_extra_flag_none)
    return false;
  const dnnl_blocking_desc_t* blocking = &md->format_desc.blocking;
  out->present = 1;
  out->rank = (uint32_t)md->ndims;
  out->block_count = (uint32_t)blocking->inner_nblks;
  for (int d = 0; d < md->ndims; ++d) {
    if (md->padded_offsets[d] != 0) return false;
    out->dims[d] = md->dims[d];
    out->padded[d] = md->padded_dims[d];
    out->strides[d] = blocking->strides[d];
  }
  for (int b = 0; b < blocking->inner_nblks; ++b) {
    out->blocks[b] = blocking->inner_blks[b];
    out->block_dims[b] = blocking->inner_idxs[b];
  }
  return md->offset0 == 0;
}

size_t onednn_packed_size(const dnnl_memory_desc_t* md) {
  return (dnnl_memory_desc_get_size(md) + 63) & ~(size_t)63;
}

trivet_status_t onednn_packing_to(const onednn_packing_t* packing, dnnl_memory_desc_t* out) {
  memset(out, 0, sizeof(*out));
  out->ndims = (int)packing->rank;
  out->data_type = dnnl_f32;
  out->format_kind = dnnl_blocked;
  dnnl_blocking_desc_t* blocking = &out->format_desc.blocking;
  blocking->inner_nblks = (int)packing->block_count;
  int64_t block_of[TRIVET_MAX_RANK];
  for (uint32_t d = 0; d < packing->rank; ++d) block_of[d] = 1;
  for (uint32_t b = 0; b < packing->block_count; ++b) {
    blocking->inner_blks[b] = packing->blocks[b];
    blocking->inner_idxs[b] = packing->block_dims[b];
    block_of[packing->block_dims[b]] *= packing->blocks[b];
  }
  for (uint32_t d = 0; d < packing->rank; ++d) {
    out->dims[d] = packing->dims[d];
    out->padded_dims[d] = packing->padded[d];
    blocking->strides[d] = packing->strides[d];
    if (packing->padded[d] % block_of[d] != 0) {
      return TRIVET_STATUS(DATA_LOSS, "packed weights: blocks do not divide dimension %u", d);
    }
  }
  return TRIVET_OK;
}
