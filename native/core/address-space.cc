#include "address-space.h"

#include <algorithm>

namespace vhost {
namespace {

// Pieces that follow each other in host memory are one: pages of a ring mapped one by one.
bool onePiece(const std::vector<iovec>& pieces) {
  for (size_t i = 1; i < pieces.size(); i++) {
    if (static_cast<uint8_t*>(pieces[i - 1].iov_base) + pieces[i - 1].iov_len !=
        pieces[i].iov_base) {
      return false;
    }
  }
  return !pieces.empty();
}

}  // namespace

RingFault AddressSpace::translateGuest(uint64_t address, uint64_t bytes, std::vector<iovec>* out) {
  if (!memory_->translate(address, bytes, out)) return RingFault::kOutsideMemory;
  recent_ = memory_->span(address);
  return RingFault::kNone;
}

RingFault AddressSpace::translateIo(uint64_t address, uint64_t bytes, bool writable,
                                    std::vector<iovec>* out) {
  const uint8_t wanted = writable ? kIotlbWrite : kIotlbRead;
  if (bytes > 0 && address + (bytes - 1) < address) return RingFault::kOutsideMemory;
  while (bytes > 0) {
    const IotlbEntry* entry = memory_->iotlb().find(address);
    missing_ = {address, wanted};
    if (entry == nullptr) return kTranslationMissing;
    if ((entry->permissions & wanted) == 0) return RingFault::kNoPermission;
    const uint64_t offset = address - entry->range.first;
    const uint64_t here = std::min(bytes - 1, entry->range.last - address) + 1;
    const uint64_t target = entry->target + offset;
    const bool found = addressing_.guest ? memory_->translate(target, here, out)
                                         : memory_->translateUser(target, here, out);
    if (!found) return RingFault::kOutsideMemory;
    bytes -= here;
    address += here;
  }
  return RingFault::kNone;
}

RingFault AddressSpace::ringPart(uint64_t address, uint64_t bytes, bool writable, uint8_t** host) {
  if (!addressing_.platform && !addressing_.guest) {
    *host = memory_->userToHost(address, bytes);
    return *host == nullptr ? RingFault::kOutsideMemory : RingFault::kNone;
  }
  pieces_.clear();
  const RingFault fault = translate(address, bytes, writable, &pieces_);
  if (fault != RingFault::kNone) return fault;
  if (!onePiece(pieces_)) return RingFault::kOutsideMemory;
  *host = static_cast<uint8_t*>(pieces_[0].iov_base);
  return RingFault::kNone;
}

}  // namespace vhost
