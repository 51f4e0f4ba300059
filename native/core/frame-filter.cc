#include "frame-filter.h"

#include <algorithm>

namespace vhost {
namespace {

constexpr size_t kAddressBytes = 6;
constexpr uint64_t kBroadcast = 0xffffffffffff;
constexpr size_t kTypeOffset = 12;
// IEEE 802.1Q: the type that says a tag follows, and where its VLAN id is.
constexpr uint16_t kTagType = 0x8100;
constexpr uint16_t kVlanMask = 0x0fff;

uint64_t addressAt(const uint8_t* frame) {
  uint64_t address = 0;
  for (size_t i = kAddressBytes; i-- > 0;) address = address << 8 | frame[i];
  return address;
}

uint16_t bigEndianAt(const uint8_t* frame, size_t offset) {
  return static_cast<uint16_t>(frame[offset] << 8 | frame[offset + 1]);
}

// 0 for a frame of no VLAN, and for one that has a priority only (IEEE 802.1Q).
uint16_t vlanOf(const uint8_t* frame, size_t bytes) {
  if (bytes < kFrameFilterBytes || bigEndianAt(frame, kTypeOffset) != kTagType) return 0;
  return bigEndianAt(frame, kTypeOffset + 2) & kVlanMask;
}

}  // namespace

bool FrameFilter::passes(const uint8_t* frame, size_t bytes) const {
  if (flags & kFilterPromiscuous) return true;
  if (bytes < kAddressBytes) return false;
  if (flags & kFilterVlans) {
    const uint16_t vlan = vlanOf(frame, bytes);
    if (vlan != 0 && !(vlans[vlan / 32] >> vlan % 32 & 1)) return false;
  }
  const uint64_t to = addressAt(frame);
  if (to == kBroadcast) return !(flags & kFilterNoBroadcast);
  const bool group = (to & 1) != 0;
  if (flags & (group ? kFilterNoMulticast : kFilterNoUnicast)) return false;
  if (flags & (group ? kFilterAllMulticast : kFilterAllUnicast)) return true;
  const uint64_t* end = addresses + std::min(addressCount, kFilterAddressesMax);
  return std::find(addresses, end, to) != end;
}

}  // namespace vhost
