// SPDX-License-Identifier: Apache-2.0
//
// The plugin of target "cuda": its device and the kernels that it generates. Kernels that wrap
// libraries are plugins of their own.
#include "plugins/cuda/device/cuda_device.h"
#include "plugins/cuda/emit/attention_kernel.h"
#include "plugins/cuda/emit/code_kernel.h"
#include "plugins/cuda/emit/convolution_kernel.h"
#include "plugins/cuda/emit/cuda_kernel.h"
#include "plugins/cuda/emit/matmul_kernel.h"

TRIVET_PLUGIN_HALVES("cuda", "0.1", "NVIDIA GPUs", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &tvi_cuda_device_definition, &tvi_cuda_kernel_definition,
                     &tvi_cuda_code_definition, &tvi_cuda_matmul_definition,
                     &tvi_cuda_convolution_definition, &tvi_cuda_attention_definition)
