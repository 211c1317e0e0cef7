// SPDX-License-Identifier: Apache-2.0
//
// Decoding and verification of tile programs. A program may come from a hostile plan whose hashes
// are right: nothing in it is believed before it is checked here, or at prepare where it depends on
// shapes.

#include "runtime/device/cpu/tile_program.h"

#include "core/base/byte_reader.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

typedef struct opcode_row_t {
  uint8_t operands;
  uint8_t signature;
  uint8_t exists;
  const char* name;
} opcode_row_t;

static const opcode_row_t kOpcodes[TVI_TILE_OPCODE_LIMIT] = {
#define ROW(name, number, operands, signature) \
  [number] = {operands, TVI_TILE_SIG_##signature, 1, #name},
    TVI_TILE_OPCODES(ROW)
#undef ROW
};

uint32_t tvi_tile_opcode_info(uint32_t opcode, uint32_t* out_signature) {
  if (opcode >= TVI_TILE_OPCODE_LIMIT || !kOpcodes[opcode].exists) return TVI_TILE_NONE;
  if (out_signature) *out_signature = kOpcodes[opcode].signature;
  return kOpcodes[opcode].operands;
}

const char* tvi_tile_opcode_name(uint32_t opcode) {
  return opcode < TVI_TILE_OPCODE_LIMIT && kOpcodes[opcode].exists ? kOpcodes[opcode].name : "?";
}

uint32_t tvi_tile_type_of_dtype(uint32_t dtype) {
  switch (dtype) {
    case TRIVET_DTYPE_F64:
      return TVI_TILE_F64;
    case TRIVET_DTYPE_I32:
    case TRIVET_DTYPE_I8:
    case TRIVET_DTYPE_U8:
    case TRIVET_DTYPE_I16:
    case TRIVET_DTYPE_U16:
    case TRIVET_DTYPE_I4:
    case TRIVET_DTYPE_U4:
    case TRIVET_DTYPE_I2:
    case TRIVET_DTYPE_U2:
    case TRIVET_DTYPE_BOOL:
      return TVI_TILE_I32;
    case TRIVET_DTYPE_U32:
      return TVI_TILE_U32;
    case TRIVET_DTYPE_I64:
      return TVI_TILE_I64;
    case TRIVET_DTYPE_U64:
      return TVI_TILE_U64;
    case TRIVET_DTYPE_F32:
    case TRIVET_DTYPE_F16:
    case TRIVET_DTYPE_BF16:
    case TRIVET_DTYPE_F8E4M3FN:
    case TRIVET_DTYPE_F8E4M3FNUZ:
    case TRIVET_DTYPE_F8E5M2:
    case TRIVET_DTYPE_F8E5M2FNUZ:
    case TRIVET_DTYPE_F8E8M0:
    case TRIVET_DTYPE_F4E2M1:
      return TVI_TILE_F32;
    default:
      return 0;
  }
}

uint32_t tvi_tile_result_type(const tvi_tile_instr_t* instr) {
  uint32_t signature = 0;
  tvi_tile_opcode_info(instr->opcode, &signature);
  return signature == TVI_TILE_SIG_COMPARE || signature == TVI_TILE_SIG_TEST ? TVI_TILE_I32
                                                                             : instr->type;
}

// ---------------------------------------------------------------------------------------------
// Verification
// ---------------------------------------------------------------------------------------------

#define REFUSE(...) return TRIVET_STATUS(DATA_LOSS, "tile program: " __VA_ARGS__)
#define REQUIRE(condition, ...)            \
  do {                                     \
    if (!(condition)) REFUSE(__VA_ARGS__); \
  } while (0)

typedef struct body_context_t {
  const tvi_tile_program_t* program;
  const tvi_tile_phase_t* phase;  // NULL: a join body
  uint32_t section;
  const tvi_tile_instr_t* instrs;
  uint32_t count;
  const uint8_t* arg_types;  // join bodies: type of each operand
  uint32_t arg_count;
} body_context_t;

static bool is_float(uint32_t type) { return type == TVI_TILE_F32 || type == TVI_TILE_F64; }

static bool is_small_float_dtype(uint32_t dtype) {
  return tvi_tile_type_of_dtype(dtype) == TVI_TILE_F32 && dtype != TRIVET_DTYPE_F32;
}

static trivet_status_t verify_access(const body_context_t* context, const tvi_tile_access_t* access,
                                     uint32_t limit, bool is_sink) {
  const tvi_tile_program_t* program = context->program;
  REQUIRE(access->slot < program->slot_count, "access to slot %u of %u", access->slot,
          program->slot_count);
  const tvi_tile_slot_t* slot = &program->slots[access->slot];
  REQUIRE(access->rank == slot->rank, "access of rank %u to slot %u of rank %u", access->rank,
          access->slot, slot->rank);
  REQUIRE(access->bounds <= TVI_TILE_BOUNDS_PAD, "bounds rule %u", access->bounds);
  if (slot->kind == TVI_TILE_SLOT_KEPT) {
    REQUIRE(slot->section == context->section, "kept slot %u used in another section",
            access->slot);
  }
  if (is_sink) {
    REQUIRE(slot->kind != TVI_TILE_SLOT_INPUT, "store to input slot %u", access->slot);
    REQUIRE(access->bounds == TVI_TILE_BOUNDS_PROVEN, "store with a bounds rule");
  }
  uint32_t type = tvi_tile_type_of_dtype(slot->dtype);
  if (access->bounds == TVI_TILE_BOUNDS_PAD) {
    REQUIRE(access->pad < limit, "pad refers to instruction %u", access->pad);
    REQUIRE(tvi_tile_result_type(&context->instrs[access->pad]) == type, "type of a pad");
  }
  for (uint32_t d = 0; d < access->rank; ++d) {
    const tvi_tile_index_t* index = &access->indices[d];
    REQUIRE(index->is_register <= 1 && index->wrap <= TVI_TILE_WRAP_CLIP, "index kind");
    if (index->is_register) {
      REQUIRE(!is_sink, "store at an index that is read");
      REQUIRE(index->ref < limit, "index refers to instruction %u", index->ref);
      REQUIRE(tvi_tile_result_type(&context->instrs[index->ref]) == TVI_TILE_I64,
              "index is not I64");
    } else {
      REQUIRE(index->wrap == TVI_TILE_WRAP_NONE, "wrap of an affine index");
      REQUIRE(index->ref < context->phase->affine_count, "affine form %u", index->ref);
      const tvi_tile_affine_t* affine =
          &program->affines[context->phase->affine_first + index->ref];
      uint32_t parallel = context->phase->loop_count - context->phase->reduced_count;
      for (uint32_t t = 0; is_sink && t < affine->term_count; ++t)
        REQUIRE(affine->loops[t] < parallel, "store at a reduced index");
    }
    if (slot->kind == TVI_TILE_SLOT_KEPT && slot->outer[d] != TVI_TILE_NONE) {
      REQUIRE(!index->is_register, "kept slot %u read at an outer index that is read",
              access->slot);
      const tvi_tile_affine_t* affine =
          &program->affines[context->phase->affine_first + index->ref];
      // The value 1 of the coefficient is checked when parameters are known.
      REQUIRE(affine->term_count == 1 && affine->loops[0] == slot->outer[d] &&
                  affine->offset == TVI_TILE_NONE,
              "kept slot %u not used at its outer point", access->slot);
    } else if (slot->kind == TVI_TILE_SLOT_KEPT && !index->is_register) {
      // Inner dimensions of a kept value do not move with outer loops.
      uint32_t outer_count = program->sections[context->section].outer_count;
      const tvi_tile_affine_t* affine =
          &program->affines[context->phase->affine_first + index->ref];
      for (uint32_t t = 0; t < affine->term_count; ++t)
        REQUIRE(affine->loops[t] >= outer_count, "kept slot %u crosses outer points", access->slot);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t verify_instr(const body_context_t* context, uint32_t at) {
  const tvi_tile_instr_t* instr = &context->instrs[at];
  uint32_t signature = 0;
  uint32_t operands = tvi_tile_opcode_info(instr->opcode, &signature);
  REQUIRE(operands != TVI_TILE_NONE, "opcode %u", instr->opcode);
  REQUIRE(instr->type > 0 && instr->type < TVI_TILE_TYPE_COUNT, "register type %u", instr->type);
  uint32_t types[TVI_TILE_MAX_ARGS] = {0};
  for (uint32_t i = 0; i < TVI_TILE_MAX_ARGS; ++i) {
    if (i >= operands) {
      REQUIRE(instr->args[i] == TVI_TILE_NO_ARG, "surplus operand of %s",
              tvi_tile_opcode_name(instr->opcode));
      continue;
    }
    REQUIRE(instr->args[i] < at, "operand %u of %s refers to instruction %u", i,
            tvi_tile_opcode_name(instr->opcode), instr->args[i]);
    types[i] = tvi_tile_result_type(&context->instrs[instr->args[i]]);
  }
  uint32_t type = instr->type;
  bool good = true;
  switch (signature) {
    case TVI_TILE_SIG_CONST:
      break;
    case TVI_TILE_SIG_AFFINE:
      good = context->phase && type == TVI_TILE_I64 && instr->imm < context->phase->affine_count;
      break;
    case TVI_TILE_SIG_LOAD: {
      REQUIRE(context->phase && instr->imm < context->phase->access_count, "load of access %llu",
              (unsigned long long)instr->imm);
      const tvi_tile_access_t* access =
          &context->program->accesses[context->phase->access_first + instr->imm];
      TRIVET_RETURN_IF_ERROR(verify_access(context, access, at, false));
      good = tvi_tile_type_of_dtype(context->program->slots[access->slot].dtype) == type;
      break;
    }
    case TVI_TILE_SIG_ARG:
      good = !context->phase && instr->imm < context->arg_count &&
             context->arg_types[instr->imm] == type;
      break;
    case TVI_TILE_SIG_INT:
      good = !is_float(type);
      for (uint32_t i = 0; i < operands; ++i) good = good && types[i] == type;
      break;
    case TVI_TILE_SIG_FLOAT:
      good = is_float(type);
      for (uint32_t i = 0; i < operands; ++i) good = good && types[i] == type;
      break;
    case TVI_TILE_SIG_MACRO:
      good = type == TVI_TILE_F32;
      for (uint32_t i = 0; i < operands; ++i) good = good && types[i] == type;
      break;
    case TVI_TILE_SIG_SAME:
    case TVI_TILE_SIG_COMPARE:  // the instruction's type is that of the operands
      for (uint32_t i = 0; i < operands; ++i) good = good && types[i] == type;
      break;
    case TVI_TILE_SIG_TEST:
      good = is_float(type) && types[0] == type;
      break;
    case TVI_TILE_SIG_SELECT:
      good = types[0] == TVI_TILE_I32 && types[1] == type && types[2] == type;
      break;
    case TVI_TILE_SIG_CONVERT:
      good = types[0] != type;
      break;
    case TVI_TILE_SIG_NARROW:
      good = type == TVI_TILE_I32 && types[0] == TVI_TILE_I32 &&
             tvi_tile_type_of_dtype(instr->aux) == TVI_TILE_I32 && instr->aux != TRIVET_DTYPE_I32 &&
             instr->aux != TRIVET_DTYPE_BOOL;
      break;
    case TVI_TILE_SIG_ROUND:
      good = type == TVI_TILE_F32 && is_float(types[0]) &&
             is_small_float_dtype(instr->aux & ~TVI_TILE_SATURATES);
      break;
    case TVI_TILE_SIG_BITCAST:
      good = tvi_tile_type_bytes(types[0]) == tvi_tile_type_bytes(type);
      break;
    case TVI_TILE_SIG_ENCODE:
      good = type == TVI_TILE_I32 && types[0] == TVI_TILE_F32 && is_small_float_dtype(instr->aux);
      break;
    case TVI_TILE_SIG_DECODE:
      good = type == TVI_TILE_F32 && types[0] == TVI_TILE_I32 && is_small_float_dtype(instr->aux);
      break;
    default:
      good = false;
  }
  REQUIRE(good, "types of instruction %u, %s", at, tvi_tile_opcode_name(instr->opcode));
  return TRIVET_OK;
}

static bool is_simple_join(uint32_t join) { return join <= TVI_TILE_JOIN_AND; }

static trivet_status_t verify_sink(const body_context_t* context, const tvi_tile_sink_t* sink) {
  const tvi_tile_program_t* program = context->program;
  const tvi_tile_phase_t* phase = context->phase;
  REQUIRE(sink->kind <= TVI_TILE_SINK_SCAN, "sink kind %u", sink->kind);
  REQUIRE(sink->count >= 1 && sink->count <= TVI_TILE_MAX_STATE, "sink of %u values", sink->count);
  uint8_t types[2 * TVI_TILE_MAX_STATE];
  for (uint32_t i = 0; i < sink->count; ++i) {
    REQUIRE(sink->values[i] < phase->instr_count, "sink of instruction %u", sink->values[i]);
    types[i] = (uint8_t)tvi_tile_result_type(&context->instrs[sink->values[i]]);
    types[sink->count + i] = types[i];
    if (sink->accesses[i] == TVI_TILE_NONE) {
      REQUIRE(sink->kind != TVI_TILE_SINK_STORE, "store to nowhere");
      continue;
    }
    REQUIRE(sink->accesses[i] < phase->access_count, "sink access %u", sink->accesses[i]);
    const tvi_tile_access_t* access = &program->accesses[phase->access_first + sink->accesses[i]];
    TRIVET_RETURN_IF_ERROR(verify_access(context, access, 0, true));
    REQUIRE(tvi_tile_type_of_dtype(program->slots[access->slot].dtype) == types[i],
            "type of a stored value");
  }
  switch (sink->kind) {
    case TVI_TILE_SINK_STORE:
      REQUIRE(sink->count == 1, "store of several values");
      REQUIRE(phase->reduced_count == 0, "store in a phase that reduces");
      return TRIVET_OK;
    case TVI_TILE_SINK_SCAN:
      REQUIRE(phase->reduced_count == 0, "scan in a phase that reduces");
      REQUIRE(phase->loop_count > program->sections[context->section].outer_count,
              "scan without a loop");
      REQUIRE(sink->scan_flags <= (TVI_TILE_SCAN_EXCLUSIVE | TVI_TILE_SCAN_REVERSE), "scan flags");
      break;
    default:
      break;
  }
  if (is_simple_join(sink->join)) {
    REQUIRE(sink->count == 1, "join of several values");
    REQUIRE(sink->join < TVI_TILE_JOIN_OR || !is_float(types[0]), "logical join of floats");
    return TRIVET_OK;
  }
  REQUIRE(sink->join <= TVI_TILE_JOIN_LANES, "join %u", sink->join);
  REQUIRE(sink->join_count > 0 && sink->join_first <= program->instr_count &&
              sink->join_count <= program->instr_count - sink->join_first &&
              sink->join_count <= TVI_TILE_MAX_INSTRUCTIONS,
          "join body out of range");
  body_context_t body = {.program = program,
                         .phase = NULL,
                         .section = context->section,
                         .instrs = program->instrs + sink->join_first,
                         .count = sink->join_count,
                         .arg_types = types,
                         .arg_count = 2 * sink->count};
  for (uint32_t i = 0; i < body.count; ++i) TRIVET_RETURN_IF_ERROR(verify_instr(&body, i));
  for (uint32_t i = 0; i < sink->count; ++i) {
    REQUIRE(sink->join_results[i] < body.count, "join result %u", sink->join_results[i]);
    REQUIRE(tvi_tile_result_type(&body.instrs[sink->join_results[i]]) == types[i],
            "type of a join result");
  }
  return TRIVET_OK;
}

static bool range_ok(uint32_t first, uint32_t count, uint32_t total) {
  return first <= total && count <= total - first;
}

static trivet_status_t verify_phase(const tvi_tile_program_t* program, uint32_t section,
                                    const tvi_tile_phase_t* phase) {
  uint32_t outer = program->sections[section].outer_count;
  REQUIRE(phase->loop_count <= TVI_TILE_MAX_LOOPS && phase->loop_count >= outer &&
              phase->reduced_count <= phase->loop_count - outer,
          "loops of a phase");
  for (uint32_t i = 0; i < phase->loop_count; ++i)
    REQUIRE(phase->extents[i] < program->parameter_count, "extent refers to parameter %u",
            phase->extents[i]);
  REQUIRE(range_ok(phase->instr_first, phase->instr_count, program->instr_count) &&
              range_ok(phase->affine_first, phase->affine_count, program->affine_count) &&
              range_ok(phase->access_first, phase->access_count, program->access_count) &&
              range_ok(phase->sink_first, phase->sink_count, program->sink_count),
          "tables of a phase");
  REQUIRE(phase->instr_count <= TVI_TILE_MAX_INSTRUCTIONS, "%u instructions in a body",
          phase->instr_count);
  for (uint32_t i = 0; i < phase->affine_count; ++i) {
    const tvi_tile_affine_t* affine = &program->affines[phase->affine_first + i];
    REQUIRE(affine->offset == TVI_TILE_NONE || affine->offset < program->parameter_count,
            "offset refers to parameter %u", affine->offset);
    REQUIRE(affine->term_count <= phase->loop_count, "affine form with too many terms");
    for (uint32_t t = 0; t < affine->term_count; ++t) {
      REQUIRE(affine->loops[t] < phase->loop_count &&
                  (t == 0 || affine->loops[t] > affine->loops[t - 1]),
              "loop of an affine form");
      REQUIRE(affine->coefficients[t] < program->parameter_count,
              "coefficient refers to parameter %u", affine->coefficients[t]);
    }
  }
  body_context_t context = {.program = program,
                            .phase = phase,
                            .section = section,
                            .instrs = program->instrs + phase->instr_first,
                            .count = phase->instr_count};
  for (uint32_t i = 0; i < phase->instr_count; ++i)
    TRIVET_RETURN_IF_ERROR(verify_instr(&context, i));
  for (uint32_t i = 0; i < phase->sink_count; ++i)
    TRIVET_RETURN_IF_ERROR(verify_sink(&context, &program->sinks[phase->sink_first + i]));
  // One scan fixes the order of the innermost loop: all scans of a phase must agree on it.
  for (uint32_t i = 1; i < phase->sink_count; ++i) {
    const tvi_tile_sink_t* a = &program->sinks[phase->sink_first];
    const tvi_tile_sink_t* b = &program->sinks[phase->sink_first + i];
    REQUIRE((a->kind == TVI_TILE_SINK_SCAN) == (b->kind == TVI_TILE_SINK_SCAN) &&
                (a->kind != TVI_TILE_SINK_SCAN || (a->scan_flags & TVI_TILE_SCAN_REVERSE) ==
                                                      (b->scan_flags & TVI_TILE_SCAN_REVERSE)),
            "scans in a phase that differ");
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_program_verify(const tvi_tile_program_t* program) {
  REQUIRE(program->operand_count <= program->slot_count, "more operands than slots");
  for (uint32_t i = 0; i < program->slot_count; ++i) {
    const tvi_tile_slot_t* slot = &program->slots[i];
    bool is_operand = i < program->operand_count;
    REQUIRE(slot->kind <= TVI_TILE_SLOT_KEPT && is_operand == (slot->kind <= TVI_TILE_SLOT_OUTPUT),
            "kind of slot %u", i);
    REQUIRE(tvi_tile_type_of_dtype(slot->dtype) != 0, "slot %u has element type %u", i,
            slot->dtype);
    REQUIRE(slot->rank <= TRIVET_MAX_RANK, "slot %u has rank %u", i, slot->rank);
    if (is_operand) continue;
    REQUIRE(tvi_dtype_bytes(slot->dtype) != 0, "temporary %u has packed elements", i);
    for (uint32_t d = 0; d < slot->rank; ++d)
      REQUIRE(slot->dims[d] < program->parameter_count, "extent refers to parameter %u",
              slot->dims[d]);
    if (slot->kind != TVI_TILE_SLOT_KEPT) continue;
    REQUIRE(slot->section < program->section_count, "slot %u kept in section %u", i, slot->section);
    uint32_t outer_count = program->sections[slot->section].outer_count;
    uint32_t seen = 0;
    REQUIRE(outer_count <= TVI_TILE_MAX_LOOPS, "outer loops");
    for (uint32_t d = 0; d < slot->rank; ++d) {
      if (slot->outer[d] == TVI_TILE_NONE) continue;
      REQUIRE(slot->outer[d] < outer_count && !(seen >> slot->outer[d] & 1u),
              "outer loop of slot %u", i);
      seen |= 1u << slot->outer[d];
    }
    REQUIRE(seen == (1u << outer_count) - 1u, "kept slot %u lacks an outer loop", i);
  }
  REQUIRE(program->phase_count <= 65536, "%u phases", program->phase_count);
  for (uint32_t s = 0; s < program->section_count; ++s) {
    const tvi_tile_section_t* section = &program->sections[s];
    REQUIRE(section->outer_count <= TVI_TILE_MAX_LOOPS, "outer loops");
    REQUIRE(section->phase_count >= 1 &&
                range_ok(section->phase_first, section->phase_count, program->phase_count),
            "phases of a section");
    const tvi_tile_phase_t* first = &program->phases[section->phase_first];
    for (uint32_t p = 0; p < section->phase_count; ++p) {
      const tvi_tile_phase_t* phase = first + p;
      TRIVET_RETURN_IF_ERROR(verify_phase(program, s, phase));
      for (uint32_t i = 0; i < section->outer_count; ++i)
        REQUIRE(phase->extents[i] == first->extents[i], "phases differ in an outer loop");
    }
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Decoding
// ---------------------------------------------------------------------------------------------

#define READ_U32(out) TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &(out)))

static trivet_status_t read_tables(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                   tvi_tile_program_t* program) {
  for (uint32_t i = 0; i < program->slot_count; ++i) {
    tvi_tile_slot_t* slot = &program->slots[i];
    READ_U32(slot->kind);
    READ_U32(slot->dtype);
    READ_U32(slot->rank);
    READ_U32(slot->section);
    REQUIRE(slot->rank <= TRIVET_MAX_RANK, "slot %u has rank %u", i, slot->rank);
    for (uint32_t d = 0; slot->kind >= TVI_TILE_SLOT_STORED && d < slot->rank; ++d) {
      READ_U32(slot->dims[d]);
      READ_U32(slot->outer[d]);
    }
  }
  for (uint32_t i = 0; i < program->section_count; ++i) {
    READ_U32(program->sections[i].outer_count);
    READ_U32(program->sections[i].phase_first);
    READ_U32(program->sections[i].phase_count);
  }
  for (uint32_t i = 0; i < program->phase_count; ++i) {
    tvi_tile_phase_t* phase = &program->phases[i];
    READ_U32(phase->loop_count);
    READ_U32(phase->reduced_count);
    REQUIRE(phase->loop_count <= TVI_TILE_MAX_LOOPS, "phase of %u loops", phase->loop_count);
    for (uint32_t l = 0; l < phase->loop_count; ++l) READ_U32(phase->extents[l]);
    READ_U32(phase->instr_first);
    READ_U32(phase->instr_count);
    READ_U32(phase->affine_first);
    READ_U32(phase->affine_count);
    READ_U32(phase->access_first);
    READ_U32(phase->access_count);
    READ_U32(phase->sink_first);
    READ_U32(phase->sink_count);
  }
  for (uint32_t i = 0; i < program->instr_count; ++i) {
    tvi_tile_instr_t* instr = &program->instrs[i];
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(reader, &instr->opcode));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(reader, &instr->type));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(reader, &instr->aux));
    for (uint32_t a = 0; a < TVI_TILE_MAX_ARGS; ++a)
      TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(reader, &instr->args[a]));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(reader, &instr->reserved));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &instr->imm));
    REQUIRE(instr->reserved == 0, "reserved bits are set");
  }
  for (uint32_t i = 0; i < program->affine_count; ++i) {
    tvi_tile_affine_t* affine = &program->affines[i];
    READ_U32(affine->offset);
    READ_U32(affine->term_count);
    REQUIRE(affine->term_count <= TVI_TILE_MAX_LOOPS, "affine form with too many terms");
    for (uint32_t t = 0; t < affine->term_count; ++t) {
      READ_U32(affine->loops[t]);
      READ_U32(affine->coefficients[t]);
    }
  }
  for (uint32_t i = 0; i < program->access_count; ++i) {
    tvi_tile_access_t* access = &program->accesses[i];
    READ_U32(access->slot);
    READ_U32(access->bounds);
    READ_U32(access->pad);
    READ_U32(access->rank);
    REQUIRE(access->rank <= TRIVET_MAX_RANK, "access of rank %u", access->rank);
    for (uint32_t d = 0; d < access->rank; ++d) {
      READ_U32(access->indices[d].is_register);
      READ_U32(access->indices[d].ref);
      READ_U32(access->indices[d].wrap);
    }
  }
  for (uint32_t i = 0; i < program->sink_count; ++i) {
    tvi_tile_sink_t* sink = &program->sinks[i];
    READ_U32(sink->kind);
    READ_U32(sink->count);
    READ_U32(sink->join);
    READ_U32(sink->scan_flags);
    READ_U32(sink->join_first);
    READ_U32(sink->join_count);
    REQUIRE(sink->count <= TVI_TILE_MAX_STATE, "sink of %u values", sink->count);
    for (uint32_t v = 0; v < sink->count; ++v) {
      READ_U32(sink->values[v]);
      READ_U32(sink->accesses[v]);
      READ_U32(sink->join_results[v]);
      TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &sink->identity[v]));
    }
  }
  (void)arena;
  return TRIVET_OK;
}

#define READ_COUNT(field, record_size) \
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(&reader, record_size, &program->field))
#define MAKE_TABLE(table, count)                                             \
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, program->count, \
                                                      sizeof(*program->table), &program->table))

trivet_status_t tvi_tile_program_decode(const uint8_t* bytes, uint64_t size, tvi_arena_t* arena,
                                        tvi_tile_program_t** out_program) {
  tvi_byte_reader_t reader = tvi_byte_reader_make(bytes, size, "tile program");
  uint32_t magic = 0, version = 0;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &magic));
  REQUIRE(magic == TVI_TILE_MAGIC, "it does not begin with its mark");
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &version));
  if (version != TVI_TILE_VERSION)
    return TRIVET_STATUS(INCOMPATIBLE, "tile program of version %u, this library runs version %u",
                         version, TVI_TILE_VERSION);
  tvi_tile_program_t* program = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*program), &program));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &program->parameter_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &program->operand_count));
  REQUIRE(program->parameter_count <= TVI_TILE_MAX_PARAMETERS, "%u parameters",
          program->parameter_count);
  // Smallest records: no count can size an allocation that the bytes do not pay for.
  READ_COUNT(slot_count, 16);
  READ_COUNT(section_count, 12);
  READ_COUNT(phase_count, 40);
  READ_COUNT(instr_count, 24);
  READ_COUNT(affine_count, 8);
  READ_COUNT(access_count, 16);
  READ_COUNT(sink_count, 24);
  REQUIRE(program->slot_count <= TVI_TILE_MAX_SLOTS, "%u slots", program->slot_count);
  MAKE_TABLE(slots, slot_count);
  MAKE_TABLE(sections, section_count);
  MAKE_TABLE(phases, phase_count);
  MAKE_TABLE(instrs, instr_count);
  MAKE_TABLE(affines, affine_count);
  MAKE_TABLE(accesses, access_count);
  MAKE_TABLE(sinks, sink_count);
  TRIVET_RETURN_IF_ERROR(read_tables(&reader, arena, program));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_expect_end(&reader));
  TRIVET_RETURN_IF_ERROR(tvi_tile_program_verify(program));
  *out_program = program;
  return TRIVET_OK;
}
