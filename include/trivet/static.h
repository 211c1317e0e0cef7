// SPDX-License-Identifier: Apache-2.0
//
// trivet/static.h: the plugins that libtrivet_static.a holds, for programs that load nothing. Only
// programs that link that archive include it.
//
//   for (const trivet_plugin_query_fn_t* q = trivet_static_plugins(); *q; ++q)
//     trivet_builder_add_plugin(builder, *q);  // and trivet_runtime_add_plugin
//
// Only that archive has this function. Plugins of your own are added the same way, compiled with
// -DTRIVET_PLUGIN_STATIC_NAME=trivet_plugin_query_NAME.
#ifndef TRIVET_STATIC_H_
#define TRIVET_STATIC_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// Query functions, ended by NULL: passes, standard operators, the ONNX frontend, the CPU target.
TRIVET_API const trivet_plugin_query_fn_t* trivet_static_plugins(void);
// oneDNN's kernels for the CPU. Who calls this links oneDNN (`pkg-config --libs
// trivet-static-onednn`).
TRIVET_API const trivet_plugin_query_fn_t* trivet_static_plugins_onednn(void);
// The CUDA target, cuBLASLt and cuDNN kernels, as far as their headers were there when Trivet was
// built; they open the libraries when they are used. Loads nothing more into a program without a
// GPU.
TRIVET_API const trivet_plugin_query_fn_t* trivet_static_plugins_cuda(void);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_STATIC_H_
