// SPDX-License-Identifier: Apache-2.0
//
// trivet plugins: what is loaded, what a file would register, why it would be refused.
// It loads files as a builder would and must not run anything of them.
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/trivet/command.h"

static int compare_names(const void* a, const void* b) {
  return strcmp(*(char* const*)a, *(char* const*)b);
}

static trivet_status_t visit_folder(const char* folder, plugin_visit_t visit, void* self) {
  struct dirent** entries = NULL;
  char* names[256];
  int count = scandir(folder, &entries, NULL, alphasort), kept = 0;
  if (count < 0) return TRIVET_STATUS(NOT_FOUND, "plugin folder %s cannot be read", folder);
  for (int i = 0; i < count; ++i) {
    size_t length = strlen(entries[i]->d_name);
    bool is_plugin = length > 3 && strcmp(entries[i]->d_name + length - 3, ".so") == 0;
    if (is_plugin && kept < 256) names[kept++] = entries[i]->d_name;
  }
  qsort(names, (size_t)kept, sizeof(names[0]), compare_names);
  trivet_status_t status = TRIVET_OK;
  for (int i = 0; i < kept && !status; ++i) {
    char path[PATH_MAX + NAME_MAX + 2];
    snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
    status = visit(self, path);
  }
  for (int i = 0; i < count; ++i) free(entries[i]);
  free(entries);
  return status;
}

trivet_status_t visit_plugin_files(const arguments_t* arguments, plugin_visit_t visit, void* self) {
  char buffer[PATH_MAX + 32];
  const char* folders = plugin_folders(arguments, buffer, sizeof(buffer));
  while (folders && *folders) {
    char folder[PATH_MAX];
    size_t size = strcspn(folders, ":");
    snprintf(folder, sizeof(folder), "%.*s", (int)size, folders);
    TRIVET_RETURN_IF_ERROR(visit_folder(folder, visit, self));
    folders += size + (folders[size] == ':');
  }
  const option_t* plugins = find_option(arguments, "--plugin");
  for (int i = 0; plugins && i < plugins->seen && i < 64; ++i) {
    TRIVET_RETURN_IF_ERROR(visit(self, plugins->values[i]));
  }
  return TRIVET_OK;
}

typedef struct listing_s {
  trivet_builder_t* builder;
  bool all;
  bool keep;  // load it, so that the next one is judged beside it
  uint32_t refused;
} listing_t;

// "  operator std.Abs/1" lines become "180 operators", one number per kind.
static void print_counts(const char* text) {
  char kinds[16][32];
  unsigned counts[16], used = 0;
  for (const char* line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
    char kind[32], name[256];
    if (sscanf(line + 1, "  %31s %255s", kind, name) != 2) continue;
    // Lines of definitions hold two words, a kind and a name; the summary does not.
    const char* end = strchr(line + 1, '\n');
    size_t length = end ? (size_t)(end - line - 1) : strlen(line + 1);
    if (length != 3 + strlen(kind) + strlen(name) || kind[0] < 'a' || kind[0] > 'z') continue;
    unsigned k = 0;
    while (k < used && strcmp(kinds[k], kind) != 0) ++k;
    if (k == 16) continue;
    if (k == used) {
      snprintf(kinds[used], sizeof(kinds[0]), "%s", kind);
      counts[used++] = 0;
    }
    ++counts[k];
  }
  printf("  ");
  for (unsigned k = 0; k < used; ++k) {
    bool es = kinds[k][strlen(kinds[k]) - 1] == 's';
    printf("%s%u %s%s", k ? ", " : "", counts[k], kinds[k], counts[k] == 1 ? "" : es ? "es" : "s");
  }
  printf(used ? "\n" : "nothing that is used here\n");
}

static trivet_status_t list_file(void* self, const char* path) {
  listing_t* listing = (listing_t*)self;
  tvi_string_builder_t text;
  uint32_t refused = 0;
  tvi_string_builder_init(&text, trivet_allocator_system());
  trivet_status_t status =
      trivet_plugin_describe(listing->builder, path, tvi_string_builder_sink(&text), &refused);
  if (!status) status = tvi_string_builder_status(&text);
  if (!status && (listing->all || refused)) {
    fputs(text.data ? text.data : "", stdout);
  } else if (!status) {
    const char* end = strchr(text.data, '\n');
    printf("%.*s\n", (int)(end ? end - text.data : 0), text.data);
    print_counts(text.data);
  }
  tvi_string_builder_deinit(&text);
  listing->refused += refused;
  if (!status && !refused && listing->keep) {
    status = trivet_builder_load_plugin(listing->builder, path);
  }
  return status;
}

static trivet_status_t list(const arguments_t* arguments, listing_t* listing) {
  TRIVET_RETURN_IF_ERROR(trivet_builder_create(NULL, &listing->builder));
  listing->keep = arguments->word_count == 0;
  if (listing->keep) return visit_plugin_files(arguments, list_file, listing);
  // Beside what is loaded: a second std.Relu is refused, and why is what was asked.
  TRIVET_RETURN_IF_ERROR(load_builder_plugins(listing->builder, arguments));
  for (int i = 0; i < arguments->word_count; ++i) {
    TRIVET_RETURN_IF_ERROR(list_file(listing, arguments->words[i]));
  }
  return TRIVET_OK;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--all", "-a", false, false, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kPluginsCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kPluginsCommand.help, stdout);
    return 0;
  }
  listing_t listing = {NULL, option_given(&arguments, "--all") || arguments.word_count > 0, false,
                       0};
  trivet_status_t status = list(&arguments, &listing);
  trivet_builder_destroy(listing.builder);
  if (status) return report_error("plugins", status);
  return listing.refused ? 1 : 0;
}

const command_t kPluginsCommand = {
    "plugins", "lists what plugins bring, or why one is refused",
    "trivet plugins [FILE.so...] [options]\n"
    "\n"
    "Without a file: the plugins that the other commands load, and how many definitions each one\n"
    "brings. With files: what each would register beside those, or the reason why it is refused\n"
    "(exit status 1). Nothing of a file is kept.\n"
    "\n"
    "  trivet plugins\n"
    "  trivet plugins --all | grep operator\n"
    "  trivet plugins ./my_plugin.so\n"
    "\n"
    "  -a, --all             every definition by name\n"
    "  --plugin FILE         loads one more (repeatable)\n"
    "  --plugin-path A:B     folders to load from; else TRIVET_PLUGIN_PATH, else the installed "
    "one\n",
    run};
