// What one split ring records in its region of the inflight area, and what it takes up from it. The
// region is read once, when the ring starts; afterwards it is output only, so a front-end that
// edits it meanwhile changes nothing (CS-156).
#ifndef VHOST_CORE_SPLIT_INFLIGHT_H_
#define VHOST_CORE_SPLIT_INFLIGHT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "inflight-area.h"

namespace vhost {

class SplitInflight {
 public:
  // usedIndex: what the ring's used.idx says. 0 also for a queue the area does not cover, which is
  // not recorded. -EBADMSG: the region is too small for the ring, or holds what no back-end leaves
  // behind (CS-153); -EFAULT: it was taken away while it was read.
  int start(std::shared_ptr<InflightArea> area, uint32_t queue, uint32_t ringSize,
            uint16_t usedIndex);

  // True when a former back-end has used the region: where the ring goes on then follows from it.
  bool takenUp() const { return takenUp_; }
  bool poisoned() const { return area_ != nullptr && area_->poisoned(); }

  bool recording() const { return region_ != nullptr; }

  // Heads to do again, in the order they were first fetched.
  uint32_t leftCount() const { return static_cast<uint32_t>(left_.size() - nextLeft_); }
  uint16_t nextLeft() const { return left_[nextLeft_]; }
  void dropLeft() { nextLeft_++; }

  // The three moments of a request. begin() comes before anybody acts on it, ended() before
  // used.idx says so, published() after.
  void begin(uint16_t head) {
    if (region_ != nullptr) record(head);
  }
  void ended(uint16_t head) {
    if (region_ != nullptr) link(head);
  }
  void published(uint16_t usedIndex) {
    if (region_ != nullptr) clear(usedIndex);
  }

 private:
  uint8_t* entry(uint16_t head) const;
  void initialise(uint16_t usedIndex);
  int takeUp(const std::vector<uint8_t>& copy, uint32_t ringSize, uint16_t usedIndex);
  void record(uint16_t head);
  void link(uint16_t head);
  void clear(uint16_t usedIndex);

  std::shared_ptr<InflightArea> area_;
  uint8_t* region_ = nullptr;
  bool takenUp_ = false;
  uint64_t counter_ = 0;
  uint16_t lastBatchHead_ = 0;
  std::vector<uint16_t> batch_;  // ended, not yet published
  std::vector<uint16_t> left_;
  size_t nextLeft_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_SPLIT_INFLIGHT_H_
