// What of one ring's writes goes into the dirty log, and where. While nothing is logged it costs
// the ring one test of a flag.
#ifndef VHOST_CORE_RING_LOG_H_
#define VHOST_CORE_RING_LOG_H_

#include <cstdint>
#include <memory>

#include "address-space.h"
#include "descriptor-chain.h"
#include "dirty-log.h"
#include "guest-memory.h"

namespace vhost {

struct RingLog {
  std::shared_ptr<const DirtyLog> log;  // nullptr: the front-end has given none
  bool data = false;                    // VHOST_F_LOG_ALL is acknowledged
  bool used = false;                    // the vring's address came with VHOST_VRING_F_LOG
  // Where in the log's address space the used ring lies; packed: the device's event suppression.
  uint64_t usedAddress = 0;

  bool active() const { return log != nullptr && (data || used); }
  bool lost() const { return active() && log->lost(); }

  // Bytes written at this offset of the used ring, which lies at host. Behind an IOMMU the address
  // is an I/O address like the ring's own, so the memory says where the ring is.
  void markUsed(const AddressSpace& space, const uint8_t* host, uint64_t offset,
                uint64_t bytes) const {
    if (log == nullptr || !used) return;
    if (space.platform()) return markRing(host + offset, bytes, *space.memory());
    // A wrapped sum is covered by no log, which is found out there.
    const uint64_t at = usedAddress + offset;
    log->mark(at < usedAddress ? UINT64_MAX : at, bytes);
  }

  // Bytes written into a part of the ring that the log's address says nothing of: the descriptor
  // ring of a packed virtqueue.
  void markRing(const uint8_t* at, uint64_t bytes, const GuestMemory& memory) const {
    if (log != nullptr && used) log->mark(memory.hostToGuest(at), bytes);
  }

  // The device-writable part of a chain, whatever of it was written.
  void markChain(const DescriptorChain& chain, const GuestMemory& memory) const {
    if (log == nullptr || !data) return;
    for (size_t i = chain.readableSegments; i < chain.segments.size(); i++) {
      const iovec& segment = chain.segments[i];
      log->mark(memory.hostToGuest(segment.iov_base), segment.iov_len);
    }
  }
};

}  // namespace vhost

#endif  // VHOST_CORE_RING_LOG_H_
