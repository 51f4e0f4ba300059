#include "frame-flow.h"

#include <cstring>

namespace vhost {
namespace {

// A private copy: the driver can't change what was judged.
void readFront(const DescriptorChain& chain, uint64_t* front) {
  if (chain.readableSegments > 0 && chain.segments[0].iov_len >= kFrontBytes) {
    std::memcpy(front, chain.segments[0].iov_base, kFrontBytes);
    return;
  }
  std::memset(front, 0, kFrontBytes);
  chain.copyOut(0, front, kFrontBytes);
}

}  // namespace

bool FrameQueue::keep(uint8_t* table, uint64_t bytes, double* counts) {
  if (bytes < sizeof(ChainShelf)) return false;
  auto* shelf = reinterpret_cast<ChainShelf*>(table);
  const uint64_t places = uint64_t{shelf->mask} + 1;
  if ((places & shelf->mask) != 0) return false;
  if (bytes < sizeof(ChainShelf) + 2 * places * sizeof(uint32_t)) return false;
  shelf_ = shelf;
  mask_ = shelf->mask;
  chains_ = reinterpret_cast<uint32_t*>(table + sizeof(ChainShelf));
  rooms_ = chains_ + places;
  counts_ = counts;
  return true;
}

void FrameQueue::forward(FrameFlow* flows, double* counts) {
  flows_ = flows;
  counts_ = counts;
}

const FrameFlow* FrameQueue::find(const DescriptorChain& chain, double nowMs) {
  uint64_t front[kFrontWords];
  readFront(chain, front);
  for (uint32_t i = 0; i < kFlowsPerQueue; i++) {
    const uint32_t at = (last_ + i) % kFlowsPerQueue;
    const FrameFlow& flow = flows_[at];
    if (!flow.speaksFor(front, chain.readableBytes) || !(nowMs < flow.untilMs)) continue;
    last_ = at;
    return &flow;
  }
  return nullptr;
}

}  // namespace vhost
