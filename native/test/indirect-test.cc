// split-ring.cc: indirect tables.
#include <chrono>

#include "check.h"
#include "driver.h"
#include "split-ring.h"

namespace vhost::test {
namespace {

constexpr uint64_t kTable = 0x1000;  // behind the heap's start
constexpr uint64_t kMemory = 1 << 20;

struct Fixture {
  explicit Fixture(const DriverOptions& options = {}) : driver(options) {
    CHECK_EQ(driver.start(&ring), 0);
  }
  RingFault offerAndPop(uint16_t head) {
    driver.offer(head);
    uint32_t count = 0;
    CHECK_EQ(ring.available(&count), RingFault::kNone);
    return ring.pop(&head);
  }
  uint64_t at(uint64_t offset) const { return driver.heap() + offset; }

  Driver driver;
  SplitRing ring;
};

TEST("RG-013 RG-014 RG-015 RG-016 RG-017 RG-019 RG-020: the descriptor that names a table") {
  const struct {
    const char* what;
    int64_t address;  // behind the table's; one entry is valid there
    uint32_t length;
    uint16_t flags;
    RingFault fault;
  } rows[] = {
      {"one entry", 0, 16, kIndirect, RingFault::kNone},
      {"INDIRECT and NEXT", 0, 16, kIndirect | kNext, RingFault::kIndirectNext},
      {"INDIRECT and WRITE", 0, 16, kIndirect | kWrite, RingFault::kNone},
      {"length 0", 0, 0, kIndirect, RingFault::kIndirectLength},
      {"length 15", 0, 15, kIndirect, RingFault::kIndirectLength},
      {"length 17", 0, 17, kIndirect, RingFault::kIndirectLength},
      {"1024 entries", 0, 1024 * 16, kIndirect, RingFault::kNone},
      {"1025 entries", 0, 1025 * 16, kIndirect, RingFault::kIndirectLength},
      {"2^32 - 16 bytes", 0, UINT32_MAX - 15, kIndirect, RingFault::kIndirectLength},
      {"table outside", 1ll << 40, 16, kIndirect, RingFault::kOutsideMemory},
      {"table half outside", kMemory - 0x3000, 1024 * 16, kIndirect, RingFault::kOutsideMemory},
      {"misaligned", 0x801, 16, kIndirect, RingFault::kNone},
  };
  for (const auto& row : rows) {
    Fixture f;
    const uint64_t table = f.at(kTable) + static_cast<uint64_t>(row.address);
    if (table + 16 <= f.driver.end()) f.driver.writeTable(table, {{f.at(0), 64, kWrite, 0}});
    f.driver.setDescriptor(0, {table, row.length, row.flags, 1});
    if (f.offerAndPop(0) != row.fault) fail(__FILE__, __LINE__, row.what);
    if (row.fault == RingFault::kNone) CHECK_EQ(f.ring.chain(0).writableBytes, 64u);
  }
}

TEST("RG-008 RG-021 RG-022 RG-023 RG-027 RG-028: what is inside the table") {
  const struct {
    const char* what;
    std::vector<Descriptor> table;  // addresses behind the heap's start
    RingFault fault;
    uint32_t readable;
  } rows[] = {
      {"backwards", {{0, 1, 0, 0}, {0, 2, kNext, 0}}, RingFault::kNone, 1},
      {"in any order", {{0, 1, kNext, 2}, {0, 4, 0, 0}, {0, 2, kNext, 1}}, RingFault::kNone, 7},
      {"nested", {{0, 16, kIndirect, 0}}, RingFault::kIndirectNested, 0},
      {"nested later", {{0, 1, kNext, 1}, {0, 16, kIndirect, 0}}, RingFault::kIndirectNested, 0},
      {"next = entries", {{0, 1, kNext, 1}}, RingFault::kNextIndex, 0},
      {"next = 65535", {{0, 1, kNext, 0xffff}}, RingFault::kNextIndex, 0},
      {"self-loop", {{0, 1, kNext, 0}}, RingFault::kChainLength, 0},
      {"loop", {{0, 1, kNext, 1}, {0, 1, kNext, 0}}, RingFault::kChainLength, 0},
      {"loop of nothing", {{0, 0, kNext, 1}, {0, 0, kNext, 0}}, RingFault::kChainLength, 0},
      {"all zero", {{0, 0, kNext, 1}, {0, 0, kWrite, 0}}, RingFault::kNone, 0},
      {"readable last", {{0, 1, kWrite | kNext, 1}, {0, 1, 0, 0}}, RingFault::kReadableLast, 0},
      {"buffer outside", {{uint64_t{1} << 40, 1, 0, 0}}, RingFault::kOutsideMemory, 0},
  };
  for (const auto& row : rows) {
    Fixture f;
    std::vector<Descriptor> table = row.table;
    for (Descriptor& entry : table) entry.address += f.at(0);
    f.driver.writeTable(f.at(kTable), table);
    const auto length = static_cast<uint32_t>(table.size() * 16);
    f.driver.setDescriptor(0, {f.at(kTable), length, kIndirect, 0});
    const bool right =
        f.offerAndPop(0) == row.fault &&
        (row.fault != RingFault::kNone || f.ring.chain(0).readableBytes == row.readable);
    if (!right) fail(__FILE__, __LINE__, row.what);
  }
}

TEST("RG-024: direct descriptors, then a table") {
  Fixture f;
  f.driver.writeTable(f.at(kTable), {{f.at(64), 8, kNext, 1}, {f.at(128), 4, kWrite, 0}});
  f.driver.setDescriptor(2, {f.at(0), 16, kNext, 6});
  f.driver.setDescriptor(6, {f.at(kTable), 32, kIndirect, 0});
  CHECK_EQ(f.offerAndPop(2), RingFault::kNone);
  CHECK_EQ(f.ring.chain(2).readableBytes, 24u);
  CHECK_EQ(f.ring.chain(2).writableBytes, 4u);
  CHECK_EQ(f.ring.chain(2).readableSegments, 2u);
  CHECK_EQ(f.offerAndPop(6), RingFault::kInFlight);
}

TEST("RG-018: a table over two regions, an entry across the joint") {
  for (const uint64_t before : {16u, 24u, 3u}) {  // bytes of the table in the first region
    const SharedFile file(4 << 12);
    const uint64_t user = 0x7f0000000000;
    const uint64_t joint = 0x2000;
    int error = 0;
    auto memory = GuestMemory().with(file.fd(), {0, user, joint, 0}, &error);
    // The second region's bytes lie elsewhere: a walk that ran on would see something else.
    memory = memory->with(file.fd(), {joint, user + joint, 0x1000, 0x3000}, &error);
    const Descriptor table[] = {{0x100, 8, kNext, 1}, {0x200, 8, kNext, 2}, {0x300, 32, kWrite, 0}};
    const auto* bytes = reinterpret_cast<const uint8_t*>(table);
    std::memcpy(file.data() + joint - before, bytes, before);
    std::memcpy(file.data() + 0x3000, bytes + before, sizeof table - before);
    const Descriptor named{joint - before, sizeof table, kIndirect, 0};
    std::memcpy(file.data(), &named, sizeof named);
    file.data()[0x402] = 1;  // avail.idx
    SplitRing ring;
    CHECK_EQ(ring.start(memory, 8, {user, user + 0x400, user + 0x500}, 0, false), 0);
    uint16_t head = 1;
    CHECK_EQ(ring.pop(&head), RingFault::kNone);
    CHECK_EQ(ring.chain(0).readableBytes, 16u);
    CHECK_EQ(ring.chain(0).writableBytes, 32u);
  }
}

TEST("RG-017: a ring larger than 1024 may have tables as long as itself") {
  Fixture f({.size = 2048});
  const std::vector<Buffer> buffers(2048, {f.at(0), 1, true});
  CHECK_EQ(f.offerAndPop(f.driver.indirect(0, f.at(kTable), buffers)), RingFault::kNone);
  CHECK_EQ(f.ring.chain(0).segments.size(), 2048u);
  const std::vector<Buffer> more(2049, {f.at(0), 1, true});
  CHECK_EQ(f.offerAndPop(f.driver.indirect(1, f.at(kTable), more)), RingFault::kIndirectLength);
}

TEST("RG-026: a large table does not stay in memory once its head is used again") {
  Fixture f;
  f.driver.indirect(0, f.at(kTable), std::vector<Buffer>(1024, {f.at(0), 1}));
  CHECK_EQ(f.offerAndPop(0), RingFault::kNone);
  f.ring.addUsed(0, 0);
  CHECK_EQ(f.offerAndPop(f.driver.chain(0, {{f.at(0), 1}})), RingFault::kNone);
  CHECK(f.ring.chain(0).segments.capacity() <= kSegmentsKept);
}

// 509 regions of one byte: each descriptor of 509 bytes becomes 509 segments.
TEST("RG-026: many tiny regions do not multiply the segments of a chain without bound") {
  constexpr uint64_t kTiny = 500;
  constexpr uint32_t kSize = 32768;
  Driver driver({.size = kSize, .memoryBytes = 2 << 20});
  const uint64_t user = 0x100000;
  auto memory = driver.memory();
  int error = 0;
  for (uint64_t i = 0; i < kTiny; i++) {
    memory = memory->with(driver.file().fd(), {i, user + i, 1, 0}, &error);
    CHECK_EQ(error, 0);
  }
  SplitRing ring;
  CHECK_EQ(ring.start(memory, kSize, driver.addresses(), 0, true), 0);
  driver.indirect(0, driver.heap(), std::vector<Buffer>(kSize, {0, kTiny}));
  driver.offer(0);
  uint16_t head = 0;
  CHECK_EQ(ring.pop(&head), RingFault::kChainLength);
  CHECK(ring.chain(0).segments.size() < 70'000);
  // A chain as long as a driver may make it still passes.
  driver.indirect(1, driver.heap(), std::vector<Buffer>(kSize, {kTiny - 2, 2}));
  SplitRing other;
  CHECK_EQ(other.start(memory, kSize, driver.addresses(), 1, true), 0);
  driver.offer(1);
  CHECK_EQ(other.pop(&head), RingFault::kNone);
  CHECK_EQ(other.chain(1).segments.size(), 2 * kSize);
}

}  // namespace
}  // namespace vhost::test
