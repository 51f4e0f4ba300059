#include "host-socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vhost {
namespace {

using Attach = int (*)(int, const sockaddr*, socklen_t);

// A socket bound or connected to the path.
int open(const char* path, int type, Attach attach) {
  sockaddr_un address = {};
  if (std::strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (attach(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

}  // namespace

int hostListen(const char* path, int type, int backlog) {
  const int fd = open(path, type, bind);
  if (fd < 0 || listen(fd, backlog) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

int hostConnect(const char* path, int type) {
  return open(path, type, connect);
}

int64_t hostSend(int fd, const void* from, size_t bytes) {
  ssize_t sent;
  do {
    sent = send(fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

// Without room for ancillary data the kernel drops descriptors by itself.
int64_t hostReceive(int fd, void* to, size_t bytes, bool peek) {
  ssize_t got;
  do {
    got = recv(fd, to, bytes, MSG_DONTWAIT | MSG_TRUNC | (peek ? MSG_PEEK : 0));
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

int hostSetSendBytes(int fd, int bytes) {
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0 ? 0 : -errno;
}

}  // namespace vhost
