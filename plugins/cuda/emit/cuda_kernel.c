// SPDX-License-Identifier: Apache-2.0
//
// Build half of "cuda.kernel": prices regions, prints, compiles, writes the step. See
// cuda_kernel.h.
#include "plugins/cuda/emit/cuda_kernel.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/fuse.h"
#include "core/target/target.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_nvrtc.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/emit_schedule.h"

// Nanoseconds of a launch that follows another, and what a large device does in one of them.
#define LAUNCH_NS 2000.0
#define BYTES_PER_NS 3000.0
#define FLOPS_PER_NS 20000.0
#define TRANSCENDENTALS_PER_NS 2000.0

static double estimate(const trivet_region_t* region, trivet_dim_t dim) {
  return (double)tvi_cuda_estimate(region->graph->dims, dim, region->symbols, region->symbol_count);
}

static trivet_status_t price(const trivet_region_t* region, double* out_price) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 0);
  tvi_cuda_schedule_t schedule;
  trivet_status_t status = tvi_cuda_schedule_make(region->program, region->symbols,
                                                  region->symbol_count, &arena, &schedule);
  if (status) {
    tvi_arena_deinit(&arena);
    return status;
  }
  double compute = 0, bytes = 0;
  const tvi_kir_program_t* p = schedule.program;
  for (uint32_t s = 0; s < p->stage_count; ++s) {
    tvi_kir_cost_t cost;
    tvi_kir_stage_cost(p, s, &cost);
    const double each = (cost.flops + cost.index_ops + 2.0 * cost.loads) / FLOPS_PER_NS +
                        cost.transcendentals / TRANSCENDENTALS_PER_NS;
    compute += each * (double)tvi_kir_cost_positions(&cost, region->symbols, region->symbol_count);
  }
  for (uint32_t v = 0; v < p->value_count; ++v) {
    const tvi_kir_value_t* value = &p->values[v];
    double size = tvi_dtype_bits(value->dtype) / 8.0;
    for (uint32_t d = 0; d < value->rank; ++d) size *= estimate(region, value->dims[d]);
    if (value->kind != TVI_KIR_TEMP) bytes += size;
    if (schedule.is_stored[v]) bytes += 2 * size;
  }
  const double memory = bytes / BYTES_PER_NS;
  *out_price = LAUNCH_NS * schedule.group_count + (compute > memory ? compute : memory);
  tvi_arena_deinit(&arena);
  return TRIVET_OK;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  if (!region->program) {
    proposal->decline(proposal->self, kernel, "no kernel IR");
    return TRIVET_OK;
  }
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  memcpy(tactic.name, "generated", 10);
  TRIVET_RETURN_IF_ERROR(price(region, &tactic.price));
  return proposal->add(proposal->self, &tactic);
}

// ---------------------------------------------------------------------------------------------
// Emission
// ---------------------------------------------------------------------------------------------

// "cuda_add_relu_f16": the operators, and the type of the first result.
static void name_kernels(const trivet_region_t* region, char* name, size_t size) {
  size_t at = (size_t)snprintf(name, size, "cuda");
  for (uint32_t i = 0; i < region->node_count && i < 4; ++i) {
    const tvi_node_t* node = tvi_graph_node(region->graph, region->nodes[i]);
    if (!node || !node->op) continue;
    const char* op = node->op->definition->name;
    const char* dot = strrchr(op, '.');
    if (dot) op = dot + 1;
    if (at + 2 < size) name[at++] = '_';
    for (; *op && at + 1 < size; ++op) {
      const char c = *op >= 'A' && *op <= 'Z' ? (char)(*op - 'A' + 'a') : *op;
      if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) name[at++] = c;
    }
  }
  name[at] = 0;
  if (region->output_count == 0) return;
  const tvi_value_t* value =
      tvi_graph_value(region->graph, region->operands[region->input_count].value);
  snprintf(name + at, size - at, "_%s", tvi_dtype_name(value->type.dtype));
}

// The architecture that a target names: code for Hopper and later uses what only they have.
static void architecture_of(const char* target, char* name, size_t size) {
  const char* colon = target ? strchr(target, ':') : NULL;
  snprintf(name, size, "%s", colon ? colon + 1 : "sm_90");
  char* comma = strchr(name, ',');
  if (comma) *comma = 0;
  if (strcmp(name, "sm_90") == 0 || strcmp(name, "sm_100") == 0 || strcmp(name, "sm_103") == 0 ||
      strcmp(name, "sm_120") == 0)
    snprintf(name + strlen(name), size - strlen(name), "a");
}

static trivet_status_t find_operand(const trivet_region_t* region, const tvi_kir_value_t* value,
                                    uint32_t* out_index) {
  const uint32_t count = region->input_count + region->output_count;
  for (uint32_t k = 0; k < count; ++k) {
    if (region->operands[k].value != value->tag ||
        region->operands[k].is_output != (value->kind == TVI_KIR_OUTPUT))
      continue;
    *out_index = k;
    return TRIVET_OK;
  }
  return TRIVET_STATUS(INTERNAL, "value '%s' is no operand", value->name);
}

static trivet_status_t dump(const char* folder, const char* name, const char* extension,
                            const void* data, size_t size, trivet_allocator_t allocator) {
  char path[1024];
  snprintf(path, sizeof(path), "%s/%s.%s", folder, name, extension);
  return tvi_file_write(path, data, size, allocator);
}

static trivet_status_t write_blob(const trivet_region_t* region, const tvi_cuda_code_t* code,
                                  const uint8_t* cubin, size_t cubin_size,
                                  const tvi_cuda_blob_operand_t* operands,
                                  trivet_emission_t* emission) {
  tvi_cuda_blob_t blob = {.parameter_count = (uint32_t)code->parameters.count,
                          .operand_count = (uint32_t)code->operands.count,
                          .launch_count = (uint32_t)code->launches.count,
                          .argument_count = (uint32_t)code->arguments.count,
                          .workspace = code->workspace,
                          .operands = (tvi_cuda_blob_operand_t*)operands,
                          .launches = code->launches.data,
                          .arguments = code->arguments.data,
                          .cubin = cubin,
                          .cubin_size = cubin_size};
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, region->graph->allocator);
  tvi_cuda_blob_write(&blob, &writer);
  trivet_status_t status = tvi_byte_writer_status(&writer);
  if (!status)
    status = emission->set_blob(emission->self, tvi_byte_writer_data(&writer),
                                tvi_byte_writer_size(&writer));
  tvi_byte_writer_deinit(&writer);
  return status;
}

static trivet_status_t dump_all(const trivet_region_t* region, const char* name,
                                const tvi_cuda_code_t* code, const uint8_t* cubin, size_t size,
                                const tvi_string_builder_t* log, tvi_hash128_t key) {
  const trivet_allocator_t allocator = region->graph->allocator;
  if (!region->dump_folder) return TRIVET_OK;
  char unique[TVI_CUDA_NAME_SIZE + 16];
  snprintf(unique, sizeof(unique), "%s-%08x", name, (unsigned)(key.low & 0xffffffffu));
  TRIVET_RETURN_IF_ERROR(
      dump(region->dump_folder, unique, "cu", code->source.data, code->source.size, allocator));
  if (cubin)
    TRIVET_RETURN_IF_ERROR(dump(region->dump_folder, unique, "cubin", cubin, size, allocator));
  if (log->size)
    TRIVET_RETURN_IF_ERROR(
        dump(region->dump_folder, unique, "log", log->data, log->size, allocator));
  return TRIVET_OK;
}

static trivet_status_t compile_and_write(const trivet_region_t* region, const tvi_cuda_code_t* code,
                                         const char* architecture,
                                         const tvi_cuda_blob_operand_t* operands, const char* name,
                                         trivet_emission_t* emission) {
  const trivet_allocator_t allocator = region->graph->allocator;
  tvi_hash128_state_t hash;
  tvi_hash128_init(&hash, TVI_CUDA_BLOB_VERSION);
  tvi_hash128_update(&hash, architecture, strlen(architecture) + 1);
  tvi_hash128_update(&hash, code->source.data, code->source.size);
  const tvi_hash128_t key = tvi_hash128_digest(&hash);
  const tvi_cached_code_t* known =
      region->code_cache ? tvi_code_cache_find(region->code_cache, key) : NULL;
  if (known) return write_blob(region, code, known->data, known->size, operands, emission);
  uint8_t* cubin = NULL;
  size_t size = 0;
  tvi_string_builder_t log;
  tvi_string_builder_init(&log, allocator);
  trivet_status_t status =
      tvi_cuda_nvrtc_compile(code->source.data, architecture, allocator, &cubin, &size, &log);
  trivet_status_t dumped = dump_all(region, name, code, cubin, size, &log, key);
  if (status) {
    trivet_status_free(dumped);
  } else {
    status = dumped;
  }
  if (!status && region->code_cache)
    status = tvi_code_cache_add(region->code_cache, key, cubin, size);
  if (!status) status = write_blob(region, code, cubin, size, operands, emission);
  if (cubin) tvi_free(allocator, cubin, size);
  tvi_string_builder_deinit(&log);
  return status;
}

static trivet_status_t find_parameter(tvi_cuda_code_t* code, trivet_dim_t dim, uint32_t* out) {
  if (!dim) return TRIVET_STATUS(OUT_OF_RANGE, "a shape or stride overflows 64 bits");
  for (size_t i = 0; i < code->parameters.count; ++i) {
    if (code->parameters.data[i] != dim) continue;
    *out = (uint32_t)i;
    return TRIVET_OK;
  }
  *out = (uint32_t)code->parameters.count;
  return tvi_vector_push(&code->parameters, dim);
}

static trivet_status_t emit_code(const trivet_region_t* region, tvi_cuda_code_t* code,
                                 const uint32_t* operand_of_value, const char* name,
                                 trivet_emission_t* emission) {
  tvi_cuda_blob_operand_t* operands = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(emission->arena, code->operands.count + 1,
                                                      sizeof(*operands), &operands));
  for (size_t i = 0; i < code->operands.count; ++i) {
    const uint32_t index = operand_of_value[code->operands.data[i]];
    const trivet_type_t* type =
        &tvi_graph_value(region->graph, region->operands[index].value)->type;
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, index));
    operands[i].dtype = type->dtype;
    operands[i].rank = type->rank;
    for (uint32_t d = 0; d < type->rank; ++d) {
      TRIVET_RETURN_IF_ERROR(find_parameter(code, type->dims[d], &operands[i].dims[d]));
      TRIVET_RETURN_IF_ERROR(
          find_parameter(code, region->operands[index].strides[d], &operands[i].strides[d]));
    }
  }
  for (size_t i = 0; i < code->parameters.count; ++i)
    TRIVET_RETURN_IF_ERROR(emission->add_parameter(emission->self, code->parameters.data[i]));
  char architecture[32], requirement[48];
  architecture_of(region->target, architecture, sizeof(architecture));
  snprintf(requirement, sizeof(requirement), "arch:%s", architecture);
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, requirement));
  return compile_and_write(region, code, architecture, operands, name, emission);
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const tvi_kir_program_t* program = region->program;
  const trivet_dim_t** strides = NULL;
  uint32_t* operand_of_value = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      emission->arena, (size_t)program->value_count + 1, sizeof(*strides), &strides));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(emission->arena, (size_t)program->value_count + 1,
                                   sizeof(*operand_of_value), &operand_of_value));
  for (uint32_t v = 0; v < program->value_count; ++v) {
    if (program->values[v].kind == TVI_KIR_TEMP) continue;
    TRIVET_RETURN_IF_ERROR(find_operand(region, &program->values[v], &operand_of_value[v]));
    strides[v] = region->operands[operand_of_value[v]].strides;
  }
  char name[TVI_CUDA_NAME_SIZE - 16];
  name_kernels(region, name, sizeof(name));
  tvi_cuda_code_options_t options = {.name = name,
                                     .strides = strides,
                                     .symbols = region->symbols,
                                     .symbol_count = region->symbol_count};
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_code_make(program, &options, emission->arena, region->graph->allocator, &code));
  trivet_status_t status = emit_code(region, &code, operand_of_value, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_kernel_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.kernel",
    .target = "cuda",
    .summary = "compiles kernel IR to CUDA kernels",
    .version = TVI_CUDA_BLOB_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_GENERAL,
    .propose = propose,
    .emit = emit,
    .load = tvi_cuda_kernel_load,
    .unload = tvi_cuda_kernel_unload,
    .prepare = tvi_cuda_kernel_prepare,
    .release = tvi_cuda_kernel_release,
    .run = tvi_cuda_kernel_run,
};
