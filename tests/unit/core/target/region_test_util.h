// SPDX-License-Identifier: Apache-2.0
//
// A fixture that makes regions out of a line of kernel IR: for tests of what takes regions.
// Tests of kernels' build halves stand on it; it must not propose or judge anything.
#ifndef TRIVET_TESTS_UNIT_CORE_TARGET_REGION_TEST_UTIL_H_
#define TRIVET_TESTS_UNIT_CORE_TARGET_REGION_TEST_UTIL_H_

#include <cmath>

#include "core/registry/registry.h"
#include "core/target/target.h"
#include "tests/unit/core/kernel_ir/kir_test_util.h"

class RegionTest : public KirTest {
 protected:
  void TearDown() override {
    tvi_graph_destroy(graph_);
    tvi_registry_destroy(registry_);
    KirTest::TearDown();
  }
  // y = text over a, b, c, d; |scalar|: c is this constant instead of an operand. False: |error_|.
  bool Make(const std::vector<std::string>& types, const std::string& y, const std::string& text,
            double scalar = NAN) {
    return MakeMany(types, {y}, text, scalar);
  }
  // The same for results y, z, ... over operands a .. h.
  bool MakeMany(const std::vector<std::string>& types, const std::vector<std::string>& results,
                const std::string& text, double scalar = NAN) {
    std::string declaration = "op t.F/1 (";
    for (size_t i = 0; i < types.size(); ++i)
      declaration += std::string(i ? ", " : "") + "abcdefgh"[i] + ": " + "TUWXPQRS"[i] + "[*]";
    declaration += ") -> (";
    for (size_t i = 0; i < results.size(); ++i)
      declaration += std::string(i ? ", " : "") + "yzw"[i] + ": " + "VYZ"[i] + "[*]";
    declaration += ")\n";
    tvi_kir_program_t* p = Instantiate(declaration, types, {}, results, text);
    if (p == nullptr) return false;
    if (registry_ == nullptr) {
      tvi_registry_options_t options = {};
      EXPECT_EQ(Message(tvi_registry_create(&options, trivet_allocator_system(), &registry_)), "");
    }
    tvi_graph_destroy(graph_);
    EXPECT_EQ(Message(tvi_graph_create(registry_, trivet_allocator_system(), &graph_)), "");
    operands_.assign(types.size() + results.size(), {});
    auto result = static_cast<uint32_t>(types.size());
    for (uint32_t v = 0; v < p->value_count; ++v) {
      tvi_kir_value_t* value = &p->values[v];
      if (value->kind == TVI_KIR_TEMP) continue;
      bool output = value->kind == TVI_KIR_OUTPUT;
      uint32_t at = output ? result++ : value->tag;
      tvi_value_id_t id = 0;
      const bool is_scalar = !output && at == 2 && !std::isnan(scalar);
      if (is_scalar || (!output && constants_.count(at))) {
        Tensor t = is_scalar ? Tensor::Of(value->dtype, {}, {scalar}) : constants_[at];
        trivet_tensor_t view = t.View();
        EXPECT_EQ(Message(tvi_graph_add_constant(graph_, tvi_sv("c"), &view, true, &id)), "");
      } else {
        trivet_type_t type = {value->dtype, value->rank, {}};
        for (uint32_t d = 0; d < type.rank; ++d) {
          int64_t extent = 1;
          EXPECT_TRUE(tvi_dim_is_constant(value->dims[d], &extent));
          type.dims[d] = tvi_dim_constant(graph_->dims, extent);
        }
        std::string name = "v" + std::to_string(at);
        EXPECT_EQ(Message(tvi_graph_add_input(graph_, tvi_sv(name.c_str()), &type, &id)), "");
      }
      value->tag = id;
      operands_[at].value = id;
      operands_[at].is_output = output;
    }
    region_ = {};
    region_.graph = graph_;
    region_.input_count = static_cast<uint32_t>(types.size());
    region_.output_count = static_cast<uint32_t>(results.size());
    region_.operands = operands_.data();
    region_.program = p;
    return true;
  }
  std::map<uint32_t, Tensor> constants_;  // operands that Make makes constants of the graph
  trivet_graph_t* graph_ = nullptr;
  tvi_registry_t* registry_ = nullptr;
  std::vector<tvi_region_operand_t> operands_;
  trivet_region_t region_ = {};
};

#endif  // TRIVET_TESTS_UNIT_CORE_TARGET_REGION_TEST_UTIL_H_
