#include "split-ring.h"

#include <cerrno>

#include "guest-access.h"

namespace vhost {
namespace {

// VIRTIO 1.3 §2.7.6 available ring: flags, idx, ring[size], used_event.
constexpr uint16_t kAvailNoInterrupt = 1;
constexpr uint32_t kIdxOffset = 2;
constexpr uint32_t kRingOffset = 4;
constexpr uint32_t kAvailEntryBytes = 2;

// §2.7.8 used ring: flags, idx, {id, len}[size], avail_event.
constexpr uint16_t kUsedNoNotify = 1;
constexpr uint32_t kUsedEntryBytes = 8;
constexpr uint32_t kEventBytes = 2;

}  // namespace

int SplitRing::start(std::shared_ptr<GuestMemory> memory, uint32_t size,
                     const RingAddresses& addresses, uint16_t availBase, bool eventIdx,
                     Addressing addressing) {
  if (size == 0 || size > kRingSizeMax || (size & (size - 1)) != 0) return -EINVAL;
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

int SplitRing::track(std::shared_ptr<InflightArea> area, uint32_t queue) {
  if (!begun_) {
    untracked_ = std::move(area);
    untrackedQueue_ = queue;
    return 0;
  }
  const int result = inflight_.start(std::move(area), queue, size_, usedIndex_);
  if (result != 0 || !inflight_.takenUp()) return result;
  // After a crash front-ends say anything: QEMU the used index, Cloud Hypervisor the avail index.
  nextAvail_ = static_cast<uint16_t>(usedIndex_ + inflight_.leftCount());
  enableNotification();
  return 0;
}

int SplitRing::seek(uint16_t nextAvail, uint16_t nextUsed) {
  if (inFlight_.chains > 0 || unpublished()) return -EBUSY;
  nextAvail_ = nextAvail;
  usedIndex_ = publishedUsed_ = lookedUsed_ = nextUsed;
  everLooked_ = false;
  enableNotification();
  return 0;
}

uint16_t SplitRing::availIndex() const {
  return loadAcquire16(avail_ + kIdxOffset);
}

uint16_t SplitRing::usedIndex() const {
  return loadAcquire16(used_ + kIdxOffset);
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
  if (fault != RingFault::kNone || begun_) return fault;
  begin();
  const bool tracked = track(std::move(untracked_), untrackedQueue_) == 0;
  return tracked ? RingFault::kNone : RingFault::kInflightArea;
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
  *count = ahead + inflight_.leftCount();
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
  const bool leftover = inflight_.leftCount() > 0;
  const uint32_t slot = nextAvail_ & (size_ - 1);
  const uint16_t index = leftover
                             ? inflight_.nextLeft()
                             : readOnce<uint16_t>(avail_ + kRingOffset + slot * kAvailEntryBytes);
  if (index >= size_) return RingFault::kHeadIndex;
  if (descriptorInFlight_[index]) return RingFault::kInFlight;
  DescriptorChain& chain = chains_[index];
  chain.clear();
  const RingFault fault = walk(index, &chain);
  if (fault == kTranslationMissing) unmark(index);  // popped again, from the start
  if (fault != RingFault::kNone) return fault;
  inFlight_.enter(&chain);
  if (leftover) {
    inflight_.dropLeft();
  } else {
    inflight_.begin(index);
    nextAvail_++;
  }
  *head = index;
  return RingFault::kNone;
}

// Bounded: every step marks a descriptor not marked before, so a chain has at most size_ of them
// and a loop meets its own mark. Inlined, with what it appends: its calls were a fourth of a pop.
[[gnu::always_inline]] inline RingFault SplitRing::walk(uint16_t head, DescriptorChain* chain) {
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
    const RingFault fault =
        builder_.append(&space_, descriptor.address, descriptor.length, descriptor.flags, chain);
    if (fault != RingFault::kNone) return fault;
    if (!(descriptor.flags & kDescNext)) return RingFault::kNone;
    if (descriptor.next >= size_) return RingFault::kNextIndex;
    nextSnapshot_[index] = descriptor.next;
    index = descriptor.next;
  }
}

RingFault SplitRing::walkIndirect(const Descriptor& table, DescriptorChain* chain) {
  const uint8_t* base = nullptr;
  const RingFault bad = builder_.openTable(&space_, table.address, table.length, size_, &base);
  if (bad != RingFault::kNone) return bad;
  const uint32_t entries = table.length / kDescBytes;
  uint32_t index = 0;
  for (uint32_t steps = 0; steps < entries; steps++) {
    const Descriptor descriptor = readDescriptor(base + index * kDescBytes);
    if (descriptor.flags & kDescIndirect) return RingFault::kIndirectNested;
    const RingFault fault =
        builder_.append(&space_, descriptor.address, descriptor.length, descriptor.flags, chain);
    if (fault != RingFault::kNone) return fault;
    if (!(descriptor.flags & kDescNext)) return RingFault::kNone;
    if (descriptor.next >= entries) return RingFault::kNextIndex;
    index = descriptor.next;
  }
  return RingFault::kChainLength;
}

void SplitRing::unmark(uint16_t head) {
  uint32_t index = head;
  for (uint32_t i = 0; i < chains_[head].directDescriptors; i++) {
    descriptorInFlight_[index] = 0;
    index = nextSnapshot_[index];
  }
}

void SplitRing::release(uint16_t head) {
  unmark(head);
  inFlight_.leave(&chains_[head]);
}

void SplitRing::addUsed(uint16_t head, uint32_t writtenBytes) {
  uint8_t* element = used_ + kRingOffset + (usedIndex_ & (size_ - 1)) * kUsedEntryBytes;
  writeOnce<uint64_t>(element, head | uint64_t{writtenBytes} << 32);
  // The next line of them: the driver has read it, and stores wait in turn.
  prefetchForWrite(element + kCacheLineBytes);
  if (log_.active()) {
    log_.markChain(chains_[head], *memory());
    markUsed(static_cast<uint64_t>(element - used_), kUsedEntryBytes);
  }
  usedIndex_++;
  inflight_.ended(head);
  release(head);
}

// In the inflight area it stays marked: a back-end that finds it there pops it first, and with the
// avail index it takes from the area, none is popped twice.
void SplitRing::unpop(uint16_t head) {
  release(head);
  if (!inflight_.recording()) nextAvail_--;
}

void SplitRing::publish() {
  // Release: elements and data are visible before the index (§2.7.8.2).
  storeRelease16(used_ + kIdxOffset, usedIndex_);
  publishedUsed_ = usedIndex_;
  markUsed(kIdxOffset, sizeof(uint16_t));
  inflight_.published(usedIndex_);
}

void SplitRing::logInFlight() const {
  if (!log_.active()) return;
  for (const DescriptorChain& chain : chains_) {
    if (chain.inFlight) log_.markChain(chain, *memory());
  }
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
  const uint64_t at = eventIdx_ ? kRingOffset + uint64_t{size_} * kUsedEntryBytes : 0;
  writeOnce<uint16_t>(used_ + at, eventIdx_ ? nextAvail_ : 0);
  markUsed(at, sizeof(uint16_t));
  kicksWanted_ = true;
  // Then look again: the driver may have added a chain before it saw our wish (§2.7.13.4.1).
  fullFence();
  return loadAcquire16(avail_ + kIdxOffset) != nextAvail_ || inflight_.leftCount() > 0;
}

void SplitRing::disableNotification() {
  // With the event index nothing is to do: avail_event stays behind and suppresses by itself.
  if (eventIdx_ || !kicksWanted_) return;
  kicksWanted_ = false;
  writeOnce<uint16_t>(used_, kUsedNoNotify);
  markUsed(0, sizeof(uint16_t));
}

}  // namespace vhost
