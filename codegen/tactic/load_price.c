// SPDX-License-Identifier: Apache-2.0
//
// What loading a plan costs. See load_price.h.
// Kernels whose names begin alike, up to the point, are of one library.
#include "codegen/tactic/load_price.h"

#include <string.h>

#include "core/base/status.h"

// Seen on a machine with one H100: the engine's own work with a first run, and the rate at which
// weights go to the device.
#define START_US 20000.0
#define WEIGHT_BYTES_PER_US 7000.0

static const uint64_t kLibrary[2] = {0, 0};

void tvi_load_price_init(tvi_load_price_t* price, trivet_allocator_t allocator) {
  price->budget_us = price->spent_us = 0;
  tvi_vector_init(&price->paid, allocator);
}

void tvi_load_price_deinit(tvi_load_price_t* price) { tvi_vector_deinit(&price->paid); }

void tvi_load_price_bound(tvi_load_price_t* price, double milliseconds, uint64_t weight_bytes) {
  price->budget_us = milliseconds * 1e3;
  price->spent_us = START_US + (double)weight_bytes / WEIGHT_BYTES_PER_US;
}

static bool same_library(const trivet_kernel_t* a, const trivet_kernel_t* b) {
  size_t size = strcspn(a->name, ".");
  return size == strcspn(b->name, ".") && strncmp(a->name, b->name, size) == 0;
}

static bool is_paid(const tvi_load_price_t* price, const trivet_kernel_t* kernel,
                    const uint64_t signature[2]) {
  bool is_library = signature == kLibrary;
  for (size_t i = 0; i < price->paid.count; ++i) {
    const tvi_load_paid_t* paid = &price->paid.data[i];
    if (paid->signature[0] != signature[0] || paid->signature[1] != signature[1]) continue;
    if (paid->kernel == kernel || (is_library && same_library(paid->kernel, kernel))) return true;
  }
  return false;
}

static double price_of(const tvi_load_price_t* price, const trivet_kernel_t* kernel,
                       const uint64_t signature[2]) {
  double sum = 0;
  if (!TRIVET_HAS_FIELD(kernel, trivet_kernel_t, load_each_us)) return 0;
  if (!is_paid(price, kernel, kLibrary)) sum += kernel->load_first_us;
  if (!is_paid(price, kernel, signature)) sum += kernel->load_each_us;
  return sum;
}

bool tvi_load_price_fits(const tvi_load_price_t* price, const trivet_kernel_t* kernel,
                         const uint64_t signature[2]) {
  double more = price->budget_us > 0 ? price_of(price, kernel, signature) : 0;
  return more == 0 || price->spent_us + more <= price->budget_us;
}

trivet_status_t tvi_load_price_pay(tvi_load_price_t* price, const trivet_kernel_t* kernel,
                                   const uint64_t signature[2]) {
  if (price->budget_us == 0) return TRIVET_OK;
  double more = price_of(price, kernel, signature);
  if (more == 0) return TRIVET_OK;
  price->spent_us += more;
  tvi_load_paid_t library = {kernel, {kLibrary[0], kLibrary[1]}};
  tvi_load_paid_t step = {kernel, {signature[0], signature[1]}};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&price->paid, library));
  return tvi_vector_push(&price->paid, step);
}
