// SPDX-License-Identifier: Apache-2.0
//
// The entries of the plugins in libtrivet_static.a, as its rule names them. Each table of plugins
// is an object of its own, so that a program links only the plugins that it asks for.
#ifndef TRIVET_TOOLS_STATIC_PLUGIN_QUERIES_H_
#define TRIVET_TOOLS_STATIC_PLUGIN_QUERIES_H_

#include "trivet/plugin.h"

#define TVI_STATIC_PLUGIN(name) \
  const trivet_plugin_t* trivet_plugin_query_##name(uint32_t host_major, uint32_t host_minor)

TVI_STATIC_PLUGIN(passes);
TVI_STATIC_PLUGIN(ops_standard);
TVI_STATIC_PLUGIN(onnx);
TVI_STATIC_PLUGIN(cpu);
TVI_STATIC_PLUGIN(cpu_onednn);
TVI_STATIC_PLUGIN(cuda);
TVI_STATIC_PLUGIN(cuda_blas);
TVI_STATIC_PLUGIN(cuda_dnn);

#endif  // TRIVET_TOOLS_STATIC_PLUGIN_QUERIES_H_
