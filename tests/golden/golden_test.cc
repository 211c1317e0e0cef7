// SPDX-License-Identifier: Apache-2.0
//
// Runs every case of this folder: parses PASS/CASE.in.txt, runs the pass, compares the printed
// graph with PASS/CASE.out.txt, and evaluates both graphs on random inputs. README.md tells the
// format.
#include <dirent.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/string_view.h"
#include "core/graph/graph.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass.h"
#include "core/registry/registry.h"

namespace {

const char kFolder[] = "tests/golden";

std::vector<std::string> List(const std::string& folder) {
  std::vector<std::string> names;
  if (DIR* dir = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(dir)) {
      if (entry->d_name[0] != '.') names.push_back(entry->d_name);
    }
    closedir(dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// "fold-bias/conv".
std::vector<std::string> Cases() {
  const std::string suffix = ".in.txt";
  std::vector<std::string> cases;
  for (const std::string& pass : List(kFolder)) {
    for (const std::string& file : List(std::string(kFolder) + "/" + pass)) {
      if (file.size() > suffix.size() &&
          file.compare(file.size() - suffix.size(), suffix.size(), suffix) == 0) {
        cases.push_back(pass + "/" + file.substr(0, file.size() - suffix.size()));
      }
    }
  }
  return cases;
}

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string TakeMessage(trivet_status_t status) {
  std::string message = status ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return message;
}

#define ASSERT_OK(expression) ASSERT_EQ("", TakeMessage(expression))

// "# key: value" lines at the head of a file.
std::map<std::string, std::string> Directives(const std::string& text) {
  std::map<std::string, std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && line.compare(0, 2, "# ") == 0;) {
    size_t colon = line.find(": ");
    if (colon != std::string::npos) found[line.substr(2, colon - 2)] = line.substr(colon + 2);
  }
  return found;
}

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    allocator_ = trivet_allocator_system();
    const tvi_registry_options_t options = {TRIVET_HALF_BUILD | TRIVET_HALF_RUN, 0,
                                            tvi_pass_text_parser()};
    ASSERT_OK(tvi_registry_create(&options, allocator_, &registry_));
    ASSERT_OK(tvi_registry_add(registry_, tvi_graph_core_operators, "core"));
    ASSERT_OK(tvi_registry_load(registry_, "plugins/ops_standard/ops_standard.so"));
    ASSERT_OK(tvi_registry_load(registry_, "passes/passes.so"));
    ASSERT_OK(tvi_registry_load(registry_, "tests/golden/golden_operators.so"));
  }

  void TearDown() override {
    for (trivet_graph_t* graph : graphs_) tvi_graph_destroy(graph);
    tvi_registry_destroy(registry_);
  }

  trivet_graph_t* Parse(const std::string& text) {
    trivet_graph_t* graph = nullptr;
    EXPECT_EQ("",
              TakeMessage(tvi_graph_parse(registry_, trivet_string_view_t{text.data(), text.size()},
                                          allocator_, &graph)));
    if (graph) graphs_.push_back(graph);
    return graph;
  }

  std::string Print(const trivet_graph_t* graph) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, allocator_);
    EXPECT_EQ("", TakeMessage(tvi_graph_print(graph, 0, &builder)));
    trivet_string_view_t view = tvi_string_builder_view(&builder);
    std::string text(view.data ? view.data : "", view.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }

  // Random tensors for the inputs; false when a shape is symbolic.
  bool MakeInputs(const trivet_graph_t* graph, double low, double high,
                  std::vector<trivet_tensor_t>* tensors,
                  std::vector<std::vector<uint8_t>>* storage) {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> uniform(low, high);
    for (uint32_t i = 0; i < graph->input_count; ++i) {
      const trivet_type_t& type = graph->values[graph->inputs[i].value]->type;
      trivet_tensor_t tensor = {};
      tensor.dtype = type.dtype;
      tensor.rank = type.rank;
      int64_t count = 1;
      for (uint32_t d = 0; d < type.rank; ++d) {
        if (!tvi_dim_is_constant(type.dims[d], &tensor.dims[d])) return false;
        count *= tensor.dims[d];
      }
      size_t size = 0;
      EXPECT_EQ("", TakeMessage(tvi_dtype_storage_size(type.dtype, count, &size)));
      storage->push_back(std::vector<uint8_t>(size + 16));
      for (int64_t k = 0; k < count; ++k) {
        double value = uniform(random);
        if (type.dtype == TRIVET_DTYPE_BOOL) value = value > (low + high) / 2;
        tvi_dtype_write_f64(type.dtype, storage->back().data(), k, value);
      }
      tensor.data = storage->back().data();
      tensor.size = size;
      tensors->push_back(tensor);
    }
    return true;
  }

  void Compare(const trivet_graph_t* before, const trivet_graph_t* after, double low, double high,
               double tolerance) {
    std::vector<trivet_tensor_t> inputs;
    std::vector<std::vector<uint8_t>> storage;
    if (!MakeInputs(before, low, high, &inputs, &storage)) return;
    std::vector<trivet_tensor_t> a(before->output_count), b(before->output_count);
    const trivet_graph_t* graphs[2] = {before, after};
    std::vector<trivet_tensor_t>* results[2] = {&a, &b};
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(inputs.size(), graphs[i]->input_count);
      ASSERT_OK(tvi_graph_evaluate_graph(graphs[i], inputs.data(), (uint32_t)inputs.size(),
                                         allocator_, results[i]->data()));
    }
    for (uint32_t i = 0; i < before->output_count; ++i) {
      ASSERT_EQ(a[i].dtype, b[i].dtype);
      ASSERT_EQ(a[i].rank, b[i].rank);
      int64_t count = 1;
      for (uint32_t d = 0; d < a[i].rank; ++d) {
        ASSERT_EQ(a[i].dims[d], b[i].dims[d]);
        count *= a[i].dims[d];
      }
      double largest = 0, difference = 0;
      for (int64_t k = 0; k < count; ++k) {
        double x = tvi_dtype_read_f64(a[i].dtype, a[i].data, k);
        double y = tvi_dtype_read_f64(b[i].dtype, b[i].data, k);
        largest = std::max(largest, std::fabs(x));
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        ASSERT_FALSE(std::isnan(x) || std::isnan(y)) << "result " << i << ", element " << k;
        difference = std::max(difference, std::fabs(x - y));
      }
      EXPECT_LE(difference, tolerance * largest) << "result " << i;
    }
    for (std::vector<trivet_tensor_t>* result : results) {
      for (trivet_tensor_t& tensor : *result) tvi_free(allocator_, tensor.data, tensor.size);
    }
  }

  trivet_allocator_t allocator_;
  tvi_registry_t* registry_ = nullptr;
  std::vector<trivet_graph_t*> graphs_;
};

TEST_P(GoldenTest, Case) {
  const std::string name = GetParam();
  const std::string text = Read(std::string(kFolder) + "/" + name + ".in.txt");
  std::map<std::string, std::string> directives = Directives(text);
  std::string pipeline = name.substr(0, name.find('/'));
  if (directives.count("pipeline")) pipeline = directives["pipeline"];

  trivet_graph_t* before = Parse(text);
  trivet_graph_t* after = Parse(text);
  ASSERT_TRUE(before && after);
  tvi_pass_options_t options = {};
  options.verify = 1;
  options.stop_after = -1;
  tvi_pass_manager_t* manager = nullptr;
  ASSERT_OK(tvi_pass_manager_create(registry_, &options, allocator_, &manager));
  const std::string error = TakeMessage(tvi_pass_manager_run(manager, pipeline.c_str(), after));
  std::string declined;
  for (uint32_t i = 0; i < tvi_pass_manager_note_count(manager); ++i) {
    const tvi_pass_note_t* note = tvi_pass_manager_note(manager, i);
    if (note->declined) declined += std::string(note->text.data, note->text.size) + "\n";
  }
  tvi_pass_manager_destroy(manager);
  ASSERT_EQ("", error);
  EXPECT_EQ("", TakeMessage(tvi_graph_verify(after)));

  const std::string printed = Print(after);
  const char* update = std::getenv("TRIVET_GOLDEN_UPDATE");
  if (update) {
    std::ofstream(std::string(update) + "/" + name + ".out.txt", std::ios::binary) << printed;
  } else {
    EXPECT_EQ(Read(std::string(kFolder) + "/" + name + ".out.txt"), printed);
  }
  if (directives.count("declines")) {
    EXPECT_NE(std::string::npos, declined.find(directives["declines"])) << declined;
  }
  double tolerance = 1e-5, low = -1, high = 1;
  if (directives.count("tolerance")) tolerance = std::atof(directives["tolerance"].c_str());
  if (directives.count("inputs")) {
    const std::string& range = directives["inputs"];
    low = std::atof(range.c_str());
    high = std::atof(range.substr(range.find("..") + 2).c_str());
  }
  Compare(before, after, low, high, tolerance);
}

INSTANTIATE_TEST_SUITE_P(Passes, GoldenTest, testing::ValuesIn(Cases()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) c = std::isalnum((unsigned char)c) ? c : '_';
  return name;
});

TEST(GoldenCases, AreFound) { EXPECT_GE(Cases().size(), 2u); }

}  // namespace
