// SPDX-License-Identifier: Apache-2.0
//
// Regions as libraries know normalisations, however they are written, and what is refused with
// which reason.
#include "core/target/norm_match.h"

#include "tests/unit/core/target/region_test_util.h"

namespace {

class NormMatch : public RegionTest {
 protected:
  // "" or the reason.
  std::string Match(const std::vector<std::string>& types, const std::string& y,
                    const std::string& text) {
    norm_ = {};
    if (!Make(types, y, text)) return error_;
    const char* reason = nullptr;
    std::string error = Message(tvi_norm_match(&region_, &arena_, &norm_, &reason));
    return error.empty() && reason ? reason : error;
  }
  std::string Layer(const std::string& statistics, const std::string& result) {
    return Match({"f32[3, 8]", "f32[8]", "f32[8]"}, "f32[3, 8]",
                 statistics + "\ny[i, j] = " + result);
  }
  tvi_norm_t norm_ = {};
};

const char kMoments[] =
    "let m[i: 3] = sum(r: 8){ a[i, r] } / 8.0\n"
    "let v[i: 3] = sum(r: 8){ sq(a[i, r] - m[i]) } / 8.0";

TEST_F(NormMatch, Softmax) {
  const std::vector<std::string> types = {"f32[3, 8, 5]", "f32[1]"};
  const std::string statistics =
      "let m[i: 3, k: 5] = max(r: 8){ a[i, r, k] }\n"
      "let s[i: 3, k: 5] = sum(r: 8){ exp(a[i, r, k] - m[i, k]) }\n";
  ASSERT_EQ(
      Match(types, "f32[3, 8, 5]", statistics + "y[i, j, k] = exp(a[i, j, k] - m[i, k]) / s[i, k]"),
      "");
  EXPECT_EQ(norm_.kind, TVI_NORM_SOFTMAX);
  EXPECT_EQ(norm_.reduced, 2u);
  EXPECT_EQ(norm_.x, 0u);
  EXPECT_EQ(norm_.result, 2u);
  ASSERT_EQ(Match(types, "f32[3, 8, 5]",
                  statistics + "y[i, j, k] = recip(s[i, k]) * exp(-(m[i, k] - a[i, j, k]))"),
            "");
  EXPECT_EQ(norm_.kind, TVI_NORM_SOFTMAX);
  ASSERT_EQ(Match(types, "f32[3, 8, 5]",
                  statistics + "y[i, j, k] = a[i, j, k] - (m[i, k] + log(s[i, k]))"),
            "");
  EXPECT_EQ(norm_.kind, TVI_NORM_LOG_SOFTMAX);
  EXPECT_EQ(Match(types, "f32[3, 8, 5]",
                  statistics + "y[i, j, k] = exp2(a[i, j, k] - m[i, k]) / s[i, k]"),
            "a maximum, but no softmax");
  EXPECT_EQ(Match(types, "f32[3, 8, 5]",
                  statistics + "y[i, j, k] = exp(a[i, j, k] - m[i, k]) / s[i, k] * b[0]"),
            "a softmax of more than one operand");
}

TEST_F(NormMatch, StatisticsOfOtherDimensions) {
  EXPECT_EQ(Match({"f32[4, 4]", "f32[1]"}, "f32[4, 4]",
                  "let m[i: 4] = max(r: 4){ a[i, r] }\n"
                  "let s[i: 4] = sum(r: 4){ exp(a[r, i] - m[i]) }\n"
                  "y[i, j] = exp(a[i, j] - m[i]) / s[i]"),
            "a statistic is read at other positions");
  EXPECT_EQ(Match({"f32[4, 4]", "f32[1]"}, "f32[4, 4]",
                  "let m[i: 4] = max(r: 4){ a[i, r] }\n"
                  "let s[i: 4] = sum(r: 4){ exp(a[i, r] - m[i]) }\n"
                  "y[i, j] = exp(a[i, j] - m[j]) / s[i]"),
            "a statistic is read at other positions");
  EXPECT_EQ(Match({"f32[4, 4]", "f32[1]"}, "f32[4, 4]",
                  "let m[i: 4] = max(r: 4){ a[i, r] }\n"
                  "let s[i: 4] = sum(r: 4){ exp(a[i, r] - m[i]) }\n"
                  "y[j, i] = exp(a[i, j] - m[i]) / s[i]"),
            "the operand is transposed");
}

TEST_F(NormMatch, LeavesOtherReductions) {
  EXPECT_EQ(Match({"f32[3, 8]", "f32[1]"}, "i64[3]", "y[i] = argmax(r: 8){ a[i, r] }"),
            "no elementwise stage behind the statistics");
  EXPECT_EQ(Match({"f32[3, 8]", "f32[1]"}, "f32[3]", "y[i] = sum(r: 8){ a[i, r] }"),
            "no elementwise stage behind the statistics");
  EXPECT_EQ(Match({"f32[3, 8]", "f32[1]"}, "f32[3, 8]",
                  "let s[i: 3] = sum(r: 8){ a[i, r] }\ny[i, j] = a[i, j] / s[i]"),
            "no mean of squares");
}

TEST_F(NormMatch, LayerHoweverWritten) {
  const char* results[] = {
      "(a[i, j] - m[i]) / sqrt(v[i] + 1e-5) * b[j] + c[j]",
      "(a[i, j] - m[i]) * rsqrt(v[i] + 1e-5) * b[j] + c[j]",
      "c[j] + b[j] * recip(sqrt(1e-5 + v[i])) * (a[i, j] - m[i])",
      "fma(a[i, j] - m[i], b[j] / sqrt(v[i] + 1e-5), c[j])",
  };
  for (const char* result : results) {
    ASSERT_EQ(Layer(kMoments, result), "") << result;
    EXPECT_EQ(norm_.kind, TVI_NORM_LAYER);
    EXPECT_EQ(norm_.reduced, 2u);
    EXPECT_EQ(norm_.scale, 1u) << result;
    EXPECT_EQ(norm_.shift, 2u) << result;
    EXPECT_EQ(static_cast<float>(norm_.epsilon), 1e-5f) << result;
  }
  ASSERT_EQ(Layer("let m[i: 3] = sum(r: 8){ a[i, r] / 8.0 }\n"
                  "let v[i: 3] = sum(r: 8){ sq(a[i, r] - m[i]) * 0.125 }",
                  "(a[i, j] - m[i]) / sqrt(v[i] + 1e-3) * c[j] + b[j]"),
            "");
  EXPECT_EQ(norm_.scale, 2u);
  EXPECT_EQ(norm_.shift, 1u);
  ASSERT_EQ(Match({"f32[3, 2, 4]", "f32[1]"}, "f32[3, 2, 4]",
                  "let m[i: 3] = sum(p: 2, q: 4){ a[i, p, q] } / 8.0\n"
                  "let v[i: 3] = sum(p: 2, q: 4){ sq(a[i, p, q] - m[i]) } / 8.0\n"
                  "y[i, j, k] = (a[i, j, k] - m[i]) / sqrt(v[i] + 1e-12)"),
            "");
  EXPECT_EQ(norm_.reduced, 6u);
  EXPECT_EQ(norm_.scale, TVI_KIR_NONE);
  EXPECT_EQ(norm_.shift, TVI_KIR_NONE);
}

TEST_F(NormMatch, LeavesWhatIsNoLayerNormalisation) {
  EXPECT_EQ(Layer(kMoments, "(a[i, j] - m[i]) / (sqrt(v[i]) + 1e-5) * b[j] + c[j]"),
            "statistics, but no layer normalisation");
  EXPECT_EQ(Layer(kMoments, "(a[i, j] - m[i]) / sqrt(v[i] + 1e-5) * b[j] * c[j]"),
            "statistics, but no layer normalisation");
  EXPECT_EQ(Layer("let m[i: 3] = sum(r: 8){ a[i, r] } / 7.0\n"
                  "let v[i: 3] = sum(r: 8){ sq(a[i, r] - m[i]) } / 8.0",
                  "(a[i, j] - m[i]) / sqrt(v[i] + 1e-5) * b[j] + c[j]"),
            "no variance");
  EXPECT_EQ(Match({"f32[8, 8]", "f32[8]", "f32[8]"}, "f32[8, 8]",
                  "let m[i: 8] = sum(r: 8){ a[i, r] } / 8.0\n"
                  "let v[i: 8] = sum(r: 8){ sq(a[i, r] - m[i]) } / 8.0\n"
                  "y[i, j] = (a[i, j] - m[i]) / sqrt(v[i] + 1e-5) * b[i] + c[j]"),
            "a scale of other dimensions than are reduced");
}

TEST_F(NormMatch, LayerOfNarrowTypes) {
  const std::string text =
      "let m[i: 3] = sum(r: 8){ f32(a[i, r]) } / 8.0\n"
      "let v[i: 3] = sum(r: 8){ sq(f32(a[i, r]) - m[i]) } / 8.0\n"
      "y[i, j] = V((f32(a[i, j]) - m[i]) / sqrt(v[i] + 1e-5) * f32(b[j]) + f32(c[j]))";
  for (const char* type : {"f16", "bf16"}) {
    const std::string t = type;
    ASSERT_EQ(Match({t + "[3, 8]", t + "[8]", t + "[8]"}, t + "[3, 8]", text), "") << t;
    EXPECT_EQ(norm_.kind, TVI_NORM_LAYER);
    EXPECT_FALSE(norm_.is_f32);
    EXPECT_EQ(norm_.scale, 1u);
    EXPECT_EQ(norm_.shift, 2u);
  }
  ASSERT_EQ(Match({"f32[3, 8]", "f32[8]", "f32[8]"}, "f32[3, 8]", text), "");
  EXPECT_TRUE(norm_.is_f32);
  EXPECT_EQ(Match({"f64[3, 8]", "f64[8]", "f64[8]"}, "f64[3, 8]",
                  "let m[i: 3] = sum(r: 8){ a[i, r] } / 8.0\n"
                  "let v[i: 3] = sum(r: 8){ sq(a[i, r] - m[i]) } / 8.0\n"
                  "y[i, j] = (a[i, j] - m[i]) / sqrt(v[i] + 1e-5) * b[j] + c[j]"),
            "no operand that is normalised");
}

TEST_F(NormMatch, RootMeanSquare) {
  for (const char* text : {"let s[i: 3] = sum(r: 8){ sq(f32(a[i, r])) } / 8.0\n"
                           "y[i, j] = V(f32(a[i, j]) / sqrt(s[i] + 1e-6) * f32(b[j]))",
                           "let s[i: 3] = sum(r: 8){ sq(f32(a[i, r])) * 0.125 }\n"
                           "y[i, j] = V(f32(b[j]) * f32(a[i, j]) * rsqrt(1e-6 + s[i]))"}) {
    ASSERT_EQ(Match({"f16[3, 8]", "f16[8]"}, "f16[3, 8]", text), "") << text;
    EXPECT_EQ(norm_.kind, TVI_NORM_RMS);
    EXPECT_EQ(norm_.reduced, 2u);
    EXPECT_EQ(norm_.scale, 1u);
    EXPECT_EQ(norm_.shift, TVI_KIR_NONE);
    EXPECT_EQ(static_cast<float>(norm_.epsilon), 1e-6f);
  }
  EXPECT_EQ(Match({"f32[3, 8]", "f32[8]"}, "f32[3, 8]",
                  "let s[i: 3] = sum(r: 8){ sq(a[i, r]) } / 7.0\n"
                  "y[i, j] = a[i, j] / sqrt(s[i] + 1e-6) * b[j]"),
            "statistics, but no layer normalisation");
}

TEST_F(NormMatch, Instance) {
  const std::string text =
      "let m[n: 2, u: 4] = sum(r: 8){ a[n, u, r] } / 8.0\n"
      "let v[n: 2, u: 4] = sum(r: 8){ sq(a[n, u, r] - m[n, u]) } / 8.0\n"
      "y[n, u, w] = (a[n, u, w] - m[n, u]) / sqrt(v[n, u] + 1e-5) * ";
  const std::vector<std::string> types = {"f32[2, 4, 8]", "f32[4]", "f32[4]"};
  ASSERT_EQ(Match(types, "f32[2, 4, 8]", text + "b[u] + c[u]"), "");
  EXPECT_EQ(norm_.kind, TVI_NORM_INSTANCE);
  EXPECT_EQ(norm_.reduced, 4u);
  EXPECT_EQ(norm_.axis, 1u);
  EXPECT_EQ(norm_.scale, 1u);
  EXPECT_EQ(norm_.shift, 2u);
  EXPECT_EQ(Match({"f32[2, 4, 8]", "f32[4]", "f32[8]"}, "f32[2, 4, 8]", text + "b[u] + c[w]"),
            "a scale of other dimensions than are reduced");
}

TEST_F(NormMatch, BatchByStoredStatistics) {
  const std::vector<std::string> types = {"f32[2, 4, 5]", "f32[4]", "f32[4]", "f32[4]", "f32[4]"};
  ASSERT_EQ(Match(types, "f32[2, 4, 5]",
                  "let f[u: 4] = b[u] / sqrt(e[u] + 1e-5)\n"
                  "y[n, u, w] = (a[n, u, w] - d[u]) * f[u] + c[u]"),
            "");
  EXPECT_EQ(norm_.kind, TVI_NORM_BATCH);
  EXPECT_EQ(norm_.axis, 1u);
  EXPECT_EQ(norm_.scale, 1u);
  EXPECT_EQ(norm_.shift, 2u);
  EXPECT_EQ(norm_.mean, 3u);
  EXPECT_EQ(norm_.variance, 4u);
  EXPECT_EQ(static_cast<float>(norm_.epsilon), 1e-5f);
  ASSERT_EQ(Match(types, "f32[2, 4, 5]",
                  "y[n, u, w] = (a[n, u, w] - b[u]) * rsqrt(c[u] + 1e-3) * d[u] + e[u]"),
            "");
  EXPECT_EQ(norm_.mean, 1u);
  EXPECT_EQ(norm_.variance, 2u);
  EXPECT_EQ(norm_.scale, 3u);
  EXPECT_EQ(norm_.shift, 4u);
  EXPECT_EQ(Match(types, "f32[2, 4, 5]",
                  "y[n, u, w] = (a[n, u, w] - b[u]) * (c[u] + 1e-3) * d[u] + e[u]"),
            "stored statistics, but no batch normalisation");
  EXPECT_EQ(Match({"f32[2, 4, 5]", "f32[4]", "f32[4]", "f32[4]"}, "f32[2, 4, 5]",
                  "y[n, u, w] = (a[n, u, w] - b[u]) / sqrt(c[u] + 1e-5) * d[u]"),
            "neither statistics nor stored ones");
}

}  // namespace
