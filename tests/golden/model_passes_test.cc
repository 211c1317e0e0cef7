// SPDX-License-Identifier: Apache-2.0
//
// The default pipeline on real architectures: which operators remain, and that nothing takes time
// out of proportion. Weights are random bytes of a small file that is mapped again and again, so
// that no test needs the memory of a model.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass.h"
#include "core/registry/registry.h"

extern "C" const char* tvi_default_pipeline(void);  // codegen/build/build_internal.h

namespace {

// A number of pages that is prime: tensors do not come to lie on equal bytes.
constexpr uint64_t kPieceSize = 4096 * 4099, kPieces = 512;
const uint8_t* g_weights;

struct Source {
  trivet_source_t base;
  std::string path, bytes;
};
trivet_string_view_t Path(const trivet_source_t* s) {
  auto* source = reinterpret_cast<const Source*>(s);
  return {source->path.data(), source->path.size()};
}
const uint8_t* Bytes(const trivet_source_t* s, uint64_t* out_size) {
  auto* source = reinterpret_cast<const Source*>(s);
  *out_size = source->bytes.size();
  return reinterpret_cast<const uint8_t*>(source->bytes.data());
}
trivet_status_t Open(trivet_source_t*, trivet_string_view_t, const uint8_t** out_bytes,
                     uint64_t* out_size) {
  *out_bytes = g_weights;
  *out_size = kPieceSize * kPieces;
  return nullptr;
}
const char* Option(const trivet_source_t*, const char*) { return nullptr; }
const trivet_allocator_t* Allocator(const trivet_source_t*) { return nullptr; }
const trivet_source_api_t kSourceApi = {
    sizeof(trivet_source_api_t), TRIVET_ABI_MINOR, Path, Bytes, Open, Option, Allocator};

std::string Message(trivet_status_t status) {
  std::string text = status == nullptr ? "" : trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

struct Expectation {
  const char* name;
  const char* operators;  // what remains, with counts
};

class ModelPasses : public testing::TestWithParam<Expectation> {
 protected:
  static void SetUpTestSuite() {
    int file = memfd_create("weights", 0);
    ASSERT_GE(file, 0);
    std::vector<float> numbers(kPieceSize / sizeof(float));
    std::mt19937 random(1);
    for (float& number : numbers) number = (float)(random() % 65521 + 1) / 65536;
    ASSERT_EQ(write(file, numbers.data(), kPieceSize), (ssize_t)kPieceSize);
    void* all = mmap(nullptr, kPieceSize * kPieces, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(all, MAP_FAILED);
    for (uint64_t i = 0; i < kPieces; ++i) {
      void* at = static_cast<uint8_t*>(all) + i * kPieceSize;
      ASSERT_EQ(mmap(at, kPieceSize, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0), at);
    }
    close(file);
    g_weights = static_cast<const uint8_t*>(all);
  }
  static void TearDownTestSuite() { munmap(const_cast<uint8_t*>(g_weights), kPieceSize * kPieces); }

  void SetUp() override {
    const tvi_registry_options_t options = {TRIVET_HALF_BUILD | TRIVET_HALF_RUN, 0,
                                            tvi_pass_text_parser()};
    ASSERT_EQ(Message(tvi_registry_create(&options, trivet_allocator_system(), &registry_)), "");
    ASSERT_EQ(Message(tvi_registry_add(registry_, tvi_graph_core_operators, "core")), "");
    ASSERT_EQ(Message(tvi_registry_load(registry_, "plugins/ops_standard/ops_standard.so")), "");
    ASSERT_EQ(Message(tvi_registry_load(registry_, "plugins/onnx/onnx.so")), "");
    ASSERT_EQ(Message(tvi_registry_load(registry_, "passes/passes.so")), "");
    ASSERT_EQ(Message(tvi_graph_create(registry_, trivet_allocator_system(), &graph_)), "");
    trivet_graph_builder_t* builder = nullptr;
    ASSERT_EQ(Message(tvi_graph_builder_create(graph_, nullptr, &builder)), "");
    source_.path = "tests/models/skeletons/" + std::string(GetParam().name) + ".onnx";
    std::ifstream file(source_.path, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    source_.bytes = bytes.str();
    const trivet_frontend_t* frontend = tvi_registry_frontend(registry_, "onnx");
    ASSERT_NE(frontend, nullptr);
    const std::string error = Message(frontend->parse(frontend, &source_.base, builder));
    tvi_graph_builder_destroy(builder);
    ASSERT_EQ(error, "");
  }
  void TearDown() override {
    tvi_graph_destroy(graph_);
    tvi_registry_destroy(registry_);
  }

  // "Add 2 Conv 53".
  std::string Operators() const {
    std::map<std::string, int> counts;
    TVI_GRAPH_FOR_EACH_NODE(graph_, id) {
      const std::string name = tvi_graph_node(graph_, id)->op->definition->name;
      ++counts[name.substr(name.find('.') + 1)];
    }
    std::string text;
    for (const auto& each : counts) {
      text += (text.empty() ? "" : " ") + each.first + " " + std::to_string(each.second);
    }
    return text;
  }

  Source source_ = {{&kSourceApi}, "", ""};  // constants are views of its bytes
  tvi_registry_t* registry_ = nullptr;
  trivet_graph_t* graph_ = nullptr;
};

TEST_P(ModelPasses, LeaveWhatIsMeant) {
  tvi_pass_options_t options = {};
  options.verify = 1;
  options.stop_after = -1;
  tvi_pass_manager_t* manager = nullptr;
  ASSERT_EQ(
      Message(tvi_pass_manager_create(registry_, &options, trivet_allocator_system(), &manager)),
      "");
  const std::string error = Message(tvi_pass_manager_run(manager, tvi_default_pipeline(), graph_));
  // For a person who looks into a model: TRIVET_SHOW_PASSES=1.
  if (std::getenv("TRIVET_SHOW_PASSES")) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < tvi_pass_manager_record_count(manager); ++i) {
      const tvi_pass_record_t* record = tvi_pass_manager_record(manager, i);
      std::cout << record->name << ": " << record->runs << " runs, " << record->changes
                << " changes, " << record->nanoseconds / 1000 << " us\n";
      total += record->nanoseconds;
    }
    std::cout << "all passes: " << total / 1000 << " us\n";
    for (uint32_t i = 0; i < tvi_pass_manager_note_count(manager); ++i) {
      const tvi_pass_note_t* note = tvi_pass_manager_note(manager, i);
      if (note->declined) {
        std::cout << "declined: " << note->pass << ": "
                  << std::string(note->origin.data, note->origin.size) << ": "
                  << std::string(note->text.data, note->text.size) << "\n";
      }
    }
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, trivet_allocator_system());
    EXPECT_EQ(Message(tvi_graph_print(graph_, 0, &text)), "");
    std::cout << std::string(tvi_string_builder_view(&text).data,
                             tvi_string_builder_view(&text).size);
    tvi_string_builder_deinit(&text);
  }
  tvi_pass_manager_destroy(manager);
  ASSERT_EQ(error, "");
  EXPECT_EQ(Message(tvi_graph_verify(graph_)), "");
  EXPECT_EQ(Operators(), GetParam().operators);
}

INSTANTIATE_TEST_SUITE_P(
    Skeletons, ModelPasses,
    testing::Values(
        Expectation{"resnet50", "Add 16 Conv 53 Gemm 1 MaxPool 1 ReduceMean 1 Relu 49 Reshape 1"},
        Expectation{"resnet50_legacy",
                    "Add 16 Conv 53 Flatten 1 Gemm 1 GlobalAveragePool 1 MaxPool 1 Relu 49"},
        Expectation{"mobilenet_v2", "Add 10 Clip 35 Conv 52 Gemm 1 ReduceMean 1 Reshape 1"},
        Expectation{"efficientnet_b0",
                    "Add 9 Conv 81 Gemm 1 Mul 16 ReduceMean 17 Reshape 1 Sigmoid 16 Swish 49"},
        Expectation{"vit_b_16",
                    "Add 61 Concat 1 Expand 1 Gelu 12 Gemm 13 LayerNormalization 25 MatMul 61 "
                    "Mul 12 Reshape 76 Slice 37 Softmax 12 Transpose 85"},
        Expectation{"bert_base",
                    "Add 86 And 1 Cast 1 Concat 1 Equal 12 Expand 3 Gather 3 GatherElements 1 "
                    "GatherND 1 Gelu 12 GreaterOrEqual 1 LayerNormalization 25 MatMul 72 Range 2 "
                    "ReduceMax 12 Reshape 51 Slice 37 Softmax 12 Transpose 48 Unsqueeze 2 Where "
                    "13"},
        Expectation{"bert_base_legacy",
                    "Add 87 And 1 Cast 1 Expand 1 Flatten 1 Gather 4 GatherElements 1 Gelu 12 "
                    "GreaterOrEqual 1 LayerNormalization 25 MatMul 72 Mul 1 Range 2 Reshape 52 "
                    "Slice 37 Softmax 12 Transpose 48 Where 1"},
        Expectation{"gpt2",
                    "Add 37 And 1 Cast 1 Concat 3 CumSum 1 Equal 14 Expand 5 Gather 2 GatherND 2 "
                    "Gelu 12 Gemm 48 LayerNormalization 25 LessOrEqual 1 MatMul 25 Mul 12 Not 1 "
                    "Range 2 ReduceMax 12 Reshape 111 Slice 39 Softmax 12 Sub 2 Transpose 48 "
                    "Unsqueeze 5 Where 13"},
        Expectation{"llama_tiny_step",
                    "Add 8 Cast 1 Concat 11 Cos 1 Gather 1 MatMul 13 Mul 13 Neg 4 "
                    "RMSNormalization 5 Reshape 19 Sin 1 Slice 22 Softmax 2 Swish 2 Transpose 2 "
                    "Unsqueeze 6"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
