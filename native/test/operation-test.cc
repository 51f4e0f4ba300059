#include "operation.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint32_t kAlign = 4096;

// Memory the kernel and we may use with any alignment.
struct Arena {
  explicit Arena(size_t bytes)
      : data(static_cast<uint8_t*>(std::aligned_alloc(kAlign, (bytes + 4095) & ~size_t{4095}))) {
    std::memset(data, 0, bytes);
  }
  ~Arena() { std::free(data); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  uint8_t* const data;
};

using System = std::function<int(const Operation&)>;

// Runs the operation to its end with `system` in the kernel's place; its result.
int runWith(Operation* op, BouncePool* pool, const System& system, int* attempts = nullptr) {
  for (int i = 1;; i++) {
    CHECK(prepareAttempt(op, pool) == Attempt::kReady);
    CHECK(op->attemptCount <= kSegmentsPerAttemptMax);
    op->attemptResult = system(*op);
    int result = 0;
    if (finishAttempt(op, pool, &result) == Progress::kAgain) continue;
    if (attempts != nullptr) *attempts = i;
    CHECK(op->bounce == nullptr);
    return result;
  }
}

int realTransfer(const Operation& op) {
  const auto offset = static_cast<off_t>(op.offset);
  const auto count = static_cast<int>(op.attemptCount);
  const ssize_t done = op.code == OperationCode::kRead
                           ? preadv(op.fd, op.attemptSegments, count, offset)
                           : pwritev(op.fd, op.attemptSegments, count, offset);
  return done < 0 ? -errno : static_cast<int>(done);
}

// The first `limit` bytes of an attempt only.
System shortTransfer(size_t limit) {
  return [limit](const Operation& op) {
    std::vector<iovec> cut;
    size_t left = limit;
    for (uint32_t i = 0; i < op.attemptCount && left > 0; i++) {
      cut.push_back(
          {op.attemptSegments[i].iov_base, std::min(left, op.attemptSegments[i].iov_len)});
      left -= cut.back().iov_len;
    }
    Operation copy = op;
    copy.attemptSegments = cut.data();
    copy.attemptCount = static_cast<uint32_t>(cut.size());
    return realTransfer(copy);
  };
}

void ask(Operation* op, OperationCode code, int fd, uint64_t offset, std::vector<iovec> segments) {
  op->reset();
  op->code = code;
  op->fd = fd;
  op->offset = offset;
  for (const iovec& segment : segments) op->remaining += segment.iov_len;
  op->segments = std::move(segments);
}

bool isPattern(const uint8_t* data, uint64_t bytes, uint8_t seed) {
  for (uint64_t i = 0; i < bytes; i++) {
    if (data[i] != patternByte(i, seed)) return false;
  }
  return true;
}

TEST("BK-024: short transfers go on where they stopped, over segment ends") {
  const TemporaryFile file(10'000);
  file.fill(0, 10'000, 1);
  for (const size_t limit : {1u, 7u, 512u, 4999u, 100'000u}) {
    const Arena arena(10'000);
    BouncePool pool;
    Operation op;
    // Last part first, so that bytes read behind a segment's end land in the wrong place.
    ask(&op, OperationCode::kRead, file.fd(), 0,
        {{arena.data + 9997, 3}, {arena.data + 5904, 4093}, {arena.data, 5904}});
    int attempts = 0;
    CHECK_EQ(runWith(&op, &pool, shortTransfer(limit), &attempts), 0);
    CHECK_EQ(attempts, (10'000 + limit - 1) / limit);
    const std::vector<uint8_t> bytes = file.read(0, 10'000);
    CHECK(std::memcmp(arena.data + 9997, bytes.data(), 3) == 0);
    CHECK(std::memcmp(arena.data + 5904, bytes.data() + 3, 4093) == 0);
    CHECK(std::memcmp(arena.data, bytes.data() + 4096, 5904) == 0);
  }
}

TEST("BK-024: end of file before the last byte is -EIO, never success") {
  const TemporaryFile file(5000);
  const Arena arena(8192);
  BouncePool pool;
  Operation op;
  ask(&op, OperationCode::kRead, file.fd(), 0, {{arena.data, 8192}});
  CHECK_EQ(runWith(&op, &pool, realTransfer), -EIO);
  ask(&op, OperationCode::kRead, file.fd(), 9000, {{arena.data, 512}});
  CHECK_EQ(runWith(&op, &pool, realTransfer), -EIO);
  ask(&op, OperationCode::kWrite, file.fd(), 0, {{arena.data, 512}});
  CHECK_EQ(runWith(&op, &pool, [](const Operation&) { return 0; }), -EIO);
}

TEST("BK-024: EINTR and EAGAIN are tried again, other errors end it") {
  const TemporaryFile file(512);
  const Arena arena(512);
  BouncePool pool;
  Operation op;
  for (const int error : {EIO, ENOSPC, EFAULT, EINTR, EAGAIN}) {
    const bool again = error == EINTR || error == EAGAIN;
    ask(&op, OperationCode::kWrite, file.fd(), 0, {{arena.data, 512}});
    int calls = 0;
    const int result = runWith(&op, &pool, [&](const Operation& attempt) {
      return ++calls < 4 ? -error : realTransfer(attempt);
    });
    CHECK_EQ(result, again ? 0 : -error);
    CHECK_EQ(calls, again ? 4 : 1);
  }
}

TEST("a result larger than what was asked is not believed") {
  const Arena arena(512);
  BouncePool pool;
  Operation op;
  ask(&op, OperationCode::kRead, -1, 0, {{arena.data, 512}});
  CHECK_EQ(runWith(&op, &pool, [](const Operation&) { return 100'000; }), 0);
  CHECK_EQ(op.remaining, 0u);
}

TEST("BK-015: more segments than the kernel takes at once, both ways") {
  constexpr uint32_t kCount = 5000;
  const Arena arena(kCount * 8);
  const TemporaryFile file(kCount * 4);
  std::vector<iovec> segments;
  for (uint32_t i = 0; i < kCount; i++) segments.push_back({arena.data + i * 8, 4});
  file.fill(0, kCount * 4, 9);
  BouncePool pool;
  Operation op;
  ask(&op, OperationCode::kRead, file.fd(), 0, segments);
  int attempts = 0;
  CHECK_EQ(runWith(&op, &pool, realTransfer, &attempts), 0);
  CHECK_EQ(attempts, 5);
  for (uint32_t i = 0; i < kCount * 4; i++) {
    CHECK_EQ(arena.data[i / 4 * 8 + i % 4], patternByte(i, 9));
  }
  const TemporaryFile copy(0);
  ask(&op, OperationCode::kWrite, copy.fd(), 0, segments);
  CHECK_EQ(runWith(&op, &pool, realTransfer), 0);
  CHECK(copy.read(0, kCount * 4) == file.read(0, kCount * 4));
}

TEST("BK-028: misaligned segments of a direct file are bounced, aligned ones are not") {
  const struct {
    const char* what;
    std::vector<std::pair<size_t, size_t>> segments;  // offset, bytes
    bool bounced;
  } rows[] = {
      {"aligned", {{0, 4096}, {8192, 8192}}, false},
      {"address by 512", {{512, 4096}}, true},
      {"odd address", {{1, 4096}}, true},
      {"odd lengths that add up", {{0, 1}, {4096, 4095}}, true},
      {"three MiB, odd", {{3, 3 << 20}}, true},
  };
  for (const auto& row : rows) {
    const Arena arena(4 << 20);
    const Arena kernel(4 << 20);
    std::vector<iovec> segments;
    uint64_t total = 0;
    for (const auto& [offset, bytes] : row.segments) {
      segments.push_back({arena.data + offset, bytes});
      total += bytes;
    }
    const TemporaryFile file(total);
    file.fill(0, total, 3);
    bool sawGuest = false;
    bool misaligned = false;
    const System system = [&](const Operation& op) {
      for (uint32_t i = 0; i < op.attemptCount; i++) {
        const auto* base = static_cast<uint8_t*>(op.attemptSegments[i].iov_base);
        sawGuest |= base >= arena.data && base < arena.data + (4 << 20);
        misaligned |= (reinterpret_cast<uintptr_t>(base) | op.attemptSegments[i].iov_len) % kAlign;
      }
      return realTransfer(op);
    };
    BouncePool pool;
    Operation op;
    ask(&op, OperationCode::kRead, file.fd(), 0, segments);
    op.directAlign = kAlign;
    const bool read = runWith(&op, &pool, system) == 0;
    const TemporaryFile copy(total);
    ask(&op, OperationCode::kWrite, copy.fd(), 0, segments);
    op.directAlign = kAlign;
    const bool written = runWith(&op, &pool, system) == 0;
    const bool right = read && written && !misaligned && sawGuest != row.bounced &&
                       copy.read(0, total) == file.read(0, total);
    if (!right) fail(__FILE__, __LINE__, row.what);
  }
}

TEST("BK-028: a short bounced read gives the guest what was read and no byte more") {
  const Arena arena(8192);
  std::memset(arena.data, 0xee, 8192);
  const TemporaryFile file(1000);
  file.fill(0, 1000, 5);
  BouncePool pool;
  uint8_t* dirty = pool.take();
  std::memset(dirty, 0x99, kBounceBytes);  // what another guest left in it
  pool.give(dirty);
  Operation op;
  ask(&op, OperationCode::kRead, file.fd(), 0, {{arena.data + 1, 4096}});
  op.directAlign = kAlign;
  CHECK_EQ(runWith(&op, &pool, realTransfer), -EIO);
  CHECK(isPattern(arena.data + 1, 1000, 5));
  for (size_t i = 1001; i < 8192; i++) CHECK_EQ(arena.data[i], 0xee);
}

TEST("bounce buffers are bounded; a buffer given back is taken again") {
  BouncePool pool;
  std::vector<uint8_t*> taken;
  while (uint8_t* buffer = pool.take()) taken.push_back(buffer);
  CHECK_EQ(taken.size(), kBounceBuffersMax);
  const Arena arena(8192);
  Operation op;
  ask(&op, OperationCode::kRead, -1, 0, {{arena.data + 1, 4096}});
  op.directAlign = kAlign;
  CHECK(prepareAttempt(&op, &pool) == Attempt::kWaitForBounce);
  pool.give(taken.back());
  CHECK(prepareAttempt(&op, &pool) == Attempt::kReady);
  CHECK_EQ(op.bounce, taken.back());
  op.attemptResult = -EIO;
  int result = 0;
  CHECK(finishAttempt(&op, &pool, &result) == Progress::kDone);
  taken.pop_back();
  for (uint8_t* buffer : taken) pool.give(buffer);
}

TEST("zeros: more than one attempt holds, exactly the range") {
  constexpr uint64_t kBytes = (40 << 20) + 512;
  const TemporaryFile file(kBytes + 1024);
  file.fill(0, kBytes + 1024, 1);
  BouncePool pool;
  Operation op;
  ask(&op, OperationCode::kWriteZeros, file.fd(), 512, {});
  op.remaining = kBytes;
  int attempts = 0;
  CHECK_EQ(runWith(&op, &pool, realTransfer, &attempts), 0);
  CHECK_EQ(attempts, 3);
  const std::vector<uint8_t> all = file.read(0, kBytes + 1024);
  for (uint64_t i = 0; i < all.size(); i++) {
    const bool inside = i >= 512 && i < 512 + kBytes;
    if (all[i] != (inside ? 0 : patternByte(i, 1))) fail(__FILE__, __LINE__, std::to_string(i));
  }
}

TEST("zeros: short writes, and lengths a direct file must bounce, still write zeros only") {
  const TemporaryFile file(200'000);
  file.fill(0, 200'000, 1);
  BouncePool pool;
  uint8_t* dirty = pool.take();
  std::memset(dirty, 0x99, kBounceBytes);
  pool.give(dirty);
  for (const uint32_t align : {0u, kAlign}) {
    Operation op;
    ask(&op, OperationCode::kWriteZeros, file.fd(), 100, {});
    op.directAlign = align;
    op.remaining = 150'000;
    CHECK_EQ(runWith(&op, &pool, shortTransfer(70'001)), 0);
    for (const uint8_t byte : file.read(100, 150'000)) CHECK_EQ(byte, 0);
    CHECK_EQ(file.read(99, 1)[0], patternByte(99, 1));
    CHECK_EQ(file.read(150'100, 1)[0], patternByte(150'100, 1));
  }
}

TEST("an empty transfer is done at once; sync and allocate are not counted in bytes") {
  BouncePool pool;
  Operation op;
  for (const auto code : {OperationCode::kRead, OperationCode::kWrite}) {
    ask(&op, code, -1, 0, {});
    CHECK_EQ(runWith(&op, &pool, [](const Operation&) { return 0; }), 0);
  }
  ask(&op, OperationCode::kAllocate, -1, 0, {});
  op.remaining = 4096;
  CHECK_EQ(runWith(&op, &pool, [](const Operation&) { return 0; }), 0);
  ask(&op, OperationCode::kSync, -1, 0, {});
  CHECK_EQ(runWith(&op, &pool, [](const Operation&) { return -ENOSPC; }), -ENOSPC);
}

TEST("RG-026: an operation used again does not keep a large table's memory") {
  Operation op;
  op.segments.resize(65536);
  op.reset();
  CHECK(op.segments.empty());
  CHECK(op.segments.capacity() <= 1024);
}

}  // namespace
}  // namespace vhost::test
