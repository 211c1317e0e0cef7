// SPDX-License-Identifier: Apache-2.0
//
// XXH64 and MurmurHash3 x64-128, written from their published descriptions. Each exists once, in
// its streaming form; the one-shot calls run it over a local state.

#include "core/base/hash.h"

#include <stdio.h>
#include <string.h>

#include "core/base/byte_reader.h"

static inline uint64_t rotate_left(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

// A load that compiles to one instruction on little-endian hosts.
static inline uint64_t load64(const uint8_t* bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

// Collects input into blocks of `block` bytes for `consume`, keeping the rest in `tail`.
#define TVI_HASH_BUFFER(state, block, bytes, size, consume)                   \
  do {                                                                        \
    const uint8_t* next = (bytes);                                            \
    size_t left = (size);                                                     \
    size_t held = (size_t)((state)->total % (block));                         \
    (state)->total += left;                                                   \
    if (held != 0) {                                                          \
      size_t part = left < (block)-held ? left : (block)-held;                \
      memcpy((state)->tail + held, next, part);                               \
      next += part;                                                           \
      left -= part;                                                           \
      if (held + part < (block)) break;                                       \
      consume(state, (state)->tail, 1);                                       \
    }                                                                         \
    consume(state, next, left / (block));                                     \
    if (left % (block) != 0)                                                  \
      memcpy((state)->tail, next + left / (block) * (block), left % (block)); \
  } while (0)

// ---- XXH64 ----

static const uint64_t xxh_prime1 = 0x9E3779B185EBCA87u;
static const uint64_t xxh_prime2 = 0xC2B2AE3D27D4EB4Fu;
static const uint64_t xxh_prime3 = 0x165667B19E3779F9u;
static const uint64_t xxh_prime4 = 0x85EBCA77C2B2AE63u;
static const uint64_t xxh_prime5 = 0x27D4EB2F165667C5u;

static inline uint64_t xxh_round(uint64_t lane, uint64_t input) {
  return rotate_left(lane + input * xxh_prime2, 31) * xxh_prime1;
}

static inline uint64_t xxh_merge(uint64_t hash, uint64_t lane) {
  return (hash ^ xxh_round(0, lane)) * xxh_prime1 + xxh_prime4;
}

void tvi_hash64_init(tvi_hash64_state_t* state, uint64_t seed) {
  memset(state, 0, sizeof(*state));
  state->seed = seed;
  state->lanes[0] = seed + xxh_prime1 + xxh_prime2;
  state->lanes[1] = seed + xxh_prime2;
  state->lanes[2] = seed;
  state->lanes[3] = seed - xxh_prime1;
}

static inline void xxh_consume(tvi_hash64_state_t* state, const uint8_t* bytes, size_t blocks) {
  uint64_t a = state->lanes[0];
  uint64_t b = state->lanes[1];
  uint64_t c = state->lanes[2];
  uint64_t d = state->lanes[3];
  for (size_t i = 0; i < blocks; ++i, bytes += 32) {
    a = xxh_round(a, load64(bytes));
    b = xxh_round(b, load64(bytes + 8));
    c = xxh_round(c, load64(bytes + 16));
    d = xxh_round(d, load64(bytes + 24));
  }
  state->lanes[0] = a;
  state->lanes[1] = b;
  state->lanes[2] = c;
  state->lanes[3] = d;
}

void tvi_hash64_update(tvi_hash64_state_t* state, const void* bytes, size_t size) {
  if (size == 0) return;
  TVI_HASH_BUFFER(state, sizeof(state->tail), bytes, size, xxh_consume);
}

uint64_t tvi_hash64_digest(const tvi_hash64_state_t* state) {
  uint64_t hash;
  if (state->total >= 32) {
    hash = rotate_left(state->lanes[0], 1) + rotate_left(state->lanes[1], 7) +
           rotate_left(state->lanes[2], 12) + rotate_left(state->lanes[3], 18);
    for (int i = 0; i < 4; ++i) hash = xxh_merge(hash, state->lanes[i]);
  } else {
    hash = state->seed + xxh_prime5;
  }
  hash += state->total;
  const uint8_t* next = state->tail;
  size_t left = (size_t)(state->total % 32);
  for (; left >= 8; left -= 8, next += 8) {
    hash = rotate_left(hash ^ xxh_round(0, load64(next)), 27) * xxh_prime1 + xxh_prime4;
  }
  if (left >= 4) {
    hash = rotate_left(hash ^ tvi_load_u32(next) * xxh_prime1, 23) * xxh_prime2 + xxh_prime3;
    left -= 4;
    next += 4;
  }
  for (; left > 0; --left, ++next) {
    hash = rotate_left(hash ^ *next * xxh_prime5, 11) * xxh_prime1;
  }
  hash = (hash ^ hash >> 33) * xxh_prime2;
  hash = (hash ^ hash >> 29) * xxh_prime3;
  return hash ^ hash >> 32;
}

uint64_t tvi_hash64(const void* bytes, size_t size, uint64_t seed) {
  tvi_hash64_state_t state;
  tvi_hash64_init(&state, seed);
  tvi_hash64_update(&state, bytes, size);
  return tvi_hash64_digest(&state);
}

// ---- MurmurHash3 x64-128 ----

static const uint64_t murmur_c1 = 0x87C37B91114253D5u;
static const uint64_t murmur_c2 = 0x4CF5AD432745937Fu;

static inline uint64_t murmur_mix1(uint64_t k) {
  return rotate_left(k * murmur_c1, 31) * murmur_c2;
}
static inline uint64_t murmur_mix2(uint64_t k) {
  return rotate_left(k * murmur_c2, 33) * murmur_c1;
}

static uint64_t murmur_finish(uint64_t k) {
  k = (k ^ k >> 33) * 0xFF51AFD7ED558CCDu;
  k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53u;
  return k ^ k >> 33;
}

void tvi_hash128_init(tvi_hash128_state_t* state, uint32_t seed) {
  memset(state, 0, sizeof(*state));
  state->h1 = seed;
  state->h2 = seed;
}

static inline void murmur_consume(tvi_hash128_state_t* state, const uint8_t* bytes, size_t blocks) {
  uint64_t h1 = state->h1;
  uint64_t h2 = state->h2;
  for (size_t i = 0; i < blocks; ++i, bytes += 16) {
    h1 ^= murmur_mix1(load64(bytes));
    h1 = (rotate_left(h1, 27) + h2) * 5 + 0x52DCE729;
    h2 ^= murmur_mix2(load64(bytes + 8));
    h2 = (rotate_left(h2, 31) + h1) * 5 + 0x38495AB5;
  }
  state->h1 = h1;
  state->h2 = h2;
}

void tvi_hash128_update(tvi_hash128_state_t* state, const void* bytes, size_t size) {
  if (size == 0) return;
  TVI_HASH_BUFFER(state, sizeof(state->tail), bytes, size, murmur_consume);
}

tvi_hash128_t tvi_hash128_digest(const tvi_hash128_state_t* state) {
  uint8_t tail[16] = {0};
  size_t left = (size_t)(state->total % 16);
  memcpy(tail, state->tail, left);
  // Zero bytes mix to zero, so the missing ones change nothing.
  uint64_t h1 = state->h1 ^ murmur_mix1(load64(tail)) ^ state->total;
  uint64_t h2 = state->h2 ^ murmur_mix2(load64(tail + 8)) ^ state->total;
  h1 += h2;
  h2 += h1;
  h1 = murmur_finish(h1);
  h2 = murmur_finish(h2);
  h1 += h2;
  h2 += h1;
  tvi_hash128_t hash = {h1, h2};
  return hash;
}

tvi_hash128_t tvi_hash128(const void* bytes, size_t size, uint32_t seed) {
  tvi_hash128_state_t state;
  tvi_hash128_init(&state, seed);
  tvi_hash128_update(&state, bytes, size);
  return tvi_hash128_digest(&state);
}

void tvi_hash128_format(tvi_hash128_t hash, char* buffer) {
  snprintf(buffer, TVI_HASH128_TEXT_SIZE, "%016llx%016llx", (unsigned long long)hash.low,
           (unsigned long long)hash.high);
}
