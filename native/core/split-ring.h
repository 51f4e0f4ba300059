// The device side of a split virtqueue (VIRTIO 1.3 §2.7). The driver's fields are read once and
// never trusted; our own indices are private shadows, what we write is output only.
#ifndef VHOST_CORE_SPLIT_RING_H_
#define VHOST_CORE_SPLIT_RING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "address-space.h"
#include "chain-builder.h"
#include "descriptor-chain.h"
#include "guest-memory.h"
#include "in-flight-totals.h"
#include "ring-addresses.h"
#include "ring-log.h"
#include "split-inflight.h"

namespace vhost {

class SplitRing {
 public:
  // -EINVAL for a bad size or alignment, -EFAULT when a part is outside memory. Behind an IOMMU a
  // ring starts unmapped when its own addresses are not translated yet.
  int start(std::shared_ptr<GuestMemory> memory, uint32_t size, const RingAddresses& addresses,
            uint16_t availBase, bool eventIdx, Addressing addressing = {});
  // Records requests in the area from here on, and takes up what a former back-end left in it:
  // where the ring goes on then follows from that and not from availBase. After start(); -errno as
  // SplitInflight::start. While the ring is not mapped nothing is known of it, and the area waits.
  int track(std::shared_ptr<InflightArea> area, uint32_t queue);
  // Goes on from other places than the base and used.idx; -EBUSY while chains are out.
  int seek(uint16_t nextAvail, uint16_t nextUsed);
  // Re-resolves the addresses in another memory; false when the ring is no longer inside.
  bool move(std::shared_ptr<GuestMemory> memory);

  // Behind an IOMMU. map(): kTranslationMissing while a part of the ring has no translation.
  // Between unmap() and a successful map() nothing but these, move() and what only reads private
  // state is called.
  bool mapped() const { return descriptors_ != nullptr; }
  RingFault map();
  void unmap() { descriptors_ = nullptr; }
  bool overlaps(const IoRange& range) const;
  AddressSpace& space() { return space_; }

  // Chains the driver has made available and we have not popped, leftovers included. kAvailIndex
  // fault: more than size.
  RingFault available(uint32_t* count) const;

  // Pops the next head, leftovers first, and resolves its chain into chains()[head]. Call only
  // after available().
  RingFault pop(uint16_t* head);

  DescriptorChain& chain(uint16_t head) { return chains_[head]; }
  bool inFlight(uint16_t head) const { return head < size_ && chains_[head].inFlight; }
  uint32_t inFlightCount() const { return inFlight_.chains; }
  // Requests of a former back-end that are not popped yet.
  uint32_t leftoverCount() const { return inflight_.leftCount(); }
  // Requests the driver waits for: popped or not.
  uint32_t outstanding() const;
  uint64_t inFlightSegments() const { return inFlight_.segments; }
  uint64_t inFlightBytes() const { return inFlight_.bytes; }

  // Puts a used element behind the last one; the driver sees it at publish().
  void addUsed(uint16_t head, uint32_t writtenBytes);
  // Forgets a request without telling the driver: in the inflight area it stays in flight.
  void abandon(uint16_t head) { release(head); }
  // Takes back the last pop() of a request that nobody has touched. One that the inflight area has
  // recorded already is left there instead, for whoever starts the ring next.
  void unpop(uint16_t head);
  bool unpublished() const { return usedIndex_ != publishedUsed_; }
  void publish();
  // True when the driver wants an interrupt for what was published since the last answer.
  bool needsCall();

  // Asks the driver for kicks; true when more chains came meanwhile (nobody will kick for those).
  bool enableNotification();
  void disableNotification();

  // Before start(): as ChainBuilder.
  void setReadOnly(bool readOnly) { builder_.setReadOnly(readOnly); }

  // Before start(), or whenever the front-end changes its mind.
  void setLog(RingLog log) { log_ = std::move(log); }
  bool logging() const { return log_.active(); }
  // For a ring that ends with chains in flight: they may be written, and will never be used.
  void logInFlight() const;

  bool poisoned() const { return memory()->poisoned() || inflight_.poisoned() || log_.lost(); }
  const std::shared_ptr<GuestMemory>& memory() const { return space_.memory(); }
  uint32_t size() const { return size_; }
  uint16_t nextAvail() const { return nextAvail_; }
  uint16_t nextUsed() const { return usedIndex_; }
  // What memory says. Only while the ring is mapped.
  uint16_t availIndex() const;
  uint16_t usedIndex() const;

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  };

  uint64_t descriptorBytes() const;
  uint64_t availBytes() const;
  uint64_t usedBytes() const;
  RingFault resolve(AddressSpace* space);
  void begin();
  static Descriptor readDescriptor(const uint8_t* at);
  RingFault walk(uint16_t head, DescriptorChain* chain);
  RingFault walkIndirect(const Descriptor& table, DescriptorChain* chain);
  void unmark(uint16_t head);
  void release(uint16_t head);
  void markUsed(uint64_t offset, uint64_t bytes) const {
    log_.markUsed(space_, used_, offset, bytes);
  }

  RingLog log_;
  AddressSpace space_;
  RingAddresses addresses_{};
  uint8_t* descriptors_ = nullptr;  // nullptr: the ring is not mapped
  uint8_t* avail_ = nullptr;
  uint8_t* used_ = nullptr;
  uint32_t size_ = 0;
  bool eventIdx_ = false;
  bool kicksWanted_ = true;
  bool begun_ = false;
  bool everLooked_ = false;
  uint16_t nextAvail_ = 0;
  uint16_t usedIndex_ = 0;      // next used element we write
  uint16_t publishedUsed_ = 0;  // what used.idx says
  uint16_t lookedUsed_ = 0;     // used index at the last needsCall()
  InFlightTotals inFlight_;
  SplitInflight inflight_;
  std::shared_ptr<InflightArea> untracked_;  // until the ring is mapped
  uint32_t untrackedQueue_ = 0;
  std::vector<DescriptorChain> chains_;      // by head index
  std::vector<uint8_t> descriptorInFlight_;  // by descriptor index
  std::vector<uint16_t> nextSnapshot_;       // by descriptor index: the chain as we walked it
  ChainBuilder builder_;
};

}  // namespace vhost

#endif  // VHOST_CORE_SPLIT_RING_H_
