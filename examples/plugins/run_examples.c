// SPDX-License-Identifier: Apache-2.0
//
// run_examples PLUGIN_FOLDER EXAMPLE_FOLDER PLAN [TARGET]: compiles each operator of this folder
// for ranks 1 to 5, f32, f16 and f64, with dynamic extents, loads the plan from its file, runs
// three shapes and compares with formulas in float64.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/trivet.h"

#define MOST 4096
#define HIDDEN 6

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "run_examples: %s\n", trivet_status_message(status));
  exit(1);
}

typedef struct tensor_s {
  uint32_t rank;
  int64_t dims[5];
  double values[MOST];  // as rounded to the type
  _Alignas(64) char bytes[MOST * 8];
} tensor_t;

static int64_t count_of(const tensor_t* t) {
  int64_t count = 1;
  for (uint32_t d = 0; d < t->rank; ++d) count *= t->dims[d];
  return count;
}

static double from_f16(uint16_t bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double value = exponent ? ldexp(mantissa + 1024, exponent - 25) : ldexp(mantissa, -24);
  if (exponent == 31) value = mantissa ? NAN : INFINITY;
  return bits >> 15 ? -value : value;
}

// To nearest, ties to even; for values that f16 can hold.
static uint16_t to_f16(double value) {
  int exponent;
  double fraction = frexp(fabs(value), &exponent);
  int small = exponent < -13;
  int bits = (int)rint(small ? ldexp(fabs(value), 24) : ldexp(fraction, 11) - 1024);
  if (!small) bits += (exponent + 14) << 10;
  return (uint16_t)(bits | (value < 0) << 15);
}

static double get(uint32_t dtype, const void* bytes, int64_t i) {
  if (dtype == TRIVET_DTYPE_F16) return from_f16(((const uint16_t*)bytes)[i]);
  return dtype == TRIVET_DTYPE_F32 ? (double)((const float*)bytes)[i] : ((const double*)bytes)[i];
}

static void fill(tensor_t* t, uint32_t dtype, uint32_t seed) {
  for (int64_t i = 0; i < count_of(t); ++i) {
    seed = seed * 1664525u + 1013904223u;
    double value = (double)(seed >> 8) / (1 << 23) - 1;
    if (dtype == TRIVET_DTYPE_F16) ((uint16_t*)t->bytes)[i] = to_f16(value);
    if (dtype == TRIVET_DTYPE_F32) ((float*)t->bytes)[i] = (float)value;
    if (dtype == TRIVET_DTYPE_F64) ((double*)t->bytes)[i] = value;
    t->values[i] = get(dtype, t->bytes, i);
  }
}

// An operator and its formula. Inputs: x [D..., K], then others that hang on K.
typedef struct example_s {
  const char* name;  // "acme.AddScalar"
  const char* file;  // "add_scalar"
  uint32_t input_count;
  void (*formula)(const tensor_t* in, double* y);
} example_t;

static void add_scalar(const tensor_t* in, double* y) {
  for (int64_t i = 0; i < count_of(in); ++i) y[i] = in->values[i] + 1;
}

static void layer_norm(const tensor_t* in, double* y) {
  int64_t k = in->dims[in->rank - 1];
  for (int64_t r = 0; r < count_of(in) / k; ++r) {
    const double* x = in->values + r * k;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < k; ++i) mean += x[i] / (double)k;
    for (int64_t i = 0; i < k; ++i) var += (x[i] - mean) * (x[i] - mean) / (double)k;
    for (int64_t i = 0; i < k; ++i)
      y[r * k + i] = (x[i] - mean) / sqrt(var + 1e-5) * in[1].values[i];
  }
}

static void rows_norm(const tensor_t* in, double* y) {
  static tensor_t both[2];
  both[0] = *in;
  for (int64_t i = 0; i < MOST; ++i) both[1].values[i] = 1;
  layer_norm(both, y);
}

static void softmax(const tensor_t* in, double* y) {
  int64_t k = in->dims[in->rank - 1];
  for (int64_t r = 0; r < count_of(in) / k; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += exp(in->values[r * k + i]);
    for (int64_t i = 0; i < k; ++i) y[r * k + i] = exp(in->values[r * k + i]) / sum;
  }
}

static void swiglu(const tensor_t* in, double* y) {
  int64_t k = in->dims[in->rank - 1];
  for (int64_t r = 0; r < count_of(in) / k; ++r) {
    for (int64_t h = 0; h < HIDDEN; ++h) {
      double g = 0, u = 0;
      for (int64_t i = 0; i < k; ++i) {
        g += in->values[r * k + i] * in[1].values[i * HIDDEN + h];
        u += in->values[r * k + i] * in[2].values[i * HIDDEN + h];
      }
      y[r * HIDDEN + h] = g / (1 + exp(-g)) * u;
    }
  }
}

static void silu(const tensor_t* in, double* y) {
  for (int64_t i = 0; i < count_of(in); ++i) y[i] = in->values[i] / (1 + exp(-in->values[i]));
}

static void mish(const tensor_t* in, double* y) {
  for (int64_t i = 0; i < count_of(in); ++i) y[i] = in->values[i] * tanh(log1p(exp(in->values[i])));
}

static void row_sum(const tensor_t* in, double* y) {
  int64_t k = in->dims[in->rank - 1];
  for (int64_t r = 0; r < count_of(in) / k; ++r) {
    y[r] = 0;
    for (int64_t i = 0; i < k; ++i) y[r] += in->values[r * k + i];
  }
}

static const example_t kExamples[] = {{"acme.AddScalar", "add_scalar", 1, add_scalar},
                                      {"acme.LayerNorm", "layer_norm", 2, layer_norm},
                                      {"acme.OnlineSoftmax", "online_softmax", 1, softmax},
                                      {"acme.WelfordNorm", "welford_norm", 1, rows_norm},
                                      {"acme.SwiGLU", "swiglu", 3, swiglu},
                                      {"acme.Silu", "swish_pass", 1, silu},
                                      {"acme.Mish", "device_function", 1, mish},
                                      {"acme.RowSum", "device_code", 1, row_sum}};
#define EXAMPLE_COUNT (sizeof(kExamples) / sizeof(kExamples[0]))

static const char* const kNames[3] = {"x", "a", "b"};

#define SET_COUNT 3
static const int64_t kSizes[SET_COUNT][5] = {{2, 3, 1, 2, 5}, {4, 1, 2, 3, 3}, {3, 2, 1, 1, 1}};
static const int64_t kLast[SET_COUNT] = {5, 9, 260};

static const char* g_target = NULL;  // NULL: the CPU

// The shape of input |input| for extents that differ by |set|.
static void shape(const example_t* e, uint32_t rank, int set, uint32_t input, tensor_t* t) {
  int is_matrix = e->input_count == 3;
  t->rank = input == 0 ? rank : is_matrix ? 2 : 1;
  for (uint32_t d = 0; d < t->rank; ++d) t->dims[d] = input == 0 ? kSizes[set][d] : HIDDEN;
  t->dims[input == 0 ? rank - 1 : 0] = kLast[set];
}

static void compile(trivet_builder_t* builder, const example_t* e, uint32_t dtype, uint32_t rank,
                    const char* plan) {
  static const char* const symbols[5] = {"d0", "d1", "d2", "d3", "d4"};
  trivet_network_t* network;
  trivet_config_t* config;
  uint32_t profile;
  trivet_value_t inputs[3], y;
  check(trivet_network_create(builder, e->name, &network));
  check(trivet_config_create(builder, &config));
  if (g_target) check(trivet_config_set_target(config, g_target));
  check(trivet_config_add_profile(config, &profile));
  for (uint32_t i = 0; i < e->input_count; ++i) {
    static tensor_t t;
    shape(e, rank, 0, i, &t);
    int64_t dims[5], least[5], most[5];
    const char* names[5];
    for (uint32_t d = 0; d < t.rank; ++d) {
      int is_k = i == 0 ? d == rank - 1 : d == 0;
      dims[d] = i > 0 && !is_k ? HIDDEN : -1;
      names[d] = is_k ? "k" : symbols[d];
      least[d] = most[d] = t.dims[d];
      for (int set = 1; set < SET_COUNT; ++set) {
        const int64_t extent = is_k ? kLast[set] : i == 0 ? kSizes[set][d] : HIDDEN;
        if (extent < least[d]) least[d] = extent;
        if (extent > most[d]) most[d] = extent;
      }
    }
    check(trivet_network_add_input(network, kNames[i], dtype, t.rank, dims, names, &inputs[i]));
    check(trivet_config_set_profile_shape(config, profile, kNames[i], t.rank, least, t.dims, most));
  }
  check(trivet_network_add_node(network, e->name, inputs, e->input_count, NULL, 0, e->file, 1, &y));
  check(trivet_network_mark_output(network, y, "y"));
  check(trivet_build_file(network, config, plan, NULL));
  trivet_config_destroy(config);
  trivet_network_destroy(network);
}

static double run(trivet_context_t* context, const example_t* e, uint32_t dtype, uint32_t rank,
                  int set) {
  static tensor_t inputs[3];
  static double wanted[MOST];
  static _Alignas(64) char y[MOST * 8];
  double worst = 0;
  for (uint32_t i = 0; i < e->input_count; ++i) {
    shape(e, rank, set, i, &inputs[i]);
    fill(&inputs[i], dtype, i + 1);
    check(trivet_context_set_shape(context, kNames[i], inputs[i].rank, inputs[i].dims));
    check(trivet_context_set_address(context, kNames[i], inputs[i].bytes));
  }
  check(trivet_context_set_address(context, "y", y));
  check(trivet_context_run(context));
  e->formula(inputs, wanted);
  int64_t count = count_of(inputs);
  if (e->formula == row_sum) count /= inputs[0].dims[rank - 1];
  if (e->input_count == 3) count = count / inputs[0].dims[rank - 1] * HIDDEN;
  for (int64_t i = 0; i < count; ++i) {
    double error = fabs(get(dtype, y, i) - wanted[i]) / (1 + fabs(wanted[i]));
    worst = error <= worst ? worst : error;  // a NaN stays
  }
  return worst;
}

static int run_example(trivet_builder_t* builder, trivet_runtime_t* runtime, const example_t* e,
                       const char* plan) {
  static const uint32_t dtypes[3] = {TRIVET_DTYPE_F32, TRIVET_DTYPE_F16, TRIVET_DTYPE_F64};
  // Rounding of the type; products of two sums of 260 products each, as SwiGLU has them, add up
  // some more of it. The f64 forms compute in f32, as their texts say.
  static const double allowed[3] = {1e-5, 1.5e-3, 1e-5};
  double worst[3] = {0, 0, 0};
  int wrong = 0;
  for (int k = 0; k < 3; ++k) {
    for (uint32_t rank = 1; rank <= 5; ++rank) {
      trivet_engine_t* engine;
      trivet_context_t* context;
      compile(builder, e, dtypes[k], rank, plan);
      check(trivet_engine_load(runtime, plan, NULL, &engine));
      check(trivet_context_create(engine, NULL, &context));
      for (int set = 0; set < SET_COUNT; ++set) {
        double error = run(context, e, dtypes[k], rank, set);
        if (!(error <= worst[k])) worst[k] = error;
      }
      trivet_context_destroy(context);
      trivet_engine_destroy(engine);
    }
    wrong |= !(worst[k] <= allowed[k]);
  }
  printf("%-20s ranks 1 to 5, three shapes: f32 %.1e, f16 %.1e, f64 %.1e%s\n", e->name, worst[0],
         worst[1], worst[2], wrong ? "  WRONG" : "");
  return wrong;
}

// A chain of elementwise operators with one of a plugin in the middle is one step.
static int run_chain(trivet_builder_t* builder, trivet_runtime_t* runtime, const char* plan) {
  static const char* const chain[6] = {"std.Relu",    "std.Exp",  "acme.AddScalar",
                                       "std.Sigmoid", "std.Tanh", "std.Abs"};
  trivet_network_t* network;
  trivet_config_t* config;
  trivet_engine_t* engine;
  trivet_context_t* context;
  trivet_value_t x;
  float memory[2][64] = {{0}};
  check(trivet_network_create(builder, "chain", &network));
  check(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 1, (int64_t[]){64}, NULL, &x));
  for (int i = 0; i < 6; ++i)
    check(trivet_network_add_node(network, chain[i], &x, 1, NULL, 0, chain[i], 1, &x));
  check(trivet_network_mark_output(network, x, "y"));
  check(trivet_config_create(builder, &config));
  if (g_target) check(trivet_config_set_target(config, g_target));
  check(trivet_build_file(network, config, plan, NULL));
  check(trivet_engine_load(runtime, plan, NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  check(trivet_context_set_address(context, "x", memory[0]));
  check(trivet_context_set_address(context, "y", memory[1]));
  check(trivet_context_run(context));
  trivet_context_statistics_t statistics = {
      .header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, NULL}};
  check(trivet_context_statistics(context, &statistics));
  double wanted = tanh(1 / (1 + exp(-2.0)));
  printf("a chain of six with acme.AddScalar in it: %llu step\n",
         (unsigned long long)statistics.step_count);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  return statistics.step_count != 1 || !(fabs(memory[1][0] - wanted) < 1e-6);
}

// The pass put before one of the built-in ones, which would find the same; switched off; in the
// place of that one; by the name of its plugin; and in its place after that one, which is removed.
static int run_pass(trivet_builder_t* builder, const char* plan) {
  static const char* const kWays[] = {"inserted", "switched off", "in the place of another",
                                      "by its plugin", "behind one that is removed"};
  int wrong = 0;
  for (int way = 0; way < 5; ++way) {
    trivet_network_t* network;
    trivet_config_t* config;
    trivet_report_t* report;
    trivet_value_t operands[2], y;
    check(trivet_network_create(builder, "swish", &network));
    check(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 1, (int64_t[]){8}, NULL,
                                   &operands[0]));
    check(trivet_network_add_node(network, "std.Sigmoid", operands, 1, NULL, 0, "s", 1,
                                  &operands[1]));
    check(trivet_network_add_node(network, "std.Mul", operands, 2, NULL, 0, "m", 1, &y));
    check(trivet_network_mark_output(network, y, "y"));
    check(trivet_config_create(builder, &config));
    if (way == 2) {
      check(trivet_config_replace_pass(config, "recognize-swish", "acme-silu"));
    } else {
      check(trivet_config_insert_pass(config, way == 3 ? "plugin:swish_pass" : "acme-silu",
                                      "recognize-swish", way != 4));
    }
    if (way == 4) check(trivet_config_disable_pass(config, "recognize-swish"));
    if (way == 1) check(trivet_config_disable_pass(config, "acme-silu"));
    check(trivet_config_set_flags(config, TRIVET_BUILD_EXPLAIN));
    check(trivet_build_file(network, config, plan, &report));
    const char* passes = trivet_report_text(report, TRIVET_REPORT_PASSES);
    const char* found = strstr(passes, "acme-silu");
    long changes = found ? strtol(found + strlen("acme-silu"), NULL, 10) : 0;
    printf("the pass acme-silu %s: %ld changes\n", kWays[way], changes);
    wrong |= changes != (way != 1) || !strstr(passes, "recognize-swish") != (way == 2);
    trivet_report_destroy(report);
    trivet_config_destroy(config);
    trivet_network_destroy(network);
  }
  return wrong;
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5)
    return fprintf(stderr, "usage: run_examples PLUGIN_FOLDER EXAMPLE_FOLDER PLAN [TARGET]\n"), 2;
  if (argc == 5) g_target = argv[4];
  trivet_builder_t* builder;
  trivet_runtime_t* runtime;
  int wrong = 0;
  check(trivet_builder_create(NULL, &builder));
  check(trivet_builder_load_plugin_path(builder, argv[1]));
  // The runtime gets none of the examples: their meaning lies in the plans.
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_runtime_load_plugin_path(runtime, argv[1]));
  for (size_t i = 0; i < EXAMPLE_COUNT; ++i) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.so", argv[2], kExamples[i].file);
    check(trivet_builder_load_plugin(builder, path));
  }
  for (size_t i = 0; i < EXAMPLE_COUNT; ++i)
    wrong |= run_example(builder, runtime, &kExamples[i], argv[3]);
  wrong |= run_chain(builder, runtime, argv[3]);
  wrong |= run_pass(builder, argv[3]);
  trivet_runtime_destroy(runtime);
  trivet_builder_destroy(builder);
  return wrong;
}
