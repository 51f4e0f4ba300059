// Latencies in buckets of constant relative width: below 1 % error from 1 ns to hours, one
// increment per sample, no allocation while the load runs.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace bench {

class LatencyHistogram {
 public:
  void Record(uint64_t ns) {
    ++buckets_[BucketOf(ns)];
    ++count_;
    sum_ns_ += ns;
    if (ns > max_ns_) max_ns_ = ns;
  }

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }
  double mean_ns() const { return count_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / count_; }

  double PercentileNs(double fraction) const {
    const auto rank = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
      seen += buckets_[bucket];
      if (seen >= rank && seen > 0) return MiddleOf(bucket);
    }
    return 0.0;
  }

 private:
  static constexpr uint32_t kSubBits = 7;  // 128 buckets per octave: 0.8 % wide
  static constexpr uint32_t kSub = 1u << kSubBits;
  static constexpr uint32_t kBuckets = (64 - kSubBits + 1) * kSub;

  static uint32_t BucketOf(uint64_t ns) {
    if (ns < kSub) return static_cast<uint32_t>(ns);
    const auto shift = static_cast<uint32_t>(std::bit_width(ns)) - 1 - kSubBits;
    return (shift + 1) * kSub + static_cast<uint32_t>((ns >> shift) - kSub);
  }

  static double MiddleOf(uint32_t bucket) {
    if (bucket < kSub) return bucket;
    const uint32_t shift = bucket / kSub - 1;
    const uint64_t low = static_cast<uint64_t>(bucket % kSub + kSub) << shift;
    return static_cast<double>(low) + static_cast<double>(uint64_t{1} << shift) / 2;
  }

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace bench
