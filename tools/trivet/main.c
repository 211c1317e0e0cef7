// SPDX-License-Identifier: Apache-2.0
//
// trivet: compiles networks into plans and runs them, from the command line. This file only chooses
// the subcommand.
#include <stdio.h>
#include <string.h>

#include "tools/trivet/command.h"

static const command_t* const kCommands[] = {
    &kBuildCommand,   &kRunCommand, &kBenchCommand,  &kTuneCommand,    &kMergeCommand,
    &kInspectCommand, &kOptCommand, &kPluginCommand, &kPluginsCommand, &kDoctorCommand,
};
#define COMMAND_COUNT (sizeof(kCommands) / sizeof(kCommands[0]))

static void print_help(FILE* out) {
  fprintf(out, "trivet %s: compiles trained networks into plans and runs them\n\n",
          trivet_version());
  fprintf(out, "  trivet build model.onnx -o model.plan\n  trivet run model.plan\n\ncommands:\n");
  for (size_t i = 0; i < COMMAND_COUNT; ++i) {
    fprintf(out, "  %-9s %s\n", kCommands[i]->name, kCommands[i]->summary);
  }
  fprintf(out, "\n'trivet COMMAND --help' teaches one command.\n");
}

int main(int argc, char** argv) {
  if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
      strcmp(argv[1], "help") == 0) {
    print_help(argc < 2 ? stderr : stdout);
    return argc < 2 ? 2 : 0;
  }
  if (strcmp(argv[1], "--version") == 0) {
    printf("trivet %s\n", trivet_version());
    return 0;
  }
  for (size_t i = 0; i < COMMAND_COUNT; ++i) {
    if (strcmp(argv[1], kCommands[i]->name) == 0) return kCommands[i]->run(argc - 2, argv + 2);
  }
  fprintf(stderr, "trivet: there is no command '%s'; 'trivet --help' lists them\n", argv[1]);
  return 2;
}
