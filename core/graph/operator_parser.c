// SPDX-License-Identifier: Apache-2.0
//
// Joins the registry, which knows no language, to the parser of kernel-IR text.
// Called when a plugin is loaded; nothing of a text is visible before all of it has parsed.
#include "core/graph/graph_internal.h"

trivet_status_t tvi_graph_parse_operator(const trivet_operator_t* definition,
                                         trivet_allocator_t allocator,
                                         struct tvi_kir_operator_s** out_parsed) {
  tvi_kir_operator_t* parsed;
  TRIVET_RETURN_IF_ERROR(tvi_kir_operator_parse(tvi_sv(definition->text), allocator, &parsed));
  trivet_status_t status = TRIVET_OK;
  if (!tvi_sv_equal_cstr(parsed->name, definition->name) ||
      parsed->version != definition->version) {
    status = TRIVET_STATUS(INVALID_ARGUMENT, "text declares %.*s/%u, the definition %s/%u",
                           TVI_SV_ARGS(parsed->name), parsed->version, definition->name,
                           definition->version);
  } else if (parsed->body.kind == TVI_KIR_BODY_NONE && definition->lower == NULL &&
             definition->evaluate == NULL) {
    status = TRIVET_STATUS(INVALID_ARGUMENT,
                           "no meaning: the text has no body, and lower and evaluate are NULL");
  }
  if (status != NULL) {
    tvi_kir_operator_destroy(parsed);
    return status;
  }
  *out_parsed = parsed;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_parse_function(const trivet_scalar_function_t* definition,
                                         const char* plugin, trivet_allocator_t allocator,
                                         struct tvi_kir_function_s** out_parsed) {
  tvi_kir_function_t* parsed;
  TRIVET_RETURN_IF_ERROR(tvi_kir_function_parse(tvi_sv(definition->text), allocator, &parsed));
  // The text calls it by its last part: a dot is no part of a function's name.
  trivet_string_view_t name = tvi_sv(definition->name);
  name = tvi_sv_slice(name, tvi_sv_find(name, '.') + 1, SIZE_MAX);
  trivet_string_view_t declared = tvi_kir_function_name(parsed);
  if (!tvi_sv_equal(declared, name) && !tvi_sv_equal_cstr(declared, definition->name)) {
    trivet_status_t status =
        TRIVET_STATUS(INVALID_ARGUMENT, "text declares '%.*s', the definition '%s'",
                      TVI_SV_ARGS(declared), definition->name);
    tvi_kir_function_destroy(parsed);
    return status;
  }
  if (definition->cuda != NULL) {
    trivet_status_t status =
        tvi_kir_function_set_device(parsed, definition->name, plugin, definition->cuda);
    if (status != NULL) {
      tvi_kir_function_destroy(parsed);
      return status;
    }
  }
  *out_parsed = parsed;
  return TRIVET_OK;
}

const tvi_operator_parser_t* tvi_graph_operator_parser(void) {
  static const tvi_operator_parser_t parser = {
      .parse = tvi_graph_parse_operator,
      .release = tvi_kir_operator_destroy,
      .parse_function = tvi_graph_parse_function,
      .release_function = tvi_kir_function_destroy,
  };
  return &parser;
}
