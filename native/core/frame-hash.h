// The hash of a frame by its addresses and ports, and the receive queue it stands for (VIRTIO 1.3
// §5.1.6.4.3): Toeplitz over what the driver chose, with the driver's key.
#ifndef VHOST_CORE_FRAME_HASH_H_
#define VHOST_CORE_FRAME_HASH_H_

#include <cstddef>
#include <cstdint>

namespace vhost {

// FrameHash::types, as in VIRTIO 1.3 §5.1.6.4.3.1.
constexpr uint32_t kHashIpv4 = 1;
constexpr uint32_t kHashTcp4 = 2;
constexpr uint32_t kHashUdp4 = 4;
constexpr uint32_t kHashIpv6 = 8;
constexpr uint32_t kHashTcp6 = 16;
constexpr uint32_t kHashUdp6 = 32;
// The same for frames with extension headers, by the home address and the final destination.
constexpr uint32_t kHashIpv6Ex = 64;
constexpr uint32_t kHashTcp6Ex = 128;
constexpr uint32_t kHashUdp6Ex = 256;

// As much of a frame as is looked at: link header with two tags, IPv6, a few extension headers.
constexpr size_t kHashedFrameBytes = 192;
// Two addresses of IPv6, two ports, and the window of 32 bits behind them.
constexpr size_t kHashInputBytes = 36;
constexpr size_t kHashKeyBytes = kHashInputBytes + 4;
constexpr size_t kHashQueuesMax = 128;

struct HashedFrame {
  uint32_t value = 0;
  uint32_t report = 0;  // how it was found (VIRTIO_NET_HASH_REPORT_*); 0: it has none
};

// In private memory that TypeScript fills, the windows apart.
struct FrameHash {
  uint32_t types;
  uint32_t mask;          // of `queues`, entries less one
  uint32_t unclassified;  // the queue of frames without hash
  uint16_t queues[kHashQueuesMax];
  uint8_t key[kHashKeyBytes];
  // What each half byte of the input adds to the hash: a loop over bits takes 100 ns for IPv4 and
  // 290 for IPv6.
  uint32_t windows[2 * kHashInputBytes][16];

  // Makes `windows` out of `key`.
  void prepare();

  // bytes: how much of the frame there is, kHashedFrameBytes at most are looked at.
  HashedFrame hash(const uint8_t* frame, size_t bytes) const;
  uint32_t queueOf(const HashedFrame& hashed) const;

 private:
  uint32_t toeplitz(const uint8_t* input, size_t bytes) const;
};
static_assert(sizeof(FrameHash) == 12 + 2 * kHashQueuesMax + kHashKeyBytes + 128 * kHashInputBytes);

}  // namespace vhost

#endif  // VHOST_CORE_FRAME_HASH_H_
