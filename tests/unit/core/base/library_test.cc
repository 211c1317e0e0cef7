// SPDX-License-Identifier: Apache-2.0
//
// Shared objects: opening, symbols, and the reasons for refusing.
// What plugins are opened with; the messages are what a person sees of a broken file.

#include "core/base/library.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "core/base/status.h"
#include "tests/support/failing_allocator.h"

namespace {

// Tests run in the root of their data.
std::string FixturePath() { return "tests/unit/core/base/library_fixture.so"; }

TEST(Library, OpensAndFindsSymbols) {
  tvi_library_t* library = nullptr;
  trivet_status_t status =
      tvi_library_open(FixturePath().c_str(), trivet_allocator_system(), &library);
  ASSERT_EQ(status, nullptr) << trivet_status_message(status);
  EXPECT_EQ(FixturePath(), tvi_library_path(library));
  void* address = nullptr;
  ASSERT_EQ(tvi_library_symbol(library, "trivet_fixture_answer", &address), nullptr);
  EXPECT_EQ(reinterpret_cast<int (*)()>(address)(), 42);
  EXPECT_EQ(tvi_library_try_symbol(library, "trivet_fixture_answer"), address);
  EXPECT_EQ(tvi_library_try_symbol(library, "none"), nullptr);
  status = tvi_library_symbol(library, "none", &address);
  EXPECT_EQ(std::string(trivet_status_message(status)),
            "shared object '" + FixturePath() + "' has no symbol 'none'");
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_NOT_FOUND);
  tvi_library_close(library);
  tvi_library_close(nullptr);
}

TEST(Library, OpensWhatLiesInMemory) {
  std::ifstream file(FixturePath(), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  trivet_allocator_t system = trivet_allocator_system();
  tvi_library_t* library[2] = {nullptr, nullptr};
  for (tvi_library_t*& opened : library) {  // each has its own copy
    trivet_status_t status =
        tvi_library_open_memory("carried", bytes.data(), bytes.size(), system, &opened);
    ASSERT_EQ(status, nullptr) << trivet_status_message(status);
    EXPECT_STREQ(tvi_library_path(opened), "carried");
    void* address = nullptr;
    ASSERT_EQ(tvi_library_symbol(opened, "trivet_fixture_answer", &address), nullptr);
    EXPECT_EQ(reinterpret_cast<int (*)()>(address)(), 42);
  }
  EXPECT_NE(tvi_library_try_symbol(library[0], "trivet_fixture_answer"),
            tvi_library_try_symbol(library[1], "trivet_fixture_answer"));
  for (tvi_library_t* opened : library) tvi_library_close(opened);
  tvi_library_t* none = nullptr;
  for (size_t size : {size_t{0}, size_t{10}, size_t{100}}) {
    trivet_status_t status = tvi_library_open_memory("carried", bytes.data(), size, system, &none);
    EXPECT_NE(
        std::string(trivet_status_message(status)).find("cannot load shared object 'carried'"),
        std::string::npos);
    EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_UNAVAILABLE);
  }
}

TEST(Library, RefusesWithReason) {
  tvi_library_t* library = nullptr;
  trivet_allocator_t system = trivet_allocator_system();
  EXPECT_EQ(trivet_status_consume(tvi_library_open("./no-such.so", system, &library)),
            TRIVET_STATUS_NOT_FOUND);
  EXPECT_EQ(trivet_status_consume(tvi_library_open("libno-such-anywhere.so", system, &library)),
            TRIVET_STATUS_UNAVAILABLE);
  EXPECT_EQ(trivet_status_consume(tvi_library_open("", system, &library)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  std::string path = std::string(getenv("TEST_TMPDIR") != nullptr ? getenv("TEST_TMPDIR") : ".") +
                     "/not_a_library.so";
  std::ofstream(path) << "text";
  trivet_status_t status = tvi_library_open(path.c_str(), system, &library);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_UNAVAILABLE);
  EXPECT_NE(std::string(trivet_status_message(status)).find(path), std::string::npos);
  trivet_status_free(status);
  EXPECT_EQ(library, nullptr);
}

TEST(Library, OpensTheFirstThatExists) {
  std::string fixture = FixturePath();
  const char* names[] = {"libno-such-a.so", "./no-such-b.so", fixture.c_str()};
  tvi_library_t* library = nullptr;
  ASSERT_EQ(tvi_library_open_any(names, 3, trivet_allocator_system(), &library), nullptr);
  EXPECT_EQ(fixture, tvi_library_path(library));
  tvi_library_close(library);
  library = nullptr;
  trivet_status_t status = tvi_library_open_any(names, 2, trivet_allocator_system(), &library);
  std::string message = trivet_status_message(status);
  EXPECT_NE(message.find("libno-such-a.so"), std::string::npos);
  EXPECT_NE(message.find("no-such-b.so"), std::string::npos);
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_UNAVAILABLE);
  EXPECT_EQ(trivet_status_consume(
                tvi_library_open_any(names + 1, 1, trivet_allocator_system(), &library)),
            TRIVET_STATUS_UNAVAILABLE);
  EXPECT_EQ(
      trivet_status_consume(tvi_library_open_any(nullptr, 0, trivet_allocator_system(), &library)),
      TRIVET_STATUS_INVALID_ARGUMENT);
}

TEST(Library, EveryFailureIsReported) {
  uint64_t failures = trivet_test::ForEachFailure([](trivet_allocator_t allocator) {
    tvi_library_t* library = nullptr;
    trivet_status_t status = tvi_library_open(FixturePath().c_str(), allocator, &library);
    tvi_library_close(library);
    return status;
  });
  EXPECT_EQ(failures, 2u);
}

}  // namespace
