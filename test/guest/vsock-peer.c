// A guest's programs at AF_VSOCK: connects to the host or listens, and copies between the socket and
// standard input and output; messages and very many connections, which socat has not.
//   cid | connect PORT | listen PORT | messages PORT | say PORT LENGTH... | many PORT COUNT |
//   echo PORT COUNT | give PORT MS | take PORT MS | ping PORT MS
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static char buffer[1 << 18];

static int die(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_vm address(unsigned cid, unsigned port) {
  struct sockaddr_vm made = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  return made;
}

static int connected(unsigned port, int type) {
  struct sockaddr_vm host = address(VMADDR_CID_HOST, port);
  int fd = socket(AF_VSOCK, type, 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&host, sizeof host) != 0) die("connect");
  return fd;
}

static int listening(unsigned port, int type, int backlog) {
  struct sockaddr_vm any = address(VMADDR_CID_ANY, port);
  int fd = socket(AF_VSOCK, type, 0);
  if (fd < 0) die("socket");
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) die("bind");
  if (listen(fd, backlog) != 0) die("listen");
  fprintf(stderr, "GUEST mark listens-%u\n", port);
  return fd;
}

static int next(int listener) {
  int one = accept(listener, NULL, NULL);
  if (one < 0) die("accept");
  return one;
}

static int accepted(unsigned port, int type) { return next(listening(port, type, 8)); }

static void copy(int from, int to) {
  for (;;) {
    ssize_t got = read(from, buffer, sizeof buffer);
    if (got < 0) die("read");
    if (got == 0) return;
    for (ssize_t at = 0; at < got;) {
      ssize_t put = write(to, buffer + at, got - at);
      if (put < 0) die("write");
      at += put;
    }
  }
}

// Standard input goes out while what comes in goes to standard output.
static int both(int fd) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    copy(fd, 1);
    return 0;
  }
  copy(0, fd);
  shutdown(fd, SHUT_WR);
  int status = 1;
  waitpid(child, &status, 0);
  return status != 0;
}

// Lengths of messages to standard output, each message back to where it came from.
static int messages(int fd) {
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) die("recv");
    if (got == 0) return 0;
    printf("%zd ", got);
    fflush(stdout);
    if (send(fd, buffer, got, 0) != got) die("send");
  }
}

// Messages of these lengths to the host; to standard output the lengths of its answers, each of
// which begins and ends with the last byte of its length.
static int say(int fd, int count, char **lengths) {
  for (int i = 0; i < count; i++) {
    size_t length = strtoul(lengths[i], NULL, 10);
    memset(buffer, (char)length, length);
    if (send(fd, buffer, length, 0) != (ssize_t)length) die("send");
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) die("recv");
    if (buffer[0] != (char)length || buffer[got - 1] != (char)length) die("another message");
    printf("%zd ", got);
  }
  return 0;
}

// All open at once, one byte there and back on each.
static int many(unsigned port, int count) {
  int *fds = calloc(count, sizeof *fds);
  for (int i = 0; i < count; i++) fds[i] = connected(port, SOCK_STREAM);
  for (int i = 0; i < count; i++) {
    char byte = (char)i;
    if (write(fds[i], &byte, 1) != 1) die("write");
  }
  for (int i = 0; i < count; i++) {
    char byte = 0;
    if (read(fds[i], &byte, 1) != 1 || byte != (char)i) die("read");
    close(fds[i]);
  }
  return 0;
}

// As many from the host, all there before the first is answered.
static int echo(unsigned port, int count) {
  int *fds = calloc(count, sizeof *fds);
  int listener = listening(port, SOCK_STREAM, count);
  for (int i = 0; i < count; i++) fds[i] = next(listener);
  for (int i = 0; i < count; i++) {
    char byte = 0;
    if (read(fds[i], &byte, 1) != 1 || write(fds[i], &byte, 1) != 1) die("echo");
    if (read(fds[i], &byte, 1) != 0) die("end");
    close(fds[i]);
  }
  return 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int streamed(double seconds, double bytes) {
  printf("{\"seconds\":%f,\"bytes\":%.0f}\n", seconds, bytes);
  return 0;
}

// As much as goes in this time; over when the host has taken all of it.
static int give(int fd, double seconds) {
  const double start = now();
  double bytes = 0;
  do {
    const ssize_t put = write(fd, buffer, sizeof buffer);
    if (put < 0) die("write");
    bytes += (double)put;
  } while (now() - start < seconds);
  shutdown(fd, SHUT_WR);
  if (read(fd, buffer, 1) != 0) die("end");
  return streamed(now() - start, bytes);
}

static int take(int fd, double seconds) {
  const double start = now();
  double bytes = 0;
  do {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) die("read");
    bytes += (double)got;
  } while (now() - start < seconds);
  return streamed(now() - start, bytes);
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

// 64 bytes there and back, one at a time.
static int ping(int fd, double seconds) {
  enum { BYTES = 64, MAX = 1 << 20 };
  double *waits = calloc(MAX, sizeof *waits);
  const double start = now();
  int count = 0;
  for (; count < MAX && now() - start < seconds; count++) {
    const double sent = now();
    if (write(fd, buffer, BYTES) != BYTES) die("write");
    if (recv(fd, buffer, BYTES, MSG_WAITALL) != BYTES) die("read");
    waits[count] = now() - sent;
  }
  const double whole = now() - start;
  qsort(waits, (size_t)count, sizeof *waits, ascending);
  printf("{\"seconds\":%f,\"p50Us\":%.1f,\"p99Us\":%.1f}\n", whole, 1e6 * waits[count / 2],
         1e6 * waits[count * 99 / 100]);
  return 0;
}

int main(int argc, char **argv) {
  unsigned port = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
  if (argc > 1 && strcmp(argv[1], "cid") == 0) {
    unsigned cid = 0;
    if (ioctl(open("/dev/vsock", O_RDONLY), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) != 0) die("cid");
    printf("%u\n", cid);
    return 0;
  }
  if (argc > 2 && strcmp(argv[1], "connect") == 0) return both(connected(port, SOCK_STREAM));
  if (argc > 2 && strcmp(argv[1], "listen") == 0) return both(accepted(port, SOCK_STREAM));
  if (argc > 2 && strcmp(argv[1], "messages") == 0) return messages(accepted(port, SOCK_SEQPACKET));
  if (argc > 3 && strcmp(argv[1], "say") == 0)
    return say(connected(port, SOCK_SEQPACKET), argc - 3, argv + 3);
  if (argc > 3 && strcmp(argv[1], "echo") == 0) return echo(port, atoi(argv[3]));
  if (argc > 3 && strcmp(argv[1], "many") == 0) return many(port, atoi(argv[3]));
  if (argc > 3 && strcmp(argv[1], "give") == 0)
    return give(connected(port, SOCK_STREAM), atof(argv[3]) / 1000);
  if (argc > 3 && strcmp(argv[1], "take") == 0)
    return take(connected(port, SOCK_STREAM), atof(argv[3]) / 1000);
  if (argc > 3 && strcmp(argv[1], "ping") == 0)
    return ping(connected(port, SOCK_STREAM), atof(argv[3]) / 1000);
  return 2;
}
