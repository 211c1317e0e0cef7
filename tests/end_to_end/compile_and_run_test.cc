// SPDX-License-Identifier: Apache-2.0
//
// Networks compiled and run through the public API, with the plugins as they are shipped: dynamic
// shapes, observed values, host functions with data-dependent extents, several threads, the same
// bytes for the same network, plugins that are missing at run time.

#include <thread>

#include "tests/end_to_end/compiled.h"

namespace {

using trivet_test::AddConstant;
using trivet_test::AddNode;
using trivet_test::Compile;
using trivet_test::Difference;
using trivet_test::ExpectOk;
using trivet_test::Loaded;
using trivet_test::Noise;
using trivet_test::Recipe;
using trivet_test::SetInput;
using trivet_test::TextOf;

const char kCpu[] = "plugins/cpu/cpu.so";
const char kOneDnn[] = "plugins/cpu_onednn/cpu_onednn.so";
const char kPasses[] = "passes/passes.so";
const char kOps[] = "plugins/ops_standard/ops_standard.so";

// Sums of 128 products of numbers around 5, in f32.
constexpr double kTolerance = 2e-5;
constexpr int kIn = 96, kHidden = 128, kOut = 40;

// y = (relu(x * w1 + b1) * w2 + b2) + softmax over the last axis of the first sum.
struct Perceptron {
  Perceptron()
      : w1(Noise(kIn * kHidden, 1)),
        b1(Noise(kHidden, 2)),
        w2(Noise(kHidden * kOut, 3)),
        b2(Noise(kOut, 4)) {}

  trivet_status_t Make(trivet_network_t* network) const {
    const int64_t dims[2] = {-1, kIn};
    const char* const symbols[2] = {"batch", nullptr};
    trivet_value_t x, c[4], product, sum, hidden, product2, sum2, soft, y;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
    RETURN_IF_ERROR(AddConstant(network, "w1", {kIn, kHidden}, w1, &c[0]));
    RETURN_IF_ERROR(AddConstant(network, "b1", {kHidden}, b1, &c[1]));
    RETURN_IF_ERROR(AddConstant(network, "w2", {kHidden, kOut}, w2, &c[2]));
    RETURN_IF_ERROR(AddConstant(network, "b2", {kOut}, b2, &c[3]));
    RETURN_IF_ERROR(AddNode(network, "std.MatMul", {x, c[0]}, "product1", &product));
    RETURN_IF_ERROR(AddNode(network, "std.Add", {product, c[1]}, "sum1", &sum));
    RETURN_IF_ERROR(AddNode(network, "std.Relu", {sum}, "relu1", &hidden));
    RETURN_IF_ERROR(AddNode(network, "std.MatMul", {hidden, c[2]}, "product2", &product2));
    RETURN_IF_ERROR(AddNode(network, "std.Add", {product2, c[3]}, "sum2", &sum2));
    RETURN_IF_ERROR(AddNode(network, "std.Softmax", {sum2}, "soft", &soft));
    RETURN_IF_ERROR(AddNode(network, "std.Add", {sum2, soft}, "last", &y));
    RETURN_IF_ERROR(trivet_network_value_name(network, sum, "before_relu"));
    return trivet_network_mark_output(network, y, "y");
  }

  std::vector<float> Sum1(const std::vector<float>& x) const {
    size_t rows = x.size() / kIn;
    std::vector<float> out(rows * kHidden);
    for (size_t r = 0; r < rows; ++r) {
      for (int j = 0; j < kHidden; ++j) {
        double sum = b1[j];
        for (int k = 0; k < kIn; ++k) sum += double{x[r * kIn + k]} * w1[k * kHidden + j];
        out[r * kHidden + j] = static_cast<float>(sum);
      }
    }
    return out;
  }
  std::vector<float> Expected(const std::vector<float>& x) const {
    size_t rows = x.size() / kIn;
    std::vector<float> hidden = Sum1(x), out(rows * kOut);
    for (size_t r = 0; r < rows; ++r) {
      double sums[kOut], most = -1e30, total = 0;
      for (int j = 0; j < kOut; ++j) {
        sums[j] = b2[j];
        for (int k = 0; k < kHidden; ++k) {
          sums[j] += std::fmax(0.0, hidden[r * kHidden + k]) * w2[k * kOut + j];
        }
        most = std::fmax(most, sums[j]);
      }
      for (double s : sums) total += std::exp(s - most);
      for (int j = 0; j < kOut; ++j) {
        out[r * kOut + j] = static_cast<float>(sums[j] + std::exp(sums[j] - most) / total);
      }
    }
    return out;
  }
  Recipe Plan(const std::vector<std::string>& plugins, bool observed = false) const {
    Recipe recipe;
    recipe.plugins = plugins;
    recipe.network = [this](trivet_network_t* network) { return Make(network); };
    recipe.config = [observed](trivet_network_t* network, trivet_config_t* config) {
      const int64_t min[2] = {1, kIn}, opt[2] = {4, kIn}, max[2] = {9, kIn};
      uint32_t profile;
      if (observed) RETURN_IF_ERROR(trivet_network_observe(network, "before_relu"));
      RETURN_IF_ERROR(trivet_config_add_profile(config, &profile));
      return trivet_config_set_profile_shape(config, profile, "x", 2, min, opt, max);
    };
    return recipe;
  }

  std::vector<float> w1, b1, w2, b2;
};

std::vector<std::vector<std::string>> PluginSets() {
  return {{kOps, kPasses, kCpu}, {kOps, kPasses, kCpu, kOneDnn}};
}

TEST(CompileAndRunTest, DynamicBatch) {
  Perceptron net;
  for (const auto& plugins : PluginSets()) {
    std::string plan;
    ExpectOk(Compile(net.Plan(plugins), &plan));
    for (uint32_t threads : {1u, 2u}) {
      Loaded loaded;
      ExpectOk(loaded.Load(plan, plugins));
      trivet_context_t* context = nullptr;
      ExpectOk(loaded.Context(threads, &context));
      for (int64_t batch : {1, 9, 4, 2}) {
        std::vector<float> x = Noise(static_cast<size_t>(batch * kIn), 7);
        std::vector<float> y(static_cast<size_t>(batch * kOut), -7);
        ExpectOk(SetInput(context, "x", {batch, kIn}, &x));
        ExpectOk(trivet_context_set_address(context, "y", y.data()));
        ExpectOk(trivet_context_run(context));
        EXPECT_LT(Difference(y, net.Expected(x)), kTolerance) << "batch " << batch;
      }
      int64_t dims[2] = {10, kIn};
      EXPECT_EQ(TextOf(trivet_context_set_shape(context, "x", 2, dims)),
                "OUT_OF_RANGE: input 'x': dimension 0 is 10, profile 0 allows 1 to 9");
      trivet_context_destroy(context);
    }
  }
}

TEST(CompileAndRunTest, ObservedValueChangesNothing) {
  Perceptron net;
  for (const auto& plugins : PluginSets()) {
    std::vector<float> x = Noise(5 * kIn, 11), results[2], dumped(5 * kHidden);
    for (int observed = 0; observed < 2; ++observed) {
      std::string plan;
      ExpectOk(Compile(net.Plan(plugins, observed != 0), &plan));
      Loaded loaded;
      ExpectOk(loaded.Load(plan, plugins));
      trivet_context_t* context = nullptr;
      ExpectOk(loaded.Context(1, &context));
      results[observed].resize(5 * kOut);
      ExpectOk(SetInput(context, "x", {5, kIn}, &x));
      ExpectOk(trivet_context_set_address(context, "y", results[observed].data()));
      if (observed != 0) {
        ExpectOk(trivet_context_set_address(context, "before_relu", dumped.data()));
      }
      ExpectOk(trivet_context_run(context));
      trivet_context_destroy(context);
    }
    EXPECT_LT(Difference(results[1], results[0]), 1e-6);
    EXPECT_LT(Difference(dumped, net.Sum1(x)), kTolerance);
  }
}

TEST(CompileAndRunTest, SameNetworkSameBytesInTwoThreads) {
  Perceptron net;
  std::string plans[2];
  std::thread other([&] { ExpectOk(Compile(net.Plan({kOps, kPasses, kCpu}), &plans[0])); });
  ExpectOk(Compile(net.Plan({kOps, kPasses, kCpu}), &plans[1]));
  other.join();
  EXPECT_FALSE(plans[0].empty());
  EXPECT_TRUE(plans[0] == plans[1]);
}

TEST(CompileAndRunTest, EightThreadsEightContexts) {
  Perceptron net;
  for (const auto& plugins : PluginSets()) {
    std::string plan;
    ExpectOk(Compile(net.Plan(plugins), &plan));
    Loaded loaded;
    ExpectOk(loaded.Load(plan, plugins));
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 8; ++t) {
      threads.emplace_back([&net, &loaded, t] {
        trivet_context_t* context = nullptr;
        ExpectOk(loaded.Context(t % 4 == 3 ? 2 : 1, &context));
        for (uint32_t round = 0; round < 12; ++round) {
          int64_t batch = 1 + (round + t) % 9;
          std::vector<float> x = Noise(static_cast<size_t>(batch * kIn), round * 8 + t);
          std::vector<float> y(static_cast<size_t>(batch * kOut));
          ExpectOk(SetInput(context, "x", {batch, kIn}, &x));
          ExpectOk(trivet_context_set_address(context, "y", y.data()));
          ExpectOk(trivet_context_run(context));
          EXPECT_LT(Difference(y, net.Expected(x)), kTolerance);
        }
        trivet_context_destroy(context);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(CompileAndRunTest, MissingPluginAtRunTime) {
  Perceptron net;
  std::string plan;
  ExpectOk(Compile(net.Plan({kOps, kPasses, kCpu, kOneDnn}), &plan));
  Loaded loaded;
  std::string text = TextOf(loaded.Load(plan, {}));
  EXPECT_EQ(text.substr(0, 51), "UNAVAILABLE: the plan needs plugin 'cpu_onednn' (it");
}

// positions = NonZero(x); twice = Cast(positions) * 2 with an extent that only the run knows.
TEST(CompileAndRunTest, DataDependentExtents) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  recipe.network = [](trivet_network_t* network) {
    const int64_t dims[2] = {-1, 3};
    const char* const symbols[2] = {"rows", nullptr};
    trivet_value_t x, positions, numbers, two, y;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
    RETURN_IF_ERROR(AddNode(network, "std.NonZero", {x}, "nonzero", &positions));
    uint32_t to = TRIVET_DTYPE_F32;
    trivet_attribute_t attribute = {"to", TRIVET_ATTR_DTYPE, 0, 1, &to};
    RETURN_IF_ERROR(trivet_network_add_node(network, "std.Cast", &positions, 1, &attribute, 1,
                                            "cast", 1, &numbers));
    RETURN_IF_ERROR(AddConstant(network, "two", {}, {2.0f}, &two));
    RETURN_IF_ERROR(AddNode(network, "std.Mul", {numbers, two}, "twice", &y));
    return trivet_network_mark_output(network, y, "y");
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  Loaded loaded;
  ExpectOk(loaded.Load(plan, {kOps}));
  trivet_context_t* context = nullptr;
  ExpectOk(loaded.Context(1, &context));
  for (int64_t rows : {4, 1, 7, 7}) {
    std::vector<float> x(static_cast<size_t>(rows * 3)), found[2];
    for (size_t i = 0; i < x.size(); ++i) {
      if (i % 4 != static_cast<size_t>(rows % 3)) continue;
      x[i] = 1;
      found[0].push_back(2.0f * static_cast<float>(i / 3));
      found[1].push_back(2.0f * static_cast<float>(i % 3));
    }
    std::vector<float> expected = found[0], y(x.size() * 2);
    expected.insert(expected.end(), found[1].begin(), found[1].end());
    ExpectOk(SetInput(context, "x", {rows, 3}, &x));
    ExpectOk(trivet_context_set_address(context, "y", y.data()));
    ExpectOk(trivet_context_prepare(context));
    uint64_t size = 0;
    ExpectOk(trivet_context_tensor_size(context, "y", &size));
    EXPECT_GE(size, expected.size() * sizeof(float));
    ExpectOk(trivet_context_run(context));
    uint32_t rank = 0;
    int64_t dims[TRIVET_DIMS_MAX];
    ExpectOk(trivet_context_shape(context, "y", &rank, dims));
    ASSERT_EQ(rank, 2u);
    EXPECT_EQ(dims[0], 2);
    EXPECT_EQ(dims[1], static_cast<int64_t>(found[0].size()));
    y.resize(expected.size());
    EXPECT_EQ(y, expected);
  }
  trivet_context_destroy(context);
}

}  // namespace
