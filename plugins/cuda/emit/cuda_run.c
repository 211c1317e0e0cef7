// SPDX-License-Identifier: Apache-2.0
//
// Launching of generated kernels. See cuda_run.h.
// In a run nothing is allocated and nothing looked up by name: prepare has done both.
#include "plugins/cuda/emit/cuda_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda/device/cuda_device.h"
#include "plugins/cuda/emit/cuda_blob.h"

// More than this a kernel has to be allowed. The limit is 48 KiB, of which its own tables take
// some.
#define SHARED_UNASKED (32u * 1024)

typedef struct loaded_t {
  tvi_arena_t arena;
  tvi_cuda_device_t* device;
  tvi_cuda_blob_t blob;
  CUmodule module;
  CUfunction (*functions)[2];  // by launch and variant
} loaded_t;

typedef struct grid_t {
  CUfunction function;
  uint32_t blocks;  // 0: nothing to compute
  uint32_t block;
  uint32_t shared_bytes;
  uint32_t argument_first;
  bool uses_maps;  // the variant that is launched asks for the alignment that tensor maps need
} grid_t;

// A tensor map, which holds an address: made again where that is another one.
typedef struct map_t {
  CUtensorMap encoded;
  const void* address;
  CUtensorMapDataType type;
  uint64_t extents[TVI_CUDA_MAP_RANK];
  uint64_t strides[TVI_CUDA_MAP_RANK];  // bytes, from the second dimension on
} map_t;

typedef struct prepared_t {
  tvi_arena_t arena;
  const loaded_t* loaded;
  grid_t* grids;      // by launch
  uint64_t* slots;    // by argument: its bytes
  uint64_t* offsets;  // by argument: of the workspace
  void** pointers;    // by argument: its slot
  map_t* maps;
} prepared_t;

// ---------------------------------------------------------------------------------------------
// Load
// ---------------------------------------------------------------------------------------------

static trivet_status_t find_functions(loaded_t* loaded) {
  tvi_cuda_device_t* device = loaded->device;
  for (uint32_t i = 0; i < loaded->blob.launch_count; ++i) {
    const tvi_cuda_launch_t* launch = &loaded->blob.launches[i];
    for (uint32_t v = 0; v < launch->variant_count; ++v) {
      CUfunction* function = &loaded->functions[i][v];
      TRIVET_RETURN_IF_ERROR_ANNOTATED(
          device->check(device,
                        device->driver->cuModuleGetFunction(function, loaded->module,
                                                            launch->variants[v].name),
                        "cuModuleGetFunction"),
          "kernel %s", launch->variants[v].name);
      if (launch->variants[v].shared_bytes > SHARED_UNASKED)
        TVI_CUDA_RETURN_IF_ERROR(
            device, cuFuncSetAttribute(*function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                       (int)launch->variants[v].shared_bytes));
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_kernel_load(const trivet_kernel_t* kernel,
                                     const trivet_kernel_load_t* load, void** out_loaded) {
  (void)kernel;
  loaded_t* loaded = NULL;
  if (!load->device)
    return TRIVET_STATUS(FAILED_PRECONDITION, "a step of cuda.kernel without an open device");
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*load->allocator, sizeof(*loaded), &loaded));
  tvi_arena_init(&loaded->arena, *load->allocator, 4096);
  loaded->device = (tvi_cuda_device_t*)load->device;
  trivet_status_t status =
      tvi_cuda_blob_read(load->blob, load->blob_size, &loaded->arena, &loaded->blob);
  if (!status)
    status = tvi_arena_alloc_array_zeroed(&loaded->arena, (size_t)loaded->blob.launch_count + 1,
                                          sizeof(*loaded->functions), &loaded->functions);
  if (!status)
    status = loaded->device->module(loaded->device, loaded->blob.cubin, loaded->blob.cubin_size,
                                    &loaded->module);
  if (!status) status = find_functions(loaded);
  if (status) {
    tvi_cuda_kernel_unload(kernel, loaded, load->allocator);
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

void tvi_cuda_kernel_unload(const trivet_kernel_t* kernel, void* object,
                            const trivet_allocator_t* allocator) {
  (void)kernel;
  loaded_t* loaded = (loaded_t*)object;
  if (!loaded) return;
  if (loaded->module) loaded->device->module_release(loaded->device, loaded->module);
  tvi_arena_deinit(&loaded->arena);
  tvi_free(*allocator, loaded, sizeof(*loaded));
}

// ---------------------------------------------------------------------------------------------
// Prepare
// ---------------------------------------------------------------------------------------------

// The operands must lie as the kernels were compiled for.
static trivet_status_t check_operands(const tvi_cuda_blob_t* blob,
                                      const trivet_kernel_prepare_t* prepare) {
  if (prepare->operand_count != blob->operand_count ||
      prepare->parameter_count != blob->parameter_count)
    return TRIVET_STATUS(
        INVALID_ARGUMENT, "cuda.kernel: %llu operands and %llu parameters, wanted %u and %u",
        (unsigned long long)prepare->operand_count, (unsigned long long)prepare->parameter_count,
        blob->operand_count, blob->parameter_count);
  for (uint32_t i = 0; i < blob->operand_count; ++i) {
    const trivet_operand_t* operand = &prepare->operands[i];
    const tvi_cuda_blob_operand_t* want = &blob->operands[i];
    if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != want->dtype ||
        operand->rank != want->rank)
      return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.kernel: operand %u has another type or rank", i);
    for (uint32_t d = 0; d < want->rank; ++d) {
      if (want->dims[d] != TVI_CUDA_BLOB_ANY &&
          operand->dims[d] != prepare->parameters[want->dims[d]])
        return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.kernel: operand %u has extent %lld, not %lld",
                             i, (long long)operand->dims[d],
                             (long long)prepare->parameters[want->dims[d]]);
      if (want->strides[d] != TVI_CUDA_BLOB_ANY && operand->dims[d] > 1 &&
          operand->strides[d] != prepare->parameters[want->strides[d]])
        return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.kernel: operand %u has stride %lld, not %lld",
                             i, (long long)operand->strides[d],
                             (long long)prepare->parameters[want->strides[d]]);
    }
  }
  return TRIVET_OK;
}

static bool is_aligned(const tvi_cuda_blob_t* blob, const tvi_cuda_launch_t* launch,
                       const tvi_cuda_variant_t* variant, const trivet_operand_t* operands) {
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    const tvi_cuda_argument_t* argument = &blob->arguments[launch->argument_first + i];
    if (argument->kind == TVI_CUDA_ARGUMENT_OPERAND &&
        (operands[argument->index].alignment == 0 ||
         operands[argument->index].alignment % variant->alignment != 0) &&
        variant->alignment > 1)
      return false;
  }
  return true;
}

static trivet_status_t prepare_launch(const loaded_t* loaded,
                                      const trivet_kernel_prepare_t* prepare, uint32_t number,
                                      grid_t* grid) {
  const tvi_cuda_launch_t* launch = &loaded->blob.launches[number];
  uint32_t v = 0;
  while (v + 1 < launch->variant_count &&
         !is_aligned(&loaded->blob, launch, &launch->variants[v], prepare->operands))
    ++v;
  const tvi_cuda_variant_t* variant = &launch->variants[v];
  const int64_t blocks = prepare->parameters[variant->grid];
  if (blocks < 0 || blocks > INT32_MAX)
    return TRIVET_STATUS(OUT_OF_RANGE, "kernel %s would need %lld blocks", variant->name,
                         (long long)blocks);
  grid->function = loaded->functions[number][v];
  grid->blocks = (uint32_t)blocks;
  grid->block = variant->block;
  grid->shared_bytes = variant->shared_bytes;
  grid->argument_first = launch->argument_first;
  grid->uses_maps = variant->alignment == 16;
  return TRIVET_OK;
}

static trivet_status_t prepare_arguments(const tvi_cuda_blob_t* blob,
                                         const trivet_kernel_prepare_t* prepare, prepared_t* p) {
  for (uint32_t i = 0; i < blob->argument_count; ++i) {
    const tvi_cuda_argument_t* argument = &blob->arguments[i];
    p->pointers[i] = &p->slots[i];
    if (argument->kind == TVI_CUDA_ARGUMENT_OPERAND) continue;
    if (argument->kind == TVI_CUDA_ARGUMENT_MAP) {
      p->pointers[i] = &p->maps[argument->index].encoded;
      continue;
    }
    const int64_t value = prepare->parameters[argument->index];
    if (argument->kind == TVI_CUDA_ARGUMENT_WORKSPACE) {
      if (value < 0 || value > prepare->parameters[blob->workspace])
        return TRIVET_STATUS(OUT_OF_RANGE, "cuda.kernel: workspace at %lld of %lld",
                             (long long)value, (long long)prepare->parameters[blob->workspace]);
      p->offsets[i] = (uint64_t)value;
    } else if (argument->kind == TVI_CUDA_ARGUMENT_I32) {
      if (value < INT32_MIN || value > INT32_MAX)
        return TRIVET_STATUS(OUT_OF_RANGE, "parameter %u is %lld: more than was allowed for",
                             argument->index, (long long)value);
      const int32_t narrow = (int32_t)value;
      memcpy(&p->slots[i], &narrow, sizeof(narrow));
    } else {
      memcpy(&p->slots[i], &value, sizeof(value));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t prepare_maps(const tvi_cuda_blob_t* blob,
                                    const trivet_kernel_prepare_t* prepare, prepared_t* p) {
  for (uint32_t i = 0; i < blob->map_count; ++i) {
    const tvi_cuda_map_t* from = &blob->maps[i];
    map_t* map = &p->maps[i];
    const uint32_t dtype = blob->operands[from->operand].dtype;
    if (dtype != TRIVET_DTYPE_F16 && dtype != TRIVET_DTYPE_BF16 && dtype != TRIVET_DTYPE_I8)
      return TRIVET_STATUS(DATA_LOSS, "step of cuda.kernel: a tensor map of element type %s",
                           tvi_dtype_name(dtype));
    map->type = dtype == TRIVET_DTYPE_F16  ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                : dtype == TRIVET_DTYPE_I8 ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                           : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    for (uint32_t d = 0; d < from->rank; ++d) {
      const int64_t extent = prepare->parameters[from->extents[d]];
      const int64_t stride = prepare->parameters[from->strides[d]];
      if (extent < 0 || stride < 0 || stride > (int64_t)1 << 38)
        return TRIVET_STATUS(OUT_OF_RANGE, "cuda.kernel: a tensor map of %lld elements, %lld apart",
                             (long long)extent, (long long)stride);
      map->extents[d] = (uint64_t)extent;
      if (d > 0) map->strides[d - 1] = (uint64_t)stride * tvi_dtype_bytes(dtype);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t encode_maps(const tvi_cuda_device_t* device, const tvi_cuda_blob_t* blob,
                                   const trivet_kernel_launch_t* launch, prepared_t* p) {
  for (uint32_t i = 0; i < blob->map_count; ++i) {
    const tvi_cuda_map_t* from = &blob->maps[i];
    map_t* map = &p->maps[i];
    void* address = launch->addresses[from->operand];
    if (address == map->address) continue;
    const cuuint32_t steps[TVI_CUDA_MAP_RANK] = {1, 1, 1, 1, 1};
    TVI_CUDA_RETURN_IF_ERROR(
        device, cuTensorMapEncodeTiled(
                    &map->encoded, map->type, from->rank, address, map->extents, map->strides,
                    from->box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    map->address = address;
  }
  return TRIVET_OK;
}

static bool uses_maps(const prepared_t* p, const tvi_cuda_blob_t* blob) {
  for (uint32_t i = 0; i < blob->launch_count; ++i)
    if (p->grids[i].uses_maps && p->grids[i].blocks > 0) return true;
  return false;
}

trivet_status_t tvi_cuda_kernel_prepare(const trivet_kernel_t* kernel, void* object,
                                        const trivet_kernel_prepare_t* prepare,
                                        uint64_t* out_workspace_size, void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)object;
  const tvi_cuda_blob_t* blob = &loaded->blob;
  TRIVET_RETURN_IF_ERROR(check_operands(blob, prepare));
  const int64_t workspace = prepare->parameters[blob->workspace];
  if (workspace < 0)
    return TRIVET_STATUS(OUT_OF_RANGE, "cuda.kernel: a workspace of %lld bytes",
                         (long long)workspace);
  prepared_t* p = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*p), &p));
  tvi_arena_init(&p->arena, *prepare->allocator, 1024);
  p->loaded = loaded;
  trivet_status_t status = tvi_arena_alloc_array_zeroed(&p->arena, (size_t)blob->launch_count + 1,
                                                        sizeof(*p->grids), &p->grids);
  if (!status)
    status = tvi_arena_alloc_array_zeroed(&p->arena, (size_t)blob->argument_count + 1,
                                          sizeof(*p->slots), &p->slots);
  if (!status)
    status = tvi_arena_alloc_array_zeroed(&p->arena, (size_t)blob->argument_count + 1,
                                          sizeof(*p->offsets), &p->offsets);
  if (!status)
    status = tvi_arena_alloc_array_zeroed(&p->arena, (size_t)blob->argument_count + 1,
                                          sizeof(*p->pointers), &p->pointers);
  if (!status)
    status = tvi_arena_allocate_memory(&p->arena, (size_t)blob->map_count + 1, sizeof(*p->maps),
                                       _Alignof(map_t), 1, &p->maps);
  if (!status) status = prepare_maps(blob, prepare, p);
  for (uint32_t i = 0; i < blob->launch_count && !status; ++i)
    status = prepare_launch(loaded, prepare, i, &p->grids[i]);
  if (!status) status = prepare_arguments(blob, prepare, p);
  if (status) {
    tvi_cuda_kernel_release(kernel, p, prepare->allocator);
    return status;
  }
  *out_workspace_size = (uint64_t)workspace;
  *out_prepared = p;
  return TRIVET_OK;
}

void tvi_cuda_kernel_release(const trivet_kernel_t* kernel, void* object,
                             const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* p = (prepared_t*)object;
  if (!p) return;
  tvi_arena_deinit(&p->arena);
  tvi_free(*allocator, p, sizeof(*p));
}

// ---------------------------------------------------------------------------------------------
// Run
// ---------------------------------------------------------------------------------------------

static trivet_status_t run(prepared_t* p, const trivet_kernel_launch_t* launch, bool waits) {
  const tvi_cuda_blob_t* blob = &p->loaded->blob;
  const tvi_cuda_device_t* device = p->loaded->device;
  for (uint32_t i = 0; i < blob->argument_count; ++i) {
    const tvi_cuda_argument_t* argument = &blob->arguments[i];
    if (argument->kind == TVI_CUDA_ARGUMENT_OPERAND) {
      p->slots[i] = (uint64_t)(uintptr_t)launch->addresses[argument->index];
    } else if (argument->kind == TVI_CUDA_ARGUMENT_WORKSPACE) {
      p->slots[i] = (uint64_t)(uintptr_t)launch->workspace + p->offsets[i];
    }
  }
  if (blob->map_count && uses_maps(p, blob))
    TRIVET_RETURN_IF_ERROR(encode_maps(device, blob, launch, p));
  // Kernels of ours let the next begin early and wait for those before them themselves. Behind one
  // of a library, which lets nothing begin, asking for it only costs.
  const trivet_kernel_t* previous = launch->previous;
  bool is_early = previous != NULL && previous->run == tvi_cuda_kernel_run;
  CUlaunchAttribute attribute;
  memset(&attribute, 0, sizeof(attribute));
  attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attribute.value.programmaticStreamSerializationAllowed = 1;
  for (uint32_t i = 0; i < blob->launch_count; ++i) {
    const grid_t* grid = &p->grids[i];
    if (grid->blocks == 0) continue;
    CUlaunchConfig config;
    memset(&config, 0, sizeof(config));
    config.gridDimX = grid->blocks;
    config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
    config.blockDimX = grid->block;
    config.sharedMemBytes = grid->shared_bytes;
    config.hStream = (CUstream)launch->stream;
    config.attrs = &attribute;
    config.numAttrs = waits && is_early && device->major >= 9 ? 1 : 0;
    is_early = true;
    TVI_CUDA_RETURN_IF_ERROR(device, cuLaunchKernelEx(&config, grid->function,
                                                      p->pointers + grid->argument_first, NULL));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_kernel_run(const trivet_kernel_t* kernel, void* prepared,
                                    const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return run((prepared_t*)prepared, launch, true);
}

trivet_status_t tvi_cuda_code_run(const trivet_kernel_t* kernel, void* prepared,
                                  const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return run((prepared_t*)prepared, launch, false);
}
