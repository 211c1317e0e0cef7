// SPDX-License-Identifier: Apache-2.0
//
// The table of plugins that libtrivet_static.a holds and that need no other library. It is in no
// shared library: those load what they need from files.
#include "tools/static/plugin_queries.h"
#include "trivet/static.h"

const trivet_plugin_query_fn_t* trivet_static_plugins(void) {
  static const trivet_plugin_query_fn_t kPlugins[] = {
      trivet_plugin_query_passes, trivet_plugin_query_ops_standard, trivet_plugin_query_onnx,
      trivet_plugin_query_cpu, 0};
  return kPlugins;
}
