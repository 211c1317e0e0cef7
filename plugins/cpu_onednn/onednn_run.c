// SPDX-License-Identifier: Apache-2.0
//
// Run half. load checks the blob; prepare makes the primitive for the shapes at hand, and packs
// weights again where oneDNN wants them otherwise than the plan has them (another processor,
// another shape); run sets addresses and executes.
#include "plugins/cpu_onednn/onednn_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_openmp.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

typedef struct loaded_s {
  onednn_problem_t problem;
  dnnl_engine_t engine;
} loaded_t;

#define MAX_ARGS (ONEDNN_MAX_POSTOPS + 5)

typedef struct prepared_s {
  trivet_allocator_t allocator;
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  uint32_t arg_count;
  uint32_t scratch_arg;  // position in args; MAX_ARGS: none
  dnnl_exec_arg_t args[MAX_ARGS];
  uint32_t operands[MAX_ARGS];  // operand whose address the argument gets; UINT32_MAX: its own
  void* weights;                // packed again; NULL: the plan's
  size_t weights_size;
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
  loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*load->allocator, sizeof(*loaded), &loaded));
  loaded->problem = problem;
  trivet_status_t status = onednn_check(dnnl_engine_create(&loaded->engine, dnnl_cpu, 0), "engine");
  if (status) {
    tvi_free(*load->allocator, loaded, sizeof(*loaded));
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

void onednn_unload(const trivet_kernel_t* kernel, void* pointer,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  loaded_t* loaded = (loaded_t*)pointer;
  if (!loaded) return;
  dnnl_engine_destroy(loaded->engine);
  tvi_free(*allocator, loaded, sizeof(*loaded));
}

static trivet_status_t add_arg(prepared_t* p, dnnl_engine_t engine, const dnnl_memory_desc_t* md,
                               int name, uint32_t operand, void* address) {
  if (p->arg_count == MAX_ARGS) return TRIVET_STATUS(INTERNAL, "too many arguments");
  dnnl_memory_t memory = NULL;
  ONEDNN_RETURN_IF_ERROR(
      dnnl_memory_create(&memory, md, engine, address ? address : DNNL_MEMORY_NONE), "memory");
  p->args[p->arg_count].arg = name;
  p->args[p->arg_count].memory = memory;
  p->operands[p->arg_count++] = operand;
  return TRIVET_OK;
}

static trivet_status_t reorder(dnnl_engine_t engine, dnnl_stream_t stream,
                               const dnnl_memory_desc_t* from, const void* source,
                               const dnnl_memory_desc_t* to, void* target) {
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_primitive_t primitive = NULL;
  dnnl_memory_t in = NULL, out = NULL;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&descriptor, from, engine, to, engine, NULL);
  if (status == dnnl_success) status = dnnl_primitive_create(&primitive, descriptor);
  if (status == dnnl_success) status = dnnl_memory_create(&in, from, engine, (void*)source);
  if (status == dnnl_success) status = dnnl_memory_create(&out, to, engine, target);
  if (status == dnnl_success) {
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};
    status = dnnl_primitive_execute(primitive, stream, 2, args);
  }
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  if (out) dnnl_memory_destroy(out);
  if (in) dnnl_memory_destroy(in);
  if (primitive) dnnl_primitive_destroy(primitive);
  if (descriptor) dnnl_primitive_desc_destroy(descriptor);
  return onednn_check(status, "packing weights");
}

static uint64_t span(const trivet_operand_t* operand) {
  uint64_t bytes = sizeof(float);
  for (uint32_t d = 0; d < operand->rank; ++d) bytes *= (uint64_t)operand->dims[d];
  return bytes;
}

// The weights argument: in the plan's packing if oneDNN wants just that, else packed now.
static trivet_status_t add_weights(prepared_t* p, const loaded_t* loaded,
                                   const trivet_operand_t* operand, const onednn_descriptors_t* d,
                                   dnnl_primitive_desc_t pd) {
  const onednn_packing_t* packing = &loaded->problem.packing;
  const dnnl_memory_desc_t* wanted = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
  dnnl_memory_desc_t given = d->weights;
  if (packing->present) {
    TRIVET_RETURN_IF_ERROR(onednn_packing_to(packing, &given));
    if (!operand->constant || dnnl_memory_desc_get_size(&given) > span(operand)) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: packed weights of %zu bytes lie in %llu",
                           dnnl_memory_desc_get_size(&given), (unsigned long long)span(operand));
    }
  }
  if (dnnl_memory_desc_equal(wanted, &given)) {
    return add_arg(p, loaded->engine, wanted, DNNL_ARG_WEIGHTS, 1, NULL);
  }
  if (!operand->constant) {
    return TRIVET_STATUS(INTERNAL, "oneDNN wants weights packed that are computed at run time");
  }
  p->weights_size = dnnl_memory_desc_get_size(wanted);
  TRIVET_RETURN_IF_ERROR(tvi_alloc_aligned(p->allocator, p->weights_size, 64, &p->weights));
  TRIVET_RETURN_IF_ERROR(
      reorder(loaded->engine, p->stream, &given, operand->constant, wanted, p->weights));
  return add_arg(p, loaded->engine, wanted, DNNL_ARG_WEIGHTS, UINT32_MAX, p->weights);
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

static trivet_status_t make(prepared_t* p, const loaded_t* loaded,
                            const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace) {
  const onednn_problem_t* problem = &loaded->problem;
  onednn_descriptors_t d;
  dnnl_primitive_desc_t pd = NULL;
  TRIVET_RETURN_IF_ERROR(
      onednn_describe(problem, prepare->operands, problem->packing.present != 0, &d));
  // Weights that are computed at run time stay as they lie.
  bool fixed = d.has_weights && !prepare->operands[1].constant;
  TRIVET_RETURN_IF_ERROR(
      onednn_create_descriptor(problem, &d, fixed ? &d.weights : NULL, true, loaded->engine, &pd));
  trivet_status_t status = onednn_check(dnnl_primitive_create(&p->primitive, pd), "primitive");
  dnnl_engine_t engine = loaded->engine;
  if (!status) status = onednn_check(dnnl_stream_create(&p->stream, engine, 0), "stream");
  if (!status) status = add_arg(p, engine, &d.x, DNNL_ARG_SRC, 0, NULL);
  if (!status && d.has_weights) status = add_weights(p, loaded, &prepare->operands[1], &d, pd);
  for (uint32_t i = 0; i < problem->postop_count && !status; ++i) {
    const onednn_postop_t* postop = &problem->postops[i];
    if (postop->kind == ONEDNN_POST_BIAS) {
      status = add_arg(p, engine, &d.bias, DNNL_ARG_BIAS, postop->operand, NULL);
    } else if (postop->kind == ONEDNN_POST_BINARY) {
      uint32_t position = 0;  // biases are no post-operations of the primitive
      for (uint32_t j = 0; j < i; ++j) position += problem->postops[j].kind != ONEDNN_POST_BIAS;
      int name = DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)position) | DNNL_ARG_SRC_1;
      status = add_arg(p, engine, &d.postops[i], name, postop->operand, NULL);
    }
  }
  if (!status) status = add_arg(p, engine, &d.y, DNNL_ARG_DST, problem->operand_count - 1, NULL);
  const dnnl_memory_desc_t* scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  *out_workspace = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
  p->scratch_arg = MAX_ARGS;
  if (!status && *out_workspace) {
    p->scratch_arg = p->arg_count;
    status = add_arg(p, engine, scratch, DNNL_ARG_SCRATCHPAD, UINT32_MAX, NULL);
  }
  dnnl_primitive_desc_destroy(pd);
  return status;
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
  for (uint32_t i = 0; i < p->arg_count; ++i) dnnl_memory_destroy(p->args[i].memory);
  if (p->primitive) dnnl_primitive_destroy(p->primitive);
  if (p->stream) dnnl_stream_destroy(p->stream);
  trivet_allocator_t owner = p->allocator;
  if (p->weights) tvi_free_aligned(owner, p->weights, p->weights_size, 64);
  tvi_free(owner, p, sizeof(*p));
}

trivet_status_t onednn_run(const trivet_kernel_t* kernel, void* pointer,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  prepared_t* p = (prepared_t*)pointer;
  for (uint32_t i = 0; i < p->arg_count; ++i) {
    void* address = i == p->scratch_arg ? launch->workspace : NULL;
    if (p->operands[i] != UINT32_MAX) address = launch->addresses[p->operands[i]];
    if (!address) continue;
    ONEDNN_RETURN_IF_ERROR(dnnl_memory_set_data_handle(p->args[i].memory, address), "address");
  }
  trivet_executor_t* outer = onednn_executor_swap(launch->executor);
  dnnl_status_t status =
      dnnl_primitive_execute(p->primitive, p->stream, (int)p->arg_count, p->args);
  onednn_executor_swap(outer);
  return onednn_check(status, "execute");
}
