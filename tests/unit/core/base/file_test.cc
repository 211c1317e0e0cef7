// SPDX-License-Identifier: Apache-2.0
//
// Mapping, reading, atomic writing, directories and paths.
// In a folder of its own; whatever cannot be opened or written must say which path and why.

#include "core/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/base/sink.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

class File : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = getenv("TEST_TMPDIR");
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/fileXXXXXX";
    ASSERT_NE(mkdtemp(&pattern[0]), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    for (const std::string& name : List()) unlink(Path(name).c_str());
    rmdir(folder_.c_str());
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> List() const {
    tvi_arena_t arena;
    tvi_arena_init(&arena, trivet_allocator_system(), 0);
    trivet_string_view_t* names = nullptr;
    size_t count = 0;
    EXPECT_EQ(tvi_directory_list(folder_.c_str(), &arena, &names, &count), nullptr);
    std::vector<std::string> result;
    for (size_t i = 0; i < count; ++i) result.emplace_back(names[i].data, names[i].size);
    tvi_arena_deinit(&arena);
    return result;
  }
  void Write(const std::string& name, const std::string& text) const {
    ASSERT_EQ(
        tvi_file_write(Path(name).c_str(), text.data(), text.size(), trivet_allocator_system()),
        nullptr);
  }
  std::string Read(const std::string& name) const {
    char* data = nullptr;
    size_t size = 0;
    EXPECT_EQ(tvi_file_read(Path(name).c_str(), trivet_allocator_system(), &data, &size), nullptr);
    std::string text(data, size);
    EXPECT_EQ(data[size], '\0');
    tvi_free(trivet_allocator_system(), data, size + 1);
    return text;
  }
  std::string folder_;
};

TEST_F(File, WritesAndReads) {
  std::string text(100000, 'x');
  text += std::string("\0end", 4);
  Write("a", text);
  EXPECT_EQ(Read("a"), text);
  Write("a", "");
  EXPECT_EQ(Read("a"), "");
  EXPECT_EQ(List(), std::vector<std::string>{"a"});
  uint64_t size = 9;
  ASSERT_EQ(tvi_file_size(Path("a").c_str(), &size), nullptr);
  EXPECT_EQ(size, 0u);
  EXPECT_TRUE(tvi_file_exists(Path("a").c_str()));
  EXPECT_FALSE(tvi_file_exists(Path("b").c_str()));
  EXPECT_TRUE(tvi_file_is_directory(folder_.c_str()));
  EXPECT_FALSE(tvi_file_is_directory(Path("a").c_str()));
}

TEST_F(File, MapsAnyRange) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += static_cast<char>(i % 251);
  Write("a", text);
  struct {
    uint64_t offset, size;
  } cases[] = {{0, TVI_FILE_TO_END},
               {1, 10},
               {4095, 2},
               {4096, 4096},
               {5000, TVI_FILE_TO_END},
               {20000, 0},
               {20000, TVI_FILE_TO_END}};
  for (auto& c : cases) {
    tvi_file_mapping_t* mapping = nullptr;
    ASSERT_EQ(
        tvi_file_map(Path("a").c_str(), c.offset, c.size, trivet_allocator_system(), &mapping),
        nullptr);
    size_t size = c.size == TVI_FILE_TO_END ? text.size() - c.offset : c.size;
    ASSERT_EQ(mapping->size, size);
    if (size != 0) {
      EXPECT_EQ(memcmp(mapping->data, text.data() + c.offset, size), 0);
    }
    tvi_file_mapping_retain(mapping);
    tvi_file_mapping_release(mapping);
    tvi_file_mapping_release(mapping);
  }
  tvi_file_mapping_t* mapping = nullptr;
  trivet_status_t status =
      tvi_file_map(Path("a").c_str(), 19999, 2, trivet_allocator_system(), &mapping);
  EXPECT_EQ(std::string(trivet_status_message(status)),
            "'" + Path("a") + "' has 20000 bytes, which do not hold 2 bytes from offset 19999");
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(trivet_status_consume(tvi_file_map(Path("a").c_str(), 20001, TVI_FILE_TO_END,
                                               trivet_allocator_system(), &mapping)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(mapping, nullptr);
}

TEST_F(File, MemoryLooksLikeAFile) {
  tvi_file_mapping_t* mapping = nullptr;
  ASSERT_EQ(tvi_file_mapping_from_memory("abc", 3, trivet_allocator_system(), &mapping), nullptr);
  EXPECT_EQ(mapping->size, 3u);
  EXPECT_EQ(memcmp(mapping->data, "abc", 3), 0);
  tvi_file_mapping_release(mapping);
  tvi_file_mapping_release(nullptr);
}

TEST_F(File, MissingFilesAndFoldersAreNamed) {
  char* data = nullptr;
  size_t size = 0;
  trivet_status_t status =
      tvi_file_read(Path("none").c_str(), trivet_allocator_system(), &data, &size);
  EXPECT_EQ(std::string(trivet_status_message(status)),
            "cannot open '" + Path("none") + "': No such file or directory");
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_NOT_FOUND);
  EXPECT_EQ(trivet_status_consume(
                tvi_file_read(folder_.c_str(), trivet_allocator_system(), &data, &size)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  tvi_file_writer_t* writer = nullptr;
  EXPECT_EQ(trivet_status_consume(
                tvi_file_writer_open(Path("no/file").c_str(), trivet_allocator_system(), &writer)),
            TRIVET_STATUS_NOT_FOUND);
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_string_view_t* names = nullptr;
  EXPECT_EQ(trivet_status_consume(tvi_directory_list(Path("none").c_str(), &arena, &names, &size)),
            TRIVET_STATUS_NOT_FOUND);
  tvi_arena_deinit(&arena);
}

TEST_F(File, OldFileStaysUntilCommit) {
  Write("a", "old");
  tvi_file_writer_t* writer = nullptr;
  ASSERT_EQ(tvi_file_writer_open(Path("a").c_str(), trivet_allocator_system(), &writer), nullptr);
  ASSERT_EQ(tvi_sink_write(tvi_file_writer_sink(writer), "new", 3), nullptr);
  EXPECT_EQ(Read("a"), "old");
  tvi_file_writer_discard(writer);
  EXPECT_EQ(Read("a"), "old");
  EXPECT_EQ(List().size(), 1u);

  ASSERT_EQ(tvi_file_writer_open(Path("a").c_str(), trivet_allocator_system(), &writer), nullptr);
  tvi_file_writer_t* second = nullptr;
  ASSERT_EQ(tvi_file_writer_open(Path("a").c_str(), trivet_allocator_system(), &second), nullptr);
  ASSERT_EQ(tvi_sink_write(tvi_file_writer_sink(writer), "new", 3), nullptr);
  ASSERT_EQ(tvi_file_writer_commit(writer), nullptr);
  EXPECT_EQ(Read("a"), "new");
  ASSERT_EQ(tvi_file_writer_commit(second), nullptr);
  EXPECT_EQ(Read("a"), "");
  EXPECT_EQ(List().size(), 1u);
  tvi_file_writer_discard(nullptr);
}

// A file renamed onto /dev/null, by root, takes it from the whole machine.
// One holder at a time, each with its own hold, and nothing left in the folder.
TEST_F(File, DirectoryLocksTakeTurns) {
  const std::string path = Path("folder/some.cache");
  ASSERT_EQ(mkdir(Path("folder").c_str(), 0755), 0);
  int turns = 0, inside = 0, most = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        int lock = tvi_directory_lock(path.c_str());
        most = std::max(most, ++inside);
        ++turns;
        --inside;
        tvi_directory_unlock(lock);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(turns, 200);
  EXPECT_EQ(most, 1);
  EXPECT_EQ(rmdir(Path("folder").c_str()), 0);
  EXPECT_EQ(tvi_directory_lock(Path("nowhere/some.cache").c_str()), -1);
  tvi_directory_unlock(-1);
}

TEST_F(File, WhatIsNoFileIsWrittenToAndStays) {
  std::string pipe = Path("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  int reader = open(pipe.c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_EQ(tvi_file_write(pipe.c_str(), "through", 7, trivet_allocator_system()), nullptr);
  char bytes[16];
  EXPECT_EQ(read(reader, bytes, sizeof bytes), 7);
  EXPECT_EQ(std::string(bytes, 7), "through");
  tvi_file_writer_t* writer = nullptr;
  ASSERT_EQ(tvi_file_writer_open(pipe.c_str(), trivet_allocator_system(), &writer), nullptr);
  tvi_file_writer_discard(writer);
  struct stat info;
  ASSERT_EQ(stat(pipe.c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
  EXPECT_EQ(List().size(), 1u);
  close(reader);
}

TEST_F(File, KeepsPermissions) {
  mode_t mask = umask(027);
  Write("a", "x");
  umask(mask);
  struct stat info;
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  ASSERT_EQ(chmod(Path("a").c_str(), 0604), 0);
  Write("a", "y");
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0604u);
}

TEST_F(File, ListsSorted) {
  for (const char* name : {"b", "a", "c", "B"}) Write(name, "");
  EXPECT_EQ(List(), (std::vector<std::string>{"B", "a", "b", "c"}));
}

TEST_F(File, EveryFailureIsReported) {
  std::string path = Path("a");
  std::string folder = folder_;
  uint64_t failures = ForEachFailure([&](trivet_allocator_t allocator) -> trivet_status_t {
    TRIVET_RETURN_IF_ERROR(tvi_file_write(path.c_str(), "text", 4, allocator));
    char* data = nullptr;
    size_t size = 0;
    TRIVET_RETURN_IF_ERROR(tvi_file_read(path.c_str(), allocator, &data, &size));
    tvi_free(allocator, data, size + 1);
    tvi_file_mapping_t* mapping = nullptr;
    TRIVET_RETURN_IF_ERROR(tvi_file_map(path.c_str(), 0, TVI_FILE_TO_END, allocator, &mapping));
    tvi_file_mapping_release(mapping);
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator, 64);
    trivet_string_view_t* names = nullptr;
    trivet_status_t status = tvi_directory_list(folder.c_str(), &arena, &names, &size);
    tvi_arena_deinit(&arena);
    return status;
  });
  EXPECT_GE(failures, 8u);
  // No temporary file is left behind.
  EXPECT_EQ(List(), std::vector<std::string>{"a"});
}

TEST(Path, Parts) {
  auto text = [](trivet_string_view_t v) { return std::string(v.data ? v.data : "", v.size); };
  EXPECT_EQ(text(tvi_path_directory(TRIVET_SV("a/b/c.onnx"))), "a/b");
  EXPECT_EQ(text(tvi_path_directory(TRIVET_SV("c.onnx"))), ".");
  EXPECT_EQ(text(tvi_path_directory(TRIVET_SV("/c"))), "/");
  EXPECT_EQ(text(tvi_path_basename(TRIVET_SV("a/b/c.onnx"))), "c.onnx");
  EXPECT_EQ(text(tvi_path_basename(TRIVET_SV("c"))), "c");
  EXPECT_EQ(text(tvi_path_extension(TRIVET_SV("a.b/c.tar.gz"))), ".gz");
  EXPECT_EQ(text(tvi_path_extension(TRIVET_SV("a.b/c"))), "");
  EXPECT_EQ(text(tvi_path_extension(TRIVET_SV(".rc"))), "");
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_string_view_t joined;
  ASSERT_EQ(tvi_path_join(TRIVET_SV("a"), TRIVET_SV("b"), &arena, &joined), nullptr);
  EXPECT_STREQ(joined.data, "a/b");
  ASSERT_EQ(tvi_path_join(TRIVET_SV("a/"), TRIVET_SV("b"), &arena, &joined), nullptr);
  EXPECT_STREQ(joined.data, "a/b");
  ASSERT_EQ(tvi_path_join(TRIVET_SV("a"), TRIVET_SV("/b"), &arena, &joined), nullptr);
  EXPECT_STREQ(joined.data, "/b");
  ASSERT_EQ(tvi_path_join(TRIVET_SV(""), TRIVET_SV("b"), &arena, &joined), nullptr);
  EXPECT_STREQ(joined.data, "b");
  tvi_arena_deinit(&arena);
}

}  // namespace
