// SPDX-License-Identifier: Apache-2.0
//
// trivet inspect: a model, a graph or a plan as text, JSON, or one HTML page with a picture. A plan
// is read without the plugins that would run it.
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/trivet/inspect.h"

void html_row(tvi_string_builder_t* html, const char* name, const char* value) {
  trivet_string_view_t text = {value, strlen(value)};
  tvi_string_builder_appendf(html, "<tr><th>%s</th><td>", name);
  tvi_string_builder_append_html(html, text);
  tvi_string_builder_append_cstr(html, "</td></tr>\n");
}

uint32_t family_of(families_t* seen, const char* name) {
  for (uint32_t i = 0; i < seen->count; ++i) {
    if (strncmp(seen->names[i], name, sizeof(seen->names[i]) - 1) == 0) return i;
  }
  if (seen->count == 64) return 63;
  snprintf(seen->names[seen->count], sizeof(seen->names[0]), "%s", name);
  return seen->count++;
}

trivet_status_t picture_short(picture_t* picture, const char* text, size_t limit,
                              trivet_string_view_t* out_text) {
  size_t size = strlen(text);
  if (size <= limit) {
    trivet_string_view_t view = {text, size};
    return tvi_arena_strdup(&picture->arena, view, out_text);
  }
  // Not in the middle of a UTF-8 sequence.
  size_t cut = limit - 3;
  while (cut && ((unsigned char)text[cut] & 0xc0) == 0x80) --cut;
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, trivet_allocator_system());
  tvi_string_builder_appendf(&builder, "%.*s...", (int)cut, text);
  trivet_status_t status = picture_keep(picture, &builder, out_text);
  tvi_string_builder_deinit(&builder);
  return status;
}

static trivet_status_t write_picture(picture_t* picture, const char* title, const char* path) {
  output_t output;
  const char* base = strrchr(title, '/');
  TRIVET_RETURN_IF_ERROR(picture_short(picture, base ? base + 1 : title, 200, &picture->title));
  TRIVET_RETURN_IF_ERROR(picture_layout(picture));
  TRIVET_RETURN_IF_ERROR(open_output(path, &output));
  TRIVET_RETURN_IF_ERROR(close_output(&output, picture_write_html(picture, output.sink)));
  if (strcmp(path, "-") != 0) {
    printf("%s: %zu boxes, %zu edges\n", path, picture->nodes.count, picture->edges.count);
  }
  return TRIVET_OK;
}

// --- Graph --------------------------------------------------------------------------------------

static trivet_status_t inspect_graph(const arguments_t* arguments) {
  const char* path = arguments->words[0];
  const char* html = option_value(arguments, "--html", NULL);
  trivet_builder_t* builder = NULL;
  model_t model;
  if (option_given(arguments, "--times")) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "--times is for plans; build the model first");
  }
  TRIVET_RETURN_IF_ERROR(open_builder(arguments, &builder));
  trivet_status_t status = open_model(builder, path, arguments, &model);
  if (!status && html) {
    picture_t picture;
    picture_init(&picture);
    status = network_to_picture(model.network, &picture);
    if (!status) status = write_picture(&picture, path, html);
    picture_deinit(&picture);
  } else if (!status) {
    output_t output;
    uint32_t flags = option_given(arguments, "--origins") ? TRIVET_PRINT_ORIGINS : 0;
    if (option_given(arguments, "--constants")) flags |= TRIVET_PRINT_CONSTANTS;
    status = open_output(option_value(arguments, "--output", NULL), &output);
    if (!status) {
      status = close_output(&output, option_given(arguments, "--json")
                                         ? network_to_json(model.network, output.sink)
                                         : trivet_network_print(model.network, flags, output.sink));
    }
  }
  close_model(&model);
  trivet_builder_destroy(builder);
  return status;
}

// --- Plan ---------------------------------------------------------------------------------------

// Milliseconds per step, from a run on random inputs.
static trivet_status_t measure_steps(const arguments_t* arguments, const tvi_plan_t* plan,
                                     tvi_arena_t* arena, double** out_times) {
  session_t session;
  double* times = NULL;
  uint32_t count = plan->programs[0].blocks[0].step_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, count + 1, sizeof(*times), &times));
  init_session(&session);
  trivet_status_t status = open_session(&session, arguments->words[0], arguments, NULL);
  for (int i = 0; i < 3 && !status; ++i) status = trivet_context_run(session.context);
  if (!status) status = trivet_context_enable_profile(session.context, 1);
  for (int i = 0; i < 10 && !status; ++i) status = trivet_context_run(session.context);
  for (uint32_t s = 0; s < count && !status; ++s) {
    trivet_layer_record_t record;
    memset(&record, 0, sizeof(record));
    record.header.struct_size = sizeof(record);
    record.header.struct_type = TRIVET_STRUCT_LAYER_RECORD;
    status = trivet_context_layer(session.context, s, &record);
    if (!status && record.count) times[s] = (double)record.nanoseconds / record.count * 1e-6;
  }
  close_session(&session);
  if (!status) *out_times = times;
  return status;
}

static trivet_status_t show_plan(const arguments_t* arguments, const tvi_plan_t* plan) {
  const char* html = option_value(arguments, "--html", NULL);
  if (html) {
    picture_t picture;
    double* times = NULL;
    picture_init(&picture);
    trivet_status_t status = TRIVET_OK;
    if (option_given(arguments, "--times")) {
      status = measure_steps(arguments, plan, &picture.arena, &times);
    }
    if (!status) status = plan_to_picture(plan, times, &picture);
    if (!status) status = write_picture(&picture, arguments->words[0], html);
    picture_deinit(&picture);
    return status;
  }
  tvi_string_builder_t text;
  output_t output;
  tvi_string_builder_init(&text, trivet_allocator_system());
  trivet_status_t status = option_given(arguments, "--json") ? tvi_plan_print_json(plan, &text)
                                                             : tvi_plan_print(plan, &text);
  if (!status) status = open_output(option_value(arguments, "--output", NULL), &output);
  if (!status) {
    trivet_string_view_t view = tvi_string_builder_view(&text);
    status = close_output(&output, output.sink.write(output.sink.self, view.data, view.size));
  }
  tvi_string_builder_deinit(&text);
  return status;
}

static trivet_status_t inspect_plan(const arguments_t* arguments) {
  trivet_allocator_t allocator = trivet_allocator_system();
  tvi_file_mapping_t* mapping = NULL;
  tvi_plan_t* plan = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_file_map(arguments->words[0], 0, TVI_FILE_TO_END, allocator, &mapping));
  uint32_t flags = option_given(arguments, "--no-verify") ? 0 : TVI_PLAN_READ_VERIFY_WEIGHTS;
  trivet_status_t status =
      tvi_plan_read((const uint8_t*)mapping->data, mapping->size, flags, allocator, &plan);
  if (!status) status = show_plan(arguments, plan);
  tvi_plan_destroy(plan);
  tvi_file_mapping_release(mapping);
  return trivet_status_annotate(status, "%s", arguments->words[0]);
}

static bool is_plan(const char* path) {
  char magic[8] = {0};
  FILE* file = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
  if (!file) return false;
  size_t size = fread(magic, 1, sizeof(magic), file);
  fclose(file);
  return size == sizeof(magic) && memcmp(magic, TVI_PLAN_MAGIC, sizeof(magic)) == 0;
}

static int run(int argc, char** argv) {
  option_t options[] = {
      {"--json", NULL, false, false, 0, {0}, 0},       {"--html", NULL, true, false, 0, {0}, 0},
      {"--output", "-o", true, false, 0, {0}, 0},      {"--times", NULL, false, false, 0, {0}, 0},
      {"--constants", NULL, false, false, 0, {0}, 0},  {"--origins", NULL, false, false, 0, {0}, 0},
      {"--no-verify", NULL, false, false, 0, {0}, 0},  {"--inputs", "-i", true, true, 0, {0}, 0},
      {"--shapes", NULL, true, false, 0, {0}, 0},      {"--threads", NULL, true, false, 0, {0}, 0},
      {"--frontend", NULL, true, false, 0, {0}, 0},    {"--plugin", NULL, true, true, 0, {0}, 0},
      {"--plugin-path", NULL, true, false, 0, {0}, 0}, {"--verbose", "-v", false, false, 0, {0}, 0},
      {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kInspectCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kInspectCommand.help, stdout);
    return 0;
  }
  if (arguments.word_count != 1) {
    fprintf(stderr,
            "trivet inspect: needs one model or plan; 'trivet inspect --help' teaches it\n");
    return 2;
  }
  if (option_given(&arguments, "--times") && !option_given(&arguments, "--html")) {
    fprintf(stderr,
            "trivet inspect: --times goes with --html; 'trivet bench --profile' lists "
            "times as text\n");
    return 2;
  }
  trivet_status_t status =
      is_plan(arguments.words[0]) ? inspect_plan(&arguments) : inspect_graph(&arguments);
  return status ? report_error("inspect", status) : 0;
}

const command_t kInspectCommand = {
    "inspect", "shows a model or a plan as text, JSON or a picture",
    "trivet inspect MODEL|PLAN [options]\n"
    "\n"
    "Shows what is in a model (any format that 'trivet build' reads, a graph as text, '-') or in "
    "a\n"
    "plan: as text, as JSON, or as one HTML page with the graph drawn, which needs no network and\n"
    "no other file. A plan is shown without the plugins that would run it.\n"
    "\n"
    "  trivet inspect net.onnx                     the graph as text\n"
    "  trivet inspect net.plan --json -o net.json  everything but the weights, for tools\n"
    "  trivet inspect net.plan --html net.html --times\n"
    "\n"
    "  --json              for tools; docs/plan_format.md has the keys of a plan\n"
    "  --html FILE         drag to move, turn the wheel to zoom, click a box for its details\n"
    "  --times             plan, with --html: runs it and shows where the time goes; with\n"
    "                      --inputs, --shapes, --threads as in 'trivet run'\n"
    "  -o, --output FILE   instead of standard output\n"
    "  --constants         graph as text: all contents of constants inline\n"
    "  --origins           graph as text: where each node came from\n"
    "  --no-verify         plan: does not hash the weights\n"
    "  --frontend NAME, --plugin FILE, --plugin-path A:B, -v   as in 'trivet build'\n",
    run};
