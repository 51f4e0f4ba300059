// frame-capture.cc: the ring between the data path and whoever looks on.
#include "frame-capture.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

constexpr size_t kRingBytes = 256;

struct Ring {
  Ring() : memory(new (std::align_val_t{64}) uint8_t[kBytes]()), capture(memory, kBytes) {}
  ~Ring() { operator delete[](memory, std::align_val_t{64}); }
  CaptureHead* head() const { return reinterpret_cast<CaptureHead*>(memory); }
  void add(uint32_t tag, size_t bytes) {
    std::vector<uint8_t> frame(bytes, static_cast<uint8_t>(tag));
    const size_t half = bytes / 2;
    capture.add(tag, {{frame.data(), half}, {frame.data() + half, bytes - half}});
  }
  // The next record, checked; 0 when there is none, its tag otherwise.
  uint32_t take() {
    while (head()->read != head()->written) {
      const uint8_t* at = memory + sizeof(CaptureHead) + head()->read % kRingBytes;
      CaptureRecord record{};
      std::memcpy(&record, at, 8);
      CHECK(record.recordBytes >= 8 && record.recordBytes % 8 == 0);
      head()->read += record.recordBytes;
      if (record.tag == 0) continue;
      std::memcpy(&record, at, sizeof record);
      CHECK(at + record.recordBytes <= memory + kBytes);
      CHECK(record.stampNs >= lastNs);
      lastNs = record.stampNs;
      frameBytes = record.frameBytes;
      for (uint32_t i = 0; i < frameBytes; i++) {
        CHECK_EQ(at[sizeof record + i], static_cast<uint8_t>(record.tag));
      }
      return record.tag;
    }
    return 0;
  }

  static constexpr size_t kBytes = sizeof(CaptureHead) + kRingBytes;
  uint8_t* memory;
  FrameCapture capture;
  uint64_t lastNs = 0;
  uint32_t frameBytes = 0;
};

TEST("capture: frames of every length come out as they went in, many times round") {
  Ring ring;
  for (uint32_t i = 1; i < 2000; i++) {
    ring.add(i, i % 90);
    CHECK_EQ(ring.take(), i);
    CHECK_EQ(ring.frameBytes, i % 90);
  }
  CHECK_EQ(ring.take(), 0u);
  CHECK_EQ(ring.head()->lost, 0u);
}

TEST("capture: a full ring loses frames, counts them, and keeps what it has") {
  Ring ring;
  for (uint32_t i = 1; i <= 10; i++) ring.add(i, 40);
  CHECK_EQ(ring.head()->lost, 6u);
  for (uint32_t i = 1; i <= 4; i++) CHECK_EQ(ring.take(), i);
  CHECK_EQ(ring.take(), 0u);
  ring.add(11, 40);
  CHECK_EQ(ring.take(), 11u);
}

TEST("capture: a frame longer than the ring is lost, one as long as the ring is not") {
  Ring ring;
  ring.add(1, kRingBytes - sizeof(CaptureRecord) + 1);
  CHECK_EQ(ring.head()->lost, 1u);
  ring.add(2, kRingBytes - sizeof(CaptureRecord));
  CHECK_EQ(ring.take(), 2u);
}

TEST("capture: positions go round at 2^32") {
  Ring first;
  first.head()->read = first.head()->written = 0xffffff80;
  FrameCapture late(first.memory, Ring::kBytes);
  for (uint32_t i = 1; i < 20; i++) {
    std::vector<uint8_t> frame(64, static_cast<uint8_t>(i));
    late.add(i, {{frame.data(), frame.size()}});
    CHECK_EQ(first.take(), i);
  }
}

TEST("capture: nothing goes into a ring whose reader has gone or lies") {
  Ring ring;
  ring.head()->closed = 1;
  ring.add(1, 8);
  CHECK_EQ(ring.head()->written, 0u);
  CHECK_EQ(ring.head()->lost, 0u);
  ring.head()->closed = 0;
  ring.head()->read = 100;
  ring.add(1, 8);
  CHECK_EQ(ring.head()->written, 0u);
  CHECK_EQ(ring.head()->lost, 1u);
}

TEST("capture: memory that is no ring is refused") {
  alignas(64) static uint8_t memory[1024];
  const struct {
    size_t offset;
    size_t bytes;
    bool fits;
  } rows[] = {{0, 128 + 512, true},  {0, 128, false},       {0, 0, false},
              {0, 128 + 500, false}, {1, 128 + 512, false}, {0, 128 + 8, false}};
  for (const auto& [offset, bytes, fits] : rows) {
    CHECK_EQ(FrameCapture::fits(memory + offset, bytes), fits);
  }
}

}  // namespace
}  // namespace vhost::test
