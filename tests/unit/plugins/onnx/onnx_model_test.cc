// SPDX-License-Identifier: Apache-2.0
//
// Real architectures parse as they are: every node reaches the builder, no weight is copied. The
// weights themselves are not in the tree, so every external file is a region of address space
// without memory behind it; touching a weight would show as resident memory, copying it as copied
// bytes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>
#include <sstream>

#include "tests/unit/plugins/onnx/onnx_mock.h"

namespace {

struct Expectation {
  const char* name;
  uint64_t nodes;        // of the file, Constant nodes left out
  uint64_t least_views;  // bytes of weights
};

class OnnxModel : public testing::TestWithParam<Expectation> {};

TEST_P(OnnxModel, ParsesWithoutCopyingWeights) {
  std::ifstream file("tests/models/skeletons/" + std::string(GetParam().name) + ".onnx",
                     std::ios::binary);
  ASSERT_TRUE(file.good());
  std::stringstream bytes;
  bytes << file.rdbuf();
  OnnxMock mock;
  const uint64_t size = uint64_t{8} << 30;
  void* region = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(region, MAP_FAILED);
  mock.any_file = static_cast<const uint8_t*>(region);
  mock.any_file_size = size;
  mock.record = false;
  EXPECT_GE(mock.Probe(bytes.str()), 90u);
  EXPECT_EQ(mock.Parse(bytes.str(), "skeleton.onnx"), "");
  EXPECT_EQ(mock.nodes, GetParam().nodes);
  EXPECT_GE(mock.viewed, GetParam().least_views);
  EXPECT_LT(mock.copied, 4096u);
  EXPECT_LT(mock.scratch_bytes, uint64_t{16} << 20);
  munmap(region, size);
}

INSTANTIATE_TEST_SUITE_P(Skeletons, OnnxModel,
                         testing::Values(Expectation{"resnet50", 122, 100000000},
                                         Expectation{"resnet50_legacy", 169, 100000000},
                                         Expectation{"mobilenet_v2", 100, 13000000},
                                         Expectation{"efficientnet_b0", 239, 20000000},
                                         Expectation{"vit_b_16", 575, 340000000},
                                         Expectation{"bert_base", 540, 430000000},
                                         Expectation{"bert_base_legacy", 799, 430000000},
                                         Expectation{"bert_large", 1044, 1300000000},
                                         Expectation{"gpt2", 649, 490000000},
                                         Expectation{"llama_tiny_step", 149, 6000000},
                                         Expectation{"llama_1b_step", 1059, 4000000000}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
