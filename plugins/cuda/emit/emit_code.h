// SPDX-License-Identifier: Apache-2.0
//
// A program as CUDA C: the text, and what has to be known to launch its kernels. Sizes are
// dimensions here; the host evaluates them for the shapes of a run and the launch gets numbers.
// Between the schedule (emit_schedule.h) and the compiler (cuda_nvrtc.h) and blob (cuda_blob.h).
#ifndef TRIVET_PLUGINS_CUDA_EMIT_EMIT_CODE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_EMIT_CODE_H_

#include "core/base/string_builder.h"
#include "core/base/vector.h"
#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_CUDA_NAME_SIZE 96u

// An argument of a kernel.
#define TVI_CUDA_ARGUMENT_OPERAND 0u    // address of operand |index|
#define TVI_CUDA_ARGUMENT_WORKSPACE 1u  // address of the workspace + parameter |index|
#define TVI_CUDA_ARGUMENT_I32 2u        // parameter |index|
#define TVI_CUDA_ARGUMENT_I64 3u
#define TVI_CUDA_ARGUMENT_MAP 4u  // tensor map |index| of the step
typedef struct tvi_cuda_argument_s {
  uint32_t kind;
  uint32_t index;
} tvi_cuda_argument_t;

// A tensor map: how the copy engine of Hopper finds boxes of an operand. Dimensions from the one
// whose elements follow each other on; boxes land in rows of 128 bytes, swizzled, zeros outside.
#define TVI_CUDA_MAP_RANK 5u
typedef struct tvi_cuda_map_s {
  uint32_t operand;
  uint32_t rank;
  uint32_t extents[TVI_CUDA_MAP_RANK];  // parameters
  uint32_t strides[TVI_CUDA_MAP_RANK];  // parameters: elements; the first is not looked at
  uint32_t box[TVI_CUDA_MAP_RANK];
} tvi_cuda_map_t;

// One way to launch: an entry of the module and its grid.
typedef struct tvi_cuda_variant_s {
  char name[TVI_CUDA_NAME_SIZE];
  uint32_t block;         // threads
  uint32_t shared_bytes;  // dynamic
  uint32_t grid;          // parameter: number of blocks
  uint32_t alignment;     // bytes that the addresses of all operands are multiples of
  uint32_t cluster;       // blocks of a cluster, which is in the text; 0: none
  bool begins_itself;     // the text says where it waits for the kernels ahead
} tvi_cuda_variant_t;

// A kernel; its first variant whose alignment holds is launched. The last one's is 1.
typedef struct tvi_cuda_launch_s {
  uint32_t variant_count;
  tvi_cuda_variant_t variants[2];
  uint32_t argument_first, argument_count;
} tvi_cuda_launch_t;

typedef struct tvi_cuda_code_s {
  trivet_allocator_t allocator;
  tvi_string_builder_t source;
  TVI_VECTOR(uint32_t) operands;  // values of the program that was given
  TVI_VECTOR(trivet_dim_t) parameters;
  TVI_VECTOR(tvi_cuda_argument_t) arguments;
  TVI_VECTOR(tvi_cuda_launch_t) launches;
  TVI_VECTOR(tvi_cuda_map_t) maps;
  uint32_t workspace;  // parameter: bytes
  // Machine code that exists already and its architecture, in place of |source|; NULL: none.
  const uint8_t* cubin;
  size_t cubin_size;
  const char* architecture;
} tvi_cuda_code_t;

struct tvi_cuda_printer_s;
typedef struct tvi_cuda_code_options_s {
  const char* name;  // of the kernels: lower case letters, digits and underscores
  // Strides of each value of the program, TRIVET_MAX_RANK each; NULL entry (or array): dense
  // row-major.
  const trivet_dim_t* const* strides;
  const int64_t* symbols;  // values to optimise for
  uint32_t symbol_count;
  // Prints other kernels than the generator's own (emit_print.h), once operands have their places;
  // NULL: its own.
  trivet_status_t (*print)(struct tvi_cuda_printer_s* printer, void* argument);
  void* print_argument;
  // By value of the program: inputs whose bytes are the same in every run, which a kernel may ask
  // for before the kernels ahead of it have ended. NULL: none.
  const bool* is_constant;
  // Bytes of shared memory that a block may ask for, where copies to it go on while threads do; 0:
  // none beyond what every device has.
  uint32_t shared_limit;
  bool keeps_factors;  // what a product or a convolution reads stays a stage of its own
  bool allows_tf32;    // products may round f32 factors to 10 bits behind the point
} tvi_cuda_code_options_t;

// Prints |program|, which tvi_kir_verify accepts. UNIMPLEMENTED: an element type that the GPU has
// no arithmetic for (complex, strings).
trivet_status_t tvi_cuda_code_make(const tvi_kir_program_t* program,
                                   const tvi_cuda_code_options_t* options, tvi_arena_t* arena,
                                   trivet_allocator_t allocator, tvi_cuda_code_t* out_code);
// Accepts a struct of zero bytes.
void tvi_cuda_code_deinit(tvi_cuda_code_t* code);

// What every text begins with: storage types and functions.
extern const char tvi_cuda_prelude[];

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_EMIT_CODE_H_
