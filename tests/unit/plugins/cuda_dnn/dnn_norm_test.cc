// SPDX-License-Identifier: Apache-2.0
//
// Normalisations as steps of cuDNN: which regions are taken and as what, what parameters say about
// tensors, what is refused. The library is not asked: what it computes is tested on a device.
#include <cstring>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_norm_match.h"
#include "tests/unit/core/target/region_test_util.h"

namespace {

class DnnNorm : public RegionTest {
 protected:
  // Operands dense in the graph's order, or |last| of them with their channels last. "" or the
  // reason.
  std::string Match(const std::vector<std::string>& types, const std::string& y,
                    const std::string& text, bool last = false) {
    match_ = {};
    if (!Make(types, y, text)) return error_;
    for (tvi_region_operand_t& operand : operands_) {
      const uint32_t rank = tvi_graph_value(graph_, operand.value)->type.rank;
      const tvi_layout_t layout =
          last && rank > 2 ? tvi_layout_channels_last(rank) : tvi_layout_plain();
      tvi_region_operand_set_dense(graph_, &operand, layout);
    }
    const char* reason = nullptr;
    std::string error = Message(dnn_norm_match(&region_, &arena_, &match_, &reason));
    return error.empty() && reason ? reason : error;
  }
  std::vector<int64_t> Parameters() const {
    std::vector<int64_t> numbers;
    for (trivet_dim_t dim : match_.parameters) {
      int64_t number = -1;
      EXPECT_TRUE(tvi_dim_is_constant(dim, &number));
      numbers.push_back(number);
    }
    return numbers;
  }
  dnn_norm_match_t match_ = {};
};

const char kLayer[] =
    "let m[p: 2, i: 3] = sum(r: 8){ f32(a[p, i, r]) } / 8.0\n"
    "let v[p: 2, i: 3] = sum(r: 8){ sq(f32(a[p, i, r]) - m[p, i]) } / 8.0\n"
    "y[p, i, j] = V((f32(a[p, i, j]) - m[p, i]) / sqrt(v[p, i] + 1e-5) * f32(b[j]) + f32(c[j]))";
const char kInstance[] =
    "let m[n: 2, u: 4] = sum(p: 3, q: 5){ f32(a[n, u, p, q]) } / 15.0\n"
    "let v[n: 2, u: 4] = sum(p: 3, q: 5){ sq(f32(a[n, u, p, q]) - m[n, u]) } / 15.0\n"
    "y[n, u, h, w] = V((f32(a[n, u, h, w]) - m[n, u]) / sqrt(v[n, u] + 1e-5) * f32(b[u]) + "
    "f32(c[u]))";

TEST_F(DnnNorm, Rows) {
  ASSERT_EQ(Match({"f16[2, 3, 8]", "f16[8]", "f16[8]"}, "f16[2, 3, 8]", kLayer), "");
  EXPECT_EQ(match_.problem.kind, static_cast<uint32_t>(DNN_NORM_LAYER));
  EXPECT_EQ(match_.problem.dtype, static_cast<uint32_t>(TRIVET_DTYPE_F16));
  EXPECT_EQ(match_.problem.has_shift, 1u);
  EXPECT_EQ(Parameters(), (std::vector<int64_t>{6, 8, 1}));
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(match_.region_operands[i], i);
  ASSERT_EQ(Match({"bf16[2, 3, 8]", "f32[8]", "f32[8]"}, "bf16[2, 3, 8]", kLayer), "");
  EXPECT_EQ(match_.problem.vector_dtype, static_cast<uint32_t>(TRIVET_DTYPE_F32));
  ASSERT_EQ(Match({"f16[3, 8]", "f16[8]"}, "f16[3, 8]",
                  "let s[i: 3] = sum(r: 8){ sq(f32(a[i, r])) } / 8.0\n"
                  "y[i, j] = V(f32(a[i, j]) / sqrt(s[i] + 1e-6) * f32(b[j]))"),
            "");
  EXPECT_EQ(match_.problem.kind, static_cast<uint32_t>(DNN_NORM_RMS));
  EXPECT_EQ(match_.region_operands[2], 2u);
  EXPECT_EQ(dnn_norm_operand_count(&match_.problem), 3u);
}

TEST_F(DnnNorm, Planes) {
  for (bool last : {false, true}) {
    ASSERT_EQ(Match({"f16[2, 4, 3, 5]", "f16[4]", "f16[4]"}, "f16[2, 4, 3, 5]", kInstance, last),
              "");
    EXPECT_EQ(match_.problem.kind, static_cast<uint32_t>(DNN_NORM_INSTANCE));
    EXPECT_EQ(match_.problem.channels_last, last ? 1u : 0u);
    EXPECT_EQ(Parameters(), (std::vector<int64_t>{2, 4, 15}));
  }
}

TEST_F(DnnNorm, LeavesOthers) {
  EXPECT_EQ(Match({"f16[2, 3, 8]", "f16[8]", "f16[8]"}, "f32[2, 3, 8]", kLayer),
            "types other than f16, bf16 and f32, or a result of another one");
  EXPECT_EQ(Match({"f16[2, 3, 8]", "bf16[8]", "bf16[8]"}, "f16[2, 3, 8]", kLayer),
            "a scale of another type");
  EXPECT_EQ(Match({"f16[2, 3, 8]", "f16[8]", "f16[8]"}, "f16[2, 3, 8]", kLayer, true),
            "an operand with gaps, or in another memory order");
  EXPECT_EQ(Match({"f32[3, 8]", "f32[1]"}, "f32[3, 8]",
                  "let m[i: 3] = max(r: 8){ a[i, r] }\n"
                  "let s[i: 3] = sum(r: 8){ exp(a[i, r] - m[i]) }\n"
                  "y[i, j] = exp(a[i, j] - m[i]) / s[i]"),
            "neither a layer, nor an RMS, nor an instance normalisation");
}

dnn_norm_t Problem(uint32_t kind) {
  dnn_norm_t p;
  memset(&p, 0, sizeof(p));
  p.magic = DNN_NORM_MAGIC;
  p.version = DNN_NORM_VERSION;
  p.kind = kind;
  p.dtype = TRIVET_DTYPE_F16;
  p.vector_dtype = TRIVET_DTYPE_F32;
  p.has_shift = 1;
  p.epsilon = 1e-5;
  return p;
}

bool Refused(trivet_status_t status) {
  const bool is = trivet_status_code(status) == TRIVET_STATUS_DATA_LOSS;
  trivet_status_free(status);
  return is;
}

TEST(DnnNormProblem, TensorsFollowParameters) {
  const uint64_t alignments[DNN_NORM_OPERANDS] = {256, 4, 0, 8};
  dnn_norm_t p = Problem(DNN_NORM_INSTANCE);
  dnn_norm_shape_t shape;
  const int64_t parameters[] = {2, 4, 15};
  auto is = [&shape](uint32_t operand, std::vector<int64_t> dims, std::vector<int64_t> strides) {
    for (uint32_t d = 0; d < 4; ++d) {
      EXPECT_EQ(shape.tensors[operand].dims[d], dims[d]) << operand << " " << d;
      EXPECT_EQ(shape.tensors[operand].strides[d], strides[d]) << operand << " " << d;
    }
  };
  ASSERT_EQ(dnn_norm_describe(&p, parameters, alignments, &shape), nullptr);
  is(DNN_NORM_X, {2, 4, 15, 1}, {60, 15, 1, 1});
  is(DNN_NORM_SCALE, {1, 4, 1, 1}, {4, 1, 1, 1});
  EXPECT_EQ(shape.tensors[DNN_NORM_X].alignment, 16u);
  EXPECT_EQ(shape.tensors[DNN_NORM_SCALE].alignment, 4u);
  EXPECT_EQ(shape.tensors[DNN_NORM_SHIFT].alignment, 16u);
  EXPECT_EQ(shape.tensors[DNN_NORM_RESULT].alignment, 8u);
  EXPECT_EQ(shape.tensors[DNN_NORM_SCALE].dtype, static_cast<uint32_t>(TRIVET_DTYPE_F32));
  uint64_t key[2], other[2];
  dnn_norm_key(&p, &shape, key);
  p.channels_last = 1;
  ASSERT_EQ(dnn_norm_describe(&p, parameters, alignments, &shape), nullptr);
  is(DNN_NORM_RESULT, {2, 4, 15, 1}, {60, 1, 4, 4});
  dnn_norm_key(&p, &shape, other);
  EXPECT_NE(key[0], other[0]);
  p = Problem(DNN_NORM_LAYER);
  EXPECT_TRUE(Refused(dnn_norm_describe(&p, parameters, alignments, &shape)));
  const int64_t rows[] = {6, 8, 1};
  ASSERT_EQ(dnn_norm_describe(&p, rows, alignments, &shape), nullptr);
  is(DNN_NORM_X, {6, 8, 1, 1}, {8, 1, 8, 8});
}

TEST(DnnNormProblem, NumbersAreChecked) {
  const uint64_t alignments[DNN_NORM_OPERANDS] = {};
  const dnn_norm_t p = Problem(DNN_NORM_INSTANCE);
  dnn_norm_shape_t shape;
  for (uint32_t i = 0; i < DNN_NORM_PARAMETERS; ++i) {
    for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MAX}) {
      int64_t parameters[] = {2, 4, 15};
      parameters[i] = bad;
      EXPECT_TRUE(Refused(dnn_norm_describe(&p, parameters, alignments, &shape))) << i;
    }
  }
  const int64_t large[] = {1 << 30, 1 << 30, 1 << 30};
  EXPECT_TRUE(Refused(dnn_norm_describe(&p, large, alignments, &shape)));
}

TEST(DnnNormProblem, BlobsAreChecked) {
  const dnn_norm_t good = Problem(DNN_NORM_RMS);
  ASSERT_EQ(dnn_norm_verify(&good, sizeof(good)), nullptr);
  EXPECT_TRUE(Refused(dnn_norm_verify(&good, sizeof(good) - 1)));
  EXPECT_TRUE(Refused(dnn_norm_verify(&good, sizeof(good) + 1)));
  auto refuses = [&good](auto change) {
    dnn_norm_t p = good;
    change(&p);
    return Refused(dnn_norm_verify(&p, sizeof(p)));
  };
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->magic = 0; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { ++p->version; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->kind = 0; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->kind = 4; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->dtype = TRIVET_DTYPE_I32; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->vector_dtype = TRIVET_DTYPE_BF16; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->has_shift = 2; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->candidate = DNN_MAX_CANDIDATES; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->epsilon = NAN; }));
  EXPECT_TRUE(refuses([](dnn_norm_t* p) { p->plan.size = 8; }));
}

}  // namespace
