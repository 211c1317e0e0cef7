// SPDX-License-Identifier: Apache-2.0
//
// Steps of several queues: what must be ordered, what need not be, and the messages for plans that
// break it. Random plans are compared with a closure over all pairs.

#include "core/plan/plan_order.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/plan_sample.h"

namespace {

using trivet_test::PlanSample;

constexpr char kProgram[] = "plan section programs: program 0: ";

std::string Refusal(PlanSample* sample) {
  std::vector<uint8_t> written;
  trivet_status_t status = sample->Write(&written);
  std::string message = status != nullptr ? trivet_status_message(status) : "accepted";
  trivet_status_code_t code = trivet_status_consume(status);
  EXPECT_EQ(code, message == "accepted" ? TRIVET_STATUS_OK : TRIVET_STATUS_DATA_LOSS);
  return message;
}

TEST(PlanOrder, AReaderWaitsForTheWriter) {
  PlanSample sample;
  EXPECT_EQ(Refusal(&sample), "accepted");
  sample.steps[1].wait_count = 0;
  EXPECT_EQ(Refusal(&sample), std::string(kProgram) +
                                  "step 0 ('fc1 + bias1') and step 1 ('relu1') touch buffer 4, "
                                  "one writes it, and no wait orders them");
  sample.steps[1].queue = 0;  // in one queue nothing has to wait
  sample.steps[2].wait_count = 0;
  EXPECT_EQ(Refusal(&sample), "accepted");
}

TEST(PlanOrder, TheOrderGoesThroughOtherQueues) {
  PlanSample sample;
  sample.steps[2].queue = 2;  // behind step 1, which is behind step 0
  sample.operands_host = {3, 5, 4};
  sample.alternatives[3].operands = sample.operands_host.data();
  for (auto& buffer : sample.buffers) buffer.last_step = 2;
  EXPECT_EQ(Refusal(&sample), "accepted");
  sample.steps[2].wait_count = 0;
  EXPECT_EQ(Refusal(&sample), std::string(kProgram) +
                                  "step 0 ('fc1 + bias1') and step 2 ('nonzero') touch buffer 4, "
                                  "one writes it, and no wait orders them");
}

TEST(PlanOrder, AnOutputMayLieOnItsInput) {
  PlanSample sample;
  sample.operands_relu = {2, 1};  // reads weights, writes y
  sample.steps[1].wait_count = 0;
  EXPECT_EQ(Refusal(&sample), std::string(kProgram) +
                                  "step 0 ('fc1 + bias1') and step 1 ('relu1') touch buffer 1, "
                                  "one writes it, and no wait orders them");
  sample.bindings[1].alias = TVI_PLAN_NONE;
  EXPECT_EQ(Refusal(&sample), "accepted");
}

TEST(PlanOrder, BytesOfTheArenaAreNotUsedAgainTooEarly) {
  PlanSample sample;
  sample.operands_relu = {2, 1};
  sample.bindings[1].alias = TVI_PLAN_NONE;
  sample.steps[1].wait_count = 0;
  for (auto& buffer : sample.buffers) buffer.last_step = 0;
  EXPECT_EQ(Refusal(&sample), std::string(kProgram) +
                                  "buffer 4 is live up to step 0, and step 1 ('relu1') behind it "
                                  "does not wait for step 0 ('fc1 + bias1'), which touches it");
  tvi_plan_order_t order;
  tvi_plan_reuse_t reuse;
  trivet_allocator_t allocator = trivet_allocator_system();
  ASSERT_EQ(tvi_plan_order_init(&order, &sample.blocks[0], allocator), nullptr);
  ASSERT_EQ(
      tvi_plan_check_reuse(&sample.programs[0], &order, allocator, sample.buffers.data(), &reuse),
      nullptr);
  tvi_plan_order_deinit(&order, allocator);
  EXPECT_EQ(sample.buffers[4].last_step, 1u);
  EXPECT_EQ(Refusal(&sample), "accepted");
}

// Steps 0 and 1 fill parts of buffer 4, an array of rows of 16; step 2 reads one.
struct Parts {
  uint32_t rows, columns[2], offset;  // expressions
  uint32_t row_stride;
};

std::string RefusalOfParts(const Parts& parts) {
  PlanSample sample;
  sample.buffers[4].size = 8;
  sample.buffers[4].last_step = 2;
  sample.tensors[3].dims[0] = parts.rows;
  sample.tensors[3].dims[1] = parts.columns[0];
  sample.tensors[3].strides[0] = parts.row_stride;
  sample.tensors.push_back(sample.tensors[3]);
  sample.tensors[6].dims[1] = parts.columns[1];
  sample.tensors[6].offset = parts.offset;
  sample.programs[0].tensors = sample.programs[1].tensors = sample.tensors.data();
  sample.programs[0].tensor_count = sample.programs[1].tensor_count = 7;
  sample.operands_relu = {2, 6};
  sample.operands_host = {6, 5, 4};
  sample.steps[1].wait_count = 0;
  // y is written by the first step too.
  sample.operands_matmul = {0, 2, 1, 3};
  sample.alternatives[0].output_count = sample.alternatives[1].output_count = 2;
  return Refusal(&sample);
}

TEST(PlanOrder, PartsOfOneBufferThatDoNotMeetNeedNoOrder) {
  const std::string refused = std::string(kProgram) +
                              "step 0 ('fc1 + bias1') and step 1 ('relu1') touch buffer 4, one "
                              "writes it, and no wait orders them";
  // Expressions: 1 is 1, 2 is 4, 3 is 16, 4 is 8, 5 the batch, 8 is 512. Offsets are in bytes.
  EXPECT_EQ(RefusalOfParts({2, {2, 4}, 3, 3}), "accepted");  // columns 0-3 and 4-11
  EXPECT_EQ(RefusalOfParts({2, {2, 4}, 4, 3}), refused);     // columns 0-3 and 2-9
  EXPECT_EQ(RefusalOfParts({5, {2, 4}, 3, 3}), "accepted");  // any number of rows
  EXPECT_EQ(RefusalOfParts({5, {2, 4}, 4, 3}), refused);
  EXPECT_EQ(RefusalOfParts({2, {5, 4}, 3, 3}), refused);      // any number of columns
  EXPECT_EQ(RefusalOfParts({2, {2, 4}, 3, 4}), refused);      // rows of 8: those of 8 from 4 wrap
  EXPECT_EQ(RefusalOfParts({1, {3, 4}, 10, 3}), "accepted");  // one behind the other
}

// What clocks say against a walk over queues and waits.
TEST(PlanOrder, ClocksAgreeWithTheClosure) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    uint32_t count = 1 + random() % 40, queues = 1 + random() % TVI_PLAN_MAX_QUEUES;
    std::vector<tvi_plan_step_t> steps(count);
    std::vector<std::vector<uint32_t>> waits(count);
    std::vector<std::vector<bool>> before(count, std::vector<bool>(count));
    for (uint32_t s = 0; s < count; ++s) {
      steps[s].queue = random() % queues;
      for (uint32_t e = 0; e < s; ++e) {
        bool waited = steps[e].queue != steps[s].queue && random() % 10 == 0;
        if (waited) waits[s].push_back(e);
        if (!waited && steps[e].queue != steps[s].queue) continue;
        before[s][e] = true;
        for (uint32_t i = 0; i < e; ++i) before[s][i] = before[s][i] || before[e][i];
      }
      steps[s].waits = waits[s].data();
      steps[s].wait_count = static_cast<uint32_t>(waits[s].size());
    }
    tvi_plan_block_t block = {count, 0, steps.data()};
    tvi_plan_order_t order;
    ASSERT_EQ(tvi_plan_order_init(&order, &block, trivet_allocator_system()), nullptr);
    for (uint32_t s = 0; s < count; ++s) {
      for (uint32_t e = 0; e < s; ++e) {
        EXPECT_EQ(order.clocks[s * order.queue_count + steps[e].queue] > e, before[s][e])
            << "round " << round << ": " << e << " before " << s;
      }
    }
    tvi_plan_order_deinit(&order, trivet_allocator_system());
  }
}

}  // namespace
