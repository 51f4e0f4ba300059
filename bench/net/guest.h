// The guest's half of virtio-net: buffers to receive into, frames out. One descriptor a frame
// either way, header and frame in one piece, as Linux posts and sends small ones.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "../common/driver-ring.h"
#include "../common/guest-memory.h"
#include "../common/session.h"
#include "../common/vrings.h"

namespace bench {

using MacAddress = std::array<uint8_t, 6>;

// VIRTIO 1.3 §5.1.6 with num_buffers, then the front of an Ethernet frame and what we number it by.
struct __attribute__((packed)) NumberedFrame {
  uint8_t virtio_header[12];
  MacAddress destination;
  MacAddress source;
  uint16_t type;
  uint64_t number;
};
constexpr uint32_t kHeaderBytes = 12;
constexpr uint32_t kFrameBytesMin = sizeof(NumberedFrame) - kHeaderBytes;
constexpr uint32_t kFrameBytesMax = 1514;
// 0x88b5: for experiments (IEEE 802), in network order.
constexpr uint16_t kFrameType = 0xb588;

class Guest {
 public:
  Guest(const std::string& socket, const MacAddress& address, uint32_t frame_bytes)
      : address_(address),
        frame_bytes_(frame_bytes),
        session_(socket),
        memory_(kMemoryBytes),
        receive_(memory_, kRingEntries),
        send_(memory_, kRingEntries) {
    using namespace feature;
    // GET_QUEUE_NUM: net_vhost counts pairs.
    session_.Negotiate(kMergeBuffers, kVersion1 | kEventIdx, 1);
    for (uint32_t i = 0; i < kRingEntries; ++i) {
      buffers_.push_back(memory_.Allocate(kSlotStrideBytes, 64));
      slots_.push_back(memory_.Allocate(kSlotStrideBytes, 64));
      receive_.descriptors()[i] = {memory_.GuestAddress(buffers_[i]), kSlotBytes, kWrite, 0};
      send_.descriptors()[i] = {memory_.GuestAddress(slots_[i]), kHeaderBytes + frame_bytes, 0, 0};
      receive_.Push(static_cast<uint16_t>(i));
      free_.push_back(static_cast<uint16_t>(i));
    }
    session_.ShareMemory(memory_);
    StartVrings(session_, memory_, {&receive_, &send_});
    Publish(receive_);
  }
  ~Guest() { StopVrings(session_, 2); }

  // Puts up to `count` frames into the ring, numbered on; how many there was room for.
  uint32_t Send(const MacAddress& to, uint32_t count) {
    uint32_t sent = 0;
    for (; sent < count && !free_.empty(); ++sent) {
      const uint16_t slot = free_.back();
      free_.pop_back();
      const NumberedFrame frame{{}, to, address_, kFrameType, next_number_++};
      std::memcpy(slots_[slot], &frame, sizeof(frame));
      send_.Push(slot);
    }
    if (sent > 0) Publish(send_);
    return sent;
  }

  // Slots of frames that have left.
  void TakeSent() {
    while (send_.ReadUsedIndex() != send_.last_used()) {
      const UsedElement element = send_.PopUsed();
      if (element.id >= kRingEntries) throw std::runtime_error("used element of no slot");
      free_.push_back(static_cast<uint16_t>(element.id));
    }
  }

  // Takes what has come, checks it, and posts the buffers again; visit(number) for each frame.
  template <typename Visit>
  uint32_t Receive(Visit visit) {
    const auto count = static_cast<uint16_t>(receive_.ReadUsedIndex() - receive_.last_used());
    for (uint16_t i = 0; i < count; ++i) {
      const UsedElement element = receive_.PopUsed();
      NumberedFrame frame;
      if (element.id >= kRingEntries || element.length_bytes != kHeaderBytes + frame_bytes_)
        throw std::runtime_error("a frame of " + std::to_string(element.length_bytes) + " bytes");
      std::memcpy(&frame, buffers_[element.id], sizeof(frame));
      // The device may lose frames, as a wire may; it turns none round and makes none up.
      if (frame.type != kFrameType || frame.number < expected_number_)
        throw std::runtime_error("frame " + std::to_string(frame.number) + " came after " +
                                 std::to_string(expected_number_));
      expected_number_ = frame.number + 1;
      visit(frame.number);
      receive_.Push(static_cast<uint16_t>(element.id));
    }
    if (count > 0) Publish(receive_);
    return count;
  }

  // A guest that sleeps between frames wants to be called for each; one that polls, never.
  void ArmCalls() {
    receive_.ArmCall();
    send_.ArmCall();
  }
  void SuppressCalls() {
    receive_.SuppressCall();
    send_.SuppressCall();
  }

  const MacAddress& address() const { return address_; }

 private:
  static constexpr uint32_t kRingEntries = 256;
  static constexpr uint32_t kSlotBytes = 2048;
  // Slots a power of two apart would share a few sets of the cache.
  static constexpr uint32_t kSlotStrideBytes = kSlotBytes + 320;
  static constexpr uint64_t kMemoryBytes = 4 << 20;
  static constexpr uint64_t kMergeBuffers = 1ull << 15;

  static void Publish(DriverRing& ring) {
    if (ring.Publish()) ring.Kick();
  }

  MacAddress address_;
  uint32_t frame_bytes_;
  Session session_;
  GuestMemory memory_;
  DriverRing receive_;
  DriverRing send_;
  std::vector<uint8_t*> buffers_;
  std::vector<uint8_t*> slots_;
  std::vector<uint16_t> free_;
  uint64_t next_number_ = 0;
  uint64_t expected_number_ = 0;
};

}  // namespace bench
