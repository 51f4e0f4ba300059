// A virtqueue of either kind. Forwarded by a branch that always goes the same way for a ring, so
// that it is predicted and inlined; a virtual call would be neither.
#ifndef VHOST_CORE_VIRTQUEUE_H_
#define VHOST_CORE_VIRTQUEUE_H_

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "in-order-gate.h"
#include "packed-ring.h"
#include "split-ring.h"

namespace vhost {

struct VirtqueueStart {
  bool packed;
  uint32_t size;
  RingAddresses addresses;
  uint32_t base;  // as SET_VRING_BASE has it for this kind
  bool eventIdx;
  Addressing addressing = {};
  bool inOrder = false;
  bool readOnly = false;  // the device only reads: ChainBuilder::setReadOnly
};

// What one queue may hold in flight: beyond it the driver waits (RG-026, BK-027).
constexpr uint64_t kSegmentsInFlightMax = 65536;
constexpr uint64_t kBytesInFlightMax = uint64_t{256} << 20;

class Virtqueue {
  // Before its uses, because they return what it deduces.
  // By hand, not std::visit, which calls through a table when optimisation is low.
  template <typename Visit>
  decltype(auto) on(Visit visit) {
    if (auto* split = std::get_if<SplitRing>(&ring_)) return visit(*split);
    return visit(*std::get_if<PackedRing>(&ring_));
  }
  template <typename Visit>
  decltype(auto) on(Visit visit) const {
    if (const auto* split = std::get_if<SplitRing>(&ring_)) return visit(*split);
    return visit(*std::get_if<PackedRing>(&ring_));
  }

 public:
  // 0, -EINVAL (size, alignment, base) or -EFAULT (a part outside memory). The log is here because
  // a start writes into the ring already.
  int start(std::shared_ptr<GuestMemory> memory, const VirtqueueStart& with, RingLog log = {}) {
    gate_.reset();
    if (with.inOrder && with.size <= kRingSizeMax) gate_.emplace(with.size);
    if (with.packed) {
      auto& packed = ring_.emplace<PackedRing>();
      packed.setLog(std::move(log));
      packed.setReadOnly(with.readOnly);
      return packed.start(std::move(memory), with.size, with.addresses, with.base, with.eventIdx,
                          with.addressing);
    }
    // vhost-user: SET_VRING_BASE, bits 16-31 are zero for a split ring.
    if (with.base > UINT16_MAX) return -EINVAL;
    auto& split = ring_.emplace<SplitRing>();
    split.setLog(std::move(log));
    split.setReadOnly(with.readOnly);
    return split.start(std::move(memory), with.size, with.addresses,
                       static_cast<uint16_t>(with.base), with.eventIdx, with.addressing);
  }
  // As the ring's: 16 bits each, the packed ring's with their wrap counters.
  int seek(uint16_t nextAvail, uint16_t nextUsed) {
    return on([&](auto& ring) { return ring.seek(nextAvail, nextUsed); });
  }
  // As SplitRing::track.
  int track(std::shared_ptr<InflightArea> area, uint32_t queue) {
    return on([&](auto& ring) { return ring.track(std::move(area), queue); });
  }
  bool move(std::shared_ptr<GuestMemory> memory) {
    return on([&](auto& ring) { return ring.move(std::move(memory)); });
  }

  // As SplitRing.
  bool mapped() const {
    return on([](const auto& ring) { return ring.mapped(); });
  }
  RingFault map() {
    return on([](auto& ring) { return ring.map(); });
  }
  void unmap() {
    on([](auto& ring) { ring.unmap(); });
  }
  bool overlaps(const IoRange& range) const {
    return on([&](const auto& ring) { return ring.overlaps(range); });
  }
  AddressSpace& space() {
    return on([](auto& ring) -> AddressSpace& { return ring.space(); });
  }

  // A packed ring goes on counting while it has seen less than lookAhead.
  RingFault available(uint32_t* count, uint32_t lookAhead = kLookAheadChains) {
    if (auto* packed = std::get_if<PackedRing>(&ring_)) return packed->available(count, lookAhead);
    return std::get_if<SplitRing>(&ring_)->available(count);
  }
  RingFault pop(uint16_t* head) {
    const RingFault fault = on([&](auto& ring) { return ring.pop(head); });
    if (gate_ && fault == RingFault::kNone) gate_->popped(*head);
    return fault;
  }

  // Pops up to `max` chains, short of the caps, and calls each(head, chain). For many chains in a
  // row: the kind of ring is asked for once.
  template <typename Each>
  RingFault popEach(uint32_t max, Each each) {
    return on([&](auto& ring) {
      for (uint32_t i = 0; i < max && !isCapped(ring); i++) {
        uint16_t head = 0;
        const RingFault fault = ring.pop(&head);
        if (fault != RingFault::kNone) return fault;
        if (gate_) gate_->popped(head);
        each(head, ring.chain(head));
      }
      return RingFault::kNone;
    });
  }

  DescriptorChain& chain(uint16_t head) {
    return on([&](auto& ring) -> DescriptorChain& { return ring.chain(head); });
  }
  // Not one that has ended and only waits for its turn.
  bool inFlight(uint16_t head) const {
    return on([&](const auto& ring) { return ring.inFlight(head); }) &&
           !(gate_ && gate_->holds(head));
  }
  uint32_t inFlightCount() const {
    return on([](const auto& ring) { return ring.inFlightCount(); });
  }
  // Requests of a former back-end that are not popped yet.
  uint32_t leftoverCount() const {
    return on([](const auto& ring) { return ring.leftoverCount(); });
  }
  uint32_t outstanding() const {
    return on([](const auto& ring) { return ring.outstanding(); });
  }
  uint64_t inFlightSegments() const {
    return on([](const auto& ring) { return ring.inFlightSegments(); });
  }
  uint64_t inFlightBytes() const {
    return on([](const auto& ring) { return ring.inFlightBytes(); });
  }
  // Nothing more is popped before something goes back.
  bool capped() const {
    return on([](const auto& ring) { return isCapped(ring); });
  }

  void addUsed(uint16_t head, uint32_t writtenBytes) {
    if (gate_) return end(head, writtenBytes, InOrderGate::End::kUsed);
    on([&](auto& ring) { ring.addUsed(head, writtenBytes); });
  }
  // Forgets a request without telling the driver: in the inflight area it stays in flight.
  void abandon(uint16_t head) {
    if (gate_) return end(head, 0, InOrderGate::End::kAbandoned);
    on([&](auto& ring) { ring.abandon(head); });
  }
  // With a gate only the newest chain goes back into the ring. Another would take with it those
  // that have ended behind it and wait: it goes back to the driver unused instead.
  void unpop(uint16_t head) {
    if (gate_ && !gate_->isNewest(head)) return end(head, 0, InOrderGate::End::kUsed);
    if (gate_) gate_->unpopped();
    on([&](auto& ring) { ring.unpop(head); });
  }
  bool unpublished() const {
    return on([](const auto& ring) { return ring.unpublished(); });
  }
  void publish() {
    on([](auto& ring) { ring.publish(); });
  }
  bool needsCall() {
    return on([](auto& ring) { return ring.needsCall(); });
  }
  bool enableNotification() {
    return on([](auto& ring) { return ring.enableNotification(); });
  }
  void disableNotification() {
    on([](auto& ring) { ring.disableNotification(); });
  }

  void setLog(RingLog log) {
    on([&](auto& ring) { ring.setLog(std::move(log)); });
  }
  bool logging() const {
    return on([](const auto& ring) { return ring.logging(); });
  }
  // For a ring that ends with chains in flight: they may be written, and will never be used.
  void logInFlight() const {
    on([](const auto& ring) { ring.logInFlight(); });
  }

  bool poisoned() const {
    return on([](const auto& ring) { return ring.poisoned(); });
  }
  const std::shared_ptr<GuestMemory>& memory() const {
    return on([](const auto& ring) -> const auto& { return ring.memory(); });
  }
  uint32_t size() const {
    return on([](const auto& ring) { return ring.size(); });
  }
  // What start() takes to go on here.
  uint32_t base() const {
    if (const auto* split = std::get_if<SplitRing>(&ring_)) return split->nextAvail();
    return std::get_if<PackedRing>(&ring_)->base();
  }
  uint16_t nextAvail() const {
    return on([](const auto& ring) { return ring.nextAvail(); });
  }
  uint16_t nextUsed() const {
    return on([](const auto& ring) { return ring.nextUsed(); });
  }
  uint16_t availIndex() const {
    return on([](const auto& ring) { return ring.availIndex(); });
  }
  uint16_t usedIndex() const {
    return on([](const auto& ring) { return ring.usedIndex(); });
  }

 private:
  template <typename Ring>
  static bool isCapped(const Ring& ring) {
    return ring.inFlightSegments() >= kSegmentsInFlightMax ||
           ring.inFlightBytes() >= kBytesInFlightMax;
  }

  void end(uint16_t head, uint32_t writtenBytes, InOrderGate::End how) {
    gate_->end(head, writtenBytes, how);
    on([&](auto& ring) {
      gate_->release([&](uint16_t first, uint32_t bytes) { ring.addUsed(first, bytes); },
                     [&](uint16_t first) { ring.abandon(first); });
    });
  }

  std::optional<InOrderGate> gate_;
  std::variant<SplitRing, PackedRing> ring_;
};

}  // namespace vhost

#endif  // VHOST_CORE_VIRTQUEUE_H_
