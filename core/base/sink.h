// SPDX-License-Identifier: Apache-2.0
//
// Helpers for trivet_sink_t, the receiver of large outputs (trivet/common.h). Sinks to files are in
// file.h, to memory in string_builder.h and byte_writer.h.

#ifndef TRIVET_CORE_BASE_SINK_H_
#define TRIVET_CORE_BASE_SINK_H_

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// Writes bytes; size 0 does not reach the sink. INVALID_ARGUMENT when the sink has no write.
trivet_status_t tvi_sink_write(trivet_sink_t sink, const void* bytes, size_t size) TRIVET_MUST_USE;
static inline TRIVET_MUST_USE trivet_status_t tvi_sink_write_text(trivet_sink_t sink,
                                                                  trivet_string_view_t text) {
  return tvi_sink_write(sink, text.data, text.size);
}

// Writes `size` zero bytes: padding.
trivet_status_t tvi_sink_write_zeros(trivet_sink_t sink, uint64_t size) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_SINK_H_
