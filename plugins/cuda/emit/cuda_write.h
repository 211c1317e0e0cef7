// SPDX-License-Identifier: Apache-2.0
//
// From printed kernels to a step: compiles their text (or finds it compiled), and writes operands,
// parameters and blob. What the kernels of target "cuda" that print CUDA C share; build half only.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CUDA_WRITE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CUDA_WRITE_H_

#include "core/target/target.h"
#include "plugins/cuda/emit/emit_code.h"

#ifdef __cplusplus
extern "C" {
#endif

// A name for the kernels of a region, of the operators and the type of the first result:
// "cuda_add_relu_f16". |size| is at most TVI_CUDA_NAME_SIZE - 16, so that numbers can follow.
void tvi_cuda_name_kernels(const trivet_region_t* region, char* name, size_t size);

// The operand of the region that a value of its program, no temporary, is.
trivet_status_t tvi_cuda_find_operand(const trivet_region_t* region, const tvi_kir_value_t* value,
                                      uint32_t* out_index);

// What the printer is to know of a region's operands, by value of its program: strides (NULL for
// temporaries), and which operand it is. Both lie in |arena|.
trivet_status_t tvi_cuda_place_operands(const trivet_region_t* region, tvi_arena_t* arena,
                                        const trivet_dim_t*** out_strides,
                                        uint32_t** out_operand_of_value);

// Proposes for a region that has kernel IR, with memory for the time of the call. What |propose|
// says with UNIMPLEMENTED becomes a decline with that reason.
typedef trivet_status_t (*tvi_cuda_propose_fn_t)(const trivet_kernel_t* kernel,
                                                 const trivet_region_t* region, tvi_arena_t* arena,
                                                 trivet_proposal_t* proposal);
trivet_status_t tvi_cuda_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal, tvi_cuda_propose_fn_t propose);

// Has the target wgmma and the copy engine of Hopper? Without an architecture: yes.
bool tvi_cuda_is_hopper(const char* target);

// Bytes of shared memory that a block of the target may ask for, where it has copies to there that
// go on while threads do; 0: it has not.
uint32_t tvi_cuda_shared_limit(const char* target);

// By value of |program|, the region's: whether it is an input whose bytes are known when the plan
// is built.
trivet_status_t tvi_cuda_find_constants(const trivet_region_t* region,
                                        const tvi_kir_program_t* program, tvi_arena_t* arena,
                                        const bool** out_is_constant);

// Writes the step that launches |code|, to which the shapes of operands are added as parameters.
// |operand_of_value|: the operand of the region for each number in |code->operands|.
trivet_status_t tvi_cuda_write_code(const trivet_region_t* region, tvi_cuda_code_t* code,
                                    const uint32_t* operand_of_value, const char* name,
                                    trivet_emission_t* emission);

// An input that the step brings with it in another form.
typedef struct tvi_cuda_packed_s {
  uint32_t value;  // of the program that was printed
  tvi_packed_constant_t constant;
} tvi_cuda_packed_t;

// The same with one of the inputs packed; NULL: none.
trivet_status_t tvi_cuda_write_packed(const trivet_region_t* region, tvi_cuda_code_t* code,
                                      const uint32_t* operand_of_value,
                                      const tvi_cuda_packed_t* packed, const char* name,
                                      trivet_emission_t* emission);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CUDA_WRITE_H_
