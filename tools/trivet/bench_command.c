// SPDX-License-Identifier: Apache-2.0
//
// trivet bench: how fast a plan runs, and where the time goes.
// It measures and must not judge: comparing with others is done by the scripts
// in bench/.
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/string_builder.h"
#include "tools/trivet/command.h"

// Counts what the runtime takes from its allocator.
static atomic_ullong allocations;

static void* counted_allocate(void* self, size_t size, size_t alignment) {
  (void)self;
  atomic_fetch_add(&allocations, 1);
  trivet_allocator_t system = trivet_allocator_system();
  return system.allocate(system.self, size, alignment);
}

static void counted_deallocate(void* self, void* pointer, size_t size, size_t alignment) {
  (void)self;
  trivet_allocator_t system = trivet_allocator_system();
  system.deallocate(system.self, pointer, size, alignment);
}

static int compare_doubles(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static uint64_t resident_bytes(void) {
  FILE* file = fopen("/proc/self/statm", "r");
  unsigned long long total = 0, resident = 0;
  if (file) {
    if (fscanf(file, "%llu %llu", &total, &resident) != 2) resident = 0;
    fclose(file);
  }
  return resident * 4096;
}

typedef struct figures_s {
  bool on_device;
  double first;                          // ms of the very first run
  double device_median, device_minimum;  // from begin to end on the device, ms
  double queued;                         // ms a run when runs are queued one behind the other
  double host;                           // ms of the host a run, queueing
  double median, minimum, mean, p90, p99;
  unsigned long long own_allocations;
  long long library_growth;  // bytes that the process's heap grew by while running
} figures_t;

static trivet_status_t measure(session_t* s, rotation_t* rotation, int64_t warmup,
                               int64_t iterations, figures_t* out_figures) {
  double* times = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(&s->arena, (size_t)iterations, sizeof(double), &times));
  int64_t begin = tvi_clock_now_ns();
  TRIVET_RETURN_IF_ERROR(trivet_context_run(s->context));
  out_figures->first = (double)(tvi_clock_now_ns() - begin) * 1e-6;
  for (int64_t i = 0; i < warmup; ++i) {
    TRIVET_RETURN_IF_ERROR(rotate(rotation));
    TRIVET_RETURN_IF_ERROR(trivet_context_run(s->context));
  }
  unsigned long long before = atomic_load(&allocations);
  struct mallinfo2 heap = mallinfo2();
  double sum = 0;
  for (int64_t i = 0; i < iterations; ++i) {
    TRIVET_RETURN_IF_ERROR(rotate(rotation));
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(trivet_context_run(s->context));
    times[i] = (double)(tvi_clock_now_ns() - start) * 1e-6;
    sum += times[i];
  }
  out_figures->own_allocations = atomic_load(&allocations) - before;
  out_figures->library_growth = (long long)mallinfo2().uordblks - (long long)heap.uordblks;
  qsort(times, (size_t)iterations, sizeof(double), compare_doubles);
  out_figures->median = times[iterations / 2];
  out_figures->minimum = times[0];
  out_figures->mean = sum / (double)iterations;
  out_figures->p90 = times[iterations * 9 / 10];
  out_figures->p99 = times[iterations * 99 / 100];
  return TRIVET_OK;
}

// Times that the device takes itself, of single runs and of runs one behind the
// other.
static trivet_status_t measure_device(session_t* s, rotation_t* rotation, int64_t iterations,
                                      figures_t* f) {
  double *times = NULL, *host_times = NULL;
  f->on_device = true;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(&s->arena, (size_t)iterations, sizeof(double), &times));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(&s->arena, (size_t)iterations, sizeof(double), &host_times));
  uint64_t ns = 0;
  for (int64_t i = 0; i < iterations; ++i) {
    TRIVET_RETURN_IF_ERROR(rotate(rotation));
    TRIVET_RETURN_IF_ERROR(trivet_context_mark(s->context, 0));
    // With nothing queued before it: a full queue makes the host wait.
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(trivet_context_enqueue(s->context));
    host_times[i] = (double)(tvi_clock_now_ns() - start) * 1e-6;
    TRIVET_RETURN_IF_ERROR(trivet_context_mark(s->context, 1));
    TRIVET_RETURN_IF_ERROR(trivet_context_synchronize(s->context));
    TRIVET_RETURN_IF_ERROR(trivet_context_elapsed(s->context, &ns));
    times[i] = (double)ns * 1e-6;
  }
  qsort(times, (size_t)iterations, sizeof(double), compare_doubles);
  f->device_median = times[iterations / 2];
  f->device_minimum = times[0];
  TRIVET_RETURN_IF_ERROR(trivet_context_mark(s->context, 0));
  for (int64_t i = 0; i < iterations; ++i) {
    TRIVET_RETURN_IF_ERROR(rotate(rotation));
    TRIVET_RETURN_IF_ERROR(trivet_context_enqueue(s->context));
  }
  TRIVET_RETURN_IF_ERROR(trivet_context_mark(s->context, 1));
  TRIVET_RETURN_IF_ERROR(trivet_context_synchronize(s->context));
  TRIVET_RETURN_IF_ERROR(trivet_context_elapsed(s->context, &ns));
  f->queued = (double)ns * 1e-6 / (double)iterations;
  qsort(host_times, (size_t)iterations, sizeof(double), compare_doubles);
  f->host = host_times[iterations / 2];
  return TRIVET_OK;
}

static trivet_status_t profile(session_t* s, int64_t iterations) {
  TRIVET_RETURN_IF_ERROR(trivet_context_enable_profile(s->context, 1));
  for (int64_t i = 0; i < iterations; ++i) TRIVET_RETURN_IF_ERROR(trivet_context_run(s->context));
  return trivet_context_enable_profile(s->context, 0);
}

static trivet_status_t layer(const session_t* s, uint32_t index, trivet_layer_record_t* record) {
  memset(record, 0, sizeof(*record));
  record->header.struct_size = sizeof(*record);
  record->header.struct_type = TRIVET_STRUCT_LAYER_RECORD;
  return trivet_context_layer(s->context, index, record);
}

// Bytes that a large copy on the device reads and writes a nanosecond, the best
// of some; 0 where there is no memory for it.
static double copy_rate(const session_t* s) {
  const uint64_t size = (uint64_t)256 << 20;
  void *from = NULL, *to = NULL;
  double best = 0;
  trivet_status_t status = trivet_engine_allocate(s->engine, size, &from);
  if (!status) status = trivet_engine_allocate(s->engine, size, &to);
  for (int i = 0; i < 12 && !status; ++i) {
    int64_t start = tvi_clock_now_ns();
    status = trivet_engine_copy(s->engine, to, from, size);
    double rate = 2.0 * (double)size / (double)(tvi_clock_now_ns() - start);
    if (!status && rate > best) best = rate;
  }
  trivet_engine_release(s->engine, to, size);
  trivet_engine_release(s->engine, from, size);
  trivet_status_free(status);
  return best;
}

// Figures of all layers that ran; |rate| as copy_rate has it, |peak| in operations a second.
static trivet_status_t collect_layers(session_t* s, double rate, double peak,
                                      layer_figures_t** out_layers, size_t* out_count) {
  uint32_t count = trivet_context_layer_count(s->context);
  layer_figures_t* layers = NULL;
  size_t kept = 0;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&s->arena, (size_t)count + 1, sizeof(*layers), &layers));
  for (uint32_t i = 0; i < count; ++i) {
    trivet_layer_record_t record;
    TRIVET_RETURN_IF_ERROR(layer(s, i, &record));
    if (!record.count) continue;
    double ns = (double)record.nanoseconds / (double)record.count;
    layer_figures_t* l = &layers[kept++];
    *l = (layer_figures_t){.index = i,
                           .ms = ns * 1e-6,
                           .bytes = record.bytes,
                           .flops = record.flops,
                           .name = record.name,
                           .kernel = record.kernel,
                           .tactic = record.tactic};
    if (ns > 0 && peak > 0) l->share_of_peak = (double)record.flops / ns * 1e9 / peak;
    if (ns > 0) l->gigabytes_per_second = (double)record.bytes / ns;
    if (rate > 0) l->share_of_copy = l->gigabytes_per_second / rate;
    l->share_of_roofline =
        l->share_of_peak > l->share_of_copy ? l->share_of_peak : l->share_of_copy;
  }
  *out_layers = layers;
  *out_count = kept;
  return TRIVET_OK;
}

static void print_layers(const layer_figures_t* layers, size_t count, double rate, double peak) {
  double total = 0;
  for (size_t i = 0; i < count; ++i) total += layers[i].ms;
  if (rate > 0) {
    printf("copying  %.0f GB/s on the device, read and written", rate);
    if (peak > 0) printf("; products %.0f TFLOP/s at most", peak * 1e-12);
    printf("\n");
  }
  for (size_t i = 0; i < count; ++i) {
    const layer_figures_t* l = &layers[i];
    printf("%10.4f ms %5.1f %% %8.2f GB/s ", l->ms, total > 0 ? 100 * l->ms / total : 0,
           l->gigabytes_per_second);
    if (rate > 0) printf("%4.0f %% ", 100 * l->share_of_copy);
    if (l->flops && l->ms > 0 && peak > 0) {
      printf("%8.2f TFLOP/s %4.0f %% ", (double)l->flops / l->ms * 1e-9, 100 * l->share_of_peak);
    } else if (peak > 0) {
      printf("%24s", "");
    }
    char kernel[96];
    snprintf(kernel, sizeof(kernel), "%s %s", l->kernel, l->tactic);
    printf(" %-44.44s %s\n", kernel, l->name);
  }
}

// The page beside the text.
static trivet_status_t write_page(const session_t* s, const figures_t* f, double rate, double peak,
                                  const char* path, const char* plan, layer_figures_t* layers,
                                  size_t count) {
  char summary[512];
  snprintf(summary, sizeof(summary),
           "%s; latency %.4f ms (median), on the device %.4f ms; copying %.0f GB/s, products %.0f "
           "TFLOP/s at most",
           trivet_engine_target(s->engine), f->median, f->device_median, rate, peak * 1e-12);
  return write_profile_page(path, plan, summary, layers, count);
}

static bool device_record(const session_t* s, trivet_device_record_t* record) {
  memset(record, 0, sizeof(*record));
  record->header.struct_size = sizeof(*record);
  record->header.struct_type = TRIVET_STRUCT_DEVICE_RECORD;
  char target[64];
  snprintf(target, sizeof(target), "%s", trivet_engine_target(s->engine));
  target[strcspn(target, ":")] = '\0';
  trivet_status_t status = trivet_runtime_device(s->runtime, target, s->device, record);
  bool is_there = status == NULL;
  trivet_status_free(status);
  return is_there;
}

// Bytes of the device that are not free and not of this plan: the driver's context, libraries, the
// benchmark's own inputs and outputs, and other processes.
static double taken_by_others(const session_t* s, const trivet_context_statistics_t* statistics) {
  trivet_device_record_t record;
  if (!device_record(s, &record)) return 0;
  double taken = (double)record.memory_size - (double)record.memory_free;
  return taken > (double)statistics->device_size ? taken - (double)statistics->device_size : 0;
}

static void append_text(const char* key, const char* text, tvi_string_builder_t* out) {
  tvi_string_builder_appendf(out, "\"%s\": ", key);
  tvi_string_builder_append_json(out, (trivet_string_view_t){text, strlen(text)});
  tvi_string_builder_append_cstr(out, ", ");
}

static void append_layer(const layer_figures_t* l, double rate, double peak, bool is_first,
                         tvi_string_builder_t* out) {
  tvi_string_builder_append_cstr(out, is_first ? "\n  {" : ",\n  {");
  append_text("name", l->name, out);
  append_text("kernel", l->kernel, out);
  append_text("tactic", l->tactic, out);
  tvi_string_builder_appendf(out, "\"ms\": %.6f, \"bytes\": %llu, \"flops\": %llu", l->ms,
                             (unsigned long long)l->bytes, (unsigned long long)l->flops);
  if (rate > 0) tvi_string_builder_appendf(out, ", \"share_of_copy\": %.4f", l->share_of_copy);
  if (peak > 0) tvi_string_builder_appendf(out, ", \"share_of_peak\": %.4f", l->share_of_peak);
  if (rate > 0) {
    tvi_string_builder_appendf(out, ", \"share_of_roofline\": %.4f", l->share_of_roofline);
  }
  tvi_string_builder_append_cstr(out, "}");
}

static trivet_status_t write_json(const session_t* s, const figures_t* f, uint64_t plan_bytes,
                                  const char* path, const layer_figures_t* layers, size_t count,
                                  double rate, double peak) {
  trivet_context_statistics_t statistics;
  memset(&statistics, 0, sizeof(statistics));
  statistics.header.struct_size = sizeof(statistics);
  statistics.header.struct_type = TRIVET_STRUCT_CONTEXT_STATISTICS;
  TRIVET_RETURN_IF_ERROR(trivet_context_statistics(s->context, &statistics));
  tvi_string_builder_t out;
  tvi_string_builder_init(&out, trivet_allocator_system());
  tvi_string_builder_appendf(&out,
                             "{\"latency_ms\": {\"median\": %.6f, \"min\": %.6f, \"mean\": %.6f, "
                             "\"p90\": %.6f, \"p99\": %.6f},\n",
                             f->median, f->minimum, f->mean, f->p90, f->p99);
  tvi_string_builder_appendf(
      &out,
      " \"load_ms\": %.4f, \"prepare_ms\": %.4f, \"first_run_ms\": %.4f, \"plan_bytes\": %llu, "
      "\"arena_bytes\": %llu,\n"
      " \"arena_lower_bound_bytes\": %llu, \"weights_bytes\": %llu, "
      "\"workspace_bytes\": %llu,\n"
      " \"resident_bytes\": %llu, \"allocations_in_run\": %llu, "
      "\"library_allocations_in_run\": %lld",
      s->load_ms, s->prepare_ms, f->first, (unsigned long long)plan_bytes,
      (unsigned long long)statistics.arena_size, (unsigned long long)statistics.arena_lower_bound,
      (unsigned long long)statistics.weights_size, (unsigned long long)statistics.workspace_size,
      (unsigned long long)resident_bytes(), f->own_allocations, f->library_growth);
  if (f->on_device) {
    tvi_string_builder_appendf(
        &out,
        ",\n \"device_ms\": {\"median\": %.6f, \"min\": %.6f, \"queued\": "
        "%.6f},\n"
        " \"host_us\": %.3f, \"device_bytes\": %llu, \"staging_bytes\": "
        "%llu, \"others_bytes\": %.0f, \"replayed\": %llu",
        f->device_median, f->device_minimum, f->queued, f->host * 1e3,
        (unsigned long long)statistics.device_size, (unsigned long long)statistics.staging_size,
        taken_by_others(s, &statistics), (unsigned long long)statistics.replay_count);
  }
  if (rate > 0) tvi_string_builder_appendf(&out, ",\n \"copy_gb_per_s\": %.1f", rate);
  if (peak > 0) tvi_string_builder_appendf(&out, ",\n \"peak_tflop_per_s\": %.1f", peak * 1e-12);
  if (layers) {
    tvi_string_builder_append_cstr(&out, ",\n \"layers\": [");
    for (size_t i = 0; i < count; ++i) append_layer(&layers[i], rate, peak, i == 0, &out);
    tvi_string_builder_append_cstr(&out, "]");
  }
  tvi_string_builder_append_cstr(&out, "}\n");
  trivet_string_view_t text = tvi_string_builder_view(&out);
  trivet_status_t status = tvi_string_builder_status(&out);
  if (!status) status = tvi_file_write(path, text.data, text.size, trivet_allocator_system());
  tvi_string_builder_deinit(&out);
  return status;
}

static trivet_status_t bench(session_t* s, const arguments_t* arguments) {
  int64_t warmup = 0, iterations = 0;
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--warmup", 5, 0, 1000000, &warmup));
  TRIVET_RETURN_IF_ERROR(option_number(arguments, "--iterations", 50, 1, 10000000, &iterations));
  figures_t figures;
  memset(&figures, 0, sizeof(figures));
  rotation_t rotation;
  TRIVET_RETURN_IF_ERROR(open_rotation(s, s->graph_count ? s->graph_count : 1, &rotation));
  trivet_status_t status = measure(s, &rotation, warmup, iterations, &figures);
  if (!status && trivet_engine_has_device(s->engine)) {
    status = measure_device(s, &rotation, iterations, &figures);
  }
  rotation.turn = 0;  // back to the session's own memory
  if (!status) status = rotate(&rotation);
  close_rotation(&rotation);
  TRIVET_RETURN_IF_ERROR(status);
  uint64_t plan_bytes = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_size(arguments->words[0], &plan_bytes));
  bool layers = option_given(arguments, "--profile") || option_given(arguments, "--html");
  if (layers) TRIVET_RETURN_IF_ERROR(profile(s, iterations < 20 ? iterations : 20));
  printf(
      "latency  median %.3f ms, min %.3f, mean %.3f, p90 %.3f, p99 %.3f; "
      "%.1f runs/s\n",
      figures.median, figures.minimum, figures.mean, figures.p90, figures.p99, 1000 / figures.mean);
  if (figures.on_device) {
    printf(
        "device   median %.4f ms, min %.4f; queued %.4f ms a run, host %.1f "
        "us a run; %s\n",
        figures.device_median, figures.device_minimum, figures.queued, figures.host * 1e3,
        trivet_engine_target(s->engine));
  }
  printf(
      "plan     %.1f MB, loaded in %.2f ms, prepared in %.2f, ran first in %.2f: %.2f ms to the "
      "first result\n",
      (double)plan_bytes * 1e-6, s->load_ms, s->prepare_ms, figures.first,
      s->load_ms + s->prepare_ms + figures.first);
  trivet_context_statistics_t statistics;
  memset(&statistics, 0, sizeof(statistics));
  statistics.header.struct_size = sizeof(statistics);
  statistics.header.struct_type = TRIVET_STRUCT_CONTEXT_STATISTICS;
  TRIVET_RETURN_IF_ERROR(trivet_context_statistics(s->context, &statistics));
  printf(
      "memory   arena %.2f MB (%.2f at least), workspace %.2f MB, weights "
      "%.1f MB\n",
      (double)statistics.arena_size * 1e-6, (double)statistics.arena_lower_bound * 1e-6,
      (double)statistics.workspace_size * 1e-6, (double)statistics.weights_size * 1e-6);
  if (figures.on_device) {
    printf("device   %.2f MB taken, staging %.2f MB; %llu of %llu runs replayed\n",
           (double)statistics.device_size * 1e-6, (double)statistics.staging_size * 1e-6,
           (unsigned long long)statistics.replay_count, (unsigned long long)statistics.run_count);
    printf("beside   %.1f MB of the device are taken by its driver, by libraries and by others\n",
           taken_by_others(s, &statistics) * 1e-6);
  }
  printf("run      %llu allocations of ours, library heaps grew by %lld bytes\n",
         figures.own_allocations, figures.library_growth);
  double rate = layers && figures.on_device ? copy_rate(s) : 0;
  double peak = 0;
  if (figures.on_device) {
    trivet_device_record_t record;
    if (device_record(s, &record)) peak = (double)record.peak_flops;
  }
  layer_figures_t* list = NULL;
  size_t count = 0;
  if (layers) {
    TRIVET_RETURN_IF_ERROR(collect_layers(s, rate, peak, &list, &count));
    print_layers(list, count, rate, peak);
  }
  const char* path = option_value(arguments, "--json", NULL);
  if (path) {
    TRIVET_RETURN_IF_ERROR(write_json(s, &figures, plan_bytes, path, list, count, rate, peak));
  }
  const char* page = option_value(arguments, "--html", NULL);  // sorts the layers
  if (!page) return TRIVET_OK;
  return write_page(s, &figures, rate, peak, page, arguments->words[0], list, count);
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--inputs", "-i", true, true, 0, {0}, 0},
                        {"--shapes", NULL, true, false, 0, {0}, 0},
                        {"--threads", NULL, true, false, 0, {0}, 0},
                        {"--iterations", "-n", true, false, 0, {0}, 0},
                        {"--warmup", NULL, true, false, 0, {0}, 0},
                        {"--profile", NULL, false, false, 0, {0}, 0},
                        {"--device", NULL, true, false, 0, {0}, 0},
                        {"--no-graph", NULL, false, false, 0, {0}, 0},
                        {"--rotate", NULL, true, false, 0, {0}, 0},
                        {"--host-io", NULL, false, false, 0, {0}, 0},
                        {"--memory-limit", NULL, true, false, 0, {0}, 0},
                        {"--json", NULL, true, false, 0, {0}, 0},
                        {"--html", NULL, true, false, 0, {0}, 0},
                        {"--verify-weights", NULL, false, false, 0, {0}, 0},
                        {"--no-verify", NULL, false, false, 0, {0}, 0},
                        {"--allow-carried-plugins", NULL, false, true, 0, {0}, 0},
                        {"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--verbose", "-v", false, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kBenchCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kBenchCommand.help, stdout);
    return 0;
  }
  if (arguments.word_count != 1) {
    fprintf(stderr, "trivet bench: needs one plan; 'trivet bench --help' teaches it\n");
    return 2;
  }
  // Loading is measured as a program would do it: without hashing the weights,
  // unless asked to.
  option_t* no_verify = (option_t*)find_option(&arguments, "--no-verify");
  if (!option_given(&arguments, "--verify-weights")) no_verify->seen = 1;
  trivet_runtime_options_t runtime;
  memset(&runtime, 0, sizeof(runtime));
  runtime.header.struct_size = sizeof(runtime);
  runtime.header.struct_type = TRIVET_STRUCT_RUNTIME_OPTIONS;
  runtime.allocator.allocate = counted_allocate;
  runtime.allocator.deallocate = counted_deallocate;
  runtime.logger = stderr_logger(&arguments);
  session_t session;
  init_session(&session);
  session.device_io = !option_given(&arguments, "--host-io");
  int64_t sets = 0;
  trivet_status_t status = option_number(&arguments, "--rotate", 0, 1, 64, &sets);
  session.graph_count = (uint32_t)sets;
  if (!status) status = open_session(&session, arguments.words[0], &arguments, &runtime);
  if (!status) status = bench(&session, &arguments);
  close_session(&session);
  return status ? report_error("bench", status) : 0;
}

const command_t kBenchCommand = {
    "bench", "measures a plan: latency, memory, layers",
    "trivet bench PLAN [options]\n"
    "\n"
    "Runs PLAN many times and prints latency percentiles, throughput, memory "
    "and allocations.\n"
    "\n"
    "  trivet bench net.plan --threads 2 --profile\n"
    "\n"
    "  -n, --iterations N     measured runs (50), after --warmup N (5)\n"
    "  --profile              time of every layer, from runs of their own; on "
    "a device beside what\n"
    "                         a large copy reaches there\n"
    "  --html FILE            the layers as a page, the slowest first\n"
    "  --device N             which device, for targets that have several (0)\n"
    "  --host-io              inputs and outputs on the host, copied in every "
    "run; by default "
    "they\n"
    "                         lie in the device's memory\n"
    "  --no-graph             launches step by step\n"
    "  --rotate N             N sets of memory for inputs and outputs, which "
    "take turns\n"
    "  --memory-limit BYTES   of the device; what needs more is an error\n"
    "  --json FILE            all figures for tools\n"
    "  --verify-weights       hashes the weights on loading, as 'trivet run' "
    "does\n"
    "  -i, --inputs, --shapes, --threads, --plugin, --plugin-path, "
    "--allow-carried-plugins\n"
    "                         as in 'trivet run'\n",
    run};
