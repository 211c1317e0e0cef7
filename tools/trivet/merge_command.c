// SPDX-License-Identifier: Apache-2.0
//
// trivet merge: plans of one network for several targets as one file. The work is the runtime's;
// this names the files. 'trivet build' with several targets comes here, too.
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/trivet/command.h"

static trivet_status_t merge(trivet_runtime_t* runtime, const char* const* paths, uint32_t count,
                             const char* output) {
  tvi_file_writer_t* writer = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(output, trivet_allocator_system(), &writer));
  trivet_status_t status = trivet_plan_merge(runtime, paths, count, tvi_file_writer_sink(writer));
  if (status) {
    tvi_file_writer_discard(writer);
    return status;
  }
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_commit(writer));
  uint64_t before = 0, after = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t size = 0;
    TRIVET_RETURN_IF_ERROR(tvi_file_size(paths[i], &size));
    before += size;
  }
  TRIVET_RETURN_IF_ERROR(tvi_file_size(output, &after));
  printf("%s: %.1f MB, %u plans of %.1f MB together\n", output, (double)after * 1e-6, count,
         (double)before * 1e-6);
  return TRIVET_OK;
}

trivet_status_t merge_plans(const arguments_t* arguments, const char* const* paths, uint32_t count,
                            const char* output) {
  trivet_runtime_options_t options;
  memset(&options, 0, sizeof(options));
  options.header.struct_size = sizeof(options);
  options.header.struct_type = TRIVET_STRUCT_RUNTIME_OPTIONS;
  options.logger = stderr_logger(arguments);
  trivet_runtime_t* runtime = NULL;
  TRIVET_RETURN_IF_ERROR(trivet_runtime_create(&options, &runtime));
  trivet_status_t status = merge(runtime, paths, count, output);
  trivet_runtime_destroy(runtime);
  return status;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--output", "-o", true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kMergeCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kMergeCommand.help, stdout);
    return 0;
  }
  const char* output = option_value(&arguments, "--output", NULL);
  if (arguments.word_count < 1 || !output) {
    fprintf(stderr, "trivet merge: needs plans and -o PLAN; 'trivet merge --help' teaches it\n");
    return 2;
  }
  trivet_status_t status =
      merge_plans(&arguments, arguments.words, (uint32_t)arguments.word_count, output);
  return status ? report_error("merge", status) : 0;
}

const command_t kMergeCommand = {
    "merge", "makes one plan of several, each for another target",
    "trivet merge PLAN... -o PLAN2\n"
    "\n"
    "Plans of one network, built or tuned for other targets, become one file: what they have in\n"
    "common is there once, and a machine runs the first program that it can.\n"
    "\n"
    "  trivet merge a100.plan h100.plan -o both.plan\n"
    "  trivet build net.onnx -o both.plan --target cuda:sm_80,cuda:sm_90   the same in one step\n"
    "\n"
    "  -o, --output FILE      the plan to write\n",
    run};
