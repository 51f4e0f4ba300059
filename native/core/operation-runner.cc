#include "operation-runner.h"

#include <algorithm>
#include <cerrno>

namespace vhost {
namespace {

// A transfer's result is an int.
constexpr double kTransferBytesMax = 0x7fffffff;
// 2^53: the last of the integers that a double holds without gaps.
constexpr double kFileBytesMax = 9007199254740992.0;

// Also false for what is no number. Beyond it doubles skip integers, and the casts are undefined.
bool isByteCount(double value) {
  return value >= 0 && value <= kFileBytesMax;
}

bool isTransferLength(double value) {
  return value >= 0 && value <= kTransferBytesMax;
}

}  // namespace

OperationRunner::~OperationRunner() {
  for (const auto& op : operations_) {
    if (op->bounce != nullptr) bounces_.give(op->bounce);
  }
}

int OperationRunner::addFile(uint32_t index, int fd, uint32_t directAlign) {
  if (index >= IoEngine::kFilesMax) return -EINVAL;
  files_[index] = {fd, directAlign, directAlign == 0 ? PageCacheView::open(fd) : nullptr};
  return engine_->addFile(index, fd);
}

void OperationRunner::start(const CommandRecord& command, const DescriptorChain* chain) {
  Operation* op = take(command);
  if (!fill(op, command, chain)) {
    end(op, -EINVAL);
  } else if (readCached(*op)) {
    end(op, 0);
  } else {
    unlearnCached(*op);
    beginAttempt(op);
  }
}

bool OperationRunner::readCached(const Operation& op) {
  PageCacheView* cached = files_[op.file].cached.get();
  return op.code == OperationCode::kRead && cached != nullptr &&
         cached->read(op.offset, op.segments, op.remaining);
}

void OperationRunner::unlearnCached(const Operation& op) {
  PageCacheView* cached = files_[op.file].cached.get();
  if (op.code != OperationCode::kAllocate || cached == nullptr) return;
  cached->unlearn(op.offset, op.remaining);
}

// What the kernel has just moved is in the page cache.
void OperationRunner::learnCached(const Operation& op) {
  PageCacheView* cached = files_[op.file].cached.get();
  const bool moves = op.code == OperationCode::kRead || op.code == OperationCode::kWrite;
  if (cached == nullptr || !moves || op.attemptResult <= 0) return;
  cached->learn(op.offset, static_cast<uint64_t>(op.attemptResult));
}

void OperationRunner::end(Operation* op, int result) {
  op->attemptResult = result;
  ended_.push_back(op);
}

void OperationRunner::transfer(const CommandRecord& command, const DescriptorChain* chain,
                               const DescriptorChain* target) {
  Operation* op = take(command);
  int64_t moved = -EINVAL;
  if (isTransferLength(command.length)) {
    moved = command.code == static_cast<uint32_t>(CommandCode::kCopy)
                ? copy(op, command, chain, target)
                : move(command, chain, &op->segments);
  }
  const bool receives = command.code == static_cast<uint32_t>(CommandCode::kReceive);
  const uint32_t prefixBytes = command.flags & kCommandPrefix ? command.tailByte : 0;
  const bool satisfied = receives ? moved > 0 : moved >= 0 && moved == prefixBytes + command.length;
  if (!satisfied) op->commandFlags &= ~kCommandComplete;
  const bool copied = satisfied && command.code == static_cast<uint32_t>(CommandCode::kCopy);
  if (!copied && !(op->commandFlags & kCommandComplete)) op->commandFlags |= kCommandNotify;
  if (moved > 0 && (op->commandFlags & kCommandAddBytes)) {
    op->usedLength += static_cast<uint32_t>(moved);
  }
  end(op, static_cast<int>(moved));
}

int64_t OperationRunner::moveNow(const CommandRecord& command, const DescriptorChain* chain) {
  targetSegments_.clear();
  return isTransferLength(command.length) ? move(command, chain, &targetSegments_) : -EINVAL;
}

int64_t OperationRunner::move(const CommandRecord& command, const DescriptorChain* chain,
                              std::vector<iovec>* segments) const {
  return gather(command, chain, segments) ? transferOnce(command, segments) : -EINVAL;
}

// The segments of a kSend or kReceive.
bool OperationRunner::gather(const CommandRecord& command, const DescriptorChain* chain,
                             std::vector<iovec>* segments) const {
  const auto bytes = static_cast<uint64_t>(command.length);
  if (command.flags & kCommandPrefix &&
      !sliceArena(arena_, command.tailOffset, command.tailByte, segments)) {
    return false;
  }
  if (command.flags & kCommandArena) {
    return sliceArena(arena_, command.chainOffset, bytes, segments);
  }
  const bool writable = command.code == static_cast<uint32_t>(CommandCode::kReceive);
  return chain != nullptr && chain->slice(writable, command.chainOffset, bytes, segments) == bytes;
}

void OperationRunner::ended(const CommandRecord& command, int result) {
  Operation* op = take(command);
  op->commandFlags = kCommandNotify;
  end(op, result);
}

int64_t OperationRunner::copy(Operation* op, const CommandRecord& command,
                              const DescriptorChain* chain, const DescriptorChain* target) {
  if (chain == nullptr || target == nullptr) return -EINVAL;
  const auto bytes = static_cast<uint64_t>(command.length);
  chain->slice(false, command.chainOffset, bytes, &op->segments);
  targetSegments_.clear();
  target->slice(true, command.tailOffset, bytes, &targetSegments_);
  return static_cast<int64_t>(copySegments(op->segments, targetSegments_));
}

Operation* OperationRunner::take(const CommandRecord& command) {
  if (free_.empty()) {
    operations_.push_back(std::make_unique<Operation>());
    free_.push_back(operations_.back().get());
  }
  Operation* op = free_.back();
  free_.pop_back();
  op->reset();
  op->code = static_cast<OperationCode>(command.code);
  op->chain = command.chain;
  op->tag = command.tag;
  op->commandFlags = command.flags;
  op->tailOffset = command.tailOffset;
  op->tailByte = command.tailByte;
  op->usedLength = command.usedLength;
  return op;
}

bool OperationRunner::makesSense(const CommandRecord& command) const {
  return command.code >= static_cast<uint32_t>(OperationCode::kRead) &&
         command.code <= static_cast<uint32_t>(OperationCode::kWriteZeros) &&
         command.file < IoEngine::kFilesMax && files_[command.file].fd >= 0 &&
         isByteCount(command.offset) && isByteCount(command.length) &&
         isByteCount(command.offset + command.length);
}

bool OperationRunner::fill(Operation* op, const CommandRecord& command,
                           const DescriptorChain* chain) const {
  if (!makesSense(command)) return false;
  op->file = command.file;
  op->fd = files_[op->file].fd;
  op->offset = static_cast<uint64_t>(command.offset);
  op->remaining = static_cast<uint64_t>(command.length);
  op->durable = command.flags & kCommandDurable;
  op->mode = command.mode;
  if (op->code != OperationCode::kRead && op->code != OperationCode::kWrite) return true;
  op->directAlign = files_[op->file].directAlign;
  const bool writable = op->code == OperationCode::kRead;
  return chain != nullptr &&
         chain->slice(writable, command.chainOffset, op->remaining, &op->segments) == op->remaining;
}

void OperationRunner::beginAttempt(Operation* op) {
  if (prepareAttempt(op, &bounces_) == Attempt::kReady) {
    engine_->start(op);
  } else {
    waitingForBounce_.push_back(op);
  }
}

Operation* OperationRunner::reap(int* result) {
  if (!ended_.empty()) {
    Operation* op = ended_.front();
    ended_.pop_front();
    *result = op->attemptResult;
    return op;
  }
  for (Operation* op = engine_->reap(); op != nullptr; op = engine_->reap()) {
    const bool bounced = op->bounce != nullptr;
    learnCached(*op);
    const Progress progress = finishAttempt(op, &bounces_, result);
    if (progress == Progress::kAgain) {
      beginAttempt(op);
      continued_ = true;
      continue;
    }
    if (bounced && !waitingForBounce_.empty()) {
      Operation* waiting = waitingForBounce_.front();
      waitingForBounce_.pop_front();
      beginAttempt(waiting);
      continued_ = true;
    }
    return op;
  }
  return nullptr;
}

void OperationRunner::give(Operation* op) {
  op->chain = kNoChain;
  free_.push_back(op);
}

void OperationRunner::submitContinued() {
  if (continued_) engine_->submit();
  continued_ = false;
}

uint32_t OperationRunner::busyOf(uint32_t queue) const {
  return static_cast<uint32_t>(std::count_if(
      operations_.begin(), operations_.end(),
      [queue](const auto& op) { return op->chain != kNoChain && op->chain >> 16 == queue; }));
}

}  // namespace vhost
