// SPDX-License-Identifier: Apache-2.0
//
// Steps that an operator's host function runs: it sees dense tensors in host memory and its
// attributes, and asks for its outputs. Extents that only it can know bind symbols, which later
// steps are prepared with. Scratch memory is kept from run to run.
#include <stdarg.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/context/context.h"

#define SCRATCH_SIZE ((uint64_t)1 << 16)

typedef struct host_call_s {
  trivet_evaluation_t base;
  trivet_context_t* context;
  const tvi_engine_alternative_t* alternative;
  trivet_tensor_t* tensors;  // inputs, then outputs; data NULL and dtype 0: absent or not asked for
  uint32_t input_count;
} host_call_t;

// The operator, as the plan names it.
static const char* op_name(const host_call_t* call) { return call->alternative->plan->kernel.data; }

// --- Scratch -------------------------------------------------------------------------------------

static trivet_status_t scratch_alloc(trivet_context_t* context, uint64_t size, void** out_memory) {
  uint64_t rounded;
  if (!tvi_checked_align_up_u64(size, TVI_CONTEXT_ALIGNMENT, &rounded)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "scratch of %llu bytes", (unsigned long long)size);
  }
  tvi_context_scratch_t* chunk = context->scratch;
  while (chunk != NULL && chunk->size - chunk->used < rounded) chunk = chunk->next;
  if (chunk == NULL) {
    TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(context->allocator, sizeof(*chunk), &chunk));
    chunk->size = rounded > SCRATCH_SIZE ? rounded : SCRATCH_SIZE;
    trivet_status_t status =
        tvi_alloc_aligned(context->allocator, chunk->size, TVI_CONTEXT_ALIGNMENT, &chunk->memory);
    if (status != NULL) {
      tvi_free(context->allocator, chunk, sizeof(*chunk));
      return status;
    }
    chunk->next = context->scratch;
    context->scratch = chunk;
  }
  *out_memory = chunk->memory + chunk->used;
  chunk->used += rounded;
  return TRIVET_OK;
}

static void scratch_reset(trivet_context_t* context) {
  for (tvi_context_scratch_t* each = context->scratch; each != NULL; each = each->next) {
    each->used = 0;
  }
}

void tvi_context_free_scratch(trivet_context_t* context) {
  while (context->scratch != NULL) {
    tvi_context_scratch_t* chunk = context->scratch;
    context->scratch = chunk->next;
    tvi_free_aligned(context->allocator, chunk->memory, chunk->size, TVI_CONTEXT_ALIGNMENT);
    tvi_free(context->allocator, chunk, sizeof(*chunk));
  }
}

// --- What the function sees ----------------------------------------------------------------------

static uint32_t call_input_count(const trivet_evaluation_t* base) {
  return ((const host_call_t*)base)->input_count;
}

static uint32_t call_output_count(const trivet_evaluation_t* base) {
  return ((const host_call_t*)base)->alternative->plan->output_count;
}

static const trivet_tensor_t* call_input(const trivet_evaluation_t* base, uint32_t index) {
  const host_call_t* call = (const host_call_t*)base;
  if (index >= call->input_count) return NULL;
  return call->tensors[index].dtype != TRIVET_DTYPE_INVALID ? &call->tensors[index] : NULL;
}

static const trivet_attribute_t* call_attribute(const trivet_evaluation_t* base, const char* name) {
  const tvi_engine_alternative_t* alternative = ((const host_call_t*)base)->alternative;
  for (uint32_t i = 0; i < alternative->attribute_count; ++i) {
    if (strcmp(alternative->attributes[i].name, name) == 0) return &alternative->attributes[i];
  }
  return NULL;
}

// Memory of |size| bytes where the output lies.
static trivet_status_t output_memory(trivet_context_t* context, const tvi_plan_tensor_t* tensor,
                                     uint64_t size, void** out_memory) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_buffer_t* from = &engine->program->buffers[tensor->buffer];
  tvi_context_buffer_t* buffer = &context->buffers[tensor->buffer];
  bool is_late = engine->buffer_is_late[tensor->buffer];
  int64_t offset;
  uint64_t end;
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->offset, &offset));
  if (offset < 0 || !tvi_checked_add_u64((uint64_t)offset, size, &end)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "offset %lld, size %llu", (long long)offset,
                         (unsigned long long)size);
  }
  if (is_late && from->kind == TVI_PLAN_BUFFER_ARENA) {
    TRIVET_RETURN_IF_ERROR(tvi_context_grow_buffer(context, tensor->buffer, end));
  } else if (!is_late && end > buffer->size) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%llu bytes are wanted, the plan has %llu for it",
                         (unsigned long long)end, (unsigned long long)buffer->size);
  }
  *out_memory = buffer->base != NULL ? buffer->base + offset : NULL;
  return TRIVET_OK;
}

static trivet_status_t check_output(const trivet_context_t* context, uint32_t index,
                                    const tvi_plan_tensor_t* tensor, uint32_t dtype, uint32_t rank,
                                    const int64_t* dims) {
  if (dtype != tensor->dtype || rank != tensor->rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "output %u is %s of rank %u, the plan says %s of rank %u", index,
                         tvi_dtype_name(dtype), rank, tvi_dtype_name(tensor->dtype), tensor->rank);
  }
  for (uint32_t d = 0; d < rank; ++d) {
    int64_t wanted = dims[d];
    // Late extents are compared when all symbols are bound.
    if (!context->engine->expr_is_late[tensor->dims[d]]) wanted = context->values[tensor->dims[d]];
    if (dims[d] == wanted && dims[d] >= 0) continue;
    return TRIVET_STATUS(INVALID_ARGUMENT, "output %u: extent %u is %lld, the plan says %lld",
                         index, d, (long long)dims[d], (long long)wanted);
  }
  return TRIVET_OK;
}

static trivet_status_t call_output(trivet_evaluation_t* base, uint32_t index, uint32_t dtype,
                                   uint32_t rank, const int64_t* dims,
                                   trivet_tensor_t** out_tensor) {
  host_call_t* call = (host_call_t*)base;
  const tvi_plan_alternative_t* plan = call->alternative->plan;
  if (index >= plan->output_count || plan->operands[call->input_count + index] == TVI_PLAN_NONE) {
    *out_tensor = NULL;
    return TRIVET_OK;
  }
  const tvi_plan_tensor_t* from =
      &call->context->engine->program->tensors[plan->operands[call->input_count + index]];
  TRIVET_RETURN_IF_ERROR(check_output(call->context, index, from, dtype, rank, dims));
  int64_t count;
  size_t size;
  if (!tvi_checked_element_count(dims, rank, &count)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "output %u has too many elements", index);
  }
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dtype, count, &size));
  trivet_tensor_t tensor = {.dtype = dtype, .rank = rank, .size = size};
  if (rank != 0) memcpy(tensor.dims, dims, rank * sizeof(*dims));
  TRIVET_RETURN_IF_ERROR_ANNOTATED(output_memory(call->context, from, size, &tensor.data),
                                   "output %u", index);
  trivet_tensor_t* output = &call->tensors[call->input_count + index];
  *output = tensor;
  *out_tensor = output;
  return TRIVET_OK;
}

static trivet_status_t call_scratch(trivet_evaluation_t* base, uint64_t size, void** out_memory) {
  return scratch_alloc(((host_call_t*)base)->context, size, out_memory);
}

static trivet_status_t call_error(const trivet_evaluation_t* base, uint32_t code,
                                  const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, NULL, 0, format, arguments);
  va_end(arguments);
  return trivet_status_annotate(status, "operator %s", op_name((const host_call_t*)base));
}

static const trivet_evaluation_api_t call_api = {
    .struct_size = (uint32_t)sizeof(trivet_evaluation_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .input_count = call_input_count,
    .output_count = call_output_count,
    .input = call_input,
    .attribute = call_attribute,
    .output = call_output,
    .scratch = call_scratch,
    .error = call_error,
};

// --- The step ------------------------------------------------------------------------------------

static trivet_status_t fill_inputs(host_call_t* call, uint32_t step) {
  trivet_context_t* context = call->context;
  uint32_t first = context->engine->steps[step].first_operand;
  const tvi_plan_alternative_t* plan = call->alternative->plan;
  for (uint32_t k = 0; k < plan->operand_count; ++k) {
    call->tensors[k] = (trivet_tensor_t){0};
    if (k >= call->input_count || plan->operands[k] == TVI_PLAN_NONE) continue;
    const tvi_plan_tensor_t* from = &context->engine->program->tensors[plan->operands[k]];
    trivet_tensor_t* tensor = &call->tensors[k];
    tensor->dtype = from->dtype;
    tensor->rank = from->rank;
    int64_t count = 1;
    for (uint32_t d = 0; d < from->rank; ++d) {
      TRIVET_RETURN_IF_ERROR(tvi_context_value(context, from->dims[d], &tensor->dims[d]));
      count *= tensor->dims[d];
    }
    size_t size;
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(from->dtype, count, &size));
    tensor->size = size;
    tensor->data = context->operand_addresses[first + k];
  }
  return TRIVET_OK;
}

static trivet_status_t bind_symbols(host_call_t* call, const tvi_plan_step_t* step) {
  for (uint32_t i = 0; i < step->bound_symbol_count; ++i) {
    const tvi_plan_bound_symbol_t* bound = &step->bound_symbols[i];
    const trivet_tensor_t* output = &call->tensors[call->input_count + bound->output];
    if (output->dtype == TRIVET_DTYPE_INVALID || bound->axis >= output->rank) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "operator %s was to make extent %u of output %u known and did not",
                           op_name(call), bound->axis, bound->output);
    }
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_context_bind_late(call->context, bound->symbol, output->dims[bound->axis]),
        "output %u: extent %u", bound->output, bound->axis);
  }
  return step->bound_symbol_count != 0 ? tvi_context_check_guards(call->context, true) : TRIVET_OK;
}

// With all symbols bound, the outputs must be what the plan says they are.
static trivet_status_t check_outputs(host_call_t* call) {
  const tvi_plan_alternative_t* plan = call->alternative->plan;
  for (uint32_t k = call->input_count; k < plan->operand_count; ++k) {
    if (plan->operands[k] == TVI_PLAN_NONE) continue;
    const trivet_tensor_t* output = &call->tensors[k];
    trivet_operand_t operand;
    int64_t offset;
    TRIVET_RETURN_IF_ERROR(tvi_context_view(call->context, plan->operands[k], &operand, &offset));
    if (output->dtype == TRIVET_DTYPE_INVALID) {
      if (tvi_operand_element_count(&operand) == 0) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT, "operator %s did not make its output %u",
                           op_name(call), k - call->input_count);
    }
    for (uint32_t d = 0; d < operand.rank; ++d) {
      if (operand.dims[d] == output->dims[d]) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT, "output %u: extent %u is %lld, the plan says %lld",
                           k - call->input_count, d, (long long)output->dims[d],
                           (long long)operand.dims[d]);
    }
    if (!tvi_operand_is_dense(&operand)) {
      return TRIVET_STATUS(DATA_LOSS, "output %u of a host function is not dense",
                           k - call->input_count);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_run_host(trivet_context_t* context, uint32_t step) {
  const tvi_engine_alternative_t* alternative = context->steps[step].alternative;
  host_call_t call = {
      .base = {&call_api},
      .context = context,
      .alternative = alternative,
      .tensors = context->step_tensors,
      .input_count = alternative->plan->operand_count - alternative->plan->output_count,
  };
  scratch_reset(context);
  TRIVET_RETURN_IF_ERROR(fill_inputs(&call, step));
  if (alternative->op != NULL) {
    TRIVET_RETURN_IF_ERROR(alternative->op->evaluate(alternative->op, &call.base));
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_context_run_control(context, step, &call.base));
  }
  TRIVET_RETURN_IF_ERROR(bind_symbols(&call, context->engine->steps[step].plan));
  return check_outputs(&call);
}
