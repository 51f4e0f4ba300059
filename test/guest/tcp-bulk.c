// The guest's end of a bulk transfer, for benchmarks: emulated, it must cost as little as it can.
//
//   tcp-bulk take ADDRESS PORT       takes to the end; the bytes are not even copied
//   tcp-bulk give ADDRESS PORT MIB   gives so much out of the page cache

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAKE_BYTES (4 << 20)

static int fail(const char* what) {
  perror(what);
  return 1;
}

static int take(int fd) {
  ssize_t got;
  // TCP drops what MSG_TRUNC asks for without a copy.
  while ((got = recv(fd, NULL, TAKE_BYTES, MSG_TRUNC)) > 0) {
  }
  return got == 0 ? 0 : fail("recv");
}

static int give(int fd, long mib) {
  const int source = memfd_create("source", 0);
  if (source < 0 || ftruncate(source, 1 << 20) != 0) return fail("memfd");
  for (long i = 0; i < mib; i++) {
    off_t offset = 0;
    while (offset < 1 << 20) {
      if (sendfile(fd, source, &offset, (size_t)((1 << 20) - offset)) <= 0) return fail("sendfile");
    }
  }
  char end;
  shutdown(fd, SHUT_WR);
  return recv(fd, &end, 1, 0) == 0 ? 0 : fail("recv");
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) return 2;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0)
    return fail("connect");
  return strcmp(argv[1], "take") == 0 ? take(fd) : give(fd, argc > 4 ? atol(argv[4]) : 1);
}
