// The driver's half of a packed virtqueue. It writes whatever it is told, legal or not.
#ifndef VHOST_TEST_PACKED_DRIVER_RING_H_
#define VHOST_TEST_PACKED_DRIVER_RING_H_

#include <cstdint>
#include <vector>

namespace vhost::test {

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;
constexpr uint16_t kAvail = 0x80;
constexpr uint16_t kUsed = 0x8000;

constexpr uint16_t kEventEnable = 0;
constexpr uint16_t kEventDisable = 1;
constexpr uint16_t kEventDesc = 2;

struct Used {
  uint32_t id;
  uint32_t length;
};

struct PackedDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};
static_assert(sizeof(PackedDescriptor) == 16);

class PackedDriverRing {
 public:
  // `at`: index and wrap counter where both sides begin.
  PackedDriverRing(uint8_t* ring, uint8_t* driverEvent, uint8_t* deviceEvent, uint32_t size,
                   uint16_t at, bool eventIdx);

  // A chain at the next entries, as it is but for AVAIL and USED; the first flags last.
  void offer(const std::vector<PackedDescriptor>& chain);
  bool takeUsed(Used* used);
  void askForCall();

  // Index and wrap counter as the event structures have them.
  uint16_t availWord() const { return word(avail_, availWrap_); }
  uint16_t usedWord() const { return word(used_, usedWrap_); }
  // AVAIL and USED of an entry that is available in the present round.
  uint16_t availableFlags() const { return availWrap_ ? kAvail : kUsed; }

  PackedDescriptor read(uint32_t index) const;
  void write(uint32_t index, const PackedDescriptor& descriptor) const;
  void writeFlags(uint32_t index, uint16_t flags) const;
  void setDriverEvent(uint16_t place, uint16_t flags) const;
  uint16_t deviceEventPlace() const;
  uint16_t deviceEventFlags() const;

 private:
  static uint16_t word(uint32_t index, bool wrap) {
    return static_cast<uint16_t>(index | (wrap ? 0x8000 : 0));
  }

  uint8_t* ring_;
  uint8_t* driverEvent_;
  uint8_t* deviceEvent_;
  uint32_t size_;
  bool eventIdx_;
  uint32_t avail_;
  bool availWrap_;
  uint32_t used_;
  bool usedWrap_;
  std::vector<uint32_t> lengths_;  // entries of the chain with that buffer id
};

}  // namespace vhost::test

#endif  // VHOST_TEST_PACKED_DRIVER_RING_H_
