// SPDX-License-Identifier: Apache-2.0
//
// Reductions of an author's own on the CPU beside the same written in several passes with sums and
// maxima, in one process and in turns: `monoid_bench [threads [instruction set 0..2 [case]]]`. One
// line per case and size: best times, their ratio, the greatest difference of the results. With a
// case the tile programs are listed, too.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/monoid.h"
#include "core/kernel_ir/operator_instance.h"
#include "core/kernel_ir/operator_text.h"
#include "plugins/cpu/tile_compile.h"
#include "plugins/cpu/tile_encode.h"
#include "runtime/device/cpu/thread_pool.h"
#include "runtime/device/cpu/tile_bind.h"

typedef struct case_t {
  const char* name;
  const char* passes;  // the peer; texts without their first line
  const char* monoid;
  const char* shape;  // of the result: positions in dims
  int64_t dims[2];
} case_t;

#define ROWS "op b.Rows/1 (x: f32[N, K]) -> (y: f32[N, K])\n"
#define COLUMNS "op b.Columns/1 (x: f32[N, K]) -> (y: f32[N, K])\n"
#define TO_ROWS "op b.ToRows/1 (x: f32[N, K]) -> (y: f32[N])\n"

#define WELFORD                                                                   \
  "monoid w(mean: f32, m2: f32, n: f32) = identity (0.0, 0.0, 0.0)\n"             \
  "  join (a, b) -> (a.mean + (b.mean - a.mean) * (b.n / max(a.n + b.n, 1.0)),\n" \
  "    a.m2 + b.m2 + sq(b.mean - a.mean) * (a.n * (b.n / max(a.n + b.n, 1.0))), a.n + b.n)\n"
#define NORM_ROWS                                                 \
  "let mean[i: N] = sum(k: K){ x[i, k] } / f32(K)\n"              \
  "let var[i: N] = sum(k: K){ sq(x[i, k] - mean[i]) } / f32(K)\n" \
  "y[i, k] = (x[i, k] - mean[i]) * rsqrt(var[i] + 0.00001)"
#define NORM_ROWS_WELFORD                           \
  WELFORD                                           \
  "let st[i: N] = w(k: K){ (x[i, k], 0.0, 1.0) }\n" \
  "y[i, k] = (x[i, k] - st[i].mean) * rsqrt(st[i].m2 / f32(K) + 0.00001)"
#define NORM_COLUMNS                                              \
  "let mean[k: K] = sum(i: N){ x[i, k] } / f32(N)\n"              \
  "let var[k: K] = sum(i: N){ sq(x[i, k] - mean[k]) } / f32(N)\n" \
  "y[i, k] = (x[i, k] - mean[k]) * rsqrt(var[k] + 0.00001)"
#define NORM_COLUMNS_WELFORD                        \
  WELFORD                                           \
  "let st[k: K] = w(i: N){ (x[i, k], 0.0, 1.0) }\n" \
  "y[i, k] = (x[i, k] - st[k].mean) * rsqrt(st[k].m2 / f32(N) + 0.00001)"
#define PEAK_AND_SUM                        \
  "let peak[i: N] = max(k: K){ x[i, k] }\n" \
  "let total[i: N] = sum(k: K){ exp(x[i, k] - peak[i]) }\n"
#define ONLINE                                                      \
  "monoid lse(m: f32, s: f32) = identity (-inf, 0.0)\n"             \
  "  join (a, b) -> (max(a.m, b.m), a.s * exp(a.m - max(a.m, b.m))" \
  " + b.s * exp(b.m - max(a.m, b.m)))\n"                            \
  "let st[i: N] = lse(k: K){ (x[i, k], 1.0) }\n"
// No law is known for these: their elements are joined as the author says.
#define HYPOT                               \
  "monoid hypot(r: f32) = identity (0.0)\n" \
  "  join (a, b) -> (sqrt(sq(a.r) + sq(b.r)))\n"
#define LOG_ADD                                \
  "monoid logadd(l: f32) = identity (-1e30)\n" \
  "  join (a, b) -> (max(a.l, b.l) + log1p(exp(-abs(a.l - b.l))))\n"
#define TOP_TWO                                          \
  "monoid top(a: f32, b: f32) = identity (-inf, -inf)\n" \
  "  join (x, y) -> (max(x.a, y.a), max(min(x.a, y.a), max(x.b, y.b)))\n"
#define RANGE                                               \
  "monoid range(lo: f32, hi: f32) = identity (inf, -inf)\n" \
  "  join (a, b) -> (min(a.lo, b.lo), max(a.hi, b.hi))\n"
#define CUBES                                                                           \
  "monoid c(mean: f32, m2: f32, m3: f32, n: f32) = identity (0.0, 0.0, 0.0, 0.0)\n"     \
  "  join (a, b) -> (a.mean + (b.mean - a.mean) * (b.n / max(a.n + b.n, 1.0)),\n"       \
  "    a.m2 + b.m2 + sq(b.mean - a.mean) * (a.n * (b.n / max(a.n + b.n, 1.0))),\n"      \
  "    a.m3 + b.m3 + sq(b.mean - a.mean) * (b.mean - a.mean) * a.n * b.n * (a.n - b.n)" \
  " / sq(max(a.n + b.n, 1.0)) + 3.0 * (b.mean - a.mean) * (a.n * b.m2 - b.n * a.m2)"    \
  " / max(a.n + b.n, 1.0), a.n + b.n)\n"

// Neither may its sides be exchanged: of equals the first is taken.
#define FIRST                                              \
  "monoid first(m: f32, at: f32) = identity (-inf, 0.0)\n" \
  "  join (a, b) -> (a.m >= b.m ? a.m : b.m, a.m >= b.m ? a.at : b.at)\n"

#define CASE(name, head, passes, monoid, shape, n, k) \
  {                                                   \
    name, head passes, head monoid, shape, { n, k }   \
  }
static const case_t kCases[] = {
    CASE("welford norm rows", ROWS, NORM_ROWS, NORM_ROWS_WELFORD, "01", 512, 768),
    CASE("welford norm rows", ROWS, NORM_ROWS, NORM_ROWS_WELFORD, "01", 256, 4096),
    CASE("welford norm cols", COLUMNS, NORM_COLUMNS, NORM_COLUMNS_WELFORD, "01", 768, 512),
    CASE("welford norm cols", COLUMNS, NORM_COLUMNS, NORM_COLUMNS_WELFORD, "01", 4096, 256),
    CASE("welford alone", TO_ROWS,
         "let mean[i: N] = sum(k: K){ x[i, k] } / f32(K)\n"
         "y[i] = mean[i] + sum(k: K){ sq(x[i, k] - mean[i]) }",
         WELFORD "let st[i: N] = w(k: K){ (x[i, k], 0.0, 1.0) }\ny[i] = st[i].mean + st[i].m2", "0",
         512, 768),
    CASE("online softmax", ROWS, PEAK_AND_SUM "y[i, k] = exp(x[i, k] - peak[i]) / total[i]",
         ONLINE "y[i, k] = exp(x[i, k] - st[i].m) / st[i].s", "01", 512, 768),
    CASE("range", TO_ROWS, "y[i] = max(k: K){ x[i, k] } - min(k: K){ x[i, k] }",
         RANGE "let st[i: N] = range(k: K){ (x[i, k], x[i, k]) }\ny[i] = st[i].hi - st[i].lo", "0",
         512, 768),
    CASE("hypot", TO_ROWS, "y[i] = sqrt(sum(k: K){ sq(x[i, k]) })",
         HYPOT "y[i] = hypot(k: K){ x[i, k] }.r", "0", 512, 768),
    CASE("log of sum", TO_ROWS, PEAK_AND_SUM "y[i] = peak[i] + log(total[i])",
         LOG_ADD "y[i] = logadd(k: K){ x[i, k] }.l", "0", 512, 768),
    CASE("top two", TO_ROWS,
         "let peak[i: N] = max(k: K){ x[i, k] }\n"
         "y[i] = peak[i] - max(k: K){ x[i, k] < peak[i] ? x[i, k] : -inf }",
         TOP_TWO "let st[i: N] = top(k: K){ (x[i, k], -inf) }\ny[i] = st[i].a - st[i].b", "0", 512,
         768),
    CASE("third moment", TO_ROWS,
         "let mean[i: N] = sum(k: K){ x[i, k] } / f32(K)\n"
         "y[i] = sum(k: K){ sq(x[i, k] - mean[i]) * (x[i, k] - mean[i]) }",
         CUBES "y[i] = c(k: K){ (x[i, k], 0.0, 0.0, 1.0) }.m3", "0", 512, 768),
    CASE("third moment cols", "op b.F/1 (x: f32[N, K]) -> (y: f32[K])\n",
         "let mean[k: K] = sum(i: N){ x[i, k] } / f32(N)\n"
         "y[k] = sum(i: N){ sq(x[i, k] - mean[k]) * (x[i, k] - mean[k]) }",
         CUBES "y[k] = c(i: N){ (x[i, k], 0.0, 0.0, 1.0) }.m3", "1", 768, 512),
    CASE("first of greatest", TO_ROWS, "y[i] = f32(argmax(k: K){ x[i, k] })",
         FIRST "y[i] = first(k: K){ (x[i, k], f32(k)) }.at", "0", 512, 768),
    CASE("first of greatest", TO_ROWS, "y[i] = f32(argmax(k: K){ x[i, k] })",
         FIRST "y[i] = first(k: K){ (x[i, k], f32(k)) }.at", "0", 256, 4096),
    CASE("first, then rows", ROWS,
         "let at[i: N] = argmax(k: K){ x[i, k] }\ny[i, k] = x[i, k] - f32(at[i])",
         FIRST "let st[i: N] = first(k: K){ (x[i, k], f32(k)) }\ny[i, k] = x[i, k] - st[i].at",
         "01", 512, 768),
};

typedef struct side_t {
  tvi_dim_context_t* dims;
  tvi_arena_t arena;
  tvi_kir_operator_t* op;
  tvi_tile_compiled_t compiled;
  tvi_tile_program_t* tile;
  tvi_tile_bound_t* bound;
  void* addresses[2];
  void* workspace;
  double best;
} side_t;

static int64_t count_of(const case_t* c, const char* shape) {
  int64_t count = 1;
  for (; *shape; ++shape) count *= c->dims[*shape - '0'];
  return count;
}

static trivet_status_t make_program(const case_t* c, const char* text, side_t* side,
                                    tvi_kir_program_t** out_program) {
  trivet_type_t types[2];
  const trivet_type_t* inputs[] = {&types[0]};
  const char* shapes[] = {"01", c->shape};
  memset(types, 0, sizeof(types));
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_operator_parse(tvi_sv(text), trivet_allocator_system(), &side->op));
  for (uint32_t i = 0; i < 2; ++i) {
    types[i].dtype = TRIVET_DTYPE_F32;
    types[i].rank = (uint32_t)strlen(shapes[i]);
    for (uint32_t d = 0; d < types[i].rank; ++d)
      types[i].dims[d] = tvi_dim_constant(side->dims, c->dims[shapes[i][d] - '0']);
  }
  tvi_kir_node_t node = {.op = side->op,
                         .dims = side->dims,
                         .inputs = inputs,
                         .input_count = 1,
                         .output_count = 1,
                         .outputs = &types[1]};
  tvi_kir_instance_t instance;
  TRIVET_RETURN_IF_ERROR(tvi_kir_node_instantiate(&node, NULL, &side->arena, &instance));
  *out_program = instance.program;
  TRIVET_RETURN_IF_ERROR(tvi_kir_simplify(instance.program));
  TRIVET_RETURN_IF_ERROR(tvi_kir_split_monoids(instance.program));
  return tvi_kir_program_drop_dead(instance.program, true, NULL);
}

static trivet_status_t prepare(const case_t* c, const char* text, uint32_t isa, uint32_t threads,
                               bool list, float* input, side_t* side) {
  tvi_kir_program_t* program;
  const trivet_allocator_t allocator = trivet_allocator_system();
  TRIVET_RETURN_IF_ERROR(tvi_dim_context_create(allocator, &side->dims));
  TRIVET_RETURN_IF_ERROR(make_program(c, text, side, &program));
  TRIVET_RETURN_IF_ERROR(tvi_tile_compile(program, allocator, &side->compiled));
  TRIVET_RETURN_IF_ERROR(tvi_tile_program_decode(side->compiled.bytes, side->compiled.size,
                                                 &side->arena, &side->tile));
  if (list) {
    tvi_string_builder_t printed;
    tvi_string_builder_init(&printed, allocator);
    tvi_tile_program_print(side->tile, &printed);
    printf("%s", printed.data ? printed.data : "");
    tvi_string_builder_deinit(&printed);
  }
  const char* shapes[] = {"01", c->shape};
  trivet_operand_t operands[2];
  memset(operands, 0, sizeof(operands));
  for (uint32_t i = 0; i < 2; ++i) {
    operands[i].dtype = TRIVET_DTYPE_F32;
    operands[i].rank = (uint32_t)strlen(shapes[i]);
    int64_t stride = 1;
    for (uint32_t d = operands[i].rank; d-- > 0;) {
      operands[i].dims[d] = c->dims[shapes[i][d] - '0'];
      operands[i].strides[d] = stride;
      stride *= operands[i].dims[d];
    }
  }
  int64_t parameters[64];
  for (uint32_t i = 0; i < side->compiled.parameter_count && i < 64; ++i)
    TRIVET_RETURN_IF_ERROR(tvi_dim_evaluate(side->compiled.parameters[i], NULL, 0, &parameters[i]));
  uint64_t workspace_size = 0;
  const tvi_tile_bind_options_t options = {isa, threads};
  TRIVET_RETURN_IF_ERROR(tvi_tile_bind(side->tile, operands, side->compiled.operand_count,
                                       parameters, side->compiled.parameter_count, &options,
                                       allocator, &workspace_size, &side->bound));
  side->workspace = aligned_alloc(64, (size_t)((workspace_size + 127) & ~(uint64_t)63));
  side->addresses[0] = input;
  side->addresses[1] =
      aligned_alloc(64, ((size_t)count_of(c, c->shape) * sizeof(float) + 63) & ~(size_t)63);
  side->best = 1e9;
  return side->workspace && side->addresses[1] ? TRIVET_OK
                                               : TRIVET_STATUS(OUT_OF_MEMORY, "no memory");
}

static double greatest_difference(const case_t* c, const side_t* sides) {
  const float *a = sides[0].addresses[1], *b = sides[1].addresses[1];
  double greatest = 0;
  for (int64_t i = 0; i < count_of(c, c->shape); ++i) {
    const double difference = fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)a[i]));
    if (!(difference <= greatest)) greatest = difference;
  }
  return greatest;
}

static trivet_status_t measure(const case_t* c, side_t* sides, trivet_executor_t* executor) {
  const int64_t begin = tvi_clock_now_ns();
  for (int round = 0; round < 400; ++round) {
    for (int k = 0; k < 2; ++k) {
      side_t* side = &sides[(round + k) % 2];
      const int64_t start = tvi_clock_now_ns();
      TRIVET_RETURN_IF_ERROR(tvi_tile_run(side->bound, side->addresses, side->workspace, executor));
      const double seconds = (double)(tvi_clock_now_ns() - start) * 1e-9;
      if (seconds < side->best) side->best = seconds;
    }
    if (round >= 5 && tvi_clock_now_ns() - begin > 400000000) break;
  }
  printf("%-18s %5lld x %-5lld %10.4f %10.4f %8.2f %10.1e\n", c->name, (long long)c->dims[0],
         (long long)c->dims[1], sides[0].best * 1e3, sides[1].best * 1e3,
         sides[1].best / sides[0].best, greatest_difference(c, sides));
  return TRIVET_OK;
}

static trivet_status_t bench_case(const case_t* c, trivet_executor_t* executor, uint32_t isa,
                                  uint32_t threads, bool list) {
  side_t sides[2];
  memset(sides, 0, sizeof(sides));
  trivet_status_t status = TRIVET_OK;
  const size_t count = (size_t)count_of(c, "01");
  float* input = aligned_alloc(64, (count * sizeof(float) + 63) & ~(size_t)63);
  uint32_t seed = 12345;
  for (size_t i = 0; input && i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    input[i] = (float)(int32_t)seed * 1e-9f + 0.5f;
  }
  if (!input) status = TRIVET_STATUS(OUT_OF_MEMORY, "no memory");
  for (int k = 0; k < 2; ++k) {
    tvi_arena_init(&sides[k].arena, trivet_allocator_system(), 0);
    if (!status)
      status = prepare(c, k ? c->monoid : c->passes, isa, threads, list, input, &sides[k]);
  }
  if (!status) status = measure(c, sides, executor);
  for (int k = 0; k < 2; ++k) {
    tvi_tile_bound_release(sides[k].bound);
    free(sides[k].workspace);
    free(sides[k].addresses[1]);
    tvi_tile_compiled_deinit(&sides[k].compiled);
    tvi_kir_operator_destroy(sides[k].op);
    tvi_arena_deinit(&sides[k].arena);
    tvi_dim_context_destroy(sides[k].dims);
  }
  free(input);
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
  printf("%-18s %13s %10s %10s %8s %10s   (ms; %u threads, instruction set %u)\n", "case", "size",
         "passes", "monoid", "ratio", "difference", threads, isa);
  for (size_t i = 0; !status && i < sizeof(kCases) / sizeof(kCases[0]); ++i)
    if (!wanted || strstr(kCases[i].name, wanted))
      status = bench_case(&kCases[i], tvi_thread_pool_executor(pool), isa, threads, wanted != NULL);
  tvi_thread_pool_destroy(pool);
  if (!status) return 0;
  fprintf(stderr, "monoid_bench: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return 1;
}
