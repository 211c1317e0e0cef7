// SPDX-License-Identifier: Apache-2.0
//
// Shape computations as ordinary operators: what models do with shapes (gather, slice, concat,
// multiply, divide, compare, choose) carried over symbols.
#include "core/kernel_ir/evaluate.h"
#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class EvaluateDimsTest : public KirTest {
 protected:
  // Evaluates y = text over i64 vectors x (elements as dimensions, "?" unknown) and an optional
  // constant t.
  std::string Run(const std::vector<std::string>& x, const std::string& out,
                  const std::string& text, const std::vector<double>* t = nullptr,
                  const std::string& t_type = "i64") {
    std::string n = std::to_string(x.size());
    auto* p =
        Instantiate("op t.S/1 (x: T[*], t?: U[*]) -> (y: V[*])\n",
                    {"i64[" + n + "]", t ? t_type + "[" + std::to_string(t->size()) + "]" : "-"},
                    {}, {out}, text);
    if (p == nullptr) return "error: " + error_;
    std::vector<trivet_dim_t> elements;
    for (const std::string& e : x) elements.push_back(e == "?" ? nullptr : Dim(e));
    std::vector<tvi_kir_dim_tensor_t> values(p->value_count);
    values[0].count = elements.size();
    values[0].elements = elements.data();
    Tensor constant;
    trivet_tensor_t view;
    if (t != nullptr) {
      constant = Tensor::Of(tvi_dtype_from_name(tvi_sv(t_type.c_str())),
                            {static_cast<int64_t>(t->size())}, *t);
      view = constant.View();
      values[1].constant = &view;
    }
    error_ = Message(tvi_kir_evaluate_dims(p, values.data(), &arena_));
    if (!error_.empty()) return "error: " + error_;
    const tvi_kir_dim_tensor_t& y = values[instance_.output_values[0]];
    if (y.elements == nullptr) return "nothing";
    std::string result;
    for (uint64_t i = 0; i < y.count; ++i)
      result += (i ? ", " : "") + (y.elements[i] ? Print(y.elements[i]) : "?");
    return result;
  }
};

TEST_F(EvaluateDimsTest, Movement) {
  EXPECT_EQ(Run({"batch", "12", "seq"}, "i64[2]", "y[i] = x[i + 1]"), "12, seq");
  EXPECT_EQ(Run({"batch", "12", "seq"}, "i64[3]", "y[i] = x[2 - i]"), "seq, 12, batch");
  std::vector<double> t = {-1, 0};
  EXPECT_EQ(Run({"batch", "12", "seq"}, "i64[2]", "y[i] = x[t[i]; wrap]", &t), "seq, batch");
  EXPECT_EQ(Run({"batch", "?"}, "i64[4]", "y[i] = i < 2 ? x[i] : x[i - 2; pad = 7]"),
            "batch, ?, batch, ?");
  EXPECT_EQ(Run({"batch"}, "i64[3]", "y[i] = x[i - 1; pad = 7]"), "7, batch, 7");
  EXPECT_EQ(Run({"batch"}, "i64[]", "y = x[0]"), "batch");
}

TEST_F(EvaluateDimsTest, Arithmetic) {
  EXPECT_EQ(Run({"batch", "seq"}, "i64[1]", "y[i] = x[0] * x[1] * 4 + 1"), "4*batch*seq + 1");
  EXPECT_EQ(Run({"4*batch", "seq"}, "i64[2]", "y[i] = x[i] / 4"), "batch, floordiv(seq, 4)");
  EXPECT_EQ(Run({"seq - 5"}, "i64[1]", "y[i] = x[i] / 4"),
            "?");  // may be negative: the quotient truncates
  EXPECT_EQ(Run({"seq - 5"}, "i64[1]", "y[i] = floordiv(x[i], 4)"), "floordiv(seq + 3, 4) - 2");
  EXPECT_EQ(Run({"seq"}, "i64[1]", "y[i] = min(max(x[i], 3), 9)"), "min(9, max(3, seq))");
  EXPECT_EQ(Run({"n", "k", "6"}, "i64[]", "y = prod(i: x.0){ x[i] }"), "6*n*k");
  EXPECT_EQ(Run({"n", "k", "6"}, "i64[]", "y = sum(i: x.0){ x[i] }"), "n + k + 6");
  EXPECT_EQ(Run({"n", "?"}, "i64[]", "y = sum(i: x.0){ x[i] }"), "?");
  EXPECT_EQ(Run({"n", "k", "2"}, "i64[3]", "y[i] = scan(i: x.0){ x[i] } with sum"),
            "n, n + k, n + k + 2");
  EXPECT_EQ(
      Run({"n", "k", "2"}, "i64[3]", "y[i] = scan(i: x.0){ x[i] } with sum exclusive reverse"),
      "k + 2, 2, 0");
  EXPECT_EQ(Run({"n"}, "i32[1]", "y[i] = i32(x[i]) + 1"), "n + 1");
  EXPECT_EQ(Run({"300"}, "i8[1]", "y[i] = i8(x[i])"), "44");
  EXPECT_EQ(Run({"-7"}, "i64[1]", "y[i] = x[i] / 2"), "-3");
  EXPECT_EQ(Run({"n"}, "i64[2]", "y[i] = i + $(2*n)"), "2*n, 2*n + 1");
}

TEST_F(EvaluateDimsTest, Decisions) {
  EXPECT_EQ(Run({"n", "-1", "3"}, "i64[3]", "y[i] = x[i] == -1 ? 9 : x[i]"), "n, 9, 3");
  EXPECT_EQ(Run({"n", "n"}, "bool[2]", "y[i] = x[0] == x[i]"), "1, 1");
  EXPECT_EQ(Run({"n", "n + 1"}, "bool[2]", "y[i] = x[0] < x[i]"), "0, 1");
  EXPECT_EQ(Run({"n", "k"}, "bool[2]", "y[i] = x[0] < x[i]"), "0, ?");
  EXPECT_EQ(Run({"n", "k"}, "bool[2]", "y[i] = x[0] < x[i] && i == 0"), "0, 0");
  EXPECT_EQ(Run({"n", "k"}, "i64[2]", "y[i] = x[i] == 1 ? x[i] : x[i]"), "n, k");
  EXPECT_EQ(Run({"?", "3"}, "i64[2]", "y[i] = x[i] > 0 ? 1 : 2"), "?, 1");
}

TEST_F(EvaluateDimsTest, FloatsOnTheWay) {
  std::vector<double> scales = {2.0, 0.5};
  EXPECT_EQ(Run({"7", "9"}, "i64[2]", "y[i] = i64(floor(f32(x[i]) * t[i]))", &scales, "f32"),
            "14, 4");
  EXPECT_EQ(Run({"n", "9"}, "i64[2]", "y[i] = i64(floor(f32(x[i]) * t[i]))", &scales, "f32"),
            "?, 4");
}

TEST_F(EvaluateDimsTest, TooMuchIsNothing) {
  EXPECT_EQ(Run({"n"}, "i64[n]", "y[i] = i"), "nothing");
  EXPECT_EQ(Run({"n"}, "i64[2000]", "y[i] = i"), "nothing");
  EXPECT_EQ(Run({"n"}, "f32[1]", "y[i] = f32(x[i])"), "nothing");
  EXPECT_EQ(Run({"n"}, "i64[1]", "y[i] = sum(j: 1000000){ j }"), "nothing");
}

}  // namespace
