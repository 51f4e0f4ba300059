#include "fault-guard.h"

#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <mutex>

namespace vhost {
namespace {

GuardSlot slots[FaultGuard::kSlotsMax];
struct sigaction previousAction;

// Async-signal-safe: atomics and one mmap system call.
void onSigbus(int signal, siginfo_t* info, void* context) {
  const auto fault = reinterpret_cast<uintptr_t>(info->si_addr);
  for (GuardSlot& slot : slots) {
    const uintptr_t start = slot.start.load(std::memory_order_acquire);
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    if (start == 0 || fault < start || fault >= end) continue;
    // Released and taken again between the two loads: `end` belongs to another mapping.
    if (slot.start.load(std::memory_order_acquire) != start) continue;
    // Zero pages over the whole region: nothing in it can be trusted any more, and one mapping
    // ends the faults, where one page at a time would raise thousands.
    void* mapped = mmap(reinterpret_cast<void*>(start), end - start, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) break;
    slot.poisoned.store(true, std::memory_order_release);
    return;
  }
  // Not a guest's memory: our own bug, so the fault takes its former way (normally the end).
  if (previousAction.sa_flags & SA_SIGINFO) {
    previousAction.sa_sigaction(signal, info, context);
    return;
  }
  sigaction(SIGBUS, &previousAction, nullptr);
}

}  // namespace

int FaultGuard::install() {
  static std::once_flag once;
  static int result = 0;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = onSigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &previousAction) != 0) result = -errno;
  });
  return result;
}

GuardSlot* FaultGuard::watch(void* base, size_t bytes) {
  for (GuardSlot& slot : slots) {
    bool free = false;
    if (!slot.taken.compare_exchange_strong(free, true)) continue;
    slot.poisoned.store(false);
    slot.end.store(reinterpret_cast<uintptr_t>(base) + bytes, std::memory_order_release);
    slot.start.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    return &slot;
  }
  return nullptr;
}

void FaultGuard::release(GuardSlot* slot) {
  slot->start.store(0, std::memory_order_release);
  slot->end.store(0, std::memory_order_release);
  slot->taken.store(false, std::memory_order_release);
}

}  // namespace vhost
