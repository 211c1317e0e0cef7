// SPDX-License-Identifier: Apache-2.0
//
// Rewrites as data: what the text of a TRIVET_REWRITE says (trivet/plugin.h), parsed. Stands
// between the text and the matcher (rewrite_match.c). It knows no graph and no registry: operators
// are names.
//
//   match { %c = const 0.5
//           %s = std.Sigmoid(%x)
//           %y = std.Mul(%x, %s) { axis = $a, mode = "fast" } }
//   where one_use(%s), dtype(%x) == f32, rank(%x) >= 2, $a != 0, not scalar(%x)
//   to { %k = const 2.0 dtype(%x)
//        %y = acme.Swish(%x) { axis = $a } }
//
// The last node of the match is the anchor: the others are reached from it through operands, and
// its results are what the right side defines again.
#ifndef TRIVET_CORE_PASS_REWRITE_TEXT_H_
#define TRIVET_CORE_PASS_REWRITE_TEXT_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "trivet/plugin.h"

#define TVI_REWRITE_MAX_LABELS 64u
#define TVI_REWRITE_MAX_NODES 32u
#define TVI_REWRITE_MAX_VARIABLES 16u
#define TVI_REWRITE_NONE UINT32_MAX

typedef enum tvi_literal_kind_e {
  TVI_LITERAL_INT = 0,
  TVI_LITERAL_FLOAT = 1,
  TVI_LITERAL_STRING = 2,
  TVI_LITERAL_WORD = 3,  // an element type
  TVI_LITERAL_LIST = 4,
  TVI_LITERAL_VARIABLE = 5,  // $a
} tvi_literal_kind_t;

typedef struct tvi_literal_s {
  tvi_literal_kind_t kind;
  uint32_t variable;
  int64_t i64;
  double f64;  // also of an INT
  trivet_string_view_t text;
  const struct tvi_literal_s* elements;
  uint32_t element_count;
} tvi_literal_t;

typedef struct tvi_rewrite_attribute_s {
  const char* name;
  tvi_literal_t value;
} tvi_rewrite_attribute_t;

typedef enum tvi_rewrite_node_kind_e {
  TVI_REWRITE_NODE = 0,
  TVI_REWRITE_CONSTANT = 1,  // match: any, or all elements equal to `number`; to: a scalar
  TVI_REWRITE_ALIAS = 2,     // to: %y = %x
} tvi_rewrite_node_kind_t;

// One line of either side. Labels are numbers; TVI_REWRITE_NONE stands for "_".
typedef struct tvi_rewrite_node_s {
  tvi_rewrite_node_kind_t kind;
  const char* op;
  uint32_t input_count;
  const uint32_t* inputs;
  uint32_t output_count;
  const uint32_t* outputs;
  uint32_t attribute_count;
  const tvi_rewrite_attribute_t* attributes;
  bool has_number;
  double number;
  uint32_t dtype_of;  // to: the label whose element type a constant takes
} tvi_rewrite_node_t;

typedef enum tvi_condition_kind_e {
  TVI_CONDITION_ONE_USE = 0,
  TVI_CONDITION_DTYPE,
  TVI_CONDITION_RANK,
  TVI_CONDITION_LAST_AXIS,
  TVI_CONDITION_SAME_SHAPE,
  TVI_CONDITION_SAME_DTYPE,
  TVI_CONDITION_SCALAR,
  TVI_CONDITION_CONST_SHAPE,
  TVI_CONDITION_VARIABLE,
} tvi_condition_kind_t;

typedef enum tvi_comparison_e {
  TVI_COMPARE_EQ = 0,
  TVI_COMPARE_NE,
  TVI_COMPARE_LT,
  TVI_COMPARE_LE,
  TVI_COMPARE_GT,
  TVI_COMPARE_GE,
} tvi_comparison_t;

typedef struct tvi_condition_s {
  tvi_condition_kind_t kind;
  bool negated;
  tvi_comparison_t comparison;
  uint32_t a, b;      // labels
  uint32_t variable;  // LAST_AXIS, VARIABLE
  tvi_literal_t value;
  trivet_string_view_t text;  // as written, for reports
} tvi_condition_t;

typedef struct tvi_rewrite_pattern_s {
  uint32_t label_count;
  const trivet_string_view_t* labels;
  uint32_t variable_count;
  const trivet_string_view_t* variables;
  uint32_t match_count;  // the last one is the anchor
  const tvi_rewrite_node_t* match;
  uint32_t condition_count;
  const tvi_condition_t* conditions;
  uint32_t result_count;
  const tvi_rewrite_node_t* results;
} tvi_rewrite_pattern_t;

// Everything lies in `arena`. Errors are INVALID_ARGUMENT and begin "line 1, column 8: ".
trivet_status_t tvi_rewrite_parse(trivet_string_view_t text, tvi_arena_t* arena,
                                  tvi_rewrite_pattern_t* out_pattern);

#endif  // TRIVET_CORE_PASS_REWRITE_TEXT_H_
