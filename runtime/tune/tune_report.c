// SPDX-License-Identifier: Apache-2.0
//
// What tuning tells people: for each step that had a choice what was taken and what else there was,
// or why that was left out. Decides nothing.
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/string_view.h"
#include "runtime/tune/tune.h"

static void append_way(const tvi_plan_alternative_t* alternative, const tvi_tune_way_t* way,
                       double best, bool is_chosen, tvi_string_builder_t* out) {
  tvi_string_builder_appendf(out, "  %s %.*s \"%.*s\": ", is_chosen ? "*" : " ",
                             TVI_SV_ARGS(alternative->kernel), TVI_SV_ARGS(alternative->tactic));
  if (way->is_out) {
    tvi_string_builder_appendf(out, "left out, %.*s\n", TVI_SV_ARGS(way->reason));
    return;
  }
  tvi_string_builder_appendf(out, "%.2f us", way->nanoseconds * 1e-3);
  if (!is_chosen && best > 0)
    tvi_string_builder_appendf(out, ", %.2f times the best", way->nanoseconds / best);
  tvi_string_builder_append_cstr(out, way->was_measured ? "\n" : " (known)\n");
}

trivet_status_t tvi_tune_report(const tvi_tune_t* tune, trivet_sink_t sink) {
  if (sink.write == NULL) return TRIVET_OK;
  tvi_string_builder_t out;
  tvi_string_builder_init(&out, tune->engine->allocator);
  double before = 0, after = 0;
  uint32_t asked = 0, changed = 0;
  for (uint32_t i = 0; i < tune->engine->block->step_count; ++i) {
    const tvi_plan_step_t* step = &tune->engine->block->steps[i];
    const tvi_tune_step_t* tuned = &tune->steps[i];
    if (step->alternative_count < 2) continue;
    const tvi_tune_way_t *first = &tuned->ways[0], *best = &tuned->ways[tuned->chosen];
    ++asked;
    changed += tuned->chosen != 0;
    if (!first->is_out) before += first->nanoseconds;
    if (!first->is_out) after += best->nanoseconds;
    tvi_string_builder_appendf(&out, "step %u %.*s\n", i, TVI_SV_ARGS(step->name));
    for (uint32_t a = 0; a < step->alternative_count; ++a) {
      append_way(&step->alternatives[a], &tuned->ways[a], best->nanoseconds, a == tuned->chosen,
                 &out);
    }
  }
  tvi_string_builder_appendf(&out,
                             "%u of %u steps had alternatives, %u of them took another one: %.1f "
                             "us became %.1f us\n",
                             asked, tune->engine->block->step_count, changed, before * 1e-3,
                             after * 1e-3);
  trivet_status_t status = tvi_string_builder_status(&out);
  trivet_string_view_t text = tvi_string_builder_view(&out);
  if (status == NULL) status = sink.write(sink.self, text.data, text.size);
  tvi_string_builder_deinit(&out);
  return status;
}
