// SPDX-License-Identifier: Apache-2.0
//
// trivet plugin new: copies a template folder, with its name replaced by the author's. Templates
// are plugins/template_KIND of the tree, installed under share/trivet/templates.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tools/trivet/plugin_command.h"

typedef struct author_s {
  const char* templates;  // folder that holds template_KIND
  char old_name[64];      // "template_operator"
  const char* name;
  const char* prefix;  // where Trivet is installed
} author_t;

static const char kHelp[] =
    "trivet plugin new KIND NAME [options]\n"
    "\n"
    "Writes a folder NAME with a plugin of KIND operator, pass, kernel, frontend or target:\n"
    "a source file that works, a test, and build files for make, CMake and Bazel.\n"
    "\n"
    "  trivet plugin new operator acme && cd acme && make test\n"
    "\n"
    "  --output FOLDER      instead of NAME\n"
    "  --templates FOLDER   instead of the installed share/trivet/templates\n";

static bool is_name(const char* name) {
  size_t size = strlen(name);
  if (size < 1 || size > 60 || name[0] < 'a' || name[0] > 'z') return false;
  return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

// Appends |text| with every |from| replaced.
static void append_replaced(tvi_string_builder_t* out, const char* text, const char* from,
                            const char* to) {
  size_t size = strlen(from);
  for (const char* found; (found = strstr(text, from)) != NULL; text = found + size) {
    tvi_string_builder_append(out, (trivet_string_view_t){text, (size_t)(found - text)});
    tvi_string_builder_append_cstr(out, to);
  }
  tvi_string_builder_append_cstr(out, text);
}

static trivet_status_t replace_all(const author_t* author, const char* text,
                                   tvi_string_builder_t* out) {
  tvi_string_builder_t named;
  tvi_string_builder_init(&named, trivet_allocator_system());
  append_replaced(&named, text, author->old_name, author->name);
  append_replaced(out, named.data ? named.data : "", "@PREFIX@", author->prefix);
  trivet_status_t status = tvi_string_builder_status(&named);
  tvi_string_builder_deinit(&named);
  return status ? status : tvi_string_builder_status(out);
}

// BUILD.outside is the build file of the copy; the template's own would hide the tree's.
static void copy_name(const author_t* author, const char* name, char* out, size_t size) {
  const char* found = strstr(name, author->old_name);
  size_t length = strlen(name), end = sizeof(".outside") - 1;
  if (found) {
    snprintf(out, size, "%.*s%s%s", (int)(found - name), name, author->name,
             found + strlen(author->old_name));
  } else if (length > end && strcmp(name + length - end, ".outside") == 0) {
    snprintf(out, size, "%.*s", (int)(length - end), name);
  } else {
    snprintf(out, size, "%s", name);
  }
}

static trivet_status_t copy_file(const author_t* author, const char* from, const char* to) {
  struct stat info;
  FILE* file = stat(from, &info) == 0 && info.st_size < (1 << 20) ? fopen(from, "r") : NULL;
  if (!file) return TRIVET_STATUS(NOT_FOUND, "%s cannot be read", from);
  static char text[(1 << 20) + 1];
  size_t size = fread(text, 1, (size_t)info.st_size, file);
  text[size] = 0;
  fclose(file);
  tvi_string_builder_t out;
  tvi_string_builder_init(&out, trivet_allocator_system());
  trivet_status_t status = replace_all(author, text, &out);
  if (!status) status = tvi_file_write(to, out.data, out.size, trivet_allocator_system());
  tvi_string_builder_deinit(&out);
  if (!status && (info.st_mode & S_IXUSR) && chmod(to, 0755) != 0)
    return TRIVET_STATUS(UNAVAILABLE, "%s cannot be made executable", to);
  return status;
}

static trivet_status_t copy_folder(const author_t* author, const char* output) {
  char folder[PATH_MAX];
  snprintf(folder, sizeof(folder), "%s/%s", author->templates, author->old_name);
  DIR* entries = opendir(folder);
  if (!entries) return TRIVET_STATUS(NOT_FOUND, "there is no template %s", folder);
  if (mkdir(output, 0777) != 0) {
    closedir(entries);
    return errno == EEXIST ? TRIVET_STATUS(ALREADY_EXISTS, "%s exists; nothing was written", output)
                           : TRIVET_STATUS(UNAVAILABLE, "folder %s cannot be made: %s", output,
                                           strerror(errno));
  }
  trivet_status_t status = TRIVET_OK;
  for (struct dirent* entry; !status && (entry = readdir(entries)) != NULL;) {
    char from[PATH_MAX + 512], to[PATH_MAX + 512], name[300];
    if (entry->d_name[0] == '.' || strcmp(entry->d_name, "BUILD") == 0) continue;
    copy_name(author, entry->d_name, name, sizeof(name));
    snprintf(from, sizeof(from), "%s/%s", folder, entry->d_name);
    snprintf(to, sizeof(to), "%s/%s", output, name);
    status = copy_file(author, from, to);
  }
  closedir(entries);
  return status;
}

// PREFIX of PREFIX/bin/trivet.
static bool find_prefix(char* out, size_t size) {
  ssize_t length = readlink("/proc/self/exe", out, size - 1);
  if (length <= 0) return false;
  out[length] = 0;
  for (int i = 0; i < 2; ++i) {
    char* slash = strrchr(out, '/');
    if (!slash || slash == out) return false;
    *slash = 0;
  }
  return true;
}

int new_plugin(int argc, char** argv) {
  option_t options[] = {{"--output", "-o", true, false, 0, {0}, 0},
                        {"--templates", NULL, true, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kPluginCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) return fputs(kHelp, stdout), 0;
  if (arguments.word_count != 2) return fputs(kHelp, stderr), 2;
  const char* kind = arguments.words[0];
  author_t author = {.name = arguments.words[1]};
  char prefix[PATH_MAX] = "", templates[PATH_MAX + 32];
  if (!is_name(author.name) || !is_name(kind)) {
    return report_error(
        "plugin new",
        TRIVET_STATUS(INVALID_ARGUMENT, "'%s': a name is of small letters, digits and '_'",
                      is_name(kind) ? author.name : kind));
  }
  find_prefix(prefix, sizeof(prefix));
  snprintf(templates, sizeof(templates), "%s/share/trivet/templates", prefix);
  author.templates = option_value(&arguments, "--templates", templates);
  author.prefix = prefix;
  snprintf(author.old_name, sizeof(author.old_name), "template_%.40s", kind);
  const char* output = option_value(&arguments, "--output", author.name);
  trivet_status_t status = copy_folder(&author, output);
  if (status) return report_error("plugin new", status);
  printf("%s: a plugin with one %s\n  cd %s && make test\n", output, kind, output);
  return 0;
}
