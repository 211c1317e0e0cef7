// SPDX-License-Identifier: Apache-2.0
//
// Text and JSON of the report.
// Made after the build from what the parts noted on the way; it must not change what they decided.
#include "codegen/build/report.h"

#include <string.h>

#include "core/base/status.h"

static int width(trivet_string_view_t text) { return (int)text.size; }
static const char* chars(trivet_string_view_t text) { return text.data ? text.data : ""; }

static void explain(const tvi_pass_manager_t* passes, const tvi_tactic_context_t* tactics,
                    const tvi_schedule_t* schedule, const tvi_plan_moves_t* moves,
                    tvi_string_builder_t* out) {
  if (schedule) {
    tvi_string_builder_appendf(
        out,
        "%zu steps, %u copies that only change the layout (%llu bytes), %u casts (%llu bytes)\n",
        schedule->steps.count, moves->reformat_count, (unsigned long long)moves->reformat_bytes,
        moves->cast_count, (unsigned long long)moves->cast_bytes);
    for (size_t i = 0; i < schedule->steps.count; ++i) {
      const tvi_sched_step_t* step = &schedule->steps.data[i];
      tvi_string_builder_appendf(out, "%4zu  %-16s %.*s", i, step->made_by, width(step->kernel),
                                 chars(step->kernel));
      if (step->tactic.size)
        tvi_string_builder_appendf(out, " \"%.*s\"", width(step->tactic), chars(step->tactic));
      tvi_string_builder_appendf(out, "  <- %.*s\n", width(step->name), chars(step->name));
    }
  }
  tvi_string_builder_append_cstr(out, "near misses:\n");
  uint32_t misses = 0;
  for (uint32_t i = 0; i < tvi_pass_manager_note_count(passes); ++i) {
    const tvi_pass_note_t* note = tvi_pass_manager_note(passes, i);
    if (!note->declined) continue;
    ++misses;
    tvi_string_builder_appendf(out, "  %s at %.*s: %.*s\n", note->pass, width(note->origin),
                               chars(note->origin), width(note->text), chars(note->text));
  }
  for (size_t i = 0; tactics && i < tactics->notes.count; ++i) {
    const tvi_explain_note_t* note = &tactics->notes.data[i];
    if (!note->declined) continue;
    ++misses;
    tvi_string_builder_appendf(out, "  %s at %.*s: %.*s\n", note->by, width(note->origin),
                               chars(note->origin), width(note->text), chars(note->text));
  }
  if (!misses) tvi_string_builder_append_cstr(out, "  none\n");
}

static void passes_text(const tvi_pass_manager_t* passes, tvi_string_builder_t* out) {
  for (uint32_t i = 0; i < tvi_pass_manager_record_count(passes); ++i) {
    const tvi_pass_record_t* record = tvi_pass_manager_record(passes, i);
    tvi_string_builder_appendf(out, "%-32s %6u changes %4u runs %10.3f ms\n", record->name,
                               record->changes, record->runs, (double)record->nanoseconds * 1e-6);
  }
}

static void json_field(tvi_string_builder_t* out, const char* name, trivet_string_view_t value,
                       const char* end) {
  tvi_string_builder_appendf(out, "\"%s\": ", name);
  tvi_string_builder_append_json(out, value);
  tvi_string_builder_append_cstr(out, end);
}

static trivet_string_view_t view(const char* text) {
  trivet_string_view_t v = {text, strlen(text)};
  return v;
}

static void json(const tvi_pass_manager_t* passes, const tvi_tactic_context_t* tactics,
                 const tvi_schedule_t* schedule, const tvi_plan_moves_t* moves,
                 tvi_string_builder_t* out) {
  tvi_string_builder_append_cstr(out, "{");
  if (schedule) {
    tvi_string_builder_appendf(
        out, "\"reformats\": %u, \"reformat_bytes\": %llu, \"casts\": %u, \"cast_bytes\": %llu,\n",
        moves->reformat_count, (unsigned long long)moves->reformat_bytes, moves->cast_count,
        (unsigned long long)moves->cast_bytes);
  }
  tvi_string_builder_append_cstr(out, "\"steps\": [");
  for (size_t i = 0; schedule && i < schedule->steps.count; ++i) {
    const tvi_sched_step_t* step = &schedule->steps.data[i];
    tvi_string_builder_append_cstr(out, i ? ",\n  {" : "\n  {");
    json_field(out, "name", step->name, ", ");
    json_field(out, "made_by", view(step->made_by), ", ");
    json_field(out, "kernel", step->kernel, ", ");
    json_field(out, "tactic", step->tactic, ", ");
    tvi_string_builder_appendf(out, "\"price_ns\": %.0f}", step->price);
  }
  tvi_string_builder_append_cstr(out, "\n],\n\"notes\": [");
  bool first = true;
  for (uint32_t i = 0; i < tvi_pass_manager_note_count(passes); ++i) {
    const tvi_pass_note_t* note = tvi_pass_manager_note(passes, i);
    tvi_string_builder_append_cstr(out, first ? "\n  {" : ",\n  {");
    first = false;
    json_field(out, "by", view(note->pass), ", ");
    json_field(out, "origin", note->origin, ", ");
    json_field(out, "text", note->text, ", ");
    tvi_string_builder_appendf(out, "\"declined\": %s}", note->declined ? "true" : "false");
  }
  for (size_t i = 0; tactics && i < tactics->notes.count; ++i) {
    const tvi_explain_note_t* note = &tactics->notes.data[i];
    tvi_string_builder_append_cstr(out, first ? "\n  {" : ",\n  {");
    first = false;
    json_field(out, "by", view(note->by), ", ");
    json_field(out, "origin", note->origin, ", ");
    json_field(out, "text", note->text, ", ");
    tvi_string_builder_appendf(out, "\"declined\": %s}", note->declined ? "true" : "false");
  }
  tvi_string_builder_append_cstr(out, "\n],\n\"passes\": [");
  for (uint32_t i = 0; i < tvi_pass_manager_record_count(passes); ++i) {
    const tvi_pass_record_t* record = tvi_pass_manager_record(passes, i);
    tvi_string_builder_append_cstr(out, i ? ",\n  {" : "\n  {");
    json_field(out, "name", view(record->name), ", ");
    tvi_string_builder_appendf(out, "\"changes\": %u, \"runs\": %u, \"nanoseconds\": %llu}",
                               record->changes, record->runs,
                               (unsigned long long)record->nanoseconds);
  }
  tvi_string_builder_append_cstr(out, "\n]}\n");
}

trivet_status_t tvi_report_create(const tvi_pass_manager_t* passes,
                                  const tvi_tactic_context_t* tactics,
                                  const tvi_schedule_t* schedule, const tvi_plan_moves_t* moves,
                                  trivet_allocator_t allocator, trivet_report_t** out_report) {
  trivet_report_t* report = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*report), &report));
  report->allocator = allocator;
  for (int i = 0; i < 3; ++i) tvi_string_builder_init(&report->texts[i], allocator);
  explain(passes, tactics, schedule, moves, &report->texts[TRIVET_REPORT_EXPLAIN]);
  json(passes, tactics, schedule, moves, &report->texts[TRIVET_REPORT_JSON]);
  passes_text(passes, &report->texts[TRIVET_REPORT_PASSES]);
  trivet_status_t status = TRIVET_OK;
  for (int i = 0; i < 3; ++i)
    status = trivet_status_join(status, tvi_string_builder_status(&report->texts[i]));
  if (status) {
    trivet_report_destroy(report);
    return status;
  }
  *out_report = report;
  return TRIVET_OK;
}

void trivet_report_destroy(trivet_report_t* report) {
  if (!report) return;
  trivet_allocator_t allocator = report->allocator;
  for (int i = 0; i < 3; ++i) tvi_string_builder_deinit(&report->texts[i]);
  tvi_free(allocator, report, sizeof(*report));
}

const char* trivet_report_text(const trivet_report_t* report, uint32_t kind) {
  return report && kind < 3 && report->texts[kind].data ? report->texts[kind].data : "";
}
