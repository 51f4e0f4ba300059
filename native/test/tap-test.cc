// tap.cc: real interfaces, made and gone with the test. Making them needs root.
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

namespace vhost::test {
namespace {

constexpr uint32_t kHeaderBytes = 12;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int number() const { return fd_; }

 private:
  int fd_;
};

std::string tapName() {
  static int made = 0;
  return "vhn" + std::to_string(getpid() % 100000) + "x" + std::to_string(++made);
}

void needTaps() {
  const Fd probe(tapOpen(tapName().c_str(), false, kHeaderBytes));
  if (probe.number() < 0) skip("no tap can be made here: errno " + std::to_string(-probe.number()));
}

// As somebody else opens one, without what tapOpen sees to.
int openPlain(const std::string& name, int flags) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request = {};
  std::strcpy(request.ifr_name, name.c_str());
  request.ifr_flags = static_cast<short>(flags);
  CHECK_EQ(ioctl(fd, TUNSETIFF, &request), 0);
  return fd;
}

int headerBytesOf(int fd) {
  int bytes = 0;
  CHECK_EQ(ioctl(fd, TUNGETVNETHDRSZ, &bytes), 0);
  return bytes;
}

bool nonBlocking(int fd) {
  return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

// Frames of the host's own (IPv6 asks who is there) may have come meanwhile.
ssize_t readToTheEnd(int fd) {
  std::vector<char> frame(70000);
  ssize_t got = 0;
  do {
    got = read(fd, frame.data(), frame.size());
  } while (got > 0);
  return got < 0 ? -errno : got;
}

TEST("a tap is made, never blocks, and has the header asked for") {
  needTaps();
  const std::string name = tapName();
  {
    const Fd tap(tapOpen(name.c_str(), false, kHeaderBytes));
    CHECK(tap.number() >= 0);
    CHECK(if_nametoindex(name.c_str()) > 0);
    CHECK(nonBlocking(tap.number()));
    CHECK_EQ(headerBytesOf(tap.number()), kHeaderBytes);
    CHECK_EQ(fcntl(tap.number(), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(tapOpen(name.c_str(), false, kHeaderBytes), -EBUSY);
    CHECK_EQ(tapOpen(name.c_str(), true, kHeaderBytes), -EINVAL);
  }
  CHECK_EQ(if_nametoindex(name.c_str()), 0u);
}

TEST("names and headers the kernel can't have") {
  CHECK_EQ(tapOpen("sixteen-bytes-xx", false, kHeaderBytes), -ENAMETOOLONG);
  CHECK_EQ(tapOpen(std::string(300, 'x').c_str(), false, kHeaderBytes), -ENAMETOOLONG);
  needTaps();
  CHECK_EQ(tapOpen("a/b", false, kHeaderBytes), -EINVAL);
  const std::string name = tapName();
  CHECK_EQ(tapOpen(name.c_str(), false, 3), -EINVAL);
  CHECK_EQ(if_nametoindex(name.c_str()), 0u);
}

TEST("a tap that outlives its descriptor, until it is told not to") {
  needTaps();
  const std::string name = tapName();
  for (const bool persistent : {true, false}) {
    {
      const Fd tap(tapOpen(name.c_str(), false, kHeaderBytes));
      CHECK_EQ(tapSetPersistent(tap.number(), persistent), 0);
    }
    CHECK_EQ(if_nametoindex(name.c_str()) > 0, persistent);
  }
  CHECK_EQ(tapSetPersistent(-1, true), -EBADF);
}

TEST("queues of one tap, attached and detached") {
  needTaps();
  const std::string name = tapName();
  const Fd first(tapOpen(name.c_str(), true, kHeaderBytes));
  const Fd second(tapOpen(name.c_str(), true, kHeaderBytes));
  CHECK(first.number() >= 0 && second.number() >= 0);
  CHECK_EQ(tapSetQueue(second.number(), false), 0);
  CHECK_EQ(tapSetQueue(second.number(), false), -EINVAL);
  CHECK_EQ(tapSetQueue(second.number(), true), 0);
  const Fd single(tapOpen(tapName().c_str(), false, kHeaderBytes));
  CHECK(tapSetQueue(single.number(), false) < 0);
}

TEST("offloads: what the kernel knows, and nothing it does not") {
  needTaps();
  const Fd tap(tapOpen(tapName().c_str(), false, kHeaderBytes));
  CHECK_EQ(tapSetOffload(tap.number(), TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN), 0);
  CHECK_EQ(tapSetOffload(tap.number(), 0), 0);
  CHECK_EQ(tapSetOffload(tap.number(), 1u << 30), -EINVAL);
}

TEST("a descriptor of somebody else's is set up, or refused for what it is") {
  const Fd none(open("/dev/null", O_RDWR | O_CLOEXEC));
  CHECK(tapAdopt(none.number(), kHeaderBytes) < 0);
  CHECK_EQ(tapAdopt(-1, kHeaderBytes), -EBADF);
  needTaps();
  const Fd good(openPlain(tapName(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR));
  CHECK_EQ(tapAdopt(good.number(), kHeaderBytes), 0);
  CHECK(nonBlocking(good.number()));
  CHECK_EQ(headerBytesOf(good.number()), kHeaderBytes);
  const Fd bare(openPlain(tapName(), IFF_TAP | IFF_NO_PI));
  CHECK_EQ(tapAdopt(bare.number(), kHeaderBytes), -ENOTSUP);
  const Fd tun(openPlain(tapName(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR));
  CHECK_EQ(tapAdopt(tun.number(), kHeaderBytes), -EINVAL);
}

TEST("frames go in behind a header; none are waited for") {
  needTaps();
  const std::string name = tapName();
  const Fd tap(tapOpen(name.c_str(), false, kHeaderBytes));
  std::vector<char> frame(kHeaderBytes + 60);
  CHECK_EQ(write(tap.number(), frame.data(), frame.size()), -1);
  CHECK_EQ(errno, EIO);  // it is down
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strcpy(request.ifr_name, name.c_str());
  request.ifr_flags = IFF_UP;
  CHECK_EQ(ioctl(any.number(), SIOCSIFFLAGS, &request), 0);
  CHECK_EQ(write(tap.number(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
  // Shorter than header and Ethernet header.
  CHECK_EQ(write(tap.number(), frame.data(), kHeaderBytes + 13), -1);
  CHECK_EQ(errno, EINVAL);
  CHECK_EQ(readToTheEnd(tap.number()), -EAGAIN);
}

}  // namespace
}  // namespace vhost::test
