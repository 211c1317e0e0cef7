// SPDX-License-Identifier: Apache-2.0
//
// Hashes against published values, and their streaming form against the one-shot form.
// Plans and timing caches hold these values: they may never change.

#include "core/base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace {

uint64_t Hash64(const std::string& text, uint64_t seed = 0) {
  return tvi_hash64(text.data(), text.size(), seed);
}

std::string Hash128(const std::string& text, uint32_t seed = 0) {
  char buffer[TVI_HASH128_TEXT_SIZE];
  tvi_hash128_format(tvi_hash128(text.data(), text.size(), seed), buffer);
  return buffer;
}

// Values of the reference implementations, through the Python packages xxhash and mmh3.
TEST(Hash, KnownValues) {
  struct {
    std::string text;
    uint32_t seed;
    uint64_t hash64;
    std::string hash128;
  } cases[] = {
      {"", 0u, 0xef46db3751d8e999u, "00000000000000000000000000000000"},
      {"", 2654435761u, 0xac75fda2929b17efu, "6e54d3ad2be8e9a2d99e452d1cfc7dec"},
      {"a", 0u, 0xd24ec4f1a98c6e5bu, "85555565f6597889e6b53a48510e895a"},
      {"a", 2654435761u, 0x393da8b78992279bu, "4dad60de1c68752f53b831d9b1ae0206"},
      {"abc", 0u, 0x44bc2cf5ad770999u, "b4963f3f3fad78673ba2744126ca2d52"},
      {"abc", 2654435761u, 0x1318df30094a85fdu, "67014d3088ecce8e87503de940b52111"},
      {"hello", 0u, 0x26c7827d889f6da3u, "cbd8a7b341bd9b025b1e906a48ae1d19"},
      {"hello", 2654435761u, 0xd7aafe8012dce535u, "cf2e6e07e84a6afff600eb895d7a9c21"},
      {"The quick brown fox jumps over the lazy dog", 0u, 0x0b242d361fda71bcu,
       "e34bbc7bbc071b6c7a433ca9c49a9347"},
      {"The quick brown fox jumps over the lazy dog", 2654435761u, 0xb31b9019ec176b0cu,
       "b1645af45b3b50db573ca9be29c44a89"},
      {"0123456789abcdef", 0u, 0x5c5b90c34e376d0bu, "4be06d94cf4ad1a787c35b5c63a708da"},
      {"0123456789abcdef", 2654435761u, 0x9c29abe1ea25f5c4u, "3dcc2a8985efb5634c94fa7f51c089ca"},
      {"0123456789abcdef0123456789abcdef", 0u, 0x642a94958e71e6c5u,
       "4f3a26b5d6197cba10b5291efa740ca2"},
      {"0123456789abcdef0123456789abcdef", 2654435761u, 0xdfad85ccf8285222u,
       "55a00d1a97b5c0dc87ee9d7b65008b7f"},
      {std::string(100, 'x'), 0u, 0x92f0de5a88a3c094u, "0404e50288596ae2deaf57402eaf7cc3"},
      {std::string(100, 'x'), 2654435761u, 0x456372aa48f4fafbu, "06227115188cbf3958e053298ead81b6"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Hash64(c.text, c.seed), c.hash64) << c.text;
    EXPECT_EQ(Hash128(c.text, c.seed), c.hash128) << c.text;
  }
}

TEST(Hash, StreamingEqualsOneShot) {
  std::vector<unsigned char> data(1000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<unsigned char>(i * 31 + i / 7);
  for (size_t size : {0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 999}) {
    for (size_t step : {1, 3, 16, 31, 32, 33, 200}) {
      tvi_hash64_state_t state64;
      tvi_hash128_state_t state128;
      tvi_hash64_init(&state64, 5);
      tvi_hash128_init(&state128, 5);
      for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        tvi_hash64_update(&state64, data.data() + at, part);
        tvi_hash128_update(&state128, data.data() + at, part);
      }
      EXPECT_EQ(tvi_hash64_digest(&state64), tvi_hash64(data.data(), size, 5));
      EXPECT_TRUE(
          tvi_hash128_equal(tvi_hash128_digest(&state128), tvi_hash128(data.data(), size, 5)));
    }
  }
}

TEST(Hash, EveryBitMatters) {
  std::string text(70, 'a');
  std::set<uint64_t> seen64 = {Hash64(text)};
  std::set<std::string> seen128 = {Hash128(text)};
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_TRUE(seen64.insert(Hash64(flipped)).second);
    EXPECT_TRUE(seen128.insert(Hash128(flipped)).second);
  }
}

TEST(Hash, CombineDependsOnOrder) {
  EXPECT_NE(tvi_hash_combine(tvi_hash_combine(0, 1), 2),
            tvi_hash_combine(tvi_hash_combine(0, 2), 1));
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 100; ++i) {
    for (uint64_t k = 0; k < 100; ++k) {
      EXPECT_TRUE(seen.insert(tvi_hash_combine(tvi_hash_combine(0, i), k)).second);
    }
  }
}

}  // namespace
