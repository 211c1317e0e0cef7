// SPDX-License-Identifier: Apache-2.0
//
// Plans of the graphs that `trivet plugin check` tries, through the public interface of the
// compiler.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/plan/plan.h"
#include "tools/trivet/check_trial.h"

static trivet_status_t keep(void* self, const void* bytes, size_t size) {
  check_bytes_t* b = self;
  b->data = check_must(realloc(b->data, b->size + size + 1));
  memcpy(b->data + b->size, bytes, size);
  b->size += size;
  b->data[b->size] = 0;
  return TRIVET_OK;
}

trivet_sink_t check_bytes_sink(check_bytes_t* bytes) { return (trivet_sink_t){bytes, keep}; }

trivet_status_t check_read_plan(const check_bytes_t* bytes, void** out_copy,
                                tvi_plan_t** out_plan) {
  void* copy = NULL;
  if (posix_memalign(&copy, 64, bytes->size + 1) != 0)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(copy, bytes->data, bytes->size);
  trivet_status_t status = tvi_plan_read(copy, bytes->size, 0, trivet_allocator_system(), out_plan);
  if (status) {
    free(copy);
    return status;
  }
  *out_copy = copy;
  return TRIVET_OK;
}

bool check_is_kernel(const check_trial_t* t, const tvi_plan_alternative_t* alternative) {
  if (!t->kernel) return false;
  trivet_string_view_t name = alternative->kernel;
  size_t size = strlen(t->kernel->name);
  if (name.size == size && memcmp(name.data, t->kernel->name, size) == 0) return true;
  // Code for a device is run by the target's own kernel for such: "cuda.code".
  char code[80];
  int length = snprintf(code, sizeof(code), "%s.code", t->kernel->target);
  return !t->kernel->run && name.size == (size_t)length && memcmp(name.data, code, name.size) == 0;
}

static trivet_status_t look_for_kernel(check_trial_t* t, const check_bytes_t* bytes) {
  void* copy = NULL;
  tvi_plan_t* plan = NULL;
  TRIVET_RETURN_IF_ERROR(check_read_plan(bytes, &copy, &plan));
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    for (uint32_t b = 0; b < plan->programs[p].block_count; ++b) {
      const tvi_plan_block_t* block = &plan->programs[p].blocks[b];
      for (uint32_t s = 0; s < block->step_count; ++s) {
        for (uint32_t a = 0; a < block->steps[s].alternative_count; ++a)
          t->used = t->used || check_is_kernel(t, &block->steps[s].alternatives[a]);
      }
    }
  }
  tvi_plan_destroy(plan);
  free(copy);
  return TRIVET_OK;
}

static trivet_status_t set_profile(const check_trial_t* t, trivet_config_t* config) {
  uint32_t profile = 0;
  if (!tvi_dim_symbol_count(t->graph->dims)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(trivet_config_add_profile(config, &profile));
  for (uint32_t i = 0; i < t->graph->input_count; ++i) {
    const trivet_tensor_t *a = &t->sets[0].inputs[i], *b = &t->sets[1].inputs[i];
    int64_t least[TRIVET_MAX_RANK], most[TRIVET_MAX_RANK];
    for (uint32_t d = 0; d < a->rank; ++d) {
      least[d] = a->dims[d] < b->dims[d] ? a->dims[d] : b->dims[d];
      most[d] = a->dims[d] < b->dims[d] ? b->dims[d] : a->dims[d];
    }
    char name[256];
    check_name(&t->graph->inputs[i], name, sizeof(name));
    TRIVET_RETURN_IF_ERROR(
        trivet_config_set_profile_shape(config, profile, name, a->rank, least, a->dims, most));
  }
  return TRIVET_OK;
}

static trivet_status_t run_pass(check_trial_t* t, trivet_network_t* network) {
  check_bytes_t before = {0}, after = {0};
  trivet_status_t status = trivet_network_print(network, 0, check_bytes_sink(&before));
  if (!status) status = trivet_network_run_passes(network, t->pass, NULL);
  if (!status) status = trivet_network_print(network, 0, check_bytes_sink(&after));
  if (!status) t->used = strcmp(before.data, after.data) != 0;
  free(before.data);
  free(after.data);
  return status;
}

// A tactic that is no plan's first and cannot be emitted is left out of it, and the report says so:
// "  KERNEL at NODE: TACTIC: kernel KERNEL: what is wrong".
static void judge_report(const check_trial_t* t, const trivet_report_t* report) {
  char begin[128], middle[128];
  snprintf(begin, sizeof(begin), "\n  %s at ", t->kernel->name);
  snprintf(middle, sizeof(middle), ": kernel %s: ", t->kernel->name);
  const char* text = trivet_report_text(report, TRIVET_REPORT_EXPLAIN);
  for (const char* line = strstr(text, begin); line; line = strstr(line + 1, begin)) {
    size_t size = strcspn(line + 1, "\n");
    const char* message = strstr(line, middle);
    if (!message || message > line + size) continue;
    const char* colon = strstr(line, ": ");
    check_fault(t->check, "cannot be emitted: %.*s", (int)(line + size - colon - 1), colon + 2);
    return;
  }
}

// What a build is asked for.
typedef struct order_s {
  const char* text;
  const char* target;
  uint32_t alternatives;
} order_t;

static trivet_status_t compile(check_trial_t* t, const order_t* order, trivet_builder_t* builder,
                               check_bytes_t* plan) {
  const uint32_t flags = TRIVET_BUILD_VERIFY_PASSES | TRIVET_BUILD_EXPLAIN;
  trivet_network_t* network = NULL;
  trivet_config_t* config = NULL;
  trivet_report_t* report = NULL;
  trivet_status_t status = trivet_network_create(builder, "trial", &network);
  if (!status) status = trivet_network_parse_text(network, order->text, strlen(order->text));
  if (!status && t->pass) status = run_pass(t, network);
  if (!status) status = trivet_config_create(builder, &config);
  if (!status) status = trivet_config_set_target(config, order->target);
  if (!status) status = trivet_config_set_alternatives(config, order->alternatives);
  if (!status) status = trivet_config_set_flags(config, flags);
  if (!status) status = set_profile(t, config);
  if (!status) status = trivet_build(network, config, check_bytes_sink(plan), &report);
  if (!status && t->kernel) status = look_for_kernel(t, plan);
  if (!status && t->kernel && order->alternatives > 1) judge_report(t, report);
  trivet_report_destroy(report);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  return status;
}

trivet_status_t check_build(check_trial_t* t, const char* text, const char* target,
                            uint32_t alternatives, bool again, check_bytes_t* out_plan) {
  check_memory_t memory = {0};
  trivet_builder_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_BUILDER_OPTIONS, NULL},
      .allocator = check_allocator(&memory)};
  trivet_builder_t* builder = NULL;
  check_bytes_t second = {0};
  const order_t order = {text, target, alternatives};
  if (strcmp(target, "cpu") == 0) {
    check_doing(t->check, "building");
  } else {
    check_doing(t->check, "building for %s", target);
  }
  trivet_status_t status = trivet_builder_create(&options, &builder);
  if (!status) status = load_builder_plugins(builder, t->check->arguments);
  if (!status) status = trivet_builder_load_plugin(builder, t->check->path);
  if (!status) status = trivet_builder_add_plugin(builder, check_operators);
  if (!status) status = compile(t, &order, builder, out_plan);
  if (!status && again) status = compile(t, &order, builder, &second);
  if (!status && again &&
      (second.size != out_plan->size || memcmp(second.data, out_plan->data, second.size) != 0))
    check_fault(t->check, "two builds of the same graph give different plans");
  trivet_builder_destroy(builder);
  free(second.data);
  if (!status && memory.live)
    check_fault(t->check, "building leaks %lld bytes of the caller's allocator",
                (long long)memory.live);
  return status;
}
