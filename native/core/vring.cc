#include "vring.h"

#include <unistd.h>

#include <cerrno>

#include "host-file.h"

namespace vhost {
namespace {

void replace(int* held, int fd) {
  if (*held >= 0) close(*held);
  *held = fd;
}

// An eventfd takes 8 bytes; a User-mode Linux kernel hands over a socket and reads the same 8.
void signalFd(int fd) {
  if (fd < 0) return;
  const uint64_t one = 1;
  ssize_t written = 0;
  do {
    written = write(fd, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  // EAGAIN: enough signals are pending. Anything else: the peer is gone, the session will notice.
}

}  // namespace

Vring::~Vring() {
  setCall(-1);
  setErr(-1);
  setKick(-1);
}

void Vring::setCall(int fd) {
  makeNonBlocking(fd);
  replace(&callFd_, fd);
}

void Vring::setErr(int fd) {
  makeNonBlocking(fd);
  replace(&errFd_, fd);
}

void Vring::setKick(int fd) {
  replace(&kickFd, fd);
}

void Vring::call() {
  calls++;
  signalFd(callFd_);
}

void Vring::signalError() {
  signalFd(errFd_);
}

}  // namespace vhost
