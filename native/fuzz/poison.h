// Memory that AddressSanitizer is to guard, though it allocated none of it. Without effect in a
// program that is built without it, as for measuring coverage.
#ifndef VHOST_FUZZ_POISON_H_
#define VHOST_FUZZ_POISON_H_

#include <cstddef>

extern "C" {
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* from, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* from, size_t bytes);
}

namespace vhost::fuzz {

inline void poison(const void* from, size_t bytes) {
  if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(from, bytes);
}

inline void unpoison(const void* from, size_t bytes) {
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(from, bytes);
}

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_POISON_H_
