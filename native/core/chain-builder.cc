#include "chain-builder.h"

#include <algorithm>
#include <cstring>

namespace vhost {

RingFault ChainBuilder::openTable(AddressSpace* space, uint64_t address, uint32_t length,
                                  uint32_t ringSize, const uint8_t** base) {
  const uint32_t entries = length / kDescBytes;
  if (entries == 0 || length % kDescBytes != 0) return RingFault::kIndirectLength;
  if (entries > std::max(ringSize, kIndirectEntriesMax)) return RingFault::kIndirectLength;
  tableSegments_.clear();
  const RingFault fault = space->translate(address, length, false, &tableSegments_);
  if (fault != RingFault::kNone) return fault;
  *base = static_cast<const uint8_t*>(tableSegments_[0].iov_base);
  if (tableSegments_.size() == 1) return RingFault::kNone;
  // RG-018: gathered once, then walked in private memory.
  tableCopy_.resize(length);
  uint8_t* to = tableCopy_.data();
  for (const iovec& piece : tableSegments_) {
    std::memcpy(to, piece.iov_base, piece.iov_len);
    to += piece.iov_len;
  }
  *base = tableCopy_.data();
  return RingFault::kNone;
}

}  // namespace vhost
