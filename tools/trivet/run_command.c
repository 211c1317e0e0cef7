// SPDX-License-Identifier: Apache-2.0
//
// trivet run: a plan on inputs from files, outputs to files.
// It stands on the runtime alone; making a plan is another command's work.
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "tools/trivet/command.h"

static void print_array(const tvi_npy_array_t* array) {
  printf("%.*s: %s[", (int)array->name.size, array->name.data, trivet_dtype_name(array->dtype));
  int64_t count = 1;
  for (uint32_t d = 0; d < array->rank; ++d) {
    printf("%s%lld", d ? "x" : "", (long long)array->shape[d]);
    count *= array->shape[d];
  }
  printf("]");
  for (int64_t i = 0; i < count && i < 8; ++i) {
    printf(" %g", tvi_dtype_read_f64(array->dtype, array->data, i));
  }
  printf(count > 8 ? " ...\n" : "\n");
}

static trivet_status_t write_outputs(const session_t* s, const char* path) {
  tvi_npy_array_t arrays[256];
  size_t count = 0;
  for (uint32_t t = 0; t < s->tensor_count; ++t) {
    trivet_tensor_info_t info;
    memset(&info, 0, sizeof(info));
    info.header.struct_size = sizeof(info);
    info.header.struct_type = TRIVET_STRUCT_TENSOR_INFO;
    TRIVET_RETURN_IF_ERROR(trivet_engine_tensor_info(s->engine, t, &info));
    if (info.mode == TRIVET_TENSOR_INPUT) continue;
    TRIVET_RETURN_IF_ERROR(session_tensor(s, t, &arrays[count]));
    print_array(&arrays[count++]);
  }
  if (!path) return TRIVET_OK;
  tvi_file_writer_t* writer = NULL;
  trivet_allocator_t allocator = trivet_allocator_system();
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(path, allocator, &writer));
  trivet_status_t status = tvi_npz_write(arrays, count, tvi_file_writer_sink(writer), allocator);
  if (status) {
    tvi_file_writer_discard(writer);
    return status;
  }
  return tvi_file_writer_commit(writer);
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--inputs", "-i", true, true, 0, {0}, 0},
                        {"--outputs", "-o", true, false, 0, {0}, 0},
                        {"--shapes", NULL, true, false, 0, {0}, 0},
                        {"--threads", NULL, true, false, 0, {0}, 0},
                        {"--no-verify", NULL, false, false, 0, {0}, 0},
                        {"--allow-carried-plugins", NULL, false, true, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--device", NULL, true, false, 0, {0}, 0},
                        {"--no-graph", NULL, false, false, 0, {0}, 0},
                        {"--memory-limit", NULL, true, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kRunCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kRunCommand.help, stdout);
    return 0;
  }
  if (arguments.word_count != 1) {
    fprintf(stderr, "trivet run: needs one plan; 'trivet run --help' teaches it\n");
    return 2;
  }
  trivet_runtime_options_t runtime;
  memset(&runtime, 0, sizeof(runtime));
  runtime.header.struct_size = sizeof(runtime);
  runtime.header.struct_type = TRIVET_STRUCT_RUNTIME_OPTIONS;
  runtime.logger = stderr_logger(&arguments);
  session_t session;
  init_session(&session);
  trivet_status_t status = open_session(&session, arguments.words[0], &arguments, &runtime);
  if (!status) {
    int64_t start = tvi_clock_now_ns();
    status = trivet_context_run(session.context);
    if (!status) {
      printf("loaded in %.2f ms, prepared in %.2f ms, ran in %.3f ms\n", session.load_ms,
             session.prepare_ms, (double)(tvi_clock_now_ns() - start) * 1e-6);
    }
  }
  if (!status) status = write_outputs(&session, option_value(&arguments, "--outputs", NULL));
  close_session(&session);
  return status ? report_error("run", status) : 0;
}

const command_t kRunCommand = {
    "run", "runs a plan on inputs from files",
    "trivet run PLAN [options]\n"
    "\n"
    "Runs PLAN once and prints the first elements of every output.\n"
    "\n"
    "  trivet run net.plan --inputs x.npy --outputs out.npz\n"
    "  trivet run net.plan --shapes x:4x3x224x224         random inputs of that shape\n"
    "\n"
    "  -i, --inputs PATH      .npy (named like its input, or NAME=FILE), .npz (arrays named like\n"
    "                         inputs), .bin (raw; with --shapes), or a folder of them "
    "(repeatable);\n"
    "                         inputs that no file gives are random, of the plan's favourite shape\n"
    "  -o, --outputs FILE     .npz with all outputs and observed values\n"
    "  --shapes SHAPES        NAME:AxBxC,... for inputs without an array of their own\n"
    "  --threads N            threads of one inference (1)\n"
    "  --no-verify            does not hash the weights\n"
    "  --device N             which device, for targets that have several (0)\n"
    "  --memory-limit BYTES   of the device; what needs more is an error\n"
    "  --plugin FILE, --plugin-path A:B   as in 'trivet build'\n"
    "  --allow-carried-plugins[=SHA256]   loads plugins that the plan carries: any, or those with\n"
    "                         this hash (repeatable); 'trivet inspect' shows it. They run with "
    "your\n"
    "                         rights: only for plans that you trust\n",
    run};
