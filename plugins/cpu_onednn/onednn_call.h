// SPDX-License-Identifier: Apache-2.0
//
// One primitive with its arguments, ready to be executed: what prepare makes and run needs. An
// argument's address is found at run time by its source; whose number means what is the caller's
// business.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_CALL_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_CALL_H_

#include <oneapi/dnnl/dnnl.h>

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ONEDNN_MAX_ARGS 13u

// Sources that are no numbers of operands.
#define ONEDNN_SOURCE_OWN UINT32_MAX            // its address is set once
#define ONEDNN_SOURCE_SCRATCH (UINT32_MAX - 1)  // the beginning of the workspace

typedef struct onednn_call_s {
  dnnl_primitive_t primitive;  // NULL: not made
  uint32_t arg_count;
  dnnl_exec_arg_t args[ONEDNN_MAX_ARGS];
  uint32_t sources[ONEDNN_MAX_ARGS];
} onednn_call_t;

// What every loaded step begins with; its problem follows.
typedef struct onednn_loaded_s {
  dnnl_engine_t engine;
  size_t size;  // bytes of the whole
} onednn_loaded_t;

// Zeroed memory of |size| bytes that begins so, for load to fill; unload gives it back.
trivet_status_t onednn_loaded_create(const trivet_allocator_t* allocator, size_t size,
                                     onednn_loaded_t** out_loaded);
// The unload of all kernels here.
void onednn_unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator);

// Makes the primitive, and its scratchpad an argument; raises *inout_scratch to what that needs.
trivet_status_t onednn_call_init(onednn_call_t* call, dnnl_engine_t engine,
                                 const_dnnl_primitive_desc_t descriptor, uint64_t* inout_scratch);
void onednn_call_deinit(onednn_call_t* call);
// |address| may be NULL: set before each execution.
trivet_status_t onednn_call_add(onednn_call_t* call, dnnl_engine_t engine,
                                const dnnl_memory_desc_t* md, int name, uint32_t source,
                                void* address);
trivet_status_t onednn_call_set(const onednn_call_t* call, uint32_t arg, void* address);
trivet_status_t onednn_call_execute(const onednn_call_t* call, dnnl_stream_t stream);

// Executes and waits: for packing weights.
trivet_status_t onednn_reorder(dnnl_engine_t engine, dnnl_stream_t stream,
                               const dnnl_memory_desc_t* from, const void* source,
                               const dnnl_memory_desc_t* to, void* target);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_CALL_H_
