// Connections themselves: opened and closed as fast as it goes, or held.
#pragma once

#include <string>
#include <vector>

#include "rig.h"

namespace bench {

// So many on their way at a time, fewer than the guest has slots.
constexpr uint32_t kBatch = 32;

// Of the guest's: REQUEST, RESPONSE, SHUTDOWN, RST, and the host program sees the end.
class GuestConnects {
 public:
  explicit GuestConnects(const Options& options) : rig_(options) {}

  uint64_t Step() {
    std::vector<FileDescriptor> host;
    std::vector<GuestSocket> sockets = rig_.Connect(kGuestPortFirst, kBatch, &host);
    for (GuestSocket& socket : sockets) rig_.guest().SendNow(socket, Op::kShutdown, kShutdownBoth);
    uint32_t resets = 0;
    rig_.ReceiveUntil(
        [&](const PacketHeader& header, const uint8_t*) {
          if (header.op != Op::kReset) throw std::runtime_error("SHUTDOWN was not answered by RST");
          ++resets;
        },
        [&] { return resets == kBatch; });
    uint8_t byte;
    for (const FileDescriptor& end : host) {
      if (recv(end.get(), &byte, 1, 0) != 0) throw std::runtime_error("no end for the host");
    }
    return kBatch;
  }

 private:
  Rig rig_;
};

// Of the host's, by the hybrid convention: CONNECT, OK, close; the guest answers SHUTDOWN by RST.
class HostConnects {
 public:
  explicit HostConnects(const Options& options) : path_(options.path), rig_(options) {}

  uint64_t Step() {
    static const std::string kGreeting = "CONNECT 7\n";
    std::vector<FileDescriptor> host;
    for (uint32_t i = 0; i < kBatch; ++i) {
      host.push_back(OpenUnix(path_, false));
      if (send(host.back().get(), kGreeting.data(), kGreeting.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(kGreeting.size()))
        ThrowErrno("send");
    }
    Answer(Op::kRequest, Op::kResponse);
    for (const FileDescriptor& end : host) {
      char answer[32];
      const ssize_t got = recv(end.get(), answer, sizeof(answer), 0);
      if (got < 3 || std::memcmp(answer, "OK ", 3) != 0) throw std::runtime_error("no OK");
    }
    host.clear();
    Answer(Op::kShutdown, Op::kReset);
    return kBatch;
  }

 private:
  void Answer(Op asked, Op answer) {
    uint32_t count = 0;
    rig_.ReceiveUntil(
        [&](const PacketHeader& header, const uint8_t*) {
          if (header.op != asked) throw std::runtime_error("a packet nobody expected");
          GuestSocket socket;
          socket.guest_port = header.destination_port;
          socket.host_port = header.source_port;
          rig_.guest().SendNow(socket, answer);
          ++count;
        },
        [&] { return count == kBatch; });
  }

  std::string path_;
  Rig rig_;
};

// Nothing in between: connect, accept, close, end.
class PlainConnects {
 public:
  explicit PlainConnects(const Options& options)
      : path_(options.listen_path), listener_(OpenUnix(path_, true)) {}

  uint64_t Step() {
    std::vector<FileDescriptor> near;
    std::vector<FileDescriptor> far;
    for (uint32_t i = 0; i < kBatch; ++i) near.push_back(OpenUnix(path_, false));
    for (uint32_t i = 0; i < kBatch; ++i) far.push_back(Accept(listener_));
    near.clear();
    uint8_t byte;
    for (const FileDescriptor& end : far) {
      if (recv(end.get(), &byte, 1, 0) != 0) throw std::runtime_error("no end");
    }
    return kBatch;
  }

 private:
  std::string path_;
  FileDescriptor listener_;
};

// Opens them all; they last as long as this.
class HeldConnections {
 public:
  explicit HeldConnections(const Options& options) : rig_(options) {
    RaiseDescriptorLimit();
    for (uint32_t i = 0; i < options.connections; i += kBatch)
      rig_.Connect(kGuestPortFirst + i, std::min(kBatch, options.connections - i), &host_);
  }

 private:
  Rig rig_;
  std::vector<FileDescriptor> host_;
};

}  // namespace bench
