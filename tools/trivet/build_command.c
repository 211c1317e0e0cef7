// SPDX-License-Identifier: Apache-2.0
//
// trivet build: a model to a plan. From words to a config and back to a report; it compiles through
// the public API like anybody else.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/string_view.h"
#include "tools/trivet/command.h"

#define MAX_INPUTS 64
#define MAX_TARGETS 16
#define TARGET_NAME 64

typedef struct bar_s {
  bool terminal;
  int64_t last;
} bar_t;

static uint32_t show_progress(void* self, const char* phase, uint32_t done, uint32_t total) {
  bar_t* bar = (bar_t*)self;
  if (!bar->terminal || !total) return 0;
  int64_t now = tvi_clock_now_ns();
  if (now - bar->last < 50000000 && done != total) return 0;
  bar->last = now;
  int filled = (int)(30.0 * done / total);
  fprintf(stderr, "\r%-8s [%.*s%.*s] %u/%u  ", phase, filled, "##############################",
          30 - filled, "..............................", done, total);
  fflush(stderr);
  return 0;
}

static trivet_status_t set_profile(trivet_config_t* config, const arguments_t* arguments) {
  named_shape_t shapes[3][MAX_INPUTS];
  size_t counts[3] = {0, 0, 0};
  static const char* const names[3] = {"--min", "--opt", "--max"};
  for (int w = 0; w < 3; ++w) {
    const char* text = option_value(arguments, names[w], NULL);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(parse_shapes(text, shapes[w], MAX_INPUTS, &counts[w]), "%s",
                                     names[w]);
  }
  if (!counts[0] && !counts[1] && !counts[2]) return TRIVET_OK;
  uint32_t profile = 0;
  TRIVET_RETURN_IF_ERROR(trivet_config_add_profile(config, &profile));
  for (int w = 0; w < 3; ++w) {
    for (size_t i = 0; i < counts[w]; ++i) {
      // What only one of the three options gives holds for all of them.
      const named_shape_t* given[3];
      for (int v = 0; v < 3; ++v) {
        given[v] = NULL;
        for (size_t k = 0; k < counts[v]; ++k) {
          if (strcmp(shapes[v][k].name, shapes[w][i].name) == 0) given[v] = &shapes[v][k];
        }
      }
      const named_shape_t* opt = given[1] ? given[1] : given[2] ? given[2] : given[0];
      const named_shape_t* low = given[0] ? given[0] : opt;
      const named_shape_t* high = given[2] ? given[2] : opt;
      if (low->rank != opt->rank || high->rank != opt->rank) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "--min, --opt and --max give '%s' different ranks",
                             opt->name);
      }
      TRIVET_RETURN_IF_ERROR(trivet_config_set_profile_shape(config, profile, opt->name, opt->rank,
                                                             low->dims, opt->dims, high->dims));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t set_tactics(trivet_config_t* config, const arguments_t* arguments) {
  const char* mode = option_value(arguments, "--tactics", "heuristic");
  const char* cache = option_value(arguments, "--timing-cache", NULL);
  if (strcmp(mode, "heuristic") == 0) {
    TRIVET_RETURN_IF_ERROR(trivet_config_set_tactics(config, TRIVET_TACTICS_HEURISTIC));
  } else if (strcmp(mode, "timed") == 0) {
    TRIVET_RETURN_IF_ERROR(trivet_config_set_tactics(config, TRIVET_TACTICS_TIMED));
  } else if (strcmp(mode, "locked") == 0) {
    if (arguments->word_count < 2) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "--tactics locked needs the lock file: "
                           "trivet build MODEL --tactics locked LOCK");
    }
    cache = arguments->words[1];
    TRIVET_RETURN_IF_ERROR(trivet_config_set_tactics(config, TRIVET_TACTICS_LOCKED));
  } else if (strncmp(mode, "locked ", 7) == 0 || strncmp(mode, "locked:", 7) == 0) {
    cache = mode + 7;
    TRIVET_RETURN_IF_ERROR(trivet_config_set_tactics(config, TRIVET_TACTICS_LOCKED));
  } else {
    return TRIVET_STATUS(INVALID_ARGUMENT, "--tactics is heuristic, timed or locked, not '%s'",
                         mode);
  }
  TRIVET_RETURN_IF_ERROR(trivet_config_set_timing_cache(config, cache));
  return trivet_config_set_lock_output(config, option_value(arguments, "--write-lock", NULL));
}

// The last part of |text| behind a ':', which is taken off; empty without one. Names may hold ':'.
static trivet_string_view_t take_last(trivet_string_view_t* text) {
  for (size_t i = text->size; i-- != 0;) {
    if (text->data[i] != ':') continue;
    trivet_string_view_t last = tvi_sv_make(text->data + i + 1, text->size - i - 1);
    text->size = i;
    return last;
  }
  return tvi_sv_make(NULL, 0);
}

static trivet_status_t copy_name(trivet_string_view_t view, char* name, size_t size) {
  if (view.size >= size)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a name of %zu characters is too long", view.size);
  if (view.size) memcpy(name, view.data, view.size);
  name[view.size] = 0;
  return TRIVET_OK;
}

static trivet_status_t parse_dtype(const char* option, trivet_string_view_t name,
                                   uint32_t* out_dtype) {
  *out_dtype = tvi_dtype_from_name(name);
  if (tvi_dtype_is_valid(*out_dtype)) return TRIVET_OK;
  return TRIVET_STATUS(INVALID_ARGUMENT, "%s: '%.*s' is no element type", option, (int)name.size,
                       name.data ? name.data : "");
}

static trivet_status_t parse_precision(const char* option, trivet_string_view_t name,
                                       uint32_t* out_dtype) {
  *out_dtype = TRIVET_PRECISION_TF32;
  if (tvi_sv_equal(name, tvi_sv("tf32"))) return TRIVET_OK;
  return parse_dtype(option, name, out_dtype);
}

static trivet_status_t set_precision(trivet_config_t* config, const arguments_t* arguments) {
  uint32_t dtype;
  TRIVET_RETURN_IF_ERROR(parse_precision(
      "--precision", tvi_sv(option_value(arguments, "--precision", "f32")), &dtype));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_precision(config, dtype));
  char name[512];
  const option_t* layers = find_option(arguments, "--layer-precision");
  for (int i = 0; i < layers->seen && i < 64; ++i) {
    trivet_string_view_t rest = tvi_sv(layers->values[i]), last = take_last(&rest);
    TRIVET_RETURN_IF_ERROR(parse_precision("--layer-precision PATTERN:TYPE", last, &dtype));
    TRIVET_RETURN_IF_ERROR(copy_name(rest, name, sizeof(name)));
    TRIVET_RETURN_IF_ERROR(trivet_config_add_layer_precision(config, name, dtype));
  }
  return TRIVET_OK;
}

// NAME:TYPE, NAME:channels-last or NAME:TYPE:channels-last.
static trivet_status_t set_io_formats(trivet_config_t* config, const arguments_t* arguments) {
  const option_t* formats = find_option(arguments, "--io-format");
  for (int i = 0; i < formats->seen && i < 64; ++i) {
    trivet_string_view_t rest = tvi_sv(formats->values[i]), before = rest, last = take_last(&rest);
    uint32_t dtype = 0, layout = TRIVET_LAYOUT_PLAIN;
    if (tvi_sv_equal(last, tvi_sv("channels-last"))) {
      layout = TRIVET_LAYOUT_CHANNELS_LAST;
      before = rest;
      last = take_last(&rest);
    }
    // Without a type the rest is the name.
    if (layout == TRIVET_LAYOUT_PLAIN || tvi_dtype_is_valid(tvi_dtype_from_name(last))) {
      TRIVET_RETURN_IF_ERROR(parse_dtype("--io-format NAME:TYPE[:channels-last]", last, &dtype));
    } else {
      rest = before;
    }
    char name[512];
    TRIVET_RETURN_IF_ERROR(copy_name(rest, name, sizeof(name)));
    TRIVET_RETURN_IF_ERROR(trivet_config_set_io_format(config, name, dtype, layout));
  }
  return TRIVET_OK;
}

// Without ':' the passes of the libraries that --plugin names.
static trivet_status_t insert_plugins(trivet_config_t* config, const arguments_t* arguments,
                                      const char* option, const char* anchor, uint32_t before) {
  const option_t* plugins = find_option(arguments, "--plugin");
  if (plugins->seen == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s is ANCHOR:PASS, or ANCHOR beside --plugin, not '%s'",
                         option, anchor);
  }
  for (int i = 0; i < plugins->seen && i < 64; ++i) {
    // The last one inserted stands next to an anchor before it.
    const char* path = plugins->values[before ? i : plugins->seen - 1 - i];
    const char* base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char* end = strrchr(base, '.');
    char name[128];
    snprintf(name, sizeof(name), "plugin:%.*s", (int)(end ? end - base : (long)strlen(base)), base);
    TRIVET_RETURN_IF_ERROR(trivet_config_insert_pass(config, name, anchor, before));
  }
  return TRIVET_OK;
}

static trivet_status_t set_passes(trivet_config_t* config, const arguments_t* arguments) {
  static const char* const kPlaces[] = {"--pass-after", "--pass-before", "--pass-replace"};
  for (uint32_t place = 0; place < 3; ++place) {
    const option_t* given = find_option(arguments, kPlaces[place]);
    for (int i = 0; i < given->seen && i < 64; ++i) {
      char anchor[128];
      const char* colon = strchr(given->values[i], ':');
      if (!colon && place < 2) {
        TRIVET_RETURN_IF_ERROR(
            insert_plugins(config, arguments, given->name, given->values[i], place));
        continue;
      }
      if (!colon || (size_t)(colon - given->values[i]) >= sizeof(anchor)) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s is ANCHOR:PASS, not '%s'", given->name,
                             given->values[i]);
      }
      memcpy(anchor, given->values[i], (size_t)(colon - given->values[i]));
      anchor[colon - given->values[i]] = 0;
      TRIVET_RETURN_IF_ERROR(place == 2
                                 ? trivet_config_replace_pass(config, anchor, colon + 1)
                                 : trivet_config_insert_pass(config, colon + 1, anchor, place));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t configure(trivet_config_t* config, const char* target,
                                 const arguments_t* arguments, bar_t* bar) {
  int64_t number = 0;
  TRIVET_RETURN_IF_ERROR(trivet_config_set_target(config, target));
  TRIVET_RETURN_IF_ERROR(set_precision(config, arguments));
  TRIVET_RETURN_IF_ERROR(set_io_formats(config, arguments));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--threads", 0, 0, 4096, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_thread_count(config, (uint32_t)number));
  TRIVET_RETURN_IF_ERROR(set_tactics(config, arguments));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--alternatives", 1, 1, 32, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_alternatives(config, (uint32_t)number));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--queues", 1, 1, 8, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_queues(config, (uint32_t)number));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--max-load-ms", 0, 0, 1000000000, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_max_load(config, (double)number));
  TRIVET_RETURN_IF_ERROR(set_profile(config, arguments));
  const option_t* disabled = find_option(arguments, "--disable");
  for (int i = 0; i < disabled->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(trivet_config_disable_pass(config, disabled->values[i]));
  }
  TRIVET_RETURN_IF_ERROR(set_passes(config, arguments));
  if (option_given(arguments, "--passes")) {
    TRIVET_RETURN_IF_ERROR(
        trivet_config_set_pipeline(config, option_value(arguments, "--passes", NULL)));
  }
  TRIVET_RETURN_IF_ERROR(
      trivet_config_set_dump_folder(config, option_value(arguments, "--dump", NULL)));
  TRIVET_RETURN_IF_ERROR(
      trivet_config_set_skip_nodes(config, option_value(arguments, "--skip-nodes", NULL)));
  TRIVET_RETURN_IF_ERROR(
      trivet_config_carry_plugins(config, option_value(arguments, "--carry-plugins", NULL)));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--stop-after", -1, -1, INT64_MAX, &number));
  TRIVET_RETURN_IF_ERROR(trivet_config_set_stop_after(config, number));
  uint32_t flags = 0;
  if (option_given(arguments, "--verify")) flags |= TRIVET_BUILD_VERIFY_PASSES;
  if (option_given(arguments, "--explain") || option_given(arguments, "--json")) {
    flags |= TRIVET_BUILD_EXPLAIN;
  }
  if (option_given(arguments, "--obey-precision")) flags |= TRIVET_BUILD_OBEY_PRECISION;
  if (option_given(arguments, "--strongly-typed")) flags |= TRIVET_BUILD_STRONGLY_TYPED;
  TRIVET_RETURN_IF_ERROR(trivet_config_set_flags(config, flags));
  trivet_progress_t progress = {bar, show_progress};
  return trivet_config_set_progress(config, progress);
}

static trivet_status_t print_report(const trivet_report_t* report, const arguments_t* arguments) {
  if (!report) return TRIVET_OK;
  if (option_given(arguments, "--explain")) {
    fputs(trivet_report_text(report, TRIVET_REPORT_EXPLAIN), stdout);
    fputs(trivet_report_text(report, TRIVET_REPORT_PASSES), stdout);
  }
  const char* path = option_value(arguments, "--json", NULL);
  const char* text = trivet_report_text(report, TRIVET_REPORT_JSON);
  return path ? tvi_file_write(path, text, strlen(text), trivet_allocator_system()) : TRIVET_OK;
}

static trivet_status_t build(trivet_builder_t* builder, const char* model, const char* target,
                             const char* output, const arguments_t* arguments, bar_t* bar) {
  model_t opened;
  trivet_config_t* config = NULL;
  trivet_report_t* report = NULL;
  int64_t start = tvi_clock_now_ns();
  trivet_status_t status = open_model(builder, model, arguments, &opened);
  trivet_network_t* network = opened.network;
  const option_t* observed = find_option(arguments, "--observe");
  for (int i = 0; !status && i < observed->seen && i < 64; ++i) {
    status = trivet_network_observe(network, observed->values[i]);
  }
  int64_t parsed = tvi_clock_now_ns();
  if (!status) status = trivet_config_create(builder, &config);
  if (!status) status = configure(config, target, arguments, bar);
  if (!status) status = trivet_build_file(network, config, output, &report);
  if (bar->terminal) fprintf(stderr, "\r%60s\r", "");
  status = trivet_status_join(status, print_report(report, arguments));
  uint64_t size = 0;
  if (!status) trivet_status_free(tvi_file_size(output, &size));  // a pipe or device has none
  if (!status) {
    printf("%s: %.1f MB, parsed in %.2f s, built in %.2f s\n", output, (double)size * 1e-6,
           (double)(parsed - start) * 1e-9, (double)(tvi_clock_now_ns() - parsed) * 1e-9);
  }
  trivet_report_destroy(report);
  trivet_config_destroy(config);
  close_model(&opened);
  return status;
}

typedef struct targets_s {
  char names[MAX_TARGETS][TARGET_NAME];
  uint32_t count;
} targets_t;

// --target A,B and --target A --target B are the same.
static trivet_status_t read_targets(const arguments_t* arguments, targets_t* targets) {
  memset(targets, 0, sizeof(*targets));
  const option_t* given = find_option(arguments, "--target");
  for (int i = 0; i < given->seen && i < 64; ++i) {
    trivet_string_view_t rest = tvi_sv(given->values[i]);
    while (rest.size != 0) {
      trivet_string_view_t name = tvi_sv_split(&rest, ',');
      if (name.size == 0) continue;
      if (targets->count == MAX_TARGETS)
        return TRIVET_STATUS(OUT_OF_RANGE, "--target: more than %d targets", MAX_TARGETS);
      TRIVET_RETURN_IF_ERROR_ANNOTATED(
          copy_name(name, targets->names[targets->count++], TARGET_NAME), "--target");
    }
  }
  if (targets->count == 0) {
    TRIVET_RETURN_IF_ERROR(copy_name(tvi_sv("cpu"), targets->names[targets->count++], TARGET_NAME));
  }
  if (targets->count == 1) return TRIVET_OK;
  static const char* const kAlone[] = {"--write-lock", "--json"};
  for (int i = 0; i < 2; ++i) {
    if (!option_given(arguments, kAlone[i])) continue;
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "%s is for one target; 'trivet merge' makes one plan of several",
                         kAlone[i]);
  }
  if (strcmp(arguments->words[0], "-") == 0)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a model from standard input is for one target");
  return TRIVET_OK;
}

// A plan for each target, beside the output for a while, then one of them all.
static trivet_status_t build_all(trivet_builder_t* builder, const targets_t* targets,
                                 const char* output, const arguments_t* arguments, bar_t* bar) {
  const char* model = arguments->words[0];
  if (targets->count == 1) {
    return build(builder, model, targets->names[0], output, arguments, bar);
  }
  char parts[MAX_TARGETS][PATH_MAX];
  const char* paths[MAX_TARGETS];
  trivet_status_t status = TRIVET_OK;
  uint32_t made = 0;
  for (uint32_t i = 0; i < targets->count && !status; ++i) {
    int size = snprintf(parts[i], PATH_MAX, "%s.%u.part", output, i);
    if (size < 0 || size >= PATH_MAX) {
      status = TRIVET_STATUS(INVALID_ARGUMENT, "the output's name is too long");
      break;
    }
    paths[i] = parts[i];
    ++made;
    status =
        trivet_status_annotate(build(builder, model, targets->names[i], parts[i], arguments, bar),
                               "target '%s'", targets->names[i]);
  }
  if (!status) status = merge_plans(arguments, paths, made, output);
  for (uint32_t i = 0; i < made; ++i) remove(parts[i]);
  return status;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--output", "-o", true, false, 0, {0}, 0},
                        {"--target", NULL, true, true, 0, {0}, 0},
                        {"--precision", NULL, true, false, 0, {0}, 0},
                        {"--layer-precision", NULL, true, true, 0, {0}, 0},
                        {"--obey-precision", NULL, false, false, 0, {0}, 0},
                        {"--strongly-typed", NULL, false, false, 0, {0}, 0},
                        {"--io-format", NULL, true, true, 0, {0}, 0},
                        {"--threads", NULL, true, false, 0, {0}, 0},
                        {"--min", NULL, true, false, 0, {0}, 0},
                        {"--opt", NULL, true, false, 0, {0}, 0},
                        {"--max", NULL, true, false, 0, {0}, 0},
                        {"--tactics", NULL, true, false, 0, {0}, 0},
                        {"--alternatives", NULL, true, false, 0, {0}, 0},
                        {"--max-load-ms", NULL, true, false, 0, {0}, 0},
                        {"--queues", NULL, true, false, 0, {0}, 0},
                        {"--timing-cache", NULL, true, false, 0, {0}, 0},
                        {"--write-lock", NULL, true, false, 0, {0}, 0},
                        {"--frontend", NULL, true, false, 0, {0}, 0},
                        {"--disable", NULL, true, true, 0, {0}, 0},
                        {"--passes", NULL, true, false, 0, {0}, 0},
                        {"--pass-after", NULL, true, true, 0, {0}, 0},
                        {"--pass-before", NULL, true, true, 0, {0}, 0},
                        {"--pass-replace", NULL, true, true, 0, {0}, 0},
                        {"--skip-nodes", NULL, true, false, 0, {0}, 0},
                        {"--stop-after", NULL, true, false, 0, {0}, 0},
                        {"--dump", NULL, true, false, 0, {0}, 0},
                        {"--verify", NULL, false, false, 0, {0}, 0},
                        {"--observe", NULL, true, true, 0, {0}, 0},
                        {"--explain", NULL, false, false, 0, {0}, 0},
                        {"--json", NULL, true, false, 0, {0}, 0},
                        {"--carry-plugins", NULL, true, false, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kBuildCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kBuildCommand.help, stdout);
    return 0;
  }
  const char* output = option_value(&arguments, "--output", NULL);
  if (arguments.word_count < 1 || !output) {
    fprintf(stderr, "trivet build: needs a model and -o PLAN; 'trivet build --help' teaches it\n");
    return 2;
  }
  // A second word is the lock file.
  bool locked = strcmp(option_value(&arguments, "--tactics", ""), "locked") == 0;
  if (arguments.word_count > (locked ? 2 : 1)) {
    fprintf(stderr, "trivet build: one model at a time; what is '%s'?\n",
            arguments.words[arguments.word_count - 1]);
    return 2;
  }
  trivet_builder_t* builder = NULL;
  bar_t bar = {isatty(STDERR_FILENO) != 0, 0};
  trivet_status_t status = open_builder(&arguments, &builder);
  targets_t targets;
  if (!status) status = read_targets(&arguments, &targets);
  if (!status) status = build_all(builder, &targets, output, &arguments, &bar);
  trivet_builder_destroy(builder);
  return status ? report_error("build", status) : 0;
}

const command_t kBuildCommand = {
    "build", "compiles a model into a plan",
    "trivet build MODEL -o PLAN [options]\n"
    "\n"
    "Compiles MODEL (ONNX or another format that a plugin reads, a graph as text, or '-' for "
    "standard\n"
    "input) into a self-contained PLAN.\n"
    "\n"
    "  trivet build resnet50.onnx -o resnet50.plan\n"
    "  trivet build bert.onnx -o bert.plan --min ids:1x1 --opt ids:1x128 --max ids:8x512\n"
    "\n"
    "shapes: NAME:AxBxC,NAME:... for inputs whose shape is dynamic; what only one option gives\n"
    "holds for all three. Without them every dynamic extent may be 1 .. 64, optimised for 1.\n"
    "  --min, --opt, --max SHAPES\n"
    "kernels:\n"
    "  --target NAME          what to compile for (cpu): a target that a plugin brings, with its\n"
    "                         architecture where it has some: cuda:sm_90. Several, A,B, make one\n"
    "                         plan, of which the first that a machine can run is run there\n"
    "  --precision TYPE       what f32 networks are computed on: f32 (default), tf32, f16, bf16;\n"
    "                         tf32: products round their factors where the target has such units\n"
    "  --layer-precision PATTERN:TYPE   nodes on another type, by name ('/head/*:f32') or by\n"
    "                         operator ('op:*Softmax:f32'); the last that fits holds (repeatable)\n"
    "  --obey-precision       a precision of layers that cannot be given is an error\n"
    "  --strongly-typed       the types that the network says, and no others\n"
    "  --io-format NAME:TYPE[:channels-last]   an input or output as the caller has it:\n"
    "                         'image:u8:channels-last', 'logits:f32' (repeatable)\n"
    "  --tactics MODE         heuristic (default), timed, or 'locked FILE'\n"
    "  --alternatives N       ways to do each step that 'trivet tune' may choose from on the "
    "device,\n"
    "                         with heuristic tactics (1; at most 32)\n"
    "  --max-load-ms MS       leaves out libraries that would make loading the plan take longer,\n"
    "                         beside the start of the device's driver\n"
    "  --queues N             most queues of steps that a device runs beside each other (1; at "
    "most 8)\n"
    "  --timing-cache FILE    measured times, read and added to; builds with caches in one folder\n"
    "                         measure in turn, so that several may run on one device\n"
    "  --write-lock FILE      after a timed build: the winners only\n"
    "  --threads N            threads to measure with (all)\n"
    "passes:\n"
    "  --disable NAME         switches off a pass, fuser or kernel (repeatable)\n"
    "  --passes LIST          replaces the pipeline: \"a,(b,c)*,d\"\n"
    "  --pass-after, --pass-before ANCHOR[:PASS]   inserts a pass, or those of --plugin "
    "(repeatable)\n"
    "  --pass-replace ANCHOR:PASS   runs PASS instead (repeatable)\n"
    "  --skip-nodes NAMES     nodes of the model that no pass may touch\n"
    "  --stop-after N         bisection: no pass changes anything after N changes\n"
    "  --dump FOLDER          the graph as text after each pass that changed it\n"
    "  --verify               checks the graph after each pass\n"
    "looking:\n"
    "  --observe NAME         keeps this value readable by name (repeatable)\n"
    "  --explain              who made each region, which kernel runs it, what was nearly fused\n"
    "  --json FILE            the same for tools\n"
    "  -v, --verbose          log messages\n"
    "plugins:\n"
    "  --plugin FILE          loads one more (repeatable)\n"
    "  --plugin-path A:B      folders to load from, instead of the installed one\n"
    "  --carry-plugins NAMES  'a,b' or 'all': the plan carries these, where it needs their code\n",
    run};
