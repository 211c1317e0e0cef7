// SPDX-License-Identifier: Apache-2.0
//
// Kernels with reductions: some lanes of a block walk a row together. Where a row fits their
// registers, or else shared memory, it is read once and every stage works on what was read;
// otherwise it is walked again for each stage. Scans are walked by one thread a row.
// emit_row_shape.c divides rows among threads.
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/monoid.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT

trivet_dim_t tvi_cuda_states_size(tvi_cuda_printer_t* p, uint32_t stage) {
  tvi_dim_context_t* dims = p->program->dims;
  const trivet_dim_t rows = tvi_cuda_extent_product(p, 0, tvi_cuda_outer_count(p));
  const int64_t bytes = (int64_t)p->shape.parts * tvi_cuda_state_bytes(p, stage);
  return tvi_dim_binary(dims, TRIVET_DIM_MUL, rows, tvi_dim_constant(dims, bytes));
}

// The loop over what this thread has of the row; ends with two braces.
static void open_points(tvi_cuda_printer_t* p, uint32_t rows_end) {
  const tvi_cuda_shape_t* s = &p->shape;
  const char* index = tvi_cuda_index_type(p);
  const trivet_dim_t length = tvi_cuda_extent_product(p, rows_end, p->loop_count);
  const char* shift = s->is_shifted ? " - shift" : "";
  int64_t value;
  if (s->chunks) {
    P(p, "TV_UNROLL\nfor (int c = 0; c < %u; ++c) {\nconst %s k = (c * %u + lane) * %u%s;\n",
      s->chunks, index, s->lanes, s->vector, shift);
    if (tvi_dim_is_constant(length, &value) && value == (int64_t)s->chunks * s->lanes * s->vector) {
      P(p, "{\n");
    } else {
      P(p, "if (k < ");
      tvi_cuda_print_dim(p, length);
      P(p, ") {\n");
    }
  } else {
    const bool shares = s->parts > 1;
    P(p, "{\n%sfor (%s k = %s * %u%s; k < ",
      s->is_column ? "_Pragma(\"unroll 8\")\n"
      : shares     ? "_Pragma(\"unroll 4\")\n"
                   : "",
      index, shares ? "place" : "lane", s->vector, shift);
    tvi_cuda_print_dim(p, length);
    P(p, "; k += %u) {\n", s->lanes * s->vector * (shares ? s->parts : 1));
  }
  if (s->is_shifted) {
    P(p, "const %s b%u = k;\n", index, rows_end);
  } else if (rows_end < p->loop_count) {
    P(p, "%s r = (%s)k%s;\n", tvi_cuda_count_type(p), tvi_cuda_count_type(p),
      s->vector == 1   ? ""
      : s->vector == 2 ? " / 2u"
      : s->vector == 4 ? " / 4u"
      : s->vector == 8 ? " / 8u"
                       : " / 16u");
    tvi_cuda_print_unravel(p, rows_end, p->loop_count, s->vector, s->columns < 2);
  }
}

static void open_elements(tvi_cuda_printer_t* p, uint32_t rows_end) {
  const uint32_t last = p->loop_count - 1;
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) {\n", p->shape.vector);
  if (p->shape.is_shifted) {
    P(p, "const %s q%u = tv_within<%s>(b%u + e, ", tvi_cuda_index_type(p), last,
      tvi_cuda_index_type(p), last);
    tvi_cuda_print_dim(p, p->extents[last]);
    P(p, ");\n");
  } else if (rows_end < p->loop_count) {
    P(p, "const %s q%u = b%u + e;\n", tvi_cuda_index_type(p), last, last);
  }
}

// Before what only elements of the row take part in: beside those that a thread has of a shifted
// row may be some that are none.
static void print_only_within(tvi_cuda_printer_t* p) {
  const uint32_t last = p->loop_count - 1;
  if (!p->shape.is_shifted) return;
  P(p, "if (tv_is_within<1>(b%u + e, ", last);
  P(p, "(%s)", tvi_cuda_index_type(p));
  tvi_cuda_print_dim(p, p->extents[last]);
  P(p, ")) ");
}

static void print_array_load(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                             uint32_t rows_end) {
  const uint32_t vector = p->shape.vector, last = p->loop_count - 1;
  char at[48] = "";
  if (access->is_cached) snprintf(at, sizeof(at), " + c * %u", vector);
  if (tvi_cuda_is_piece(p, access, last, vector)) {
    tvi_cuda_print_piece(p, access, last, vector, at);
    return;
  }
  open_elements(p, rows_end);
  P(p, "x%u[e%s] = tv_get(", access->array, at);
  tvi_cuda_print_pointer(p, access->value);
  P(p, "[");
  tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
  P(p, "]);\n}\n");
}

// Which loads are held in arrays: whole rows that several stages read, and pieces of 16 bytes.
static void assign_arrays(tvi_cuda_printer_t* p) {
  uint32_t arrays = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    access->array = TVI_CUDA_NONE;
    access->is_cached = false;
    const bool is_piece =
        p->shape.vector > 1 && tvi_cuda_is_piece(p, access, p->loop_count - 1, p->shape.vector);
    if (!(access->is_direct || is_piece) || !tvi_cuda_walks_row(p, access)) continue;
    access->is_cached = p->shape.chunks != 0 && tvi_cuda_is_read_again(p, access);
    if (!access->is_cached && !is_piece && !access->is_held) continue;
    for (size_t k = 0; k < i && access->is_cached; ++k)
      if (p->accesses.data[k].array != TVI_CUDA_NONE && p->accesses.data[k].is_cached &&
          tvi_cuda_is_same_address(&p->accesses.data[k], access))
        access->array = p->accesses.data[k].array;
    if (access->array == TVI_CUDA_NONE) access->array = arrays++;
  }
}

static void print_cached_loads(tvi_cuda_printer_t* p, uint32_t rows_end) {
  bool any = false;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (!access->is_cached) continue;
    bool first = true;
    for (size_t k = 0; k < i; ++k)
      first &= !p->accesses.data[k].is_cached || p->accesses.data[k].array != access->array;
    if (!first) continue;
    P(p, "%s x%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
      access->array, p->shape.chunks * p->shape.vector);
    any = true;
  }
  if (!any) return;
  open_points(p, rows_end);
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    bool first = access->is_cached;
    for (size_t k = 0; k < i; ++k)
      first &= !p->accesses.data[k].is_cached || p->accesses.data[k].array != access->array;
    if (first) print_array_load(p, access, rows_end);
  }
  P(p, "}\n}\n");
}

// Where shared memory holds elements of this thread, from number k of the row on.
static void print_held_at(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access) {
  P(p, "(%s*)(memory + %u) + k%s",
    tvi_cuda_storage_type(tvi_cuda_stored_dtype(&p->program->values[access->value])),
    access->held_at, p->shape.is_shifted ? " + shift" : "");
}

// Brings the rows that are held to shared memory. Whole pieces at the ends of shifted ones, too:
// before the first element lie others of the tensor, behind the last one nothing is read.
static void print_held_loads(tvi_cuda_printer_t* p, uint32_t rows_end) {
  const uint32_t last = p->loop_count - 1, vector = p->shape.vector;
  if (!p->shape.held_bytes) return;
  P(p, "TV_MEMORY(memory);\n");
  open_points(p, rows_end);
  uint32_t next = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (!access->is_held || access->held_at < next) continue;
    next = access->held_at + 1;
    const bool is_piece = vector > 1 && tvi_cuda_is_piece(p, access, last, vector);
    if (!is_piece) open_elements(p, rows_end);
    P(p, "tv_hold<%u>(", is_piece ? vector : 1);
    print_held_at(p, access);
    P(p, is_piece ? ", " : " + e, ");
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, is_piece ? last : TVI_CUDA_NONE);
    if (p->shape.is_shifted) {
      P(p, ", (%s)", tvi_cuda_index_type(p));
      tvi_cuda_print_dim(p, p->extents[last]);
      P(p, " - b%u);\n", last);
    } else {
      P(p, ", %u);\n", is_piece ? vector : 1);
    }
    if (!is_piece) P(p, "}\n");
  }
  P(p, "}\n}\ntv_copy_commit();\ntv_copy_wait<0>();\n");
}

static void print_piece_loads(tvi_cuda_printer_t* p, uint32_t stage, uint32_t rows_end) {
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->stage != stage || access->array == TVI_CUDA_NONE || access->is_cached) continue;
    P(p, "%s x%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
      access->array, p->shape.vector);
    if (access->is_held) {
      P(p, "tv_load<%u>(x%u, ", p->shape.vector, access->array);
      print_held_at(p, access);
      P(p, ");\n");
    } else {
      print_array_load(p, access, rows_end);
    }
  }
}

static const tvi_cuda_access_t* store_of(const tvi_cuda_printer_t* p, uint32_t stage,
                                         uint32_t value) {
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE && access->stage == stage && access->value == value)
      return access;
  }
  return NULL;
}

static void print_scalar_store(tvi_cuda_printer_t* p, const tvi_cuda_access_t* store,
                               const char* condition) {
  if (tvi_dtype_bits(tvi_cuda_stored_dtype(&p->program->values[store->value])) < 8) {
    tvi_cuda_fail(p, TRIVET_STATUS(INTERNAL, "a packed result of a reduction"));
    return;
  }
  P(p, "%stv_put(", condition);
  tvi_cuda_print_pointer(p, store->value);
  P(p, "[");
  tvi_cuda_print_offset(p, store, TVI_CUDA_NONE);
  P(p, "], ");
}

// Is the stage a mean with squares of differences, of elements that a thread holds all at once?
static bool is_moments(const tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_cuda_shape_t* s = &p->shape;
  return p->program->stages[stage].monoid->kind == TVI_KIR_WELFORD && s->chunks != 0 &&
         s->columns < 2 && s->parts < 2 && !s->is_column;
}

// Has every lane as many elements of its row as it can hold?
static bool is_even(tvi_cuda_printer_t* p) {
  const tvi_cuda_shape_t* s = &p->shape;
  const trivet_dim_t length = tvi_cuda_extent_product(p, tvi_cuda_outer_count(p), p->loop_count);
  int64_t value;
  return s->chunks != 0 && tvi_dim_is_constant(length, &value) &&
         value == (int64_t)s->chunks * s->lanes * s->vector;
}

// Joins the states of the lanes of a row.
static void print_lane_join(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_cuda_shape_t* shape = &p->shape;
  if (shape->lanes == 1) return;
  if (is_moments(p, stage) && is_even(p)) {
    P(p,
      shape->lanes > 32 ? "tv_join_row<%u, s%u_t::even_t>(s%u, shared);\n"
                        : "tv_join_lanes<%u, s%u_t::even_t>(s%u);\n",
      shape->lanes, stage, stage);
    return;
  }
  if (shape->is_column) {
    P(p, "tv_join_column<%u, %u, s%u_t>(s%u, shared);\n", shape->lanes, shape->rows, stage, stage);
  } else if (shape->lanes > 32) {
    P(p, "tv_join_row<%u, s%u_t>(s%u, shared);\n", shape->lanes, stage, stage);
  } else {
    P(p, "tv_join_lanes<%u, s%u_t>(s%u);\n", shape->lanes, stage, stage);
  }
}

// The states that the parts of rows leave in the workspace.
static void print_states(tvi_cuda_printer_t* p, uint32_t stage) {
  const uint32_t offset = tvi_cuda_parameter(p, p->state_offsets[stage]);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, offset);
  P(p, "((s%u_t*)w%u)", stage, offset);
}

// What the state of a row is made, and stored.
static void print_results(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  tvi_cuda_print_finish(p, stage);
  for (uint32_t i = 0; i < s->result_count; ++i) {
    if (s->values[i] == TVI_KIR_NONE || !tvi_cuda_is_written(p, s->values[i])) continue;
    print_scalar_store(p, store_of(p, stage, s->values[i]), "if (is_first) ");
    P(p, "v%u);\n", s->values[i]);
  }
}

// The second kernel: the states of all parts of a row.
static void print_joining(tvi_cuda_printer_t* p, uint32_t stage, trivet_dim_t rows) {
  tvi_cuda_print_identity(p, stage);
  P(p, "for (int i = lane; i < %u; i += %u) s%u = s%u_t::join(s%u, ", p->shape.parts,
    p->shape.lanes, stage, stage, stage);
  print_states(p, stage);
  P(p, "[at + i * (%s)", tvi_cuda_count_type(p));
  tvi_cuda_print_dim(p, rows);
  P(p, "]);\n");
  print_lane_join(p, stage);
  print_results(p, stage);
}

// The mean of what this thread holds, and then the squares of differences: neither divisions nor a
// chain through all elements, as joining them one by one would be.
static void print_moments(tvi_cuda_printer_t* p, uint32_t stage, uint32_t rows_end) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const uint32_t vector = p->shape.vector;
  const char* type = tvi_cuda_register_type(s->monoid->dtypes[0]);
  P(p, "%s points%u[%u], sums%u[4] = {0, 0, 0, 0}, squares%u[4] = {0, 0, 0, 0};\n", type, stage,
    p->shape.chunks * vector, stage, stage);
  open_points(p, rows_end);
  print_piece_loads(p, stage, rows_end);
  open_elements(p, rows_end);
  tvi_cuda_print_body(p, stage);
  P(p, "points%u[c * %u + e] = ", stage, vector);
  tvi_cuda_print_ref(p, stage, s->results[0]);
  P(p, ";\n");
  print_only_within(p);
  P(p, "sums%u[(c * %u + e) %% 4] += points%u[c * %u + e]%s", stage, vector, stage, vector,
    p->shape.is_shifted ? ", " : ";\n}\n");
  P(p, p->shape.is_shifted ? "s%u.m2 += 1;\n}\n}\n}\n" : "s%u.m2 += %u;\n}\n}\n", stage, vector);
  P(p, "if (s%u.m2 != 0) s%u.m0 = (sums%u[0] + sums%u[1] + (sums%u[2] + sums%u[3])) / s%u.m2;\n",
    stage, stage, stage, stage, stage, stage, stage);
  open_points(p, rows_end);
  if (p->shape.is_shifted) {
    open_elements(p, rows_end);
  } else {
    P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) {\n", vector);
  }
  P(p, "const %s d = points%u[c * %u + e] - s%u.m0;\n", type, stage, vector, stage);
  print_only_within(p);
  P(p, "squares%u[(c * %u + e) %% 4] = tv_fma(d, d, squares%u[(c * %u + e) %% 4]);\n}\n}\n}\n",
    stage, vector, stage, vector);
  P(p, "s%u.m1 = squares%u[0] + squares%u[1] + (squares%u[2] + squares%u[3]);\n", stage, stage,
    stage, stage, stage);
}

static void print_reduction(tvi_cuda_printer_t* p, uint32_t stage, uint32_t rows_end) {
  const tvi_cuda_shape_t* shape = &p->shape;
  tvi_cuda_print_identity(p, stage);
  if (shape->lanes == 1 && shape->chunks == 0 && shape->vector == 1 && shape->parts < 2) {
    for (uint32_t l = rows_end; l < p->loop_count; ++l) {
      if (l + 1 == p->loop_count) P(p, "_Pragma(\"unroll 4\")\n");
      P(p, "for (%s q%u = 0; q%u < ", tvi_cuda_index_type(p), l, l);
      tvi_cuda_print_dim(p, p->extents[l]);
      P(p, "; ++q%u) {\n", l);
    }
    if (rows_end == p->loop_count) P(p, "{\n");
    tvi_cuda_print_body(p, stage);
    tvi_cuda_print_join(p, stage);
    for (uint32_t l = rows_end; l < p->loop_count; ++l) P(p, "}\n");
    if (rows_end == p->loop_count) P(p, "}\n");
  } else if (is_moments(p, stage)) {
    print_moments(p, stage, rows_end);
    print_lane_join(p, stage);
  } else {
    open_points(p, rows_end);
    print_piece_loads(p, stage, rows_end);
    open_elements(p, rows_end);
    tvi_cuda_print_body(p, stage);
    print_only_within(p);
    tvi_cuda_print_join(p, stage);
    P(p, "}\n}\n}\n");
    print_lane_join(p, stage);
  }
  if (shape->parts > 1) {
    P(p, "if (is_first) ");
    print_states(p, stage);
    P(p, "[at] = s%u;\n", stage);
    return;
  }
  print_results(p, stage);
}

// Loads of neighbouring rows at once: those of |stage|.
static void print_column_loads(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_cuda_shape_t* shape = &p->shape;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->stage != stage || access->array == TVI_CUDA_NONE) continue;
    P(p, "%s x%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
      access->array, shape->columns);
    tvi_cuda_print_piece(p, access, shape->column_loop, shape->columns, "");
  }
}

static void open_columns(tvi_cuda_printer_t* p) {
  const uint32_t loop = p->shape.column_loop;
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) {\nconst %s q%u = b%u + e;\n", p->shape.columns,
    tvi_cuda_index_type(p), loop, loop);
}

// The states of neighbouring rows: a<stage>.
static void print_column_reduction(tvi_cuda_printer_t* p, uint32_t stage, uint32_t rows_end) {
  const tvi_cuda_shape_t* shape = &p->shape;
  P(p, "s%u_t a%u[%u];\nTV_UNROLL\nfor (int e = 0; e < %u; ++e) {\n", stage, stage, shape->columns,
    shape->columns);
  tvi_cuda_print_identity(p, stage);
  P(p, "a%u[e] = s%u;\n}\n", stage, stage);
  open_points(p, rows_end);
  print_column_loads(p, stage);
  open_columns(p);
  P(p, "s%u_t& s%u = a%u[e];\n", stage, stage, stage);
  tvi_cuda_print_body(p, stage);
  tvi_cuda_print_join(p, stage);
  P(p, "}\n}\n}\n");
  if (shape->lanes > 1) {
    P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) tv_join_column<%u, %u, s%u_t>(a%u[e], shared);\n",
      shape->columns, shape->lanes, shape->rows, stage, stage);
  }
  if (shape->parts < 2) return;
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e)\nif (is_first) ", shape->columns);
  print_states(p, stage);
  P(p, "[at * %u + e] = a%u[e];\n", shape->columns, stage);
}

// A value of neighbouring rows: kept in y<value> until all are there, where they lie together.
static void print_column_value(tvi_cuda_printer_t* p, uint32_t stage, uint32_t value) {
  if (value == TVI_KIR_NONE || !tvi_cuda_is_written(p, value)) return;
  const tvi_cuda_access_t* store = store_of(p, stage, value);
  if (tvi_cuda_is_vector(p, store, p->shape.column_loop, p->shape.columns)) {
    P(p, "y%u[e] = v%u;\n", value, value);
    return;
  }
  print_scalar_store(p, store, "if (is_first) ");
  P(p, "v%u);\n", value);
}

// What the states of neighbouring rows are made, and what is computed from that, row by row.
static void print_column_results(tvi_cuda_printer_t* p) {
  const tvi_cuda_shape_t* shape = &p->shape;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE && tvi_cuda_is_written(p, access->value) &&
        tvi_cuda_is_vector(p, access, shape->column_loop, shape->columns))
      P(p, "%s y%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
        access->value, shape->columns);
  }
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind != TVI_KIR_REDUCE) print_column_loads(p, stage);
  }
  open_columns(p);
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const tvi_kir_stage_t* s = &p->program->stages[stage];
    if (s->kind == TVI_KIR_REDUCE) {
      P(p, "s%u_t& s%u = a%u[e];\n", stage, stage, stage);
      tvi_cuda_print_finish(p, stage);
      for (uint32_t k = 0; k < s->result_count; ++k) print_column_value(p, stage, s->values[k]);
      continue;
    }
    P(p, "%s v%u;\n{\n", tvi_cuda_register_type(p->program->values[s->values[0]].dtype),
      s->values[0]);
    tvi_cuda_print_body(p, stage);
    P(p, "v%u = ", s->values[0]);
    tvi_cuda_print_ref(p, stage, s->results[0]);
    P(p, ";\n}\n");
    print_column_value(p, stage, s->values[0]);
  }
  P(p, "}\n");
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load != TVI_KIR_NONE || !tvi_cuda_is_written(p, access->value) ||
        !tvi_cuda_is_vector(p, access, shape->column_loop, shape->columns))
      continue;
    P(p, "if (is_first) tv_store<%u>(", shape->columns);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, shape->column_loop);
    P(p, ", y%u);\n", access->value);
  }
}

static void print_columns(tvi_cuda_printer_t* p, uint32_t rows_end) {
  const tvi_cuda_shape_t* shape = &p->shape;
  uint32_t arrays = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    access->is_cached = false;
    const bool is_piece = access->load != TVI_KIR_NONE &&
                          tvi_cuda_is_piece(p, access, shape->column_loop, shape->columns);
    access->array = is_piece ? arrays++ : TVI_CUDA_NONE;
  }
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind == TVI_KIR_REDUCE)
      print_column_reduction(p, stage, rows_end);
  }
  if (shape->parts < 2) print_column_results(p);
}

// What a map's result is rounded from, where nothing but the store reads it: that rounds too.
static tvi_kir_ref_t before_rounding(const tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const tvi_kir_instr_t* result = &s->instrs[s->results[0]];
  const uint32_t dtype = p->program->values[s->values[0]].dtype;
  if (result->opcode != TVI_KIR_CAST || result->dtype != dtype ||
      (dtype != TRIVET_DTYPE_F16 && dtype != TRIVET_DTYPE_BF16) ||
      tvi_cuda_stored_dtype(&p->program->values[s->values[0]]) != dtype ||
      s->instrs[result->args[0]].dtype != TRIVET_DTYPE_F32)
    return s->results[0];
  for (uint32_t i = 0; i < p->program->stage_count; ++i) {
    const tvi_kir_stage_t* reader = &p->program->stages[i];
    for (uint32_t k = 0; k < reader->instr_count; ++k)
      if (reader->instrs[k].opcode == TVI_KIR_LOAD &&
          reader->instrs[k].imm.load->value == s->values[0])
        return s->results[0];
  }
  return result->args[0];
}

static void print_row_map(tvi_cuda_printer_t* p, uint32_t stage, uint32_t rows_end) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const uint32_t value = s->values[0], vector = p->shape.vector;
  const char* type = tvi_cuda_register_type(p->program->values[value].dtype);
  const tvi_cuda_access_t* store = store_of(p, stage, value);
  const bool is_written = tvi_cuda_is_written(p, value);
  if (!p->schedule->stages[stage].has_inner) {
    P(p, "%s v%u;\n{\n", type, value);
    tvi_cuda_print_body(p, stage);
    P(p, "v%u = ", value);
    tvi_cuda_print_ref(p, stage, s->results[0]);
    P(p, ";\n}\n");
    if (!is_written) return;
    print_scalar_store(p, store, "if (is_first) ");
    P(p, "v%u);\n", value);
    return;
  }
  const bool is_kept = p->shape.chunks != 0;
  if (is_kept) P(p, "%s v%u[%u];\n", type, value, p->shape.chunks * vector);
  open_points(p, rows_end);
  print_piece_loads(p, stage, rows_end);
  if (!is_kept) P(p, "%s v%u[%u];\n", type, value, vector);
  open_elements(p, rows_end);
  tvi_cuda_print_body(p, stage);
  char at[48];
  if (is_kept) {
    snprintf(at, sizeof(at), "v%u[c * %u + e]", value, vector);
  } else {
    snprintf(at, sizeof(at), "v%u[e]", value);
  }
  const bool whole = vector > 1 && tvi_cuda_is_vector(p, store, p->loop_count - 1, vector);
  P(p, "%s = ", at);
  tvi_cuda_print_ref(p, stage, whole ? before_rounding(p, stage) : s->results[0]);
  P(p, ";\n");
  if (is_written && !whole) {
    print_scalar_store(p, store, "if (is_live) ");
    P(p, "%s);\n", at);
  }
  P(p, "}\n");
  if (is_written && whole) {
    P(p, "if (is_live) tv_store%s<%u>(", p->shape.is_shifted ? "_row" : "", vector);
    tvi_cuda_print_pointer(p, value);
    P(p, " + ");
    tvi_cuda_print_offset(p, store, p->loop_count - 1);
    P(p, is_kept ? ", v%u + c * %u" : ", v%u", value, vector);
    if (p->shape.is_shifted) {
      P(p, ", b%u, (%s)", p->loop_count - 1, tvi_cuda_index_type(p));
      tvi_cuda_print_dim(p, p->extents[p->loop_count - 1]);
    }
    P(p, ");\n");
  }
  P(p, "}\n}\n");
}

// |rows|, counted in what a thread takes of them.
static trivet_dim_t row_pieces(tvi_cuda_printer_t* p, trivet_dim_t rows) {
  if (p->shape.columns < 2) return rows;
  tvi_dim_context_t* dims = p->program->dims;
  return tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, rows, tvi_dim_constant(dims, p->shape.columns));
}

// Rows, or parts of rows.
static trivet_dim_t all_rows(tvi_cuda_printer_t* p, trivet_dim_t rows) {
  if (p->shape.parts < 2 || p->shape.is_joining) return rows;
  tvi_dim_context_t* dims = p->program->dims;
  return tvi_dim_binary(dims, TRIVET_DIM_MUL, rows, tvi_dim_constant(dims, p->shape.parts));
}

// Rows of the block, and their loops.
static trivet_dim_t print_rows(tvi_cuda_printer_t* p, uint32_t rows_end) {
  const tvi_cuda_shape_t* s = &p->shape;
  const trivet_dim_t rows = row_pieces(p, tvi_cuda_extent_product(p, 0, rows_end));
  const char* count = tvi_cuda_count_type(p);
  if (s->is_column) {
    P(p,
      "const int lane = (int)threadIdx.x / %u;\n%s r = (%s)blockIdx.x * %uu + threadIdx.x %% "
      "%uu;\n",
      s->rows, count, count, s->rows, s->rows);
  } else {
    P(p,
      "const int lane = (int)threadIdx.x %% %u;\n%s r = (%s)blockIdx.x * %uu + threadIdx.x / "
      "%uu;\n",
      s->lanes, count, count, s->rows, s->lanes);
  }
  P(p, "const bool is_live = r < ");
  tvi_cuda_print_dim(p, all_rows(p, rows));
  P(p, ", is_first = is_live && lane == 0;\nif (!is_live) r = 0;\n");
  if (s->parts > 1) P(p, "const %s at = r;\n", count);
  if (s->parts > 1 && !s->is_joining) {
    P(p, "const int place = (int)(r / (%s)", count);
    tvi_cuda_print_dim(p, rows);
    P(p, ") * %u + lane;\nr %%= (%s)", s->lanes, count);
    tvi_cuda_print_dim(p, rows);
    P(p, ";\n");
  }
  if (s->columns > 1) {
    tvi_cuda_print_unravel(p, 0, rows_end, s->columns, true);
  } else {
    tvi_cuda_print_unravel(p, 0, rows_end, 1, false);
  }
  if (s->is_shifted) {
    P(p, "int shift;\n{\nconst int q%u = 0;\nshift = (int)((", rows_end);
    tvi_cuda_print_offset(p, &p->accesses.data[s->shifted_as], TVI_CUDA_NONE);
    P(p, ") & %u);\n}\n", s->vector - 1);
  }
  return rows;
}

static void set_grid(tvi_cuda_printer_t* p, trivet_dim_t rows, tvi_cuda_variant_t* variant) {
  tvi_dim_context_t* dims = p->program->dims;
  variant->block = p->shape.lanes * p->shape.rows;
  variant->grid = tvi_cuda_parameter(p, tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, all_rows(p, rows),
                                                       tvi_dim_constant(dims, p->shape.rows)));
}

// Room for the states that lanes of several warps give each other, shared by all reductions.
static void print_shared(tvi_cuda_printer_t* p) {
  const tvi_cuda_shape_t* s = &p->shape;
  if (s->lanes == 1 || (!s->is_column && s->lanes <= 32)) return;
  P(p, "union states_t {\n");
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind == TVI_KIR_REDUCE) P(p, "s%u_t m%u;\n", stage, stage);
  }
  P(p, "};\n__shared__ __attribute__((aligned(16))) char shared[sizeof(states_t) * %u];\n",
    s->is_column ? s->lanes * s->rows : s->lanes * s->rows / 32);
}

void tvi_cuda_print_row(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant) {
  const uint32_t rows_end = tvi_cuda_outer_count(p);
  const trivet_dim_t rows = print_rows(p, rows_end);
  print_shared(p);
  variant->shared_bytes = p->shape.held_bytes;
  if (p->shape.columns > 1) {
    print_columns(p, rows_end);
    set_grid(p, rows, variant);
    return;
  }
  assign_arrays(p);
  print_held_loads(p, rows_end);
  if (!p->shape.is_joining) print_cached_loads(p, rows_end);
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind != TVI_KIR_REDUCE) {
      if (p->shape.parts < 2 || p->shape.is_joining) print_row_map(p, stage, rows_end);
    } else if (p->shape.is_joining) {
      print_joining(p, stage, rows);
    } else {
      print_reduction(p, stage, rows_end);
    }
  }
  set_grid(p, rows, variant);
}

void tvi_cuda_print_scan(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant) {
  const uint32_t rows_end = tvi_cuda_outer_count(p), loop = p->loop_count - 1;
  const uint32_t stage = p->schedule->order[p->group->stage_first];
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  memset(&p->shape, 0, sizeof(p->shape));
  p->shape.lanes = p->shape.vector = 1;
  p->shape.rows = 128;
  const trivet_dim_t rows = print_rows(p, rows_end);
  for (size_t i = 0; i < p->accesses.count; ++i) p->accesses.data[i].array = TVI_CUDA_NONE;
  P(p, "if (!is_live) return;\n");
  tvi_cuda_print_identity(p, stage);
  P(p, "for (%s i = 0; i < ", tvi_cuda_index_type(p));
  tvi_cuda_print_dim(p, p->extents[loop]);
  P(p, "; ++i) {\nconst %s q%u = ", tvi_cuda_index_type(p), loop);
  if (s->scan_flags & TVI_KIR_SCAN_REVERSE) {
    tvi_cuda_print_dim(p, p->extents[loop]);
    P(p, " - 1 - i;\n");
  } else {
    P(p, "i;\n");
  }
  tvi_cuda_print_body(p, stage);
  const bool exclusive = (s->scan_flags & TVI_KIR_SCAN_EXCLUSIVE) != 0;
  if (!exclusive) tvi_cuda_print_join(p, stage);
  for (uint32_t i = 0; i < s->result_count; ++i) {
    if (s->values[i] == TVI_KIR_NONE || !tvi_cuda_is_written(p, s->values[i])) continue;
    print_scalar_store(p, store_of(p, stage, s->values[i]), "");
    P(p, "(%s)s%u.m%u);\n", tvi_cuda_register_type(s->monoid->dtypes[i]), stage, i);
  }
  if (exclusive) tvi_cuda_print_join(p, stage);
  P(p, "}\n");
  set_grid(p, rows, variant);
}
