// SPDX-License-Identifier: Apache-2.0
//
// Builds and runs the cases of onnx_node_tests.py and operator_sweep.py: reads folder names from
// standard input and leaves result.txt and the outputs in each folder. Some processes work through
// the cases, each with one builder and one runtime, since opening a device and loading plugins
// takes longer than most cases. A case that crashes ends its process: that is its result, and
// another process takes over. Must not judge outputs, nor know any operator.

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trivet/trivet.h"

enum {
  MAX_TENSORS = 64,
  MAX_JOBS = 64,
  MAX_LINE = 4096,
  MAX_PATH = MAX_LINE + 64,
  SECONDS_PER_CASE = 60
};
// Room for an output whose extents are known after the run only.
static const size_t data_dependent_bytes = (size_t)1 << 20;

// A line of case.txt: an input with its type, dimensions and bytes, or the name of an output.
typedef struct tensor_t {
  char* name;
  trivet_dtype_t dtype;
  uint32_t rank;
  int64_t dims[TRIVET_DIMS_MAX];
  void* bytes;
  size_t size;
} tensor_t;

typedef struct case_t {
  const char* folder;
  tensor_t inputs[MAX_TENSORS];
  tensor_t outputs[MAX_TENSORS];
  uint32_t input_count;
  uint32_t output_count;
} case_t;

typedef struct buffer_t {
  char* data;
  size_t size;
  size_t capacity;
} buffer_t;

// What one case holds while it runs; everything but the first two, which a process keeps, is
// released in one place.
typedef struct session_t {
  trivet_builder_t* builder;
  trivet_runtime_t* runtime;
  trivet_network_t* network;
  trivet_config_t* config;
  trivet_engine_t* engine;
  trivet_context_t* context;
  buffer_t plan;
} session_t;

#define FAIL(code, ...) trivet_status_make((code), __FILE__, __LINE__, __VA_ARGS__)
#define RETURN_IF_ERROR(expr)                             \
  do {                                                    \
    trivet_status_t status_ = (expr);                     \
    if (trivet_status_code(status_) != 0) return status_; \
  } while (0)

static void path_of(const case_t* c, const char* file, char* out) {
  snprintf(out, MAX_PATH, "%s/%s", c->folder, file);
}

// A whole file, with a terminating zero behind it; NULL where it cannot be read.
static char* read_file(const char* path, size_t* out_size) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  char* data = NULL;
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  // 64-byte alignment is what a binding may ask for.
  if (size >= 0) data = aligned_alloc(64, ((size_t)size / 64 + 1) * 64);
  if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
    free(data);
    data = NULL;
  }
  fclose(file);
  if (data == NULL) return NULL;
  data[size] = 0;
  *out_size = (size_t)size;
  return data;
}

static void write_file(const char* path, const void* data, size_t size) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return;
  fwrite(data, 1, size, file);
  fclose(file);
}

// Writes result.txt: one verdict with a message made into one line.
static void write_verdict(const char* folder, const char* verdict, const char* format, ...) {
  char path[MAX_PATH], text[MAX_LINE];
  int used = snprintf(text, sizeof text, "%s\t", verdict);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, sizeof text - (size_t)used - 1, format, arguments);
  va_end(arguments);
  for (char* at = text + used; *at != 0; ++at) {
    if (*at == '\n' || *at == '\t' || *at == '\r') *at = ' ';
  }
  strcat(text, "\n");
  snprintf(path, sizeof path, "%s/result.txt", folder);
  write_file(path, text, strlen(text));
}

static trivet_dtype_t dtype_of(const char* name) {
  for (trivet_dtype_t dtype = 1; dtype < TRIVET_DTYPE_COUNT; ++dtype) {
    if (strcmp(trivet_dtype_name(dtype), name) == 0) return dtype;
  }
  return TRIVET_DTYPE_INVALID;
}

static trivet_status_t read_input(case_t* c, char* name, char** cursor, tensor_t* out_tensor) {
  const char* dtype = strsep(cursor, "\t");
  char* dims = strsep(cursor, "\t");
  const char* file = strsep(cursor, "\t");
  if (file == NULL) return FAIL(TRIVET_STATUS_DATA_LOSS, "case.txt: input line of %s", name);
  tensor_t tensor = {.name = name, .dtype = dtype_of(dtype)};
  if (tensor.dtype == TRIVET_DTYPE_INVALID) {
    return FAIL(TRIVET_STATUS_DATA_LOSS, "case.txt: unknown type %s", dtype);
  }
  for (char* dim; (dim = strsep(&dims, " ")) != NULL;) {
    if (*dim == 0) continue;
    if (tensor.rank == TRIVET_DIMS_MAX) {
      return FAIL(TRIVET_STATUS_UNIMPLEMENTED, "%s: more than %u dimensions", name,
                  TRIVET_DIMS_MAX);
    }
    tensor.dims[tensor.rank++] = strtoll(dim, NULL, 10);
  }
  char path[MAX_PATH];
  path_of(c, file, path);
  tensor.bytes = read_file(path, &tensor.size);
  if (tensor.bytes == NULL) return FAIL(TRIVET_STATUS_NOT_FOUND, "cannot read %s", path);
  *out_tensor = tensor;
  return NULL;
}

// |text| is cut into pieces that the case points to.
static trivet_status_t read_case(case_t* c, char* text) {
  for (char* line; (line = strsep(&text, "\n")) != NULL;) {
    if (*line == 0) continue;
    const char* kind = strsep(&line, "\t");
    char* name = strsep(&line, "\t");
    if (name == NULL) return FAIL(TRIVET_STATUS_DATA_LOSS, "case.txt: a line without a name");
    if (c->input_count == MAX_TENSORS || c->output_count == MAX_TENSORS) {
      return FAIL(TRIVET_STATUS_UNIMPLEMENTED, "more than %d tensors", MAX_TENSORS);
    }
    if (strcmp(kind, "output") == 0) {
      c->outputs[c->output_count++].name = name;
    } else {
      RETURN_IF_ERROR(read_input(c, name, &line, &c->inputs[c->input_count]));
      ++c->input_count;
    }
  }
  return NULL;
}

static trivet_status_t append(void* self, const void* bytes, size_t size) {
  buffer_t* buffer = self;
  if (buffer->size + size > buffer->capacity) {
    size_t capacity = (buffer->size + size) * 2 + 4096;
    capacity -= capacity % 64;
    char* data = aligned_alloc(64, capacity);
    if (data == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
    if (buffer->size != 0) memcpy(data, buffer->data, buffer->size);
    free(buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
  }
  memcpy(buffer->data + buffer->size, bytes, size);
  buffer->size += size;
  return NULL;
}

static bool is_symbolic(const trivet_tensor_info_t* info) {
  for (uint32_t i = 0; i < info->rank; ++i) {
    if (info->dims[i] < 0) return true;
  }
  return false;
}

// Inputs with symbolic extents get a profile of exactly the shape that the case has.
static trivet_status_t add_profile(const case_t* c, session_t* s) {
  uint32_t profile = 0;
  RETURN_IF_ERROR(trivet_config_add_profile(s->config, &profile));
  for (uint32_t k = 0; k < trivet_network_input_count(s->network); ++k) {
    trivet_tensor_info_t info = {.header = {sizeof info, TRIVET_STRUCT_TENSOR_INFO, NULL}};
    RETURN_IF_ERROR(trivet_network_input(s->network, k, &info));
    if (!is_symbolic(&info)) continue;
    for (uint32_t i = 0; i < c->input_count; ++i) {
      const tensor_t* input = &c->inputs[i];
      if (strcmp(input->name, info.name) != 0) continue;
      RETURN_IF_ERROR(trivet_config_set_profile_shape(s->config, profile, input->name, input->rank,
                                                      input->dims, input->dims, input->dims));
    }
  }
  return NULL;
}

// The network of a case: graph.txt, a graph as text, or model.onnx.
static trivet_status_t parse(const case_t* c, session_t* s) {
  char path[MAX_PATH];
  size_t size = 0;
  path_of(c, "graph.txt", path);
  char* text = read_file(path, &size);
  if (text) {
    trivet_status_t status = trivet_network_parse_text(s->network, text, size);
    free(text);
    return status;
  }
  path_of(c, "model.onnx", path);
  return trivet_network_parse_file(s->network, path, NULL);
}

static trivet_status_t build(const case_t* c, session_t* s) {
  RETURN_IF_ERROR(trivet_network_create(s->builder, "case", &s->network));
  RETURN_IF_ERROR(parse(c, s));
  RETURN_IF_ERROR(trivet_config_create(s->builder, &s->config));
  const char* target = getenv("TRIVET_TARGET");  // as for the other scripts; the host if not given
  if (target != NULL) RETURN_IF_ERROR(trivet_config_set_target(s->config, target));
  RETURN_IF_ERROR(trivet_config_set_thread_count(s->config, 1));
  RETURN_IF_ERROR(add_profile(c, s));
  trivet_sink_t sink = {.self = &s->plan, .write = append};
  return trivet_build(s->network, s->config, sink, NULL);
}

static trivet_status_t make_output(session_t* s, tensor_t* output) {
  uint32_t index = trivet_engine_tensor_index(s->engine, output->name);
  if (index == UINT32_MAX) return FAIL(TRIVET_STATUS_NOT_FOUND, "no output %s", output->name);
  trivet_tensor_info_t info = {.header = {sizeof info, TRIVET_STRUCT_TENSOR_INFO, NULL}};
  RETURN_IF_ERROR(trivet_engine_tensor_info(s->engine, index, &info));
  output->dtype = info.dtype;
  RETURN_IF_ERROR(trivet_context_shape(s->context, output->name, &output->rank, output->dims));
  int64_t count = 1;
  for (uint32_t i = 0; i < output->rank; ++i) {
    count = output->dims[i] < 0 || count < 0 ? -1 : count * output->dims[i];
  }
  size_t bytes = data_dependent_bytes;
  if (count >= 0) RETURN_IF_ERROR(trivet_dtype_storage_size(output->dtype, count, &bytes));
  output->bytes = aligned_alloc(64, (bytes / 64 + 1) * 64);
  if (output->bytes == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  // An output that is never written must not look right by chance.
  memset(output->bytes, 0xA5, (bytes / 64 + 1) * 64);
  output->size = bytes;
  return trivet_context_set_address(s->context, output->name, output->bytes);
}

static trivet_status_t run(case_t* c, session_t* s) {
  RETURN_IF_ERROR(
      trivet_engine_load_memory(s->runtime, s->plan.data, s->plan.size, NULL, &s->engine));
  RETURN_IF_ERROR(trivet_context_create(s->engine, NULL, &s->context));
  for (uint32_t i = 0; i < c->input_count; ++i) {
    tensor_t* input = &c->inputs[i];
    // An input that the model does not use may have gone.
    if (trivet_engine_tensor_index(s->engine, input->name) == UINT32_MAX) continue;
    RETURN_IF_ERROR(trivet_context_set_shape(s->context, input->name, input->rank, input->dims));
    RETURN_IF_ERROR(trivet_context_set_address(s->context, input->name, input->bytes));
  }
  RETURN_IF_ERROR(trivet_context_prepare(s->context));
  for (uint32_t i = 0; i < c->output_count; ++i) {
    RETURN_IF_ERROR(make_output(s, &c->outputs[i]));
  }
  return trivet_context_run(s->context);
}

// Writes the outputs and a result.txt that names their types and final shapes.
static trivet_status_t write_outputs(case_t* c, session_t* s) {
  char text[MAX_LINE] = "ok\n", path[MAX_PATH], file[32];
  size_t used = strlen(text);
  for (uint32_t i = 0; i < c->output_count; ++i) {
    tensor_t* output = &c->outputs[i];
    RETURN_IF_ERROR(trivet_context_shape(s->context, output->name, &output->rank, output->dims));
    int64_t count = 1;
    for (uint32_t d = 0; d < output->rank; ++d) count *= output->dims[d];
    size_t bytes = 0;
    RETURN_IF_ERROR(trivet_dtype_storage_size(output->dtype, count, &bytes));
    if (bytes > output->size) {
      return FAIL(TRIVET_STATUS_OUT_OF_RANGE, "output %s grew while running", output->name);
    }
    snprintf(file, sizeof file, "output_%u", i);
    path_of(c, file, path);
    write_file(path, output->bytes, bytes);
    used +=
        (size_t)snprintf(text + used, sizeof text - used, "%s\t", trivet_dtype_name(output->dtype));
    for (uint32_t d = 0; d < output->rank; ++d) {
      used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", d == 0 ? "" : " ",
                               (long long)output->dims[d]);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "\t%s\n", file);
    if (used + 256 > sizeof text) return FAIL(TRIVET_STATUS_UNIMPLEMENTED, "too many outputs");
  }
  path_of(c, "result.txt", path);
  write_file(path, text, used);
  return NULL;
}

static void session_release(session_t* s) {
  trivet_context_destroy(s->context);
  trivet_engine_destroy(s->engine);
  trivet_config_destroy(s->config);
  trivet_network_destroy(s->network);
  free(s->plan.data);
}

// Whether the process may go on: after an error it starts anew, for a device may have become
// unusable.
static bool run_case(const char* folder, trivet_builder_t* builder, trivet_runtime_t* runtime) {
  case_t c = {.folder = folder};
  session_t s = {.builder = builder, .runtime = runtime};
  char path[MAX_PATH];
  size_t size = 0;
  path_of(&c, "case.txt", path);
  char* text = read_file(path, &size);
  trivet_status_t status =
      text == NULL ? FAIL(TRIVET_STATUS_NOT_FOUND, "cannot read %s", path) : read_case(&c, text);
  if (trivet_status_code(status) == 0) status = build(&c, &s);
  if (trivet_status_code(status) == 0) status = run(&c, &s);
  if (trivet_status_code(status) == 0) status = write_outputs(&c, &s);
  trivet_status_code_t code = trivet_status_code(status);
  if (code == TRIVET_STATUS_UNIMPLEMENTED) {
    write_verdict(folder, "unsupported", "%s", trivet_status_message(status));
  } else if (code != 0) {
    write_verdict(folder, "error", "%s: %s", trivet_status_code_name(code),
                  trivet_status_message(status));
  }
  trivet_status_free(status);
  session_release(&s);
  for (uint32_t i = 0; i < c.input_count; ++i) free(c.inputs[i].bytes);
  for (uint32_t i = 0; i < c.output_count; ++i) free(c.outputs[i].bytes);
  free(text);
  return code == 0 || code == TRIVET_STATUS_UNIMPLEMENTED;
}

// Reads names of folders from |in| until it ends; a byte on |out| says that one is done, and
// whether another may come.
static trivet_status_t work(int in, int out, const char* plugin_path) {
  trivet_builder_options_t options = {
      .header = {sizeof options, TRIVET_STRUCT_BUILDER_OPTIONS, NULL}};
  trivet_builder_t* builder = NULL;
  trivet_runtime_t* runtime = NULL;
  RETURN_IF_ERROR(trivet_builder_create(&options, &builder));
  RETURN_IF_ERROR(trivet_builder_load_plugin_path(builder, plugin_path));
  RETURN_IF_ERROR(trivet_runtime_create(NULL, &runtime));
  RETURN_IF_ERROR(trivet_runtime_load_plugin_path(runtime, plugin_path));
  char folder[MAX_LINE];
  bool goes_on = true;
  while (goes_on && read(in, folder, sizeof folder) == (ssize_t)sizeof folder) {
    alarm(SECONDS_PER_CASE);
    goes_on = run_case(folder, builder, runtime);
    alarm(0);
    if (write(out, goes_on ? "+" : "-", 1) != 1) break;
  }
  trivet_runtime_destroy(runtime);
  trivet_builder_destroy(builder);
  return NULL;
}

typedef struct worker_t {
  pid_t pid;    // 0: none
  int in, out;  // folders go in, bytes come out
  bool is_busy;
  char folder[MAX_LINE];
} worker_t;

static bool start_worker(worker_t* workers, int index, const char* plugin_path) {
  worker_t* worker = &workers[index];
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) return false;
  worker->is_busy = false;
  worker->pid = fork();
  if (worker->pid == 0) {
    // Ends of the others' pipes: a worker must see its own one end.
    for (int i = 0; i < MAX_JOBS; ++i) {
      if (i == index || workers[i].pid == 0) continue;
      close(workers[i].in);
      close(workers[i].out);
    }
    close(STDIN_FILENO);
    close(in[1]);
    close(out[0]);
    trivet_status_t status = work(in[0], out[1], plugin_path);
    if (trivet_status_code(status) != 0) {
      fprintf(stderr, "node_runner: %s\n", trivet_status_message(status));
      exit(1);
    }
    exit(0);
  }
  close(in[0]);
  close(out[1]);
  worker->in = in[1];
  worker->out = out[0];
  return worker->pid > 0;
}

// Lets a worker go that was told so or has ended by itself.
static void end_worker(worker_t* worker) {
  int status = 0;
  close(worker->in);
  close(worker->out);
  waitpid(worker->pid, &status, 0);
  worker->pid = 0;
  if (!worker->is_busy) return;
  worker->is_busy = false;
  if (WIFSIGNALED(status)) {
    write_verdict(worker->folder, WTERMSIG(status) == SIGALRM ? "timeout" : "crash", "signal %d",
                  WTERMSIG(status));
  } else {
    write_verdict(worker->folder, "crash", "exit status %d", WEXITSTATUS(status));
  }
}

// A worker that can take a case; waits for one where all are busy.
static worker_t* free_worker(worker_t* workers, int count, const char* plugin_path) {
  for (int i = 0; i < count; ++i) {
    if (workers[i].pid != 0 && workers[i].is_busy) continue;
    if (workers[i].pid == 0 && !start_worker(workers, i, plugin_path)) return NULL;
    return &workers[i];
  }
  struct pollfd ends[MAX_JOBS];
  for (int i = 0; i < count; ++i) ends[i] = (struct pollfd){workers[i].out, POLLIN, 0};
  while (poll(ends, (nfds_t)count, -1) < 0 && errno == EINTR) continue;
  for (int i = 0; i < count; ++i) {
    if (ends[i].revents == 0) continue;
    char said = 0;
    if (read(workers[i].out, &said, 1) == 1) workers[i].is_busy = false;
    if (said != '+') end_worker(&workers[i]);
  }
  return free_worker(workers, count, plugin_path);
}

static void finish(worker_t* worker) {
  char said;
  if (worker->is_busy && read(worker->out, &said, 1) == 1) worker->is_busy = false;
  end_worker(worker);
}

int main(int argc, char** argv) {
  static worker_t workers[MAX_JOBS];
  int job_count = 1;
  const char* plugin_path = getenv("TRIVET_PLUGIN_PATH");
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--jobs") == 0) job_count = atoi(argv[i + 1]);
    if (strcmp(argv[i], "--plugins") == 0) plugin_path = argv[i + 1];
  }
  if (argc % 2 == 0 || plugin_path == NULL || job_count < 1 || job_count > MAX_JOBS) {
    fprintf(stderr,
            "usage: node_runner [--jobs N] [--plugins FOLDERS] < list of folders\n"
            "FOLDERS: where plugins lie, a:b; $TRIVET_PLUGIN_PATH where not given\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  char folder[MAX_LINE];
  while (fgets(folder, sizeof folder, stdin) != NULL) {
    folder[strcspn(folder, "\n")] = 0;
    if (folder[0] == 0) continue;
    worker_t* worker = free_worker(workers, job_count, plugin_path);
    if (worker == NULL) {
      perror("node_runner: no process");
      return 1;
    }
    strcpy(worker->folder, folder);
    worker->is_busy = true;
    if (write(worker->in, worker->folder, MAX_LINE) != MAX_LINE) end_worker(worker);
  }
  for (int i = 0; i < job_count; ++i) {
    if (workers[i].pid != 0) finish(&workers[i]);
  }
  return 0;
}
