#include "fault-guard.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint64_t kPage = 4096;
constexpr RegionDescription kRegion{0x10000, 0x7f0000000000, 4 * kPage, 0};

// As the core reads guest memory: the compiler may not leave it out.
uint8_t touch(const uint8_t* at) {
  return *static_cast<const volatile uint8_t*>(at);
}

// Runs `body` in a child that says nothing; its wait status.
template <typename Body>
int inChild(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

bool endedWell(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST("CS-077: reads and writes survive a shrunk memfd, the region is poisoned") {
  const SharedFile file(4 * kPage);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), kRegion, &error);
  uint8_t* host = memory->region(0).host();
  std::memset(host, 0x5a, 4 * kPage);
  CHECK(!memory->poisoned());
  file.truncate(kPage);
  CHECK_EQ(touch(host), 0x5a);  // still there
  CHECK(!memory->poisoned());
  CHECK_EQ(touch(host + 3 * kPage), 0);
  CHECK(memory->poisoned());
  CHECK_EQ(touch(host), 0);  // the whole region is gone: nothing in it counts any more
  host[2 * kPage] = 7;
  CHECK_EQ(touch(host + 2 * kPage), 7);
}

TEST("CS-077: a write is what meets the lost page") {
  const SharedFile file(4 * kPage);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), kRegion, &error);
  file.truncate(0);
  std::memset(memory->region(0).host(), 1, 4 * kPage);
  CHECK(memory->poisoned());
}

TEST("CS-077: only the region that lost its file is poisoned, and a new one starts clean") {
  const SharedFile lost(4 * kPage);
  const SharedFile kept(4 * kPage);
  int error = 0;
  auto memory = GuestMemory().with(lost.fd(), kRegion, &error);
  memory = memory->with(kept.fd(), {0x900000, 0x7f0000900000, 4 * kPage, 0}, &error);
  memory->region(1).host()[5] = 5;
  lost.truncate(0);
  touch(memory->region(0).host());
  CHECK(memory->region(0).poisoned());
  CHECK(!memory->region(1).poisoned());
  CHECK_EQ(memory->region(1).host()[5], 5);
  memory.reset();
  for (int i = 0; i < 8; i++) {
    CHECK(!GuestMemory().with(kept.fd(), kRegion, &error)->poisoned());
  }
}

TEST("CS-077: 1000 rounds, both ends of the mapping") {
  const SharedFile file(4 * kPage);
  for (int round = 0; round < 1000; round++) {
    file.truncate(4 * kPage);
    int error = 0;
    const auto memory = GuestMemory().with(file.fd(), kRegion, &error);
    CHECK_EQ(error, 0);
    file.truncate(0);
    CHECK_EQ(touch(memory->region(0).host() + (round % 2 == 0 ? 0 : 4 * kPage - 1)), 0);
    CHECK(memory->poisoned());
  }
}

TEST("CS-077: two threads meet the same lost region at once") {
  const SharedFile file(4 * kPage);
  for (int round = 0; round < 200; round++) {
    file.truncate(4 * kPage);
    int error = 0;
    const auto memory = GuestMemory().with(file.fd(), kRegion, &error);
    file.truncate(0);
    std::thread other([&] { touch(memory->region(0).host()); });
    touch(memory->region(0).host() + 3 * kPage);
    other.join();
    CHECK(memory->poisoned());
  }
}

TEST("a fault outside every region still ends the process") {
  const SharedFile file(kPage);
  CHECK(FaultGuard::install() == 0);
  CHECK(endedWell(inChild([] {})));
  const int status = inChild([&] {
    file.truncate(0);
    touch(file.data());
  });
  CHECK(!endedWell(status));
}

TEST("a mapping that is no longer watched is no longer guarded") {
  const SharedFile file(kPage);
  const int status = inChild([&] {
    GuardSlot* slot = FaultGuard::watch(file.data(), kPage);
    FaultGuard::release(slot);
    file.truncate(0);
    touch(file.data());
  });
  CHECK(!endedWell(status));
}

TEST("all slots taken: watch says so, and a released slot is found again") {
  std::vector<GuardSlot*> taken;
  GuardSlot* slot = nullptr;
  // Addresses that nothing is mapped at.
  while ((slot = FaultGuard::watch(reinterpret_cast<void*>(kPage), kPage)) != nullptr) {
    taken.push_back(slot);
  }
  CHECK_EQ(taken.size(), FaultGuard::kSlotsMax);
  FaultGuard::release(taken[1000]);
  CHECK_EQ(FaultGuard::watch(reinterpret_cast<void*>(kPage), kPage), taken[1000]);
  for (GuardSlot* each : taken) FaultGuard::release(each);
}

// Memory changes of one session run beside a fault of another.
TEST("CS-077 CS-082: a fault never takes half of one slot and half of another for a region") {
  CHECK(FaultGuard::install() == 0);
  constexpr uint64_t kParts = 3 * kPage;  // low, middle (faults), high
  auto* arena = static_cast<uint8_t*>(
      mmap(nullptr, kParts, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const SharedFile file(kPage);
  GuardSlot* changing = FaultGuard::watch(arena, kPage);
  GuardSlot* middle = FaultGuard::watch(arena + kPage, kPage);
  CHECK(changing < middle);  // the handler looks at the changing one first
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    FaultGuard::release(changing);
    while (!stop) {
      FaultGuard::release(FaultGuard::watch(arena, kPage));
      FaultGuard::release(FaultGuard::watch(arena + 2 * kPage, kPage));
    }
  });
  arena[2 * kPage] = 77;
  bool intact = true;
  file.truncate(0);
  for (int round = 0; round < 20'000 && intact; round++) {
    mmap(arena + kPage, kPage, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd(), 0);
    touch(arena + kPage);
    intact = middle->poisoned.exchange(false);
  }
  stop = true;
  changer.join();
  FaultGuard::release(middle);
  munmap(arena, kParts);
  CHECK(intact);
}

}  // namespace
}  // namespace vhost::test
