// SPDX-License-Identifier: Apache-2.0
//
// What is known of a monoid beside its form: may its elements be joined in any order, what does its
// identity do, is it made of simpler ones. Targets ask before they spread a reduction over lanes.
#ifndef TRIVET_CORE_KERNEL_IR_MONOID_H_
#define TRIVET_CORE_KERNEL_IR_MONOID_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// May the two sides of every join of a reduction or scan be exchanged? True of the predeclared
// ones. A declared join is tried on a fixed set of states, with equal parts among them, so that
// "the first of equals wins" is found out; a sum of equal elements is a multiple of them there.
// Joins that do not pass are made in the order of the index.
bool tvi_kir_stage_is_commutative(const tvi_kir_stage_t* stage);

// Is the identity joined with itself the identity? False where the join computes inf - inf on the
// way, say; then lanes that got no element must take no part.
bool tvi_kir_monoid_has_plain_identity(const tvi_kir_monoid_t* monoid);

// Splits reductions whose state is made of simpler ones into a stage for each part: parts that are
// joined by themselves with + * min max; sums that the join scales by exp(part - joined part) of
// one of those; means weighted by a sum; and sums or means of products of deviations from such
// means, or of their third powers. A maximum and a sum relative to it (online softmax,
// "softmaxstate") thus become a maximum and then a sum; mean, deviations and count ("welford",
// covariances, with weights too) become a mean and then a sum, as in a textbook. Laws of means are
// found by trying the join on states whose weights are above 0, however it is written. Same values
// but for roundings; elements are computed once for each stage. Values keep their numbers;
// temporaries may be added.
trivet_status_t tvi_kir_split_monoids(tvi_kir_program_t* program);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_MONOID_H_
