// SPDX-License-Identifier: Apache-2.0
//
// trivet_plan_merge: maps the plans, verifies them wholly and writes them as one. What a merged
// plan is, core/plan/plan_merge.h says.
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/plan/plan_merge.h"
#include "runtime/engine/engine.h"

typedef struct sources_s {
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  tvi_file_mapping_t** mappings;
  tvi_plan_t** plans;
  uint32_t count;
} sources_t;

static trivet_status_t read_plan(sources_t* s, const char* path, uint32_t index) {
  TRIVET_RETURN_IF_ERROR(tvi_file_map(path, 0, TVI_FILE_TO_END, s->allocator, &s->mappings[index]));
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_plan_read(s->mappings[index]->data, s->mappings[index]->size,
                    TVI_PLAN_READ_VERIFY_WEIGHTS, s->allocator, &s->plans[index]),
      "%s", path);
  return TRIVET_OK;
}

static trivet_status_t merge(sources_t* s, const char* const* paths, trivet_sink_t sink) {
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&s->arena, (size_t)s->count + 1,
                                                      sizeof(*s->mappings), &s->mappings));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&s->arena, (size_t)s->count + 1, sizeof(*s->plans), &s->plans));
  for (uint32_t i = 0; i < s->count; ++i) {
    if (paths[i] == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "path %u is NULL", i);
    TRIVET_RETURN_IF_ERROR(read_plan(s, paths[i], i));
  }
  tvi_plan_merge_t merged;
  TRIVET_RETURN_IF_ERROR(
      tvi_plan_merge((const tvi_plan_t* const*)s->plans, s->count, &s->arena, &merged));
  return tvi_plan_write(&merged.plan, &merged.weights, s->allocator, sink);
}

static trivet_status_t plan_merge(trivet_runtime_t* runtime, const char* const* paths,
                                  uint32_t count, trivet_sink_t sink) {
  if (runtime == NULL || paths == NULL || count == 0 || sink.write == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "trivet_plan_merge needs a runtime, plans and a sink");
  }
  sources_t sources;
  memset(&sources, 0, sizeof(sources));
  sources.allocator = runtime->allocator;
  sources.count = count;
  tvi_arena_init(&sources.arena, runtime->allocator, 1 << 16);
  trivet_status_t status = merge(&sources, paths, sink);
  for (uint32_t i = 0; i < count; ++i) {
    if (sources.plans != NULL) tvi_plan_destroy(sources.plans[i]);
    if (sources.mappings != NULL) tvi_file_mapping_release(sources.mappings[i]);
  }
  tvi_arena_deinit(&sources.arena);
  return status;
}

trivet_status_t trivet_plan_merge(trivet_runtime_t* runtime, const char* const* paths,
                                  uint32_t count, trivet_sink_t sink) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_plan_merge",
                    plan_merge(runtime, paths, count, sink));
}
