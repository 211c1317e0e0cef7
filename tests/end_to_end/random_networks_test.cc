// SPDX-License-Identifier: Apache-2.0
//
// Random small convolution networks: what the whole compiler makes of them (library kernels with
// epilogues, layouts, fused regions, shared buffers) against the same network with every fuser and
// nearly every pass switched off, on the target's own kernel alone.

#include <cstdio>
#include <cstdlib>
#include <random>

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

const char kCpu[] = "plugins/cpu/cpu.so";
const char kOneDnn[] = "plugins/cpu_onednn/cpu_onednn.so";
const char kPasses[] = "passes/passes.so";
const char kOps[] = "plugins/ops_standard/ops_standard.so";

// Two dozen layers of sums of at most 144 products.
constexpr double kTolerance = 1e-4;
constexpr int kSide = 8;

// A network that |seed| determines. All values have the shape [batch, channels, 8, 8].
class RandomNetwork {
 public:
  explicit RandomNetwork(uint32_t seed)
      : random_(seed), batch_(1 + Choice(2)), channels_(Choice(2) ? 16 : 12) {}

  trivet_status_t Make(trivet_network_t* network) {
    network_ = network;
    const int64_t dims[4] = {batch_, channels_, kSide, kSide};
    trivet_value_t x;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 4, dims, nullptr, &x));
    values_.push_back(x);
    uint32_t layers = 4 + Choice(12);
    for (uint32_t i = 0; i < layers; ++i) {
      trivet_value_t y;
      RETURN_IF_ERROR(Layer(Value(), &y));
      values_.push_back(y);
    }
    RETURN_IF_ERROR(trivet_network_mark_output(network, values_.back(), "y"));
    return trivet_network_mark_output(network, values_[values_.size() / 2], "middle");
  }
  size_t size() const { return static_cast<size_t>(batch_ * channels_) * kSide * kSide; }
  int64_t batch() const { return batch_; }
  int64_t channels() const { return channels_; }

 private:
  uint32_t Choice(uint32_t count) { return random_() % count; }
  // Mostly the newest value.
  trivet_value_t Value() {
    return Choice(4) ? values_.back() : values_[Choice(static_cast<uint32_t>(values_.size()))];
  }
  trivet_status_t Constant(const std::vector<int64_t>& dims, float scale, trivet_value_t* out) {
    size_t count = 1;
    for (int64_t d : dims) count *= static_cast<size_t>(d);
    std::vector<float> data = Noise(count, static_cast<uint32_t>(random_()));
    for (float& f : data) f *= scale;
    return AddConstant(network_, "c", dims, data, out);
  }
  trivet_status_t Convolution(trivet_value_t x, trivet_value_t* out) {
    static const struct {
      int64_t window;
      bool depthwise;
    } kinds[] = {{1, false}, {3, false}, {3, true}, {5, true}};
    auto kind = kinds[Choice(4)];
    int64_t in = kind.depthwise ? 1 : channels_, pad = kind.window / 2;
    trivet_value_t w, b;
    float scale = 1 / std::sqrt(static_cast<float>(in * kind.window * kind.window) / 3);
    RETURN_IF_ERROR(Constant({channels_, in, kind.window, kind.window}, scale, &w));
    RETURN_IF_ERROR(Constant({channels_}, 1, &b));
    std::vector<trivet_value_t> inputs = {x, w};
    if (Choice(2)) inputs.push_back(b);
    int64_t groups = kind.depthwise ? channels_ : 1, pads[4] = {pad, pad, pad, pad};
    trivet_attribute_t attributes[2];
    memset(attributes, 0, sizeof(attributes));
    attributes[0] = Attribute("group", &groups, 1);
    attributes[1] = Attribute("pads", pads, 4);
    return trivet_network_add_node(network_, "std.Conv", inputs.data(),
                                   static_cast<uint32_t>(inputs.size()), attributes, 2, "conv", 1,
                                   out);
  }
  static trivet_attribute_t Attribute(const char* name, const int64_t* values, uint64_t count) {
    trivet_attribute_t attribute;
    memset(&attribute, 0, sizeof(attribute));
    attribute.name = name;
    attribute.kind = TRIVET_ATTR_I64;
    attribute.flags = count > 1 ? TRIVET_ATTR_LIST : 0;
    attribute.count = count;
    attribute.data = values;
    return attribute;
  }
  trivet_status_t Layer(trivet_value_t x, trivet_value_t* out) {
    static const char* const unary[] = {
        "std.Relu", "std.Sigmoid", "std.Tanh", "std.HardSwish", "std.HardSigmoid",
        "std.Abs",  "std.Gelu",    "std.Elu",  "std.Neg",       "std.Softplus"};
    trivet_value_t c;
    switch (Choice(8)) {
      case 0:
      case 1:
      case 2:
        return Convolution(x, out);
      case 3:
        return AddNode(network_, unary[Choice(sizeof(unary) / sizeof(unary[0]))], {x}, "f", out);
      case 4:  // one number
        RETURN_IF_ERROR(Choice(2) ? Constant({}, 1, &c) : Constant({1}, 1, &c));
        return AddNode(network_, Choice(2) ? "std.Mul" : "std.Add", {x, c}, "scalar", out);
      case 5:  // per channel, per pixel, or both
        RETURN_IF_ERROR(Choice(3)   ? Constant({channels_, 1, 1}, 1, &c)
                        : Choice(2) ? Constant({kSide, kSide}, 1, &c)
                                    : Constant({batch_, channels_, kSide, kSide}, 1, &c));
        return AddNode(network_, Choice(2) ? "std.Mul" : "std.Sub", {c, x}, "scale", out);
      case 6:
        return AddNode(network_, Choice(3) ? "std.Add" : "std.Max", {x, Value()}, "two", out);
      default:  // squeeze and excite
        RETURN_IF_ERROR(AddNode(network_, "std.GlobalAveragePool", {x}, "mean", &c));
        RETURN_IF_ERROR(AddNode(network_, "std.Sigmoid", {c}, "gate", &c));
        return AddNode(network_, "std.Mul", {x, c}, "gated", out);
    }
  }

  std::mt19937 random_;
  int64_t batch_, channels_;
  trivet_network_t* network_ = nullptr;
  std::vector<trivet_value_t> values_;
};

struct Outputs {
  std::vector<float> y, middle;
};

void RunNetwork(uint32_t seed, bool plain, Outputs* out) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  if (!plain) recipe.plugins.push_back(kOneDnn);
  size_t size = 0;
  int64_t batch = 0, channels = 0;
  recipe.network = [&](trivet_network_t* network) {
    RandomNetwork net(seed);
    size = net.size();
    batch = net.batch();
    channels = net.channels();
    return net.Make(network);
  };
  recipe.config = [plain](trivet_network_t*, trivet_config_t* config) -> trivet_status_t {
    if (!plain) return nullptr;
    RETURN_IF_ERROR(trivet_config_set_pipeline(config, "expand-operators"));
    for (const char* each : {"fuse-epilogue", "fuse-elementwise", "fuse-reduction",
                             "concat-in-place", "share-in-place", "choose-layout"}) {
      RETURN_IF_ERROR(trivet_config_disable_pass(config, each));
    }
    return nullptr;
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  if (testing::Test::HasFailure()) return;
  Loaded loaded;
  ExpectOk(loaded.Load(plan, recipe.plugins));
  trivet_context_t* context = nullptr;
  ExpectOk(loaded.Context(2, &context));
  std::vector<float> x = Noise(size, 5 + seed);
  out->y.assign(size, -77);
  out->middle.assign(size, -77);
  ExpectOk(SetInput(context, "x", {batch, channels, kSide, kSide}, &x));
  ExpectOk(trivet_context_set_address(context, "y", out->y.data()));
  ExpectOk(trivet_context_set_address(context, "middle", out->middle.data()));
  ExpectOk(trivet_context_run(context));
  trivet_context_destroy(context);
}

// The network as a graph text that `trivet build` reads.
std::string Text(uint32_t seed) {
  std::string text;
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  recipe.network = [&](trivet_network_t* network) {
    RETURN_IF_ERROR(RandomNetwork(seed).Make(network));
    return trivet_network_print(network, TRIVET_PRINT_CONSTANTS, {&text, trivet_test::Append});
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  return text;
}

// TRIVET_RANDOM_NETWORKS: how many; the first one that fails is named by its seed.
TEST(RandomNetworks, CompiledAsWrittenDown) {
  const char* text = std::getenv("TRIVET_RANDOM_NETWORKS");
  uint32_t count = text != nullptr ? static_cast<uint32_t>(std::atoi(text)) : 60;
  for (uint32_t seed = 0; seed < count && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Outputs found, wanted;
    RunNetwork(seed, true, &wanted);
    if (!HasFailure()) RunNetwork(seed, false, &found);
    if (HasFailure()) break;
    EXPECT_LT(Difference(found.y, wanted.y), kTolerance);
    EXPECT_LT(Difference(found.middle, wanted.middle), kTolerance);
    if (HasFailure()) std::puts(Text(seed).c_str());
  }
}

}  // namespace
