// SPDX-License-Identifier: Apache-2.0
//
// Plain evaluation of If, Loop, Scan and Call: subgraphs are evaluated in frames of their own,
// whose captures are read from the enclosing frame. Part of the plain evaluator (evaluation.c).
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/vector.h"
#include "core/graph/evaluation.h"

// A loop without limit must end some day.
#define MAX_TRIPS (1 << 24)

typedef TVI_VECTOR(trivet_tensor_t) tensor_list_t;

static bool read_bool(const trivet_tensor_t* tensor) {
  return tensor->size != 0 && tvi_dtype_read_i64(tensor->dtype, tensor->data, 0) != 0;
}

// Bytes before and in the part that follows `axis`.
static trivet_status_t parts(const trivet_tensor_t* tensor, uint32_t axis, size_t* out_outer,
                             size_t* out_inner) {
  uint32_t bytes = tensor->dtype == TRIVET_DTYPE_STRING ? 0 : tvi_dtype_bytes(tensor->dtype);
  if (bytes == 0) {
    return TRIVET_STATUS(UNIMPLEMENTED, "slices of %s tensors", tvi_dtype_name(tensor->dtype));
  }
  size_t outer = 1, inner = bytes;
  for (uint32_t i = 0; i < axis; ++i) outer *= (size_t)tensor->dims[i];
  for (uint32_t i = axis; i < tensor->rank; ++i) inner *= (size_t)tensor->dims[i];
  *out_outer = outer;
  *out_inner = inner;
  return TRIVET_OK;
}

// Stacks equal shapes along a new dimension; `reverse`: the last one first. `element`: the shape of
// one where there is none.
static trivet_status_t stack(trivet_allocator_t allocator, const tensor_list_t* list, uint32_t axis,
                             bool reverse, const trivet_tensor_t* element,
                             trivet_tensor_t* out_tensor) {
  const trivet_tensor_t* first = list->count != 0 ? &list->data[0] : element;
  int64_t dims[TRIVET_MAX_RANK + 1];
  for (uint32_t i = 0; i <= first->rank; ++i) {
    dims[i] = i == axis ? (int64_t)list->count : first->dims[i < axis ? i : i - 1];
  }
  size_t outer, inner;
  TRIVET_RETURN_IF_ERROR(parts(first, axis, &outer, &inner));
  for (size_t k = 0; k < list->count; ++k) {
    if (list->data[k].rank != first->rank ||
        memcmp(list->data[k].dims, first->dims, first->rank * sizeof(dims[0])) != 0) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "the shape of a stacked output changes");
    }
  }
  trivet_tensor_t tensor;
  TRIVET_RETURN_IF_ERROR(
      tvi_tensor_allocate(allocator, first->dtype, first->rank + 1, dims, &tensor));
  for (size_t k = 0; k < list->count; ++k) {
    size_t at = reverse ? list->count - 1 - k : k;
    for (size_t o = 0; o < outer && inner != 0; ++o) {
      memcpy((uint8_t*)tensor.data + (o * list->count + at) * inner,
             (const uint8_t*)list->data[k].data + o * inner, inner);
    }
  }
  *out_tensor = tensor;
  return TRIVET_OK;
}

static trivet_status_t slice(trivet_allocator_t allocator, const trivet_tensor_t* tensor,
                             uint32_t axis, int64_t index, trivet_tensor_t* out_tensor) {
  int64_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i + 1 < tensor->rank; ++i) dims[i] = tensor->dims[i < axis ? i : i + 1];
  trivet_tensor_t part;
  TRIVET_RETURN_IF_ERROR(
      tvi_tensor_allocate(allocator, tensor->dtype, tensor->rank - 1, dims, &part));
  size_t outer, inner;
  trivet_status_t status = parts(&part, axis, &outer, &inner);
  if (status != NULL) {
    tvi_tensors_free(allocator, &part, 1);
    return status;
  }
  size_t extent = (size_t)tensor->dims[axis];
  for (size_t o = 0; o < outer && inner != 0; ++o) {
    memcpy((uint8_t*)part.data + o * inner,
           (const uint8_t*)tensor->data + (o * extent + (size_t)index) * inner, inner);
  }
  *out_tensor = part;
  return TRIVET_OK;
}

// State of an iterated body: tensors that it is given, what it gave, and lists to be stacked.
typedef struct iteration_s {
  const trivet_graph_t* body;
  tvi_frame_t* frame;
  uint32_t depth;
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  trivet_tensor_t* arguments;  // borrowed copies of tensor heads
  trivet_tensor_t* results;    // of the last run; owned
  trivet_tensor_t* states;     // carried values; owned once `own_states`
  uint32_t state_count;
  bool own_states;
  tensor_list_t* lists;
  uint32_t list_count;
} iteration_t;

static trivet_status_t iteration_init(iteration_t* it, const trivet_graph_t* body,
                                      tvi_frame_t* frame, uint32_t depth,
                                      trivet_allocator_t allocator, uint32_t state_count,
                                      uint32_t first_list) {
  *it = (iteration_t){.body = body, .frame = frame, .depth = depth, .allocator = allocator};
  tvi_arena_init(&it->arena, allocator, 0);
  it->state_count = state_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&it->arena, body->input_count + 1u,
                                                      sizeof(*it->arguments), &it->arguments));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&it->arena, body->output_count + 1u,
                                                      sizeof(*it->results), &it->results));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&it->arena, state_count + 1u, sizeof(*it->states), &it->states));
  uint32_t lists = body->output_count - first_list;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&it->arena, lists + 1u, sizeof(*it->lists), &it->lists));
  for (uint32_t i = 0; i < lists; ++i) tvi_vector_init(&it->lists[i], allocator);
  it->list_count = lists;
  return TRIVET_OK;
}

static void iteration_deinit(iteration_t* it) {
  if (it->results != NULL) tvi_tensors_free(it->allocator, it->results, it->body->output_count);
  if (it->own_states) tvi_tensors_free(it->allocator, it->states, it->state_count);
  for (uint32_t i = 0; i < it->list_count; ++i) {
    tvi_tensors_free(it->allocator, it->lists[i].data, (uint32_t)it->lists[i].count);
    tvi_vector_deinit(&it->lists[i]);
  }
  tvi_arena_deinit(&it->arena);
}

// Runs the body; results from `first_state` on become the states, from `first_list` on are kept.
static trivet_status_t iterate(iteration_t* it, uint32_t first_state, uint32_t first_list) {
  TRIVET_RETURN_IF_ERROR(tvi_evaluate_frame(it->body, it->arguments, it->body->input_count,
                                            it->frame, it->depth + 1, it->allocator, it->results));
  for (uint32_t i = 0; i < it->list_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&it->lists[i], it->results[first_list + i]));
    it->results[first_list + i] = (trivet_tensor_t){0};
  }
  if (it->own_states) tvi_tensors_free(it->allocator, it->states, it->state_count);
  it->own_states = true;
  for (uint32_t i = 0; i < it->state_count; ++i) {
    it->states[i] = it->results[first_state + i];
    it->results[first_state + i] = (trivet_tensor_t){0};
  }
  return TRIVET_OK;
}

static trivet_status_t finish(iteration_t* it, const tvi_node_t* node, uint32_t first_list,
                              bool is_scan, trivet_tensor_t* outputs) {
  for (uint32_t i = 0; i < it->state_count && i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    if (it->own_states) {
      outputs[i] = it->states[i];
      it->states[i] = (trivet_tensor_t){0};
    } else {
      TRIVET_RETURN_IF_ERROR(tvi_tensor_copy(it->allocator, &it->states[i], &outputs[i]));
    }
  }
  for (uint32_t i = it->state_count; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    uint32_t list = i - it->state_count;
    const trivet_type_t* type = &it->body->values[it->body->outputs[first_list + list].value]->type;
    // Without iterations the shape is the declared one, unknown extents taken as 0.
    trivet_tensor_t element = {.dtype = type->dtype, .rank = type->rank};
    for (uint32_t d = 0; d < type->rank; ++d) tvi_dim_is_constant(type->dims[d], &element.dims[d]);
    uint32_t axis = 0;
    bool reverse = false;
    if (is_scan) {
      uint64_t count;
      tvi_scan_axis(node, "scan_output_axes", list, type->rank + 1, &axis);
      const int64_t* directions = tvi_node_attr_i64s(node, "scan_output_directions", &count);
      reverse = list < count && directions[list] != 0;
    }
    TRIVET_RETURN_IF_ERROR(
        stack(it->allocator, &it->lists[list], axis, reverse, &element, &outputs[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t run_loop(iteration_t* it, const tvi_node_t* node,
                                const trivet_tensor_t* inputs, trivet_tensor_t* outputs) {
  int64_t limit = INT64_MAX;
  if (node->input_count > 0 && inputs[0].dtype != 0) {
    limit = inputs[0].size != 0 ? tvi_dtype_read_i64(inputs[0].dtype, inputs[0].data, 0) : 0;
  }
  uint8_t condition = node->input_count > 1 && inputs[1].dtype != 0 ? read_bool(&inputs[1]) : 1;
  for (uint32_t i = 0; i < it->state_count; ++i) it->states[i] = inputs[2 + i];
  for (int64_t trip = 0; trip < limit && condition != 0; ++trip) {
    if (trip == MAX_TRIPS) {
      return TRIVET_STATUS(OUT_OF_RANGE, "the loop runs more than %d times", MAX_TRIPS);
    }
    // Both are scalars, or tensors of one element where the body says so.
    const trivet_type_t* types[2] = {&it->body->values[it->body->inputs[0].value]->type,
                                     &it->body->values[it->body->inputs[1].value]->type};
    void* data[2] = {&trip, &condition};
    uint64_t sizes[2] = {sizeof(trip), sizeof(condition)};
    for (uint32_t i = 0; i < 2; ++i) {
      it->arguments[i] = (trivet_tensor_t){
          .dtype = types[i]->dtype, .rank = types[i]->rank, .data = data[i], .size = sizes[i]};
      for (uint32_t d = 0; d < types[i]->rank; ++d) it->arguments[i].dims[d] = 1;
    }
    for (uint32_t i = 0; i < it->state_count; ++i) it->arguments[2 + i] = it->states[i];
    TRIVET_RETURN_IF_ERROR(iterate(it, 1, 1 + it->state_count));
    condition = read_bool(&it->results[0]);
    tvi_tensors_free(it->allocator, &it->results[0], 1);
  }
  return finish(it, node, 1 + it->state_count, false, outputs);
}

static trivet_status_t run_scan(iteration_t* it, const tvi_node_t* node,
                                const trivet_tensor_t* inputs, trivet_tensor_t* outputs) {
  uint32_t scanned = node->input_count - it->state_count;
  int64_t length = 0;
  uint64_t direction_count;
  const int64_t* directions = tvi_node_attr_i64s(node, "scan_input_directions", &direction_count);
  for (uint32_t i = 0; i < scanned; ++i) {
    const trivet_tensor_t* input = &inputs[it->state_count + i];
    uint32_t axis;
    if (!tvi_scan_axis(node, "scan_input_axes", i, input->rank, &axis)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "scan input %u has no such axis", i);
    }
    if (i != 0 && input->dims[axis] != length) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "scan inputs differ in length");
    }
    length = input->dims[axis];
  }
  for (uint32_t i = 0; i < it->state_count; ++i) it->states[i] = inputs[i];
  for (int64_t trip = 0; trip < length; ++trip) {
    for (uint32_t i = 0; i < it->state_count; ++i) it->arguments[i] = it->states[i];
    trivet_status_t status = TRIVET_OK;
    uint32_t sliced = 0;
    for (; sliced < scanned && status == NULL; ++sliced) {
      const trivet_tensor_t* input = &inputs[it->state_count + sliced];
      uint32_t axis = 0;
      tvi_scan_axis(node, "scan_input_axes", sliced, input->rank, &axis);
      bool reverse = sliced < direction_count && directions[sliced] != 0;
      status = slice(it->allocator, input, axis, reverse ? length - 1 - trip : trip,
                     &it->arguments[it->state_count + sliced]);
    }
    if (status == NULL) status = iterate(it, 0, it->state_count);
    tvi_tensors_free(it->allocator, it->arguments + it->state_count, scanned);
    TRIVET_RETURN_IF_ERROR(status);
  }
  return finish(it, node, it->state_count, true, outputs);
}

// If and Call: the subgraph once.
static trivet_status_t run_once(const trivet_graph_t* graph, const tvi_node_t* node,
                                const trivet_tensor_t* inputs, uint32_t input_count,
                                tvi_frame_t* frame, uint32_t depth, trivet_allocator_t allocator,
                                trivet_tensor_t* outputs) {
  TRIVET_RETURN_IF_ERROR(
      tvi_evaluate_frame(graph, inputs, input_count, frame, depth + 1, allocator, outputs));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) tvi_tensors_free(allocator, &outputs[i], 1);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_evaluate_control(const trivet_graph_t* graph, tvi_node_id_t id,
                                     const trivet_tensor_t* inputs, tvi_frame_t* frame,
                                     uint32_t depth, trivet_allocator_t allocator,
                                     trivet_tensor_t* out_outputs) {
  const tvi_node_t* node = graph->nodes[id];
  if (tvi_node_is(node, "core.If")) {
    if (inputs[0].dtype == 0) return TRIVET_STATUS(INVALID_ARGUMENT, "the condition is absent");
    const trivet_graph_t* branch =
        tvi_node_subgraph(node, read_bool(&inputs[0]) ? "then_branch" : "else_branch");
    return run_once(branch, node, NULL, 0, frame, depth, allocator, out_outputs);
  }
  const trivet_graph_t* body = tvi_node_subgraph(node, "body");
  if (tvi_node_is(node, "core.Call")) {
    return run_once(body, node, inputs, node->input_count, frame, depth, allocator, out_outputs);
  }
  bool is_scan = tvi_node_is(node, "core.Scan");
  uint32_t states =
      is_scan ? node->input_count - (uint32_t)tvi_node_attr_i64(node, "num_scan_inputs", 0)
              : (node->input_count > 2 ? node->input_count - 2 : 0);
  iteration_t it;
  trivet_status_t status =
      iteration_init(&it, body, frame, depth, allocator, states, states + (is_scan ? 0 : 1));
  if (status == NULL) {
    status = is_scan ? run_scan(&it, node, inputs, out_outputs)
                     : run_loop(&it, node, inputs, out_outputs);
  }
  iteration_deinit(&it);
  if (status != NULL) tvi_tensors_free(allocator, out_outputs, node->output_count);
  return status;
}
