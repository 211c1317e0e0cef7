// SPDX-License-Identifier: Apache-2.0
//
// trivet plugin check: runs everything that a plugin brings and says what is wrong with it. Each
// definition in a process of its own. Exit status 1 when there is a fault.
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/trivet/check.h"
#include "tools/trivet/plugin_command.h"

#define SECONDS 120  // a definition may take

static const char kHelp[] =
    "trivet plugin check FILE.so [options]\n"
    "\n"
    "Runs what a plugin brings and says what is wrong with it (exit status 1). Operators: every "
    "type\n"
    "that is claimed, ranks 1 to 5, dynamic shapes, compiled beside the plain evaluation; host\n"
    "functions also with poisoned and guarded memory, refused memory and several threads. "
    "Kernels,\n"
    "with all their tactics, and passes: on small graphs and those given. Frontends: on bytes "
    "that\n"
    "are no model, and on cut and altered copies of those given. Code for CUDA is compiled. Each\n"
    "definition runs in a process of its own. docs/plugin_check.md says all.\n"
    "\n"
    "  --graph FILE          one more graph for kernels and passes (repeatable)\n"
    "  --model FILE          one more model for frontends (repeatable)\n"
    "  --target T            also for this target, and on its device where that is here: "
    "cuda:sm_90;\n"
    "                        cuda: the device's own, else the usual architectures (repeatable).\n"
    "                        Without it: devices that are here\n"
    "  --only NAME           this definition alone\n"
    "  --tolerance X         how far floats may be apart, 2e-5 of their size for f32 without it\n"
    "  --seconds N           that a definition may take (120)\n"
    "  --plugin FILE, --plugin-path A:B   as in 'trivet build'\n";

void check_doing(check_t* check, const char* format, ...) {
  va_list arguments;
  const char* place = check_operator_place();
  size_t room = sizeof(check->tally->doing);
  int length = snprintf(check->tally->doing, room, "%s%s", place, *place ? ", " : "");
  va_start(arguments, format);
  vsnprintf(check->tally->doing + length, room - (size_t)length, format, arguments);
  va_end(arguments);
}

void check_fault(check_t* check, const char* format, ...) {
  va_list arguments;
  if (++check->tally->faults > 8) return;
  printf("  FAULT: ");
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf(" (%s)\n", check->tally->doing);
  fflush(stdout);
}

void check_refused(check_t* check, trivet_status_t status) {
  ++check->tally->refused;
  snprintf(check->tally->last_refusal, sizeof(check->tally->last_refusal), "%s",
           trivet_status_message(status));
  trivet_status_free(status);
}

static trivet_status_t load_one(void* self, const char* path) {
  return tvi_registry_load((tvi_registry_t*)self, path);
}

trivet_status_t check_open_registry(check_t* check) {
  tvi_registry_destroy(check->registry);
  check->registry = NULL;
  tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_graph_operator_parser()};
  TRIVET_RETURN_IF_ERROR(
      tvi_registry_create(&options, trivet_allocator_system(), &check->registry));
  TRIVET_RETURN_IF_ERROR(tvi_registry_add(check->registry, tvi_graph_core_operators, "built in"));
  TRIVET_RETURN_IF_ERROR(visit_plugin_files(check->arguments, load_one, check->registry));
  TRIVET_RETURN_IF_ERROR(tvi_registry_load(check->registry, check->path));
  uint32_t count = tvi_registry_plugin_count(check->registry);
  check->plugin = tvi_registry_plugin(check->registry, count - 1);
  return tvi_registry_add_linked(check->registry, check_operators);
}

// Loading as every build will do it.
static trivet_status_t try_builder(const check_t* check) {
  trivet_builder_t* builder = NULL;
  TRIVET_RETURN_IF_ERROR(trivet_builder_create(NULL, &builder));
  trivet_status_t status = load_builder_plugins(builder, check->arguments);
  if (!status) status = trivet_builder_load_plugin(builder, check->path);
  trivet_builder_destroy(builder);
  return status;
}

static void run_definition(check_t* check, const void* definition) {
  const trivet_header_t* header = definition;
  const char* name = ((const trivet_operator_t*)definition)->name;
  switch (header->struct_type) {
    case TRIVET_STRUCT_OPERATOR: {
      const trivet_operator_t* op = definition;
      const tvi_operator_entry_t* entry = tvi_registry_operator(check->registry, name, op->version);
      if (entry) check_operator(check, entry, NULL);
      break;
    }
    case TRIVET_STRUCT_KERNEL:
      check_kernel(check, definition);
      break;
    case TRIVET_STRUCT_REWRITE:
      check_rewrite(check, definition);
      break;
    case TRIVET_STRUCT_PASS:
      check_pass(check, name);
      break;
    case TRIVET_STRUCT_FRONTEND:
      check_frontend(check, definition);
      break;
    case TRIVET_STRUCT_SCALAR_FUNCTION:
      check_function(check, definition);
      break;
    case TRIVET_STRUCT_DEVICE:
      check_device(check, definition);
      break;
    default:
      printf("  note: nothing is run for this kind beyond loading\n");
  }
}

// In a child. |index| UINT32_MAX: only loads, and counts.
static int child(check_t* check, uint32_t index) {
  check_process_t before;
  check_process_note(&before);
  trivet_status_t status = check_open_registry(check);
  if (!status && index == UINT32_MAX) status = try_builder(check);
  if (status) {
    printf("  FAULT: refused: %s\n", trivet_status_message(status));
    ++check->tally->faults;
    return 1;
  }
  const trivet_plugin_t* plugin = check->plugin;
  if (index == UINT32_MAX) {
    printf("%s: plugin %s %s, %s\n", check->path, plugin->name, plugin->version, plugin->summary);
    fflush(stdout);
    alarm(check->seconds);
    status = check_find_targets(check, plugin);
    if (status) printf("note: run on the host only: %s\n", trivet_status_message(status));
    trivet_status_free(status);
    check->tally->definition_count = (uint32_t)plugin->definition_count;
    return 0;
  }
  const void* definition = plugin->definitions[index];
  const char* name = ((const trivet_operator_t*)definition)->name;
  const char* kind = tvi_registry_kind_name(((const trivet_header_t*)definition)->struct_type);
  const char* only = option_value(check->arguments, "--only", NULL);
  if (only && strcmp(only, name) != 0) return 0;
  alarm(check->seconds);
  snprintf(check->tally->doing, sizeof(check->tally->doing), "starting");
  printf("%s %s\n", kind, name);
  fflush(stdout);
  run_definition(check, definition);
  snprintf(check->tally->doing, sizeof(check->tally->doing), "closing the device");
  trivet_runtime_destroy(check->device_runtime);
  if (check->device_memory.live)
    check_fault(check, "running on devices leaks %lld bytes of the caller's allocator",
                (long long)check->device_memory.live);
  check_process_judge(check, &before);
  check_tally_t* t = check->tally;
  if (t->faults > 8) printf("  and %u more\n", t->faults - 8);
  printf("  %u cases, %u of them not taken: %s\n", t->cases, t->refused,
         t->faults ? "FAULTY" : "no fault found");
  if (t->refused && t->refused == t->cases) printf("  nothing was taken: %s\n", t->last_refusal);
  return 0;
}

static void run_child(check_t* check, uint32_t index) {
  fflush(stdout);
  fflush(stderr);
  pid_t id = fork();
  if (id == 0) {
    int result = child(check, index);
    fflush(stdout);
    _exit(result);
  }
  int how = 0;
  if (id < 0 || waitpid(id, &how, 0) != id) {
    ++check->tally->faults;
    printf("  FAULT: no process could be started\n");
  } else if (WIFSIGNALED(how)) {
    ++check->tally->faults;
    if (WTERMSIG(how) == SIGALRM) {
      printf("  FAULT: did not end within %u seconds (%s)\n", check->seconds, check->tally->doing);
    } else {
      printf("  FAULT: crashed with signal %d, %s (%s)\n", WTERMSIG(how), strsignal(WTERMSIG(how)),
             check->tally->doing);
    }
  } else if (WEXITSTATUS(how) > 1) {
    ++check->tally->faults;
    printf("  FAULT: ended with exit status %d (%s)\n", WEXITSTATUS(how), check->tally->doing);
  }
}

int check_plugin(int argc, char** argv) {
  option_t options[] = {{"--graph", NULL, true, true, 0, {0}, 0},
                        {"--model", NULL, true, true, 0, {0}, 0},
                        {"--only", NULL, true, false, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--target", NULL, true, true, 0, {0}, 0},
                        {"--seconds", NULL, true, false, 0, {0}, 0},
                        {"--tolerance", NULL, true, false, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kPluginCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) return fputs(kHelp, stdout), 0;
  if (arguments.word_count != 1) return fputs(kHelp, stderr), 2;
  check_t check = {.arguments = &arguments, .path = arguments.words[0]};
  int64_t seconds = SECONDS;
  trivet_status_t status = option_number(&arguments, "--seconds", SECONDS, 1, 86400, &seconds);
  if (status) return report_error("plugin check", status);
  check.seconds = (uint32_t)seconds;
  const char* tolerance = option_value(&arguments, "--tolerance", "0");
  char* end = NULL;
  check.tolerance = strtod(tolerance, &end);
  if (end == tolerance || *end || !(check.tolerance >= 0)) {
    return report_error(
        "plugin check",
        TRIVET_STATUS(INVALID_ARGUMENT, "--tolerance %s is no number from 0 on", tolerance));
  }
  void* shared =
      mmap(NULL, sizeof(check_tally_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    return report_error("plugin check", TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY));
  check.tally = shared;
  snprintf(check.tally->doing, sizeof(check.tally->doing), "loading");
  run_child(&check, UINT32_MAX);
  uint32_t count = check.tally->definition_count, faults = check.tally->faults, cases = 0;
  for (uint32_t i = 0; i < count && !(faults && i == 0); ++i) {
    check_tally_t* t = check.tally;
    t->cases = t->refused = t->faults = 0;
    run_child(&check, i);
    faults += check.tally->faults;
    cases += check.tally->cases;
  }
  printf("check: %u definitions, %u cases, %u faults\n", count, cases, faults);
  munmap(shared, sizeof(check_tally_t));
  return faults != 0;
}
