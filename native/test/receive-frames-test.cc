// kReceiveFrames: many frames of a socket into the chains of one queue or, by their hash, of
// several; what is shown of them, and what goes back to the ring.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "check.h"
#include "frame-capture.h"
#include "frame-filter.h"
#include "frame-hash.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint32_t kReceiveFrames = 10;
constexpr uint32_t kUnpop = 11;
constexpr uint32_t kHeaderBytes = 12;
constexpr uint32_t kFrameBytes = 100;
constexpr uint32_t kCaptureTag = 5;
constexpr size_t kCaptureRingBytes = 4096;

// What a worker of a network card keeps for native code.
struct Arena {
  FrameHash hash;
  FrameFilter filter;
  uint32_t chains[8];
  FrameList lists[2];
  FrameReport reports[2];
};

struct Card {
  Card() : arena(std::make_unique<Arena>()) {
    *arena = {};
    rig.plane->setArena({reinterpret_cast<uint8_t*>(arena.get()), sizeof(Arena)});
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  }
  ~Card() {
    close(ends[0]);
    close(ends[1]);
  }

  // So many receive chains of `room` bytes, their numbers in the arena.
  void post(uint32_t count, uint32_t room) {
    for (uint32_t i = 0; i < count; i++) {
      const auto slot = static_cast<uint16_t>(i);
      rig.driver.offer(rig.driver.chain(slot, {{rig.data(slot), room, true}}));
    }
    for (uint32_t posted = 0; posted < count;) {
      const uint32_t got = rig.turn().requests;
      for (uint32_t i = 0; i < got; i++) {
        arena->chains[posted++] = rig.exchange->requests[i].chain;
      }
    }
  }

  void send(uint32_t bytes = kFrameBytes) const {
    const std::vector<uint8_t> frame(bytes, 0x22);
    CHECK_EQ(write(ends[1], frame.data(), bytes), static_cast<ssize_t>(bytes));
  }

  template <typename T>
  uint32_t offset(const T* part) const {
    return static_cast<uint32_t>(reinterpret_cast<const uint8_t*>(part) -
                                 reinterpret_cast<const uint8_t*>(arena.get()));
  }

  CommandRecord& receive(uint32_t chains) {
    CommandRecord& command = rig.command(kReceiveFrames, kNoChain);
    command.flags = kCommandSocket | kCommandMerge | kCommandNotify;
    command.file = static_cast<uint32_t>(ends[0]);
    command.chainOffset = offset(arena->chains);
    command.usedLength = chains;
    command.tailOffset = offset(arena->reports);
    command.tailByte = kHeaderBytes;
    command.length = 1 << 20;
    command.mode = 64;
    return command;
  }
  int result() {
    CHECK_EQ(rig.turn().completions, 1u);
    return rig.exchange->completions[0].result;
  }

  Rig rig;
  std::unique_ptr<Arena> arena;
  int ends[2];
};

TEST("receive frames: until there are none, each in its chain, and a report of all") {
  Card card;
  card.post(4, 2048);
  card.send();
  card.send(200);
  card.receive(4);
  CHECK_EQ(card.result(), -EAGAIN);
  const FrameReport& report = card.arena->reports[0];
  CHECK_EQ(report.frames, 2u);
  CHECK_EQ(report.chains, 2u);
  CHECK_EQ(report.bytes, 300u);
  CHECK_EQ(report.dropped, 0u);
  for (const uint32_t bytes : {kFrameBytes, 200u}) {
    Used used{};
    CHECK(card.rig.driver.takeUsed(&used));
    CHECK_EQ(used.length, bytes + kHeaderBytes);
  }
}

TEST("receive frames: it is enough after so many frames, so many bytes, or when the chains end") {
  const struct {
    int32_t frames;
    double bytes;
    uint32_t chains;
  } rows[] = {{2, 1 << 20, 4}, {64, kFrameBytes + 1, 4}, {64, 1 << 20, 2}};
  for (const auto& row : rows) {
    Card card;
    card.post(4, 2048);
    for (int i = 0; i < 4; i++) card.send();
    CommandRecord& command = card.receive(row.chains);
    command.mode = row.frames;
    command.length = row.bytes;
    CHECK_EQ(card.result(), 0);
    CHECK_EQ(card.arena->reports[0].frames, 2u);
  }
}

TEST("receive frames: one goes over several chains, or is dropped where it may not or can't") {
  for (const bool merge : {true, false}) {
    Card card;
    card.post(4, 64);
    card.send(150);
    card.send(4000);
    CommandRecord& command = card.receive(4);
    if (!merge) command.flags &= ~kCommandMerge;
    CHECK_EQ(card.result(), -EAGAIN);
    const FrameReport& report = card.arena->reports[0];
    CHECK_EQ(report.frames, merge ? 1u : 0u);
    CHECK_EQ(report.chains, merge ? 3u : 0u);
    CHECK_EQ(report.dropped, merge ? 1u : 2u);
  }
}

TEST("receive frames: those the filter holds back are counted and leave the chains") {
  Card card;
  card.post(4, 2048);
  card.send();
  CommandRecord& command = card.receive(4);
  command.flags |= kCommandFilter;
  command.offset = card.offset(&card.arena->filter);
  CHECK_EQ(card.result(), -EAGAIN);
  CHECK_EQ(card.arena->reports[0].filtered, 1u);
  CHECK_EQ(card.arena->reports[0].frames, 0u);
}

// Two frames: the second was refused once the first had used up the chain its list began with.
TEST("receive frames: by their hash into the list of a queue; one that has none is the first") {
  for (const uint32_t queue : {0u, 1u, 2u}) {
    Card card;
    card.post(6, 2048);
    card.send();
    card.send();
    card.arena->hash.unclassified = queue;
    card.arena->lists[0] = {card.offset(card.arena->chains), 3};
    card.arena->lists[1] = {card.offset(card.arena->chains + 3), 3};
    CommandRecord& command = card.receive(2);
    command.flags |= kCommandSteer;
    command.hash = card.offset(&card.arena->hash);
    command.chainOffset = card.offset(card.arena->lists);
    CHECK_EQ(card.result(), -EAGAIN);
    CHECK_EQ(card.arena->reports[0].frames, queue == 1 ? 0u : 2u);
    CHECK_EQ(card.arena->reports[1].frames, queue == 1 ? 2u : 0u);
  }
}

TEST("receive frames: orders that make no sense are refused, and the frame stays where it is") {
  const std::vector<void (*)(CommandRecord*)> rows = {
      [](CommandRecord* c) { c->mode = 0; },
      [](CommandRecord* c) { c->length = -1; },
      [](CommandRecord* c) { c->usedLength = 0; },
      [](CommandRecord* c) { c->usedLength = UINT32_MAX; },
      [](CommandRecord* c) { c->chainOffset = sizeof(Arena); },
      [](CommandRecord* c) { c->chainOffset += 1; },
      [](CommandRecord* c) { c->tailOffset = sizeof(Arena) - 4; },
      [](CommandRecord* c) { c->flags |= kCommandSteer, c->usedLength = 0; },
      [](CommandRecord* c) { c->flags |= kCommandHash, c->hash = sizeof(Arena); },
      [](CommandRecord* c) { c->flags |= kCommandFilter, c->offset = -1; },
      [](CommandRecord* c) { c->flags |= kCommandFilter, c->offset = 1e300; },
      [](CommandRecord* c) { c->flags |= kCommandFilter, c->offset = sizeof(Arena) - 8; },
  };
  Card card;
  card.post(4, 2048);
  card.send();
  for (const auto& spoil : rows) {
    spoil(&card.receive(4));
    CHECK_EQ(card.result(), -EINVAL);
  }
  card.receive(4);
  CHECK_EQ(card.result(), -EAGAIN);
  CHECK_EQ(card.arena->reports[0].frames, 1u);
}

TEST("receive frames: who looks on gets each without its header; without a ring nobody does") {
  Card card;
  std::vector<uint64_t> memory((sizeof(CaptureHead) + kCaptureRingBytes) / 8 + 8);
  auto* aligned = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) &
                                             ~uintptr_t{63});
  card.post(4, 64);
  card.send();
  card.receive(4).capture = kCaptureTag;
  CHECK_EQ(card.result(), -EAGAIN);
  CHECK_EQ(card.rig.plane->setCapture(aligned, sizeof(CaptureHead) + 100), -EINVAL);
  CHECK_EQ(card.rig.plane->setCapture(aligned, sizeof(CaptureHead) + kCaptureRingBytes), 0);
  card.send();
  card.arena->chains[0] = card.arena->chains[2];
  card.arena->chains[1] = card.arena->chains[3];
  card.receive(2).capture = kCaptureTag;
  card.result();
  CaptureRecord record;
  std::memcpy(&record, aligned + sizeof(CaptureHead), sizeof record);
  CHECK_EQ(record.tag, kCaptureTag);
  CHECK_EQ(record.frameBytes, kFrameBytes);
  CHECK_EQ(aligned[sizeof(CaptureHead) + sizeof record + kFrameBytes - 1], 0x22);
}

TEST("kUnpop: the chain popped last goes back, and is popped again") {
  Card card;
  card.post(1, 64);
  card.rig.command(kUnpop, card.arena->chains[0]);
  card.rig.command(kUnpop, kNoChain);
  const Rig::Turn turn = card.rig.turn();
  CHECK_EQ(turn.requests, 1u);
  CHECK_EQ(card.rig.exchange->requests[0].chain, card.arena->chains[0]);
}

}  // namespace
}  // namespace vhost::test
