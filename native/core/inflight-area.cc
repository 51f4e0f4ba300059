#include "inflight-area.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "host-file.h"

namespace vhost {

uint64_t InflightArea::queueBytes(InflightFormat format, uint32_t queueSize) {
  const bool split = format == InflightFormat::kSplit;
  const uint64_t header = split ? sizeof(SplitInflightHeader) : sizeof(PackedInflightHeader);
  const uint64_t entry = split ? sizeof(SplitInflightEntry) : sizeof(PackedInflightEntry);
  return (header + entry * queueSize + kRegionAlign - 1) & ~(kRegionAlign - 1);
}

int InflightArea::create(InflightFormat format, uint32_t queueCount, uint32_t queueSize) {
  if (queueCount == 0 || queueSize == 0 || queueSize > kQueueSizeMax) return -EINVAL;
  const int fd = createMemfd("vhost-ts-inflight", queueCount * queueBytes(format, queueSize));
  if (fd < 0) return fd;
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0) {
    const int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

std::shared_ptr<InflightArea> InflightArea::map(int fd, const InflightDescription& description,
                                                int* error) {
  const auto& [sizeBytes, mmapOffset, queueCount, queueSize] = description;
  *error = -EINVAL;
  if (queueCount == 0 || queueSize == 0 || queueSize > kQueueSizeMax) return nullptr;
  // Another back-end may have made it: what it left between queues follows from the whole size.
  const uint64_t stride = sizeBytes / queueCount & ~(kRegionAlign - 1);
  if (stride < queueBytes(InflightFormat::kSplit, queueSize)) return nullptr;
  // Counters are stored as whole words.
  if (mmapOffset % alignof(SplitInflightEntry) != 0) return nullptr;
  auto memory = MemoryRegion::map(fd, {0, 0, sizeBytes, mmapOffset}, error);
  if (memory == nullptr) return nullptr;
  std::shared_ptr<InflightArea> area(new InflightArea());
  area->memory_ = std::move(memory);
  area->strideBytes_ = stride;
  area->queueCount_ = queueCount;
  area->queueSize_ = queueSize;
  return area;
}

uint8_t* InflightArea::queue(uint32_t index, InflightFormat format) const {
  if (index >= queueCount_ || strideBytes_ < queueBytes(format, queueSize_)) return nullptr;
  return memory_->host() + index * strideBytes_;
}

}  // namespace vhost
