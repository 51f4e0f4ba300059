// What a packed ring takes up from an inflight area.
#include "inflight-program.h"
#include "packed-ring.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

void run(const uint8_t* data, size_t bytes) {
  InflightProgram<PackedRing, PackedDriverSide>(data, bytes).run();
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
