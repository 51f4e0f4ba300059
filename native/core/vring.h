// A virtqueue together with the descriptors that connect it: kick, call and err.
#ifndef VHOST_CORE_VRING_H_
#define VHOST_CORE_VRING_H_

#include <cstdint>

#include "virtqueue.h"

namespace vhost {

// How a chain in flight is named outside: its queue and its head index.
constexpr uint32_t chainToken(uint32_t queue, uint16_t head) {
  return queue << 16 | head;
}

// When the driver is told of used buffers (VIRTIO 1.3 §5.1.6.5.8): `us` after the first of them, or
// when there are `packets`. us = 0: at once. packets = 0: only time counts.
struct CallPacing {
  uint32_t packets = 0;
  uint32_t us = 0;
};

class Vring {
 public:
  Vring() = default;
  ~Vring();
  Vring(const Vring&) = delete;
  Vring& operator=(const Vring&) = delete;

  Virtqueue ring;
  bool enabled = false;
  bool everEnabled = false;
  bool draining = false;   // pop nothing new
  bool suspended = false;  // nor show the driver anything more
  // An I/O address has no translation: asked for, and nothing is popped until it comes.
  bool awaiting = false;
  MissingTranslation missing;
  // The ring's own translation was taken back: it is unmapped once nothing is in flight.
  bool leaving = false;
  RingFault fault = RingFault::kNone;
  // Chains that come are looked for when a turn comes by, not by waking for them.
  bool kicksAsked = true;
  bool inbandKicks = false;  // kicks come as messages: without descriptor nothing is polled
  bool inbandCalls = false;  // without descriptor calls leave as messages
  bool callTold = false;     // such a call is among the events TypeScript has not seen yet
  uint32_t pollToken = 0;    // 0: the kick descriptor is not watched
  int kickFd = -1;

  CallPacing pacing;
  uint32_t usedSinceCall = 0;
  uint64_t callDueNs = 0;  // a call is held back until then; 0: none is

  uint64_t requests = 0;
  uint64_t calls = 0;

  bool popping() const {
    if (fault != RingFault::kNone || awaiting || leaving) return false;
    return draining ? popsLeftovers() : enabled;
  }
  // What a former back-end left behind is drained with the rest.
  bool popsLeftovers() const { return everEnabled && !suspended && ring.leftoverCount() > 0; }

  bool polled() const { return kickFd < 0 && !inbandKicks; }
  bool callsByMessage() const { return callFd_ < 0 && inbandCalls; }

  // The vring owns what it is given; -1: none (the front-end polls, or cares not).
  void setCall(int fd);
  void setErr(int fd);
  void setKick(int fd);

  void call();
  void signalError();

 private:
  int callFd_ = -1;
  int errFd_ = -1;
};

}  // namespace vhost

#endif  // VHOST_CORE_VRING_H_
