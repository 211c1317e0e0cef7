// SPDX-License-Identifier: Apache-2.0
//
// The table of instructions, and that of predeclared monoids.
// The one place that knows names, operand counts and types; text, verifier and executors read it.
#include "core/kernel_ir/kernel_ir.h"

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/program.h"
#include "core/kernel_ir/scalar.h"

static const struct {
  const char* name;
  uint32_t operands;
} kOpcodes[TVI_KIR_OPCODE_COUNT] = {
#define ROW(name, text, operands) {text, operands},
    TVI_KIR_OPCODES(ROW)
#undef ROW
};

const char* tvi_kir_opcode_name(tvi_kir_opcode_t opcode) {
  return (unsigned)opcode < TVI_KIR_OPCODE_COUNT ? kOpcodes[opcode].name : "?";
}

uint32_t tvi_kir_opcode_operands(tvi_kir_opcode_t opcode) {
  return (unsigned)opcode < TVI_KIR_OPCODE_COUNT ? kOpcodes[opcode].operands : 0;
}

trivet_status_t tvi_kir_monoid_fill(tvi_kir_monoid_t* monoid, uint32_t dtype) {
  static const struct {
    const char* name;
    uint32_t state_count;
    const char* parts[3];
  } kMonoids[] = {
      {"sum", 1, {"value"}},
      {"prod", 1, {"value"}},
      {"min", 1, {"value"}},
      {"max", 1, {"value"}},
      {"any", 1, {"value"}},
      {"all", 1, {"value"}},
      {"argmax", 2, {"value", "position"}},
      {"argmin", 2, {"value", "position"}},
      {"welford", 3, {"mean", "m2", "count"}},
      {"softmaxstate", 2, {"m", "s"}},
  };
  bool is_arg = monoid->kind == TVI_KIR_ARGMAX || monoid->kind == TVI_KIR_ARGMIN;
  bool logical = monoid->kind == TVI_KIR_ANY || monoid->kind == TVI_KIR_ALL;
  bool tuple = monoid->kind == TVI_KIR_WELFORD || monoid->kind == TVI_KIR_SOFTMAX_STATE;
  monoid->name = kMonoids[monoid->kind].name;
  bool fits = logical ? dtype == TRIVET_DTYPE_BOOL
              : tuple ? tvi_dtype_is_float(dtype)
                      : tvi_kir_dtype_is_arithmetic(dtype);
  if (!fits) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' cannot reduce %s", monoid->name,
                         tvi_dtype_name(dtype));
  }
  monoid->state_count = kMonoids[monoid->kind].state_count;
  monoid->element_count = is_arg ? 2 : 1;
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    monoid->dtypes[i] = is_arg && i == 1 ? TRIVET_DTYPE_I64 : dtype;
    monoid->state_names[i] = kMonoids[monoid->kind].parts[i];
  }
  return TRIVET_OK;
}
