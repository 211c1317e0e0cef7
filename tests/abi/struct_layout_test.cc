// SPDX-License-Identifier: Apache-2.0
//
// Public structs have the sizes and offsets that they had: compiled plugins and callers depend on
// them. The golden list is struct_layout.inc; every struct of the public headers must be in it.
#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "trivet/common.h"
#include "trivet/plugin.h"
#include "trivet/runtime.h"
#include "trivet/trivet.h"

namespace {

struct Entry {
  const char* name;
  const char* field;  // "" for the struct itself
  size_t offset, golden_offset;
  size_t size, golden_size;
};

const Entry kEntries[] = {
#define LAYOUT_STRUCT(type, golden) {#type, "", 0, 0, sizeof(type), golden},
#define LAYOUT_FIELD(type, field, golden_offset, golden_size) \
  {#type, #field, offsetof(type, field), golden_offset, sizeof(((type*)0)->field), golden_size},
#include "tests/abi/struct_layout.inc"
#undef LAYOUT_STRUCT
#undef LAYOUT_FIELD
};

TEST(StructLayout, SizesAndOffsetsAreGolden) {
  for (const Entry& entry : kEntries) {
    EXPECT_EQ(entry.offset, entry.golden_offset) << entry.name << " " << entry.field;
    EXPECT_EQ(entry.size, entry.golden_size) << entry.name << " " << entry.field;
  }
}

// What a plugin of the first headers wrote or reads is where it was; structs only grew.
const Entry kFirst[] = {
#define LAYOUT_STRUCT(type, golden) {#type, "", 0, 0, sizeof(type), golden},
#define LAYOUT_FIELD(type, field, golden_offset, golden_size) \
  {#type, #field, offsetof(type, field), golden_offset, sizeof(((type*)0)->field), golden_size},
#include "tests/abi/struct_layout_0_1.inc"
#undef LAYOUT_STRUCT
#undef LAYOUT_FIELD
};

TEST(StructLayout, FieldsWereOnlyAppended) {
  for (const Entry& entry : kFirst) {
    if (entry.field[0] == '\0') {
      EXPECT_GE(entry.size, entry.golden_size) << entry.name;
      continue;
    }
    EXPECT_EQ(entry.offset, entry.golden_offset) << entry.name << " " << entry.field;
    EXPECT_EQ(entry.size, entry.golden_size) << entry.name << " " << entry.field;
  }
}

TEST(StructLayout, NoStructHasHoles) {
  std::string name;
  size_t end = 0, size = 0;
  for (const Entry& entry : kEntries) {
    if (entry.field[0] == '\0') {
      EXPECT_EQ(end, size) << name << " has padding at its end";
      name = entry.name;
      end = 0;
      size = entry.size;
      continue;
    }
    EXPECT_EQ(entry.offset, end) << "padding in " << name << " before " << entry.field;
    end = entry.offset + entry.size;
  }
  EXPECT_EQ(end, size) << name << " has padding at its end";
}

TEST(StructLayout, EveryPublicStructIsListed) {
  std::set<std::string> listed;
  for (const Entry& entry : kEntries) {
    std::string name = entry.name;
    if (name.rfind("struct ", 0) == 0) name = name.substr(7);
    listed.insert(name);
  }
  size_t found = 0;
  for (const char* path :
       {"include/trivet/common.h", "include/trivet/plugin.h", "include/trivet/runtime.h",
        "include/trivet/trivet.h", "include/trivet/layers.h"}) {
    std::ifstream file(path);
    ASSERT_TRUE(file) << path;
    std::stringstream text;
    text << file.rdbuf();
    std::string all = text.str();
    std::regex declaration("struct (trivet_\\w+) \\{");
    for (std::sregex_iterator it(all.begin(), all.end(), declaration), end; it != end; ++it) {
      std::string tag = (*it)[1];
      std::string type = std::regex_replace(tag, std::regex("_s$"), "_t");
      EXPECT_TRUE(listed.count(tag) != 0 || listed.count(type) != 0)
          << tag << " of " << path << " is missing in struct_layout.inc";
      ++found;
    }
  }
  EXPECT_GT(found, 20u);
}

}  // namespace
