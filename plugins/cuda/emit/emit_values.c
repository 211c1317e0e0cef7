// SPDX-License-Identifier: Apache-2.0
//
// What stands for the values of a program in C: types of registers and of memory, parameters,
// pointers and constants. Below emit_body.c, which prints what is done with them.
#include <math.h>
#include <stdio.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT

void tvi_cuda_fail(tvi_cuda_printer_t* p, trivet_status_t status) {
  if (p->status) {
    trivet_status_free(status);
  } else {
    p->status = status;
  }
}

// ---------------------------------------------------------------------------------------------
// Types
// ---------------------------------------------------------------------------------------------

tvi_cuda_kind_t tvi_cuda_kind(uint32_t dtype) {
  if (dtype == TRIVET_DTYPE_BOOL) return TVI_CUDA_BOOLEAN;
  if (dtype == TRIVET_DTYPE_F64) return TVI_CUDA_DOUBLE;
  if (dtype == TRIVET_DTYPE_F32) return TVI_CUDA_FLOAT;
  if (tvi_dtype_is_float(dtype)) return TVI_CUDA_SMALL_FLOAT;
  const bool is_signed = tvi_dtype_is_signed_integer(dtype);
  switch (tvi_dtype_bits(dtype)) {
    case 64:
      return is_signed ? TVI_CUDA_LONG : TVI_CUDA_ULONG;
    case 32:
      return is_signed ? TVI_CUDA_INT : TVI_CUDA_UINT;
    default:
      return is_signed ? TVI_CUDA_NARROW : TVI_CUDA_NARROW_U;
  }
}

const char* tvi_cuda_register_type(uint32_t dtype) {
  static const char* const types[] = {"float",    "float",     "double",
                                      "int",      "unsigned",  "int",
                                      "unsigned", "long long", "unsigned long long",
                                      "bool"};
  return types[tvi_cuda_kind(dtype)];
}

const char* tvi_cuda_storage_type(uint32_t dtype) {
  switch (dtype) {
    case TRIVET_DTYPE_F16:
      return "tv_f16";
    case TRIVET_DTYPE_BF16:
      return "tv_bf16";
    case TRIVET_DTYPE_F8E4M3FN:
      return "tv_f8e4m3fn";
    case TRIVET_DTYPE_F8E4M3FNUZ:
      return "tv_f8e4m3fnuz";
    case TRIVET_DTYPE_F8E5M2:
      return "tv_f8e5m2";
    case TRIVET_DTYPE_F8E5M2FNUZ:
      return "tv_f8e5m2fnuz";
    case TRIVET_DTYPE_F8E8M0:
      return "tv_f8e8m0";
    case TRIVET_DTYPE_F4E2M1:
      return "tv_f4e2m1";
    case TRIVET_DTYPE_BOOL:
      return "tv_bool";
    case TRIVET_DTYPE_I8:
      return "signed char";
    case TRIVET_DTYPE_I16:
      return "short";
    case TRIVET_DTYPE_U16:
      return "unsigned short";
    default:
      return tvi_dtype_bits(dtype) <= 8 ? "unsigned char" : tvi_cuda_register_type(dtype);
  }
}

// Temporaries keep the precision that they were computed in; packed ones get bytes.
uint32_t tvi_cuda_stored_dtype(const tvi_kir_value_t* value) {
  if (value->kind != TVI_KIR_TEMP) return value->dtype;
  switch (tvi_cuda_kind(value->dtype)) {
    case TVI_CUDA_SMALL_FLOAT:
      return TRIVET_DTYPE_F32;
    case TVI_CUDA_NARROW:
      return tvi_dtype_bits(value->dtype) < 8 ? TRIVET_DTYPE_I8 : value->dtype;
    case TVI_CUDA_NARROW_U:
      return tvi_dtype_bits(value->dtype) < 8 ? TRIVET_DTYPE_U8 : value->dtype;
    default:
      return value->dtype;
  }
}

// ---------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------

uint32_t tvi_cuda_parameter(tvi_cuda_printer_t* p, trivet_dim_t dim) {
  if (!dim) {
    tvi_cuda_fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a size overflows 64 bits"));
    return 0;
  }
  for (size_t i = 0; i < p->code->parameters.count; ++i)
    if (p->code->parameters.data[i] == dim) return (uint32_t)i;
  trivet_status_t status = tvi_vector_push(&p->code->parameters, dim);
  if (status) {
    tvi_cuda_fail(p, status);
    return 0;
  }
  return (uint32_t)p->code->parameters.count - 1;
}

void tvi_cuda_add_argument(tvi_cuda_printer_t* p, uint32_t kind, uint32_t index) {
  for (size_t i = 0; i < p->arguments.count; ++i)
    if (p->arguments.data[i].kind == kind && p->arguments.data[i].index == index) return;
  tvi_cuda_argument_t argument = {kind, index};
  trivet_status_t status = tvi_vector_push(&p->arguments, argument);
  if (status) tvi_cuda_fail(p, status);
}

static void print_integer(tvi_cuda_printer_t* p, int64_t value) {
  if (value >= INT32_MIN + 1 && value <= INT32_MAX) {
    P(p, value < 0 ? "(%lld)" : "%lld", (long long)value);
  } else if (value == INT64_MIN) {
    P(p, "(-9223372036854775807ll - 1)");
  } else {
    P(p, "(%lldll)", (long long)value);
  }
}

void tvi_cuda_print_dim(tvi_cuda_printer_t* p, trivet_dim_t dim) {
  int64_t value, low, high;
  if (dim && tvi_dim_is_constant(dim, &value)) {
    print_integer(p, value);
    return;
  }
  const uint32_t number = tvi_cuda_parameter(p, dim);
  if (!dim) return;
  tvi_dim_range(p->program->dims, dim, &low, &high);
  const bool is_short = low >= INT32_MIN && high <= INT32_MAX;
  tvi_cuda_add_argument(p, is_short ? TVI_CUDA_ARGUMENT_I32 : TVI_CUDA_ARGUMENT_I64, number);
  P(p, "n%u", number);
}

void tvi_cuda_print_pointer(tvi_cuda_printer_t* p, uint32_t value) {
  if (p->program->values[value].kind == TVI_KIR_TEMP) {
    const uint32_t offset = tvi_cuda_parameter(p, p->workspace_offsets[value]);
    tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, offset);
    P(p, "((%s*)w%u)", tvi_cuda_storage_type(tvi_cuda_stored_dtype(&p->program->values[value])),
      offset);
  } else {
    tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_OPERAND, p->operand_of_value[value]);
    P(p, "p%u", p->operand_of_value[value]);
  }
}

void tvi_cuda_print_ref(tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref) {
  P(p, "a%u_%u", stage, ref);
}

// ---------------------------------------------------------------------------------------------
// Constants
// ---------------------------------------------------------------------------------------------

static void print_float(tvi_cuda_printer_t* p, uint32_t dtype, double value) {
  char text[TVI_NUMBER_TEXT_SIZE];
  const bool is_double = dtype == TRIVET_DTYPE_F64;
  if (!is_double) value = (double)(float)value;
  if (isnan(value) || isinf(value)) {
    const char* bits = isnan(value) ? "7fc00000u" : value > 0 ? "7f800000u" : "ff800000u";
    P(p, is_double ? "(double)tv_from_bits(0x%s)" : "tv_from_bits(0x%s)", bits);
    return;
  }
  if (is_double) {
    tvi_format_f64(value, text);
    P(p, "%s", text);
  } else {
    tvi_format_f32((float)value, text);
    P(p, "%sf", text);
  }
}

void tvi_cuda_print_constant(tvi_cuda_printer_t* p, uint32_t dtype, tvi_kir_scalar_t value) {
  switch (tvi_cuda_kind(dtype)) {
    case TVI_CUDA_SMALL_FLOAT:
    case TVI_CUDA_FLOAT:
    case TVI_CUDA_DOUBLE:
      print_float(p, dtype, value.f);
      break;
    case TVI_CUDA_BOOLEAN:
      P(p, value.i ? "true" : "false");
      break;
    case TVI_CUDA_ULONG:
      P(p, "%lluull", (unsigned long long)value.i);
      break;
    case TVI_CUDA_UINT:
    case TVI_CUDA_NARROW_U:
      P(p, "%uu", (unsigned)value.i);
      break;
    case TVI_CUDA_INT:
      if (value.i == INT32_MIN) {
        P(p, "(-2147483647 - 1)");
        break;
      }
      print_integer(p, value.i);
      break;
    default:
      print_integer(p, value.i);
  }
}

// Brackets around what brings a wide register value back to a narrow integer type.
const char* tvi_cuda_wrap_open(uint32_t dtype) {
  switch (dtype) {
    case TRIVET_DTYPE_I8:
      return "(int)(signed char)(";
    case TRIVET_DTYPE_U8:
      return "(unsigned)(unsigned char)(";
    case TRIVET_DTYPE_I16:
      return "(int)(short)(";
    case TRIVET_DTYPE_U16:
      return "(unsigned)(unsigned short)(";
    case TRIVET_DTYPE_I4:
      return "tv_sign<4>((unsigned)(";
    case TRIVET_DTYPE_U4:
      return "(15u & (unsigned)(";
    case TRIVET_DTYPE_I2:
      return "tv_sign<2>((unsigned)(";
    case TRIVET_DTYPE_U2:
      return "(3u & (unsigned)(";
    default:
      return "(";
  }
}
const char* tvi_cuda_wrap_close(uint32_t dtype) { return tvi_dtype_bits(dtype) < 8 ? "))" : ")"; }
