// The device side of a split virtqueue (VIRTIO 1.3 §2.7). The driver's fields are read once and
// never trusted; our own indices are private shadows, what we write is output only.
#ifndef VHOST_CORE_SPLIT_RING_H_
#define VHOST_CORE_SPLIT_RING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "descriptor-chain.h"
#include "guest-memory.h"
#include "ring-log.h"
#include "split-inflight.h"

namespace vhost {

// Ring addresses in the front-end's address space (vhost-user: SET_VRING_ADDR).
struct RingAddresses {
  uint64_t descriptor;
  uint64_t available;
  uint64_t used;
};

class SplitRing {
 public:
  static constexpr uint32_t kSizeMax = 32768;  // VIRTIO 1.3 §2.7
  // Linux puts more segments into one indirect table than the ring has descriptors (queue-size=64
  // with seg_max 126), against §2.7.5.3.1. QEMU allows 1024, and so drivers rely on it.
  static constexpr uint32_t kIndirectEntriesMax = 1024;

  // -EINVAL for a bad size or alignment, -EFAULT when a part is outside memory.
  int start(std::shared_ptr<GuestMemory> memory, uint32_t size, const RingAddresses& addresses,
            uint16_t availBase, bool eventIdx);
  // Records requests in the area from here on, and takes up what a former back-end left in it:
  // where the ring goes on then follows from that and not from availBase. After start(); -errno as
  // SplitInflight::start.
  int track(std::shared_ptr<InflightArea> area, uint32_t queue);
  // Re-resolves the addresses in another memory; false when the ring is no longer inside.
  bool move(std::shared_ptr<GuestMemory> memory);

  // Chains the driver has made available and we have not popped, leftovers included. kAvailIndex
  // fault: more than size.
  RingFault available(uint32_t* count) const;

  // Pops the next head, leftovers first, and resolves its chain into chains()[head]. Call only
  // after available().
  RingFault pop(uint16_t* head);

  DescriptorChain& chain(uint16_t head) { return chains_[head]; }
  bool inFlight(uint16_t head) const { return head < size_ && chains_[head].inFlight; }
  uint32_t inFlightCount() const { return inFlightCount_; }
  // Requests of a former back-end that are not popped yet.
  uint32_t leftoverCount() const { return inflight_.leftCount(); }
  // Requests the driver waits for: popped or not.
  uint32_t outstanding() const;
  uint64_t inFlightSegments() const { return inFlightSegments_; }
  uint64_t inFlightBytes() const { return inFlightBytes_; }

  // Puts a used element behind the last one; the driver sees it at publish().
  void addUsed(uint16_t head, uint32_t writtenBytes);
  // Forgets a request without telling the driver: in the inflight area it stays in flight.
  void abandon(uint16_t head) { release(head); }
  // Takes back the last pop() of a request that nobody has touched.
  void unpop(uint16_t head);
  bool unpublished() const { return usedIndex_ != publishedUsed_; }
  void publish();
  // True when the driver wants an interrupt for what was published since the last answer.
  bool needsCall();

  // Asks the driver for kicks; true when more chains came meanwhile (nobody will kick for those).
  bool enableNotification();
  void disableNotification();

  // Before start(), or whenever the front-end changes its mind.
  void setLog(RingLog log) { log_ = std::move(log); }
  bool logging() const { return log_.active(); }
  // For a ring that ends with chains in flight: they may be written, and will never be used.
  void logInFlight() const;

  bool poisoned() const { return memory_->poisoned() || inflight_.poisoned() || log_.lost(); }
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }
  uint32_t size() const { return size_; }
  uint16_t nextAvail() const { return nextAvail_; }

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  };

  int resolve(const GuestMemory& memory);
  static Descriptor readDescriptor(const uint8_t* at);
  RingFault walk(uint16_t head, DescriptorChain* chain);
  RingFault walkIndirect(const Descriptor& table, DescriptorChain* chain);
  RingFault append(const Descriptor& descriptor, DescriptorChain* chain);
  void release(uint16_t head);

  RingLog log_;
  std::shared_ptr<GuestMemory> memory_;
  RingAddresses addresses_{};
  uint8_t* descriptors_ = nullptr;
  uint8_t* avail_ = nullptr;
  uint8_t* used_ = nullptr;
  uint32_t size_ = 0;
  bool eventIdx_ = false;
  bool kicksWanted_ = true;
  bool everLooked_ = false;
  uint16_t nextAvail_ = 0;
  uint16_t usedIndex_ = 0;      // next used element we write
  uint16_t publishedUsed_ = 0;  // what used.idx says
  uint16_t lookedUsed_ = 0;     // used index at the last needsCall()
  uint32_t inFlightCount_ = 0;
  uint64_t inFlightSegments_ = 0;
  uint64_t inFlightBytes_ = 0;
  SplitInflight inflight_;
  std::vector<DescriptorChain> chains_;      // by head index
  std::vector<uint8_t> descriptorInFlight_;  // by descriptor index
  std::vector<uint16_t> nextSnapshot_;       // by descriptor index: the chain as we walked it
  std::vector<iovec> tableSegments_;         // scratch: an indirect table over several regions
  std::vector<uint8_t> tableCopy_;
};

}  // namespace vhost

#endif  // VHOST_CORE_SPLIT_RING_H_
