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

}  // namespace vhost

#endif  // VHOST_CORE_GUEST_ACCESS_H_
