// The part of the data plane that forwards frames by flows (frame-flow.h), and shows TypeScript
// only what no flow speaks for.

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "data-plane.h"
#include "guest-access.h"
#include "request-record.h"

namespace vhost {
namespace {

constexpr double kNsPerMs = 1e6;
// A copy takes as long as a cache line takes to come, so a few are enough.
constexpr uint32_t kFramesAhead = 4;

}  // namespace

uint8_t* DataPlane::arenaTable(uint64_t offset, uint64_t bytes) const {
  if (offset % alignof(uint64_t) != 0 || offset > arena_.bytes || bytes > arena_.bytes - offset) {
    return nullptr;
  }
  return arena_.base + offset;
}

int DataPlane::keepChains(uint32_t queue, uint64_t shelf, double* counts) {
  uint8_t* table = arenaTable(shelf, sizeof(ChainShelf));
  if (queue >= kQueuesMax || table == nullptr) return -EINVAL;
  return frameQueues_[queue].keep(table, arena_.bytes - shelf, counts) ? 0 : -EINVAL;
}

int DataPlane::forwardFrames(uint32_t queue, uint64_t flows, double* counts) {
  uint8_t* table = arenaTable(flows, kFlowsPerQueue * sizeof(FrameFlow));
  if (queue >= kQueuesMax || table == nullptr) return -EINVAL;
  frameQueues_[queue].forward(reinterpret_cast<FrameFlow*>(table), counts);
  return 0;
}

void DataPlane::keepPopped(uint32_t queue, const uint16_t* heads, uint32_t count) {
  FrameQueue& kept = frameQueues_[queue];
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t room = vrings_[queue]->ring.chain(heads[i]).writableBytes;
    const uint32_t chain = chainToken(queue, heads[i]);
    // Full: the queue is larger than it was said to be.
    if (room < kept.bytesMin() || kept.full()) {
      complete(chain, 0, 0, 0, 0);
      forwarded_ = true;
    } else {
      kept.put(chain, room);
    }
  }
}

// Frames stay in order: what comes behind one that TypeScript decides waits for the decision.
uint32_t DataPlane::forwardPopped(uint32_t queue, const uint16_t* heads, uint32_t count) {
  // A full table of commands may be the first of several: frames before these are still to move.
  if (count == 0 || commandsFull_) return 0;
  const double nowMs = static_cast<double>(monotonicNs()) / kNsPerMs;
  uint32_t done = 0;
  while (done < count && forward(queue, heads[done], nowMs)) done++;
  forwarded_ |= done > 0;
  return done;
}

bool DataPlane::forward(uint32_t queue, uint16_t head, double nowMs) {
  const DescriptorChain& chain = vrings_[queue]->ring.chain(head);
  const FrameFlow* flow = frameQueues_[queue].find(chain, nowMs);
  if (flow == nullptr || flow->target >= kQueuesMax) return false;
  FrameQueue& to = frameQueues_[flow->target];
  if (!to.keeps()) return false;
  const uint32_t prefixBytes = std::min(flow->prefixBytes, kFrontBytes);
  const uint32_t skipped = std::min(flow->skippedBytes, chain.readableBytes);
  const uint64_t total = uint64_t{prefixBytes} + chain.readableBytes - skipped;
  if (to.empty()) refill(flow->target);
  if (to.empty()) {
    to.countNoRoom();
  } else if (to.room() < total) {
    return false;
  } else {
    prefetchRoom(to.ahead(kFramesAhead));
    const iovec prefix = {const_cast<uint8_t*>(flow->prefix), prefixBytes};
    copyInto(to.take(), prefix, &chain, skipped, chain.readableBytes - skipped);
    to.count(static_cast<uint32_t>(total) - std::min(prefixBytes, kFrameHeaderBytes));
  }
  frameQueues_[queue].count(chain.readableBytes - std::min(chain.readableBytes, kFrameHeaderBytes));
  used(vrings_[queue].get(), chainToken(queue, head), 0);
  return true;
}

// The driver had the buffer last, perhaps on another CPU.
void DataPlane::prefetchRoom(uint32_t chain) const {
  const DescriptorChain* target = chainOf(chain);
  if (target == nullptr || target->writableBytes == 0) return;
  const auto* at = static_cast<const uint8_t*>(target->segments[target->readableSegments].iov_base);
  prefetchForWrite(at);
  // A small frame with its header is two lines.
  prefetchForWrite(at + kCacheLineBytes);
}

// Chains the driver has posted since its ring was looked at last.
void DataPlane::refill(uint32_t queue) {
  Vring* owner = vring(queue);
  if (owner == nullptr || !owner->popping() || owner->draining || held(queue)) return;
  popVring(queue, owner);
}

}  // namespace vhost
