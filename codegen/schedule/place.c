// SPDX-License-Identifier: Apache-2.0
//
// Where values lie: buffers, and the strides by which a value is seen in one. Views cost nothing
// here: a transpose permutes strides, a slice adds an offset, a broadcast has stride 0, a reshape
// regroups them.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/affine.h"

static trivet_dim_t mul(const tvi_schedule_t* s, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(s->graph->dims, TRIVET_DIM_MUL, a, b);
}
static trivet_dim_t add(const tvi_schedule_t* s, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(s->graph->dims, TRIVET_DIM_ADD, a, b);
}
static trivet_dim_t constant(const tvi_schedule_t* s, int64_t value) {
  return tvi_dim_constant(s->graph->dims, value);
}
static bool is_one(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 1); }

void tvi_schedule_dense_strides(const tvi_schedule_t* s, const trivet_type_t* type,
                                const tvi_layout_t* layout, trivet_dim_t* out_strides) {
  trivet_dim_t stride = constant(s, 1);
  for (uint32_t i = type->rank; i-- > 0;) {
    uint32_t d = layout->order[i];
    out_strides[d] = stride;
    stride = mul(s, stride, type->dims[d]);
  }
}

trivet_dim_t tvi_schedule_value_size(const tvi_schedule_t* s, tvi_value_id_t value) {
  const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
  trivet_dim_t count = NULL;
  if (!tvi_type_element_count(s->graph, type, &count)) return NULL;
  uint32_t bits = tvi_dtype_bits(type->dtype);
  if (bits % 8 == 0) return mul(s, count, constant(s, bits / 8));
  return tvi_dim_binary(s->graph->dims, TRIVET_DIM_CEILDIV, mul(s, count, constant(s, bits)),
                        constant(s, 8));
}

trivet_status_t tvi_schedule_add_buffer(tvi_schedule_t* s, uint32_t kind, uint32_t index,
                                        trivet_dim_t size, uint32_t* out_buffer) {
  if (!size) return TRIVET_STATUS(OUT_OF_RANGE, "its size in bytes overflows 64 bits");
  tvi_sched_buffer_t buffer = {
      kind, index, size, TVI_SCHEDULE_NONE, TVI_SCHEDULE_NONE, UINT32_MAX, 0, TRIVET_MEMORY_HOST};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->buffers, buffer));
  *out_buffer = (uint32_t)s->buffers.count - 1;
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_add_constant(tvi_schedule_t* s, const tvi_sched_constant_t* added,
                                          uint32_t* out_index) {
  char key[16 + sizeof(added->size)];
  memcpy(key, added->hash, 16);
  memcpy(key + 16, &added->size, sizeof(added->size));
  trivet_string_view_t view = {key, sizeof(key)};
  uint64_t known = 0;
  if (tvi_map_get(&s->constant_by_hash, view, &known)) {
    *out_index = (uint32_t)known;
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->constants, *added));
  *out_index = (uint32_t)s->constants.count - 1;
  return tvi_map_set(&s->constant_by_hash, view, *out_index);
}

trivet_status_t tvi_schedule_add_tensor(tvi_schedule_t* s, tvi_value_id_t value,
                                        const tvi_place_t* place, uint32_t* out_tensor) {
  const tvi_value_t* v = tvi_graph_value(s->graph, value);
  for (size_t i = s->tensors.count; i-- > 0;) {
    const tvi_sched_tensor_t* t = &s->tensors.data[i];
    if (t->value == value && t->place.buffer == place->buffer && t->place.offset == place->offset &&
        memcmp(t->place.strides, place->strides, t->rank * sizeof(trivet_dim_t)) == 0) {
      *out_tensor = (uint32_t)i;
      return TRIVET_OK;
    }
  }
  tvi_sched_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.value = value;
  tensor.dtype = v->type.dtype;
  tensor.rank = v->type.rank;
  tensor.flags = v->observed ? TVI_PLAN_TENSOR_OBSERVED : 0;
  memcpy(tensor.dims, v->type.dims, sizeof(tensor.dims));
  tensor.place = *place;
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->tensors, tensor));
  *out_tensor = (uint32_t)s->tensors.count - 1;
  return TRIVET_OK;
}

bool tvi_schedule_place_is_dense(const tvi_schedule_t* s, tvi_value_id_t value,
                                 const tvi_place_t* place, const tvi_layout_t* layout) {
  const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
  trivet_dim_t strides[TRIVET_MAX_RANK];
  tvi_schedule_dense_strides(s, type, layout, strides);
  for (uint32_t d = 0; d < type->rank; ++d) {
    if (!is_one(type->dims[d]) && strides[d] != place->strides[d]) return false;
  }
  return true;
}

tvi_layout_t tvi_schedule_place_layout(const tvi_schedule_t* s, tvi_value_id_t value,
                                       const tvi_place_t* place) {
  const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
  int64_t strides[TRIVET_MAX_RANK];
  for (uint32_t d = 0; d < type->rank; ++d) {
    strides[d] = 0;
    if (is_one(type->dims[d])) {
      strides[d] = -1;  // its place does not matter
      continue;
    }
    trivet_status_t status = tvi_dim_evaluate(place->strides[d], s->tactics->options.symbols,
                                              s->tactics->options.symbol_count, &strides[d]);
    if (status) strides[d] = 0;
    trivet_status_free(status);
  }
  tvi_layout_t layout = tvi_layout_plain();
  // Stable insertion by decreasing stride; extents of 1 stay behind their left neighbour.
  for (uint32_t i = 1; i < type->rank; ++i) {
    uint8_t d = layout.order[i];
    if (strides[d] < 0) continue;
    uint32_t at = i;
    while (at > 0 && strides[layout.order[at - 1]] >= 0 &&
           strides[layout.order[at - 1]] < strides[d]) {
      layout.order[at] = layout.order[at - 1];
      --at;
    }
    layout.order[at] = d;
  }
  return layout;
}

// --- Views ------------------------------------------------------------------------------

// The stage that computes output |index| of a view.
static const tvi_kir_stage_t* view_stage(const tvi_kir_program_t* program, uint32_t index) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    if (program->values[program->stages[s].values[0]].tag == 0x1000u + index) {
      return &program->stages[s];
    }
  }
  return NULL;
}

// Strides of a node that reads its operand at affine positions.
static bool view_affine(const tvi_schedule_t* s, const tvi_kir_program_t* program, uint32_t output,
                        const tvi_place_t* base, tvi_place_t* out_place) {
  const tvi_kir_stage_t* stage = view_stage(program, output);
  if (!stage) return false;
  const tvi_kir_load_t* load = stage->instrs[stage->results[0]].imm.load;
  *out_place = *base;
  for (uint32_t i = 0; i < stage->parallel_count; ++i) out_place->strides[i] = constant(s, 0);
  for (uint32_t d = 0; d < load->index_count; ++d) {
    tvi_kir_linear_t form;
    if (!tvi_kir_linear_form(program, stage, load->indices[d], &form) || form.flags) return false;
    out_place->offset = add(s, out_place->offset, mul(s, form.constant, base->strides[d]));
    for (uint32_t t = 0; t < form.term_count; ++t) {
      const tvi_kir_instr_t* atom = &stage->instrs[form.terms[t].atom];
      if (atom->opcode != TVI_KIR_INDEX) return false;
      uint32_t index = (uint32_t)atom->imm.i64;
      out_place->strides[index] =
          add(s, out_place->strides[index], mul(s, form.terms[t].coefficient, base->strides[d]));
      if (!out_place->strides[index]) return false;
    }
  }
  return out_place->offset != NULL;
}

// Strides of a reshape: groups of dimensions with equal products on both sides; a group must be
// walked with one stride on the old side.
static bool view_reshape(const tvi_schedule_t* s, const trivet_type_t* from,
                         const tvi_place_t* base, const trivet_type_t* to, tvi_place_t* out_place) {
  *out_place = *base;
  uint32_t i = 0, j = 0;
  for (;;) {
    while (i < from->rank && is_one(from->dims[i])) ++i;
    while (j < to->rank && is_one(to->dims[j])) out_place->strides[j++] = constant(s, 1);
    if (i == from->rank && j == to->rank) return true;
    if (i == from->rank || j == to->rank) return false;
    uint32_t i0 = i, j0 = j;
    trivet_dim_t left = from->dims[i++], right = to->dims[j++];
    while (left != right) {
      // Grow the side that is the smaller one at its largest; the products must meet.
      int64_t left_max, right_max, low;
      if (!left || !right) return false;
      tvi_dim_range(s->graph->dims, left, &low, &left_max);
      tvi_dim_range(s->graph->dims, right, &low, &right_max);
      bool grow_left = left_max <= right_max ? i < from->rank : j == to->rank;
      if (grow_left ? i == from->rank : j == to->rank) return false;
      if (grow_left) {
        left = mul(s, left, from->dims[i++]);
      } else {
        right = mul(s, right, to->dims[j++]);
      }
    }
    uint32_t last = i - 1;
    while (last > i0 && is_one(from->dims[last])) --last;
    trivet_dim_t expected = base->strides[last];
    trivet_dim_t stride = expected;
    for (uint32_t d = last + 1; d-- > i0;) {
      if (is_one(from->dims[d])) continue;
      if (base->strides[d] != expected) return false;
      expected = mul(s, expected, from->dims[d]);
    }
    for (uint32_t d = j; d-- > j0;) {
      out_place->strides[d] = stride;
      stride = mul(s, stride, to->dims[d]);
    }
  }
}

static trivet_status_t place_constant(tvi_schedule_t* s, tvi_value_id_t id, bool* out_found) {
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  const tvi_constant_t* source = value->constant;
  // Dimensions that are all numbers have bytes like any other constant.
  if (source->kind == TVI_CONSTANT_DIMS && source->data == NULL) return TRIVET_OK;
  tvi_sched_constant_t made;
  memset(&made, 0, sizeof(made));
  made.name = source->name;
  made.dtype = value->type.dtype;
  made.rank = value->type.rank;
  for (uint32_t d = 0; d < value->type.rank; ++d) {
    if (!tvi_dim_is_constant(value->type.dims[d], &made.dims[d]))
      return TRIVET_STATUS(INTERNAL, "a constant has a symbolic shape");
  }
  made.data = source->data;
  made.size = source->size;
  TRIVET_RETURN_IF_ERROR(tvi_constant_hash((tvi_constant_t*)source, &value->type, made.hash));
  uint32_t index = 0;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_constant(s, &made, &index));
  tvi_place_t* place = &s->places[id];
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_buffer(
      s, TVI_PLAN_BUFFER_CONSTANT, index, constant(s, (int64_t)source->size), &place->buffer));
  place->offset = constant(s, 0);
  tvi_layout_t plain = tvi_layout_plain();
  tvi_schedule_dense_strides(s, &value->type, &plain, place->strides);
  *out_found = true;
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_locate(tvi_schedule_t* s, tvi_value_id_t id, tvi_place_t* out_place,
                                    bool* out_found) {
  *out_found = s->places[id].buffer != TVI_SCHEDULE_NONE;
  if (*out_found) {
    *out_place = s->places[id];
    return TRIVET_OK;
  }
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  if (value->constant) {
    TRIVET_RETURN_IF_ERROR(place_constant(s, id, out_found));
    *out_place = s->places[id];
    return TRIVET_OK;
  }
  tvi_node_id_t producer = value->producer;
  if (!producer || s->cover->facts[producer].node_class != TVI_NODE_VIEW) return TRIVET_OK;
  const tvi_node_fact_t* fact = &s->cover->facts[producer];
  tvi_value_id_t source = tvi_graph_node(s->graph, producer)->inputs[0];
  tvi_place_t base;
  bool found = false;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, source, &base, &found));
  if (!found) return TRIVET_OK;
  *out_found = fact->reshape ? view_reshape(s, &tvi_graph_value(s->graph, source)->type, &base,
                                            &value->type, out_place)
                             : view_affine(s, fact->program, value->output_index, &base, out_place);
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_allocate(tvi_schedule_t* s, tvi_value_id_t id) {
  tvi_place_t* place = &s->places[id];
  if (place->buffer != TVI_SCHEDULE_NONE) return TRIVET_OK;
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  tvi_value_id_t parent = s->concat_parent[id];
  if (parent) {
    TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, parent));
    *place = s->places[parent];
    uint32_t axis = s->concat_axis[id];
    place->offset = add(s, place->offset, mul(s, s->concat_offset[id], place->strides[axis]));
    return place->offset ? TRIVET_OK : TRIVET_STATUS(OUT_OF_RANGE, "an offset overflows 64 bits");
  }
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_buffer(s, TVI_PLAN_BUFFER_ARENA, TVI_SCHEDULE_NONE,
                                                 tvi_schedule_value_size(s, id), &place->buffer));
  place->offset = constant(s, 0);
  tvi_schedule_dense_strides(s, &value->type, &s->layouts[id], place->strides);
  return TRIVET_OK;
}
