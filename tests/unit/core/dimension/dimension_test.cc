// SPDX-License-Identifier: Apache-2.0
//
// Dimensions: normal form (equality is identity), ranges, evaluation against a plain evaluator of
// the same random expressions, text round trips, hostile text, and memory that runs out.
#include "core/dimension/dimension.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "core/base/status.h"
#include "core/base/string_view.h"

namespace {

class DimensionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(tvi_dim_context_create(trivet_allocator_system(), &c_), nullptr);
    n_ = Symbol("n");
    k_ = Symbol("k");
    b_ = Symbol("b");
  }
  void TearDown() override { tvi_dim_context_destroy(c_); }
  trivet_dim_t Symbol(const char* name) { return tvi_dim_symbol(c_, tvi_sv(name)); }
  trivet_dim_t C(int64_t v) { return tvi_dim_constant(c_, v); }
  trivet_dim_t Op(uint32_t op, trivet_dim_t a, trivet_dim_t b) {
    return tvi_dim_binary(c_, op, a, b);
  }
  trivet_dim_t Parse(const std::string& text) {
    trivet_dim_t dim = nullptr;
    trivet_status_t status = tvi_dim_parse(c_, tvi_sv_make(text.data(), text.size()), &dim);
    if (status != nullptr) {
      error_ = trivet_status_message(status);
      trivet_status_free(status);
    }
    return dim;
  }
  std::string Print(trivet_dim_t dim) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(tvi_dim_print(dim, &builder), nullptr);
    trivet_string_view_t view = tvi_string_builder_view(&builder);
    std::string text(view.data == nullptr ? "" : view.data, view.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }
  std::string Normal(const std::string& text) { return Print(Parse(text)); }

  tvi_dim_context_t* c_ = nullptr;
  trivet_dim_t n_, k_, b_;
  std::string error_;
};

TEST_F(DimensionTest, EqualExpressionsAreOnePointer) {
  EXPECT_EQ(Parse("(n + k)*2"), Parse("2*k + 2*n"));
  EXPECT_EQ(Parse("n*k - k*n"), C(0));
  EXPECT_EQ(Parse("(n + 1)*(n - 1)"), Parse("n*n - 1"));
  EXPECT_EQ(Parse("min(n, k)"), Parse("min(k, n)"));
  EXPECT_EQ(Parse("max(n, max(k, 3))"), Parse("max(3, k, n)"));
  EXPECT_NE(Parse("n"), Parse("k"));
  EXPECT_EQ(Parse("-n + n + 0"), C(0));
  EXPECT_EQ(Normal("2*b + 1"), "2*b + 1");
  EXPECT_EQ(Normal("1 - b"), "-b + 1");
}

TEST_F(DimensionTest, DivisionNormalises) {
  EXPECT_EQ(Normal("floordiv(4*n + 2*k + 6, 4)"), "n + floordiv(k + 1, 2) + 1");
  EXPECT_EQ(Normal("floordiv(b*n*768, b*12*64)"), "n");
  EXPECT_EQ(Normal("floordiv(b*(n + k)*64, n + k)"), "64*b");
  EXPECT_EQ(Normal("floordiv(b*n + b*k, n + k)"), "b");
  EXPECT_EQ(Parse("floordiv(floordiv(n, 2), 2)"), Parse("floordiv(n, 4)"));
  EXPECT_EQ(Parse("floordiv(floordiv(n, 2) + 1, 2)"), Parse("floordiv(n + 2, 4)"));
  EXPECT_EQ(Parse("ceildiv(n, 2)"), Parse("floordiv(n - 1, 2) + 1"));
  EXPECT_EQ(Parse("ceildiv(b*k, k)"), b_);
  EXPECT_EQ(Normal("mod(5*n + 7, 4)"), "mod(n + 3, 4)");
  EXPECT_EQ(Normal("mod(6*n + 4, 8)"), "2*mod(3*n + 2, 4)");
  EXPECT_EQ(Parse("mod(b*k + 0, k)"), C(0));
  EXPECT_EQ(Parse("floordiv(-7, 2)"), C(-4));
  EXPECT_EQ(Parse("mod(-7, 2)"), C(1));
  EXPECT_EQ(Parse("ceildiv(-7, 2)"), C(-3));
  EXPECT_EQ(Parse("mod(n, 1)"), C(0));
  EXPECT_EQ(Op(TRIVET_DIM_FLOORDIV, n_, C(0)), nullptr);
  EXPECT_EQ(Op(TRIVET_DIM_MOD, n_, C(0)), nullptr);
}

TEST_F(DimensionTest, RangesDecide) {
  ASSERT_EQ(tvi_dim_symbol_restrict(c_, n_, 1, 7, 1), nullptr);
  EXPECT_EQ(Parse("floordiv(n, 8)"), C(0));
  EXPECT_EQ(Parse("mod(n, 8)"), n_);
  EXPECT_EQ(Parse("min(n, 9)"), n_);
  EXPECT_EQ(Parse("max(n + 3, n)"), Parse("n + 3"));
  int64_t low, high;
  tvi_dim_range(c_, Parse("3*n - 2"), &low, &high);
  EXPECT_EQ(low, 1);
  EXPECT_EQ(high, 19);
  tvi_dim_range(c_, Parse("mod(k, 5) - 2*n"), &low, &high);
  EXPECT_EQ(low, -14);
  EXPECT_EQ(high, 2);
  ASSERT_EQ(tvi_dim_symbol_restrict(c_, k_, 0, 1000, 4), nullptr);
  ASSERT_EQ(tvi_dim_symbol_restrict(c_, k_, 0, 1000, 6), nullptr);
  EXPECT_EQ(tvi_dim_divisor(c_, Parse("5*k")), 60);
  EXPECT_EQ(Parse("mod(k + 1, 12)"), C(1));
  trivet_status_t status = tvi_dim_symbol_restrict(c_, n_, 9, 10, 1);
  EXPECT_STREQ(trivet_status_message(status),
               "dimension 'n': range 9 .. 10 has nothing in common with 1 .. 7");
  trivet_status_free(status);
}

TEST_F(DimensionTest, SignIsProven) {
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("n - 3*floordiv(n, 3)")));
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("3*floordiv(n, 3) - n + 2")));
  EXPECT_FALSE(tvi_dim_is_nonnegative(c_, Parse("3*floordiv(n, 3) - n + 1")));
  EXPECT_TRUE(tvi_dim_is_positive(c_, Parse("n - 3*floordiv(n, 3) + 1")));
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("n - min(n, k)")));
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("max(n, k) - k")));
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("k - 1 - mod(n, k)")));
  EXPECT_FALSE(tvi_dim_is_nonnegative(c_, Parse("n - k")));
  ASSERT_EQ(tvi_dim_symbol_restrict(c_, k_, 1, 100, 1), nullptr);
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("n*k - n")));
  // The windows of a convolution: the last one ends within the input.
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Parse("n - 1 - (2*floordiv(n - 3, 2) + 2)")));
  trivet_dim_t data = tvi_dim_fresh(c_, "rows", TVI_SYMBOL_DATA, n_);
  EXPECT_TRUE(tvi_dim_is_nonnegative(c_, Op(TRIVET_DIM_SUB, n_, data)));
  EXPECT_EQ(tvi_dim_symbol_origin(data), TVI_SYMBOL_DATA);
}

TEST_F(DimensionTest, OverflowIsNull) {
  EXPECT_EQ(Op(TRIVET_DIM_ADD, C(INT64_MAX), C(1)), nullptr);
  EXPECT_EQ(Op(TRIVET_DIM_MUL, Parse("4611686018427387904*n"), C(2)), nullptr);
  EXPECT_EQ(Op(TRIVET_DIM_ADD, nullptr, C(2)), nullptr);
  trivet_dim_t dim = n_;
  for (int i = 0; i < 10000 && dim != nullptr; ++i) {
    dim = Op(TRIVET_DIM_MOD, Op(TRIVET_DIM_ADD, Op(TRIVET_DIM_MUL, dim, C(3)), k_),
             Op(TRIVET_DIM_ADD, n_, C(i)));
  }
  EXPECT_EQ(dim, nullptr) << "depth must be limited";
  dim = Parse("n + k + b + 1");
  for (int i = 0; i < 10 && dim != nullptr; ++i) dim = Op(TRIVET_DIM_MUL, dim, dim);
  EXPECT_EQ(dim, nullptr) << "the number of terms must be limited";
}

// A second evaluator of the same expression text, over numbers.
struct Random {
  std::mt19937 rng{20240607};
  int64_t values[3];
  // Builds the dimension and its value side by side; false when the value is undefined.
  bool Build(tvi_dim_context_t* c, trivet_dim_t* symbols, int depth, trivet_dim_t* dim,
             int64_t* value) {
    if (depth == 0 || rng() % 4 == 0) {
      if (rng() % 2) {
        int i = rng() % 3;
        *dim = symbols[i];
        *value = values[i];
      } else {
        *value = static_cast<int64_t>(rng() % 12) - 3;
        *dim = tvi_dim_constant(c, *value);
      }
      return true;
    }
    trivet_dim_t a, b;
    int64_t x, y;
    if (!Build(c, symbols, depth - 1, &a, &x) || !Build(c, symbols, depth - 1, &b, &y))
      return false;
    uint32_t op = 1 + rng() % 8;
    auto floordiv = [](int64_t p, int64_t q) {
      return p / q - ((p % q != 0 && (p < 0) != (q < 0)) ? 1 : 0);
    };
    switch (op) {
      case TRIVET_DIM_ADD:
        *value = x + y;
        break;
      case TRIVET_DIM_SUB:
        *value = x - y;
        break;
      case TRIVET_DIM_MUL:
        *value = x * y;
        break;
      case TRIVET_DIM_MIN:
        *value = std::min(x, y);
        break;
      case TRIVET_DIM_MAX:
        *value = std::max(x, y);
        break;
      default:
        // Divisors are positive in shape arithmetic.
        if (y <= 0) return false;
        *value = op == TRIVET_DIM_FLOORDIV  ? floordiv(x, y)
                 : op == TRIVET_DIM_CEILDIV ? -floordiv(-x, y)
                                            : x - y * floordiv(x, y);
    }
    *dim = tvi_dim_binary(c, op, a, b);
    return *dim != nullptr;
  }
};

TEST_F(DimensionTest, RandomExpressionsKeepTheirValue) {
  trivet_dim_t symbols[3] = {n_, k_, b_};
  Random random;
  int checked = 0;
  for (int round = 0; round < 20000; ++round) {
    for (int64_t& v : random.values) v = 1 + random.rng() % 9;
    trivet_dim_t dim;
    int64_t expected, actual;
    if (!random.Build(c_, symbols, 4, &dim, &expected)) continue;
    trivet_status_t status = tvi_dim_evaluate(dim, random.values, 3, &actual);
    if (status != nullptr) {
      // A divisor inside may be zero for these values although the whole was simplified; then the
      // builder would have refused as well.
      ADD_FAILURE() << Print(dim) << ": " << trivet_status_message(status);
      trivet_status_free(status);
      break;
    }
    ASSERT_EQ(actual, expected) << Print(dim) << " n=" << random.values[0]
                                << " k=" << random.values[1] << " b=" << random.values[2];
    int64_t low, high;
    tvi_dim_range(c_, dim, &low, &high);
    ASSERT_LE(low, actual) << Print(dim);
    ASSERT_GE(high, actual) << Print(dim);
    int64_t divisor = tvi_dim_divisor(c_, dim);
    ASSERT_TRUE(divisor == 0 ? actual == 0 : actual % divisor == 0) << Print(dim) << " " << divisor;
    if (actual < 0) {
      ASSERT_FALSE(tvi_dim_is_nonnegative(c_, dim)) << Print(dim);
    }
    // Text brings the same pointer back.
    ASSERT_EQ(Parse(Print(dim)), dim) << Print(dim) << " " << error_;
    ++checked;
  }
  EXPECT_GT(checked, 5000);
}

TEST_F(DimensionTest, ImportMatchesSymbolsByName) {
  tvi_dim_context_t* other;
  ASSERT_EQ(tvi_dim_context_create(trivet_allocator_system(), &other), nullptr);
  tvi_dim_symbol(other, tvi_sv("k"));
  trivet_dim_t dim = Parse("floordiv(n*k + 3, 2) + min(b, 7)");
  trivet_dim_t there = tvi_dim_import(other, dim, nullptr, 0);
  ASSERT_NE(there, nullptr);
  EXPECT_EQ(tvi_dim_import(c_, there, nullptr, 0), dim);
  trivet_dim_t replaced[3] = {tvi_dim_constant(other, 4), nullptr, tvi_dim_constant(other, 9)};
  EXPECT_EQ(tvi_dim_import(other, Parse("n*2 + b"), replaced, 3), tvi_dim_constant(other, 17));
  tvi_dim_context_destroy(other);
}

TEST_F(DimensionTest, NamesThatAreNoIdentifiersAreQuoted) {
  trivet_dim_t odd = Symbol("batch size's \\ 1");
  EXPECT_EQ(Print(Op(TRIVET_DIM_MUL, odd, C(2))), "2*'batch size\\'s \\\\ 1'");
  EXPECT_EQ(Parse("2*'batch size\\'s \\\\ 1'"), Op(TRIVET_DIM_MUL, odd, C(2)));
  EXPECT_EQ(Print(Symbol("min")), "'min'");
  EXPECT_EQ(Parse("'min'"), Symbol("min"));
}

TEST_F(DimensionTest, HostileTextIsRefused) {
  const char* texts[] = {"",
                         "+",
                         "n +",
                         "(n",
                         "n)",
                         "floordiv(n)",
                         "floordiv(n, 0)",
                         "min n",
                         "'open",
                         "99999999999999999999",
                         "n $ 2",
                         "floordiv(n, 2, 3)",
                         "9223372036854775807 + 1",
                         "'a\\"};
  for (const char* text : texts) {
    error_.clear();
    EXPECT_EQ(Parse(text), nullptr) << text;
    EXPECT_NE(error_, "") << text;
  }
  std::string deep(100000, '(');
  EXPECT_EQ(Parse(deep), nullptr);
  Parse("n +");
  EXPECT_EQ(error_, "dimension 'n +', column 4: an operand is missing");
}

struct Failing {
  int left;
  static void* Allocate(void* self, size_t size, size_t alignment) {
    if (static_cast<Failing*>(self)->left-- <= 0) return nullptr;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  static void Deallocate(void*, void* p, size_t, size_t) { free(p); }
};

TEST(DimensionMemoryTest, EveryFailedAllocationGivesNull) {
  int completed = 0;
  for (int limit = 0; limit < 40; ++limit) {
    Failing failing{limit};
    trivet_allocator_t allocator = {&failing, Failing::Allocate, nullptr, Failing::Deallocate};
    tvi_dim_context_t* context = nullptr;
    trivet_status_t status = tvi_dim_context_create(allocator, &context);
    if (status != nullptr) {
      EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
      continue;
    }
    trivet_dim_t dim = tvi_dim_constant(context, 1);
    for (int i = 0; i < 100; ++i) {
      std::string name = "s" + std::to_string(i);
      trivet_dim_t symbol = tvi_dim_symbol(context, tvi_sv_make(name.data(), name.size()));
      dim = tvi_dim_binary(context, TRIVET_DIM_MOD, tvi_dim_constant(context, 1000 + i), symbol);
      dim = tvi_dim_binary(context, TRIVET_DIM_MUL, dim, symbol);
    }
    if (dim != nullptr) ++completed;
    tvi_dim_context_destroy(context);
  }
  EXPECT_GT(completed, 0);
  EXPECT_LT(completed, 40);
}

}  // namespace
