// SPDX-License-Identifier: Apache-2.0
//
// Every rule of the verifier, broken one at a time in a plan that keeps all the others, with the
// exact message. The writer must refuse what the verifier refuses.

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/plan/plan.h"
#include "core/plan/plan_format.h"
#include "tests/support/failing_allocator.h"
#include "tests/support/plan_sample.h"

namespace {

using trivet_test::PlanSample;

std::string WriteError(PlanSample* sample, trivet_status_code_t* out_code) {
  std::vector<uint8_t> written;
  trivet_status_t status = sample->Write(&written);
  std::string message = status != nullptr ? trivet_status_message(status) : "no error";
  *out_code = trivet_status_consume(status);
  return message;
}

struct Rule {
  const char* message;
  std::function<void(PlanSample*)> breaks;
};

void ExpectRefused(const std::vector<Rule>& rules,
                   trivet_status_code_t code = TRIVET_STATUS_DATA_LOSS) {
  for (const Rule& rule : rules) {
    PlanSample sample;
    trivet_status_code_t actual = TRIVET_STATUS_OK;
    rule.breaks(&sample);
    EXPECT_EQ(WriteError(&sample, &actual), rule.message);
    EXPECT_EQ(actual, code) << rule.message;
  }
}

TEST(PlanVerify, TheSampleKeepsAllRules) {
  PlanSample sample;
  trivet_status_code_t code = TRIVET_STATUS_INTERNAL;
  EXPECT_EQ(WriteError(&sample, &code), "no error");
}

TEST(PlanVerify, Symbols) {
  ExpectRefused({
      {"plan section symbols: symbol 0: name is empty",
       [](PlanSample* s) { s->symbols[0].name = TRIVET_SV(""); }},
      {"plan section symbols: symbol 1: name 'batch' is that of 0 too",
       [](PlanSample* s) { s->symbols[1].name = TRIVET_SV("batch"); }},
      {"plan section symbols: symbol 1: origin 2", [](PlanSample* s) { s->symbols[1].origin = 2; }},
      {"plan section symbols: symbol 0: range 9..8", [](PlanSample* s) { s->symbols[0].min = 9; }},
      {"plan section symbols: symbol 0: range -1..8",
       [](PlanSample* s) { s->symbols[0].min = -1; }},
      {"plan section symbols: symbol 0: divisor 0",
       [](PlanSample* s) { s->symbols[0].divisor = 0; }},
  });
}

TEST(PlanVerify, ExpressionsAndConstants) {
  ExpectRefused({
      {"plan section expressions: expression 5: dimension code: symbol 2 of 2 at byte 0",
       [](PlanSample* s) { s->codes[5][1] = 2; }},
      {"plan section expressions: expression 2: dimension code of 0 bytes",
       [](PlanSample* s) { s->exprs[2].size = 0; }},
      {"plan section constants: constant 0: dtype 26 has no storage",
       [](PlanSample* s) { s->constants[0].dtype = TRIVET_DTYPE_STRING; }},
      {"plan section constants: constant 3: dtype 27 has no storage",
       [](PlanSample* s) { s->constants[3].dtype = 27; }},
      {"plan section constants: constant 0: rank 13",
       [](PlanSample* s) { s->constants[0].rank = 13; }},
      {"plan section constants: constant 0: dims[1] is -4",
       [](PlanSample* s) { s->constants[0].dims[1] = -4; }},
  });
  PlanSample sample;
  sample.constants[1].size = UINT64_MAX - 80;
  trivet_status_code_t code = TRIVET_STATUS_OK;
  EXPECT_EQ(WriteError(&sample, &code), "plan: the weights are too large at constant 1");
  EXPECT_EQ(code, TRIVET_STATUS_OUT_OF_RANGE);
}

TEST(PlanVerify, PlacementOfConstants) {
  PlanSample sample;
  uint64_t size = 0;
  ASSERT_EQ(tvi_plan_place_weights(sample.constants.data(), 4, &size), nullptr);
  sample.plan.weights_size = size;
  EXPECT_EQ(size, 428u);
  auto verify = [&] {
    trivet_status_t status = tvi_plan_verify(&sample.plan, trivet_allocator_system());
    std::string message = status != nullptr ? trivet_status_message(status) : "no error";
    trivet_status_free(status);
    return message;
  };
  EXPECT_EQ(verify(), "no error");
  sample.plan.weights_size = 429;
  EXPECT_EQ(verify(), "plan section weights: 429 bytes, constants end at 428");
  sample.constants[3].offset = 64;
  EXPECT_EQ(verify(),
            "plan section constants: constant 3: offset 64, where the one before ends at 128");
}

TEST(PlanVerify, Bindings) {
  ExpectRefused({
      {"plan section bindings: binding 1: mode 2", [](PlanSample* s) { s->bindings[1].mode = 2; }},
      {"plan section bindings: binding 0: name is empty",
       [](PlanSample* s) { s->bindings[0].name = TRIVET_SV(""); }},
      {"plan section bindings: binding 2: name 'y' is that of 1 too",
       [](PlanSample* s) { s->bindings[2].name = TRIVET_SV("y"); }},
      {"plan section bindings: binding 0: alignment 48",
       [](PlanSample* s) { s->bindings[0].alignment = 48; }},
      {"plan section bindings: binding 1: alias 2 is not an input of an output",
       [](PlanSample* s) { s->bindings[1].alias = 2; }},
      {"plan section bindings: binding 0: alias 0 is not an input of an output",
       [](PlanSample* s) { s->bindings[0].alias = 0; }},
      {"plan section bindings: binding 2: alias 3 is not an input of an output",
       [](PlanSample* s) { s->bindings[2].alias = 3; }},
      {"plan section programs: program 0: binding 1: tensor 6 of 6",
       [](PlanSample* s) { s->bindings[1].tensor = 6; }},
      {"plan section programs: program 0: binding 1: tensor 3 is not in the memory of this binding",
       [](PlanSample* s) { s->bindings[1].tensor = 3; }},
      {"plan section plugins: plugin 0: name is empty",
       [](PlanSample* s) { s->plugins[0].name = TRIVET_SV(""); }},
  });
}

TEST(PlanVerify, InputAndOutputMayShareAName) {
  PlanSample sample;
  sample.bindings[1].name = TRIVET_SV("x");
  trivet_status_code_t code = TRIVET_STATUS_INTERNAL;
  EXPECT_EQ(WriteError(&sample, &code), "no error");
}

TEST(PlanVerify, Profiles) {
  ExpectRefused({
      {"plan section profiles: profile 0: 0 inputs of 1",
       [](PlanSample* s) { s->profiles[0].binding_count = 0; }},
      {"plan section profiles: profile 0: binding 0, axis 0: min 5, opt 4, max 8",
       [](PlanSample* s) { s->profile_dims[0] = 5; }},
      {"plan section profiles: profile 0: binding 0, axis 0: 1..9, where the input has 1..8",
       [](PlanSample* s) { s->profile_dims[2 * TRIVET_MAX_RANK] = 9; }},
      {"plan section profiles: profile 0: binding 0, axis 1: 3..4, where the input has 4..4",
       [](PlanSample* s) { s->profile_dims[1] = 3; }},
      {"plan section profiles: profile 0: binding 0, axis 2: min 0, opt 0, max 1",
       [](PlanSample* s) { s->profile_dims[2 * TRIVET_MAX_RANK + 2] = 1; }},
      {"plan section profiles: profile 0: binding 0, axis 0: min -1, opt 4, max 8",
       [](PlanSample* s) { s->profile_dims[0] = -1; }},
  });
}

TEST(PlanVerify, Buffers) {
  ExpectRefused({
      {"plan section programs: program 0: buffer 4: kind 3",
       [](PlanSample* s) { s->buffers[4].kind = 3; }},
      {"plan section programs: program 0: buffer 4: size is expression 99 of 11",
       [](PlanSample* s) { s->buffers[4].size = 99; }},
      {"plan section programs: program 0: buffer 4: alignment 0",
       [](PlanSample* s) { s->buffers[4].alignment = 0; }},
      {"plan section programs: program 0: buffer 4: alignment 131072",
       [](PlanSample* s) { s->buffers[4].alignment = 131072; }},
      {"plan section programs: program 0: buffer 4: live in steps 2..1 of 3",
       [](PlanSample* s) { s->buffers[4].first_step = 2; }},
      {"plan section programs: program 0: buffer 4: live in steps 0..3 of 3",
       [](PlanSample* s) { s->buffers[4].last_step = 3; }},
      {"plan section programs: program 0: buffer 0: index is binding 3 of 3",
       [](PlanSample* s) { s->buffers[0].index = 3; }},
      {"plan section programs: program 0: buffer 3: index is constant 4 of 4",
       [](PlanSample* s) { s->buffers[3].index = 4; }},
      {"plan section programs: program 0: buffer 5: size is not a number up to 10, that of "
       "constant 1",
       [](PlanSample* s) { s->buffers[5].size = 3; }},
      {"plan section programs: program 0: buffer 5: size is not a number up to 10, that of "
       "constant 1",
       [](PlanSample* s) { s->buffers[5].size = 5; }},
      {"plan section programs: program 0: buffer 5: alignment 128 of a constant",
       [](PlanSample* s) { s->buffers[5].alignment = 128; }},
  });
}

TEST(PlanVerify, Tensors) {
  ExpectRefused({
      {"plan section programs: program 0: tensor 3: dtype 0 has no storage",
       [](PlanSample* s) { s->tensors[3].dtype = 0; }},
      {"plan section programs: program 0: tensor 3: rank 13",
       [](PlanSample* s) { s->tensors[3].rank = 13; }},
      {"plan section programs: program 0: tensor 3: flags 0x2",
       [](PlanSample* s) { s->tensors[3].flags = 2; }},
      {"plan section programs: program 0: tensor 3: buffer 6 of 6",
       [](PlanSample* s) { s->tensors[3].buffer = 6; }},
      {"plan section programs: program 0: tensor 3: offset is expression 11 of 11",
       [](PlanSample* s) { s->tensors[3].offset = 11; }},
      {"plan section programs: program 0: tensor 3: axis 1: dims is expression 12 of 11",
       [](PlanSample* s) { s->tensors[3].dims[1] = 12; }},
      {"plan section programs: program 0: tensor 3: axis 0: strides is expression 4294967295 of 11",
       [](PlanSample* s) { s->tensors[3].strides[0] = TVI_PLAN_NONE; }},
      {"plan section programs: program 0: tensor 2: elements lie outside their buffer of 64 bytes",
       [](PlanSample* s) { s->tensors[2].strides[0] = 4; }},
      {"plan section programs: program 0: tensor 2: elements lie outside their buffer of 64 bytes",
       [](PlanSample* s) { s->tensors[2].offset = 1; }},
  });
}

TEST(PlanVerify, Programs) {
  ExpectRefused({
      {"plan section programs: 0 programs", [](PlanSample* s) { s->plan.program_count = 0; }},
      {"plan section programs: 65 programs", [](PlanSample* s) { s->plan.program_count = 65; }},
      {"plan section programs: program 1: target is empty",
       [](PlanSample* s) { s->programs[1].target = TRIVET_SV(""); }},
      {"plan section programs: program 0: no blocks",
       [](PlanSample* s) { s->programs[0].block_count = 0; }},
      {"plan section programs: program 0: arena of 127 bytes, at least 128",
       [](PlanSample* s) { s->programs[0].arena_size = 127; }},
      {"plan section programs: program 0: check 0: kind 3",
       [](PlanSample* s) { s->checks[0].kind = 3; }},
      {"plan section programs: program 0: check 0: b is expression 11 of 11",
       [](PlanSample* s) { s->checks[0].b = 11; }},
  });
  PlanSample sample;
  std::vector<tvi_plan_tensor_t> tensors = sample.tensors;
  tensors[0].dtype = TRIVET_DTYPE_I32;
  sample.programs[1].tensors = tensors.data();
  trivet_status_code_t code = TRIVET_STATUS_OK;
  EXPECT_EQ(WriteError(&sample, &code),
            "plan section programs: program 1: binding 0 has another type than in program 0");
}

TEST(PlanVerify, Steps) {
  ExpectRefused({
      {"plan section programs: program 0: block 0: step 1: kind 6",
       [](PlanSample* s) { s->steps[1].kind = 6; }},
      {"plan section programs: program 0: block 0: step 1: flops is expression 11 of 11",
       [](PlanSample* s) { s->steps[1].flops = 12; }},
      {"plan section programs: program 0: block 0: step 1: queue 8 of 8",
       [](PlanSample* s) { s->steps[1].queue = 8; }},
      {"plan section programs: program 0: block 0: step 1: wait 0 is for step 1, not an earlier "
       "one "
       "of another queue",
       [](PlanSample* s) { s->wait[0] = 1; }},
      {"plan section programs: program 0: block 0: step 1: wait 0 is for step 0, not an earlier "
       "one "
       "of another queue",
       [](PlanSample* s) { s->steps[1].queue = 0; }},
      {"plan section programs: program 0: block 0: step 0: 1 blocks in a step of kind LAUNCH",
       [](PlanSample* s) {
         s->steps[0].blocks = s->wait.data();
         s->steps[0].block_count = 1;
       }},
      {"plan section programs: program 0: block 0: step 0: 1 bound symbols in a step of kind "
       "LAUNCH",
       [](PlanSample* s) {
         s->steps[0].bound_symbols = s->bound.data();
         s->steps[0].bound_symbol_count = 1;
       }},
      {"plan section programs: program 0: block 0: step 0: no alternatives",
       [](PlanSample* s) { s->steps[0].alternative_count = 0; }},
      {"plan section programs: program 0: block 1 is never called",
       [](PlanSample* s) {
         s->blocks.push_back(s->blocks[0]);
         s->programs[0].blocks = s->blocks.data();
         s->programs[0].block_count = 2;
       }},
      {"plan section programs: program 0: block 0: step 1: block 0 is block 0, called from block 0 "
       "of 1",
       [](PlanSample* s) {
         s->steps[1].kind = TVI_PLAN_STEP_LOOP;
         s->steps[1].blocks = s->wait.data();
         s->steps[1].block_count = 1;
       }},
  });
}

TEST(PlanVerify, Memories) {
  ExpectRefused({
      {"plan section programs: program 0: buffer 0: memory 2",
       [](PlanSample* s) { s->buffers[0].memory = 2; }},
      // One buffer on the device means that kernels follow addresses of the device.
      {"plan section programs: program 0: step 0: alternative 0: operand 0: tensor 0: buffer 0 "
       "lies "
       "in the memory of the host",
       [](PlanSample* s) { s->buffers[4].memory = TRIVET_MEMORY_DEVICE; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 0: tensor 0: buffer 0 "
       "lies "
       "in the memory of the device",
       [](PlanSample* s) {
         for (auto& buffer : s->buffers) buffer.memory = TRIVET_MEMORY_DEVICE;
         s->steps[0].kind = TVI_PLAN_STEP_HOST;
       }},
      {"plan section programs: program 0: step 0: alternative 0: a copy with 4 operands, 1 of them "
       "outputs",
       [](PlanSample* s) { s->steps[0].kind = TVI_PLAN_STEP_COPY; }},
  });
}

TEST(PlanVerify, StepsThatCannotBeRunYetAreNamed) {
  ExpectRefused(
      {
          {"plan section programs: program 0: block 0: step 1: steps of kind BIND cannot be run by "
           "this version",
           [](PlanSample* s) { s->steps[1].kind = TVI_PLAN_STEP_BIND; }},
          {"plan section programs: program 0: block 0: step 1: steps of kind IF cannot be run by "
           "this version",
           [](PlanSample* s) { s->steps[1].kind = TVI_PLAN_STEP_IF; }},
          {"plan section programs: program 0: block 0: step 1: steps of kind LOOP cannot be run by "
           "this version",
           [](PlanSample* s) { s->steps[1].kind = TVI_PLAN_STEP_LOOP; }},
      },
      TRIVET_STATUS_UNIMPLEMENTED);
}

TEST(PlanVerify, Alternatives) {
  ExpectRefused({
      {"plan section programs: program 0: step 0: alternative 1: kernel is empty",
       [](PlanSample* s) { s->alternatives[1].kernel = TRIVET_SV(""); }},
      {"plan section programs: program 0: step 1: alternative 0: the last one has 2 guards",
       [](PlanSample* s) {
         s->alternatives[2].guards = s->guards.data();
         s->alternatives[2].guard_count = 2;
       }},
      {"plan section programs: program 0: step 0: alternative 0: guard 1: kind 9",
       [](PlanSample* s) { s->guards[1].kind = 9; }},
      {"plan section programs: program 0: step 0: alternative 0: guard 1: a is expression 11 of 11",
       [](PlanSample* s) { s->guards[1].a = 11; }},
      {"plan section programs: program 0: step 0: alternative 0: guard 0 uses a size that is not "
       "known yet",
       [](PlanSample* s) { s->guards[0].a = 6; }},
      {"plan section programs: program 0: step 0: alternative 0: requirement 1 is empty",
       [](PlanSample* s) { s->requirements[1] = TRIVET_SV(""); }},
      {"plan section programs: program 0: step 0: alternative 1: parameter 0 is expression 11 of "
       "11",
       [](PlanSample* s) { s->parameters[0] = 11; }},
      {"plan section programs: program 0: step 0: alternative 1: parameter 1 uses a size that is "
       "not known yet",
       [](PlanSample* s) { s->parameters[1] = 9; }},
      {"plan section programs: program 0: step 1: alternative 0: 3 outputs among 2 operands",
       [](PlanSample* s) { s->alternatives[2].output_count = 3; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 1: tensor 6 of 6",
       [](PlanSample* s) { s->operands_matmul[1] = 6; }},
      {"plan section programs: program 0: step 2: alternative 0: operand 0: tensor 3: buffer 4 is "
       "live in steps 0..1 only",
       [](PlanSample* s) { s->operands_host[0] = 3; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 0: tensor 3: buffer 4 is "
       "read before it is written",
       [](PlanSample* s) { s->operands_matmul[0] = 3; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 0: tensor 1: buffer 1 is "
       "read before it is written",
       [](PlanSample* s) { s->operands_matmul[0] = 1; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 3: tensor 2: buffer 3 "
       "cannot be written",
       [](PlanSample* s) { s->operands_matmul[3] = 2; }},
      {"plan section programs: program 0: step 1: alternative 0: operand 1: tensor 0: buffer 0 "
       "cannot be written",
       [](PlanSample* s) { s->operands_relu[1] = 0; }},
      {"plan section programs: program 0: step 0: alternative 0: operand 0: tensor 4 has a size "
       "that "
       "is not known yet",
       [](PlanSample* s) { s->operands_matmul[0] = 4; }},
      // Written by one alternative of the two only.
      {"plan section programs: program 0: step 1: alternative 0: operand 0: tensor 3: buffer 4 is "
       "read before it is written",
       [](PlanSample* s) {
         s->alternatives[0].operand_count = 3;
         s->alternatives[0].output_count = 0;
       }},
      {"plan section programs: program 0: no step writes binding 1",
       [](PlanSample* s) {
         s->alternatives[2].output_count = 0;
         s->operands_relu[1] = 3;
         s->operands_host[0] = 0;
       }},
  });
}

TEST(PlanVerify, BoundSymbols) {
  ExpectRefused({
      {"plan section programs: program 0: step 2: bound symbol 0: symbol 0 is not data-dependent",
       [](PlanSample* s) { s->bound[0].symbol = 0; }},
      {"plan section programs: program 0: step 2: bound symbol 0: symbol 2 is not data-dependent",
       [](PlanSample* s) { s->bound[0].symbol = 2; }},
      {"plan section programs: program 0: step 2: bound symbol 0: output 1 of 1",
       [](PlanSample* s) { s->bound[0].output = 1; }},
      {"plan section programs: program 0: step 2: bound symbol 0: axis 1 of output 0 does not "
       "exist",
       [](PlanSample* s) { s->bound[0].axis = 1; }},
      {"plan section programs: program 0: step 2: bound symbol 0: axis 0 of output 0 does not "
       "exist",
       [](PlanSample* s) { s->operands_host[2] = TVI_PLAN_NONE; }},
      {"plan section programs: program 0: step 2: bound symbol 0: axis 0 of output 0 is not symbol "
       "1",
       [](PlanSample* s) { s->tensors[4].dims[0] = 9; }},
      {"plan section programs: program 0: step 2: alternative 0: operand 2: tensor 4 has a size "
       "that "
       "is not known yet",
       [](PlanSample* s) { s->steps[2].bound_symbol_count = 0; }},
  });
}

TEST(PlanVerify, Views) {
  auto check = [](uint32_t dtype, std::vector<int64_t> dims, std::vector<int64_t> strides,
                  int64_t offset, int64_t size) {
    return trivet_status_consume(tvi_plan_check_view(dtype, static_cast<uint32_t>(dims.size()),
                                                     dims.data(), strides.data(), offset, size));
  };
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {}, {}, 0, 4), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {}, {}, 1, 4), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {2, 3}, {3, 1}, 0, 24), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {2, 3}, {3, 1}, 0, 23), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {2, 3}, {0, 1}, 0, 12), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {3}, {-1}, 8, 12), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {3}, {-1}, 4, 12), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {0, 1000}, {1000, 1}, 0, 0), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {-1}, {1}, 0, 100), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_I4, {5}, {1}, 0, 3), TRIVET_STATUS_OK);
  EXPECT_EQ(check(TRIVET_DTYPE_I4, {7}, {1}, 0, 3), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {INT64_MAX, 2}, {INT64_MAX, 1}, 0, INT64_MAX / 8),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_F32, {2}, {INT64_MIN}, 0, 100), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_U8, {1}, {1}, INT64_MAX, INT64_MAX), TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(check(TRIVET_DTYPE_STRING, {1}, {1}, 0, 100), TRIVET_STATUS_OUT_OF_RANGE);
}

TEST(PlanVerify, EveryAllocationMayFail) {
  PlanSample sample;
  ASSERT_EQ(tvi_plan_place_weights(sample.constants.data(), 4, &sample.plan.weights_size), nullptr);
  uint64_t failures = trivet_test::ForEachFailure(
      [&](trivet_allocator_t allocator) { return tvi_plan_verify(&sample.plan, allocator); });
  EXPECT_GT(failures, 5u);
}

}  // namespace
