// SPDX-License-Identifier: Apache-2.0
//
// The timing cache and its file: what is written reads back to the same bytes, files merge, winners
// go by the rule of 3 %, and every file that is none of ours is refused with its line.

#include "core/target/timing_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/status.h"
#include "tests/support/failing_allocator.h"

namespace {

const uint64_t kOne[2] = {1, 0xABCDEF0123456789u};
const uint64_t kTwo[2] = {2, 0};
const char kHead[] = "trivet timing cache 1\ndevice cpu test\n";

std::string TextOf(trivet_status_t status) {
  std::string text = trivet_status_code_name(trivet_status_code(status));
  if (status != nullptr) text += std::string(": ") + trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

class TimingCache : public testing::Test {
 protected:
  void SetUp() override { cache_ = New("cpu test"); }
  void TearDown() override { tvi_timing_cache_destroy(cache_); }

  static tvi_timing_cache_t* New(const char* device) {
    tvi_timing_cache_t* cache = nullptr;
    EXPECT_EQ(TextOf(tvi_timing_cache_create(device, trivet_allocator_system(), &cache)), "OK");
    return cache;
  }
  static std::string Path(const char* name) { return testing::TempDir() + "/" + name; }
  static std::string Write(const char* name, const std::string& text) {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }
  std::string Load(const std::string& text) {
    return TextOf(tvi_timing_cache_load(cache_, Write("loaded.times", text).c_str()));
  }
  void Add(const uint64_t signature[2], const char* kernel, const char* tactic, double time) {
    ASSERT_EQ(TextOf(tvi_timing_cache_add(cache_, signature, kernel, tactic, time)), "OK");
  }
  std::string Best(const uint64_t signature[2]) {
    const char *kernel = nullptr, *tactic = nullptr;
    if (!tvi_timing_cache_best(cache_, signature, &kernel, &tactic)) return "none";
    return std::string(kernel) + " " + tactic;
  }
  std::string Saved() {
    unlink(Path("saved.times").c_str());
    EXPECT_EQ(TextOf(tvi_timing_cache_save(cache_, Path("saved.times").c_str())), "OK");
    return Read(Path("saved.times"));
  }

  tvi_timing_cache_t* cache_ = nullptr;
};

TEST_F(TimingCache, ReadsBackWhatItWrote) {
  Add(kTwo, "b.kernel/1", "plain", 7.4);
  Add(kOne, "b.kernel/2", "with blanks, and more", 1e15);
  Add(kOne, "a.kernel/1", "", 0.2);
  const std::string text = Saved();
  EXPECT_EQ(text, std::string(kHead) +
                      "0000000000000001abcdef0123456789 a.kernel/1 \"\" 0\n"
                      "0000000000000001abcdef0123456789 b.kernel/2 \"with blanks, and more\" "
                      "1000000000000000\n"
                      "00000000000000020000000000000000 b.kernel/1 \"plain\" 7\n");
  TearDown();
  SetUp();
  EXPECT_EQ(Load(text), "OK");
  EXPECT_EQ(Saved(), text);
  double time = -1;
  EXPECT_TRUE(tvi_timing_cache_find(cache_, kTwo, "b.kernel/1", "plain", &time));
  EXPECT_EQ(time, 7);
  EXPECT_FALSE(tvi_timing_cache_find(cache_, kTwo, "b.kernel/2", "plain", &time));
}

// What was measured decides as what was read does: both are whole numbers.
TEST_F(TimingCache, DecidesAlikeBeforeAndAfterTheFile) {
  Add(kOne, "a.kernel/1", "t", 100.4);  // 100
  Add(kOne, "b.kernel/1", "t", 97.2);   // 97: not below 97
  EXPECT_EQ(Best(kOne), "a.kernel/1 t");
  const std::string text = Saved();
  TearDown();
  SetUp();
  EXPECT_EQ(Load(text), "OK");
  EXPECT_EQ(Best(kOne), "a.kernel/1 t");
}

TEST_F(TimingCache, ChallengersMustWinByThreePercent) {
  EXPECT_EQ(Best(kOne), "none");
  Add(kOne, "a.kernel/1", "t", 1000);
  Add(kOne, "b.kernel/1", "t", 971);
  EXPECT_EQ(Best(kOne), "a.kernel/1 t");
  Add(kOne, "c.kernel/1", "t", 969);
  EXPECT_EQ(Best(kOne), "c.kernel/1 t");
  Add(kOne, "a.kernel/1", "t", 500);  // measured again
  EXPECT_EQ(Best(kOne), "a.kernel/1 t");
  EXPECT_EQ(Best(kTwo), "none");
}

TEST_F(TimingCache, FilesMerge) {
  Add(kOne, "a.kernel/1", "t", 10);
  const std::string first = Saved();
  TearDown();
  SetUp();
  Add(kTwo, "b.kernel/1", "t", 20);
  EXPECT_EQ(Load(first), "OK");
  const std::string both = Saved();
  EXPECT_EQ(both, std::string(kHead) +
                      "0000000000000001abcdef0123456789 a.kernel/1 \"t\" 10\n"
                      "00000000000000020000000000000000 b.kernel/1 \"t\" 20\n");
  EXPECT_EQ(Load(both), "OK");
  EXPECT_EQ(Saved(), both);
}

// Two builds that began with the same file: who saves last loses nothing of the other.
TEST_F(TimingCache, SavingKeepsWhatOthersSaved) {
  tvi_timing_cache_t* other = New("cpu test");
  ASSERT_EQ(TextOf(tvi_timing_cache_add(other, kOne, "a.kernel/1", "t", 11)), "OK");
  ASSERT_EQ(TextOf(tvi_timing_cache_add(other, kTwo, "b.kernel/1", "t", 20)), "OK");
  const std::string path = Write("shared.times", kHead);
  ASSERT_EQ(TextOf(tvi_timing_cache_save(other, path.c_str())), "OK");
  tvi_timing_cache_destroy(other);
  Add(kOne, "a.kernel/1", "t", 10);
  ASSERT_EQ(TextOf(tvi_timing_cache_save(cache_, path.c_str())), "OK");
  EXPECT_EQ(Read(path), std::string(kHead) +
                            "0000000000000001abcdef0123456789 a.kernel/1 \"t\" 10\n"
                            "00000000000000020000000000000000 b.kernel/1 \"t\" 20\n");
  Write("shared.times", "trivet timing cache 1\ndevice cpu other\n");
  EXPECT_EQ(TextOf(tvi_timing_cache_save(cache_, path.c_str())).substr(0, 13), "INCOMPATIBLE:");
}

TEST_F(TimingCache, LockFilesHoldTheWinnersThatWereUsed) {
  EXPECT_EQ(Load(std::string(kHead) + "0000000000000001abcdef0123456789 a.kernel/1 \"t\" 10\n"
                                      "0000000000000001abcdef0123456789 b.kernel/1 \"t\" 5\n"
                                      "00000000000000020000000000000000 a.kernel/1 \"t\" 1\n"),
            "OK");
  unsigned line = 0;
  EXPECT_EQ(tvi_timing_cache_unused(cache_, &line), 3u);
  EXPECT_EQ(line, 3u);
  tvi_timing_cache_use(cache_, kOne);
  EXPECT_EQ(tvi_timing_cache_unused(cache_, &line), 1u);
  EXPECT_EQ(line, 5u);
  const std::string path = Path("winners.lock");
  ASSERT_EQ(TextOf(tvi_timing_cache_save_winners(cache_, path.c_str())), "OK");
  EXPECT_EQ(Read(path),
            std::string(kHead) + "0000000000000001abcdef0123456789 b.kernel/1 \"t\" 5\n");
  tvi_timing_cache_use(cache_, kTwo);
  EXPECT_EQ(tvi_timing_cache_unused(cache_, &line), 0u);
}

TEST_F(TimingCache, ForeignFilesAreRefused) {
  const std::string path = Path("loaded.times");
  const std::string entry = "0000000000000001abcdef0123456789 a.kernel/1 \"t\" 10\n";
  const struct {
    std::string text, message;
  } cases[] = {
      {"", "DATA_LOSS: " + path + ": not a timing cache: 0 lines"},
      {"trivet timing cache 1\n", "DATA_LOSS: " + path + ": not a timing cache: 1 lines"},
      {"trivet timing cache 2\ndevice cpu test\n",
       "INCOMPATIBLE: " + path + " is a timing cache of version 2, this reads 1"},
      {"{\"json\": 1}\n",
       "DATA_LOSS: " + path +
           ": not a timing cache (the first line is not \"trivet timing cache 1\")"},
      {std::string("trivet timing cache 1\0\n", 23),
       "DATA_LOSS: " + path +
           ": not a timing cache (the first line is not \"trivet timing cache 1\")"},
      {"trivet timing cache 1\n" + entry, "DATA_LOSS: " + path + ":2: no device line"},
      {"trivet timing cache 1\ndevice cpu other\n",
       "INCOMPATIBLE: " + path + " holds times of device \"cpu other\", this is \"cpu test\""},
      {kHead + entry.substr(0, entry.size() - 1), "DATA_LOSS: " + path + ":3: the file is cut off"},
      {kHead + entry + "hello\n", "DATA_LOSS: " + path + ":4: not an entry of a timing cache"},
      {kHead + entry.substr(0, entry.size() - 3) + "x\n",
       "DATA_LOSS: " + path + ":3: not an entry of a timing cache"},
      {kHead + std::string("0000000000000001abcdef0123456789 a.kernel/1 \"t\" nan\n"),
       "DATA_LOSS: " + path + ":3: not an entry of a timing cache"},
      {kHead + std::string("0000000000000001abcdef0123456789 a.kernel/1 \"t\" -1\n"),
       "DATA_LOSS: " + path + ":3: not an entry of a timing cache"},
      {kHead + std::string("0000000000000001abcdef0123456789 a.kernel/1 \"t 10\n"),
       "DATA_LOSS: " + path + ":3: not an entry of a timing cache"},
      {kHead + std::string(600, 'x') + "\n", "DATA_LOSS: " + path + ":3: line of 600 bytes"},
  };
  for (const auto& each : cases) EXPECT_EQ(Load(each.text), each.message) << each.text;
  EXPECT_EQ(TextOf(tvi_timing_cache_load(cache_, Path("nowhere").c_str())).substr(0, 10),
            "NOT_FOUND:");
}

// Wherever a file is cut off, it is refused, or what is left are whole lines.
TEST_F(TimingCache, CutAnywhere) {
  Add(kOne, "a.kernel/1", "t", 10);
  Add(kTwo, "b.kernel/1", "u v", 2000);
  const std::string text = Saved();
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string part = text.substr(0, size);
    const std::string found = Load(part);
    bool whole = size >= std::string(kHead).size() && part.back() == '\n';
    EXPECT_EQ(found == "OK", whole) << size << ": " << found;
  }
}

// A lock file says for which device it is; who has none takes it from there.
TEST_F(TimingCache, DeviceOfTheFile) {
  tvi_timing_cache_t* any = New("");
  const std::string path = Write("gpu.times", "trivet timing cache 1\ndevice gpu of somebody\n");
  EXPECT_EQ(TextOf(tvi_timing_cache_load(any, path.c_str())), "OK");
  const std::string copy = Path("copy.times");
  EXPECT_EQ(TextOf(tvi_timing_cache_save(any, copy.c_str())), "OK");
  EXPECT_EQ(Read(copy), Read(path));
  tvi_timing_cache_destroy(any);
}

TEST_F(TimingCache, EveryAllocationMayFail) {
  const std::string path = Write(
      "some.times", std::string(kHead) + "0000000000000001abcdef0123456789 a.kernel/1 \"t\" 10\n");
  trivet_test::ForEachFailure([&](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_timing_cache_t* cache = nullptr;
    trivet_status_t status = tvi_timing_cache_create("cpu test", allocator, &cache);
    if (status == nullptr) status = tvi_timing_cache_load(cache, path.c_str());
    if (status == nullptr) status = tvi_timing_cache_add(cache, kTwo, "b.kernel/1", "t", 4);
    if (status == nullptr) status = tvi_timing_cache_save(cache, Path("out.times").c_str());
    tvi_timing_cache_destroy(cache);
    return status;
  });
}

}  // namespace
