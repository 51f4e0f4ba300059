#include "inflight-file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "guest.h"
#include "mutator.h"
#include "poison.h"

namespace vhost::fuzz {
namespace {

constexpr uint64_t kFileBytes = 0x4000;
constexpr uint64_t kPageBytes = 4096;

struct SharedFile {
  SharedFile() {
    fd = memfd_create("vhost-fuzz-inflight", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && ftruncate(fd, kFileBytes) == 0);
    void* mapped = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(mapped != MAP_FAILED);
    data = static_cast<uint8_t*>(mapped);
    mutate(data, kFileBytes);
  }
  int fd;
  uint8_t* data;
};

const SharedFile& sharedFile() {
  static const SharedFile file;
  return file;
}

std::shared_ptr<InflightArea> map(const InflightDescription& description) {
  int error = 0;
  auto area = InflightArea::map(sharedFile().fd, description, &error);
  REQUIRE((area == nullptr) == (error != 0));
  return area;
}

constexpr InflightDescription kUsual{0x3f00, 0x40, 2, 64};

// Mapped once: that is most of what a run would cost.
const std::shared_ptr<InflightArea>& usualArea() {
  static const std::shared_ptr<InflightArea> area = map(kUsual);
  return area;
}

template <typename T>
void put(uint8_t* at, const T& value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

InflightFile::InflightFile(Input* input) {
  const SharedFile& file = sharedFile();
  std::memset(file.data, 0, kFileBytes);
  const uint8_t how = input->byte();
  description_ = kUsual;
  if (how & 1) description_.sizeBytes = input->word();
  if (how & 2) description_.mmapOffset = input->word();
  if (how & 4) description_.queueCount = input->byte();
  if (how & 8) description_.queueSize = input->byte();
  if (how == UINT8_MAX) description_.sizeBytes = input->qword();
  area_ = (how & 15) == 0 ? usualArea() : map(description_);
  if (area_ == nullptr) return;
  // Behind the area, to the end of its last page, nobody has anything to do.
  uint8_t* end = area_->queue(0, InflightFormat::kSplit) + description_.sizeBytes;
  poisoned_ = end;
  poisonedBytes_ = (kPageBytes - reinterpret_cast<uintptr_t>(end) % kPageBytes) % kPageBytes;
  poison(poisoned_, poisonedBytes_);
}

InflightFile::~InflightFile() {
  unpoison(poisoned_, poisonedBytes_);
}

void InflightFile::fill(Input* input, uint32_t queue, bool packed) {
  const auto format = packed ? InflightFormat::kPacked : InflightFormat::kSplit;
  uint8_t* region = area_->queue(queue, format);
  if (region == nullptr || input->byte() == 0) return;
  if (packed) {
    fillPacked(input, region);
  } else {
    fillSplit(input, region);
  }
}

void InflightFile::fillSplit(Input* input, uint8_t* region) const {
  const uint8_t how = input->byte();
  SplitInflightHeader header{};
  header.version = (how & 1) ? input->byte() : 1;
  header.descCount = (how & 2) ? input->byte() : description_.queueSize;
  header.features = (how & 4) ? input->byte() : 0;
  header.lastBatchHead = input->byte();
  header.usedIndex = (how & 8) ? input->word() : static_cast<uint16_t>(-(how >> 4));
  put(region, header);
  uint8_t* entries = region + sizeof header;
  for (uint32_t i = 0; i < description_.queueSize && !input->empty(); i++) {
    const uint8_t what = input->byte();
    SplitInflightEntry entry{};
    entry.inflight = what & 1;
    if (what == UINT8_MAX) entry.inflight = input->byte();
    entry.next = what >> 1 & 31;
    if (what & 64) entry.next = input->word();
    entry.counter = (what & 128) ? input->qword() : i;
    put(entries + i * sizeof entry, entry);
  }
}

// From a sound free list, which no input would come upon by chance, everything may be changed.
void InflightFile::fillPacked(Input* input, uint8_t* region) const {
  const uint8_t how = input->byte();
  uint8_t* entries = region + sizeof(PackedInflightHeader);
  const auto at = [&](uint32_t i) { return entries + i * sizeof(PackedInflightEntry); };
  uint16_t free = 0;
  uint32_t chains = how >> 4;
  for (; chains > 0 && free < description_.queueSize; chains--) {
    const auto first = free;
    const auto left = static_cast<uint32_t>(description_.queueSize - first);
    const auto count = static_cast<uint16_t>(std::min(1 + input->below(3), left));
    const auto last = static_cast<uint16_t>(first + count - 1);
    for (; free <= last; free++) {
      const FuzzDescriptor from = Guest::descriptor(input);
      PackedInflightEntry entry{};
      entry.inflight = free == first;
      entry.next = static_cast<uint16_t>(free + 1);
      entry.last = last;
      entry.count = count;
      entry.counter = input->byte();
      entry.id = from.next;
      entry.flags = from.flags;
      entry.length = from.length;
      entry.address = from.address;
      put(at(free), entry);
    }
  }
  for (uint32_t i = free; i < description_.queueSize; i++) {
    PackedInflightEntry entry{};
    entry.next = static_cast<uint16_t>(i + 1);
    put(at(i), entry);
  }
  PackedInflightHeader header{};
  header.version = 1;
  header.descCount = description_.queueSize;
  header.freeHead = header.oldFreeHead = free;
  header.usedWrapCounter = header.oldUsedWrapCounter = 1;
  if (how & 1) header.usedIndex = header.oldUsedIndex = input->byte();
  if (how & 2) header.usedIndex = input->byte();
  if (how & 4) header.freeHead = input->byte();
  put(region, header);
  if (!(how & 8)) return;
  const size_t bytes = sizeof header + description_.queueSize * sizeof(PackedInflightEntry);
  for (uint32_t i = input->below(8); i > 0; i--) {
    region[input->word() % bytes] = input->byte();
  }
}

}  // namespace vhost::fuzz
