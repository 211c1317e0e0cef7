// SPDX-License-Identifier: Apache-2.0
//
// Steps of control flow: the bodies in their blobs become engines of their own, and what these take
// and give is held against the operands of the step, so that control_step.c can trust it. Nothing
// is run here.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/engine/engine.h"

static const char* const kNames[] = {"core.If", "core.Loop", "core.Scan"};

bool tvi_engine_is_control(const tvi_plan_alternative_t* alternative) {
  for (uint32_t kind = 0; kind < 3; ++kind) {
    if (tvi_sv_equal_cstr(alternative->kernel, kNames[kind])) return true;
  }
  return false;
}

typedef struct check_s {
  const trivet_engine_t* engine;
  const tvi_plan_alternative_t* plan;
  const tvi_control_t* control;
  const trivet_engine_t* body;
  uint32_t inputs;  // operands that are read
  uint32_t next;    // input of the body that is looked at
} check_t;

// The tensor of an operand; NULL: absent.
static const tvi_plan_tensor_t* operand(const check_t* c, uint32_t index) {
  const uint32_t tensor = c->plan->operands[index];
  return tensor == TVI_PLAN_NONE ? NULL : &c->engine->program->tensors[tensor];
}

static const tvi_plan_tensor_t* body_tensor(const check_t* c, uint32_t index) {
  return &c->body->program->tensors[c->body->tensors[index].tensor];
}

static trivet_status_t check_type(const tvi_plan_tensor_t* found, uint32_t dtype, uint32_t rank,
                                  const char* what, uint32_t index) {
  if (found->dtype == TRIVET_DTYPE_STRING) {
    return TRIVET_STATUS(UNIMPLEMENTED, "%s %u of a body is of texts", what, index);
  }
  if (found->dtype == dtype && found->rank == rank) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%s %u of a body is %s of rank %u, the step has %s of rank %u",
                       what, index, tvi_dtype_name(found->dtype), found->rank,
                       tvi_dtype_name(dtype), rank);
}

// The next input of the body is like |from|, but for |dropped| dimensions.
static trivet_status_t check_input(check_t* c, const tvi_plan_tensor_t* from, uint32_t dropped) {
  const uint32_t index = c->next++;
  if (index >= c->body->input_count || from == NULL || from->rank < dropped) {
    return TRIVET_STATUS(DATA_LOSS, "input %u of a body is missing", index);
  }
  return check_type(body_tensor(c, index), from->dtype, from->rank - dropped, "input", index);
}

static trivet_status_t check_output(const check_t* c, uint32_t index, uint32_t of_step,
                                    uint32_t added) {
  const tvi_plan_tensor_t* to = operand(c, c->inputs + of_step);
  const tvi_plan_tensor_t* found = body_tensor(c, c->body->input_count + index);
  if (added != 0 && tvi_dtype_bytes(found->dtype) == 0) {
    return TRIVET_STATUS(UNIMPLEMENTED, "output %u of a body is stacked and of part bytes", index);
  }
  if (to == NULL) return TRIVET_OK;
  return check_type(found, to->dtype, to->rank - (to->rank < added ? 0 : added), "output", index);
}

static trivet_status_t check_captures(check_t* c, const tvi_control_body_t* body) {
  for (uint32_t i = 0; i < body->capture_count; ++i) {
    if (body->captures[i] < c->control->input_count || body->captures[i] >= c->inputs) {
      return TRIVET_STATUS(DATA_LOSS, "capture %u is operand %u", i, body->captures[i]);
    }
    TRIVET_RETURN_IF_ERROR(check_input(c, operand(c, body->captures[i]), 0));
  }
  for (uint32_t i = 0; i < body->symbol_count; ++i, ++c->next) {
    if (body->symbols[i] >= c->plan->parameter_count || c->next >= c->body->input_count) {
      return TRIVET_STATUS(DATA_LOSS, "symbol %u is parameter %u", i, body->symbols[i]);
    }
    TRIVET_RETURN_IF_ERROR(
        check_type(body_tensor(c, c->next), TRIVET_DTYPE_U8, 1, "input", c->next));
  }
  if (c->next == c->body->input_count) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "a body takes %u inputs, the step has %u", c->body->input_count,
                       c->next);
}

// What comes before the captures.
static trivet_status_t check_given(check_t* c) {
  const tvi_control_t* control = c->control;
  static const uint32_t kTypes[2] = {TRIVET_DTYPE_I64, TRIVET_DTYPE_BOOL};
  if (control->kind == TVI_CONTROL_LOOP) {
    for (uint32_t i = 0; i < 2; ++i, ++c->next) {
      const tvi_plan_tensor_t* from = i < control->input_count ? operand(c, i) : NULL;
      if (c->body->input_count < 2) return TRIVET_STATUS(DATA_LOSS, "a body lacks input %u", i);
      TRIVET_RETURN_IF_ERROR(
          check_type(body_tensor(c, i), kTypes[i], body_tensor(c, i)->rank, "input", i));
      if (from != NULL) TRIVET_RETURN_IF_ERROR(check_type(from, kTypes[i], from->rank, "input", i));
    }
  }
  const uint32_t first = control->kind == TVI_CONTROL_LOOP ? 2 : 0;
  for (uint32_t i = 0; i < control->state_count; ++i)
    TRIVET_RETURN_IF_ERROR(check_input(c, operand(c, first + i), 0));
  if (control->kind != TVI_CONTROL_SCAN) return TRIVET_OK;
  for (uint32_t i = control->state_count; i < control->input_count; ++i) {
    const tvi_plan_tensor_t* from = operand(c, i);
    const uint32_t axis = control->axes[i - control->state_count].axis;
    if (from == NULL || axis >= from->rank || tvi_dtype_bytes(from->dtype) == 0) {
      return TRIVET_STATUS(DATA_LOSS, "slice %u along axis %u", i, axis);
    }
    TRIVET_RETURN_IF_ERROR(check_input(c, from, 1));
  }
  return TRIVET_OK;
}

static trivet_status_t check_body(check_t* c, const tvi_control_body_t* body) {
  const tvi_control_t* control = c->control;
  const uint32_t outputs = c->plan->output_count;
  const uint32_t first = control->kind == TVI_CONTROL_LOOP ? 1 : 0;
  c->next = 0;
  if (c->body->device != NULL) return TRIVET_STATUS(DATA_LOSS, "a body is for a device");
  TRIVET_RETURN_IF_ERROR(check_given(c));
  TRIVET_RETURN_IF_ERROR(check_captures(c, body));
  if (c->body->output_count != first + outputs) {
    return TRIVET_STATUS(DATA_LOSS, "a body gives %u outputs, the step has %u",
                         c->body->output_count, outputs);
  }
  if (first != 0) {
    const tvi_plan_tensor_t* holds = body_tensor(c, c->body->input_count);
    TRIVET_RETURN_IF_ERROR(check_type(holds, TRIVET_DTYPE_BOOL, holds->rank, "output", 0));
  }
  for (uint32_t i = 0; i < outputs; ++i) {
    const bool is_stacked = control->kind != TVI_CONTROL_IF && i >= control->state_count;
    TRIVET_RETURN_IF_ERROR(check_output(c, first + i, i, is_stacked));
    if (!is_stacked || control->kind != TVI_CONTROL_SCAN) continue;
    const uint32_t rank = body_tensor(c, c->body->input_count + i)->rank;
    const uint32_t at = control->input_count - control->state_count + i - control->state_count;
    if (control->axes[at].axis <= rank) continue;
    return TRIVET_STATUS(DATA_LOSS, "output %u is stacked along axis %u", i,
                         control->axes[at].axis);
  }
  return TRIVET_OK;
}

static trivet_status_t check_counts(const check_t* c) {
  const tvi_control_t* control = c->control;
  const uint32_t states = control->state_count, given = control->input_count;
  bool fits = given <= c->inputs && states <= given;
  if (fits && control->kind == TVI_CONTROL_IF) fits = given == 1 && states == 0;
  if (fits && control->kind == TVI_CONTROL_LOOP) fits = states == (given > 2 ? given - 2 : 0);
  if (fits && control->kind != TVI_CONTROL_IF) fits = states <= c->plan->output_count;
  if (fits && control->kind == TVI_CONTROL_SCAN) {
    fits = states < given &&
           control->axis_count == (uint64_t)given - states + (c->plan->output_count - states);
  }
  if (fits) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "kind %u: %u inputs, %u states and %u axes for %u operands",
                       control->kind, given, states, control->axis_count, c->plan->operand_count);
}

trivet_status_t tvi_engine_load_control(trivet_engine_t* engine,
                                        tvi_engine_alternative_t* alternative) {
  const tvi_plan_alternative_t* plan = alternative->plan;
  tvi_control_t* control = &alternative->control;
  TRIVET_RETURN_IF_ERROR(
      tvi_control_blob_decode(plan->blob, plan->blob_size, &engine->arena, control));
  if (!tvi_sv_equal_cstr(plan->kernel, kNames[control->kind])) {
    return TRIVET_STATUS(DATA_LOSS, "the blob of operator '%.*s' is of kind %u",
                         TVI_SV_ARGS(plan->kernel), control->kind);
  }
  check_t c = {engine, plan, control, NULL, plan->operand_count - plan->output_count, 0};
  TRIVET_RETURN_IF_ERROR(check_counts(&c));
  if (control->kind == TVI_CONTROL_IF) {
    const tvi_plan_tensor_t* condition = operand(&c, 0);
    if (condition == NULL) return TRIVET_STATUS(DATA_LOSS, "the condition is absent");
    TRIVET_RETURN_IF_ERROR(
        check_type(condition, TRIVET_DTYPE_BOOL, condition->rank, "condition", 0));
  }
  for (uint32_t i = 0; i < control->body_count; ++i) {
    const tvi_control_body_t* body = &control->bodies[i];
    trivet_status_t status =
        tvi_engine_load_body(engine, body->plan, body->plan_size, &alternative->bodies[i]);
    c.body = alternative->bodies[i];
    if (status == NULL) status = check_body(&c, body);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "body %u", i);
  }
  engine->has_control = true;
  return TRIVET_OK;
}
