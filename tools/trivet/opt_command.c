// SPDX-License-Identifier: Apache-2.0
//
// trivet opt: named passes over a graph, text in, text out. How passes are written and debugged.
// It stands on the public API; what it prints reads back with `trivet build`.
#include <stdio.h>

#include "tools/trivet/command.h"

static trivet_status_t configure(trivet_config_t* config, const arguments_t* arguments) {
  int64_t number = 0;
  const option_t* disabled = find_option(arguments, "--disable");
  for (int i = 0; i < disabled->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(trivet_config_disable_pass(config, disabled->values[i]));
  }
  TRIVET_RETURN_IF_ERROR(
      trivet_config_set_dump_folder(config, option_value(arguments, "--dump", NULL)));
  TRIVET_RETURN_IF_ERROR(
      trivet_config_set_skip_nodes(config, option_value(arguments, "--skip-nodes", NULL)));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--stop-after", -1, -1, INT64_MAX, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_stop_after(config, number));
  return trivet_config_set_flags(
      config, option_given(arguments, "--verify") ? TRIVET_BUILD_VERIFY_PASSES : 0);
}

static trivet_status_t optimize(trivet_builder_t* builder, const arguments_t* arguments) {
  model_t model;
  trivet_config_t* config = NULL;
  trivet_status_t status = open_model(builder, arguments->words[0], arguments, &model);
  if (!status) status = trivet_config_create(builder, &config);
  if (!status) status = configure(config, arguments);
  if (!status) {
    status =
        trivet_network_run_passes(model.network, option_value(arguments, "--passes", NULL), config);
  }
  uint32_t flags = 0;
  if (option_given(arguments, "--constants")) flags |= TRIVET_PRINT_CONSTANTS;
  if (option_given(arguments, "--origins")) flags |= TRIVET_PRINT_ORIGINS;
  output_t output;
  if (!status) {
    status = open_output(option_value(arguments, "--output", NULL), &output);
    if (!status) {
      status = close_output(&output, trivet_network_print(model.network, flags, output.sink));
    }
  }
  trivet_config_destroy(config);
  close_model(&model);
  return status;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--passes", "-p", true, false, 0, {0}, 0},
                        {"--output", "-o", true, false, 0, {0}, 0},
                        {"--constants", NULL, false, false, 0, {0}, 0},
                        {"--origins", NULL, false, false, 0, {0}, 0},
                        {"--disable", NULL, true, true, 0, {0}, 0},
                        {"--skip-nodes", NULL, true, false, 0, {0}, 0},
                        {"--stop-after", NULL, true, false, 0, {0}, 0},
                        {"--dump", NULL, true, false, 0, {0}, 0},
                        {"--verify", NULL, false, false, 0, {0}, 0},
                        {"--frontend", NULL, true, false, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kOptCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kOptCommand.help, stdout);
    return 0;
  }
  if (arguments.word_count != 1) {
    fprintf(stderr, "trivet opt: needs one model or '-'; 'trivet opt --help' teaches it\n");
    return 2;
  }
  trivet_builder_t* builder = NULL;
  trivet_status_t status = open_builder(&arguments, &builder);
  if (!status) status = optimize(builder, &arguments);
  trivet_builder_destroy(builder);
  return status ? report_error("opt", status) : 0;
}

const command_t kOptCommand = {
    "opt", "runs named passes over a graph and prints it",
    "trivet opt MODEL [--passes LIST] [-o FILE] [options]\n"
    "\n"
    "Reads MODEL (a model file, or a graph as text; '-' is standard input), runs passes over it "
    "and\n"
    "prints the graph as text, which can be read again.\n"
    "\n"
    "  trivet opt net.onnx --passes ''                           the graph as it was read\n"
    "  trivet opt net.onnx -p fold-constants,remove-dead -o folded.txt\n"
    "  trivet opt - -p '(simplify-transposes,remove-identity)*' <graph.txt\n"
    "\n"
    "  -p, --passes LIST   \"a,(b,c)*,d\": a once, b and c until nothing changes, d once; without "
    "it\n"
    "                      the passes of 'trivet build' ('trivet plugins --all' lists their "
    "names)\n"
    "  -o, --output FILE   instead of standard output\n"
    "  --constants         all contents of constants inline, so that the text is self-contained\n"
    "  --origins           comments: where each node came from, which pass made it\n"
    "  --disable NAME      leaves a pass out (repeatable)\n"
    "  --skip-nodes NAMES  nodes of the model that no pass may touch\n"
    "  --stop-after N      bisection: nothing changes after N changes\n"
    "  --dump FOLDER       the graph after each pass that changed it\n"
    "  --verify            checks the graph after each pass\n"
    "  --frontend NAME, --plugin FILE, --plugin-path A:B, -v   as in 'trivet build'\n",
    run};
