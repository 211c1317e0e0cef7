// SPDX-License-Identifier: Apache-2.0
//
// Which type each layer is to be computed on: a network's own choice, and rules by the names that
// nodes have in the model. Passes that change types ask; they decide nothing.
#ifndef TRIVET_CORE_PASS_PRECISION_H_
#define TRIVET_CORE_PASS_PRECISION_H_

#include <stdbool.h>

#include "core/graph/graph.h"
#include "trivet/trivet.h"

#ifdef __cplusplus
extern "C" {
#endif

// "/encoder/*" or, by what the model calls the operator, "op:ai.onnx.Softmax"; '*' stands for any
// text. The type is TRIVET_DTYPE_F32, _F16 or _BF16, or TRIVET_PRECISION_TF32.
typedef struct tvi_precision_rule_s {
  const char* pattern;
  uint32_t dtype;
} tvi_precision_rule_t;

typedef struct tvi_precision_policy_s {
  uint32_t dtype;  // of what no rule names; 0: passes decide
  uint32_t rule_count;
  const tvi_precision_rule_t* rules;  // the last that fits a node of the model holds for it
  bool obey;                          // a rule that cannot be kept is an error, not a warning
} tvi_precision_policy_t;

// What |node| is to be computed on; 0: no rule and no choice. A node that several of the model
// became part of takes the widest of their types. |out_is_rule|: a rule says so.
uint32_t tvi_precision_of_node(const tvi_precision_policy_t* policy, const trivet_graph_t* graph,
                               tvi_node_id_t node, bool* out_is_rule);

// Whether products among |nodes|, which one step computes, may round f32 factors: a rule or the
// policy wants some of them on TF32, and no rule one of them on anything else. |policy| NULL: no.
bool tvi_precision_allows_tf32(const tvi_precision_policy_t* policy, const trivet_graph_t* graph,
                               const tvi_node_id_t* nodes, uint32_t node_count);

// "f16", "tf32".
const char* tvi_precision_name(uint32_t dtype);

// Before passes: every rule fits some node (else NOT_FOUND), and none wants a node on another type
// that the network itself computes on f16 or bf16: with |obey| an error, otherwise |logger| is
// told.
trivet_status_t tvi_precision_check(const tvi_precision_policy_t* policy,
                                    const trivet_graph_t* graph, trivet_logger_t logger);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_PASS_PRECISION_H_
