#include "host-socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Wants sys/socket.h before it.
#include <linux/vm_sockets.h>

#include <cerrno>
#include <cstring>

namespace vhost {
namespace {

struct Address {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

int fail(int fd) {
  const int error = errno;
  close(fd);
  return -error;
}

int open(const Address& address, int type) {
  const int fd = socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -errno : fd;
}

// Where small packets go in turns, waiting to fill a segment only costs time; and the address of a
// listener whose connections have just ended is free.
void tune(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

int listenAt(const Address& address, int type, int backlog) {
  const int fd = open(address, type);
  if (fd < 0) return fd;
  if (address.storage.ss_family != AF_UNIX) tune(fd);
  if (bind(fd, address.get(), address.bytes) != 0 || listen(fd, backlog) != 0) return fail(fd);
  return fd;
}

int connectTo(const Address& address, int type) {
  const int fd = open(address, type);
  if (fd < 0) return fd;
  if (address.storage.ss_family == AF_INET || address.storage.ss_family == AF_INET6) tune(fd);
  if (connect(fd, address.get(), address.bytes) == 0 || errno == EINPROGRESS) return fd;
  return fail(fd);
}

int unixAddress(const char* path, Address* address) {
  auto* to = reinterpret_cast<sockaddr_un*>(&address->storage);
  if (std::strlen(path) >= sizeof to->sun_path) return -ENAMETOOLONG;
  to->sun_family = AF_UNIX;
  std::strcpy(to->sun_path, path);
  address->bytes = sizeof *to;
  return 0;
}

int tcpAddress(const char* text, uint16_t port, Address* address) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(text, nullptr, &hints, &found) != 0) return -EINVAL;
  std::memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
  address->bytes = found->ai_addrlen;
  freeaddrinfo(found);
  // The port lies at the same place in both families.
  reinterpret_cast<sockaddr_in*>(&address->storage)->sin_port = htons(port);
  return 0;
}

void vsockAddress(uint32_t cid, uint32_t port, Address* address) {
  auto* to = reinterpret_cast<sockaddr_vm*>(&address->storage);
  to->svm_family = AF_VSOCK;
  to->svm_cid = cid;
  to->svm_port = port;
  address->bytes = sizeof *to;
}

}  // namespace

int hostListen(const char* path, int type, int backlog) {
  Address address;
  const int error = unixAddress(path, &address);
  return error < 0 ? error : listenAt(address, type, backlog);
}

int hostConnect(const char* path, int type) {
  Address address;
  const int error = unixAddress(path, &address);
  return error < 0 ? error : connectTo(address, type);
}

int hostListenTcp(const char* text, uint16_t port, int backlog) {
  Address address;
  const int error = tcpAddress(text, port, &address);
  return error < 0 ? error : listenAt(address, SOCK_STREAM, backlog);
}

int hostConnectTcp(const char* text, uint16_t port) {
  Address address;
  const int error = tcpAddress(text, port, &address);
  return error < 0 ? error : connectTo(address, SOCK_STREAM);
}

int hostListenVsock(uint32_t port, int type, int backlog) {
  Address address;
  vsockAddress(VMADDR_CID_ANY, port, &address);
  return listenAt(address, type, backlog);
}

int hostConnectVsock(uint32_t cid, uint32_t port, int type) {
  Address address;
  vsockAddress(cid, port, &address);
  return connectTo(address, type);
}

int hostPair(int type, int ends[2]) {
  return socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0 ? 0 : -errno;
}

int hostConnected(int fd) {
  int error = 0;
  socklen_t bytes = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) return -errno;
  if (error != 0) return -error;
  Address peer;
  bytes = sizeof peer.storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &bytes) == 0) return 0;
  return errno == ENOTCONN ? -EINPROGRESS : -errno;
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
