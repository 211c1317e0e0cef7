// SPDX-License-Identifier: Apache-2.0
//
// Run half. load checks the blob; prepare makes the primitive for the shapes at hand, and packs
// weights again where oneDNN wants them otherwise than the plan has them (another processor,
// another shape); run sets addresses and executes.
#include "plugins/cpu_onednn/onednn_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_call.h"
#include "plugins/cpu_onednn/onednn_openmp.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

typedef struct loaded_s {
  onednn_loaded_t base;
  onednn_problem_t problem;
} loaded_t;

// Sources of arguments beside operands and the workspace.
#define CHUNK (UINT32_MAX - 2)    // the chunk's part of operand 0
#define WEIGHTS (UINT32_MAX - 3)  // the chunk's weights

typedef struct prepared_s {
  trivet_allocator_t allocator;
  dnnl_stream_t stream;
  onednn_call_t parts[4];  // by onednn_part_t
  void* weights;           // packed again; NULL: the plan's
  size_t weights_size;
  // Problems in chunks.
  uint32_t chunk_count;  // 1: the whole
  uint64_t weights_step;
  uint64_t x_step;  // bytes of operand 0 from chunk to chunk
  // Images: the chunk's channels of every pixel are gathered into a dense buffer.
  uint32_t pixel_rank;
  int64_t pixels[TRIVET_MAX_RANK], pixel_strides[TRIVET_MAX_RANK];  // bytes
  uint64_t pixel_size;                                              // bytes of a chunk
  uint64_t gather_at, copy_at;                                      // in the workspace
  // An operand of the epilogue that lies where the result does is needed until the last chunk.
  uint32_t kept[ONEDNN_MAX_POSTOPS];
  uint32_t kept_count, y;
  uint64_t y_size;
} prepared_t;

trivet_status_t onednn_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                            void** out_loaded) {
  (void)kernel;
  onednn_problem_t problem;
  if (load->blob_size != sizeof(problem)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: blob of %llu bytes, not %zu",
                         (unsigned long long)load->blob_size, sizeof(problem));
  }
  memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(onednn_problem_verify(&problem, load->blob_size));
  onednn_loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(onednn_loaded_create(load->allocator, sizeof(loaded_t), &loaded));
  ((loaded_t*)loaded)->problem = problem;
  *out_loaded = loaded;
  return TRIVET_OK;
}

static uint64_t span(const trivet_operand_t* operand) {
  uint64_t bytes = sizeof(float);
  for (uint32_t d = 0; d < operand->rank; ++d) bytes *= (uint64_t)operand->dims[d];
  return bytes;
}

// The weights: in the plan's packing if oneDNN wants just that, else packed now.
static trivet_status_t find_weights(prepared_t* p, const loaded_t* loaded,
                                    const trivet_operand_t* operand, const onednn_descriptors_t* d,
                                    const dnnl_memory_desc_t* wanted) {
  const onednn_packing_t* packing = &loaded->problem.packing;
  dnnl_memory_desc_t given = d->weights;
  uint64_t step = 0;
  if (packing->present) {
    TRIVET_RETURN_IF_ERROR(onednn_packing_to(packing, &given));
    step = onednn_packed_size(&given);
    uint64_t size = step * (p->chunk_count - 1) + dnnl_memory_desc_get_size(&given);
    if (!operand->constant || size > span(operand)) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: packed weights of %llu bytes lie in %llu",
                           (unsigned long long)size, (unsigned long long)span(operand));
    }
  }
  p->weights_step = step;
  if (dnnl_memory_desc_equal(wanted, &given)) return TRIVET_OK;
  if (!operand->constant) {
    return TRIVET_STATUS(INTERNAL, "oneDNN wants weights packed that are computed at run time");
  }
  p->weights_step = onednn_packed_size(wanted);
  p->weights_size = p->weights_step * p->chunk_count;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_aligned(p->allocator, p->weights_size, 64, &p->weights));
  for (uint32_t c = 0; c < p->chunk_count; ++c) {
    TRIVET_RETURN_IF_ERROR(onednn_reorder(loaded->base.engine, p->stream, &given,
                                          (const char*)operand->constant + c * step, wanted,
                                          (char*)p->weights + c * p->weights_step));
  }
  return TRIVET_OK;
}

static trivet_status_t check_operands(const onednn_problem_t* problem,
                                      const trivet_kernel_prepare_t* prepare) {
  if (prepare->operand_count != problem->operand_count) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, problem->operand_count);
  }
  for (uint32_t i = 0; i < problem->operand_count; ++i) {
    const trivet_operand_t* operand = &prepare->operands[i];
    bool absent = (operand->flags & TRIVET_OPERAND_ABSENT) != 0;
    if (absent != (i == 1 && problem->kind == ONEDNN_POOL)) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: operand %u is %s", i,
                           absent ? "absent" : "present");
    }
    if (!absent && operand->dtype != TRIVET_DTYPE_F32) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: operand %u is not f32", i);
    }
  }
  // Maps of post-operations refer to dimensions that their operands must have.
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    const onednn_postop_t* postop = &problem->postops[i];
    if (postop->kind == ONEDNN_POST_ELTWISE) continue;
    const trivet_operand_t* operand = &prepare->operands[postop->operand];
    for (uint32_t d = 0; d < problem->rank; ++d) {
      if (postop->dims[d] != ONEDNN_NONE && postop->dims[d] >= operand->rank) {
        return TRIVET_STATUS(DATA_LOSS, "oneDNN step: map of post-operation %u", i);
      }
    }
  }
  return TRIVET_OK;
}

// One primitive and its arguments. |wanted| the form of the weights; what |wanted| points to is
// filled by the first part.
static trivet_status_t make_part(prepared_t* p, const loaded_t* loaded, onednn_part_t which,
                                 const trivet_kernel_prepare_t* prepare,
                                 const onednn_descriptors_t* d, dnnl_memory_desc_t* wanted,
                                 uint64_t* inout_scratch) {
  const onednn_problem_t* problem = &loaded->problem;
  onednn_call_t* part = &p->parts[which];
  dnnl_engine_t engine = loaded->base.engine;
  dnnl_primitive_desc_t pd = NULL;
  // Weights that are computed at run time stay as they lie.
  bool decided = wanted->ndims != 0;
  bool fixed = d->has_weights && !prepare->operands[1].constant;
  TRIVET_RETURN_IF_ERROR(onednn_create_descriptor(problem, d, which,
                                                  decided ? wanted
                                                  : fixed ? &d->weights
                                                          : NULL,
                                                  true, engine, &pd));
  trivet_status_t status = onednn_call_init(part, engine, pd, inout_scratch);
  if (!status && d->has_weights && !decided) {
    *wanted = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    status = find_weights(p, loaded, &prepare->operands[1], d, wanted);
  }
  uint32_t x = problem->chunk ? CHUNK : 0;
  if (!status) status = onednn_call_add(part, engine, &d->x, DNNL_ARG_SRC, x, NULL);
  if (!status && d->has_weights) {
    status = onednn_call_add(part, engine, wanted, DNNL_ARG_WEIGHTS, WEIGHTS, NULL);
  }
  bool ends = which == ONEDNN_WHOLE || which == ONEDNN_LAST;
  uint32_t position = which == ONEDNN_LAST;  // of the primitive; the sum comes first
  for (uint32_t i = 0; ends && i < problem->postop_count && !status; ++i) {
    const onednn_postop_t* postop = &problem->postops[i];
    if (postop->kind == ONEDNN_POST_BIAS) {
      status = onednn_call_add(part, engine, &d->bias, DNNL_ARG_BIAS, postop->operand, NULL);
      continue;  // a bias is no post-operation of the primitive
    }
    if (postop->kind == ONEDNN_POST_BINARY) {
      int name = DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)position) | DNNL_ARG_SRC_1;
      status = onednn_call_add(part, engine, &d->postops[i], name, postop->operand, NULL);
    }
    ++position;
  }
  if (!status) {
    status = onednn_call_add(part, engine, &d->y, DNNL_ARG_DST, problem->operand_count - 1, NULL);
  }
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static uint64_t aligned(uint64_t size) { return (size + 63) & ~(uint64_t)63; }

// How chunks of operand 0 are found, and room for what has to be copied.
static void plan_chunks(prepared_t* p, const onednn_problem_t* problem,
                        const onednn_descriptors_t* whole, const onednn_descriptors_t* chunk,
                        uint64_t* inout_workspace) {
  const int64_t* strides = whole->x.format_desc.blocking.strides;
  bool images = problem->kind == ONEDNN_CONVOLUTION;
  int along = images ? 1 : whole->x.ndims - 1;
  p->x_step = (uint64_t)strides[along] * problem->chunk * sizeof(float);
  if (onednn_gathers_chunks(problem, whole)) {
    p->pixel_size = (uint64_t)problem->chunk * sizeof(float);
    for (int d = 0; d < whole->x.ndims; ++d) {
      if (d == along) continue;
      p->pixels[p->pixel_rank] = whole->x.dims[d];
      p->pixel_strides[p->pixel_rank++] = strides[d] * (int64_t)sizeof(float);
    }
    p->gather_at = *inout_workspace;
    *inout_workspace += aligned(dnnl_memory_desc_get_size(&chunk->x));
  }
  p->y = problem->operand_count - 1;
  p->y_size = dnnl_memory_desc_get_size(&whole->y);
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    if (problem->postops[i].kind != ONEDNN_POST_BINARY) continue;
    p->kept[p->kept_count++] = problem->postops[i].operand;
  }
  p->copy_at = *inout_workspace;
  if (p->kept_count) *inout_workspace += aligned(p->y_size);
}

static trivet_status_t make(prepared_t* p, const loaded_t* loaded,
                            const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace) {
  const onednn_problem_t* problem = &loaded->problem;
  onednn_descriptors_t whole, chunk;
  dnnl_memory_desc_t wanted;
  memset(&wanted, 0, sizeof(wanted));
  uint64_t workspace = 0;
  TRIVET_RETURN_IF_ERROR(
      onednn_describe(problem, prepare->operands, problem->packing.present != 0, &whole));
  ONEDNN_RETURN_IF_ERROR(dnnl_stream_create(&p->stream, loaded->base.engine, 0), "stream");
  p->chunk_count = 1;
  if (problem->chunk == 0) {
    TRIVET_RETURN_IF_ERROR(
        make_part(p, loaded, ONEDNN_WHOLE, prepare, &whole, &wanted, &workspace));
    *out_workspace = workspace;
    return TRIVET_OK;
  }
  if (!onednn_describe_chunk(problem, &whole, &chunk)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: chunks of %u do not fit operand 0",
                         problem->chunk);
  }
  int along = problem->kind == ONEDNN_CONVOLUTION ? 1 : whole.x.ndims - 1;
  p->chunk_count = (uint32_t)(whole.x.dims[along] / problem->chunk);
  if (p->chunk_count < 2) return TRIVET_STATUS(DATA_LOSS, "oneDNN step: one chunk");
  if (problem->kind == ONEDNN_MATMUL) {
    TRIVET_RETURN_IF_ERROR(onednn_packing_to(&problem->packing, &wanted));
    TRIVET_RETURN_IF_ERROR(find_weights(p, loaded, &prepare->operands[1], &chunk, &wanted));
  }
  // Of images, the last one decides how weights are packed.
  for (onednn_part_t which = ONEDNN_LAST; which >= ONEDNN_FIRST; --which) {
    if (which == ONEDNN_MIDDLE && p->chunk_count < 3) continue;
    TRIVET_RETURN_IF_ERROR(make_part(p, loaded, which, prepare, &chunk, &wanted, &workspace));
  }
  workspace = aligned(workspace);
  plan_chunks(p, problem, &whole, &chunk, &workspace);
  *out_workspace = workspace;
  return TRIVET_OK;
}

trivet_status_t onednn_prepare(const trivet_kernel_t* kernel, void* pointer,
                               const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                               void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  TRIVET_RETURN_IF_ERROR(check_operands(&loaded->problem, prepare));
  prepared_t* p = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*p), &p));
  p->allocator = *prepare->allocator;
  trivet_executor_t* outer = onednn_executor_swap(prepare->executor);
  trivet_status_t status = make(p, loaded, prepare, out_workspace_size);
  onednn_executor_swap(outer);
  if (status) {
    onednn_release(kernel, p, prepare->allocator);
    return status;
  }
  *out_prepared = p;
  return TRIVET_OK;
}

void onednn_release(const trivet_kernel_t* kernel, void* pointer,
                    const trivet_allocator_t* allocator) {
  (void)kernel, (void)allocator;
  prepared_t* p = (prepared_t*)pointer;
  if (!p) return;
  for (size_t k = 0; k < sizeof(p->parts) / sizeof(p->parts[0]); ++k) {
    onednn_call_deinit(&p->parts[k]);
  }
  if (p->stream) dnnl_stream_destroy(p->stream);
  trivet_allocator_t owner = p->allocator;
  if (p->weights) tvi_free_aligned(owner, p->weights, p->weights_size, 64);
  tvi_free(owner, p, sizeof(*p));
}

// The chunk's channels of all pixels, one behind the other.
static void gather(const prepared_t* p, const char* source, char* target) {
  int64_t at[TRIVET_MAX_RANK] = {0};
  uint32_t inner = p->pixel_rank - 1;
  for (;;) {
    const char* row = source;
    for (uint32_t d = 0; d < inner; ++d) row += at[d] * p->pixel_strides[d];
    for (int64_t i = 0; i < p->pixels[inner]; ++i, target += p->pixel_size) {
      memcpy(target, row + i * p->pixel_strides[inner], p->pixel_size);
    }
    uint32_t d = inner;
    while (d > 0 && ++at[d - 1] == p->pixels[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

typedef struct launch_s {
  const trivet_kernel_launch_t* launch;
  const void* x;        // the chunk's
  const void* weights;  // the chunk's
} launch_t;

static void* address_of(const prepared_t* p, const launch_t* l, uint32_t source) {
  if (source == ONEDNN_SOURCE_SCRATCH) return l->launch->workspace;
  if (source == CHUNK) return (void*)l->x;
  if (source == WEIGHTS) return (void*)l->weights;
  if (source == ONEDNN_SOURCE_OWN) return NULL;
  void* address = l->launch->addresses[source];
  bool moved = p->kept_count && source != p->y && address == l->launch->addresses[p->y];
  return moved ? (char*)l->launch->workspace + p->copy_at : address;
}

static trivet_status_t execute(const prepared_t* p, const onednn_call_t* part, const launch_t* l) {
  for (uint32_t i = 0; i < part->arg_count; ++i) {
    void* address = address_of(p, l, part->sources[i]);
    if (!address) continue;
    TRIVET_RETURN_IF_ERROR(onednn_call_set(part, i, address));
  }
  return onednn_call_execute(part, p->stream);
}

static trivet_status_t run_chunks(const prepared_t* p, launch_t* l) {
  const trivet_kernel_launch_t* launch = l->launch;
  char* workspace = (char*)launch->workspace;
  for (uint32_t k = 0; k < p->kept_count; ++k) {
    if (launch->addresses[p->kept[k]] != launch->addresses[p->y]) continue;
    memcpy(workspace + p->copy_at, launch->addresses[p->y], p->y_size);
    break;
  }
  const char* weights = (const char*)l->weights;
  for (uint32_t c = 0; c < p->chunk_count; ++c) {
    const char* x = (const char*)launch->addresses[0] + c * p->x_step;
    if (p->pixel_rank != 0) {
      gather(p, x, workspace + p->gather_at);
      x = workspace + p->gather_at;
    }
    l->x = x;
    l->weights = weights + c * p->weights_step;
    onednn_part_t which = c + 1 == p->chunk_count ? ONEDNN_LAST
                          : c == 0                ? ONEDNN_FIRST
                                                  : ONEDNN_MIDDLE;
    TRIVET_RETURN_IF_ERROR(execute(p, &p->parts[which], l));
  }
  return TRIVET_OK;
}

trivet_status_t onednn_run(const trivet_kernel_t* kernel, void* pointer,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = (const prepared_t*)pointer;
  launch_t l = {launch, launch->addresses[0], p->weights ? p->weights : launch->addresses[1]};
  trivet_executor_t* outer = onednn_executor_swap(launch->executor);
  trivet_status_t status =
      p->chunk_count == 1 ? execute(p, &p->parts[ONEDNN_WHOLE], &l) : run_chunks(p, &l);
  onednn_executor_swap(outer);
  return status;
}
