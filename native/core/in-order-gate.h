// VIRTIO_F_IN_ORDER (VIRTIO 1.3 §2.7.9 and §2.8.11 have the driver's half): chains go back in the
// order they were made available. What ends before its turn waits here.
#ifndef VHOST_CORE_IN_ORDER_GATE_H_
#define VHOST_CORE_IN_ORDER_GATE_H_

#include <bit>
#include <cstdint>
#include <vector>

namespace vhost {

class InOrderGate {
 public:
  enum class End : uint8_t { kNone, kUsed, kAbandoned };

  explicit InOrderGate(uint32_t ringSize) : order_(std::bit_ceil(ringSize)), chains_(ringSize) {}

  void popped(uint16_t head) {
    order_[last_++ & (order_.size() - 1)] = head;
    chains_[head] = {};
  }
  bool isNewest(uint16_t head) const {
    return first_ != last_ && order_[(last_ - 1) & (order_.size() - 1)] == head;
  }
  // Takes back the last popped().
  void unpopped() { last_--; }

  // True for a chain that has ended and still waits.
  bool holds(uint16_t head) const { return chains_[head].end != End::kNone; }

  void end(uint16_t head, uint32_t writtenBytes, End how) { chains_[head] = {writtenBytes, how}; }

  // Hands over what has ended and has nothing before it. Once a chain was abandoned none behind it
  // may be shown to the driver: it would seem to be used, too.
  template <typename Use, typename Abandon>
  void release(Use use, Abandon abandon) {
    while (first_ != last_) {
      const uint16_t head = order_[first_ & (order_.size() - 1)];
      Chain& chain = chains_[head];
      if (chain.end == End::kNone) return;
      abandoned_ |= chain.end == End::kAbandoned;
      chain.end = End::kNone;
      first_++;
      if (abandoned_) {
        abandon(head);
      } else {
        use(head, chain.writtenBytes);
      }
    }
  }

 private:
  struct Chain {
    uint32_t writtenBytes = 0;
    End end = End::kNone;
  };

  std::vector<uint16_t> order_;  // heads in flight are order_[first_ ... last_)
  std::vector<Chain> chains_;    // by head index
  uint64_t first_ = 0;
  uint64_t last_ = 0;
  bool abandoned_ = false;
};

}  // namespace vhost

#endif  // VHOST_CORE_IN_ORDER_GATE_H_
