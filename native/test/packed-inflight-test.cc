// What a packed ring records in the inflight area, and takes up from it.
#include "packed-inflight.h"

#include <cerrno>
#include <functional>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint32_t kSize = 7;
constexpr uint64_t kAreaBytes = 4096;

struct Fixture {
  Driver driver{{.size = kSize, .base = 0x8000 + 5, .packed = true}};
  SharedFile file{kAreaBytes};
  PackedRing ring;

  int start() {
    ring = PackedRing();
    CHECK_EQ(driver.start(&ring), 0);
    int error = 0;
    return ring.track(InflightArea::map(file.fd(), {kAreaBytes, 0, 1, kSize}, &error), 0);
  }
  // Buffers id, of one descriptor each.
  void offer(uint16_t from, uint16_t count) {
    for (uint16_t id = from; id < from + count; id++) {
      driver.packed().offer({{driver.heap() + id * 64u, 16, id, kWrite}});
    }
  }
  std::vector<uint16_t> popAll() {
    uint32_t count = 0;
    CHECK_EQ(ring.available(&count), RingFault::kNone);
    std::vector<uint16_t> ids(count);
    for (uint16_t& id : ids) CHECK_EQ(ring.pop(&id), RingFault::kNone);
    return ids;
  }
  std::vector<uint32_t> taken() {
    std::vector<uint32_t> ids;
    for (Used used{}; driver.takeUsed(&used);) ids.push_back(used.id);
    return ids;
  }
  PackedInflightHeader* header() { return reinterpret_cast<PackedInflightHeader*>(file.data()); }
  PackedInflightEntry* entry(uint32_t i) {
    return reinterpret_cast<PackedInflightEntry*>(file.data() + sizeof(PackedInflightHeader)) + i;
  }
};

TEST("PK-014: a fresh area, and requests done again in the order they were fetched") {
  Fixture f;
  CHECK_EQ(f.start(), 0);
  CHECK_EQ(f.header()->version, 1);
  CHECK_EQ(f.header()->usedIndex, 5);
  f.offer(0, 5);
  CHECK(f.popAll() == (std::vector<uint16_t>{0, 1, 2, 3, 4}));
  f.ring.addUsed(3, 1);
  f.ring.publish();
  f.ring.addUsed(0, 1);
  f.ring.publish();
  CHECK(f.taken() == (std::vector<uint32_t>{3, 0}));
  f.offer(5, 2);
  CHECK_EQ(f.start(), 0);
  CHECK_EQ(f.ring.leftoverCount(), 3u);
  CHECK(f.popAll() == (std::vector<uint16_t>{1, 2, 4, 5, 6}));
  for (const uint16_t id : {6, 4, 1, 2, 5}) f.ring.addUsed(id, 1);
  f.ring.publish();
  CHECK(f.taken() == (std::vector<uint32_t>{6, 4, 1, 2, 5}));
  CHECK_EQ(f.start(), 0);
  CHECK_EQ(f.ring.leftoverCount(), 0u);
}

TEST("RING_RESET: a ring that begins anew does not go on where the area says") {
  Fixture f;
  CHECK_EQ(f.start(), 0);
  f.offer(0, 3);
  f.popAll();
  for (const uint16_t id : {0, 1, 2}) f.ring.addUsed(id, 1);
  f.ring.publish();
  CHECK_EQ(f.header()->usedIndex, 1);
  for (const uint16_t offered : {0, 2}) {
    Driver fresh{{.size = kSize, .base = 0x8000, .packed = true}};
    for (uint16_t id = 0; id < offered; id++) {
      fresh.packed().offer({{fresh.heap(), 16, id, kWrite}});
    }
    PackedRing ring;
    CHECK_EQ(fresh.start(&ring), 0);
    int error = 0;
    const auto area = InflightArea::map(f.file.fd(), {kAreaBytes, 0, 1, kSize}, &error);
    CHECK_EQ(ring.track(area, 0), 0);
    CHECK_EQ(f.header()->oldUsedIndex, 0);
    CHECK_EQ(f.header()->oldUsedWrapCounter, 1);
    uint32_t count = 0;
    CHECK_EQ(ring.available(&count), RingFault::kNone);
    CHECK_EQ(count, offered);
    for (uint16_t id = 0; id < offered; id++) {
      uint16_t popped = 0;
      CHECK_EQ(ring.pop(&popped), RingFault::kNone);
      ring.addUsed(popped, 1);
    }
    if (offered > 0) ring.publish();
  }
}

TEST("RING_RESET: of places that a ring was used to, none is its beginning") {
  // A chain of the whole ring, then one of a single entry in the next round: no USED is left.
  Fixture f;
  Driver driver{{.size = kSize, .base = 0x8000, .packed = true}};
  PackedRing ring;
  CHECK_EQ(driver.start(&ring), 0);
  int error = 0;
  const auto area = InflightArea::map(f.file.fd(), {kAreaBytes, 0, 1, kSize}, &error);
  CHECK_EQ(ring.track(area, 0), 0);
  const auto serve = [&](uint16_t entries) {
    std::vector<PackedDescriptor> chain;
    for (uint16_t i = 0; i < entries; i++) {
      const auto flags = static_cast<uint16_t>(kWrite | (i + 1 < entries ? kNext : 0));
      chain.push_back({driver.heap(), 16, 0, flags});
    }
    driver.packed().offer(chain);
    uint32_t count = 0;
    CHECK_EQ(ring.available(&count), RingFault::kNone);
    uint16_t id = 0;
    CHECK_EQ(ring.pop(&id), RingFault::kNone);
    ring.addUsed(id, 1);
    ring.publish();
    for (Used used{}; driver.takeUsed(&used);) {
    }
  };
  serve(kSize);
  serve(1);
  CHECK_EQ(driver.start(&ring), 0);
  CHECK_EQ(ring.track(area, 0), 0);
  CHECK_EQ(ring.nextUsed(), 1);
}

TEST("PK-014: killed before a batch is published, its used descriptors stay unseen") {
  Fixture f;
  CHECK_EQ(f.start(), 0);
  f.offer(0, 4);
  f.popAll();
  for (const uint16_t id : {0, 1, 2}) f.ring.addUsed(id, 1);
  CHECK_EQ(f.start(), 0);
  CHECK(f.popAll() == (std::vector<uint16_t>{0, 1, 2, 3}));
  f.ring.addUsed(3, 1);
  f.ring.publish();
  CHECK(f.taken() == (std::vector<uint32_t>{3}));
  for (const uint16_t id : {2, 1, 0}) f.ring.addUsed(id, 1);
  f.ring.publish();
  CHECK(f.taken() == (std::vector<uint32_t>{2, 1, 0}));
}

TEST("PK-014: killed after a batch is published, before it is committed: done once") {
  Fixture f;
  CHECK_EQ(f.start(), 0);
  f.offer(0, 4);
  f.popAll();
  std::vector<uint8_t> before(kAreaBytes);
  for (const uint16_t id : {0, 2}) f.ring.addUsed(id, 1);
  std::memcpy(before.data(), f.file.data(), kAreaBytes);
  f.ring.publish();
  std::memcpy(f.file.data(), before.data(), kAreaBytes);
  CHECK(f.taken() == (std::vector<uint32_t>{0, 2}));
  CHECK_EQ(f.start(), 0);
  CHECK(f.popAll() == (std::vector<uint16_t>{1, 3}));
}

TEST("CS-153 CS-159: areas no back-end leaves behind are refused") {
  const std::function<void(Fixture&)> breaks[] = {
      [](Fixture& f) { f.header()->version = 2; },
      [](Fixture& f) { f.header()->features = 1; },
      [](Fixture& f) { f.header()->descCount = kSize + 1; },
      [](Fixture& f) { f.header()->descCount = kSize - 1; },
      [](Fixture& f) { f.header()->oldFreeHead = kSize + 1; },
      [](Fixture& f) { f.header()->oldUsedIndex = kSize; },
      [](Fixture& f) { f.header()->oldUsedWrapCounter = 2; },
      [](Fixture& f) { f.entry(0)->inflight = 2; },
      [](Fixture& f) { f.entry(0)->inflight = 0; },
      [](Fixture& f) { f.entry(0)->count = 0; },
      [](Fixture& f) { f.entry(0)->count = kSize + 1; },
      [](Fixture& f) { f.entry(0)->last = 1; },
      [](Fixture& f) { f.entry(0)->id = kSize; },
      [](Fixture& f) { f.entry(0)->id = f.entry(1)->id; },
      [](Fixture& f) { f.entry(kSize - 1)->next = 0xffff; },
      [](Fixture& f) { f.entry(kSize - 1)->next = kSize - 1; },
  };
  for (const auto& breakIt : breaks) {
    Fixture f;
    CHECK_EQ(f.start(), 0);
    f.offer(0, 3);
    f.popAll();
    breakIt(f);
    CHECK_EQ(f.start(), -EBADMSG);
  }
}

}  // namespace
}  // namespace vhost::test
