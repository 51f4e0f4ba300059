#include "owned-queue.h"

#include <cerrno>
#include <utility>
#include <vector>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

struct Fixture {
  explicit Fixture(DriverOptions options = {}, bool inOrder = false)
      : driver(atStart(std::move(options))) {
    const DriverOptions& as = driver.options();
    const OwnedQueueStart with{
        {as.packed, as.size, driver.addresses(), driver.base(), as.eventIdx, {}, inOrder},
        as.base,
        4,
        nullptr,
        0};
    CHECK_EQ(queue.start(driver.memory(), with), 0);
  }
  // Wrap counters begin at 1 (VIRTIO 1.3 §2.8.1).
  static DriverOptions atStart(DriverOptions options) {
    if (options.packed) options.base = 0x8000;
    return options;
  }
  void offer(uint16_t head) {
    driver.chain(head, {{driver.heap() + head * 16u, 8, false}});
    driver.offer(head);
  }
  std::vector<uint16_t> pop(uint32_t max) {
    const int32_t count = queue.pop(max, records);
    std::vector<uint16_t> heads;
    for (int32_t i = 0; i < count; i++) heads.push_back(static_cast<uint16_t>(records[i].chain));
    return heads;
  }
  bool addUsed(uint16_t head) {
    const UsedRecord record{head, 0};
    return queue.addUsed(&record, 1) == 1;
  }
  std::vector<uint16_t> takeUsed() {
    std::vector<uint16_t> ids;
    Used used;
    while (driver.takeUsed(&used)) ids.push_back(static_cast<uint16_t>(used.id));
    return ids;
  }

  Driver driver;
  OwnedQueue queue;
  RequestRecord records[256];
};

using Heads = std::vector<uint16_t>;

constexpr bool kFormats[] = {false, true};

TEST("an owned queue hands out batches and takes them back in any order") {
  for (const bool packed : kFormats) {
    Fixture of({.packed = packed});
    for (uint16_t head = 0; head < 6; head++) of.offer(head);
    CHECK_EQ(of.queue.available(), 6);
    CHECK(of.pop(4) == (Heads{0, 1, 2, 3}));
    const UsedRecord used[] = {{3, 1}, {1, 0}, {70000, 0}, {0, 0}};
    CHECK_EQ(of.queue.addUsed(used, 4), 2);
    CHECK(of.takeUsed() == (Heads{3, 1}));
    CHECK(of.pop(9) == (Heads{4, 5}));
    CHECK(of.pop(9).empty());
  }
}

TEST("only the last pops that nothing passed go back into the ring") {
  for (const bool packed : kFormats) {
    Fixture of({.packed = packed});
    for (int round = 0; round < 20; round++) {
      for (uint16_t head = 0; head < 5; head++) of.offer(head);
      CHECK(of.pop(5) == (Heads{0, 1, 2, 3, 4}));
      CHECK(of.addUsed(2));
      CHECK(of.queue.goToPrevious());
      CHECK(of.queue.goToPrevious());
      CHECK(!of.queue.goToPrevious());
      CHECK(of.pop(5) == (Heads{3, 4}));
      for (const uint16_t head : {4, 3, 1, 0}) CHECK(of.addUsed(head));
      CHECK(!of.queue.goToPrevious());
      CHECK(of.takeUsed() == (Heads{2, 4, 3, 1, 0}));
    }
  }
}

TEST("IN_ORDER: used in the order of pops, whatever ends first") {
  for (const bool packed : kFormats) {
    Fixture of({.packed = packed}, true);
    for (int round = 0; round < 20; round++) {
      for (uint16_t head = 0; head < 5; head++) of.offer(head);
      CHECK(of.pop(5) == (Heads{0, 1, 2, 3, 4}));
      CHECK(of.addUsed(3));
      CHECK(!of.addUsed(3));
      CHECK(!of.queue.ring().inFlight(3));
      CHECK(of.addUsed(1));
      CHECK(of.takeUsed().empty());
      CHECK(of.addUsed(0));
      CHECK(of.takeUsed() == (Heads{0, 1}));
      CHECK(of.queue.goToPrevious());
      CHECK(of.pop(5) == (Heads{4}));
      CHECK(of.addUsed(4));
      CHECK(of.addUsed(2));
      CHECK(of.takeUsed() == (Heads{2, 3, 4}));
    }
  }
}

TEST("IN_ORDER: behind a chain that was abandoned none is shown") {
  for (const bool packed : kFormats) {
    Fixture of({.packed = packed}, true);
    for (uint16_t head = 0; head < 4; head++) of.offer(head);
    CHECK(of.pop(4) == (Heads{0, 1, 2, 3}));
    CHECK(of.addUsed(0));
    CHECK(of.addUsed(2));
    of.queue.ring().abandon(1);
    CHECK(of.addUsed(3));
    CHECK(of.takeUsed() == (Heads{0}));
    CHECK_EQ(of.queue.ring().inFlightCount(), 0u);
  }
}

TEST("a fault is kept; what was popped before it comes first") {
  for (const bool packed : kFormats) {
    Fixture of({.packed = packed});
    of.offer(0);
    of.driver.chain(1, {{of.driver.end(), 8, false}});
    of.driver.offer(1);
    CHECK(of.pop(4) == (Heads{0}));
    const auto fault = -static_cast<int32_t>(RingFault::kOutsideMemory);
    CHECK_EQ(of.queue.pop(4, of.records), fault);
    CHECK_EQ(of.queue.available(), fault);
    const UsedRecord used{0, 0};
    CHECK_EQ(of.queue.addUsed(&used, 1), fault);
    CHECK(of.takeUsed().empty());
    CHECK(!of.queue.goToPrevious());
  }
}

TEST("a ring is sought to where none can be, or with chains out") {
  Fixture split;
  split.offer(0);
  CHECK(split.pop(1) == (Heads{0}));
  CHECK_EQ(split.queue.ring().seek(0, 0), -EBUSY);
  CHECK(split.addUsed(0));
  CHECK_EQ(split.queue.ring().seek(0, 0), 0);
  CHECK(split.pop(1) == (Heads{0}));

  Fixture packed({.packed = true});
  packed.offer(0);
  CHECK_EQ(packed.queue.ring().availIndex(), 0x8001);
  CHECK(packed.pop(1) == (Heads{0}));
  CHECK_EQ(packed.queue.ring().seek(0x8000, 0x8000), -EBUSY);
  CHECK(packed.addUsed(0));
  CHECK_EQ(packed.queue.ring().usedIndex(), 0x8001);
  CHECK_EQ(packed.queue.ring().seek(0x8008, 0x8000), -EINVAL);
  CHECK_EQ(packed.queue.ring().seek(0x8000, 0x8001), -EINVAL);
  CHECK_EQ(packed.queue.ring().seek(0x8002, 0x8001), 0);
  CHECK_EQ(packed.queue.ring().nextAvail(), 0x8002);
}

TEST("RG-026: at the caps nothing more is popped, without a fault") {
  Fixture of({.size = 64, .memoryBytes = uint64_t{32} << 20});
  const uint32_t bytes = 16 << 20;
  for (uint16_t head = 0; head < 20; head++) {
    of.driver.setDescriptor(head, {of.driver.heap(), bytes, 0, 0});
    of.driver.offer(head);
  }
  CHECK_EQ(of.pop(64).size(), kBytesInFlightMax / bytes);
  CHECK_EQ(of.queue.pop(64, of.records), 0);
  CHECK(of.addUsed(7));
  CHECK(of.pop(64) == (Heads{16}));
}

}  // namespace
}  // namespace vhost::test
