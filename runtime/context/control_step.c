// SPDX-License-Identifier: Apache-2.0
//
// Steps of control flow: the condition or the number of rounds is read on the host, and the body's
// plan runs in a context of its own, which stays from run to run. States go from one memory to
// another and back, what a loop stacks grows with its rounds. The engine has proven that the body
// takes and gives what the step has.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

typedef struct control_memory_s {
  uint8_t* data;
  uint64_t size;
} control_memory_t;

// What a step of control flow keeps from run to run.
typedef struct tvi_context_control_s {
  trivet_context_t* bodies[2];
  tvi_arena_t arena;          // the arrays
  control_memory_t* outputs;  // by output of the body, twice: of this round and of the one before
  control_memory_t* inputs;   // by input of the body: slices, and what is not aligned enough
  control_memory_t* lists;    // by output of the body: what is stacked
  trivet_tensor_t* results;   // by output of the body, of this round
  trivet_tensor_t* rows;      // likewise, of the first round: what is stacked looks like it
  uint64_t* sizes;            // likewise, the most that it can be for the shapes prepared for
  const trivet_context_t* sized_body;  // whose sizes these are,
  uint64_t sized_count;                // after so many times of being prepared
  uint32_t input_count, output_count;
} tvi_context_control_t;

typedef struct control_run_s {
  trivet_context_t* context;
  tvi_context_control_t* kept;
  const tvi_engine_alternative_t* step;
  const tvi_control_t* control;
  trivet_context_t* body;
  trivet_evaluation_t* call;
  uint32_t first_state_in, first_state_out;
  int64_t rounds;  // that were made
} control_run_t;

// --- Memory --------------------------------------------------------------------------------------

static trivet_status_t reserve(const trivet_context_t* context, control_memory_t* memory,
                               uint64_t size, uint64_t keep) {
  if (memory->size >= size) return TRIVET_OK;
  if (keep != 0 && size < 2 * memory->size) size = 2 * memory->size;
  uint8_t* data;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_aligned(context->allocator, size, TVI_CONTEXT_ALIGNMENT, &data));
  if (keep != 0) memcpy(data, memory->data, keep);
  tvi_free_aligned(context->allocator, memory->data, memory->size, TVI_CONTEXT_ALIGNMENT);
  *memory = (control_memory_t){data, size};
  return TRIVET_OK;
}

static void free_list(const trivet_context_t* context, control_memory_t* list, uint32_t count) {
  for (uint32_t i = 0; list != NULL && i < count; ++i) {
    tvi_free_aligned(context->allocator, list[i].data, list[i].size, TVI_CONTEXT_ALIGNMENT);
  }
}

static void free_control(const trivet_context_t* context, tvi_context_control_t* kept) {
  trivet_context_destroy(kept->bodies[0]);
  trivet_context_destroy(kept->bodies[1]);
  free_list(context, kept->outputs, 2 * kept->output_count);
  free_list(context, kept->inputs, kept->input_count);
  free_list(context, kept->lists, kept->output_count);
  tvi_arena_deinit(&kept->arena);
  tvi_free(context->allocator, kept, sizeof(*kept));
}

void tvi_context_free_controls(trivet_context_t* context) {
  if (context->controls == NULL) return;
  for (uint32_t i = 0; i < context->engine->block->step_count; ++i) {
    if (context->controls[i] != NULL) free_control(context, context->controls[i]);
  }
}

static trivet_status_t fill_control(const trivet_context_t* context,
                                    const tvi_engine_alternative_t* step,
                                    tvi_context_control_t* kept) {
  for (uint32_t i = 0; i < step->control.body_count; ++i) {
    const trivet_engine_t* body = step->bodies[i];
    if (body->input_count > kept->input_count) kept->input_count = body->input_count;
    if (body->output_count > kept->output_count) kept->output_count = body->output_count;
  }
  const size_t outputs = kept->output_count;
#define ALLOCATE(field, count) \
  TRIVET_RETURN_IF_ERROR(      \
      tvi_arena_alloc_array_zeroed(&kept->arena, (count) + 1, sizeof(*kept->field), &kept->field))
  ALLOCATE(outputs, 2 * outputs);
  ALLOCATE(lists, outputs);
  ALLOCATE(results, outputs);
  ALLOCATE(rows, outputs);
  ALLOCATE(sizes, outputs);
  ALLOCATE(inputs, (size_t)kept->input_count);
#undef ALLOCATE
  const trivet_context_options_t options = {
      .header = {(uint32_t)sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL},
      .thread_count = context->executor != NULL ? context->thread_count : 1,
      .executor = context->executor,
  };
  for (uint32_t i = 0; i < step->control.body_count; ++i)
    TRIVET_RETURN_IF_ERROR(tvi_context_create(step->bodies[i], &options, &kept->bodies[i]));
  return TRIVET_OK;
}

static trivet_status_t find_control(trivet_context_t* context, uint32_t index,
                                    tvi_context_control_t** out_kept) {
  tvi_context_control_t* kept = context->controls[index];
  if (kept == NULL) {
    TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(context->allocator, sizeof(*kept), &kept));
    tvi_arena_init(&kept->arena, context->allocator, 0);
    trivet_status_t status = fill_control(context, context->steps[index].alternative, kept);
    if (status != NULL) {
      free_control(context, kept);
      return status;
    }
    context->controls[index] = kept;
  }
  *out_kept = kept;
  return TRIVET_OK;
}

// --- One round -----------------------------------------------------------------------------------

static trivet_status_t give_input(const control_run_t* run, uint32_t index,
                                  const trivet_tensor_t* tensor) {
  trivet_context_t* body = run->body;
  void* address = tensor->data;
  tvi_context_put_shape(body, index, tensor->rank, tensor->dims);
  if ((uintptr_t)address % body->engine->tensors[index].alignment != 0) {
    control_memory_t* memory = &run->kept->inputs[index];
    TRIVET_RETURN_IF_ERROR(reserve(run->context, memory, tensor->size, 0));
    memcpy(memory->data, address, tensor->size);
    address = memory->data;
  }
  tvi_context_put_address(body, index, address);
  return TRIVET_OK;
}

// A number that the body may want in one element of any rank.
static trivet_status_t give_number(const control_run_t* run, uint32_t index, void* data,
                                   uint64_t size) {
  const trivet_engine_t* engine = run->body->engine;
  const tvi_plan_tensor_t* type = &engine->program->tensors[engine->tensors[index].tensor];
  trivet_tensor_t tensor = {.dtype = type->dtype, .rank = type->rank, .data = data, .size = size};
  for (uint32_t d = 0; d < type->rank; ++d) tensor.dims[d] = 1;
  return give_input(run, index, &tensor);
}

// What the body reads from around it, the last of its inputs.
static trivet_status_t give_captures(const control_run_t* run, uint32_t which) {
  const tvi_control_body_t* from = &run->control->bodies[which];
  uint32_t next = run->body->engine->input_count - from->capture_count - from->symbol_count;
  for (uint32_t i = 0; i < from->capture_count; ++i) {
    const trivet_tensor_t* tensor = run->call->api->input(run->call, from->captures[i]);
    if (tensor == NULL) return TRIVET_STATUS(INTERNAL, "capture %u is absent", i);
    TRIVET_RETURN_IF_ERROR(give_input(run, next++, tensor));
  }
  for (uint32_t i = 0; i < from->symbol_count; ++i) {
    int64_t value;
    TRIVET_RETURN_IF_ERROR(
        tvi_context_value(run->context, run->step->plan->parameters[from->symbols[i]], &value));
    tvi_context_put_shape(run->body, next++, 1, &value);
  }
  return TRIVET_OK;
}

// Shapes of the outputs, once they are known.
static trivet_status_t read_results(const control_run_t* run) {
  const trivet_engine_t* engine = run->body->engine;
  for (uint32_t o = 0; o < engine->output_count; ++o) {
    trivet_tensor_t* result = &run->kept->results[o];
    trivet_operand_t operand;
    int64_t offset;
    TRIVET_RETURN_IF_ERROR(tvi_context_view(
        run->body, engine->tensors[engine->input_count + o].tensor, &operand, &offset));
    size_t size;
    result->dtype = operand.dtype;
    result->rank = operand.rank;
    memcpy(result->dims, operand.dims, sizeof(result->dims));
    TRIVET_RETURN_IF_ERROR(
        tvi_dtype_storage_size(operand.dtype, tvi_operand_element_count(&operand), &size));
    result->size = size;
  }
  return TRIVET_OK;
}

static trivet_status_t find_sizes(const control_run_t* run) {
  tvi_context_control_t* kept = run->kept;
  const trivet_engine_t* engine = run->body->engine;
  if (kept->sized_body == run->body && kept->sized_count == run->body->prepare_count)
    return TRIVET_OK;
  kept->sized_body = NULL;
  for (uint32_t o = 0; o < engine->output_count; ++o) {
    TRIVET_RETURN_IF_ERROR(
        tvi_context_largest_size(run->body, engine->input_count + o, &kept->sizes[o]));
  }
  kept->sized_body = run->body;
  kept->sized_count = run->body->prepare_count;
  return TRIVET_OK;
}

// |half|: which of the memories; the other one holds what the round before gave.
static trivet_status_t run_body(const control_run_t* run, uint32_t half) {
  trivet_context_t* body = run->body;
  const trivet_engine_t* engine = body->engine;
  TRIVET_RETURN_IF_ERROR(tvi_context_prepare(body));
  TRIVET_RETURN_IF_ERROR(find_sizes(run));
  for (uint32_t o = 0; o < engine->output_count; ++o) {
    control_memory_t* memory = &run->kept->outputs[half * run->kept->output_count + o];
    TRIVET_RETURN_IF_ERROR(reserve(run->context, memory, run->kept->sizes[o] + 1, 0));
    tvi_context_put_address(body, engine->input_count + o, memory->data);
    run->kept->results[o].data = memory->data;
  }
  TRIVET_RETURN_IF_ERROR(tvi_context_run(body));
  return read_results(run);
}

// --- Outputs -------------------------------------------------------------------------------------

static trivet_status_t give_output(const control_run_t* run, uint32_t index,
                                   const trivet_tensor_t* tensor) {
  trivet_tensor_t* out;
  TRIVET_RETURN_IF_ERROR(
      run->call->api->output(run->call, index, tensor->dtype, tensor->rank, tensor->dims, &out));
  if (out != NULL && tensor->size != 0) memcpy(out->data, tensor->data, tensor->size);
  return TRIVET_OK;
}

// The rounds of output |output| of the body, one behind the other, along an axis.
static trivet_status_t give_stacked(const control_run_t* run, uint32_t index, uint32_t output,
                                    const tvi_control_axis_t* axis) {
  const trivet_tensor_t* row = &run->kept->rows[output];
  const uint8_t* list = run->kept->lists[output].data;
  int64_t dims[TRIVET_MAX_RANK + 1];
  uint64_t outer = 1;
  for (uint32_t d = 0; d <= row->rank; ++d) {
    dims[d] = d == axis->axis ? run->rounds : row->dims[d < axis->axis ? d : d - 1];
    if (d < axis->axis) outer *= (uint64_t)dims[d];
  }
  trivet_tensor_t* out;
  TRIVET_RETURN_IF_ERROR(
      run->call->api->output(run->call, index, row->dtype, row->rank + 1, dims, &out));
  if (out == NULL || row->size == 0) return TRIVET_OK;
  const uint64_t rounds = (uint64_t)run->rounds, inner = row->size / outer;
  for (uint64_t k = 0; k < rounds; ++k) {
    const uint64_t at = axis->is_backwards ? rounds - 1 - k : k;
    for (uint64_t o = 0; o < outer; ++o) {
      memcpy((uint8_t*)out->data + (o * rounds + at) * inner, list + k * row->size + o * inner,
             inner);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t keep_row(const control_run_t* run, uint32_t output) {
  const trivet_tensor_t* row = &run->kept->results[output];
  trivet_tensor_t* first = &run->kept->rows[output];
  control_memory_t* list = &run->kept->lists[output];
  uint64_t used, end;
  if (run->rounds == 0) *first = *row;
  if (row->rank != 0 && memcmp(row->dims, first->dims, row->rank * sizeof(row->dims[0])) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the shape of output %u changes from round to round",
                         output);
  }
  if (!tvi_checked_mul_u64(row->size, (uint64_t)run->rounds, &used) ||
      !tvi_checked_add_u64(used, row->size, &end)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "output %u is too large", output);
  }
  TRIVET_RETURN_IF_ERROR(reserve(run->context, list, end, used));
  if (row->size != 0) memcpy(list->data + used, row->data, row->size);
  return TRIVET_OK;
}

// --- Rounds --------------------------------------------------------------------------------------

static trivet_status_t give_slice(const control_run_t* run, uint32_t index, int64_t round,
                                  int64_t length) {
  const tvi_control_axis_t* axis = &run->control->axes[index - run->control->state_count];
  const trivet_tensor_t* from = run->call->api->input(run->call, index);
  trivet_tensor_t part = {.dtype = from->dtype, .rank = from->rank - 1};
  uint64_t outer = 1, inner = tvi_dtype_bytes(from->dtype);
  for (uint32_t d = 0; d < from->rank; ++d) {
    if (d < axis->axis) outer *= (uint64_t)from->dims[d];
    if (d > axis->axis) inner *= (uint64_t)from->dims[d];
    if (d != axis->axis) part.dims[d < axis->axis ? d : d - 1] = from->dims[d];
  }
  part.size = outer * inner;
  control_memory_t* memory = &run->kept->inputs[index];
  TRIVET_RETURN_IF_ERROR(reserve(run->context, memory, part.size + 1, 0));
  part.data = memory->data;
  const uint64_t at = (uint64_t)(axis->is_backwards ? length - 1 - round : round);
  for (uint64_t o = 0; o < outer && round < length && inner != 0; ++o) {
    memcpy(memory->data + o * inner,
           (const uint8_t*)from->data + (o * (uint64_t)length + at) * inner, inner);
  }
  return give_input(run, index, &part);
}

// What the body is given in a round, but for the captures.
static trivet_status_t give_round(const control_run_t* run, int64_t* round, uint8_t* condition,
                                  int64_t length) {
  const tvi_control_t* control = run->control;
  if (control->kind == TVI_CONTROL_LOOP) {
    TRIVET_RETURN_IF_ERROR(give_number(run, 0, round, sizeof(*round)));
    TRIVET_RETURN_IF_ERROR(give_number(run, 1, condition, sizeof(*condition)));
  }
  for (uint32_t i = 0; i < control->state_count; ++i) {
    const uint32_t index = run->first_state_in + i;
    const trivet_tensor_t* state = *round == 0 ? run->call->api->input(run->call, index)
                                               : &run->kept->results[run->first_state_out + i];
    if (state == NULL) return TRIVET_STATUS(INTERNAL, "state %u is absent", i);
    TRIVET_RETURN_IF_ERROR(give_input(run, index, state));
  }
  for (uint32_t i = control->state_count;
       control->kind == TVI_CONTROL_SCAN && i < control->input_count; ++i)
    TRIVET_RETURN_IF_ERROR(give_slice(run, i, *round, length));
  return TRIVET_OK;
}

// How many rounds there are at most.
static trivet_status_t count_rounds(const control_run_t* run, int64_t* out_limit,
                                    uint8_t* out_condition) {
  const tvi_control_t* control = run->control;
  *out_limit = INT64_MAX;
  *out_condition = 1;
  if (control->kind == TVI_CONTROL_LOOP) {
    const trivet_tensor_t* inputs[2] = {NULL, NULL};
    for (uint32_t i = 0; i < 2 && i < control->input_count; ++i) {
      inputs[i] = run->call->api->input(run->call, i);
      if (inputs[i] != NULL && inputs[i]->size == 0)
        return TRIVET_STATUS(INVALID_ARGUMENT, "the %s is empty", i ? "condition" : "trip count");
    }
    if (inputs[0] != NULL) memcpy(out_limit, inputs[0]->data, sizeof(*out_limit));
    if (inputs[1] != NULL) *out_condition = *(const uint8_t*)inputs[1]->data != 0;
    return TRIVET_OK;
  }
  for (uint32_t i = control->state_count; i < control->input_count; ++i) {
    const trivet_tensor_t* slices = run->call->api->input(run->call, i);
    const int64_t length = slices->dims[control->axes[i - control->state_count].axis];
    if (i != control->state_count && length != *out_limit) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "scan inputs are %lld and %lld long",
                           (long long)*out_limit, (long long)length);
    }
    *out_limit = length;
  }
  return TRIVET_OK;
}

static trivet_status_t finish_rounds(const control_run_t* run) {
  const tvi_control_t* control = run->control;
  const uint32_t states = control->state_count;
  for (uint32_t i = 0; i < states; ++i) {
    const trivet_tensor_t* state = run->rounds == 0
                                       ? run->call->api->input(run->call, run->first_state_in + i)
                                       : &run->kept->results[run->first_state_out + i];
    TRIVET_RETURN_IF_ERROR(give_output(run, i, state));
  }
  const tvi_control_axis_t plain = {0, 0};
  for (uint32_t i = states; i < run->step->plan->output_count; ++i) {
    const bool is_scan = control->kind == TVI_CONTROL_SCAN;
    const tvi_control_axis_t* axis =
        is_scan ? &control->axes[control->input_count - states + i - states] : &plain;
    TRIVET_RETURN_IF_ERROR(give_stacked(run, i, run->first_state_out + i, axis));
  }
  return TRIVET_OK;
}

static trivet_status_t run_rounds(control_run_t* run) {
  int64_t limit, round = 0;
  uint8_t condition;
  const uint32_t first_row = run->first_state_out + run->control->state_count;
  TRIVET_RETURN_IF_ERROR(count_rounds(run, &limit, &condition));
  for (; round < limit && condition != 0; run->rounds = ++round) {
    TRIVET_RETURN_IF_ERROR(give_round(run, &round, &condition, limit));
    TRIVET_RETURN_IF_ERROR_ANNOTATED(run_body(run, (uint32_t)(round & 1)), "round %lld",
                                     (long long)round);
    for (uint32_t o = first_row; o < run->body->engine->output_count; ++o)
      TRIVET_RETURN_IF_ERROR(keep_row(run, o));
    const trivet_tensor_t* holds = &run->kept->results[0];
    if (run->control->kind == TVI_CONTROL_LOOP) condition = *(const uint8_t*)holds->data != 0;
  }
  if (round == 0) {
    // The shapes of what is stacked are asked for, though there is none of it.
    TRIVET_RETURN_IF_ERROR(give_round(run, &round, &condition, 0));
    TRIVET_RETURN_IF_ERROR(tvi_context_prepare(run->body));
    TRIVET_RETURN_IF_ERROR(read_results(run));
    memcpy(run->kept->rows, run->kept->results, run->kept->output_count * sizeof(*run->kept->rows));
  }
  return finish_rounds(run);
}

trivet_status_t tvi_context_run_control(trivet_context_t* context, uint32_t step,
                                        trivet_evaluation_t* call) {
  control_run_t run = {
      .context = context,
      .step = context->steps[step].alternative,
      .control = &context->steps[step].alternative->control,
      .call = call,
      .first_state_in = 0,
      .first_state_out = 0,
  };
  TRIVET_RETURN_IF_ERROR(find_control(context, step, &run.kept));
  uint32_t which = 0;
  if (run.control->kind == TVI_CONTROL_IF) {
    const trivet_tensor_t* condition = call->api->input(call, 0);
    if (condition == NULL || condition->size == 0)
      return TRIVET_STATUS(INVALID_ARGUMENT, "the condition is empty");
    which = *(const uint8_t*)condition->data != 0 ? 0 : 1;
  }
  if (run.control->kind == TVI_CONTROL_LOOP) {
    run.first_state_in = 2;
    run.first_state_out = 1;
  }
  run.body = run.kept->bodies[which];
  TRIVET_RETURN_IF_ERROR(give_captures(&run, which));
  if (run.control->kind != TVI_CONTROL_IF) return run_rounds(&run);
  TRIVET_RETURN_IF_ERROR(run_body(&run, 0));
  for (uint32_t o = 0; o < run.step->plan->output_count; ++o)
    TRIVET_RETURN_IF_ERROR(give_output(&run, o, &run.kept->results[o]));
  return TRIVET_OK;
}
