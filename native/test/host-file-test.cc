// host-file.cc: what a descriptor is, and what can be done with it.
#include "host-file.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint64_t kBytes = 8192;

int kindOf(int fd) {
  const int kind = fdKind(fd);
  close(fd);
  return kind;
}

int expected(FdKind kind) {
  return static_cast<int>(kind);
}

TEST("CS-035: what kind of file a descriptor is") {
  int pipeEnds[2];
  CHECK(pipe2(pipeEnds, O_CLOEXEC) == 0);
  CHECK_EQ(kindOf(pipeEnds[0]), expected(FdKind::kPipe));
  CHECK_EQ(kindOf(pipeEnds[1]), expected(FdKind::kPipe));
  CHECK_EQ(kindOf(createEventfd(0)), expected(FdKind::kEventfd));
  CHECK_EQ(kindOf(createMemfd("vhost-test", kBytes)), expected(FdKind::kRegular));
  CHECK_EQ(kindOf(socket(AF_UNIX, SOCK_STREAM, 0)), expected(FdKind::kSocket));
  CHECK_EQ(kindOf(createTimer()), expected(FdKind::kOther));
  CHECK_EQ(kindOf(open("/dev/null", O_RDWR)), expected(FdKind::kOther));
  CHECK_EQ(kindOf(open("/etc/passwd", O_PATH)), expected(FdKind::kOther));
  CHECK_EQ(fdKind(-1), -EBADF);
}

TEST("CS-076: a file is mapped only when it is regular, read-write and long enough") {
  const TemporaryFile file(kBytes);
  CHECK_EQ(checkSharedFile(file.fd(), kBytes), 0);
  CHECK_EQ(checkSharedFile(file.fd(), kBytes + 1), -EOVERFLOW);
  const int readOnly = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  CHECK_EQ(checkSharedFile(readOnly, 0), -EACCES);
  close(readOnly);
  const int pathOnly = open("/etc/passwd", O_PATH | O_CLOEXEC);
  CHECK_EQ(checkSharedFile(pathOnly, 0), -EACCES);
  close(pathOnly);
  const int event = createEventfd(0);
  CHECK_EQ(checkSharedFile(event, 0), -EBADF);
  close(event);
  CHECK_EQ(checkSharedFile(-1, 0), -EBADF);
}

TEST("CS-037: an eventfd counts, and a full one blocks nobody") {
  const int fd = eventfd(3, EFD_CLOEXEC);
  CHECK_EQ(signalEventfd(fd), 0);
  CHECK_EQ(readEventfd(fd), 4);
  CHECK_EQ(readEventfd(fd), 0);
  CHECK(eventfd_write(fd, UINT64_MAX - 1) == 0);
  CHECK_EQ(signalEventfd(fd), 0);
  CHECK_EQ(readEventfd(fd), INT64_MAX);
  close(fd);
  CHECK_EQ(signalEventfd(fd), -EBADF);
  CHECK_EQ(signalEventfd(-1), -EBADF);
  CHECK_EQ(readEventfd(fd), -EBADF);
}

TEST("a timer: once, again and again, and not at all") {
  const int timer = createTimer();
  CHECK_EQ(armTimer(timer, 1, 0), 0);
  usleep(20'000);
  CHECK_EQ(readEventfd(timer), 1);
  CHECK_EQ(armTimer(timer, 1, 1), 0);
  usleep(20'000);
  CHECK(readEventfd(timer) > 1);
  CHECK_EQ(armTimer(timer, 0, 0), 0);
  CHECK_EQ(readEventfd(timer), 0);
  close(timer);
  CHECK_EQ(armTimer(timer, 1, 0), -EBADF);
}

TEST("anonymous memory of a size that no file has is refused") {
  CHECK_EQ(createMemfd("vhost-test", uint64_t{1} << 63), -EINVAL);
}

TEST("locks of open files: shared, exclusive, ranges, and who is in the way") {
  const TemporaryFile file(kBytes);
  const std::string path = "/proc/self/fd/" + std::to_string(file.fd());
  const int other = open(path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(other >= 0);
  CHECK_EQ(lockRange(file.fd(), false, 0, 10), 0);
  CHECK_EQ(lockRange(other, false, 0, 10), 0);
  CHECK_EQ(lockRange(other, true, 0, 10), -EAGAIN);
  CHECK_EQ(probeLock(other, true, 0, 10), 1);
  CHECK_EQ(probeLock(other, false, 0, 10), 0);
  CHECK_EQ(probeLock(other, true, 10, 0), 0);
  CHECK_EQ(unlockRange(file.fd(), 0, 10), 0);
  CHECK_EQ(lockRange(other, true, 0, 0), 0);
  CHECK_EQ(probeLock(file.fd(), false, 5, 1), 1);
  close(other);
  CHECK_EQ(probeLock(file.fd(), false, 5, 1), 0);
  CHECK_EQ(lockRange(-1, false, 0, 0), -EBADF);
  CHECK_EQ(probeLock(-1, false, 0, 0), -EBADF);
}

TEST(
    "a file is no block device; O_DIRECT's alignment is a power of two, also where it is unknown") {
  const TemporaryFile file(kBytes);
  uint32_t logical = 0;
  CHECK_EQ(blockDeviceBytes(file.fd(), &logical), -ENOTTY);
  CHECK_EQ(blockDeviceBytes(-1, &logical), -EBADF);
  const uint32_t alignment = directAlignment(file.fd());
  CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0);
  CHECK_EQ(directAlignment(-1), 4096u);
}

}  // namespace
}  // namespace vhost::test
