// SPDX-License-Identifier: Apache-2.0
//
// The parts of `trivet plugin`.
// For the command only: they print, which no library may.
#ifndef TRIVET_TOOLS_TRIVET_PLUGIN_COMMAND_H_
#define TRIVET_TOOLS_TRIVET_PLUGIN_COMMAND_H_

#include "tools/trivet/command.h"

int new_plugin(int argc, char** argv);
int check_plugin(int argc, char** argv);

#endif  // TRIVET_TOOLS_TRIVET_PLUGIN_COMMAND_H_
