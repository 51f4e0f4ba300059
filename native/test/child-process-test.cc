// child-process.cc: what a program is given, and how it ends.
#include "child-process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "check.h"

namespace vhost::test {
namespace {

void waitFor(int fd) {
  pollfd wait{fd, POLLIN, 0};
  poll(&wait, 1, 5000);
}

// All it says until its end.
std::string said(const ChildProcess& child) {
  std::string text;
  char buffer[256];
  for (;;) {
    waitFor(child.socket);
    const ssize_t got = recv(child.socket, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

void over(const ChildProcess& child) {
  waitFor(child.pidFd);
  CHECK_EQ(takeChild(child.pid), 1);
  CHECK_EQ(takeChild(child.pid), -ECHILD);
  close(child.pidFd);
  close(child.socket);
}

TEST("child: a program reads and writes its socket, which blocks for it") {
  ChildProcess child;
  CHECK_EQ(startChild("read line; echo \"got $line\"", SOCK_STREAM, &child), 0);
  CHECK_EQ(takeChild(child.pid), 0);
  CHECK_EQ(send(child.socket, "this\n", 5, 0), 5);
  CHECK_EQ(said(child), std::string("got this\n"));
  over(child);
}

TEST("child: a program gets no descriptor of ours, and signals as they were") {
  const int inherited = fcntl(STDIN_FILENO, F_DUPFD, 100);
  const auto before = signal(SIGPIPE, SIG_IGN);
  ChildProcess child;
  const char* command = "ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn /proc/$$/status";
  CHECK_EQ(startChild(command, SOCK_STREAM, &child), 0);
  const std::string text = said(child);
  signal(SIGPIPE, before);
  close(inherited);
  CHECK_EQ(text.find("100"), std::string::npos);
  const size_t at = text.find("SigIgn:");
  CHECK(at != std::string::npos);
  // The C library keeps two real-time signals for itself.
  constexpr uint64_t kClassic = 0x7fffffff;
  CHECK_EQ(std::stoull(text.substr(at + 7), nullptr, 16) & kClassic, 0u);
  over(child);
}

TEST("child: a signal reaches what the program started") {
  ChildProcess child;
  CHECK_EQ(startChild("sleep 100 & echo up; wait", SOCK_STREAM, &child), 0);
  waitFor(child.socket);
  CHECK_EQ(signalChild(child.pid, SIGTERM), 0);
  // The end of the stream: nobody holds the other end any more.
  CHECK_EQ(said(child), std::string("up\n"));
  over(child);
}

TEST("child: messages where the socket is one of messages") {
  ChildProcess child;
  CHECK_EQ(startChild("head -c 3; echo", SOCK_SEQPACKET, &child), 0);
  CHECK_EQ(send(child.socket, "one", 3, 0), 3);
  waitFor(child.socket);
  char buffer[16];
  CHECK_EQ(recv(child.socket, buffer, sizeof buffer, 0), 3);
  over(child);
}

}  // namespace
}  // namespace vhost::test
