// SPDX-License-Identifier: Apache-2.0
//
// trivet tune: times the alternatives of a plan on this machine and keeps the fastest. The work is
// the runtime's; this reads options, writes the file and prints the report.
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "tools/trivet/command.h"

static trivet_status_t print(void* self, const void* bytes, size_t size) {
  (void)self;
  fwrite(bytes, 1, size, stdout);
  return TRIVET_OK;
}

static trivet_status_t tune(trivet_runtime_t* runtime, const arguments_t* arguments,
                            const char* output) {
  trivet_tune_options_t options;
  memset(&options, 0, sizeof(options));
  options.header.struct_size = sizeof(options);
  options.header.struct_type = TRIVET_STRUCT_TUNE_OPTIONS;
  options.timing_cache = option_value(arguments, "--timing-cache", NULL);
  options.report.write = print;
  int64_t number = 0;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--device", 0, 0, 4096, &number));
  options.device = (uint32_t)number;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--threads", 1, 1, 4096, &number));
  options.thread_count = (uint32_t)number;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--memory-limit", 0, 0, INT64_MAX, &number));
  options.memory_limit = (uint64_t)number;
  if (option_given(arguments, "--this-target-only")) options.flags = TRIVET_TUNE_THIS_TARGET_ONLY;
  if (option_given(arguments, "--once")) options.flags |= TRIVET_TUNE_ONCE;
  options.only = option_value(arguments, "--only", NULL);
  int64_t start = tvi_clock_now_ns();
  tvi_file_writer_t* writer = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(output, trivet_allocator_system(), &writer));
  trivet_status_t status =
      trivet_plan_tune(runtime, arguments->words[0], &options, tvi_file_writer_sink(writer));
  if (status) {
    tvi_file_writer_discard(writer);
    return status;
  }
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_commit(writer));
  uint64_t before = 0, after = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_size(arguments->words[0], &before));
  TRIVET_RETURN_IF_ERROR(tvi_file_size(output, &after));
  printf("%s: %.1f MB of %.1f, tuned in %.2f s\n", output, (double)after * 1e-6,
         (double)before * 1e-6, (double)(tvi_clock_now_ns() - start) * 1e-9);
  return TRIVET_OK;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--output", "-o", true, false, 0, {0}, 0},
                        {"--timing-cache", NULL, true, false, 0, {0}, 0},
                        {"--threads", NULL, true, false, 0, {0}, 0},
                        {"--device", NULL, true, false, 0, {0}, 0},
                        {"--memory-limit", NULL, true, false, 0, {0}, 0},
                        {"--this-target-only", NULL, false, false, 0, {0}, 0},
                        {"--only", NULL, true, false, 0, {0}, 0},
                        {"--once", NULL, false, false, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kTuneCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kTuneCommand.help, stdout);
    return 0;
  }
  const char* output = option_value(&arguments, "--output", NULL);
  if (arguments.word_count != 1 || !output) {
    fprintf(stderr, "trivet tune: needs a plan and -o PLAN; 'trivet tune --help' teaches it\n");
    return 2;
  }
  trivet_runtime_options_t runtime_options;
  memset(&runtime_options, 0, sizeof(runtime_options));
  runtime_options.header.struct_size = sizeof(runtime_options);
  runtime_options.header.struct_type = TRIVET_STRUCT_RUNTIME_OPTIONS;
  runtime_options.logger = stderr_logger(&arguments);
  trivet_runtime_t* runtime = NULL;
  trivet_status_t status = trivet_runtime_create(&runtime_options, &runtime);
  if (!status) status = load_runtime_plugins(runtime, &arguments);
  if (!status) status = tune(runtime, &arguments, output);
  trivet_runtime_destroy(runtime);
  return status ? report_error("tune", status) : 0;
}

const command_t kTuneCommand = {
    "tune", "times the alternatives of a plan on this machine and keeps the fastest",
    "trivet tune PLAN -o PLAN2 [options]\n"
    "\n"
    "A plan that was built with --alternatives, on a machine without the device perhaps, says "
    "more\n"
    "than one way to do a step. This times them all where they will run and writes the plan with "
    "the\n"
    "fastest ones, and prints what was chosen and why.\n"
    "\n"
    "  trivet build net.onnx -o net.plan --target cuda:sm_90 --alternatives 3\n"
    "  trivet tune net.plan -o tuned.plan\n"
    "\n"
    "  -o, --output FILE      the plan to write\n"
    "  --timing-cache FILE    measured times, read and added to; from one file the same bytes "
    "again\n"
    "  --threads N            threads of one inference, for plans of the CPU (1)\n"
    "  --device N             which device, for targets that have several (0)\n"
    "  --memory-limit BYTES   of the device; what needs more is an error\n"
    "  --this-target-only     leave out the plan's programs for other targets, which stay as they\n"
    "                         are otherwise\n"
    "  --only \"NAME;NAME...\"  tries no alternatives but those of these kernels or tactics\n"
    "  --once                 runs each once: its time says little, but tools that watch every\n"
    "                         access end sooner; not with --timing-cache\n"
    "  --plugin FILE, --plugin-path A:B   as in 'trivet build'\n",
    run};
