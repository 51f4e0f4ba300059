#include "owned-queue.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "request-record.h"

namespace vhost {

int OwnedQueue::start(std::shared_ptr<GuestMemory> memory, const OwnedQueueStart& with) {
  int result = ring_.start(std::move(memory), with.ring);
  if (result == 0) {
    result = ring_.seek(static_cast<uint16_t>(with.ring.base), with.nextUsed);
  }
  if (result == 0) result = ring_.track(with.inflight, with.queue);
  if (result != 0) return result;
  order_.emplace(with.ring.size);
  headerBytes_ = with.headerBytes;
  recording_ = with.inflight != nullptr;
  return 0;
}

// What was read from lost memory is no fault of the driver's.
bool OwnedQueue::broken(RingFault found) {
  if (fault_ == RingFault::kNone) fault_ = ring_.poisoned() ? RingFault::kMemoryLost : found;
  return fault_ != RingFault::kNone;
}

RingFault OwnedQueue::fault() {
  broken(RingFault::kNone);
  return fault_;
}

int32_t OwnedQueue::answer(uint32_t count) const {
  return fault_ == RingFault::kNone ? static_cast<int32_t>(count) : -static_cast<int32_t>(fault_);
}

int32_t OwnedQueue::available(uint32_t lookAhead) {
  uint32_t count = 0;
  if (!broken(RingFault::kNone)) broken(ring_.available(&count, lookAhead));
  return answer(count);
}

int32_t OwnedQueue::pop(uint32_t max, RequestRecord* records) {
  const int32_t count = std::min(available(max), static_cast<int32_t>(max));
  if (count < 0) return count;
  int32_t popped = 0;
  const RingFault found = ring_.popEach(count, [&](uint16_t head, const DescriptorChain& chain) {
    order_->popped(head);
    fillRecord(chain, head, headerBytes_, &records[popped++]);
  });
  // Once for all of them: nothing that was read from lost memory is handed out.
  broken(found);
  return popped > 0 && fault_ != RingFault::kMemoryLost ? popped : answer(0);
}

bool OwnedQueue::goToPrevious() {
  // One that the inflight area has recorded would not be popped again.
  if (recording_ || order_->empty() || broken(RingFault::kNone)) return false;
  ring_.unpop(order_->takeLast());
  return true;
}

int32_t OwnedQueue::addUsed(const UsedRecord* records, uint32_t count) {
  if (broken(RingFault::kNone)) return answer(0);
  uint32_t added = 0;
  for (; added < count; added++) {
    const auto head = static_cast<uint16_t>(records[added].head);
    if (records[added].head > UINT16_MAX || !ring_.inFlight(head)) break;
    ring_.addUsed(head, records[added].writtenBytes);
    order_->ended(head);
  }
  // Nothing may be called done on memory that was lost in between.
  if (ring_.unpublished() && !broken(RingFault::kNone)) ring_.publish();
  return answer(added);
}

bool OwnedQueue::move(std::shared_ptr<GuestMemory> memory) {
  return ring_.move(std::move(memory));
}

}  // namespace vhost
