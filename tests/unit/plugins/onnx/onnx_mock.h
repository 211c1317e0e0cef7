// SPDX-License-Identifier: Apache-2.0
//
// A graph builder and a source for tests of the ONNX frontend: records what the frontend asks for
// as text. Types of results are those of the first operand, but for what conversions need; it makes
// no inference. Memory is counted.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_MOCK_H_
#define TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_MOCK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "trivet/plugin.h"

class OnnxMock {
 public:
  OnnxMock();
  ~OnnxMock();
  OnnxMock(const OnnxMock&) = delete;
  OnnxMock& operator=(const OnnxMock&) = delete;

  // Probes the bytes.
  uint32_t Probe(const std::string& bytes);
  // Parses the bytes; returns the graph as text, or "CODE: message".
  std::string Parse(const std::string& bytes, const std::string& path = "m.onnx");

  // Files that source->open finds.
  std::map<std::string, std::string> files;
  // open gives this region for any name (for models without their weights).
  const uint8_t* any_file = nullptr;
  uint64_t any_file_size = 0;
  // Operators outside of std that exist, and those of std that do not.
  std::set<std::string> registered, missing;
  // Fails the n-th allocation of scratch (from 1); 0: none.
  uint64_t fail_scratch = 0;
  // Refuses beyond so many bytes of scratch.
  uint64_t scratch_limit = UINT64_MAX;
  uint64_t scratch_calls = 0, scratch_bytes = 0;
  uint64_t copied = 0, viewed = 0, nodes = 0;
  std::map<std::string, int> operators;
  std::vector<std::string> log;
  // Off: text is not recorded (large models).
  bool record = true;
  // On: contents of constants are written whole and exactly.
  bool exact = false;

  struct Impl;
  Impl* impl;
};

#endif  // TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_MOCK_H_
