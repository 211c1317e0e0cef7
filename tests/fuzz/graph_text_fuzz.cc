// SPDX-License-Identifier: Apache-2.0
//
// Graph text from outside: parsing gives a graph that verifies, prints and reads back to the same
// text, or an error. Texts of rewrites go the same way.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/pass/pass.h"
#include "tests/support/test_operators.h"

namespace {

tvi_registry_t* Registry() {
  static tvi_registry_t* registry = [] {
    tvi_registry_t* made = nullptr;
    if (trivet_test::MakeRegistry(trivet_allocator_system(), &made) != nullptr) abort();
    return made;
  }();
  return registry;
}

std::string Print(const trivet_graph_t* graph) {
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, trivet_allocator_system());
  if (tvi_graph_print(graph, TVI_GRAPH_TEXT_ORIGINS, &builder) != nullptr) abort();
  trivet_string_view_t view = tvi_string_builder_view(&builder);
  std::string text(view.data, view.size);
  tvi_string_builder_deinit(&builder);
  return text;
}

void Check(trivet_status_t status, const char* what) {
  if (status == nullptr) return;
  fprintf(stderr, "%s: %s\n", what, trivet_status_message(status));
  abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (text.compare(0, 5, "match") == 0) {
    trivet_rewrite_t rewrite = {TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),
                                "r",
                                "",
                                text.c_str(),
                                nullptr,
                                nullptr};
    trivet_status_free(tvi_pass_text_parser()->check_rewrite(&rewrite, trivet_allocator_system()));
    return 0;
  }
  trivet_graph_t* graph = nullptr;
  trivet_status_t status =
      tvi_graph_parse(Registry(), trivet_test::View(text), trivet_allocator_system(), &graph);
  if (status != nullptr) {
    trivet_status_free(status);
    return 0;
  }
  Check(tvi_graph_verify(graph), "verify");
  std::string printed = Print(graph);
  trivet_graph_t* again = nullptr;
  Check(tvi_graph_parse(Registry(), trivet_test::View(printed), trivet_allocator_system(), &again),
        "parse what was printed");
  if (Print(again) != printed) {
    fprintf(stderr, "--- first\n%s--- second\n%s", printed.c_str(), Print(again).c_str());
    abort();
  }
  tvi_graph_destroy(again);
  uint32_t removed = 0;
  Check(tvi_graph_remove_dead(graph, &removed), "remove dead");
  Check(tvi_graph_infer(graph), "infer");
  Check(tvi_graph_verify(graph), "verify what is left");
  tvi_graph_destroy(graph);
  return 0;
}
