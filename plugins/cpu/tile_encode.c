// SPDX-License-Identifier: Apache-2.0
//
// Tile programs as bytes and as text. The order of fields is that of tile_program.c.
// Between the compiler of tile programs and the plan; it must not be linked into the runtime.

#include "plugins/cpu/tile_encode.h"

#include "core/base/dtype.h"

void tvi_tile_program_encode(const tvi_tile_program_t* program, tvi_byte_writer_t* writer) {
#define U32(value) tvi_byte_writer_u32(writer, value)
  U32(TVI_TILE_MAGIC);
  U32(TVI_TILE_VERSION);
  U32(program->parameter_count);
  U32(program->operand_count);
  U32(program->slot_count);
  U32(program->section_count);
  U32(program->phase_count);
  U32(program->instr_count);
  U32(program->affine_count);
  U32(program->access_count);
  U32(program->sink_count);
  for (uint32_t i = 0; i < program->slot_count; ++i) {
    const tvi_tile_slot_t* slot = &program->slots[i];
    U32(slot->kind);
    U32(slot->dtype);
    U32(slot->rank);
    U32(slot->section);
    for (uint32_t d = 0; slot->kind >= TVI_TILE_SLOT_STORED && d < slot->rank; ++d) {
      U32(slot->dims[d]);
      U32(slot->outer[d]);
    }
  }
  for (uint32_t i = 0; i < program->section_count; ++i) {
    U32(program->sections[i].outer_count);
    U32(program->sections[i].phase_first);
    U32(program->sections[i].phase_count);
  }
  for (uint32_t i = 0; i < program->phase_count; ++i) {
    const tvi_tile_phase_t* phase = &program->phases[i];
    U32(phase->loop_count);
    U32(phase->reduced_count);
    for (uint32_t l = 0; l < phase->loop_count; ++l) U32(phase->extents[l]);
    U32(phase->instr_first);
    U32(phase->instr_count);
    U32(phase->affine_first);
    U32(phase->affine_count);
    U32(phase->access_first);
    U32(phase->access_count);
    U32(phase->sink_first);
    U32(phase->sink_count);
  }
  for (uint32_t i = 0; i < program->instr_count; ++i) {
    const tvi_tile_instr_t* instr = &program->instrs[i];
    tvi_byte_writer_u16(writer, instr->opcode);
    tvi_byte_writer_u8(writer, instr->type);
    tvi_byte_writer_u8(writer, instr->aux);
    for (uint32_t a = 0; a < TVI_TILE_MAX_ARGS; ++a) tvi_byte_writer_u16(writer, instr->args[a]);
    tvi_byte_writer_u16(writer, 0);
    tvi_byte_writer_u64(writer, instr->imm);
  }
  for (uint32_t i = 0; i < program->affine_count; ++i) {
    const tvi_tile_affine_t* affine = &program->affines[i];
    U32(affine->offset);
    U32(affine->term_count);
    for (uint32_t t = 0; t < affine->term_count; ++t) {
      U32(affine->loops[t]);
      U32(affine->coefficients[t]);
    }
  }
  for (uint32_t i = 0; i < program->access_count; ++i) {
    const tvi_tile_access_t* access = &program->accesses[i];
    U32(access->slot);
    U32(access->bounds);
    U32(access->pad);
    U32(access->rank);
    for (uint32_t d = 0; d < access->rank; ++d) {
      U32(access->indices[d].is_register);
      U32(access->indices[d].ref);
      U32(access->indices[d].wrap);
    }
  }
  for (uint32_t i = 0; i < program->sink_count; ++i) {
    const tvi_tile_sink_t* sink = &program->sinks[i];
    U32(sink->kind);
    U32(sink->count);
    U32(sink->join);
    U32(sink->scan_flags);
    U32(sink->join_first);
    U32(sink->join_count);
    for (uint32_t v = 0; v < sink->count; ++v) {
      U32(sink->values[v]);
      U32(sink->accesses[v]);
      U32(sink->join_results[v]);
      tvi_byte_writer_u64(writer, sink->identity[v]);
    }
  }
#undef U32
}

static const char* type_name(uint32_t type) {
  static const char* const kNames[TVI_TILE_TYPE_COUNT] = {"?",   "f32", "f64", "i32",
                                                          "u32", "i64", "u64"};
  return type < TVI_TILE_TYPE_COUNT ? kNames[type] : "?";
}

static void print_affine(const tvi_tile_affine_t* affine, tvi_string_builder_t* b) {
  bool first = true;
  if (affine->offset != TVI_TILE_NONE || affine->term_count == 0) {
    tvi_string_builder_appendf(b, affine->offset == TVI_TILE_NONE ? "0" : "p%u", affine->offset);
    first = false;
  }
  for (uint32_t t = 0; t < affine->term_count; ++t) {
    tvi_string_builder_appendf(b, "%sp%u*l%u", first ? "" : " + ", affine->coefficients[t],
                               affine->loops[t]);
    first = false;
  }
}

static void print_access(const tvi_tile_program_t* program, const tvi_tile_phase_t* phase,
                         const tvi_tile_access_t* access, tvi_string_builder_t* b) {
  tvi_string_builder_appendf(b, "s%u[", access->slot);
  for (uint32_t d = 0; d < access->rank; ++d) {
    if (d) tvi_string_builder_append_cstr(b, ", ");
    if (access->indices[d].is_register) {
      tvi_string_builder_appendf(b, "%%%u%s", access->indices[d].ref,
                                 access->indices[d].wrap == TVI_TILE_WRAP_CLIP       ? " clip"
                                 : access->indices[d].wrap == TVI_TILE_WRAP_NEGATIVE ? " wrap"
                                                                                     : "");
    } else {
      print_affine(&program->affines[phase->affine_first + access->indices[d].ref], b);
    }
  }
  tvi_string_builder_append_char(b, ']');
  if (access->bounds == TVI_TILE_BOUNDS_PAD)
    tvi_string_builder_appendf(b, " pad %%%u", access->pad);
}

static void print_instr(const tvi_tile_program_t* program, const tvi_tile_phase_t* phase,
                        uint32_t number, const tvi_tile_instr_t* instr, tvi_string_builder_t* b) {
  tvi_string_builder_appendf(b, "    %%%u = %s.%s", number, tvi_tile_opcode_name(instr->opcode),
                             type_name(instr->type));
  if (instr->aux) tvi_string_builder_appendf(b, ".%s", tvi_dtype_name(instr->aux & 0x3fu));
  for (uint32_t a = 0; a < tvi_tile_opcode_info(instr->opcode, NULL); ++a)
    tvi_string_builder_appendf(b, " %%%u", instr->args[a]);
  if (instr->opcode == TVI_TILE_OP_AFFINE) {
    tvi_string_builder_append_char(b, ' ');
    print_affine(&program->affines[phase->affine_first + instr->imm], b);
  } else if (instr->opcode == TVI_TILE_OP_LOAD) {
    tvi_string_builder_append_char(b, ' ');
    print_access(program, phase, &program->accesses[phase->access_first + instr->imm], b);
  } else if (instr->opcode == TVI_TILE_OP_CONST || instr->opcode == TVI_TILE_OP_ARG) {
    tvi_string_builder_appendf(b, " 0x%llx", (unsigned long long)instr->imm);
  }
  tvi_string_builder_append_char(b, '\n');
}

void tvi_tile_program_print(const tvi_tile_program_t* program, tvi_string_builder_t* b) {
  static const char* const kSlotKinds[] = {"input", "output", "stored", "kept"};
  static const char* const kSinkKinds[] = {"store", "reduce", "scan"};
  static const char* const kJoins[] = {"sum", "prod", "min", "max", "or", "and", "body", "serial"};
  for (uint32_t i = 0; i < program->slot_count; ++i)
    tvi_string_builder_appendf(b, "s%u: %s %s rank %u\n", i, kSlotKinds[program->slots[i].kind & 3],
                               tvi_dtype_name(program->slots[i].dtype), program->slots[i].rank);
  for (uint32_t s = 0; s < program->section_count; ++s) {
    const tvi_tile_section_t* section = &program->sections[s];
    tvi_string_builder_appendf(b, "section %u: %u outer loops\n", s, section->outer_count);
    for (uint32_t p = 0; p < section->phase_count; ++p) {
      const tvi_tile_phase_t* phase = &program->phases[section->phase_first + p];
      tvi_string_builder_appendf(b, "  phase %u: loops", p);
      for (uint32_t l = 0; l < phase->loop_count; ++l)
        tvi_string_builder_appendf(b, " p%u%s", phase->extents[l],
                                   l >= phase->loop_count - phase->reduced_count ? "r" : "");
      tvi_string_builder_append_char(b, '\n');
      for (uint32_t i = 0; i < phase->instr_count; ++i)
        print_instr(program, phase, i, &program->instrs[phase->instr_first + i], b);
      for (uint32_t k = 0; k < phase->sink_count; ++k) {
        const tvi_tile_sink_t* sink = &program->sinks[phase->sink_first + k];
        tvi_string_builder_appendf(b, "    %s", kSinkKinds[sink->kind % 3]);
        if (sink->kind != TVI_TILE_SINK_STORE)
          tvi_string_builder_appendf(b, " %s", kJoins[sink->join & 7]);
        for (uint32_t v = 0; v < sink->count; ++v) {
          tvi_string_builder_appendf(b, " %%%u", sink->values[v]);
          if (sink->accesses[v] == TVI_TILE_NONE) continue;
          tvi_string_builder_append_cstr(b, " to ");
          print_access(program, phase, &program->accesses[phase->access_first + sink->accesses[v]],
                       b);
        }
        tvi_string_builder_append_char(b, '\n');
        for (uint32_t i = 0; sink->join >= TVI_TILE_JOIN_BODY && i < sink->join_count; ++i) {
          tvi_string_builder_append_cstr(b, "  ");
          print_instr(program, phase, i, &program->instrs[sink->join_first + i], b);
        }
      }
    }
  }
}
