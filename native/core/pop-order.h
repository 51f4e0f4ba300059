// Which chains can be put back into their ring: the last one popped, and those before it as long as
// none that was popped later has gone back to the driver. Putting back another would make the ring
// hand out one chain twice.
#ifndef VHOST_CORE_POP_ORDER_H_
#define VHOST_CORE_POP_ORDER_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace vhost {

class PopOrder {
 public:
  // A power of two: a division for each chain would cost as much as the rest of its pop.
  explicit PopOrder(uint32_t ringSize) : heads_(std::bit_ceil(ringSize)), numbers_(ringSize) {}

  void popped(uint16_t head) {
    numbers_[head] = next_;
    heads_[next_++ & (heads_.size() - 1)] = head;
  }
  // The chain is over: it, and what was popped before it, stays popped.
  void ended(uint16_t head) { first_ = std::max(first_, numbers_[head] + 1); }

  bool empty() const { return first_ == next_; }
  // Not when empty(). All from first_ on are in flight, so they never outnumber the ring.
  uint16_t takeLast() { return heads_[--next_ & (heads_.size() - 1)]; }

 private:
  std::vector<uint16_t> heads_;
  std::vector<uint64_t> numbers_;  // by head index
  uint64_t first_ = 0;
  uint64_t next_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_POP_ORDER_H_
