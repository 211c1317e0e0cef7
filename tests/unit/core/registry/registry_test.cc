// SPDX-License-Identifier: Apache-2.0
//
// The registry: look-up by version, iteration, names shared by passes and rewrites, path lists,
// loading that fails half-way. Refusals of shared objects are in tests/abi.
#include "core/registry/registry.h"

#include <gtest/gtest.h>

#include "core/graph/graph.h"
#include "core/pass/pass.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;

#define VERSION(variable, number)                           \
  TRIVET_OPERATOR(variable, "many.Op", number, "for tests", \
                  "op many.Op/" #number " (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n")

const trivet_plugin_t* MakePlugin(trivet_plugin_t* plugin, const char* name,
                                  const void* const* definitions, uint64_t count) {
  *plugin = trivet_plugin_t{TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                            TRIVET_ABI_MAJOR,
                            TRIVET_ABI_MINOR,
                            TRIVET_SANITIZER,
                            TRIVET_HALF_BUILD,
                            name,
                            "1",
                            "for tests",
                            definitions,
                            count};
  return plugin;
}

const trivet_plugin_t* Versions(uint32_t, uint32_t) {
  VERSION(one, 1);
  VERSION(seven, 7);
  VERSION(three, 3);
  static const void* const definitions[] = {&one, &seven, &three};
  static trivet_plugin_t plugin;
  return MakePlugin(&plugin, "versions", definitions, 3);
}

const trivet_plugin_t* Broken(uint32_t, uint32_t) {
  VERSION(nine, 9);
  TRIVET_OPERATOR(bad, "many.Bad", 1, "", "op many.Bad/1 (x: f32[D...]) ->\n");
  static const void* const definitions[] = {&nine, &bad};
  static trivet_plugin_t plugin;
  return MakePlugin(&plugin, "broken", definitions, 2);
}

trivet_status_t RunNothing(const trivet_pass_t*, trivet_pass_context_t*, trivet_graph_t*,
                           uint32_t*) {
  return nullptr;
}

const trivet_plugin_t* PassAndRewrite(uint32_t, uint32_t) {
  static const trivet_pass_t pass = {TRIVET_HEADER(trivet_pass_t, TRIVET_STRUCT_PASS),
                                     "same-name",
                                     "for tests",
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     RunNothing};
  TRIVET_REWRITE(rewrite, "same-name", "for tests", "match { %y = a.B(%x) } to { %y = %x }");
  static const void* const definitions[] = {&pass, &rewrite};
  static trivet_plugin_t plugin;
  return MakePlugin(&plugin, "pass_and_rewrite", definitions, 2);
}

const trivet_plugin_t* Functions(uint32_t, uint32_t) {
  static const trivet_scalar_function_t twice = {
      TRIVET_HEADER(trivet_scalar_function_t, TRIVET_STRUCT_SCALAR_FUNCTION), "fun.twice",
      "fn twice(x: f32) -> f32 = x * 2.0", nullptr, "for tests"};
  static const void* const definitions[] = {&twice};
  static trivet_plugin_t plugin;
  return MakePlugin(&plugin, "functions", definitions, 1);
}

class Registry : public testing::Test {
 protected:
  void SetUp() override {
    tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
    ASSERT_EQ(Take(tvi_registry_create(&options, trivet_allocator_system(), &registry_)), "OK");
  }
  void TearDown() override { tvi_registry_destroy(registry_); }

  tvi_registry_t* registry_ = nullptr;
};

TEST_F(Registry, VersionsAndNewest) {
  ASSERT_EQ(Take(tvi_registry_add(registry_, Versions, "here")), "OK");
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 1)->definition->version, 1u);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 3)->definition->version, 3u);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 0)->definition->version, 7u);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 2), nullptr);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Oq", 0), nullptr);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.O", 0), nullptr);
  EXPECT_EQ(tvi_registry_operator(registry_, "", 0), nullptr);
  EXPECT_STREQ(tvi_registry_plugin_path(registry_, 0), "here");
  EXPECT_EQ(tvi_registry_plugin(registry_, 1), nullptr);
  // In order of registration.
  const uint32_t order[] = {1, 7, 3};
  for (uint32_t i = 0; i < 3; ++i) {
    auto* op = static_cast<const trivet_operator_t*>(
        tvi_registry_definition(registry_, TRIVET_STRUCT_OPERATOR, i));
    ASSERT_NE(op, nullptr);
    EXPECT_EQ(op->version, order[i]);
  }
  EXPECT_EQ(tvi_registry_definition(registry_, TRIVET_STRUCT_OPERATOR, 3), nullptr);
  EXPECT_EQ(tvi_registry_definition(registry_, TRIVET_STRUCT_PASS, 0), nullptr);
}

TEST_F(Registry, NothingRemainsOfABrokenPlugin) {
  ASSERT_EQ(Take(tvi_registry_add(registry_, Versions, nullptr)), "OK");
  std::string message = Take(tvi_registry_add(registry_, Broken, nullptr));
  EXPECT_EQ(message.find("plugin (built in): operator 'many.Bad': line 1"), 0u) << message;
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 9), nullptr);
  EXPECT_EQ(tvi_registry_operator(registry_, "many.Op", 0)->definition->version, 7u);
  EXPECT_EQ(tvi_registry_plugin_count(registry_), 1u);
}

TEST_F(Registry, PassesAndRewritesShareNames) {
  EXPECT_EQ(Take(tvi_registry_add(registry_, PassAndRewrite, nullptr)),
            "plugin (built in): rewrite 'same-name' is defined twice");
}

TEST_F(Registry, ScalarFunctionsAreParsed) {
  ASSERT_EQ(Take(tvi_registry_add(registry_, Functions, nullptr)), "OK");
  EXPECT_NE(tvi_registry_scalar_function(registry_, "fun.twice"), nullptr);
  EXPECT_NE(tvi_registry_parsed_function(registry_, TRIVET_SV("fun.twice")), nullptr);
  EXPECT_EQ(tvi_registry_parsed_function(registry_, TRIVET_SV("fun.thrice")), nullptr);
}

TEST_F(Registry, PathListsAreAbsolute) {
  EXPECT_EQ(Take(tvi_registry_load_path(registry_, "")), "plugin path: an entry is empty");
  EXPECT_EQ(Take(tvi_registry_load_path(registry_, "plugins")),
            "plugin path: 'plugins' is not absolute");
  EXPECT_EQ(Take(tvi_registry_load_path(registry_, "/nowhere/at/all:")).substr(0, 12),
            "plugin path:");
}

TEST(RegistryMemory, EveryFailingAllocationIsAnError) {
  trivet_test::ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
    tvi_registry_t* registry = nullptr;
    trivet_status_t status = tvi_registry_create(&options, allocator, &registry);
    if (status != nullptr) return status;
    status = tvi_registry_add(registry, Versions, nullptr);
    if (status == nullptr) status = tvi_registry_add(registry, Functions, nullptr);
    if (status == nullptr) {
      status = tvi_registry_allow_replace(registry, TRIVET_STRUCT_OPERATOR, "many.Op/3", "other");
    }
    if (status != nullptr) {
      // All of a plugin is there, or nothing.
      bool has = tvi_registry_operator(registry, "many.Op", 3) != nullptr;
      EXPECT_EQ(has, tvi_registry_plugin_count(registry) != 0);
    }
    tvi_registry_destroy(registry);
    return status;
  });
}

}  // namespace
