// SPDX-License-Identifier: Apache-2.0
//
// The CUDA target of libtrivet_static.a. Its libraries are opened when it is used, so that nothing
// more is linked and a machine without them runs the program.
#include "tools/static/plugin_queries.h"
#include "trivet/static.h"

const trivet_plugin_query_fn_t* trivet_static_plugins_cuda(void) {
  static const trivet_plugin_query_fn_t kPlugins[] = {
#if TRIVET_STATIC_CUDA
    trivet_plugin_query_cuda,
    trivet_plugin_query_cuda_blas,
#endif
#if TRIVET_STATIC_CUDNN
    trivet_plugin_query_cuda_dnn,
#endif
    0
  };
  return kPlugins;
}
