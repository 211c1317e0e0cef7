// SPDX-License-Identifier: Apache-2.0
//
// What npy.c and npz.c share; nobody else includes it.
// Array files come from outside: sizes are checked here before anybody trusts a header.

#ifndef TRIVET_CORE_BASE_NPY_INTERNAL_H_
#define TRIVET_CORE_BASE_NPY_INTERNAL_H_

#include "core/base/byte_writer.h"
#include "core/base/npy.h"

#define TVI_NPY_MAGIC "\x93NUMPY"

// Writes magic and header of an array into an empty writer; checks type, shape and size. Handles
// the writer's remembered failure.
trivet_status_t tvi_npy_write_header(const tvi_npy_array_t* array,
                                     tvi_byte_writer_t* writer) TRIVET_MUST_USE;

#endif  // TRIVET_CORE_BASE_NPY_INTERNAL_H_
