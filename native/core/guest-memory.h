// A guest's memory: an immutable set of regions. A change makes a new GuestMemory that shares the
// regions that stay, so a region is unmapped only when the last owner has let go of it.
#ifndef VHOST_CORE_GUEST_MEMORY_H_
#define VHOST_CORE_GUEST_MEMORY_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "iotlb.h"
#include "memory-region.h"

namespace vhost {

// Guest addresses of one region, and where they are here.
struct GuestSpan {
  uint64_t guestAddress = 0;
  uint64_t bytes = 0;
  uint8_t* host = nullptr;
};

class GuestMemory {
 public:
  // The vhost-user maximum that rust-vmm and libvhost-user also answer to GET_MAX_MEM_SLOTS.
  static constexpr size_t kRegionsMax = 509;

  GuestMemory() = default;

  // This memory and one region more; nullptr and *error -EEXIST (overlap), -ENOSPC (too many), or
  // what MemoryRegion::map says.
  std::shared_ptr<GuestMemory> with(int fd, const RegionDescription& description, int* error) const;

  // This memory without the region of that guest address, user address and size; the mmap offset
  // does not count (vhost-user: REM_MEM_REG). nullptr when there is none. Translations are
  // forgotten: some may lead into the region, and the front-end tells the others again.
  std::shared_ptr<GuestMemory> without(const RegionDescription& description) const;

  // Appends the host segments of [guestAddress, +bytes) to *out. A range may run over regions that
  // adjoin in guest memory. False when any byte is outside (nothing useful is then in *out).
  bool translate(uint64_t guestAddress, uint64_t bytes, std::vector<iovec>* out) const;

  // The region that guest address lies in; of no bytes when there is none.
  GuestSpan span(uint64_t guestAddress) const;

  // As translate(), for a range in the front-end's addresses.
  bool translateUser(uint64_t userAddress, uint64_t bytes, std::vector<iovec>* out) const;

  // The same regions under other translations of I/O addresses.
  std::shared_ptr<GuestMemory> withIotlb(std::shared_ptr<const Iotlb> iotlb) const;
  const Iotlb& iotlb() const { return *iotlb_; }

  // Host address of a range given in the front-end's addresses; nullptr unless one region holds it
  // whole. Ring addresses are given this way (vhost-user: SET_VRING_ADDR).
  uint8_t* userToHost(uint64_t userAddress, uint64_t bytes) const;

  // The other way round: the guest address of a byte that translate() gave out. UINT64_MAX for one
  // that is in no region. Linear: for the dirty log, not for the data path.
  uint64_t hostToGuest(const void* host) const;

  bool poisoned() const;
  // All regions: after the kernel met a lost page (EFAULT) it is not known in which one.
  void poison() const;
  size_t regionCount() const { return regions_.size(); }
  const MemoryRegion& region(size_t index) const { return *regions_[index]; }

 private:
  const MemoryRegion* find(uint64_t guestAddress) const;
  const MemoryRegion* findUser(uint64_t userAddress) const;

  std::vector<std::shared_ptr<MemoryRegion>> regions_;  // sorted by guest address
  std::shared_ptr<const Iotlb> iotlb_ = std::make_shared<const Iotlb>();
};

}  // namespace vhost

#endif  // VHOST_CORE_GUEST_MEMORY_H_
