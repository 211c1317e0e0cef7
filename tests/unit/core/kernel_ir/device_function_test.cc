// SPDX-License-Identifier: Apache-2.0
//
// Scalar functions with code of their own: the call stands beside its meaning, which is what is
// evaluated; texts of programs carry both.
#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class DeviceFunctionTest : public KirTest {
 protected:
  static const tvi_kir_function_t* Find(void* self, trivet_string_view_t name) {
    return tvi_sv_equal_cstr(name, "acme.f") ? static_cast<DeviceFunctionTest*>(self)->function_
                                             : nullptr;
  }
  void Declare(const char* text, const char* cuda) {
    ASSERT_EQ(Message(tvi_kir_function_parse(tvi_sv(text), trivet_allocator_system(), &function_)),
              "");
    ASSERT_EQ(Message(tvi_kir_function_set_device(function_, "acme.f", "my_plugin", cuda)), "");
  }
  const tvi_kir_program_t* Make(const std::string& type, const std::string& statement) {
    tvi_kir_operator_t* op =
        Parse("op a.F/1 (x: T[N]) -> (y: T[N]) where T: any\n" + statement + "\n");
    EXPECT_NE(op, nullptr) << error_;
    tvi_kir_node_t node = Node(op, {type});
    node.outputs = Type(type);
    tvi_kir_function_lookup_t functions = {this, Find};
    node.functions = &functions;
    EXPECT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)), "");
    EXPECT_EQ(Message(tvi_kir_verify(instance_.program)), "") << Print(instance_.program);
    return instance_.program;
  }
  static int Calls(const tvi_kir_program_t* p) {
    int count = 0;
    for (uint32_t s = 0; s < p->stage_count; ++s)
      for (uint32_t i = 0; i < p->stages[s].instr_count; ++i)
        count += p->stages[s].instrs[i].opcode == TVI_KIR_DEVICE;
    return count;
  }
  void TearDown() override {
    tvi_kir_function_destroy(function_);
    KirTest::TearDown();
  }
  tvi_kir_function_t* function_ = nullptr;
};

TEST_F(DeviceFunctionTest, MeaningIsEvaluatedAndTheCallStands) {
  Declare("fn f(a: F, b: F, c: F) -> F = a * b + c", "return fmaf(a, b, c);");
  const auto* p = Make("f32[3]", "y[i] = acme.f(x[i], 2.0, x[i] + 1.0) - x[i]");
  EXPECT_EQ(Calls(p), 1);
  auto y = Evaluate(p, {Tensor::F32({3}, {1, 2, 3})});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (std::vector<double>{3, 5, 7}));
}

TEST_F(DeviceFunctionTest, EqualCallsAreOne) {
  Declare("fn f(a: f32, b: f32) -> f32 = a / b", "return __fdividef(a, b);");
  EXPECT_EQ(Calls(Make("f32[3]", "y[i] = acme.f(x[i], 2.0) * acme.f(x[i], 2.0)")), 1);
  EXPECT_EQ(Calls(Make("f32[3]", "y[i] = acme.f(x[i], 2.0) * acme.f(2.0, x[i])")), 2);
}

TEST_F(DeviceFunctionTest, ConstantsAndIntegersKeepTheirMeaning) {
  Declare("fn f(a: F) -> F = a * a", "return a * a;");
  EXPECT_EQ(Calls(Make("f32[3]", "y[i] = acme.f(3.0) + x[i]")), 0);
  EXPECT_EQ(Calls(Make("i32[3]", "y[i] = acme.f(x[i])")), 0);
}

TEST_F(DeviceFunctionTest, TextsOfProgramsCarryTheCode) {
  Declare("fn f(a: F, b: f32) -> F = a * F(b)", "const F \"x\" = a;\nreturn a * b;  // \\");
  const auto* p = Make("f16[3]", "y[i] = acme.f(x[i], 2.0)");
  ASSERT_EQ(Calls(p), 1);
  const std::string text = Print(p);
  tvi_kir_program_t* again = nullptr;
  ASSERT_EQ(
      Message(tvi_kir_program_parse(tvi_sv_make(text.data(), text.size()), dims_, &arena_, &again)),
      "")
      << text;
  EXPECT_EQ(Print(again), text);
}

// A call without arguments, with too few and without a function.
TEST_F(DeviceFunctionTest, WrongCallsAreRefused) {
  const std::string head =
      "kernel_ir 1\nvalue v0 input f32[3] \"x\"\nvalue v1 output f32[3] \"y\"\n"
      "stage map [3] -> v1 {\n  %0 = index i64 0\n  %1 = load f32 v0[%0]\n";
  for (const char* call : {"  %2 = device f32 %1 %1 \"f\" \"p\" () \"\"\n  give %2\n}\n",
                           "  %2 = device f32 %1 %1 \"f\" \"p\" (\"a\" \"\", \"b\" \"\") \"\"\n"
                           "  give %2\n}\n",
                           "  %2 = with f32 %1 %1\n  %3 = device f32 %1 %2 \"f\" \"p\" (\"a\" \"\")"
                           " \"\"\n  give %3\n}\n"}) {
    const std::string text = head + call;
    tvi_kir_program_t* p = nullptr;
    EXPECT_NE(
        Message(tvi_kir_program_parse(tvi_sv_make(text.data(), text.size()), dims_, &arena_, &p)),
        "")
        << text;
  }
}

}  // namespace
