// SPDX-License-Identifier: Apache-2.0
//
// Plugins compiled against the headers of ABI 0.1: an operator and a rewrite as text, a host
// function and kernels. They load into the library of today, are found, and run.

#include <gtest/gtest.h>

#include <string>

#include "core/pass/pass.h"
#include "core/registry/registry.h"
#include "tests/support/plan_maker.h"
#include "trivet/runtime.h"

namespace {

using trivet_test::AlignedPlan;
using trivet_test::PlanMaker;

std::string Take(trivet_status_t status) {
  std::string text = status == nullptr ? "OK" : trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

TEST(FirstHeader, DefinitionsAreFound) {
  tvi_registry_options_t options = {TRIVET_HALF_BUILD | TRIVET_HALF_RUN, 0, tvi_pass_text_parser()};
  tvi_registry_t* registry = nullptr;
  ASSERT_EQ(Take(tvi_registry_create(&options, trivet_allocator_system(), &registry)), "OK");
  EXPECT_EQ(Take(tvi_registry_load(registry, "./tests/abi/header_0_1/swish_pass.so")), "OK");
  EXPECT_EQ(Take(tvi_registry_load(registry, "./tests/abi/header_0_1/test_kernels.so")), "OK");
  EXPECT_NE(tvi_registry_operator(registry, "acme.Silu", 1), nullptr);
  EXPECT_NE(tvi_registry_rewrite(registry, "acme-silu"), nullptr);
  EXPECT_NE(tvi_registry_kernel(registry, "test.linear", 1), nullptr);
  ASSERT_EQ(tvi_registry_plugin_count(registry), 2u);
  for (uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(tvi_registry_plugin(registry, i)->abi_major, 0u);
    EXPECT_EQ(tvi_registry_plugin(registry, i)->abi_minor, 1u);
  }
  tvi_registry_destroy(registry);
}

TEST(FirstHeader, KernelsAndHostFunctionsRun) {
  PlanMaker maker;
  uint32_t n = maker.Number(4);
  uint32_t x = maker.Input("x", TRIVET_DTYPE_F32, {n});
  uint32_t a = maker.Temporary("a", TRIVET_DTYPE_F32, {n});
  uint32_t y = maker.Output("y", TRIVET_DTYPE_F32, {n});
  float two = 2;
  double factor = 5;
  trivet_attribute_t attribute = {"factor", TRIVET_ATTR_F32, 0, 1, &factor};
  maker.Launch("a", "test.linear", {x}, {a},
               std::string(reinterpret_cast<const char*>(&two), sizeof(two)));
  maker.Host("b", "test.Scale", {a}, {y}, {attribute});
  AlignedPlan plan(maker.Bytes());
  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;
  trivet_context_t* context = nullptr;
  ASSERT_EQ(Take(trivet_runtime_create(nullptr, &runtime)), "OK");
  ASSERT_EQ(Take(trivet_runtime_load_plugin(runtime, "./tests/abi/header_0_1/test_kernels.so")),
            "OK");
  ASSERT_EQ(Take(trivet_engine_load_memory(runtime, plan.data(), plan.size(), nullptr, &engine)),
            "OK");
  ASSERT_EQ(Take(trivet_context_create(engine, nullptr, &context)), "OK");
  alignas(64) float in[4] = {1, 2, 3, 4}, out[4] = {0};
  ASSERT_EQ(Take(trivet_context_set_address(context, "x", in)), "OK");
  ASSERT_EQ(Take(trivet_context_set_address(context, "y", out)), "OK");
  ASSERT_EQ(Take(trivet_context_run(context)), "OK");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(out[i], in[i] * 10);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
}

}  // namespace
