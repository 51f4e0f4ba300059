// unix-socket.cc: bytes with descriptors, and everything that is refused.
#include "unix-socket.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

const std::string kTooLong(200, 'x');

struct Directory {
  Directory() { CHECK(mkdtemp(path) != nullptr); }
  ~Directory() {
    unlink(at("s").c_str());
    rmdir(path);
  }
  std::string at(const char* name) const { return std::string(path) + "/" + name; }

  char path[32] = "/tmp/vhost-unix-XXXXXX";
};

struct Pair {
  Pair() { CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }
  ~Pair() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

// While it lives, no descriptor above those that are open can be made.
struct NoMoreDescriptors {
  NoMoreDescriptors() {
    getrlimit(RLIMIT_NOFILE, &former);
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    const rlimit none{static_cast<rlim_t>(next), former.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &former); }
  rlimit former;
};

TEST("unix socket: a listener, its connections, and what is refused") {
  const Directory directory;
  const std::string path = directory.at("s");
  CHECK_EQ(unixConnect(path.c_str()), -ENOENT);
  const int listener = unixListen(path.c_str(), 1);
  CHECK(listener >= 0);
  CHECK_EQ(unixListen(path.c_str(), 1), -EADDRINUSE);
  CHECK_EQ(unixListen(directory.at("none/s").c_str(), 1), -ENOENT);
  CHECK_EQ(unixAccept(listener), -EAGAIN);
  const int one = unixConnect(path.c_str());
  const int accepted = unixAccept(listener);
  CHECK(one >= 0 && accepted >= 0);
  CHECK_EQ(unixIsListening(listener), 1);
  CHECK_EQ(unixIsListening(one), 0);
  CHECK_EQ(unixIsListening(-1), -EBADF);
  for (const int fd : {listener, one, accepted}) close(fd);
  CHECK_EQ(unixConnect(path.c_str()), -ECONNREFUSED);
}

TEST("unix socket: a path longer than an address is refused, and so is all without descriptors") {
  CHECK_EQ(unixListen(kTooLong.c_str(), 1), -ENAMETOOLONG);
  CHECK_EQ(unixConnect(kTooLong.c_str()), -ENAMETOOLONG);
  CHECK_EQ(datagramBind(kTooLong.c_str()), -ENAMETOOLONG);
  CHECK_EQ(datagramConnect(-1, kTooLong.c_str()), -ENAMETOOLONG);
  const NoMoreDescriptors limit;
  CHECK_EQ(unixListen("/tmp/s", 1), -EMFILE);
  CHECK_EQ(unixConnect("/tmp/s"), -EMFILE);
  CHECK_EQ(datagramBind(""), -EMFILE);
}

TEST("unix socket: datagrams between one that has an address and one that has none") {
  const Directory directory;
  const std::string path = directory.at("s");
  const int named = datagramBind(path.c_str());
  CHECK(named >= 0);
  CHECK_EQ(datagramBind(path.c_str()), -EADDRINUSE);
  const int nameless = datagramBind("");
  CHECK_EQ(datagramConnect(nameless, directory.at("none").c_str()), -ENOENT);
  CHECK_EQ(datagramConnect(nameless, path.c_str()), 0);
  CHECK_EQ(unixSend(nameless, "frame", 5, nullptr, 0), 5);
  char got[8];
  ReceivedFds fds;
  CHECK_EQ(unixReceive(named, got, sizeof got, &fds), 5);
  close(named);
  close(nameless);
}

TEST("unix socket: descriptors arrive with the bytes, close-on-exec, as many as Linux passes") {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{8}, kMessageFdsMax}) {
    const Pair pair;
    const std::vector<int> sent(count, pair.ends[0]);
    CHECK_EQ(unixSend(pair.ends[0], "abc", 3, sent.data(), count), 3);
    char bytes[8];
    ReceivedFds received;
    CHECK_EQ(unixReceive(pair.ends[1], bytes, sizeof bytes, &received), 3);
    CHECK_EQ(received.count, count);
    CHECK(!received.truncated);
    for (size_t i = 0; i < received.count; i++) {
      CHECK_EQ(fcntl(received.fds[i], F_GETFD), FD_CLOEXEC);
      close(received.fds[i]);
    }
  }
}

TEST("unix socket: more descriptors than Linux passes are not sent, nor what is none") {
  const Pair pair;
  const std::vector<int> many(kMessageFdsMax + 1, pair.ends[0]);
  CHECK_EQ(unixSend(pair.ends[0], "a", 1, many.data(), many.size()), -EINVAL);
  const int none = -1;
  CHECK_EQ(unixSend(pair.ends[0], "a", 1, &none, 1), -EBADF);
}

TEST("CS-033: descriptors this process has no room for are lost, and it is told") {
  const Pair pair;
  const int sent[] = {pair.ends[0], pair.ends[0]};
  CHECK_EQ(unixSend(pair.ends[0], "a", 1, sent, 2), 1);
  char byte;
  ReceivedFds received;
  {
    const NoMoreDescriptors limit;
    CHECK_EQ(unixReceive(pair.ends[1], &byte, 1, &received), 1);
  }
  CHECK(received.truncated);
  CHECK_EQ(received.count, 0u);
}

TEST("unix socket: nothing there, the end, and a peer that has gone") {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  char byte;
  ReceivedFds received;
  CHECK_EQ(unixReceive(ends[0], &byte, 1, &received), -EAGAIN);
  close(ends[1]);
  CHECK_EQ(unixReceive(ends[0], &byte, 1, &received), 0);
  CHECK_EQ(unixSend(ends[0], "a", 1, nullptr, 0), -EPIPE);
  close(ends[0]);
}

}  // namespace
}  // namespace vhost::test
