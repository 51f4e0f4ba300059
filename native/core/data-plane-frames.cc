// The part of the data plane that knows lists of chains: kReceiveFrames, kUnpop, kCompleteList.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "data-plane.h"

namespace vhost {
namespace {

// num_buffers has 16 bits, and nobody makes frames of more pieces: a bound on the work for one.
constexpr size_t kChainsPerFrameMax = 1024;

// A list of chain numbers in the arena, from the first that is not used yet.
class ListedChains : public WaitingChains {
 public:
  using Find = std::function<const DescriptorChain*(uint32_t)>;
  ListedChains(const uint32_t* list, size_t count, uint32_t headerBytes, Find find)
      : list_(list), count_(count), headerBytes_(headerBytes), find_(std::move(find)) {}

  const DescriptorChain* at(size_t index) const override {
    if (index >= std::min(count_, kChainsPerFrameMax)) return nullptr;
    const DescriptorChain* chain = find_(list_[index]);
    return chain != nullptr && chain->writableBytes >= headerBytes_ ? chain : nullptr;
  }
  void skip(size_t count) {
    list_ += count;
    count_ -= count;
  }
  uint32_t first() const { return list_[0]; }
  bool empty() const { return count_ == 0; }

 private:
  const uint32_t* list_;
  size_t count_;
  uint32_t headerBytes_;
  Find find_;
};

// False: the table does not lie in the arena.
bool filterOf(const CommandRecord& command, const Arena& arena, const FrameFilter** filter) {
  if (!(command.flags & kCommandFilter)) return true;
  std::vector<iovec> place;
  const double offset = command.offset;
  if (!(offset >= 0 && offset <= static_cast<double>(arena.bytes)) ||
      !sliceArena(arena, static_cast<uint64_t>(offset), sizeof(FrameFilter), &place) ||
      reinterpret_cast<uintptr_t>(place[0].iov_base) % alignof(FrameFilter) != 0) {
    return false;
  }
  *filter = static_cast<const FrameFilter*>(place[0].iov_base);
  return true;
}

}  // namespace

void DataPlane::receiveFrames(const CommandRecord& command) {
  std::vector<iovec> list;
  std::vector<iovec> place;
  const bool inside = sliceArena(arena_, command.chainOffset,
                                 uint64_t{command.usedLength} * sizeof(uint32_t), &list) &&
                      sliceArena(arena_, command.tailOffset, sizeof(FrameReport), &place);
  const FrameFilter* filter = nullptr;
  if (!inside || list.empty() || command.mode <= 0 || !(command.length >= 0) ||
      !filterOf(command, arena_, &filter)) {
    operations_.ended(command, -EINVAL);
    return;
  }
  FrameReport report{};
  const auto* chains = static_cast<const uint32_t*>(list[0].iov_base);
  const int result = receiveFramesInto(command, chains, filter, &report);
  std::memcpy(place[0].iov_base, &report, sizeof report);
  operations_.ended(command, result);
}

int DataPlane::receiveFramesInto(const CommandRecord& command, const uint32_t* list,
                                 const FrameFilter* filter, FrameReport* report) {
  const FrameSource source{static_cast<int>(command.file), (command.flags & kCommandSocket) != 0,
                           (command.flags & kCommandMerge) != 0, command.tailByte, filter};
  const auto framesMax = static_cast<uint32_t>(command.mode);
  ListedChains waiting(list, command.usedLength, source.headerBytes,
                       [this](uint32_t chain) { return chainOf(chain); });
  while (!waiting.empty() && report->frames + report->dropped + report->filtered < framesMax &&
         report->bytes < command.length) {
    const ReceivedFrame got = frames_.receive(source, waiting, &frameUsed_);
    uint16_t head = 0;
    Vring* owner = vringOf(waiting.first(), &head);
    if (got.result == -EFAULT && owner != nullptr) owner->ring.memory()->poison();
    if (got.result < 0) return static_cast<int>(got.result);
    (got.filtered ? report->filtered : got.chains > 0 ? report->frames : report->dropped)++;
    report->bytes += static_cast<uint32_t>(got.result);
    report->chains += got.chains;
    if (command.capture != 0 && got.chains > 0) captureReceived(command, waiting);
    for (uint32_t i = 0; i < got.chains; i++) {
      complete(list[report->chains - got.chains + i], 0, 0, 0, frameUsed_[i]);
    }
    waiting.skip(got.chains);
  }
  return 0;
}

// TypeScript has counted the room; a chain whose ring is gone, or that is no chain, gets nothing.
void DataPlane::copyFrame(const CommandRecord& command) {
  captureSegments_.clear();
  const uint32_t* targets = nullptr;
  const bool inside = frameTargets(command, &targets) && command.length >= 0 &&
                      sliceArena(arena_, command.tailOffset, command.tailByte, &captureSegments_);
  if (!inside) {
    operations_.ended(command, -EINVAL);
    return;
  }
  copier_.begin();
  for (const iovec& prefix : captureSegments_) copier_.append(prefix.iov_base, prefix.iov_len);
  const DescriptorChain* rest = chainOf(command.chain);
  if (rest != nullptr) {
    copier_.append(*rest, command.chainOffset, static_cast<uint64_t>(command.length));
  }
  for (uint32_t i = 0; i < command.usedLength; i++) {
    const DescriptorChain* target = chainOf(targets[i]);
    if (target != nullptr) complete(targets[i], 0, 0, 0, copier_.fill(*target));
  }
  if (command.flags & kCommandComplete) complete(command.chain, 0, 0, 0, 0);
}

bool DataPlane::frameTargets(const CommandRecord& command, const uint32_t** chains) {
  if (command.usedLength == 1) {
    *chains = &command.file;
    return true;
  }
  if (command.file % alignof(uint32_t) != 0) return false;
  const uint64_t bytes = uint64_t{command.usedLength} * sizeof(uint32_t);
  if (!sliceArena(arena_, command.file, bytes, &captureSegments_)) return false;
  if (bytes > 0) *chains = static_cast<const uint32_t*>(captureSegments_[0].iov_base);
  captureSegments_.clear();
  return true;
}

// The frame that frameUsed_ tells of, without its header.
void DataPlane::captureReceived(const CommandRecord& command, const WaitingChains& chains) {
  if (capture_ == nullptr) return;
  captureSegments_.clear();
  uint32_t header = command.tailByte;
  for (size_t i = 0; i < frameUsed_.size(); i++) {
    const uint32_t skipped = std::min(header, frameUsed_[i]);
    chains.at(i)->slice(true, skipped, frameUsed_[i] - skipped, &captureSegments_);
    header -= skipped;
  }
  capture_->add(command.capture, captureSegments_);
}

int DataPlane::setCapture(uint8_t* memory, size_t bytes) {
  if (!FrameCapture::fits(memory, bytes)) return -EINVAL;
  capture_ = std::make_unique<FrameCapture>(memory, bytes);
  return 0;
}

void DataPlane::capture(uint32_t tag, const iovec& prefix, uint32_t chain, uint32_t offset,
                        uint32_t bytes) {
  if (capture_ == nullptr || tag == 0) return;
  captureSegments_.clear();
  if (prefix.iov_len > 0) captureSegments_.push_back(prefix);
  const DescriptorChain* rest = chainOf(chain);
  if (rest != nullptr) rest->slice(false, offset, bytes, &captureSegments_);
  capture_->add(tag, captureSegments_);
}

void DataPlane::completeList(const CommandRecord& command) {
  std::vector<iovec>& list = captureSegments_;
  list.clear();
  const uint64_t bytes = uint64_t{command.usedLength} * sizeof(uint32_t);
  if (!sliceArena(arena_, command.chainOffset, bytes, &list)) {
    operations_.ended(command, -EINVAL);
    return;
  }
  if (list.empty()) return;
  const auto* chains = static_cast<const uint32_t*>(list[0].iov_base);
  for (uint32_t i = 0; i < command.usedLength; i++) complete(chains[i], 0, 0, 0, 0);
}

void DataPlane::unpop(uint32_t chain) {
  uint16_t head = 0;
  Vring* owner = vringOf(chain, &head);
  if (owner == nullptr) return;
  // The inflight area keeps it either way; the driver must hear nothing of it.
  if (owner->suspended) return owner->ring.abandon(head);
  owner->ring.unpop(head);
}

}  // namespace vhost
