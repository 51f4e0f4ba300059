// A data plane with one driver, a file and the decisions a block device would make: what
// TypeScript does in the daemon, as short as a test of the turns needs it.
#ifndef VHOST_TEST_RIG_H_
#define VHOST_TEST_RIG_H_

#include <functional>
#include <memory>
#include <vector>

#include "data-plane.h"
#include "driver.h"

namespace vhost::test {

struct RigOptions {
  bool uring = true;
  uint32_t pollUs = 0;
  uint32_t operationPollUs = 0;
  uint32_t directAlign = 0;  // the file is open for O_DIRECT
  bool kick = true;
  uint64_t fileBytes = 4 << 20;
  DriverOptions driver = {};
};

// Once for each engine the kernel allows.
void forBothEngines(const std::function<void(bool uring)>& body);

class Rig {
 public:
  explicit Rig(const RigOptions& options = {});
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  VringStart vringStart(uint32_t queue) const;
  int startVring(uint32_t queue) { return plane->startVring(vringStart(queue), driver.memory()); }

  // Where slot n keeps its header, data and status. It uses descriptors 3n, 3n + 1, 3n + 2.
  static constexpr uint32_t kSlotBytes = 16384;
  uint64_t header(uint16_t slot) const { return driver.heap() + slot * kSlotBytes; }
  uint64_t data(uint16_t slot) const { return header(slot) + 4096; }
  uint64_t status(uint16_t slot) const { return header(slot) + 2048; }
  uint16_t post(uint16_t slot, bool write, uint64_t offset, uint32_t bytes);
  void kick() const;

  // Turns until the driver has got `count` back, deciding as a block device does.
  void serve(uint32_t count);
  // One turn; counts of what it brought.
  struct Turn {
    uint32_t requests;
    uint32_t completions;
    uint32_t events;
    bool wake;
  };
  Turn turn(bool mayBlock = false);
  // Turns until `done`, at most five seconds; deciding nothing.
  void turnUntil(const std::function<bool(const Turn&)>& done);
  // Commands for what the last turn brought.
  void decide(const Turn& turn);
  CommandRecord& command(uint32_t code, uint32_t chain);
  uint64_t calls() const;
  uint64_t errors() const;

  const RigOptions options;
  Driver driver;
  TemporaryFile file;
  std::unique_ptr<Exchange> exchange;
  int wakeFd;
  int kickFd;
  int callFd;
  int errFd;
  std::unique_ptr<DataPlane> plane;
  uint32_t commands = 0;  // for the next turn
  std::vector<Used> used;
};

}  // namespace vhost::test

#endif  // VHOST_TEST_RIG_H_
