// SPDX-License-Identifier: Apache-2.0
//
// How kernels with reductions divide their rows: lanes of a row, rows of a block, what a thread
// takes at once and holds, blocks that share a row. emit_row.c prints them.
#include <string.h>

#include "core/base/dtype.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/monoid.h"
#include "plugins/cuda/emit/emit_print.h"

// Elements of a row that a thread holds of each array.
#define MAX_HELD 32
#define ENOUGH_THREADS 67584
// Threads that rows are shared among to use the whole bandwidth, and how often a thread must come
// around for that.
#define MANY_THREADS 270336
#define LEAST_WALKS 16
// Bytes of states that a thread holds for neighbouring rows.
#define MAX_STATES 128u
// A row is cut at multiples of 16 bytes in memory where it has so many pieces of them: both ends
// cost more than whole vectors save in short ones (measured: rows of 197 take 1.6 times as long).
#define SHIFTED_PIECES 512
// Shared memory of a block that states take and the device itself.
#define OWN_SHARED 2048

uint32_t tvi_cuda_outer_count(const tvi_cuda_printer_t* p) {
  uint32_t count = 0;
  while (count < p->loop_count && !p->is_inner[count]) ++count;
  return count;
}

bool tvi_cuda_walks_row(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access) {
  bool walks = false;
  for (uint32_t l = tvi_cuda_outer_count(p); l < p->loop_count; ++l)
    walks |= access->coefficients[l] != NULL;
  if (access->load == TVI_KIR_NONE || !walks ||
      tvi_dtype_bits(p->program->values[access->value].dtype) < 8)
    return false;
  const uint32_t producer = p->program->values[access->value].stage;
  return producer == TVI_KIR_NONE ||
         &p->schedule->groups[p->schedule->stages[producer].group] != p->group;
}

bool tvi_cuda_is_same_address(const tvi_cuda_access_t* a, const tvi_cuda_access_t* b) {
  return a->value == b->value && a->constant == b->constant && a->is_direct && b->is_direct &&
         memcmp(a->coefficients, b->coefficients, sizeof(a->coefficients)) == 0;
}

bool tvi_cuda_is_read_again(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access) {
  for (size_t k = 0; k < p->accesses.count; ++k)
    if (p->accesses.data[k].load != TVI_KIR_NONE && p->accesses.data[k].stage != access->stage &&
        tvi_cuda_is_same_address(&p->accesses.data[k], access))
      return true;
  return false;
}

static bool is_unit(trivet_dim_t dim) { return dim && tvi_dim_equals_constant(dim, 1); }

// Do neighbouring rows lie nearer to each other in memory than neighbouring points?
static bool prefers_columns(const tvi_cuda_printer_t* p, uint32_t rows_end) {
  if (rows_end == 0 || rows_end == p->loop_count) return rows_end != 0;
  uint32_t along_row = 0, across = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    bool walks = false;
    for (uint32_t l = rows_end; l < p->loop_count; ++l) walks |= access->coefficients[l] != NULL;
    if (!walks) continue;
    along_row += is_unit(access->coefficients[p->loop_count - 1]);
    across += is_unit(access->coefficients[rows_end - 1]);
  }
  return across > along_row;
}

// Do all reductions of the group need nothing but what lies in memory, and has it no values of
// points?
static bool is_one_pass(const tvi_cuda_printer_t* p) {
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->schedule->stages[stage].has_inner) return false;
    if (p->program->stages[stage].kind != TVI_KIR_REDUCE) continue;
    for (uint32_t k = 0; k < p->program->stages[stage].instr_count; ++k) {
      const tvi_kir_instr_t* instr = &p->program->stages[stage].instrs[k];
      if (instr->opcode != TVI_KIR_LOAD) continue;
      const uint32_t producer = p->program->values[instr->imm.load->value].stage;
      if (producer != TVI_KIR_NONE &&
          &p->schedule->groups[p->schedule->stages[producer].group] == p->group)
        return false;
    }
  }
  return true;
}

// How many blocks share a row, where there are too few rows and the reductions need nothing but the
// row itself: each thread keeps so much of it that the second kernel pays.
static uint32_t choose_parts(const tvi_cuda_printer_t* p, int64_t rows, int64_t row) {
  const tvi_cuda_shape_t* s = &p->shape;
  if (!is_one_pass(p)) return 1;
  const int64_t walks = row / ((int64_t)s->lanes * s->vector);
  const int64_t pieces = rows / s->columns;
  const int64_t threads = (pieces + s->rows - 1) / s->rows * s->rows * s->lanes;
  if (walks < LEAST_WALKS || threads >= ENOUGH_THREADS) return 1;
  // No more than run at once: a few blocks left over would take as long as all of them.
  const int64_t wanted = MANY_THREADS / threads;
  return (uint32_t)(wanted < walks / 4 ? wanted : walks / 4);
}

// How many neighbouring rows a thread takes, so that it moves 16 bytes at once; less where threads
// would be too few.
static uint32_t choose_columns(const tvi_cuda_printer_t* p, uint32_t loop, int64_t rows,
                               int64_t row) {
  if (!is_one_pass(p)) return 1;
  uint32_t bytes = 1;
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind != TVI_KIR_REDUCE) continue;
    const uint32_t own = tvi_cuda_state_bytes(p, stage);
    bytes = own > bytes ? own : bytes;
  }
  uint32_t columns = tvi_cuda_choose_vector(p, loop);
  while (columns > 1 && columns * bytes > MAX_STATES) columns /= 2;
  const int64_t lanes = row < 16 ? 1 : row / 8 < 1024 ? row / 8 : 1024;  // of some blocks
  while (columns > 1 && rows / columns * lanes < ENOUGH_THREADS / 4) columns /= 2;
  return columns;
}

// Rows of odd length: pieces that begin where memory is aligned, not where the row does. All that
// walks the row must be cut at the same places.
static void choose_shift(tvi_cuda_printer_t* p, uint32_t rows_end, int64_t row) {
  tvi_cuda_shape_t* s = &p->shape;
  const uint32_t last = p->loop_count - 1, vector = tvi_cuda_widest_vector(p, last);
  if (rows_end != last || s->vector * 4 > vector || row < (int64_t)vector * SHIFTED_PIECES) return;
  const uint32_t own = s->vector;
  s->is_shifted = true;
  s->shifted_as = TVI_CUDA_NONE;
  s->vector = vector;
  for (uint32_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    const uint32_t producer = p->program->values[access->value].stage;
    if (!access->coefficients[last] && access->is_direct) continue;
    if (access->load == TVI_KIR_NONE && !tvi_cuda_is_written(p, access->value)) continue;
    if (access->load != TVI_KIR_NONE && producer != TVI_KIR_NONE &&
        &p->schedule->groups[p->schedule->stages[producer].group] == p->group)
      continue;
    if (s->shifted_as == TVI_CUDA_NONE) s->shifted_as = i;
    s->is_shifted &= tvi_cuda_is_vector(p, access, last, vector);
  }
  s->is_shifted &= s->shifted_as != TVI_CUDA_NONE;
  if (!s->is_shifted) s->vector = own;
}

// Rows that do not fit registers, of |most| elements at most: what several stages read of them is
// held in shared memory as far as that reaches. With two blocks one computes while the other loads.
static void choose_held(tvi_cuda_printer_t* p, int64_t row, int64_t most) {
  tvi_cuda_shape_t* s = &p->shape;
  const uint32_t limit = p->options->shared_limit;
  if (s->chunks || s->parts > 1 || s->is_column || s->lanes < 128 || most > limit || row < most / 2)
    return;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->is_held || !access->is_direct || !tvi_cuda_walks_row(p, access) ||
        !tvi_cuda_is_read_again(p, access))
      continue;
    const uint32_t bytes =
        ((uint32_t)most + s->vector + 15) / 16 * 16 *
        tvi_dtype_bytes(tvi_cuda_stored_dtype(&p->program->values[access->value]));
    if (bytes > limit || s->held_bytes + bytes + OWN_SHARED > limit) continue;
    for (size_t k = i; k < p->accesses.count; ++k) {
      if (p->accesses.data[k].load == TVI_KIR_NONE ||
          !tvi_cuda_is_same_address(&p->accesses.data[k], access))
        continue;
      p->accesses.data[k].is_held = true;
      p->accesses.data[k].held_at = s->held_bytes;
    }
    s->held_bytes += bytes;
  }
  if (s->held_bytes && 2 * (s->held_bytes + OWN_SHARED) <= limit && s->lanes > 512) s->lanes = 512;
}

void tvi_cuda_choose_row_shape(tvi_cuda_printer_t* p) {
  memset(&p->shape, 0, sizeof(p->shape));
  const uint32_t rows_end = tvi_cuda_outer_count(p), last = p->loop_count - 1;
  const trivet_dim_t length = tvi_cuda_extent_product(p, rows_end, p->loop_count);
  const int64_t rows = tvi_cuda_printer_estimate(p, tvi_cuda_extent_product(p, 0, rows_end));
  const int64_t row = tvi_cuda_printer_estimate(p, length);
  int64_t low, most;
  if (!length) return;
  tvi_dim_range(p->program->dims, length, &low, &most);
  bool has_values = false;  // kept per point
  bool in_order = false;    // one lane walks the row: a join's sides must not be exchanged
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const tvi_kir_stage_t* joined = &p->program->stages[stage];
    has_values |= p->schedule->stages[stage].has_inner;
    in_order |= joined->monoid != NULL && !tvi_kir_stage_is_commutative(joined);
  }
  tvi_cuda_shape_t* s = &p->shape;
  s->vector = s->columns = 1;
  s->lanes = 1;
  s->is_column = prefers_columns(p, rows_end);
  if (s->is_column && !in_order && rows_end > 0) {
    s->column_loop = rows_end - 1;
    s->columns = choose_columns(p, rows_end - 1, rows, row);
  }
  if (in_order) {
    s->rows = 128;
  } else if (s->is_column || row <= 8) {
    const uint32_t most_lanes = s->is_column ? 128 : 8;
    while (s->lanes < most_lanes && s->lanes * 8 <= row &&
           rows / s->columns * s->lanes < ENOUGH_THREADS)
      s->lanes *= 2;
    s->rows = s->lanes == 1 ? 128 : s->lanes > 32 ? 1024 / s->lanes : 32;
    if (!s->is_column && s->lanes > 1) s->rows = 128 / s->lanes;
  } else {
    s->vector = tvi_cuda_choose_vector(p, last);
    choose_shift(p, rows_end, row);
    const int64_t pieces = (row + s->vector - 1) / s->vector + s->is_shifted;
    while (s->lanes < 32 && s->lanes < pieces) s->lanes *= 2;
    const int64_t held = s->vector < 4 ? 16 / s->vector : 4;
    while (s->lanes < 1024 && pieces > (int64_t)s->lanes * held) s->lanes *= 2;
    while (s->lanes < 256 && pieces > s->lanes && rows * s->lanes < ENOUGH_THREADS / 4)
      s->lanes *= 2;
    s->rows = s->lanes >= 128 ? 1 : 128 / s->lanes;
    while (s->rows > 1 && s->rows * s->lanes > 32 && rows / s->rows < 132) s->rows /= 2;
  }
  const int64_t per_chunk = (int64_t)s->lanes * s->vector;
  if (s->is_shifted && most <= INT64_MAX - s->vector) most += s->vector - 1;
  const int64_t chunks = most / per_chunk + (most % per_chunk != 0);
  if (chunks * s->vector <= MAX_HELD && (has_values || s->lanes > 1 || most <= 16))
    s->chunks = chunks ? (uint32_t)chunks : 1;
  s->parts = s->chunks || in_order ? 1 : choose_parts(p, rows, row);
  if (!in_order) choose_held(p, row, most);
  // Smaller blocks spread better over the device.
  while (s->parts > 1 && !s->is_column && s->lanes > 256) s->lanes /= 2, s->parts *= 2;
}

void tvi_cuda_choose_joining_shape(tvi_cuda_printer_t* p) {
  tvi_cuda_shape_t* s = &p->shape;
  const uint32_t most = s->is_column ? 16 : 256;
  s->is_joining = true;
  s->is_shifted = false;
  s->vector = s->columns = 1;
  s->lanes = 1;
  while (s->lanes < most && s->lanes < s->parts) s->lanes *= 2;
  s->rows = s->is_column ? 32 : s->lanes < 128 ? 128 / s->lanes : 1;
}
