// SPDX-License-Identifier: Apache-2.0
//
// By what law each part of a state is joined. monoid_parts.c finds the laws, by form or by trying
// the join; monoid_split.c makes stages of them. Private to these files and monoid.c.
#ifndef TRIVET_CORE_KERNEL_IR_MONOID_PARTS_H_
#define TRIVET_CORE_KERNEL_IR_MONOID_PARTS_H_

#include "core/kernel_ir/kernel_ir.h"
#include "core/kernel_ir/scalar.h"

#ifdef __cplusplus
extern "C" {
#endif

// For states a and b, the joined state being j:
typedef enum tvi_kir_law_e {
  TVI_KIR_LAW_NONE = 0,
  // The part alone, with + * min max.
  TVI_KIR_LAW_SIMPLE,
  // a.part * exp(a.by - j.by) + b.part * exp(b.by - j.by)
  TVI_KIR_LAW_SCALED,
  // (a.part * a.weight + b.part * b.weight) / j.weight
  TVI_KIR_LAW_MEAN,
  // a.part + b.part + a.weight * b.weight / j.weight * (a.x - b.x) * (a.y - b.y), x and y being
  // means of that weight: the sum of products of deviations from them
  TVI_KIR_LAW_CENTRED,
  // The same divided by the weight: a variance or covariance.
  TVI_KIR_LAW_CENTRED_MEAN,
  // The sum of third powers of deviations from the mean x; y is then the sum of their squares. With
  // d = b.x - a.x: a.part + b.part + a.weight * b.weight * (a.weight - b.weight) / j.weight^2 * d^3
  // + 3 * d * (a.weight * b.y - b.weight * a.y) / j.weight
  TVI_KIR_LAW_CENTRED_CUBE,
} tvi_kir_law_t;

typedef struct tvi_kir_part_s {
  tvi_kir_law_t law;
  tvi_kir_monoid_kind_t kind;  // SIMPLE: the reduction that it becomes; SUM otherwise
  uint32_t by;                 // SCALED: the part whose difference scales it
  uint32_t weight;             // MEAN, CENTRED: the part that is the weight, a sum
  uint32_t others[2];          // CENTRED: x and y
} tvi_kir_part_t;

// The laws of all parts in the states that |stage| joins; false where one is joined in another way.
bool tvi_kir_stage_find_parts(const tvi_kir_stage_t* stage,
                              tvi_kir_part_t parts[TVI_KIR_MAX_STATE]);

// What states of the stage have multiples of, part by part: the number that all elements have, of a
// part that is a sum. 0: not known, or it is not above 0.
void tvi_kir_stage_units(const tvi_kir_stage_t* stage, double units[TVI_KIR_MAX_STATE]);

// Joins two states; false: the body is too long or holds what cannot be tried. |is_exact|: floats
// of every type are carried in f64.
bool tvi_kir_monoid_apply(const tvi_kir_monoid_t* monoid, bool is_exact, const tvi_kir_scalar_t* a,
                          const tvi_kir_scalar_t* b, tvi_kir_scalar_t* out);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_MONOID_PARTS_H_
