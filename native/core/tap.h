// Taps: Ethernet interfaces of the host whose other end is a descriptor. Each read or write is one
// frame behind a virtio-net header. All calls answer a value or -errno.
#ifndef VHOST_CORE_TAP_H_
#define VHOST_CORE_TAP_H_

#include <cstdint>

namespace vhost {

// Creates the interface or takes an existing one; non-blocking. multiQueue: the descriptor is one
// queue of several. -EINVAL: exists and is no tap, or has not as many queues; -EBUSY: taken.
int tapOpen(const char* name, bool multiQueue, uint32_t headerBytes);
// Sets up a tap somebody else opened. -ENOTSUP: it was opened without virtio-net header.
int tapAdopt(int fd, uint32_t headerBytes);
// Whether the interface outlives its descriptors.
int tapSetPersistent(int fd, bool persistent);
// What the reader of the descriptor takes (TUN_F_*).
int tapSetOffload(int fd, uint32_t offload);
// A detached queue of a multi-queue tap gets no frames.
int tapSetQueue(int fd, bool attached);
// The interface's Ethernet address, of kTapAddressBytes.
constexpr uint32_t kTapAddressBytes = 6;
int tapAddress(int fd, uint8_t* address);
int tapSetAddress(int fd, const uint8_t* address);

}  // namespace vhost

#endif  // VHOST_CORE_TAP_H_
