// Linux's vsock test program on a host without AF_VSOCK: put in front of its sources, it makes their
// vsock sockets UNIX sockets by the hybrid convention of `vhost-ts vsock --uds-path $VSOCK_UDS`.
// What those have no notion of is lost: the peer's CID and port, and MSG_EOR.
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static inline bool over_unix(const struct sockaddr *address) {
  return address->sa_family == AF_VSOCK;
}

static inline bool over_unix_messages(int fd) {
  int type = 0;
  socklen_t bytes = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET;
}

static inline struct sockaddr_un over_unix_path(const char *suffix) {
  struct sockaddr_un made = {.sun_family = AF_UNIX};
  const char *path = getenv("VSOCK_UDS");
  int length = snprintf(made.sun_path, sizeof made.sun_path, "%s%s", path ? path : "", suffix);
  if (path == NULL || length >= (int)sizeof made.sun_path) {
    fprintf(stderr, "VSOCK_UDS is not the path of a socket\n");
    exit(1);
  }
  return made;
}

static inline int over_unix_socket(int domain, int type, int protocol) {
  return socket(domain == AF_VSOCK ? AF_UNIX : domain, type, protocol);
}

// The line of the convention; whoever is refused finds the connection closed instead of an answer.
static inline int over_unix_greet(int fd, unsigned port) {
  char line[32];
  int length = snprintf(line, sizeof line, "CONNECT %u\n", port);
  if (send(fd, line, length, 0) != length) return -1;
  for (length = 0; length == 0 || line[length - 1] != '\n'; length++) {
    size_t room = over_unix_messages(fd) ? sizeof line : 1;
    ssize_t got = recv(fd, line + length, room, 0);
    if (got <= 0) {
      errno = ECONNRESET;
      return -1;
    }
    if (room > 1) break;
  }
  return 0;
}

static inline int over_unix_connect(int fd, const struct sockaddr *address, socklen_t bytes) {
  if (!over_unix(address)) return connect(fd, address, bytes);
  struct sockaddr_un path = over_unix_path(over_unix_messages(fd) ? "_seqpacket" : "");
  if (connect(fd, (struct sockaddr *)&path, sizeof path) != 0) return -1;
  return over_unix_greet(fd, ((const struct sockaddr_vm *)address)->svm_port);
}

static inline int over_unix_bind(int fd, const struct sockaddr *address, socklen_t bytes) {
  if (!over_unix(address)) return bind(fd, address, bytes);
  char port[16];
  snprintf(port, sizeof port, "_%u", ((const struct sockaddr_vm *)address)->svm_port);
  struct sockaddr_un path = over_unix_path(port);
  unlink(path.sun_path);
  return bind(fd, (struct sockaddr *)&path, sizeof path);
}

static inline int over_unix_accept(int fd, struct sockaddr *address, socklen_t *bytes) {
  struct sockaddr_vm nobody = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
  int made = accept(fd, NULL, NULL);
  if (made >= 0 && address != NULL && *bytes >= sizeof nobody) {
    memcpy(address, &nobody, sizeof nobody);
    *bytes = sizeof nobody;
  }
  return made;
}

#define socket over_unix_socket
#define connect over_unix_connect
#define bind over_unix_bind
#define accept over_unix_accept
