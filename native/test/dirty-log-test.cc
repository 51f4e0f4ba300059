#include "dirty-log.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "check.h"
#include "rig.h"

namespace vhost::test {
namespace {

constexpr uint64_t kPage = DirtyLog::kPageBytes;

std::shared_ptr<const DirtyLog> mapped(const SharedFile& file) {
  int error = 0;
  auto log = DirtyLog::map(file.fd(), file.bytes(), 0, &error);
  CHECK_EQ(error, 0);
  return log;
}

std::vector<uint64_t> dirtyPages(const SharedFile& file) {
  std::vector<uint64_t> pages;
  for (uint64_t page = 0; page < file.bytes() * 8; page++) {
    if (file.data()[page / 8] >> (page % 8) & 1) pages.push_back(page);
  }
  return pages;
}

TEST("CS-130: log areas that make no sense are refused") {
  const SharedFile file(4 * kPage);
  const struct {
    const char* what;
    uint64_t bytes;
    uint64_t offset;
    int error;
  } rows[] = {
      {"whole file", 4 * kPage, 0, 0},
      {"one byte", 1, 0, 0},
      {"the last page", kPage, 3 * kPage, 0},
      {"size 0", 0, 0, -EINVAL},
      {"size 0 at the end", 0, 4 * kPage, -EINVAL},
      {"offset off a page", kPage, 1, -EINVAL},
      {"sum wraps", 2 * kPage, UINT64_MAX - kPage + 1, -EINVAL},
      {"sum is 2^64", kPage, UINT64_MAX - kPage + 1, -EINVAL},
      {"one byte behind the file", 4 * kPage + 1, 0, -EOVERFLOW},
      {"one page behind the file", kPage, 4 * kPage, -EOVERFLOW},
      {"more than 52 bits of address", DirtyLog::kSizeBytesMax + 1, 0, -EINVAL},
      {"52 bits of address", DirtyLog::kSizeBytesMax, 0, -EOVERFLOW},
      {"2^64 - 1", UINT64_MAX, 0, -EINVAL},
  };
  for (const auto& row : rows) {
    int error = 1;
    const auto log = DirtyLog::map(file.fd(), row.bytes, row.offset, &error);
    if (error != row.error) fail(__FILE__, __LINE__, row.what);
    CHECK_EQ(log != nullptr, error == 0);
  }
}

TEST("CS-035: a log that is no file open for reading and writing is refused") {
  const SharedFile file(kPage);
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", file.fd());
  int pipes[2];
  CHECK_EQ(pipe2(pipes, O_CLOEXEC), 0);
  const struct {
    int fd;
    int error;
  } rows[] = {
      {open(path, O_RDONLY | O_CLOEXEC), -EACCES},
      {open(path, O_PATH | O_CLOEXEC), -EACCES},
      {open("/", O_RDONLY | O_CLOEXEC), -EBADF},
      {eventfd(0, EFD_CLOEXEC), -EBADF},
      {pipes[1], -EBADF},
  };
  for (const auto& row : rows) {
    int error = 0;
    CHECK(DirtyLog::map(row.fd, kPage, 0, &error) == nullptr);
    CHECK_EQ(error, row.error);
    close(row.fd);
  }
  close(pipes[0]);
}

TEST("every page a range touches is marked, and no other") {
  const struct {
    uint64_t address;
    uint64_t bytes;
    uint64_t first;
    uint64_t count;
  } rows[] = {
      {0, 0, 0, 0},           // CVE-2019-14835
      {UINT64_MAX, 0, 0, 0},  // none either, wherever it is
      {0, 1, 0, 1},
      {kPage - 1, 1, 0, 1},
      {kPage - 1, 2, 0, 2},
      {kPage, kPage, 1, 1},
      {7 * kPage, 1, 7, 1},                    // last bit of a byte
      {7 * kPage, kPage + 1, 7, 2},            // over the joint of two bytes
      {5 * kPage + 7, 30 * kPage, 5, 31},      // whole bytes between
      {8 * kPage, 8 * kPage, 8, 8},            // exactly one byte
      {64 * 8 * kPage - 1, 1, 64 * 8 - 1, 1},  // the very last bit
      {0, 64 * 8 * kPage, 0, 64 * 8},
  };
  for (const auto& row : rows) {
    const SharedFile file(64);
    const auto log = mapped(file);
    log->mark(row.address, row.bytes);
    std::vector<uint64_t> wanted;
    for (uint64_t i = 0; i < row.count; i++) wanted.push_back(row.first + i);
    CHECK(dirtyPages(file) == wanted);
    CHECK(!log->lost());
  }
}

TEST("CS-131: a range that is not covered sets no bit, and the log is lost") {
  const uint64_t covered = 8 * kPage;
  const struct {
    uint64_t address;
    uint64_t bytes;
  } rows[] = {
      {covered, 1},
      {covered - 1, 2},
      {0, covered + 1},
      {UINT64_MAX, 1},
      {UINT64_MAX, 2},
      {1, UINT64_MAX},
      {UINT64_MAX - kPage, kPage},
      {uint64_t{1} << 63, kPage},
  };
  for (const auto& row : rows) {
    const SharedFile file(kPage);
    int error = 0;
    const auto log = DirtyLog::map(file.fd(), 1, 0, &error);
    CHECK(!log->covers(row.address, row.bytes));
    log->mark(row.address, row.bytes);
    CHECK_EQ(dirtyPages(file).size(), 0);
    CHECK(log->lost());
  }
}

TEST("an area inside its file is marked there") {
  const SharedFile file(3 * kPage);
  int error = 0;
  const auto log = DirtyLog::map(file.fd(), 16, kPage, &error);
  log->mark(9 * kPage, 1);
  CHECK(dirtyPages(file) == std::vector<uint64_t>{kPage * 8 + 9});
}

TEST("CS-134: bits set at once by many threads are not lost, nor by a front-end that takes them") {
  const SharedFile file(kPage);
  const auto log = mapped(file);
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kPages = kPage * 8;
  std::vector<std::thread> threads;
  std::vector<uint8_t> taken(kPage);
  for (uint64_t t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (uint64_t page = t; page < kPages; page += kThreads) log->mark(page * kPage, 1);
    });
  }
  const auto take = [&] {
    for (uint64_t i = 0; i < kPage; i++) {
      taken[i] |= __atomic_exchange_n(file.data() + i, uint8_t{0}, __ATOMIC_SEQ_CST);
    }
  };
  for (int i = 0; i < 100; i++) take();
  for (auto& thread : threads) thread.join();
  take();
  CHECK(taken == std::vector<uint8_t>(kPage, 0xff));
}

TEST("CS-077: a log cut short is lost, and the process lives") {
  const SharedFile file(kPage, MFD_ALLOW_SEALING);
  const auto log = mapped(file);
  file.truncate(0);
  CHECK(!log->lost());
  log->mark(0, 1);
  CHECK(log->lost());
  log->mark(kPage, kPage);
}

TEST("the descriptor is signalled; a full counter blocks nobody") {
  const SharedFile file(64);
  const int fd = eventfd(0, EFD_CLOEXEC);
  const auto log = mapped(file)->withSignal(dup(fd));
  log->signal();
  log->signal();
  uint64_t value = 0;
  CHECK_EQ(read(fd, &value, sizeof value), 8);
  CHECK_EQ(value, 2);
  eventfd_write(fd, UINT64_MAX - 1);
  log->signal();
  mapped(file)->signal();  // none: nothing happens
  close(fd);
}

// Rings.

class LogRig : public Rig {
 public:
  explicit LogRig(const RigOptions& options)
      : Rig(options), bits(16 * kPage), log(mapped(bits)), signalFd(eventfd(0, EFD_NONBLOCK)) {
    log = log->withSignal(dup(signalFd));
    before = snapshot();
  }
  ~LogRig() { close(signalFd); }

  std::vector<uint8_t> snapshot() const {
    const uint8_t* start = driver.host(driver.options().guestAddress);
    return {start, start + driver.options().memoryBytes};
  }
  bool dirty(uint64_t guestAddress) const {
    const uint64_t page = guestAddress / kPage;
    return bits.data()[page / 8] >> (page % 8) & 1;
  }
  uint64_t usedAddress() const {
    const DriverOptions& given = driver.options();
    return given.guestAddress + (driver.addresses().used - driver.region().userAddress);
  }
  // Pages that differ from the snapshot and have no bit. The test writes descriptors and headers
  // before `before` is taken.
  uint64_t missed() const {
    uint64_t count = 0;
    const std::vector<uint8_t> now = snapshot();
    for (uint64_t at = 0; at < now.size(); at += kPage) {
      const bool changed = std::memcmp(now.data() + at, before.data() + at, kPage) != 0;
      if (changed && !dirty(driver.options().guestAddress + at)) count++;
    }
    return count;
  }
  // Used event and requests are the driver's writes: not in the comparison.
  void serveLogged(uint32_t count) {
    before = snapshot();
    kick();
    uint32_t back = 0;
    while (back < count) {
      decide(turn());
      Used element{};
      while (driver.takeUsed(&element)) back++;
    }
  }

  SharedFile bits;
  std::shared_ptr<const DirtyLog> log;
  int signalFd;
  std::vector<uint8_t> before;
};

// A ring and buffers within 128 MiB of guest address space: 16 pages of log are more than enough.
RigOptions logOptions(bool uring, bool eventIdx) {
  return {.uring = uring, .driver = {.eventIdx = eventIdx, .guestAddress = 0x200000}};
}

TEST("CS-134: each page written is marked: data, status byte, used ring") {
  forBothEngines([](bool uring) {
    for (const bool eventIdx : {false, true}) {
      LogRig rig(logOptions(uring, eventIdx));
      rig.file.fill(0, 1 << 20, 7);
      rig.plane->setLog(rig.log, true);
      rig.plane->setUsedLog(0, true, rig.usedAddress());
      rig.post(0, false, 0, 8192);
      rig.post(1, true, 8192, 512);
      rig.serveLogged(2);
      CHECK_EQ(rig.missed(), 0);
      CHECK(rig.dirty(rig.data(0)) && rig.dirty(rig.data(0) + 4096));
      CHECK(rig.dirty(rig.status(1)));
      CHECK(!rig.dirty(rig.data(1)));  // the device only reads it
      CHECK(rig.dirty(rig.usedAddress()));
      uint64_t signals = 0;
      CHECK_EQ(read(rig.signalFd, &signals, sizeof signals), 8);
    }
  });
}

TEST("without VHOST_F_LOG_ALL no buffer, without VHOST_VRING_F_LOG no ring") {
  const struct {
    bool data;
    bool used;
  } rows[] = {{false, false}, {false, true}, {true, false}};
  for (const auto& row : rows) {
    LogRig rig(logOptions(true, true));
    // Elsewhere than in guest memory: the log's address is the front-end's to choose.
    // Its index ends a page, its elements begin the next.
    const uint64_t used = 0x100000 - 4;
    rig.plane->setLog(rig.log, row.data);
    rig.plane->setUsedLog(0, row.used, used);
    rig.post(0, false, 0, 4096);
    rig.serveLogged(1);
    CHECK_EQ(rig.dirty(rig.data(0)), row.data);
    CHECK_EQ(rig.dirty(rig.status(0)), row.data);
    CHECK_EQ(rig.dirty(used), row.used);
    CHECK_EQ(rig.dirty(used + 4), row.used);
    CHECK(!rig.dirty(rig.usedAddress()));
    uint64_t signals = 0;
    CHECK_EQ(read(rig.signalFd, &signals, sizeof signals) == 8, row.data || row.used);
  }
}

// Chains of three descriptors: the used one of the first lies in the ring's first page, that of the
// second in the next.
TEST("a packed ring marks used descriptors where they lie, its events where the log has them") {
  forBothEngines([](bool uring) {
    for (const bool used : {false, true}) {
      LogRig rig(
          {.uring = uring,
           .driver = {
               .size = 512, .base = 0x8000 + 254, .guestAddress = 0x200000, .packed = true}});
      const uint64_t events = 0x100000;
      rig.plane->setLog(rig.log, true);
      rig.plane->setUsedLog(0, used, events);
      rig.post(0, false, 0, 4096);
      rig.post(1, false, 4096, 512);
      rig.serveLogged(2);
      CHECK_EQ(rig.dirty(rig.data(0)), true);
      CHECK_EQ(rig.dirty(rig.status(1)), true);
      CHECK_EQ(rig.dirty(0x200000), used);
      CHECK_EQ(rig.dirty(0x200000 + kPage), used);
      CHECK_EQ(rig.dirty(events), used);
      CHECK(!rig.dirty(rig.usedAddress()));
    }
  });
}

TEST("a packed ring that ends marks what its chains may hold") {
  LogRig rig({.uring = true, .driver = {.base = 0x8000, .guestAddress = 0x200000, .packed = true}});
  rig.plane->setLog(rig.log, true);
  rig.post(0, false, 0, 4096);
  rig.kick();
  rig.turnUntil([](const Rig::Turn& turn) { return turn.requests == 1; });
  rig.plane->giveUp(0, RingFault::kHandler);
  CHECK(rig.plane->endVring(0) >= 0);
  CHECK(rig.dirty(rig.data(0)) && rig.dirty(rig.status(0)));
}

TEST("a request that was popped before the log was on is marked when it completes") {
  LogRig rig(logOptions(true, true));
  rig.post(0, false, 0, 4096);
  rig.kick();
  Rig::Turn seen{};
  rig.turnUntil([&](const Rig::Turn& turn) {
    seen = turn;
    return turn.requests == 1;
  });
  rig.plane->setLog(rig.log, true);
  rig.decide(seen);
  rig.serveLogged(1);
  CHECK(rig.dirty(rig.data(0)));
  // And off again: nothing more.
  std::memset(rig.bits.data(), 0, rig.bits.bytes());
  rig.plane->setLog(nullptr, false);
  rig.post(1, false, 0, 4096);
  rig.serveLogged(1);
  CHECK_EQ(dirtyPages(rig.bits).size(), 0);
}

TEST("a ring that ends with chains nobody completes marks what they may hold") {
  LogRig rig(logOptions(true, true));
  rig.plane->setLog(rig.log, true);
  rig.post(0, false, 0, 4096);
  rig.kick();
  rig.turnUntil([](const Rig::Turn& turn) { return turn.requests == 1; });
  rig.plane->giveUp(0, RingFault::kHandler);
  CHECK_EQ(rig.plane->endVring(0), 1);
  CHECK(rig.dirty(rig.data(0)) && rig.dirty(rig.status(0)));
}

TEST("a vring that starts while the log is on has its avail_event marked") {
  LogRig rig(logOptions(true, true));
  CHECK_EQ(rig.plane->endVring(0), 0);
  rig.plane->setLog(rig.log, true);
  rig.plane->setUsedLog(0, true, rig.usedAddress());
  CHECK_EQ(rig.startVring(0), 0);
  CHECK(rig.dirty(rig.usedAddress()));
  // With its vring the address is forgotten.
  CHECK_EQ(rig.plane->endVring(0), 0);
  std::memset(rig.bits.data(), 0, rig.bits.bytes());
  CHECK_EQ(rig.startVring(0), 0);
  CHECK_EQ(dirtyPages(rig.bits).size(), 0);
}

TEST("CS-131 CS-077: a log too small or lost stops the ring, which says so") {
  const std::function<void(LogRig&)> breaks[] = {
      [](LogRig& rig) {
        int error = 0;
        rig.plane->setLog(DirtyLog::map(rig.bits.fd(), 1, 0, &error), true);
      },
      [](LogRig& rig) { rig.plane->setUsedLog(0, true, UINT64_MAX); },
      [](LogRig& rig) { rig.bits.truncate(0); },
  };
  for (const auto& breakIt : breaks) {
    LogRig rig(logOptions(true, true));
    rig.plane->setLog(rig.log, true);
    breakIt(rig);
    rig.post(0, false, 0, 512);
    rig.kick();
    rig.turnUntil([&](const Rig::Turn& turn) {
      rig.decide(turn);
      return turn.events == 1;
    });
    CHECK_EQ(rig.exchange->events[0].detail, static_cast<uint32_t>(RingFault::kMemoryLost));
    CHECK_EQ(rig.errors(), 1);
  }
}

}  // namespace
}  // namespace vhost::test
