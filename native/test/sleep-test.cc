// data-plane.cc: when a turn blocks, what ends it, and that it costs nothing meanwhile.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

using Clock = std::chrono::steady_clock;

int64_t cpuUs() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_utime.tv_usec + usage.ru_stime.tv_usec +
         1'000'000 * (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
}

// Runs `body` on another thread after `ms`.
class Later {
 public:
  template <typename Body>
  Later(int ms, Body body)
      : thread_([ms, body] {
          std::this_thread::sleep_for(std::chrono::milliseconds(ms));
          body();
        }) {}
  ~Later() { thread_.join(); }

 private:
  std::thread thread_;
};

TEST("a blocked turn ends by a kick with work, and by a wake-up; idle costs no CPU") {
  forBothEngines([](bool uring) {
    for (const uint32_t pollUs : {0u, 50u}) {
      Rig rig({.uring = uring, .pollUs = pollUs});
      const int64_t before = cpuUs();
      {
        const Later kick(60, [&] {
          rig.post(0, true, 0, 512);
          rig.kick();
        });
        CHECK_EQ(rig.turn(true).requests, 1u);
      }
      const Later wake(60, [&] { eventfd_write(rig.wakeFd, 1); });
      CHECK(rig.turn(true).wake);
      CHECK(cpuUs() - before < 15'000);
      CHECK(!rig.turn().wake);
    }
  });
}

TEST("while no operation runs, the limit of operations counts for nothing") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .operationPollUs = 200'000});
    // Short waits, so that spinning would seem worth it.
    for (int i = 0; i < 10; i++) {
      const Later wake(2, [&] { eventfd_write(rig.wakeFd, 1); });
      while (!rig.turn(true).wake) {
      }
    }
    const int64_t before = cpuUs();
    const Later wake(100, [&] { eventfd_write(rig.wakeFd, 1); });
    CHECK(rig.turn(true).wake);
    CHECK(cpuUs() - before < 30'000);
  });
}

TEST("RG-044: a kick without buffers, and a storm of them, end no turn") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    const auto start = Clock::now();
    const Later storm(1, [&] {
      for (int i = 0; i < 2000; i++) rig.kick();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      eventfd_write(rig.wakeFd, 1);
    });
    const Rig::Turn turn = rig.turn(true);
    CHECK(turn.wake);
    CHECK_EQ(turn.requests + turn.events, 0u);
    CHECK(Clock::now() - start >= std::chrono::milliseconds(20));
  });
}

TEST("kicks not asked for: chains wake nobody, and are popped when something else does") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .pollUs = 1000});
    rig.plane->askKicks(0, false);
    const uint16_t asked = rig.driver.availEvent();
    const auto start = Clock::now();
    const Later post(20, [&] { rig.post(0, true, 0, 512); });
    const Later wake(80, [&] { eventfd_write(rig.wakeFd, 1); });
    const Rig::Turn turn = rig.turn(true);
    CHECK(turn.wake);
    CHECK_EQ(turn.requests, 1u);
    CHECK(Clock::now() - start >= std::chrono::milliseconds(70));
    CHECK_EQ(rig.driver.availEvent(), asked);
    rig.decide(turn);
    rig.serve(0);
    rig.plane->askKicks(0, true);
    const Later kick(20, [&] {
      rig.post(1, true, 0, 512);
      rig.kick();
    });
    CHECK_EQ(rig.turn(true).requests, 1u);
    CHECK(rig.driver.availEvent() != asked);
  });
}

TEST("RG-044: chains that were there before the start need no kick") {
  for (const bool eventIdx : {false, true}) {
    Rig rig({.driver = {.eventIdx = eventIdx, .base = 65535}});
    rig.post(0, true, 0, 512);
    CHECK_EQ(rig.turn(true).requests, 1u);
  }
}

TEST("a vring without kick descriptor is looked at all the same") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .kick = false});
    const Later post(20, [&] { rig.post(0, true, 0, 512); });
    CHECK_EQ(rig.turn(true).requests, 1u);
  });
}

TEST("calls held back: for a number of buffers, for a time, until the ring ends") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .driver = {.size = 32, .eventIdx = false}});
    constexpr uint32_t kLongUs = 60'000'000;
    const auto use = [&rig](uint16_t slot) {
      rig.post(slot, true, 0, 512);
      rig.serve(1);
    };
    rig.plane->paceCalls(0, {3, kLongUs});
    use(0);
    use(1);
    CHECK_EQ(rig.plane->callCount(0), 0u);
    use(2);
    CHECK_EQ(rig.plane->callCount(0), 1u);
    rig.plane->paceCalls(0, {0, 30'000});
    use(3);
    CHECK_EQ(rig.plane->callCount(0), 1u);
    // The sleep ends in time for it, though nothing else happens.
    const Later wake(200, [&] { eventfd_write(rig.wakeFd, 1); });
    rig.turnUntil([&](const Rig::Turn&) { return rig.plane->callCount(0) == 2; });
    rig.plane->paceCalls(0, {9, kLongUs});
    use(4);
    CHECK_EQ(rig.plane->callCount(0), 2u);
    rig.plane->paceCalls(0, {});
    CHECK_EQ(rig.plane->callCount(0), 3u);
    use(5);
    CHECK_EQ(rig.plane->callCount(0), 4u);
    rig.plane->paceCalls(0, {9, kLongUs});
    use(6);
    rig.calls();
    rig.plane->drainVring(0);
    CHECK(rig.plane->endVring(0) >= 0);
    CHECK_EQ(rig.calls(), 1u);
  });
}

TEST("in-band: kicks come as wake-ups, calls leave as events") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .kick = false});
    rig.plane->setInband(0, true, true);
    rig.plane->setCall(0, -1);
    rig.post(0, true, 0, 512);
    rig.serve(1);
    CHECK_EQ(rig.plane->callCount(0), 1u);
    // A thread of the pool may signal late that it is done; that wake-up is none of ours.
    usleep(20000);
    // What serve() left unseen: one event, however many calls it stands for.
    Rig::Turn turn = rig.turn();
    const auto code = static_cast<uint32_t>(EventCode::kCall);
    CHECK(turn.events == 0 || rig.exchange->events[0].code == code);
    // Not polled: a request that nobody announces stays where it is until the wake-up.
    const Later post(20, [&] { rig.post(1, true, 0, 512); });
    const Later wake(200, [&] { eventfd_write(rig.wakeFd, 1); });
    turn = rig.turn(true);
    CHECK(turn.wake);
    CHECK_EQ(turn.requests, 1u);
    // With a descriptor again it is signalled instead.
    rig.plane->setCall(0, dup(rig.callFd));
    rig.decide(turn);
    rig.serve(1);
    CHECK_EQ(rig.calls(), 1u);
  });
}

TEST("in-band calls of one vring are one event until it was seen") {
  Rig rig({.driver = {.size = 32, .eventIdx = false}});
  rig.plane->setInband(0, false, true);
  rig.plane->setCall(0, -1);
  uint32_t seen = 0;
  for (uint16_t slot = 0; slot < 8; slot++) {
    rig.post(slot, true, 0, 512);
    rig.kick();
    rig.turnUntil([&](const Rig::Turn& turn) {
      for (uint32_t i = 0; i < turn.events; i++) {
        CHECK_EQ(rig.exchange->events[i].code, static_cast<uint32_t>(EventCode::kCall));
        CHECK_EQ(rig.exchange->events[i].queue, 0u);
      }
      seen += turn.events;
      rig.decide(turn);
      return turn.events > 0;
    });
  }
  CHECK_EQ(seen, 8u);
  CHECK_EQ(rig.plane->callCount(0), 8u);
}

TEST("a disabled or broken vring without kick descriptor is not looked at: idle costs nothing") {
  Rig rig({.kick = false});
  for (const bool broken : {false, true}) {
    rig.plane->enableVring(0, broken);
    if (broken) {
      rig.driver.offer(100);
      CHECK_EQ(rig.turn().events, 1u);
    }
    const Later wake(200, [&] { eventfd_write(rig.wakeFd, 1); });
    rusage before;
    rusage after;
    getrusage(RUSAGE_THREAD, &before);
    CHECK(rig.turn(true).wake);
    getrusage(RUSAGE_THREAD, &after);
    CHECK(after.ru_nvcsw - before.ru_nvcsw < 100);
  }
}

TEST("the kick descriptor hangs up: one event, the queue still answers when looked at") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    Driver other;
    const VringStart start{7, 8, other.addresses(), 0, true, ends[0], -1, -1};
    CHECK_EQ(rig.plane->startVring(start, other.memory()), 0);
    rig.plane->enableVring(7, true);
    rig.turn();
    close(ends[1]);
    CHECK_EQ(rig.turn(true).events, 1u);
    CHECK_EQ(rig.exchange->events[0].code, static_cast<uint32_t>(EventCode::kKickLost));
    CHECK_EQ(rig.exchange->events[0].queue, 7u);
    other.offer(other.chain(0, {{other.heap(), 16}}));
    CHECK_EQ(rig.turn().requests, 1u);
    CHECK_EQ(rig.turn().events, 0u);
  });
}

TEST("RG-026: a ring at its caps neither spins nor hides a wake-up") {
  forBothEngines([](bool uring) {
    for (const uint32_t pollUs : {0u, 10'000u}) {
      Rig rig({.uring = uring, .pollUs = pollUs, .driver = {.size = 64, .memoryBytes = 64 << 20}});
      const uint64_t start = rig.driver.options().guestAddress;
      for (uint16_t i = 0; i < 64; i++) {
        rig.driver.offer(rig.driver.chain(i, {{start, 32 << 20, true}}));
        rig.turn();
      }
      // Short waits, so that spinning seems worth it.
      for (int i = 0; i < 10; i++) {
        const Later wake(2, [&] { eventfd_write(rig.wakeFd, 1); });
        while (!rig.turn(true).wake) {
        }
      }
      const int64_t before = cpuUs();
      const Later wake(100, [&] { eventfd_write(rig.wakeFd, 1); });
      while (!rig.turn(true).wake) {
      }
      CHECK(cpuUs() - before < 50'000);
    }
  });
}

TEST("a guest that never pauses does not keep the main thread from being heard") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .driver = {.size = 64}});
    const Later wake(20, [&] { eventfd_write(rig.wakeFd, 1); });
    const auto start = Clock::now();
    bool heard = false;
    while (!heard && Clock::now() - start < std::chrono::seconds(1)) {
      Used used{};
      while (rig.driver.takeUsed(&used)) {
      }
      for (uint16_t slot = 0; slot < 4; slot++) {
        if (*rig.driver.host(rig.status(slot)) != 0xff) rig.post(slot, false, 0, 512);
      }
      const Rig::Turn turn = rig.turn(true);
      heard = turn.wake;
      rig.decide(turn);
    }
    CHECK(heard);
  });
}

}  // namespace
}  // namespace vhost::test
