// SPDX-License-Identifier: Apache-2.0
//
// Memory, stream and clock of a device for measurements. Memory grows and is kept, so that a build
// of some hundred regions allocates a few times.
#include "runtime/device/measure_device.h"

#include <stdlib.h>

#include "core/base/allocator.h"
#include "core/base/clock.h"
#include "core/base/status.h"

#define MIN_RUNS 5
#define MAX_RUNS 50
#define BUDGET_NS 15000000
#define SLOW_NS (10 * BUDGET_NS)  // what takes so long, under a sanitizer say, is known sooner
#define FLUSH_SIZE ((uint64_t)128 << 20)  // more than any second-level cache holds
#define PIECE_ALIGNMENT 256u

typedef struct piece_s {
  char* base;
  uint64_t size;
} piece_t;

struct tvi_measure_device_s {
  trivet_allocator_t allocator;
  const tvi_open_device_t* device;
  void* stream;
  void* events[2];
  piece_t areas[2], workspace, flush;  // areas by TVI_MEASURE_*
  bool is_once;
};

static trivet_status_t grow(tvi_measure_device_t* m, piece_t* piece, uint64_t size) {
  if (piece->size >= size) return TRIVET_OK;
  if (piece->base)
    tvi_device_call(m->device, release, TRIVET_MEMORY_DEVICE, piece->base, piece->size);
  *piece = (piece_t){NULL, 0};
  void* base = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(m->device, allocate, TRIVET_MEMORY_DEVICE, size, &base));
  *piece = (piece_t){base, size};
  return TRIVET_OK;
}

static void drop(tvi_measure_device_t* m, piece_t* piece) {
  if (piece->base)
    tvi_device_call(m->device, release, TRIVET_MEMORY_DEVICE, piece->base, piece->size);
}

trivet_status_t tvi_measure_device_create(const tvi_open_device_t* device,
                                          trivet_allocator_t allocator,
                                          tvi_measure_device_t** out_measure) {
  tvi_measure_device_t* m = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*m), &m));
  m->allocator = allocator;
  m->device = device;
  trivet_status_t status = tvi_device_call(device, stream_create, &m->stream);
  for (int i = 0; i < 2 && !status; ++i) {
    status = tvi_device_call(device, event_create, &m->events[i]);
  }
  // A small device is measured with what its caches hold.
  if (!status) {
    trivet_status_t flush = grow(m, &m->flush, FLUSH_SIZE);
    trivet_status_free(flush);
  }
  if (status) {
    tvi_measure_device_destroy(m);
    return status;
  }
  *out_measure = m;
  return TRIVET_OK;
}

void tvi_measure_device_destroy(tvi_measure_device_t* m) {
  if (!m) return;
  drop(m, &m->areas[0]);
  drop(m, &m->areas[1]);
  drop(m, &m->workspace);
  drop(m, &m->flush);
  for (int i = 0; i < 2; ++i) {
    if (m->events[i]) tvi_device_call(m->device, event_destroy, m->events[i]);
  }
  if (m->stream) tvi_device_call(m->device, stream_destroy, m->stream);
  tvi_free(m->allocator, m, sizeof(*m));
}

void tvi_measure_device_run_once(tvi_measure_device_t* m) { m->is_once = true; }

const tvi_open_device_t* tvi_measure_device_device(const tvi_measure_device_t* m) {
  return m->device;
}

trivet_status_t tvi_measure_device_upload(tvi_measure_device_t* m, uint32_t area, void** addresses,
                                          const uint64_t* sizes, size_t count) {
  uint64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!addresses[i]) continue;
    if (sizes[i] > UINT64_MAX / 2 - total) {
      return TRIVET_STATUS(OUT_OF_RANGE, "the operands' sizes overflow 64 bits");
    }
    total += (sizes[i] + PIECE_ALIGNMENT - 1) / PIECE_ALIGNMENT * PIECE_ALIGNMENT;
  }
  TRIVET_RETURN_IF_ERROR_ANNOTATED(grow(m, &m->areas[area], total ? total : 1), "operands");
  uint64_t offset = 0;
  trivet_status_t status = TRIVET_OK;
  for (size_t i = 0; i < count && !status; ++i) {
    if (!addresses[i]) continue;
    char* to = m->areas[area].base + offset;
    if (sizes[i]) {
      status = tvi_device_call(m->device, copy, m->stream, to, addresses[i], sizes[i]);
    }
    addresses[i] = to;
    offset += (sizes[i] + PIECE_ALIGNMENT - 1) / PIECE_ALIGNMENT * PIECE_ALIGNMENT;
  }
  return trivet_status_join(status, tvi_device_call(m->device, stream_synchronize, m->stream));
}

static int compare_times(const void* a, const void* b) {
  uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return (x > y) - (x < y);
}

static trivet_status_t run_once(tvi_measure_device_t* m, const trivet_kernel_t* kernel,
                                void* prepared, const trivet_kernel_launch_t* launch,
                                uint64_t* out_nanoseconds) {
  uint64_t half = m->flush.size / 2;
  // It also keeps the device busy while the host queues what is measured.
  if (half && !m->is_once) {
    TRIVET_RETURN_IF_ERROR(
        tvi_device_call(m->device, copy, m->stream, m->flush.base, m->flush.base + half, half));
  }
  TRIVET_RETURN_IF_ERROR(tvi_device_call(m->device, event_record, m->events[0], m->stream));
  TRIVET_RETURN_IF_ERROR(kernel->run(kernel, prepared, launch));
  TRIVET_RETURN_IF_ERROR(tvi_device_call(m->device, event_record, m->events[1], m->stream));
  return tvi_device_call(m->device, elapsed, m->events[0], m->events[1], out_nanoseconds);
}

trivet_status_t tvi_measure_device_run(tvi_measure_device_t* m, const trivet_kernel_t* kernel,
                                       void* prepared, void* const* addresses,
                                       uint64_t workspace_size, double best,
                                       double* out_nanoseconds) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(grow(m, &m->workspace, workspace_size ? workspace_size : 1),
                                   "workspace of %llu bytes", (unsigned long long)workspace_size);
  trivet_kernel_launch_t launch = {
      .addresses = addresses, .workspace = m->workspace.base, .stream = m->stream};
  uint64_t times[MAX_RUNS];
  int count = m->is_once ? 1 : 0, most = m->is_once ? 1 : MAX_RUNS;
  trivet_status_t status = run_once(m, kernel, prepared, &launch, &times[0]);  // loads lazily
  for (int64_t start = tvi_clock_now_ns(); !status && count < most; ++count) {
    int64_t spent = tvi_clock_now_ns() - start;
    if (spent > (count >= MIN_RUNS ? BUDGET_NS : SLOW_NS)) break;
    if (count == 2 && best > 0 && (double)(times[0] < times[1] ? times[0] : times[1]) > 1.5 * best)
      break;
    status = run_once(m, kernel, prepared, &launch, &times[count]);
  }
  // Nothing of it may still run when the kernel is released.
  status = trivet_status_join(status, tvi_device_call(m->device, stream_synchronize, m->stream));
  TRIVET_RETURN_IF_ERROR(status);
  qsort(times, (size_t)count, sizeof(times[0]), compare_times);
  uint64_t median = times[count / 2];
  *out_nanoseconds = (double)median;
  return TRIVET_OK;
}
