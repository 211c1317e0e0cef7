// SPDX-License-Identifier: Apache-2.0
//
// Proves what every other test takes for granted: assertions are compiled in, multiplications and
// additions are not contracted, and the system libraries that the build names can be linked and
// answer.
#include <cassert>

#include <dnnl.h>
#include <gtest/gtest.h>

#include "third_party/onnx/onnx.pb-c.h"

namespace {

TEST(BuildSettings, AssertionsAreCompiledIn) {
  bool evaluated = false;
  assert((evaluated = true));
  EXPECT_TRUE(evaluated);
}

TEST(BuildSettings, ProductAndSumAreRoundedSeparately) {
  // (1 + e)^2 - 1 - 2e is e^2 when fused and 0 when the square is rounded first.
  volatile float one_plus = 1.0f + 0x1p-23f;
  volatile float minus = -1.0f - 0x1p-22f;
  float a = one_plus, c = minus;
  EXPECT_EQ(a * a + c, 0.0f);
}

TEST(BuildSettings, OneDnnAnswers) {
  const dnnl_version_t* version = dnnl_version();
  ASSERT_NE(version, nullptr);
  EXPECT_GE(version->major, 2);
}

TEST(BuildSettings, OnnxMessagesPackAndUnpack) {
  Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
  model.has_ir_version = 1;
  model.ir_version = 8;
  uint8_t bytes[16];
  size_t size = onnx__model_proto__pack(&model, bytes);
  ASSERT_LE(size, sizeof bytes);
  Onnx__ModelProto* read = onnx__model_proto__unpack(nullptr, size, bytes);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->ir_version, 8);
  onnx__model_proto__free_unpacked(read, nullptr);
}

}  // namespace
