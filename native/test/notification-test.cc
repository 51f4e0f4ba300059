// split-ring.cc: who wakes whom, with and without the event index.
#include "check.h"
#include "driver.h"
#include "split-ring.h"

namespace vhost::test {
namespace {

struct Fixture {
  explicit Fixture(const DriverOptions& options = {}) : driver(options) {
    CHECK_EQ(driver.start(&ring), 0);
  }
  void pop() {
    uint16_t head = 0;
    CHECK_EQ(ring.pop(&head), RingFault::kNone);
  }
  // `count` requests through the ring and published at once.
  void serve(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      const auto head = static_cast<uint16_t>(i % driver.options().size);
      driver.offer(driver.chain(head, {{driver.heap(), 1, true}}));
      pop();
      ring.addUsed(head, 1);
    }
    ring.publish();
  }

  Driver driver;
  SplitRing ring;
};

TEST("without the event index: NO_INTERRUPT alone decides, and is looked at each time") {
  Fixture f({.eventIdx = false});
  f.serve(1);
  CHECK(f.ring.needsCall());
  f.driver.setAvailFlags(1);
  f.serve(1);
  CHECK(!f.ring.needsCall());
  f.driver.setAvailFlags(0);  // RG-040
  f.serve(1);
  CHECK(f.ring.needsCall());
  f.driver.setUsedEvent(60000);  // not the device's to look at
  f.serve(1);
  CHECK(f.ring.needsCall());
}

TEST("with the event index NO_INTERRUPT says nothing") {
  Fixture f;
  f.driver.setAvailFlags(1);
  f.serve(1);
  CHECK(f.ring.needsCall());
}

TEST("RG-038 RG-039: used_event arithmetic, at zero and over the wrap") {
  const struct {
    const char* what;
    int event;  // from the used index before the batch
    uint32_t batch;
    bool call;
  } rows[] = {
      {"next one", 0, 1, true},
      {"one of a batch, first", 0, 4, true},
      {"one of a batch, last", 3, 4, true},
      {"just behind the batch", 4, 4, false},
      {"far ahead", 20000, 4, false},
      {"just passed", -1, 4, false},
      {"long passed", -20000, 4, false},
      {"garbage: half the range", 32768, 4, false},
  };
  for (const uint16_t base : {0, 1000, 65531, 65534, 65535}) {
    for (const auto& row : rows) {
      Fixture f({.size = 16, .base = base});
      f.serve(1);
      CHECK(f.ring.needsCall());  // the first always: there is nothing to count from
      const uint16_t now = f.driver.usedIndex();
      f.driver.setUsedEvent(static_cast<uint16_t>(now + row.event));
      f.serve(row.batch);
      const std::string what = std::string(row.what) + ", base " + std::to_string(base);
      if (f.ring.needsCall() != row.call) fail(__FILE__, __LINE__, what);
    }
  }
}

TEST("a suppressed call is not forgotten by the next one") {
  Fixture f;
  f.serve(1);
  CHECK(f.ring.needsCall());
  f.driver.setUsedEvent(5);
  for (int i = 1; i < 5; i++) {
    f.serve(1);
    CHECK(!f.ring.needsCall());
  }
  f.serve(1);  // the one with index 5
  CHECK(f.ring.needsCall());
  f.serve(1);
  CHECK(!f.ring.needsCall());
}

// A driver that polls keeps used_event out of the way for as long as it likes, then wants to sleep.
TEST("RG-038 RG-040: no lost call after a whole round of indices without one") {
  for (uint32_t silent = 65520; silent < 65540; silent++) {
    Fixture f({.size = 16});
    f.serve(1);
    CHECK(f.ring.needsCall());
    for (uint32_t done = 0; done < silent;) {
      const uint32_t batch = std::min(8u, silent - done);
      f.driver.setUsedEvent(static_cast<uint16_t>(f.driver.usedIndex() + 1000));
      f.serve(batch);
      CHECK(!f.ring.needsCall());
      done += batch;
    }
    f.driver.setUsedEvent(f.driver.usedIndex());
    f.serve(8);
    CHECK(f.ring.needsCall());
  }
}

TEST("avail_event is seeded at start, also at a base other than zero") {
  for (const uint16_t base : {0, 1, 65000, 65535}) {
    Fixture f({.base = base});
    CHECK_EQ(f.driver.availEvent(), base);
  }
  Fixture flags({.eventIdx = false});
  CHECK_EQ(flags.driver.usedFlags(), 0);
}

TEST("enableNotification asks for the next chain, and sees one that came meanwhile") {
  for (const bool eventIdx : {false, true}) {
    Fixture f({.eventIdx = eventIdx, .base = 65535});
    f.serve(1);
    f.ring.disableNotification();
    if (!eventIdx) CHECK_EQ(f.driver.usedFlags(), 1);
    CHECK(!f.ring.enableNotification());
    if (eventIdx) {
      CHECK_EQ(f.driver.availEvent(), 0);
    } else {
      CHECK_EQ(f.driver.usedFlags(), 0);
    }
    f.driver.offer(f.driver.chain(0, {{f.driver.heap(), 1}}));
    CHECK(f.ring.enableNotification());
  }
}

TEST("RG-048: used elements carry the lengths given, the index moves only at publish") {
  Fixture f({.base = 65534});
  const uint32_t lengths[] = {0, 1, 4097, UINT32_MAX};
  for (uint16_t i = 0; i < 4; i++) {
    f.driver.offer(f.driver.chain(i, {{f.driver.heap(), 16, true}}));
    f.pop();
  }
  for (uint16_t i = 4; i-- > 0;) f.ring.addUsed(i, lengths[i]);  // out of order
  Used used{};
  CHECK(!f.driver.takeUsed(&used));
  f.ring.publish();
  for (uint16_t i = 4; i-- > 0;) {
    CHECK(f.driver.takeUsed(&used));
    CHECK_EQ(used.id, i);
    CHECK_EQ(used.length, lengths[i]);
  }
  CHECK(!f.driver.takeUsed(&used));
}

}  // namespace
}  // namespace vhost::test
