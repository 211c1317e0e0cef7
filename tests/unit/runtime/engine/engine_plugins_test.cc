// SPDX-License-Identifier: Apache-2.0
//
// Plans that carry a plugin: refused unless the caller allows it, by flag or by hash; what is
// carried serves the engine and goes with it, and never stands before what the caller has loaded.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "runtime/engine/engine.h"
#include "tests/support/plan_maker.h"
#include "trivet/runtime.h"

namespace {

using trivet_test::AlignedPlan;
using trivet_test::PlanMaker;

class EnginePlugins : public ::testing::Test {
 protected:
  EnginePlugins() {
    std::ifstream file("tests/support/test_kernels.so", std::ios::binary);
    library_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    char text[TVI_SHA256_TEXT_SIZE];
    tvi_sha256_text(library_.data(), library_.size(), text);
    hash_ = text;
    EXPECT_EQ(trivet_runtime_create(nullptr, &runtime_), nullptr);
  }
  ~EnginePlugins() override {
    trivet_engine_destroy(engine_);
    trivet_runtime_destroy(runtime_);
  }
  // Loads a plan of one step, y = 2 x, whose kernel only the plugin has.
  std::string Load(const std::string& library, uint32_t flags, std::vector<const char*> hashes) {
    PlanMaker maker;
    uint32_t n = maker.Symbol("N", 1, 8);
    uint32_t x = maker.Input("x", TRIVET_DTYPE_F32, {n});
    uint32_t y = maker.Output("y", TRIVET_DTYPE_F32, {n});
    maker.Plugin("test_kernels", "1.0");
    if (!library.empty()) maker.Carry(library);
    float factor = 2;
    maker.Launch("a", "test.linear", {x}, {y},
                 std::string(reinterpret_cast<const char*>(&factor), sizeof(factor)));
    plan_.reset(new AlignedPlan(maker.Bytes()));
    trivet_engine_options_t options = {};
    options.header = {sizeof(options), TRIVET_STRUCT_ENGINE_OPTIONS, nullptr};
    options.flags = flags;
    options.carried_hashes = hashes.data();
    options.carried_hash_count = hashes.size();
    trivet_engine_destroy(engine_);
    engine_ = nullptr;
    trivet_status_t status =
        trivet_engine_load_memory(runtime_, plan_->data(), plan_->size(), &options, &engine_);
    std::string text = status != nullptr ? trivet_status_message(status) : "";
    trivet_status_free(status);
    return text;
  }
  float RunOnThree() {
    trivet_context_t* context = nullptr;
    EXPECT_EQ(trivet_context_create(engine_, nullptr, &context), nullptr);
    alignas(64) float x[1] = {3}, y[1] = {0};
    const int64_t dims[1] = {1};
    EXPECT_EQ(trivet_context_set_shape(context, "x", 1, dims), nullptr);
    EXPECT_EQ(trivet_context_set_address(context, "x", x), nullptr);
    EXPECT_EQ(trivet_context_set_address(context, "y", y), nullptr);
    EXPECT_EQ(trivet_context_run(context), nullptr);
    trivet_context_destroy(context);
    return y[0];
  }

  std::string library_, hash_;
  trivet_runtime_t* runtime_ = nullptr;
  trivet_engine_t* engine_ = nullptr;
  std::unique_ptr<AlignedPlan> plan_;
};

TEST_F(EnginePlugins, RefusedByDefault) {
  EXPECT_EQ(Load(library_, 0, {}),
            "the plan needs plugin 'test_kernels' (it was built with version 1.0), which is not "
            "loaded; the plan carries it with sha256 " +
                hash_ + ", which the caller has not allowed");
  EXPECT_EQ(Load("", TRIVET_ENGINE_ALLOW_CARRIED, {}),
            "the plan needs plugin 'test_kernels' (it was built with version 1.0), which is not "
            "loaded");
}

TEST_F(EnginePlugins, LoadedByFlagAndByHash) {
  EXPECT_EQ(Load(library_, TRIVET_ENGINE_ALLOW_CARRIED, {}), "");
  EXPECT_EQ(RunOnThree(), 6);
  EXPECT_EQ(Load(library_, 0, {nullptr, std::string(64, '0').c_str(), hash_.c_str()}), "");
  EXPECT_EQ(RunOnThree(), 6);
  EXPECT_EQ(tvi_registry_find_plugin(runtime_->registry, TRIVET_SV("test_kernels")), nullptr)
      << "the runtime, which threads share, is as it was";
}

TEST_F(EnginePlugins, WrongHash) {
  std::string wrong = hash_;
  wrong[63] = wrong[63] == '0' ? '1' : '0';
  EXPECT_NE(Load(library_, 0, {wrong.c_str()}).find("which the caller has not allowed"),
            std::string::npos);
}

TEST_F(EnginePlugins, NoPlugin) {
  EXPECT_NE(Load("text", TRIVET_ENGINE_ALLOW_CARRIED, {})
                .find("carried in the plan: plugin test_kernels: cannot load shared object "
                      "'test_kernels'"),
            std::string::npos);
}

TEST_F(EnginePlugins, WhatIsLoadedComesFirst) {
  ASSERT_EQ(trivet_runtime_load_plugin(runtime_, "tests/support/test_kernels.so"), nullptr);
  EXPECT_EQ(Load("text", 0, {}), "") << "what is carried is not even looked at";
  EXPECT_EQ(RunOnThree(), 6);
}

}  // namespace
