#include "split-ring.h"

#include <cerrno>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint32_t kPage = 4096;

// A driver and the device's ring, started.
struct Fixture {
  explicit Fixture(const DriverOptions& options = {}, bool readOnly = false) : driver(options) {
    ring.setReadOnly(readOnly);
    CHECK_EQ(driver.start(&ring), 0);
  }
  RingFault pop(uint16_t* head) {
    uint32_t count = 0;
    const RingFault fault = ring.available(&count);
    if (fault != RingFault::kNone) return fault;
    CHECK(count > 0);
    return ring.pop(head);
  }
  RingFault offerAndPop(uint16_t head) {
    driver.offer(head);
    uint16_t popped = 0;
    const RingFault fault = pop(&popped);
    if (fault == RingFault::kNone) CHECK_EQ(popped, head);
    return fault;
  }
  uint64_t at(uint64_t offset) const { return driver.heap() + offset; }

  Driver driver;
  SplitRing ring;
};

TEST("RG-051: sizes and alignments a ring may have") {
  Driver driver({.size = 8, .memoryBytes = 1 << 18});
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
      {"size 3", 3, good, -EINVAL},
      {"size 65536", 65536, good, -EINVAL},
      {"size 2^31", 1u << 31, good, -EINVAL},
      {"descriptor misaligned", 8, {good.descriptor + 8, good.available, good.used}, -EINVAL},
      {"avail misaligned", 8, {good.descriptor, good.available + 1, good.used}, -EINVAL},
      {"used misaligned", 8, {good.descriptor, good.available, good.used + 2}, -EINVAL},
      {"descriptor outside", 8, {0, good.available, good.used}, -EFAULT},
      {"avail outside", 8, {good.descriptor, 0, good.used}, -EFAULT},
      {"used outside", 8, {good.descriptor, good.available, 0}, -EFAULT},
      {"used ends behind the region", 32768, good, -EFAULT},
  };
  for (const auto& row : rows) {
    SplitRing ring;
    const int error = ring.start(driver.memory(), row.size, row.addresses, 0, true);
    if (error != row.error) fail(__FILE__, __LINE__, row.what + (": " + std::to_string(error)));
  }
}

TEST("CS-075: an odd mmap offset that misaligns the ring indices is refused, not trapped on") {
  const SharedFile file(16 * kPage);
  const uint64_t user = 0x7f0000000000;
  const struct {
    uint64_t offset;
    int error;
  } rows[] = {{0, 0}, {4, 0}, {2, -EINVAL}, {1, -EINVAL}};
  for (const auto& row : rows) {
    int error = 0;
    const auto memory = GuestMemory().with(file.fd(), {0, user, 8 * kPage, row.offset}, &error);
    SplitRing ring;
    CHECK_EQ(ring.start(memory, 8, {user, user + 128, user + 256}, 0, true), row.error);
  }
}

TEST("RG-033: a used ring that ends with the region; one byte less of it is refused") {
  const SharedFile file(4 * kPage);
  const uint64_t user = 0x7f0000000000;
  for (const uint64_t cut : {0, 1}) {
    for (const bool eventIdx : {false, true}) {
      const uint64_t usedBytes = 4 + 8 * 8 + (eventIdx ? 2 : 0);
      const uint64_t used = user + 2 * kPage - ((usedBytes + 3) & ~3ull);
      const uint64_t bytes = used - user + usedBytes - cut;
      int error = 0;
      const auto memory = GuestMemory().with(file.fd(), {0, user, bytes, 0}, &error);
      SplitRing ring;
      CHECK_EQ(ring.start(memory, 8, {user, user + 256, used}, 0, eventIdx),
               cut == 0 ? 0 : -EFAULT);
    }
  }
}

TEST("RG-051: rings of size 1 and 32768 carry requests") {
  for (const uint32_t size : {1u, 32768u}) {
    Fixture f({.size = size, .base = 65530, .memoryBytes = 2 << 20});
    for (uint32_t i = 0; i < 20; i++) {
      const auto index = static_cast<uint16_t>((size - 1) - i % size);
      CHECK_EQ(f.offerAndPop(f.driver.chain(index, {{f.at(0), 16}})), RingFault::kNone);
      f.ring.addUsed(index, i);
      f.ring.publish();
      Used used{};
      CHECK(f.driver.takeUsed(&used));
      CHECK_EQ(used.id, index);
      CHECK_EQ(used.length, i);
    }
  }
}

TEST("RG-001 RG-002 RG-045: avail.idx that jumps, goes back or is garbage") {
  const struct {
    int step;
    RingFault fault;
  } rows[] = {{0, RingFault::kNone},        {8, RingFault::kNone},
              {9, RingFault::kAvailIndex},  {32768, RingFault::kAvailIndex},
              {-1, RingFault::kAvailIndex}, {-32768, RingFault::kAvailIndex}};
  for (const uint16_t base : {uint16_t{0}, uint16_t{3}, uint16_t{65533}}) {
    for (const auto& row : rows) {
      Fixture f({.base = base});
      f.driver.setAvailIndex(static_cast<uint16_t>(base + row.step));
      uint32_t count = 0;
      CHECK_EQ(f.ring.available(&count), row.fault);
      if (row.fault == RingFault::kNone) CHECK_EQ(count, row.step);
    }
  }
}

TEST("RG-004: a head outside the ring") {
  for (const uint16_t head : {8, 9, 0xffff}) {
    Fixture f;
    CHECK_EQ(f.offerAndPop(head), RingFault::kHeadIndex);
    CHECK_EQ(f.ring.inFlightCount(), 0u);
  }
}

TEST("RG-005: the same head twice in flight; again once it came back") {
  Fixture f;
  f.driver.chain(2, {{f.at(0), 16}, {f.at(64), 16, true}});
  CHECK_EQ(f.offerAndPop(2), RingFault::kNone);
  f.ring.addUsed(2, 0);
  CHECK_EQ(f.offerAndPop(2), RingFault::kNone);
  CHECK_EQ(f.offerAndPop(2), RingFault::kInFlight);
  CHECK(f.ring.inFlight(2));
  CHECK_EQ(f.ring.chain(2).readableBytes, 16u);  // the first use of it is untouched
  CHECK(!f.ring.inFlight(3));
  CHECK(!f.ring.inFlight(9));
  CHECK_EQ(f.ring.inFlightCount(), 1u);
}

TEST("RG-006: a head, and a middle descriptor, inside another chain in flight") {
  {
    Fixture f;
    f.driver.chain(0, {{f.at(0), 16}, {f.at(64), 16}, {f.at(128), 16}});
    CHECK_EQ(f.offerAndPop(0), RingFault::kNone);
    CHECK_EQ(f.offerAndPop(2), RingFault::kInFlight);
  }
  Fixture f;
  f.driver.chain(0, {{f.at(0), 16}, {f.at(64), 16}});
  CHECK_EQ(f.offerAndPop(0), RingFault::kNone);
  f.driver.setDescriptor(5, {f.at(0), 16, kNext, 1});  // runs into the first chain
  const RingFault fault = f.offerAndPop(5);
  CHECK(fault == RingFault::kInFlight || fault == RingFault::kChainLength);
}

TEST("RG-006 RG-041: marks are taken back along the chain as it was walked, not as it is now") {
  Fixture f;
  f.driver.chain(0, {{f.at(0), 16}, {f.at(64), 16}, {f.at(128), 16}});
  f.driver.chain(4, {{f.at(0), 16}, {f.at(64), 16}});
  CHECK_EQ(f.offerAndPop(0), RingFault::kNone);
  CHECK_EQ(f.offerAndPop(4), RingFault::kNone);
  f.driver.setDescriptor(0, {f.at(0), 16, kNext, 5});  // now points into the other chain
  f.ring.addUsed(0, 0);
  CHECK_EQ(f.offerAndPop(5), RingFault::kInFlight);
  Fixture g;
  g.driver.chain(0, {{g.at(0), 16}, {g.at(64), 16}, {g.at(128), 16}});
  CHECK_EQ(g.offerAndPop(0), RingFault::kNone);
  g.driver.setDescriptor(0, {g.at(0), 16, 0, 0});
  g.ring.addUsed(0, 0);
  CHECK_EQ(g.offerAndPop(1), RingFault::kNone);  // 1 and 2 are free again
}

TEST("RG-007 RG-008 RG-009 RG-010 RG-011: next outside, loops, and the longest chain") {
  const struct {
    const char* what;
    uint16_t lastFlags;
    uint16_t lastNext;
    uint32_t length;
    RingFault fault;
  } rows[] = {
      {"chain of exactly the size", 0, 0, 16, RingFault::kNone},
      {"flag bits nobody knows", 0xfff8, 0, 16, RingFault::kNone},  // RG-012
      {"next = size", kNext, 8, 16, RingFault::kNextIndex},
      {"next = 65535", kNext, 0xffff, 16, RingFault::kNextIndex},
      {"self-loop", kNext, 7, 16, RingFault::kChainLength},
      {"long loop: one more than the size", kNext, 0, 16, RingFault::kChainLength},
      {"loop of zero-length descriptors", kNext, 0, 0, RingFault::kChainLength},
      {"next without NEXT does not count", 0, 0xffff, 16, RingFault::kNone},
  };
  for (const auto& row : rows) {
    Fixture f;
    f.driver.chain(0, std::vector<Buffer>(8, {f.at(0), row.length}));
    f.driver.setDescriptor(7, {f.at(0), row.length, row.lastFlags, row.lastNext});
    const RingFault fault = f.offerAndPop(0);
    if (fault != row.fault) fail(__FILE__, __LINE__, row.what);
  }
}

TEST("RG-027 RG-028: order of readable and writable; zero-length descriptors are skipped") {
  const struct {
    const char* what;
    std::vector<Buffer> buffers;  // addresses are added to the heap's
    RingFault fault;
    uint32_t readable;
    uint32_t writable;
  } rows[] = {
      {"readable, writable", {{0, 16}, {64, 32, true}}, RingFault::kNone, 16, 32},
      {"writable, readable", {{0, 16, true}, {64, 16}}, RingFault::kReadableLast, 0, 0},
      {"zero first", {{0, 0}, {0, 16}, {64, 1, true}}, RingFault::kNone, 16, 1},
      {"zero middle", {{0, 16}, {0, 0, true}, {64, 1, true}}, RingFault::kNone, 16, 1},
      {"zero last", {{0, 16}, {64, 1, true}, {0, 0, true}}, RingFault::kNone, 16, 1},
      {"zero outside memory", {{uint64_t{1} << 60, 0}, {0, 16}}, RingFault::kNone, 16, 0},
      {"all zero", {{0, 0}, {0, 0, true}}, RingFault::kNone, 0, 0},
      {"readable zero behind writable", {{0, 1, true}, {0, 0}}, RingFault::kNone, 0, 1},
  };
  for (const auto& row : rows) {
    Fixture f;
    std::vector<Buffer> buffers = row.buffers;
    for (Buffer& buffer : buffers) buffer.address += f.at(0);
    const RingFault fault = f.offerAndPop(f.driver.chain(0, buffers));
    const DescriptorChain& chain = f.ring.chain(0);
    const bool right =
        fault == row.fault && (fault != RingFault::kNone || (chain.readableBytes == row.readable &&
                                                             chain.writableBytes == row.writable));
    if (!right) fail(__FILE__, __LINE__, row.what);
  }
}

TEST("NT-037: where the device only reads, WRITE means nothing in a list or a table") {
  for (const bool indirect : {false, true}) {
    for (const bool readOnly : {false, true}) {
      Fixture f({}, readOnly);
      const std::vector<Buffer> buffers = {
          {f.at(0), 12, true}, {f.at(64), 64}, {f.at(128), 4, true}};
      const uint16_t head =
          indirect ? f.driver.indirect(0, f.at(0x1000), buffers) : f.driver.chain(0, buffers);
      CHECK_EQ(f.offerAndPop(head), readOnly ? RingFault::kNone : RingFault::kReadableLast);
      if (!readOnly) continue;
      CHECK_EQ(f.ring.chain(0).readableBytes, 80u);
      CHECK_EQ(f.ring.chain(0).readableSegments, 3u);
      CHECK_EQ(f.ring.chain(0).writableBytes, 0u);
    }
  }
}

TEST("RG-029 RG-030 RG-033 RG-036 RG-037 RG-050: buffers that are not in the guest's memory") {
  int local = 0;
  Fixture probe;
  const uint64_t end = probe.driver.end();
  const uint64_t start = probe.driver.options().guestAddress;
  const struct {
    const char* what;
    uint64_t address;
    uint32_t length;
    RingFault fault;
  } rows[] = {
      {"first byte of the region", start, 1, RingFault::kNone},
      {"last byte of the region", end - 1, 1, RingFault::kNone},
      {"one more", end - 1, 2, RingFault::kOutsideMemory},
      {"one before", start - 1, 1, RingFault::kOutsideMemory},
      {"address 0", 0, 1, RingFault::kOutsideMemory},
      {"addr + len wraps", UINT64_MAX - 7, 16, RingFault::kOutsideMemory},
      {"length 2^32 - 1", start, UINT32_MAX, RingFault::kOutsideMemory},
      {"the daemon's own stack", reinterpret_cast<uint64_t>(&local), 4, RingFault::kOutsideMemory},
      {"the front-end's address", probe.driver.addresses().descriptor, 4,
       RingFault::kOutsideMemory},
  };
  for (const auto& row : rows) {
    Fixture f;
    if (f.offerAndPop(f.driver.chain(0, {{row.address, row.length}})) != row.fault) {
      fail(__FILE__, __LINE__, row.what);
    }
  }
}

TEST("RG-035 RG-036 RG-037: repeated pages add up to 2^32 - 1 bytes and no further") {
  const uint64_t memoryBytes = uint64_t{1} << 31;
  Fixture f({.memoryBytes = memoryBytes});
  const uint64_t start = f.driver.options().guestAddress;
  const auto half = static_cast<uint32_t>(memoryBytes);
  CHECK_EQ(f.offerAndPop(f.driver.chain(0, {{start, half}, {start, half - 1, true}})),
           RingFault::kNone);
  CHECK_EQ(f.ring.inFlightBytes(), UINT32_MAX);
  CHECK_EQ(f.offerAndPop(f.driver.chain(2, {{start, half}, {start, half, true}})),
           RingFault::kChainBytes);
  Fixture g({.size = 256});
  CHECK_EQ(g.offerAndPop(g.driver.chain(0, std::vector<Buffer>(256, {g.at(0), kPage}))),
           RingFault::kNone);
  CHECK_EQ(g.ring.chain(0).readableBytes, 256 * kPage);
}

TEST("RG-038: indices wrap at 65535 in both modes, every element as it was put") {
  for (const bool eventIdx : {false, true}) {
    Fixture f({.size = 16, .eventIdx = eventIdx, .base = 65000});
    for (uint32_t i = 0; i < 1500; i++) {
      const auto head = static_cast<uint16_t>(i % 16);
      CHECK_EQ(f.offerAndPop(f.driver.chain(head, {{f.at(0), 16, true}})), RingFault::kNone);
      f.ring.addUsed(head, i);
      CHECK(f.ring.unpublished());
      f.ring.publish();
      CHECK(!f.ring.unpublished());
      f.driver.setUsedEvent(f.driver.usedIndex());
      Used used{};
      CHECK(f.driver.takeUsed(&used));
      CHECK_EQ(used.id, head);
      CHECK_EQ(used.length, i);
    }
    CHECK_EQ(f.ring.nextAvail(), static_cast<uint16_t>(65000 + 1500));
    CHECK_EQ(f.driver.usedIndex(), static_cast<uint16_t>(65000 + 1500));
  }
}

TEST("RG-043: the driver writing used.idx back changes nothing for us") {
  Fixture f({.base = 10});
  for (const uint16_t garbage : {0, 9, 60000}) {
    f.driver.setUsedIndex(garbage);
    CHECK_EQ(f.offerAndPop(f.driver.chain(1, {{f.at(0), 16}})), RingFault::kNone);
    f.ring.addUsed(1, 0);
    f.ring.publish();
  }
  CHECK_EQ(f.driver.usedIndex(), 13);
}

TEST("RG-047: every head comes back, counters return to zero, a million times") {
  Fixture f({.size = 64});
  uint64_t next = 12345;
  uint32_t returned = 0;
  std::vector<uint16_t> held;
  while (returned < 1'000'000) {
    next = next * 6364136223846793005u + 1442695040888963407u;
    const bool put = (next >> 40) % 2 == 0 && held.size() < 31;
    if (put) {
      for (uint16_t head = 0; head < 64; head += 2) {
        if (f.ring.inFlight(head)) continue;
        f.driver.chain(head, {{f.at(0), 16}, {f.at(16), 16, true}});
        CHECK_EQ(f.offerAndPop(head), RingFault::kNone);
        held.push_back(head);
        break;
      }
    } else if (!held.empty()) {
      std::swap(held[(next >> 33) % held.size()], held.back());
      f.ring.addUsed(held.back(), 16);
      held.pop_back();
      f.ring.publish();
      returned++;
    }
    CHECK_EQ(f.ring.inFlightCount(), held.size());
  }
  for (const uint16_t head : held) f.ring.addUsed(head, 0);
  CHECK_EQ(f.ring.inFlightCount(), 0u);
  CHECK_EQ(f.ring.inFlightSegments(), 0u);
  CHECK_EQ(f.ring.inFlightBytes(), 0u);
}

TEST("RG-042 CS-081: move finds the ring in another memory, or says that it is gone") {
  Fixture f;
  f.driver.chain(3, {{f.at(0), 16}});
  f.driver.offer(3);
  int error = 0;
  const auto again = GuestMemory().with(f.driver.file().fd(), f.driver.region(), &error);
  CHECK(f.ring.move(again));
  uint16_t head = 0;
  CHECK_EQ(f.pop(&head), RingFault::kNone);
  CHECK_EQ(head, 3);
  CHECK(!f.ring.move(std::make_shared<GuestMemory>()));
  f.ring.addUsed(3, 0);  // the old memory is still held: no use after unmap
  f.ring.publish();
  CHECK_EQ(f.driver.usedIndex(), 1);
}

TEST("outstanding counts what the driver waits for, popped or not") {
  Fixture f({.base = 65534});
  for (uint16_t i = 0; i < 4; i++) f.driver.offer(f.driver.chain(i, {{f.at(0), 16}}));
  CHECK_EQ(f.ring.outstanding(), 4u);
  uint16_t head = 0;
  CHECK_EQ(f.pop(&head), RingFault::kNone);
  CHECK_EQ(f.ring.outstanding(), 4u);
  f.ring.addUsed(head, 0);
  CHECK_EQ(f.ring.outstanding(), 3u);
}

}  // namespace
}  // namespace vhost::test
