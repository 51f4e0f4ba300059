// A ring that takes up an inflight area full of anything, and a back-end that is killed and started
// again over it.
#ifndef VHOST_FUZZ_INFLIGHT_PROGRAM_H_
#define VHOST_FUZZ_INFLIGHT_PROGRAM_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "driver-side.h"
#include "guest.h"
#include "inflight-file.h"
#include "input.h"
#include "mutator.h"

namespace vhost::fuzz {

template <typename Ring, typename DriverSide>
class InflightProgram {
 public:
  InflightProgram(const uint8_t* data, size_t bytes) : input_(data, bytes) {}

  void run() {
    guest_.reset();
    driver_ = DriverSide(&guest_, &input_, input_.byte());
    for (uint32_t i = input_.below(32); i > 0; i--) driver_.offer();
    for (uint32_t i = input_.below(8); i > 0; i--) driver_.scribble();
    InflightFile file(&input_);
    area_ = file.area();
    if (area_ == nullptr) return;
    const uint32_t queue = input_.below(3);
    file.fill(&input_, queue, DriverSide::kPacked);
    for (uint32_t lives = 1 + input_.below(4); lives > 0; lives--) {
      if (!live(queue)) break;
    }
  }

 private:
  // One process: everything it finds is popped, a part is finished, then it is gone. False when
  // the area or the ring is refused, or the ring has broken.
  bool live(uint32_t queue) {
    ring_.emplace();
    const auto& memory = guest_.memory();
    if (ring_->start(memory, driver_.size(), driver_.addresses(false), driver_.base(), true) != 0) {
      return false;
    }
    if (ring_->track(area_, queue) != 0) return false;
    const bool covered = area_->covers(queue);
    REQUIRE(ring_->leftoverCount() <= ring_->size());
    // Nobody but us writes the area, unless there is a mutator.
    if (unfinished_ && covered && !mutating()) REQUIRE(ring_->leftoverCount() == unfinished_);
    const std::vector<uint16_t> heads = popAll();
    if (broken_) return false;
    size_t finished = heads.empty() ? 0 : input_.byte() % (heads.size() + 1);
    unfinished_ = heads.size() - finished;
    for (const uint16_t head : heads) {
      if (finished == 0) break;
      finished--;
      ring_->addUsed(head, 0);
    }
    if (ring_->unpublished()) ring_->publish();
    return true;
  }

  std::vector<uint16_t> popAll() {
    std::vector<uint16_t> heads;
    uint32_t available = 0;
    RingFault fault = ring_->available(&available);
    for (; available > 0 && fault == RingFault::kNone; available--) {
      uint16_t head = 0;
      fault = ring_->pop(&head);
      if (fault != RingFault::kNone) break;
      guest_.verify(ring_->chain(head), ring_->size());
      heads.push_back(head);
    }
    broken_ = fault != RingFault::kNone;
    REQUIRE(heads.size() <= ring_->size());
    REQUIRE(std::set(heads.begin(), heads.end()).size() == heads.size());
    return heads;
  }

  Input input_;
  Guest& guest_ = Guest::instance();
  DriverSide driver_;
  std::shared_ptr<InflightArea> area_;
  std::optional<Ring> ring_;
  std::optional<size_t> unfinished_;  // what the former process left
  bool broken_ = false;
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_INFLIGHT_PROGRAM_H_
