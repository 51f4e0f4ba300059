#include "memory-region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "host-file.h"

namespace vhost {
namespace {

bool wraps(uint64_t start, uint64_t bytes) {
  return start + bytes < start;
}

int checkDescription(const RegionDescription& d) {
  if (d.sizeBytes == 0 || d.sizeBytes > MemoryRegion::kSizeBytesMax) return -EINVAL;
  if (wraps(d.guestAddress, d.sizeBytes) || wraps(d.userAddress, d.sizeBytes)) return -EINVAL;
  if (wraps(d.mmapOffset, d.sizeBytes)) return -EINVAL;
  return 0;
}

int checkFile(int fd, const RegionDescription& d, size_t* blockBytes) {
  const int result = checkSharedFile(fd, d.mmapOffset + d.sizeBytes);
  struct stat status;
  if (result != 0 || fstat(fd, &status) != 0) return result != 0 ? result : -errno;
  // For hugetlbfs st_blksize is the huge page, the unit mmap offsets must be aligned to.
  const auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto fileBlock = static_cast<size_t>(status.st_blksize);
  const bool powerOfTwo = (fileBlock & (fileBlock - 1)) == 0;
  *blockBytes = powerOfTwo && fileBlock > pageBytes ? fileBlock : pageBytes;
  return 0;
}

}  // namespace

std::shared_ptr<MemoryRegion> MemoryRegion::map(int fd, const RegionDescription& description,
                                                int* error) {
  size_t blockBytes = 0;
  *error = checkDescription(description);
  if (*error == 0) *error = checkFile(fd, description, &blockBytes);
  if (*error == 0) *error = FaultGuard::install();
  if (*error != 0) return nullptr;

  const uint64_t mapOffset = description.mmapOffset & ~(uint64_t{blockBytes} - 1);
  const uint64_t head = description.mmapOffset - mapOffset;
  const uint64_t needed = description.sizeBytes + head;
  const size_t mapBytes = (needed + blockBytes - 1) & ~(uint64_t{blockBytes} - 1);
  void* base = mmap(nullptr, mapBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                    static_cast<off_t>(mapOffset));
  if (base == MAP_FAILED) {
    *error = -errno;
    return nullptr;
  }
  GuardSlot* guard = FaultGuard::watch(base, mapBytes);
  if (guard == nullptr) {
    munmap(base, mapBytes);
    *error = -ENOSPC;
    return nullptr;
  }
  // Guest memory belongs neither in a core file nor in a child.
  madvise(base, mapBytes, MADV_DONTDUMP);
  madvise(base, mapBytes, MADV_DONTFORK);

  std::shared_ptr<MemoryRegion> region(new MemoryRegion());
  region->description_ = description;
  region->mapBase_ = base;
  region->mapBytes_ = mapBytes;
  region->host_ = static_cast<uint8_t*>(base) + head;
  region->guard_ = guard;
  const int seals = fcntl(fd, F_GET_SEALS);
  region->sealed_ =
      (seals >= 0 && (seals & F_SEAL_SHRINK)) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0;
  return region;
}

MemoryRegion::~MemoryRegion() {
  if (mapBase_ == nullptr) return;
  FaultGuard::release(guard_);
  munmap(mapBase_, mapBytes_);
}

}  // namespace vhost
