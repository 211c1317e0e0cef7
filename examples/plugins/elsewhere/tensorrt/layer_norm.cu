// SPDX-License-Identifier: Apache-2.0
//
// LayerNorm as a TensorRT plugin (IPluginV3), for counting lines: see README.md.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstring>

using namespace nvinfer1;

__device__ float sum_of_block(float value) {
  __shared__ float parts[256];
  parts[threadIdx.x] = value;
  for (unsigned half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }
  __syncthreads();
  float sum = parts[0];
  __syncthreads();
  return sum;
}

__global__ void layer_norm(const float* x, const float* scale, float epsilon, float* y, int k) {
  x += blockIdx.x * int64_t{k};
  y += blockIdx.x * int64_t{k};
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < k; i += 256) sum += x[i];
  float mean = sum_of_block(sum) / k;
  for (int i = threadIdx.x; i < k; i += 256) squares += (x[i] - mean) * (x[i] - mean);
  float factor = rsqrtf(sum_of_block(squares) / k + epsilon);
  for (int i = threadIdx.x; i < k; i += 256) y[i] = (x[i] - mean) * factor * scale[i];
}

class LayerNorm final : public IPluginV3,
                        public IPluginV3OneCore,
                        public IPluginV3OneBuild,
                        public IPluginV3OneRuntime {
 public:
  explicit LayerNorm(float epsilon) : epsilon_(epsilon) {}
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    if (type == PluginCapabilityType::kBUILD) return static_cast<IPluginV3OneBuild*>(this);
    if (type == PluginCapabilityType::kRUNTIME) return static_cast<IPluginV3OneRuntime*>(this);
    return static_cast<IPluginV3OneCore*>(this);
  }
  IPluginV3* clone() noexcept override { return new LayerNorm(epsilon_); }
  const char* getPluginName() const noexcept override { return "LayerNorm"; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return "acme"; }
  int32_t getNbOutputs() const noexcept override { return 1; }
  int32_t configurePlugin(const DynamicPluginTensorDesc*, int32_t, const DynamicPluginTensorDesc*,
                          int32_t) noexcept override {
    return 0;
  }
  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* all, int32_t,
                                 int32_t) noexcept override {
    return all[position].desc.format == TensorFormat::kLINEAR &&
           all[position].desc.type == DataType::kFLOAT;
  }
  int32_t getOutputDataTypes(DataType* outputs, int32_t, const DataType* inputs,
                             int32_t) const noexcept override {
    outputs[0] = inputs[0];
    return 0;
  }
  int32_t getOutputShapes(const DimsExprs* inputs, int32_t, const DimsExprs*, int32_t,
                          DimsExprs* outputs, int32_t, IExprBuilder&) noexcept override {
    outputs[0] = inputs[0];
    return 0;
  }
  int32_t onShapeChange(const PluginTensorDesc*, int32_t, const PluginTensorDesc*,
                        int32_t) noexcept override {
    return 0;
  }
  int32_t enqueue(const PluginTensorDesc* in, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    int64_t count = 1;
    for (int32_t d = 0; d < in[0].dims.nbDims; ++d) count *= in[0].dims.d[d];
    const float* x = static_cast<const float*>(inputs[0]);
    float* y = static_cast<float*>(outputs[0]);
    int64_t k = in[0].dims.d[in[0].dims.nbDims - 1];
    const float* scale = static_cast<const float*>(inputs[1]);
    layer_norm<<<count / k, 256, 0, stream>>>(x, scale, epsilon_, y, k);
    return cudaPeekAtLastError() != cudaSuccess;
  }
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
  const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &fields_; }

 private:
  float epsilon_;
  PluginField field_{"epsilon", &epsilon_, PluginFieldType::kFLOAT32, 1};
  PluginFieldCollection fields_{1, &field_};
};

class LayerNormCreator final : public IPluginCreatorV3One {
 public:
  IPluginV3* createPlugin(const char*, const PluginFieldCollection* given,
                          TensorRTPhase) noexcept override {
    float epsilon = 1e-5F;
    for (int32_t i = 0; i < given->nbFields; ++i) {
      if (std::strcmp(given->fields[i].name, "epsilon") == 0)
        epsilon = *static_cast<const float*>(given->fields[i].data);
    }
    return new LayerNorm(epsilon);
  }
  const PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  const char* getPluginName() const noexcept override { return "LayerNorm"; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return "acme"; }

 private:
  PluginField field_{"epsilon", nullptr, PluginFieldType::kFLOAT32, 1};
  PluginFieldCollection fields_{1, &field_};
};

REGISTER_TENSORRT_PLUGIN(LayerNormCreator);
