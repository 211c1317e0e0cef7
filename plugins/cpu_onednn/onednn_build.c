// SPDX-License-Identifier: Apache-2.0
//
// Build half. propose asks oneDNN itself whether it has an implementation for the region as its
// operands lie; emit packs constant weights into the form that oneDNN likes best.
#include "plugins/cpu_onednn/onednn_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

bool onednn_concrete(const trivet_region_t* region, const uint32_t* region_operands, uint32_t count,
                     trivet_operand_t* out_operands) {
  for (uint32_t i = 0; i < count; ++i) {
    trivet_operand_t* operand = &out_operands[i];
    memset(operand, 0, sizeof(*operand));
    if (region_operands[i] == TVI_KIR_NONE) {
      operand->flags = TRIVET_OPERAND_ABSENT;
      continue;
    }
    const tvi_region_operand_t* from = &region->operands[region_operands[i]];
    const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
    operand->dtype = value->type.dtype;
    operand->rank = value->type.rank;
    if (value->constant && value->constant->data) operand->constant = value->constant->data;
    for (uint32_t d = 0; d < operand->rank; ++d) {
      trivet_status_t status = tvi_dim_evaluate(value->type.dims[d], region->symbols,
                                                region->symbol_count, &operand->dims[d]);
      if (!status) {
        status = tvi_dim_evaluate(from->strides[d], region->symbols, region->symbol_count,
                                  &operand->strides[d]);
      }
      if (status) {
        trivet_status_free(status);
        return false;
      }
    }
  }
  return true;
}

// Multiplications and additions of the primitive.
static double work(const onednn_problem_t* p, const onednn_descriptors_t* d) {
  double flops = 2;
  for (int i = 0; i < d->y.ndims; ++i) flops *= (double)d->y.dims[i];
  if (p->kind == ONEDNN_MATMUL) return flops * (double)d->x.dims[d->x.ndims - 1];
  for (uint32_t s = 0; s + 2 < p->rank; ++s) flops *= (double)p->window[s];
  if (p->kind == ONEDNN_POOL) return flops;
  flops *= (double)d->x.dims[1] / (double)p->groups;
  for (uint32_t s = 0; p->kind == ONEDNN_DECONVOLUTION && s + 2 < p->rank; ++s) {
    flops /= (double)p->strides[s];
  }
  return flops;
}

static double bytes(const dnnl_memory_desc_t* md) { return (double)dnnl_memory_desc_get_size(md); }

// Operations per nanosecond of a convolution that lays windows out as a matrix first: few columns
// or short sums leave that copying alone. Fitted to a first layer (27 terms, 32 channels: 6) and to
// depthwise windows (1.5).
static double unrolled_rate(const onednn_problem_t* p, const onednn_descriptors_t* d) {
  double columns = (double)d->y.dims[1] / (double)p->groups;
  double terms = (double)d->x.dims[1] / (double)p->groups;
  for (uint32_t s = 0; s + 2 < p->rank; ++s) terms *= (double)p->window[s];
  double rate = 50 * (columns < 32 ? columns / 32 : 1) * (terms < 256 ? terms / 256 : 1);
  return rate > 1.5 ? rate : 1.5;
}

// Nanoseconds on one core of a recent server processor; only the order of prices matters.
static double price(const onednn_problem_t* p, const onednn_descriptors_t* d, const char* impl) {
  double rate = 90;  // f32 operations per nanosecond
  if (p->kind == ONEDNN_CONVOLUTION && strstr(impl, "gemm")) rate = unrolled_rate(p, d);
  if (p->kind == ONEDNN_DECONVOLUTION && strstr(impl, "gemm")) rate = 50;
  if (p->kind == ONEDNN_POOL) rate = 20;
  if (p->kind == ONEDNN_MATMUL) rate = 90;
  double moved = bytes(&d->x) + bytes(&d->y);
  if (d->has_weights && d->weights.format_kind == dnnl_blocked) moved += bytes(&d->weights);
  for (uint32_t i = 0; i < p->postop_count; ++i) {
    if (p->postops[i].kind == ONEDNN_POST_BINARY) moved += bytes(&d->postops[i]);
  }
  double compute = work(p, d) / rate, memory = moved / 20;
  return 1500 + (compute > memory ? compute : memory);
}

typedef struct asked_s {
  onednn_match_t match;
  trivet_operand_t operands[ONEDNN_MAX_POSTOPS + 3];
  onednn_descriptors_t descriptors;
  onednn_descriptors_t chunk;  // of one, where the problem is done in chunks
  dnnl_engine_t engine;
  dnnl_primitive_desc_t pd;  // NULL: declined
  const char* reason;
  char text[160];
} asked_t;

static trivet_status_t create(asked_t* a, const onednn_descriptors_t* d, onednn_part_t part,
                              const dnnl_memory_desc_t* weights, dnnl_primitive_desc_t* out_pd) {
  return onednn_create_descriptor(&a->match.problem, d, part, weights, false, a->engine, out_pd);
}

// Splits a long sum over constant weights into chunks, where oneDNN offers all primitives that this
// takes with one packing of the weights.
static trivet_status_t split(asked_t* a) {
  onednn_problem_t* p = &a->match.problem;
  dnnl_primitive_desc_t first = NULL, last = NULL;
  if (!a->descriptors.has_weights || !a->operands[1].constant) return TRIVET_OK;
  p->chunk = onednn_choose_chunk(p, &a->descriptors);
  if (p->chunk == 0) return TRIVET_OK;
  trivet_status_t status = NULL;
  bool possible = onednn_describe_chunk(p, &a->descriptors, &a->chunk);
  // Columns of weights one behind the other: a product of one row is then a sum of many lanes.
  const dnnl_memory_desc_t* fixed = NULL;
  dnnl_memory_desc_t columns;
  if (possible && p->kind == ONEDNN_MATMUL && a->chunk.x.dims[0] == 1) {
    dnnl_dims_t strides = {1, (dnnl_dim_t)p->chunk};
    fixed = &columns;
    possible = dnnl_memory_desc_init_by_strides(&columns, 2, a->chunk.weights.dims, dnnl_f32,
                                                strides) == dnnl_success;
  }
  // The last one, which does the most, decides how weights are packed.
  if (possible) status = create(a, &a->chunk, ONEDNN_LAST, fixed, &last);
  const dnnl_memory_desc_t* wanted =
      last ? dnnl_primitive_desc_query_md(last, dnnl_query_weights_md, 0) : NULL;
  possible = wanted && onednn_packing_from(wanted, &p->packing);
  if (possible && !status) status = create(a, &a->chunk, ONEDNN_FIRST, wanted, &first);
  p->packing.present = 0;
  if (first) {
    if (a->pd) dnnl_primitive_desc_destroy(a->pd);
    a->pd = last;
    dnnl_primitive_desc_destroy(first);
    return TRIVET_OK;
  }
  if (last) dnnl_primitive_desc_destroy(last);
  p->chunk = 0;
  trivet_status_code_t code = trivet_status_code(status);
  if (code == TRIVET_STATUS_UNIMPLEMENTED || code == TRIVET_STATUS_INVALID_ARGUMENT) {
    trivet_status_free(status);
    return TRIVET_OK;
  }
  return status;
}

static void swap_dims(uint8_t* dims) {
  const uint8_t kept = dims[2];
  dims[2] = dims[3];
  dims[3] = kept;
}

static void swap_numbers(int64_t* numbers) {
  const int64_t kept = numbers[0];
  numbers[0] = numbers[1];
  numbers[1] = kept;
}

// Kernels go along the width. Images of one column are rows to them.
static void turn_columns(asked_t* a) {
  onednn_problem_t* p = &a->match.problem;
  if (p->kind != ONEDNN_CONVOLUTION || p->rank != 4) return;
  const trivet_operand_t *x = &a->operands[0], *y = &a->operands[p->operand_count - 1];
  const uint8_t in = p->x_dims[3], out = p->y_dims[3];
  if (in >= x->rank || out >= y->rank || x->dims[in] != 1 || y->dims[out] != 1) return;
  if (p->window[1] != 1 || p->pads[1] != 0 || p->strides[1] != 1) return;
  swap_dims(p->x_dims);
  swap_dims(p->w_dims);
  swap_dims(p->y_dims);
  swap_numbers(p->strides);
  swap_numbers(p->dilations);
  swap_numbers(p->pads);
  swap_numbers(p->window);
  for (uint32_t i = 0; i < p->postop_count; ++i) swap_dims(p->postops[i].dims);
}

// From the region to a primitive descriptor, or a reason why there is none.
static trivet_status_t ask(const trivet_region_t* region, tvi_arena_t* arena, asked_t* a) {
  TRIVET_RETURN_IF_ERROR(onednn_match_region(region, arena, &a->match, &a->reason));
  if (a->reason) return TRIVET_OK;
  if (!onednn_concrete(region, a->match.region_operands, a->match.problem.operand_count,
                       a->operands)) {
    a->reason = "an extent depends on data";
    return TRIVET_OK;
  }
  turn_columns(a);
  ONEDNN_RETURN_IF_ERROR(dnnl_engine_create(&a->engine, dnnl_cpu, 0), "engine");
  trivet_status_t status = onednn_describe(&a->match.problem, a->operands, false, &a->descriptors);
  bool fixed = a->descriptors.has_weights && !a->operands[1].constant;
  if (!status) {
    status =
        create(a, &a->descriptors, ONEDNN_WHOLE, fixed ? &a->descriptors.weights : NULL, &a->pd);
  }
  trivet_status_code_t code = trivet_status_code(status);
  if (code == TRIVET_STATUS_UNIMPLEMENTED || code == TRIVET_STATUS_INVALID_ARGUMENT) {
    snprintf(a->text, sizeof(a->text), "%s", trivet_status_message(status));
    a->reason = a->text;
    trivet_status_free(status);
    return TRIVET_OK;
  }
  return status ? status : split(a);
}

static void finish(asked_t* a) {
  if (a->pd) dnnl_primitive_desc_destroy(a->pd);
  if (a->engine) dnnl_engine_destroy(a->engine);
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena, asked_t* a) {
  TRIVET_RETURN_IF_ERROR(ask(region, arena, a));
  const onednn_problem_t* p = &a->match.problem;
  bool mine = !a->reason && ((const uint32_t*)kernel->self)[p->kind];
  if (!mine) {
    proposal->decline(proposal->self, kernel, "%s", a->reason ? a->reason : "another primitive");
    return TRIVET_OK;
  }
  const char* impl = "";
  dnnl_primitive_desc_query(a->pd, dnnl_query_impl_info_str, 0, &impl);
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  tactic.price = price(p, &a->descriptors, impl);
  snprintf(tactic.name, sizeof(tactic.name), p->chunk ? "%s, sums of %u" : "%s", impl, p->chunk);
  return proposal->add(proposal->self, &tactic);
}

trivet_status_t onednn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  asked_t asked;
  memset(&asked, 0, sizeof(asked));
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = propose(kernel, region, proposal, &arena, &asked);
  finish(&asked);
  tvi_arena_deinit(&arena);
  return status;
}

// Packs constant weights for the plan. Formats without blocks stay as they are and are packed by
// prepare.
static trivet_status_t pack(asked_t* a, const trivet_region_t* region, trivet_emission_t* emission,
                            bool* out_packed) {
  onednn_problem_t* p = &a->match.problem;
  *out_packed = false;
  if (!a->descriptors.has_weights || !a->operands[1].constant) return TRIVET_OK;
  const dnnl_memory_desc_t* wanted = dnnl_primitive_desc_query_md(a->pd, dnnl_query_weights_md, 0);
  const dnnl_memory_desc_t* given = p->chunk ? &a->chunk.weights : &a->descriptors.weights;
  if (!p->chunk && dnnl_memory_desc_equal(wanted, given)) return TRIVET_OK;
  if (!onednn_packing_from(wanted, &p->packing)) return TRIVET_OK;
  size_t each = onednn_packed_size(wanted), size = each;
  int64_t step = 0;  // elements of the unpacked weights from chunk to chunk
  if (p->chunk) {
    int along = p->kind == ONEDNN_CONVOLUTION ? 1 : given->ndims - 2;
    size *= (size_t)(a->descriptors.weights.dims[along] / p->chunk);
    step = p->chunk * given->format_desc.blocking.strides[along];
  }
  void* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(emission->arena, size + 64, 64, &data));
  memset(data, 0, size);
  dnnl_stream_t stream = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t primitive = NULL;
  dnnl_memory_t in = NULL, out = NULL;
  dnnl_status_t s = dnnl_stream_create(&stream, a->engine, 0);
  if (s == dnnl_success) {
    s = dnnl_reorder_primitive_desc_create(&pd, given, a->engine, wanted, a->engine, NULL);
  }
  if (s == dnnl_success) s = dnnl_primitive_create(&primitive, pd);
  if (s == dnnl_success) {
    s = dnnl_memory_create(&in, given, a->engine, (void*)a->operands[1].constant);
  }
  if (s == dnnl_success) s = dnnl_memory_create(&out, wanted, a->engine, data);
  const float* source = (const float*)a->operands[1].constant;
  for (size_t at = 0; at < size && s == dnnl_success; at += each, source += step) {
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};
    s = dnnl_memory_set_data_handle(in, (void*)source);
    if (s == dnnl_success) s = dnnl_memory_set_data_handle(out, (char*)data + at);
    if (s == dnnl_success) s = dnnl_primitive_execute(primitive, stream, 2, args);
    if (s == dnnl_success) s = dnnl_stream_wait(stream);
  }
  if (out) dnnl_memory_destroy(out);
  if (in) dnnl_memory_destroy(in);
  if (primitive) dnnl_primitive_destroy(primitive);
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (stream) dnnl_stream_destroy(stream);
  ONEDNN_RETURN_IF_ERROR(s, "packing weights");
  const tvi_value_t* value =
      tvi_graph_value(region->graph, region->operands[a->match.region_operands[1]].value);
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.name = value->constant->name;
  packed.data = data;
  packed.size = size;
  packed.dtype = TRIVET_DTYPE_F32;
  packed.rank = 1;
  packed.dims[0] = (int64_t)(size / sizeof(float));
  *out_packed = true;
  return emission->add_packed(emission->self, &packed);
}

static trivet_status_t emit(const trivet_region_t* region, trivet_emission_t* emission,
                            asked_t* a) {
  TRIVET_RETURN_IF_ERROR(ask(region, emission->arena, a));
  if (a->reason) return TRIVET_STATUS(INTERNAL, "oneDNN took this region before: %s", a->reason);
  onednn_problem_t* p = &a->match.problem;
  const char* impl = "";
  dnnl_primitive_desc_query(a->pd, dnnl_query_impl_info_str, 0, &impl);
  snprintf(p->impl, sizeof(p->impl), "%s", impl);
  for (uint32_t i = 0; i < p->operand_count; ++i) {
    bool packed = false;
    if (i == 1) TRIVET_RETURN_IF_ERROR(pack(a, region, emission, &packed));
    if (packed) continue;
    if (a->match.region_operands[i] == TVI_KIR_NONE) {
      TRIVET_RETURN_IF_ERROR(emission->add_absent(emission->self));
    } else {
      TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, a->match.region_operands[i]));
    }
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cpu_onednn"));
  return emission->set_blob(emission->self, p, sizeof(*p));
}

trivet_status_t onednn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  asked_t asked;
  memset(&asked, 0, sizeof(asked));
  trivet_status_t status = emit(region, emission, &asked);
  finish(&asked);
  return status;
}
