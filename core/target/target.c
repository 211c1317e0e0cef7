// SPDX-License-Identifier: Apache-2.0
//
// Layouts, operands of regions, and the signature under which decisions about a region are cached.
// Between the cover and the kernels. A signature holds neither names nor weights nor addresses.
#include "core/target/target.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"

tvi_layout_t tvi_layout_plain(void) {
  tvi_layout_t layout;
  for (uint8_t i = 0; i < TRIVET_MAX_RANK; ++i) layout.order[i] = i;
  return layout;
}

tvi_layout_t tvi_layout_channels_last(uint32_t rank) {
  tvi_layout_t layout = tvi_layout_plain();
  if (rank < 3) return layout;
  for (uint8_t i = 1; i + 1u < rank; ++i) layout.order[i] = (uint8_t)(i + 1);
  layout.order[rank - 1] = 1;
  return layout;
}

bool tvi_layout_equal(const tvi_layout_t* a, const tvi_layout_t* b, uint32_t rank) {
  return memcmp(a->order, b->order, rank) == 0;
}

void tvi_region_operand_set_dense(const trivet_graph_t* graph, tvi_region_operand_t* operand,
                                  tvi_layout_t layout) {
  const trivet_type_t* type = &tvi_graph_value(graph, operand->value)->type;
  operand->dense = true;
  operand->layout = layout;
  trivet_dim_t stride = tvi_dim_constant(graph->dims, 1);
  for (uint32_t i = type->rank; i-- > 0;) {
    uint32_t d = layout.order[i];
    operand->strides[d] = stride;
    stride = tvi_dim_binary(graph->dims, TRIVET_DIM_MUL, stride, type->dims[d]);
  }
}

static void append_dim(tvi_string_builder_t* text, trivet_dim_t dim,
                       const trivet_region_t* region) {
  int64_t value = -1;
  trivet_status_t status =
      dim ? tvi_dim_evaluate(dim, region->symbols, region->symbol_count, &value) : TRIVET_OK;
  trivet_status_free(
      status);  // unknown sizes count as -1: equal regions still get equal signatures
  tvi_string_builder_append_i64(text, value);
  // A dynamic extent is another region than a static one of the same size.
  tvi_string_builder_append_char(text, dim && tvi_dim_is_constant(dim, NULL) ? ' ' : '~');
}

trivet_status_t tvi_region_signature(const trivet_region_t* region, uint64_t out_hash[2]) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, region->graph->allocator);
  uint32_t operand_count = region->input_count + region->output_count;
  for (uint32_t i = 0; i < operand_count; ++i) {
    const tvi_region_operand_t* operand = &region->operands[i];
    const tvi_value_t* value = tvi_graph_value(region->graph, operand->value);
    tvi_string_builder_appendf(&text, "%s %s %s [", operand->is_output ? "out" : "in",
                               trivet_dtype_name(value->type.dtype),
                               value->constant ? "constant" : "value");
    for (uint32_t d = 0; d < value->type.rank; ++d) {
      append_dim(&text, value->type.dims[d], region);
      append_dim(&text, operand->strides[d], region);
    }
    tvi_string_builder_append_cstr(&text, "]\n");
  }
  if (region->program) {
    // Positions and opcodes, not names: loads name values by their place among the region's
    // operands.
    const tvi_kir_program_t* program = region->program;
    for (uint32_t s = 0; s < program->stage_count; ++s) {
      const tvi_kir_stage_t* stage = &program->stages[s];
      tvi_string_builder_appendf(&text, "stage %d %d [", (int)stage->kind,
                                 stage->monoid ? (int)stage->monoid->kind : -1);
      for (uint32_t e = 0; e < stage->parallel_count + stage->reduced_count; ++e)
        append_dim(&text, stage->extents[e], region);
      tvi_string_builder_append_cstr(&text, "]\n");
      for (uint32_t i = 0; i < stage->instr_count; ++i) {
        const tvi_kir_instr_t* instr = &stage->instrs[i];
        tvi_string_builder_appendf(&text, "%u %u", instr->opcode, instr->dtype);
        for (uint32_t a = 0; a < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++a) {
          tvi_string_builder_appendf(&text, " %u", instr->args[a]);
        }
        if (instr->opcode == TVI_KIR_CONST)
          tvi_string_builder_appendf(&text, " #%llx", (unsigned long long)instr->imm.i64);
        if (instr->opcode == TVI_KIR_INDEX)
          tvi_string_builder_appendf(&text, " i%lld", (long long)instr->imm.i64);
        if (instr->opcode == TVI_KIR_DEVICE)
          tvi_string_builder_append_cstr(&text, instr->imm.device->cuda);
        if (instr->opcode == TVI_KIR_EXTENT) append_dim(&text, instr->imm.dim, region);
        if (instr->opcode == TVI_KIR_LOAD) {
          tvi_string_builder_appendf(&text, " v%u", instr->imm.load->value);
          for (uint32_t d = 0; d < instr->imm.load->index_count; ++d) {
            tvi_string_builder_appendf(&text, ",%u", instr->imm.load->indices[d]);
          }
        }
        tvi_string_builder_append_char(&text, '\n');
      }
    }
  } else if (region->node_count) {
    tvi_string_builder_append_cstr(
        &text, tvi_graph_node(region->graph, region->nodes[0])->op->definition->name);
  }
  if (region->allows_tf32) tvi_string_builder_append_cstr(&text, "tf32");
  trivet_status_t status = tvi_string_builder_status(&text);
  if (!status) {
    trivet_string_view_t view = tvi_string_builder_view(&text);
    tvi_hash128_t hash = tvi_hash128(view.data, view.size, 0);
    out_hash[0] = hash.low;
    out_hash[1] = hash.high;
  }
  tvi_string_builder_deinit(&text);
  return status;
}
