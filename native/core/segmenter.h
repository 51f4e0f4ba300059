// What a network card's hardware would do with a frame whose checksum or segmentation was left to
// it (VIRTIO 1.3 §5.1.6.2), for ends that take plain frames only.
#ifndef VHOST_CORE_SEGMENTER_H_
#define VHOST_CORE_SEGMENTER_H_

#include <cstddef>
#include <cstdint>

namespace vhost {

// Fields of struct virtio_net_hdr.
struct FrameOffload {
  static constexpr uint8_t kNeedsChecksum = 1;
  static constexpr uint8_t kTcpV4 = 1;
  static constexpr uint8_t kTcpV6 = 4;
  static constexpr uint8_t kUdpL4 = 5;
  static constexpr uint8_t kEcn = 0x80;  // beside a TCP type

  uint8_t flags;
  uint8_t gsoType;
  uint16_t gsoBytes;  // of payload in each segment
  uint16_t checksumStart;
  uint16_t checksumOffset;
};

// Cuts one frame into complete ones. Nothing of the frame is trusted: its own headers say where it
// is cut, and the driver's header must agree with them.
class Segmenter {
 public:
  // `frame`: private memory, which must stay as it is until the last segment. False: the headers
  // make no sense, or ask for what nobody does (UDP fragments).
  bool begin(const FrameOffload& offload, const uint8_t* frame, size_t bytes);

  // How many segments, and their bytes in all.
  size_t count() const;
  size_t totalBytes() const;
  size_t nextBytes() const;

  // Writes the next segment of nextBytes(), checksums and all; 0: there is none left.
  size_t next(uint8_t* to);

 private:
  bool findTransport();
  bool findIpv6Transport();
  void finishIp(uint8_t* segment, size_t bytes) const;
  void finishTransport(uint8_t* segment, size_t bytes) const;

  FrameOffload offload_ = {};
  const uint8_t* frame_ = nullptr;
  size_t bytes_ = 0;
  size_t ip_ = 0;         // offset of the IP header
  size_t transport_ = 0;  // of the TCP or UDP header
  size_t payload_ = 0;    // of what is cut into pieces
  uint8_t protocol_ = 0;
  bool ipv6_ = false;
  size_t index_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_SEGMENTER_H_
