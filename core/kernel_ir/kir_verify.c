// SPDX-License-Identifier: Apache-2.0
//
// The verifier: every rule of the form of a program, checked without trusting any number in it. An
// accepted program can be evaluated and compiled without further checks of its form.
#include <stdarg.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/kernel_ir.h"
#include "core/kernel_ir/scalar.h"

typedef tvi_kir_program_t program_t;
typedef tvi_kir_stage_t stage_t;

static trivet_status_t bad_instr(uint32_t stage, uint32_t instr, const char* what) {
  return TRIVET_STATUS(INVALID_ARGUMENT, "kernel IR: stage %u, instruction %u %s", stage, instr,
                       what);
}

static trivet_status_t bad_stage(uint32_t stage, const char* what) {
  return TRIVET_STATUS(INVALID_ARGUMENT, "kernel IR: stage %u %s", stage, what);
}

static trivet_status_t verify_load(const program_t* program, const stage_t* stage, uint32_t s,
                                   uint32_t at) {
  const tvi_kir_instr_t* instr = &stage->instrs[at];
  const tvi_kir_load_t* load = instr->imm.load;
  if (load == NULL) return bad_instr(s, at, "loads nothing");
  if (load->value >= program->value_count) return bad_instr(s, at, "loads an unknown value");
  const tvi_kir_value_t* value = &program->values[load->value];
  if (value->stage != TVI_KIR_NONE && value->stage >= s) {
    return bad_instr(s, at, "loads a value that is not computed yet");
  }
  if (instr->dtype != value->dtype) return bad_instr(s, at, "has another type than its value");
  if (load->index_count != value->rank) return bad_instr(s, at, "has a wrong number of indices");
  for (uint32_t d = 0; d < load->index_count; ++d) {
    if (load->indices[d] >= at) return bad_instr(s, at, "reads an index that comes later");
    if (stage->instrs[load->indices[d]].dtype != TRIVET_DTYPE_I64) {
      return bad_instr(s, at, "has an index that is not i64");
    }
    if (load->wrap != NULL && load->wrap[d] > TVI_KIR_WRAP_CLIP) {
      return bad_instr(s, at, "treats an index in an unknown way");
    }
  }
  if (load->bounds == TVI_KIR_BOUNDS_PROVEN) {
    return load->pad == TVI_KIR_NONE ? TRIVET_OK : bad_instr(s, at, "has a pad without use");
  }
  if (load->bounds != TVI_KIR_BOUNDS_PAD) return bad_instr(s, at, "has an unknown bounds rule");
  if (load->pad >= at) return bad_instr(s, at, "has a pad that comes later");
  if (stage->instrs[load->pad].dtype != value->dtype) {
    return bad_instr(s, at, "has a pad of another type");
  }
  return TRIVET_OK;
}

// The arguments of a function are a chain of as many as it has parameters.
static const char* device_error(const tvi_kir_instr_t* instrs, const tvi_kir_instr_t* instr) {
  const tvi_kir_device_t* device = instr->imm.device;
  if (device == NULL || device->parameter_count == 0 ||
      device->parameter_count > TVI_KIR_MAX_PARAMETERS)
    return "calls no function";
  tvi_kir_ref_t ref = instr->args[1];
  for (uint32_t i = 1; i < device->parameter_count; ++i) {
    if (instrs[ref].opcode != TVI_KIR_WITH) return "has too few arguments";
    ref = instrs[ref].args[0];
  }
  return instrs[ref].opcode == TVI_KIR_WITH ? "has too many arguments" : NULL;
}

static trivet_status_t verify_operands(const tvi_kir_instr_t* instrs, uint32_t s, uint32_t at) {
  const tvi_kir_instr_t* instr = &instrs[at];
  uint32_t dtypes[3] = {0};
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  for (uint32_t i = 0; i < operands; ++i) {
    if (instr->args[i] >= at) return bad_instr(s, at, "reads an operand that comes later");
    dtypes[i] = instrs[instr->args[i]].dtype;
  }
  const char* error = tvi_kir_type_error((tvi_kir_opcode_t)instr->opcode, instr->dtype, dtypes);
  if (error == NULL && instr->opcode == TVI_KIR_DEVICE) error = device_error(instrs, instr);
  return error != NULL ? bad_instr(s, at, error) : TRIVET_OK;
}

static trivet_status_t verify_monoid(const tvi_kir_monoid_t* monoid, uint32_t s) {
  if (monoid == NULL) return bad_stage(s, "has no monoid");
  if ((unsigned)monoid->kind > TVI_KIR_DECLARED) return bad_stage(s, "has an unknown monoid");
  static const uint8_t kStates[] = {1, 1, 1, 1, 1, 1, 2, 2, 3, 2};
  static const uint8_t kElements[] = {1, 1, 1, 1, 1, 1, 2, 2, 1, 1};
  uint32_t n = monoid->state_count;
  if (n == 0 || n > TVI_KIR_MAX_STATE) return bad_stage(s, "has a monoid without a state");
  bool declared = monoid->kind == TVI_KIR_DECLARED;
  if (declared ? monoid->element_count != n
               : n != kStates[monoid->kind] || monoid->element_count != kElements[monoid->kind]) {
    return bad_stage(s, "has a monoid of a wrong shape");
  }
  for (uint32_t i = 0; i < n; ++i) {
    uint32_t dtype = monoid->dtypes[i];
    bool logical = monoid->kind == TVI_KIR_ANY || monoid->kind == TVI_KIR_ALL;
    bool fits = declared  ? tvi_kir_dtype_is_allowed(dtype)
                : logical ? dtype == TRIVET_DTYPE_BOOL
                          : tvi_kir_dtype_is_arithmetic(dtype);
    if (monoid->kind == TVI_KIR_WELFORD || monoid->kind == TVI_KIR_SOFTMAX_STATE) {
      fits = tvi_dtype_is_float(dtype) && dtype == monoid->dtypes[0];
    }
    if ((monoid->kind == TVI_KIR_ARGMAX || monoid->kind == TVI_KIR_ARGMIN) && i == 1) {
      fits = dtype == TRIVET_DTYPE_I64;
    }
    if (!fits) return bad_stage(s, "has a monoid over a type that it cannot have");
  }
  if (!declared) return TRIVET_OK;
  if (monoid->join_count < 2 * n || monoid->join_count > TVI_KIR_MAX_INSTRS) {
    return bad_stage(s, "has a join of a wrong length");
  }
  for (uint32_t i = 0; i < monoid->join_count; ++i) {
    const tvi_kir_instr_t* instr = &monoid->join[i];
    if (i < 2 * n) {
      if (instr->opcode != TVI_KIR_CONST || instr->dtype != monoid->dtypes[i % n]) {
        return bad_stage(s, "has a join that does not begin with its operands");
      }
      continue;
    }
    if (instr->opcode >= TVI_KIR_OPCODE_COUNT || instr->opcode == TVI_KIR_LOAD ||
        instr->opcode == TVI_KIR_INDEX || instr->opcode == TVI_KIR_EXTENT) {
      return bad_stage(s, "has a join that reads more than its operands");
    }
    TRIVET_RETURN_IF_ERROR(verify_operands(monoid->join, s, i));
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (monoid->join_results[i] >= monoid->join_count ||
        monoid->join[monoid->join_results[i]].dtype != monoid->dtypes[i]) {
      return bad_stage(s, "has a join that gives another type");
    }
  }
  return TRIVET_OK;
}

static trivet_status_t verify_results(const program_t* program, const stage_t* stage, uint32_t s) {
  bool map = stage->kind == TVI_KIR_MAP;
  uint32_t states = map ? 1 : stage->monoid->state_count;
  uint32_t elements = map ? 1 : stage->monoid->element_count;
  if (stage->result_count != states) return bad_stage(s, "has a wrong number of values");
  for (uint32_t i = 0; i < elements; ++i) {
    if (stage->results[i] >= stage->instr_count)
      return bad_stage(s, "gives an unknown instruction");
    uint32_t dtype = stage->instrs[stage->results[i]].dtype;
    if (!map && dtype != stage->monoid->dtypes[i]) {
      return bad_stage(s, "gives an element of another type than its monoid takes");
    }
  }
  bool any = false;
  for (uint32_t i = 0; i < states; ++i) {
    if (stage->values[i] == TVI_KIR_NONE) continue;
    any = true;
    if (stage->values[i] >= program->value_count) return bad_stage(s, "writes an unknown value");
    const tvi_kir_value_t* value = &program->values[stage->values[i]];
    if (value->stage != s) return bad_stage(s, "writes a value that another stage defines");
    for (uint32_t j = 0; j < i; ++j) {
      if (stage->values[j] == stage->values[i]) return bad_stage(s, "writes a value twice");
    }
    uint32_t dtype = map ? stage->instrs[stage->results[0]].dtype : stage->monoid->dtypes[i];
    if (value->dtype != dtype) return bad_stage(s, "writes a value of another type");
    if (value->rank != stage->parallel_count) return bad_stage(s, "writes a value of another rank");
    for (uint32_t d = 0; d < value->rank; ++d) {
      if (value->dims[d] != stage->extents[d] && tvi_dim_is_constant(value->dims[d], NULL) &&
          tvi_dim_is_constant(stage->extents[d], NULL)) {
        return bad_stage(s, "writes a value of another shape");
      }
    }
  }
  return any ? TRIVET_OK : bad_stage(s, "writes nothing");
}

static trivet_status_t verify_stage(const program_t* program, uint32_t s) {
  const stage_t* stage = &program->stages[s];
  if ((unsigned)stage->kind > TVI_KIR_SCAN) return bad_stage(s, "is of an unknown kind");
  if ((unsigned)stage->placement > TVI_KIR_INLINED) return bad_stage(s, "has an unknown placement");
  if (stage->parallel_count > TRIVET_MAX_RANK ||
      stage->reduced_count > TVI_KIR_MAX_INDICES - stage->parallel_count) {
    return bad_stage(s, "has too many indices");
  }
  if (stage->kind != TVI_KIR_REDUCE && stage->reduced_count != 0) {
    return bad_stage(s, "reduces without being a reduction");
  }
  if (stage->kind == TVI_KIR_SCAN && stage->parallel_count == 0) {
    return bad_stage(s, "scans along no index");
  }
  if ((stage->kind != TVI_KIR_SCAN && stage->scan_flags != 0) || stage->scan_flags > 3) {
    return bad_stage(s, "has scan flags that it cannot have");
  }
  uint32_t indices = stage->parallel_count + stage->reduced_count;
  for (uint32_t i = 0; i < indices; ++i) {
    if (stage->extents[i] == NULL) return bad_stage(s, "has an extent that overflows");
  }
  if (stage->kind == TVI_KIR_MAP) {
    if (stage->monoid != NULL) return bad_stage(s, "is a map with a monoid");
  } else {
    TRIVET_RETURN_IF_ERROR(verify_monoid(stage->monoid, s));
    bool arg = stage->monoid->kind == TVI_KIR_ARGMAX || stage->monoid->kind == TVI_KIR_ARGMIN;
    if (arg && (stage->kind != TVI_KIR_REDUCE || stage->reduced_count != 1)) {
      return bad_stage(s, "looks for a position along other than one index");
    }
  }
  if (stage->instr_count == 0 || stage->instr_count > TVI_KIR_MAX_INSTRS || stage->instrs == NULL) {
    return bad_stage(s, "has a body of a wrong length");
  }
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    if (instr->opcode >= TVI_KIR_OPCODE_COUNT) return bad_instr(s, i, "is unknown");
    TRIVET_RETURN_IF_ERROR(verify_operands(stage->instrs, s, i));
    switch (instr->opcode) {
      case TVI_KIR_INDEX:
        if (instr->imm.i64 < 0 || instr->imm.i64 >= indices) {
          return bad_instr(s, i, "names an index that the stage does not have");
        }
        break;
      case TVI_KIR_EXTENT:
        if (instr->imm.dim == NULL) return bad_instr(s, i, "is an extent that overflows");
        break;
      case TVI_KIR_LOAD:
        TRIVET_RETURN_IF_ERROR(verify_load(program, stage, s, i));
        break;
      default:
        break;
    }
  }
  return verify_results(program, stage, s);
}

trivet_status_t tvi_kir_verify(const program_t* program) {
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    const char* error = NULL;
    if (!tvi_kir_dtype_is_allowed(value->dtype)) error = "has a type that programs cannot hold";
    if (value->rank > TRIVET_MAX_RANK) error = "has too high a rank";
    if ((unsigned)value->kind > TVI_KIR_TEMP) error = "is of an unknown kind";
    bool input = value->kind == TVI_KIR_INPUT;
    if (input != (value->stage == TVI_KIR_NONE)) {
      error = input ? "is an input that a stage defines" : "is defined by no stage";
    }
    if (error == NULL && !input && value->stage >= program->stage_count)
      error = "is defined by an unknown stage";
    for (uint32_t d = 0; error == NULL && d < value->rank; ++d) {
      if (value->dims[d] == NULL) error = "has an extent that overflows";
    }
    if (error == NULL && !input) {
      bool written = false;
      const stage_t* stage = &program->stages[value->stage];
      for (uint32_t i = 0; i < stage->result_count && i < TVI_KIR_MAX_STATE; ++i) {
        written = written || stage->values[i] == v;
      }
      if (!written) error = "is not written by its stage";
    }
    if (error != NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "kernel IR: value %u %s", v, error);
    }
  }
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    TRIVET_RETURN_IF_ERROR(verify_stage(program, s));
  }
  return TRIVET_OK;
}
