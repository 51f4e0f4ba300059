// A virtqueue that one thread drives itself, without the data plane: batches of chains out, batches
// of used elements in. A fault is kept: after it nothing more is popped or given back.
#ifndef VHOST_CORE_OWNED_QUEUE_H_
#define VHOST_CORE_OWNED_QUEUE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "exchange.h"
#include "pop-order.h"
#include "virtqueue.h"

namespace vhost {

struct UsedRecord {
  uint32_t head;
  uint32_t writtenBytes;
};

struct OwnedQueueStart {
  VirtqueueStart ring;
  uint16_t nextUsed;
  uint32_t headerBytes;                    // copied of each chain, at most kHeaderBytesMax
  std::shared_ptr<InflightArea> inflight;  // none: chains are not recorded
  uint32_t queue;                          // its number in that area
};

class OwnedQueue {
 public:
  // 0 or -errno, as Virtqueue::start, seek and track.
  int start(std::shared_ptr<GuestMemory> memory, const OwnedQueueStart& with);

  Virtqueue& ring() { return ring_; }
  RingFault fault();

  // Where a count is the answer, a negative number is -RingFault.

  // Chains that can be popped; who needs to know of no more than lookAhead says so.
  int32_t available(uint32_t lookAhead = kRingSizeMax);
  // Pops up to `max` chains; how many. Fewer than there are only at the caps or before a fault,
  // which the next call answers.
  int32_t pop(uint32_t max, RequestRecord* records);
  // Takes back the newest pop that still can be; false when there is none.
  bool goToPrevious();
  // Gives chains back and shows them to the driver. How many: short of `count`, the next of them
  // was not in flight, and it and its followers are left out.
  int32_t addUsed(const UsedRecord* records, uint32_t count);
  bool move(std::shared_ptr<GuestMemory> memory);

 private:
  bool broken(RingFault found);
  int32_t answer(uint32_t count) const;

  Virtqueue ring_;
  std::optional<PopOrder> order_;
  uint32_t headerBytes_ = 0;
  bool recording_ = false;
  RingFault fault_ = RingFault::kNone;
};

}  // namespace vhost

#endif  // VHOST_CORE_OWNED_QUEUE_H_
