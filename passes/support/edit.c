// SPDX-License-Identifier: Apache-2.0
//
// Implements edit.h. Everything that a pass does to a graph goes through here, so that origins,
// observed values and use lists are kept in one place.
#include "passes/support/edit.h"

#include <string.h>

#include "core/base/dtype.h"

trivet_status_t tvi_edit_run(trivet_pass_context_t* context, trivet_graph_t* graph,
                             tvi_edit_visit_t visit, uint32_t* out_changed) {
  tvi_edit_t edit = {context, graph, 0, 0};
  tvi_node_id_t next;
  for (tvi_node_id_t id = graph->first; id != 0; id = next) {
    edit.at = id;
    TRIVET_RETURN_IF_ERROR(visit(&edit, graph->nodes[id]));
    // A removed node still says what followed it, and so do those behind it that went as well.
    next = graph->nodes[id]->next;
    while (next != 0 && graph->nodes[next]->dead) next = graph->nodes[next]->next;
  }
  *out_changed = edit.changes != 0;
  return TRIVET_OK;
}

trivet_status_t tvi_edit_node(tvi_edit_t* edit, const char* op, const tvi_value_id_t* inputs,
                              uint32_t input_count, const trivet_attribute_t* attributes,
                              uint32_t attribute_count, uint32_t output_count,
                              tvi_node_id_t* out_node) {
  const tvi_node_t* at = edit->graph->nodes[edit->at];
  const tvi_node_desc_t desc = {
      .op = op,
      .inputs = inputs,
      .input_count = input_count,
      .attributes = attributes,
      .attribute_count = attribute_count,
      .output_count = output_count,
      .origins = at->origins,
      .origin_count = at->origin_count,
      .before = edit->at,
  };
  return tvi_graph_add_node(edit->graph, &desc, out_node);
}

trivet_status_t tvi_edit_op(tvi_edit_t* edit, const char* op, const tvi_value_id_t* inputs,
                            uint32_t input_count, const trivet_attribute_t* attributes,
                            uint32_t attribute_count, tvi_value_id_t* out_value) {
  tvi_node_id_t node;
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_node(edit, op, inputs, input_count, attributes, attribute_count, 1, &node));
  *out_value = edit->graph->nodes[node]->outputs[0];
  return TRIVET_OK;
}

trivet_status_t tvi_edit_op2(tvi_edit_t* edit, const char* op, tvi_value_id_t a, tvi_value_id_t b,
                             tvi_value_id_t* out_value) {
  const tvi_value_id_t inputs[2] = {a, b};
  return tvi_edit_op(edit, op, inputs, b != 0 ? 2 : 1, NULL, 0, out_value);
}

trivet_status_t tvi_edit_reshape(tvi_edit_t* edit, tvi_value_id_t x, const trivet_dim_t* dims,
                                 uint32_t rank, tvi_value_id_t* out_value) {
  const trivet_type_t* type = &edit->graph->values[x]->type;
  bool same = type->rank == rank, has_zero = false;
  for (uint32_t i = 0; i < rank; ++i) {
    same = same && type->dims[i] == dims[i];
    has_zero = has_zero || tvi_dim_equals_constant(dims[i], 0);
  }
  if (same) {
    *out_value = x;
    return TRIVET_OK;
  }
  tvi_value_id_t shape;
  TRIVET_RETURN_IF_ERROR(tvi_edit_dims(edit, dims, rank, &shape));
  const int64_t one = 1;
  const trivet_attribute_t allow_zero = tvi_edit_i64("allowzero", &one);
  const tvi_value_id_t inputs[2] = {x, shape};
  return tvi_edit_op(edit, "std.Reshape", inputs, 2, &allow_zero, has_zero ? 1 : 0, out_value);
}

trivet_status_t tvi_edit_splat(tvi_edit_t* edit, uint32_t dtype, double value, const int64_t* dims,
                               uint32_t rank, tvi_value_id_t* out_value) {
  trivet_tensor_t tensor = {.dtype = dtype, .rank = rank};
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    tensor.dims[i] = dims[i];
    if (dims[i] < 0 || __builtin_mul_overflow(count, dims[i], &count)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "a constant is too large");
    }
  }
  size_t size;
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dtype, count, &size));
  void* bytes = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(edit->graph->arena, size + 1, &bytes));
  for (int64_t i = 0; i < count; ++i) tvi_dtype_write_f64(dtype, bytes, i, value);
  tensor.data = bytes;
  tensor.size = size;
  return tvi_graph_add_constant(edit->graph, (trivet_string_view_t){NULL, 0}, &tensor, false,
                                out_value);
}

trivet_status_t tvi_edit_scalar(tvi_edit_t* edit, uint32_t dtype, double value,
                                tvi_value_id_t* out_value) {
  return tvi_edit_splat(edit, dtype, value, NULL, 0, out_value);
}

trivet_status_t tvi_edit_ints(tvi_edit_t* edit, const int64_t* values, uint64_t count,
                              tvi_value_id_t* out_value) {
  trivet_tensor_t tensor = {.dtype = TRIVET_DTYPE_I64, .rank = 1};
  tensor.dims[0] = (int64_t)count;
  tensor.data = (void*)values;
  tensor.size = count * sizeof(*values);
  return tvi_graph_add_constant(edit->graph, (trivet_string_view_t){NULL, 0}, &tensor, true,
                                out_value);
}

trivet_status_t tvi_edit_dims(tvi_edit_t* edit, const trivet_dim_t* dims, uint64_t count,
                              tvi_value_id_t* out_value) {
  trivet_type_t type = {.dtype = TRIVET_DTYPE_I64, .rank = 1};
  type.dims[0] = tvi_dim_constant(edit->graph->dims, (int64_t)count);
  return tvi_graph_add_dims_constant(edit->graph, &type, dims, out_value);
}

trivet_status_t tvi_edit_sweep(tvi_edit_t* edit, tvi_node_id_t node, tvi_node_id_t into) {
  return tvi_graph_sweep(edit->graph, node, into);
}

bool tvi_edit_fits(tvi_edit_t* edit, tvi_value_id_t value, tvi_value_id_t replacement) {
  const trivet_graph_t* graph = edit->graph;
  if (tvi_type_equal(&graph->values[value]->type, &graph->values[replacement]->type)) return true;
  tvi_node_id_t producer = graph->values[replacement]->producer;
  // Nothing but memory can fail; the nodes then stay for remove-dead.
  if (producer != 0) trivet_status_free(tvi_edit_sweep(edit, producer, 0));
  return false;
}

trivet_status_t tvi_edit_replace_value(tvi_edit_t* edit, tvi_value_id_t value,
                                       tvi_value_id_t replacement) {
  return tvi_graph_supersede(edit->graph, value, replacement);
}
