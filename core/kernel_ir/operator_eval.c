// SPDX-License-Identifier: Apache-2.0
//
// Expressions of operator texts to instructions, for one node: names are resolved, literals take
// their type from what surrounds them, functions are expanded. Reductions go to operator_reduce.c.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_lower.h"
#include "core/kernel_ir/scalar.h"

typedef tvi_kir_lower_t lower_t;
typedef tvi_kir_frame_t frame_t;
typedef tvi_kir_name_scope_t scope_t;
typedef tvi_kir_name_entry_t entry_t;
typedef tvi_kir_let_t let_t;
typedef tvi_kir_lifted_t lifted_t;
typedef tvi_kir_ref_t ref_t;
typedef const tvi_kir_expr_t* expr_t;

#define REF_NONE TVI_KIR_NONE

#define MAX_CALL_DEPTH 16
#define MAX_STEPS 200000  // expressions evaluated for one node

// ---- Literals ----

static bool is_untyped(expr_t expr) {
  switch (expr->kind) {
    case TVI_KIR_EXPR_INT:
    case TVI_KIR_EXPR_FLOAT:
      return true;
    case TVI_KIR_EXPR_OPCODE:
      if (expr->opcode >= TVI_KIR_EQ && expr->opcode <= TVI_KIR_GE) return false;
      for (uint32_t i = 0; i < expr->arg_count; ++i) {
        if (!is_untyped(expr->args[i])) return false;
      }
      return expr->opcode != TVI_KIR_ISNAN && expr->opcode != TVI_KIR_ISINF;
    case TVI_KIR_EXPR_SELECT:
      return is_untyped(expr->args[1]) && is_untyped(expr->args[2]);
    default:
      return false;
  }
}

static ref_t eval_number(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  bool is_int = expr->kind == TVI_KIR_EXPR_INT;
  uint32_t dtype = expected;
  if (dtype == TRIVET_DTYPE_INVALID) dtype = is_int ? TRIVET_DTYPE_I64 : TRIVET_DTYPE_F32;
  if (tvi_dtype_is_float(dtype)) {
    return tvi_kir_lower_check(l, f, expr, tvi_kir_build_float(&f->builder, dtype, expr->number));
  }
  if (!is_int) {
    tvi_kir_lower_fail(l, expr, "%s cannot hold a fraction", tvi_dtype_name(dtype));
    return REF_NONE;
  }
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  if (dtype == TRIVET_DTYPE_BOOL || (uint64_t)expr->integer > info->int_max) {
    // The smallest number of a signed type is written as the negation of one that does not fit.
    bool smallest = info->int_min < 0 && (uint64_t)expr->integer == info->int_max + 1;
    if (!smallest) {
      tvi_kir_lower_fail(l, expr, "%llu does not fit into %s", (unsigned long long)expr->integer,
                         tvi_dtype_name(dtype));
      return REF_NONE;
    }
    return tvi_kir_lower_check(l, f, expr, tvi_kir_build_int(&f->builder, dtype, info->int_min));
  }
  return tvi_kir_lower_check(l, f, expr, tvi_kir_build_int(&f->builder, dtype, expr->integer));
}

static ref_t build_attribute(lower_t* l, frame_t* f, expr_t expr,
                             const tvi_kir_attribute_t* attribute, uint64_t element) {
  const trivet_attribute_t* value = tvi_kir_node_attribute(l->node, attribute->name);
  if (value == NULL) {
    tvi_kir_lower_fail(l, expr, "attribute '%s' is absent", attribute->name.data);
    return REF_NONE;
  }
  if (element >= value->count) {
    tvi_kir_lower_fail(l, expr, "attribute '%s' has %llu elements", attribute->name.data,
                       (unsigned long long)value->count);
    return REF_NONE;
  }
  if (value->kind == TRIVET_ATTR_I64) {
    return tvi_kir_build_int(&f->builder, TRIVET_DTYPE_I64, ((const int64_t*)value->data)[element]);
  }
  if (value->kind == TRIVET_ATTR_F32) {
    return tvi_kir_build_float(&f->builder, TRIVET_DTYPE_F32,
                               ((const double*)value->data)[element]);
  }
  tvi_kir_lower_fail(l, expr, "attribute '%s' is not a number", attribute->name.data);
  return REF_NONE;
}

// ---- Operations ----

static const char* spelling(tvi_kir_opcode_t opcode) { return tvi_kir_opcode_name(opcode); }

static ref_t build_checked(lower_t* l, frame_t* f, expr_t expr, tvi_kir_opcode_t opcode,
                           uint32_t count, const ref_t* args) {
  uint32_t dtypes[3] = {0};
  for (uint32_t i = 0; i < count; ++i) {
    if (args[i] == REF_NONE) return REF_NONE;
    dtypes[i] = tvi_kir_frame_dtype(f, args[i]);
  }
  uint32_t dtype = tvi_kir_result_dtype(opcode, dtypes);
  const char* error = tvi_kir_type_error(opcode, dtype, dtypes);
  if (error != NULL) {
    if (count == 1) {
      tvi_kir_lower_fail(l, expr, "'%s' %s (%s)", spelling(opcode), error,
                         tvi_dtype_name(dtypes[0]));
    } else {
      tvi_kir_lower_fail(l, expr, "'%s' %s (%s and %s)", spelling(opcode), error,
                         tvi_dtype_name(dtypes[count == 3 ? 1 : 0]),
                         tvi_dtype_name(dtypes[count - 1]));
    }
    return REF_NONE;
  }
  return tvi_kir_lower_check(
      l, f, expr,
      tvi_kir_build_op(&f->builder, opcode, dtype, args[0], count > 1 ? args[1] : REF_NONE,
                       count > 2 ? args[2] : REF_NONE));
}

static ref_t eval_opcode(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  tvi_kir_opcode_t opcode = (tvi_kir_opcode_t)expr->opcode;
  bool compares = (opcode >= TVI_KIR_EQ && opcode <= TVI_KIR_GE) || opcode == TVI_KIR_ISNAN ||
                  opcode == TVI_KIR_ISINF;
  uint32_t wanted = compares ? TRIVET_DTYPE_INVALID : expected;
  ref_t args[3] = {REF_NONE, REF_NONE, REF_NONE};
  if (opcode == TVI_KIR_MUL && expr->arg_count == 1) {
    args[0] = args[1] = tvi_kir_lower_eval(l, f, expr->args[0], wanted);
    return build_checked(l, f, expr, opcode, 2, args);
  }
  // The first operand that says its type says it for the literals.
  uint32_t typed = 0;
  while (typed < expr->arg_count && is_untyped(expr->args[typed])) ++typed;
  if (typed == expr->arg_count) {
    typed = 0;
    // 1 + 0.5: the float decides.
    for (uint32_t i = 0; i < expr->arg_count; ++i) {
      if (expr->args[i]->kind == TVI_KIR_EXPR_FLOAT) typed = i;
    }
  }
  args[typed] = tvi_kir_lower_eval(l, f, expr->args[typed], wanted);
  if (args[typed] == REF_NONE) return REF_NONE;
  wanted = tvi_kir_frame_dtype(f, args[typed]);
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    if (i == typed) continue;
    args[i] = tvi_kir_lower_eval(l, f, expr->args[i], wanted);
    if (args[i] == REF_NONE) return REF_NONE;
  }
  return build_checked(l, f, expr, opcode, expr->arg_count, args);
}

// -1 when an instruction is not a constant bool.
static int constant_bool(const frame_t* f, ref_t ref) {
  const tvi_kir_instr_t* instr = &f->builder.instrs[ref];
  if (instr->opcode != TVI_KIR_CONST || instr->dtype != TRIVET_DTYPE_BOOL) return -1;
  return instr->imm.i64 != 0;
}

static ref_t eval_condition(lower_t* l, frame_t* f, expr_t expr) {
  ref_t condition = tvi_kir_lower_eval(l, f, expr, TRIVET_DTYPE_BOOL);
  if (condition != REF_NONE && tvi_kir_frame_dtype(f, condition) != TRIVET_DTYPE_BOOL) {
    tvi_kir_lower_fail(l, expr, "a condition must be bool, not %s",
                       tvi_dtype_name(tvi_kir_frame_dtype(f, condition)));
    return REF_NONE;
  }
  return condition;
}

static ref_t eval_select(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  ref_t args[3];
  args[0] = eval_condition(l, f, expr->args[0]);
  if (args[0] == REF_NONE) return REF_NONE;
  int known = constant_bool(f, args[0]);
  if (known >= 0) return tvi_kir_lower_eval(l, f, expr->args[known ? 1 : 2], expected);
  ++f->builder.conditional;
  uint32_t first = is_untyped(expr->args[1]) && !is_untyped(expr->args[2]) ? 2 : 1;
  args[first] = tvi_kir_lower_eval(l, f, expr->args[first], expected);
  args[3 - first] =
      args[first] == REF_NONE
          ? REF_NONE
          : tvi_kir_lower_eval(l, f, expr->args[3 - first], tvi_kir_frame_dtype(f, args[first]));
  --f->builder.conditional;
  return build_checked(l, f, expr, TVI_KIR_SELECT, 3, args);
}

static ref_t eval_logical(lower_t* l, frame_t* f, expr_t expr) {
  ref_t args[2];
  args[0] = eval_condition(l, f, expr->args[0]);
  if (args[0] == REF_NONE) return REF_NONE;
  int known = constant_bool(f, args[0]);
  if (known >= 0 && (known != 0) != (expr->opcode == TVI_KIR_AND)) return args[0];
  ++f->builder.conditional;
  args[1] = eval_condition(l, f, expr->args[1]);
  --f->builder.conditional;
  return build_checked(l, f, expr, (tvi_kir_opcode_t)expr->opcode, 2, args);
}

static ref_t eval_cast(lower_t* l, frame_t* f, expr_t expr) {
  uint32_t dtype;
  if (!tvi_kir_resolve_type(l, expr, expr->type, &dtype)) return REF_NONE;
  if (!tvi_kir_dtype_is_allowed(dtype)) {
    tvi_kir_lower_fail(l, expr, "%s cannot be computed with", tvi_dtype_name(dtype));
    return REF_NONE;
  }
  expr_t inner = expr->args[0];
  // A literal is made in the type it is cast to where that can hold it.
  bool literal = inner->kind == TVI_KIR_EXPR_FLOAT
                     ? tvi_dtype_is_float(dtype)
                     : inner->kind == TVI_KIR_EXPR_INT && tvi_dtype_is_float(dtype);
  ref_t arg = tvi_kir_lower_eval(
      l, f, inner, literal && expr->kind == TVI_KIR_EXPR_CAST ? dtype : TRIVET_DTYPE_INVALID);
  if (arg == REF_NONE) return REF_NONE;
  tvi_kir_opcode_t opcode = expr->kind == TVI_KIR_EXPR_CAST      ? TVI_KIR_CAST
                            : expr->kind == TVI_KIR_EXPR_SATCAST ? TVI_KIR_SATCAST
                                                                 : TVI_KIR_BITCAST;
  uint32_t from = tvi_kir_frame_dtype(f, arg);
  const char* error = tvi_kir_type_error(opcode, dtype, &from);
  if (error != NULL) {
    tvi_kir_lower_fail(l, expr, "'%s' %s (%s to %s)", spelling(opcode), error, tvi_dtype_name(from),
                       tvi_dtype_name(dtype));
    return REF_NONE;
  }
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_op(&f->builder, opcode, dtype, arg, REF_NONE, REF_NONE));
}

// ---- Functions ----

static const tvi_kir_function_t* find_function(const lower_t* l, trivet_string_view_t name) {
  const tvi_kir_body_t* bodies[2] = {l->body, &l->node->op->body};
  for (int b = 0; b < 2; ++b) {
    for (uint32_t i = 0; bodies[b] != NULL && i < bodies[b]->function_count; ++i) {
      if (tvi_sv_equal(bodies[b]->functions[i]->name, name)) return bodies[b]->functions[i];
    }
  }
  const tvi_kir_function_lookup_t* lookup = l->node->functions;
  return lookup != NULL ? lookup->find(lookup->self, name) : NULL;
}

static ref_t eval_call(lower_t* l, frame_t* f, expr_t expr) {
  const tvi_kir_function_t* function = find_function(l, expr->name);
  if (function == NULL) {
    tvi_kir_lower_fail(l, expr, "'%s' is not a function", expr->name.data);
    return REF_NONE;
  }
  if (expr->arg_count != function->parameter_count) {
    tvi_kir_lower_fail(l, expr, "'%s' takes %u arguments, not %u", expr->name.data,
                       function->parameter_count, expr->arg_count);
    return REF_NONE;
  }
  if (l->call_depth == MAX_CALL_DEPTH) {
    tvi_kir_lower_fail(l, expr, "functions call each other more than %d deep", MAX_CALL_DEPTH);
    return REF_NONE;
  }
  uint32_t types[TVI_KIR_MAX_PARAMETERS] = {0};
  ref_t args[TVI_KIR_MAX_PARAMETERS];
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    tvi_kir_type_ref_t type = function->parameter_types[i];
    uint32_t wanted = type.variable != TVI_KIR_NONE ? types[type.variable] : type.dtype;
    args[i] = tvi_kir_lower_eval(l, f, expr->args[i], wanted);
    if (args[i] == REF_NONE) return REF_NONE;
    uint32_t given = tvi_kir_frame_dtype(f, args[i]);
    if (wanted != TRIVET_DTYPE_INVALID && wanted != given) {
      tvi_kir_lower_fail(l, expr->args[i], "'%s' takes %s here, not %s; write a cast",
                         expr->name.data, tvi_dtype_name(wanted), tvi_dtype_name(given));
      return REF_NONE;
    }
    if (type.variable != TVI_KIR_NONE) types[type.variable] = given;
  }
  scope_t* scope = f->scope;
  uint32_t count = scope->entry_count, visible = scope->visible_from;
  scope->visible_from = count;
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    entry_t* entry =
        tvi_kir_add_entry(l, scope, expr, function->parameter_names[i], TVI_KIR_NAME_VALUE);
    if (entry == NULL) return REF_NONE;
    entry->first = args[i];
  }
  const tvi_kir_function_t* outer = l->function;
  uint32_t outer_types[TVI_KIR_MAX_PARAMETERS];
  memcpy(outer_types, l->function_types, sizeof(outer_types));
  l->function = function;
  memcpy(l->function_types, types, sizeof(types));
  ++l->call_depth;
  uint32_t wanted = function->result_type.variable != TVI_KIR_NONE
                        ? types[function->result_type.variable]
                        : function->result_type.dtype;
  ref_t result = tvi_kir_lower_eval(l, f, function->body, wanted);
  --l->call_depth;
  l->function = outer;
  memcpy(l->function_types, outer_types, sizeof(outer_types));
  scope->entry_count = count;
  scope->visible_from = visible;
  if (result != REF_NONE && tvi_kir_frame_dtype(f, result) != wanted) {
    tvi_kir_lower_fail(l, expr, "'%s' gives %s, but is declared to give %s", expr->name.data,
                       tvi_dtype_name(tvi_kir_frame_dtype(f, result)), tvi_dtype_name(wanted));
    return REF_NONE;
  }
  if (result == REF_NONE || function->device == NULL || !tvi_dtype_is_float(wanted)) return result;
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_device(&f->builder, result, args, function->device));
}

// ---- Loads ----

// Appends the positions that an index list stands for.
static bool eval_indices(lower_t* l, frame_t* f, expr_t expr, ref_t* indices, uint32_t* out_count) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    expr_t arg = expr->args[i];
    if (arg->kind == TVI_KIR_EXPR_PACK) {
      const entry_t* entry = tvi_kir_find_entry(f->scope, arg->name);
      if (entry == NULL || entry->kind != TVI_KIR_NAME_PACK) {
        return tvi_kir_lower_fail(l, arg, "'%s' is not a pack of indices", arg->name.data);
      }
      for (uint32_t k = 0; k < entry->count; ++k) {
        if (count == TVI_KIR_MAX_INDICES) return tvi_kir_lower_fail(l, arg, "too many indices");
        indices[count++] =
            tvi_kir_lower_check(l, f, arg, tvi_kir_build_index(&f->builder, entry->first + k));
        if (indices[count - 1] == REF_NONE) return false;
      }
      continue;
    }
    if (count == TVI_KIR_MAX_INDICES) return tvi_kir_lower_fail(l, arg, "too many indices");
    ref_t index = tvi_kir_lower_eval(l, f, arg, TRIVET_DTYPE_I64);
    if (index == REF_NONE) return false;
    if (tvi_kir_frame_dtype(f, index) != TRIVET_DTYPE_I64) {
      return tvi_kir_lower_fail(l, arg, "an index must be i64, not %s; write a cast",
                                tvi_dtype_name(tvi_kir_frame_dtype(f, index)));
    }
    indices[count++] = index;
  }
  *out_count = count;
  return true;
}

// Fits the indices of a load to an operand that is broadcast: leading ones that it does not have
// are dropped, extents of 1 are read at 0.
static bool align_broadcast(lower_t* l, frame_t* f, expr_t expr, const tvi_kir_operand_t* operand,
                            const trivet_type_t* type, ref_t* indices, uint32_t* count) {
  uint32_t before = 0, after = 0;
  const tvi_kir_extent_t* pack = NULL;
  for (uint32_t i = 0; i < operand->extent_count; ++i) {
    if (operand->extents[i].kind == TVI_KIR_EXTENT_BCAST) {
      pack = &operand->extents[i];
    } else if (pack == NULL) {
      ++before;
    } else {
      ++after;
    }
  }
  if (pack == NULL) return true;
  const tvi_kir_extent_binding_t* wide = &l->binding->extents[pack->name];
  uint32_t own = type->rank - before - after;
  if (*count == before + wide->count + after) {
    uint32_t extra = wide->count - own;
    memmove(indices + before, indices + before + extra, (own + after) * sizeof(*indices));
    *count -= extra;
  } else if (*count != type->rank) {
    return true;  // reported as a wrong number of indices
  }
  for (uint32_t i = 0; i < own; ++i) {
    if (tvi_dim_equals_constant(type->dims[before + i], 1)) {
      indices[before + i] =
          tvi_kir_lower_check(l, f, expr, tvi_kir_build_int(&f->builder, TRIVET_DTYPE_I64, 0));
      if (indices[before + i] == REF_NONE) return false;
    }
  }
  return true;
}

// The let called |name| that is visible here, made if need be; NULL: none (or an error).
const let_t* tvi_kir_find_let(lower_t* l, expr_t expr) {
  if (l->function != NULL || l->body == NULL) return NULL;
  for (uint32_t i = 0; i < l->statement; ++i) {
    const tvi_kir_statement_t* statement = &l->body->statements[i];
    if (!statement->is_let || !tvi_sv_equal(statement->name, expr->name)) continue;
    return tvi_kir_make_let(l, i) ? &l->lets[i] : NULL;
  }
  return NULL;
}

ref_t tvi_kir_load_let(lower_t* l, frame_t* f, expr_t expr, const let_t* let, uint32_t part) {
  ref_t indices[TVI_KIR_MAX_INDICES];
  uint32_t count = 0;
  if (expr->kind == TVI_KIR_EXPR_LOAD && !eval_indices(l, f, expr, indices, &count)) {
    return REF_NONE;
  }
  if (count != let->index_count) {
    tvi_kir_lower_fail(l, expr, "'%s' has %u indices, not %u", expr->name.data, let->index_count,
                       count);
    return REF_NONE;
  }
  if (let->kind == TVI_KIR_LET_CONSTANT) {
    return tvi_kir_lower_check(l, f, expr, tvi_kir_build_copy(&f->builder, &let->constant, NULL));
  }
  uint32_t value = let->values[part];
  if (let->kind == TVI_KIR_LET_STATE) {
    for (uint32_t i = 0; i < let->used_count; ++i) indices[i] = indices[let->used[i]];
  }
  uint8_t wrap[TRIVET_MAX_RANK];
  memset(wrap, expr->kind == TVI_KIR_EXPR_LOAD ? expr->wrap : 0, sizeof(wrap));
  ref_t pad = REF_NONE;
  if (expr->kind == TVI_KIR_EXPR_LOAD && expr->pad != NULL) {
    pad = tvi_kir_lower_eval(l, f, expr->pad, l->program->values[value].dtype);
    if (pad == REF_NONE) return REF_NONE;
    if (tvi_kir_frame_dtype(f, pad) != l->program->values[value].dtype) {
      tvi_kir_lower_fail(l, expr->pad, "the pad must have the type of what is loaded");
      return REF_NONE;
    }
  }
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_load(&f->builder, value, indices, wrap, pad));
}

static ref_t eval_load(lower_t* l, frame_t* f, expr_t expr) {
  const let_t* let = tvi_kir_find_let(l, expr);
  if (let != NULL) {
    if (let->kind == TVI_KIR_LET_STATE) {
      tvi_kir_lower_fail(l, expr, "'%s' has parts: write '.%s' after it", expr->name.data,
                         let->monoid->state_names[0]);
      return REF_NONE;
    }
    return tvi_kir_load_let(l, f, expr, let, 0);
  }
  if (l->status != NULL) return REF_NONE;
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (!tvi_kir_node_operand(l, expr, &is_input, &index, &operand)) {
    tvi_kir_lower_fail(l, expr, "'%s' is not an operand", expr->name.data);
    return REF_NONE;
  }
  const trivet_type_t* type = tvi_kir_operand_type(l, is_input, index);
  if (l->input_values == NULL) {
    tvi_kir_lower_fail(l, expr, "an extent cannot be read from an operand");
    return REF_NONE;
  }
  uint32_t value = TVI_KIR_NONE;
  if (type != NULL) value = is_input ? l->input_values[index] : l->output_values[index];
  if (value == TVI_KIR_NONE || (!is_input && !l->output_done[index])) {
    tvi_kir_lower_fail(l, expr,
                       is_input ? "operand '%s' is absent here" : "output '%s' is not defined yet",
                       expr->name.data);
    return REF_NONE;
  }
  ref_t indices[TVI_KIR_MAX_INDICES];
  uint32_t count = 0;
  if (expr->kind == TVI_KIR_EXPR_LOAD && !eval_indices(l, f, expr, indices, &count)) {
    return REF_NONE;
  }
  if (is_input && !align_broadcast(l, f, expr, operand, type, indices, &count)) return REF_NONE;
  if (count != type->rank) {
    tvi_kir_lower_fail(l, expr, "'%s' has rank %u, but %u indices are given", expr->name.data,
                       type->rank, count);
    return REF_NONE;
  }
  ref_t pad = REF_NONE;
  uint8_t wrap[TRIVET_MAX_RANK] = {0};
  if (expr->kind == TVI_KIR_EXPR_LOAD) {
    memset(wrap, expr->wrap, sizeof(wrap));
    if (expr->pad != NULL) {
      pad = tvi_kir_lower_eval(l, f, expr->pad, type->dtype);
      if (pad == REF_NONE) return REF_NONE;
      if (tvi_kir_frame_dtype(f, pad) != type->dtype) {
        tvi_kir_lower_fail(l, expr->pad, "the pad is %s, but '%s' holds %s",
                           tvi_dtype_name(tvi_kir_frame_dtype(f, pad)), expr->name.data,
                           tvi_dtype_name(type->dtype));
        return REF_NONE;
      }
    }
  }
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_load(&f->builder, value, indices, wrap, pad));
}

// ---- Everything else ----

bool tvi_kir_extent_of(lower_t* l, frame_t* f, expr_t expr, trivet_dim_t* out_dim) {
  ref_t ref = tvi_kir_lower_eval(l, f, expr, TRIVET_DTYPE_I64);
  if (ref == REF_NONE) return false;
  *out_dim = tvi_kir_instr_dim(l->node->dims, &f->builder.instrs[ref]);
  if (*out_dim == NULL)
    return tvi_kir_lower_fail(l, expr, "an extent must not depend on indices or data");
  return true;
}

static ref_t eval_name(lower_t* l, frame_t* f, expr_t expr) {
  const entry_t* entry = tvi_kir_find_entry(f->scope, expr->name);
  if (entry != NULL) {
    if (entry->kind == TVI_KIR_NAME_VALUE) return entry->first;
    if (entry->kind == TVI_KIR_NAME_INDEX) {
      return tvi_kir_lower_check(l, f, expr, tvi_kir_build_index(&f->builder, entry->first));
    }
    tvi_kir_lower_fail(l, expr,
                       entry->kind == TVI_KIR_NAME_PACK
                           ? "'%s' is a pack: write '%s...'"
                           : "'%s' has parts: write one after it, as in '%s.m'",
                       expr->name.data, expr->name.data);
    return REF_NONE;
  }
  const let_t* let = tvi_kir_find_let(l, expr);
  if (l->status != NULL) return REF_NONE;
  if (let != NULL) return eval_load(l, f, expr);
  const tvi_kir_extent_binding_t* extent = tvi_kir_find_extent(l, expr->name);
  if (extent != NULL) {
    if (extent->pack) {
      tvi_kir_lower_fail(l, expr, "'%s' is a pack of extents", expr->name.data);
      return REF_NONE;
    }
    return tvi_kir_lower_check(l, f, expr, tvi_kir_build_extent(&f->builder, extent->dims[0]));
  }
  const tvi_kir_attribute_t* attribute =
      l->function == NULL ? tvi_kir_operator_attribute(l->node->op, expr->name) : NULL;
  if (attribute != NULL) {
    if (attribute->flags & TRIVET_ATTR_LIST) {
      tvi_kir_lower_fail(l, expr, "'%s' is a list: '%s.0' is its first element", expr->name.data,
                         expr->name.data);
      return REF_NONE;
    }
    return tvi_kir_lower_check(l, f, expr, build_attribute(l, f, expr, attribute, 0));
  }
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (tvi_kir_node_operand(l, expr, &is_input, &index, &operand)) return eval_load(l, f, expr);
  tvi_kir_lower_fail(l, expr, "'%s' is not known here", expr->name.data);
  return REF_NONE;
}

static ref_t eval_dim_of(lower_t* l, frame_t* f, expr_t expr) {
  const tvi_kir_attribute_t* attribute =
      l->function == NULL ? tvi_kir_operator_attribute(l->node->op, expr->name) : NULL;
  if (attribute != NULL) {
    return tvi_kir_lower_check(l, f, expr,
                               build_attribute(l, f, expr, attribute, (uint64_t)expr->integer));
  }
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (!tvi_kir_node_operand(l, expr, &is_input, &index, &operand)) {
    tvi_kir_lower_fail(l, expr, "'%s' is not an operand", expr->name.data);
    return REF_NONE;
  }
  const trivet_type_t* type = tvi_kir_operand_type(l, is_input, index);
  if (type == NULL || expr->integer >= (int64_t)type->rank) {
    tvi_kir_lower_fail(l, expr,
                       type == NULL ? "operand '%s' is absent here" : "'%s' has no dimension %lld",
                       expr->name.data, (long long)expr->integer);
    return REF_NONE;
  }
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_extent(&f->builder, type->dims[expr->integer]));
}

static ref_t eval_has(lower_t* l, frame_t* f, expr_t expr) {
  bool is_input, has = false;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  // A variadic operand without a member: has it any?
  struct tvi_kir_expr_s probe = *expr;
  operand = tvi_kir_find_operand(l->node->op, expr->name);
  if (operand != NULL && operand->variadic && expr->member == TVI_KIR_NONE) probe.member = 0;
  if (tvi_kir_node_operand(l, &probe, &is_input, &index, &operand)) {
    has = tvi_kir_operand_type(l, is_input, index) != NULL;
    if (!is_input && has && l->node->output_wanted != NULL)
      has = l->node->output_wanted[index] != 0;
  }
  if (l->status != NULL) return REF_NONE;
  return tvi_kir_lower_check(l, f, expr, tvi_kir_build_int(&f->builder, TRIVET_DTYPE_BOOL, has));
}

ref_t tvi_kir_lower_eval(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  if (l->status != NULL) return REF_NONE;
  if (++l->steps > MAX_STEPS) {
    tvi_kir_lower_fail(l, expr, "more than %d expressions once functions are expanded", MAX_STEPS);
    return REF_NONE;
  }
  switch (expr->kind) {
    case TVI_KIR_EXPR_INT:
    case TVI_KIR_EXPR_FLOAT:
      return eval_number(l, f, expr, expected);
    case TVI_KIR_EXPR_BOOL:
      return tvi_kir_lower_check(l, f, expr,
                                 tvi_kir_build_int(&f->builder, TRIVET_DTYPE_BOOL, expr->integer));
    case TVI_KIR_EXPR_NAME:
      return eval_name(l, f, expr);
    case TVI_KIR_EXPR_DIM_OF:
      return eval_dim_of(l, f, expr);
    case TVI_KIR_EXPR_FIELD:
      return tvi_kir_eval_field(l, f, expr);
    case TVI_KIR_EXPR_GRAPH_DIM: {
      trivet_dim_t dim;
      trivet_status_t status = tvi_dim_parse(l->node->dims, expr->name, &dim);
      if (status != NULL) {
        tvi_kir_lower_ok(
            l, trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                      expr->line, expr->column));
        return REF_NONE;
      }
      return tvi_kir_lower_check(l, f, expr, tvi_kir_build_extent(&f->builder, dim));
    }
    case TVI_KIR_EXPR_OPCODE:
      return eval_opcode(l, f, expr, expected);
    case TVI_KIR_EXPR_LOGICAL:
      return eval_logical(l, f, expr);
    case TVI_KIR_EXPR_SELECT:
      return eval_select(l, f, expr, expected);
    case TVI_KIR_EXPR_CALL:
      return eval_call(l, f, expr);
    case TVI_KIR_EXPR_CAST:
    case TVI_KIR_EXPR_SATCAST:
    case TVI_KIR_EXPR_BITCAST:
      return eval_cast(l, f, expr);
    case TVI_KIR_EXPR_TYPE_LIMIT: {
      uint32_t dtype;
      if (!tvi_kir_resolve_type(l, expr, expr->type, &dtype)) return REF_NONE;
      tvi_kir_scalar_t limit = tvi_kir_scalar_limit(dtype, (int)expr->integer);
      return tvi_kir_lower_check(l, f, expr,
                                 tvi_dtype_is_float(dtype)
                                     ? tvi_kir_build_float(&f->builder, dtype, limit.f)
                                     : tvi_kir_build_int(&f->builder, dtype, limit.i));
    }
    case TVI_KIR_EXPR_HAS:
      return eval_has(l, f, expr);
    case TVI_KIR_EXPR_LOAD:
      return eval_load(l, f, expr);
    case TVI_KIR_EXPR_REDUCE:
    case TVI_KIR_EXPR_SCAN:
      return tvi_kir_eval_reduce(l, f, expr);
    case TVI_KIR_EXPR_PACK:
      tvi_kir_lower_fail(l, expr, "'%s...' may stand only among indices", expr->name.data);
      return REF_NONE;
    default:
      tvi_kir_lower_fail(l, expr, "a tuple may stand only in a reduction");
      return REF_NONE;
  }
}
