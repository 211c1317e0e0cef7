// SPDX-License-Identifier: Apache-2.0
//
// Whatever a model asks of a standard operator ends in a result or in an error that says something:
// random operands, ranks, types and attributes go through inference, lowering and evaluation. Run
// under a sanitizer it also guards memory. Repeatable: the seed is fixed.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/arena.h"
#include "core/kernel_ir/operator_text.h"
#include "tests/conformance/ops/ops_harness.h"

namespace {

using ops_test::Attribute;
using ops_test::Tensor;

class OpsRobustness : public ops_test::OpsTest {
 protected:
  uint64_t draw(uint64_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return below ? (state_ >> 33) % below : 0;
  }

  int64_t number() {
    static const int64_t kOdd[] = {-1, 0,   1,    2,         3,         -2,      4,
                                   7,  100, -100, INT64_MAX, INT64_MIN, 1 << 20, -3};
    return draw(8) ? kOdd[draw(7)] : kOdd[draw(sizeof kOdd / sizeof kOdd[0])];
  }

  uint32_t dtype_of(const tvi_kir_operator_t* op, const tvi_kir_operand_t& operand,
                    std::vector<uint32_t>& variables) {
    if (operand.type_variable == TVI_KIR_NONE) return operand.dtype;
    uint32_t& chosen = variables[operand.type_variable];
    // Now and then a type that another operand contradicts.
    if (chosen && draw(40)) return chosen;
    uint64_t allowed = op->type_variables[operand.type_variable].dtypes;
    for (int tries = 0; tries < 200; ++tries) {
      uint32_t dtype = 1 + static_cast<uint32_t>(draw(TRIVET_DTYPE_C64 - 1));
      if (allowed >> dtype & 1) return chosen = dtype;
    }
    return chosen = TRIVET_DTYPE_F32;
  }

  Tensor operand(uint32_t dtype, const std::vector<int64_t>& common) {
    Tensor t;
    t.present = true;
    t.dtype = dtype;
    uint64_t kind = draw(6);
    if (kind < 3) {
      t.dims = common;
    } else if (kind == 3) {
      t.dims = {static_cast<int64_t>(draw(5))};
    } else {
      t.dims.resize(draw(6));
      for (int64_t& d : t.dims) d = static_cast<int64_t>(draw(5));
    }
    int64_t count = 1;
    for (int64_t d : t.dims) count *= d;
    size_t size = 0;
    trivet_status_free(trivet_dtype_storage_size(dtype, count, &size));
    t.bytes.resize(size);
    trivet_tensor_t view = t.view();
    for (int64_t i = 0; i < count; ++i)
      tvi_ops_put_i64(&view, i, draw(6) ? static_cast<int64_t>(draw(4)) : number());
    return t;
  }

  bool attribute(const tvi_kir_attribute_t& declared, Attribute* a) {
    static const char* const kWords[] = {"constant",
                                         "reflect",
                                         "edge",
                                         "wrap",
                                         "linear",
                                         "nearest",
                                         "cubic",
                                         "NOTSET",
                                         "SAME_UPPER",
                                         "VALID",
                                         "none",
                                         "add",
                                         "mean",
                                         "sum",
                                         "LEFT",
                                         "RIGHT",
                                         "DCR",
                                         "CRD",
                                         "forward",
                                         "reverse",
                                         "bidirectional",
                                         "ij,jk->ik",
                                         "...i,i...->...",
                                         "ii->i",
                                         "a,b",
                                         "zeros",
                                         "tanh",
                                         "half_pixel",
                                         "align_corners",
                                         "tf_crop_and_resize",
                                         "floor",
                                         "",
                                         "TFIDF",
                                         "delta",
                                         "circular"};
    if (!declared.required && draw(2)) return false;
    a->name.assign(declared.name.data, declared.name.size);
    a->kind = declared.kind;
    a->list = declared.flags & TRIVET_ATTR_LIST;
    uint64_t count = a->list ? draw(7) : 1;
    for (uint64_t i = 0; i < count; ++i) {
      if (a->kind == TRIVET_ATTR_I64) a->ints.push_back(number());
      if (a->kind == TRIVET_ATTR_F32) a->floats.push_back(static_cast<double>(number()) / 4);
      if (a->kind == TRIVET_ATTR_DTYPE)
        a->dtypes.push_back(static_cast<uint32_t>(draw(TRIVET_DTYPE_COUNT)));
      if (a->kind == TRIVET_ATTR_STRING)
        a->strings.push_back(kWords[draw(sizeof kWords / sizeof kWords[0])]);
      if (a->kind == TRIVET_ATTR_TENSOR)
        a->tensors.push_back(operand(1 + static_cast<uint32_t>(draw(13)), {1}));
    }
    for (const std::string& s : a->strings) a->views.push_back({s.data(), s.size()});
    for (const Tensor& t : a->tensors) a->tensor_views.push_back(t.view());
    return true;
  }

  // One random node of an operator; true if it was accepted.
  bool attempt(const tvi_operator_entry_t* entry) {
    const tvi_kir_operator_t* op = entry->parsed;
    std::vector<uint32_t> variables(op->type_variable_count, 0);
    std::vector<int64_t> common(draw(6));
    for (int64_t& d : common) d = static_cast<int64_t>(draw(4) + 1);
    ops_test::Case c;
    c.name = c.op = entry->definition->name + strlen("std.");
    for (uint32_t i = 0; i < op->input_count; ++i) {
      uint64_t copies = op->inputs[i].variadic ? draw(4) : 1;
      for (uint64_t k = 0; k < copies; ++k) {
        if (op->inputs[i].optional && draw(2)) {
          c.inputs.emplace_back();
        } else {
          c.inputs.push_back(operand(dtype_of(op, op->inputs[i], variables), common));
        }
      }
    }
    for (uint32_t i = 0; i < op->attribute_count; ++i) {
      Attribute a;
      if (attribute(op->attributes[i], &a)) {
        // Views point into the strings and tensors: made again where the attribute finally lies.
        c.attributes.push_back(a);
        Attribute& kept = c.attributes.back();
        kept.views.clear();
        kept.tensor_views.clear();
      }
    }
    for (Attribute& a : c.attributes) {
      for (const std::string& s : a.strings) a.views.push_back({s.data(), s.size()});
      for (const Tensor& t : a.tensors) a.tensor_views.push_back(t.view());
    }
    uint64_t outputs = 0;
    for (uint32_t i = 0; i < op->output_count; ++i)
      outputs += op->outputs[i].variadic ? 1 + draw(3) : !op->outputs[i].optional || draw(2);
    c.outputs.resize(outputs ? outputs : 1);
    for (Tensor& t : c.outputs) t.present = true;
    bool unsupported = false;
    std::string problem = run(c, draw(3) == 0, &unsupported);
    // What was computed is compared with nothing: a complaint about the result means that there was
    // one.
    bool computed = problem.rfind("output ", 0) == 0;
    EXPECT_FALSE(problem.empty());
    if (!computed) {
      EXPECT_EQ(problem.find("line "), std::string::npos) << c.name << ": " << problem;
    }
    return computed;
  }

  uint64_t state_ = 1;
};

TEST_F(OpsRobustness, RandomNodesEndInResultOrError) {
  const char* only = getenv("TRIVET_OPS_FILTER");
  const char* more = getenv("TRIVET_OPS_TRIALS");
  const int trials = more ? atoi(more) : 60;
  int accepted = 0, total = 0, never = 0;
  for (uint32_t i = 0;; ++i) {
    const trivet_operator_t* definition = static_cast<const trivet_operator_t*>(
        tvi_registry_definition(registry_, TRIVET_STRUCT_OPERATOR, i));
    if (!definition) break;
    if (only && !strstr(definition->name, only)) continue;
    const tvi_operator_entry_t* entry =
        tvi_registry_operator(registry_, definition->name, definition->version);
    ASSERT_NE(entry, nullptr);
    state_ = 1000 + i;
    int good = 0;
    for (int k = 0; k < trials; ++k) good += attempt(entry);
    accepted += good;
    total += trials;
    never += !good;
    if (!good && getenv("TRIVET_OPS_VERBOSE")) printf("never accepted: %s\n", definition->name);
  }
  printf("%d of %d random nodes were accepted; %d operators never were\n", accepted, total, never);
  EXPECT_GT(accepted, only ? 0 : total / 20);
}

}  // namespace
