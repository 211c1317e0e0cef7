// SPDX-License-Identifier: Apache-2.0
//
// Plans whose steps lie in several queues: by the builder's choice, and with steps thrown into
// queues at random, run step by step, captured and replayed, and profiled. The null device runs
// what nobody waits for last, so an order that is missing shows in the results; the wanted ones are
// those of the same plan in one queue, bit for bit.

#include <algorithm>
#include <random>

#include "core/base/status.h"
#include "core/plan/plan_order.h"
#include "tests/end_to_end/compiled.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::AddConstant;
using trivet_test::AddNode;
using trivet_test::Compile;
using trivet_test::ExpectOk;
using trivet_test::Loaded;
using trivet_test::Noise;
using trivet_test::Recipe;
using trivet_test::TextOf;

const char kNull[] = "plugins/null/null.so";
const char kCpu[] = "plugins/cpu/cpu.so";
const char kPasses[] = "passes/passes.so";
const char kOps[] = "plugins/ops_standard/ops_standard.so";
constexpr int64_t kWidth = 160;
constexpr int kBranches = 4;

// Branches of two products each over one input, side by side in one value, and a product of that,
// twice: buffers of the first half are used again in the second.
trivet_status_t Branched(trivet_network_t* network) {
  const int64_t dims[2] = {-1, kWidth};
  const char* symbols[2] = {"batch", nullptr};
  trivet_value_t value;
  RETURN_IF_ERROR(
      trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &value));
  const int64_t along = 1;
  const trivet_attribute_t axis = {"axis", TRIVET_ATTR_I64, 0, 1, &along};
  uint32_t seed = 1;
  auto product = [&](trivet_value_t x, int64_t rows, const std::string& name,
                     trivet_value_t* out) -> trivet_status_t {
    trivet_value_t w, y;
    std::vector<float> weights = Noise(static_cast<size_t>(rows * kWidth), seed++);
    for (float& weight : weights) weight *= 0.1f;
    RETURN_IF_ERROR(AddConstant(network, ("w" + name).c_str(), {rows, kWidth}, weights, &w));
    RETURN_IF_ERROR(AddNode(network, "std.MatMul", {x, w}, name.c_str(), &y));
    return AddNode(network, "std.Tanh", {y}, ("tanh" + name).c_str(), out);
  };
  for (int half = 0; half < 2; ++half) {
    std::vector<trivet_value_t> parts;
    for (int b = 0; b < kBranches; ++b) {
      std::string name = std::to_string(half) + "_" + std::to_string(b);
      trivet_value_t part = value;
      for (int depth = 0; depth <= b % 3; ++depth) {
        RETURN_IF_ERROR(product(part, kWidth, name + "_" + std::to_string(depth), &part));
      }
      parts.push_back(part);
    }
    trivet_value_t side;
    RETURN_IF_ERROR(trivet_network_add_node(network, "std.Concat", parts.data(), kBranches, &axis,
                                            1, "concat", 1, &side));
    RETURN_IF_ERROR(product(side, kBranches * kWidth, "join" + std::to_string(half), &value));
  }
  return trivet_network_mark_output(network, value, "y");
}

// A host function between launches, whose result has a size that depends on data.
trivet_status_t WithHostFunction(trivet_network_t* network) {
  const int64_t dims[2] = {-1, kWidth};
  const char* symbols[2] = {"batch", nullptr};
  trivet_value_t x, e, n, found, sum, y;
  RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
  RETURN_IF_ERROR(AddNode(network, "std.Softmax", {x}, "softmax", &e));
  RETURN_IF_ERROR(AddNode(network, "std.Relu", {x}, "relu", &n));
  RETURN_IF_ERROR(AddNode(network, "std.NonZero", {n}, "nonzero", &found));
  RETURN_IF_ERROR(AddNode(network, "std.Softmax", {e}, "again", &sum));
  RETURN_IF_ERROR(AddNode(network, "std.Add", {sum, n}, "add", &y));
  RETURN_IF_ERROR(trivet_network_mark_output(network, y, "y"));
  trivet_value_t twice;
  RETURN_IF_ERROR(AddNode(network, "std.Add", {found, found}, "twice", &twice));
  return trivet_network_mark_output(network, twice, "twice");
}

std::string PlanOf(trivet_status_t (*network)(trivet_network_t*), const char* target,
                   uint32_t queues = 0) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, target == std::string("cpu") ? kCpu : kNull};
  recipe.network = network;
  recipe.config = [=](trivet_network_t*, trivet_config_t* config) -> trivet_status_t {
    RETURN_IF_ERROR(trivet_config_set_target(config, target));
    return queues == 0 ? nullptr : trivet_config_set_queues(config, queues);
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  return plan;
}

trivet_status_t CopyWeights(void* self, uint32_t index, trivet_sink_t sink) {
  const tvi_plan_t* plan = static_cast<const tvi_plan_t*>(self);
  const tvi_plan_constant_t& constant = plan->constants[index];
  return sink.write(sink.self, plan->weights + constant.offset, constant.size);
}

// Calls |change| with the steps and buffers of the plan, and gives the changed plan.
template <typename Change>
std::string Changed(const std::string& bytes, Change change) {
  trivet_allocator_t allocator = trivet_allocator_system();
  trivet_test::AlignedBytes aligned(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  tvi_plan_t* plan = nullptr;
  ExpectOk(tvi_plan_read(aligned.data(), aligned.size(), 0, allocator, &plan));
  change(plan, const_cast<tvi_plan_step_t*>(plan->programs[0].blocks[0].steps),
         const_cast<tvi_plan_buffer_t*>(plan->programs[0].buffers));
  std::string out;
  tvi_plan_weight_source_t weights = {plan, CopyWeights};
  ExpectOk(tvi_plan_write(plan, &weights, allocator, {&out, trivet_test::Append}));
  tvi_plan_destroy(plan);
  return out;
}

std::string Thrown(const std::string& bytes, uint32_t queue_count, uint32_t seed) {
  return Changed(bytes, [=](tvi_plan_t* plan, tvi_plan_step_t* steps, tvi_plan_buffer_t* buffers) {
    trivet_allocator_t allocator = trivet_allocator_system();
    const tvi_plan_program_t* program = &plan->programs[0];
    std::mt19937 random(seed);
    std::vector<uint32_t> queues(program->blocks[0].step_count);
    for (uint32_t& queue : queues) queue = random() % queue_count;
    tvi_plan_edges_t edges;
    ExpectOk(tvi_plan_find_edges(plan, program, allocator, plan->arena, &edges));
    ExpectOk(tvi_plan_put_in_queues(program, &edges, queues.data(), allocator, plan->arena, steps,
                                    buffers));
  });
}

struct Result {
  std::vector<float> y;
  uint64_t replays;
};

// Five runs with other contents; |y| holds all their outputs.
Result RunPlan(const std::string& plan, uint32_t flags, bool is_profiled) {
  constexpr int64_t kBatch = 5;
  Result result = {{}, 0};
  Loaded loaded;
  ExpectOk(loaded.Load(plan, {kNull, kCpu, kOps}));
  if (loaded.engine == nullptr) return result;
  trivet_context_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
  options.flags = flags;
  trivet_context_t* context = nullptr;
  ExpectOk(trivet_context_create(loaded.engine, &options, &context));
  std::vector<float> x(kBatch * kWidth), y(x.size());
  std::vector<int64_t> twice(2 * x.size());
  ExpectOk(trivet_test::SetInput(context, "x", {kBatch, kWidth}, &x));
  ExpectOk(trivet_context_set_address(context, "y", y.data()));
  trivet_status_free(trivet_context_set_address(context, "twice", twice.data()));
  if (is_profiled) ExpectOk(trivet_context_enable_profile(context, 1));
  for (uint32_t run = 0; run < 5; ++run) {
    const std::vector<float> next = Noise(x.size(), run + 1);
    std::copy(next.begin(), next.end(), x.begin());
    std::fill(y.begin(), y.end(), -7.f);
    std::fill(twice.begin(), twice.end(), -7);
    ExpectOk(trivet_context_run(context));
    result.y.insert(result.y.end(), y.begin(), y.end());
    for (int64_t value : twice) result.y.push_back(static_cast<float>(value));
  }
  trivet_context_statistics_t statistics;
  memset(&statistics, 0, sizeof(statistics));
  statistics.header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, nullptr};
  ExpectOk(trivet_context_statistics(context, &statistics));
  result.replays = statistics.replay_count;
  trivet_context_destroy(context);
  return result;
}

TEST(Queues, StepsThrownIntoQueuesGiveTheSameBits) {
  const std::string plan = PlanOf(Branched, "null");
  const Result wanted = RunPlan(plan, TRIVET_CONTEXT_NO_GRAPH, false);
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const std::string thrown = Thrown(plan, 2 + seed % 7, seed);
    EXPECT_NE(thrown, plan);
    EXPECT_EQ(RunPlan(thrown, TRIVET_CONTEXT_NO_GRAPH, false).y, wanted.y)
        << "eager, seed " << seed;
    const Result replayed = RunPlan(thrown, 0, false);
    EXPECT_EQ(replayed.y, wanted.y) << "replayed, seed " << seed;
    EXPECT_EQ(replayed.replays, 4u);  // the first run is not captured
    const Result profiled = RunPlan(thrown, 0, true);
    EXPECT_EQ(profiled.y, wanted.y) << "profiled, seed " << seed;
    EXPECT_EQ(profiled.replays, 0u);
  }
}

TEST(Queues, HostFunctionsWaitForAllOfThem) {
  const std::string plan = PlanOf(WithHostFunction, "null");
  const Result wanted = RunPlan(plan, 0, false);
  for (uint32_t seed = 0; seed < 12; ++seed) {
    EXPECT_EQ(RunPlan(Thrown(plan, 2 + seed % 3, seed), 0, false).y, wanted.y) << "seed " << seed;
  }
}

TEST(Queues, WithoutStreamsStepsRunInTheirOrder) {
  const std::string plan = PlanOf(Branched, "cpu");
  const Result wanted = RunPlan(plan, 0, false);
  EXPECT_EQ(RunPlan(Thrown(plan, 4, 1), 0, false).y, wanted.y);
}

TEST(Queues, APlanThatForgetsAWaitIsRefused) {
  const std::string plan = Thrown(PlanOf(Branched, "null"), 3, 1);
  trivet_allocator_t allocator = trivet_allocator_system();
  trivet_test::AlignedBytes aligned(reinterpret_cast<const uint8_t*>(plan.data()), plan.size());
  tvi_plan_t* read = nullptr;
  ExpectOk(tvi_plan_read(aligned.data(), aligned.size(), 0, allocator, &read));
  auto* steps = const_cast<tvi_plan_step_t*>(read->programs[0].blocks[0].steps);
  uint32_t forgotten = 0;
  for (uint32_t s = 0; s < read->programs[0].blocks[0].step_count; ++s) {
    const uint32_t count = steps[s].wait_count;
    if (count == 0) continue;
    steps[s].wait_count = count - 1;  // none is there for nothing
    trivet_status_t status = tvi_plan_verify(read, allocator);
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_DATA_LOSS) << "step " << s;
    trivet_status_free(status);
    steps[s].wait_count = count;
    ++forgotten;
  }
  EXPECT_GT(forgotten, 5u);
  tvi_plan_destroy(read);
}

uint32_t QueuesOf(const std::string& bytes, uint32_t* out_waits) {
  uint32_t queues = 0, waits = 0;
  Changed(bytes, [&](tvi_plan_t* plan, const tvi_plan_step_t* steps, tvi_plan_buffer_t*) {
    for (uint32_t s = 0; s < plan->programs[0].blocks[0].step_count; ++s) {
      queues = std::max(queues, steps[s].queue + 1);
      waits += steps[s].wait_count;
    }
  });
  *out_waits = waits;
  return queues;
}

TEST(Queues, TheBuilderUsesThemWhereItIsAsked) {
  const std::string one = PlanOf(Branched, "null");
  EXPECT_EQ(PlanOf(Branched, "null", 1), one);
  uint32_t waits = 0;
  EXPECT_EQ(QueuesOf(one, &waits), 1u);
  EXPECT_EQ(waits, 0u);
  const Result wanted = RunPlan(one, 0, false);
  for (uint32_t count : {2u, 3u, 8u}) {
    const std::string plan = PlanOf(Branched, "null", count);
    const uint32_t used = QueuesOf(plan, &waits);
    EXPECT_EQ(used, std::min<uint32_t>(count, kBranches));  // no more than there are branches
    // Chains stay together: every branch is left and joined once.
    EXPECT_LE(waits, 2u * 2u * (used - 1) + 4u);
    EXPECT_EQ(RunPlan(plan, 0, false).y, wanted.y) << count << " queues";
    EXPECT_EQ(PlanOf(Branched, "null", count), plan);
  }
  // The host waits for its own steps, and has no streams.
  EXPECT_EQ(PlanOf(WithHostFunction, "null", 4), PlanOf(WithHostFunction, "null"));
  EXPECT_EQ(PlanOf(Branched, "cpu", 4), PlanOf(Branched, "cpu"));
}

TEST(Queues, ThereAreEightAtMost) {
  trivet_builder_t* builder = nullptr;
  trivet_config_t* config = nullptr;
  ExpectOk(trivet_builder_create(nullptr, &builder));
  ExpectOk(trivet_config_create(builder, &config));
  EXPECT_EQ(TextOf(trivet_config_set_queues(config, 9)),
            "OUT_OF_RANGE: a plan has 1 to 8 queues, not 9");
  EXPECT_EQ(TextOf(trivet_config_set_queues(config, 0)),
            "OUT_OF_RANGE: a plan has 1 to 8 queues, not 0");
  trivet_config_destroy(config);
  trivet_builder_destroy(builder);
}

}  // namespace
