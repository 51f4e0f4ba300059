#include "postcopy.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vhost {
namespace {

// Of kernels since 5.19; older headers don't name it. The device node works without privileges
// where vm.unprivileged_userfaultfd is 0, if its mode lets us.
int openDevice() {
#ifdef USERFAULTFD_IOC_NEW
  const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return -1;
  const int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
  close(device);
  return fd;
#else
  return -1;
#endif
}

uffdio_range rangeOf(const MemoryRegion& region) {
  return {reinterpret_cast<uintptr_t>(region.mapBase()), region.mapBytes()};
}

int registerRegion(int fd, const MemoryRegion& region) {
  // Not madvise(DONTNEED): what a shared file already holds is there. Huge pages would make one
  // missing page of many that came.
  madvise(region.mapBase(), region.mapBytes(), MADV_NOHUGEPAGE);
  uffdio_register request{rangeOf(region), UFFDIO_REGISTER_MODE_MISSING, 0};
  if (ioctl(fd, UFFDIO_REGISTER, &request) != 0) return -errno;
  return (request.ioctls & (uint64_t{1} << _UFFDIO_COPY)) ? 0 : -EOPNOTSUPP;
}

}  // namespace

int createUserfault() {
  // Without UFFD_USER_MODE_ONLY: the kernel itself copies into guest memory for us.
  int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  const int error = errno;
  if (fd < 0) fd = openDevice();
  if (fd < 0) return -error;
  uffdio_api api{UFFD_API, 0, 0};
  const bool able = ioctl(fd, UFFDIO_API, &api) == 0 && (api.features & UFFD_FEATURE_MISSING_SHMEM);
  if (able) return fd;
  close(fd);
  return -EOPNOTSUPP;
}

int registerUserfault(int fd, const GuestMemory& memory) {
  for (size_t i = 0; i < memory.regionCount(); i++) {
    const int result = registerRegion(fd, memory.region(i));
    if (result == 0) continue;
    unregisterUserfault(fd, memory);
    return result;
  }
  return 0;
}

void unregisterUserfault(int fd, const GuestMemory& memory) {
  for (size_t i = 0; i < memory.regionCount(); i++) {
    uffdio_range range = rangeOf(memory.region(i));
    ioctl(fd, UFFDIO_UNREGISTER, &range);
  }
}

}  // namespace vhost
