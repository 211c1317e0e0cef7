// SPDX-License-Identifier: Apache-2.0
//
// Dimensions: interned, normalised integer expressions over symbols. Within one context equal
// expressions are the same pointer, so equality is identity. Sums are kept flat with sorted terms
// and integer coefficients, products are distributed over sums, so that (a+b)*2 and 2*b+2*a are one
// expression. All arithmetic is checked 64-bit: overflow yields NULL. A context belongs to one
// thread at a time (a graph has one).
#ifndef TRIVET_CORE_DIMENSION_DIMENSION_H_
#define TRIVET_CORE_DIMENSION_DIMENSION_H_

#include <stdbool.h>

#include "core/base/string_builder.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// Kinds of expression nodes.
typedef enum tvi_dim_kind_e {
  TVI_DIM_CONSTANT = 0,
  TVI_DIM_SYMBOL = 1,
  TVI_DIM_SUM = 2,      // constant + sum of coefficient * term (terms are not sums or constants)
  TVI_DIM_PRODUCT = 3,  // product of two or more factors, none a constant or sum
  TVI_DIM_FLOORDIV = 4,
  TVI_DIM_CEILDIV = 5,
  TVI_DIM_MOD = 6,
  TVI_DIM_MIN = 7,
  TVI_DIM_MAX = 8,
} tvi_dim_kind_t;

// Where a symbol comes from.
typedef enum tvi_symbol_origin_e {
  TVI_SYMBOL_INPUT = 0,  // a dimension of a graph input; bound from the shapes given at prepare
  TVI_SYMBOL_DATA = 1,   // a data-dependent size; bound by the step that computes it
} tvi_symbol_origin_t;

typedef struct tvi_dim_context_s tvi_dim_context_t;

trivet_status_t tvi_dim_context_create(trivet_allocator_t allocator,
                                       tvi_dim_context_t** out_context);
void tvi_dim_context_destroy(tvi_dim_context_t* context);

trivet_dim_t tvi_dim_constant(tvi_dim_context_t* context, int64_t value);
// The symbol called |name|, made on first use with the range 0 .. 2^31-1 and divisor 1.
trivet_dim_t tvi_dim_symbol(tvi_dim_context_t* context, trivet_string_view_t name);
// A symbol with a fresh name beginning with |prefix|; NULL |upper|: unbounded.
trivet_dim_t tvi_dim_fresh(tvi_dim_context_t* context, const char* prefix,
                           tvi_symbol_origin_t origin, trivet_dim_t upper);
// Narrows the range of a symbol and states a number that divides it. Ranges only shrink; an empty
// one is an error.
trivet_status_t tvi_dim_symbol_restrict(tvi_dim_context_t* context, trivet_dim_t symbol,
                                        int64_t min, int64_t max, int64_t divisor);
// |op| is TRIVET_DIM_*. NULL operands and overflow give NULL.
trivet_dim_t tvi_dim_binary(tvi_dim_context_t* context, uint32_t op, trivet_dim_t a,
                            trivet_dim_t b);

tvi_dim_kind_t tvi_dim_kind(trivet_dim_t dim);
bool tvi_dim_is_constant(trivet_dim_t dim, int64_t* out_value);  // |out_value| may be NULL
bool tvi_dim_equals_constant(trivet_dim_t dim, int64_t value);
trivet_string_view_t tvi_dim_symbol_name(trivet_dim_t symbol);
tvi_symbol_origin_t tvi_dim_symbol_origin(trivet_dim_t symbol);
// The bound given to tvi_dim_fresh; NULL: none.
trivet_dim_t tvi_dim_symbol_upper(trivet_dim_t symbol);
uint32_t tvi_dim_symbol_index(trivet_dim_t symbol);  // dense, by order of creation
uint32_t tvi_dim_symbol_count(const tvi_dim_context_t* context);
trivet_dim_t tvi_dim_symbol_at(const tvi_dim_context_t* context, uint32_t index);
// Interval that the value certainly lies in, given the ranges of the symbols. Saturates at the ends
// of int64_t.
void tvi_dim_range(const tvi_dim_context_t* context, trivet_dim_t dim, int64_t* out_min,
                   int64_t* out_max);
// A number that certainly divides the value (0 for the constant 0).
int64_t tvi_dim_divisor(const tvi_dim_context_t* context, trivet_dim_t dim);
// Structure, for printing and for writing plans: operand |index| of a node; for a sum, its terms
// with coefficients; a sum's constant part.
uint32_t tvi_dim_operand_count(trivet_dim_t dim);
trivet_dim_t tvi_dim_operand(trivet_dim_t dim, uint32_t index);
int64_t tvi_dim_coefficient(trivet_dim_t dim, uint32_t index);
int64_t tvi_dim_sum_constant(trivet_dim_t dim);
bool tvi_dim_uses_symbol(trivet_dim_t dim, trivet_dim_t symbol);
// Value with symbol i bound to |values[i]|. Error on overflow, division by zero or a missing
// binding (index past |count|).
trivet_status_t tvi_dim_evaluate(trivet_dim_t dim, const int64_t* values, uint32_t count,
                                 int64_t* out_value);
// The same expression in another context, symbols matched by name; |symbols| (indexed by the
// source's symbol index, entries may be NULL) overrides the matching.
trivet_dim_t tvi_dim_import(tvi_dim_context_t* context, trivet_dim_t dim,
                            const trivet_dim_t* symbols, uint32_t symbol_count);
// Text: "2*batch + 1", "floordiv(n, 2)", and back.
trivet_status_t tvi_dim_print(trivet_dim_t dim, tvi_string_builder_t* builder);
trivet_status_t tvi_dim_parse(tvi_dim_context_t* context, trivet_string_view_t text,
                              trivet_dim_t* out_dim);

// True when |dim| is certainly at least 0 (the second: at least 1) for all values of the symbols.
// Knows more than the range: that s*floordiv(x, s) lies between x - s + 1 and x.
bool tvi_dim_is_nonnegative(tvi_dim_context_t* context, trivet_dim_t dim);
bool tvi_dim_is_positive(tvi_dim_context_t* context, trivet_dim_t dim);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_DIMENSION_DIMENSION_H_
