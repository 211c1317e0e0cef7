// SPDX-License-Identifier: Apache-2.0
//
// Calls on sinks, with the checks that every caller would otherwise repeat.
// Stands before whoever writes plans, texts and reports; it keeps nothing.

#include "core/base/sink.h"

#include "core/base/status.h"

trivet_status_t tvi_sink_write(trivet_sink_t sink, const void* bytes, size_t size) {
  if (sink.write == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "the sink has no write function");
  return size != 0 ? sink.write(sink.self, bytes, size) : TRIVET_OK;
}

trivet_status_t tvi_sink_write_zeros(trivet_sink_t sink, uint64_t size) {
  static const uint8_t zeros[4096];
  while (size != 0) {
    size_t part = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);
    TRIVET_RETURN_IF_ERROR(tvi_sink_write(sink, zeros, part));
    size -= part;
  }
  return TRIVET_OK;
}
