// SPDX-License-Identifier: Apache-2.0
//
// merge-common-subexpressions: of two nodes with the same operator, attributes and operands the
// later one goes, and of two constants with the same contents likewise. Operands of commutative
// operators count in either order.
//
//   %a = std.Add(%x, %y)                 %a = std.Add(%x, %y)
//   %b = std.Add(%y, %x)           ->    %c = std.Mul(%a, %a)
//   %c = std.Mul(%a, %b)
#include <string.h>

#include "core/base/hash.h"
#include "core/base/map.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// Constants under different names that a refit may want to change one by one stay apart above this
// size; a plan stores equal contents once anyway.
#define NAMED_BYTES 1024u
#define SAMPLE_BYTES 64u

typedef struct walk_s {
  tvi_edit_t edit;
  tvi_idmap_t seen;  // hash -> id; a taken key moves on to the next
} walk_t;

// ---------------------------------------------------------------------------------------------
// Constants
// ---------------------------------------------------------------------------------------------

static uint64_t hash_type(const trivet_type_t* type) {
  uint64_t hash = tvi_hash_combine(type->dtype, type->rank);
  for (uint32_t i = 0; i < type->rank; ++i) {
    hash = tvi_hash_combine(hash, (uint64_t)(uintptr_t)type->dims[i]);
  }
  return hash;
}

// A few bytes tell most constants apart; equality is then tested on all of them.
static uint64_t hash_constant(const tvi_value_t* value) {
  const tvi_constant_t* constant = value->constant;
  uint64_t hash = hash_type(&value->type);
  if (constant->data == NULL) {
    return tvi_hash64(value->ints, value->int_count * sizeof(*value->ints), hash);
  }
  const uint8_t* bytes = constant->data;
  uint64_t size = constant->size;
  hash = tvi_hash_combine(hash, size);
  if (size <= 4 * SAMPLE_BYTES) return tvi_hash64(bytes, size, hash);
  hash = tvi_hash64(bytes, SAMPLE_BYTES, hash);
  hash = tvi_hash64(bytes + size / 2, SAMPLE_BYTES, hash);
  return tvi_hash64(bytes + size - SAMPLE_BYTES, SAMPLE_BYTES, hash);
}

static bool same_constant(const tvi_value_t* a, const tvi_value_t* b) {
  const tvi_constant_t *x = a->constant, *y = b->constant;
  if (!tvi_type_equal(&a->type, &b->type)) return false;
  if (x->data == NULL || y->data == NULL) {
    return x->data == y->data && x->kind == TVI_CONSTANT_DIMS && y->kind == TVI_CONSTANT_DIMS &&
           a->int_count == b->int_count &&
           memcmp(a->ints, b->ints, a->int_count * sizeof(*a->ints)) == 0;
  }
  if (x->size != y->size || (x->data != y->data && memcmp(x->data, y->data, x->size) != 0)) {
    return false;
  }
  bool both_named = x->kind == TVI_CONSTANT_SOURCE && y->kind == TVI_CONSTANT_SOURCE &&
                    x->name.size != 0 && y->name.size != 0;
  return !both_named || x->size <= NAMED_BYTES;
}

static trivet_status_t merge_constant(walk_t* walk, tvi_value_id_t id) {
  trivet_graph_t* graph = walk->edit.graph;
  const tvi_value_t* value = graph->values[id];
  if (value->dead || value->constant == NULL || value->is_capture || value->producer != 0 ||
      value->use_count == 0 || value->type.dtype == TRIVET_DTYPE_STRING ||
      (value->constant->data == NULL && value->constant->kind != TVI_CONSTANT_DIMS)) {
    return TRIVET_OK;
  }
  uint64_t hash = hash_constant(value), other;
  while (tvi_idmap_get(&walk->seen, hash, &other)) {
    if (same_constant(graph->values[other], value)) {
      walk->edit.at = value->uses[0].node;
      if (!tvi_edit_may(&walk->edit)) return TRIVET_OK;
      tvi_edit_change(&walk->edit, "merged an operand with an equal constant");
      return tvi_graph_replace_value(graph, id, (tvi_value_id_t)other);
    }
    ++hash;
  }
  return tvi_idmap_set(&walk->seen, hash, id);
}

// ---------------------------------------------------------------------------------------------
// Nodes
// ---------------------------------------------------------------------------------------------

static bool is_commutative(const tvi_node_t* node) {
  return (node->op->definition->flags & TRIVET_OPERATOR_COMMUTATIVE) != 0 && node->input_count >= 2;
}

static uint64_t element_size(uint32_t kind) {
  return kind == TRIVET_ATTR_I64 || kind == TRIVET_ATTR_F32 ? 8 : kind == TRIVET_ATTR_DTYPE ? 4 : 0;
}

static uint64_t hash_node(const tvi_node_t* node) {
  uint64_t hash = (uint64_t)(uintptr_t)node->op;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const trivet_attribute_t* a = &node->attributes[i];
    hash = tvi_hash_combine(tvi_hash_combine(hash, a->kind), a->count);
    hash = tvi_hash64(a->data, a->count * element_size(a->kind), hash);
  }
  uint32_t first = 0;
  if (is_commutative(node)) {
    hash = tvi_hash_combine(hash, (uint64_t)node->inputs[0] + node->inputs[1]);
    first = 2;
  }
  for (uint32_t i = first; i < node->input_count; ++i) {
    hash = tvi_hash_combine(hash, node->inputs[i]);
  }
  return tvi_hash_combine(hash, node->output_count);
}

static bool same_tensor(const trivet_tensor_t* a, const trivet_tensor_t* b) {
  return a->dtype == b->dtype && a->rank == b->rank && a->size == b->size &&
         a->dtype != TRIVET_DTYPE_STRING &&
         memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0 &&
         (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static bool same_attribute(const trivet_attribute_t* a, const trivet_attribute_t* b) {
  if (strcmp(a->name, b->name) != 0 || a->kind != b->kind || a->flags != b->flags ||
      a->count != b->count) {
    return false;
  }
  uint64_t width = element_size(a->kind);
  if (width != 0) return a->count == 0 || memcmp(a->data, b->data, a->count * width) == 0;
  for (uint64_t i = 0; i < a->count; ++i) {
    if (a->kind == TRIVET_ATTR_STRING) {
      const trivet_string_view_t* x = (const trivet_string_view_t*)a->data + i;
      const trivet_string_view_t* y = (const trivet_string_view_t*)b->data + i;
      if (x->size != y->size || memcmp(x->data, y->data, x->size) != 0) return false;
    } else if (a->kind != TRIVET_ATTR_TENSOR || !same_tensor((const trivet_tensor_t*)a->data + i,
                                                             (const trivet_tensor_t*)b->data + i)) {
      return false;
    }
  }
  return true;
}

static bool same_operands(const tvi_node_t* a, const tvi_node_t* b) {
  if (a->input_count != b->input_count) return false;
  uint32_t first = 0;
  if (is_commutative(a)) {
    bool straight = a->inputs[0] == b->inputs[0] && a->inputs[1] == b->inputs[1];
    bool crossed = a->inputs[0] == b->inputs[1] && a->inputs[1] == b->inputs[0];
    if (!straight && !crossed) return false;
    first = 2;
  }
  for (uint32_t i = first; i < a->input_count; ++i) {
    if (a->inputs[i] != b->inputs[i]) return false;
  }
  return true;
}

// |a| gives all that |b| gives.
static bool same_node(const trivet_graph_t* graph, const tvi_node_t* a, const tvi_node_t* b) {
  if (a->dead || a->op != b->op || a->attribute_count != b->attribute_count ||
      a->output_count != b->output_count || !same_operands(a, b)) {
    return false;
  }
  for (uint32_t i = 0; i < a->attribute_count; ++i) {
    if (!same_attribute(&a->attributes[i], &b->attributes[i])) return false;
  }
  for (uint32_t i = 0; i < a->output_count; ++i) {
    if (b->outputs[i] == 0) continue;
    if (a->outputs[i] == 0) return false;
    // Sizes that depend on data are symbols of their own in each node.
    if (!tvi_type_equal(&graph->values[a->outputs[i]]->type, &graph->values[b->outputs[i]]->type)) {
      return false;
    }
  }
  return true;
}

static trivet_status_t merge_node(walk_t* walk, tvi_node_id_t id) {
  trivet_graph_t* graph = walk->edit.graph;
  const tvi_node_t* node = graph->nodes[id];
  if (node->subgraph_count != 0 || !tvi_node_is_pure(node) ||
      (node->op->definition->flags & TRIVET_OPERATOR_NONDETERMINISTIC) != 0) {
    return TRIVET_OK;
  }
  uint64_t hash = hash_node(node), other;
  while (tvi_idmap_get(&walk->seen, hash, &other)) {
    if (same_node(graph, graph->nodes[other], node)) {
      walk->edit.at = id;
      if (!tvi_edit_may(&walk->edit)) return TRIVET_OK;
      tvi_edit_change(&walk->edit, "merged with an equal node");
      TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, (tvi_node_id_t)other, id));
      for (uint32_t i = 0; i < node->output_count; ++i) {
        if (node->outputs[i] == 0) continue;
        TRIVET_RETURN_IF_ERROR(
            tvi_graph_replace_value(graph, node->outputs[i], graph->nodes[other]->outputs[i]));
      }
      return tvi_edit_sweep(&walk->edit, id, (tvi_node_id_t)other);
    }
    ++hash;
  }
  return tvi_idmap_set(&walk->seen, hash, id);
}

static trivet_status_t merge(walk_t* walk) {
  trivet_graph_t* graph = walk->edit.graph;
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    TRIVET_RETURN_IF_ERROR(merge_constant(walk, id));
  }
  tvi_idmap_clear(&walk->seen);
  tvi_node_id_t next;
  for (tvi_node_id_t id = graph->first; id != 0; id = next) {
    next = graph->nodes[id]->next;
    TRIVET_RETURN_IF_ERROR(merge_node(walk, id));
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  walk_t walk = {.edit = {context, graph, 0, 0}};
  tvi_idmap_init(&walk.seen, graph->allocator);
  trivet_status_t status = merge(&walk);
  tvi_idmap_deinit(&walk.seen);
  *out_changed = walk.edit.changes != 0;
  return status;
}

TVI_PASS_DEFINE(merge_common_subexpressions, "merge-common-subexpressions",
                "computes equal expressions once", run);
