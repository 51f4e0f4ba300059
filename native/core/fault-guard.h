// SIGBUS guard: a front-end may shrink the file behind a mapped memory region at any moment. The
// next access then raises SIGBUS; the handler maps zero pages over the region, marks it poisoned
// and returns, so that the process lives and the owner of the region closes the session.
#ifndef VHOST_CORE_FAULT_GUARD_H_
#define VHOST_CORE_FAULT_GUARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vhost {

// One watched mapping. Slots live for ever and are reused, because the handler scans them without
// a lock.
struct GuardSlot {
  std::atomic<uintptr_t> start{0};  // 0: the slot is free
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> poisoned{false};
  std::atomic<bool> taken{false};
};

class FaultGuard {
 public:
  // 509 memory slots (the vhost-user maximum in the field) for eight devices in one process.
  static constexpr size_t kSlotsMax = 4096;

  // Installs the process-wide handler once. Returns 0 or -errno.
  static int install();

  // Watches [base, base + bytes); nullptr when all slots are taken.
  static GuardSlot* watch(void* base, size_t bytes);

  // Call before the mapping goes: once it is gone its addresses may already belong to another, and
  // a fault there would be taken for this one's.
  static void release(GuardSlot* slot);
};

}  // namespace vhost

#endif  // VHOST_CORE_FAULT_GUARD_H_
