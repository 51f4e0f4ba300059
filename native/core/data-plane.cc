#include "data-plane.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "request-record.h"

namespace vhost {
namespace {

constexpr uint32_t kWakeToken = 0;

// A full batch for one queue in a turn; others get their turn first (RG-003).
constexpr uint32_t kPopsPerTurnMax = 64;
// How often a ring without a kick descriptor is looked at when nothing else happens.
constexpr int64_t kPolledVringUs = 200;
// With this many operations at the disk the next completion comes soon whether we spin or sleep:
// O_DIRECT at depth 32 lost 15 % of CPU by spinning and won nothing.
constexpr size_t kSpinOperationsMax = 16;
// The clock costs 20 ns, a look at the rings 2: look this often for each reading.
constexpr int kLooksPerClock = 16;

uint64_t monotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

inline void relaxCpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

uint32_t chainToken(uint32_t queue, uint16_t head) {
  return queue << 16 | head;
}

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
      deviceSpin_(options.pollUs) {
  vrings_.resize(kQueuesMax);
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

int DataPlane::startVring(const VringStart& start, std::shared_ptr<GuestMemory> memory) {
  auto added = std::make_unique<Vring>();
  added->setKick(start.kickFd);
  added->setCall(start.callFd);
  added->setErr(start.errFd);
  if (start.queue >= kQueuesMax || vrings_[start.queue] != nullptr) return -EINVAL;
  const int result = added->ring.start(std::move(memory),
                                       {start.packed, start.size, start.addresses, start.availBase,
                                        start.eventIdx, start.addressing},
                                       ringLog(start.queue));
  if (result != 0) return result;
  const int tracked = added->ring.track(start.inflight, start.areaQueue);
  if (tracked != 0) return tracked;
  if (start.kickFd >= 0) {
    added->pollToken = nextToken_++;
    const int watched = engine_->addPoll(start.kickFd, added->pollToken);
    if (watched != 0) return watched;
    queueOfToken_[added->pollToken] = start.queue;
  }
  vrings_[start.queue] = std::move(added);
  active_.push_back(start.queue);
  return 0;
}

void DataPlane::enableVring(uint32_t queue, bool enabled) {
  if (Vring* found = vring(queue)) {
    found->enabled = enabled;
    found->everEnabled |= enabled;
  }
}

void DataPlane::setInband(uint32_t queue, bool kicks, bool calls) {
  if (Vring* found = vring(queue)) {
    found->inbandKicks = kicks;
    found->inbandCalls = calls;
  }
}

void DataPlane::askKicks(uint32_t queue, bool asked) {
  if (Vring* found = vring(queue)) found->kicksAsked = asked;
}

void DataPlane::setCall(uint32_t queue, int fd) {
  if (Vring* found = vring(queue)) found->setCall(fd);
}

void DataPlane::setErr(uint32_t queue, int fd) {
  if (Vring* found = vring(queue)) found->setErr(fd);
}

void DataPlane::drainVring(uint32_t queue, bool suspend) {
  if (Vring* found = vring(queue)) {
    found->draining = true;
    found->suspended |= suspend;
  }
}

int64_t DataPlane::endVring(uint32_t queue) {
  Vring* found = vring(queue);
  if (found == nullptr) return -ENOENT;
  if (inFlight(queue) > 0) return -EBUSY;
  const int64_t base = found->ring.base();
  found->ring.logInFlight();
  usedLogs_.erase(queue);
  if (found->pollToken != 0) {
    engine_->removePoll(found->kickFd, found->pollToken);
    queueOfToken_.erase(found->pollToken);
  }
  stale_.erase(stale_.lower_bound(chainToken(queue, 0)),
               stale_.upper_bound(chainToken(queue, 0xffff)));
  active_.erase(std::find(active_.begin(), active_.end(), queue));
  firstActive_ = 0;
  vrings_[queue].reset();
  return base;
}

RingLog DataPlane::ringLog(uint32_t queue) const {
  const auto place = usedLogs_.find(queue);
  const bool used = place != usedLogs_.end();
  const RangeLog* entry = logOf(queue);
  return {entry != nullptr ? entry->log : nullptr, entry != nullptr && entry->data, used,
          used ? place->second : 0};
}

const DataPlane::RangeLog* DataPlane::logOf(uint32_t queue) const {
  for (const RangeLog& entry : logs_) {
    if (entry.range.holds(queue)) return &entry;
  }
  return nullptr;
}

void DataPlane::setLog(std::shared_ptr<const DirtyLog> log, bool data, QueueRange range) {
  std::erase_if(logs_, [&](const RangeLog& entry) { return entry.range.first == range.first; });
  if (log != nullptr) logs_.push_back({range, std::move(log), data});
  for (uint32_t queue : active_) {
    if (range.holds(queue)) vrings_[queue]->ring.setLog(ringLog(queue));
  }
}

void DataPlane::hold(bool held, QueueRange range) {
  std::erase_if(held_, [&](const QueueRange& one) { return one.first == range.first; });
  if (held) held_.push_back(range);
}

bool DataPlane::held(uint32_t queue) const {
  return std::any_of(held_.begin(), held_.end(),
                     [queue](const QueueRange& range) { return range.holds(queue); });
}

void DataPlane::setUsedLog(uint32_t queue, bool on, uint64_t address) {
  usedLogs_.erase(queue);
  if (on) usedLogs_[queue] = address;
  if (Vring* found = vring(queue)) found->ring.setLog(ringLog(queue));
}

// A device that failed completes nothing any more: of its queues only operations count, which still
// point into guest memory.
uint32_t DataPlane::inFlight(uint32_t queue) const {
  const Vring* found = vring(queue);
  if (found == nullptr) return 0;
  if (found->fault == RingFault::kHandler) return operations_.busyOf(queue);
  const bool leftovers = found->draining && found->popping() && !held(queue);
  return found->ring.inFlightCount() + (leftovers ? found->ring.leftoverCount() : 0);
}

uint32_t DataPlane::inFlightTotal(QueueRange range) const {
  uint32_t total = 0;
  for (uint32_t queue : active_) total += range.holds(queue) ? inFlight(queue) : 0;
  return total;
}

void DataPlane::changeMemory(const std::shared_ptr<GuestMemory>& memory, QueueRange range) {
  for (uint32_t queue : active_) {
    if (!range.holds(queue)) continue;
    if (!vrings_[queue]->ring.move(memory)) giveUp(queue, RingFault::kRingAddress);
    vrings_[queue]->awaiting = false;
  }
}

void DataPlane::changeTranslations(const std::shared_ptr<GuestMemory>& memory, const IoRange& range,
                                   QueueRange queues) {
  settling_ = true;
  for (uint32_t queue : active_) {
    if (!queues.holds(queue)) continue;
    Vring* owner = vrings_[queue].get();
    Virtqueue& ring = owner->ring;
    if (!ring.space().platform()) continue;
    ring.space().setMemory(memory);
    if (owner->awaiting && range.holds(owner->missing.address)) owner->awaiting = false;
    const bool ringItself = ring.mapped() && ring.overlaps(range);
    owner->leaving |= ringItself;
    // Looked for by the driver's addresses: the table may have dropped the entry long ago.
    for (uint32_t head = 0; head < ring.size() && ring.inFlightCount() > 0; head++) {
      const auto index = static_cast<uint16_t>(head);
      if (!ring.inFlight(index)) continue;
      const std::vector<IoRange>& used = ring.chain(index).ioRanges;
      const auto hit = [&](const IoRange& one) { return one.overlaps(range); };
      if (ringItself || std::any_of(used.begin(), used.end(), hit)) {
        stale_.insert(chainToken(queue, index));
      }
    }
  }
  leaveRings();
}

bool DataPlane::translationsSettled() {
  if (staleInFlight()) return false;
  settling_ = false;
  stale_.clear();
  leaveRings();
  return true;
}

// Of a device that failed only operations count, as in inFlight().
bool DataPlane::staleInFlight() const {
  return std::any_of(stale_.begin(), stale_.end(),
                     [this](uint32_t chain) { return inFlight(chain >> 16) > 0; });
}

void DataPlane::leaveRings() {
  for (uint32_t queue : active_) {
    Vring* owner = vrings_[queue].get();
    if (!owner->leaving || inFlight(queue) > 0) continue;
    owner->ring.unmap();
    owner->leaving = false;
  }
}

uint64_t DataPlane::missingAddress(uint32_t queue) const {
  const Vring* found = vring(queue);
  return found == nullptr ? 0 : found->missing.address;
}

void DataPlane::reportMissing(uint32_t queue, Vring* owner, RingFault fault) {
  owner->missing = owner->ring.space().missing();
  owner->awaiting = true;
  addEvent(fault == kTranslationMissing ? EventCode::kMissing : EventCode::kNoPermission, queue,
           owner->missing.permission);
}

uint32_t DataPlane::turn(uint32_t commandCount, bool mayBlock) {
  requests_ = completions_ = 0;
  dropReportedEvents();
  wake_ = false;
  runCommands(std::min(commandCount, kCommandsMax));
  for (;;) {
    engine_->submit();
    reap();
    takePolled();
    publish();
    popAll();
    if (requests_ + completions_ + events_ > 0 || wake_ || !mayBlock) return packTurn();
    if (quiesced()) return packTurn();
    sleep();
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
  if (!stale_.empty()) stale_.erase(chain);
  if (owner->suspended) {
    owner->ring.abandon(head);
    return;
  }
  if (flags & kCommandTail) {
    const auto tail = static_cast<uint8_t>(tailByte);
    const DescriptorChain& written = owner->ring.chain(head);
    // Wraps for a chain without writable part; nothing is copied then.
    const uint32_t at = tailOffset == kTailLast ? written.writableBytes - 1 : tailOffset;
    written.copyIn(at, &tail, 1);
  }
  owner->ring.addUsed(head, usedLength);
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
    if (!owner->ring.needsCall()) continue;
    owner->call();
    if (owner->callsByMessage() && !owner->callTold) {
      owner->callTold = true;
      addEvent(EventCode::kCall, queue, 0);
    }
  }
  if (logged != nullptr) logged->signal();
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
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count && fault == RingFault::kNone; i++) {
    if (owner->ring.capped() || bytes >= turnBytesMax_) break;
    uint16_t head = 0;
    fault = owner->ring.pop(&head);
    if (fault != RingFault::kNone) break;
    const DescriptorChain& chain = owner->ring.chain(head);
    fillRecord(chain, chainToken(queue, head), options_.headerBytes,
               &options_.exchange->requests[requests_++]);
    bytes += chain.readableBytes;
    owner->requests++;
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

void DataPlane::takePolled() {
  for (const PollEvent& event : engine_->polled()) {
    if (event.token == kWakeToken) {
      wake_ = true;
      continue;
    }
    const auto watched = watchOfToken_.find(event.token);
    if (watched != watchOfToken_.end()) {
      watchedReadable(watched->second, event.hangup);
      continue;
    }
    const auto kicked = queueOfToken_.find(event.token);
    if (kicked != queueOfToken_.end() && event.hangup) kickLost(kicked->second);
  }
  engine_->polled().clear();
}

void DataPlane::kickLost(uint32_t queue) {
  Vring* owner = vrings_[queue].get();
  engine_->removePoll(owner->kickFd, owner->pollToken);
  queueOfToken_.erase(owner->pollToken);
  owner->pollToken = 0;
  addEvent(EventCode::kKickLost, queue, 0);
}

int DataPlane::watch(int fd, uint32_t token, bool writable) {
  if (watches_.count(token) > 0) return -EEXIST;
  if (watches_.size() >= kWatchesMax) return -ENOSPC;
  const uint32_t pollToken = nextToken_++;
  const int result = engine_->addPoll(fd, pollToken, writable);
  if (result != 0) return result;
  watches_[token] = {fd, pollToken};
  watchOfToken_[pollToken] = token;
  return 0;
}

void DataPlane::unwatch(uint32_t token) {
  const auto found = watches_.find(token);
  if (found == watches_.end()) return;
  engine_->removePoll(found->second.fd, found->second.pollToken);
  watchOfToken_.erase(found->second.pollToken);
  watches_.erase(found);
}

void DataPlane::watchedReadable(uint32_t token, bool hungUp) {
  Watch& watched = watches_.at(token);
  if (hungUp) {
    unwatch(token);
    addEvent(EventCode::kReadable, token, 1);
  } else if (!watched.told) {
    watched.told = true;
    addEvent(EventCode::kReadable, token, 0);
  }
}

bool DataPlane::anyWork() const {
  if (engine_->ready()) return true;
  for (uint32_t queue : active_) {
    Vring* owner = vrings_[queue].get();
    if (held(queue) || !owner->popping() || !owner->kicksAsked || owner->ring.capped()) continue;
    if (!owner->ring.mapped()) return true;
    uint32_t count = 0;
    if (owner->ring.available(&count) != RingFault::kNone || count > 0) {
      return true;
    }
  }
  return false;
}

// A ring at its in-flight caps has chains that can't be popped now; spinning or looking again for
// those would never end, so they count only once something completes.
void DataPlane::sleep() {
  const uint64_t sinceNs = monotonicNs();
  // The driver answers in microseconds, a disk in hundreds of them: one says nothing of the other.
  SpinPolicy& policy = operations_.busy() == 0 ? driverSpin_ : deviceSpin_;
  if (operations_.busy() < kSpinOperationsMax && policy.worthIt() && spin(sinceNs)) {
    policy.observe(monotonicNs() - sinceNs);
    return;
  }
  bool more = false;
  bool polled = false;
  for (uint32_t queue : active_) {
    Vring* owner = vrings_[queue].get();
    if (held(queue) || !owner->popping() || !owner->ring.mapped()) continue;
    polled |= owner->polled();
    if (!owner->kicksAsked) continue;
    if (owner->ring.enableNotification() && !owner->ring.capped()) more = true;
  }
  if (more) return;
  engine_->wait(polled ? kPolledVringUs : -1);
  policy.observe(monotonicNs() - sinceNs);
}

bool DataPlane::spin(uint64_t sinceNs) {
  do {
    for (int i = 0; i < kLooksPerClock; i++) {
      if (anyWork()) return true;
      relaxCpu();
    }
  } while (monotonicNs() - sinceNs < driverSpin_.limitNs());
  return false;
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
                                    const Prefix& prefix) {
  chains_.clear();
  for (uint32_t i = 0; i < count; i++) {
    const DescriptorChain* chain = chainOf(chains[i]);
    if (chain == nullptr || chains[i] >> 16 != chains[0] >> 16) return -EINVAL;
    chains_.push_back(chain);
  }
  const int64_t got = vhost::receiveScattered(fd, chains_, bytes, prefix, &segments_);
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
