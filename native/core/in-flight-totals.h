// What a ring's chains in flight add up to; the data plane's caps are on these (RG-026).
#ifndef VHOST_CORE_IN_FLIGHT_TOTALS_H_
#define VHOST_CORE_IN_FLIGHT_TOTALS_H_

#include <cstdint>

#include "descriptor-chain.h"

namespace vhost {

struct InFlightTotals {
  uint32_t chains = 0;
  uint64_t segments = 0;
  uint64_t bytes = 0;

  void enter(DescriptorChain* chain) {
    chain->inFlight = true;
    chains++;
    segments += chain->segments.size();
    bytes += uint64_t{chain->readableBytes} + chain->writableBytes;
  }

  void leave(DescriptorChain* chain) {
    chain->inFlight = false;
    chains--;
    segments -= chain->segments.size();
    bytes -= uint64_t{chain->readableBytes} + chain->writableBytes;
  }
};

}  // namespace vhost

#endif  // VHOST_CORE_IN_FLIGHT_TOTALS_H_
