// SPDX-License-Identifier: Apache-2.0
//
// AddScalar as a PyTorch operator, written with its own operators, for counting lines: see
// README.md.
#include <torch/library.h>

#include <ATen/ATen.h>

at::Tensor add_scalar(const at::Tensor& x, double value) { return x + value; }

TORCH_LIBRARY(acme, m) { m.def("add_scalar(Tensor x, float value=1.0) -> Tensor"); }

// Serves every device and shape inference too, since it is made of operators that do.
TORCH_LIBRARY_IMPL(acme, CompositeImplicitAutograd, m) { m.impl("add_scalar", add_scalar); }
