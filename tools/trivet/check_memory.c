// SPDX-License-Identifier: Apache-2.0
//
// Guarded, poisoned and counted memory, contents of tensors and their comparison, for `trivet
// plugin check`.
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/dtype.h"
#include "tools/trivet/check.h"

#define GUARD_BYTE 0xC3

static void* counted_allocate(void* self, size_t size, size_t alignment) {
  check_memory_t* m = self;
  void* memory = NULL;
  if (m->refuse_in && !__atomic_sub_fetch(&m->refuse_in, 1, __ATOMIC_RELAXED)) return NULL;
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  if (posix_memalign(&memory, alignment, size) != 0) return NULL;
  if (size) memset(memory, m->fill, size);
  __atomic_add_fetch(&m->live, (int64_t)size, __ATOMIC_RELAXED);
  return memory;
}

static void counted_deallocate(void* self, void* pointer, size_t size, size_t alignment) {
  (void)alignment;
  __atomic_sub_fetch(&((check_memory_t*)self)->live, (int64_t)size, __ATOMIC_RELAXED);
  free(pointer);
}

trivet_allocator_t check_allocator(check_memory_t* memory) {
  trivet_allocator_t allocator = {memory, counted_allocate, NULL, counted_deallocate};
  return allocator;
}

// The C library keeps freed memory for later and counts it, so that only growth that never ends is
// a leak.
size_t check_growth(void (*body)(void* argument), void* argument) {
  size_t least = SIZE_MAX;
  for (int phase = 0; phase < 5; ++phase) {
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < CHECK_ROUNDS; ++i) body(argument);
    size_t after = mallinfo2().uordblks, grown = after > before ? after - before : 0;
    if (grown < least) least = grown;
  }
  return least >= CHECK_ROUNDS * 16 ? least / CHECK_ROUNDS : 0;
}

check_block_t check_block_make(uint64_t size, uint8_t poison) {
  check_block_t block = {NULL, NULL, size};
  void* raw = NULL;
  // The data ends where the guard begins: what writes one element too many is seen.
  if (posix_memalign(&raw, 64, size + 2 * CHECK_GUARD) != 0) return block;
  memset(raw, GUARD_BYTE, size + 2 * CHECK_GUARD);
  block.raw = raw;
  block.data = block.raw + CHECK_GUARD;
  memset(block.data, poison, size);
  return block;
}

void check_block_free(check_block_t* block) {
  free(block->raw);
  memset(block, 0, sizeof(*block));
}

const char* check_block_guards(const check_block_t* block) {
  for (uint32_t i = 0; i < CHECK_GUARD; ++i) {
    if (block->raw[i] != GUARD_BYTE) return "before its beginning";
    if (block->data[block->size + i] != GUARD_BYTE) return "past its end";
  }
  return NULL;
}

uint64_t check_block_unwritten(const check_block_t* a, uint8_t poison_a, const check_block_t* b,
                               uint8_t poison_b) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < a->size && i < b->size; ++i) {
    count += a->data[i] == poison_a && b->data[i] == poison_b;
  }
  return count;
}

static uint64_t element_count(const trivet_tensor_t* tensor) {
  uint64_t count = 1;
  for (uint32_t d = 0; d < tensor->rank; ++d) count *= (uint64_t)tensor->dims[d];
  return count;
}

void check_fill(trivet_tensor_t* tensor, uint32_t seed) {
  uint64_t count = element_count(tensor);
  bool is_float = tvi_dtype_is_float(tensor->dtype), is_int = tvi_dtype_is_integer(tensor->dtype);
  for (uint64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    double value = (double)(seed >> 8) / (1 << 24);  // 0 .. 1
    if (is_float) value = value < 0.5 ? value * 4 - 2.1 : value * 4 - 1.9;
    if (is_int) value = 1 + (seed >> 30) % 3;
    if (tensor->dtype == TRIVET_DTYPE_BOOL) value = seed >> 31;
    tvi_dtype_write_f64(tensor->dtype, tensor->data, (int64_t)i, value);
  }
}

// Roundings of a handful of operations; a kernel may sum in another order than the evaluator.
static double tolerance(uint32_t dtype) {
  switch (dtype) {
    case TRIVET_DTYPE_F64:  // a text may say that it computes in f32
    case TRIVET_DTYPE_F32:
      return 2e-5;
    case TRIVET_DTYPE_F16:
      return 4e-3;
    case TRIVET_DTYPE_BF16:
      return 3e-2;
    default:
      return tvi_dtype_is_float(dtype) ? 0.3 : 0;
  }
}

void check_compare(const trivet_tensor_t* got, const trivet_tensor_t* wanted, double least,
                   char* out, size_t size) {
  *out = 0;
  uint64_t count = element_count(wanted), bad = 0;
  double allowed = tolerance(wanted->dtype);
  if (tvi_dtype_is_float(wanted->dtype) && allowed < least) allowed = least;
  for (uint64_t i = 0; i < count; ++i) {
    double a = tvi_dtype_read_f64(got->dtype, got->data, (int64_t)i);
    double b = tvi_dtype_read_f64(wanted->dtype, wanted->data, (int64_t)i);
    if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= allowed * (1 + fabs(b))) continue;
    if (!bad++) snprintf(out, size, "element %llu is %g, not %g", (unsigned long long)i, a, b);
  }
  size_t length = strlen(out);
  if (bad > 1)
    snprintf(out + length, size - length, " (%llu of %llu differ)", (unsigned long long)bad,
             (unsigned long long)count);
}
