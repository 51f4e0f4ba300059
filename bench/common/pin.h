#pragma once

#include <sched.h>

#include <stdexcept>

namespace bench {

// The calling thread and those it starts later.
inline void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) throw std::runtime_error("--pin failed");
}

}  // namespace bench
