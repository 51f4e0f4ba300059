// What runs operations and waits for descriptors. Two kinds: io_uring, and a thread pool with
// epoll where the kernel forbids io_uring. One engine belongs to one thread.
#ifndef VHOST_CORE_IO_ENGINE_H_
#define VHOST_CORE_IO_ENGINE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "operation.h"

namespace vhost {

struct PollEvent {
  uint32_t token;
  bool hangup;  // the descriptor is dead: it is no longer watched
};

class IoEngine {
 public:
  virtual ~IoEngine() = default;

  // Tells the engine of a file it will meet in operations; index < kFilesMax.
  virtual int addFile(uint32_t index, int fd) = 0;

  // Queues the attempt set up in *op; it reaches the kernel at submit() or before.
  virtual void start(Operation* op) = 0;
  virtual void submit() = 0;

  // An operation whose attempt has ended (attemptResult is set), or nullptr. Readable descriptors
  // found on the way are appended to polled().
  virtual Operation* reap() = 0;
  std::vector<PollEvent>& polled() { return polled_; }

  // Watches a descriptor for readability without ever reading it, edge-triggered: one that stays
  // readable does not spin (CS-038). The token must not be in use.
  // `writable`: also told of when it becomes writable, without saying which of the two it was.
  virtual int addPoll(int fd, uint32_t token, bool writable = false) = 0;
  virtual void removePoll(int fd, uint32_t token) = 0;

  // True when reap() may have something. Cheap: read from shared memory.
  virtual bool ready() = 0;
  // Blocks until an operation or a watched descriptor is ready, or timeoutUs has passed (< 0: no
  // limit).
  virtual void wait(int64_t timeoutUs) = 0;

  static constexpr uint32_t kFilesMax = 16;

 protected:
  std::vector<PollEvent> polled_;
};

// nullptr and *error = -errno where the kernel has no io_uring or forbids it.
std::unique_ptr<IoEngine> makeUringEngine(int* error);
std::unique_ptr<IoEngine> makeThreadEngine(int* error);

}  // namespace vhost

#endif  // VHOST_CORE_IO_ENGINE_H_
