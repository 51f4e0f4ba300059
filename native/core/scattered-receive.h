// One receive into several chains: each gets a prefix of the device's and its part of the bytes
// behind it. With buffers of a page, as Linux posts for vsock, a system call for each costs more
// than the copy.
#ifndef VHOST_CORE_SCATTERED_RECEIVE_H_
#define VHOST_CORE_SCATTERED_RECEIVE_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "descriptor-chain.h"

namespace vhost {

struct Prefix {
  static constexpr uint32_t kBytesMax = 64;

  const uint8_t* base;
  uint32_t bytes;     // kBytesMax at most
  uint32_t lengthAt;  // where each chain's copy says how long its part is, 32 bits
};

// One attempt on a socket, never blocking. Full chains first; those that got nothing are untouched.
// Bytes received or -errno, -EINVAL when a chain has no room behind its prefix. whole: -EMSGSIZE
// and nothing received when the chains can't take all of `bytes` in one call, which would cut a
// message short. *scratch is anybody's memory, kept to be used again.
int64_t receiveScattered(int fd, const std::vector<const DescriptorChain*>& chains, uint64_t bytes,
                         const Prefix& prefix, bool whole, std::vector<iovec>* scratch);

}  // namespace vhost

#endif  // VHOST_CORE_SCATTERED_RECEIVE_H_
