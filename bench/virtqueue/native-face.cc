// Nanoseconds for a chain through the native rings, without Node: pop, and give back with the
// answer whether the driver wants a call. The driver's half (native/test/driver.h) is not timed.
// Prints one JSON object for each case, fastest of the rounds: noise only adds.
//   native-face SIZE ROUNDS FILLS
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <vector>

#include "driver.h"
#include "owned-queue.h"

namespace {

using vhost::OwnedQueue;
using vhost::OwnedQueueStart;
using vhost::RequestRecord;
using vhost::UsedRecord;
using vhost::test::Driver;
using vhost::test::Used;

constexpr uint32_t kTableBytes = 64;
constexpr uint32_t kBatches[] = {1, 8, 32, 256};
constexpr uint32_t kHeaderBytes = 16;

struct Shape {
  const char* name;
  bool packed;
  bool indirect;
  uint32_t buffers;
};

// One buffer: what moves without the walk. Three: header, data and status of a disk.
constexpr Shape kShapes[] = {
    {"split/direct/1", false, false, 1},  {"split/direct/3", false, false, 3},
    {"split/indirect/3", false, true, 3}, {"packed/direct/1", true, false, 1},
    {"packed/direct/3", true, false, 3},  {"packed/indirect/3", true, true, 3},
};

struct Times {
  double popNs = std::numeric_limits<double>::max();
  double publishNs = std::numeric_limits<double>::max();
};

uint64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

class Bench {
 public:
  Bench(const Shape& shape, uint32_t size)
      : shape_(shape),
        driver_({.size = size,
                 .base = static_cast<uint16_t>(shape.packed ? 0x8000 : 0),
                 .packed = shape.packed}),
        perFill_(shape.indirect ? size : size / shape.buffers) {
    const OwnedQueueStart with{
        {shape.packed, size, driver_.addresses(), driver_.base(), true, {}, false},
        driver_.options().base,
        kHeaderBytes,
        nullptr,
        0};
    if (queue_.start(driver_.memory(), with) != 0) std::exit(1);
  }

  Times round(uint32_t batch, uint32_t fills) {
    uint64_t popNs = 0;
    uint64_t publishNs = 0;
    for (uint32_t i = 0; i < fills; i++) {
      fill();
      const uint64_t start = nowNs();
      popAll(batch);
      const uint64_t popped = nowNs();
      publishAll(batch);
      publishNs += nowNs() - popped;
      popNs += popped - start;
      reap();
    }
    const double chains = static_cast<double>(fills) * perFill_;
    return {static_cast<double>(popNs) / chains, static_cast<double>(publishNs) / chains};
  }

 private:
  void fill() {
    const uint64_t data = driver_.heap() + driver_.options().size * kTableBytes;
    for (uint32_t i = 0; i < perFill_; i++) {
      std::vector<vhost::test::Buffer> buffers{{data, 16, false}};
      for (uint32_t k = 1; k < shape_.buffers; k++) buffers.push_back({data + k * 64, 16, true});
      const auto head = static_cast<uint16_t>(shape_.indirect ? i : i * shape_.buffers);
      if (shape_.indirect) {
        driver_.indirect(head, driver_.heap() + i * kTableBytes, buffers);
      } else {
        driver_.chain(head, buffers);
      }
      driver_.offer(head);
    }
  }

  void popAll(uint32_t batch) {
    heads_.clear();
    for (int32_t count = 0; (count = queue_.pop(batch, records_)) > 0;) {
      for (int32_t i = 0; i < count; i++) heads_.push_back({records_[i].chain, 16});
    }
  }

  void publishAll(uint32_t batch) {
    for (size_t i = 0; i < heads_.size(); i += batch) {
      const auto count = static_cast<uint32_t>(std::min<size_t>(batch, heads_.size() - i));
      if (queue_.addUsed(&heads_[i], count) != static_cast<int32_t>(count)) std::exit(1);
      wanted_ += queue_.ring().needsCall() ? 1 : 0;
    }
  }

  void reap() {
    uint32_t taken = 0;
    for (Used used; driver_.takeUsed(&used);) taken++;
    // A fast wrong answer is no result.
    if (taken != perFill_) std::exit(1);
    driver_.askForCall();
  }

  Shape shape_;
  Driver driver_;
  OwnedQueue queue_;
  uint32_t perFill_;
  uint64_t wanted_ = 0;
  RequestRecord records_[256];
  std::vector<UsedRecord> heads_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto size = static_cast<uint32_t>(std::atoi(argv[1]));
  const int rounds = std::atoi(argv[2]);
  const auto fills = static_cast<uint32_t>(std::atoi(argv[3]));
  const char* separator = "[";
  for (const Shape& shape : kShapes) {
    Bench bench(shape, size);
    for (const uint32_t batch : kBatches) {
      Times best;
      for (int i = 0; i < rounds; i++) {
        const Times now = bench.round(batch, fills);
        if (now.popNs + now.publishNs < best.popNs + best.publishNs) best = now;
      }
      std::printf("%s{\"shape\":\"%s\",\"batch\":%u,\"popNs\":%.2f,\"publishNs\":%.2f}\n",
                  separator, shape.name, batch, best.popNs, best.publishNs);
      separator = ",";
    }
  }
  std::printf("]\n");
  return 0;
}
