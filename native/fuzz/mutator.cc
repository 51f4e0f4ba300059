#include "mutator.h"

#include <sched.h>

#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

namespace vhost::fuzz {
namespace {

constexpr int kStoresPerBurst = 256;
constexpr size_t kSlotBytes = 16;  // a descriptor, an entry of either inflight area

template <typename T>
T load(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const T*>(at), __ATOMIC_RELAXED);
}

template <typename T>
void store(uint8_t* at, T value) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_RELAXED);
}

// Mostly small changes of what is there, so that chains stay chains.
void mutateOnce(uint8_t* base, size_t slots, std::minstd_rand* random) {
  uint8_t* slot = base + (*random)() % slots * kSlotBytes;
  const auto value = static_cast<uint32_t>((*random)());
  uint8_t* field = slot + value % (kSlotBytes / 2) * 2;
  switch (value >> 8 & 7) {
    case 0:
      return store<uint16_t>(field, static_cast<uint16_t>(load<uint16_t>(field) + 1));
    case 1:
      return store<uint16_t>(field,
                             static_cast<uint16_t>(load<uint16_t>(field) ^ 1u << (value & 15)));
    case 2:
      return store<uint16_t>(field, static_cast<uint16_t>(value >> 16));
    case 3:
      return store<uint16_t>(field, static_cast<uint16_t>(value >> 16 & 15));
    case 4:
      return store<uint64_t>(slot, ~load<uint64_t>(slot));
    case 5:
      return store<uint16_t>(field, UINT16_MAX);
    default: {
      const uint8_t* from = base + (value >> 11) % slots * kSlotBytes;
      store<uint64_t>(slot, load<uint64_t>(from));
      store<uint64_t>(slot + 8, load<uint64_t>(from + 8));
    }
  }
}

}  // namespace

bool mutating() {
  static const bool on = std::getenv("VHOST_FUZZ_MUTATOR") != nullptr;
  return on;
}

void mutate(uint8_t* base, size_t bytes) {
  static std::once_flag once;
  if (!mutating()) return;
  std::call_once(once, [=] {
    std::thread([=] {
      std::minstd_rand random(1);
      for (;;) {
        for (int i = 0; i < kStoresPerBurst; i++) mutateOnce(base, bytes / kSlotBytes, &random);
        sched_yield();
      }
    }).detach();
  });
}

}  // namespace vhost::fuzz
