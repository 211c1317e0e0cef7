// SPDX-License-Identifier: Apache-2.0
//
// The one mark that makes a function visible outside its shared object: everything else is compiled
// hidden. It stands before the declaration of every public function. It must not do anything else.
#ifndef TRIVET_EXPORT_H_
#define TRIVET_EXPORT_H_

#if defined(__GNUC__)
#define TRIVET_API __attribute__((visibility("default")))
#else
#define TRIVET_API
#endif

#endif  // TRIVET_EXPORT_H_
