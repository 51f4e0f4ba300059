#include "guest-memory.h"

#include <algorithm>
#include <cerrno>

namespace vhost {
namespace {

bool overlap(uint64_t a, uint64_t b, uint64_t aBytes, uint64_t bBytes) {
  return a < b + bBytes && b < a + aBytes;
}

bool sameRegion(const RegionDescription& a, const RegionDescription& b) {
  return a.guestAddress == b.guestAddress && a.userAddress == b.userAddress &&
         a.sizeBytes == b.sizeBytes;
}

}  // namespace

std::shared_ptr<GuestMemory> GuestMemory::with(int fd, const RegionDescription& description,
                                               int* error) const {
  if (regions_.size() >= kRegionsMax) {
    *error = -ENOSPC;
    return nullptr;
  }
  // Mapping first: it checks the sums that the overlap test below adds up.
  std::shared_ptr<MemoryRegion> added = MemoryRegion::map(fd, description, error);
  if (added == nullptr) return nullptr;
  for (const auto& region : regions_) {
    const RegionDescription& other = region->description();
    if (overlap(description.guestAddress, other.guestAddress, description.sizeBytes,
                other.sizeBytes) ||
        overlap(description.userAddress, other.userAddress, description.sizeBytes,
                other.sizeBytes)) {
      *error = -EEXIST;
      return nullptr;
    }
  }
  auto next = std::make_shared<GuestMemory>(*this);
  const auto place = std::upper_bound(
      next->regions_.begin(), next->regions_.end(), description.guestAddress,
      [](uint64_t address, const auto& r) { return address < r->description().guestAddress; });
  next->regions_.insert(place, std::move(added));
  return next;
}

std::shared_ptr<GuestMemory> GuestMemory::without(const RegionDescription& description) const {
  auto next = std::make_shared<GuestMemory>(*this);
  const auto place = std::find_if(next->regions_.begin(), next->regions_.end(), [&](const auto& r) {
    return sameRegion(r->description(), description);
  });
  if (place == next->regions_.end()) return nullptr;
  next->regions_.erase(place);
  next->iotlb_ = std::make_shared<const Iotlb>();
  return next;
}

const MemoryRegion* GuestMemory::find(uint64_t guestAddress) const {
  const auto after = std::upper_bound(
      regions_.begin(), regions_.end(), guestAddress,
      [](uint64_t address, const auto& r) { return address < r->description().guestAddress; });
  if (after == regions_.begin()) return nullptr;
  const MemoryRegion* region = std::prev(after)->get();
  return guestAddress < region->guestEnd() ? region : nullptr;
}

bool GuestMemory::translate(uint64_t guestAddress, uint64_t bytes, std::vector<iovec>* out) const {
  while (bytes > 0) {
    const MemoryRegion* region = find(guestAddress);
    if (region == nullptr) return false;
    const uint64_t offset = guestAddress - region->description().guestAddress;
    const uint64_t here = std::min(bytes, region->description().sizeBytes - offset);
    out->push_back({region->host() + offset, here});
    bytes -= here;
    guestAddress += here;  // no wrap: a region's end was checked when it was mapped
  }
  return true;
}

GuestSpan GuestMemory::span(uint64_t guestAddress) const {
  const MemoryRegion* region = find(guestAddress);
  if (region == nullptr) return {};
  const RegionDescription& d = region->description();
  return {d.guestAddress, d.sizeBytes, region->host()};
}

const MemoryRegion* GuestMemory::findUser(uint64_t userAddress) const {
  for (const auto& region : regions_) {
    const RegionDescription& d = region->description();
    if (userAddress >= d.userAddress && userAddress - d.userAddress < d.sizeBytes) {
      return region.get();
    }
  }
  return nullptr;
}

uint64_t GuestMemory::hostToGuest(const void* host) const {
  const auto at = reinterpret_cast<uintptr_t>(host);
  for (const auto& region : regions_) {
    const auto start = reinterpret_cast<uintptr_t>(region->host());
    if (at >= start && at - start < region->description().sizeBytes) {
      return region->description().guestAddress + (at - start);
    }
  }
  return UINT64_MAX;
}

bool GuestMemory::translateUser(uint64_t userAddress, uint64_t bytes,
                                std::vector<iovec>* out) const {
  while (bytes > 0) {
    const MemoryRegion* region = findUser(userAddress);
    if (region == nullptr) return false;
    const uint64_t offset = userAddress - region->description().userAddress;
    const uint64_t here = std::min(bytes, region->description().sizeBytes - offset);
    out->push_back({region->host() + offset, here});
    bytes -= here;
    userAddress += here;
  }
  return true;
}

std::shared_ptr<GuestMemory> GuestMemory::withIotlb(std::shared_ptr<const Iotlb> iotlb) const {
  auto next = std::make_shared<GuestMemory>(*this);
  next->iotlb_ = std::move(iotlb);
  return next;
}

uint8_t* GuestMemory::userToHost(uint64_t userAddress, uint64_t bytes) const {
  const MemoryRegion* region = findUser(userAddress);
  if (region == nullptr) return nullptr;
  const uint64_t offset = userAddress - region->description().userAddress;
  return bytes > region->description().sizeBytes - offset ? nullptr : region->host() + offset;
}

bool GuestMemory::poisoned() const {
  return std::any_of(regions_.begin(), regions_.end(), [](const auto& r) { return r->poisoned(); });
}

void GuestMemory::poison() const {
  for (const auto& region : regions_) region->poison();
}

}  // namespace vhost
