// SPDX-License-Identifier: Apache-2.0
//
// Rewrites given as text: matching, conditions, replacement, near misses, and errors in the text.
// On operators of the test's own, so that nothing of the standard ones is needed.
#include <gtest/gtest.h>

#include "core/pass/pass.h"
#include "core/pass/pass_internal.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;

// Definitions live as long as the registry, so they are kept here.
trivet_rewrite_t g_rewrite;
const void* g_definitions[] = {&g_rewrite};
trivet_plugin_t g_plugin;

const trivet_plugin_t* RewritePlugin(uint32_t, uint32_t) { return &g_plugin; }

class Rewrite : public trivet_test::GraphTest {
 protected:
  // Adds a rewrite "rule" with this text.
  std::string Add(const char* text) {
    g_rewrite = trivet_rewrite_t{TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),
                                 "rule",
                                 "for tests",
                                 text,
                                 nullptr,
                                 nullptr};
    g_plugin = trivet_plugin_t{TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                               TRIVET_ABI_MAJOR,
                               TRIVET_ABI_MINOR,
                               TRIVET_SANITIZER,
                               TRIVET_HALF_BUILD,
                               "rules",
                               "1",
                               "",
                               g_definitions,
                               1};
    return Take(tvi_registry_add(registry_, RewritePlugin, nullptr));
  }

  // Runs the rewrite over the text and returns the lines between the braces.
  std::string Run(const std::string& body) {
    notes_.clear();
    trivet_graph_t* graph = Parse("graph {\n" + body + "\n}");
    if (graph == nullptr) return "";
    tvi_pass_options_t options = {};
    options.stop_after = -1;
    options.verify = 1;
    tvi_pass_manager_t* manager = nullptr;
    EXPECT_EQ(
        Take(tvi_pass_manager_create(registry_, &options, trivet_allocator_system(), &manager)),
        "OK");
    std::string message = Take(tvi_pass_manager_run(manager, "rule", graph));
    for (uint32_t i = 0; i < tvi_pass_manager_note_count(manager); ++i) {
      const tvi_pass_note_t* note = tvi_pass_manager_note(manager, i);
      notes_ += (note->declined ? "-" : "+") + std::string(note->text.data, note->text.size) + "\n";
    }
    tvi_pass_manager_destroy(manager);
    EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
    return message == "OK" ? Print(graph) : message;
  }

  std::string notes_;
};

const char kSwish[] =
    "match { %s = test.Sigmoid(%x)  %y = test.Mul(%x, %s) } where one_use(%s)\n"
    "to { %y = test.Swish(%x) }";

TEST_F(Rewrite, ReplacesAndRemoves) {
  ASSERT_EQ(Add(kSwish), "OK");
  const char* expected = R"(graph {
  input %x: f32[4]
  %y = test.Swish(%x) : f32[4]
  output "y": %y
}
)";
  EXPECT_EQ(Run("input %x: f32[4]\n%s = test.Sigmoid(%x)\n%y = test.Mul(%x, %s)\noutput \"y\": %y"),
            expected);
  EXPECT_EQ(notes_, "+became test.Swish\n");
  // Operands of a commutative operator match in either order.
  EXPECT_EQ(Run("input %x: f32[4]\n%s = test.Sigmoid(%x)\n%y = test.Mul(%s, %x)\noutput \"y\": %y"),
            expected);
}

TEST_F(Rewrite, NearMissesAreExplained) {
  ASSERT_EQ(Add(kSwish), "OK");
  std::string text = Run(
      "input %x: f32[4]\n%s = test.Sigmoid(%x)\n%y = test.Mul(%x, %s)\noutput \"y\": %y\noutput "
      "\"s\": %s");
  EXPECT_NE(text.find("test.Mul"), std::string::npos);
  EXPECT_EQ(notes_, "-one_use(%s) does not hold\n");
  Run("input %x: f32[4]\ninput %z: f32[4]\n%s = test.Sigmoid(%x)\n%y = test.Mul(%z, %s)\noutput "
      "\"y\": %y");
  EXPECT_EQ(notes_, "-%x would have to be two values\n");
  // Nothing of it is there: nothing is said.
  Run("input %x: f32[4]\n%s = test.Relu(%x)\n%y = test.Mul(%x, %s)\noutput \"y\": %y");
  EXPECT_EQ(notes_, "");
}

TEST_F(Rewrite, BacktracksOverCommutativeOperands) {
  // (a + b) * (a * c): which product is which is only known at the end.
  ASSERT_EQ(Add("match { %p = test.Add(%a, %b) %q = test.Mul(%a, %c) %y = test.Mul(%p, %q) }\n"
                "to { %y = test.Sub(%b, %c) }"),
            "OK");
  std::string text =
      Run("input %a: f32[2]\ninput %b: f32[2]\ninput %c: f32[2]\n%p = test.Add(%b, %a)\n"
          "%q = test.Mul(%c, %a)\n%y = test.Mul(%q, %p)\noutput \"y\": %y");
  EXPECT_NE(text.find("%y = test.Sub(%b, %c) : f32[2]\n  output"), std::string::npos) << text;
}

TEST_F(Rewrite, Constants) {
  ASSERT_EQ(Add("match { %c = const 1.0  %y = test.Mul(%x, %c) } to { %y = %x }"), "OK");
  EXPECT_EQ(Run("input %x: f32[4]\nconst %c: f32[4] = splat(1.0)\n%y = test.Mul(%c, %x)\n%z = "
                "test.Relu(%y)\noutput \"z\": %z"),
            R"(graph {
  input %x "x" "y": f32[4]
  %z = test.Relu(%x) : f32[4]
  output "z": %z
}
)");
  Run("input %x: f32[4]\nconst %c: f32[] = [2.0]\n%y = test.Mul(%x, %c)\noutput \"y\": %y");
  EXPECT_EQ(notes_, "");
  // The constant broadcasts: the result would have another shape than %x.
  Run("input %x: f32[1]\nconst %c: f32[4] = splat(1.0)\n%y = test.Mul(%x, %c)\noutput \"y\": %y");
  EXPECT_EQ(notes_, "-%y would get another type\n");
}

TEST_F(Rewrite, MakesConstants) {
  ASSERT_EQ(
      Add("match { %y = test.Add(%x, %x) } to { %k = const 2 dtype(%x)  %y = test.Mul(%x, %k) }"),
      "OK");
  EXPECT_EQ(Run("input %x: i64[4]\n%y = test.Add(%x, %x)\noutput \"y\": %y"), R"(graph {
  input %x: i64[4]
  const %0: i64[] = [2]
  %y = test.Mul(%x, %0) : i64[4]
  output "y": %y
}
)");
}

TEST_F(Rewrite, AttributesBindAndCompare) {
  ASSERT_EQ(Add("match { %a = test.Scale(%x) { factor = 2, name = $n }\n"
                "        %y = test.Scale(%a) { factor = $f, name = $n, times = $t } }\n"
                "where $t >= 3, $f != 1.0, rank(%x) == 1, dtype(%x) == f32, not scalar(%x), "
                "has_const_shape(%x), same_shape(%x, %y), one_use(%a)\n"
                "to { %y = test.Scale(%x) { factor = $f, times = 7, axes = [1, 2] } }"),
            "OK");
  std::string good =
      "input %x: f32[4]\n%a = test.Scale(%x)\n%y = test.Scale(%a) { factor = 3.0, times = 3 "
      "}\noutput "
      "\"y\": %y";
  EXPECT_EQ(Run(good), R"(graph {
  input %x: f32[4]
  %y = test.Scale(%x) { axes = [1, 2], factor = 3.0, times = 7 } : f32[4]
  output "y": %y
}
)");
  Run("input %x: f32[4]\n%a = test.Scale(%x)\n%y = test.Scale(%a) { factor = 3.0, times = 2 "
      "}\noutput "
      "\"y\": %y");
  EXPECT_EQ(notes_, "-$t >= 3 does not hold\n");
  Run("input %x: f32[1]\n%a = test.Scale(%x)\n%y = test.Scale(%a) { factor = 3.0, times = 3 "
      "}\noutput "
      "\"y\": %y");
  EXPECT_EQ(notes_, "-not scalar(%x) does not hold\n");
  Run("input %x: f32[n]\n%a = test.Scale(%x)\n%y = test.Scale(%a) { factor = 3.0, times = 3 "
      "}\noutput "
      "\"y\": %y");
  EXPECT_EQ(notes_, "-has_const_shape(%x) does not hold\n");
  std::string other = Run(
      "input %x: f32[4]\n%a = test.Scale(%x) { name = \"o\" }\n%y = test.Scale(%a) { factor = 3.0, "
      "times = 3 }\noutput \"y\": %y");
  EXPECT_NE(other.find("times = 3"), std::string::npos);
}

TEST_F(Rewrite, RefusedRightSidesLeaveTheGraphAlone) {
  // test.Both takes rank 1 only.
  ASSERT_EQ(Add("match { %a = test.Relu(%x) %y = test.Sigmoid(%a) }\n"
                "to { %t = test.Scale(%x) %y, _ = test.Both(%t) }"),
            "OK");
  std::string text =
      Run("input %x: f32[2, 2]\n%a = test.Relu(%x)\n%y = test.Sigmoid(%a)\noutput \"y\": %y");
  EXPECT_EQ(text, R"(graph {
  input %x: f32[2, 2]
  %a = test.Relu(%x) : f32[2, 2]
  %y = test.Sigmoid(%a) : f32[2, 2]
  output "y": %y
}
)");
  EXPECT_EQ(notes_.substr(0, 20), "-node of test.Both: ") << notes_;
}

TEST_F(Rewrite, UnknownOperatorOfTheRightSideIsAnError) {
  ASSERT_EQ(Add("match { %y = test.Relu(%x) } to { %y = nowhere.Op(%x) }"), "OK");
  EXPECT_EQ(Run("input %x: f32[2]\n%y = test.Relu(%x)\noutput \"y\": %y"),
            "pass 'rule': there is no operator 'nowhere.Op'");
}

TEST_F(Rewrite, UnusedMatchesOfOtherOperatorsDoNothing) {
  ASSERT_EQ(Add("match { %y = nowhere.Op(%x) } to { %y = test.Relu(%x) }"), "OK");
  EXPECT_NE(Run("input %x: f32[2]\n%y = test.Relu(%x)\noutput \"y\": %y").find("test.Relu"),
            std::string::npos);
}

TEST_F(Rewrite, TextErrors) {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {
      {"", "line 1, column 1: expected 'match'"},
      {"match { } to { %y = a.B(%x) }", "line 1, column 10: there is no node"},
      {"match { %y = Relu(%x) } to { %y = a.B(%x) }",
       "line 1, column 14: expected an operator such as std.Add, or 'const'"},
      {"match { %y = a.B(%x) } to { %z = a.B(%x) }",
       "line 1, column 43: the right side replaces nothing"},
      {"match { %a = a.B(%x) %y = a.C(%a) } to { %a = a.D(%x) }",
       "line 1, column 56: %a cannot be replaced: it is no result of the match's last node"},
      {"match { %a = a.B(%x) %y = a.C(%x) } to { %y = a.D(%x) }",
       "line 1, column 36: line 1 of the match is no operand of what follows"},
      {"match { %y = a.B(%x) } to { %y = a.C(%q) }", "line 1, column 38: %q is not defined"},
      {"match { %y = a.B(%x) } to { %t = a.C(%y) %y = a.C(%t) }",
       "line 1, column 38: %y is what is replaced"},
      {"match { %y = a.B(%x) } where nice(%x) to { %y = a.C(%x) }",
       "line 1, column 30: there is no condition 'nice'"},
      {"match { %y = a.B(%x) } where rank(%x) == f32 to { %y = a.C(%x) }",
       "line 1, column 42: this cannot be compared with rank"},
      {"match { %y = a.B(%x) } where one_use(%q) to { %y = a.C(%x) }",
       "line 1, column 38: %q is not in the match"},
      {"match { %y = a.B(%x) } to { %y = a.C(%x) { k = $a } }",
       "line 1, column 50: $a is not bound"},
      {"match { %y = a.B(%x) } to { %y = a.C(%x) } and",
       "line 1, column 44: something follows the rewrite"},
      {"match { %x = a.B(%y) %y = a.C(%x) } to { %y = a.D(%x) }",
       "line 1, column 22: %y is used before it is defined"},
      {"match { _ = const %y = a.C(%x) } to { %y = a.D(%x) }",
       "line 1, column 18: a constant has one name"},
  };
  for (const Case& each : cases) {
    trivet_rewrite_t rewrite = {TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),
                                "r",
                                "",
                                each.text,
                                nullptr,
                                nullptr};
    EXPECT_EQ(Take(tvi_rewrite_check(&rewrite, trivet_allocator_system())), each.message)
        << each.text;
  }
  // Cut anywhere, a text is an error and nothing else.
  std::string whole =
      "match { %c = const -0.5 %y = a.B(%x, %c) { k = $a, l = [1, \"s\"] } } where "
      "not last_axis($a, %x), rank(%y) >= 2 to { %y = %x }";
  trivet_rewrite_t rewrite = {TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),
                              "r",
                              "",
                              whole.c_str(),
                              nullptr,
                              nullptr};
  EXPECT_EQ(Take(tvi_rewrite_check(&rewrite, trivet_allocator_system())), "OK");
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string cut = whole.substr(0, i);
    rewrite.text = cut.c_str();
    EXPECT_NE(Take(tvi_rewrite_check(&rewrite, trivet_allocator_system())), "OK") << cut;
  }
}

}  // namespace
