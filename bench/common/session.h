// The front-end's half of a vhost-user session: framing, acks and the order of messages QEMU uses.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "guest-memory.h"

namespace bench {

enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kGetConfig = 24,
  kSetConfig = 25,
};

namespace feature {  // of any device
constexpr uint64_t kIndirectDesc = 1ull << 28, kEventIdx = 1ull << 29;
constexpr uint64_t kProtocolFeatures = 1ull << 30, kVersion1 = 1ull << 32;
}  // namespace feature

namespace protocol_feature {
constexpr uint64_t kMq = 1ull << 0, kReplyAck = 1ull << 3, kConfig = 1ull << 9;
}  // namespace protocol_feature

struct VringState {
  uint32_t index;
  uint32_t num;
};
struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptor;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
struct MemoryTable {
  uint32_t region_count;
  uint32_t padding;
  uint64_t guest_address;
  uint64_t size_bytes;
  uint64_t user_address;
  uint64_t mmap_offset;
};
// vhost-user: a config space is at most that long.
constexpr uint32_t kConfigBytesMax = 256;
struct ConfigMessage {
  uint32_t offset;
  uint32_t size_bytes;
  uint32_t flags;
  uint8_t bytes[kConfigBytesMax];
};
constexpr uint32_t kConfigHeaderBytes = 12;
static_assert(sizeof(VringAddress) == 40 && sizeof(MemoryTable) == 40);

class Session {
 public:
  explicit Session(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("socket path too long");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
      throw std::runtime_error("connect " + path + ": " + std::strerror(errno));
    // No answer takes this long; a hung back-end must not hang the comparison.
    const timeval limit{10, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  ~Session() { close(socket_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Returns the accepted virtio features; `wanted` are those the driver can use.
  uint64_t Negotiate(uint64_t wanted, uint64_t required, uint32_t queues) {
    const uint64_t offered = Ask(Request::kGetFeatures);
    required |= feature::kProtocolFeatures;
    if ((offered & required) != required)
      throw std::runtime_error("back-end lacks a needed feature");
    const uint64_t protocol =
        Ask(Request::kGetProtocolFeatures) &
        (protocol_feature::kMq | protocol_feature::kReplyAck | protocol_feature::kConfig);
    Tell(Request::kSetProtocolFeatures, &protocol, sizeof(protocol));
    acks_ = (protocol & protocol_feature::kReplyAck) != 0;
    const uint64_t queues_max = protocol & protocol_feature::kMq ? Ask(Request::kGetQueueNum) : 1;
    if (queues_max < queues) throw std::runtime_error("back-end has too few queues");
    Tell(Request::kSetOwner, nullptr, 0);
    const uint64_t accepted = offered & (wanted | required);
    Tell(Request::kSetFeatures, &accepted, sizeof(accepted));
    return accepted;
  }

  void ShareMemory(const GuestMemory& memory) {
    const MemoryTable table{
        1, 0, GuestMemory::kGuestBase, memory.size_bytes(), memory.UserAddress(memory.base()), 0};
    Tell(Request::kSetMemTable, &table, sizeof(table), memory.fd());
  }

  ConfigMessage ReadConfig(uint32_t length_bytes) {
    if (length_bytes > kConfigBytesMax) throw std::runtime_error("config space is shorter");
    ConfigMessage message{0, length_bytes, 0, {}};
    Send(Request::kGetConfig, &message, kConfigHeaderBytes + length_bytes, -1, false);
    Receive(Request::kGetConfig, &message, kConfigHeaderBytes + length_bytes);
    return message;
  }

  void WriteConfigByte(uint32_t offset, uint8_t value) {
    ConfigMessage message{offset, 1, 0, {value}};
    Tell(Request::kSetConfig, &message, kConfigHeaderBytes + 1);
  }

  void SetVring(Request request, uint32_t index, uint32_t num) {
    const VringState state{index, num};
    Tell(request, &state, sizeof(state));
  }
  void SetVringAddress(const VringAddress& address) {
    Tell(Request::kSetVringAddr, &address, sizeof(address));
  }
  void SetVringFd(Request request, uint32_t index, int fd) {
    const uint64_t word = index;
    Tell(request, &word, sizeof(word), fd);
  }
  uint32_t StopVring(uint32_t index) {
    VringState state{index, 0};
    Send(Request::kGetVringBase, &state, sizeof(state), -1, false);
    Receive(Request::kGetVringBase, &state, sizeof(state));
    if (state.index != index) throw std::runtime_error("GET_VRING_BASE answered another ring");
    return state.num;
  }
  // Without REPLY_ACK a request with an answer is the only barrier there is.
  void Barrier() {
    if (!acks_) Ask(Request::kGetFeatures);
  }

 private:
  static constexpr uint32_t kVersion = 1, kReply = 4, kNeedReply = 8;
  struct Header {
    uint32_t request;
    uint32_t flags;
    uint32_t size_bytes;
  };

  [[noreturn]] static void Fail(Request request, const std::string& what) {
    throw std::runtime_error("request " + std::to_string(static_cast<uint32_t>(request)) + ": " +
                             what);
  }

  uint64_t Ask(Request request) {
    Send(request, nullptr, 0, -1, false);
    uint64_t value = 0;
    Receive(request, &value, sizeof(value));
    return value;
  }

  void Tell(Request request, const void* payload, uint32_t length_bytes, int fd = -1) {
    Send(request, payload, length_bytes, fd, acks_);
    if (!acks_) return;
    uint64_t status = 0;
    Receive(request, &status, sizeof(status));
    if (status != 0) Fail(request, "refused with " + std::to_string(status));
  }

  void Send(Request request, const void* payload, uint32_t length_bytes, int fd, bool need_reply) {
    Header header{static_cast<uint32_t>(request), kVersion | (need_reply ? kNeedReply : 0),
                  length_bytes};
    iovec parts[2] = {{&header, sizeof(header)}, {const_cast<void*>(payload), length_bytes}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = length_bytes == 0 ? 1 : 2;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &fd, sizeof(int));
    }
    const auto total = static_cast<ssize_t>(sizeof(header) + length_bytes);
    if (sendmsg(socket_, &message, MSG_NOSIGNAL) != total) Fail(request, "send failed");
  }

  void Receive(Request request, void* payload, uint32_t length_bytes) {
    Header header{};
    ReadAll(request, &header, sizeof(header));
    // vhost-user: a reply carries exactly REPLY|VERSION and the size that was asked for.
    if (header.request != static_cast<uint32_t>(request) || header.flags != (kReply | kVersion) ||
        header.size_bytes != length_bytes)
      Fail(request, "malformed reply: id " + std::to_string(header.request) + " flags " +
                        std::to_string(header.flags) + " size " +
                        std::to_string(header.size_bytes));
    ReadAll(request, payload, length_bytes);
  }

  void ReadAll(Request request, void* target, size_t length_bytes) {
    auto* next = static_cast<uint8_t*>(target);
    while (length_bytes > 0) {
      const ssize_t got = read(socket_, next, length_bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) Fail(request, got == 0 ? "back-end closed the session" : "no reply in time");
      next += got;
      length_bytes -= static_cast<size_t>(got);
    }
  }

  int socket_ = -1;
  bool acks_ = false;
};

}  // namespace bench
