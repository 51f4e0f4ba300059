#include "iotlb.h"

#include <algorithm>

namespace vhost {

std::shared_ptr<const Iotlb> Iotlb::with(const IotlbEntry& entry) const {
  auto next = std::make_shared<Iotlb>(*this);
  next->cut(entry.range);
  next->insert(entry);
  while (next->entries_.size() > kEntriesMax) {
    next->entries_.erase(
        std::min_element(next->entries_.begin(), next->entries_.end(),
                         [](const IotlbEntry& a, const IotlbEntry& b) { return a.age < b.age; }));
  }
  return next;
}

std::shared_ptr<const Iotlb> Iotlb::without(const IoRange& range) const {
  auto next = std::make_shared<Iotlb>(*this);
  next->cut(range);
  return next;
}

// An entry that reaches out of the range on either side keeps what lies outside. The table may grow
// by one entry that way; the next with() holds the bound.
void Iotlb::cut(const IoRange& range) {
  std::vector<IotlbEntry> kept;
  kept.reserve(entries_.size() + 1);
  for (const IotlbEntry& entry : entries_) {
    if (!entry.range.overlaps(range)) {
      kept.push_back(entry);
      continue;
    }
    if (entry.range.first < range.first) {
      kept.push_back(entry);
      kept.back().range.last = range.first - 1;
    }
    if (entry.range.last > range.last) {
      kept.push_back(entry);
      kept.back().range.first = range.last + 1;
      kept.back().target += range.last + 1 - entry.range.first;
    }
  }
  entries_ = std::move(kept);
}

void Iotlb::insert(const IotlbEntry& entry) {
  const auto place = std::upper_bound(
      entries_.begin(), entries_.end(), entry.range.first,
      [](uint64_t address, const IotlbEntry& other) { return address < other.range.first; });
  entries_.insert(place, entry)->age = nextAge_++;
}

const IotlbEntry* Iotlb::find(uint64_t address) const {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), address,
      [](uint64_t wanted, const IotlbEntry& entry) { return wanted < entry.range.first; });
  if (after == entries_.begin()) return nullptr;
  const IotlbEntry& entry = *std::prev(after);
  return entry.range.holds(address) ? &entry : nullptr;
}

bool Iotlb::says(const IotlbEntry& entry) const {
  const IotlbEntry* known = find(entry.range.first);
  return known != nullptr && known->range.last >= entry.range.last &&
         known->permissions == entry.permissions &&
         known->target + (entry.range.first - known->range.first) == entry.target;
}

}  // namespace vhost
