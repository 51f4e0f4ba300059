// The part of the data plane that knows lists of chains: kReceiveFrames, kCopyFrame, kUnpop,
// kCompleteList.

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

}  // namespace

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
  uint32_t first() const { return list_[0]; }
  // The first is used.
  uint32_t take() {
    count_--;
    return *list_++;
  }
  bool empty() const { return count_ == 0; }

 private:
  const uint32_t* list_;
  size_t count_;
  uint32_t headerBytes_;
  Find find_;
};

namespace {

// The table of T at `offset` in the arena; nullptr: it does not lie there.
template <typename T>
T* tableAt(const Arena& arena, uint64_t offset, uint64_t count = 1) {
  std::vector<iovec> place;
  if (!sliceArena(arena, offset, count * sizeof(T), &place) || place.empty() ||
      reinterpret_cast<uintptr_t>(place[0].iov_base) % alignof(T) != 0) {
    return nullptr;
  }
  return static_cast<T*>(place[0].iov_base);
}

// What a frame is judged by; false: a table does not lie in the arena.
bool judgesOf(const CommandRecord& command, const Arena& arena, FrameSource* source) {
  if (command.flags & kCommandFilter) {
    const double offset = command.offset;
    if (!(offset >= 0 && offset <= static_cast<double>(arena.bytes))) return false;
    source->filter = tableAt<const FrameFilter>(arena, static_cast<uint64_t>(offset));
    if (source->filter == nullptr) return false;
  }
  if (command.flags & (kCommandHash | kCommandSteer)) {
    source->hash = tableAt<const FrameHash>(arena, command.hash);
    if (source->hash == nullptr) return false;
  }
  return true;
}

// The chains of several queues, among which frames are dealt by their hash.
class SteeredChains : public ChainChoice {
 public:
  SteeredChains(const FrameHash& hash, std::vector<ListedChains>* lists)
      : hash_(hash), lists_(lists) {}

  const WaitingChains& chainsFor(const HashedFrame& hashed) override {
    const uint32_t queue = hash_.queueOf(hashed);
    last_ = queue < lists_->size() ? queue : 0;
    return (*lists_)[last_];
  }
  size_t last() const { return last_; }

 private:
  const FrameHash& hash_;
  std::vector<ListedChains>* lists_;
  size_t last_ = 0;
};

}  // namespace

void DataPlane::receiveFrames(const CommandRecord& command) {
  const bool steered = command.flags & kCommandSteer;
  const FrameList single{command.chainOffset, command.usedLength};
  const uint32_t count = steered ? command.usedLength : 1;
  const FrameList* lists =
      steered ? tableAt<const FrameList>(arena_, command.chainOffset, count) : &single;
  auto* reports = tableAt<FrameReport>(arena_, command.tailOffset, count);
  std::vector<ListedChains> chains;
  for (uint32_t i = 0; lists != nullptr && i < count; i++) {
    const auto* numbers = tableAt<const uint32_t>(arena_, lists[i].offset, lists[i].count);
    if (numbers == nullptr && lists[i].count > 0) break;
    chains.emplace_back(numbers, lists[i].count, command.tailByte,
                        [this](uint32_t chain) { return chainOf(chain); });
  }
  FrameSource source{static_cast<int>(command.file), (command.flags & kCommandSocket) != 0,
                     (command.flags & kCommandMerge) != 0, command.tailByte};
  if (chains.size() != count || count == 0 || reports == nullptr || command.mode <= 0 ||
      !(command.length >= 0) || !judgesOf(command, arena_, &source)) {
    operations_.ended(command, -EINVAL);
    return;
  }
  std::memset(reports, 0, count * sizeof(FrameReport));
  operations_.ended(command, receiveFramesInto(command, source, &chains, reports));
}

// Until there are no more frames, or it is enough, or a list has been used up: what is behind its
// end then stays where it is, for the driver to make room.
int DataPlane::receiveFramesInto(const CommandRecord& command, FrameSource source,
                                 std::vector<ListedChains>* lists, FrameReport* reports) {
  std::unique_ptr<SteeredChains> steering;
  if (command.flags & kCommandSteer) {
    steering = std::make_unique<SteeredChains>(*source.hash, lists);
    source.choice = steering.get();
  }
  const auto filled = [](const ListedChains& list) { return !list.empty(); };
  const auto asked = std::find_if(lists->begin(), lists->end(), filled);
  if (asked == lists->end()) return -EINVAL;
  double bytes = 0;
  for (int32_t frames = 0; frames < command.mode && bytes < command.length; frames++) {
    const ReceivedFrame got = frames_.receive(source, *asked, &frameUsed_);
    const size_t queue = steering ? steering->last() : 0;
    ListedChains& into = (*lists)[queue];
    uint16_t head = 0;
    Vring* owner = into.empty() ? nullptr : vringOf(into.first(), &head);
    if (got.result == -EFAULT && owner != nullptr) owner->ring.memory()->poison();
    if (got.result < 0) return static_cast<int>(got.result);
    FrameReport& report = reports[queue];
    (got.filtered ? report.filtered : got.chains > 0 ? report.frames : report.dropped)++;
    report.bytes += static_cast<uint32_t>(got.result);
    report.chains += got.chains;
    bytes += static_cast<double>(got.result);
    if (got.chains == 0) continue;
    if (command.capture != 0) captureReceived(command, into);
    for (uint32_t i = 0; i < got.chains; i++) complete(into.take(), 0, 0, 0, frameUsed_[i]);
    if (into.empty()) break;
  }
  return 0;
}

// TypeScript has counted the room; a chain whose ring is gone, or that is no chain, gets nothing.
void DataPlane::copyFrame(const CommandRecord& command) {
  captureSegments_.clear();
  const uint32_t* targets = nullptr;
  // Also false for what is no number; beyond it the cast is undefined.
  const bool countable = command.length >= 0 && command.length <= double{UINT32_MAX};
  const bool inside = countable && frameTargets(command, &targets) &&
                      sliceArena(arena_, command.tailOffset, command.tailByte, &captureSegments_);
  if (!inside) {
    operations_.ended(command, -EINVAL);
    return;
  }
  const iovec prefix = captureSegments_.empty() ? iovec{} : captureSegments_[0];
  const DescriptorChain* rest = chainOf(command.chain);
  const auto length = static_cast<uint64_t>(command.length);
  if (command.usedLength == 1) {
    copyInto(targets[0], prefix, rest, command.chainOffset, length);
  } else {
    copier_.begin();
    copier_.append(prefix.iov_base, prefix.iov_len);
    if (rest != nullptr) copier_.append(*rest, command.chainOffset, length);
    for (uint32_t i = 0; i < command.usedLength; i++) {
      const DescriptorChain* target = chainOf(targets[i]);
      if (target != nullptr) complete(targets[i], 0, 0, 0, copier_.fill(*target));
    }
  }
  if (command.flags & kCommandComplete) complete(command.chain, 0, 0, 0, 0);
}

// One chain is all the frame gets, and nearly always the first buffer of it has room: no lists of
// pieces then.
void DataPlane::copyInto(uint32_t to, const iovec& prefix, const DescriptorChain* from,
                         uint32_t offset, uint64_t length) {
  uint16_t head = 0;
  Vring* receiver = vringOf(to, &head);
  if (receiver == nullptr) return;
  const DescriptorChain* target = &receiver->ring.chain(head);
  const iovec none = {};
  const iovec& room = target->writableBytes > 0 ? target->segments[target->readableSegments] : none;
  if (room.iov_len < prefix.iov_len || room.iov_len - prefix.iov_len < length) {
    copier_.begin();
    copier_.append(prefix.iov_base, prefix.iov_len);
    if (from != nullptr) copier_.append(*from, offset, length);
    used(receiver, to, copier_.fill(*target));
    return;
  }
  auto* at = static_cast<uint8_t*>(room.iov_base);
  if (prefix.iov_len > 0) std::memcpy(at, prefix.iov_base, prefix.iov_len);
  const uint64_t copied = from == nullptr ? 0 : from->copyOut(offset, at + prefix.iov_len, length);
  used(receiver, to, static_cast<uint32_t>(prefix.iov_len + copied));
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
