// SPDX-License-Identifier: Apache-2.0
//
// The blob of a "cuda.kernel" step: a cubin and how its kernels are launched, all numbers being
// parameters of the step. Written by the build half, checked byte by byte and read by the run half.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CUDA_BLOB_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CUDA_BLOB_H_

#include "core/base/byte_writer.h"
#include "plugins/cuda/emit/emit_code.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_CUDA_BLOB_VERSION 2u  // 1: without tensor maps
#define TVI_CUDA_BLOB_MAX_LAUNCHES 4096u

// What the kernels were compiled for: dimensions and strides of an operand as parameters;
// TVI_CUDA_BLOB_ANY: any.
#define TVI_CUDA_BLOB_ANY UINT32_MAX
typedef struct tvi_cuda_blob_operand_s {
  uint32_t dtype;
  uint32_t rank;
  uint32_t dims[TRIVET_MAX_RANK];
  uint32_t strides[TRIVET_MAX_RANK];
} tvi_cuda_blob_operand_t;

typedef struct tvi_cuda_blob_s {
  uint32_t parameter_count;
  uint32_t operand_count;
  uint32_t launch_count;
  uint32_t argument_count;
  uint32_t workspace;  // parameter
  tvi_cuda_blob_operand_t* operands;
  tvi_cuda_launch_t* launches;
  tvi_cuda_argument_t* arguments;
  uint32_t map_count;
  tvi_cuda_map_t* maps;
  const uint8_t* cubin;  // in the bytes that were read
  uint64_t cubin_size;
} tvi_cuda_blob_t;

void tvi_cuda_blob_write(const tvi_cuda_blob_t* blob, tvi_byte_writer_t* writer);
// DATA_LOSS says what is wrong and where. The arrays lie in |arena|.
trivet_status_t tvi_cuda_blob_read(const uint8_t* bytes, uint64_t size, tvi_arena_t* arena,
                                   tvi_cuda_blob_t* out_blob);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CUDA_BLOB_H_
