// SPDX-License-Identifier: Apache-2.0
//
// What is written is read back, field by field; the same plan gives the same bytes; the writer
// passes on the failures of sources, sinks and allocators.

#include <gtest/gtest.h>

#include "core/base/string_view.h"
#include "core/plan/plan.h"
#include "core/plan/plan_format.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::AlignedBytes;
using trivet_test::PlanSample;

std::string Text(trivet_string_view_t view) { return std::string(view.data, view.size); }

void ExpectOk(trivet_status_t status) {
  EXPECT_EQ(status, nullptr) << trivet_status_message(status);
  trivet_status_free(status);
}

void ExpectEqualGuards(const tvi_plan_guard_t* a, const tvi_plan_guard_t* b, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    EXPECT_EQ(a[i].kind, b[i].kind);
    EXPECT_EQ(a[i].a, b[i].a);
    EXPECT_EQ(a[i].b, b[i].b);
  }
}

void ExpectEqualNumbers(const uint32_t* a, const uint32_t* b, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) EXPECT_EQ(a[i], b[i]);
}

void ExpectEqualSteps(const tvi_plan_step_t& a, const tvi_plan_step_t& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.queue, b.queue);
  EXPECT_EQ(Text(a.name), Text(b.name));
  EXPECT_EQ(Text(a.made_by), Text(b.made_by));
  ASSERT_EQ(a.wait_count, b.wait_count);
  ExpectEqualNumbers(a.waits, b.waits, a.wait_count);
  ASSERT_EQ(a.bound_symbol_count, b.bound_symbol_count);
  for (uint32_t i = 0; i < a.bound_symbol_count; ++i) {
    EXPECT_EQ(a.bound_symbols[i].symbol, b.bound_symbols[i].symbol);
    EXPECT_EQ(a.bound_symbols[i].output, b.bound_symbols[i].output);
    EXPECT_EQ(a.bound_symbols[i].axis, b.bound_symbols[i].axis);
  }
  ASSERT_EQ(a.block_count, b.block_count);
  ASSERT_EQ(a.alternative_count, b.alternative_count);
  for (uint32_t i = 0; i < a.alternative_count; ++i) {
    const tvi_plan_alternative_t &x = a.alternatives[i], &y = b.alternatives[i];
    EXPECT_EQ(Text(x.kernel), Text(y.kernel));
    EXPECT_EQ(x.kernel_version, y.kernel_version);
    EXPECT_EQ(Text(x.tactic), Text(y.tactic));
    ASSERT_EQ(x.guard_count, y.guard_count);
    ExpectEqualGuards(x.guards, y.guards, x.guard_count);
    ASSERT_EQ(x.requirement_count, y.requirement_count);
    for (uint32_t r = 0; r < x.requirement_count; ++r) {
      EXPECT_EQ(Text(x.requirements[r]), Text(y.requirements[r]));
    }
    ASSERT_EQ(x.operand_count, y.operand_count);
    EXPECT_EQ(x.output_count, y.output_count);
    ExpectEqualNumbers(x.operands, y.operands, x.operand_count);
    ASSERT_EQ(x.parameter_count, y.parameter_count);
    ExpectEqualNumbers(x.parameters, y.parameters, x.parameter_count);
    ASSERT_EQ(x.blob_size, y.blob_size);
    EXPECT_TRUE(x.blob_size == 0 || memcmp(x.blob, y.blob, x.blob_size) == 0);
  }
}

void ExpectEqualPrograms(const tvi_plan_program_t& a, const tvi_plan_program_t& b) {
  EXPECT_EQ(Text(a.target), Text(b.target));
  EXPECT_EQ(a.arena_size, b.arena_size);
  EXPECT_EQ(a.arena_lower_bound, b.arena_lower_bound);
  ASSERT_EQ(a.buffer_count, b.buffer_count);
  for (uint32_t i = 0; i < a.buffer_count; ++i) {
    EXPECT_EQ(memcmp(&a.buffers[i], &b.buffers[i], sizeof(a.buffers[i])), 0) << "buffer " << i;
  }
  ASSERT_EQ(a.tensor_count, b.tensor_count);
  for (uint32_t i = 0; i < a.tensor_count; ++i) {
    const tvi_plan_tensor_t &x = a.tensors[i], &y = b.tensors[i];
    EXPECT_EQ(Text(x.name), Text(y.name));
    EXPECT_EQ(x.dtype, y.dtype);
    EXPECT_EQ(x.rank, y.rank);
    EXPECT_EQ(x.buffer, y.buffer);
    EXPECT_EQ(x.flags, y.flags);
    EXPECT_EQ(x.offset, y.offset);
    ExpectEqualNumbers(x.dims, y.dims, TRIVET_MAX_RANK);
    ExpectEqualNumbers(x.strides, y.strides, TRIVET_MAX_RANK);
  }
  ASSERT_EQ(a.check_count, b.check_count);
  ExpectEqualGuards(a.checks, b.checks, a.check_count);
  ASSERT_EQ(a.block_count, b.block_count);
  for (uint32_t i = 0; i < a.block_count; ++i) {
    ASSERT_EQ(a.blocks[i].step_count, b.blocks[i].step_count);
    for (uint32_t s = 0; s < a.blocks[i].step_count; ++s) {
      SCOPED_TRACE(s);
      ExpectEqualSteps(a.blocks[i].steps[s], b.blocks[i].steps[s]);
    }
  }
}

void ExpectEqualPlans(const PlanSample& sample, const tvi_plan_t& b) {
  const tvi_plan_t& a = sample.plan;
  EXPECT_EQ(Text(a.name), Text(b.name));
  EXPECT_EQ(Text(a.build_info), Text(b.build_info));
  ASSERT_EQ(a.symbol_count, b.symbol_count);
  for (uint32_t i = 0; i < a.symbol_count; ++i) {
    EXPECT_EQ(Text(a.symbols[i].name), Text(b.symbols[i].name));
    EXPECT_EQ(a.symbols[i].min, b.symbols[i].min);
    EXPECT_EQ(a.symbols[i].max, b.symbols[i].max);
    EXPECT_EQ(a.symbols[i].divisor, b.symbols[i].divisor);
    EXPECT_EQ(a.symbols[i].origin, b.symbols[i].origin);
  }
  ASSERT_EQ(a.expr_count, b.expr_count);
  for (uint32_t i = 0; i < a.expr_count; ++i) {
    ASSERT_EQ(a.exprs[i].size, b.exprs[i].size);
    EXPECT_EQ(memcmp(a.exprs[i].code, b.exprs[i].code, a.exprs[i].size), 0);
  }
  ASSERT_EQ(a.constant_count, b.constant_count);
  for (uint32_t i = 0; i < a.constant_count; ++i) {
    const tvi_plan_constant_t &x = a.constants[i], &y = b.constants[i];
    EXPECT_EQ(Text(x.name), Text(y.name));
    EXPECT_EQ(x.dtype, y.dtype);
    EXPECT_EQ(x.rank, y.rank);
    for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d) EXPECT_EQ(x.dims[d], y.dims[d]);
    ASSERT_EQ(x.size, y.size);
    EXPECT_EQ(x.hash[0], y.hash[0]);
    EXPECT_EQ(x.hash[1], y.hash[1]);
    EXPECT_EQ(y.offset % TVI_PLAN_WEIGHT_ALIGNMENT, 0u);
    ASSERT_LE(y.offset + y.size, b.weights_size);
    EXPECT_EQ(memcmp(sample.weights[i].data(), b.weights + y.offset, y.size), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.weights + y.offset) % TVI_PLAN_WEIGHT_ALIGNMENT, 0u);
  }
  ASSERT_EQ(a.binding_count, b.binding_count);
  for (uint32_t i = 0; i < a.binding_count; ++i) {
    EXPECT_EQ(Text(a.bindings[i].name), Text(b.bindings[i].name));
    EXPECT_EQ(a.bindings[i].mode, b.bindings[i].mode);
    EXPECT_EQ(a.bindings[i].tensor, b.bindings[i].tensor);
    EXPECT_EQ(a.bindings[i].alignment, b.bindings[i].alignment);
    EXPECT_EQ(a.bindings[i].alias, b.bindings[i].alias);
  }
  ASSERT_EQ(a.profile_count, b.profile_count);
  for (uint32_t i = 0; i < a.profile_count; ++i) {
    ASSERT_EQ(a.profiles[i].binding_count, b.profiles[i].binding_count);
    for (uint32_t d = 0; d < a.profiles[i].binding_count * 3 * TRIVET_MAX_RANK; ++d) {
      EXPECT_EQ(a.profiles[i].dims[d], b.profiles[i].dims[d]);
    }
  }
  ASSERT_EQ(a.plugin_count, b.plugin_count);
  for (uint32_t i = 0; i < a.plugin_count; ++i) {
    EXPECT_EQ(Text(a.plugins[i].name), Text(b.plugins[i].name));
    EXPECT_EQ(Text(a.plugins[i].version), Text(b.plugins[i].version));
  }
  ASSERT_EQ(a.program_count, b.program_count);
  for (uint32_t i = 0; i < a.program_count; ++i) {
    SCOPED_TRACE(i);
    ExpectEqualPrograms(a.programs[i], b.programs[i]);
  }
}

TEST(PlanRoundTrip, EveryFieldComesBack) {
  for (size_t big : {300u, 1u << 20, (5u << 20) / 2}) {
    SCOPED_TRACE(big);
    PlanSample sample(big);
    std::vector<uint8_t> written;
    ExpectOk(sample.Write(&written));
    AlignedBytes bytes(written);
    tvi_plan_t* plan = nullptr;
    trivet_status_t status = tvi_plan_read(bytes.data(), bytes.size(), TVI_PLAN_READ_VERIFY_WEIGHTS,
                                           trivet_allocator_system(), &plan);
    ASSERT_EQ(status, nullptr) << trivet_status_message(status);
    ExpectEqualPlans(sample, *plan);
    // Texts can be given to functions that want a NUL.
    EXPECT_STREQ(plan->bindings[0].name.data, "x");
    EXPECT_STREQ(plan->programs[0].blocks[0].steps[0].name.data, "fc1 + bias1");
    tvi_plan_destroy(plan);
  }
}

TEST(PlanRoundTrip, SamePlanSameBytes) {
  PlanSample one, two;
  // What the writer decides by itself does not matter.
  two.constants[1].offset = 12345;
  two.plan.weights_size = 99;
  std::vector<uint8_t> a, b, c;
  ExpectOk(one.Write(&a));
  ExpectOk(two.Write(&b));
  EXPECT_EQ(a, b);

  AlignedBytes bytes(a);
  tvi_plan_t* plan = nullptr;
  ExpectOk(tvi_plan_read(bytes.data(), bytes.size(), 0, trivet_allocator_system(), &plan));
  ASSERT_NE(plan, nullptr);
  struct Context {
    const tvi_plan_t* plan;
    std::vector<uint8_t>* out;
  } context = {plan, &c};
  tvi_plan_weight_source_t mapped = {&context, [](void* self, uint32_t index, trivet_sink_t sink) {
                                       const tvi_plan_t* p = static_cast<Context*>(self)->plan;
                                       return sink.write(sink.self,
                                                         p->weights + p->constants[index].offset,
                                                         p->constants[index].size);
                                     }};
  trivet_sink_t sink = {&context, [](void* self, const void* data, size_t size) {
                          const auto* begin = static_cast<const uint8_t*>(data);
                          auto* out = static_cast<Context*>(self)->out;
                          out->insert(out->end(), begin, begin + size);
                          return static_cast<trivet_status_t>(nullptr);
                        }};
  ExpectOk(tvi_plan_write(plan, &mapped, trivet_allocator_system(), sink));
  EXPECT_EQ(a, c) << "writing what was read";
  tvi_plan_destroy(plan);
}

// Section 13: written only where something is carried, and left out by readers that do not know it.
TEST(PlanRoundTrip, CarriedLibraries) {
  PlanSample sample;
  const std::string library(3000, 'L');
  sample.plugins[0].library = reinterpret_cast<const uint8_t*>(library.data());
  sample.plugins[0].library_size = library.size();
  std::vector<uint8_t> written;
  ASSERT_EQ(sample.Write(&written), nullptr);
  EXPECT_EQ(tvi_load_u32(written.data() + TVI_PLAN_OFFSET_MINOR), 2u);
  const size_t entry = TVI_PLAN_HEADER_SIZE + 11 * TVI_PLAN_ENTRY_SIZE;
  EXPECT_EQ(tvi_load_u32(written.data() + entry), 13u);
  EXPECT_EQ(tvi_load_u32(written.data() + entry + 4), 0u) << "readers may skip it";
  AlignedBytes bytes(written);
  tvi_plan_t* plan = nullptr;
  ASSERT_EQ(tvi_plan_read(bytes.data(), bytes.size(), 0, trivet_allocator_system(), &plan),
            nullptr);
  ASSERT_EQ(plan->plugin_count, 1u);
  ASSERT_EQ(plan->plugins[0].library_size, library.size());
  EXPECT_EQ(memcmp(plan->plugins[0].library, library.data(), library.size()), 0);
  tvi_plan_destroy(plan);
}

// Section 14: written only where costs are known, and left out by readers that do not know it.
TEST(PlanRoundTrip, Costs) {
  PlanSample sample;
  sample.steps[1].flops = 8;
  std::vector<uint8_t> written;
  ASSERT_EQ(sample.Write(&written), nullptr);
  EXPECT_EQ(tvi_load_u32(written.data() + TVI_PLAN_OFFSET_MINOR), 3u);
  const size_t entry = TVI_PLAN_HEADER_SIZE + 11 * TVI_PLAN_ENTRY_SIZE;
  EXPECT_EQ(tvi_load_u32(written.data() + entry), 14u);
  EXPECT_EQ(tvi_load_u32(written.data() + entry + 4), 0u) << "readers may skip it";
  AlignedBytes bytes(written);
  tvi_plan_t* plan = nullptr;
  ASSERT_EQ(tvi_plan_read(bytes.data(), bytes.size(), 0, trivet_allocator_system(), &plan),
            nullptr);
  EXPECT_EQ(plan->programs[0].blocks[0].steps[0].flops, 0u);
  EXPECT_EQ(plan->programs[0].blocks[0].steps[1].flops, 8u);
  EXPECT_EQ(plan->programs[1].blocks[0].steps[1].flops, 8u);
  tvi_plan_destroy(plan);
}

TEST(PlanRoundTrip, ConstantsAreAskedForOnce) {
  PlanSample sample;
  std::vector<uint8_t> written;
  ExpectOk(sample.Write(&written));
  EXPECT_EQ(sample.weights_asked, (std::vector<uint32_t>{0, 1, 3}));  // 2 is empty
}

TEST(PlanRoundTrip, WeightsBeginOnAPage) {
  PlanSample sample;
  std::vector<uint8_t> written;
  ExpectOk(sample.Write(&written));
  const uint8_t* entry =
      written.data() + TVI_PLAN_HEADER_SIZE + (TVI_PLAN_SECTION_WEIGHTS - 1) * TVI_PLAN_ENTRY_SIZE;
  EXPECT_EQ(tvi_load_u32(entry), static_cast<uint32_t>(TVI_PLAN_SECTION_WEIGHTS));
  EXPECT_EQ(tvi_load_u64(entry + 8) % 4096, 0u);
}

TEST(PlanRoundTrip, EqualBlobsAreStoredOnce) {
  PlanSample one, two;
  std::string copy = two.blob_a;
  two.alternatives[2].blob = reinterpret_cast<const uint8_t*>(copy.data());
  std::vector<uint8_t> a, b;
  ExpectOk(one.Write(&a));
  ExpectOk(two.Write(&b));
  EXPECT_EQ(a, b);
}

TEST(PlanRoundTrip, SourcesThatGiveTooMuchOrTooLittleAreRefused) {
  for (int delta : {-1, 1}) {
    PlanSample sample;
    sample.weights[1].resize(sample.weights[1].size() + delta);
    std::vector<uint8_t> written;
    trivet_status_t status = sample.Write(&written);
    ASSERT_NE(status, nullptr);
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_INVALID_ARGUMENT);
    EXPECT_NE(std::string(trivet_status_message(status)).find("constant 1"), std::string::npos);
    trivet_status_free(status);
  }
}

TEST(PlanRoundTrip, TextsWithAZeroByteAreRefused) {
  PlanSample sample;
  sample.plan.name = TRIVET_SV("a\0b");
  std::vector<uint8_t> written;
  trivet_status_t status = sample.Write(&written);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_INVALID_ARGUMENT);
  trivet_status_free(status);
}

TEST(PlanRoundTrip, SinkErrorsComeBack) {
  PlanSample sample;
  std::vector<uint8_t> written;
  ExpectOk(sample.Write(&written));
  tvi_plan_weight_source_t source = sample.source();
  for (size_t room = 0; room < written.size(); room += 997) {
    struct Sink {
      size_t room;
    } state = {room};
    trivet_sink_t sink = {&state, [](void* self, const void*, size_t size) -> trivet_status_t {
                            auto* s = static_cast<Sink*>(self);
                            if (size > s->room) return TRIVET_STATUS(CANCELLED, "disk is full");
                            s->room -= size;
                            return nullptr;
                          }};
    trivet_status_t status = tvi_plan_write(&sample.plan, &source, trivet_allocator_system(), sink);
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_CANCELLED) << room;
    trivet_status_free(status);
  }
}

TEST(PlanRoundTrip, EveryAllocationMayFail) {
  PlanSample sample;
  std::vector<uint8_t> written, again;
  ExpectOk(sample.Write(&written));
  uint64_t write_failures = trivet_test::ForEachFailure(
      [&](trivet_allocator_t allocator) { return sample.Write(&again, allocator); });
  EXPECT_GT(write_failures, 10u);
  AlignedBytes bytes(written);
  uint64_t read_failures = trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
    tvi_plan_t* plan = nullptr;
    trivet_status_t status =
        tvi_plan_read(bytes.data(), bytes.size(), TVI_PLAN_READ_VERIFY_WEIGHTS, allocator, &plan);
    EXPECT_EQ(status == nullptr, plan != nullptr);
    tvi_plan_destroy(plan);
    return status;
  });
  EXPECT_GT(read_failures, 3u);
}

}  // namespace
