// SPDX-License-Identifier: Apache-2.0
//
// Dimension codes: the same value as the expression, exact bytes of one example (a file format),
// and every damaged code refused or harmless.
#include "core/dimension/dim_code.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/base/string_view.h"

namespace {

class DimCodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(tvi_dim_context_create(trivet_allocator_system(), &c_), nullptr);
  }
  void TearDown() override { tvi_dim_context_destroy(c_); }
  trivet_dim_t Parse(const char* text) {
    trivet_dim_t dim = nullptr;
    EXPECT_EQ(tvi_dim_parse(c_, tvi_sv(text), &dim), nullptr);
    return dim;
  }
  std::vector<uint8_t> Encode(trivet_dim_t dim, const uint32_t* map = nullptr, uint32_t count = 0) {
    tvi_byte_writer_t writer;
    tvi_byte_writer_init(&writer, trivet_allocator_system());
    trivet_status_t status = tvi_dim_code_encode(dim, map, count, &writer);
    std::vector<uint8_t> bytes;
    if (status == nullptr) {
      bytes.assign(tvi_byte_writer_data(&writer),
                   tvi_byte_writer_data(&writer) + tvi_byte_writer_size(&writer));
    } else {
      message_ = trivet_status_message(status);
      trivet_status_free(status);
    }
    tvi_byte_writer_deinit(&writer);
    return bytes;
  }
  tvi_dim_context_t* c_ = nullptr;
  std::string message_;
};

TEST_F(DimCodeTest, BytesAreAFormat) {
  trivet_dim_t dim = Parse("floordiv(2*n - 3, k)");
  std::vector<uint8_t> expected = {2, 0, 1, 4, 4, 1, 5, 3, 2, 1, 5};
  EXPECT_EQ(Encode(dim), expected);
  uint32_t map[2] = {300, 7};
  std::vector<uint8_t> mapped = {2, 0xac, 0x02, 1, 4, 4, 1, 5, 3, 2, 7, 5};
  EXPECT_EQ(Encode(dim, map, 2), mapped);
  uint32_t partial[2] = {0, TVI_DIM_CODE_NO_SYMBOL};
  EXPECT_TRUE(Encode(dim, partial, 2).empty());
  EXPECT_EQ(message_, "dimension 'k' is not in the plan");
}

TEST_F(DimCodeTest, ValueIsThatOfTheExpression) {
  const char* texts[] = {"7",
                         "n",
                         "n*k*k - 4*n + 11",
                         "ceildiv(n, k) + floordiv(n + 5, 4)",
                         "mod(3*n - 100, k + 2)",
                         "min(n, k, 5) - max(n, 3*k)",
                         "-9000000000*n"};
  for (const char* text : texts) {
    trivet_dim_t dim = Parse(text);
    std::vector<uint8_t> code = Encode(dim);
    ASSERT_FALSE(code.empty());
    ASSERT_EQ(tvi_dim_code_verify(code.data(), code.size(), tvi_dim_symbol_count(c_)), nullptr)
        << text;
    for (int64_t n = 1; n < 6; ++n) {
      for (int64_t k = 1; k < 6; ++k) {
        int64_t values[2] = {n, k}, a = -1, b = -2;
        ASSERT_EQ(tvi_dim_evaluate(dim, values, 2, &a), nullptr);
        ASSERT_EQ(tvi_dim_code_evaluate(code.data(), code.size(), values, 2, &b), nullptr);
        ASSERT_EQ(a, b) << text;
      }
    }
    std::vector<trivet_dim_t> symbols;
    for (uint32_t i = 0; i < tvi_dim_symbol_count(c_); ++i)
      symbols.push_back(tvi_dim_symbol_at(c_, i));
    trivet_dim_t back = nullptr;
    ASSERT_EQ(tvi_dim_code_decode(c_, code.data(), code.size(), symbols.data(),
                                  static_cast<uint32_t>(symbols.size()), &back),
              nullptr);
    EXPECT_EQ(back, dim) << text;
    int64_t value;
    EXPECT_EQ(tvi_dim_code_is_constant(code.data(), code.size(), &value), std::string(text) == "7");
  }
}

TEST_F(DimCodeTest, DamageNeverCrashes) {
  std::vector<uint8_t> code = Encode(Parse("mod(3*n - 100, k + 2)*min(n, 70000) + floordiv(n, k)"));
  int64_t values[2] = {4, 5}, value;
  for (size_t cut = 0; cut < code.size(); ++cut) {
    // Some beginnings are codes themselves (a plan stores lengths): both must then agree.
    trivet_status_code_t verified = trivet_status_consume(tvi_dim_code_verify(code.data(), cut, 2));
    trivet_status_code_t evaluated =
        trivet_status_consume(tvi_dim_code_evaluate(code.data(), cut, values, 2, &value));
    EXPECT_EQ(verified == TRIVET_STATUS_OK, evaluated == TRIVET_STATUS_OK) << cut;
  }
  std::mt19937 rng(7);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> damaged = code;
    for (unsigned i = 0; i <= rng() % 4; ++i)
      damaged[rng() % damaged.size()] = static_cast<uint8_t>(rng());
    trivet_status_t verified = tvi_dim_code_verify(damaged.data(), damaged.size(), 2);
    trivet_status_t evaluated =
        tvi_dim_code_evaluate(damaged.data(), damaged.size(), values, 2, &value);
    // What the verifier accepts fails only for numbers, never for its form.
    if (verified == nullptr && evaluated != nullptr) {
      EXPECT_EQ(trivet_status_code(evaluated), TRIVET_STATUS_OUT_OF_RANGE);
    }
    refused += verified != nullptr;
    trivet_status_free(verified);
    trivet_status_free(evaluated);
  }
  EXPECT_GT(refused, 1000);
  std::vector<uint8_t> deep;
  for (int i = 0; i < 65; ++i) deep.insert(deep.end(), {1, 2});
  deep.insert(deep.end(), 64, 3);
  EXPECT_EQ(trivet_status_consume(tvi_dim_code_verify(deep.data(), deep.size(), 0)),
            TRIVET_STATUS_DATA_LOSS);
  std::vector<uint8_t> division = {1, 2, 1, 0, 5};
  EXPECT_EQ(trivet_status_consume(
                tvi_dim_code_evaluate(division.data(), division.size(), nullptr, 0, &value)),
            TRIVET_STATUS_OUT_OF_RANGE);
  std::vector<uint8_t> overflow = {1,    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0x01, 1,    4,    4};
  EXPECT_EQ(trivet_status_consume(
                tvi_dim_code_evaluate(overflow.data(), overflow.size(), nullptr, 0, &value)),
            TRIVET_STATUS_OUT_OF_RANGE);
}

}  // namespace
