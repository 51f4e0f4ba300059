// The other side of everything the core sees: shared memory of a front-end and the driver's half of
// a virtqueue, split or packed. It writes whatever it is told, legal or not.
#ifndef VHOST_TEST_DRIVER_H_
#define VHOST_TEST_DRIVER_H_

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest-memory.h"
#include "packed-driver-ring.h"
#include "packed-ring.h"
#include "split-ring.h"

namespace vhost::test {

// A memfd mapped here as the guest sees it.
class SharedFile {
 public:
  explicit SharedFile(uint64_t bytes, unsigned memfdFlags = 0);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  int fd() const { return fd_; }
  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  void truncate(uint64_t bytes) const;

 private:
  int fd_ = -1;
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// A regular file on disk, removed at once: it lives as long as its descriptor.
class TemporaryFile {
 public:
  explicit TemporaryFile(uint64_t bytes, int openFlags = 0);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fd_; }
  void fill(uint64_t offset, uint64_t bytes, uint8_t seed) const;
  std::vector<uint8_t> read(uint64_t offset, uint64_t bytes) const;
  uint64_t size() const;

 private:
  int fd_ = -1;
};

// Byte i of the pattern with this seed; no period that a sector or a page has.
uint8_t patternByte(uint64_t i, uint8_t seed);

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

struct Buffer {
  uint64_t address;
  uint32_t length;
  bool writable = false;
};

struct DriverOptions {
  uint32_t size = 8;
  bool eventIdx = true;
  uint16_t base = 0;                   // both rings begin here; packed: index and wrap counter
  uint64_t memoryBytes = 1 << 20;      // the region; the file has a canary page on either side
  uint64_t guestAddress = 0x40000000;  // of the region
  bool packed = false;
};

class Driver {
 public:
  explicit Driver(const DriverOptions& options = {});

  const DriverOptions& options() const { return options_; }
  const std::shared_ptr<GuestMemory>& memory() const { return memory_; }
  RingAddresses addresses() const;
  SharedFile& file() { return file_; }
  RegionDescription region() const;
  // Starts the device's half with everything as the driver has it.
  int start(SplitRing* ring) const;
  int start(PackedRing* ring) const;
  // As SET_VRING_BASE has it.
  uint32_t base() const;

  // Guest addresses: end of the rings, where tests may put data, and end of the region.
  uint64_t heap() const;
  uint64_t end() const { return options_.guestAddress + options_.memoryBytes; }
  uint8_t* host(uint64_t guestAddress) const;
  void fill(uint64_t guestAddress, uint64_t bytes, uint8_t seed) const;
  bool matches(uint64_t guestAddress, uint64_t bytes, uint8_t seed) const;
  bool canariesIntact() const;

  void setDescriptor(uint32_t index, const Descriptor& descriptor) const;
  void writeTable(uint64_t guestAddress, const std::vector<Descriptor>& table) const;
  // Descriptors first, first + 1, ... linked; returns first, the head.
  uint16_t chain(uint16_t first, const std::vector<Buffer>& buffers) const;
  // The same in a table at `table`, named by descriptor `first`.
  uint16_t indirect(uint16_t first, uint64_t table, const std::vector<Buffer>& buffers) const;

  // Makes the chain available; in a packed ring under the buffer id `head`.
  void offer(uint16_t head);
  // Wants a call for the next used element.
  void askForCall();
  PackedDriverRing& packed() { return *packed_; }
  // What follows is of the split ring only.
  uint16_t availIndex() const { return avail_; }
  void setAvailIndex(uint16_t index);
  void setAvailFlags(uint16_t flags) const;
  void setUsedEvent(uint16_t index) const;
  uint16_t availEvent() const;
  uint16_t usedFlags() const;
  uint16_t usedIndex() const;
  void setUsedIndex(uint16_t index) const;
  // False when the device has returned nothing more. Of both kinds.
  bool takeUsed(Used* used);

 private:
  std::vector<PackedDescriptor> packedChain(uint16_t head) const;
  uint64_t availOffset() const { return uint64_t{options_.size} * 16; }
  uint64_t usedOffset() const;
  template <typename T>
  T load(uint64_t offset) const;
  template <typename T>
  void store(uint64_t offset, T value) const;

  DriverOptions options_;
  SharedFile file_;
  std::shared_ptr<GuestMemory> memory_;
  std::atomic<uint16_t> avail_;  // threads of a test offer in turn, and look
  uint16_t used_;
  std::optional<PackedDriverRing> packed_;
  // Chains of a packed ring are made here, linked as in a split one, and written at offer().
  mutable std::vector<Descriptor> made_;
};

}  // namespace vhost::test

#endif  // VHOST_TEST_DRIVER_H_
