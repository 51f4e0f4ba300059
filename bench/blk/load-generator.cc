// A vhost-user-blk front-end that makes load and measures it. One thread, all queues; see
// bench/README.md for how to read what it prints.

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../common/clock.h"
#include "../common/pin.h"
#include "../common/process-cpu.h"
#include "../common/session.h"
#include "../common/vrings.h"
#include "options.h"
#include "request-queue.h"
#include "workload.h"

namespace bench {
namespace {

constexpr uint32_t kWritebackOffset = 32;  // virtio_blk_config.writeback
constexpr uint32_t kConfigBytes = 60;      // up to write_zeroes_may_unmap
constexpr useconds_t kIdleSettleUs = 500'000;

namespace disk_feature {
constexpr uint64_t kSegMax = 1ull << 2, kReadOnly = 1ull << 5, kBlkSize = 1ull << 6;
constexpr uint64_t kFlush = 1ull << 9, kTopology = 1ull << 10, kConfigWce = 1ull << 11;
constexpr uint64_t kMq = 1ull << 12, kDiscard = 1ull << 13, kWriteZeroes = 1ull << 14;
}  // namespace disk_feature

using Queues = std::vector<std::unique_ptr<RequestQueue>>;

struct Measured {
  double elapsed_seconds = 0;
  uint64_t requests = 0;
  uint64_t kicks = 0;
  uint64_t sleeps = 0;
  uint64_t own_cpu_ns = 0;
  std::optional<uint64_t> daemon_cpu_ns;
  std::optional<double> idle_cpu_us_per_second;
};

uint64_t Negotiate(Session& session, const Options& options) {
  using namespace feature;
  using namespace disk_feature;
  uint64_t wanted = kSegMax | kReadOnly | kBlkSize | kFlush | kTopology | kConfigWce | kMq |
                    kDiscard | kWriteZeroes;
  if (options.indirect) wanted |= kIndirectDesc;
  const uint64_t required = kVersion1 | kEventIdx | (options.indirect ? kIndirectDesc : 0);
  const uint64_t accepted = session.Negotiate(wanted, required, options.queues);
  if (options.writes() && (accepted & kReadOnly) != 0)
    throw std::runtime_error("disk is read-only");
  // Both sides of a comparison must cache writes alike, whatever their defaults are.
  if ((accepted & kConfigWce) != 0) session.WriteConfigByte(kWritebackOffset, 1);
  return accepted;
}

uint64_t UsableBytes(Session& session, const Options& options) {
  const ConfigMessage config = session.ReadConfig(kConfigBytes);
  uint64_t capacity_sectors;
  std::memcpy(&capacity_sectors, config.bytes, sizeof(capacity_sectors));
  const uint64_t capacity_bytes = capacity_sectors * 512;
  if (options.size_bytes > capacity_bytes) throw std::runtime_error("--size exceeds the disk");
  return options.size_bytes == 0 ? capacity_bytes : options.size_bytes;
}

Queues MakeQueues(const Options& options, GuestMemory& memory, uint64_t usable_bytes) {
  Queues queues;
  const uint64_t requests = usable_bytes / options.block_bytes;
  const uint64_t per_queue = options.sequential() ? requests / options.queues : requests;
  for (uint32_t index = 0; index < options.queues; ++index) {
    const uint64_t first =
        options.sequential() ? index * per_queue * (options.block_bytes / kBlockBytes) : 0;
    queues.push_back(std::make_unique<RequestQueue>(options, memory, index, first, per_queue));
  }
  return queues;
}

void StopRings(Session& session, Queues& queues) {
  const std::vector<uint32_t> bases = StopVrings(session, static_cast<uint32_t>(queues.size()));
  for (uint32_t index = 0; index < queues.size(); ++index) {
    const uint32_t expected = queues[index]->ring().next_available();
    if (bases[index] != expected)
      throw std::runtime_error("GET_VRING_BASE says " + std::to_string(bases[index]) + ", not " +
                               std::to_string(expected));
  }
}

uint64_t Nanoseconds(double seconds) {
  return static_cast<uint64_t>(seconds * 1e9);
}

double IdleCpuUsPerSecond(const ProcessCpu& daemon, double seconds) {
  usleep(kIdleSettleUs);  // spinning that learns may take a moment to stop
  const ProcessCpu::Sample before = daemon.Take();
  const uint64_t start_ns = NowNs();
  usleep(static_cast<useconds_t>(seconds * 1e6));
  const uint64_t elapsed_ns = NowNs() - start_ns;
  const uint64_t cpu_ns = ProcessCpu::BetweenNs(before, daemon.Take());
  return static_cast<double>(cpu_ns) / 1e3 / (static_cast<double>(elapsed_ns) / 1e9);
}

Measured Run(Workload& workload, const Options& options) {
  Counters& counters = workload.counters();
  std::optional<ProcessCpu> daemon;
  if (options.daemon_pid > 0) daemon.emplace(options.daemon_pid);
  workload.Start();
  workload.RunUntil(NowNs() + Nanoseconds(options.warmup_seconds));

  ProcessCpu::Sample cpu_before;
  if (daemon) cpu_before = daemon->Take();
  const uint64_t own_before_ns = ReadClockNs(CLOCK_PROCESS_CPUTIME_ID);
  const uint64_t start_ns = NowNs();
  const Measured before{0, counters.completed, counters.kicks, counters.sleeps, 0, {}, {}};
  counters.measure_from_ns = start_ns;
  workload.RunUntil(start_ns + Nanoseconds(options.seconds));

  Measured measured;
  measured.elapsed_seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  measured.own_cpu_ns = ReadClockNs(CLOCK_PROCESS_CPUTIME_ID) - own_before_ns;
  if (daemon) measured.daemon_cpu_ns = ProcessCpu::BetweenNs(cpu_before, daemon->Take());
  measured.requests = counters.completed - before.requests;
  measured.kicks = counters.kicks - before.kicks;
  measured.sleeps = counters.sleeps - before.sleeps;
  counters.measure_from_ns = ~uint64_t{0};
  workload.Drain();
  if (daemon && options.idle_seconds > 0)
    measured.idle_cpu_us_per_second = IdleCpuUsPerSecond(*daemon, options.idle_seconds);
  return measured;
}

void PrintOptional(const char* name, const std::optional<double>& value) {
  if (value) std::printf(",\"%s\":%.4f", name, *value);
}

void Print(const Options& options, const Measured& measured, const LatencyHistogram& latency,
           uint64_t features) {
  const double requests = static_cast<double>(std::max<uint64_t>(measured.requests, 1));
  const double iops = static_cast<double>(measured.requests) / measured.elapsed_seconds;
  std::printf("{\"requests\":%llu,\"elapsedSeconds\":%.6f,\"iops\":%.1f,\"mbps\":%.2f",
              static_cast<unsigned long long>(measured.requests), measured.elapsed_seconds, iops,
              iops * options.block_bytes / 1e6);
  std::printf(",\"meanUs\":%.3f,\"p50Us\":%.3f,\"p99Us\":%.3f,\"p999Us\":%.3f,\"maxUs\":%.3f",
              latency.mean_ns() / 1e3, latency.PercentileNs(0.5) / 1e3,
              latency.PercentileNs(0.99) / 1e3, latency.PercentileNs(0.999) / 1e3,
              static_cast<double>(latency.max_ns()) / 1e3);
  std::printf(",\"ownCpuUsPerRequest\":%.4f,\"kicksPerRequest\":%.4f,\"sleepsPerRequest\":%.4f",
              static_cast<double>(measured.own_cpu_ns) / 1e3 / requests,
              static_cast<double>(measured.kicks) / requests,
              static_cast<double>(measured.sleeps) / requests);
  if (measured.daemon_cpu_ns)
    PrintOptional("cpuUsPerRequest", static_cast<double>(*measured.daemon_cpu_ns) / 1e3 / requests);
  PrintOptional("idleCpuUsPerSecond", measured.idle_cpu_us_per_second);
  std::printf(",\"features\":\"0x%llx\",\"errors\":0}\n",
              static_cast<unsigned long long>(features));
}

void Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  if (options.pin_cpu >= 0) PinTo(options.pin_cpu);
  Session session(options.socket);
  const uint64_t features = Negotiate(session, options);
  const uint64_t usable_bytes = UsableBytes(session, options);
  GuestMemory memory(options.queues * RequestQueue::MemoryBytes(options));
  Queues queues = MakeQueues(options, memory, usable_bytes);
  session.ShareMemory(memory);
  Vrings rings;
  for (auto& queue : queues) rings.push_back(&queue->ring());
  StartVrings(session, memory, rings);
  auto workload = std::make_unique<Workload>(options, queues);
  const Measured measured = Run(*workload, options);
  StopRings(session, queues);
  Print(options, measured, workload->counters().latency, features);
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
    std::printf("{\"errors\":1}\n");
    return 1;
  }
}
