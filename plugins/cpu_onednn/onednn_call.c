// SPDX-License-Identifier: Apache-2.0
//
// Loaded steps, and primitives with their arguments: made by prepare, given addresses and executed
// by run. Knows no problem.
#include "plugins/cpu_onednn/onednn_call.h"

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

trivet_status_t onednn_loaded_create(const trivet_allocator_t* allocator, size_t size,
                                     onednn_loaded_t** out_loaded) {
  onednn_loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*allocator, size, &loaded));
  loaded->size = size;
  trivet_status_t status = onednn_check(dnnl_engine_create(&loaded->engine, dnnl_cpu, 0), "engine");
  if (status) {
    tvi_free(*allocator, loaded, size);
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

void onednn_unload(const trivet_kernel_t* kernel, void* pointer,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  onednn_loaded_t* loaded = (onednn_loaded_t*)pointer;
  if (!loaded) return;
  dnnl_engine_destroy(loaded->engine);
  tvi_free(*allocator, loaded, loaded->size);
}

trivet_status_t onednn_call_init(onednn_call_t* call, dnnl_engine_t engine,
                                 const_dnnl_primitive_desc_t descriptor, uint64_t* inout_scratch) {
  ONEDNN_RETURN_IF_ERROR(dnnl_primitive_create(&call->primitive, descriptor), "primitive");
  const dnnl_memory_desc_t* scratch =
      dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
  const uint64_t size = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
  if (size > *inout_scratch) *inout_scratch = size;
  if (size == 0) return TRIVET_OK;
  return onednn_call_add(call, engine, scratch, DNNL_ARG_SCRATCHPAD, ONEDNN_SOURCE_SCRATCH, NULL);
}

void onednn_call_deinit(onednn_call_t* call) {
  for (uint32_t i = 0; i < call->arg_count; ++i) dnnl_memory_destroy(call->args[i].memory);
  if (call->primitive) dnnl_primitive_destroy(call->primitive);
  call->arg_count = 0;
  call->primitive = NULL;
}

trivet_status_t onednn_call_add(onednn_call_t* call, dnnl_engine_t engine,
                                const dnnl_memory_desc_t* md, int name, uint32_t source,
                                void* address) {
  if (call->arg_count == ONEDNN_MAX_ARGS) return TRIVET_STATUS(INTERNAL, "too many arguments");
  dnnl_memory_t memory = NULL;
  ONEDNN_RETURN_IF_ERROR(
      dnnl_memory_create(&memory, md, engine, address ? address : DNNL_MEMORY_NONE), "memory");
  call->args[call->arg_count].arg = name;
  call->args[call->arg_count].memory = memory;
  call->sources[call->arg_count++] = source;
  return TRIVET_OK;
}

trivet_status_t onednn_call_set(const onednn_call_t* call, uint32_t arg, void* address) {
  return onednn_check(dnnl_memory_set_data_handle(call->args[arg].memory, address), "address");
}

trivet_status_t onednn_call_execute(const onednn_call_t* call, dnnl_stream_t stream) {
  return onednn_check(
      dnnl_primitive_execute(call->primitive, stream, (int)call->arg_count, call->args), "execute");
}

trivet_status_t onednn_reorder(dnnl_engine_t engine, dnnl_stream_t stream,
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
