#include "page-cache-view.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>

#include "host-file.h"

namespace vhost {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kBits = 64;
// Seconds of hard work: what came before is over.
constexpr uint32_t kCopiesOfCalm = 1 << 20;
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

// Where every change of the file's goes through this host's page cache. Not tmpfs: a read of a hole
// through a mapping allocates the page.
bool isLocal(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) != 0) return false;
  switch (static_cast<uint32_t>(status.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
      return true;
    default:
      return false;
  }
}

uint64_t mappableBytes(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return 0;
  if (S_ISREG(status.st_mode)) return isLocal(fd) ? static_cast<uint64_t>(status.st_size) : 0;
  uint32_t logicalBlockBytes = 0;
  return static_cast<uint64_t>(std::max<int64_t>(0, blockDeviceBytes(fd, &logicalBlockBytes)));
}

int64_t faultsOfThread() {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_majflt : 0;
}

}  // namespace

std::unique_ptr<PageCacheView> PageCacheView::open(int fd) {
  const uint64_t bytes = mappableBytes(fd);
  if (bytes < kPage || FaultGuard::install() != 0) return nullptr;
  std::unique_ptr<PageCacheView> view(new PageCacheView());
  return view->map(fd, bytes) ? std::move(view) : nullptr;
}

bool PageCacheView::map(int fd, uint64_t bytes) {
  void* file = mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (file == MAP_FAILED) return false;
  file_ = static_cast<uint8_t*>(file);
  bytes_ = bytes;
  // A page that is gone is read alone: whoever reads in order is served by io_uring first, whose
  // readahead is better.
  madvise(file, bytes, MADV_RANDOM);
  knownBytes_ = (bytes / kPage / kBits + 1) * sizeof(uint64_t);
  void* known = mmap(nullptr, knownBytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (known == MAP_FAILED) return false;
  known_ = static_cast<uint64_t*>(known);
  faults_ = faultsOfThread();
  guard_ = FaultGuard::watch(file, bytes);
  return guard_ != nullptr;
}

PageCacheView::~PageCacheView() {
  if (guard_ != nullptr) FaultGuard::release(guard_);
  if (known_ != nullptr) munmap(known_, knownBytes_);
  if (file_ != nullptr) munmap(file_, bytes_);
}

bool PageCacheView::read(uint64_t offset, const std::vector<iovec>& segments, uint64_t bytes) {
  if (!known(offset, bytes) || resting()) return false;
  const uint8_t* from = file_ + offset;
  for (const iovec& segment : segments) {
    std::memcpy(segment.iov_base, from, segment.iov_len);
    from += segment.iov_len;
  }
  if (++copies_ % kCopiesPerCheck == 0) checkFaults();
  // The file was cut short or its disk failed: zeroes were copied, and the kernel has more to say.
  return !guard_->poisoned.load(std::memory_order_acquire);
}

bool PageCacheView::known(uint64_t offset, uint64_t bytes) const {
  if (bytes == 0 || offset >= bytes_ || bytes > bytes_ - offset) return false;
  for (uint64_t page = offset / kPage; page <= (offset + bytes - 1) / kPage; page++) {
    if ((known_[page / kBits] >> (page % kBits) & 1) == 0) return false;
  }
  return true;
}

void PageCacheView::learn(uint64_t offset, uint64_t bytes) {
  if (resting() || offset >= bytes_) return;
  if (pagesKnown_ >= kPagesKnownMax) forget();
  // Whole pages: of one written in part the kernel may not hold the rest.
  const uint64_t end = (offset + std::min(bytes, bytes_ - offset)) / kPage;
  for (uint64_t page = (offset + kPage - 1) / kPage; page < end; page++) mark(page, true);
}

void PageCacheView::unlearn(uint64_t offset, uint64_t bytes) {
  if (offset >= bytes_ || bytes == 0) return;
  const uint64_t last = (offset + std::min(bytes, bytes_ - offset) - 1) / kPage;
  for (uint64_t page = offset / kPage; page <= last; page++) {
    // Word by word over what was never learned: a discard may be as long as the disk.
    if (known_[page / kBits] == 0) {
      page |= kBits - 1;
    } else {
      mark(page, false);
    }
  }
}

void PageCacheView::mark(uint64_t page, bool isKnown) {
  uint64_t& word = known_[page / kBits];
  const uint64_t bit = uint64_t{1} << (page % kBits);
  if (((word & bit) != 0) == isKnown) return;
  word ^= bit;
  pagesKnown_ += isKnown ? 1 : uint64_t{0} - 1;
}

bool PageCacheView::resting() {
  if (guard_->poisoned.load(std::memory_order_acquire)) return true;
  if (!resting_) return false;
  resting_ = Clock::now() < restUntil_;
  return resting_;
}

void PageCacheView::checkFaults() {
  const int64_t faults = faultsOfThread();
  if (faults != faults_) {
    rest();
  } else if (copies_ % kCopiesOfCalm == 0) {
    restNext_ = kRestMin;
  }
  faults_ = faults;
}

void PageCacheView::rest() {
  forget();
  resting_ = true;
  restUntil_ = Clock::now() + restNext_;
  restNext_ = std::min(restNext_ * 2, kRestMax);
}

void PageCacheView::forget() {
  madvise(known_, knownBytes_, MADV_DONTNEED);
  madvise(file_, bytes_, MADV_DONTNEED);
  pagesKnown_ = 0;
}

}  // namespace vhost
