// The dirty log of a live migration: a bitmap the front-end shares, one bit for each page of guest
// memory (vhost-user: "Logging"). Whoever wrote into a page sets its bit afterwards; the front-end
// takes bits away at any moment. Immutable but for the bits, so all workers use it without a lock.
#ifndef VHOST_CORE_DIRTY_LOG_H_
#define VHOST_CORE_DIRTY_LOG_H_

#include <cstdint>
#include <memory>

namespace vhost {

class DirtyLog {
 public:
  static constexpr uint64_t kPageBytes = 4096;  // vhost-user: VHOST_LOG_PAGE
  // A bit for each page of 52 bits of guest address, more than any processor has.
  static constexpr uint64_t kSizeBytesMax = uint64_t{1} << (52 - 12 - 3);

  // Maps [offset, offset + size) of the file; the descriptor stays the caller's. Sets *error to 0
  // or -errno: -EINVAL (size zero or too large, sum wraps, offset not on a page), -EBADF (no
  // regular file), -EACCES (not read-write), -EOVERFLOW (file too short), or what mmap said.
  static std::shared_ptr<const DirtyLog> map(int fd, uint64_t sizeBytes, uint64_t offsetBytes,
                                             int* error);
  // The same bitmap with another descriptor to signal; owned from here on, -1: none.
  std::shared_ptr<const DirtyLog> withSignal(int signalFd) const;
  ~DirtyLog();
  DirtyLog(const DirtyLog&) = delete;
  DirtyLog& operator=(const DirtyLog&) = delete;

  bool covers(uint64_t guestAddress, uint64_t bytes) const;
  // Sets the bits of all pages the range touches; none for no bytes (CVE-2019-14835). A range that
  // is not covered is left out, and the log is lost(): what it says is not the whole truth.
  void mark(uint64_t guestAddress, uint64_t bytes) const;
  // Tells the front-end that bits were set (vhost-user: SET_LOG_FD).
  void signal() const;
  // The front-end shrank the file, or made the log too small for what is written.
  bool lost() const;

 private:
  class Bitmap;
  DirtyLog(std::shared_ptr<Bitmap> bitmap, int signalFd);

  std::shared_ptr<Bitmap> bitmap_;
  int signalFd_;
};

}  // namespace vhost

#endif  // VHOST_CORE_DIRTY_LOG_H_
