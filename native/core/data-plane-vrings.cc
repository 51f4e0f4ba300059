// The part of the data plane that outlives a turn: vrings that start and end, and what changes
// under those that run: memory, translations, the dirty log.

#include <algorithm>
#include <cerrno>

#include "data-plane.h"

namespace vhost {

int DataPlane::startVring(const VringStart& start, std::shared_ptr<GuestMemory> memory) {
  auto added = std::make_unique<Vring>();
  added->setKick(start.kickFd);
  added->setCall(start.callFd);
  added->setErr(start.errFd);
  if (start.queue >= kQueuesMax || vrings_[start.queue] != nullptr) return -EINVAL;
  const int result =
      added->ring.start(std::move(memory),
                        {start.packed, start.size, start.addresses, start.availBase, start.eventIdx,
                         start.addressing, start.inOrder, start.readOnly},
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

void DataPlane::paceCalls(uint32_t queue, const CallPacing& pacing) {
  Vring* found = vring(queue);
  if (found == nullptr) return;
  found->pacing = pacing;
  // What was promised for later by the former rule may be too late by this one.
  if (found->callDueNs != 0) call(queue, found);
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
  if (found->callDueNs != 0) call(queue, found);
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

}  // namespace vhost
