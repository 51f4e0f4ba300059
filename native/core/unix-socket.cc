#include "unix-socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vhost {
namespace {

int fillAddress(const char* path, sockaddr_un* address) {
  if (std::strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
  *address = {};
  address->sun_family = AF_UNIX;
  std::strcpy(address->sun_path, path);
  return 0;
}

int openAddress(const char* path, sockaddr_un* address) {
  const int filled = fillAddress(path, address);
  if (filled < 0) return filled;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -errno : fd;
}

int closeWith(int fd, int error) {
  close(fd);
  return -error;
}

void takeFds(const msghdr& message, ReceivedFds* received) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(const_cast<msghdr*>(&message), header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const auto* data = reinterpret_cast<const uint8_t*>(CMSG_DATA(header));
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, data + i * sizeof fd, sizeof fd);
      if (received->count < kMessageFdsMax) {
        received->fds[received->count++] = fd;
      } else {
        close(fd);
      }
    }
  }
}

}  // namespace

int unixListen(const char* path, int backlog) {
  sockaddr_un address;
  const int fd = openAddress(path, &address);
  if (fd < 0) return fd;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return closeWith(fd, errno);
  }
  if (listen(fd, backlog) != 0) return closeWith(fd, errno);
  return fd;
}

int unixConnect(const char* path) {
  sockaddr_un address;
  const int fd = openAddress(path, &address);
  if (fd < 0) return fd;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return closeWith(fd, errno);
  }
  return fd;
}

int datagramBind(const char* path) {
  sockaddr_un address;
  const int filled = fillAddress(path, &address);
  if (filled < 0) return filled;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (*path != 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return closeWith(fd, errno);
  }
  return fd;
}

int datagramConnect(int fd, const char* path) {
  sockaddr_un address;
  const int filled = fillAddress(path, &address);
  if (filled < 0) return filled;
  return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : -errno;
}

int unixAccept(int fd) {
  const int accepted = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return accepted < 0 ? -errno : accepted;
}

int64_t unixReceive(int fd, void* to, size_t bytes, ReceivedFds* received) {
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * kMessageFdsMax)];
  iovec segment{to, bytes};
  msghdr message{};
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  takeFds(message, received);
  received->truncated = message.msg_flags & MSG_CTRUNC;
  return got;
}

int64_t unixSend(int fd, const void* from, size_t bytes, const int* fds, size_t fdCount) {
  if (fdCount > kMessageFdsMax) return -EINVAL;
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * kMessageFdsMax)] = {};
  iovec segment{const_cast<void*>(from), bytes};
  msghdr message{};
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  if (fdCount > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fdCount);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fdCount);
    std::memcpy(CMSG_DATA(header), fds, sizeof(int) * fdCount);
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int unixIsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) return -errno;
  return listening;
}

}  // namespace vhost
