// SPDX-License-Identifier: Apache-2.0
//
// The pass manager: pipelines, order, switching off, bisection, excluded nodes, verification,
// dumps, notes.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/pass/pass.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;
using trivet_test::View;

// Turns the first test.Relu of a graph into test.Sigmoid.
trivet_status_t RunOne(const trivet_pass_t*, trivet_pass_context_t* context, trivet_graph_t* graph,
                       uint32_t* out_changed) {
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    tvi_node_t* node = tvi_graph_node(graph, id);
    if (!tvi_node_is(node, "test.Relu")) continue;
    if (!tvi_pass_may_change(context, graph, id)) {
      tvi_pass_decline(context, graph, id, "not allowed");
      continue;
    }
    tvi_node_desc_t desc = {};
    desc.op = "test.Sigmoid";
    desc.inputs = node->inputs;
    desc.input_count = 1;
    desc.output_count = 1;
    desc.origins = node->origins;
    desc.origin_count = node->origin_count;
    desc.before = id;
    tvi_node_id_t made = 0;
    trivet_status_t status = tvi_graph_add_node(graph, &desc, &made);
    if (status != nullptr) return status;
    status =
        tvi_graph_replace_value(graph, node->outputs[0], tvi_graph_node(graph, made)->outputs[0]);
    if (status != nullptr) return status;
    tvi_pass_change(context, graph, id, "became %s", "test.Sigmoid");
    tvi_graph_remove_node(graph, id);
    *out_changed = 1;
    return nullptr;
  }
  return nullptr;
}

trivet_status_t RunBreak(const trivet_pass_t*, trivet_pass_context_t*, trivet_graph_t* graph,
                         uint32_t* out_changed) {
  tvi_graph_value(graph, graph->inputs[0].value)->use_count = 0;
  *out_changed = 1;
  return nullptr;
}

trivet_status_t RunNothing(const trivet_pass_t*, trivet_pass_context_t*, trivet_graph_t*,
                           uint32_t*) {
  return nullptr;
}

const char* const kAfterOne[] = {"one", nullptr};

const trivet_plugin_t* Passes(uint32_t, uint32_t) {
#define TEST_PASS(variable, name, after, before, run)                                      \
  static const trivet_pass_t variable = {TRIVET_HEADER(trivet_pass_t, TRIVET_STRUCT_PASS), \
                                         name,                                             \
                                         "for tests",                                      \
                                         after,                                            \
                                         before,                                           \
                                         nullptr,                                          \
                                         run}
  TEST_PASS(one, "one", nullptr, nullptr, RunOne);
  TEST_PASS(broken, "break", nullptr, nullptr, RunBreak);
  TEST_PASS(late, "late", kAfterOne, nullptr, RunNothing);
  TEST_PASS(early, "early", nullptr, kAfterOne, RunNothing);
#undef TEST_PASS
  static const void* const definitions[] = {&one, &broken, &late, &early};
  static const trivet_plugin_t plugin = {TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                                         TRIVET_ABI_MAJOR,
                                         TRIVET_ABI_MINOR,
                                         TRIVET_SANITIZER,
                                         TRIVET_HALF_BUILD,
                                         "test_passes",
                                         "1",
                                         "for tests",
                                         definitions,
                                         4};
  return &plugin;
}

class PassManager : public trivet_test::GraphTest {
 protected:
  void SetUp() override {
    GraphTest::SetUp();
    ASSERT_EQ(Take(tvi_registry_add(registry_, Passes, nullptr)), "OK");
    options_.stop_after = -1;
    options_.verify = 1;
  }
  void TearDown() override {
    tvi_pass_manager_destroy(manager_);
    GraphTest::TearDown();
  }

  trivet_graph_t* Chain() {
    return Parse(R"(graph {
      input %x: f32[4]
      %a = test.Relu(%x)
      %b = test.Relu(%a)
      %c = test.Relu(%b)
      output "c": %c
    })");
  }

  std::string Run(const std::string& pipeline, trivet_graph_t* graph) {
    if (manager_ == nullptr) {
      EXPECT_EQ(
          Take(tvi_pass_manager_create(registry_, &options_, trivet_allocator_system(), &manager_)),
          "OK");
    }
    return Take(tvi_pass_manager_run(manager_, pipeline.c_str(), graph));
  }

  static int Count(const trivet_graph_t* graph, const char* op) {
    int count = 0;
    TVI_GRAPH_FOR_EACH_NODE(graph, id) count += tvi_node_is(tvi_graph_node(graph, id), op);
    return count;
  }

  tvi_pass_options_t options_ = {};
  tvi_pass_manager_t* manager_ = nullptr;
};

TEST_F(PassManager, RunsAndRepeats) {
  trivet_graph_t* graph = Chain();
  ASSERT_EQ(Run("one", graph), "OK");
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 1);
  ASSERT_EQ(Run(" ( one , late )* ", graph), "OK");
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 3);
  const tvi_pass_record_t* record = tvi_pass_manager_record(manager_, 0);
  EXPECT_STREQ(record->name, "one");
  EXPECT_EQ(record->changes, 3u);
  EXPECT_EQ(record->runs, 4u);  // one, and three rounds of which the last finds nothing
  EXPECT_GT(record->nanoseconds, 0u);
  EXPECT_EQ(tvi_pass_manager_note_count(manager_), 3u);
  EXPECT_STREQ(tvi_graph_node(graph, graph->first)->made_by, "one");
  EXPECT_EQ(Run("", graph), "OK");
}

TEST_F(PassManager, PipelineErrors) {
  trivet_graph_t* graph = Chain();
  EXPECT_EQ(Run("one,nothing", graph), "pipeline: there is no pass 'nothing'");
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 0);  // nothing ran
  EXPECT_EQ(Run("one,", graph), "pipeline: a pass is missing at position 4");
  EXPECT_EQ(Run("(one", graph), "pipeline: a group has no ')'");
  EXPECT_EQ(Run("one)", graph), "pipeline: a ')' without '(' at position 3");
  EXPECT_EQ(Run("one one", graph), "pipeline: expected ',' at position 4");
  EXPECT_EQ(Run(std::string(100, '(') + "one", graph), "pipeline: groups are nested deeper than 8");
}

TEST_F(PassManager, OrderIsChecked) {
  trivet_graph_t* graph = Chain();
  EXPECT_EQ(Run("late,one", graph), "pipeline: pass 'late' must come after 'one'");
  EXPECT_EQ(Run("one,early", graph), "pipeline: pass 'early' must come before 'one'");
  EXPECT_EQ(Run("late", graph), "OK");
  EXPECT_EQ(Run("early,(one,late)*", graph), "OK");
}

TEST_F(PassManager, DisabledPassesDoNotRun) {
  const char* disabled[] = {"one"};
  options_.disabled = disabled;
  options_.disabled_count = 1;
  trivet_graph_t* graph = Chain();
  ASSERT_EQ(Run("(one)*", graph), "OK");
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 0);
  EXPECT_EQ(tvi_pass_manager_record(manager_, 0)->runs, 0u);
}

TEST_F(PassManager, BisectionStopsAfterChanges) {
  options_.stop_after = 2;
  trivet_graph_t* graph = Chain();
  ASSERT_EQ(Run("(one)*", graph), "OK");
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 2);
  // The refusal is said once.
  EXPECT_EQ(tvi_pass_manager_note_count(manager_), 3u);
  const tvi_pass_note_t* note = tvi_pass_manager_note(manager_, 2);
  EXPECT_EQ(note->declined, 1u);
  EXPECT_EQ(std::string(note->text.data, note->text.size), "not allowed");
}

TEST_F(PassManager, NodesToExcludeMustExist) {
  options_.skip_nodes = "nix";
  EXPECT_EQ(Run("(one)*", Chain()), "the model has no node 'nix' that passes could skip");
}

TEST_F(PassManager, NodesCanBeExcludedByName) {
  options_.skip_nodes = "other, keep me ,other";
  trivet_graph_t* graph = NewGraph();
  trivet_graph_builder_t* builder = nullptr;
  ASSERT_EQ(Take(tvi_graph_builder_create(graph, nullptr, &builder)), "OK");
  trivet_type_t type = {};
  type.dtype = TRIVET_DTYPE_F32;
  trivet_value_t x = 0, y = 0;
  ASSERT_EQ(Take(builder->api->add_input(builder, View("x"), &type, &x)), "OK");
  for (const char* name : {"keep me", "take me", "other"}) {
    trivet_origin_t origin = {View("m"), View(name), View("Relu")};
    ASSERT_EQ(
        Take(builder->api->add_node(builder, "test.Relu", 0, &x, 1, nullptr, 0, &origin, 1, &y)),
        "OK");
    ASSERT_EQ(Take(builder->api->add_output(builder, View(name), y)), "OK");
  }
  tvi_graph_builder_destroy(builder);
  ASSERT_EQ(Run("(one)*", graph), "OK");
  EXPECT_EQ(Count(graph, "test.Relu"), 2);
  EXPECT_EQ(Count(graph, "test.Sigmoid"), 1);
  const tvi_pass_note_t* note = tvi_pass_manager_note(manager_, 0);
  EXPECT_EQ(std::string(note->origin.data, note->origin.size), "keep me");
}

TEST_F(PassManager, VerificationNamesThePass) {
  trivet_graph_t* graph = Chain();
  std::string message = Run("one,break", graph);
  EXPECT_EQ(message.find("after pass 'break': "), 0u) << message;
}

TEST_F(PassManager, SubgraphsAreVisited) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %c: bool[]
    input %x: f32[2]
    %a = core.If(%c) { then_branch = graph { %t = test.Relu(%x) output "t": %t },
                       else_branch = graph { output "e": %x } }
    output "a": %a
  })");
  ASSERT_NE(graph, nullptr);
  ASSERT_EQ(Run("one", graph), "OK");
  EXPECT_NE(Print(graph).find("test.Sigmoid"), std::string::npos);
}

TEST_F(PassManager, DumpsAfterEachChange) {
  const char* base = getenv("TEST_TMPDIR");
  std::string folder = std::string(base != nullptr ? base : "/tmp") + "/dumps";
  mkdir(folder.c_str(), 0700);
  options_.dump_folder = folder.c_str();
  trivet_graph_t* graph = Chain();
  ASSERT_EQ(Run("late", graph), "OK");
  ASSERT_EQ(Run("one,one", graph), "OK");
  for (const char* name : {"/000-one.txt", "/001-one.txt"}) {
    std::ifstream file(folder + name);
    ASSERT_TRUE(file) << name;
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_NE(Parse(text.str()), nullptr);
    unlink((folder + name).c_str());
  }
  EXPECT_EQ(access((folder + "/002-one.txt").c_str(), F_OK), -1);
}

}  // namespace
