// SPDX-License-Identifier: Apache-2.0
//
// Code of plugins to steps: launches, arguments and workspace become the blob that generated
// kernels have, too. See code_kernel.h. What the plugin gave has been checked for form only;
// operands and sizes are checked here.
#include "plugins/cuda/emit/code_kernel.h"

#include <string.h>

#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/target/target.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/cuda_write.h"

#define MAX_THREADS 1024u
#define MAX_SHARED (256u * 1024u)

static trivet_status_t add_parameter(tvi_cuda_code_t* code, trivet_dim_t dim, const char* what,
                                     uint32_t* out) {
  if (!dim) return TRIVET_STATUS(OUT_OF_RANGE, "%s overflows 64 bits", what);
  *out = (uint32_t)code->parameters.count;
  return tvi_vector_push(&code->parameters, dim);
}

static trivet_status_t add_argument(tvi_cuda_code_t* code, uint32_t kind, uint32_t index) {
  tvi_cuda_argument_t argument = {kind, index};
  return tvi_vector_push(&code->arguments, argument);
}

static trivet_status_t add_operands(const trivet_region_t* region, const trivet_device_code_t* from,
                                    tvi_cuda_code_t* code) {
  const uint32_t count = region->input_count + region->output_count;
  for (uint32_t k = region->input_count; k < count; ++k) {
    bool is_written = false;
    for (uint64_t i = 0; i < from->operand_count; ++i)
      is_written = is_written || from->operands[i] == k;
    if (!is_written)
      return TRIVET_STATUS(INVALID_ARGUMENT, "result %u of the region is not among the operands",
                           k - region->input_count);
  }
  for (uint64_t i = 0; i < from->operand_count; ++i) {
    if (from->operands[i] >= count)
      return TRIVET_STATUS(INVALID_ARGUMENT, "operand %u of %u", from->operands[i], count);
    TRIVET_RETURN_IF_ERROR(add_argument(code, TVI_CUDA_ARGUMENT_OPERAND, (uint32_t)i));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&code->operands, from->operands[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t add_launch(const trivet_device_launch_t* from, tvi_cuda_code_t* code) {
  tvi_cuda_launch_t launch;
  memset(&launch, 0, sizeof(launch));
  tvi_cuda_variant_t* variant = &launch.variants[0];
  if (strlen(from->entry) >= sizeof(variant->name))
    return TRIVET_STATUS(INVALID_ARGUMENT, "the name of entry '%s' is too long", from->entry);
  if (from->block > MAX_THREADS || from->shared_size > MAX_SHARED)
    return TRIVET_STATUS(INVALID_ARGUMENT, "entry '%s': %u threads with %u bytes of shared memory",
                         from->entry, from->block, from->shared_size);
  launch.variant_count = 1;
  memcpy(variant->name, from->entry, strlen(from->entry));
  variant->block = from->block;
  variant->shared_bytes = from->shared_size;
  variant->alignment = 1;
  TRIVET_RETURN_IF_ERROR(add_parameter(code, from->grid, "a grid", &variant->grid));
  launch.argument_count = (uint32_t)code->arguments.count;
  return tvi_vector_push(&code->launches, launch);
}

static trivet_status_t fill(const trivet_region_t* region, const trivet_device_code_t* from,
                            tvi_cuda_code_t* code) {
  tvi_dim_context_t* dims = region->graph->dims;
  TRIVET_RETURN_IF_ERROR(add_operands(region, from, code));
  const trivet_dim_t zero = tvi_dim_constant(dims, 0);
  TRIVET_RETURN_IF_ERROR(add_parameter(code, from->workspace ? from->workspace : zero,
                                       "the workspace", &code->workspace));
  if (from->workspace) {
    uint32_t start = 0;
    TRIVET_RETURN_IF_ERROR(add_parameter(code, zero, "the workspace", &start));
    TRIVET_RETURN_IF_ERROR(add_argument(code, TVI_CUDA_ARGUMENT_WORKSPACE, start));
  }
  for (uint64_t i = 0; i < from->parameter_count; ++i) {
    uint32_t index = 0;
    TRIVET_RETURN_IF_ERROR(add_parameter(code, from->parameters[i], "a parameter", &index));
    TRIVET_RETURN_IF_ERROR(add_argument(code, TVI_CUDA_ARGUMENT_I64, index));
  }
  if (from->launch_count > TVI_CUDA_BLOB_MAX_LAUNCHES)
    return TRIVET_STATUS(INVALID_ARGUMENT, "%llu launches", (unsigned long long)from->launch_count);
  for (uint64_t i = 0; i < from->launch_count; ++i)
    TRIVET_RETURN_IF_ERROR(add_launch(&from->launches[i], code));
  if (from->source) {
    tvi_string_builder_append_cstr(&code->source, from->source);
    return tvi_string_builder_status(&code->source);
  }
  code->cubin = (const uint8_t*)from->binary;
  code->cubin_size = from->binary_size;
  code->architecture = from->architecture;
  return TRIVET_OK;
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const trivet_allocator_t allocator = region->graph->allocator;
  const uint32_t count = region->input_count + region->output_count;
  uint32_t* identity = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(emission->arena, (size_t)count + 1, sizeof(*identity), &identity));
  for (uint32_t i = 0; i < count; ++i) identity[i] = i;
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  code.allocator = allocator;
  tvi_string_builder_init(&code.source, allocator);
  tvi_vector_init(&code.operands, allocator);
  tvi_vector_init(&code.parameters, allocator);
  tvi_vector_init(&code.arguments, allocator);
  tvi_vector_init(&code.launches, allocator);
  tvi_vector_init(&code.maps, allocator);
  char name[TVI_CUDA_NAME_SIZE - 16];
  tvi_cuda_name_kernels(region, name, sizeof(name));
  trivet_status_t status = fill(region, emission->code, &code);
  if (!status) status = tvi_cuda_write_code(region, &code, identity, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_code_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.code",
    .target = "cuda",
    .summary = "runs CUDA C and cubins of plugins",
    .version = TVI_CUDA_BLOB_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .emit = emit,
    .load = tvi_cuda_kernel_load,
    .unload = tvi_cuda_kernel_unload,
    .prepare = tvi_cuda_kernel_prepare,
    .release = tvi_cuda_kernel_release,
    .run = tvi_cuda_code_run,
};
