// SPDX-License-Identifier: Apache-2.0
//
// Products of matrices in random orders of dimensions, computed on the host as cuBLASLt would from
// the geometry that it is given, beside the plain sum. Blobs with a changed byte are refused or
// mean something else, but never harm.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "plugins/cuda_blas/blas_problem.h"

namespace {

using Random = std::mt19937;

int Draw(Random& r, int from, int to) { return std::uniform_int_distribution<int>(from, to)(r); }

struct Matrix {
  trivet_operand_t operand = {};
  std::vector<double> data;
  std::vector<uint8_t> dims;  // of each index of the product

  // An operand that walks |indices|, in an order of dimensions of its own, with a gap at times.
  void Make(Random& r, const std::vector<int>& indices, const std::vector<int>& extents,
            bool permute) {
    dims.assign(BLAS_MAX_INDICES, BLAS_NONE);
    std::vector<int> order(indices.size());
    std::iota(order.begin(), order.end(), 0);
    if (permute) std::shuffle(order.begin(), order.end(), r);
    operand.rank = static_cast<uint32_t>(indices.size());
    for (size_t d = 0; d < indices.size(); ++d) {
      operand.dims[d] = extents[indices[d]];
      dims[indices[d]] = static_cast<uint8_t>(d);
    }
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 0;) {
      operand.strides[order[i]] = stride;
      stride *= operand.dims[order[i]] + (Draw(r, 0, 9) == 0 ? 3 : 0);
    }
    data.resize(static_cast<size_t>(stride));
    for (double& x : data) x = Draw(r, -4, 4);
    operand.dtype = TRIVET_DTYPE_F32;
  }
  // Packed as weights are: the last |sums| indices together in rows that lie |leading| apart.
  uint32_t Pack(Random& r, size_t sums) {
    size_t rank = operand.rank;
    int64_t stride = 1;
    uint32_t leading = 0;
    for (size_t d = rank; d-- > 0;) {
      if (d + sums + 1 == rank) stride += Draw(r, 0, 3);
      if (d + sums + 1 == rank) leading = static_cast<uint32_t>(stride);
      operand.strides[d] = stride;
      stride *= operand.dims[d];
    }
    if (!leading) leading = static_cast<uint32_t>(stride);
    data.resize(static_cast<size_t>(stride));
    for (double& x : data) x = Draw(r, -4, 4);
    return leading;
  }
  int64_t At(const std::vector<int>& position) const {
    int64_t at = 0;
    for (size_t i = 0; i < position.size(); ++i) {
      if (dims[i] != BLAS_NONE) at += position[i] * operand.strides[dims[i]];
    }
    return at;
  }
};

double Read(const std::vector<double>& data, int64_t at) {
  EXPECT_GE(at, 0);
  EXPECT_LT(at, static_cast<int64_t>(data.size()));
  return data.at(static_cast<size_t>(at));
}

double Element(const std::vector<double>& data, int64_t base, const blas_matrix_t& m, uint64_t row,
               uint64_t column) {
  if (m.transposed) std::swap(row, column);
  EXPECT_LT(row, m.rows);
  EXPECT_LT(column, m.columns);
  return Read(data, base + static_cast<int64_t>(row) + static_cast<int64_t>(column) * m.leading);
}

// What the library does with the geometry.
std::vector<double> Emulate(const blas_geometry_t& g, const Matrix& a, const Matrix& b,
                            const Matrix* residual, const Matrix& result) {
  std::vector<double> out(result.data.size(), 1e9);
  const Matrix &first = g.swapped ? a : b, &second = g.swapped ? b : a;
  for (uint64_t call = 0; call < g.calls; ++call) {
    uint64_t rest = call;
    int64_t oa = 0, ob = 0, oc = 0, od = 0;
    for (uint32_t l = 0; l < g.loop_count; ++l) {
      int64_t at = static_cast<int64_t>(rest % g.loop_extents[l]);
      rest /= g.loop_extents[l];
      oa += at * g.loop_a[l];
      ob += at * g.loop_b[l];
      oc += at * g.loop_c[l];
      od += at * g.loop_residual[l];
    }
    for (uint64_t i = 0; i < g.batch; ++i) {
      int64_t of = (g.swapped ? oa : ob) + static_cast<int64_t>(i) * g.first.batch_stride;
      int64_t os = (g.swapped ? ob : oa) + static_cast<int64_t>(i) * g.second.batch_stride;
      int64_t base = oc + static_cast<int64_t>(i) * g.result.batch_stride;
      for (uint64_t row = 0; row < g.result.rows; ++row) {
        for (uint64_t column = 0; column < g.result.columns; ++column) {
          double sum = 0;
          for (uint64_t k = 0; k < g.k; ++k) {
            sum += Element(first.data, of, g.first, row, k) *
                   Element(second.data, os, g.second, k, column);
          }
          if (residual) {
            sum += Element(residual->data, od + static_cast<int64_t>(i) * g.residual.batch_stride,
                           g.residual, row, column);
          }
          out[static_cast<size_t>(base + static_cast<int64_t>(row) +
                                  static_cast<int64_t>(column) * g.result.leading)] = sum;
        }
      }
    }
  }
  return out;
}

TEST(BlasGeometry, RandomOrdersOfDimensions) {
  Random r(7);
  int taken = 0, swapped = 0, looped = 0, packed = 0;
  for (int round = 0; round < 4000; ++round) {
    blas_problem_t p;
    memset(&p, 0, sizeof(p));
    p.dtype = p.result_dtype = TRIVET_DTYPE_F32;
    p.batch_count = static_cast<uint32_t>(Draw(r, 0, 2));
    p.m_count = static_cast<uint32_t>(Draw(r, 0, 2));
    p.n_count = static_cast<uint32_t>(Draw(r, 0, 2));
    p.k_count = static_cast<uint32_t>(Draw(r, 1, 2));
    std::vector<int> ia, ib, ic, extents;
    auto add = [&](uint32_t count, bool in_a, bool in_b, bool in_c) {
      for (uint32_t i = 0; i < count; ++i) {
        int index = static_cast<int>(extents.size());
        extents.push_back(Draw(r, 1, 4));
        if (in_a) ia.push_back(index);
        if (in_b) ib.push_back(index);
        if (in_c) ic.push_back(index);
      }
    };
    add(p.batch_count, true, true, true);
    add(p.m_count, true, false, true);
    add(p.n_count, false, true, true);
    add(p.k_count, true, true, false);
    bool permute = round % 4 != 0, has_residual = round % 3 == 0;
    Matrix a, b, residual, result;
    a.Make(r, ia, extents, permute);
    b.Make(r, ib, extents, permute);
    result.Make(r, ic, extents, permute);
    residual.Make(r, ic, extents, permute && Draw(r, 0, 1));
    if (p.batch_count == 0 && round % 2 == 0) p.packed_leading = b.Pack(r, p.k_count);
    if (!has_residual) residual = Matrix();
    p.bias_operand = BLAS_NONE;
    p.residual_operand = has_residual ? 2 : BLAS_NONE;
    p.operand_count = has_residual ? 4 : 3;
    std::copy(a.dims.begin(), a.dims.end(), p.a_dims);
    std::copy(b.dims.begin(), b.dims.end(), p.b_dims);
    std::copy(result.dims.begin(), result.dims.end(), p.c_dims);
    if (has_residual) std::copy(residual.dims.begin(), residual.dims.end(), p.residual_dims);
    std::vector<trivet_operand_t> operands = {a.operand, b.operand};
    if (p.packed_leading) {
      operands[1].rank = 1;
      operands[1].dims[0] = static_cast<int64_t>(b.data.size());
      operands[1].strides[0] = 1;
    }
    if (has_residual) operands.push_back(residual.operand);
    operands.push_back(result.operand);
    blas_geometry_t g;
    const char* reason = nullptr;
    if (!blas_geometry(&p, operands.data(), &g, &reason)) {
      ASSERT_NE(reason, nullptr);
      continue;
    }
    ++taken;
    packed += p.packed_leading != 0;
    swapped += g.swapped;
    looped += g.loop_count != 0;
    std::vector<double> got = Emulate(g, a, b, has_residual ? &residual : nullptr, result);
    // Every position of the result.
    std::vector<int> position(extents.size(), 0);
    size_t outer = p.batch_count + p.m_count + p.n_count;
    for (;;) {
      double want = has_residual ? Read(residual.data, residual.At(position)) : 0;
      std::vector<int> inner = position;
      for (;;) {
        want += Read(a.data, a.At(inner)) * Read(b.data, b.At(inner));
        size_t i = outer;
        while (i < extents.size() && ++inner[i] == extents[i]) inner[i++] = 0;
        if (i == extents.size()) break;
      }
      ASSERT_EQ(Read(got, result.At(position)), want) << "round " << round;
      size_t i = 0;
      while (i < outer && ++position[i] == extents[i]) position[i++] = 0;
      if (i == outer) break;
    }
  }
  EXPECT_GT(taken, 1000);
  EXPECT_GT(swapped, 100);
  EXPECT_GT(looped, 50);
  EXPECT_GT(packed, 100);
}

blas_problem_t Plain() {
  blas_problem_t p;
  memset(&p, 0, sizeof(p));
  p.magic = BLAS_MAGIC;
  p.version = BLAS_VERSION;
  p.dtype = p.result_dtype = TRIVET_DTYPE_F16;
  p.operand_count = 4;
  p.bias_operand = 2;
  p.bias_kind = BLAS_BIAS_COLUMN;
  p.residual_operand = BLAS_NONE;
  p.alpha = 1;
  p.m_count = p.n_count = p.k_count = 1;
  return p;
}

TEST(BlasProblem, BlobsAreChecked) {
  blas_problem_t p = Plain();
  EXPECT_EQ(blas_problem_verify(&p, sizeof(p)), nullptr);
  auto refused = [](const blas_problem_t& q) {
    trivet_status_t status = blas_problem_verify(&q, sizeof(q));
    bool is = trivet_status_code(status) == TRIVET_STATUS_DATA_LOSS;
    trivet_status_free(status);
    return is;
  };
  trivet_status_t status = blas_problem_verify(&p, sizeof(p) - 1);
  EXPECT_NE(status, nullptr);
  trivet_status_free(status);
#define REFUSED(field, wrong)          \
  do {                                 \
    blas_problem_t q = Plain();        \
    q.field = wrong;                   \
    EXPECT_TRUE(refused(q)) << #field; \
  } while (0)
  REFUSED(magic, 1);
  REFUSED(version, 3);
  REFUSED(dtype, TRIVET_DTYPE_I32);
  REFUSED(result_dtype, 0);
  REFUSED(operand_count, 3);
  REFUSED(bias_operand, 3);
  REFUSED(bias_operand, 0);
  REFUSED(residual_operand, 2);
  REFUSED(bias_kind, 0);
  REFUSED(bias_kind, 3);
  REFUSED(activation, 9);
  REFUSED(algorithm, 16);
  REFUSED(m_count, 0xffffffffu);
  REFUSED(k_count, 24);
  REFUSED(a_dims[0], 12);
  REFUSED(residual_dims[23], 254);
#undef REFUSED
}

}  // namespace
