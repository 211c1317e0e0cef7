// SPDX-License-Identifier: Apache-2.0
//
// Dimensions: interning, sums, products, minima and maxima. Division has a file of its own, so have
// ranges and text. Every constructor brings its result into the one normal form, so that equality
// stays identity.
#include "core/dimension/dimension.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dimension_internal.h"

trivet_status_t tvi_dim_context_create(trivet_allocator_t allocator,
                                       tvi_dim_context_t** out_context) {
  tvi_dim_context_t* context;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*context), &context));
  context->allocator = allocator;
  tvi_arena_init(&context->arena, allocator, 0);
  *out_context = context;
  return TRIVET_OK;
}

void tvi_dim_context_destroy(tvi_dim_context_t* context) {
  if (context == NULL) return;
  tvi_free_array(context->allocator, context->slots, context->slot_count, sizeof(*context->slots));
  tvi_free_array(context->allocator, context->symbols, context->symbol_capacity,
                 sizeof(*context->symbols));
  tvi_arena_deinit(&context->arena);
  tvi_free(context->allocator, context, sizeof(*context));
}

// ---- Interning ----

static bool grow_slots(tvi_dim_context_t* context) {
  size_t count = context->slot_count == 0 ? 64 : context->slot_count * 2;
  trivet_dim_t* slots;
  if (trivet_status_consume(tvi_alloc_array_zeroed(context->allocator, count, sizeof(*slots),
                                                   &slots)) != TRIVET_STATUS_OK) {
    return false;
  }
  for (size_t i = 0; i < context->slot_count; ++i) {
    trivet_dim_t dim = context->slots[i];
    if (dim == NULL) continue;
    size_t at = dim->hash & (count - 1);
    while (slots[at] != NULL) at = (at + 1) & (count - 1);
    slots[at] = dim;
  }
  tvi_free_array(context->allocator, context->slots, context->slot_count, sizeof(*slots));
  context->slots = slots;
  context->slot_count = count;
  return true;
}

trivet_dim_t tvi_dim_intern(tvi_dim_context_t* context, tvi_dim_kind_t kind, int64_t value,
                            uint32_t count, const trivet_dim_t* operands,
                            const int64_t* coefficients) {
  uint64_t hash = tvi_hash_combine((uint64_t)kind + 1, (uint64_t)value);
  uint32_t depth = 1, size = 1;
  for (uint32_t i = 0; i < count; ++i) {
    hash = tvi_hash_combine(hash, operands[i]->hash);
    if (coefficients != NULL) hash = tvi_hash_combine(hash, (uint64_t)coefficients[i]);
    if (operands[i]->depth >= depth) depth = operands[i]->depth + 1u;
    size += operands[i]->size;
  }
  if (depth > TVI_DIM_MAX_DEPTH || size > TVI_DIM_MAX_SIZE) return NULL;
  if ((context->used + 1) * 4 > context->slot_count * 3 && !grow_slots(context)) return NULL;
  size_t at = hash & (context->slot_count - 1);
  for (; context->slots[at] != NULL; at = (at + 1) & (context->slot_count - 1)) {
    trivet_dim_t dim = context->slots[at];
    if (dim->hash != hash || dim->kind != kind || dim->value != value || dim->count != count) {
      continue;
    }
    if (count != 0 && memcmp(dim->operands, operands, count * sizeof(*operands)) != 0) continue;
    if (coefficients != NULL &&
        memcmp(dim->coefficients, coefficients, count * sizeof(*coefficients)) != 0) {
      continue;
    }
    return dim;
  }
  struct trivet_dim_s* dim;
  size_t node_bytes = sizeof(*dim), operand_bytes = count * sizeof(*operands);
  size_t coefficient_bytes = coefficients != NULL ? count * sizeof(*coefficients) : 0;
  if (trivet_status_consume(
          tvi_arena_alloc(&context->arena, node_bytes + operand_bytes + coefficient_bytes, &dim)) !=
      TRIVET_STATUS_OK) {
    return NULL;
  }
  memset(dim, 0, sizeof(*dim));
  dim->kind = (uint8_t)kind;
  dim->depth = (uint8_t)depth;
  dim->size = (uint16_t)size;
  dim->count = count;
  dim->hash = hash;
  dim->value = value;
  if (count != 0) {
    trivet_dim_t* own = (trivet_dim_t*)(void*)(dim + 1);
    memcpy(own, operands, operand_bytes);
    dim->operands = own;
    if (coefficients != NULL) {
      int64_t* own_coefficients = (int64_t*)(void*)(own + count);
      memcpy(own_coefficients, coefficients, coefficient_bytes);
      dim->coefficients = own_coefficients;
    }
  }
  context->slots[at] = dim;
  ++context->used;
  return dim;
}

trivet_dim_t tvi_dim_constant(tvi_dim_context_t* context, int64_t value) {
  return tvi_dim_intern(context, TVI_DIM_CONSTANT, value, 0, NULL, NULL);
}

// ---- Symbols ----

static trivet_dim_t find_symbol(const tvi_dim_context_t* context, trivet_string_view_t name) {
  for (uint32_t i = 0; i < context->symbol_count; ++i) {
    if (tvi_sv_equal(context->symbols[i]->name, name)) return &context->symbols[i]->dim;
  }
  return NULL;
}

static tvi_dim_symbol_t* make_symbol(tvi_dim_context_t* context, trivet_string_view_t name) {
  if (context->symbol_count == context->symbol_capacity) {
    uint32_t capacity = context->symbol_capacity == 0 ? 16 : context->symbol_capacity * 2;
    if (trivet_status_consume(tvi_realloc_array(context->allocator, &context->symbols,
                                                context->symbol_capacity, capacity,
                                                sizeof(*context->symbols))) != TRIVET_STATUS_OK) {
      return NULL;
    }
    context->symbol_capacity = capacity;
  }
  tvi_dim_symbol_t* symbol;
  if (trivet_status_consume(tvi_arena_alloc_zeroed(&context->arena, sizeof(*symbol), &symbol)) !=
      TRIVET_STATUS_OK) {
    return NULL;
  }
  if (trivet_status_consume(tvi_arena_strdup(&context->arena, name, &symbol->name)) !=
      TRIVET_STATUS_OK) {
    return NULL;
  }
  symbol->dim.kind = TVI_DIM_SYMBOL;
  symbol->dim.depth = 1;
  symbol->dim.size = 1;
  symbol->index = context->symbol_count;
  symbol->dim.hash = tvi_hash_combine(0x5359, symbol->index);
  symbol->max = INT32_MAX;
  symbol->divisor = 1;
  context->symbols[context->symbol_count++] = symbol;
  return symbol;
}

trivet_dim_t tvi_dim_symbol(tvi_dim_context_t* context, trivet_string_view_t name) {
  trivet_dim_t found = find_symbol(context, name);
  if (found != NULL) return found;
  tvi_dim_symbol_t* symbol = make_symbol(context, name);
  return symbol != NULL ? &symbol->dim : NULL;
}

trivet_dim_t tvi_dim_fresh(tvi_dim_context_t* context, const char* prefix,
                           tvi_symbol_origin_t origin, trivet_dim_t upper) {
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, context->allocator);
  tvi_dim_symbol_t* symbol = NULL;
  do {
    tvi_string_builder_clear(&builder);
    tvi_string_builder_appendf(&builder, "%s_%llu", prefix != NULL ? prefix : "d",
                               (unsigned long long)context->fresh++);
    if (builder.status != NULL) break;
  } while (find_symbol(context, tvi_string_builder_view(&builder)) != NULL);
  if (builder.status == NULL) symbol = make_symbol(context, tvi_string_builder_view(&builder));
  tvi_string_builder_deinit(&builder);
  if (symbol == NULL) return NULL;
  symbol->origin = origin;
  symbol->upper = upper;
  if (upper != NULL) {
    int64_t low, high;
    tvi_dim_range(context, upper, &low, &high);
    symbol->max = high < 0 ? 0 : high;
  } else {
    symbol->max = INT64_MAX;
  }
  return &symbol->dim;
}

trivet_status_t tvi_dim_symbol_restrict(tvi_dim_context_t* context, trivet_dim_t dim, int64_t min,
                                        int64_t max, int64_t divisor) {
  if (dim == NULL || dim->kind != TVI_DIM_SYMBOL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "only a symbol has a range of its own");
  }
  tvi_dim_symbol_t* symbol = context->symbols[tvi_dim_as_symbol(dim)->index];
  if (divisor < 1) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "dimension '" TVI_SV_FORMAT "': divisor %lld is below 1",
                         TVI_SV_ARGS(symbol->name), (long long)divisor);
  }
  int64_t low = min > symbol->min ? min : symbol->min;
  int64_t high = max < symbol->max ? max : symbol->max;
  if (low > high) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "dimension '" TVI_SV_FORMAT
                         "': range %lld .. %lld has nothing in common "
                         "with %lld .. %lld",
                         TVI_SV_ARGS(symbol->name), (long long)min, (long long)max,
                         (long long)symbol->min, (long long)symbol->max);
  }
  // Both divisors hold, so their least common multiple does.
  int64_t a = symbol->divisor, b = divisor;
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  int64_t common;
  if (!tvi_checked_mul_i64(symbol->divisor / a, divisor, &common)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "dimension '" TVI_SV_FORMAT "': divisor overflows",
                         TVI_SV_ARGS(symbol->name));
  }
  symbol->min = low;
  symbol->max = high;
  symbol->divisor = common;
  return TRIVET_OK;
}

// ---- Order ----

int tvi_dim_compare(trivet_dim_t a, trivet_dim_t b) {
  if (a == b) return 0;
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  if (a->kind == TVI_DIM_SYMBOL) {
    return tvi_dim_as_symbol(a)->index < tvi_dim_as_symbol(b)->index ? -1 : 1;
  }
  if (a->count != b->count) return a->count < b->count ? -1 : 1;
  for (uint32_t i = 0; i < a->count; ++i) {
    int order = tvi_dim_compare(a->operands[i], b->operands[i]);
    if (order != 0) return order;
    if (a->coefficients != NULL && a->coefficients[i] != b->coefficients[i]) {
      return a->coefficients[i] < b->coefficients[i] ? -1 : 1;
    }
  }
  return a->value < b->value ? -1 : 1;
}

static uint32_t factors_of(const trivet_dim_t* monomial, const trivet_dim_t** out_factors) {
  if ((*monomial)->kind == TVI_DIM_PRODUCT) {
    *out_factors = (*monomial)->operands;
    return (*monomial)->count;
  }
  *out_factors = monomial;
  return 1;
}

// Graded lexicographic order, larger first: -1 when |a| stands before |b|. It is compatible with
// multiplication, which division by sums relies on.
static int compare_monomials(trivet_dim_t a, trivet_dim_t b) {
  if (a == b) return 0;
  const trivet_dim_t *fa, *fb;
  uint32_t na = factors_of(&a, &fa), nb = factors_of(&b, &fb);
  if (na != nb) return na > nb ? -1 : 1;
  for (uint32_t i = 0; i < na; ++i) {
    int order = tvi_dim_compare(fa[i], fb[i]);
    if (order != 0) return order;
  }
  return 0;
}

// ---- Polynomials ----

void tvi_poly_from(trivet_dim_t dim, tvi_poly_t* poly) {
  poly->constant = 0;
  poly->count = 0;
  if (dim->kind == TVI_DIM_CONSTANT) {
    poly->constant = dim->value;
  } else if (dim->kind == TVI_DIM_SUM) {
    poly->constant = dim->value;
    poly->count = dim->count;
    memcpy(poly->monomials, dim->operands, dim->count * sizeof(*dim->operands));
    memcpy(poly->coefficients, dim->coefficients, dim->count * sizeof(*dim->coefficients));
  } else {
    poly->count = 1;
    poly->monomials[0] = dim;
    poly->coefficients[0] = 1;
  }
}

bool tvi_poly_add_term(tvi_poly_t* poly, int64_t coefficient, trivet_dim_t monomial) {
  if (coefficient == 0) return true;
  uint32_t at = 0;
  for (; at < poly->count; ++at) {
    int order = compare_monomials(poly->monomials[at], monomial);
    if (order > 0) break;
    if (order < 0) continue;
    if (!tvi_checked_add_i64(poly->coefficients[at], coefficient, &poly->coefficients[at])) {
      return false;
    }
    if (poly->coefficients[at] == 0) {
      --poly->count;
      for (uint32_t i = at; i < poly->count; ++i) {
        poly->monomials[i] = poly->monomials[i + 1];
        poly->coefficients[i] = poly->coefficients[i + 1];
      }
    }
    return true;
  }
  if (poly->count == TVI_DIM_MAX_TERMS) return false;
  for (uint32_t i = poly->count; i > at; --i) {
    poly->monomials[i] = poly->monomials[i - 1];
    poly->coefficients[i] = poly->coefficients[i - 1];
  }
  poly->monomials[at] = monomial;
  poly->coefficients[at] = coefficient;
  ++poly->count;
  return true;
}

bool tvi_poly_add(tvi_poly_t* poly, const tvi_poly_t* other, int64_t factor) {
  int64_t value;
  if (!tvi_checked_mul_i64(other->constant, factor, &value) ||
      !tvi_checked_add_i64(poly->constant, value, &poly->constant)) {
    return false;
  }
  for (uint32_t i = 0; i < other->count; ++i) {
    if (!tvi_checked_mul_i64(other->coefficients[i], factor, &value) ||
        !tvi_poly_add_term(poly, value, other->monomials[i])) {
      return false;
    }
  }
  return true;
}

trivet_dim_t tvi_poly_to_dim(tvi_dim_context_t* context, const tvi_poly_t* poly) {
  if (poly->count == 0) return tvi_dim_constant(context, poly->constant);
  if (poly->count == 1 && poly->constant == 0 && poly->coefficients[0] == 1) {
    return poly->monomials[0];
  }
  return tvi_dim_intern(context, TVI_DIM_SUM, poly->constant, poly->count, poly->monomials,
                        poly->coefficients);
}

trivet_dim_t tvi_monomial_multiply(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b) {
  const trivet_dim_t *fa, *fb;
  uint32_t na = factors_of(&a, &fa), nb = factors_of(&b, &fb);
  if (na + nb > TVI_DIM_MAX_FACTORS) return NULL;
  trivet_dim_t factors[TVI_DIM_MAX_FACTORS];
  uint32_t i = 0, j = 0, count = 0;
  while (i < na || j < nb) {
    bool first = j == nb || (i < na && tvi_dim_compare(fa[i], fb[j]) <= 0);
    factors[count++] = first ? fa[i++] : fb[j++];
  }
  return tvi_dim_intern(context, TVI_DIM_PRODUCT, 0, count, factors, NULL);
}

trivet_dim_t tvi_monomial_divide(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b,
                                 bool* out_one) {
  const trivet_dim_t *fa, *fb;
  uint32_t na = factors_of(&a, &fa), nb = factors_of(&b, &fb);
  trivet_dim_t rest[TVI_DIM_MAX_FACTORS];
  uint32_t count = 0, j = 0;
  for (uint32_t i = 0; i < na; ++i) {
    if (j < nb && fa[i] == fb[j]) {
      ++j;
    } else {
      rest[count++] = fa[i];
    }
  }
  *out_one = false;
  if (j < nb) return NULL;
  if (count == 0) {
    *out_one = true;
    return NULL;
  }
  if (count == 1) return rest[0];
  return tvi_dim_intern(context, TVI_DIM_PRODUCT, 0, count, rest, NULL);
}

// ---- Operations ----

static trivet_dim_t add(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b,
                        int64_t factor) {
  tvi_poly_t sum, other;
  tvi_poly_from(a, &sum);
  tvi_poly_from(b, &other);
  return tvi_poly_add(&sum, &other, factor) ? tvi_poly_to_dim(context, &sum) : NULL;
}

static trivet_dim_t multiply(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b) {
  tvi_poly_t x, y, product;
  tvi_poly_from(a, &x);
  tvi_poly_from(b, &y);
  product.count = 0;
  product.constant = 0;
  if (!tvi_checked_mul_i64(x.constant, y.constant, &product.constant)) return NULL;
  int64_t value;
  for (uint32_t i = 0; i < x.count; ++i) {
    if (!tvi_checked_mul_i64(x.coefficients[i], y.constant, &value) ||
        !tvi_poly_add_term(&product, value, x.monomials[i])) {
      return NULL;
    }
    for (uint32_t j = 0; j < y.count; ++j) {
      if (!tvi_checked_mul_i64(x.coefficients[i], y.coefficients[j], &value)) return NULL;
      trivet_dim_t monomial = tvi_monomial_multiply(context, x.monomials[i], y.monomials[j]);
      if (monomial == NULL || !tvi_poly_add_term(&product, value, monomial)) return NULL;
    }
  }
  for (uint32_t j = 0; j < y.count; ++j) {
    if (!tvi_checked_mul_i64(y.coefficients[j], x.constant, &value) ||
        !tvi_poly_add_term(&product, value, y.monomials[j])) {
      return NULL;
    }
  }
  return tvi_poly_to_dim(context, &product);
}

#define MAX_CHOICES 32

// Keeps |choice| in the sorted list unless another entry is certainly better (smaller for MIN).
// False: too many.
static bool add_choice(tvi_dim_context_t* context, bool is_min, trivet_dim_t* list, uint32_t* count,
                       trivet_dim_t choice) {
  for (uint32_t i = 0; i < *count;) {
    if (list[i] == choice) return true;
    trivet_dim_t difference = add(context, list[i], choice, -1);
    if (difference != NULL) {
      int64_t low, high;
      tvi_dim_range(context, difference, &low, &high);
      // difference = list[i] - choice
      if (is_min ? high <= 0 : low >= 0) return true;
      if (is_min ? low >= 0 : high <= 0) {
        --*count;
        memmove(list + i, list + i + 1, (*count - i) * sizeof(*list));
        continue;
      }
    }
    ++i;
  }
  if (*count == MAX_CHOICES) return false;
  uint32_t at = 0;
  while (at < *count && tvi_dim_compare(list[at], choice) < 0) ++at;
  memmove(list + at + 1, list + at, (*count - at) * sizeof(*list));
  list[at] = choice;
  ++*count;
  return true;
}

static trivet_dim_t choose(tvi_dim_context_t* context, tvi_dim_kind_t kind, trivet_dim_t a,
                           trivet_dim_t b) {
  trivet_dim_t list[MAX_CHOICES];
  uint32_t count = 0;
  trivet_dim_t sides[2] = {a, b};
  for (int side = 0; side < 2; ++side) {
    trivet_dim_t dim = sides[side];
    uint32_t parts = dim->kind == kind ? dim->count : 1;
    for (uint32_t i = 0; i < parts; ++i) {
      trivet_dim_t part = dim->kind == kind ? dim->operands[i] : dim;
      if (!add_choice(context, kind == TVI_DIM_MIN, list, &count, part)) return NULL;
    }
  }
  return count == 1 ? list[0] : tvi_dim_intern(context, kind, 0, count, list, NULL);
}

trivet_dim_t tvi_dim_binary(tvi_dim_context_t* context, uint32_t op, trivet_dim_t a,
                            trivet_dim_t b) {
  if (a == NULL || b == NULL) return NULL;
  switch (op) {
    case TRIVET_DIM_ADD:
      return add(context, a, b, 1);
    case TRIVET_DIM_SUB:
      return add(context, a, b, -1);
    case TRIVET_DIM_MUL:
      return multiply(context, a, b);
    case TRIVET_DIM_FLOORDIV:
      return tvi_dim_floordiv(context, a, b);
    case TRIVET_DIM_CEILDIV:
      return tvi_dim_ceildiv(context, a, b);
    case TRIVET_DIM_MOD:
      return tvi_dim_mod(context, a, b);
    case TRIVET_DIM_MIN:
      return choose(context, TVI_DIM_MIN, a, b);
    case TRIVET_DIM_MAX:
      return choose(context, TVI_DIM_MAX, a, b);
    default:
      return NULL;
  }
}

// ---- Looking inside ----

tvi_dim_kind_t tvi_dim_kind(trivet_dim_t dim) { return (tvi_dim_kind_t)dim->kind; }

bool tvi_dim_is_constant(trivet_dim_t dim, int64_t* out_value) {
  if (dim == NULL || dim->kind != TVI_DIM_CONSTANT) return false;
  if (out_value != NULL) *out_value = dim->value;
  return true;
}

bool tvi_dim_equals_constant(trivet_dim_t dim, int64_t value) {
  return dim != NULL && dim->kind == TVI_DIM_CONSTANT && dim->value == value;
}

trivet_string_view_t tvi_dim_symbol_name(trivet_dim_t symbol) {
  return tvi_dim_as_symbol(symbol)->name;
}
tvi_symbol_origin_t tvi_dim_symbol_origin(trivet_dim_t symbol) {
  return (tvi_symbol_origin_t)tvi_dim_as_symbol(symbol)->origin;
}
uint32_t tvi_dim_symbol_index(trivet_dim_t symbol) { return tvi_dim_as_symbol(symbol)->index; }
trivet_dim_t tvi_dim_symbol_upper(trivet_dim_t symbol) { return tvi_dim_as_symbol(symbol)->upper; }
uint32_t tvi_dim_symbol_count(const tvi_dim_context_t* context) { return context->symbol_count; }
trivet_dim_t tvi_dim_symbol_at(const tvi_dim_context_t* context, uint32_t index) {
  return index < context->symbol_count ? &context->symbols[index]->dim : NULL;
}

uint32_t tvi_dim_operand_count(trivet_dim_t dim) { return dim->count; }
trivet_dim_t tvi_dim_operand(trivet_dim_t dim, uint32_t index) {
  return index < dim->count ? dim->operands[index] : NULL;
}
int64_t tvi_dim_coefficient(trivet_dim_t dim, uint32_t index) {
  return dim->coefficients != NULL && index < dim->count ? dim->coefficients[index] : 1;
}
int64_t tvi_dim_sum_constant(trivet_dim_t dim) { return dim->value; }

bool tvi_dim_uses_symbol(trivet_dim_t dim, trivet_dim_t symbol) {
  if (dim == symbol) return true;
  for (uint32_t i = 0; i < dim->count; ++i) {
    if (tvi_dim_uses_symbol(dim->operands[i], symbol)) return true;
  }
  return false;
}

static uint32_t operation_of(uint8_t kind) {
  switch (kind) {
    case TVI_DIM_FLOORDIV:
      return TRIVET_DIM_FLOORDIV;
    case TVI_DIM_CEILDIV:
      return TRIVET_DIM_CEILDIV;
    case TVI_DIM_MOD:
      return TRIVET_DIM_MOD;
    case TVI_DIM_MIN:
      return TRIVET_DIM_MIN;
    case TVI_DIM_MAX:
      return TRIVET_DIM_MAX;
    default:
      return TRIVET_DIM_MUL;
  }
}

trivet_dim_t tvi_dim_import(tvi_dim_context_t* context, trivet_dim_t dim,
                            const trivet_dim_t* symbols, uint32_t symbol_count) {
  if (dim == NULL) return NULL;
  if (dim->kind == TVI_DIM_CONSTANT) return tvi_dim_constant(context, dim->value);
  if (dim->kind == TVI_DIM_SYMBOL) {
    const tvi_dim_symbol_t* symbol = tvi_dim_as_symbol(dim);
    if (symbol->index < symbol_count && symbols[symbol->index] != NULL) {
      return symbols[symbol->index];
    }
    trivet_dim_t own = find_symbol(context, symbol->name);
    if (own != NULL) return own;
    tvi_dim_symbol_t* made = make_symbol(context, symbol->name);
    if (made == NULL) return NULL;
    made->origin = symbol->origin;
    made->min = symbol->min;
    made->max = symbol->max;
    made->divisor = symbol->divisor;
    made->upper = tvi_dim_import(context, symbol->upper, symbols, symbol_count);
    return &made->dim;
  }
  trivet_dim_t result = NULL;
  if (dim->kind == TVI_DIM_SUM) result = tvi_dim_constant(context, dim->value);
  for (uint32_t i = 0; i < dim->count; ++i) {
    trivet_dim_t operand = tvi_dim_import(context, dim->operands[i], symbols, symbol_count);
    if (operand == NULL) return NULL;
    if (dim->kind == TVI_DIM_SUM) {
      operand = tvi_dim_binary(context, TRIVET_DIM_MUL, operand,
                               tvi_dim_constant(context, dim->coefficients[i]));
      result = tvi_dim_binary(context, TRIVET_DIM_ADD, result, operand);
    } else {
      result = i == 0 ? operand : tvi_dim_binary(context, operation_of(dim->kind), result, operand);
    }
    if (result == NULL) return NULL;
  }
  return result;
}

trivet_status_t tvi_dim_evaluate(trivet_dim_t dim, const int64_t* values, uint32_t count,
                                 int64_t* out_value) {
  if (dim == NULL) return TRIVET_STATUS(OUT_OF_RANGE, "a dimension overflowed");
  if (dim->kind == TVI_DIM_CONSTANT) {
    *out_value = dim->value;
    return TRIVET_OK;
  }
  if (dim->kind == TVI_DIM_SYMBOL) {
    const tvi_dim_symbol_t* symbol = tvi_dim_as_symbol(dim);
    if (symbol->index >= count) {
      return TRIVET_STATUS(OUT_OF_RANGE, "dimension '" TVI_SV_FORMAT "' has no value",
                           TVI_SV_ARGS(symbol->name));
    }
    *out_value = values[symbol->index];
    return TRIVET_OK;
  }
  bool ok = true;
  int64_t result = dim->kind == TVI_DIM_SUM ? dim->value : 1;
  for (uint32_t i = 0; i < dim->count; ++i) {
    int64_t operand;
    TRIVET_RETURN_IF_ERROR(tvi_dim_evaluate(dim->operands[i], values, count, &operand));
    switch (dim->kind) {
      case TVI_DIM_SUM:
        ok = ok && tvi_checked_mul_i64(operand, dim->coefficients[i], &operand) &&
             tvi_checked_add_i64(result, operand, &result);
        break;
      case TVI_DIM_PRODUCT:
        ok = ok && tvi_checked_mul_i64(result, operand, &result);
        break;
      case TVI_DIM_FLOORDIV:
        ok = ok && (i == 0 ? (result = operand, true)
                           : tvi_checked_floor_div_i64(result, operand, &result));
        break;
      case TVI_DIM_CEILDIV:
        // ceil(a / b) = -floor(-a / b)
        ok = ok && (i == 0 ? tvi_checked_sub_i64(0, operand, &result)
                           : tvi_checked_floor_div_i64(result, operand, &result) &&
                                 tvi_checked_sub_i64(0, result, &result));
        break;
      case TVI_DIM_MOD:
        ok = ok && (i == 0 ? (result = operand, true)
                           : tvi_checked_floor_mod_i64(result, operand, &result));
        break;
      case TVI_DIM_MIN:
        if (i == 0 || operand < result) result = operand;
        break;
      default:
        if (i == 0 || operand > result) result = operand;
        break;
    }
  }
  if (!ok) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a dimension overflows or divides by zero for these shapes");
  }
  *out_value = result;
  return TRIVET_OK;
}
