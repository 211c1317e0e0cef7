// SPDX-License-Identifier: Apache-2.0
//
// Plugins that must be refused, with the exact message, and nothing of them may remain. All are
// built from refused_plugin.c.
#include <gtest/gtest.h>

#include <string>

#include "core/base/string_builder.h"
#include "core/graph/graph.h"
#include "core/pass/pass.h"
#include "core/registry/registry.h"

namespace {

std::string Take(trivet_status_t status) {
  std::string text = status == nullptr ? "OK" : trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

std::string Path(const std::string& name) { return "./tests/abi/refused_" + name + ".so"; }

class RefusedPlugins : public testing::Test {
 protected:
  void SetUp() override {
    tvi_registry_options_t options = {TRIVET_HALF_BUILD | TRIVET_HALF_RUN, 0,
                                      tvi_pass_text_parser()};
    ASSERT_EQ(Take(tvi_registry_create(&options, trivet_allocator_system(), &registry_)), "OK");
  }
  void TearDown() override { tvi_registry_destroy(registry_); }

  std::string Load(const std::string& name) {
    return Take(tvi_registry_load(registry_, Path(name).c_str()));
  }

  // Loads, expects the message, and that nothing remains.
  void Refuse(const std::string& name, const std::string& message) {
    uint32_t plugins = tvi_registry_plugin_count(registry_);
    EXPECT_EQ(Load(name), "plugin " + Path(name) + ": " + message);
    EXPECT_EQ(tvi_registry_plugin_count(registry_), plugins);
    EXPECT_EQ(tvi_registry_operator(registry_, "refused.First", 0), nullptr) << name;
    // describe says the same and keeps nothing either.
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(Take(tvi_registry_describe(registry_, Path(name).c_str(), &builder)), "OK");
    trivet_string_view_t view = tvi_string_builder_view(&builder);
    EXPECT_EQ(std::string(view.data, view.size), Path(name) + ": refused: " + message + "\n");
    tvi_string_builder_deinit(&builder);
    EXPECT_EQ(tvi_registry_plugin_count(registry_), plugins);
  }

  tvi_registry_t* registry_ = nullptr;
};

TEST_F(RefusedPlugins, MissingFile) {
  EXPECT_NE(Load("nowhere").find("refused_nowhere.so"), std::string::npos);
  EXPECT_EQ(Take(tvi_registry_load(registry_, "refused_accepted.so")),
            "plugin refused_accepted.so: wanted a path with a '/'; plugins are never searched for");
}

TEST_F(RefusedPlugins, Entry) {
  Refuse("no_symbol", "exports no symbol trivet_plugin_query");
  Refuse("null", "trivet_plugin_query(" + std::to_string(TRIVET_ABI_MAJOR) + ", " +
                     std::to_string(TRIVET_ABI_MINOR) +
                     ") returned NULL: not made for this version");
}

TEST_F(RefusedPlugins, Head) {
  Refuse("struct_type", "header.struct_type is 0x54500002, wanted 0x54500001 (plugin)");
  Refuse("major", "abi_major is " + std::to_string(TRIVET_ABI_MAJOR + 1) + ", wanted at most " +
                      std::to_string(TRIVET_ABI_MAJOR));
  Refuse("minor", "abi_minor is " + std::to_string(TRIVET_ABI_MINOR + 1) + ", wanted at most " +
                      std::to_string(TRIVET_ABI_MINOR));
  Refuse("struct_size", "header.struct_size is 32, wanted at least 72");
  Refuse("halves", "halves are 0x4, wanted 1, 2 or 3");
}

TEST_F(RefusedPlugins, Sanitizer) {
  const char* names[] = {"no sanitizer", "AddressSanitizer", "ThreadSanitizer",
                         "an unknown sanitizer"};
  Refuse("sanitizer", std::string("built with ") + names[TRIVET_SANITIZER ^ 1] + ", wanted " +
                          names[TRIVET_SANITIZER]);
}

TEST_F(RefusedPlugins, Name) {
  Refuse("name_form", "name is 'Name-Form', wanted lower-case letters, digits and '_'");
  Refuse("name_other", "name is 'another', wanted 'refused_name_other' as the file is called");
}

TEST_F(RefusedPlugins, Definitions) {
  Refuse("definition_type",
         "definition 1: header.struct_type is 0x54500063, which is no kind of definition that this "
         "version takes");
  Refuse("definition_null", "definition 1 is NULL");
  Refuse("definition_size",
         "definition 1 (operator): header.struct_size is 40, wanted at least 80");
  Refuse("operator_name",
         "definition 1 (operator): name is 'Second', wanted the form 'namespace.Name'");
  Refuse("duplicate", "operator 'refused.First/1' is defined twice");
  Refuse("core", "operator 'core.Second': the namespace 'core' is not open to plugins");
  Refuse("kernel", "kernel 'refused.kernel': load is NULL");
  Refuse("device", "device 'refused': open is NULL");
  Refuse("device_size", "definition 1 (device): header.struct_size is 40, wanted at least 216");
}

TEST_F(RefusedPlugins, Texts) {
  // The definition before it is right, and must not stay behind.
  Refuse("syntax",
         "operator 'refused.Second': line 2, column 20: an expression expected, but the line ends");
  Refuse("text_name",
         "operator 'refused.Second': text declares refused.Second/1, the definition "
         "refused.Second/2");
  Refuse("no_meaning",
         "operator 'refused.Second': no meaning: the text has no body, and lower and evaluate are "
         "NULL");
  Refuse("rewrite", "rewrite 'refused-rewrite': line 1, column 31: expected '{', found the end");
  Refuse("function",
         "scalar function 'refused.twice': text declares 'thrice', the definition 'refused.twice'");
}

TEST_F(RefusedPlugins, Taken) {
  ASSERT_EQ(Load("accepted"), "OK");
  const tvi_operator_entry_t* first = tvi_registry_operator(registry_, "accepted.Second", 1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(Load("accepted"), "plugin " + Path("accepted") +
                                  ": a plugin 'refused_accepted' is already loaded (" +
                                  Path("accepted") + ")");
  EXPECT_EQ(Load("taken"),
            "plugin " + Path("taken") +
                ": operator 'refused.First/1' is already defined by plugin 'refused_accepted'; "
                "replacing it must be allowed by name");
  EXPECT_EQ(tvi_registry_plugin_count(registry_), 1u);
  // Announced, both are replaced; versions can be named.
  ASSERT_EQ(Take(tvi_registry_allow_replace(registry_, TRIVET_STRUCT_OPERATOR, "refused.First",
                                            "refused_taken")),
            "OK");
  EXPECT_EQ(Load("taken"),
            "plugin " + Path("taken") +
                ": operator 'accepted.Second/1' is already defined by plugin 'refused_accepted'; "
                "replacing it must be allowed by name");
  EXPECT_EQ(tvi_registry_operator(registry_, "accepted.Second", 1), first);
  ASSERT_EQ(Take(tvi_registry_allow_replace(registry_, TRIVET_STRUCT_OPERATOR, "accepted.Second/1",
                                            "refused_taken")),
            "OK");
  EXPECT_EQ(Load("taken"), "OK");
  EXPECT_EQ(tvi_registry_plugin_count(registry_), 2u);
  EXPECT_NE(tvi_registry_operator(registry_, "accepted.Second", 1), first);
}

TEST_F(RefusedPlugins, AcceptedIsDescribed) {
  tvi_string_builder_t builder;
  tvi_string_builder_init(&builder, trivet_allocator_system());
  EXPECT_EQ(Take(tvi_registry_describe(registry_, Path("accepted").c_str(), &builder)), "OK");
  trivet_string_view_t view = tvi_string_builder_view(&builder);
  EXPECT_EQ(std::string(view.data, view.size),
            Path("accepted") + ": plugin refused_accepted 1.0, ABI " +
                std::to_string(TRIVET_ABI_MAJOR) + "." + std::to_string(TRIVET_ABI_MINOR) +
                ", build and run half\n  for tests\n"
                "  operator refused.First/1\n  operator accepted.Second/1\n");
  tvi_string_builder_deinit(&builder);
  EXPECT_EQ(tvi_registry_plugin_count(registry_), 0u);
}

// The lean runtime holds no parser and takes no build halves.
TEST(LeanRegistry, IgnoresBuildHalves) {
  tvi_registry_options_t options = {TRIVET_HALF_RUN, 0, nullptr};
  tvi_registry_t* registry = nullptr;
  ASSERT_EQ(Take(tvi_registry_create(&options, trivet_allocator_system(), &registry)), "OK");
  EXPECT_EQ(Take(tvi_registry_load(registry, Path("accepted").c_str())), "OK");
  EXPECT_EQ(tvi_registry_plugin_count(registry), 1u);
  EXPECT_EQ(tvi_registry_operator(registry, "refused.First", 0), nullptr);
  tvi_registry_destroy(registry);
}

}  // namespace
