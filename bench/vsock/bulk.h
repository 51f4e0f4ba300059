// Streams as fast as they go: through the device, a plain socket pair, or a relay between sockets.
// Each has Step(): some work, asleep when there is none; the bytes that have arrived.
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include "../common/pin.h"
#include "pump.h"
#include "rig.h"

namespace bench {

// Sources of the host's, sinks of the guest's.
class HostToGuest {
 public:
  explicit HostToGuest(const Options& options)
      : rig_(options),
        sockets_(rig_.Connect(kGuestPortFirst, options.streams, &host_)),
        positions_(options.streams),
        sources_(rig_.waiter(), options.piece_bytes) {
    for (uint32_t i = 0; i < options.streams; ++i) sources_.Add(host_[i].get(), i);
  }

  uint64_t Step() {
    const auto wake = [&](uint32_t id) { sources_.Wake(id); };
    uint64_t arrived = 0;
    const uint32_t packets =
        rig_.guest().Receive([&](const PacketHeader& header, const uint8_t* payload) {
          arrived += Take(header, payload);
        });
    rig_.guest().TakeSent();
    rig_.guest().Flush();
    const uint64_t sent = sources_.Round();
    if (packets > 0 || sent > 0) {
      rig_.waiter().Look(wake);
    } else {
      rig_.Wait(wake);
    }
    return arrived;
  }

 private:
  uint64_t Take(const PacketHeader& header, const uint8_t* payload) {
    GuestSocket& socket = sockets_.at(header.destination_port - kGuestPortFirst);
    uint64_t& position = positions_[header.destination_port - kGuestPortFirst];
    rig_.guest().Note(socket, header);
    if (header.op == Op::kCreditRequest || rig_.guest().CreditDue(socket)) {
      rig_.guest().TakeSent();
      if (rig_.guest().NextPayload() == nullptr) throw std::runtime_error("no slot for credit");
      rig_.guest().Send(socket, Op::kCreditUpdate);
    }
    if (header.op == Op::kReset || header.op == Op::kShutdown)
      throw std::runtime_error("a connection ended");
    CheckMarks(payload, position, header.length_bytes);
    position += header.length_bytes;
    return header.length_bytes;
  }

  Rig rig_;
  std::vector<FileDescriptor> host_;
  std::vector<GuestSocket> sockets_;
  std::vector<uint64_t> positions_;
  Pump<Source> sources_;
};

// Sources of the guest's, sinks of the host's.
class GuestToHost {
 public:
  explicit GuestToHost(const Options& options)
      : piece_bytes_(std::min(options.piece_bytes, kPayloadBytesMax)),
        rig_(options),
        sockets_(rig_.Connect(kGuestPortFirst, options.streams, &host_)),
        positions_(options.streams),
        sinks_(rig_.waiter(), options.piece_bytes) {
    for (uint32_t i = 0; i < options.streams; ++i) sinks_.Add(host_[i].get(), i);
  }

  uint64_t Step() {
    const auto wake = [&](uint32_t id) { sinks_.Wake(id); };
    Guest& guest = rig_.guest();
    uint32_t packets = guest.Receive([&](const PacketHeader& header, const uint8_t*) {
      if (header.op != Op::kCreditUpdate) throw std::runtime_error("a connection ended");
      guest.Note(sockets_.at(header.destination_port - kGuestPortFirst), header);
    });
    for (uint32_t i = 0; i < sockets_.size(); ++i) packets += Send(i) ? 1 : 0;
    guest.Flush();
    const uint64_t arrived = sinks_.Round();
    if (packets > 0 || arrived > 0) {
      rig_.waiter().Look(wake);
    } else {
      rig_.Wait(wake);
    }
    return arrived;
  }

 private:
  bool Send(uint32_t i) {
    GuestSocket& socket = sockets_[i];
    const uint32_t bytes = std::min(piece_bytes_, socket.Sendable());
    uint8_t* payload = bytes == 0 ? nullptr : rig_.guest().NextPayload();
    if (payload == nullptr) return false;
    WriteMarks(payload, positions_[i], bytes);
    positions_[i] += bytes;
    rig_.guest().Send(socket, Op::kData, bytes);
    return true;
  }

  uint32_t piece_bytes_;
  Rig rig_;
  std::vector<FileDescriptor> host_;
  std::vector<GuestSocket> sockets_;
  std::vector<uint64_t> positions_;
  Pump<Sink> sinks_;
};

// A program between two UNIX sockets; this process is at both ends, as it is of the device.
class ThroughRelay {
 public:
  explicit ThroughRelay(const Options& options)
      : listener_(OpenUnix(options.listen_path, true)),
        sources_(waiter_, options.piece_bytes),
        sinks_(waiter_, options.piece_bytes) {
    for (uint32_t i = 0; i < options.streams; ++i) {
      ends_.push_back(OpenUnix(options.path, false));
      sources_.Add(ends_.back().get(), i);
      ends_.push_back(Accept(listener_));
      sinks_.Add(ends_.back().get(), options.streams + i);
    }
  }

  uint64_t Step() {
    const auto wake = [&](uint32_t id) {
      sources_.Wake(id);
      sinks_.Wake(id);
    };
    const uint64_t sent = sources_.Round();
    const uint64_t arrived = sinks_.Round();
    if (sent + arrived > 0) {
      waiter_.Look(wake);
    } else {
      waiter_.Sleep(wake);
    }
    return arrived;
  }

 private:
  FileDescriptor listener_;
  std::vector<FileDescriptor> ends_;
  Waiter waiter_;
  Pump<Source> sources_;
  Pump<Sink> sinks_;
};

// Nothing in between: a thread at each end, each on a CPU of its own.
class PlainPair {
 public:
  explicit PlainPair(const Options& options) : sinks_(waiter_, options.piece_bytes) {
    for (uint32_t i = 0; i < options.streams; ++i) {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) ThrowErrno("socketpair");
      far_.emplace_back(pair[0]);
      near_.emplace_back(pair[1]);
      sinks_.Add(pair[1], i);
    }
    writer_ = std::thread([this, options] { Write(options); });
  }
  ~PlainPair() {
    stop_ = true;
    for (const FileDescriptor& end : near_) shutdown(end.get(), SHUT_RDWR);
    writer_.join();
  }

  uint64_t Step() {
    const uint64_t arrived = sinks_.Round();
    if (arrived == 0) waiter_.Sleep([&](uint32_t id) { sinks_.Wake(id); });
    return arrived;
  }

 private:
  void Write(const Options& options) {
    try {
      if (options.far_cpu >= 0) PinTo(options.far_cpu);
      Waiter waiter;
      Pump<Source> sources(waiter, options.piece_bytes);
      for (uint32_t i = 0; i < far_.size(); ++i) sources.Add(far_[i].get(), i);
      while (!stop_) {
        if (sources.Round() == 0) waiter.Sleep([&](uint32_t id) { sources.Wake(id); });
      }
    } catch (const std::exception&) {
      // The reader has left; if it has not, it stalls and says so.
    }
  }

  Waiter waiter_;
  std::vector<FileDescriptor> far_;
  std::vector<FileDescriptor> near_;
  Pump<Sink> sinks_;
  std::atomic<bool> stop_ = false;
  std::thread writer_;
};

}  // namespace bench
