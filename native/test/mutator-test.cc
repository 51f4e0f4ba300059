// RG-041: a driver that rewrites everything while the device reads it.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kSize = 16;
constexpr auto kDuration = std::chrono::milliseconds(600);

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t next(uint32_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33) % limit;
  }

 private:
  uint64_t state_;
};

// Mostly sensible, so that requests get far, and now and then a value that is not.
Descriptor randomDescriptor(const Driver& driver, Random* random) {
  const uint64_t start = driver.options().guestAddress;
  const auto span = static_cast<uint32_t>(driver.options().memoryBytes);
  Descriptor descriptor{start + random->next(span), random->next(8192),
                        static_cast<uint16_t>(random->next(4)),
                        static_cast<uint16_t>(random->next(kSize))};
  switch (random->next(32)) {
    case 0:
      descriptor.address = driver.end() - random->next(64);
      break;
    case 1:
      descriptor.length = UINT32_MAX - random->next(64);
      break;
    case 2:
      descriptor.flags = static_cast<uint16_t>(random->next(65536));
      break;
    case 3:
      descriptor.next = static_cast<uint16_t>(random->next(65536));
      break;
    case 4:
    case 5:
    case 6:
      descriptor = {driver.heap() + random->next(4096), 16 * random->next(32), kIndirect, 0};
      break;
  }
  return descriptor;
}

void mutate(Driver* driver, const std::atomic<bool>& stop, uint64_t seed) {
  Random random(seed);
  while (!stop) {
    for (int i = 0; i < 20; i++) {
      driver->setDescriptor(random.next(kSize), randomDescriptor(*driver, &random));
      const uint64_t table = driver->heap() + random.next(4096);
      driver->writeTable(table, {randomDescriptor(*driver, &random)});
    }
    driver->setUsedEvent(static_cast<uint16_t>(random.next(65536)));
    driver->setAvailFlags(static_cast<uint16_t>(random.next(2)));
    if (random.next(64) == 0) driver->setUsedIndex(static_cast<uint16_t>(random.next(65536)));
    const uint16_t before = driver->usedIndex();
    driver->offer(static_cast<uint16_t>(random.next(kSize)));
    // Now and then it runs ahead; mostly it waits, or every ring would break at its first index.
    for (uint32_t i = random.next(32); i > 0 && driver->usedIndex() == before; i--) usleep(1);
    if (random.next(4096) == 0) driver->setAvailIndex(static_cast<uint16_t>(random.next(65536)));
  }
}

void mutatePacked(Driver* driver, const std::atomic<bool>& stop, uint64_t seed) {
  Random random(seed);
  PackedDriverRing& ring = driver->packed();
  const auto entry = [&] {
    const Descriptor from = randomDescriptor(*driver, &random);
    // Available in one round or the other, and now and then in none.
    const auto state = static_cast<uint16_t>(random.next(8) == 0   ? random.next(65536) & 0x8080
                                             : random.next(2) == 0 ? kAvail
                                                                   : kUsed);
    return PackedDescriptor{from.address, from.length, from.next,
                            static_cast<uint16_t>((from.flags & 0x7f7f) | state)};
  };
  while (!stop) {
    for (int i = 0; i < 20; i++) {
      ring.write(random.next(kSize), entry());
      const uint64_t table = driver->heap() + random.next(4096);
      driver->writeTable(table, {randomDescriptor(*driver, &random)});
    }
    ring.setDriverEvent(static_cast<uint16_t>(random.next(65536)),
                        static_cast<uint16_t>(random.next(4)));
    for (uint32_t i = random.next(32); i > 0; i--) usleep(1);
  }
}

void runMutator(bool uring, bool packed) {
  const auto base = static_cast<uint16_t>(packed ? 0x8000 : 0);
  Rig rig({.uring = uring,
           .driver = {.size = kSize, .base = base, .memoryBytes = 256 << 10, .packed = packed}});
  rig.file.fill(0, rig.options.fileBytes, 1);
  std::atomic<bool> stop{false};
  std::thread driver([&] { (packed ? mutatePacked : mutate)(&rig.driver, stop, uring ? 1 : 2); });
  const auto start = std::chrono::steady_clock::now();
  uint64_t broken = 0;
  uint64_t requests = 0;
  std::string trouble;
  const auto goOn = [&] {
    const auto spent = std::chrono::steady_clock::now() - start;
    // On a busy machine it takes longer until enough has happened.
    return spent < kDuration || ((broken <= 10 || requests <= 100) && spent < 10 * kDuration);
  };
  while (goOn() && trouble.empty()) {
    const Rig::Turn turn = rig.turn();
    rig.decide(turn);
    requests += turn.requests;
    if (turn.events == 0) continue;
    // As the session does: drain, end, start again where the driver is now.
    broken += turn.events;
    rig.plane->drainVring(0);
    for (int i = 0; i < 5000 && rig.plane->inFlight(0) > 0; i++) {
      rig.decide(rig.turn());
      if (i > 100) usleep(200);
    }
    const int64_t base = rig.plane->endVring(0);
    if (base < 0) trouble = "endVring: " + std::to_string(base);
    VringStart again = rig.vringStart(0);
    again.availBase = packed ? static_cast<uint32_t>(base) : rig.driver.availIndex();
    if (trouble.empty() && rig.plane->startVring(again, rig.driver.memory()) != 0) {
      trouble = "startVring";
    }
    rig.plane->enableVring(0, true);
  }
  stop = true;
  driver.join();
  CHECK_EQ(trouble, "");
  CHECK(rig.driver.canariesIntact());
  CHECK_EQ(rig.file.size(), rig.options.fileBytes);
  CHECK(broken > 10);
  CHECK(requests > 100);
}

TEST("RG-034 RG-041: a driver that rewrites rings, tables and headers at random under turns") {
  forBothEngines([](bool uring) { runMutator(uring, false); });
}

TEST("RG-034 RG-041: the same with a packed ring") {
  forBothEngines([](bool uring) { runMutator(uring, true); });
}

}  // namespace
}  // namespace vhost::test
