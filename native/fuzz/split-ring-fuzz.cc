// The walk of a split ring, chains in flight, what is written back.
#include "ring-program.h"
#include "split-ring.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

void run(const uint8_t* data, size_t bytes) {
  RingProgram<SplitRing, SplitDriverSide>(data, bytes).run();
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
