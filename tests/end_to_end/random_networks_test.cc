// SPDX-License-Identifier: Apache-2.0
//
// Random networks, small ones of convolutions and ones of long sums as transformers have them: what
// the whole compiler makes of them (library kernels with epilogues, layouts, fused regions, shared
// buffers) against the same network with every fuser and nearly every pass switched off, on the
// target's own kernel alone.

#include <cstdio>
#include <cstdlib>
#include <memory>
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

// What both kinds of networks are made of. |seed| determines everything.
class RandomNetwork {
 public:
  virtual ~RandomNetwork() = default;
  trivet_status_t Make(trivet_network_t* network) {
    network_ = network;
    trivet_value_t x;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32,
                                             static_cast<uint32_t>(dims_.size()), dims_.data(),
                                             nullptr, &x));
    values_.push_back({x, dims_});
    for (uint32_t i = 0; i < layers_; ++i) {
      Value y;
      RETURN_IF_ERROR(Layer(Pick(), &y));
      values_.push_back(y);
    }
    const Value &last = values_.back(), &middle = values_[values_.size() / 2];
    sizes_ = {Count(last.dims), Count(middle.dims)};
    RETURN_IF_ERROR(trivet_network_mark_output(network, last.value, "y"));
    return trivet_network_mark_output(network, middle.value, "middle");
  }
  const std::vector<int64_t>& dims() const { return dims_; }
  // Of "y" and "middle", once it is made.
  const std::vector<size_t>& sizes() const { return sizes_; }
  static size_t Count(const std::vector<int64_t>& dims) {
    size_t count = 1;
    for (int64_t d : dims) count *= static_cast<size_t>(d);
    return count;
  }

 protected:
  struct Value {
    trivet_value_t value = 0;
    std::vector<int64_t> dims;
  };
  explicit RandomNetwork(uint32_t seed) : random_(seed) {}
  virtual trivet_status_t Layer(const Value& x, Value* out) = 0;

  uint32_t Choice(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
  // Mostly the newest value.
  Value Pick() {
    return Choice(4) ? values_.back() : values_[Choice(static_cast<uint32_t>(values_.size()))];
  }
  trivet_status_t Constant(const std::vector<int64_t>& dims, float scale, trivet_value_t* out) {
    std::vector<float> data = Noise(Count(dims), static_cast<uint32_t>(random_()));
    for (float& f : data) f *= scale;
    return AddConstant(network_, "c", dims, data, out);
  }
  trivet_status_t Integers(std::vector<int64_t> data, trivet_value_t* out) {
    trivet_tensor_t tensor;
    memset(&tensor, 0, sizeof(tensor));
    tensor.dtype = TRIVET_DTYPE_I64;
    tensor.rank = 1;
    tensor.dims[0] = static_cast<int64_t>(data.size());
    tensor.data = data.data();
    tensor.size = data.size() * sizeof(int64_t);
    return trivet_network_add_constant(network_, "i", &tensor, TRIVET_CONSTANT_COPY, out);
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
  trivet_status_t Node(const char* op, const std::vector<trivet_value_t>& inputs,
                       const std::vector<trivet_attribute_t>& attributes, trivet_value_t* out) {
    return trivet_network_add_node(network_, op, inputs.data(),
                                   static_cast<uint32_t>(inputs.size()), attributes.data(),
                                   static_cast<uint32_t>(attributes.size()), "node", 1, out);
  }
  trivet_status_t Function(trivet_value_t x, trivet_value_t* out) {
    static const char* const unary[] = {
        "std.Relu", "std.Sigmoid", "std.Tanh", "std.HardSwish", "std.HardSigmoid",
        "std.Abs",  "std.Gelu",    "std.Elu",  "std.Neg",       "std.Softplus"};
    return AddNode(network_, unary[Choice(sizeof(unary) / sizeof(unary[0]))], {x}, "f", out);
  }

  std::mt19937 random_;
  std::vector<int64_t> dims_;
  uint32_t layers_ = 0;
  trivet_network_t* network_ = nullptr;
  std::vector<Value> values_;
  std::vector<size_t> sizes_;
};

// Convolutions. All values have the shape [batch, channels, 8, 8].
class Images : public RandomNetwork {
 public:
  explicit Images(uint32_t seed) : RandomNetwork(seed) {
    batch_ = 1 + Choice(2);
    channels_ = Choice(2) ? 16 : 12;
    dims_ = {batch_, channels_, kSide, kSide};
    layers_ = 4 + Choice(12);
  }

 private:
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
    return Node("std.Conv", inputs, {Attribute("group", &groups, 1), Attribute("pads", pads, 4)},
                out);
  }
  trivet_status_t Layer(const Value& from, Value* to) override {
    to->dims = from.dims;
    trivet_value_t x = from.value, c, *out = &to->value;
    switch (Choice(8)) {
      case 0:
      case 1:
      case 2:
        return Convolution(x, out);
      case 3:
        return Function(x, out);
      case 4:  // one number
        RETURN_IF_ERROR(Choice(2) ? Constant({}, 1, &c) : Constant({1}, 1, &c));
        return AddNode(network_, Choice(2) ? "std.Mul" : "std.Add", {x, c}, "scalar", out);
      case 5:  // per channel, per pixel, or both
        RETURN_IF_ERROR(Choice(3)   ? Constant({channels_, 1, 1}, 1, &c)
                        : Choice(2) ? Constant({kSide, kSide}, 1, &c)
                                    : Constant({batch_, channels_, kSide, kSide}, 1, &c));
        return AddNode(network_, Choice(2) ? "std.Mul" : "std.Sub", {c, x}, "scale", out);
      case 6:
        return AddNode(network_, Choice(3) ? "std.Add" : "std.Max", {x, Pick().value}, "two", out);
      default:  // squeeze and excite
        RETURN_IF_ERROR(AddNode(network_, "std.GlobalAveragePool", {x}, "mean", &c));
        RETURN_IF_ERROR(AddNode(network_, "std.Sigmoid", {c}, "gate", &c));
        return AddNode(network_, "std.Mul", {x, c}, "gated", out);
    }
  }

  int64_t batch_ = 0, channels_ = 0;
};

// Long sums: matrix products, convolutions of many channels, attention, normalisations and
// reductions, with extents on both sides of where kernels cut their sums. Values are
// [batch, rows, width].
class LongSums : public RandomNetwork {
 public:
  explicit LongSums(uint32_t seed) : RandomNetwork(seed) {
    dims_ = {1 + Choice(2), Rows(), Width()};
    layers_ = 3 + Choice(8);
  }

 private:
  int64_t Rows() {
    static const int64_t rows[] = {1, 2, 7, 16, 33, 64};
    return rows[Choice(6)];
  }
  // Multiples of 12, so that heads fit.
  int64_t Width() {
    static const int64_t widths[] = {24, 48, 96, 252, 264, 636, 648, 1284};
    return widths[Choice(8)];
  }
  trivet_status_t Matrix(const Value& x, int64_t width, Value* out) {
    int64_t from = x.dims[2];
    float scale = 1.7f / std::sqrt(static_cast<float>(from));
    trivet_value_t w, b;
    out->dims = {x.dims[0], x.dims[1], width};
    if (Choice(3) == 0) {  // transposed, as exporters leave it
      int64_t perm[2] = {1, 0};
      RETURN_IF_ERROR(Constant({width, from}, scale, &w));
      RETURN_IF_ERROR(Node("std.Transpose", {w}, {Attribute("perm", perm, 2)}, &w));
    } else {
      RETURN_IF_ERROR(Constant({from, width}, scale, &w));
    }
    RETURN_IF_ERROR(Node("std.MatMul", {x.value, w}, {}, &out->value));
    if (Choice(2) == 0) return nullptr;
    RETURN_IF_ERROR(Constant({width}, 1, &b));
    return Node("std.Add", {out->value, b}, {}, &out->value);
  }
  // Softmax of products over heads of their own, or the operator; keys and values may have fewer.
  trivet_status_t Attention(const Value& x, Value* out) {
    int64_t batch = x.dims[0], rows = x.dims[1], heads = Choice(2) ? 12 : 4,
            size = (x.dims[2] + 11) / 12;
    int64_t shared = Choice(2) ? heads : heads / 4, causal = Choice(2);
    Value q, k, v;
    RETURN_IF_ERROR(Matrix(x, heads * size, &q));
    RETURN_IF_ERROR(Matrix(x, shared * size, &k));
    RETURN_IF_ERROR(Matrix(x, shared * size, &v));
    out->dims = {batch, rows, heads * size};
    if (shared != heads || Choice(2)) {
      return Node("std.Attention", {q.value, k.value, v.value},
                  {Attribute("q_num_heads", &heads, 1), Attribute("kv_num_heads", &shared, 1),
                   Attribute("is_causal", &causal, 1)},
                  &out->value);
    }
    const int64_t forth[4] = {0, 2, 1, 3}, turned[4] = {0, 2, 3, 1};
    trivet_value_t split, joined, scale, scores;
    RETURN_IF_ERROR(Integers({batch, rows, heads, size}, &split));
    RETURN_IF_ERROR(Integers({batch, rows, heads * size}, &joined));
    RETURN_IF_ERROR(
        AddConstant(network_, "scale", {}, {1 / std::sqrt(static_cast<float>(size))}, &scale));
    for (Value* each : {&q, &k, &v}) {
      RETURN_IF_ERROR(Node("std.Reshape", {each->value, split}, {}, &each->value));
      RETURN_IF_ERROR(Node("std.Transpose", {each->value},
                           {Attribute("perm", each == &k ? turned : forth, 4)}, &each->value));
    }
    RETURN_IF_ERROR(Node("std.MatMul", {q.value, k.value}, {}, &scores));
    RETURN_IF_ERROR(Node("std.Mul", {scores, scale}, {}, &scores));
    RETURN_IF_ERROR(Node("std.Softmax", {scores}, {}, &scores));
    RETURN_IF_ERROR(Node("std.MatMul", {scores, v.value}, {}, &out->value));
    RETURN_IF_ERROR(
        Node("std.Transpose", {out->value}, {Attribute("perm", forth, 4)}, &out->value));
    return Node("std.Reshape", {out->value, joined}, {}, &out->value);
  }
  // Width as channels: sums of up to 5,778 products.
  trivet_status_t Convolution(const Value& x, Value* out) {
    int64_t from = x.dims[2], width = Choice(2) ? 24 : 60, window = Choice(2) ? 1 : 3;
    const int64_t turned[3] = {0, 2, 1}, pads[2] = {window / 2, window / 2};
    float scale = 1.7f / std::sqrt(static_cast<float>(from * window));
    trivet_value_t w, t;
    out->dims = {x.dims[0], x.dims[1], width};
    RETURN_IF_ERROR(Constant({width, from, window}, scale, &w));
    RETURN_IF_ERROR(Node("std.Transpose", {x.value}, {Attribute("perm", turned, 3)}, &t));
    RETURN_IF_ERROR(Node("std.Conv", {t, w}, {Attribute("pads", pads, 2)}, &t));
    return Node("std.Transpose", {t}, {Attribute("perm", turned, 3)}, &out->value);
  }
  // Of the width or of everything; the mean comes back to every element.
  trivet_status_t Reduction(const Value& x, Value* out) {
    static const char* const reductions[] = {"std.ReduceMean", "std.ReduceMax", "std.ReduceMin",
                                             "std.ReduceL2", "std.ReduceSumSquare"};
    trivet_value_t axes, r;
    out->dims = x.dims;
    RETURN_IF_ERROR(Choice(3)   ? Integers({2}, &axes)
                    : Choice(2) ? Integers({1}, &axes)
                                : Integers({0, 1, 2}, &axes));
    RETURN_IF_ERROR(Node(reductions[Choice(5)], {x.value, axes}, {}, &r));
    RETURN_IF_ERROR(Node("std.Tanh", {r}, {}, &r));
    return Node(Choice(2) ? "std.Add" : "std.Mul", {x.value, r}, {}, &out->value);
  }
  trivet_status_t Normal(const Value& x, Value* out) {
    trivet_value_t scale, bias;
    out->dims = x.dims;
    if (Choice(4) == 0) return Node("std.Softmax", {x.value}, {}, &out->value);
    RETURN_IF_ERROR(Constant({x.dims[2]}, 1, &scale));
    if (Choice(2)) return Node("std.RMSNormalization", {x.value, scale}, {}, &out->value);
    RETURN_IF_ERROR(Constant({x.dims[2]}, 1, &bias));
    return Node("std.LayerNormalization", {x.value, scale, bias}, {}, &out->value);
  }
  trivet_status_t Layer(const Value& x, Value* out) override {
    Value other;
    switch (Choice(9)) {
      case 0:
      case 1:
        return Matrix(x, Width(), out);
      case 2:
        return Attention(x, out);
      case 3:
        return Convolution(x, out);
      case 4:
        return Reduction(x, out);
      case 5:
        return Normal(x, out);
      case 6:
        out->dims = x.dims;
        return Function(x.value, &out->value);
      case 7:  // a gate
        RETURN_IF_ERROR(Matrix(x, x.dims[2], &other));
        RETURN_IF_ERROR(Node("std.Sigmoid", {other.value}, {}, &other.value));
        out->dims = x.dims;
        return Node("std.Mul", {x.value, other.value}, {}, &out->value);
      default:  // what is there already, where it fits
        other = Pick();
        out->dims = x.dims;
        return Node("std.Add", {x.value, other.dims == x.dims ? other.value : x.value}, {},
                    &out->value);
    }
  }
};

using Maker = std::unique_ptr<RandomNetwork> (*)(uint32_t seed);
template <typename Network>
std::unique_ptr<RandomNetwork> New(uint32_t seed) {
  return std::unique_ptr<RandomNetwork>(new Network(seed));
}

struct Outputs {
  std::vector<float> y, middle;
};

void RunNetwork(Maker maker, uint32_t seed, bool plain, Outputs* out) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  if (!plain) recipe.plugins.push_back(kOneDnn);
  std::unique_ptr<RandomNetwork> net = maker(seed);
  recipe.network = [&net](trivet_network_t* network) { return net->Make(network); };
  recipe.config = [plain](trivet_network_t*, trivet_config_t* config) -> trivet_status_t {
    if (!plain) return nullptr;
    RETURN_IF_ERROR(trivet_config_set_pipeline(config, "expand-operators"));
    for (const char* each : {"fuse-prologue", "fuse-epilogue", "fuse-elementwise", "fuse-reduction",
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
  std::vector<float> x = Noise(RandomNetwork::Count(net->dims()), 5 + seed);
  out->y.assign(net->sizes()[0], -77);
  out->middle.assign(net->sizes()[1], -77);
  ExpectOk(SetInput(context, "x", net->dims(), &x));
  ExpectOk(trivet_context_set_address(context, "y", out->y.data()));
  ExpectOk(trivet_context_set_address(context, "middle", out->middle.data()));
  ExpectOk(trivet_context_run(context));
  trivet_context_destroy(context);
}

// The network as a graph text that `trivet build` reads.
std::string Text(Maker maker, uint32_t seed) {
  std::string text;
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  recipe.network = [&](trivet_network_t* network) {
    RETURN_IF_ERROR(maker(seed)->Make(network));
    return trivet_network_print(network, TRIVET_PRINT_CONSTANTS, {&text, trivet_test::Append});
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  return text;
}

// TRIVET_RANDOM_NETWORKS: how many, from TRIVET_RANDOM_FIRST on; the first one that fails is named
// by its seed.
void Compare(Maker maker, uint32_t usual, double tolerance) {
  const char *many = std::getenv("TRIVET_RANDOM_NETWORKS"),
             *begin = std::getenv("TRIVET_RANDOM_FIRST");
  uint32_t first = begin != nullptr ? static_cast<uint32_t>(std::atoi(begin)) : 0;
  uint32_t count = many != nullptr ? static_cast<uint32_t>(std::atoi(many)) : usual;
  for (uint32_t seed = first; seed < first + count && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Outputs found, wanted;
    RunNetwork(maker, seed, true, &wanted);
    if (!testing::Test::HasFailure()) RunNetwork(maker, seed, false, &found);
    if (testing::Test::HasFailure()) break;
    EXPECT_LT(Difference(found.y, wanted.y), tolerance);
    EXPECT_LT(Difference(found.middle, wanted.middle), tolerance);
    if (testing::Test::HasFailure() && std::getenv("TRIVET_RANDOM_PRINT") != nullptr)
      std::puts(Text(maker, seed).c_str());
  }
}

TEST(RandomNetworks, ImagesAreComputedAsWrittenDown) { Compare(New<Images>, 60, kTolerance); }
TEST(RandomNetworks, LongSumsAreComputedAsWrittenDown) { Compare(New<LongSums>, 40, kTolerance); }

}  // namespace
