// SPDX-License-Identifier: Apache-2.0
//
// What a step of control flow says survives the way through a blob; bytes that encode never writes
// are refused wherever they are cut, and what is accepted comes out again as it was.

#include "core/plan/control_blob.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace {

class ControlBlob : public ::testing::Test {
 protected:
  ControlBlob() { tvi_arena_init(&arena_, trivet_allocator_system(), 0); }
  ~ControlBlob() override { tvi_arena_deinit(&arena_); }

  std::vector<uint8_t> Encode(const tvi_control_t& control) {
    const uint8_t* blob = nullptr;
    uint64_t size = 0;
    trivet_status_t status = tvi_control_blob_encode(&control, &arena_, &blob, &size);
    EXPECT_EQ(status, nullptr) << trivet_status_message(status);
    trivet_status_free(status);
    return std::vector<uint8_t>(blob, blob + size);
  }
  // "" or the message.
  std::string Decode(const std::vector<uint8_t>& blob, tvi_control_t* out) {
    trivet_status_t status = tvi_control_blob_decode(blob.data(), blob.size(), &arena_, out);
    std::string message = status != nullptr ? trivet_status_message(status) : "";
    EXPECT_TRUE(status == nullptr || trivet_status_code(status) == TRIVET_STATUS_DATA_LOSS)
        << message;
    trivet_status_free(status);
    return message;
  }

  tvi_arena_t arena_;
};

struct Scan {
  const uint32_t captures[3] = {4, 5, 7};
  const uint32_t symbols[1] = {2};
  const uint8_t plan[5] = {1, 2, 3, 4, 5};
  const tvi_control_axis_t axes[3] = {{0, 0}, {2, 1}, {1, 0}};
  const tvi_control_body_t body = {captures, symbols, 3, 1, plan, sizeof(plan)};
  const tvi_control_t control = {TVI_CONTROL_SCAN, 1, 3, 1, 3, axes, &body};
};

TEST_F(ControlBlob, RoundTrip) {
  const Scan scan;
  const std::vector<uint8_t> blob = Encode(scan.control);
  tvi_control_t read;
  ASSERT_EQ(Decode(blob, &read), "");
  EXPECT_EQ(read.kind, TVI_CONTROL_SCAN);
  EXPECT_EQ(read.state_count, 1u);
  EXPECT_EQ(read.input_count, 3u);
  ASSERT_EQ(read.body_count, 1u);
  ASSERT_EQ(read.axis_count, 3u);
  EXPECT_EQ(read.axes[1].axis, 2u);
  EXPECT_EQ(read.axes[1].is_backwards, 1u);
  ASSERT_EQ(read.bodies[0].capture_count, 3u);
  EXPECT_EQ(read.bodies[0].captures[2], 7u);
  ASSERT_EQ(read.bodies[0].symbol_count, 1u);
  EXPECT_EQ(read.bodies[0].symbols[0], 2u);
  ASSERT_EQ(read.bodies[0].plan_size, sizeof(scan.plan));
  EXPECT_EQ(memcmp(read.bodies[0].plan, scan.plan, sizeof(scan.plan)), 0);
  // A plan is used where it lies.
  EXPECT_EQ((read.bodies[0].plan - blob.data()) % 64, 0);
  EXPECT_EQ(Encode(read), blob);
}

TEST_F(ControlBlob, CutAnywhere) {
  const std::vector<uint8_t> blob = Encode(Scan().control);
  for (size_t size = 0; size < blob.size(); ++size) {
    tvi_control_t read;
    EXPECT_NE(Decode(std::vector<uint8_t>(blob.begin(), blob.begin() + size), &read), "") << size;
  }
  std::vector<uint8_t> longer = blob;
  longer.push_back(0);
  tvi_control_t read;
  EXPECT_NE(Decode(longer, &read), "");
}

TEST_F(ControlBlob, AnyByteChanged) {
  const std::vector<uint8_t> blob = Encode(Scan().control);
  size_t refused = 0;
  for (size_t at = 0; at < blob.size(); ++at) {
    for (uint8_t change : {0x01, 0x80, 0xff}) {
      std::vector<uint8_t> changed = blob;
      changed[at] ^= change;
      tvi_control_t read;
      if (!Decode(changed, &read).empty()) {
        ++refused;
      } else {
        EXPECT_EQ(Encode(read), changed) << "byte " << at;
      }
    }
  }
  EXPECT_GT(refused, 100u);
}

TEST_F(ControlBlob, KindsHaveTheirBodiesAndAxes) {
  Scan scan;
  tvi_control_t read, wrong = scan.control;
  wrong.kind = TVI_CONTROL_IF;
  EXPECT_EQ(Decode(Encode(wrong), &read), "control blob: kind 0 with 1 bodies and 3 axes");
  wrong.kind = TVI_CONTROL_LOOP;
  EXPECT_EQ(Decode(Encode(wrong), &read), "control blob: kind 1 with 1 bodies and 3 axes");
  const tvi_control_axis_t far = {TRIVET_MAX_RANK, 0};
  wrong = scan.control;
  wrong.axes = &far;
  wrong.axis_count = 1;
  EXPECT_NE(Decode(Encode(wrong), &read).find("axis " + std::to_string(TRIVET_MAX_RANK)),
            std::string::npos);
}

}  // namespace
