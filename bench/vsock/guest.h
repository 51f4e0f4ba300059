// The guest's half of virtio-vsock: receive buffers, packets out, the credit of each connection.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "../common/driver-ring.h"
#include "../common/guest-memory.h"
#include "packet.h"

namespace bench {

// The guest's end of one connection.
struct GuestSocket {
  uint32_t guest_port = 0;
  uint32_t host_port = 0;
  bool open = false;
  // What we send.
  uint32_t sent = 0;
  uint32_t peer_buffer_bytes = 0;
  uint32_t peer_forwarded = 0;
  // What we receive.
  uint32_t received = 0;
  uint32_t announced = 0;

  uint32_t Sendable() const { return peer_buffer_bytes - (sent - peer_forwarded); }
};

struct GuestOptions {
  uint64_t cid = 0;
  uint32_t receive_count = 128;
  uint32_t receive_bytes = sizeof(PacketHeader) + kPayloadBytesMax;
  uint32_t credit_bytes = 262'144;  // what Linux gives a connection
};

class Guest {
 public:
  static constexpr uint32_t kRingEntries = 256;
  static constexpr uint32_t kSendSlots = kRingEntries / 2;  // a header and a payload each

  static uint64_t MemoryBytes(const GuestOptions& options) {
    const uint64_t rings = 2 * (26ull * kRingEntries + 4 * 4096);
    return rings + options.receive_count * (uint64_t{options.receive_bytes} + 64) +
           kSendSlots * (uint64_t{kSlotBytes} + 4096);
  }

  Guest(GuestMemory& memory, const GuestOptions& options)
      : options_(options), receive_(memory, kRingEntries), send_(memory, kRingEntries) {
    for (uint32_t i = 0; i < options.receive_count; ++i) {
      buffers_.push_back(memory.Allocate(options.receive_bytes, 64));
      receive_.descriptors()[i] = {memory.GuestAddress(buffers_[i]), options.receive_bytes, kWrite,
                                   0};
      receive_.Push(static_cast<uint16_t>(i));
    }
    for (uint32_t i = 0; i < kSendSlots; ++i) {
      uint8_t* slot = memory.Allocate(kSlotBytes, 4096);
      slots_.push_back(slot);
      send_.descriptors()[2 * i] = {memory.GuestAddress(slot + kHeaderAt), sizeof(PacketHeader),
                                    kNext, static_cast<uint16_t>(2 * i + 1)};
      send_.descriptors()[2 * i + 1] = {memory.GuestAddress(slot), 0, 0, 0};
      free_.push_back(i);
    }
  }

  DriverRing& receive_ring() { return receive_; }
  DriverRing& send_ring() { return send_; }
  uint64_t packets_received() const { return packets_received_; }

  // After the rings have been started.
  void Start() { Publish(receive_); }

  // Calls visit(header, payload) for each packet there is; the buffers go back at once. The number
  // of packets.
  template <typename Visit>
  uint32_t Receive(Visit visit) {
    const auto count = static_cast<uint16_t>(receive_.ReadUsedIndex() - receive_.last_used());
    for (uint16_t i = 0; i < count; ++i) {
      const UsedElement element = receive_.PopUsed();
      if (element.id >= buffers_.size() || element.length_bytes < sizeof(PacketHeader))
        throw std::runtime_error("used element " + std::to_string(element.id) + " of " +
                                 std::to_string(element.length_bytes) + " bytes is no packet");
      const uint8_t* buffer = buffers_[element.id];
      PacketHeader header;
      std::memcpy(&header, buffer, sizeof(header));
      if (header.source_cid != kHostCid || header.destination_cid != options_.cid ||
          header.length_bytes != element.length_bytes - sizeof(PacketHeader))
        throw std::runtime_error("a packet's addresses or length are wrong");
      visit(header, buffer + sizeof(PacketHeader));
      receive_.Push(static_cast<uint16_t>(element.id));
    }
    packets_received_ += count;
    if (count > 0) Publish(receive_);
    return count;
  }

  // Where the payload of the next packet goes; nullptr while all slots are on their way.
  uint8_t* NextPayload() {
    if (free_.empty()) TakeSent();
    return free_.empty() ? nullptr : slots_[free_.back()];
  }

  // The packet whose payload is at NextPayload(), which was not nullptr. Flush() makes it go.
  void Send(GuestSocket& socket, Op op, uint32_t payload_bytes = 0, uint32_t flags = 0) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    socket.announced = socket.received;
    socket.sent += payload_bytes;
    const PacketHeader header{
        options_.cid, kHostCid, socket.guest_port,     socket.host_port, payload_bytes, kStream,
        op,           flags,    options_.credit_bytes, socket.received};
    std::memcpy(slots_[slot] + kHeaderAt, &header, sizeof(header));
    Descriptor& first = send_.descriptors()[2 * slot];
    first.flags = payload_bytes > 0 ? kNext : 0;
    send_.descriptors()[2 * slot + 1].length_bytes = payload_bytes;
    send_.Push(static_cast<uint16_t>(2 * slot));
    unpublished_ = true;
  }

  // For control packets, of which there are never as many as slots.
  void SendNow(GuestSocket& socket, Op op, uint32_t flags = 0) {
    if (NextPayload() == nullptr) throw std::runtime_error("no slot for a control packet");
    Send(socket, op, 0, flags);
    Flush();
  }

  void Flush() {
    if (unpublished_) Publish(send_);
    unpublished_ = false;
  }

  // Credit fields of a packet of this connection's, and its payload's length.
  void Note(GuestSocket& socket, const PacketHeader& header) {
    socket.peer_buffer_bytes = header.buffer_bytes;
    socket.peer_forwarded = header.forwarded_bytes;
    socket.received += header.length_bytes;
    if (socket.received - socket.announced > options_.credit_bytes)
      throw std::runtime_error("the device sent more than it may");
  }

  // As Linux does: when the device knows of less room than a packet needs.
  bool CreditDue(const GuestSocket& socket) const {
    return options_.credit_bytes - (socket.received - socket.announced) < kPayloadBytesMax;
  }

  // Back-end at work on nothing of ours: each packet came back.
  bool Idle() {
    TakeSent();
    return free_.size() == kSendSlots;
  }

  void TakeSent() {
    while (send_.ReadUsedIndex() != send_.last_used()) {
      const UsedElement element = send_.PopUsed();
      if (element.id % 2 != 0 || element.id / 2 >= kSendSlots)
        throw std::runtime_error("used element names head " + std::to_string(element.id));
      free_.push_back(element.id / 2);
    }
  }

 private:
  static constexpr uint32_t kHeaderAt = kPayloadBytesMax;
  static constexpr uint32_t kSlotBytes = kPayloadBytesMax + 64;

  static void Publish(DriverRing& ring) {
    if (ring.Publish()) ring.Kick();
  }

  GuestOptions options_;
  DriverRing receive_;
  DriverRing send_;
  std::vector<uint8_t*> buffers_;
  std::vector<uint8_t*> slots_;
  std::vector<uint32_t> free_;
  bool unpublished_ = false;
  uint64_t packets_received_ = 0;
};

}  // namespace bench
