// SPDX-License-Identifier: Apache-2.0
//
// Content hashes: 64 bits after the XXH64 specification (xxHash fast digest algorithm, 64-bit
// variant), 128 bits after MurmurHash3 x64-128 (public domain). Results are the same on every host
// and are part of file formats. Not cryptographic: they find damage and equality, not malice.

#ifndef TRIVET_CORE_BASE_HASH_H_
#define TRIVET_CORE_BASE_HASH_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// Hash of `size` bytes; `bytes` may be NULL when size is 0.
uint64_t tvi_hash64(const void* bytes, size_t size, uint64_t seed);
static inline uint64_t tvi_hash_string(trivet_string_view_t text) {
  return tvi_hash64(text.data, text.size, 0);
}

// Mixes a value into a hash; order matters.
static inline uint64_t tvi_hash_combine(uint64_t hash, uint64_t value) {
  // Finaliser of splitmix64 over the sum: a bijection for each fixed `hash`.
  uint64_t x = value + 0x9E3779B97F4A7C15u + (hash << 6) + (hash >> 2);
  x ^= hash * 0xC2B2AE3D27D4EB4Fu;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Streaming form: the digest equals tvi_hash64 of all bytes together.
typedef struct tvi_hash64_state_t {
  uint64_t lanes[4];
  uint64_t total;
  uint64_t seed;
  uint8_t tail[32];
} tvi_hash64_state_t;

void tvi_hash64_init(tvi_hash64_state_t* state, uint64_t seed);
void tvi_hash64_update(tvi_hash64_state_t* state, const void* bytes, size_t size);
uint64_t tvi_hash64_digest(const tvi_hash64_state_t* state);

typedef struct tvi_hash128_t {
  uint64_t low;   // first 8 bytes of the digest, little-endian
  uint64_t high;  // last 8 bytes
} tvi_hash128_t;

static inline bool tvi_hash128_equal(tvi_hash128_t a, tvi_hash128_t b) {
  return a.low == b.low && a.high == b.high;
}

tvi_hash128_t tvi_hash128(const void* bytes, size_t size, uint32_t seed);

typedef struct tvi_hash128_state_t {
  uint64_t h1;
  uint64_t h2;
  uint64_t total;
  uint8_t tail[16];
} tvi_hash128_state_t;

void tvi_hash128_init(tvi_hash128_state_t* state, uint32_t seed);
void tvi_hash128_update(tvi_hash128_state_t* state, const void* bytes, size_t size);
tvi_hash128_t tvi_hash128_digest(const tvi_hash128_state_t* state);

// 32 lower-case hexadecimal digits (low first) and a NUL.
#define TVI_HASH128_TEXT_SIZE 33
void tvi_hash128_format(tvi_hash128_t hash, char* buffer);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_HASH_H_
