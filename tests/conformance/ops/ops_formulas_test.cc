// SPDX-License-Identifier: Apache-2.0
//
// Standard operators against plain loops written here: geometry that the published cases leave out
// (groups with dilation, uneven padding, ceil mode, symbolic extents) and large reshapes and
// slices.
#include <gtest/gtest.h>

#include <functional>

#include "tests/conformance/ops/ops_harness.h"

namespace {

using ops_test::Attribute;
using ops_test::Case;
using ops_test::Tensor;

int64_t count_of(const std::vector<int64_t>& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

// Values that no two places share and that sum without rounding.
Tensor floats(const std::vector<int64_t>& dims, int seed = 1) {
  Tensor t;
  t.present = true;
  t.dtype = TRIVET_DTYPE_F32;
  t.dims = dims;
  t.bytes.resize(static_cast<size_t>(count_of(dims)) * sizeof(float));
  float* data = reinterpret_cast<float*>(t.bytes.data());
  for (int64_t i = 0; i < count_of(dims); ++i)
    data[i] = static_cast<float>((i * 37 + seed * 11) % 64 - 31) / 8.0f;
  return t;
}
Tensor ints(const std::vector<int64_t>& values) {
  Tensor t;
  t.present = true;
  t.dtype = TRIVET_DTYPE_I64;
  t.dims = {static_cast<int64_t>(values.size())};
  t.bytes.resize(values.size() * sizeof(int64_t));
  memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}
float at(const Tensor& t, const std::vector<int64_t>& index) {
  int64_t i = 0;
  for (size_t d = 0; d < index.size(); ++d) i = i * t.dims[d] + index[d];
  return reinterpret_cast<const float*>(t.bytes.data())[i];
}
// A result whose element at each position is f(position).
Tensor filled(const std::vector<int64_t>& dims,
              const std::function<double(const std::vector<int64_t>&)>& f) {
  Tensor t = floats(dims);
  std::vector<int64_t> index(dims.size(), 0);
  for (int64_t i = 0; i < count_of(dims); ++i) {
    reinterpret_cast<float*>(t.bytes.data())[i] = static_cast<float>(f(index));
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < dims[d]) break;
      index[d] = 0;
    }
  }
  return t;
}
Attribute list(const char* name, std::vector<int64_t> values) {
  Attribute a;
  a.name = name;
  a.kind = TRIVET_ATTR_I64;
  a.list = 1;
  a.ints = std::move(values);
  return a;
}
Attribute number(const char* name, int64_t value) {
  Attribute a = list(name, {value});
  a.list = 0;
  return a;
}

class OpsFormulas : public ops_test::OpsTest {
 protected:
  void expect(const char* op, std::vector<Tensor> inputs, std::vector<Attribute> attributes,
              std::vector<Tensor> outputs) {
    Case c;
    c.name = c.op = op;
    c.rtol = 1e-5;
    c.atol = 1e-5;
    c.inputs = std::move(inputs);
    c.attributes = std::move(attributes);
    c.outputs = std::move(outputs);
    for (bool symbolic : {false, true}) {
      bool unsupported = false;
      EXPECT_EQ(run(c, symbolic, &unsupported), "") << op << (symbolic ? ", symbolic extents" : "");
    }
  }
};

struct ConvShape {
  std::vector<int64_t> x, w;
  int64_t group;
  std::vector<int64_t> pads, strides, dilations;
};

TEST_F(OpsFormulas, ConvolutionIsTheSumOverItsWindow) {
  for (const ConvShape& s : std::vector<ConvShape>{
           {{2, 6, 9, 7}, {4, 3, 3, 2}, 2, {1, 0, 2, 1}, {2, 1}, {1, 2}},
           {{1, 8, 11, 11}, {8, 1, 3, 3}, 8, {1, 1, 1, 1}, {1, 1}, {1, 1}},
           {{1, 3, 8, 8}, {5, 3, 1, 1}, 1, {0, 0, 0, 0}, {1, 1}, {1, 1}},
           {{3, 4, 17}, {6, 2, 5}, 2, {4, 0}, {3}, {2}},
       }) {
    Tensor x = floats(s.x), w = floats(s.w, 2), b = floats({s.w[0]}, 3);
    size_t n = s.strides.size();
    std::vector<int64_t> out = {s.x[0], s.w[0]};
    for (size_t i = 0; i < n; ++i)
      out.push_back(
          (s.x[i + 2] + s.pads[i] + s.pads[n + i] - (s.w[i + 2] - 1) * s.dilations[i] - 1) /
              s.strides[i] +
          1);
    std::vector<int64_t> window(s.w.begin() + 2, s.w.end());
    Tensor y = filled(out, [&](const std::vector<int64_t>& o) {
      double sum = at(b, {o[1]});
      for (int64_t c = 0; c < s.w[1]; ++c) {
        for (int64_t k = 0; k < count_of(window); ++k) {
          std::vector<int64_t> from = {o[0], o[1] / (s.w[0] / s.group) * s.w[1] + c},
                               weight = {o[1], c};
          bool inside = true;
          int64_t rest = k;
          std::vector<int64_t> place(n);
          for (size_t i = n; i-- > 0; rest /= window[i]) place[i] = rest % window[i];
          for (size_t i = 0; i < n; ++i) {
            from.push_back(o[i + 2] * s.strides[i] + place[i] * s.dilations[i] - s.pads[i]);
            weight.push_back(place[i]);
            inside = inside && from.back() >= 0 && from.back() < s.x[i + 2];
          }
          if (inside) sum += static_cast<double>(at(x, from)) * at(w, weight);
        }
      }
      return sum;
    });
    expect("Conv", {x, w, b},
           {number("group", s.group), list("pads", s.pads), list("strides", s.strides),
            list("dilations", s.dilations)},
           {y});
  }
}

TEST_F(OpsFormulas, TransposedConvolutionScattersItsWindow) {
  const int64_t group = 2, in = 4, per_group = 3, sy = 2, sx = 3;
  Tensor x = floats({2, in, 4, 5}), w = floats({in, per_group, 3, 2}, 2);
  std::vector<int64_t> pads = {1, 0, 0, 1},
                       out = {2, per_group * group, (4 - 1) * sy + 3 - 1, (5 - 1) * sx + 2 - 1};
  std::vector<double> sum(static_cast<size_t>(count_of(out)), 0);
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t c = 0; c < in; ++c) {
      for (int64_t h = 0; h < 4; ++h) {
        for (int64_t v = 0; v < 5; ++v) {
          for (int64_t o = 0; o < per_group; ++o) {
            for (int64_t p = 0; p < 3; ++p) {
              for (int64_t q = 0; q < 2; ++q) {
                int64_t y = h * sy + p - pads[0], z = v * sx + q - pads[1],
                        ch = c / (in / group) * per_group + o;
                if (y < 0 || y >= out[2] || z < 0 || z >= out[3]) continue;
                sum[static_cast<size_t>(((n * out[1] + ch) * out[2] + y) * out[3] + z)] +=
                    static_cast<double>(at(x, {n, c, h, v})) * at(w, {c, o, p, q});
              }
            }
          }
        }
      }
    }
  }
  size_t i = 0;
  expect("ConvTranspose", {x, w},
         {number("group", group), list("pads", pads), list("strides", {sy, sx})},
         {filled(out, [&](const std::vector<int64_t>&) { return sum[i++]; })});
}

TEST_F(OpsFormulas, PoolsSeeOnlyWhatIsThere) {
  Tensor x = floats({2, 3, 10, 9});
  // Window 3x2, strides 3x2, dilations 2x1, padding 1 0 2 1, ceil mode: last windows reach past the
  // padding.
  const int64_t pads[] = {1, 0, 2, 1}, in[] = {10, 9}, kernel[] = {3, 2}, stride[] = {3, 2},
                dilation[] = {2, 1};
  std::vector<int64_t> out = {2, 3};
  for (int i = 0; i < 2; ++i) {
    int64_t room = in[i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilation[i] - 1,
            n = (room + stride[i] - 1) / stride[i] + 1;
    if ((n - 1) * stride[i] >= in[i] + pads[i]) --n;
    out.push_back(n);
  }
  for (int kind = 0; kind < 3;
       ++kind) {  // largest, mean of what is inside, mean of what is inside or padding
    Tensor y = filled(out, [&](const std::vector<int64_t>& o) {
      double best = -INFINITY, sum = 0, count = 0;
      for (int64_t p = 0; p < kernel[0]; ++p) {
        for (int64_t q = 0; q < kernel[1]; ++q) {
          int64_t h = o[2] * stride[0] + p * dilation[0] - pads[0],
                  w = o[3] * stride[1] + q * dilation[1] - pads[1];
          bool inside = h >= 0 && h < in[0] && w >= 0 && w < in[1];
          bool padded =
              h >= -pads[0] && h < in[0] + pads[2] && w >= -pads[1] && w < in[1] + pads[3];
          if (inside) best = std::max(best, static_cast<double>(at(x, {o[0], o[1], h, w})));
          if (inside) sum += at(x, {o[0], o[1], h, w});
          count += kind == 2 ? padded : inside;
        }
      }
      return kind ? sum / count : best;
    });
    std::vector<Attribute> a = {list("kernel_shape", {3, 2}), list("strides", {3, 2}),
                                list("dilations", {2, 1}), list("pads", {1, 0, 2, 1}),
                                number("ceil_mode", 1)};
    if (kind == 2) a.push_back(number("count_include_pad", 1));
    expect(kind ? "AveragePool" : "MaxPool", {x}, a, {y});
  }
}

TEST_F(OpsFormulas, ReshapesKeepTheOrderOfElements) {
  struct Shapes {
    std::vector<int64_t> from, shape, to;
  };
  for (const Shapes& s : std::vector<Shapes>{
           {{4, 6, 5}, {8, 3, 5}, {8, 3, 5}},
           {{4, 6, 5}, {0, -1}, {4, 30}},
           {{6, 10}, {4, 15}, {4, 15}},
           {{7, 12, 3}, {0, 3, 4, 3}, {7, 3, 4, 3}},
           {{3, 1, 4, 1, 5}, {-1, 5}, {12, 5}},
           {{1, 1}, {-1}, {1}},
           {{9, 4, 8}, {-1, 16}, {18, 16}},
       }) {
    Tensor x = floats(s.from), y = x;
    y.dims = s.to;
    expect("Reshape", {x, ints(s.shape)}, {}, {y});
  }
}

TEST_F(OpsFormulas, SlicesCountFromBothEnds) {
  Tensor x = floats({7, 10, 4});
  expect("Slice", {x, ints({-2, 8}), ints({-8, 1}), ints({0, -2}), ints({-2, -3})}, {},
         {filled({3, 3, 4}, [&](const std::vector<int64_t>& i) {
           return at(x, {5 - 2 * i[0], 8 - 3 * i[1], i[2]});
         })});
  expect("Slice", {x, ints({2, 1}), ints({INT64_MAX, -1}), ints({1, 0})}, {},
         {filled({5, 8, 4}, [&](const std::vector<int64_t>& i) {
           return at(x, {i[0] + 1, i[1] + 2, i[2]});
         })});
  expect("Slice", {x, ints({5}), ints({2}), ints({1})}, {}, {floats({7, 0, 4})});
}

TEST_F(OpsFormulas, MatricesBroadcastTheirBatches) {
  Tensor a = floats({3, 1, 5, 6}), b = floats({4, 6, 7}, 2);
  expect("MatMul", {a, b}, {}, {filled({3, 4, 5, 7}, [&](const std::vector<int64_t>& i) {
           double sum = 0;
           for (int64_t k = 0; k < 6; ++k)
             sum += static_cast<double>(at(a, {i[0], 0, i[2], k})) * at(b, {i[1], k, i[3]});
           return sum;
         })});
}

TEST_F(OpsFormulas, ConcatenationAndSplitAreInverse) {
  Tensor whole = floats({3, 11, 5});
  std::vector<int64_t> sizes = {4, 1, 6};
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    parts.push_back(filled({3, size, 5}, [&](const std::vector<int64_t>& i) {
      return at(whole, {i[0], begin + i[1], i[2]});
    }));
    begin += size;
  }
  expect("Concat", parts, {number("axis", -2)}, {whole});
  expect("Split", {whole, ints(sizes)}, {number("axis", 1)}, parts);
}

TEST_F(OpsFormulas, SoftmaxSumsToOne) {
  Tensor x = floats({4, 9, 6});
  expect("Softmax", {x}, {number("axis", 1)},
         {filled({4, 9, 6}, [&](const std::vector<int64_t>& i) {
           double sum = 0;
           for (int64_t k = 0; k < 9; ++k)
             sum += std::exp(static_cast<double>(at(x, {i[0], k, i[2]})));
           return std::exp(static_cast<double>(at(x, i))) / sum;
         })});
}

}  // namespace
