#include "split-ring.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-access.h"

namespace vhost {
namespace {

// VIRTIO 1.3 §2.7.5: descriptor flags and layout.
constexpr uint16_t kDescNext = 1;
constexpr uint16_t kDescWrite = 2;
constexpr uint16_t kDescIndirect = 4;
constexpr uint32_t kDescBytes = 16;

// §2.7.6 available ring: flags, idx, ring[size], used_event.
constexpr uint16_t kAvailNoInterrupt = 1;
constexpr uint32_t kIdxOffset = 2;
constexpr uint32_t kRingOffset = 4;
constexpr uint32_t kAvailEntryBytes = 2;

// §2.7.8 used ring: flags, idx, {id, len}[size], avail_event.
constexpr uint16_t kUsedNoNotify = 1;
constexpr uint32_t kUsedEntryBytes = 8;
constexpr uint32_t kEventBytes = 2;

constexpr uint64_t kChainBytesMax = 0xffffffff;
// A table of kSizeMax buffers that each lie over the joint of two regions. Without it 509 regions
// of one byte turn one table into 16 million segments and a second of work (RG-026).
constexpr size_t kChainSegmentsMax = 2 * SplitRing::kSizeMax;

}  // namespace

int SplitRing::start(std::shared_ptr<GuestMemory> memory, uint32_t size,
                     const RingAddresses& addresses, uint16_t availBase, bool eventIdx,
                     Addressing addressing) {
  if (size == 0 || size > kSizeMax || (size & (size - 1)) != 0) return -EINVAL;
  if (addresses.descriptor % 16 || addresses.available % 2 || addresses.used % 4) return -EINVAL;
  size_ = size;
  addresses_ = addresses;
  eventIdx_ = eventIdx;
  nextAvail_ = availBase;
  space_ = AddressSpace(std::move(memory), addressing);
  const RingFault fault = resolve(&space_);
  if (fault != RingFault::kNone && fault != kTranslationMissing) {
    return fault == RingFault::kRingAddress ? -EINVAL : -EFAULT;
  }
  chains_.resize(size);
  descriptorInFlight_.assign(size, 0);
  nextSnapshot_.assign(size, 0);
  if (fault == RingFault::kNone) begin();
  return 0;
}

// The first look at the ring's memory; private state counts from here.
void SplitRing::begin() {
  begun_ = true;
  // A reconnected driver's ring is not at zero: our elements follow those it has.
  usedIndex_ = publishedUsed_ = lookedUsed_ = loadAcquire16(used_ + kIdxOffset);
  everLooked_ = false;
  // avail_event must be seeded, or with a base other than zero the first kick is suppressed and
  // the guest hangs.
  enableNotification();
}

uint64_t SplitRing::descriptorBytes() const {
  return uint64_t{size_} * kDescBytes;
}

uint64_t SplitRing::availBytes() const {
  return kRingOffset + uint64_t{size_} * kAvailEntryBytes + (eventIdx_ ? kEventBytes : 0);
}

uint64_t SplitRing::usedBytes() const {
  return kRingOffset + uint64_t{size_} * kUsedEntryBytes + (eventIdx_ ? kEventBytes : 0);
}

RingFault SplitRing::resolve(AddressSpace* space) {
  uint8_t* descriptors = nullptr;
  uint8_t* avail = nullptr;
  uint8_t* used = nullptr;
  RingFault fault = space->ringPart(addresses_.descriptor, descriptorBytes(), false, &descriptors);
  if (fault != RingFault::kNone) return fault;
  fault = space->ringPart(addresses_.available, availBytes(), false, &avail);
  if (fault != RingFault::kNone) return fault;
  fault = space->ringPart(addresses_.used, usedBytes(), true, &used);
  if (fault != RingFault::kNone) return fault;
  // The front-end's addresses are aligned, but an odd mmap offset can still misalign the host's.
  if (reinterpret_cast<uintptr_t>(avail) % 2 || reinterpret_cast<uintptr_t>(used) % 4) {
    return RingFault::kRingAddress;
  }
  descriptors_ = descriptors;
  avail_ = avail;
  used_ = used;
  return RingFault::kNone;
}

bool SplitRing::move(std::shared_ptr<GuestMemory> memory) {
  AddressSpace former = space_;
  space_.setMemory(std::move(memory));
  if (space_.platform()) {
    unmap();
    return true;
  }
  if (resolve(&space_) == RingFault::kNone) return true;
  space_ = std::move(former);
  return false;
}

RingFault SplitRing::map() {
  if (mapped()) return RingFault::kNone;
  const RingFault fault = resolve(&space_);
  if (fault == RingFault::kNone && !begun_) begin();
  return fault;
}

bool SplitRing::overlaps(const IoRange& range) const {
  const auto part = [&](uint64_t address, uint64_t bytes) {
    return range.overlaps({address, address + (bytes - 1)});
  };
  return part(addresses_.descriptor, descriptorBytes()) ||
         part(addresses_.available, availBytes()) || part(addresses_.used, usedBytes());
}

RingFault SplitRing::available(uint32_t* count) const {
  const uint16_t ahead = static_cast<uint16_t>(loadAcquire16(avail_ + kIdxOffset) - nextAvail_);
  *count = ahead;
  // §2.7.6: idx never runs more than the ring size ahead. A step backwards looks the same.
  return ahead > size_ ? RingFault::kAvailIndex : RingFault::kNone;
}

uint32_t SplitRing::outstanding() const {
  return static_cast<uint16_t>(loadAcquire16(avail_ + kIdxOffset) - usedIndex_);
}

SplitRing::Descriptor SplitRing::readDescriptor(const uint8_t* at) {
  const uint64_t address = readOnce<uint64_t>(at);
  const uint64_t rest = readOnce<uint64_t>(at + 8);
  return {address, static_cast<uint32_t>(rest), static_cast<uint16_t>(rest >> 32),
          static_cast<uint16_t>(rest >> 48)};
}

RingFault SplitRing::pop(uint16_t* head) {
  const uint32_t slot = nextAvail_ & (size_ - 1);
  const uint16_t index = readOnce<uint16_t>(avail_ + kRingOffset + slot * kAvailEntryBytes);
  if (index >= size_) return RingFault::kHeadIndex;
  if (descriptorInFlight_[index]) return RingFault::kInFlight;
  DescriptorChain& chain = chains_[index];
  chain.clear();
  const RingFault fault = walk(index, &chain);
  if (fault == kTranslationMissing) unmark(index);  // popped again, from the start
  if (fault != RingFault::kNone) return fault;
  chain.inFlight = true;
  inFlightCount_++;
  inFlightSegments_ += chain.segments.size();
  inFlightBytes_ += uint64_t{chain.readableBytes} + chain.writableBytes;
  nextAvail_++;
  *head = index;
  return RingFault::kNone;
}

// Bounded: every step marks a descriptor not marked before, so a chain has at most size_ of them
// and a loop meets its own mark.
RingFault SplitRing::walk(uint16_t head, DescriptorChain* chain) {
  uint32_t index = head;
  for (;;) {
    if (descriptorInFlight_[index]) {
      return chain->directDescriptors > 0 ? RingFault::kChainLength : RingFault::kInFlight;
    }
    descriptorInFlight_[index] = 1;
    chain->directDescriptors++;
    const Descriptor descriptor = readDescriptor(descriptors_ + index * kDescBytes);
    if (descriptor.flags & kDescIndirect) {
      // §2.7.5.3.1: a driver must not set both. WRITE on the table's descriptor is ignored.
      if (descriptor.flags & kDescNext) return RingFault::kIndirectNext;
      return walkIndirect(descriptor, chain);
    }
    const RingFault fault = append(descriptor, chain);
    if (fault != RingFault::kNone) return fault;
    if (!(descriptor.flags & kDescNext)) return RingFault::kNone;
    if (descriptor.next >= size_) return RingFault::kNextIndex;
    nextSnapshot_[index] = descriptor.next;
    index = descriptor.next;
  }
}

RingFault SplitRing::walkIndirect(const Descriptor& table, DescriptorChain* chain) {
  const uint32_t entries = table.length / kDescBytes;
  if (entries == 0 || table.length % kDescBytes != 0) return RingFault::kIndirectLength;
  if (entries > std::max(size_, kIndirectEntriesMax)) return RingFault::kIndirectLength;
  tableSegments_.clear();
  const RingFault unreadable =
      space_.translate(table.address, table.length, false, &tableSegments_);
  if (unreadable != RingFault::kNone) return unreadable;
  const auto* base = static_cast<const uint8_t*>(tableSegments_[0].iov_base);
  if (tableSegments_.size() > 1) {  // RG-018: gathered once, then walked in private memory
    tableCopy_.resize(table.length);
    uint8_t* to = tableCopy_.data();
    for (const iovec& piece : tableSegments_) {
      std::memcpy(to, piece.iov_base, piece.iov_len);
      to += piece.iov_len;
    }
    base = tableCopy_.data();
  }
  uint32_t index = 0;
  for (uint32_t steps = 0; steps < entries; steps++) {
    const Descriptor descriptor = readDescriptor(base + index * kDescBytes);
    if (descriptor.flags & kDescIndirect) return RingFault::kIndirectNested;
    const RingFault fault = append(descriptor, chain);
    if (fault != RingFault::kNone) return fault;
    if (!(descriptor.flags & kDescNext)) return RingFault::kNone;
    if (descriptor.next >= entries) return RingFault::kNextIndex;
    index = descriptor.next;
  }
  return RingFault::kChainLength;
}

RingFault SplitRing::append(const Descriptor& descriptor, DescriptorChain* chain) {
  // Zero-length descriptors are skipped, not translated: no segment, no address to trust (RG-028).
  if (descriptor.length == 0) return RingFault::kNone;
  const bool writable = descriptor.flags & kDescWrite;
  // §2.7.4.2: readable descriptors come before writable ones.
  if (!writable && chain->writableBytes > 0) return RingFault::kReadableLast;
  uint32_t& side = writable ? chain->writableBytes : chain->readableBytes;
  const uint64_t total = uint64_t{chain->readableBytes} + chain->writableBytes + descriptor.length;
  if (total > kChainBytesMax) return RingFault::kChainBytes;
  const RingFault fault =
      space_.translate(descriptor.address, descriptor.length, writable, &chain->segments);
  if (fault != RingFault::kNone) return fault;
  if (space_.platform()) {
    chain->ioRanges.push_back({descriptor.address, descriptor.address + (descriptor.length - 1)});
  }
  if (chain->segments.size() > kChainSegmentsMax) return RingFault::kChainLength;
  side += descriptor.length;
  if (!writable) chain->readableSegments = static_cast<uint32_t>(chain->segments.size());
  return RingFault::kNone;
}

void SplitRing::unmark(uint16_t head) {
  uint32_t index = head;
  for (uint32_t i = 0; i < chains_[head].directDescriptors; i++) {
    descriptorInFlight_[index] = 0;
    index = nextSnapshot_[index];
  }
}

void SplitRing::release(uint16_t head) {
  DescriptorChain& chain = chains_[head];
  unmark(head);
  chain.inFlight = false;
  inFlightCount_--;
  inFlightSegments_ -= chain.segments.size();
  inFlightBytes_ -= uint64_t{chain.readableBytes} + chain.writableBytes;
}

void SplitRing::addUsed(uint16_t head, uint32_t writtenBytes) {
  uint8_t* element = used_ + kRingOffset + (usedIndex_ & (size_ - 1)) * kUsedEntryBytes;
  writeOnce<uint32_t>(element, head);
  writeOnce<uint32_t>(element + 4, writtenBytes);
  usedIndex_++;
  release(head);
}

void SplitRing::publish() {
  // Release: elements and data are visible before the index (§2.7.8.2).
  storeRelease16(used_ + kIdxOffset, usedIndex_);
  publishedUsed_ = usedIndex_;
}

bool SplitRing::needsCall() {
  // The driver writes used_event, then looks at used.idx; we do it the other way round. Without
  // the fence both could miss the other's store (§2.7.10).
  fullFence();
  if (!eventIdx_) return !(readOnce<uint16_t>(avail_) & kAvailNoInterrupt);
  const uint16_t usedEvent = readOnce<uint16_t>(avail_ + kRingOffset + size_ * kAvailEntryBytes);
  const auto sinceEvent = static_cast<uint16_t>(publishedUsed_ - usedEvent - 1);
  // Counted from the last look, called or not: a driver that polls goes without a call for longer
  // than the indices reach, and the count must not wrap (§2.7.7.2).
  const auto sinceLook = static_cast<uint16_t>(publishedUsed_ - lookedUsed_);
  lookedUsed_ = publishedUsed_;
  // The first time there is no last look to count from.
  const bool first = !everLooked_;
  everLooked_ = true;
  return first || sinceEvent < sinceLook;
}

bool SplitRing::enableNotification() {
  if (eventIdx_) {
    writeOnce<uint16_t>(used_ + kRingOffset + size_ * kUsedEntryBytes, nextAvail_);
  } else {
    writeOnce<uint16_t>(used_, 0);
  }
  kicksWanted_ = true;
  // Then look again: the driver may have added a chain before it saw our wish (§2.7.13.4.1).
  fullFence();
  return loadAcquire16(avail_ + kIdxOffset) != nextAvail_;
}

void SplitRing::disableNotification() {
  // With the event index nothing is to do: avail_event stays behind and suppresses by itself.
  if (eventIdx_ || !kicksWanted_) return;
  kicksWanted_ = false;
  writeOnce<uint16_t>(used_, kUsedNoNotify);
}

}  // namespace vhost
