#include "operation.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace vhost {
namespace {

constexpr size_t kBounceAlign = 4096;
constexpr size_t kZeroBytes = 64 << 10;
// 16 MiB for each attempt: long enough to be cheap, short enough to let others in between.
constexpr size_t kZeroSegmentsMax = 256;

alignas(4096) uint8_t zeroBlock[kZeroBytes];

bool isTransfer(const Operation& op) {
  return op.code == OperationCode::kRead || op.code == OperationCode::kWrite ||
         op.code == OperationCode::kWriteZeros;
}

bool aligned(const Operation& op) {
  const uintptr_t mask = op.directAlign - 1;
  return std::all_of(op.segments.begin() + static_cast<ptrdiff_t>(op.firstSegment),
                     op.segments.end(), [mask](const iovec& s) {
                       return ((reinterpret_cast<uintptr_t>(s.iov_base) | s.iov_len) & mask) == 0;
                     });
}

void fillZeroSegments(Operation* op) {
  op->segments.clear();
  op->firstSegment = 0;
  uint64_t left = op->remaining;
  while (left > 0 && op->segments.size() < kZeroSegmentsMax) {
    const uint64_t here = std::min<uint64_t>(left, kZeroBytes);
    op->segments.push_back({zeroBlock, here});
    left -= here;
  }
}

// Copies between the bounce buffer and the next `bytes` of the guest's segments.
void copyBounced(const Operation& op, uint64_t bytes, bool toGuest) {
  uint8_t* bounce = op.bounce;
  for (size_t i = op.firstSegment; bytes > 0 && i < op.segments.size(); i++) {
    const iovec& segment = op.segments[i];
    const uint64_t here = std::min<uint64_t>(segment.iov_len, bytes);
    if (toGuest) {
      std::memcpy(segment.iov_base, bounce, here);
    } else {
      std::memcpy(bounce, segment.iov_base, here);
    }
    bounce += here;
    bytes -= here;
  }
}

void advanceSegments(Operation* op, uint64_t bytes) {
  while (bytes > 0 && op->firstSegment < op->segments.size()) {
    iovec& segment = op->segments[op->firstSegment];
    if (bytes < segment.iov_len) {
      segment.iov_base = static_cast<uint8_t*>(segment.iov_base) + bytes;
      segment.iov_len -= bytes;
      return;
    }
    bytes -= segment.iov_len;
    op->firstSegment++;
  }
}

}  // namespace

void Operation::reset() {
  if (segments.capacity() > kSegmentsKeptByOperation) {
    std::vector<iovec>().swap(segments);
  } else {
    segments.clear();
  }
  firstSegment = 0;
  bounce = nullptr;
  directAlign = 0;
  durable = false;
  mode = 0;
  offset = remaining = 0;
  attemptCount = 0;
  next = nullptr;
}

BouncePool::~BouncePool() {
  for (uint8_t* buffer : free_) std::free(buffer);
}

uint8_t* BouncePool::take() {
  if (!free_.empty()) {
    uint8_t* buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  if (allocated_ >= kBounceBuffersMax) return nullptr;
  auto* buffer = static_cast<uint8_t*>(std::aligned_alloc(kBounceAlign, kBounceBytes));
  if (buffer != nullptr) allocated_++;
  return buffer;
}

void BouncePool::give(uint8_t* buffer) {
  free_.push_back(buffer);
}

Attempt prepareAttempt(Operation* op, BouncePool* pool) {
  if (!isTransfer(*op)) return Attempt::kReady;
  if (op->code == OperationCode::kWriteZeros) fillZeroSegments(op);
  if (op->directAlign > 1 && (op->bounce != nullptr || !aligned(*op))) {
    if (op->bounce == nullptr) op->bounce = pool->take();
    if (op->bounce == nullptr) return Attempt::kWaitForBounce;
    const uint64_t bytes = std::min(op->remaining, kBounceBytes);
    if (op->code != OperationCode::kRead) copyBounced(*op, bytes, false);
    op->bounceSegment = {op->bounce, bytes};
    op->attemptSegments = &op->bounceSegment;
    op->attemptCount = 1;
    return Attempt::kReady;
  }
  op->attemptSegments = op->segments.data() + op->firstSegment;
  op->attemptCount = static_cast<uint32_t>(
      std::min(op->segments.size() - op->firstSegment, kSegmentsPerAttemptMax));
  return Attempt::kReady;
}

Progress finishAttempt(Operation* op, BouncePool* pool, int* result) {
  const int got = op->attemptResult;
  *result = got < 0 ? got : 0;
  if (got == -EINTR || got == -EAGAIN) return Progress::kAgain;
  if (got >= 0 && isTransfer(*op)) {
    const uint64_t bytes = std::min<uint64_t>(static_cast<uint64_t>(got), op->remaining);
    if (op->bounce != nullptr && op->code == OperationCode::kRead) copyBounced(*op, bytes, true);
    advanceSegments(op, bytes);
    op->offset += bytes;
    op->remaining -= bytes;
    if (bytes > 0 && op->remaining > 0) return Progress::kAgain;
    if (op->remaining > 0) *result = -EIO;
  }
  if (op->bounce != nullptr) {
    pool->give(op->bounce);
    op->bounce = nullptr;
  }
  return Progress::kDone;
}

}  // namespace vhost
