// SPDX-License-Identifier: Apache-2.0
//
// The frontend beside the real graph and the standard operators, all loaded as an application loads
// them: real architectures become graphs that verify, with the shapes that their authors meant.
// Weights are address space without memory.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>
#include <sstream>
#include <string>

#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/graph/graph.h"
#include "core/registry/registry.h"

namespace {

struct Source {
  trivet_source_t base;
  std::string path, bytes;
};
constexpr uint64_t kRegionSize = uint64_t{8} << 30;
const uint8_t* g_region;

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
  *out_bytes = g_region;
  *out_size = kRegionSize;
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
  const char* outputs;
};

class OnnxSkeletonGraph : public testing::TestWithParam<Expectation> {
 protected:
  void SetUp() override {
    void* region =
        mmap(nullptr, kRegionSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(region, MAP_FAILED);
    g_region = static_cast<const uint8_t*>(region);
    tvi_registry_options_t options = {};
    options.halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN;
    options.operator_parser = tvi_graph_operator_parser();
    ASSERT_EQ(Message(tvi_registry_create(&options, trivet_allocator_system(), &registry_)), "");
    ASSERT_EQ(Message(tvi_registry_add(registry_, tvi_graph_core_operators, "core")), "");
    ASSERT_EQ(Message(tvi_registry_load(registry_, "plugins/ops_standard/ops_standard.so")), "");
    ASSERT_EQ(Message(tvi_registry_load(registry_, "plugins/onnx/onnx.so")), "");
    ASSERT_EQ(Message(tvi_graph_create(registry_, trivet_allocator_system(), &graph_)), "");
    ASSERT_EQ(Message(tvi_graph_builder_create(graph_, nullptr, &builder_)), "");
  }
  void TearDown() override {
    tvi_graph_builder_destroy(builder_);
    tvi_graph_destroy(graph_);
    tvi_registry_destroy(registry_);
    munmap(const_cast<uint8_t*>(g_region), kRegionSize);
  }
  // "name dtype[dims]" of every output.
  std::string Outputs() const {
    std::string text;
    for (uint32_t i = 0; i < graph_->output_count; ++i) {
      const trivet_type_t& type = tvi_graph_value(graph_, graph_->outputs[i].value)->type;
      text += (i ? "; " : "") +
              std::string(graph_->outputs[i].name.data, graph_->outputs[i].name.size) + " " +
              trivet_dtype_name(type.dtype) + "[";
      for (uint32_t d = 0; d < type.rank; ++d) {
        tvi_string_builder_t builder;
        tvi_string_builder_init(&builder, trivet_allocator_system());
        EXPECT_EQ(Message(tvi_dim_print(type.dims[d], &builder)), "");
        text += (d ? "," : "") + std::string(tvi_string_builder_view(&builder).data,
                                             tvi_string_builder_view(&builder).size);
        tvi_string_builder_deinit(&builder);
      }
      text += "]";
    }
    return text;
  }
  tvi_registry_t* registry_ = nullptr;
  trivet_graph_t* graph_ = nullptr;
  trivet_graph_builder_t* builder_ = nullptr;
};

TEST_P(OnnxSkeletonGraph, Verifies) {
  Source source = {
      {&kSourceApi}, "tests/models/skeletons/" + std::string(GetParam().name) + ".onnx", ""};
  std::ifstream file(source.path, std::ios::binary);
  ASSERT_TRUE(file.good());
  std::stringstream bytes;
  bytes << file.rdbuf();
  source.bytes = bytes.str();
  const trivet_frontend_t* frontend = tvi_registry_frontend(registry_, "onnx");
  ASSERT_NE(frontend, nullptr);
  EXPECT_GE(frontend->probe(frontend, &source.base), 90u);
  ASSERT_EQ(Message(frontend->parse(frontend, &source.base, builder_)), "");
  EXPECT_EQ(Message(tvi_graph_verify(graph_)), "");
  EXPECT_EQ(Outputs(), GetParam().outputs);
}

INSTANTIATE_TEST_SUITE_P(
    Skeletons, OnnxSkeletonGraph,
    testing::Values(
        Expectation{"resnet50", "y f32[batch,1000]"},
        Expectation{"resnet50_legacy", "y f32[batch,1000]"},
        Expectation{"mobilenet_v2", "y f32[batch,1000]"},
        Expectation{"efficientnet_b0", "y f32[batch,1000]"},
        Expectation{"vit_b_16", "y f32[batch,1000]"},
        Expectation{"bert_base", "y f32[batch,seq,768]"},
        Expectation{"bert_base_legacy", "y f32[batch,seq,768]"},
        Expectation{"bert_large", "y f32[batch,seq,1024]"},
        Expectation{"gpt2", "logits f32[batch,seq,50257]"},
        Expectation{"llama_tiny_step",
                    "logits f32[1,1,1000]; k f32[2,1,2,past + 1,32]; v f32[2,1,2,past + 1,32]"},
        Expectation{"llama_1b_step",
                    "logits f32[1,1,32000]; k f32[16,1,8,past + 1,64]; v f32[16,1,8,past + 1,64]"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
