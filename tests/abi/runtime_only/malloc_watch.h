// SPDX-License-Identifier: Apache-2.0
//
// Who takes memory past the caller's allocator: while a watch is on, every call of the C library's
// allocation functions is attributed to the shared object that made it. For programs of this
// folder; what it finds is theirs to judge.
#ifndef TRIVET_TESTS_ABI_RUNTIME_ONLY_MALLOC_WATCH_H_
#define TRIVET_TESTS_ABI_RUNTIME_ONLY_MALLOC_WATCH_H_

typedef struct malloc_watch_s {
  long direct;       // calls that code of the watched objects made
  long through;      // ... that the C library made on its behalf (threads, sorting, files)
  long bytes;        // of both
  char example[96];  // object and offset of the first direct one, for addr2line
} malloc_watch_t;

// 0: built with a sanitizer that has an allocator of its own; nothing can be seen.
int malloc_watch_works(void);
// From here on allocations of objects count whose file name holds one of the two words.
void malloc_watch_begin(const char* word, const char* other);
malloc_watch_t malloc_watch_end(void);

#endif  // TRIVET_TESTS_ABI_RUNTIME_ONLY_MALLOC_WATCH_H_
