// SPDX-License-Identifier: Apache-2.0
//
// The .npy format (NumPy's "NPY format" document): a magic, a header that is a Python dict literal,
// the bytes of the array. Archives of them are in npz.c.

#include "core/base/npy.h"

#include <string.h>

#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/npy_internal.h"
#include "core/base/sink.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

typedef struct npy_header_t {
  trivet_dtype_t dtype;
  bool swapped;
  bool fortran_order;
  bool has_descr;
  bool has_order;
  bool has_shape;
  uint32_t rank;
  int64_t shape[TVI_NPY_MAX_RANK];
} npy_header_t;

static void skip_space(trivet_string_view_t* text) {
  while (text->size != 0 && (text->data[0] == ' ' || text->data[0] == '\n')) {
    *text = tvi_sv_slice(*text, 1, SIZE_MAX);
  }
}

// Takes `token` off the front; false when something else stands there.
static bool take(trivet_string_view_t* text, trivet_string_view_t token) {
  skip_space(text);
  if (!tvi_sv_starts_with(*text, token)) return false;
  *text = tvi_sv_slice(*text, token.size, SIZE_MAX);
  return true;
}

static trivet_status_t expect(trivet_string_view_t* text, const char* token) {
  if (take(text, tvi_sv(token))) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "npy header: '%s' expected before '" TVI_SV_FORMAT "'", token,
                       TVI_SV_ARGS(tvi_sv_slice(*text, 0, 20)));
}

static trivet_status_t parse_string(trivet_string_view_t* text, trivet_string_view_t* out_string) {
  char quote = take(text, TRIVET_SV("'")) ? '\'' : '"';
  if (quote == '"') TRIVET_RETURN_IF_ERROR(expect(text, "\""));
  size_t end = tvi_sv_find(*text, quote);
  if (end == SIZE_MAX) return TRIVET_STATUS(DATA_LOSS, "npy header: text without end");
  *out_string = tvi_sv_slice(*text, 0, end);
  *text = tvi_sv_slice(*text, end + 1, SIZE_MAX);
  return TRIVET_OK;
}

static trivet_status_t parse_descr(trivet_string_view_t descr, npy_header_t* header) {
  static const struct {
    char code[4];
    trivet_dtype_t dtype;
  } types[] = {
      {"f2", TRIVET_DTYPE_F16}, {"f4", TRIVET_DTYPE_F32},   {"f8", TRIVET_DTYPE_F64},
      {"i1", TRIVET_DTYPE_I8},  {"u1", TRIVET_DTYPE_U8},    {"i2", TRIVET_DTYPE_I16},
      {"u2", TRIVET_DTYPE_U16}, {"i4", TRIVET_DTYPE_I32},   {"u4", TRIVET_DTYPE_U32},
      {"i8", TRIVET_DTYPE_I64}, {"u8", TRIVET_DTYPE_U64},   {"b1", TRIVET_DTYPE_BOOL},
      {"c8", TRIVET_DTYPE_C64}, {"c16", TRIVET_DTYPE_C128}, {"V1", TRIVET_DTYPE_U8},
      {"V2", TRIVET_DTYPE_U16},
  };
  trivet_string_view_t code = tvi_sv_slice(descr, 1, SIZE_MAX);
  char order = descr.size != 0 ? descr.data[0] : '\0';
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i) {
    if (strchr("<>|=", order) == NULL || !tvi_sv_equal_cstr(code, types[i].code)) continue;
    header->dtype = types[i].dtype;
    header->swapped = order == '>' && code.data[0] != 'V' && tvi_dtype_bits(types[i].dtype) > 8;
    return TRIVET_OK;
  }
  return TRIVET_STATUS(UNIMPLEMENTED, "npy header: element type '" TVI_SV_FORMAT "'",
                       TVI_SV_ARGS(descr));
}

static trivet_status_t parse_shape(trivet_string_view_t* text, npy_header_t* header) {
  TRIVET_RETURN_IF_ERROR(expect(text, "("));
  while (!take(text, TRIVET_SV(")"))) {
    skip_space(text);
    size_t digits = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9') ++digits;
    int64_t extent;
    if (!tvi_sv_parse_i64(tvi_sv_slice(*text, 0, digits), &extent)) {
      return TRIVET_STATUS(DATA_LOSS, "npy header: bad extent at '" TVI_SV_FORMAT "'",
                           TVI_SV_ARGS(tvi_sv_slice(*text, 0, 20)));
    }
    if (header->rank == TVI_NPY_MAX_RANK) {
      return TRIVET_STATUS(UNIMPLEMENTED, "npy header: more than %d dimensions", TVI_NPY_MAX_RANK);
    }
    header->shape[header->rank++] = extent;
    *text = tvi_sv_slice(*text, digits, SIZE_MAX);
    // Written by Python 2, extents may end in L.
    (void)take(text, TRIVET_SV("L"));
    if (!take(text, TRIVET_SV(","))) {
      TRIVET_RETURN_IF_ERROR(expect(text, ")"));
      break;
    }
  }
  header->has_shape = true;
  return TRIVET_OK;
}

static trivet_status_t parse_item(trivet_string_view_t* text, npy_header_t* header) {
  trivet_string_view_t key;
  TRIVET_RETURN_IF_ERROR(parse_string(text, &key));
  TRIVET_RETURN_IF_ERROR(expect(text, ":"));
  if (tvi_sv_equal(key, TRIVET_SV("descr")) && !header->has_descr) {
    skip_space(text);
    if (text->size != 0 && text->data[0] == '[') {
      return TRIVET_STATUS(UNIMPLEMENTED, "npy header: records of several fields");
    }
    trivet_string_view_t descr;
    TRIVET_RETURN_IF_ERROR(parse_string(text, &descr));
    header->has_descr = true;
    return parse_descr(descr, header);
  }
  if (tvi_sv_equal(key, TRIVET_SV("fortran_order")) && !header->has_order) {
    header->has_order = true;
    header->fortran_order = take(text, TRIVET_SV("True"));
    return header->fortran_order ? TRIVET_OK : expect(text, "False");
  }
  if (tvi_sv_equal(key, TRIVET_SV("shape")) && !header->has_shape) {
    return parse_shape(text, header);
  }
  return TRIVET_STATUS(DATA_LOSS, "npy header: unexpected key '" TVI_SV_FORMAT "'",
                       TVI_SV_ARGS(key));
}

static trivet_status_t parse_header(trivet_string_view_t text, npy_header_t* header) {
  TRIVET_RETURN_IF_ERROR(expect(&text, "{"));
  while (!take(&text, TRIVET_SV("}"))) {
    TRIVET_RETURN_IF_ERROR(parse_item(&text, header));
    if (!take(&text, TRIVET_SV(","))) {
      TRIVET_RETURN_IF_ERROR(expect(&text, "}"));
      break;
    }
  }
  skip_space(&text);
  if (text.size != 0 || !header->has_descr || !header->has_order || !header->has_shape) {
    return TRIVET_STATUS(DATA_LOSS, "npy header: descr, fortran_order and shape expected");
  }
  return TRIVET_OK;
}

// Rewrites an array in native byte order and C order.
static trivet_status_t rewrite(const npy_header_t* header, const uint8_t* source, size_t size,
                               int64_t count, tvi_arena_t* arena, const void** out_data) {
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, size, 64, &data));
  size_t width = tvi_dtype_bytes(header->dtype);
  // The two parts of a complex number are swapped each for itself.
  size_t part = tvi_dtype_is_complex(header->dtype) ? width / 2 : width;
  int64_t index[TVI_NPY_MAX_RANK] = {0};
  for (int64_t i = 0; i < count; ++i) {
    uint64_t from = (uint64_t)i;
    if (header->fortran_order) {
      from = 0;
      for (uint32_t d = header->rank; d > 0; --d) {
        from = from * (uint64_t)header->shape[d - 1] + (uint64_t)index[d - 1];
      }
      for (uint32_t d = header->rank; d > 0; --d) {
        if (++index[d - 1] < header->shape[d - 1]) break;
        index[d - 1] = 0;
      }
    }
    for (size_t b = 0; b < width; ++b) {
      size_t at = header->swapped ? b / part * part + (part - 1 - b % part) : b;
      data[(uint64_t)i * width + b] = source[from * width + at];
    }
  }
  *out_data = data;
  return TRIVET_OK;
}

trivet_status_t tvi_npy_parse(const void* bytes, size_t size, tvi_arena_t* arena,
                              tvi_npy_array_t* out_array) {
  tvi_byte_reader_t reader = tvi_byte_reader_make(bytes, size, "npy");
  const uint8_t* magic;
  uint8_t major;
  uint8_t minor;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, 6, &magic));
  if (memcmp(magic, TVI_NPY_MAGIC, 6) != 0) {
    return TRIVET_STATUS(DATA_LOSS, "npy: the file does not begin with \\x93NUMPY");
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(&reader, &major));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(&reader, &minor));
  if (major < 1 || major > 3) {
    return TRIVET_STATUS(INCOMPATIBLE, "npy: version %u.%u, known are 1 to 3", major, minor);
  }
  uint32_t header_size;
  if (major == 1) {
    uint16_t short_size;
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(&reader, &short_size));
    header_size = short_size;
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(&reader, &header_size));
  }
  const uint8_t* header_text;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, header_size, &header_text));
  npy_header_t header;
  memset(&header, 0, sizeof(header));
  TRIVET_RETURN_IF_ERROR(parse_header(tvi_sv_make((const char*)header_text, header_size), &header));

  int64_t count;
  size_t data_size;
  if (!tvi_checked_element_count(header.shape, header.rank, &count)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "npy: the shape has too many elements");
  }
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(header.dtype, count, &data_size));
  const uint8_t* data;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(&reader, data_size, &data));
  tvi_npy_array_t array;
  memset(&array, 0, sizeof(array));
  array.dtype = header.dtype;
  array.rank = header.rank;
  memcpy(array.shape, header.shape, sizeof(array.shape));
  array.data = data;
  array.size = data_size;
  if (header.swapped || (header.fortran_order && header.rank > 1)) {
    TRIVET_RETURN_IF_ERROR(rewrite(&header, data, data_size, count, arena, &array.data));
  }
  *out_array = array;
  return TRIVET_OK;
}

static trivet_status_t read_mapped(const tvi_file_mapping_t* file, tvi_arena_t* arena,
                                   tvi_npy_array_t** out_arrays, size_t* out_count) {
  tvi_npy_array_t* arrays = NULL;
  size_t count = 1;
  if (file->size >= 6 && memcmp(file->data, TVI_NPY_MAGIC, 6) == 0) {
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*arrays), &arrays));
    TRIVET_RETURN_IF_ERROR(tvi_npy_parse(file->data, file->size, arena, arrays));
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_npz_parse(file->data, file->size, arena, &arrays, &count));
  }
  // The mapping ends with this call.
  for (size_t i = 0; i < count; ++i) {
    void* copy = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, arrays[i].size, 64, &copy));
    if (arrays[i].size != 0) memcpy(copy, arrays[i].data, arrays[i].size);
    arrays[i].data = copy;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, arrays[i].name, &arrays[i].name));
  }
  *out_arrays = arrays;
  *out_count = count;
  return TRIVET_OK;
}

trivet_status_t tvi_npy_read_file(const char* path, tvi_arena_t* arena,
                                  tvi_npy_array_t** out_arrays, size_t* out_count) {
  tvi_file_mapping_t* file = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_map(path, 0, TVI_FILE_TO_END, arena->allocator, &file));
  trivet_status_t status = read_mapped(file, arena, out_arrays, out_count);
  tvi_file_mapping_release(file);
  return trivet_status_annotate(status, "'%s'", path);
}

static const char* descr_of(trivet_dtype_t dtype) {
  switch (dtype) {
    case TRIVET_DTYPE_F32:
      return "<f4";
    case TRIVET_DTYPE_F16:
      return "<f2";
    case TRIVET_DTYPE_F64:
      return "<f8";
    case TRIVET_DTYPE_I8:
      return "|i1";
    case TRIVET_DTYPE_I16:
      return "<i2";
    case TRIVET_DTYPE_BF16:
    case TRIVET_DTYPE_U16:
      return "<u2";
    case TRIVET_DTYPE_I32:
      return "<i4";
    case TRIVET_DTYPE_U32:
      return "<u4";
    case TRIVET_DTYPE_I64:
      return "<i8";
    case TRIVET_DTYPE_U64:
      return "<u8";
    case TRIVET_DTYPE_BOOL:
      return "|b1";
    case TRIVET_DTYPE_C64:
      return "<c8";
    case TRIVET_DTYPE_C128:
      return "<c16";
    case TRIVET_DTYPE_U8:
    case TRIVET_DTYPE_F8E4M3FN:
    case TRIVET_DTYPE_F8E4M3FNUZ:
    case TRIVET_DTYPE_F8E5M2:
    case TRIVET_DTYPE_F8E5M2FNUZ:
    case TRIVET_DTYPE_F8E8M0:
      return "|u1";
    default:
      return NULL;
  }
}

trivet_status_t tvi_npy_write_header(const tvi_npy_array_t* array, tvi_byte_writer_t* writer) {
  const char* descr = descr_of(array->dtype);
  if (descr == NULL) {
    return TRIVET_STATUS(UNIMPLEMENTED, "npy: element type %s cannot be written",
                         tvi_dtype_name(array->dtype));
  }
  int64_t count;
  size_t size;
  if (array->rank > TVI_NPY_MAX_RANK ||
      !tvi_checked_element_count(array->shape, array->rank, &count)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "npy: bad shape");
  }
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(array->dtype, count, &size));
  if (size != array->size) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "npy: the shape takes %zu bytes, %zu are given", size,
                         array->size);
  }
  tvi_byte_writer_bytes(writer, TVI_NPY_MAGIC "\x01\x00\x00\x00", 10);
  tvi_string_builder_t* text = &writer->bytes;
  tvi_string_builder_appendf(text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (uint32_t d = 0; d < array->rank; ++d) {
    tvi_string_builder_appendf(text, d == 0 ? "%lld" : " %lld", (long long)array->shape[d]);
    if (d + 1 < array->rank || array->rank == 1) tvi_string_builder_append_char(text, ',');
  }
  tvi_string_builder_append_cstr(text, "), }");
  // Blanks and a line feed bring the data to a multiple of 64.
  tvi_string_builder_append_repeated(text, ' ', 63 - tvi_byte_writer_size(writer) % 64);
  tvi_string_builder_append_char(text, '\n');
  TRIVET_RETURN_IF_ERROR(tvi_byte_writer_status(writer));
  tvi_store_u16(text->data + 8, (uint16_t)(tvi_byte_writer_size(writer) - 10));
  return TRIVET_OK;
}

trivet_status_t tvi_npy_write(const tvi_npy_array_t* array, trivet_sink_t sink,
                              trivet_allocator_t allocator) {
  tvi_byte_writer_t header;
  tvi_byte_writer_init(&header, allocator);
  trivet_status_t status = tvi_npy_write_header(array, &header);
  if (status == NULL) {
    status = tvi_sink_write(sink, tvi_byte_writer_data(&header), tvi_byte_writer_size(&header));
  }
  if (status == NULL) status = tvi_sink_write(sink, array->data, array->size);
  tvi_byte_writer_deinit(&header);
  return status;
}
