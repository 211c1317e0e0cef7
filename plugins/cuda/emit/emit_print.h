// SPDX-License-Identifier: Apache-2.0
//
// What the printers of kernels share: the kernel under construction, its addresses as affine forms
// over loops, and the printing of a stage's body. Not for others.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_EMIT_PRINT_H_
#define TRIVET_PLUGINS_CUDA_EMIT_EMIT_PRINT_H_

#include "core/kernel_ir/scalar.h"
#include "plugins/cuda/emit/emit_code.h"
#include "plugins/cuda/emit/emit_schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_CUDA_MAX_ATOMS 8u

// Element offset of an access: constant + sum of coefficient * loop + sum of coefficient * atom
// (an instruction of the stage that is no affine form of its indices).
typedef struct tvi_cuda_access_s {
  uint32_t stage;  // of the program
  uint32_t value;
  tvi_kir_ref_t load;     // TVI_KIR_NONE: a store
  bool is_guarded;        // may be out of bounds
  uint32_t guarded_dims;  // bit per dimension that is tested
  bool is_direct;         // no atoms, no guard, no wrap: the offset is affine in the loops
  trivet_dim_t constant;
  trivet_dim_t coefficients[TVI_CUDA_MAX_LOOPS];  // NULL: 0
  uint32_t atom_count;
  tvi_kir_ref_t atoms[TVI_CUDA_MAX_ATOMS];
  uint32_t
      atom_dims[TVI_CUDA_MAX_ATOMS];  // wrapped index of that dimension; TVI_CUDA_NONE: an atom
  trivet_dim_t atom_coefficients[TVI_CUDA_MAX_ATOMS];
  uint32_t array;  // number of the array of registers that holds it; TVI_CUDA_NONE
  bool is_cached;  // the array holds the whole row
  bool is_held;    // shared memory holds the whole row, from byte |held_at| on
  uint32_t held_at;
} tvi_cuda_access_t;

// How the points of a row are spread over threads.
typedef struct tvi_cuda_shape_s {
  bool is_column;   // neighbouring threads have neighbouring rows, not neighbouring points
  uint32_t lanes;   // threads of a row
  uint32_t rows;    // rows of a block
  uint32_t vector;  // elements that a thread takes at once
  // Rows begin |shift| elements behind a multiple of |vector|, each at its own: threads take what
  // lies between multiples of |vector| in memory, less at both ends of the row. All that walks the
  // row is shifted as access |shifted_as| is.
  bool is_shifted;
  uint32_t shifted_as;
  // Neighbouring rows that a thread of a column has, along |column_loop|, read and written at once.
  // 0, 1: one
  uint32_t columns, column_loop;
  uint32_t chunks;  // times that a row is walked; 0: not known, it is walked in a loop
  uint32_t parts;   // blocks that share a row; a second kernel joins their states. 0, 1: no
  bool is_joining;  // that second kernel
  // Dynamic shared memory of a block that holds what several stages read of its row: each thread
  // brings there what it reads later itself. 0: nothing is held
  uint32_t held_bytes;
  bool is_tiled;  // a map that reads along |tile_loop| through tiles in shared memory
  uint32_t tile_loop;
} tvi_cuda_shape_t;

typedef struct tvi_cuda_printer_s {
  tvi_cuda_code_t* code;
  const tvi_cuda_code_options_t* options;
  const tvi_kir_program_t* program;  // of the schedule
  const tvi_cuda_schedule_t* schedule;
  tvi_arena_t* arena;
  trivet_dim_t (*strides)[TRIVET_MAX_RANK];  // by value
  trivet_dim_t* workspace_offsets;           // by value; NULL: not stored
  trivet_dim_t* state_offsets;               // by stage: states of parts of rows; NULL: none
  const uint32_t* operand_of_value;
  // The kernel under construction:
  const tvi_cuda_group_t* group;
  tvi_string_builder_t body;
  uint32_t loop_count;  // after merging
  trivet_dim_t extents[TVI_CUDA_MAX_LOOPS];
  bool is_inner[TVI_CUDA_MAX_LOOPS];
  uint32_t loop_of_loop[TVI_CUDA_MAX_LOOPS];  // merged loop of a loop of the group
  bool is_raw[TVI_CUDA_MAX_LOOPS];            // loop of the group that is used as a number
  bool is_wide;                               // offsets and points need 64 bits
  tvi_cuda_shape_t shape;
  TVI_VECTOR(tvi_cuda_access_t) accesses;
  TVI_VECTOR(tvi_cuda_argument_t) arguments;  // of this kernel, in the order of its parameters
  uint8_t** is_short;                         // by stage: i64 instructions that fit 32 bits, +1
  trivet_status_t status;                     // first failure, owned
  char name[TVI_CUDA_NAME_SIZE];
} tvi_cuda_printer_t;

#define TVI_CUDA_PRINT(p, ...) tvi_string_builder_appendf(&(p)->body, __VA_ARGS__)

// Remembers the first failure.
void tvi_cuda_fail(tvi_cuda_printer_t* p, trivet_status_t status);

// |dim| as an expression of the kernel: a number, or a parameter that is added.
void tvi_cuda_print_dim(tvi_cuda_printer_t* p, trivet_dim_t dim);
// The number of a parameter of the step for |dim|.
uint32_t tvi_cuda_parameter(tvi_cuda_printer_t* p, trivet_dim_t dim);
// Dimensions of the program's: a number, and TRIVET_DIM_|op| of two. NULL: overflow, or of NULL.
trivet_dim_t tvi_cuda_number(const tvi_cuda_printer_t* p, int64_t value);
trivet_dim_t tvi_cuda_dim(const tvi_cuda_printer_t* p, uint32_t op, trivet_dim_t a, trivet_dim_t b);

// Makes an argument of the step one of the kernel under construction.
void tvi_cuda_add_argument(tvi_cuda_printer_t* p, uint32_t kind, uint32_t index);
// Appends the kernel of |variant| with |p->arguments| and the statements of |body| to the text.
void tvi_cuda_print_kernel(tvi_cuda_printer_t* p, const tvi_cuda_variant_t* variant,
                           trivet_string_view_t body);

// How an element type is kept in registers; floats come first.
typedef enum {
  TVI_CUDA_SMALL_FLOAT,
  TVI_CUDA_FLOAT,
  TVI_CUDA_DOUBLE,
  TVI_CUDA_NARROW,
  TVI_CUDA_NARROW_U,
  TVI_CUDA_INT,
  TVI_CUDA_UINT,
  TVI_CUDA_LONG,
  TVI_CUDA_ULONG,
  TVI_CUDA_BOOLEAN
} tvi_cuda_kind_t;
tvi_cuda_kind_t tvi_cuda_kind(uint32_t dtype);

// Type of the registers of an element type, and of its elements in memory.
const char* tvi_cuda_register_type(uint32_t dtype);
const char* tvi_cuda_storage_type(uint32_t dtype);
// The element type that a temporary is stored with.
uint32_t tvi_cuda_stored_dtype(const tvi_kir_value_t* value);

// Whether offsets of the collected accesses, or a count of |points|, may reach 2^31.
bool tvi_cuda_is_wide(const tvi_cuda_printer_t* p, double points);
// For the symbols to optimise for: |dim| (0 for NULL), and the bytes of a value.
int64_t tvi_cuda_printer_estimate(const tvi_cuda_printer_t* p, trivet_dim_t dim);
double tvi_cuda_value_bytes(const tvi_cuda_printer_t* p, uint32_t value);
// Fills |p->accesses| for all stages of the group, and the merged loops.
void tvi_cuda_collect_accesses(tvi_cuda_printer_t* p);
// Offset of an access at the loops q<number>; |base_loop|, where it is one, is called b<number>.
void tvi_cuda_print_offset(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                           uint32_t base_loop);
// Name of the pointer parameter of a value.
void tvi_cuda_print_pointer(tvi_cuda_printer_t* p, uint32_t value);

// The prelude, then the functions of plugins that the program calls. emit_device.c
void tvi_cuda_print_prelude(tvi_cuda_printer_t* p);
void tvi_cuda_print_device_name(tvi_cuda_printer_t* p, const tvi_kir_device_t* device);
// The arguments of a DEVICE instruction, in order.
void tvi_cuda_device_arguments(const tvi_kir_instr_t* instrs, const tvi_kir_instr_t* instr,
                               tvi_kir_ref_t args[TVI_KIR_MAX_PARAMETERS]);
// Marks the instructions of a stage that are printed: one byte for each.
void tvi_cuda_mark_needed(const tvi_cuda_printer_t* p, uint32_t stage, uint8_t* is_needed);
// The statements of a stage's body at one point (loops are q<number>), after which
// tvi_cuda_print_ref prints the name of a result.
void tvi_cuda_print_body(tvi_cuda_printer_t* p, uint32_t stage);
void tvi_cuda_print_ref(tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref);
// A number of an element type, and what stands around an integer that may leave its type.
void tvi_cuda_print_constant(tvi_cuda_printer_t* p, uint32_t dtype, tvi_kir_scalar_t value);
const char* tvi_cuda_wrap_open(uint32_t dtype);
const char* tvi_cuda_wrap_close(uint32_t dtype);
// The statement of instruction |index| of the join that the stage's monoid declares.
void tvi_cuda_print_join_instr(tvi_cuda_printer_t* p, uint32_t stage, uint32_t index);
// The struct of a monoid's state, "s<stage>_t", with its join, before the kernels.
void tvi_cuda_print_monoid(tvi_cuda_printer_t* p, uint32_t stage);
// At most so many bytes has a state.
uint32_t tvi_cuda_state_bytes(const tvi_cuda_printer_t* p, uint32_t stage);
// Statements that declare the state "s<stage>", join the results of a body to it, and make it what
// the values of the stage are.
void tvi_cuda_print_identity(tvi_cuda_printer_t* p, uint32_t stage);
void tvi_cuda_print_join(tvi_cuda_printer_t* p, uint32_t stage);
void tvi_cuda_print_finish(tvi_cuda_printer_t* p, uint32_t stage);

// Loops [first, last) from the number r, innermost one fastest; the last one counts pieces of
// |vector| elements and is called b<number> where |is_base|.
void tvi_cuda_print_unravel(tvi_cuda_printer_t* p, uint32_t first, uint32_t last, uint32_t vector,
                            bool is_base);
// "int" or "long long", and the unsigned one.
const char* tvi_cuda_index_type(const tvi_cuda_printer_t* p);
const char* tvi_cuda_count_type(const tvi_cuda_printer_t* p);
// The most elements that direct accesses along |loop| can take at once, and as many as fill 16
// bytes of the smallest, whether they can or not.
uint32_t tvi_cuda_widest_vector(const tvi_cuda_printer_t* p, uint32_t loop);
uint32_t tvi_cuda_choose_vector(const tvi_cuda_printer_t* p, uint32_t loop);
// Can |access| move |vector| elements along |loop| at once?
bool tvi_cuda_is_vector(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                        uint32_t vector);
// The same for a load whose guard and computed positions are the same for all |vector| elements
// too; tvi_cuda_print_piece reads them to the array of the access, from |at| (" + c * 8") on.
bool tvi_cuda_is_piece(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                       uint32_t vector);
void tvi_cuda_print_piece(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                          uint32_t vector, const char* at);
// Must this value be written to memory?
bool tvi_cuda_is_written(const tvi_cuda_printer_t* p, uint32_t value);
// Product of the extents of loops [first, last).
trivet_dim_t tvi_cuda_extent_product(tvi_cuda_printer_t* p, uint32_t first, uint32_t last);

// What a thread of a map computes at the loops q<number> and the |vector| elements from b<last> on.
// Arrays are numbered from |arrays|; accesses that have one are in registers already.
void tvi_cuda_print_points(tvi_cuda_printer_t* p, uint32_t last, uint32_t vector, uint32_t arrays);
// Is this load read along the tile's loop?
bool tvi_cuda_is_crossing(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                          uint32_t loop);

// Prints the body of a kernel for the group with the vector that |p->shape| says, and its grid and
// block into |variant|.
void tvi_cuda_print_map(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant);
void tvi_cuda_print_tiles(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant);
void tvi_cuda_print_row(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant);
void tvi_cuda_print_scan(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant);
// How many loops, the first ones, go over rows; the others walk a row.
uint32_t tvi_cuda_outer_count(const tvi_cuda_printer_t* p);
// Chooses |p->shape| for a group with reductions, but for alignment.
void tvi_cuda_choose_row_shape(tvi_cuda_printer_t* p);
void tvi_cuda_choose_map_shape(tvi_cuda_printer_t* p);
// Does the access take elements of the row that lie in memory before the kernel begins, and which
// other stages take from the same place?
bool tvi_cuda_walks_row(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access);
bool tvi_cuda_is_read_again(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access);
bool tvi_cuda_is_same_address(const tvi_cuda_access_t* a, const tvi_cuda_access_t* b);
// Makes the shape of a row that blocks share that of the kernel that joins their states.
void tvi_cuda_choose_joining_shape(tvi_cuda_printer_t* p);
// Bytes for the states of |stage| of all parts of all rows; NULL on overflow.
trivet_dim_t tvi_cuda_states_size(tvi_cuda_printer_t* p, uint32_t stage);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_EMIT_PRINT_H_
