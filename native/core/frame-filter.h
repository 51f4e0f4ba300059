// Which frames a driver wants (VIRTIO 1.3 §5.1.6.5.1 to §5.1.6.5.3): a table that whoever serves
// the control queue fills, and the one place that reads it for a frame.
#ifndef VHOST_CORE_FRAME_FILTER_H_
#define VHOST_CORE_FRAME_FILTER_H_

#include <cstddef>
#include <cstdint>

namespace vhost {

// The start of a frame that tells whom it is for: two addresses and a VLAN tag.
constexpr size_t kFrameFilterBytes = 18;

// FrameFilter::flags.
constexpr uint32_t kFilterPromiscuous = 1;  // everything passes, VLANs too
constexpr uint32_t kFilterAllMulticast = 2;
constexpr uint32_t kFilterAllUnicast = 4;
constexpr uint32_t kFilterNoMulticast = 8;
constexpr uint32_t kFilterNoUnicast = 16;
constexpr uint32_t kFilterNoBroadcast = 32;
constexpr uint32_t kFilterVlans = 64;  // a tagged frame passes only if its VLAN is in `vlans`

// As many of either kind as QEMU keeps; a driver with more gets all of that kind. And one of its
// own.
constexpr uint32_t kFilterAddressesMax = 64 + 64 + 1;
constexpr uint32_t kVlans = 4096;

struct FrameFilter {
  uint32_t flags;
  uint32_t addressCount;
  uint64_t addresses[kFilterAddressesMax];  // the first byte is the lowest; unicast and multicast
  uint32_t vlans[kVlans / 32];              // a bit for each VLAN id

  // bytes: how much of the frame there is, kFrameFilterBytes at most are looked at.
  bool passes(const uint8_t* frame, size_t bytes) const;
};

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_FILTER_H_
