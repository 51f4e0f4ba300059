#include "dirty-log.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "fault-guard.h"
#include "host-file.h"

namespace vhost {
namespace {

constexpr uint64_t kPagesPerByte = 8;

}  // namespace

class DirtyLog::Bitmap {
 public:
  Bitmap(void* base, size_t mapBytes, uint64_t sizeBytes, GuardSlot* guard)
      : base_(base), mapBytes_(mapBytes), sizeBytes_(sizeBytes), guard_(guard) {}
  ~Bitmap() {
    FaultGuard::release(guard_);
    munmap(base_, mapBytes_);
  }
  Bitmap(const Bitmap&) = delete;
  Bitmap& operator=(const Bitmap&) = delete;

  // No overflow: kSizeBytesMax stands for 52 bits of address.
  uint64_t coveredBytes() const { return sizeBytes_ * kPagesPerByte * kPageBytes; }

  void set(uint64_t firstPage, uint64_t lastPage) {
    auto* bits = static_cast<uint8_t*>(base_);
    for (uint64_t page = firstPage; page <= lastPage;) {
      const uint64_t shift = page % kPagesPerByte;
      const uint64_t count = std::min(kPagesPerByte - shift, lastPage - page + 1);
      const auto mask = static_cast<uint8_t>(((1u << count) - 1) << shift);
      // Unconditional: to look first whether the bit is set could pass the data's own store, and
      // miss the front-end that clears the bit in between and copies the page.
      __atomic_fetch_or(bits + page / kPagesPerByte, mask, __ATOMIC_SEQ_CST);
      page += count;
    }
  }

  void miss() { missed_.store(true, std::memory_order_relaxed); }
  bool lost() const {
    return missed_.load(std::memory_order_relaxed) ||
           guard_->poisoned.load(std::memory_order_acquire);
  }

 private:
  void* base_;
  size_t mapBytes_;
  uint64_t sizeBytes_;
  GuardSlot* guard_;
  std::atomic<bool> missed_{false};
};

std::shared_ptr<const DirtyLog> DirtyLog::map(int fd, uint64_t sizeBytes, uint64_t offsetBytes,
                                              int* error) {
  const auto pageBytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const bool sane = sizeBytes > 0 && sizeBytes <= kSizeBytesMax && offsetBytes % pageBytes == 0 &&
                    offsetBytes + sizeBytes > offsetBytes;  // CVE-2020-10722: the sum wraps
  *error = sane ? checkSharedFile(fd, offsetBytes + sizeBytes) : -EINVAL;
  if (*error == 0) *error = FaultGuard::install();
  if (*error != 0) return nullptr;
  const uint64_t mapBytes = (sizeBytes + pageBytes - 1) & ~(pageBytes - 1);
  void* base = mmap(nullptr, mapBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                    static_cast<off_t>(offsetBytes));
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
  madvise(base, mapBytes, MADV_DONTDUMP);
  madvise(base, mapBytes, MADV_DONTFORK);
  auto bitmap = std::make_shared<Bitmap>(base, mapBytes, sizeBytes, guard);
  return std::shared_ptr<const DirtyLog>(new DirtyLog(std::move(bitmap), -1));
}

DirtyLog::DirtyLog(std::shared_ptr<Bitmap> bitmap, int signalFd)
    : bitmap_(std::move(bitmap)), signalFd_(signalFd) {}

DirtyLog::~DirtyLog() {
  if (signalFd_ >= 0) close(signalFd_);
}

std::shared_ptr<const DirtyLog> DirtyLog::withSignal(int signalFd) const {
  if (signalFd >= 0) makeNonBlocking(signalFd);
  return std::shared_ptr<const DirtyLog>(new DirtyLog(bitmap_, signalFd));
}

bool DirtyLog::covers(uint64_t guestAddress, uint64_t bytes) const {
  const uint64_t covered = bitmap_->coveredBytes();
  return bytes <= covered && guestAddress <= covered - bytes;
}

void DirtyLog::mark(uint64_t guestAddress, uint64_t bytes) const {
  if (bytes == 0) return;
  if (!covers(guestAddress, bytes)) {
    bitmap_->miss();
    return;
  }
  bitmap_->set(guestAddress / kPageBytes, (guestAddress + bytes - 1) / kPageBytes);
}

void DirtyLog::signal() const {
  if (signalFd_ >= 0) signalEventfd(signalFd_);
}

bool DirtyLog::lost() const {
  return bitmap_->lost();
}

}  // namespace vhost
