// SPDX-License-Identifier: Apache-2.0
//
// Both printed forms of a plan: the text against what a person should read, the JSON against a
// parser of its grammar, and expressions with all their operations.

#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <string>

#include "core/plan/plan.h"
#include "core/plan/plan_format.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::PlanSample;

class PlanText : public ::testing::Test {
 protected:
  PlanText() {
    EXPECT_EQ(tvi_plan_place_weights(sample_.constants.data(), 4, &sample_.plan.weights_size),
              nullptr);
  }
  std::string Print(trivet_status_t (*print)(const tvi_plan_t*, tvi_string_builder_t*)) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(print(&sample_.plan, &builder), nullptr);
    std::string text(builder.data, builder.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }
  std::string PrintExpr(const std::vector<int>& bytes) {
    sample_.codes.emplace_back(bytes.begin(), bytes.end());
    sample_.exprs.push_back({reinterpret_cast<const uint8_t*>(sample_.codes.back().data()),
                             sample_.codes.back().size()});
    sample_.plan.exprs = sample_.exprs.data();
    sample_.plan.expr_count = static_cast<uint32_t>(sample_.exprs.size());
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    tvi_string_builder_append_cstr(&builder, "<");
    tvi_plan_print_expr(&sample_.plan, sample_.plan.expr_count - 1, &builder);
    tvi_string_builder_append_cstr(&builder, ">");
    std::string text(builder.data, builder.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }

  PlanSample sample_;
};

// Accepts exactly the JSON grammar (RFC 8259).
class JsonGrammar {
 public:
  explicit JsonGrammar(const std::string& text) : text_(text) {}
  bool Whole() {
    bool ok = Value() && (Blank(), at_ == text_.size());
    return ok;
  }
  size_t at() const { return at_; }

 private:
  void Blank() {
    while (at_ < text_.size() && strchr(" \n\r\t", text_[at_]) != nullptr) ++at_;
  }
  bool Take(char c) {
    Blank();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool String() {
    if (!Take('"')) return false;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    return at_ < text_.size() && text_[at_++] == '"';
  }
  bool Members(char close, bool named) {
    if (Take(close)) return true;
    do {
      if (named && !(String() && Take(':'))) return false;
      if (!Value()) return false;
    } while (Take(','));
    return Take(close);
  }
  bool Value() {
    Blank();
    if (at_ >= text_.size()) return false;
    if (Take('{')) return Members('}', true);
    if (Take('[')) return Members(']', false);
    if (text_[at_] == '"') return String();
    for (const char* word : {"true", "false", "null"}) {
      if (text_.compare(at_, strlen(word), word) == 0) {
        at_ += strlen(word);
        return true;
      }
    }
    size_t begin = at_;
    if (text_[at_] == '-') ++at_;
    while (at_ < text_.size() && isdigit(static_cast<unsigned char>(text_[at_]))) ++at_;
    return at_ > begin;
  }

  const std::string& text_;
  size_t at_ = 0;
};

TEST_F(PlanText, ForPeople) {
  sample_.plan.program_count = 1;
  EXPECT_EQ(Print(tvi_plan_print),
            R"(plan "sample", format 1
build {"tool": "test"}
plugin "cpu_test" "1.0"
symbol batch: 1..8
symbol found: 0..32, from data
input "x" f32[batch, 4], aligned to 64
output "y" f32[batch, 4], aligned to 64, may overlap "x"
output "indices" i64[found], aligned to 64
profile 0 "x": min [1, 4] opt [4, 4] max [8, 4]
constant 0 "w" f32[4, 4], 64 bytes at 0, hash 0000000000001111ffffffffffffeeee
constant 1 i8[10], 10 bytes at 64, hash 0000000000002222ffffffffffffdddd
constant 2 "empty" f32[0, 3], 0 bytes at 128, hash 0000000000003333ffffffffffffcccc
constant 3 "big" u8[300], 300 bytes at 128, hash 0000000000004444ffffffffffffbbbb
program 0 for "cpu", arena 128 bytes, at least 128
  moves 0 copies into another layout (0 bytes), 0 casts (0 bytes)
  check batch >= 1
  buffer 4: 16*batch bytes, steps 0..1
  step 0 LAUNCH "fc1 + bias1" by epilogue
    cpu.fast/1, blocked, blob of 100 bytes
      when batch >= 4
      when batch divisible by 4
      needs isa:avx2
      needs plugin:cpu_test
      in  %0 "x" f32[batch, 4] of binding "x"
      in  %2 "w" f32[4, 4] of constant 0
      in  absent
      out %3 "hidden" f32[batch, 4] of buffer 4, observed
    cpu.tile/1, blob of 23 bytes
      parameters [batch, 16]
      in  %0 "x" f32[batch, 4] of binding "x"
      in  %2 "w" f32[4, 4] of constant 0
      in  absent
      out %3 "hidden" f32[batch, 4] of buffer 4, observed
  step 1 LAUNCH "relu1" by region, queue 1, after 0
    cpu.tile/1, blob of 23 bytes
      in  %3 "hidden" f32[batch, 4] of buffer 4, observed
      out %1 "y" f32[batch, 4] of binding "y"
  step 2 HOST "nonzero" by host, after 1, binds found to axis 0 of output 0
    std.NonZero/1
      in  %1 "y" f32[batch, 4] of binding "y"
      in  %5 i8[8] of constant 1
      out %4 "indices" i64[found] of binding "indices"
)");
}

TEST_F(PlanText, OffsetsAndStridesAreSaidWhereTheyAreNotPlain) {
  sample_.tensors[3].strides[0] = 1;
  sample_.tensors[3].strides[1] = 5;
  sample_.tensors[3].offset = 3;
  EXPECT_NE(Print(tvi_plan_print)
                .find("out %3 \"hidden\" f32[batch, 4] strides [1, batch] of buffer 4 at byte 16, "
                      "observed"),
            std::string::npos);
}

// By the part that made them, at the batch of 4 that the profile prefers: x and y are 64 bytes
// each.
TEST_F(PlanText, CopiesAndCastsAreCounted) {
  for (const char* maker : {"reformat", "view", "concat", "output", "cast"}) {
    sample_.steps[1].made_by = trivet_string_view_t{maker, strlen(maker)};
    const bool is_cast = strcmp(maker, "cast") == 0;
    std::string text = Print(tvi_plan_print), json = Print(tvi_plan_print_json);
    EXPECT_NE(
        text.find(is_cast ? "moves 0 copies into another layout (0 bytes), 1 casts (128 bytes)"
                          : "moves 1 copies into another layout (128 bytes), 0 casts (0 "
                            "bytes)"),
        std::string::npos)
        << text;
    for (const char* key : {is_cast ? "\"casts\": 1," : "\"reformats\": 1,",
                            is_cast ? "\"cast_bytes\": 128," : "\"reformat_bytes\": 128,",
                            is_cast ? "\"reformats\": 0," : "\"casts\": 0,"}) {
      EXPECT_NE(json.find(key), std::string::npos) << key;
    }
  }
}

TEST_F(PlanText, JsonIsJson) {
  sample_.plan.name = TRIVET_SV("quotes \" and \\ and \n\x01\xff");
  sample_.symbols[0].name = TRIVET_SV("ba\"tch");
  std::string text = Print(tvi_plan_print_json);
  JsonGrammar grammar(text);
  EXPECT_TRUE(grammar.Whole()) << text.substr(0, grammar.at());
  for (const char* part :
       {"\"name\": \"quotes \\\" and \\\\ and \\n\\u0001", "\"shape\": [\"ba\\\"tch\", \"4\"]",
        "\"kernel\": \"cpu.fast\"", "\"guards\": [\"ba\\\"tch >= 4\"", "\"weights_size\": 428",
        "\"target\": \"other\"", "\"alias\": null", "\"observed\": true",
        "\"hash\": \"0000000000001111ffffffffffffeeee\"", "\"min\": [1, 4]",
        "{\"symbol\": \"found\", \"output\": 0, \"axis\": 0}",
        "{\"role\": \"input\", \"tensor\": "
        "null}"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

TEST_F(PlanText, Expressions) {
  const int kConstant = TVI_DIM_CODE_CONSTANT, kSymbol = TVI_DIM_CODE_SYMBOL;
  EXPECT_EQ(PrintExpr({kConstant, 1}), "<-1>");
  EXPECT_EQ(PrintExpr({kSymbol, 0, kConstant, 4, TVI_DIM_CODE_MUL, kConstant, 2, TVI_DIM_CODE_ADD}),
            "<2*batch + 1>");
  EXPECT_EQ(PrintExpr({kSymbol, 0, kConstant, 5, TVI_DIM_CODE_ADD}), "<batch - 3>");
  EXPECT_EQ(PrintExpr({kSymbol, 0, kSymbol, 1, kConstant, 1, TVI_DIM_CODE_MUL, TVI_DIM_CODE_ADD}),
            "<batch - 1*found>");
  EXPECT_EQ(PrintExpr({kSymbol, 0, kSymbol, 1, TVI_DIM_CODE_ADD, kSymbol, 0, TVI_DIM_CODE_MUL}),
            "<(batch + found)*batch>");
  EXPECT_EQ(PrintExpr({kSymbol, 0, kSymbol, 1, TVI_DIM_CODE_MUL, kSymbol, 0, TVI_DIM_CODE_MUL}),
            "<batch*found*batch>");
  const std::pair<int, const char*> functions[] = {{TVI_DIM_CODE_FLOORDIV, "floordiv"},
                                                   {TVI_DIM_CODE_CEILDIV, "ceildiv"},
                                                   {TVI_DIM_CODE_MOD, "mod"},
                                                   {TVI_DIM_CODE_MIN, "min"},
                                                   {TVI_DIM_CODE_MAX, "max"}};
  for (const auto& function : functions) {
    EXPECT_EQ(PrintExpr({kSymbol, 0, kConstant, 2, TVI_DIM_CODE_ADD, kConstant, 4, function.first}),
              std::string("<") + function.second + "(batch + 1, 2)>");
  }
  // As long as the format allows: named, not spelled out.
  std::vector<int> chain = {kSymbol, 0};
  for (int i = 0; i < 2000; ++i) chain.insert(chain.end(), {kSymbol, 1, TVI_DIM_CODE_ADD});
  std::string number = std::to_string(sample_.exprs.size());
  EXPECT_EQ(PrintExpr(chain), "<expression(" + number + ")>");
}

TEST_F(PlanText, EveryAllocationMayFail) {
  for (auto print : {tvi_plan_print, tvi_plan_print_json}) {
    uint64_t failures = trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
      tvi_string_builder_t builder;
      tvi_string_builder_init(&builder, allocator);
      trivet_status_t status = print(&sample_.plan, &builder);
      tvi_string_builder_deinit(&builder);
      return status;
    });
    EXPECT_GT(failures, 5u);
  }
}

}  // namespace
