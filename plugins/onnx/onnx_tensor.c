// SPDX-License-Identifier: Apache-2.0
//
// Tensors of an ONNX file. Raw and external data become views into mapped files; typed data fields
// are converted to dense bytes in scratch memory. Every length is checked against type and shape
// before a byte is read.
#include <stdio.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

#define MAX_FILLED_IN ((uint64_t)1 << 28)
#define DETAIL(onnx, code, what, ...) tensor_error((onnx), (code), (what), __VA_ARGS__)

static trivet_status_t tensor_error(const tvi_onnx_t* onnx, uint32_t code, const char* what,
                                    const char* format, ...) TRIVET_PRINTF_FORMAT(4, 5);

static trivet_status_t tensor_error(const tvi_onnx_t* onnx, uint32_t code, const char* what,
                                    const char* format, ...) {
  char text[640];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return tvi_onnx_error(onnx, code, "%.200s: %s", what, text);
}

// Fills type and shape of |out| and the size that they ask for.
static trivet_status_t shape_of(const tvi_onnx_t* onnx, const char* what, int32_t onnx_type,
                                const int64_t* dims, size_t rank, trivet_tensor_t* out,
                                uint64_t* out_count) {
  memset(out, 0, sizeof *out);
  out->dtype = tvi_onnx_dtype(onnx_type);
  uint32_t bits = tvi_onnx_dtype_bits(out->dtype);
  if (bits == 0) {
    return DETAIL(onnx, TRIVET_STATUS_UNIMPLEMENTED, what, "element type %s (%d) is not read",
                  tvi_onnx_dtype_name(onnx_type), (int)onnx_type);
  }
  if (rank > TRIVET_MAX_RANK) {
    return DETAIL(onnx, TRIVET_STATUS_OUT_OF_RANGE, what, "%zu dimensions; at most %d are possible",
                  rank, TRIVET_MAX_RANK);
  }
  out->rank = (uint32_t)rank;
  int64_t count = 1;
  uint32_t empty = 0;
  for (size_t i = 0; i < rank; ++i) {
    if (dims[i] < 0) {
      return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what, "dimension %zu is %lld", i,
                    (long long)dims[i]);
    }
    out->dims[i] = dims[i];
    if (dims[i] == 0) {
      empty = 1;
    } else if (__builtin_mul_overflow(count, dims[i], &count) || count > INT64_MAX / 128) {
      return DETAIL(onnx, TRIVET_STATUS_OUT_OF_RANGE, what,
                    "the number of elements does not fit into 64 bits");
    }
  }
  *out_count = empty ? 0 : (uint64_t)count;
  out->size = (*out_count * bits + 7) / 8;
  return NULL;
}

static trivet_status_t external(tvi_onnx_t* onnx, const Onnx__TensorProto* proto, const char* what,
                                trivet_tensor_t* out) {
  const char* location = NULL;
  uint64_t offset = 0, length = out->size;
  for (size_t i = 0; i < proto->n_external_data; ++i) {
    const char* key = tvi_onnx_text(proto->external_data[i]->key);
    const char* value = tvi_onnx_text(proto->external_data[i]->value);
    if (strcmp(key, "location") == 0) location = value;
    uint64_t* number = strcmp(key, "offset") == 0   ? &offset
                       : strcmp(key, "length") == 0 ? &length
                                                    : NULL;
    if (number == NULL) continue;
    uint64_t parsed = 0;
    const char* c = value;
    for (; *c >= '0' && *c <= '9'; ++c) {
      if (__builtin_mul_overflow(parsed, (uint64_t)10, &parsed) ||
          __builtin_add_overflow(parsed, (uint64_t)(*c - '0'), &parsed))
        break;
    }
    if (c == value || *c != 0) {
      return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what,
                    "external data: %s '%.40s' is not a number", key, value);
    }
    *number = parsed;
  }
  if (location == NULL || location[0] == 0) {
    return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what, "external data without a location");
  }
  if (length != out->size) {
    return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what,
                  "external data in '%.200s': length is %llu, type and shape ask for %llu bytes",
                  location, (unsigned long long)length, (unsigned long long)out->size);
  }
  const uint8_t* bytes = NULL;
  uint64_t size = 0;
  TVI_ONNX_RETURN_IF_ERROR(
      onnx->source->api->open(onnx->source, tvi_onnx_view(location), &bytes, &size));
  if (offset > size || length > size - offset) {
    return DETAIL(
        onnx, TRIVET_STATUS_DATA_LOSS, what,
        "external data in '%.200s': %llu bytes at offset %llu are asked for, the file has %llu",
        location, (unsigned long long)length, (unsigned long long)offset, (unsigned long long)size);
  }
  out->data = (void*)(uintptr_t)(bytes + offset);
  return NULL;
}

static size_t typed_fields(const Onnx__TensorProto* proto) {
  return proto->n_float_data + proto->n_int32_data + proto->n_int64_data + proto->n_double_data +
         proto->n_uint64_data + proto->n_string_data;
}

// Converts the typed field that the element type calls for.
static trivet_status_t typed(tvi_onnx_t* onnx, const Onnx__TensorProto* proto, const char* what,
                             uint64_t count, trivet_tensor_t* out) {
  const char* field = "int32_data";
  const void* source = proto->int32_data;
  uint64_t have = proto->n_int32_data, want = count;
  uint32_t from = 4, to = tvi_onnx_dtype_bits(out->dtype) / 8;
  switch (out->dtype) {
    case TRIVET_DTYPE_F32:
    case TRIVET_DTYPE_C64:
      field = "float_data", source = proto->float_data, have = proto->n_float_data;
      want = out->size / 4, to = 4;
      break;
    case TRIVET_DTYPE_F64:
    case TRIVET_DTYPE_C128:
      field = "double_data", source = proto->double_data, have = proto->n_double_data;
      want = out->size / 8, from = to = 8;
      break;
    case TRIVET_DTYPE_I64:
      field = "int64_data", source = proto->int64_data, have = proto->n_int64_data, from = 8;
      break;
    case TRIVET_DTYPE_U32:
    case TRIVET_DTYPE_U64:
      field = "uint64_data", source = proto->uint64_data, have = proto->n_uint64_data, from = 8;
      break;
    case TRIVET_DTYPE_F4E2M1:
    case TRIVET_DTYPE_I4:
    case TRIVET_DTYPE_U4:
    case TRIVET_DTYPE_I2:
    case TRIVET_DTYPE_U2:
      // One number holds one byte of packed elements.
      want = out->size, to = 1;
      break;
    default:
      break;
  }
  if (have != want || typed_fields(proto) != have) {
    return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what,
                  "%s holds %llu elements (%zu in all data fields), type %s and shape ask for %llu",
                  field, (unsigned long long)have, typed_fields(proto),
                  tvi_onnx_dtype_name(proto->data_type), (unsigned long long)want);
  }
  if (from == to) {
    out->data = (void*)(uintptr_t)source;
    return NULL;
  }
  uint8_t* data = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, want, to, &data));
  // Narrowing keeps the low bytes: that is how f16, bf16, 8-bit floats, bool and packed types are
  // stored in wider fields.
  for (uint64_t i = 0; i < want; ++i) memcpy(data + i * to, (const uint8_t*)source + i * from, to);
  out->data = data;
  return NULL;
}

trivet_status_t tvi_onnx_tensor(tvi_onnx_t* onnx, const Onnx__TensorProto* proto, const char* what,
                                trivet_tensor_t* out_tensor, uint32_t* out_flags) {
  trivet_tensor_t tensor;
  uint64_t count = 0;
  TVI_ONNX_RETURN_IF_ERROR(
      shape_of(onnx, what, proto->data_type, proto->dims, proto->n_dims, &tensor, &count));
  if (proto->segment != NULL)
    return DETAIL(onnx, TRIVET_STATUS_UNIMPLEMENTED, what, "data in segments is not read");
  uint32_t flags = TRIVET_CONSTANT_VIEW;
  if (proto->has_data_location &&
      proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
    TVI_ONNX_RETURN_IF_ERROR(external(onnx, proto, what, &tensor));
  } else if (proto->has_raw_data) {
    tvi_onnx_raw_t raw;
    if (proto->raw_data.len != sizeof raw)
      return DETAIL(onnx, TRIVET_STATUS_INTERNAL, what, "raw data was not stripped");
    memcpy(&raw, proto->raw_data.data, sizeof raw);
    if (raw.size != tensor.size || typed_fields(proto) != 0) {
      return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what,
                    "raw_data holds %llu bytes, type %s and shape ask for %llu%s",
                    (unsigned long long)raw.size, tvi_onnx_dtype_name(proto->data_type),
                    (unsigned long long)tensor.size,
                    typed_fields(proto) != 0 ? "; a typed data field is given too" : "");
    }
    tensor.data = (void*)(uintptr_t)(onnx->bytes + raw.offset);
  } else {
    TVI_ONNX_RETURN_IF_ERROR(typed(onnx, proto, what, count, &tensor));
    flags = TRIVET_CONSTANT_COPY;
  }
  *out_tensor = tensor;
  *out_flags = flags;
  return NULL;
}

trivet_status_t tvi_onnx_sparse_tensor(tvi_onnx_t* onnx, const Onnx__SparseTensorProto* proto,
                                       const char* what, trivet_tensor_t* out_tensor) {
  if (proto->values == NULL || proto->indices == NULL) {
    return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what, "a sparse tensor needs values and indices");
  }
  trivet_tensor_t values, indices, dense;
  uint32_t flags;
  uint64_t count = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_tensor(onnx, proto->values, what, &values, &flags));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_tensor(onnx, proto->indices, what, &indices, &flags));
  TVI_ONNX_RETURN_IF_ERROR(
      shape_of(onnx, what, proto->values->data_type, proto->dims, proto->n_dims, &dense, &count));
  uint32_t bits = tvi_onnx_dtype_bits(values.dtype);
  if (bits % 8 != 0)
    return DETAIL(onnx, TRIVET_STATUS_UNIMPLEMENTED, what,
                  "sparse tensors of packed types are not read");
  uint32_t linear = indices.rank == 1;
  if (values.rank != 1 || indices.dtype != TRIVET_DTYPE_I64 || indices.rank < 1 ||
      indices.rank > 2 || indices.dims[0] != values.dims[0] ||
      (!linear && indices.dims[1] != (int64_t)dense.rank)) {
    return DETAIL(
        onnx, TRIVET_STATUS_DATA_LOSS, what,
        "values of shape [NNZ] and int64 indices of shape [NNZ] or [NNZ, rank] are asked for");
  }
  // A few bytes can announce a huge tensor, and here it would really be made.
  if (dense.size > MAX_FILLED_IN) {
    return DETAIL(onnx, TRIVET_STATUS_OUT_OF_RANGE, what,
                  "a sparse tensor would take %llu bytes when filled in",
                  (unsigned long long)dense.size);
  }
  uint8_t* data = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, dense.size, 1, &data));
  uint64_t width = bits / 8;
  for (int64_t i = 0; i < values.dims[0]; ++i) {
    uint64_t position = 0;
    for (uint32_t d = 0; d < (linear ? 1 : dense.rank); ++d) {
      int64_t index;
      memcpy(&index, (const uint8_t*)indices.data + 8 * (uint64_t)(linear ? i : i * dense.rank + d),
             8);
      uint64_t extent = linear ? count : (uint64_t)dense.dims[d];
      if (index < 0 || (uint64_t)index >= extent) {
        return DETAIL(onnx, TRIVET_STATUS_DATA_LOSS, what, "sparse index %lld lies outside 0..%llu",
                      (long long)index, (unsigned long long)extent);
      }
      position = position * extent + (uint64_t)index;
    }
    memcpy(data + position * width, (const uint8_t*)values.data + (uint64_t)i * width, width);
  }
  dense.data = data;
  *out_tensor = dense;
  return NULL;
}

trivet_status_t tvi_onnx_add_constant(tvi_onnx_t* onnx, const char* name,
                                      const trivet_tensor_t* tensor, uint32_t flags,
                                      trivet_value_t* out_value) {
  TVI_ONNX_RETURN_IF_ERROR(onnx->builder->api->add_constant(onnx->builder, tvi_onnx_view(name),
                                                            tensor, flags, out_value));
  ++onnx->constant_count;
  *(flags == TRIVET_CONSTANT_VIEW ? &onnx->viewed_bytes : &onnx->copied_bytes) += tensor->size;
  return NULL;
}
