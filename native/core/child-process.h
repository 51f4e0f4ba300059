// A program whose standard input and output are a socket of ours.
#ifndef VHOST_CORE_CHILD_PROCESS_H_
#define VHOST_CORE_CHILD_PROCESS_H_

namespace vhost {

struct ChildProcess {
  int pid;
  // Readable once the process has ended.
  int pidFd;
  // Non-blocking; the other end is the process's.
  int socket;
};

// Starts `/bin/sh -c command` as the leader of a session and a process group. It gets the standard
// error of ours and no other descriptor. type: SOCK_STREAM or SOCK_SEQPACKET. 0 or -errno.
int startChild(const char* command, int type, ChildProcess* child);

// To all of the group. Only for a child that has not been taken: its number may be another's then.
int signalChild(int pid, int signal);

// Takes a child that has ended: 1, or 0 while it has not.
int takeChild(int pid);

}  // namespace vhost

#endif  // VHOST_CORE_CHILD_PROCESS_H_
