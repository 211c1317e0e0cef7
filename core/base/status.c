// SPDX-License-Identifier: Apache-2.0
//
// The status object: code, place and message in one block of the C library's malloc (the caller's
// allocator may be what failed). When malloc fails the bare code remains, so making a status never
// fails. Must not log, print or end the process.

#include "core/base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trivet_status_s {
  trivet_status_code_t code;
  int line;
  size_t message_size;
  char file[48];
  char message[];
};

static const char* const code_names[TRIVET_STATUS_CODE_COUNT] = {
    "OK",           "INVALID_ARGUMENT",    "NOT_FOUND",     "ALREADY_EXISTS",
    "OUT_OF_RANGE", "FAILED_PRECONDITION", "UNIMPLEMENTED", "OUT_OF_MEMORY",
    "INTERNAL",     "DATA_LOSS",           "UNAVAILABLE",   "INCOMPATIBLE",
    "CANCELLED",
};

static bool is_bare(trivet_status_t status) { return (uintptr_t)status < 256; }

const char* trivet_status_code_name(trivet_status_code_t code) {
  return code < TRIVET_STATUS_CODE_COUNT ? code_names[code] : "UNKNOWN";
}

static void copy_base_name(const char* path, char* out, size_t out_size) {
  if (path == NULL) path = "";
  const char* slash = strrchr(path, '/');
  snprintf(out, out_size, "%s", slash != NULL ? slash + 1 : path);
}

trivet_status_t trivet_status_make_v(trivet_status_code_t code, const char* file, int line,
                                     const char* format, va_list arguments) {
  if (code == TRIVET_STATUS_OK) return NULL;
  if (code >= TRIVET_STATUS_CODE_COUNT) code = TRIVET_STATUS_INTERNAL;
  int length = 0;
  if (format != NULL) {
    va_list copy;
    va_copy(copy, arguments);
    length = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    if (length < 0) length = 0;
  }
  trivet_status_t status = malloc(sizeof(*status) + (size_t)length + 1);
  if (status == NULL) return TRIVET_STATUS_BARE(code);
  status->code = code;
  status->line = line;
  status->message_size = (size_t)length;
  copy_base_name(file, status->file, sizeof(status->file));
  if (length > 0) vsnprintf(status->message, (size_t)length + 1, format, arguments);
  status->message[length] = '\0';
  return status;
}

trivet_status_t trivet_status_make(trivet_status_code_t code, const char* file, int line,
                                   const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, file, line, format, arguments);
  va_end(arguments);
  return status;
}

trivet_status_t tvi_status_make_error(trivet_status_code_t code, const char* file, int line,
                                      const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(
      code != TRIVET_STATUS_OK ? code : TRIVET_STATUS_INTERNAL, file, line, format, arguments);
  va_end(arguments);
  return status;
}

trivet_status_code_t trivet_status_code(trivet_status_t status) {
  if (is_bare(status)) return (trivet_status_code_t)(uintptr_t)status;
  return status->code;
}

const char* trivet_status_message(trivet_status_t status) {
  if (is_bare(status)) return trivet_status_code_name(trivet_status_code(status));
  return status->message;
}

const char* trivet_status_file(trivet_status_t status) {
  return is_bare(status) ? "" : status->file;
}

int trivet_status_line(trivet_status_t status) { return is_bare(status) ? 0 : status->line; }

trivet_status_t trivet_status_annotate(trivet_status_t status, const char* format, ...) {
  if (status == NULL) return NULL;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t context =
      trivet_status_make_v(trivet_status_code(status), trivet_status_file(status),
                           trivet_status_line(status), format, arguments);
  va_end(arguments);
  if (is_bare(context)) return status;
  trivet_status_t result = trivet_status_make(
      trivet_status_code(status), trivet_status_file(status), trivet_status_line(status), "%s: %s",
      context->message, trivet_status_message(status));
  trivet_status_free(context);
  // Losing the context is better than losing the message.
  if (is_bare(result)) return status;
  trivet_status_free(status);
  return result;
}

trivet_status_t trivet_status_join(trivet_status_t first, trivet_status_t second) {
  if (first == NULL) return second;
  if (second == NULL) return first;
  trivet_status_t result = trivet_status_make(
      trivet_status_code(first), trivet_status_file(first), trivet_status_line(first),
      "%s; then %s", trivet_status_message(first), trivet_status_message(second));
  trivet_status_free(second);
  if (is_bare(result)) return first;
  trivet_status_free(first);
  return result;
}

void trivet_status_free(trivet_status_t status) {
  if (!is_bare(status)) free(status);
}

trivet_status_code_t trivet_status_consume(trivet_status_t status) {
  trivet_status_code_t code = trivet_status_code(status);
  trivet_status_free(status);
  return code;
}
