// SPDX-License-Identifier: Apache-2.0
//
// Softmax and normalisations by oneDNN beside the plain evaluator, what is declined, and blobs that
// must be refused.
#include "plugins/cpu_onednn/onednn_norm.h"
#include "plugins/cpu_onednn/onednn_call.h"

#include "tests/unit/plugins/cpu_onednn/onednn_test_util.h"

namespace {

trivet_kernel_t Kernel(const uint32_t* kind) {
  trivet_kernel_t kernel = {};
  kernel.name = "cpu_onednn.test";
  kernel.self = const_cast<uint32_t*>(kind);
  kernel.propose = onednn_norm_propose;
  kernel.emit = onednn_norm_emit;
  kernel.load = onednn_norm_load;
  kernel.unload = onednn_unload;
  kernel.prepare = onednn_norm_prepare;
  kernel.release = onednn_norm_release;
  kernel.run = onednn_norm_run;
  return kernel;
}

const uint32_t kSoftmaxKind = TVI_NORM_SOFTMAX, kLayerKind = TVI_NORM_LAYER,
               kBatchKind = TVI_NORM_BATCH;
const trivet_kernel_t kSoftmax = Kernel(&kSoftmaxKind);
const trivet_kernel_t kLayer = Kernel(&kLayerKind);
const trivet_kernel_t kBatch = Kernel(&kBatchKind);

class OnednnNorm : public OnednnTest {
 protected:
  void Softmax(const std::string& result = "exp(a[i, j] - m[i]) / s[i]") {
    ASSERT_TRUE(Make({"f32[6, 40]", "f32[1]"}, "f32[6, 40]",
                     "let m[i: 6] = max(r: 40){ a[i, r] }\n"
                     "let s[i: 6] = sum(r: 40){ exp(a[i, r] - m[i]) }\ny[i, j] = " +
                         result))
        << error_;
    SetLayouts();
  }
  void Layer() {
    ASSERT_TRUE(Make({"f32[5, 4, 24]", "f32[24]", "f32[24]"}, "f32[5, 4, 24]",
                     "let m[i: 5, j: 4] = sum(r: 24){ a[i, j, r] } / 24.0\n"
                     "let v[i: 5, j: 4] = sum(r: 24){ sq(a[i, j, r] - m[i, j]) } / 24.0\n"
                     "y[i, j, k] = (a[i, j, k] - m[i, j]) / sqrt(v[i, j] + 1e-5) * b[k] + c[k]"))
        << error_;
    SetLayouts();
  }
  void Batch(bool channels_last) {
    ASSERT_TRUE(Make({"f32[2, 16, 3, 5]", "f32[16]", "f32[16]", "f32[16]", "f32[16]"},
                     "f32[2, 16, 3, 5]",
                     "y[n, k, h, w] = (a[n, k, h, w] - d[k]) / sqrt(e[k] + 1e-3) * b[k] + c[k]"))
        << error_;
    SetLayouts(channels_last);
  }
};

TEST_F(OnednnNorm, SoftmaxIsTheEvaluators) {
  Softmax();
  EXPECT_LT(Compare(kSoftmax, {Random({6, 40}, 1, -9, 9), Random({1}, 2)}), 2e-7);
  EXPECT_GT(step_.price, 1000);
}

TEST_F(OnednnNorm, LayerIsTheEvaluators) {
  Layer();
  EXPECT_LT(Compare(kLayer, {Random({5, 4, 24}, 2), Random({24}, 3), Random({24}, 4)}), 2e-7);
}

TEST_F(OnednnNorm, BatchIsTheEvaluators) {
  Batch(false);
  EXPECT_LT(Compare(kBatch, {Random({2, 16, 3, 5}, 5), Random({16}, 6), Random({16}, 7),
                             Random({16}, 8), Random({16}, 9, 0.1, 2)}),
            2e-7);
  Batch(true);
  EXPECT_EQ(Propose(kBatch), "");
}

TEST_F(OnednnNorm, Declines) {
  Softmax();
  EXPECT_EQ(Propose(kLayer), "another normalisation");
  operands_[0].dense = false;
  EXPECT_EQ(Propose(kSoftmax), "an operand with gaps, or in another memory order");
  Softmax("a[i, j] - m[i] - log(s[i])");
  EXPECT_EQ(Propose(kSoftmax),
            "the logarithm of a softmax, which the library gives with seven times the error");
  Layer();
  SetLayouts(true);
  EXPECT_EQ(Propose(kLayer), "an operand with gaps, or in another memory order");
}

TEST_F(OnednnNorm, NothingToCompute) {
  Layer();
  ASSERT_EQ(Propose(kLayer), "");
  ASSERT_EQ(Emit(kLayer), "");
  std::vector<Tensor> empty = {Random({0, 4, 24}, 1), Random({24}, 1), Random({24}, 1),
                               Random({0, 4, 24}, 1)};
  EXPECT_EQ(Execute(kLayer, &empty), "");
}

TEST_F(OnednnNorm, RefusesBlobsAndOperands) {
  Layer();
  ASSERT_EQ(Propose(kLayer), "");
  ASSERT_EQ(Emit(kLayer), "");
  onednn_norm_t good;
  ASSERT_EQ(step_.blob.size(), sizeof(good));
  memcpy(&good, step_.blob.data(), sizeof(good));
  EXPECT_EQ(Message(onednn_norm_verify(&good, sizeof(good))), "");
  EXPECT_EQ(Message(onednn_norm_verify(&good, sizeof(good) - 1)),
            "oneDNN normalisation: 31 bytes, not 32");
  const struct {
    uint32_t onednn_norm_t::*field;
    uint32_t value;
    const char* message;
  } cases[] = {
      {&onednn_norm_t::magic, 1, "oneDNN normalisation: not a problem of this version"},
      {&onednn_norm_t::version, 9, "oneDNN normalisation: not a problem of this version"},
      {&onednn_norm_t::kind, 2, "oneDNN normalisation: kind 2"},
      {&onednn_norm_t::kind, 7, "oneDNN normalisation: kind 7"},
      {&onednn_norm_t::rank, 99, "oneDNN normalisation: dimensions 2 and 1 of rank 99"},
      {&onednn_norm_t::first, 3, "oneDNN normalisation: dimensions 3 and 1 of rank 3"},
      {&onednn_norm_t::count, 0, "oneDNN normalisation: dimensions 2 and 0 of rank 3"},
      {&onednn_norm_t::count, UINT32_MAX,
       "oneDNN normalisation: dimensions 2 and 4294967295 of rank 3"},
      {&onednn_norm_t::first, 1, "oneDNN normalisation: operands of kind 3"},
      {&onednn_norm_t::present, 4, "oneDNN normalisation: operands of kind 3"},
  };
  for (const auto& c : cases) {
    onednn_norm_t bad = good;
    bad.*c.field = c.value;
    EXPECT_EQ(Message(onednn_norm_verify(&bad, sizeof(bad))), c.message);
  }
  onednn_norm_t bad = good;
  bad.epsilon = NAN;
  EXPECT_EQ(Message(onednn_norm_verify(&bad, sizeof(bad))), "oneDNN normalisation: epsilon");

  std::vector<Tensor> tensors = {Random({5, 4, 24}, 1), Random({23}, 1), Random({24}, 1),
                                 Random({5, 4, 24}, 1)};
  EXPECT_EQ(Execute(kLayer, &tensors), "oneDNN normalisation: operand 1 has 23 elements, not 24");
  tensors[1] = Random({24}, 1);
  tensors[3] = Random({5, 3, 24}, 1);
  EXPECT_EQ(Execute(kLayer, &tensors), "oneDNN normalisation: a result of another shape");
  tensors[3] = Random({20, 24}, 1);
  EXPECT_EQ(Execute(kLayer, &tensors), "oneDNN normalisation: rank 2");
  step_.operands.pop_back();
  EXPECT_EQ(Execute(kLayer, &tensors), "oneDNN normalisation: 3 operands, not 4");
}

}  // namespace
