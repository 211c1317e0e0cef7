// SPDX-License-Identifier: Apache-2.0
//
// First half of binding: every affine index is checked against the extents of its slot (checked
// arithmetic; this is what keeps a hostile program inside its buffers), loops are ordered by stride
// and collapsed where all accesses allow, and each section gets the axes that its tiles run along.

#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_layout.h"

// Elements of a tile: more leave the first-level cache when a program streams.
#define TILE_ELEMENTS 256u
#define TILE_ELEMENTS_8BIT 512u
// Where one pass reads memory and writes memory nothing waits in the cache.
#define TILE_ELEMENTS_ONE_PASS 2048u
// Rows that several phases walk stay in the cache between them; they are wider, and several short
// ones go together.
#define ROW_COLUMNS 1024u
#define ROW_ELEMENTS 512u
#define ROWS_TOGETHER 4u
#define ROWS_ELEMENTS 2048u
// Lanes that are joined by a body in the end: few of them, and rows together, as each halving of
// the lanes costs as many calls as a tile does.
#define FOLD_COLUMNS 64u
#define FOLD_ELEMENTS 1024u
// Rows that walk a reduced loop in its order, one point of all of them at a time.
#define SERIAL_COLUMNS 64u
#define SERIAL_ROWS 64u
// Sides of a tile whose accesses disagree about the contiguous axis.
#define TRANSPOSE_ROWS 16u
#define TRANSPOSE_COLS 64u
// Kept memory of one block of outer points beyond which columns from outer loops do not pay.
#define KEPT_LIMIT (96 * 1024)

static trivet_status_t overflow(void) {
  return TRIVET_STATUS(OUT_OF_RANGE, "tile program: an offset exceeds 64 bits");
}

// ---------------------------------------------------------------------------------------------
// Slots
// ---------------------------------------------------------------------------------------------

trivet_status_t tvi_tile_layout_slots(tvi_tile_binder_t* binder) {
  const tvi_tile_program_t* program = binder->program;
  uint64_t workspace = 0;
  for (uint32_t i = 0; i < program->slot_count; ++i) {
    const tvi_tile_slot_t* slot = &program->slots[i];
    int64_t* dims = binder->slot_dims[i];
    int64_t* strides = binder->slot_strides[i];
    if (i < program->operand_count) {
      const trivet_operand_t* operand = &binder->operands[i];
      if (operand->dtype != slot->dtype || operand->rank != slot->rank)
        return TRIVET_STATUS(
            INVALID_ARGUMENT,
            "tile program: operand %u is %s of rank %u, compiled for %s of rank %u", i,
            tvi_dtype_name(operand->dtype), operand->rank, tvi_dtype_name(slot->dtype), slot->rank);
      for (uint32_t d = 0; d < slot->rank; ++d) {
        if (operand->dims[d] < 0)
          return TRIVET_STATUS(INVALID_ARGUMENT, "tile program: operand %u has a negative extent",
                               i);
        dims[d] = operand->dims[d];
        strides[d] = operand->strides[d];
      }
      continue;
    }
    const bool is_kept = slot->kind == TVI_TILE_SLOT_KEPT;
    int64_t count = 1;
    for (uint32_t d = slot->rank; d-- > 0;) {
      dims[d] = binder->parameters[slot->dims[d]];
      if (dims[d] < 0)
        return TRIVET_STATUS(INVALID_ARGUMENT, "tile program: temporary with a negative extent");
      const bool is_outer = is_kept && slot->outer[d] != TVI_TILE_NONE;
      strides[d] = is_outer ? 0 : count;
      if (!is_outer && !tvi_checked_mul_i64(count, dims[d], &count)) return overflow();
    }
    binder->kept_inner[i] = count;
    if (is_kept) continue;
    uint64_t bytes = 0;
    if (!tvi_checked_mul_u64((uint64_t)count, tvi_dtype_bytes(slot->dtype), &bytes) ||
        !tvi_checked_align_up_u64(bytes, 64, &bytes))
      return overflow();
    binder->bound->slot_offsets[i] = workspace;
    if (!tvi_checked_add_u64(workspace, bytes, &workspace)) return overflow();
  }
  binder->bound->workspace_size = workspace;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Accesses
// ---------------------------------------------------------------------------------------------

static trivet_status_t evaluate_affine(const tvi_tile_binder_t* binder,
                                       const tvi_tile_affine_t* affine, tvi_tile_form_t* form) {
  memset(form, 0, sizeof(*form));
  if (affine->offset != TVI_TILE_NONE) form->offset = binder->parameters[affine->offset];
  for (uint32_t t = 0; t < affine->term_count; ++t)
    form->coefficients[affine->loops[t]] = binder->parameters[affine->coefficients[t]];
  return TRIVET_OK;
}

// Least and greatest value over all points of the loops (all extents at least 1).
static bool form_range(const tvi_tile_form_t* form, const int64_t* extents, uint32_t loops,
                       int64_t* out_min, int64_t* out_max) {
  int64_t low = form->offset, high = form->offset;
  for (uint32_t l = 0; l < loops; ++l) {
    int64_t span;
    if (!tvi_checked_mul_i64(form->coefficients[l], extents[l] - 1, &span)) return false;
    if (span < 0 ? !tvi_checked_add_i64(low, span, &low) : !tvi_checked_add_i64(high, span, &high))
      return false;
  }
  *out_min = low;
  *out_max = high;
  return true;
}

static bool form_add_scaled(tvi_tile_form_t* form, const tvi_tile_form_t* other, int64_t scale) {
  int64_t product;
  if (!tvi_checked_mul_i64(other->offset, scale, &product) ||
      !tvi_checked_add_i64(form->offset, product, &form->offset))
    return false;
  for (uint32_t l = 0; l < TVI_TILE_LOOPS; ++l) {
    if (!tvi_checked_mul_i64(other->coefficients[l], scale, &product) ||
        !tvi_checked_add_i64(form->coefficients[l], product, &form->coefficients[l]))
      return false;
  }
  return true;
}

static trivet_status_t layout_access(tvi_tile_binder_t* binder, tvi_tile_phase_layout_t* phase,
                                     const tvi_tile_access_t* access,
                                     tvi_tile_access_layout_t* out) {
  const tvi_tile_slot_t* slot = &binder->program->slots[access->slot];
  const uint32_t loops = phase->phase->loop_count;
  out->element_bytes = tvi_dtype_bytes(slot->dtype);
  out->is_kept = slot->kind == TVI_TILE_SLOT_KEPT;
  const int64_t unit = out->is_kept
                           ? (int64_t)tvi_tile_type_bytes(tvi_tile_type_of_dtype(slot->dtype))
                           : (out->element_bytes == 0 ? 1 : (int64_t)out->element_bytes);
  for (uint32_t d = 0; d < access->rank; ++d) {
    const tvi_tile_index_t* index = &access->indices[d];
    const int64_t extent = binder->slot_dims[access->slot][d];
    int64_t stride;
    if (!tvi_checked_mul_i64(binder->slot_strides[access->slot][d], unit, &stride))
      return overflow();
    int64_t reach;
    if (!tvi_checked_mul_i64(stride, extent, &reach)) return overflow();
    out->strides[d] = stride;
    out->dims[d] = extent;
    if (index->is_register) {
      out->indices[out->index_count++] = d;
      continue;
    }
    const tvi_tile_form_t* form = &phase->affines[index->ref];
    if (out->is_kept && slot->outer[d] != TVI_TILE_NONE) {
      const uint32_t loop = slot->outer[d];
      if (form->coefficients[loop] != 1 || phase->extents[loop] > extent)
        return TRIVET_STATUS(OUT_OF_RANGE,
                             "tile program: kept slot %u is not used at its outer point",
                             access->slot);
      continue;
    }
    int64_t low, high;
    if (!form_range(form, phase->extents, loops, &low, &high)) return overflow();
    if (low < 0 || high >= extent) {
      if (access->bounds != TVI_TILE_BOUNDS_PAD)
        return TRIVET_STATUS(OUT_OF_RANGE,
                             "tile program: index %u of slot %u takes values from %lld to %lld, "
                             "its extent is %lld",
                             d, access->slot, (long long)low, (long long)high, (long long)extent);
      if (!out->checks)
        TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(binder->temporary, access->rank,
                                                     sizeof(*out->checks), &out->checks));
      out->checks[out->check_count].form = *form;
      out->checks[out->check_count++].extent = extent;
    }
    if (!form_add_scaled(&out->form, form, stride)) return overflow();
  }
  int64_t low, high;
  if (!form_range(&out->form, phase->extents, loops, &low, &high)) return overflow();
  out->is_used = 1;
  return TRIVET_OK;
}

static trivet_status_t layout_phase(tvi_tile_binder_t* binder, const tvi_tile_phase_t* phase,
                                    uint32_t outer_count, tvi_tile_phase_layout_t* out) {
  const tvi_tile_program_t* program = binder->program;
  out->phase = phase;
  const uint32_t parallel = phase->loop_count - phase->reduced_count;
  bool is_empty = false;
  for (uint32_t l = 0; l < phase->loop_count; ++l) {
    out->extents[l] = binder->parameters[phase->extents[l]];
    if (out->extents[l] < 0)
      return TRIVET_STATUS(INVALID_ARGUMENT, "tile program: a loop has a negative extent");
    if (out->extents[l] == 0) {
      is_empty = true;
      if (l < parallel) out->is_dead = 1;
      if (l >= parallel) out->is_empty_reduction = 1;
    }
  }
  for (uint32_t s = 0; s < phase->sink_count; ++s) {
    const tvi_tile_sink_t* sink = &program->sinks[phase->sink_first + s];
    if (sink->kind == TVI_TILE_SINK_SCAN) out->has_scan = 1;
    if (sink->kind != TVI_TILE_SINK_STORE && sink->join == TVI_TILE_JOIN_SERIAL) out->is_serial = 1;
    if (sink->kind == TVI_TILE_SINK_REDUCE && sink->join >= TVI_TILE_JOIN_BODY) out->has_fold = 1;
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(binder->temporary, phase->affine_count,
                                                      sizeof(*out->affines), &out->affines));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(binder->temporary, phase->affine_count, 1, &out->affine_used));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(binder->temporary, phase->access_count,
                                                      sizeof(*out->accesses), &out->accesses));
  for (uint32_t i = 0; i < phase->affine_count; ++i)
    TRIVET_RETURN_IF_ERROR(
        evaluate_affine(binder, &program->affines[phase->affine_first + i], &out->affines[i]));
  const tvi_tile_instr_t* instrs = program->instrs + phase->instr_first;
  const tvi_tile_access_t* accesses = program->accesses + phase->access_first;
  if (out->is_dead) return TRIVET_OK;
  // An empty reduction executes no load: its indices may leave anything. Extents of 1 keep the
  // arithmetic below meaningful.
  tvi_tile_phase_layout_t checked = *out;
  for (uint32_t l = 0; is_empty && l < phase->loop_count; ++l)
    if (checked.extents[l] == 0) checked.extents[l] = 1;
  for (uint32_t i = 0; i < phase->instr_count; ++i) {
    if (instrs[i].opcode == TVI_TILE_OP_AFFINE) {
      int64_t low, high;
      out->affine_used[instrs[i].imm] = 1;
      if (!form_range(&out->affines[instrs[i].imm], checked.extents, phase->loop_count, &low,
                      &high))
        return overflow();
    }
    if (instrs[i].opcode == TVI_TILE_OP_LOAD && !out->is_empty_reduction &&
        !out->accesses[instrs[i].imm].is_used)
      TRIVET_RETURN_IF_ERROR(
          layout_access(binder, &checked, &accesses[instrs[i].imm], &out->accesses[instrs[i].imm]));
  }
  for (uint32_t s = 0; s < phase->sink_count; ++s) {
    const tvi_tile_sink_t* sink = &program->sinks[phase->sink_first + s];
    for (uint32_t v = 0; v < sink->count; ++v) {
      if (sink->accesses[v] == TVI_TILE_NONE) continue;
      tvi_tile_access_layout_t* layout = &out->accesses[sink->accesses[v]];
      if (layout->is_used && !layout->is_store)
        return TRIVET_STATUS(DATA_LOSS, "tile program: an access is both load and store");
      if (!layout->is_used)
        TRIVET_RETURN_IF_ERROR(
            layout_access(binder, &checked, &accesses[sink->accesses[v]], layout));
      layout->is_store = 1;
    }
  }
  (void)outer_count;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Loops
// ---------------------------------------------------------------------------------------------

// Calls |use| for every linear form of a phase that calls will depend on.
typedef struct form_list_t {
  tvi_tile_form_t** items;
  uint32_t count;
} form_list_t;

static trivet_status_t list_forms(tvi_tile_binder_t* binder, tvi_tile_phase_layout_t* phase,
                                  form_list_t* out) {
  uint32_t count = phase->phase->affine_count;
  for (uint32_t i = 0; i < phase->phase->access_count; ++i)
    count += 1 + phase->accesses[i].check_count;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(binder->temporary, count, sizeof(*out->items), &out->items));
  out->count = 0;
  for (uint32_t i = 0; i < phase->phase->affine_count; ++i)
    if (phase->affine_used[i]) out->items[out->count++] = &phase->affines[i];
  for (uint32_t i = 0; i < phase->phase->access_count; ++i) {
    if (!phase->accesses[i].is_used) continue;
    out->items[out->count++] = &phase->accesses[i].form;
    for (uint32_t c = 0; c < phase->accesses[i].check_count; ++c)
      out->items[out->count++] = &phase->accesses[i].checks[c].form;
  }
  return TRIVET_OK;
}

static bool can_merge(const form_list_t* forms, uint32_t slow, uint32_t fast, int64_t fast_extent) {
  for (uint32_t i = 0; i < forms->count; ++i) {
    int64_t product;
    if (!tvi_checked_mul_i64(forms->items[i]->coefficients[fast], fast_extent, &product) ||
        product != forms->items[i]->coefficients[slow])
      return false;
  }
  return true;
}

static int64_t magnitude(int64_t value) {
  return value == INT64_MIN ? INT64_MAX : value < 0 ? -value : value;
}

// Slower loops have greater strides; equal ones keep their order.
static void sort_loops(uint32_t* loops, uint32_t count, const int64_t* keys) {
  for (uint32_t i = 1; i < count; ++i)
    for (uint32_t j = i; j > 0 && keys[loops[j - 1]] < keys[loops[j]]; --j) {
      uint32_t swap = loops[j];
      loops[j] = loops[j - 1];
      loops[j - 1] = swap;
    }
}

// Strides of what a phase stores (or, |of_loads|, of its first load), to order loops by.
static void order_keys(const tvi_tile_phase_layout_t* phase, bool of_loads, int64_t* keys) {
  memset(keys, 0, sizeof(*keys) * TVI_TILE_LOOPS);
  for (uint32_t i = 0; i < phase->phase->access_count; ++i) {
    const tvi_tile_access_layout_t* access = &phase->accesses[i];
    if (!access->is_used || (access->is_store != 0) == of_loads) continue;
    bool moves = false;
    for (uint32_t l = 0; l < phase->phase->loop_count; ++l) {
      keys[l] = magnitude(access->form.coefficients[l]);
      moves = moves || keys[l] != 0;
    }
    if (moves && !access->is_kept) return;
  }
}

static void collapse_own(tvi_tile_phase_layout_t* phase, const form_list_t* forms, uint32_t first,
                         uint32_t last, bool of_loads, uint32_t* out_count) {
  uint32_t list[TVI_TILE_LOOPS];
  uint32_t count = 0;
  for (uint32_t l = first; l < last; ++l)
    if (phase->extents[l] != 1) list[count++] = l;
  int64_t keys[TVI_TILE_LOOPS];
  order_keys(phase, of_loads, keys);
  sort_loops(list, count, keys);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t loop = list[i];
    if (*out_count > 0 && i > 0) {
      const uint32_t before = phase->own[*out_count - 1];
      int64_t product;
      if (can_merge(forms, before, loop, phase->extents[loop]) &&
          tvi_checked_mul_i64(phase->extents[before], phase->extents[loop], &product)) {
        phase->extents[before] = 1;
        phase->extents[loop] = product;
        phase->own[*out_count - 1] = loop;
        continue;
      }
    }
    phase->own[(*out_count)++] = loop;
  }
}

static trivet_status_t collapse(tvi_tile_binder_t* binder, tvi_tile_section_layout_t* layout) {
  const uint32_t phases = layout->section->phase_count;
  const uint32_t outer = layout->section->outer_count;
  form_list_t* forms;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(binder->temporary, phases, sizeof(*forms), &forms));
  for (uint32_t p = 0; p < phases; ++p)
    TRIVET_RETURN_IF_ERROR(list_forms(binder, &layout->phases[p], &forms[p]));
  uint32_t list[TVI_TILE_LOOPS];
  uint32_t count = 0;
  for (uint32_t l = 0; l < outer; ++l) {
    layout->extents[l] = layout->phases[0].extents[l];
    if (layout->extents[l] != 1) list[count++] = l;
  }
  int64_t keys[TVI_TILE_LOOPS];
  order_keys(&layout->phases[phases - 1], false, keys);
  sort_loops(list, count, keys);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t loop = list[i];
    bool merge = layout->outer_count > 0;
    const uint32_t before = merge ? layout->outer[layout->outer_count - 1] : 0;
    int64_t product = 0;
    for (uint32_t p = 0; merge && p < phases; ++p)
      merge = can_merge(&forms[p], before, loop, layout->extents[loop]);
    merge = merge && tvi_checked_mul_i64(layout->extents[before], layout->extents[loop], &product);
    if (merge) {
      layout->extents[before] = 1;
      layout->extents[loop] = product;
      layout->outer[layout->outer_count - 1] = loop;
    } else {
      layout->outer[layout->outer_count++] = loop;
    }
  }
  for (uint32_t p = 0; p < phases; ++p) {
    tvi_tile_phase_layout_t* phase = &layout->phases[p];
    for (uint32_t l = 0; l < outer; ++l) phase->extents[l] = layout->extents[l];
    uint32_t parallel = phase->phase->loop_count - phase->phase->reduced_count;
    // The loop of a scan stays last and apart.
    if (phase->has_scan) --parallel;
    collapse_own(phase, &forms[p], outer, parallel, false, &phase->own_count);
    phase->own_parallel = phase->own_count;
    if (phase->has_scan) {
      phase->own[phase->own_count++] = parallel;
    } else if (!phase->is_empty_reduction) {
      uint32_t reduced = 0;
      tvi_tile_phase_layout_t copy = *phase;
      copy.own_count = 0;
      collapse_own(&copy, &forms[p], parallel, phase->phase->loop_count, true, &reduced);
      memcpy(phase->extents, copy.extents, sizeof(copy.extents));
      for (uint32_t i = 0; i < reduced; ++i) phase->own[phase->own_count++] = copy.own[i];
    }
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Axes
// ---------------------------------------------------------------------------------------------

static uint32_t min_extent(int64_t extent, uint32_t limit) {
  return extent < (int64_t)limit ? (uint32_t)extent : limit;
}

static int64_t unit_of(const tvi_tile_access_layout_t* access) {
  return access->element_bytes == 0 ? 1 : (int64_t)access->element_bytes;
}

// Price of one element of a phase when columns run along |col|; *out_transposed is an outer loop
// along which an access is contiguous that is not along |col|, TVI_TILE_NONE: none.
static double column_price(const tvi_tile_section_layout_t* section,
                           const tvi_tile_phase_layout_t* phase, uint32_t col,
                           uint32_t* out_transposed) {
  double price = 1.0;
  const bool col_is_outer = col < section->section->outer_count;
  for (uint32_t i = 0; i < phase->phase->access_count; ++i) {
    const tvi_tile_access_layout_t* access = &phase->accesses[i];
    if (!access->is_used) continue;
    if (access->is_kept) {
      price += 1.0;
      continue;
    }
    const int64_t stride = access->form.coefficients[col];
    if (access->index_count != 0) {
      price += stride == unit_of(access) ? 2.0 : 6.0;
    } else if (stride == 0) {
      price += 0.25;
    } else if (stride == unit_of(access)) {
      price += access->check_count ? 1.5 : 1.0;
    } else {
      double strided = 6.0;
      for (uint32_t o = 0; o < section->outer_count && access->check_count == 0; ++o) {
        const uint32_t loop = section->outer[o];
        if (loop == col || section->extents[loop] < 4) continue;
        if (access->form.coefficients[loop] == unit_of(access) && access->element_bytes == 4) {
          strided = 2.5;
          if (out_transposed) *out_transposed = loop;
        }
      }
      price += strided;
    }
  }
  (void)col_is_outer;
  const double lanes = (double)min_extent(phase->extents[col], TILE_ELEMENTS);
  return price * (1.0 + 10.0 / lanes);
}

static double phase_volume(const tvi_tile_phase_layout_t* phase) {
  double volume = 1.0;
  for (uint32_t i = 0; i < phase->own_count; ++i) volume *= (double)phase->extents[phase->own[i]];
  return volume;
}

// Is the section one call that reads its operands where they are?
static bool is_one_pass(const tvi_tile_binder_t* binder, const tvi_tile_section_layout_t* layout) {
  if (layout->section->phase_count != 1) return false;
  const tvi_tile_phase_layout_t* phase = &layout->phases[0];
  const tvi_tile_instr_t* instrs = binder->program->instrs + phase->phase->instr_first;
  uint32_t calls = phase->phase->reduced_count != 0 ? 1 : 0;
  for (uint32_t i = 0; i < phase->phase->instr_count; ++i) {
    const uint32_t opcode = instrs[i].opcode;
    if (opcode != TVI_TILE_OP_LOAD && opcode != TVI_TILE_OP_CONST) ++calls;
  }
  for (uint32_t i = 0; i < phase->phase->access_count; ++i) {
    const tvi_tile_access_layout_t* access = &phase->accesses[i];
    if (!access->is_used) continue;
    if (access->element_bytes < 4 || access->check_count != 0 || access->index_count != 0)
      return false;
  }
  return calls <= 1;
}

static void choose_axes(const tvi_tile_binder_t* binder, tvi_tile_section_layout_t* layout) {
  const uint32_t phases = layout->section->phase_count;
  bool all_8bit = true;
  for (uint32_t p = 0; p < phases; ++p)
    for (uint32_t i = 0; i < layout->phases[p].phase->access_count; ++i)
      if (layout->phases[p].accesses[i].is_used)
        all_8bit = all_8bit && layout->phases[p].accesses[i].element_bytes == 1;
  const uint32_t tile = is_one_pass(binder, layout) ? TILE_ELEMENTS_ONE_PASS
                        : all_8bit                  ? TILE_ELEMENTS_8BIT
                                                    : TILE_ELEMENTS;
  int64_t kept = 0;
  for (uint32_t i = 0; i < binder->program->slot_count; ++i) {
    const tvi_tile_slot_t* slot = &binder->program->slots[i];
    if (slot->kind == TVI_TILE_SLOT_KEPT && slot->section == layout->index)
      kept +=
          binder->kept_inner[i] * (int64_t)tvi_tile_type_bytes(tvi_tile_type_of_dtype(slot->dtype));
  }

  // Columns along own loops of the phases: each takes its best.
  double own_price = 0.0;
  bool any_own = false;
  uint32_t own_transposed = TVI_TILE_NONE;
  for (uint32_t p = 0; p < phases; ++p) {
    tvi_tile_phase_layout_t* phase = &layout->phases[p];
    phase->col_loop = TVI_TILE_NONE;
    double best = 0.0;
    const uint32_t usable =
        phase->has_scan || phase->is_serial ? phase->own_parallel : phase->own_count;
    for (uint32_t i = 0; i < usable; ++i) {
      uint32_t transposed = TVI_TILE_NONE;
      const double price = column_price(layout, phase, phase->own[i], &transposed);
      if (phase->col_loop == TVI_TILE_NONE || price < best) {
        best = price;
        phase->col_loop = phase->own[i];
        if (transposed != TVI_TILE_NONE) own_transposed = transposed;
      }
    }
    any_own = any_own || phase->own_count > 0;
    own_price +=
        phase->col_loop == TVI_TILE_NONE ? 4.0 * phase_volume(phase) : best * phase_volume(phase);
  }

  // Or along an outer loop, the same for all.
  double outer_price = 0.0;
  uint32_t outer_transposed = TVI_TILE_NONE;
  layout->col_loop = TVI_TILE_NONE;
  for (uint32_t o = layout->outer_count; o-- > 0;) {
    const uint32_t loop = layout->outer[o];
    double price = 0.0;
    uint32_t transposed = TVI_TILE_NONE;
    for (uint32_t p = 0; p < phases; ++p)
      price += column_price(layout, &layout->phases[p], loop, &transposed) *
               phase_volume(&layout->phases[p]);
    if (kept * (int64_t)min_extent(layout->extents[loop], tile) > KEPT_LIMIT) price *= 3.0;
    if (layout->col_loop == TVI_TILE_NONE || price < outer_price) {
      outer_price = price;
      outer_transposed = transposed;
      layout->col_loop = loop;
    }
  }
  const bool use_outer = layout->col_loop != TVI_TILE_NONE && (!any_own || outer_price < own_price);
  layout->row_loop = TVI_TILE_NONE;
  layout->rows = layout->cols = 1;
  if (use_outer) {
    const int64_t extent = layout->extents[layout->col_loop];
    layout->cols = min_extent(extent, tile);
    layout->row_loop = outer_transposed;
    if (outer_transposed != TVI_TILE_NONE) {
      layout->cols = min_extent(extent, TRANSPOSE_COLS);
      layout->rows = min_extent(layout->extents[outer_transposed], TRANSPOSE_ROWS);
    } else if (extent <= tile / 2) {
      for (uint32_t o = layout->outer_count; o-- > 0 && layout->row_loop == TVI_TILE_NONE;)
        if (layout->outer[o] != layout->col_loop) layout->row_loop = layout->outer[o];
      if (layout->row_loop != TVI_TILE_NONE)
        layout->rows = min_extent(layout->extents[layout->row_loop], tile / layout->cols);
    }
    for (uint32_t p = 0; p < phases; ++p) {
      layout->phases[p].col_loop = layout->col_loop;
      layout->phases[p].cols = layout->cols;
    }
    return;
  }
  layout->col_loop = TVI_TILE_NONE;
  bool folds = false, is_serial = false;
  for (uint32_t p = 0; p < phases; ++p) {
    const tvi_tile_phase_layout_t* phase = &layout->phases[p];
    folds = folds || phase->has_fold;
    is_serial = is_serial || (phase->is_serial && phase->col_loop == TVI_TILE_NONE);
  }
  const uint32_t wide = is_serial                          ? SERIAL_COLUMNS
                        : folds                            ? FOLD_COLUMNS
                        : phases > 1 && tile < ROW_COLUMNS ? ROW_COLUMNS
                                                           : tile;
  uint32_t widest = 1;
  for (uint32_t p = 0; p < phases; ++p) {
    tvi_tile_phase_layout_t* phase = &layout->phases[p];
    phase->cols =
        phase->col_loop == TVI_TILE_NONE ? 1 : min_extent(phase->extents[phase->col_loop], wide);
    if (phase->cols > widest) widest = phase->cols;
  }
  if (layout->outer_count > 0) {
    layout->row_loop =
        own_transposed != TVI_TILE_NONE ? own_transposed : layout->outer[layout->outer_count - 1];
    uint32_t fit = (phases > 1 && tile < ROW_ELEMENTS ? ROW_ELEMENTS : tile) / widest;
    if (phases > 1 && fit < ROWS_TOGETHER && ROWS_ELEMENTS / widest > fit)
      fit = ROWS_ELEMENTS / widest < ROWS_TOGETHER ? ROWS_ELEMENTS / widest : ROWS_TOGETHER;
    if (folds) fit = FOLD_ELEMENTS / widest;
    if (is_serial && fit < SERIAL_ROWS) fit = SERIAL_ROWS;
    if (own_transposed != TVI_TILE_NONE) fit = TRANSPOSE_ROWS;
    layout->rows = min_extent(layout->extents[layout->row_loop], fit > 0 ? fit : 1);
    if (layout->rows == 1 && layout->extents[layout->row_loop] > 1)
      layout->row_loop = TVI_TILE_NONE;
  }
}

// Strides along rows and columns, and the memory of kept slots.
static trivet_status_t place_axes(tvi_tile_binder_t* binder, tvi_tile_section_layout_t* layout) {
  const int64_t block =
      (int64_t)layout->rows * (layout->col_loop != TVI_TILE_NONE ? layout->cols : 1);
  const bool cols_inside = layout->col_loop == TVI_TILE_NONE;
  for (uint32_t p = 0; p < layout->section->phase_count; ++p) {
    tvi_tile_phase_layout_t* phase = &layout->phases[p];
    for (uint32_t i = 0; i < phase->phase->access_count; ++i) {
      tvi_tile_access_layout_t* access = &phase->accesses[i];
      if (!access->is_used) continue;
      if (access->is_kept) {
        const uint32_t slot = binder->program->accesses[phase->phase->access_first + i].slot;
        const int64_t unit = (int64_t)tvi_tile_type_bytes(
            tvi_tile_type_of_dtype(binder->program->slots[slot].dtype));
        // Inner dimensions are side by side per row, or blocks of outer points are.
        const int64_t scale = cols_inside ? 1 : block;
        tvi_tile_form_t scaled;
        memset(&scaled, 0, sizeof(scaled));
        if (!form_add_scaled(&scaled, &access->form, scale)) return overflow();
        access->form = scaled;
        for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d)
          if (!tvi_checked_mul_i64(access->strides[d], scale, &access->strides[d]))
            return overflow();
        if (cols_inside) {
          if (!tvi_checked_mul_i64(binder->kept_inner[slot], unit, &access->row_stride))
            return overflow();
          access->col_stride =
              phase->col_loop == TVI_TILE_NONE ? 0 : access->form.coefficients[phase->col_loop];
        } else {
          access->row_stride = unit * layout->cols;
          access->col_stride = unit;
        }
        continue;
      }
      access->row_stride =
          layout->row_loop == TVI_TILE_NONE ? 0 : access->form.coefficients[layout->row_loop];
      access->col_stride =
          phase->col_loop == TVI_TILE_NONE ? 0 : access->form.coefficients[phase->col_loop];
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_layout_section(tvi_tile_binder_t* binder, uint32_t index,
                                        tvi_tile_section_layout_t* out_layout) {
  const tvi_tile_section_t* section = &binder->program->sections[index];
  memset(out_layout, 0, sizeof(*out_layout));
  out_layout->section = section;
  out_layout->index = index;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      binder->temporary, section->phase_count, sizeof(*out_layout->phases), &out_layout->phases));
  for (uint32_t p = 0; p < section->phase_count; ++p) {
    TRIVET_RETURN_IF_ERROR(layout_phase(binder, &binder->program->phases[section->phase_first + p],
                                        section->outer_count, &out_layout->phases[p]));
    for (uint32_t l = 0; l < section->outer_count; ++l)
      if (out_layout->phases[p].extents[l] == 0) out_layout->is_dead = 1;
  }
  if (out_layout->is_dead) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(collapse(binder, out_layout));
  choose_axes(binder, out_layout);
  return place_axes(binder, out_layout);
}
