// SPDX-License-Identifier: Apache-2.0
//
// Regions, proposals and emissions as kernels from outside see them: through tables of functions.
// It stands in front of target.h's structs and must not decide anything.
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/target/target.h"

// --- Region --------------------------------------------------------------------------------------

static const tvi_node_t* node_at(const trivet_region_t* region, uint32_t node) {
  return node < region->node_count && !region->is_copy
             ? tvi_graph_node(region->graph, region->nodes[node])
             : NULL;
}

static uint32_t node_count(const trivet_region_t* region) {
  return region->is_copy ? 0 : region->node_count;
}

static const char* node_operator(const trivet_region_t* region, uint32_t node) {
  const tvi_node_t* found = node_at(region, node);
  return found ? found->op->definition->name : "";
}

static const trivet_attribute_t* node_attribute(const trivet_region_t* region, uint32_t node,
                                                const char* name) {
  const tvi_node_t* found = node_at(region, node);
  return found && name ? tvi_node_attribute(found, name) : NULL;
}

static uint32_t find_operand(const trivet_region_t* region, tvi_value_id_t value, bool output) {
  uint32_t count = region->input_count + region->output_count;
  for (uint32_t i = 0; value && i < count; ++i) {
    if (region->operands[i].value == value && region->operands[i].is_output == output) return i;
  }
  return TRIVET_REGION_NONE;
}

static uint32_t node_input(const trivet_region_t* region, uint32_t node, uint32_t index) {
  const tvi_node_t* found = node_at(region, node);
  if (!found || index >= found->input_count) return TRIVET_REGION_NONE;
  return find_operand(region, found->inputs[index], false);
}

static uint32_t node_output(const trivet_region_t* region, uint32_t node, uint32_t index) {
  const tvi_node_t* found = node_at(region, node);
  if (!found || index >= found->output_count) return TRIVET_REGION_NONE;
  return find_operand(region, found->outputs[index], true);
}

static uint32_t input_count(const trivet_region_t* region) { return region->input_count; }

static uint32_t output_count(const trivet_region_t* region) { return region->output_count; }

static const trivet_type_t* operand_type(const trivet_region_t* region, uint32_t index) {
  if (index >= region->input_count + region->output_count) return NULL;
  return &tvi_graph_value(region->graph, region->operands[index].value)->type;
}

static trivet_status_t number(const trivet_region_t* region, trivet_dim_t dim, int64_t* out_value) {
  if (!dim) return TRIVET_STATUS(OUT_OF_RANGE, "an extent overflows 64 bits");
  return tvi_dim_evaluate(dim, region->symbols, region->symbol_count, out_value);
}

static trivet_status_t operand(const trivet_region_t* region, uint32_t index,
                               trivet_operand_t* out_operand) {
  const trivet_type_t* type = operand_type(region, index);
  if (!type) return TRIVET_STATUS(OUT_OF_RANGE, "the region has no operand %u", index);
  const tvi_region_operand_t* from = &region->operands[index];
  const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
  tvi_layout_t plain = tvi_layout_plain(), last = tvi_layout_channels_last(type->rank);
  trivet_operand_t made;
  memset(&made, 0, sizeof(made));
  made.dtype = type->dtype;
  made.rank = type->rank;
  made.alignment = 1;
  for (uint32_t d = 0; d < type->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(number(region, type->dims[d], &made.dims[d]));
    TRIVET_RETURN_IF_ERROR(number(region, from->strides[d], &made.strides[d]));
  }
  if (from->is_output) made.flags |= TRIVET_OPERAND_OUTPUT;
  if (from->dense && tvi_layout_equal(&from->layout, &plain, type->rank)) {
    made.flags |= TRIVET_OPERAND_DENSE;
  }
  if (type->rank >= 3 && from->dense && tvi_layout_equal(&from->layout, &last, type->rank)) {
    made.flags |= TRIVET_OPERAND_CHANNELS_LAST;
  }
  if (!from->is_output && value->constant && value->constant->data) {
    made.flags |= TRIVET_OPERAND_CONSTANT;
    made.constant = value->constant->data;
  }
  *out_operand = made;
  return TRIVET_OK;
}

static uint32_t dim_value(const trivet_region_t* region, trivet_dim_t dim, int64_t* out_value) {
  (void)region;
  return dim && tvi_dim_is_constant(dim, out_value);
}

static const char* target(const trivet_region_t* region) { return region->target; }

static const trivet_kernel_t* host_kernel(const trivet_region_t* region) {
  const tvi_registry_t* registry = region->graph->registry;
  for (uint32_t i = 0;; ++i) {
    const trivet_kernel_t* kernel = tvi_registry_definition(registry, TRIVET_STRUCT_KERNEL, i);
    if (!kernel) return NULL;
    bool general = (kernel->flags & TRIVET_KERNEL_GENERAL) != 0 && kernel->propose && kernel->emit;
    if (general && strcmp(kernel->target, "cpu") == 0) return kernel;
  }
}

static trivet_dim_t dim_constant(const trivet_region_t* region, int64_t value) {
  return tvi_dim_constant(region->graph->dims, value);
}

static trivet_dim_t dim_binary(const trivet_region_t* region, uint32_t op, trivet_dim_t a,
                               trivet_dim_t b) {
  return a && b ? tvi_dim_binary(region->graph->dims, op, a, b) : NULL;
}

static uint32_t allows_tf32(const trivet_region_t* region) { return region->allows_tf32; }

const trivet_region_api_t* tvi_region_api(void) {
  static const trivet_region_api_t api = {
      .struct_size = (uint32_t)sizeof(api),
      .abi_minor = TRIVET_ABI_MINOR,
      .node_count = node_count,
      .node_operator = node_operator,
      .node_attribute = node_attribute,
      .node_input = node_input,
      .node_output = node_output,
      .input_count = input_count,
      .output_count = output_count,
      .operand = operand,
      .operand_type = operand_type,
      .dim_value = dim_value,
      .target = target,
      .host_kernel = host_kernel,
      .dim_constant = dim_constant,
      .dim_binary = dim_binary,
      .allows_tf32 = allows_tf32,
  };
  return &api;
}

// --- Proposal ------------------------------------------------------------------------------------

static trivet_status_t add(trivet_proposal_t* proposal, const trivet_kernel_t* kernel, uint64_t id,
                           double nanoseconds, const char* name) {
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  if (!kernel || !name || strlen(name) >= sizeof(tactic.name))
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "a tactic needs its kernel and a name of at most %zu bytes",
                         sizeof(tactic.name) - 1);
  if (!(nanoseconds >= 0))
    return TRIVET_STATUS(INVALID_ARGUMENT, "tactic \"%s\": its price is %g nanoseconds", name,
                         nanoseconds);
  tactic.kernel = kernel;
  tactic.id = id;
  tactic.price = nanoseconds;
  memcpy(tactic.name, name, strlen(name));
  return proposal->add(proposal->self, &tactic);
}

// A reason that there is no memory for is a reason less.
static void decline(trivet_proposal_t* proposal, const trivet_kernel_t* kernel, const char* format,
                    ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  proposal->decline(proposal->self, kernel, "%s", text);
}

const trivet_proposal_api_t* tvi_proposal_api(void) {
  static const trivet_proposal_api_t api = {
      .struct_size = (uint32_t)sizeof(api),
      .abi_minor = TRIVET_ABI_MINOR,
      .add = add,
      .decline = decline,
  };
  return &api;
}

// --- Emission ------------------------------------------------------------------------------------

static trivet_status_t emit_operand(trivet_emission_t* emission, uint32_t index) {
  return emission->add_operand(emission->self, index);
}

static trivet_status_t emit_absent(trivet_emission_t* emission) {
  return emission->add_absent(emission->self);
}

static trivet_status_t emit_constant(trivet_emission_t* emission, trivet_string_view_t name,
                                     const trivet_tensor_t* tensor) {
  if (!tensor || !tensor->data || tensor->rank > TRIVET_MAX_RANK)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a packed constant needs contents and a valid rank");
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.name = name;
  packed.data = tensor->data;
  packed.size = tensor->size;
  packed.dtype = tensor->dtype;
  packed.rank = tensor->rank;
  memcpy(packed.dims, tensor->dims, sizeof(packed.dims));
  return emission->add_packed(emission->self, &packed);
}

static trivet_status_t emit_parameter(trivet_emission_t* emission, trivet_dim_t dim) {
  return emission->add_parameter(emission->self, dim);
}

static trivet_status_t emit_blob(trivet_emission_t* emission, const void* data, uint64_t size) {
  return emission->set_blob(emission->self, data, size);
}

static trivet_status_t emit_require(trivet_emission_t* emission, const char* requirement) {
  return emission->require(emission->self, requirement);
}

static trivet_status_t emit_in_place(trivet_emission_t* emission, uint32_t input) {
  const trivet_region_t* region = emission->region;
  if (region && region->output_count != 1)
    return TRIVET_STATUS(INVALID_ARGUMENT, "in place: the region has %u outputs where 1 is needed",
                         region->output_count);
  if (region && input >= region->input_count && input != TRIVET_REGION_NONE)
    return TRIVET_STATUS(INVALID_ARGUMENT, "in place: the region has no input %u", input);
  return emission->in_place ? emission->in_place(emission->self, input) : TRIVET_OK;
}

static trivet_status_t check_code(const trivet_device_code_t* code) {
  if (!code || code->header.struct_type != TRIVET_STRUCT_DEVICE_CODE ||
      code->header.struct_size < sizeof(*code))
    return TRIVET_STATUS(INVALID_ARGUMENT, "device code without its header");
  if ((code->source != NULL) == (code->binary != NULL))
    return TRIVET_STATUS(INVALID_ARGUMENT, "device code has a source or a binary");
  if (code->binary && (code->binary_size == 0 || !code->architecture))
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "device code: the binary has no size or no architecture");
  if (!code->launches || code->launch_count == 0 || (!code->operands && code->operand_count > 0) ||
      (!code->parameters && code->parameter_count > 0))
    return TRIVET_STATUS(INVALID_ARGUMENT, "device code without launches, operands or parameters");
  for (uint64_t i = 0; i < code->launch_count; ++i)
    if (!code->launches[i].entry || !code->launches[i].grid || code->launches[i].block == 0)
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "device code: launch %llu lacks its entry, its grid or its threads",
                           (unsigned long long)i);
  return TRIVET_OK;
}

static trivet_status_t emit_device_code(trivet_emission_t* emission,
                                        const trivet_device_code_t* code) {
  if (!emission->coder)
    return TRIVET_STATUS(UNIMPLEMENTED, "target %s takes no code from plugins",
                         emission->region ? emission->region->target : "");
  if (emission->is_coded) return TRIVET_STATUS(INVALID_ARGUMENT, "device code was given already");
  TRIVET_RETURN_IF_ERROR(check_code(code));
  emission->is_coded = true;
  emission->code = code;
  trivet_status_t status = emission->coder->emit(emission->coder, emission->region, 0, emission);
  emission->code = NULL;
  return status;
}

trivet_status_t tvi_kernel_emit(const tvi_registry_t* registry, const trivet_region_t* region,
                                const tvi_tactic_t* tactic, trivet_emission_t* emission,
                                const trivet_kernel_t** out_kernel) {
  char name[64];
  const char* colon = region->target ? strchr(region->target, ':') : NULL;
  snprintf(name, sizeof(name), "%.*s.code", colon ? (int)(colon - region->target) : 32,
           region->target ? region->target : "");
  emission->coder = tvi_registry_kernel(registry, name, 0);
  emission->region = region;
  emission->is_coded = false;
  *out_kernel = tactic->kernel;
  trivet_status_t status = tactic->kernel->emit(tactic->kernel, region, tactic->id, emission);
  if (status && emission->is_coded)
    return trivet_status_annotate(status, "kernel %s", tactic->kernel->name);
  if (status) return status;
  if (emission->is_coded) *out_kernel = emission->coder;
  return TRIVET_OK;
}

const trivet_emission_api_t* tvi_emission_api(void) {
  static const trivet_emission_api_t api = {
      .struct_size = (uint32_t)sizeof(api),
      .abi_minor = TRIVET_ABI_MINOR,
      .operand = emit_operand,
      .absent = emit_absent,
      .constant = emit_constant,
      .parameter = emit_parameter,
      .blob = emit_blob,
      .require = emit_require,
      .device_code = emit_device_code,
      .in_place = emit_in_place,
  };
  return &api;
}
