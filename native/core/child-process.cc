#include "child-process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace vhost {
namespace {

constexpr int kFirstOther = 3;

// Node ignores SIGPIPE and masks signals in its threads; a program expects neither.
class Attributes {
 public:
  Attributes() {
    posix_spawnattr_init(&attributes_);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

class FileActions {
 public:
  explicit FileActions(int standard) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_adddup2(&actions_, standard, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, standard, STDOUT_FILENO);
    // Those we open are close-on-exec; those we were given may not be.
    posix_spawn_file_actions_addclosefrom_np(&actions_, kFirstOther);
  }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// posix_spawn shares our memory until exec: a fork would copy the page tables of all guest memory.
int spawn(const char* command, int standard) {
  const char* arguments[] = {"sh", "-c", command, nullptr};
  const FileActions actions(standard);
  const Attributes attributes;
  pid_t pid;
  const int error = posix_spawn(&pid, "/bin/sh", actions.get(), attributes.get(),
                                const_cast<char**>(arguments), environ);
  return error == 0 ? pid : -error;
}

}  // namespace

int startChild(const char* command, int type, ChildProcess* child) {
  int pair[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  const int pid = spawn(command, pair[1]);
  close(pair[1]);
  if (pid < 0) {
    close(pair[0]);
    return pid;
  }
  const auto pidFd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidFd < 0) {
    const int error = errno;
    close(pair[0]);
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return -error;
  }
  *child = {pid, pidFd, pair[0]};
  return 0;
}

int signalChild(int pid, int signal) {
  return kill(-pid, signal) == 0 ? 0 : -errno;
}

int takeChild(int pid) {
  const pid_t taken = waitpid(pid, nullptr, WNOHANG);
  return taken < 0 ? -errno : taken == pid;
}

}  // namespace vhost
