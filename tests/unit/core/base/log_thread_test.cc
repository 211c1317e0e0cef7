// SPDX-License-Identifier: Apache-2.0
//
// Logging; mutex, condition, thread and clock.
// With many threads at once, so that ThreadSanitizer has something to look at.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/thread.h"

namespace {

using Lines = std::vector<std::pair<trivet_severity_t, std::string>>;

trivet_logger_t LoggerOf(Lines* lines, trivet_severity_t least) {
  return trivet_logger_t{lines,
                         [](void* self, trivet_severity_t severity, trivet_string_view_t message) {
                           static_cast<Lines*>(self)->emplace_back(
                               severity, std::string(message.data, message.size));
                         },
                         least, 0};
}

TEST(Log, FormatsAndFilters) {
  Lines lines;
  trivet_logger_t logger = LoggerOf(&lines, TRIVET_SEVERITY_WARNING);
  tvi_log(logger, TRIVET_SEVERITY_INFO, "dropped");
  tvi_log(logger, TRIVET_SEVERITY_ERROR, "value %d\nsecond", 7);
  tvi_log_status(logger, TRIVET_SEVERITY_WARNING, TRIVET_STATUS(NOT_FOUND, "no x"));
  tvi_log_status(logger, TRIVET_SEVERITY_WARNING, nullptr);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].first, TRIVET_SEVERITY_ERROR);
  EXPECT_EQ(lines[0].second, "value 7 second");
  EXPECT_EQ(lines[1].second, "NOT_FOUND: no x");
  EXPECT_FALSE(tvi_log_enabled(tvi_logger_null(), TRIVET_SEVERITY_ERROR));
  tvi_log(tvi_logger_null(), TRIVET_SEVERITY_ERROR, "nobody hears");
}

TEST(Log, LongLinesAreCut) {
  Lines lines;
  tvi_log(LoggerOf(&lines, 0), TRIVET_SEVERITY_INFO, "%s", std::string(5000, 'x').c_str());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].second.size(), 2047u);
  EXPECT_EQ(lines[0].second.substr(2040), "xxxx...");
}

struct Shared {
  tvi_mutex_t mutex;
  tvi_condition_t condition;
  int count = 0;
};

TEST(Thread, MutexAndCondition) {
  Shared shared;
  ASSERT_EQ(tvi_mutex_init(&shared.mutex), nullptr);
  ASSERT_EQ(tvi_condition_init(&shared.condition), nullptr);
  tvi_thread_t threads[4];
  for (auto& thread : threads) {
    ASSERT_EQ(tvi_thread_start(
                  &thread, "a name of more than fifteen bytes",
                  [](void* self) {
                    auto* shared = static_cast<Shared*>(self);
                    for (int i = 0; i < 1000; ++i) {
                      tvi_mutex_lock(&shared->mutex);
                      ++shared->count;
                      tvi_condition_signal(&shared->condition);
                      tvi_mutex_unlock(&shared->mutex);
                    }
                  },
                  &shared),
              nullptr);
  }
  tvi_mutex_lock(&shared.mutex);
  while (shared.count < 4000) tvi_condition_wait(&shared.condition, &shared.mutex);
  int64_t before = tvi_clock_now_ns();
  EXPECT_FALSE(tvi_condition_wait_until(&shared.condition, &shared.mutex, before + 5000000));
  EXPECT_GE(tvi_clock_now_ns() - before, 5000000);
  tvi_mutex_unlock(&shared.mutex);
  for (auto& thread : threads) tvi_thread_join(&thread);
  EXPECT_EQ(shared.count, 4000);
  tvi_condition_deinit(&shared.condition);
  tvi_mutex_deinit(&shared.mutex);
  EXPECT_GE(tvi_thread_processor_count(), 1u);
}

}  // namespace
