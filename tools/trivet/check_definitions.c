// SPDX-License-Identifier: Apache-2.0
//
// Kernels, rewrites, passes and frontends under `trivet plugin check`. Kernels and passes need
// graphs: a few that are written here, those that the author gives, and for a rewrite its own
// pattern written out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/trivet/check.h"

#define HEAD "graph \"trial\" {\n  symbol n: 1 .. 16\n"
static const char* const kGraphs[] = {
    HEAD
    "  input %x: f32[n, 3]\n  const %w: f32[3, 4] = splat(0.5)\n"
    "  %y = std.MatMul(%x, %w)\n  output \"y\": %y\n}\n",
    HEAD
    "  input %a: f32[2, n, 5]\n  input %b: f32[2, 5, 6]\n"
    "  %y = std.MatMul(%a, %b)\n  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 2, 8, 8]\n  const %w: f32[4, 2, 3, 3] = splat(0.25)\n"
    "  %c = std.Conv(%x, %w) { pads = [1, 1, 1, 1] }\n  %y = std.Relu(%c)\n"
    "  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 2, 8, 8]\n"
    "  %y = std.MaxPool(%x) { kernel_shape = [2, 2], strides = [2, 2] }\n"
    "  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 7]\n  input %b: f32[7]\n  %a = std.Add(%x, %b)\n"
    "  %s = std.Sigmoid(%a)\n  %y = std.Mul(%a, %s)\n  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 7]\n  %y = std.Softmax(%x) { axis = 1 }\n"
    "  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 4, 7]\n  %t = std.Transpose(%x) { perm = [0, 2, 1] }\n"
    "  %r = std.Relu(%t)\n  %y = std.Transpose(%r) { perm = [0, 2, 1] }\n"
    "  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 6]\n  const %s: f32[6] = splat(0.75)\n  const %b: f32[6] = splat(0.25)\n"
    "  %y = std.LayerNormalization(%x, %s, %b)\n  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 3, 4, 4]\n  const %s: f32[3] = splat(0.75)\n  const %b: f32[3] = "
    "splat(0.25)\n"
    "  %y = std.BatchNormalization(%x, %s, %b, %b, %s)\n  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 2, 5, 5]\n  const %w: f32[2, 3, 3, 3] = splat(0.25)\n"
    "  %y = std.ConvTranspose(%x, %w) { strides = [2, 2] }\n  output \"y\": %y\n}\n",
    HEAD
    "  input %x: f32[n, 3, 4]\n  const %shape: i64[2] = [0, 12]\n"
    "  %f = std.Reshape(%x, %shape)\n  %a, %b = std.Split(%f) { axis = 1 }\n"
    "  %m = std.Mul(%a, %b)\n  %y = std.Concat(%m, %a) { axis = 1 }\n  output \"y\": %y\n}\n",
};
#define GRAPH_COUNT (sizeof(kGraphs) / sizeof(kGraphs[0]))

static char* read_file(const char* path, size_t* out_size) {
  FILE* file = fopen(path, "rb");
  char* data = malloc(1 << 22);
  size_t size = file && data ? fread(data, 1, (1 << 22) - 1, file) : 0;
  if (file) fclose(file);
  if (!data || !file) {
    fprintf(stderr, "trivet plugin check: %s cannot be read\n", path);
    exit(2);
  }
  data[size] = 0;
  *out_size = size;
  return data;
}

// True: a graph on which |kernel| ran or |pass| changed something.
bool check_graphs(check_t* check, const trivet_kernel_t* kernel, const char* pass) {
  const option_t* given = find_option(check->arguments, "--graph");
  bool used = false;
  for (int i = 0; i < given->seen && i < 64; ++i) {
    size_t size;
    char* text = read_file(given->values[i], &size);
    bool this_one = false;
    uint32_t refused = check->tally->refused;
    check_graph(check, text, kernel, pass, &this_one);
    if (check->tally->refused != refused)
      check_fault(check, "%s: %s", given->values[i], check->tally->last_refusal);
    used = used || this_one;
    free(text);
  }
  for (size_t i = 0; i < GRAPH_COUNT; ++i) {
    bool this_one = false;
    check_graph(check, kGraphs[i], kernel, pass, &this_one);
    used = used || this_one;
  }
  return used;
}

void check_kernel(check_t* check, const trivet_kernel_t* kernel) {
  const trivet_plugin_t* plugin = check->plugin;
  bool used = false, has_target = false;
  // Those of the same plugin first: kernels come with the operator that they are for.
  for (uint64_t i = 0; i < plugin->definition_count; ++i) {
    const trivet_header_t* header = plugin->definitions[i];
    const trivet_operator_t* op = plugin->definitions[i];
    if (header->struct_type != TRIVET_STRUCT_OPERATOR) continue;
    const tvi_operator_entry_t* entry =
        tvi_registry_operator(check->registry, op->name, op->version);
    used = (entry && check_operator(check, entry, kernel)) || used;
  }
  check_set_place("");
  // Others are tried where they run: what does not compile shows with one graph.
  bool runs = strcmp(kernel->target, "cpu") == 0 || !used;
  for (uint32_t i = 0; i < check->tally->target_count; ++i)
    runs = runs || check->tally->targets[i].runs;
  if (!check->tally->faults && runs) used = check_graphs(check, kernel, NULL) || used;
  for (uint32_t i = 0; i < check->tally->target_count; ++i) {
    const char* name = check->tally->targets[i].name;
    has_target = has_target ||
                 tvi_target_matches((trivet_string_view_t){name, strlen(name)}, kernel->target);
  }
  if (!has_target && strcmp(kernel->target, "cpu") != 0) {
    printf("  note: it was not tried: nothing is built for target %s\n", kernel->target);
  } else if (!used && !check->tally->faults) {
    printf("  note: it was chosen for no graph; give one with --graph\n");
  }
}

void check_pass(check_t* check, const char* name) {
  if (!check_graphs(check, NULL, name))
    printf("  note: it changed no graph; give one with --graph\n");
}

// --- Rewrites ------------------------------------------------------------------------------------

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.';
}

// The pattern between the braces of "match { ... }" as a graph: names that nothing defines are
// inputs, the last name defined is the output. False: it binds attributes, which have no values
// here.
static bool write_pattern(const char* text, tvi_string_builder_t* out) {
  const char* begin = strstr(text, "match");
  begin = begin ? strchr(begin, '{') : NULL;
  const char* to = begin ? strstr(begin, "} where") : NULL;
  const char* other = begin ? strstr(begin, "} to") : NULL;
  if (!to || (other && other < to)) to = other;
  if (begin && !to) {
    to = strstr(begin, "}\n");
  }
  if (!begin || !to || memchr(begin, '$', (size_t)(to - begin))) return false;
  char names[32][64], last[64] = "";
  uint32_t count = 0;
  tvi_string_builder_t body;
  tvi_string_builder_init(&body, trivet_allocator_system());
  tvi_string_builder_append_cstr(out, HEAD);
  // Statements end at a line's end or where the next one begins: "%s = A(%x)  %y = B(%s)".
  for (const char* c = begin + 1; c < to;) {
    if (*c != '%') {
      tvi_string_builder_append_char(&body, *c++);
      continue;
    }
    char name[64];
    size_t size = 0;
    const char* start = c++;
    while (c < to && is_word(*c) && size < sizeof(name) - 1) name[size++] = *c++;
    name[size] = 0;
    const char* next = c;
    while (next < to && *next == ' ') ++next;
    bool defined = *next == '=' && next[1] != '=';
    bool known = false;
    for (uint32_t i = 0; i < count; ++i) known = known || strcmp(names[i], name) == 0;
    if (!known && count < 32) {
      snprintf(names[count++], sizeof(names[0]), "%s", name);
      if (!defined) tvi_string_builder_appendf(out, "  input %%%s: f32[n, 4]\n", name);
    }
    if (defined) {
      snprintf(last, sizeof(last), "%s", name);
      ++next;
      while (next < to && *next == ' ') ++next;
      tvi_string_builder_append_char(&body, '\n');
      if (strncmp(next, "const", 5) == 0) {
        char* end = NULL;
        double value = strtod(next + 5, &end);
        if (end == next + 5) value = 0.7;
        tvi_string_builder_appendf(out, "  const %%%s: f32[] = [%.9g%s]\n", name, value,
                                   value == (double)(int64_t)value ? ".0" : "");
        c = end;
        continue;
      }
    }
    tvi_string_builder_append(&body, (trivet_string_view_t){start, (size_t)(c - start)});
  }
  tvi_string_builder_appendf(out, "%s\n  output \"%s\": %%%s\n}\n", body.data ? body.data : "",
                             last, last);
  tvi_string_builder_deinit(&body);
  return *last && tvi_string_builder_status(out) == NULL;
}

void check_rewrite(check_t* check, const trivet_rewrite_t* rewrite) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, trivet_allocator_system());
  bool used = false;
  if (write_pattern(rewrite->text, &text)) {
    uint32_t refused = check->tally->refused;
    check_graph(check, text.data, NULL, rewrite->name, &used);
    if (check->tally->refused != refused)
      printf("  note: its pattern with f32[n, 4] for every operand is no graph: %s\n",
             check->tally->last_refusal);
  }
  tvi_string_builder_deinit(&text);
  bool others = check_graphs(check, NULL, rewrite->name);
  if (!used && !others) printf("  note: it changed no graph; give one with --graph\n");
}

// --- Frontends -----------------------------------------------------------------------------------

static bool read_bytes(check_t* check, trivet_builder_t* builder, const trivet_frontend_t* frontend,
                       const void* bytes, size_t size) {
  trivet_network_t* network = NULL;
  trivet_parse_options_t options = {.header = {sizeof(options), TRIVET_STRUCT_PARSE_OPTIONS, NULL},
                                    .frontend = frontend->name};
  ++check->tally->cases;
  trivet_status_t status = trivet_network_create(builder, "trial", &network);
  if (!status) {
    // Exactly as large as it is, so that a look beyond the end is a look beyond an allocation.
    void* copy = malloc(size ? size : 1);
    if (!copy) exit(3);
    memcpy(copy, bytes, size);
    status = trivet_network_parse_memory(network, copy, size, &options);
    if (status && !*trivet_status_message(status)) check_fault(check, "refuses without a message");
    trivet_network_destroy(network);
    free(copy);
  }
  bool taken = status == NULL;
  snprintf(check->tally->last_refusal, sizeof(check->tally->last_refusal), "%s",
           trivet_status_message(status));
  trivet_status_free(status);
  return taken;
}

typedef struct reading_s {
  check_t* check;
  trivet_builder_t* builder;
  const trivet_frontend_t* frontend;
  const void* bytes;
  size_t size;
} reading_t;

static void read_again(void* argument) {
  const reading_t* r = argument;
  read_bytes(r->check, r->builder, r->frontend, r->bytes, r->size);
}

// What a frontend takes of the C library's memory: with one input, good or not.
static void check_reading_leaks(const reading_t* reading) {
  check_t* check = reading->check;
  uint32_t cases = check->tally->cases;
  check_doing(check, "reading %zu bytes many times", reading->size);
  size_t grown = check_growth(read_again, (void*)(uintptr_t)reading);
  check->tally->cases = cases;
  if (grown) check_fault(check, "leaks: %zu bytes stay allocated after each model", grown);
}

static void read_altered(check_t* check, trivet_builder_t* builder,
                         const trivet_frontend_t* frontend, const char* path) {
  size_t size;
  char* bytes = read_file(path, &size);
  check_doing(check, "reading %s", path);
  if (!read_bytes(check, builder, frontend, bytes, size))
    check_fault(check, "%s is refused: %s", path, check->tally->last_refusal);
  for (size_t k = 0; k < 200; ++k) {
    size_t cut = size * k / 200;
    check_doing(check, "reading %s cut at byte %zu", path, cut);
    read_bytes(check, builder, frontend, bytes, cut);
  }
  uint32_t seed = 1;
  for (size_t k = 0; k < 500 && size; ++k) {
    seed = seed * 1664525u + 1013904223u;
    size_t at = (seed >> 8) % size;
    char kept = bytes[at];
    bytes[at] = (char)(kept ^ (1 << (seed >> 29)));
    check_doing(check, "reading %s with byte %zu altered", path, at);
    read_bytes(check, builder, frontend, bytes, size);
    bytes[at] = kept;
  }
  reading_t reading = {check, builder, frontend, bytes, size};
  if (size < 1 << 16) check_reading_leaks(&reading);
  free(bytes);
}

void check_frontend(check_t* check, const trivet_frontend_t* frontend) {
  check_memory_t memory = {0};
  trivet_builder_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_BUILDER_OPTIONS, NULL},
      .allocator = check_allocator(&memory)};
  trivet_builder_t* builder = NULL;
  trivet_status_t status = trivet_builder_create(&options, &builder);
  if (!status) status = load_builder_plugins(builder, check->arguments);
  if (!status) status = trivet_builder_load_plugin(builder, check->path);
  if (status) {
    check_fault(check, "%s", trivet_status_message(status));
    trivet_status_free(status);
    trivet_builder_destroy(builder);
    return;
  }
  uint8_t bytes[2048];
  uint32_t seed = 1;
  for (int k = 0; k < 100; ++k) {
    size_t size = k < 4 ? (size_t)k : 1 + (seed >> 8) % sizeof(bytes);
    for (size_t i = 0; i < size; ++i) {
      seed = seed * 1664525u + 1013904223u;
      bytes[i] = k % 3 == 0 ? (uint8_t)(seed >> 24) : k % 3 == 1 ? (uint8_t)(k * 5) : ' ';
    }
    check_doing(check, "reading %zu bytes that are no model", size);
    if (read_bytes(check, builder, frontend, bytes, size))
      check_fault(check, "takes bytes that are no model");
  }
  reading_t reading = {check, builder, frontend, bytes, 64};
  check_reading_leaks(&reading);
  const option_t* given = find_option(check->arguments, "--model");
  for (int i = 0; i < given->seen && i < 64; ++i)
    read_altered(check, builder, frontend, given->values[i]);
  if (!given->seen) printf("  note: give a model with --model\n");
  check_doing(check, "giving memory back");
  trivet_builder_destroy(builder);
  if (memory.live)
    check_fault(check, "reading leaks %lld bytes of the caller's allocator",
                (long long)memory.live);
}
