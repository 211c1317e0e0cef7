// SPDX-License-Identifier: Apache-2.0
//
// Processor features by the compiler's own detection, which also asks whether the system saves the
// registers.
#include "core/base/cpu_info.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

uint32_t tvi_cpu_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return (uint32_t)CPU_COUNT(&set);
  long count = sysconf(_SC_NPROCESSORS_ONLN);  // more CPUs than a cpu_set_t holds
  return count > 0 ? (uint32_t)count : 1;
}

tvi_cpu_level_t tvi_cpu_level(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return TVI_CPU_AVX512;
  }
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
  if (f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return TVI_CPU_AVX2;
#endif
  return TVI_CPU_PLAIN;
}

const char* tvi_cpu_level_name(tvi_cpu_level_t level) {
  switch (level) {
    case TVI_CPU_AVX512:
      return "avx512";
    case TVI_CPU_AVX2:
      return "avx2";
    default:
      return "plain";
  }
}

void tvi_cpu_describe(char* buffer, size_t size) {
  char brand[49] = "unknown";
#if defined(__x86_64__)
  unsigned words[12];
  memset(words, 0, sizeof(words));
  if (__get_cpuid(0x80000002u, &words[0], &words[1], &words[2], &words[3])) {
    __get_cpuid(0x80000003u, &words[4], &words[5], &words[6], &words[7]);
    __get_cpuid(0x80000004u, &words[8], &words[9], &words[10], &words[11]);
    memcpy(brand, words, 48);
    brand[48] = 0;
  }
  const char* machine = "x86-64";
#else
  const char* machine = "generic";
#endif
  // Line-oriented files hold this: no line ends, no doubled or trailing blanks.
  size_t length = 0;
  for (const char* c = brand; *c; ++c) {
    unsigned char byte = (unsigned char)*c;
    if (byte < 0x20 || byte > 0x7e) continue;
    if (byte == ' ' && (length == 0 || brand[length - 1] == ' ')) continue;
    brand[length++] = (char)byte;
  }
  while (length && brand[length - 1] == ' ') --length;
  brand[length] = 0;
  snprintf(buffer, size, "cpu %s %s %s", machine, brand, tvi_cpu_level_name(tvi_cpu_level()));
}
