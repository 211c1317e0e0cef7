// SPDX-License-Identifier: Apache-2.0
//
// Checks a node against its operator's signature, binds types and extents, infers output types.
// Broadcasting with symbols takes them to be equal and says so in the list of assumptions.
#include "core/kernel_ir/operator_bind.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

typedef tvi_kir_binding_t binding_t;

static const tvi_kir_operand_t* declared(const tvi_kir_operand_t* operands, uint32_t count,
                                         uint32_t index, uint32_t* out_member) {
  *out_member = TVI_KIR_NONE;
  bool variadic = count > 0 && operands[count - 1].variadic;
  if (variadic && index >= count - 1) {
    *out_member = index - (count - 1);
    return &operands[count - 1];
  }
  return index < count ? &operands[index] : NULL;
}

const tvi_kir_operand_t* tvi_kir_declared_input(const tvi_kir_operator_t* op, uint32_t index,
                                                uint32_t* out_member) {
  return declared(op->inputs, op->input_count, index, out_member);
}

const tvi_kir_operand_t* tvi_kir_declared_output(const tvi_kir_operator_t* op, uint32_t index,
                                                 uint32_t* out_member) {
  return declared(op->outputs, op->output_count, index, out_member);
}

static const char* dim_text(const binding_t* binding, trivet_dim_t dim) {
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, binding->arena->allocator);
  trivet_status_free(tvi_dim_print(dim, &builder));
  trivet_string_view_t copy = TRIVET_SV("?");
  trivet_status_free(tvi_arena_strdup(binding->arena, tvi_string_builder_view(&builder), &copy));
  tvi_string_builder_deinit(&builder);
  return copy.data;
}

trivet_status_t tvi_kir_binding_equate(binding_t* binding, trivet_dim_t a, trivet_dim_t b,
                                       const char* what, trivet_dim_t* out_dim) {
  if (a == NULL || b == NULL) return TRIVET_STATUS(OUT_OF_RANGE, "%s: an extent overflows", what);
  bool a_constant = tvi_dim_is_constant(a, NULL), b_constant = tvi_dim_is_constant(b, NULL);
  if (a != b) {
    if (a_constant && b_constant) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "%s: %s and %s are not equal", what,
                           dim_text(binding, a), dim_text(binding, b));
    }
    bool known = false;
    for (uint32_t i = 0; i < binding->assumption_count; ++i) {
      tvi_kir_assumption_t* old = &binding->assumptions[i];
      known = known || (old->a == a && old->b == b) || (old->a == b && old->b == a);
    }
    if (!known) {
      if (binding->assumption_count == binding->assumption_capacity) {
        uint32_t capacity =
            binding->assumption_capacity == 0 ? 4 : binding->assumption_capacity * 2;
        tvi_kir_assumption_t* more;
        TRIVET_RETURN_IF_ERROR(
            tvi_arena_alloc_array(binding->arena, capacity, sizeof(*more), &more));
        if (binding->assumption_count > 0) {
          memcpy(more, binding->assumptions, binding->assumption_count * sizeof(*more));
        }
        binding->assumptions = more;
        binding->assumption_capacity = capacity;
      }
      binding->assumptions[binding->assumption_count++] = (tvi_kir_assumption_t){a, b};
    }
  }
  if (out_dim != NULL) *out_dim = b_constant && !a_constant ? b : a;
  return TRIVET_OK;
}

// ---- Attributes ----

static const char* kind_name(uint32_t kind) {
  static const char* const kNames[] = {"?", "i64", "f32", "string", "dtype", "tensor", "graph"};
  return kind < 7 ? kNames[kind] : "?";
}

static trivet_status_t check_attributes(const tvi_kir_node_t* node) {
  const tvi_kir_operator_t* op = node->op;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const trivet_attribute_t* given = &node->attributes[i];
    const tvi_kir_attribute_t* attribute = tvi_kir_operator_attribute(op, tvi_sv(given->name));
    if (attribute == NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "%s has no attribute '%s'", op->name.data,
                           given->name);
    }
    bool list = (given->flags & TRIVET_ATTR_LIST) != 0;
    bool wants_list = (attribute->flags & TRIVET_ATTR_LIST) != 0;
    if (given->kind != attribute->kind || list != wants_list) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' of %s is %s%s, not %s%s", given->name,
                           op->name.data, kind_name(attribute->kind), wants_list ? "[]" : "",
                           kind_name(given->kind), list ? "[]" : "");
    }
    if ((!list && given->count != 1) || (given->count != 0 && given->data == NULL)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' of %s has no value", given->name,
                           op->name.data);
    }
    for (uint32_t j = 0; j < i; ++j) {
      if (strcmp(node->attributes[j].name, given->name) == 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' of %s is given twice", given->name,
                             op->name.data);
      }
    }
  }
  for (uint32_t i = 0; i < op->attribute_count; ++i) {
    if (!op->attributes[i].required) continue;
    if (tvi_kir_node_attribute(node, op->attributes[i].name) == NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' of %s is missing",
                           op->attributes[i].name.data, op->name.data);
    }
  }
  return TRIVET_OK;
}

const trivet_attribute_t* tvi_kir_node_attribute(const tvi_kir_node_t* node,
                                                 trivet_string_view_t name) {
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    if (tvi_sv_equal_cstr(name, node->attributes[i].name)) return &node->attributes[i];
  }
  const tvi_kir_attribute_t* attribute = tvi_kir_operator_attribute(node->op, name);
  return attribute != NULL ? attribute->default_value : NULL;
}

// ---- Types ----

static trivet_status_t bind_type(binding_t* binding, uint32_t variable, uint32_t dtype,
                                 const char* operand) {
  const tvi_kir_operator_t* op = binding->node->op;
  const tvi_kir_type_variable_t* declared_variable = &op->type_variables[variable];
  if (dtype >= TRIVET_DTYPE_COUNT || ((declared_variable->dtypes >> dtype) & 1) == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' of %s: element type %s is not one that %s can be",
                         operand, op->name.data, tvi_dtype_name(dtype),
                         declared_variable->name.data);
  }
  uint32_t bound = binding->types[variable];
  if (bound != TRIVET_DTYPE_INVALID && bound != dtype) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' of %s: element type is %s, but %s is %s already",
                         operand, op->name.data, tvi_dtype_name(dtype),
                         declared_variable->name.data, tvi_dtype_name(bound));
  }
  binding->types[variable] = dtype;
  return TRIVET_OK;
}

static trivet_status_t bind_types(binding_t* binding) {
  const tvi_kir_node_t* node = binding->node;
  const tvi_kir_operator_t* op = node->op;
  for (uint32_t i = 0; i < op->type_variable_count; ++i) {
    uint32_t from = op->type_variables[i].attribute;
    if (from == TVI_KIR_NONE) continue;
    const trivet_attribute_t* attribute = tvi_kir_node_attribute(node, op->attributes[from].name);
    if (attribute == NULL) continue;
    TRIVET_RETURN_IF_ERROR(
        bind_type(binding, i, ((const uint32_t*)attribute->data)[0], attribute->name));
  }
  for (uint32_t i = 0; i < node->input_count; ++i) {
    uint32_t member;
    const tvi_kir_operand_t* operand = tvi_kir_declared_input(op, i, &member);
    if (operand == NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "%s takes at most %u inputs, not %u", op->name.data,
                           op->input_count, node->input_count);
    }
    const trivet_type_t* type = node->inputs[i];
    if (type == NULL) {
      if (operand->optional) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' of %s is missing", operand->name.data,
                           op->name.data);
    }
    if (type->rank > TRIVET_MAX_RANK) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' of %s has rank %u", operand->name.data,
                           op->name.data, type->rank);
    }
    if (operand->type_variable != TVI_KIR_NONE) {
      TRIVET_RETURN_IF_ERROR(
          bind_type(binding, operand->type_variable, type->dtype, operand->name.data));
    } else if (operand->dtype != type->dtype) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' of %s: element type is %s, not %s",
                           operand->name.data, op->name.data, tvi_dtype_name(type->dtype),
                           tvi_dtype_name(operand->dtype));
    }
  }
  for (uint32_t i = node->input_count; i < op->input_count; ++i) {
    if (!op->inputs[i].optional && !op->inputs[i].variadic) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' of %s is missing", op->inputs[i].name.data,
                           op->name.data);
    }
  }
  if (node->output_count > op->output_count &&
      !(op->output_count > 0 && op->outputs[op->output_count - 1].variadic)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s has %u outputs, not %u", op->name.data,
                         op->output_count, node->output_count);
  }
  return TRIVET_OK;
}

// ---- Extents ----

static trivet_status_t operand_error(const binding_t* binding, const tvi_kir_operand_t* operand,
                                     trivet_status_t status) {
  return trivet_status_annotate(status, "input '%s' of %s", operand->name.data,
                                binding->node->op->name.data);
}

static trivet_status_t check_rank(const binding_t* binding, const tvi_kir_operand_t* operand,
                                  uint32_t rank, uint32_t* out_pack) {
  uint32_t fixed = 0;
  bool has_pack = false;
  for (uint32_t i = 0; i < operand->extent_count; ++i) {
    bool pack = operand->extents[i].kind == TVI_KIR_EXTENT_PACK ||
                operand->extents[i].kind == TVI_KIR_EXTENT_BCAST;
    has_pack = has_pack || pack;
    if (!pack) ++fixed;
  }
  if (has_pack ? rank < fixed : rank != fixed) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s' of %s: rank is %u, but it must be %s%u",
                         operand->name.data, binding->node->op->name.data, rank,
                         has_pack ? "at least " : "", fixed);
  }
  *out_pack = rank - fixed;
  return TRIVET_OK;
}

static trivet_status_t bind_one(binding_t* binding, tvi_kir_extent_binding_t* extent, uint32_t at,
                                trivet_dim_t dim, const char* name) {
  if (!extent->bound) {
    extent->dims[at] = dim;
    return TRIVET_OK;
  }
  return tvi_kir_binding_equate(binding, extent->dims[at], dim, name, &extent->dims[at]);
}

// Widens the pack to hold |count| more-significant dimensions and takes the broadcast of both.
static trivet_status_t bind_broadcast(binding_t* binding, tvi_kir_extent_binding_t* extent,
                                      const trivet_dim_t* dims, uint32_t count, bool fixed,
                                      const char* name) {
  if (!extent->bound) {
    extent->bound = true;
    extent->pack = true;
    extent->count = 0;
  }
  if (count > extent->count) {
    uint32_t more = count - extent->count;
    if (fixed) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "%u dimensions cannot be broadcast to the %u of %s",
                           count, extent->count, name);
    }
    memmove(extent->dims + more, extent->dims, extent->count * sizeof(*dims));
    memcpy(extent->dims, dims, more * sizeof(*dims));
    extent->count = count;
  }
  for (uint32_t i = 0; i < count; ++i) {
    trivet_dim_t* wide = &extent->dims[extent->count - count + i];
    if (tvi_dim_equals_constant(dims[i], 1)) continue;
    if (tvi_dim_equals_constant(*wide, 1) && !fixed) {
      *wide = dims[i];
    } else {
      TRIVET_RETURN_IF_ERROR(tvi_kir_binding_equate(binding, *wide, dims[i], name, wide));
    }
  }
  return TRIVET_OK;
}

// One pass over all operands: 0 names and packs, 1 broadcast packs, 2 expressions.
static trivet_status_t bind_extents(binding_t* binding, int pass, const uint8_t* fixed) {
  const tvi_kir_node_t* node = binding->node;
  const tvi_kir_operator_t* op = node->op;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    uint32_t member, pack = 0;
    const tvi_kir_operand_t* operand = tvi_kir_declared_input(op, i, &member);
    const trivet_type_t* type = node->inputs[i];
    if (type == NULL || operand->any_rank) continue;
    TRIVET_RETURN_IF_ERROR(check_rank(binding, operand, type->rank, &pack));
    uint32_t d = 0;
    for (uint32_t j = 0; j < operand->extent_count; ++j) {
      const tvi_kir_extent_t* declared_extent = &operand->extents[j];
      tvi_kir_extent_binding_t* extent =
          declared_extent->name != TVI_KIR_NONE ? &binding->extents[declared_extent->name] : NULL;
      const char* name = extent != NULL ? op->extent_names[declared_extent->name].data : "extent";
      trivet_status_t status = TRIVET_OK;
      switch (declared_extent->kind) {
        case TVI_KIR_EXTENT_NAME:
          if (pass == 0) status = bind_one(binding, extent, 0, type->dims[d], name);
          extent->bound = true;
          extent->count = 1;
          ++d;
          break;
        case TVI_KIR_EXTENT_PACK:
          if (pass == 0) {
            if (extent->bound && extent->count != pack) {
              status = TRIVET_STATUS(INVALID_ARGUMENT, "%s has %u dimensions, not %u", name,
                                     extent->count, pack);
            }
            for (uint32_t k = 0; k < pack && status == NULL; ++k) {
              status = bind_one(binding, extent, k, type->dims[d + k], name);
            }
            extent->bound = true;
            extent->pack = true;
            extent->count = pack;
          }
          d += pack;
          break;
        case TVI_KIR_EXTENT_BCAST:
          if (pass == 1) {
            status = bind_broadcast(binding, extent, type->dims + d, pack,
                                    fixed[declared_extent->name] != 0, name);
          }
          d += pack;
          break;
        default: {
          trivet_dim_t expected = NULL;
          if (pass == 2) {
            status = tvi_kir_extent_evaluate(binding, declared_extent->expr, &expected);
            if (status == NULL) {
              status = tvi_kir_binding_equate(binding, expected, type->dims[d], name, NULL);
            }
          }
          ++d;
          break;
        }
      }
      if (status != NULL) return operand_error(binding, operand, status);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_kir_binding_make(const tvi_kir_node_t* node, tvi_arena_t* arena,
                                     binding_t* binding) {
  const tvi_kir_operator_t* op = node->op;
  memset(binding, 0, sizeof(*binding));
  binding->node = node;
  binding->arena = arena;
  TRIVET_RETURN_IF_ERROR(check_attributes(node));
  TRIVET_RETURN_IF_ERROR(bind_types(binding));
  uint8_t fixed[TVI_KIR_MAX_LIST];
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      arena, op->extent_name_count, sizeof(*binding->extents), &binding->extents));
  TRIVET_RETURN_IF_ERROR(bind_extents(binding, 0, NULL));
  for (uint32_t i = 0; i < op->extent_name_count; ++i) fixed[i] = binding->extents[i].bound;
  TRIVET_RETURN_IF_ERROR(bind_extents(binding, 1, fixed));
  return bind_extents(binding, 2, fixed);
}

trivet_status_t tvi_kir_node_check(const tvi_kir_node_t* node) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, node->op->arena.allocator, 4096);
  binding_t binding;
  trivet_status_t status = tvi_kir_binding_make(node, &arena, &binding);
  tvi_arena_deinit(&arena);
  return status;
}

// ---- Inference ----

static trivet_status_t infer_output(binding_t* binding, const tvi_kir_operand_t* operand,
                                    trivet_type_t* type) {
  const tvi_kir_operator_t* op = binding->node->op;
  if (operand->any_rank) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "the text of %s does not say the shape of '%s'",
                         op->name.data, operand->name.data);
  }
  type->dtype = operand->dtype;
  if (operand->type_variable != TVI_KIR_NONE) {
    type->dtype = binding->types[operand->type_variable];
    if (type->dtype == TRIVET_DTYPE_INVALID) {
      return TRIVET_STATUS(FAILED_PRECONDITION, "the text of %s does not say the type of '%s'",
                           op->name.data, operand->name.data);
    }
  }
  for (uint32_t j = 0; j < operand->extent_count; ++j) {
    const tvi_kir_extent_t* extent = &operand->extents[j];
    trivet_dim_t dims[TRIVET_MAX_RANK];
    uint32_t count = 1;
    if (extent->kind == TVI_KIR_EXTENT_EXPR) {
      TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_kir_extent_evaluate(binding, extent->expr, &dims[0]),
                                       "output '%s' of %s", operand->name.data, op->name.data);
    } else {
      const tvi_kir_extent_binding_t* bound = &binding->extents[extent->name];
      if (!bound->bound) {
        return TRIVET_STATUS(
            FAILED_PRECONDITION, "output '%s' of %s: no operand says what extent %s is",
            operand->name.data, op->name.data, op->extent_names[extent->name].data);
      }
      count = bound->count;
      memcpy(dims, bound->dims, count * sizeof(*dims));
    }
    if (type->rank + count > TRIVET_MAX_RANK) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "output '%s' of %s: rank above %u", operand->name.data,
                           op->name.data, TRIVET_MAX_RANK);
    }
    for (uint32_t k = 0; k < count; ++k) {
      int64_t value;
      if (tvi_dim_is_constant(dims[k], &value) && value < 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "output '%s' of %s: extent %lld is negative",
                             operand->name.data, op->name.data, (long long)value);
      }
      type->dims[type->rank++] = dims[k];
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_kir_node_infer(const tvi_kir_node_t* node, tvi_arena_t* arena,
                                   trivet_type_t* out_types,
                                   tvi_kir_assumptions_t* out_assumptions) {
  binding_t binding;
  TRIVET_RETURN_IF_ERROR(tvi_kir_binding_make(node, arena, &binding));
  trivet_type_t* types;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->output_count, sizeof(*types), &types));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    uint32_t member;
    const tvi_kir_operand_t* operand = tvi_kir_declared_output(node->op, i, &member);
    trivet_status_t status = infer_output(&binding, operand, &types[i]);
    if (status == NULL) continue;
    if (node->output_wanted == NULL || node->output_wanted[i]) return status;
    trivet_status_free(status);
    memset(&types[i], 0, sizeof(types[i]));
  }
  if (node->output_count > 0) memcpy(out_types, types, node->output_count * sizeof(*types));
  out_assumptions->count = binding.assumption_count;
  out_assumptions->items = binding.assumptions;
  return TRIVET_OK;
}
