#include "frame-capture.h"

#include <atomic>
#include <cstring>
#include <ctime>

namespace vhost {
namespace {

constexpr uint32_t kAlignBytes = 8;
// Positions have 32 bits, and a full ring must not look like an empty one.
constexpr size_t kRingBytesMax = size_t{1} << 30;
// No frame is as long (65562 bytes); a bound, so that no sum below can wrap.
constexpr uint64_t kFrameBytesMax = 1 << 20;

uint64_t realtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

bool FrameCapture::fits(const uint8_t* memory, size_t bytes) {
  if (bytes <= sizeof(CaptureHead) || reinterpret_cast<uintptr_t>(memory) % kAlignBytes != 0) {
    return false;
  }
  const size_t ring = bytes - sizeof(CaptureHead);
  return ring >= sizeof(CaptureRecord) && ring <= kRingBytesMax && (ring & (ring - 1)) == 0;
}

FrameCapture::FrameCapture(uint8_t* memory, size_t bytes)
    : head_(reinterpret_cast<CaptureHead*>(memory)),
      records_(memory + sizeof(CaptureHead)),
      ringBytes_(static_cast<uint32_t>(bytes - sizeof(CaptureHead))),
      written_(head_->written) {}

void FrameCapture::add(uint32_t tag, const std::vector<iovec>& pieces) {
  if (std::atomic_ref(head_->closed).load(std::memory_order_relaxed) != 0) return;
  uint64_t frameBytes = 0;
  for (const iovec& piece : pieces) frameBytes += piece.iov_len;
  uint8_t* at = nullptr;
  uint32_t recordBytes = 0;
  if (frameBytes <= kFrameBytesMax) {
    recordBytes = static_cast<uint32_t>((sizeof(CaptureRecord) + frameBytes + kAlignBytes - 1) &
                                        ~uint64_t{kAlignBytes - 1});
    at = reserve(recordBytes);
  }
  if (at == nullptr) {
    std::atomic_ref(head_->lost).fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const CaptureRecord record{recordBytes, tag, static_cast<uint32_t>(frameBytes), 0, realtimeNs()};
  std::memcpy(at, &record, sizeof record);
  at += sizeof record;
  for (const iovec& piece : pieces) {
    if (piece.iov_len > 0) std::memcpy(at, piece.iov_base, piece.iov_len);
    at += piece.iov_len;
  }
  written_ += recordBytes;
  std::atomic_ref(head_->written).store(written_, std::memory_order_release);
}

// Room for a record, the rest of the ring skipped if it is too short; nullptr: there is none.
uint8_t* FrameCapture::reserve(uint32_t recordBytes) {
  const uint32_t used = written_ - std::atomic_ref(head_->read).load(std::memory_order_acquire);
  const uint32_t at = written_ & (ringBytes_ - 1);
  const uint32_t rest = ringBytes_ - at;
  const uint64_t needed = recordBytes <= rest ? recordBytes : uint64_t{rest} + recordBytes;
  // The reader's position is another thread's word: one that makes no sense leaves no room.
  if (used > ringBytes_ || needed > ringBytes_ - used) return nullptr;
  if (recordBytes <= rest) return records_ + at;
  const uint32_t skipped[] = {rest, 0};
  std::memcpy(records_ + at, skipped, sizeof skipped);
  written_ += rest;
  return records_;
}

}  // namespace vhost
