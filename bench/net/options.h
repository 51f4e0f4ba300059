// Command line of the load generator.
#pragma once

#include <getopt.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "guest.h"

namespace bench {

struct Options {
  std::string from;  // socket of the guest that sends
  std::string to;    // and of the one that receives
  uint32_t frame_bytes = 64;
  uint32_t rate = 0;  // frames per second; 0: as many as the ring takes
  double seconds = 1.0;
  double warmup_seconds = 0.25;
  int pin_cpu = -1;
  int daemon_pid = 0;
};

inline Options ParseOptions(int argc, char** argv) {
  static const option kLong[] = {{"from", required_argument, nullptr, 'f'},
                                 {"to", required_argument, nullptr, 't'},
                                 {"frame-bytes", required_argument, nullptr, 'b'},
                                 {"rate", required_argument, nullptr, 'r'},
                                 {"seconds", required_argument, nullptr, 's'},
                                 {"warmup", required_argument, nullptr, 'W'},
                                 {"pin", required_argument, nullptr, 'p'},
                                 {"daemon-pid", required_argument, nullptr, 'D'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  const auto number = [] { return static_cast<uint32_t>(std::strtoul(optarg, nullptr, 10)); };
  int letter;
  while ((letter = getopt_long(argc, argv, "", kLong, nullptr)) != -1) {
    switch (letter) {
      case 'f':
        options.from = optarg;
        break;
      case 't':
        options.to = optarg;
        break;
      case 'b':
        options.frame_bytes = number();
        break;
      case 'r':
        options.rate = number();
        break;
      case 's':
        options.seconds = std::strtod(optarg, nullptr);
        break;
      case 'W':
        options.warmup_seconds = std::strtod(optarg, nullptr);
        break;
      case 'p':
        options.pin_cpu = static_cast<int>(number());
        break;
      case 'D':
        options.daemon_pid = static_cast<int>(number());
        break;
      default:
        throw std::runtime_error("unknown option");
    }
  }
  if (options.frame_bytes < kFrameBytesMin || options.frame_bytes > kFrameBytesMax)
    throw std::runtime_error("--frame-bytes is " + std::to_string(kFrameBytesMin) + " to " +
                             std::to_string(kFrameBytesMax));
  return options;
}

}  // namespace bench
