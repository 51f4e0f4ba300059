// Translations of I/O addresses the front-end has told us of (vhost-user: IOTLB_MSG): a cache, so
// that what is not in it may be asked for again. An immutable value: a change makes a new table,
// and workers go over to it between turns, as they do with memory.
#ifndef VHOST_CORE_IOTLB_H_
#define VHOST_CORE_IOTLB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace vhost {

constexpr uint8_t kIotlbRead = 1;
constexpr uint8_t kIotlbWrite = 2;

// Both ends belong to the range: the last byte of the address space needs no 2^64.
struct IoRange {
  uint64_t first;
  uint64_t last;

  bool overlaps(const IoRange& other) const { return first <= other.last && other.first <= last; }
  bool holds(uint64_t address) const { return first <= address && address <= last; }
};

struct IotlbEntry {
  IoRange range;
  uint64_t target;  // of range.first: the front-end's address, or the guest's (GPA_ADDRESSES)
  uint8_t permissions;
  uint64_t age = 0;  // the smallest has been here the longest
};

class Iotlb {
 public:
  // A front-end must not fill our memory; the Linux vhost driver keeps as many.
  static constexpr size_t kEntriesMax = 2048;

  // This table and one entry more, which replaces what it overlaps. When the table is full the
  // oldest entries make room: they are asked for again if somebody misses them.
  std::shared_ptr<const Iotlb> with(const IotlbEntry& entry) const;
  std::shared_ptr<const Iotlb> without(const IoRange& range) const;

  // nullptr: not known.
  const IotlbEntry* find(uint64_t address) const;
  // True when the table says all that `entry` says.
  bool says(const IotlbEntry& entry) const;
  size_t size() const { return entries_.size(); }

 private:
  void cut(const IoRange& range);
  void insert(const IotlbEntry& entry);

  std::vector<IotlbEntry> entries_;  // sorted by address, apart from each other
  uint64_t nextAge_ = 0;
};

}  // namespace vhost

#endif  // VHOST_CORE_IOTLB_H_
