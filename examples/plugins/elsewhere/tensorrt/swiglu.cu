// SPDX-License-Identifier: Apache-2.0
//
// SwiGLU as a TensorRT plugin (IPluginV3), for counting lines: see README.md.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstring>

using namespace nvinfer1;

// The plainest kernel that is right; a fast one is tiled or calls a library.
__global__ void swiglu(const float* x, const float* gate, const float* up, float* y, int64_t rows,
                       int64_t k, int64_t h) {
  int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * h) return;
  float g = 0, u = 0;
  for (int64_t j = 0; j < k; ++j) {
    g += x[i / h * k + j] * gate[j * h + i % h];
    u += x[i / h * k + j] * up[j * h + i % h];
  }
  y[i] = g / (1 + expf(-g)) * u;
}

class SwiGLU final : public IPluginV3,
                     public IPluginV3OneCore,
                     public IPluginV3OneBuild,
                     public IPluginV3OneRuntime {
 public:
  SwiGLU() = default;
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    if (type == PluginCapabilityType::kBUILD) return static_cast<IPluginV3OneBuild*>(this);
    if (type == PluginCapabilityType::kRUNTIME) return static_cast<IPluginV3OneRuntime*>(this);
    return static_cast<IPluginV3OneCore*>(this);
  }
  IPluginV3* clone() noexcept override { return new SwiGLU(); }
  const char* getPluginName() const noexcept override { return "SwiGLU"; }
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
    outputs[0].d[outputs[0].nbDims - 1] = inputs[1].d[1];
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
    int64_t k = in[1].dims.d[0], h = in[1].dims.d[1], rows = count / k;
    const float* gate = static_cast<const float*>(inputs[1]);
    const float* up = static_cast<const float*>(inputs[2]);
    swiglu<<<(rows * h + 255) / 256, 256, 0, stream>>>(x, gate, up, y, rows, k, h);
    return cudaPeekAtLastError() != cudaSuccess;
  }
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
  const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &fields_; }

 private:
  PluginFieldCollection fields_{0, nullptr};
};

class SwiGLUCreator final : public IPluginCreatorV3One {
 public:
  IPluginV3* createPlugin(const char*, const PluginFieldCollection* given,
                          TensorRTPhase) noexcept override {
    (void)given;
    return new SwiGLU();
  }
  const PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  const char* getPluginName() const noexcept override { return "SwiGLU"; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return "acme"; }

 private:
  PluginFieldCollection fields_{0, nullptr};
};

REGISTER_TENSORRT_PLUGIN(SwiGLUCreator);
