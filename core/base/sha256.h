// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 (FIPS 180-4): names bytes from strangers that a caller has decided to trust. Slow beside
// core/base/hash.h, which finds damage; it must not be used where no enemy is thought of.
#ifndef TRIVET_CORE_BASE_SHA256_H_
#define TRIVET_CORE_BASE_SHA256_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_SHA256_TEXT_SIZE 65u  // 64 hexadecimal digits and the NUL

// The digest of |size| bytes as `sha256sum` prints it. |bytes| may be NULL when |size| is 0.
void tvi_sha256_text(const void* bytes, size_t size, char out_text[TVI_SHA256_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_SHA256_H_
