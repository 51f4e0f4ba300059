// Inflight area: memory the front-end keeps while we are gone, in which we record the requests that
// are in flight, so that the next process can take them up (vhost-user "Inflight I/O tracking").
// Here: layout, creation, mapping. What is recorded, each ring format says for itself.
#ifndef VHOST_CORE_INFLIGHT_AREA_H_
#define VHOST_CORE_INFLIGHT_AREA_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory-region.h"

namespace vhost {

enum class InflightFormat : uint32_t { kSplit = 0, kPacked = 1 };

constexpr uint16_t kInflightVersion = 1;

// One region for each queue: a header, then an entry for each descriptor index.
struct SplitInflightHeader {
  uint64_t features;
  uint16_t version;  // 0: nobody has used the region yet
  uint16_t descCount;
  uint16_t lastBatchHead;
  uint16_t usedIndex;
};
static_assert(sizeof(SplitInflightHeader) == 16);

struct SplitInflightEntry {
  uint8_t inflight;
  uint8_t reserved[5];
  uint16_t next;  // head completed before this one in the same batch
  uint64_t counter;
};
static_assert(sizeof(SplitInflightEntry) == 16);
static_assert(offsetof(SplitInflightEntry, next) == 6);

struct PackedInflightHeader {
  uint64_t features;
  uint16_t version;
  uint16_t descCount;
  uint16_t freeHead;
  uint16_t oldFreeHead;
  uint16_t usedIndex;
  uint16_t oldUsedIndex;
  uint8_t usedWrapCounter;
  uint8_t oldUsedWrapCounter;
  uint8_t reserved[7];
};
static_assert(sizeof(PackedInflightHeader) == 32);
static_assert(offsetof(PackedInflightHeader, reserved) == 22);

struct PackedInflightEntry {
  uint8_t inflight;
  uint8_t reserved;
  uint16_t next;
  uint16_t last;
  uint16_t count;
  uint64_t counter;
  uint16_t id;
  uint16_t flags;
  uint32_t length;
  uint64_t address;
};
static_assert(sizeof(PackedInflightEntry) == 32);
static_assert(offsetof(PackedInflightEntry, address) == 24);

// As SET_INFLIGHT_FD says it; every field is the front-end's and untrusted.
struct InflightDescription {
  uint64_t sizeBytes;
  uint64_t mmapOffset;
  uint16_t queueCount;
  uint16_t queueSize;
};

class InflightArea {
 public:
  // libvhost-user and DPDK align each queue's region to this.
  static constexpr uint64_t kRegionAlign = 64;
  // VIRTIO 1.3 §2.7; packed rings have the same limit (§2.8.10.1).
  static constexpr uint32_t kQueueSizeMax = 32768;

  static uint64_t queueBytes(InflightFormat format, uint32_t queueSize);

  // A zeroed area whose size nobody can change: descriptor or -errno.
  static int create(InflightFormat format, uint32_t queueCount, uint32_t queueSize);

  // Maps the area; the descriptor stays the caller's. nullptr and *error: -EINVAL (counts, offset,
  // or no room for that many split queues), or what MemoryRegion::map says.
  static std::shared_ptr<InflightArea> map(int fd, const InflightDescription& description,
                                           int* error);

  uint32_t queueSize() const { return queueSize_; }
  // nullptr when the area has no region for that queue, or too small a one for the format.
  uint8_t* queue(uint32_t index, InflightFormat format) const;
  bool covers(uint32_t index) const { return index < queueCount_; }
  // The front-end took the memory away; what is recorded from then on is lost.
  bool poisoned() const { return memory_->poisoned(); }

 private:
  InflightArea() = default;

  std::shared_ptr<MemoryRegion> memory_;
  uint64_t strideBytes_ = 0;
  uint32_t queueCount_ = 0;
  uint32_t queueSize_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_INFLIGHT_AREA_H_
