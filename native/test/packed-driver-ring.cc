#include "packed-driver-ring.h"

#include <cstring>

namespace vhost::test {
namespace {

uint16_t load(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(at), __ATOMIC_SEQ_CST);
}

void store(uint8_t* at, uint16_t value) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), value, __ATOMIC_SEQ_CST);
}

}  // namespace

PackedDriverRing::PackedDriverRing(uint8_t* ring, uint8_t* driverEvent, uint8_t* deviceEvent,
                                   uint32_t size, uint16_t at, bool eventIdx)
    : ring_(ring),
      driverEvent_(driverEvent),
      deviceEvent_(deviceEvent),
      size_(size),
      eventIdx_(eventIdx),
      avail_(at & 0x7fff),
      availWrap_(at >> 15),
      used_(avail_),
      usedWrap_(availWrap_),
      lengths_(65536) {
  // As after a round: entries behind this place were used in this one, those from it on in the
  // one before. Zeroes mean the same for a ring that begins.
  for (uint32_t i = 0; i < size; i++) {
    writeFlags(i, (i < avail_) == availWrap_ ? kAvail | kUsed : 0);
  }
  askForCall();
}

void PackedDriverRing::offer(const std::vector<PackedDescriptor>& chain) {
  const uint32_t first = avail_;
  uint16_t firstFlags = 0;
  for (const PackedDescriptor& descriptor : chain) {
    PackedDescriptor to = descriptor;
    to.flags |= availableFlags();
    if (&descriptor == &chain.front()) {
      firstFlags = to.flags;
      to.flags = read(avail_).flags;
    }
    write(avail_, to);
    if (++avail_ == size_) {
      avail_ = 0;
      availWrap_ = !availWrap_;
    }
  }
  lengths_[chain.back().id] = static_cast<uint32_t>(chain.size());
  writeFlags(first, firstFlags);
}

bool PackedDriverRing::takeUsed(Used* used) {
  const uint16_t flags = load(ring_ + used_ * 16 + 14);
  const bool isUsed = (flags & kUsed) != 0;
  if (isUsed != usedWrap_ || ((flags & kAvail) != 0) != isUsed) return false;
  const PackedDescriptor from = read(used_);
  *used = {from.id, from.length};
  used_ += lengths_[from.id];
  if (used_ >= size_) {
    used_ -= size_;
    usedWrap_ = !usedWrap_;
  }
  return true;
}

void PackedDriverRing::askForCall() {
  setDriverEvent(usedWord(), eventIdx_ ? kEventDesc : kEventEnable);
}

PackedDescriptor PackedDriverRing::read(uint32_t index) const {
  PackedDescriptor found{};
  std::memcpy(&found, ring_ + index * 16, sizeof found);
  return found;
}

void PackedDriverRing::write(uint32_t index, const PackedDescriptor& descriptor) const {
  std::memcpy(ring_ + index * 16, &descriptor, 14);
  writeFlags(index, descriptor.flags);
}

void PackedDriverRing::writeFlags(uint32_t index, uint16_t flags) const {
  store(ring_ + index * 16 + 14, flags);
}

void PackedDriverRing::setDriverEvent(uint16_t place, uint16_t flags) const {
  store(driverEvent_, place);
  store(driverEvent_ + 2, flags);
}

uint16_t PackedDriverRing::deviceEventPlace() const {
  return load(deviceEvent_);
}

uint16_t PackedDriverRing::deviceEventFlags() const {
  return load(deviceEvent_ + 2);
}

}  // namespace vhost::test
