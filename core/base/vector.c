// SPDX-License-Identifier: Apache-2.0
//
// Growth of vectors: the one function behind the macros of vector.h.
// It checks every size; on an error the vector is as it was.

#include "core/base/vector.h"

#include "core/base/checked.h"

trivet_status_t tvi_vector_reserve_memory(trivet_allocator_t allocator, void* data_address,
                                          size_t* capacity, size_t count, size_t extra,
                                          size_t element_size) {
  size_t needed;
  if (!tvi_checked_add_size(count, extra, &needed)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%zu more elements after %zu are too many", extra, count);
  }
  if (needed <= *capacity) return TRIVET_OK;
  size_t grown = *capacity > SIZE_MAX / 2 ? needed : *capacity * 2;
  if (grown < 8) grown = 8;
  if (grown < needed) grown = needed;
  TRIVET_RETURN_IF_ERROR(
      tvi_reallocate_array_memory(allocator, data_address, *capacity, grown, element_size));
  *capacity = grown;
  return TRIVET_OK;
}
