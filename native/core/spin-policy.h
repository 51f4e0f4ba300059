// Whether to spin before sleeping. Spinning pays when the next event usually comes within the
// limit; an idle or slow guest must cost nothing, so each long wait takes credit away.
#ifndef VHOST_CORE_SPIN_POLICY_H_
#define VHOST_CORE_SPIN_POLICY_H_

#include <algorithm>
#include <cstdint>

namespace vhost {

class SpinPolicy {
 public:
  explicit SpinPolicy(uint32_t limitUs) : limitNs_(uint64_t{limitUs} * 1000) {}

  bool worthIt() const { return limitNs_ > 0 && credit_ > 0; }
  uint64_t limitNs() const { return limitNs_; }

  // gapNs: how long the wait just over was, asleep or not.
  void observe(uint64_t gapNs) {
    credit_ =
        gapNs <= limitNs_ ? std::min(credit_ + 1, kCreditMax) : std::max(credit_ - kPenalty, 0);
  }

 private:
  static constexpr int kCreditMax = 8;
  static constexpr int kPenalty = 4;  // two long waits in a row end the spinning

  uint64_t limitNs_;
  int credit_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_SPIN_POLICY_H_
