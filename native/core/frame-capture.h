// Copies of frames for somebody who looks on: a ring of records in memory that another thread
// reads. The data path never waits for the reader: a frame that finds no room is counted.
// src/devices/net/capture/capture-ring.ts is the reader, and holds the same layout.
#ifndef VHOST_CORE_FRAME_CAPTURE_H_
#define VHOST_CORE_FRAME_CAPTURE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vhost {

// In front of the records. Positions count bytes since the start, modulo 2^32.
struct CaptureHead {
  alignas(64) uint32_t written;  // ours; what lies before it is whole
  uint32_t lost;                 // ours: frames without room
  alignas(64) uint32_t read;     // the reader's
  uint32_t closed;               // the reader's: wants no more
};
static_assert(sizeof(CaptureHead) == 128);

// In front of each frame, 8-byte aligned; a record never goes round the end of the ring.
struct CaptureRecord {
  uint32_t recordBytes;  // with this and padding
  uint32_t tag;          // 0: no frame, only the rest of the ring before it begins again
  uint32_t frameBytes;
  uint32_t reserved;
  uint64_t stampNs;  // CLOCK_REALTIME
};
static_assert(sizeof(CaptureRecord) == 24);

class FrameCapture {
 public:
  // Borrowed memory: a head, then a power of two of bytes for records.
  static bool fits(const uint8_t* memory, size_t bytes);
  FrameCapture(uint8_t* memory, size_t bytes);

  // Appends one frame, of any tag but 0.
  void add(uint32_t tag, const std::vector<iovec>& pieces);

 private:
  uint8_t* reserve(uint32_t recordBytes);

  CaptureHead* head_;
  uint8_t* records_;
  uint32_t ringBytes_;
  uint32_t written_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_CAPTURE_H_
