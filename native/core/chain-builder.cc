#include "chain-builder.h"

#include <algorithm>
#include <cstring>

namespace vhost {
namespace {

constexpr uint64_t kChainBytesMax = 0xffffffff;
// A table of kRingSizeMax buffers that each lie over the joint of two regions. Without it 509
// regions of one byte turn one table into 16 million segments and a second of work (RG-026).
constexpr size_t kChainSegmentsMax = 2 * kRingSizeMax;

}  // namespace

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

RingFault ChainBuilder::append(AddressSpace* space, uint64_t address, uint32_t length,
                               bool writable, DescriptorChain* chain) {
  // Zero-length descriptors are skipped, not translated: no segment, no address to trust (RG-028).
  if (length == 0) return RingFault::kNone;
  // §2.7.4.2: readable descriptors come before writable ones.
  if (!writable && chain->writableBytes > 0) return RingFault::kReadableLast;
  uint32_t& side = writable ? chain->writableBytes : chain->readableBytes;
  const uint64_t total = uint64_t{chain->readableBytes} + chain->writableBytes + length;
  if (total > kChainBytesMax) return RingFault::kChainBytes;
  const RingFault fault = space->translate(address, length, writable, &chain->segments);
  if (fault != RingFault::kNone) return fault;
  if (space->platform()) chain->ioRanges.push_back({address, address + (length - 1)});
  if (chain->segments.size() > kChainSegmentsMax) return RingFault::kChainLength;
  side += length;
  if (!writable) chain->readableSegments = static_cast<uint32_t>(chain->segments.size());
  return RingFault::kNone;
}

}  // namespace vhost
