// The one clock every latency and window of the load generator is read from.
#pragma once

#include <time.h>

#include <cstdint>

namespace bench {

inline uint64_t ReadClockNs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

inline uint64_t NowNs() {
  return ReadClockNs(CLOCK_MONOTONIC);
}

}  // namespace bench
