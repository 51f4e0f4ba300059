// Two vhost-user-net front-ends in one thread: one sends, the other receives. Either as many frames
// as the ring takes, both polling; or so many a second, both asking for calls. See bench/README.md.

#include <cstdio>
#include <exception>
#include <memory>

#include "../common/clock.h"
#include "../common/latency-histogram.h"
#include "../common/pin.h"
#include "../common/process-cpu.h"
#include "guest.h"
#include "options.h"

namespace bench {
namespace {

constexpr uint32_t kBurst = 32;
constexpr uint64_t kStallNs = 5'000'000'000;
constexpr MacAddress kFromAddress = {0x02, 0, 0, 0, 0, 1};
constexpr MacAddress kToAddress = {0x02, 0, 0, 0, 0, 2};

uint64_t Nanoseconds(double seconds) {
  return static_cast<uint64_t>(seconds * 1e9);
}

class Load {
 public:
  explicit Load(const Options& options)
      : period_ns_(options.rate == 0 ? 0 : 1'000'000'000 / options.rate),
        from_(options.from, kFromAddress, options.frame_bytes),
        to_(options.to, kToAddress, options.frame_bytes),
        latency_(std::make_unique<LatencyHistogram>()) {
    Introduce();
    due_ns_ = NowNs();
  }

  // Works a little; how many frames have come.
  uint32_t Step() { return period_ns_ == 0 ? Flood() : Pace(); }

  void ForgetLatency() { latency_ = std::make_unique<LatencyHistogram>(); }
  const LatencyHistogram& latency() const { return *latency_; }

 private:
  // The device learns where the receiver is, and both ways are seen to work.
  void Introduce() {
    const uint64_t limit_ns = NowNs() + kStallNs;
    while (from_.Receive([](uint64_t) {}) == 0) {
      to_.TakeSent();
      to_.Send(from_.address(), 1);
      if (NowNs() > limit_ns) throw std::runtime_error("no frame came in 5 s");
    }
  }

  uint32_t Flood() {
    from_.TakeSent();
    from_.Send(to_.address(), kBurst);
    const uint32_t came = to_.Receive([](uint64_t) {});
    from_.SuppressCalls();
    to_.SuppressCalls();
    return came;
  }

  uint32_t Pace() {
    const uint64_t now_ns = NowNs();
    if (now_ns >= due_ns_) {
      // A generator that was kept from running goes on from here: no burst is light load.
      due_ns_ = now_ns + period_ns_;
      from_.TakeSent();
      from_.ArmCalls();
      to_.ArmCalls();
      from_.Send(to_.address(), 1);
      sent_ns_ = now_ns;
    }
    return to_.Receive([this](uint64_t) { latency_->Record(NowNs() - sent_ns_); });
  }

  uint64_t period_ns_;
  uint64_t due_ns_ = 0;
  uint64_t sent_ns_ = 0;
  Guest from_;
  Guest to_;
  std::unique_ptr<LatencyHistogram> latency_;
};

uint64_t RunUntil(Load& load, uint64_t deadline_ns) {
  uint64_t came = 0;
  while (NowNs() < deadline_ns) {
    for (uint32_t i = 0; i < kBurst; ++i) came += load.Step();
  }
  return came;
}

void Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  if (options.pin_cpu >= 0) PinTo(options.pin_cpu);
  Load load(options);
  RunUntil(load, NowNs() + Nanoseconds(options.warmup_seconds));
  load.ForgetLatency();
  const ProcessCpu daemon(options.daemon_pid);
  const ProcessCpu::Sample before = daemon.Take();
  const uint64_t start_ns = NowNs();
  const auto frames = static_cast<double>(RunUntil(load, start_ns + Nanoseconds(options.seconds)));
  const double seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  const double cpu = static_cast<double>(ProcessCpu::BetweenNs(before, daemon.Take())) / 1e9;
  if (frames == 0) throw std::runtime_error("no frame went through");
  std::printf("{\"packetsPerSecond\":%.1f,\"packetsPerCpuSecond\":%.1f", frames / seconds,
              frames / cpu);
  if (options.rate > 0) std::printf(",\"p50Us\":%.3f", load.latency().PercentileNs(0.5) / 1e3);
  std::printf("}\n");
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::Main(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    // One failed check spoils the whole run: a fast wrong answer is no result.
    std::fprintf(stderr, "load-generator: %s\n", error.what());
    return 1;
  }
}
