// SPDX-License-Identifier: Apache-2.0
//
// Kernel IR from outside: an operator's text is parsed, instantiated for made-up operands,
// verified, simplified, printed, read back and run on small tensors; or it is refused. Whatever
// begins with "kernel_ir" is read as the text of a program instead.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/evaluate.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_instance.h"

namespace {

void Require(trivet_status_t status, const char* what) {
  if (status == nullptr) return;
  fprintf(stderr, "%s: %s\n", what, trivet_status_message(status));
  abort();
}

std::string Print(const tvi_kir_program_t* program) {
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, trivet_allocator_system());
  Require(tvi_kir_program_print(program, &builder), "print");
  trivet_string_view_t view = tvi_string_builder_view(&builder);
  std::string text(view.data, view.size);
  tvi_string_builder_deinit(&builder);
  return text;
}

// Runs the program with every symbol bound to 2, where all shapes are small.
void Evaluate(const tvi_kir_program_t* program) {
  std::vector<int64_t> symbols(tvi_dim_symbol_count(program->dims), 2);
  auto value_of = [&](trivet_dim_t dim) {
    int64_t value = -1;
    trivet_status_free(
        tvi_dim_evaluate(dim, symbols.data(), static_cast<uint32_t>(symbols.size()), &value));
    return value;
  };
  int64_t work = 1;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t& stage = program->stages[s];
    int64_t points = stage.instr_count;
    for (uint32_t i = 0; i < stage.parallel_count + stage.reduced_count; ++i) {
      int64_t extent = value_of(stage.extents[i]);
      if (extent < 0 || extent > 64) return;
      points *= extent;
      if (points > 20000) return;
    }
    work += points;
  }
  if (work > 20000) return;
  std::vector<trivet_tensor_t> tensors(program->value_count);
  std::vector<std::vector<char>> storage(program->value_count);
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t& value = program->values[v];
    tensors[v].dtype = value.dtype;
    tensors[v].rank = value.rank;
    int64_t count = 1;
    for (uint32_t d = 0; d < value.rank; ++d) {
      int64_t extent = tensors[v].dims[d] = value_of(value.dims[d]);
      if (extent < 0 || extent > 64 || (count *= extent) > 20000) return;
    }
    size_t bytes;
    Require(tvi_dtype_storage_size(value.dtype, count, &bytes), "storage");
    storage[v].assign(bytes + 1, 1);
    tensors[v].data = storage[v].data();
    tensors[v].size = bytes;
  }
  trivet_status_free(tvi_kir_evaluate(program, symbols.data(),
                                      static_cast<uint32_t>(symbols.size()), tensors.data(),
                                      trivet_allocator_system()));
}

void Exercise(tvi_kir_program_t* program, tvi_arena_t* arena) {
  Require(tvi_kir_verify(program), "verify");
  std::string text = Print(program);
  tvi_kir_program_t* again = nullptr;
  Require(
      tvi_kir_program_parse(tvi_sv_make(text.data(), text.size()), program->dims, arena, &again),
      text.c_str());
  if (Print(again) != text) abort();
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    tvi_kir_matmul_t matmul;
    tvi_kir_convolution_t convolution;
    tvi_kir_pool_t pool;
    tvi_kir_cost_t cost;
    tvi_kir_match_matmul(program, s, &matmul, nullptr);
    tvi_kir_match_convolution(program, s, &convolution, nullptr);
    tvi_kir_match_pool(program, s, &pool, nullptr);
    tvi_kir_stage_cost(program, s, &cost);
  }
  Evaluate(program);
  for (uint32_t s = 0; s < program->stage_count && s < 8; ++s) {
    if (tvi_kir_can_inline_stage(program, s)) trivet_status_free(tvi_kir_inline_stage(program, s));
  }
  trivet_status_t status = tvi_kir_simplify(program);
  if (status == nullptr) {
    Require(tvi_kir_program_drop_dead(program, true, nullptr), "drop_dead");
    Require(tvi_kir_verify(program), "verify after simplify");
    Evaluate(program);
  }
  trivet_status_free(status);
  std::vector<tvi_kir_dim_tensor_t> values(program->value_count);
  Require(tvi_kir_evaluate_dims(program, values.data(), arena), "evaluate_dims");
}

void RunOperator(trivet_string_view_t text, tvi_dim_context_t* dims, tvi_arena_t* arena) {
  tvi_kir_operator_t* op = nullptr;
  trivet_status_t status = tvi_kir_operator_parse(text, trivet_allocator_system(), &op);
  trivet_status_free(status);
  if (op == nullptr) return;
  // Operands as the signature wants them: names are symbols, packs have two dimensions.
  static const uint32_t kTypes[] = {TRIVET_DTYPE_F32, TRIVET_DTYPE_I64, TRIVET_DTYPE_F16,
                                    TRIVET_DTYPE_U8, TRIVET_DTYPE_BOOL};
  for (uint32_t variant : kTypes) {
    std::vector<trivet_type_t> types(op->input_count + 1);
    std::vector<const trivet_type_t*> inputs;
    for (uint32_t i = 0; i < op->input_count; ++i) {
      const tvi_kir_operand_t& operand = op->inputs[i];
      trivet_type_t& type = types[i];
      type.dtype = operand.dtype;
      if (operand.type_variable != TVI_KIR_NONE) type.dtype = variant;
      if (operand.any_rank) {
        type.dims[type.rank++] = tvi_dim_symbol(dims, tvi_sv("n"));
        type.dims[type.rank++] = tvi_dim_constant(dims, 3);
      }
      for (uint32_t e = 0; e < operand.extent_count; ++e) {
        int copies = operand.extents[e].kind == TVI_KIR_EXTENT_PACK ? 2 : 1;
        for (int k = 0; k < copies && type.rank < TRIVET_MAX_RANK; ++k) {
          type.dims[type.rank++] =
              operand.extents[e].name == TVI_KIR_NONE
                  ? tvi_dim_constant(dims, 3)
                  : tvi_dim_symbol(dims, op->extent_names[operand.extents[e].name]);
        }
      }
      inputs.push_back(operand.optional && variant != TRIVET_DTYPE_F32 ? nullptr : &type);
    }
    tvi_kir_node_t node = {};
    node.op = op;
    node.dims = dims;
    node.inputs = inputs.data();
    node.input_count = op->input_count;
    node.output_count = op->output_count;
    std::vector<trivet_type_t> outputs(op->output_count);
    tvi_kir_assumptions_t assumptions;
    status = tvi_kir_node_infer(&node, arena, outputs.data(), &assumptions);
    if (status != nullptr) {
      trivet_status_free(status);
      for (trivet_type_t& type : outputs) {
        type = {};
        type.dtype = variant;
        type.rank = 1;
        type.dims[0] = tvi_dim_symbol(dims, tvi_sv("n"));
      }
    }
    node.outputs = outputs.data();
    tvi_kir_instance_t instance;
    status = tvi_kir_node_instantiate(&node, nullptr, arena, &instance);
    if (status == nullptr) Exercise(instance.program, arena);
    trivet_status_free(status);
  }
  tvi_kir_operator_destroy(op);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 8192) return 0;
  trivet_string_view_t text = tvi_sv_make(reinterpret_cast<const char*>(data), size);
  tvi_dim_context_t* dims = nullptr;
  Require(tvi_dim_context_create(trivet_allocator_system(), &dims), "context");
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  if (size >= 9 && memcmp(data, "kernel_ir", 9) == 0) {
    tvi_kir_program_t* program = nullptr;
    trivet_status_free(tvi_kir_program_parse(text, dims, &arena, &program));
    if (program != nullptr) Exercise(program, &arena);
  } else {
    RunOperator(text, dims, &arena);
  }
  tvi_arena_deinit(&arena);
  tvi_dim_context_destroy(dims);
  return 0;
}
