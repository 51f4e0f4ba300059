// The same of a packed ring.
#include "packed-ring.h"
#include "ring-program.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

void run(const uint8_t* data, size_t bytes) {
  RingProgram<PackedRing, PackedDriverSide>(data, bytes).run();
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
