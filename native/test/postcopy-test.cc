#include "postcopy.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "check.h"
#include "driver.h"

namespace vhost::test {
namespace {

constexpr uint64_t kGuest = 0x100000;
constexpr uint64_t kBytes = 65536;

// Where the kernel has none there is nothing to test but a clean refusal.
bool forbidden(int fd) {
  if (fd >= 0) return false;
  CHECK(fd == -EPERM || fd == -ENOSYS || fd == -EOPNOTSUPP || fd == -EACCES);
  return true;
}

TEST("postcopy: a missing page waits for the front-end; a page that is there does not") {
  const int fd = createUserfault();
  if (forbidden(fd)) return;
  SharedFile file(kBytes);
  file.data()[5] = 7;
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {kGuest, kGuest, kBytes, 0}, &error);
  CHECK_EQ(registerUserfault(fd, *memory), 0);
  std::vector<iovec> pieces;
  CHECK(memory->translate(kGuest, kBytes, &pieces));
  auto* host = static_cast<volatile uint8_t*>(pieces[0].iov_base);
  CHECK_EQ(static_cast<uint8_t>(host[5]), 7);
  uint8_t seen = 0;
  std::thread worker([&] { seen = host[8192 + 3]; });
  pollfd waiting{fd, POLLIN, 0};
  const int ready = poll(&waiting, 1, 5000);
  uffd_msg message{};
  const ssize_t got = read(fd, &message, sizeof message);
  std::vector<uint8_t> page(4096, 42);
  uffdio_copy copy{};
  copy.dst = reinterpret_cast<uintptr_t>(pieces[0].iov_base) + 8192;
  copy.src = reinterpret_cast<uintptr_t>(page.data());
  copy.len = page.size();
  const int copied = ioctl(fd, UFFDIO_COPY, &copy);
  worker.join();
  CHECK_EQ(ready, 1);
  CHECK_EQ(got, sizeof message);
  CHECK_EQ(message.arg.pagefault.address & ~uint64_t{4095}, copy.dst);
  CHECK_EQ(copied, 0);
  CHECK_EQ(seen, 42);
  close(fd);
}

TEST("postcopy: who waits when it ends goes on, though the front-end keeps its duplicate") {
  const int fd = createUserfault();
  if (forbidden(fd)) return;
  const int duplicate = dup(fd);
  SharedFile file(kBytes);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {kGuest, kGuest, kBytes, 0}, &error);
  CHECK_EQ(registerUserfault(fd, *memory), 0);
  std::vector<iovec> pieces;
  memory->translate(kGuest, kBytes, &pieces);
  uint8_t seen = 1;
  std::thread worker([&] { seen = *static_cast<volatile uint8_t*>(pieces[0].iov_base); });
  pollfd waiting{fd, POLLIN, 0};
  const int ready = poll(&waiting, 1, 5000);
  unregisterUserfault(fd, *memory);
  close(fd);
  worker.join();
  close(duplicate);
  CHECK_EQ(ready, 1);
  CHECK_EQ(seen, 0);
}

TEST("postcopy: a descriptor that is no userfaultfd") {
  SharedFile file(kBytes);
  int error = 0;
  const auto memory = GuestMemory().with(file.fd(), {kGuest, kGuest, kBytes, 0}, &error);
  CHECK(registerUserfault(file.fd(), *memory) < 0);
}

}  // namespace
}  // namespace vhost::test
