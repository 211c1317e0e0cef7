// SPDX-License-Identifier: Apache-2.0
//
// Reads the concrete text of programs. What it returns has passed the verifier, so hostile text
// gives an error and never a program that breaks its readers.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_ast.h"
#include "core/kernel_ir/program.h"

typedef tvi_kir_parser_t parser_t;
typedef tvi_kir_token_t token_t;

typedef struct {
  parser_t p;
  tvi_kir_program_t* program;
} reader_t;

static bool fail(reader_t* r, const char* what) {
  return tvi_kir_parse_error(&r->p, tvi_kir_peek(&r->p), "%s expected", what);
}

static bool read_i64(reader_t* r, int64_t* out) {
  bool minus = tvi_kir_accept_symbol(&r->p, "-");
  const token_t* token = tvi_kir_peek(&r->p);
  uint64_t value;
  if (token->kind != TVI_KIR_TOKEN_INT || !tvi_sv_parse_u64(token->text, &value) ||
      value > (uint64_t)INT64_MAX + minus) {
    return fail(r, "an integer");
  }
  ++r->p.at;
  *out = minus ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

static bool read_dim(reader_t* r, trivet_dim_t* out) {
  const token_t* token = tvi_kir_peek(&r->p);
  if (token->kind == TVI_KIR_TOKEN_DIM) {
    ++r->p.at;
    return tvi_kir_parse_ok(&r->p, tvi_dim_parse(r->program->dims, token->text, out));
  }
  int64_t value;
  if (!read_i64(r, &value)) return false;
  *out = tvi_dim_constant(r->program->dims, value);
  return *out != NULL || fail(r, "memory");
}

// Extents up to |close| or "|".
static bool read_dims(reader_t* r, trivet_dim_t* dims, uint32_t capacity, uint32_t* out_count) {
  uint32_t count = 0;
  while (!tvi_kir_is_symbol(&r->p, "]") && !tvi_kir_is_symbol(&r->p, "|")) {
    if (count > 0 && !tvi_kir_expect_symbol(&r->p, ",")) return false;
    if (count == capacity) return fail(r, "fewer extents");
    if (!read_dim(r, &dims[count++])) return false;
  }
  *out_count = count;
  return true;
}

static bool read_string(reader_t* r, trivet_string_view_t* out) {
  const token_t* token = tvi_kir_peek(&r->p);
  if (token->kind != TVI_KIR_TOKEN_STRING) return fail(r, "a string");
  const trivet_attribute_t* literal;
  if (!tvi_kir_parse_literal(&r->p, "", TRIVET_ATTR_STRING, 0, &literal)) return false;
  *out = ((const trivet_string_view_t*)literal->data)[0];
  return true;
}

static bool read_dtype(reader_t* r, uint32_t* out) {
  const token_t* token = tvi_kir_peek(&r->p);
  *out =
      token->kind == TVI_KIR_TOKEN_NAME ? tvi_dtype_from_name(token->text) : TRIVET_DTYPE_INVALID;
  if (*out == TRIVET_DTYPE_INVALID) return fail(r, "an element type");
  ++r->p.at;
  return true;
}

// v12
static bool read_value(reader_t* r, uint32_t* out) {
  const token_t* token = tvi_kir_peek(&r->p);
  int64_t number;
  if (token->kind != TVI_KIR_TOKEN_NAME || token->text.size < 2 || token->text.data[0] != 'v' ||
      !tvi_sv_parse_i64(tvi_sv_slice(token->text, 1, token->text.size), &number) || number < 0 ||
      number >= (int64_t)r->program->value_count) {
    return fail(r, "a value such as v0");
  }
  ++r->p.at;
  *out = (uint32_t)number;
  return true;
}

// %12, below |limit|.
static bool read_ref(reader_t* r, uint32_t limit, tvi_kir_ref_t* out) {
  if (!tvi_kir_expect_symbol(&r->p, "%")) return false;
  const token_t* token = tvi_kir_peek(&r->p);
  if (!tvi_kir_expect_u32(&r->p, out)) return false;
  return *out < limit ||
         tvi_kir_parse_error(&r->p, token, "an earlier instruction expected, not %%%u", *out);
}

static bool read_load(reader_t* r, uint32_t at, tvi_kir_instr_t* instr) {
  tvi_kir_load_t* load;
  if (!tvi_kir_parse_ok(&r->p, tvi_arena_alloc_zeroed(r->p.arena, sizeof(*load), &load))) {
    return false;
  }
  tvi_kir_ref_t indices[TRIVET_MAX_RANK];
  uint8_t wraps[TRIVET_MAX_RANK];
  bool any_wrap = false;
  if (!read_value(r, &load->value) || !tvi_kir_expect_symbol(&r->p, "[")) return false;
  while (!tvi_kir_accept_symbol(&r->p, "]")) {
    uint32_t d = load->index_count;
    if (d > 0 && !tvi_kir_expect_symbol(&r->p, ",")) return false;
    if (d == TRIVET_MAX_RANK) return fail(r, "fewer indices");
    if (!read_ref(r, at, &indices[d])) return false;
    wraps[d] = tvi_kir_accept_name(&r->p, "wrap")   ? TVI_KIR_WRAP_NEGATIVE
               : tvi_kir_accept_name(&r->p, "clip") ? TVI_KIR_WRAP_CLIP
                                                    : TVI_KIR_WRAP_NONE;
    any_wrap = any_wrap || wraps[d] != TVI_KIR_WRAP_NONE;
    ++load->index_count;
  }
  load->pad = TVI_KIR_NONE;
  if (tvi_kir_accept_name(&r->p, "pad")) {
    load->bounds = TVI_KIR_BOUNDS_PAD;
    if (!read_ref(r, at, &load->pad)) return false;
  }
  void* copy = NULL;
  if (!tvi_kir_parse_ok(&r->p, tvi_arena_copy(r->p.arena, indices,
                                              load->index_count * sizeof(*indices), &copy))) {
    return false;
  }
  load->indices = (tvi_kir_ref_t*)copy;
  if (any_wrap) {
    if (!tvi_kir_parse_ok(&r->p, tvi_arena_copy(r->p.arena, wraps, load->index_count, &copy))) {
      return false;
    }
    load->wrap = (uint8_t*)copy;
  }
  instr->imm.load = load;
  return true;
}

static bool read_text(reader_t* r, const char** out) {
  trivet_string_view_t text, copy;
  if (!read_string(r, &text) ||
      !tvi_kir_parse_ok(&r->p, tvi_arena_strdup(r->program->arena, text, &copy)))
    return false;
  *out = copy.data;
  return true;
}

static bool read_device(reader_t* r, tvi_kir_instr_t* instr) {
  tvi_kir_device_t* device;
  if (!tvi_kir_parse_ok(&r->p,
                        tvi_arena_alloc_zeroed(r->program->arena, sizeof(*device), &device)) ||
      !read_text(r, &device->name) || !read_text(r, &device->plugin) ||
      !tvi_kir_expect_symbol(&r->p, "("))
    return false;
  while (!tvi_kir_accept_symbol(&r->p, ")")) {
    const uint32_t i = device->parameter_count;
    if (i > 0 && !tvi_kir_expect_symbol(&r->p, ",")) return false;
    if (i == TVI_KIR_MAX_PARAMETERS) return fail(r, "fewer parameters");
    if (!read_text(r, &device->parameters[i]) || !read_text(r, &device->variables[i])) return false;
    ++device->parameter_count;
  }
  instr->imm.device = device;
  return read_text(r, &device->cuda);
}

static bool read_instr(reader_t* r, uint32_t at, tvi_kir_instr_t* instr) {
  tvi_kir_ref_t number;
  memset(instr, 0, sizeof(*instr));
  for (int i = 0; i < 3; ++i) instr->args[i] = TVI_KIR_NONE;
  if (!tvi_kir_expect_symbol(&r->p, "%") || !tvi_kir_expect_u32(&r->p, &number)) return false;
  if (number != at) return fail(r, "the next instruction");
  if (!tvi_kir_expect_symbol(&r->p, "=")) return false;
  trivet_string_view_t name;
  const token_t* token = tvi_kir_peek(&r->p);
  if (!tvi_kir_expect_name(&r->p, &name)) return false;
  instr->opcode = TVI_KIR_OPCODE_COUNT;
  for (int opcode = 0; opcode < TVI_KIR_OPCODE_COUNT; ++opcode) {
    if (tvi_sv_equal_cstr(name, tvi_kir_opcode_name((tvi_kir_opcode_t)opcode))) {
      instr->opcode = (uint16_t)opcode;
    }
  }
  if (instr->opcode == TVI_KIR_OPCODE_COUNT) {
    return tvi_kir_parse_error(&r->p, token, "'%.*s' is not an instruction", TVI_SV_ARGS(name));
  }
  if (!read_dtype(r, &instr->dtype)) return false;
  switch (instr->opcode) {
    case TVI_KIR_CONST:
      if (tvi_kir_accept_name(&r->p, "operand")) {
        instr->reserved = TVI_KIR_INSTR_OPAQUE;
        return true;
      }
      return tvi_dtype_is_float(instr->dtype) ? tvi_kir_parse_number(&r->p, &instr->imm.f64)
                                              : read_i64(r, &instr->imm.i64);
    case TVI_KIR_INDEX:
      return read_i64(r, &instr->imm.i64);
    case TVI_KIR_EXTENT:
      return read_dim(r, &instr->imm.dim);
    case TVI_KIR_LOAD:
      return read_load(r, at, instr);
    default:
      for (uint32_t i = 0; i < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++i) {
        if (!read_ref(r, at, &instr->args[i])) return false;
      }
      return instr->opcode != TVI_KIR_DEVICE || read_device(r, instr);
  }
}

static bool read_body(reader_t* r, uint32_t result_count, tvi_kir_ref_t* results,
                      tvi_kir_instr_t** out_instrs, uint32_t* out_count) {
  tvi_kir_instr_t* instrs = NULL;
  uint32_t count = 0, capacity = 0;
  if (!tvi_kir_expect_symbol(&r->p, "{")) return false;
  while (!tvi_kir_is_name(&r->p, "give")) {
    if (count == capacity) {
      if (count >= TVI_KIR_MAX_INSTRS) return fail(r, "fewer instructions");
      tvi_kir_instr_t* more;
      capacity = capacity == 0 ? 16 : capacity * 2;
      if (!tvi_kir_parse_ok(&r->p,
                            tvi_arena_alloc_array(r->p.arena, capacity, sizeof(*more), &more))) {
        return false;
      }
      if (count > 0) memcpy(more, instrs, count * sizeof(*more));
      instrs = more;
    }
    if (!read_instr(r, count, &instrs[count])) return false;
    ++count;
  }
  ++r->p.at;
  for (uint32_t i = 0; i < result_count; ++i) {
    if (!read_ref(r, count, &results[i])) return false;
  }
  *out_instrs = instrs;
  *out_count = count;
  return tvi_kir_expect_symbol(&r->p, "}");
}

static bool read_monoid(reader_t* r, const tvi_kir_monoid_t** out_monoid) {
  tvi_kir_monoid_t* monoid;
  if (!tvi_kir_parse_ok(&r->p, tvi_arena_alloc_zeroed(r->p.arena, sizeof(*monoid), &monoid))) {
    return false;
  }
  *out_monoid = monoid;
  if (tvi_kir_accept_name(&r->p, "declared")) {
    trivet_string_view_t name;
    if (!read_string(r, &name) || !tvi_kir_expect_symbol(&r->p, "(")) return false;
    monoid->kind = TVI_KIR_DECLARED;
    monoid->name = name.data;
    do {
      uint32_t i = monoid->state_count;
      if (i == TVI_KIR_MAX_STATE) return fail(r, "a smaller state");
      if (!read_string(r, &name) || !read_dtype(r, &monoid->dtypes[i]) ||
          !tvi_kir_expect_symbol(&r->p, "=") ||
          !tvi_kir_parse_number(&r->p, &monoid->identity[i])) {
        return false;
      }
      monoid->state_names[i] = name.data;
      monoid->element_count = ++monoid->state_count;
    } while (tvi_kir_accept_symbol(&r->p, ","));
    return tvi_kir_expect_symbol(&r->p, ")") &&
           read_body(r, monoid->state_count, monoid->join_results, &monoid->join,
                     &monoid->join_count);
  }
  trivet_string_view_t name;
  const token_t* token = tvi_kir_peek(&r->p);
  if (!tvi_kir_expect_name(&r->p, &name)) return false;
  bool mean;
  monoid->kind = tvi_kir_builtin_monoid(name, &mean);
  if (mean || monoid->kind == TVI_KIR_DECLARED) {
    return tvi_kir_parse_error(&r->p, token, "'%.*s' is not a monoid", TVI_SV_ARGS(name));
  }
  uint32_t dtype;
  return read_dtype(r, &dtype) && tvi_kir_parse_ok(&r->p, tvi_kir_monoid_fill(monoid, dtype));
}

static bool read_value_line(reader_t* r) {
  uint32_t added;
  trivet_type_t type = {0};
  trivet_string_view_t name;
  tvi_kir_value_kind_t kind = TVI_KIR_INPUT;
  const token_t* token = tvi_kir_peek(&r->p);
  // Numbers must follow each other, so that "v3" needs no table.
  int64_t number;
  if (token->kind != TVI_KIR_TOKEN_NAME || token->text.data[0] != 'v' ||
      !tvi_sv_parse_i64(tvi_sv_slice(token->text, 1, token->text.size), &number) ||
      number != (int64_t)r->program->value_count) {
    return fail(r, "the next value");
  }
  ++r->p.at;
  if (tvi_kir_accept_name(&r->p, "output")) {
    kind = TVI_KIR_OUTPUT;
  } else if (tvi_kir_accept_name(&r->p, "temp")) {
    kind = TVI_KIR_TEMP;
  } else if (!tvi_kir_accept_name(&r->p, "input")) {
    return fail(r, "input, output or temp");
  }
  if (!read_dtype(r, &type.dtype) || !tvi_kir_expect_symbol(&r->p, "[") ||
      !read_dims(r, type.dims, TRIVET_MAX_RANK, &type.rank) || !tvi_kir_expect_symbol(&r->p, "]") ||
      !read_string(r, &name)) {
    return false;
  }
  uint32_t tag = TVI_KIR_NONE;
  if (tvi_kir_accept_name(&r->p, "tag") && !tvi_kir_expect_u32(&r->p, &tag)) return false;
  return tvi_kir_parse_ok(
      &r->p, tvi_kir_program_add_value(r->program, name.data, kind, &type, tag, &added));
}

static bool read_stage_line(reader_t* r) {
  tvi_kir_stage_t stage;
  memset(&stage, 0, sizeof(stage));
  stage.origin = TVI_KIR_NONE;
  if (tvi_kir_accept_name(&r->p, "reduce")) {
    stage.kind = TVI_KIR_REDUCE;
  } else if (tvi_kir_accept_name(&r->p, "scan")) {
    stage.kind = TVI_KIR_SCAN;
  } else if (!tvi_kir_accept_name(&r->p, "map")) {
    return fail(r, "map, reduce or scan");
  }
  if (!tvi_kir_expect_symbol(&r->p, "[") ||
      !read_dims(r, stage.extents, TRIVET_MAX_RANK, &stage.parallel_count)) {
    return false;
  }
  if (tvi_kir_accept_symbol(&r->p, "|") &&
      !read_dims(r, stage.extents + stage.parallel_count,
                 TVI_KIR_MAX_INDICES - stage.parallel_count, &stage.reduced_count)) {
    return false;
  }
  if (!tvi_kir_expect_symbol(&r->p, "]")) return false;
  stage.result_count = 1;
  if (stage.kind != TVI_KIR_MAP) {
    if (!read_monoid(r, &stage.monoid)) return false;
    stage.result_count = stage.monoid->state_count;
  }
  if (tvi_kir_accept_name(&r->p, "exclusive")) stage.scan_flags |= TVI_KIR_SCAN_EXCLUSIVE;
  if (tvi_kir_accept_name(&r->p, "reverse")) stage.scan_flags |= TVI_KIR_SCAN_REVERSE;
  if (!tvi_kir_expect_symbol(&r->p, "->")) return false;
  for (uint32_t i = 0; i < stage.result_count; ++i) {
    if (i > 0 && !tvi_kir_expect_symbol(&r->p, ",")) return false;
    const token_t* token = tvi_kir_peek(&r->p);
    if (tvi_kir_accept_name(&r->p, "_")) {
      stage.values[i] = TVI_KIR_NONE;
    } else if (!read_value(r, &stage.values[i])) {
      return false;
    } else if (r->program->values[stage.values[i]].stage != TVI_KIR_NONE) {
      return tvi_kir_parse_error(&r->p, token, "a value that is not defined yet expected");
    }
  }
  if (tvi_kir_accept_name(&r->p, "kept")) stage.placement = TVI_KIR_KEPT;
  if (tvi_kir_accept_name(&r->p, "inlined")) stage.placement = TVI_KIR_INLINED;
  if (tvi_kir_accept_name(&r->p, "origin") && !tvi_kir_expect_u32(&r->p, &stage.origin))
    return false;
  return read_body(r, tvi_kir_element_count(&stage), stage.results, &stage.instrs,
                   &stage.instr_count) &&
         tvi_kir_parse_ok(&r->p, tvi_kir_program_add_stage(r->program, &stage));
}

static bool read_program(reader_t* r) {
  uint32_t version;
  if (!tvi_kir_accept_name(&r->p, "kernel_ir")) return fail(r, "'kernel_ir'");
  if (!tvi_kir_expect_u32(&r->p, &version)) return false;
  if (version != 1) return fail(r, "version 1");
  for (;;) {
    while (tvi_kir_peek(&r->p)->kind == TVI_KIR_TOKEN_NEWLINE) ++r->p.at;
    if (tvi_kir_peek(&r->p)->kind == TVI_KIR_TOKEN_END) return true;
    if (tvi_kir_accept_name(&r->p, "value")) {
      if (!read_value_line(r)) return false;
    } else if (tvi_kir_accept_name(&r->p, "stage")) {
      if (!read_stage_line(r)) return false;
    } else {
      return fail(r, "'value' or 'stage'");
    }
  }
}

trivet_status_t tvi_kir_program_parse(trivet_string_view_t text, tvi_dim_context_t* dims,
                                      tvi_arena_t* arena, tvi_kir_program_t** out_program) {
  reader_t reader;
  memset(&reader, 0, sizeof(reader));
  reader.p.arena = arena;
  TRIVET_RETURN_IF_ERROR(tvi_kir_tokenize(text, arena, &reader.p.tokens));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(dims, arena, &reader.program));
  if (!read_program(&reader)) return reader.p.status;
  TRIVET_RETURN_IF_ERROR(tvi_kir_verify(reader.program));
  *out_program = reader.program;
  return TRIVET_OK;
}
