// SPDX-License-Identifier: Apache-2.0
//
// The nodes behind trivet_dim_t and the polynomials that arithmetic on them works with. For the
// files of core/dimension only.
#ifndef TRIVET_CORE_DIMENSION_DIMENSION_INTERNAL_H_
#define TRIVET_CORE_DIMENSION_DIMENSION_INTERNAL_H_

#include "core/base/arena.h"
#include "core/dimension/dimension.h"

// Beyond these an expression is refused (NULL), so that every walk over one is short.
#define TVI_DIM_MAX_DEPTH 48
#define TVI_DIM_MAX_SIZE 2048
#define TVI_DIM_MAX_TERMS 128
#define TVI_DIM_MAX_FACTORS 32

struct trivet_dim_s {
  uint8_t kind;   // tvi_dim_kind_t
  uint8_t depth;  // 1 for leaves
  uint16_t size;  // nodes of the expression as a tree
  uint32_t count;
  uint64_t hash;
  int64_t value;  // CONSTANT; constant part of a SUM
  const trivet_dim_t* operands;
  const int64_t* coefficients;  // SUM
};

typedef struct tvi_dim_symbol_s {
  struct trivet_dim_s dim;
  trivet_string_view_t name;
  uint32_t index;
  uint32_t origin;  // tvi_symbol_origin_t
  int64_t min, max, divisor;
  trivet_dim_t upper;  // NULL: none
} tvi_dim_symbol_t;

struct tvi_dim_context_s {
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  trivet_dim_t* slots;  // open addressing over all nodes but symbols; a power of two
  size_t slot_count;
  size_t used;
  tvi_dim_symbol_t** symbols;
  uint32_t symbol_count;
  uint32_t symbol_capacity;
  uint64_t fresh;
};

static inline const tvi_dim_symbol_t* tvi_dim_as_symbol(trivet_dim_t dim) {
  return (const tvi_dim_symbol_t*)(const void*)dim;
}

// A sum taken apart: constant + sum of coefficients[i] * monomials[i], largest monomial first.
typedef struct tvi_poly_s {
  int64_t constant;
  uint32_t count;
  int64_t coefficients[TVI_DIM_MAX_TERMS];
  trivet_dim_t monomials[TVI_DIM_MAX_TERMS];
} tvi_poly_t;

// The one node with these contents; NULL without memory or beyond the limits above.
trivet_dim_t tvi_dim_intern(tvi_dim_context_t* context, tvi_dim_kind_t kind, int64_t value,
                            uint32_t count, const trivet_dim_t* operands,
                            const int64_t* coefficients);
// Total order that depends on structure and symbol numbers only.
int tvi_dim_compare(trivet_dim_t a, trivet_dim_t b);

void tvi_poly_from(trivet_dim_t dim, tvi_poly_t* poly);
bool tvi_poly_add_term(tvi_poly_t* poly, int64_t coefficient, trivet_dim_t monomial);
bool tvi_poly_add(tvi_poly_t* poly, const tvi_poly_t* other, int64_t factor);
trivet_dim_t tvi_poly_to_dim(tvi_dim_context_t* context, const tvi_poly_t* poly);
trivet_dim_t tvi_monomial_multiply(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b);
// a / b where b's factors are among a's; NULL otherwise. *out_one: the quotient is 1.
trivet_dim_t tvi_monomial_divide(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b,
                                 bool* out_one);
// The division operators, in dimension_divide.c.
trivet_dim_t tvi_dim_floordiv(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b);
trivet_dim_t tvi_dim_ceildiv(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b);
trivet_dim_t tvi_dim_mod(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b);

#endif  // TRIVET_CORE_DIMENSION_DIMENSION_INTERNAL_H_
