// What one packed ring records in its region of the inflight area, and what it takes up from it. As
// with a split ring the region is read once, when the ring starts; afterwards it is output only,
// and everything here counts from private copies.
#ifndef VHOST_CORE_PACKED_INFLIGHT_H_
#define VHOST_CORE_PACKED_INFLIGHT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "inflight-area.h"

namespace vhost {

// A descriptor as the driver wrote it; its place in the ring may be another's by the time it
// counts.
struct PackedDescriptorCopy {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};

// A used position: index and wrap counter.
struct PackedUsed {
  uint16_t index;
  bool wrap;
};

class PackedInflight {
 public:
  // ring: the descriptor ring; used: where it goes on, for a region nobody has used yet. 0 also for
  // a queue the area does not cover. -EBADMSG and -EFAULT as SplitInflight::start.
  int start(std::shared_ptr<InflightArea> area, uint32_t queue, uint32_t ringSize,
            const uint8_t* ring, PackedUsed used);

  bool recording() const { return region_ != nullptr; }
  // True when a former back-end has used the region: the ring goes on from used(), and
  // leftEntries() of it are taken.
  bool takenUp() const { return takenUp_; }
  PackedUsed used() const { return used_; }
  uint32_t leftEntries() const { return leftEntries_; }
  // The ring begins anew; only while nothing is left.
  void restart();
  bool poisoned() const { return area_ != nullptr && area_->poisoned(); }

  // Chains to do again, in the order they were first fetched.
  uint32_t leftCount() const { return static_cast<uint32_t>(left_.size() - nextLeft_); }
  const std::vector<PackedDescriptorCopy>& nextLeft() const { return left_[nextLeft_]; }
  void dropLeft() { nextLeft_++; }

  // The three moments of a request, as in SplitInflight; the ring's position is that behind it.
  void begin(const std::vector<PackedDescriptorCopy>& chain) {
    if (region_ != nullptr) record(chain);
  }
  void ended(uint16_t id, PackedUsed used) {
    if (region_ != nullptr) link(id, used);
  }
  void published() {
    if (region_ != nullptr) commit();
  }

 private:
  // A chain's entries are linked from its first to its last.
  struct Chain {
    uint16_t first;
    uint16_t last;
  };

  uint8_t* entry(uint32_t index) const;
  void initialise();
  int takeUp(const std::vector<uint8_t>& copy, uint32_t ringSize, const uint8_t* ring);
  int takeChains(const std::vector<uint8_t>& copy, uint32_t ringSize, std::vector<uint8_t>* known);
  void storeHeader(bool committed) const;
  void record(const std::vector<PackedDescriptorCopy>& chain);
  void link(uint16_t id, PackedUsed used);
  void commit();

  std::shared_ptr<InflightArea> area_;
  uint8_t* region_ = nullptr;
  bool takenUp_ = false;
  PackedUsed used_{};
  uint16_t freeHead_ = 0;
  uint64_t counter_ = 0;
  uint32_t leftEntries_ = 0;
  std::vector<uint16_t> next_;   // by entry
  std::vector<Chain> chains_;    // by buffer id, of chains in flight
  std::vector<uint16_t> batch_;  // first entries of chains ended, not yet published
  std::vector<std::vector<PackedDescriptorCopy>> left_;
  size_t nextLeft_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_PACKED_INFLIGHT_H_
