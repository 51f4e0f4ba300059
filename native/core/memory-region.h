// One memory region a front-end shares: a mapping of its file descriptor, known by two addresses
// (guest physical for descriptors, the front-end's own for ring addresses).
#ifndef VHOST_CORE_MEMORY_REGION_H_
#define VHOST_CORE_MEMORY_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fault-guard.h"

namespace vhost {

// As it arrives in SET_MEM_TABLE / ADD_MEM_REG; every field is the front-end's and untrusted.
struct RegionDescription {
  uint64_t guestAddress;
  uint64_t userAddress;
  uint64_t sizeBytes;
  uint64_t mmapOffset;
};

class MemoryRegion {
 public:
  // A region larger than this is a mistake or an attack (CS-079); the largest x86 guests have
  // 12 TiB today.
  static constexpr uint64_t kSizeBytesMax = uint64_t{1} << 45;

  // Maps the file; the descriptor stays the caller's. Sets *error to 0 or -errno:
  // -EINVAL (size or address arithmetic), -EBADF (no regular file), -EACCES (not read-write),
  // -EOVERFLOW (file shorter than offset + size), or what mmap said.
  static std::shared_ptr<MemoryRegion> map(int fd, const RegionDescription& description,
                                           int* error);
  ~MemoryRegion();
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;

  const RegionDescription& description() const { return description_; }
  uint64_t guestEnd() const { return description_.guestAddress + description_.sizeBytes; }
  // Host address of the region's first byte.
  uint8_t* host() const { return host_; }
  // The mapping, which begins before the region when the file's blocks ask for it.
  void* mapBase() const { return mapBase_; }
  size_t mapBytes() const { return mapBytes_; }
  bool poisoned() const { return guard_->poisoned.load(std::memory_order_acquire); }
  void poison() { guard_->poisoned.store(true, std::memory_order_release); }
  // True when the file carries F_SEAL_SHRINK: it can't be cut under us.
  bool sealed() const { return sealed_; }

 private:
  MemoryRegion() = default;

  RegionDescription description_{};
  void* mapBase_ = nullptr;
  size_t mapBytes_ = 0;
  uint8_t* host_ = nullptr;
  GuardSlot* guard_ = nullptr;
  bool sealed_ = false;
};

}  // namespace vhost

#endif  // VHOST_CORE_MEMORY_REGION_H_
