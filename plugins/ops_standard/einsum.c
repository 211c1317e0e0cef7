// SPDX-License-Identifier: Apache-2.0
//
// Einsum: any equation becomes one sum over a product of loads, whose indices are the letters of
// the equation. The dimensions behind an ellipsis are aligned at the end and broadcast.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

#define MAX_TERMS 32

// A label is a letter, or 'dots + d' for the d-th dimension of the ellipsis counted from its end.
enum { DOTS = 128 };
typedef struct term_s {
  uint32_t count;
  uint8_t labels[TRIVET_MAX_RANK + 1];
} term_t;
typedef struct equation_s {
  uint32_t term_count, dots;  // dots: rank of the broadcast ellipsis
  term_t terms[MAX_TERMS], out;
  trivet_dim_t extents[256];
} equation_t;

static uint32_t is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static uint32_t holds(const term_t* term, uint8_t label) {
  for (uint32_t i = 0; i < term->count; ++i) {
    if (term->labels[i] == label) return 1;
  }
  return 0;
}

// One side of a comma. |rank| is the operand's, or UINT32_MAX for the result, whose ellipsis is
// |dots| long.
static trivet_status_t parse_term(ops_view_t* v, const char* text, size_t size, uint32_t rank,
                                  uint32_t* dots, term_t* term) {
  uint32_t letters = 0, has_dots = 0;
  for (size_t i = 0; i < size; ++i) {
    letters += is_letter(text[i]);
    if (text[i] == '.') has_dots = 1;
  }
  if (rank != UINT32_MAX) {
    if (letters > rank || (!has_dots && letters != rank))
      return OPS_INVALID(v, "a term of the equation has %u letters for an operand of rank %u",
                         letters, rank);
    *dots = rank - letters;
  }
  term->count = 0;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] == ' ') continue;
    if (term->count + 1 + *dots > TRIVET_MAX_RANK + 1)
      return OPS_INVALID(v, "a term of the equation is too long");
    if (is_letter(text[i])) {
      term->labels[term->count++] = (uint8_t)text[i];
    } else if (i + 2 < size && text[i] == '.' && text[i + 1] == '.' && text[i + 2] == '.') {
      for (uint32_t d = *dots; d-- > 0;) term->labels[term->count++] = (uint8_t)(DOTS + d);
      i += 2;
    } else {
      return OPS_INVALID(v, "'%c' cannot stand in an equation", text[i]);
    }
  }
  return term->count > TRIVET_MAX_RANK ? OPS_INVALID(v, "a term of the equation is too long") : 0;
}

static trivet_status_t parse_equation(ops_view_t* v, equation_t* e) {
  trivet_string_view_t text = trivet_view_attr_string(v, "equation");
  memset(e, 0, sizeof *e);
  size_t end = text.size, arrow = text.size;
  for (size_t i = 0; i + 1 < text.size; ++i) {
    if (text.data[i] == '-' && text.data[i + 1] == '>') {
      arrow = end = i;
      break;
    }
  }
  for (size_t begin = 0; begin <= end;) {
    size_t stop = begin;
    while (stop < end && text.data[stop] != ',') ++stop;
    const trivet_type_t* x = ops_in(v, e->term_count);
    if (!x || e->term_count == MAX_TERMS)
      return OPS_INVALID(v, "the equation has more terms than there are operands, or more than %d",
                         MAX_TERMS);
    term_t* term = &e->terms[e->term_count++];
    uint32_t dots = 0;
    OPS_TRY(parse_term(v, text.data + begin, stop - begin, x->rank, &dots, term));
    if (dots > e->dots) e->dots = dots;
    for (uint32_t i = 0; i < term->count; ++i) {
      trivet_dim_t* extent = &e->extents[term->labels[i]];
      if (!*extent) {
        *extent = x->dims[i];
      } else {
        OPS_TRY(tvi_ops_broadcast_dim(v, *extent, x->dims[i], extent));
      }
    }
    begin = stop + 1;
  }
  if (e->term_count != trivet_view_input_count(v))
    return OPS_INVALID(v, "the equation has %u terms", e->term_count);
  if (arrow < text.size) {
    OPS_TRY(
        parse_term(v, text.data + arrow + 2, text.size - arrow - 2, UINT32_MAX, &e->dots, &e->out));
    for (uint32_t i = 0; i < e->out.count; ++i) {
      if (!e->extents[e->out.labels[i]])
        return OPS_INVALID(v, "the result of the equation names a letter that no operand has");
    }
    return 0;
  }
  // Without an arrow: the ellipsis, then every letter that occurs once, in alphabetical order.
  for (uint32_t d = e->dots; d-- > 0;) e->out.labels[e->out.count++] = (uint8_t)(DOTS + d);
  for (uint32_t c = 'A'; c <= 'z'; ++c) {
    uint32_t seen = 0;
    for (uint32_t n = 0; n < e->term_count; ++n) {
      for (uint32_t i = 0; i < e->terms[n].count; ++i) seen += e->terms[n].labels[i] == c;
    }
    if (seen != 1) continue;
    if (e->out.count == TRIVET_MAX_RANK)
      return OPS_INVALID(v, "the result of the equation has too many axes");
    e->out.labels[e->out.count++] = (uint8_t)c;
  }
  return 0;
}

static trivet_status_t infer_einsum(ops_op_t* op, ops_view_t* v) {
  (void)op;
  equation_t e;
  OPS_TRY(parse_equation(v, &e));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < e.out.count; ++i) dims[i] = e.extents[e.out.labels[i]];
  return trivet_view_set_output(v, 0, ops_in(v, 0)->dtype, e.out.count, dims);
}

// Index name of a label: "l105" for the letter i; letters of both cases stay apart.
static trivet_status_t lower_einsum(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  equation_t e;
  OPS_TRY(parse_equation(v, &e));
  PUT("y");
  for (uint32_t i = 0; i < e.out.count; ++i) PUT(i ? ", l%u" : "[l%u", e.out.labels[i]);
  PUT(e.out.count ? "] = " : " = ");
  uint32_t summed = 0;
  for (uint32_t label = 0; label < 256; ++label) {
    if (!e.extents[label] || holds(&e.out, (uint8_t)label)) continue;
    PUT(summed++ ? ", l%u: %s" : "sum(l%u: %s", label, DIM(e.extents[label]));
  }
  if (summed) PUT("){ ");
  for (uint32_t n = 0; n < e.term_count; ++n) {
    PUT("%sx:%u[", n ? " * " : "", n);
    for (uint32_t i = 0; i < e.terms[n].count; ++i) {
      uint8_t label = e.terms[n].labels[i];
      uint32_t stretched = ops_is(v, ops_in(v, n)->dims[i], 1) && !ops_is(v, e.extents[label], 1);
      PUT(stretched ? "%s0" : "%sl%u", i ? ", " : "", label);
    }
    PUT("]");
  }
  if (summed) PUT(" }");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Einsum, 0, "sum of products by an equation",
           "(x...: T[*]) -> (y: T[*]) where T: numeric\nattr equation: string", infer_einsum,
           lower_einsum, 0);
