// SPDX-License-Identifier: Apache-2.0
//
// Convolutions, matrix products and pools by oneDNN beside the plain evaluator: post-operations,
// packed weights, sums in chunks; what is declined, and blobs that must be refused.
#include "plugins/cpu_onednn/onednn_build.h"
#include "plugins/cpu_onednn/onednn_call.h"
#include "plugins/cpu_onednn/onednn_problem.h"
#include "plugins/cpu_onednn/onednn_run.h"
#include "tests/unit/plugins/cpu_onednn/onednn_test_util.h"

namespace {

trivet_kernel_t Kernel(const uint32_t* kinds) {
  trivet_kernel_t kernel = {};
  kernel.name = "cpu_onednn.test";
  kernel.self = const_cast<uint32_t*>(kinds);
  kernel.propose = onednn_propose;
  kernel.emit = onednn_emit;
  kernel.load = onednn_load;
  kernel.unload = onednn_unload;
  kernel.prepare = onednn_prepare;
  kernel.release = onednn_release;
  kernel.run = onednn_run;
  return kernel;
}

const uint32_t kAll[5] = {0, 1, 1, 1, 1};
const uint32_t kPoolsOnly[5] = {0, 0, 0, 0, 1};
const trivet_kernel_t kAny = Kernel(kAll);
const trivet_kernel_t kPool = Kernel(kPoolsOnly);

class OnednnContraction : public OnednnTest {
 protected:
  void Product(int64_t rows, int64_t terms, int64_t columns, const std::string& post = "",
               const std::vector<std::string>& more = {}) {
    const std::string m = std::to_string(rows), k = std::to_string(terms),
                      n = std::to_string(columns);
    std::vector<std::string> types = {"f32[" + m + ", " + k + "]", "f32[" + k + ", " + n + "]"};
    types.insert(types.end(), more.begin(), more.end());
    ASSERT_TRUE(Make(types, "f32[" + m + ", " + n + "]",
                     "let s[i: " + m + ", j: " + n + "] = sum(r: " + k +
                         "){ a[i, r] * b[r, j] }\ny[i, j] = s[i, j]" + post))
        << error_;
    SetLayouts();
  }
};

TEST_F(OnednnContraction, ProductWithPackedWeightsAndPostOperations) {
  constants_[1] = Random({48, 32}, 2);
  Product(7, 48, 32, " * 0.5 + c[j]", {"f32[32]"});
  EXPECT_LT(Compare(kAny, {Random({7, 48}, 1), constants_[1], Random({32}, 3)}), 3e-7);
  EXPECT_EQ(step_.operands[0], 0);
}

TEST_F(OnednnContraction, LongSumsInChunks) {
  // 16 rows: chunks of the operand are gathered. One row: they are looked at in place.
  for (int64_t rows : {16, 1}) {
    constants_[1] = Random({1280, 64}, 5);
    Product(rows, 1280, 64, " + c[j]", {"f32[64]"});
    EXPECT_LT(Compare(kAny, {Random({rows, 1280}, 4), constants_[1], Random({64}, 6)}), 5e-7);
    ASSERT_EQ(step_.tactics.size(), 1u);
    EXPECT_NE(step_.tactics[0].find("sums of 640"), std::string::npos) << step_.tactics[0];
    ASSERT_EQ(step_.operands.size(), 4u);
    EXPECT_EQ(step_.operands[1], -2);
  }
}

TEST_F(OnednnContraction, ChunksAddToWhatTheEpilogueReadsLast) {
  constants_[1] = Random({512, 32}, 5);
  Product(8, 512, 32, " + c[i, j]", {"f32[8, 32]"});
  EXPECT_LT(Compare(kAny, {Random({8, 512}, 4), constants_[1], Random({8, 32}, 6)}), 5e-7);
}

TEST_F(OnednnContraction, ProductOfComputedMatrices) {
  Product(9, 30, 11);
  EXPECT_LT(Compare(kAny, {Random({9, 30}, 1), Random({30, 11}, 2)}), 3e-7);
  ASSERT_TRUE(Make({"f32[3, 4, 8]", "f32[3, 6, 8]"}, "f32[3, 4, 6]",
                   "y[h, i, j] = sum(r: 8){ a[h, i, r] * b[h, j, r] }"));
  SetLayouts();
  EXPECT_LT(Compare(kAny, {Random({3, 4, 8}, 1), Random({3, 6, 8}, 2)}), 3e-7);
}

TEST_F(OnednnContraction, ConvolutionWithBiasAndRelu) {
  constants_[1] = Random({16, 8, 3, 3}, 2);
  ASSERT_TRUE(Make({"f32[2, 8, 9, 7]", "f32[16, 8, 3, 3]", "f32[16]"}, "f32[2, 16, 9, 7]",
                   "let s[n: 2, o: 16, h: 9, w: 7] = sum(i: 8, p: 3, q: 3){ a[n, i, h + p - 1, w + "
                   "q - 1; pad = 0] * b[o, i, p, q] }\n"
                   "y[n, o, h, w] = max(s[n, o, h, w] + c[o], 0)"))
      << error_;
  SetLayouts();
  EXPECT_LT(Compare(kAny, {Random({2, 8, 9, 7}, 1), constants_[1], Random({16}, 3)}), 5e-7);
}

// A product of pixels and channels is a convolution, also where the batch is the number 1 and
// therefore no dimension of the product: else it would want another order of the image than its
// neighbours.
TEST_F(OnednnContraction, WindowsOfOne) {
  for (int64_t batch : {1, 2}) {
    const std::string n = std::to_string(batch);
    constants_[1] = Random({16, 8, 1, 1}, 2);
    ASSERT_TRUE(Make({"f32[" + n + ", 8, 9, 7]", "f32[16, 8, 1, 1]", "f32[16]"},
                     "f32[" + n + ", 16, 9, 7]",
                     "let s[n: " + n +
                         ", o: 16, h: 9, w: 7] = sum(i: 8){ a[n, i, h, w] * b[o, i, "
                         "0, 0] }\n"
                         "y[n, o, h, w] = max(s[n, o, h, w] + c[o], 0)"))
        << error_;
    SetLayouts();
    EXPECT_LT(Compare(kAny, {Random({batch, 8, 9, 7}, 1), constants_[1], Random({16}, 3)}), 5e-7);
    onednn_problem_t problem;
    ASSERT_EQ(step_.blob.size(), sizeof(problem));
    memcpy(&problem, step_.blob.data(), sizeof(problem));
    EXPECT_EQ(problem.kind, static_cast<uint32_t>(ONEDNN_CONVOLUTION));
  }
}

TEST_F(OnednnContraction, MaximumAndAverageOfWindows) {
  ASSERT_TRUE(Make({"f32[2, 16, 8, 8]", "f32[1]"}, "f32[2, 16, 4, 4]",
                   "y[n, k, h, w] = max(p: 2, q: 2){ a[n, k, h * 2 + p, w * 2 + q] }"))
      << error_;
  SetLayouts();
  EXPECT_EQ(Compare(kAny, {Random({2, 16, 8, 8}, 1), Random({1}, 2)}), 0);
  ASSERT_TRUE(Make({"f32[2, 16, 8, 8]", "f32[1]"}, "f32[2, 16, 4, 4]",
                   "y[n, k, h, w] = sum(p: 2, q: 2){ a[n, k, h * 2 + p, w * 2 + q] } / 4.0"))
      << error_;
  SetLayouts();
  EXPECT_LT(Compare(kAny, {Random({2, 16, 8, 8}, 1), Random({1}, 2)}), 2e-7);
}

TEST_F(OnednnContraction, Declines) {
  Product(4, 8, 6);
  EXPECT_EQ(Propose(kPool), "another primitive");
  Product(4, 8, 6, " * cos(s[i, j])");
  EXPECT_EQ(Propose(kAny), "the epilogue holds a function that is not known");
  Product(4, 8, 6,
          " * 0.5 * (1 + tanh(0.7978845608028654 * (s[i, j] + 0.044715 * s[i, j] * "
          "s[i, j] * s[i, j])))");
  EXPECT_EQ(Propose(kAny), "the epilogue holds a function that oneDNN has not");
  ASSERT_TRUE(
      Make({"f16[4, 8]", "f16[8, 6]"}, "f16[4, 6]", "y[i, j] = sum(r: 8){ a[i, r] * b[r, j] }"));
  SetLayouts();
  EXPECT_EQ(Propose(kAny), "types other than f32");
}

TEST_F(OnednnContraction, RefusesBlobs) {
  constants_[1] = Random({512, 32}, 5);
  Product(8, 512, 32, " + c[j]", {"f32[32]"});
  ASSERT_EQ(Propose(kAny), "");
  ASSERT_EQ(Emit(kAny), "");
  onednn_problem_t good;
  ASSERT_EQ(step_.blob.size(), sizeof(good));
  memcpy(&good, step_.blob.data(), sizeof(good));
  ASSERT_EQ(good.postop_count, 1u);
  EXPECT_EQ(Message(onednn_problem_verify(&good, sizeof(good))), "");
  const struct {
    void (*change)(onednn_problem_t*);
    const char* message;
  } cases[] = {
      {[](onednn_problem_t* p) { p->magic = 0; }, "oneDNN step: not a problem of this version"},
      {[](onednn_problem_t* p) { p->kind = 9; }, "oneDNN step: kind 9"},
      {[](onednn_problem_t* p) { p->rank = 1; }, "oneDNN step: rank 1, 4 operands"},
      {[](onednn_problem_t* p) { p->rank = 3; }, "oneDNN step: 3 roles for rank 3"},
      {[](onednn_problem_t* p) { p->m_count = 77; }, "oneDNN step: roles"},
      {[](onednn_problem_t* p) { p->postop_count = 9; }, "oneDNN step: 9 post-operations"},
      {[](onednn_problem_t* p) { p->postops[0].kind = 7; },
       "oneDNN step: post-operation 0 of kind 7"},
      {[](onednn_problem_t* p) { p->postops[0].operand = 3; },
       "oneDNN step: operand of post-operation 0"},
      {[](onednn_problem_t* p) { p->postops[0].dims[1] = 200; },
       "oneDNN step: map of post-operation 0"},
      {[](onednn_problem_t* p) { p->chunk = 128; }, "oneDNN step: chunks of 128"},
      {[](onednn_problem_t* p) { p->packing.rank = 5; }, "oneDNN step: chunks of 256"},
      {[](onednn_problem_t* p) { p->packing.dims[0] = -1; }, "oneDNN step: chunks of 256"},
      {[](onednn_problem_t* p) { p->packing.strides[0] = 0; },
       "oneDNN step: extents of packed weights"},
      {[](onednn_problem_t* p) { p->packing.block_count = 99; },
       "oneDNN step: form of packed weights"},
      {[](onednn_problem_t* p) { memset(p->impl, 'x', sizeof(p->impl)); },
       "oneDNN step: name of the implementation"},
  };
  for (const auto& c : cases) {
    onednn_problem_t bad = good;
    c.change(&bad);
    EXPECT_EQ(Message(onednn_problem_verify(&bad, sizeof(bad))), c.message);
  }
}

}  // namespace
