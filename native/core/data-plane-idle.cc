// The part of the data plane that waits: descriptors it watches, when to spin, and sleep.

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "data-plane.h"

namespace vhost {
namespace {

// How often a ring without a kick descriptor is looked at when nothing else happens.
constexpr int64_t kPolledVringUs = 200;
// With this many operations at the disk the next completion comes soon whether we spin or sleep:
// O_DIRECT at depth 32 lost 15 % of CPU by spinning and won nothing.
constexpr size_t kSpinOperationsMax = 16;
// The clock costs 20 ns, a look at the rings 2: look this often for each reading.
constexpr int kLooksPerClock = 16;

constexpr uint64_t kNsPerUs = 1000;

inline void relaxCpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

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

// Whether the call that is wanted can wait; then its time is noted.
bool DataPlane::holdCall(Vring* owner) {
  const CallPacing& pacing = owner->pacing;
  if (pacing.us == 0) return false;
  if (pacing.packets > 0 && owner->usedSinceCall >= pacing.packets) return false;
  if (owner->callDueNs == 0) {
    owner->callDueNs = monotonicNs() + pacing.us * kNsPerUs;
    heldCalls_++;
  }
  return true;
}

void DataPlane::callDue() {
  const uint64_t nowNs = monotonicNs();
  for (uint32_t queue : active_) {
    Vring* owner = vrings_[queue].get();
    if (owner->callDueNs != 0 && owner->callDueNs <= nowNs) call(queue, owner);
  }
}

// Until the first of the calls held back; -1: there is none.
int64_t DataPlane::untilCallUs() const {
  if (heldCalls_ == 0) return -1;
  uint64_t dueNs = UINT64_MAX;
  for (uint32_t queue : active_) {
    const uint64_t one = vrings_[queue]->callDueNs;
    if (one != 0) dueNs = std::min(dueNs, one);
  }
  const uint64_t nowNs = monotonicNs();
  // Not a moment too early: it would only be to sleep again.
  return dueNs <= nowNs ? 0 : static_cast<int64_t>((dueNs - nowNs) / kNsPerUs + 1);
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
  SpinPolicy& policy = operations_.busy() == 0 ? driverSpin_ : operationSpin_;
  if (operations_.busy() < kSpinOperationsMax && policy.worthIt() &&
      spin(sinceNs, policy.limitNs())) {
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
  const int64_t callUs = untilCallUs();
  if (more || callUs == 0) return;
  const int64_t limitUs = polled ? kPolledVringUs : callUs;
  engine_->wait(callUs > 0 ? std::min(limitUs, callUs) : limitUs);
  policy.observe(monotonicNs() - sinceNs);
}

bool DataPlane::spin(uint64_t sinceNs, uint64_t limitNs) {
  do {
    for (int i = 0; i < kLooksPerClock; i++) {
      if (anyWork()) return true;
      relaxCpu();
    }
  } while (monotonicNs() - sinceNs < limitNs);
  return false;
}

}  // namespace vhost
