// SPDX-License-Identifier: Apache-2.0
//
// The loops of tile instructions: elementary functions against double precision on every
// instruction set of this machine, vector loops against the plain ones on all shapes.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

extern "C" {
#include "core/base/scalar_math.h"
#include "runtime/device/cpu/tile_kernels.h"
#include "runtime/device/cpu/tile_program.h"
#include "trivet/common.h"
}

namespace {

// Distance in units in the last place of f32 around the exact value.
double ulp_error(float got, double exact) {
  if (std::isnan(exact)) return std::isnan(got) ? 0 : INFINITY;
  const float rounded = (float)exact;
  if (std::isinf(rounded)) {
    // Just below the overflow the neighbour counts as one unit.
    return got == rounded ? 0
                          : (got == std::copysign(3.4028234663852886e38f, rounded) ? 1 : INFINITY);
  }
  if (std::isnan(got) || std::isinf(got)) return INFINITY;
  const float magnitude = std::max(std::fabs(rounded), 1.17549435e-38f);
  const double unit = std::ldexp(1.0, std::ilogb(magnitude) - 23);
  return std::fabs((double)got - exact) / unit;
}

struct Function {
  uint32_t opcode;
  double (*exact)(double);
  double least, most;  // arguments that are sampled
};

double exact_recip(double x) { return 1.0 / x; }
double exact_silu(double x) { return x * tvi_math_sigmoid(x); }

const Function kFunctions[] = {
    {TVI_TILE_OP_EXP, tvi_math_exp, -INFINITY, INFINITY},
    {TVI_TILE_OP_EXP2, tvi_math_exp2, -INFINITY, INFINITY},
    {TVI_TILE_OP_EXPM1, tvi_math_expm1, -INFINITY, INFINITY},
    {TVI_TILE_OP_LOG, tvi_math_log, -1, INFINITY},
    {TVI_TILE_OP_LOG2, tvi_math_log2, -1, INFINITY},
    {TVI_TILE_OP_LOG10, tvi_math_log10, -1, INFINITY},
    {TVI_TILE_OP_LOG1P, tvi_math_log1p, -2, INFINITY},
    {TVI_TILE_OP_SIN, tvi_math_sin, -INFINITY, INFINITY},
    {TVI_TILE_OP_COS, tvi_math_cos, -INFINITY, INFINITY},
    {TVI_TILE_OP_TAN, tvi_math_tan, -INFINITY, INFINITY},
    {TVI_TILE_OP_ASIN, tvi_math_asin, -1.5, 1.5},
    {TVI_TILE_OP_ACOS, tvi_math_acos, -1.5, 1.5},
    {TVI_TILE_OP_ATAN, tvi_math_atan, -INFINITY, INFINITY},
    {TVI_TILE_OP_SINH, tvi_math_sinh, -INFINITY, INFINITY},
    {TVI_TILE_OP_COSH, tvi_math_cosh, -INFINITY, INFINITY},
    {TVI_TILE_OP_TANH, tvi_math_tanh, -INFINITY, INFINITY},
    {TVI_TILE_OP_ASINH, tvi_math_asinh, -INFINITY, INFINITY},
    {TVI_TILE_OP_ACOSH, tvi_math_acosh, 0, INFINITY},
    {TVI_TILE_OP_ATANH, tvi_math_atanh, -1.5, 1.5},
    {TVI_TILE_OP_SIGMOID, tvi_math_sigmoid, -INFINITY, INFINITY},
    {TVI_TILE_OP_ERF, tvi_math_erf, -INFINITY, INFINITY},
    {TVI_TILE_OP_SQRT, tvi_math_sqrt, -1, INFINITY},
    {TVI_TILE_OP_RSQRT, tvi_math_rsqrt, -1, INFINITY},
    {TVI_TILE_OP_RECIP, exact_recip, -INFINITY, INFINITY},
    // Below, the product passes through subnormal numbers.
    {TVI_TILE_OP_SILU, exact_silu, -80, INFINITY},
};

std::vector<float> samples(double least, double most) {
  std::vector<float> out;
  for (uint64_t bits = 0; bits <= 0xffffffffull; bits += 20011) {
    uint32_t b = (uint32_t)bits;
    float x;
    memcpy(&x, &b, 4);
    if (std::isnan(x) || (x >= least && x <= most)) out.push_back(x);
  }
  for (float x : {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -0.5f, 2.0f, 88.72284f, 88.72283f, -87.33655f,
                  -103.97208f, -104.0f, INFINITY, -INFINITY, NAN, 1e-45f, 1.17549435e-38f})
    if (std::isnan(x) || (x >= least && x <= most)) out.push_back(x);
  // Where most models live.
  std::mt19937 rng(7);
  std::uniform_real_distribution<float> near(-12, 12);
  for (int i = 0; i < 100000; ++i) {
    float x = near(rng);
    if (x >= least && x <= most) out.push_back(x);
  }
  return out;
}

tvi_tile_args_t arguments(void* d, const void* s, uint32_t cols) {
  tvi_tile_args_t args;
  memset(&args, 0, sizeof(args));
  args.d = static_cast<char*>(d);
  args.s[0] = static_cast<const char*>(s);
  args.rows = 1;
  args.cols = cols;
  return args;
}

TEST(TileKernels, FunctionsAreWithinFourUnits) {
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    for (const Function& f : kFunctions) {
      const std::vector<float> x = samples(f.least, f.most);
      std::vector<float> y(x.size());
      tvi_tile_run_t run = tvi_tile_kernel_find(isa, f.opcode, TVI_TILE_F32, TVI_TILE_F32);
      ASSERT_NE(run, nullptr);
      tvi_tile_args_t args = arguments(y.data(), x.data(), (uint32_t)x.size());
      run(&args);
      double worst = 0;
      float worst_at = 0, worst_got = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double error = ulp_error(y[i], f.exact((double)x[i]));
        if (error > worst) {
          worst = error;
          worst_at = x[i];
          worst_got = y[i];
        }
      }
      EXPECT_LE(worst, 4.0) << tvi_tile_opcode_name(f.opcode) << " isa " << isa << " at "
                            << worst_at << " gives " << worst_got;
      RecordProperty(std::string(tvi_tile_opcode_name(f.opcode)) + "_" + std::to_string(isa),
                     std::to_string(worst));
    }
  }
}

TEST(TileKernels, Atan2CoversAllQuadrants) {
  const float values[] = {0.0f,  -0.0f, 1.0f,    -1.0f,    0.3f,
                          -5.5f, 1e30f, -1e-30f, INFINITY, -INFINITY};
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    tvi_tile_run_t run = tvi_tile_kernel_find(isa, TVI_TILE_OP_ATAN2, TVI_TILE_F32, TVI_TILE_F32);
    for (float y : values)
      for (float x : values) {
        float out = 7;
        tvi_tile_args_t args = arguments(&out, &y, 1);
        args.s[1] = reinterpret_cast<const char*>(&x);
        run(&args);
        EXPECT_LE(ulp_error(out, tvi_math_atan2(y, x)), 4.0) << y << " " << x << " isa " << isa;
        EXPECT_EQ(std::signbit(out), std::signbit(tvi_math_atan2(y, x))) << y << " " << x;
      }
  }
}

// gelu loses digits by cancellation in its definition; what counts is the error beside the
// argument.
TEST(TileKernels, GeluIsAccurate) {
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    for (uint32_t opcode : {TVI_TILE_OP_GELU_ERF, TVI_TILE_OP_GELU_TANH}) {
      std::vector<float> x, y;
      for (float v = -30; v < 30; v += 0.00037f) x.push_back(v);
      for (float v : {0.0f, INFINITY, -1e38f, -INFINITY}) x.push_back(v);
      y.resize(x.size());
      tvi_tile_run_t run = tvi_tile_kernel_find(isa, opcode, TVI_TILE_F32, TVI_TILE_F32);
      tvi_tile_args_t args = arguments(y.data(), x.data(), (uint32_t)x.size());
      run(&args);
      for (size_t i = 0; i < x.size(); ++i) {
        const double a = x[i];
        double exact =
            opcode == TVI_TILE_OP_GELU_ERF
                ? 0.5 * a * (1 + tvi_math_erf(a * 0.70710678118654752440))
                : 0.5 * a *
                      (1 + tvi_math_tanh(0.79788456080286535588 * (a + 0.044715 * a * a * a)));
        if (std::isinf(a)) exact = a > 0 ? a : 0;
        if (isa == 0 && std::isinf(a)) continue;  // as written: -inf times 0
        if (std::isinf(exact)) {
          ASSERT_EQ(y[i], exact);
          continue;
        }
        ASSERT_NEAR(y[i], exact, 4e-7 * std::max(1.0, std::fabs(exact))) << a << " isa " << isa;
      }
    }
  }
}

// Every vector loop against the plain one: odd widths, several rows, spread sources.
TEST(TileKernels, VectorLoopsAgreeWithPlainOnes) {
  std::mt19937 rng(3);
  for (uint32_t isa = 1; isa <= tvi_tile_isa_detect(); ++isa) {
    for (uint32_t opcode = 0; opcode < TVI_TILE_OPCODE_LIMIT; ++opcode) {
      uint32_t signature;
      const uint32_t operands = tvi_tile_opcode_info(opcode, &signature);
      if (operands == TVI_TILE_NONE || operands == 0) continue;
      for (uint32_t type = 1; type < TVI_TILE_TYPE_COUNT; ++type) {
        for (uint32_t source = 1; source < TVI_TILE_TYPE_COUNT; ++source) {
          if (signature != TVI_TILE_SIG_CONVERT && source != type) continue;
          tvi_tile_run_t plain = tvi_tile_kernel_find(0, opcode, type, source);
          tvi_tile_run_t vector = tvi_tile_kernel_find(isa, opcode, type, source);
          if (!plain || plain == vector) continue;
          const bool is_float = source <= TVI_TILE_F64, is_wide = tvi_tile_type_bytes(source) == 8;
          uint32_t result = type;
          if (signature == TVI_TILE_SIG_COMPARE || signature == TVI_TILE_SIG_TEST)
            result = TVI_TILE_I32;
          const uint32_t rows = 3, stride = 40;
          for (uint32_t cols : {1u, 7u, 16u, 33u}) {
            for (uint32_t scalars = 0; scalars < (1u << operands); ++scalars) {
              std::vector<std::vector<uint64_t>> in(operands, std::vector<uint64_t>(rows * stride));
              for (uint32_t k = 0; k < operands; ++k)
                for (size_t i = 0; i < in[k].size(); ++i) {
                  char* p = reinterpret_cast<char*>(in[k].data());
                  const double number = (double)(int)(rng() % 2001 - 1000) / 250;
                  const bool is_mask = signature == TVI_TILE_SIG_SELECT && k == 0;
                  if (is_mask) {
                    reinterpret_cast<int32_t*>(p)[i] = (int32_t)(rng() & 1);
                  } else if (is_float && is_wide) {
                    reinterpret_cast<double*>(p)[i] = number;
                  } else if (is_float) {
                    reinterpret_cast<float*>(p)[i] = (float)number;
                  } else if (is_wide) {
                    reinterpret_cast<int64_t*>(p)[i] = (int64_t)(rng() % 7) - 3;
                  } else {
                    reinterpret_cast<int32_t*>(p)[i] = (int32_t)rng() >> (rng() % 31);
                  }
                }
              std::vector<uint64_t> a(rows * stride, 0x55), b(rows * stride, 0x55);
              tvi_tile_args_t args;
              memset(&args, 0, sizeof(args));
              args.rows = rows;
              args.cols = cols;
              args.scalars = scalars;
              args.aux = TRIVET_DTYPE_U8;
              args.ds = stride * tvi_tile_type_bytes(result);
              for (uint32_t k = 0; k < operands; ++k) {
                args.s[k] = reinterpret_cast<const char*>(in[k].data());
                const uint32_t bytes =
                    signature == TVI_TILE_SIG_SELECT && k == 0 ? 4 : tvi_tile_type_bytes(source);
                args.ss[k] = (scalars >> k & 1 ? 1 : stride) * bytes;
              }
              args.d = reinterpret_cast<char*>(a.data());
              plain(&args);
              args.d = reinterpret_cast<char*>(b.data());
              vector(&args);
              for (size_t i = 0; i < rows * stride; ++i) {
                if (result == TVI_TILE_F32) {
                  const float x = reinterpret_cast<float*>(a.data())[i];
                  const float y = reinterpret_cast<float*>(b.data())[i];
                  if (std::isnan(x) && std::isnan(y)) continue;
                  ASSERT_TRUE(x == y || std::fabs(x - y) <= 1e-5f * std::max(1.0f, std::fabs(x)))
                      << tvi_tile_opcode_name(opcode) << " type " << type << " isa " << isa
                      << " cols " << cols << " scalars " << scalars << " at " << i << ": " << x
                      << " " << y;
                } else {
                  ASSERT_EQ(a[i / (tvi_tile_type_bytes(result) == 8 ? 1 : 2)],
                            b[i / (tvi_tile_type_bytes(result) == 8 ? 1 : 2)])
                      << tvi_tile_opcode_name(opcode) << " type " << type << " isa " << isa
                      << " cols " << cols << " scalars " << scalars << " at " << i;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(TileKernels, MemoryElementsAgree) {
  std::mt19937 rng(5);
  for (uint32_t isa = 1; isa <= tvi_tile_isa_detect(); ++isa) {
    const tvi_tile_kernel_table_t* table = tvi_tile_kernel_table(isa);
    for (uint32_t dtype = 1; dtype < 27; ++dtype) {
      for (size_t count : {1u, 8u, 15u, 16u, 50u}) {
        std::vector<uint32_t> in(64), a(64, 1), b(64, 1);
        for (auto& x : in) x = (uint32_t)rng();
        if (table->widen[dtype]) {
          tvi_tile_kernels_plain.widen[dtype](a.data(), in.data(), count);
          table->widen[dtype](b.data(), in.data(), count);
          for (size_t i = 0; i < 64; ++i) {
            float x, y;
            memcpy(&x, &a[i], 4);
            memcpy(&y, &b[i], 4);
            if (std::isnan(x) && std::isnan(y)) continue;
            ASSERT_EQ(a[i], b[i]) << "widen " << dtype << " at " << i;
          }
        }
        if (!table->narrow[dtype]) continue;
        const bool is_float = dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16;
        for (auto& x : in) {
          const float f = (float)(int)(rng() % 100000) * 1.7f - 50000.0f;
          if (is_float) memcpy(&x, &f, 4);
        }
        if (is_float) in[3] = 0x7fc00000u;
        a.assign(64, 1);
        b.assign(64, 1);
        tvi_tile_kernels_plain.narrow[dtype](a.data(), in.data(), count);
        table->narrow[dtype](b.data(), in.data(), count);
        ASSERT_EQ(a, b) << "narrow " << dtype << " count " << count << " isa " << isa;
      }
    }
  }
}

TEST(TileKernels, RowReductionsAndTransposes) {
  std::mt19937 rng(9);
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    for (uint32_t cols : {1u, 5u, 16u, 100u, 257u}) {
      std::vector<float> x(2 * cols);
      for (auto& v : x) v = (float)(rng() % 1000) / 10 - 40;
      for (uint32_t join : {TVI_TILE_JOIN_SUM, TVI_TILE_JOIN_MIN, TVI_TILE_JOIN_MAX}) {
        float out[2] = {1, 1};
        tvi_tile_args_t args = arguments(out, x.data(), cols);
        args.rows = 2;
        args.ss[0] = cols * 4;
        args.ds = 4;
        tvi_tile_row_reduce_find(isa, join)(&args);
        for (int row = 0; row < 2; ++row) {
          double e = 1;
          for (uint32_t c = 0; c < cols; ++c) {
            const double v = x[row * cols + c];
            e = join == TVI_TILE_JOIN_SUM   ? e + v
                : join == TVI_TILE_JOIN_MIN ? std::min(e, v)
                                            : std::max(e, v);
          }
          EXPECT_NEAR(out[row], e, 1e-2);
        }
      }
      for (uint32_t rows : {1u, 16u, 19u, 40u}) {
        std::vector<float> s(rows * cols), d(rows * cols);
        for (size_t i = 0; i < s.size(); ++i) s[i] = (float)i;
        const tvi_tile_kernel_table_t* table = tvi_tile_kernel_table(isa);
        table->transpose4(reinterpret_cast<char*>(d.data()), cols * 4,
                          reinterpret_cast<const char*>(s.data()), rows * 4, rows, cols);
        for (uint32_t r = 0; r < rows; ++r)
          for (uint32_t c = 0; c < cols; ++c) ASSERT_EQ(d[r * cols + c], s[c * rows + r]);
      }
    }
  }
}

}  // namespace
