// SPDX-License-Identifier: Apache-2.0
//
// Copies observed values out after a run: from the layout that the plan gave them to dense
// row-major memory of the caller. Reads only what a run has written.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

// Elements of less than a byte are packed, the first one in the lowest bits.
static void copy_packed(uint32_t bits, uint8_t* dst, int64_t to, const uint8_t* src, int64_t from) {
  uint32_t per_byte = 8 / bits;
  uint32_t mask = (1u << bits) - 1;
  uint32_t value = (uint32_t)src[from / per_byte] >> (uint32_t)(from % per_byte) * bits & mask;
  uint32_t shift = (uint32_t)(to % per_byte) * bits;
  dst[to / per_byte] = (uint8_t)((dst[to / per_byte] & ~(mask << shift)) | value << shift);
}

static void copy_out(const trivet_operand_t* view, const char* src, char* dst) {
  uint32_t bits = tvi_dtype_bits(view->dtype);
  uint32_t bytes = bits / 8;
  int64_t count = tvi_operand_element_count(view);
  int64_t index[TRIVET_MAX_RANK] = {0};
  int64_t from = 0;
  for (int64_t to = 0; to < count; ++to) {
    if (bits < 8) {
      copy_packed(bits, (uint8_t*)dst, to, (const uint8_t*)src, from);
    } else {
      memcpy(dst + to * bytes, src + from * bytes, bytes);
    }
    for (uint32_t d = view->rank; d-- > 0;) {
      from += view->strides[d];
      if (++index[d] < view->dims[d]) break;
      from -= view->strides[d] * view->dims[d];
      index[d] = 0;
    }
  }
}

// On a device the bytes of the view's buffer come to the host first.
static trivet_status_t copy_from_device(trivet_context_t* context, const trivet_operand_t* view,
                                        const char* src, uint64_t reach, size_t size, char* dst) {
  if (tvi_operand_is_dense(view)) {
    TRIVET_RETURN_IF_ERROR(tvi_context_copy(context, context->stream, dst, src, size));
    return tvi_context_finish(context);
  }
  char* bytes;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_aligned(context->allocator, reach, TVI_CONTEXT_ALIGNMENT, &bytes));
  trivet_status_t status = tvi_context_copy(context, context->stream, bytes, src, reach);
  status = trivet_status_join(status, tvi_context_finish(context));
  if (status == NULL) copy_out(view, bytes, dst);
  tvi_free_aligned(context->allocator, bytes, reach, TVI_CONTEXT_ALIGNMENT);
  return status;
}

trivet_status_t tvi_context_copy_observed(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = engine->input_count + engine->output_count; i < engine->tensor_count; ++i) {
    if (context->addresses[i] == NULL) continue;
    uint32_t tensor = engine->tensors[i].tensor;
    trivet_operand_t view;
    int64_t offset;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_context_view(context, tensor, &view, &offset),
                                     "observed value '%s'", engine->tensors[i].name);
    int64_t count = tvi_operand_element_count(&view);
    if (count == 0) continue;
    const char* src = context->buffers[engine->program->tensors[tensor].buffer].base + offset;
    size_t size;
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(view.dtype, count, &size));
    uint32_t buffer = engine->program->tensors[tensor].buffer;
    if (context->device != NULL) {
      TRIVET_RETURN_IF_ERROR_ANNOTATED(
          copy_from_device(context, &view, src, context->buffers[buffer].size - (uint64_t)offset,
                           size, context->addresses[i]),
          "observed value '%s'", engine->tensors[i].name);
    } else if (tvi_operand_is_dense(&view)) {
      memcpy(context->addresses[i], src, size);
    } else {
      copy_out(&view, src, context->addresses[i]);
    }
  }
  return TRIVET_OK;
}
