// SPDX-License-Identifier: Apache-2.0
//
// Expressions and guards of a plan as text: "16*batch + 1", "floordiv(n, 2)". Works on the postfix
// code itself, so that printing needs no symbols but those of the plan and costs no more than the
// code is long.
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"

// Longer codes are not for people.
#define MAX_PRINTED_CODE 2048u

typedef enum precedence_e { SUM = 0, PRODUCT = 1, ATOM = 2 } precedence_t;

typedef struct entry_s {
  size_t begin;  // in the builder; it ends where the next one begins
  precedence_t precedence;
  bool is_number;
} entry_t;

static void append_operand(tvi_string_builder_t* to, trivet_string_view_t text,
                           precedence_t precedence, precedence_t wanted) {
  bool needs_parentheses = precedence < wanted;
  if (needs_parentheses) tvi_string_builder_append_char(to, '(');
  tvi_string_builder_append(to, text);
  if (needs_parentheses) tvi_string_builder_append_char(to, ')');
}

// Joins the two entries on top, whose texts are the end of |builder|.
static void join(tvi_string_builder_t* builder, tvi_string_builder_t* scratch, uint8_t op,
                 entry_t* left, const entry_t* right) {
  static const char* const kFunctions[] = {"floordiv", "ceildiv", "mod", "min", "max"};
  trivet_string_view_t whole = tvi_string_builder_view(builder);
  trivet_string_view_t a = tvi_sv_slice(whole, left->begin, right->begin - left->begin);
  trivet_string_view_t b = tvi_sv_slice(whole, right->begin, SIZE_MAX);
  tvi_string_builder_clear(scratch);
  left->is_number = left->is_number && op == TVI_DIM_CODE_MUL && right->is_number;
  if (op == TVI_DIM_CODE_ADD) {
    bool is_minus = b.size > 1 && b.data[0] == '-';
    tvi_string_builder_append(scratch, a);
    tvi_string_builder_append_cstr(scratch, is_minus ? " - " : " + ");
    tvi_string_builder_append(scratch, is_minus ? tvi_sv_slice(b, 1, SIZE_MAX) : b);
    left->precedence = SUM;
  } else if (op == TVI_DIM_CODE_MUL) {
    // Numbers stand first, as people write them.
    append_operand(scratch, right->is_number ? b : a,
                   right->is_number ? right->precedence : left->precedence, PRODUCT);
    tvi_string_builder_append_char(scratch, '*');
    append_operand(scratch, right->is_number ? a : b,
                   right->is_number ? left->precedence : right->precedence, PRODUCT);
    left->precedence = PRODUCT;
    left->is_number = false;
  } else {
    tvi_string_builder_append_cstr(scratch, kFunctions[op - TVI_DIM_CODE_FLOORDIV]);
    tvi_string_builder_append_char(scratch, '(');
    tvi_string_builder_append(scratch, a);
    tvi_string_builder_append_cstr(scratch, ", ");
    tvi_string_builder_append(scratch, b);
    tvi_string_builder_append_char(scratch, ')');
    left->precedence = ATOM;
  }
  builder->size = left->begin;
  tvi_string_builder_append(builder, tvi_string_builder_view(scratch));
}

void tvi_plan_print_expr(const tvi_plan_t* plan, tvi_plan_expr_t expr,
                         tvi_string_builder_t* builder) {
  const tvi_plan_expr_code_t* code = &plan->exprs[expr];
  entry_t stack[TVI_DIM_CODE_MAX_STACK];
  uint32_t depth = 0;
  size_t cursor = 0;
  uint8_t op = 0;
  int64_t operand = 0;
  if (code->size > MAX_PRINTED_CODE) {
    tvi_string_builder_appendf(builder, "expression(%u)", expr);
    return;
  }
  tvi_string_builder_t scratch;
  tvi_string_builder_init(&scratch, builder->allocator);
  while (builder->status == NULL &&
         tvi_dim_code_next(code->code, (size_t)code->size, &cursor, &op, &operand)) {
    if (op > TVI_DIM_CODE_SYMBOL) {
      join(builder, &scratch, op, &stack[depth - 2], &stack[depth - 1]);
      --depth;
      if (scratch.status != NULL && builder->status == NULL) {
        builder->status = tvi_string_builder_status(&scratch);
      }
      continue;
    }
    entry_t entry = {builder->size, ATOM, op == TVI_DIM_CODE_CONSTANT};
    stack[depth++] = entry;
    if (op == TVI_DIM_CODE_CONSTANT) {
      tvi_string_builder_append_i64(builder, operand);
    } else {
      tvi_string_builder_append(builder, plan->symbols[operand].name);
    }
  }
  tvi_string_builder_deinit(&scratch);
}

void tvi_plan_print_guard(const tvi_plan_t* plan, const tvi_plan_guard_t* guard,
                          tvi_string_builder_t* builder) {
  tvi_plan_print_expr(plan, guard->a, builder);
  tvi_string_builder_append_cstr(builder, guard->kind == TVI_PLAN_GUARD_GE   ? " >= "
                                          : guard->kind == TVI_PLAN_GUARD_EQ ? " == "
                                                                             : " divisible by ");
  tvi_plan_print_expr(plan, guard->b, builder);
}
