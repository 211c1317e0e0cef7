// SPDX-License-Identifier: Apache-2.0
//
// Outputs in the memory of inputs: where the plan reads an input no later than where it writes an
// output of that size, the engine says so, and the caller may give both one address. Elsewhere one
// address for both is refused.

#include "tests/end_to_end/compiled.h"

namespace {

using trivet_test::Compile;
using trivet_test::ExpectOk;
using trivet_test::Loaded;
using trivet_test::Recipe;
using trivet_test::SetInput;
using trivet_test::TextOf;

class Shared {
 public:
  Shared(const char* text, const char* without = nullptr) {
    Recipe recipe;
    recipe.plugins = {"plugins/ops_standard/ops_standard.so", "passes/passes.so",
                      "plugins/cpu/cpu.so"};
    recipe.network = [text](trivet_network_t* network) {
      return trivet_network_parse_text(network, text, strlen(text));
    };
    recipe.config = [without](trivet_network_t*, trivet_config_t* config) {
      return without == nullptr ? nullptr : trivet_config_disable_pass(config, without);
    };
    std::string plan;
    ExpectOk(Compile(recipe, &plan));
    ExpectOk(loaded_.Load(plan, {}));
    ExpectOk(loaded_.Context(1, &context));
  }
  ~Shared() { trivet_context_destroy(context); }

  // The input whose memory output |name| may take; "": none.
  std::string Alias(const char* name) const {
    trivet_tensor_info_t info = Info(name);
    if (info.alias == UINT32_MAX) return "";
    trivet_tensor_info_t of = {};
    of.header = {sizeof(of), TRIVET_STRUCT_TENSOR_INFO, nullptr};
    ExpectOk(trivet_engine_tensor_info(loaded_.engine, info.alias, &of));
    return of.name;
  }
  trivet_tensor_info_t Info(const char* name, uint32_t size = sizeof(trivet_tensor_info_t)) const {
    trivet_tensor_info_t info;
    memset(&info, 0x55, sizeof(info));
    info.header = {size, TRIVET_STRUCT_TENSOR_INFO, nullptr};
    ExpectOk(trivet_engine_tensor_info(loaded_.engine,
                                       trivet_engine_tensor_index(loaded_.engine, name), &info));
    return info;
  }

  trivet_context_t* context = nullptr;

 private:
  Loaded loaded_;
};

const char kCache[] =
    "graph \"cache\" {\n"
    "  symbol n: 1 .. 8\n"
    "  input %past: f32[n, 2]\n"
    "  input %new: f32[n, 2]\n"
    "  %y = std.Add(%past, %new)\n"
    "  %last = std.Softmax(%new) { axis = 1 }\n"
    "  output \"present\": %y\n"
    "  output \"last\": %last\n"
    "}\n";

TEST(SharedBindingsTest, OverwrittenByTheStepThatReadsIt) {
  Shared net(kCache);
  EXPECT_EQ(net.Alias("present"), "past");
  std::vector<float> cache = {1, 2, 3, 4}, step = {10, 20, 30, 40}, last(4);
  ExpectOk(SetInput(net.context, "past", {2, 2}, &cache));
  ExpectOk(SetInput(net.context, "new", {2, 2}, &step));
  ExpectOk(trivet_context_set_address(net.context, "present", cache.data()));
  ExpectOk(trivet_context_set_address(net.context, "last", last.data()));
  for (int run = 0; run < 3; ++run) ExpectOk(trivet_context_run(net.context));
  EXPECT_EQ(cache, (std::vector<float>{31, 62, 93, 124}));
}

TEST(SharedBindingsTest, OnlyAllOfIt) {
  Shared net(kCache);
  std::vector<float> cache = {1, 2, 3, 4, 5, 6}, step = {10, 20, 30, 40}, last(4);
  ExpectOk(SetInput(net.context, "past", {2, 2}, &cache));
  ExpectOk(SetInput(net.context, "new", {2, 2}, &step));
  ExpectOk(trivet_context_set_address(net.context, "present", cache.data() + 2));
  ExpectOk(trivet_context_set_address(net.context, "last", last.data()));
  EXPECT_NE(TextOf(trivet_context_run(net.context)).find("'present' overlaps input 'past'"),
            std::string::npos);
  ExpectOk(trivet_context_set_address(net.context, "present", step.data()));
  EXPECT_NE(TextOf(trivet_context_run(net.context)).find("'present' overlaps input 'new'"),
            std::string::npos);
  EXPECT_EQ(cache, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

// Behind the step that read it last, whatever that step does.
TEST(SharedBindingsTest, AfterItWasRead) {
  Shared net(
      "graph \"after\" {\n"
      "  input %x: f32[2, 2]\n"
      "  %1 = std.Softmax(%x) { axis = 0 }\n"
      "  %y = std.Transpose(%1) { perm = [1, 0] }\n"
      "  output \"y\": %y\n"
      "}\n");
  EXPECT_EQ(net.Alias("y"), "x");
  std::vector<float> x = {1, 1, 1, 1};
  ExpectOk(SetInput(net.context, "x", {2, 2}, &x));
  ExpectOk(trivet_context_set_address(net.context, "y", x.data()));
  ExpectOk(trivet_context_run(net.context));
  EXPECT_EQ(x, (std::vector<float>{0.5, 0.5, 0.5, 0.5}));
}

// Read elsewhere than where it is written, read again later, or of another size.
TEST(SharedBindingsTest, NotWhileItIsNeeded) {
  Shared net(
      "graph \"needed\" {\n"
      "  input %x: f32[2, 2]\n"
      "  input %v: f32[2]\n"
      "  %s = std.Softmax(%x) { axis = 1 }\n"
      "  %z = std.Add(%s, %x)\n"
      "  %t = std.Add(%z, %v)\n"
      "  output \"s\": %s\n"
      "  output \"t\": %t\n"
      "}\n");
  EXPECT_EQ(net.Alias("s"), "");
  std::vector<float> x = {1, 1, 1, 1}, v = {0, 0}, t(4);
  ExpectOk(SetInput(net.context, "x", {2, 2}, &x));
  ExpectOk(SetInput(net.context, "v", {2}, &v));
  ExpectOk(trivet_context_set_address(net.context, "s", x.data()));
  ExpectOk(trivet_context_set_address(net.context, "t", t.data()));
  EXPECT_NE(TextOf(trivet_context_run(net.context)).find("'s' overlaps input 'x'"),
            std::string::npos);
}

TEST(SharedBindingsTest, SwitchedOff) {
  Shared net(kCache, "share-in-place");
  EXPECT_EQ(net.Alias("present"), "");
}

// A caller that was compiled when records ended before the field gets them as they were.
TEST(SharedBindingsTest, OlderRecord) {
  Shared net(kCache);
  trivet_tensor_info_t info = net.Info("present", offsetof(trivet_tensor_info_t, alias));
  EXPECT_EQ(info.rank, 2u);
  EXPECT_EQ(info.alias, 0x55555555u);
  EXPECT_EQ(net.Info("past").alias, UINT32_MAX);
}

}  // namespace
