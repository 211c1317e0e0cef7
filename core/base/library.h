// SPDX-License-Identifier: Apache-2.0
//
// Shared objects opened at run time: plugins, and device libraries that may be missing. Always
// bound at once and private to the opener. Never searches the current directory.

#ifndef TRIVET_CORE_BASE_LIBRARY_H_
#define TRIVET_CORE_BASE_LIBRARY_H_

#include <stddef.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_library_t tvi_library_t;

// Opens `path`: with a "/" that file, without one whatever the system's loader finds by that name.
// UNAVAILABLE with the loader's reason when it cannot; NOT_FOUND when a path with "/" does not
// exist.
trivet_status_t tvi_library_open(const char* path, trivet_allocator_t allocator,
                                 tvi_library_t** out_library) TRIVET_MUST_USE;
// Opens a shared object that lies in memory, through a file without a name (so that nobody else can
// change it). `name` stands in messages; what it links is searched as for any other object.
// UNAVAILABLE when the system has no room for such a file or its loader refuses it.
trivet_status_t tvi_library_open_memory(const char* name, const void* bytes, size_t size,
                                        trivet_allocator_t allocator,
                                        tvi_library_t** out_library) TRIVET_MUST_USE;
// Opens the first of several names that can be; UNAVAILABLE lists every name and reason.
trivet_status_t tvi_library_open_any(const char* const* names, size_t name_count,
                                     trivet_allocator_t allocator,
                                     tvi_library_t** out_library) TRIVET_MUST_USE;
// Closes and frees. Accepts NULL. Under AddressSanitizer the object stays mapped, so that leak
// reports can name its functions.
void tvi_library_close(tvi_library_t* library);

// Keeps the shared object mapped until the process ends, also when it is closed: for large
// libraries that are opened again and again and take longer to map than to use.
void tvi_library_stay(const tvi_library_t* library);

// The address of a symbol, or NULL.
void* tvi_library_try_symbol(const tvi_library_t* library, const char* name);
// The same; NOT_FOUND names symbol and library.
trivet_status_t tvi_library_symbol(const tvi_library_t* library, const char* name,
                                   void** out_address) TRIVET_MUST_USE;
// The name it was opened by. Owned by the library.
const char* tvi_library_path(const tvi_library_t* library);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_LIBRARY_H_
