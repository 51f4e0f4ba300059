// Driver side of one split virtqueue with EVENT_IDX (VIRTIO 1.3 §2.7).
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "guest-memory.h"

namespace bench {

struct Descriptor {
  uint64_t address;
  uint32_t length_bytes;
  uint16_t flags;
  uint16_t next;
};
struct UsedElement {
  uint32_t id;
  uint32_t length_bytes;
};
constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

// Close enough to 65536 that every run wraps the 16-bit indices.
constexpr uint16_t kFirstIndex = 65000;

class DriverRing {
 public:
  DriverRing(GuestMemory& memory, uint32_t entries) : entries_(entries) {
    descriptors_ = reinterpret_cast<Descriptor*>(memory.Allocate(16ull * entries, 4096));
    available_ = reinterpret_cast<uint16_t*>(memory.Allocate(6 + 2ull * entries, 4096));
    used_ = memory.Allocate(6 + 8ull * entries, 4096);
    kick_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    call_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (kick_fd_ < 0 || call_fd_ < 0) throw std::runtime_error("eventfd failed");
    available_[1] = kFirstIndex;
    Cell(UsedIndex()).store(kFirstIndex, std::memory_order_relaxed);
    Cell(UsedEvent()).store(kFirstIndex, std::memory_order_relaxed);
  }
  ~DriverRing() {
    close(kick_fd_);
    close(call_fd_);
  }
  DriverRing(const DriverRing&) = delete;
  DriverRing& operator=(const DriverRing&) = delete;

  uint32_t entries() const { return entries_; }
  Descriptor* descriptors() const { return descriptors_; }
  const uint16_t* available() const { return available_; }
  const uint8_t* used() const { return used_; }
  int kick_fd() const { return kick_fd_; }
  int call_fd() const { return call_fd_; }
  uint16_t next_available() const { return next_available_; }

  void Push(uint16_t head) {
    available_[2 + (next_available_ & (entries_ - 1))] = head;
    ++next_available_;
  }

  // Makes everything pushed visible; true when the device has to be kicked.
  bool Publish() {
    const uint16_t before = published_;
    Cell(&available_[1]).store(next_available_, std::memory_order_release);
    previous_ = before;
    published_ = next_available_;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!kicked_once_) {  // a device started at a non-zero base may not have seeded avail_event
      kicked_once_ = true;
      return kicked_last_ = true;
    }
    event_seen_ = Cell(AvailEvent()).load(std::memory_order_relaxed);
    kicked_last_ = static_cast<uint16_t>(next_available_ - event_seen_ - 1) <
                   static_cast<uint16_t>(next_available_ - before);
    return kicked_last_;
  }

  void Kick() const {
    const uint64_t one = 1;
    if (write(kick_fd_, &one, sizeof(one)) != sizeof(one)) throw std::runtime_error("kick failed");
  }

  // For the message of a stall: tells a kick never sent from one the device did not act upon.
  std::string Describe() const {
    const uint16_t event = Cell(AvailEvent()).load(std::memory_order_seq_cst);
    const auto ahead = static_cast<uint16_t>(next_available_ - event);
    return "avail " + std::to_string(next_available_) + " previous " + std::to_string(previous_) +
           " used " + std::to_string(ReadUsedIndex()) + " avail_event " + std::to_string(event) +
           " (seen " + std::to_string(event_seen_) + " at publish)" +
           (ahead - 1 < static_cast<uint16_t>(next_available_ - previous_) ? " wants"
                                                                           : " needs no") +
           " kick, " + (kicked_last_ ? "kicked" : "not kicked");
  }

  uint16_t ReadUsedIndex() const { return Cell(UsedIndex()).load(std::memory_order_acquire); }
  uint16_t last_used() const { return last_used_; }

  UsedElement PopUsed() {
    UsedElement element;
    std::memcpy(&element, used_ + 4 + 8ull * (last_used_ & (entries_ - 1)), sizeof(element));
    ++last_used_;
    return element;
  }

  // Ask for a call at the next used element. The caller fences, then re-reads the used index.
  void ArmCall() { Cell(UsedEvent()).store(last_used_, std::memory_order_relaxed); }

  // Keep used_event behind the device. Moving it once per 16384 elements keeps the wrap away
  // without sharing its cache line with the device on every request.
  void SuppressCall() {
    constexpr uint16_t kRefreshElements = 16384;
    if (static_cast<uint16_t>(last_used_ - parked_) < kRefreshElements) return;
    parked_ = last_used_;
    Cell(UsedEvent()).store(static_cast<uint16_t>(parked_ - 1), std::memory_order_relaxed);
  }

 private:
  static std::atomic_ref<uint16_t> Cell(uint16_t* cell) { return std::atomic_ref<uint16_t>(*cell); }
  uint16_t* UsedIndex() const { return reinterpret_cast<uint16_t*>(used_) + 1; }
  uint16_t* AvailEvent() const { return reinterpret_cast<uint16_t*>(used_ + 4 + 8ull * entries_); }
  uint16_t* UsedEvent() const { return &available_[2 + entries_]; }

  uint32_t entries_;
  Descriptor* descriptors_;
  uint16_t* available_;
  uint8_t* used_;
  int kick_fd_ = -1;
  int call_fd_ = -1;
  uint16_t next_available_ = kFirstIndex;
  uint16_t published_ = kFirstIndex;
  uint16_t last_used_ = kFirstIndex;
  uint16_t parked_ = static_cast<uint16_t>(kFirstIndex - 32768);  // first SuppressCall() writes
  bool kicked_once_ = false;
  uint16_t previous_ = kFirstIndex;
  uint16_t event_seen_ = kFirstIndex;
  bool kicked_last_ = false;
};

}  // namespace bench
