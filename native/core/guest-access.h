// Reads and writes of memory that a guest can change at any moment. Each helper touches the memory
// exactly once: the compiler may neither repeat nor split the access (double fetch, RG-041).
#ifndef VHOST_CORE_GUEST_ACCESS_H_
#define VHOST_CORE_GUEST_ACCESS_H_

#include <atomic>
#include <cstdint>

namespace vhost {

// Packed, because an indirect table may lie at any address (RG-020).
template <typename T>
struct __attribute__((packed, may_alias)) Unaligned {
  volatile T value;
};

template <typename T>
inline T readOnce(const uint8_t* at) {
  return reinterpret_cast<const Unaligned<T>*>(at)->value;
}

template <typename T>
inline void writeOnce(uint8_t* at, T value) {
  reinterpret_cast<Unaligned<T>*>(at)->value = value;
}

// Ring indices: aligned by the checks at ring start, so the atomic form is legal.
inline uint16_t loadAcquire16(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(at), __ATOMIC_ACQUIRE);
}

inline void storeRelease16(uint8_t* at, uint16_t value) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), value, __ATOMIC_RELEASE);
}

// Orders an earlier store before a later load (VIRTIO 1.3 §2.7.13.4.1, §2.7.10): acquire and
// release alone let both sides miss each other's update and sleep for ever.
inline void fullFence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

constexpr uint64_t kCacheLineBytes = 64;

// Asks for a cache line that the driver, on another CPU, has had last, to be written soon. Asked
// for as __builtin_prefetch does without -mprfchw it comes to be read, and the store waits again.
// Any address will do; where there is nothing, nothing happens.
inline void prefetchForWrite(const void* at) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
  __builtin_prefetch(at, 1);
#endif
}

}  // namespace vhost

#endif  // VHOST_CORE_GUEST_ACCESS_H_
