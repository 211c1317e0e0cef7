// SPDX-License-Identifier: Apache-2.0
//
// Matrix products as kernels for tensor cores: reads a program whose first stage is a contraction
// and prints it with everything that follows it element by element, whatever that is. Between the
// general printer (emit_print.h), which prints the expressions, and "cuda.matmul"
// (matmul_kernel.h), which chooses among the forms.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_MATMUL_CODE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_MATMUL_CODE_H_

#include "plugins/cuda/emit/emit_code.h"

#ifdef __cplusplus
extern "C" {
#endif

// A way to compute it: a block of threads has a tile of |bm| x |bn|, |wm| x |wn| warps share it,
// |stages| tiles of |kt| along k are in shared memory: |kt| factors of 16 bits, as many bytes of
// others.
typedef struct tvi_cuda_matmul_tile_s {
  uint32_t bm, bn, kt, wm, wn, stages;
  uint32_t slab;   // not 0: the form for Hopper, with the copy engine and wgmma (matmul_wide.c)
  uint32_t turns;  // 1: groups of four warps have tiles of their own and take turns
  uint32_t late;   // 1: a tile, rounded, is finished while the next one is multiplied
  uint32_t even;   // 1: blocks have as many steps each, whatever tiles these are of (stream-K)
} tvi_cuda_matmul_tile_t;

extern const tvi_cuda_matmul_tile_t tvi_cuda_matmul_tiles[];
extern const uint32_t tvi_cuda_matmul_tile_count;
uint32_t tvi_cuda_matmul_shared_bytes(const tvi_cuda_matmul_tile_t* tile);
// Factors of |dtype| along k in a tile, and in 16 bytes; pairs of i8.
uint32_t tvi_cuda_matmul_depth(const tvi_cuda_matmul_tile_t* tile, uint32_t dtype);
uint32_t tvi_cuda_matmul_piece(uint32_t dtype);
// Why tensor cores do not multiply factors of |dtype| that are summed in |sum|; NULL: they do.
// f32 is rounded to 10 bits behind the point, where |allows_tf32|.
const char* tvi_cuda_matmul_check_dtype(uint32_t dtype, uint32_t sum, bool allows_tf32);

// What a program is, for prices. Sizes are estimates for the symbols to optimise for.
typedef struct tvi_cuda_matmul_problem_s {
  const char* reason;      // not NULL: it is no such product; nothing else is set
  int64_t m, n, k, batch;  // |n|: neighbours in the result
  uint32_t dtype;          // of the factors
  uint32_t a, b;           // values of the given program, in the order of m and n
  // Elements of the factors and of the result that are moved at once; 1: none.
  uint32_t vector_a, vector_b, vector_c;
  bool can_map_a, can_map_b;          // the copy engine can bring the factors
  uint32_t b_rank, b_n_dim, b_k_dim;  // how packing would turn b; b_rank 0: it cannot
  double factor_bytes;                // that the factors have
  double epilogue_bytes;              // that other stages than the product move
  double epilogue_work;               // instructions that they execute
  bool is_symbolic;                   // sizes differ from run to run
  bool is_narrow;                     // the product itself has the factors' type in the program
  bool makes_a, makes_b;              // factors that are computed on their way; a, b are not set
  bool waits;                         // one of them through registers: each step waits for memory
  double work_a, work_b;              // instructions that takes, once for all elements
} tvi_cuda_matmul_problem_t;

// Reads |program| without printing. Scratch memory from |arena|.
trivet_status_t tvi_cuda_matmul_read(const tvi_kir_program_t* program,
                                     const tvi_cuda_code_options_t* options, tvi_arena_t* arena,
                                     trivet_allocator_t allocator,
                                     tvi_cuda_matmul_problem_t* out_problem);

// The form for Hopper whose blocks can share the sum of a tile: each block takes one part of one.
bool tvi_cuda_matmul_can_share(const tvi_cuda_matmul_tile_t* tile);

// The form for Hopper in which two groups share a tile and blocks know nothing of each other.
bool tvi_cuda_matmul_is_plain_wide(const tvi_cuda_matmul_tile_t* tile);

// Prints it. |splits| > 1: so many blocks share the sum of a tile; a second kernel adds what they
// have found, or on Hopper the blocks themselves, as a cluster. Always in the same order.
// UNIMPLEMENTED where tvi_cuda_matmul_read has a reason.
trivet_status_t tvi_cuda_matmul_code(const tvi_kir_program_t* program,
                                     const tvi_cuda_code_options_t* options,
                                     const tvi_cuda_matmul_tile_t* tile, uint32_t splits,
                                     tvi_arena_t* arena, trivet_allocator_t allocator,
                                     tvi_cuda_code_t* out_code);

// Nanoseconds on a large device for a tile that is not the form for Hopper; |packed|: the second
// factor has been laid out anew (matmul_kernel.c).
double tvi_cuda_matmul_price(const tvi_cuda_matmul_problem_t* problem,
                             const tvi_cuda_matmul_tile_t* tile, uint32_t splits, bool packed);

// The same for a tile of the form for Hopper.
// How many parts of |size| cover |whole|.
double tvi_cuda_parts(int64_t whole, int64_t size);
double tvi_cuda_matmul_wide_price(const tvi_cuda_matmul_problem_t* problem,
                                  const tvi_cuda_matmul_tile_t* tile, uint32_t splits);

// What follows the prelude.
extern const char tvi_cuda_matmul_text[];
// What follows that in the form for Hopper.
extern const char tvi_cuda_wgmma_text[];

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_MATMUL_CODE_H_
