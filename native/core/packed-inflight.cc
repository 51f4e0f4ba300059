#include "packed-inflight.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-access.h"

namespace vhost {
namespace {

using Header = PackedInflightHeader;
using Entry = PackedInflightEntry;

constexpr uint32_t kRingEntryBytes = 16;
constexpr uint32_t kRingFlagsOffset = 14;
constexpr uint16_t kAvail = 0x80;
constexpr uint16_t kUsed = 0x8000;

// As in split-inflight.cc: what a killed process has stored, it has stored in this order.
template <typename T>
void store(uint8_t* at, T value) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_RELEASE);
}

Entry entryOf(const std::vector<uint8_t>& copy, uint32_t index) {
  Entry entry;
  std::memcpy(&entry, copy.data() + sizeof(Header) + index * sizeof(Entry), sizeof entry);
  return entry;
}

bool plausible(const Header& header, uint32_t ringSize, uint32_t areaSize) {
  return header.version == kInflightVersion && header.features == 0 &&
         header.descCount >= ringSize && header.descCount <= areaSize &&
         header.usedIndex < ringSize && header.oldUsedIndex < ringSize &&
         header.freeHead <= header.descCount && header.oldFreeHead <= header.descCount &&
         header.usedWrapCounter <= 1 && header.oldUsedWrapCounter <= 1;
}

// Whether the driver can see the batch that begins there: its first flags are written last.
bool visible(const uint8_t* ring, uint16_t index, bool wrap) {
  const uint16_t flags = loadAcquire16(ring + index * kRingEntryBytes + kRingFlagsOffset);
  return ((flags & kAvail) != 0) != wrap || ((flags & kUsed) != 0) == wrap;
}

}  // namespace

uint8_t* PackedInflight::entry(uint32_t index) const {
  return region_ + sizeof(Header) + index * sizeof(Entry);
}

int PackedInflight::start(std::shared_ptr<InflightArea> area, uint32_t queue, uint32_t ringSize,
                          const uint8_t* ring, PackedUsed used) {
  if (area == nullptr || !area->covers(queue)) return 0;
  uint8_t* region = area->queue(queue, InflightFormat::kPacked);
  if (region == nullptr || ringSize > area->queueSize()) return -EBADMSG;
  std::vector<uint8_t> copy(sizeof(Header) + area->queueSize() * sizeof(Entry));
  std::memcpy(copy.data(), region, copy.size());
  if (area->poisoned()) return -EFAULT;
  area_ = std::move(area);
  region_ = region;
  used_ = used;
  batch_.reserve(ringSize);
  chains_.resize(ringSize);
  Header header;
  std::memcpy(&header, copy.data(), sizeof header);
  if (header.version == 0) {
    initialise();
    return 0;
  }
  takenUp_ = true;
  return takeUp(copy, ringSize, ring);
}

// The version comes last: killed before that, the next one begins again.
void PackedInflight::initialise() {
  const uint32_t count = area_->queueSize();
  next_.resize(count);
  for (uint32_t i = 0; i < count; i++) {
    next_[i] = static_cast<uint16_t>(i + 1);  // the last: count, which is none, as DPDK has it
    store<uint8_t>(entry(i) + offsetof(Entry, inflight), 0);
    store<uint16_t>(entry(i) + offsetof(Entry, next), next_[i]);
  }
  store<uint64_t>(region_ + offsetof(Header, features), 0);
  store<uint16_t>(region_ + offsetof(Header, descCount), static_cast<uint16_t>(count));
  storeHeader(false);
  storeHeader(true);
  store<uint16_t>(region_ + offsetof(Header, version), kInflightVersion);
}

void PackedInflight::storeHeader(bool committed) const {
  const auto at = [&](size_t now, size_t old) { return region_ + (committed ? old : now); };
  store<uint16_t>(at(offsetof(Header, freeHead), offsetof(Header, oldFreeHead)), freeHead_);
  store<uint16_t>(at(offsetof(Header, usedIndex), offsetof(Header, oldUsedIndex)), used_.index);
  store<uint8_t>(at(offsetof(Header, usedWrapCounter), offsetof(Header, oldUsedWrapCounter)),
                 used_.wrap ? 1 : 0);
}

int PackedInflight::takeUp(const std::vector<uint8_t>& copy, uint32_t ringSize,
                           const uint8_t* ring) {
  Header header;
  std::memcpy(&header, copy.data(), sizeof header);
  if (!plausible(header, ringSize, area_->queueSize())) return -EBADMSG;
  const bool batch = header.usedIndex != header.oldUsedIndex ||
                     header.usedWrapCounter != header.oldUsedWrapCounter;
  const bool seen = batch && visible(ring, header.oldUsedIndex, header.oldUsedWrapCounter != 0);
  freeHead_ = seen ? header.freeHead : header.oldFreeHead;
  used_ = seen ? PackedUsed{header.usedIndex, header.usedWrapCounter != 0}
               : PackedUsed{header.oldUsedIndex, header.oldUsedWrapCounter != 0};
  next_.resize(header.descCount);
  for (uint32_t i = 0; i < header.descCount; i++) next_[i] = entryOf(copy, i).next;
  // What was being fetched, and what the driver has back, is in the free list.
  std::vector<uint8_t> known(header.descCount, 0);
  uint32_t free = 0;
  for (uint32_t index = freeHead_; index != header.descCount; index = next_[index], free++) {
    if (index > header.descCount || known[index]) return -EBADMSG;
    known[index] = 1;
  }
  const int result = takeChains(copy, ringSize, &known);
  if (result != 0) return result;
  if (free + leftEntries_ != header.descCount) return -EBADMSG;
  for (uint32_t i = 0; i < header.descCount; i++) {
    if (known[i] == 1) store<uint8_t>(entry(i) + offsetof(Entry, inflight), 0);
  }
  storeHeader(seen);  // the half that was behind
  return 0;
}

// known: 1 for a free entry, 2 for one of a chain.
int PackedInflight::takeChains(const std::vector<uint8_t>& copy, uint32_t ringSize,
                               std::vector<uint8_t>* known) {
  struct Leftover {
    uint64_t counter;
    uint16_t first;
    std::vector<PackedDescriptorCopy> chain;
  };
  std::vector<Leftover> found;
  std::vector<uint8_t> ids(ringSize, 0);
  for (uint32_t i = 0; i < next_.size(); i++) {
    const Entry head = entryOf(copy, i);
    if (head.inflight > 1) return -EBADMSG;
    if (head.inflight == 0 || (*known)[i] == 1) continue;
    if (head.count == 0 || leftEntries_ + head.count > ringSize) return -EBADMSG;
    leftEntries_ += head.count;
    Leftover left{head.counter, static_cast<uint16_t>(i), {}};
    uint32_t index = i;
    uint16_t last = 0;
    for (uint32_t n = 0; n < head.count; n++, index = next_[index]) {
      if (index >= next_.size() || (*known)[index]) return -EBADMSG;
      (*known)[index] = 2;
      const Entry each = entryOf(copy, index);
      left.chain.push_back({each.address, each.length, each.id, each.flags});
      last = static_cast<uint16_t>(index);
    }
    const uint16_t id = left.chain.back().id;
    if (last != head.last || id >= ringSize || ids[id]) return -EBADMSG;
    ids[id] = 1;
    chains_[id] = {left.first, last};
    found.push_back(std::move(left));
  }
  std::sort(found.begin(), found.end(), [](const Leftover& a, const Leftover& b) {
    return a.counter != b.counter ? a.counter < b.counter : a.first < b.first;
  });
  // Counted anew from zero, lowest first, as in split-inflight.cc.
  for (Leftover& each : found) {
    store<uint64_t>(entry(each.first) + offsetof(Entry, counter), counter_++);
    left_.push_back(std::move(each.chain));
  }
  return 0;
}

// Killed between the two halves, whoever comes next finds the same ring and does the same.
void PackedInflight::restart() {
  used_ = {0, true};
  storeHeader(false);
  storeHeader(true);
}

// A fetch counts once oldFreeHead has moved behind it: until then its entries are free ones.
void PackedInflight::record(const std::vector<PackedDescriptorCopy>& chain) {
  const uint16_t first = freeHead_;
  uint8_t* head = entry(first);
  store<uint16_t>(head + offsetof(Entry, count), 0);
  store<uint64_t>(head + offsetof(Entry, counter), counter_++);
  store<uint8_t>(head + offsetof(Entry, inflight), 1);
  uint16_t last = first;
  uint16_t count = 0;
  for (const PackedDescriptorCopy& descriptor : chain) {
    uint8_t* at = entry(freeHead_);
    store<uint64_t>(at + offsetof(Entry, address), descriptor.address);
    store<uint32_t>(at + offsetof(Entry, length), descriptor.length);
    store<uint16_t>(at + offsetof(Entry, flags), descriptor.flags);
    store<uint16_t>(at + offsetof(Entry, id), descriptor.id);
    store<uint16_t>(head + offsetof(Entry, count), ++count);
    last = freeHead_;
    freeHead_ = next_[freeHead_];
  }
  store<uint16_t>(head + offsetof(Entry, last), last);
  store<uint16_t>(region_ + offsetof(Header, freeHead), freeHead_);
  store<uint16_t>(region_ + offsetof(Header, oldFreeHead), freeHead_);
  chains_[chain.back().id] = {first, last};
}

void PackedInflight::link(uint16_t id, PackedUsed used) {
  const Chain chain = chains_[id];
  next_[chain.last] = freeHead_;
  store<uint16_t>(entry(chain.last) + offsetof(Entry, next), freeHead_);
  freeHead_ = chain.first;
  used_ = used;
  storeHeader(false);
  batch_.push_back(chain.first);
}

void PackedInflight::commit() {
  for (const uint16_t first : batch_) store<uint8_t>(entry(first) + offsetof(Entry, inflight), 0);
  batch_.clear();
  storeHeader(true);
}

}  // namespace vhost
