// A small message there and back, one at a time: through the device, a relay, or a plain pair.
#pragma once

#include <thread>
#include <vector>

#include "../common/clock.h"
#include "../common/pin.h"
#include "rig.h"

namespace bench {

inline void SendAll(int fd, const std::vector<uint8_t>& message) {
  if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(message.size()))
    ThrowErrno("send");
}

// False at the end of the stream.
inline bool ReceiveAll(int fd, std::vector<uint8_t>* message, bool poll) {
  for (size_t at = 0; at < message->size();) {
    const ssize_t got =
        recv(fd, message->data() + at, message->size() - at, poll ? MSG_DONTWAIT : 0);
    if (got == 0) return false;
    if (got < 0 && errno != EAGAIN) ThrowErrno("recv");
    if (got > 0) at += static_cast<size_t>(got);
  }
  return true;
}

class DeviceRoundTrip {
 public:
  explicit DeviceRoundTrip(const Options& options)
      : poll_(options.poll),
        message_(options.message_bytes),
        rig_(options),
        socket_(rig_.Connect(kGuestPortFirst, 1, &host_).front()) {
    rig_.waiter().Watch(host_[0].get(), 0);
  }

  void Step() {
    WriteMarks(message_.data(), 4096 * count_, 8);
    SendAll(host_[0].get(), message_);
    uint32_t echoed = 0;
    rig_.ReceiveUntil(
        [&](const PacketHeader& header, const uint8_t* payload) {
          rig_.guest().Note(socket_, header);
          echoed += Echo(header, payload);
        },
        [&] { return echoed >= message_.size(); });
    Expect();
    ++count_;
  }

 private:
  // The guest's program.
  uint32_t Echo(const PacketHeader& header, const uint8_t* payload) {
    if (header.op != Op::kData) return 0;
    uint8_t* answer = rig_.guest().NextPayload();
    if (answer == nullptr) throw std::runtime_error("no slot for the answer");
    std::memcpy(answer, payload, header.length_bytes);
    rig_.guest().Send(socket_, Op::kData, header.length_bytes);
    rig_.guest().Flush();
    return header.length_bytes;
  }

  void Expect() {
    for (size_t at = 0; at < message_.size();) {
      const ssize_t got =
          recv(host_[0].get(), message_.data() + at, message_.size() - at, MSG_DONTWAIT);
      if (got > 0) {
        at += static_cast<size_t>(got);
      } else if (got == 0 || errno != EAGAIN) {
        throw std::runtime_error("the stream ended");
      } else if (!poll_) {
        rig_.Wait([](uint32_t) {});
        rig_.guest().TakeSent();
      }
    }
    CheckMarks(message_.data(), 4096 * count_, 8);
  }

  bool poll_;
  std::vector<uint8_t> message_;
  Rig rig_;
  std::vector<FileDescriptor> host_;
  GuestSocket socket_;
  uint64_t count_ = 0;
};

// This process at both ends of a relay, in one thread.
class RelayRoundTrip {
 public:
  explicit RelayRoundTrip(const Options& options)
      : poll_(options.poll),
        message_(options.message_bytes),
        listener_(OpenUnix(options.listen_path, true)),
        near_(OpenUnix(options.path, false)),
        far_(Accept(listener_)) {}

  void Step() {
    SendAll(near_.get(), message_);
    ReceiveAll(far_.get(), &message_, poll_);
    SendAll(far_.get(), message_);
    ReceiveAll(near_.get(), &message_, poll_);
  }

 private:
  bool poll_;
  std::vector<uint8_t> message_;
  FileDescriptor listener_;
  FileDescriptor near_;
  FileDescriptor far_;
};

class PairRoundTrip {
 public:
  explicit PairRoundTrip(const Options& options)
      : poll_(options.poll), message_(options.message_bytes) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) ThrowErrno("socketpair");
    near_ = FileDescriptor(pair[0]);
    far_ = FileDescriptor(pair[1]);
    echo_ = std::thread([this, options] {
      if (options.far_cpu >= 0) PinTo(options.far_cpu);
      std::vector<uint8_t> message(options.message_bytes);
      while (ReceiveAll(far_.get(), &message, options.poll)) SendAll(far_.get(), message);
    });
  }
  ~PairRoundTrip() {
    shutdown(near_.get(), SHUT_RDWR);
    echo_.join();
  }

  void Step() {
    SendAll(near_.get(), message_);
    ReceiveAll(near_.get(), &message_, poll_);
  }

 private:
  bool poll_;
  std::vector<uint8_t> message_;
  FileDescriptor near_;
  FileDescriptor far_;
  std::thread echo_;
};

}  // namespace bench
