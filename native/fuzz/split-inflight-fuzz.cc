// What a split ring takes up from an inflight area.
#include "inflight-program.h"
#include "split-ring.h"
#include "target.h"

namespace vhost::fuzz {
namespace {

void run(const uint8_t* data, size_t bytes) {
  InflightProgram<SplitRing, SplitDriverSide>(data, bytes).run();
}

FUZZ_TARGET(run);

}  // namespace
}  // namespace vhost::fuzz
