// The device side of a packed virtqueue (VIRTIO 1.3 §2.8), with the face of SplitRing. The head
// index that the rest of the data plane knows a chain by is its buffer id.
#ifndef VHOST_CORE_PACKED_RING_H_
#define VHOST_CORE_PACKED_RING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "chain-builder.h"
#include "descriptor-chain.h"
#include "guest-memory.h"
#include "in-flight-totals.h"
#include "inflight-area.h"
#include "packed-inflight.h"
#include "ring-addresses.h"
#include "ring-log.h"

namespace vhost {

// A place in the ring and the wrap counter that goes with it (VIRTIO 1.3 §2.8.1).
struct PackedPosition {
  uint32_t index = 0;
  bool wrap = true;

  void advance(uint32_t entries, uint32_t size) {
    index += entries;
    if (index < size) return;
    index -= size;
    wrap = !wrap;
  }
  void retreat(uint32_t entries, uint32_t size) {
    if (index < entries) {
      index += size;
      wrap = !wrap;
    }
    index -= entries;
  }
  // The form of both event suppression structures and of each half of the base (§2.8.14).
  uint16_t word() const { return static_cast<uint16_t>(index | (wrap ? 0x8000u : 0)); }
  static PackedPosition of(uint16_t word) { return {word & 0x7fffu, (word & 0x8000u) != 0}; }
  // Entries from `from` to here, 0 to 2 * size - 1: wrap counters tell two rounds apart.
  uint32_t since(const PackedPosition& from, uint32_t size) const;
};

// How many chains available() looks ahead: a turn pops at most 64, half of what is outstanding.
// Without it a full ring of 32768 entries would be read through before the first request starts.
constexpr uint32_t kLookAheadChains = 128;

class PackedRing {
 public:
  // Base: avail position in bits 0-15, used position in 16-31 (vhost-user: SET_VRING_BASE).
  // -EINVAL for a bad size, alignment or base, -EFAULT when a part is outside memory. Behind an
  // IOMMU a ring starts unmapped when its own addresses are not translated yet.
  int start(std::shared_ptr<GuestMemory> memory, uint32_t size, const RingAddresses& addresses,
            uint32_t base, bool eventIdx, Addressing addressing = {});
  // As SplitRing::track.
  int track(std::shared_ptr<InflightArea> area, uint32_t queue);
  // As SplitRing::seek, of words as the base has them; -EINVAL for places no ring can be at.
  int seek(uint16_t nextAvail, uint16_t nextUsed);
  // Re-resolves the addresses in another memory; false when the ring is no longer inside.
  bool move(std::shared_ptr<GuestMemory> memory);

  // Behind an IOMMU, as SplitRing.
  bool mapped() const { return ring_ != nullptr; }
  RingFault map();
  void unmap() { ring_ = nullptr; }
  bool overlaps(const IoRange& range) const;
  AddressSpace& space() { return space_; }

  // Whole chains the driver has made available and we have not popped, as far as we look ahead.
  // A chain whose end is missing does not count (PK-002). kChainLength: it can never end, and there
  // is none before it.
  RingFault available(uint32_t* count, uint32_t lookAhead = kLookAheadChains);

  // Pops the next chain and resolves it into chains()[id]. Call only after available().
  RingFault pop(uint16_t* id);

  DescriptorChain& chain(uint16_t id) { return chains_[id]; }
  bool inFlight(uint16_t id) const { return id < size_ && chains_[id].inFlight; }
  uint32_t inFlightCount() const { return inFlight_.chains; }
  // Requests of a former back-end that are not popped yet.
  uint32_t leftoverCount() const { return inflight_.leftCount(); }
  // Requests the driver waits for, as far as available() looked.
  uint32_t outstanding() const { return inFlight_.chains + seenChains_ + inflight_.leftCount(); }
  uint64_t inFlightSegments() const { return inFlight_.segments; }
  uint64_t inFlightBytes() const { return inFlight_.bytes; }

  // Puts a used descriptor behind the last one; the driver sees it at publish().
  void addUsed(uint16_t id, uint32_t writtenBytes);
  // Forgets a request without telling the driver: in the inflight area it stays in flight.
  void abandon(uint16_t id) { inFlight_.leave(&chains_[id]); }
  // As SplitRing::unpop.
  void unpop(uint16_t id);
  bool unpublished() const { return unpublishedEntries_ > 0; }
  void publish();
  // True when the driver wants an interrupt for what was published since the last answer.
  bool needsCall();

  // Asks the driver for kicks; true when more chains came meanwhile (nobody will kick for those).
  bool enableNotification();
  void disableNotification();

  // As SplitRing.
  void setReadOnly(bool readOnly) { builder_.setReadOnly(readOnly); }

  // As SplitRing. What is written into the descriptor ring is logged where it lies in the guest's
  // memory, the log's own address is that of the device's event suppression structure.
  void setLog(RingLog log) { log_ = std::move(log); }
  bool logging() const { return log_.active(); }
  void logInFlight() const;

  bool poisoned() const { return memory()->poisoned() || inflight_.poisoned() || log_.lost(); }
  const std::shared_ptr<GuestMemory>& memory() const { return space_.memory(); }
  uint32_t size() const { return size_; }
  // What start() takes to go on here.
  uint32_t base() const;
  uint16_t nextAvail() const { return avail_.word(); }
  uint16_t nextUsed() const { return used_.word(); }
  // The place behind the last descriptor the driver has made available, and the one behind what it
  // was shown as used. The first looks at each entry, only while the ring is mapped.
  uint16_t availIndex() const;
  uint16_t usedIndex() const { return published_.word(); }

 private:
  int place(uint32_t base, uint32_t size);
  RingFault resolve(AddressSpace* space);
  void begin();
  bool untouched() const;
  void hideUnpublished();
  RingFault walk(DescriptorChain* chain, uint16_t* id);
  RingFault walkLeftover(DescriptorChain* chain, uint16_t* id);
  RingFault add(const PackedDescriptorCopy& descriptor, DescriptorChain* chain);
  RingFault walkTable(uint64_t address, uint32_t length, DescriptorChain* chain);
  void lookAgain();
  void forgetSeen(uint32_t entries);
  void writeEvent(uint32_t offset, uint16_t value);
  uint8_t* entry(uint32_t index) const { return ring_ + uint64_t{index} * kDescBytes; }

  RingLog log_;
  AddressSpace space_;
  RingAddresses addresses_{};
  uint8_t* ring_ = nullptr;  // nullptr: the ring is not mapped
  uint8_t* driverEvent_ = nullptr;
  uint8_t* deviceEvent_ = nullptr;
  uint32_t size_ = 0;
  bool eventIdx_ = false;
  bool kicksWanted_ = true;
  bool begun_ = false;
  bool everLooked_ = false;
  PackedPosition avail_;      // where the next chain begins
  PackedPosition used_;       // where the next used descriptor goes
  PackedPosition published_;  // used_ at the last publish()
  uint32_t freeEntries_ = 0;  // from avail_ to used_: what the driver may have filled

  // available() counts each entry once and goes on where it stopped. Only a hint for how much to
  // pop: pop() reads for itself and believes nothing of this.
  PackedPosition seen_;
  uint32_t seenEntries_ = 0;
  uint32_t seenChains_ = 0;
  bool seenOpen_ = false;  // the last entry seen has NEXT

  uint16_t firstUsedFlags_ = 0;  // of the batch: written last
  uint32_t unpublishedEntries_ = 0;
  uint32_t entriesSinceLook_ = 0;  // published since the last needsCall()
  InFlightTotals inFlight_;
  std::vector<DescriptorChain> chains_;  // by buffer id
  DescriptorChain walked_;               // the id comes with the last descriptor
  PackedInflight inflight_;
  std::vector<PackedDescriptorCopy> record_;  // scratch: what the inflight area gets of a chain
  std::shared_ptr<InflightArea> untracked_;   // until the ring is mapped
  uint32_t untrackedQueue_ = 0;
  ChainBuilder builder_;
};

}  // namespace vhost

#endif  // VHOST_CORE_PACKED_RING_H_
