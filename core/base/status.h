// SPDX-License-Identifier: Apache-2.0
//
// Macros that make and pass on statuses; the type itself is public (trivet/common.h). Used by every
// function that can fail. Must not hide control flow other than the early return it is named for.

#ifndef TRIVET_CORE_BASE_STATUS_H_
#define TRIVET_CORE_BASE_STATUS_H_

#include "trivet/common.h"

#ifdef __FILE_NAME__
#define TVI_FILE_NAME __FILE_NAME__
#else
#define TVI_FILE_NAME __FILE__
#endif

#ifdef __cplusplus
extern "C" {
#endif

// trivet_status_make for errors: never NULL (code OK becomes INTERNAL), and the compiler knows it.
trivet_status_t tvi_status_make_error(trivet_status_code_t code, const char* file, int line,
                                      const char* format, ...)
    TRIVET_PRINTF_FORMAT(4, 5) TRIVET_MUST_USE __attribute__((returns_nonnull, cold));

#ifdef __cplusplus
}
#endif

// Makes an error here: TRIVET_STATUS(NOT_FOUND, "no tensor named '%s'", name). The code is written
// without its prefix. Messages name what is wrong and where, begin lower case, end without a dot.
#define TRIVET_STATUS(code, ...) \
  tvi_status_make_error(TRIVET_STATUS_##code, TVI_FILE_NAME, __LINE__, __VA_ARGS__)

// The successful status.
#define TRIVET_OK ((trivet_status_t)0)

// Evaluates an expression of type trivet_status_t and returns it from the enclosing function when
// it is an error.
#define TRIVET_RETURN_IF_ERROR(expression)                                     \
  do {                                                                         \
    trivet_status_t tvi_status_local_ = (expression);                          \
    if (__builtin_expect(tvi_status_local_ != 0, 0)) return tvi_status_local_; \
  } while (0)

// The same, with context put before the message:
//   TRIVET_RETURN_IF_ERROR_ANNOTATED(parse(node), "node '%s'", name);
#define TRIVET_RETURN_IF_ERROR_ANNOTATED(expression, ...)            \
  do {                                                               \
    trivet_status_t tvi_status_local_ = (expression);                \
    if (__builtin_expect(tvi_status_local_ != 0, 0))                 \
      return trivet_status_annotate(tvi_status_local_, __VA_ARGS__); \
  } while (0)

// Jumps to `label` when `status` (a variable) receives an error: for functions that clean up.
#define TRIVET_GOTO_IF_ERROR(status, expression, label) \
  do {                                                  \
    (status) = (expression);                            \
    if (__builtin_expect((status) != 0, 0)) goto label; \
  } while (0)

#endif  // TRIVET_CORE_BASE_STATUS_H_
