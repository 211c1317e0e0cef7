// SPDX-License-Identifier: Apache-2.0
//
// From a problem and concrete operands to a oneDNN primitive. Used at build time to learn how
// oneDNN wants weights, and at run time by prepare.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PRIMITIVE_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PRIMITIVE_H_

#include <oneapi/dnnl/dnnl.h>

#include "plugins/cpu_onednn/onednn_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// Status of a oneDNN call, naming it.
trivet_status_t onednn_check(dnnl_status_t status, const char* call);
#define ONEDNN_RETURN_IF_ERROR(call, name) TRIVET_RETURN_IF_ERROR(onednn_check((call), (name)))

// Memory descriptors of a problem for concrete operands, in the primitive's dimensions.
typedef struct onednn_descriptors_s {
  dnnl_memory_desc_t x, y, bias;
  dnnl_memory_desc_t weights;  // as the operand lies (not packed)
  dnnl_memory_desc_t postops[ONEDNN_MAX_POSTOPS];
  bool has_weights, has_bias;
} onednn_descriptors_t;

// One dimension out of several of an operand; false: they are not walked with one stride.
bool onednn_collapse(const trivet_operand_t* operand, const uint8_t* dims, uint32_t count,
                     int64_t* out_extent, int64_t* out_stride);

// Which executions of a problem in chunks a primitive is for: those before the last leave out bias
// and post-operations, those behind the first add to the result.
typedef enum onednn_part_e {
  ONEDNN_WHOLE = 0,
  ONEDNN_FIRST = 1,
  ONEDNN_MIDDLE = 2,
  ONEDNN_LAST = 3,
} onednn_part_t;

// |operands| as in the step. Errors: what oneDNN cannot express (OUT_OF_RANGE, UNIMPLEMENTED).
// |packed| true: operand 1 is packed, its dimensions come from the problem.
trivet_status_t onednn_describe(const onednn_problem_t* problem, const trivet_operand_t* operands,
                                bool packed, onednn_descriptors_t* out_descriptors);

// Whether each chunk of operand 0 is copied into a dense buffer: the channels of images, and rows
// of a matrix, as the library's fastest kernels know no rows with gaps. Else it is looked at in
// place.
bool onednn_gathers_chunks(const onednn_problem_t* problem, const onednn_descriptors_t* whole);

// Descriptors of one chunk (problem->chunk). False: the whole cannot be split.
bool onednn_describe_chunk(const onednn_problem_t* problem, const onednn_descriptors_t* whole,
                           onednn_descriptors_t* out_chunk);

// How many terms to sum at a time: rounding errors grow with the square root of the length of a
// chain of additions, and oneDNN adds all terms in one chain. 0: the chain is short.
uint32_t onednn_choose_chunk(const onednn_problem_t* problem, const onednn_descriptors_t* whole);

// The primitive descriptor. |weights|: as oneDNN likes them (format any) when NULL. Takes the
// implementation that the problem names, else the first that is not a plain reference. Where there
// is no other, |any_implementation| takes the reference (a plan must run at all its shapes), else
// UNIMPLEMENTED.
trivet_status_t onednn_create_descriptor(const onednn_problem_t* problem,
                                         const onednn_descriptors_t* descriptors,
                                         onednn_part_t part, const dnnl_memory_desc_t* weights,
                                         bool any_implementation, dnnl_engine_t engine,
                                         dnnl_primitive_desc_t* out_descriptor);

// Between oneDNN's descriptors and what a blob may hold. False: a format that has no blocks and
// strides (Winograd, for one).
bool onednn_packing_from(const dnnl_memory_desc_t* descriptor, onednn_packing_t* out_packing);
// Bytes from one chunk's packed weights to the next one's.
size_t onednn_packed_size(const dnnl_memory_desc_t* descriptor);
trivet_status_t onednn_packing_to(const onednn_packing_t* packing,
                                  dnnl_memory_desc_t* out_descriptor);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PRIMITIVE_H_
