// The table of translations, and rings and requests behind it.
#include "iotlb.h"

#include <cerrno>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint64_t kLast = UINT64_MAX;
constexpr uint8_t kBoth = kIotlbRead | kIotlbWrite;

IotlbEntry entry(uint64_t first, uint64_t last, uint64_t target, uint8_t permissions = kBoth) {
  return {{first, last}, target, permissions};
}

TEST("iotlb: find, replace, cut at both ends and in the middle") {
  auto table = Iotlb().with(entry(0x1000, 0x4fff, 0x100000));
  CHECK(table->find(0xfff) == nullptr);
  CHECK(table->find(0x5000) == nullptr);
  CHECK_EQ(table->find(0x4fff)->target, 0x100000u);
  table = table->without({0x2000, 0x2fff});
  CHECK_EQ(table->size(), 2u);
  CHECK(table->find(0x2000) == nullptr);
  CHECK_EQ(table->find(0x1fff)->range.last, 0x1fffu);
  CHECK_EQ(table->find(0x3000)->target, 0x102000u);
  table = table->with(entry(0x1800, 0x37ff, 0x900000, kIotlbRead));
  CHECK_EQ(table->size(), 3u);
  CHECK_EQ(table->find(0x17ff)->target, 0x100000u);
  CHECK_EQ(table->find(0x1800)->permissions, kIotlbRead);
  CHECK_EQ(table->find(0x3800)->target, 0x102800u);
  table = table->with(entry(kLast, kLast, 5));
  CHECK_EQ(table->find(kLast)->target, 5u);
  CHECK_EQ(table->without({0x3000, kLast})->size(), 2u);
  CHECK_EQ(table->without({0, kLast})->size(), 0u);
}

TEST("iotlb: what it says already") {
  const auto table = Iotlb().with(entry(0x1000, 0x4fff, 0x100000));
  CHECK(table->says(entry(0x2000, 0x2fff, 0x101000)));
  CHECK(!table->says(entry(0x2000, 0x2fff, 0x100000)));
  CHECK(!table->says(entry(0x2000, 0x2fff, 0x101000, kIotlbRead)));
  CHECK(!table->says(entry(0x4000, 0x5fff, 0x103000)));
  CHECK(!table->says(entry(0, 0xfff, 0)));
}

TEST("iotlb: bounded, the oldest goes first") {
  auto table = std::make_shared<const Iotlb>();
  for (uint64_t i = 0; i <= Iotlb::kEntriesMax; i++) {
    table = table->with(entry(i * 0x2000, i * 0x2000 + 0xfff, 0));
  }
  CHECK_EQ(table->size(), Iotlb::kEntriesMax);
  CHECK(table->find(0) == nullptr);
  CHECK(table->find(0x2000) != nullptr);
  // Cuts that split entries don't grow it for ever.
  for (uint64_t i = 1; i <= 64; i++) table = table->without({i * 0x2000 + 16, i * 0x2000 + 31});
  table = table->with(entry(kLast, kLast, 0));
  CHECK_EQ(table->size(), Iotlb::kEntriesMax);
}

// A rig whose ring starts with nothing translated: its guest addresses are the I/O addresses.
struct IoRig {
  explicit IoRig(bool uring = true, bool packed = false)
      : rig({.uring = uring,
             .driver = {
                 .size = 16, .base = packed ? uint16_t{0x8000} : uint16_t{0}, .packed = packed}}) {
    CHECK(rig.plane->endVring(0) >= 0);
    memory = rig.driver.memory();
    VringStart start = rig.vringStart(0);
    const RegionDescription region = rig.driver.region();
    const auto io = [&](uint64_t user) { return user - region.userAddress + region.guestAddress; };
    start.addresses = {io(start.addresses.descriptor), io(start.addresses.available),
                       io(start.addresses.used)};
    start.addressing = {.platform = true, .guest = true};
    CHECK_EQ(rig.plane->startVring(start, memory), 0);
    rig.plane->enableVring(0, true);
  }

  void tell(uint64_t first, uint64_t last, uint8_t permissions = kBoth) {
    memory = memory->withIotlb(memory->iotlb().with(entry(first, last, first, permissions)));
    rig.plane->changeTranslations(memory, {first, last});
  }
  void forget(uint64_t first, uint64_t last) {
    memory = memory->withIotlb(memory->iotlb().without({first, last}));
    rig.plane->changeTranslations(memory, {first, last});
  }
  void tellRings() { tell(rig.driver.options().guestAddress, rig.driver.heap() - 1); }
  // The next miss: turns until there is one.
  uint64_t miss(EventCode code = EventCode::kMissing) {
    rig.turnUntil([](const Rig::Turn& turn) { return turn.events > 0; });
    CHECK_EQ(rig.exchange->events[0].code, static_cast<uint32_t>(code));
    return rig.plane->missingAddress(0);
  }

  Rig rig;
  std::shared_ptr<GuestMemory> memory;
};

// Both engines, both kinds of ring.
template <typename Body>
void forAllRings(Body body) {
  forBothEngines([&](bool uring) {
    for (const bool packed : {false, true}) {
      IoRig io(uring, packed);
      body(io);
    }
  });
}

TEST("a ring whose own addresses are unknown waits, asks once, then begins where it is") {
  forAllRings([](IoRig& io) {
    const uint64_t base = io.rig.driver.options().guestAddress;
    CHECK_EQ(io.miss(), base);
    for (int i = 0; i < 20; i++) CHECK_EQ(io.rig.turn().events, 0u);
    io.tell(base + 0x100000, base + 0x100fff);
    CHECK_EQ(io.rig.turn().events, 0u);
    io.tellRings();
    CHECK(io.rig.plane->translationsSettled());
    io.rig.post(0, true, 0, 4096);
    CHECK_EQ(io.miss(), io.rig.header(0));
    io.tell(io.rig.header(0), io.rig.header(0) + 15);
    CHECK_EQ(io.miss(), io.rig.data(0));
    CHECK_EQ(io.rig.exchange->events[0].detail, kIotlbRead);
    io.tell(io.rig.data(0), io.rig.data(0) + 4095);
    CHECK_EQ(io.miss(), io.rig.status(0));
    CHECK_EQ(io.rig.exchange->events[0].detail, kIotlbWrite);
    io.tell(io.rig.status(0), io.rig.status(0));
    io.rig.serve(1);
    CHECK_EQ(*io.rig.driver.host(io.rig.status(0)), 0);
    CHECK(io.rig.driver.canariesIntact());
  });
}

TEST("a buffer over pages that are known one by one; a miss in its middle") {
  forAllRings([](IoRig& io) {
    io.tellRings();
    io.tell(io.rig.header(0), io.rig.data(0) + 4095);
    io.rig.driver.fill(io.rig.data(0), 8192, 9);
    io.rig.post(0, true, 0, 8192);
    CHECK_EQ(io.miss(), io.rig.data(0) + 4096);
    io.tell(io.rig.data(0) + 4096, io.rig.data(0) + 8191);
    io.rig.serve(1);
    CHECK_EQ(*io.rig.driver.host(io.rig.status(0)), 0);
    CHECK_EQ(io.rig.file.read(8000, 1)[0], patternByte(8000, 9));
  });
}

TEST("a translation without the permission breaks the ring") {
  forAllRings([](IoRig& io) {
    io.tellRings();
    io.tell(io.rig.header(0), io.rig.data(0) + 4095, kIotlbRead);
    io.rig.post(0, false, 0, 512);
    CHECK_EQ(io.miss(EventCode::kNoPermission), io.rig.data(0));
    CHECK_EQ(io.rig.exchange->events[1].detail, static_cast<uint32_t>(RingFault::kNoPermission));
    CHECK_EQ(io.rig.errors(), 1u);
  });
}

TEST("an invalidation waits for the requests that use the range, and only for those") {
  forAllRings([](IoRig& io) {
    io.tellRings();
    for (const uint16_t slot : {0, 1}) io.tell(io.rig.header(slot), io.rig.data(slot) + 4095);
    io.rig.post(0, true, 0, 4096);
    io.rig.post(1, true, 4096, 4096);
    std::vector<uint32_t> chains;
    while (chains.size() < 2) {
      const Rig::Turn turn = io.rig.turn();
      for (uint32_t i = 0; i < turn.requests; i++) {
        chains.push_back(io.rig.exchange->requests[i].chain);
      }
    }
    io.forget(io.rig.data(2), io.rig.data(2) + 4095);
    CHECK(io.rig.plane->translationsSettled());
    io.forget(io.rig.data(1), io.rig.data(1));
    CHECK(!io.rig.plane->translationsSettled());
    io.rig.command(6, chains[0]);
    io.rig.turn();
    CHECK(!io.rig.plane->translationsSettled());
    io.rig.command(6, chains[1]);
    io.rig.turn();
    CHECK(io.rig.plane->translationsSettled());
    // What was evicted is still the driver's range: looked for by its address, not in the table.
    io.rig.post(0, true, 0, 4096);
    io.rig.turnUntil([](const Rig::Turn& turn) { return turn.requests > 0; });
    const uint32_t chain = io.rig.exchange->requests[0].chain;
    io.memory = io.memory->withIotlb(std::make_shared<const Iotlb>());
    io.forget(io.rig.header(0), io.rig.header(0));
    CHECK(!io.rig.plane->translationsSettled());
    io.rig.command(6, chain);
    io.rig.turn();
    CHECK(io.rig.plane->translationsSettled());
  });
}

TEST("an invalidation of the ring itself: served to the end, unmapped, asked for, gone on") {
  forAllRings([](IoRig& io) {
    io.tellRings();
    io.tell(io.rig.header(0), io.rig.data(3) + 4095);
    io.rig.post(0, true, 0, 512);
    io.rig.turnUntil([](const Rig::Turn& turn) { return turn.requests > 0; });
    const uint32_t chain = io.rig.exchange->requests[0].chain;
    const uint64_t base = io.rig.driver.options().guestAddress;
    io.forget(base, base);
    io.rig.post(1, true, 0, 512);
    CHECK_EQ(io.rig.turn().requests, 0u);
    CHECK(!io.rig.plane->translationsSettled());
    io.rig.command(6, chain);
    io.rig.turn(true);  // comes back by itself: somebody waits for it
    CHECK(io.rig.plane->translationsSettled());
    Used element{};
    CHECK(io.rig.driver.takeUsed(&element) && !io.rig.driver.takeUsed(&element));
    CHECK_EQ(io.miss(), base);
    io.tellRings();
    CHECK(io.rig.plane->translationsSettled());
    io.rig.serve(1);
  });
}

TEST("a ring that waits for a translation can be stopped, and memory can change under it") {
  forAllRings([](IoRig& io) {
    io.tellRings();
    io.rig.post(0, true, 0, 512);
    io.miss();
    io.rig.plane->changeMemory(io.rig.driver.memory());
    CHECK_EQ(io.miss(), io.rig.driver.options().guestAddress);
    io.rig.plane->drainVring(0);
    io.rig.turn(true);
    CHECK(io.rig.plane->endVring(0) >= 0);
  });
}

}  // namespace
}  // namespace vhost::test
