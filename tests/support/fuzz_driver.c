// SPDX-License-Identifier: Apache-2.0
//
// A main for fuzz targets built without libFuzzer: it runs the target over the files named on the
// command line (folders are read one level deep), so that every seed and every input that once
// failed is an ordinary test under any compiler. It must not judge: a target that returns has
// passed.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

static int run_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  size_t size = 0, capacity = 1 << 16;
  uint8_t* bytes = malloc(capacity);
  for (size_t got; bytes != NULL && (got = fread(bytes + size, 1, capacity - size, file)) > 0;) {
    size += got;
    if (size == capacity) {
      capacity *= 2;
      uint8_t* grown = realloc(bytes, capacity);
      if (grown == NULL) free(bytes);
      bytes = grown;
    }
  }
  fclose(file);
  if (bytes == NULL) {
    fprintf(stderr, "%s: out of memory\n", path);
    return 1;
  }
  // A block of exactly the input's size, so that AddressSanitizer sees a read one byte past it.
  uint8_t* exact = realloc(bytes, size > 0 ? size : 1);
  LLVMFuzzerTestOneInput(exact != NULL ? exact : bytes, size);
  free(exact != NULL ? exact : bytes);
  return 0;
}

int main(int argc, char** argv) {
  int files = 0, failed = 0;
  for (int i = 1; i < argc; ++i) {
    struct stat info;
    if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
      DIR* folder = opendir(argv[i]);
      for (struct dirent* entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) continue;
        failed += run_file(path);
        ++files;
      }
      if (folder != NULL) closedir(folder);
    } else {
      failed += run_file(argv[i]);
      ++files;
    }
  }
  // Nothing given: the empty input, so that the target is run at all.
  if (files == 0) LLVMFuzzerTestOneInput((const uint8_t*)"", 0);
  printf("%d inputs, %d unreadable\n", files, failed);
  return failed == 0 ? 0 : 1;
}
