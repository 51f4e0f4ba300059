// CPU time of another process, all its threads, in nanoseconds.
#pragma once

#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace bench {

class ProcessCpu {
 public:
  struct Sample {
    std::map<int, uint64_t> thread_ns;
    uint64_t total_ticks_ns = 0;
  };

  explicit ProcessCpu(pid_t pid) : root_("/proc/" + std::to_string(pid)) {}

  Sample Take() const {
    Sample sample;
    sample.total_ticks_ns = ReadStatNs();
    const std::string tasks = root_ + "/task";
    std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(tasks.c_str()), closedir);
    if (!directory) throw std::runtime_error("no process behind --daemon-pid: " + root_);
    while (const dirent* entry = readdir(directory.get())) {
      const int tid = std::atoi(entry->d_name);
      if (tid <= 0) continue;
      std::ifstream file(tasks + "/" + entry->d_name + "/schedstat");
      uint64_t on_cpu_ns = 0;
      if (file >> on_cpu_ns) sample.thread_ns[tid] = on_cpu_ns;
    }
    return sample;
  }

  // schedstat counts nanoseconds but forgets threads that ended (io_uring workers come and go);
  // the process total remembers them, in clock ticks. Prefer the first while nobody left.
  static uint64_t BetweenNs(const Sample& before, const Sample& after) {
    const uint64_t ticks_ns = after.total_ticks_ns - before.total_ticks_ns;
    if (before.thread_ns.empty() || after.thread_ns.empty()) return ticks_ns;
    uint64_t sum_ns = 0;
    for (const auto& [tid, start_ns] : before.thread_ns) {
      if (!after.thread_ns.contains(tid)) return ticks_ns;
    }
    for (const auto& [tid, end_ns] : after.thread_ns) {
      const auto start = before.thread_ns.find(tid);
      sum_ns += end_ns - (start == before.thread_ns.end() ? 0 : start->second);
    }
    return sum_ns;
  }

 private:
  uint64_t ReadStatNs() const {
    std::ifstream file(root_ + "/stat");
    std::string line;
    std::getline(file, line);
    const size_t after_name = line.rfind(')');  // the command name may hold spaces
    if (after_name == std::string::npos) throw std::runtime_error("cannot read " + root_ + "/stat");
    unsigned long user_ticks = 0;
    unsigned long system_ticks = 0;
    std::sscanf(line.c_str() + after_name + 1,
                " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user_ticks, &system_ticks);
    return (user_ticks + system_ticks) * (1'000'000'000u / sysconf(_SC_CLK_TCK));
  }

  std::string root_;
};

}  // namespace bench
