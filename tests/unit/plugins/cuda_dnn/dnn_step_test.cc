// SPDX-License-Identifier: Apache-2.0
//
// Steps of the plugin's kernels with a library that computes nothing: which plan is taken, what
// is handed to it, and that errors leave nothing behind. Matching and proposing are others' tests.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_norm.h"
#include "tests/unit/plugins/cuda_dnn/fake_cudnn.h"

extern "C" const trivet_plugin_t* trivet_plugin_query(uint32_t host_major, uint32_t host_minor);

namespace {

const trivet_kernel_t* Kernel(const std::string& name) {
  const trivet_plugin_t* plugin = trivet_plugin_query(TRIVET_ABI_MAJOR, TRIVET_ABI_MINOR);
  for (uint64_t i = 0; i < plugin->definition_count; ++i) {
    auto kernel = static_cast<const trivet_kernel_t*>(plugin->definitions[i]);
    if (kernel->name == name) return kernel;
  }
  return nullptr;
}

class DnnStep : public ::testing::Test {
 protected:
  // Layer normalisations of rows of 8 f16, with a plan for 6 rows behind the problem.
  void SetUp() override {
    problem_.magic = DNN_NORM_MAGIC;
    problem_.version = DNN_NORM_VERSION;
    problem_.kind = DNN_NORM_LAYER;
    problem_.dtype = TRIVET_DTYPE_F16;
    problem_.vector_dtype = TRIVET_DTYPE_F16;
    problem_.has_shift = 1;
    problem_.epsilon = 0.5;
    const int64_t parameters[] = {6, 8, 1};
    const uint64_t alignments[] = {16, 16, 16, 16};
    dnn_norm_shape_t shape;
    ASSERT_EQ(dnn_norm_describe(&problem_, parameters, alignments, &shape), nullptr);
    dnn_norm_key(&problem_, &shape, problem_.plan.key);
    problem_.plan.size = 4;
    auto bytes = reinterpret_cast<const uint8_t*>(&problem_);
    blob_.assign(bytes, bytes + sizeof(problem_));
    blob_.insert(blob_.end(), {'k', 'e', 'p', 't'});
  }
  void TearDown() override {
    if (loaded_) kernel_->unload(kernel_, loaded_, &allocator_);
    EXPECT_EQ(fake_->descriptors, 0);
    EXPECT_EQ(fake_->recorders, 0);
  }
  trivet_status_t Load(const trivet_kernel_t* kernel, void** out) {
    trivet_kernel_load_t load = {};
    load.blob = blob_.data();
    load.blob_size = blob_.size();
    load.allocator = &allocator_;
    load.device = fake_cudnn_device();
    return kernel->load(kernel, &load, out);
  }
  trivet_status_t Prepare(int64_t rows, void** out) {
    if (!loaded_) TRIVET_RETURN_IF_ERROR(Load(kernel_, &loaded_));
    const int64_t parameters[] = {rows, 8, 1};
    std::vector<trivet_operand_t> operands(4);
    for (uint32_t i = 0; i < 4; ++i) {
      trivet_operand_t& operand = operands[i];
      operand.dtype = TRIVET_DTYPE_F16;
      operand.alignment = 16;
      operand.rank = 2;
      operand.dims[0] = i == 0 || i == 3 ? rows : 1;
      operand.dims[1] = 8;
      operand.strides[0] = 8;
      operand.strides[1] = 1;
    }
    trivet_kernel_prepare_t prepare = {};
    prepare.operands = operands.data();
    prepare.operand_count = operands.size();
    prepare.parameters = parameters;
    prepare.parameter_count = 3;
    prepare.allocator = &allocator_;
    return kernel_->prepare(kernel_, loaded_, &prepare, &workspace_size_, out);
  }
  void Run(void* prepared, void* const* addresses, void* stream) {
    trivet_kernel_launch_t launch = {};
    launch.addresses = addresses;
    launch.workspace = workspace_;
    launch.stream = stream;
    EXPECT_EQ(kernel_->run(kernel_, prepared, &launch), nullptr);
  }
  void Release(void* prepared) { kernel_->release(kernel_, prepared, &allocator_); }

  fake_cudnn_t* fake_ = fake_cudnn_begin();
  trivet_allocator_t allocator_ = trivet_allocator_system();
  const trivet_kernel_t* kernel_ = Kernel("cuda_dnn.norm");
  dnn_norm_t problem_ = {};
  std::vector<uint8_t> blob_;
  void* loaded_ = nullptr;
  uint64_t workspace_size_ = 0;
  char workspace_[FAKE_CUDNN_WORKSPACE];
};

bool Refused(trivet_status_t status) {
  const bool is = trivet_status_code(status) == TRIVET_STATUS_DATA_LOSS;
  trivet_status_free(status);
  return is;
}

TEST_F(DnnStep, ThePlanOfTheFileIsForItsShapeOnly) {
  void *six = nullptr, *seven = nullptr;
  ASSERT_EQ(Prepare(6, &six), nullptr);
  EXPECT_STREQ(fake_->plan, "kept");
  EXPECT_EQ(fake_->graphs, 0);
  EXPECT_GE(workspace_size_, static_cast<uint64_t>(FAKE_CUDNN_WORKSPACE));
  ASSERT_EQ(Prepare(7, &seven), nullptr);
  EXPECT_STREQ(fake_->plan, "built");
  EXPECT_EQ(fake_->graphs, 1);
  Release(six);
  Release(seven);
}

TEST_F(DnnStep, WithoutAPlanInTheFileOneIsBuilt) {
  problem_.plan.size = 0;
  std::memcpy(blob_.data(), &problem_, sizeof(problem_));
  blob_.resize(sizeof(problem_));
  void* prepared = nullptr;
  ASSERT_EQ(Prepare(6, &prepared), nullptr);
  EXPECT_STREQ(fake_->plan, "built");
  Release(prepared);
}

TEST_F(DnnStep, RunsMakeAPackOnlyForOtherAddresses) {
  void* prepared = nullptr;
  ASSERT_EQ(Prepare(6, &prepared), nullptr);
  char memory[5], streams[2];
  void* addresses[] = {&memory[0], &memory[1], &memory[2], &memory[3]};
  Run(prepared, addresses, &streams[0]);
  Run(prepared, addresses, &streams[1]);
  EXPECT_EQ(fake_->packs, 1);
  EXPECT_EQ(fake_->stream, &streams[1]);
  ASSERT_EQ(fake_->pointer_count, 5);
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(fake_->pointers[i], addresses[i]) << i;
  EXPECT_EQ(*static_cast<const float*>(fake_->pointers[4]), 0.5f);
  addresses[0] = &memory[4];
  Run(prepared, addresses, &streams[0]);
  EXPECT_EQ(fake_->packs, 2);
  EXPECT_EQ(fake_->pointers[0], &memory[4]);
  EXPECT_EQ(fake_->executions, 3);
  // All of them by the recorder, which knows calls by all of these addresses.
  EXPECT_EQ(fake_->recorders, 1);
  EXPECT_EQ(fake_->recorded_operands, 4u);
  Release(prepared);
}

TEST_F(DnnStep, EveryKernelRefusesBlobsOfOthers) {
  for (const char* name : {"cuda_dnn.graph", "cuda_dnn.attention"}) {
    void* loaded = nullptr;
    EXPECT_TRUE(Refused(Load(Kernel(name), &loaded))) << name;
    EXPECT_EQ(loaded, nullptr) << name;
  }
  void* loaded = nullptr;
  blob_.resize(sizeof(problem_) - 1);
  EXPECT_TRUE(Refused(Load(kernel_, &loaded)));
  blob_.clear();
  EXPECT_TRUE(Refused(Load(kernel_, &loaded)));
}

TEST_F(DnnStep, ErrorsOfThePlanLeaveNothing) {
  fake_->refuses_plans = 1;
  void* prepared = nullptr;
  for (int64_t rows : {6, 7}) {
    trivet_status_t status = Prepare(rows, &prepared);
    EXPECT_NE(std::string(trivet_status_message(status)).find("text of a plan"), std::string::npos);
    trivet_status_free(status);
    EXPECT_EQ(prepared, nullptr);
    EXPECT_EQ(fake_->descriptors, 0);
  }
}

}  // namespace
