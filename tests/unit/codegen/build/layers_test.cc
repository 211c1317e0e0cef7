// SPDX-License-Identifier: Apache-2.0
//
// Every typed layer call: a network of that layer is built, run, and compared with a formula
// written out here, in double precision where numbers round.
#include "trivet/layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/support/network_runner.h"

namespace {

using trivet_test::NetworkRunner;
using trivet_test::TakeMessage;
using Dims = std::vector<int64_t>;
using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

// Numbers without pattern in [-2, 2).
Floats Numbers(size_t count, unsigned seed = 1) {
  Floats numbers(count);
  uint64_t state = 88172645463325252u + seed * 7919u;
  for (float& number : numbers) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    number = static_cast<float>(static_cast<double>(state >> 40) / (1 << 22) - 2.0);
  }
  return numbers;
}

void ExpectNear(const Floats& got, const std::vector<double>& wanted, double tolerance = 2e-5) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(wanted[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << "element " << i;
    } else {
      EXPECT_NEAR(got[i], wanted[i], tolerance * (1 + std::fabs(wanted[i]))) << "element " << i;
    }
  }
}

class Layers : public ::testing::Test {
 protected:
  trivet_network_t* network() { return runner_.network(); }
  // The value that |add| gives.
  trivet_value_t Made(const std::function<trivet_status_t(trivet_value_t*)>& add) {
    trivet_value_t value = 0;
    EXPECT_TRIVET_OK(add(&value));
    return value;
  }
  bool Run(trivet_value_t value) {
    runner_.Output(value);
    return !HasFailure() && runner_.Run();
  }
  NetworkRunner runner_;
};

#define MADE(call) Made([&](trivet_value_t* out) { return call; })

// --- Constants ----------------------------------------------------------------------------------

TEST_F(Layers, ScalarAndIntegers) {
  trivet_value_t scalar = MADE(trivet_network_add_scalar(network(), TRIVET_DTYPE_F32, 2.5, out));
  int64_t values[3] = {4, -5, 6};
  trivet_value_t integers = MADE(trivet_network_add_integers(network(), values, 3, out));
  trivet_value_t as_float =
      MADE(trivet_network_add_cast(network(), integers, TRIVET_DTYPE_F32, nullptr, out));
  trivet_value_t x = runner_.Input<float>({3}, {1, 2, 3});
  trivet_value_t sum = MADE(
      trivet_network_add_elementwise(network(), x, as_float, TRIVET_ELEMENTWISE_ADD, "sum", out));
  ASSERT_TRUE(Run(MADE(trivet_network_add_elementwise(network(), sum, scalar,
                                                      TRIVET_ELEMENTWISE_MUL, "scaled", out))));
  ExpectNear(runner_.Result<float>(0), {12.5, -7.5, 22.5});
}

// --- Convolution, pooling -----------------------------------------------------------------------

// A convolution by its definition. Layouts NCHW and MCHW.
std::vector<double> Convolve(const Floats& x, const Dims& xd, const Floats& w, const Dims& wd,
                             const Floats& bias, int64_t groups, const trivet_window_t& window,
                             Dims* out_dims) {
  int64_t stride[2], dilation[2], extent[2];
  for (int i = 0; i < 2; ++i) {
    stride[i] = window.strides[i] ? window.strides[i] : 1;
    dilation[i] = window.dilations[i] ? window.dilations[i] : 1;
    extent[i] = (xd[2 + i] + window.pads_begin[i] + window.pads_end[i] -
                 dilation[i] * (wd[2 + i] - 1) - 1) /
                    stride[i] +
                1;
  }
  *out_dims = {xd[0], wd[0], extent[0], extent[1]};
  std::vector<double> y;
  int64_t per_group = wd[0] / groups;
  for (int64_t n = 0; n < xd[0]; ++n)
    for (int64_t m = 0; m < wd[0]; ++m)
      for (int64_t oh = 0; oh < extent[0]; ++oh)
        for (int64_t ow = 0; ow < extent[1]; ++ow) {
          double sum = bias.empty() ? 0 : bias[m];
          for (int64_t c = 0; c < wd[1]; ++c)
            for (int64_t kh = 0; kh < wd[2]; ++kh)
              for (int64_t kw = 0; kw < wd[3]; ++kw) {
                int64_t h = oh * stride[0] - window.pads_begin[0] + kh * dilation[0];
                int64_t v = ow * stride[1] - window.pads_begin[1] + kw * dilation[1];
                if (h < 0 || v < 0 || h >= xd[2] || v >= xd[3]) continue;
                int64_t channel = m / per_group * wd[1] + c;
                sum += static_cast<double>(x[((n * xd[1] + channel) * xd[2] + h) * xd[3] + v]) *
                       w[((m * wd[1] + c) * wd[2] + kh) * wd[3] + kw];
              }
          y.push_back(sum);
        }
  return y;
}

TEST_F(Layers, Convolution) {
  Dims xd = {2, 4, 7, 6}, wd = {6, 2, 3, 3}, yd;
  Floats xs = Numbers(2 * 4 * 7 * 6), ws = Numbers(6 * 2 * 3 * 3, 2), bs = Numbers(6, 3);
  trivet_window_t window = {};
  window.header = {sizeof(window), TRIVET_STRUCT_WINDOW, nullptr};
  window.strides[0] = 2;
  window.dilations[1] = 2;
  window.pads_begin[0] = 1;
  window.pads_end[1] = 2;
  trivet_value_t x = runner_.Input(xd, xs), w = runner_.Constant(wd, ws),
                 b = runner_.Constant({6}, bs);
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_convolution(network(), x, w, b, 2, &window, "conv", out))));
  std::vector<double> wanted = Convolve(xs, xd, ws, wd, bs, 2, window, &yd);
  EXPECT_EQ(runner_.shape(0), yd);
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, ConvolutionPaddedToTheSameExtent) {
  Dims xd = {1, 1, 4, 4}, wd = {1, 1, 3, 3}, yd;
  Floats xs = Numbers(16), ws = Numbers(9, 2);
  trivet_window_t window = {};
  window.auto_pad = TRIVET_AUTO_PAD_UPPER;
  trivet_value_t x = runner_.Input(xd, xs), w = runner_.Constant(wd, ws);
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_convolution(network(), x, w, 0, 1, &window, nullptr, out))));
  trivet_window_t same = {};
  same.pads_begin[0] = same.pads_begin[1] = same.pads_end[0] = same.pads_end[1] = 1;
  std::vector<double> wanted = Convolve(xs, xd, ws, wd, {}, 1, same, &yd);
  EXPECT_EQ(runner_.shape(0), xd);
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, Deconvolution) {
  // Every element of x scatters the kernel, scaled by it.
  Dims xd = {1, 2, 3, 3};
  const int64_t stride = 2, kernel = 3, pad = 1, extra = 1;
  Floats xs = Numbers(2 * 9), ws = Numbers(2 * 3 * 9, 2), bs = Numbers(3, 3);
  trivet_window_t window = {};
  for (int i = 0; i < 2; ++i) {
    window.strides[i] = stride;
    window.pads_begin[i] = window.pads_end[i] = pad;
    window.output_padding[i] = extra;
  }
  trivet_value_t x = runner_.Input(xd, xs), w = runner_.Constant({2, 3, 3, 3}, ws),
                 b = runner_.Constant({3}, bs);
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_deconvolution(network(), x, w, b, 1, &window, "up", out))));
  const int64_t extent = stride * 2 + kernel + extra - 2 * pad;
  EXPECT_EQ(runner_.shape(0), (Dims{1, 3, extent, extent}));
  std::vector<double> wanted(3 * extent * extent);
  for (int64_t m = 0; m < 3; ++m)
    for (int64_t i = 0; i < extent * extent; ++i) wanted[m * extent * extent + i] = bs[m];
  for (int64_t c = 0; c < 2; ++c)
    for (int64_t h = 0; h < 3; ++h)
      for (int64_t v = 0; v < 3; ++v)
        for (int64_t m = 0; m < 3; ++m)
          for (int64_t kh = 0; kh < kernel; ++kh)
            for (int64_t kw = 0; kw < kernel; ++kw) {
              int64_t oh = h * stride + kh - pad, ow = v * stride + kw - pad;
              if (oh < 0 || ow < 0 || oh >= extent || ow >= extent) continue;
              wanted[(m * extent + oh) * extent + ow] +=
                  static_cast<double>(xs[(c * 3 + h) * 3 + v]) *
                  ws[((c * 3 + m) * 3 + kh) * 3 + kw];
            }
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, PoolingOfBothKinds) {
  Floats xs = Numbers(25);
  trivet_window_t window = {};
  for (int i = 0; i < 2; ++i) {
    window.size[i] = 3;
    window.strides[i] = 2;
    window.pads_begin[i] = window.pads_end[i] = 1;
  }
  trivet_value_t x = runner_.Input({1, 1, 5, 5}, xs);
  runner_.Output(
      MADE(trivet_network_add_pooling(network(), x, TRIVET_POOLING_MAX, &window, "max", out)));
  runner_.Output(
      MADE(trivet_network_add_pooling(network(), x, TRIVET_POOLING_AVERAGE, &window, "mean", out)));
  trivet_window_t counting = window;
  counting.flags = TRIVET_WINDOW_COUNT_PADDING;
  ASSERT_TRUE(Run(MADE(trivet_network_add_pooling(network(), x, TRIVET_POOLING_AVERAGE, &counting,
                                                  "counting", out))));
  std::vector<double> largest, mean, counted;
  for (int64_t oh = 0; oh < 3; ++oh)
    for (int64_t ow = 0; ow < 3; ++ow) {
      double top = -HUGE_VAL, sum = 0, count = 0;
      for (int64_t h = 2 * oh - 1; h < 2 * oh + 2; ++h)
        for (int64_t v = 2 * ow - 1; v < 2 * ow + 2; ++v) {
          if (h < 0 || v < 0 || h > 4 || v > 4) continue;
          top = std::max<double>(top, xs[h * 5 + v]);
          sum += xs[h * 5 + v];
          ++count;
        }
      largest.push_back(top);
      mean.push_back(sum / count);
      counted.push_back(sum / 9);
    }
  EXPECT_EQ(runner_.shape(0), (Dims{1, 1, 3, 3}));
  ExpectNear(runner_.Result<float>(0), largest);
  ExpectNear(runner_.Result<float>(1), mean);
  ExpectNear(runner_.Result<float>(2), counted);
}

TEST_F(Layers, GlobalPooling) {
  Floats xs = Numbers(24);
  trivet_value_t x = runner_.Input({1, 2, 3, 4}, xs);
  runner_.Output(
      MADE(trivet_network_add_global_pooling(network(), x, TRIVET_POOLING_MAX, "max", out)));
  ASSERT_TRUE(Run(
      MADE(trivet_network_add_global_pooling(network(), x, TRIVET_POOLING_AVERAGE, "mean", out))));
  EXPECT_EQ(runner_.shape(0), (Dims{1, 2, 1, 1}));
  for (int c = 0; c < 2; ++c) {
    auto begin = xs.begin() + 12 * c;
    EXPECT_EQ(runner_.Result<float>(0)[c], *std::max_element(begin, begin + 12));
    EXPECT_NEAR(runner_.Result<float>(1)[c], std::accumulate(begin, begin + 12, 0.0) / 12, 1e-6);
  }
}

// --- Products -----------------------------------------------------------------------------------

TEST_F(Layers, MatmulWithTransposedOperands) {
  Floats as = Numbers(2 * 3 * 4), bs = Numbers(5 * 3, 2);
  trivet_value_t a = runner_.Input({2, 3, 4}, as), b = runner_.Constant({5, 3}, bs);
  ASSERT_TRUE(Run(MADE(trivet_network_add_matmul(network(), a, 1, b, 1, "product", out))));
  EXPECT_EQ(runner_.shape(0), (Dims{2, 4, 5}));
  std::vector<double> wanted;
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 5; ++j) {
        double sum = 0;
        for (int k = 0; k < 3; ++k)
          sum += static_cast<double>(as[(n * 3 + k) * 4 + i]) * bs[j * 3 + k];
        wanted.push_back(sum);
      }
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, FullyConnected) {
  Floats xs = Numbers(2 * 3 * 4), ws = Numbers(5 * 4, 2), bs = Numbers(5, 3);
  trivet_value_t x = runner_.Input({2, 3, 4}, xs), w = runner_.Constant({5, 4}, ws),
                 b = runner_.Constant({5}, bs);
  ASSERT_TRUE(Run(MADE(trivet_network_add_fully_connected(network(), x, w, b, "dense", out))));
  EXPECT_EQ(runner_.shape(0), (Dims{2, 3, 5}));
  std::vector<double> wanted;
  for (int n = 0; n < 6; ++n)
    for (int m = 0; m < 5; ++m) {
      double sum = bs[m];
      for (int k = 0; k < 4; ++k) sum += static_cast<double>(xs[n * 4 + k]) * ws[m * 4 + k];
      wanted.push_back(sum);
    }
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, Einsum) {
  Floats as = Numbers(6), bs = Numbers(6, 2);
  trivet_value_t inputs[2] = {runner_.Input({2, 3}, as), runner_.Input({2, 3}, bs)};
  ASSERT_TRUE(Run(MADE(trivet_network_add_einsum(network(), inputs, 2, "ij,kj->ik", "dot", out))));
  std::vector<double> wanted;
  for (int i = 0; i < 2; ++i)
    for (int k = 0; k < 2; ++k) {
      double sum = 0;
      for (int j = 0; j < 3; ++j) sum += static_cast<double>(as[i * 3 + j]) * bs[k * 3 + j];
      wanted.push_back(sum);
    }
  ExpectNear(runner_.Result<float>(0), wanted);
}

// --- Elementwise --------------------------------------------------------------------------------

TEST_F(Layers, EveryActivation) {
  struct Row {
    uint32_t kind;
    double alpha, beta;
    std::function<double(double)> formula;
  };
  auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  const std::vector<Row> rows = {
      {TRIVET_ACTIVATION_RELU, 0, 0, [](double x) { return std::max(x, 0.0); }},
      {TRIVET_ACTIVATION_SIGMOID, 0, 0, sigmoid},
      {TRIVET_ACTIVATION_TANH, 0, 0, [](double x) { return std::tanh(x); }},
      {TRIVET_ACTIVATION_LEAKY_RELU, 0.3, 0, [](double x) { return x < 0 ? 0.3 * x : x; }},
      {TRIVET_ACTIVATION_ELU, 0.7, 0, [](double x) { return x < 0 ? 0.7 * std::expm1(x) : x; }},
      {TRIVET_ACTIVATION_SELU, 1.5, 1.1,
       [](double x) { return 1.1 * (x > 0 ? x : 1.5 * std::expm1(x)); }},
      {TRIVET_ACTIVATION_SOFTSIGN, 0, 0, [](double x) { return x / (1 + std::fabs(x)); }},
      {TRIVET_ACTIVATION_SOFTPLUS, 0, 0, softplus},
      {TRIVET_ACTIVATION_CLIP, -0.5, 1.25,
       [](double x) { return std::min(std::max(x, -0.5), 1.25); }},
      {TRIVET_ACTIVATION_HARD_SIGMOID, 0.4, 0.3,
       [](double x) { return std::min(std::max(0.4 * x + 0.3, 0.0), 1.0); }},
      {TRIVET_ACTIVATION_SCALED_TANH, 1.7, 0.6, [](double x) { return 1.7 * std::tanh(0.6 * x); }},
      {TRIVET_ACTIVATION_THRESHOLDED_RELU, 0.5, 0, [](double x) { return x > 0.5 ? x : 0; }},
      {TRIVET_ACTIVATION_GELU_ERF, 0, 0,
       [](double x) { return x * (1 + std::erf(x / std::sqrt(2.0))) / 2; }},
      {TRIVET_ACTIVATION_GELU_TANH, 0, 0,
       [](double x) {
         return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
       }},
      {TRIVET_ACTIVATION_SWISH, 1.3, 0, [&](double x) { return x * sigmoid(1.3 * x); }},
      {TRIVET_ACTIVATION_HARD_SWISH, 0, 0,
       [](double x) { return x * std::min(std::max(x / 6 + 0.5, 0.0), 1.0); }},
      {TRIVET_ACTIVATION_MISH, 0, 0, [&](double x) { return x * std::tanh(softplus(x)); }},
      {TRIVET_ACTIVATION_CELU, 0.8, 0,
       [](double x) { return std::max(x, 0.0) + std::min(0.0, 0.8 * std::expm1(x / 0.8)); }},
  };
  Floats xs = Numbers(33);
  trivet_value_t x = runner_.Input({3, 11}, xs);
  for (const Row& row : rows)
    runner_.Output(MADE(
        trivet_network_add_activation(network(), x, row.kind, row.alpha, row.beta, nullptr, out)));
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(runner_.Run());
  for (size_t r = 0; r < rows.size(); ++r) {
    SCOPED_TRACE("activation " + std::to_string(rows[r].kind));
    std::vector<double> wanted;
    for (float each : xs) wanted.push_back(rows[r].formula(each));
    ExpectNear(runner_.Result<float>(r), wanted);
  }
  trivet_value_t nothing = 0;
  EXPECT_EQ(TakeMessage(trivet_network_add_activation(network(), x, 99, 0, 0, nullptr, &nothing)),
            "add_activation: there is no kind 99, the last one is 17");
}

TEST_F(Layers, Prelu) {
  Floats xs = {-1, 2, -3, 4, -5, 6};
  trivet_value_t x = runner_.Input({2, 3}, xs), slope = runner_.Constant<float>({3}, {0.5, 1, 2});
  ASSERT_TRUE(Run(MADE(trivet_network_add_prelu(network(), x, slope, nullptr, out))));
  ExpectNear(runner_.Result<float>(0), {-0.5, 2, -6, 4, -5, 6});
}

TEST_F(Layers, EveryUnary) {
  struct Row {
    uint32_t kind;
    std::function<double(double)> formula;
    bool above_one;  // acosh
    bool positive;   // log, sqrt
    bool small;      // inverse functions of [-1, 1]
  };
  const std::vector<Row> rows = {
      {TRIVET_UNARY_EXP, [](double x) { return std::exp(x); }, 0, 0, 0},
      {TRIVET_UNARY_LOG, [](double x) { return std::log(x); }, 0, 1, 0},
      {TRIVET_UNARY_SQRT, [](double x) { return std::sqrt(x); }, 0, 1, 0},
      {TRIVET_UNARY_RECIPROCAL, [](double x) { return 1 / x; }, 0, 1, 0},
      {TRIVET_UNARY_ABS, [](double x) { return std::fabs(x); }, 0, 0, 0},
      {TRIVET_UNARY_NEGATE, [](double x) { return -x; }, 0, 0, 0},
      {TRIVET_UNARY_SIN, [](double x) { return std::sin(x); }, 0, 0, 0},
      {TRIVET_UNARY_COS, [](double x) { return std::cos(x); }, 0, 0, 0},
      {TRIVET_UNARY_TAN, [](double x) { return std::tan(x); }, 0, 0, 1},
      {TRIVET_UNARY_SINH, [](double x) { return std::sinh(x); }, 0, 0, 0},
      {TRIVET_UNARY_COSH, [](double x) { return std::cosh(x); }, 0, 0, 0},
      {TRIVET_UNARY_ASIN, [](double x) { return std::asin(x); }, 0, 0, 1},
      {TRIVET_UNARY_ACOS, [](double x) { return std::acos(x); }, 0, 0, 1},
      {TRIVET_UNARY_ATAN, [](double x) { return std::atan(x); }, 0, 0, 0},
      {TRIVET_UNARY_ASINH, [](double x) { return std::asinh(x); }, 0, 0, 0},
      {TRIVET_UNARY_ACOSH, [](double x) { return std::acosh(x); }, 1, 0, 0},
      {TRIVET_UNARY_ATANH, [](double x) { return std::atanh(x); }, 0, 0, 1},
      {TRIVET_UNARY_CEIL, [](double x) { return std::ceil(x); }, 0, 0, 0},
      {TRIVET_UNARY_FLOOR, [](double x) { return std::floor(x); }, 0, 0, 0},
      {TRIVET_UNARY_ERF, [](double x) { return std::erf(x); }, 0, 0, 0},
      {TRIVET_UNARY_SIGN, [](double x) { return (x > 0) - (x < 0); }, 0, 0, 0},
      {TRIVET_UNARY_ROUND, [](double x) { return std::nearbyint(x); }, 0, 0, 0},
  };
  const Floats all = Numbers(19);
  Floats positive = all, above_one = all, small = all;
  for (float& each : positive) each = std::fabs(each) + 0.125f;
  for (float& each : above_one) each = std::fabs(each) + 1.125f;
  for (float& each : small) each = each * 0.45f;
  trivet_value_t values[4] = {runner_.Input({19}, all), runner_.Input({19}, positive),
                              runner_.Input({19}, above_one), runner_.Input({19}, small)};
  auto which = [](const Row& row) {
    return row.positive ? 1 : row.above_one ? 2 : row.small ? 3 : 0;
  };
  for (const Row& row : rows)
    runner_.Output(
        MADE(trivet_network_add_unary(network(), values[which(row)], row.kind, nullptr, out)));
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(runner_.Run());
  for (size_t r = 0; r < rows.size(); ++r) {
    SCOPED_TRACE("unary " + std::to_string(rows[r].kind));
    const Floats* const data[4] = {&all, &positive, &above_one, &small};
    std::vector<double> wanted;
    for (float each : *data[which(rows[r])]) wanted.push_back(rows[r].formula(each));
    ExpectNear(runner_.Result<float>(r), wanted);
  }
}

TEST_F(Layers, UnaryOfOtherTypes) {
  const float inf = std::numeric_limits<float>::infinity();
  trivet_value_t x = runner_.Input<float>({4}, {1, -inf, inf, NAN});
  trivet_value_t i = runner_.Input<int32_t>({2}, {0, 5});
  trivet_value_t is_inf =
      MADE(trivet_network_add_unary(network(), x, TRIVET_UNARY_IS_INF, nullptr, out));
  runner_.Output(is_inf);
  runner_.Output(MADE(trivet_network_add_unary(network(), x, TRIVET_UNARY_IS_NAN, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_unary(network(), is_inf, TRIVET_UNARY_NOT, nullptr, out)));
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_unary(network(), i, TRIVET_UNARY_BITWISE_NOT, nullptr, out))));
  using Bytes = std::vector<uint8_t>;
  EXPECT_EQ(runner_.Result<uint8_t>(0), (Bytes{0, 1, 1, 0}));
  EXPECT_EQ(runner_.Result<uint8_t>(1), (Bytes{0, 0, 0, 1}));
  EXPECT_EQ(runner_.Result<uint8_t>(2), (Bytes{1, 0, 0, 1}));
  EXPECT_EQ(runner_.Result<int32_t>(3), (std::vector<int32_t>{-1, -6}));
}

TEST_F(Layers, ElementwiseOfFloats) {
  struct Row {
    uint32_t kind;
    std::function<double(double, double)> formula;
  };
  const std::vector<Row> rows = {
      {TRIVET_ELEMENTWISE_ADD, [](double a, double b) { return a + b; }},
      {TRIVET_ELEMENTWISE_SUB, [](double a, double b) { return a - b; }},
      {TRIVET_ELEMENTWISE_MUL, [](double a, double b) { return a * b; }},
      {TRIVET_ELEMENTWISE_DIV, [](double a, double b) { return a / b; }},
      {TRIVET_ELEMENTWISE_MAX, [](double a, double b) { return std::max(a, b); }},
      {TRIVET_ELEMENTWISE_MIN, [](double a, double b) { return std::min(a, b); }},
      {TRIVET_ELEMENTWISE_FLOOR_DIV, [](double a, double b) { return std::floor(a / b); }},
      {TRIVET_ELEMENTWISE_MOD, [](double a, double b) { return std::fmod(a, b); }},
  };
  Floats as = Numbers(12), bs = {1.5f, -0.75f, 0.625f};
  trivet_value_t a = runner_.Input({4, 3}, as), b = runner_.Input({3}, bs);
  for (const Row& row : rows)
    runner_.Output(MADE(trivet_network_add_elementwise(network(), a, b, row.kind, nullptr, out)));
  trivet_value_t positive =
      MADE(trivet_network_add_unary(network(), a, TRIVET_UNARY_ABS, nullptr, out));
  ASSERT_TRUE(Run(MADE(trivet_network_add_elementwise(network(), positive, b,
                                                      TRIVET_ELEMENTWISE_POW, nullptr, out))));
  for (size_t r = 0; r <= rows.size(); ++r) {
    SCOPED_TRACE("row " + std::to_string(r));
    std::vector<double> wanted;
    for (size_t i = 0; i < 12; ++i) {
      wanted.push_back(r < rows.size() ? rows[r].formula(as[i], bs[i % 3])
                                       : std::pow(std::fabs(as[i]), bs[i % 3]));
    }
    ExpectNear(runner_.Result<float>(r), wanted);
  }
}

TEST_F(Layers, ElementwiseOfIntegersAndBooleans) {
  Ints as = {7, -7, 7, -7}, bs = {2, 2, -2, -2};
  trivet_value_t a = runner_.Input({4}, as), b = runner_.Input({4}, bs);
  const uint32_t kinds[] = {TRIVET_ELEMENTWISE_DIV,        TRIVET_ELEMENTWISE_FLOOR_DIV,
                            TRIVET_ELEMENTWISE_MOD,        TRIVET_ELEMENTWISE_BITWISE_AND,
                            TRIVET_ELEMENTWISE_BITWISE_OR, TRIVET_ELEMENTWISE_BITWISE_XOR};
  const Ints wanted[] = {{3, -3, -3, 3},
                         {3, -4, -4, 3},
                         {1, 1, -1, -1},
                         {7 & 2, -7 & 2, 7 & -2, -7 & -2},
                         {7 | 2, -7 | 2, 7 | -2, -7 | -2},
                         {7 ^ 2, -7 ^ 2, 7 ^ -2, -7 ^ -2}};
  for (uint32_t kind : kinds)
    runner_.Output(MADE(trivet_network_add_elementwise(network(), a, b, kind, nullptr, out)));
  const uint32_t compared[] = {TRIVET_ELEMENTWISE_EQUAL, TRIVET_ELEMENTWISE_LESS,
                               TRIVET_ELEMENTWISE_GREATER, TRIVET_ELEMENTWISE_LESS_EQUAL,
                               TRIVET_ELEMENTWISE_GREATER_EQUAL};
  trivet_value_t p = runner_.Input<bool>({4}, {true, true, false, false});
  trivet_value_t q = runner_.Input<bool>({4}, {true, false, true, false});
  trivet_value_t c = runner_.Input<int64_t>({4}, {7, 0, 8, -7});
  for (uint32_t kind : compared)
    runner_.Output(MADE(trivet_network_add_elementwise(network(), a, c, kind, nullptr, out)));
  for (uint32_t kind : {TRIVET_ELEMENTWISE_AND, TRIVET_ELEMENTWISE_OR, TRIVET_ELEMENTWISE_XOR})
    runner_.Output(MADE(trivet_network_add_elementwise(network(), p, q, kind, nullptr, out)));
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(runner_.Run());
  for (int k = 0; k < 6; ++k) EXPECT_EQ(runner_.Result<int64_t>(k), wanted[k]) << k;
  using Bytes = std::vector<uint8_t>;
  const Bytes truths[] = {{1, 0, 0, 1}, {0, 1, 1, 0}, {0, 0, 0, 0}, {1, 1, 1, 1},
                          {1, 0, 0, 1}, {1, 0, 0, 0}, {1, 1, 1, 0}, {0, 1, 1, 0}};
  for (int k = 0; k < 8; ++k) EXPECT_EQ(runner_.Result<uint8_t>(6 + k), truths[k]) << k;
}

TEST_F(Layers, ScaleAlongAnAxis) {
  Floats xs = Numbers(2 * 3 * 4);
  for (float& each : xs) each = std::fabs(each);
  Floats scale = {1, 2, 3}, shift = {0.5, 0.25, 0.125}, power = {1, 2, 3};
  trivet_value_t x = runner_.Input({2, 3, 4}, xs), s = runner_.Constant({3}, scale),
                 t = runner_.Constant({3}, shift), p = runner_.Constant({3}, power);
  runner_.Output(MADE(trivet_network_add_scale(network(), x, s, t, p, 1, "scale", out)));
  trivet_value_t two = MADE(trivet_network_add_scalar(network(), TRIVET_DTYPE_F32, 2, out));
  ASSERT_TRUE(Run(MADE(
      trivet_network_add_scale(network(), x, two, 0, 0, TRIVET_SCALE_BROADCAST, "twice", out))));
  std::vector<double> wanted, twice;
  for (size_t i = 0; i < xs.size(); ++i) {
    size_t c = i / 4 % 3;
    wanted.push_back(std::pow(static_cast<double>(xs[i]) * scale[c] + shift[c], power[c]));
    twice.push_back(2.0 * xs[i]);
  }
  ExpectNear(runner_.Result<float>(0), wanted);
  ExpectNear(runner_.Result<float>(1), twice);
}

TEST_F(Layers, SelectCastIdentity) {
  trivet_value_t c = runner_.Input<bool>({3}, {true, false, true});
  trivet_value_t a = runner_.Input<float>({3}, {1.9f, -1.9f, 3}),
                 b = runner_.Input<float>({1}, {7});
  trivet_value_t chosen = MADE(trivet_network_add_select(network(), c, a, b, nullptr, out));
  runner_.Output(MADE(trivet_network_add_identity(network(), chosen, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_cast(network(), a, TRIVET_DTYPE_I32, nullptr, out))));
  ExpectNear(runner_.Result<float>(0), {1.9, 7, 3}, 1e-6);
  EXPECT_EQ(runner_.Result<int32_t>(1), (std::vector<int32_t>{1, -1, 3}));
}

// --- Reductions, order --------------------------------------------------------------------------

TEST_F(Layers, EveryReduction) {
  using Formula = std::function<double(const std::vector<double>&)>;
  auto fold = [](double start, const std::function<double(double, double)>& join) {
    return Formula([=](const std::vector<double>& v) {
      return std::accumulate(v.begin(), v.end(), start, join);
    });
  };
  Formula sum = fold(0, [](double a, double b) { return a + b; });
  const std::vector<Formula> formulas = {
      sum,
      fold(1, [](double a, double b) { return a * b; }),
      fold(-HUGE_VAL, [](double a, double b) { return std::max(a, b); }),
      fold(HUGE_VAL, [](double a, double b) { return std::min(a, b); }),
      [=](const std::vector<double>& v) { return sum(v) / static_cast<double>(v.size()); },
      fold(0, [](double a, double b) { return a + std::fabs(b); }),
      [=](const std::vector<double>& v) {
        return std::sqrt(fold(0, [](double a, double b) { return a + b * b; })(v));
      },
      fold(0, [](double a, double b) { return a + b * b; }),
      [=](const std::vector<double>& v) { return std::log(sum(v)); },
      [=](const std::vector<double>& v) {
        return std::log(fold(0, [](double a, double b) { return a + std::exp(b); })(v));
      },
  };
  Floats xs = Numbers(2 * 3 * 4);
  for (float& each : xs) each = std::fabs(each) + 0.1f;
  trivet_value_t x = runner_.Input({2, 3, 4}, xs);
  const int64_t axes[2] = {0, -1};
  for (uint32_t kind = 0; kind < formulas.size(); ++kind)
    runner_.Output(
        MADE(trivet_network_add_reduce(network(), x, kind, axes, 2, kind % 2, nullptr, out)));
  ASSERT_TRUE(Run(MADE(
      trivet_network_add_reduce(network(), x, TRIVET_REDUCE_SUM, nullptr, 0, 0, nullptr, out))));
  for (uint32_t kind = 0; kind < formulas.size(); ++kind) {
    SCOPED_TRACE("reduction " + std::to_string(kind));
    EXPECT_EQ(runner_.shape(kind), kind % 2 ? (Dims{1, 3, 1}) : (Dims{3}));
    std::vector<double> wanted;
    for (int m = 0; m < 3; ++m) {
      std::vector<double> line;
      for (int n = 0; n < 2; ++n)
        for (int k = 0; k < 4; ++k) line.push_back(xs[(n * 3 + m) * 4 + k]);
      wanted.push_back(formulas[kind](line));
    }
    ExpectNear(runner_.Result<float>(kind), wanted);
  }
  EXPECT_EQ(runner_.shape(formulas.size()), Dims{});
  ExpectNear(runner_.Result<float>(formulas.size()), {std::accumulate(xs.begin(), xs.end(), 0.0)});
}

TEST_F(Layers, ArgmaxTopkCumulative) {
  trivet_value_t x = runner_.Input<float>({2, 4}, {3, 1, 3, 2, 0, 5, 4, 6});
  runner_.Output(MADE(trivet_network_add_argmax(network(), x, 0, 1, 0, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_argmax(network(), x, 1, -1, 1, nullptr, out)));
  trivet_value_t values = 0, indices = 0;
  ASSERT_TRIVET_OK(trivet_network_add_topk(network(), x, 2, 0, 1, "top", &values, &indices));
  runner_.Output(values);
  runner_.Output(indices);
  ASSERT_TRIVET_OK(trivet_network_add_topk(network(), x, 2, 1, 1, "low", &values, &indices));
  runner_.Output(values);
  runner_.Output(MADE(trivet_network_add_cumulative_sum(network(), x, 1, 0, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_cumulative_sum(
      network(), x, 1, TRIVET_CUMULATIVE_EXCLUSIVE | TRIVET_CUMULATIVE_REVERSE, nullptr, out))));
  EXPECT_EQ(runner_.Result<int64_t>(0), (Ints{0, 3}));
  EXPECT_EQ(runner_.shape(0), (Dims{2}));
  EXPECT_EQ(runner_.Result<int64_t>(1), (Ints{1, 0}));
  EXPECT_EQ(runner_.shape(1), (Dims{2, 1}));
  ExpectNear(runner_.Result<float>(2), {3, 3, 6, 5});
  EXPECT_EQ(runner_.Result<int64_t>(3), (Ints{0, 2, 3, 1}));
  ExpectNear(runner_.Result<float>(4), {1, 2, 0, 4});
  ExpectNear(runner_.Result<float>(5), {3, 4, 7, 9, 0, 5, 9, 15});
  ExpectNear(runner_.Result<float>(6), {6, 5, 2, 0, 15, 10, 6, 0});
}

TEST_F(Layers, SoftmaxAndItsLogarithm) {
  Floats xs = Numbers(12);
  trivet_value_t x = runner_.Input({3, 4}, xs);
  runner_.Output(MADE(trivet_network_add_softmax(network(), x, 0, 0, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_softmax(network(), x, -1, 1, nullptr, out))));
  std::vector<double> columns(12), rows(12);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 4; ++j) {
      double column = 0, row = 0;
      for (int k = 0; k < 3; ++k) column += std::exp(xs[k * 4 + j]);
      for (int k = 0; k < 4; ++k) row += std::exp(xs[i * 4 + k]);
      columns[i * 4 + j] = std::exp(xs[i * 4 + j]) / column;
      rows[i * 4 + j] = xs[i * 4 + j] - std::log(row);
    }
  ExpectNear(runner_.Result<float>(0), columns);
  ExpectNear(runner_.Result<float>(1), rows);
}

// --- Shapes and movement ------------------------------------------------------------------------

Floats Counting(int count) {
  Floats numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  return numbers;
}

TEST_F(Layers, ReshapeTransposeShuffleShape) {
  trivet_value_t x = runner_.Input({2, 3, 4}, Counting(24));
  const int64_t dims[2] = {0, -1}, permutation[3] = {2, 0, 1}, back[2] = {1, 0};
  runner_.Output(MADE(trivet_network_add_reshape(network(), x, dims, 2, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_transpose(network(), x, permutation, nullptr, out)));
  runner_.Output(
      MADE(trivet_network_add_shuffle(network(), x, permutation, dims, 2, back, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_shape(network(), x, nullptr, out))));
  EXPECT_EQ(runner_.shape(0), (Dims{2, 12}));
  EXPECT_EQ(runner_.Result<float>(0), Counting(24));
  Floats transposed, shuffled;
  for (int k = 0; k < 4; ++k)
    for (int n = 0; n < 6; ++n) transposed.push_back(n * 4 + k);
  for (int n = 0; n < 6; ++n)
    for (int k = 0; k < 4; ++k) shuffled.push_back(n * 4 + k);
  EXPECT_EQ(runner_.shape(1), (Dims{4, 2, 3}));
  EXPECT_EQ(runner_.Result<float>(1), transposed);
  EXPECT_EQ(runner_.shape(2), (Dims{6, 4}));
  EXPECT_EQ(runner_.Result<float>(2), shuffled);
  EXPECT_EQ(runner_.Result<int64_t>(3), (Ints{2, 3, 4}));
}

TEST_F(Layers, SqueezeUnsqueezeExpand) {
  trivet_value_t x = runner_.Input<float>({1, 2, 1}, {5, 6});
  const int64_t drop[1] = {0}, put[2] = {0, 2}, wide[3] = {3, 2, 2};
  runner_.Output(MADE(trivet_network_add_squeeze(network(), x, drop, 1, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_unsqueeze(network(), x, put, 2, nullptr, out)));
  trivet_value_t shape = MADE(trivet_network_add_integers(network(), wide, 3, out));
  ASSERT_TRUE(Run(MADE(trivet_network_add_expand(network(), x, shape, nullptr, out))));
  EXPECT_EQ(runner_.shape(0), (Dims{2, 1}));
  EXPECT_EQ(runner_.shape(1), (Dims{1, 1, 1, 2, 1}));
  EXPECT_EQ(runner_.shape(2), (Dims{3, 2, 2}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{5, 6}));
  EXPECT_EQ(runner_.Result<float>(2), (Floats{5, 5, 6, 6, 5, 5, 6, 6, 5, 5, 6, 6}));
}

TEST_F(Layers, ConcatenationAndSplit) {
  trivet_value_t parts[2] = {runner_.Input<float>({2, 1}, {1, 2}),
                             runner_.Input<float>({2, 2}, {3, 4, 5, 6})};
  trivet_value_t joined =
      MADE(trivet_network_add_concatenation(network(), parts, 2, 1, nullptr, out));
  runner_.Output(joined);
  const int64_t sizes[2] = {2, 1};
  trivet_value_t pieces[3];
  ASSERT_TRIVET_OK(trivet_network_add_split(network(), joined, 1, sizes, 2, nullptr, pieces));
  runner_.Output(pieces[0]);
  runner_.Output(pieces[1]);
  ASSERT_TRIVET_OK(trivet_network_add_split(network(), joined, 1, nullptr, 3, nullptr, pieces));
  ASSERT_TRUE(Run(pieces[1]));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{1, 3, 4, 2, 5, 6}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{1, 3, 2, 5}));
  EXPECT_EQ(runner_.Result<float>(2), (Floats{4, 6}));
  EXPECT_EQ(runner_.Result<float>(3), (Floats{3, 5}));
}

TEST_F(Layers, SliceAndPadding) {
  trivet_value_t x = runner_.Input({3, 4}, Counting(12));
  const int64_t starts[2] = {1, -1}, ends[2] = {INT64_MAX, -4}, axes[2] = {0, 1},
                steps[2] = {1, -2};
  runner_.Output(
      MADE(trivet_network_add_slice(network(), x, starts, ends, axes, steps, 2, nullptr, out)));
  const int64_t from[1] = {1}, to[1] = {2};
  runner_.Output(
      MADE(trivet_network_add_slice(network(), x, from, to, nullptr, nullptr, 1, nullptr, out)));
  const int64_t begin[2] = {1, -1}, end[2] = {0, 1};
  runner_.Output(MADE(trivet_network_add_padding(network(), x, begin, end, TRIVET_PADDING_CONSTANT,
                                                 9, nullptr, out)));
  const int64_t none[2] = {0, 0}, two[2] = {0, 2};
  runner_.Output(MADE(trivet_network_add_padding(network(), x, none, two, TRIVET_PADDING_REFLECT, 0,
                                                 nullptr, out)));
  runner_.Output(MADE(
      trivet_network_add_padding(network(), x, none, two, TRIVET_PADDING_EDGE, 0, nullptr, out)));
  ASSERT_TRUE(Run(MADE(
      trivet_network_add_padding(network(), x, none, two, TRIVET_PADDING_WRAP, 0, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{7, 5, 11, 9}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{4, 5, 6, 7}));
  EXPECT_EQ(runner_.shape(2), (Dims{4, 4}));
  EXPECT_EQ(runner_.Result<float>(2), (Floats{9, 9, 9, 9, 1, 2, 3, 9, 5, 6, 7, 9, 9, 10, 11, 9}));
  auto row = [&](size_t output) {
    Floats all = runner_.Result<float>(output);
    return Floats(all.begin(), all.begin() + 6);
  };
  EXPECT_EQ(row(3), (Floats{0, 1, 2, 3, 2, 1}));
  EXPECT_EQ(row(4), (Floats{0, 1, 2, 3, 3, 3}));
  EXPECT_EQ(row(5), (Floats{0, 1, 2, 3, 0, 1}));
}

TEST_F(Layers, GatherOfEveryKind) {
  trivet_value_t x = runner_.Input({3, 4}, Counting(12));
  trivet_value_t rows = runner_.Input<int64_t>({2}, {2, -3});
  trivet_value_t each = runner_.Input<int64_t>({3, 1}, {0, 3, 1});
  trivet_value_t positions = runner_.Input<int64_t>({2, 2}, {0, 1, 2, 3});
  runner_.Output(
      MADE(trivet_network_add_gather(network(), x, rows, TRIVET_GATHER_AXIS, 0, nullptr, out)));
  runner_.Output(
      MADE(trivet_network_add_gather(network(), x, each, TRIVET_GATHER_ELEMENTS, 1, nullptr, out)));
  ASSERT_TRUE(Run(
      MADE(trivet_network_add_gather(network(), x, positions, TRIVET_GATHER_ND, 0, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{8, 9, 10, 11, 0, 1, 2, 3}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{0, 7, 9}));
  EXPECT_EQ(runner_.Result<float>(2), (Floats{1, 11}));
}

TEST_F(Layers, ScatterOfEveryKind) {
  trivet_value_t x = runner_.Input({2, 3}, Counting(6));
  trivet_value_t each = runner_.Input<int64_t>({2, 1}, {2, 0});
  trivet_value_t updates = runner_.Input<float>({2, 1}, {10, 20});
  trivet_value_t positions = runner_.Input<int64_t>({2, 2}, {1, 1, 1, 1});
  trivet_value_t two = runner_.Input<float>({2}, {100, 200});
  runner_.Output(
      MADE(trivet_network_add_scatter(network(), x, each, updates, TRIVET_GATHER_ELEMENTS, 1,
                                      TRIVET_SCATTER_ASSIGN, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_scatter(network(), x, positions, two, TRIVET_GATHER_ND, 0,
                                                  TRIVET_SCATTER_ADD, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{0, 1, 10, 20, 4, 5}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{0, 1, 2, 3, 304, 5}));
}

TEST_F(Layers, CacheUpdateAndReverseSequence) {
  trivet_value_t cache = runner_.Input({2, 3, 2}, Floats(12, 0.0f));
  trivet_value_t update = runner_.Input<float>({2, 1, 2}, {1, 2, 3, 4});
  trivet_value_t where = runner_.Input<int64_t>({2}, {0, 2});
  runner_.Output(
      MADE(trivet_network_add_cache_update(network(), cache, update, where, 1, nullptr, out)));
  trivet_value_t x = runner_.Input({4, 2}, Counting(8));
  trivet_value_t lengths = runner_.Input<int64_t>({2}, {3, 1});
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_reverse_sequence(network(), x, lengths, 1, 0, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{4, 1, 2, 3, 0, 5, 6, 7}));
}

TEST_F(Layers, OneHotAndNonZero) {
  trivet_value_t indices = runner_.Input<int64_t>({2}, {2, 0});
  trivet_value_t values = runner_.Constant<float>({2}, {-1, 1});
  runner_.Output(MADE(trivet_network_add_one_hot(network(), indices, 3, values, -1, nullptr, out)));
  trivet_value_t x = runner_.Input<float>({2, 3}, {0, 5, 0, 7, 0, -1});
  ASSERT_TRUE(Run(MADE(trivet_network_add_non_zero(network(), x, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{-1, -1, 1, 1, -1, -1}));
  EXPECT_EQ(runner_.shape(1), (Dims{2, 3}));
  EXPECT_EQ(runner_.Result<int64_t>(1), (Ints{0, 1, 1, 1, 0, 2}));
}

TEST_F(Layers, FillOfEveryKind) {
  trivet_value_t x = runner_.Input<float>({1}, {0});
  const int64_t dims[2] = {2, 3}, four[1] = {4}, many[1] = {4000};
  // Adding an input keeps the fills from being outputs that no run computes.
  auto with_input = [&](trivet_value_t value) {
    runner_.Output(MADE(
        trivet_network_add_elementwise(network(), value, x, TRIVET_ELEMENTWISE_ADD, nullptr, out)));
  };
  with_input(MADE(trivet_network_add_fill(network(), TRIVET_FILL_CONSTANT, TRIVET_DTYPE_F32, dims,
                                          2, 1.5, 0, nullptr, out)));
  with_input(MADE(trivet_network_add_fill(network(), TRIVET_FILL_LINEAR, TRIVET_DTYPE_F32, four, 1,
                                          1, 0.5, nullptr, out)));
  with_input(MADE(trivet_network_add_fill(network(), TRIVET_FILL_RANDOM_UNIFORM, TRIVET_DTYPE_F32,
                                          many, 1, -1, 3, nullptr, out)));
  with_input(MADE(trivet_network_add_fill(network(), TRIVET_FILL_RANDOM_NORMAL, TRIVET_DTYPE_F32,
                                          many, 1, 5, 2, nullptr, out)));
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(runner_.Run());
  EXPECT_EQ(runner_.Result<float>(0), Floats(6, 1.5f));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{1, 1.5, 2, 2.5}));
  Floats uniform = runner_.Result<float>(2), normal = runner_.Result<float>(3);
  EXPECT_GE(*std::min_element(uniform.begin(), uniform.end()), -1);
  EXPECT_LT(*std::max_element(uniform.begin(), uniform.end()), 3);
  double mean = std::accumulate(uniform.begin(), uniform.end(), 0.0) / 4000;
  EXPECT_NEAR(mean, 1, 0.1);  // five standard errors of a mean of 4000 are 0.09
  mean = std::accumulate(normal.begin(), normal.end(), 0.0) / 4000;
  double variance = 0;
  for (float each : normal) variance += (each - mean) * (each - mean) / 4000;
  EXPECT_NEAR(mean, 5, 0.16);
  EXPECT_NEAR(std::sqrt(variance), 2, 0.12);
}

// --- Pictures -----------------------------------------------------------------------------------

TEST_F(Layers, ResizeOfEveryKind) {
  Floats xs = {1, 2, 3, 4};
  trivet_value_t x = runner_.Input({1, 1, 2, 2}, xs);
  const int64_t sizes[4] = {1, 1, 4, 4};
  const float scales[4] = {1, 1, 2, 2};
  trivet_resize_t options = {};
  options.sizes = sizes;
  options.kind = TRIVET_RESIZE_NEAREST;
  options.coordinates = TRIVET_COORDINATES_ASYMMETRIC;
  options.nearest = TRIVET_NEAREST_FLOOR;
  runner_.Output(MADE(trivet_network_add_resize(network(), x, &options, nullptr, out)));
  options.sizes = nullptr;
  options.scales = scales;
  options.kind = TRIVET_RESIZE_LINEAR;
  options.coordinates = TRIVET_COORDINATES_HALF_PIXEL;
  runner_.Output(MADE(trivet_network_add_resize(network(), x, &options, nullptr, out)));
  options.kind = TRIVET_RESIZE_CUBIC;
  options.coordinates = TRIVET_COORDINATES_ALIGN_CORNERS;
  ASSERT_TRUE(Run(MADE(trivet_network_add_resize(network(), x, &options, nullptr, out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4}));
  std::vector<double> linear;
  for (int h = 0; h < 4; ++h)
    for (int v = 0; v < 4; ++v) {
      double fh = std::min(std::max((h + 0.5) / 2 - 0.5, 0.0), 1.0);
      double fv = std::min(std::max((v + 0.5) / 2 - 0.5, 0.0), 1.0);
      linear.push_back((1 - fh) * ((1 - fv) * 1 + fv * 2) + fh * ((1 - fv) * 3 + fv * 4));
    }
  ExpectNear(runner_.Result<float>(1), linear);
  // Aligned corners are hit exactly; what lies between stays symmetric about the middle.
  Floats cubic = runner_.Result<float>(2);
  ASSERT_EQ(cubic.size(), 16u);
  EXPECT_NEAR(cubic[0], 1, 1e-5);
  EXPECT_NEAR(cubic[3], 2, 1e-5);
  EXPECT_NEAR(cubic[15], 4, 1e-5);
  for (int i = 0; i < 16; ++i) EXPECT_NEAR(cubic[i] + cubic[15 - i], 5, 1e-5) << i;
  trivet_value_t nothing = 0;
  options.sizes = sizes;
  EXPECT_EQ(TakeMessage(trivet_network_add_resize(network(), x, &options, nullptr, &nothing)),
            "add_resize needs either sizes or scales");
}

TEST_F(Layers, GridSample) {
  trivet_value_t x = runner_.Input<float>({1, 1, 2, 2}, {1, 2, 3, 4});
  // Corners at -1 and 1 with aligned corners; the middle; outside.
  trivet_value_t grid = runner_.Input<float>({1, 1, 4, 2}, {-1, -1, 1, -1, 0, 0, 3, 3});
  ASSERT_TRUE(Run(MADE(trivet_network_add_grid_sample(network(), x, grid, TRIVET_RESIZE_LINEAR,
                                                      TRIVET_SAMPLE_ZEROS, 1, nullptr, out))));
  ExpectNear(runner_.Result<float>(0), {1, 2, 2.5, 0});
}

TEST_F(Layers, NonMaximumSuppression) {
  trivet_value_t boxes =
      runner_.Input<float>({1, 3, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 5, 5, 6, 6});
  trivet_value_t scores = runner_.Input<float>({1, 1, 3}, {0.9f, 0.8f, 0.7f});
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_nms(network(), boxes, scores, 3, 0.5, 0.1, 0, nullptr, out))));
  EXPECT_EQ(runner_.shape(0), (Dims{2, 3}));
  EXPECT_EQ(runner_.Result<int64_t>(0), (Ints{0, 0, 0, 0, 0, 2}));
}

// --- Normalisation ------------------------------------------------------------------------------

// Normalises |count| runs of elements; |member| says which run an element belongs to.
std::vector<double> Normalized(const Floats& xs, size_t count,
                               const std::function<size_t(size_t)>& member, double epsilon,
                               bool centred) {
  std::vector<double> sum(count), squares(count), size(count), y;
  for (size_t i = 0; i < xs.size(); ++i) sum[member(i)] += xs[i], size[member(i)] += 1;
  for (size_t i = 0; i < xs.size(); ++i) {
    double mean = centred ? sum[member(i)] / size[member(i)] : 0;
    squares[member(i)] += (xs[i] - mean) * (xs[i] - mean);
  }
  for (size_t i = 0; i < xs.size(); ++i) {
    size_t m = member(i);
    y.push_back((xs[i] - (centred ? sum[m] / size[m] : 0)) /
                std::sqrt(squares[m] / size[m] + epsilon));
  }
  return y;
}

TEST_F(Layers, NormalizationOfEveryKind) {
  Floats xs = Numbers(2 * 4 * 3), scale3 = {1, 2, 3}, bias3 = {0.5, 0, -1};
  Floats scale4 = {1, 2, 3, 4}, bias4 = {1, 0, -1, 2};
  trivet_value_t x = runner_.Input({2, 4, 3}, xs);
  trivet_value_t s3 = runner_.Constant({3}, scale3), b3 = runner_.Constant({3}, bias3),
                 s4 = runner_.Constant({4}, scale4), b4 = runner_.Constant({4}, bias4);
  runner_.Output(MADE(trivet_network_add_normalization(network(), x, TRIVET_NORMALIZATION_LAYER, s3,
                                                       b3, -1, 1e-3, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_normalization(network(), x, TRIVET_NORMALIZATION_RMS, s3,
                                                       0, -1, 1e-3, nullptr, out)));
  runner_.Output(MADE(trivet_network_add_normalization(network(), x, TRIVET_NORMALIZATION_INSTANCE,
                                                       s4, b4, 0, 1e-3, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_normalization(network(), x, TRIVET_NORMALIZATION_GROUP,
                                                        s4, b4, 2, 1e-3, nullptr, out))));
  auto line = [](size_t i) { return i / 3; };
  auto group = [](size_t i) { return i / 6; };
  std::vector<double> layer = Normalized(xs, 8, line, 1e-3, true),
                      rms = Normalized(xs, 8, line, 1e-3, false), instance = layer,
                      grouped = Normalized(xs, 4, group, 1e-3, true);
  for (size_t i = 0; i < xs.size(); ++i) {
    layer[i] = layer[i] * scale3[i % 3] + bias3[i % 3];
    rms[i] = rms[i] * scale3[i % 3];
    instance[i] = instance[i] * scale4[i / 3 % 4] + bias4[i / 3 % 4];
    grouped[i] = grouped[i] * scale4[i / 3 % 4] + bias4[i / 3 % 4];
  }
  ExpectNear(runner_.Result<float>(0), layer);
  ExpectNear(runner_.Result<float>(1), rms);
  ExpectNear(runner_.Result<float>(2), instance);
  ExpectNear(runner_.Result<float>(3), grouped);
}

TEST_F(Layers, BatchNormalizationAndLrn) {
  Floats xs = Numbers(2 * 3 * 2 * 2), s = {1, 2, 3}, b = {0, 1, -1}, m = {0.5, 0, -0.5},
         v = {1, 2, 0.5};
  trivet_value_t x = runner_.Input({2, 3, 2, 2}, xs);
  runner_.Output(MADE(trivet_network_add_batch_normalization(
      network(), x, runner_.Constant({3}, s), runner_.Constant({3}, b), runner_.Constant({3}, m),
      runner_.Constant({3}, v), 1e-3, nullptr, out)));
  ASSERT_TRUE(Run(MADE(trivet_network_add_lrn(network(), x, 3, 0.3, 0.75, 2, nullptr, out))));
  std::vector<double> batch, local;
  for (size_t i = 0; i < xs.size(); ++i) {
    size_t c = i / 4 % 3;
    batch.push_back((xs[i] - m[c]) / std::sqrt(v[c] + 1e-3) * s[c] + b[c]);
    double squares = 0;
    for (size_t k = c == 0 ? 0 : c - 1; k <= std::min<size_t>(c + 1, 2); ++k) {
      double each = xs[i + 4 * k - 4 * c];
      squares += each * each;
    }
    local.push_back(xs[i] / std::pow(2 + 0.3 / 3 * squares, 0.75));
  }
  ExpectNear(runner_.Result<float>(0), batch);
  ExpectNear(runner_.Result<float>(1), local);
}

// --- Quantisation -------------------------------------------------------------------------------

TEST_F(Layers, QuantizeAndDequantize) {
  trivet_value_t x = runner_.Input<float>({2, 2}, {0.5f, 1.25f, -300, 3});
  trivet_value_t scale = runner_.Constant<float>({2}, {0.5f, 1});
  trivet_value_t zero = runner_.Constant<int8_t>({2}, {1, -1});
  trivet_value_t q = MADE(
      trivet_network_add_quantize(network(), x, scale, zero, TRIVET_DTYPE_I8, 0, 0, nullptr, out));
  runner_.Output(q);
  runner_.Output(
      MADE(trivet_network_add_dequantize(network(), q, scale, zero, 0, 0, nullptr, out)));
  trivet_value_t one = MADE(trivet_network_add_scalar(network(), TRIVET_DTYPE_F32, 1, out));
  ASSERT_TRUE(Run(MADE(
      trivet_network_add_quantize(network(), x, one, 0, TRIVET_DTYPE_U8, 0, 0, nullptr, out))));
  // 1.25 / 0.5 = 2.5 rounds to the even 2.
  EXPECT_EQ(runner_.Result<int8_t>(0), (std::vector<int8_t>{2, 3, -128, 2}));
  ExpectNear(runner_.Result<float>(1), {0.5, 1, -127, 3});
  EXPECT_EQ(runner_.Result<uint8_t>(2), (std::vector<uint8_t>{0, 1, 0, 3}));
}

TEST_F(Layers, DynamicQuantize) {
  trivet_value_t x = runner_.Input<float>({4}, {0, 2, -3, -2.5f});
  trivet_value_t outputs[3];
  ASSERT_TRIVET_OK(trivet_network_add_dynamic_quantize(network(), x, nullptr, outputs));
  for (trivet_value_t each : outputs) runner_.Output(each);
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(runner_.Run());
  const double scale = 5.0 / 255;
  ExpectNear(runner_.Result<float>(1), {scale}, 1e-6);
  EXPECT_EQ(runner_.Result<uint8_t>(2), (std::vector<uint8_t>{153}));
  EXPECT_EQ(runner_.Result<uint8_t>(0), (std::vector<uint8_t>{153, 255, 0, 26}));
}

// --- Sequences ----------------------------------------------------------------------------------

TEST_F(Layers, Attention) {
  const int heads = 2, queries = 3, keys = 4, size = 2;
  Floats qs = Numbers(heads * queries * size), ks = Numbers(heads * keys * size, 2),
         vs = Numbers(heads * keys * size, 3);
  trivet_value_t q = runner_.Input({1, heads, queries, size}, qs);
  trivet_value_t k = runner_.Input({1, heads, keys, size}, ks);
  trivet_value_t v = runner_.Input({1, heads, keys, size}, vs);
  trivet_attention_t options = {};
  options.scale = 0.7;
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_attention(network(), q, k, v, 0, &options, "attention", out))));
  std::vector<double> wanted;
  for (int h = 0; h < heads; ++h)
    for (int i = 0; i < queries; ++i) {
      double weights[keys], total = 0;
      for (int j = 0; j < keys; ++j) {
        double dot = 0;
        for (int e = 0; e < size; ++e)
          dot +=
              static_cast<double>(qs[(h * queries + i) * size + e]) * ks[(h * keys + j) * size + e];
        weights[j] = std::exp(0.7 * dot);
        total += weights[j];
      }
      for (int e = 0; e < size; ++e) {
        double sum = 0;
        for (int j = 0; j < keys; ++j) sum += weights[j] / total * vs[(h * keys + j) * size + e];
        wanted.push_back(sum);
      }
    }
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, RotaryEmbedding) {
  Floats xs = Numbers(1 * 1 * 2 * 4), cosines, sines;
  for (int position = 0; position < 2; ++position)
    for (int pair = 0; pair < 2; ++pair) {
      cosines.push_back(std::cos(0.3f * position + 0.2f * pair));
      sines.push_back(std::sin(0.3f * position + 0.2f * pair));
    }
  trivet_value_t x = runner_.Input({1, 1, 2, 4}, xs);
  trivet_value_t c = runner_.Input({1, 2, 2}, cosines), s = runner_.Input({1, 2, 2}, sines);
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_rotary_embedding(network(), x, c, s, 0, 0, 0, nullptr, out))));
  std::vector<double> wanted(8);
  for (int l = 0; l < 2; ++l)
    for (int p = 0; p < 2; ++p) {
      double a = xs[l * 4 + p], b = xs[l * 4 + 2 + p], cs = cosines[l * 2 + p],
             sn = sines[l * 2 + p];
      wanted[l * 4 + p] = a * cs - b * sn;
      wanted[l * 4 + 2 + p] = a * sn + b * cs;
    }
  ExpectNear(runner_.Result<float>(0), wanted);
}

TEST_F(Layers, Recurrent) {
  // One unit, two steps of a plain RNN: h = tanh(w x + r h + b).
  trivet_value_t x = runner_.Input<float>({2, 1, 1}, {0.5f, -1});
  trivet_value_t w = runner_.Constant<float>({1, 1, 1}, {2});
  trivet_value_t r = runner_.Constant<float>({1, 1, 1}, {0.5f});
  trivet_value_t b = runner_.Constant<float>({1, 2}, {0.25f, 0.125f});
  trivet_value_t outputs[2];
  ASSERT_TRIVET_OK(trivet_network_add_recurrent(network(), TRIVET_RECURRENT_RNN, x, w, r, b, 0, 0,
                                                nullptr, "rnn", outputs));
  runner_.Output(outputs[0]);
  ASSERT_TRUE(Run(outputs[1]));
  double first = std::tanh(2 * 0.5 + 0.375), second = std::tanh(2 * -1 + 0.5 * first + 0.375);
  EXPECT_EQ(runner_.shape(0), (Dims{2, 1, 1, 1}));
  ExpectNear(runner_.Result<float>(0), {first, second});
  ExpectNear(runner_.Result<float>(1), {second});
}

// --- Control flow -------------------------------------------------------------------------------

TEST_F(Layers, LoopWithAKnownCount) {
  trivet_value_t x = runner_.Input<float>({2}, {1, 3});
  const double three = 3;
  trivet_value_t trips = MADE(trivet_network_add_scalar(network(), TRIVET_DTYPE_I64, three, out));
  uint32_t body = 0;
  ASSERT_TRIVET_OK(trivet_network_begin_body(network(), "body", &body));
  const int64_t two[1] = {2};
  trivet_value_t iteration = 0, condition = 0, state = 0;
  ASSERT_TRIVET_OK(
      trivet_network_add_input(network(), "i", TRIVET_DTYPE_I64, 0, two, nullptr, &iteration));
  ASSERT_TRIVET_OK(
      trivet_network_add_input(network(), "go", TRIVET_DTYPE_BOOL, 0, two, nullptr, &condition));
  ASSERT_TRIVET_OK(
      trivet_network_add_input(network(), "state", TRIVET_DTYPE_F32, 1, two, nullptr, &state));
  trivet_value_t doubled = MADE(trivet_network_add_elementwise(
      network(), state, state, TRIVET_ELEMENTWISE_ADD, nullptr, out));
  ASSERT_TRIVET_OK(trivet_network_mark_output(network(), condition, "go_on"));
  ASSERT_TRIVET_OK(trivet_network_mark_output(network(), doubled, "next"));
  ASSERT_TRIVET_OK(trivet_network_mark_output(network(), state, "each"));
  ASSERT_TRIVET_OK(trivet_network_end_body(network()));
  trivet_value_t outputs[2];
  ASSERT_TRIVET_OK(trivet_network_add_loop(network(), trips, 0, &x, 1, body, 2, "loop", outputs));
  runner_.Output(outputs[0]);
  ASSERT_TRUE(Run(outputs[1]));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{8, 24}));
  EXPECT_EQ(runner_.shape(1), (Dims{3, 2}));
  EXPECT_EQ(runner_.Result<float>(1), (Floats{1, 3, 2, 6, 4, 12}));
}

TEST_F(Layers, IfWithAKnownCondition) {
  trivet_value_t x = runner_.Input<float>({2}, {1, 3});
  trivet_value_t yes = MADE(trivet_network_add_scalar(network(), TRIVET_DTYPE_BOOL, 1, out));
  uint32_t bodies[2] = {0, 0};
  const uint32_t kinds[2] = {TRIVET_UNARY_NEGATE, TRIVET_UNARY_EXP};
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRIVET_OK(trivet_network_begin_body(network(), i ? "else" : "then", &bodies[i]));
    trivet_value_t made = MADE(trivet_network_add_unary(network(), x, kinds[i], nullptr, out));
    ASSERT_TRIVET_OK(trivet_network_mark_output(network(), made, "result"));
    ASSERT_TRIVET_OK(trivet_network_end_body(network()));
  }
  ASSERT_TRUE(
      Run(MADE(trivet_network_add_if(network(), yes, bodies[0], bodies[1], 1, "choice", out))));
  EXPECT_EQ(runner_.Result<float>(0), (Floats{-1, -3}));
}

// --- Errors -------------------------------------------------------------------------------------

TEST_F(Layers, ErrorsNameTheCall) {
  trivet_value_t x = runner_.Input<float>({2, 2}, {1, 2, 3, 4}), untouched = 77;
  EXPECT_EQ(TakeMessage(trivet_network_add_unary(network(), x, 77, nullptr, &untouched)),
            "add_unary: there is no kind 77, the last one is 25");
  EXPECT_EQ(TakeMessage(trivet_network_add_convolution(network(), x, x, 0, 1, nullptr, nullptr,
                                                       &untouched)),
            "add_convolution: rank 2 of x is not 3 .. 10");
  EXPECT_EQ(TakeMessage(trivet_network_add_scale(network(), x, x, 0, 0, 5, nullptr, &untouched)),
            "add_scale: axis 5 of a value of rank 2");
  EXPECT_EQ(TakeMessage(trivet_network_add_matmul(network(), 99, 0, x, 0, nullptr, &untouched)),
            "add_matmul: there is no value 99");
  EXPECT_EQ(TakeMessage(trivet_network_add_transpose(nullptr, x, nullptr, nullptr, &untouched)),
            "add_transpose needs a network and a place for its result");
  EXPECT_EQ(TakeMessage(trivet_network_add_scalar(network(), TRIVET_DTYPE_STRING, 1, &untouched)),
            "add_scalar: type string holds no number");
  EXPECT_EQ(untouched, 77u);
}

}  // namespace
