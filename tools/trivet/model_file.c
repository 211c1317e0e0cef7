// SPDX-License-Identifier: Apache-2.0
//
// Opens what a command calls MODEL: a file of any format that a plugin reads, a graph in Trivet's
// own text form, or one of both from standard input ("-").
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/trivet/command.h"

// Text of a graph begins with the word graph, behind comments and empty lines.
static bool is_graph_text(const char* bytes, size_t size) {
  size_t i = 0;
  while (i < size) {
    if (bytes[i] == '#') {
      while (i < size && bytes[i] != '\n') ++i;
    } else if (bytes[i] == ' ' || bytes[i] == '\t' || bytes[i] == '\r' || bytes[i] == '\n') {
      ++i;
    } else {
      break;
    }
  }
  return size - i > 6 && memcmp(bytes + i, "graph", 5) == 0 &&
         strchr(" \t\r\n{\"", bytes[i + 5]) != NULL;
}

static trivet_status_t read_stdin(model_t* model) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, trivet_allocator_system());
  char chunk[16384];
  for (size_t got; (got = fread(chunk, 1, sizeof(chunk), stdin)) > 0;) {
    trivet_string_view_t view = {chunk, got};
    tvi_string_builder_append(&text, view);
  }
  if (ferror(stdin)) {
    tvi_string_builder_deinit(&text);
    return TRIVET_STATUS(DATA_LOSS, "standard input cannot be read");
  }
  return tvi_string_builder_take(&text, &model->bytes, &model->size);
}

static trivet_status_t probe_text(const char* path, bool* out_text) {
  tvi_file_mapping_t* mapping = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_file_map(path, 0, TVI_FILE_TO_END, trivet_allocator_system(), &mapping));
  size_t size = mapping->size;
  *out_text = size != 0 && is_graph_text((const char*)mapping->data, size < 4096 ? size : 4096);
  tvi_file_mapping_release(mapping);
  return size ? TRIVET_OK : TRIVET_STATUS(INVALID_ARGUMENT, "'%s' is empty", path);
}

static trivet_status_t parse(model_t* model, const char* path, const arguments_t* arguments) {
  trivet_parse_options_t options;
  memset(&options, 0, sizeof(options));
  options.header.struct_size = sizeof(options);
  options.header.struct_type = TRIVET_STRUCT_PARSE_OPTIONS;
  options.frontend = option_value(arguments, "--frontend", NULL);
  bool text = false;
  if (strcmp(path, "-") == 0) {
    TRIVET_RETURN_IF_ERROR(read_stdin(model));
    text = !options.frontend && is_graph_text(model->bytes, model->size);
  } else if (!options.frontend) {
    TRIVET_RETURN_IF_ERROR(probe_text(path, &text));
    if (text) {
      TRIVET_RETURN_IF_ERROR(
          tvi_file_read(path, trivet_allocator_system(), &model->bytes, &model->size));
    }
  }
  if (text) {
    return trivet_status_annotate(
        trivet_network_parse_text(model->network, model->bytes, model->size), "%s", path);
  }
  if (model->bytes) {
    return trivet_network_parse_memory(model->network, model->bytes, model->size, &options);
  }
  return trivet_network_parse_file(model->network, path, &options);
}

trivet_status_t open_model(trivet_builder_t* builder, const char* path,
                           const arguments_t* arguments, model_t* model) {
  memset(model, 0, sizeof(*model));
  TRIVET_RETURN_IF_ERROR(trivet_network_create(builder, NULL, &model->network));
  return parse(model, path, arguments);
}

void close_model(model_t* model) {
  trivet_network_destroy(model->network);
  if (model->bytes) tvi_free(trivet_allocator_system(), model->bytes, model->size + 1);
  memset(model, 0, sizeof(*model));
}

trivet_status_t open_builder(const arguments_t* arguments, trivet_builder_t** out_builder) {
  trivet_builder_options_t options;
  memset(&options, 0, sizeof(options));
  options.header.struct_size = sizeof(options);
  options.header.struct_type = TRIVET_STRUCT_BUILDER_OPTIONS;
  options.logger = stderr_logger(arguments);
  TRIVET_RETURN_IF_ERROR(trivet_builder_create(&options, out_builder));
  trivet_status_t status = load_builder_plugins(*out_builder, arguments);
  if (status) {
    trivet_builder_destroy(*out_builder);
    *out_builder = NULL;
  }
  return status;
}

static trivet_status_t write_stdout(void* self, const void* bytes, size_t size) {
  (void)self;
  return fwrite(bytes, 1, size, stdout) == size
             ? TRIVET_OK
             : TRIVET_STATUS(DATA_LOSS, "standard output cannot be written");
}

trivet_status_t open_output(const char* path, output_t* output) {
  memset(output, 0, sizeof(*output));
  if (!path || strcmp(path, "-") == 0) {
    output->sink.write = write_stdout;
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(path, trivet_allocator_system(), &output->writer));
  output->sink = tvi_file_writer_sink(output->writer);
  return TRIVET_OK;
}

trivet_status_t close_output(output_t* output, trivet_status_t status) {
  if (!output->writer) return status;
  if (!status) return tvi_file_writer_commit(output->writer);
  tvi_file_writer_discard(output->writer);
  return status;
}
