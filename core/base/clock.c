// SPDX-License-Identifier: Apache-2.0
//
// Reads the monotonic clock.
// Nothing else in the libraries asks for the time, and no result may depend on it.

#include "core/base/clock.h"

#include <time.h>

int64_t tvi_clock_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
