// The clock of everything that waits or expires.
#ifndef VHOST_CORE_CLOCK_H_
#define VHOST_CORE_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace vhost {

inline uint64_t monotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace vhost

#endif  // VHOST_CORE_CLOCK_H_
