// SPDX-License-Identifier: Apache-2.0
//
// The table of plugins that libtrivet_static.a holds. It is in no shared library: those load what
// they need from files.
#include "trivet/static.h"

#define PLUGIN(name) \
  const trivet_plugin_t* trivet_plugin_query_##name(uint32_t host_major, uint32_t host_minor)
PLUGIN(passes);
PLUGIN(ops_standard);
PLUGIN(onnx);
PLUGIN(cpu);

const trivet_plugin_query_fn_t* trivet_static_plugins(void) {
  static const trivet_plugin_query_fn_t kPlugins[] = {
      trivet_plugin_query_passes, trivet_plugin_query_ops_standard, trivet_plugin_query_onnx,
      trivet_plugin_query_cpu, 0};
  return kPlugins;
}
