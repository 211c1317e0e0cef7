// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target of the ONNX frontend: any bytes, probed and parsed with a builder that records
// nothing. A mistake is a crash, a hang or memory beyond what the frontend promises.
#include <cstdlib>
#include <string>

#include "tests/unit/plugins/onnx/onnx_mock.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  OnnxMock mock;
  mock.record = false;
  mock.registered = {"acme.Op"};
  mock.files["w.bin"] = std::string(256, '\1');
  mock.scratch_limit = uint64_t{1} << 30;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  mock.Probe(bytes);
  mock.Parse(bytes);
  return 0;
}
