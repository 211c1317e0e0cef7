// SPDX-License-Identifier: Apache-2.0
//
// SwiGLU as a custom operator of ONNX Runtime (CPU), for counting lines: see README.md.
// It is compared with the example of the same operator and is not part of any build here.
#include <cmath>
#include <vector>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

struct SwiGLUKernel {
  explicit SwiGLUKernel(const OrtKernelInfo*) {}
  void Compute(OrtKernelContext* raw) {
    Ort::KernelContext context(raw);
    auto input = context.GetInput(0);
    std::vector<int64_t> shape = input.GetTensorTypeAndShapeInfo().GetShape();
    const float* x = input.GetTensorData<float>();
    const float* gate = context.GetInput(1).GetTensorData<float>();
    const float* up = context.GetInput(2).GetTensorData<float>();
    auto weights = context.GetInput(1).GetTensorTypeAndShapeInfo().GetShape();
    size_t count = input.GetTensorTypeAndShapeInfo().GetElementCount();
    size_t k = static_cast<size_t>(weights[0]), h = static_cast<size_t>(weights[1]);
    shape.back() = weights[1];
    float* y = context.GetOutput(0, shape).GetTensorMutableData<float>();
    for (size_t i = 0; i < count / k * h; ++i) {
      float g = 0, u = 0;
      for (size_t j = 0; j < k; ++j) {
        g += x[i / h * k + j] * gate[j * h + i % h];
        u += x[i / h * k + j] * up[j * h + i % h];
      }
      y[i] = g / (1 + std::exp(-g)) * u;
    }
  }
};

struct SwiGLU : Ort::CustomOpBase<SwiGLU, SwiGLUKernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo* info) const {
    return new SwiGLUKernel(info);
  }
  const char* GetName() const { return "SwiGLU"; }
  size_t GetInputTypeCount() const { return 3; }
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
  static SwiGLU op;
  static Ort::CustomOpDomain domain("acme");
  domain.Add(&op);
  Ort::UnownedSessionOptions(options).Add(domain);
  return nullptr;
}
