// SPDX-License-Identifier: Apache-2.0
//
// Options of the command line, plugin folders, shapes on the command line. Every subcommand goes
// through it before anything else; wrong words end with a message and status 2.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tools/trivet/command.h"

static option_t* lookup(const arguments_t* arguments, const char* name, size_t size) {
  for (int i = 0; i < arguments->option_count; ++i) {
    option_t* option = &arguments->options[i];
    bool is_long = strlen(option->name) == size && memcmp(option->name, name, size) == 0;
    bool is_short = option->short_name && strlen(option->short_name) == size &&
                    memcmp(option->short_name, name, size) == 0;
    if (is_long || is_short) return option;
  }
  return NULL;
}

bool parse_arguments(const command_t* command, int argc, char** argv, arguments_t* arguments) {
  for (int i = 0; i < argc; ++i) {
    const char* word = argv[i];
    if (word[0] != '-' || word[1] == 0) {
      if (arguments->word_count == 64) {
        fprintf(stderr, "trivet %s: too many arguments\n", command->name);
        return false;
      }
      arguments->words[arguments->word_count++] = word;
      continue;
    }
    const char* equals = strchr(word, '=');
    option_t* option = lookup(arguments, word, equals ? (size_t)(equals - word) : strlen(word));
    if (!option) {
      fprintf(stderr, "trivet %s: unknown option '%s'; 'trivet %s --help' lists them\n",
              command->name, word, command->name);
      return false;
    }
    const char* value = equals ? equals + 1 : NULL;
    if (option->takes_value && !value) {
      if (i + 1 == argc) {
        fprintf(stderr, "trivet %s: %s needs a value\n", command->name, option->name);
        return false;
      }
      value = argv[++i];
    } else if (!option->takes_value && value && !option->repeats) {
      fprintf(stderr, "trivet %s: %s takes no value\n", command->name, option->name);
      return false;
    }
    if (option->repeats && option->seen < 64) option->values[option->seen] = value;
    option->value = value;
    ++option->seen;
  }
  return true;
}

const option_t* find_option(const arguments_t* arguments, const char* name) {
  return lookup(arguments, name, strlen(name));
}

const char* option_value(const arguments_t* arguments, const char* name, const char* fallback) {
  const option_t* option = find_option(arguments, name);
  return option && option->seen ? option->value : fallback;
}

bool option_given(const arguments_t* arguments, const char* name) {
  const option_t* option = find_option(arguments, name);
  return option && option->seen;
}

trivet_status_t option_number(const arguments_t* arguments, const char* name, int64_t fallback,
                              int64_t least, int64_t most, int64_t* out_value) {
  const char* text = option_value(arguments, name, NULL);
  if (!text) {
    *out_value = fallback;
    return TRIVET_OK;
  }
  char* end = NULL;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno || end == text || *end || value < least || value > most) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: '%s' is no whole number from %lld to %lld", name,
                         text, (long long)least, (long long)most);
  }
  *out_value = value;
  return TRIVET_OK;
}

int report_error(const char* command, trivet_status_t status) {
  fprintf(stderr, "trivet %s: %s: %s\n", command,
          trivet_status_code_name(trivet_status_code(status)), trivet_status_message(status));
  trivet_status_free(status);
  return 1;
}

const char* plugin_folders(const arguments_t* arguments, char* buffer, size_t size) {
  const char* given = option_value(arguments, "--plugin-path", NULL);
  if (!given) given = getenv("TRIVET_PLUGIN_PATH");
  if (given && *given) return given;
  char self[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length <= 0) return NULL;
  self[length] = 0;
  for (int up = 0; up < 2; ++up) {
    char* slash = strrchr(self, '/');
    if (slash) *slash = 0;
  }
  snprintf(buffer, size, "%s/lib/trivet/plugins", self);
  return tvi_file_is_directory(buffer) ? buffer : NULL;
}

trivet_status_t load_builder_plugins(trivet_builder_t* builder, const arguments_t* arguments) {
  char buffer[PATH_MAX + 32];
  const char* folders = plugin_folders(arguments, buffer, sizeof(buffer));
  if (folders) TRIVET_RETURN_IF_ERROR(trivet_builder_load_plugin_path(builder, folders));
  const option_t* plugins = find_option(arguments, "--plugin");
  for (int i = 0; plugins && i < plugins->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(trivet_builder_load_plugin(builder, plugins->values[i]));
  }
  return TRIVET_OK;
}

trivet_status_t load_runtime_plugins(trivet_runtime_t* runtime, const arguments_t* arguments) {
  char buffer[PATH_MAX + 32];
  const char* folders = plugin_folders(arguments, buffer, sizeof(buffer));
  if (folders) TRIVET_RETURN_IF_ERROR(trivet_runtime_load_plugin_path(runtime, folders));
  const option_t* plugins = find_option(arguments, "--plugin");
  for (int i = 0; plugins && i < plugins->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(trivet_runtime_load_plugin(runtime, plugins->values[i]));
  }
  return TRIVET_OK;
}

// One "name:1x2x3"; the name may hold colons, the shape is behind the last one. A scalar has
// nothing behind it.
static trivet_status_t parse_shape(const char* text, size_t size, named_shape_t* shape) {
  const char* colon = NULL;
  for (const char* c = text; c < text + size; ++c) {
    if (*c == ':') colon = c;
  }
  if (!colon || colon == text || (size_t)(colon - text) >= sizeof(shape->name)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%.*s' is no NAME:AxBxC", (int)size, text);
  }
  memset(shape, 0, sizeof(*shape));
  memcpy(shape->name, text, (size_t)(colon - text));
  for (const char* c = colon + 1; c < text + size;) {
    char* end = NULL;
    errno = 0;
    long long extent = strtoll(c, &end, 10);
    bool stop = end == text + size;
    bool more = !stop && *end == 'x' && end + 1 < text + size;
    if (errno || end == c || extent < 0 || (!stop && !more) || shape->rank == TRIVET_MAX_RANK) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "'%.*s' is no NAME:AxBxC", (int)size, text);
    }
    shape->dims[shape->rank++] = extent;
    c = stop ? end : end + 1;
  }
  return TRIVET_OK;
}

trivet_status_t parse_shapes(const char* text, named_shape_t* shapes, size_t capacity,
                             size_t* out_count) {
  *out_count = 0;
  while (text && *text) {
    size_t size = strcspn(text, ",");
    if (*out_count == capacity)
      return TRIVET_STATUS(OUT_OF_RANGE, "more than %zu shapes", capacity);
    TRIVET_RETURN_IF_ERROR(parse_shape(text, size, &shapes[(*out_count)++]));
    text += size + (text[size] == ',');
  }
  return TRIVET_OK;
}

static void log_line(void* self, trivet_severity_t severity, trivet_string_view_t message) {
  (void)self, (void)severity;
  fprintf(stderr, "%.*s\n", (int)message.size, message.data);
}

trivet_logger_t stderr_logger(const arguments_t* arguments) {
  trivet_severity_t least =
      option_given(arguments, "--verbose") ? TRIVET_SEVERITY_VERBOSE : TRIVET_SEVERITY_WARNING;
  trivet_logger_t logger = {NULL, log_line, least, 0};
  return logger;
}
