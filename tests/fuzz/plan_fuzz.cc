// SPDX-License-Identifier: Apache-2.0
//
// Hostile plans and blobs. The first byte says how the rest is used: as a plan, as a plan whose
// hashes are put right, as a list of edits of a sample plan (offset u16, byte) followed by right
// hashes, or as the blob of a host step or of control flow. What is accepted must print, and must
// be written and read again.

#include <cstdlib>

#include "core/plan/control_blob.h"
#include "core/plan/host_blob.h"
#include "core/plan/plan.h"
#include "tests/support/plan_rehash.h"
#include "tests/support/plan_sample.h"

namespace {

void Require(trivet_status_t status) {
  if (status != nullptr) abort();
}

trivet_status_t WriteMapped(void* self, uint32_t index, trivet_sink_t sink) {
  const auto* plan = static_cast<const tvi_plan_t*>(self);
  const tvi_plan_constant_t& constant = plan->constants[index];
  return sink.write(sink.self, plan->weights + constant.offset, constant.size);
}

trivet_status_t Collect(void* self, const void* bytes, size_t size) {
  auto* out = static_cast<std::vector<uint8_t>*>(self);
  const auto* begin = static_cast<const uint8_t*>(bytes);
  out->insert(out->end(), begin, begin + size);
  return nullptr;
}

void ReadPlan(uint8_t* bytes, size_t size) {
  tvi_plan_t* plan = nullptr;
  trivet_status_t status =
      tvi_plan_read(bytes, size, TVI_PLAN_READ_VERIFY_WEIGHTS, trivet_allocator_system(), &plan);
  trivet_status_free(status);
  if (plan == nullptr) return;
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, trivet_allocator_system());
  Require(tvi_plan_print(plan, &text));
  Require(tvi_plan_print_json(plan, &text));
  tvi_string_builder_deinit(&text);
  std::vector<uint8_t> written;
  tvi_plan_weight_source_t source = {plan, WriteMapped};
  Require(
      tvi_plan_write(plan, &source, trivet_allocator_system(), trivet_sink_t{&written, Collect}));
  tvi_plan_destroy(plan);
  trivet_test::AlignedBytes again(written);
  plan = nullptr;
  Require(tvi_plan_read(again.data(), again.size(), TVI_PLAN_READ_VERIFY_WEIGHTS,
                        trivet_allocator_system(), &plan));
  tvi_plan_destroy(plan);
}

void DecodeBlob(const uint8_t* data, size_t size) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_attribute_t* attributes = nullptr;
  uint32_t count = 0;
  trivet_status_t status = tvi_host_blob_decode(data, size, &arena, &attributes, &count);
  if (status == nullptr) {
    // Only what encode writes is accepted, so it comes out again as it was.
    const uint8_t* blob = nullptr;
    uint64_t blob_size = 0;
    Require(tvi_host_blob_encode(attributes, count, &arena, &blob, &blob_size));
    if (blob_size != size || memcmp(blob, data, size) != 0) abort();
  }
  trivet_status_free(status);
  tvi_arena_deinit(&arena);
}

void DecodeControl(const uint8_t* data, size_t size) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_control_t control;
  trivet_status_t status = tvi_control_blob_decode(data, size, &arena, &control);
  if (status == nullptr) {
    const uint8_t *blob = nullptr, *again = nullptr;
    uint64_t blob_size = 0, again_size = 0;
    Require(tvi_control_blob_encode(&control, &arena, &blob, &blob_size));
    Require(tvi_control_blob_decode(blob, blob_size, &arena, &control));
    Require(tvi_control_blob_encode(&control, &arena, &again, &again_size));
    if (blob_size != size || again_size != size || memcmp(blob, again, size) != 0) abort();
  }
  trivet_status_free(status);
  tvi_arena_deinit(&arena);
}

const std::vector<uint8_t>& Sample() {
  static const std::vector<uint8_t>* sample = [] {
    trivet_test::PlanSample plan;
    auto* bytes = new std::vector<uint8_t>;
    Require(plan.Write(bytes));
    return bytes;
  }();
  return *sample;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int mode = size != 0 ? data[0] & 3 : 2;
  const bool is_control = size != 0 && (data[0] & 4) != 0;
  if (size != 0) {
    ++data;
    --size;
  }
  if (mode == 3) {
    is_control ? DecodeControl(data, size) : DecodeBlob(data, size);
    return 0;
  }
  if (mode == 2) {
    trivet_test::AlignedBytes bytes(Sample());
    for (size_t i = 0; i + 3 <= size; i += 3) {
      bytes.data()[(data[i] | data[i + 1] << 8) % bytes.size()] = data[i + 2];
    }
    trivet_test::RehashPlan(bytes.data(), bytes.size());
    ReadPlan(bytes.data(), bytes.size());
    return 0;
  }
  trivet_test::AlignedBytes bytes(data, size);
  if (mode == 1) trivet_test::RehashPlan(bytes.data(), bytes.size());
  ReadPlan(bytes.data(), bytes.size());
  return 0;
}
