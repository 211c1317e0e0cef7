// SPDX-License-Identifier: Apache-2.0
//
// The thread pool that oneDNN's parallel regions run on. Every call of oneDNN that may create or
// run a primitive stands between two swaps.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_OPENMP_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_OPENMP_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// Makes |next| the pool of this thread and returns the one before. NULL: one thread.
trivet_executor_t* onednn_executor_swap(trivet_executor_t* next);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_OPENMP_H_
