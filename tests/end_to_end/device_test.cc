// SPDX-License-Identifier: Apache-2.0
//
// What the runtime does for targets with memory of their own, on the null device, whose addresses
// nobody but its kernel can follow: copies, staging, replayed graphs, host functions in between,
// refusals, limits, leaks. Judged by closed formulas.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/end_to_end/compiled.h"

namespace {

using trivet_test::AddConstant;
using trivet_test::AddNode;
using trivet_test::Compile;
using trivet_test::ExpectOk;
using trivet_test::Recipe;
using trivet_test::TextOf;

const char kNull[] = "plugins/null/null.so";
const char kPasses[] = "passes/passes.so";
const char kOps[] = "plugins/ops_standard/ops_standard.so";
constexpr uint64_t kMemory = uint64_t{1} << 30;  // of a null device

// y[b] = exp(x[b]) * w + x[b], 1 <= batch <= 64; a second output z = -y.
trivet_status_t Simple(trivet_network_t* network) {
  const int64_t dims[2] = {-1, 4};
  const char* symbols[2] = {"batch", nullptr};
  trivet_value_t x, w, e, p, y, z;
  RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
  RETURN_IF_ERROR(AddConstant(network, "w", {4}, {1, 2, 3, 4}, &w));
  RETURN_IF_ERROR(AddNode(network, "std.Exp", {x}, "exp", &e));
  RETURN_IF_ERROR(AddNode(network, "std.Mul", {e, w}, "mul", &p));
  RETURN_IF_ERROR(AddNode(network, "std.Add", {p, x}, "add", &y));
  RETURN_IF_ERROR(AddNode(network, "std.Neg", {y}, "neg", &z));
  RETURN_IF_ERROR(trivet_network_mark_output(network, y, "y"));
  return trivet_network_mark_output(network, z, "z");
}

// Positions of what is not zero in exp(x) * 0 + x, as a host function finds them: it reads what a
// launch made, and a launch reads what it made. The size depends on the data.
trivet_status_t WithHostFunction(trivet_network_t* network) {
  const int64_t dims[1] = {6};
  trivet_value_t x, zero, e, p, y, found, twice;
  RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 1, dims, nullptr, &x));
  RETURN_IF_ERROR(AddConstant(network, "zero", {1}, {0}, &zero));
  RETURN_IF_ERROR(AddNode(network, "std.Exp", {x}, "exp", &e));
  RETURN_IF_ERROR(AddNode(network, "std.Mul", {e, zero}, "mul", &p));
  RETURN_IF_ERROR(AddNode(network, "std.Add", {p, x}, "add", &y));
  RETURN_IF_ERROR(AddNode(network, "std.NonZero", {y}, "nonzero", &found));
  RETURN_IF_ERROR(AddNode(network, "std.Add", {found, found}, "twice", &twice));
  RETURN_IF_ERROR(trivet_network_mark_output(network, twice, "twice"));
  return trivet_network_mark_output(network, found, "found");
}

std::string PlanOf(trivet_status_t (*network)(trivet_network_t*), const char* target) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kNull};
  recipe.network = network;
  recipe.config = [target](trivet_network_t*, trivet_config_t* config) {
    return trivet_config_set_target(config, target);
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  return plan;
}

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    ExpectOk(trivet_runtime_create(nullptr, &runtime_));
    ExpectOk(trivet_runtime_load_plugin(runtime_, kNull));
    ExpectOk(trivet_runtime_load_plugin(runtime_, kOps));
  }
  void TearDown() override {
    trivet_engine_destroy(engine_);
    EXPECT_EQ(Free(0), kMemory);
    EXPECT_EQ(Free(1), kMemory);
    trivet_runtime_destroy(runtime_);
  }
  trivet_status_t Load(const std::string& plan, uint32_t device = 0, uint64_t limit = 0) {
    plan_ = plan;
    trivet_engine_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_ENGINE_OPTIONS, nullptr};
    options.device = device;
    options.memory_limit = limit;
    return trivet_engine_load_memory(runtime_, plan_.data(), plan_.size(), &options, &engine_);
  }
  trivet_context_t* Context(uint32_t flags = 0, uint64_t limit = 0, uint32_t graphs = 0) {
    trivet_context_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
    options.flags = flags;
    options.memory_limit = limit;
    options.graph_count = graphs;
    trivet_context_t* context = nullptr;
    ExpectOk(trivet_context_create(engine_, &options, &context));
    return context;
  }
  uint64_t Free(uint32_t device) {
    trivet_device_record_t record;
    memset(&record, 0, sizeof(record));
    record.header = {sizeof(record), TRIVET_STRUCT_DEVICE_RECORD, nullptr};
    ExpectOk(trivet_runtime_device(runtime_, "null", device, &record));
    return record.memory_free;
  }
  static trivet_context_statistics_t Statistics(const trivet_context_t* context) {
    trivet_context_statistics_t statistics;
    memset(&statistics, 0, sizeof(statistics));
    statistics.header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, nullptr};
    ExpectOk(trivet_context_statistics(context, &statistics));
    return statistics;
  }
  trivet_runtime_t* runtime_ = nullptr;
  trivet_engine_t* engine_ = nullptr;
  std::string plan_;
};

float Wanted(float x, size_t i) { return std::exp(x) * static_cast<float>(i % 4 + 1) + x; }

struct Io {
  std::vector<float> x, y, z;
  explicit Io(int64_t batch, uint32_t seed = 1)
      : x(trivet_test::Noise(static_cast<size_t>(batch) * 4, seed)),
        y(x.size(), -7),
        z(x.size(), -7) {}
  trivet_status_t Bind(trivet_context_t* context) {
    RETURN_IF_ERROR(
        trivet_test::SetInput(context, "x", {static_cast<int64_t>(x.size() / 4), 4}, &x));
    RETURN_IF_ERROR(trivet_context_set_address(context, "y", y.data()));
    return trivet_context_set_address(context, "z", z.data());
  }
  void Check() const {
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(y[i], Wanted(x[i], i), 1e-5) << i;
      ASSERT_EQ(z[i], -y[i]) << i;
    }
  }
};

TEST_F(DeviceTest, HostAddressesAreStagedAndRunsReplayed) {
  ExpectOk(Load(PlanOf(Simple, "null:v1")));
  EXPECT_STREQ(trivet_engine_target(engine_), "null:v1");
  trivet_context_t* context = Context();
  Io io(3);
  ExpectOk(io.Bind(context));
  for (uint32_t run = 0; run < 5; ++run) {
    const std::vector<float> next = trivet_test::Noise(12, run + 10);
    std::copy(next.begin(), next.end(), io.x.begin());  // the same memory, other contents
    ExpectOk(trivet_context_run(context));
    io.Check();
  }
  trivet_context_statistics_t statistics = Statistics(context);
  EXPECT_EQ(statistics.graph_count, 1u);
  EXPECT_EQ(statistics.replay_count, 4u);  // the first run is not
  EXPECT_GE(statistics.staging_size, 3u * 12 * 4);
  // The report is what the device gave.
  EXPECT_EQ(statistics.device_size, kMemory - Free(0));
  trivet_context_destroy(context);
}

TEST_F(DeviceTest, DeviceAddressesAreUsedInPlace) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  trivet_context_t* context = Context(TRIVET_CONTEXT_DEVICE_ADDRESSES);
  Io io(2);
  const uint64_t size = io.x.size() * 4;
  void *x, *y, *z;
  ExpectOk(trivet_engine_allocate(engine_, size + 4, &x));
  ExpectOk(trivet_engine_allocate(engine_, size, &y));
  ExpectOk(trivet_engine_allocate(engine_, size, &z));
  ExpectOk(trivet_engine_copy(engine_, x, io.x.data(), size));
  const int64_t dims[2] = {2, 4};
  ExpectOk(trivet_context_set_shape(context, "x", 2, dims));
  ExpectOk(trivet_context_set_address(context, "x", x));
  ExpectOk(trivet_context_set_address(context, "y", y));
  ExpectOk(trivet_context_set_address(context, "z", z));
  for (int run = 0; run < 3; ++run) ExpectOk(trivet_context_enqueue(context));
  ExpectOk(trivet_context_synchronize(context));
  ExpectOk(trivet_engine_copy(engine_, io.y.data(), y, size));
  ExpectOk(trivet_engine_copy(engine_, io.z.data(), z, size));
  io.Check();
  EXPECT_EQ(Statistics(context).staging_size, 0u);
  // An address that is not aligned enough for the kernels is staged, wherever it lies.
  char* odd = static_cast<char*>(x) + 4;
  ExpectOk(trivet_engine_copy(engine_, odd, io.x.data(), size));
  ExpectOk(trivet_context_set_address(context, "x", odd));
  ExpectOk(trivet_context_run(context));
  ExpectOk(trivet_engine_copy(engine_, io.y.data(), y, size));
  io.Check();
  EXPECT_GE(Statistics(context).staging_size, size);
  // On the host it is refused, by name, and the context goes on.
  ExpectOk(trivet_context_set_address(context, "y", io.y.data()));
  std::string text = TextOf(trivet_context_run(context));
  EXPECT_NE(text.find("tensor 'y'"), std::string::npos) << text;
  EXPECT_NE(text.find("lies on the host"), std::string::npos) << text;
  ExpectOk(trivet_context_set_address(context, "y", y));
  ExpectOk(trivet_context_run(context));
  trivet_context_destroy(context);
  trivet_engine_release(engine_, x, size + 4);
  trivet_engine_release(engine_, y, size);
  trivet_engine_release(engine_, z, size);
}

TEST_F(DeviceTest, GraphsAreKeptByAddresses) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  trivet_context_t* context = Context(0, 0, 2);
  const int64_t dims[2] = {1, 4};
  ExpectOk(trivet_context_set_shape(context, "x", 2, dims));
  std::vector<void*> memory(9);
  for (void*& each : memory) ExpectOk(trivet_engine_allocate(engine_, 16, &each));
  Io io(1);
  auto run = [&](size_t set) {
    io.x = trivet_test::Noise(4, static_cast<uint32_t>(set) + 3);
    ExpectOk(trivet_engine_copy(engine_, memory[set * 3], io.x.data(), 16));
    ExpectOk(trivet_context_set_address(context, "x", memory[set * 3]));
    ExpectOk(trivet_context_set_address(context, "y", memory[set * 3 + 1]));
    ExpectOk(trivet_context_set_address(context, "z", memory[set * 3 + 2]));
    ExpectOk(trivet_context_run(context));
    ExpectOk(trivet_engine_copy(engine_, io.y.data(), memory[set * 3 + 1], 16));
    ExpectOk(trivet_engine_copy(engine_, io.z.data(), memory[set * 3 + 2], 16));
    io.Check();
    return Statistics(context);
  };
  EXPECT_EQ(run(0).graph_count, 0u);  // the first run is never captured
  EXPECT_EQ(run(1).graph_count, 1u);  // one for addresses never seen: they are copied
  EXPECT_EQ(run(0).graph_count, 2u);  // addresses that come again get their own
  EXPECT_EQ(run(1).graph_count, 3u);
  EXPECT_EQ(run(0).replay_count, 4u);  // all but the first run
  EXPECT_EQ(run(2).graph_count, 2u);   // in place of the one not used for longest
  EXPECT_EQ(run(0).graph_count, 2u);
  EXPECT_EQ(run(1).graph_count, 2u);
  EXPECT_EQ(run(1).graph_count, 3u);  // also when nothing changed in between
  EXPECT_EQ(run(2).replay_count, 9u);
  // Other shapes, other memory: nothing of before is replayed.
  Io large(64);
  ExpectOk(large.Bind(context));
  ExpectOk(trivet_context_run(context));
  large.Check();
  EXPECT_EQ(Statistics(context).graph_count, 0u);
  trivet_context_destroy(context);
  for (void* each : memory) trivet_engine_release(engine_, each, 16);
}

TEST_F(DeviceTest, FilledBeforeEveryRun) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  for (uint32_t fill : {TRIVET_CONTEXT_FILL_ZEROS, TRIVET_CONTEXT_FILL_ONES}) {
    trivet_context_t* context = Context(fill);
    Io io(5);
    ExpectOk(io.Bind(context));
    // With constants, inputs and graphs untouched by it.
    for (int run = 0; run < 4; ++run) ExpectOk(trivet_context_run(context));
    io.Check();
    EXPECT_NE(Statistics(context).replay_count, 0u);
    trivet_context_destroy(context);
  }
}

TEST_F(DeviceTest, WithoutGraphs) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  trivet_context_t* context = Context(TRIVET_CONTEXT_NO_GRAPH);
  Io io(5);
  ExpectOk(io.Bind(context));
  for (int run = 0; run < 3; ++run) ExpectOk(trivet_context_run(context));
  io.Check();
  EXPECT_EQ(Statistics(context).replay_count, 0u);
  ExpectOk(trivet_context_enable_profile(context, 1));
  ExpectOk(trivet_context_run(context));
  trivet_layer_record_t layer;
  memset(&layer, 0, sizeof(layer));
  layer.header = {sizeof(layer), TRIVET_STRUCT_LAYER_RECORD, nullptr};
  ExpectOk(trivet_context_layer(context, 0, &layer));
  EXPECT_EQ(layer.count, 1u);
  EXPECT_STREQ(layer.kernel, "null.kernel");
  trivet_context_destroy(context);
}

TEST_F(DeviceTest, HostFunctionsBetweenLaunches) {
  ExpectOk(Load(PlanOf(WithHostFunction, "null")));
  trivet_context_t* context = Context();
  std::vector<float> x = {0, 3, 0, -1, 2, 0};
  std::vector<int64_t> twice(6, -7), found(6, -7);
  ExpectOk(trivet_test::SetInput(context, "x", {6}, &x));
  ExpectOk(trivet_context_set_address(context, "twice", twice.data()));
  ExpectOk(trivet_context_set_address(context, "found", found.data()));
  for (int run = 0; run < 3; ++run) {
    ExpectOk(trivet_context_run(context));
    EXPECT_EQ(found, (std::vector<int64_t>{1, 3, 4, -7, -7, -7}));
    EXPECT_EQ(twice, (std::vector<int64_t>{2, 6, 8, -7, -7, -7}));
  }
  x = {1, 1, 1, 1, 1, 0};  // more than before
  ExpectOk(trivet_context_run(context));
  EXPECT_EQ(twice, (std::vector<int64_t>{0, 2, 4, 6, 8, -7}));
  EXPECT_EQ(Statistics(context).replay_count, 0u);
  trivet_context_destroy(context);
}

TEST_F(DeviceTest, Refusals) {
  EXPECT_EQ(TextOf(Load(PlanOf(Simple, "null"), 7)),
            "UNAVAILABLE: the plan is for target 'null:v1': device 7 of target 'null': there are 2 "
            "null devices, wanted is number 7");
  EXPECT_EQ(TextOf(Load(PlanOf(Simple, "null:v2"))),
            "INCOMPATIBLE: the plan is for target 'null:v2', device 0 is 'null device 0', target "
            "'null:v1'");
  EXPECT_EQ(TextOf(Load(PlanOf(Simple, "null"), 0, 8)),
            "OUT_OF_MEMORY: weights need 16 bytes of device 0 ('null device 0'), the limit is 8");
  ExpectOk(Load(PlanOf(Simple, "null"), 1));
  trivet_context_t* context = Context();
  Io io(1);
  ExpectOk(trivet_context_set_address(context, "y", io.y.data()));
  std::string text = TextOf(trivet_context_run(context));
  EXPECT_NE(text.find("input 'x'"), std::string::npos) << text;
  ExpectOk(io.Bind(context));
  ExpectOk(trivet_context_run(context));
  io.Check();
  trivet_context_destroy(context);
}

TEST_F(DeviceTest, MemoryLimit) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  trivet_context_t* context = Context(0, 600);
  Io large(64), small(2);
  ExpectOk(large.Bind(context));
  std::string text = TextOf(trivet_context_run(context));
  EXPECT_NE(text.find("OUT_OF_MEMORY"), std::string::npos) << text;
  EXPECT_NE(text.find("the limit of this context is 600 bytes"), std::string::npos) << text;
  ExpectOk(small.Bind(context));
  ExpectOk(trivet_context_run(context));
  small.Check();
  EXPECT_LE(Statistics(context).device_size, 600u);
  trivet_context_destroy(context);
}

// Both kernels of the target are timed on the device; its signature keys the cache.
TEST_F(DeviceTest, TacticsAreTimedOnTheDevice) {
  const std::string path = testing::TempDir() + "/null_device.times";
  std::remove(path.c_str());
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kNull};
  recipe.network = Simple;
  recipe.config = [&path](trivet_network_t*, trivet_config_t* config) {
    RETURN_IF_ERROR(trivet_config_set_target(config, "null"));
    RETURN_IF_ERROR(trivet_config_set_tactics(config, TRIVET_TACTICS_TIMED));
    return trivet_config_set_timing_cache(config, path.c_str());
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(text.find("device null v1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("null.kernel/"), std::string::npos) << text;
  EXPECT_NE(text.find("null.twice/"), std::string::npos) << text;
  // "null" alone: the device said which architecture.
  ExpectOk(Load(plan));
  EXPECT_STREQ(trivet_engine_target(engine_), "null:v1");
  recipe.config = [](trivet_network_t*, trivet_config_t* config) {
    RETURN_IF_ERROR(trivet_config_set_target(config, "null:v9"));
    return trivet_config_set_tactics(config, TRIVET_TACTICS_TIMED);
  };
  EXPECT_EQ(
      TextOf(Compile(recipe, &plan)),
      "INCOMPATIBLE: tactics of target 'null:v9' cannot be timed on 'null device 0', which is "
      "'null:v1'");
}

TEST_F(DeviceTest, ManyContextsOfManyShapesLeakNothing) {
  ExpectOk(Load(PlanOf(Simple, "null")));
  const uint64_t before = Free(0);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      trivet_context_t* context = Context();
      for (uint32_t run = 0; run < 200; ++run) {
        Io io((run * 37 + t) % 64 + 1, run + t);
        ExpectOk(io.Bind(context));
        for (uint32_t again = 0; again < 1 + run % 3; ++again) {
          ExpectOk(trivet_context_run(context));
        }
        io.Check();
      }
      trivet_context_destroy(context);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Free(0), before);
}

}  // namespace
