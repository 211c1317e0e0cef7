// SPDX-License-Identifier: Apache-2.0
//
// Kernel IR to a tile program: the build half of "cpu.tile". The program is independent of shapes
// and memory orders: both arrive when it is bound (runtime/device/cpu/tile_bind.h), which picks the
// order of loops by the strides of the operands.

#ifndef TRIVET_PLUGINS_CPU_TILE_COMPILE_H_
#define TRIVET_PLUGINS_CPU_TILE_COMPILE_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// A compiled program. All memory belongs to it.
typedef struct tvi_tile_compiled_t {
  trivet_allocator_t allocator;
  uint8_t* bytes;  // the blob of the step
  size_t size;
  // What the integer parameters stand for, of the program's dimension context; evaluated before
  // every prepare.
  trivet_dim_t* parameters;
  uint32_t parameter_count;
  // Values of the kernel-IR program that the operands are: inputs that are read, and all outputs,
  // in the order of their numbers.
  uint32_t* operands;
  uint32_t operand_count;
  uint32_t section_count;  // what came of it, for prices and reports
  uint32_t phase_count;
  uint32_t stored_count;  // temporaries that take workspace
} tvi_tile_compiled_t;

// Compiles a program that tvi_kir_verify accepts. Everything that kernel IR can say compiles, but
// for element types without registers (complex, strings): UNIMPLEMENTED names them.
trivet_status_t tvi_tile_compile(const tvi_kir_program_t* program, trivet_allocator_t allocator,
                                 tvi_tile_compiled_t* out_compiled) TRIVET_MUST_USE;
// Accepts a struct of zero bytes.
void tvi_tile_compiled_deinit(tvi_tile_compiled_t* compiled);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_COMPILE_H_
