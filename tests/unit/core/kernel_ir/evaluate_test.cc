// SPDX-License-Identifier: Apache-2.0
//
// The evaluator against plain computations: whole operators from text to numbers, every rule of
// arithmetic that the language states, indices out of bounds, scans, declared monoids.
#include "core/kernel_ir/evaluate.h"

#include <cmath>

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class EvaluateTest : public KirTest {
 protected:
  // One operator of elementwise form: y = expression over a, b, both of |dtype|, results of |out|.
  std::vector<double> Map(const std::string& expression, const std::string& dtype,
                          std::vector<double> a, std::vector<double> b = {}, std::string out = "") {
    if (out.empty()) out = dtype;
    std::string n = std::to_string(a.size());
    std::string text = "op t.F/1 (a: " + dtype + "[N], b: " + dtype + "[N]) -> (y: " + out +
                       "[N])\ny[i] = " + expression + "\n";
    tvi_kir_program_t* program = Instantiate(text, {dtype + "[" + n + "]", dtype + "[" + n + "]"});
    if (program == nullptr) {
      ADD_FAILURE() << expression << ": " << error_;
      return {};
    }
    if (b.empty()) b.assign(a.size(), 0);
    uint32_t type = tvi_dtype_from_name(tvi_sv(dtype.c_str()));
    std::vector<Tensor> result =
        Evaluate(program, {Tensor::Of(type, {static_cast<int64_t>(a.size())}, a),
                           Tensor::Of(type, {static_cast<int64_t>(a.size())}, b)});
    EXPECT_EQ(error_, "");
    return result.empty() ? std::vector<double>() : result[0].Values();
  }
};

using V = std::vector<double>;
const double kInf = HUGE_VAL, kNan = std::nan("");

TEST_F(EvaluateTest, IntegerDivision) {
  EXPECT_EQ(Map("a[i] / b[i]", "i32", {7, -7, 7, -7, 5}, {2, 2, -2, -2, 0}), (V{3, -3, -3, 3, 0}));
  EXPECT_EQ(Map("floordiv(a[i], b[i])", "i32", {7, -7, 7, -7, 5}, {2, 2, -2, -2, 0}),
            (V{3, -4, -4, 3, 0}));
  EXPECT_EQ(Map("ceildiv(a[i], b[i])", "i32", {7, -7, 7, -7, 5}, {2, 2, -2, -2, 0}),
            (V{4, -3, -3, 4, 0}));
  EXPECT_EQ(Map("mod(a[i], b[i])", "i32", {7, -7, 7, -7, 5}, {3, 3, -3, -3, 0}),
            (V{1, 2, -2, -1, 0}));
  EXPECT_EQ(Map("a[i] % b[i]", "i32", {7, -7, 7, -7, 5}, {3, 3, -3, -3, 0}), (V{1, -1, 1, -1, 0}));
  EXPECT_EQ(Map("a[i] / b[i]", "i8", {-128}, {-1}), (V{-128}));
}

TEST_F(EvaluateTest, IntegersWrapAndShift) {
  EXPECT_EQ(Map("a[i] + b[i]", "i8", {127, -128, 100}, {1, -1, 100}), (V{-128, 127, -56}));
  EXPECT_EQ(Map("a[i] * b[i]", "u8", {16, 255}, {16, 255}), (V{0, 1}));
  EXPECT_EQ(Map("a[i] - b[i]", "u16", {0}, {1}), (V{65535}));
  EXPECT_EQ(Map("a[i] << b[i]", "i32", {1, 1, 1}, {31, 32, -1}), (V{-2147483648.0, 0, 0}));
  EXPECT_EQ(Map("a[i] >> b[i]", "i8", {-128, -1, -1}, {7, 3, 8}), (V{-1, -1, 0}));
  EXPECT_EQ(Map("a[i] >> b[i]", "u8", {128}, {7}), (V{1}));
  EXPECT_EQ(Map("popcount(a[i])", "i8", {-1, 5}), (V{8, 2}));
  EXPECT_EQ(Map("~a[i]", "u8", {0, 5}), (V{255, 250}));
  EXPECT_EQ(Map("a[i] ^ b[i] | a[i] & b[i]", "u8", {12}, {10}), (V{14}));
}

TEST_F(EvaluateTest, Casts) {
  EXPECT_EQ(Map("i8(a[i])", "f32", {1.9, -1.9, 300, -300, kNan, kInf}, {}, "i8"),
            (V{1, -1, 127, -128, 0, 127}));
  EXPECT_EQ(Map("u8(a[i])", "f32", {-1, 255.9, 256, kNan}, {}, "u8"), (V{0, 255, 255, 0}));
  EXPECT_EQ(Map("i64(a[i])", "f32", {9.3e18, -1e30, 3.5}, {}, "i64"),
            (V{9223372036854775807.0, -9223372036854775808.0, 3}));
  EXPECT_EQ(Map("sat(i8, a[i])", "f32", {0.5, 1.5, 2.5, -2.5, 127.6, 1e9}, {}, "i8"),
            (V{0, 2, 2, -2, 127, 127}));
  EXPECT_EQ(Map("i8(a[i])", "i32", {300, -300}, {}, "i8"), (V{44, -44}));
  EXPECT_EQ(Map("sat(i8, a[i])", "i32", {300, -300}, {}, "i8"), (V{127, -128}));
  EXPECT_EQ(Map("bool(a[i])", "f32", {0, -0.0, 0.25, kNan}, {}, "bool"), (V{0, 0, 1, 1}));
  EXPECT_EQ(Map("f32(a[i])", "bool", {0, 1}, {}, "f32"), (V{0, 1}));
  EXPECT_EQ(Map("bits(i32, a[i])", "f32", {1.0}, {}, "i32"), (V{0x3f800000}));
  EXPECT_EQ(Map("f16(a[i])", "f32", {65520, 1e-8, 1.00048828125, 1.0009765625 + 0.00048828125}, {},
                "f16"),
            (V{kInf, 0, 1, 1.001953125}));
}

TEST_F(EvaluateTest, HalvesComputeInSingle) {
  // 2048 + 1 is not a half: without an intermediate rounding the sum comes back exactly.
  EXPECT_EQ(Map("(a[i] + b[i]) - a[i]", "f16", {2048}, {1}), (V{1}));
  EXPECT_EQ(Map("f16(a[i] + b[i]) - a[i]", "f16", {2048}, {1}), (V{0}));
}

TEST_F(EvaluateTest, FloatsAtTheEdges) {
  V r = Map("max(a[i], b[i])", "f32", {1, kNan, 3, -0.0}, {2, 1, kNan, 0.0});
  EXPECT_EQ(r[0], 2);
  EXPECT_TRUE(std::isnan(r[1]) && std::isnan(r[2]));
  EXPECT_FALSE(std::signbit(r[3]));
  EXPECT_EQ(Map("a[i] < b[i]", "f32", {1, kNan}, {2, 2}, "bool"), (V{1, 0}));
  EXPECT_EQ(Map("a[i] != b[i]", "f32", {1, kNan}, {1, kNan}, "bool"), (V{0, 1}));
  EXPECT_EQ(Map("round(a[i])", "f32", {0.5, 1.5, -2.5}), (V{0, 2, -2}));
  EXPECT_EQ(Map("a[i] % b[i]", "f32", {5.5, -5.5}, {2, 2}), (V{1.5, -1.5}));
  EXPECT_EQ(Map("mod(a[i], b[i])", "f32", {5.5, -5.5, 5.5}, {2, 2, -2}), (V{1.5, 0.5, -0.5}));
  EXPECT_EQ(Map("isnan(a[i]) || isinf(a[i])", "f32", {1, kNan, -kInf}, {}, "bool"), (V{0, 1, 1}));
  EXPECT_EQ(Map("sign(a[i])", "f32", {-3, 0, 9}), (V{-1, 0, 1}));
  EXPECT_EQ(Map("a[i] == 0 ? inf : 1 / a[i]", "f32", {0, 4}), (V{kInf, 0.25}));
  EXPECT_EQ(Map("maxof(f32) + 0 * a[i]", "f32", {0}), (V{3.4028234663852886e38}));
}

TEST_F(EvaluateTest, FunctionsAgreeWithTheLibraryOfC) {
  struct {
    const char* name;
    double (*function)(double);
    double x;
  } cases[] = {{"exp", std::exp, 1.25},    {"log", std::log, 2.5},      {"sin", std::sin, 2.0},
               {"cos", std::cos, 2.0},     {"tanh", std::tanh, 0.75},   {"erf", std::erf, 0.5},
               {"sqrt", std::sqrt, 2.0},   {"expm1", std::expm1, 0.01}, {"log1p", std::log1p, 0.01},
               {"asinh", std::asinh, 1.5}, {"acosh", std::acosh, 1.5},  {"atanh", std::atanh, 0.5},
               {"atan", std::atan, -2.0},  {"floor", std::floor, -1.5}, {"trunc", std::trunc, -1.5},
               {"sinh", std::sinh, 1.5},   {"log2", std::log2, 10.0},   {"exp2", std::exp2, 0.3}};
  for (const auto& c : cases) {
    V r = Map(std::string(c.name) + "(a[i])", "f64", {c.x});
    ASSERT_EQ(r.size(), 1u);
    EXPECT_NEAR(r[0], c.function(c.x), std::abs(c.function(c.x)) * 1e-15) << c.name;
    r = Map(std::string(c.name) + "(a[i])", "f32", {c.x});
    double x = static_cast<float>(c.x);
    EXPECT_NEAR(r[0], c.function(x), std::abs(c.function(x)) * 1.2e-7) << c.name;
  }
  EXPECT_NEAR(Map("sigmoid(a[i])", "f32", {-3})[0], 1 / (1 + std::exp(3.0)), 1e-8);
  EXPECT_EQ(Map("pow(a[i], b[i])", "f32", {2, 9}, {10, 0.5}), (V{1024, 3}));
  EXPECT_EQ(Map("fma(a[i], b[i], a[i])", "f32", {2}, {3}), (V{8}));
}

TEST_F(EvaluateTest, LayerNorm) {
  tvi_kir_program_t* program = Instantiate(
      "op acme.LayerNorm/1 (x: T[D..., K], scale: T[K]) -> (y: T[D..., K]) where T: float\n"
      "attr epsilon: f32 = 1e-5\n"
      "let mean[i: D...] = sum(k: K){ f32(x[i..., k]) } / f32(K)\n"
      "let var[i: D...]  = sum(k: K){ sq(f32(x[i..., k]) - mean[i...]) } / f32(K)\n"
      "y[i..., k] = T((f32(x[i..., k]) - mean[i...]) * rsqrt(var[i...] + epsilon) * "
      "f32(scale[k]))\n",
      {"f32[batch, 3, 4]", "f32[4]"});
  ASSERT_NE(program, nullptr) << error_;
  V x;
  for (int i = 0; i < 24; ++i) x.push_back(std::sin(i * 1.7) * 3);
  V scale = {1, 2, -1, 0.5};
  auto y = Evaluate(program, {Tensor::F32({2, 3, 4}, x), Tensor::F32({4}, scale)}, {{"batch", 2}});
  ASSERT_EQ(y.size(), 1u) << error_;
  for (int row = 0; row < 6; ++row) {
    double mean = 0, var = 0;
    for (int k = 0; k < 4; ++k) mean += x[row * 4 + k] / 4;
    for (int k = 0; k < 4; ++k) var += (x[row * 4 + k] - mean) * (x[row * 4 + k] - mean) / 4;
    for (int k = 0; k < 4; ++k) {
      EXPECT_NEAR(y[0].Values()[row * 4 + k],
                  (x[row * 4 + k] - mean) / std::sqrt(var + 1e-5) * scale[k], 2e-6);
    }
  }
}

TEST_F(EvaluateTest, ReductionsOfEveryKind) {
  auto reduce = [&](const std::string& e, const std::string& in, const std::string& out, V x) {
    tvi_kir_program_t* p =
        Instantiate("op t.R/1 (x: " + in + "[N]) -> (y: " + out + "[])\ny = " + e + "\n",
                    {in + "[" + std::to_string(x.size()) + "]"});
    if (p == nullptr) {
      ADD_FAILURE() << e << ": " << error_;
      return 0.0;
    }
    auto y = Evaluate(p, {Tensor::Of(tvi_dtype_from_name(tvi_sv(in.c_str())),
                                     {static_cast<int64_t>(x.size())}, x)});
    EXPECT_EQ(error_, "");
    return y.empty() ? 0.0 : y[0].Values()[0];
  };
  V x = {3, -1, 7, 7, 2};
  EXPECT_EQ(reduce("sum(k: N){ x[k] }", "f32", "f32", x), 18);
  EXPECT_EQ(reduce("prod(k: N){ x[k] }", "i32", "i32", x), -294);
  EXPECT_EQ(reduce("min(k: N){ x[k] }", "f32", "f32", x), -1);
  EXPECT_EQ(reduce("max(k: N){ x[k] }", "i8", "i8", x), 7);
  EXPECT_EQ(reduce("any(k: N){ x[k] > 6 }", "f32", "bool", x), 1);
  EXPECT_EQ(reduce("all(k: N){ x[k] > 6 }", "f32", "bool", x), 0);
  EXPECT_EQ(reduce("argmax(k: N){ x[k] }", "f32", "i64", x), 2);
  EXPECT_EQ(reduce("argmin(k: N){ x[k] }", "u8", "i64", x), 1);
  EXPECT_EQ(reduce("argmax(k: N){ x[k] }", "f32", "i64", {1, kNan, 9}), 1);
  EXPECT_EQ(reduce("mean(k: N){ x[k] }", "f32", "f32", x), 3.6f);
  EXPECT_EQ(reduce("sum(k: N){ x[k] }", "u8", "u8", {200, 100}), 44);
  EXPECT_EQ(reduce("max(k: N){ x[k] }", "f32", "f32", {-kInf, -kInf}), -kInf);
  EXPECT_TRUE(std::isnan(reduce("max(k: N){ x[k] }", "f32", "f32", {1, kNan, 2})));
  EXPECT_EQ(reduce("welford(k: N){ x[k] }.mean", "f32", "f32", x), 3.6f);
  EXPECT_NEAR(reduce("welford(k: N){ x[k] }.m2", "f32", "f32", x), 47.2, 1e-5);
  EXPECT_NEAR(reduce("softmaxstate(k: N){ x[k] }.s", "f32", "f32", x),
              std::exp(-4.0) + std::exp(-8.0) + 2 + std::exp(-5.0), 1e-6);
  EXPECT_EQ(reduce("sum(k: 0){ x[0] }", "f32", "f32", x), 0);
  EXPECT_EQ(reduce("sum(j: 2, k: N){ x[k] * (j == 0 ? 1 : 10) }", "f32", "f32", x), 198);
  // Ten million tenths would drift in f32; the evaluator's sums do not.
  EXPECT_EQ(reduce("sum(k: 1000000){ x[0] }", "f32", "f32", {0.1f}), 100000);
}

TEST_F(EvaluateTest, DeclaredMonoid) {
  tvi_kir_program_t* p = Instantiate(
      "op acme.Softmax/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: {f32}\n"
      "monoid lse(m: f32, s: f32) = identity (-inf, 0.0)\n"
      "  join (a, b) -> (max(a.m, b.m), a.s * exp(a.m - max(a.m, b.m)) + b.s * exp(b.m - max(a.m, "
      "b.m)))\n"
      "let st[i: D...] = lse(k: K){ (x[i..., k], 1.0) }\n"
      "y[i..., k] = exp(x[i..., k] - st[i...].m) / st[i...].s\n",
      {"f32[2, 3]"});
  ASSERT_NE(p, nullptr) << error_;
  auto y = Evaluate(p, {Tensor::F32({2, 3}, {1, 2, 3, 0, 0, 100})});
  ASSERT_EQ(y.size(), 1u) << error_;
  double sum = std::exp(1) + std::exp(2) + std::exp(3);
  EXPECT_NEAR(y[0].Values()[1], std::exp(2) / sum, 1e-6);
  EXPECT_NEAR(y[0].Values()[5], 1, 1e-6);
}

TEST_F(EvaluateTest, Scans) {
  auto scan = [&](const std::string& tail, const std::string& index) {
    tvi_kir_program_t* p =
        Instantiate("op t.C/1 (x: f32[N, K]) -> (y: f32[N, K])\ny[i, k] = scan(" + index +
                        "){ x[i, k] } with sum" + tail + "\n",
                    {"f32[2, 3]"});
    if (p == nullptr) {
      ADD_FAILURE() << error_;
      return V{};
    }
    auto y = Evaluate(p, {Tensor::F32({2, 3}, {1, 2, 3, 10, 20, 30})});
    EXPECT_EQ(error_, "");
    return y.empty() ? V{} : y[0].Values();
  };
  EXPECT_EQ(scan("", "k: K"), (V{1, 3, 6, 10, 30, 60}));
  EXPECT_EQ(scan(" exclusive", "k: K"), (V{0, 1, 3, 0, 10, 30}));
  EXPECT_EQ(scan(" reverse", "k: K"), (V{6, 5, 3, 60, 50, 30}));
  EXPECT_EQ(scan(" exclusive reverse", "k: K"), (V{5, 3, 0, 50, 30, 0}));
  EXPECT_EQ(scan("", "i: N"), (V{1, 2, 3, 11, 22, 33}));
}

TEST_F(EvaluateTest, IndicesFromData) {
  const std::string text = "op t.Gather/1 (x: f32[N], t: i64[M]) -> (y: f32[M])\ny[i] = ";
  auto gather = [&](const std::string& load, V indices) {
    tvi_kir_program_t* p =
        Instantiate(text + load + "\n", {"f32[3]", "i64[" + std::to_string(indices.size()) + "]"});
    if (p == nullptr) {
      ADD_FAILURE() << error_;
      return V{};
    }
    auto y = Evaluate(p, {Tensor::F32({3}, {5, 6, 7}),
                          Tensor::I64({static_cast<int64_t>(indices.size())}, indices)});
    return y.empty() ? V{} : y[0].Values();
  };
  EXPECT_EQ(gather("x[t[i]; wrap]", {0, -1, -3}), (V{5, 7, 5}));
  EXPECT_EQ(gather("x[t[i]; clip]", {-5, 9}), (V{5, 7}));
  EXPECT_EQ(gather("x[t[i]; pad = -1]", {-1, 2, 3}), (V{-1, 7, -1}));
  EXPECT_EQ(gather("x[t[i]; wrap, pad = -1]", {-1, -4}), (V{7, -1}));
  EXPECT_EQ(gather("x[t[i]; wrap]", {-4}), (V{}));
  EXPECT_EQ(error_, "stage 0: index -4 of 'x' is out of bounds in dimension 0, which has 3");
  EXPECT_EQ(gather("x[t[i]]", {3}), (V{}));
  // The side that is not taken is not read out of bounds.
  EXPECT_EQ(gather("t[i] >= 0 && t[i] < N ? x[t[i]] : 0", {-7, 1, 70}), (V{0, 6, 0}));
}

TEST_F(EvaluateTest, TensorsMustFit) {
  tvi_kir_program_t* p =
      Instantiate("op t.N/1 (x: f32[N]) -> (y: f32[N])\ny[i] = -x[i]\n", {"f32[n]"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(Evaluate(p, {Tensor::F32({3}, {1, 2, 3})}, {{"n", 3}}).size(), 1u);
  EXPECT_EQ(Evaluate(p, {Tensor::F32({2}, {1, 2})}, {{"n", 3}}).size(), 0u);
  EXPECT_EQ(error_, "value 'x': the tensor has another type, shape or size");
  EXPECT_EQ(Evaluate(p, {Tensor::Make(TRIVET_DTYPE_F16, {3})}, {{"n", 3}}).size(), 0u);
  EXPECT_EQ(Evaluate(p, {Tensor::F32({0}, {})}, {{"n", 0}}).size(), 1u);
}

TEST_F(EvaluateTest, EveryFailedAllocationIsAnError) {
  tvi_kir_program_t* p = Instantiate(
      "op t.S/1 (x: f32[N, K]) -> (y: f32[N, K])\n"
      "let m[i: N] = max(k: K){ x[i, k] }\ny[i, k] = exp(x[i, k] - m[i])\n",
      {"f32[2, 3]"});
  ASSERT_NE(p, nullptr) << error_;
  Tensor x = Tensor::F32({2, 3}, {1, 2, 3, 4, 5, 6}), y = Tensor::Make(TRIVET_DTYPE_F32, {2, 3});
  std::vector<trivet_tensor_t> tensors(p->value_count);
  for (uint32_t v = 0; v < p->value_count; ++v) {
    if (p->values[v].kind == TVI_KIR_INPUT) tensors[v] = x.View();
    if (p->values[v].kind == TVI_KIR_OUTPUT) tensors[v] = y.View();
  }
  int failures = 0;
  for (int n = 0;; ++n) {
    CountingAllocator allocator;
    allocator.left = n;
    trivet_status_t status = tvi_kir_evaluate(p, nullptr, 0, tensors.data(), allocator.Get());
    EXPECT_EQ(allocator.alive, 0);
    if (status == nullptr) break;
    EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
    ++failures;
  }
  EXPECT_GT(failures, 3);
}

}  // namespace
