// SPDX-License-Identifier: Apache-2.0
//
// The recording builder of onnx_mock.h: what the frontend hands over becomes lines of text. It
// makes no inference and judges nothing but operands that cannot be.
#include "tests/unit/plugins/onnx/onnx_mock.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

extern "C" const trivet_plugin_t* trivet_plugin_query(uint32_t host_major, uint32_t host_minor);

// The plugin makes statuses through the builder only, so a status of our own serves.
struct trivet_status_s {
  uint32_t code;
  std::string message;
};
struct trivet_dim_s {
  bool constant;
  int64_t value;
  std::string name;
};

namespace {

struct MockValue {
  trivet_type_t type;
  std::string names;
};
struct Builder {
  trivet_graph_builder_t base;
  OnnxMock* mock;
};
struct Source {
  trivet_source_t base;
  OnnxMock* mock;
  std::string path, bytes;
};

const char* const kCodes[] = {
    "OK",           "INVALID_ARGUMENT",    "NOT_FOUND",     "ALREADY_EXISTS",
    "OUT_OF_RANGE", "FAILED_PRECONDITION", "UNIMPLEMENTED", "OUT_OF_MEMORY",
    "INTERNAL",     "DATA_LOSS",           "UNAVAILABLE",   "INCOMPATIBLE",
    "CANCELLED"};

const char* DtypeName(uint32_t dtype) {
#define NAME(name, text, bits, cls) text,
  static const char* const kNames[] = {TRIVET_DTYPE_TABLE(NAME)};
#undef NAME
  return dtype < TRIVET_DTYPE_COUNT ? kNames[dtype] : "?";
}

std::string Text(trivet_string_view_t v) { return std::string(v.data ? v.data : "", v.size); }

}  // namespace

struct OnnxMock::Impl {
  Builder builder;
  Source source;
  std::vector<MockValue> values;  // [0] unused
  std::map<std::string, std::unique_ptr<trivet_dim_s>> dims;
  std::vector<void*> scratch;
  // Lines of the text; node lines begin with a marker that is replaced by results and their names
  // at the end.
  struct Line {
    std::vector<trivet_value_t> results;
    std::string text;
    int indent;
  };
  std::vector<Line> lines;
  int indent = 0;
  uint32_t graphs = 0;
  // Small constants with a copy of their bytes.
  std::map<trivet_value_t, std::pair<trivet_tensor_t, std::string>> constants;
};

namespace {

OnnxMock* Of(const trivet_graph_builder_t* b) { return reinterpret_cast<const Builder*>(b)->mock; }
OnnxMock::Impl* ImplOf(const trivet_graph_builder_t* b) { return Of(b)->impl; }
const Source* SourceOf(const trivet_source_t* s) { return reinterpret_cast<const Source*>(s); }

trivet_status_t Error(const trivet_graph_builder_t*, uint32_t code, const char* format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return new trivet_status_s{code, text};
}

trivet_dim_t Dim(OnnxMock::Impl* impl, const std::string& key, bool constant, int64_t value) {
  auto& slot = impl->dims[key];
  if (!slot) slot.reset(new trivet_dim_s{constant, value, key});
  return slot.get();
}
trivet_dim_t DimConstant(trivet_graph_builder_t* b, int64_t value) {
  return Dim(ImplOf(b), std::to_string(value), true, value);
}
trivet_dim_t DimSymbol(trivet_graph_builder_t* b, trivet_string_view_t name) {
  return Dim(ImplOf(b), Text(name), false, 0);
}
trivet_dim_t DimBinary(trivet_graph_builder_t*, uint32_t, trivet_dim_t, trivet_dim_t) {
  return nullptr;
}
uint32_t DimValue(const trivet_graph_builder_t*, trivet_dim_t dim, int64_t* out_value) {
  if (!dim->constant) return 0;
  *out_value = dim->value;
  return 1;
}

std::string TypeText(const trivet_type_t& type) {
  std::string s = DtypeName(type.dtype);
  s += "[";
  for (uint32_t i = 0; i < type.rank; ++i) s += (i ? "," : "") + type.dims[i]->name;
  return s + "]";
}

// Contents of small tensors.
std::string Contents(const trivet_tensor_t& t, bool exact = false) {
  uint64_t count = 1;
  for (uint32_t i = 0; i < t.rank; ++i) count *= static_cast<uint64_t>(t.dims[i]);
  if (count > 16 && !exact) return " ...";
  std::string s = " {";
  const uint8_t* p = static_cast<const uint8_t*>(t.data);
  for (uint64_t i = 0; i < count; ++i) {
    char item[64];
    float f32;
    double f64;
    int64_t i64 = 0;
    switch (t.dtype) {
      case TRIVET_DTYPE_F32:
        memcpy(&f32, p + 4 * i, 4);
        snprintf(item, sizeof item, exact ? "%.9g" : "%g", f32);
        break;
      case TRIVET_DTYPE_F64:
        memcpy(&f64, p + 8 * i, 8);
        snprintf(item, sizeof item, "%g", f64);
        break;
      case TRIVET_DTYPE_I64:
        memcpy(&i64, p + 8 * i, 8);
        snprintf(item, sizeof item, "%lld", static_cast<long long>(i64));
        break;
      default: {
        // Other types as hexadecimal bytes of the whole.
        s = " hex ";
        for (uint64_t k = 0; k < t.size; ++k) {
          snprintf(item, sizeof item, "%02x", p[k]);
          s += item;
        }
        return s;
      }
    }
    s += (i ? ", " : "") + std::string(item);
  }
  return s + "}";
}

trivet_tensor_t& Checked(const trivet_tensor_t* t, uint64_t* sum) {
  // Touches every byte, so that sanitizers see a wrong size or a dangling pointer.
  for (uint64_t i = 0; i < t->size; i += 4096) *sum += static_cast<const uint8_t*>(t->data)[i];
  if (t->size > 0) *sum += static_cast<const uint8_t*>(t->data)[t->size - 1];
  return *const_cast<trivet_tensor_t*>(t);
}

trivet_value_t NewValue(OnnxMock::Impl* impl, const trivet_type_t& type, const std::string& name) {
  impl->values.push_back({type, name});
  return static_cast<trivet_value_t>(impl->values.size() - 1);
}

trivet_status_t AddInput(trivet_graph_builder_t* b, trivet_string_view_t name,
                         const trivet_type_t* type, trivet_value_t* out_value) {
  auto* impl = ImplOf(b);
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (type->dims[i] == nullptr)
      return Error(b, TRIVET_STATUS_INTERNAL, "mock: input without a dimension");
  }
  *out_value = NewValue(impl, *type, Text(name));
  if (Of(b)->record)
    impl->lines.push_back({{*out_value}, "input " + TypeText(*type), impl->indent});
  return nullptr;
}

trivet_status_t AddConstant(trivet_graph_builder_t* b, trivet_string_view_t name,
                            const trivet_tensor_t* tensor, uint32_t flags,
                            trivet_value_t* out_value) {
  auto* impl = ImplOf(b);
  static volatile uint64_t sum_sink;
  uint64_t sum = 0;
  trivet_type_t type = {};
  type.dtype = tensor->dtype;
  type.rank = tensor->rank;
  for (uint32_t i = 0; i < tensor->rank; ++i) type.dims[i] = DimConstant(b, tensor->dims[i]);
  if (Of(b)->any_file == nullptr) {
    Checked(tensor, &sum);
    sum_sink = sum;
    (void)sum_sink;
  }
  *out_value = NewValue(impl, type, Text(name));
  if (tensor->size <= 256 && tensor->data != nullptr) {
    auto& kept = impl->constants[*out_value];
    kept.first = *tensor;
    kept.second.assign(static_cast<const char*>(tensor->data), tensor->size);
    kept.first.data = &kept.second[0];
  }
  (flags == TRIVET_CONSTANT_VIEW ? Of(b)->viewed : Of(b)->copied) += tensor->size;
  if (Of(b)->record) {
    impl->lines.push_back({{*out_value},
                           std::string(flags == TRIVET_CONSTANT_VIEW ? "view " : "const ") +
                               TypeText(type) + Contents(*tensor, Of(b)->exact),
                           impl->indent});
  }
  return nullptr;
}

std::string AttributeText(const trivet_attribute_t& a) {
  std::string s = std::string(a.name) + "=";
  if (a.flags & TRIVET_ATTR_LIST) s += "[";
  for (uint64_t i = 0; i < a.count; ++i) {
    char item[64] = "";
    std::string text;
    switch (a.kind) {
      case TRIVET_ATTR_I64:
        snprintf(item, sizeof item, "%lld",
                 static_cast<long long>(static_cast<const int64_t*>(a.data)[i]));
        break;
      case TRIVET_ATTR_F32:
        snprintf(item, sizeof item, "%g", static_cast<const double*>(a.data)[i]);
        break;
      case TRIVET_ATTR_STRING:
        text = "\"" + Text(static_cast<const trivet_string_view_t*>(a.data)[i]) + "\"";
        break;
      case TRIVET_ATTR_DTYPE:
        text = DtypeName(static_cast<const uint32_t*>(a.data)[i]);
        break;
      case TRIVET_ATTR_TENSOR: {
        const trivet_tensor_t& t = static_cast<const trivet_tensor_t*>(a.data)[i];
        text = std::string("tensor ") + DtypeName(t.dtype) + Contents(t);
        break;
      }
      case TRIVET_ATTR_GRAPH:
        text = "@" + std::to_string(static_cast<const uint32_t*>(a.data)[i]);
        break;
      default:
        text = "?";
    }
    s += (i ? "," : "") + std::string(item) + text;
  }
  return a.flags & TRIVET_ATTR_LIST ? s + "]" : s;
}

uint32_t HasOperator(const trivet_graph_builder_t* b, const char* op, uint32_t) {
  if (strncmp(op, "std.", 4) == 0) return Of(b)->missing.count(op) == 0;
  return Of(b)->registered.count(op) != 0;
}

trivet_status_t AddNode(trivet_graph_builder_t* b, const char* op, uint32_t version,
                        const trivet_value_t* inputs, uint32_t input_count,
                        const trivet_attribute_t* attributes, uint32_t attribute_count,
                        const trivet_origin_t* origin, uint32_t output_count,
                        trivet_value_t* out_outputs) {
  OnnxMock* mock = Of(b);
  auto* impl = mock->impl;
  if (!HasOperator(b, op, version))
    return Error(b, TRIVET_STATUS_NOT_FOUND, "mock: no operator %s", op);
  if (origin->file.size == 0 || origin->op.size == 0)
    return Error(b, TRIVET_STATUS_INTERNAL, "mock: %s without origin", op);
  ++mock->nodes;
  ++mock->operators[op];
  trivet_type_t type = {};
  type.dtype = TRIVET_DTYPE_F32;
  std::string text = op;
  if (version != 1) text += "/" + std::to_string(version);
  text += "(";
  bool first = true;
  for (uint32_t i = 0; i < input_count; ++i) {
    if (inputs[i] >= impl->values.size())
      return Error(b, TRIVET_STATUS_INTERNAL, "mock: operand %u of %s", i, op);
    if (inputs[i] != 0 && first) type = impl->values[inputs[i]].type, first = false;
    text += (i ? ", " : "") + (inputs[i] ? "%" + std::to_string(inputs[i]) : std::string("_"));
  }
  text += ")";
  if (strcmp(op, "std.Shape") == 0) {
    type.dims[0] = DimConstant(b, type.rank);
    type.rank = 1;
    type.dtype = TRIVET_DTYPE_I64;
  }
  if (strcmp(op, "std.Reshape") == 0 && input_count > 1) {
    const trivet_type_t& shape = impl->values[inputs[1]].type;
    type.rank =
        shape.rank == 1 && shape.dims[0]->constant && shape.dims[0]->value <= TRIVET_MAX_RANK
            ? static_cast<uint32_t>(shape.dims[0]->value)
            : 1;
    for (uint32_t i = 0; i < type.rank; ++i) type.dims[i] = Dim(impl, "_", false, 0);
  }
  if (strcmp(op, "std.Unsqueeze") == 0 && type.rank == 0) {
    type.dims[0] = DimConstant(b, 1);
    type.rank = 1;
  }
  for (uint32_t i = 0; i < attribute_count; ++i) {
    text += (i ? ", " : " {") + AttributeText(attributes[i]);
    if (attributes[i].kind == TRIVET_ATTR_DTYPE && strcmp(attributes[i].name, "to") == 0) {
      type.dtype = *static_cast<const uint32_t*>(attributes[i].data);
    }
  }
  if (attribute_count > 0) text += "}";
  text += " @" + Text(origin->node) + " " + Text(origin->op);
  std::vector<trivet_value_t> results;
  for (uint32_t i = 0; i < output_count; ++i) {
    out_outputs[i] = NewValue(impl, type, "");
    results.push_back(out_outputs[i]);
  }
  if (mock->record) impl->lines.push_back({results, text, impl->indent});
  return nullptr;
}

trivet_status_t NameValue(trivet_graph_builder_t* b, trivet_value_t value,
                          trivet_string_view_t name) {
  auto* impl = ImplOf(b);
  if (value == 0 || value >= impl->values.size())
    return Error(b, TRIVET_STATUS_INTERNAL, "mock: name of no value");
  std::string& names = impl->values[value].names;
  if (names != Text(name)) names += (names.empty() ? "" : " ") + Text(name);
  return nullptr;
}

trivet_status_t AddOutput(trivet_graph_builder_t* b, trivet_string_view_t name,
                          trivet_value_t value) {
  auto* impl = ImplOf(b);
  if (value == 0 || value >= impl->values.size())
    return Error(b, TRIVET_STATUS_INTERNAL, "mock: output of no value");
  if (Of(b)->record)
    impl->lines.push_back(
        {{}, "output " + Text(name) + " = %" + std::to_string(value), impl->indent});
  return nullptr;
}

const trivet_type_t* ValueType(const trivet_graph_builder_t* b, trivet_value_t value) {
  return &ImplOf(b)->values[value].type;
}
const trivet_dim_t* ValueInts(trivet_graph_builder_t*, trivet_value_t, uint64_t*) {
  return nullptr;
}
const trivet_tensor_t* ValueConstant(const trivet_graph_builder_t* b, trivet_value_t value) {
  auto found = ImplOf(b)->constants.find(value);
  return found == ImplOf(b)->constants.end() ? nullptr : &found->second.first;
}

trivet_status_t BeginSubgraph(trivet_graph_builder_t* b, trivet_string_view_t name,
                              uint32_t* out_graph) {
  auto* impl = ImplOf(b);
  *out_graph = ++impl->graphs;
  if (Of(b)->record) {
    impl->lines.push_back(
        {{}, "graph @" + std::to_string(*out_graph) + " " + Text(name) + " {", impl->indent});
  }
  ++impl->indent;
  return nullptr;
}
trivet_status_t EndSubgraph(trivet_graph_builder_t* b) {
  auto* impl = ImplOf(b);
  --impl->indent;
  if (Of(b)->record) impl->lines.push_back({{}, "}", impl->indent});
  return nullptr;
}

trivet_status_t Scratch(trivet_graph_builder_t* b, uint64_t size, void** out_memory) {
  OnnxMock* mock = Of(b);
  ++mock->scratch_calls;
  mock->scratch_bytes += size;
  if (mock->scratch_calls == mock->fail_scratch || mock->scratch_bytes > mock->scratch_limit) {
    return Error(b, TRIVET_STATUS_OUT_OF_MEMORY, "mock: out of scratch");
  }
  void* memory = malloc(size);
  if (memory == nullptr) return Error(b, TRIVET_STATUS_OUT_OF_MEMORY, "mock: out of memory");
  mock->impl->scratch.push_back(memory);
  *out_memory = memory;
  return nullptr;
}

void Log(const trivet_graph_builder_t* b, uint32_t severity, const char* format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (severity >= TRIVET_SEVERITY_WARNING) Of(b)->log.push_back(text);
}

trivet_graph_builder_api_t MakeBuilderApi() {
  trivet_graph_builder_api_t api = {};
  api.struct_size = sizeof api;
  api.abi_minor = TRIVET_ABI_MINOR;
  api.dim_constant = DimConstant;
  api.dim_symbol = DimSymbol;
  api.dim_binary = DimBinary;
  api.dim_value = DimValue;
  api.add_input = AddInput;
  api.add_constant = AddConstant;
  api.add_node = AddNode;
  api.name_value = NameValue;
  api.add_output = AddOutput;
  api.value_type = ValueType;
  api.value_ints = ValueInts;
  api.value_constant = ValueConstant;
  api.has_operator = HasOperator;
  api.begin_subgraph = BeginSubgraph;
  api.end_subgraph = EndSubgraph;
  api.scratch = Scratch;
  api.error = Error;
  api.log = Log;
  return api;
}
const trivet_graph_builder_api_t kBuilderApi = MakeBuilderApi();

trivet_string_view_t Path(const trivet_source_t* s) {
  return {SourceOf(s)->path.data(), SourceOf(s)->path.size()};
}
const uint8_t* SourceBytes(const trivet_source_t* s, uint64_t* out_size) {
  *out_size = SourceOf(s)->bytes.size();
  return reinterpret_cast<const uint8_t*>(SourceOf(s)->bytes.data());
}
trivet_status_t Open(trivet_source_t* s, trivet_string_view_t name, const uint8_t** out_bytes,
                     uint64_t* out_size) {
  OnnxMock* mock = SourceOf(s)->mock;
  if (mock->any_file != nullptr) {
    *out_bytes = mock->any_file;
    *out_size = mock->any_file_size;
    return nullptr;
  }
  auto found = mock->files.find(Text(name));
  if (found == mock->files.end())
    return Error(nullptr, TRIVET_STATUS_NOT_FOUND, "mock: no file '%s'", Text(name).c_str());
  *out_bytes = reinterpret_cast<const uint8_t*>(found->second.data());
  *out_size = found->second.size();
  return nullptr;
}
const char* Option(const trivet_source_t*, const char*) { return nullptr; }
const trivet_allocator_t* Allocator(const trivet_source_t*) { return nullptr; }
const trivet_source_api_t kSourceApi = {
    sizeof(trivet_source_api_t), TRIVET_ABI_MINOR, Path, SourceBytes, Open, Option, Allocator};

const trivet_frontend_t* Frontend() {
  return static_cast<const trivet_frontend_t*>(
      trivet_plugin_query(TRIVET_ABI_MAJOR, TRIVET_ABI_MINOR)->definitions[0]);
}

}  // namespace

OnnxMock::OnnxMock() : impl(new Impl) {
  impl->builder = {{&kBuilderApi}, this};
  impl->source.base.api = &kSourceApi;
  impl->source.mock = this;
}

OnnxMock::~OnnxMock() {
  for (void* memory : impl->scratch) free(memory);
  delete impl;
}

uint32_t OnnxMock::Probe(const std::string& bytes) {
  impl->source.bytes = bytes;
  return Frontend()->probe(Frontend(), &impl->source.base);
}

std::string OnnxMock::Parse(const std::string& bytes, const std::string& path) {
  for (void* memory : impl->scratch) free(memory);
  impl->scratch.clear();
  impl->values.assign(1, {});
  impl->constants.clear();
  impl->lines.clear();
  impl->indent = 0;
  impl->graphs = 0;
  scratch_calls = scratch_bytes = copied = viewed = nodes = 0;
  operators.clear();
  impl->source.bytes = bytes;
  impl->source.path = path;
  trivet_status_t status = Frontend()->parse(Frontend(), &impl->source.base, &impl->builder.base);
  if (status != nullptr) {
    std::string text = std::string(kCodes[status->code]) + ": " + status->message;
    delete status;
    return text;
  }
  std::string text;
  for (const Impl::Line& line : impl->lines) {
    text += std::string(2 * line.indent, ' ');
    for (size_t i = 0; i < line.results.size(); ++i) {
      const std::string& names = impl->values[line.results[i]].names;
      text +=
          (i ? ", %" : "%") + std::to_string(line.results[i]) + (names.empty() ? "" : " " + names);
    }
    text += (line.results.empty() ? "" : " = ") + line.text + "\n";
  }
  return text;
}
