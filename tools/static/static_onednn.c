// SPDX-License-Identifier: Apache-2.0
//
// The oneDNN kernels of libtrivet_static.a, in an object of their own: who names them links oneDNN
// too, and nobody else does.
#include "tools/static/plugin_queries.h"
#include "trivet/static.h"

const trivet_plugin_query_fn_t* trivet_static_plugins_onednn(void) {
  static const trivet_plugin_query_fn_t kPlugins[] = {trivet_plugin_query_cpu_onednn, 0};
  return kPlugins;
}
