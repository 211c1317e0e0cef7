// SPDX-License-Identifier: Apache-2.0
//
// Programs as text: the concrete form, one line per value and instruction, that kir_parse.c reads
// back. For dumps, golden tests and bug reports; operators are written in the language of
// docs/kernel_ir.md instead.
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/kernel_ir.h"
#include "core/kernel_ir/program.h"

typedef tvi_string_builder_t out_t;

static void put(out_t* out, const char* text) { tvi_string_builder_append_cstr(out, text); }

static void put_dim(out_t* out, trivet_dim_t dim) {
  int64_t value;
  if (tvi_dim_is_constant(dim, &value)) {
    tvi_string_builder_append_i64(out, value);
    return;
  }
  put(out, "$(");
  trivet_status_free(tvi_dim_print(dim, out));
  put(out, ")");
}

static void put_dims(out_t* out, const trivet_dim_t* dims, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (i > 0) put(out, ", ");
    put_dim(out, dims[i]);
  }
}

static void put_string(out_t* out, const char* text) {
  put(out, "\"");
  for (; text != NULL && *text != '\0'; ++text) {
    if (*text == '\n') {
      put(out, "\\n");
      continue;
    }
    if (*text == '"' || *text == '\\') put(out, "\\");
    tvi_string_builder_append_char(out, *text);
  }
  put(out, "\"");
}

static void put_device(out_t* out, const tvi_kir_device_t* device) {
  put(out, " ");
  put_string(out, device->name);
  put(out, " ");
  put_string(out, device->plugin);
  put(out, " (");
  for (uint32_t i = 0; i < device->parameter_count; ++i) {
    if (i > 0) put(out, ", ");
    put_string(out, device->parameters[i]);
    put(out, " ");
    put_string(out, device->variables[i]);
  }
  put(out, ") ");
  put_string(out, device->cuda);
}

static void put_body(out_t* out, const tvi_kir_instr_t* instrs, uint32_t count,
                     const tvi_kir_ref_t* results, uint32_t result_count, const char* indent) {
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_kir_instr_t* instr = &instrs[i];
    tvi_string_builder_appendf(out, "%s%%%u = %s %s", indent, i,
                               tvi_kir_opcode_name((tvi_kir_opcode_t)instr->opcode),
                               tvi_dtype_name(instr->dtype));
    switch (instr->opcode) {
      case TVI_KIR_CONST:
        put(out, " ");
        if (instr->reserved & TVI_KIR_INSTR_OPAQUE) {
          put(out, "operand");
        } else if (tvi_dtype_is_float(instr->dtype)) {
          tvi_string_builder_append_f64(out, instr->imm.f64);
        } else {
          tvi_string_builder_append_i64(out, instr->imm.i64);
        }
        break;
      case TVI_KIR_INDEX:
        tvi_string_builder_appendf(out, " %lld", (long long)instr->imm.i64);
        break;
      case TVI_KIR_EXTENT:
        put(out, " ");
        put_dim(out, instr->imm.dim);
        break;
      case TVI_KIR_LOAD: {
        const tvi_kir_load_t* load = instr->imm.load;
        tvi_string_builder_appendf(out, " v%u[", load->value);
        for (uint32_t d = 0; d < load->index_count; ++d) {
          uint8_t wrap = load->wrap != NULL ? load->wrap[d] : TVI_KIR_WRAP_NONE;
          tvi_string_builder_appendf(out, "%s%%%u%s", d > 0 ? ", " : "", load->indices[d],
                                     wrap == TVI_KIR_WRAP_NEGATIVE ? " wrap"
                                     : wrap == TVI_KIR_WRAP_CLIP   ? " clip"
                                                                   : "");
        }
        put(out, "]");
        if (load->pad != TVI_KIR_NONE) tvi_string_builder_appendf(out, " pad %%%u", load->pad);
        break;
      }
      default:
        for (uint32_t j = 0; j < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++j) {
          tvi_string_builder_appendf(out, " %%%u", instr->args[j]);
        }
        if (instr->opcode == TVI_KIR_DEVICE) put_device(out, instr->imm.device);
        break;
    }
    put(out, "\n");
  }
  tvi_string_builder_appendf(out, "%sgive", indent);
  for (uint32_t i = 0; i < result_count; ++i) {
    tvi_string_builder_appendf(out, " %%%u", results[i]);
  }
  put(out, "\n");
}

static void put_monoid(out_t* out, const tvi_kir_monoid_t* monoid) {
  if (monoid->kind != TVI_KIR_DECLARED) {
    tvi_string_builder_appendf(out, " %s %s", monoid->name, tvi_dtype_name(monoid->dtypes[0]));
    return;
  }
  put(out, " declared ");
  put_string(out, monoid->name);
  put(out, " (");
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    if (i > 0) put(out, ", ");
    put_string(out, monoid->state_names[i]);
    tvi_string_builder_appendf(out, " %s = ", tvi_dtype_name(monoid->dtypes[i]));
    tvi_string_builder_append_f64(out, monoid->identity[i]);
  }
  put(out, ") {\n");
  put_body(out, monoid->join, monoid->join_count, monoid->join_results, monoid->state_count,
           "    ");
  put(out, "  }");
}

trivet_status_t tvi_kir_program_print(const tvi_kir_program_t* program, out_t* out) {
  static const char* const kValueKinds[] = {"input", "output", "temp"};
  static const char* const kStageKinds[] = {"map", "reduce", "scan"};
  put(out, "kernel_ir 1\n");
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    tvi_string_builder_appendf(out, "value v%u %s %s[", v, kValueKinds[value->kind],
                               tvi_dtype_name(value->dtype));
    put_dims(out, value->dims, value->rank);
    put(out, "] ");
    put_string(out, value->name);
    if (value->tag != TVI_KIR_NONE) tvi_string_builder_appendf(out, " tag %u", value->tag);
    put(out, "\n");
  }
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    tvi_string_builder_appendf(out, "stage %s [", kStageKinds[stage->kind]);
    put_dims(out, stage->extents, stage->parallel_count);
    if (stage->kind == TVI_KIR_REDUCE) {
      put(out, " | ");
      put_dims(out, stage->extents + stage->parallel_count, stage->reduced_count);
    }
    put(out, "]");
    if (stage->monoid != NULL) put_monoid(out, stage->monoid);
    if (stage->scan_flags & TVI_KIR_SCAN_EXCLUSIVE) put(out, " exclusive");
    if (stage->scan_flags & TVI_KIR_SCAN_REVERSE) put(out, " reverse");
    put(out, " ->");
    for (uint32_t i = 0; i < stage->result_count; ++i) {
      put(out, i > 0 ? ", " : " ");
      if (stage->values[i] == TVI_KIR_NONE) {
        put(out, "_");
      } else {
        tvi_string_builder_appendf(out, "v%u", stage->values[i]);
      }
    }
    if (stage->placement == TVI_KIR_KEPT) put(out, " kept");
    if (stage->placement == TVI_KIR_INLINED) put(out, " inlined");
    if (stage->origin != TVI_KIR_NONE) tvi_string_builder_appendf(out, " origin %u", stage->origin);
    put(out, " {\n");
    put_body(out, stage->instrs, stage->instr_count, stage->results, tvi_kir_element_count(stage),
             "  ");
    put(out, "}\n");
  }
  return out->status == NULL ? TRIVET_OK : tvi_string_builder_status(out);
}
