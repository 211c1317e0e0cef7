// SPDX-License-Identifier: Apache-2.0
//
// AddScalar as a custom operator of ONNX Runtime (CPU), for counting lines: see README.md.
// It is compared with add_scalar.c and is not part of any build here.
#include <cmath>
#include <vector>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

struct AddScalarKernel {
  explicit AddScalarKernel(const OrtKernelInfo* info)
      : value(Ort::ConstKernelInfo(info).GetAttribute<float>("value")) {}
  void Compute(OrtKernelContext* raw) {
    Ort::KernelContext context(raw);
    auto input = context.GetInput(0);
    std::vector<int64_t> shape = input.GetTensorTypeAndShapeInfo().GetShape();
    const float* x = input.GetTensorData<float>();
    size_t count = input.GetTensorTypeAndShapeInfo().GetElementCount();
    float* y = context.GetOutput(0, shape).GetTensorMutableData<float>();
    for (size_t i = 0; i < count; ++i) y[i] = x[i] + value;
  }
  float value;
};

struct AddScalar : Ort::CustomOpBase<AddScalar, AddScalarKernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo* info) const {
    return new AddScalarKernel(info);
  }
  const char* GetName() const { return "AddScalar"; }
  size_t GetInputTypeCount() const { return 1; }
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
  static AddScalar op;
  static Ort::CustomOpDomain domain("acme");
  domain.Add(&op);
  Ort::UnownedSessionOptions(options).Add(domain);
  return nullptr;
}
