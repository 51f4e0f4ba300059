// Rings whose back-end is really killed, at random moments, and taken up by another process.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <vector>

#include "check.h"
#include "data-plane.h"
#include "driver.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kSize = 256;
// A process under AddressSanitizer takes 40 ms to fork: what is killed is limited by time as well.
constexpr int kRoundsMin = 30;
constexpr int kRounds = 300;
constexpr auto kDuration = std::chrono::seconds(1);
// Ten times as often as it ever took until a kill came at the moment that is waited for.
constexpr int kRoundsMax = 3000;
constexpr uint64_t kAreaBytes = 16384;

// Counts rounds of kills.
class Rounds {
 public:
  // The last round, in which nobody is killed: when there were enough and all was seen.
  bool next(bool seen) {
    last_ = (enough() && seen) || round_ >= kRoundsMax;
    round_++;
    return last_;
  }
  bool over() const { return last_; }

 private:
  using Clock = std::chrono::steady_clock;
  bool enough() const {
    return round_ >= kRounds || (round_ >= kRoundsMin && Clock::now() - start_ > kDuration);
  }
  const Clock::time_point start_ = Clock::now();
  int round_ = 0;
  bool last_ = false;
};

// A back-end that completes in batches out of order, as completions of a disk come. Its own
// mappings: guest memory does not go into a child.
template <typename Ring>
[[noreturn]] void serve(Driver& driver, int areaFd, uint32_t seed, bool toTheEnd) {
  std::minstd_rand random(seed);
  int error = 0;
  const auto memory = GuestMemory().with(driver.file().fd(), driver.region(), &error);
  auto area = InflightArea::map(areaFd, {kAreaBytes, 0, 1, kSize}, &error);
  Ring ring;
  if (memory == nullptr || area == nullptr ||
      ring.start(memory, kSize, driver.addresses(), driver.base(), true) != 0 ||
      ring.track(std::move(area), 0) != 0) {
    _exit(1);
  }
  std::vector<uint16_t> held;
  for (;;) {
    uint32_t count = 0;
    if (ring.available(&count) != RingFault::kNone) _exit(2);
    if (toTheEnd && count + held.size() == 0) _exit(0);
    for (uint32_t i = random() % 8; i > 0 && count > 0; i--, count--) {
      uint16_t head = 0;
      if (ring.pop(&head) != RingFault::kNone) _exit(3);
      held.push_back(head);
    }
    for (uint32_t i = random() % 8; i > 0 && !held.empty(); i--) {
      std::swap(held[random() % held.size()], held.back());
      ring.addUsed(held.back(), held.back() + 1);
      held.pop_back();
    }
    if (ring.unpublished()) ring.publish();
  }
}

TEST("LF-001 LF-006: killed at random, every request comes back exactly once") {
  Driver driver({.size = kSize, .base = 65000});
  const SharedFile area(kAreaBytes);
  std::vector<bool> waiting(kSize, false);
  std::minstd_rand random(7);
  uint64_t returned = 0;
  int dirty = 0;
  for (Rounds rounds; !rounds.over();) {
    for (uint16_t head = 0; head < kSize; head++) {
      if (waiting[head]) continue;
      waiting[head] = true;
      driver.offer(driver.chain(head, {{driver.heap(), 16}}));
    }
    const bool last = rounds.next(dirty > 0);
    const auto seed = static_cast<uint32_t>(random());
    const pid_t child = fork();
    if (child == 0) serve<SplitRing>(driver, area.fd(), seed, last);
    // The first used element shows that the child is at work.
    const uint16_t before = driver.usedIndex();
    for (int i = 0; i < 20000 && driver.usedIndex() == before; i++) usleep(1);
    int status = 0;
    if (!last) {
      for (uint32_t i = random() % 20000; i > 0; i--) asm volatile("");
      kill(child, SIGKILL);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WIFSIGNALED(status) ? 0 : WEXITSTATUS(status), 0);
    CHECK_EQ(WIFSIGNALED(status), !last);
    Used used{};
    while (driver.takeUsed(&used)) {
      CHECK(used.id < kSize && waiting[used.id]);
      CHECK_EQ(used.length, used.id + 1);
      waiting[used.id] = false;
      returned++;
    }
    const auto* header = reinterpret_cast<const SplitInflightHeader*>(area.data());
    dirty += header->usedIndex != driver.usedIndex() ? 1 : 0;
  }
  for (const bool waits : waiting) CHECK(!waits);
  CHECK(returned > kSize * 2);
  // Some have died between used.idx and the end of what follows it.
  CHECK(dirty > 0);
}

TEST("PK-014: a packed ring's back-end killed at random, every request comes back exactly once") {
  constexpr uint16_t kChains = 64;
  Driver driver({.size = kSize, .base = 0x8000 + 200, .packed = true});
  const SharedFile area(kAreaBytes);
  std::vector<bool> waiting(kChains, false);
  std::minstd_rand random(11);
  uint64_t returned = 0;
  for (Rounds rounds; !rounds.over();) {
    for (uint16_t id = 0; id < kChains; id++) {
      if (waiting[id]) continue;
      waiting[id] = true;
      std::vector<PackedDescriptor> chain(1 + random() % 3, {driver.heap(), 16, id, kWrite});
      for (size_t i = 0; i + 1 < chain.size(); i++) chain[i].flags |= kNext;
      driver.packed().offer(chain);
    }
    const bool last = rounds.next(true);
    const auto seed = static_cast<uint32_t>(random());
    const pid_t child = fork();
    if (child == 0) serve<PackedRing>(driver, area.fd(), seed, last);
    Used used{};
    const auto take = [&] {
      if (!driver.takeUsed(&used)) return false;
      CHECK(used.id < kChains && waiting[used.id]);
      CHECK_EQ(used.length, used.id + 1);
      waiting[used.id] = false;
      returned++;
      return true;
    };
    for (int i = 0; i < 20000 && !take(); i++) usleep(1);
    int status = 0;
    if (!last) {
      for (uint32_t i = random() % 20000; i > 0; i--) asm volatile("");
      kill(child, SIGKILL);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WIFSIGNALED(status) ? 0 : WEXITSTATUS(status), 0);
    while (take()) {
    }
  }
  for (const bool waits : waiting) CHECK(!waits);
  CHECK(returned > kChains * 2);
}

struct Recorded {
  explicit Recorded(bool uring = false)
      : rig({.uring = uring, .driver = {.size = 64, .base = 65530}}), file(kAreaBytes) {
    int error = 0;
    area = InflightArea::map(file.fd(), {kAreaBytes, 0, 1, 64}, &error);
    CHECK_EQ(stop(false), 65530);
    CHECK_EQ(start(), 0);
  }
  int start() {
    VringStart start = rig.vringStart(0);
    start.inflight = area;
    const int result = rig.plane->startVring(start, rig.driver.memory());
    rig.plane->enableVring(0, true);
    return result;
  }
  int stop(bool suspend) {
    rig.plane->drainVring(0, suspend);
    rig.turnUntil([this](const Rig::Turn& turn) {
      rig.decide(turn);
      return rig.plane->inFlight(0) == 0;
    });
    return rig.plane->endVring(0);
  }
  Rig rig;
  SharedFile file;
  std::shared_ptr<InflightArea> area;
};

TEST("suspended: what is in flight is not shown as used, and done again after the next start") {
  forBothEngines([](bool uring) {
    Recorded r(uring);
    for (uint16_t slot = 0; slot < 3; slot++) {
      r.rig.driver.fill(r.rig.data(slot), 4096, slot);
      r.rig.post(slot, true, slot * 4096, 4096);
    }
    r.rig.turnUntil([&](const Rig::Turn& turn) {
      r.rig.decide(turn);
      return r.rig.plane->inFlight(0) > 0;
    });
    const uint16_t used = r.rig.driver.usedIndex();
    const int base = r.stop(true);
    const auto shown = static_cast<uint16_t>(r.rig.driver.usedIndex() - used);
    CHECK_EQ(shown, 0);
    CHECK(base >= 65531);
    CHECK_EQ(r.start(), 0);
    r.rig.serve(3);
    CHECK_EQ(r.rig.plane->inFlight(0), 0u);
    CHECK_EQ(r.stop(false), 65533);
    for (const Used& each : r.rig.used) CHECK_EQ(each.length, 1u);
    CHECK_EQ(r.rig.used.size(), 3u);
  });
}

TEST("drained before all that was left has been fetched: it is served all the same") {
  Recorded r;
  for (uint16_t slot = 0; slot < 5; slot++) r.rig.post(slot, true, slot * 4096, 4096);
  while (r.rig.plane->inFlight(0) < 5) r.rig.turn();
  r.rig.plane->giveUp(0, RingFault::kHandler);
  CHECK_EQ(r.rig.plane->inFlight(0), 0u);
  CHECK_EQ(r.rig.plane->endVring(0), 65535);
  CHECK_EQ(r.start(), 0);
  CHECK_EQ(r.stop(false), 65535);
  CHECK_EQ(r.rig.driver.usedIndex(), 65535);
}

TEST("LF-012: a device that failed leaves its requests in the area, also those it gives back") {
  Recorded r;
  const uint16_t head = r.rig.post(0, true, 0, 4096);
  r.rig.turn();
  r.rig.plane->giveUp(0, RingFault::kHandler);
  r.rig.command(6, head);
  r.rig.turn();
  CHECK_EQ(r.rig.driver.usedIndex(), 65530);
  CHECK_EQ(r.rig.plane->endVring(0), 65531);
  CHECK_EQ(r.start(), 0);
  r.rig.serve(1);
  CHECK_EQ(r.rig.used[0].id, head);
}

TEST("a ring that was never enabled leaves what was left where it is") {
  Recorded r;
  r.rig.post(0, true, 0, 4096);
  r.rig.turn();
  r.rig.plane->giveUp(0, RingFault::kHandler);
  r.rig.plane->endVring(0);
  VringStart start = r.rig.vringStart(0);
  start.inflight = r.area;
  CHECK_EQ(r.rig.plane->startVring(start, r.rig.driver.memory()), 0);
  CHECK_EQ(r.stop(false), 65531);
  CHECK_EQ(r.rig.driver.usedIndex(), 65530);
  CHECK_EQ(r.start(), 0);
  r.rig.serve(1);
}

}  // namespace
}  // namespace vhost::test
