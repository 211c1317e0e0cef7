// SPDX-License-Identifier: Apache-2.0
//
// The ONNX frontend as a plugin: probe and parse. First on the way of the data: bytes of a model
// in, calls of the graph builder out. It decides nothing about targets and copies no weights.
#include <stdio.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

trivet_string_view_t tvi_onnx_view(const char* text) {
  trivet_string_view_t view = {text, text != NULL ? strlen(text) : 0};
  return view;
}

trivet_status_t tvi_onnx_error(const tvi_onnx_t* onnx, uint32_t code, const char* format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return onnx->builder->api->error(onnx->builder, code, "%.*s: %s",
                                   (int)(onnx->file.size < 400 ? onnx->file.size : 400),
                                   onnx->file.data, text);
}

trivet_status_t tvi_onnx_node_error(const tvi_onnx_node_t* node, uint32_t code, const char* format,
                                    ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const char* name = tvi_onnx_text(node->proto->name);
  return tvi_onnx_error(node->onnx, code, "node %s%.120s%s(%.60s.%.60s, node %zu of %s): %s",
                        name[0] != 0 ? "'" : "", name, name[0] != 0 ? "' " : "",
                        tvi_onnx_domain_name(node->domain), node->type, node->index,
                        node->scope->place, text);
}

trivet_status_t tvi_onnx_format(tvi_onnx_t* onnx, const char** out_text, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char* text = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, (uint64_t)size + 1, 1, &text));
  va_start(arguments, format);
  vsnprintf(text, (size_t)size + 1, format, arguments);
  va_end(arguments);
  *out_text = text;
  return NULL;
}

const char* tvi_onnx_domain(const char* domain) {
  return domain == NULL || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

const char* tvi_onnx_domain_name(const char* domain) { return domain[0] == 0 ? "ai.onnx" : domain; }

int64_t tvi_onnx_opset(Onnx__OperatorSetIdProto* const* opsets, size_t count, const char* domain) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(tvi_onnx_domain(opsets[i]->domain), domain) == 0) return opsets[i]->version;
  }
  return 0;
}

static trivet_status_t unpack(tvi_onnx_t* onnx) {
  tvi_onnx_wire_error_t error;
  uint64_t size = 0;
  uint32_t code = tvi_onnx_wire_strip(onnx->bytes, onnx->size, NULL, &size, &error);
  if (code != TRIVET_STATUS_OK)
    return tvi_onnx_error(onnx, code, "not a valid ONNX file: %s", error.text);
  if (size > INT32_MAX) {
    return tvi_onnx_error(
        onnx, TRIVET_STATUS_UNIMPLEMENTED,
        "the model without raw weights takes %llu bytes; store weights as raw or external data",
        (unsigned long long)size);
  }
  uint8_t* stripped = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, size, 1, &stripped));
  code = tvi_onnx_wire_strip(onnx->bytes, onnx->size, stripped, &size, &error);
  if (code != TRIVET_STATUS_OK)
    return tvi_onnx_error(onnx, code, "not a valid ONNX file: %s", error.text);
  // Unpacked messages are at most some ten times their wire form in models; far more only in files
  // made to exhaust memory.
  onnx->arena.budget = onnx->arena.used + ((uint64_t)64 << 20) + 24 * size;
  ProtobufCAllocator allocator = tvi_onnx_arena_protobuf(&onnx->arena);
  onnx->model = onnx__model_proto__unpack(&allocator, (size_t)size, stripped);
  if (onnx->arena.pending != NULL) return onnx->arena.pending;
  if (onnx->arena.failed != 0) {
    return tvi_onnx_error(onnx, TRIVET_STATUS_OUT_OF_MEMORY,
                          "the model needs more than %llu bytes when unpacked",
                          (unsigned long long)onnx->arena.budget);
  }
  if (onnx->model == NULL)
    return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS,
                          "not a valid ONNX file: protobuf-c refuses it");
  return NULL;
}

static trivet_status_t check_opsets(const tvi_onnx_t* onnx, Onnx__OperatorSetIdProto* const* opsets,
                                    size_t count, const char* place) {
  for (size_t i = 0; i < count; ++i) {
    if (tvi_onnx_domain(opsets[i]->domain)[0] != 0) continue;
    if (opsets[i]->version < 1) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "%.120s imports opset %lld of ai.onnx",
                            place, (long long)opsets[i]->version);
    }
    if (opsets[i]->version > TVI_ONNX_NEWEST_OPSET) {
      onnx->builder->api->log(
          onnx->builder, TRIVET_SEVERITY_WARNING,
          "%.*s: %.120s uses opset %lld of ai.onnx; operators are read as in opset %d",
          (int)onnx->file.size, onnx->file.data, place, (long long)opsets[i]->version,
          TVI_ONNX_NEWEST_OPSET);
    }
  }
  return NULL;
}

static uint32_t probe(const trivet_frontend_t* frontend, const trivet_source_t* source) {
  (void)frontend;
  uint64_t size = 0;
  const uint8_t* bytes = source->api->bytes(source, &size);
  return tvi_onnx_wire_probe(bytes, size);
}

static trivet_status_t parse(const trivet_frontend_t* frontend, trivet_source_t* source,
                             trivet_graph_builder_t* builder) {
  (void)frontend;
  tvi_onnx_t onnx = {0};
  onnx.builder = builder;
  onnx.source = source;
  onnx.arena.builder = builder;
  onnx.file = source->api->path(source);
  if (onnx.file.size == 0) onnx.file = TRIVET_SV("model");
  onnx.bytes = source->api->bytes(source, &onnx.size);
  TVI_ONNX_RETURN_IF_ERROR(unpack(&onnx));
  const Onnx__ModelProto* model = onnx.model;
  if (model->graph == NULL)
    return tvi_onnx_error(&onnx, TRIVET_STATUS_DATA_LOSS, "the model has no graph");
  TVI_ONNX_RETURN_IF_ERROR(
      check_opsets(&onnx, model->opset_import, model->n_opset_import, "the model"));
  for (size_t i = 0; i < model->n_functions; ++i) {
    const Onnx__FunctionProto* function = model->functions[i];
    const char* place = NULL;
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_format(&onnx, &place, "function '%s'", tvi_onnx_text(function->name)));
    TVI_ONNX_RETURN_IF_ERROR(
        check_opsets(&onnx, function->opset_import, function->n_opset_import, place));
  }
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_index_functions(&onnx));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_survey(&onnx));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_read_graph(&onnx));
  builder->api->log(builder, TRIVET_SEVERITY_VERBOSE,
                    "%.*s: %u nodes, %u constants, %llu bytes of weights viewed, %llu copied",
                    (int)onnx.file.size, onnx.file.data, onnx.node_count, onnx.constant_count,
                    (unsigned long long)onnx.viewed_bytes, (unsigned long long)onnx.copied_bytes);
  return NULL;
}

static const trivet_frontend_t kFrontend = {
    TRIVET_HEADER(trivet_frontend_t, TRIVET_STRUCT_FRONTEND),
    "onnx",
    "reads ONNX models, opset 7 to 28",
    1,
    0,
    0,
    probe,
    parse};

TRIVET_PLUGIN("onnx", "1.0", "frontend for ONNX models", &kFrontend)
