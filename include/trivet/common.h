// SPDX-License-Identifier: Apache-2.0
//
// The types that every public header of Trivet shares: status, allocator, string view, struct
// header, logger, sink and the table of element types. C11 and C++17, no padding holes, no bool,
// enum, bit-field or C++ type in any layout. It must not grow anything that belongs to one library
// only.

#ifndef TRIVET_COMMON_H_
#define TRIVET_COMMON_H_

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "trivet/export.h"

// Lets the compiler check printf-style arguments; both positions count from 1, `first` is 0 for
// functions that take a va_list.
#if defined(__GNUC__)
#define TRIVET_PRINTF_FORMAT(format_index, first) \
  __attribute__((format(printf, format_index, first)))
#define TRIVET_MUST_USE __attribute__((warn_unused_result))
#else
#define TRIVET_PRINTF_FORMAT(format_index, first)
#define TRIVET_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#define TRIVET_STATIC_ASSERT(condition, message) static_assert(condition, message)
#else
#define TRIVET_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#endif

// ---------------------------------------------------------------------------------------------
// Struct header
// ---------------------------------------------------------------------------------------------

// First member of every struct that crosses the ABI by pointer. Fields are only ever appended, so
// `struct_size` (set by whoever fills the struct, to its own sizeof) says which fields exist.
// `struct_type` is one of the TRIVET_STRUCT_TYPE_ constants of the header that declares the struct.
// `next` chains extension structs, each beginning with a header itself; NULL ends the chain.
// Unknown struct types in a chain are ignored by readers.
typedef struct trivet_header_t {
  uint32_t struct_size;
  uint32_t struct_type;
  const void* next;
} trivet_header_t;

// True when the struct that `pointer` points to is long enough to hold `field`. The header member
// must be called `header`. `type` is the struct type, as this header version declares it.
#define TRIVET_HAS_FIELD(pointer, type, field) \
  ((size_t)(pointer)->header.struct_size >= offsetof(type, field) + sizeof(((const type*)0)->field))

// ---------------------------------------------------------------------------------------------
// String view
// ---------------------------------------------------------------------------------------------

// A borrowed run of bytes, usually UTF-8; not NUL-terminated. `data` may be NULL when `size` is 0.
// Whoever receives one copies it when it must outlive the call, unless the declaration says
// otherwise.
typedef struct trivet_string_view_t {
  const char* data;
  size_t size;
} trivet_string_view_t;

// A view of a string literal (its length is known at compile time). Usable as an initialiser of a
// static object when written TRIVET_SV_INIT.
#define TRIVET_SV_INIT(literal) \
  { "" literal, sizeof(literal) - 1 }
#ifdef __cplusplus
#define TRIVET_SV(literal) (trivet_string_view_t TRIVET_SV_INIT(literal))
#else
#define TRIVET_SV(literal) ((trivet_string_view_t)TRIVET_SV_INIT(literal))
#endif

// ---------------------------------------------------------------------------------------------
// Status
// ---------------------------------------------------------------------------------------------

// The result of every call that can fail: one word. NULL is OK. A value below 256 is a bare code;
// any other value is an owned object with a code, a message and a place in the source. Whoever
// receives a status owns it: return it on, or free it. Not to be used from two threads at once.
//
// Statuses are allocated by the C library's malloc, not by a caller's trivet_allocator_t: an error
// must be reportable when that allocator fails or does not exist yet. When malloc fails too, the
// bare code remains.
typedef struct trivet_status_s* trivet_status_t;

typedef uint32_t trivet_status_code_t;

#define TRIVET_STATUS_OK ((trivet_status_code_t)0)
// An argument or option that can never be right.
#define TRIVET_STATUS_INVALID_ARGUMENT ((trivet_status_code_t)1)
// A name, file or symbol that does not exist.
#define TRIVET_STATUS_NOT_FOUND ((trivet_status_code_t)2)
// A name that is taken.
#define TRIVET_STATUS_ALREADY_EXISTS ((trivet_status_code_t)3)
// A number beyond its limits: a shape outside its profile, a size that overflows.
#define TRIVET_STATUS_OUT_OF_RANGE ((trivet_status_code_t)4)
// A call that is right but comes at the wrong time.
#define TRIVET_STATUS_FAILED_PRECONDITION ((trivet_status_code_t)5)
// Something meaningful that this version cannot do.
#define TRIVET_STATUS_UNIMPLEMENTED ((trivet_status_code_t)6)
#define TRIVET_STATUS_OUT_OF_MEMORY ((trivet_status_code_t)7)
// A mistake of ours.
#define TRIVET_STATUS_INTERNAL ((trivet_status_code_t)8)
// Corrupt or malformed input: model, plan, text, archive.
#define TRIVET_STATUS_DATA_LOSS ((trivet_status_code_t)9)
// A device, library or plugin that is missing here and may exist elsewhere.
#define TRIVET_STATUS_UNAVAILABLE ((trivet_status_code_t)10)
// Another version, another target.
#define TRIVET_STATUS_INCOMPATIBLE ((trivet_status_code_t)11)
// Stopped because a callback asked for it.
#define TRIVET_STATUS_CANCELLED ((trivet_status_code_t)12)
#define TRIVET_STATUS_CODE_COUNT 13

// A status without message and without allocation. `code` must be below TRIVET_STATUS_CODE_COUNT.
#define TRIVET_STATUS_BARE(code) ((trivet_status_t)(uintptr_t)(code))

// Makes a status with a printf-style message. `file` may be NULL; only its base name is kept
// (copied). Code TRIVET_STATUS_OK gives NULL; an unknown code becomes INTERNAL.
// `format` may be NULL: a status with an empty message. Thread-safe.
TRIVET_API trivet_status_t trivet_status_make(trivet_status_code_t code, const char* file, int line,
                                              const char* format, ...)
    TRIVET_PRINTF_FORMAT(4, 5) TRIVET_MUST_USE;
TRIVET_API trivet_status_t trivet_status_make_v(trivet_status_code_t code, const char* file,
                                                int line, const char* format, va_list arguments)
    TRIVET_PRINTF_FORMAT(4, 0) TRIVET_MUST_USE;

// The code of a status; TRIVET_STATUS_OK for NULL.
TRIVET_API trivet_status_code_t trivet_status_code(trivet_status_t status);

// The message, NUL-terminated UTF-8 without a line feed at its end; never NULL. A bare status
// answers the name of its code. Owned by the status.
TRIVET_API const char* trivet_status_message(trivet_status_t status);

// Base name of the source file and line that made the status; "" and 0 when unknown. Owned by the
// status. Meant for bug reports: not part of the message, since messages are tested.
TRIVET_API const char* trivet_status_file(trivet_status_t status);
TRIVET_API int trivet_status_line(trivet_status_t status);

// Puts "<context>: " before the message, where context is the formatted text. Consumes `status` and
// returns the result. NULL stays NULL, and nothing is formatted.
TRIVET_API trivet_status_t trivet_status_annotate(trivet_status_t status, const char* format, ...)
    TRIVET_PRINTF_FORMAT(2, 3) TRIVET_MUST_USE;

// Joins two results into one: consumes both. When both are errors the first one's code and place
// win and the second one's message is appended after "; then ".
TRIVET_API trivet_status_t trivet_status_join(trivet_status_t first,
                                              trivet_status_t second) TRIVET_MUST_USE;

// Frees a status. Accepts NULL and bare codes.
TRIVET_API void trivet_status_free(trivet_status_t status);

// Frees a status and returns its code: for callers that act on the code alone.
TRIVET_API trivet_status_code_t trivet_status_consume(trivet_status_t status);

// A name such as "INVALID_ARGUMENT"; "UNKNOWN" for a number that is no code. Static text.
TRIVET_API const char* trivet_status_code_name(trivet_status_code_t code);

// ---------------------------------------------------------------------------------------------
// Allocator
// ---------------------------------------------------------------------------------------------

// Where heap memory comes from. Passed by value, stored by whoever allocates and used for the free.
// All functions may be called from any thread. Sizes and alignments given to `reallocate` and
// `deallocate` are those given at allocation. `alignment` is a power of two; sizes are above 0.
// An allocator whose `allocate` is NULL stands for trivet_allocator_system() wherever a public
// function takes one.
typedef struct trivet_allocator_t {
  // First argument of every call; may be NULL.
  void* self;
  // Required. Returns uninitialised memory, or NULL when there is none.
  void* (*allocate)(void* self, size_t size, size_t alignment);
  // Optional: NULL means allocate, copy, deallocate. Returns NULL on failure and then leaves
  // `pointer` as it was. `pointer` is not NULL.
  void* (*reallocate)(void* self, void* pointer, size_t old_size, size_t new_size,
                      size_t alignment);
  // Required. `pointer` is not NULL.
  void (*deallocate)(void* self, void* pointer, size_t size, size_t alignment);
} trivet_allocator_t;

// The C library's allocator. Thread-safe, holds no state of ours.
TRIVET_API trivet_allocator_t trivet_allocator_system(void);

// ---------------------------------------------------------------------------------------------
// Logger and sink
// ---------------------------------------------------------------------------------------------

typedef uint32_t trivet_severity_t;
#define TRIVET_SEVERITY_VERBOSE ((trivet_severity_t)0)
#define TRIVET_SEVERITY_INFO ((trivet_severity_t)1)
#define TRIVET_SEVERITY_WARNING ((trivet_severity_t)2)
#define TRIVET_SEVERITY_ERROR ((trivet_severity_t)3)

// Receives messages. Passed by value; `self` must outlive every object that was given it.
typedef struct trivet_logger_t {
  void* self;
  // Optional: NULL means that nothing is logged. May be called from any thread, also at once.
  // `message` is one line without line feed, valid during the call.
  void (*log)(void* self, trivet_severity_t severity, trivet_string_view_t message);
  // Messages below this severity are not formatted at all.
  trivet_severity_t least_severity;
  uint32_t reserved;
} trivet_logger_t;

// Receives errors, beside the statuses that calls return: for programs that keep a list of what
// went wrong. Passed by value; `self` must outlive every object that was given it.
typedef struct trivet_error_recorder_t {
  void* self;
  // Optional: NULL means that nothing is recorded. Called once for each failing call of the objects
  // that were made with it, in that call's thread, before it returns: `call` is its name,
  // "trivet_build", and `status` what it returns, which stays the caller's.
  void (*record)(void* self, const char* call, trivet_status_t status);
} trivet_error_recorder_t;

// Receives a stream of bytes in order (plans, dumps). Passed by value.
typedef struct trivet_sink_t {
  void* self;
  // Required. Takes all bytes or fails; after a failure nothing more is written. `bytes` is valid
  // during the call.
  trivet_status_t (*write)(void* self, const void* bytes, size_t size);
} trivet_sink_t;

// ---------------------------------------------------------------------------------------------
// Element types
// ---------------------------------------------------------------------------------------------

// The type of one tensor element. Numbers are part of the plan format and never change.
typedef uint32_t trivet_dtype_t;

#define TRIVET_DTYPE_INVALID ((trivet_dtype_t)0)
#define TRIVET_DTYPE_F32 ((trivet_dtype_t)1)
#define TRIVET_DTYPE_F16 ((trivet_dtype_t)2)   // IEEE 754 binary16
#define TRIVET_DTYPE_BF16 ((trivet_dtype_t)3)  // upper half of an f32
#define TRIVET_DTYPE_F64 ((trivet_dtype_t)4)
#define TRIVET_DTYPE_I8 ((trivet_dtype_t)5)
#define TRIVET_DTYPE_U8 ((trivet_dtype_t)6)
#define TRIVET_DTYPE_I16 ((trivet_dtype_t)7)
#define TRIVET_DTYPE_U16 ((trivet_dtype_t)8)
#define TRIVET_DTYPE_I32 ((trivet_dtype_t)9)
#define TRIVET_DTYPE_U32 ((trivet_dtype_t)10)
#define TRIVET_DTYPE_I64 ((trivet_dtype_t)11)
#define TRIVET_DTYPE_U64 ((trivet_dtype_t)12)
#define TRIVET_DTYPE_BOOL ((trivet_dtype_t)13)        // one byte, 0 or 1; any other byte reads as 1
#define TRIVET_DTYPE_F8E4M3FN ((trivet_dtype_t)14)    // no infinity, max 448
#define TRIVET_DTYPE_F8E4M3FNUZ ((trivet_dtype_t)15)  // no infinity, no -0, max 240
#define TRIVET_DTYPE_F8E5M2 ((trivet_dtype_t)16)      // infinity, max 57344
#define TRIVET_DTYPE_F8E5M2FNUZ ((trivet_dtype_t)17)  // no infinity, no -0, max 57344
#define TRIVET_DTYPE_F8E8M0 ((trivet_dtype_t)18)      // a power of two from 2^-127 to 2^127, or NaN
#define TRIVET_DTYPE_F4E2M1 ((trivet_dtype_t)19)      // no infinity, no NaN, max 6
#define TRIVET_DTYPE_I4 ((trivet_dtype_t)20)
#define TRIVET_DTYPE_U4 ((trivet_dtype_t)21)
#define TRIVET_DTYPE_I2 ((trivet_dtype_t)22)
#define TRIVET_DTYPE_U2 ((trivet_dtype_t)23)
#define TRIVET_DTYPE_C64 ((trivet_dtype_t)24)     // two f32: real, imaginary
#define TRIVET_DTYPE_C128 ((trivet_dtype_t)25)    // two f64
#define TRIVET_DTYPE_STRING ((trivet_dtype_t)26)  // host only; has no storage size
#define TRIVET_DTYPE_COUNT 27

// The class of an element type.
#define TRIVET_DTYPE_CLASS_NONE ((uint32_t)0)
#define TRIVET_DTYPE_CLASS_FLOAT ((uint32_t)1)
#define TRIVET_DTYPE_CLASS_INT ((uint32_t)2)
#define TRIVET_DTYPE_CLASS_UINT ((uint32_t)3)
#define TRIVET_DTYPE_CLASS_BOOL ((uint32_t)4)
#define TRIVET_DTYPE_CLASS_COMPLEX ((uint32_t)5)
#define TRIVET_DTYPE_CLASS_STRING ((uint32_t)6)

// One row per element type, in the order of their numbers: X(NAME, text, bits, CLASS). Elements of
// less than 8 bits are packed, the first one in the lowest bits of the first byte.
#define TRIVET_DTYPE_TABLE(X)           \
  X(INVALID, "invalid", 0, NONE)        \
  X(F32, "f32", 32, FLOAT)              \
  X(F16, "f16", 16, FLOAT)              \
  X(BF16, "bf16", 16, FLOAT)            \
  X(F64, "f64", 64, FLOAT)              \
  X(I8, "i8", 8, INT)                   \
  X(U8, "u8", 8, UINT)                  \
  X(I16, "i16", 16, INT)                \
  X(U16, "u16", 16, UINT)               \
  X(I32, "i32", 32, INT)                \
  X(U32, "u32", 32, UINT)               \
  X(I64, "i64", 64, INT)                \
  X(U64, "u64", 64, UINT)               \
  X(BOOL, "bool", 8, BOOL)              \
  X(F8E4M3FN, "f8e4m3fn", 8, FLOAT)     \
  X(F8E4M3FNUZ, "f8e4m3fnuz", 8, FLOAT) \
  X(F8E5M2, "f8e5m2", 8, FLOAT)         \
  X(F8E5M2FNUZ, "f8e5m2fnuz", 8, FLOAT) \
  X(F8E8M0, "f8e8m0", 8, FLOAT)         \
  X(F4E2M1, "f4e2m1", 4, FLOAT)         \
  X(I4, "i4", 4, INT)                   \
  X(U4, "u4", 4, UINT)                  \
  X(I2, "i2", 2, INT)                   \
  X(U2, "u2", 2, UINT)                  \
  X(C64, "c64", 64, COMPLEX)            \
  X(C128, "c128", 128, COMPLEX)         \
  X(STRING, "string", 0, STRING)

// The name of an element type, such as "f32"; "invalid" for a number that is none. Static text.
TRIVET_API const char* trivet_dtype_name(trivet_dtype_t dtype);

// Bytes that `count` elements occupy, packed types rounded up to whole bytes. INVALID_ARGUMENT for
// a type without storage size or a negative count, OUT_OF_RANGE when the size does not fit.
TRIVET_API trivet_status_t trivet_dtype_storage_size(trivet_dtype_t dtype, int64_t count,
                                                     size_t* out_bytes) TRIVET_MUST_USE;

TRIVET_STATIC_ASSERT(sizeof(trivet_header_t) == 16, "frozen layout");
TRIVET_STATIC_ASSERT(sizeof(trivet_string_view_t) == 16, "frozen layout");
TRIVET_STATIC_ASSERT(sizeof(trivet_allocator_t) == 32, "frozen layout");
TRIVET_STATIC_ASSERT(sizeof(trivet_logger_t) == 24, "frozen layout");
TRIVET_STATIC_ASSERT(sizeof(trivet_error_recorder_t) == 16, "frozen layout");
TRIVET_STATIC_ASSERT(sizeof(trivet_sink_t) == 16, "frozen layout");

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_COMMON_H_
