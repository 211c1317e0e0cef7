// SPDX-License-Identifier: Apache-2.0
//
// Evaluates programs over dimensions, element by element: shape computations written as ordinary
// operators thereby carry symbolic shapes. What is not known is unknown, never guessed, but for one
// thing: sizes are taken to fit into 32 bits where a model casts them.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/evaluate.h"
#include "core/kernel_ir/program.h"
#include "core/kernel_ir/scalar.h"

typedef tvi_kir_stage_t stage_t;

// Work on one program beyond which nothing is known.
#define MAX_STEPS (1 << 18)
// Largest input that is looked into: one element of a table is read, say.
#define MAX_INPUT (1 << 14)

// What is known of one element: a number, a dimension (integer types; then |number| is unused), or
// nothing.
typedef enum { UNKNOWN = 0, NUMBER, DIM } known_t;
typedef struct {
  known_t known;
  tvi_kir_scalar_t number;
  trivet_dim_t dim;
} element_t;

typedef struct {
  const tvi_kir_program_t* program;
  tvi_dim_context_t* dims;
  element_t** elements;  // per value; NULL: nothing is known
  int64_t (*shapes)[TRIVET_MAX_RANK];
  uint32_t steps;
  // Of the stage at hand:
  element_t* slots;
  int64_t positions[TVI_KIR_MAX_INDICES];
} run_t;

static const element_t kUnknown = {UNKNOWN, {0}, NULL};

static element_t number(tvi_kir_scalar_t value) {
  element_t out = {NUMBER, value, NULL};
  return out;
}

static element_t integer(int64_t value) {
  element_t out = {NUMBER, {0}, NULL};
  out.number.i = value;
  return out;
}

static element_t dimension(trivet_dim_t dim) {
  int64_t value;
  if (dim == NULL) return kUnknown;
  if (tvi_dim_is_constant(dim, &value)) return integer(value);
  element_t out = {DIM, {0}, dim};
  return out;
}

static bool is_integer(uint32_t dtype) { return !tvi_dtype_is_float(dtype); }

// An element of an integer type as a dimension; NULL when unknown.
static trivet_dim_t as_dim(const run_t* run, uint32_t dtype, element_t e) {
  if (e.known == DIM) return e.dim;
  if (e.known == UNKNOWN || !is_integer(dtype)) return NULL;
  if (dtype == TRIVET_DTYPE_U64 && e.number.i < 0) return NULL;
  return tvi_dim_constant(run->dims, e.number.i);
}

static bool same(element_t a, element_t b) {
  if (a.known != b.known || a.known == UNKNOWN) return false;
  return a.known == DIM ? a.dim == b.dim : a.number.i == b.number.i;
}

static element_t compare(run_t* run, tvi_kir_opcode_t opcode, trivet_dim_t a, trivet_dim_t b) {
  tvi_dim_context_t* dims = run->dims;
  trivet_dim_t minus = tvi_dim_constant(dims, -1);
  trivet_dim_t d = tvi_dim_binary(dims, TRIVET_DIM_SUB, a, b);
  trivet_dim_t n = tvi_dim_binary(dims, TRIVET_DIM_MUL, d, minus);
  if (d == NULL || n == NULL) return kUnknown;
  bool zero = tvi_dim_equals_constant(d, 0);
  bool positive = tvi_dim_is_positive(dims, d), negative = tvi_dim_is_positive(dims, n);
  bool not_negative = tvi_dim_is_nonnegative(dims, d),
       not_positive = tvi_dim_is_nonnegative(dims, n);
  switch (opcode) {
    case TVI_KIR_EQ:
      return zero ? integer(1) : positive || negative ? integer(0) : kUnknown;
    case TVI_KIR_NE:
      return zero ? integer(0) : positive || negative ? integer(1) : kUnknown;
    case TVI_KIR_LT:
      return negative ? integer(1) : not_negative ? integer(0) : kUnknown;
    case TVI_KIR_LE:
      return not_positive ? integer(1) : positive ? integer(0) : kUnknown;
    case TVI_KIR_GT:
      return positive ? integer(1) : not_positive ? integer(0) : kUnknown;
    case TVI_KIR_GE:
      return not_negative ? integer(1) : negative ? integer(0) : kUnknown;
    default:
      return kUnknown;
  }
}

// Arithmetic on integers of which at least one is symbolic.
static element_t apply_dims(run_t* run, tvi_kir_opcode_t opcode, trivet_dim_t a, trivet_dim_t b) {
  tvi_dim_context_t* dims = run->dims;
  if (a == NULL) return kUnknown;
  switch (opcode) {
    case TVI_KIR_NEG:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_MUL, a, tvi_dim_constant(dims, -1)));
    case TVI_KIR_ABS:
      return tvi_dim_is_nonnegative(dims, a) ? dimension(a) : kUnknown;
    case TVI_KIR_SIGN:
      return tvi_dim_is_positive(dims, a) ? integer(1) : kUnknown;
    default:
      break;
  }
  if (b == NULL) return kUnknown;
  switch (opcode) {
    case TVI_KIR_ADD:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_ADD, a, b));
    case TVI_KIR_SUB:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_SUB, a, b));
    case TVI_KIR_MUL:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_MUL, a, b));
    case TVI_KIR_MIN:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_MIN, a, b));
    case TVI_KIR_MAX:
      return dimension(tvi_dim_binary(dims, TRIVET_DIM_MAX, a, b));
    case TVI_KIR_DIV:
    case TVI_KIR_REM:
      // Truncation is the floor where nothing is negative; what divides exactly needs neither.
      if (tvi_dim_equals_constant(tvi_dim_binary(dims, TRIVET_DIM_MOD, a, b), 0)) {
        return opcode == TVI_KIR_REM ? integer(0)
                                     : dimension(tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, a, b));
      }
      if (!tvi_dim_is_nonnegative(dims, a) || !tvi_dim_is_nonnegative(dims, b)) return kUnknown;
      return dimension(
          tvi_dim_binary(dims, opcode == TVI_KIR_DIV ? TRIVET_DIM_FLOORDIV : TRIVET_DIM_MOD, a, b));
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_CEILDIV:
    case TVI_KIR_MOD: {
      uint32_t op = opcode == TVI_KIR_FLOORDIV  ? TRIVET_DIM_FLOORDIV
                    : opcode == TVI_KIR_CEILDIV ? TRIVET_DIM_CEILDIV
                                                : TRIVET_DIM_MOD;
      return dimension(tvi_dim_binary(dims, op, a, b));
    }
    default:
      return compare(run, opcode, a, b);
  }
}

static element_t apply(run_t* run, tvi_kir_opcode_t opcode, uint32_t dtype, const uint32_t* dtypes,
                       const element_t* args) {
  uint32_t count = tvi_kir_opcode_operands(opcode);
  if (opcode == TVI_KIR_SELECT) {
    if (args[0].known == NUMBER) return args[0].number.i != 0 ? args[1] : args[2];
    return same(args[1], args[2]) ? args[1] : kUnknown;
  }
  if (dtype == TRIVET_DTYPE_BOOL && (opcode == TVI_KIR_AND || opcode == TVI_KIR_OR)) {
    for (int i = 0; i < 2; ++i) {
      if (args[i].known == NUMBER && (args[i].number.i != 0) == (opcode == TVI_KIR_OR)) {
        return args[i];
      }
    }
  }
  bool numbers = true, any_unknown = false;
  for (uint32_t i = 0; i < count; ++i) {
    numbers = numbers && args[i].known == NUMBER;
    any_unknown = any_unknown || args[i].known == UNKNOWN;
  }
  if (numbers) {
    tvi_kir_scalar_t result;
    tvi_kir_scalar_apply(opcode, dtype, dtypes[0], 1, &args[0].number, &args[1].number,
                         &args[2].number, &result);
    return number(result);
  }
  if (any_unknown || !is_integer(dtypes[0])) return kUnknown;
  if (opcode == TVI_KIR_CAST || opcode == TVI_KIR_SATCAST) {
    bool wide = tvi_dtype_is_integer(dtype) && tvi_dtype_bits(dtype) >= 32;
    return wide ? args[0] : kUnknown;
  }
  if (dtypes[0] == TRIVET_DTYPE_BOOL) return kUnknown;
  return apply_dims(run, opcode, as_dim(run, dtypes[0], args[0]),
                    count > 1 ? as_dim(run, dtypes[1], args[1]) : NULL);
}

static element_t load_element(run_t* run, const tvi_kir_load_t* load) {
  const element_t* elements = run->elements[load->value];
  if (elements == NULL) return kUnknown;
  int64_t offset = 0;
  bool outside = false;
  for (uint32_t d = 0; d < load->index_count; ++d) {
    element_t e = run->slots[load->indices[d]];
    int64_t extent = run->shapes[load->value][d];
    if (e.known != NUMBER) return kUnknown;
    int64_t index = e.number.i;
    uint8_t wrap = load->wrap != NULL ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    if (wrap == TVI_KIR_WRAP_NEGATIVE && index < 0) index += extent;
    if (wrap == TVI_KIR_WRAP_CLIP) {
      if (index >= extent) index = extent - 1;
      if (index < 0) index = 0;
    }
    if (index < 0 || index >= extent) {
      outside = true;
    } else {
      offset = offset * extent + index;
    }
  }
  if (outside) return load->pad != TVI_KIR_NONE ? run->slots[load->pad] : kUnknown;
  return elements[offset];
}

static void run_body(run_t* run, const stage_t* stage) {
  run->steps += stage->instr_count;
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    switch (instr->opcode) {
      case TVI_KIR_CONST:
        run->slots[i] = integer(instr->imm.i64);  // the bits of a float likewise
        break;
      case TVI_KIR_INDEX:
        run->slots[i] = integer(run->positions[instr->imm.i64]);
        break;
      case TVI_KIR_EXTENT:
        run->slots[i] = dimension(instr->imm.dim);
        break;
      case TVI_KIR_LOAD:
        run->slots[i] = load_element(run, instr->imm.load);
        break;
      default: {
        element_t args[3];
        uint32_t dtypes[3];
        for (uint32_t k = 0; k < 3; ++k) {
          bool used = k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
          args[k] = used ? run->slots[instr->args[k]] : kUnknown;
          dtypes[k] = used ? stage->instrs[instr->args[k]].dtype : TRIVET_DTYPE_INVALID;
        }
        run->slots[i] = apply(run, (tvi_kir_opcode_t)instr->opcode, instr->dtype, dtypes, args);
        break;
      }
    }
  }
}

// Joins one element into a running one; false: this monoid is not carried.
static bool join(run_t* run, const tvi_kir_monoid_t* monoid, element_t* state, element_t element,
                 bool first) {
  static const tvi_kir_opcode_t kOpcodes[] = {TVI_KIR_ADD, TVI_KIR_MUL, TVI_KIR_MIN,
                                              TVI_KIR_MAX, TVI_KIR_OR,  TVI_KIR_AND};
  if (monoid->kind > TVI_KIR_ALL) return false;
  if (first) {
    *state = element;
    return true;
  }
  uint32_t dtypes[3] = {monoid->dtypes[0], monoid->dtypes[0], TRIVET_DTYPE_INVALID};
  element_t args[3] = {*state, element, kUnknown};
  *state = apply(run, kOpcodes[monoid->kind], monoid->dtypes[0], dtypes, args);
  return true;
}

static element_t identity_of(const tvi_kir_monoid_t* monoid) {
  tvi_kir_scalar_t one = {0};
  bool is_float = tvi_dtype_is_float(monoid->dtypes[0]);
  if (monoid->kind == TVI_KIR_SUM || monoid->kind == TVI_KIR_ANY) return integer(0);
  if (monoid->kind == TVI_KIR_ALL) return integer(1);
  if (monoid->kind != TVI_KIR_PROD) return kUnknown;
  if (is_float) {
    one.f = 1;
  } else {
    one.i = 1;
  }
  return number(one);
}

static void set_positions(run_t* run, const int64_t* extents, uint32_t first, uint32_t count,
                          int64_t at) {
  for (uint32_t i = first + count; i-- > first;) {
    run->positions[i] = at % extents[i];
    at /= extents[i];
  }
}

// Constant extents of a stage and their products; false where symbolic or too large.
static bool stage_shape(const stage_t* stage, int64_t* extents, int64_t* out_points,
                        int64_t* out_inner) {
  int64_t counts[2] = {1, 1};
  for (uint32_t i = 0; i < stage->parallel_count + stage->reduced_count; ++i) {
    int64_t* count = &counts[i < stage->parallel_count ? 0 : 1];
    if (!tvi_dim_is_constant(stage->extents[i], &extents[i]) || extents[i] < 0 ||
        extents[i] > MAX_STEPS) {
      return false;
    }
    *count *= extents[i];
    if (*count > MAX_STEPS) return false;
  }
  *out_points = counts[0];
  *out_inner = counts[1];
  return counts[0] <= TVI_KIR_MAX_DIM_ELEMENTS;
}

static trivet_status_t run_stage(run_t* run, const stage_t* stage, tvi_arena_t* arena) {
  int64_t extents[TVI_KIR_MAX_INDICES], points, inner;
  if (!stage_shape(stage, extents, &points, &inner)) return TRIVET_OK;
  const tvi_kir_monoid_t* monoid = stage->monoid;
  if (monoid != NULL && monoid->kind > TVI_KIR_ALL) return TRIVET_OK;
  if (stage->values[0] == TVI_KIR_NONE) return TRIVET_OK;
  element_t* elements;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, (size_t)points + 1, sizeof(*elements), &elements));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, stage->instr_count, sizeof(*run->slots), &run->slots));
  bool scan = stage->kind == TVI_KIR_SCAN;
  bool reverse = (stage->scan_flags & TVI_KIR_SCAN_REVERSE) != 0;
  bool exclusive = (stage->scan_flags & TVI_KIR_SCAN_EXCLUSIVE) != 0;
  int64_t length = scan ? extents[stage->parallel_count - 1] : 1;
  element_t state = kUnknown;
  for (int64_t step = 0; step < points; ++step) {
    if (run->steps > MAX_STEPS) return TRIVET_OK;
    int64_t within = step % length;
    int64_t at = step - within + (scan && reverse ? length - 1 - within : within);
    set_positions(run, extents, 0, stage->parallel_count, at);
    if (stage->kind == TVI_KIR_REDUCE) {
      state = identity_of(monoid);
      for (int64_t k = 0; k < inner; ++k) {
        if (run->steps > MAX_STEPS) return TRIVET_OK;
        set_positions(run, extents, stage->parallel_count, stage->reduced_count, k);
        run_body(run, stage);
        join(run, monoid, &state, run->slots[stage->results[0]], k == 0);
      }
      elements[at] = state;
      continue;
    }
    run_body(run, stage);
    element_t element = run->slots[stage->results[0]];
    if (!scan) {
      elements[at] = element;
      continue;
    }
    if (within == 0) state = identity_of(monoid);
    element_t before = state;
    join(run, monoid, &state, element, within == 0);
    elements[at] = exclusive ? before : state;
  }
  run->elements[stage->values[0]] = elements;
  return TRIVET_OK;
}

static trivet_status_t read_input(run_t* run, uint32_t v, const tvi_kir_dim_tensor_t* tensor,
                                  tvi_arena_t* arena) {
  const tvi_kir_value_t* value = &run->program->values[v];
  int64_t count = 1;
  for (uint32_t d = 0; d < value->rank; ++d) count *= run->shapes[v][d];
  const trivet_tensor_t* constant = tensor->constant;
  bool known = tensor->elements != NULL && tensor->count == (uint64_t)count;
  if (constant != NULL) {
    size_t bytes;
    known = constant->dtype == value->dtype && constant->rank == value->rank;
    for (uint32_t d = 0; known && d < value->rank; ++d) {
      known = constant->dims[d] == run->shapes[v][d];
    }
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(value->dtype, count, &bytes));
    known = known && constant->size >= bytes && (constant->data != NULL || bytes == 0);
  }
  if (!known) return TRIVET_OK;
  element_t* elements;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, (size_t)count + 1, sizeof(*elements), &elements));
  for (int64_t i = 0; i < count; ++i) {
    elements[i] = constant != NULL ? number(tvi_kir_scalar_read(value->dtype, constant->data, i))
                                   : dimension(tensor->elements[i]);
  }
  run->elements[v] = elements;
  return TRIVET_OK;
}

static trivet_status_t write_output(run_t* run, uint32_t v, tvi_kir_dim_tensor_t* tensor,
                                    tvi_arena_t* arena) {
  const tvi_kir_value_t* value = &run->program->values[v];
  const element_t* elements = run->elements[v];
  tvi_kir_dim_tensor_t out = {NULL, 0, NULL};
  if (elements != NULL && is_integer(value->dtype)) {
    int64_t count = 1;
    for (uint32_t d = 0; d < value->rank; ++d) count *= run->shapes[v][d];
    trivet_dim_t* dims;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, (size_t)count + 1, sizeof(*dims), &dims));
    for (int64_t i = 0; i < count; ++i) dims[i] = as_dim(run, value->dtype, elements[i]);
    out.count = (uint64_t)count;
    out.elements = dims;
  }
  *tensor = out;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_evaluate_dims(const tvi_kir_program_t* program,
                                      tvi_kir_dim_tensor_t* values, tvi_arena_t* arena) {
  run_t run;
  memset(&run, 0, sizeof(run));
  run.program = program;
  run.dims = program->dims;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, program->value_count + 1,
                                                      sizeof(*run.elements), &run.elements));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, program->value_count + 1,
                                                      sizeof(*run.shapes), &run.shapes));
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    int64_t count = 1;
    bool small = true;
    for (uint32_t d = 0; d < value->rank && small; ++d) {
      int64_t* extent = &run.shapes[v][d];
      small = tvi_dim_is_constant(value->dims[d], extent) && *extent >= 0 && *extent <= MAX_INPUT;
      count *= small ? *extent : 1;
      small = small && count <= MAX_INPUT;
    }
    if (value->kind == TVI_KIR_INPUT && small) {
      TRIVET_RETURN_IF_ERROR(read_input(&run, v, &values[v], arena));
    }
  }
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    TRIVET_RETURN_IF_ERROR(run_stage(&run, &program->stages[s], arena));
  }
  for (uint32_t v = 0; v < program->value_count; ++v) {
    if (program->values[v].kind == TVI_KIR_OUTPUT) {
      TRIVET_RETURN_IF_ERROR(write_output(&run, v, &values[v], arena));
    }
  }
  return TRIVET_OK;
}
