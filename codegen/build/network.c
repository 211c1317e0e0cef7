// SPDX-License-Identifier: Apache-2.0
//
// Network: a graph being built, by a frontend or layer by layer. It checks handles and states of
// the object; whether a graph is right is the business of core/graph.
#include <stdio.h>
#include <string.h>

#include "codegen/build/build_internal.h"
#include "codegen/build/source.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/graph/graph_text.h"

static trivet_string_view_t view(const char* text) {
  trivet_string_view_t v = {text, text ? strlen(text) : 0};
  return v;
}

static trivet_status_t open_graph(trivet_network_t* network) {
  TRIVET_RETURN_IF_ERROR(
      tvi_graph_create(network->builder->registry, network->allocator, &network->graph));
  return tvi_graph_builder_create(network->graph, &network->builder->logger,
                                  &network->graph_builder);
}

static void close_graph(trivet_network_t* network) {
  tvi_graph_builder_destroy(network->graph_builder);
  tvi_graph_destroy(network->graph);
  network->graph_builder = NULL;
  network->graph = NULL;
  for (size_t i = 0; i < network->mappings.count; ++i)
    tvi_file_mapping_release(network->mappings.data[i]);
  network->mappings.count = 0;
}

trivet_status_t trivet_network_create(trivet_builder_t* builder, const char* name,
                                      trivet_network_t** out_network) {
  if (!builder || !out_network)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "trivet_network_create needs a builder and a place for the network");
  trivet_network_t* network = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(builder->allocator, sizeof(*network), &network));
  network->builder = builder;
  network->allocator = builder->allocator;
  tvi_vector_init(&network->mappings, builder->allocator);
  trivet_status_t status =
      tvi_copy_string(builder->allocator, view(name ? name : ""), &network->name);
  if (!status) status = open_graph(network);
  if (status) {
    trivet_network_destroy(network);
    return status;
  }
  *out_network = network;
  return TRIVET_OK;
}

void trivet_network_destroy(trivet_network_t* network) {
  if (!network) return;
  trivet_allocator_t allocator = network->allocator;
  close_graph(network);
  tvi_vector_deinit(&network->mappings);
  if (network->name) tvi_free(allocator, network->name, strlen(network->name) + 1);
  tvi_free(allocator, network, sizeof(*network));
}

// --- Reading models ---------------------------------------------------------------------

static trivet_status_t choose_frontend(trivet_network_t* network, const tvi_source_t* source,
                                       const trivet_frontend_t** out_frontend) {
  const tvi_registry_t* registry = network->builder->registry;
  if (source->options && source->options->frontend) {
    *out_frontend = tvi_registry_frontend(registry, source->options->frontend);
    if (*out_frontend) return TRIVET_OK;
    return TRIVET_STATUS(NOT_FOUND, "there is no frontend \"%s\"", source->options->frontend);
  }
  uint32_t best = 0;
  const trivet_frontend_t* chosen = NULL;
  for (uint32_t i = 0;; ++i) {
    const trivet_frontend_t* frontend =
        (const trivet_frontend_t*)tvi_registry_definition(registry, TRIVET_STRUCT_FRONTEND, i);
    if (!frontend) break;
    uint32_t score = frontend->probe(frontend, &source->base);
    if (score > best) best = score, chosen = frontend;
  }
  if (!chosen)
    return TRIVET_STATUS(INVALID_ARGUMENT, "no frontend knows these %llu bytes",
                         (unsigned long long)source->size);
  *out_frontend = chosen;
  return TRIVET_OK;
}

static trivet_status_t parse(trivet_network_t* network, const char* path, const uint8_t* bytes,
                             uint64_t size, const trivet_parse_options_t* options) {
  tvi_source_t source;
  tvi_source_init(&source, network, path, bytes, size, options);
  const trivet_frontend_t* frontend = NULL;
  trivet_status_t status = choose_frontend(network, &source, &frontend);
  if (!status) status = frontend->parse(frontend, &source.base, network->graph_builder);
  if (!status) status = tvi_graph_verify(network->graph);
  tvi_source_deinit(&source);
  // A frontend may have said it already.
  const bool is_said = path && strncmp(trivet_status_message(status), path, strlen(path)) == 0;
  return path && !is_said ? trivet_status_annotate(status, "%s", path) : status;
}

// What a failed frontend has built is dropped; the network is empty again. A mapped file must
// outlive the graph that points into it.
static trivet_status_t finish_parse(trivet_network_t* network, trivet_status_t status) {
  if (!status) {
    network->parsed = true;
    return TRIVET_OK;
  }
  close_graph(network);
  return trivet_status_join(status, open_graph(network));
}

static trivet_status_t check_empty(const trivet_network_t* network) {
  if (!network) return TRIVET_STATUS(INVALID_ARGUMENT, "no network given");
  if (network->parsed)
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "the network is not empty: a model is read into a new one");
  return network->graph ? TRIVET_OK
                        : TRIVET_STATUS(FAILED_PRECONDITION,
                                        "an earlier failure left the network without a graph");
}

static trivet_status_t network_parse_file(trivet_network_t* network, const char* path,
                                          const trivet_parse_options_t* options) {
  TRIVET_RETURN_IF_ERROR(check_empty(network));
  if (!path) return TRIVET_STATUS(INVALID_ARGUMENT, "no path given");
  tvi_file_mapping_t* mapping = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_map(path, 0, TVI_FILE_TO_END, network->allocator, &mapping));
  trivet_status_t status = tvi_vector_push(&network->mappings, mapping);
  if (status) {
    tvi_file_mapping_release(mapping);
    return status;
  }
  return finish_parse(network, parse(network, path, mapping->data, mapping->size, options));
}

static trivet_status_t network_parse_memory(trivet_network_t* network, const void* bytes,
                                            uint64_t size, const trivet_parse_options_t* options) {
  TRIVET_RETURN_IF_ERROR(check_empty(network));
  if (!bytes && size) return TRIVET_STATUS(INVALID_ARGUMENT, "no bytes given");
  const char* name = options && TRIVET_HAS_FIELD(options, trivet_parse_options_t, file_name)
                         ? options->file_name
                         : NULL;
  return finish_parse(network, parse(network, name, (const uint8_t*)bytes, size, options));
}

static trivet_status_t network_parse_text(trivet_network_t* network, const char* text,
                                          uint64_t size) {
  TRIVET_RETURN_IF_ERROR(check_empty(network));
  trivet_graph_t* graph = NULL;
  trivet_graph_builder_t* graph_builder = NULL;
  trivet_string_view_t source = {text, size};
  TRIVET_RETURN_IF_ERROR(
      tvi_graph_parse(network->builder->registry, source, network->allocator, &graph));
  trivet_status_t status =
      tvi_graph_builder_create(graph, &network->builder->logger, &graph_builder);
  if (status) {
    tvi_graph_destroy(graph);
    return status;
  }
  close_graph(network);
  network->graph = graph;
  network->graph_builder = graph_builder;
  network->parsed = true;
  return TRIVET_OK;
}

trivet_status_t trivet_network_print(const trivet_network_t* network, uint32_t flags,
                                     trivet_sink_t sink) {
  if (!network || !sink.write)
    return TRIVET_STATUS(INVALID_ARGUMENT, "printing needs a network and a sink");
  uint32_t text_flags = 0;
  if (flags & TRIVET_PRINT_ORIGINS) text_flags |= TVI_GRAPH_TEXT_ORIGINS;
  if (flags & TRIVET_PRINT_CONSTANTS) text_flags |= TVI_GRAPH_TEXT_CONSTANTS;
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, network->allocator);
  trivet_status_t status = tvi_graph_print(network->graph, text_flags, &text);
  trivet_string_view_t printed = tvi_string_builder_view(&text);
  if (!status) status = sink.write(sink.self, printed.data, printed.size);
  tvi_string_builder_deinit(&text);
  return status;
}

static trivet_status_t network_run_passes(trivet_network_t* network, const char* pipeline,
                                          const trivet_config_t* config) {
  if (!network) return TRIVET_STATUS(INVALID_ARGUMENT, "running passes needs a network");
  tvi_string_builder_t own;
  tvi_string_builder_init(&own, network->allocator);
  trivet_status_t status = TRIVET_OK;
  if (!pipeline && config) {
    status = tvi_config_pipeline(config, &own);
    pipeline = own.data;
  } else if (!pipeline) {
    pipeline = tvi_default_pipeline();
  }
  tvi_pass_manager_t* manager = NULL;
  if (!status)
    status =
        tvi_config_run_passes(config, network->builder, network->graph, pipeline, NULL, &manager);
  tvi_pass_manager_destroy(manager);
  tvi_string_builder_deinit(&own);
  return status;
}

// --- Layer by layer ---------------------------------------------------------------------

static trivet_status_t check_open(const trivet_network_t* network) {
  if (!network) return TRIVET_STATUS(INVALID_ARGUMENT, "no network given");
  return network->built ? TRIVET_STATUS(FAILED_PRECONDITION, "the network has been built already")
                        : TRIVET_OK;
}

static trivet_status_t network_add_input(trivet_network_t* network, const char* name,
                                         trivet_dtype_t dtype, uint32_t rank, const int64_t* dims,
                                         const char* const* symbols, trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!name || !out_value || (rank && !dims))
    return TRIVET_STATUS(INVALID_ARGUMENT, "an input needs a name, extents and a place for its id");
  if (rank > TRIVET_MAX_RANK)
    return TRIVET_STATUS(OUT_OF_RANGE, "input \"%s\": rank %u is above %u", name, rank,
                         TRIVET_MAX_RANK);
  trivet_graph_builder_t* b = network->graph_builder;
  trivet_type_t type;
  memset(&type, 0, sizeof(type));
  type.dtype = dtype;
  type.rank = rank;
  for (uint32_t d = 0; d < rank; ++d) {
    char made[160];
    const char* symbol = symbols ? symbols[d] : NULL;
    if (dims[d] < -1)
      return TRIVET_STATUS(INVALID_ARGUMENT, "input \"%s\": extent %u is %lld", name, d,
                           (long long)dims[d]);
    if (dims[d] == -1 && !symbol) {
      snprintf(made, sizeof(made), "%s_%u", name, d);
      symbol = made;
    }
    type.dims[d] =
        dims[d] >= 0 ? b->api->dim_constant(b, dims[d]) : b->api->dim_symbol(b, view(symbol));
    if (!type.dims[d])
      return TRIVET_STATUS(OUT_OF_MEMORY, "input \"%s\": no memory for extent %u", name, d);
  }
  TRIVET_RETURN_IF_ERROR(b->api->add_input(b, view(name), &type, out_value));
  network->parsed = true;
  return TRIVET_OK;
}

static trivet_status_t network_add_constant(trivet_network_t* network, const char* name,
                                            const trivet_tensor_t* tensor, uint32_t flags,
                                            trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!tensor || !out_value)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a constant needs a tensor and a place for its id");
  network->parsed = true;
  return network->graph_builder->api->add_constant(network->graph_builder, view(name ? name : ""),
                                                   tensor, flags, out_value);
}

static trivet_status_t network_add_node(trivet_network_t* network, const char* op,
                                        const trivet_value_t* inputs, uint32_t input_count,
                                        const trivet_attribute_t* attributes,
                                        uint32_t attribute_count, const char* name,
                                        uint32_t output_count, trivet_value_t* out_outputs) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!op || (input_count && !inputs) || (attribute_count && !attributes) ||
      (output_count && !out_outputs)) {
    return TRIVET_STATUS(
        INVALID_ARGUMENT,
        "a node needs an operator, its operands, its attributes and places for its outputs");
  }
  trivet_origin_t origin;
  memset(&origin, 0, sizeof(origin));
  origin.node = view(name ? name : "");
  origin.op = view(op);
  network->parsed = true;
  return network->graph_builder->api->add_node(network->graph_builder, op, 0, inputs, input_count,
                                               attributes, attribute_count, &origin, output_count,
                                               out_outputs);
}

static trivet_status_t network_mark_output(trivet_network_t* network, trivet_value_t value,
                                           const char* name) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!name || !*name) return TRIVET_STATUS(INVALID_ARGUMENT, "an output needs a name");
  return network->graph_builder->api->add_output(network->graph_builder, view(name), value);
}

trivet_status_t trivet_network_value_name(trivet_network_t* network, trivet_value_t value,
                                          const char* name) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!name || !*name) return TRIVET_STATUS(INVALID_ARGUMENT, "an empty name");
  return network->graph_builder->api->name_value(network->graph_builder, value, view(name));
}

static trivet_status_t network_observe(trivet_network_t* network, const char* name) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!name) return TRIVET_STATUS(INVALID_ARGUMENT, "no name given");
  tvi_value_id_t value = tvi_graph_find_value(network->graph, view(name));
  if (!value) return TRIVET_STATUS(NOT_FOUND, "the network has no value \"%s\"", name);
  tvi_graph_value(network->graph, value)->observed = true;
  return TRIVET_OK;
}

trivet_status_t trivet_network_find_value(trivet_network_t* network, const char* name,
                                          trivet_value_t* out_value) {
  TRIVET_RETURN_IF_ERROR(check_open(network));
  if (!name || !out_value)
    return TRIVET_STATUS(INVALID_ARGUMENT, "finding a value needs its name and a place for it");
  trivet_value_t value = tvi_graph_builder_find(network->graph_builder, view(name));
  if (!value) return TRIVET_STATUS(NOT_FOUND, "the network has no value \"%s\"", name);
  *out_value = value;
  return TRIVET_OK;
}

// --- Asking -----------------------------------------------------------------------------

static trivet_status_t describe(const trivet_type_t* type, const char* name, uint32_t mode,
                                trivet_tensor_info_t* out_info) {
  trivet_tensor_info_t info;
  memset(&info, 0, sizeof(info));
  info.header = out_info->header;
  info.name = name;
  info.mode = mode;
  info.dtype = type->dtype;
  info.rank = type->rank;
  info.alignment = 1;
  for (uint32_t d = 0; d < type->rank; ++d) {
    if (!tvi_dim_is_constant(type->dims[d], &info.dims[d])) info.dims[d] = -1;
  }
  *out_info = info;
  return TRIVET_OK;
}

trivet_status_t trivet_network_value_type(const trivet_network_t* network, trivet_value_t value,
                                          trivet_tensor_info_t* out_info) {
  if (!network || !out_info)
    return TRIVET_STATUS(INVALID_ARGUMENT, "asking for a type needs a network and a place for it");
  const trivet_type_t* type =
      network->graph_builder->api->value_type(network->graph_builder, value);
  if (!type) return TRIVET_STATUS(OUT_OF_RANGE, "there is no value %u", value);
  return describe(type, "", TRIVET_TENSOR_OBSERVED, out_info);
}

uint32_t trivet_network_input_count(const trivet_network_t* network) {
  return network ? network->graph->input_count : 0;
}
uint32_t trivet_network_output_count(const trivet_network_t* network) {
  return network ? network->graph->output_count : 0;
}

trivet_status_t trivet_network_input(const trivet_network_t* network, uint32_t index,
                                     trivet_tensor_info_t* out_info) {
  if (!network || !out_info)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "asking for an input needs a network and a place for it");
  if (index >= network->graph->input_count)
    return TRIVET_STATUS(OUT_OF_RANGE, "input %u of %u", index, network->graph->input_count);
  const tvi_named_value_t* named = &network->graph->inputs[index];
  return describe(&tvi_graph_value(network->graph, named->value)->type, named->name.data,
                  TRIVET_TENSOR_INPUT, out_info);
}

trivet_status_t trivet_network_output(const trivet_network_t* network, uint32_t index,
                                      trivet_tensor_info_t* out_info) {
  if (!network || !out_info)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "asking for an output needs a network and a place for it");
  if (index >= network->graph->output_count)
    return TRIVET_STATUS(OUT_OF_RANGE, "output %u of %u", index, network->graph->output_count);
  const tvi_named_value_t* named = &network->graph->outputs[index];
  return describe(&tvi_graph_value(network->graph, named->value)->type, named->name.data,
                  TRIVET_TENSOR_OUTPUT, out_info);
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_network_parse_file(trivet_network_t* network, const char* path,
                                          const trivet_parse_options_t* options) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_parse_file",
                    network_parse_file(network, path, options));
}

trivet_status_t trivet_network_parse_memory(trivet_network_t* network, const void* bytes,
                                            uint64_t size, const trivet_parse_options_t* options) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_parse_memory",
                    network_parse_memory(network, bytes, size, options));
}

trivet_status_t trivet_network_parse_text(trivet_network_t* network, const char* text,
                                          uint64_t size) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_parse_text",
                    network_parse_text(network, text, size));
}

trivet_status_t trivet_network_run_passes(trivet_network_t* network, const char* pipeline,
                                          const trivet_config_t* config) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_run_passes",
                    network_run_passes(network, pipeline, config));
}

trivet_status_t trivet_network_add_input(trivet_network_t* network, const char* name,
                                         trivet_dtype_t dtype, uint32_t rank, const int64_t* dims,
                                         const char* const* symbols, trivet_value_t* out_value) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_add_input",
                    network_add_input(network, name, dtype, rank, dims, symbols, out_value));
}

trivet_status_t trivet_network_add_constant(trivet_network_t* network, const char* name,
                                            const trivet_tensor_t* tensor, uint32_t flags,
                                            trivet_value_t* out_value) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_add_constant",
                    network_add_constant(network, name, tensor, flags, out_value));
}

trivet_status_t trivet_network_add_node(trivet_network_t* network, const char* op,
                                        const trivet_value_t* inputs, uint32_t input_count,
                                        const trivet_attribute_t* attributes,
                                        uint32_t attribute_count, const char* name,
                                        uint32_t output_count, trivet_value_t* out_outputs) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_add_node",
                    network_add_node(network, op, inputs, input_count, attributes, attribute_count,
                                     name, output_count, out_outputs));
}

trivet_status_t trivet_network_mark_output(trivet_network_t* network, trivet_value_t value,
                                           const char* name) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_mark_output",
                    network_mark_output(network, value, name));
}

trivet_status_t trivet_network_observe(trivet_network_t* network, const char* name) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_network_observe",
                    network_observe(network, name));
}
