#include "vring.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

namespace vhost::test {
namespace {

uint64_t counter(int fd) {
  uint64_t value = 0;
  return read(fd, &value, sizeof value) == sizeof value ? value : 0;
}

bool isOpen(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

TEST("CS-037: a full call counter does not block") {
  // Blocking, as front-ends make them.
  const int fd = eventfd(UINT32_MAX, EFD_CLOEXEC);
  const uint64_t rest = UINT64_MAX - 1 - UINT32_MAX;
  CHECK(write(fd, &rest, sizeof rest) == sizeof rest);
  Vring vring;
  vring.setCall(dup(fd));
  for (int i = 0; i < 10; i++) vring.call();
  CHECK_EQ(vring.calls, 10u);
  CHECK_EQ(counter(fd), UINT64_MAX - 1);
  vring.call();
  CHECK_EQ(counter(fd), 1u);
  close(fd);
}

TEST("CS-037: a full pipe or socket does not block, a closed reader does not kill") {
  for (const bool socket : {false, true}) {
    int ends[2];
    CHECK((socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)
                  : pipe2(ends, O_CLOEXEC)) == 0);
    Vring vring;
    vring.setCall(ends[1]);
    vring.setErr(dup(ends[1]));
    for (int i = 0; i < 100'000; i++) vring.call();
    CHECK_EQ(counter(ends[0]), 1u);
    close(ends[0]);
    vring.call();
    vring.signalError();
  }
}

TEST("calls and errors go to their own descriptors; without one they are only counted") {
  const int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  {
    Vring vring;
    vring.call();
    vring.signalError();
    vring.setCall(dup(call));
    vring.setErr(dup(err));
    vring.call();
    CHECK_EQ(counter(call), 1u);
    CHECK_EQ(counter(err), 0u);
    vring.signalError();
    CHECK_EQ(counter(call), 0u);
    CHECK_EQ(counter(err), 1u);
    CHECK_EQ(vring.calls, 2u);
  }
  close(call);
  close(err);
}

TEST("the vring closes what it was given: when replaced, and at its end") {
  const int kick = eventfd(0, EFD_CLOEXEC);
  const int call = eventfd(0, EFD_CLOEXEC);
  const int next = eventfd(0, EFD_CLOEXEC);
  const int err = eventfd(0, EFD_CLOEXEC);
  {
    Vring vring;
    vring.setKick(kick);
    vring.setErr(err);
    vring.setCall(call);
    vring.setCall(next);
    CHECK(!isOpen(call));
    CHECK(isOpen(next) && isOpen(kick) && isOpen(err));
  }
  CHECK(!isOpen(next) && !isOpen(kick) && !isOpen(err));
}

TEST("a vring pops only when enabled, not draining and not broken") {
  Vring vring;
  CHECK(!vring.popping());
  vring.enabled = true;
  CHECK(vring.popping());
  vring.draining = true;
  CHECK(!vring.popping());
  vring.draining = false;
  vring.fault = RingFault::kHeadIndex;
  CHECK(!vring.popping());
}

}  // namespace
}  // namespace vhost::test
