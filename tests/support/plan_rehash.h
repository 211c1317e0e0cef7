// SPDX-License-Identifier: Apache-2.0
//
// Puts the hashes of a plan right after its bytes were changed, so that a test of hostile bytes
// reaches the rules behind the hashes. Where the frame itself is broken it changes nothing.

#ifndef TRIVET_TESTS_SUPPORT_PLAN_REHASH_H_
#define TRIVET_TESTS_SUPPORT_PLAN_REHASH_H_

#include <cstddef>
#include <cstdint>

#include "core/base/hash.h"
#include "core/plan/plan_format.h"

namespace trivet_test {

inline void StorePlanHash(tvi_hash128_t hash, uint8_t* bytes) {
  tvi_store_u64(bytes, hash.low);
  tvi_store_u64(bytes + 8, hash.high);
}

// False when the frame does not say where the hashes are.
inline bool RehashPlan(uint8_t* bytes, size_t size) {
  if (size < TVI_PLAN_HEADER_SIZE + TVI_PLAN_HASH_SIZE) return false;
  uint64_t table = tvi_load_u64(bytes + TVI_PLAN_OFFSET_HASH_TABLE);
  uint64_t count = tvi_load_u64(bytes + TVI_PLAN_OFFSET_HASH_COUNT);
  uint64_t sections = tvi_load_u32(bytes + TVI_PLAN_OFFSET_SECTION_COUNT);
  uint64_t head = TVI_PLAN_HEADER_SIZE + sections * TVI_PLAN_ENTRY_SIZE;
  if (head > size || table > size || count > (size - table) / TVI_PLAN_HASH_SIZE) return false;
  if (size - table - count * TVI_PLAN_HASH_SIZE != TVI_PLAN_HASH_SIZE) return false;
  for (uint64_t i = 0; i < sections; ++i) {
    const uint8_t* entry = bytes + TVI_PLAN_HEADER_SIZE + i * TVI_PLAN_ENTRY_SIZE;
    uint64_t offset = tvi_load_u64(entry + 8), left = tvi_load_u64(entry + 16);
    uint64_t hash = tvi_load_u64(entry + 24);
    if (offset > table || left > table - offset) continue;
    for (; left != 0 && hash < count; ++hash) {
      uint64_t part = left < TVI_PLAN_CHUNK_SIZE ? left : TVI_PLAN_CHUNK_SIZE;
      StorePlanHash(tvi_hash128(bytes + offset, part, 0),
                    bytes + table + hash * TVI_PLAN_HASH_SIZE);
      offset += part;
      left -= part;
    }
  }
  tvi_hash128_state_t root;
  tvi_hash128_init(&root, 0);
  tvi_hash128_update(&root, bytes, head);
  tvi_hash128_update(&root, bytes + table, count * TVI_PLAN_HASH_SIZE);
  StorePlanHash(tvi_hash128_digest(&root), bytes + size - TVI_PLAN_HASH_SIZE);
  return true;
}

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_PLAN_REHASH_H_
