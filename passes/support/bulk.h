// SPDX-License-Identifier: Apache-2.0
//
// Evaluates what folding does to whole weight tensors (moving elements, scaling, adding) with plain
// loops over memory: an evaluator for graphs that have none of their own. Same bits as the plain
// evaluator, which every other operator is left to.
#ifndef TRIVET_PASSES_SUPPORT_BULK_H_
#define TRIVET_PASSES_SUPPORT_BULK_H_

#include "core/graph/graph.h"

// Stateless. Answers UNIMPLEMENTED for operators and types that it does not know.
tvi_graph_evaluator_t tvi_bulk_evaluator(void);

#endif  // TRIVET_PASSES_SUPPORT_BULK_H_
