// SPDX-License-Identifier: Apache-2.0
//
// A fixture that takes a region through a kernel's whole life: propose, emit, load, prepare, run.
// What the target does between them (places, plans) is left out.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CPU_ONEDNN_ONEDNN_TEST_UTIL_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CPU_ONEDNN_ONEDNN_TEST_UTIL_H_

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "tests/unit/core/target/region_test_util.h"

class OnednnTest : public RegionTest {
 protected:
  // What propose and emit said.
  struct Step {
    std::vector<std::string> tactics;
    std::string declined;
    double price = 0;
    std::vector<uint8_t> blob;
    std::vector<int> operands;  // of the region; -1 absent, -2 packed
    std::vector<std::vector<uint8_t>> packed;
    std::vector<trivet_operand_t> packed_types;
  };

  static trivet_status_t Add(void* self, const tvi_tactic_t* tactic) {
    static_cast<Step*>(self)->tactics.emplace_back(tactic->name);
    static_cast<Step*>(self)->price = tactic->price;
    return nullptr;
  }
  static void Decline(void* self, const trivet_kernel_t*, const char* format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    static_cast<Step*>(self)->declined = text;
  }
  static trivet_status_t AddOperand(void* self, uint32_t index) {
    static_cast<Step*>(self)->operands.push_back(static_cast<int>(index));
    return nullptr;
  }
  static trivet_status_t AddAbsent(void* self) {
    static_cast<Step*>(self)->operands.push_back(-1);
    return nullptr;
  }
  static trivet_status_t AddPacked(void* self, const tvi_packed_constant_t* constant) {
    auto* step = static_cast<Step*>(self);
    const auto* data = static_cast<const uint8_t*>(constant->data);
    step->operands.push_back(-2);
    step->packed.emplace_back(data, data + constant->size);
    trivet_operand_t type = {};
    type.dtype = constant->dtype;
    type.rank = constant->rank;
    memcpy(type.dims, constant->dims, sizeof(type.dims));
    step->packed_types.push_back(type);
    return nullptr;
  }
  static trivet_status_t AddParameter(void*, trivet_dim_t) { return nullptr; }
  static trivet_status_t SetBlob(void* self, const void* data, uint64_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    static_cast<Step*>(self)->blob.assign(bytes, bytes + size);
    return nullptr;
  }
  static trivet_status_t Require(void*, const char*) { return nullptr; }

  // Makes the region's operands dense; |last|: of rank 3 and more, with channels last.
  void SetLayouts(bool last = false) {
    for (auto& operand : operands_) {
      const uint32_t rank = tvi_graph_value(graph_, operand.value)->type.rank;
      tvi_region_operand_set_dense(graph_, &operand,
                                   last ? tvi_layout_channels_last(rank) : tvi_layout_plain());
    }
    region_.thread_count = 1;
    region_.operands = operands_.data();
  }

  // "" or the reason why |kernel| does not take the region.
  std::string Propose(const trivet_kernel_t& kernel) {
    step_ = {};
    trivet_proposal_t proposal = {};
    proposal.self = &step_;
    proposal.add = Add;
    proposal.decline = Decline;
    const std::string error = Message(kernel.propose(&kernel, &region_, &proposal));
    return error.empty() ? step_.declined : error;
  }

  std::string Emit(const trivet_kernel_t& kernel) {
    trivet_emission_t emission = {};
    emission.self = &step_;
    emission.arena = &arena_;
    emission.add_operand = AddOperand;
    emission.add_absent = AddAbsent;
    emission.add_packed = AddPacked;
    emission.add_parameter = AddParameter;
    emission.set_blob = SetBlob;
    emission.require = Require;
    return Message(kernel.emit(&kernel, &region_, 0, &emission));
  }

  std::string Load(const trivet_kernel_t& kernel, void** out_loaded) {
    trivet_kernel_load_t load = {};
    load.blob = step_.blob.data();
    load.blob_size = step_.blob.size();
    load.allocator = &allocator_;
    return Message(kernel.load(&kernel, &load, out_loaded));
  }

  // Dense row-major operands of the step that emit wrote, for tensors by operand of the region.
  void Bind(std::vector<Tensor>* tensors) {
    bound_.clear();
    addresses_.clear();
    size_t packed = 0;
    for (int index : step_.operands) {
      trivet_operand_t operand = {};
      void* address = nullptr;
      if (index == -1) {
        operand.flags = TRIVET_OPERAND_ABSENT;
      } else if (index == -2) {
        operand = step_.packed_types[packed];
        operand.flags = TRIVET_OPERAND_CONSTANT;
        address = step_.packed[packed++].data();
        operand.constant = address;
      } else {
        Tensor& tensor = tensors->at(static_cast<size_t>(index));
        operand.dtype = tensor.view.dtype;
        operand.rank = tensor.view.rank;
        memcpy(operand.dims, tensor.view.dims, sizeof(operand.dims));
        address = tensor.bytes.data();
      }
      int64_t stride = 1;
      for (uint32_t d = operand.rank; d-- > 0; stride *= operand.dims[d]) {
        operand.strides[d] = stride;
      }
      bound_.push_back(operand);
      addresses_.push_back(address);
    }
  }

  // Loads, prepares and runs the step over |tensors|: those of the region's inputs, then outputs.
  std::string Execute(const trivet_kernel_t& kernel, std::vector<Tensor>* tensors) {
    void *loaded = nullptr, *prepared = nullptr;
    std::string error = Load(kernel, &loaded);
    if (!error.empty()) return error;
    Bind(tensors);
    trivet_kernel_prepare_t prepare = {};
    prepare.operands = bound_.data();
    prepare.operand_count = bound_.size();
    prepare.allocator = &allocator_;
    uint64_t workspace = 0;
    error = Message(kernel.prepare(&kernel, loaded, &prepare, &workspace, &prepared));
    if (error.empty()) {
      void* memory = aligned_alloc(64, (workspace + 127) / 64 * 64);
      trivet_kernel_launch_t launch = {};
      launch.addresses = addresses_.data();
      launch.workspace = memory;
      error = Message(kernel.run(&kernel, prepared, &launch));
      free(memory);
      kernel.release(&kernel, prepared, &allocator_);
    }
    kernel.unload(&kernel, loaded, &allocator_);
    return error;
  }

  static Tensor Random(const std::vector<int64_t>& dims, uint32_t seed, double low = -2,
                       double high = 2) {
    Tensor t = Tensor::Make(TRIVET_DTYPE_F32, dims);
    uint64_t state = seed * 2654435761u + 12345;
    for (int64_t i = 0; i < t.Count(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const double unit = static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
      tvi_dtype_write_f64(TRIVET_DTYPE_F32, t.bytes.data(), i, low + (high - low) * unit);
    }
    return t;
  }

  // |a - b| summed over |b| summed.
  static double Error(const Tensor& a, const Tensor& b) {
    const std::vector<double> x = a.Values(), y = b.Values();
    double difference = 0, size = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      difference += std::fabs(x.at(i) - y[i]);
      size += std::fabs(y[i]);
    }
    return difference / size;
  }

  // The kernel beside the plain evaluator; the error, or 1 with a failure.
  double Compare(const trivet_kernel_t& kernel, std::vector<Tensor> inputs) {
    std::vector<Tensor> expected = Evaluate(region_.program, inputs);
    EXPECT_EQ(error_, "");
    std::string said = Propose(kernel);
    EXPECT_EQ(said, "");
    if (!said.empty() || expected.size() != 1) return 1;
    EXPECT_EQ(Emit(kernel), "");
    inputs.push_back(expected[0]);
    for (uint8_t& byte : inputs.back().bytes) byte = 0xff;
    said = Execute(kernel, &inputs);
    EXPECT_EQ(said, "");
    return said.empty() ? Error(inputs.back(), expected[0]) : 1;
  }

  trivet_allocator_t allocator_ = trivet_allocator_system();
  Step step_;
  std::vector<trivet_operand_t> bound_;
  std::vector<void*> addresses_;
};

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CPU_ONEDNN_ONEDNN_TEST_UTIL_H_
