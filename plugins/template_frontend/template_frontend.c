// SPDX-License-Identifier: Apache-2.0
//
// A plugin with a frontend for a small format of text, one layer a line. It claims a file by its
// first line, checks everything that it reads, and builds a graph of standard operators.
//
//   template_frontend 1
//   input x 8          (an input [rows, 8])
//   scale 0.5
//   relu
//   output y
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/plugin.h"

static const char kFirstLine[] = "template_frontend 1\n";

typedef struct reader_s {
  trivet_graph_builder_t* builder;
  const trivet_graph_builder_api_t* api;
  trivet_string_view_t path;
  uint32_t line;
  trivet_value_t value;  // result of the last layer; 0: none yet
} reader_t;

static trivet_status_t wrong(const reader_t* r, const char* what) {
  return r->api->error(r->builder, TRIVET_STATUS_DATA_LOSS, "%.*s: line %u: %s", (int)r->path.size,
                       r->path.data, r->line, what);
}

static trivet_status_t layer(reader_t* r, const char* op, const trivet_value_t* inputs,
                             uint32_t count) {
  char name[32];
  snprintf(name, sizeof(name), "line%u", r->line);
  trivet_origin_t origin = {r->path, {name, strlen(name)}, {op, strlen(op)}};
  return r->api->add_node(r->builder, op, 0, inputs, count, NULL, 0, &origin, 1, &r->value);
}

static trivet_status_t input(reader_t* r, const char* name, const char* extent) {
  char* end = NULL;
  long long columns = strtoll(extent, &end, 10);
  if (*end || columns < 1 || columns > 1 << 20) return wrong(r, "wanted 'input NAME COLUMNS'");
  if (r->value) return wrong(r, "a second input");
  trivet_type_t type = {.dtype = TRIVET_DTYPE_F32, .rank = 2};
  type.dims[0] = r->api->dim_symbol(r->builder, TRIVET_SV("rows"));
  type.dims[1] = r->api->dim_constant(r->builder, columns);
  return r->api->add_input(r->builder, (trivet_string_view_t){name, strlen(name)}, &type,
                           &r->value);
}

static trivet_status_t scale(reader_t* r, const char* text) {
  char* end = NULL;
  float factor = strtof(text, &end);
  if (!*text || *end) return wrong(r, "wanted 'scale NUMBER'");
  trivet_tensor_t tensor = {.dtype = TRIVET_DTYPE_F32, .data = &factor, .size = sizeof(factor)};
  trivet_value_t operands[2] = {r->value};
  trivet_status_t status = r->api->add_constant(r->builder, (trivet_string_view_t){0}, &tensor,
                                                TRIVET_CONSTANT_COPY, &operands[1]);
  return status ? status : layer(r, "std.Mul", operands, 2);
}

static trivet_status_t read_line(reader_t* r, const char* text) {
  char words[3][64] = {"", "", ""}, rest[2] = "";
  if (sscanf(text, "%63s %63s %63s %1s", words[0], words[1], words[2], rest) < 1) return NULL;
  if (rest[0]) return wrong(r, "more words than any layer has");
  if (strcmp(words[0], "input") == 0) return input(r, words[1], words[2]);
  if (!r->value) return wrong(r, "the input must come first");
  if (strcmp(words[0], "scale") == 0) return scale(r, words[1]);
  if (strcmp(words[0], "relu") == 0) return layer(r, "std.Relu", &r->value, 1);
  if (strcmp(words[0], "output") == 0 && words[1][0])
    return r->api->add_output(r->builder, (trivet_string_view_t){words[1], strlen(words[1])},
                              r->value);
  return wrong(r, "no layer has that name");
}

static uint32_t probe(const trivet_frontend_t* frontend, const trivet_source_t* source) {
  (void)frontend;
  uint64_t size;
  const uint8_t* bytes = source->api->bytes(source, &size);
  size_t wanted = sizeof(kFirstLine) - 1;
  return size >= wanted && memcmp(bytes, kFirstLine, wanted) == 0 ? 100 : 0;
}

static trivet_status_t parse(const trivet_frontend_t* frontend, trivet_source_t* source,
                             trivet_graph_builder_t* builder) {
  reader_t r = {.builder = builder, .api = builder->api, .path = source->api->path(source)};
  uint64_t size, at = sizeof(kFirstLine) - 1;
  const char* bytes = (const char*)source->api->bytes(source, &size);
  r.line = 1;
  if (!probe(frontend, source)) return wrong(&r, "the first line is another one");
  while (at < size) {
    char text[200];
    const char* end = memchr(bytes + at, '\n', size - at);
    uint64_t length = end ? (uint64_t)(end - (bytes + at)) : size - at;
    ++r.line;
    if (length >= sizeof(text)) return wrong(&r, "longer than any layer is");
    memcpy(text, bytes + at, length);
    text[length] = 0;
    trivet_status_t status = read_line(&r, text);
    if (status) return status;
    at += length + 1;
  }
  return NULL;
}

static const trivet_frontend_t kFrontend = {
    .header = TRIVET_HEADER(trivet_frontend_t, TRIVET_STRUCT_FRONTEND),
    .name = "template_frontend",
    .summary = "reads layers, one a line",
    .version = 1,
    .probe = probe,
    .parse = parse};

TRIVET_PLUGIN("template_frontend", "1.0", "a frontend", &kFrontend)
