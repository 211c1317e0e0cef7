// SPDX-License-Identifier: Apache-2.0
//
// Attention as one kernel for tensor cores (attention.cuh) with the sizes, strides and conditions
// of one region. Between what core/target/attention_match.h has read and the compiler; which of the
// forms is the fastest is the business of "cuda.attention" (attention_kernel.h).
#ifndef TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_CODE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_CODE_H_

#include "core/target/attention_match.h"
#include "plugins/cuda/emit/emit_code.h"

#ifdef __cplusplus
extern "C" {
#endif

// At most q, k, v, the past of both, mask, lengths, result.
#define TVI_CUDA_ATTENTION_OPERANDS 8u

// A way to compute it. A block has |wm| x |wn| warps; a warp has |mt| tiles of 16 rows and looks at
// |bn| keys at a time; warps of the same rows look at different keys. |splits| > 1: so many blocks
// share the keys of a row, and a second kernel joins what they have found, always in the same
// order. |pack|: rows are queries of all heads that share a key head, not of one. |resident|:
// blocks of a multiprocessor that registers must suffice for; 0: as it comes.
// |groups| > 0: the form for Hopper (flash.cuh) with so many groups of four warps; mt and wn are 1,
// wm is 4 * groups, nothing is split or packed. |stages| tiles of keys and values are in shared
// memory; |has_orderer|: a group more gives the copy engine its orders; |takes_turns|: two groups
// multiply in turn.
typedef struct tvi_cuda_attention_form_s {
  uint32_t mt, wm, wn, bn, splits, resident;
  bool pack;
  uint32_t groups, stages;
  bool has_orderer, takes_turns;
} tvi_cuda_attention_form_t;

// Why there is no kernel for |attention|; NULL: there is one.
const char* tvi_cuda_attention_reason(const tvi_attention_t* attention);
// Why there is none for Hopper.
const char* tvi_cuda_flash_reason(const trivet_region_t* region, const tvi_attention_t* attention);

// Bytes of shared memory and threads of a block.
uint32_t tvi_cuda_attention_shared_bytes(const tvi_attention_t* attention,
                                         const tvi_cuda_attention_form_t* form);
uint32_t tvi_cuda_attention_threads(const tvi_cuda_attention_form_t* form);

// Prints it. |out_operands|: the operand of the region for each number in |out_code->operands|.
trivet_status_t tvi_cuda_attention_code(const trivet_region_t* region,
                                        const tvi_attention_t* attention,
                                        const tvi_cuda_attention_form_t* form, const char* name,
                                        tvi_cuda_code_t* out_code,
                                        uint32_t out_operands[TVI_CUDA_ATTENTION_OPERANDS]);

// What follows the prelude and a list of constants.
extern const char tvi_cuda_attention_text[];
// What follows that in the form for Hopper.
extern const char tvi_cuda_flash_text[];

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_CODE_H_
