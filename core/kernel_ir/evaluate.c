// SPDX-License-Identifier: Apache-2.0
//
// Evaluates programs on host tensors: every instruction over a block of positions at a time, every
// number as scalar.h defines it. Nothing is reordered or fused, so this is what others are measured
// against.
#include "core/kernel_ir/evaluate.h"

#include <math.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/scalar_math.h"
#include "core/base/status.h"
#include "core/kernel_ir/program.h"
#include "core/kernel_ir/scalar.h"

typedef tvi_kir_scalar_t scalar_t;
typedef tvi_kir_stage_t stage_t;

#define BLOCK 64

typedef struct {
  int64_t dims[TRIVET_MAX_RANK];
  int64_t strides[TRIVET_MAX_RANK];
  int64_t count;
  char* data;
  size_t allocated;  // bytes, of a temporary
} storage_t;

typedef struct {
  const tvi_kir_program_t* program;
  const int64_t* symbols;
  uint32_t symbol_count;
  storage_t* storage;  // one per value
  // Of the stage at hand:
  uint32_t stage;
  int64_t extents[TVI_KIR_MAX_INDICES];
  int64_t* positions;  // indices x BLOCK
  scalar_t* slots;     // instructions x BLOCK
} run_t;

static trivet_status_t dim_value(const run_t* run, trivet_dim_t dim, int64_t* out) {
  return tvi_dim_evaluate(dim, run->symbols, run->symbol_count, out);
}

static trivet_status_t bind_value(run_t* run, uint32_t v, const trivet_tensor_t* tensor,
                                  trivet_allocator_t allocator) {
  const tvi_kir_value_t* value = &run->program->values[v];
  storage_t* storage = &run->storage[v];
  for (uint32_t d = 0; d < value->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(dim_value(run, value->dims[d], &storage->dims[d]));
  }
  size_t bytes;
  if (!tvi_checked_element_count(storage->dims, value->rank, &storage->count)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "value '%s': its shape overflows or is negative",
                         value->name);
  }
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(value->dtype, storage->count, &bytes));
  int64_t stride = 1;
  for (uint32_t d = value->rank; d-- > 0;) {
    storage->strides[d] = stride;
    stride *= storage->count == 0 ? 1 : storage->dims[d];
  }
  if (value->kind == TVI_KIR_TEMP) {
    if (bytes == 0) return TRIVET_OK;
    TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, bytes, &storage->data));
    storage->allocated = bytes;
    return TRIVET_OK;
  }
  bool same = tensor->dtype == value->dtype && tensor->rank == value->rank;
  for (uint32_t d = 0; same && d < value->rank; ++d) same = tensor->dims[d] == storage->dims[d];
  if (!same || tensor->size < bytes || (bytes > 0 && tensor->data == NULL)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "value '%s': the tensor has another type, shape or size",
                         value->name);
  }
  storage->data = (char*)tensor->data;
  return TRIVET_OK;
}

// ---- One block of a body ----

static trivet_status_t out_of_bounds(const run_t* run, const tvi_kir_load_t* load, uint32_t d,
                                     int64_t index) {
  return TRIVET_STATUS(OUT_OF_RANGE,
                       "stage %u: index %lld of '%s' is out of bounds in dimension %u, which has "
                       "%lld",
                       run->stage, (long long)index, run->program->values[load->value].name, d,
                       (long long)run->storage[load->value].dims[d]);
}

static trivet_status_t evaluate_load(const run_t* run, const tvi_kir_instr_t* instr, uint32_t n,
                                     scalar_t* out) {
  const tvi_kir_load_t* load = instr->imm.load;
  const storage_t* storage = &run->storage[load->value];
  int64_t offsets[BLOCK] = {0};
  bool outside[BLOCK] = {false};
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const scalar_t* indices = run->slots + (size_t)load->indices[d] * BLOCK;
    uint8_t wrap = load->wrap != NULL ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    int64_t extent = storage->dims[d];
    for (uint32_t j = 0; j < n; ++j) {
      int64_t index = indices[j].i;
      if (wrap == TVI_KIR_WRAP_NEGATIVE && index < 0) index += extent;
      if (wrap == TVI_KIR_WRAP_CLIP) {
        if (index >= extent) index = extent - 1;
        if (index < 0) index = 0;
      }
      if (index < 0 || index >= extent) {
        if (load->pad == TVI_KIR_NONE) return out_of_bounds(run, load, d, indices[j].i);
        outside[j] = true;
        continue;
      }
      offsets[j] += index * storage->strides[d];
    }
  }
  const scalar_t* pad = load->pad != TVI_KIR_NONE ? run->slots + (size_t)load->pad * BLOCK : NULL;
  for (uint32_t j = 0; j < n; ++j) {
    out[j] = outside[j] ? pad[j] : tvi_kir_scalar_read(instr->dtype, storage->data, offsets[j]);
  }
  return TRIVET_OK;
}

static trivet_status_t evaluate_block(const run_t* run, const stage_t* stage, uint32_t n) {
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    scalar_t* out = run->slots + (size_t)i * BLOCK;
    switch (instr->opcode) {
      case TVI_KIR_CONST:
        for (uint32_t j = 0; j < n; ++j) out[j].i = instr->imm.i64;
        break;
      case TVI_KIR_INDEX:
        for (uint32_t j = 0; j < n; ++j) out[j].i = run->positions[instr->imm.i64 * BLOCK + j];
        break;
      case TVI_KIR_EXTENT: {
        int64_t value;
        TRIVET_RETURN_IF_ERROR(dim_value(run, instr->imm.dim, &value));
        for (uint32_t j = 0; j < n; ++j) out[j].i = value;
        break;
      }
      case TVI_KIR_LOAD:
        TRIVET_RETURN_IF_ERROR(evaluate_load(run, instr, n, out));
        break;
      default: {
        const scalar_t* args[3] = {out, out, out};
        for (uint32_t k = 0; k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++k) {
          args[k] = run->slots + (size_t)instr->args[k] * BLOCK;
        }
        tvi_kir_scalar_apply((tvi_kir_opcode_t)instr->opcode, instr->dtype,
                             stage->instrs[instr->args[0]].dtype, n, args[0], args[1], args[2],
                             out);
        break;
      }
    }
  }
  return TRIVET_OK;
}

// ---- Monoids ----

// A state, with room for what the accumulation keeps beside it.
typedef struct {
  scalar_t value[TVI_KIR_MAX_STATE];
  double exact;  // running sum of floats
  bool any;      // has an element been joined?
} state_t;

static void identity_of(const tvi_kir_monoid_t* monoid, state_t* state) {
  memset(state, 0, sizeof(*state));
  uint32_t dtype = monoid->dtypes[0];
  bool is_float = tvi_dtype_is_float(dtype);
  switch (monoid->kind) {
    case TVI_KIR_PROD:
      if (is_float) {
        state->value[0].f = 1;
      } else {
        state->value[0].i = 1;
      }
      break;
    case TVI_KIR_REDUCE_MIN:
      state->value[0] = tvi_kir_scalar_limit(dtype, 0);
      if (is_float) state->value[0].f = HUGE_VAL;
      break;
    case TVI_KIR_REDUCE_MAX:
      state->value[0] = tvi_kir_scalar_limit(dtype, 1);
      if (is_float) state->value[0].f = -HUGE_VAL;
      break;
    case TVI_KIR_ALL:
      state->value[0].i = 1;
      break;
    case TVI_KIR_SOFTMAX_STATE:
      state->value[0].f = -HUGE_VAL;
      break;
    case TVI_KIR_DECLARED:
      for (uint32_t i = 0; i < monoid->state_count; ++i) {
        if (tvi_dtype_is_float(monoid->dtypes[i])) {
          state->value[i].f = monoid->identity[i];
        } else {
          state->value[i].i = (int64_t)monoid->identity[i];
        }
      }
      break;
    default:
      break;
  }
}

static scalar_t apply2(tvi_kir_opcode_t opcode, uint32_t dtype, scalar_t a, scalar_t b) {
  scalar_t out;
  tvi_kir_scalar_apply(opcode, dtype, dtype, 1, &a, &b, &b, &out);
  return out;
}

// Does |a| beat |b| for argmax (argmin)? NaN beats every number; equals do not beat.
static bool beats(const tvi_kir_monoid_t* monoid, scalar_t a, scalar_t b) {
  uint32_t dtype = monoid->dtypes[0];
  if (tvi_dtype_is_float(dtype)) {
    if (b.f != b.f) return false;
    if (a.f != a.f) return true;
    return monoid->kind == TVI_KIR_ARGMAX ? a.f > b.f : a.f < b.f;
  }
  return apply2(monoid->kind == TVI_KIR_ARGMAX ? TVI_KIR_GT : TVI_KIR_LT, dtype, a, b).i != 0;
}

static void join_declared(const tvi_kir_monoid_t* monoid, state_t* state, const scalar_t* element,
                          scalar_t* scratch) {
  uint32_t n = monoid->state_count;
  for (uint32_t i = 0; i < n; ++i) {
    scratch[i] = state->value[i];
    scratch[n + i] = element[i];
  }
  for (uint32_t i = 2 * n; i < monoid->join_count; ++i) {
    const tvi_kir_instr_t* instr = &monoid->join[i];
    if (instr->opcode == TVI_KIR_CONST) {
      scratch[i].i = instr->imm.i64;
      continue;
    }
    scalar_t args[3] = {{0}, {0}, {0}};
    for (uint32_t k = 0; k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++k) {
      args[k] = scratch[instr->args[k]];
    }
    tvi_kir_scalar_apply((tvi_kir_opcode_t)instr->opcode, instr->dtype,
                         monoid->join[instr->args[0]].dtype, 1, &args[0], &args[1], &args[2],
                         &scratch[i]);
  }
  for (uint32_t i = 0; i < n; ++i) state->value[i] = scratch[monoid->join_results[i]];
}

static void join(const tvi_kir_monoid_t* monoid, state_t* state, const scalar_t* element,
                 scalar_t* scratch) {
  uint32_t dtype = monoid->dtypes[0];
  bool is_float = tvi_dtype_is_float(dtype);
  switch (monoid->kind) {
    case TVI_KIR_SUM:
      if (is_float) {
        state->exact += element[0].f;
        state->value[0].f = dtype == TRIVET_DTYPE_F64 ? state->exact : (double)(float)state->exact;
      } else {
        state->value[0] = apply2(TVI_KIR_ADD, dtype, state->value[0], element[0]);
      }
      break;
    case TVI_KIR_PROD:
      state->value[0] = apply2(TVI_KIR_MUL, dtype, state->value[0], element[0]);
      break;
    case TVI_KIR_REDUCE_MIN:
      state->value[0] = apply2(TVI_KIR_MIN, dtype, state->value[0], element[0]);
      break;
    case TVI_KIR_REDUCE_MAX:
      state->value[0] = apply2(TVI_KIR_MAX, dtype, state->value[0], element[0]);
      break;
    case TVI_KIR_ANY:
      state->value[0].i |= element[0].i;
      break;
    case TVI_KIR_ALL:
      state->value[0].i &= element[0].i;
      break;
    case TVI_KIR_ARGMAX:
    case TVI_KIR_ARGMIN:
      if (!state->any || beats(monoid, element[0], state->value[0])) {
        state->value[0] = element[0];
        state->value[1] = element[1];
      }
      break;
    case TVI_KIR_WELFORD: {
      double count = state->value[2].f + 1, delta = element[0].f - state->value[0].f;
      double mean = state->value[0].f + delta / count;
      state->value[1].f += delta * (element[0].f - mean);
      state->value[0].f = mean;
      state->value[2].f = count;
      break;
    }
    case TVI_KIR_SOFTMAX_STATE: {
      scalar_t m = apply2(TVI_KIR_MAX, TRIVET_DTYPE_F64, state->value[0], element[0]);
      // Two infinities of one sign have no difference; nothing was lost then.
      double kept = state->value[0].f == m.f ? 1 : tvi_math_exp(state->value[0].f - m.f);
      double added = element[0].f == m.f ? 1 : tvi_math_exp(element[0].f - m.f);
      state->value[1].f = state->value[1].f * kept + added;
      state->value[0] = m;
      break;
    }
    default:
      join_declared(monoid, state, element, scratch);
      break;
  }
  state->any = true;
}

// The state as its values hold it.
static scalar_t part_of(const tvi_kir_monoid_t* monoid, const state_t* state, uint32_t i) {
  scalar_t value = state->value[i];
  if (monoid->kind == TVI_KIR_WELFORD || monoid->kind == TVI_KIR_SOFTMAX_STATE) {
    // These two accumulate in f64.
    if (monoid->dtypes[i] != TRIVET_DTYPE_F64) value.f = (double)(float)value.f;
  }
  return value;
}

// ---- Stages ----

// Fills the positions of |n| consecutive points of an index space from |at| on.
static void fill_positions(run_t* run, uint32_t first, uint32_t count, int64_t at, uint32_t n) {
  for (uint32_t j = 0; j < n; ++j) {
    int64_t rest = at + j;
    for (uint32_t i = first + count; i-- > first;) {
      run->positions[i * BLOCK + j] = rest % run->extents[i];
      rest /= run->extents[i];
    }
  }
}

static void fix_positions(run_t* run, uint32_t first, uint32_t count, int64_t at) {
  for (uint32_t i = first + count; i-- > first;) {
    int64_t value = at % run->extents[i];
    at /= run->extents[i];
    for (uint32_t j = 0; j < BLOCK; ++j) run->positions[i * BLOCK + j] = value;
  }
}

static int64_t point_count(const run_t* run, uint32_t first, uint32_t count, bool* out_ok) {
  int64_t points = 0;
  *out_ok = tvi_checked_element_count(run->extents + first, count, &points);
  return points;
}

static void store(run_t* run, const stage_t* stage, uint32_t part, int64_t at, scalar_t value) {
  uint32_t v = stage->values[part];
  if (v == TVI_KIR_NONE) return;
  tvi_kir_scalar_write(run->program->values[v].dtype, run->storage[v].data, at, value);
}

static trivet_status_t run_map(run_t* run, const stage_t* stage, int64_t points) {
  for (int64_t at = 0; at < points; at += BLOCK) {
    uint32_t n = points - at < BLOCK ? (uint32_t)(points - at) : BLOCK;
    fill_positions(run, 0, stage->parallel_count, at, n);
    TRIVET_RETURN_IF_ERROR(evaluate_block(run, stage, n));
    const scalar_t* result = run->slots + (size_t)stage->results[0] * BLOCK;
    for (uint32_t j = 0; j < n; ++j) store(run, stage, 0, at + j, result[j]);
  }
  return TRIVET_OK;
}

static trivet_status_t run_reduce(run_t* run, const stage_t* stage, int64_t points, int64_t inner,
                                  scalar_t* scratch) {
  const tvi_kir_monoid_t* monoid = stage->monoid;
  for (int64_t at = 0; at < points; ++at) {
    state_t state;
    identity_of(monoid, &state);
    fix_positions(run, 0, stage->parallel_count, at);
    for (int64_t k = 0; k < inner; k += BLOCK) {
      uint32_t n = inner - k < BLOCK ? (uint32_t)(inner - k) : BLOCK;
      fill_positions(run, stage->parallel_count, stage->reduced_count, k, n);
      TRIVET_RETURN_IF_ERROR(evaluate_block(run, stage, n));
      for (uint32_t j = 0; j < n; ++j) {
        scalar_t element[TVI_KIR_MAX_STATE];
        for (uint32_t i = 0; i < monoid->element_count; ++i) {
          element[i] = run->slots[(size_t)stage->results[i] * BLOCK + j];
        }
        join(monoid, &state, element, scratch);
      }
    }
    for (uint32_t i = 0; i < monoid->state_count; ++i) {
      store(run, stage, i, at, part_of(monoid, &state, i));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t run_scan(run_t* run, const stage_t* stage, int64_t rows, int64_t length,
                                scalar_t* scratch) {
  const tvi_kir_monoid_t* monoid = stage->monoid;
  uint32_t last = stage->parallel_count - 1;
  bool reverse = (stage->scan_flags & TVI_KIR_SCAN_REVERSE) != 0;
  bool exclusive = (stage->scan_flags & TVI_KIR_SCAN_EXCLUSIVE) != 0;
  for (int64_t row = 0; row < rows; ++row) {
    state_t state;
    identity_of(monoid, &state);
    fix_positions(run, 0, last, row);
    for (int64_t step = 0; step < length; ++step) {
      int64_t at = reverse ? length - 1 - step : step;
      run->positions[last * BLOCK] = at;
      TRIVET_RETURN_IF_ERROR(evaluate_block(run, stage, 1));
      scalar_t element[TVI_KIR_MAX_STATE];
      for (uint32_t i = 0; i < monoid->element_count; ++i) {
        element[i] = run->slots[(size_t)stage->results[i] * BLOCK];
      }
      if (!exclusive) join(monoid, &state, element, scratch);
      for (uint32_t i = 0; i < monoid->state_count; ++i) {
        store(run, stage, i, row * length + at, part_of(monoid, &state, i));
      }
      if (exclusive) join(monoid, &state, element, scratch);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t run_stage(run_t* run, uint32_t s, trivet_allocator_t allocator) {
  const stage_t* stage = &run->program->stages[s];
  run->stage = s;
  uint32_t indices = stage->parallel_count + stage->reduced_count;
  for (uint32_t i = 0; i < indices; ++i) {
    TRIVET_RETURN_IF_ERROR(dim_value(run, stage->extents[i], &run->extents[i]));
  }
  bool ok, inner_ok;
  int64_t points = point_count(run, 0, stage->parallel_count, &ok);
  int64_t inner = point_count(run, stage->parallel_count, stage->reduced_count, &inner_ok);
  if (!ok || !inner_ok) {
    return TRIVET_STATUS(OUT_OF_RANGE, "stage %u: its extents overflow or are negative", s);
  }
  for (uint32_t i = 0; i < stage->result_count; ++i) {
    // Extents that were assumed to be equal must be.
    if (stage->values[i] != TVI_KIR_NONE && run->storage[stage->values[i]].count != points) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "stage %u: value '%s' has another shape", s,
                           run->program->values[stage->values[i]].name);
    }
  }
  uint32_t join_count = stage->monoid != NULL && stage->monoid->kind == TVI_KIR_DECLARED
                            ? stage->monoid->join_count
                            : 0;
  size_t slot_count = (size_t)stage->instr_count * BLOCK + join_count;
  size_t position_count = (size_t)(indices + 1) * BLOCK;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array_zeroed(allocator, position_count, sizeof(*run->positions), &run->positions));
  trivet_status_t status =
      tvi_alloc_array_zeroed(allocator, slot_count, sizeof(*run->slots), &run->slots);
  if (status == NULL) {
    scalar_t* scratch = run->slots + (size_t)stage->instr_count * BLOCK;
    switch (stage->kind) {
      case TVI_KIR_MAP:
        status = run_map(run, stage, points);
        break;
      case TVI_KIR_REDUCE:
        status = run_reduce(run, stage, points, inner, scratch);
        break;
      default: {
        int64_t length = run->extents[stage->parallel_count - 1];
        status = run_scan(run, stage, length == 0 ? 0 : points / length, length, scratch);
        break;
      }
    }
    tvi_free_array(allocator, run->slots, slot_count, sizeof(*run->slots));
  }
  tvi_free_array(allocator, run->positions, position_count, sizeof(*run->positions));
  return status;
}

trivet_status_t tvi_kir_evaluate(const tvi_kir_program_t* program, const int64_t* symbols,
                                 uint32_t symbol_count, const trivet_tensor_t* tensors,
                                 trivet_allocator_t allocator) {
  TRIVET_RETURN_IF_ERROR(tvi_kir_verify(program));
  run_t run;
  memset(&run, 0, sizeof(run));
  run.program = program;
  run.symbols = symbols;
  run.symbol_count = symbol_count;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array_zeroed(allocator, program->value_count + 1,
                                                sizeof(*run.storage), &run.storage));
  trivet_status_t status = TRIVET_OK;
  for (uint32_t v = 0; v < program->value_count && status == NULL; ++v) {
    status = bind_value(&run, v, &tensors[v], allocator);
  }
  for (uint32_t s = 0; s < program->stage_count && status == NULL; ++s) {
    status = run_stage(&run, s, allocator);
  }
  for (uint32_t v = 0; v < program->value_count; ++v) {
    // Data of inputs and outputs is the caller's.
    if (run.storage[v].allocated != 0) {
      tvi_free(allocator, run.storage[v].data, run.storage[v].allocated);
    }
  }
  tvi_free_array(allocator, run.storage, program->value_count + 1, sizeof(*run.storage));
  return status;
}
