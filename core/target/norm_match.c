// SPDX-License-Identifier: Apache-2.0
//
// Up to two reductions over the same dimensions of one operand, and an elementwise stage: which
// statistics they take and what is made of them is told by the values of their scalar bodies.
#include "core/target/norm_match.h"

#include <math.h>
#include <string.h>

#include "core/base/status.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/scalar.h"
#include "core/target/anchor_match.h"

#define MAX_STATISTICS 2u
#define MAX_VECTORS 4u
#define NO_INDEX 255u
#define TOLERANCE 2e-5

// What the loads of a body stand for.
enum { VAR_X = 0, VAR_STATISTIC = 1, VAR_VECTOR = VAR_STATISTIC + MAX_STATISTICS };
#define VAR_COUNT (VAR_VECTOR + MAX_VECTORS)

typedef struct matcher_s {
  const trivet_region_t* region;
  tvi_kir_program_t* program;
  tvi_norm_t* norm;
  uint32_t x;  // value of the program
  uint32_t rank;
  uint32_t statistics;  // reductions
  uint32_t vectors[MAX_VECTORS];
  uint32_t vector_count;
  uint8_t index_of[MAX_STATISTICS][TRIVET_MAX_RANK];  // of a reduction, for each dimension of x;
                                                      // NO_INDEX: an extent of 1
  uint8_t* variables;  // of the body at hand: what each load stands for
  tvi_kir_scalar_t* values;
  bool* unknown;  // depends on an index
  double count;   // elements that are reduced
  const char* reason;
} matcher_t;

static bool decline(matcher_t* m, const char* reason) {
  if (!m->reason) m->reason = reason;
  return false;
}

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

// The index that a load walks a dimension with; NO_INDEX where the extent is 1.
static bool read_index(const matcher_t* m, const tvi_kir_stage_t* stage, const tvi_kir_load_t* load,
                       uint32_t d, uint8_t* out) {
  const tvi_kir_instr_t* index = &stage->instrs[load->indices[d]];
  *out = NO_INDEX;
  if (tvi_dim_equals_constant(m->program->values[load->value].dims[d], 1)) return true;
  if (index->opcode != TVI_KIR_INDEX) return false;
  *out = (uint8_t)index->imm.i64;
  return true;
}

// --- Values of bodies ---------------------------------------------------------------------------

// The body's result for given variables. False: it depends on more than those.
static bool evaluate(matcher_t* m, const tvi_kir_stage_t* stage, const double* variables,
                     double* out) {
  for (tvi_kir_ref_t r = 0; r < stage->instr_count; ++r) {
    const tvi_kir_instr_t* instr = &stage->instrs[r];
    tvi_kir_scalar_t* value = &m->values[r];
    const bool is_float = tvi_kir_type_error(TVI_KIR_EXP, instr->dtype, &instr->dtype) == NULL;
    m->unknown[r] = false;
    switch (instr->opcode) {
      case TVI_KIR_CONST:
        if (is_float) {
          value->f = instr->imm.f64;
        } else {
          value->i = instr->imm.i64;
        }
        continue;
      case TVI_KIR_EXTENT:
        m->unknown[r] = !tvi_dim_is_constant(instr->imm.dim, &value->i);
        continue;
      case TVI_KIR_INDEX:
        m->unknown[r] = true;
        continue;
      case TVI_KIR_LOAD:
        value->f = variables[m->variables[r]];
        continue;
      default:
        break;
    }
    const tvi_kir_scalar_t* operands[3] = {value, value, value};
    const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    for (uint32_t a = 0; a < count; ++a) {
      m->unknown[r] |= m->unknown[instr->args[a]];
      operands[a] = &m->values[instr->args[a]];
    }
    if (m->unknown[r]) continue;
    const uint32_t first = count ? stage->instrs[instr->args[0]].dtype : instr->dtype;
    tvi_kir_scalar_t result;
    tvi_kir_scalar_apply((tvi_kir_opcode_t)instr->opcode, instr->dtype, first, 1, operands[0],
                         operands[1], operands[2], &result);
    *value = result;
  }
  *out = m->values[stage->results[0]].f;
  return !m->unknown[stage->results[0]];
}

static bool close_to(double a, double b) {
  const double difference = fabs(a - b), size = fabs(b) > 1 ? fabs(b) : 1;
  return difference <= TOLERANCE * size;
}

typedef double (*function_t)(const matcher_t* m, const double* v);

// Whether a body is |expected| at all sample points. Scales and variances are positive there.
static bool computes(matcher_t* m, const tvi_kir_stage_t* stage, function_t expected) {
  static const double points[4][VAR_COUNT] = {{0.75, 1.5, 2.25, 1.25, -0.5, 0.375, 3.0},
                                              {-1.25, -0.5, 1.0, 0.5, 2.0, -1.5, 0.25},
                                              {2.5, 3.25, 4.5, 2.0, 0.125, 1.75, 1.5},
                                              {0.0, 0.25, 0.5, 3.0, 1.0, 0.5, 2.0}};
  for (int i = 0; i < 4; ++i) {
    double got = 0;
    if (!evaluate(m, stage, points[i], &got)) return false;
    if (!close_to(got, expected(m, points[i]))) return false;
  }
  return true;
}

static double value_of_x(const matcher_t* m, const double* v) { return (void)m, v[VAR_X]; }
static double share_of_x(const matcher_t* m, const double* v) { return v[VAR_X] / m->count; }
static double exponential(const matcher_t* m, const double* v) {
  return (void)m, exp(v[VAR_X] - v[VAR_STATISTIC]);
}
static double softmax(const matcher_t* m, const double* v) {
  return (void)m, exp(v[VAR_X] - v[VAR_STATISTIC]) / v[VAR_STATISTIC + 1];
}
static double log_softmax(const matcher_t* m, const double* v) {
  return (void)m, v[VAR_X] - v[VAR_STATISTIC] - log(v[VAR_STATISTIC + 1]);
}
// The first statistic is the mean (after share_of_x) or the sum, the second likewise.
static double square(const matcher_t* m, const double* v) {
  const double d = v[VAR_X] - v[VAR_STATISTIC];
  return (void)m, d * d;
}
static double square_of_sum(const matcher_t* m, const double* v) {
  const double d = v[VAR_X] - v[VAR_STATISTIC] / m->count;
  return d * d;
}
static double square_share(const matcher_t* m, const double* v) { return square(m, v) / m->count; }
static double square_share_of_sum(const matcher_t* m, const double* v) {
  return square_of_sum(m, v) / m->count;
}

static double own_square(const matcher_t* m, const double* v) {
  return (void)m, v[VAR_X] * v[VAR_X];
}
static double own_square_share(const matcher_t* m, const double* v) {
  return own_square(m, v) / m->count;
}

// --- Loads --------------------------------------------------------------------------------------

// Gives the loads of a body their variables. Those of x must walk its dimensions with one index
// each, which |map| learns; those of statistics the same dimensions with the index that x has.
static bool classify(matcher_t* m, uint32_t stage_index, uint8_t* map) {
  const tvi_kir_stage_t* stage = &m->program->stages[stage_index];
  bool seen = false;
  memset(map, NO_INDEX, TRIVET_MAX_RANK);
  for (int pass = 0; pass < 2; ++pass) {  // x first, which says what indices are
    for (tvi_kir_ref_t r = 0; r < stage->instr_count; ++r) {
      if (stage->instrs[r].opcode != TVI_KIR_LOAD) continue;
      const tvi_kir_load_t* load = stage->instrs[r].imm.load;
      const tvi_kir_value_t* value = &m->program->values[load->value];
      if ((load->value == m->x) != (pass == 0)) continue;
      if (load->bounds != TVI_KIR_BOUNDS_PROVEN) return decline(m, "a padded operand");
      if (value->dtype != TRIVET_DTYPE_F32) return decline(m, "types other than floats");
      uint32_t statistic = MAX_STATISTICS;
      for (uint32_t s = 0; s < m->statistics && s < stage_index; ++s) {
        if (m->program->stages[s].values[0] == load->value) statistic = s;
      }
      if (pass == 1 && !seen) return decline(m, "the operand is not read");
      for (uint32_t d = 0; d < load->index_count; ++d) {
        uint8_t index;
        if (!read_index(m, stage, load, d, &index)) {
          return decline(m, "an operand is read at other positions");
        }
        if (pass == 0) {
          if (seen && map[d] != index) return decline(m, "the operand is read at two positions");
          map[d] = index;
        } else if (statistic < MAX_STATISTICS && index != NO_INDEX) {
          // Dimension d of a statistic is index d of its stage.
          uint32_t of_x = 0;
          while (of_x < m->rank && (map[of_x] != index || m->index_of[statistic][of_x] != d))
            ++of_x;
          if (of_x == m->rank) return decline(m, "a statistic is read at other positions");
        }
      }
      if (pass == 0) {
        seen = true;
        m->variables[r] = VAR_X;
      } else if (statistic < MAX_STATISTICS) {
        m->variables[r] = (uint8_t)(VAR_STATISTIC + statistic);
      } else {
        uint32_t v = 0;
        while (v < m->vector_count && m->vectors[v] != load->value) ++v;
        if (v == MAX_VECTORS || value->kind != TVI_KIR_INPUT) {
          return decline(m, "more operands than a normalisation has");
        }
        m->vectors[v] = load->value;
        if (v == m->vector_count) ++m->vector_count;
        m->variables[r] = (uint8_t)(VAR_VECTOR + v);
      }
    }
  }
  for (uint32_t a = 0; a < m->rank; ++a) {
    for (uint32_t b = 0; b < a; ++b) {
      if (map[a] != NO_INDEX && map[a] == map[b]) return decline(m, "the operand's diagonal");
    }
  }
  return seen || decline(m, "the operand is not read");
}

// A reduction of x over the dimensions that all of them reduce.
static bool read_reduction(matcher_t* m, uint32_t s) {
  const tvi_kir_stage_t* stage = &m->program->stages[s];
  uint8_t* map = m->index_of[s];
  uint32_t mask = 0, reduced = 0;
  if (stage->kind != TVI_KIR_REDUCE || stage->result_count != 1 ||
      stage->monoid->element_count != 1) {
    return decline(m, "not reductions followed by an elementwise stage");
  }
  if (!classify(m, s, map) || m->vector_count) return decline(m, "a statistic of two operands");
  for (uint32_t d = 0; d < m->rank; ++d) {
    if (map[d] == NO_INDEX || map[d] < stage->parallel_count) continue;
    mask |= 1u << d;
    ++reduced;
  }
  for (uint32_t k = stage->parallel_count; k < stage->parallel_count + stage->reduced_count; ++k) {
    reduced += tvi_dim_equals_constant(stage->extents[k], 1) != 0;
  }
  if (!mask || reduced < stage->reduced_count || (s && mask != m->norm->reduced)) {
    return decline(m, "statistics of other dimensions");
  }
  m->norm->reduced = mask;
  return true;
}

// The elements that a statistic is taken over, as a number.
static bool count_reduced(matcher_t* m) {
  m->count = 1;
  for (uint32_t d = 0; d < m->rank; ++d) {
    int64_t extent;
    if (!(m->norm->reduced >> d & 1)) continue;
    if (!tvi_dim_is_constant(m->program->values[m->x].dims[d], &extent)) return false;
    m->count *= (double)extent;
  }
  return true;
}

// --- The elementwise stage ----------------------------------------------------------------------

// Dimensions of x that a vector walks, in order; false: not those of |mask|.
static bool vector_walks(matcher_t* m, const uint8_t* map, uint32_t value, uint32_t mask) {
  const tvi_kir_stage_t* tail = &m->program->stages[m->statistics];
  for (tvi_kir_ref_t r = 0; r < tail->instr_count; ++r) {
    if (tail->instrs[r].opcode != TVI_KIR_LOAD || tail->instrs[r].imm.load->value != value)
      continue;
    const tvi_kir_load_t* load = tail->instrs[r].imm.load;
    uint32_t next = 0;
    for (uint32_t d = 0; d < load->index_count; ++d) {
      uint8_t index;
      if (!read_index(m, tail, load, d, &index)) return false;
      if (index == NO_INDEX) continue;
      while (next < m->rank && (!(mask >> next & 1) || map[next] == NO_INDEX)) ++next;
      if (next == m->rank || map[next] != index) return false;
      ++next;
    }
    while (next < m->rank && (!(mask >> next & 1) || map[next] == NO_INDEX)) ++next;
    if (next != m->rank) return false;
  }
  return true;
}

// The constant of the body that is close to |value|, or |value| itself: a number that was solved
// for has lost some digits.
static double as_written(const tvi_kir_stage_t* stage, double value) {
  for (tvi_kir_ref_t r = 0; r < stage->instr_count; ++r) {
    const tvi_kir_instr_t* instr = &stage->instrs[r];
    if (instr->opcode != TVI_KIR_CONST || instr->dtype != TRIVET_DTYPE_F32) continue;
    if (fabs(instr->imm.f64 - value) <= 1e-4 * fabs(value)) return instr->imm.f64;
  }
  return value;
}

// Which variables play which part in (x - mean) / sqrt(variance + epsilon) * scale + shift.
typedef struct parts_s {
  uint32_t mean, variance, scale, shift;  // variables; VAR_COUNT: none
  double mean_unit, variance_unit;        // what a statistic is multiplied by
} parts_t;

static double normalised(const parts_t* p, double epsilon, const double* v) {
  double y =
      (v[VAR_X] - v[p->mean] * p->mean_unit) / sqrt(v[p->variance] * p->variance_unit + epsilon);
  if (p->scale != VAR_COUNT) y *= v[p->scale];
  return p->shift == VAR_COUNT ? y : y + v[p->shift];
}

static bool is_normalisation(matcher_t* m, const parts_t* p) {
  const tvi_kir_stage_t* tail = &m->program->stages[m->statistics];
  double v[VAR_COUNT], y = 0;
  for (uint32_t i = 0; i < VAR_COUNT; ++i) v[i] = 0;
  // Without a variance the result says what is added to it.
  v[VAR_X] = 1;
  if (p->scale != VAR_COUNT) v[p->scale] = 1;
  if (!evaluate(m, tail, v, &y) || !(y > 0) || !(y < 1e18)) return false;
  m->norm->epsilon = as_written(tail, 1 / (y * y));
  for (int i = 0; i < 8; ++i) {
    for (uint32_t k = 0; k < VAR_COUNT; ++k) v[k] = 0.3 + 0.37 * ((i * 5 + (int)k * 3) % 7);
    if (p->shift != VAR_COUNT) v[p->shift] -= 1;
    if (!evaluate(m, tail, v, &y)) return false;
    if (!close_to(y, normalised(p, m->norm->epsilon, v))) return false;
  }
  return true;
}

static uint32_t operand_of(const matcher_t* m, uint32_t variable) {
  uint32_t operand = TVI_KIR_NONE;
  if (variable != VAR_COUNT) {
    region_operand(m, m->vectors[variable - VAR_VECTOR], false, &operand);
  }
  return operand;
}

static void keep_parts(matcher_t* m, const parts_t* p) {
  m->norm->scale = operand_of(m, p->scale);
  m->norm->shift = operand_of(m, p->shift);
}

static bool read_softmax(matcher_t* m) {
  const tvi_kir_stage_t* stages = m->program->stages;
  uint8_t map[TRIVET_MAX_RANK];
  m->norm->kind = TVI_NORM_SOFTMAX;
  if (!classify(m, 0, map) || !computes(m, &stages[0], value_of_x)) return false;
  if (stages[1].monoid->kind != TVI_KIR_SUM || !classify(m, 1, map) ||
      !computes(m, &stages[1], exponential)) {
    return decline(m, "a maximum, but no softmax");
  }
  if (!classify(m, 2, map)) return false;
  if (m->vector_count) return decline(m, "a softmax of more than one operand");
  if (computes(m, &stages[2], softmax)) return true;
  m->norm->kind = TVI_NORM_LOG_SOFTMAX;
  return computes(m, &stages[2], log_softmax) || decline(m, "a maximum, but no softmax");
}

// What is made of the statistics: each of up to two vectors may be the scale.
static bool read_tail(matcher_t* m, parts_t* p) {
  uint8_t map[TRIVET_MAX_RANK];
  uint32_t mask = m->norm->reduced, axis = 0;
  if (!classify(m, m->statistics, map)) return false;
  if (m->vector_count > 2) return decline(m, "more operands than a layer normalisation has");
  if (m->norm->kind == TVI_NORM_LAYER && m->vector_count &&
      !vector_walks(m, map, m->vectors[0], mask)) {
    while (axis < m->rank && (mask >> axis & 1 || !vector_walks(m, map, m->vectors[0], 1u << axis)))
      ++axis;
    if (axis < m->rank) {
      m->norm->kind = TVI_NORM_INSTANCE;
      m->norm->axis = axis;
      mask = 1u << axis;
    }
  }
  for (uint32_t v = 0; v < m->vector_count; ++v) {
    if (!vector_walks(m, map, m->vectors[v], mask)) {
      return decline(m, "a scale of other dimensions than are reduced");
    }
  }
  for (uint32_t scale = 0; scale <= m->vector_count; ++scale) {
    if (m->vector_count == 2 && scale == 2) break;
    p->scale = scale < m->vector_count ? VAR_VECTOR + scale : VAR_COUNT;
    p->shift = VAR_COUNT;
    for (uint32_t v = 0; v < m->vector_count; ++v) {
      if (v != scale) p->shift = VAR_VECTOR + v;
    }
    if (!is_normalisation(m, p)) continue;
    keep_parts(m, p);
    return true;
  }
  return decline(m, "statistics, but no layer normalisation");
}

static bool read_layer(matcher_t* m) {
  const tvi_kir_stage_t* stages = m->program->stages;
  uint8_t map[TRIVET_MAX_RANK];
  parts_t p = {VAR_STATISTIC, VAR_STATISTIC + 1, VAR_COUNT, VAR_COUNT, 1, 1};
  m->norm->kind = TVI_NORM_LAYER;
  if (!count_reduced(m)) return decline(m, "what is averaged depends on shapes");
  if (!classify(m, 0, map)) return false;
  bool shared = computes(m, &stages[0], share_of_x);
  if (!shared && !computes(m, &stages[0], value_of_x)) return decline(m, "no mean");
  if (!shared) p.mean_unit = 1 / m->count;
  if (stages[1].monoid->kind != TVI_KIR_SUM || !classify(m, 1, map)) {
    return decline(m, "no variance");
  }
  if (!computes(m, &stages[1], shared ? square_share : square_share_of_sum)) {
    if (!computes(m, &stages[1], shared ? square : square_of_sum)) return decline(m, "no variance");
    p.variance_unit = 1 / m->count;
  }
  return read_tail(m, &p);
}

static bool read_rms(matcher_t* m) {
  const tvi_kir_stage_t* stages = m->program->stages;
  uint8_t map[TRIVET_MAX_RANK];
  parts_t p = {VAR_STATISTIC, VAR_STATISTIC, VAR_COUNT, VAR_COUNT, 0, 1};
  m->norm->kind = TVI_NORM_RMS;
  if (!count_reduced(m)) return decline(m, "what is averaged depends on shapes");
  if (stages[0].monoid->kind != TVI_KIR_SUM || !classify(m, 0, map)) {
    return decline(m, "no mean of squares");
  }
  if (!computes(m, &stages[0], own_square_share)) {
    if (!computes(m, &stages[0], own_square)) return decline(m, "no mean of squares");
    p.variance_unit = 1 / m->count;
  }
  return read_tail(m, &p);
}

static bool read_batch(matcher_t* m) {
  uint8_t map[TRIVET_MAX_RANK];
  m->norm->kind = TVI_NORM_BATCH;
  if (!classify(m, 0, map)) return false;
  if (m->vector_count != MAX_VECTORS) return decline(m, "neither statistics nor stored ones");
  uint32_t axis = 0;
  while (axis < m->rank && !vector_walks(m, map, m->vectors[0], 1u << axis)) ++axis;
  if (axis == m->rank || map[axis] == NO_INDEX) return decline(m, "no vector per channel");
  for (uint32_t v = 1; v < MAX_VECTORS; ++v) {
    if (!vector_walks(m, map, m->vectors[v], 1u << axis)) return decline(m, "other channels");
  }
  m->norm->axis = axis;
  for (uint32_t order = 0; order < 256; ++order) {
    const uint32_t a = order & 3, b = order >> 2 & 3, c = order >> 4 & 3, d = order >> 6;
    if ((1u << a | 1u << b | 1u << c | 1u << d) != 15) continue;
    parts_t p = {VAR_VECTOR + a, VAR_VECTOR + b, VAR_VECTOR + c, VAR_VECTOR + d, 1, 1};
    if (!is_normalisation(m, &p)) continue;
    keep_parts(m, &p);
    m->norm->mean = operand_of(m, p.mean);
    m->norm->variance = operand_of(m, p.variance);
    return true;
  }
  return decline(m, "stored statistics, but no batch normalisation");
}

// The operand that statistics are taken of; without any, the one that has the result's rank.
static bool find_x(matcher_t* m) {
  const tvi_kir_program_t* program = m->program;
  const tvi_kir_stage_t* tail = &program->stages[program->stage_count - 1];
  if (tail->kind != TVI_KIR_MAP) return decline(m, "no elementwise stage behind the statistics");
  const uint32_t result = tail->values[0];
  m->x = TVI_KIR_NONE;
  m->rank = program->values[result].rank;
  for (tvi_kir_ref_t r = 0; r < program->stages[0].instr_count; ++r) {
    const tvi_kir_instr_t* instr = &program->stages[0].instrs[r];
    if (instr->opcode != TVI_KIR_LOAD) continue;
    const tvi_kir_value_t* value = &program->values[instr->imm.load->value];
    if (value->kind != TVI_KIR_INPUT || value->rank != m->rank || !m->rank) continue;
    bool same = true;
    for (uint32_t d = 0; d < m->rank; ++d) {
      same = same && value->dims[d] == program->values[result].dims[d];
    }
    if (same) m->x = instr->imm.load->value;
  }
  if (program->values[result].dtype != TRIVET_DTYPE_F32 || m->x == TVI_KIR_NONE) {
    return decline(m, "no operand that is normalised");
  }
  return (region_operand(m, m->x, false, &m->norm->x) &&
          region_operand(m, result, true, &m->norm->result)) ||
         decline(m, "what is normalised is computed inside the region");
}

// The result's positions are those of x.
static bool is_in_order(matcher_t* m) {
  uint8_t map[TRIVET_MAX_RANK];
  if (!classify(m, m->statistics, map)) return false;
  for (uint32_t d = 0; d < m->rank; ++d) {
    if (map[d] != NO_INDEX && map[d] != d) return decline(m, "the operand is transposed");
  }
  return true;
}

static bool match(matcher_t* m) {
  const tvi_kir_program_t* program = m->program;
  m->statistics = program->stage_count - 1;
  if (m->statistics > MAX_STATISTICS) {
    return decline(m, "more than two statistics and what is made of them");
  }
  if (!find_x(m)) return false;
  for (uint32_t s = 0; s < m->statistics; ++s) {
    if (!read_reduction(m, s)) return false;
  }
  if (!is_in_order(m)) return false;
  m->vector_count = 0;
  if (m->statistics == 0) return read_batch(m);
  if (m->statistics == 1) return read_rms(m);
  if (program->stages[0].monoid->kind == TVI_KIR_REDUCE_MAX) return read_softmax(m);
  return program->stages[0].monoid->kind == TVI_KIR_SUM ? read_layer(m)
                                                        : decline(m, "neither maximum nor mean");
}

// What a function is, is seen better where nothing is rounded to 16 bits.
static void widen(uint32_t* dtype, bool* is_f32) {
  if (*dtype != TRIVET_DTYPE_F16 && *dtype != TRIVET_DTYPE_BF16) return;
  *dtype = TRIVET_DTYPE_F32;
  *is_f32 = false;
}

static trivet_status_t prepare(matcher_t* m, tvi_arena_t* arena) {
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(m->region->program, arena, &m->program));
  m->norm->is_f32 = true;
  for (uint32_t v = 0; v < m->program->value_count; ++v)
    widen(&m->program->values[v].dtype, &m->norm->is_f32);
  for (uint32_t s = 0; s < m->program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &m->program->stages[s];
    for (tvi_kir_ref_t r = 0; r < stage->instr_count; ++r)
      widen(&stage->instrs[r].dtype, &m->norm->is_f32);
  }
  TRIVET_RETURN_IF_ERROR(tvi_match_inline_temporaries(m->program));
  uint32_t most = 0;
  for (uint32_t s = 0; s < m->program->stage_count; ++s) {
    if (m->program->stages[s].instr_count > most) most = m->program->stages[s].instr_count;
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, most + 1, sizeof(*m->variables), &m->variables));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, most + 1, sizeof(*m->values), &m->values));
  return tvi_arena_alloc_array_zeroed(arena, most + 1, sizeof(*m->unknown), &m->unknown);
}

trivet_status_t tvi_norm_match(const trivet_region_t* region, tvi_arena_t* arena, tvi_norm_t* out,
                               const char** out_reason) {
  tvi_norm_t norm;
  memset(&norm, 0, sizeof(norm));
  norm.x = norm.scale = norm.shift = norm.mean = norm.variance = TVI_KIR_NONE;
  matcher_t m = {.region = region, .norm = &norm};
  *out_reason = NULL;
  if (!region->program || region->output_count != 1) {
    *out_reason = "not one result";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(prepare(&m, arena));
  if (m.program->stage_count && match(&m)) {
    *out = norm;
  } else {
    *out_reason = m.reason ? m.reason : "no normalisation";
  }
  return TRIVET_OK;
}
