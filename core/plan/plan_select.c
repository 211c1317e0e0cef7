// SPDX-License-Identifier: Apache-2.0
//
// Pruning a plan: marks what the kept alternatives touch, numbers that anew, in the same order, so
// that equal choices give equal bytes. Expressions and symbols stay: they are small.
#include "core/plan/plan_select.h"

#include <string.h>

#include "core/base/status.h"

typedef struct select_s {
  const tvi_plan_t* from;
  tvi_plan_program_t* program;  // the one that is pruned; others keep their tensors and buffers
  tvi_arena_t* arena;
  uint32_t* tensors;    // new numbers; TVI_PLAN_NONE: gone
  uint32_t* buffers;    // the same
  uint32_t* constants;  // the same, over all programs
} select_t;

static trivet_status_t numbers(select_t* s, uint32_t count, uint32_t** out_numbers) {
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, (size_t)count + 1, sizeof(uint32_t), out_numbers));
  memset(*out_numbers, 0xff, ((size_t)count + 1) * sizeof(uint32_t));
  return TRIVET_OK;
}

static trivet_status_t keep_alternatives(select_t* s, const uint32_t* chosen) {
  const tvi_plan_block_t* main = &s->program->blocks[0];
  tvi_plan_block_t* blocks = NULL;
  tvi_plan_step_t* steps = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(
      s->arena, s->program->blocks, s->program->block_count * sizeof(*blocks), (void**)&blocks));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_copy(s->arena, main->steps, main->step_count * sizeof(*steps), (void**)&steps));
  for (uint32_t i = 0; i < main->step_count; ++i) {
    uint32_t first = chosen[i], end = first;
    if (first >= steps[i].alternative_count) {
      return TRIVET_STATUS(OUT_OF_RANGE, "step %u has %u alternatives, not one of number %u", i,
                           steps[i].alternative_count, first);
    }
    while (end + 1 < steps[i].alternative_count && steps[i].alternatives[end].guard_count) ++end;
    steps[i].alternative_count = end - first + 1;
    tvi_plan_alternative_t* kept = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_copy(s->arena, steps[i].alternatives + first,
                                          steps[i].alternative_count * sizeof(*kept),
                                          (void**)&kept));
    steps[i].alternatives = kept;
  }
  blocks[0].steps = steps;
  s->program->blocks = blocks;
  return TRIVET_OK;
}

// As merged plans have it: nothing that goes can change the numbers of the bindings' tensors.
static bool bindings_come_first(const tvi_plan_t* plan) {
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    if (plan->bindings[i].tensor >= plan->binding_count) return false;
  }
  return true;
}

// Marks with 0 what is touched.
static void mark(select_t* s) {
  const tvi_plan_program_t* program = s->program;
  for (uint32_t i = 0; i < program->blocks[0].step_count; ++i) {
    const tvi_plan_step_t* step = &program->blocks[0].steps[i];
    for (uint32_t a = 0; a < step->alternative_count; ++a) {
      for (uint32_t k = 0; k < step->alternatives[a].operand_count; ++k) {
        uint32_t tensor = step->alternatives[a].operands[k];
        if (tensor != TVI_PLAN_NONE) s->tensors[tensor] = 0;
      }
    }
  }
  // The tensors of bindings have the same numbers in all programs, so they stay where they are.
  bool is_alone = s->from->program_count == 1 || bindings_come_first(s->from);
  for (uint32_t i = 0; i < s->from->binding_count; ++i) s->tensors[s->from->bindings[i].tensor] = 0;
  for (uint32_t t = 0; t < program->tensor_count; ++t) {
    if (!is_alone || (program->tensors[t].flags & TVI_PLAN_TENSOR_OBSERVED)) s->tensors[t] = 0;
    if (s->tensors[t] == 0) s->buffers[program->tensors[t].buffer] = 0;
  }
  for (uint32_t p = 0; p < s->from->program_count; ++p) {
    const tvi_plan_program_t* other = &s->from->programs[p];
    bool is_this = other->buffers == program->buffers;
    for (uint32_t b = 0; b < other->buffer_count; ++b) {
      if (other->buffers[b].kind != TVI_PLAN_BUFFER_CONSTANT) continue;
      if (!is_this || s->buffers[b] == 0) s->constants[other->buffers[b].index] = 0;
    }
  }
}

static uint32_t number_kept(uint32_t* numbers_of, uint32_t count) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (numbers_of[i] == 0) numbers_of[i] = kept++;
  }
  return kept;
}

static trivet_status_t renumber_operands(select_t* s) {
  for (uint32_t i = 0; i < s->program->blocks[0].step_count; ++i) {
    const tvi_plan_step_t* step = &s->program->blocks[0].steps[i];
    for (uint32_t a = 0; a < step->alternative_count; ++a) {
      // keep_alternatives made copies.
      tvi_plan_alternative_t* alternative = (tvi_plan_alternative_t*)&step->alternatives[a];
      uint32_t* operands = NULL;
      TRIVET_RETURN_IF_ERROR(tvi_arena_copy(s->arena, alternative->operands,
                                            alternative->operand_count * sizeof(*operands),
                                            (void**)&operands));
      for (uint32_t k = 0; k < alternative->operand_count; ++k) {
        if (operands[k] != TVI_PLAN_NONE) operands[k] = s->tensors[operands[k]];
      }
      alternative->operands = operands;
    }
  }
  return TRIVET_OK;
}

static trivet_status_t renumber_program(select_t* s) {
  tvi_plan_program_t* program = s->program;
  tvi_plan_tensor_t* tensors = NULL;
  tvi_plan_buffer_t* buffers = NULL;
  uint32_t tensor_count = number_kept(s->tensors, program->tensor_count);
  uint32_t buffer_count = number_kept(s->buffers, program->buffer_count);
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, (size_t)tensor_count + 1, sizeof(*tensors), &tensors));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, (size_t)buffer_count + 1, sizeof(*buffers), &buffers));
  for (uint32_t t = 0; t < program->tensor_count; ++t) {
    if (s->tensors[t] == TVI_PLAN_NONE) continue;
    tensors[s->tensors[t]] = program->tensors[t];
    tensors[s->tensors[t]].buffer = s->buffers[program->tensors[t].buffer];
  }
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    if (s->buffers[b] != TVI_PLAN_NONE) buffers[s->buffers[b]] = program->buffers[b];
  }
  program->tensors = tensors;
  program->tensor_count = tensor_count;
  program->buffers = buffers;
  program->buffer_count = buffer_count;
  return renumber_operands(s);
}

// Constants of all programs, and the bindings' tensors.
static trivet_status_t renumber_plan(select_t* s, tvi_plan_t* plan, tvi_plan_program_t* programs,
                                     const uint32_t** out_constants) {
  uint32_t* sources = NULL;
  tvi_plan_constant_t* constants = NULL;
  tvi_plan_binding_t* bindings = NULL;
  plan->constant_count = number_kept(s->constants, s->from->constant_count);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(s->arena, (size_t)plan->constant_count + 1,
                                               sizeof(*constants), &constants));
  TRIVET_RETURN_IF_ERROR(numbers(s, plan->constant_count, &sources));
  for (uint32_t c = 0; c < s->from->constant_count; ++c) {
    if (s->constants[c] == TVI_PLAN_NONE) continue;
    constants[s->constants[c]] = s->from->constants[c];
    sources[s->constants[c]] = c;
  }
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    tvi_plan_buffer_t* buffers = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_copy(s->arena, programs[p].buffers,
                                          programs[p].buffer_count * sizeof(*buffers),
                                          (void**)&buffers));
    for (uint32_t b = 0; b < programs[p].buffer_count; ++b) {
      if (buffers[b].kind == TVI_PLAN_BUFFER_CONSTANT)
        buffers[b].index = s->constants[buffers[b].index];
    }
    programs[p].buffers = buffers;
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(
      s->arena, s->from->bindings, s->from->binding_count * sizeof(*bindings), (void**)&bindings));
  for (uint32_t i = 0; i < plan->binding_count; ++i)
    bindings[i].tensor = s->tensors[bindings[i].tensor];
  plan->constants = constants;
  plan->bindings = bindings;
  *out_constants = sources;
  return TRIVET_OK;
}

static void mark_guards(const tvi_plan_guard_t* guards, uint32_t count, bool* used) {
  for (uint32_t i = 0; i < count; ++i) used[guards[i].a] = used[guards[i].b] = true;
}

static void mark_step(const tvi_plan_step_t* step, bool* used) {
  for (uint32_t a = 0; a < step->alternative_count; ++a) {
    const tvi_plan_alternative_t* alternative = &step->alternatives[a];
    mark_guards(alternative->guards, alternative->guard_count, used);
    for (uint32_t i = 0; i < alternative->parameter_count; ++i) {
      used[alternative->parameters[i]] = true;
    }
  }
}

void tvi_plan_mark_exprs(const tvi_plan_program_t* program, bool* used) {
  mark_guards(program->checks, program->check_count, used);
  for (uint32_t b = 0; b < program->buffer_count; ++b) used[program->buffers[b].size] = true;
  for (uint32_t t = 0; t < program->tensor_count; ++t) {
    const tvi_plan_tensor_t* tensor = &program->tensors[t];
    used[tensor->offset] = true;
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      used[tensor->dims[d]] = used[tensor->strides[d]] = true;
    }
  }
  for (uint32_t b = 0; b < program->block_count; ++b) {
    for (uint32_t i = 0; i < program->blocks[b].step_count; ++i) {
      mark_step(&program->blocks[b].steps[i], used);
    }
  }
}

static trivet_status_t write_weight(void* self, uint32_t index, trivet_sink_t sink) {
  const tvi_plan_selection_t* selection = (const tvi_plan_selection_t*)self;
  const tvi_plan_constant_t* constant = &selection->from->constants[selection->constants[index]];
  return constant->size
             ? sink.write(sink.self, selection->from->weights + constant->offset, constant->size)
             : TRIVET_OK;
}

trivet_status_t tvi_plan_select(const tvi_plan_t* from, uint32_t program, const uint32_t* chosen,
                                tvi_arena_t* arena, tvi_plan_selection_t* out_selection) {
  if (program >= from->program_count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "the plan has %u programs, not one of number %u",
                         from->program_count, program);
  }
  tvi_plan_program_t* programs = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(
      arena, from->programs, from->program_count * sizeof(*programs), (void**)&programs));
  select_t s;
  memset(&s, 0, sizeof(s));
  s.from = from;
  s.program = &programs[program];
  s.arena = arena;
  TRIVET_RETURN_IF_ERROR(numbers(&s, s.program->tensor_count, &s.tensors));
  TRIVET_RETURN_IF_ERROR(numbers(&s, s.program->buffer_count, &s.buffers));
  TRIVET_RETURN_IF_ERROR(numbers(&s, from->constant_count, &s.constants));
  TRIVET_RETURN_IF_ERROR(keep_alternatives(&s, chosen));
  mark(&s);
  TRIVET_RETURN_IF_ERROR(renumber_program(&s));
  tvi_plan_t plan = *from;
  const uint32_t* sources = NULL;
  plan.arena = arena;
  plan.programs = programs;
  TRIVET_RETURN_IF_ERROR(renumber_plan(&s, &plan, programs, &sources));
  out_selection->plan = plan;
  out_selection->from = from;
  out_selection->constants = sources;
  out_selection->weights.self = out_selection;
  out_selection->weights.write = write_weight;
  return TRIVET_OK;
}
