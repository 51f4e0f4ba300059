// A guest's memory for the targets: three regions that neither begin nor end on a page, two of them
// adjoining, the third up to the last address there is. The rest of each page they share is
// poisoned for AddressSanitizer, so that the core's accesses are checked to the byte.
#ifndef VHOST_FUZZ_GUEST_H_
#define VHOST_FUZZ_GUEST_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "descriptor-chain.h"
#include "guest-memory.h"
#include "input.h"

namespace vhost::fuzz {

// Also the form of a packed ring's descriptors: `next` is the buffer id there, and comes first.
struct FuzzDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

class Guest {
 public:
  static constexpr uint64_t kLowAddress = 0x100000;
  static constexpr uint64_t kLowBytes = 0x3e00;
  static constexpr uint64_t kAdjoiningAddress = kLowAddress + kLowBytes;
  static constexpr uint64_t kAdjoiningBytes = 0x1080;
  static constexpr uint64_t kHighBytes = 0x0fff;
  static constexpr uint64_t kHighAddress = UINT64_MAX - kHighBytes;
  // Where rings go in the first region, and where tables and buffers begin.
  static constexpr uint64_t kUserAddress = 0x700000000000;
  static constexpr uint64_t kHeapOffset = 0x1000;

  // Made once for a process: mapping is most of what a run would cost.
  static Guest& instance();

  // The first region as at the beginning, all zero.
  void reset();
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }
  // The same behind an IOMMU: the first region may be read and written, the second only read, of
  // the third nothing is known.
  const std::shared_ptr<GuestMemory>& translated() const { return translated_; }

  // A page for a dirty log.
  static int logFile();

  // The first region as the driver sees it.
  uint8_t* low() const { return low_; }
  void write(uint64_t offset, const void* from, size_t bytes) const;

  // Addresses and lengths near all that may go wrong, in few bytes of input.
  static FuzzDescriptor descriptor(Input* input);
  // Writes one entry of a table at the heap, or up to the joint of the lower regions.
  void writeTableEntry(Input* input, bool packed) const;

  // What holds for every chain a ring gave out.
  void verify(const DescriptorChain& chain, uint32_t ringSize) const;

 private:
  Guest();

  std::shared_ptr<GuestMemory> memory_;
  std::shared_ptr<GuestMemory> translated_;
  uint8_t* low_ = nullptr;
};

}  // namespace vhost::fuzz

#endif  // VHOST_FUZZ_GUEST_H_
