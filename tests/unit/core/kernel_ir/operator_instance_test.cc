// SPDX-License-Identifier: Apache-2.0
//
// From declaration and node to program: checking, inference with its assumptions, and the stages
// that come out, as golden text where form matters and as numbers elsewhere.
#include "core/kernel_ir/operator_instance.h"

#include <random>

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class OperatorInstanceTest : public KirTest {
 protected:
  std::string Infer(const std::string& text, const std::vector<std::string>& inputs,
                    const std::vector<Attribute>& attributes = {}) {
    tvi_kir_operator_t* op = Parse(text);
    if (op == nullptr) return "error: " + error_;
    tvi_kir_node_t node = Node(op, inputs, attributes, op->output_count);
    std::vector<trivet_type_t> types(op->output_count + 1);
    tvi_kir_assumptions_t assumptions = {};
    error_ = Message(tvi_kir_node_infer(&node, &arena_, types.data(), &assumptions));
    if (!error_.empty()) return "error: " + error_;
    std::string result;
    for (uint32_t i = 0; i < op->output_count; ++i) result += (i ? ", " : "") + Print(types[i]);
    for (uint32_t i = 0; i < assumptions.count; ++i) {
      result += (i ? ", " : " if ") + Print(assumptions.items[i].a) +
                " == " + Print(assumptions.items[i].b);
    }
    return result;
  }
};

const char* kAdd =
    "op std.Add/1 (a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: numeric\ny[i...] = "
    "a[i...] + b[i...]\n";

TEST_F(OperatorInstanceTest, Broadcasting) {
  EXPECT_EQ(Infer(kAdd, {"f32[batch, 1, 4]", "f32[3, 1]"}), "f32[batch, 3, 4]");
  EXPECT_EQ(Infer(kAdd, {"f32[]", "f32[n]"}), "f32[n]");
  EXPECT_EQ(Infer(kAdd, {"f32[n, 5]", "f32[n, 1]"}), "f32[n, 5]");
  EXPECT_EQ(Infer(kAdd, {"f32[n]", "f32[m]"}), "f32[n] if n == m");
  EXPECT_EQ(Infer(kAdd, {"f32[n]", "f32[7]"}), "f32[7] if n == 7");
  EXPECT_EQ(Infer(kAdd, {"f32[n, n]", "f32[m, m]"}), "f32[n, n] if n == m");
  EXPECT_EQ(Infer(kAdd, {"f32[3]", "f32[4]"}),
            "error: input 'b' of std.Add: D: 3 and 4 are not equal");
  EXPECT_EQ(Infer(kAdd, {"f32[3]", "f16[3]"}),
            "error: 'b' of std.Add: element type is f16, but T is f32 already");
  EXPECT_EQ(Infer(kAdd, {"bool[3]", "bool[3]"}),
            "error: 'a' of std.Add: element type bool is not one that T can be");
  EXPECT_EQ(Infer(kAdd, {"f32[3]"}), "error: input 'b' of std.Add is missing");
  EXPECT_EQ(Infer(kAdd, {"f32[3]", "-"}), "error: input 'b' of std.Add is missing");
  EXPECT_EQ(Infer(kAdd, {"f32[3]", "f32[3]", "f32[3]"}),
            "error: std.Add takes at most 2 inputs, not 3");
}

TEST_F(OperatorInstanceTest, Extents) {
  const char* text =
      "op a.B/1 (x: T[D..., K], w?: T[K, 2*K], s: T[3]) -> (y: T[min(K, 8), 2*K + axis, "
      "floordiv(K, 2)], z: i64[D...]) where T: float\n"
      "attr axis: i64 = 1\n";
  EXPECT_EQ(Infer(text, {"f32[2, n, k]", "-", "f32[3]"}),
            "f32[min(8, k), 2*k + 1, floordiv(k, 2)], i64[2, n]");
  EXPECT_EQ(Infer(text, {"f32[10]", "f32[10, 20]", "f32[3]"}, {Attribute::Int("axis", -4)}),
            "f32[8, 16, 5], i64[]");
  EXPECT_EQ(Infer(text, {"f32[10]", "f32[10, 21]", "f32[3]"}),
            "error: input 'w' of a.B: extent: 20 and 21 are not equal");
  EXPECT_EQ(Infer(text, {"f32[10]", "f32[11, 22]", "f32[3]"}),
            "error: input 'w' of a.B: K: 10 and 11 are not equal");
  EXPECT_EQ(Infer(text, {"f32[10]", "f32[k, 20]", "f32[3]"}), "f32[8, 21, 5], i64[] if 10 == k");
  EXPECT_EQ(Infer(text, {"f32[]", "-", "f32[3]"}),
            "error: input 'x' of a.B: rank is 0, but it must be at least 1");
  EXPECT_EQ(Infer(text, {"f32[1]", "-", "f32[3, 3]"}),
            "error: input 's' of a.B: rank is 2, but it must be 1");
  EXPECT_EQ(Infer(text, {"f32[1]", "-", "f32[3]"}, {Attribute::Int("axis", -9)}),
            "error: output 'y' of a.B: extent -7 is negative");
  EXPECT_EQ(Infer("op a.C/1 (x: f32[*]) -> (y: f32[*])", {"f32[3]"}),
            "error: the text of a.C does not say the shape of 'y'");
  EXPECT_EQ(Infer("op a.C/1 (x?: f32[N]) -> (y: f32[N])", {}),
            "error: output 'y' of a.C: no operand says what extent N is");
  EXPECT_EQ(Infer("op a.C/1 (x: f32[N]) -> (y: T[N]) where T: float", {"f32[3]"}),
            "error: the text of a.C does not say the type of 'y'");
}

TEST_F(OperatorInstanceTest, Attributes) {
  const char* text =
      "op a.B/1 (x: f32[N]) -> (y: T[N]) where T = to\nattr to: dtype\nattr k: i64[] = [1]\nattr "
      "f?: f32\n";
  EXPECT_EQ(Infer(text, {"f32[3]"}, {Attribute::Dtype("to", TRIVET_DTYPE_I8)}), "i8[3]");
  EXPECT_EQ(Infer(text, {"f32[3]"}), "error: attribute 'to' of a.B is missing");
  EXPECT_EQ(Infer(text, {"f32[3]"}, {Attribute::Int("to", 3)}),
            "error: attribute 'to' of a.B is dtype, not i64");
  EXPECT_EQ(Infer(text, {"f32[3]"}, {Attribute::Dtype("to", 1), Attribute::Int("k", 3)}),
            "error: attribute 'k' of a.B is i64[], not i64");
  EXPECT_EQ(Infer(text, {"f32[3]"}, {Attribute::Dtype("to", 1), Attribute::Int("q", 3)}),
            "error: a.B has no attribute 'q'");
  EXPECT_EQ(Infer(text, {"f32[3]"}, {Attribute::Dtype("to", 1), Attribute::Dtype("to", 1)}),
            "error: attribute 'to' of a.B is given twice");
}

TEST_F(OperatorInstanceTest, GoldenSoftmax) {
  // The extremum is shared, hoisted out of what does not depend on it, and the sum is a stage.
  auto* p = Instantiate(
      "op a.Softmax/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
      "y[i..., k] = exp(x[i..., k] - max(j: K){ x[i..., j] }) / sum(j: K){ exp(x[i..., j] - max(l: "
      "K){ x[i..., l] }) }\n",
      {"f32[batch, 10]"});
  EXPECT_EQ(Print(p),
            "kernel_ir 1\n"
            "value v0 input f32[$(batch), 10] \"x\" tag 0\n"
            "value v1 output f32[$(batch), 10] \"y\" tag 0\n"
            "value v2 temp f32[$(batch)] \"t0\"\n"
            "value v3 temp f32[$(batch)] \"t1\"\n"
            "stage reduce [$(batch) | 10] max f32 -> v2 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = load f32 v0[%0, %1]\n"
            "  give %2\n"
            "}\n"
            "stage reduce [$(batch) | 10] sum f32 -> v3 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = load f32 v0[%0, %1]\n"
            "  %3 = load f32 v2[%0]\n"
            "  %4 = sub f32 %2 %3\n"
            "  %5 = exp f32 %4\n"
            "  give %5\n"
            "}\n"
            "stage map [$(batch), 10] -> v1 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = load f32 v0[%0, %1]\n"
            "  %3 = load f32 v2[%0]\n"
            "  %4 = sub f32 %2 %3\n"
            "  %5 = exp f32 %4\n"
            "  %6 = load f32 v3[%0]\n"
            "  %7 = div f32 %5 %6\n"
            "  give %7\n"
            "}\n");
}

TEST_F(OperatorInstanceTest, AReductionThatIsTheWholeStatementWritesTheOutput) {
  auto* p = Instantiate(
      "op a.R/1 (x: T[N, K]) -> (y: T[N]) where T: float\ny[i] = T(sum(k: K){ x[i, k] })\n",
      {"f32[n, 3]"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(p->stage_count, 1u);
  EXPECT_EQ(p->value_count, 2u);
  p = Instantiate(
      "op a.R/1 (x: T[N, K]) -> (y: i64[N]) where T: float\ny[i] = argmax(k: K){ x[i, k] }\n",
      {"f32[n, 3]"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(p->stage_count, 1u);
  EXPECT_EQ(p->stages[0].values[0], TVI_KIR_NONE);
  // Another shape: a stage of its own.
  p = Instantiate(
      "op a.R/1 (x: T[N, K]) -> (y: T[K, N]) where T: float\ny[j, i] = sum(k: K){ x[i, k] }\n",
      {"f32[n, 3]"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(p->stage_count, 2u);
}

// The stage of a let writes the output that copies it; whoever else reads the let reads that.
TEST_F(OperatorInstanceTest, ALetThatAnOutputCopiesIsReadByOthersToo) {
  struct {
    const char* statements;
    std::vector<double> y, z;
  } const cases[] = {
      {"let m[n: N, k: K] = x[n, k] * 2\ny[n, k] = m[n, k]\nz[n, k] = m[n, k]",
       {2, 4, 6, 8},
       {2, 4, 6, 8}},
      {"let m[n: N, k: K] = x[n, k]\ny[n, k] = m[n, k]\nz[n, k] = m[n, k] + 1",
       {1, 2, 3, 4},
       {2, 3, 4, 5}},
      {"let m[n: N, k: K] = x[n, k] * 2\nlet o[n: N, k: K] = m[n, k]\n"
       "y[n, k] = o[n, k] + m[n, k]\nz[n, k] = m[n, k] - o[k, n]",
       {4, 8, 12, 16},
       {0, -2, 2, 0}},
      {"let m[n: N, k: K] = sum(j: K){ x[n, j] }\ny[n, k] = m[n, k]\nz[n, k] = x[n, k] - m[n, k]",
       {3, 3, 7, 7},
       {-2, -1, -4, -3}},
  };
  for (const auto& c : cases) {
    auto* p =
        Instantiate(std::string("op a.Two/1 (x: T[N, K]) -> (y: T[N, K], z: T[N, K]) where T: "
                                "float\n") +
                        c.statements + "\n",
                    {"f32[2, 2]"});
    ASSERT_NE(p, nullptr) << error_;
    auto results = Evaluate(p, {Tensor::F32({2, 2}, {1, 2, 3, 4})});
    ASSERT_EQ(results.size(), 2u) << error_;
    EXPECT_EQ(results[0].Values(), c.y) << c.statements;
    EXPECT_EQ(results[1].Values(), c.z) << c.statements;
  }
}

TEST_F(OperatorInstanceTest, OptionalVariadicAndUnwanted) {
  const char* text =
      "op a.B/1 (x: T[N], b?: T[N]) -> (y: T[N], z?: T[N]) where T: float\n"
      "let t[i: N] = has(b) ? b[i] : 1\n"
      "y[i] = has(b) && b[i] > 0 ? x[i] * t[i] : x[i]\n"
      "z[i] = exp(y[i])\n";
  auto* p = Instantiate(text, {"f32[4]", "-"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(p->stage_count, 2u) << Print(p);  // the let is not read
  EXPECT_EQ(instance_.input_values[1], TVI_KIR_NONE);
  // Only z is wanted: y becomes a temporary.
  tvi_kir_operator_t* op = Parse(text);
  tvi_kir_node_t node = Node(op, {"f32[4]", "f32[4]"}, {}, 2);
  trivet_type_t types[2] = {*Type("f32[4]"), *Type("f32[4]")};
  uint8_t wanted[2] = {0, 1};
  node.outputs = types;
  node.output_wanted = wanted;
  ASSERT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)), "");
  EXPECT_EQ(instance_.output_values[0], TVI_KIR_NONE);
  EXPECT_EQ(instance_.program->values[instance_.output_values[1]].kind, TVI_KIR_OUTPUT);
  EXPECT_EQ(instance_.program->stage_count, 3u);
  wanted[0] = 1, wanted[1] = 0;
  ASSERT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)), "");
  EXPECT_EQ(instance_.program->stage_count, 2u);

  p = Instantiate("op a.Concat/1 (x...: T[*]) -> (y: T[*]) where T: any\n",
                  {"f32[2, 3]", "f32[2, k]"}, {}, {"f32[2, k + 3]"},
                  "y[i, j] = j < x:0.1 ? x:0[i, j] : x:1[i, j - x:0.1]");
  ASSERT_NE(p, nullptr) << error_;
  auto y = Evaluate(p, {Tensor::F32({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor::F32({2, 1}, {7, 8})},
                    {{"k", 1}});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (std::vector<double>{1, 2, 3, 7, 4, 5, 6, 8}));
}

TEST_F(OperatorInstanceTest, LoweredTexts) {
  auto run = [&](const std::vector<std::string>& in, const std::string& out,
                 const std::string& text, std::vector<Tensor> tensors,
                 const std::map<std::string, int64_t>& symbols = {}) {
    auto* p = Instantiate("op a.L/1 (x: T[*], t?: i64[*]) -> (y: T[*]) where T: any\n", in, {},
                          {out}, text);
    if (p == nullptr) {
      ADD_FAILURE() << text << ": " << error_;
      return std::vector<double>();
    }
    auto y = Evaluate(p, tensors, symbols);
    EXPECT_EQ(error_, "") << text;
    return y.empty() ? std::vector<double>() : y[0].Values();
  };
  using V = std::vector<double>;
  Tensor x = Tensor::F32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(run({"f32[2, 3]"}, "f32[3, 2]", "y[a, c] = x[c, a]", {x}), (V{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(run({"f32[2, 3]"}, "f32[6]", "y[i] = x[i / x.1, i % x.1]", {x}), (V{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(run({"f32[2, n]"}, "f32[2, n + 2]", "y[i, j] = x[i, j - 1; pad = 9]", {x}, {{"n", 3}}),
            (V{9, 1, 2, 3, 9, 9, 4, 5, 6, 9}));
  EXPECT_EQ(run({"f32[2, n]"}, "f32[2, n]", "y[i, j] = x[i, $(n) - 1 - j]", {x}, {{"n", 3}}),
            (V{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(run({"f32[2, 3]", "i64[2]"}, "f32[2, 2]", "y[i, j] = x[i, t[j]; wrap]",
                {x, Tensor::I64({2}, {-1, 0})}),
            (V{3, 1, 6, 4}));
  EXPECT_EQ(run({"f32[2, 3]"}, "f32[2, 3]",
                "let n = x.0 * x.1\nlet m = T(f32(n) * 2.0)\ny[i...] = x[i...] * m", {x}),
            (V{12, 24, 36, 48, 60, 72}));
  EXPECT_EQ(
      run({"f32[2, 3]"}, "f32[2]",
          "let st[i: x.0] = welford(k: x.1){ x[i, k] }\ny[i] = st[i].mean + 0 * st[i].m2", {x}),
      (V{2, 5}));
  EXPECT_EQ(run({"f32[2, 3]"}, "f32[]", "y = sum(i: x.0){ max(k: x.1){ x[i, k] } }", {x}), (V{9}));
}

TEST_F(OperatorInstanceTest, Functions) {
  struct Lookup {
    tvi_kir_function_t* mish = nullptr;
    static const tvi_kir_function_t* Find(void* self, trivet_string_view_t name) {
      return tvi_sv_equal_cstr(name, "acme.mish") ? static_cast<Lookup*>(self)->mish : nullptr;
    }
  } lookup;
  ASSERT_EQ(
      Message(tvi_kir_function_parse(tvi_sv("fn acme.mish(x: F) -> F = x * tanh(log1p(exp(x)))"),
                                     trivet_allocator_system(), &lookup.mish)),
      "");
  tvi_kir_function_lookup_t functions = {&lookup, Lookup::Find};
  tvi_kir_operator_t* op = Parse(
      "op a.F/1 (x: f32[N]) -> (y: f32[N])\nattr alpha: f32 = 2\n"
      "fn twice(x: G) -> G = x + x\nfn leaky(x: f32) -> f32 = x < 0 ? alpha * x : twice(x)\n"
      "y[i] = acme.mish(x[i]) * 0 + leaky(x[i])\n");
  ASSERT_NE(op, nullptr) << error_;
  tvi_kir_node_t node = Node(op, {"f32[3]"});
  trivet_type_t type = *Type("f32[3]");
  node.outputs = &type;
  // Parameters are all that a function sees.
  EXPECT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)),
            "a.F, line 5, column 8: 'acme.mish' is not a function");
  node.functions = &functions;
  EXPECT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)),
            "a.F, line 4, column 35: 'alpha' is not known here");
  op = Parse(
      "op a.F/1 (x: f32[N]) -> (y: f32[N])\nfn twice(x: G) -> G = x + x\nfn leaky(x: f32, a: f32) "
      "-> f32 = x < 0 ? a * x : twice(x)\n"
      "y[i] = acme.mish(x[i]) * 0 + leaky(x[i], 2)\n");
  ASSERT_NE(op, nullptr) << error_;
  node.op = op;
  ASSERT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)), "");
  auto y = Evaluate(instance_.program, {Tensor::F32({3}, {-1, 0, 3})});
  ASSERT_EQ(y.size(), 1u);
  EXPECT_EQ(y[0].Values(), (std::vector<double>{-2, 0, 6}));
  op = Parse(
      "op a.F/1 (x: f32[N]) -> (y: f32[N])\nfn f(x: f32) -> f32 = g(x)\nfn g(x: f32) -> f32 = "
      "f(x)\ny[i] = f(x[i])\n");
  node.op = op;
  EXPECT_EQ(Message(tvi_kir_node_instantiate(&node, nullptr, &arena_, &instance_)),
            "a.F, line 3, column 23: functions call each other more than 16 deep");
  tvi_kir_function_destroy(lookup.mish);
}

TEST_F(OperatorInstanceTest, MistakesNameTheirPlace) {
  struct {
    const char *statement, *message;
  } cases[] = {
      {"y[i, k] = x[i, k] + 1.5h", "line 2, column 21: a number runs into a name"},
      {"y[i, k] = x[i]", "a.B, line 2, column 11: 'x' has rank 2, but 1 indices are given"},
      {"y[i, k] = x[i, f32(k)]",
       "a.B, line 2, column 16: an index must be i64, not f32; write a cast"},
      {"y[i, k] = x[i, k] + k",
       "a.B, line 2, column 19: 'add' has operands of different types; write a cast (f32 and i64)"},
      {"y[i, k] = i64(x[i, k])",
       "a.B, line 2, column 11: 'y' is f32, but the expression is i64; write a cast"},
      {"y[i, k] = x[i, k] & x[i, k]",
       "a.B, line 2, column 19: 'and' needs bool or integer operands (f32 and f32)"},
      {"y[i, k] = exp(K) ", "a.B, line 2, column 11: 'exp' needs float operands (i64)"},
      {"y[i, k] = q", "a.B, line 2, column 11: 'q' is not known here"},
      {"y[i, k] = silu(x[i, k])", "a.B, line 2, column 11: 'silu' is not a function"},
      {"y[i, k] = w[i, k]", "a.B, line 2, column 11: operand 'w' is absent here"},
      {"y[i, k] = x[i, k] ? 1 : 0", "a.B, line 2, column 11: a condition must be bool, not f32"},
      {"y[i] = 1", "a.B, line 2, column 8: 'y' has rank 2, its 1 indices do not fit"},
      {"y[i, k] = sum(j: k){ 1.0 }",
       "a.B, line 2, column 18: an extent must not depend on indices or data"},
      {"y[i, k] = sum(i: K){ 1.0 }", "a.B, line 2, column 11: 'i' hides another index"},
      {"y[i, k] = any(j: K){ x[i, j] }", "a.B, line 2, column 11: 'any' cannot reduce f32"},
      {"y[i, k] = softmaxstate(j: K){ x[i, j] }",
       "a.B, line 2, column 11: 'softmaxstate' has parts: write '.m' after it"},
      {"y[i, k] = softmaxstate(j: K){ x[i, j] }.q",
       "a.B, line 2, column 41: 'softmaxstate' has no part 'q'"},
      {"y[i, k] = argmax(j: K, l: K){ x[j, l] }",
       "a.B, line 2, column 11: 'argmax' runs over one index"},
      {"y[i, k] = scan(j: K){ x[i, j] } with sum",
       "a.B, line 2, column 11: a scan runs along an index of the statement, 'j' is none"},
      {"y[i, k] = (1.0, 2.0)", "a.B, line 2, column 11: a tuple may stand only in a reduction"},
      {"y[i, k] = x[i..., k]", "a.B, line 2, column 13: 'i' is not a pack of indices"},
      {"y[i, k] = x[i, k; pad = 1 == 1]",
       "a.B, line 2, column 27: the pad is bool, but 'x' holds f32"},
      {"y[i, k] = x.7", "a.B, line 2, column 11: 'x' has no dimension 7"},
      {"let m = m + 1\ny[i, k] = f32(m)", "a.B, line 2, column 9: 'm' is not known here"},
      {"let m[j: N] = x[j, 0]\ny[i, k] = m[i, k]",
       "a.B, line 3, column 11: 'm' has 1 indices, not 2"},
      {"let m: i64 = 1.5\ny[i, k] = f32(m)", "a.B, line 2, column 14: i64 cannot hold a fraction"},
      {"y[i, k] = f32(u8(1) + 300)", "a.B, line 2, column 23: 300 does not fit into u8"},
      {"y[i, k] = f32($(n +))",
       "a.B, line 2, column 15: dimension 'n +', column 4: an operand is missing"},
  };
  for (const auto& c : cases) {
    std::string text =
        std::string("op a.B/1 (x: f32[N, K], w?: f32[N, K]) -> (y: f32[N, K])\n") + c.statement;
    EXPECT_EQ(Instantiate(text, {"f32[n, 4]"}), nullptr) << c.statement;
    EXPECT_EQ(error_, c.message) << c.statement;
  }
  EXPECT_EQ(Instantiate("op a.B/1 (x: f32[N]) -> (y: f32[N], z: f32[N])\ny[i] = x[i]", {"f32[n]"}),
            nullptr);
  EXPECT_EQ(error_, "a.B does not define output 'z'");
  EXPECT_EQ(
      Instantiate("op a.B/1 (x: f32[N]) -> (y: f32[N])\ngraph { %y = std.Neg(%x) }", {"f32[n]"}),
      nullptr);
  EXPECT_EQ(error_, "a.B has no kernel-IR statements");
}

TEST_F(OperatorInstanceTest, ExponentialTextsAreRefused) {
  std::string text = "op a.B/1 (x: f32[N]) -> (y: f32[N])\n";
  for (int i = 0; i < 15; ++i) {
    std::string next = i == 14 ? "x" : "f" + std::to_string(i + 1) + "(x)";
    text += "fn f" + std::to_string(i) + "(x: f32) -> f32 = ";
    for (int k = 0; k < 8; ++k)
      text += (k ? " + " : "") +
              (i == 14 ? std::string("sin(x)") : next + " * " + std::to_string(k) + ".5");
    text += "\n";
  }
  text += "y[i] = f0(x[i])\n";
  EXPECT_EQ(Instantiate(text, {"f32[4]"}), nullptr);
  EXPECT_NE(error_.find("more than"), std::string::npos) << error_;
}

TEST_F(OperatorInstanceTest, EveryFailedAllocationIsAnError) {
  const char* text =
      "op acme.LayerNorm/1 (x: T[D..., K], scale: T[K]) -> (y: T[D..., K]) where T: float\n"
      "attr epsilon: f32 = 1e-5\n"
      "let mean[i: D...] = sum(k: K){ f32(x[i..., k]) } / f32(K)\n"
      "let var[i: D...]  = sum(k: K){ sq(f32(x[i..., k]) - mean[i...]) } / f32(K)\n"
      "y[i..., k] = T((f32(x[i..., k]) - mean[i...]) * rsqrt(var[i...] + epsilon) * "
      "f32(scale[k]))\n";
  tvi_kir_operator_t* op = Parse(text);
  ASSERT_NE(op, nullptr) << error_;
  tvi_kir_node_t node = Node(op, {"f16[2, 3, 8]", "f16[8]"});
  trivet_type_t type = *Type("f16[2, 3, 8]");
  node.outputs = &type;
  int failures = 0;
  for (int n = 0;; ++n) {
    CountingAllocator allocator;
    allocator.left = n;
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator.Get(), 256);
    trivet_status_t status = tvi_kir_node_instantiate(&node, nullptr, &arena, &instance_);
    tvi_arena_deinit(&arena);
    EXPECT_EQ(allocator.alive, 0);
    if (status == nullptr) break;
    EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
    ++failures;
  }
  EXPECT_GT(failures, 10);
}

// Random expressions over two small tensors: whatever folding, merging and normalising does, the
// value stays that of a straightforward evaluation of the same text.
class Expressions {
 public:
  explicit Expressions(unsigned seed) : rng_(seed) {}
  // An i64 expression over i, j (extents 3 and 4), and its value.
  std::string Make(int depth) {
    if (depth == 0 || rng_() % 5 == 0) {
      switch (rng_() % 4) {
        case 0:
          return "i";
        case 1:
          return "j";
        case 2:
          return std::to_string(rng_() % 9);
        default:
          return "t[i, j]";
      }
    }
    std::string a = Make(depth - 1), b = Make(depth - 1), c = std::to_string(1 + rng_() % 12);
    switch (rng_() % 12) {
      case 0:
        return "(" + a + " + " + b + ")";
      case 1:
        return "(" + a + " - " + b + ")";
      case 2:
        return "(" + a + " * " + c + ")";
      case 3:
        return "floordiv(" + a + ", " + c + ")";
      case 4:
        return "mod(" + a + ", " + c + ")";
      case 5:
        return "(" + a + " / " + c + ")";
      case 6:
        return "(" + a + " % " + c + ")";
      case 7:
        return "min(" + a + ", " + b + ")";
      case 8:
        return "max(" + a + ", " + b + ")";
      case 9:
        return "(" + a + " < " + b + " ? " + b + " : " + c + ")";
      case 10:
        return "ceildiv(" + a + ", " + c + ")";
      default:
        return "(i*" + c + " + " + a + ")";
    }
  }
  std::mt19937 rng_;
};

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// A second reader of the same little language.
class Reference {
 public:
  Reference(const std::string& text, int64_t i, int64_t j, int64_t t)
      : s_(text), i_(i), j_(j), t_(t) {}
  int64_t Value() { return Expr(); }

 private:
  bool Eat(const std::string& word) {
    while (s_[at_] == ' ') ++at_;
    if (s_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }
  int64_t Two(int64_t (*f)(int64_t, int64_t)) {
    int64_t a = Expr();
    Eat(",");
    int64_t b = Expr();
    Eat(")");
    return f(a, b);
  }
  int64_t Expr() {
    if (Eat("floordiv(")) return Two(FloorDiv);
    if (Eat("ceildiv(")) return Two([](int64_t a, int64_t b) { return -FloorDiv(-a, b); });
    if (Eat("mod(")) return Two([](int64_t a, int64_t b) { return a - b * FloorDiv(a, b); });
    if (Eat("min(")) return Two([](int64_t a, int64_t b) { return std::min(a, b); });
    if (Eat("max(")) return Two([](int64_t a, int64_t b) { return std::max(a, b); });
    if (Eat("t[i, j]")) return t_;
    if (Eat("i*")) {
      int64_t c = Expr();
      return i_ * c;
    }
    if (Eat("i")) return i_;
    if (Eat("j")) return j_;
    if (Eat("(")) {
      int64_t a = Expr(), r = 0;
      if (Eat("+"))
        r = a + Expr();
      else if (Eat("-"))
        r = a - Expr();
      else if (Eat("*"))
        r = a * Expr();
      else if (Eat("/"))
        r = a / Expr();
      else if (Eat("%"))
        r = a % Expr();
      else if (Eat("<")) {
        int64_t b = Expr();
        Eat("?");
        int64_t x = Expr();
        Eat(":");
        int64_t y = Expr();
        r = a < b ? x : y;
      }
      Eat(")");
      return r;
    }
    while (s_[at_] == ' ') ++at_;
    int64_t value = 0;
    while (isdigit(s_[at_])) value = value * 10 + (s_[at_++] - '0');
    return value;
  }
  const std::string& s_;
  size_t at_ = 0;
  int64_t i_, j_, t_;
};

TEST_F(OperatorInstanceTest, RandomIndexArithmeticKeepsItsValue) {
  Expressions make(3);
  for (int round = 0; round < 1500; ++round) {
    std::string e = make.Make(4);
    auto* p = Instantiate("op a.B/1 (t: i64[N, K]) -> (y: i64[N, K])\ny[i, j] = " + e + "\n",
                          {"i64[3, 4]"});
    ASSERT_NE(p, nullptr) << e << ": " << error_;
    std::vector<double> t;
    for (int k = 0; k < 12; ++k) t.push_back(static_cast<int>(make.rng_() % 21) - 10);
    for (int pass = 0; pass < 2; ++pass) {
      auto y = Evaluate(p, {Tensor::I64({3, 4}, t)});
      ASSERT_EQ(y.size(), 1u) << error_;
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 4; ++j) {
          int64_t expected = Reference(e, i, j, static_cast<int64_t>(t[i * 4 + j])).Value();
          ASSERT_EQ(y[0].Values()[i * 4 + j], static_cast<double>(expected)) << e << "\n"
                                                                             << Print(p);
        }
      }
      ASSERT_EQ(Message(tvi_kir_simplify(p)), "");
    }
    // Symbolic extents must not change anything either.
    p = Instantiate("op a.B/1 (t: i64[N, K]) -> (y: i64[N, K])\ny[i, j] = " + e + "\n",
                    {"i64[n, k]"});
    ASSERT_NE(p, nullptr) << e << ": " << error_;
    auto y = Evaluate(p, {Tensor::I64({3, 4}, t)}, {{"n", 3}, {"k", 4}});
    ASSERT_EQ(y.size(), 1u) << error_;
    for (int k = 0; k < 12; ++k) {
      ASSERT_EQ(y[0].Values()[k],
                static_cast<double>(Reference(e, k / 4, k % 4, static_cast<int64_t>(t[k])).Value()))
          << e;
    }
  }
}

}  // namespace
