// SPDX-License-Identifier: Apache-2.0
//
// The contraction or pool is found by its form; what follows it is taken apart from the result
// backwards into post-operations.
#include "core/target/anchor_match.h"

#include <float.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/fuse.h"
#include "core/target/post_function.h"

typedef struct matcher_s {
  const trivet_region_t* region;
  tvi_kir_program_t* program;
  tvi_anchor_t* anchor;
  const tvi_kir_stage_t* tail;  // the MAP stage behind the anchor; NULL: none
  bool* depends;                // per instruction of it: whether it needs what the anchor computed
  uint32_t core_value;          // what the anchor writes
  const char* reason;
} matcher_t;

static bool decline(matcher_t* m, const char* reason) {
  if (!m->reason) m->reason = reason;
  return false;
}

// Operand of the region that holds the graph value of a program's value.
static bool region_operand(const matcher_t* m, uint32_t value, bool output, uint32_t* out_index) {
  uint32_t count = m->region->input_count + m->region->output_count;
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_region_operand_t* operand = &m->region->operands[i];
    if (operand->value == m->program->values[value].tag && operand->is_output == output) {
      *out_index = i;
      return true;
    }
  }
  return false;
}

static const tvi_kir_instr_t* tail_instr(const matcher_t* m, tvi_kir_ref_t ref) {
  return &m->tail->instrs[ref];
}

static bool is_core_load(const matcher_t* m, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = tail_instr(m, ref);
  return instr->opcode == TVI_KIR_LOAD && instr->imm.load->value == m->core_value;
}

// Instructions stand behind what they read.
static void find_dependents(matcher_t* m) {
  for (tvi_kir_ref_t r = 0; r < m->tail->instr_count; ++r) {
    const tvi_kir_instr_t* instr = tail_instr(m, r);
    m->depends[r] = is_core_load(m, r);
    uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    for (uint32_t a = 0; a < operands; ++a) m->depends[r] |= m->depends[instr->args[a]];
  }
}

// --- Post-operations --------------------------------------------------------------------

// A load of another operand at positions of the result.
static bool read_operand(matcher_t* m, const tvi_kir_instr_t* instr, tvi_post_t* out) {
  if (!tvi_post_is_float(instr->dtype)) {
    return decline(m, "an operand of the epilogue is no float");
  }
  const tvi_kir_load_t* load = instr->imm.load;
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN) return decline(m, "an operand is padded");
  memset(out->dims, TVI_ANCHOR_NO_DIM, sizeof(out->dims));
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const tvi_kir_instr_t* index = tail_instr(m, load->indices[d]);
    if (index->opcode == TVI_KIR_CONST && index->imm.i64 == 0) continue;
    if (tvi_dim_equals_constant(m->program->values[load->value].dims[d], 1)) continue;
    if (index->opcode != TVI_KIR_INDEX || index->imm.i64 >= TRIVET_MAX_RANK) {
      return decline(m, "an operand is read at other positions");
    }
    uint8_t* to = &out->dims[index->imm.i64];
    if (*to != TVI_ANCHOR_NO_DIM) return decline(m, "an operand is read on a diagonal");
    *to = (uint8_t)d;
  }
  return region_operand(m, load->value, false, &out->operand) ||
         decline(m, "an operand is no input of the region");
}

// An operation with one constant number is a function of one value.
static bool read_scalar(const matcher_t* m, const tvi_kir_instr_t* load, uint16_t opcode,
                        tvi_post_t* out) {
  uint32_t id = m->program->values[load->imm.load->value].tag;
  const tvi_value_t* value = tvi_graph_value(m->region->graph, id);
  if (!value->constant || !value->constant->data || !tvi_post_is_float(value->type.dtype) ||
      value->constant->size != tvi_dtype_bytes(value->type.dtype)) {
    return false;
  }
  double number = tvi_dtype_read_f64(value->type.dtype, value->constant->data, 0);
  const tvi_post_t add = {.op = TVI_POST_LINEAR, .alpha = 1, .beta = number};
  const tvi_post_t subtract = {.op = TVI_POST_LINEAR, .alpha = 1, .beta = -number};
  const tvi_post_t multiply = {.op = TVI_POST_LINEAR, .alpha = number};
  const tvi_post_t at_least = {.op = TVI_POST_CLIP, .alpha = number, .beta = (double)FLT_MAX};
  const tvi_post_t at_most = {.op = TVI_POST_CLIP, .alpha = -(double)FLT_MAX, .beta = number};
  switch (opcode) {
    case TVI_KIR_ADD:
      *out = add;
      return true;
    case TVI_KIR_SUB:
      *out = subtract;
      return true;
    case TVI_KIR_MUL:
      *out = multiply;
      return true;
    case TVI_KIR_MAX:
      *out = at_least;
      return true;
    case TVI_KIR_MIN:
      *out = at_most;
      return true;
    default:
      return false;
  }
}

static bool read_binary(matcher_t* m, const tvi_kir_instr_t* instr, tvi_post_t* out,
                        tvi_kir_ref_t* out_next) {
  static const struct {
    uint16_t opcode;
    uint16_t op;
  } ops[] = {{TVI_KIR_ADD, TVI_POST_ADD}, {TVI_KIR_SUB, TVI_POST_SUB}, {TVI_KIR_MUL, TVI_POST_MUL},
             {TVI_KIR_DIV, TVI_POST_DIV}, {TVI_KIR_MIN, TVI_POST_MIN}, {TVI_KIR_MAX, TVI_POST_MAX}};
  memset(out, 0, sizeof(*out));
  for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); ++i) {
    if (instr->opcode == ops[i].opcode) out->op = ops[i].op;
  }
  if (!out->op) return false;
  tvi_kir_ref_t a = tvi_post_skip_casts(m->tail, instr->args[0]);
  tvi_kir_ref_t b = tvi_post_skip_casts(m->tail, instr->args[1]);
  bool left = m->depends[a], right = m->depends[b];
  if (left == right) return false;
  if (!left && (instr->opcode == TVI_KIR_SUB || instr->opcode == TVI_KIR_DIV)) return false;
  const tvi_kir_instr_t* other = tail_instr(m, left ? b : a);
  if (other->opcode != TVI_KIR_LOAD) return false;
  *out_next = left ? a : b;
  return read_scalar(m, other, instr->opcode, out) || read_operand(m, other, out);
}

static double clamp(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

// Limits of a clip, or of a relu without slope.
static bool limits(const tvi_post_t* post, double* out_low, double* out_high) {
  if (post->op != TVI_POST_CLIP && (post->op != TVI_POST_RELU || post->alpha != 0)) return false;
  *out_low = post->op == TVI_POST_CLIP ? post->alpha : 0;
  *out_high = post->op == TVI_POST_CLIP ? post->beta : (double)FLT_MAX;
  return true;
}

// Two lines behind each other are one, two clips, too.
static void append(tvi_anchor_t* anchor, const tvi_post_t* post) {
  tvi_post_t* last = anchor->post_count ? &anchor->posts[anchor->post_count - 1] : NULL;
  double low, high, last_low, last_high;
  if (last && last->op == TVI_POST_LINEAR && post->op == TVI_POST_LINEAR) {
    last->alpha *= post->alpha;
    last->beta = last->beta * post->alpha + post->beta;
    return;
  }
  if (!limits(post, &low, &high)) {
    anchor->posts[anchor->post_count++] = *post;
    return;
  }
  if (last && limits(last, &last_low, &last_high)) {
    low = clamp(last_low, low, high);
    high = clamp(last_high, post->op == TVI_POST_CLIP ? post->alpha : 0, high);
  } else {
    last = &anchor->posts[anchor->post_count++];
  }
  memset(last, 0, sizeof(*last));
  bool is_relu = low == 0 && high == (double)FLT_MAX;
  last->op = is_relu ? TVI_POST_RELU : TVI_POST_CLIP;
  last->alpha = low;
  last->beta = is_relu ? 0 : high;
}

static bool read_tail(matcher_t* m) {
  if (!m->tail) return true;
  tvi_anchor_t* anchor = m->anchor;
  find_dependents(m);
  tvi_kir_ref_t at = tvi_post_skip_casts(m->tail, m->tail->results[0]);
  if (!m->depends[at]) return decline(m, "the result does not depend on the sum");
  tvi_post_t reversed[TVI_ANCHOR_MAX_POSTS];
  uint32_t count = 0;
  while (!is_core_load(m, at)) {
    if (count == TVI_ANCHOR_MAX_POSTS) return decline(m, "more than 8 post-operations");
    tvi_kir_ref_t next = at;
    if (!read_binary(m, tail_instr(m, at), &reversed[count], &next)) {
      if (m->reason) return false;
      if (!tvi_post_read_function(m->tail, at, m->depends, &next, &reversed[count])) {
        return decline(m, "the epilogue holds a function that is not known");
      }
    }
    ++count;
    at = tvi_post_skip_casts(m->tail, next);
  }
  const tvi_kir_load_t* core = tail_instr(m, at)->imm.load;
  if (core->bounds != TVI_KIR_BOUNDS_PROVEN) return decline(m, "the sum is padded");
  for (uint32_t d = 0; d < core->index_count; ++d) {
    const tvi_kir_instr_t* index = tail_instr(m, core->indices[d]);
    bool same = index->opcode == TVI_KIR_INDEX && index->imm.i64 == d;
    if (!same && !tvi_dim_equals_constant(m->tail->extents[d], 1)) {
      return decline(m, "the sum is read in another order");
    }
  }
  if (core->index_count != m->tail->parallel_count) return decline(m, "the sum is broadcast");
  for (uint32_t i = count; i-- > 0;) append(anchor, &reversed[i]);
  return true;
}

// --- The anchor -------------------------------------------------------------------------

static bool read_core(matcher_t* m) {
  const char* reason = NULL;
  tvi_anchor_t* anchor = m->anchor;
  uint32_t x, weight = TVI_KIR_NONE;
  if (tvi_kir_match_matmul(m->program, 0, &anchor->u.matmul, &reason)) {
    anchor->kind = TVI_ANCHOR_MATMUL;
    x = anchor->u.matmul.a.value;
    weight = anchor->u.matmul.b.value;
  } else if (tvi_kir_match_convolution(m->program, 0, &anchor->u.convolution, &reason)) {
    anchor->kind = TVI_ANCHOR_CONVOLUTION;
    x = anchor->u.convolution.x.value;
    weight = anchor->u.convolution.weight.value;
  } else if (tvi_kir_match_pool(m->program, 0, &anchor->u.pool, &reason)) {
    anchor->kind = TVI_ANCHOR_POOL;
    x = anchor->u.pool.value;
  } else {
    return decline(m, reason ? reason : "neither a contraction nor a pool");
  }
  anchor->weight = TVI_KIR_NONE;
  return (region_operand(m, x, false, &anchor->x) &&
          (weight == TVI_KIR_NONE || region_operand(m, weight, false, &anchor->weight))) ||
         decline(m, "an operand is computed inside the region");
}

trivet_status_t tvi_match_inline_temporaries(tvi_kir_program_t* program) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    if (stage->kind != TVI_KIR_MAP) continue;
    bool temporary = program->values[stage->values[0]].kind == TVI_KIR_TEMP;
    if (!temporary || !tvi_kir_can_inline_stage(program, s)) continue;
    TRIVET_RETURN_IF_ERROR(tvi_kir_inline_stage(program, s));
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, true, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_kir_simplify(program));
  return tvi_kir_program_drop_dead(program, true, NULL);
}

static bool find_stages(matcher_t* m) {
  const tvi_kir_program_t* program = m->program;
  if (program->stage_count < 1 || program->stage_count > 2) {
    return decline(m, "more than a contraction and what follows it");
  }
  const tvi_kir_stage_t* core = &program->stages[0];
  m->tail = program->stage_count == 2 ? &program->stages[1] : NULL;
  m->core_value = core->values[0];
  if (core->kind != TVI_KIR_REDUCE || core->result_count != 1 ||
      (m->tail && (m->tail->kind != TVI_KIR_MAP || m->tail->result_count != 1))) {
    return decline(m, "not a reduction followed by an elementwise stage");
  }
  uint32_t result = m->tail ? m->tail->values[0] : core->values[0];
  if (!tvi_post_is_float(program->values[result].dtype))
    return decline(m, "the result is no float");
  return region_operand(m, result, true, &m->anchor->result) ||
         decline(m, "the result is no output of the region");
}

trivet_status_t tvi_anchor_match(const trivet_region_t* region, tvi_arena_t* arena,
                                 tvi_anchor_t* out, const char** out_reason) {
  tvi_anchor_t anchor;
  memset(&anchor, 0, sizeof(anchor));
  matcher_t m = {.region = region, .anchor = &anchor};
  *out_reason = NULL;
  if (!region->program || region->output_count != 1) {
    *out_reason = "not one result";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(region->program, arena, &m.program));
  TRIVET_RETURN_IF_ERROR(tvi_match_inline_temporaries(m.program));
  bool ok = find_stages(&m);
  if (ok && m.tail) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(arena, m.tail->instr_count, sizeof(bool), &m.depends));
  }
  ok = ok && read_core(&m) && read_tail(&m);
  if (ok) {
    *out = anchor;
  } else {
    *out_reason = m.reason;
  }
  return TRIVET_OK;
}
