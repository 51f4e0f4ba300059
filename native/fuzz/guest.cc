#include "guest.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "mutator.h"
#include "poison.h"

namespace vhost::fuzz {
namespace {

constexpr uint64_t kFileBytes = 0x9000;
// Where the regions lie in the file; none on a page, all as aligned as rings ask for.
constexpr uint64_t kLowOffset = 0x100;
constexpr uint64_t kAdjoiningOffset = 0x5040;
constexpr uint64_t kHighOffset = 0x7800;
constexpr uint64_t kTables = 16;

std::shared_ptr<GuestMemory> add(const GuestMemory& memory, int fd,
                                 const RegionDescription& description) {
  int error = 0;
  auto added = memory.with(fd, description, &error);
  REQUIRE(error == 0);
  return added;
}

void poisonAround(const MemoryRegion& region) {
  const auto* mapped = static_cast<const uint8_t*>(region.mapBase());
  const uint8_t* end = region.host() + region.description().sizeBytes;
  poison(mapped, static_cast<size_t>(region.host() - mapped));
  poison(end, static_cast<size_t>(mapped + region.mapBytes() - end));
}

}  // namespace

Guest& Guest::instance() {
  static Guest guest;
  return guest;
}

Guest::Guest() {
  const int fd = memfd_create("vhost-fuzz", MFD_CLOEXEC);
  REQUIRE(fd >= 0 && ftruncate(fd, kFileBytes) == 0);
  void* mapped = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(mapped != MAP_FAILED);
  low_ = static_cast<uint8_t*>(mapped) + kLowOffset;
  memory_ = add(GuestMemory(), fd, {kLowAddress, kUserAddress, kLowBytes, kLowOffset});
  memory_ = add(*memory_, fd,
                {kAdjoiningAddress, kUserAddress + kLowBytes, kAdjoiningBytes, kAdjoiningOffset});
  memory_ = add(*memory_, fd, {kHighAddress, UINT64_MAX - 3 * kHighBytes, kHighBytes, kHighOffset});
  close(fd);
  for (size_t i = 0; i < memory_->regionCount(); i++) poisonAround(memory_->region(i));
  auto table =
      Iotlb().with({{kLowAddress, kAdjoiningAddress - 1}, kUserAddress, kIotlbRead | kIotlbWrite});
  table = table->with({{kAdjoiningAddress, kAdjoiningAddress + kAdjoiningBytes - 1},
                       kUserAddress + kLowBytes,
                       kIotlbRead});
  translated_ = memory_->withIotlb(table);
  mutate(low_, kLowBytes);
}

int Guest::logFile() {
  static const int fd = [] {
    const int made = memfd_create("vhost-fuzz-log", MFD_CLOEXEC);
    REQUIRE(made >= 0 && ftruncate(made, 4096) == 0);
    return made;
  }();
  return fd;
}

// The other regions hold buffers only, whose content nobody looks at.
void Guest::reset() {
  std::memset(low_, 0, kLowBytes);
}

void Guest::write(uint64_t offset, const void* from, size_t bytes) const {
  REQUIRE(offset + bytes <= kLowBytes);
  std::memcpy(low_ + offset, from, bytes);
}

FuzzDescriptor Guest::descriptor(Input* input) {
  const uint8_t how = input->byte();
  FuzzDescriptor made{};
  switch (how & 7) {
    case 0:
    case 1:
    case 2:
      made.address = kLowAddress + kHeapOffset + input->below(kTables) * 16;
      break;
    case 3:
      made.address = kLowAddress + input->word() % kLowBytes;
      break;
    case 4:
      made.address = kAdjoiningAddress - input->byte() * 4u;
      break;
    case 5:
      made.address = kAdjoiningAddress + kAdjoiningBytes - input->byte();
      break;
    case 6:
      made.address = UINT64_MAX - input->byte();
      break;
    default:
      made.address = input->qword();
  }
  switch (how >> 3 & 3) {
    case 0:
      made.length = input->byte();
      break;
    case 1:
      made.length = 16u * input->below(32);
      break;
    case 2:
      made.length = input->word();
      break;
    default:
      made.length = input->dword();
  }
  made.flags = static_cast<uint16_t>(how >> 5);
  made.next = input->byte();
  if (made.next == UINT8_MAX) made.next = input->word();
  return made;
}

void Guest::writeTableEntry(Input* input, bool packed) const {
  const uint64_t slot = input->below(2 * kTables);
  const uint64_t at =
      slot < kTables ? kHeapOffset + slot * 16 : kLowBytes - (slot - kTables + 1) * 16;
  FuzzDescriptor entry = descriptor(input);
  if (packed) std::swap(entry.flags, entry.next);
  write(at, &entry, sizeof entry);
}

void Guest::verify(const DescriptorChain& chain, uint32_t ringSize) const {
  uint64_t readable = 0;
  uint64_t writable = 0;
  REQUIRE(chain.readableSegments <= chain.segments.size());
  for (size_t i = 0; i < chain.segments.size(); i++) {
    const iovec& segment = chain.segments[i];
    const auto start = reinterpret_cast<uintptr_t>(segment.iov_base);
    bool inside = false;
    for (size_t r = 0; r < memory_->regionCount(); r++) {
      const auto host = reinterpret_cast<uintptr_t>(memory_->region(r).host());
      const uint64_t bytes = memory_->region(r).description().sizeBytes;
      inside |= start >= host && start - host < bytes && segment.iov_len <= bytes - (start - host);
    }
    REQUIRE(inside);
    REQUIRE(segment.iov_len > 0);
    (i < chain.readableSegments ? readable : writable) += segment.iov_len;
  }
  REQUIRE(readable == chain.readableBytes);
  REQUIRE(writable == chain.writableBytes);
  REQUIRE(readable + writable <= UINT32_MAX);
  REQUIRE(chain.directDescriptors >= 1 && chain.directDescriptors <= ringSize);
  REQUIRE(chain.inFlight);
}

}  // namespace vhost::fuzz
