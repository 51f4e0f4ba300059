// A vhost-user-vsock front-end that makes load and measures it, with the host's programs in the
// same thread; and the same load without a device in between. See bench/README.md.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "../common/clock.h"
#include "../common/latency-histogram.h"
#include "../common/pin.h"
#include "../common/process-cpu.h"
#include "bulk.h"
#include "many.h"
#include "options.h"
#include "round-trip.h"

namespace bench {
namespace {

constexpr double kGibibyte = 1024.0 * 1024 * 1024;

uint64_t Nanoseconds(double seconds) {
  return static_cast<uint64_t>(seconds * 1e9);
}

// How much came in how many seconds, and the CPU time the daemon took for it.
struct Measured {
  uint64_t amount = 0;
  double seconds = 0;
  std::optional<double> daemon_cpu_seconds;
};

// step() works a little and says how much of what is counted has come.
template <typename Step>
Measured Measure(const Options& options, Step step) {
  const auto until = [&](uint64_t deadline_ns) {
    uint64_t amount = 0;
    while (NowNs() < deadline_ns) amount += step();
    return amount;
  };
  until(NowNs() + Nanoseconds(options.warmup_seconds));
  std::optional<ProcessCpu> daemon;
  if (options.daemon_pid > 0) daemon.emplace(options.daemon_pid);
  ProcessCpu::Sample before;
  if (daemon) before = daemon->Take();
  const uint64_t start_ns = NowNs();
  Measured measured;
  measured.amount = until(start_ns + Nanoseconds(options.seconds));
  measured.seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  if (daemon) {
    measured.daemon_cpu_seconds =
        static_cast<double>(ProcessCpu::BetweenNs(before, daemon->Take())) / 1e9;
  }
  return measured;
}

void PrintCpu(const char* name, const Measured& measured, double per) {
  if (measured.daemon_cpu_seconds)
    std::printf(",\"%s\":%.4f", name, *measured.daemon_cpu_seconds / per);
}

template <typename Load>
void Bulk(const Options& options) {
  Load load(options);
  const Measured measured = Measure(options, [&] { return load.Step(); });
  const auto bytes = static_cast<double>(measured.amount);
  std::printf("{\"gbps\":%.4f", bytes * 8 / 1e9 / measured.seconds);
  PrintCpu("cpuSecondsPerGib", measured, bytes / kGibibyte);
  std::printf("}\n");
}

template <typename Load>
void RoundTrip(const Options& options) {
  Load load(options);
  auto latency = std::make_unique<LatencyHistogram>();
  const uint64_t warm_ns = NowNs() + Nanoseconds(options.warmup_seconds);
  Measure(options, [&] {
    const uint64_t start_ns = NowNs();
    load.Step();
    const uint64_t end_ns = NowNs();
    if (start_ns > warm_ns) latency->Record(end_ns - start_ns);
    return 1;
  });
  std::printf("{\"p50Us\":%.3f,\"p99Us\":%.3f,\"meanUs\":%.3f,\"roundTrips\":%llu}\n",
              latency->PercentileNs(0.5) / 1e3, latency->PercentileNs(0.99) / 1e3,
              latency->mean_ns() / 1e3, static_cast<unsigned long long>(latency->count()));
}

template <typename Load>
void Connect(const Options& options) {
  Load load(options);
  const Measured measured = Measure(options, [&] { return load.Step(); });
  const auto count = static_cast<double>(measured.amount);
  std::printf("{\"perSecond\":%.1f", count / measured.seconds);
  PrintCpu("cpuUsPerConnection", measured, count / 1e6);
  std::printf("}\n");
}

uint64_t ResidentBytes(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  if (!(status >> size >> resident)) throw std::runtime_error("no process behind --daemon-pid");
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void Hold(const Options& options) {
  const uint64_t before = ResidentBytes(options.daemon_pid);
  HeldConnections held(options);
  const auto grown = static_cast<double>(ResidentBytes(options.daemon_pid)) - before;
  const ProcessCpu daemon(options.daemon_pid);
  usleep(200'000);  // a spin that learns takes a moment to stop
  const ProcessCpu::Sample sample = daemon.Take();
  const uint64_t start_ns = NowNs();
  usleep(static_cast<useconds_t>(options.seconds * 1e6));
  const double seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  std::printf("{\"bytesPerConnection\":%.1f,\"idleCpuUsPerSecond\":%.1f}\n",
              grown / options.connections,
              static_cast<double>(ProcessCpu::BetweenNs(sample, daemon.Take())) / 1e3 / seconds);
}

void Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  if (options.pin_cpu >= 0) PinTo(options.pin_cpu);
  const std::string what = options.peer + " " + options.work;
  if (what == "vsock bulk") {
    options.from_guest ? Bulk<GuestToHost>(options) : Bulk<HostToGuest>(options);
  } else if (what == "pair bulk") {
    Bulk<PlainPair>(options);
  } else if (what == "relay bulk") {
    Bulk<ThroughRelay>(options);
  } else if (what == "vsock round-trip") {
    RoundTrip<DeviceRoundTrip>(options);
  } else if (what == "pair round-trip") {
    RoundTrip<PairRoundTrip>(options);
  } else if (what == "relay round-trip") {
    RoundTrip<RelayRoundTrip>(options);
  } else if (what == "vsock connect") {
    options.from_guest ? Connect<GuestConnects>(options) : Connect<HostConnects>(options);
  } else if (what == "pair connect") {
    Connect<PlainConnects>(options);
  } else if (what == "vsock hold") {
    Hold(options);
  } else {
    throw std::runtime_error("no such load: " + what);
  }
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
