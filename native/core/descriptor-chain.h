// A descriptor chain as this process sees it: walked once, checked, resolved to host segments.
#ifndef VHOST_CORE_DESCRIPTOR_CHAIN_H_
#define VHOST_CORE_DESCRIPTOR_CHAIN_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "iotlb.h"

namespace vhost {

// Why a ring was given up (QSTOP). The numbers reach logs and metrics: never renumber.
enum class RingFault : uint32_t {
  kNone = 0,
  kAvailIndex = 1,       // avail.idx more than the ring size ahead, or backwards
  kHeadIndex = 2,        // head >= size
  kInFlight = 3,         // descriptor already part of a chain in flight (CVE-2026-45782)
  kNextIndex = 4,        // next >= size or >= table entries
  kChainLength = 5,      // loop, or more descriptors than allowed
  kOutsideMemory = 6,    // buffer or table not inside the guest's memory
  kReadableLast = 7,     // device-readable descriptor behind a device-writable one
  kIndirectNext = 8,     // INDIRECT and NEXT together; packed: a table in a list
  kIndirectLength = 9,   // table length zero, no multiple of 16, or too long
  kIndirectNested = 10,  // INDIRECT inside a table
  kChainBytes = 11,      // more than 2^32 - 1 bytes (VIRTIO 1.3 §2.7.5)
  kMemoryLost = 12,      // the front-end shrank the file behind its memory
  kRingAddress = 13,     // after a memory change the ring lies outside memory
  kHandler = 14,         // the device's own code failed
  kBufferId = 15,        // packed ring: buffer id >= size
  kTakenBack = 16,       // packed ring: an available descriptor is not available any more
  kNoPermission = 17,    // an I/O address whose translation forbids the access
  kInflightArea = 18,    // behind an IOMMU the area is looked at only when the ring is mapped
};

// No fault: the ring waits for a translation. Never reported.
constexpr auto kTranslationMissing = static_cast<RingFault>(0xffff);

// Segments keep their capacity between uses; above this it is given back, so that one maximal
// table (32768 segments, 512 KiB) per head can't pin gigabytes (RG-026).
constexpr size_t kSegmentsKept = 64;

struct DescriptorChain {
  std::vector<iovec> segments;    // readable ones first
  std::vector<IoRange> ioRanges;  // where the buffers are for the driver behind an IOMMU
  uint32_t readableSegments = 0;
  uint32_t readableBytes = 0;
  uint32_t writableBytes = 0;
  uint16_t directDescriptors = 0;
  bool inFlight = false;

  void clear() {
    if (segments.capacity() > kSegmentsKept) {
      std::vector<iovec>().swap(segments);
    } else {
      segments.clear();
    }
    if (ioRanges.capacity() > kSegmentsKept) {
      std::vector<IoRange>().swap(ioRanges);
    } else {
      ioRanges.clear();
    }
    readableSegments = readableBytes = writableBytes = directDescriptors = 0;
  }

  // Appends the part [offset, offset + bytes) of the readable or writable side to *out; returns
  // the bytes really there.
  uint64_t slice(bool writable, uint64_t offset, uint64_t bytes, std::vector<iovec>* out) const;

  // Copies between a private buffer and the chain; returns the bytes copied.
  uint64_t copyOut(uint64_t readableOffset, void* to, uint64_t bytes) const;
  uint64_t copyIn(uint64_t writableOffset, const void* from, uint64_t bytes) const;
};

}  // namespace vhost

#endif  // VHOST_CORE_DESCRIPTOR_CHAIN_H_
