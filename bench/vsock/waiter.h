// epoll over a few sockets and calls, by edges: one system call a sleep, nothing has to be read.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <stdexcept>

namespace bench {

class Waiter {
 public:
  // No device is this slow: something was lost.
  static constexpr int kStallTimeoutMs = 5000;

  Waiter() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Waiter() { close(epoll_); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  void Watch(int fd, uint32_t id) {
    epoll_event event{EPOLLIN | EPOLLOUT | EPOLLET, {}};
    event.data.u32 = id;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
      throw std::runtime_error("epoll_ctl failed");
  }

  // Calls ready(id) for whatever has become readable or writable.
  template <typename Ready>
  void Look(Ready ready) {
    Take(0, ready);
  }
  template <typename Ready>
  void Sleep(Ready ready) {
    if (Take(kStallTimeoutMs, ready) == 0) throw std::runtime_error("stalled: nothing for 5 s");
  }

 private:
  template <typename Ready>
  int Take(int timeout_ms, Ready ready) {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_, events.data(), events.size(), timeout_ms);
    if (count < 0 && errno != EINTR) throw std::runtime_error("epoll_wait failed");
    for (int i = 0; i < count; ++i) ready(events[static_cast<size_t>(i)].data.u32);
    return count;
  }

  int epoll_;
};

}  // namespace bench
