// SPDX-License-Identifier: Apache-2.0
//
// Binding a tile program: puts the two halves together (tile_layout.c, tile_emit.c), gives every
// thread its memory and decides how many threads a section is worth.

#include "runtime/device/cpu/tile_bind.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_layout.h"

// Estimated time below which another thread does not pay, in nanoseconds.
#define NANOSECONDS_PER_THREAD 6000.0

static void set_outer_levels(const tvi_tile_section_layout_t* layout,
                             tvi_tile_bound_section_t* out) {
  out->row_loop = layout->row_loop;
  out->col_loop = layout->col_loop;
  out->rows = layout->rows;
  out->cols = layout->cols;
  out->row_extent = out->col_extent = 1;
  out->tile_count = 1;
  for (uint32_t i = 0; i < layout->outer_count; ++i) {
    const uint32_t loop = layout->outer[i];
    tvi_tile_level_t level = {.loop = loop, .step = 1, .extent = layout->extents[loop]};
    if (loop == layout->row_loop) {
      level.step = layout->rows;
      out->row_extent = level.extent;
    }
    if (loop == layout->col_loop) {
      level.step = layout->cols;
      out->col_extent = level.extent;
    }
    level.count = (level.extent + level.step - 1) / level.step;
    out->tile_count *= level.count;  // at most the product of extents, which collapsing checked
    out->levels[out->level_count++] = level;
  }
}

static bool count_tiles(const tvi_tile_section_layout_t* layout) {
  int64_t count = 1;
  for (uint32_t i = 0; i < layout->outer_count; ++i)
    if (!tvi_checked_mul_i64(count, layout->extents[layout->outer[i]], &count)) return false;
  return true;
}

static uint32_t worth_threads(const tvi_tile_binder_t* binder,
                              const tvi_tile_section_layout_t* layout,
                              const tvi_tile_bound_section_t* section) {
  double tile_time = 20.0;
  for (uint32_t p = 0; p < section->phase_count; ++p) {
    const tvi_tile_bound_phase_t* phase = &section->phases[p];
    double steps = 1.0;
    for (uint32_t l = 0; l < phase->level_count; ++l) steps *= (double)phase->levels[l].count;
    const double elements = (double)section->rows * phase->cols;
    tile_time += steps * phase->body_count * (5.0 + 0.08 * elements);
  }
  for (uint32_t p = 0; p < layout->section->phase_count; ++p)
    for (uint32_t i = 0; i < layout->phases[p].phase->access_count; ++i) {
      const tvi_tile_access_layout_t* access = &layout->phases[p].accesses[i];
      // Two threads may not write to one byte.
      if (access->is_used && access->is_store && access->element_bytes == 0) return 1;
    }
  double threads = tile_time * (double)section->tile_count / NANOSECONDS_PER_THREAD;
  uint32_t count = binder->options->thread_count;
  if (threads < count) count = threads < 1.0 ? 1 : (uint32_t)threads;
  if (section->tile_count < (int64_t)count) count = (uint32_t)section->tile_count;
  return count > 0 ? count : 1;
}

static trivet_status_t bind_section(tvi_tile_binder_t* binder, uint32_t index,
                                    tvi_tile_bound_section_t* out, tvi_tile_image_t* images,
                                    uint64_t* out_scratch) {
  tvi_tile_section_layout_t layout;
  TRIVET_RETURN_IF_ERROR(tvi_tile_layout_section(binder, index, &layout));
  if (layout.is_dead) return TRIVET_OK;
  if (!count_tiles(&layout))
    return TRIVET_STATUS(OUT_OF_RANGE, "tile program: too many points in a section");
  const tvi_tile_program_t* program = binder->program;
  uint64_t kept = 0;
  const uint64_t block = (uint64_t)layout.rows * layout.cols;
  for (uint32_t i = 0; i < program->slot_count; ++i) {
    const tvi_tile_slot_t* slot = &program->slots[i];
    if (slot->kind != TVI_TILE_SLOT_KEPT || slot->section != index) continue;
    uint64_t bytes;
    if (!tvi_checked_mul_u64((uint64_t)binder->kept_inner[i], block, &bytes) ||
        !tvi_checked_mul_u64(bytes, tvi_tile_type_bytes(tvi_tile_type_of_dtype(slot->dtype)),
                             &bytes) ||
        bytes > ((uint64_t)1 << 31))
      return TRIVET_STATUS(OUT_OF_RANGE, "tile program: a kept value exceeds 2 GiB");
    binder->bound->slot_offsets[i] = kept;
    kept += (bytes + 63) & ~(uint64_t)63;
  }
  uint64_t most = kept;
  for (uint32_t p = 0; p < layout.section->phase_count; ++p) {
    if (layout.phases[p].is_dead) continue;
    uint64_t scratch = kept;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emit_phase(binder, &layout, &layout.phases[p],
                                               &out->phases[out->phase_count],
                                               &images[out->phase_count], &scratch));
    ++out->phase_count;
    if (scratch > most) most = scratch;
  }
  set_outer_levels(&layout, out);
  if (out->phase_count == 0) out->tile_count = 0;
  out->thread_count = worth_threads(binder, &layout, out);
  if (most > *out_scratch) *out_scratch = most;
  return TRIVET_OK;
}

static trivet_status_t make_threads(tvi_tile_bound_t* bound, const tvi_tile_image_t* images,
                                    uint32_t phase_count, uint64_t scratch) {
  const tvi_tile_program_t* program = bound->program;
  tvi_tile_bound_phase_t* phases = bound->sections[0].phases;
  uint64_t images_size = 0;
  for (uint32_t p = 0; p < phase_count; ++p) {
    phases[p].image_offset = (uint32_t)images_size;
    images_size += ((uint64_t)phases[p].image_size + 63) & ~(uint64_t)63;
  }
  if (images_size > UINT32_MAX) return TRIVET_STATUS(OUT_OF_RANGE, "tile program: too large");
  bound->thread_memory_size = images_size + scratch + 64;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&bound->arena, bound->thread_count,
                                                      sizeof(*bound->threads), &bound->threads));
  for (uint32_t t = 0; t < bound->thread_count; ++t) {
    tvi_tile_thread_t* thread = &bound->threads[t];
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&bound->arena, program->slot_count,
                                                        sizeof(char*), &thread->bases));
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&bound->arena, 2 * (size_t)phase_count,
                                                        sizeof(uint32_t), &thread->extents));
    TRIVET_RETURN_IF_ERROR(
        tvi_alloc_aligned(bound->allocator, bound->thread_memory_size, 64, &thread->memory));
    memset(thread->memory, 0, bound->thread_memory_size);
    char* scratch_base = thread->memory + images_size;
    for (uint32_t i = program->operand_count; i < program->slot_count; ++i)
      if (program->slots[i].kind == TVI_TILE_SLOT_KEPT)
        thread->bases[i] = scratch_base + bound->slot_offsets[i];
    for (uint32_t p = 0; p < phase_count; ++p) {
      if (images[p].size == 0) continue;
      char* image = thread->memory + phases[p].image_offset;
      memcpy(image, images[p].bytes, images[p].size);
      for (uint32_t r = 0; r < images[p].relocation_count; ++r) {
        const tvi_tile_relocation_t* relocation = &images[p].relocations[r];
        char* value = relocation->kind == TVI_TILE_RELOCATE_SCRATCH
                          ? scratch_base + relocation->value
                      : relocation->kind == TVI_TILE_RELOCATE_IMAGE ? image + relocation->value
                                                                    : (char*)&thread->error;
        memcpy(image + relocation->offset, &value, sizeof(value));
      }
    }
  }
  return TRIVET_OK;
}

static trivet_status_t bind_all(tvi_tile_binder_t* binder, tvi_tile_bound_t* bound) {
  const tvi_tile_program_t* program = binder->program;
  const size_t slots = program->slot_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      &bound->arena, slots, sizeof(*bound->slot_offsets), &bound->slot_offsets));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      binder->temporary, slots, sizeof(*binder->slot_dims), &binder->slot_dims));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      binder->temporary, slots, sizeof(*binder->slot_strides), &binder->slot_strides));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      binder->temporary, slots, sizeof(*binder->kept_inner), &binder->kept_inner));
  TRIVET_RETURN_IF_ERROR(tvi_tile_layout_slots(binder));
  bound->section_count = program->section_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&bound->arena, program->section_count,
                                                      sizeof(*bound->sections), &bound->sections));
  // Sections may name the same phases more than once: count what they name.
  uint64_t phase_total = 0;
  for (uint32_t s = 0; s < program->section_count; ++s)
    phase_total += program->sections[s].phase_count;
  if (phase_total > 1u << 20) return TRIVET_STATUS(DATA_LOSS, "tile program: too many phases");
  tvi_tile_bound_phase_t* phases;
  tvi_tile_image_t* images;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&bound->arena, phase_total, sizeof(*phases), &phases));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&bound->arena, phase_total, sizeof(*images), &images));
  uint64_t scratch = 0;
  uint32_t used = 0;
  bound->thread_count = 1;
  for (uint32_t s = 0; s < program->section_count; ++s) {
    tvi_tile_bound_section_t* section = &bound->sections[s];
    section->phases = phases + used;
    TRIVET_RETURN_IF_ERROR(bind_section(binder, s, section, images + used, &scratch));
    used += section->phase_count;
    if (section->thread_count > bound->thread_count) bound->thread_count = section->thread_count;
  }
  if (program->section_count == 0) return TRIVET_OK;
  return make_threads(bound, images, used, scratch);
}

trivet_status_t tvi_tile_bind(const tvi_tile_program_t* program, const trivet_operand_t* operands,
                              uint64_t operand_count, const int64_t* parameters,
                              uint64_t parameter_count, const tvi_tile_bind_options_t* options,
                              trivet_allocator_t allocator, uint64_t* out_workspace_size,
                              tvi_tile_bound_t** out_bound) {
  if (operand_count != program->operand_count || parameter_count != program->parameter_count)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "tile program: %llu operands and %llu parameters given, compiled for %u "
                         "and %u",
                         (unsigned long long)operand_count, (unsigned long long)parameter_count,
                         program->operand_count, program->parameter_count);
  tvi_tile_bound_t* bound = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*bound), &bound));
  bound->allocator = allocator;
  bound->program = program;
  tvi_arena_init(&bound->arena, allocator, 0);
  tvi_arena_t temporary;
  tvi_arena_init(&temporary, allocator, 0);
  tvi_tile_binder_t binder = {.program = program,
                              .operands = operands,
                              .parameters = parameters,
                              .options = options,
                              .arena = &bound->arena,
                              .temporary = &temporary,
                              .bound = bound};
  trivet_status_t status = bind_all(&binder, bound);
  tvi_arena_deinit(&temporary);
  if (status) {
    tvi_tile_bound_release(bound);
    return status;
  }
  *out_workspace_size = bound->workspace_size;
  *out_bound = bound;
  return TRIVET_OK;
}

void tvi_tile_bound_release(tvi_tile_bound_t* bound) {
  if (!bound) return;
  for (uint32_t t = 0; bound->threads && t < bound->thread_count; ++t)
    tvi_free_aligned(bound->allocator, bound->threads[t].memory, bound->thread_memory_size, 64);
  tvi_arena_deinit(&bound->arena);
  tvi_free(bound->allocator, bound, sizeof(*bound));
}
