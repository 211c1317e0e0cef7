// SPDX-License-Identifier: Apache-2.0
//
// The tile interpreter beside hand-written loops: one line per case and size with GB/s of both
// (bytes of the operands over the best time) and their ratio. `tile_bench [threads [instruction set
// 0..2]]`; the hand-written loops run on one thread.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tile_bench_hand.h"
#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_instance.h"
#include "core/kernel_ir/operator_text.h"
#include "plugins/cpu/tile_compile.h"
#include "plugins/cpu/tile_encode.h"
#include "runtime/device/cpu/thread_pool.h"
#include "runtime/device/cpu/tile_bind.h"

#define MAX_OPERANDS 4

typedef struct case_t {
  const char* name;
  const char* text;
  uint32_t input_count;
  // Operands, inputs first: element type and shape as positions in dims ("", "0", "01").
  uint32_t dtypes[MAX_OPERANDS];
  const char* shapes[MAX_OPERANDS];
  int64_t dims[2];
  tile_bench_hand_t hand;
} case_t;

#define GELU                                       \
  "op b.Gelu/1 (x: f32[N, K]) -> (y: f32[N, K])\n" \
  "y[i, k] = 0.5 * x[i, k] * (1.0 + erf(x[i, k] * 0.70710678118654752))"
#define SILU                                                     \
  "op b.Silu/1 (x: f32[N, K], u: f32[N, K]) -> (y: f32[N, K])\n" \
  "y[i, k] = x[i, k] * sigmoid(x[i, k]) * u[i, k]"
#define SOFTMAX                                             \
  "op b.Softmax/1 (x: f32[N, K]) -> (y: f32[N, K])\n"       \
  "let peak[i: N] = max(k: K){ x[i, k] }\n"                 \
  "let total[i: N] = sum(k: K){ exp(x[i, k] - peak[i]) }\n" \
  "y[i, k] = exp(x[i, k] - peak[i]) / total[i]"
#define LAYERNORM                                                             \
  "op b.LayerNorm/1 (x: f32[N, K], g: f32[K], b: f32[K]) -> (y: f32[N, K])\n" \
  "let mean[i: N] = sum(k: K){ x[i, k] } / f32(K)\n"                          \
  "let var[i: N] = sum(k: K){ sq(x[i, k] - mean[i]) } / f32(K)\n"             \
  "y[i, k] = (x[i, k] - mean[i]) * rsqrt(var[i] + 0.00001) * g[k] + b[k]"
#define TRANSPOSE "op b.Transpose/1 (x: f32[N, K]) -> (y: f32[K, N])\ny[k, i] = x[i, k]"
#define BIAS_ROWS                                                 \
  "op b.BiasRows/1 (x: f32[N, K], b: f32[N]) -> (y: f32[N, K])\n" \
  "y[i, k] = x[i, k] + b[i]"
#define BIAS_RELU                                                 \
  "op b.BiasRelu/1 (x: f32[N, K], b: f32[K]) -> (y: f32[N, K])\n" \
  "y[i, k] = max(x[i, k] + b[k], 0.0)"
#define INT8                                     \
  "op b.Int8/1 (x: i8[N, K]) -> (y: i8[N, K])\n" \
  "y[i, k] = sat(i8, max(f32(x[i, k]) * 0.05, 0.0) * 12.5)"
#define GATHER                                                             \
  "op b.Gather/1 (t: f32[V, K], r: i64[N], p: f32[K]) -> (y: f32[N, K])\n" \
  "y[i, k] = t[r[i], k] + p[k]"
#define ADD "op b.Add/1 (a: f32[N, K], b: f32[N, K]) -> (y: f32[N, K])\ny[i, k] = a[i, k] + b[i, k]"
#define COLUMN_SUM "op b.Sum/1 (x: f32[N, K]) -> (y: f32[K])\ny[k] = sum(i: N){ x[i, k] }"

#define F TRIVET_DTYPE_F32
#define B TRIVET_DTYPE_I8
#define L TRIVET_DTYPE_I64

static const case_t kCases[] = {
    {"add", ADD, 2, {F, F, F}, {"01", "01", "01"}, {512, 512}, hand_add3},
    {"add", ADD, 2, {F, F, F}, {"01", "01", "01"}, {4096, 1024}, hand_add3},
    {"gelu", GELU, 1, {F, F}, {"01", "01"}, {512, 512}, hand_gelu},
    {"gelu", GELU, 1, {F, F}, {"01", "01"}, {4096, 1024}, hand_gelu},
    {"silu*mul", SILU, 2, {F, F, F}, {"01", "01", "01"}, {512, 512}, hand_silu_mul},
    {"silu*mul", SILU, 2, {F, F, F}, {"01", "01", "01"}, {4096, 1024}, hand_silu_mul},
    {"softmax", SOFTMAX, 1, {F, F}, {"01", "01"}, {2048, 128}, hand_softmax},
    {"softmax", SOFTMAX, 1, {F, F}, {"01", "01"}, {512, 1024}, hand_softmax},
    {"softmax", SOFTMAX, 1, {F, F}, {"01", "01"}, {40000, 7}, hand_softmax},
    {"layernorm", LAYERNORM, 3, {F, F, F, F}, {"01", "1", "1", "01"}, {512, 768}, hand_layernorm},
    {"layernorm", LAYERNORM, 3, {F, F, F, F}, {"01", "1", "1", "01"}, {4096, 1024}, hand_layernorm},
    {"transpose", TRANSPOSE, 1, {F, F}, {"01", "10"}, {768, 500}, hand_transpose},
    {"transpose", TRANSPOSE, 1, {F, F}, {"01", "10"}, {2048, 2048}, hand_transpose},
    {"nchw bias 3136", BIAS_ROWS, 2, {F, F, F}, {"01", "0", "01"}, {256, 3136}, hand_nchw_bias},
    {"nchw bias 49", BIAS_ROWS, 2, {F, F, F}, {"01", "0", "01"}, {4096, 49}, hand_nchw_bias},
    {"nhwc bias+relu 256",
     BIAS_RELU,
     2,
     {F, F, F},
     {"01", "1", "01"},
     {3136, 256},
     hand_nhwc_bias_relu},
    {"nhwc bias+relu 24",
     BIAS_RELU,
     2,
     {F, F, F},
     {"01", "1", "01"},
     {12544, 24},
     hand_nhwc_bias_relu},
    {"nhwc bias+relu 3",
     BIAS_RELU,
     2,
     {F, F, F},
     {"01", "1", "01"},
     {50176, 3},
     hand_nhwc_bias_relu},
    {"int8 chain", INT8, 1, {B, B}, {"01", "01"}, {1024, 1024}, hand_int8},
    {"gather+add", GATHER, 3, {F, L, F, F}, {"21", "0", "1", "01"}, {1024, 768}, hand_gather},
    {"column sum", COLUMN_SUM, 1, {F, F}, {"01", "1"}, {1024, 1024}, hand_column_sum},
};

#define TABLE_ROWS 1000  // extent "2" of a shape

static int64_t extent_of(const case_t* c, char dim) {
  return dim == '2' ? TABLE_ROWS : c->dims[dim - '0'];
}

static double best_seconds(void (*call)(void* self), void* self) {
  double best = 1e9;
  const int64_t begin = tvi_clock_now_ns();
  for (int round = 0; round < 200; ++round) {
    const int64_t start = tvi_clock_now_ns();
    call(self);
    const int64_t end = tvi_clock_now_ns();
    const double seconds = (double)(end - start) * 1e-9;
    if (seconds < best) best = seconds;
    if (round >= 5 && end - begin > 200000000) break;
  }
  return best;
}

typedef struct run_t {
  const case_t* c;
  void* operands[MAX_OPERANDS];
  tvi_tile_bound_t* bound;
  void* addresses[MAX_OPERANDS];
  void* workspace;
  trivet_executor_t* executor;
  trivet_status_t status;
} run_t;

static void call_tile(void* self) {
  run_t* r = self;
  if (!r->status) r->status = tvi_tile_run(r->bound, r->addresses, r->workspace, r->executor);
}
static void call_hand(void* self) {
  run_t* r = self;
  r->c->hand(r->operands, r->c->dims);
}

static trivet_status_t make_program(const case_t* c, tvi_dim_context_t* dims, tvi_arena_t* arena,
                                    tvi_kir_operator_t** out_op, tvi_kir_program_t** out_program) {
  trivet_type_t types[MAX_OPERANDS];
  const trivet_type_t* inputs[MAX_OPERANDS];
  memset(types, 0, sizeof(types));
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_operator_parse(tvi_sv(c->text), trivet_allocator_system(), out_op));
  for (uint32_t i = 0; i <= c->input_count; ++i) {
    types[i].dtype = c->dtypes[i];
    types[i].rank = (uint32_t)strlen(c->shapes[i]);
    for (uint32_t d = 0; d < types[i].rank; ++d)
      types[i].dims[d] = tvi_dim_constant(dims, extent_of(c, c->shapes[i][d]));
    inputs[i] = &types[i];
  }
  tvi_kir_node_t node = {.op = *out_op,
                         .dims = dims,
                         .inputs = inputs,
                         .input_count = c->input_count,
                         .output_count = 1,
                         .outputs = &types[c->input_count]};
  tvi_kir_instance_t instance;
  TRIVET_RETURN_IF_ERROR(tvi_kir_node_instantiate(&node, NULL, arena, &instance));
  *out_program = instance.program;
  return TRIVET_OK;
}

static void fill(const case_t* c, uint32_t i, void* data, size_t bytes) {
  uint32_t state = 12345 + i;
  const size_t count = bytes / tvi_dtype_bytes(c->dtypes[i]);
  for (size_t k = 0; k < count; ++k) {
    state = state * 1664525u + 1013904223u;
    if (c->dtypes[i] == F) ((float*)data)[k] = (float)(int32_t)state * 1e-9f;
    if (c->dtypes[i] == B) ((int8_t*)data)[k] = (int8_t)(state >> 24);
    if (c->dtypes[i] == L) ((int64_t*)data)[k] = (state >> 8) % TABLE_ROWS;
  }
}

static trivet_status_t bench_case(const case_t* c, trivet_executor_t* executor, uint32_t isa,
                                  uint32_t threads, int list) {
  tvi_dim_context_t* dims = NULL;
  tvi_arena_t arena;
  tvi_kir_operator_t* op = NULL;
  tvi_kir_program_t* program = NULL;
  tvi_tile_compiled_t compiled = {0};
  tvi_tile_program_t* tile = NULL;
  trivet_operand_t operands[MAX_OPERANDS];
  int64_t parameters[256];
  run_t run = {.c = c, .executor = executor};
  double bytes_moved = 0;
  memset(operands, 0, sizeof(operands));
  TRIVET_RETURN_IF_ERROR(tvi_dim_context_create(trivet_allocator_system(), &dims));
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_status_t status = make_program(c, dims, &arena, &op, &program);
  TRIVET_GOTO_IF_ERROR(status, status, done);
  TRIVET_GOTO_IF_ERROR(status, tvi_tile_compile(program, trivet_allocator_system(), &compiled),
                       done);
  TRIVET_GOTO_IF_ERROR(status,
                       tvi_tile_program_decode(compiled.bytes, compiled.size, &arena, &tile), done);
  if (list) {
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, trivet_allocator_system());
    tvi_tile_program_print(tile, &text);
    printf("%s", text.data ? text.data : "");
    tvi_string_builder_deinit(&text);
  }
  for (uint32_t i = 0; i <= c->input_count; ++i) {
    trivet_operand_t* o = &operands[i];
    o->dtype = c->dtypes[i];
    o->rank = (uint32_t)strlen(c->shapes[i]);
    int64_t count = 1;
    for (uint32_t d = o->rank; d-- > 0;) {
      o->dims[d] = extent_of(c, c->shapes[i][d]);
      o->strides[d] = count;
      count *= o->dims[d];
    }
    const size_t bytes = (size_t)count * tvi_dtype_bytes(o->dtype);
    run.operands[i] = aligned_alloc(64, (bytes + 4095) & ~(size_t)4095);
    if (!run.operands[i]) abort();
    fill(c, i, run.operands[i], bytes);
    run.addresses[i] = run.operands[i];
    // A table is read as often as rows are asked for.
    bytes_moved +=
        strchr(c->shapes[i], '2') ? (double)(c->dims[0] * c->dims[1]) * 4 : (double)bytes;
  }
  for (uint32_t i = 0; i < compiled.parameter_count && i < 256; ++i)
    TRIVET_GOTO_IF_ERROR(status, tvi_dim_evaluate(compiled.parameters[i], NULL, 0, &parameters[i]),
                         done);
  uint64_t workspace_size = 0;
  const tvi_tile_bind_options_t options = {isa, threads};
  TRIVET_GOTO_IF_ERROR(
      status,
      tvi_tile_bind(tile, operands, compiled.operand_count, parameters, compiled.parameter_count,
                    &options, trivet_allocator_system(), &workspace_size, &run.bound),
      done);
  run.workspace = aligned_alloc(64, (size_t)((workspace_size + 127) & ~(uint64_t)63));
  const double hand = best_seconds(call_hand, &run);
  const double ours = best_seconds(call_tile, &run);
  status = run.status;
  printf("%-20s %6lld x %-5lld %8.1f %8.1f %8.2f\n", c->name, (long long)c->dims[0],
         (long long)c->dims[1], bytes_moved / ours * 1e-9, bytes_moved / hand * 1e-9, hand / ours);
done:
  tvi_tile_bound_release(run.bound);
  free(run.workspace);
  for (uint32_t i = 0; i < MAX_OPERANDS; ++i) free(run.operands[i]);
  tvi_tile_compiled_deinit(&compiled);
  tvi_kir_operator_destroy(op);
  tvi_arena_deinit(&arena);
  tvi_dim_context_destroy(dims);
  return status;
}

int main(int argc, char** argv) {
  const uint32_t threads = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
  uint32_t isa = argc > 2 ? (uint32_t)atoi(argv[2]) : tvi_tile_isa_detect();
  const char* wanted = argc > 3 ? argv[3] : NULL;
  if (isa > tvi_tile_isa_detect()) isa = tvi_tile_isa_detect();
  tvi_thread_pool_t* pool = NULL;
  const tvi_thread_pool_options_t options = {threads, 0};
  trivet_status_t status = tvi_thread_pool_create(&options, trivet_allocator_system(), &pool);
  printf("%-20s %14s %8s %8s %8s   (GB/s; %u threads, instruction set %u)\n", "case", "size",
         "tile", "hand", "ratio", threads, isa);
  for (size_t i = 0; !status && i < sizeof(kCases) / sizeof(kCases[0]); ++i)
    if (!wanted || strstr(kCases[i].name, wanted))
      status = bench_case(&kCases[i], tvi_thread_pool_executor(pool), isa, threads, wanted != NULL);
  tvi_thread_pool_destroy(pool);
  if (!status) return 0;
  fprintf(stderr, "tile_bench: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return 1;
}
