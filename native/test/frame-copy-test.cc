// kCopyFrame: frames from one guest's chain into another's, each with a memory of its
// own; and what else a data plane keeps apart between devices.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <vector>

#include "check.h"
#include "frame-copier.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kCopyFrame = 12;
constexpr uint32_t kOtherQueue = 3;
constexpr QueueRange kSender = {0, 2};
constexpr QueueRange kReceiver = {3, 5};
constexpr uint32_t kSeed = 7;
constexpr uint32_t kNoRecord = 1;

// The rig's guest sends, the other one has receive chains on queue 3.
struct Guests {
  explicit Guests(bool packed = false) : rig({.driver = {.packed = packed}}) {
    alignas(4) static uint8_t arena[4096];
    for (size_t i = 0; i < sizeof arena; i++) arena[i] = patternByte(i, 99);
    bytes = arena;
    rig.plane->setArena({arena, sizeof arena});
    VringStart start{kOtherQueue, 8, other.addresses(), 0, true, -1, eventfd(0, 0), -1, packed};
    CHECK_EQ(rig.plane->startVring(start, other.memory()), 0);
    rig.plane->enableVring(kOtherQueue, true);
  }

  // A frame of the sender's: `count` bytes in two buffers.
  uint32_t send(uint32_t count) {
    rig.driver.fill(rig.data(0), count, kSeed);
    rig.driver.offer(rig.driver.chain(0, {{rig.data(0), 10}, {rig.data(0) + 10, count - 10}}));
    CHECK_EQ(rig.turn().requests, 1u);
    return rig.exchange->requests[0].chain;
  }

  // Receive chains of so many bytes each.
  std::vector<uint32_t> post(const std::vector<uint32_t>& rooms) {
    for (size_t i = 0; i < rooms.size(); i++) {
      other.fill(target(i), rooms[i] + 1, 0xee);
      other.offer(other.chain(static_cast<uint16_t>(i), {{target(i), rooms[i], true}}));
    }
    std::vector<uint32_t> chains;
    while (chains.size() < rooms.size()) {
      const uint32_t got = rig.turn().requests;
      for (uint32_t i = 0; i < got; i++) chains.push_back(rig.exchange->requests[i].chain);
    }
    return chains;
  }
  uint64_t target(size_t i) const { return other.heap() + i * 4096; }

  CommandRecord& copy(uint32_t chain, uint32_t from, uint32_t count, uint32_t prefix,
                      const std::vector<uint32_t>& targets) {
    CommandRecord& command = rig.command(kCopyFrame, chain);
    command.chainOffset = from;
    command.length = count;
    command.tailOffset = 1000;
    command.tailByte = prefix;
    command.usedLength = static_cast<uint32_t>(targets.size());
    command.file = 2048;
    if (targets.size() == 1) command.file = targets[0];
    if (targets.size() > 1) std::memcpy(bytes + 2048, targets.data(), targets.size() * 4);
    command.flags = kCommandComplete;
    return command;
  }
  // Result of the only completion of a turn.
  int result() {
    const Rig::Turn turn = rig.turn();
    return turn.completions == 0 ? kNoRecord : rig.exchange->completions[0].result;
  }
  uint32_t received() {
    Used used{};
    return other.takeUsed(&used) ? used.length : UINT32_MAX;
  }

  Rig rig;
  Driver other;
  uint8_t* bytes;
};

TEST("frame copy: prefix and the rest of a chain, over as many chains as were named") {
  const std::vector<uint32_t> rows[] = {{3000}, {500, 1000, 900}, {1, 17, 90, 3000}};
  for (const std::vector<uint32_t>& rooms : rows) {
    Guests guests;
    const uint32_t chain = guests.send(1000);
    const std::vector<uint32_t> targets = guests.post(rooms);
    guests.copy(chain, 26, 974, 30, targets);
    CHECK_EQ(guests.result(), kNoRecord);
    uint32_t at = 0;
    for (size_t i = 0; i < rooms.size(); i++) {
      const uint32_t here = std::min(rooms[i], 1004 - at);
      CHECK_EQ(guests.received(), here);
      const uint8_t* got = guests.other.host(guests.target(i));
      for (uint32_t j = 0; j < here; j++, at++) {
        CHECK_EQ(got[j], at < 30 ? patternByte(1000 + at, 99) : patternByte(at - 4, kSeed));
      }
      CHECK_EQ(got[here], patternByte(here, 0xee));
    }
    Used used{};
    CHECK(guests.rig.driver.takeUsed(&used));
    CHECK_EQ(used.length, 0u);
    CHECK(guests.rig.driver.canariesIntact() && guests.other.canariesIntact());
  }
}

TEST("frame copy: the sender's chain stays open for the next receiver unless told otherwise") {
  Guests guests;
  const uint32_t chain = guests.send(100);
  const std::vector<uint32_t> targets = guests.post({200, 200});
  guests.copy(chain, 0, 100, 0, {targets[0]}).flags = 0;
  guests.copy(chain, 0, 100, 0, {targets[1]});
  CHECK_EQ(guests.result(), kNoRecord);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(guests.received(), 100u);
    CHECK(guests.other.matches(guests.target(i), 100, kSeed));
  }
  CHECK_EQ(guests.rig.plane->inFlight(0), 0u);
}

TEST("frame copy: a frame of nobody's comes out of the arena alone") {
  Guests guests;
  const std::vector<uint32_t> targets = guests.post({200});
  guests.copy(kNoChain, 0, 500, 60, targets);
  CHECK_EQ(guests.result(), kNoRecord);
  CHECK_EQ(guests.received(), 60u);
}

TEST("frame copy: what lies outside the arena moves nothing") {
  Guests guests;
  const uint32_t chain = guests.send(100);
  const std::vector<uint32_t> targets = guests.post({200, 200});
  guests.copy(chain, 0, 100, 0, targets).tailOffset = 4097;
  CHECK_EQ(guests.result(), -EINVAL);
  guests.copy(chain, 0, 100, 3097, targets);
  CHECK_EQ(guests.result(), -EINVAL);
  guests.copy(chain, 0, 100, 0, targets).file = 4092;
  CHECK_EQ(guests.result(), -EINVAL);
  guests.copy(chain, 0, 100, 0, targets).file = 2049;
  CHECK_EQ(guests.result(), -EINVAL);
  guests.copy(chain, 0, 100, 0, targets).length = -1;
  CHECK_EQ(guests.result(), -EINVAL);
  CHECK_EQ(guests.rig.plane->inFlight(0), 1u);
  CHECK_EQ(guests.rig.plane->inFlight(kOtherQueue), 2u);
}

TEST("frame copy: a chain that is none any more is passed over") {
  Guests guests;
  const uint32_t chain = guests.send(100);
  const std::vector<uint32_t> targets = guests.post({200});
  guests.copy(chain, 0, 100, 0, {(9 << 16) | 1, targets[0], kNoChain});
  CHECK_EQ(guests.result(), kNoRecord);
  CHECK_EQ(guests.received(), 100u);
  guests.copy(chain, 0, 100, 0, {targets[0]});
  CHECK_EQ(guests.result(), kNoRecord);
  CHECK_EQ(guests.received(), UINT32_MAX);
}

// Found by fuzzing: a length that no integer holds was cast to one.
TEST("frame copy: a length that is none is refused") {
  for (const double length : {1.3e241, std::nan(""), -1.0, 4294967296.0}) {
    Guests guests;
    const uint32_t chain = guests.send(100);
    const std::vector<uint32_t> targets = guests.post({200});
    guests.copy(chain, 0, 100, 0, targets).length = length;
    CHECK_EQ(guests.result(), -EINVAL);
    CHECK_EQ(guests.received(), UINT32_MAX);
  }
}

TEST("frame copy: memory lost on one side ends that guest's ring, not the other's") {
  for (const bool senders : {true, false}) {
    Guests guests;
    const uint32_t chain = guests.send(100);
    const std::vector<uint32_t> targets = guests.post({200});
    const Driver& lost = senders ? guests.rig.driver : guests.other;
    const_cast<Driver&>(lost).file().truncate(0);
    guests.copy(chain, 0, 100, 0, targets);
    CHECK_EQ(guests.rig.turn().events, 1u);
    const EventRecord& event = guests.rig.exchange->events[0];
    CHECK_EQ(event.code, static_cast<uint32_t>(EventCode::kQueueBroken));
    CHECK_EQ(event.queue, senders ? 0u : kOtherQueue);
    CHECK_EQ(event.detail, static_cast<uint32_t>(RingFault::kMemoryLost));
    if (senders) CHECK_EQ(guests.received(), 100u);
  }
}

TEST("a device's memory changes while another's requests are in flight") {
  Guests guests;
  const std::vector<uint32_t> targets = guests.post({200});
  DataPlane& plane = *guests.rig.plane;
  plane.hold(true, kSender);
  CHECK_EQ(plane.inFlightTotal(kSender), 0u);
  CHECK_EQ(plane.inFlightTotal(kReceiver), 1u);
  guests.rig.driver.fill(guests.rig.data(0), 100, kSeed);
  guests.rig.driver.offer(guests.rig.driver.chain(0, {{guests.rig.data(0), 100}}));
  CHECK_EQ(guests.rig.turn(true).requests, 0u);
  plane.changeMemory(guests.rig.driver.memory(), kSender);
  plane.hold(false, kSender);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  CHECK(targets[0] >> 16 == kOtherQueue);
}

TEST("a turn takes no more of a queue than its bytes allow, and goes on with the next") {
  Rig rig;
  rig.plane->limitTurn(1000);
  for (uint16_t i = 0; i < 8; i++) {
    rig.driver.offer(rig.driver.chain(i, {{rig.data(0), 400}}));
  }
  // Half of what waits, four, would be 1600 bytes.
  CHECK_EQ(rig.turn().requests, 3u);
  CHECK_EQ(rig.turn().requests, 3u);
  CHECK_EQ(rig.turn().requests, 2u);
}

}  // namespace
}  // namespace vhost::test
