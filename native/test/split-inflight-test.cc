#include "split-inflight.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

#include "check.h"
#include "driver.h"
#include "split-ring.h"

namespace vhost::test {
namespace {

constexpr uint32_t kSize = 8;

// A driver, and an area for two queues of which the second is used, so that a wrong place shows.
struct Fixture {
  explicit Fixture(const DriverOptions& options = {.size = kSize}, uint16_t queueSize = kSize)
      : driver(options), file(16384) {
    int error = 0;
    area = InflightArea::map(file.fd(), {16384, 0, 2, queueSize}, &error);
    CHECK_EQ(error, 0);
  }
  SplitInflightHeader* header() {
    return reinterpret_cast<SplitInflightHeader*>(file.data() + 8192);
  }
  SplitInflightEntry* entry(uint32_t head) {
    return reinterpret_cast<SplitInflightEntry*>(header() + 1) + head;
  }
  // A new process: nothing is known but what is in memory.
  int restart() {
    ring = std::make_unique<SplitRing>();
    CHECK_EQ(driver.start(ring.get()), 0);
    return ring->track(area, 1);
  }
  void offer(const std::vector<uint16_t>& heads) {
    for (const uint16_t head : heads) driver.offer(driver.chain(head, {{driver.heap(), 16}}));
  }
  uint16_t pop() {
    uint16_t head = 0;
    CHECK_EQ(ring->pop(&head), RingFault::kNone);
    return head;
  }
  std::string popAll() {
    std::string heads;
    uint32_t count = 0;
    CHECK_EQ(ring->available(&count), RingFault::kNone);
    while (count-- > 0) heads += std::to_string(pop()) + " ";
    return heads;
  }
  // As a back-end leaves it that was killed with these heads in flight, in this order.
  void leave(const std::vector<uint16_t>& heads) {
    CHECK_EQ(restart(), 0);
    offer(heads);
    popAll();
  }
  void finish(const std::vector<uint16_t>& heads) {
    for (const uint16_t head : heads) ring->addUsed(head, 0);
    ring->publish();
  }

  Driver driver;
  SharedFile file;
  std::shared_ptr<InflightArea> area;
  std::unique_ptr<SplitRing> ring;
};

std::string hex(const void* from, size_t bytes) {
  std::string text;
  char digits[4];
  for (size_t i = 0; i < bytes; i++) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<const uint8_t*>(from)[i]);
    text += digits;
    if (i % 8 == 7) text += ' ';
  }
  return text;
}

TEST("the bytes of the area through two requests") {
  Fixture f({.size = kSize, .base = 65535});
  CHECK_EQ(f.restart(), 0);
  CHECK_EQ(hex(f.header(), 16), "0000000000000000 010008000000ffff ");
  f.offer({5, 2});
  CHECK_EQ(f.popAll(), "5 2 ");
  CHECK_EQ(hex(f.entry(5), 16), "0100000000000000 0000000000000000 ");
  CHECK_EQ(hex(f.entry(2), 16), "0100000000000000 0100000000000000 ");
  f.ring->addUsed(5, 0);
  CHECK_EQ(hex(f.header(), 16), "0000000000000000 010008000500ffff ");
  f.ring->addUsed(2, 0);
  CHECK_EQ(hex(f.entry(2), 16), "0100000000000500 0100000000000000 ");
  CHECK_EQ(hex(f.header(), 16), "0000000000000000 010008000200ffff ");
  CHECK_EQ(f.driver.usedIndex(), 65535);
  f.ring->publish();
  CHECK_EQ(hex(f.header(), 16), "0000000000000000 0100080002000100 ");
  CHECK_EQ(hex(f.entry(5), 16), "0000000000000000 0000000000000000 ");
  CHECK_EQ(hex(f.entry(2), 16), "0000000000000500 0100000000000000 ");
  for (size_t i = 0; i < 8192; i++) CHECK_EQ(f.file.data()[i], 0);  // the other queue's
}

TEST("killed at each step of one batch: each request is shown as used exactly once") {
  // Heads 6, 1, 4, 0 were fetched in that order; 4 and 6 are done in one batch.
  const struct {
    const char* at;
    std::function<void(Fixture&)> die;
    const char* left;
  } rows[] = {
      {"fetched", [](Fixture&) {}, "6 1 4 0 "},
      {"first used element", [](Fixture& f) { f.ring->addUsed(4, 0); }, "6 1 4 0 "},
      {"both used elements",
       [](Fixture& f) {
         f.ring->addUsed(4, 0);
         f.ring->addUsed(6, 0);
       },
       "6 1 4 0 "},
      {"used.idx",
       [](Fixture& f) {
         f.finish({4, 6});
         f.entry(4)->inflight = f.entry(6)->inflight = 1;
         f.header()->usedIndex -= 2;
       },
       "1 0 "},
      {"one mark cleared",
       [](Fixture& f) {
         f.finish({4, 6});
         f.entry(6)->inflight = 1;
         f.header()->usedIndex -= 2;
       },
       "1 0 "},
      {"both marks cleared",
       [](Fixture& f) {
         f.finish({4, 6});
         f.header()->usedIndex -= 2;
       },
       "1 0 "},
      {"all said",
       [](Fixture& f) {
         f.finish({4, 6});
       },
       "1 0 "},
      {"next request counted, not marked",
       [](Fixture& f) {
         f.finish({4, 6});
         f.entry(4)->counter = 4;
       },
       "1 0 "},
  };
  for (const uint16_t base : {0, 65533, 65534}) {
    for (const auto& row : rows) {
      Fixture f({.size = kSize, .base = base});
      f.leave({6, 1, 4, 0});
      row.die(f);
      // Killed again while it is taken up, before and after the first request is fetched.
      for (const int fetched : {0, 1}) {
        CHECK_EQ(f.restart(), 0);
        for (int i = 0; i < fetched; i++) f.pop();
      }
      CHECK_EQ(f.restart(), 0);
      const std::string left = f.popAll();
      if (left != row.left) fail(__FILE__, __LINE__, row.at + (": " + left));
      CHECK_EQ(f.ring->nextAvail(), f.driver.availIndex());
      CHECK_EQ(f.header()->usedIndex, f.driver.usedIndex());
      CHECK(!f.ring->enableNotification());
    }
  }
}

TEST("what was left comes before what is new, and both end as ever") {
  Fixture f;
  f.leave({3, 0});
  f.offer({5});
  CHECK_EQ(f.restart(), 0);
  CHECK(f.ring->enableNotification());
  f.offer({1});
  CHECK_EQ(f.popAll(), "3 0 5 1 ");
  f.finish({5, 0, 1, 3});
  CHECK_EQ(f.driver.usedIndex(), 4);
  CHECK_EQ(f.restart(), 0);
  CHECK_EQ(f.popAll(), "");
}

TEST("where a ring goes on: an area that was used knows better than SET_VRING_BASE") {
  for (const uint16_t said : {0, 2, 4, 1000}) {
    Fixture f;
    f.leave({3, 0, 1});
    f.finish({0});
    SplitRing ring;
    CHECK_EQ(ring.start(f.driver.memory(), kSize, f.driver.addresses(), said, true), 0);
    CHECK_EQ(ring.track(f.area, 1), 0);
    CHECK_EQ(ring.nextAvail(), 3);
    CHECK_EQ(f.driver.availEvent(), 3);
  }
}

TEST("CS-158: a fresh area beside a ring that is far from zero clears and replays nothing") {
  Fixture f({.size = kSize, .base = 3000});
  f.entry(0)->inflight = 1;  // says nothing without a version
  CHECK_EQ(f.restart(), 0);
  CHECK_EQ(f.ring->nextAvail(), 3000);
  CHECK_EQ(f.header()->usedIndex, 3000);
  f.offer({0});
  CHECK_EQ(f.popAll(), "0 ");
  CHECK_EQ(f.restart(), 0);
  CHECK_EQ(f.popAll(), "0 ");
}

TEST("an area in which nothing is in flight fits any ring: the guest may have rebooted") {
  Fixture f;
  f.leave({3, 0});
  f.finish({3, 0});
  f.driver.setUsedIndex(40000);
  CHECK_EQ(f.restart(), 0);
  CHECK_EQ(f.ring->nextAvail(), 40000);
  CHECK_EQ(f.header()->usedIndex, 40000);
}

TEST("CS-153: content that no back-end leaves behind is refused") {
  const struct {
    const char* what;
    std::function<void(Fixture&)> spoil;
    int error;
  } rows[] = {
      {"nothing", [](Fixture&) {}, 0},
      {"version 2", [](Fixture& f) { f.header()->version = 2; }, -EBADMSG},
      {"a feature", [](Fixture& f) { f.header()->features = 1; }, -EBADMSG},
      {"desc_num 0", [](Fixture& f) { f.header()->descCount = 0; }, -EBADMSG},
      {"desc_num below the ring", [](Fixture& f) { f.header()->descCount = 7; }, -EBADMSG},
      {"desc_num of the area", [](Fixture& f) { f.header()->descCount = 16; }, 0},
      {"desc_num beyond the area", [](Fixture& f) { f.header()->descCount = 17; }, -EBADMSG},
      {"desc_num 65535", [](Fixture& f) { f.header()->descCount = 65535; }, -EBADMSG},
      {"a mark beyond the ring", [](Fixture& f) { f.entry(8)->inflight = 1; }, -EBADMSG},
      {"a mark of 2", [](Fixture& f) { f.entry(2)->inflight = 2; }, -EBADMSG},
      {"last_batch_head beyond", [](Fixture& f) { f.header()->lastBatchHead = 8; }, -EBADMSG},
      {"last_batch_head 65535", [](Fixture& f) { f.header()->lastBatchHead = 65535; }, -EBADMSG},
      {"next beyond", [](Fixture& f) { f.entry(1)->next = 8; }, -EBADMSG},
      {"next 65535", [](Fixture& f) { f.entry(1)->next = 65535; }, -EBADMSG},
      {"next is itself", [](Fixture& f) { f.entry(1)->next = 1; }, -EBADMSG},
      {"next behind the batch", [](Fixture& f) { f.entry(3)->next = 65535; }, 0},
      {"used_idx ahead of the ring", [](Fixture& f) { f.header()->usedIndex = 3; }, -EBADMSG},
      {"used_idx far off", [](Fixture& f) { f.header()->usedIndex = 40000; }, -EBADMSG},
      {"batch as long as the ring", [](Fixture& f) { f.header()->usedIndex = 65530; }, -EBADMSG},
  };
  for (const auto& row : rows) {
    Fixture f({.size = kSize}, 16);
    f.leave({3, 0, 1, 2});
    // Killed behind used.idx: heads 3 and 1 are the last batch.
    f.finish({3, 1});
    f.entry(3)->inflight = f.entry(1)->inflight = 1;
    f.header()->usedIndex = 0;
    row.spoil(f);
    const int error = f.restart();
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
    if (error == 0) CHECK_EQ(f.popAll(), "0 2 ");
  }
}

TEST("CS-152: a ring larger than the area's queues is refused, a smaller one served") {
  for (const uint16_t queueSize : {4, 8, 16}) {
    Fixture f({.size = kSize}, queueSize);
    CHECK_EQ(f.restart(), queueSize < kSize ? -EBADMSG : 0);
  }
}

TEST("a queue the area does not cover is not recorded") {
  Fixture f;
  f.ring = std::make_unique<SplitRing>();
  CHECK_EQ(f.driver.start(f.ring.get()), 0);
  CHECK_EQ(f.ring->track(f.area, 2), 0);
  f.offer({1});
  CHECK_EQ(f.popAll(), "1 ");
  f.finish({1});
  for (size_t i = 0; i < f.file.bytes(); i++) CHECK_EQ(f.file.data()[i], 0);
}

TEST("CS-154: everything marked, counters equal or at their end") {
  const struct {
    std::vector<uint64_t> counters;
    const char* order;
  } rows[] = {
      {{7, 6, 5, 4, 3, 2, 1, 0}, "7 6 5 4 3 2 1 0 "},
      {{5, 5, 5, 5, 5, 5, 5, 5}, "0 1 2 3 4 5 6 7 "},
      {{~0ull, 3, ~0ull, 2, 1, 0, ~0ull - 1, 4}, "5 4 3 1 7 6 0 2 "},
  };
  for (const auto& row : rows) {
    Fixture f;
    f.leave({0, 1, 2, 3, 4, 5, 6, 7});
    for (uint32_t i = 0; i < kSize; i++) f.entry(i)->counter = row.counters[i];
    CHECK_EQ(f.restart(), 0);
    CHECK_EQ(f.popAll(), row.order);
    f.finish({5});
    f.offer({5});
    CHECK_EQ(f.pop(), 5);
    CHECK_EQ(f.entry(5)->counter, 8u);
    CHECK_EQ(f.restart(), 0);
    CHECK_EQ(f.popAll().substr(14), "5 ");
  }
}

TEST("CS-155: a head in flight whose descriptor is garbage now ends the ring, not the process") {
  const struct {
    Descriptor garbage;
    RingFault fault;
  } rows[] = {
      {{0, 16, 0, 0}, RingFault::kOutsideMemory},
      {{0x40000000, 16, kNext, 8}, RingFault::kNextIndex},
      {{0x40000000, 16, kNext, 3}, RingFault::kChainLength},
      {{0x40000000, 15, kIndirect, 0}, RingFault::kIndirectLength},
  };
  for (const auto& row : rows) {
    Fixture f;
    f.leave({3, 0});
    f.driver.setDescriptor(3, row.garbage);
    CHECK_EQ(f.restart(), 0);
    uint16_t head = 0;
    CHECK_EQ(f.ring->pop(&head), row.fault);
    CHECK_EQ(f.entry(3)->inflight, 1);
  }
}

TEST("CS-156: what a front-end writes into the area while the ring runs is never read") {
  for (const int byte : {0x00, 0x01, 0xff}) {
    Fixture f;
    f.leave({3, 0, 6});
    CHECK_EQ(f.restart(), 0);
    std::memset(f.file.data(), byte, f.file.bytes());
    CHECK_EQ(f.popAll(), "3 0 6 ");
    f.offer({2});
    CHECK_EQ(f.popAll(), "2 ");
    std::memset(f.file.data(), byte, f.file.bytes());
    f.finish({6, 2, 0, 3});
    Used used{};
    for (const uint32_t head : {6, 2, 0, 3}) {
      CHECK(f.driver.takeUsed(&used));
      CHECK_EQ(used.id, head);
    }
    CHECK(f.driver.canariesIntact());
  }
}

TEST("CS-152: an area taken away while the ring runs makes the ring a lost one") {
  const TemporaryFile file(4096);
  int error = 0;
  Fixture f;
  f.area = InflightArea::map(file.fd(), {4096, 0, 2, kSize}, &error);
  CHECK_EQ(f.restart(), 0);
  f.offer({1});
  CHECK_EQ(ftruncate(file.fd(), 0), 0);
  CHECK(!f.ring->poisoned());
  CHECK_EQ(f.pop(), 1);
  CHECK(f.ring->poisoned());
  CHECK_EQ(f.restart(), -EFAULT);
}

}  // namespace
}  // namespace vhost::test
