// SPDX-License-Identifier: Apache-2.0
//
// Weights that a plugin reads itself: an array of an .npz file as NumPy's savez writes it (f32, in
// order, not compressed). The shape rule reads the array's header, folding reads its numbers while
// the plan is built; they lie in the plan then, and neither file nor plugin is needed to run it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/plugin.h"

typedef struct array_s {
  FILE* file;  // at the first number
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
} array_t;

static uint64_t little(const unsigned char* bytes, int count) {
  uint64_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

// "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
static const char* read_header(array_t* a, const char* text) {
  const char* shape = strstr(text, "'shape': (");
  if (!shape || !strstr(text, "'<f4'") || !strstr(text, "'fortran_order': False"))
    return "is not of f32 in order";
  a->rank = 0;
  for (const char* at = shape + strlen("'shape': ("); *at != ')';) {
    char* end;
    errno = 0;
    const long long extent = strtoll(at, &end, 10);
    if (end == at || errno || extent < 0 || a->rank == TRIVET_MAX_RANK)
      return "has a shape that is none";
    a->dims[a->rank++] = extent;
    for (at = end; *at == ',' || *at == ' ';) ++at;
  }
  return NULL;
}

// Goes from entry to entry; NULL, or what is wrong. |a->file| is to be closed in any case.
static const char* find(array_t* a, const char* path, const char* name) {
  unsigned char entry[30], start[10];
  char text[512], wanted[256];
  snprintf(wanted, sizeof(wanted), "%s.npy", name);
  a->file = fopen(path, "rb");
  if (!a->file) return strerror(errno);
  while (fread(entry, sizeof(entry), 1, a->file) == 1 && memcmp(entry, "PK\3\4", 4) == 0) {
    const uint64_t name_size = little(entry + 26, 2), extra_size = little(entry + 28, 2);
    uint64_t size = little(entry + 18, 4);
    unsigned char extra[64];
    if (name_size >= sizeof(text) || extra_size > sizeof(extra) ||
        fread(text, 1, name_size, a->file) != name_size ||
        fread(extra, 1, extra_size, a->file) != extra_size)
      return "is cut off";
    text[name_size] = 0;
    // Sizes of entries that are written as a stream: two numbers of 8 bytes, the second as stored.
    if (size == UINT32_MAX && extra_size >= 20 && little(extra, 2) == 1)
      size = little(extra + 12, 8);
    if (strcmp(text, wanted) != 0) {
      if (fseek(a->file, (long)size, SEEK_CUR) != 0) return "is cut off";
      continue;
    }
    if (little(entry + 8, 2) != 0) return "holds that array compressed";
    if (fread(start, sizeof(start), 1, a->file) != 1 || memcmp(start, "\x93NUMPY\1", 7) != 0)
      return "holds no array of that name";
    const uint64_t header_size = little(start + 8, 2);
    if (header_size >= sizeof(text) || fread(text, 1, header_size, a->file) != header_size)
      return "is cut off";
    text[header_size] = 0;
    return read_header(a, text);
  }
  return "holds no array of that name";
}

static const char* find_by(array_t* a, const trivet_attribute_t* file,
                           const trivet_attribute_t* array, char path[4096], char name[200]) {
  const trivet_string_view_t f = ((const trivet_string_view_t*)file->data)[0];
  const trivet_string_view_t n = ((const trivet_string_view_t*)array->data)[0];
  a->file = NULL;
  snprintf(path, 4096, "%.*s", (int)f.size, f.data);
  snprintf(name, 200, "%.*s", (int)n.size, n.data);
  return find(a, path, name);
}

static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  array_t a;
  char path[4096], name[200];
  trivet_dim_t dims[TRIVET_MAX_RANK];
  const char* wrong = find_by(&a, trivet_view_attribute(view, "file"),
                              trivet_view_attribute(view, "array"), path, name);
  if (a.file) fclose(a.file);
  if (wrong)
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_NOT_FOUND, "array '%s': %s %s", name, path, wrong);
  for (uint32_t d = 0; d < a.rank; ++d) dims[d] = trivet_view_dim(view, a.dims[d]);
  return trivet_view_set_output(view, 0, TRIVET_DTYPE_F32, a.rank, dims);
}

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* evaluation) {
  (void)op;
  array_t a;
  char path[4096], name[200];
  trivet_tensor_t* y = NULL;
  trivet_status_t status = NULL;
  const char* wrong = find_by(&a, evaluation->api->attribute(evaluation, "file"),
                              evaluation->api->attribute(evaluation, "array"), path, name);
  if (!wrong) status = evaluation->api->output(evaluation, 0, TRIVET_DTYPE_F32, a.rank, a.dims, &y);
  if (!status && y && fread(y->data, 1, y->size, a.file) != y->size) wrong = "is cut off";
  if (a.file) fclose(a.file);
  if (wrong && !status)
    return evaluation->api->error(evaluation, TRIVET_STATUS_NOT_FOUND, "array '%s': %s %s", name,
                                  path, wrong);
  return status;
}

TRIVET_OPERATOR_WITH(from_npz, "acme.FromNpz", 1, 0, "an array of an .npz file",
                     "op acme.FromNpz/1 () -> (y: f32[*])\nattr file: string\nattr array: string\n",
                     infer, 0, evaluate);

TRIVET_PLUGIN("from_npz", "1.0", "one operator", &from_npz)
