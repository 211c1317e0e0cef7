// SPDX-License-Identifier: Apache-2.0
//
// Properties of declared monoids, and reductions taken apart: forms by their texts, values by the
// evaluator.
#include "core/kernel_ir/monoid.h"

#include <cmath>

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class MonoidTest : public KirTest {
 protected:
  // An operator whose y reduces x with a monoid of two parts.
  tvi_kir_program_t* Reduce(const std::string& monoid, const std::string& statements) {
    auto* p = Instantiate("op t.F/1 (x: T[*]) -> (y: T[*]) where T: any\n", {"f32[n, 6]"}, {},
                          {"f32[n]"}, monoid + statements);
    EXPECT_NE(p, nullptr) << error_;
    return p;
  }
  const tvi_kir_monoid_t* Of(const std::string& monoid) {
    auto* p =
        Reduce(monoid, "let st[i: x.0] = t(k: x.1){ (x[i, k], 1.0) }\ny[i] = st[i].m + st[i].s\n");
    for (uint32_t s = 0; p != nullptr && s < p->stage_count; ++s)
      if (p->stages[s].monoid != nullptr) return p->stages[s].monoid;
    ADD_FAILURE() << "no reduction";
    return nullptr;
  }
  static int Reductions(const tvi_kir_program_t* p, tvi_kir_monoid_kind_t kind) {
    int count = 0;
    for (uint32_t s = 0; s < p->stage_count; ++s)
      count += p->stages[s].monoid != nullptr && p->stages[s].monoid->kind == kind;
    return count;
  }
  // Splits, verifies, and compares with what was computed before.
  void ExpectSameAfterSplit(tvi_kir_program_t* p) {
    std::vector<double> values;
    for (int i = 0; i < 18; ++i) values.push_back(std::sin(7.0 * i) * 3);
    auto before = Evaluate(p, {Tensor::F32({3, 6}, values)}, {{"n", 3}});
    ASSERT_EQ(before.size(), 1u) << error_;
    ASSERT_EQ(Message(tvi_kir_split_monoids(p)), "");
    ASSERT_EQ(Message(tvi_kir_verify(p)), "") << Print(p);
    auto after = Evaluate(p, {Tensor::F32({3, 6}, values)}, {{"n", 3}});
    ASSERT_EQ(after.size(), 1u) << error_ << Print(p);
    for (int i = 0; i < 3; ++i)
      EXPECT_NEAR(after[0].Values()[i], before[0].Values()[i], 1e-5) << Print(p);
  }
  static constexpr const char* kOnline =
      "monoid t(m: f32, s: f32) = identity (-inf, 0.0)\n"
      "  join (a, b) -> (max(a.m, b.m), a.s * exp(a.m - max(a.m, b.m))"
      " + b.s * exp(b.m - max(a.m, b.m)))\n";
  static constexpr const char* kAffine =
      "monoid t(m: f32, s: f32) = identity (1.0, 0.0)\n"
      "  join (a, b) -> (a.m * b.m, a.s * b.m + b.s)\n";
  static constexpr const char* kWelford =
      "monoid t(m: f32, s: f32) = identity (0.0, 0.0)\n"
      "  join (a, b) -> (a.m + b.s / max(a.s + b.s, 1e-9) * (b.m - a.m), a.s + b.s)\n";
  static constexpr const char* kFirst =
      "monoid t(m: f32, s: f32) = identity (-inf, 0.0)\n"
      "  join (a, b) -> (a.m >= b.m ? a.m : b.m, a.m >= b.m ? a.s : b.s)\n";
};

TEST_F(MonoidTest, CommutativityIsTried) {
  EXPECT_TRUE(tvi_kir_monoid_is_commutative(Of(kOnline)));
  EXPECT_TRUE(tvi_kir_monoid_is_commutative(Of(kWelford)));
  EXPECT_FALSE(tvi_kir_monoid_is_commutative(Of(kAffine)));
  EXPECT_FALSE(tvi_kir_monoid_is_commutative(Of(kFirst)));
}

TEST_F(MonoidTest, IdentitiesThatMustNotMeet) {
  EXPECT_FALSE(tvi_kir_monoid_has_plain_identity(Of(kOnline)));
  EXPECT_TRUE(tvi_kir_monoid_has_plain_identity(Of(kAffine)));
  EXPECT_TRUE(tvi_kir_monoid_has_plain_identity(Of(kFirst)));
}

TEST_F(MonoidTest, SumsRelativeToAMaximumAreTakenApart) {
  auto* p = Reduce(kOnline,
                   "let st[i: x.0] = t(k: x.1){ (x[i, k], 1.0) }\ny[i] = st[i].m + log(st[i].s)\n");
  ExpectSameAfterSplit(p);
  EXPECT_EQ(Reductions(p, TVI_KIR_DECLARED), 0);
  EXPECT_EQ(Reductions(p, TVI_KIR_REDUCE_MAX), 1);
  EXPECT_EQ(Reductions(p, TVI_KIR_SUM), 1);
}

TEST_F(MonoidTest, AMaximumThatNobodyReadsIsStillThere) {
  auto* p = Reduce(kOnline, "let st[i: x.0] = t(k: x.1){ (x[i, k], x[i, k]) }\ny[i] = st[i].s\n");
  ExpectSameAfterSplit(p);
  EXPECT_EQ(Reductions(p, TVI_KIR_REDUCE_MAX), 1);
  EXPECT_EQ(Reductions(p, TVI_KIR_SUM), 1);
}

TEST_F(MonoidTest, PredeclaredSoftmaxState) {
  auto* p = Reduce("", "y[i] = softmaxstate(k: x.1){ x[i, k] }.s\n");
  ExpectSameAfterSplit(p);
  EXPECT_EQ(Reductions(p, TVI_KIR_SOFTMAX_STATE), 0);
}

TEST_F(MonoidTest, IndependentParts) {
  auto* p = Reduce(
      "monoid t(m: f32, s: f32) = identity (0.0, -inf)\n"
      "  join (a, b) -> (a.m + b.m, max(a.s, b.s))\n",
      "let st[i: x.0] = t(k: x.1){ (x[i, k], x[i, k] * 2.0) }\ny[i] = st[i].m + st[i].s\n");
  ExpectSameAfterSplit(p);
  EXPECT_EQ(Reductions(p, TVI_KIR_DECLARED), 0);
}

// Nearly the form, but not it: the identity is another one, or the scale is.
TEST_F(MonoidTest, OthersStay) {
  for (const char* monoid : {kAffine, kWelford, kFirst,
                             "monoid t(m: f32, s: f32) = identity (0.0, 0.0)\n"
                             "  join (a, b) -> (max(a.m, b.m), a.s + b.s)\n",
                             "monoid t(m: f32, s: f32) = identity (-inf, 0.0)\n"
                             "  join (a, b) -> (max(a.m, b.m), a.s * exp(b.m - max(a.m, b.m))"
                             " + b.s * exp(b.m - max(a.m, b.m)))\n"}) {
    auto* p =
        Reduce(monoid, "let st[i: x.0] = t(k: x.1){ (x[i, k], 1.0) }\ny[i] = st[i].m + st[i].s\n");
    ASSERT_EQ(Message(tvi_kir_split_monoids(p)), "");
    EXPECT_EQ(Reductions(p, TVI_KIR_DECLARED), 1) << monoid;
  }
}

}  // namespace
