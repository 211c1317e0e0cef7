// SPDX-License-Identifier: Apache-2.0
//
// Graphs of standard operators from text: whatever types and attributes a model gives them, hooks
// and kernel IR answer with a status. Small nodes are evaluated as well.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/allocator.h"
#include "core/graph/graph.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass.h"

extern "C" const trivet_plugin_t* trivet_plugin_query(uint32_t host_major, uint32_t host_minor);

namespace {

const tvi_registry_t* Registry() {
  static tvi_registry_t* registry = [] {
    tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
    tvi_registry_t* made = nullptr;
    if (tvi_registry_create(&options, trivet_allocator_system(), &made) != nullptr ||
        tvi_registry_add(made, tvi_graph_core_operators, nullptr) != nullptr ||
        tvi_registry_add(made, trivet_plugin_query, nullptr) != nullptr) {
      abort();
    }
    return made;
  }();
  return registry;
}

// Is everything that the node reads and writes known, and small?
bool IsSmall(const trivet_graph_t* graph, const tvi_node_t* node) {
  uint64_t size = 0, all = 0;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    const tvi_value_t* value = tvi_graph_value(graph, node->inputs[i]);
    trivet_tensor_t tensor;
    if (!tvi_value_tensor(value, &tensor)) return false;
    all += tensor.size;
  }
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    if (!tvi_value_static_size(tvi_graph_value(graph, node->outputs[i]), &size)) return false;
    all += size;
  }
  return all < 2048;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trivet_string_view_t text = {reinterpret_cast<const char*>(data), size};
  trivet_graph_t* graph = nullptr;
  trivet_status_t status = tvi_graph_parse(Registry(), text, trivet_allocator_system(), &graph);
  if (status != nullptr) {
    trivet_status_free(status);
    return 0;
  }
  status = tvi_graph_verify(graph);
  if (status != nullptr) abort();
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  for (tvi_node_id_t id = graph->first; id != 0;) {
    const tvi_node_t* node = tvi_graph_node(graph, id);
    tvi_node_id_t next = node->next;
    tvi_kir_program_t* program = nullptr;
    status = tvi_graph_node_program(graph, id, &arena, &program);
    if (status == nullptr && tvi_kir_verify(program) != nullptr) abort();
    trivet_status_free(status);
    if (node->output_count == 1 && IsSmall(graph, node)) {
      tvi_value_id_t made = 0;
      trivet_status_free(tvi_graph_evaluate_node(graph, id, &made));
    }
    bool expanded = false;
    trivet_status_free(tvi_graph_expand_node(graph, id, &expanded));
    tvi_arena_reset(&arena);
    id = next;
  }
  tvi_arena_deinit(&arena);
  tvi_graph_destroy(graph);
  return 0;
}
