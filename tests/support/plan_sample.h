// SPDX-License-Identifier: Apache-2.0
//
// A small plan that uses every part of the format: symbols of both origins, constants with gaps
// between them, aliased bindings, profiles, two programs, alternatives with guards, blobs. For
// tests of the writer, the reader and the verifier; tests change single fields of it.

#ifndef TRIVET_TESTS_SUPPORT_PLAN_SAMPLE_H_
#define TRIVET_TESTS_SUPPORT_PLAN_SAMPLE_H_

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan.h"

namespace trivet_test {

// Owns every array of `plan`; fields may be changed in place before writing.
class PlanSample {
 public:
  // `big_constant`: bytes of the last constant; above 1 MiB the weights span chunks.
  explicit PlanSample(size_t big_constant = 300) {
    memset(&plan, 0, sizeof(plan));
    plan.name = TRIVET_SV("sample");
    plan.build_info = TRIVET_SV("{\"tool\": \"test\"}");

    symbols = {{TRIVET_SV("batch"), 1, 8, 1, TVI_SYMBOL_INPUT, 0},
               {TRIVET_SV("found"), 0, 32, 1, TVI_SYMBOL_DATA, 0}};
    for (int64_t value : {0, 1, 4, 16, 8}) Constant(value);  // expressions 0..4
    Code({TVI_DIM_CODE_SYMBOL, 0});                          // 5: batch
    Code({TVI_DIM_CODE_SYMBOL, 1});                          // 6: found
    Code({TVI_DIM_CODE_SYMBOL, 0, TVI_DIM_CODE_CONSTANT, 32, TVI_DIM_CODE_MUL});  // 7: batch * 16
    Constant(512);                                                                // 8
    Code({TVI_DIM_CODE_SYMBOL, 1, TVI_DIM_CODE_CONSTANT, 2, TVI_DIM_CODE_ADD});   // 9: found + 1

    Weight("w", TRIVET_DTYPE_F32, {4, 4}, 64);
    Weight("", TRIVET_DTYPE_I8, {10}, 10);
    Weight("empty", TRIVET_DTYPE_F32, {0, 3}, 0);
    Weight("big", TRIVET_DTYPE_U8, {static_cast<int64_t>(big_constant)}, big_constant);

    bindings = {{TRIVET_SV("x"), TVI_PLAN_BINDING_INPUT, 0, 64, TVI_PLAN_NONE},
                {TRIVET_SV("y"), TVI_PLAN_BINDING_OUTPUT, 1, 64, 0},
                {TRIVET_SV("indices"), TVI_PLAN_BINDING_OUTPUT, 4, 64, TVI_PLAN_NONE}};
    profile_dims.assign(3 * TRIVET_MAX_RANK, 0);
    const int64_t batches[] = {1, 4, 8};
    for (int i = 0; i < 3; ++i) {
      profile_dims[i * TRIVET_MAX_RANK] = batches[i];
      profile_dims[i * TRIVET_MAX_RANK + 1] = 4;
    }
    profiles = {{1, 0, profile_dims.data()}};
    plugins = {{TRIVET_SV("cpu_test"), TRIVET_SV("1.0"), nullptr, 0}};

    buffers = {{TVI_PLAN_BUFFER_BINDING, 0, 7, 64, 0, 0, 0, 0},
               {TVI_PLAN_BUFFER_BINDING, 1, 7, 64, 0, 0, 0, 0},
               {TVI_PLAN_BUFFER_BINDING, 2, 8, 64, 0, 0, 0, 0},
               {TVI_PLAN_BUFFER_CONSTANT, 0, 10, 64, 0, 0, 0, 0},
               {TVI_PLAN_BUFFER_ARENA, TVI_PLAN_NONE, 7, 64, 0, 1, 0, 0},
               {TVI_PLAN_BUFFER_CONSTANT, 1, 4, 16, 0, 0, 0, 0}};
    Constant(64);  // expression 10: bytes of the constant w
    Tensor("x", TRIVET_DTYPE_F32, 0, {5, 2}, {2, 1});
    Tensor("y", TRIVET_DTYPE_F32, 1, {5, 2}, {2, 1});
    Tensor("w", TRIVET_DTYPE_F32, 3, {2, 2}, {2, 1});
    Tensor("hidden", TRIVET_DTYPE_F32, 4, {5, 2}, {2, 1}, TVI_PLAN_TENSOR_OBSERVED);
    Tensor("indices", TRIVET_DTYPE_I64, 2, {6}, {1});
    Tensor("", TRIVET_DTYPE_I8, 5, {4}, {1});

    blob_a = std::string("tile program\0with zeros", 23);
    blob_b.assign(100, '\x5a');
    guards = {{TVI_PLAN_GUARD_GE, 5, 2}, {TVI_PLAN_GUARD_DIVISIBLE, 5, 2}};
    requirements = {TRIVET_SV("isa:avx2"), TRIVET_SV("plugin:cpu_test")};
    checks = {{TVI_PLAN_GUARD_GE, 5, 1}};
    operands_matmul = {0, 2, TVI_PLAN_NONE, 3};
    operands_relu = {3, 1};
    operands_host = {1, 5, 4};
    parameters = {5, 3};

    alternatives.resize(4);
    memset(static_cast<void*>(alternatives.data()), 0,
           alternatives.size() * sizeof(alternatives[0]));
    Alternative(0, "cpu.fast", operands_matmul, 1, blob_b);
    alternatives[0].guards = guards.data();
    alternatives[0].guard_count = 2;
    alternatives[0].requirements = requirements.data();
    alternatives[0].requirement_count = 2;
    alternatives[0].tactic = TRIVET_SV("blocked");
    Alternative(1, "cpu.tile", operands_matmul, 1, blob_a);
    alternatives[1].parameters = parameters.data();
    alternatives[1].parameter_count = 2;
    Alternative(2, "cpu.tile", operands_relu, 1, blob_a);
    Alternative(3, "std.NonZero", operands_host, 1, std::string());
    bound = {{1, 0, 0}};
    wait = {0};
    host_wait = {1};

    steps.resize(3);
    memset(static_cast<void*>(steps.data()), 0, steps.size() * sizeof(steps[0]));
    Step(0, TVI_PLAN_STEP_LAUNCH, "fc1 + bias1", "epilogue", 0, 2);
    Step(1, TVI_PLAN_STEP_LAUNCH, "relu1", "region", 2, 1);
    Step(2, TVI_PLAN_STEP_HOST, "nonzero", "host", 3, 1);
    steps[1].queue = 1;
    steps[1].waits = wait.data();
    steps[1].wait_count = 1;
    steps[2].waits = host_wait.data();
    steps[2].wait_count = 1;
    steps[2].bound_symbols = bound.data();
    steps[2].bound_symbol_count = 1;
    blocks = {{3, 0, steps.data()}};

    programs.resize(2);
    for (tvi_plan_program_t& program : programs) {
      memset(static_cast<void*>(&program), 0, sizeof(program));
      program.target = TRIVET_SV("cpu");
      program.block_count = 1;
      program.buffer_count = static_cast<uint32_t>(buffers.size());
      program.tensor_count = static_cast<uint32_t>(tensors.size());
      program.check_count = 1;
      program.blocks = blocks.data();
      program.buffers = buffers.data();
      program.tensors = tensors.data();
      program.checks = checks.data();
      program.arena_size = 128;
      program.arena_lower_bound = 128;
    }
    programs[1].target = TRIVET_SV("other");

    plan.symbol_count = static_cast<uint32_t>(symbols.size());
    plan.expr_count = static_cast<uint32_t>(exprs.size());
    plan.constant_count = static_cast<uint32_t>(constants.size());
    plan.binding_count = static_cast<uint32_t>(bindings.size());
    plan.profile_count = 1;
    plan.program_count = 2;
    plan.plugin_count = 1;
    plan.symbols = symbols.data();
    plan.exprs = exprs.data();
    plan.constants = constants.data();
    plan.bindings = bindings.data();
    plan.profiles = profiles.data();
    plan.programs = programs.data();
    plan.plugins = plugins.data();
  }
  PlanSample(const PlanSample&) = delete;
  PlanSample& operator=(const PlanSample&) = delete;

  tvi_plan_weight_source_t source() { return {this, WriteWeight}; }

  trivet_status_t Write(std::vector<uint8_t>* out,
                        trivet_allocator_t allocator = trivet_allocator_system()) {
    out->clear();
    tvi_plan_weight_source_t weights_source = source();
    return tvi_plan_write(&plan, &weights_source, allocator, trivet_sink_t{out, Collect});
  }

  tvi_plan_t plan;
  std::vector<tvi_plan_symbol_t> symbols;
  std::deque<std::string> codes;
  std::vector<tvi_plan_expr_code_t> exprs;
  std::vector<tvi_plan_constant_t> constants;
  std::vector<std::string> weights;
  std::vector<uint32_t> weights_asked;  // indices, in the order in which the writer asked
  std::vector<tvi_plan_binding_t> bindings;
  std::vector<int64_t> profile_dims;
  std::vector<tvi_plan_profile_t> profiles;
  std::vector<tvi_plan_plugin_t> plugins;
  std::vector<tvi_plan_buffer_t> buffers;
  std::vector<tvi_plan_tensor_t> tensors;
  std::string blob_a, blob_b;
  std::vector<tvi_plan_guard_t> guards, checks;
  std::vector<trivet_string_view_t> requirements;
  std::vector<uint32_t> operands_matmul, operands_relu, operands_host, parameters, wait, host_wait;
  std::vector<tvi_plan_alternative_t> alternatives;
  std::vector<tvi_plan_bound_symbol_t> bound;
  std::vector<tvi_plan_step_t> steps;
  std::vector<tvi_plan_block_t> blocks;
  std::vector<tvi_plan_program_t> programs;

 private:
  void Code(const std::vector<int>& bytes) {
    codes.emplace_back(bytes.begin(), bytes.end());
    exprs.push_back({reinterpret_cast<const uint8_t*>(codes.back().data()), codes.back().size()});
  }
  void Constant(int64_t value) {
    std::vector<int> bytes = {TVI_DIM_CODE_CONSTANT};
    uint64_t zigzag = static_cast<uint64_t>(value) << 1;
    for (; zigzag >= 0x80; zigzag >>= 7) bytes.push_back(static_cast<int>(zigzag & 0x7f) | 0x80);
    bytes.push_back(static_cast<int>(zigzag));
    Code(bytes);
  }
  void Weight(const char* name, uint32_t dtype, const std::vector<int64_t>& dims, size_t size) {
    tvi_plan_constant_t constant;
    memset(&constant, 0, sizeof(constant));
    constant.name = trivet_string_view_t{name, strlen(name)};
    constant.dtype = dtype;
    constant.rank = static_cast<uint32_t>(dims.size());
    for (size_t d = 0; d < dims.size(); ++d) constant.dims[d] = dims[d];
    constant.size = size;
    constant.hash[0] = 0x1111 * (constants.size() + 1);
    constant.hash[1] = ~constant.hash[0];
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 251 + 7);
    weights.push_back(bytes);
    constants.push_back(constant);
  }
  void Tensor(const char* name, uint32_t dtype, uint32_t buffer, const std::vector<uint32_t>& dims,
              const std::vector<uint32_t>& strides, uint32_t flags = 0) {
    tvi_plan_tensor_t tensor;
    memset(&tensor, 0, sizeof(tensor));
    tensor.name = trivet_string_view_t{name, strlen(name)};
    tensor.dtype = dtype;
    tensor.rank = static_cast<uint32_t>(dims.size());
    tensor.buffer = buffer;
    tensor.flags = flags;
    for (size_t d = 0; d < dims.size(); ++d) {
      tensor.dims[d] = dims[d];
      tensor.strides[d] = strides[d];
    }
    tensors.push_back(tensor);
  }
  void Alternative(size_t index, const char* kernel, const std::vector<uint32_t>& operands,
                   uint32_t outputs, const std::string& blob) {
    tvi_plan_alternative_t& a = alternatives[index];
    a.kernel = trivet_string_view_t{kernel, strlen(kernel)};
    a.kernel_version = 1;
    a.operands = operands.data();
    a.operand_count = static_cast<uint32_t>(operands.size());
    a.output_count = outputs;
    a.blob = reinterpret_cast<const uint8_t*>(blob.size() != 0 ? blob.data() : nullptr);
    a.blob_size = blob.size();
  }
  void Step(size_t index, uint32_t kind, const char* name, const char* made_by, size_t alternative,
            uint32_t count) {
    tvi_plan_step_t& s = steps[index];
    s.kind = kind;
    s.name = trivet_string_view_t{name, strlen(name)};
    s.made_by = trivet_string_view_t{made_by, strlen(made_by)};
    s.alternatives = &alternatives[alternative];
    s.alternative_count = count;
  }
  static trivet_status_t WriteWeight(void* self, uint32_t index, trivet_sink_t sink) {
    auto* sample = static_cast<PlanSample*>(self);
    sample->weights_asked.push_back(index);
    const std::string& bytes = sample->weights[index];
    // In pieces, as a packer would give them.
    for (size_t at = 0; at < bytes.size(); at += 1000) {
      size_t part = bytes.size() - at < 1000 ? bytes.size() - at : 1000;
      TRIVET_RETURN_IF_ERROR(sink.write(sink.self, bytes.data() + at, part));
    }
    return nullptr;
  }
  static trivet_status_t Collect(void* self, const void* bytes, size_t size) {
    auto* out = static_cast<std::vector<uint8_t>*>(self);
    const auto* begin = static_cast<const uint8_t*>(bytes);
    out->insert(out->end(), begin, begin + size);
    return nullptr;
  }
};

// A copy of bytes at an address aligned to 64, in a block of exactly that size.
class AlignedBytes {
 public:
  AlignedBytes(const uint8_t* bytes, size_t size) : size_(size) {
    if (posix_memalign(reinterpret_cast<void**>(&data_), 64, size != 0 ? size : 1) != 0) {
      data_ = nullptr;
      size_ = 0;
    }
    if (size_ != 0) memcpy(data_, bytes, size_);
  }
  explicit AlignedBytes(const std::vector<uint8_t>& bytes)
      : AlignedBytes(bytes.data(), bytes.size()) {}
  ~AlignedBytes() { free(data_); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  uint8_t* data() { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_;
};

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_PLAN_SAMPLE_H_
