// SPDX-License-Identifier: Apache-2.0
//
// The programs of the tile compiler's tests as CUDA C: run on the device of this machine, or
// emulated on the host where there is none, and compared with the plain evaluator. Included at the
// end of tile_test_util.h where TRIVET_TEST_CUDA is defined.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_TEST_UTIL_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_TEST_UTIL_H_

#include "tests/unit/plugins/cuda/cuda_emulator.h"

extern "C" {
#include "plugins/cuda/device/cuda_device.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_nvrtc.h"
#include "plugins/cuda/emit/cuda_run.h"
}

namespace tile_test {

// The device of this machine; NULL state: there is none, and programs are emulated.
struct Device {
  Device() {
    trivet_status_t status = definition->open(definition, 0, &allocator, &state);
    if (status) {
      printf("emulated on the host: %s\n", trivet_status_message(status));
      trivet_status_free(status);
      state = nullptr;
    } else {
      check(definition->enter(definition, state));
      check(definition->stream_create(definition, state, &stream));
    }
  }
  static Device& get() {
    static Device device;
    return device;
  }
  const trivet_device_t* definition = &tvi_cuda_device_definition;
  trivet_allocator_t allocator = trivet_allocator_system();
  void* state = nullptr;
  void* stream = nullptr;
};

// How a program becomes a text: the generator's own kernels, unless a test says otherwise.
using CodeMaker = std::function<trivet_status_t(
    const tvi_kir_program_t*, const tvi_cuda_code_options_t*, tvi_arena_t*, tvi_cuda_code_t*)>;
// Blocks of an emulated launch at most, for kernels whose blocks take tile after tile; 0: any.
inline unsigned& most_blocks() {
  static unsigned count = 0;
  return count;
}
// Shared memory that the generator may hold rows in.
inline uint32_t& shared_limit() {
  static uint32_t bytes = 0;
  return bytes;
}
inline CodeMaker& code_maker() {
  static CodeMaker maker = [](const tvi_kir_program_t* program,
                              const tvi_cuda_code_options_t* options, tvi_arena_t* arena,
                              tvi_cuda_code_t* out_code) {
    return tvi_cuda_code_make(program, options, arena, trivet_allocator_system(), out_code);
  };
  return maker;
}

// Memory of the device with the bytes of |host|.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t size) : size_(size + 64) {
    Device& d = Device::get();
    check(d.definition->allocate(d.definition, d.state, TRIVET_MEMORY_DEVICE, size_, &address));
  }
  ~DeviceBuffer() {
    Device& d = Device::get();
    d.definition->release(d.definition, d.state, TRIVET_MEMORY_DEVICE, address, size_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  void* address = nullptr;

 private:
  size_t size_;
};

// Compiles the text for the device and runs it twice through the run half of the kernel.
inline void run_on_device(const tvi_cuda_code_t& code, const std::vector<int64_t>& parameters,
                          std::vector<Tensor>& tensors, bool unaligned) {
  Device& d = Device::get();
  auto* device = (tvi_cuda_device_t*)d.state;
  char architecture[32];
  snprintf(architecture, sizeof(architecture), "sm_%d%d%s", device->major, device->minor,
           device->major >= 9 ? "a" : "");
  uint8_t* cubin = nullptr;
  size_t cubin_size = 0;
  check(tvi_cuda_nvrtc_compile(code.source.data, architecture, d.allocator, &cubin, &cubin_size,
                               nullptr));
  std::vector<tvi_cuda_blob_operand_t> described(code.operands.count + 1);
  std::vector<trivet_operand_t> operands(code.operands.count + 1);
  std::vector<std::unique_ptr<DeviceBuffer>> buffers;
  std::vector<void*> addresses;
  const size_t shift = unaligned ? 8 : 0;
  for (size_t i = 0; i < code.operands.count; ++i) {
    Tensor& t = tensors[code.operands.data[i]];
    described[i].dtype = operands[i].dtype = t.dtype;
    described[i].rank = operands[i].rank = (uint32_t)t.dims.size();
    memset(described[i].dims, 0xff, sizeof(described[i].dims));
    memset(described[i].strides, 0xff, sizeof(described[i].strides));
    for (size_t k = 0; k < t.dims.size(); ++k) {
      operands[i].dims[k] = t.dims[k];
      operands[i].strides[k] = t.strides[k];
    }
    operands[i].alignment = unaligned ? 8 : 16;
    buffers.emplace_back(new DeviceBuffer(t.bytes.size()));
    addresses.push_back((char*)buffers.back()->address + shift);
    if (!t.bytes.empty())
      check(d.definition->copy(d.definition, d.state, d.stream, addresses.back(), t.bytes.data(),
                               t.bytes.size()));
  }
  tvi_cuda_blob_t blob = {};
  blob.parameter_count = (uint32_t)code.parameters.count;
  blob.operand_count = (uint32_t)code.operands.count;
  blob.launch_count = (uint32_t)code.launches.count;
  blob.argument_count = (uint32_t)code.arguments.count;
  blob.workspace = code.workspace;
  blob.operands = described.data();
  blob.launches = code.launches.data;
  blob.arguments = code.arguments.data;
  blob.map_count = (uint32_t)code.maps.count;
  blob.maps = code.maps.data;
  blob.cubin = cubin;
  blob.cubin_size = cubin_size;
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, d.allocator);
  tvi_cuda_blob_write(&blob, &writer);
  check(tvi_byte_writer_status(&writer));
  tvi_free(d.allocator, cubin, cubin_size);
  trivet_kernel_load_t load = {};
  load.blob = tvi_byte_writer_data(&writer);
  load.blob_size = tvi_byte_writer_size(&writer);
  load.allocator = &d.allocator;
  load.device = d.state;
  void *loaded = nullptr, *prepared = nullptr;
  check(tvi_cuda_kernel_load(nullptr, &load, &loaded));
  trivet_kernel_prepare_t prepare = {};
  prepare.operands = operands.data();
  prepare.operand_count = code.operands.count;
  prepare.parameters = parameters.data();
  prepare.parameter_count = parameters.size();
  prepare.allocator = &d.allocator;
  uint64_t workspace_size = 0;
  check(tvi_cuda_kernel_prepare(nullptr, loaded, &prepare, &workspace_size, &prepared));
  DeviceBuffer workspace(workspace_size);
  trivet_kernel_launch_t launch = {};
  launch.addresses = addresses.data();
  launch.workspace = workspace.address;
  launch.stream = d.stream;
  for (int run = 0; run < 2; ++run) check(tvi_cuda_kernel_run(nullptr, prepared, &launch));
  for (size_t i = 0; i < code.operands.count; ++i) {
    Tensor& t = tensors[code.operands.data[i]];
    if (!t.bytes.empty())
      check(d.definition->copy(d.definition, d.state, d.stream, t.bytes.data(), addresses[i],
                               t.bytes.size()));
  }
  check(d.definition->stream_synchronize(d.definition, d.state, d.stream));
  tvi_cuda_kernel_release(nullptr, prepared, &d.allocator);
  tvi_cuda_kernel_unload(nullptr, loaded, &d.allocator);
  tvi_byte_writer_deinit(&writer);
}

// The outputs by the device of this machine, or emulated; entry per value. |unaligned|: the
// variants that ask for nothing.
inline std::vector<Tensor> run_cuda(Program& p, const std::vector<int64_t>& symbols,
                                    const Inputs& inputs, const Options& options, bool unaligned,
                                    std::string* out_text) {
  const tvi_kir_program_t* program = p.get();
  std::vector<Tensor> out(program->value_count);
  std::vector<std::vector<trivet_dim_t>> strides(program->value_count);
  std::vector<const trivet_dim_t*> stride_pointers(program->value_count, nullptr);
  size_t output_count = 0;
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t& value = program->values[v];
    if (value.kind == TVI_KIR_TEMP) continue;
    if (value.kind == TVI_KIR_OUTPUT) {
      std::vector<uint32_t> order;
      if (output_count < options.output_orders.size()) order = options.output_orders[output_count];
      ++output_count;
      out[v] = Tensor::make(value.dtype, shape_of(value, symbols), order, options.output_gap);
      memset(out[v].bytes.data(), 0x5a, out[v].bytes.size());
    } else {
      bool found = false;
      for (const auto& input : inputs)
        if (input.first == v) out[v] = input.second, found = true;
      if (!found) out[v] = Tensor::make(value.dtype, shape_of(value, symbols));
    }
    // Dense strides are what the program says, so that symbolic extents stay symbolic.
    const bool dense =
        out[v].strides == Tensor::make(value.dtype, shape_of(value, symbols)).strides;
    if (dense) continue;
    strides[v].resize(TRIVET_MAX_RANK);
    for (uint32_t d = 0; d < value.rank; ++d) strides[v][d] = p.dim(out[v].strides[d]);
    stride_pointers[v] = strides[v].data();
  }
  tvi_cuda_code_options_t code_options = {};
  code_options.name = "test";
  code_options.strides = stride_pointers.data();
  code_options.symbols = symbols.data();
  code_options.symbol_count = (uint32_t)symbols.size();
  code_options.shared_limit = shared_limit();
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_cuda_code_t code = {};
  trivet_status_t status = code_maker()(program, &code_options, &arena, &code);
  tvi_arena_deinit(&arena);
  check(status);
  const char* first = strstr(code.source.data, "\nextern");
  if (out_text) *out_text = first ? first : code.source.data;
  std::vector<int64_t> parameters;
  for (size_t i = 0; i < code.parameters.count; ++i)
    parameters.push_back(evaluate(code.parameters.data[i], symbols));
  if (Device::get().state) {
    run_on_device(code, parameters, out, unaligned);
    tvi_cuda_code_deinit(&code);
    return out;
  }
  std::vector<uint8_t> memory((size_t)parameters[code.workspace] + 512, 0x5a);
  auto workspace = reinterpret_cast<uintptr_t>(memory.data());
  workspace = (workspace + 255) & ~(uintptr_t)255;
  cuda_emulator::Module& module = cuda_emulator::module_of(code);
  // Operands at addresses of the alignment that is tested.
  std::vector<std::vector<uint8_t>> buffers(code.operands.count);
  std::vector<uint64_t> addresses(code.operands.count);
  for (size_t i = 0; i < code.operands.count; ++i) {
    const Tensor& tensor = out[code.operands.data[i]];
    buffers[i].assign(tensor.bytes.size() + 64, 0x5a);
    addresses[i] = (reinterpret_cast<uintptr_t>(buffers[i].data()) + 15) & ~(uintptr_t)15;
    if (unaligned) addresses[i] += 8;
    memcpy(reinterpret_cast<void*>(addresses[i]), tensor.bytes.data(), tensor.bytes.size());
  }
  // Tensor maps as the emulation has them.
  struct Map {
    const void* base;
    int rank, bytes;
    int box[5];
    long long extents[5], strides[5];
  };
  std::vector<Map> maps(code.maps.count);
  for (size_t i = 0; i < maps.size(); ++i) {
    const tvi_cuda_map_t& from = code.maps.data[i];
    const int bytes = (int)tvi_dtype_bytes(out[code.operands.data[from.operand]].dtype);
    maps[i] = {
        reinterpret_cast<const void*>(addresses[from.operand]), (int)from.rank, bytes, {}, {}, {}};
    for (uint32_t d = 0; d < from.rank; ++d) {
      maps[i].box[d] = (int)from.box[d];
      maps[i].extents[d] = parameters[from.extents[d]];
      maps[i].strides[d] = parameters[from.strides[d]] * bytes;
    }
  }
  for (int run = 0; run < 2; ++run) {
    for (size_t l = 0; l < code.launches.count; ++l) {
      const tvi_cuda_launch_t& launch = code.launches.data[l];
      const tvi_cuda_variant_t& variant = launch.variants[unaligned ? launch.variant_count - 1 : 0];
      std::vector<uint64_t> slots(launch.argument_count);
      std::vector<void*> pointers(launch.argument_count);
      for (uint32_t a = 0; a < launch.argument_count; ++a) {
        const tvi_cuda_argument_t& argument = code.arguments.data[launch.argument_first + a];
        pointers[a] = &slots[a];
        slots[a] = argument.kind == TVI_CUDA_ARGUMENT_OPERAND ? addresses[argument.index]
                   : argument.kind == TVI_CUDA_ARGUMENT_WORKSPACE
                       ? workspace + (uint64_t)parameters[argument.index]
                   : argument.kind == TVI_CUDA_ARGUMENT_MAP ? 0
                                                            : (uint64_t)parameters[argument.index];
        if (argument.kind == TVI_CUDA_ARGUMENT_MAP) pointers[a] = &maps[argument.index];
      }
      unsigned blocks = (unsigned)parameters[variant.grid];
      if (!unaligned && most_blocks() && blocks > most_blocks()) blocks = most_blocks();
      module.launch(variant.name, pointers.data(), blocks, variant.block);
    }
  }
  for (size_t i = 0; i < code.operands.count; ++i) {
    Tensor& tensor = out[code.operands.data[i]];
    memcpy(tensor.bytes.data(), reinterpret_cast<void*>(addresses[i]), tensor.bytes.size());
  }
  tvi_cuda_code_deinit(&code);
  return out;
}

inline void expect_same(Program& program, const std::vector<int64_t>& symbols, const Inputs& inputs,
                        Options options) {
  const std::vector<Tensor> want = reference(program.get(), symbols, inputs);
  for (bool unaligned : {false, true}) {
    std::string text;
    expect_equal(program.get(), run_cuda(program, symbols, inputs, options, unaligned, &text), want,
                 options.tolerance);
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << (unaligned ? "unaligned" : "aligned") << "\n" << text;
      return;
    }
  }
}

// Factors of a product: of f32 ones that rounding leaves as they are, so that sums are as exact as
// those of the evaluator.
inline Tensor random_factor(uint32_t dtype, const std::vector<int64_t>& dims, uint32_t seed) {
  Tensor t = random_tensor(dtype, dims, seed, -1, 1);
  for (int64_t i = 0; dtype == F32 && i < t.count(); ++i) {
    tvi_kir_scalar_t v = t.get(i);
    v.f = std::floor(v.f * 512) / 512;
    t.set(i, v);
  }
  return t;
}

}  // namespace tile_test

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_TEST_UTIL_H_
