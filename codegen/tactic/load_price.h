// SPDX-License-Identifier: Apache-2.0
//
// What loading a plan costs, for builds that bound it: kernels say what their library takes when
// it is used at all and what each step of theirs adds. Asked while tactics are enumerated, told
// when one is chosen. It knows no kernel by name and measures nothing.
#ifndef TRIVET_CODEGEN_TACTIC_LOAD_PRICE_H_
#define TRIVET_CODEGEN_TACTIC_LOAD_PRICE_H_

#include <stdbool.h>

#include "core/base/vector.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// One step's own part, or a library's: paid for once.
typedef struct tvi_load_paid_s {
  const trivet_kernel_t* kernel;
  uint64_t signature[2];  // of the region; equal ones share what is loaded. 0, 0: the library
} tvi_load_paid_t;

typedef struct tvi_load_price_s {
  double budget_us;  // 0: no bound
  double spent_us;
  TVI_VECTOR(tvi_load_paid_t) paid;
} tvi_load_price_t;

void tvi_load_price_init(tvi_load_price_t* price, trivet_allocator_t allocator);
void tvi_load_price_deinit(tvi_load_price_t* price);
// Milliseconds for the whole plan, of which |weight_bytes| of weights and the start take a part.
// 0: no bound.
void tvi_load_price_bound(tvi_load_price_t* price, double milliseconds, uint64_t weight_bytes);
// Whether a step of |kernel| for a region with |signature| stays within the bound.
bool tvi_load_price_fits(const tvi_load_price_t* price, const trivet_kernel_t* kernel,
                         const uint64_t signature[2]);
trivet_status_t tvi_load_price_pay(tvi_load_price_t* price, const trivet_kernel_t* kernel,
                                   const uint64_t signature[2]);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CODEGEN_TACTIC_LOAD_PRICE_H_
