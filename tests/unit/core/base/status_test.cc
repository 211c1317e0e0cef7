// SPDX-License-Identifier: Apache-2.0
//
// Statuses: codes, messages, places, context, joining.
// Errors must be reportable when memory has run out, so that case is among them.

#include "core/base/status.h"

#include <gtest/gtest.h>

#include <string>

namespace {

TEST(Status, OkIsNull) {
  EXPECT_EQ(TRIVET_OK, nullptr);
  EXPECT_EQ(trivet_status_code(nullptr), TRIVET_STATUS_OK);
  EXPECT_STREQ(trivet_status_message(nullptr), "OK");
  trivet_status_free(nullptr);
  EXPECT_EQ(trivet_status_make(TRIVET_STATUS_OK, "f", 1, "text"), nullptr);
}

TEST(Status, BareCodeNeedsNoAllocation) {
  trivet_status_t status = TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OUT_OF_MEMORY);
  EXPECT_STREQ(trivet_status_message(status), "OUT_OF_MEMORY");
  EXPECT_STREQ(trivet_status_file(status), "");
  EXPECT_EQ(trivet_status_line(status), 0);
  trivet_status_free(status);
}

TEST(Status, CarriesMessageAndPlace) {
  int line = __LINE__ + 1;
  trivet_status_t status = TRIVET_STATUS(NOT_FOUND, "no tensor named '%s'", "x");
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_NOT_FOUND);
  EXPECT_STREQ(trivet_status_message(status), "no tensor named 'x'");
  EXPECT_STREQ(trivet_status_file(status), "status_test.cc");
  EXPECT_EQ(trivet_status_line(status), line);
  trivet_status_free(status);
}

TEST(Status, KeepsBaseNameOfLongPaths) {
  std::string path = "some/folder/" + std::string(200, 'f') + ".c";
  trivet_status_t status = trivet_status_make(TRIVET_STATUS_INTERNAL, path.c_str(), 7, nullptr);
  EXPECT_EQ(std::string(trivet_status_file(status)), std::string(47, 'f'));
  EXPECT_STREQ(trivet_status_message(status), "");
  trivet_status_free(status);
}

TEST(Status, LongMessagesAreWhole) {
  std::string text(100000, 'm');
  trivet_status_t status = TRIVET_STATUS(DATA_LOSS, "%s", text.c_str());
  EXPECT_EQ(text, trivet_status_message(status));
  trivet_status_free(status);
}

TEST(Status, UnknownCodeBecomesInternal) {
  trivet_status_t status = trivet_status_make(99, nullptr, 0, "x");
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_INTERNAL);
  trivet_status_free(status);
  EXPECT_STREQ(trivet_status_code_name(99), "UNKNOWN");
  EXPECT_STREQ(trivet_status_code_name(TRIVET_STATUS_CANCELLED), "CANCELLED");
}

TEST(Status, AnnotatePrependsAndKeepsCode) {
  trivet_status_t status = TRIVET_STATUS(OUT_OF_RANGE, "extent %d", -1);
  status = trivet_status_annotate(status, "node '%s'", "conv");
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_STREQ(trivet_status_message(status), "node 'conv': extent -1");
  EXPECT_STREQ(trivet_status_file(status), "status_test.cc");
  trivet_status_free(status);
  EXPECT_EQ(trivet_status_annotate(nullptr, "x"), nullptr);

  trivet_status_t bare = TRIVET_STATUS_BARE(TRIVET_STATUS_CANCELLED);
  bare = trivet_status_annotate(bare, "build");
  EXPECT_STREQ(trivet_status_message(bare), "build: CANCELLED");
  EXPECT_EQ(trivet_status_consume(bare), TRIVET_STATUS_CANCELLED);
}

TEST(Status, JoinKeepsFirstCode) {
  EXPECT_EQ(trivet_status_join(nullptr, nullptr), nullptr);
  trivet_status_t joined = trivet_status_join(nullptr, TRIVET_STATUS(INTERNAL, "b"));
  EXPECT_STREQ(trivet_status_message(joined), "b");
  joined = trivet_status_join(joined, nullptr);
  joined = trivet_status_join(joined, TRIVET_STATUS(NOT_FOUND, "c"));
  EXPECT_STREQ(trivet_status_message(joined), "b; then c");
  EXPECT_EQ(trivet_status_consume(joined), TRIVET_STATUS_INTERNAL);
}

trivet_status_t ReturnIf(trivet_status_t status, bool* reached) {
  TRIVET_RETURN_IF_ERROR(status);
  *reached = true;
  return TRIVET_OK;
}

trivet_status_t ReturnAnnotated(trivet_status_t status) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "step %d", 3);
  return TRIVET_OK;
}

TEST(Status, ReturnIfError) {
  bool reached = false;
  EXPECT_EQ(ReturnIf(nullptr, &reached), nullptr);
  EXPECT_TRUE(reached);
  reached = false;
  EXPECT_EQ(trivet_status_consume(ReturnIf(TRIVET_STATUS(INTERNAL, "x"), &reached)),
            TRIVET_STATUS_INTERNAL);
  EXPECT_FALSE(reached);
  EXPECT_EQ(ReturnAnnotated(nullptr), nullptr);
  trivet_status_t status = ReturnAnnotated(TRIVET_STATUS(INTERNAL, "x"));
  EXPECT_STREQ(trivet_status_message(status), "step 3: x");
  trivet_status_free(status);
}

struct Sample {
  trivet_header_t header;
  uint64_t first;
  uint64_t second;
};

TEST(Header, HasField) {
  Sample sample = {{sizeof(Sample), 1, nullptr}, 1, 2};
  EXPECT_TRUE(TRIVET_HAS_FIELD(&sample, Sample, second));
  sample.header.struct_size = offsetof(Sample, second) + 7;
  EXPECT_FALSE(TRIVET_HAS_FIELD(&sample, Sample, second));
  EXPECT_TRUE(TRIVET_HAS_FIELD(&sample, Sample, first));
}

}  // namespace
