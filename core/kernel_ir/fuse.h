// SPDX-License-Identifier: Apache-2.0
//
// Building programs out of programs: appending one to another, turning what lies between into
// temporaries, substituting stages into their readers, dropping what nobody reads, simplifying. The
// fusers and schedulers of every target work with these; which stages to merge is their business.
#ifndef TRIVET_CORE_KERNEL_IR_FUSE_H_
#define TRIVET_CORE_KERNEL_IR_FUSE_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// An empty program; everything added to it lies in |arena|.
trivet_status_t tvi_kir_program_create(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                       tvi_kir_program_t** out_program);
// A deep copy in |arena| (which may be another one).
trivet_status_t tvi_kir_program_clone(const tvi_kir_program_t* program, tvi_arena_t* arena,
                                      tvi_kir_program_t** out_program);
// Adds a value, of kind INPUT, OUTPUT or TEMP and without stage. The name is copied.
trivet_status_t tvi_kir_program_add_value(tvi_kir_program_t* program, const char* name,
                                          tvi_kir_value_kind_t kind, const trivet_type_t* type,
                                          uint32_t tag, uint32_t* out_value);

// Appends the stages of |src| to |dst|. |value_map| has one entry per value of |src|: the value of
// |dst| that it is, or TVI_KIR_NONE for a new one; on return the value of |dst|. A mapped value
// must have the same element type and shape. Mapping an input of |src| to an output or temporary
// of |dst| chains the two. Stages of |src| get |origin| unless it is TVI_KIR_NONE (then they keep
// theirs).
trivet_status_t tvi_kir_program_append(tvi_kir_program_t* dst, const tvi_kir_program_t* src,
                                       uint32_t origin, uint32_t* value_map);

// Makes an output a temporary (nobody outside reads it any more), or the other way round.
trivet_status_t tvi_kir_value_set_kind(tvi_kir_program_t* program, uint32_t value,
                                       tvi_kir_value_kind_t kind);
// Number of loads of |value| in all stages.
uint32_t tvi_kir_value_read_count(const tvi_kir_program_t* program, uint32_t value);

// Removes stages that no output needs and temporaries (and, with |inputs|, inputs) that nothing
// reads. |value_map| (may be NULL, one entry per old value) receives the new numbers,
// TVI_KIR_NONE where removed.
trivet_status_t tvi_kir_program_drop_dead(tvi_kir_program_t* program, bool inputs,
                                          uint32_t* value_map);

// True when tvi_kir_inline_stage can substitute the stage: a MAP of temporaries only, none of whose
// loads may fail at run time where a reader reads it with a pad.
bool tvi_kir_can_inline_stage(const tvi_kir_program_t* program, uint32_t stage);
// Substitutes a MAP stage into all its readers, which then compute it wherever they read it; a
// reader's pad becomes a select. The stage and its value stay, unread, until drop_dead.
trivet_status_t tvi_kir_inline_stage(tvi_kir_program_t* program, uint32_t stage);
// The same for the loads in one reading stage only.
trivet_status_t tvi_kir_inline_into(tvi_kir_program_t* program, uint32_t stage, uint32_t reader);

// Rebuilds every body: constants folded, equal instructions merged, unread ones dropped, index
// expressions normalised ((i*K + k) / K -> i for 0 <= k < K and the like), pads removed from loads
// that are in bounds, loads out of conditionals that are in bounds.
trivet_status_t tvi_kir_simplify(tvi_kir_program_t* program);

// True when every index of the load at |ref| is certainly within the extents of its value, for all
// values of the symbols and all positions of the stage. Never true for an index read from data,
// unless clipped.
bool tvi_kir_prove_bounds(const tvi_kir_program_t* program, uint32_t stage, tvi_kir_ref_t ref);

// What one position of a stage costs, and how many positions there are.
typedef struct tvi_kir_cost_s {
  trivet_dim_t positions;  // product of all extents; NULL on overflow
  uint32_t loads;
  uint32_t flops;            // arithmetic instructions on data (not on indices), join included
  uint32_t transcendentals;  // exp, log, sin, erf, pow, ... (division and square root are flops)
  uint32_t index_ops;        // integer instructions that only indices need
} tvi_kir_cost_t;
void tvi_kir_stage_cost(const tvi_kir_program_t* program, uint32_t stage, tvi_kir_cost_t* out_cost);
// Number of positions for given symbols (hints, say); saturates, and INT64_MAX where not
// computable.
int64_t tvi_kir_cost_positions(const tvi_kir_cost_t* cost, const int64_t* symbols,
                               uint32_t symbol_count);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_FUSE_H_
