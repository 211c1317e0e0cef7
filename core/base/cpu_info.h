// SPDX-License-Identifier: Apache-2.0
//
// What the processor of this machine is and can do. Asked, never configured; nothing is cached in
// globals.
#ifndef TRIVET_CORE_BASE_CPU_INFO_H_
#define TRIVET_CORE_BASE_CPU_INFO_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// CPUs that this process may run on, at least 1.
uint32_t tvi_cpu_count(void);
// "x86-64 <brand> avx512": what measured times belong to. Always NUL-terminated.
void tvi_cpu_describe(char* buffer, size_t size);

typedef enum tvi_cpu_level_e {
  TVI_CPU_PLAIN = 0,
  TVI_CPU_AVX2 = 1,    // with FMA and F16C
  TVI_CPU_AVX512 = 2,  // F, BW, DQ, VL
} tvi_cpu_level_t;
// The best level that processor and system support.
tvi_cpu_level_t tvi_cpu_level(void);
// "plain", "avx2", "avx512".
const char* tvi_cpu_level_name(tvi_cpu_level_t level);

#endif  // TRIVET_CORE_BASE_CPU_INFO_H_
