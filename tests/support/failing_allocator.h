// SPDX-License-Identifier: Apache-2.0
//
// An allocator for tests: fails at the n-th call, counts calls and live blocks, and checks that
// every free names the size and alignment of its allocation. ForEachFailure runs a piece of code
// once per possible failure.

#ifndef TRIVET_TESTS_SUPPORT_FAILING_ALLOCATOR_H_
#define TRIVET_TESTS_SUPPORT_FAILING_ALLOCATOR_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "trivet/common.h"

namespace trivet_test {

// Thread-safe. Must outlive everything that was given its allocator.
class FailingAllocator {
 public:
  // Calls of allocate and reallocate count from 1; the `fail_at`-th one returns NULL; 0: none does.
  // With `and_after`, all later ones fail too.
  explicit FailingAllocator(uint64_t fail_at = 0, bool and_after = false)
      : fail_at_(fail_at), and_after_(and_after) {}
  FailingAllocator(const FailingAllocator&) = delete;
  FailingAllocator& operator=(const FailingAllocator&) = delete;

  trivet_allocator_t get() { return trivet_allocator_t{this, Allocate, Reallocate, Deallocate}; }

  uint64_t calls() const { return calls_; }
  bool has_failed() const { return has_failed_; }
  size_t live_blocks() const { return blocks_.size(); }
  size_t live_bytes() const { return live_bytes_; }
  size_t peak_bytes() const { return peak_bytes_; }
  // Frees of unknown pointers, or with another size or alignment than at allocation.
  uint64_t bad_frees() const { return bad_frees_; }

 private:
  struct Block {
    size_t size;
    size_t alignment;
  };

  bool Fails() {
    ++calls_;
    bool fails = fail_at_ != 0 && (calls_ == fail_at_ || (and_after_ && calls_ > fail_at_));
    has_failed_ = has_failed_ || fails;
    return fails;
  }

  void* Take(size_t size, size_t alignment) {
    void* pointer = nullptr;
    size_t least = alignment < sizeof(void*) ? sizeof(void*) : alignment;
    if (posix_memalign(&pointer, least, size) != 0) return nullptr;
    // Reading memory before writing it must not look like zero.
    for (size_t i = 0; i < size; ++i) static_cast<unsigned char*>(pointer)[i] = 0xA5;
    blocks_[pointer] = Block{size, alignment};
    live_bytes_ += size;
    if (live_bytes_ > peak_bytes_) peak_bytes_ = live_bytes_;
    return pointer;
  }

  void Drop(void* pointer, size_t size, size_t alignment) {
    auto found = blocks_.find(pointer);
    if (found == blocks_.end()) {
      ++bad_frees_;
      return;
    }
    if (found->second.size != size || found->second.alignment != alignment) ++bad_frees_;
    live_bytes_ -= found->second.size;
    blocks_.erase(found);
    free(pointer);
  }

  static void* Allocate(void* self, size_t size, size_t alignment) {
    auto* allocator = static_cast<FailingAllocator*>(self);
    std::lock_guard<std::mutex> lock(allocator->mutex_);
    return allocator->Fails() ? nullptr : allocator->Take(size, alignment);
  }

  static void* Reallocate(void* self, void* pointer, size_t old_size, size_t new_size,
                          size_t alignment) {
    auto* allocator = static_cast<FailingAllocator*>(self);
    std::lock_guard<std::mutex> lock(allocator->mutex_);
    if (allocator->Fails()) return nullptr;
    void* moved = allocator->Take(new_size, alignment);
    if (moved == nullptr) return nullptr;
    size_t kept = old_size < new_size ? old_size : new_size;
    for (size_t i = 0; i < kept; ++i) {
      static_cast<unsigned char*>(moved)[i] = static_cast<unsigned char*>(pointer)[i];
    }
    allocator->Drop(pointer, old_size, alignment);
    return moved;
  }

  static void Deallocate(void* self, void* pointer, size_t size, size_t alignment) {
    auto* allocator = static_cast<FailingAllocator*>(self);
    std::lock_guard<std::mutex> lock(allocator->mutex_);
    allocator->Drop(pointer, size, alignment);
  }

  std::mutex mutex_;
  uint64_t fail_at_;
  bool and_after_;
  bool has_failed_ = false;
  uint64_t calls_ = 0;
  uint64_t bad_frees_ = 0;
  size_t live_bytes_ = 0;
  size_t peak_bytes_ = 0;
  std::unordered_map<void*, Block> blocks_;
};

// Runs `body`, which takes a trivet_allocator_t and returns a trivet_status_t after having released
// everything it made, with no failure, then failing the first, the second, ... call, until one run
// is not reached by the failure any more. Each run that failed must return OUT_OF_MEMORY; none may
// leak. Returns the number of failures injected. `most` bounds the runs of long bodies (0: all).
template <typename Body>
uint64_t ForEachFailure(Body body, uint64_t most = 0) {
  {
    FailingAllocator allocator;
    trivet_status_t status = body(allocator.get());
    EXPECT_EQ(status, nullptr) << "without failures: " << trivet_status_message(status);
    trivet_status_free(status);
    EXPECT_EQ(allocator.live_blocks(), 0u) << "leak without failures";
    EXPECT_EQ(allocator.bad_frees(), 0u) << "bad free without failures";
    if (::testing::Test::HasFailure()) return 0;
  }
  for (uint64_t n = 1;; ++n) {
    FailingAllocator allocator(n);
    trivet_status_t status = body(allocator.get());
    trivet_status_code_t code = trivet_status_consume(status);
    EXPECT_EQ(allocator.live_blocks(), 0u) << "leak when call " << n << " fails";
    EXPECT_EQ(allocator.bad_frees(), 0u) << "bad free when call " << n << " fails";
    if (!allocator.has_failed() || n == most) return n - 1;
    EXPECT_EQ(code, TRIVET_STATUS_OUT_OF_MEMORY) << "when call " << n << " fails";
    if (::testing::Test::HasFailure()) return n;
  }
}

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_FAILING_ALLOCATOR_H_
