// What the walks of both ring kinds share: an indirect table made readable in one piece, and a
// buffer checked, resolved and appended to its chain.
#ifndef VHOST_CORE_CHAIN_BUILDER_H_
#define VHOST_CORE_CHAIN_BUILDER_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "address-space.h"
#include "descriptor-chain.h"

namespace vhost {

// VIRTIO 1.3 §2.7.5 and §2.8.13: descriptor flags and length, the same in both ring kinds.
constexpr uint16_t kDescNext = 1;
constexpr uint16_t kDescWrite = 2;
constexpr uint16_t kDescIndirect = 4;
constexpr uint32_t kDescBytes = 16;

constexpr uint32_t kRingSizeMax = 32768;  // VIRTIO 1.3 §2.7, §2.8.10.1
// Linux puts more segments into one indirect table than the ring has descriptors (queue-size=64
// with seg_max 126), against §2.7.5.3.1. QEMU allows 1024, and so drivers rely on it.
constexpr uint32_t kIndirectEntriesMax = 1024;

constexpr uint64_t kChainBytesMax = 0xffffffff;
// A table of kRingSizeMax buffers that each lie over the joint of two regions. Without it 509
// regions of one byte turn one table into 16 million segments and a second of work (RG-026).
constexpr size_t kChainSegmentsMax = 2 * kRingSizeMax;

class ChainBuilder {
 public:
  // Makes the table at [address, +length) readable at *base. Valid until the next call, and as
  // long as the memory is.
  RingFault openTable(AddressSpace* space, uint64_t address, uint32_t length, uint32_t ringSize,
                      const uint8_t** base);

  // Of a queue that the device only reads, WRITE says nothing: every buffer is readable, and there
  // is nothing of a chain the device could write into.
  void setReadOnly(bool readOnly) { writeFlag_ = readOnly ? 0 : kDescWrite; }

  // In the header, to be inlined into the walks.
  RingFault append(AddressSpace* space, uint64_t address, uint32_t length, uint16_t flags,
                   DescriptorChain* chain) const {
    // Zero-length descriptors are skipped, not translated: no segment, no address to trust
    // (RG-028).
    if (length == 0) return RingFault::kNone;
    const bool writable = (flags & writeFlag_) != 0;
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

 private:
  uint16_t writeFlag_ = kDescWrite;
  std::vector<iovec> tableSegments_;
  std::vector<uint8_t> tableCopy_;
};

}  // namespace vhost

#endif  // VHOST_CORE_CHAIN_BUILDER_H_
