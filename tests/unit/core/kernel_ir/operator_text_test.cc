// SPDX-License-Identifier: Apache-2.0
//
// Operator declarations: what is read from each construct, and the message with line and column for
// each mistake. Hostile text of every sort is refused without harm.
#include "core/kernel_ir/operator_text.h"

#include <random>

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class OperatorTextTest : public KirTest {
 protected:
  std::string Signature(const std::string& text) {
    tvi_kir_operator_t* op = Parse(text);
    if (op == nullptr) return "error: " + error_;
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(tvi_kir_signature_print(op, &builder), nullptr);
    std::string result(tvi_string_builder_view(&builder).data,
                       tvi_string_builder_view(&builder).size);
    tvi_string_builder_deinit(&builder);
    return result;
  }
  static std::string Text(trivet_string_view_t view) { return std::string(view.data, view.size); }
};

TEST_F(OperatorTextTest, Signatures) {
  EXPECT_EQ(Signature("op acme.LayerNorm/1 (x: T[D..., K], scale?: T[K]) -> (y: T[D..., K], m?: "
                      "f32[D...]) where T: float\n"),
            "acme.LayerNorm/1 (x: T[D..., K], scale?: T[K]) -> (y: T[D..., K], m?: f32[D...])");
  EXPECT_EQ(Signature("language 1\n# a comment\n\nop a.B/12 (x...: T[*])\n  -> (y: T[bcast D..., "
                      "3])\n  where T: {f32, i8}"),
            "a.B/12 (x...: T[*]) -> (y: T[bcast D..., 3])");
  EXPECT_EQ(Signature("op std.Deep.Name/1 () -> (y: f32)"), "std.Deep.Name/1 () -> (y: f32)");
}

TEST_F(OperatorTextTest, TypeClasses) {
  tvi_kir_operator_t* op = Parse(
      "op a.B/1 (a: F[], b: I[], c: U[], d: Z[], e: N[], f: B[], g: A[], h: L[]) -> (y: O[])\n"
      "where F: float, I: int, U: uint, Z: integer, N: numeric, B: bool, A: any, L: {f16, u4}, O = "
      "to\n"
      "attr to: dtype\n");
  ASSERT_NE(op, nullptr) << error_;
  auto has = [&](int i, uint32_t dtype) {
    return (op->type_variables[i].dtypes >> dtype & 1) != 0;
  };
  EXPECT_TRUE(has(0, TRIVET_DTYPE_BF16) && !has(0, TRIVET_DTYPE_I8) &&
              !has(0, TRIVET_DTYPE_F8E5M2));
  EXPECT_TRUE(has(1, TRIVET_DTYPE_I8) && !has(1, TRIVET_DTYPE_U8));
  EXPECT_TRUE(has(2, TRIVET_DTYPE_U64) && !has(2, TRIVET_DTYPE_I64));
  EXPECT_TRUE(has(3, TRIVET_DTYPE_U8) && has(3, TRIVET_DTYPE_I8) && !has(3, TRIVET_DTYPE_BOOL));
  EXPECT_TRUE(has(4, TRIVET_DTYPE_F32) && has(4, TRIVET_DTYPE_U8));
  EXPECT_TRUE(has(5, TRIVET_DTYPE_BOOL) && !has(5, TRIVET_DTYPE_U8));
  EXPECT_TRUE(has(6, TRIVET_DTYPE_STRING));
  EXPECT_TRUE(has(7, TRIVET_DTYPE_U4) && has(7, TRIVET_DTYPE_F16) && !has(7, TRIVET_DTYPE_F32));
  EXPECT_EQ(op->type_variables[8].attribute, 0u);
}

TEST_F(OperatorTextTest, Attributes) {
  tvi_kir_operator_t* op = Parse(
      "op a.B/1 (x: f32[N]) -> (y: f32[N])\n"
      "attr axis: i64 = -1\nattr alpha: f32 = 0.1\nattr mode: string = \"a \\\"b\\\"\"\nattr to: "
      "dtype = bf16\n"
      "attr perm?: i64[]\nattr axes: i64[] = [0, -2]\nattr must: i64\nattr value?: tensor\nattr "
      "body: graph\n"
      "attr low: f32 = -inf\n");
  ASSERT_NE(op, nullptr) << error_;
  ASSERT_EQ(op->attribute_count, 10u);
  EXPECT_EQ(*static_cast<const int64_t*>(op->attributes[0].default_value->data), -1);
  EXPECT_EQ(*static_cast<const double*>(op->attributes[1].default_value->data),
            static_cast<double>(0.1f));
  EXPECT_EQ(Text(*static_cast<const trivet_string_view_t*>(op->attributes[2].default_value->data)),
            "a \"b\"");
  EXPECT_EQ(*static_cast<const uint32_t*>(op->attributes[3].default_value->data),
            TRIVET_DTYPE_BF16);
  EXPECT_EQ(op->attributes[4].default_value, nullptr);
  EXPECT_FALSE(op->attributes[4].required);
  EXPECT_EQ(op->attributes[4].flags, TRIVET_ATTR_LIST);
  EXPECT_EQ(op->attributes[5].default_value->count, 2u);
  EXPECT_TRUE(op->attributes[6].required);
  EXPECT_EQ(op->attributes[7].kind, TRIVET_ATTR_TENSOR);
  EXPECT_EQ(op->attributes[8].kind, TRIVET_ATTR_GRAPH);
  EXPECT_EQ(*static_cast<const double*>(op->attributes[9].default_value->data), -HUGE_VAL);
}

TEST_F(OperatorTextTest, Graphs) {
  tvi_kir_operator_t* op = Parse(
      "op acme.SwiGLU/1 (x: T[D..., K], gate: T[K, H], rest...: T[*]) -> (y: T[D..., H]) where T: "
      "float\n"
      "attr axis: i64 = 1\n"
      "graph {\n"
      "  %g = std.MatMul(%x, %gate)\n"
      "  %a, _, %b = std.Split/13(%g, _) { axis = axis, num = 3, mode = \"m\", to = f16, list = "
      "[1.5, 2], f = -2.5 }\n"
      "  %y = std.Sum(%rest:0, %rest...)\n"
      "}\n");
  ASSERT_NE(op, nullptr) << error_;
  ASSERT_EQ(op->body.kind, TVI_KIR_BODY_GRAPH);
  ASSERT_EQ(op->body.line_count, 3u);
  const tvi_kir_graph_line_t& split = op->body.lines[1];
  EXPECT_EQ(Text(split.op), "std.Split");
  EXPECT_EQ(split.version, 13u);
  EXPECT_EQ(split.line, 5u);
  ASSERT_EQ(split.output_count, 3u);
  EXPECT_EQ(Text(split.outputs[1]), "_");
  ASSERT_EQ(split.input_count, 2u);
  EXPECT_EQ(split.inputs[1].size, 0u);
  ASSERT_EQ(split.attribute_count, 6u);
  EXPECT_EQ(split.attributes[0].value, nullptr);
  EXPECT_EQ(split.attributes[0].reference, 0u);
  EXPECT_EQ(split.attributes[1].value->kind, TRIVET_ATTR_I64);
  EXPECT_EQ(split.attributes[3].value->kind, TRIVET_ATTR_DTYPE);
  EXPECT_EQ(split.attributes[5].value->kind, TRIVET_ATTR_F32);
  EXPECT_EQ(Text(op->body.lines[2].inputs[0]), "rest:0");
  EXPECT_EQ(Text(op->body.lines[2].inputs[1]), "rest...");
  const tvi_kir_body_t* body = nullptr;
  EXPECT_EQ(Message(tvi_kir_body_parse(op, tvi_sv("%y = std.Neg(%x)"), true, &arena_, &body)), "");
  EXPECT_EQ(body->line_count, 1u);
  EXPECT_EQ(
      Message(tvi_kir_body_parse(op, tvi_sv("graph { %y = std.Neg(%x) }"), true, &arena_, &body)),
      "");
}

TEST_F(OperatorTextTest, MistakesNameTheirPlace) {
  const std::string head =
      "op a.B/1 (x: T[D..., K], v...: f32[*]) -> (y: T[D..., K]) where T: float\n";
  struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"", "line 1, column 1: 'op' expected"},
      {"op a.B (x: f32) -> (y: f32)", "line 1, column 8: '/' expected, not '('"},
      {"op a.B/0 (x: f32) -> (y: f32)", "line 1, column 10: versions begin with 1"},
      {"op a.B/1 (x: f32) -> ()", "line 1, column 24: an operator has at least one output"},
      {"op a.B/1 (x: f32, x: f32) -> (y: f32)", "line 1, column 19: operand 'x' occurs twice"},
      {"op a.B/1 (x...: f32, z: f32) -> (y: f32)",
       "line 1, column 22: a variadic operand must be the last"},
      {"op a.B/1 (x: f32[k...]) -> (y: f32)",
       "line 1, column 18: extent 'k' must begin with an upper-case letter"},
      {"op a.B/1 (x: f32[A..., B...]) -> (y: f32)", "line 1, column 24: operand 'x' has two packs"},
      {"op a.B/1 (x: T) -> (y: T) where T: real",
       "line 1, column 36: 'real' is neither an element type nor a class of them"},
      {"op a.B/1 (x: T[T]) -> (y: T)", "line 1, column 29: 'T' is both a type and an extent"},
      {"op a.B/1 (x: T) -> (y: T) where T = to",
       "line 1, column 37: 'to' is not an attribute of type dtype"},
      {"language 2\nop a.B/1 () -> (y: f32)",
       "line 1, column 10: language 2 is newer than this library, which reads 1"},
      {head + "attr x: i64", "line 2, column 6: 'x' is taken already"},
      {head + "attr a: int",
       "line 2, column 9: attribute type i64, f32, string, dtype, tensor or graph expected"},
      {head + "attr a: i64 = 1.5", "line 2, column 15: an integer expected"},
      {head + "attr a: i64[] = 1", "line 2, column 17: a list expected"},
      {head + "z[i] = 1", "line 2, column 1: 'z' is not an output"},
      {head + "y[i..., k] = x[i..., k\n] +",
       "line 3, column 4: an expression expected, but the line ends"},
      {head + "y[i..., K] = 1", "line 2, column 9: index 'K' must begin with a lower-case letter"},
      {head + "y[i..., i] = 1", "line 2, column 9: index 'i' occurs twice"},
      {head + "y[i..., k] = 1\ny[i..., k] = 2", "line 3, column 1: output 'y' is defined twice"},
      {head + "let m[i: K] = 1\nlet m = 2", "line 3, column 5: 'm' is taken already"},
      {head + "y[i..., k] = sum(){ 1 }", "line 2, column 19: '{' after the end of a statement"},
      {head + "y[i..., k] = total(j: K){ 1 }", "line 2, column 14: 'total' is not a reduction"},
      {head + "y[i..., k] = sum(j: K) x[i..., j]", "line 2, column 24: '{' expected, not 'x'"},
      {head + "y[i..., k] = scan(k: K){ x[i..., k] }",
       "line 2, column 38: 'with' expected after a scan"},
      {head + "y[i..., k] = exp(1, 2)", "line 2, column 14: 'exp' takes 1 argument, not 2"},
      {head + "y[i..., k] = x[i..., k; mirror]",
       "line 2, column 25: 'wrap', 'clip' or 'pad = value' expected"},
      {head + "y[i..., k] = sat(Q, 1)", "line 2, column 18: 'Q' is not an element type"},
      {head + "y[i..., k] = has(z)", "line 2, column 18: 'z' is not an operand"},
      {head + "y[i..., k] = 1 2", "line 2, column 16: '2' after the end of a statement"},
      {head + "y[i..., k] = 1x", "line 2, column 14: a number runs into a name"},
      {head + "y[i..., k] = 99999999999999999999", "line 2, column 14: the number is too large"},
      {head + "y[i..., k] = `", "line 2, column 14: a character that begins nothing"},
      {head + "y[i..., k] = $(n", "line 2, column 14: '$(' without ')'"},
      {head + "attr s: string = \"abc", "line 2, column 18: a string without end"},
      {head + "monoid m(a: f32) = identity (0.0, 1.0) join (a, b) -> a.a",
       "line 2, column 33: ')' expected, not ','"},
      {head + "monoid sum(a: f32) = identity (0.0) join (a, b) -> a.a",
       "line 2, column 8: 'sum' is declared already"},
      {head + "graph { %y = std.Neg(%x) } y[i] = 1",
       "line 2, column 28: nothing may follow a graph"},
      {head + "graph { y = std.Neg(%x) }", "line 2, column 9: '%' expected, not 'y'"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Parse(c.text), nullptr) << c.text;
    EXPECT_EQ(error_, c.message) << c.text;
  }
}

TEST_F(OperatorTextTest, NestingIsLimited) {
  const std::string head = "op a.B/1 (x: f32[K]) -> (y: f32[K])\ny[i] = ";
  for (const char* part : {"(", "-", "exp(", "x[", "sum(k: K){", "1 ? ", "1 + (", "select(1, "}) {
    std::string text = head;
    for (int i = 0; i < 50000; ++i) text += part;
    EXPECT_EQ(Parse(text), nullptr);
    EXPECT_NE(error_.find("nested too deeply"), std::string::npos) << error_;
  }
  std::string chain = head + "1";
  for (int i = 0; i < 50000; ++i) chain += " + 1";
  EXPECT_EQ(Parse(chain), nullptr);
  EXPECT_NE(error_.find("nested too deeply"), std::string::npos) << error_;
}

TEST_F(OperatorTextTest, DamagedTextNeverCrashes) {
  const std::string text =
      "op acme.LayerNorm/1 (x: T[D..., K], b?: T[bcast D...], v...: f32[*]) -> (y: T[D..., K], z?: "
      "i64[2*K + 1]) where T: float\n"
      "attr epsilon: f32 = 1e-5\nattr axes: i64[] = [1, 2]\n"
      "fn silu(x: F) -> F = x * sigmoid(x)\n"
      "monoid lse(m: f32, s: f32) = identity (-inf, 0.0)\n join (a, b) -> (max(a.m, b.m), a.s * "
      "exp(a.m - b.m))\n"
      "let mean[i: D...] : f32 = sum(k: K){ f32(x[i..., k]) } / f32(K)\n"
      "y[i..., k] = has(b) ? T(silu(f32(x[i..., k]) - mean[i...] + epsilon)) : x[i..., k; pad = 0] "
      "+ sat(T, f32(v:0.0 % 3))\n"
      "z[j] = scan(j: $(a*2)){ i64(j << 2) } with sum exclusive\n";
  ASSERT_NE(Parse(text), nullptr) << error_;
  std::mt19937 rng(42);
  const char* scraps[] = {"(",  ")", "[",  "]",  "{", "}", ",",    ":", "...", "=",
                          "\n", "%", "$(", "\"", "0", "T", "let ", "y", ".",   "?"};
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = text;
    for (unsigned i = 0; i <= rng() % 3; ++i) {
      if (damaged.empty()) break;
      size_t at = rng() % damaged.size();
      switch (rng() % 4) {
        case 0:
          damaged.erase(at, 1 + rng() % 8);
          break;
        case 1:
          damaged[at] = static_cast<char>(rng());
          break;
        case 2:
          damaged.insert(at, scraps[rng() % 20]);
          break;
        default:
          damaged.resize(at + 1);
          break;
      }
    }
    tvi_kir_operator_t* op = nullptr;
    trivet_status_t status = tvi_kir_operator_parse(tvi_sv_make(damaged.data(), damaged.size()),
                                                    trivet_allocator_system(), &op);
    trivet_status_free(status);
    tvi_kir_operator_destroy(op);
  }
}

TEST_F(OperatorTextTest, Functions) {
  tvi_kir_function_t* function = nullptr;
  ASSERT_EQ(Message(tvi_kir_function_parse(
                tvi_sv("fn acme.mish(x: f32) -> f32 = x * tanh(log1p(exp(x)))"),
                trivet_allocator_system(), &function)),
            "");
  EXPECT_EQ(Text(tvi_kir_function_name(function)), "acme.mish");
  tvi_kir_function_destroy(function);
  EXPECT_EQ(Message(tvi_kir_function_parse(tvi_sv("fn f(x: f32) -> G = x"),
                                           trivet_allocator_system(), &function)),
            "line 1, column 17: 'G' is not an element type");
  EXPECT_EQ(Message(tvi_kir_function_parse(tvi_sv("fn f(x: f32) -> f32 = x\nfn g"),
                                           trivet_allocator_system(), &function)),
            "line 2, column 1: nothing may follow a function");
}

TEST_F(OperatorTextTest, EveryFailedAllocationIsAnError) {
  const char* text =
      "op acme.LayerNorm/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
      "attr epsilon: f32 = 1e-5\n"
      "fn silu(x: F) -> F = x * sigmoid(x)\n"
      "let mean[i: D...] = sum(k: K){ f32(x[i..., k]) } / f32(K)\n"
      "y[i..., k] = T(silu(f32(x[i..., k]) - mean[i...]) + epsilon)\n";
  int failures = 0;
  for (int n = 0;; ++n) {
    CountingAllocator allocator;
    allocator.left = n;
    tvi_kir_operator_t* op = nullptr;
    trivet_status_t status = tvi_kir_operator_parse(tvi_sv(text), allocator.Get(), &op);
    if (status == nullptr) {
      tvi_kir_operator_destroy(op);
      EXPECT_EQ(allocator.alive, 0);
      break;
    }
    EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
    EXPECT_EQ(allocator.alive, 0);
    ++failures;
  }
  EXPECT_GT(failures, 3);
}

}  // namespace
