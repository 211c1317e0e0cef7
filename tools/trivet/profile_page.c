// SPDX-License-Identifier: Apache-2.0
//
// The layers of a profile as one HTML page: a table with bars, the slowest
// first. Stands behind `trivet bench --profile`; loads nothing from anywhere
// and runs no script.
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/string_builder.h"
#include "tools/trivet/command.h"

static const char kHead[] =
    "<!doctype html><html><head><meta "
    "charset=\"utf-8\"><title>profile</title><style>\n"
    "body{font:13px system-ui,sans-serif;margin:2em;color:#222}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "td,th{text-align:left;padding:2px 8px;border-bottom:1px solid "
    "#eee;white-space:nowrap}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    "td.name{white-space:normal;word-break:break-word}\n"
    ".bar{background:#6a9fd8;height:.8em;min-width:1px}\n"
    "code{font:12px ui-monospace,monospace}\n"
    "</style></head><body>\n";

static void append_html(tvi_string_builder_t* out, const char* text) {
  for (; *text; ++text) {
    switch (*text) {
      case '<':
        tvi_string_builder_append_cstr(out, "&lt;");
        break;
      case '>':
        tvi_string_builder_append_cstr(out, "&gt;");
        break;
      case '&':
        tvi_string_builder_append_cstr(out, "&amp;");
        break;
      default:
        tvi_string_builder_appendf(out, "%c", *text);
    }
  }
}

// The next cell, empty where nothing is known.
static void append_share(double share, tvi_string_builder_t* out) {
  tvi_string_builder_append_cstr(out, "</td><td class=n>");
  if (share > 0) tvi_string_builder_appendf(out, "%.0f %%", 100 * share);
}

static int slower_first(const void* a, const void* b) {
  const layer_figures_t *x = (const layer_figures_t*)a, *y = (const layer_figures_t*)b;
  if (x->ms != y->ms) return x->ms < y->ms ? 1 : -1;
  return x->index < y->index ? -1 : x->index > y->index;
}

trivet_status_t write_profile_page(const char* path, const char* title, const char* summary,
                                   layer_figures_t* layers, size_t count) {
  tvi_string_builder_t out;
  tvi_string_builder_init(&out, trivet_allocator_system());
  double total = 0, most = 0;
  for (size_t i = 0; i < count; ++i) {
    total += layers[i].ms;
    if (layers[i].ms > most) most = layers[i].ms;
  }
  qsort(layers, count, sizeof(*layers), slower_first);
  tvi_string_builder_append_cstr(&out, kHead);
  tvi_string_builder_append_cstr(&out, "<h1>");
  append_html(&out, title);
  tvi_string_builder_append_cstr(&out, "</h1><pre>");
  append_html(&out, summary);
  tvi_string_builder_append_cstr(&out,
                                 "</pre><table><tr><th>#</th><th>ms</th><th>of "
                                 "all</th><th></th><th>MB</th><th>GB/s</th>"
                                 "<th>of copying</th><th>TFLOP/s</th><th>of peak</th><th>of the "
                                 "roofline</th><th>kernel</th><th>layer</th></tr>\n");
  for (size_t i = 0; i < count; ++i) {
    const layer_figures_t* l = &layers[i];
    tvi_string_builder_appendf(&out,
                               "<tr><td class=n>%u</td><td class=n>%.4f</td><td class=n>%.1f "
                               "%%</td><td><div class=bar "
                               "style=\"width:%.0fpx\"></div></td><td class=n>%.3f</td><td "
                               "class=n>%.1f</td><td class=n>",
                               l->index, l->ms, total > 0 ? 100 * l->ms / total : 0,
                               most > 0 ? 160 * l->ms / most : 0, (double)l->bytes * 1e-6,
                               l->gigabytes_per_second);
    if (l->share_of_copy > 0) {
      tvi_string_builder_appendf(&out, "%.0f %%", 100 * l->share_of_copy);
    }
    tvi_string_builder_append_cstr(&out, "</td><td class=n>");
    if (l->flops && l->ms > 0) {
      tvi_string_builder_appendf(&out, "%.2f", (double)l->flops / l->ms * 1e-9);
    }
    append_share(l->share_of_peak, &out);
    append_share(l->share_of_roofline, &out);
    tvi_string_builder_append_cstr(&out, "</td><td><code>");
    append_html(&out, l->kernel);
    tvi_string_builder_append_cstr(&out, " ");
    append_html(&out, l->tactic);
    tvi_string_builder_append_cstr(&out, "</code></td><td class=name>");
    append_html(&out, l->name);
    tvi_string_builder_append_cstr(&out, "</td></tr>\n");
  }
  tvi_string_builder_append_cstr(&out, "</table></body></html>\n");
  trivet_string_view_t text = tvi_string_builder_view(&out);
  trivet_status_t status = tvi_string_builder_status(&out);
  if (!status) status = tvi_file_write(path, text.data, text.size, trivet_allocator_system());
  tvi_string_builder_deinit(&out);
  return status;
}
