#include "packed-ring.h"

#include <cerrno>
#include <utility>

#include "guest-access.h"

namespace vhost {
namespace {

// VIRTIO 1.3 §2.8.13: addr, len, id, flags; AVAIL and USED beside the flags of both ring kinds.
constexpr uint32_t kLengthOffset = 8;
constexpr uint32_t kIdOffset = 12;
constexpr uint32_t kFlagsOffset = 14;
constexpr uint16_t kDescAvail = 0x80;
constexpr uint16_t kDescUsed = 0x8000;

// §2.8.14 event suppression structure: place, flags.
constexpr uint32_t kEventBytes = 4;
constexpr uint32_t kEventFlagsOffset = 2;
constexpr uint16_t kEventEnable = 0;
constexpr uint16_t kEventDisable = 1;
constexpr uint16_t kEventDesc = 2;
constexpr uint16_t kEventFlagsMask = 3;  // the rest is reserved

// §2.8.1: available to us when AVAIL is the wrap counter and USED is not.
bool isAvailable(uint16_t flags, bool wrap) {
  return ((flags & kDescAvail) != 0) == wrap && ((flags & kDescUsed) != 0) != wrap;
}

}  // namespace

uint32_t PackedPosition::since(const PackedPosition& from, uint32_t size) const {
  const uint32_t here = index + (wrap ? 0 : size);
  const uint32_t there = from.index + (from.wrap ? 0 : size);
  return (here + 2 * size - there) % (2 * size);
}

int PackedRing::start(std::shared_ptr<GuestMemory> memory, uint32_t size,
                      const RingAddresses& addresses, uint32_t base, bool eventIdx,
                      Addressing addressing) {
  if (size == 0 || size > kRingSizeMax) return -EINVAL;  // §2.8.10.1: no power of two needed
  // §2.8.10.1: 16, 4 and 4.
  if (addresses.descriptor % 16 || addresses.available % 4 || addresses.used % 4) return -EINVAL;
  const int placed = place(base, size);
  if (placed != 0) return placed;
  size_ = size;
  addresses_ = addresses;
  eventIdx_ = eventIdx;
  space_ = AddressSpace(std::move(memory), addressing);
  const RingFault fault = resolve(&space_);
  if (fault != RingFault::kNone && fault != kTranslationMissing) {
    return fault == RingFault::kRingAddress ? -EINVAL : -EFAULT;
  }
  chains_.resize(size);
  if (fault == RingFault::kNone) begin();
  return 0;
}

int PackedRing::place(uint32_t base, uint32_t size) {
  const PackedPosition avail = PackedPosition::of(static_cast<uint16_t>(base));
  const PackedPosition used = PackedPosition::of(static_cast<uint16_t>(base >> 16));
  if (avail.index >= size || used.index >= size) return -EINVAL;
  const uint32_t taken = avail.since(used, size);  // by a device before us, and never returned
  if (taken > size) return -EINVAL;
  avail_ = avail;
  used_ = published_ = used;
  freeEntries_ = size - taken;
  return 0;
}

int PackedRing::seek(uint16_t nextAvail, uint16_t nextUsed) {
  if (inFlight_.chains > 0 || unpublished()) return -EBUSY;
  const int placed = place(nextAvail | uint32_t{nextUsed} << 16, size_);
  if (placed != 0) return placed;
  lookAgain();
  everLooked_ = false;
  entriesSinceLook_ = 0;
  enableNotification();
  return 0;
}

uint16_t PackedRing::availIndex() const {
  PackedPosition at = avail_;
  for (uint32_t i = 0; i < freeEntries_; i++, at.advance(1, size_)) {
    if (!isAvailable(loadAcquire16(entry(at.index) + kFlagsOffset), at.wrap)) break;
  }
  return at.word();
}

// The first look at the ring's memory.
void PackedRing::begin() {
  begun_ = true;
  // virtio_uml says 0 for every ring, packed or not, and so means where a ring begins.
  if (base() == 0 && untouched()) avail_ = used_ = published_ = PackedPosition();
  seen_ = avail_;
  enableNotification();
}

RingFault PackedRing::map() {
  if (mapped()) return RingFault::kNone;
  const RingFault fault = resolve(&space_);
  if (fault != RingFault::kNone || begun_) return fault;
  begin();
  const bool tracked = track(std::move(untracked_), untrackedQueue_) == 0;
  return tracked ? RingFault::kNone : RingFault::kInflightArea;
}

int PackedRing::track(std::shared_ptr<InflightArea> area, uint32_t queue) {
  if (!begun_) {
    untracked_ = std::move(area);
    untrackedQueue_ = queue;
    return 0;
  }
  const PackedUsed used{static_cast<uint16_t>(used_.index), used_.wrap};
  const int result = inflight_.start(std::move(area), queue, size_, ring_, used);
  if (result != 0 || !inflight_.takenUp()) return result;
  // RING_RESET (VIRTIO 1.3 §2.6.1): the ring begins anew, and the area tells of the one before.
  if (inflight_.leftCount() == 0 && untouched()) inflight_.restart();
  // What front-ends say of the base after a crash can't be right for more than one of them.
  used_ = published_ = {inflight_.used().index, inflight_.used().wrap};
  avail_ = used_;
  avail_.advance(inflight_.leftEntries(), size_);
  freeEntries_ = size_ - inflight_.leftEntries();
  hideUnpublished();
  lookAgain();
  enableNotification();
  return 0;
}

bool PackedRing::overlaps(const IoRange& range) const {
  const auto part = [&](uint64_t address, uint64_t bytes) {
    return range.overlaps({address, address + (bytes - 1)});
  };
  return part(addresses_.descriptor, uint64_t{size_} * kDescBytes) ||
         part(addresses_.available, kEventBytes) || part(addresses_.used, kEventBytes);
}

// The descriptor ring is read and written.
RingFault PackedRing::resolve(AddressSpace* space) {
  const uint64_t ringBytes = uint64_t{size_} * kDescBytes;
  uint8_t* ring = nullptr;
  uint8_t* driverEvent = nullptr;
  uint8_t* deviceEvent = nullptr;
  RingFault fault = space->ringPart(addresses_.descriptor, ringBytes, false, &ring);
  if (fault != RingFault::kNone) return fault;
  fault = space->ringPart(addresses_.descriptor, ringBytes, true, &ring);
  if (fault != RingFault::kNone) return fault;
  fault = space->ringPart(addresses_.available, kEventBytes, false, &driverEvent);
  if (fault != RingFault::kNone) return fault;
  fault = space->ringPart(addresses_.used, kEventBytes, true, &deviceEvent);
  if (fault != RingFault::kNone) return fault;
  // The front-end's addresses are aligned, but an odd mmap offset can still misalign the host's,
  // and flags are read as atomics.
  for (const uint8_t* part : {ring, driverEvent, deviceEvent}) {
    if (reinterpret_cast<uintptr_t>(part) % 2) return RingFault::kRingAddress;
  }
  ring_ = ring;
  driverEvent_ = driverEvent;
  deviceEvent_ = deviceEvent;
  return RingFault::kNone;
}

// A former back-end killed in the middle of a batch has left used descriptors that the driver did
// not see, as their first one was missing. Our first one would show it the others, too.
void PackedRing::hideUnpublished() {
  PackedPosition at = used_;
  for (uint32_t i = 0; i < inflight_.leftEntries(); i++, at.advance(1, size_)) {
    uint8_t* flags = entry(at.index) + kFlagsOffset;
    if (isAvailable(readOnce<uint16_t>(flags), at.wrap)) continue;
    storeRelease16(flags, at.wrap ? kDescAvail : kDescUsed);
    if (log_.active()) log_.markRing(entry(at.index), kDescBytes, *memory());
  }
}

// Whether nothing in the ring was ever used: what was made available is at its beginning, and
// behind that no driver or device has written flags. Of any place but the beginning it shows
// otherwise: in a round of wrap counter 1 the first entry has USED; in one of 0 what is before the
// place has neither flag, or USED, and what is behind it has one.
bool PackedRing::untouched() const {
  bool more = true;
  for (uint32_t i = 0; i < size_; i++) {
    const uint16_t flags = readOnce<uint16_t>(entry(i) + kFlagsOffset) & (kDescAvail | kDescUsed);
    if (flags != 0 && (flags != kDescAvail || !more)) return false;
    more = flags != 0;
  }
  return true;
}

bool PackedRing::move(std::shared_ptr<GuestMemory> memory) {
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

RingFault PackedRing::available(uint32_t* count, uint32_t lookAhead) {
  while (seenEntries_ < freeEntries_ && (seenOpen_ || seenChains_ < lookAhead)) {
    // Acquire: what the driver wrote before these flags is read after them (§2.8.21.1.1).
    const uint16_t flags = loadAcquire16(entry(seen_.index) + kFlagsOffset);
    if (!isAvailable(flags, seen_.wrap)) break;
    seen_.advance(1, size_);
    seenEntries_++;
    seenOpen_ = (flags & kDescNext) != 0;
    if (!seenOpen_) seenChains_++;
  }
  *count = seenChains_ + inflight_.leftCount();
  // PK-004: every entry the driver may have filled, and still NEXT. Whole chains before it come
  // first, however far somebody looked ahead.
  const bool endless = seenOpen_ && seenEntries_ >= freeEntries_;
  return endless && *count == 0 ? RingFault::kChainLength : RingFault::kNone;
}

// From here on available() counts anew.
void PackedRing::lookAgain() {
  seen_ = avail_;
  seenEntries_ = seenChains_ = 0;
  seenOpen_ = false;
}

// Entries that pop() took; when it saw other chains than available() did, counting starts again.
void PackedRing::forgetSeen(uint32_t entries) {
  if (entries < seenEntries_ && seenChains_ > 1) {
    seenEntries_ -= entries;
    seenChains_--;
    return;
  }
  if (entries == seenEntries_ && seenChains_ == 1 && !seenOpen_) {
    seenEntries_ = seenChains_ = 0;
    return;
  }
  lookAgain();
}

RingFault PackedRing::pop(uint16_t* id) {
  const bool leftover = inflight_.leftCount() > 0;
  walked_.clear();
  uint16_t walkedId = 0;
  const RingFault fault = leftover ? walkLeftover(&walked_, &walkedId) : walk(&walked_, &walkedId);
  if (fault != RingFault::kNone) return fault;
  if (walkedId >= size_) return RingFault::kBufferId;
  if (chains_[walkedId].inFlight) return RingFault::kInFlight;
  std::swap(chains_[walkedId], walked_);
  DescriptorChain& chain = chains_[walkedId];
  inFlight_.enter(&chain);
  *id = walkedId;
  if (leftover) {
    inflight_.dropLeft();
    return RingFault::kNone;
  }
  inflight_.begin(record_);
  avail_.advance(chain.directDescriptors, size_);
  freeEntries_ -= chain.directDescriptors;
  forgetSeen(chain.directDescriptors);
  return RingFault::kNone;
}

// Bounded: a chain takes no more entries than the driver may have filled. Inlined as in the split
// ring.
[[gnu::always_inline]] inline RingFault PackedRing::walk(DescriptorChain* chain, uint16_t* id) {
  PackedPosition at = avail_;
  record_.clear();
  for (;;) {
    if (chain->directDescriptors == freeEntries_) return RingFault::kChainLength;
    const uint8_t* from = entry(at.index);
    const uint16_t flags = loadAcquire16(from + kFlagsOffset);
    // available() saw it; a driver that takes an entry back breaks §2.8.16.
    if (!isAvailable(flags, at.wrap)) return RingFault::kTakenBack;
    const PackedDescriptorCopy descriptor{readOnce<uint64_t>(from),
                                          readOnce<uint32_t>(from + kLengthOffset),
                                          readOnce<uint16_t>(from + kIdOffset), flags};
    // The id of the last descriptor is the chain's (§2.8.6).
    *id = descriptor.id;
    at.advance(1, size_);
    if (inflight_.recording()) record_.push_back(descriptor);
    const RingFault fault = add(descriptor, chain);
    if (fault != RingFault::kNone) return fault;
    if (!(flags & kDescNext)) return RingFault::kNone;
  }
}

// The ring's entries may be others by now: the area has what was fetched from them.
RingFault PackedRing::walkLeftover(DescriptorChain* chain, uint16_t* id) {
  for (const PackedDescriptorCopy& descriptor : inflight_.nextLeft()) {
    *id = descriptor.id;
    const RingFault fault = add(descriptor, chain);
    if (fault != RingFault::kNone) return fault;
  }
  return RingFault::kNone;
}

[[gnu::always_inline]] inline RingFault PackedRing::add(const PackedDescriptorCopy& descriptor,
                                                        DescriptorChain* chain) {
  const auto& [address, length, id, flags] = descriptor;
  chain->directDescriptors++;
  if (flags & kDescIndirect) {
    // §2.8.19: a table is a list of its own. WRITE on its descriptor is ignored (§2.8.7).
    const bool alone = chain->directDescriptors == 1 && !(flags & kDescNext);
    if (!alone) return RingFault::kIndirectNext;
    return walkTable(address, length, chain);
  }
  return builder_.append(&space_, address, length, flags, chain);
}

// §2.8.7: entries one after another; of their flags only WRITE means something (PK-008).
RingFault PackedRing::walkTable(uint64_t address, uint32_t length, DescriptorChain* chain) {
  const uint8_t* base = nullptr;
  const RingFault bad = builder_.openTable(&space_, address, length, size_, &base);
  if (bad != RingFault::kNone) return bad;
  for (const uint8_t* from = base; from != base + length; from += kDescBytes) {
    const uint64_t where = readOnce<uint64_t>(from);
    const uint32_t bytes = readOnce<uint32_t>(from + kLengthOffset);
    const uint16_t flags = readOnce<uint16_t>(from + kFlagsOffset);
    const RingFault fault = builder_.append(&space_, where, bytes, flags, chain);
    if (fault != RingFault::kNone) return fault;
  }
  return RingFault::kNone;
}

void PackedRing::addUsed(uint16_t id, uint32_t writtenBytes) {
  DescriptorChain& chain = chains_[id];
  uint8_t* to = entry(used_.index);
  writeOnce<uint32_t>(to + kLengthOffset, writtenBytes);
  writeOnce<uint16_t>(to + kIdOffset, id);
  // §2.8.1: AVAIL and USED both equal the wrap counter. WRITE says that the length counts (§2.8.3).
  const auto flags = static_cast<uint16_t>((used_.wrap ? kDescAvail | kDescUsed : 0) |
                                           (writtenBytes > 0 ? kDescWrite : 0));
  if (unpublishedEntries_ == 0) {
    firstUsedFlags_ = flags;
  } else {
    // The driver stops at the first, which it can't see yet.
    writeOnce<uint16_t>(to + kFlagsOffset, flags);
  }
  if (log_.active()) {
    log_.markChain(chain, *memory());
    log_.markRing(to, kDescBytes, *memory());
  }
  used_.advance(chain.directDescriptors, size_);
  inflight_.ended(id, {static_cast<uint16_t>(used_.index), used_.wrap});
  unpublishedEntries_ += chain.directDescriptors;
  freeEntries_ += chain.directDescriptors;
  inFlight_.leave(&chain);
}

void PackedRing::unpop(uint16_t id) {
  DescriptorChain& chain = chains_[id];
  inFlight_.leave(&chain);
  if (inflight_.recording()) return;
  avail_.retreat(chain.directDescriptors, size_);
  freeEntries_ += chain.directDescriptors;
  lookAgain();
}

void PackedRing::publish() {
  // Release: the whole batch and its data are visible before the first flags (§2.8.22).
  uint8_t* first = entry(published_.index);
  storeRelease16(first + kFlagsOffset, firstUsedFlags_);
  if (log_.active()) log_.markRing(first, kDescBytes, *memory());
  published_ = used_;
  inflight_.published();
  entriesSinceLook_ += unpublishedEntries_;
  unpublishedEntries_ = 0;
}

bool PackedRing::needsCall() {
  // The driver writes its event structure, then looks at the ring; we do it the other way round.
  // Without the fence both could miss the other's store (§2.8.22).
  fullFence();
  const uint32_t since = entriesSinceLook_;
  entriesSinceLook_ = 0;
  const bool first = !everLooked_;
  everLooked_ = true;
  // Flags before the place: the driver writes them in the other order.
  const uint16_t flags = loadAcquire16(driverEvent_ + kEventFlagsOffset) & kEventFlagsMask;
  if (flags == kEventDisable) return false;
  if (first || flags != kEventDesc || !eventIdx_) return true;
  const PackedPosition event = PackedPosition::of(readOnce<uint16_t>(driverEvent_));
  // PK-009: a place outside the ring is none; a call too many does no harm, a lost one does.
  if (event.index >= size_) return true;
  const uint32_t behind = published_.since(event, size_);
  return behind > 0 && behind <= since;
}

void PackedRing::logInFlight() const {
  if (!log_.active()) return;
  for (const DescriptorChain& chain : chains_) {
    if (chain.inFlight) log_.markChain(chain, *memory());
  }
}

// Release: the place is visible before the flags that make it count.
void PackedRing::writeEvent(uint32_t offset, uint16_t value) {
  storeRelease16(deviceEvent_ + offset, value);
  log_.markUsed(space_, deviceEvent_, offset, sizeof value);
}

bool PackedRing::enableNotification() {
  if (eventIdx_) {
    writeEvent(0, avail_.word());
    writeEvent(kEventFlagsOffset, kEventDesc);
  } else {
    writeEvent(kEventFlagsOffset, kEventEnable);
  }
  kicksWanted_ = true;
  // Then look again: the driver may have added a chain before it saw our wish (§2.8.21.3.1).
  fullFence();
  uint32_t count = 0;
  return available(&count) != RingFault::kNone || count > 0;
}

void PackedRing::disableNotification() {
  if (!kicksWanted_) return;
  kicksWanted_ = false;
  writeEvent(kEventFlagsOffset, kEventDisable);
}

uint32_t PackedRing::base() const {
  return avail_.word() | uint32_t{published_.word()} << 16;
}

}  // namespace vhost
