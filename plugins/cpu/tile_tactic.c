// SPDX-License-Identifier: Apache-2.0
//
// A kernel-IR region as a step of the tile interpreter: its price, and its operands, parameters and
// blob. Whoever runs tile programs proposes and emits with this; the interpreter itself is not
// here.
#include "plugins/cpu/tile_tactic.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/fuse.h"
#include "plugins/cpu/tile_compile.h"

// Values in the order inputs, outputs, temporaries: a step's outputs come last.
static trivet_status_t order_values(const trivet_region_t* region, tvi_arena_t* arena,
                                    tvi_kir_program_t** out_program) {
  const tvi_kir_program_t* source = region->program;
  tvi_kir_program_t* program = NULL;
  uint32_t* map = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(source->dims, arena, &program));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, source->value_count + 1, sizeof(uint32_t), &map));
  for (uint32_t v = 0; v < source->value_count; ++v) map[v] = TVI_KIR_NONE;
  for (int outputs = 0; outputs < 2; ++outputs) {
    for (uint32_t v = 0; v < source->value_count; ++v) {
      const tvi_kir_value_t* value = &source->values[v];
      if (value->kind != (outputs ? TVI_KIR_OUTPUT : TVI_KIR_INPUT)) continue;
      trivet_type_t type;
      memset(&type, 0, sizeof(type));
      type.dtype = value->dtype;
      type.rank = value->rank;
      memcpy(type.dims, value->dims, sizeof(type.dims));
      TRIVET_RETURN_IF_ERROR(
          tvi_kir_program_add_value(program, value->name, value->kind, &type, value->tag, &map[v]));
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_append(program, source, TVI_KIR_NONE, map));
  *out_program = program;
  return TRIVET_OK;
}

static double evaluate(const trivet_region_t* region, trivet_dim_t dim) {
  int64_t value = 0;
  trivet_status_t status =
      dim ? tvi_dim_evaluate(dim, region->symbols, region->symbol_count, &value) : TRIVET_OK;
  trivet_status_free(status);
  return (double)value;
}

// Nanoseconds on one core: what the stages compute, or what the operands weigh.
static double price(const trivet_region_t* region) {
  double compute = 0, moved = 0;
  for (uint32_t s = 0; s < region->program->stage_count; ++s) {
    tvi_kir_cost_t cost;
    tvi_kir_stage_cost(region->program, s, &cost);
    double each =
        0.06 * (cost.flops + cost.loads) + 0.5 * cost.transcendentals + 0.3 * cost.index_ops;
    compute += each * (double)tvi_kir_cost_positions(&cost, region->symbols, region->symbol_count);
  }
  for (uint32_t i = 0; i < region->input_count + region->output_count; ++i) {
    const trivet_type_t* type = &tvi_graph_value(region->graph, region->operands[i].value)->type;
    trivet_dim_t count = NULL;
    if (!tvi_type_element_count(region->graph, type, &count)) continue;
    moved += evaluate(region, count) * tvi_dtype_bits(type->dtype) / 8;
  }
  double memory = moved / 15;
  return 1000 + (compute > memory ? compute : memory);
}

trivet_status_t tvi_tile_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal) {
  if (!region->program) {
    proposal->decline(proposal->self, kernel, "no kernel IR");
    return TRIVET_OK;
  }
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  tactic.price = price(region);
  memcpy(tactic.name, "tile", 5);
  return proposal->add(proposal->self, &tactic);
}

static trivet_status_t emit_compiled(const trivet_region_t* region,
                                     const tvi_kir_program_t* program,
                                     const tvi_tile_compiled_t* compiled,
                                     trivet_emission_t* emission) {
  uint32_t count = region->input_count + region->output_count;
  for (uint32_t i = 0; i < compiled->operand_count; ++i) {
    const tvi_kir_value_t* value = &program->values[compiled->operands[i]];
    uint32_t found = count;
    for (uint32_t k = 0; k < count && found == count; ++k) {
      bool output = value->kind == TVI_KIR_OUTPUT;
      if (region->operands[k].value == value->tag && region->operands[k].is_output == output) {
        found = k;
      }
    }
    if (found == count) return TRIVET_STATUS(INTERNAL, "value %s is no operand", value->name);
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, found));
  }
  for (uint32_t i = 0; i < compiled->parameter_count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_parameter(emission->self, compiled->parameters[i]));
  }
  return emission->set_blob(emission->self, compiled->bytes, compiled->size);
}

trivet_status_t tvi_tile_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                              uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  tvi_kir_program_t* program = NULL;
  TRIVET_RETURN_IF_ERROR(order_values(region, emission->arena, &program));
  tvi_tile_compiled_t compiled;
  memset(&compiled, 0, sizeof(compiled));
  TRIVET_RETURN_IF_ERROR(tvi_tile_compile(program, region->graph->allocator, &compiled));
  trivet_status_t status = emit_compiled(region, program, &compiled, emission);
  tvi_tile_compiled_deinit(&compiled);
  return status;
}
