// SPDX-License-Identifier: Apache-2.0
//
// LayerNorm as a custom operator of ONNX Runtime (CPU), for counting lines: see README.md.
// It is compared with layer_norm.c and is not part of any build here.
#include <cmath>
#include <vector>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

struct LayerNormKernel {
  explicit LayerNormKernel(const OrtKernelInfo* info)
      : epsilon(Ort::ConstKernelInfo(info).GetAttribute<float>("epsilon")) {}
  void Compute(OrtKernelContext* raw) {
    Ort::KernelContext context(raw);
    auto input = context.GetInput(0);
    std::vector<int64_t> shape = input.GetTensorTypeAndShapeInfo().GetShape();
    const float* x = input.GetTensorData<float>();
    const float* scale = context.GetInput(1).GetTensorData<float>();
    size_t count = input.GetTensorTypeAndShapeInfo().GetElementCount();
    float* y = context.GetOutput(0, shape).GetTensorMutableData<float>();
    size_t k = static_cast<size_t>(shape.back());
    for (size_t r = 0; r < count; r += k) {
      float mean = 0, squares = 0;
      for (size_t i = 0; i < k; ++i) mean += x[r + i] / k;
      for (size_t i = 0; i < k; ++i) squares += (x[r + i] - mean) * (x[r + i] - mean);
      float factor = 1 / std::sqrt(squares / k + epsilon);
      for (size_t i = 0; i < k; ++i) y[r + i] = (x[r + i] - mean) * factor * scale[i];
    }
  }
  float epsilon;
};

struct LayerNorm : Ort::CustomOpBase<LayerNorm, LayerNormKernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo* info) const {
    return new LayerNormKernel(info);
  }
  const char* GetName() const { return "LayerNorm"; }
  size_t GetInputTypeCount() const { return 2; }
  ONNXTensorElementDataType GetInputType(size_t) const {
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const {
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
};

extern "C" OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options,
                                                     const OrtApiBase* base) {
  Ort::InitApi(base->GetApi(ORT_API_VERSION));
  static LayerNorm op;
  static Ort::CustomOpDomain domain("acme");
  domain.Add(&op);
  Ort::UnownedSessionOptions(options).Add(domain);
  return nullptr;
}
