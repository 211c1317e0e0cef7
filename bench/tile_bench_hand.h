// SPDX-License-Identifier: Apache-2.0
//
// Hand-written loops of the cases of tile_bench, compiled with -O3 -march=native: the peer that the
// tile interpreter is measured against. One thread.

#ifndef TRIVET_BENCH_TILE_BENCH_HAND_H_
#define TRIVET_BENCH_TILE_BENCH_HAND_H_

#include <stddef.h>
#include <stdint.h>

// Operands in the order of the case's text, inputs first; dims as the case gives them.
typedef void (*tile_bench_hand_t)(void* const* operands, const int64_t* dims);

void hand_gelu(void* const* operands, const int64_t* dims);
void hand_silu_mul(void* const* operands, const int64_t* dims);
void hand_softmax(void* const* operands, const int64_t* dims);
void hand_layernorm(void* const* operands, const int64_t* dims);
void hand_transpose(void* const* operands, const int64_t* dims);
void hand_nchw_bias(void* const* operands, const int64_t* dims);
void hand_nhwc_bias_relu(void* const* operands, const int64_t* dims);
void hand_int8(void* const* operands, const int64_t* dims);
void hand_gather(void* const* operands, const int64_t* dims);
void hand_add3(void* const* operands, const int64_t* dims);
void hand_column_sum(void* const* operands, const int64_t* dims);

#endif  // TRIVET_BENCH_TILE_BENCH_HAND_H_
