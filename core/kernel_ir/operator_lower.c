// SPDX-License-Identifier: Apache-2.0
//
// From statements to stages, for one node. Lets are made when first read, so that what is not
// needed (or needs an absent operand) costs nothing. Expressions are evaluated in operator_eval.c.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_lower.h"
#include "core/kernel_ir/program.h"
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

bool tvi_kir_lower_fail(lower_t* l, expr_t expr, const char* format, ...) {
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

bool tvi_kir_lower_ok(lower_t* l, trivet_status_t status) {
  if (l->status != NULL) {
    trivet_status_free(status);
    return false;
  }
  l->status = status;
  return status == NULL;
}

// Takes a failure of the builder over, with the place.
ref_t tvi_kir_lower_check(lower_t* l, frame_t* f, expr_t expr, ref_t ref) {
  if (ref != REF_NONE) return ref;
  if (f->builder.status != NULL) {
    trivet_status_t status = f->builder.status;
    f->builder.status = NULL;
    tvi_kir_lower_ok(l, trivet_status_annotate(status, "%s, line %u, column %u",
                                               l->node->op->name.data, expr->line, expr->column));
  }
  return REF_NONE;
}

void tvi_kir_frame_init(lower_t* l, frame_t* f, scope_t* scope, uint32_t conditional) {
  tvi_kir_builder_init(&f->builder, l->program, scope->extents, l->scratch);
  f->builder.conditional = conditional;
  f->scope = scope;
}

// ---- Names ----

const entry_t* tvi_kir_find_entry(const scope_t* scope, trivet_string_view_t name) {
  for (uint32_t i = scope->entry_count; i-- > scope->visible_from;) {
    if (tvi_sv_equal(scope->entries[i].name, name)) return &scope->entries[i];
  }
  return NULL;
}

entry_t* tvi_kir_add_entry(lower_t* l, scope_t* scope, expr_t place, trivet_string_view_t name,
                           tvi_kir_name_kind_t kind) {
  if (tvi_kir_find_entry(scope, name) != NULL) {
    tvi_kir_lower_fail(l, place, "'%.*s' hides another index", TVI_SV_ARGS(name));
    return NULL;
  }
  if (scope->entry_count == TVI_KIR_MAX_NAMES) {
    tvi_kir_lower_fail(l, place, "too many names");
    return NULL;
  }
  entry_t* entry = &scope->entries[scope->entry_count++];
  memset(entry, 0, sizeof(*entry));
  entry->name = name;
  entry->kind = kind;
  return entry;
}

bool tvi_kir_add_slots(lower_t* l, scope_t* scope, expr_t place, const trivet_dim_t* dims,
                       uint32_t count) {
  if (scope->slot_count + count > TVI_KIR_MAX_INDICES) {
    return tvi_kir_lower_fail(l, place, "more than %d indices", TVI_KIR_MAX_INDICES);
  }
  for (uint32_t i = 0; i < count; ++i) scope->extents[scope->slot_count++] = dims[i];
  return true;
}

bool tvi_kir_resolve_type(lower_t* l, expr_t place, tvi_kir_type_ref_t type, uint32_t* out_dtype) {
  *out_dtype = type.dtype;
  if (type.variable == TVI_KIR_NONE) return true;
  *out_dtype =
      l->function != NULL ? l->function_types[type.variable] : l->binding->types[type.variable];
  if (*out_dtype != TRIVET_DTYPE_INVALID) return true;
  return tvi_kir_lower_fail(l, place, "no operand says what type %s is",
                            l->function != NULL
                                ? l->function->variables[type.variable].data
                                : l->node->op->type_variables[type.variable].name.data);
}

// The bound extent called |name|; NULL: none. Functions see parameters only.
const tvi_kir_extent_binding_t* tvi_kir_find_extent(const lower_t* l, trivet_string_view_t name) {
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
bool tvi_kir_node_operand(lower_t* l, expr_t expr, bool* out_is_input, uint32_t* out_index,
                          const tvi_kir_operand_t** out_operand) {
  const tvi_kir_operator_t* op = l->node->op;
  if (l->function != NULL) return false;
  for (int side = 0; side < 2; ++side) {
    const tvi_kir_operand_t* operands = side == 0 ? op->inputs : op->outputs;
    uint32_t count = side == 0 ? op->input_count : op->output_count;
    for (uint32_t i = 0; i < count; ++i) {
      if (!tvi_sv_equal(operands[i].name, expr->name)) continue;
      if (operands[i].variadic != (expr->member != TVI_KIR_NONE)) {
        return tvi_kir_lower_fail(l, expr,
                                  operands[i].variadic
                                      ? "'%s' is variadic: '%s:0' is its first member"
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

const trivet_type_t* tvi_kir_operand_type(const lower_t* l, bool is_input, uint32_t index) {
  if (is_input) return index < l->node->input_count ? l->node->inputs[index] : NULL;
  if (index >= l->node->output_count || l->node->outputs == NULL) return NULL;
  return &l->node->outputs[index];
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
  tvi_kir_frame_init(&l, &frame, scope, 0);
  trivet_dim_t dim = NULL;
  if (!tvi_kir_extent_of(&l, &frame, expr, &dim)) return l.status;
  *out_dim = dim;
  return TRIVET_OK;
}

// ---- Statements ----

bool tvi_kir_new_temp(lower_t* l, const char* name, uint32_t dtype, const trivet_dim_t* dims,
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
  return tvi_kir_lower_ok(
      l, tvi_kir_program_add_value(l->program, name, TVI_KIR_TEMP, &type, TVI_KIR_NONE, out_value));
}

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

// A let whose stage now writes another value is read from there.
static void move_let(lower_t* l, uint32_t from, uint32_t to) {
  for (uint32_t i = 0; i < l->body->statement_count; ++i) {
    let_t* let = &l->lets[i];
    if (let->kind != TVI_KIR_LET_VALUE && let->kind != TVI_KIR_LET_STATE) continue;
    for (uint32_t part = 0; part < TVI_KIR_MAX_STATE; ++part) {
      if (let->values[part] == from) let->values[part] = to;
    }
  }
}

// The stages of one statement whose indices are in |scope|. |value| TVI_KIR_NONE: makes one.
static bool make_statement(lower_t* l, const tvi_kir_statement_t* statement, scope_t* scope,
                           uint32_t dtype, uint32_t* value, let_t* let) {
  frame_t frame;
  tvi_kir_frame_init(l, &frame, scope, 0);
  uint32_t first_stage = l->program->stage_count;
  ref_t root = tvi_kir_lower_eval(l, &frame, statement->expr, dtype);
  if (root == REF_NONE) return false;
  uint32_t found = tvi_kir_frame_dtype(&frame, root);
  if (dtype != TRIVET_DTYPE_INVALID && dtype != found) {
    return tvi_kir_lower_fail(l, statement->expr,
                              "'%s' is %s, but the expression is %s; write a cast",
                              statement->name.data, tvi_dtype_name(dtype), tvi_dtype_name(found));
  }
  if (let != NULL && scope->slot_count == 0) {
    const tvi_kir_instr_t* instr = &frame.builder.instrs[root];
    if (instr->opcode == TVI_KIR_CONST || instr->opcode == TVI_KIR_EXTENT) {
      let->kind = TVI_KIR_LET_CONSTANT;
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
    return tvi_kir_lower_fail(l, statement->expr, "'%s' has more than %u indices",
                              statement->name.data, TRIVET_MAX_RANK);
  }
  memcpy(stage.extents, scope->extents, scope->slot_count * sizeof(*scope->extents));
  if (!tvi_kir_lower_ok(l, tvi_kir_builder_finish(&frame.builder, stage.results, 1, 0, NULL,
                                                  l->arena, &stage.instrs, &stage.instr_count))) {
    return false;
  }
  if (*value == TVI_KIR_NONE &&
      !tvi_kir_new_temp(l, statement->name.data, found, scope->extents, scope->slot_count, value)) {
    return false;
  }
  uint32_t part = 0;
  if (is_plain_copy(l, &stage, first_stage, &part)) {
    tvi_kir_stage_t* last = &l->program->stages[l->program->stage_count - 1];
    move_let(l, last->values[part], *value);
    last->values[part] = *value;
    l->program->values[*value].stage = l->program->stage_count - 1;
    return true;
  }
  stage.values[0] = *value;
  return tvi_kir_lower_ok(l, tvi_kir_program_add_stage(l->program, &stage));
}

bool tvi_kir_make_let(lower_t* l, uint32_t index) {
  let_t* let = &l->lets[index];
  const tvi_kir_statement_t* statement = &l->body->statements[index];
  if (let->kind == TVI_KIR_LET_OPEN)
    return tvi_kir_lower_fail(l, statement->expr, "'%s' reads itself", statement->name.data);
  if (let->kind != TVI_KIR_LET_WAITING) return true;
  let->kind = TVI_KIR_LET_OPEN;
  uint32_t outer = l->statement;
  l->statement = index;
  scope_t* scope;
  bool done = tvi_kir_lower_ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope));
  if (done) {
    frame_t frame;
    tvi_kir_frame_init(l, &frame, scope, 0);
    done =
        tvi_kir_open_ranges(l, &frame, statement->expr, statement->indices, statement->index_count);
  }
  uint32_t dtype = TRIVET_DTYPE_INVALID;
  bool typed =
      statement->type.variable != TVI_KIR_NONE || statement->type.dtype != TRIVET_DTYPE_INVALID;
  done = done && (!typed || tvi_kir_resolve_type(l, statement->expr, statement->type, &dtype));
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
      tvi_kir_frame_init(l, &frame, scope, 0);
      done = tvi_kir_lift(l, &frame, expr, &lifted);
      if (done) {
        let->kind = TVI_KIR_LET_STATE;
        let->monoid = lifted.monoid;
        memcpy(let->values, lifted.values, sizeof(let->values));
        let->used_count = lifted.slot_count;
        memcpy(let->used, lifted.slots, sizeof(let->used));
      }
    } else {
      let->values[0] = TVI_KIR_NONE;
      done = make_statement(l, statement, scope, dtype, &let->values[0], let);
      if (done && let->kind == TVI_KIR_LET_OPEN) let->kind = TVI_KIR_LET_VALUE;
    }
  }
  l->statement = outer;
  return done;
}

static bool make_output(lower_t* l, const tvi_kir_statement_t* statement, uint32_t index) {
  const trivet_type_t* type = &l->node->outputs[index];
  scope_t* scope;
  if (!tvi_kir_lower_ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope)))
    return false;
  uint32_t packs = 0, d = 0;
  for (uint32_t i = 0; i < statement->index_count; ++i) packs += statement->indices[i].pack;
  if (packs > 1 || (packs == 0 ? statement->index_count != type->rank
                               : statement->index_count - 1 > type->rank)) {
    return tvi_kir_lower_fail(l, statement->expr, "'%s' has rank %u, its %u indices do not fit",
                              statement->name.data, type->rank, statement->index_count);
  }
  for (uint32_t i = 0; i < statement->index_count; ++i) {
    const tvi_kir_range_t* range = &statement->indices[i];
    uint32_t n = range->pack ? type->rank - (statement->index_count - 1) : 1;
    entry_t* entry = tvi_kir_add_entry(l, scope, statement->expr, range->name,
                                       range->pack ? TVI_KIR_NAME_PACK : TVI_KIR_NAME_INDEX);
    if (entry == NULL) return false;
    entry->first = scope->slot_count;
    entry->count = n;
    if (!tvi_kir_add_slots(l, scope, statement->expr, type->dims + d, n)) return false;
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
    if (!tvi_kir_node_operand(&l, &place, &is_input, &index, &operand) || is_input) {
      tvi_kir_lower_fail(&l, &place, "'%s' is not an output", statement->name.data);
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
