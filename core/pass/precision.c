// SPDX-License-Identifier: Apache-2.0
//
// Rules of precision: patterns against the names that the model gave, and what follows for a node
// that came of several.
#include "core/pass/precision.h"

#include "core/base/dtype.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_report.h"

// '*' stands for any text. Goes back to the last star only: linear in practice, quadratic at worst.
static bool fits_text(trivet_string_view_t pattern, trivet_string_view_t text) {
  size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
  while (t < text.size) {
    if (p < pattern.size && pattern.data[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
      ++p;
      ++t;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size && pattern.data[p] == '*') ++p;
  return p == pattern.size;
}

static bool fits(const char* pattern, const trivet_origin_t* origin) {
  trivet_string_view_t view = tvi_sv(pattern);
  if (tvi_sv_starts_with(view, tvi_sv("op:"))) {
    return fits_text(tvi_sv_make(view.data + 3, view.size - 3), origin->op);
  }
  return fits_text(view, origin->node);
}

static uint32_t rule_of_origin(const tvi_precision_policy_t* policy,
                               const trivet_origin_t* origin) {
  for (uint32_t i = policy->rule_count; i-- != 0;) {
    if (fits(policy->rules[i].pattern, origin)) return policy->rules[i].dtype;
  }
  return 0;
}

uint32_t tvi_precision_of_node(const tvi_precision_policy_t* policy, const trivet_graph_t* graph,
                               tvi_node_id_t node, bool* out_is_rule) {
  uint32_t dtype = 0;
  const tvi_node_t* n = tvi_graph_node(graph, node);
  for (uint32_t i = 0; i < n->origin_count && policy->rule_count != 0; ++i) {
    const trivet_origin_t* origin = tvi_graph_origin(graph, n->origins[i]);
    uint32_t found = origin ? rule_of_origin(policy, origin) : 0;
    if (found == 0) continue;
    // f16 and bf16 in one node: neither holds the other's numbers.
    dtype = dtype == 0 || dtype == found ? found : TRIVET_DTYPE_F32;
  }
  *out_is_rule = dtype != 0;
  return dtype != 0 ? dtype : policy->dtype;
}

bool tvi_precision_allows_tf32(const tvi_precision_policy_t* policy, const trivet_graph_t* graph,
                               const tvi_node_id_t* nodes, uint32_t node_count) {
  bool allowed = false;
  for (uint32_t i = 0; policy != NULL && i < node_count; ++i) {
    bool is_rule;
    bool wanted = tvi_precision_of_node(policy, graph, nodes[i], &is_rule) == TRIVET_PRECISION_TF32;
    if (is_rule && !wanted) return false;
    allowed = allowed || wanted;
  }
  return allowed;
}

const char* tvi_precision_name(uint32_t dtype) {
  return dtype == TRIVET_PRECISION_TF32 ? "tf32" : tvi_dtype_name((trivet_dtype_t)dtype);
}

static bool is_narrow(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16;
}

static trivet_status_t check_node(const tvi_precision_policy_t* policy, const trivet_graph_t* graph,
                                  tvi_node_id_t id, trivet_logger_t logger) {
  bool is_rule;
  uint32_t wanted = tvi_precision_of_node(policy, graph, id, &is_rule);
  const tvi_node_t* node = tvi_graph_node(graph, id);
  for (uint32_t i = 0; i < node->output_count && is_rule; ++i) {
    if (node->outputs[i] == 0) continue;
    uint32_t dtype = tvi_graph_value(graph, node->outputs[i])->type.dtype;
    if (!is_narrow(dtype) || dtype == wanted) continue;
    char label[256];
    tvi_graph_node_label(graph, id, label, sizeof(label));
    if (policy->obey) {
      return TRIVET_STATUS(FAILED_PRECONDITION,
                           "%s: a rule wants it on %s, the network itself computes it on %s", label,
                           tvi_precision_name(wanted), tvi_dtype_name(dtype));
    }
    tvi_log(logger, TRIVET_SEVERITY_WARNING,
            "%s: a rule wants it on %s, the network itself computes it on %s", label,
            tvi_precision_name(wanted), tvi_dtype_name(dtype));
    break;
  }
  return TRIVET_OK;
}

static trivet_status_t check_graph(const tvi_precision_policy_t* policy,
                                   const trivet_graph_t* graph, trivet_logger_t logger) {
  for (tvi_node_id_t id = graph->first; id != 0; id = graph->nodes[id]->next) {
    TRIVET_RETURN_IF_ERROR(check_node(policy, graph, id, logger));
    for (uint32_t i = 0; i < graph->nodes[id]->subgraph_count; ++i) {
      TRIVET_RETURN_IF_ERROR(check_graph(policy, graph->nodes[id]->subgraphs[i], logger));
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_precision_check(const tvi_precision_policy_t* policy,
                                    const trivet_graph_t* graph, trivet_logger_t logger) {
  for (uint32_t r = 0; r < policy->rule_count; ++r) {
    bool found = false;
    for (uint32_t i = 0; i < graph->root->origin_count && !found; ++i) {
      found = fits(policy->rules[r].pattern, &graph->root->origins[i]);
    }
    if (!found) {
      return TRIVET_STATUS(NOT_FOUND, "precision rule \"%s\" fits no node of the network",
                           policy->rules[r].pattern);
    }
  }
  return policy->rule_count != 0 ? check_graph(policy, graph, logger) : TRIVET_OK;
}
