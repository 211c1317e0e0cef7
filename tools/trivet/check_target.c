// SPDX-License-Identifier: Apache-2.0
//
// Targets beside the host under `trivet plugin check`: which there are, plans for them where their
// build half is here, and runs where their device is.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/string_view.h"
#include "tools/trivet/check_trial.h"

#define RECORD_HEADER TRIVET_HEADER(trivet_device_record_t, TRIVET_STRUCT_DEVICE_RECORD)

// What a target without an architecture stands for where no device says which.
static const char* const kUsual[] = {"cuda:sm_80", "cuda:sm_90", "cuda:sm_100"};

// Whether the target's build half is here: builds one node for it.
static trivet_status_t try_target(const check_t* check, const char* name) {
  static const char text[] =
      "graph \"trial\" {\n  input %x: f32[2]\n  %y = std.Relu(%x)\n  output \"y\": %y\n}\n";
  trivet_builder_t* builder = NULL;
  trivet_network_t* network = NULL;
  trivet_config_t* config = NULL;
  check_bytes_t plan = {0};
  trivet_status_t status = trivet_builder_create(NULL, &builder);
  if (!status) status = load_builder_plugins(builder, check->arguments);
  if (!status) status = trivet_builder_load_plugin(builder, check->path);
  if (!status) status = trivet_network_create(builder, "trial", &network);
  if (!status) status = trivet_network_parse_text(network, text, strlen(text));
  if (!status) status = trivet_config_create(builder, &config);
  if (!status) status = trivet_config_set_target(config, name);
  if (!status) status = trivet_build(network, config, check_bytes_sink(&plan), NULL);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  trivet_builder_destroy(builder);
  free(plan.data);
  return status;
}

// Adds a target once. False: it cannot be built for, and the reason was said.
static bool add_target(check_t* check, const char* name, bool asked_for) {
  check_tally_t* tally = check->tally;
  for (uint32_t i = 0; i < tally->target_count; ++i) {
    if (strcmp(tally->targets[i].name, name) != 0) continue;
    tally->targets[i].asked_for |= asked_for;
    return true;
  }
  if (tally->target_count == CHECK_TARGETS || strlen(name) >= sizeof(tally->targets[0].name))
    return true;
  trivet_status_t status = try_target(check, name);
  if (status) {
    printf("note: nothing is built for %s: %s\n", name, trivet_status_message(status));
    trivet_status_free(status);
    return false;
  }
  check_target_t* target = &tally->targets[tally->target_count++];
  memset(target, 0, sizeof(*target));
  snprintf(target->name, sizeof(target->name), "%s", name);
  target->asked_for = asked_for;
  return true;
}

// |name|: "cuda:sm_90", or "cuda" for the device that is here, else for the usual architectures.
static void add_targets(check_t* check, trivet_runtime_t* runtime, const char* name,
                        bool asked_for) {
  trivet_device_record_t record = {.header = RECORD_HEADER};
  if (strchr(name, ':')) {
    add_target(check, name, asked_for);
    return;
  }
  trivet_status_t status = trivet_runtime_device(runtime, name, 0, &record);
  bool is_here = !status;
  trivet_status_free(status);
  if (is_here) add_target(check, record.target, asked_for);
  size_t size = strlen(name);
  bool usual = false;
  for (size_t i = 0; i < sizeof(kUsual) / sizeof(kUsual[0]); ++i) {
    if (strncmp(kUsual[i], name, size) != 0 || kUsual[i][size] != ':') continue;
    usual = true;
    // Where a device is here, the others are for what is written for the target.
    if (!add_target(check, kUsual[i], asked_for && !is_here)) return;
  }
  if (!usual && !is_here) add_target(check, name, asked_for);
}

// Which of the targets have their device here. Those that have not are said in one line.
static void find_devices(const check_t* check, trivet_runtime_t* runtime) {
  check_tally_t* tally = check->tally;
  char apart[300] = "", reason[300] = "";
  for (uint32_t i = 0; i < tally->target_count; ++i) {
    check_target_t* target = &tally->targets[i];
    trivet_device_record_t record = {.header = RECORD_HEADER};
    char name[32];
    snprintf(name, sizeof(name), "%s", target->name);
    if (strchr(name, ':')) *strchr(name, ':') = 0;
    trivet_status_t status = trivet_runtime_device(runtime, name, 0, &record);
    target->runs = !status && strcmp(record.target, target->name) == 0;
    if (target->runs) {
      printf("note: runs on %s, too: %s\n", target->name, record.name);
    } else {
      size_t length = strlen(apart);
      snprintf(apart + length, sizeof(apart) - length, "%s%s", length ? ", " : "", target->name);
      snprintf(reason, sizeof(reason), "%s%s", status ? "" : "the device here is ",
               status ? trivet_status_message(status) : record.target);
    }
    trivet_status_free(status);
  }
  if (*apart) printf("note: built for %s, and not run there: %s\n", apart, reason);
}

trivet_status_t check_find_targets(check_t* check, const trivet_plugin_t* plugin) {
  trivet_runtime_t* runtime = NULL;
  trivet_status_t status = trivet_runtime_create(NULL, &runtime);
  if (!status) status = load_runtime_plugins(runtime, check->arguments);
  if (!status) status = trivet_runtime_load_plugin(runtime, check->path);
  const option_t* given = find_option(check->arguments, "--target");
  for (int i = 0; !status && i < given->seen && i < 64; ++i)
    add_targets(check, runtime, given->values[i], true);
  const char* target;
  for (uint32_t i = 0;
       !status && !given->seen && (target = trivet_runtime_device_target(runtime, i)); ++i) {
    trivet_device_record_t record = {.header = RECORD_HEADER};
    trivet_status_t found = trivet_runtime_device(runtime, target, 0, &record);
    if (!found) add_target(check, record.target, true);
    trivet_status_free(found);
  }
  for (uint64_t i = 0; !status && i < plugin->definition_count; ++i) {
    const trivet_header_t* header = plugin->definitions[i];
    const trivet_scalar_function_t* function = plugin->definitions[i];
    const trivet_kernel_t* kernel = plugin->definitions[i];
    if (header->struct_type == TRIVET_STRUCT_SCALAR_FUNCTION && function->cuda)
      add_targets(check, runtime, "cuda", false);
    if (header->struct_type == TRIVET_STRUCT_KERNEL && strcmp(kernel->target, "cpu") != 0)
      add_targets(check, runtime, kernel->target, false);
  }
  if (!status) find_devices(check, runtime);
  if (!status && !check->tally->target_count)
    printf("note: run on the host only: no device is here%s\n",
           given->seen ? "" : ", and no --target was given");
  trivet_runtime_destroy(runtime);
  return status;
}

static trivet_status_t build_and_run(check_trial_t* t, const check_target_t* target) {
  check_bytes_t plan = {0};
  bool every = t->kernel && !t->plain;
  uint32_t faults = t->check->tally->faults;
  trivet_status_t status = check_build(t, t->text, target->name, every ? 32 : 1, false, &plan);
  if (!status && target->runs && t->check->tally->faults == faults) {
    status = every ? check_run_alternatives(t, &plan, true) : check_run(t, &plan, false);
    if (!status && every && t->used) status = check_in_place(t, target->name);
  }
  free(plan.data);
  return status;
}

void check_targets(check_trial_t* t) {
  check_tally_t* tally = t->check->tally;
  for (uint32_t i = 0; i < tally->target_count; ++i) {
    const check_target_t* target = &tally->targets[i];
    trivet_string_view_t name = {target->name, strlen(target->name)};
    bool own = t->kernel ? tvi_target_matches(name, t->kernel->target) : t->check->device_code;
    if (!own && (t->kernel || !target->asked_for)) continue;
    t->target = target->name;
    trivet_status_t status = build_and_run(t, target);
    if (status) check_fault(t->check, "%s: %s", target->name, trivet_status_message(status));
    trivet_status_free(status);
    t->target = "cpu";
    if (t->check->tally->faults) return;
  }
}

void check_device(check_t* check, const trivet_device_t* device) {
  (void)device;
  check_graphs(check, NULL, NULL);
}
