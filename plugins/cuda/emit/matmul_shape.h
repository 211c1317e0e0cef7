// SPDX-License-Identifier: Apache-2.0
//
// A matrix product as the printers of matmul_*.c see it: which merged loops are its rows, columns,
// batches and sums, and how wide its operands can be moved. Not for others.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_MATMUL_SHAPE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_MATMUL_SHAPE_H_

#include "plugins/cuda/emit/emit_print.h"
#include "plugins/cuda/emit/matmul_code.h"

// Merged loops, the innermost last.
typedef struct tvi_cuda_loops_s {
  uint32_t count;
  uint32_t loops[TVI_CUDA_MAX_LOOPS];
} tvi_cuda_loops_t;

// One factor: x is m or n.
typedef struct tvi_cuda_factor_s {
  tvi_kir_ref_t load;
  uint32_t value;
  bool inner_k;     // neighbours in memory are neighbours along k
  uint32_t vector;  // elements of the kernel that lie together and may be moved at once
  bool is_made;     // by the stage of the value, on its way to shared memory
  uint32_t raw;     // made of this operand, which lies as it does; TVI_CUDA_NONE: there is none
} tvi_cuda_factor_t;

typedef struct tvi_cuda_matmul_shape_s {
  uint32_t core;  // stage of the product
  tvi_cuda_factor_t a, b;
  tvi_cuda_loops_t m, n, batch;
  uint32_t k;
  uint32_t width;   // neighbours along k that the kernel takes as one element; |depth| counts these
  uint32_t last;    // innermost loop of n; TVI_CUDA_NONE
  uint32_t vector;  // elements of the result that are put at once
  trivet_dim_t rows, columns, depth, batches;
} tvi_cuda_matmul_shape_t;

// Fills |out| for the program of the printer, or *out_reason (static text).
void tvi_cuda_matmul_shape(tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* out,
                           const char** out_reason);
// Its parts, for other kinds of products. Why the stages are not a reduction and what follows each
// of its results; NULL: they are.
const char* tvi_cuda_matmul_check_stages(const tvi_cuda_printer_t* p);
// Why the stages ahead of the group are more than what computes factors element by element; NULL:
// they are that. What they compute is laid in the order of what it is computed of.
const char* tvi_cuda_matmul_check_makers(tvi_cuda_printer_t* p);
// Sets whether a factor is one of these, which *io_count then counts. The reason against it.
const char* tvi_cuda_matmul_set_maker(tvi_cuda_printer_t* p, tvi_cuda_factor_t* factor,
                                      uint32_t* io_count);
// Sets what follows from the loops, the depth and the accesses of the printer; its result is the
// reason against it.
const char* tvi_cuda_matmul_measure(tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* shape);
// The type of the kernel's elements of the factors.
const char* tvi_cuda_matmul_type(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape);
// The access of a factor.
const tvi_cuda_access_t* tvi_cuda_factor_access(const tvi_cuda_printer_t* p,
                                                const tvi_cuda_matmul_shape_t* shape,
                                                const tvi_cuda_factor_t* factor);
// Bytes that addresses must be multiples of.
uint32_t tvi_cuda_matmul_alignment(const tvi_cuda_printer_t* p,
                                   const tvi_cuda_matmul_shape_t* shape);

// The function "<a or b>_at" that leaves |vector| elements of a factor with a maker, from x and k
// on; "<a or b>_make" where it finds those of |factor->raw| in their place (|in_place|).
void tvi_cuda_matmul_print_maker(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                                 bool is_b, uint32_t vector, bool in_place);
// The function "make" that does the same from a position of the factor on.
void tvi_cuda_matmul_print_make(tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor,
                                uint32_t vector, bool in_place);
// Is a factor computed where it has arrived, if addresses are multiples of 16 bytes?
bool tvi_cuda_matmul_is_turned(const tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor);

// Can the copy engine bring boxes of a factor?
bool tvi_cuda_factor_can_map(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                             const tvi_cuda_factor_t* factor, const tvi_cuda_loops_t* x);
// The statement by which a group of warps of the form for Hopper takes registers (|multiplies|) or
// gives them up, where |groups| multiply; "" for one, which needs no more than it gets anyway.
const char* tvi_cuda_matmul_registers(uint32_t groups, bool multiplies);
// The form for Hopper (matmul_wide.c): the statements of the kernel, its grid and block. Tensor
// maps are added to the step once for both factors. |splits| > 1: blocks of a cluster share a sum.
void tvi_cuda_matmul_print_wide(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                                const tvi_cuda_matmul_tile_t* tile, uint32_t splits,
                                tvi_cuda_variant_t* variant);

// Where blocks have even shares: the bytes of the sums that each block may leave to another one and
// of the flags behind them, and the kernel ahead that lowers the flags; |tile|: the argument.
void tvi_cuda_matmul_set_even_workspace(tvi_cuda_printer_t* p, const tvi_cuda_matmul_tile_t* tile);
void tvi_cuda_matmul_print_even_start(tvi_cuda_printer_t* p, const void* tile,
                                      tvi_cuda_variant_t* variant);

// Prints the statements of a kernel, whose |variant| says what addresses are multiples of, and sets
// its block, grid and shared memory.
typedef void (*tvi_cuda_matmul_print_fn_t)(tvi_cuda_printer_t* p, const void* argument,
                                           tvi_cuda_variant_t* variant);
// A kernel with what alignment allows, and one that asks for none. |step|: its number in the text.
trivet_status_t tvi_cuda_matmul_print_launch(tvi_cuda_printer_t* p,
                                             const tvi_cuda_matmul_shape_t* shape, uint32_t step,
                                             tvi_cuda_matmul_print_fn_t print,
                                             const void* argument);
// The tile type and the block's place: m0, n0, first, last and the loops of the batch.
void tvi_cuda_matmul_print_place(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                                 const tvi_cuda_matmul_tile_t* tile, bool a_inner_k, bool b_inner_k,
                                 uint32_t splits);
void tvi_cuda_matmul_set_grid(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                              const tvi_cuda_matmul_tile_t* tile, uint32_t splits,
                              tvi_cuda_variant_t* variant);
// Where several blocks share a sum: the "put" that leaves a block's part in the workspace, the
// kernel that adds the parts, and the bytes of them all.
void tvi_cuda_matmul_print_partial_put(tvi_cuda_printer_t* p, uint32_t vector);
void tvi_cuda_matmul_print_join(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                                uint32_t splits, tvi_cuda_variant_t* variant);
void tvi_cuda_matmul_set_workspace(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                                   uint32_t splits);
// Work and bytes of what follows the product, for prices.
void tvi_cuda_matmul_weigh(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                           tvi_cuda_matmul_problem_t* problem);

// The pieces that all forms print. The function "put" of a point and the |vector| sums from there
// on.
void tvi_cuda_matmul_print_put(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape,
                               uint32_t vector);
// Loops of |loops| from the number |from|; the last one is called b<number> where |is_base|.
void tvi_cuda_matmul_print_loops(tvi_cuda_printer_t* p, const tvi_cuda_loops_t* loops,
                                 const char* from, bool is_base);
// The constants M, N and K.
void tvi_cuda_matmul_print_extents(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* shape);

#endif  // TRIVET_PLUGINS_CUDA_EMIT_MATMUL_SHAPE_H_
