// SPDX-License-Identifier: Apache-2.0
//
// What a pass from outside sees and does, through the table of plugin.h alone: queries, dimensions
// with symbols, typed attributes, changes, and every mistake that it can make.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>

#include "core/pass/pass.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;

using Body = std::function<trivet_status_t(trivet_pass_context_t*, trivet_graph_t*)>;
Body* current_body = nullptr;

trivet_status_t RunBody(const trivet_pass_t*, trivet_pass_context_t* context, trivet_graph_t* graph,
                        uint32_t*) {
  return (*current_body)(context, graph);
}

const trivet_plugin_t* Passes(uint32_t, uint32_t) {
  TRIVET_PASS(body, "body", "for tests", RunBody);
  static const void* const definitions[] = {&body};
  static const trivet_plugin_t plugin = {TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                                         TRIVET_ABI_MAJOR,
                                         TRIVET_ABI_MINOR,
                                         TRIVET_SANITIZER,
                                         TRIVET_HALF_BUILD,
                                         "test_passes",
                                         "1",
                                         "for tests",
                                         definitions,
                                         1};
  return &plugin;
}

class PassApi : public trivet_test::GraphTest {
 protected:
  void SetUp() override {
    GraphTest::SetUp();
    ASSERT_EQ(Take(tvi_registry_add(registry_, Passes, nullptr)), "OK");
    ASSERT_EQ(
        Take(tvi_pass_manager_create(registry_, nullptr, trivet_allocator_system(), &manager_)),
        "OK");
    graph_ = Parse(R"(graph {
      symbol n: 1 .. 64
      input %x: f32[2*n, 4]
      %a = test.Relu(%x)
      %b = test.Relu(%a)
      output "b": %b
    })");
  }
  void TearDown() override {
    tvi_pass_manager_destroy(manager_);
    GraphTest::TearDown();
  }

  std::string Run(Body body) {
    current_body = &body;
    return Take(tvi_pass_manager_run(manager_, "body", graph_));
  }

  tvi_pass_manager_t* manager_ = nullptr;
  trivet_graph_t* graph_ = nullptr;
};

TEST_F(PassApi, Queries) {
  EXPECT_EQ(Run([](trivet_pass_context_t* c, trivet_graph_t* g) -> trivet_status_t {
              const trivet_pass_api_t* api = trivet_pass_api(c);
              EXPECT_EQ(api->struct_size, sizeof(*api));
              trivet_node_t first = api->next_node(c, g, 0), second = api->next_node(c, g, first);
              EXPECT_NE(second, 0u);
              EXPECT_EQ(api->next_node(c, g, second), 0u);
              uint32_t version = 0;
              EXPECT_STREQ(api->node_operator(c, g, first, &version), "test.Relu");
              EXPECT_EQ(version, 1u);
              EXPECT_EQ(trivet_pass_is(c, g, first, "test.Relu"), 1u);
              EXPECT_EQ(trivet_pass_is(c, g, first, "test.Rel"), 0u);
              EXPECT_EQ(trivet_pass_is(c, g, first, "test.ReluX"), 0u);
              trivet_value_t x = trivet_pass_input(c, g, first, 0),
                             a = trivet_pass_output(c, g, first, 0);
              trivet_value_t b = trivet_pass_output(c, g, second, 0);
              EXPECT_EQ(x, api->graph_value(c, g, 0, 0));
              EXPECT_EQ(b, api->graph_value(c, g, 1, 0));
              EXPECT_EQ(api->graph_value(c, g, 0, 1), 0u);
              EXPECT_EQ(trivet_pass_input(c, g, first, 1), 0u);
              uint32_t index = 9;
              EXPECT_EQ(api->producer(c, g, a, &index), first);
              EXPECT_EQ(index, 0u);
              EXPECT_EQ(api->producer(c, g, x, nullptr), 0u);
              EXPECT_EQ(api->use_count(c, g, a), 1u);
              EXPECT_EQ(api->use_count(c, g, b), 1u);  // a result
              EXPECT_EQ(api->use(c, g, a, 0, &index), second);
              EXPECT_EQ(api->use(c, g, b, 0, &index), 0u);
              // What is none.
              EXPECT_EQ(api->node_operator(c, g, 77, nullptr), nullptr);
              EXPECT_EQ(api->value_type(c, g, 77), nullptr);
              EXPECT_EQ(api->use_count(c, g, 77), 0u);
              EXPECT_EQ(api->next_node(c, g, 77), 0u);
              EXPECT_EQ(api->node_attribute(c, g, first, "alpha"), nullptr);
              trivet_tensor_t tensor;
              EXPECT_EQ(api->value_constant(c, g, x, &tensor), 0u);
              return nullptr;
            }),
            "OK");
}

TEST_F(PassApi, Dimensions) {
  EXPECT_EQ(Run([](trivet_pass_context_t* c, trivet_graph_t* g) -> trivet_status_t {
              const trivet_pass_api_t* api = trivet_pass_api(c);
              const trivet_type_t* type = api->value_type(c, g, api->graph_value(c, g, 0, 0));
              trivet_dim_t rows = type->dims[0];
              int64_t value = 0, min = 0, max = 0;
              EXPECT_EQ(api->dim_value(c, g, rows, &value), 0u);
              EXPECT_EQ(api->dim_value(c, g, type->dims[1], &value), 1u);
              EXPECT_EQ(value, 4);
              api->dim_range(c, g, rows, &min, &max);
              EXPECT_EQ(min, 2);
              EXPECT_EQ(max, 128);
              EXPECT_EQ(api->dim_divisor(c, g, rows), 2);
              trivet_dim_t two = api->dim_constant(c, g, 2);
              trivet_dim_t n = api->dim_binary(c, g, TRIVET_DIM_FLOORDIV, rows, two);
              EXPECT_STREQ(api->dim_text(c, g, n), "n");
              EXPECT_EQ(api->dim_binary(c, g, TRIVET_DIM_MUL, n, two), rows);
              EXPECT_EQ(api->dim_at_most(c, g, n, rows), 1u);
              EXPECT_EQ(api->dim_at_most(c, g, rows, n), 0u);
              EXPECT_EQ(api->dim_at_most(c, g, nullptr, n), 0u);
              EXPECT_EQ(api->dim_binary(c, g, TRIVET_DIM_ADD, nullptr, n), nullptr);
              EXPECT_STREQ(api->dim_text(c, g, nullptr), "?");
              return nullptr;
            }),
            "OK");
}

// Two of one operator become one: what nobody reads goes, and the manager counts it.
TEST_F(PassApi, Replace) {
  EXPECT_EQ(Run([](trivet_pass_context_t* c, trivet_graph_t* g) -> trivet_status_t {
              const trivet_pass_api_t* api = trivet_pass_api(c);
              trivet_node_t first = api->next_node(c, g, 0), second = api->next_node(c, g, first);
              trivet_value_t x = trivet_pass_input(c, g, first, 0), y = 0;
              trivet_value_t b = trivet_pass_output(c, g, second, 0);
              EXPECT_EQ(api->may_change(c, g, second), 1u);
              EXPECT_EQ(Take(api->add_node(c, g, second, "test.Relu", 0, &x, 1, nullptr, 0, 1, &y)),
                        "OK");
              EXPECT_EQ(Take(TRIVET_PASS_REPLACE(c, g, b, y, "%d into one", 2)), "OK");
              EXPECT_EQ(api->next_node(c, g, second), 0u);
              EXPECT_EQ(api->node_operator(c, g, first, nullptr), nullptr);  // removed
              EXPECT_EQ(api->graph_value(c, g, 1, 0), y);
              return nullptr;
            }),
            "OK");
  int count = 0;
  TVI_GRAPH_FOR_EACH_NODE(graph_, id) count += id != 0;
  EXPECT_EQ(count, 1);
  ASSERT_EQ(tvi_pass_manager_record_count(manager_), 1u);
  EXPECT_EQ(tvi_pass_manager_record(manager_, 0)->changes, 1u);
  ASSERT_EQ(tvi_pass_manager_note_count(manager_), 1u);
  trivet_string_view_t text = tvi_pass_manager_note(manager_, 0)->text;
  EXPECT_EQ(std::string(text.data, text.size), "2 into one");
}

TEST_F(PassApi, MistakesAreStatuses) {
  EXPECT_EQ(
      Run([](trivet_pass_context_t* c, trivet_graph_t* g) -> trivet_status_t {
        const trivet_pass_api_t* api = trivet_pass_api(c);
        trivet_node_t first = api->next_node(c, g, 0);
        trivet_value_t x = trivet_pass_input(c, g, first, 0),
                       a = trivet_pass_output(c, g, first, 0);
        trivet_value_t y = 0, none = 77;
        float data[4] = {1, 2, 3, 4};
        trivet_tensor_t four = {TRIVET_DTYPE_F32, 1, {4}, data, sizeof(data)};
        trivet_tensor_t wrong = {TRIVET_DTYPE_F32, 1, {5}, data, sizeof(data)};
        EXPECT_EQ(Take(api->add_constant(c, g, &four, &y)), "OK");
        EXPECT_NE(Take(api->add_constant(c, g, &wrong, &y)), "OK");
        EXPECT_EQ(Take(api->replace(c, g, a, y, "wrong")),
                  "node of operator test.Relu: a value of type f32[2*n, 4] cannot be replaced by "
                  "one of type "
                  "f32[4]");
        EXPECT_EQ(Take(api->replace(c, g, x, a, "wrong")),
                  "value " + std::to_string(x) + " cannot be replaced by value " +
                      std::to_string(a) + ": no node makes it");
        EXPECT_EQ(Take(api->replace(c, g, none, a, "wrong")),
                  "value 77 cannot be replaced by value " + std::to_string(a));
        EXPECT_EQ(Take(api->add_node(c, g, 99, "test.Relu", 0, &x, 1, nullptr, 0, 1, &y)),
                  "the graph has no node 99");
        EXPECT_NE(Take(api->add_node(c, g, first, "test.Nothing", 0, &x, 1, nullptr, 0, 1, &y))
                      .find("test.Nothing"),
                  std::string::npos);
        EXPECT_NE(Take(api->add_node(c, g, first, "test.Relu", 0, &none, 1, nullptr, 0, 1, &y)),
                  "OK");
        EXPECT_NE(Take(api->assume(c, g, first, nullptr, nullptr)), "OK");
        trivet_dim_t missing = nullptr;
        EXPECT_EQ(Take(api->add_ints(c, g, &missing, 1, &y)), "dimension 0 is none");
        return api->error(c, g, first, TRIVET_STATUS_UNIMPLEMENTED, "%s", "not today");
      }),
      "pass 'body': node of operator test.Relu: not today");
}

// An operand that is made further behind: every change of a pass from outside is verified.
TEST_F(PassApi, BrokenGraphsAreFound) {
  std::string message = Run([](trivet_pass_context_t* c, trivet_graph_t* g) -> trivet_status_t {
    const trivet_pass_api_t* api = trivet_pass_api(c);
    trivet_node_t first = api->next_node(c, g, 0), second = api->next_node(c, g, first);
    trivet_value_t b = trivet_pass_output(c, g, second, 0), y = 0;
    trivet_value_t a = trivet_pass_output(c, g, first, 0);
    trivet_status_t status = api->add_node(c, g, first, "test.Relu", 0, &b, 1, nullptr, 0, 1, &y);
    return status ? status : api->replace(c, g, a, y, "a circle");
  });
  EXPECT_EQ(message.find("after pass 'body': "), 0u) << message;
}

}  // namespace
