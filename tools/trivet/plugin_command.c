// SPDX-License-Identifier: Apache-2.0
//
// trivet plugin: for authors of plugins. This file only chooses between new and check.
// What is made and what is checked are in files of their own.
#include <stdio.h>
#include <string.h>

#include "tools/trivet/plugin_command.h"

static int run(int argc, char** argv) {
  if (argc > 0 && strcmp(argv[0], "new") == 0) return new_plugin(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "check") == 0) return check_plugin(argc - 1, argv + 1);
  bool help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
  fputs(kPluginCommand.help, help ? stdout : stderr);
  return help ? 0 : 2;
}

const command_t kPluginCommand = {
    "plugin", "starts a plugin of your own, or checks one",
    "trivet plugin new KIND NAME    writes a folder NAME with a plugin that builds and its test\n"
    "trivet plugin check FILE.so    runs what a plugin brings and says what is wrong with it\n"
    "\n"
    "'trivet plugin new --help' and 'trivet plugin check --help' teach each.\n"
    "'trivet plugins' lists what is loaded.\n",
    run};
