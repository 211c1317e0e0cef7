// SPDX-License-Identifier: Apache-2.0
//
// What loading refuses and how it says so: wrong bytes, other targets, missing plugins, kernels and
// operators, blobs that a kernel does not take, options of another version. Also which definitions
// of a plugin a runtime holds.

#include "core/registry/registry.h"
#include "runtime/engine/engine.h"
#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::PlanMaker;
using trivet_test::Session;
using trivet_test::TextOf;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

// The status of loading a plan of one step.
struct OneStep {
  OneStep() {
    n = maker.Symbol("N", 1, 8);
    x = maker.Input("x", kF32, {n});
    y = maker.Output("y", kF32, {n});
  }
  std::string Load() {
    Session s(maker.Bytes());
    trivet_status_t status = s.load_status;
    s.load_status = nullptr;
    return TextOf(status);
  }
  PlanMaker maker;
  uint32_t n, x, y;
};

TEST(EngineLoadTest, OtherTarget) {
  OneStep plan;
  plan.maker.Target("moon");
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1));
  EXPECT_EQ(plan.Load(), "INCOMPATIBLE: the plan is for target 'moon', this runtime runs 'cpu'");
}

TEST(EngineLoadTest, MissingPlugin) {
  OneStep plan;
  plan.maker.Plugin("test_kernels", "1.0");
  plan.maker.Plugin("cpu_sonar", "2.1");
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1));
  EXPECT_EQ(plan.Load(),
            "UNAVAILABLE: the plan needs plugin 'cpu_sonar' (it was built with version 2.1), which "
            "is not loaded");
}

TEST(EngineLoadTest, MissingKernel) {
  OneStep plan;
  plan.maker.Launch("conv1 + relu1", "test.nothing", {plan.x}, {plan.y}, Factor(1));
  EXPECT_EQ(plan.Load(),
            "UNAVAILABLE: step 0 (conv1 + relu1): kernel 'test.nothing' is not loaded");
}

TEST(EngineLoadTest, OtherVersionOfAKernel) {
  OneStep plan;
  plan.maker.Launch("a", "test.other", {plan.x}, {plan.y}, Factor(1));
  EXPECT_EQ(plan.Load(),
            "INCOMPATIBLE: step 0 (a): kernel 'test.other' is wanted in version 1, loaded is 3");
}

TEST(EngineLoadTest, KernelOfAnotherTarget) {
  OneStep plan;
  plan.maker.Launch("a", "test.foreign", {plan.x}, {plan.y}, Factor(1));
  EXPECT_EQ(plan.Load(),
            "DATA_LOSS: step 0 (a): kernel 'test.foreign' is for target 'moon', the program for "
            "'cpu'");
}

TEST(EngineLoadTest, BlobThatTheKernelRefuses) {
  for (const std::string& blob : {std::string("abc"), std::string(), Factor(0)}) {
    OneStep plan;
    plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1));
    plan.maker.Launch("b", "test.linear", {plan.x}, {plan.y}, blob);
    EXPECT_EQ(plan.Load(), "DATA_LOSS: step 1 (b): kernel 'test.linear': DATA_LOSS");
  }
  OneStep plan;
  plan.maker.Launch("a", "cpu.tile", {plan.x}, {plan.y}, "no tile program");
  EXPECT_EQ(plan.Load().substr(0, 41), "DATA_LOSS: step 0 (a): kernel 'cpu.tile':");
}

TEST(EngineLoadTest, MissingOperator) {
  for (const char* name : {"test.Nothing", "test.TextOnly"}) {
    OneStep plan;
    plan.maker.Host("a", name, {plan.x}, {plan.y});
    EXPECT_EQ(plan.Load(), std::string("UNAVAILABLE: step 0 (a): operator '") + name +
                               "' version 1 with a host function is not loaded");
  }
}

TEST(EngineLoadTest, AttributesThatAreNone) {
  OneStep plan;
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1));
  plan.maker.Host("b", "test.Scale", {plan.x}, {plan.y});
  plan.maker.Alternative("test.Scale", {plan.x}, {plan.y}, "rubbish");
  // The first alternative has no guard, so the second is never looked at.
  EXPECT_EQ(plan.Load(), "OK");
}

TEST(EngineLoadTest, RequirementsThatNothingMeets) {
  OneStep plan;
  PlanMaker::StepOptions first, second;
  first.requirements = {"isa:plain", "isa:abacus"};
  second.requirements = {"plugin:cpu_sonar"};
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1), first);
  plan.maker.Alternative("test.linear", {plan.x}, {plan.y}, Factor(1), second);
  EXPECT_EQ(plan.Load(),
            "UNAVAILABLE: step 0 (a): every alternative needs what is missing here, the last one "
            "plugin:cpu_sonar");
}

TEST(EngineLoadTest, SymbolThatNothingBinds) {
  OneStep plan;
  PlanMaker::StepOptions options;
  options.parameters = {plan.maker.Symbol("K", 1, 4)};
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1), options);
  std::string bytes;
  trivet_status_t status = plan.maker.Write(&bytes);
  if (status != nullptr) {
    // The verifier may know better already.
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_DATA_LOSS);
    trivet_status_free(status);
    return;
  }
  EXPECT_NE(plan.Load().find("uses symbol 'K', which no input and no step binds"),
            std::string::npos);
}

TEST(EngineLoadTest, FailingPrepareNamesTheStep) {
  OneStep plan;
  PlanMaker::StepOptions options;
  options.parameters = {plan.maker.Number(-1)};
  plan.maker.Launch("conv1", "test.linear", {plan.x}, {plan.y}, Factor(1), options);
  Session s(plan.maker.Bytes());
  ExpectOk(s.SetShape("x", {3}));
  EXPECT_EQ(TextOf(trivet_context_prepare(s.context)),
            "INVALID_ARGUMENT: step 0 (conv1): kernel 'test.linear': INVALID_ARGUMENT");
}

TEST(EngineLoadTest, WrongBytes) {
  OneStep plan;
  uint32_t w = plan.maker.Weight("w", std::vector<float>(64, 1));
  uint32_t part = plan.maker.ViewOf(w, {plan.n}, {plan.maker.Number(1)}, plan.maker.Number(0));
  plan.maker.Launch("a", "test.linear", {plan.x, part}, {plan.y}, Factor(1));
  const std::string bytes = plan.maker.Bytes();
  Session s(bytes);
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  trivet_engine_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_ENGINE_OPTIONS, nullptr};
  options.flags = TRIVET_ENGINE_VERIFY_WEIGHTS;
  auto code_of = [&](const std::string& changed) {
    trivet_test::AlignedPlan plan_bytes(changed);
    trivet_engine_t* engine = nullptr;
    trivet_status_t status = trivet_engine_load_memory(s.runtime, plan_bytes.data(),
                                                       plan_bytes.size(), &options, &engine);
    EXPECT_EQ(status == nullptr, engine != nullptr);
    trivet_engine_destroy(engine);
    return trivet_status_consume(status);
  };
  EXPECT_EQ(code_of(bytes), TRIVET_STATUS_OK);
  for (size_t size = 0; size < bytes.size(); size += size < 256 ? 1 : 13) {
    EXPECT_EQ(code_of(bytes.substr(0, size)), TRIVET_STATUS_DATA_LOSS) << size;
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    trivet_status_code_t code = code_of(changed);
    EXPECT_TRUE(code == TRIVET_STATUS_DATA_LOSS || code == TRIVET_STATUS_INCOMPATIBLE) << at;
  }
}

TEST(EngineLoadTest, FilesThatAreNoPlans) {
  OneStep plan;
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1));
  Session s(plan.maker.Bytes());
  trivet_engine_t* engine = nullptr;
  EXPECT_EQ(trivet_status_consume(trivet_engine_load(s.runtime, "no/such.plan", nullptr, &engine)),
            TRIVET_STATUS_NOT_FOUND);
  std::string path = ::testing::TempDir() + "/empty.plan";
  FILE* file = fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  fclose(file);
  std::string text = TextOf(trivet_engine_load(s.runtime, path.c_str(), nullptr, &engine));
  EXPECT_EQ(text.substr(0, 11 + path.size()), "DATA_LOSS: " + path);
  EXPECT_EQ(engine, nullptr);
}

TEST(EngineLoadTest, OptionsOfAnotherKind) {
  trivet_runtime_options_t options;
  memset(&options, 0, sizeof(options));
  trivet_runtime_t* runtime = nullptr;
  EXPECT_EQ(TextOf(trivet_runtime_create(&options, &runtime)),
            "INVALID_ARGUMENT: runtime options: header.struct_type is 0x00000000, wanted "
            "0x52540001");
  options.header = {8, TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
  EXPECT_NE(TextOf(trivet_runtime_create(&options, &runtime)).find("header.struct_size is 8"),
            std::string::npos);
  ExpectOk(trivet_runtime_create(nullptr, &runtime));
  EXPECT_NE(std::string(trivet_version()), "");
  EXPECT_EQ(TextOf(trivet_runtime_load_plugin(runtime, "libnothing.so")).substr(0, 17),
            "INVALID_ARGUMENT:");
  trivet_engine_options_t engine_options;
  memset(&engine_options, 0, sizeof(engine_options));
  engine_options.header = {sizeof(engine_options), TRIVET_STRUCT_ENGINE_OPTIONS, nullptr};
  engine_options.flags = 10;
  trivet_engine_t* engine = nullptr;
  EXPECT_EQ(TextOf(trivet_engine_load_memory(runtime, "", 0, &engine_options, &engine)),
            "INVALID_ARGUMENT: engine options: flags are 0xa, of which 0x8 are unknown");
  trivet_runtime_destroy(runtime);
  trivet_runtime_destroy(nullptr);
  trivet_engine_destroy(nullptr);
  trivet_context_destroy(nullptr);
}

TEST(EngineLoadTest, ARuntimeHoldsWhatRuns) {
  trivet_runtime_t* runtime = nullptr;
  ExpectOk(trivet_runtime_create(nullptr, &runtime));
  ExpectOk(trivet_runtime_load_plugin(runtime, TEST_KERNELS));
  EXPECT_NE(tvi_registry_kernel(runtime->registry, "cpu.tile", 0), nullptr);
  EXPECT_NE(tvi_registry_kernel(runtime->registry, "test.linear", 1), nullptr);
  EXPECT_NE(tvi_registry_operator(runtime->registry, "test.Scale", 1), nullptr);
  EXPECT_EQ(tvi_registry_operator(runtime->registry, "test.TextOnly", 1), nullptr);
  EXPECT_EQ(TextOf(trivet_runtime_load_plugin(runtime, TEST_KERNELS)).substr(0, 15),
            "ALREADY_EXISTS:");
  trivet_runtime_destroy(runtime);
}

// The logger hears what is loaded and which alternatives are left out.
TEST(EngineLoadTest, Logs) {
  std::string heard;
  trivet_runtime_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
  options.logger = {&heard,
                    [](void* self, trivet_severity_t, trivet_string_view_t message) {
                      static_cast<std::string*>(self)->append(message.data, message.size);
                      static_cast<std::string*>(self)->append("\n");
                    },
                    TRIVET_SEVERITY_VERBOSE, 0};
  OneStep plan;
  PlanMaker::StepOptions missing;
  missing.requirements = {"plugin:cpu_sonar"};
  plan.maker.Launch("a", "test.linear", {plan.x}, {plan.y}, Factor(1), missing);
  plan.maker.Alternative("test.linear", {plan.x}, {plan.y}, Factor(1));
  std::string bytes = plan.maker.Bytes();
  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;
  ExpectOk(trivet_runtime_create(&options, &runtime));
  ExpectOk(trivet_runtime_load_plugin(runtime, TEST_KERNELS));
  ExpectOk(trivet_engine_load_memory(runtime, bytes.data(), bytes.size(), nullptr, &engine));
  const size_t times = heard.find("loaded: reading ");
  ASSERT_NE(times, std::string::npos) << heard;
  EXPECT_EQ(heard.substr(0, times),
            "plugin " TEST_KERNELS
            " is loaded\n"
            "step 0 (a): test.linear is left out, it needs plugin:cpu_sonar\n");
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
}

}  // namespace
