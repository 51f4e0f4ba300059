// The loop of the one thread that drives all queues, sleeping on calls or spinning.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "../common/clock.h"
#include "request-queue.h"

namespace bench {

class Workload {
 public:
  Workload(const Options& options, std::vector<std::unique_ptr<RequestQueue>>& queues)
      : poll_(options.poll), queues_(queues), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (auto& queue : queues_) {
      // Edge-triggered: each call wakes us, none has to be read. One system call per sleep, which
      // is as close as a process gets to an interrupt, and no EAGAIN when the back-end has made
      // the shared eventfd non-blocking.
      epoll_event event{EPOLLIN | EPOLLET, {}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, queue->ring().call_fd(), &event) != 0)
        throw std::runtime_error("epoll_ctl failed");
    }
  }
  ~Workload() { close(epoll_); }
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  Counters& counters() { return counters_; }

  void Start() {
    for (auto& queue : queues_) {
      if (poll_) queue->ring().SuppressCall();
      queue->Start(counters_);
    }
  }
  void RunUntil(uint64_t deadline_ns) {
    Loop(false, [&] { return NowNs() >= deadline_ns; });
  }
  void Drain() {
    Loop(true, [&] {
      for (auto& queue : queues_) {
        if (queue->in_flight() > 0) return false;
      }
      return true;
    });
  }

 private:
  static constexpr int kStallTimeoutMs = 5000;  // no device is this slow: a completion was lost
  static constexpr useconds_t kRescueUs = 200'000;
  static constexpr uint32_t kSpinsPerClockRead = 256;

  template <typename Done>
  void Loop(bool stopping, Done done) {
    uint32_t spins = 0;
    uint64_t progress_ns = NowNs();
    while (!done()) {
      if (ServiceAll(stopping) > 0) {
        spins = 0;
        continue;
      }
      if (!poll_) {
        Sleep();
        continue;
      }
      // done() reads the clock; most empty turns of a polling driver only look at the rings.
      if (spins == 0) progress_ns = NowNs();
      while (++spins % kSpinsPerClockRead != 0 && !AnyUsed()) __builtin_ia32_pause();
      if (spins % kSpinsPerClockRead == 0 && NowNs() - progress_ns > kStallTimeoutMs * 1'000'000ull)
        ThrowStalled();
    }
  }

  // A spurious kick is always allowed; whether it helps says who forgot the requests.
  [[noreturn]] void ThrowStalled() {
    std::string message = "stalled: no completion for 5 s";
    for (auto& queue : queues_) {
      message += "; " + queue->ring().Describe();
      if (queue->in_flight() > 0) queue->ring().Kick();
    }
    usleep(kRescueUs);
    throw std::runtime_error(
        message + (AnyUsed() ? "; a spurious kick revived it" : "; a spurious kick did not help"));
  }

  uint32_t ServiceAll(bool stopping) {
    uint32_t finished = 0;
    for (auto& queue : queues_) {
      finished += queue->Service(counters_, stopping);
      if (poll_) queue->ring().SuppressCall();
    }
    return finished;
  }

  bool AnyUsed() const {
    for (auto& queue : queues_) {
      if (queue->ring().ReadUsedIndex() != queue->ring().last_used()) return true;
    }
    return false;
  }

  // VIRTIO 1.3 §2.7.10: publish used_event, fence, look again, and only then sleep.
  void Sleep() {
    for (auto& queue : queues_) queue->ring().ArmCall();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (AnyUsed()) return;
    ++counters_.sleeps;
    epoll_event event;
    const int ready = epoll_wait(epoll_, &event, 1, kStallTimeoutMs);
    if (ready < 0 && errno != EINTR) throw std::runtime_error("epoll_wait failed");
    if (ready > 0) return;
    if (AnyUsed()) throw std::runtime_error("lost call: completions wait and no call came");
    if (ready == 0) ThrowStalled();
  }

  bool poll_;
  std::vector<std::unique_ptr<RequestQueue>>& queues_;
  int epoll_;
  Counters counters_;
};

}  // namespace bench
