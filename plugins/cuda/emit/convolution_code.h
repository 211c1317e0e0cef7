// SPDX-License-Identifier: Apache-2.0
//
// Convolutions as kernels of our own: reads a program whose first stage is a convolution and prints
// it with everything that follows it element by element, either as a matrix product whose first
// factor is gathered from the image, or, for windows of single channels, as sums in registers.
// Between the general printer (emit_print.h) and "cuda.convolution" (convolution_kernel.h).
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_CODE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_CODE_H_

#include "core/kernel_ir/contraction.h"
#include "plugins/cuda/emit/matmul_code.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a program is. Strides and sizes are dimensions of the program's context.
typedef struct tvi_cuda_convolution_problem_s {
  const char* reason;                 // not NULL: it is none of these; nothing else is set
  tvi_cuda_matmul_problem_t product;  // m: pixels, n: channels of the result, k: of a window
  tvi_kir_convolution_t match;        // of the program that was scheduled
  bool is_depthwise;                  // a window of one channel for each channel
  bool has_boxes;                     // the copy engine can bring the image in boxes
  bool has_lines;                     // few channels: the form for first layers can compute it
  uint32_t x, weight;                 // values of the given program; x: not where it is made
  // How weights are read best: strides by dimension of their value, in elements, and how many those
  // of an output channel (of a place of the window) then take.
  trivet_dim_t weight_strides[TRIVET_MAX_RANK];
} tvi_cuda_convolution_problem_t;

// How to compute it. A matrix product: |tile|, and the blocks that share a sum; the form for Hopper
// needs operands of which eight elements are moved at once, and shares none. Depthwise: the
// neighbours along a row that a thread computes, 1 to 8, and the threads that share the channels
// which lie in 16 bytes.
typedef struct tvi_cuda_convolution_form_s {
  uint32_t tile, splits;
  uint32_t across, sharers;
  bool by_lines;  // the form for first layers: lines of the image in shared memory; nothing else
  bool by_boxes;  // |tile| of the form for Hopper: the copy engine brings boxes of the image
} tvi_cuda_convolution_form_t;

// Reads |program| without printing. Scratch memory from |arena|.
trivet_status_t tvi_cuda_convolution_read(const tvi_kir_program_t* program,
                                          const tvi_cuda_code_options_t* options,
                                          tvi_arena_t* arena, trivet_allocator_t allocator,
                                          tvi_cuda_convolution_problem_t* out_problem);

// Prints it; UNIMPLEMENTED where tvi_cuda_convolution_read has a reason.
trivet_status_t tvi_cuda_convolution_code(const tvi_kir_program_t* program,
                                          const tvi_cuda_code_options_t* options,
                                          const tvi_cuda_convolution_form_t* form,
                                          tvi_arena_t* arena, trivet_allocator_t allocator,
                                          tvi_cuda_code_t* out_code);

// What follows the text of matrix products.
extern const char tvi_cuda_convolution_text[];

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_CODE_H_
