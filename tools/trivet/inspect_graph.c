// SPDX-License-Identifier: Apache-2.0
//
// A network for `trivet inspect`: as JSON, and as a picture of its nodes. Constants are no boxes;
// the nodes that read them list them.
#include <stdio.h>
#include <string.h>

#include "tools/trivet/inspect.h"

// --- JSON ---------------------------------------------------------------------------------------

typedef struct json_s {
  tvi_string_builder_t values, nodes, inputs, outputs;
} json_t;

static void json_text(tvi_string_builder_t* out, const char* key, const char* text,
                      const char* end) {
  trivet_string_view_t view = {text, strlen(text)};
  tvi_string_builder_appendf(out, "\"%s\": ", key);
  tvi_string_builder_append_json(out, view);
  tvi_string_builder_append_cstr(out, end);
}

static void json_numbers(tvi_string_builder_t* out, const char* key, const uint32_t* numbers,
                         uint32_t count, const char* end) {
  tvi_string_builder_appendf(out, "\"%s\": [", key);
  for (uint32_t i = 0; i < count; ++i) {
    // 0 is an operand that is absent.
    if (i) tvi_string_builder_append_cstr(out, ", ");
    if (numbers[i]) {
      tvi_string_builder_appendf(out, "%u", numbers[i]);
    } else {
      tvi_string_builder_append_cstr(out, "null");
    }
  }
  tvi_string_builder_appendf(out, "]%s", end);
}

static trivet_status_t json_value(void* self, const trivet_value_info_t* info) {
  static const char* const kinds[] = {"input", "constant", "computed"};
  json_t* json = (json_t*)self;
  tvi_string_builder_appendf(&json->values, "%s\n  {\"id\": %u, ", json->values.size ? "," : "",
                             info->value);
  json_text(&json->values, "kind", kinds[info->kind], ", ");
  json_text(&json->values, "name", info->name, ", ");
  json_text(&json->values, "type", info->type, "}");
  if (info->kind == TRIVET_VALUE_INPUT) {
    tvi_string_builder_appendf(&json->inputs, "%s%u", json->inputs.size ? ", " : "", info->value);
  }
  if (info->output) {
    tvi_string_builder_appendf(&json->outputs, "%s{\"value\": %u, ", json->outputs.size ? ", " : "",
                               info->value);
    json_text(&json->outputs, "name", info->output, "}");
  }
  return TRIVET_OK;
}

static trivet_status_t json_node(void* self, const trivet_node_info_t* info) {
  json_t* json = (json_t*)self;
  tvi_string_builder_appendf(&json->nodes, "%s\n  {", json->nodes.size ? "," : "");
  json_text(&json->nodes, "op", info->op, ", ");
  json_text(&json->nodes, "name", info->name, ", ");
  json_text(&json->nodes, "attributes", info->attributes, ", ");
  json_text(&json->nodes, "made_by", info->made_by, ", ");
  json_numbers(&json->nodes, "inputs", info->inputs, info->input_count, ", ");
  json_numbers(&json->nodes, "outputs", info->outputs, info->output_count, "}");
  return TRIVET_OK;
}

trivet_status_t network_to_json(const trivet_network_t* network, trivet_sink_t sink) {
  json_t json;
  tvi_string_builder_t* const parts[4] = {&json.inputs, &json.outputs, &json.values, &json.nodes};
  static const char* const before[4] = {"{\"kind\": \"graph\",\n\"inputs\": [",
                                        "],\n\"outputs\": [", "],\n\"values\": [",
                                        "\n],\n\"nodes\": ["};
  for (int i = 0; i < 4; ++i) tvi_string_builder_init(parts[i], trivet_allocator_system());
  trivet_network_visitor_t visitor = {&json, json_value, json_node};
  trivet_status_t status = trivet_network_visit(network, visitor);
  for (int i = 0; i < 4; ++i) {
    trivet_string_view_t view = tvi_string_builder_view(parts[i]);
    if (!status) status = tvi_string_builder_status(parts[i]);
    if (!status) status = sink.write(sink.self, before[i], strlen(before[i]));
    if (!status && view.size) status = sink.write(sink.self, view.data, view.size);
    tvi_string_builder_deinit(parts[i]);
  }
  return status ? status : sink.write(sink.self, "\n]}\n", 4);
}

// --- Picture ------------------------------------------------------------------------------------

typedef struct seen_value_s {
  uint32_t node;  // of the picture; UINT32_MAX: a constant
  trivet_string_view_t type, name;
} seen_value_t;

typedef struct drawing_s {
  picture_t* picture;
  families_t families;
  TVI_VECTOR(seen_value_t) values;  // by number
  tvi_string_builder_t details;     // of the last node, which still gets its outputs
  uint32_t last;                    // UINT32_MAX: none
  uint32_t nodes, constants;
  struct {
    uint32_t value;
    trivet_string_view_t name;
  } outputs[256];
  uint32_t output_count;
} drawing_t;

static trivet_status_t finish_node(drawing_t* d) {
  if (d->last == UINT32_MAX) return TRIVET_OK;
  tvi_string_builder_append_cstr(&d->details, "</table>");
  picture_node_t* node = &d->picture->nodes.data[d->last];
  TRIVET_RETURN_IF_ERROR(picture_keep(d->picture, &d->details, &node->details));
  tvi_string_builder_clear(&d->details);
  d->last = UINT32_MAX;
  return TRIVET_OK;
}

static trivet_status_t add_box(drawing_t* d, uint32_t shape, const char* title,
                               const char* subtitle, const char* type) {
  picture_node_t node;
  memset(&node, 0, sizeof(node));
  node.shape = shape;
  node.share = -1;
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, title, 40, &node.title));
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, subtitle, 40, &node.subtitle));
  if (type) {
    tvi_string_builder_t html;
    tvi_string_builder_init(&html, trivet_allocator_system());
    tvi_string_builder_append_cstr(&html, "<table>");
    html_row(&html, shape == PICTURE_INPUT ? "input" : "output", type);
    tvi_string_builder_append_cstr(&html, "</table>");
    trivet_status_t status = picture_keep(d->picture, &html, &node.details);
    tvi_string_builder_deinit(&html);
    TRIVET_RETURN_IF_ERROR(status);
  }
  return tvi_vector_push(&d->picture->nodes, node);
}

static trivet_status_t draw_value(void* self, const trivet_value_info_t* info) {
  drawing_t* d = (drawing_t*)self;
  if (info->value >= d->values.count) {
    size_t before = d->values.count;
    TRIVET_RETURN_IF_ERROR(tvi_vector_resize(&d->values, (size_t)info->value + 1));
    memset(d->values.data + before, 0, (d->values.count - before) * sizeof(seen_value_t));
  }
  seen_value_t seen;
  seen.node = d->last;
  if (info->kind == TRIVET_VALUE_INPUT) {
    seen.node = (uint32_t)d->picture->nodes.count;
    TRIVET_RETURN_IF_ERROR(add_box(d, PICTURE_INPUT, info->name, info->type, info->type));
  } else if (info->kind == TRIVET_VALUE_CONSTANT) {
    seen.node = UINT32_MAX;
    ++d->constants;
  } else {
    html_row(&d->details, "gives", info->type);
  }
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, info->type, 256, &seen.type));
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, info->name, 256, &seen.name));
  d->values.data[info->value] = seen;
  if (info->output && d->output_count < 256) {
    d->outputs[d->output_count].value = info->value;
    TRIVET_RETURN_IF_ERROR(
        picture_short(d->picture, info->output, 256, &d->outputs[d->output_count++].name));
  }
  return TRIVET_OK;
}

static trivet_status_t draw_node(void* self, const trivet_node_info_t* info) {
  drawing_t* d = (drawing_t*)self;
  TRIVET_RETURN_IF_ERROR(finish_node(d));
  uint32_t index = (uint32_t)d->picture->nodes.count;
  TRIVET_RETURN_IF_ERROR(add_box(d, PICTURE_NODE, info->op, info->name, NULL));
  d->picture->nodes.data[index].family = family_of(&d->families, info->op);
  d->last = index;
  ++d->nodes;
  tvi_string_builder_append_cstr(&d->details, "<table>");
  html_row(&d->details, "operator", info->op);
  html_row(&d->details, "name", info->name);
  if (*info->attributes) html_row(&d->details, "attributes", info->attributes);
  if (*info->made_by) html_row(&d->details, "made by", info->made_by);
  for (uint32_t i = 0; i < info->input_count; ++i) {
    if (!info->inputs[i] || info->inputs[i] >= d->values.count) continue;
    const seen_value_t* seen = &d->values.data[info->inputs[i]];
    char line[600];
    snprintf(line, sizeof(line), "%s%s%.*s", seen->type.data,
             seen->node == UINT32_MAX ? " constant " : " ", (int)seen->name.size, seen->name.data);
    html_row(&d->details, "takes", line);
    if (seen->node == UINT32_MAX) continue;
    picture_edge_t edge = {seen->node, index, seen->type, 0, 0};
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&d->picture->edges, edge));
  }
  return TRIVET_OK;
}

static trivet_status_t draw_outputs(drawing_t* d) {
  TRIVET_RETURN_IF_ERROR(finish_node(d));
  for (uint32_t i = 0; i < d->output_count; ++i) {
    const seen_value_t* seen = &d->values.data[d->outputs[i].value];
    uint32_t index = (uint32_t)d->picture->nodes.count;
    TRIVET_RETURN_IF_ERROR(
        add_box(d, PICTURE_OUTPUT, d->outputs[i].name.data, seen->type.data, seen->type.data));
    if (seen->node == UINT32_MAX) continue;
    picture_edge_t edge = {seen->node, index, seen->type, 0, 0};
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&d->picture->edges, edge));
  }
  tvi_string_builder_clear(&d->details);
  tvi_string_builder_appendf(&d->details, "<p>A graph of %u nodes and %u constants.</p>", d->nodes,
                             d->constants);
  return picture_keep(d->picture, &d->details, &d->picture->summary);
}

trivet_status_t network_to_picture(const trivet_network_t* network, picture_t* picture) {
  drawing_t d;
  memset(&d, 0, sizeof(d));
  d.picture = picture;
  d.last = UINT32_MAX;
  tvi_vector_init(&d.values, trivet_allocator_system());
  tvi_string_builder_init(&d.details, trivet_allocator_system());
  trivet_network_visitor_t visitor = {&d, draw_value, draw_node};
  trivet_status_t status = trivet_network_visit(network, visitor);
  if (!status) status = draw_outputs(&d);
  tvi_string_builder_deinit(&d.details);
  tvi_vector_deinit(&d.values);
  return status;
}
