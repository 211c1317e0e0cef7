// SPDX-License-Identifier: Apache-2.0
//
// Formats log lines on the stack, so that logging works when memory has run out.
// Called from any thread; it must not allocate, and never fails its caller.

#include "core/base/log.h"

#include <stdio.h>
#include <string.h>

static void deliver(trivet_logger_t logger, trivet_severity_t severity, char* line, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (line[i] == '\n' || line[i] == '\r') line[i] = ' ';
  }
  trivet_string_view_t message = {line, size};
  logger.log(logger.self, severity, message);
}

void tvi_log(trivet_logger_t logger, trivet_severity_t severity, const char* format, ...) {
  if (!tvi_log_enabled(logger, severity)) return;
  char line[2048];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  if (length < 0) return;
  size_t size = (size_t)length;
  if (size >= sizeof(line)) {
    size = sizeof(line) - 1;
    memcpy(line + size - 3, "...", 3);
  }
  deliver(logger, severity, line, size);
}

void tvi_log_status(trivet_logger_t logger, trivet_severity_t severity, trivet_status_t status) {
  if (status != NULL) {
    tvi_log(logger, severity, "%s: %s", trivet_status_code_name(trivet_status_code(status)),
            trivet_status_message(status));
  }
  trivet_status_free(status);
}
