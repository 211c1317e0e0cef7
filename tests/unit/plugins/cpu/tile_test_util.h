// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the tile compiler and interpreter share: kernel-IR programs built in C++, plain
// tensors, running a program through compiler and interpreter, comparing with the evaluator.

#ifndef TRIVET_TESTS_UNIT_PLUGINS_CPU_TILE_TEST_UTIL_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CPU_TILE_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "core/base/dtype.h"
#include "core/kernel_ir/evaluate.h"
#include "core/kernel_ir/kernel_ir.h"
#include "core/kernel_ir/scalar.h"
#include "plugins/cpu/tile_compile.h"
#include "plugins/cpu/tile_encode.h"
#include "runtime/device/cpu/tile_bind.h"
}

namespace tile_test {

using Ref = tvi_kir_ref_t;
constexpr uint32_t F32 = TRIVET_DTYPE_F32, F64 = TRIVET_DTYPE_F64, F16 = TRIVET_DTYPE_F16,
                   BF16 = TRIVET_DTYPE_BF16, I8 = TRIVET_DTYPE_I8, U8 = TRIVET_DTYPE_U8,
                   I16 = TRIVET_DTYPE_I16, U16 = TRIVET_DTYPE_U16, I32 = TRIVET_DTYPE_I32,
                   U32 = TRIVET_DTYPE_U32, I64 = TRIVET_DTYPE_I64, U64 = TRIVET_DTYPE_U64,
                   BOOL = TRIVET_DTYPE_BOOL;

inline void check(trivet_status_t status) {
  if (!status) return;
  std::string message = trivet_status_message(status);
  trivet_status_free(status);
  throw std::runtime_error(message);
}

class Program;

// The body of one stage under construction.
class Stage {
 public:
  Stage(Program* program, tvi_kir_stage_kind_t kind, std::vector<trivet_dim_t> parallel,
        std::vector<trivet_dim_t> reduced)
      : program_(program), kind_(kind), parallel_(parallel), reduced_(reduced) {}
  Ref index(int64_t i) {
    tvi_kir_instr_t instr = make(TVI_KIR_INDEX, I64);
    instr.imm.i64 = i;
    return push(instr);
  }
  Ref extent(trivet_dim_t dim) {
    tvi_kir_instr_t instr = make(TVI_KIR_EXTENT, I64);
    instr.imm.dim = dim;
    return push(instr);
  }
  Ref f(double value, uint32_t dtype = F32) {
    tvi_kir_instr_t instr = make(TVI_KIR_CONST, dtype);
    instr.imm.f64 = value;
    return push(instr);
  }
  Ref i(int64_t value, uint32_t dtype = I64) {
    tvi_kir_instr_t instr = make(TVI_KIR_CONST, dtype);
    instr.imm.i64 = value;
    return push(instr);
  }
  Ref op(tvi_kir_opcode_t opcode, uint32_t dtype, Ref a, Ref b = 0, Ref c = 0) {
    tvi_kir_instr_t instr = make(opcode, dtype);
    const Ref args[3] = {a, b, c};
    for (uint32_t k = 0; k < tvi_kir_opcode_operands(opcode); ++k) instr.args[k] = args[k];
    return push(instr);
  }
  // A call of |function|, which means |meaning|, with one argument.
  Ref call(const tvi_kir_device_t* function, uint32_t dtype, Ref meaning, Ref argument) {
    tvi_kir_instr_t instr = make(TVI_KIR_DEVICE, dtype);
    instr.args[0] = meaning;
    instr.args[1] = argument;
    instr.imm.device = function;
    return push(instr);
  }
  Ref load(uint32_t value, std::vector<Ref> indices, Ref pad = TVI_KIR_NONE,
           std::vector<uint8_t> wrap = {});
  // A load at the stage's own indices, as many as the value has dimensions.
  Ref at(uint32_t value);
  void finish(std::vector<uint32_t> values, std::vector<Ref> results,
              const tvi_kir_monoid_t* monoid = nullptr, uint32_t scan_flags = 0);

 private:
  tvi_kir_instr_t make(tvi_kir_opcode_t opcode, uint32_t dtype) {
    tvi_kir_instr_t instr;
    memset(&instr, 0, sizeof(instr));
    instr.opcode = (uint16_t)opcode;
    instr.dtype = dtype;
    for (auto& a : instr.args) a = TVI_KIR_NONE;
    return instr;
  }
  Ref push(const tvi_kir_instr_t& instr) {
    instrs_.push_back(instr);
    return (Ref)instrs_.size() - 1;
  }
  Program* program_;
  tvi_kir_stage_kind_t kind_;
  std::vector<trivet_dim_t> parallel_, reduced_;
  std::vector<tvi_kir_instr_t> instrs_;
  friend class Program;
};

class Program {
 public:
  Program() {
    tvi_arena_init(&arena_, trivet_allocator_system(), 0);
    check(tvi_dim_context_create(trivet_allocator_system(), &dims_));
  }
  ~Program() {
    tvi_arena_deinit(&arena_);
    tvi_dim_context_destroy(dims_);
  }
  Program(const Program&) = delete;
  trivet_dim_t dim(int64_t value) { return tvi_dim_constant(dims_, value); }
  trivet_dim_t symbol(const char* name) {
    return tvi_dim_symbol(dims_, trivet_string_view_t{name, strlen(name)});
  }
  tvi_dim_context_t* dims() { return dims_; }
  std::vector<trivet_dim_t> shape(std::vector<int64_t> extents) {
    std::vector<trivet_dim_t> out;
    for (int64_t e : extents) out.push_back(dim(e));
    return out;
  }
  uint32_t value(tvi_kir_value_kind_t kind, uint32_t dtype, std::vector<trivet_dim_t> extents) {
    tvi_kir_value_t v;
    memset(&v, 0, sizeof(v));
    names_.push_back("v" + std::to_string(values_.size()));
    v.kind = kind;
    v.dtype = dtype;
    v.rank = (uint32_t)extents.size();
    v.stage = TVI_KIR_NONE;
    v.tag = TVI_KIR_NONE;
    for (size_t d = 0; d < extents.size(); ++d) v.dims[d] = extents[d];
    values_.push_back(v);
    return (uint32_t)values_.size() - 1;
  }
  uint32_t input(uint32_t dtype, std::vector<int64_t> extents) {
    return value(TVI_KIR_INPUT, dtype, shape(extents));
  }
  uint32_t output(uint32_t dtype, std::vector<int64_t> extents) {
    return value(TVI_KIR_OUTPUT, dtype, shape(extents));
  }
  uint32_t temp(uint32_t dtype, std::vector<int64_t> extents) {
    return value(TVI_KIR_TEMP, dtype, shape(extents));
  }
  Stage map(std::vector<int64_t> extents) { return Stage(this, TVI_KIR_MAP, shape(extents), {}); }
  Stage reduce(std::vector<int64_t> extents, std::vector<int64_t> reduced) {
    return Stage(this, TVI_KIR_REDUCE, shape(extents), shape(reduced));
  }
  Stage scan(std::vector<int64_t> extents) { return Stage(this, TVI_KIR_SCAN, shape(extents), {}); }
  const tvi_kir_monoid_t* monoid(tvi_kir_monoid_kind_t kind, uint32_t dtype) {
    tvi_kir_monoid_t* m = nullptr;
    check(tvi_arena_alloc_zeroed(&arena_, sizeof(*m), &m));
    m->kind = kind;
    m->state_count =
        kind == TVI_KIR_WELFORD                                                             ? 3
        : kind == TVI_KIR_ARGMAX || kind == TVI_KIR_ARGMIN || kind == TVI_KIR_SOFTMAX_STATE ? 2
                                                                                            : 1;
    m->element_count =
        kind == TVI_KIR_WELFORD || kind == TVI_KIR_SOFTMAX_STATE ? 1 : m->state_count;
    for (auto& d : m->dtypes) d = dtype;
    if (kind == TVI_KIR_ARGMAX || kind == TVI_KIR_ARGMIN) m->dtypes[1] = I64;
    m->name = "m";
    return m;
  }
  const tvi_kir_program_t* get() {
    program_.arena = &arena_;
    program_.dims = dims_;
    program_.value_count = (uint32_t)values_.size();
    for (size_t i = 0; i < values_.size(); ++i) values_[i].name = names_[i].c_str();
    program_.values = values_.data();
    program_.stage_count = (uint32_t)stages_.size();
    program_.stages = stages_.data();
    return &program_;
  }
  tvi_arena_t* arena() { return &arena_; }

 private:
  friend class Stage;
  tvi_arena_t arena_;
  tvi_dim_context_t* dims_ = nullptr;
  std::vector<tvi_kir_value_t> values_;
  std::vector<tvi_kir_stage_t> stages_;
  std::vector<std::string> names_;
  tvi_kir_program_t program_ = {};
};

inline Ref Stage::load(uint32_t value, std::vector<Ref> indices, Ref pad,
                       std::vector<uint8_t> wrap) {
  tvi_kir_load_t* load = nullptr;
  check(tvi_arena_alloc_zeroed(program_->arena(), sizeof(*load), &load));
  load->value = value;
  load->index_count = (uint32_t)indices.size();
  check(tvi_arena_alloc_array(program_->arena(), indices.size() + 1, sizeof(Ref), &load->indices));
  for (size_t k = 0; k < indices.size(); ++k) load->indices[k] = indices[k];
  if (!wrap.empty()) {
    check(tvi_arena_alloc_array(program_->arena(), wrap.size(), 1, &load->wrap));
    memcpy(load->wrap, wrap.data(), wrap.size());
  }
  load->bounds = pad == TVI_KIR_NONE ? TVI_KIR_BOUNDS_PROVEN : TVI_KIR_BOUNDS_PAD;
  load->pad = pad;
  tvi_kir_instr_t instr = make(TVI_KIR_LOAD, program_->values_[value].dtype);
  instr.imm.load = load;
  return push(instr);
}

inline Ref Stage::at(uint32_t value) {
  std::vector<Ref> indices;
  for (uint32_t d = 0; d < program_->values_[value].rank; ++d) indices.push_back(index(d));
  return load(value, indices);
}

inline void Stage::finish(std::vector<uint32_t> values, std::vector<Ref> results,
                          const tvi_kir_monoid_t* monoid, uint32_t scan_flags) {
  tvi_kir_stage_t stage;
  memset(&stage, 0, sizeof(stage));
  stage.kind = kind_;
  stage.result_count = (uint32_t)values.size();
  for (uint32_t k = 0; k < TVI_KIR_MAX_STATE; ++k) {
    stage.values[k] = k < values.size() ? values[k] : TVI_KIR_NONE;
    stage.results[k] = k < results.size() ? results[k] : TVI_KIR_NONE;
    if (k < values.size() && values[k] != TVI_KIR_NONE)
      program_->values_[values[k]].stage = (uint32_t)program_->stages_.size();
  }
  stage.parallel_count = (uint32_t)parallel_.size();
  stage.reduced_count = (uint32_t)reduced_.size();
  stage.scan_flags = scan_flags;
  stage.origin = TVI_KIR_NONE;
  for (size_t k = 0; k < parallel_.size(); ++k) stage.extents[k] = parallel_[k];
  for (size_t k = 0; k < reduced_.size(); ++k) stage.extents[parallel_.size() + k] = reduced_[k];
  stage.monoid = monoid;
  stage.instr_count = (uint32_t)instrs_.size();
  check(tvi_arena_alloc_array(program_->arena(), instrs_.size() + 1, sizeof(tvi_kir_instr_t),
                              &stage.instrs));
  memcpy(stage.instrs, instrs_.data(), instrs_.size() * sizeof(tvi_kir_instr_t));
  program_->stages_.push_back(stage);
}

// A dense or strided host tensor.
struct Tensor {
  uint32_t dtype = 0;
  std::vector<int64_t> dims, strides;
  std::vector<uint8_t> bytes;

  static Tensor make(uint32_t dtype, std::vector<int64_t> dims, std::vector<uint32_t> order = {},
                     int64_t gap = 0) {
    Tensor t;
    t.dtype = dtype;
    t.dims = dims;
    t.strides.assign(dims.size(), 0);
    int64_t count = 1;
    for (size_t k = dims.size(); k-- > 0;) {
      size_t d = order.empty() ? k : order[k];
      t.strides[d] = count;
      count *= dims[d] + (k + 1 == dims.size() ? gap : 0);
    }
    size_t size = 0;
    check(trivet_dtype_storage_size(dtype, count, &size));
    t.bytes.assign(size, 0);
    return t;
  }
  int64_t count() const {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  int64_t offset(int64_t linear) const {
    int64_t at = 0;
    for (size_t d = dims.size(); d-- > 0;) {
      at += linear % dims[d] * strides[d];
      linear /= dims[d];
    }
    return at;
  }
  tvi_kir_scalar_t get(int64_t linear) const {
    return tvi_kir_scalar_read(dtype, bytes.data(), offset(linear));
  }
  void set(int64_t linear, tvi_kir_scalar_t v) {
    tvi_kir_scalar_write(dtype, bytes.data(), offset(linear), v);
  }
  void fill(std::mt19937& rng, double low = -3, double high = 3) {
    std::uniform_real_distribution<double> real(low, high);
    for (int64_t k = 0; k < count(); ++k) {
      tvi_kir_scalar_t v;
      if (tvi_dtype_is_float(dtype)) {
        v.f = real(rng);
        if (dtype != F64) v.f = (double)(float)v.f;
      } else if (dtype == BOOL) {
        v.i = (int64_t)(rng() & 1);
      } else {
        v.i = (int64_t)std::floor(real(rng));
        if (!tvi_dtype_is_signed_integer(dtype) && v.i < 0) v.i = -v.i;
      }
      set(k, v);
    }
  }
};

struct Options {
  uint32_t isa = TVI_TILE_ISA_PLAIN;
  uint32_t threads = 1;
  trivet_executor_t* executor = nullptr;
  double tolerance = 2e-5;
  std::vector<std::vector<uint32_t>> output_orders;  // memory order of each output
  int64_t output_gap = 0;                            // elements between rows of outputs
  std::string* listing = nullptr;                    // receives the tile program as text
};

using Inputs = std::vector<std::pair<uint32_t, Tensor>>;

inline int64_t evaluate(trivet_dim_t dim, const std::vector<int64_t>& symbols) {
  int64_t value = 0;
  check(tvi_dim_evaluate(dim, symbols.data(), (uint32_t)symbols.size(), &value));
  return value;
}

inline std::vector<int64_t> shape_of(const tvi_kir_value_t& value,
                                     const std::vector<int64_t>& symbols) {
  std::vector<int64_t> out;
  for (uint32_t d = 0; d < value.rank; ++d) out.push_back(evaluate(value.dims[d], symbols));
  return out;
}

// The outputs by the plain evaluator, dense.
inline std::vector<Tensor> reference(const tvi_kir_program_t* program,
                                     const std::vector<int64_t>& symbols, const Inputs& inputs) {
  check(tvi_kir_verify(program));
  std::vector<Tensor> dense(program->value_count);
  std::vector<trivet_tensor_t> tensors(program->value_count);
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t& value = program->values[v];
    memset(&tensors[v], 0, sizeof(tensors[v]));
    if (value.kind == TVI_KIR_TEMP) continue;
    dense[v] = Tensor::make(value.dtype, shape_of(value, symbols));
    for (const auto& input : inputs)
      if (input.first == v)
        for (int64_t k = 0; k < dense[v].count(); ++k) dense[v].set(k, input.second.get(k));
    tensors[v].dtype = value.dtype;
    tensors[v].rank = value.rank;
    for (uint32_t d = 0; d < value.rank; ++d) tensors[v].dims[d] = dense[v].dims[d];
    tensors[v].data = dense[v].bytes.data();
    tensors[v].size = dense[v].bytes.size();
  }
  check(tvi_kir_evaluate(program, symbols.data(), (uint32_t)symbols.size(), tensors.data(),
                         trivet_allocator_system()));
  return dense;
}

// A compiled program, loaded from its bytes.
class Compiled {
 public:
  explicit Compiled(const tvi_kir_program_t* program) {
    tvi_arena_init(&arena_, trivet_allocator_system(), 0);
    check(tvi_tile_compile(program, trivet_allocator_system(), &compiled));
    check(tvi_tile_program_decode(compiled.bytes, compiled.size, &arena_, &tile));
  }
  ~Compiled() {
    tvi_arena_deinit(&arena_);
    tvi_tile_compiled_deinit(&compiled);
  }
  Compiled(const Compiled&) = delete;
  std::string print() const {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    tvi_tile_program_print(tile, &builder);
    std::string text(builder.data, builder.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }
  tvi_tile_compiled_t compiled = {};
  tvi_tile_program_t* tile = nullptr;

 private:
  tvi_arena_t arena_;
};

// The outputs by the tile interpreter; entry per value, as reference() gives them.
inline std::vector<Tensor> run_tile(const tvi_kir_program_t* program,
                                    const std::vector<int64_t>& symbols, const Inputs& inputs,
                                    const Options& options) {
  Compiled compiled(program);
  if (options.listing) *options.listing = compiled.print();
  std::vector<int64_t> parameters;
  for (uint32_t i = 0; i < compiled.compiled.parameter_count; ++i)
    parameters.push_back(evaluate(compiled.compiled.parameters[i], symbols));
  std::vector<Tensor> out(program->value_count);
  std::vector<trivet_operand_t> operands;
  std::vector<void*> addresses;
  size_t output_count = 0;
  for (uint32_t i = 0; i < compiled.compiled.operand_count; ++i) {
    const uint32_t v = compiled.compiled.operands[i];
    const tvi_kir_value_t& value = program->values[v];
    if (value.kind == TVI_KIR_OUTPUT) {
      std::vector<uint32_t> order;
      if (output_count < options.output_orders.size()) order = options.output_orders[output_count];
      ++output_count;
      out[v] = Tensor::make(value.dtype, shape_of(value, symbols), order, options.output_gap);
    } else {
      for (const auto& input : inputs)
        if (input.first == v) out[v] = input.second;
    }
    trivet_operand_t operand;
    memset(&operand, 0, sizeof(operand));
    operand.dtype = value.dtype;
    operand.rank = value.rank;
    for (uint32_t d = 0; d < value.rank; ++d) {
      operand.dims[d] = out[v].dims[d];
      operand.strides[d] = out[v].strides[d];
    }
    operands.push_back(operand);
    addresses.push_back(out[v].bytes.data());
  }
  tvi_tile_bind_options_t bind = {options.isa, options.threads};
  uint64_t workspace_size = 0;
  tvi_tile_bound_t* bound = nullptr;
  check(tvi_tile_bind(compiled.tile, operands.data(), operands.size(), parameters.data(),
                      parameters.size(), &bind, trivet_allocator_system(), &workspace_size,
                      &bound));
  std::vector<uint8_t> memory(workspace_size + 64);
  void* workspace =
      reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~(uintptr_t)63);
  trivet_status_t status = tvi_tile_run(bound, addresses.data(), workspace, options.executor);
  // A second run must find everything as the first did.
  if (!status) status = tvi_tile_run(bound, addresses.data(), workspace, options.executor);
  tvi_tile_bound_release(bound);
  check(status);
  return out;
}

inline bool close(uint32_t dtype, tvi_kir_scalar_t got, tvi_kir_scalar_t want, double tolerance) {
  if (!tvi_dtype_is_float(dtype)) return got.i == want.i;
  if (std::isnan(want.f) || std::isinf(want.f))
    return (std::isnan(got.f) && std::isnan(want.f)) || got.f == want.f;
  if (dtype == F16) tolerance = std::max(tolerance, 2e-3);
  if (dtype == BF16) tolerance = std::max(tolerance, 1.6e-2);
  if (tvi_dtype_bits(dtype) == 8) tolerance = 0.26;
  return std::fabs(got.f - want.f) <= tolerance * (1 + std::fabs(want.f));
}

inline void expect_equal(const tvi_kir_program_t* program, const std::vector<Tensor>& got,
                         const std::vector<Tensor>& want, double tolerance) {
  for (uint32_t v = 0; v < program->value_count; ++v) {
    if (program->values[v].kind != TVI_KIR_OUTPUT) continue;
    int bad = 0;
    for (int64_t k = 0; k < want[v].count() && bad < 4; ++k) {
      const tvi_kir_scalar_t g = got[v].get(k), w = want[v].get(k);
      if (close(want[v].dtype, g, w, tolerance)) continue;
      ++bad;
      if (tvi_dtype_is_float(want[v].dtype)) {
        ADD_FAILURE() << "value " << v << " at " << k << ": " << g.f << ", wanted " << w.f;
      } else {
        ADD_FAILURE() << "value " << v << " at " << k << ": " << g.i << ", wanted " << w.i;
      }
    }
  }
}

#ifdef TRIVET_TEST_CUDA
// The same programs as CUDA C; defined in tests/unit/plugins/cuda/cuda_test_util.h.
void expect_same(Program& program, const std::vector<int64_t>& symbols, const Inputs& inputs,
                 Options options = {});
#else
// Runs on every instruction set of this machine and compares with the evaluator.
inline void expect_same(Program& program, const std::vector<int64_t>& symbols, const Inputs& inputs,
                        Options options = {}) {
  const tvi_kir_program_t* p = program.get();
  const std::vector<Tensor> want = reference(p, symbols, inputs);
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    options.isa = isa;
    expect_equal(p, run_tile(p, symbols, inputs, options), want, options.tolerance);
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "instruction set " << isa << "\n" << Compiled(p).print();
      return;
    }
  }
}

#endif  // TRIVET_TEST_CUDA

inline Tensor random_tensor(uint32_t dtype, std::vector<int64_t> dims, uint32_t seed = 1,
                            double low = -3, double high = 3, std::vector<uint32_t> order = {},
                            int64_t gap = 0) {
  Tensor t = Tensor::make(dtype, dims, order, gap);
  std::mt19937 rng(seed);
  t.fill(rng, low, high);
  return t;
}

}  // namespace tile_test

#ifdef TRIVET_TEST_CUDA
#include "tests/unit/plugins/cuda/cuda_test_util.h"
#endif

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CPU_TILE_TEST_UTIL_H_
