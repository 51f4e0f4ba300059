// A virtqueue of either kind. Forwarded by a branch that always goes the same way for a ring, so
// that it is predicted and inlined; a virtual call would be neither.
#ifndef VHOST_CORE_VIRTQUEUE_H_
#define VHOST_CORE_VIRTQUEUE_H_

#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>
#include <variant>

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
};

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
    if (with.packed) {
      auto& packed = ring_.emplace<PackedRing>();
      packed.setLog(std::move(log));
      return packed.start(std::move(memory), with.size, with.addresses, with.base, with.eventIdx,
                          with.addressing);
    }
    // vhost-user: SET_VRING_BASE, bits 16-31 are zero for a split ring.
    if (with.base > UINT16_MAX) return -EINVAL;
    auto& split = ring_.emplace<SplitRing>();
    split.setLog(std::move(log));
    return split.start(std::move(memory), with.size, with.addresses,
                       static_cast<uint16_t>(with.base), with.eventIdx, with.addressing);
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

  RingFault available(uint32_t* count) {
    return on([&](auto& ring) { return ring.available(count); });
  }
  RingFault pop(uint16_t* head) {
    return on([&](auto& ring) { return ring.pop(head); });
  }

  DescriptorChain& chain(uint16_t head) {
    return on([&](auto& ring) -> DescriptorChain& { return ring.chain(head); });
  }
  bool inFlight(uint16_t head) const {
    return on([&](const auto& ring) { return ring.inFlight(head); });
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

  void addUsed(uint16_t head, uint32_t writtenBytes) {
    on([&](auto& ring) { ring.addUsed(head, writtenBytes); });
  }
  // Forgets a request without telling the driver: in the inflight area it stays in flight.
  void abandon(uint16_t head) {
    on([&](auto& ring) { ring.abandon(head); });
  }
  void unpop(uint16_t head) {
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

 private:
  std::variant<SplitRing, PackedRing> ring_;
};

}  // namespace vhost

#endif  // VHOST_CORE_VIRTQUEUE_H_
