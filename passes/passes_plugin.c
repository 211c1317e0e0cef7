// SPDX-License-Identifier: Apache-2.0
//
// The plugin's entry: all passes of this folder, for the registry. Which of them run, and in which
// order, is the pipeline's business (codegen/build/config.c, docs/how_to_add_a_pass.md).
#include "passes/passes.h"

#define PASS_ADDRESS(variable) &tvi_pass_##variable,

TRIVET_PLUGIN("passes", "1.0", "the passes of the default pipeline",
              TVI_PASSES(PASS_ADDRESS) TVI_REWRITES(PASS_ADDRESS))
