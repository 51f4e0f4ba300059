// Starts and stops the rings of a session, in QEMU's order.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "driver-ring.h"
#include "session.h"

namespace bench {

// The rings are those of queues 0, 1, ...
using Vrings = std::vector<const DriverRing*>;

inline void StartVrings(Session& session, const GuestMemory& memory, const Vrings& rings) {
  const auto count = static_cast<uint32_t>(rings.size());
  for (uint32_t index = 0; index < count; ++index) {
    const DriverRing& ring = *rings[index];
    session.SetVring(Request::kSetVringNum, index, ring.entries());
    session.SetVring(Request::kSetVringBase, index, kFirstIndex);
    session.SetVringAddress({index, 0, memory.UserAddress(ring.descriptors()),
                             memory.UserAddress(ring.used()), memory.UserAddress(ring.available()),
                             0});
    session.SetVringFd(Request::kSetVringKick, index, ring.kick_fd());
    session.SetVringFd(Request::kSetVringCall, index, ring.call_fd());
  }
  for (uint32_t index = 0; index < count; ++index)
    session.SetVring(Request::kSetVringEnable, index, 1);
  session.Barrier();
}

// The back-end says of each ring where it would go on.
inline std::vector<uint32_t> StopVrings(Session& session, uint32_t count) {
  std::vector<uint32_t> bases;
  for (uint32_t index = 0; index < count; ++index)
    session.SetVring(Request::kSetVringEnable, index, 0);
  for (uint32_t index = 0; index < count; ++index) bases.push_back(session.StopVring(index));
  return bases;
}

}  // namespace bench
