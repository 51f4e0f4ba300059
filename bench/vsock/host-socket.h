// The host program's side: UNIX streams, non-blocking, with the marks of a stream.
#pragma once

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "stream-pattern.h"

namespace bench {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] inline void ThrowErrno(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

inline FileDescriptor OpenUnix(const std::string& path, bool listening) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("socket path too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  FileDescriptor made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (listening) {
    unlink(path.c_str());
    if (bind(made.get(), generic, sizeof(address)) != 0 || listen(made.get(), SOMAXCONN) != 0)
      ThrowErrno("listen " + path);
  } else if (connect(made.get(), generic, sizeof(address)) != 0) {
    ThrowErrno("connect " + path);
  }
  return made;
}

inline FileDescriptor Accept(const FileDescriptor& listener) {
  FileDescriptor made(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (made.get() < 0) ThrowErrno("accept");
  return made;
}

// Thousands of connections have a descriptor each.
inline void RaiseDescriptorLimit() {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Writes a stream into a socket.
class Source {
 public:
  Source(int fd, uint32_t piece_bytes) : fd_(fd), piece_(piece_bytes) {}

  // One piece; 0: the socket is full.
  uint32_t Step() {
    WriteMarks(piece_.data(), position_, piece_.size());
    const ssize_t sent = send(fd_, piece_.data(), piece_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return 0;
    if (sent <= 0) ThrowErrno("send");
    position_ += static_cast<uint64_t>(sent);
    return static_cast<uint32_t>(sent);
  }

 private:
  int fd_;
  std::vector<uint8_t> piece_;
  uint64_t position_ = 0;
};

// Reads one and checks it.
class Sink {
 public:
  Sink(int fd, uint32_t piece_bytes) : fd_(fd), piece_(piece_bytes) {}

  uint32_t Step() {
    const ssize_t got = recv(fd_, piece_.data(), piece_.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got == 0) throw std::runtime_error("the stream ended");
    if (got < 0) ThrowErrno("recv");
    CheckMarks(piece_.data(), position_, static_cast<uint64_t>(got));
    position_ += static_cast<uint64_t>(got);
    return static_cast<uint32_t>(got);
  }

 private:
  int fd_;
  std::vector<uint8_t> piece_;
  uint64_t position_ = 0;
};

}  // namespace bench
