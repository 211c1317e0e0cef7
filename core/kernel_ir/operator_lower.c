// SPDX-License-Identifier: Apache-2.0
//
// From statements to stages, for one node: names are resolved, packs expanded, reductions lifted to
// stages of their own, everything emitted through the builder. Lets are made when first read, so
// that what is not needed (or needs an absent operand) costs nothing.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_bind.h"
#include "core/kernel_ir/program.h"
#include "core/kernel_ir/scalar.h"

#define REF_NONE TVI_KIR_NONE
#define MAX_ENTRIES 96
#define MAX_CALL_DEPTH 16
#define MAX_STEPS 200000  // expressions evaluated for one node

typedef tvi_kir_ref_t ref_t;
typedef const tvi_kir_expr_t* expr_t;

typedef enum { ENTRY_INDEX, ENTRY_PACK, ENTRY_VALUE, ENTRY_STATE } entry_kind_t;

typedef struct {
  trivet_string_view_t name;
  entry_kind_t kind;
  uint32_t first;  // slot of an index; first slot of a pack; first instruction of a state
  uint32_t count;  // of a pack
  const tvi_kir_monoid_decl_t* monoid;  // of a state
} entry_t;

// The indices and local names of one statement. Its own indices have the slots 0, 1, ...; those of
// reductions follow while they are open.
typedef struct {
  entry_t entries[MAX_ENTRIES];
  uint32_t entry_count;
  uint32_t visible_from;  // entries before it are hidden (within a function)
  uint32_t slot_count;
  trivet_dim_t extents[TVI_KIR_MAX_INDICES];
} scope_t;

// One body under construction.
typedef struct {
  tvi_kir_builder_t builder;
  scope_t* scope;
} frame_t;

typedef enum { LET_WAITING, LET_OPEN, LET_VALUE, LET_CONSTANT, LET_STATE } let_kind_t;

typedef struct {
  let_kind_t kind;
  uint32_t values[TVI_KIR_MAX_STATE];
  tvi_kir_instr_t constant;
  const tvi_kir_monoid_t* monoid;  // STATE
  uint32_t index_count;            // dimensions as declared
  uint32_t used_count;             // STATE: which of them its values have
  uint8_t used[TVI_KIR_MAX_INDICES];
} let_t;

typedef struct {
  tvi_kir_binding_t* binding;
  const tvi_kir_node_t* node;
  const tvi_kir_body_t* body;  // the statements; NULL when only extents are evaluated
  tvi_arena_t* arena;          // of the result
  tvi_arena_t* scratch;
  tvi_kir_program_t* program;
  let_t* lets;
  uint32_t* input_values;
  uint32_t* output_values;
  const uint8_t* output_done;
  uint32_t statement;  // being instantiated: lets before it are visible
  uint32_t temp_count;
  uint32_t call_depth;
  uint32_t steps;
  const tvi_kir_function_t* function;  // whose body is being expanded
  uint32_t function_types[TVI_KIR_MAX_PARAMETERS];
  trivet_status_t status;
} lower_t;

// A reduction as a stage.
typedef struct {
  uint32_t values[TVI_KIR_MAX_STATE];
  const tvi_kir_monoid_t* monoid;
  uint32_t slot_count;
  uint8_t slots[TVI_KIR_MAX_INDICES];  // of the outer scope, one per dimension of the values
} lifted_t;

static ref_t eval(lower_t* l, frame_t* f, expr_t expr, uint32_t expected);

static bool fail(lower_t* l, expr_t expr, const char* format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(lower_t* l, expr_t expr, const char* format, ...) {
  if (l->status != NULL) return false;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(TRIVET_STATUS_INVALID_ARGUMENT, TVI_FILE_NAME,
                                                __LINE__, format, arguments);
  va_end(arguments);
  l->status = trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                     expr->line, expr->column);
  return false;
}

static bool ok(lower_t* l, trivet_status_t status) {
  if (l->status != NULL) {
    trivet_status_free(status);
    return false;
  }
  l->status = status;
  return status == NULL;
}

// Takes a failure of the builder over, with the place.
static ref_t check(lower_t* l, frame_t* f, expr_t expr, ref_t ref) {
  if (ref != REF_NONE) return ref;
  if (f->builder.status != NULL) {
    trivet_status_t status = f->builder.status;
    f->builder.status = NULL;
    ok(l, trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                 expr->line, expr->column));
  }
  return REF_NONE;
}

static void frame_init(lower_t* l, frame_t* f, scope_t* scope, uint32_t conditional) {
  tvi_kir_builder_init(&f->builder, l->program, scope->extents, l->scratch);
  f->builder.conditional = conditional;
  f->scope = scope;
}

static uint32_t dtype_of(const frame_t* f, ref_t ref) { return f->builder.instrs[ref].dtype; }

// ---- Names ----

static const entry_t* find_entry(const scope_t* scope, trivet_string_view_t name) {
  for (uint32_t i = scope->entry_count; i-- > scope->visible_from;) {
    if (tvi_sv_equal(scope->entries[i].name, name)) return &scope->entries[i];
  }
  return NULL;
}

static entry_t* add_entry(lower_t* l, scope_t* scope, expr_t place, trivet_string_view_t name,
                          entry_kind_t kind) {
  if (find_entry(scope, name) != NULL) {
    fail(l, place, "'%.*s' hides another index", TVI_SV_ARGS(name));
    return NULL;
  }
  if (scope->entry_count == MAX_ENTRIES) {
    fail(l, place, "too many names");
    return NULL;
  }
  entry_t* entry = &scope->entries[scope->entry_count++];
  memset(entry, 0, sizeof(*entry));
  entry->name = name;
  entry->kind = kind;
  return entry;
}

static bool add_slots(lower_t* l, scope_t* scope, expr_t place, const trivet_dim_t* dims,
                      uint32_t count) {
  if (scope->slot_count + count > TVI_KIR_MAX_INDICES) {
    return fail(l, place, "more than %d indices", TVI_KIR_MAX_INDICES);
  }
  for (uint32_t i = 0; i < count; ++i) scope->extents[scope->slot_count++] = dims[i];
  return true;
}

static bool resolve_type(lower_t* l, expr_t place, tvi_kir_type_ref_t type, uint32_t* out_dtype) {
  *out_dtype = type.dtype;
  if (type.variable == TVI_KIR_NONE) return true;
  *out_dtype =
      l->function != NULL ? l->function_types[type.variable] : l->binding->types[type.variable];
  if (*out_dtype != TRIVET_DTYPE_INVALID) return true;
  return fail(l, place, "no operand says what type %s is",
              l->function != NULL ? l->function->variables[type.variable].data
                                  : l->node->op->type_variables[type.variable].name.data);
}

// The bound extent called |name|; NULL: none. Functions see parameters only.
static const tvi_kir_extent_binding_t* find_extent(const lower_t* l, trivet_string_view_t name) {
  const tvi_kir_operator_t* op = l->node->op;
  if (l->function != NULL) return NULL;
  for (uint32_t i = 0; i < op->extent_name_count; ++i) {
    if (tvi_sv_equal(op->extent_names[i], name)) {
      return l->binding->extents[i].bound ? &l->binding->extents[i] : NULL;
    }
  }
  return NULL;
}

// Position of an operand among the inputs or outputs of the node. False: no operand of that name,
// or an error.
static bool find_operand(lower_t* l, expr_t expr, bool* out_is_input, uint32_t* out_index,
                         const tvi_kir_operand_t** out_operand) {
  const tvi_kir_operator_t* op = l->node->op;
  if (l->function != NULL) return false;
  for (int side = 0; side < 2; ++side) {
    const tvi_kir_operand_t* operands = side == 0 ? op->inputs : op->outputs;
    uint32_t count = side == 0 ? op->input_count : op->output_count;
    for (uint32_t i = 0; i < count; ++i) {
      if (!tvi_sv_equal(operands[i].name, expr->name)) continue;
      if (operands[i].variadic != (expr->member != TVI_KIR_NONE)) {
        return fail(l, expr,
                    operands[i].variadic ? "'%s' is variadic: '%s:0' is its first member"
                                         : "'%s' is not variadic, '%s:0' is wrong",
                    operands[i].name.data, operands[i].name.data);
      }
      *out_is_input = side == 0;
      *out_index = i + (operands[i].variadic ? expr->member : 0);
      *out_operand = &operands[i];
      return true;
    }
  }
  return false;
}

static const trivet_type_t* operand_type(const lower_t* l, bool is_input, uint32_t index) {
  if (is_input) return index < l->node->input_count ? l->node->inputs[index] : NULL;
  if (index >= l->node->output_count || l->node->outputs == NULL) return NULL;
  return &l->node->outputs[index];
}

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
    return check(l, f, expr, tvi_kir_build_float(&f->builder, dtype, expr->number));
  }
  if (!is_int) {
    fail(l, expr, "%s cannot hold a fraction", tvi_dtype_name(dtype));
    return REF_NONE;
  }
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  if (dtype == TRIVET_DTYPE_BOOL || (uint64_t)expr->integer > info->int_max) {
    // The smallest number of a signed type is written as the negation of one that does not fit.
    bool smallest = info->int_min < 0 && (uint64_t)expr->integer == info->int_max + 1;
    if (!smallest) {
      fail(l, expr, "%llu does not fit into %s", (unsigned long long)expr->integer,
           tvi_dtype_name(dtype));
      return REF_NONE;
    }
    return check(l, f, expr, tvi_kir_build_int(&f->builder, dtype, info->int_min));
  }
  return check(l, f, expr, tvi_kir_build_int(&f->builder, dtype, expr->integer));
}

static ref_t build_attribute(lower_t* l, frame_t* f, expr_t expr,
                             const tvi_kir_attribute_t* attribute, uint64_t element) {
  const trivet_attribute_t* value = tvi_kir_node_attribute(l->node, attribute->name);
  if (value == NULL) {
    fail(l, expr, "attribute '%s' is absent", attribute->name.data);
    return REF_NONE;
  }
  if (element >= value->count) {
    fail(l, expr, "attribute '%s' has %llu elements", attribute->name.data,
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
  fail(l, expr, "attribute '%s' is not a number", attribute->name.data);
  return REF_NONE;
}

// ---- Operations ----

static const char* spelling(tvi_kir_opcode_t opcode) { return tvi_kir_opcode_name(opcode); }

static ref_t build_checked(lower_t* l, frame_t* f, expr_t expr, tvi_kir_opcode_t opcode,
                           uint32_t count, const ref_t* args) {
  uint32_t dtypes[3] = {0};
  for (uint32_t i = 0; i < count; ++i) {
    if (args[i] == REF_NONE) return REF_NONE;
    dtypes[i] = dtype_of(f, args[i]);
  }
  uint32_t dtype = tvi_kir_result_dtype(opcode, dtypes);
  const char* error = tvi_kir_type_error(opcode, dtype, dtypes);
  if (error != NULL) {
    if (count == 1) {
      fail(l, expr, "'%s' %s (%s)", spelling(opcode), error, tvi_dtype_name(dtypes[0]));
    } else {
      fail(l, expr, "'%s' %s (%s and %s)", spelling(opcode), error,
           tvi_dtype_name(dtypes[count == 3 ? 1 : 0]), tvi_dtype_name(dtypes[count - 1]));
    }
    return REF_NONE;
  }
  return check(l, f, expr,
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
    args[0] = args[1] = eval(l, f, expr->args[0], wanted);
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
  args[typed] = eval(l, f, expr->args[typed], wanted);
  if (args[typed] == REF_NONE) return REF_NONE;
  wanted = dtype_of(f, args[typed]);
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    if (i == typed) continue;
    args[i] = eval(l, f, expr->args[i], wanted);
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
  ref_t condition = eval(l, f, expr, TRIVET_DTYPE_BOOL);
  if (condition != REF_NONE && dtype_of(f, condition) != TRIVET_DTYPE_BOOL) {
    fail(l, expr, "a condition must be bool, not %s", tvi_dtype_name(dtype_of(f, condition)));
    return REF_NONE;
  }
  return condition;
}

static ref_t eval_select(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  ref_t args[3];
  args[0] = eval_condition(l, f, expr->args[0]);
  if (args[0] == REF_NONE) return REF_NONE;
  int known = constant_bool(f, args[0]);
  if (known >= 0) return eval(l, f, expr->args[known ? 1 : 2], expected);
  ++f->builder.conditional;
  uint32_t first = is_untyped(expr->args[1]) && !is_untyped(expr->args[2]) ? 2 : 1;
  args[first] = eval(l, f, expr->args[first], expected);
  args[3 - first] = args[first] == REF_NONE
                        ? REF_NONE
                        : eval(l, f, expr->args[3 - first], dtype_of(f, args[first]));
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
  if (!resolve_type(l, expr, expr->type, &dtype)) return REF_NONE;
  if (!tvi_kir_dtype_is_allowed(dtype)) {
    fail(l, expr, "%s cannot be computed with", tvi_dtype_name(dtype));
    return REF_NONE;
  }
  expr_t inner = expr->args[0];
  // A literal is made in the type it is cast to where that can hold it.
  bool literal = inner->kind == TVI_KIR_EXPR_FLOAT
                     ? tvi_dtype_is_float(dtype)
                     : inner->kind == TVI_KIR_EXPR_INT && tvi_dtype_is_float(dtype);
  ref_t arg =
      eval(l, f, inner, literal && expr->kind == TVI_KIR_EXPR_CAST ? dtype : TRIVET_DTYPE_INVALID);
  if (arg == REF_NONE) return REF_NONE;
  tvi_kir_opcode_t opcode = expr->kind == TVI_KIR_EXPR_CAST      ? TVI_KIR_CAST
                            : expr->kind == TVI_KIR_EXPR_SATCAST ? TVI_KIR_SATCAST
                                                                 : TVI_KIR_BITCAST;
  uint32_t from = dtype_of(f, arg);
  const char* error = tvi_kir_type_error(opcode, dtype, &from);
  if (error != NULL) {
    fail(l, expr, "'%s' %s (%s to %s)", spelling(opcode), error, tvi_dtype_name(from),
         tvi_dtype_name(dtype));
    return REF_NONE;
  }
  return check(l, f, expr, tvi_kir_build_op(&f->builder, opcode, dtype, arg, REF_NONE, REF_NONE));
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
    fail(l, expr, "'%s' is not a function", expr->name.data);
    return REF_NONE;
  }
  if (expr->arg_count != function->parameter_count) {
    fail(l, expr, "'%s' takes %u arguments, not %u", expr->name.data, function->parameter_count,
         expr->arg_count);
    return REF_NONE;
  }
  if (l->call_depth == MAX_CALL_DEPTH) {
    fail(l, expr, "functions call each other more than %d deep", MAX_CALL_DEPTH);
    return REF_NONE;
  }
  uint32_t types[TVI_KIR_MAX_PARAMETERS] = {0};
  ref_t args[TVI_KIR_MAX_PARAMETERS];
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    tvi_kir_type_ref_t type = function->parameter_types[i];
    uint32_t wanted = type.variable != TVI_KIR_NONE ? types[type.variable] : type.dtype;
    args[i] = eval(l, f, expr->args[i], wanted);
    if (args[i] == REF_NONE) return REF_NONE;
    uint32_t given = dtype_of(f, args[i]);
    if (wanted != TRIVET_DTYPE_INVALID && wanted != given) {
      fail(l, expr->args[i], "'%s' takes %s here, not %s; write a cast", expr->name.data,
           tvi_dtype_name(wanted), tvi_dtype_name(given));
      return REF_NONE;
    }
    if (type.variable != TVI_KIR_NONE) types[type.variable] = given;
  }
  scope_t* scope = f->scope;
  uint32_t count = scope->entry_count, visible = scope->visible_from;
  scope->visible_from = count;
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    entry_t* entry = add_entry(l, scope, expr, function->parameter_names[i], ENTRY_VALUE);
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
  ref_t result = eval(l, f, function->body, wanted);
  --l->call_depth;
  l->function = outer;
  memcpy(l->function_types, outer_types, sizeof(outer_types));
  scope->entry_count = count;
  scope->visible_from = visible;
  if (result != REF_NONE && dtype_of(f, result) != wanted) {
    fail(l, expr, "'%s' gives %s, but is declared to give %s", expr->name.data,
         tvi_dtype_name(dtype_of(f, result)), tvi_dtype_name(wanted));
    return REF_NONE;
  }
  return result;
}

// ---- Loads ----

// Appends the positions that an index list stands for.
static bool eval_indices(lower_t* l, frame_t* f, expr_t expr, ref_t* indices, uint32_t* out_count) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    expr_t arg = expr->args[i];
    if (arg->kind == TVI_KIR_EXPR_PACK) {
      const entry_t* entry = find_entry(f->scope, arg->name);
      if (entry == NULL || entry->kind != ENTRY_PACK) {
        return fail(l, arg, "'%s' is not a pack of indices", arg->name.data);
      }
      for (uint32_t k = 0; k < entry->count; ++k) {
        if (count == TVI_KIR_MAX_INDICES) return fail(l, arg, "too many indices");
        indices[count++] = check(l, f, arg, tvi_kir_build_index(&f->builder, entry->first + k));
        if (indices[count - 1] == REF_NONE) return false;
      }
      continue;
    }
    if (count == TVI_KIR_MAX_INDICES) return fail(l, arg, "too many indices");
    ref_t index = eval(l, f, arg, TRIVET_DTYPE_I64);
    if (index == REF_NONE) return false;
    if (dtype_of(f, index) != TRIVET_DTYPE_I64) {
      return fail(l, arg, "an index must be i64, not %s; write a cast",
                  tvi_dtype_name(dtype_of(f, index)));
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
      indices[before + i] = check(l, f, expr, tvi_kir_build_int(&f->builder, TRIVET_DTYPE_I64, 0));
      if (indices[before + i] == REF_NONE) return false;
    }
  }
  return true;
}

static bool make_let(lower_t* l, uint32_t index);

// The let called |name| that is visible here, made if need be; NULL: none (or an error).
static const let_t* find_let(lower_t* l, expr_t expr) {
  if (l->function != NULL || l->body == NULL) return NULL;
  for (uint32_t i = 0; i < l->statement; ++i) {
    const tvi_kir_statement_t* statement = &l->body->statements[i];
    if (!statement->is_let || !tvi_sv_equal(statement->name, expr->name)) continue;
    return make_let(l, i) ? &l->lets[i] : NULL;
  }
  return NULL;
}

static ref_t load_let(lower_t* l, frame_t* f, expr_t expr, const let_t* let, uint32_t part) {
  ref_t indices[TVI_KIR_MAX_INDICES];
  uint32_t count = 0;
  if (expr->kind == TVI_KIR_EXPR_LOAD && !eval_indices(l, f, expr, indices, &count)) {
    return REF_NONE;
  }
  if (count != let->index_count) {
    fail(l, expr, "'%s' has %u indices, not %u", expr->name.data, let->index_count, count);
    return REF_NONE;
  }
  if (let->kind == LET_CONSTANT) {
    return check(l, f, expr, tvi_kir_build_copy(&f->builder, &let->constant, NULL));
  }
  uint32_t value = let->values[part];
  if (let->kind == LET_STATE) {
    for (uint32_t i = 0; i < let->used_count; ++i) indices[i] = indices[let->used[i]];
  }
  uint8_t wrap[TRIVET_MAX_RANK];
  memset(wrap, expr->kind == TVI_KIR_EXPR_LOAD ? expr->wrap : 0, sizeof(wrap));
  ref_t pad = REF_NONE;
  if (expr->kind == TVI_KIR_EXPR_LOAD && expr->pad != NULL) {
    pad = eval(l, f, expr->pad, l->program->values[value].dtype);
    if (pad == REF_NONE) return REF_NONE;
    if (dtype_of(f, pad) != l->program->values[value].dtype) {
      fail(l, expr->pad, "the pad must have the type of what is loaded");
      return REF_NONE;
    }
  }
  return check(l, f, expr, tvi_kir_build_load(&f->builder, value, indices, wrap, pad));
}

static ref_t eval_load(lower_t* l, frame_t* f, expr_t expr) {
  const let_t* let = find_let(l, expr);
  if (let != NULL) {
    if (let->kind == LET_STATE) {
      fail(l, expr, "'%s' has parts: write '.%s' after it", expr->name.data,
           let->monoid->state_names[0]);
      return REF_NONE;
    }
    return load_let(l, f, expr, let, 0);
  }
  if (l->status != NULL) return REF_NONE;
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (!find_operand(l, expr, &is_input, &index, &operand)) {
    fail(l, expr, "'%s' is not an operand", expr->name.data);
    return REF_NONE;
  }
  const trivet_type_t* type = operand_type(l, is_input, index);
  if (l->input_values == NULL) {
    fail(l, expr, "an extent cannot be read from an operand");
    return REF_NONE;
  }
  uint32_t value = TVI_KIR_NONE;
  if (type != NULL) value = is_input ? l->input_values[index] : l->output_values[index];
  if (value == TVI_KIR_NONE || (!is_input && !l->output_done[index])) {
    fail(l, expr, is_input ? "operand '%s' is absent here" : "output '%s' is not defined yet",
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
    fail(l, expr, "'%s' has rank %u, but %u indices are given", expr->name.data, type->rank, count);
    return REF_NONE;
  }
  ref_t pad = REF_NONE;
  uint8_t wrap[TRIVET_MAX_RANK] = {0};
  if (expr->kind == TVI_KIR_EXPR_LOAD) {
    memset(wrap, expr->wrap, sizeof(wrap));
    if (expr->pad != NULL) {
      pad = eval(l, f, expr->pad, type->dtype);
      if (pad == REF_NONE) return REF_NONE;
      if (dtype_of(f, pad) != type->dtype) {
        fail(l, expr->pad, "the pad is %s, but '%s' holds %s", tvi_dtype_name(dtype_of(f, pad)),
             expr->name.data, tvi_dtype_name(type->dtype));
        return REF_NONE;
      }
    }
  }
  return check(l, f, expr, tvi_kir_build_load(&f->builder, value, indices, wrap, pad));
}

// ---- Reductions ----

static bool extent_of(lower_t* l, frame_t* f, expr_t expr, trivet_dim_t* out_dim) {
  ref_t ref = eval(l, f, expr, TRIVET_DTYPE_I64);
  if (ref == REF_NONE) return false;
  *out_dim = tvi_kir_instr_dim(l->node->dims, &f->builder.instrs[ref]);
  if (*out_dim == NULL) return fail(l, expr, "an extent must not depend on indices or data");
  return true;
}

static bool open_ranges(lower_t* l, frame_t* f, expr_t place, const tvi_kir_range_t* ranges,
                        uint32_t count) {
  scope_t* scope = f->scope;
  for (uint32_t i = 0; i < count; ++i) {
    trivet_dim_t dims[TRIVET_MAX_RANK];
    uint32_t n = 1;
    if (ranges[i].pack) {
      const tvi_kir_extent_binding_t* pack = find_extent(l, ranges[i].extent->name);
      if (pack == NULL || !pack->pack) {
        return fail(l, ranges[i].extent, "'%s' is not a pack of extents",
                    ranges[i].extent->name.data);
      }
      n = pack->count;
      memcpy(dims, pack->dims, n * sizeof(*dims));
    } else if (!extent_of(l, f, ranges[i].extent, &dims[0])) {
      return false;
    }
    uint32_t first = scope->slot_count;
    if (!add_slots(l, scope, place, dims, n)) return false;
    entry_t* entry =
        add_entry(l, scope, place, ranges[i].name, ranges[i].pack ? ENTRY_PACK : ENTRY_INDEX);
    if (entry == NULL) return false;
    entry->first = first;
    entry->count = n;
  }
  return true;
}

static const tvi_kir_monoid_decl_t* find_monoid(const lower_t* l, trivet_string_view_t name) {
  const tvi_kir_body_t* bodies[2] = {l->body, &l->node->op->body};
  for (int b = 0; b < 2; ++b) {
    for (uint32_t i = 0; bodies[b] != NULL && i < bodies[b]->monoid_count; ++i) {
      if (tvi_sv_equal(bodies[b]->monoids[i]->name, name)) return bodies[b]->monoids[i];
    }
  }
  return NULL;
}

static bool make_declared_monoid(lower_t* l, expr_t place, const tvi_kir_monoid_decl_t* declared,
                                 tvi_kir_monoid_t* monoid) {
  scope_t* scope;
  frame_t frame;
  if (!ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope))) return false;
  frame_init(l, &frame, scope, 0);
  uint32_t n = declared->state_count;
  monoid->kind = TVI_KIR_DECLARED;
  monoid->state_count = monoid->element_count = n;
  trivet_string_view_t name;
  if (!ok(l, tvi_arena_strdup(l->arena, declared->name, &name))) return false;
  monoid->name = name.data;
  for (uint32_t i = 0; i < n; ++i) {
    if (!resolve_type(l, place, declared->state_types[i], &monoid->dtypes[i])) return false;
    if (!ok(l, tvi_arena_strdup(l->arena, declared->state_names[i], &name))) return false;
    monoid->state_names[i] = name.data;
    monoid->identity[i] = declared->identity[i];
  }
  for (uint32_t i = 0; i < 2 * n; ++i) {
    if (check(l, &frame, place, tvi_kir_build_opaque(&frame.builder, monoid->dtypes[i % n])) ==
        REF_NONE) {
      return false;
    }
  }
  for (int side = 0; side < 2; ++side) {
    entry_t* entry =
        add_entry(l, scope, place, side == 0 ? declared->left : declared->right, ENTRY_STATE);
    if (entry == NULL) return false;
    entry->first = side == 0 ? 0 : n;
    entry->monoid = declared;
  }
  for (uint32_t i = 0; i < n; ++i) {
    ref_t ref = eval(l, &frame, declared->join[i], monoid->dtypes[i]);
    if (ref == REF_NONE) return false;
    if (dtype_of(&frame, ref) != monoid->dtypes[i]) {
      return fail(l, declared->join[i], "the join gives %s for '%s', which is %s",
                  tvi_dtype_name(dtype_of(&frame, ref)), monoid->state_names[i],
                  tvi_dtype_name(monoid->dtypes[i]));
    }
    monoid->join_results[i] = ref;
  }
  return ok(l, tvi_kir_builder_finish(&frame.builder, monoid->join_results, n, 2 * n, NULL,
                                      l->arena, &monoid->join, &monoid->join_count));
}

static bool new_temp(lower_t* l, const char* name, uint32_t dtype, const trivet_dim_t* dims,
                     uint32_t rank, uint32_t* out_value) {
  char buffer[16];
  if (name == NULL) {
    snprintf(buffer, sizeof(buffer), "t%u", l->temp_count++);
    name = buffer;
  }
  trivet_type_t type = {0};
  type.dtype = dtype;
  type.rank = rank;
  if (rank > 0) memcpy(type.dims, dims, rank * sizeof(*dims));
  return ok(
      l, tvi_kir_program_add_value(l->program, name, TVI_KIR_TEMP, &type, TVI_KIR_NONE, out_value));
}

// Makes the stage of a reduction or scan and names the slots that its values depend on.
static bool lift(lower_t* l, frame_t* f, expr_t expr, lifted_t* out) {
  if (l->function != NULL || l->input_values == NULL) {
    return fail(l, expr, "a reduction may not stand here");
  }
  scope_t* scope = f->scope;
  uint32_t entries = scope->entry_count, slots = scope->slot_count;
  bool is_scan = expr->kind == TVI_KIR_EXPR_SCAN;
  frame_t inner;
  frame_init(l, &inner, scope, f->builder.conditional);
  uint32_t scan_slot = 0;
  if (is_scan) {
    const entry_t* entry = find_entry(scope, expr->ranges[0].name);
    trivet_dim_t extent;
    if (entry == NULL || entry->kind != ENTRY_INDEX) {
      return fail(l, expr, "a scan runs along an index of the statement, '%s' is none",
                  expr->ranges[0].name.data);
    }
    scan_slot = entry->first;
    if (!extent_of(l, &inner, expr->ranges[0].extent, &extent) ||
        !ok(l,
            tvi_kir_binding_equate(l->binding, scope->extents[scan_slot], extent, "scan", NULL))) {
      return false;
    }
  } else if (!open_ranges(l, &inner, expr, expr->ranges, expr->range_count)) {
    return false;
  }
  tvi_kir_stage_t stage;
  memset(&stage, 0, sizeof(stage));
  stage.kind = is_scan ? TVI_KIR_SCAN : TVI_KIR_REDUCE;
  stage.scan_flags = expr->scan_flags;
  stage.origin = TVI_KIR_NONE;
  bool mean;
  tvi_kir_monoid_kind_t kind = tvi_kir_builtin_monoid(expr->name, &mean);
  tvi_kir_monoid_t* monoid;
  if (!ok(l, tvi_arena_alloc_zeroed(l->arena, sizeof(*monoid), &monoid))) return false;
  const tvi_kir_monoid_decl_t* declared =
      kind == TVI_KIR_DECLARED ? find_monoid(l, expr->name) : NULL;
  if (kind == TVI_KIR_DECLARED) {
    if (declared == NULL) return fail(l, expr, "'%s' is not a reduction", expr->name.data);
    if (!make_declared_monoid(l, expr, declared, monoid)) return false;
  }
  uint32_t wanted = declared != NULL ? declared->state_count : 1;
  if (expr->arg_count != wanted) {
    return fail(l, expr, "'%s' takes %u values for each element, not %u", expr->name.data, wanted,
                expr->arg_count);
  }
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    uint32_t expected = declared != NULL ? monoid->dtypes[i] : TRIVET_DTYPE_INVALID;
    stage.results[i] = eval(l, &inner, expr->args[i], expected);
    if (stage.results[i] == REF_NONE) return false;
    if (declared != NULL && dtype_of(&inner, stage.results[i]) != expected) {
      return fail(l, expr->args[i], "'%s' is %s, not %s", monoid->state_names[i],
                  tvi_dtype_name(expected), tvi_dtype_name(dtype_of(&inner, stage.results[i])));
    }
  }
  if (declared == NULL) {
    monoid->kind = kind;
    trivet_status_t status = tvi_kir_monoid_fill(monoid, dtype_of(&inner, stage.results[0]));
    if (status != NULL) {
      return ok(l, trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                          expr->line, expr->column));
    }
  }
  stage.monoid = monoid;
  stage.result_count = monoid->state_count;
  bool is_arg = kind == TVI_KIR_ARGMAX || kind == TVI_KIR_ARGMIN;
  if (is_arg) {
    if (scope->slot_count - slots != 1) {
      return fail(l, expr, "'%s' runs over one index", expr->name.data);
    }
    stage.results[1] = check(l, &inner, expr, tvi_kir_build_index(&inner.builder, slots));
    if (stage.results[1] == REF_NONE) return false;
  }
  // The indices that the body reads become those of the stage, in the order of their slots.
  uint32_t map[TVI_KIR_MAX_INDICES];
  bool used[TVI_KIR_MAX_INDICES] = {false};
  tvi_kir_instr_t* instrs;
  uint32_t instr_count;
  if (!ok(l, tvi_kir_builder_finish(&inner.builder, stage.results, monoid->element_count, 0, NULL,
                                    l->arena, &instrs, &instr_count))) {
    return false;
  }
  for (uint32_t i = 0; i < instr_count; ++i) {
    if (instrs[i].opcode == TVI_KIR_INDEX) used[instrs[i].imm.i64] = true;
  }
  out->slot_count = 0;
  for (uint32_t s = 0; s < slots; ++s) {
    // An extent of 1 costs nothing, and without it a batch of one would have another form.
    bool kept = used[s] || tvi_dim_equals_constant(scope->extents[s], 1);
    if (!kept || (is_scan && s == scan_slot)) continue;
    map[s] = out->slot_count;
    out->slots[out->slot_count++] = (uint8_t)s;
  }
  if (is_scan) {
    map[scan_slot] = out->slot_count;
    out->slots[out->slot_count++] = (uint8_t)scan_slot;
  }
  stage.parallel_count = out->slot_count;
  if (stage.parallel_count > TRIVET_MAX_RANK) {
    return fail(l, expr, "the reduction depends on %u indices, at most %u can be kept",
                stage.parallel_count, TRIVET_MAX_RANK);
  }
  for (uint32_t i = 0; i < out->slot_count; ++i) stage.extents[i] = scope->extents[out->slots[i]];
  for (uint32_t s = slots; s < scope->slot_count; ++s) {
    map[s] = stage.parallel_count + stage.reduced_count;
    stage.extents[stage.parallel_count + stage.reduced_count++] = scope->extents[s];
  }
  for (uint32_t i = 0; i < instr_count; ++i) {
    if (instrs[i].opcode == TVI_KIR_INDEX) instrs[i].imm.i64 = map[instrs[i].imm.i64];
  }
  stage.instrs = instrs;
  stage.instr_count = instr_count;
  scope->entry_count = entries;
  scope->slot_count = slots;
  out->monoid = monoid;
  // The same reduction may have been lifted before.
  for (uint32_t s = 0; s < l->program->stage_count; ++s) {
    const tvi_kir_stage_t* other = &l->program->stages[s];
    if (!tvi_kir_same_computation(other, &stage)) continue;
    if (l->program->values[other->values[is_arg ? 1 : 0]].kind != TVI_KIR_TEMP) continue;
    memcpy(out->values, other->values, sizeof(out->values));
    return true;
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    stage.values[i] = TVI_KIR_NONE;
    if (!(is_arg && i == 0) && !new_temp(l, NULL, monoid->dtypes[i], stage.extents,
                                         stage.parallel_count, &stage.values[i])) {
      return false;
    }
  }
  memcpy(out->values, stage.values, sizeof(out->values));
  return ok(l, tvi_kir_program_add_stage(l->program, &stage));
}

static ref_t load_lifted(lower_t* l, frame_t* f, expr_t expr, const lifted_t* lifted,
                         uint32_t part) {
  ref_t indices[TVI_KIR_MAX_INDICES];
  for (uint32_t i = 0; i < lifted->slot_count; ++i) {
    indices[i] = tvi_kir_build_index(&f->builder, lifted->slots[i]);
  }
  return check(l, f, expr,
               tvi_kir_build_load(&f->builder, lifted->values[part], indices, NULL, REF_NONE));
}

static ref_t eval_reduce(lower_t* l, frame_t* f, expr_t expr) {
  lifted_t lifted;
  if (!lift(l, f, expr, &lifted)) return REF_NONE;
  const tvi_kir_monoid_t* monoid = lifted.monoid;
  if (monoid->kind == TVI_KIR_ARGMAX || monoid->kind == TVI_KIR_ARGMIN) {
    return load_lifted(l, f, expr, &lifted, 1);
  }
  if (monoid->state_count > 1) {
    fail(l, expr, "'%s' has parts: write '.%s' after it", monoid->name, monoid->state_names[0]);
    return REF_NONE;
  }
  ref_t result = load_lifted(l, f, expr, &lifted, 0);
  bool mean;
  tvi_kir_builtin_monoid(expr->name, &mean);
  if (!mean || result == REF_NONE) return result;
  uint32_t dtype = monoid->dtypes[0];
  trivet_dim_t count = tvi_dim_constant(l->node->dims, 1);
  scope_t* scope = f->scope;
  uint32_t entries = scope->entry_count, slots = scope->slot_count;
  if (!open_ranges(l, f, expr, expr->ranges, expr->range_count)) return REF_NONE;
  for (uint32_t s = slots; s < scope->slot_count; ++s) {
    count = tvi_dim_binary(l->node->dims, TRIVET_DIM_MUL, count, scope->extents[s]);
  }
  scope->entry_count = entries;
  scope->slot_count = slots;
  // Counts beyond a narrow float's range are exact in f32, in which it is computed.
  uint32_t wide = tvi_dtype_is_float(dtype) && dtype != TRIVET_DTYPE_F64 ? TRIVET_DTYPE_F32 : dtype;
  tvi_kir_builder_t* b = &f->builder;
  ref_t divisor =
      tvi_kir_build_op(b, TVI_KIR_CAST, wide, tvi_kir_build_extent(b, count), REF_NONE, REF_NONE);
  result = tvi_kir_build_op(b, TVI_KIR_CAST, wide, result, REF_NONE, REF_NONE);
  result = tvi_kir_build_op(b, TVI_KIR_DIV, wide, result, divisor, REF_NONE);
  return check(l, f, expr, tvi_kir_build_op(b, TVI_KIR_CAST, dtype, result, REF_NONE, REF_NONE));
}

static ref_t eval_field(lower_t* l, frame_t* f, expr_t expr) {
  expr_t base = expr->args[0];
  const tvi_kir_monoid_t* monoid = NULL;
  lifted_t lifted;
  const let_t* let = NULL;
  if (base->kind == TVI_KIR_EXPR_NAME) {
    const entry_t* entry = find_entry(f->scope, base->name);
    if (entry != NULL && entry->kind == ENTRY_STATE) {
      for (uint32_t i = 0; i < entry->monoid->state_count; ++i) {
        if (tvi_sv_equal(entry->monoid->state_names[i], expr->name)) return entry->first + i;
      }
      fail(l, expr, "'%s' is not a part of the state", expr->name.data);
      return REF_NONE;
    }
  }
  if (base->kind == TVI_KIR_EXPR_NAME || base->kind == TVI_KIR_EXPR_LOAD) {
    let = find_let(l, base);
    if (l->status != NULL) return REF_NONE;
    if (let != NULL && let->kind == LET_STATE) monoid = let->monoid;
  } else if (base->kind == TVI_KIR_EXPR_REDUCE) {
    if (!lift(l, f, base, &lifted)) return REF_NONE;
    monoid = lifted.monoid;
  }
  if (monoid == NULL) {
    fail(l, expr, "'.%s' stands after something without parts", expr->name.data);
    return REF_NONE;
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    if (!tvi_sv_equal_cstr(expr->name, monoid->state_names[i])) continue;
    uint32_t value = let != NULL ? let->values[i] : lifted.values[i];
    if (value == TVI_KIR_NONE) break;
    return let != NULL ? load_let(l, f, base, let, i) : load_lifted(l, f, expr, &lifted, i);
  }
  fail(l, expr, "'%s' has no part '%s'", monoid->name, expr->name.data);
  return REF_NONE;
}

// ---- Everything else ----

static ref_t eval_name(lower_t* l, frame_t* f, expr_t expr) {
  const entry_t* entry = find_entry(f->scope, expr->name);
  if (entry != NULL) {
    if (entry->kind == ENTRY_VALUE) return entry->first;
    if (entry->kind == ENTRY_INDEX) {
      return check(l, f, expr, tvi_kir_build_index(&f->builder, entry->first));
    }
    fail(l, expr,
         entry->kind == ENTRY_PACK ? "'%s' is a pack: write '%s...'"
                                   : "'%s' has parts: write one after it, as in '%s.m'",
         expr->name.data, expr->name.data);
    return REF_NONE;
  }
  const let_t* let = find_let(l, expr);
  if (l->status != NULL) return REF_NONE;
  if (let != NULL) return eval_load(l, f, expr);
  const tvi_kir_extent_binding_t* extent = find_extent(l, expr->name);
  if (extent != NULL) {
    if (extent->pack) {
      fail(l, expr, "'%s' is a pack of extents", expr->name.data);
      return REF_NONE;
    }
    return check(l, f, expr, tvi_kir_build_extent(&f->builder, extent->dims[0]));
  }
  const tvi_kir_attribute_t* attribute =
      l->function == NULL ? tvi_kir_operator_attribute(l->node->op, expr->name) : NULL;
  if (attribute != NULL) {
    if (attribute->flags & TRIVET_ATTR_LIST) {
      fail(l, expr, "'%s' is a list: '%s.0' is its first element", expr->name.data,
           expr->name.data);
      return REF_NONE;
    }
    return check(l, f, expr, build_attribute(l, f, expr, attribute, 0));
  }
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (find_operand(l, expr, &is_input, &index, &operand)) return eval_load(l, f, expr);
  fail(l, expr, "'%s' is not known here", expr->name.data);
  return REF_NONE;
}

static ref_t eval_dim_of(lower_t* l, frame_t* f, expr_t expr) {
  const tvi_kir_attribute_t* attribute =
      l->function == NULL ? tvi_kir_operator_attribute(l->node->op, expr->name) : NULL;
  if (attribute != NULL) {
    return check(l, f, expr, build_attribute(l, f, expr, attribute, (uint64_t)expr->integer));
  }
  bool is_input;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  if (!find_operand(l, expr, &is_input, &index, &operand)) {
    fail(l, expr, "'%s' is not an operand", expr->name.data);
    return REF_NONE;
  }
  const trivet_type_t* type = operand_type(l, is_input, index);
  if (type == NULL || expr->integer >= (int64_t)type->rank) {
    fail(l, expr, type == NULL ? "operand '%s' is absent here" : "'%s' has no dimension %lld",
         expr->name.data, (long long)expr->integer);
    return REF_NONE;
  }
  return check(l, f, expr, tvi_kir_build_extent(&f->builder, type->dims[expr->integer]));
}

static ref_t eval_has(lower_t* l, frame_t* f, expr_t expr) {
  bool is_input, has = false;
  uint32_t index;
  const tvi_kir_operand_t* operand;
  // A variadic operand without a member: has it any?
  struct tvi_kir_expr_s probe = *expr;
  operand = tvi_kir_find_operand(l->node->op, expr->name);
  if (operand != NULL && operand->variadic && expr->member == TVI_KIR_NONE) probe.member = 0;
  if (find_operand(l, &probe, &is_input, &index, &operand)) {
    has = operand_type(l, is_input, index) != NULL;
    if (!is_input && has && l->node->output_wanted != NULL)
      has = l->node->output_wanted[index] != 0;
  }
  if (l->status != NULL) return REF_NONE;
  return check(l, f, expr, tvi_kir_build_int(&f->builder, TRIVET_DTYPE_BOOL, has));
}

static ref_t eval(lower_t* l, frame_t* f, expr_t expr, uint32_t expected) {
  if (l->status != NULL) return REF_NONE;
  if (++l->steps > MAX_STEPS) {
    fail(l, expr, "more than %d expressions once functions are expanded", MAX_STEPS);
    return REF_NONE;
  }
  switch (expr->kind) {
    case TVI_KIR_EXPR_INT:
    case TVI_KIR_EXPR_FLOAT:
      return eval_number(l, f, expr, expected);
    case TVI_KIR_EXPR_BOOL:
      return check(l, f, expr, tvi_kir_build_int(&f->builder, TRIVET_DTYPE_BOOL, expr->integer));
    case TVI_KIR_EXPR_NAME:
      return eval_name(l, f, expr);
    case TVI_KIR_EXPR_DIM_OF:
      return eval_dim_of(l, f, expr);
    case TVI_KIR_EXPR_FIELD:
      return eval_field(l, f, expr);
    case TVI_KIR_EXPR_GRAPH_DIM: {
      trivet_dim_t dim;
      trivet_status_t status = tvi_dim_parse(l->node->dims, expr->name, &dim);
      if (status != NULL) {
        ok(l, trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                     expr->line, expr->column));
        return REF_NONE;
      }
      return check(l, f, expr, tvi_kir_build_extent(&f->builder, dim));
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
      if (!resolve_type(l, expr, expr->type, &dtype)) return REF_NONE;
      tvi_kir_scalar_t limit = tvi_kir_scalar_limit(dtype, (int)expr->integer);
      return check(l, f, expr,
                   tvi_dtype_is_float(dtype) ? tvi_kir_build_float(&f->builder, dtype, limit.f)
                                             : tvi_kir_build_int(&f->builder, dtype, limit.i));
    }
    case TVI_KIR_EXPR_HAS:
      return eval_has(l, f, expr);
    case TVI_KIR_EXPR_LOAD:
      return eval_load(l, f, expr);
    case TVI_KIR_EXPR_REDUCE:
    case TVI_KIR_EXPR_SCAN:
      return eval_reduce(l, f, expr);
    case TVI_KIR_EXPR_PACK:
      fail(l, expr, "'%s...' may stand only among indices", expr->name.data);
      return REF_NONE;
    default:
      fail(l, expr, "a tuple may stand only in a reduction");
      return REF_NONE;
  }
}

trivet_status_t tvi_kir_extent_evaluate(tvi_kir_binding_t* binding, const tvi_kir_expr_t* expr,
                                        trivet_dim_t* out_dim) {
  tvi_kir_program_t program = {0};
  program.dims = binding->node->dims;
  program.arena = binding->arena;
  lower_t l;
  memset(&l, 0, sizeof(l));
  l.binding = binding;
  l.node = binding->node;
  l.arena = l.scratch = binding->arena;
  l.program = &program;
  scope_t* scope;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(binding->arena, sizeof(*scope), &scope));
  frame_t frame;
  frame_init(&l, &frame, scope, 0);
  trivet_dim_t dim = NULL;
  if (!extent_of(&l, &frame, expr, &dim)) return l.status;
  *out_dim = dim;
  return TRIVET_OK;
}

// ---- Statements ----

// True when the body is nothing but the value that the last stage computed, whole and in order:
// that stage can then write the statement's value itself.
static bool is_plain_copy(const lower_t* l, const tvi_kir_stage_t* stage, uint32_t first_stage,
                          uint32_t* out_part) {
  const tvi_kir_program_t* program = l->program;
  const tvi_kir_instr_t* root = &stage->instrs[stage->results[0]];
  if (root->opcode != TVI_KIR_LOAD || program->stage_count == first_stage) return false;
  const tvi_kir_load_t* load = root->imm.load;
  const tvi_kir_value_t* value = &program->values[load->value];
  if (value->kind != TVI_KIR_TEMP || value->stage != program->stage_count - 1) return false;
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN || load->wrap != NULL) return false;
  if (value->rank != stage->parallel_count) return false;
  const tvi_kir_stage_t* source = &program->stages[value->stage];
  uint32_t kept = 0;
  for (uint32_t i = 0; i < source->result_count; ++i) {
    if (source->values[i] == load->value) *out_part = i;
    kept += source->values[i] != TVI_KIR_NONE;
  }
  if (kept != 1) return false;
  for (uint32_t d = 0; d < value->rank; ++d) {
    const tvi_kir_instr_t* index = &stage->instrs[load->indices[d]];
    if (value->dims[d] != stage->extents[d]) return false;
    bool in_place = index->opcode == TVI_KIR_INDEX && index->imm.i64 == d;
    bool only = index->opcode == TVI_KIR_CONST && index->imm.i64 == 0 &&
                tvi_dim_equals_constant(stage->extents[d], 1);
    if (!in_place && !only) return false;
  }
  return true;
}

// The stages of one statement whose indices are in |scope|. |value| TVI_KIR_NONE: makes one.
static bool make_statement(lower_t* l, const tvi_kir_statement_t* statement, scope_t* scope,
                           uint32_t dtype, uint32_t* value, let_t* let) {
  frame_t frame;
  frame_init(l, &frame, scope, 0);
  uint32_t first_stage = l->program->stage_count;
  ref_t root = eval(l, &frame, statement->expr, dtype);
  if (root == REF_NONE) return false;
  uint32_t found = dtype_of(&frame, root);
  if (dtype != TRIVET_DTYPE_INVALID && dtype != found) {
    return fail(l, statement->expr, "'%s' is %s, but the expression is %s; write a cast",
                statement->name.data, tvi_dtype_name(dtype), tvi_dtype_name(found));
  }
  if (let != NULL && scope->slot_count == 0) {
    const tvi_kir_instr_t* instr = &frame.builder.instrs[root];
    if (instr->opcode == TVI_KIR_CONST || instr->opcode == TVI_KIR_EXTENT) {
      let->kind = LET_CONSTANT;
      let->constant = *instr;
      return true;
    }
  }
  tvi_kir_stage_t stage;
  memset(&stage, 0, sizeof(stage));
  stage.kind = TVI_KIR_MAP;
  stage.result_count = 1;
  stage.origin = TVI_KIR_NONE;
  stage.results[0] = root;
  stage.parallel_count = scope->slot_count;
  if (scope->slot_count > TRIVET_MAX_RANK) {
    return fail(l, statement->expr, "'%s' has more than %u indices", statement->name.data,
                TRIVET_MAX_RANK);
  }
  memcpy(stage.extents, scope->extents, scope->slot_count * sizeof(*scope->extents));
  if (!ok(l, tvi_kir_builder_finish(&frame.builder, stage.results, 1, 0, NULL, l->arena,
                                    &stage.instrs, &stage.instr_count))) {
    return false;
  }
  if (*value == TVI_KIR_NONE &&
      !new_temp(l, statement->name.data, found, scope->extents, scope->slot_count, value)) {
    return false;
  }
  uint32_t part = 0;
  if (is_plain_copy(l, &stage, first_stage, &part)) {
    tvi_kir_stage_t* last = &l->program->stages[l->program->stage_count - 1];
    last->values[part] = *value;
    l->program->values[*value].stage = l->program->stage_count - 1;
    return true;
  }
  stage.values[0] = *value;
  return ok(l, tvi_kir_program_add_stage(l->program, &stage));
}

static bool make_let(lower_t* l, uint32_t index) {
  let_t* let = &l->lets[index];
  const tvi_kir_statement_t* statement = &l->body->statements[index];
  if (let->kind == LET_OPEN)
    return fail(l, statement->expr, "'%s' reads itself", statement->name.data);
  if (let->kind != LET_WAITING) return true;
  let->kind = LET_OPEN;
  uint32_t outer = l->statement;
  l->statement = index;
  scope_t* scope;
  bool done = ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope));
  if (done) {
    frame_t frame;
    frame_init(l, &frame, scope, 0);
    done = open_ranges(l, &frame, statement->expr, statement->indices, statement->index_count);
  }
  uint32_t dtype = TRIVET_DTYPE_INVALID;
  bool typed =
      statement->type.variable != TVI_KIR_NONE || statement->type.dtype != TRIVET_DTYPE_INVALID;
  done = done && (!typed || resolve_type(l, statement->expr, statement->type, &dtype));
  if (done) {
    let->index_count = scope->slot_count;
    expr_t expr = statement->expr;
    bool mean;
    tvi_kir_monoid_kind_t kind = TVI_KIR_SUM;
    if (expr->kind == TVI_KIR_EXPR_REDUCE) kind = tvi_kir_builtin_monoid(expr->name, &mean);
    if (kind >= TVI_KIR_WELFORD) {
      // A tuple state: its values have only the dimensions that they depend on.
      frame_t frame;
      lifted_t lifted;
      frame_init(l, &frame, scope, 0);
      done = lift(l, &frame, expr, &lifted);
      if (done) {
        let->kind = LET_STATE;
        let->monoid = lifted.monoid;
        memcpy(let->values, lifted.values, sizeof(let->values));
        let->used_count = lifted.slot_count;
        memcpy(let->used, lifted.slots, sizeof(let->used));
      }
    } else {
      let->values[0] = TVI_KIR_NONE;
      done = make_statement(l, statement, scope, dtype, &let->values[0], let);
      if (done && let->kind == LET_OPEN) let->kind = LET_VALUE;
    }
  }
  l->statement = outer;
  return done;
}

static bool make_output(lower_t* l, const tvi_kir_statement_t* statement, uint32_t index) {
  const trivet_type_t* type = &l->node->outputs[index];
  scope_t* scope;
  if (!ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope))) return false;
  uint32_t packs = 0, d = 0;
  for (uint32_t i = 0; i < statement->index_count; ++i) packs += statement->indices[i].pack;
  if (packs > 1 || (packs == 0 ? statement->index_count != type->rank
                               : statement->index_count - 1 > type->rank)) {
    return fail(l, statement->expr, "'%s' has rank %u, its %u indices do not fit",
                statement->name.data, type->rank, statement->index_count);
  }
  for (uint32_t i = 0; i < statement->index_count; ++i) {
    const tvi_kir_range_t* range = &statement->indices[i];
    uint32_t n = range->pack ? type->rank - (statement->index_count - 1) : 1;
    entry_t* entry =
        add_entry(l, scope, statement->expr, range->name, range->pack ? ENTRY_PACK : ENTRY_INDEX);
    if (entry == NULL) return false;
    entry->first = scope->slot_count;
    entry->count = n;
    if (!add_slots(l, scope, statement->expr, type->dims + d, n)) return false;
    d += n;
  }
  return make_statement(l, statement, scope, type->dtype, &l->output_values[index], NULL);
}

static trivet_status_t instantiate(const tvi_kir_node_t* node, const tvi_kir_body_t* lowered,
                                   tvi_arena_t* arena, tvi_arena_t* scratch,
                                   tvi_kir_instance_t* out_instance) {
  const tvi_kir_operator_t* op = node->op;
  const tvi_kir_body_t* body = lowered != NULL ? lowered : &op->body;
  if (body->kind != TVI_KIR_BODY_STATEMENTS) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "%s has no kernel-IR statements", op->name.data);
  }
  tvi_kir_binding_t binding;
  TRIVET_RETURN_IF_ERROR(tvi_kir_binding_make(node, arena, &binding));
  lower_t l;
  memset(&l, 0, sizeof(l));
  l.binding = &binding;
  l.node = node;
  l.body = body;
  l.arena = arena;
  l.scratch = scratch;
  uint8_t* output_done;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(node->dims, arena, &l.program));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(scratch, body->statement_count, sizeof(*l.lets), &l.lets));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, node->input_count + 1,
                                               sizeof(*l.input_values), &l.input_values));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, node->output_count + 1,
                                               sizeof(*l.output_values), &l.output_values));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(scratch, node->output_count + 1, 1, &output_done));
  l.output_done = output_done;
  for (uint32_t side = 0; side < 2; ++side) {
    uint32_t count = side == 0 ? node->input_count : node->output_count;
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t member;
      const tvi_kir_operand_t* operand = side == 0 ? tvi_kir_declared_input(op, i, &member)
                                                   : tvi_kir_declared_output(op, i, &member);
      uint32_t* value = side == 0 ? &l.input_values[i] : &l.output_values[i];
      const trivet_type_t* type = side == 0 ? node->inputs[i] : &node->outputs[i];
      *value = TVI_KIR_NONE;
      bool wanted =
          side == 0 ? type != NULL : node->output_wanted == NULL || node->output_wanted[i];
      // An output that nobody wants may still be read by one that somebody does.
      if (side == 0 && !wanted) continue;
      if (type->rank > TRIVET_MAX_RANK || (wanted && !tvi_kir_dtype_is_allowed(type->dtype))) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' of %s: %s cannot be computed with",
                             operand->name.data, op->name.data, tvi_dtype_name(type->dtype));
      }
      if (!wanted && type->dtype == TRIVET_DTYPE_INVALID) continue;
      char name[80];
      if (member == TVI_KIR_NONE) {
        snprintf(name, sizeof(name), "%.60s", operand->name.data);
      } else {
        snprintf(name, sizeof(name), "%.60s_%u", operand->name.data, member);
      }
      tvi_kir_value_kind_t kind = side == 0 ? TVI_KIR_INPUT
                                  : wanted  ? TVI_KIR_OUTPUT
                                            : TVI_KIR_TEMP;
      TRIVET_RETURN_IF_ERROR(tvi_kir_program_add_value(l.program, name, kind, type, i, value));
      // Types that only the infer hook knew are bound by what it said.
      if (side == 1 && operand->type_variable != TVI_KIR_NONE &&
          binding.types[operand->type_variable] == TRIVET_DTYPE_INVALID) {
        binding.types[operand->type_variable] = type->dtype;
      }
    }
  }
  for (uint32_t s = 0; s < body->statement_count; ++s) {
    const tvi_kir_statement_t* statement = &body->statements[s];
    if (statement->is_let) continue;
    l.statement = s;
    struct tvi_kir_expr_s place = *statement->expr;
    place.name = statement->name;
    place.member = statement->member;
    place.line = statement->line;
    place.column = statement->column;
    bool is_input;
    uint32_t index;
    const tvi_kir_operand_t* operand;
    if (!find_operand(&l, &place, &is_input, &index, &operand) || is_input) {
      fail(&l, &place, "'%s' is not an output", statement->name.data);
      return l.status;
    }
    if (index >= node->output_count || l.output_values[index] == TVI_KIR_NONE) continue;
    if (!make_output(&l, statement, index)) return l.status;
    output_done[index] = 1;
  }
  for (uint32_t i = 0; i < node->output_count; ++i) {
    bool wanted = node->output_wanted == NULL || node->output_wanted[i];
    if (wanted && !output_done[i]) {
      uint32_t member;
      return TRIVET_STATUS(INVALID_ARGUMENT, "%s does not define output '%s'", op->name.data,
                           tvi_kir_declared_output(op, i, &member)->name.data);
    }
  }
  uint32_t* map;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(scratch, l.program->value_count + 1, sizeof(*map), &map));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(l.program, false, map));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (l.input_values[i] != TVI_KIR_NONE) l.input_values[i] = map[l.input_values[i]];
  }
  for (uint32_t i = 0; i < node->output_count; ++i) {
    bool wanted = node->output_wanted == NULL || node->output_wanted[i];
    l.output_values[i] = wanted ? map[l.output_values[i]] : TVI_KIR_NONE;
  }
  out_instance->program = l.program;
  out_instance->input_values = l.input_values;
  out_instance->output_values = l.output_values;
  out_instance->assumptions.count = binding.assumption_count;
  out_instance->assumptions.items = binding.assumptions;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_node_instantiate(const tvi_kir_node_t* node, const tvi_kir_body_t* lowered,
                                         tvi_arena_t* arena, tvi_kir_instance_t* out_instance) {
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, arena->allocator, 16384);
  trivet_status_t status = instantiate(node, lowered, arena, &scratch, out_instance);
  tvi_arena_deinit(&scratch);
  return status;
}
