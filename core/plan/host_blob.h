// SPDX-License-Identifier: Apache-2.0
//
// The blob of a HOST step: the attributes of its node, so that the operator's evaluate hook can
// read them at run time.
#ifndef TRIVET_CORE_PLAN_HOST_BLOB_H_
#define TRIVET_CORE_PLAN_HOST_BLOB_H_

#include "core/base/arena.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// Encodes attributes (no graphs) into |arena|. Same attributes, same bytes.
trivet_status_t tvi_host_blob_encode(const trivet_attribute_t* attributes, uint32_t count,
                                     tvi_arena_t* arena, const uint8_t** out_blob,
                                     uint64_t* out_size);
// Decodes into |arena|; names and data may point into |blob|. DATA_LOSS on any bytes that encode
// never writes.
trivet_status_t tvi_host_blob_decode(const uint8_t* blob, uint64_t size, tvi_arena_t* arena,
                                     trivet_attribute_t** out_attributes, uint32_t* out_count);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_HOST_BLOB_H_
