// SPDX-License-Identifier: Apache-2.0
//
// What the two forms of the Gaussian error linear unit share: 0.5 * x * (1 + f(p(x))) with an odd
// function f and a polynomial p, written in any order.
#ifndef TRIVET_PASSES_SUPPORT_GELU_H_
#define TRIVET_PASSES_SUPPORT_GELU_H_

#include "passes/support/edit.h"
#include "passes/support/match.h"

// edit->at is the node of f. Where the whole is there and its polynomial is |wanted|, it becomes
// std.Gelu with |approximate|; otherwise nothing changes, and a near miss is reported.
trivet_status_t tvi_gelu_rewrite(tvi_edit_t* edit, const tvi_node_t* node,
                                 const tvi_polynomial_t* wanted, const char* approximate);

#endif  // TRIVET_PASSES_SUPPORT_GELU_H_
