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
#include "runtime/device/device.h"

#define MIN_RUNS 5
#define MAX_RUNS 50
#define BUDGET_NS 30000000
#define DEVICE_ALIGNMENT 16  // of bindings on a device; most buffers have more

struct tvi_tactic_bench_s {
  tvi_tactic_context_t* context;
  const trivet_region_t* region;
  tvi_arena_t arena;
  // By operand of the region.
  trivet_operand_t* operands;
  void** addresses;
  uint64_t* sizes;  // bytes at the addresses
  bool is_filled;
};

// A step that a kernel emitted, on its own.
typedef struct step_s {
  tvi_tactic_bench_t* bench;
  tvi_arena_t arena;
  TVI_VECTOR(trivet_operand_t) operands;
  TVI_VECTOR(void*) addresses;
  // What the tactic brings itself: where it belongs, and what has to go to a device.
  TVI_VECTOR(size_t) packed_at;
  TVI_VECTOR(void*) packed;
  TVI_VECTOR(uint64_t) packed_sizes;
  TVI_VECTOR(int64_t) parameters;
  const void* blob;
  uint64_t blob_size;
} step_t;

// --- Operands of a region ----------------------------------------------------------------

static trivet_status_t value_of(const trivet_region_t* region, trivet_dim_t dim,
                                int64_t* out_value) {
  return tvi_dim_evaluate(dim, region->symbols, region->symbol_count, out_value);
}

// Floats are small and differ; integers are small enough to be indices into anything.
static void fill(uint32_t dtype, uint8_t* memory, size_t bytes) {
  const int64_t period = 101;
  size_t element = tvi_dtype_bytes(dtype), done = element * (size_t)period;
  bool is_float =
      dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16;
  if (!is_float || done > bytes) done = 0;
  for (int64_t i = 0; is_float && (size_t)(i + 1) * element <= (done ? done : bytes); ++i) {
    tvi_dtype_write_f64(dtype, memory, i, (double)((i * 37 % period) - 50) * 0.01);
  }
  for (size_t step = done; done && done < bytes; done += step, step = done) {
    if (step > bytes - done) step = bytes - done;
    memcpy(memory + done, memory, step);
  }
}

// Memory that covers a strided operand.
static trivet_status_t make_memory(tvi_arena_t* arena, const trivet_operand_t* operand,
                                   void** out_memory, uint64_t* out_size) {
  int64_t last = 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    int64_t reach = 0, stride = operand->strides[d];
    if (operand->dims[d] == 0) continue;
    if (!tvi_checked_mul_i64(operand->dims[d] - 1, stride < 0 ? -stride : stride, &reach) ||
        !tvi_checked_add_i64(last, reach, &last)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "an operand's size overflows 64 bits");
    }
  }
  size_t bytes = 0;
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(operand->dtype, last + 1, &bytes));
  uint8_t* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, bytes + 64, 64, &memory));
  memset(memory, 0, bytes + 64);
  fill(operand->dtype, memory, bytes);
  *out_memory = memory;
  *out_size = bytes;
  return TRIVET_OK;
}

static trivet_status_t fill_operand(tvi_tactic_bench_t* b, uint32_t index) {
  const tvi_region_operand_t* from = &b->region->operands[index];
  const tvi_value_t* value = tvi_graph_value(b->region->graph, from->value);
  trivet_operand_t* operand = &b->operands[index];
  operand->dtype = value->type.dtype;
  operand->rank = value->type.rank;
  operand->alignment = 64;
  operand->flags = from->is_output ? TRIVET_OPERAND_OUTPUT : 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(value_of(b->region, value->type.dims[d], &operand->dims[d]));
    TRIVET_RETURN_IF_ERROR(value_of(b->region, from->strides[d], &operand->strides[d]));
  }
  if (value->constant && value->constant->data) {
    b->addresses[index] = (void*)value->constant->data;
    b->sizes[index] = value->constant->size;
    operand->flags |= TRIVET_OPERAND_CONSTANT;
    operand->constant = value->constant->data;
    operand->alignment = 1;
    return TRIVET_OK;
  }
  return make_memory(&b->arena, operand, &b->addresses[index], &b->sizes[index]);
}

static trivet_status_t fill_operands(tvi_tactic_bench_t* b) {
  uint32_t count = b->region->input_count + b->region->output_count;
  for (uint32_t i = 0; i < count; ++i) TRIVET_RETURN_IF_ERROR(fill_operand(b, i));
  tvi_measure_device_t* on_device = b->context->options.measure;
  if (on_device) {
    TRIVET_RETURN_IF_ERROR(tvi_device_enter(tvi_measure_device_device(on_device)));
    TRIVET_RETURN_IF_ERROR(
        tvi_measure_device_upload(on_device, TVI_MEASURE_REGION, b->addresses, b->sizes, count));
    for (uint32_t i = 0; i < count; ++i) {
      if (b->operands[i].constant) b->operands[i].constant = b->addresses[i];
      b->operands[i].alignment = DEVICE_ALIGNMENT;
    }
  }
  b->is_filled = true;
  return TRIVET_OK;
}

trivet_status_t tvi_tactic_bench_create(tvi_tactic_context_t* context,
                                        const trivet_region_t* region,
                                        tvi_tactic_bench_t** out_bench) {
  tvi_tactic_bench_t* b;
  size_t count = (size_t)region->input_count + region->output_count + 1;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(context->allocator, sizeof(*b), &b));
  b->context = context;
  b->region = region;
  tvi_arena_init(&b->arena, context->allocator, 1 << 20);
  trivet_status_t status =
      tvi_arena_alloc_array_zeroed(&b->arena, count, sizeof(*b->operands), &b->operands);
  if (!status) {
    status = tvi_arena_alloc_array_zeroed(&b->arena, count, sizeof(*b->addresses), &b->addresses);
  }
  if (!status) {
    status = tvi_arena_alloc_array_zeroed(&b->arena, count, sizeof(*b->sizes), &b->sizes);
  }
  if (status) {
    tvi_tactic_bench_destroy(b);
    return status;
  }
  *out_bench = b;
  return TRIVET_OK;
}

void tvi_tactic_bench_destroy(tvi_tactic_bench_t* b) {
  if (!b) return;
  tvi_arena_deinit(&b->arena);
  tvi_free(b->context->allocator, b, sizeof(*b));
}

// --- What kernels emit -------------------------------------------------------------------

static trivet_status_t add_operand(void* self, uint32_t index) {
  step_t* s = (step_t*)self;
  const tvi_tactic_bench_t* b = s->bench;
  uint32_t count = b->region->input_count + b->region->output_count;
  if (index >= count) return TRIVET_STATUS(INTERNAL, "operand %u of %u emitted", index, count);
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->operands, b->operands[index]));
  return tvi_vector_push(&s->addresses, b->addresses[index]);
}

static trivet_status_t add_absent(void* self) {
  step_t* s = (step_t*)self;
  trivet_operand_t operand;
  memset(&operand, 0, sizeof(operand));
  operand.flags = TRIVET_OPERAND_ABSENT;
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->operands, operand));
  return tvi_vector_push(&s->addresses, NULL);
}

static trivet_status_t add_packed(void* self, const tvi_packed_constant_t* packed) {
  step_t* s = (step_t*)self;
  void* memory = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&s->arena, packed->size + 64, 64, &memory));
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
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->packed_at, s->operands.count));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->packed, memory));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->packed_sizes, packed->size));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->operands, operand));
  return tvi_vector_push(&s->addresses, memory);
}

static trivet_status_t add_parameter(void* self, trivet_dim_t dim) {
  step_t* s = (step_t*)self;
  int64_t value = 0;
  TRIVET_RETURN_IF_ERROR(value_of(s->bench->region, dim, &value));
  return tvi_vector_push(&s->parameters, value);
}

static trivet_status_t set_blob(void* self, const void* data, uint64_t size) {
  step_t* s = (step_t*)self;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&s->arena, size + 1, 64, &copy));
  memcpy(copy, data, size);
  s->blob = copy;
  s->blob_size = size;
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

static trivet_status_t run_all(const step_t* b, const trivet_kernel_t* kernel, void* prepared,
                               void* workspace, double* out_nanoseconds) {
  trivet_kernel_launch_t launch = {.addresses = (void* const*)b->addresses.data,
                                   .workspace = workspace,
                                   .executor = b->bench->context->options.executor};
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

static trivet_status_t upload_packed(step_t* s, tvi_measure_device_t* on_device) {
  TRIVET_RETURN_IF_ERROR(tvi_measure_device_upload(on_device, TVI_MEASURE_TACTIC, s->packed.data,
                                                   s->packed_sizes.data, s->packed.count));
  for (size_t i = 0; i < s->packed.count; ++i) {
    size_t at = s->packed_at.data[i];
    s->addresses.data[at] = s->packed.data[i];
    s->operands.data[at].constant = s->packed.data[i];
    s->operands.data[at].alignment = DEVICE_ALIGNMENT;
  }
  return TRIVET_OK;
}

static trivet_status_t measure(step_t* s, const tvi_tactic_t* tactic, double best,
                               double* out_nanoseconds) {
  const trivet_kernel_t* kernel = tactic->kernel;
  const tvi_tactic_options_t* options = &s->bench->context->options;
  const trivet_allocator_t* allocator = &s->bench->context->allocator;
  struct trivet_emission_s emission = {.api = tvi_emission_api(),
                                       .self = s,
                                       .arena = &s->arena,
                                       .add_operand = add_operand,
                                       .add_absent = add_absent,
                                       .add_packed = add_packed,
                                       .add_parameter = add_parameter,
                                       .set_blob = set_blob,
                                       .require = require};
  TRIVET_RETURN_IF_ERROR(
      tvi_kernel_emit(s->bench->context->registry, s->bench->region, tactic, &emission, &kernel));
  const trivet_kernel_t* runner =
      tvi_registry_kernel(options->run_registry, kernel->name, kernel->version);
  if (!runner || !runner->load)
    return TRIVET_STATUS(UNAVAILABLE, "kernel %s cannot run on this machine", kernel->name);
  trivet_kernel_load_t load;
  memset(&load, 0, sizeof(load));
  load.header.struct_size = sizeof(load);
  load.blob = (const uint8_t*)s->blob;
  load.blob_size = s->blob_size;
  load.allocator = allocator;
  load.host_kernel = tvi_device_tile_kernel();
  load.error = tvi_kernel_load_error;
  tvi_measure_device_t* on_device = options->measure;
  if (on_device) {
    const tvi_open_device_t* device = tvi_measure_device_device(on_device);
    TRIVET_RETURN_IF_ERROR(tvi_device_enter(device));
    TRIVET_RETURN_IF_ERROR(upload_packed(s, on_device));
    load.device = device->state;
  }
  void *loaded = NULL, *prepared = NULL, *workspace = NULL;
  uint64_t workspace_size = 0;
  TRIVET_RETURN_IF_ERROR(runner->load(runner, &load, &loaded));
  trivet_kernel_prepare_t prepare;
  memset(&prepare, 0, sizeof(prepare));
  prepare.header.struct_size = sizeof(prepare);
  prepare.operands = s->operands.data;
  prepare.operand_count = s->operands.count;
  prepare.parameters = s->parameters.data;
  prepare.parameter_count = s->parameters.count;
  prepare.allocator = allocator;
  prepare.executor = options->executor;
  trivet_status_t status = runner->prepare(runner, loaded, &prepare, &workspace_size, &prepared);
  if (!status && on_device) {
    status = tvi_measure_device_run(on_device, runner, prepared, s->addresses.data, workspace_size,
                                    best, out_nanoseconds);
    runner->release(runner, prepared, allocator);
  } else if (!status) {
    status = tvi_arena_alloc_aligned(&s->arena, workspace_size + 64, 64, &workspace);
    if (!status) status = run_all(s, runner, prepared, workspace, out_nanoseconds);
    runner->release(runner, prepared, allocator);
  }
  runner->unload(runner, loaded, allocator);
  return status;
}

trivet_status_t tvi_tactic_bench_measure(tvi_tactic_bench_t* b, const tvi_tactic_t* tactic,
                                         double best, double* out_nanoseconds) {
  trivet_allocator_t allocator = b->context->allocator;
  step_t step;
  memset(&step, 0, sizeof(step));
  step.bench = b;
  tvi_arena_init(&step.arena, allocator, 1 << 16);
  tvi_vector_init(&step.operands, allocator);
  tvi_vector_init(&step.addresses, allocator);
  tvi_vector_init(&step.packed_at, allocator);
  tvi_vector_init(&step.packed, allocator);
  tvi_vector_init(&step.packed_sizes, allocator);
  tvi_vector_init(&step.parameters, allocator);
  trivet_status_t status = b->is_filled ? TRIVET_OK : fill_operands(b);
  b->context->code_cache.is_trying = true;
  if (!status) status = measure(&step, tactic, best, out_nanoseconds);
  b->context->code_cache.is_trying = false;
  tvi_vector_deinit(&step.operands);
  tvi_vector_deinit(&step.addresses);
  tvi_vector_deinit(&step.packed_at);
  tvi_vector_deinit(&step.packed);
  tvi_vector_deinit(&step.packed_sizes);
  tvi_vector_deinit(&step.parameters);
  tvi_arena_deinit(&step.arena);
  return trivet_status_annotate(status, "measuring tactic \"%s\" of kernel %s", tactic->name,
                                tactic->kernel->name);
}

// --- Code ahead --------------------------------------------------------------------------

static trivet_status_t drop_operand(void* self, uint32_t index) {
  (void)self, (void)index;
  return TRIVET_OK;
}

static trivet_status_t drop_absent(void* self) {
  (void)self;
  return TRIVET_OK;
}

static trivet_status_t drop_packed(void* self, const tvi_packed_constant_t* packed) {
  (void)self, (void)packed;
  return TRIVET_OK;
}

static trivet_status_t drop_parameter(void* self, trivet_dim_t dim) {
  (void)self, (void)dim;
  return TRIVET_OK;
}

static trivet_status_t drop_blob(void* self, const void* data, uint64_t size) {
  (void)self, (void)data, (void)size;
  return TRIVET_OK;
}

trivet_status_t tvi_tactic_compile_ahead(tvi_tactic_context_t* context,
                                         const trivet_region_t* region,
                                         const tvi_tactic_t* const* tactics, size_t count) {
  trivet_executor_t* executor = context->options.executor;
  // What is dumped is made one by one, with its log.
  if (count < 2 || !context->options.device || !executor ||
      executor->api->thread_count(executor) < 2 || region->dump_folder ||
      region->code_cache != &context->code_cache)
    return TRIVET_OK;
  tvi_arena_t arena;
  tvi_arena_init(&arena, context->allocator, 1 << 16);
  struct trivet_emission_s emission = {.api = tvi_emission_api(),
                                       .self = NULL,
                                       .arena = &arena,
                                       .add_operand = drop_operand,
                                       .add_absent = drop_absent,
                                       .add_packed = drop_packed,
                                       .add_parameter = drop_parameter,
                                       .set_blob = drop_blob,
                                       .require = require};
  context->code_cache.is_collecting = true;
  for (size_t i = 0; i < count; ++i) {
    const trivet_kernel_t* kernel;
    trivet_status_free(tvi_kernel_emit(context->registry, region, tactics[i], &emission, &kernel));
  }
  trivet_status_t status = tvi_code_cache_make_all(&context->code_cache, executor);
  tvi_arena_deinit(&arena);
  return status;
}
