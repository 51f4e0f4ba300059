#include "host-file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace vhost {
namespace {

constexpr uint32_t kDirectAlignmentUnknown = 4096;

// An eventfd has no file type of its own; the kernel names it in the link.
bool isEventfd(int fd) {
  char path[64];
  char target[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(path, target, sizeof target - 1);
  if (length < 0) return false;
  target[length] = '\0';
  return std::strcmp(target, "anon_inode:[eventfd]") == 0;
}

int setLock(int fd, short type, int64_t start, int64_t bytes) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = bytes;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

}  // namespace

int32_t fdKind(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  FdKind kind = FdKind::kOther;
  // An O_PATH descriptor has the file's type and can do nothing of what the type can (CS-035).
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if (flags & O_PATH) return static_cast<int32_t>(kind);
  if (S_ISREG(status.st_mode)) kind = FdKind::kRegular;
  if (S_ISSOCK(status.st_mode)) kind = FdKind::kSocket;
  if (S_ISFIFO(status.st_mode)) kind = FdKind::kPipe;
  if (S_ISBLK(status.st_mode)) kind = FdKind::kBlockDevice;
  if (kind == FdKind::kOther && isEventfd(fd)) kind = FdKind::kEventfd;
  return static_cast<int32_t>(kind);
}

int checkSharedFile(int fd, uint64_t endBytes) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -EBADF;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_ACCMODE) != O_RDWR || (flags & O_PATH)) return -EACCES;
  return static_cast<uint64_t>(status.st_size) < endBytes ? -EOVERFLOW : 0;
}

int createEventfd(uint32_t initial) {
  const int fd = eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int createTimer() {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int armTimer(int fd, uint32_t firstMs, uint32_t intervalMs) {
  itimerspec times = {};
  times.it_value = {firstMs / 1000, static_cast<long>(firstMs % 1000) * 1000000};
  times.it_interval = {intervalMs / 1000, static_cast<long>(intervalMs % 1000) * 1000000};
  return timerfd_settime(fd, 0, &times, nullptr) == 0 ? 0 : -errno;
}

void makeNonBlocking(int fd) {
  if (fd < 0) return;
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int signalEventfd(int fd) {
  makeNonBlocking(fd);
  const uint64_t one = 1;
  const ssize_t written = write(fd, &one, sizeof one);
  return written < 0 && errno != EAGAIN ? -errno : 0;
}

int64_t readEventfd(int fd) {
  uint64_t value = 0;
  const ssize_t got = read(fd, &value, sizeof value);
  if (got < 0) return errno == EAGAIN ? 0 : -errno;
  return static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
}

int createMemfd(const char* name, uint64_t bytes) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int lockRange(int fd, bool exclusive, int64_t start, int64_t bytes) {
  return setLock(fd, exclusive ? F_WRLCK : F_RDLCK, start, bytes);
}

int unlockRange(int fd, int64_t start, int64_t bytes) {
  return setLock(fd, F_UNLCK, start, bytes);
}

int probeLock(int fd, bool exclusive, int64_t start, int64_t bytes) {
  struct flock lock = {};
  lock.l_type = exclusive ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = bytes;
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return -errno;
  return lock.l_type == F_UNLCK ? 0 : 1;
}

int64_t blockDeviceBytes(int fd, uint32_t* logicalBlockBytes) {
  uint64_t bytes = 0;
  int logical = 0;
  if (ioctl(fd, BLKGETSIZE64, &bytes) != 0) return -errno;
  if (ioctl(fd, BLKSSZGET, &logical) != 0) return -errno;
  *logicalBlockBytes = static_cast<uint32_t>(logical);
  return static_cast<int64_t>(bytes);
}

uint32_t directAlignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx status = {};
  const long result = syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status);
  if (result == 0 && (status.stx_mask & STATX_DIOALIGN) && status.stx_dio_offset_align > 0) {
    return std::max(status.stx_dio_offset_align, status.stx_dio_mem_align);
  }
#endif
  return kDirectAlignmentUnknown;
}

}  // namespace vhost
