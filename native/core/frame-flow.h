// Frames between the queues of a data plane by decisions that hold for more than one of them: a
// flow says where frames with a certain front go and what they get in front instead. TypeScript
// writes flows and takes them back; a frame no flow speaks for is its to decide. All of it lies in
// the arena, which only this thread touches: what one side has written, the other sees.
// src/native/exchange.ts holds the same layout; a test compares the two.
#ifndef VHOST_CORE_FRAME_FLOW_H_
#define VHOST_CORE_FRAME_FLOW_H_

#include <cstdint>

#include "descriptor-chain.h"

namespace vhost {

// struct virtio_net_hdr (12 bytes), addresses, tag and type (18).
constexpr uint32_t kFrontWords = 4;
constexpr uint32_t kFrontBytes = kFrontWords * sizeof(uint64_t);

struct FrameFlow {
  uint64_t front[kFrontWords];  // of the readable part, zeroes behind its end
  uint64_t mask[kFrontWords];   // the bits of it that matter
  uint8_t prefix[kFrontBytes];  // what the receiver gets in place of the first `skippedBytes`
  double untilMs;               // of CLOCK_MONOTONIC; 0: there is no such flow
  uint32_t prefixBytes;
  uint32_t skippedBytes;
  uint32_t readableMin;  // bytes of the readable part, else the flow does not speak for it
  uint32_t readableMax;
  uint32_t target;  // queue whose chains are kept
  uint32_t reserved;

  bool speaksFor(const uint64_t* of, uint32_t readableBytes) const {
    uint64_t differs = 0;
    for (uint32_t i = 0; i < kFrontWords; i++) differs |= (of[i] ^ front[i]) & mask[i];
    return differs == 0 && readableBytes >= readableMin && readableBytes <= readableMax;
  }
};
static_assert(sizeof(FrameFlow) == 128);

// A guest that talks to many peers at a time has more; those take turns.
constexpr uint32_t kFlowsPerQueue = 8;

// Chains of a queue that wait for frames, in the order they came, where either side takes them.
// Behind it `mask + 1` chain numbers, then as many lengths in bytes.
struct ChainShelf {
  uint32_t taken;  // so far; the place is this and the mask
  uint32_t put;
  uint32_t mask;
  uint32_t bytesMin;  // a shorter chain goes back unused
};
static_assert(sizeof(ChainShelf) == 16);

// Of a queue, in doubles: frames, their bytes without virtio header, and frames there was no chain
// for (src/devices/net/counters.ts).
constexpr uint32_t kCountFrames = 0;
constexpr uint32_t kCountBytes = 1;
constexpr uint32_t kCountNoRoom = 6;
constexpr uint32_t kCountsMin = kCountNoRoom + 1;

// What a data plane knows of one queue's part in it. Nothing of the tables that decides where
// memory is touched is read twice.
class FrameQueue {
 public:
  bool keeps() const { return shelf_ != nullptr; }
  bool forwards() const { return flows_ != nullptr; }
  // The table begins with a ChainShelf whose mask is set; false: it does not hold what that says.
  bool keep(uint8_t* table, uint64_t bytes, double* counts);
  // kFlowsPerQueue flows.
  void forward(FrameFlow* flows, double* counts);

  bool empty() const { return shelf_->taken == shelf_->put; }
  bool full() const { return shelf_->put - shelf_->taken > mask_; }
  uint32_t bytesMin() const { return shelf_->bytesMin; }
  void put(uint32_t chain, uint32_t room) {
    const uint32_t at = shelf_->put++ & mask_;
    chains_[at] = chain;
    rooms_[at] = room;
  }
  uint32_t room() const { return rooms_[shelf_->taken & mask_]; }
  uint32_t take() { return chains_[shelf_->taken++ & mask_]; }
  // The chain behind so many others, or whatever has been in its place.
  uint32_t ahead(uint32_t count) const { return chains_[(shelf_->taken + count) & mask_]; }

  // The flow that speaks for a chain; nullptr: none does now.
  const FrameFlow* find(const DescriptorChain& chain, double nowMs);

  void count(uint32_t bytes) {
    counts_[kCountFrames]++;
    counts_[kCountBytes] += bytes;
  }
  void countNoRoom() { counts_[kCountNoRoom]++; }

 private:
  ChainShelf* shelf_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t* chains_ = nullptr;
  uint32_t* rooms_ = nullptr;
  FrameFlow* flows_ = nullptr;
  uint32_t last_ = 0;  // flow: the next frame is most likely of the same
  double* counts_ = nullptr;
};

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_FLOW_H_
