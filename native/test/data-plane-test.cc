#include "data-plane.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

// Packed rings of a size that is no power of two, soon at their end.
const DriverOptions kRingModes[] = {
    {.size = 64, .eventIdx = false, .base = 65530},
    {.size = 64, .eventIdx = true, .base = 65530},
    {.size = 61, .eventIdx = false, .base = 0x8000 + 40, .packed = true},
    {.size = 61, .eventIdx = true, .base = 40, .packed = true},
};

TEST("reads out of the page cache: the first are shown while the others are copied") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .driver = {.size = 128, .eventIdx = false}});
    // What the kernel has moved once is known to be in the cache.
    rig.post(0, false, 0, 4096);
    rig.serve(1);
    rig.calls();
    for (uint16_t slot = 1; slot <= 32; slot++) rig.post(slot, false, 0, 4096);
    const Rig::Turn turn = rig.turn();
    CHECK_EQ(turn.requests, 16u);  // half of them
    rig.decide(turn);
    const Rig::Turn next = rig.turn();
    CHECK_EQ(rig.calls(), 2u);
    rig.decide(next);
    rig.serve(32);
  });
}

TEST("whole turns: writes and reads against a file, in all ring modes and over the index wrap") {
  forBothEngines([](bool uring) {
    for (const DriverOptions& mode : kRingModes) {
      Rig rig({.uring = uring, .driver = mode});
      for (uint16_t slot = 0; slot < 16; slot++) {
        rig.driver.fill(rig.data(slot), 4096, slot);
        rig.post(slot, true, slot * 4096, 4096);
      }
      rig.serve(16);
      CHECK(rig.calls() > 0);
      for (uint16_t slot = 0; slot < 16; slot++) {
        const std::vector<uint8_t> bytes = rig.file.read(slot * 4096, 4096);
        for (size_t i = 0; i < 4096; i++) CHECK_EQ(bytes[i], patternByte(i, slot));
        CHECK_EQ(*rig.driver.host(rig.status(slot)), 0);
        rig.driver.fill(rig.data(slot), 4096, 200);
        rig.post(slot, false, (15 - slot) * 4096, 4096);
      }
      rig.serve(16);
      for (uint16_t slot = 0; slot < 16; slot++) {
        CHECK(rig.driver.matches(rig.data(slot), 4096, static_cast<uint8_t>(15 - slot)));
        CHECK_EQ(*rig.driver.host(rig.status(slot)), 0);
      }
      for (size_t i = 0; i < rig.used.size(); i++) {
        CHECK_EQ(rig.used[i].length, i < 16 ? 1u : 4097u);
      }
      CHECK_EQ(rig.plane->requestCount(0), 32u);
      CHECK_EQ(rig.plane->inFlightTotal(), 0u);
    }
  });
}

TEST("BK-028: a direct file with aligned and misaligned guest buffers") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .directAlign = 4096, .driver = {.size = 128}});
    // 40: more than there are bounce buffers, so that some wait for one.
    for (uint16_t slot = 0; slot < 40; slot++) {
      rig.driver.fill(rig.data(slot) + 8, 4096, slot);
      rig.post(slot, true, slot * 4096, 4096);
      rig.driver.setDescriptor(slot * 3 + 1,
                               {rig.data(slot) + 8, 4096, kNext, uint16_t(slot * 3 + 2)});
    }
    rig.serve(40);
    for (uint16_t slot = 0; slot < 40; slot++) rig.post(slot, false, slot * 4096, 4096);
    rig.serve(40);
    for (uint16_t slot = 0; slot < 40; slot++) {
      CHECK_EQ(*rig.driver.host(rig.status(slot)), 0);
      CHECK(rig.driver.matches(rig.data(slot), 4096, static_cast<uint8_t>(slot)));
    }
  });
}

TEST("BK-028: who waits for a bounce buffer first gets it first") {
  Rig rig({.directAlign = 4096, .driver = {.size = 512, .memoryBytes = 4 << 20}});
  rig.file.fill(0, rig.options.fileBytes, 1);
  const auto post = [&](uint16_t slot) {
    rig.post(slot, false, slot % 64 * 4096, 4096);
    rig.driver.setDescriptor(slot * 3 + 1, {rig.data(slot) + 8, 4096, kWrite | kNext,
                                            static_cast<uint16_t>(slot * 3 + 2)});
  };
  // Every command in one turn: 32 get a buffer, 68 wait.
  std::vector<CommandRecord> all;
  for (uint16_t slot = 0; slot < 100; slot++) post(slot);
  while (all.size() < 100) {
    rig.decide(rig.turn());
    all.insert(all.end(), rig.exchange->commands, rig.exchange->commands + rig.commands);
    rig.commands = 0;
  }
  std::copy(all.begin(), all.end(), rig.exchange->commands);
  rig.commands = 100;
  rig.serve(100);
  const auto place = [&](uint32_t slot) {
    return std::find_if(rig.used.begin(), rig.used.end(),
                        [&](const Used& used) { return used.id == slot * 3; });
  };
  CHECK(place(32) < place(99));
  CHECK(place(33) < place(98));
}

TEST("BK-024: a read behind the end of the file comes back as an error, with its tag") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .fileBytes = 6000});
    rig.post(0, false, 4096, 4096);
    rig.post(1, false, 0, 4096);
    rig.serve(2);
    CHECK_EQ(*rig.driver.host(rig.status(0)), 1);
    CHECK_EQ(*rig.driver.host(rig.status(1)), 0);
  });
}

TEST("a broken ring: event, err signalled once, nothing more is popped, others go on") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    Driver healthy;
    const VringStart start{1, 8, healthy.addresses(), 0, true, -1, -1, -1};
    CHECK_EQ(rig.plane->startVring(start, healthy.memory()), 0);
    rig.plane->enableVring(1, true);
    rig.driver.offer(8);  // RG-004
    const Rig::Turn turn = rig.turn();
    CHECK_EQ(turn.requests, 0u);
    CHECK_EQ(turn.events, 1u);
    const EventRecord& event = rig.exchange->events[0];
    CHECK_EQ(event.code, static_cast<uint32_t>(EventCode::kQueueBroken));
    CHECK_EQ(event.queue, 0u);
    CHECK_EQ(event.detail, static_cast<uint32_t>(RingFault::kHeadIndex));
    rig.post(1, true, 0, 16);
    healthy.offer(healthy.chain(0, {{healthy.heap(), 16}, {healthy.heap() + 64, 17, true}}));
    const Rig::Turn next = rig.turn();
    CHECK_EQ(next.events, 0u);
    CHECK_EQ(next.requests, 1u);
    CHECK_EQ(rig.exchange->requests[0].chain, 1u << 16);
    CHECK_EQ(rig.errors(), 1u);
    CHECK(rig.plane->endVring(0) >= 0);  // GET_VRING_BASE heals it
  });
}

TEST("a broken packed ring costs its queue, and says why") {
  Rig rig({.driver = {.base = 0x8000, .packed = true}});
  rig.post(0, true, 0, 512);
  rig.driver.packed().offer({{rig.data(1), 16, 9, 0}});  // PK-005
  CHECK_EQ(rig.turn(true).requests, 1u);
  CHECK_EQ(rig.turn(true).events, 1u);
  CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kBufferId));
  CHECK_EQ(rig.errors(), 1u);
}

TEST("PK-013: drain and end of a packed ring, and on from its base") {
  Rig rig({.driver = {.size = 7, .base = 0x8000 + 5, .packed = true}});
  for (uint16_t slot : {0, 1}) rig.post(slot, true, 0, 512);
  rig.serve(2);
  const int64_t base = rig.plane->endVring(0);
  CHECK_EQ(base, 0x00040004);  // six entries on, over the end: the wrap counters have changed
  VringStart again = rig.vringStart(0);
  again.availBase = static_cast<uint32_t>(base);
  CHECK_EQ(rig.plane->startVring(again, rig.driver.memory()), 0);
  rig.plane->enableVring(0, true);
  for (uint16_t slot : {0, 1}) rig.post(slot, false, 0, 512);
  rig.serve(2);
  CHECK_EQ(rig.plane->endVring(0), int64_t{0x80038003});  // more than an int holds
}

TEST("RG-001: every ring fault before the first request costs its queue, not the turn") {
  Rig rig;
  rig.driver.setAvailIndex(9);
  CHECK_EQ(rig.turn(true).events, 1u);
  CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kAvailIndex));
}

TEST("drain and end: no more pops, busy until nothing is in flight, then the next index") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring, .driver = {.base = 65535}});
    rig.post(0, true, 0, 512);
    const Rig::Turn turn = rig.turn();
    CHECK_EQ(turn.requests, 1u);
    CHECK_EQ(rig.plane->inFlight(0), 1u);
    CHECK_EQ(rig.plane->endVring(0), -EBUSY);
    rig.plane->drainVring(0);
    rig.post(1, true, 512, 512);
    rig.decide(turn);
    rig.turnUntil([&](const Rig::Turn& now) {
      CHECK_EQ(now.requests, 0u);
      return rig.plane->inFlight(0) == 0;
    });
    CHECK_EQ(rig.driver.usedIndex(), 0);
    CHECK_EQ(rig.plane->endVring(0), 0);
    CHECK_EQ(rig.plane->endVring(0), -ENOENT);
    CHECK_EQ(rig.plane->inFlight(0), 0u);
    // The next one begins where this one ended.
    VringStart again = rig.vringStart(0);
    again.availBase = 0;
    CHECK_EQ(rig.plane->startVring(again, rig.driver.memory()), 0);
    CHECK_EQ(rig.startVring(0), -EINVAL);
    rig.plane->enableVring(0, true);
    rig.serve(2);
    CHECK_EQ(*rig.driver.host(rig.status(1)), 0);
  });
}

TEST("a disabled vring is not popped") {
  Rig rig;
  rig.plane->enableVring(0, false);
  rig.post(0, true, 0, 512);
  CHECK_EQ(rig.turn().requests, 0u);
  rig.plane->enableVring(0, true);
  CHECK_EQ(rig.turn().requests, 1u);
}

TEST("CS-081 CS-084 RG-042: hold and changeMemory; a ring that is left out is given up") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    rig.post(0, true, 0, 512);
    rig.plane->hold(true);
    CHECK_EQ(rig.turn().requests, 0u);
    int error = 0;
    const auto again = GuestMemory().with(rig.driver.file().fd(), rig.driver.region(), &error);
    rig.plane->changeMemory(again);
    CHECK_EQ(rig.turn().events, 0u);
    rig.plane->hold(false);
    rig.serve(1);
    rig.plane->changeMemory(std::make_shared<GuestMemory>());
    rig.post(1, true, 0, 512);
    const Rig::Turn turn = rig.turn();
    CHECK_EQ(turn.requests, 0u);
    CHECK_EQ(turn.events, 1u);
    CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kRingAddress));
  });
}

TEST("CS-077: memory lost under the ring, the header, the status, the data") {
  const struct {
    uint64_t kept;  // bytes of the file
    bool write;
  } rows[] = {{0, true}, {4096, true}, {8192, true}, {8192, false}, {12288, true}, {12288, false}};
  forBothEngines([&](bool uring) {
    for (const auto& row : rows) {
      Rig rig({.uring = uring});
      rig.post(0, row.write, 0, 8192);
      rig.driver.file().truncate(row.kept);
      // The driver's own mapping must not be touched from here on.
      Rig::Turn turn{};
      for (int i = 0; i < 500 && turn.events == 0; i++) {
        turn = rig.turn();
        rig.decide(turn);
        if (turn.events == 0) usleep(200);
      }
      CHECK_EQ(turn.events, 1u);
      CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kMemoryLost));
      CHECK_EQ(rig.plane->callCount(0), 0u);
      CHECK_EQ(rig.errors(), 1u);
    }
  });
}

TEST("CS-077: nothing is called done on memory lost since it was popped, draining or not") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    rig.post(0, false, 0, 8192);
    const Rig::Turn popped = rig.turn();
    CHECK_EQ(popped.requests, 1u);
    rig.plane->drainVring(0);
    rig.driver.file().truncate(8192);
    rig.decide(popped);
    rig.turnUntil([&](const Rig::Turn& turn) {
      rig.decide(turn);
      return turn.events > 0;
    });
    CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kMemoryLost));
    CHECK_EQ(rig.plane->callCount(0), 0u);
  });
}

TEST("copyIn and copyOut reach the chain in flight and no other") {
  Rig rig;
  rig.driver.fill(rig.data(0), 64, 3);
  rig.driver.chain(0, {{rig.data(0), 64}, {rig.data(1), 8, true}});
  rig.driver.offer(0);
  CHECK_EQ(rig.turn().requests, 1u);
  uint8_t out[100] = {};
  CHECK_EQ(rig.plane->copyOut(0, 16, out, 100), 48);
  for (int i = 0; i < 48; i++) CHECK_EQ(out[i], patternByte(i + 16, 3));
  CHECK_EQ(rig.plane->copyOut(0, 64, out, 1), 0);
  CHECK_EQ(rig.plane->copyIn(0, 4, "abcdefgh", 8), 4);
  CHECK_EQ(*rig.driver.host(rig.data(1) + 7), 'd');
  CHECK_EQ(*rig.driver.host(rig.data(1) + 8), 0);
  for (const uint32_t chain : {1u, 7u, 8u, 0xffffu, 1u << 16, 255u << 16, 256u << 16, kNoChain}) {
    CHECK_EQ(rig.plane->copyOut(chain, 0, out, 1), -EINVAL);
    CHECK_EQ(rig.plane->copyIn(chain, 0, out, 1), -EINVAL);
  }
}

TEST("RG-049: the header record has no bytes of an earlier request behind a short one") {
  Rig rig;
  rig.driver.fill(rig.data(0), 48, 77);
  rig.driver.offer(rig.driver.chain(0, {{rig.data(0), 48}}));
  CHECK_EQ(rig.turn().requests, 1u);
  rig.driver.offer(rig.driver.chain(1, {{rig.data(0), 3}}));
  CHECK_EQ(rig.turn().requests, 1u);
  const RequestRecord& record = rig.exchange->requests[0];
  CHECK_EQ(record.readableBytes, 3u);
  for (int i = 0; i < 16; i++) CHECK_EQ(record.header[i], i < 3 ? patternByte(i, 77) : 0);
}

TEST("the header length is bounded by the record") {
  Exchange exchange;
  const int wake = eventfd(0, EFD_CLOEXEC);
  int error = 0;
  CHECK(DataPlane::create({false, wake, 0, kHeaderBytesMax, &exchange}, &error) != nullptr);
  CHECK(DataPlane::create({false, wake, 0, kHeaderBytesMax + 1, &exchange}, &error) == nullptr);
  CHECK_EQ(error, -EINVAL);
  close(wake);
}

TEST("descriptors of the device's: an event for each edge, none twice, none after the end") {
  forBothEngines([](bool uring) {
    Rig rig({.uring = uring});
    const EventRecord& first = rig.exchange->events[0];
    const int fd = eventfd(0, EFD_NONBLOCK);
    CHECK_EQ(rig.plane->watch(fd, 7), 0);
    CHECK_EQ(rig.plane->watch(fd, 7), -EEXIST);
    for (int round = 0; round < 3; round++) {
      eventfd_write(fd, 1);
      eventfd_write(fd, 1);
      rig.turnUntil([](const Rig::Turn& turn) { return turn.events > 0; });
      CHECK_EQ(first.code, static_cast<uint32_t>(EventCode::kReadable));
      CHECK_EQ(first.queue, 7u);
      CHECK_EQ(first.detail, 0u);
      eventfd_t value = 0;
      CHECK_EQ(eventfd_read(fd, &value), 0);
      for (int i = 0; i < 20; i++) CHECK_EQ(rig.turn().events, 0u);
    }
    rig.plane->unwatch(7);
    rig.plane->unwatch(7);
    eventfd_write(fd, 1);
    for (int i = 0; i < 20; i++) CHECK_EQ(rig.turn().events, 0u);
    CHECK_EQ(rig.plane->watch(fd, 7), 0);
    rig.turnUntil([](const Rig::Turn& turn) { return turn.events > 0; });  // readable already
    rig.plane->unwatch(7);
    close(fd);

    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(rig.plane->watch(ends[0], 8), 0);
    close(ends[1]);
    rig.turnUntil([](const Rig::Turn& turn) { return turn.events > 0; });
    CHECK_EQ(first.queue, 8u);
    CHECK_EQ(first.detail, 1u);
    CHECK_EQ(rig.plane->watch(ends[0], 8), 0);  // it is free again
    rig.plane->unwatch(8);
    close(ends[0]);
    CHECK_EQ(rig.plane->watch(rig.file.fd(), 9), -EPERM);
  });
}

TEST("more events than the table holds come later, in order") {
  Rig rig;
  std::vector<int> fds;
  const uint32_t count = kEventsMax + 10;
  for (uint32_t token = 0; token < count; token++) {
    fds.push_back(eventfd(1, EFD_NONBLOCK));
    CHECK_EQ(rig.plane->watch(fds.back(), token), 0);
  }
  std::vector<bool> seen(count);
  uint32_t told = 0;
  rig.turnUntil([&](const Rig::Turn& turn) {
    for (uint32_t i = 0; i < turn.events; i++) seen[rig.exchange->events[i].queue] = true;
    told += turn.events;
    return told >= count;
  });
  CHECK_EQ(told, count);
  CHECK(std::all_of(seen.begin(), seen.end(), [](bool one) { return one; }));
  for (int fd : fds) close(fd);
}

}  // namespace
}  // namespace vhost::test
