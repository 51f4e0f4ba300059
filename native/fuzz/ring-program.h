// A driver and a device at one ring, who do what the input says: the driver anything at all, the
// device what the data plane may do.
#ifndef VHOST_FUZZ_RING_PROGRAM_H_
#define VHOST_FUZZ_RING_PROGRAM_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "driver-side.h"
#include "guest.h"
#include "input.h"
#include "ring-log.h"

namespace vhost::fuzz {

template <typename Ring, typename DriverSide>
class RingProgram {
 public:
  RingProgram(const uint8_t* data, size_t bytes) : input_(data, bytes) {}

  void run() {
    guest_.reset();
    const uint8_t how = input_.byte();
    const bool platform = how & 2;
    driver_ = DriverSide(&guest_, &input_, how);
    if (how & 4) logged(how & 1);
    const auto& memory = platform ? guest_.translated() : guest_.memory();
    const int started = ring_.start(memory, driver_.size(), driver_.addresses(platform),
                                    driver_.base(), how & 1, {platform, false});
    if (started != 0) return;
    while (!input_.empty() && fault_ == RingFault::kNone) step();
    leave();
  }

 private:
  static constexpr uint64_t kLogBytes = 512;  // covers the two lower regions only

  void logged(bool used) {
    int error = 0;
    ring_.setLog(
        {DirtyLog::map(Guest::logFile(), kLogBytes, 0, &error), true, used, Guest::kLowAddress});
    REQUIRE(error == 0);
  }

  void step() {
    switch (input_.below(12)) {
      case 0:
      case 1:
      case 2:
        return driver_.offer();
      case 3:
        return driver_.describe();
      case 4:
        return guest_.writeTableEntry(&input_, DriverSide::kPacked);
      case 5:
        return driver_.scribble();
      case 6:
      case 7:
        return popSome(1 + input_.below(8), false);
      case 8:
        return finishOne();
      case 9:
        return publish();
      case 10:
        return popSome(1, true);
      default:
        return lookAtChain();
    }
  }

  void popSome(uint32_t count, bool takeBack) {
    uint32_t available = 0;
    fault_ = ring_.map();
    if (fault_ == RingFault::kNone) fault_ = ring_.available(&available);
    if (fault_ == RingFault::kNone) ring_.disableNotification();
    for (; count > 0 && available > 0 && fault_ == RingFault::kNone; count--, available--) {
      uint16_t head = 0;
      fault_ = ring_.pop(&head);
      if (fault_ != RingFault::kNone) break;
      REQUIRE(ring_.inFlight(head));
      guest_.verify(ring_.chain(head), ring_.size());
      if (takeBack) {
        ring_.unpop(head);
        break;
      }
      heads_.push_back(head);
      verifyTotals();
    }
    // No fault: the translation is asked for, and here never comes.
    if (fault_ == kTranslationMissing) fault_ = RingFault::kNone;
  }

  void finishOne() {
    if (heads_.empty()) return;
    const size_t which = input_.byte() % heads_.size();
    const uint16_t head = heads_[which];
    ring_.addUsed(head, input_.word());
    REQUIRE(!ring_.inFlight(head));
    heads_.erase(heads_.begin() + static_cast<ptrdiff_t>(which));
    verifyTotals();
  }

  void publish() {
    if (ring_.unpublished()) {
      ring_.publish();
      ring_.needsCall();
    }
    if (ring_.mapped()) ring_.enableNotification();
  }

  void lookAtChain() {
    if (heads_.empty()) return;
    DescriptorChain& chain = ring_.chain(heads_[input_.byte() % heads_.size()]);
    const uint32_t offset = input_.word();
    const uint32_t bytes = input_.byte();
    // As large as asked for, no more: AddressSanitizer watches its end.
    std::vector<uint8_t> copy(bytes);
    REQUIRE(chain.copyOut(offset, copy.data(), bytes) <= bytes);
    REQUIRE(chain.copyIn(offset, copy.data(), bytes) <= bytes);
    std::vector<iovec> pieces;
    REQUIRE(chain.slice(input_.byte() & 1, offset, bytes, &pieces) <= bytes);
  }

  void verifyTotals() {
    uint64_t segments = 0;
    uint64_t bytes = 0;
    for (const uint16_t head : heads_) {
      const DescriptorChain& chain = ring_.chain(head);
      segments += chain.segments.size();
      bytes += uint64_t{chain.readableBytes} + chain.writableBytes;
    }
    REQUIRE(ring_.inFlightCount() == heads_.size());
    REQUIRE(ring_.inFlightSegments() == segments);
    REQUIRE(ring_.inFlightBytes() == bytes);
  }

  void leave() {
    ring_.logInFlight();
    for (const uint16_t head : heads_) ring_.abandon(head);
    heads_.clear();
    verifyTotals();
  }

  Input input_;
  Guest& guest_ = Guest::instance();
  DriverSide driver_;
  Ring ring_;
  RingFault fault_ = RingFault::kNone;
  std::vector<uint16_t> heads_;  // in flight
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_RING_PROGRAM_H_
