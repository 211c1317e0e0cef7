// SPDX-License-Identifier: Apache-2.0
//
// Walks a bound tile program: tiles of a section are split evenly over threads, every tile runs the
// phases of the section one after the other. Allocates nothing and takes no lock.

#include <string.h>

#include "core/base/status.h"
#include "runtime/device/cpu/tile_bind.h"

static void set_extents(tvi_tile_entry_t* entries, uint32_t count, uint32_t rows, uint32_t cols,
                        uint32_t full_cols) {
  for (uint32_t i = 0; i < count; ++i) {
    tvi_tile_entry_t* e = &entries[i];
    switch (e->shape) {
      case TVI_TILE_SHAPE_ONE:
        e->args.rows = e->args.cols = 1;
        break;
      case TVI_TILE_SHAPE_ROWS:
        e->args.rows = 1;
        e->args.cols = rows;
        break;
      case TVI_TILE_SHAPE_COLS:
        e->args.rows = 1;
        e->args.cols = cols;
        break;
      case TVI_TILE_SHAPE_BLOCK:
        e->args.rows = e->fixed_rows;
        e->args.cols = e->fixed_cols;
        break;
      default:
        if (e->collapses && cols == full_cols) {
          e->args.rows = 1;
          e->args.cols = rows * cols;
        } else {
          e->args.rows = rows;
          e->args.cols = cols;
        }
    }
  }
}

static inline void run_entries(const tvi_tile_entry_t* entries, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) entries[i].run(&entries[i].args);
}

static inline void update_addresses(const tvi_tile_bound_phase_t* phase, uint32_t depth,
                                    const tvi_tile_thread_t* thread, char* image) {
  for (uint32_t i = phase->address_start[depth]; i < phase->address_count; ++i) {
    const tvi_tile_address_t* a = &phase->addresses[i];
    int64_t value = a->offset;
    const tvi_tile_stride_t* terms = phase->strides + a->term_first;
    for (uint32_t t = 0; t < a->term_count; ++t)
      value += terms[t].stride * thread->indices[terms[t].loop];
    if (a->slot != TVI_TILE_NONE) value += (int64_t)(intptr_t)thread->bases[a->slot];
    const uint32_t* patches = phase->patches + a->patch_first;
    for (uint32_t p = 0; p < a->patch_count; ++p) *(int64_t*)(image + patches[p]) = value;
  }
}

static inline void set_level(tvi_tile_thread_t* thread, const tvi_tile_level_t* level,
                             int64_t position) {
  thread->indices[level->loop] =
      (level->reverse ? level->count - 1 - position : position) * level->step;
}

static void run_phase(const tvi_tile_bound_phase_t* phase, tvi_tile_thread_t* thread,
                      uint32_t* extents, uint32_t rows, uint32_t outer_cols) {
  char* image = thread->memory + phase->image_offset;
  tvi_tile_entry_t* init = (tvi_tile_entry_t*)image;
  tvi_tile_entry_t* body = init + phase->init_count;
  tvi_tile_entry_t* final = body + phase->body_count;
  const uint32_t entry_count = phase->init_count + phase->body_count + phase->final_count;
  int64_t positions[TVI_TILE_MAX_LOOPS + 1];
  const uint32_t levels = phase->level_count;
  for (uint32_t l = 1; l <= levels; ++l) {
    positions[l] = 0;
    set_level(thread, &phase->levels[l - 1], 0);
  }
  uint32_t cols = phase->cols_from_outer ? outer_cols : phase->cols;
  uint32_t changed = 0;
  for (;;) {
    if (phase->col_level != 0 && changed <= phase->col_level) {
      int64_t left = phase->col_extent - positions[phase->col_level] * phase->cols;
      cols = left < (int64_t)phase->cols ? (uint32_t)left : phase->cols;
    }
    if (extents[0] != rows || extents[1] != cols) {
      set_extents(init, entry_count, rows, cols, phase->cols);
      extents[0] = rows;
      extents[1] = cols;
    }
    update_addresses(phase, changed, thread, image);
    if (changed <= phase->parallel_levels) run_entries(init, phase->init_count);
    if (!phase->is_empty_reduction)
      run_entries(body + phase->body_start[changed],
                  phase->body_count - phase->body_start[changed]);
    uint32_t level = levels;
    if (phase->is_empty_reduction) level = phase->parallel_levels;
    for (; level > 0; --level) {
      if (++positions[level] < phase->levels[level - 1].count) break;
      positions[level] = 0;
    }
    if (level <= phase->parallel_levels) run_entries(final, phase->final_count);
    if (level == 0) break;
    for (uint32_t l = level; l <= levels; ++l)
      set_level(thread, &phase->levels[l - 1], positions[l]);
    changed = level;
  }
  // The next phase numbers its own loops from the same number on.
  for (uint32_t l = 0; l < levels; ++l) thread->indices[phase->levels[l].loop] = 0;
}

static void run_section(void* argument, uint32_t index, uint32_t count) {
  tvi_tile_bound_t* bound = argument;
  const tvi_tile_bound_section_t* section = &bound->sections[bound->current_section];
  tvi_tile_thread_t* thread = &bound->threads[index];
  const int64_t first =
      section->tile_count / count * index + (section->tile_count % count) * index / count;
  const int64_t last = section->tile_count / count * (index + 1) +
                       (section->tile_count % count) * (index + 1) / count;
  if (first >= last) return;
  int64_t positions[TVI_TILE_MAX_LOOPS];
  int64_t rest = first;
  memset(thread->indices, 0, sizeof(thread->indices));
  for (uint32_t l = section->level_count; l-- > 0;) {
    positions[l] = rest % section->levels[l].count;
    rest /= section->levels[l].count;
    set_level(thread, &section->levels[l], positions[l]);
  }
  uint32_t* extents = thread->extents + 2 * (size_t)(section->phases - bound->sections[0].phases);
  for (int64_t tile = first;;) {
    uint32_t rows = 1, cols = 1;
    if (section->row_loop != TVI_TILE_NONE) {
      int64_t left = section->row_extent - thread->indices[section->row_loop];
      rows = left < (int64_t)section->rows ? (uint32_t)left : section->rows;
    }
    if (section->col_loop != TVI_TILE_NONE) {
      int64_t left = section->col_extent - thread->indices[section->col_loop];
      cols = left < (int64_t)section->cols ? (uint32_t)left : section->cols;
    }
    for (uint32_t p = 0; p < section->phase_count; ++p)
      run_phase(&section->phases[p], thread, extents + 2 * p, rows, cols);
    if (++tile >= last) return;
    for (uint32_t l = section->level_count; l-- > 0;) {
      if (++positions[l] < section->levels[l].count) {
        set_level(thread, &section->levels[l], positions[l]);
        break;
      }
      positions[l] = 0;
      set_level(thread, &section->levels[l], 0);
    }
  }
}

trivet_status_t tvi_tile_run(tvi_tile_bound_t* bound, void* const* addresses, void* workspace,
                             trivet_executor_t* executor) {
  const tvi_tile_program_t* program = bound->program;
  for (uint32_t t = 0; t < bound->thread_count; ++t) {
    tvi_tile_thread_t* thread = &bound->threads[t];
    thread->error = 0;
    for (uint32_t i = 0; i < program->slot_count; ++i) {
      if (i < program->operand_count) {
        thread->bases[i] = addresses[i];
      } else if (program->slots[i].kind == TVI_TILE_SLOT_STORED) {
        thread->bases[i] = (char*)workspace + bound->slot_offsets[i];
      }
    }
  }
  const uint32_t available =
      executor && executor->api->thread_count ? executor->api->thread_count(executor) : 1;
  for (uint32_t s = 0; s < bound->section_count; ++s) {
    const tvi_tile_bound_section_t* section = &bound->sections[s];
    if (section->tile_count == 0) continue;
    bound->current_section = s;
    uint32_t count = section->thread_count < available ? section->thread_count : available;
    if (count <= 1) {
      run_section(bound, 0, 1);
    } else {
      executor->api->parallel(executor, count, run_section, bound);
    }
  }
  for (uint32_t t = 0; t < bound->thread_count; ++t)
    if (bound->threads[t].error)
      return TRIVET_STATUS(OUT_OF_RANGE, "an index read from data is out of bounds");
  return TRIVET_OK;
}
