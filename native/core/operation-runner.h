// The operations of one worker, from command to result: host files by index, cutting segments out
// of a chain, attempts one after another, bounce buffers in turn. It knows no ring.
#ifndef VHOST_CORE_OPERATION_RUNNER_H_
#define VHOST_CORE_OPERATION_RUNNER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "descriptor-chain.h"
#include "exchange.h"
#include "io-engine.h"
#include "operation.h"
#include "page-cache-view.h"
#include "transfer.h"

namespace vhost {

class OperationRunner {
 public:
  // The engine is borrowed, and must be gone before this is: it may point into bounce buffers.
  explicit OperationRunner(IoEngine* engine) : engine_(engine) {}
  ~OperationRunner();
  OperationRunner(const OperationRunner&) = delete;
  OperationRunner& operator=(const OperationRunner&) = delete;

  // Takes no ownership of the file. directAlign: 0 for the page cache, else O_DIRECT alignment.
  int addFile(uint32_t index, int fd, uint32_t directAlign);

  // Borrowed, for commands with kCommandArena.
  void setArena(const Arena& arena) { arena_ = arena; }

  // Begins what the command asks for; a command that makes no sense ends in -EINVAL like any
  // operation. chain: the one in flight the command names, nullptr when there is none.
  void start(const CommandRecord& command, const DescriptorChain* chain);
  // kSend, kReceive, kCopy: over when this returns, reaped like the others. target: kCopy's.
  void transfer(const CommandRecord& command, const DescriptorChain* chain,
                const DescriptorChain* target);
  // For a command somebody else has carried out: reaped like the others, with this result.
  void ended(const CommandRecord& command, int result);

  // kSend, kReceive without an operation: bytes moved or -errno, nothing to reap.
  int64_t moveNow(const CommandRecord& command, const DescriptorChain* chain);

  // An operation that is done, *result 0, bytes (of a transfer) or -errno; nullptr: none now. It
  // must be given back.
  Operation* reap(int* result);
  void give(Operation* op);
  // Operations over without the engine, and not reaped yet.
  size_t endedAtOnce() const { return ended_.size(); }
  // Hands attempts that reap() began to the kernel, so that no wait can miss them.
  void submitContinued();

  size_t busy() const { return operations_.size() - free_.size(); }
  uint32_t busyOf(uint32_t queue) const;

 private:
  struct HostFile {
    int fd = -1;
    uint32_t directAlign = 0;
    std::unique_ptr<PageCacheView> cached;  // nullptr: every read asks the kernel
  };

  bool makesSense(const CommandRecord& command) const;
  Operation* take(const CommandRecord& command);
  bool fill(Operation* op, const CommandRecord& command, const DescriptorChain* chain) const;
  bool readCached(const Operation& op);
  void learnCached(const Operation& op);
  void unlearnCached(const Operation& op);
  void beginAttempt(Operation* op);
  void end(Operation* op, int result);
  int64_t move(const CommandRecord& command, const DescriptorChain* chain,
               std::vector<iovec>* segments) const;
  bool gather(const CommandRecord& command, const DescriptorChain* chain,
              std::vector<iovec>* segments) const;
  int64_t copy(Operation* op, const CommandRecord& command, const DescriptorChain* chain,
               const DescriptorChain* target);

  IoEngine* engine_;
  BouncePool bounces_;
  std::deque<Operation*> waitingForBounce_;  // the first to come is the first to go on
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Operation*> free_;
  std::deque<Operation*> ended_;       // without the engine: transfers, commands that made no sense
  std::vector<iovec> targetSegments_;  // scratch of kCopy and moveNow
  Arena arena_;
  HostFile files_[IoEngine::kFilesMax];
  bool continued_ = false;
};

}  // namespace vhost

#endif  // VHOST_CORE_OPERATION_RUNNER_H_
