// SPDX-License-Identifier: Apache-2.0
//
// Makes plans by hand, piece by piece, for tests of the runtime: symbols, expressions, bindings,
// temporaries, weights, steps. Liveness of buffers follows from their use. It writes them with the
// ordinary writer; it checks nothing itself.

#ifndef TRIVET_TESTS_SUPPORT_PLAN_MAKER_H_
#define TRIVET_TESTS_SUPPORT_PLAN_MAKER_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "core/base/byte_writer.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dim_code.h"
#include "core/plan/host_blob.h"
#include "core/plan/plan.h"

namespace trivet_test {

// Bytes at an address that is a multiple of 64, plus `shift`.
class AlignedPlan {
 public:
  explicit AlignedPlan(const std::string& bytes, size_t shift = 0)
      : size_(bytes.size()), memory_(bytes.size() + 128) {
    uintptr_t at = (reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64 + shift;
    data_ = reinterpret_cast<char*>(at);
    memcpy(data_, bytes.data(), size_);
  }
  AlignedPlan(const AlignedPlan&) = delete;
  AlignedPlan& operator=(const AlignedPlan&) = delete;
  char* data() { return data_; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::vector<char> memory_;
  char* data_;
};

// What is seldom said of a step or an alternative.
struct PlanStepOptions {
  std::vector<tvi_plan_guard_t> guards;
  std::vector<std::string> requirements;
  std::vector<uint32_t> parameters;
  std::vector<tvi_plan_bound_symbol_t> bound;
  std::string tactic = "plain";
  uint32_t version = 1;
};

class PlanMaker {
 public:
  using Expr = uint32_t;
  using Exprs = std::vector<Expr>;

  using StepOptions = PlanStepOptions;

  Expr Number(int64_t value) {
    std::string code(1, static_cast<char>(TVI_DIM_CODE_CONSTANT));
    Varint(&code, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
    Expr expr = AddCode(code);
    numbers_[expr] = value;
    return expr;
  }
  Expr Symbol(const std::string& name, int64_t min, int64_t max, int64_t divisor = 1,
              uint32_t origin = TVI_SYMBOL_INPUT) {
    symbols_.push_back({View(name), min, max, divisor, origin, 0});
    std::string code(1, static_cast<char>(TVI_DIM_CODE_SYMBOL));
    Varint(&code, symbols_.size() - 1);
    return AddCode(code);
  }
  Expr Mul(Expr a, Expr b) {
    if (IsNumber(a) && IsNumber(b)) return Number(numbers_[a] * numbers_[b]);
    return Binary(TVI_DIM_CODE_MUL, a, b);
  }
  Expr Add(Expr a, Expr b) { return Binary(TVI_DIM_CODE_ADD, a, b); }
  uint32_t symbol_count() const { return static_cast<uint32_t>(symbols_.size()); }

  uint32_t Input(const std::string& name, uint32_t dtype, const Exprs& dims) {
    return Binding(name, TVI_PLAN_BINDING_INPUT, dtype, dims);
  }
  uint32_t Output(const std::string& name, uint32_t dtype, const Exprs& dims,
                  uint32_t alias = TVI_PLAN_NONE) {
    uint32_t tensor = Binding(name, TVI_PLAN_BINDING_OUTPUT, dtype, dims);
    bindings_.back().alias = alias;
    return tensor;
  }
  uint32_t Temporary(const std::string& name, uint32_t dtype, const Exprs& dims,
                     uint32_t flags = 0) {
    buffers_.push_back({TVI_PLAN_BUFFER_ARENA, 0, Bytes(dtype, dims), 64, UINT32_MAX, 0, 0, 0});
    return Tensor(name, dtype, dims, DenseStrides(dims), Number(0), flags);
  }
  // A view of the buffer of another tensor.
  uint32_t ViewOf(uint32_t tensor, const Exprs& dims, const Exprs& strides, Expr offset,
                  const std::string& name = "", uint32_t flags = 0) {
    uint32_t buffer = tensors_[tensor].buffer;
    uint32_t made = Tensor(name, tensors_[tensor].dtype, dims, strides, offset, flags);
    tensors_[made].buffer = buffer;
    return made;
  }
  uint32_t Weight(const std::string& name, const std::vector<float>& values) {
    weights_.emplace_back(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    tvi_plan_constant_t constant;
    memset(&constant, 0, sizeof(constant));
    constant.name = View(name);
    constant.dtype = TRIVET_DTYPE_F32;
    constant.rank = 1;
    constant.dims[0] = static_cast<int64_t>(values.size());
    constant.size = values.size() * 4;
    constants_.push_back(constant);
    Exprs dims = {Number(constant.dims[0])};
    uint32_t index = static_cast<uint32_t>(constants_.size()) - 1;
    buffers_.push_back(
        {TVI_PLAN_BUFFER_CONSTANT, index, Bytes(TRIVET_DTYPE_F32, dims), 64, 0, 0, 0, 0});
    return Tensor(name, TRIVET_DTYPE_F32, dims, DenseStrides(dims), Number(0), 0);
  }

  // A step of one alternative; Alternative() puts a preferred one before it.
  void Launch(const std::string& name, const std::string& kernel,
              const std::vector<uint32_t>& inputs, const std::vector<uint32_t>& outputs,
              const std::string& blob, const StepOptions& options = StepOptions()) {
    steps_.emplace_back();
    steps_.back().kind = TVI_PLAN_STEP_LAUNCH;
    steps_.back().name = name;
    Alternative(kernel, inputs, outputs, blob, options);
  }
  void Host(const std::string& name, const std::string& op, const std::vector<uint32_t>& inputs,
            const std::vector<uint32_t>& outputs,
            const std::vector<trivet_attribute_t>& attributes = {},
            const StepOptions& options = StepOptions()) {
    tvi_arena_t arena;
    tvi_arena_init(&arena, trivet_allocator_system(), 0);
    const uint8_t* blob = nullptr;
    uint64_t size = 0;
    trivet_status_t status = tvi_host_blob_encode(
        attributes.data(), static_cast<uint32_t>(attributes.size()), &arena, &blob, &size);
    EXPECT_EQ(status, nullptr);
    steps_.emplace_back();
    steps_.back().kind = TVI_PLAN_STEP_HOST;
    steps_.back().name = name;
    steps_.back().bound = options.bound;
    Alternative(op, inputs, outputs, std::string(reinterpret_cast<const char*>(blob), size),
                options);
    tvi_arena_deinit(&arena);
  }
  // Adds an alternative to the last step, behind those that it has.
  void Alternative(const std::string& kernel, const std::vector<uint32_t>& inputs,
                   const std::vector<uint32_t>& outputs, const std::string& blob,
                   const StepOptions& options = StepOptions()) {
    Step& step = steps_.back();
    step.alternatives.emplace_back();
    AlternativeParts& parts = step.alternatives.back();
    parts.kernel = kernel;
    parts.operands = inputs;
    parts.operands.insert(parts.operands.end(), outputs.begin(), outputs.end());
    parts.output_count = static_cast<uint32_t>(outputs.size());
    parts.blob = blob;
    parts.options = options;
    for (uint32_t tensor : parts.operands) Touch(tensor);
  }

  void Check(uint32_t kind, Expr a, Expr b) { checks_.push_back({kind, a, b}); }
  void Plugin(const std::string& name, const std::string& version) {
    plugins_.push_back({View(name), View(version), nullptr, 0});
  }
  // The plan carries |library| for the plugin added last; it must outlive the maker.
  void Carry(const std::string& library) {
    plugins_.back().library = reinterpret_cast<const uint8_t*>(library.data());
    plugins_.back().library_size = library.size();
  }
  // Shapes of all inputs: {min, opt, max} each.
  void Profile(const std::vector<std::vector<std::vector<int64_t>>>& inputs) {
    profile_dims_.emplace_back(inputs.size() * 3 * TRIVET_MAX_RANK, 0);
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (size_t which = 0; which < 3; ++which) {
        for (size_t d = 0; d < inputs[i][which].size(); ++d) {
          profile_dims_.back()[(i * 3 + which) * TRIVET_MAX_RANK + d] = inputs[i][which][d];
        }
      }
    }
    profiles_.push_back({static_cast<uint32_t>(inputs.size()), 0, profile_dims_.back().data()});
  }
  void Target(const std::string& name) { target_ = name; }
  tvi_plan_tensor_t* tensor(uint32_t index) { return &tensors_[index]; }
  tvi_plan_binding_t* binding(uint32_t index) { return &bindings_[index]; }

  // The bytes of the plan, or the writer's error.
  trivet_status_t Write(std::string* out_bytes) {
    std::deque<std::vector<tvi_plan_alternative_t>> alternatives;
    std::deque<std::vector<trivet_string_view_t>> requirements;
    std::vector<tvi_plan_step_t> steps;
    std::vector<tvi_plan_expr_code_t> exprs;
    for (const std::string& code : codes_) {
      exprs.push_back({reinterpret_cast<const uint8_t*>(code.data()), code.size()});
    }
    for (const Step& from : steps_) {
      alternatives.emplace_back();
      for (const AlternativeParts& parts : from.alternatives) {
        tvi_plan_alternative_t a;
        memset(&a, 0, sizeof(a));
        requirements.emplace_back();
        for (const std::string& each : parts.options.requirements) {
          requirements.back().push_back(View(each));
        }
        a.kernel = View(parts.kernel);
        a.kernel_version = parts.options.version;
        a.guard_count = static_cast<uint32_t>(parts.options.guards.size());
        a.guards = parts.options.guards.data();
        a.requirement_count = static_cast<uint32_t>(requirements.back().size());
        a.requirements = requirements.back().data();
        a.operand_count = static_cast<uint32_t>(parts.operands.size());
        a.operands = parts.operands.data();
        a.output_count = parts.output_count;
        a.blob = reinterpret_cast<const uint8_t*>(parts.blob.data());
        a.blob_size = parts.blob.size();
        a.parameter_count = static_cast<uint32_t>(parts.options.parameters.size());
        a.parameters = parts.options.parameters.data();
        a.tactic = View(parts.options.tactic);
        alternatives.back().push_back(a);
      }
      tvi_plan_step_t step;
      memset(&step, 0, sizeof(step));
      step.kind = from.kind;
      step.name = View(from.name);
      step.made_by = View("test");
      step.alternative_count = static_cast<uint32_t>(from.alternatives.size());
      step.alternatives = alternatives.back().data();
      step.bound_symbol_count = static_cast<uint32_t>(from.bound.size());
      step.bound_symbols = from.bound.data();
      steps.push_back(step);
    }
    uint32_t last = steps.empty() ? 0 : static_cast<uint32_t>(steps.size()) - 1;
    std::vector<tvi_plan_buffer_t> buffers = buffers_;
    for (tvi_plan_buffer_t& buffer : buffers) {
      if (buffer.first_step == UINT32_MAX) buffer.first_step = 0;
    }
    for (const tvi_plan_tensor_t& tensor : tensors_) {
      tvi_plan_buffer_t& buffer = buffers[tensor.buffer];
      bool is_kept = (tensor.flags & TVI_PLAN_TENSOR_OBSERVED) != 0;
      if (is_kept && buffer.kind == TVI_PLAN_BUFFER_ARENA) buffer.last_step = last;
    }
    tvi_plan_block_t block = {static_cast<uint32_t>(steps.size()), 0, steps.data()};
    tvi_plan_program_t program;
    memset(&program, 0, sizeof(program));
    program.target = View(target_);
    program.block_count = 1;
    program.blocks = &block;
    program.buffer_count = static_cast<uint32_t>(buffers.size());
    program.buffers = buffers.data();
    program.tensor_count = static_cast<uint32_t>(tensors_.size());
    program.tensors = tensors_.data();
    program.check_count = static_cast<uint32_t>(checks_.size());
    program.checks = checks_.data();
    tvi_plan_t plan;
    memset(&plan, 0, sizeof(plan));
    plan.name = View("test");
    plan.build_info = View("{}");
    plan.symbol_count = static_cast<uint32_t>(symbols_.size());
    plan.symbols = symbols_.data();
    plan.expr_count = static_cast<uint32_t>(exprs.size());
    plan.exprs = exprs.data();
    plan.constant_count = static_cast<uint32_t>(constants_.size());
    plan.constants = constants_.data();
    plan.binding_count = static_cast<uint32_t>(bindings_.size());
    plan.bindings = bindings_.data();
    plan.profile_count = static_cast<uint32_t>(profiles_.size());
    plan.profiles = profiles_.data();
    plan.program_count = 1;
    plan.programs = &program;
    plan.plugin_count = static_cast<uint32_t>(plugins_.size());
    plan.plugins = plugins_.data();
    tvi_plan_weight_source_t source = {this, WriteWeight};
    out_bytes->clear();
    return tvi_plan_write(&plan, &source, trivet_allocator_system(), {out_bytes, AppendBytes});
  }
  std::string Bytes() {
    std::string bytes;
    trivet_status_t status = Write(&bytes);
    EXPECT_EQ(status, nullptr) << trivet_status_message(status);
    trivet_status_free(status);
    return bytes;
  }

 private:
  struct AlternativeParts {
    std::string kernel, blob;
    std::vector<uint32_t> operands;
    uint32_t output_count;
    StepOptions options;
  };
  struct Step {
    uint32_t kind;
    std::string name;
    std::deque<AlternativeParts> alternatives;
    std::vector<tvi_plan_bound_symbol_t> bound;
  };

  static void Varint(std::string* out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
    out->push_back(static_cast<char>(value));
  }
  trivet_string_view_t View(const std::string& text) {
    texts_.push_back(text);
    return {texts_.back().data(), texts_.back().size()};
  }
  Expr AddCode(const std::string& code) {
    for (size_t i = 0; i < codes_.size(); ++i) {
      if (codes_[i] == code) return static_cast<Expr>(i);
    }
    codes_.push_back(code);
    return static_cast<Expr>(codes_.size()) - 1;
  }
  bool IsNumber(Expr expr) const { return numbers_.count(expr) != 0; }
  Expr Binary(uint8_t op, Expr a, Expr b) {
    return AddCode(codes_[a] + codes_[b] + static_cast<char>(op));
  }
  Expr Bytes(uint32_t dtype, const Exprs& dims) {
    Expr size = Number(tvi_dtype_bytes(dtype));
    for (Expr dim : dims) size = Mul(dim, size);
    return size;
  }
  Exprs DenseStrides(const Exprs& dims) {
    Exprs strides(dims.size());
    Expr stride = Number(1);
    for (size_t d = dims.size(); d-- > 0;) {
      strides[d] = stride;
      if (d != 0) stride = Mul(dims[d], stride);
    }
    return strides;
  }
  uint32_t Tensor(const std::string& name, uint32_t dtype, const Exprs& dims, const Exprs& strides,
                  Expr offset, uint32_t flags) {
    tvi_plan_tensor_t tensor;
    memset(&tensor, 0, sizeof(tensor));
    tensor.name = View(name);
    tensor.dtype = dtype;
    tensor.rank = static_cast<uint32_t>(dims.size());
    tensor.buffer = static_cast<uint32_t>(buffers_.size()) - 1;
    tensor.flags = flags;
    tensor.offset = offset;
    for (size_t d = 0; d < dims.size(); ++d) {
      tensor.dims[d] = dims[d];
      tensor.strides[d] = strides[d];
    }
    tensors_.push_back(tensor);
    return static_cast<uint32_t>(tensors_.size()) - 1;
  }
  uint32_t Binding(const std::string& name, uint32_t mode, uint32_t dtype, const Exprs& dims) {
    uint32_t index = static_cast<uint32_t>(bindings_.size());
    buffers_.push_back({TVI_PLAN_BUFFER_BINDING, index, Bytes(dtype, dims), 1, 0, 0, 0, 0});
    uint32_t tensor = Tensor(name, dtype, dims, DenseStrides(dims), Number(0), 0);
    bindings_.push_back({View(name), mode, tensor, 1, TVI_PLAN_NONE});
    return tensor;
  }
  void Touch(uint32_t tensor) {
    if (tensor == TVI_PLAN_NONE) return;
    tvi_plan_buffer_t& buffer = buffers_[tensors_[tensor].buffer];
    if (buffer.kind != TVI_PLAN_BUFFER_ARENA) return;
    uint32_t step = static_cast<uint32_t>(steps_.size()) - 1;
    if (buffer.first_step == UINT32_MAX) buffer.first_step = step;
    if (buffer.last_step < step) buffer.last_step = step;
  }
  static trivet_status_t WriteWeight(void* self, uint32_t index, trivet_sink_t sink) {
    const std::string& bytes = static_cast<PlanMaker*>(self)->weights_[index];
    return bytes.empty() ? nullptr : sink.write(sink.self, bytes.data(), bytes.size());
  }
  static trivet_status_t AppendBytes(void* self, const void* bytes, size_t size) {
    static_cast<std::string*>(self)->append(static_cast<const char*>(bytes), size);
    return nullptr;
  }

  std::deque<std::string> texts_;
  std::vector<std::string> codes_;
  std::map<Expr, int64_t> numbers_;  // expressions that are constants
  std::vector<tvi_plan_symbol_t> symbols_;
  std::vector<tvi_plan_constant_t> constants_;
  std::vector<std::string> weights_;
  std::vector<tvi_plan_binding_t> bindings_;
  std::vector<tvi_plan_buffer_t> buffers_;
  std::vector<tvi_plan_tensor_t> tensors_;
  std::vector<tvi_plan_guard_t> checks_;
  std::vector<tvi_plan_plugin_t> plugins_;
  std::deque<std::vector<int64_t>> profile_dims_;
  std::vector<tvi_plan_profile_t> profiles_;
  std::deque<Step> steps_;
  std::string target_ = "cpu";
};

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_PLAN_MAKER_H_
