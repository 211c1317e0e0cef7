// SPDX-License-Identifier: Apache-2.0
//
// Second half of binding: the body of a phase becomes an array of ready calls. Instructions are
// ordered by the innermost level that they depend on, so that what does not change is not computed
// again; registers are placed in the thread's scratch memory; a load that is already in register
// form is not executed at all: its readers get the address; likewise a store.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/vector.h"
#include "runtime/device/cpu/tile_layout.h"

#define ROW 1u
#define COL 2u

// Where the value of an instruction is.
typedef enum place_kind_t {
  PLACE_NONE = 0,
  PLACE_SCRATCH,
  PLACE_CONSTANT,
  PLACE_MEMORY
} place_kind_t;
typedef struct place_t {
  place_kind_t kind;
  uint32_t shape;    // ROW | COL: along what it varies
  uint32_t bytes;    // of an element
  uint32_t address;  // MEMORY
  uint64_t offset;   // SCRATCH
  const void* constant;
  int64_t row_stride;  // of FULL shapes
} place_t;

typedef struct node_t {
  uint32_t loops;  // bit mask of loops that it depends on
  uint32_t depth;
  uint32_t shape;
  uint32_t position;  // in the order of execution
  uint32_t last_use;  // position; UINT32_MAX: lives to the end
  uint32_t use_count;
  uint32_t alias_sink;  // store whose memory takes the result, TVI_TILE_NONE
  bool is_joined;       // computed by the join that takes it
  place_t place;
} node_t;

typedef struct free_block_t {
  uint64_t offset, size;
} free_block_t;

typedef struct patch_t {
  uint32_t address;
  uint32_t offset;  // in the image
} patch_t;

typedef struct emitter_t {
  tvi_tile_binder_t* binder;
  const tvi_tile_section_layout_t* section;
  tvi_tile_phase_layout_t* layout;
  const tvi_tile_phase_t* phase;
  const tvi_tile_instr_t* instrs;
  const tvi_tile_kernel_table_t* table;
  uint32_t isa;
  uint32_t rows, cols;  // of a full tile
  uint32_t tile_shape;  // ROW, COL that the phase has
  uint32_t col_is_reduced;
  uint32_t level_of_loop[TVI_TILE_LOOPS];
  uint32_t level_count, parallel_levels;
  uint64_t scratch;  // used by registers that live on
  node_t* nodes;
  TVI_VECTOR(tvi_tile_entry_t) entries;
  TVI_VECTOR(tvi_tile_address_t) addresses;
  TVI_VECTOR(tvi_tile_stride_t) strides;
  TVI_VECTOR(patch_t) patches;
  TVI_VECTOR(tvi_tile_relocation_t) relocations;
  TVI_VECTOR(char) extra;  // gather descriptions, after the entries
  // Fields that wait for the image to be laid out: offsets into |extra|.
  TVI_VECTOR(free_block_t) free_blocks;
  uint32_t init_count, body_count;
} emitter_t;

// Offsets of patches and relocations into |extra| carry this mark until the entries are counted.
#define EXTRA_MARK 0x80000000u
#define ENTRY_OFFSET(index, field) \
  ((uint32_t)((index) * sizeof(tvi_tile_entry_t) + offsetof(tvi_tile_entry_t, field)))

// ---------------------------------------------------------------------------------------------
// Scratch
// ---------------------------------------------------------------------------------------------

static uint64_t round_64(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

static trivet_status_t take_scratch(emitter_t* e, uint64_t bytes, uint64_t* out_offset) {
  bytes = round_64(bytes);
  for (size_t i = 0; i < e->free_blocks.count; ++i) {
    if (e->free_blocks.data[i].size != bytes) continue;
    *out_offset = e->free_blocks.data[i].offset;
    tvi_vector_remove_at(&e->free_blocks, i);
    return TRIVET_OK;
  }
  *out_offset = e->scratch;
  e->scratch += bytes;
  if (e->scratch > ((uint64_t)1 << 31))
    return TRIVET_STATUS(OUT_OF_RANGE, "tile program: needs more than 2 GiB of scratch memory");
  return TRIVET_OK;
}

static trivet_status_t give_scratch(emitter_t* e, uint64_t offset, uint64_t bytes) {
  free_block_t block = {offset, round_64(bytes)};
  return tvi_vector_push(&e->free_blocks, block);
}

static uint64_t shape_elements(const emitter_t* e, uint32_t shape) {
  return (uint64_t)(shape & ROW ? e->rows : 1) * (shape & COL ? e->cols : 1);
}

static trivet_status_t place_in_scratch(emitter_t* e, uint32_t shape, uint32_t bytes,
                                        place_t* out) {
  memset(out, 0, sizeof(*out));
  out->kind = PLACE_SCRATCH;
  out->shape = shape;
  out->bytes = bytes;
  out->row_stride = (int64_t)bytes * e->cols;
  return take_scratch(e, shape_elements(e, shape) * bytes, &out->offset);
}

// ---------------------------------------------------------------------------------------------
// Addresses
// ---------------------------------------------------------------------------------------------

// An address that follows |form|; loops of extent 1 have index 0.
static trivet_status_t add_address(emitter_t* e, uint32_t slot, const tvi_tile_form_t* form,
                                   uint32_t* out_address) {
  tvi_tile_address_t address = {
      .slot = slot, .term_first = (uint32_t)e->strides.count, .offset = form ? form->offset : 0};
  for (uint32_t l = 0; form && l < e->phase->loop_count; ++l) {
    if (form->coefficients[l] == 0 || e->layout->extents[l] == 1) continue;
    tvi_tile_stride_t stride = {.loop = l, .stride = form->coefficients[l]};
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&e->strides, stride));
    ++address.term_count;
    if (e->level_of_loop[l] > address.depth) address.depth = e->level_of_loop[l];
  }
  *out_address = (uint32_t)e->addresses.count;
  return tvi_vector_push(&e->addresses, address);
}

static trivet_status_t add_patch(emitter_t* e, uint32_t address, uint32_t offset) {
  patch_t patch = {address, offset};
  return tvi_vector_push(&e->patches, patch);
}

static trivet_status_t add_relocation(emitter_t* e, uint32_t offset, uint32_t kind,
                                      uint64_t value) {
  tvi_tile_relocation_t relocation = {offset, kind, value};
  return tvi_vector_push(&e->relocations, relocation);
}

// ---------------------------------------------------------------------------------------------
// Entries
// ---------------------------------------------------------------------------------------------

static uint32_t shape_code(uint32_t shape) {
  return shape == 0     ? TVI_TILE_SHAPE_ONE
         : shape == ROW ? TVI_TILE_SHAPE_ROWS
         : shape == COL ? TVI_TILE_SHAPE_COLS
                        : TVI_TILE_SHAPE_FULL;
}

static trivet_status_t new_entry(emitter_t* e, tvi_tile_run_t run, uint32_t shape, uint32_t depth,
                                 uint32_t* out_index) {
  if (!run) return TRIVET_STATUS(UNIMPLEMENTED, "tile program: an instruction has no loop");
  tvi_tile_entry_t entry;
  memset(&entry, 0, sizeof(entry));
  entry.run = run;
  entry.shape = (uint8_t)shape_code(shape);
  entry.depth = (uint16_t)depth;
  entry.collapses = entry.shape == TVI_TILE_SHAPE_FULL;
  *out_index = (uint32_t)e->entries.count;
  return tvi_vector_push(&e->entries, entry);
}

// Sets a pointer field of an entry to where a value lies.
static trivet_status_t set_pointer(emitter_t* e, uint32_t entry, uint32_t offset,
                                   const place_t* place, uint64_t displacement) {
  (void)entry;
  switch (place->kind) {
    case PLACE_SCRATCH:
      return add_relocation(e, offset, TVI_TILE_RELOCATE_SCRATCH, place->offset + displacement);
    case PLACE_MEMORY:
      return add_patch(e, place->address, offset);
    case PLACE_CONSTANT: {
      // Written when the image exists: constants do not move.
      return add_relocation(e, offset, 3, (uint64_t)(uintptr_t)place->constant);
    }
    default:
      return TRIVET_STATUS(INTERNAL, "tile program: a value without place");
  }
}

// Binds source |operand| of an entry of shape |shape| to a value.
static trivet_status_t set_source(emitter_t* e, uint32_t index, uint32_t operand, uint32_t shape,
                                  const place_t* place, uint64_t displacement) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  bool is_scalar;
  int64_t stride = 0;
  switch (shape) {
    case ROW | COL:
      is_scalar = !(place->shape & COL);
      if (place->shape == (ROW | COL)) stride = place->row_stride;
      if (place->shape == ROW) stride = place->bytes;
      if (is_scalar ? stride != 0 : stride != (int64_t)place->bytes * e->cols) entry->collapses = 0;
      break;
    case ROW:
      is_scalar = !(place->shape & ROW);
      break;
    case COL:
      is_scalar = !(place->shape & COL);
      break;
    default:
      is_scalar = true;
  }
  entry->args.ss[operand] = stride;
  if (is_scalar) entry->args.scalars |= 1u << operand;
  return set_pointer(e, index, ENTRY_OFFSET(index, args.s[0]) + operand * (uint32_t)sizeof(char*),
                     place, displacement);
}

static trivet_status_t set_destination(emitter_t* e, uint32_t index, uint32_t shape,
                                       const place_t* place) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ds = shape == (ROW | COL) ? place->row_stride : 0;
  if (shape == (ROW | COL) && place->row_stride != (int64_t)place->bytes * e->cols)
    entry->collapses = 0;
  return set_pointer(e, index, ENTRY_OFFSET(index, args.d), place, 0);
}

static trivet_status_t add_constant(emitter_t* e, uint32_t type, uint64_t bits, place_t* out) {
  memset(out, 0, sizeof(*out));
  uint64_t* memory;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(e->binder->arena, sizeof(*memory), &memory));
  *memory = 0;
  if (tvi_tile_type_bytes(type) == 8) {
    memcpy(memory, &bits, 8);
  } else {
    uint32_t low = (uint32_t)bits;
    memcpy(memory, &low, 4);
  }
  out->kind = PLACE_CONSTANT;
  out->bytes = tvi_tile_type_bytes(type);
  out->constant = memory;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Loads and stores
// ---------------------------------------------------------------------------------------------

static bool same_as_register(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F64 || dtype == TRIVET_DTYPE_I32 ||
         dtype == TRIVET_DTYPE_U32 || dtype == TRIVET_DTYPE_I64 || dtype == TRIVET_DTYPE_U64;
}

static uint32_t memory_dtype(const emitter_t* e, uint32_t slot) {
  const tvi_tile_slot_t* s = &e->binder->program->slots[slot];
  if (s->kind != TVI_TILE_SLOT_KEPT) return s->dtype;
  // Kept values stay in register form.
  switch (tvi_tile_type_of_dtype(s->dtype)) {
    case TVI_TILE_F32:
      return TRIVET_DTYPE_F32;
    case TVI_TILE_I32:
      return TRIVET_DTYPE_I32;
    default:
      return s->dtype;
  }
}

static bool is_checked(const tvi_tile_access_layout_t* access) {
  return access->check_count != 0 || access->index_count != 0;
}

// Can the readers of this load read memory themselves?
static bool load_is_alias(const emitter_t* e, uint32_t access_index, uint32_t shape) {
  const tvi_tile_access_layout_t* access = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  const uint32_t dtype = memory_dtype(e, slot);
  if (is_checked(access) || !same_as_register(dtype)) return false;
  const int64_t bytes = tvi_dtype_bytes(dtype);
  if (shape & COL) return access->col_stride == bytes;
  if (shape & ROW) return access->row_stride == bytes;
  return true;
}

// Memory side of a load or store entry. Packed elements: base in the pointer, position in imm.
static trivet_status_t set_memory(emitter_t* e, uint32_t index, uint32_t pointer_offset,
                                  uint32_t slot, const tvi_tile_access_layout_t* access) {
  uint32_t address;
  if (access->element_bytes == 0) {
    TRIVET_RETURN_IF_ERROR(add_address(e, slot, NULL, &address));
    TRIVET_RETURN_IF_ERROR(add_patch(e, address, pointer_offset));
    TRIVET_RETURN_IF_ERROR(add_address(e, TVI_TILE_NONE, &access->form, &address));
    return add_patch(e, address, ENTRY_OFFSET(index, args.imm));
  }
  TRIVET_RETURN_IF_ERROR(add_address(e, slot, &access->form, &address));
  return add_patch(e, address, pointer_offset);
}

static int64_t lane_row(uint32_t shape, int64_t row) { return shape == (ROW | COL) ? row : 0; }
static int64_t lane_col(uint32_t shape, int64_t row, int64_t col) {
  return shape == ROW ? row : shape & COL ? col : 0;
}

static trivet_status_t emit_gather(emitter_t* e, uint32_t node_index, uint32_t access_index,
                                   uint32_t dtype) {
  const node_t* node = &e->nodes[node_index];
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + access_index];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t shape = node->shape;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(new_entry(e, tvi_tile_run_gather, shape, node->depth, &index));
  e->entries.data[index].collapses = 0;
  TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &node->place));
  TRIVET_RETURN_IF_ERROR(
      set_memory(e, index, ENTRY_OFFSET(index, args.s[0]), access->slot, layout));
  tvi_tile_args_t* args = &e->entries.data[index].args;
  args->ss[0] = lane_row(shape, layout->row_stride);
  args->cs = lane_col(shape, layout->row_stride, layout->col_stride);
  args->aux = dtype;
  if (access->bounds == TVI_TILE_BOUNDS_PAD)
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 1, shape, &e->nodes[access->pad].place, 0));
  e->entries.data[index].collapses = 0;
  TRIVET_RETURN_IF_ERROR(
      add_relocation(e, ENTRY_OFFSET(index, args.error), TVI_TILE_RELOCATE_ERROR, 0));

  // The description, behind the entries.
  const size_t at = e->extra.count;
  const size_t conditions_at = at + sizeof(tvi_tile_gather_t);
  const size_t indices_at = conditions_at + layout->check_count * sizeof(tvi_tile_condition_t);
  const size_t end = indices_at + layout->index_count * sizeof(tvi_tile_gather_index_t);
  TRIVET_RETURN_IF_ERROR(tvi_vector_resize(&e->extra, end));
  TRIVET_RETURN_IF_ERROR(
      add_relocation(e, ENTRY_OFFSET(index, args.extra), TVI_TILE_RELOCATE_IMAGE, EXTRA_MARK | at));
  tvi_tile_gather_t gather;
  memset(&gather, 0, sizeof(gather));
  gather.table = e->table;
  gather.element_bytes = tvi_dtype_bytes(dtype);
  gather.register_bytes = node->place.bytes;
  gather.condition_count = layout->check_count;
  gather.index_count = layout->index_count;
  gather.is_padded = access->bounds == TVI_TILE_BOUNDS_PAD;
  memcpy(e->extra.data + at, &gather, sizeof(gather));
  TRIVET_RETURN_IF_ERROR(
      add_relocation(e, EXTRA_MARK | (uint32_t)(at + offsetof(tvi_tile_gather_t, conditions)),
                     TVI_TILE_RELOCATE_IMAGE, EXTRA_MARK | conditions_at));
  TRIVET_RETURN_IF_ERROR(
      add_relocation(e, EXTRA_MARK | (uint32_t)(at + offsetof(tvi_tile_gather_t, indices)),
                     TVI_TILE_RELOCATE_IMAGE, EXTRA_MARK | indices_at));
  const uint32_t row_loop = e->section->row_loop, col_loop = e->layout->col_loop;
  for (uint32_t i = 0; i < layout->check_count; ++i) {
    const tvi_tile_check_t* check = &layout->checks[i];
    const int64_t row = row_loop == TVI_TILE_NONE ? 0 : check->form.coefficients[row_loop];
    const int64_t col = col_loop == TVI_TILE_NONE ? 0 : check->form.coefficients[col_loop];
    tvi_tile_condition_t condition = {
        .row = lane_row(shape, row), .column = lane_col(shape, row, col), .extent = check->extent};
    const size_t condition_at = conditions_at + i * sizeof(condition);
    memcpy(e->extra.data + condition_at, &condition, sizeof(condition));
    uint32_t address;
    TRIVET_RETURN_IF_ERROR(add_address(e, TVI_TILE_NONE, &check->form, &address));
    TRIVET_RETURN_IF_ERROR(add_patch(
        e, address, EXTRA_MARK | (uint32_t)(condition_at + offsetof(tvi_tile_condition_t, value))));
  }
  for (uint32_t i = 0; i < layout->index_count; ++i) {
    const uint32_t d = layout->indices[i];
    const place_t* place = &e->nodes[access->indices[d].ref].place;
    int64_t row = place->shape == (ROW | COL) ? place->row_stride : place->shape == ROW ? 8 : 0;
    int64_t col = place->shape & COL ? 8 : 0;
    if (shape == ROW) {
      col = row;
      row = 0;
    }
    tvi_tile_gather_index_t entry = {.row = row,
                                     .column = col,
                                     .stride = layout->strides[d],
                                     .extent = layout->dims[d],
                                     .wrap = access->indices[d].wrap};
    const size_t entry_at = indices_at + i * sizeof(entry);
    memcpy(e->extra.data + entry_at, &entry, sizeof(entry));
    TRIVET_RETURN_IF_ERROR(set_pointer(
        e, index, EXTRA_MARK | (uint32_t)(entry_at + offsetof(tvi_tile_gather_index_t, data)),
        place, 0));
  }
  return TRIVET_OK;
}

static trivet_status_t emit_load(emitter_t* e, uint32_t node_index, uint32_t access_index) {
  const node_t* node = &e->nodes[node_index];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  const uint32_t dtype = memory_dtype(e, slot);
  if (is_checked(layout)) return emit_gather(e, node_index, access_index, dtype);
  const uint32_t shape = node->shape;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(new_entry(e, tvi_tile_run_load, shape, node->depth, &index));
  TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &node->place));
  TRIVET_RETURN_IF_ERROR(set_memory(e, index, ENTRY_OFFSET(index, args.s[0]), slot, layout));
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ss[0] = lane_row(shape, layout->row_stride);
  entry->args.cs = lane_col(shape, layout->row_stride, layout->col_stride);
  entry->args.aux = dtype;
  entry->args.extra = e->table;
  if (entry->args.ss[0] != entry->args.cs * (int64_t)e->cols) entry->collapses = 0;
  return TRIVET_OK;
}

// Stores a value along |shape|.
static trivet_status_t emit_store(emitter_t* e, const place_t* value, uint32_t access_index,
                                  uint32_t shape, uint32_t depth) {
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(new_entry(e, tvi_tile_run_store, shape, depth, &index));
  TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, shape, value, 0));
  TRIVET_RETURN_IF_ERROR(set_memory(e, index, ENTRY_OFFSET(index, args.d), slot, layout));
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ds = lane_row(shape, layout->row_stride);
  entry->args.cs = lane_col(shape, layout->row_stride, layout->col_stride);
  entry->args.aux = memory_dtype(e, slot);
  entry->args.extra = e->table;
  if (entry->args.ds != entry->args.cs * (int64_t)e->cols) entry->collapses = 0;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Analysis of a body
// ---------------------------------------------------------------------------------------------

static uint32_t form_loops(const emitter_t* e, const tvi_tile_form_t* form) {
  uint32_t mask = 0;
  for (uint32_t l = 0; l < e->phase->loop_count; ++l)
    if (form->coefficients[l] != 0 && e->layout->extents[l] != 1) mask |= 1u << l;
  return mask;
}

static uint32_t outer_loops(const emitter_t* e) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < e->section->outer_count; ++i) mask |= 1u << e->section->outer[i];
  return mask;
}

static uint32_t access_loops(const emitter_t* e, uint32_t access_index) {
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + access_index];
  uint32_t mask = form_loops(e, &layout->form);
  if (layout->is_kept) mask |= outer_loops(e);
  for (uint32_t i = 0; i < layout->check_count; ++i) mask |= form_loops(e, &layout->checks[i].form);
  for (uint32_t i = 0; i < layout->index_count; ++i)
    mask |= e->nodes[access->indices[layout->indices[i]].ref].loops;
  if (access->bounds == TVI_TILE_BOUNDS_PAD && is_checked(layout))
    mask |= e->nodes[access->pad].loops;
  return mask;
}

typedef void (*use_visitor_t)(emitter_t* e, uint32_t user, uint32_t used);

static void visit_uses(emitter_t* e, uint32_t i, use_visitor_t visit) {
  const tvi_tile_instr_t* instr = &e->instrs[i];
  uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
  for (uint32_t a = 0; a < operands; ++a) visit(e, i, instr->args[a]);
  if (instr->opcode != TVI_TILE_OP_LOAD) return;
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + instr->imm];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[instr->imm];
  for (uint32_t x = 0; x < layout->index_count; ++x)
    visit(e, i, access->indices[layout->indices[x]].ref);
  if (access->bounds == TVI_TILE_BOUNDS_PAD && is_checked(layout)) visit(e, i, access->pad);
}

static void note_use(emitter_t* e, uint32_t user, uint32_t used) {
  node_t* node = &e->nodes[used];
  ++node->use_count;
  if (e->nodes[user].depth != node->depth) {
    node->last_use = UINT32_MAX;
  } else if (node->last_use != UINT32_MAX && node->last_use < e->nodes[user].position) {
    node->last_use = e->nodes[user].position;
  }
}

static void note_needed(emitter_t* e, uint32_t user, uint32_t used) {
  (void)user;
  e->nodes[used].use_count = 1;
}

// Which instructions are needed, what they depend on, in what order they run.
static trivet_status_t analyse(emitter_t* e, uint32_t* order, uint32_t* out_count) {
  const uint32_t count = e->phase->instr_count;
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  for (uint32_t s = 0; s < e->phase->sink_count; ++s)
    for (uint32_t v = 0; v < sinks[s].count; ++v) e->nodes[sinks[s].values[v]].use_count = 1;
  for (uint32_t i = count; i-- > 0;)
    if (e->nodes[i].use_count) visit_uses(e, i, note_needed);
  for (uint32_t i = 0; i < count; ++i) {
    node_t* node = &e->nodes[i];
    node->alias_sink = TVI_TILE_NONE;
    if (!node->use_count) continue;
    const tvi_tile_instr_t* instr = &e->instrs[i];
    if (instr->opcode == TVI_TILE_OP_AFFINE) {
      node->loops = form_loops(e, &e->layout->affines[instr->imm]);
    } else if (instr->opcode == TVI_TILE_OP_LOAD) {
      node->loops = access_loops(e, (uint32_t)instr->imm);
    }
    uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    for (uint32_t a = 0; a < operands; ++a) node->loops |= e->nodes[instr->args[a]].loops;
    for (uint32_t l = 0; l < e->phase->loop_count; ++l)
      if (node->loops >> l & 1u && e->level_of_loop[l] > node->depth)
        node->depth = e->level_of_loop[l];
    if (e->section->row_loop != TVI_TILE_NONE && node->loops >> e->section->row_loop & 1u)
      node->shape |= ROW;
    if (e->layout->col_loop != TVI_TILE_NONE && node->loops >> e->layout->col_loop & 1u)
      node->shape |= COL;
  }
  uint32_t filled = 0;
  for (uint32_t depth = 0; depth <= e->level_count; ++depth)
    for (uint32_t i = 0; i < count; ++i)
      if (e->nodes[i].use_count && e->nodes[i].depth == depth) {
        e->nodes[i].position = filled;
        order[filled++] = i;
      }
  for (uint32_t i = 0; i < count; ++i) {
    if (!e->nodes[i].use_count) continue;
    e->nodes[i].use_count = 0;
  }
  for (uint32_t i = 0; i < filled; ++i) visit_uses(e, order[i], note_use);
  for (uint32_t s = 0; s < e->phase->sink_count; ++s)
    for (uint32_t v = 0; v < sinks[s].count; ++v) {
      e->nodes[sinks[s].values[v]].last_use = UINT32_MAX;
      ++e->nodes[sinks[s].values[v]].use_count;
    }
  *out_count = filled;
  return TRIVET_OK;
}

// A store whose memory may receive the result of its instruction directly.
static void choose_store_aliases(emitter_t* e) {
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  for (uint32_t s = 0; s < e->phase->sink_count; ++s) {
    const tvi_tile_sink_t* sink = &sinks[s];
    if (sink->kind != TVI_TILE_SINK_STORE) continue;
    node_t* node = &e->nodes[sink->values[0]];
    const uint32_t opcode = e->instrs[sink->values[0]].opcode;
    const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
    const uint32_t dtype = memory_dtype(
        e, e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot);
    if (opcode == TVI_TILE_OP_CONST || !same_as_register(dtype) ||
        node->alias_sink != TVI_TILE_NONE)
      continue;
    if (opcode == TVI_TILE_OP_LOAD &&
        load_is_alias(e, (uint32_t)e->instrs[sink->values[0]].imm, node->shape))
      continue;
    if (node->shape != e->tile_shape || node->depth != e->level_count) continue;
    const int64_t bytes = tvi_dtype_bytes(dtype);
    if (node->shape & COL   ? access->col_stride != bytes
        : node->shape & ROW ? access->row_stride != bytes
                            : 0)
      continue;
    node->alias_sink = s;
  }
}

// ---------------------------------------------------------------------------------------------
// Body
// ---------------------------------------------------------------------------------------------

static trivet_status_t release_operand(emitter_t* e, uint32_t used, uint32_t position) {
  node_t* node = &e->nodes[used];
  if (node->place.kind != PLACE_SCRATCH || node->last_use != position) return TRIVET_OK;
  node->last_use = UINT32_MAX;  // once
  return give_scratch(e, node->place.offset,
                      shape_elements(e, node->place.shape) * node->place.bytes);
}

static trivet_status_t place_result(emitter_t* e, uint32_t i) {
  node_t* node = &e->nodes[i];
  const uint32_t bytes = tvi_tile_type_bytes(tvi_tile_result_type(&e->instrs[i]));
  if (node->alias_sink == TVI_TILE_NONE)
    return place_in_scratch(e, node->shape, bytes, &node->place);
  const tvi_tile_sink_t* sink = &e->binder->program->sinks[e->phase->sink_first + node->alias_sink];
  const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
  memset(&node->place, 0, sizeof(node->place));
  node->place.kind = PLACE_MEMORY;
  node->place.shape = node->shape;
  node->place.bytes = bytes;
  node->place.row_stride = access->row_stride;
  return add_address(e,
                     e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot,
                     &access->form, &node->place.address);
}

static trivet_status_t emit_instr(emitter_t* e, uint32_t i) {
  node_t* node = &e->nodes[i];
  const tvi_tile_instr_t* instr = &e->instrs[i];
  const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
  uint32_t index;
  switch (instr->opcode) {
    case TVI_TILE_OP_CONST:
      return add_constant(e, instr->type, instr->imm, &node->place);
    case TVI_TILE_OP_AFFINE: {
      const tvi_tile_form_t* form = &e->layout->affines[instr->imm];
      const uint32_t row_loop = e->section->row_loop, col_loop = e->layout->col_loop;
      const int64_t row = row_loop == TVI_TILE_NONE ? 0 : form->coefficients[row_loop];
      const int64_t col = col_loop == TVI_TILE_NONE ? 0 : form->coefficients[col_loop];
      TRIVET_RETURN_IF_ERROR(place_result(e, i));
      TRIVET_RETURN_IF_ERROR(new_entry(e, tvi_tile_run_affine, node->shape, node->depth, &index));
      TRIVET_RETURN_IF_ERROR(set_destination(e, index, node->shape, &node->place));
      tvi_tile_entry_t* entry = &e->entries.data[index];
      entry->args.ss[0] = lane_row(node->shape, row);
      entry->args.cs = lane_col(node->shape, row, col);
      entry->collapses = 0;
      uint32_t address;
      TRIVET_RETURN_IF_ERROR(add_address(e, TVI_TILE_NONE, form, &address));
      return add_patch(e, address, ENTRY_OFFSET(index, args.imm));
    }
    case TVI_TILE_OP_LOAD: {
      const uint32_t access_index = (uint32_t)instr->imm;
      if (load_is_alias(e, access_index, node->shape)) {
        const tvi_tile_access_layout_t* access = &e->layout->accesses[access_index];
        memset(&node->place, 0, sizeof(node->place));
        node->place.kind = PLACE_MEMORY;
        node->place.shape = node->shape;
        node->place.bytes = tvi_tile_type_bytes(instr->type);
        node->place.row_stride = access->row_stride;
        return add_address(e,
                           e->binder->program->accesses[e->phase->access_first + access_index].slot,
                           &access->form, &node->place.address);
      }
      TRIVET_RETURN_IF_ERROR(place_result(e, i));
      return emit_load(e, i, access_index);
    }
    default:
      break;
  }
  const uint32_t source_type = tvi_tile_result_type(&e->instrs[instr->args[0]]);
  // The result may take the place of an operand that ends here: calls read before they write.
  // An operand of another shape must not be overwritten while rows are left.
  for (uint32_t a = 0; a < operands; ++a) {
    const node_t* used = &e->nodes[instr->args[a]];
    if (used->place.shape == node->shape &&
        used->place.bytes == tvi_tile_type_bytes(tvi_tile_result_type(instr)))
      TRIVET_RETURN_IF_ERROR(release_operand(e, instr->args[a], node->position));
  }
  TRIVET_RETURN_IF_ERROR(place_result(e, i));
  TRIVET_RETURN_IF_ERROR(
      new_entry(e, tvi_tile_kernel_find(e->isa, instr->opcode, instr->type, source_type),
                node->shape, node->depth, &index));
  e->entries.data[index].args.aux = instr->aux;
  TRIVET_RETURN_IF_ERROR(set_destination(e, index, node->shape, &node->place));
  for (uint32_t a = 0; a < operands; ++a)
    TRIVET_RETURN_IF_ERROR(
        set_source(e, index, a, node->shape, &e->nodes[instr->args[a]].place, 0));
  for (uint32_t a = 0; a < operands; ++a)
    TRIVET_RETURN_IF_ERROR(release_operand(e, instr->args[a], node->position));
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Joins
// ---------------------------------------------------------------------------------------------

typedef struct join_t {
  const tvi_tile_sink_t* sink;
  uint32_t types[TVI_TILE_MAX_STATE];
  place_t states[TVI_TILE_MAX_STATE];
  bool by_row;     // one f32 per row, reduced by one call
  bool in_memory;  // the state lies where the result goes
  uint32_t width;  // columns of the state; a power of two where columns are reduced
} join_t;

static uint32_t join_opcode(uint32_t join) {
  switch (join) {
    case TVI_TILE_JOIN_SUM:
      return TVI_TILE_OP_ADD;
    case TVI_TILE_JOIN_PROD:
      return TVI_TILE_OP_MUL;
    case TVI_TILE_JOIN_MIN:
      return TVI_TILE_OP_MIN;
    case TVI_TILE_JOIN_MAX:
      return TVI_TILE_OP_MAX;
    case TVI_TILE_JOIN_OR:
      return TVI_TILE_OP_OR;
    default:
      return TVI_TILE_OP_AND;
  }
}

static void fix_columns(emitter_t* e, uint32_t index, uint32_t cols) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  if (cols == 0) return;
  entry->shape = TVI_TILE_SHAPE_FIXED;
  entry->collapses = 0;
  entry->fixed_cols = cols;
}

// One join of the state with |right|, displaced by |displacement| bytes; |cols| not 0: so many
// columns instead of the tile's.
static trivet_status_t emit_join(emitter_t* e, const join_t* join, const place_t* right,
                                 uint64_t displacement_columns, uint32_t cols, uint32_t depth) {
  const tvi_tile_sink_t* sink = join->sink;
  const uint32_t shape = cols ? (ROW | COL) : e->tile_shape;
  uint32_t index;
  if (sink->join < TVI_TILE_JOIN_BODY) {
    TRIVET_RETURN_IF_ERROR(new_entry(
        e, tvi_tile_kernel_find(e->isa, join_opcode(sink->join), join->types[0], join->types[0]),
        shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &join->states[0]));
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, shape, &join->states[0], 0));
    TRIVET_RETURN_IF_ERROR(
        set_source(e, index, 1, shape, &right[0], displacement_columns * right[0].bytes));
    fix_columns(e, index, cols);
    return TRIVET_OK;
  }
  const tvi_tile_instr_t* body = e->binder->program->instrs + sink->join_first;
  place_t* places;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*places), &places));
  bool* is_taken;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*is_taken), &is_taken));
  uint64_t* displacements;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*displacements), &displacements));
  for (uint32_t i = 0; i < sink->join_count; ++i) {
    const tvi_tile_instr_t* instr = &body[i];
    if (instr->opcode == TVI_TILE_OP_CONST) {
      TRIVET_RETURN_IF_ERROR(add_constant(e, instr->type, instr->imm, &places[i]));
      continue;
    }
    if (instr->opcode == TVI_TILE_OP_ARG) {
      const bool is_right = instr->imm >= sink->count;
      places[i] = is_right ? right[instr->imm - sink->count] : join->states[instr->imm];
      if (is_right) displacements[i] = displacement_columns * places[i].bytes;
      continue;
    }
    const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    TRIVET_RETURN_IF_ERROR(place_in_scratch(
        e, e->tile_shape, tvi_tile_type_bytes(tvi_tile_result_type(instr)), &places[i]));
    is_taken[i] = true;
    TRIVET_RETURN_IF_ERROR(
        new_entry(e,
                  tvi_tile_kernel_find(e->isa, instr->opcode, instr->type,
                                       tvi_tile_result_type(&body[instr->args[0]])),
                  shape, depth, &index));
    e->entries.data[index].args.aux = instr->aux;
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &places[i]));
    for (uint32_t a = 0; a < operands; ++a)
      TRIVET_RETURN_IF_ERROR(
          set_source(e, index, a, shape, &places[instr->args[a]], displacements[instr->args[a]]));
    fix_columns(e, index, cols);
  }
  // Results that are operands must survive the first copies: copy through temporaries.
  place_t results[TVI_TILE_MAX_STATE];
  bool is_copied[TVI_TILE_MAX_STATE] = {false};
  for (uint32_t s = 0; s < sink->count; ++s) {
    const uint32_t result = sink->join_results[s];
    results[s] = places[result];
    if (is_taken[result] || results[s].kind == PLACE_CONSTANT) continue;
    place_t copy;
    TRIVET_RETURN_IF_ERROR(place_in_scratch(e, e->tile_shape, results[s].bytes, &copy));
    TRIVET_RETURN_IF_ERROR(
        new_entry(e, tvi_tile_copy_find(e->isa, copy.bytes), shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &copy));
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, shape, &results[s], displacements[result]));
    fix_columns(e, index, cols);
    results[s] = copy;
    is_copied[s] = true;
  }
  for (uint32_t s = 0; s < sink->count; ++s) {
    TRIVET_RETURN_IF_ERROR(
        new_entry(e, tvi_tile_copy_find(e->isa, join->states[s].bytes), shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, &join->states[s]));
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, shape, &results[s], 0));
    fix_columns(e, index, cols);
  }
  for (uint32_t s = 0; s < sink->count; ++s)
    if (is_copied[s])
      TRIVET_RETURN_IF_ERROR(give_scratch(e, results[s].offset,
                                          shape_elements(e, results[s].shape) * results[s].bytes));
  for (uint32_t i = 0; i < sink->join_count; ++i)
    if (is_taken[i])
      TRIVET_RETURN_IF_ERROR(
          give_scratch(e, places[i].offset, shape_elements(e, places[i].shape) * places[i].bytes));
  return TRIVET_OK;
}

// May the state be built up in the memory that takes the result? Not in operands: a caller may let
// outputs lie on inputs, which are read until the last join.
static bool state_goes_to_memory(const emitter_t* e, const tvi_tile_sink_t* sink,
                                 const join_t* join) {
  if (sink->kind != TVI_TILE_SINK_REDUCE || sink->count != 1 ||
      sink->accesses[0] == TVI_TILE_NONE || sink->join >= TVI_TILE_JOIN_BODY ||
      (e->col_is_reduced && !join->by_row))
    return false;
  const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
  const uint32_t slot =
      e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot;
  const uint32_t dtype = memory_dtype(e, slot);
  if (slot < e->binder->program->operand_count || !same_as_register(dtype)) return false;
  const int64_t bytes = tvi_dtype_bytes(dtype);
  const uint32_t shape = join->by_row ? e->tile_shape & ROW : e->tile_shape;
  return shape & COL   ? access->col_stride == bytes
         : shape & ROW ? access->row_stride == bytes
                       : true;
}

// The product or square that a sum takes and nobody else: the join computes it.
static void choose_joined(emitter_t* e, const tvi_tile_sink_t* sink, const join_t* join) {
  if (sink->join != TVI_TILE_JOIN_SUM || join->types[0] != TVI_TILE_F32 ||
      e->layout->is_empty_reduction)
    return;
  node_t* node = &e->nodes[sink->values[0]];
  const tvi_tile_instr_t* instr = &e->instrs[sink->values[0]];
  if (node->use_count != 1 || node->depth != e->level_count) return;
  if (join->by_row) {
    node->is_joined = node->shape & COL && tvi_tile_row_sum_find(e->isa, instr->opcode) != NULL;
  } else if (!e->col_is_reduced) {
    node->is_joined = instr->opcode == TVI_TILE_OP_MUL;
  }
}

static trivet_status_t prepare_join(emitter_t* e, const tvi_tile_sink_t* sink, join_t* join) {
  memset(join, 0, sizeof(*join));
  join->sink = sink;
  join->width = e->cols;
  for (uint32_t v = 0; v < sink->count; ++v)
    join->types[v] = tvi_tile_result_type(&e->instrs[sink->values[v]]);
  if (e->col_is_reduced) {
    join->by_row = sink->join <= TVI_TILE_JOIN_MAX && join->types[0] == TVI_TILE_F32 &&
                   e->nodes[sink->values[0]].shape & COL &&
                   tvi_tile_row_reduce_find(e->isa, sink->join) != NULL &&
                   sink->join != TVI_TILE_JOIN_PROD;
    for (join->width = 1; join->width < e->cols;) join->width *= 2;
  }
  if (state_goes_to_memory(e, sink, join)) {
    join->in_memory = true;
    const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
    place_t* place = &join->states[0];
    memset(place, 0, sizeof(*place));
    place->kind = PLACE_MEMORY;
    place->bytes = tvi_tile_type_bytes(join->types[0]);
    place->shape = join->by_row ? e->tile_shape & ROW : e->tile_shape;
    place->row_stride = access->row_stride;
    return add_address(
        e, e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot,
        &access->form, &place->address);
  }
  for (uint32_t v = 0; v < sink->count; ++v) {
    place_t* place = &join->states[v];
    memset(place, 0, sizeof(*place));
    place->kind = PLACE_SCRATCH;
    place->bytes = tvi_tile_type_bytes(join->types[v]);
    place->shape = join->by_row ? e->tile_shape & ROW : e->tile_shape;
    place->row_stride = (int64_t)join->width * place->bytes;
    const uint64_t rows = place->shape & ROW ? e->rows : 1;
    const uint64_t cols = place->shape & COL ? join->width : 1;
    TRIVET_RETURN_IF_ERROR(take_scratch(e, rows * cols * place->bytes, &place->offset));
  }
  return TRIVET_OK;
}

static trivet_status_t emit_join_init(emitter_t* e, const join_t* join) {
  for (uint32_t v = 0; v < join->sink->count; ++v) {
    place_t identity;
    uint32_t index;
    TRIVET_RETURN_IF_ERROR(add_constant(e, join->types[v], join->sink->identity[v], &identity));
    const place_t* state = &join->states[v];
    const bool is_wide = e->col_is_reduced && !join->by_row;
    const uint32_t shape = is_wide ? (ROW | COL) : state->shape;
    TRIVET_RETURN_IF_ERROR(
        new_entry(e, tvi_tile_copy_find(e->isa, state->bytes), shape, 0, &index));
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, shape, state));
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, shape, &identity, 0));
    fix_columns(e, index, is_wide ? join->width : 0);
  }
  return TRIVET_OK;
}

static trivet_status_t emit_join_step(emitter_t* e, const join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  const node_t* taken = &e->nodes[sink->values[0]];
  const tvi_tile_instr_t* instr = &e->instrs[sink->values[0]];
  if (taken->is_joined && !join->by_row) {
    uint32_t index;
    TRIVET_RETURN_IF_ERROR(
        new_entry(e, tvi_tile_kernel_find(e->isa, TVI_TILE_OP_MULADD, TVI_TILE_F32, TVI_TILE_F32),
                  e->tile_shape, e->level_count, &index));
    TRIVET_RETURN_IF_ERROR(set_destination(e, index, e->tile_shape, &join->states[0]));
    for (uint32_t a = 0; a < 2; ++a)
      TRIVET_RETURN_IF_ERROR(
          set_source(e, index, a, e->tile_shape, &e->nodes[instr->args[a]].place, 0));
    return set_source(e, index, 2, e->tile_shape, &join->states[0], 0);
  }
  if (!join->by_row) {
    place_t right[TVI_TILE_MAX_STATE];
    for (uint32_t v = 0; v < sink->count; ++v) right[v] = e->nodes[sink->values[v]].place;
    return emit_join(e, join, right, 0, 0, e->level_count);
  }
  uint32_t index;
  const tvi_tile_run_t run = taken->is_joined ? tvi_tile_row_sum_find(e->isa, instr->opcode)
                                              : tvi_tile_row_reduce_find(e->isa, sink->join);
  TRIVET_RETURN_IF_ERROR(new_entry(e, run, ROW | COL, e->level_count, &index));
  for (uint32_t a = 0; taken->is_joined && a < 2; ++a)
    TRIVET_RETURN_IF_ERROR(set_source(e, index, a, ROW | COL, &e->nodes[instr->args[a]].place, 0));
  if (!taken->is_joined)
    TRIVET_RETURN_IF_ERROR(set_source(e, index, 0, ROW | COL, &taken->place, 0));
  TRIVET_RETURN_IF_ERROR(set_pointer(e, index, ENTRY_OFFSET(index, args.d), &join->states[0], 0));
  e->entries.data[index].args.ds = join->states[0].bytes;
  e->entries.data[index].collapses = 0;
  return TRIVET_OK;
}

// The state becomes one value per row (columns are reduced) and is stored.
static trivet_status_t emit_join_final(emitter_t* e, join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  uint32_t shape = e->tile_shape;
  if (e->col_is_reduced) {
    shape &= ROW;
    if (!join->by_row) {
      // Lanes that got no point take no part: what a join makes of identities is not known.
      uint32_t filled = e->cols;
      for (uint32_t half = join->width / 2; half > 0; half /= 2) {
        TRIVET_RETURN_IF_ERROR(emit_join(e, join, join->states, half, filled - half, 0));
        filled = half;
      }
      for (uint32_t v = 0; v < sink->count; ++v) {
        place_t packed = join->states[v];
        packed.shape = shape;
        if (shape & ROW) {
          TRIVET_RETURN_IF_ERROR(place_in_scratch(e, ROW, packed.bytes, &packed));
          uint32_t index;
          TRIVET_RETURN_IF_ERROR(new_entry(e, tvi_tile_run_load, ROW, 0, &index));
          TRIVET_RETURN_IF_ERROR(set_destination(e, index, ROW, &packed));
          TRIVET_RETURN_IF_ERROR(
              set_pointer(e, index, ENTRY_OFFSET(index, args.s[0]), &join->states[v], 0));
          tvi_tile_args_t* args = &e->entries.data[index].args;
          args->cs = join->states[v].row_stride;
          args->aux = packed.bytes == 8 ? TRIVET_DTYPE_I64 : TRIVET_DTYPE_I32;
          args->extra = e->table;
        }
        join->states[v] = packed;
      }
    }
  }
  for (uint32_t v = 0; !join->in_memory && v < sink->count; ++v)
    if (sink->accesses[v] != TVI_TILE_NONE)
      TRIVET_RETURN_IF_ERROR(emit_store(e, &join->states[v], sink->accesses[v], shape, 0));
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Image
// ---------------------------------------------------------------------------------------------

static int by_depth(const tvi_tile_entry_t* a, const tvi_tile_entry_t* b) {
  return (int)a->depth - (int)b->depth;
}

static trivet_status_t finish(emitter_t* e, tvi_tile_bound_phase_t* out,
                              tvi_tile_image_t* out_image) {
  tvi_arena_t* arena = e->binder->arena;
  const uint32_t entry_count = (uint32_t)e->entries.count;
  const uint32_t entries_size = (uint32_t)(entry_count * sizeof(tvi_tile_entry_t));
  for (uint32_t i = 1; i < e->body_count; ++i)
    if (by_depth(&e->entries.data[e->init_count + i - 1], &e->entries.data[e->init_count + i]) > 0)
      return TRIVET_STATUS(INTERNAL, "tile program: calls out of order");
  uint32_t depth = 0;
  for (uint32_t i = 0; i <= e->body_count; ++i) {
    const uint32_t until =
        i < e->body_count ? e->entries.data[e->init_count + i].depth : e->level_count + 1;
    while (depth <= until && depth <= e->level_count + 1) out->body_start[depth++] = i;
  }
  // Addresses by depth, each with its patches.
  tvi_tile_address_t* addresses;
  tvi_tile_stride_t* strides;
  uint32_t* patches;
  tvi_tile_relocation_t* relocations;
  char* bytes;
  const uint32_t size = entries_size + (uint32_t)e->extra.count;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->addresses.count, sizeof(*addresses), &addresses));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->strides.count, sizeof(*strides), &strides));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->patches.count, sizeof(*patches), &patches));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, e->relocations.count,
                                                      sizeof(*relocations), &relocations));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, size, &bytes));
  if (e->strides.count) memcpy(strides, e->strides.data, e->strides.count * sizeof(*strides));
  uint32_t filled = 0, patched = 0;
  for (uint32_t level = 0; level <= e->level_count + 1; ++level) {
    out->address_start[level] = filled;
    for (uint32_t i = 0; i < e->addresses.count; ++i) {
      if (e->addresses.data[i].depth != level) continue;
      addresses[filled] = e->addresses.data[i];
      addresses[filled].patch_first = patched;
      for (uint32_t p = 0; p < e->patches.count; ++p) {
        if (e->patches.data[p].address != i) continue;
        uint32_t offset = e->patches.data[p].offset;
        patches[patched++] = offset & EXTRA_MARK ? (offset & ~EXTRA_MARK) + entries_size : offset;
      }
      addresses[filled].patch_count = patched - addresses[filled].patch_first;
      ++filled;
    }
  }
  if (entries_size) memcpy(bytes, e->entries.data, entries_size);
  if (e->extra.count) memcpy(bytes + entries_size, e->extra.data, e->extra.count);
  uint32_t relocation_count = 0;
  for (uint32_t i = 0; i < e->relocations.count; ++i) {
    tvi_tile_relocation_t r = e->relocations.data[i];
    if (r.offset & EXTRA_MARK) r.offset = (r.offset & ~EXTRA_MARK) + entries_size;
    if (r.kind == TVI_TILE_RELOCATE_IMAGE)
      r.value = (r.value & ~(uint64_t)EXTRA_MARK) + entries_size;
    if (r.kind == 3) {
      memcpy(bytes + r.offset, &r.value, sizeof(r.value));
      continue;
    }
    relocations[relocation_count++] = r;
  }
  out->init_count = e->init_count;
  out->body_count = e->body_count;
  out->final_count = entry_count - e->init_count - e->body_count;
  out->addresses = addresses;
  out->address_count = filled;
  out->strides = strides;
  out->patches = patches;
  out->image_size = size;
  out_image->bytes = bytes;
  out_image->size = size;
  out_image->relocations = relocations;
  out_image->relocation_count = relocation_count;
  return TRIVET_OK;
}

static trivet_status_t emit_calls(emitter_t* e) {
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  const uint32_t sink_count = e->phase->sink_count;
  uint32_t* order;
  uint32_t order_count = 0;
  join_t* joins;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(e->binder->temporary, sink_count, sizeof(*joins), &joins));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, e->phase->instr_count,
                                                      sizeof(*order), &order));
  if (!e->layout->is_empty_reduction) {
    TRIVET_RETURN_IF_ERROR(analyse(e, order, &order_count));
    choose_store_aliases(e);
  }
  for (uint32_t s = 0; s < sink_count; ++s) {
    if (sinks[s].kind == TVI_TILE_SINK_STORE) continue;
    TRIVET_RETURN_IF_ERROR(prepare_join(e, &sinks[s], &joins[s]));
    choose_joined(e, &sinks[s], &joins[s]);
    TRIVET_RETURN_IF_ERROR(emit_join_init(e, &joins[s]));
  }
  e->init_count = (uint32_t)e->entries.count;
  for (uint32_t i = 0; i < order_count; ++i)
    if (!e->nodes[order[i]].is_joined) TRIVET_RETURN_IF_ERROR(emit_instr(e, order[i]));
  for (uint32_t s = 0; s < sink_count && !e->layout->is_empty_reduction; ++s) {
    const tvi_tile_sink_t* sink = &sinks[s];
    if (sink->kind == TVI_TILE_SINK_STORE) {
      const node_t* node = &e->nodes[sink->values[0]];
      if (node->alias_sink != s)
        TRIVET_RETURN_IF_ERROR(
            emit_store(e, &node->place, sink->accesses[0], e->tile_shape, e->level_count));
      continue;
    }
    const bool is_scan = sink->kind == TVI_TILE_SINK_SCAN;
    const bool is_exclusive = is_scan && sink->scan_flags & TVI_TILE_SCAN_EXCLUSIVE;
    if (!is_exclusive) TRIVET_RETURN_IF_ERROR(emit_join_step(e, &joins[s]));
    for (uint32_t v = 0; is_scan && v < sink->count; ++v)
      if (sink->accesses[v] != TVI_TILE_NONE)
        TRIVET_RETURN_IF_ERROR(
            emit_store(e, &joins[s].states[v], sink->accesses[v], e->tile_shape, e->level_count));
    if (is_exclusive) TRIVET_RETURN_IF_ERROR(emit_join_step(e, &joins[s]));
  }
  e->body_count = (uint32_t)e->entries.count - e->init_count;
  for (uint32_t s = 0; s < sink_count; ++s)
    if (sinks[s].kind == TVI_TILE_SINK_REDUCE)
      TRIVET_RETURN_IF_ERROR(emit_join_final(e, &joins[s]));
  return TRIVET_OK;
}

// Levels of the phase: own parallel loops, then reduced ones (or that of a scan), the column loop
// last in its group.
static void set_levels(emitter_t* e, tvi_tile_bound_phase_t* out) {
  const tvi_tile_phase_layout_t* layout = e->layout;
  const uint32_t col = layout->col_loop;
  const bool own_col = col != TVI_TILE_NONE && e->section->col_loop == TVI_TILE_NONE;
  const bool cols_in_levels = own_col && layout->extents[col] > (int64_t)layout->cols;
  for (uint32_t group = 0; group < 2; ++group) {
    const uint32_t first = group ? layout->own_parallel : 0;
    const uint32_t last = group ? layout->own_count : layout->own_parallel;
    bool has_col = false;
    for (uint32_t i = first; i < last; ++i) {
      const uint32_t loop = layout->own[i];
      if (own_col && loop == col) {
        has_col = true;
        continue;
      }
      tvi_tile_level_t level = {
          .loop = loop, .step = 1, .count = layout->extents[loop], .extent = layout->extents[loop]};
      if (group && layout->has_scan)
        level.reverse = (e->binder->program->sinks[e->phase->sink_first].scan_flags &
                         TVI_TILE_SCAN_REVERSE) != 0;
      out->levels[e->level_count++] = level;
      e->level_of_loop[loop] = e->level_count;
    }
    if (has_col && group) e->col_is_reduced = 1;
    if (has_col && cols_in_levels) {
      tvi_tile_level_t level = {.loop = col,
                                .step = layout->cols,
                                .extent = layout->extents[col],
                                .count = (layout->extents[col] + layout->cols - 1) / layout->cols};
      out->levels[e->level_count++] = level;
      e->level_of_loop[col] = e->level_count;
      out->col_level = e->level_count;
    }
    if (group == 0) out->parallel_levels = e->level_count;
  }
  out->level_count = e->level_count;
  out->cols = layout->cols;
  out->cols_from_outer = e->section->col_loop != TVI_TILE_NONE;
  out->col_extent = col == TVI_TILE_NONE ? 1 : layout->extents[col];
  out->is_empty_reduction = layout->is_empty_reduction;
  e->parallel_levels = out->parallel_levels;
}

trivet_status_t tvi_tile_emit_phase(tvi_tile_binder_t* binder,
                                    const tvi_tile_section_layout_t* section,
                                    tvi_tile_phase_layout_t* layout,
                                    tvi_tile_bound_phase_t* out_phase, tvi_tile_image_t* out_image,
                                    uint64_t* scratch) {
  emitter_t e;
  memset(&e, 0, sizeof(e));
  e.binder = binder;
  e.section = section;
  e.layout = layout;
  e.phase = layout->phase;
  e.instrs = binder->program->instrs + layout->phase->instr_first;
  e.isa = binder->options->isa;
  e.table = tvi_tile_kernel_table(e.isa);
  e.rows = section->rows;
  e.cols = layout->cols;
  e.tile_shape = (section->row_loop != TVI_TILE_NONE ? ROW : 0) |
                 (layout->col_loop != TVI_TILE_NONE ? COL : 0);
  e.scratch = *scratch;
  const trivet_allocator_t allocator = binder->temporary->allocator;
  tvi_vector_init(&e.entries, allocator);
  tvi_vector_init(&e.addresses, allocator);
  tvi_vector_init(&e.strides, allocator);
  tvi_vector_init(&e.patches, allocator);
  tvi_vector_init(&e.relocations, allocator);
  tvi_vector_init(&e.extra, allocator);
  tvi_vector_init(&e.free_blocks, allocator);
  set_levels(&e, out_phase);
  trivet_status_t status = tvi_arena_alloc_array_zeroed(
      binder->temporary, layout->phase->instr_count, sizeof(*e.nodes), &e.nodes);
  if (!status) status = emit_calls(&e);
  if (!status) status = finish(&e, out_phase, out_image);
  tvi_vector_deinit(&e.entries);
  tvi_vector_deinit(&e.addresses);
  tvi_vector_deinit(&e.strides);
  tvi_vector_deinit(&e.patches);
  tvi_vector_deinit(&e.relocations);
  tvi_vector_deinit(&e.extra);
  tvi_vector_deinit(&e.free_blocks);
  if (!status) *scratch = e.scratch;
  return status;
}
