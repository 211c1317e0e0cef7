// SPDX-License-Identifier: Apache-2.0
//
// Merged plans: what is equal is there once, programs mean what they meant, pruning one of them
// leaves the others alone, and plans that do not belong together are refused by name.

#include "core/plan/plan_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <regex>

#include "core/plan/plan_select.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::PlanSample;

std::string TextOf(trivet_status_t status) {
  std::string text = status ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return text;
}

// A plan as the reader gives it.
class Read {
 public:
  explicit Read(const std::vector<uint8_t>& bytes) { Take(bytes); }
  explicit Read(const std::function<void(PlanSample*)>& change) {
    PlanSample sample;
    change(&sample);
    std::vector<uint8_t> bytes;
    EXPECT_EQ(TextOf(sample.Write(&bytes)), "");
    Take(bytes);
  }
  ~Read() {
    tvi_plan_destroy(plan);
    free(memory_);
  }
  Read(const Read&) = delete;
  Read& operator=(const Read&) = delete;
  tvi_plan_t* plan = nullptr;

 private:
  void Take(const std::vector<uint8_t>& bytes) {
    memory_ = aligned_alloc(64, (bytes.size() + 63) / 64 * 64);
    memcpy(memory_, bytes.data(), bytes.size());
    EXPECT_EQ(TextOf(tvi_plan_read(static_cast<uint8_t*>(memory_), bytes.size(),
                                   TVI_PLAN_READ_VERIFY_WEIGHTS, trivet_allocator_system(), &plan)),
              "");
  }
  void* memory_ = nullptr;
};

void Rename(PlanSample* sample) {
  sample->programs[0].target = TRIVET_SV("third");
  sample->programs[1].target = TRIVET_SV("fourth");
}

class PlanMerge : public testing::Test {
 protected:
  PlanMerge() { tvi_arena_init(&arena_, trivet_allocator_system(), 0); }
  ~PlanMerge() override { tvi_arena_deinit(&arena_); }
  std::string Merge(std::vector<const tvi_plan_t*> sources) {
    sources_ = std::move(sources);
    return TextOf(
        tvi_plan_merge(sources_.data(), static_cast<uint32_t>(sources_.size()), &arena_, &merge_));
  }
  static std::vector<uint8_t> Written(const tvi_plan_t& plan,
                                      const tvi_plan_weight_source_t& weights) {
    std::vector<uint8_t> bytes;
    trivet_sink_t sink = {&bytes, [](void* self, const void* data, size_t size) {
                            const auto* begin = static_cast<const uint8_t*>(data);
                            auto* out = static_cast<std::vector<uint8_t>*>(self);
                            out->insert(out->end(), begin, begin + size);
                            return static_cast<trivet_status_t>(nullptr);
                          }};
    EXPECT_EQ(TextOf(tvi_plan_write(&plan, &weights, trivet_allocator_system(), sink)), "");
    return bytes;
  }
  static std::string Steps(const tvi_plan_t* plan, uint32_t program) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    tvi_plan_t alone = *plan;
    alone.programs += program;
    alone.program_count = 1;
    EXPECT_EQ(TextOf(tvi_plan_print(&alone, &builder)), "");
    std::string text(builder.data, tvi_string_builder_view(&builder).size);
    tvi_string_builder_deinit(&builder);
    text = text.substr(text.find("  step 0"));
    text = std::regex_replace(text, std::regex("%[0-9]+"), "%");  // tensors have other numbers
    return std::regex_replace(text, std::regex("constant [0-9]+"), "constant");
  }
  tvi_arena_t arena_;
  std::vector<const tvi_plan_t*> sources_;
  tvi_plan_merge_t merge_;
};

TEST_F(PlanMerge, EqualThingsAreThereOnce) {
  Read one([](PlanSample*) {}), two([](PlanSample*sample) {
    Rename(sample);
    // One constant of its own.
    sample->weights[1][0] ^= 1;
    sample->constants[1].hash[0] = 77;
    sample->symbols[1].max = 64;
    sample->bindings[0].alignment = 256;
  });
  ASSERT_EQ(Merge({one.plan, two.plan}), "");
  Read merged(Written(merge_.plan, merge_.weights));
  const tvi_plan_t* plan = merged.plan;
  ASSERT_EQ(plan->program_count, 4u);
  EXPECT_STREQ(plan->programs[3].target.data, "fourth");
  EXPECT_EQ(plan->constant_count, one.plan->constant_count + 1);
  EXPECT_EQ(plan->symbol_count, one.plan->symbol_count);
  EXPECT_EQ(plan->symbols[1].max, 64);
  EXPECT_EQ(plan->bindings[0].alignment, 256u);
  EXPECT_LE(plan->expr_count, one.plan->expr_count);
  for (uint32_t i = 0; i < plan->binding_count; ++i) EXPECT_EQ(plan->bindings[i].tensor, i);
  // The same steps over the same tensors, in the words that people read.
  for (uint32_t p = 0; p < 2; ++p) {
    EXPECT_EQ(Steps(plan, p), Steps(one.plan, p));
    EXPECT_EQ(Steps(plan, 2 + p), Steps(two.plan, p));
  }
  const tvi_plan_buffer_t* buffers = plan->programs[2].buffers;
  const tvi_plan_constant_t* own = nullptr;
  for (uint32_t b = 0; b < plan->programs[2].buffer_count; ++b) {
    if (buffers[b].kind == TVI_PLAN_BUFFER_CONSTANT) own = &plan->constants[buffers[b].index];
  }
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(own->hash[0], 77u);
  EXPECT_EQ(plan->weights[own->offset], 7 ^ 1);
}

// What steps cost are expressions, too, and keep their meaning under new numbers.
TEST_F(PlanMerge, CostsKeepTheirMeaning) {
  static const uint8_t kOther[] = {TVI_DIM_CODE_SYMBOL, 0, TVI_DIM_CODE_CONSTANT, 6,
                                   TVI_DIM_CODE_MUL};
  Read one([](PlanSample* sample) { sample->steps[1].flops = 10; });
  Read two([](PlanSample* sample) {
    Rename(sample);
    sample->steps[1].flops = 10;
    sample->exprs[9] = {kOther, sizeof(kOther)};
  });
  ASSERT_EQ(Merge({one.plan, two.plan}), "");
  Read merged(Written(merge_.plan, merge_.weights));
  const auto code = [](const tvi_plan_t* plan, uint32_t program) {
    const uint32_t flops = plan->programs[program].blocks[0].steps[1].flops;
    EXPECT_NE(flops, 0u);
    const tvi_plan_expr_code_t& expr = plan->exprs[flops - 1];
    return std::string(reinterpret_cast<const char*>(expr.code), expr.size);
  };
  EXPECT_EQ(code(merged.plan, 0), code(one.plan, 0));
  EXPECT_EQ(code(merged.plan, 2), code(two.plan, 0));
  EXPECT_NE(code(merged.plan, 0), code(merged.plan, 2));
  EXPECT_EQ(merged.plan->programs[2].blocks[0].steps[0].flops, 0u);
}

TEST_F(PlanMerge, OneAloneAndTwice) {
  Read one([](PlanSample*) {});
  ASSERT_EQ(Merge({one.plan}), "");
  std::vector<uint8_t> first = Written(merge_.plan, merge_.weights);
  Read again(first);
  ASSERT_EQ(Merge({again.plan}), "");
  EXPECT_EQ(Written(merge_.plan, merge_.weights), first) << "the same plan, the same bytes";
}

TEST_F(PlanMerge, PruningOneProgramKeepsTheOthers) {
  Read one([](PlanSample* sample) { sample->plan.program_count = 1; });
  Read two([](PlanSample* sample) {
    Rename(sample);
    sample->plan.program_count = 1;
    sample->constants[1].hash[0] = 77;
    sample->weights[1][0] ^= 1;
  });
  ASSERT_EQ(Merge({one.plan, two.plan}), "");
  Read merged(Written(merge_.plan, merge_.weights));
  const uint32_t chosen[] = {1, 0, 0};
  tvi_plan_selection_t selection;
  ASSERT_EQ(TextOf(tvi_plan_select(merged.plan, 1, chosen, &arena_, &selection)), "");
  Read pruned(Written(selection.plan, selection.weights));
  ASSERT_EQ(pruned.plan->program_count, 2u);
  EXPECT_EQ(Steps(pruned.plan, 0), Steps(one.plan, 0));
  EXPECT_EQ(pruned.plan->programs[0].blocks[0].steps[0].alternative_count, 2u);
  EXPECT_EQ(pruned.plan->programs[1].blocks[0].steps[0].alternative_count, 1u);
  EXPECT_LE(pruned.plan->programs[1].tensor_count, one.plan->programs[0].tensor_count);
}

TEST_F(PlanMerge, ExpressionsOfAProgram) {
  Read one([](PlanSample*) {});
  std::vector<char> used(one.plan->expr_count);
  tvi_plan_mark_exprs(&one.plan->programs[0], reinterpret_cast<bool*>(used.data()));
  EXPECT_TRUE(used[one.plan->programs[0].buffers[0].size]);
  EXPECT_TRUE(used[one.plan->programs[0].checks[0].a]);
  EXPECT_TRUE(used[one.plan->programs[0].blocks[0].steps[0].alternatives[0].guards[1].b]);
  EXPECT_LT(std::count(used.begin(), used.end(), 1), one.plan->expr_count) << "9 is nobody's";
}

TEST_F(PlanMerge, Refusals) {
  const struct {
    std::function<void(PlanSample*)> change;
    const char* message;
  } cases[] = {
      {[](PlanSample*) {}, "plan 1: a program for target 'cpu' is there"},
      {[](PlanSample* s) { s->bindings[2].name = TRIVET_SV("places"); },
       "plan 1: 3 inputs and outputs, output 'places' among them, where the first plan has 3 and "
       "not that one"},
      {[](PlanSample* s) { s->profile_dims[0] = 2; },
       "plan 1: its profiles are not those of the first plan"},
      {[](PlanSample* s) { s->plugins[0].version = TRIVET_SV("1.1"); },
       "plan 1: plugin 'cpu_test' is of version 1.0 in one, of 1.1 in another"},
      {[](PlanSample* s) { s->weights[0][0] ^= 1; },
       "plan 1: constant 0 has the hash of another content"},
  };
  Read one([](PlanSample*) {});
  for (const auto& each : cases) {
    const bool same_target = &each == &cases[0];
    Read two([&](PlanSample* sample) {
      if (!same_target) Rename(sample);
      each.change(sample);
    });
    EXPECT_EQ(Merge({one.plan, two.plan}), each.message);
  }
  EXPECT_EQ(Merge({}), "there is no plan to merge");
}

TEST_F(PlanMerge, EveryAllocationMayFail) {
  Read one([](PlanSample*) {}), two(Rename);
  const tvi_plan_t* sources[] = {one.plan, two.plan};
  uint64_t failures = trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator, 256);
    tvi_plan_merge_t merged;
    trivet_status_t status = tvi_plan_merge(sources, 2, &arena, &merged);
    tvi_arena_deinit(&arena);
    return status;
  });
  EXPECT_GT(failures, 10u);
}

}  // namespace
