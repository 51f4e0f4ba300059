#include "data-plane.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "guest-access.h"
#include "request-record.h"

namespace vhost {
namespace {

// A full batch for one queue in a turn; others get their turn first (RG-003).
constexpr uint32_t kPopsPerTurnMax = 64;
// A read out of the page cache takes a microsecond, to wake a driver's CPU takes tens of them: so
// many are shown to it while the others are copied. 1.1 times the IOPS at depth 8 to 128 of a
// driver that sleeps; fewer for each publication cost one that polls.
constexpr size_t kEndedPerPublish = 8;

}  // namespace

std::unique_ptr<DataPlane> DataPlane::create(const DataPlaneOptions& options, int* error) {
  *error = options.headerBytes <= kHeaderBytesMax ? 0 : -EINVAL;
  if (*error != 0) return nullptr;
  std::unique_ptr<IoEngine> engine =
      options.uring ? makeUringEngine(error) : makeThreadEngine(error);
  if (engine == nullptr) return nullptr;
  *error = engine->addPoll(options.wakeFd, kWakeToken);
  if (*error != 0) return nullptr;
  return std::unique_ptr<DataPlane>(new DataPlane(options, std::move(engine)));
}

DataPlane::DataPlane(const DataPlaneOptions& options, std::unique_ptr<IoEngine> engine)
    : options_(options),
      engine_(std::move(engine)),
      operations_(engine_.get()),
      driverSpin_(options.pollUs),
      operationSpin_(options.operationPollUs) {
  vrings_.resize(kQueuesMax);
  frameQueues_.resize(kQueuesMax);
}

// The engine goes first: it waits for operations that still point into guest memory.
DataPlane::~DataPlane() {
  engine_.reset();
}

Vring* DataPlane::vring(uint32_t queue) const {
  return queue < kQueuesMax ? vrings_[queue].get() : nullptr;
}

Vring* DataPlane::vringOf(uint32_t chain, uint16_t* head) const {
  Vring* found = vring(chain >> 16);
  *head = static_cast<uint16_t>(chain & 0xffff);
  return found != nullptr && found->ring.inFlight(*head) ? found : nullptr;
}

uint32_t DataPlane::turn(uint32_t commandCount, bool mayBlock) {
  requests_ = completions_ = 0;
  dropReportedEvents();
  wake_ = false;
  commandsFull_ = commandCount >= kCommandsMax;
  runCommands(std::min(commandCount, kCommandsMax));
  for (;;) {
    engine_->submit();
    reap();
    takePolled();
    publish();
    if (heldCalls_ > 0) callDue();
    forwarded_ = false;
    popAll();
    // Frames that went on by themselves don't wait for what TypeScript has to decide.
    if (forwarded_) publish();
    if (requests_ + completions_ + events_ > 0 || wake_ || !mayBlock) return packTurn();
    if (quiesced()) return packTurn();
    if (!forwarded_) sleep();
  }
}

// Somebody waits for the last request to go, and it left no record behind: most complete natively.
bool DataPlane::quiesced() const {
  const auto drained = [this](const QueueRange& range) { return inFlightTotal(range) == 0; };
  if (std::any_of(held_.begin(), held_.end(), drained)) return true;
  if (settling_ && !staleInFlight()) return true;
  return std::any_of(active_.begin(), active_.end(), [this](uint32_t queue) {
    return vrings_[queue]->draining && inFlight(queue) == 0;
  });
}

// Events also arise between turns (a ring lost by a memory change); those are kept.
void DataPlane::dropReportedEvents() {
  EventRecord* events = options_.exchange->events;
  for (uint32_t i = 0; i < eventsReported_; i++) {
    if (events[i].code == static_cast<uint32_t>(EventCode::kReadable)) {
      const auto watched = watches_.find(events[i].queue);
      if (watched != watches_.end()) watched->second.told = false;
    } else if (events[i].code == static_cast<uint32_t>(EventCode::kCall)) {
      if (Vring* told = vring(events[i].queue)) told->callTold = false;
    }
  }
  std::copy(events + eventsReported_, events + events_, events);
  events_ -= eventsReported_;
  eventsReported_ = 0;
  const size_t late = std::min<size_t>(lateEvents_.size(), kEventsMax - events_);
  std::copy_n(lateEvents_.begin(), late, events + events_);
  lateEvents_.erase(lateEvents_.begin(), lateEvents_.begin() + static_cast<ptrdiff_t>(late));
  events_ += static_cast<uint32_t>(late);
}

uint32_t DataPlane::packTurn() {
  eventsReported_ = events_;
  return requests_ | completions_ << kTurnCompletionsShift | events_ << kTurnEventsShift |
         (wake_ ? kTurnWake : 0);
}

void DataPlane::runCommands(uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const CommandRecord& command = options_.exchange->commands[i];
    if (command.code == static_cast<uint32_t>(CommandCode::kComplete)) {
      complete(command.chain, command.flags, command.tailOffset, command.tailByte,
               command.usedLength);
      continue;
    }
    if (command.code == static_cast<uint32_t>(CommandCode::kCompleteList)) {
      completeList(command);
      continue;
    }
    if (command.code == static_cast<uint32_t>(CommandCode::kReceiveFrames)) {
      receiveFrames(command);
      continue;
    }
    if (command.code == static_cast<uint32_t>(CommandCode::kCopyFrame)) {
      copyFrame(command);
      continue;
    }
    if (command.code == static_cast<uint32_t>(CommandCode::kUnpop)) {
      unpop(command.chain);
      continue;
    }
    const DescriptorChain* chain = chainOf(command.chain);
    const bool copies = command.code == static_cast<uint32_t>(CommandCode::kCopy);
    if (copies || command.code == static_cast<uint32_t>(CommandCode::kSend) ||
        command.code == static_cast<uint32_t>(CommandCode::kReceive)) {
      // For kCopy the field names the other chain; for the others it is a descriptor's number.
      operations_.transfer(command, chain, copies ? chainOf(command.file) : nullptr);
    } else {
      operations_.start(command, chain);
      if (operations_.endedAtOnce() < kEndedPerPublish) continue;
      reap();
      publish();
    }
  }
}

const DescriptorChain* DataPlane::chainOf(uint32_t chain) const {
  uint16_t head = 0;
  Vring* owner = vringOf(chain, &head);
  return owner == nullptr ? nullptr : &owner->ring.chain(head);
}

void DataPlane::reap() {
  while (completions_ < kCompletionsMax) {
    int result = 0;
    Operation* op = operations_.reap(&result);
    if (op == nullptr) break;
    finish(*op, result);
    operations_.give(op);
  }
  operations_.submitContinued();
}

void DataPlane::finish(const Operation& op, int result) {
  uint16_t head = 0;
  if (result == -EFAULT) {
    // The kernel met a lost page where our own access would have met SIGBUS (CS-077).
    if (Vring* owner = vringOf(op.chain, &head)) owner->ring.memory()->poison();
  }
  if (result >= 0 && (op.commandFlags & kCommandComplete)) {
    complete(op.chain, op.commandFlags, op.tailOffset, op.tailByte, op.usedLength);
  }
  if (result < 0 || (op.commandFlags & kCommandNotify)) {
    addCompletion(op.chain, op.tag, result, op.code);
  }
}

void DataPlane::complete(uint32_t chain, uint32_t flags, uint32_t tailOffset, uint32_t tailByte,
                         uint32_t usedLength) {
  uint16_t head = 0;
  Vring* owner = vringOf(chain, &head);
  if (owner == nullptr) return;
  if ((flags & kCommandTail) && !owner->suspended) {
    const auto tail = static_cast<uint8_t>(tailByte);
    const DescriptorChain& written = owner->ring.chain(head);
    // Wraps for a chain without writable part; nothing is copied then.
    const uint32_t at = tailOffset == kTailLast ? written.writableBytes - 1 : tailOffset;
    written.copyIn(at, &tail, 1);
  }
  used(owner, chain, usedLength);
}

// A chain in flight of this vring's.
void DataPlane::used(Vring* owner, uint32_t chain, uint32_t length) {
  const auto head = static_cast<uint16_t>(chain & 0xffff);
  if (!stale_.empty()) stale_.erase(chain);
  if (owner->suspended) return owner->ring.abandon(head);
  owner->ring.addUsed(head, length);
  owner->usedSinceCall++;
}

void DataPlane::addCompletion(uint32_t chain, uint32_t tag, int result, OperationCode code) {
  options_.exchange->completions[completions_++] = {chain, tag, result,
                                                    static_cast<uint32_t>(code)};
}

void DataPlane::addEvent(EventCode code, uint32_t queue, uint32_t detail) {
  const EventRecord event{static_cast<uint32_t>(code), queue, detail, 0};
  if (events_ < kEventsMax && lateEvents_.empty()) {
    options_.exchange->events[events_++] = event;
  } else {
    lateEvents_.push_back(event);
  }
}

void DataPlane::publish() {
  const DirtyLog* logged = nullptr;
  for (uint32_t queue : active_) {
    Vring* owner = vrings_[queue].get();
    if (!owner->ring.unpublished()) continue;
    // Nothing may be called done on memory that was lost in between.
    if (owner->ring.poisoned()) giveUp(queue, RingFault::kMemoryLost);
    if (owner->fault != RingFault::kNone) continue;
    owner->ring.publish();
    if (owner->ring.logging()) {
      const DirtyLog* log = logOf(queue)->log.get();
      if (logged != nullptr && logged != log) logged->signal();
      logged = log;
    }
    const bool wanted = owner->ring.needsCall() || owner->callDueNs != 0;
    if (wanted && !holdCall(owner)) call(queue, owner);
  }
  if (logged != nullptr) logged->signal();
}

void DataPlane::call(uint32_t queue, Vring* owner) {
  if (owner->callDueNs != 0) heldCalls_--;
  owner->callDueNs = 0;
  owner->usedSinceCall = 0;
  owner->call();
  if (owner->callsByMessage() && !owner->callTold) {
    owner->callTold = true;
    addEvent(EventCode::kCall, queue, 0);
  }
}

void DataPlane::giveUp(uint32_t queue, RingFault fault) {
  Vring* owner = vring(queue);
  if (owner == nullptr || owner->fault != RingFault::kNone) return;
  owner->fault = fault;
  owner->signalError();
  addEvent(EventCode::kQueueBroken, queue, static_cast<uint32_t>(fault));
}

void DataPlane::popAll() {
  const size_t count = active_.size();
  if (count == 0) return;
  if (firstActive_ >= count) firstActive_ = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t queue = active_[(firstActive_ + i) % count];
    Vring* owner = vrings_[queue].get();
    if (owner->popping() && !held(queue)) popVring(queue, owner);
  }
  firstActive_++;
}

namespace {

// As much as a header declared is, or a small frame: two lines.
inline void prefetchFront(const DescriptorChain& chain) {
  if (chain.readableBytes == 0) return;
  const auto* at = static_cast<const uint8_t*>(chain.segments[0].iov_base);
  __builtin_prefetch(at);
  if (chain.readableBytes > kCacheLineBytes) __builtin_prefetch(at + kCacheLineBytes);
}

}  // namespace

void DataPlane::popVring(uint32_t queue, Vring* owner) {
  uint32_t count = 0;
  RingFault fault = owner->ring.map();
  if (fault == RingFault::kNone) fault = owner->ring.available(&count);
  if (fault != RingFault::kNone) return stopPopping(queue, owner, fault);
  if (owner->draining) count = owner->ring.leftoverCount();
  // Half of what the driver waits for at a time: it gets the first half back and refills the ring
  // while we work on the second (1.4 times the IOPS at depth 8).
  const uint32_t half = std::max(1u, owner->ring.outstanding() / 2);
  count = std::min({count, half, kPopsPerTurnMax, kRequestsMax - requests_});
  owner->ring.disableNotification();
  std::array<uint16_t, kPopsPerTurnMax> heads;
  uint32_t popped = 0;
  uint64_t bytes = 0;
  while (popped < count && fault == RingFault::kNone) {
    if (owner->ring.capped() || bytes >= turnBytesMax_) break;
    fault = owner->ring.pop(&heads[popped]);
    if (fault != RingFault::kNone) break;
    const DescriptorChain& chain = owner->ring.chain(heads[popped++]);
    // The driver wrote it on another CPU: all of a batch's come over at a time, not one by one.
    prefetchFront(chain);
    bytes += chain.readableBytes;
  }
  owner->requests += popped;
  uint32_t done = 0;
  if (frameQueues_[queue].keeps() && !owner->draining) {
    keepPopped(queue, heads.data(), popped);
    done = popped;
  } else if (frameQueues_[queue].forwards()) {
    done = forwardPopped(queue, heads.data(), popped);
  }
  for (uint32_t i = done; i < popped; i++) {
    fillRecord(owner->ring.chain(heads[i]), chainToken(queue, heads[i]), options_.headerBytes,
               &options_.exchange->requests[requests_++]);
  }
  if (fault != RingFault::kNone || owner->ring.poisoned()) stopPopping(queue, owner, fault);
}

void DataPlane::stopPopping(uint32_t queue, Vring* owner, RingFault fault) {
  // What was read from lost memory is no fault of the driver's.
  if (owner->ring.poisoned()) fault = RingFault::kMemoryLost;
  if (fault == kTranslationMissing || fault == RingFault::kNoPermission) {
    reportMissing(queue, owner, fault);
  }
  if (fault != kTranslationMissing) giveUp(queue, fault);
}

int64_t DataPlane::copyOut(uint32_t chain, uint32_t offset, void* to, uint32_t bytes) {
  uint16_t head = 0;
  Vring* owner = vringOf(chain, &head);
  return owner == nullptr
             ? -EINVAL
             : static_cast<int64_t>(owner->ring.chain(head).copyOut(offset, to, bytes));
}

int64_t DataPlane::copyIn(uint32_t chain, uint32_t offset, const void* from, uint32_t bytes) {
  uint16_t head = 0;
  Vring* owner = vringOf(chain, &head);
  return owner == nullptr
             ? -EINVAL
             : static_cast<int64_t>(owner->ring.chain(head).copyIn(offset, from, bytes));
}

int64_t DataPlane::moveNow(const CommandRecord& command) {
  const int64_t moved = operations_.moveNow(command, chainOf(command.chain));
  uint16_t head = 0;
  Vring* owner = moved == -EFAULT ? vringOf(command.chain, &head) : nullptr;
  // The kernel met a lost page where our own access would have met SIGBUS (CS-077).
  if (owner != nullptr) owner->ring.memory()->poison();
  return moved;
}

int64_t DataPlane::receiveScattered(int fd, const uint32_t* chains, uint32_t count, uint64_t bytes,
                                    const Prefix& prefix, bool whole) {
  chains_.clear();
  for (uint32_t i = 0; i < count; i++) {
    const DescriptorChain* chain = chainOf(chains[i]);
    if (chain == nullptr || chains[i] >> 16 != chains[0] >> 16) return -EINVAL;
    chains_.push_back(chain);
  }
  const int64_t got = vhost::receiveScattered(fd, chains_, bytes, prefix, whole, &segments_);
  // As in moveNow().
  if (got == -EFAULT) vring(chains[0] >> 16)->ring.memory()->poison();
  return got;
}

uint64_t DataPlane::requestCount(uint32_t queue) const {
  const Vring* found = vring(queue);
  return found == nullptr ? 0 : found->requests;
}

uint64_t DataPlane::callCount(uint32_t queue) const {
  const Vring* found = vring(queue);
  return found == nullptr ? 0 : found->calls;
}

}  // namespace vhost
