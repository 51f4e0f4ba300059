// Where the parts of a ring lie, in the front-end's address space (vhost-user: SET_VRING_ADDR).
#ifndef VHOST_CORE_RING_ADDRESSES_H_
#define VHOST_CORE_RING_ADDRESSES_H_

#include <cstdint>

namespace vhost {

// Of a packed ring the descriptor ring, the driver's and the device's event suppression structure.
struct RingAddresses {
  uint64_t descriptor;
  uint64_t available;
  uint64_t used;
};

}  // namespace vhost

#endif  // VHOST_CORE_RING_ADDRESSES_H_
