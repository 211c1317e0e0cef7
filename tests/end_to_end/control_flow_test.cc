// SPDX-License-Identifier: Apache-2.0
//
// Control flow whose course only the run knows: trip counts and conditions that are inputs or are
// computed, early exits, scans of any length, branches of different shapes, loops in loops. Judged
// by closed formulas; and plans whose blobs were changed are refused, not run into.

#include "tests/end_to_end/compiled.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_rehash.h"

namespace {

using trivet_test::Compile;
using trivet_test::ExpectOk;
using trivet_test::Loaded;
using trivet_test::Recipe;
using trivet_test::SetInput;
using trivet_test::TextOf;

std::string Build(const std::string& text) {
  Recipe recipe;
  recipe.plugins = {"plugins/ops_standard/ops_standard.so", "passes/passes.so",
                    "plugins/cpu/cpu.so"};
  recipe.network = [&text](trivet_network_t* network) {
    return trivet_network_parse_text(network, text.data(), text.size());
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  return plan;
}

// One context, run again and again.
class Runner {
 public:
  explicit Runner(const std::string& text, uint32_t threads = 1) {
    ExpectOk(loaded_.Load(Build(text), {}));
    ExpectOk(loaded_.Context(threads, &context_));
  }
  ~Runner() { trivet_context_destroy(context_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void Set(const char* name, const std::vector<int64_t>& dims, const std::vector<float>& values) {
    floats_[name] = values;
    floats_[name].reserve(1);
    ExpectOk(SetInput(context_, name, dims, &floats_[name]));
  }
  void SetCount(const char* name, int64_t value) {
    counts_[name] = value;
    ExpectOk(trivet_context_set_address(context_, name, &counts_[name]));
  }
  std::string Run(const std::vector<const char*>& outputs) {
    trivet_status_t status = trivet_context_prepare(context_);
    for (size_t i = 0; i < outputs.size() && status == nullptr; ++i) {
      uint64_t size = 0;
      status = trivet_context_tensor_size(context_, outputs[i], &size);
      EXPECT_LE(size, uint64_t{1} << 24);
      results_[outputs[i]].assign(size / sizeof(float) + 1, -77);
      if (status == nullptr)
        status = trivet_context_set_address(context_, outputs[i], results_[outputs[i]].data());
    }
    if (status == nullptr) status = trivet_context_run(context_);
    return TextOf(status);
  }
  // The result with the shape that the run gave it.
  std::vector<float> Result(const char* name, const std::vector<int64_t>& dims) {
    uint32_t rank = 0;
    int64_t found[TRIVET_DIMS_MAX];
    ExpectOk(trivet_context_shape(context_, name, &rank, found));
    EXPECT_EQ(std::vector<int64_t>(found, found + rank), dims) << name;
    size_t count = 1;
    for (int64_t each : dims) count *= static_cast<size_t>(each);
    std::vector<float> values = results_[name];
    EXPECT_LE(count, values.size());
    values.resize(count);
    return values;
  }

 private:
  Loaded loaded_;
  trivet_context_t* context_ = nullptr;
  std::map<std::string, std::vector<float>> floats_, results_;
  std::map<std::string, int64_t> counts_;
};

// s' = 2 s + x, as often as the caller says.
const char kCounted[] = R"(graph "counted" {
  input %m: i64[]
  input %s: f32[N]
  input %x: f32[N]
  const %two: f32[] = [2]
  const %yes: bool[] = [true]
  %last, %rows = core.Loop(%m, %yes, %s) { body = graph {
    input %i: i64[]
    input %go: bool[]
    input %h: f32[N]
    %double = std.Mul(%h, %two)
    %next = std.Add(%double, %x)
    %row = std.Neg(%next)
    output "go": %go
    output "next": %next
    output "row": %row
  } }
  %up = std.Neg(%rows)
  output "last": %last
  output "rows": %up
}
)";

TEST(ControlFlowTest, TripCountIsAnInput) {
  for (uint32_t threads : {1u, 2u}) {
    Runner runner(kCounted, threads);
    for (int64_t count : {5, 0, 1, 40, 3}) {
      for (int64_t n : {3, 1, 17}) {
        std::vector<float> s(static_cast<size_t>(n)), x(s.size()), rows;
        for (size_t i = 0; i < s.size(); ++i) s[i] = 0.001f * static_cast<float>(i), x[i] = -s[i];
        runner.Set("s", {n}, s);
        runner.Set("x", {n}, x);
        runner.SetCount("m", count);
        ASSERT_EQ(runner.Run({"last", "rows"}), "OK");
        for (int64_t k = 0; k < count; ++k) {
          for (size_t i = 0; i < s.size(); ++i) s[i] = s[i] * 2 + x[i];
          rows.insert(rows.end(), s.begin(), s.end());
        }
        EXPECT_EQ(runner.Result("last", {n}), s);
        EXPECT_EQ(runner.Result("rows", {count, n}), rows);
      }
    }
  }
}

// Without a number that bounds the rounds, 4096 of them are the most that can be stacked.
TEST(ControlFlowTest, TooManyRoundsToStack) {
  Runner runner(kCounted);
  runner.Set("s", {1}, {0});
  runner.Set("x", {1}, {0});
  runner.SetCount("m", 4096);
  EXPECT_EQ(runner.Run({"last", "rows"}), "OK");
  runner.SetCount("m", 4097);
  EXPECT_NE(runner.Run({"last", "rows"}).find("the plan allows 0 to 4096"), std::string::npos);
}

TEST(ControlFlowTest, ConditionEndsTheLoop) {
  Runner runner(R"(graph "early" {
  input %s: f32[N]
  input %limit: f32[]
  const %two: f32[] = [2]
  const %yes: bool[] = [true]
  const %most: i64[] = [9223372036854775807]
  const %axes: i64[1] = [0]
  %last, %sums = core.Loop(%most, %yes, %s) { body = graph {
    input %i: i64[]
    input %go: bool[]
    input %h: f32[N]
    %next = std.Mul(%h, %two)
    %sum = std.ReduceSum(%next, %axes) { keepdims = 0 }
    %more = std.Less(%sum, %limit)
    output "more": %more
    output "next": %next
    output "sum": %sum
  } }
  output "last": %last
  output "sums": %sums
}
)");
  runner.Set("s", {2}, {1, 2});
  runner.Set("limit", {}, {40});
  ASSERT_EQ(runner.Run({"last", "sums"}), "OK");
  EXPECT_EQ(runner.Result("last", {2}), (std::vector<float>{16, 32}));
  EXPECT_EQ(runner.Result("sums", {4}), (std::vector<float>{6, 12, 24, 48}));
  runner.Set("limit", {}, {0});
  ASSERT_EQ(runner.Run({"last", "sums"}), "OK");
  EXPECT_EQ(runner.Result("sums", {1}), (std::vector<float>{6}));
}

TEST(ControlFlowTest, BranchesOfDifferentShapes) {
  Runner runner(R"(graph "branches" {
  input %x: f32[N]
  input %limit: f32[]
  const %axes: i64[1] = [0]
  %sum = std.ReduceSum(%x, %axes) { keepdims = 0 }
  %small = std.Less(%sum, %limit)
  %y = core.If(%small) {
    then_branch = graph {
      %both = std.Concat(%x, %x) { axis = 0 }
      output "both": %both
    },
    else_branch = graph {
      %minus = std.Neg(%x)
      output "minus": %minus
    }
  }
  %z = std.Add(%y, %limit)
  output "z": %z
}
)");
  runner.Set("x", {2}, {1, 2});
  runner.Set("limit", {}, {10});
  ASSERT_EQ(runner.Run({"z"}), "OK");
  EXPECT_EQ(runner.Result("z", {4}), (std::vector<float>{11, 12, 11, 12}));
  runner.Set("limit", {}, {1});
  ASSERT_EQ(runner.Run({"z"}), "OK");
  EXPECT_EQ(runner.Result("z", {2}), (std::vector<float>{0, -1}));
}

// From the last column to the first; the results lie in the order of the columns.
TEST(ControlFlowTest, ScanOfAnyLength) {
  Runner runner(R"(graph "scan" {
  input %s: f32[B]
  input %x: f32[B, L]
  %last, %sums = core.Scan(%s, %x) {
    num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
    scan_output_axes = [1], scan_output_directions = [1],
    body = graph {
      input %h: f32[B]
      input %column: f32[B]
      %next = std.Add(%h, %column)
      output "next": %next
      output "sum": %next
    }
  }
  output "last": %last
  output "sums": %sums
}
)");
  for (int64_t length : {1, 4, 30}) {
    std::vector<float> x(static_cast<size_t>(2 * length)), sums(x.size()), last = {1, 2};
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7);
    runner.Set("s", {2}, last);
    runner.Set("x", {2, length}, x);
    ASSERT_EQ(runner.Run({"last", "sums"}), "OK");
    for (size_t k = static_cast<size_t>(length); k-- > 0;) {
      for (size_t b = 0; b < 2; ++b) {
        const size_t at = b * static_cast<size_t>(length) + k;
        sums[at] = last[b] += x[at];
      }
    }
    EXPECT_EQ(runner.Result("last", {2}), last);
    EXPECT_EQ(runner.Result("sums", {2, length}), sums);
  }
}

// Round i doubles i times, then adds x where the value is small.
const char kNested[] = R"(graph "nested" {
  input %m: i64[]
  input %s: f32[1]
  input %x: f32[1]
  const %two: f32[] = [2]
  const %limit: f32[1] = [100]
  const %yes: bool[] = [true]
  %last = core.Loop(%m, %yes, %s) { body = graph {
    input %i: i64[]
    input %go: bool[]
    input %h: f32[1]
    %doubled = core.Loop(%i, %go, %h) { body = graph {
      input %k: i64[]
      input %on: bool[]
      input %v: f32[1]
      %twice = std.Mul(%v, %two)
      output "on": %on
      output "twice": %twice
    } }
    %small = std.Less(%doubled, %limit)
    %next = core.If(%small) {
      then_branch = graph {
        %more = std.Add(%doubled, %x)
        output "more": %more
      },
      else_branch = graph {
        %same = std.Identity(%doubled)
        output "same": %same
      }
    }
    output "go": %go
    output "next": %next
  } }
  output "last": %last
}
)";

TEST(ControlFlowTest, LoopsInLoops) {
  Runner runner(kNested);
  for (int64_t count : {0, 1, 3, 6}) {
    runner.Set("s", {1}, {1});
    runner.Set("x", {1}, {3});
    runner.SetCount("m", count);
    ASSERT_EQ(runner.Run({"last"}), "OK");
    float h = 1;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t k = 0; k < i; ++k) h *= 2;
      if (h < 100) h += 3;
    }
    EXPECT_EQ(runner.Result("last", {1}), std::vector<float>{h});
  }
}

// Whatever allocation fails, of loading and of a first run, nothing is left.
TEST(ControlFlowTest, AllocationsFail) {
  const std::string plan = Build(kNested);
  bool is_done = false;
  for (uint64_t fail_at = 1; !is_done && fail_at < 10000; ++fail_at) {
    trivet_test::FailingAllocator allocator(fail_at);
    {
      Loaded loaded;
      trivet_context_t* context = nullptr;
      trivet_status_t status = loaded.Load(plan, {}, allocator.get());
      if (status == nullptr) status = loaded.Context(1, &context);
      float s = 1, x = 3, y = 0;
      int64_t count = 3;
      const std::map<const char*, void*> addresses = {
          {"s", &s}, {"x", &x}, {"last", &y}, {"m", &count}};
      for (const auto& each : addresses) {
        if (status == nullptr)
          status = trivet_context_set_address(context, each.first, each.second);
      }
      if (status == nullptr) status = trivet_context_run(context);
      is_done = status == nullptr && !allocator.has_failed();
      if (status == nullptr) {
        EXPECT_EQ(y, 47);
      } else {
        EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OUT_OF_MEMORY)
            << trivet_status_message(status);
      }
      trivet_status_free(status);
      trivet_context_destroy(context);
    }
    ASSERT_EQ(allocator.live_blocks(), 0u) << fail_at;
    ASSERT_EQ(allocator.bad_frees(), 0u) << fail_at;
  }
  EXPECT_TRUE(is_done);
}

// Every bit pattern is read or refused, with the hashes put right.
TEST(ControlFlowTest, ChangedPlansAreRefused) {
  const std::string plan = Build(kNested);
  size_t refused = 0, loaded = 0;
  for (size_t at = TVI_PLAN_HEADER_SIZE; at < plan.size(); at += 7) {
    std::string changed = plan;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    trivet_test::RehashPlan(reinterpret_cast<uint8_t*>(&changed[0]), changed.size());
    Loaded attempt;
    trivet_status_t status = attempt.Load(changed, {});
    ++(status == nullptr ? loaded : refused);
    trivet_status_free(status);
  }
  EXPECT_GT(refused, loaded);
}

}  // namespace
