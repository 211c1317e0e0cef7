// SPDX-License-Identifier: Apache-2.0
//
// What the tests of kernel IR share: a fixture with a dimension context and an arena, and short
// ways to say "this operator, for these operands".
#ifndef TRIVET_TESTS_UNIT_CORE_KERNEL_IR_KIR_TEST_UTIL_H_
#define TRIVET_TESTS_UNIT_CORE_KERNEL_IR_KIR_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/evaluate.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/kernel_ir.h"
#include "core/kernel_ir/operator_instance.h"
#include "core/kernel_ir/operator_text.h"

// An allocator that fails from its n-th call on and counts what is alive.
struct CountingAllocator {
  int left = 1 << 30;
  int alive = 0;
  trivet_allocator_t Get() { return {this, Allocate, nullptr, Deallocate}; }
  static void* Allocate(void* self, size_t size, size_t alignment) {
    auto* a = static_cast<CountingAllocator*>(self);
    if (a->left-- <= 0) return nullptr;
    ++a->alive;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  static void Deallocate(void* self, void* pointer, size_t, size_t) {
    --static_cast<CountingAllocator*>(self)->alive;
    free(pointer);
  }
};

struct Attribute {
  std::string name;
  uint32_t kind;
  bool list;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<uint32_t> dtypes;
  static Attribute Int(std::string name, int64_t v) {
    return {name, TRIVET_ATTR_I64, false, {v}, {}, {}};
  }
  static Attribute Ints(std::string name, std::vector<int64_t> v) {
    return {name, TRIVET_ATTR_I64, true, v, {}, {}};
  }
  static Attribute Float(std::string name, double v) {
    return {name, TRIVET_ATTR_F32, false, {}, {v}, {}};
  }
  static Attribute Dtype(std::string name, uint32_t v) {
    return {name, TRIVET_ATTR_DTYPE, false, {}, {}, {v}};
  }
};

// A tensor that owns its bytes.
struct Tensor {
  trivet_tensor_t view = {};
  std::vector<uint8_t> bytes;
  static Tensor Make(uint32_t dtype, std::vector<int64_t> dims) {
    Tensor t;
    t.view.dtype = dtype;
    t.view.rank = static_cast<uint32_t>(dims.size());
    int64_t count = 1;
    for (size_t i = 0; i < dims.size(); ++i) count *= t.view.dims[i] = dims[i];
    size_t size = 0;
    trivet_status_free(tvi_dtype_storage_size(dtype, count, &size));
    t.bytes.assign(size, 0);
    return t;
  }
  static Tensor Of(uint32_t dtype, std::vector<int64_t> dims, const std::vector<double>& values) {
    Tensor t = Make(dtype, dims);
    for (size_t i = 0; i < values.size(); ++i) {
      if (tvi_dtype_is_float(dtype)) {
        tvi_dtype_write_f64(dtype, t.bytes.data(), static_cast<int64_t>(i), values[i]);
      } else {
        tvi_dtype_write_i64(dtype, t.bytes.data(), static_cast<int64_t>(i),
                            static_cast<int64_t>(values[i]));
      }
    }
    return t;
  }
  static Tensor F32(std::vector<int64_t> dims, const std::vector<double>& values) {
    return Of(TRIVET_DTYPE_F32, dims, values);
  }
  static Tensor I64(std::vector<int64_t> dims, const std::vector<double>& values) {
    return Of(TRIVET_DTYPE_I64, dims, values);
  }
  int64_t Count() const {
    int64_t count = 1;
    for (uint32_t i = 0; i < view.rank; ++i) count *= view.dims[i];
    return count;
  }
  std::vector<double> Values() const {
    std::vector<double> values;
    for (int64_t i = 0; i < Count(); ++i)
      values.push_back(tvi_dtype_read_f64(view.dtype, bytes.data(), i));
    return values;
  }
  trivet_tensor_t View() {
    trivet_tensor_t v = view;
    v.data = bytes.data();
    v.size = bytes.size();
    return v;
  }
};

class KirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(tvi_dim_context_create(trivet_allocator_system(), &dims_), nullptr);
    tvi_arena_init(&arena_, trivet_allocator_system(), 0);
  }
  void TearDown() override {
    for (tvi_kir_operator_t* op : operators_) tvi_kir_operator_destroy(op);
    tvi_arena_deinit(&arena_);
    tvi_dim_context_destroy(dims_);
  }

  // Takes a status: its message, "" for success.
  static std::string Message(trivet_status_t status) {
    if (status == nullptr) return "";
    std::string message = trivet_status_message(status);
    trivet_status_free(status);
    return message;
  }

  trivet_dim_t Dim(const std::string& text) {
    trivet_dim_t dim = nullptr;
    EXPECT_EQ(Message(tvi_dim_parse(dims_, tvi_sv_make(text.data(), text.size()), &dim)), "");
    return dim;
  }
  std::string Print(trivet_dim_t dim) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(tvi_dim_print(dim, &builder), nullptr);
    trivet_string_view_t v = tvi_string_builder_view(&builder);
    std::string text(v.data, v.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }

  // "f32[batch, 3]"; "-" is an absent operand.
  const trivet_type_t* Type(const std::string& text) {
    if (text == "-") return nullptr;
    types_.push_back(std::make_unique<trivet_type_t>());
    trivet_type_t* type = types_.back().get();
    *type = {};
    size_t open = text.find('[');
    type->dtype = tvi_dtype_from_name(tvi_sv_make(text.data(), open));
    EXPECT_NE(type->dtype, TRIVET_DTYPE_INVALID) << text;
    size_t at = open + 1;
    while (text[at] != ']') {
      size_t end = at;
      int depth = 0;
      while (depth > 0 || (text[end] != ',' && text[end] != ']')) {
        depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
        ++end;
      }
      type->dims[type->rank++] = Dim(text.substr(at, end - at));
      at = text[end] == ',' ? end + 1 : end;
    }
    return type;
  }
  std::string Print(const trivet_type_t& type) {
    std::string text = std::string(tvi_dtype_name(type.dtype)) + "[";
    for (uint32_t i = 0; i < type.rank; ++i) text += (i ? ", " : "") + Print(type.dims[i]);
    return text + "]";
  }

  tvi_kir_operator_t* Parse(const std::string& text) {
    tvi_kir_operator_t* op = nullptr;
    error_ = Message(tvi_kir_operator_parse(tvi_sv_make(text.data(), text.size()),
                                            trivet_allocator_system(), &op));
    if (op != nullptr) operators_.push_back(op);
    return op;
  }

  tvi_kir_node_t Node(tvi_kir_operator_t* op, const std::vector<std::string>& inputs,
                      const std::vector<Attribute>& attributes = {}, uint32_t outputs = 1) {
    tvi_kir_node_t node = {};
    auto** types = static_cast<const trivet_type_t**>(Alloc(inputs.size() * sizeof(void*) + 1));
    for (size_t i = 0; i < inputs.size(); ++i) types[i] = Type(inputs[i]);
    node.op = op;
    node.dims = dims_;
    node.inputs = types;
    node.input_count = static_cast<uint32_t>(inputs.size());
    node.output_count = outputs;
    auto* attrs =
        static_cast<trivet_attribute_t*>(Alloc(attributes.size() * sizeof(trivet_attribute_t) + 1));
    for (size_t i = 0; i < attributes.size(); ++i) {
      attributes_.push_back(std::make_unique<Attribute>(attributes[i]));
      Attribute* a = attributes_.back().get();
      const void* data = a->kind == TRIVET_ATTR_I64   ? static_cast<const void*>(a->ints.data())
                         : a->kind == TRIVET_ATTR_F32 ? static_cast<const void*>(a->floats.data())
                                                      : static_cast<const void*>(a->dtypes.data());
      size_t count = a->kind == TRIVET_ATTR_I64   ? a->ints.size()
                     : a->kind == TRIVET_ATTR_F32 ? a->floats.size()
                                                  : a->dtypes.size();
      attrs[i] = {a->name.c_str(), a->kind, a->list ? TRIVET_ATTR_LIST : 0, count, data};
    }
    node.attributes = attrs;
    node.attribute_count = static_cast<uint32_t>(attributes.size());
    return node;
  }

  // Infers (unless |outputs| says the types) and instantiates; nullptr and error_ on failure.
  tvi_kir_program_t* Instantiate(const std::string& text, const std::vector<std::string>& inputs,
                                 const std::vector<Attribute>& attributes = {},
                                 const std::vector<std::string>& outputs = {},
                                 const std::string& lowered = "") {
    tvi_kir_operator_t* op = Parse(text);
    if (op == nullptr) return nullptr;
    uint32_t count = outputs.empty() ? op->output_count : static_cast<uint32_t>(outputs.size());
    tvi_kir_node_t node = Node(op, inputs, attributes, count);
    auto* types = static_cast<trivet_type_t*>(Alloc(sizeof(trivet_type_t) * count));
    if (outputs.empty()) {
      tvi_kir_assumptions_t assumptions;
      error_ = Message(tvi_kir_node_infer(&node, &arena_, types, &assumptions));
      if (!error_.empty()) return nullptr;
    } else {
      for (uint32_t i = 0; i < count; ++i) types[i] = *Type(outputs[i]);
    }
    node.outputs = types;
    const tvi_kir_body_t* body = nullptr;
    if (!lowered.empty()) {
      error_ = Message(tvi_kir_body_parse(op, tvi_sv_make(lowered.data(), lowered.size()), false,
                                          &arena_, &body));
      if (!error_.empty()) return nullptr;
    }
    error_ = Message(tvi_kir_node_instantiate(&node, body, &arena_, &instance_));
    if (!error_.empty()) return nullptr;
    EXPECT_EQ(Message(tvi_kir_verify(instance_.program)), "") << Print(instance_.program);
    return instance_.program;
  }

  std::string Print(const tvi_kir_program_t* program) {
    if (program == nullptr) return "error: " + error_;
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(tvi_kir_program_print(program, &builder), nullptr);
    trivet_string_view_t v = tvi_string_builder_view(&builder);
    std::string text(v.data, v.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }

  // Evaluates with the inputs in the order of the values; gives the outputs.
  std::vector<Tensor> Evaluate(const tvi_kir_program_t* program, std::vector<Tensor> inputs,
                               const std::map<std::string, int64_t>& symbols = {}) {
    std::vector<int64_t> bound(tvi_dim_symbol_count(dims_), 0);
    for (const auto& s : symbols) {
      bound[tvi_dim_symbol_index(tvi_dim_symbol(dims_, tvi_sv(s.first.c_str())))] = s.second;
    }
    std::vector<trivet_tensor_t> tensors(program->value_count);
    std::vector<Tensor> outputs;
    outputs.reserve(program->value_count);
    size_t next = 0;
    for (uint32_t v = 0; v < program->value_count; ++v) {
      const tvi_kir_value_t& value = program->values[v];
      if (value.kind == TVI_KIR_INPUT) {
        tensors[v] = inputs.at(next++).View();
      } else if (value.kind == TVI_KIR_OUTPUT) {
        std::vector<int64_t> dims(value.rank);
        for (uint32_t d = 0; d < value.rank; ++d) {
          EXPECT_EQ(Message(tvi_dim_evaluate(value.dims[d], bound.data(),
                                             static_cast<uint32_t>(bound.size()), &dims[d])),
                    "");
        }
        outputs.push_back(Tensor::Make(value.dtype, dims));
        tensors[v] = outputs.back().View();
      }
    }
    error_ = Message(tvi_kir_evaluate(program, bound.data(), static_cast<uint32_t>(bound.size()),
                                      tensors.data(), trivet_allocator_system()));
    if (!error_.empty()) outputs.clear();
    return outputs;
  }

  void* Alloc(size_t size) {
    void* memory = nullptr;
    EXPECT_EQ(tvi_arena_alloc_zeroed(&arena_, size, &memory), nullptr);
    return memory;
  }

  tvi_dim_context_t* dims_ = nullptr;
  tvi_arena_t arena_ = {};
  std::vector<tvi_kir_operator_t*> operators_;
  std::vector<std::unique_ptr<trivet_type_t>> types_;
  std::vector<std::unique_ptr<Attribute>> attributes_;
  tvi_kir_instance_t instance_ = {};
  std::string error_;
};

#endif  // TRIVET_TESTS_UNIT_CORE_KERNEL_IR_KIR_TEST_UTIL_H_
