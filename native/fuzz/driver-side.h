// Drivers that write into a guest's rings what the input says, legal or not.
#ifndef VHOST_FUZZ_DRIVER_SIDE_H_
#define VHOST_FUZZ_DRIVER_SIDE_H_

#include <cstdint>

#include "guest.h"
#include "input.h"
#include "ring-addresses.h"

namespace vhost::fuzz {

// What both kinds of rings have: their parts at the usual places of the first region, or anywhere.
class DriverSide {
 public:
  uint32_t size() const { return size_; }
  RingAddresses addresses(bool platform) const;
  // Writes anything into the rings.
  void scribble();

 protected:
  static constexpr uint64_t kAvailableOffset = 0x800;
  static constexpr uint64_t kUsedOffset = 0xa00;

  DriverSide() = default;
  DriverSide(Guest* guest, Input* input) : guest_(guest), input_(input) {}
  void misplace();

  Guest* guest_ = nullptr;
  Input* input_ = nullptr;
  uint32_t size_ = 0;
  RingAddresses offsets_{0, kAvailableOffset, kUsedOffset};
};

class SplitDriverSide : public DriverSide {
 public:
  static constexpr bool kPacked = false;

  SplitDriverSide() = default;
  // how: bits 4-6 size, bit 3 anything unusual.
  SplitDriverSide(Guest* guest, Input* input, uint8_t how);
  uint16_t base() const { return base_; }
  // A descriptor anywhere in the table.
  void describe();
  // One that is also made available, at the next place.
  void offer();

 private:
  void setAvailable(uint16_t index);

  uint16_t base_ = 0;
  uint16_t next_ = 0;
};

class PackedDriverSide : public DriverSide {
 public:
  static constexpr bool kPacked = true;

  PackedDriverSide() = default;
  PackedDriverSide(Guest* guest, Input* input, uint8_t how);
  uint32_t base() const { return base_; }
  // The driver's event suppression.
  void describe();
  // The next descriptor, available.
  void offer();

 private:
  uint32_t base_ = 0x80008000;
  uint32_t next_ = 0;
  bool wrap_ = true;
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_DRIVER_SIDE_H_
