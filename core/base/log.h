// SPDX-License-Identifier: Apache-2.0
//
// Formats one line and hands it to a trivet_logger_t (trivet/common.h). Never fails, never
// allocates: lines beyond 2 KiB end in "...". Thread-safe as far as the logger is.

#ifndef TRIVET_CORE_BASE_LOG_H_
#define TRIVET_CORE_BASE_LOG_H_

#include <stdbool.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// The logger that drops everything.
static inline trivet_logger_t tvi_logger_null(void) {
  trivet_logger_t logger = {0, 0, TRIVET_SEVERITY_ERROR, 0};
  return logger;
}

// True when a message of this severity would be delivered: for callers whose text costs work.
static inline bool tvi_log_enabled(trivet_logger_t logger, trivet_severity_t severity) {
  return logger.log != 0 && severity >= logger.least_severity;
}

// Logs one line, printf style; line feeds become blanks.
void tvi_log(trivet_logger_t logger, trivet_severity_t severity, const char* format, ...)
    TRIVET_PRINTF_FORMAT(3, 4);

// Logs the message of a status and frees it: for errors that must not stop the caller.
void tvi_log_status(trivet_logger_t logger, trivet_severity_t severity, trivet_status_t status);

// Hands an error of the public call |call| to |recorder| (NULL: there is none) and returns it.
static inline trivet_status_t tvi_record(const trivet_error_recorder_t* recorder, const char* call,
                                         trivet_status_t status) {
  if (status != 0 && recorder != 0 && recorder->record != 0) {
    recorder->record(recorder->self, call, status);
  }
  return status;
}

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_LOG_H_
