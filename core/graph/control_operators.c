// SPDX-License-Identifier: Apache-2.0
//
// The operators that the core knows by itself: If, Loop, Scan and Call (ONNX semantics). Their
// rules cannot be said as text, since outputs have the types of their subgraphs' outputs. No other
// operator may be named here.
#include <string.h>

#include "core/base/dtype.h"
#include "core/graph/graph_internal.h"

// The most rounds whose results are stacked, where no number or extent of an input bounds them.
#define MAX_UNKNOWN_TRIPS 4096

#define CORE_OPERATOR(variable, name, summary)                  \
  static const trivet_operator_t variable = {                   \
      TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR), \
      (name),                                                   \
      0,                                                        \
      (summary),                                                \
      1,                                                        \
      0,                                                        \
      0,                                                        \
      0,                                                        \
      0,                                                        \
      0}

CORE_OPERATOR(core_if, "core.If", "runs one of two subgraphs");
CORE_OPERATOR(core_loop, "core.Loop", "runs a subgraph while a condition holds, at most M times");
CORE_OPERATOR(core_scan, "core.Scan", "runs a subgraph over slices of its inputs");
CORE_OPERATOR(core_call, "core.Call", "runs a subgraph once");

const trivet_plugin_t* tvi_graph_core_operators(uint32_t host_major, uint32_t host_minor) {
  static const void* const definitions[] = {&core_if, &core_loop, &core_scan, &core_call};
  static const trivet_plugin_t plugin = {
      TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
      TRIVET_ABI_MAJOR,
      TRIVET_ABI_MINOR,
      TRIVET_SANITIZER,
      TRIVET_HALF_BUILD,
      "core",
      "1",
      "control flow",
      definitions,
      sizeof(definitions) / sizeof(definitions[0]),
  };
  (void)host_minor;
  return host_major == TRIVET_ABI_MAJOR ? &plugin : NULL;
}

typedef struct core_attribute_s {
  const char* op;
  const char* name;
  uint32_t kind;
  uint32_t flags;
  bool required;
} core_attribute_t;

static const core_attribute_t core_attributes[] = {
    {"core.If", "then_branch", TRIVET_ATTR_GRAPH, 0, true},
    {"core.If", "else_branch", TRIVET_ATTR_GRAPH, 0, true},
    {"core.Loop", "body", TRIVET_ATTR_GRAPH, 0, true},
    {"core.Call", "body", TRIVET_ATTR_GRAPH, 0, true},
    {"core.Scan", "body", TRIVET_ATTR_GRAPH, 0, true},
    {"core.Scan", "num_scan_inputs", TRIVET_ATTR_I64, 0, true},
    {"core.Scan", "scan_input_axes", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, false},
    {"core.Scan", "scan_input_directions", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, false},
    {"core.Scan", "scan_output_axes", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, false},
    {"core.Scan", "scan_output_directions", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, false},
};
#define CORE_ATTRIBUTE_COUNT (sizeof(core_attributes) / sizeof(core_attributes[0]))

bool tvi_core_operator_attribute(const char* op, const char* name, uint32_t* out_kind,
                                 uint32_t* out_flags) {
  for (size_t i = 0; i < CORE_ATTRIBUTE_COUNT; ++i) {
    const core_attribute_t* each = &core_attributes[i];
    if (strcmp(each->op, op) == 0 && strcmp(each->name, name) == 0) {
      *out_kind = each->kind;
      *out_flags = each->flags;
      return true;
    }
  }
  return false;
}

static trivet_status_t check_attributes(const tvi_node_t* node) {
  const char* op = node->op->definition->name;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const trivet_attribute_t* attribute = &node->attributes[i];
    uint32_t kind, flags;
    if (!tvi_core_operator_attribute(op, attribute->name, &kind, &flags)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "there is no attribute '%s'", attribute->name);
    }
    if (attribute->kind != kind || attribute->flags != flags) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' is of another kind", attribute->name);
    }
  }
  for (size_t i = 0; i < CORE_ATTRIBUTE_COUNT; ++i) {
    const core_attribute_t* each = &core_attributes[i];
    if (each->required && strcmp(each->op, op) == 0 &&
        tvi_node_own_attribute(node, each->name) == NULL) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' is missing", each->name);
    }
  }
  return TRIVET_OK;
}

trivet_graph_t* tvi_node_subgraph(const tvi_node_t* node, const char* attribute) {
  const trivet_attribute_t* found = tvi_node_own_attribute(node, attribute);
  return found != NULL ? node->subgraphs[*(const uint32_t*)found->data] : NULL;
}

bool tvi_scan_axis(const tvi_node_t* node, const char* attribute, uint32_t index, uint32_t rank,
                   uint32_t* out_axis) {
  uint64_t count;
  const int64_t* axes = tvi_node_attr_i64s(node, attribute, &count);
  int64_t axis = index < count ? axes[index] : 0;
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= (int64_t)rank) return false;
  *out_axis = (uint32_t)axis;
  return true;
}

static const trivet_type_t* output_type(const trivet_graph_t* graph, uint32_t index) {
  return &graph->values[graph->outputs[index].value]->type;
}

static const trivet_type_t* input_type(const trivet_graph_t* graph, const tvi_node_t* node,
                                       uint32_t index) {
  if (index >= node->input_count || node->inputs[index] == 0) return NULL;
  return &graph->values[node->inputs[index]]->type;
}

static void set_type(tvi_inferred_t* inferred, const trivet_type_t* type) {
  inferred->type = *type;
  inferred->is_set = true;
}

static trivet_status_t check_counts(const tvi_node_t* node, uint32_t outputs, const char* what,
                                    uint32_t found, uint32_t wanted) {
  if (found != wanted) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "its subgraph has %u %s, wanted %u", found, what,
                         wanted);
  }
  if (node->output_count != outputs) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u outputs are asked for, its subgraph gives %u",
                         node->output_count, outputs);
  }
  return TRIVET_OK;
}

// `inner` is how the subgraph declares what it is given as `outer`.
static trivet_status_t check_argument(trivet_graph_t* graph, const tvi_node_t* node,
                                      const char* what, uint32_t index, const trivet_type_t* outer,
                                      const trivet_type_t* inner) {
  if (outer == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "%s %u is absent", what, index);
  if (outer->dtype != inner->dtype || outer->rank != inner->rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "%s %u is of type %s and rank %u, its subgraph takes %s and rank %u", what,
                         index, trivet_dtype_name(outer->dtype), outer->rank,
                         trivet_dtype_name(inner->dtype), inner->rank);
  }
  tvi_origin_id_t origin = node->origin_count != 0 ? node->origins[0] : 0;
  for (uint32_t i = 0; i < outer->rank; ++i) {
    uint32_t before = graph->root->assumption_count;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_graph_assume(graph, outer->dims[i], inner->dims[i], origin), "%s %u, dimension %u",
        what, index, i);
    if (graph->root->assumption_count != before) graph->root->assumptions[before].by_rewrite = 0;
  }
  return TRIVET_OK;
}

// A scalar or one-element bool (or integer) whose contents are known.
static bool known_scalar(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t input,
                         trivet_dim_t* out_value) {
  uint64_t count;
  if (input_type(graph, node, input) == NULL) return false;
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, node->inputs[input], &count);
  if (ints == NULL || count != 1) return false;
  *out_value = ints[0];
  return true;
}

static trivet_status_t infer_if(trivet_graph_t* graph, tvi_node_t* node, tvi_inferred_t* inferred) {
  const trivet_type_t* condition = input_type(graph, node, 0);
  if (condition == NULL || node->input_count != 1 || condition->dtype != TRIVET_DTYPE_BOOL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "wanted one input, a bool");
  }
  const trivet_graph_t* branches[2] = {tvi_node_subgraph(node, "then_branch"),
                                       tvi_node_subgraph(node, "else_branch")};
  for (int i = 0; i < 2; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        check_counts(node, branches[i]->output_count, "inputs", branches[i]->input_count, 0), "%s",
        i == 0 ? "then_branch" : "else_branch");
  }
  trivet_dim_t value;
  int64_t taken;
  if (known_scalar(graph, node, 0, &value) && tvi_dim_is_constant(value, &taken)) {
    const trivet_graph_t* branch = branches[taken != 0 ? 0 : 1];
    for (uint32_t i = 0; i < node->output_count; ++i) {
      const tvi_value_t* result = branch->values[branch->outputs[i].value];
      set_type(&inferred[i], &result->type);
      inferred[i].ints = result->ints;
      inferred[i].partial_ints = result->partial_ints;
      inferred[i].int_count = result->int_count;
    }
    return TRIVET_OK;
  }
  uint32_t symbols = 0;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    const trivet_type_t* a = output_type(branches[0], i);
    const trivet_type_t* b = output_type(branches[1], i);
    if (a->dtype != b->dtype) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "output %u is of type %s in one branch, %s in the other", i,
                           trivet_dtype_name(a->dtype), trivet_dtype_name(b->dtype));
    }
    if (a->rank != b->rank) {
      return TRIVET_STATUS(UNIMPLEMENTED,
                           "output %u has rank %u in one branch and rank %u in the other, and the "
                           "condition is not known at build time",
                           i, a->rank, b->rank);
    }
    trivet_type_t type = *a;
    for (uint32_t d = 0; d < type.rank; ++d) {
      if (a->dims[d] == b->dims[d]) continue;
      trivet_dim_t upper = tvi_dim_binary(graph->dims, TRIVET_DIM_MAX, a->dims[d], b->dims[d]);
      type.dims[d] = tvi_node_data_symbol(graph, node, symbols++, "if", upper);
      if (type.dims[d] == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
    }
    set_type(&inferred[i], &type);
  }
  return TRIVET_OK;
}

// The number of iterations where it is known before the loop runs; else a new symbol.
static trivet_dim_t trip_count(trivet_graph_t* graph, tvi_node_t* node,
                               const trivet_graph_t* body) {
  tvi_value_id_t next = body->outputs[0].value;
  const tvi_value_t* condition = body->values[next];
  double constant;
  bool keeps_going = next == body->inputs[1].value ||
                     (tvi_value_scalar_constant(condition, &constant) && constant != 0);
  trivet_dim_t initial;
  int64_t value;
  bool starts =
      input_type(graph, node, 1) == NULL || (known_scalar(graph, node, 1, &initial) &&
                                             tvi_dim_is_constant(initial, &value) && value != 0);
  trivet_dim_t limit = NULL;
  if (known_scalar(graph, node, 0, &limit)) {
    limit = tvi_dim_binary(graph->dims, TRIVET_DIM_MAX, limit, tvi_dim_constant(graph->dims, 0));
    if (keeps_going && starts) return limit;
  }
  // Memory for what is stacked has to have a bound.
  int64_t least = 0, most = INT64_MAX;
  if (limit != NULL) tvi_dim_range(graph->dims, limit, &least, &most);
  if (most > MAX_UNKNOWN_TRIPS) limit = tvi_dim_constant(graph->dims, MAX_UNKNOWN_TRIPS);
  return tvi_node_data_symbol(graph, node, 0, "loop", limit);
}

static trivet_status_t infer_loop(trivet_graph_t* graph, tvi_node_t* node,
                                  tvi_inferred_t* inferred) {
  const trivet_graph_t* body = tvi_node_subgraph(node, "body");
  uint32_t carried = node->input_count > 2 ? node->input_count - 2 : 0;
  const trivet_type_t* limit = input_type(graph, node, 0);
  const trivet_type_t* condition = input_type(graph, node, 1);
  if ((limit != NULL && limit->dtype != TRIVET_DTYPE_I64) ||
      (condition != NULL && condition->dtype != TRIVET_DTYPE_BOOL)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "wanted an i64 trip count and a bool condition");
  }
  if (body->output_count < 1 + carried) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "its body has %u outputs, wanted at least %u",
                         body->output_count, 1 + carried);
  }
  TRIVET_RETURN_IF_ERROR(
      check_counts(node, body->output_count - 1, "inputs", body->input_count, 2 + carried));
  const trivet_type_t* counter = &body->values[body->inputs[0].value]->type;
  const trivet_type_t* holds = &body->values[body->inputs[1].value]->type;
  if (counter->dtype != TRIVET_DTYPE_I64 || holds->dtype != TRIVET_DTYPE_BOOL ||
      output_type(body, 0)->dtype != TRIVET_DTYPE_BOOL) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "its body must take an i64 and a bool first and give a bool first");
  }
  for (uint32_t i = 0; i < carried; ++i) {
    const trivet_type_t* inner = &body->values[body->inputs[2 + i].value]->type;
    TRIVET_RETURN_IF_ERROR(
        check_argument(graph, node, "carried value", i, input_type(graph, node, 2 + i), inner));
    if (!tvi_type_equal(inner, output_type(body, 1 + i))) {
      return TRIVET_STATUS(UNIMPLEMENTED, "carried value %u changes its type or shape in the body",
                           i);
    }
    set_type(&inferred[i], inner);
  }
  if (node->output_count == carried) return TRIVET_OK;
  trivet_dim_t trips = trip_count(graph, node, body);
  if (trips == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  for (uint32_t i = carried; i < node->output_count; ++i) {
    const trivet_type_t* each = output_type(body, 1 + i);
    if (each->rank == TRIVET_MAX_RANK) {
      return TRIVET_STATUS(OUT_OF_RANGE, "output %u has a rank beyond %u", i, TRIVET_MAX_RANK);
    }
    trivet_type_t type = {.dtype = each->dtype, .rank = each->rank + 1};
    type.dims[0] = trips;
    memcpy(type.dims + 1, each->dims, each->rank * sizeof(each->dims[0]));
    set_type(&inferred[i], &type);
  }
  return TRIVET_OK;
}

static trivet_status_t infer_scan(trivet_graph_t* graph, tvi_node_t* node,
                                  tvi_inferred_t* inferred) {
  const trivet_graph_t* body = tvi_node_subgraph(node, "body");
  int64_t scanned = tvi_node_attr_i64(node, "num_scan_inputs", 0);
  if (scanned < 1 || scanned > node->input_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "num_scan_inputs is %lld, there are %u inputs",
                         (long long)scanned, node->input_count);
  }
  uint32_t states = node->input_count - (uint32_t)scanned;
  if (body->output_count < states) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "its body has %u outputs, wanted at least %u",
                         body->output_count, states);
  }
  TRIVET_RETURN_IF_ERROR(
      check_counts(node, body->output_count, "inputs", body->input_count, node->input_count));
  for (uint32_t i = 0; i < states; ++i) {
    const trivet_type_t* inner = &body->values[body->inputs[i].value]->type;
    TRIVET_RETURN_IF_ERROR(
        check_argument(graph, node, "state", i, input_type(graph, node, i), inner));
    if (!tvi_type_equal(inner, output_type(body, i))) {
      return TRIVET_STATUS(UNIMPLEMENTED, "state %u changes its type or shape in the body", i);
    }
    set_type(&inferred[i], inner);
  }
  trivet_dim_t length = NULL;
  tvi_origin_id_t origin = node->origin_count != 0 ? node->origins[0] : 0;
  for (uint32_t i = 0; i < (uint32_t)scanned; ++i) {
    const trivet_type_t* outer = input_type(graph, node, states + i);
    uint32_t axis;
    if (outer == NULL || !tvi_scan_axis(node, "scan_input_axes", i, outer->rank, &axis)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "scan input %u is absent or has no such axis", i);
    }
    trivet_type_t slice = {.dtype = outer->dtype, .rank = outer->rank - 1};
    for (uint32_t d = 0; d < slice.rank; ++d) slice.dims[d] = outer->dims[d < axis ? d : d + 1];
    TRIVET_RETURN_IF_ERROR(check_argument(graph, node, "scan input", i, &slice,
                                          &body->values[body->inputs[states + i].value]->type));
    if (length == NULL) length = outer->dims[axis];
    uint32_t before = graph->root->assumption_count;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_graph_assume(graph, length, outer->dims[axis], origin),
                                     "length of scan input %u", i);
    if (graph->root->assumption_count != before) graph->root->assumptions[before].by_rewrite = 0;
  }
  for (uint32_t i = states; i < node->output_count; ++i) {
    const trivet_type_t* each = output_type(body, i);
    uint32_t axis;
    if (each->rank == TRIVET_MAX_RANK ||
        !tvi_scan_axis(node, "scan_output_axes", i - states, each->rank + 1, &axis)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "scan output %u has no such axis", i - states);
    }
    trivet_type_t type = {.dtype = each->dtype, .rank = each->rank + 1};
    for (uint32_t d = 0; d < type.rank; ++d) {
      type.dims[d] = d == axis ? length : each->dims[d < axis ? d : d - 1];
    }
    set_type(&inferred[i], &type);
  }
  return TRIVET_OK;
}

static trivet_status_t infer_call(trivet_graph_t* graph, tvi_node_t* node,
                                  tvi_inferred_t* inferred) {
  const trivet_graph_t* body = tvi_node_subgraph(node, "body");
  TRIVET_RETURN_IF_ERROR(
      check_counts(node, body->output_count, "inputs", body->input_count, node->input_count));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    TRIVET_RETURN_IF_ERROR(check_argument(graph, node, "argument", i, input_type(graph, node, i),
                                          &body->values[body->inputs[i].value]->type));
  }
  for (uint32_t i = 0; i < node->output_count; ++i) set_type(&inferred[i], output_type(body, i));
  return TRIVET_OK;
}

trivet_status_t tvi_core_operator_infer(trivet_graph_t* graph, tvi_node_t* node,
                                        tvi_inferred_t* inferred) {
  TRIVET_RETURN_IF_ERROR(check_attributes(node));
  if (tvi_node_is(node, "core.If")) return infer_if(graph, node, inferred);
  if (tvi_node_is(node, "core.Loop")) return infer_loop(graph, node, inferred);
  if (tvi_node_is(node, "core.Scan")) return infer_scan(graph, node, inferred);
  return infer_call(graph, node, inferred);
}
