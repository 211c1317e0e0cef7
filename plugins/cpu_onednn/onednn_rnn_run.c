// SPDX-License-Identifier: Apache-2.0
//
// Run half of recurrent layers. Each direction is a primitive of its own, because the operators put
// both beside each other in another order than the library; its results are copied where that
// differs.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_call.h"
#include "plugins/cpu_onednn/onednn_openmp.h"
#include "plugins/cpu_onednn/onednn_primitive.h"
#include "plugins/cpu_onednn/onednn_rnn.h"

typedef struct loaded_s {
  onednn_loaded_t base;
  onednn_rnn_t problem;
} loaded_t;

// Sources of arguments beside operands (of which each direction has its part) and the workspace.
#define SEQUENCE (UINT32_MAX - 2)  // results of all times, in the workspace
#define STATE (UINT32_MAX - 3)     // in the workspace: a state that no operand holds
#define CELL (UINT32_MAX - 4)      // likewise

typedef struct prepared_s {
  trivet_allocator_t allocator;
  dnnl_stream_t stream;
  onednn_call_t calls[2];
  uint32_t positions[ONEDNN_RNN_OPERANDS];  // of the step's operands
  uint32_t directions;
  int64_t time;
  uint64_t state_size;  // bytes of [batch, hidden]
  uint64_t bias_size;   // bytes of one direction's biases
  void* weights[4];     // packed again: layer and recurrent ones of each direction
  size_t weights_size[4];
  bool has_h0, has_c0;  // else states begin with zeros, which STATE and CELL hold
  bool wants_cell;
  uint64_t sequence_at, state_at, cell_at;  // in the workspace
} prepared_t;

trivet_status_t onednn_rnn_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                void** out_loaded) {
  (void)kernel;
  onednn_rnn_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size == sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(onednn_rnn_verify(&problem, load->blob_size));
  onednn_loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(onednn_loaded_create(load->allocator, sizeof(loaded_t), &loaded));
  ((loaded_t*)loaded)->problem = problem;
  *out_loaded = loaded;
  return TRIVET_OK;
}

// Dense, and of this shape.
static trivet_status_t check_operand(const onednn_rnn_t* p, const trivet_kernel_prepare_t* prepare,
                                     uint32_t role, uint32_t rank, const int64_t* dims) {
  const uint32_t index = onednn_rnn_position(p, role);
  const trivet_operand_t* operand = &prepare->operands[index];
  bool good = operand->dtype == TRIVET_DTYPE_F32 && operand->rank == rank;
  int64_t run = 1;
  for (uint32_t d = rank; good && d-- > 0;) {
    good = operand->dims[d] == dims[d] && (dims[d] <= 1 || operand->strides[d] == run) &&
           tvi_checked_mul_i64(run, dims[d] ? dims[d] : 1, &run);
  }
  return good ? TRIVET_OK
              : TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: operand %u has another form",
                              index);
}

static bool is_absent(const onednn_rnn_t* p, const trivet_kernel_prepare_t* prepare,
                      uint32_t role) {
  const uint32_t at = onednn_rnn_position(p, role);
  return at == TVI_KIR_NONE || (prepare->operands[at].flags & TRIVET_OPERAND_ABSENT) != 0;
}

static trivet_status_t check_operands(const onednn_rnn_t* p,
                                      const trivet_kernel_prepare_t* prepare) {
  uint32_t count = ONEDNN_RNN_Y;
  for (uint32_t i = 0; i < 3; ++i) count += p->outputs >> i & 1;
  if (prepare->operand_count != count) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, count);
  }
  for (uint32_t i = 0; i < ONEDNN_RNN_H0; ++i) {
    if (is_absent(p, prepare, i)) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: operand %u is absent", i);
    }
  }
  const trivet_operand_t* x = &prepare->operands[ONEDNN_RNN_X];
  const int64_t time = x->dims[0], batch = x->dims[1], directions = p->directions, n = p->hidden;
  const int64_t gates = onednn_rnn_gates(p->cell);
  const int64_t x_dims[3] = {time, batch, p->in}, w_dims[4] = {directions, p->in, gates, n},
                r_dims[4] = {directions, n, gates, n},
                b_dims[3] = {directions, onednn_rnn_biases(p->cell), n},
                y_dims[4] = {time, directions, batch, n}, state_dims[3] = {directions, batch, n};
  TRIVET_RETURN_IF_ERROR(check_operand(p, prepare, ONEDNN_RNN_X, 3, x_dims));
  TRIVET_RETURN_IF_ERROR(check_operand(p, prepare, ONEDNN_RNN_W, 4, w_dims));
  TRIVET_RETURN_IF_ERROR(check_operand(p, prepare, ONEDNN_RNN_R, 4, r_dims));
  TRIVET_RETURN_IF_ERROR(check_operand(p, prepare, ONEDNN_RNN_B, 3, b_dims));
  for (uint32_t i = ONEDNN_RNN_H0; i < ONEDNN_RNN_OPERANDS; ++i) {
    if (is_absent(p, prepare, i)) continue;
    if ((i == ONEDNN_RNN_C0 || i == ONEDNN_RNN_YC) && p->cell != ONEDNN_CELL_LSTM) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: a cell state");
    }
    const bool y = i == ONEDNN_RNN_Y;
    TRIVET_RETURN_IF_ERROR(check_operand(p, prepare, i, y ? 4 : 3, y ? y_dims : state_dims));
  }
  if (!prepare->operands[ONEDNN_RNN_W].constant || !prepare->operands[ONEDNN_RNN_R].constant) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: weights that are not constant");
  }
  return TRIVET_OK;
}

// Memory of one direction.
typedef struct forms_s {
  dnnl_memory_desc_t x, y, state, w, r, b;
  dnnl_memory_desc_t any_w, any_r;  // as the library likes them
} forms_t;

static trivet_status_t describe(const onednn_rnn_t* p, int64_t time, int64_t batch, forms_t* f) {
  const dnnl_dim_t gates = onednn_rnn_gates(p->cell), n = p->hidden;
  dnnl_dims_t x = {time, batch, p->in}, y = {time, batch, n}, state = {1, 1, batch, n};
  dnnl_dims_t w = {1, 1, p->in, gates, n}, r = {1, 1, n, gates, n};
  dnnl_dims_t b = {1, 1, onednn_rnn_biases(p->cell), n};
  dnnl_status_t s = dnnl_memory_desc_init_by_tag(&f->x, 3, x, dnnl_f32, dnnl_tnc);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->y, 3, y, dnnl_f32, dnnl_tnc);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->state, 4, state, dnnl_f32, dnnl_ldnc);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->w, 5, w, dnnl_f32, dnnl_ldigo);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->r, 5, r, dnnl_f32, dnnl_ldigo);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->b, 4, b, dnnl_f32, dnnl_ldgo);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->any_w, 5, w, dnnl_f32, dnnl_format_tag_any);
  if (!s) s = dnnl_memory_desc_init_by_tag(&f->any_r, 5, r, dnnl_f32, dnnl_format_tag_any);
  return onednn_check(s, "memory of a recurrent layer");
}

static dnnl_status_t make_operation(const onednn_rnn_t* p, const forms_t* f, bool reverse,
                                    dnnl_rnn_desc_t* out) {
  const dnnl_prop_kind_t kind = dnnl_forward_inference;
  const dnnl_rnn_direction_t direction =
      reverse ? dnnl_unidirectional_right2left : dnnl_unidirectional_left2right;
  switch (p->cell) {
    case ONEDNN_CELL_LSTM:
      return dnnl_lstm_forward_desc_init(out, kind, direction, &f->x, &f->state, &f->state,
                                         &f->any_w, &f->any_r, &f->b, &f->y, &f->state, &f->state,
                                         0);
    case ONEDNN_CELL_GRU:
      return dnnl_gru_forward_desc_init(out, kind, direction, &f->x, &f->state, &f->any_w,
                                        &f->any_r, &f->b, &f->y, &f->state, 0);
    case ONEDNN_CELL_GRU_LINEAR_BEFORE_RESET:
      return dnnl_lbr_gru_forward_desc_init(out, kind, direction, &f->x, &f->state, &f->any_w,
                                            &f->any_r, &f->b, &f->y, &f->state, 0);
    default:
      return dnnl_vanilla_rnn_forward_desc_init(
          out, kind, p->cell == ONEDNN_CELL_RELU ? dnnl_eltwise_relu : dnnl_eltwise_tanh, direction,
          &f->x, &f->state, &f->any_w, &f->any_r, &f->b, &f->y, &f->state, 0, 0, 0);
  }
}

// The weights of one direction as the primitive wants them: the plan's, or packed now.
static trivet_status_t add_weights(prepared_t* p, const loaded_t* loaded, uint32_t direction,
                                   bool recurrent, const trivet_operand_t* operand,
                                   const dnnl_memory_desc_t* given,
                                   const dnnl_memory_desc_t* wanted) {
  onednn_call_t* call = &p->calls[direction];
  const uint32_t slot = direction * 2 + recurrent;
  const char* source =
      (const char*)operand->constant + direction * dnnl_memory_desc_get_size(given);
  const int name = recurrent ? DNNL_ARG_WEIGHTS_ITER : DNNL_ARG_WEIGHTS_LAYER;
  void* address = (void*)source;
  if (!dnnl_memory_desc_equal(given, wanted)) {
    p->weights_size[slot] = dnnl_memory_desc_get_size(wanted);
    TRIVET_RETURN_IF_ERROR(
        tvi_alloc_aligned(p->allocator, p->weights_size[slot], 64, &p->weights[slot]));
    TRIVET_RETURN_IF_ERROR(
        onednn_reorder(loaded->base.engine, p->stream, given, source, wanted, p->weights[slot]));
    address = p->weights[slot];
  }
  return onednn_call_add(call, loaded->base.engine, wanted, name, ONEDNN_SOURCE_OWN, address);
}

static trivet_status_t add_arguments(prepared_t* p, const loaded_t* loaded, uint32_t direction,
                                     const trivet_kernel_prepare_t* prepare, const forms_t* f,
                                     const_dnnl_primitive_desc_t pd) {
  onednn_call_t* call = &p->calls[direction];
  dnnl_engine_t engine = loaded->base.engine;
  const bool y = p->directions == 1 && !is_absent(&loaded->problem, prepare, ONEDNN_RNN_Y);
  const uint32_t yh = is_absent(&loaded->problem, prepare, ONEDNN_RNN_YH) ? STATE : ONEDNN_RNN_YH;
  const uint32_t yc = is_absent(&loaded->problem, prepare, ONEDNN_RNN_YC) ? CELL : ONEDNN_RNN_YC;
  TRIVET_RETURN_IF_ERROR(add_weights(
      p, loaded, direction, false, &prepare->operands[ONEDNN_RNN_W], &f->w,
      dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, DNNL_ARG_WEIGHTS_LAYER)));
  TRIVET_RETURN_IF_ERROR(
      add_weights(p, loaded, direction, true, &prepare->operands[ONEDNN_RNN_R], &f->r,
                  dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, DNNL_ARG_WEIGHTS_ITER)));
  TRIVET_RETURN_IF_ERROR(
      onednn_call_add(call, engine, &f->x, DNNL_ARG_SRC_LAYER, ONEDNN_RNN_X, NULL));
  TRIVET_RETURN_IF_ERROR(onednn_call_add(call, engine, &f->b, DNNL_ARG_BIAS, ONEDNN_RNN_B, NULL));
  TRIVET_RETURN_IF_ERROR(onednn_call_add(call, engine, &f->state, DNNL_ARG_SRC_ITER,
                                         p->has_h0 ? ONEDNN_RNN_H0 : STATE, NULL));
  TRIVET_RETURN_IF_ERROR(
      onednn_call_add(call, engine, &f->y, DNNL_ARG_DST_LAYER, y ? ONEDNN_RNN_Y : SEQUENCE, NULL));
  TRIVET_RETURN_IF_ERROR(onednn_call_add(call, engine, &f->state, DNNL_ARG_DST_ITER, yh, NULL));
  if (!p->wants_cell) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(onednn_call_add(call, engine, &f->state, DNNL_ARG_SRC_ITER_C,
                                         p->has_c0 ? ONEDNN_RNN_C0 : CELL, NULL));
  return onednn_call_add(call, engine, &f->state, DNNL_ARG_DST_ITER_C, yc, NULL);
}

static trivet_status_t make_direction(prepared_t* p, const loaded_t* loaded, uint32_t direction,
                                      const trivet_kernel_prepare_t* prepare, const forms_t* f,
                                      uint64_t* inout_scratch) {
  const bool reverse = loaded->problem.reverse || direction == 1;
  dnnl_rnn_desc_t operation;
  ONEDNN_RETURN_IF_ERROR(make_operation(&loaded->problem, f, reverse, &operation),
                         "recurrent layer");
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t pd = NULL;
  ONEDNN_RETURN_IF_ERROR(dnnl_primitive_attr_create(&attributes), "attributes");
  dnnl_status_t s = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (!s) s = dnnl_primitive_desc_create(&pd, &operation, attributes, loaded->base.engine, NULL);
  dnnl_primitive_attr_destroy(attributes);
  ONEDNN_RETURN_IF_ERROR(s, "recurrent layer");
  trivet_status_t status =
      onednn_call_init(&p->calls[direction], loaded->base.engine, pd, inout_scratch);
  if (!status) status = add_arguments(p, loaded, direction, prepare, f, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

// The address of an operand by its role; NULL: absent.
static void* address_of(const prepared_t* p, const trivet_kernel_launch_t* launch, uint32_t role) {
  return p->positions[role] == TVI_KIR_NONE ? NULL : launch->addresses[p->positions[role]];
}

static uint64_t aligned(uint64_t size) { return (size + 63) & ~(uint64_t)63; }

static trivet_status_t make(prepared_t* p, const loaded_t* loaded,
                            const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace) {
  const onednn_rnn_t* problem = &loaded->problem;
  const trivet_operand_t* x = &prepare->operands[ONEDNN_RNN_X];
  forms_t forms;
  uint64_t scratch = 0;
  for (uint32_t i = 0; i < ONEDNN_RNN_OPERANDS; ++i) {
    p->positions[i] = onednn_rnn_position(problem, i);
  }
  p->time = x->dims[0];
  p->directions = problem->directions;
  p->has_h0 = !is_absent(&loaded->problem, prepare, ONEDNN_RNN_H0);
  p->has_c0 = !is_absent(&loaded->problem, prepare, ONEDNN_RNN_C0);
  p->wants_cell = problem->cell == ONEDNN_CELL_LSTM;
  p->state_size = (uint64_t)x->dims[1] * (uint64_t)problem->hidden * sizeof(float);
  p->bias_size = onednn_rnn_biases(problem->cell) * (uint64_t)problem->hidden * sizeof(float);
  if (p->time == 0 || x->dims[1] == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(describe(problem, p->time, x->dims[1], &forms));
  ONEDNN_RETURN_IF_ERROR(dnnl_stream_create(&p->stream, loaded->base.engine, 0), "stream");
  for (uint32_t d = 0; d < p->directions; ++d) {
    TRIVET_RETURN_IF_ERROR(make_direction(p, loaded, d, prepare, &forms, &scratch));
  }
  p->state_at = aligned(scratch);
  p->cell_at = p->state_at + aligned(p->state_size);
  p->sequence_at = p->cell_at + aligned(p->state_size);
  *out_workspace = p->sequence_at + aligned((uint64_t)p->time * p->state_size);
  return TRIVET_OK;
}

trivet_status_t onednn_rnn_prepare(const trivet_kernel_t* kernel, void* pointer,
                                   const trivet_kernel_prepare_t* prepare,
                                   uint64_t* out_workspace_size, void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  TRIVET_RETURN_IF_ERROR(check_operands(&loaded->problem, prepare));
  prepared_t* p = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*p), &p));
  p->allocator = *prepare->allocator;
  *out_workspace_size = 0;
  trivet_executor_t* outer = onednn_executor_swap(prepare->executor);
  trivet_status_t status = make(p, loaded, prepare, out_workspace_size);
  onednn_executor_swap(outer);
  if (status) {
    onednn_rnn_release(kernel, p, prepare->allocator);
    return status;
  }
  *out_prepared = p;
  return TRIVET_OK;
}

void onednn_rnn_release(const trivet_kernel_t* kernel, void* pointer,
                        const trivet_allocator_t* allocator) {
  (void)kernel, (void)allocator;
  prepared_t* p = (prepared_t*)pointer;
  if (!p) return;
  for (uint32_t d = 0; d < 2; ++d) onednn_call_deinit(&p->calls[d]);
  for (uint32_t i = 0; i < 4; ++i) {
    if (p->weights[i]) tvi_free_aligned(p->allocator, p->weights[i], p->weights_size[i], 64);
  }
  if (p->stream) dnnl_stream_destroy(p->stream);
  const trivet_allocator_t owner = p->allocator;
  tvi_free(owner, p, sizeof(*p));
}

// No steps: the states stay what they were.
static void keep_states(const prepared_t* p, const trivet_kernel_launch_t* launch) {
  const uint64_t size = p->directions * p->state_size;
  for (uint32_t i = 0; i < 2; ++i) {
    void* out = address_of(p, launch, ONEDNN_RNN_YH + i);
    const void* in = address_of(p, launch, ONEDNN_RNN_H0 + i);
    if (!out || !size) continue;
    if (in) {
      memcpy(out, in, size);
    } else {
      memset(out, 0, size);
    }
  }
}

static trivet_status_t run_direction(const prepared_t* p, uint32_t direction,
                                     const trivet_kernel_launch_t* launch) {
  const onednn_call_t* call = &p->calls[direction];
  char* workspace = (char*)launch->workspace;
  if (!p->has_h0) memset(workspace + p->state_at, 0, p->state_size);
  if (!p->has_c0) memset(workspace + p->cell_at, 0, p->state_size);
  for (uint32_t i = 0; i < call->arg_count; ++i) {
    const uint32_t source = call->sources[i];
    char* address = workspace;
    if (source == ONEDNN_SOURCE_OWN) continue;
    if (source == STATE) address += p->state_at;
    if (source == CELL) address += p->cell_at;
    if (source == SEQUENCE) address += p->sequence_at;
    if (source < ONEDNN_RNN_OPERANDS) {
      address = (char*)address_of(p, launch, source);
      if (source == ONEDNN_RNN_B) address += direction * p->bias_size;
      if (source != ONEDNN_RNN_B && source != ONEDNN_RNN_X) address += direction * p->state_size;
    }
    TRIVET_RETURN_IF_ERROR(onednn_call_set(call, i, address));
  }
  TRIVET_RETURN_IF_ERROR(onednn_call_execute(call, p->stream));
  char* y = (char*)address_of(p, launch, ONEDNN_RNN_Y);
  for (int64_t t = 0; p->directions > 1 && y && t < p->time; ++t) {
    const uint64_t to = ((uint64_t)t * p->directions + direction) * p->state_size;
    memcpy(y + to, workspace + p->sequence_at + (uint64_t)t * p->state_size, p->state_size);
  }
  return TRIVET_OK;
}

trivet_status_t onednn_rnn_run(const trivet_kernel_t* kernel, void* pointer,
                               const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = (const prepared_t*)pointer;
  if (!p->stream) {
    keep_states(p, launch);
    return TRIVET_OK;
  }
  trivet_executor_t* outer = onednn_executor_swap(launch->executor);
  trivet_status_t status = TRIVET_OK;
  for (uint32_t d = 0; d < p->directions && !status; ++d) {
    status = run_direction(p, d, launch);
  }
  onednn_executor_swap(outer);
  return status;
}
