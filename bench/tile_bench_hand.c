// SPDX-License-Identifier: Apache-2.0
//
// See tile_bench_hand.h. Plain loops that the compiler may vectorise, with libm functions where it
// has vector ones (-ffast-math, -lmvec).

#include "bench/tile_bench_hand.h"

#include <math.h>
#include <string.h>

void hand_gelu(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0];
  float* restrict y = operands[1];
  const int64_t n = dims[0] * dims[1];
  for (int64_t i = 0; i < n; ++i) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
}

void hand_silu_mul(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0], * restrict u = operands[1];
  float* restrict y = operands[2];
  const int64_t n = dims[0] * dims[1];
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] / (1.0f + expf(-x[i])) * u[i];
}

void hand_softmax(void* const* operands, const int64_t* dims) {
  for (int64_t r = 0; r < dims[0]; ++r) {
    const float* restrict x = (const float*)operands[0] + r * dims[1];
    float* restrict y = (float*)operands[1] + r * dims[1];
    float peak = x[0], total = 0.0f;
    for (int64_t i = 0; i < dims[1]; ++i) peak = x[i] > peak ? x[i] : peak;
    for (int64_t i = 0; i < dims[1]; ++i) {
      y[i] = expf(x[i] - peak);
      total += y[i];
    }
    const float inverse = 1.0f / total;
    for (int64_t i = 0; i < dims[1]; ++i) y[i] *= inverse;
  }
}

void hand_layernorm(void* const* operands, const int64_t* dims) {
  const float* restrict g = operands[1], * restrict b = operands[2];
  const int64_t k = dims[1];
  for (int64_t r = 0; r < dims[0]; ++r) {
    const float* restrict x = (const float*)operands[0] + r * k;
    float* restrict y = (float*)operands[3] + r * k;
    float sum = 0.0f, squares = 0.0f;
    for (int64_t i = 0; i < k; ++i) sum += x[i];
    const float mean = sum / (float)k;
    for (int64_t i = 0; i < k; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1.0f / sqrtf(squares / (float)k + 1e-5f);
    for (int64_t i = 0; i < k; ++i) y[i] = (x[i] - mean) * inverse * g[i] + b[i];
  }
}

void hand_transpose(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0];
  float* restrict y = operands[1];
  const int64_t m = dims[0], n = dims[1];
  for (int64_t i0 = 0; i0 < m; i0 += 16)
    for (int64_t j0 = 0; j0 < n; j0 += 16)
      for (int64_t j = j0; j < j0 + 16 && j < n; ++j)
        for (int64_t i = i0; i < i0 + 16 && i < m; ++i) y[j * m + i] = x[i * n + j];
}

void hand_nchw_bias(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0], * restrict b = operands[1];
  float* restrict y = operands[2];
  for (int64_t c = 0; c < dims[0]; ++c)
    for (int64_t i = 0; i < dims[1]; ++i) y[c * dims[1] + i] = x[c * dims[1] + i] + b[c];
}

void hand_nhwc_bias_relu(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0], * restrict b = operands[1];
  float* restrict y = operands[2];
  for (int64_t r = 0; r < dims[0]; ++r)
    for (int64_t c = 0; c < dims[1]; ++c) {
      const float v = x[r * dims[1] + c] + b[c];
      y[r * dims[1] + c] = v > 0.0f ? v : 0.0f;
    }
}

void hand_int8(void* const* operands, const int64_t* dims) {
  const int8_t* restrict x = operands[0];
  int8_t* restrict y = operands[1];
  const int64_t n = dims[0] * dims[1];
  for (int64_t i = 0; i < n; ++i) {
    float v = (float)x[i] * 0.05f;
    v = v > 0.0f ? v : 0.0f;
    v = rintf(v * 12.5f);
    v = v > 127.0f ? 127.0f : v;
    v = v < -128.0f ? -128.0f : v;
    y[i] = (int8_t)v;
  }
}

void hand_gather(void* const* operands, const int64_t* dims) {
  const float* restrict table = operands[0];
  const int64_t* restrict rows = operands[1];
  const float* restrict p = operands[2];
  float* restrict y = operands[3];
  for (int64_t r = 0; r < dims[0]; ++r)
    for (int64_t c = 0; c < dims[1]; ++c) y[r * dims[1] + c] = table[rows[r] * dims[1] + c] + p[c];
}

void hand_add3(void* const* operands, const int64_t* dims) {
  const float* restrict a = operands[0], * restrict b = operands[1];
  float* restrict y = operands[2];
  const int64_t n = dims[0] * dims[1];
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void hand_column_sum(void* const* operands, const int64_t* dims) {
  const float* restrict x = operands[0];
  float* restrict y = operands[1];
  memset(y, 0, (size_t)dims[1] * sizeof(float));
  for (int64_t r = 0; r < dims[0]; ++r)
    for (int64_t c = 0; c < dims[1]; ++c) y[c] += x[r * dims[1] + c];
}
