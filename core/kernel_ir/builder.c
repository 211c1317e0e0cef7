// SPDX-License-Identifier: Apache-2.0
//
// Emission of instructions: folding, merging of equal ones, identities that hold for every type.
// Those of index arithmetic are in builder_index.c.
#include "core/kernel_ir/builder.h"

#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/kernel_ir/builder_internal.h"
#include "core/kernel_ir/scalar.h"

typedef tvi_kir_builder_t builder_t;
typedef tvi_kir_instr_t instr_t;
typedef tvi_kir_ref_t ref_t;

void tvi_kir_builder_init(builder_t* b, const tvi_kir_program_t* program,
                          const trivet_dim_t* extents, tvi_arena_t* arena) {
  memset(b, 0, sizeof(*b));
  b->arena = arena;
  b->dims = program->dims;
  b->program = program;
  b->extents = extents;
}

static ref_t fail(builder_t* b, trivet_status_t status) {
  if (b->status == NULL) {
    b->status = status;
  } else {
    trivet_status_free(status);
  }
  return TVI_KIR_NONE;
}

// ---- Merging ----

static uint64_t hash_load(const tvi_kir_load_t* load) {
  uint64_t hash = tvi_hash_combine(load->value, load->bounds + 1);
  hash = tvi_hash_combine(hash, load->pad);
  for (uint32_t i = 0; i < load->index_count; ++i) {
    hash = tvi_hash_combine(hash, load->indices[i] * 4u + (load->wrap != NULL ? load->wrap[i] : 0));
  }
  return hash;
}

static bool same_load(const tvi_kir_load_t* a, const tvi_kir_load_t* b) {
  if (a->value != b->value || a->bounds != b->bounds || a->pad != b->pad) return false;
  for (uint32_t i = 0; i < a->index_count; ++i) {
    uint8_t wrap_a = a->wrap != NULL ? a->wrap[i] : 0, wrap_b = b->wrap != NULL ? b->wrap[i] : 0;
    if (a->indices[i] != b->indices[i] || wrap_a != wrap_b) return false;
  }
  return true;
}

static uint64_t hash_instr(const instr_t* instr) {
  uint64_t hash = tvi_hash_combine(instr->opcode + 1u, instr->dtype);
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  for (uint32_t i = 0; i < operands; ++i) hash = tvi_hash_combine(hash, instr->args[i]);
  switch (instr->opcode) {
    case TVI_KIR_LOAD:
      return tvi_hash_combine(hash, hash_load(instr->imm.load));
    case TVI_KIR_CONST:
    case TVI_KIR_INDEX:
      return tvi_hash_combine(hash, (uint64_t)instr->imm.i64);
    case TVI_KIR_EXTENT:
      return tvi_hash_combine(hash, (uint64_t)(uintptr_t)instr->imm.dim);
    case TVI_KIR_DEVICE:
      return tvi_hash_combine(hash, (uint64_t)(uintptr_t)instr->imm.device);
    default:
      return hash;
  }
}

static bool same_instr(const instr_t* a, const instr_t* b) {
  if (a->opcode != b->opcode || a->dtype != b->dtype || a->reserved != b->reserved) return false;
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)a->opcode);
  for (uint32_t i = 0; i < operands; ++i) {
    if (a->args[i] != b->args[i]) return false;
  }
  switch (a->opcode) {
    case TVI_KIR_LOAD:
      return same_load(a->imm.load, b->imm.load);
    case TVI_KIR_CONST:
    case TVI_KIR_INDEX:
      // Bits, so that -0 is not 0 and NaN is itself.
      return a->imm.i64 == b->imm.i64;
    case TVI_KIR_EXTENT:
      return a->imm.dim == b->imm.dim;
    case TVI_KIR_DEVICE:
      return a->imm.device == b->imm.device;
    default:
      return true;
  }
}

static bool grow(builder_t* b) {
  if (b->count == b->capacity) {
    uint32_t capacity = b->capacity == 0 ? 32 : b->capacity * 2;
    instr_t* instrs;
    trivet_status_t status = tvi_arena_alloc_array(b->arena, capacity, sizeof(*instrs), &instrs);
    if (status != NULL) {
      fail(b, status);
      return false;
    }
    if (b->count > 0) memcpy(instrs, b->instrs, b->count * sizeof(*instrs));
    b->instrs = instrs;
    b->capacity = capacity;
  }
  if ((b->count + 1) * 2 > b->slot_count) {
    uint32_t count = b->slot_count == 0 ? 64 : b->slot_count * 2;
    uint32_t* slots;
    trivet_status_t status = tvi_arena_alloc_array_zeroed(b->arena, count, sizeof(*slots), &slots);
    if (status != NULL) {
      fail(b, status);
      return false;
    }
    for (uint32_t i = 0; i < b->count; ++i) {
      uint64_t at = hash_instr(&b->instrs[i]) & (count - 1);
      while (slots[at] != 0) at = (at + 1) & (count - 1);
      slots[at] = i + 1;
    }
    b->slots = slots;
    b->slot_count = count;
  }
  return true;
}

ref_t tvi_kir_builder_push(builder_t* b, const instr_t* instr) {
  if (b->status != NULL) return TVI_KIR_NONE;
  if (b->count == TVI_KIR_MAX_INSTRS) {
    return fail(b, TRIVET_STATUS(OUT_OF_RANGE, "a stage has more than %d instructions",
                                 TVI_KIR_MAX_INSTRS));
  }
  if (!grow(b)) return TVI_KIR_NONE;
  uint64_t at = hash_instr(instr) & (b->slot_count - 1);
  bool opaque = (instr->reserved & TVI_KIR_INSTR_OPAQUE) != 0;
  for (; b->slots[at] != 0; at = (at + 1) & (b->slot_count - 1)) {
    if (!opaque && same_instr(&b->instrs[b->slots[at] - 1], instr)) return b->slots[at] - 1;
  }
  b->instrs[b->count] = *instr;
  b->slots[at] = ++b->count;
  return b->count - 1;
}

ref_t tvi_kir_builder_push_op(builder_t* b, tvi_kir_opcode_t opcode, uint32_t dtype, ref_t x,
                              ref_t y) {
  if (x == TVI_KIR_NONE || y == TVI_KIR_NONE) return TVI_KIR_NONE;
  instr_t instr = {(uint16_t)opcode, 0, dtype, {x, y, TVI_KIR_NONE}, {0}};
  return tvi_kir_builder_push(b, &instr);
}

// ---- Leaves ----

static ref_t build_leaf(builder_t* b, tvi_kir_opcode_t opcode, uint32_t dtype, int64_t bits) {
  instr_t instr = {(uint16_t)opcode, 0, dtype, {TVI_KIR_NONE, TVI_KIR_NONE, TVI_KIR_NONE}, {0}};
  instr.imm.i64 = bits;
  return tvi_kir_builder_push(b, &instr);
}

ref_t tvi_kir_build_int(builder_t* b, uint32_t dtype, int64_t value) {
  return build_leaf(b, TVI_KIR_CONST, dtype, value);
}

ref_t tvi_kir_build_float(builder_t* b, uint32_t dtype, double value) {
  if (dtype != TRIVET_DTYPE_F64) value = (double)(float)value;
  int64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return build_leaf(b, TVI_KIR_CONST, dtype, bits);
}

ref_t tvi_kir_build_index(builder_t* b, uint32_t index) {
  // The only position of an extent of 1 is 0.
  if (tvi_dim_equals_constant(b->extents[index], 1)) {
    return tvi_kir_build_int(b, TRIVET_DTYPE_I64, 0);
  }
  return build_leaf(b, TVI_KIR_INDEX, TRIVET_DTYPE_I64, index);
}

ref_t tvi_kir_build_extent(builder_t* b, trivet_dim_t dim) {
  int64_t value;
  if (dim == NULL) return fail(b, TRIVET_STATUS(OUT_OF_RANGE, "an extent overflows"));
  if (tvi_dim_is_constant(dim, &value)) return tvi_kir_build_int(b, TRIVET_DTYPE_I64, value);
  instr_t instr = {
      TVI_KIR_EXTENT, 0, TRIVET_DTYPE_I64, {TVI_KIR_NONE, TVI_KIR_NONE, TVI_KIR_NONE}, {0}};
  instr.imm.dim = dim;
  return tvi_kir_builder_push(b, &instr);
}

ref_t tvi_kir_build_opaque(builder_t* b, uint32_t dtype) {
  instr_t instr = {
      TVI_KIR_CONST, TVI_KIR_INSTR_OPAQUE, dtype, {TVI_KIR_NONE, TVI_KIR_NONE, TVI_KIR_NONE}, {0}};
  return tvi_kir_builder_push(b, &instr);
}

// ---- Operations ----

static bool is_constant(const instr_t* instr) {
  return instr->opcode == TVI_KIR_CONST && (instr->reserved & TVI_KIR_INSTR_OPAQUE) == 0;
}

static bool is_number(const builder_t* b, ref_t ref, double value) {
  const instr_t* instr = &b->instrs[ref];
  if (!is_constant(instr)) return false;
  if (tvi_dtype_is_float(instr->dtype)) {
    // -0 == 0, but is not the same number here.
    return instr->imm.f64 == value && signbit(instr->imm.f64) == signbit(value);
  }
  return instr->imm.i64 == (int64_t)value;
}

static tvi_kir_scalar_t scalar_of(const instr_t* instr) {
  tvi_kir_scalar_t value;
  value.i = instr->imm.i64;  // the bits of a float lie in the same place
  return value;
}

static ref_t fold(builder_t* b, tvi_kir_opcode_t opcode, uint32_t dtype, const ref_t* args,
                  uint32_t count) {
  tvi_kir_scalar_t values[3], result;
  for (uint32_t i = 0; i < count; ++i) {
    if (!is_constant(&b->instrs[args[i]])) return TVI_KIR_NONE;
    values[i] = scalar_of(&b->instrs[args[i]]);
  }
  tvi_kir_scalar_apply(opcode, dtype, b->instrs[args[0]].dtype, 1, &values[0], &values[1],
                       &values[2], &result);
  return tvi_dtype_is_float(dtype) ? tvi_kir_build_float(b, dtype, result.f)
                                   : tvi_kir_build_int(b, dtype, result.i);
}

// Is the value of an instruction representable in its type, so that rounding it changes nothing?
// (Arithmetic on types below f32 is carried out in f32 and not rounded.)
static bool is_exact(const builder_t* b, ref_t ref) {
  const instr_t* instr = &b->instrs[ref];
  if (!tvi_dtype_is_float(instr->dtype) || instr->dtype == TRIVET_DTYPE_F32 ||
      instr->dtype == TRIVET_DTYPE_F64) {
    return true;
  }
  switch (instr->opcode) {
    case TVI_KIR_LOAD:
    case TVI_KIR_CAST:
    case TVI_KIR_SATCAST:
    case TVI_KIR_BITCAST:
      return true;
    default:
      return false;
  }
}

// Holds every value of |narrow| unchanged?
static bool holds_all_of(uint32_t wide, uint32_t narrow) {
  const tvi_dtype_info_t *w = tvi_dtype_info(wide), *n = tvi_dtype_info(narrow);
  if (narrow == TRIVET_DTYPE_BOOL) return wide != TRIVET_DTYPE_BOOL;
  if (tvi_dtype_is_float(wide) && tvi_dtype_is_float(narrow)) {
    return wide == TRIVET_DTYPE_F64 || (wide == TRIVET_DTYPE_F32 && n->bits <= 16);
  }
  if (tvi_dtype_is_integer(wide) && tvi_dtype_is_integer(narrow)) {
    return w->int_min <= n->int_min && w->int_max >= n->int_max;
  }
  if (tvi_dtype_is_float(wide) && tvi_dtype_is_integer(narrow)) {
    return (wide == TRIVET_DTYPE_F64 && n->bits <= 32) ||
           (wide == TRIVET_DTYPE_F32 && n->bits <= 16);
  }
  return false;
}

static bool is_commutative(tvi_kir_opcode_t opcode) {
  switch (opcode) {
    case TVI_KIR_ADD:
    case TVI_KIR_MUL:
    case TVI_KIR_MIN:
    case TVI_KIR_MAX:
    case TVI_KIR_AND:
    case TVI_KIR_OR:
    case TVI_KIR_XOR:
    case TVI_KIR_EQ:
    case TVI_KIR_NE:
      return true;
    default:
      return false;
  }
}

// An instruction that needs not be emitted, or TVI_KIR_NONE.
static ref_t identity(builder_t* b, tvi_kir_opcode_t opcode, uint32_t dtype, const ref_t* args) {
  ref_t x = args[0], y = args[1];
  const instr_t* first = &b->instrs[x];
  bool is_float = tvi_dtype_is_float(dtype);
  switch (opcode) {
    case TVI_KIR_CAST:
      if (first->dtype == dtype && is_exact(b, x)) return x;
      if (first->opcode == TVI_KIR_CAST) {
        ref_t inner = first->args[0];
        uint32_t from = b->instrs[inner].dtype;
        if (from == dtype && is_exact(b, inner) && holds_all_of(first->dtype, from)) return inner;
      }
      return TVI_KIR_NONE;
    case TVI_KIR_SELECT:
      if (is_constant(first)) return first->imm.i64 != 0 ? args[1] : args[2];
      return args[1] == args[2] ? args[1] : TVI_KIR_NONE;
    case TVI_KIR_NOT:
    case TVI_KIR_NEG:
      return first->opcode == opcode ? first->args[0] : TVI_KIR_NONE;
    case TVI_KIR_AND:
    case TVI_KIR_OR:
      if (x == y) return x;
      if (dtype == TRIVET_DTYPE_BOOL) {
        for (int i = 0; i < 2; ++i) {
          if (!is_constant(&b->instrs[args[i]])) continue;
          bool value = b->instrs[args[i]].imm.i64 != 0;
          return value == (opcode == TVI_KIR_AND) ? args[1 - i] : args[i];
        }
      }
      return TVI_KIR_NONE;
    case TVI_KIR_MIN:
    case TVI_KIR_MAX:
      return x == y ? x : TVI_KIR_NONE;
    case TVI_KIR_MUL:
      if (is_number(b, y, 1)) return x;
      if (is_number(b, x, 1)) return y;
      if (!is_float && is_number(b, x, 0)) return x;
      if (!is_float && is_number(b, y, 0)) return y;
      return TVI_KIR_NONE;
    case TVI_KIR_DIV:
      return is_number(b, y, 1) ? x : TVI_KIR_NONE;
    case TVI_KIR_ADD:
      // x + 0 is not x for -0.
      if (is_number(b, y, is_float ? -0.0 : 0)) return x;
      return is_number(b, x, is_float ? -0.0 : 0) ? y : TVI_KIR_NONE;
    case TVI_KIR_SUB:
      return is_number(b, y, 0) ? x : TVI_KIR_NONE;
    case TVI_KIR_POW:
      if (!is_float) return TVI_KIR_NONE;
      if (is_number(b, y, 1)) return x;
      if (is_number(b, y, 2)) return tvi_kir_build_op(b, TVI_KIR_MUL, dtype, x, x, TVI_KIR_NONE);
      if (is_number(b, y, 3)) {
        ref_t square = tvi_kir_build_op(b, TVI_KIR_MUL, dtype, x, x, TVI_KIR_NONE);
        return tvi_kir_build_op(b, TVI_KIR_MUL, dtype, square, x, TVI_KIR_NONE);
      }
      return is_number(b, y, -1)
                 ? tvi_kir_build_op(b, TVI_KIR_RECIP, dtype, x, TVI_KIR_NONE, TVI_KIR_NONE)
                 : TVI_KIR_NONE;
    default:
      return TVI_KIR_NONE;
  }
}

ref_t tvi_kir_build_op(builder_t* b, tvi_kir_opcode_t opcode, uint32_t dtype, ref_t x, ref_t y,
                       ref_t z) {
  uint32_t count = tvi_kir_opcode_operands(opcode);
  ref_t args[3] = {x, count > 1 ? y : TVI_KIR_NONE, count > 2 ? z : TVI_KIR_NONE};
  if (b->status != NULL) return TVI_KIR_NONE;
  for (uint32_t i = 0; i < count; ++i) {
    if (args[i] == TVI_KIR_NONE) return TVI_KIR_NONE;
  }
  ref_t found = fold(b, opcode, dtype, args, count);
  if (found == TVI_KIR_NONE) found = identity(b, opcode, dtype, args);
  if (found != TVI_KIR_NONE || b->status != NULL) return found;
  if (b->instrs[x].dtype == TRIVET_DTYPE_I64) {
    found = tvi_kir_build_index_op(b, opcode, args);
    if (found != TVI_KIR_NONE || b->status != NULL) return found;
  }
  if (is_commutative(opcode) && args[0] > args[1]) {
    args[0] = y;
    args[1] = x;
  }
  instr_t instr = {(uint16_t)opcode, 0, dtype, {args[0], args[1], args[2]}, {0}};
  ref_t ref = tvi_kir_builder_push(b, &instr);
  return ref != TVI_KIR_NONE && dtype == TRIVET_DTYPE_I64 ? tvi_kir_build_linear(b, ref) : ref;
}

// Arguments stay as they are written: nothing of them is folded.
static ref_t build_pair(builder_t* b, tvi_kir_opcode_t opcode, ref_t x, ref_t y,
                        const tvi_kir_device_t* device) {
  if (b->status != NULL || x == TVI_KIR_NONE || y == TVI_KIR_NONE) return TVI_KIR_NONE;
  if (opcode == TVI_KIR_DEVICE && is_constant(&b->instrs[x])) return x;
  instr_t instr = {(uint16_t)opcode, 0, b->instrs[x].dtype, {x, y, TVI_KIR_NONE}, {0}};
  if (opcode == TVI_KIR_DEVICE) instr.imm.device = device;
  return tvi_kir_builder_push(b, &instr);
}

ref_t tvi_kir_build_device(builder_t* b, ref_t meaning, const ref_t* args,
                           const tvi_kir_device_t* device) {
  ref_t chain = args[0];
  for (uint32_t i = 1; i < device->parameter_count; ++i)
    chain = build_pair(b, TVI_KIR_WITH, chain, args[i], NULL);
  return build_pair(b, TVI_KIR_DEVICE, meaning, chain, device);
}

ref_t tvi_kir_build_load(builder_t* b, uint32_t value_id, const ref_t* indices, const uint8_t* wrap,
                         ref_t pad) {
  if (b->status != NULL) return TVI_KIR_NONE;
  const tvi_kir_value_t* value = &b->program->values[value_id];
  ref_t normal[TRIVET_MAX_RANK];
  uint8_t wraps[TRIVET_MAX_RANK];
  bool any_wrap = false, safe = true;
  for (uint32_t d = 0; d < value->rank; ++d) {
    if (indices[d] == TVI_KIR_NONE) return TVI_KIR_NONE;
    wraps[d] = wrap != NULL ? wrap[d] : TVI_KIR_WRAP_NONE;
    normal[d] = tvi_kir_build_canonical_index(b, indices[d], value->dims[d], &wraps[d], &safe);
    if (normal[d] == TVI_KIR_NONE) return TVI_KIR_NONE;
    any_wrap = any_wrap || wraps[d] != TVI_KIR_WRAP_NONE;
  }
  if (safe) {
    pad = TVI_KIR_NONE;
  } else if (pad == TVI_KIR_NONE && b->conditional > 0) {
    pad = tvi_dtype_is_float(value->dtype) ? tvi_kir_build_float(b, value->dtype, 0)
                                           : tvi_kir_build_int(b, value->dtype, 0);
  }
  tvi_kir_load_t candidate = {value_id,
                              value->rank,
                              normal,
                              any_wrap ? wraps : NULL,
                              pad != TVI_KIR_NONE ? TVI_KIR_BOUNDS_PAD : TVI_KIR_BOUNDS_PROVEN,
                              pad};
  instr_t instr = {TVI_KIR_LOAD, 0, value->dtype, {TVI_KIR_NONE, TVI_KIR_NONE, TVI_KIR_NONE}, {0}};
  instr.imm.load = &candidate;
  uint32_t before = b->count;
  ref_t ref = tvi_kir_builder_push(b, &instr);
  if (ref == TVI_KIR_NONE || b->count == before) return ref;
  // New: the load moves from our stack into the arena.
  tvi_kir_load_t* load;
  size_t index_bytes = value->rank * sizeof(*normal);
  trivet_status_t status =
      tvi_arena_alloc(b->arena, sizeof(*load) + index_bytes + value->rank, &load);
  if (status != NULL) {
    --b->count;
    return fail(b, status);
  }
  *load = candidate;
  load->indices = (ref_t*)(void*)(load + 1);
  if (value->rank > 0) memcpy(load->indices, normal, index_bytes);
  if (any_wrap) {
    load->wrap = (uint8_t*)(load->indices + value->rank);
    memcpy(load->wrap, wraps, value->rank);
  }
  b->instrs[ref].imm.load = load;
  return ref;
}

ref_t tvi_kir_build_copy(builder_t* b, const instr_t* instr, const ref_t* map) {
  switch (instr->opcode) {
    case TVI_KIR_CONST:
      if (instr->reserved & TVI_KIR_INSTR_OPAQUE) return tvi_kir_build_opaque(b, instr->dtype);
      return build_leaf(b, TVI_KIR_CONST, instr->dtype, instr->imm.i64);
    case TVI_KIR_INDEX:
      return tvi_kir_build_index(b, (uint32_t)instr->imm.i64);
    case TVI_KIR_EXTENT:
      return tvi_kir_build_extent(b, instr->imm.dim);
    case TVI_KIR_LOAD: {
      const tvi_kir_load_t* load = instr->imm.load;
      ref_t indices[TRIVET_MAX_RANK];
      for (uint32_t i = 0; i < load->index_count; ++i) indices[i] = map[load->indices[i]];
      return tvi_kir_build_load(b, load->value, indices, load->wrap,
                                load->pad != TVI_KIR_NONE ? map[load->pad] : TVI_KIR_NONE);
    }
    case TVI_KIR_WITH:
    case TVI_KIR_DEVICE:
      return build_pair(b, (tvi_kir_opcode_t)instr->opcode, map[instr->args[0]],
                        map[instr->args[1]], instr->imm.device);
    default: {
      ref_t args[3] = {TVI_KIR_NONE, TVI_KIR_NONE, TVI_KIR_NONE};
      uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
      for (uint32_t i = 0; i < count; ++i) args[i] = map[instr->args[i]];
      return tvi_kir_build_op(b, (tvi_kir_opcode_t)instr->opcode, instr->dtype, args[0], args[1],
                              args[2]);
    }
  }
}

trivet_status_t tvi_kir_builder_finish(builder_t* b, ref_t* results, uint32_t result_count,
                                       uint32_t keep, const uint32_t* index_map, tvi_arena_t* arena,
                                       instr_t** out_instrs, uint32_t* out_count) {
  if (b->status != NULL) {
    trivet_status_t status = b->status;
    b->status = NULL;
    return status;
  }
  uint8_t* needed;
  ref_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(b->arena, b->count + 1, 1, &needed));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(b->arena, b->count + 1, sizeof(*map), &map));
  for (uint32_t i = 0; i < keep; ++i) needed[i] = 1;
  for (uint32_t i = 0; i < result_count; ++i) needed[results[i]] = 1;
  uint32_t count = 0;
  for (uint32_t i = b->count; i-- > 0;) {
    if (!needed[i]) continue;
    ++count;
    const instr_t* instr = &b->instrs[i];
    uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    for (uint32_t j = 0; j < operands; ++j) needed[instr->args[j]] = 1;
    if (instr->opcode == TVI_KIR_LOAD) {
      const tvi_kir_load_t* load = instr->imm.load;
      for (uint32_t j = 0; j < load->index_count; ++j) needed[load->indices[j]] = 1;
      if (load->pad != TVI_KIR_NONE) needed[load->pad] = 1;
    }
  }
  instr_t* instrs;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count + 1, sizeof(*instrs), &instrs));
  uint32_t at = 0;
  for (uint32_t i = 0; i < b->count; ++i) {
    if (!needed[i]) continue;
    map[i] = at;
    instr_t* instr = &instrs[at++];
    *instr = b->instrs[i];
    uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    for (uint32_t j = 0; j < operands; ++j) instr->args[j] = map[instr->args[j]];
    if (instr->opcode == TVI_KIR_INDEX && index_map != NULL) {
      instr->imm.i64 = index_map[instr->imm.i64];
    }
    if (instr->opcode != TVI_KIR_LOAD) continue;
    const tvi_kir_load_t* from = b->instrs[i].imm.load;
    tvi_kir_load_t* load;
    uint32_t rank = from->index_count;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc(arena, sizeof(*load) + rank * sizeof(ref_t) + rank, &load));
    *load = *from;
    load->indices = (ref_t*)(void*)(load + 1);
    for (uint32_t j = 0; j < rank; ++j) load->indices[j] = map[from->indices[j]];
    if (from->wrap != NULL) {
      load->wrap = (uint8_t*)(load->indices + rank);
      memcpy(load->wrap, from->wrap, rank);
    }
    if (from->pad != TVI_KIR_NONE) load->pad = map[from->pad];
    instr->imm.load = load;
  }
  for (uint32_t i = 0; i < result_count; ++i) results[i] = map[results[i]];
  *out_instrs = instrs;
  *out_count = count;
  return TRIVET_OK;
}
