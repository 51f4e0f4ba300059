// host-socket.cc: addresses of every kind, connections that end well and that do not.
#include "host-socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "check.h"

namespace vhost::test {
namespace {

uint16_t portOf(int fd) {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// The outcome of a connection under way.
int outcome(int fd) {
  pollfd wait{fd, POLLOUT, 0};
  poll(&wait, 1, 5000);
  const int error = hostConnected(fd);
  close(fd);
  return error;
}

TEST("host socket: TCP: a connection that is taken, and one nobody takes") {
  const int listener = hostListenTcp("127.0.0.1", 0, 8);
  CHECK(listener >= 0);
  const uint16_t port = portOf(listener);
  CHECK_EQ(outcome(hostConnectTcp("127.0.0.1", port)), 0);
  CHECK_EQ(hostListenTcp("127.0.0.1", port, 8), -EADDRINUSE);
  close(listener);
  // A kernel may tell of the loopback at once.
  const int fd = hostConnectTcp("127.0.0.1", port);
  CHECK_EQ(fd < 0 ? fd : outcome(fd), -ECONNREFUSED);
}

TEST("host socket: TCP: only figures are an address") {
  CHECK_EQ(hostConnectTcp("localhost", 1), -EINVAL);
  CHECK_EQ(hostListenTcp("", 1, 1), -EINVAL);
  CHECK_EQ(hostConnectTcp("127.0.0.1.", 1), -EINVAL);
}

TEST("host socket: a UNIX path that is too long, and one where nothing is") {
  CHECK_EQ(hostListen(std::string(108, 'x').c_str(), SOCK_STREAM, 1), -ENAMETOOLONG);
  CHECK_EQ(hostConnect("/nowhere/at/all", SOCK_STREAM), -ENOENT);
}

TEST("host socket: AF_VSOCK: a port is listened on once, where the kernel has it") {
  const int listener = hostListenVsock(0x40000001, SOCK_STREAM, 8);
  if (listener == -EAFNOSUPPORT) return;
  CHECK(listener >= 0);
  CHECK_EQ(hostListenVsock(0x40000001, SOCK_STREAM, 8), -EADDRINUSE);
  close(listener);
}

}  // namespace
}  // namespace vhost::test
