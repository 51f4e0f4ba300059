// Command line of the load generator.
#pragma once

#include <getopt.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace bench {

constexpr uint32_t kBlockBytes = 4096;        // the image carries its pattern per 4 KiB block
constexpr uint32_t kDescriptorsPerChain = 3;  // header, data, status

struct Options {
  std::string socket;
  std::string rw = "randread";
  uint32_t block_bytes = kBlockBytes;
  uint32_t depth = 1;
  uint32_t queues = 1;
  uint32_t ring_entries = 256;
  bool poll = false;
  bool indirect = false;
  bool verify = false;
  double seconds = 1.0;
  double warmup_seconds = 0.25;
  double idle_seconds = 0.0;
  uint64_t size_bytes = 0;  // 0: the whole device
  int pin_cpu = -1;
  int daemon_pid = 0;

  bool writes() const { return rw == "randwrite" || rw == "write"; }
  bool sequential() const { return rw == "read" || rw == "write"; }
};

inline void CheckOptions(const Options& options) {
  const auto refuse = [](const char* why) { throw std::runtime_error(why); };
  if (options.socket.empty()) refuse("--socket is required");
  if (options.rw != "randread" && options.rw != "randwrite" && !options.sequential())
    refuse("--rw is one of randread, randwrite, read, write");
  if (options.block_bytes == 0 || options.block_bytes % kBlockBytes != 0)
    refuse("--bs is a multiple of 4096: the pattern is per 4 KiB block");
  if (options.queues == 0 || options.queues > 64) refuse("--queues is 1..64");
  if (options.ring_entries == 0 || options.ring_entries > 32768 ||
      (options.ring_entries & (options.ring_entries - 1)) != 0)
    refuse("--ring-size is a power of 2 up to 32768");
  const uint32_t per_request = options.indirect ? 1 : kDescriptorsPerChain;
  if (options.depth == 0 || options.depth * per_request > options.ring_entries)
    refuse("--qd does not fit the ring: use --indirect or a larger --ring-size");
}

inline Options ParseOptions(int argc, char** argv) {
  static const option kLong[] = {{"socket", required_argument, nullptr, 's'},
                                 {"rw", required_argument, nullptr, 'r'},
                                 {"bs", required_argument, nullptr, 'b'},
                                 {"qd", required_argument, nullptr, 'd'},
                                 {"queues", required_argument, nullptr, 'q'},
                                 {"ring-size", required_argument, nullptr, 'n'},
                                 {"mode", required_argument, nullptr, 'm'},
                                 {"indirect", no_argument, nullptr, 'i'},
                                 {"verify", no_argument, nullptr, 'v'},
                                 {"seconds", required_argument, nullptr, 't'},
                                 {"warmup", required_argument, nullptr, 'w'},
                                 {"idle", required_argument, nullptr, 'I'},
                                 {"size", required_argument, nullptr, 'z'},
                                 {"pin", required_argument, nullptr, 'p'},
                                 {"daemon-pid", required_argument, nullptr, 'P'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  int letter;
  while ((letter = getopt_long(argc, argv, "", kLong, nullptr)) != -1) {
    const auto number = [] { return static_cast<uint32_t>(std::strtoul(optarg, nullptr, 10)); };
    switch (letter) {
      case 's':
        options.socket = optarg;
        break;
      case 'r':
        options.rw = optarg;
        break;
      case 'b':
        options.block_bytes = number();
        break;
      case 'd':
        options.depth = number();
        break;
      case 'q':
        options.queues = number();
        break;
      case 'n':
        options.ring_entries = number();
        break;
      case 'm': {
        const std::string mode = optarg;
        if (mode != "event" && mode != "poll") throw std::runtime_error("--mode is event or poll");
        options.poll = mode == "poll";
        break;
      }
      case 'i':
        options.indirect = true;
        break;
      case 'v':
        options.verify = true;
        break;
      case 't':
        options.seconds = std::strtod(optarg, nullptr);
        break;
      case 'w':
        options.warmup_seconds = std::strtod(optarg, nullptr);
        break;
      case 'I':
        options.idle_seconds = std::strtod(optarg, nullptr);
        break;
      case 'z':
        options.size_bytes = std::strtoull(optarg, nullptr, 10);
        break;
      case 'p':
        options.pin_cpu = static_cast<int>(number());
        break;
      case 'P':
        options.daemon_pid = static_cast<int>(number());
        break;
      default:
        throw std::runtime_error("unknown option");
    }
  }
  CheckOptions(options);
  return options;
}

}  // namespace bench
