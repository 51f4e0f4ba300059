// packed-ring.cc: who wakes whom, with and without the event index.
#include "check.h"
#include "driver.h"
#include "packed-ring.h"

namespace vhost::test {
namespace {

struct Fixture {
  explicit Fixture(DriverOptions options) : driver(asPacked(options)) {
    CHECK_EQ(driver.start(&ring), 0);
  }
  static DriverOptions asPacked(DriverOptions options) {
    options.packed = true;
    return options;
  }
  // `count` requests of two entries each through the ring and published at once.
  void serve(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      offer(static_cast<uint16_t>(i));
      uint16_t id = 0;
      CHECK_EQ(ring.pop(&id), RingFault::kNone);
    }
    for (uint32_t i = 0; i < count; i++) ring.addUsed(static_cast<uint16_t>(i), 1);
    ring.publish();
    Used used{};
    while (driver.takeUsed(&used)) continue;
  }
  void offer(uint16_t id) {
    const uint64_t at = driver.heap();
    driver.packed().offer({{at, 1, id, kNext}, {at, 1, id, kWrite}});
  }

  Driver driver;
  PackedRing ring;
};

TEST("packed, without the event index: the flags alone decide, and are looked at each time") {
  Fixture f({.eventIdx = false, .base = 0x8000});
  const struct {
    uint16_t flags;
    bool call;
  } rows[] = {
      {kEventEnable, true},
      {kEventDisable, false},
      {kEventEnable, true},  // RG-040
      {kEventDesc, true},    // not negotiated
      {3, true},             // PK-009
      {0xfffd, false},       // reserved bits
  };
  for (const auto& row : rows) {
    f.driver.packed().setDriverEvent(5, row.flags);
    f.serve(1);
    CHECK_EQ(f.ring.needsCall(), row.call);
  }
}

TEST("PK-009: event places, at the beginning, over the end of the ring and outside it") {
  constexpr uint32_t kSize = 19;
  const struct {
    const char* what;
    int event;  // entries from where the driver waits before the batch
    uint32_t batch;
    bool call;
  } rows[] = {
      {"next one", 0, 1, true},
      {"second entry of the next one", 1, 1, true},
      {"behind the next one", 2, 1, false},
      {"last entry of a batch", 7, 4, true},
      {"just behind the batch", 8, 4, false},
      {"just passed", -1, 4, false},
      {"a round ahead", kSize, 4, false},
      {"nearly two rounds ahead", 2 * kSize - 1, 4, false},
  };
  for (uint32_t place = 0; place < 2 * kSize; place++) {
    const auto base = static_cast<uint16_t>(place % kSize | (place < kSize ? 0x8000 : 0));
    for (const auto& row : rows) {
      Fixture f({.size = kSize, .base = base});
      f.serve(1);
      CHECK(f.ring.needsCall());  // the first always: there is nothing to count from
      const uint32_t at = (place + 2 + 2 * kSize + row.event) % (2 * kSize);
      f.driver.packed().setDriverEvent(
          static_cast<uint16_t>(at % kSize | (at < kSize ? 0x8000 : 0)), kEventDesc);
      f.serve(row.batch);
      const std::string what = std::string(row.what) + ", place " + std::to_string(place);
      if (f.ring.needsCall() != row.call) fail(__FILE__, __LINE__, what);
    }
  }
  for (const uint16_t outside : {19, 0x7fff, 0x8000 | 19, 0xffff}) {
    Fixture f({.size = kSize, .base = 0x8000});
    for (int i = 0; i < 3; i++) {
      f.driver.packed().setDriverEvent(outside, kEventDesc);
      f.serve(1);
      CHECK(f.ring.needsCall());
    }
  }
}

TEST("RG-040: packed, no lost call after any number of rounds without one") {
  for (uint32_t silent = 0; silent < 60; silent++) {
    Fixture f({.size = 16, .base = 0x8000});
    f.serve(1);
    CHECK(f.ring.needsCall());
    f.driver.packed().setDriverEvent(0, kEventDisable);
    for (uint32_t i = 0; i < silent; i++) {
      f.serve(1 + i % 8);
      CHECK(!f.ring.needsCall());
    }
    f.driver.askForCall();
    f.serve(8);
    CHECK(f.ring.needsCall());
    f.serve(1);  // a driver that has not moved its place on
    CHECK(!f.ring.needsCall());
  }
}

TEST("packed: kicks are asked for at the start, at a base other than zero too") {
  for (const uint16_t base : {0x8000, 0, 0x8005, 3}) {
    Fixture f({.base = base});
    CHECK_EQ(f.driver.packed().deviceEventPlace(), base);
    CHECK_EQ(f.driver.packed().deviceEventFlags(), kEventDesc);
  }
  Fixture flags({.eventIdx = false, .base = 0x8000});
  CHECK_EQ(flags.driver.packed().deviceEventFlags(), kEventEnable);
}

TEST("packed: enableNotification asks for the next chain, and sees one that came meanwhile") {
  for (const bool eventIdx : {false, true}) {
    Fixture f({.eventIdx = eventIdx, .base = 0x8007});
    f.serve(1);
    f.ring.disableNotification();
    CHECK_EQ(f.driver.packed().deviceEventFlags(), kEventDisable);
    CHECK(!f.ring.enableNotification());
    CHECK_EQ(f.driver.packed().deviceEventFlags(), eventIdx ? kEventDesc : kEventEnable);
    if (eventIdx) CHECK_EQ(f.driver.packed().deviceEventPlace(), 1);
    f.offer(0);
    CHECK(f.ring.enableNotification());
  }
}

}  // namespace
}  // namespace vhost::test
