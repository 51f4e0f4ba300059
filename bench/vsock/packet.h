// A virtio-vsock packet as it lies in guest memory (VIRTIO 1.3 §5.10.6).
#pragma once

#include <cstdint>

namespace bench {

constexpr uint64_t kHostCid = 2;
constexpr uint16_t kStream = 1;

enum class Op : uint16_t {
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};
constexpr uint32_t kShutdownBoth = 3;

struct __attribute__((packed)) PacketHeader {
  uint64_t source_cid;
  uint64_t destination_cid;
  uint32_t source_port;
  uint32_t destination_port;
  uint32_t length_bytes;
  uint16_t type;
  Op op;
  uint32_t flags;
  uint32_t buffer_bytes;
  uint32_t forwarded_bytes;
};
static_assert(sizeof(PacketHeader) == 44);

// The largest payload Linux sends in one packet.
constexpr uint32_t kPayloadBytesMax = 65536;

}  // namespace bench
