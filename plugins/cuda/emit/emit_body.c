// SPDX-License-Identifier: Apache-2.0
//
// Prints the scalar instructions of a stage as C, with the numbers of docs/kernel_ir.md, section 3.
// Index arithmetic is done in 32 bits wherever its range is proven to fit.
#include <math.h>
#include <stdio.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/affine.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT

// A body that is printed: of a stage, or of a join.
typedef struct scope_t {
  const tvi_kir_instr_t* instrs;
  uint32_t stage;
  bool is_join;
} scope_t;

static void print_ref(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref) {
  if (scope->is_join) {
    P(p, "j%u", ref);
  } else {
    tvi_cuda_print_ref(p, scope->stage, ref);
  }
}

// ---------------------------------------------------------------------------------------------
// Ranges
// ---------------------------------------------------------------------------------------------

static bool range_of(const tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref, int64_t* low,
                     int64_t* high) {
  int64_t unused;
  trivet_dim_t min, max;
  tvi_kir_index_range(p->program, &p->program->stages[stage], ref, &min, &max);
  if (!min || !max) return false;
  tvi_dim_range(p->program->dims, min, low, &unused);
  tvi_dim_range(p->program->dims, max, &unused, high);
  return true;
}

// Is an i64 instruction, with all that it is made of, within 32 bits?
static bool is_short(tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  if (!p->is_short[stage]) {
    trivet_status_t status =
        tvi_arena_alloc_array_zeroed(p->arena, (size_t)s->instr_count + 1, 1, &p->is_short[stage]);
    if (status) {
      tvi_cuda_fail(p, status);
      return false;
    }
  }
  uint8_t* known = &p->is_short[stage][ref];
  if (*known) return *known == 2;
  const tvi_kir_instr_t* instr = &s->instrs[ref];
  int64_t low = 0, high = 0;
  bool fits = instr->dtype == TRIVET_DTYPE_I64 && instr->opcode != TVI_KIR_LOAD &&
              range_of(p, stage, ref, &low, &high) && low >= INT32_MIN + 1 && high <= INT32_MAX;
  for (uint32_t i = 0; fits && i < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++i) {
    const uint32_t dtype = s->instrs[instr->args[i]].dtype;
    if (dtype == TRIVET_DTYPE_BOOL) continue;
    fits = dtype == TRIVET_DTYPE_I64 && is_short(p, stage, instr->args[i]);
  }
  *known = fits ? 2 : 1;
  return fits;
}

// ---------------------------------------------------------------------------------------------
// Instructions
// ---------------------------------------------------------------------------------------------

static void print_limits(tvi_cuda_printer_t* p, uint32_t dtype) {
  P(p, "(%s)", tvi_cuda_register_type(dtype));
  tvi_cuda_print_constant(p, dtype, tvi_kir_scalar_limit(dtype, 1));
  P(p, ", (%s)", tvi_cuda_register_type(dtype));
  tvi_cuda_print_constant(p, dtype, tvi_kir_scalar_limit(dtype, 0));
}

static bool is_float_kind(tvi_cuda_kind_t kind) { return kind <= TVI_CUDA_DOUBLE; }

static void print_cast(tvi_cuda_printer_t* p, const scope_t* scope, const tvi_kir_instr_t* instr,
                       bool saturate) {
  const uint32_t from = scope->instrs[instr->args[0]].dtype, to = instr->dtype;
  const tvi_cuda_kind_t from_kind = tvi_cuda_kind(from), to_kind = tvi_cuda_kind(to);
  const char* type = tvi_cuda_register_type(to);
  const tvi_kir_ref_t a = instr->args[0];
  if (to_kind == TVI_CUDA_BOOLEAN) {
    print_ref(p, scope, a);
    P(p, " != 0");
  } else if (to_kind == TVI_CUDA_SMALL_FLOAT) {
    const bool clamps = saturate && tvi_dtype_bits(to) <= 8;
    if (clamps) {
      P(p, "tv_saturate(%s(), ", tvi_cuda_storage_type(to));
    } else {
      P(p, "tv_through<%s>(", tvi_cuda_storage_type(to));
    }
    const bool exact = from_kind == TVI_CUDA_SMALL_FLOAT || from_kind == TVI_CUDA_FLOAT ||
                       from_kind == TVI_CUDA_NARROW || from_kind == TVI_CUDA_NARROW_U ||
                       from_kind == TVI_CUDA_BOOLEAN;
    P(p, exact ? "(float)" : "tv_odd((double)");
    print_ref(p, scope, a);
    P(p, exact ? ")" : "))");
  } else if (is_float_kind(to_kind)) {
    P(p, "(%s)", type);
    print_ref(p, scope, a);
  } else if (is_float_kind(from_kind)) {
    P(p, "tv_to_int<%s>(", type);
    if (saturate) P(p, "tv_round(");
    print_ref(p, scope, a);
    P(p, saturate ? "), " : ", ");
    print_limits(p, to);
    P(p, ")");
  } else if (!saturate) {
    P(p, "%s(%s)", tvi_cuda_wrap_open(to), type);
    print_ref(p, scope, a);
    P(p, "%s", tvi_cuda_wrap_close(to));
  } else if (from_kind == TVI_CUDA_ULONG || to_kind == TVI_CUDA_ULONG) {
    // Only one end can be passed.
    if (from_kind == TVI_CUDA_ULONG) {
      P(p, "(%s)tv_min<unsigned long long>(", type);
      print_ref(p, scope, a);
      P(p, ", (unsigned long long)");
      tvi_cuda_print_constant(p, to, tvi_kir_scalar_limit(to, 0));
    } else {
      P(p, "(%s)tv_max<long long>(", type);
      print_ref(p, scope, a);
      P(p, ", 0");
    }
    P(p, ")");
  } else {
    P(p, "(%s)tv_clamp<long long>(", type);
    print_ref(p, scope, a);
    P(p, ", ");
    tvi_cuda_print_constant(p, to, tvi_kir_scalar_limit(to, 1));
    P(p, ", ");
    tvi_cuda_print_constant(p, to, tvi_kir_scalar_limit(to, 0));
    P(p, ")");
  }
}

static void print_bitcast(tvi_cuda_printer_t* p, const scope_t* scope,
                          const tvi_kir_instr_t* instr) {
  const uint32_t from = scope->instrs[instr->args[0]].dtype, to = instr->dtype;
  const tvi_cuda_kind_t to_kind = tvi_cuda_kind(to), from_kind = tvi_cuda_kind(from);
  if (to_kind == TVI_CUDA_SMALL_FLOAT) {
    P(p, "tv_from_code<%s>(", tvi_cuda_storage_type(to));
  } else if (is_float_kind(to_kind)) {
    P(p, "tv_from_bits((%s)", to_kind == TVI_CUDA_FLOAT ? "unsigned" : "unsigned long long");
  } else {
    P(p, "%s(%s)", tvi_cuda_wrap_open(to), tvi_cuda_register_type(to));
  }
  if (from_kind == TVI_CUDA_SMALL_FLOAT) {
    P(p, "tv_to_code<%s>(", tvi_cuda_storage_type(from));
  } else {
    P(p, is_float_kind(from_kind) ? "tv_bits(" : "(");
  }
  print_ref(p, scope, instr->args[0]);
  P(p, ")%s", is_float_kind(to_kind) ? ")" : tvi_cuda_wrap_close(to));
}

static void print_call(tvi_cuda_printer_t* p, const scope_t* scope, const char* function,
                       const char* type, const tvi_kir_instr_t* instr) {
  const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  P(p, "tv_%s%s(", function, type);
  for (uint32_t i = 0; i < count; ++i) {
    if (i) P(p, ", ");
    print_ref(p, scope, instr->args[i]);
  }
  P(p, ")");
}

static void print_infix(tvi_cuda_printer_t* p, const scope_t* scope, const char* op,
                        const char* cast, const tvi_kir_instr_t* instr) {
  P(p, "%s", cast);
  print_ref(p, scope, instr->args[0]);
  P(p, " %s %s", op, cast);
  print_ref(p, scope, instr->args[1]);
}

// Quotients of what is certainly not negative.
static bool divides_plainly(tvi_cuda_printer_t* p, const scope_t* scope,
                            const tvi_kir_instr_t* instr) {
  int64_t low, high;
  if (scope->is_join || instr->dtype != TRIVET_DTYPE_I64) return false;
  if (!range_of(p, scope->stage, instr->args[0], &low, &high) || low < 0) return false;
  return range_of(p, scope->stage, instr->args[1], &low, &high) && low > 0;
}

static const tvi_cuda_access_t* access_of(const tvi_cuda_printer_t* p, uint32_t stage,
                                          tvi_kir_ref_t ref) {
  for (size_t i = 0; i < p->accesses.count; ++i)
    if (p->accesses.data[i].stage == stage && p->accesses.data[i].load == ref)
      return &p->accesses.data[i];
  return NULL;
}

// Has |ref| one value for all points that a thread walks? A divisor that has is made a factor once.
static bool is_uniform(const tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = &p->program->stages[stage].instrs[ref];
  if (instr->opcode == TVI_KIR_CONST || instr->opcode == TVI_KIR_EXTENT) return true;
  if (instr->opcode == TVI_KIR_INDEX) return false;
  if (instr->opcode != TVI_KIR_LOAD) {
    for (uint32_t k = 0; k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++k)
      if (!is_uniform(p, stage, instr->args[k])) return false;
    return true;
  }
  const uint32_t producer = p->program->values[instr->imm.load->value].stage;
  if (producer != TVI_KIR_NONE) {
    const tvi_cuda_stage_t* placed = &p->schedule->stages[producer];
    if (&p->schedule->groups[placed->group] == p->group) return !placed->has_inner;
  }
  const tvi_cuda_access_t* access = access_of(p, stage, ref);
  if (!access || !access->is_direct) return false;
  bool is_same = true;
  for (uint32_t l = 0; l < p->loop_count; ++l) is_same &= access->coefficients[l] == NULL;
  if (is_same || (p->shape.lanes == 0 && p->shape.vector < 2)) return is_same;
  for (uint32_t l = 0; l < p->loop_count; ++l) {
    const bool walked = p->shape.lanes ? p->is_inner[l] : l + 1 == p->loop_count;
    if (walked && access->coefficients[l]) return false;
  }
  return true;
}

// Quotients by what stays the same, but for powers of two, which the compiler turns itself.
static bool divides_by_factor(const tvi_cuda_printer_t* p, const scope_t* scope,
                              const tvi_kir_instr_t* instr) {
  if (scope->is_join || instr->opcode != TVI_KIR_DIV) return false;
  const tvi_cuda_kind_t kind = tvi_cuda_kind(instr->dtype);
  if (kind != TVI_CUDA_FLOAT && kind != TVI_CUDA_SMALL_FLOAT) return false;
  const tvi_kir_instr_t* divisor = &scope->instrs[instr->args[1]];
  int exponent;
  if (divisor->opcode == TVI_KIR_CONST && fabs(frexp(divisor->imm.f64, &exponent)) == 0.5)
    return false;
  return is_uniform(p, scope->stage, instr->args[1]);
}

// A square root is zero, infinite or normal, and so is its reciprocal: the product with that is
// within two roundings of the quotient.
static const char* quotient_name(const tvi_cuda_printer_t* p, const scope_t* scope,
                                 const tvi_kir_instr_t* instr, const char* name) {
  if (!divides_by_factor(p, scope, instr)) return name;
  const bool by_root =
      scope->instrs[instr->args[1]].opcode == TVI_KIR_SQRT && instr->dtype == TRIVET_DTYPE_F32;
  return by_root ? "div_by_root" : "div_by";
}

static void print_arithmetic(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  const uint32_t operand = scope->instrs[instr->args[0]].dtype;
  const tvi_cuda_kind_t kind = tvi_cuda_kind(operand);
  const bool is_float = is_float_kind(kind);
  const bool index = !scope->is_join && operand == TRIVET_DTYPE_I64 &&
                     instr->dtype == TRIVET_DTYPE_I64 && is_short(p, scope->stage, ref);
  const char* unsigned_cast = is_float || index ? ""
                              : kind == TVI_CUDA_LONG || kind == TVI_CUDA_ULONG
                                  ? "(unsigned long long)"
                              : kind == TVI_CUDA_BOOLEAN ? ""
                                                         : "(unsigned)";
  char type[32] = "";
  if (!is_float && kind != TVI_CUDA_BOOLEAN)
    snprintf(type, sizeof(type), "<%s>", index ? "int" : tvi_cuda_register_type(operand));
  char shift_type[48];
  snprintf(shift_type, sizeof(shift_type), "<%u, %s>", tvi_dtype_bits(operand),
           index ? "int" : tvi_cuda_register_type(operand));
  const bool wraps = kind == TVI_CUDA_NARROW || kind == TVI_CUDA_NARROW_U;
  const char* name = tvi_kir_opcode_name((tvi_kir_opcode_t)instr->opcode);
  const bool to_number = instr->dtype != TRIVET_DTYPE_BOOL;
  if (wraps && to_number && instr->opcode != TVI_KIR_SELECT)
    P(p, "%s", tvi_cuda_wrap_open(instr->dtype));
  switch (instr->opcode) {
    case TVI_KIR_ADD:
    case TVI_KIR_SUB:
    case TVI_KIR_MUL: {
      const char* op = instr->opcode == TVI_KIR_ADD   ? "+"
                       : instr->opcode == TVI_KIR_SUB ? "-"
                                                      : "*";
      if (!is_float && !index) P(p, "(%s)(", tvi_cuda_register_type(operand));
      print_infix(p, scope, op, unsigned_cast, instr);
      if (!is_float && !index) P(p, ")");
      break;
    }
    case TVI_KIR_DIV:
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_REM:
    case TVI_KIR_MOD:
      if (divides_plainly(p, scope, instr)) {
        const bool quotient = instr->opcode == TVI_KIR_DIV || instr->opcode == TVI_KIR_FLOORDIV;
        P(p, index ? "(int)(" : "(long long)(");
        print_infix(p, scope, quotient ? "/" : "%", index ? "(unsigned)" : "(unsigned long long)",
                    instr);
        P(p, ")");
        break;
      }
      print_call(p, scope, quotient_name(p, scope, instr, name), type, instr);
      break;
    case TVI_KIR_AND:
    case TVI_KIR_OR:
    case TVI_KIR_XOR: {
      const char* op = instr->opcode == TVI_KIR_AND ? "&" : instr->opcode == TVI_KIR_OR ? "|" : "^";
      print_infix(p, scope, op, "", instr);
      break;
    }
    case TVI_KIR_NOT:
      P(p, operand == TRIVET_DTYPE_BOOL ? "!" : "~");
      print_ref(p, scope, instr->args[0]);
      break;
    case TVI_KIR_SHL:
    case TVI_KIR_SHR:
    case TVI_KIR_POPCOUNT:
      print_call(p, scope, name, shift_type, instr);
      break;
    case TVI_KIR_EQ:
      print_infix(p, scope, "==", "", instr);
      break;
    case TVI_KIR_NE:
      print_infix(p, scope, "!=", "", instr);
      break;
    case TVI_KIR_LT:
      print_infix(p, scope, "<", "", instr);
      break;
    case TVI_KIR_LE:
      print_infix(p, scope, "<=", "", instr);
      break;
    case TVI_KIR_GT:
      print_infix(p, scope, ">", "", instr);
      break;
    case TVI_KIR_GE:
      print_infix(p, scope, ">=", "", instr);
      break;
    case TVI_KIR_ISNAN:
      if (is_float) {
        print_ref(p, scope, instr->args[0]);
        P(p, " != ");
        print_ref(p, scope, instr->args[0]);
      } else {
        P(p, "false");
      }
      break;
    case TVI_KIR_ISINF:
      if (is_float) {
        print_call(p, scope, "isinf", "", instr);
      } else {
        P(p, "false");
      }
      break;
    case TVI_KIR_SIGN:
      print_call(p, scope, "sign_of", type, instr);
      break;
    case TVI_KIR_NEG:
      if (is_float || index) {
        P(p, "-");
        print_ref(p, scope, instr->args[0]);
        break;
      }
      print_call(p, scope, name, type, instr);
      break;
    case TVI_KIR_ERF:
    case TVI_KIR_TANH:
      // Results of 16 bits are as good from fewer instructions.
      if (instr->dtype == TRIVET_DTYPE_F16 || instr->dtype == TRIVET_DTYPE_BF16)
        name = instr->opcode == TVI_KIR_ERF ? "erf_near" : "tanh_near";
      print_call(p, scope, name, "", instr);
      break;
    default:
      print_call(p, scope, name, is_float ? "" : type, instr);
  }
  if (wraps && to_number && instr->opcode != TVI_KIR_SELECT)
    P(p, "%s", tvi_cuda_wrap_close(instr->dtype));
}

static void print_device(tvi_cuda_printer_t* p, const scope_t* scope,
                         const tvi_kir_instr_t* instr) {
  const tvi_kir_device_t* device = instr->imm.device;
  tvi_kir_ref_t args[TVI_KIR_MAX_PARAMETERS];
  tvi_cuda_device_arguments(scope->instrs, instr, args);
  tvi_cuda_print_device_name(p, device);
  for (uint32_t i = 0; i < device->parameter_count; ++i) {
    P(p, "%s(%s)", i ? ", " : "(", tvi_cuda_register_type(scope->instrs[args[i]].dtype));
    print_ref(p, scope, args[i]);
  }
  P(p, ")");
}

// A value that the kernel itself has computed: in a register of the row or of the point.
static bool print_kept(tvi_cuda_printer_t* p, uint32_t value) {
  const uint32_t producer = p->program->values[value].stage;
  if (producer == TVI_KIR_NONE) return false;
  const tvi_cuda_stage_t* placed = &p->schedule->stages[producer];
  if (&p->schedule->groups[placed->group] != p->group) return false;
  const bool row = placed->has_inner && p->shape.lanes != 0;
  if (row && p->shape.chunks == 0) return false;  // lies in memory
  if (!placed->has_inner) {
    P(p, "v%u", value);
  } else if (row) {
    P(p, "v%u[c * %u + e]", value, p->shape.vector);
  } else {
    P(p, "v%u[e]", value);
  }
  return true;
}

static void print_element(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                          uint32_t base_loop) {
  const uint32_t dtype = tvi_cuda_stored_dtype(&p->program->values[access->value]);
  const uint32_t bits = tvi_dtype_bits(dtype);
  if (bits < 8) {
    const bool is_float = tvi_dtype_is_float(dtype);
    if (is_float) {
      P(p, "tv_from_code<%s>(", tvi_cuda_storage_type(dtype));
    } else if (tvi_dtype_is_signed_integer(dtype)) {
      P(p, "tv_sign<%u>(", bits);
    }
    P(p, "tv_code<%u>((const unsigned char*)", bits);
    tvi_cuda_print_pointer(p, access->value);
    P(p, ", ");
    tvi_cuda_print_offset(p, access, base_loop);
    P(p, is_float || tvi_dtype_is_signed_integer(dtype) ? "))" : ")");
    return;
  }
  P(p, "tv_get(");
  tvi_cuda_print_pointer(p, access->value);
  P(p, "[");
  tvi_cuda_print_offset(p, access, base_loop);
  P(p, "])");
}

static const char* bounds_prefix(const tvi_cuda_printer_t* p) {
  return p->is_wide ? "(unsigned long long)" : "(unsigned)";
}

// The positions of a load that wrap around or are clamped.
static void print_wraps(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref,
                        const tvi_cuda_access_t* access) {
  const tvi_kir_load_t* load = scope->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &p->program->values[load->value];
  for (uint32_t k = 0; k < access->atom_count; ++k) {
    const uint32_t d = access->atom_dims[k];
    if (d == TVI_CUDA_NONE) continue;
    P(p, "long long w%u_%u_%u = ", scope->stage, ref, d);
    print_ref(p, scope, load->indices[d]);
    P(p, ";\n");
    if (load->wrap[d] == TVI_KIR_WRAP_NEGATIVE) {
      P(p, "if (w%u_%u_%u < 0) w%u_%u_%u += ", scope->stage, ref, d, scope->stage, ref, d);
      tvi_cuda_print_dim(p, value->dims[d]);
    } else {
      P(p, "w%u_%u_%u = tv_max<long long>(tv_min<long long>(w%u_%u_%u, (long long)", scope->stage,
        ref, d, scope->stage, ref, d);
      tvi_cuda_print_dim(p, value->dims[d]);
      P(p, " - 1), 0)");
    }
    P(p, ";\n");
  }
}

// The test whether a load is within bounds, in brackets; false: none is needed.
static bool print_guard(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref,
                        const tvi_cuda_access_t* access) {
  const tvi_kir_load_t* load = scope->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &p->program->values[load->value];
  bool guarded = false;
  for (uint32_t d = 0; access->is_guarded && d < load->index_count; ++d) {
    if (!(access->guarded_dims >> d & 1)) continue;
    P(p, guarded ? " && " : "(");
    guarded = true;
    bool wrapped = load->wrap && load->wrap[d] != TVI_KIR_WRAP_NONE;
    const bool short_index = !wrapped && is_short(p, scope->stage, load->indices[d]);
    P(p, "%s", short_index ? bounds_prefix(p) : "(unsigned long long)");
    if (wrapped) {
      P(p, "w%u_%u_%u", scope->stage, ref, d);
    } else {
      print_ref(p, scope, load->indices[d]);
    }
    P(p, " < %s", short_index ? bounds_prefix(p) : "(unsigned long long)");
    tvi_cuda_print_dim(p, value->dims[d]);
  }
  if (guarded) P(p, ")");
  return guarded;
}

static void print_load(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref) {
  const tvi_kir_load_t* load = scope->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &p->program->values[load->value];
  const tvi_cuda_access_t* access = access_of(p, scope->stage, ref);
  const char* type = tvi_cuda_register_type(value->dtype);
  const uint32_t producer = value->stage;
  if (producer != TVI_KIR_NONE &&
      &p->schedule->groups[p->schedule->stages[producer].group] == p->group) {
    P(p, "const %s a%u_%u = ", type, scope->stage, ref);
    if (print_kept(p, load->value)) {
      P(p, ";\n");
      return;
    }
    print_element(p, access, TVI_CUDA_NONE);
    P(p, ";\n");
    return;
  }
  if (access->array == TVI_CUDA_NONE) print_wraps(p, scope, ref, access);
  P(p, "const %s a%u_%u = ", type, scope->stage, ref);
  if (access->array != TVI_CUDA_NONE) {
    if (access->is_cached) {
      P(p, "x%u[c * %u + e];\n", access->array, p->shape.vector);
    } else {
      P(p, "x%u[e];\n", access->array);
    }
    return;
  }
  const bool guarded = print_guard(p, scope, ref, access);
  if (guarded) P(p, " ? ");
  print_element(p, access, TVI_CUDA_NONE);
  if (guarded) {
    P(p, " : ");
    if (load->bounds == TVI_KIR_BOUNDS_PAD) {
      P(p, "(%s)", type);
      print_ref(p, scope, load->pad);
    } else {
      P(p, "(%s)0", type);
    }
  }
  P(p, ";\n");
}

static void print_instr(tvi_cuda_printer_t* p, const scope_t* scope, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  if (instr->opcode == TVI_KIR_LOAD) {
    print_load(p, scope, ref);
    return;
  }
  if (instr->opcode == TVI_KIR_WITH) return;
  const bool index =
      !scope->is_join && instr->dtype == TRIVET_DTYPE_I64 && is_short(p, scope->stage, ref);
  P(p, "const %s ", index ? "int" : tvi_cuda_register_type(instr->dtype));
  print_ref(p, scope, ref);
  P(p, " = ");
  switch (instr->opcode) {
    case TVI_KIR_CONST: {
      tvi_kir_scalar_t value;
      if (tvi_dtype_is_float(instr->dtype)) {
        value.f = instr->imm.f64;
      } else {
        value.i = instr->imm.i64;
      }
      tvi_cuda_print_constant(p, instr->dtype, value);
      break;
    }
    case TVI_KIR_INDEX: {
      const uint32_t loop =
          p->schedule->stages[scope->stage].loop_of_index[(uint32_t)instr->imm.i64];
      if (loop == TVI_CUDA_NONE) {
        P(p, "0");
      } else {
        P(p, "q%u", p->loop_of_loop[loop]);
      }
      break;
    }
    case TVI_KIR_EXTENT:
      tvi_cuda_print_dim(p, instr->imm.dim);
      break;
    case TVI_KIR_SELECT:
      print_ref(p, scope, instr->args[0]);
      P(p, " ? ");
      print_ref(p, scope, instr->args[1]);
      P(p, " : ");
      print_ref(p, scope, instr->args[2]);
      break;
    case TVI_KIR_CAST:
    case TVI_KIR_SATCAST:
      if (instr->dtype == scope->instrs[instr->args[0]].dtype &&
          tvi_cuda_kind(instr->dtype) != TVI_CUDA_SMALL_FLOAT) {
        print_ref(p, scope, instr->args[0]);
        break;
      }
      print_cast(p, scope, instr, instr->opcode == TVI_KIR_SATCAST);
      break;
    case TVI_KIR_BITCAST:
      print_bitcast(p, scope, instr);
      break;
    case TVI_KIR_DEVICE:
      print_device(p, scope, instr);
      break;
    default:
      print_arithmetic(p, scope, ref);
  }
  P(p, ";\n");
}

// ---------------------------------------------------------------------------------------------
// Bodies
// ---------------------------------------------------------------------------------------------

// Marks what the address, the guard and the pad of a load need.
static void mark_load(const tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref,
                      const tvi_cuda_access_t* access, uint8_t* is_needed) {
  const tvi_kir_load_t* load = p->program->stages[stage].instrs[ref].imm.load;
  if (load->bounds == TVI_KIR_BOUNDS_PAD) is_needed[load->pad] = 1;
  for (uint32_t k = 0; k < access->atom_count; ++k) {
    const uint32_t d = access->atom_dims[k];
    is_needed[d == TVI_CUDA_NONE ? access->atoms[k] : load->indices[d]] = 1;
  }
  for (uint32_t d = 0; d < load->index_count; ++d)
    if (access->guarded_dims >> d & 1) is_needed[load->indices[d]] = 1;
}

// Marks what the marked instructions before |end| need.
static void mark_operands(const tvi_cuda_printer_t* p, uint32_t stage, uint32_t end,
                          uint8_t* is_needed) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  for (uint32_t i = end; i-- > 0;) {
    if (!is_needed[i]) continue;
    const tvi_kir_instr_t* instr = &s->instrs[i];
    if (instr->opcode == TVI_KIR_DEVICE) {
      tvi_kir_ref_t args[TVI_KIR_MAX_PARAMETERS];
      tvi_cuda_device_arguments(s->instrs, instr, args);
      for (uint32_t k = 0; k < instr->imm.device->parameter_count; ++k) is_needed[args[k]] = 1;
      continue;
    }
    if (instr->opcode != TVI_KIR_LOAD) {
      for (uint32_t k = 0; k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++k)
        is_needed[instr->args[k]] = 1;
      continue;
    }
    const tvi_cuda_access_t* access = access_of(p, stage, i);
    if (access && access->array == TVI_CUDA_NONE) mark_load(p, stage, i, access, is_needed);
  }
}

// Marks what is printed: all that the results need, without what addresses say already.
void tvi_cuda_mark_needed(const tvi_cuda_printer_t* p, uint32_t stage, uint8_t* is_needed) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const uint32_t count = s->kind == TVI_KIR_MAP ? 1 : s->monoid->element_count;
  for (uint32_t r = 0; r < count; ++r) is_needed[s->results[r]] = 1;
  mark_operands(p, stage, s->instr_count, is_needed);
}

static uint8_t* new_marks(tvi_cuda_printer_t* p, uint32_t stage) {
  uint8_t* is_needed = NULL;
  trivet_status_t status = tvi_arena_alloc_array_zeroed(
      p->arena, (size_t)p->program->stages[stage].instr_count + 1, 1, &is_needed);
  if (status) tvi_cuda_fail(p, status);
  return is_needed;
}

void tvi_cuda_print_piece(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                          uint32_t vector, const char* at) {
  const uint32_t stage = access->stage;
  const scope_t scope = {p->program->stages[stage].instrs, stage, false};
  if (access->is_direct) {
    P(p, "tv_load%s<%u>(x%u%s, ", p->shape.is_shifted ? "_row" : "", vector, access->array, at);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, loop);
    if (p->shape.is_shifted) {
      P(p, ", b%u, (%s)", loop, tvi_cuda_index_type(p));
      tvi_cuda_print_dim(p, p->extents[loop]);
    }
    P(p, ");\n");
    return;
  }
  uint8_t* is_needed = new_marks(p, stage);
  if (!is_needed) return;
  mark_load(p, stage, access->load, access, is_needed);
  mark_operands(p, stage, access->load, is_needed);
  // What holds for the first element holds for all of them.
  P(p, "{\nconst %s q%u = b%u;\n", tvi_cuda_index_type(p), loop, loop);
  for (uint32_t i = 0; i < access->load; ++i)
    if (is_needed[i]) print_instr(p, &scope, i);
  print_wraps(p, &scope, access->load, access);
  if (access->is_guarded) {
    P(p, "if ");
    (void)print_guard(p, &scope, access->load, access);
    P(p, " {\n");
  }
  P(p, "tv_load<%u>(x%u%s, ", vector, access->array, at);
  tvi_cuda_print_pointer(p, access->value);
  P(p, " + ");
  tvi_cuda_print_offset(p, access, loop);
  P(p, ");\n");
  if (access->is_guarded) {
    P(p, "} else {\nTV_UNROLL\nfor (int e = 0; e < %u; ++e) (x%u%s)[e] = ", vector, access->array,
      at);
    const tvi_kir_load_t* load = scope.instrs[access->load].imm.load;
    if (load->bounds == TVI_KIR_BOUNDS_PAD) {
      print_ref(p, &scope, load->pad);
    } else {
      P(p, "0");
    }
    P(p, ";\n}\n");
  }
  P(p, "}\n");
}

void tvi_cuda_print_body(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  uint8_t* is_needed = new_marks(p, stage);
  if (!is_needed) return;
  tvi_cuda_mark_needed(p, stage, is_needed);
  const scope_t scope = {s->instrs, stage, false};
  for (uint32_t i = 0; i < s->instr_count; ++i)
    if (is_needed[i]) print_instr(p, &scope, i);
}

void tvi_cuda_print_join_instr(tvi_cuda_printer_t* p, uint32_t stage, uint32_t index) {
  const scope_t scope = {p->program->stages[stage].monoid->join, stage, true};
  print_instr(p, &scope, index);
}
