// Sockets a device talks to the host through: UNIX, TCP, and AF_VSOCK of a host that is itself a
// guest. Every call is non-blocking and returns a count, a descriptor, or -errno.
#ifndef VHOST_CORE_HOST_SOCKET_H_
#define VHOST_CORE_HOST_SOCKET_H_

#include <cstddef>
#include <cstdint>

namespace vhost {

// type: SOCK_STREAM or SOCK_SEQPACKET.
int hostListen(const char* path, int type, int backlog);
// -EAGAIN: somebody listens, and the backlog is full.
int hostConnect(const char* path, int type);

// `address` is IPv4 or IPv6 in figures; a name is -EINVAL, because looking it up would block.
int hostListenTcp(const char* address, uint16_t port, int backlog);
// Connecting goes on behind these two; hostConnected says what has become of it.
int hostConnectTcp(const char* address, uint16_t port);
int hostConnectVsock(uint32_t cid, uint32_t port, int type);
// From any CID.
int hostListenVsock(uint32_t port, int type, int backlog);

// 0 once it is connected, -EINPROGRESS before, -errno when that has failed. Asked when the socket
// has become writable.
int hostConnected(int fd);

// Both ends of a pair, connected to each other.
int hostPair(int type, int ends[2]);

int64_t hostSend(int fd, const void* from, size_t bytes);
// Of a message that does not fit, its whole length. Descriptors that come along are closed. For
// UNIX sockets only: TCP takes MSG_TRUNC for "throw it away".
int64_t hostReceive(int fd, void* to, size_t bytes, bool peek);

// A kernel may allow less (net.core.wmem_max).
int hostSetSendBytes(int fd, int bytes);

}  // namespace vhost

#endif  // VHOST_CORE_HOST_SOCKET_H_
