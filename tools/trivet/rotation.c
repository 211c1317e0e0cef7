// SPDX-License-Identifier: Apache-2.0
//
// Sets of memory for inputs and outputs that take turns, so that a benchmark does not find its
// input in a cache. Stands beside session.c, whose own memory is the first set.
#include <string.h>

#include "tools/trivet/command.h"

static trivet_status_t tensor_info(const session_t* s, uint32_t index, trivet_tensor_info_t* info) {
  memset(info, 0, sizeof(*info));
  info->header.struct_size = sizeof(*info);
  info->header.struct_type = TRIVET_STRUCT_TENSOR_INFO;
  return trivet_engine_tensor_info(s->engine, index, info);
}

// A copy of the session's memory for one tensor.
static trivet_status_t copy_memory(session_t* s, uint32_t tensor, const char* name, void** out) {
  uint64_t size = 0;
  TRIVET_RETURN_IF_ERROR(trivet_context_tensor_size(s->context, name, &size));
  if (s->device_addresses[tensor]) {
    void* memory = NULL;
    TRIVET_RETURN_IF_ERROR(trivet_engine_allocate(s->engine, s->device_sizes[tensor], &memory));
    *out = memory;
    return trivet_engine_copy(s->engine, memory, s->addresses[tensor], size);
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&s->arena, size + 64, 64, out));
  memcpy(*out, s->addresses[tensor], size);
  return TRIVET_OK;
}

trivet_status_t open_rotation(session_t* s, uint32_t set_count, rotation_t* out_rotation) {
  rotation_t r = {s, set_count, 0, NULL};
  memset(out_rotation, 0, sizeof(*out_rotation));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      &s->arena, (size_t)set_count * s->tensor_count + 1, sizeof(void*), &r.addresses));
  trivet_status_t status = TRIVET_OK;
  for (uint32_t t = 0; !status && t < s->tensor_count; ++t) {
    trivet_tensor_info_t info;
    status = tensor_info(s, t, &info);
    if (status || info.mode == TRIVET_TENSOR_OBSERVED) continue;
    r.addresses[t] = s->device_addresses[t] ? s->device_addresses[t] : s->addresses[t];
    for (uint32_t k = 1; !status && k < set_count; ++k) {
      status = copy_memory(s, t, info.name, &r.addresses[(size_t)k * s->tensor_count + t]);
    }
  }
  if (status) {
    close_rotation(&r);
    return status;
  }
  *out_rotation = r;
  return TRIVET_OK;
}

trivet_status_t rotate(rotation_t* r) {
  if (r->set_count == 1) return TRIVET_OK;
  void* const* addresses =
      r->addresses + (size_t)(r->turn % r->set_count) * r->session->tensor_count;
  ++r->turn;
  for (uint32_t t = 0; t < r->session->tensor_count; ++t) {
    if (!addresses[t]) continue;
    trivet_tensor_info_t info;
    TRIVET_RETURN_IF_ERROR(tensor_info(r->session, t, &info));
    TRIVET_RETURN_IF_ERROR(
        trivet_context_set_address(r->session->context, info.name, addresses[t]));
  }
  return TRIVET_OK;
}

void close_rotation(rotation_t* r) {
  for (size_t k = 1; r->addresses && k < r->set_count; ++k) {
    for (uint32_t t = 0; t < r->session->tensor_count; ++t) {
      if (!r->session->device_addresses[t]) continue;
      trivet_engine_release(r->session->engine, r->addresses[k * r->session->tensor_count + t],
                            r->session->device_sizes[t]);
    }
  }
}
