#include "split-inflight.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-access.h"

namespace vhost {
namespace {

using Header = SplitInflightHeader;
using Entry = SplitInflightEntry;

// A process that is killed leaves its stores in the order it made them; release keeps the compiler
// from making them in another.
template <typename T>
void store(uint8_t* at, T value) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_RELEASE);
}

Entry entryOf(const std::vector<uint8_t>& copy, uint32_t index) {
  Entry entry;
  std::memcpy(&entry, copy.data() + sizeof(Header) + index * sizeof(Entry), sizeof entry);
  return entry;
}

struct Leftover {
  uint64_t counter;
  uint16_t head;
};

// False when the last batch can't be walked. Its entries were done, but whoever did them died
// before saying so: *published gets their marks.
bool walkLastBatch(const std::vector<uint8_t>& copy, uint32_t ringSize, uint16_t head,
                   uint16_t count, std::vector<uint8_t>* published) {
  if (count > ringSize) return false;
  for (uint16_t i = 0; i < count; i++) {
    if (head >= ringSize || (*published)[head]) return false;
    (*published)[head] = 1;
    head = entryOf(copy, head).next;
  }
  return true;
}

}  // namespace

uint8_t* SplitInflight::entry(uint16_t head) const {
  return region_ + sizeof(Header) + head * sizeof(Entry);
}

int SplitInflight::start(std::shared_ptr<InflightArea> area, uint32_t queue, uint32_t ringSize,
                         uint16_t usedIndex) {
  if (area == nullptr || !area->covers(queue)) return 0;
  uint8_t* region = area->queue(queue, InflightFormat::kSplit);
  if (region == nullptr || ringSize > area->queueSize()) return -EBADMSG;
  // Everything is judged and used from this one copy.
  std::vector<uint8_t> copy(sizeof(Header) + area->queueSize() * sizeof(Entry));
  std::memcpy(copy.data(), region, copy.size());
  if (area->poisoned()) return -EFAULT;
  area_ = std::move(area);
  region_ = region;
  batch_.reserve(ringSize);
  Header header;
  std::memcpy(&header, copy.data(), sizeof header);
  if (header.version == 0) {
    initialise(usedIndex);
    return 0;
  }
  takenUp_ = true;
  return takeUp(copy, ringSize, usedIndex);
}

// A region nobody has used says nothing of the ring, which may be far from zero (SPDK issue 3766).
// The version comes last: killed before that, the next one begins again.
void SplitInflight::initialise(uint16_t usedIndex) {
  for (uint32_t i = 0; i < area_->queueSize(); i++) {
    store<uint8_t>(entry(static_cast<uint16_t>(i)) + offsetof(Entry, inflight), 0);
  }
  store<uint64_t>(region_ + offsetof(Header, features), 0);
  store<uint16_t>(region_ + offsetof(Header, descCount), static_cast<uint16_t>(area_->queueSize()));
  store<uint16_t>(region_ + offsetof(Header, lastBatchHead), 0);
  store<uint16_t>(region_ + offsetof(Header, usedIndex), usedIndex);
  store<uint16_t>(region_ + offsetof(Header, version), kInflightVersion);
}

int SplitInflight::takeUp(const std::vector<uint8_t>& copy, uint32_t ringSize, uint16_t usedIndex) {
  Header header;
  std::memcpy(&header, copy.data(), sizeof header);
  const bool sized = header.descCount >= ringSize && header.descCount <= area_->queueSize();
  if (header.version != kInflightVersion || header.features != 0 || !sized) return -EBADMSG;
  std::vector<Leftover> marked;
  for (uint32_t i = 0; i < header.descCount; i++) {
    const Entry each = entryOf(copy, i);
    if (each.inflight > 1 || (each.inflight == 1 && i >= ringSize)) return -EBADMSG;
    if (each.inflight == 1) marked.push_back({each.counter, static_cast<uint16_t>(i)});
  }
  std::vector<uint8_t> published(ringSize, 0);
  const auto missed = static_cast<uint16_t>(usedIndex - header.usedIndex);
  // With nothing marked there is nothing to clear, and the ring may even be another guest's.
  if (!marked.empty() && !walkLastBatch(copy, ringSize, header.lastBatchHead, missed, &published)) {
    return -EBADMSG;
  }
  for (const Leftover& each : marked) {
    if (published[each.head]) store<uint8_t>(entry(each.head) + offsetof(Entry, inflight), 0);
  }
  store<uint16_t>(region_ + offsetof(Header, usedIndex), usedIndex);
  std::erase_if(marked, [&](const Leftover& each) { return published[each.head] != 0; });
  std::sort(marked.begin(), marked.end(), [](const Leftover& a, const Leftover& b) {
    return a.counter != b.counter ? a.counter < b.counter : a.head < b.head;
  });
  // Counted anew from zero, lowest first: no counter comes near its end (CS-154), and killed half
  // way through the order is still the same.
  for (const Leftover& each : marked) {
    store<uint64_t>(entry(each.head) + offsetof(Entry, counter), counter_++);
    left_.push_back(each.head);
  }
  return 0;
}

void SplitInflight::record(uint16_t head) {
  uint8_t* at = entry(head);
  store<uint64_t>(at + offsetof(Entry, counter), counter_++);
  store<uint8_t>(at + offsetof(Entry, inflight), 1);
}

void SplitInflight::link(uint16_t head) {
  store<uint16_t>(entry(head) + offsetof(Entry, next), lastBatchHead_);
  store<uint16_t>(region_ + offsetof(Header, lastBatchHead), head);
  lastBatchHead_ = head;
  batch_.push_back(head);
}

void SplitInflight::clear(uint16_t usedIndex) {
  for (const uint16_t head : batch_) store<uint8_t>(entry(head) + offsetof(Entry, inflight), 0);
  batch_.clear();
  store<uint16_t>(region_ + offsetof(Header, usedIndex), usedIndex);
}

}  // namespace vhost
