// SPDX-License-Identifier: Apache-2.0
//
// The whole pipeline of passes over generated networks: after every pass the graph verifies, and
// what is left computes what the network did, by the plain evaluator. The bytes of an input are the
// choices of the generator, so that every input is a network.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/graph/evaluation.h"
#include "core/graph/graph.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass.h"

extern "C" const trivet_plugin_t* trivet_plugin_query(uint32_t host_major, uint32_t host_minor);
extern "C" const char* tvi_default_pipeline(void);  // codegen/build
extern "C" const trivet_plugin_t* trivet_plugin_query_passes(uint32_t host_major,
                                                             uint32_t host_minor);

namespace {

using Shape = std::vector<int64_t>;

const tvi_registry_t* Registry() {
  static tvi_registry_t* registry = [] {
    tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
    tvi_registry_t* made = nullptr;
    if (tvi_registry_create(&options, trivet_allocator_system(), &made) != nullptr ||
        tvi_registry_add(made, tvi_graph_core_operators, nullptr) != nullptr ||
        tvi_registry_add(made, trivet_plugin_query, nullptr) != nullptr ||
        tvi_registry_add(made, trivet_plugin_query_passes, nullptr) != nullptr) {
      abort();
    }
    return made;
  }();
  return registry;
}

std::string List(const Shape& numbers) {
  std::string text;
  for (int64_t n : numbers) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return text;
}

int64_t Count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t d : shape) count *= d;
  return count;
}

// Writes a network as text; every value is f32 and small.
class Generator {
 public:
  Generator(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  std::string Make() {
    for (int i = 0; i < 1 + Choice(2); ++i) {
      Shape shape;
      for (int d = 0, rank = 2 + Choice(3); d < rank; ++d) shape.push_back(1 + Choice(4));
      if (i == 1) shape = values_[0].shape;
      head_ += "  input %x" + std::to_string(i) + ": f32[" + List(shape) + "]\n";
      values_.push_back({"%x" + std::to_string(i), shape});
    }
    for (int i = 0; i < 14 && at_ < size_; ++i) Layer(Pick());
    std::string text = "graph \"fuzz\" {\n" + head_ + body_;
    text += "  output \"y\": " + values_.back().name + "\n";
    if (Choice(2)) text += "  output \"z\": " + Pick().name + "\n";
    return text + "}\n";
  }

 private:
  struct Value {
    std::string name;
    Shape shape;
  };
  int Choice(int count) { return at_ < size_ ? data_[at_++] % count : 0; }
  const Value& Pick() { return Choice(3) ? values_.back() : values_[Choice((int)values_.size())]; }
  std::string Name() { return "%v" + std::to_string(next_++); }

  std::string Constant(const Shape& shape, double low, double high) {
    std::string name = Name(), numbers;
    const int64_t offset = Choice(256);
    for (int64_t i = 0; i < Count(shape); ++i) {
      char number[32];
      snprintf(number, sizeof(number), "%.3f",
               low + (high - low) * ((i * 37 + offset) % 101) / 100);
      numbers += (i ? ", " : "") + std::string(number);
    }
    head_ += "  const " + name + ": f32[" + List(shape) + "] = [" + numbers + "]\n";
    return name;
  }
  std::string Integers(const Shape& numbers) {
    std::string name = Name();
    head_ += "  const " + name + ": i64[" + std::to_string(numbers.size()) + "] = [" +
             List(numbers) + "]\n";
    return name;
  }
  void Add(const std::string& op, const std::string& operands, const Shape& shape,
           const std::string& attributes = "") {
    if (Count(shape) > 512) return;
    std::string name = Name();
    body_ += "  " + name + " = std." + op + "(" + operands + ")";
    if (!attributes.empty()) body_ += " { " + attributes + " }";
    body_ += "\n";
    values_.push_back({name, shape});
  }

  void Layer(Value x) {
    static const char* const unary[] = {"Relu",     "Sigmoid", "Tanh", "Neg", "Abs",
                                        "Identity", "Erf",     "Gelu", "Elu", "Softplus"};
    static const char* const binary[] = {"Add", "Mul", "Sub", "Max", "Min"};
    static const char* const reductions[] = {"ReduceMean", "ReduceSum", "ReduceMax"};
    int rank = (int)x.shape.size();
    Shape shape = x.shape;
    switch (Choice(16)) {
      case 0:
      case 1:
        return Add(unary[Choice(10)], x.name, shape);
      case 2: {  // an operand that may be neutral
        std::string one = Choice(2) ? Constant({}, Choice(2), Choice(2)) : Constant({1}, -1, 1);
        return Add(binary[Choice(5)], Choice(2) ? x.name + ", " + one : one + ", " + x.name, shape);
      }
      case 3:
        return Add(binary[Choice(5)], x.name + ", " + Constant({shape.back()}, -1, 1), shape);
      case 4: {
        const Value& other = Pick();
        return Add(binary[Choice(5)], x.name + ", " + (other.shape == shape ? other : x).name,
                   shape);
      }
      case 5: {  // x * sigmoid(x) and its like
        Add("Sigmoid", x.name, shape);
        return Add("Mul", x.name + ", " + values_.back().name, shape);
      }
      case 6: {  // a permutation
        Shape perm;
        for (int d = 0; d < rank; ++d) perm.insert(perm.begin() + Choice(d + 1), d);
        for (int d = 0; d < rank; ++d) shape[(size_t)d] = x.shape[(size_t)perm[(size_t)d]];
        return Add("Transpose", x.name, shape, "perm = [" + List(perm) + "]");
      }
      case 7: {  // two dimensions joined, or one more
        size_t d = (size_t)Choice(rank);
        if (d + 1 < shape.size() && rank > 2) {
          shape[d] *= shape[d + 1];
          shape.erase(shape.begin() + (long)d + 1);
        } else if (rank < 5) {
          shape.insert(shape.begin() + (long)d, 1);
        }
        return Add("Reshape", x.name + ", " + Integers(shape), shape);
      }
      case 8: {
        size_t d = (size_t)Choice(rank);
        int64_t first = Choice((int)shape[d]), last = first + 1 + Choice((int)(shape[d] - first));
        shape[d] = last - first;
        return Add("Slice",
                   x.name + ", " + Integers({first}) + ", " + Integers({last}) + ", " +
                       Integers({(int64_t)d}),
                   shape);
      }
      case 9: {
        size_t d = (size_t)Choice(rank);
        const Value& other = Pick();
        const Value& second = other.shape == shape ? other : x;
        shape[d] *= 2;
        return Add("Concat", x.name + ", " + second.name, shape, "axis = " + std::to_string(d));
      }
      case 10: {
        size_t d = (size_t)Choice(rank);
        shape[d] = 1;
        return Add(reductions[Choice(3)], x.name + ", " + Integers({(int64_t)d}), shape);
      }
      case 11: {  // a matrix product, perhaps with a bias
        int64_t width = 1 + Choice(4), depth = shape.back();
        shape.back() = width;
        Add("MatMul", x.name + ", " + Constant({depth, width}, -1, 1), shape);
        if (Choice(2) && values_.back().shape == shape)
          Add("Add", values_.back().name + ", " + Constant({width}, -1, 1), shape);
        return;
      }
      case 12: {  // a convolution, perhaps with a scale behind it
        if (rank != 4) return Add("Softmax", x.name, shape);
        int64_t width = 1 + Choice(3), in = shape[1];
        shape[1] = width;
        Add("Conv", x.name + ", " + Constant({width, in, 3, 3}, -1, 1), shape,
            "pads = [1, 1, 1, 1]");
        if (Choice(2) && values_.back().shape == shape) {
          std::string y = values_.back().name;
          Add("BatchNormalization",
              y + ", " + Constant({width}, 0.5, 2) + ", " + Constant({width}, -1, 1) + ", " +
                  Constant({width}, -1, 1) + ", " + Constant({width}, 0.5, 2),
              shape);
        }
        return;
      }
      case 13:
        return Add("LayerNormalization",
                   x.name + ", " + Constant({shape.back()}, 0.5, 2) + ", " +
                       Constant({shape.back()}, -1, 1),
                   shape, "epsilon = 0.1");
      case 14: {
        Shape pads((size_t)rank * 2, 0);
        size_t d = (size_t)Choice(rank * 2);
        pads[d] = Choice(3);
        shape[d % (size_t)rank] += pads[d];
        return Add("Pad", x.name + ", " + Integers(pads), shape);
      }
      default: {  // of constants alone
        std::string a = Constant(shape, -1, 1), b = Constant({1}, -1, 1);
        Add(binary[Choice(5)], a + ", " + b, shape);
        if (values_.back().shape == shape) Add("Add", x.name + ", " + values_.back().name, shape);
      }
    }
  }

  const uint8_t* data_;
  size_t size_, at_ = 0;
  int next_ = 0;
  std::string head_, body_;
  std::vector<Value> values_;
};

[[noreturn]] void Fail(const std::string& text, const std::string& what) {
  fprintf(stderr, "%s%s\n", text.c_str(), what.c_str());
  abort();
}

void Check(const std::string& text, trivet_status_t status, const char* what) {
  if (status != nullptr) Fail(text, std::string(what) + ": " + trivet_status_message(status));
}

std::vector<trivet_tensor_t> Evaluate(const std::string& text, const trivet_graph_t* graph) {
  std::vector<std::vector<float>> storage(graph->input_count);
  std::vector<trivet_tensor_t> inputs(graph->input_count), outputs(graph->output_count);
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    const trivet_type_t& type = graph->values[graph->inputs[i].value]->type;
    inputs[i].dtype = type.dtype;
    inputs[i].rank = type.rank;
    int64_t count = 1;
    for (uint32_t d = 0; d < type.rank; ++d) {
      if (!tvi_dim_is_constant(type.dims[d], &inputs[i].dims[d])) Fail(text, "a symbolic extent");
      count *= inputs[i].dims[d];
    }
    for (int64_t k = 0; k < count; ++k)
      storage[i].push_back((float)((k * 29 + 7 * i) % 61 - 30) * 0.04f);
    inputs[i].data = storage[i].data();
    inputs[i].size = storage[i].size() * sizeof(float);
  }
  Check(text,
        tvi_graph_evaluate_graph(graph, inputs.data(), graph->input_count,
                                 trivet_allocator_system(), outputs.data()),
        "evaluate");
  return outputs;
}

void Compare(const std::string& text, const trivet_tensor_t& a, const trivet_tensor_t& b) {
  if (a.dtype != b.dtype || a.rank != b.rank || a.size != b.size) Fail(text, "other types");
  const float *x = (const float*)a.data, *y = (const float*)b.data;
  double largest = 1;
  size_t count = a.size / sizeof(float);
  for (size_t i = 0; i < count; ++i) largest = std::fmax(largest, std::fabs(x[i]));
  for (size_t i = 0; i < count && std::isfinite(largest); ++i) {
    if (std::fabs(x[i] - y[i]) <= 1e-4 * largest) continue;
    char message[96];
    snprintf(message, sizeof(message), "element %zu was %g, is %g", i, (double)x[i], (double)y[i]);
    Fail(text, message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text = Generator(data, size).Make();
  trivet_graph_t* graphs[2];
  for (trivet_graph_t*& graph : graphs) {
    Check(
        text,
        tvi_graph_parse(Registry(), {text.data(), text.size()}, trivet_allocator_system(), &graph),
        "parse");
  }
  tvi_pass_options_t options = {};
  options.verify = 1;
  options.stop_after = -1;
  tvi_pass_manager_t* manager = nullptr;
  Check(text, tvi_pass_manager_create(Registry(), &options, trivet_allocator_system(), &manager),
        "passes");
  Check(text, tvi_pass_manager_run(manager, tvi_default_pipeline(), graphs[1]), "passes");
  tvi_pass_manager_destroy(manager);
  std::vector<trivet_tensor_t> before = Evaluate(text, graphs[0]),
                               after = Evaluate(text, graphs[1]);
  for (size_t i = 0; i < before.size(); ++i) {
    Compare(text, before[i], after[i]);
    tvi_free(trivet_allocator_system(), before[i].data, before[i].size);
    tvi_free(trivet_allocator_system(), after[i].data, after[i].size);
  }
  for (trivet_graph_t* graph : graphs) tvi_graph_destroy(graph);
  return 0;
}
