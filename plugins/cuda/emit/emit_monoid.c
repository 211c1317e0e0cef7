// SPDX-License-Identifier: Apache-2.0
//
// States of reductions as C: the struct of a monoid with its join, its identity, joining one point
// to it, and what its values become in the end. Beside emit_body.c, which prints what is joined.
#include <math.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/monoid.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT

static uint32_t state_count(const tvi_kir_monoid_t* monoid) {
  switch (monoid->kind) {
    case TVI_KIR_ARGMAX:
    case TVI_KIR_ARGMIN:
    case TVI_KIR_SOFTMAX_STATE:
      return 2;
    case TVI_KIR_WELFORD:
      return 3;
    case TVI_KIR_DECLARED:
      return monoid->state_count;
    default:
      return 1;
  }
}

static const char* state_type(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_BOOL ? "int" : tvi_cuda_register_type(dtype);
}

static tvi_kir_scalar_t declared_identity(const tvi_kir_monoid_t* monoid, uint32_t part) {
  tvi_kir_scalar_t value;
  if (tvi_dtype_is_float(monoid->dtypes[part])) {
    value.f = monoid->identity[part];
  } else {
    value.i = (int64_t)monoid->identity[part];
  }
  return value;
}

// if (side is the identity; without what follows the condition.
static void print_identity_test(tvi_cuda_printer_t* p, const tvi_kir_monoid_t* monoid,
                                const char* side) {
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    P(p, "%s%s.m%u == ", i ? " && " : "if (", side, i);
    tvi_cuda_print_constant(p, monoid->dtypes[i], declared_identity(monoid, i));
  }
}

static void print_declared_join(tvi_cuda_printer_t* p, const tvi_kir_monoid_t* monoid,
                                uint32_t stage) {
  // Lanes without a point bring the identity; what a join makes of two of them is not known.
  if (!tvi_kir_monoid_has_plain_identity(monoid)) {
    print_identity_test(p, monoid, "b");
    P(p, ") return a;\n");
    print_identity_test(p, monoid, "a");
    P(p, ") return b;\n");
  }
  for (uint32_t i = 0; i < monoid->join_count; ++i) {
    if (i < 2 * monoid->state_count) {
      const uint32_t part = i % monoid->state_count;
      P(p, "const %s j%u = %s.m%u;\n", tvi_cuda_register_type(monoid->dtypes[part]), i,
        i < monoid->state_count ? "a" : "b", part);
    } else {
      tvi_cuda_print_join_instr(p, stage, i);
    }
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i)
    P(p, "r.m%u = j%u;\n", i, monoid->join_results[i]);
}

uint32_t tvi_cuda_state_bytes(const tvi_cuda_printer_t* p, uint32_t stage) {
  return 8 * state_count(p->program->stages[stage].monoid);
}

void tvi_cuda_print_monoid(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_monoid_t* monoid = p->program->stages[stage].monoid;
  const uint32_t dtype = monoid->dtypes[0];
  const bool is_float = tvi_dtype_is_float(dtype);
  const char* type = tvi_cuda_register_type(dtype);
  P(p, "struct s%u_t {\n", stage);
  for (uint32_t i = 0; i < state_count(monoid); ++i)
    P(p, "%s m%u;\n", state_type(monoid->dtypes[i]), i);
  P(p, "static TV_DEVICE s%u_t join(const s%u_t& a, const s%u_t& b) {\ns%u_t r = a;\n", stage,
    stage, stage, stage);
  switch (monoid->kind) {
    case TVI_KIR_SUM:
    case TVI_KIR_PROD: {
      const char* op = monoid->kind == TVI_KIR_SUM ? "+" : "*";
      if (is_float) {
        P(p, "r.m0 = a.m0 %s b.m0;\n", op);
      } else {
        const char* wide = tvi_dtype_bits(dtype) == 64 ? "unsigned long long" : "unsigned";
        P(p, "r.m0 = %s(%s)((%s)a.m0 %s (%s)b.m0)%s;\n", tvi_cuda_wrap_open(dtype), type, wide, op,
          wide, tvi_cuda_wrap_close(dtype));
      }
      break;
    }
    case TVI_KIR_REDUCE_MIN:
      P(p, "r.m0 = tv_min(a.m0, b.m0);\n");
      break;
    case TVI_KIR_REDUCE_MAX:
      P(p, "r.m0 = tv_max(a.m0, b.m0);\n");
      break;
    case TVI_KIR_ANY:
      P(p, "r.m0 = a.m0 | b.m0;\n");
      break;
    case TVI_KIR_ALL:
      P(p, "r.m0 = a.m0 & b.m0;\n");
      break;
    case TVI_KIR_ARGMAX:
    case TVI_KIR_ARGMIN:
      // A position below 0: nothing was joined yet.
      P(p, "if (b.m1 < 0) return a;\nif (a.m1 < 0) return b;\n");
      if (is_float) {
        P(p,
          "const bool an = a.m0 != a.m0, bn = b.m0 != b.m0;\n"
          "const bool better = an ? false : bn ? true : b.m0 %s a.m0;\n"
          "const bool equal = (an && bn) || a.m0 == b.m0;\n",
          monoid->kind == TVI_KIR_ARGMAX ? ">" : "<");
      } else {
        P(p, "const bool better = b.m0 %s a.m0, equal = b.m0 == a.m0;\n",
          monoid->kind == TVI_KIR_ARGMAX ? ">" : "<");
      }
      P(p, "if (better || (equal && b.m1 < a.m1)) r = b;\n");
      break;
    case TVI_KIR_WELFORD:
      P(p,
        "const %s n = a.m2 + b.m2, d = b.m0 - a.m0, f = n == 0 ? 0 : b.m2 / n;\n"
        "r.m0 = a.m0 + d * f;\nr.m1 = a.m1 + b.m1 + d * d * f * a.m2;\nr.m2 = n;\n",
        type);
      break;
    case TVI_KIR_SOFTMAX_STATE:
      P(p,
        "r.m0 = tv_max(a.m0, b.m0);\n"
        "r.m1 = (a.m0 == r.m0 ? a.m1 : a.m1 * tv_exp(a.m0 - r.m0)) +\n"
        "       (b.m0 == r.m0 ? b.m1 : b.m1 * tv_exp(b.m0 - r.m0));\n");
      break;
    default:
      print_declared_join(p, monoid, stage);
  }
  P(p, "return r;\n}\n");
  if (monoid->kind == TVI_KIR_WELFORD) {
    P(p,
      "// Of equally many elements.\nstruct even_t {\n"
      "static TV_DEVICE s%u_t join(const s%u_t& a, const s%u_t& b) {\n"
      "s%u_t r;\nconst %s d = b.m0 - a.m0;\n"
      "r.m0 = a.m0 + d / 2;\nr.m1 = a.m1 + b.m1 + d * d * (a.m2 / 2);\nr.m2 = a.m2 + a.m2;\n"
      "return r;\n}\n};\n",
      stage, stage, stage, stage, type);
  }
  P(p, "};\n");
}

void tvi_cuda_print_identity(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_monoid_t* monoid = p->program->stages[stage].monoid;
  const uint32_t dtype = monoid->dtypes[0];
  const bool is_float = tvi_dtype_is_float(dtype);
  P(p, "s%u_t s%u;\n", stage, stage);
  for (uint32_t i = 0; i < state_count(monoid); ++i) {
    tvi_kir_scalar_t value;
    value.i = 0;
    if (tvi_dtype_is_float(monoid->dtypes[i])) value.f = 0;
    switch (monoid->kind) {
      case TVI_KIR_PROD:
        if (is_float) {
          value.f = 1;
        } else {
          value.i = 1;
        }
        break;
      case TVI_KIR_REDUCE_MIN:
        value = tvi_kir_scalar_limit(dtype, 0);
        if (is_float) value.f = HUGE_VAL;
        break;
      case TVI_KIR_REDUCE_MAX:
        value = tvi_kir_scalar_limit(dtype, 1);
        if (is_float) value.f = -HUGE_VAL;
        break;
      case TVI_KIR_ALL:
        value.i = 1;
        break;
      case TVI_KIR_ARGMAX:
      case TVI_KIR_ARGMIN:
        if (i == 1) value.i = -1;
        break;
      case TVI_KIR_SOFTMAX_STATE:
        if (i == 0) value.f = -HUGE_VAL;
        break;
      case TVI_KIR_DECLARED:
        value = declared_identity(monoid, i);
        break;
      default:
        break;
    }
    P(p, "s%u.m%u = ", stage, i);
    tvi_cuda_print_constant(p, monoid->dtypes[i], value);
    P(p, ";\n");
  }
}

void tvi_cuda_print_join(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const tvi_kir_monoid_t* monoid = s->monoid;
  const tvi_kir_instr_t* product = &s->instrs[s->results[0]];
  if (monoid->kind == TVI_KIR_SUM && product->opcode == TVI_KIR_MUL &&
      tvi_dtype_is_float(product->dtype)) {
    P(p, "s%u.m0 = tv_fma(", stage);
    tvi_cuda_print_ref(p, stage, product->args[0]);
    P(p, ", ");
    tvi_cuda_print_ref(p, stage, product->args[1]);
    P(p, ", s%u.m0);\n", stage);
    return;
  }
  P(p, "{\ns%u_t t;\n", stage);
  for (uint32_t i = 0; i < state_count(monoid); ++i) {
    P(p, "t.m%u = ", i);
    if (i < monoid->element_count) {
      tvi_cuda_print_ref(p, stage, s->results[i]);
    } else {
      // welford: (x, 0, 1); softmaxstate: (x, 1)
      P(p, monoid->kind == TVI_KIR_WELFORD && i == 1 ? "0" : "1");
    }
    P(p, ";\n");
  }
  P(p, "s%u = s%u_t::join(s%u, t);\n}\n", stage, stage, stage);
}

void tvi_cuda_print_finish(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  if (s->monoid->kind == TVI_KIR_ARGMAX || s->monoid->kind == TVI_KIR_ARGMIN)
    P(p, "if (s%u.m1 < 0) s%u.m0 = 0, s%u.m1 = 0;\n", stage, stage, stage);
  for (uint32_t i = 0; i < s->result_count; ++i) {
    if (s->values[i] == TVI_KIR_NONE) continue;
    P(p, "const %s v%u = (%s)s%u.m%u;\n", tvi_cuda_register_type(s->monoid->dtypes[i]),
      s->values[i], tvi_cuda_register_type(s->monoid->dtypes[i]), stage, i);
  }
}
