// SPDX-License-Identifier: Apache-2.0
//
// Memory runs out at every place of a whole way: registry, builder, expansion, folding, rewriting,
// inference, evaluation, printing. Each time there is an error and nothing leaks.
#include <gtest/gtest.h>

#include "tests/support/failing_allocator.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::View;

const trivet_plugin_t* Rules(uint32_t, uint32_t) {
  TRIVET_REWRITE(swish, "swish", "for tests",
                 "match { %s = test.Sigmoid(%x) %y = test.Mul(%s, %x) } where one_use(%s)\n"
                 "to { %k = const 1.0 dtype(%x) %t = test.Mul(%x, %k) %y = test.Swish(%t) }");
  static const void* const definitions[] = {&swish};
  static const trivet_plugin_t plugin = {TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                                         TRIVET_ABI_MAJOR,
                                         TRIVET_ABI_MINOR,
                                         TRIVET_SANITIZER,
                                         TRIVET_HALF_BUILD,
                                         "rules",
                                         "1",
                                         "",
                                         definitions,
                                         1};
  return &plugin;
}

#define RETURN_IF(expression)               \
  do {                                      \
    trivet_status_t status_ = (expression); \
    if (status_ != nullptr) return status_; \
  } while (0)

trivet_status_t Edit(trivet_graph_t* graph) {
  RETURN_IF(tvi_graph_infer(graph));
  for (tvi_node_id_t id = graph->first; id != 0;) {
    tvi_node_id_t next = tvi_graph_node(graph, id)->next;
    const tvi_node_t* node = tvi_graph_node(graph, id);
    if (tvi_node_is(node, "test.Swish")) {
      bool expanded = false;
      RETURN_IF(tvi_graph_expand_node(graph, id, &expanded));
    } else if (tvi_node_is(node, "test.Relu")) {
      tvi_value_id_t made = 0;
      RETURN_IF(tvi_graph_evaluate_node(graph, id, &made));
      RETURN_IF(tvi_graph_replace_value(graph, node->outputs[0], made));
    }
    id = next;
  }
  uint32_t removed = 0;
  RETURN_IF(tvi_graph_remove_dead(graph, &removed));
  return tvi_graph_verify(graph);
}

trivet_status_t UseGraph(const tvi_registry_t* registry, trivet_allocator_t allocator,
                         trivet_graph_t* graph) {
  tvi_pass_options_t options = {};
  options.stop_after = -1;
  options.skip_nodes = "kept, kept";
  tvi_pass_manager_t* manager = nullptr;
  RETURN_IF(tvi_pass_manager_create(registry, &options, allocator, &manager));
  trivet_status_t status = tvi_pass_manager_run(manager, "(swish)*", graph);
  tvi_pass_manager_destroy(manager);
  RETURN_IF(status);
  RETURN_IF(Edit(graph));
  float data[2] = {1, 2};
  trivet_tensor_t input = {};
  input.dtype = TRIVET_DTYPE_F32;
  input.rank = 1;
  input.dims[0] = 2;
  input.data = data;
  input.size = sizeof(data);
  trivet_tensor_t outputs[3] = {};
  RETURN_IF(tvi_graph_evaluate_graph(graph, &input, 1, allocator, outputs));
  for (trivet_tensor_t& output : outputs) tvi_free(allocator, output.data, output.size);
  return nullptr;
}

trivet_status_t Build(trivet_graph_t* graph) {
  trivet_graph_builder_t* builder = nullptr;
  RETURN_IF(tvi_graph_builder_create(graph, nullptr, &builder));
  trivet_status_t status = nullptr;
  trivet_type_t type = {};
  type.dtype = TRIVET_DTYPE_F32;
  type.rank = 1;
  type.dims[0] = builder->api->dim_symbol(builder, View("n"));
  trivet_value_t x = 0, s = 0, y = 0, c = 0, r = 0, p = 0;
  float data[2] = {-1, 1};
  trivet_tensor_t constant = {};
  constant.dtype = TRIVET_DTYPE_F32;
  constant.rank = 1;
  constant.dims[0] = 2;
  constant.data = data;
  constant.size = sizeof(data);
  trivet_origin_t origin = {View("f"), View("node"), View("op")};
  trivet_origin_t kept = {View("f"), View("kept"), View("op")};
  if (status == nullptr) status = builder->api->add_input(builder, View("x"), &type, &x);
  if (status == nullptr) {
    status = builder->api->add_node(builder, "test.Sigmoid", 0, &x, 1, nullptr, 0, &origin, 1, &s);
  }
  trivet_value_t operands[2] = {x, s};
  if (status == nullptr) {
    status =
        builder->api->add_node(builder, "test.Mul", 0, operands, 2, nullptr, 0, &origin, 1, &y);
  }
  if (status == nullptr) {
    status = builder->api->add_constant(builder, View("c"), &constant, TRIVET_CONSTANT_COPY, &c);
  }
  if (status == nullptr) {
    status = builder->api->add_node(builder, "test.Relu", 0, &c, 1, nullptr, 0, &kept, 1, &r);
  }
  if (status == nullptr) {
    status = builder->api->add_node(builder, "test.Positive", 0, &x, 1, nullptr, 0, nullptr, 1, &p);
  }
  if (status == nullptr) status = builder->api->add_output(builder, View("y"), y);
  if (status == nullptr) status = builder->api->add_output(builder, View("r"), r);
  if (status == nullptr) status = builder->api->add_output(builder, View("p"), p);
  tvi_graph_builder_destroy(builder);
  return status;
}

TEST(PassMemory, EveryFailingAllocationIsAnError) {
  uint64_t failures =
      trivet_test::ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
        tvi_registry_t* registry = nullptr;
        trivet_graph_t* graph = nullptr;
        trivet_status_t status = trivet_test::MakeRegistry(allocator, &registry);
        if (status == nullptr) status = tvi_registry_add(registry, Rules, nullptr);
        if (status == nullptr) status = tvi_graph_create(registry, allocator, &graph);
        if (status == nullptr) status = Build(graph);
        if (status == nullptr) status = UseGraph(registry, allocator, graph);
        tvi_graph_destroy(graph);
        tvi_registry_destroy(registry);
        return status;
      });
  EXPECT_GT(failures, 100u);
}

}  // namespace
