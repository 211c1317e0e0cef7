// SPDX-License-Identifier: Apache-2.0
//
// Looks at every node before anything is built and lists all operators that neither the registry
// nor a conversion knows, so that one error says all. It must not judge attributes or shapes.
#include <stdio.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

#define MAX_LISTED 64

typedef struct survey_s {
  tvi_onnx_t* onnx;
  tvi_onnx_map_t known;  // "domain.type-version" -> index into names, or SUPPORTED
  const char* names[MAX_LISTED];
  uint64_t counts[MAX_LISTED];
  uint64_t kinds;
  uint32_t too_old;  // some are listed only because their opset is
} survey_t;

#define SUPPORTED UINT64_MAX

// Operators of ai.onnx that got the form from which conversions start after opset 1. The others
// have had it since they exist.
typedef struct age_s {
  const char* type;
  int64_t since;
} age_t;
static const age_t kAges[] = {
    {"Abs", 6},
    {"Add", 7},
    {"And", 7},
    {"AveragePool", 7},
    {"BatchNormalization", 7},
    {"Cast", 6},
    {"Ceil", 6},
    {"Clip", 6},
    {"Concat", 4},
    {"Div", 7},
    {"Dropout", 7},
    {"Elu", 6},
    {"Equal", 7},
    {"Exp", 6},
    {"Floor", 6},
    {"GRU", 7},
    {"Gemm", 7},
    {"Greater", 7},
    {"HardSigmoid", 6},
    {"InstanceNormalization", 6},
    {"GlobalLpPool", 2},
    {"LSTM", 7},
    {"Less", 7},
    {"LeakyRelu", 6},
    {"LpPool", 2},
    {"Log", 6},
    {"Max", 6},
    {"Mean", 6},
    {"Min", 6},
    {"Mul", 7},
    {"Neg", 6},
    {"Or", 7},
    {"PRelu", 7},
    {"Pad", 2},
    {"Pow", 7},
    {"RNN", 7},
    {"Reciprocal", 6},
    {"Relu", 6},
    {"Reshape", 5},
    {"Selu", 6},
    {"Sigmoid", 6},
    {"Split", 2},
    {"Sqrt", 6},
    {"Sub", 7},
    {"Sum", 6},
    {"Tanh", 6},
    {"Tile", 6},
    {"Upsample", 7},
    {"Xor", 7},
};

static uint32_t is_too_old(const char* domain, const char* type, int64_t version) {
  if (domain[0] != 0 || version >= TVI_ONNX_OLDEST_OPSET) return 0;
  for (size_t i = 0; i < sizeof kAges / sizeof kAges[0]; ++i) {
    if (strcmp(type, kAges[i].type) == 0) return version < kAges[i].since;
  }
  return 0;
}

static trivet_status_t survey_nodes(survey_t* s, Onnx__NodeProto* const* nodes, size_t count,
                                    Onnx__OperatorSetIdProto* const* opsets, size_t opset_count,
                                    uint32_t depth);

static trivet_status_t survey_node(survey_t* s, const Onnx__NodeProto* node,
                                   Onnx__OperatorSetIdProto* const* opsets, size_t opset_count,
                                   uint32_t depth) {
  tvi_onnx_t* onnx = s->onnx;
  ++onnx->file_node_count;
  tvi_onnx_function_t* function = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_find_function(onnx, node, &function));
  if (function != NULL) {
    // Too deep a chain of calls is reported where it is inlined.
    if (function->surveyed || depth >= TVI_ONNX_MAX_NESTING) return NULL;
    function->surveyed = 1;
    const Onnx__FunctionProto* proto = function->proto;
    return survey_nodes(s, proto->node, proto->n_node, proto->opset_import, proto->n_opset_import,
                        depth + 1);
  }
  for (size_t i = 0; i < node->n_attribute; ++i) {
    const Onnx__AttributeProto* attribute = node->attribute[i];
    for (size_t k = 0; k < attribute->n_graphs + (attribute->g != NULL); ++k) {
      const Onnx__GraphProto* graph = k < attribute->n_graphs ? attribute->graphs[k] : attribute->g;
      TVI_ONNX_RETURN_IF_ERROR(
          survey_nodes(s, graph->node, graph->n_node, opsets, opset_count, depth + 1));
    }
  }
  const char* domain = tvi_onnx_domain(node->domain);
  const char* type = tvi_onnx_text(node->op_type);
  int64_t version = tvi_onnx_opset(opsets, opset_count, domain);
  const char* key = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &key, "%s.%s-%lld", tvi_onnx_domain_name(domain),
                                           type, (long long)version));
  const uint64_t* known = tvi_onnx_map_find(&s->known, key);
  uint64_t index = known != NULL ? *known : SUPPORTED;
  if (known == NULL) {
    const char* target = NULL;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_target(onnx, domain, type, version, &target));
    uint32_t too_old = is_too_old(domain, type, version);
    if (too_old ||
        (target[0] != 0 && !onnx->builder->api->has_operator(onnx->builder, target, 0))) {
      index = s->kinds++;
    }
    s->too_old |= too_old;
    if (index < MAX_LISTED) s->names[index] = key;
    uint32_t added;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &s->known, key, index, &added));
  }
  if (index < MAX_LISTED) ++s->counts[index];
  return NULL;
}

static trivet_status_t survey_nodes(survey_t* s, Onnx__NodeProto* const* nodes, size_t count,
                                    Onnx__OperatorSetIdProto* const* opsets, size_t opset_count,
                                    uint32_t depth) {
  for (size_t i = 0; i < count; ++i) {
    TVI_ONNX_RETURN_IF_ERROR(survey_node(s, nodes[i], opsets, opset_count, depth));
  }
  return NULL;
}

trivet_status_t tvi_onnx_survey(tvi_onnx_t* onnx) {
  survey_t* s = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, 1, sizeof *s, &s));
  s->onnx = onnx;
  const Onnx__ModelProto* model = onnx->model;
  TVI_ONNX_RETURN_IF_ERROR(survey_nodes(s, model->graph->node, model->graph->n_node,
                                        model->opset_import, model->n_opset_import, 0));
  if (s->kinds == 0) return NULL;
  char list[1600];
  size_t used = 0;
  uint64_t listed = 0;
  for (; listed < s->kinds && listed < MAX_LISTED; ++listed) {
    char item[160];
    int size = snprintf(item, sizeof item, "%s%.100s (%llu node%s)", listed > 0 ? ", " : "",
                        s->names[listed], (unsigned long long)s->counts[listed],
                        s->counts[listed] == 1 ? "" : "s");
    if (used + (size_t)size + 24 > sizeof list) break;
    memcpy(list + used, item, (size_t)size + 1);
    used += (size_t)size;
  }
  if (listed < s->kinds) {
    snprintf(list + used, sizeof list - used, ", %llu more",
             (unsigned long long)(s->kinds - listed));
  }
  return tvi_onnx_error(
      onnx, TRIVET_STATUS_UNIMPLEMENTED, "%llu operator%s not supported: %s%s",
      (unsigned long long)s->kinds, s->kinds == 1 ? " is" : "s are", list,
      s->too_old ? " (opset 7 is the oldest that is read; before it, operators that did not change)"
                 : "");
}
