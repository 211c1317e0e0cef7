// SPDX-License-Identifier: Apache-2.0
//
// The monotonic clock, for measuring and deadlines.
// Never used where results could depend on it.

#ifndef TRIVET_CORE_BASE_CLOCK_H_
#define TRIVET_CORE_BASE_CLOCK_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Nanoseconds since an arbitrary point that is fixed while the machine runs. Thread-safe.
int64_t tvi_clock_now_ns(void);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_CLOCK_H_
