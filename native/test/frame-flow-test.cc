// Frames forwarded by flows: what a flow speaks for, what it must not touch, and whose chains it
// takes.
#include "frame-flow.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "clock.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kOtherQueue = 3;
constexpr uint32_t kSeed = 7;
constexpr uint32_t kFrameBytes = 100;
constexpr uint32_t kSkipped = 26;
constexpr uint32_t kPrefixBytes = 30;
constexpr uint32_t kPlaces = 8;
constexpr uint32_t kNobody = UINT32_MAX;

double nowMs() {
  return static_cast<double>(monotonicNs()) / 1e6;
}

struct Tables {
  FrameFlow flows[kFlowsPerQueue];
  ChainShelf shelf;
  uint32_t chains[kPlaces];
  uint32_t rooms[kPlaces];
};

// The rig's guest sends on queue 0; what the other one posts on queue 3 is kept.
struct Guests {
  explicit Guests(bool packed = false)
      : rig({.driver = {.packed = packed}}),
        other({.packed = packed}),
        tables(std::make_unique<Tables>()) {
    std::memset(tables.get(), 0, sizeof(Tables));
    tables->shelf.mask = kPlaces - 1;
    tables->shelf.bytesMin = 12;
    rig.plane->setArena({reinterpret_cast<uint8_t*>(tables.get()), sizeof(Tables)});
    VringStart start{kOtherQueue, 8, other.addresses(), 0, true, -1, eventfd(0, 0), -1, packed};
    CHECK_EQ(rig.plane->startVring(start, other.memory()), 0);
    rig.plane->enableVring(kOtherQueue, true);
    CHECK_EQ(rig.plane->keepChains(kOtherQueue, offsetof(Tables, shelf), received), 0);
    CHECK_EQ(rig.plane->forwardFrames(0, 0, sent), 0);
  }

  // A flow for frames that send() makes of this seed.
  FrameFlow& flow(size_t index = 0, uint32_t seed = kSeed) {
    FrameFlow& made = tables->flows[index];
    auto* front = reinterpret_cast<uint8_t*>(made.front);
    auto* mask = reinterpret_cast<uint8_t*>(made.mask);
    for (uint32_t i = 0; i < kSkipped; i++) front[i] = patternByte(i, seed);
    std::memset(mask, 0xff, kSkipped);
    mask[10] = mask[11] = 0;
    for (uint32_t i = 0; i < kFrontBytes; i++) made.prefix[i] = patternByte(i, 99);
    made.untilMs = nowMs() + 60'000;
    made.prefixBytes = kPrefixBytes;
    made.skippedBytes = made.readableMin = kSkipped;
    made.readableMax = 60'000;
    made.target = kOtherQueue;
    return made;
  }

  // A frame of the sender's in two buffers, the first of `split` bytes; 0: in one.
  void send(uint16_t slot, uint32_t bytes = kFrameBytes, uint32_t split = 40,
            uint32_t seed = kSeed) {
    const uint64_t at = rig.data(slot);
    rig.driver.fill(at, bytes, seed);
    if (split == 0 || split >= bytes) {
      rig.driver.offer(rig.driver.chain(slot, {{at, bytes}}));
    } else {
      const auto head = static_cast<uint16_t>(2 * slot);
      rig.driver.offer(rig.driver.chain(head, {{at, split}, {at + split, bytes - split}}));
    }
  }

  uint64_t target(size_t i) const { return other.heap() + i * 4096; }
  void post(size_t i, uint32_t room) {
    other.fill(target(i), room + 1, 0xee);
    other.offer(other.chain(static_cast<uint16_t>(i), {{target(i), room, true}}));
  }

  // Bytes the receiver got next.
  uint32_t got() {
    Used used{};
    return other.takeUsed(&used) ? used.length : kNobody;
  }
  bool gaveBack() {
    Used used{};
    return rig.driver.takeUsed(&used);
  }
  bool holdsFrame(size_t i, uint32_t bytes) {
    const uint8_t* at = other.host(target(i));
    for (uint32_t j = 0; j < bytes; j++) {
      const uint8_t wanted =
          j < kPrefixBytes ? patternByte(j, 99) : patternByte(j - kPrefixBytes + kSkipped, kSeed);
      if (at[j] != wanted) return false;
    }
    return at[bytes] == patternByte(bytes, 0xee);
  }

  Rig rig;
  Driver other;
  std::unique_ptr<Tables> tables;
  double sent[kCountsMin] = {};
  double received[kCountsMin] = {};
};

TEST("flow: the receiver gets the prefix and the rest, and nobody is asked") {
  for (const bool packed : {false, true}) {
    for (const uint32_t split : {0u, 12u, 26u, 31u, 32u, 40u, 99u}) {
      Guests guests(packed);
      guests.flow();
      guests.post(0, 500);
      guests.send(0, kFrameBytes, split);
      CHECK_EQ(guests.rig.turn().requests, 0u);
      const uint32_t total = kPrefixBytes + kFrameBytes - kSkipped;
      CHECK_EQ(guests.got(), total);
      CHECK(guests.holdsFrame(0, total));
      CHECK(guests.gaveBack());
      CHECK_EQ(guests.sent[kCountFrames], 1);
      CHECK_EQ(guests.sent[kCountBytes], kFrameBytes - 12);
      CHECK_EQ(guests.received[kCountFrames], 1);
      CHECK_EQ(guests.received[kCountBytes], total - 12);
      CHECK_EQ(guests.rig.plane->inFlightTotal(), 0u);
      CHECK(guests.rig.driver.canariesIntact() && guests.other.canariesIntact());
    }
  }
}

TEST("flow: it speaks for no other frame, and not for ever") {
  struct Case {
    const char* what;
    bool goes;
    std::function<void(FrameFlow&)> change;
  };
  const auto other = [](size_t at) {
    return [at](FrameFlow& flow) { reinterpret_cast<uint8_t*>(flow.front)[at] ^= 0x10; };
  };
  const Case cases[] = {
      {"as it was", true, [](FrameFlow&) {}},
      {"another flag", false, other(0)},
      {"num_buffers", true, other(10)},
      {"another destination", false, other(12)},
      {"another type", false, other(25)},
      {"payload", true, other(26)},
      {"long enough", true, [](FrameFlow& flow) { flow.readableMin = kFrameBytes; }},
      {"too short", false, [](FrameFlow& flow) { flow.readableMin = kFrameBytes + 1; }},
      {"short enough", true, [](FrameFlow& flow) { flow.readableMax = kFrameBytes; }},
      {"too long", false, [](FrameFlow& flow) { flow.readableMax = kFrameBytes - 1; }},
      {"taken back", false, [](FrameFlow& flow) { flow.untilMs = 0; }},
      {"run out", false, [](FrameFlow& flow) { flow.untilMs = nowMs() - 0.001; }},
      {"no time", false, [](FrameFlow& flow) { flow.untilMs = std::nan(""); }},
      {"no queue", false, [](FrameFlow& flow) { flow.target = UINT32_MAX; }},
      {"a queue that keeps nothing", false, [](FrameFlow& flow) { flow.target = 0; }},
  };
  for (const Case& each : cases) {
    Guests guests;
    each.change(guests.flow());
    guests.post(0, 500);
    guests.send(0);
    const bool goes = guests.rig.turn().requests == 0;
    if (goes != each.goes) throw std::runtime_error(each.what);
    CHECK_EQ(guests.got() != kNobody, each.goes);
    CHECK_EQ(guests.sent[kCountFrames], each.goes ? 1 : 0);
  }
}

TEST("flow: a frame shorter than the front is compared with zeroes behind it") {
  Guests guests;
  FrameFlow& flow = guests.flow();
  std::memset(flow.mask, 0xff, kFrontBytes);
  guests.post(0, 500);
  auto* front = reinterpret_cast<uint8_t*>(flow.front);
  front[kSkipped] = 1;
  guests.send(0, kSkipped);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  front[kSkipped] = 0;
  guests.send(1, kSkipped);
  CHECK_EQ(guests.rig.turn().requests, 0u);
  CHECK_EQ(guests.got(), kPrefixBytes);
}

TEST("flow: the one of several that speaks for a frame") {
  Guests guests;
  for (uint32_t i = 0; i < kFlowsPerQueue; i++) guests.flow(i, kSeed + i).prefixBytes = i;
  for (uint16_t i = 0; i < kPlaces; i++) guests.post(i, 500);
  for (const uint32_t which : {5u, 5u, 0u, 7u}) {
    guests.send(0, kFrameBytes, 40, kSeed + which);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    CHECK_EQ(guests.got(), which + kFrameBytes - kSkipped);
    CHECK(guests.gaveBack());
  }
}

TEST("flow: what comes behind a frame that is shown is shown too, in its order") {
  Guests guests;
  guests.flow();
  for (size_t i = 0; i < kPlaces; i++) guests.post(i, 500);
  // Half of what waits is taken in a turn: 0, 1, then another's, and 3.
  for (const uint16_t slot : {0, 1, 2, 3, 4, 5, 6, 7}) {
    guests.send(slot, kFrameBytes, 0, slot == 2 ? kSeed + 1 : kSeed);
  }
  CHECK_EQ(guests.rig.turn().requests, 2u);
  CHECK_EQ(guests.rig.exchange->requests[0].chain & 0xffff, 2u);
  CHECK_EQ(guests.rig.exchange->requests[1].chain & 0xffff, 3u);
  CHECK_EQ(guests.sent[kCountFrames], 2);
  // They are decided before the next turn looks at the ring: the others may go again.
  CHECK_EQ(guests.rig.turn().requests, 0u);
  CHECK(guests.sent[kCountFrames] > 2);
}

TEST("flow: taken back between batches, nothing more goes") {
  Guests guests;
  FrameFlow& flow = guests.flow();
  for (size_t i = 0; i < kPlaces; i++) guests.post(i, 500);
  guests.send(0);
  CHECK_EQ(guests.rig.turn().requests, 0u);
  flow.untilMs = 0;
  guests.send(1);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  CHECK_EQ(guests.received[kCountFrames], 1);
}

TEST("flow: while commands are left over from a full table frames are shown") {
  Guests guests;
  guests.flow();
  guests.post(0, 500);
  guests.send(0);
  while (guests.rig.commands < kCommandsMax) guests.rig.command(6, kNoChain);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  guests.send(1);
  CHECK_EQ(guests.rig.turn().requests, 0u);
}

TEST("flow: a chain that is too small is TypeScript's affair, none at all is a drop") {
  Guests guests;
  guests.flow();
  guests.send(0);
  CHECK_EQ(guests.rig.turn().requests, 0u);
  CHECK(guests.gaveBack());
  CHECK_EQ(guests.received[kCountNoRoom], 1);
  CHECK_EQ(guests.received[kCountFrames], 0);
  CHECK_EQ(guests.sent[kCountFrames], 1);
  guests.post(0, kPrefixBytes + kFrameBytes - kSkipped - 1);
  guests.post(1, 500);
  guests.send(1);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  guests.rig.turn();
  CHECK_EQ(guests.tables->shelf.put - guests.tables->shelf.taken, 2u);
}

TEST("flow: chains posted since the last look are found when they are needed") {
  Guests guests;
  guests.flow();
  for (uint16_t round = 0; round < 20; round++) {
    guests.post(0, 500);
    guests.send(0);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    CHECK_EQ(guests.got(), kPrefixBytes + kFrameBytes - kSkipped);
    CHECK(guests.gaveBack());
  }
  CHECK_EQ(guests.received[kCountNoRoom], 0);
}

TEST("kept chains: in their order, round the shelf; too short ones go back") {
  Guests guests;
  ChainShelf& shelf = guests.tables->shelf;
  shelf.taken = shelf.put = UINT32_MAX - 1;
  guests.post(0, 11);
  guests.post(1, 12);
  guests.post(2, 300);
  guests.post(3, 400);
  for (int i = 0; i < 4; i++) CHECK_EQ(guests.rig.turn().requests, 0u);
  CHECK_EQ(guests.got(), 0u);
  CHECK_EQ(guests.got(), kNobody);
  CHECK_EQ(shelf.put, 1u);
  const uint32_t places[] = {6, 7, 0};
  for (uint32_t i = 0; i < 3; i++) {
    CHECK_EQ(guests.tables->chains[places[i]], kOtherQueue << 16 | (i + 1));
  }
  CHECK_EQ(guests.tables->rooms[0], 400u);
}

TEST("kept chains: a shelf smaller than the ring gives back what has no place") {
  Guests guests;
  guests.tables->shelf.mask = 1;
  CHECK_EQ(guests.rig.plane->keepChains(kOtherQueue, offsetof(Tables, shelf), guests.received), 0);
  for (size_t i = 0; i < 4; i++) guests.post(i, 500);
  for (int i = 0; i < 4; i++) CHECK_EQ(guests.rig.turn().requests, 0u);
  CHECK_EQ(guests.got(), 0u);
  CHECK_EQ(guests.got(), 0u);
  CHECK_EQ(guests.got(), kNobody);
  CHECK_EQ(guests.rig.plane->inFlight(kOtherQueue), 2u);
}

// The other guest's ring ends while frames for it come: what was kept goes back into it first.
TEST("flow: a target that is stopped, held or gone gets nothing") {
  for (const bool held : {false, true}) {
    Guests guests;
    DataPlane& plane = *guests.rig.plane;
    guests.flow();
    guests.post(0, 500);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    if (held) {
      plane.hold(true, {kOtherQueue, kOtherQueue});
    } else {
      plane.drainVring(kOtherQueue);
    }
    guests.tables->shelf.taken = guests.tables->shelf.put;
    guests.rig.command(11, kOtherQueue << 16);
    guests.send(0);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    CHECK_EQ(guests.received[kCountNoRoom], 1);
    CHECK_EQ(plane.inFlight(kOtherQueue), 0u);
    if (!held) CHECK_EQ(plane.endVring(kOtherQueue), 0);
    guests.send(1);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    CHECK_EQ(guests.received[kCountNoRoom], 2);
    CHECK_EQ(guests.got(), kNobody);
  }
}

// A shelf may name what is no chain any more; then nothing is written anywhere.
TEST("flow: a kept chain that is none any more swallows its frame") {
  Guests guests;
  guests.flow();
  guests.post(0, 500);
  CHECK_EQ(guests.rig.turn().requests, 0u);
  guests.rig.command(11, kOtherQueue << 16);
  CHECK_EQ(guests.rig.turn().requests, 0u);
  for (const uint32_t chain : {kOtherQueue << 16 | 7, 9u << 16, kNoChain}) {
    guests.tables->chains[guests.tables->shelf.put & (kPlaces - 1)] = chain;
    guests.tables->rooms[guests.tables->shelf.put & (kPlaces - 1)] = UINT32_MAX;
    guests.tables->shelf.put++;
  }
  while (guests.sent[kCountFrames] < 3) {
    guests.send(0);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    CHECK(guests.gaveBack());
  }
  CHECK(guests.other.canariesIntact());
}

// What a former back-end left is fetched while a ring drains: on a shelf it would stay.
TEST("kept chains: those of a ring that drains are shown") {
  constexpr uint32_t kLeftQueue = 5;
  Guests guests;
  Driver left({.size = 8});
  SharedFile file(16384);
  int error = 0;
  const auto area = InflightArea::map(file.fd(), {16384, 0, 1, 8}, &error);
  CHECK_EQ(error, 0);
  {
    SplitRing killed;
    CHECK_EQ(left.start(&killed), 0);
    CHECK_EQ(killed.track(area, 0), 0);
    left.offer(left.chain(0, {{left.heap(), 500, true}}));
    uint16_t head = 0;
    CHECK_EQ(killed.pop(&head), RingFault::kNone);
  }
  DataPlane& plane = *guests.rig.plane;
  VringStart start{kLeftQueue, 8, left.addresses(), 0, true, -1, -1, -1};
  start.inflight = area;
  CHECK_EQ(plane.startVring(start, left.memory()), 0);
  CHECK_EQ(plane.keepChains(kLeftQueue, offsetof(Tables, shelf), guests.received), 0);
  plane.enableVring(kLeftQueue, true);
  plane.drainVring(kLeftQueue);
  CHECK_EQ(guests.rig.turn().requests, 1u);
  CHECK_EQ(guests.rig.exchange->requests[0].chain, kLeftQueue << 16);
}

TEST("flow: memory lost on one side ends that guest's ring, not the other's") {
  for (const bool senders : {true, false}) {
    Guests guests;
    guests.flow();
    guests.post(0, 500);
    CHECK_EQ(guests.rig.turn().requests, 0u);
    guests.send(0);
    const Driver& lost = senders ? guests.rig.driver : guests.other;
    const_cast<Driver&>(lost).file().truncate(0);
    Rig::Turn turn = guests.rig.turn();
    if (turn.events == 0) turn = guests.rig.turn();
    CHECK_EQ(turn.events, 1u);
    const EventRecord& event = guests.rig.exchange->events[0];
    CHECK_EQ(event.queue, senders ? 0u : kOtherQueue);
    CHECK_EQ(event.detail, static_cast<uint32_t>(RingFault::kMemoryLost));
  }
}

TEST("flow: tables that do not lie in the arena are refused") {
  Guests guests;
  DataPlane& plane = *guests.rig.plane;
  double counts[kCountsMin] = {};
  const uint64_t end = sizeof(Tables);
  const uint64_t shelf = offsetof(Tables, shelf);
  CHECK_EQ(plane.forwardFrames(0, 4, counts), -EINVAL);
  CHECK_EQ(plane.forwardFrames(0, end - kFlowsPerQueue * sizeof(FrameFlow) + 8, counts), -EINVAL);
  CHECK_EQ(plane.forwardFrames(0, UINT64_MAX - 7, counts), -EINVAL);
  CHECK_EQ(plane.forwardFrames(DataPlane::kQueuesMax, 0, counts), -EINVAL);
  CHECK_EQ(plane.keepChains(kOtherQueue, shelf + 4, counts), -EINVAL);
  CHECK_EQ(plane.keepChains(kOtherQueue, end - 8, counts), -EINVAL);
  CHECK_EQ(plane.keepChains(DataPlane::kQueuesMax, shelf, counts), -EINVAL);
  for (const uint32_t mask : {2 * kPlaces - 1, kPlaces, 5u, UINT32_MAX}) {
    guests.tables->shelf.mask = mask;
    CHECK_EQ(plane.keepChains(kOtherQueue, shelf, counts), -EINVAL);
  }
}

}  // namespace
}  // namespace vhost::test
