// SPDX-License-Identifier: Apache-2.0
//
// trivet doctor: what this machine offers and what is missing. Every finding comes with what to do
// about it; only what nothing works without makes the exit status 1.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/cpu_info.h"
#include "tools/trivet/command.h"

typedef struct doctor_s {
  const arguments_t* arguments;
  trivet_builder_t* builder;
  uint32_t plugins, refused, problems;
} doctor_t;

static void good(const char* what, const char* text) {
  printf("  ok       %-12s %s\n", what, text);
}
static void note(const char* what, const char* text) {
  printf("  -        %-12s %s\n", what, text);
}
static void bad(doctor_t* doctor, const char* what, const char* text) {
  printf("  MISSING  %-12s %s\n", what, text);
  ++doctor->problems;
}

// --- Machine ------------------------------------------------------------------------------------

static void machine(void) {
  char line[256], cpu[160];
  struct utsname name;
  tvi_cpu_describe(cpu, sizeof(cpu));
  good("processor", cpu);
  snprintf(line, sizeof(line), "%u usable by this process", tvi_cpu_count());
  good("threads", line);
  double gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
  snprintf(line, sizeof(line), "%.1f GiB", gib);
  good("memory", line);
  if (tvi_cpu_level() == TVI_CPU_PLAIN) {
    note("level", "neither AVX2 nor AVX-512: plans run, several times slower");
  }
  if (uname(&name) == 0) {
    snprintf(line, sizeof(line), "%s %s %s", name.sysname, name.release, name.machine);
    good("system", line);
  }
}

// --- Libraries ----------------------------------------------------------------------------------

// The first of |names| that opens; NULL: none. Closed by the caller.
static void* open_first(const char* const* names, const char** out_name) {
  for (; *names; ++names) {
    // Libraries of CUDA take memory that they do not give back when they are closed.
    void* library = dlopen(*names, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library) {
      *out_name = *names;
      return library;
    }
  }
  return NULL;
}

static void* symbol(void* library, const char* name) {
  return library ? dlsym(library, name) : NULL;
}

static void library_onednn(void) {
  static const char* const names[] = {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so", NULL};
  typedef struct version_s {
    int major, minor, patch;
    const char* hash;
  } version_t;  // the first fields of dnnl_version_t
  const char* name = NULL;
  void* library = open_first(names, &name);
  const version_t* (*version)(void);
  void* address = symbol(library, "dnnl_version");
  memcpy(&version, &address, sizeof(version));
  if (!address) {
    note("oneDNN",
         "not found: convolutions and products run on our own kernels, slower "
         "(Debian: apt install libdnnl2)");
  } else {
    char line[128];
    const version_t* v = version();
    snprintf(line, sizeof(line), "%s, version %d.%d.%d", name, v->major, v->minor, v->patch);
    good("oneDNN", line);
  }
  if (library) dlclose(library);
}

static void library_protobuf_c(void) {
  static const char* const names[] = {"libprotobuf-c.so.1", "libprotobuf-c.so", NULL};
  const char* name = NULL;
  void* library = open_first(names, &name);
  const char* (*version)(void);
  void* address = symbol(library, "protobuf_c_version");
  memcpy(&version, &address, sizeof(version));
  if (!address) {
    note("protobuf-c", "not found as a library (the ONNX frontend usually holds its own copy)");
  } else {
    char line[128];
    snprintf(line, sizeof(line), "%s, version %s", name, version());
    good("protobuf-c", line);
  }
  if (library) dlclose(library);
}

static void library_cuda(void) {
  static const char* const drivers[] = {"libcuda.so.1", NULL};
  static const char* const compilers[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
                                          "libnvrtc.so", NULL};
  static const char* const dnns[] = {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so", NULL};
  const char* name = NULL;
  char line[160];
  void* driver = open_first(drivers, &name);
  int (*init)(unsigned), (*count)(int*), (*driver_version)(int*);
  void* addresses[3] = {symbol(driver, "cuInit"), symbol(driver, "cuDeviceGetCount"),
                        symbol(driver, "cuDriverGetVersion")};
  memcpy(&init, &addresses[0], sizeof(init));
  memcpy(&count, &addresses[1], sizeof(count));
  memcpy(&driver_version, &addresses[2], sizeof(driver_version));
  int devices = 0, version = 0;
  if (!driver) {
    note("CUDA driver", "libcuda.so.1 not found: no GPU can be used (the CPU target needs none)");
  } else if (!init || !count || !driver_version || init(0) || count(&devices) || !devices) {
    note("CUDA driver", "libcuda.so.1 found, but it reports no device");
  } else {
    driver_version(&version);
    snprintf(line, sizeof(line), "%d device%s, driver for CUDA %d.%d", devices,
             devices == 1 ? "" : "s", version / 1000, version % 1000 / 10);
    good("CUDA driver", line);
  }
  if (driver) dlclose(driver);
  void* compiler = open_first(compilers, &name);
  if (compiler) good("NVRTC", name);
  if (compiler) dlclose(compiler);
  void* dnn = open_first(dnns, &name);
  if (dnn) good("cuDNN", name);
  if (dnn) dlclose(dnn);
}

// --- Plugins ------------------------------------------------------------------------------------

static trivet_status_t judge_plugin(void* self, const char* path) {
  doctor_t* doctor = (doctor_t*)self;
  trivet_status_t status = trivet_builder_load_plugin(doctor->builder, path);
  if (!status) {
    ++doctor->plugins;
    return TRIVET_OK;
  }
  if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) return status;
  printf("  REFUSED  %-12s %s\n", "plugin", trivet_status_message(status));
  ++doctor->refused;
  trivet_status_free(status);
  return TRIVET_OK;
}

static trivet_status_t plugins(doctor_t* doctor) {
  static const struct {
    const char* name;
    const char* why;
  } needed[] = {
      {"ops_standard", "no operator is known without it"},
      {"passes",
       "nothing is fused or folded without it, and the default pipeline names its passes"},
      {"cpu", "there is no target without it"},
  };
  char buffer[4200], line[4400];
  const char* folders = plugin_folders(doctor->arguments, buffer, sizeof(buffer));
  if (!folders) {
    bad(doctor, "plugins",
        "no folder: set TRIVET_PLUGIN_PATH, give --plugin-path, or install beside the command");
    return TRIVET_OK;
  }
  trivet_status_t status = visit_plugin_files(doctor->arguments, judge_plugin, doctor);
  if (status && trivet_status_code(status) == TRIVET_STATUS_NOT_FOUND) {
    bad(doctor, "plugins", trivet_status_message(status));
    trivet_status_free(status);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(status);
  snprintf(line, sizeof(line), "%u loaded from %s", doctor->plugins, folders);
  good("plugins", line);
  bool onnx = false;
  for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); ++i) {
    bool found = false;
    for (uint32_t p = 0; p < trivet_builder_plugin_count(doctor->builder); ++p) {
      const char* name = NULL;
      TRIVET_RETURN_IF_ERROR(trivet_builder_plugin_info(doctor->builder, p, &name, NULL, NULL));
      found = found || strcmp(name, needed[i].name) == 0;
      onnx = onnx || strcmp(name, "onnx") == 0;
    }
    if (!found) {
      snprintf(line, sizeof(line), "plugin %s: %s", needed[i].name, needed[i].why);
      bad(doctor, "plugin", line);
    }
  }
  if (!onnx) note("plugin onnx", "not loaded: ONNX files cannot be read");
  return TRIVET_OK;
}

// --- A network, from layer to numbers -----------------------------------------------------------

static trivet_status_t build_network(trivet_network_t* network, const trivet_config_t* config,
                                     tvi_string_builder_t* plan) {
  const int64_t dims[1] = {4};
  trivet_value_t x = 0, one = 0, y = 0;
  TRIVET_RETURN_IF_ERROR(
      trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 1, dims, NULL, &x));
  TRIVET_RETURN_IF_ERROR(trivet_network_add_scalar(network, TRIVET_DTYPE_F32, 1, &one));
  TRIVET_RETURN_IF_ERROR(
      trivet_network_add_elementwise(network, x, one, TRIVET_ELEMENTWISE_ADD, "add", &y));
  TRIVET_RETURN_IF_ERROR(trivet_network_mark_output(network, y, "y"));
  return trivet_build(network, config, tvi_string_builder_sink(plan), NULL);
}

static trivet_status_t run_plan(trivet_runtime_t* runtime, const tvi_string_builder_t* plan) {
  trivet_engine_t* engine = NULL;
  trivet_context_t* context = NULL;
  float x[4] = {1, 2, 3, 4}, y[4] = {0};
  trivet_status_t status =
      trivet_engine_load_memory(runtime, plan->data, plan->size, NULL, &engine);
  if (!status) status = trivet_context_create(engine, NULL, &context);
  if (!status) status = trivet_context_set_address(context, "x", x);
  if (!status) status = trivet_context_set_address(context, "y", y);
  if (!status) status = trivet_context_run(context);
  for (int i = 0; i < 4 && !status; ++i) {
    if (y[i] != x[i] + 1) {
      status = TRIVET_STATUS(INTERNAL, "1 + %g gave %g", (double)x[i], (double)y[i]);
    }
  }
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  return status;
}

// What the targets with memory of their own find here.
static void devices(trivet_runtime_t* runtime) {
  const char* target;
  for (uint32_t i = 0; (target = trivet_runtime_device_target(runtime, i)) != NULL; ++i) {
    for (uint32_t ordinal = 0; ordinal < 64; ++ordinal) {
      trivet_device_record_t record;
      memset(&record, 0, sizeof(record));
      record.header.struct_size = sizeof(record);
      record.header.struct_type = TRIVET_STRUCT_DEVICE_RECORD;
      trivet_status_t status = trivet_runtime_device(runtime, target, ordinal, &record);
      if (status) {
        if (ordinal == 0) note("device", trivet_status_message(status));
        trivet_status_free(status);
        break;
      }
      char line[256];
      snprintf(line, sizeof(line), "%u: %s, target %s, %.1f of %.1f GB free", ordinal, record.name,
               record.target, (double)record.memory_free * 1e-9, (double)record.memory_size * 1e-9);
      good("device", line);
    }
  }
}

static trivet_status_t try_network(doctor_t* doctor) {
  trivet_network_t* network = NULL;
  trivet_config_t* config = NULL;
  trivet_runtime_t* runtime = NULL;
  tvi_string_builder_t plan;
  tvi_string_builder_init(&plan, trivet_allocator_system());
  int64_t start = tvi_clock_now_ns();
  trivet_status_t status = trivet_network_create(doctor->builder, "doctor", &network);
  if (!status) status = trivet_config_create(doctor->builder, &config);
  if (!status) status = build_network(network, config, &plan);
  if (!status) status = trivet_runtime_create(NULL, &runtime);
  if (!status) status = load_runtime_plugins(runtime, doctor->arguments);
  if (!status) devices(runtime);
  if (!status) status = run_plan(runtime, &plan);
  trivet_runtime_destroy(runtime);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  tvi_string_builder_deinit(&plan);
  if (!status) {
    char line[96];
    snprintf(line, sizeof(line), "a network of one layer built and ran in %.1f ms",
             (double)(tvi_clock_now_ns() - start) * 1e-6);
    good("trial", line);
  }
  return status;
}

static trivet_status_t examine(doctor_t* doctor) {
  printf("trivet %s, plugin ABI %u.%u\n", trivet_version(), TRIVET_ABI_MAJOR, TRIVET_ABI_MINOR);
  machine();
  library_onednn();
  library_protobuf_c();
  library_cuda();
  TRIVET_RETURN_IF_ERROR(trivet_builder_create(NULL, &doctor->builder));
  TRIVET_RETURN_IF_ERROR(plugins(doctor));
  if (doctor->problems || doctor->refused) return TRIVET_OK;
  trivet_status_t status = try_network(doctor);
  if (status) {
    bad(doctor, "trial", trivet_status_message(status));
    trivet_status_free(status);
  }
  return TRIVET_OK;
}

static int run(int argc, char** argv) {
  option_t options[] = {{"--plugin", NULL, true, true, 0, {0}, 0},
                        {"--plugin-path", NULL, true, false, 0, {0}, 0},
                        {"--help", "-h", false, false, 0, {0}, 0}};
  arguments_t arguments = {options, (int)(sizeof(options) / sizeof(options[0])), {0}, 0};
  if (!parse_arguments(&kDoctorCommand, argc, argv, &arguments)) return 2;
  if (option_given(&arguments, "--help")) {
    fputs(kDoctorCommand.help, stdout);
    return 0;
  }
  if (arguments.word_count != 0) {
    fprintf(stderr,
            "trivet doctor: takes no file; what is '%s'? For a plugin: trivet plugins FILE.so\n",
            arguments.words[0]);
    return 2;
  }
  doctor_t doctor = {&arguments, NULL, 0, 0, 0};
  trivet_status_t status = examine(&doctor);
  trivet_builder_destroy(doctor.builder);
  if (status) return report_error("doctor", status);
  fflush(stdout);
  if (doctor.refused) {
    fprintf(stderr,
            "trivet doctor: %u plugin%s refused: rebuild against this version, or remove it from "
            "the folder, since every command stops at it\n",
            doctor.refused, doctor.refused == 1 ? " is" : "s are");
  }
  if (doctor.problems) {
    fprintf(stderr, "trivet doctor: %u problem%s, marked MISSING above\n", doctor.problems,
            doctor.problems == 1 ? "" : "s");
  }
  if (doctor.problems || doctor.refused) return 1;
  printf("everything that is needed is here\n");
  return 0;
}

const command_t kDoctorCommand = {
    "doctor", "says what this machine offers and what is missing",
    "trivet doctor [options]\n"
    "\n"
    "Looks at the processor, the libraries that plugins use, the CUDA driver and the plugins, "
    "then\n"
    "builds and runs a network of one layer. Exit status 1 if something is missing that nothing\n"
    "works without, or if a plugin is refused.\n"
    "\n"
    "  --plugin FILE, --plugin-path A:B   as in 'trivet build'\n",
    run};
