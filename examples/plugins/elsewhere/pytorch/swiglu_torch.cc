// SPDX-License-Identifier: Apache-2.0
//
// SwiGLU as a PyTorch operator, written with its own operators, for counting lines: see README.md.
// It is compared with the example of the same operator and is not part of any build here.
#include <torch/library.h>

#include <ATen/ATen.h>

at::Tensor swiglu(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& up) {
  return at::silu(at::matmul(x, gate)) * at::matmul(x, up);
}

TORCH_LIBRARY(acme, m) { m.def("swiglu(Tensor x, Tensor gate, Tensor up) -> Tensor"); }

// Serves every device and shape inference too, since it is made of operators that do.
TORCH_LIBRARY_IMPL(acme, CompositeImplicitAutograd, m) { m.impl("swiglu", swiglu); }
