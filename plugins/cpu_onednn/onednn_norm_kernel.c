// SPDX-License-Identifier: Apache-2.0
//
// The callbacks of softmax and normalisations: propose asks oneDNN whether it has more than its
// reference, prepare makes the primitive, run executes it.
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_build.h"
#include "plugins/cpu_onednn/onednn_call.h"
#include "plugins/cpu_onednn/onednn_norm.h"
#include "plugins/cpu_onednn/onednn_openmp.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

// --- Build half ---------------------------------------------------------------------------------

static double bytes(const trivet_operand_t* operand) {
  double size = sizeof(float);
  for (uint32_t d = 0; d < operand->rank; ++d) size *= (double)operand->dims[d];
  return size;
}

// Nanoseconds on one core, as measured: its exponentials take longer than those of tiles, and so
// does what it has for plain images.
static double price(const onednn_norm_t* p, const trivet_operand_t* x, const char* name) {
  const bool slow =
      p->kind == TVI_NORM_SOFTMAX || (p->kind == TVI_NORM_BATCH && strstr(name, "jit") == NULL);
  return 1500 + bytes(x) * (slow ? 0.5 : 0.1);
}

// Whether this kernel is for problems of this kind.
static bool is_mine(const trivet_kernel_t* kernel, uint32_t kind) {
  return kind == *(const uint32_t*)kernel->self;
}

static trivet_status_t ask(const trivet_kernel_t* kernel, const trivet_region_t* region,
                           trivet_proposal_t* proposal, tvi_arena_t* arena, dnnl_engine_t engine) {
  onednn_norm_match_t match;
  const char* reason = NULL;
  TRIVET_RETURN_IF_ERROR(onednn_norm_match(region, arena, &match, &reason));
  trivet_operand_t operands[ONEDNN_NORM_VECTORS + 2];
  if (!reason && !is_mine(kernel, match.problem.kind)) reason = "another normalisation";
  if (!reason && !onednn_concrete(region, match.region_operands, match.operand_count, operands)) {
    reason = "an extent depends on data";
  }
  for (uint32_t i = 0; !reason && i < match.operand_count; ++i) {
    if (bytes(&operands[i]) == 0) reason = "an empty operand";
  }
  if (reason) {
    proposal->decline(proposal->self, kernel, "%s", reason);
    return TRIVET_OK;
  }
  dnnl_primitive_desc_t descriptor = NULL;
  trivet_status_t status =
      onednn_norm_describe(&match.problem, operands, false, engine, &descriptor);
  if (trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED ||
      trivet_status_code(status) == TRIVET_STATUS_INVALID_ARGUMENT) {
    proposal->decline(proposal->self, kernel, "%s", trivet_status_message(status));
    trivet_status_free(status);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(status);
  const char* name = "";
  dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name);
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  tactic.price = price(&match.problem, &operands[0], name);
  snprintf(tactic.name, sizeof(tactic.name), "%s", name);
  dnnl_primitive_desc_destroy(descriptor);
  return proposal->add(proposal->self, &tactic);
}

trivet_status_t onednn_norm_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal) {
  tvi_arena_t arena;
  dnnl_engine_t engine = NULL;
  ONEDNN_RETURN_IF_ERROR(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = ask(kernel, region, proposal, &arena, engine);
  tvi_arena_deinit(&arena);
  dnnl_engine_destroy(engine);
  return status;
}

trivet_status_t onednn_norm_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  onednn_norm_match_t match;
  const char* reason = NULL;
  TRIVET_RETURN_IF_ERROR(onednn_norm_match(region, emission->arena, &match, &reason));
  if (reason) return TRIVET_STATUS(INTERNAL, "oneDNN took this region before: %s", reason);
  for (uint32_t i = 0; i < match.operand_count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, match.region_operands[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cpu_onednn"));
  return emission->set_blob(emission->self, &match.problem, sizeof(match.problem));
}

// --- Run half -----------------------------------------------------------------------------------

typedef struct loaded_s {
  onednn_loaded_t base;
  onednn_norm_t problem;
} loaded_t;

typedef struct prepared_s {
  trivet_allocator_t allocator;
  dnnl_stream_t stream;
  onednn_call_t call;  // no primitive: nothing to compute
} prepared_t;

trivet_status_t onednn_norm_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                 void** out_loaded) {
  onednn_norm_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size == sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(onednn_norm_verify(&problem, load->blob_size));
  if (!is_mine(kernel, problem.kind)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: kind %u of another kernel",
                         problem.kind);
  }
  onednn_loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(onednn_loaded_create(load->allocator, sizeof(loaded_t), &loaded));
  ((loaded_t*)loaded)->problem = problem;
  *out_loaded = loaded;
  return TRIVET_OK;
}

static trivet_status_t make(prepared_t* p, const loaded_t* loaded,
                            const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace) {
  static const int names[ONEDNN_NORM_VECTORS] = {DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_MEAN,
                                                 DNNL_ARG_VARIANCE};
  static const dnnl_query_t queries[2] = {dnnl_query_src_md, dnnl_query_dst_md};
  const onednn_norm_t* problem = &loaded->problem;
  dnnl_primitive_desc_t descriptor = NULL;
  ONEDNN_RETURN_IF_ERROR(dnnl_stream_create(&p->stream, loaded->base.engine, 0), "stream");
  TRIVET_RETURN_IF_ERROR(
      onednn_norm_describe(problem, prepare->operands, true, loaded->base.engine, &descriptor));
  *out_workspace = 0;
  trivet_status_t status =
      onednn_call_init(&p->call, loaded->base.engine, descriptor, out_workspace);
  const dnnl_memory_desc_t* x = dnnl_primitive_desc_query_md(descriptor, queries[0], 0);
  const dnnl_memory_desc_t* y = dnnl_primitive_desc_query_md(descriptor, queries[1], 0);
  dnnl_memory_desc_t vector;
  dnnl_dims_t length = {x->dims[1]};
  if (!status) {
    status =
        onednn_check(dnnl_memory_desc_init_by_tag(&vector, 1, length, dnnl_f32, dnnl_a), "vector");
  }
  uint32_t operand = 0;
  if (!status) {
    status = onednn_call_add(&p->call, loaded->base.engine, x, DNNL_ARG_SRC, operand++, NULL);
  }
  for (uint32_t v = 0; v < ONEDNN_NORM_VECTORS && !status; ++v) {
    if (!(problem->present >> v & 1)) continue;
    status = onednn_call_add(&p->call, loaded->base.engine, &vector, names[v], operand++, NULL);
  }
  if (!status)
    status = onednn_call_add(&p->call, loaded->base.engine, y, DNNL_ARG_DST, operand, NULL);
  dnnl_primitive_desc_destroy(descriptor);
  return status;
}

trivet_status_t onednn_norm_prepare(const trivet_kernel_t* kernel, void* pointer,
                                    const trivet_kernel_prepare_t* prepare,
                                    uint64_t* out_workspace_size, void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  const uint32_t count = onednn_norm_operand_count(&loaded->problem);
  bool empty = false;
  if (prepare->operand_count != count) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, count);
  }
  for (uint32_t i = 0; i < count; ++i) {
    const trivet_operand_t* operand = &prepare->operands[i];
    if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != TRIVET_DTYPE_F32) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: operand %u is absent or not f32", i);
    }
    for (uint32_t d = 0; d < operand->rank; ++d) empty = empty || operand->dims[d] == 0;
  }
  prepared_t* p = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*p), &p));
  p->allocator = *prepare->allocator;
  *out_workspace_size = 0;
  trivet_executor_t* outer = onednn_executor_swap(prepare->executor);
  trivet_status_t status = empty ? TRIVET_OK : make(p, loaded, prepare, out_workspace_size);
  onednn_executor_swap(outer);
  if (status) {
    onednn_norm_release(kernel, p, prepare->allocator);
    return status;
  }
  *out_prepared = p;
  return TRIVET_OK;
}

void onednn_norm_release(const trivet_kernel_t* kernel, void* pointer,
                         const trivet_allocator_t* allocator) {
  (void)kernel, (void)allocator;
  prepared_t* p = (prepared_t*)pointer;
  if (!p) return;
  onednn_call_deinit(&p->call);
  if (p->stream) dnnl_stream_destroy(p->stream);
  const trivet_allocator_t owner = p->allocator;
  tvi_free(owner, p, sizeof(*p));
}

trivet_status_t onednn_norm_run(const trivet_kernel_t* kernel, void* pointer,
                                const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = (const prepared_t*)pointer;
  if (!p->call.primitive) return TRIVET_OK;
  for (uint32_t i = 0; i < p->call.arg_count; ++i) {
    const uint32_t source = p->call.sources[i];
    void* address = source == ONEDNN_SOURCE_SCRATCH ? launch->workspace : launch->addresses[source];
    TRIVET_RETURN_IF_ERROR(onednn_call_set(&p->call, i, address));
  }
  trivet_executor_t* outer = onednn_executor_swap(launch->executor);
  trivet_status_t status = onednn_call_execute(&p->call, p->stream);
  onednn_executor_swap(outer);
  return status;
}
