// SPDX-License-Identifier: Apache-2.0
//
// Plans that were cut, changed or made by an enemy: every cut and every changed byte is noticed;
// where the hashes were put right again, the reader refuses or gives a plan that keeps all rules,
// and never takes more memory than the file justifies.

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>
#include <string>

#include "core/plan/plan.h"
#include "core/plan/plan_format.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_rehash.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::AlignedBytes;
using trivet_test::FailingAllocator;
using trivet_test::PlanSample;

class PlanDamage : public ::testing::Test {
 protected:
  PlanDamage() {
    PlanSample sample;
    trivet_status_t status = sample.Write(&written_);
    EXPECT_EQ(status, nullptr) << trivet_status_message(status);
    trivet_status_free(status);
  }

  // The status of reading; a plan that was read is walked and freed.
  static trivet_status_t Read(uint8_t* bytes, size_t size,
                              uint32_t flags = TVI_PLAN_READ_VERIFY_WEIGHTS) {
    tvi_plan_t* plan = nullptr;
    trivet_status_t status = tvi_plan_read(bytes, size, flags, trivet_allocator_system(), &plan);
    EXPECT_EQ(status == nullptr, plan != nullptr);
    // Both printers on a part of what is accepted; they cost more than reading.
    static int accepted = 0;
    if (plan != nullptr && accepted++ % 16 == 0) {
      tvi_string_builder_t text;
      tvi_string_builder_init(&text, trivet_allocator_system());
      trivet_status_free(tvi_plan_print(plan, &text));
      trivet_status_free(tvi_plan_print_json(plan, &text));
      tvi_string_builder_deinit(&text);
    }
    tvi_plan_destroy(plan);
    return status;
  }
  static trivet_status_code_t ReadCode(uint8_t* bytes, size_t size,
                                       uint32_t flags = TVI_PLAN_READ_VERIFY_WEIGHTS) {
    return trivet_status_consume(Read(bytes, size, flags));
  }
  static std::string ReadError(const std::vector<uint8_t>& written) {
    AlignedBytes bytes(written);
    trivet_status_t status = Read(bytes.data(), bytes.size());
    std::string message = status != nullptr ? trivet_status_message(status) : "no error";
    trivet_status_free(status);
    return message;
  }
  // Where the entry of a section in the table begins.
  static size_t Entry(uint32_t type) {
    return TVI_PLAN_HEADER_SIZE + (type - 1) * TVI_PLAN_ENTRY_SIZE;
  }
  size_t SectionOffset(uint32_t type) const {
    return static_cast<size_t>(tvi_load_u64(written_.data() + Entry(type) + 8));
  }
  size_t SectionSize(uint32_t type) const {
    return static_cast<size_t>(tvi_load_u64(written_.data() + Entry(type) + 16));
  }

  std::vector<uint8_t> written_;
};

TEST_F(PlanDamage, EveryCutIsNoticed) {
  for (size_t size = 0; size < written_.size(); ++size) {
    AlignedBytes bytes(written_.data(), size);
    ASSERT_EQ(ReadCode(bytes.data(), size, 0), TRIVET_STATUS_DATA_LOSS) << size;
  }
  std::vector<uint8_t> longer = written_;
  longer.push_back(0);
  AlignedBytes bytes(longer);
  EXPECT_EQ(ReadCode(bytes.data(), bytes.size()), TRIVET_STATUS_DATA_LOSS);
}

TEST_F(PlanDamage, EveryChangedByteIsNoticed) {
  AlignedBytes bytes(written_);
  for (size_t at = 0; at < written_.size(); ++at) {
    for (int flip : {0x01, 0x80, 0xff}) {
      bytes.data()[at] = static_cast<uint8_t>(written_[at] ^ flip);
      trivet_status_code_t code = ReadCode(bytes.data(), bytes.size());
      bool is_major = at >= TVI_PLAN_OFFSET_MAJOR && at < TVI_PLAN_OFFSET_MINOR;
      ASSERT_EQ(code, is_major ? TRIVET_STATUS_INCOMPATIBLE : TRIVET_STATUS_DATA_LOSS) << at;
    }
    bytes.data()[at] = written_[at];
  }
  EXPECT_EQ(ReadCode(bytes.data(), bytes.size()), TRIVET_STATUS_OK);
}

TEST_F(PlanDamage, WithoutTheFlagOnlyWeightsMayDiffer) {
  AlignedBytes bytes(written_);
  size_t begin = SectionOffset(TVI_PLAN_SECTION_WEIGHTS);
  size_t end = begin + SectionSize(TVI_PLAN_SECTION_WEIGHTS);
  for (size_t at = 0; at < written_.size(); ++at) {
    bytes.data()[at] ^= 0x10;
    bool is_weight = at >= begin && at < end;
    ASSERT_EQ(ReadCode(bytes.data(), bytes.size(), 0) == TRIVET_STATUS_OK, is_weight) << at;
    bytes.data()[at] ^= 0x10;
  }
}

TEST_F(PlanDamage, SecondChunksAreCheckedToo) {
  PlanSample sample(size_t{5} << 19);
  std::vector<uint8_t> written;
  ASSERT_EQ(sample.Write(&written), nullptr);
  AlignedBytes bytes(written);
  size_t begin =
      static_cast<size_t>(tvi_load_u64(written.data() + Entry(TVI_PLAN_SECTION_WEIGHTS) + 8));
  for (size_t chunk = 0; chunk < 3; ++chunk) {
    size_t at = begin + chunk * TVI_PLAN_CHUNK_SIZE + 77;
    bytes.data()[at] ^= 1;
    trivet_status_t status = Read(bytes.data(), bytes.size());
    std::string where = "at offset " + std::to_string(begin + chunk * TVI_PLAN_CHUNK_SIZE);
    EXPECT_NE(std::string(trivet_status_message(status)).find(where), std::string::npos)
        << trivet_status_message(status);
    trivet_status_free(status);
    bytes.data()[at] ^= 1;
  }
}

// Hashes put right after each change: what is left is the reader's and the verifier's own doing.
TEST_F(PlanDamage, RepairedChangesAreRefusedOrHarmless) {
  AlignedBytes bytes(written_);
  std::set<std::string> messages;
  size_t accepted = 0, tried = 0;
  for (size_t at = 0; at < written_.size(); ++at) {
    for (int value : {0x00, 0x01, 0x40, 0x7f, 0xff}) {
      if (written_[at] == value) continue;
      memcpy(bytes.data(), written_.data(), written_.size());
      bytes.data()[at] = static_cast<uint8_t>(value);
      trivet_test::RehashPlan(bytes.data(), bytes.size());
      trivet_status_t status = Read(bytes.data(), bytes.size());
      trivet_status_code_t code = trivet_status_code(status);
      ASSERT_TRUE(code == TRIVET_STATUS_OK || code == TRIVET_STATUS_DATA_LOSS ||
                  code == TRIVET_STATUS_INCOMPATIBLE || code == TRIVET_STATUS_UNIMPLEMENTED)
          << at << ": " << trivet_status_message(status);
      if (status != nullptr) messages.insert(trivet_status_message(status));
      accepted += status == nullptr;
      ++tried;
      trivet_status_free(status);
    }
  }
  printf("%zu of %zu changes are refused, with %zu different messages\n", tried - accepted, tried,
         messages.size());
  EXPECT_GT(messages.size(), 300u);
}

TEST_F(PlanDamage, RepairedNumbersAreRefusedOrHarmless) {
  AlignedBytes bytes(written_);
  size_t end = SectionOffset(TVI_PLAN_SECTION_WEIGHTS);
  for (size_t at = 0; at + 4 <= end; at += 4) {
    for (uint32_t value : {2u, 13u, 0x10000u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu}) {
      memcpy(bytes.data(), written_.data(), written_.size());
      tvi_store_u32(bytes.data() + at, value);
      trivet_test::RehashPlan(bytes.data(), bytes.size());
      trivet_status_code_t code = ReadCode(bytes.data(), bytes.size());
      ASSERT_TRUE(code == TRIVET_STATUS_OK || code == TRIVET_STATUS_DATA_LOSS ||
                  code == TRIVET_STATUS_INCOMPATIBLE || code == TRIVET_STATUS_UNIMPLEMENTED)
          << at;
    }
  }
}

TEST_F(PlanDamage, ManyRepairedChangesAtOnce) {
  std::mt19937 random(11);
  AlignedBytes bytes(written_);
  size_t end = SectionOffset(TVI_PLAN_SECTION_WEIGHTS);
  for (int run = 0; run < 10000; ++run) {
    memcpy(bytes.data(), written_.data(), written_.size());
    for (unsigned change = 0, changes = 1 + random() % 6; change < changes; ++change) {
      size_t at = TVI_PLAN_HEADER_SIZE + random() % (end - TVI_PLAN_HEADER_SIZE);
      uint8_t other = written_[TVI_PLAN_HEADER_SIZE + random() % (end - TVI_PLAN_HEADER_SIZE)];
      bytes.data()[at] = random() % 2 == 0 ? other : static_cast<uint8_t>(random());
    }
    trivet_test::RehashPlan(bytes.data(), bytes.size());
    trivet_status_code_t code = ReadCode(bytes.data(), bytes.size());
    ASSERT_TRUE(code == TRIVET_STATUS_OK || code == TRIVET_STATUS_DATA_LOSS ||
                code == TRIVET_STATUS_INCOMPATIBLE || code == TRIVET_STATUS_UNIMPLEMENTED);
  }
}

TEST_F(PlanDamage, MemoryIsBoundedByTheFile) {
  AlignedBytes bytes(written_);
  size_t end = SectionOffset(TVI_PLAN_SECTION_WEIGHTS), most = 0;
  for (size_t at = 0; at + 4 <= end; at += 4) {
    for (uint32_t value : {200u, 1000u, 0x7fffffffu, 0xffffffffu}) {
      memcpy(bytes.data(), written_.data(), written_.size());
      tvi_store_u32(bytes.data() + at, value);
      trivet_test::RehashPlan(bytes.data(), bytes.size());
      FailingAllocator allocator;
      tvi_plan_t* plan = nullptr;
      trivet_status_free(tvi_plan_read(bytes.data(), bytes.size(), 0, allocator.get(), &plan));
      tvi_plan_destroy(plan);
      ASSERT_EQ(allocator.live_blocks(), 0u);
      most = std::max(most, allocator.peak_bytes());
    }
  }
  EXPECT_LT(most, 8 * written_.size() + 32768);
}

TEST_F(PlanDamage, OtherBytesAreNamed) {
  EXPECT_EQ(ReadError({}), "plan: does not begin as a plan does");
  EXPECT_EQ(ReadError({'P', 'K', 3, 4}), "plan: does not begin as a plan does");
  std::vector<uint8_t> text = written_;
  text.erase(text.begin() + 6);  // "\r\n" became "\n"
  EXPECT_EQ(ReadError(text), "plan: damaged by a transfer in text mode");
  std::vector<uint8_t> next = written_;
  next[TVI_PLAN_OFFSET_MAJOR] = 2;
  EXPECT_EQ(ReadError(next), "plan: format version 2.0, this library reads 1.x");
  AlignedBytes bytes(written_);
  EXPECT_EQ(ReadCode(bytes.data() + 8, bytes.size() - 8), TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(ReadCode(bytes.data(), bytes.size(), 2), TRIVET_STATUS_INVALID_ARGUMENT);
}

// A plan with one more section, as a later minor version may write it.
std::vector<uint8_t> WithSection(const std::vector<uint8_t>& written, uint32_t flags,
                                 const std::string& content) {
  // The entry has room in the padding behind the table, so nothing moves.
  uint32_t count = tvi_load_u32(written.data() + TVI_PLAN_OFFSET_SECTION_COUNT);
  size_t head = TVI_PLAN_HEADER_SIZE + count * TVI_PLAN_ENTRY_SIZE;
  size_t hash_table = static_cast<size_t>(tvi_load_u64(&written[TVI_PLAN_OFFSET_HASH_TABLE]));
  uint64_t hash_count = tvi_load_u64(&written[TVI_PLAN_OFFSET_HASH_COUNT]);
  std::vector<uint8_t> bytes(written.begin(), written.begin() + static_cast<ptrdiff_t>(head));
  size_t section = hash_table;
  size_t new_table = (section + content.size() + 63) / 64 * 64;
  bytes.resize(head + TVI_PLAN_ENTRY_SIZE);
  uint8_t* entry = &bytes[head];
  tvi_store_u32(entry, 77);
  tvi_store_u32(entry + 4, flags);
  tvi_store_u64(entry + 8, section);
  tvi_store_u64(entry + 16, content.size());
  tvi_store_u64(entry + 24, hash_count);
  size_t first = static_cast<size_t>(tvi_load_u64(&bytes[TVI_PLAN_HEADER_SIZE + 8]));
  EXPECT_LE(bytes.size(), first);
  bytes.resize(first);
  bytes.insert(bytes.end(), written.begin() + static_cast<ptrdiff_t>(first),
               written.begin() + static_cast<ptrdiff_t>(hash_table));
  bytes.insert(bytes.end(), content.begin(), content.end());
  bytes.resize(new_table + (hash_count + 2) * TVI_PLAN_HASH_SIZE);
  tvi_store_u32(&bytes[TVI_PLAN_OFFSET_MINOR], 9);
  tvi_store_u64(&bytes[TVI_PLAN_OFFSET_TOTAL_SIZE], bytes.size());
  tvi_store_u32(&bytes[TVI_PLAN_OFFSET_SECTION_COUNT], count + 1);
  tvi_store_u64(&bytes[TVI_PLAN_OFFSET_HASH_TABLE], new_table);
  tvi_store_u64(&bytes[TVI_PLAN_OFFSET_HASH_COUNT], hash_count + 1);
  trivet_test::RehashPlan(bytes.data(), bytes.size());
  return bytes;
}

TEST_F(PlanDamage, SectionsOfLaterMinorVersions) {
  EXPECT_EQ(ReadError(WithSection(written_, 0, "something new")), "no error");
  EXPECT_EQ(ReadError(WithSection(written_, 0, std::string())), "plan: 12 hashes for 11 chunks");
  EXPECT_EQ(ReadError(WithSection(written_, TVI_PLAN_SECTION_MUST_UNDERSTAND, "something new")),
            "plan: section type 77 must be understood, and this library does not");
  EXPECT_EQ(ReadError(WithSection(written_, 2, "something new")),
            "plan: section table, entry 11 (unknown): flags 0x2");
  std::vector<uint8_t> damaged = WithSection(written_, 0, "something new");
  size_t at = static_cast<size_t>(
      tvi_load_u64(&damaged[TVI_PLAN_HEADER_SIZE + 11 * TVI_PLAN_ENTRY_SIZE + 8]));
  damaged[at] = 'S';
  EXPECT_EQ(ReadError(damaged).substr(0, 34), "plan: section unknown is damaged w");
}

TEST_F(PlanDamage, FramesAreChecked) {
  struct Case {
    std::function<void(std::vector<uint8_t>*)> change;
    const char* message;
  };
  size_t weights = SectionOffset(TVI_PLAN_SECTION_WEIGHTS);
  const Case cases[] = {
      {[](std::vector<uint8_t>* b) { (*b)[TVI_PLAN_OFFSET_RESERVED] = 1; },
       "plan: padding at offset 48 is not zero"},
      {[](std::vector<uint8_t>* b) { tvi_store_u32(&(*b)[Entry(2)], 1); },
       "plan: two sections strings"},
      {[](std::vector<uint8_t>* b) {
         tvi_store_u32(&(*b)[Entry(7)], 99);
         tvi_store_u32(&(*b)[Entry(7) + 4], 0);
       },
       "plan: no section profiles"},
      {[&](std::vector<uint8_t>* b) { (*b)[weights - 1] = 1; }, "is not zero"},
      {[&](std::vector<uint8_t>* b) { (*b)[weights + 64 + 11] = 1; }, "is not zero"},
      {[](std::vector<uint8_t>* b) { tvi_store_u64(&(*b)[Entry(3) + 8], 64); },
       "plan: section table, entry 2 (symbols): offset 64, size 68"},
      {[](std::vector<uint8_t>* b) { tvi_store_u64(&(*b)[Entry(3) + 16], UINT64_MAX); },
       "plan: section table, entry 2 (symbols): offset"},
      {[](std::vector<uint8_t>* b) { tvi_store_u64(&(*b)[Entry(1) + 24], 1); },
       "plan: section table, entry 0 (strings): first hash 1"},
      {[](std::vector<uint8_t>* b) { tvi_store_u32(&(*b)[TVI_PLAN_OFFSET_CHUNK_SIZE], 4096); },
       "plan: header: chunk size 4096, not 1048576"},
      {[](std::vector<uint8_t>* b) { tvi_store_u32(&(*b)[TVI_PLAN_OFFSET_SECTION_COUNT], 9999); },
       "plan: header: 9999 sections do not fit"},
      {[](std::vector<uint8_t>* b) { tvi_store_u64(&(*b)[TVI_PLAN_OFFSET_HASH_COUNT], 99); },
       "plan: header: hash table at"},
  };
  for (const Case& c : cases) {
    std::vector<uint8_t> changed = written_;
    c.change(&changed);
    trivet_test::RehashPlan(changed.data(), changed.size());
    EXPECT_NE(ReadError(changed).find(c.message), std::string::npos)
        << ReadError(changed) << "\nwanted: " << c.message;
  }
}

TEST_F(PlanDamage, RecordsAreChecked) {
  struct Case {
    uint32_t section;
    size_t offset;
    uint32_t value;
    const char* message;
  };
  const Case cases[] = {
      {TVI_PLAN_SECTION_STRINGS, 0, 0xffffffff, "plan section strings: "},
      {TVI_PLAN_SECTION_STRINGS, 4, 0, "plan section strings: string 0 ends at 0, begins at 0"},
      {TVI_PLAN_SECTION_STRINGS, 8, 3, "plan section strings: string 1 ends at 3, begins at 7"},
      {TVI_PLAN_SECTION_STRINGS, 4, 8, "plan section strings: string 0 does not end with a zero"},
      {TVI_PLAN_SECTION_INFO, 0, 1000, "plan section info: string 1000 of 28 at offset 0"},
      {TVI_PLAN_SECTION_SYMBOLS, 0, 1, "plan section symbols: "},
      {TVI_PLAN_SECTION_EXPRESSIONS, 4, 1000000, "plan section expressions: "},
      {TVI_PLAN_SECTION_CONSTANTS, 44, 13, "plan section constants: rank 13 at offset 44"},
      {TVI_PLAN_SECTION_PROGRAMS, 0, 100000, "plan section programs: "},
      {TVI_PLAN_SECTION_BLOBS, 4, 0xffff, "blob 0: plan section blobs: "},
  };
  for (const Case& c : cases) {
    std::vector<uint8_t> changed = written_;
    tvi_store_u32(&changed[SectionOffset(c.section) + c.offset], c.value);
    trivet_test::RehashPlan(changed.data(), changed.size());
    EXPECT_EQ(ReadError(changed).substr(0, strlen(c.message)), c.message);
  }
}

}  // namespace
