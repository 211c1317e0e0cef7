// SPDX-License-Identifier: Apache-2.0
//
// Cover, first step: what each node is, read off its kernel-IR program: class, index space, how it
// reads its operands.
#include <string.h>

#include "codegen/cover/cover.h"
#include "core/base/status.h"
#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/fuse.h"

// Product of |count| extents; NULL on overflow.
static trivet_dim_t product(tvi_dim_context_t* dims, const trivet_dim_t* extents, uint32_t count) {
  trivet_dim_t result = tvi_dim_constant(dims, 1);
  for (uint32_t i = 0; i < count; ++i)
    result = tvi_dim_binary(dims, TRIVET_DIM_MUL, result, extents[i]);
  return result;
}

// How one load reads its value, for the index space of its stage.
static tvi_access_t load_access(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                                const tvi_kir_load_t* load) {
  (void)program;
  int64_t last = -1;
  bool increasing = true;
  uint32_t seen = 0;
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const tvi_kir_instr_t* index = &stage->instrs[load->indices[d]];
    if (index->opcode == TVI_KIR_CONST && index->imm.i64 == 0) continue;
    if (index->opcode != TVI_KIR_INDEX) return TVI_ACCESS_COMPLEX;
    uint32_t bit = 1u << index->imm.i64;
    if (seen & bit) return TVI_ACCESS_COMPLEX;
    seen |= bit;
    if (index->imm.i64 <= last) increasing = false;
    last = index->imm.i64;
  }
  // The parallel indices of a reduction come before the reduced ones whatever their place in the
  // operand.
  return increasing || stage->kind == TVI_KIR_REDUCE ? TVI_ACCESS_ALIGNED : TVI_ACCESS_PERMUTED;
}

static bool is_contraction(const tvi_kir_program_t* program, uint32_t stage) {
  tvi_kir_matmul_t matmul;
  tvi_kir_convolution_t convolution;
  return tvi_kir_match_matmul(program, stage, &matmul, NULL) ||
         tvi_kir_match_convolution(program, stage, &convolution, NULL);
}

static bool all_affine(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                       tvi_kir_ref_t load) {
  tvi_kir_affine_load_t affine;
  return tvi_kir_affine_load(program, stage, load, &affine) && affine.flags == 0;
}

// A stage that only looks at the node's first operand.
static bool looks_at_operand(const tvi_kir_program_t* program, uint32_t s,
                             const tvi_kir_load_t** out_load) {
  const tvi_kir_stage_t* stage = &program->stages[s];
  if (stage->kind != TVI_KIR_MAP || stage->result_count != 1) return false;
  const tvi_kir_instr_t* result = &stage->instrs[stage->results[0]];
  if (result->opcode != TVI_KIR_LOAD) return false;
  const tvi_kir_load_t* load = result->imm.load;
  const tvi_kir_value_t* source = &program->values[load->value];
  const tvi_kir_value_t* target = &program->values[stage->values[0]];
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN || source->kind != TVI_KIR_INPUT || source->tag != 0 ||
      source->dtype != target->dtype || target->kind != TVI_KIR_OUTPUT) {
    return false;
  }
  for (uint32_t d = 0; load->wrap && d < load->index_count; ++d) {
    if (load->wrap[d] != TVI_KIR_WRAP_NONE) return false;
  }
  *out_load = load;
  return true;
}

// A program that only looks at its one operand; each output in its own way (a split).
static void detect_view(const tvi_node_t* node, const tvi_kir_program_t* program,
                        tvi_node_fact_t* fact) {
  bool affine = program->stage_count > 0, ordered = true, same_count = true;
  const tvi_kir_load_t* load = NULL;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    if (!looks_at_operand(program, s, &load)) return;
    const tvi_kir_value_t* source = &program->values[load->value];
    const tvi_kir_value_t* target = &program->values[stage->values[0]];
    same_count = same_count && product(program->dims, source->dims, source->rank) ==
                                   product(program->dims, target->dims, target->rank);
    affine = affine && all_affine(program, stage, stage->results[0]);
    ordered = ordered && load_access(program, stage, load) == TVI_ACCESS_ALIGNED;
  }
  bool named_reshape = tvi_node_is(node, "std.Reshape") || tvi_node_is(node, "std.Flatten");
  if (affine) {
    fact->node_class = TVI_NODE_VIEW;
    fact->order_preserving = same_count && ordered;
  } else if (named_reshape && same_count && program->stage_count == 1) {
    fact->node_class = TVI_NODE_VIEW;
    fact->reshape = true;
    fact->order_preserving = true;
  }
}

static trivet_status_t node_fact(tvi_cover_t* cover, tvi_node_id_t id, tvi_node_fact_t* fact) {
  const trivet_graph_t* graph = cover->graph;
  const tvi_node_t* node = tvi_graph_node(graph, id);
  uint8_t* access = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      cover->arena, node->input_count ? node->input_count : 1, 1, &access));
  fact->access = access;
  fact->node_class = TVI_NODE_HOST;
  tvi_kir_program_t* program = NULL;
  trivet_status_t status = tvi_graph_node_program(graph, id, cover->arena, &program);
  if (trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED) {
    trivet_status_free(status);
    memset(access, TVI_ACCESS_COMPLEX, node->input_count);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(status);
  fact->program = program;
  fact->node_class = TVI_NODE_MAP;
  trivet_dim_t domain = NULL;
  int64_t domain_size = -1;
  bool reduces = false, contracts = false, other = false;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    trivet_dim_t extent =
        product(program->dims, stage->extents, stage->parallel_count + stage->reduced_count);
    int64_t low = 0, high = 0;
    if (extent) tvi_dim_range(program->dims, extent, &low, &high);
    if (high > domain_size || !extent) domain = extent, domain_size = high;
    if (stage->kind == TVI_KIR_SCAN) other = true;
    if (stage->kind == TVI_KIR_REDUCE) {
      reduces = true;
      if (is_contraction(program, s)) contracts = true;
      fact->rows = product(program->dims, stage->extents, stage->parallel_count);
    }
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      const tvi_kir_instr_t* instr = &stage->instrs[i];
      if (instr->opcode != TVI_KIR_LOAD) continue;
      const tvi_kir_value_t* value = &program->values[instr->imm.load->value];
      if (value->kind != TVI_KIR_INPUT || value->tag >= node->input_count) continue;
      uint8_t kind = (uint8_t)load_access(program, stage, instr->imm.load);
      if (kind > access[value->tag]) access[value->tag] = kind;
    }
  }
  fact->domain = domain;
  if (other) {
    fact->node_class = TVI_NODE_OTHER;
  } else if (contracts) {
    fact->node_class = TVI_NODE_CONTRACTION;
  } else if (reduces) {
    // A window (pooling, resampling) reads elements several times: fusing what it reads would
    // compute that again and again.
    fact->node_class = TVI_NODE_REDUCE;
    for (uint32_t i = 0; i < node->input_count; ++i) {
      if (access[i] == TVI_ACCESS_COMPLEX) fact->node_class = TVI_NODE_OTHER;
    }
  } else {
    detect_view(node, program, fact);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_cover_facts(tvi_cover_t* cover) {
  uint32_t position = 0;
  TVI_GRAPH_FOR_EACH_NODE(cover->graph, id) {
    tvi_node_fact_t* fact = &cover->facts[id];
    fact->region = TVI_COVER_NONE;
    fact->position = position++;
    TRIVET_RETURN_IF_ERROR(node_fact(cover, id, fact));
  }
  return TRIVET_OK;
}

tvi_value_id_t tvi_cover_base(const tvi_cover_t* cover, tvi_value_id_t value) {
  for (;;) {
    tvi_node_id_t producer = tvi_graph_value(cover->graph, value)->producer;
    if (!producer || cover->facts[producer].node_class != TVI_NODE_VIEW) return value;
    value = tvi_graph_node(cover->graph, producer)->inputs[0];
  }
}

bool tvi_cover_order_preserving(const tvi_cover_t* cover, tvi_value_id_t value) {
  for (;;) {
    tvi_node_id_t producer = tvi_graph_value(cover->graph, value)->producer;
    if (!producer || cover->facts[producer].node_class != TVI_NODE_VIEW) return true;
    if (!cover->facts[producer].order_preserving) return false;
    value = tvi_graph_node(cover->graph, producer)->inputs[0];
  }
}
