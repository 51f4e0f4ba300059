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
  std::string peer = "vsock";  // or pair (a plain socket pair), relay (a program between sockets)
  std::string work = "bulk";   // or round-trip, connect, hold
  bool from_guest = true;
  bool poll = false;
  std::string socket;       // vsock: the device's
  std::string path;         // vsock: --uds-path of the device; relay: where it listens
  std::string listen_path;  // relay: where it connects to
  uint32_t streams = 1;
  uint32_t piece_bytes = 65536;
  uint32_t message_bytes = 64;
  uint32_t connections = 10'000;
  GuestOptions guest;
  double seconds = 1.0;
  double warmup_seconds = 0.25;
  int pin_cpu = -1;
  int far_cpu = -1;  // of the other end of a plain pair
  int daemon_pid = 0;
};

inline Options ParseOptions(int argc, char** argv) {
  static const option kLong[] = {{"peer", required_argument, nullptr, 'P'},
                                 {"work", required_argument, nullptr, 'w'},
                                 {"direction", required_argument, nullptr, 'd'},
                                 {"mode", required_argument, nullptr, 'm'},
                                 {"socket", required_argument, nullptr, 's'},
                                 {"path", required_argument, nullptr, 'u'},
                                 {"listen-path", required_argument, nullptr, 'l'},
                                 {"streams", required_argument, nullptr, 'n'},
                                 {"piece-bytes", required_argument, nullptr, 'b'},
                                 {"message-bytes", required_argument, nullptr, 'g'},
                                 {"connections", required_argument, nullptr, 'c'},
                                 {"receive-bytes", required_argument, nullptr, 'r'},
                                 {"credit-bytes", required_argument, nullptr, 'k'},
                                 {"seconds", required_argument, nullptr, 't'},
                                 {"warmup", required_argument, nullptr, 'W'},
                                 {"pin", required_argument, nullptr, 'p'},
                                 {"far-pin", required_argument, nullptr, 'f'},
                                 {"daemon-pid", required_argument, nullptr, 'D'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  const auto number = [] { return static_cast<uint32_t>(std::strtoul(optarg, nullptr, 10)); };
  const auto either = [](const char* yes, const char* no) {
    const std::string given = optarg;
    if (given != yes && given != no)
      throw std::runtime_error(given + " is neither " + yes + " nor " + no);
    return given == yes;
  };
  int letter;
  while ((letter = getopt_long(argc, argv, "", kLong, nullptr)) != -1) {
    switch (letter) {
      case 'P':
        options.peer = optarg;
        break;
      case 'w':
        options.work = optarg;
        break;
      case 'd':
        options.from_guest = either("guest-to-host", "host-to-guest");
        break;
      case 'm':
        options.poll = either("poll", "event");
        break;
      case 's':
        options.socket = optarg;
        break;
      case 'u':
        options.path = optarg;
        break;
      case 'l':
        options.listen_path = optarg;
        break;
      case 'n':
        options.streams = number();
        break;
      case 'b':
        options.piece_bytes = number();
        break;
      case 'g':
        options.message_bytes = number();
        break;
      case 'c':
        options.connections = number();
        break;
      case 'r':
        options.guest.receive_bytes = number();
        break;
      case 'k':
        options.guest.credit_bytes = number();
        break;
      case 't':
        options.seconds = std::strtod(optarg, nullptr);
        break;
      case 'W':
        options.warmup_seconds = std::strtod(optarg, nullptr);
        break;
      case 'p':
        options.pin_cpu = static_cast<int>(number());
        break;
      case 'f':
        options.far_cpu = static_cast<int>(number());
        break;
      case 'D':
        options.daemon_pid = static_cast<int>(number());
        break;
      default:
        throw std::runtime_error("unknown option");
    }
  }
  if (options.guest.receive_bytes <= sizeof(PacketHeader))
    throw std::runtime_error("--receive-bytes has no room for a payload");
  if (options.piece_bytes == 0 || options.message_bytes == 0 || options.streams == 0)
    throw std::runtime_error("--piece-bytes, --message-bytes and --streams are 1 or more");
  return options;
}

}  // namespace bench
