// SPDX-License-Identifier: Apache-2.0
//
// Reductions and scans within expressions: each is lifted to a stage of its own, over those indices
// around it that it depends on. An equal one that is there already is read again.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_lower.h"
#include "core/kernel_ir/program.h"

typedef tvi_kir_lower_t lower_t;
typedef tvi_kir_frame_t frame_t;
typedef tvi_kir_name_scope_t scope_t;
typedef tvi_kir_name_entry_t entry_t;
typedef tvi_kir_let_t let_t;
typedef tvi_kir_lifted_t lifted_t;
typedef tvi_kir_ref_t ref_t;
typedef const tvi_kir_expr_t* expr_t;

#define REF_NONE TVI_KIR_NONE

bool tvi_kir_open_ranges(lower_t* l, frame_t* f, expr_t place, const tvi_kir_range_t* ranges,
                         uint32_t count) {
  scope_t* scope = f->scope;
  for (uint32_t i = 0; i < count; ++i) {
    trivet_dim_t dims[TRIVET_MAX_RANK];
    uint32_t n = 1;
    if (ranges[i].pack) {
      const tvi_kir_extent_binding_t* pack = tvi_kir_find_extent(l, ranges[i].extent->name);
      if (pack == NULL || !pack->pack) {
        return tvi_kir_lower_fail(l, ranges[i].extent, "'%s' is not a pack of extents",
                                  ranges[i].extent->name.data);
      }
      n = pack->count;
      memcpy(dims, pack->dims, n * sizeof(*dims));
    } else if (!tvi_kir_extent_of(l, f, ranges[i].extent, &dims[0])) {
      return false;
    }
    uint32_t first = scope->slot_count;
    if (!tvi_kir_add_slots(l, scope, place, dims, n)) return false;
    entry_t* entry = tvi_kir_add_entry(l, scope, place, ranges[i].name,
                                       ranges[i].pack ? TVI_KIR_NAME_PACK : TVI_KIR_NAME_INDEX);
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
  if (!tvi_kir_lower_ok(l, tvi_arena_alloc_zeroed(l->scratch, sizeof(*scope), &scope)))
    return false;
  tvi_kir_frame_init(l, &frame, scope, 0);
  uint32_t n = declared->state_count;
  monoid->kind = TVI_KIR_DECLARED;
  monoid->state_count = monoid->element_count = n;
  trivet_string_view_t name;
  if (!tvi_kir_lower_ok(l, tvi_arena_strdup(l->arena, declared->name, &name))) return false;
  monoid->name = name.data;
  for (uint32_t i = 0; i < n; ++i) {
    if (!tvi_kir_resolve_type(l, place, declared->state_types[i], &monoid->dtypes[i])) return false;
    if (!tvi_kir_lower_ok(l, tvi_arena_strdup(l->arena, declared->state_names[i], &name)))
      return false;
    monoid->state_names[i] = name.data;
    monoid->identity[i] = declared->identity[i];
  }
  for (uint32_t i = 0; i < 2 * n; ++i) {
    if (tvi_kir_lower_check(l, &frame, place,
                            tvi_kir_build_opaque(&frame.builder, monoid->dtypes[i % n])) ==
        REF_NONE) {
      return false;
    }
  }
  for (int side = 0; side < 2; ++side) {
    entry_t* entry = tvi_kir_add_entry(
        l, scope, place, side == 0 ? declared->left : declared->right, TVI_KIR_NAME_STATE);
    if (entry == NULL) return false;
    entry->first = side == 0 ? 0 : n;
    entry->monoid = declared;
  }
  for (uint32_t i = 0; i < n; ++i) {
    ref_t ref = tvi_kir_lower_eval(l, &frame, declared->join[i], monoid->dtypes[i]);
    if (ref == REF_NONE) return false;
    if (tvi_kir_frame_dtype(&frame, ref) != monoid->dtypes[i]) {
      return tvi_kir_lower_fail(l, declared->join[i], "the join gives %s for '%s', which is %s",
                                tvi_dtype_name(tvi_kir_frame_dtype(&frame, ref)),
                                monoid->state_names[i], tvi_dtype_name(monoid->dtypes[i]));
    }
    monoid->join_results[i] = ref;
  }
  return tvi_kir_lower_ok(
      l, tvi_kir_builder_finish(&frame.builder, monoid->join_results, n, 2 * n, NULL, l->arena,
                                &monoid->join, &monoid->join_count));
}

// Makes the stage of a reduction or scan and names the slots that its values depend on.
bool tvi_kir_lift(lower_t* l, frame_t* f, expr_t expr, lifted_t* out) {
  if (l->function != NULL || l->input_values == NULL) {
    return tvi_kir_lower_fail(l, expr, "a reduction may not stand here");
  }
  scope_t* scope = f->scope;
  uint32_t entries = scope->entry_count, slots = scope->slot_count;
  bool is_scan = expr->kind == TVI_KIR_EXPR_SCAN;
  frame_t inner;
  tvi_kir_frame_init(l, &inner, scope, f->builder.conditional);
  uint32_t scan_slot = 0;
  if (is_scan) {
    const entry_t* entry = tvi_kir_find_entry(scope, expr->ranges[0].name);
    trivet_dim_t extent;
    if (entry == NULL || entry->kind != TVI_KIR_NAME_INDEX) {
      return tvi_kir_lower_fail(l, expr,
                                "a scan runs along an index of the statement, '%s' is none",
                                expr->ranges[0].name.data);
    }
    scan_slot = entry->first;
    if (!tvi_kir_extent_of(l, &inner, expr->ranges[0].extent, &extent) ||
        !tvi_kir_lower_ok(l, tvi_kir_binding_equate(l->binding, scope->extents[scan_slot], extent,
                                                    "scan", NULL))) {
      return false;
    }
  } else if (!tvi_kir_open_ranges(l, &inner, expr, expr->ranges, expr->range_count)) {
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
  if (!tvi_kir_lower_ok(l, tvi_arena_alloc_zeroed(l->arena, sizeof(*monoid), &monoid)))
    return false;
  const tvi_kir_monoid_decl_t* declared =
      kind == TVI_KIR_DECLARED ? find_monoid(l, expr->name) : NULL;
  if (kind == TVI_KIR_DECLARED) {
    if (declared == NULL)
      return tvi_kir_lower_fail(l, expr, "'%s' is not a reduction", expr->name.data);
    if (!make_declared_monoid(l, expr, declared, monoid)) return false;
  }
  uint32_t wanted = declared != NULL ? declared->state_count : 1;
  if (expr->arg_count != wanted) {
    return tvi_kir_lower_fail(l, expr, "'%s' takes %u values for each element, not %u",
                              expr->name.data, wanted, expr->arg_count);
  }
  for (uint32_t i = 0; i < expr->arg_count; ++i) {
    uint32_t expected = declared != NULL ? monoid->dtypes[i] : TRIVET_DTYPE_INVALID;
    stage.results[i] = tvi_kir_lower_eval(l, &inner, expr->args[i], expected);
    if (stage.results[i] == REF_NONE) return false;
    if (declared != NULL && tvi_kir_frame_dtype(&inner, stage.results[i]) != expected) {
      return tvi_kir_lower_fail(l, expr->args[i], "'%s' is %s, not %s", monoid->state_names[i],
                                tvi_dtype_name(expected),
                                tvi_dtype_name(tvi_kir_frame_dtype(&inner, stage.results[i])));
    }
  }
  if (declared == NULL) {
    monoid->kind = kind;
    trivet_status_t status =
        tvi_kir_monoid_fill(monoid, tvi_kir_frame_dtype(&inner, stage.results[0]));
    if (status != NULL) {
      return tvi_kir_lower_ok(
          l, trivet_status_annotate(status, "%s, line %u, column %u", l->node->op->name.data,
                                    expr->line, expr->column));
    }
  }
  stage.monoid = monoid;
  stage.result_count = monoid->state_count;
  bool is_arg = kind == TVI_KIR_ARGMAX || kind == TVI_KIR_ARGMIN;
  if (is_arg) {
    if (scope->slot_count - slots != 1) {
      return tvi_kir_lower_fail(l, expr, "'%s' runs over one index", expr->name.data);
    }
    stage.results[1] =
        tvi_kir_lower_check(l, &inner, expr, tvi_kir_build_index(&inner.builder, slots));
    if (stage.results[1] == REF_NONE) return false;
  }
  // The indices that the body reads become those of the stage, in the order of their slots.
  uint32_t map[TVI_KIR_MAX_INDICES];
  bool used[TVI_KIR_MAX_INDICES] = {false};
  tvi_kir_instr_t* instrs;
  uint32_t instr_count;
  if (!tvi_kir_lower_ok(
          l, tvi_kir_builder_finish(&inner.builder, stage.results, monoid->element_count, 0, NULL,
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
    return tvi_kir_lower_fail(l, expr,
                              "the reduction depends on %u indices, at most %u can be kept",
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
    if (!(is_arg && i == 0) && !tvi_kir_new_temp(l, NULL, monoid->dtypes[i], stage.extents,
                                                 stage.parallel_count, &stage.values[i])) {
      return false;
    }
  }
  memcpy(out->values, stage.values, sizeof(out->values));
  return tvi_kir_lower_ok(l, tvi_kir_program_add_stage(l->program, &stage));
}

static ref_t load_lifted(lower_t* l, frame_t* f, expr_t expr, const lifted_t* lifted,
                         uint32_t part) {
  ref_t indices[TVI_KIR_MAX_INDICES];
  for (uint32_t i = 0; i < lifted->slot_count; ++i) {
    indices[i] = tvi_kir_build_index(&f->builder, lifted->slots[i]);
  }
  return tvi_kir_lower_check(
      l, f, expr, tvi_kir_build_load(&f->builder, lifted->values[part], indices, NULL, REF_NONE));
}

ref_t tvi_kir_eval_reduce(lower_t* l, frame_t* f, expr_t expr) {
  lifted_t lifted;
  if (!tvi_kir_lift(l, f, expr, &lifted)) return REF_NONE;
  const tvi_kir_monoid_t* monoid = lifted.monoid;
  if (monoid->kind == TVI_KIR_ARGMAX || monoid->kind == TVI_KIR_ARGMIN) {
    return load_lifted(l, f, expr, &lifted, 1);
  }
  if (monoid->state_count > 1) {
    tvi_kir_lower_fail(l, expr, "'%s' has parts: write '.%s' after it", monoid->name,
                       monoid->state_names[0]);
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
  if (!tvi_kir_open_ranges(l, f, expr, expr->ranges, expr->range_count)) return REF_NONE;
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
  return tvi_kir_lower_check(l, f, expr,
                             tvi_kir_build_op(b, TVI_KIR_CAST, dtype, result, REF_NONE, REF_NONE));
}

ref_t tvi_kir_eval_field(lower_t* l, frame_t* f, expr_t expr) {
  expr_t base = expr->args[0];
  const tvi_kir_monoid_t* monoid = NULL;
  lifted_t lifted;
  const let_t* let = NULL;
  if (base->kind == TVI_KIR_EXPR_NAME) {
    const entry_t* entry = tvi_kir_find_entry(f->scope, base->name);
    if (entry != NULL && entry->kind == TVI_KIR_NAME_STATE) {
      for (uint32_t i = 0; i < entry->monoid->state_count; ++i) {
        if (tvi_sv_equal(entry->monoid->state_names[i], expr->name)) return entry->first + i;
      }
      tvi_kir_lower_fail(l, expr, "'%s' is not a part of the state", expr->name.data);
      return REF_NONE;
    }
  }
  if (base->kind == TVI_KIR_EXPR_NAME || base->kind == TVI_KIR_EXPR_LOAD) {
    let = tvi_kir_find_let(l, base);
    if (l->status != NULL) return REF_NONE;
    if (let != NULL && let->kind == TVI_KIR_LET_STATE) monoid = let->monoid;
  } else if (base->kind == TVI_KIR_EXPR_REDUCE) {
    if (!tvi_kir_lift(l, f, base, &lifted)) return REF_NONE;
    monoid = lifted.monoid;
  }
  if (monoid == NULL) {
    tvi_kir_lower_fail(l, expr, "'.%s' stands after something without parts", expr->name.data);
    return REF_NONE;
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    if (!tvi_sv_equal_cstr(expr->name, monoid->state_names[i])) continue;
    uint32_t value = let != NULL ? let->values[i] : lifted.values[i];
    if (value == TVI_KIR_NONE) break;
    return let != NULL ? tvi_kir_load_let(l, f, base, let, i) : load_lifted(l, f, expr, &lifted, i);
  }
  tvi_kir_lower_fail(l, expr, "'%s' has no part '%s'", monoid->name, expr->name.data);
  return REF_NONE;
}
