// SPDX-License-Identifier: Apache-2.0
//
// Random programs: maps, reductions and scans over random shapes with shifted, padded, transposed,
// broadcast and gathered loads, in random memory orders, compared with the plain evaluator. A
// failure names the seed.

#include <algorithm>

#include "tests/unit/plugins/cpu/tile_test_util.h"

namespace tile_test {
namespace {

struct Known {
  uint32_t value;
  uint32_t dtype;
  std::vector<int> dims;  // numbers of extents
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : rng_(seed) {
    for (int d = 0; d < 4; ++d) {
      const int kind = pick(4);
      extents_.push_back(kind == 0   ? 1 + pick(3)
                         : kind == 1 ? 1 + pick(20)
                         : kind == 2 ? 16
                                     : 1 + pick(90));
    }
    // Keeps the evaluator fast.
    while (extents_[0] * extents_[1] * extents_[2] * extents_[3] > 150000)
      for (auto& e : extents_) e = (e + 1) / 2;
  }

  Program program;
  Inputs inputs;
  Options options;

  void build() {
    const int input_count = 2 + pick(3);
    for (int i = 0; i < input_count; ++i) add_input(i == 0);
    const int stages = 1 + pick(5);
    for (int i = 0; i < stages; ++i) add_stage(i + 1 == stages);
  }

 private:
  int pick(int n) { return (int)(rng_() % (uint32_t)n); }

  std::vector<int> random_dims(int least, int most) {
    std::vector<int> all = {0, 1, 2, 3};
    std::shuffle(all.begin(), all.end(), rng_);
    all.resize(least + pick(most - least + 1));
    return all;
  }
  std::vector<int64_t> sizes(const std::vector<int>& dims) {
    std::vector<int64_t> out;
    for (int d : dims) out.push_back(extents_[d]);
    return out;
  }
  std::vector<uint32_t> random_order(size_t rank) {
    std::vector<uint32_t> order;
    for (uint32_t d = 0; d < rank; ++d) order.push_back(d);
    if (pick(2)) std::shuffle(order.begin(), order.end(), rng_);
    return order;
  }

  void add_input(bool must_be_float) {
    const uint32_t types[] = {F32, F32, F32, F16, BF16, F64, I32, I8, U8, I64, BOOL};
    const uint32_t dtype = must_be_float ? F32 : types[pick(11)];
    Known k = {0, dtype, random_dims(0, 3)};
    k.value = program.input(dtype, sizes(k.dims));
    inputs.push_back({k.value, random_tensor(dtype, sizes(k.dims), (uint32_t)rng_(), -2, 2,
                                             random_order(k.dims.size()), pick(3) == 0 ? 2 : 0)});
    known_.push_back(k);
  }

  // A load of a random value as f32, at the stage's indices.
  Ref random_load(Stage& s, const std::vector<int>& dims) {
    const Known& k = known_[(size_t)pick((int)known_.size())];
    std::vector<Ref> indices;
    bool padded = false;
    std::vector<uint8_t> wrap;
    for (int d : k.dims) {
      const auto at = std::find(dims.begin(), dims.end(), d);
      Ref index;
      uint8_t treat = 0;
      if (at == dims.end()) {
        index = s.i(pick((int)extents_[d]));
      } else {
        index = s.index(at - dims.begin());
        switch (pick(8)) {
          case 0:  // shifted, with a pad
            index = s.op(TVI_KIR_ADD, I64, index, s.i(pick(5) - 2));
            padded = true;
            break;
          case 1:  // backwards
            index = s.op(TVI_KIR_SUB, I64, s.i(extents_[d] - 1), index);
            break;
          case 2:  // clamped to what exists
            index = s.op(TVI_KIR_SUB, I64, index, s.i(pick(3)));
            treat = TVI_KIR_WRAP_CLIP;
            break;
          case 3:  // divided
            index = s.op(TVI_KIR_FLOORDIV, I64, index, s.i(1 + pick(3)));
            break;
          default:
            break;
        }
      }
      indices.push_back(index);
      wrap.push_back(treat);
    }
    Ref pad = TVI_KIR_NONE;
    const bool is_float = tvi_dtype_is_float(k.dtype);
    if (padded) pad = is_float ? s.f(0.5, k.dtype) : s.i(1, k.dtype);
    Ref x = s.load(k.value, indices, pad, wrap);
    return k.dtype == F32 ? x : s.op(TVI_KIR_CAST, F32, x);
  }

  Ref random_expression(Stage& s, const std::vector<int>& dims, int depth) {
    if (depth == 0 || pick(6) == 0)
      return pick(8) == 0 ? s.f(pick(9) * 0.25 - 1) : random_load(s, dims);
    Ref a = random_expression(s, dims, depth - 1);
    switch (pick(12)) {
      case 0:
        return s.op(TVI_KIR_TANH, F32, a);
      case 1:
        return s.op(TVI_KIR_SIGMOID, F32, a);
      case 2:
        return s.op(TVI_KIR_ABS, F32, a);
      case 3:
        return s.op(TVI_KIR_MUL, F32, a, s.op(TVI_KIR_SIGMOID, F32, a));
      case 4: {
        Ref b = random_expression(s, dims, depth - 1);
        // Only where both sides are far apart would a comparison be safe from rounding; a select on
        // the sign of a product of inputs is good enough with a continuous result.
        Ref c = s.op(TVI_KIR_LT, BOOL, a, s.f(0));
        return s.op(TVI_KIR_SELECT, F32, c, s.f(0),
                    s.op(TVI_KIR_MUL, F32, a, s.op(TVI_KIR_TANH, F32, b)));
      }
      case 5:
        return s.op(TVI_KIR_MIN, F32, a, random_expression(s, dims, depth - 1));
      case 6:
        return s.op(TVI_KIR_MAX, F32, a, pick(2) ? s.f(0) : random_expression(s, dims, depth - 1));
      case 7:
        return s.op(TVI_KIR_SUB, F32, a, random_expression(s, dims, depth - 1));
      case 8: {
        Ref d = s.op(TVI_KIR_ADD, F32, s.f(1.5),
                     s.op(TVI_KIR_ABS, F32, random_expression(s, dims, depth - 1)));
        return s.op(TVI_KIR_DIV, F32, a, d);
      }
      case 9: {
        Ref b = s.op(TVI_KIR_TANH, F32, random_expression(s, dims, depth - 1));
        return s.op(TVI_KIR_ADD, F32, s.op(TVI_KIR_MUL, F32, a, b), random_load(s, dims));
      }
      case 10: {  // gelu, spelled out
        Ref e = s.op(TVI_KIR_ERF, F32, s.op(TVI_KIR_MUL, F32, a, s.f(0.70710678118654752)));
        return s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_MUL, F32, s.f(0.5), a),
                    s.op(TVI_KIR_ADD, F32, s.f(1), e));
      }
      default:
        return s.op(TVI_KIR_ADD, F32, a, random_expression(s, dims, depth - 1));
    }
  }

  void add_stage(bool is_last) {
    const int kind = pick(5);  // 0, 1: map; 2, 3: reduction; 4: scan
    std::vector<int> parallel = random_dims(kind == 4 ? 1 : 0, 3), reduced;
    if (kind == 2 || kind == 3) {
      for (int d = 0; d < 4; ++d)
        if (std::find(parallel.begin(), parallel.end(), d) == parallel.end() && pick(2))
          reduced.push_back(d);
      if (reduced.empty())
        for (int d = 0; d < 4 && reduced.empty(); ++d)
          if (std::find(parallel.begin(), parallel.end(), d) == parallel.end())
            reduced.push_back(d);
    }
    std::vector<int> all = parallel;
    all.insert(all.end(), reduced.begin(), reduced.end());
    const bool is_output = is_last || pick(3) == 0;
    const bool is_map = kind < 2;
    uint32_t dtype = F32;
    if (is_output && is_map && pick(4) == 0) dtype = pick(2) ? F16 : BF16;
    Known k = {0, dtype, parallel};
    const std::vector<int64_t> shape = sizes(parallel);
    k.value = is_output ? program.output(dtype, shape) : program.temp(dtype, shape);
    if (is_output) options.output_orders.push_back(random_order(parallel.size()));
    Stage s = is_map      ? program.map(shape)
              : kind == 4 ? program.scan(shape)
                          : program.reduce(shape, sizes(reduced));
    // Bounded, so that chains of stages stay comparable.
    Ref e = s.op(TVI_KIR_TANH, F32, random_expression(s, all, 1 + pick(3)));
    if (is_map) {
      s.finish({k.value}, {dtype == F32 ? e : s.op(TVI_KIR_CAST, dtype, e)});
    } else if (kind == 4) {
      // No exclusive maximum: it begins with -inf, where gelu and silu give their limit and what
      // they are spelled with gives NaN.
      const bool is_sum = pick(2) != 0;
      const auto monoid = is_sum ? TVI_KIR_SUM : TVI_KIR_REDUCE_MAX;
      const uint32_t flags = (uint32_t)pick(4);
      s.finish({k.value}, {e}, program.monoid(monoid, F32),
               is_sum ? flags : flags & ~TVI_KIR_SCAN_EXCLUSIVE);
    } else {
      switch (pick(5)) {
        case 0:
          s.finish({k.value}, {e}, program.monoid(TVI_KIR_REDUCE_MAX, F32));
          break;
        case 1:
          s.finish({k.value}, {e}, program.monoid(TVI_KIR_REDUCE_MIN, F32));
          break;
        case 2:
          s.finish({k.value, TVI_KIR_NONE, TVI_KIR_NONE}, {e},
                   program.monoid(TVI_KIR_WELFORD, F32));
          break;
        case 3:
          s.finish({k.value, TVI_KIR_NONE}, {e}, program.monoid(TVI_KIR_SOFTMAX_STATE, F32));
          break;
        default:
          s.finish({k.value}, {e}, program.monoid(TVI_KIR_SUM, F32));
      }
    }
    // A reader of rounded outputs would compare roundings.
    if (dtype == F32) known_.push_back(k);
  }

  std::mt19937 rng_;
  std::vector<int64_t> extents_;
  std::vector<Known> known_;
};

#ifdef TRIVET_TEST_CUDA
constexpr uint32_t kSeeds = 50;  // a run of a compiler each
#else
constexpr uint32_t kSeeds = 250;
#endif

TEST(TileRandom, AgreesWithTheEvaluator) {
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator g(seed);
    g.build();
    g.options.tolerance = 1e-3;
    try {
      expect_same(g.program, {}, g.inputs, g.options);
    } catch (const std::runtime_error& error) {
      ADD_FAILURE() << error.what();
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace tile_test
