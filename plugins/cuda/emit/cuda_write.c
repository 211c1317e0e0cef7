// SPDX-License-Identifier: Apache-2.0
//
// Compilation and the bytes of a step. See cuda_write.h.
// The last thing that the build half does for a step; it needs no device.
#include "plugins/cuda/emit/cuda_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_nvrtc.h"

void tvi_cuda_name_kernels(const trivet_region_t* region, char* name, size_t size) {
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

trivet_status_t tvi_cuda_find_operand(const trivet_region_t* region, const tvi_kir_value_t* value,
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

trivet_status_t tvi_cuda_place_operands(const trivet_region_t* region, tvi_arena_t* arena,
                                        const trivet_dim_t*** out_strides,
                                        uint32_t** out_operand_of_value) {
  const tvi_kir_program_t* program = region->program;
  const trivet_dim_t** strides = NULL;
  uint32_t* operands = NULL;
  const size_t count = (size_t)program->value_count + 1;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, count, sizeof(*strides), &strides));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, count, sizeof(*operands), &operands));
  for (uint32_t v = 0; v < program->value_count; ++v) {
    if (program->values[v].kind == TVI_KIR_TEMP) continue;
    TRIVET_RETURN_IF_ERROR(tvi_cuda_find_operand(region, &program->values[v], &operands[v]));
    strides[v] = region->operands[operands[v]].strides;
  }
  *out_strides = strides;
  *out_operand_of_value = operands;
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal, tvi_cuda_propose_fn_t propose) {
  if (!region->program) {
    proposal->decline(proposal->self, kernel, "no kernel IR");
    return TRIVET_OK;
  }
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 0);
  trivet_status_t status = propose(kernel, region, &arena, proposal);
  tvi_arena_deinit(&arena);
  if (trivet_status_code(status) != TRIVET_STATUS_UNIMPLEMENTED) return status;
  proposal->decline(proposal->self, kernel, "%s", trivet_status_message(status));
  trivet_status_free(status);
  return TRIVET_OK;
}

bool tvi_cuda_is_hopper(const char* target) {
  const char* colon = target ? strchr(target, ':') : NULL;
  return !colon || strncmp(colon + 1, "sm_90", 5) == 0;
}

uint32_t tvi_cuda_shared_limit(const char* target) {
  char architecture[32];
  architecture_of(target, architecture, sizeof(architecture));
  const long number = strncmp(architecture, "sm_", 3) == 0 ? strtol(architecture + 3, NULL, 10) : 0;
  if (number < 80) return 0;
  if (number >= 90 && number < 120) return 227u << 10;
  return number == 80 || number == 87 ? 163u << 10 : 99u << 10;
}

trivet_status_t tvi_cuda_find_constants(const trivet_region_t* region,
                                        const tvi_kir_program_t* program, tvi_arena_t* arena,
                                        const bool** out_is_constant) {
  bool* is_constant = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)program->value_count + 1,
                                                      sizeof(*is_constant), &is_constant));
  for (uint32_t v = 0; v < program->value_count; ++v) {
    if (program->values[v].kind != TVI_KIR_INPUT) continue;
    const tvi_value_t* value = tvi_graph_value(region->graph, program->values[v].tag);
    is_constant[v] = value && value->constant && value->constant->data;
  }
  *out_is_constant = is_constant;
  return TRIVET_OK;
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
                          .map_count = (uint32_t)code->maps.count,
                          .maps = code->maps.data,
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

// Text and architecture of a request for code.
typedef struct wanted_s {
  const char* source;
  char architecture[32];
} wanted_t;

static trivet_status_t make_wanted(const void* self, trivet_allocator_t allocator,
                                   uint8_t** out_cubin, size_t* out_size) {
  const wanted_t* wanted = (const wanted_t*)self;
  // Machine code holds the options it was made with: those of the other place, or bytes differ.
  tvi_string_builder_t log;
  tvi_string_builder_init(&log, allocator);
  trivet_status_t status = tvi_cuda_nvrtc_compile(wanted->source, wanted->architecture, allocator,
                                                  out_cubin, out_size, &log);
  tvi_string_builder_deinit(&log);
  return status;
}

static trivet_status_t request_code(const trivet_region_t* region, const tvi_cuda_code_t* code,
                                    const char* architecture, tvi_hash128_t key,
                                    trivet_emission_t* emission) {
  wanted_t* wanted = NULL;
  void* source = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(emission->arena, sizeof(*wanted), &wanted));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_copy(emission->arena, code->source.data, code->source.size + 1, &source));
  wanted->source = (const char*)source;
  snprintf(wanted->architecture, sizeof(wanted->architecture), "%s", architecture);
  return tvi_code_cache_request(region->code_cache, key, make_wanted, wanted);
}

static void name_operators(const trivet_region_t* region, char* text, size_t size) {
  size_t at = 0;
  for (uint32_t i = 0; i < region->node_count && at + 1 < size; ++i) {
    const tvi_node_t* node = tvi_graph_node(region->graph, region->nodes[i]);
    if (!node || !node->op) continue;
    at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", node->op->definition->name);
  }
  if (at == 0) snprintf(text, size, "no operator");
}

static trivet_status_t compile_and_write(const trivet_region_t* region, const tvi_cuda_code_t* code,
                                         const char* architecture,
                                         const tvi_cuda_blob_operand_t* operands, const char* name,
                                         trivet_emission_t* emission) {
  const trivet_allocator_t allocator = region->graph->allocator;
  tvi_hash128_state_t hash;
  tvi_hash128_init(&hash, TVI_CUDA_BLOB_VERSION);
  int version = 0;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_nvrtc_version(allocator, &version));
  tvi_hash128_update(&hash, &version, sizeof(version));
  tvi_hash128_update(&hash, architecture, strlen(architecture) + 1);
  tvi_hash128_update(&hash, code->source.data, code->source.size);
  const tvi_hash128_t key = tvi_hash128_digest(&hash);
  const tvi_cached_code_t* known =
      region->code_cache ? tvi_code_cache_find(region->code_cache, key) : NULL;
  if (known) return write_blob(region, code, known->data, known->size, operands, emission);
  if (region->code_cache && region->code_cache->is_collecting)
    return request_code(region, code, architecture, key, emission);
  uint8_t* cubin = NULL;
  size_t size = 0;
  tvi_string_builder_t log;
  tvi_string_builder_init(&log, allocator);
  trivet_status_t status =
      tvi_cuda_nvrtc_compile(code->source.data, architecture, allocator, &cubin, &size, &log);
  trivet_status_t dumped = dump_all(region, name, code, cubin, size, &log, key);
  if (status) {
    trivet_status_free(dumped);
    char operators[256];
    name_operators(region, operators, sizeof(operators));
    status = trivet_status_annotate(status, "the kernel of %s", operators);
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

trivet_status_t tvi_cuda_write_code(const trivet_region_t* region, tvi_cuda_code_t* code,
                                    const uint32_t* operand_of_value, const char* name,
                                    trivet_emission_t* emission) {
  return tvi_cuda_write_packed(region, code, operand_of_value, NULL, name, emission);
}

trivet_status_t tvi_cuda_write_packed(const trivet_region_t* region, tvi_cuda_code_t* code,
                                      const uint32_t* operand_of_value,
                                      const tvi_cuda_packed_t* packed, const char* name,
                                      trivet_emission_t* emission) {
  tvi_cuda_blob_operand_t* operands = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(emission->arena, code->operands.count + 1,
                                                      sizeof(*operands), &operands));
  for (size_t i = 0; i < code->operands.count; ++i) {
    if (packed && packed->value == code->operands.data[i]) {
      TRIVET_RETURN_IF_ERROR(emission->add_packed(emission->self, &packed->constant));
      operands[i].dtype = packed->constant.dtype;
      operands[i].rank = packed->constant.rank;
      for (uint32_t d = 0; d < operands[i].rank; ++d)
        operands[i].dims[d] = operands[i].strides[d] = TVI_CUDA_BLOB_ANY;
      continue;
    }
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
  if (code->cubin) snprintf(architecture, sizeof(architecture), "%s", code->architecture);
  snprintf(requirement, sizeof(requirement), "arch:%s", architecture);
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, requirement));
  if (code->cubin)
    return write_blob(region, code, code->cubin, code->cubin_size, operands, emission);
  return compile_and_write(region, code, architecture, operands, name, emission);
}
