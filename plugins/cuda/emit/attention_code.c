// SPDX-License-Identifier: Apache-2.0
//
// Constants, entries and launches around attention.cuh. Numbers that are known when a plan is built
// are printed, the others are parameters of the step. See attention_code.h.
#include "plugins/cuda/emit/attention_code.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda/emit/matmul_code.h"

#define LOG2_E 1.4426950408889634
#define GATHER_THREADS 128u

typedef struct printer_s {
  const trivet_region_t* region;
  const tvi_attention_t* attention;
  const tvi_cuda_attention_form_t* form;
  tvi_cuda_code_t* code;
  uint32_t* operands;
  tvi_string_builder_t signature, fill;  // parameters of the entries, and what they do with them
  tvi_string_builder_t boxes;            // how the form for Hopper calls the copy engine
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

static bool can_map(const trivet_region_t* region, const tvi_attention_operand_t* operand,
                    tvi_attention_role_t head, tvi_attention_role_t row,
                    tvi_attention_role_t component, const tvi_attention_t* a) {
  tvi_dim_context_t* dims = region->graph->dims;
  trivet_dim_t strides[TVI_ATTENTION_ROLES], offset;
  const tvi_attention_role_t roles[3] = {row, head, TVI_ATTENTION_B};
  int64_t value;
  if (!tvi_attention_strides(region, operand, strides, &offset)) return false;
  if (!tvi_dim_equals_constant(strides[component], 1) || tvi_dim_divisor(dims, offset) % 8)
    return false;
  // It is part of a coordinate.
  if (tvi_dim_is_constant(offset, &value) && value > 1 << 30) return false;
  for (uint32_t i = 0; i < 3; ++i) {
    if (tvi_dim_equals_constant(a->extents[roles[i]], 1)) continue;
    if (tvi_dim_divisor(dims, strides[roles[i]]) % 8 ||
        (tvi_dim_is_constant(strides[roles[i]], &value) && value <= 0))
      return false;
  }
  return true;
}

const char* tvi_cuda_flash_reason(const trivet_region_t* region, const tvi_attention_t* a) {
  if (!is_16_bit(a->q.dtype)) return "queries are neither f16 nor bf16";
  if (constant_of(a->extents[TVI_ATTENTION_D]) > 128 ||
      constant_of(a->extents[TVI_ATTENTION_E]) > 128)
    return "a head size is above 128";
  if (a->past) return "keys lie in two places";
  if (!can_map(region, &a->q, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_D, a) ||
      !can_map(region, &a->k, TVI_ATTENTION_G, TVI_ATTENTION_J, TVI_ATTENTION_D, a) ||
      !can_map(region, &a->v, TVI_ATTENTION_G, TVI_ATTENTION_J, TVI_ATTENTION_E, a) ||
      !can_map(region, &a->result, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_E, a))
    return "queries, keys, values or result do not lie in pieces of 16 bytes";
  return NULL;
}

// Sizes in shared memory: elements from row to row.
typedef struct sizes_s {
  uint32_t d, e, dp, ep, ks, vs, rs, bytes;  // |rs|: floats, of sums that warps join
} sizes_t;

static sizes_t sizes_of(const tvi_attention_t* a, const tvi_cuda_attention_form_t* form) {
  sizes_t s;
  const bool is_narrow = is_16_bit(a->q.dtype);
  s.d = constant_of(a->extents[TVI_ATTENTION_D]);
  s.e = constant_of(a->extents[TVI_ATTENTION_E]);
  s.bytes = is_narrow ? 2 : 4;
  const uint32_t multiple = form->groups ? 64 : is_narrow ? 16 : 8;
  s.dp = round_up(s.d, multiple);
  s.ep = round_up(s.e, multiple);
  // Rows begin in different banks.
  s.ks = is_narrow || s.dp % 16 == 0 ? s.dp + 8 : s.dp;
  s.vs = s.ep + (is_narrow ? 8 : 4);
  s.rs = s.ep + 8;
  return s;
}

uint32_t tvi_cuda_attention_threads(const tvi_cuda_attention_form_t* form) {
  return form->groups ? (form->groups + form->has_orderer) * 128 : 32 * form->wm * form->wn;
}

// Of the form for Hopper: queries, stages of keys and values, barriers.
static uint32_t flash_bytes(const sizes_t* s, const tvi_cuda_attention_form_t* form) {
  return form->groups * 64 * s->dp * 2 + form->stages * form->bn * (s->dp + s->ep) * 2 +
         8 * (1 + 4 * form->stages);
}

// Of the others.
static uint32_t shared_bytes(const tvi_attention_t* attention,
                             const tvi_cuda_attention_form_t* form) {
  const sizes_t s = sizes_of(attention, form);
  const uint32_t step = form->wn * form->bn, rows = form->wn * form->wm * form->mt * 16;
  const uint32_t keys = constant_of(attention->extents[TVI_ATTENTION_J]);
  const uint32_t stages = keys && keys <= step ? 1 : 2;
  const uint32_t tiles = stages * step * (s.ks + s.vs) * s.bytes;
  const uint32_t sums = form->wn > 1 ? rows * (s.rs + 2) * 4 : 0;
  return tiles > sums ? tiles : sums;
}

uint32_t tvi_cuda_attention_shared_bytes(const tvi_attention_t* attention,
                                         const tvi_cuda_attention_form_t* form) {
  if (!form->groups) return shared_bytes(attention, form);
  const sizes_t s = sizes_of(attention, form);
  return flash_bytes(&s, form);
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
  const sizes_t s = sizes_of(a, f);
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
  define(p, "THREADS", 32 * f->wm * f->wn);
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
  if (!f->groups) return;
  define(p, "GROUPS", f->groups), define(p, "STAGES", f->stages);
  define(p, "ORDERER", f->has_orderer), define(p, "TURNS", f->takes_turns);
  define(p, "SKIPS", f->groups > 1);
  define(p, "CLEAR", a->has_length || a->mask_length != NULL);
}

// --- The form for Hopper ----------------------------------------------------------------

// wgmma for the sums of 64 rows and |columns|: |a| from shared memory or from registers; |b| with
// keys in its rows or in its columns.
static void wgmma(printer_t* p, const char* name, uint32_t columns, bool is_mix) {
  tvi_string_builder_t* to = &p->code->source;
  const char* type = p->attention->q.dtype == TRIVET_DTYPE_F16 ? "f16" : "bf16";
  const uint32_t count = columns / 2, a = count, b = is_mix ? a + 4 : a + 1;
  tvi_string_builder_appendf(
      to, "TV_DEVICE void %s(float (&d)[%u][4], %s, unsigned long long b, int add) {\n", name,
      columns / 8, is_mix ? "const unsigned (&a)[4]" : "unsigned long long a");
  tvi_string_builder_appendf(to,
                             "  asm volatile(\"{\\n.reg .pred p;\\nsetp.ne.b32 p, %%%u, 0;\\n"
                             "wgmma.mma_async.sync.aligned.m64n%uk16.f32.%s.%s {\"\n    \"",
                             b + 1, columns, type, type);
  for (uint32_t i = 0; i < count; ++i)
    tvi_string_builder_appendf(to, "%%%u%s%s", i, i + 1 < count ? ", " : "",
                               i % 16 == 15 ? "\"\n    \"" : "");
  if (is_mix) {
    tvi_string_builder_appendf(to, "}, {%%%u, %%%u, %%%u, %%%u}, %%%u, p, 1, 1, 1;\\n}\"\n", a,
                               a + 1, a + 2, a + 3, b);
  } else {
    tvi_string_builder_appendf(to, "}, %%%u, %%%u, p, 1, 1, 0, 0;\\n}\"\n", a, b);
  }
  for (uint32_t i = 0; i < columns / 8; ++i)
    tvi_string_builder_appendf(to,
                               "%s\"+f\"(d[%u][0]), \"+f\"(d[%u][1]), \"+f\"(d[%u][2]), "
                               "\"+f\"(d[%u][3])",
                               i ? ",\n        " : "      : ", i, i, i, i);
  tvi_string_builder_appendf(
      to, "\n      : %s, \"l\"(b), \"r\"(add));\n}\n",
      is_mix ? "\"r\"(a[0]), \"r\"(a[1]), \"r\"(a[2]), \"r\"(a[3])" : "\"l\"(a)");
}

// The map of an operand: component, row, head, batch, without those of one position. The operand's
// offset is part of the first coordinate, as the map begins where the operand does.
static void map(printer_t* p, const char* name, const tvi_attention_operand_t* operand,
                tvi_attention_role_t head, tvi_attention_role_t row, tvi_attention_role_t component,
                uint32_t rows) {
  tvi_dim_context_t* dims = p->region->graph->dims;
  const tvi_attention_t* a = p->attention;
  const tvi_attention_role_t roles[4] = {component, row, head, TVI_ATTENTION_B};
  static const char* const kCoordinates[4] = {"", "row", "head", "batch"};
  trivet_dim_t strides[TVI_ATTENTION_ROLES], offset;
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  if (!tvi_attention_strides(p->region, operand, strides, &offset)) {
    fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a stride of the attention overflows 64 bits"));
    return;
  }
  while (map.operand < p->code->operands.count && p->operands[map.operand] != operand->operand)
    ++map.operand;
  const uint32_t number = (uint32_t)p->code->maps.count;
  char field[16];
  snprintf(field, sizeof(field), "map%u", number);
  const tvi_cuda_argument_t added = {TVI_CUDA_ARGUMENT_MAP, number};
  tvi_string_builder_appendf(&p->signature, ", const __grid_constant__ tv_map %s", field);
  fail(p, tvi_vector_push(&p->code->arguments, added));
  tvi_string_builder_appendf(
      &p->boxes,
      "  auto bring_%s = [&](void* to, void* bar, int x, int row, int head, int batch) {\n"
      "    tv_box(%s, to, bar, x",
      name, field);
  if (!tvi_dim_equals_constant(offset, 0)) {
    snprintf(field, sizeof(field), "%s_x", name);
    const tvi_cuda_argument_t at = {TVI_CUDA_ARGUMENT_I32, parameter(p, offset)};
    tvi_string_builder_appendf(&p->signature, ", int %s", field);
    tvi_string_builder_appendf(&p->boxes, " + %s", field);
    fail(p, tvi_vector_push(&p->code->arguments, at));
  }
  for (uint32_t i = 0; i < 4; ++i) {
    trivet_dim_t extent = a->extents[roles[i]];
    // An engine of one dimension has other orders.
    if (i > 1 && tvi_dim_equals_constant(extent, 1)) continue;
    if (i == 0) extent = tvi_dim_binary(dims, TRIVET_DIM_ADD, extent, offset);
    // Nothing is brought where there is nothing.
    extent = tvi_dim_binary(dims, TRIVET_DIM_MAX, extent, dim_of(p, 1));
    const bool is_single = tvi_dim_equals_constant(a->extents[roles[i]], 1);
    map.extents[map.rank] = parameter(p, extent);
    map.strides[map.rank] = parameter(p, is_single ? dim_of(p, 64) : strides[roles[i]]);
    map.box[map.rank++] = i == 0 ? 64 : i == 1 ? rows : 1;
    if (i > 0) tvi_string_builder_appendf(&p->boxes, ", %s", kCoordinates[i]);
  }
  tvi_string_builder_append_cstr(&p->boxes, ");\n  };\n");
  fail(p, tvi_vector_push(&p->code->maps, map));
}

static void maps(printer_t* p) {
  const tvi_attention_t* a = p->attention;
  map(p, "q", &a->q, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_D, p->form->groups * 64);
  map(p, "k", &a->k, TVI_ATTENTION_G, TVI_ATTENTION_J, TVI_ATTENTION_D, p->form->bn);
  map(p, "v", &a->v, TVI_ATTENTION_G, TVI_ATTENTION_J, TVI_ATTENTION_E, p->form->bn);
}

typedef enum what_e { FORWARD, GATHER, FLASH } what_t;

static void entry(printer_t* p, tvi_cuda_launch_t* launch, const char* name, const char* suffix,
                  bool is_vector, what_t what, uint32_t grid) {
  const tvi_cuda_attention_form_t* f = p->form;
  tvi_cuda_variant_t* variant = &launch->variants[launch->variant_count++];
  snprintf(variant->name, sizeof(variant->name), "%s%s", name, suffix);
  variant->block = what == GATHER  ? GATHER_THREADS
                   : what == FLASH ? tvi_cuda_attention_threads(f)
                                   : 32 * f->wm * f->wn;
  variant->shared_bytes = what == GATHER  ? 0
                          : what == FLASH ? tvi_cuda_attention_shared_bytes(p->attention, f)
                                          : shared_bytes(p->attention, f);
  variant->grid = grid;
  variant->alignment = is_vector ? 16 : 1;
  tvi_string_builder_t* source = &p->code->source;
  tvi_string_builder_appendf(source, "\nextern \"C\" __global__ void __launch_bounds__(%u",
                             variant->block);
  if (is_vector && what != GATHER && f->resident)
    tvi_string_builder_appendf(source, ", %u", f->resident);
  tvi_string_builder_appendf(source, ") %s(%.*s) {\n", variant->name,
                             (int)tvi_string_builder_view(&p->signature).size,
                             tvi_string_builder_view(&p->signature).data);
  tvi_string_builder_append_cstr(source, "  TV_BEGIN();\n  tva_args a = {};\n");
  tvi_string_builder_append(source, tvi_string_builder_view(&p->fill));
  if (what == FLASH) {
    tvi_string_builder_append(source, tvi_string_builder_view(&p->boxes));
    tvi_string_builder_append_cstr(
        source, "  TV_MEMORY(memory);\n  tvf_forward(a, memory, bring_q, bring_k, bring_v);\n}\n");
    return;
  }
  tvi_string_builder_appendf(source,
                             what == GATHER
                                 ? "  tva_gather<%d>(a);\n}\n"
                                 : "  TVA_SHARED(shared);\n  tva_forward<%d>(a, shared);\n}\n",
                             is_vector);
}

static void launches(printer_t* p, const char* name) {
  const tvi_attention_t* a = p->attention;
  const tvi_cuda_attention_form_t* f = p->form;
  const sizes_t s = sizes_of(a, f);
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
    const what_t what = is_gather ? GATHER : FORWARD;
    if (p->is_vector)
      entry(p, &launch, name, is_gather ? "_join" : "", true, f->groups ? FLASH : what, grid);
    entry(p, &launch, name, is_gather ? "_join_any" : "_any", false, what, grid);
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
  tvi_string_builder_init(&p.boxes, allocator);
  tvi_vector_init(&out_code->maps, allocator);
  operands(&p);
  if (form->groups) maps(&p);
  tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_prelude);
  if (form->groups) {
    tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_matmul_text);
    tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_wgmma_text);
  }
  constants(&p);
  tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_attention_text);
  if (form->groups) {
    const sizes_t s = sizes_of(attention, form);
    tvi_string_builder_append_cstr(&out_code->source, "#ifndef TRIVET_EMULATION\n");
    wgmma(&p, "tva_wide_scores", form->bn, false);
    wgmma(&p, "tva_wide_mix", s.ep, true);
    tvi_string_builder_append_cstr(&out_code->source, "#endif\n");
    tvi_string_builder_append_cstr(&out_code->source, tvi_cuda_flash_text);
  }
  launches(&p, name);
  fail(&p, tvi_string_builder_status(&out_code->source));
  fail(&p, tvi_string_builder_status(&p.signature));
  fail(&p, tvi_string_builder_status(&p.fill));
  fail(&p, tvi_string_builder_status(&p.boxes));
  tvi_string_builder_deinit(&p.signature);
  tvi_string_builder_deinit(&p.fill);
  tvi_string_builder_deinit(&p.boxes);
  if (p.status) tvi_cuda_code_deinit(out_code);
  return p.status;
}
