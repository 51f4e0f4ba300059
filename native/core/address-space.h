// What a ring's addresses mean: which space they are given in, and how they become host memory.
#ifndef VHOST_CORE_ADDRESS_SPACE_H_
#define VHOST_CORE_ADDRESS_SPACE_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "descriptor-chain.h"
#include "guest-memory.h"

namespace vhost {

// The spaces are told apart by what was negotiated, never by a look at an address.
struct Addressing {
  // VIRTIO_F_ACCESS_PLATFORM: rings and buffers are given as I/O addresses.
  bool platform = false;
  // vhost-user: GPA_ADDRESSES. Rings, and what an I/O address leads to, are guest addresses instead
  // of the front-end's own.
  bool guest = false;
};

// The first address of a range that has no translation yet, or not for this access.
struct MissingTranslation {
  uint64_t address = 0;
  uint8_t permission = 0;
};

class AddressSpace {
 public:
  AddressSpace() = default;
  AddressSpace(std::shared_ptr<GuestMemory> memory, Addressing addressing)
      : memory_(std::move(memory)), addressing_(addressing) {}

  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }
  void setMemory(std::shared_ptr<GuestMemory> memory) {
    memory_ = std::move(memory);
    recent_ = {};
  }
  bool platform() const { return addressing_.platform; }
  const MissingTranslation& missing() const { return missing_; }

  // Appends the host segments of a buffer or a table to *out: kNone, kOutsideMemory, kNoPermission,
  // or kTranslationMissing, after which missing() says what to ask the front-end for.
  RingFault translate(uint64_t address, uint64_t bytes, bool writable, std::vector<iovec>* out) {
    if (addressing_.platform) return translateIo(address, bytes, writable, out);
    const uint64_t offset = address - recent_.guestAddress;
    if (offset >= recent_.bytes || bytes > recent_.bytes - offset) {
      return translateGuest(address, bytes, out);
    }
    out->push_back({recent_.host + offset, bytes});
    return RingFault::kNone;
  }

  // Host address of a part of a ring, which must be one piece.
  RingFault ringPart(uint64_t address, uint64_t bytes, bool writable, uint8_t** host);

 private:
  RingFault translateGuest(uint64_t address, uint64_t bytes, std::vector<iovec>* out);
  RingFault translateIo(uint64_t address, uint64_t bytes, bool writable, std::vector<iovec>* out);

  std::shared_ptr<GuestMemory> memory_;
  Addressing addressing_;
  // Where the last buffer was; the next is there, too, but for the few guests of many regions. The
  // search took half the time of a pop.
  GuestSpan recent_;
  MissingTranslation missing_;
  std::vector<iovec> pieces_;  // scratch
};

}  // namespace vhost

#endif  // VHOST_CORE_ADDRESS_SPACE_H_
