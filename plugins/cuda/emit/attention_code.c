// SPDX-License-Identifier: Apache-2.0
//
// Constants, entries and launches around attention.cuh. Numbers that are known when a plan is built
// are printed, the others are parameters of the step. See attention_code.h.
#include "plugins/cuda/emit/attention_code.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"

#define LOG2_E 1.4426950408889634
#define GATHER_THREADS 128u

typedef struct printer_s {
  const trivet_region_t* region;
  const tvi_attention_t* attention;
  const tvi_cuda_attention_form_t* form;
  tvi_cuda_code_t* code;
  uint32_t* operands;
  tvi_string_builder_t signature, fill;  // parameters of the entries, and what they do with them
  bool is_vector;                        // pieces of 16 bytes can be moved
  trivet_status_t status;
} printer_t;

static void fail(printer_t* p, trivet_status_t status) {
  if (!status) return;
  if (p->status) {
    trivet_status_free(status);
  } else {
    p->status = status;
  }
}

static uint32_t round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }

static uint32_t constant_of(trivet_dim_t dim) {
  int64_t value = 0;
  return tvi_dim_is_constant(dim, &value) && value > 0 && value <= 4096 ? (uint32_t)value : 0;
}

static bool is_16_bit(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16;
}

const char* tvi_cuda_attention_reason(const tvi_attention_t* a) {
  const uint32_t dtype = a->q.dtype;
  if (!is_16_bit(dtype) && dtype != TRIVET_DTYPE_F32)
    return "queries are neither f16, bf16 nor f32";
  if (a->k.dtype != dtype || a->v.dtype != dtype || a->result.dtype != dtype)
    return "queries, keys, values and result have different types";
  if (a->accumulate_dtype != TRIVET_DTYPE_F32) return "sums are not f32";
  const uint32_t d = constant_of(a->extents[TVI_ATTENTION_D]),
                 e = constant_of(a->extents[TVI_ATTENTION_E]);
  const uint32_t most = is_16_bit(dtype) ? 256 : 128;
  if (!d || !e || d % 8 || e % 8 || d > most || e > most)
    return "a head size is not a known multiple of 8 up to 256 (128 of f32)";
  if (!tvi_dim_is_constant(a->share, NULL)) return "how many heads share keys is not known";
  if (a->present_k.operand != TVI_KIR_NONE || a->present_v.operand != TVI_KIR_NONE)
    return "keys with the past in front are results, too";
  if (a->mask.operand != TVI_KIR_NONE && a->mask.dtype != TRIVET_DTYPE_BOOL &&
      a->mask.dtype != TRIVET_DTYPE_F32 && !is_16_bit(a->mask.dtype))
    return "the mask is neither bool, f16, bf16 nor f32";
  if (a->lengths.operand != TVI_KIR_NONE && a->lengths.dtype != TRIVET_DTYPE_I64)
    return "lengths are not i64";
  return NULL;
}

// Sizes in shared memory: elements from row to row.
typedef struct sizes_s {
  uint32_t d, e, dp, ep, ks, vs, rs, bytes;  // |rs|: floats, of sums that warps join
} sizes_t;

static sizes_t sizes_of(const tvi_attention_t* a) {
  sizes_t s;
  const bool is_narrow = is_16_bit(a->q.dtype);
  s.d = constant_of(a->extents[TVI_ATTENTION_D]);
  s.e = constant_of(a->extents[TVI_ATTENTION_E]);
  s.bytes = is_narrow ? 2 : 4;
  s.dp = round_up(s.d, is_narrow ? 16 : 8);
  s.ep = round_up(s.e, is_narrow ? 16 : 8);
  // Rows begin in different banks.
  s.ks = is_narrow || s.dp % 16 == 0 ? s.dp + 8 : s.dp;
  s.vs = s.ep + (is_narrow ? 8 : 4);
  s.rs = s.ep + 8;
  return s;
}

uint32_t tvi_cuda_attention_threads(const tvi_cuda_attention_form_t* form) {
  return 32 * form->wm * form->wn;
}

uint32_t tvi_cuda_attention_shared_bytes(const tvi_attention_t* attention,
                                         const tvi_cuda_attention_form_t* form) {
  const sizes_t s = sizes_of(attention);
  const uint32_t step = form->wn * form->bn, rows = form->wn * form->wm * form->mt * 16;
  const uint32_t keys = constant_of(attention->extents[TVI_ATTENTION_J]);
  const uint32_t stages = keys && keys <= step ? 1 : 2;
  const uint32_t tiles = stages * step * (s.ks + s.vs) * s.bytes;
  const uint32_t sums = form->wn > 1 ? rows * (s.rs + 2) * 4 : 0;
  return tiles > sums ? tiles : sums;
}

// --- Parameters -------------------------------------------------------------------------

static uint32_t parameter(printer_t* p, trivet_dim_t dim) {
  tvi_cuda_code_t* code = p->code;
  if (!dim) {
    fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a size of the attention overflows 64 bits"));
    return 0;
  }
  for (size_t i = 0; i < code->parameters.count; ++i) {
    if (code->parameters.data[i] == dim) return (uint32_t)i;
  }
  fail(p, tvi_vector_push(&code->parameters, dim));
  return (uint32_t)(code->parameters.count - 1);
}

static void argument(printer_t* p, const char* type, const char* field, uint32_t kind,
                     uint32_t index) {
  const tvi_cuda_argument_t added = {kind, index};
  tvi_string_builder_appendf(&p->signature, "%s%s%s", p->code->arguments.count ? ", " : "", type,
                             field);
  tvi_string_builder_appendf(&p->fill, "  a.%s = %s;\n", field, field);
  fail(p, tvi_vector_push(&p->code->arguments, added));
}

// A number: printed where it is known, else a parameter.
static void number(printer_t* p, const char* field, trivet_dim_t dim, bool is_wide) {
  int64_t value;
  if (dim && tvi_dim_is_constant(dim, &value)) {
    if (value) tvi_string_builder_appendf(&p->fill, "  a.%s = %lld;\n", field, (long long)value);
    return;
  }
  argument(p, is_wide ? "long long " : "int ", field,
           is_wide ? TVI_CUDA_ARGUMENT_I64 : TVI_CUDA_ARGUMENT_I32, parameter(p, dim));
}

static trivet_dim_t dim_of(const printer_t* p, int64_t value) {
  return tvi_dim_constant(p->region->graph->dims, value);
}
static trivet_dim_t times(const printer_t* p, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(p->region->graph->dims, TRIVET_DIM_MUL, a, b);
}
static trivet_dim_t quotient_up(const printer_t* p, trivet_dim_t a, int64_t b) {
  return tvi_dim_binary(p->region->graph->dims, TRIVET_DIM_CEILDIV, a, dim_of(p, b));
}

typedef struct field_s {
  tvi_attention_role_t role;
  const char* suffix;
} field_t;

// An operand: its address and its strides by role. |fields| end with an empty suffix; the last one
// is the component's where |piece| is not 0, the number of elements that are moved at once.
static void operand(printer_t* p, const char* name, const char* type,
                    const tvi_attention_operand_t* operand, const field_t* fields, uint32_t piece) {
  tvi_dim_context_t* dims = p->region->graph->dims;
  trivet_dim_t strides[TVI_ATTENTION_ROLES], offset;
  char text[64];
  if (operand->operand == TVI_KIR_NONE) return;
  if (!tvi_attention_strides(p->region, operand, strides, &offset)) {
    fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a stride of the attention overflows 64 bits"));
    return;
  }
  const uint32_t index = (uint32_t)p->code->operands.count;
  p->operands[index] = operand->operand;
  fail(p, tvi_vector_push(&p->code->operands, index));
  argument(p, type, name, TVI_CUDA_ARGUMENT_OPERAND, index);
  if (!tvi_dim_equals_constant(offset, 0)) {
    snprintf(text, sizeof(text), "%s_offset", name);
    const tvi_cuda_argument_t added = {TVI_CUDA_ARGUMENT_I64, parameter(p, offset)};
    tvi_string_builder_appendf(&p->signature, ", long long %s", text);
    tvi_string_builder_appendf(&p->fill, "  a.%s += %s;\n", name, text);
    fail(p, tvi_vector_push(&p->code->arguments, added));
    if (piece && tvi_dim_divisor(dims, offset) % piece) p->is_vector = false;
  }
  for (const field_t* f = fields; f->suffix; ++f) {
    snprintf(text, sizeof(text), "%s_%s", name, f->suffix);
    const bool is_component = piece && !f[1].suffix;
    // A role with one position has no stride to keep.
    const bool is_single = tvi_dim_equals_constant(p->attention->extents[f->role], 1);
    if (is_component && !tvi_dim_equals_constant(strides[f->role], 1)) p->is_vector = false;
    if (piece && !is_component && !is_single && tvi_dim_divisor(dims, strides[f->role]) % piece)
      p->is_vector = false;
    number(p, text, is_single ? dim_of(p, 0) : strides[f->role], true);
  }
}

static void operands(printer_t* p) {
  static const field_t kQ[] = {{TVI_ATTENTION_B, "b"},
                               {TVI_ATTENTION_H, "h"},
                               {TVI_ATTENTION_I, "i"},
                               {TVI_ATTENTION_D, "d"},
                               {TVI_ATTENTION_B, NULL}};
  static const field_t kK[] = {{TVI_ATTENTION_B, "b"},
                               {TVI_ATTENTION_G, "h"},
                               {TVI_ATTENTION_J, "j"},
                               {TVI_ATTENTION_D, "d"},
                               {TVI_ATTENTION_B, NULL}};
  static const field_t kV[] = {{TVI_ATTENTION_B, "b"},
                               {TVI_ATTENTION_G, "h"},
                               {TVI_ATTENTION_J, "j"},
                               {TVI_ATTENTION_E, "e"},
                               {TVI_ATTENTION_B, NULL}};
  static const field_t kOut[] = {{TVI_ATTENTION_B, "b"},
                                 {TVI_ATTENTION_H, "h"},
                                 {TVI_ATTENTION_I, "i"},
                                 {TVI_ATTENTION_E, "e"},
                                 {TVI_ATTENTION_B, NULL}};
  static const field_t kMask[] = {{TVI_ATTENTION_B, "b"},
                                  {TVI_ATTENTION_H, "h"},
                                  {TVI_ATTENTION_I, "i"},
                                  {TVI_ATTENTION_J, "j"},
                                  {TVI_ATTENTION_B, NULL}};
  static const field_t kLengths[] = {{TVI_ATTENTION_B, "b"}, {TVI_ATTENTION_B, NULL}};
  const tvi_attention_t* a = p->attention;
  const uint32_t piece = is_16_bit(a->q.dtype) ? 8 : 4;
  operand(p, "q", "const tva_t* ", &a->q, kQ, piece);
  operand(p, "k", "const tva_t* ", &a->k, kK, piece);
  operand(p, "v", "const tva_t* ", &a->v, kV, piece);
  operand(p, "past_k", "const tva_t* ", &a->past_k, kK, piece);
  operand(p, "past_v", "const tva_t* ", &a->past_v, kV, piece);
  operand(p, "mask", "const void* ", &a->mask, kMask, 0);
  operand(p, "lengths", "const long long* ", &a->lengths, kLengths, 0);
  operand(p, "out", "tva_t* ", &a->result, kOut, piece);
  number(p, "batch", a->extents[TVI_ATTENTION_B], false);
  number(p, "heads", a->extents[TVI_ATTENTION_H], false);
  number(p, "share", a->share, false);
  number(p, "queries", a->extents[TVI_ATTENTION_I], false);
  number(p, "keys", a->extents[TVI_ATTENTION_J], false);
  if (a->past) number(p, "past", a->past, false);
  if (a->mask_length) number(p, "mask_length", a->mask_length, false);
  if (a->upper) number(p, "upper", a->upper, true);
  if (a->lower) number(p, "lower", a->lower, true);
  if (p->form->splits > 1) {
    number(p, "splits", dim_of(p, p->form->splits), false);
    argument(p, "float* ", "partial", TVI_CUDA_ARGUMENT_WORKSPACE, parameter(p, dim_of(p, 0)));
  }
}

// --- Text -------------------------------------------------------------------------------

static void define(printer_t* p, const char* name, int64_t value) {
  tvi_string_builder_appendf(&p->code->source, "#define TVA_%s %lld\n", name, (long long)value);
}

static void define_float(printer_t* p, const char* name, double value) {
  tvi_string_builder_appendf(&p->code->source, "#define TVA_%s %.9ef\n", name, value);
}

static void constants(printer_t* p) {
  const tvi_attention_t* a = p->attention;
  const tvi_cuda_attention_form_t* f = p->form;
  const sizes_t s = sizes_of(a);
  const uint32_t mask = a->mask.operand == TVI_KIR_NONE      ? 0
                        : a->mask.dtype == TRIVET_DTYPE_BOOL ? 1
                        : a->mask.dtype == TRIVET_DTYPE_F16  ? 2
                        : a->mask.dtype == TRIVET_DTYPE_BF16 ? 3
                                                             : 4;
  // Scores are compared before they are scaled where nothing but the scale changes them.
  const bool is_explicit = mask > 1 || a->softcap > 0 || !(a->scale > 0);
  define(p, "TYPE", a->q.dtype == TRIVET_DTYPE_F16 ? 0 : a->q.dtype == TRIVET_DTYPE_BF16 ? 1 : 2);
  define(p, "D", s.d), define(p, "E", s.e), define(p, "DP", s.dp), define(p, "EP", s.ep);
  define(p, "KS", s.ks), define(p, "VS", s.vs), define(p, "RS", s.rs);
  define(p, "MT", f->mt), define(p, "WM", f->wm), define(p, "WN", f->wn), define(p, "BN", f->bn);
  define(p, "BM", f->mt * f->wm * 16), define(p, "STEP", f->wn * f->bn);
  define(p, "THREADS", tvi_cuda_attention_threads(f));
  define(p, "PACK", f->pack), define(p, "SPLIT", f->splits > 1);
  define(p, "PAST", a->past != NULL), define(p, "MASK", mask);
  define(p, "MASK_PART", a->mask_length != NULL);
  define(p, "UPPER", a->upper != NULL), define(p, "LOWER", a->lower != NULL);
  define(p, "LENGTH", (a->has_length ? 1 : 0) + (a->bounds_add_length ? 2 : 0));
  define(p, "EXPLICIT", is_explicit);
  define_float(p, "SCALE", a->scale);
  define_float(p, "CAP", a->softcap);
  define_float(p, "C", is_explicit ? LOG2_E : a->scale * LOG2_E);
  tvi_string_builder_append_cstr(&p->code->source,
                                 "#define TVA_INFINITY tv_from_bits(0x7f800000u)\n");
}

static void entry(printer_t* p, tvi_cuda_launch_t* launch, const char* name, const char* suffix,
                  bool is_vector, bool is_gather, uint32_t grid) {
  tvi_cuda_variant_t* variant = &launch->variants[launch->variant_count++];
  snprintf(variant->name, sizeof(variant->name), "%s%s", name, suffix);
  variant->block = is_gather ? GATHER_THREADS : tvi_cuda_attention_threads(p->form);
  variant->shared_bytes = is_gather ? 0 : tvi_cuda_attention_shared_bytes(p->attention, p->form);
  variant->grid = grid;
  variant->alignment = is_vector ? 16 : 1;
  tvi_string_builder_t* source = &p->code->source;
  tvi_string_builder_appendf(source, "\nextern \"C\" __global__ void __launch_bounds__(%u",
                             variant->block);
  if (is_vector && !is_gather && p->form->resident)
    tvi_string_builder_appendf(source, ", %u", p->form->resident);
  tvi_string_builder_appendf(source, ") %s(%.*s) {\n", variant->name,
                             (int)tvi_string_builder_view(&p->signature).size,
                             tvi_string_builder_view(&p->signature).data);
  tvi_string_builder_append_cstr(source, "  TV_BEGIN();\n  tva_args a = {};\n");
  tvi_string_builder_append(source, tvi_string_builder_view(&p->fill));
  tvi_string_builder_appendf(source,
                             is_gather
                                 ? "  tva_gather<%d>(a);\n}\n"
                                 : "  TVA_SHARED(shared);\n  tva_forward<%d>(a, shared);\n}\n",
                             is_vector);
}

static void launches(printer_t* p, const char* name) {
  const tvi_attention_t* a = p->attention;
  const tvi_cuda_attention_form_t* f = p->form;
  const sizes_t s = sizes_of(a);
  tvi_cuda_code_t* code = p->code;
  trivet_dim_t rows = a->extents[TVI_ATTENTION_I], units = a->extents[TVI_ATTENTION_H];
  if (f->pack) rows = times(p, rows, a->share), units = a->extents[TVI_ATTENTION_G];
  units = times(p, units, a->extents[TVI_ATTENTION_B]);
  trivet_dim_t blocks = times(p, quotient_up(p, rows, (int64_t)f->mt * f->wm * 16), units);
  blocks = times(p, blocks, dim_of(p, f->splits));
  trivet_dim_t all_rows = times(p, rows, units);
  trivet_dim_t bytes = dim_of(p, 0);
  if (f->splits > 1) bytes = times(p, all_rows, dim_of(p, (int64_t)f->splits * (s.ep + 4) * 4));
  code->workspace = parameter(p, bytes);
  for (uint32_t i = 0; i < (f->splits > 1 ? 2u : 1u); ++i) {
    const bool is_gather = i == 1;
    tvi_cuda_launch_t launch;
    memset(&launch, 0, sizeof(launch));
    launch.argument_count = (uint32_t)code->arguments.count;
    const uint32_t grid = parameter(
        p, is_gather ? quotient_up(p, times(p, all_rows, dim_of(p, s.ep / 2)), GATHER_THREADS)
                     : blocks);
    if (p->is_vector) entry(p, &launch, name, is_gather ? "_join" : "", true, is_gather, grid);
    entry(p, &launch, name, is_gather ? "_join_any" : "_any", false, is_gather, grid);
    fail(p, tvi_vector_push(&code->launches, launch));
  }
}

trivet_status_t tvi_cuda_attention_code(const trivet_region_t* region,
                                        const tvi_attention_t* attention,
                                        const tvi_cuda_attention_form_t* form, const char* name,
                                        tvi_cuda_code_t* out_code,
                                        uint32_t out_operands[TVI_CUDA_ATTENTION_OPERANDS]) {
  const trivet_allocator_t allocator = region->graph->allocator;
  printer_t p = {.region = region,
                 .attention = attention,
                 .form = form,
                 .code = out_code,
                 .operands = out_operands,
                 .is_vector = true};
  memset(out_code, 0, sizeof(*out_code));
  out_code->allocator = allocator;
  tvi_string_builder_init(&out_code->source, allocator);
  tvi_vector_init(&out_code->operands, allocator);
  tvi_vector_init(&out_code->parameters, allocator);
  tvi_vector_init(&out_code->arguments, allocator);
  tvi_vector_init(&out_code->launches, allocator);
  tvi_string_builder_init(&p.signature, allocator);
  tvi_string_builder_init(&p.fill, allocator);
  operands(&p);
  tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_prelude);
  constants(&p);
  tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_attention_text);
  launches(&p, name);
  fail(&p, tvi_string_builder_status(&out_code->source));
  fail(&p, tvi_string_builder_status(&p.signature));
  fail(&p, tvi_string_builder_status(&p.fill));
  tvi_string_builder_deinit(&p.signature);
  tvi_string_builder_deinit(&p.fill);
  if (p.status) tvi_cuda_code_deinit(out_code);
  return p.status;
}
