// SPDX-License-Identifier: Apache-2.0
//
// AddScalar as a TensorRT plugin (IPluginV3), for counting lines: see README.md.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstring>

using namespace nvinfer1;

__global__ void add_scalar(const float* x, float value, float* y, int64_t count) {
  int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < count) y[i] = x[i] + value;
}

class AddScalar final : public IPluginV3,
                        public IPluginV3OneCore,
                        public IPluginV3OneBuild,
                        public IPluginV3OneRuntime {
 public:
  explicit AddScalar(float value) : value_(value) {}
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    if (type == PluginCapabilityType::kBUILD) return static_cast<IPluginV3OneBuild*>(this);
    if (type == PluginCapabilityType::kRUNTIME) return static_cast<IPluginV3OneRuntime*>(this);
    return static_cast<IPluginV3OneCore*>(this);
  }
  IPluginV3* clone() noexcept override { return new AddScalar(value_); }
  const char* getPluginName() const noexcept override { return "AddScalar"; }
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
    add_scalar<<<(count + 255) / 256, 256, 0, stream>>>(x, value_, y, count);
    return cudaPeekAtLastError() != cudaSuccess;
  }
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
  const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &fields_; }

 private:
  float value_;
  PluginField field_{"value", &value_, PluginFieldType::kFLOAT32, 1};
  PluginFieldCollection fields_{1, &field_};
};

class AddScalarCreator final : public IPluginCreatorV3One {
 public:
  IPluginV3* createPlugin(const char*, const PluginFieldCollection* given,
                          TensorRTPhase) noexcept override {
    float value = 1.0F;
    for (int32_t i = 0; i < given->nbFields; ++i) {
      if (std::strcmp(given->fields[i].name, "value") == 0)
        value = *static_cast<const float*>(given->fields[i].data);
    }
    return new AddScalar(value);
  }
  const PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  const char* getPluginName() const noexcept override { return "AddScalar"; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return "acme"; }

 private:
  PluginField field_{"value", nullptr, PluginFieldType::kFLOAT32, 1};
  PluginFieldCollection fields_{1, &field_};
};

REGISTER_TENSORRT_PLUGIN(AddScalarCreator);
