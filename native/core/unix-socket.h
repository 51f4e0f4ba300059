// UNIX stream sockets with descriptors in the ancillary data, which Node's own net can't carry.
// All calls are non-blocking; all return a count, a descriptor, or -errno.
#ifndef VHOST_CORE_UNIX_SOCKET_H_
#define VHOST_CORE_UNIX_SOCKET_H_

#include <cstddef>
#include <cstdint>

namespace vhost {

// Linux never passes more in one message (SCM_MAX_FD).
constexpr size_t kMessageFdsMax = 253;

struct ReceivedFds {
  int fds[kMessageFdsMax];
  size_t count = 0;
  bool truncated = false;  // MSG_CTRUNC: some were lost (CS-033); those that came are in fds
};

int unixListen(const char* path, int backlog);
int unixConnect(const char* path);
int unixAccept(int fd);

// A datagram socket; with an empty path it has no address.
int datagramBind(const char* path);
// Where its datagrams go from now on.
int datagramConnect(int fd, const char* path);

// Receives at most `bytes`; 0 at the end of the stream. Descriptors arrive close-on-exec and are
// the caller's, whatever else happens.
int64_t unixReceive(int fd, void* to, size_t bytes, ReceivedFds* received);
int64_t unixSend(int fd, const void* from, size_t bytes, const int* fds, size_t fdCount);

// 1: listening, 0: not (SO_ACCEPTCONN), -errno: no socket.
int unixIsListening(int fd);

}  // namespace vhost

#endif  // VHOST_CORE_UNIX_SOCKET_H_
