// SPDX-License-Identifier: Apache-2.0
//
// One step in a world of its own: buffers for its operands, filled with small numbers, the kernel's
// run half, and a clock.
#include "codegen/tactic/measure.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

#define MIN_RUNS 5
#define MAX_RUNS 50
#define BUDGET_NS 30000000
#define DEVICE_ALIGNMENT 16  // of bindings on a device; most buffers have more

typedef struct bench_s {
  tvi_tactic_context_t* context;
  const trivet_region_t* region;
  tvi_arena_t arena;
  TVI_VECTOR(trivet_operand_t) operands;
  TVI_VECTOR(void*) addresses;
  TVI_VECTOR(uint64_t) sizes;  // bytes at the addresses
  TVI_VECTOR(int64_t) parameters;
  const void* blob;
  uint64_t blob_size;
} bench_t;

static trivet_status_t value_of(const bench_t* b, trivet_dim_t dim, int64_t* out_value) {
  return tvi_dim_evaluate(dim, b->region->symbols, b->region->symbol_count, out_value);
}

// Memory that covers a strided operand. Floats are small and differ; integers are small enough to
// be indices into anything.
static trivet_status_t make_memory(bench_t* b, uint32_t dtype, uint32_t rank, const int64_t* dims,
                                   const int64_t* strides, void** out_memory, uint64_t* out_size) {
  int64_t last = 0;
  for (uint32_t d = 0; d < rank; ++d) {
    int64_t reach = 0;
    if (dims[d] == 0) continue;
    if (!tvi_checked_mul_i64(dims[d] - 1, strides[d] < 0 ? -strides[d] : strides[d], &reach) ||
        !tvi_checked_add_i64(last, reach, &last)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "an operand's size overflows 64 bits");
    }
  }
  size_t bytes = 0;
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dtype, last + 1, &bytes));
  uint8_t* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&b->arena, bytes + 64, 64, &memory));
  memset(memory, 0, bytes + 64);
  if (dtype == TRIVET_DTYPE_F32) {
    float* f = (float*)memory;
    for (int64_t i = 0; i <= last; ++i) f[i] = (float)((i * 37 % 101) - 50) * 0.01f;
  } else if (dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16) {
    for (int64_t i = 0; i <= last; ++i) {
      tvi_dtype_write_f64(dtype, memory, i, (double)((i * 37 % 101) - 50) * 0.01);
    }
  }
  *out_memory = memory;
  *out_size = bytes;
  return TRIVET_OK;
}

static trivet_status_t add_operand(void* self, uint32_t index) {
  bench_t* b = (bench_t*)self;
  uint32_t count = b->region->input_count + b->region->output_count;
  if (index >= count) return TRIVET_STATUS(INTERNAL, "operand %u of %u emitted", index, count);
  const tvi_region_operand_t* from = &b->region->operands[index];
  const tvi_value_t* value = tvi_graph_value(b->region->graph, from->value);
  trivet_operand_t operand;
  memset(&operand, 0, sizeof(operand));
  operand.dtype = value->type.dtype;
  operand.rank = value->type.rank;
  operand.alignment = 64;
  operand.flags = from->is_output ? TRIVET_OPERAND_OUTPUT : 0;
  for (uint32_t d = 0; d < operand.rank; ++d) {
    TRIVET_RETURN_IF_ERROR(value_of(b, value->type.dims[d], &operand.dims[d]));
    TRIVET_RETURN_IF_ERROR(value_of(b, from->strides[d], &operand.strides[d]));
  }
  void* memory = NULL;
  uint64_t size = 0;
  if (value->constant && value->constant->data) {
    memory = (void*)value->constant->data;
    size = value->constant->size;
    operand.flags |= TRIVET_OPERAND_CONSTANT;
    operand.constant = memory;
    operand.alignment = 1;
  } else {
    TRIVET_RETURN_IF_ERROR(
        make_memory(b, operand.dtype, operand.rank, operand.dims, operand.strides, &memory, &size));
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->operands, operand));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->sizes, size));
  return tvi_vector_push(&b->addresses, memory);
}

static trivet_status_t add_absent(void* self) {
  bench_t* b = (bench_t*)self;
  trivet_operand_t operand;
  memset(&operand, 0, sizeof(operand));
  operand.flags = TRIVET_OPERAND_ABSENT;
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->operands, operand));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->sizes, 0));
  return tvi_vector_push(&b->addresses, NULL);
}

static trivet_status_t add_packed(void* self, const tvi_packed_constant_t* packed) {
  bench_t* b = (bench_t*)self;
  void* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&b->arena, packed->size + 64, 64, &memory));
  memcpy(memory, packed->data, packed->size);
  trivet_operand_t operand;
  memset(&operand, 0, sizeof(operand));
  operand.dtype = packed->dtype;
  operand.rank = packed->rank;
  operand.flags = TRIVET_OPERAND_CONSTANT;
  operand.alignment = 64;
  operand.constant = memory;
  int64_t stride = 1;
  for (uint32_t d = packed->rank; d-- > 0;) {
    operand.dims[d] = packed->dims[d];
    operand.strides[d] = stride;
    stride *= packed->dims[d];
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->operands, operand));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&b->sizes, packed->size));
  return tvi_vector_push(&b->addresses, memory);
}

static trivet_status_t add_parameter(void* self, trivet_dim_t dim) {
  bench_t* b = (bench_t*)self;
  int64_t value = 0;
  TRIVET_RETURN_IF_ERROR(value_of(b, dim, &value));
  return tvi_vector_push(&b->parameters, value);
}

static trivet_status_t set_blob(void* self, const void* data, uint64_t size) {
  bench_t* b = (bench_t*)self;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&b->arena, size + 1, 64, &copy));
  memcpy(copy, data, size);
  b->blob = copy;
  b->blob_size = size;
  return TRIVET_OK;
}

static trivet_status_t require(void* self, const char* requirement) {
  (void)self, (void)requirement;  // this machine builds, so it has what the kernel asks for
  return TRIVET_OK;
}

static int compare_times(const void* a, const void* b) {
  int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return (x > y) - (x < y);
}

static trivet_status_t run_all(bench_t* b, const trivet_kernel_t* kernel, void* prepared,
                               void* workspace, double* out_nanoseconds) {
  trivet_kernel_launch_t launch = {(void* const*)b->addresses.data, workspace,
                                   b->context->options.executor, NULL};
  int64_t times[MAX_RUNS];
  int count = 0;
  TRIVET_RETURN_IF_ERROR(
      kernel->run(kernel, prepared, &launch));  // warms caches and lazily made things
  for (int64_t spent = 0; count < MAX_RUNS && (count < MIN_RUNS || spent < BUDGET_NS); ++count) {
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(kernel->run(kernel, prepared, &launch));
    times[count] = tvi_clock_now_ns() - start;
    spent += times[count];
  }
  qsort(times, (size_t)count, sizeof(times[0]), compare_times);
  // Other processes only ever add time: the faster runs say more than the median.
  int64_t quartile = times[count / 4];
  *out_nanoseconds = (double)quartile;
  return TRIVET_OK;
}

static trivet_status_t measure(bench_t* b, const tvi_tactic_t* tactic, double* out_nanoseconds) {
  const trivet_kernel_t* kernel = tactic->kernel;
  const trivet_allocator_t* allocator = &b->context->allocator;
  struct trivet_emission_s emission = {tvi_emission_api(), b,          &b->arena,
                                       add_operand,        add_absent, add_packed,
                                       add_parameter,      set_blob,   require};
  TRIVET_RETURN_IF_ERROR(kernel->emit(kernel, b->region, tactic->id, &emission));
  const trivet_kernel_t* runner =
      tvi_registry_kernel(b->context->options.run_registry, kernel->name, kernel->version);
  if (!runner || !runner->load)
    return TRIVET_STATUS(UNAVAILABLE, "kernel %s cannot run on this machine", kernel->name);
  trivet_kernel_load_t load;
  memset(&load, 0, sizeof(load));
  load.header.struct_size = sizeof(load);
  load.blob = (const uint8_t*)b->blob;
  load.blob_size = b->blob_size;
  load.allocator = allocator;
  tvi_measure_device_t* on_device = b->context->options.measure;
  if (on_device) {
    const tvi_open_device_t* device = tvi_measure_device_device(on_device);
    TRIVET_RETURN_IF_ERROR(tvi_device_enter(device));
    TRIVET_RETURN_IF_ERROR(
        tvi_measure_device_upload(on_device, b->addresses.data, b->sizes.data, b->addresses.count));
    for (size_t i = 0; i < b->operands.count; ++i) {
      trivet_operand_t* operand = &b->operands.data[i];
      if (operand->constant) operand->constant = b->addresses.data[i];
      operand->alignment = DEVICE_ALIGNMENT;
    }
    load.device = device->state;
  }
  void *loaded = NULL, *prepared = NULL, *workspace = NULL;
  uint64_t workspace_size = 0;
  TRIVET_RETURN_IF_ERROR(runner->load(runner, &load, &loaded));
  trivet_kernel_prepare_t prepare;
  memset(&prepare, 0, sizeof(prepare));
  prepare.header.struct_size = sizeof(prepare);
  prepare.operands = b->operands.data;
  prepare.operand_count = b->operands.count;
  prepare.parameters = b->parameters.data;
  prepare.parameter_count = b->parameters.count;
  prepare.allocator = allocator;
  prepare.executor = b->context->options.executor;
  trivet_status_t status = runner->prepare(runner, loaded, &prepare, &workspace_size, &prepared);
  if (!status && on_device) {
    status = tvi_measure_device_run(on_device, runner, prepared, b->addresses.data, workspace_size,
                                    out_nanoseconds);
    runner->release(runner, prepared, allocator);
  } else if (!status) {
    status = tvi_arena_alloc_aligned(&b->arena, workspace_size + 64, 64, &workspace);
    if (!status) status = run_all(b, runner, prepared, workspace, out_nanoseconds);
    runner->release(runner, prepared, allocator);
  }
  runner->unload(runner, loaded, allocator);
  return status;
}

trivet_status_t tvi_tactic_measure(tvi_tactic_context_t* context, const trivet_region_t* region,
                                   const tvi_tactic_t* tactic, double* out_nanoseconds) {
  bench_t bench;
  memset(&bench, 0, sizeof(bench));
  bench.context = context;
  bench.region = region;
  tvi_arena_init(&bench.arena, context->allocator, 1 << 20);
  tvi_vector_init(&bench.operands, context->allocator);
  tvi_vector_init(&bench.addresses, context->allocator);
  tvi_vector_init(&bench.parameters, context->allocator);
  tvi_vector_init(&bench.sizes, context->allocator);
  trivet_status_t status = measure(&bench, tactic, out_nanoseconds);
  tvi_vector_deinit(&bench.operands);
  tvi_vector_deinit(&bench.addresses);
  tvi_vector_deinit(&bench.parameters);
  tvi_vector_deinit(&bench.sizes);
  tvi_arena_deinit(&bench.arena);
  return trivet_status_annotate(status, "measuring tactic \"%s\" of kernel %s", tactic->name,
                                tactic->kernel->name);
}
