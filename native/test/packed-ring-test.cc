#include "packed-ring.h"

#include <algorithm>
#include <cerrno>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint16_t kStart = 0x8000;  // index 0, wrap counter 1: a ring that begins

DriverOptions packed(DriverOptions options = {.base = kStart}) {
  options.packed = true;
  return options;
}

struct Fixture {
  explicit Fixture(const DriverOptions& options = {.base = kStart}, bool readOnly = false)
      : driver(packed(options)) {
    ring.setReadOnly(readOnly);
    CHECK_EQ(driver.start(&ring), 0);
  }
  uint32_t count() {
    uint32_t found = 0;
    CHECK_EQ(ring.available(&found), RingFault::kNone);
    return found;
  }
  RingFault pop(uint16_t* id) {
    uint32_t found = 0;
    const RingFault fault = ring.available(&found);
    if (fault != RingFault::kNone) return fault;
    CHECK(found > 0);
    return ring.pop(id);
  }
  RingFault offerAndPop(const std::vector<PackedDescriptor>& chain) {
    driver.packed().offer(chain);
    uint16_t id = 0;
    const RingFault fault = pop(&id);
    if (fault == RingFault::kNone) CHECK_EQ(id, chain.back().id);
    return fault;
  }
  // `entries` readable descriptors of one byte, linked, under one id.
  std::vector<PackedDescriptor> chain(uint16_t id, size_t entries) const {
    std::vector<PackedDescriptor> made(entries, {at(0), 1, id, kNext});
    made.back().flags = 0;
    return made;
  }
  void complete(uint16_t id, uint32_t bytes = 0) {
    ring.addUsed(id, bytes);
    ring.publish();
  }
  Used take() {
    Used used{};
    CHECK(driver.takeUsed(&used));
    return used;
  }
  uint64_t at(uint64_t offset) const { return driver.heap() + offset; }

  Driver driver;
  PackedRing ring;
};

TEST("PK-010: sizes and alignments a packed ring may have") {
  Driver driver(packed());
  const RingAddresses good = driver.addresses();
  const struct {
    const char* what;
    uint32_t size;
    RingAddresses addresses;
    int error;
  } rows[] = {
      {"as it should be", 8, good, 0},
      {"size 0", 0, good, -EINVAL},
      {"size 1", 1, good, 0},
      {"no power of two", 7, good, 0},
      {"size 32768", 32768, good, 0},
      {"size 32769", 32769, good, -EINVAL},
      {"size 65536", 65536, good, -EINVAL},
      {"size 2^32 - 1", UINT32_MAX, good, -EINVAL},
      {"ring misaligned", 8, {good.descriptor + 8, good.available, good.used}, -EINVAL},
      {"driver events misaligned", 8, {good.descriptor, good.available + 2, good.used}, -EINVAL},
      {"device events misaligned", 8, {good.descriptor, good.available, good.used + 2}, -EINVAL},
      {"ring outside", 8, {0, good.available, good.used}, -EFAULT},
      {"driver events outside", 8, {good.descriptor, 0, good.used}, -EFAULT},
      {"device events outside", 8, {good.descriptor, good.available, 0}, -EFAULT},
  };
  for (const auto& row : rows) {
    PackedRing ring;
    const int error =
        ring.start(driver.memory(), row.size, row.addresses, kStart << 16 | kStart, true);
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
  }
}

TEST("CS-075: an odd mmap offset that misaligns the flags is refused, not trapped on") {
  const SharedFile file(1 << 16);
  const uint64_t user = 0x7f0000000000;
  for (const uint64_t offset : {0, 2, 1}) {
    int error = 0;
    const auto memory = GuestMemory().with(file.fd(), {0, user, 0x8000, offset}, &error);
    PackedRing ring;
    CHECK_EQ(ring.start(memory, 8, {user, user + 128, user + 132}, kStart << 16 | kStart, true),
             offset == 1 ? -EINVAL : 0);
  }
}

TEST("PK-013: the base, with its wrap counters") {
  Driver driver(packed());
  const struct {
    const char* what;
    uint32_t base;
    int error;
  } rows[] = {
      {"the beginning", 0x80008000, 0},
      {"some rounds later", 0x00030003, 0},
      {"two behind", 0x80038005, 0},
      {"behind, over the end", 0x80070001, 0},
      {"all taken", 0x80038003 ^ 0x8000, 0},
      {"avail index = size", 0x80008008, -EINVAL},
      {"used index = size", 0x80088000, -EINVAL},
      {"avail index 32767", 0x8000ffff, -EINVAL},
      {"used ahead of avail", 0x80058003, -EINVAL},
      {"more than a round behind", 0x80038005 ^ 0x8000, -EINVAL},
  };
  for (const auto& row : rows) {
    PackedRing ring;
    const int error = ring.start(driver.memory(), 8, driver.addresses(), row.base, true);
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
    if (error == 0) CHECK_EQ(ring.base(), row.base);
  }
}

TEST("PK-013: a ring stopped anywhere goes on from its base") {
  Fixture f({.size = 5, .base = kStart});
  PackedRing other;
  PackedRing* rings[] = {&f.ring, &other};
  for (uint32_t i = 0; i < 40; i++) {
    PackedRing& now = *rings[i % 2];
    if (i > 0) {
      const uint32_t base = rings[(i - 1) % 2]->base();
      CHECK_EQ(base >> 16, base & 0xffff);
      CHECK_EQ(base & 0xffff, f.driver.packed().availWord());
      now = PackedRing();
      CHECK_EQ(now.start(f.driver.memory(), 5, f.driver.addresses(), base, true), 0);
    }
    f.driver.packed().offer(f.chain(3, 1 + i % 3));
    uint32_t count = 0;
    CHECK_EQ(now.available(&count), RingFault::kNone);
    CHECK_EQ(count, 1u);
    uint16_t id = 0;
    CHECK_EQ(now.pop(&id), RingFault::kNone);
    now.addUsed(id, i);
    now.publish();
    CHECK_EQ(f.take().length, i);
  }
}

TEST("PK-013: base 0 is where a ring begins, unless it has been round (virtio_uml)") {
  for (const bool kicked : {false, true}) {
    Driver driver(packed());
    if (kicked) driver.packed().offer({{driver.heap(), 1, 6, 0}});
    PackedRing ring;
    CHECK_EQ(ring.start(driver.memory(), 8, driver.addresses(), 0, true), 0);
    CHECK_EQ(ring.base(), 0x80008000u);
    uint32_t count = 0;
    CHECK_EQ(ring.available(&count), RingFault::kNone);
    CHECK_EQ(count, kicked ? 1u : 0u);
  }
  // One round and no more, in chains of every length; then with the whole ring available again.
  for (const size_t entries : {1, 2, 4, 8}) {
    for (const bool refilled : {false, true}) {
      Fixture f;
      for (size_t i = 0; i < 8 / entries; i++) {
        CHECK_EQ(f.offerAndPop(f.chain(1, entries)), RingFault::kNone);
        f.complete(1);
        f.take();
      }
      CHECK_EQ(f.ring.base(), 0u);
      if (refilled) f.driver.packed().offer(f.chain(2, 8));
      PackedRing ring;
      CHECK_EQ(ring.start(f.driver.memory(), 8, f.driver.addresses(), 0, true), 0);
      CHECK_EQ(ring.base(), 0u);
    }
  }
}

TEST("PK-014: entries a former device never returned stay taken") {
  Fixture f({.size = 8, .base = kStart});
  PackedRing ring;
  // Two of eight taken: what is left has room for six, and our first element goes to the first.
  for (int i = 0; i < 2; i++) f.driver.packed().offer(f.chain(i, 1));
  CHECK_EQ(ring.start(f.driver.memory(), 8, f.driver.addresses(), 0x80008002, true), 0);
  f.driver.packed().offer(f.chain(5, 6));
  uint32_t count = 0;
  CHECK_EQ(ring.available(&count), RingFault::kNone);
  CHECK_EQ(count, 1u);
  uint16_t id = 0;
  CHECK_EQ(ring.pop(&id), RingFault::kNone);
  ring.addUsed(id, 7);
  ring.publish();
  CHECK_EQ(f.take().length, 7u);
}

TEST("PK-001 PK-011: only AVAIL = wrap counter and USED = its inverse is available") {
  for (const uint16_t start : {kStart, uint16_t{0}}) {
    for (const uint16_t flags : {0, 0x80, 0x8000, 0x8080}) {
      Fixture f({.base = start});
      f.driver.packed().write(0, {f.at(0), 1, 0, flags});
      CHECK_EQ(f.count(), flags == (start == kStart ? 0x80 : 0x8000) ? 1u : 0u);
      CHECK_EQ(f.ring.enableNotification(), f.count() > 0);
    }
  }
}

TEST("PK-011: flag bits nobody knows do not matter") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{f.at(0), 16, 4, 0x7f78}}), RingFault::kNone);
  CHECK_EQ(f.ring.chain(4).readableBytes, 16u);
}

TEST("PK-002: a chain whose end is missing is not consumed, nor worth staying awake for") {
  Fixture f;
  const uint16_t available = f.driver.packed().availableFlags();
  f.driver.packed().write(0, {f.at(0), 1, 0, static_cast<uint16_t>(available | kNext)});
  f.driver.packed().write(1, {f.at(0), 2, 0, static_cast<uint16_t>(available | kNext)});
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(f.count(), 0u);
    CHECK(!f.ring.enableNotification());
    CHECK_EQ(f.ring.outstanding(), 0u);
  }
  f.driver.packed().write(2, {f.at(0), 4, 6, available});
  CHECK_EQ(f.count(), 1u);
  uint16_t id = 0;
  CHECK_EQ(f.pop(&id), RingFault::kNone);
  CHECK_EQ(id, 6);
  CHECK_EQ(f.ring.chain(6).readableBytes, 7u);
}

TEST("PK-003: chains over the end of the ring, at every place, in rings of any size") {
  for (const uint32_t size : {1u, 2u, 3u, 7u, 8u}) {
    for (uint32_t entries = 1; entries <= size; entries++) {
      Fixture f({.size = size, .base = kStart});
      for (uint32_t i = 0; i < 4 * size; i++) {
        const auto id = static_cast<uint16_t>(i % size);
        CHECK_EQ(f.offerAndPop(f.chain(id, entries)), RingFault::kNone);
        CHECK_EQ(f.ring.chain(id).readableBytes, entries);
        f.complete(id, i);
        CHECK_EQ(f.take().id, id);
        CHECK_EQ(f.ring.base() & 0xffff, f.driver.packed().availWord());
      }
    }
  }
}

TEST("PK-004: a chain longer than the ring, or than the room the driver has") {
  for (const bool inFlight : {false, true}) {
    Fixture f;
    if (inFlight) CHECK_EQ(f.offerAndPop(f.chain(0, 3)), RingFault::kNone);
    f.driver.packed().offer(f.chain(1, inFlight ? 5 : 8));
    CHECK_EQ(f.count(), 1u);
    Fixture g;
    if (inFlight) CHECK_EQ(g.offerAndPop(g.chain(0, 3)), RingFault::kNone);
    g.driver.packed().offer(g.chain(1, inFlight ? 6 : 9));
    uint32_t count = 0;
    CHECK_EQ(g.ring.available(&count), RingFault::kChainLength);
    CHECK(g.ring.enableNotification());  // so that the next turn says it
    uint16_t id = 0;
    CHECK_EQ(g.ring.pop(&id), RingFault::kChainLength);
  }
}

TEST("PK-004: a driver that overruns a full ring is not followed") {
  Fixture f;
  for (uint16_t i = 0; i < 8; i++) CHECK_EQ(f.offerAndPop(f.chain(i, 1)), RingFault::kNone);
  f.driver.packed().offer(f.chain(7, 1));
  CHECK_EQ(f.count(), 0u);
  CHECK(!f.ring.enableNotification());
}

TEST("PK-005: a buffer id outside the ring") {
  for (const uint16_t id : {8, 9, 0xffff}) {
    Fixture f;
    CHECK_EQ(f.offerAndPop(f.chain(id, 2)), RingFault::kBufferId);
    CHECK_EQ(f.ring.inFlightCount(), 0u);
    CHECK(!f.ring.inFlight(id));
  }
}

TEST("PK-005: only the last descriptor's id counts") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{f.at(0), 1, 0xffff, kNext}, {f.at(1), 1, 3, 0}}), RingFault::kNone);
  CHECK(f.ring.inFlight(3));
}

TEST("PK-006: the same id twice in flight; again once it came back") {
  Fixture f;
  CHECK_EQ(f.offerAndPop(f.chain(2, 1)), RingFault::kNone);
  f.complete(2);
  CHECK_EQ(f.offerAndPop(f.chain(2, 3)), RingFault::kNone);
  CHECK_EQ(f.offerAndPop(f.chain(2, 1)), RingFault::kInFlight);
  CHECK_EQ(f.ring.chain(2).readableBytes, 3u);  // the first use of it is untouched
  CHECK_EQ(f.ring.inFlightCount(), 1u);
}

TEST("PK-007: the descriptor that names a table") {
  const struct {
    const char* what;
    uint32_t length;
    uint16_t flags;
    RingFault fault;
  } rows[] = {
      {"one entry", 16, kIndirect, RingFault::kNone},
      {"INDIRECT and WRITE", 16, kIndirect | kWrite, RingFault::kNone},
      {"INDIRECT and NEXT", 16, kIndirect | kNext, RingFault::kIndirectNext},
      {"length 0", 0, kIndirect, RingFault::kIndirectLength},
      {"length 15", 15, kIndirect, RingFault::kIndirectLength},
      {"length 24", 24, kIndirect, RingFault::kIndirectLength},
      {"1024 entries", 1024 * 16, kIndirect, RingFault::kNone},
      {"1025 entries", 1025 * 16, kIndirect, RingFault::kIndirectLength},
      {"2^32 - 16 bytes", UINT32_MAX - 15, kIndirect, RingFault::kIndirectLength},
  };
  for (const auto& row : rows) {
    Fixture f;
    const uint64_t table = f.at(0x1000);
    f.driver.writeTable(table, {{f.at(0), 64, 0, kWrite}});
    std::vector<PackedDescriptor> chain = {{table, row.length, 0, row.flags}};
    if (row.flags & kNext) chain.push_back({f.at(0), 1, 0, 0});
    if (f.offerAndPop(chain) != row.fault) fail(__FILE__, __LINE__, row.what);
    if (row.fault == RingFault::kNone) CHECK_EQ(f.ring.chain(0).writableBytes, 64u);
  }
  Fixture f;
  f.driver.writeTable(f.at(0x1000), {{f.at(0), 64, 0, kWrite}});
  CHECK_EQ(f.offerAndPop({{f.at(0), 1, 0, kNext}, {f.at(0x1000), 16, 0, kIndirect}}),
           RingFault::kIndirectNext);
}

TEST("PK-007: tables outside memory, and over two regions") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{f.driver.end() - 16, 32, 0, kIndirect}}), RingFault::kOutsideMemory);
  for (const uint64_t before : {16u, 24u, 3u}) {  // bytes of the table in the first region
    const SharedFile file(4 << 12);
    const uint64_t user = 0x7f0000000000;
    const uint64_t joint = 0x2000;
    int error = 0;
    auto memory = GuestMemory().with(file.fd(), {0, user, joint, 0}, &error);
    memory = memory->with(file.fd(), {joint, user + joint, 0x1000, 0x3000}, &error);
    const PackedDescriptor table[] = {{0x100, 8, 0, 0}, {0x200, 8, 0, 0}, {0x300, 32, 0, kWrite}};
    const auto* bytes = reinterpret_cast<const uint8_t*>(table);
    std::memcpy(file.data() + joint - before, bytes, before);
    std::memcpy(file.data() + 0x3000, bytes + before, sizeof table - before);
    const PackedDescriptor named{joint - before, sizeof table, 5, kIndirect | kAvail};
    std::memcpy(file.data(), &named, sizeof named);
    PackedRing ring;
    CHECK_EQ(ring.start(memory, 8, {user, user + 0x400, user + 0x500}, 0x80008000, false), 0);
    uint16_t id = 0;
    CHECK_EQ(ring.pop(&id), RingFault::kNone);
    CHECK_EQ(id, 5);
    CHECK_EQ(ring.chain(5).readableBytes, 16u);
    CHECK_EQ(ring.chain(5).writableBytes, 32u);
  }
}

TEST("PK-008: NEXT, INDIRECT and ids inside a table mean nothing") {
  Fixture f;
  f.driver.writeTable(f.at(0x1000), {{f.at(0), 1, 0xffff, kNext},
                                     {f.at(0), 2, 7, kIndirect},
                                     {f.at(0), 4, 0, kNext | kWrite},
                                     {f.at(0), 8, 0, kNext | kWrite}});
  CHECK_EQ(f.offerAndPop({{f.at(0x1000), 64, 1, kIndirect}}), RingFault::kNone);
  CHECK_EQ(f.ring.chain(1).readableBytes, 3u);
  CHECK_EQ(f.ring.chain(1).writableBytes, 12u);
  CHECK_EQ(f.ring.chain(1).directDescriptors, 1);
}

TEST("PK-012: entries rewritten between avail and used change nothing for us") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{f.at(0), 16, 2, kNext}, {f.at(64), 32, 2, kWrite}}), RingFault::kNone);
  CHECK_EQ(f.offerAndPop(f.chain(3, 1)), RingFault::kNone);
  for (uint32_t i = 0; i < 8; i++) f.driver.packed().write(i, {UINT64_MAX, UINT32_MAX, 7, 0xffff});
  CHECK_EQ(f.ring.chain(2).readableBytes, 16u);
  f.complete(2, 32);
  const Used used = f.take();
  CHECK_EQ(used.id, 2u);
  CHECK_EQ(used.length, 32u);
  f.complete(3);
  CHECK_EQ(f.take().id, 3u);  // two entries on, as the chain was when it was popped
}

TEST("PK-012 RG-041: a chain taken back, shortened or lengthened between the look and the pop") {
  const auto look = [](Fixture* f) {
    f->driver.packed().offer(f->chain(0, 2));
    f->driver.packed().offer(f->chain(1, 2));
    CHECK_EQ(f->count(), 2u);
  };
  uint16_t id = 0;
  Fixture gone;
  look(&gone);
  gone.driver.packed().writeFlags(1, 0);
  CHECK_EQ(gone.ring.pop(&id), RingFault::kTakenBack);
  Fixture shorter;
  look(&shorter);
  shorter.driver.packed().write(0, {shorter.at(0), 1, 5, kAvail});
  for (const uint16_t expected : {5, 0, 1}) {
    CHECK(shorter.count() > 0);
    CHECK_EQ(shorter.ring.pop(&id), RingFault::kNone);
    CHECK_EQ(id, expected);
  }
  CHECK_EQ(shorter.count(), 0u);
  Fixture longer;
  look(&longer);
  longer.driver.packed().writeFlags(1, kAvail | kNext);
  CHECK_EQ(longer.ring.pop(&id), RingFault::kNone);
  CHECK_EQ(longer.ring.chain(1).directDescriptors, 4);
  CHECK_EQ(longer.count(), 0u);
}

TEST("PK-015: address zero, length zero") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{0, 0, 0, kNext}, {0, 0, 0, kWrite}}), RingFault::kNone);
  CHECK(f.ring.chain(0).segments.empty());
  f.driver.writeTable(f.at(0x1000), {{0, 0, 0, 0}, {0, 0, 0, kWrite}});
  CHECK_EQ(f.offerAndPop({{f.at(0x1000), 32, 1, kIndirect}}), RingFault::kNone);
  f.complete(1);
  f.complete(0);
  CHECK_EQ(f.take().id, 1u);
  CHECK_EQ(f.offerAndPop({{0, 1, 1, 0}}), RingFault::kOutsideMemory);
}

TEST("RG-027 RG-029 RG-030: the rules for buffers hold in a packed ring") {
  Fixture f;
  CHECK_EQ(f.offerAndPop({{f.at(0), 1, 0, kWrite | kNext}, {f.at(0), 1, 0, 0}}),
           RingFault::kReadableLast);
  Fixture g;
  CHECK_EQ(g.offerAndPop({{UINT64_MAX - 7, 16, 0, 0}}), RingFault::kOutsideMemory);
  Fixture h;
  CHECK_EQ(h.offerAndPop({{h.driver.end() - 1, 2, 0, 0}}), RingFault::kOutsideMemory);
}

TEST("NT-037: where the device only reads, WRITE means nothing in a list or a table") {
  const std::vector<PackedDescriptor> list = {
      {0, 12, 3, kWrite | kNext}, {0, 64, 3, kNext}, {0, 4, 3, kWrite}};
  for (const bool indirect : {false, true}) {
    for (const bool readOnly : {false, true}) {
      Fixture f({.base = kStart}, readOnly);
      std::vector<PackedDescriptor> chain = list;
      for (size_t i = 0; i < chain.size(); i++) chain[i].address = f.at(0x100 * i);
      if (indirect) {
        f.driver.writeTable(
            f.at(0x1000),
            {{f.at(0), 12, 0, kWrite}, {f.at(0x100), 64, 0, 0}, {f.at(0x200), 4, 0, kWrite}});
        chain = {{f.at(0x1000), 48, 3, kIndirect | kWrite}};
      }
      const RingFault fault = f.offerAndPop(chain);
      CHECK_EQ(fault, readOnly ? RingFault::kNone : RingFault::kReadableLast);
      if (!readOnly) continue;
      const DescriptorChain& popped = f.ring.chain(3);
      CHECK_EQ(popped.readableBytes, 80u);
      CHECK_EQ(popped.readableSegments, 3u);
      CHECK_EQ(popped.writableBytes, 0u);
      f.complete(3);
      const Used used = f.take();
      CHECK_EQ(used.id, 3u);
      CHECK_EQ(used.length, 0u);
    }
  }
}

TEST("RG-048: used descriptors in the order of completion; the first flags of a batch come last") {
  Fixture f;
  for (uint16_t i = 0; i < 3; i++) CHECK_EQ(f.offerAndPop(f.chain(i, i + 1)), RingFault::kNone);
  f.ring.addUsed(2, 4097);
  f.ring.addUsed(0, 0);
  CHECK(f.ring.unpublished());
  Used used{};
  CHECK(!f.driver.takeUsed(&used));
  CHECK_EQ(f.driver.packed().read(0).flags, kAvail);
  CHECK_EQ(f.driver.packed().read(3).flags, kAvail | kUsed);
  f.ring.publish();
  CHECK(!f.ring.unpublished());
  CHECK_EQ(f.driver.packed().read(0).flags, kAvail | kUsed | kWrite);
  CHECK_EQ(f.take().length, 4097u);
  CHECK_EQ(f.take().id, 0u);
  CHECK(!f.driver.takeUsed(&used));
  f.complete(1, 1);
  CHECK_EQ(f.take().id, 1u);
}

TEST("RG-047: every buffer comes back, out of order, a million entries in rings of odd sizes") {
  for (const uint32_t size : {1u, 3u, 61u, 32768u}) {
    Fixture f({.size = size, .base = kStart, .memoryBytes = 1 << 20});
    uint64_t random = size;
    const auto next = [&](uint64_t limit) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      return static_cast<uint32_t>((random >> 33) % limit);
    };
    std::vector<uint16_t> ids;
    for (uint32_t i = 0; i < std::min(size, 512u); i++) ids.push_back(static_cast<uint16_t>(i));
    std::vector<uint16_t> held;
    uint32_t taken = 0;
    uint32_t entries = 0;
    std::vector<uint32_t> lengths(size);
    while (entries < 250'000) {
      const uint32_t length = 1 + next(std::min(size, 5u));
      if (!ids.empty() && taken + length <= size && next(2) == 0) {
        const uint16_t id = ids.back();
        ids.pop_back();
        CHECK_EQ(f.offerAndPop(f.chain(id, length)), RingFault::kNone);
        lengths[id] = length;
        taken += length;
        entries += length;
        held.push_back(id);
      } else if (!held.empty()) {
        std::swap(held[next(held.size())], held.back());
        const uint16_t id = held.back();
        held.pop_back();
        f.complete(id, entries);
        const Used used = f.take();
        CHECK_EQ(used.id, id);
        CHECK_EQ(used.length, entries);
        taken -= lengths[id];
        ids.push_back(id);
      }
      CHECK_EQ(f.ring.inFlightCount(), held.size());
    }
    for (const uint16_t id : held) f.ring.addUsed(id, 0);
    CHECK_EQ(f.ring.inFlightSegments() + f.ring.inFlightBytes() + f.ring.inFlightCount(), 0u);
  }
}

TEST("a full ring is looked through a piece at a time") {
  Fixture f({.size = 4096, .base = kStart});
  for (uint16_t i = 0; i < 4096; i++) f.driver.packed().offer(f.chain(i, 1));
  uint16_t id = 0;
  for (uint32_t i = 0; i < 4096; i++) {
    CHECK(f.count() >= std::min(64u, 4096 - i));
    CHECK_EQ(f.ring.outstanding(), i + f.count());
    CHECK_EQ(f.ring.pop(&id), RingFault::kNone);
    CHECK_EQ(id, i);
  }
  CHECK_EQ(f.count(), 0u);
}

TEST("RG-042 CS-081: move finds the packed ring in another memory, or says that it is gone") {
  Fixture f;
  f.driver.packed().offer(f.chain(3, 1));
  int error = 0;
  const auto again = GuestMemory().with(f.driver.file().fd(), f.driver.region(), &error);
  CHECK(f.ring.move(again));
  uint16_t id = 0;
  CHECK_EQ(f.pop(&id), RingFault::kNone);
  CHECK(!f.ring.move(std::make_shared<GuestMemory>()));
  f.complete(3);
  CHECK_EQ(f.take().id, 3u);
}

}  // namespace
}  // namespace vhost::test
