// SPDX-License-Identifier: Apache-2.0
//
// Implements control_blob.h. Form: "TVCF", then as u32: version 1, kind, states, inputs, bodies,
// axes; per axis its number and its direction; per body u32 count and operands of its captures, u32
// count and parameters of its symbols, u64 size, zeros up to a multiple of 64, and the plan.
// Decoding trusts nothing.
#include "core/plan/control_blob.h"

#include <string.h>

#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/status.h"

#define MAGIC "TVCF"
#define VERSION 1u
#define PLAN_ALIGNMENT 64u

static void write_list(tvi_byte_writer_t* writer, const uint32_t* list, uint32_t count) {
  tvi_byte_writer_u32(writer, count);
  for (uint32_t i = 0; i < count; ++i) tvi_byte_writer_u32(writer, list[i]);
}

trivet_status_t tvi_control_blob_encode(const tvi_control_t* control, tvi_arena_t* arena,
                                        const uint8_t** out_blob, uint64_t* out_size) {
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, arena->allocator);
  tvi_byte_writer_bytes(&writer, MAGIC, 4);
  const uint32_t head[] = {VERSION,
                           control->kind,
                           control->state_count,
                           control->input_count,
                           control->body_count,
                           control->axis_count};
  for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); ++i) tvi_byte_writer_u32(&writer, head[i]);
  for (uint32_t i = 0; i < control->axis_count; ++i) {
    tvi_byte_writer_u32(&writer, control->axes[i].axis);
    tvi_byte_writer_u32(&writer, control->axes[i].is_backwards);
  }
  for (uint32_t i = 0; i < control->body_count; ++i) {
    const tvi_control_body_t* body = &control->bodies[i];
    write_list(&writer, body->captures, body->capture_count);
    write_list(&writer, body->symbols, body->symbol_count);
    tvi_byte_writer_u64(&writer, body->plan_size);
    tvi_byte_writer_align(&writer, PLAN_ALIGNMENT);
    tvi_byte_writer_bytes(&writer, body->plan, (size_t)body->plan_size);
  }
  trivet_status_t status = tvi_byte_writer_status(&writer);
  void* copy = NULL;
  if (status == NULL) {
    status =
        tvi_arena_copy(arena, tvi_byte_writer_data(&writer), tvi_byte_writer_size(&writer), &copy);
  }
  if (status == NULL) {
    *out_blob = copy;
    *out_size = tvi_byte_writer_size(&writer);
  }
  tvi_byte_writer_deinit(&writer);
  return status;
}

static trivet_status_t read_list(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                 const uint32_t** out_list, uint32_t* out_count) {
  uint32_t count, *list;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(reader, sizeof(uint32_t), &count));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, (size_t)count + 1, sizeof(*list), &list));
  for (uint32_t i = 0; i < count; ++i)
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &list[i]));
  *out_list = list;
  *out_count = count;
  return TRIVET_OK;
}

static trivet_status_t read_axes(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                 tvi_control_t* control) {
  tvi_control_axis_t* axes;
  if (control->axis_count > tvi_byte_reader_remaining(reader) / 8) {
    return TRIVET_STATUS(DATA_LOSS, "control blob: %u axes in %zu bytes", control->axis_count,
                         tvi_byte_reader_remaining(reader));
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, (size_t)control->axis_count + 1, sizeof(*axes), &axes));
  for (uint32_t i = 0; i < control->axis_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &axes[i].axis));
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(reader, &axes[i].is_backwards));
    if (axes[i].is_backwards > 1 || axes[i].axis >= TRIVET_MAX_RANK) {
      return TRIVET_STATUS(DATA_LOSS, "control blob: axis %u, direction %u", axes[i].axis,
                           axes[i].is_backwards);
    }
  }
  control->axes = axes;
  return TRIVET_OK;
}

static trivet_status_t read_body(tvi_byte_reader_t* reader, tvi_arena_t* arena,
                                 tvi_control_body_t* body) {
  TRIVET_RETURN_IF_ERROR(read_list(reader, arena, &body->captures, &body->capture_count));
  TRIVET_RETURN_IF_ERROR(read_list(reader, arena, &body->symbols, &body->symbol_count));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(reader, &body->plan_size));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_align(reader, PLAN_ALIGNMENT));
  return tvi_byte_reader_bytes(reader, body->plan_size, &body->plan);
}

trivet_status_t tvi_control_blob_decode(const uint8_t* blob, uint64_t size, tvi_arena_t* arena,
                                        tvi_control_t* out_control) {
  tvi_byte_reader_t reader = tvi_byte_reader_make(blob, (size_t)size, "control blob");
  const uint8_t* magic = NULL;
  uint32_t version = 0;
  tvi_control_t control = {0};
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, 4, &magic));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &version));
  if (memcmp(magic, MAGIC, 4) != 0 || version != VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "control blob: does not begin as one of version %u", VERSION);
  }
  uint32_t* const head[] = {&control.kind, &control.state_count, &control.input_count,
                            &control.body_count, &control.axis_count};
  for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); ++i)
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, head[i]));
  if (control.kind > TVI_CONTROL_SCAN ||
      control.body_count != (control.kind == TVI_CONTROL_IF ? 2u : 1u) ||
      (control.kind != TVI_CONTROL_SCAN && control.axis_count != 0)) {
    return TRIVET_STATUS(DATA_LOSS, "control blob: kind %u with %u bodies and %u axes",
                         control.kind, control.body_count, control.axis_count);
  }
  TRIVET_RETURN_IF_ERROR(read_axes(&reader, arena, &control));
  tvi_control_body_t* bodies;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, control.body_count, sizeof(*bodies), &bodies));
  for (uint32_t i = 0; i < control.body_count; ++i)
    TRIVET_RETURN_IF_ERROR_ANNOTATED(read_body(&reader, arena, &bodies[i]), "body %u", i);
  control.bodies = bodies;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_expect_end(&reader));
  *out_control = control;
  return TRIVET_OK;
}
