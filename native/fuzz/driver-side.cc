#include "driver-side.h"

#include <utility>

#include "chain-builder.h"

namespace vhost::fuzz {
namespace {

constexpr uint64_t kDescriptorBytes = 16;
constexpr uint16_t kAvail = 0x80;
constexpr uint16_t kUsed = 0x8000;

}  // namespace

RingAddresses DriverSide::addresses(bool platform) const {
  const uint64_t start = platform ? Guest::kLowAddress : Guest::kUserAddress;
  return {start + offsets_.descriptor, start + offsets_.available, start + offsets_.used};
}

void DriverSide::scribble() {
  const uint64_t offset = input_->word() % (Guest::kHeapOffset - sizeof(uint64_t));
  const uint64_t value = input_->qword();
  guest_->write(offset, &value, sizeof value);
}

void DriverSide::misplace() {
  const uint8_t which = input_->byte();
  if (which & 1) offsets_.descriptor = input_->word();
  if (which & 2) offsets_.available = input_->word();
  if (which & 4) offsets_.used = input_->word();
  if (which & 8) size_ = input_->byte();
  // Rarely, and bytes of ones are frequent: a ring of that size takes a hundred times as long to
  // make.
  if (which == UINT8_MAX && input_->word() == 0xfefe) size_ = kRingSizeMax + input_->below(2);
}

SplitDriverSide::SplitDriverSide(Guest* guest, Input* input, uint8_t how)
    : DriverSide(guest, input) {
  size_ = uint32_t{1} << (how >> 4 & 7);
  if (how & 8) {
    base_ = input->word();
    misplace();
  }
  next_ = base_;
  setAvailable(next_);
  guest->write(kUsedOffset + 2, &next_, sizeof next_);
}

void SplitDriverSide::describe() {
  const uint64_t slot = input_->byte() % 128;
  const FuzzDescriptor made = Guest::descriptor(input_);
  guest_->write(slot * kDescriptorBytes, &made, sizeof made);
}

void SplitDriverSide::offer() {
  uint16_t head = input_->byte();
  if (head == UINT8_MAX) head = input_->word();
  const FuzzDescriptor made = Guest::descriptor(input_);
  guest_->write(head % 128 * kDescriptorBytes, &made, sizeof made);
  if (size_ == 0 || size_ > 128) return;
  guest_->write(kAvailableOffset + 4 + next_ % size_ * 2, &head, sizeof head);
  setAvailable(static_cast<uint16_t>(next_ + 1));
}

void SplitDriverSide::setAvailable(uint16_t index) {
  next_ = index;
  guest_->write(kAvailableOffset + 2, &index, sizeof index);
}

PackedDriverSide::PackedDriverSide(Guest* guest, Input* input, uint8_t how)
    : DriverSide(guest, input) {
  // No powers of two.
  size_ = 1 + (how >> 4 & 7) * (how >> 4 & 7);
  if (how & 8) {
    base_ = input->dword();
    misplace();
  }
  next_ = base_ & 0x7fff;
  wrap_ = (base_ & 0x8000) != 0;
}

void PackedDriverSide::describe() {
  const uint32_t event = input_->dword();
  guest_->write(kAvailableOffset, &event, sizeof event);
}

void PackedDriverSide::offer() {
  FuzzDescriptor made = Guest::descriptor(input_);
  made.flags |= wrap_ ? kAvail : kUsed;
  std::swap(made.flags, made.next);  // here the id comes first
  guest_->write(next_ % 128 * kDescriptorBytes, &made, sizeof made);
  if (++next_ < size_) return;
  next_ = 0;
  wrap_ = !wrap_;
}

}  // namespace vhost::fuzz
